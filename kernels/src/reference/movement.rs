//! Moving elements, one at a time.

use crate::cpu::movement::{CopyDim, CopyEnds};

/// Copies elements of `element` bytes over `dims`, both sides given by starts and strides in elements.
///
/// # Panics
/// If a step leaves `src` or `dst`.
pub fn strided_copy(element: usize, ends: CopyEnds, dims: &[CopyDim], src: &[u8], dst: &mut [u8]) {
    let Some((first, inner)) = dims.split_first() else {
        let (from, to) = (ends.src_start * element, ends.dst_start * element);
        dst[to..to + element].copy_from_slice(&src[from..from + element]);
        return;
    };
    for i in 0..first.len as isize {
        let start = CopyEnds {
            src_start: (ends.src_start as isize + i * first.src) as usize,
            dst_start: (ends.dst_start as isize + i * first.dst) as usize,
            ..ends
        };
        strided_copy(element, start, inner, src, dst);
    }
}
