//! Square filters 3 and 5 wide at stride 1 and 2, with all loops of fixed length.
//!
//! Taps are added column by column of the filter, as in [`super::general`]: a sum depends on the order, and
//! LiteRT's default path takes this one.

use super::{Line, PIXELS};
use crate::isa::{Isa, Kernel, MAX_LANES};

/// What filter rows beyond the image see.
static ZEROS: [f32; MAX_LANES] = [0.0; MAX_LANES];

/// Computes a line with a filter `SIZE` wide and high at stride `STEP`. Every block of channels must be whole.
pub(super) struct Tiled<'a, const SIZE: usize, const STEP: usize>(pub(super) Line<'a>);

impl<const SIZE: usize, const STEP: usize> Kernel for Tiled<'_, SIZE, STEP> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let mut line = self.0;
        debug_assert!(line.op.weights.whole_vectors() && line.op.multiplier == 1);
        let width = line.op.output[1];
        if width >= PIXELS {
            pixels::<S, SIZE, STEP, PIXELS>(isa, &mut line);
        } else if width >= 3 {
            pixels::<S, SIZE, STEP, 3>(isa, &mut line);
        } else {
            pixels::<S, SIZE, STEP, 1>(isa, &mut line);
        }
    }
}

/// Computes the line in groups of `M` pixels; it must have as many.
#[inline(always)]
fn pixels<S: Isa, const SIZE: usize, const STEP: usize, const M: usize>(isa: S, line: &mut Line<'_>) {
    let in_width = line.op.shape.input[2] as isize;
    let out_width = line.op.output[1];
    // A row beyond the image stays on the zeros, whatever the column.
    let mut rows = [(ZEROS.as_ptr(), 0); SIZE];
    for (ky, start) in line.filter_rows() {
        rows[ky] = (line.input[start..].as_ptr(), line.op.shape.in_channels as isize);
    }
    let mut x = 0;
    while x < out_width {
        let first = x.min(out_width - M);
        let left = line.left(first);
        let inside = left >= 0 && left + ((M - 1) * STEP + SIZE) as isize <= in_width;
        for block in 0..line.op.weights.blocks() {
            // SAFETY: `inside` says that all columns are on the image.
            unsafe {
                if inside {
                    group::<S, SIZE, STEP, M, false>(isa, line, &rows, first, left, block);
                } else {
                    group::<S, SIZE, STEP, M, true>(isa, line, &rows, first, left, block);
                }
            }
        }
        x += M;
    }
}

/// Computes `M` pixels of a block of channels. Each row is the start of an input line and the floats from column to
/// column; zeros have none.
///
/// # Safety
/// Without `EDGE` all input columns from `left` on must be on the image.
#[inline(always)]
unsafe fn group<S: Isa, const SIZE: usize, const STEP: usize, const M: usize, const EDGE: bool>(
    isa: S,
    line: &mut Line<'_>,
    rows: &[(*const f32, isize); SIZE],
    x: usize,
    left: isize,
    block: usize,
) {
    let op = line.op;
    let in_width = op.shape.input[2] as isize;
    let (channel, _) = op.weights.block_channels(block);
    let weights = op.weights.block(block);
    assert!(weights.len() > SIZE * SIZE * S::LANES);
    let mut sums = [isa.load(&weights[SIZE * SIZE * S::LANES..]); M];
    for kx in 0..SIZE {
        for (ky, &(row, channels)) in rows.iter().enumerate() {
            // SAFETY: the block has a vector for each of `SIZE * SIZE` taps.
            let filter = unsafe { isa.load_ptr(weights.as_ptr().add((ky * SIZE + kx) * S::LANES)) };
            let from = if channels == 0 { row } else { row.wrapping_add(channel) };
            for (m, sum) in sums.iter_mut().enumerate() {
                let column = left + (m * STEP + kx) as isize;
                let value = if EDGE && !(0..in_width).contains(&column) {
                    isa.zero()
                } else {
                    // SAFETY: the column is on the image, whose pixels hold all channels of the block; the zeros
                    // are as long as a vector.
                    unsafe { isa.load_ptr(from.wrapping_offset(column * channels)) }
                };
                *sum = isa.fma(value, filter, *sum);
            }
        }
    }
    line.finish(isa, x, channel, S::LANES, sums);
}
