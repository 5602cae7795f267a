//! Square filters 3 and 5 wide at stride 1 and 2, with all loops of fixed length.
//!
//! Taps are added column by column of the filter, as in [`super::general`]: a sum depends on the order, and
//! LiteRT's default path takes this one.

use super::{LINES, PIXELS, Strip};
use crate::isa::{Isa, Kernel};

/// Computes a strip with a filter `SIZE` wide and high at stride `STEP`. Every block of channels must be whole.
pub(super) struct Tiled<'a, const SIZE: usize, const STEP: usize>(pub(super) Strip<'a>);

impl<const SIZE: usize, const STEP: usize> Kernel for Tiled<'_, SIZE, STEP> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let strip = self.0;
        debug_assert!(strip.op.weights.whole_vectors() && strip.op.multiplier == 1);
        let at_once = if S::REGISTERS >= 32 { LINES } else { 1 };
        for line in (0..strip.lines).step_by(at_once) {
            if at_once.min(strip.lines - line) == LINES {
                lines::<S, SIZE, STEP, LINES>(isa, &strip, line);
            } else {
                lines::<S, SIZE, STEP, 1>(isa, &strip, line);
            }
        }
    }
}

/// Computes `LINES` lines of the strip from `line` on.
#[inline(always)]
fn lines<S: Isa, const SIZE: usize, const STEP: usize, const LINES: usize>(
    isa: S,
    strip: &Strip<'_>,
    line: usize,
) {
    let width = strip.op.output[1];
    // The pixels under a tile that fall on the same sets of the first-level cache must not be more than its ways.
    let collide = strip.op.shape.in_channels.is_multiple_of(512);
    if width >= PIXELS && !collide {
        pixels::<S, SIZE, STEP, LINES, PIXELS>(isa, strip, line);
    } else if width >= 5 && !collide {
        pixels::<S, SIZE, STEP, LINES, 5>(isa, strip, line);
    } else if width >= 3 {
        pixels::<S, SIZE, STEP, LINES, 3>(isa, strip, line);
    } else {
        pixels::<S, SIZE, STEP, LINES, 1>(isa, strip, line);
    }
}

/// The most input lines under a tile: two lines of a filter five high at stride two.
const MAX_ROWS: usize = 7;
/// The most input columns under a tile.
const MAX_COLUMNS: usize = (PIXELS - 1) * 2 + 5;

/// Where the first channel of a pixel lies.
type Pixel = *const f32;

/// Computes lines in groups of `M` pixels; they must have as many.
#[inline(always)]
fn pixels<S: Isa, const SIZE: usize, const STEP: usize, const LINES: usize, const M: usize>(
    isa: S,
    strip: &Strip<'_>,
    line: usize,
) {
    let shape = &strip.op.shape;
    let (in_width, out_width) = (shape.input[2], strip.op.output[1]);
    let top = strip.top + (line * STEP) as isize;
    let mut input = [None; MAX_ROWS];
    for (r, input) in input[..(LINES - 1) * STEP + SIZE].iter_mut().enumerate() {
        *input = strip.input_line(top + r as isize);
    }
    let zeros = strip.op.zeros.as_ptr();
    let mut under = [[zeros; MAX_COLUMNS]; MAX_ROWS];
    let mut x = 0;
    while x < out_width {
        let first = x.min(out_width - M);
        let left = strip.left(first);
        for (input, under) in input.iter().zip(&mut under) {
            let Some(input) = input else { continue };
            for (c, under) in under[..(M - 1) * STEP + SIZE].iter_mut().enumerate() {
                let column = left.wrapping_add_unsigned(c);
                let pixel = input.as_ptr().wrapping_offset(column.wrapping_mul(shape.in_channels as isize));
                // Columns on the image are on the line, which is as long.
                *under = if (0..in_width as isize).contains(&column) { pixel } else { zeros };
            }
        }
        for block in strip.blocks.clone() {
            // SAFETY: every pixel has all channels, those beyond the image are zeros.
            unsafe {
                // At stride two few pixels serve several columns of the filter.
                if STEP == 1 && S::REGISTERS >= LINES * M + SIZE * SIZE + 2 {
                    by_pixel::<S, SIZE, LINES, M>(isa, strip, &under, (line, first), block);
                } else {
                    by_column::<S, SIZE, STEP, LINES, M>(isa, strip, &under, (line, first), block);
                }
            }
        }
        x += M;
    }
}

/// Computes `M` pixels of `LINES` lines of a block of channels at stride one, from line and pixel `at` on. The whole filter is
/// in registers and each pixel under the tile is read once. Columns from left to right meet a sum's taps in the order of the
/// filter's columns.
///
/// # Safety
/// As [`by_column`], for a step of one.
#[inline(always)]
unsafe fn by_pixel<S: Isa, const SIZE: usize, const LINES: usize, const M: usize>(
    isa: S,
    strip: &Strip<'_>,
    under: &[[Pixel; MAX_COLUMNS]; MAX_ROWS],
    at: (usize, usize),
    block: usize,
) {
    let (channel, _) = strip.op.weights.block_channels(block);
    let weights = strip.op.weights.block(block);
    assert!(weights.len() > SIZE * SIZE * S::LANES);
    let mut sums = [[isa.load(&weights[SIZE * SIZE * S::LANES..]); M]; LINES];
    let mut filter = [[isa.zero(); SIZE]; SIZE];
    for (ky, row) in filter.iter_mut().enumerate() {
        for (kx, tap) in row.iter_mut().enumerate() {
            // SAFETY: the block has a vector for each of `SIZE * SIZE` taps.
            *tap = unsafe { isa.load_ptr(weights.as_ptr().add((ky * SIZE + kx) * S::LANES)) };
        }
    }
    for column in 0..M - 1 + SIZE {
        for r in 0..LINES - 1 + SIZE {
            // SAFETY: the pixel holds all channels of the block.
            let value = unsafe { isa.load_ptr(under[r][column].add(channel)) };
            for (line, sums) in sums.iter_mut().enumerate() {
                for (m, sum) in sums.iter_mut().enumerate() {
                    let (ky, kx) = (r.wrapping_sub(line), column.wrapping_sub(m));
                    if ky < SIZE && kx < SIZE {
                        *sum = isa.fma(value, filter[ky][kx], *sum);
                    }
                }
            }
        }
    }
    strip.finish(isa, at, channel, S::LANES, sums);
}

/// As [`by_pixel`] at any stride, a column of the filter at a time: of large filters too, and where registers are few.
///
/// # Safety
/// The pixels in the first `(M - 1) * STEP + SIZE` columns of the first `(LINES - 1) * STEP + SIZE` rows must be
/// valid for reading all channels.
#[inline(always)]
unsafe fn by_column<S: Isa, const SIZE: usize, const STEP: usize, const LINES: usize, const M: usize>(
    isa: S,
    strip: &Strip<'_>,
    under: &[[Pixel; MAX_COLUMNS]; MAX_ROWS],
    at: (usize, usize),
    block: usize,
) {
    let (channel, _) = strip.op.weights.block_channels(block);
    let weights = strip.op.weights.block(block);
    assert!(weights.len() > SIZE * SIZE * S::LANES);
    let mut sums = [[isa.load(&weights[SIZE * SIZE * S::LANES..]); M]; LINES];
    for kx in 0..SIZE {
        let mut filter = [isa.zero(); SIZE];
        for (ky, filter) in filter.iter_mut().enumerate() {
            // SAFETY: the block has a vector for each of `SIZE * SIZE` taps.
            *filter = unsafe { isa.load_ptr(weights.as_ptr().add((ky * SIZE + kx) * S::LANES)) };
        }
        for r in 0..(LINES - 1) * STEP + SIZE {
            for m in 0..M {
                // SAFETY: the pixel holds all channels of the block.
                let value = unsafe { isa.load_ptr(under[r][m * STEP + kx].add(channel)) };
                for line in 0..LINES {
                    if (line * STEP..line * STEP + SIZE).contains(&r) {
                        sums[line][m] = isa.fma(value, filter[r - line * STEP], sums[line][m]);
                    }
                }
            }
        }
    }
    strip.finish(isa, at, channel, S::LANES, sums);
}
