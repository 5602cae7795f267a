//! The uniform words of one dispatch, as the shaders' `Params` lay them out.

use crate::geometry::usize_of;

/// Bytes between the parameters of two dispatches: the largest alignment of dynamic offsets that WebGPU allows.
pub(crate) const STRIDE: usize = 256;

/// Parameters being written, word by word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<u32>);

impl Params {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn u(mut self, words: &[u32]) -> Self {
        self.0.extend_from_slice(words);
        self
    }

    pub fn f(mut self, words: &[f32]) -> Self {
        self.0.extend(words.iter().map(|w| w.to_bits()));
        self
    }

    /// The words as bytes, padded to [`STRIDE`].
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = bytemuck::cast_slice(&self.0).to_vec();
        bytes.resize(STRIDE, 0);
        bytes
    }
}

/// Most workgroups along one axis that every device grants, and that shaders fold longer launches at.
pub(crate) const MAX_GROUPS: u32 = 65_535;

/// Workgroups for `items` invocations in groups of 64, folded where one axis does not suffice.
pub(crate) fn groups_1d(items: usize) -> [u32; 3] {
    let (groups, most) = (items.div_ceil(64).max(1), usize_of(MAX_GROUPS));
    [groups.min(most) as u32, groups.div_ceil(most) as u32, 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_all_items() {
        for items in [1, 64, 65, 65_535 * 64, 65_535 * 64 + 1, 1 << 28] {
            let [x, y, _] = groups_1d(items);
            assert!(x as usize * y as usize * 64 >= items, "{items}");
            assert!(x <= 65_535 && y <= 65_535);
        }
    }
}
