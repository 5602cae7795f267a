//! Constants in the layouts that shaders read.

use ferrolite_ops::{OpError, Operand};

/// The content of the constants buffer while it is being built. Every item begins at a multiple of four elements.
#[derive(Debug, Default)]
pub(crate) struct Constants(Vec<f32>);

impl Constants {
    /// The elements, at least as many as a binding must have.
    pub fn into_elements(mut self) -> Vec<f32> {
        if self.0.is_empty() {
            self.0.resize(4, 0.0);
        }
        self.0
    }

    /// Appends elements as they are; returns the first one's index.
    pub fn push(&mut self, elements: impl IntoIterator<Item = f32>) -> Result<u32, OpError> {
        let at = u32::try_from(self.0.len()).map_err(|_| too_large())?;
        self.0.extend(elements);
        self.0.resize(self.0.len().next_multiple_of(4), 0.0);
        Ok(at)
    }

    /// Appends filters given as `[out][tap][in]` as `[tap][in][out]`, the output channels filled up to a multiple of
    /// four; returns the index of the first vector of four.
    pub fn push_filters(
        &mut self,
        filters: &[f32],
        out: usize,
        taps: usize,
        depth: usize,
    ) -> Result<u32, OpError> {
        let padded = out.next_multiple_of(4);
        let rows = taps * depth;
        let mut packed = vec![0.0; rows * padded];
        for (channel, filter) in filters.chunks_exact(rows.max(1)).take(out).enumerate() {
            for (row, &x) in filter.iter().enumerate() {
                packed[row * padded + channel] = x;
            }
        }
        Ok(self.push(packed)? / 4)
    }

    /// Appends a bias per channel, zeros if there is none; returns the first element's index.
    pub fn push_bias(&mut self, bias: Option<&Operand<'_>>, channels: usize) -> Result<u32, OpError> {
        match bias {
            Some(operand) => self.push(floats(operand, channels)?),
            None => self.push(std::iter::repeat_n(0.0, channels)),
        }
    }
}

/// The elements of a constant operand, which must be `count`.
pub(crate) fn floats(operand: &Operand<'_>, count: usize) -> Result<Vec<f32>, OpError> {
    let name = &operand.info.name;
    let bytes = operand.value.ok_or_else(|| OpError::invalid(format!("tensor '{name}' is no constant")))?;
    let floats: Vec<f32> = bytes.chunks_exact(size_of::<f32>()).map(bytemuck::pod_read_unaligned).collect();
    if floats.len() == count {
        return Ok(floats);
    }
    Err(OpError::invalid(format!("tensor '{name}' has {} elements, {count} are needed", floats.len())))
}

fn too_large() -> OpError {
    OpError::invalid("the constants exceed what a shader can index")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_turned_and_filled_up() {
        let mut constants = Constants::default();
        assert_eq!(constants.push([9.0]), Ok(0));
        // Two output channels, one tap, three input channels.
        assert_eq!(constants.push_filters(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 1, 3), Ok(1));
        assert_eq!(constants.push_bias(None, 5), Ok(16));
        let expected = [
            [9.0, 0.0, 0.0, 0.0],
            [1.0, 4.0, 0.0, 0.0],
            [2.0, 5.0, 0.0, 0.0],
            [3.0, 6.0, 0.0, 0.0],
            [0.0; 4],
            [0.0; 4],
        ];
        assert_eq!(constants.into_elements(), expected.concat());
        assert_eq!(Constants::default().into_elements(), [0.0; 4]);
    }
}
