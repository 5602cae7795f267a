//! Dense rows times one panel: for callers that cut their work into pieces of their own.

use super::micro::{self, Tile};
use super::rows::MAX_ROWS;
use crate::cpu::float::epilogue::Activation;
use crate::isa::Isa;

/// `out = a * weights + bias` for the rows of `a`, `depth` values each, one after another, and a panel of `width` columns, one or
/// two vectors: its bias, then the weights of each depth. Rows of `out` are as wide.
///
/// # Panics
/// If a slice does not have the size that follows from that.
#[inline(always)]
pub(crate) fn dense_by_panel<S: Isa>(
    isa: S,
    a: &[f32],
    depth: usize,
    panel: &[f32],
    width: usize,
    out: &mut [f32],
) {
    let count = out.len() / width;
    assert!(width == S::LANES || width == 2 * S::LANES, "a panel has one or two vectors");
    assert!(a.len() == count * depth && out.len() == count * width && panel.len() == (depth + 1) * width);
    let mut row = 0;
    while row < count {
        let height = micro::height_for::<S, f32>(count - row);
        let rows = height.min(count - row);
        let step = (rows == micro::tall::<S>()).then_some(depth);
        let mut pieces = [core::ptr::null(); MAX_ROWS];
        let mut starts = [0; MAX_ROWS];
        for (r, (piece, start)) in pieces.iter_mut().zip(&mut starts).enumerate().take(height) {
            let from = r.min(rows - 1);
            *piece = a[(row + from) * depth..].as_ptr();
            *start = from * width;
        }
        let tile = Tile {
            pieces: if step.is_some() { &pieces[..1] } else { &pieces[..height] },
            step,
            rows,
            taps: 1,
            depth,
            panel,
            columns: width,
            out: out[row * width..].as_mut_ptr(),
            residual: core::ptr::null(),
            starts: &starts,
            activation: Activation::None,
        };
        // SAFETY: the slices have `rows` rows from `row` on, checked above, and rows beyond those are the last one.
        unsafe { micro::compute(isa, height, &tile) };
        row += rows;
    }
}
