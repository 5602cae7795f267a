//! 3- and 5-wide filters at stride 1 and 2: the input slides through registers.

use super::{Line, PIXELS};
use crate::isa::{Isa, Kernel};

/// Computes a line with a filter `WIDTH` wide at stride `STEP`. Every block of channels must be whole.
pub(super) struct Sliding<'a, const WIDTH: usize, const STEP: usize>(pub(super) Line<'a>);

impl<const WIDTH: usize, const STEP: usize> Kernel for Sliding<'_, WIDTH, STEP> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let mut line = self.0;
        debug_assert!(line.op.weights.whole_vectors() && line.op.multiplier == 1);
        let width = line.op.output[1];
        if width >= PIXELS {
            pixels::<S, WIDTH, STEP, PIXELS>(isa, &mut line);
        } else if width >= 3 {
            pixels::<S, WIDTH, STEP, 3>(isa, &mut line);
        } else {
            pixels::<S, WIDTH, STEP, 1>(isa, &mut line);
        }
    }
}

/// Computes the line in groups of `M` pixels; it must have as many.
#[inline(always)]
fn pixels<S: Isa, const WIDTH: usize, const STEP: usize, const M: usize>(isa: S, line: &mut Line<'_>) {
    let in_width = line.op.shape.input[2] as isize;
    let out_width = line.op.output[1];
    let mut x = 0;
    while x < out_width {
        let first = x.min(out_width - M);
        let left = line.left(first);
        let inside = left >= 0 && left + ((M - 1) * STEP + WIDTH) as isize <= in_width;
        for block in 0..line.op.weights.blocks() {
            // SAFETY: `inside` says that all columns are on the image.
            unsafe {
                if inside {
                    group::<S, WIDTH, STEP, M, false>(isa, line, first, left, block);
                } else {
                    group::<S, WIDTH, STEP, M, true>(isa, line, first, left, block);
                }
            }
        }
        x += M;
    }
}

/// Computes `M` pixels of a block of channels.
///
/// # Safety
/// Without `EDGE` all input columns from `left` on must be on the image.
#[inline(always)]
unsafe fn group<S: Isa, const WIDTH: usize, const STEP: usize, const M: usize, const EDGE: bool>(
    isa: S,
    line: &mut Line<'_>,
    x: usize,
    left: isize,
    block: usize,
) {
    let op = line.op;
    let channels = op.shape.in_channels;
    let in_width = op.shape.input[2];
    let (channel, _) = op.weights.block_channels(block);
    let weights = op.weights.block(block);
    let mut sums = [isa.load(&weights[op.shape.kernel[1] * WIDTH * S::LANES..]); M];
    for (ky, start) in line.filter_rows() {
        let row = &weights[ky * WIDTH * S::LANES..][..WIDTH * S::LANES];
        let mut filter = [isa.zero(); WIDTH];
        for (kx, filter) in filter.iter_mut().enumerate() {
            // SAFETY: the row has `WIDTH` vectors.
            *filter = unsafe { isa.load_ptr(row.as_ptr().add(kx * S::LANES)) };
        }
        let row = line.input[start..][..in_width * channels][channel..].as_ptr();
        let mut columns = Columns {
            next: row.wrapping_offset(left * channels as isize),
            x: left,
            width: in_width,
            channels,
        };
        // The window of the first pixel but for its last `STEP` columns.
        let mut window = [isa.zero(); WIDTH];
        for kx in STEP..WIDTH {
            // SAFETY: the block's channels are all in a pixel; the caller vouches for the columns.
            window[kx] = unsafe { columns.load::<S, EDGE>(isa) };
        }
        for sum in &mut sums {
            for kx in 0..WIDTH {
                // SAFETY: as above.
                window[kx] = if kx + STEP < WIDTH {
                    window[kx + STEP]
                } else {
                    unsafe { columns.load::<S, EDGE>(isa) }
                };
                *sum = isa.fma(window[kx], filter[kx], *sum);
            }
        }
    }
    line.finish(isa, x, channel, S::LANES, sums);
}

/// A block of channels in the columns of an input line, from left to right.
struct Columns {
    /// The block's channels in the next column.
    next: *const f32,
    /// The next column.
    x: isize,
    /// Columns of the line.
    width: usize,
    /// Floats from column to column.
    channels: usize,
}

impl Columns {
    /// The values in the next column; zeros beyond the edges if `EDGE`.
    ///
    /// # Safety
    /// A vector must be readable in every column of the line. Without `EDGE` the column must be on it.
    #[inline(always)]
    unsafe fn load<S: Isa, const EDGE: bool>(&mut self, isa: S) -> S::F {
        let (at, x) = (self.next, self.x);
        self.next = at.wrapping_add(self.channels);
        self.x += 1;
        if EDGE && !(0..self.width as isize).contains(&x) {
            return isa.zero();
        }
        // SAFETY: the column is on the line.
        unsafe { isa.load_ptr(at) }
    }
}
