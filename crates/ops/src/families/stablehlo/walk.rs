//! Walking the elements of a box of a tensor in row-major order.

/// Offsets of the elements of a box, one dimension after another: `(length, stride)`, outermost first.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    dims: Vec<(usize, usize)>,
    index: Vec<usize>,
    offset: usize,
    left: usize,
}

impl Walk {
    /// The walk over these dimensions.
    pub fn new(dims: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let dims: Vec<(usize, usize)> = dims.into_iter().collect();
        Self { index: vec![0; dims.len()], left: elements(&dims), dims, offset: 0 }
    }

    /// The same walk from the start.
    pub fn restart(&mut self) {
        self.index.fill(0);
        self.offset = 0;
        self.left = elements(&self.dims);
    }
}

/// Elements of a box: none if a dimension has none, however large the others are.
fn elements(dims: &[(usize, usize)]) -> usize {
    if dims.iter().any(|d| d.0 == 0) {
        return 0;
    }
    dims.iter().fold(1, |n, d| n.saturating_mul(d.0))
}

impl Iterator for Walk {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let offset = self.offset;
        for (at, &(len, stride)) in self.index.iter_mut().zip(&self.dims).rev() {
            *at += 1;
            self.offset += stride;
            if *at < len {
                break;
            }
            self.offset -= stride * len;
            *at = 0;
        }
        Some(offset)
    }
}

/// The offset of element `index`, counted in row-major order, of a box.
pub(super) fn offset_of(mut index: usize, dims: &[(usize, usize)]) -> usize {
    let mut offset = 0;
    for &(len, stride) in dims.iter().rev() {
        offset += index % len * stride;
        index /= len;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_in_row_major_order() {
        let dims = [(2, 10), (3, 1)];
        let mut walk = Walk::new(dims);
        let offsets: Vec<usize> = walk.by_ref().collect();
        assert_eq!(offsets, [0, 1, 2, 10, 11, 12]);
        walk.restart();
        assert_eq!(walk.collect::<Vec<_>>(), offsets);
        assert_eq!((0..6).map(|i| offset_of(i, &dims)).collect::<Vec<_>>(), offsets);
        assert_eq!(Walk::new([]).collect::<Vec<_>>(), [0]);
        assert_eq!(Walk::new([(3, 1), (0, 1)]).next(), None);
        assert_eq!(Walk::new([(usize::MAX, 1), (3, 1), (0, 1)]).next(), None);
    }
}
