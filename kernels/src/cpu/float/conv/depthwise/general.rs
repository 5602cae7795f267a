//! Any filter, stride, dilation and multiplier.

use super::{PIXELS, Strip};
use crate::isa::{Isa, Kernel, MAX_LANES};

/// Computes a strip tap by tap.
pub(super) struct General<'a>(pub(super) Strip<'a>);

impl Kernel for General<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let strip = self.0;
        for line in 0..strip.lines {
            if strip.op.output[1] >= PIXELS {
                pixels::<S, PIXELS>(isa, &strip, line);
            } else {
                pixels::<S, 1>(isa, &strip, line);
            }
        }
    }
}

/// Computes a line of the strip in groups of `M` pixels; it must have as many.
#[inline(always)]
fn pixels<S: Isa, const M: usize>(isa: S, strip: &Strip<'_>, line: usize) {
    let op = strip.op;
    let [_, kernel_height, kernel_width] = op.shape.kernel;
    let (dilation, stride) = (op.shape.dilation[2], op.shape.stride[2]);
    let (in_width, in_channels) = (op.shape.input[2], op.shape.in_channels);
    let plain = op.multiplier == 1;
    let mut x = 0;
    while x < op.output[1] {
        let first = x.min(op.output[1] - M);
        for block in strip.blocks.clone() {
            let (channel, n) = op.weights.block_channels(block);
            let weights = op.weights.block(block);
            let mut sums = [isa.load(&weights[kernel_height * kernel_width * S::LANES..]); M];
            // Column by column of the filter: the order of LiteRT's default path, on which a sum depends.
            for kx in 0..kernel_width {
                let left = strip.left(first) + (kx * dilation) as isize;
                let inside = left >= 0 && left + (((M - 1) * stride) as isize) < in_width as isize;
                for (ky, row) in strip.filter_rows(line) {
                    let filter = isa.load(&weights[(ky * kernel_width + kx) * S::LANES..]);
                    if inside && plain && n == S::LANES {
                        // The common case, without any check per value.
                        let mut from = row[left as usize * in_channels + channel..].as_ptr();
                        for sum in &mut sums {
                            // SAFETY: all columns are on the image and hold the block's channels.
                            *sum = isa.fma(unsafe { isa.load_ptr(from) }, filter, *sum);
                            from = from.wrapping_add(stride * in_channels);
                        }
                        continue;
                    }
                    for (m, sum) in sums.iter_mut().enumerate() {
                        let column = left + (m * stride) as isize;
                        if (0..in_width as isize).contains(&column) {
                            let pixel = &row[column as usize * in_channels..][..in_channels];
                            *sum = isa.fma(values(isa, pixel, op.multiplier, channel, n), filter, *sum);
                        }
                    }
                }
            }
            strip.finish(isa, (line, first), channel, n, [sums]);
        }
        x += M;
    }
}

/// The input values of `n` output channels from `channel` on.
#[inline(always)]
fn values<S: Isa>(isa: S, pixel: &[f32], multiplier: usize, channel: usize, n: usize) -> S::F {
    if multiplier == 1 {
        let from = &pixel[channel..channel + n];
        return if n == S::LANES { isa.load(from) } else { isa.load_part(from) };
    }
    if pixel.len() == 1 {
        return isa.splat(pixel[0]);
    }
    let mut lanes = [0.0; MAX_LANES];
    for (lane, value) in lanes[..n].iter_mut().enumerate() {
        *value = pixel[(channel + lane) / multiplier];
    }
    isa.load(&lanes)
}
