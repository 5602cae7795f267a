//! Gradients of depthwise convolutions.

use core::ops::Range;

use super::{lanes_at, set_lanes};
use crate::error::ShapeError;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::Par;

/// Sizes of a two-dimensional depthwise convolution of `[batch, height, width, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseGradShape {
    /// Images.
    pub batch: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Channels of the input.
    pub channels: usize,
    /// Output channels per input channel.
    pub multiplier: usize,
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Height and width of the filter.
    pub kernel: [usize; 2],
    /// Steps between filter positions.
    pub stride: [usize; 2],
    /// Steps between filter taps.
    pub dilation: [usize; 2],
    /// Zeros above and left of the input.
    pub pad_before: [usize; 2],
}

impl DepthwiseGradShape {
    fn check(&self, input: usize, filter: usize, gradient: usize) -> Result<(), ShapeError> {
        let out_channels = self.channels * self.multiplier;
        ShapeError::check("input", self.batch * self.input[0] * self.input[1] * self.channels, input)?;
        ShapeError::check("filter", self.kernel[0] * self.kernel[1] * out_channels, filter)?;
        let outputs = self.batch * self.output[0] * self.output[1] * out_channels;
        ShapeError::check("gradient of the output", outputs, gradient)
    }

    /// The output positions along an axis over whose tap `tap` the input lies, not padding.
    fn outputs_under(&self, axis: usize, tap: usize) -> Range<usize> {
        let (stride, shift) = (self.stride[axis], tap * self.dilation[axis]);
        let first = self.pad_before[axis].saturating_sub(shift).div_ceil(stride);
        let end = (self.input[axis] + self.pad_before[axis]).saturating_sub(shift).div_ceil(stride);
        first..end.min(self.output[axis]).max(first)
    }

    /// For every input coordinate along an axis the taps that reach it and from which output position, these rising.
    fn meetings(&self, axis: usize) -> Vec<Vec<(usize, usize)>> {
        let mut meetings = vec![Vec::new(); self.input[axis]];
        for out in 0..self.output[axis] {
            for tap in 0..self.kernel[axis] {
                if let Some(at) = self.under(axis, out, tap) {
                    meetings[at].push((tap, out));
                }
            }
        }
        meetings
    }

    /// The input coordinate along an axis under a tap of an output position, if it is not padding.
    #[inline(always)]
    fn under(&self, axis: usize, out: usize, tap: usize) -> Option<usize> {
        let padded = out * self.stride[axis] + tap * self.dilation[axis];
        padded.checked_sub(self.pad_before[axis]).filter(|&at| at < self.input[axis])
    }
}

/// The gradient of the filter `[height, width, channels, multiplier]`; threads share its taps.
///
/// # Errors
/// If a slice does not have the convolution's size.
pub fn depthwise_filter_grad(
    cpu: Cpu,
    shape: &DepthwiseGradShape,
    input: &[f32],
    gradient: &[f32],
    filter: &mut [f32],
    par: Par,
) -> Result<(), ShapeError> {
    shape.check(input.len(), filter.len(), gradient.len())?;
    let out_channels = shape.channels * shape.multiplier;
    if out_channels > 0 {
        par.chunks_mut(filter, out_channels, |tap, filter| {
            cpu.dispatch(FilterTap { shape, input, gradient, tap, filter });
        });
    }
    Ok(())
}

struct FilterTap<'a> {
    shape: &'a DepthwiseGradShape,
    input: &'a [f32],
    gradient: &'a [f32],
    tap: usize,
    filter: &'a mut [f32],
}

impl Kernel for FilterTap<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let s = self.shape;
        let (ky, kx) = (self.tap / s.kernel[1], self.tap % s.kernel[1]);
        let (rows, columns) = (s.outputs_under(0, ky), s.outputs_under(1, kx));
        if s.multiplier == 1 {
            for c in (0..s.channels).step_by(S::LANES) {
                let sum = self.channels(isa, c, [ky, kx], &rows, &columns);
                let to = &mut self.filter[c..];
                set_lanes(isa, sum, &mut to[..S::LANES.min(s.channels - c)]);
            }
            return;
        }
        let out_channels = s.channels * s.multiplier;
        self.filter.fill(0.0);
        for image in 0..s.batch {
            for oy in rows.clone() {
                let iy = oy * s.stride[0] + ky * s.dilation[0] - s.pad_before[0];
                for ox in columns.clone() {
                    let ix = ox * s.stride[1] + kx * s.dilation[1] - s.pad_before[1];
                    let x = ((image * s.input[0] + iy) * s.input[1] + ix) * s.channels;
                    let y = ((image * s.output[0] + oy) * s.output[1] + ox) * out_channels;
                    let (x, y) = (&self.input[x..x + s.channels], &self.gradient[y..y + out_channels]);
                    let rows = self.filter.chunks_exact_mut(s.multiplier).zip(y.chunks_exact(s.multiplier));
                    for ((sums, ys), x) in rows.zip(x) {
                        for (sum, y) in sums.iter_mut().zip(ys) {
                            *sum += x * y;
                        }
                    }
                }
            }
        }
    }
}

impl FilterTap<'_> {
    /// The sum over all positions for as many channels from `c` on as a vector has lanes, where every channel has one
    /// output. Four sums take turns along a row, so that none waits for the one before.
    #[inline(always)]
    fn channels<S: Isa>(
        &self,
        isa: S,
        c: usize,
        [ky, kx]: [usize; 2],
        rows: &Range<usize>,
        columns: &Range<usize>,
    ) -> S::F {
        let s = self.shape;
        let lanes = S::LANES.min(s.channels - c);
        let mut sums = [isa.zero(); 4];
        for image in 0..s.batch {
            for oy in rows.clone() {
                let iy = oy * s.stride[0] + ky * s.dilation[0] - s.pad_before[0];
                let ix = (columns.start * s.stride[1] + kx * s.dilation[1]).wrapping_sub(s.pad_before[1]);
                let mut x =
                    ((image * s.input[0] + iy) * s.input[1]).wrapping_add(ix).wrapping_mul(s.channels);
                let mut y = ((image * s.output[0] + oy) * s.output[1] + columns.start) * s.channels;
                x = x.wrapping_add(c);
                y += c;
                let (step, mut left) = (s.stride[1] * s.channels, columns.len());
                while left >= 4 {
                    for sum in &mut sums {
                        *sum = isa.fma(
                            lanes_at(isa, self.input, x, lanes),
                            lanes_at(isa, self.gradient, y, lanes),
                            *sum,
                        );
                        x += step;
                        y += s.channels;
                    }
                    left -= 4;
                }
                for sum in &mut sums[..left] {
                    *sum = isa.fma(
                        lanes_at(isa, self.input, x, lanes),
                        lanes_at(isa, self.gradient, y, lanes),
                        *sum,
                    );
                    x += step;
                    y += s.channels;
                }
            }
        }
        isa.add(isa.add(sums[0], sums[1]), isa.add(sums[2], sums[3]))
    }
}

/// The gradient of the input; threads share the images.
///
/// # Errors
/// If a slice does not have the convolution's size.
pub fn depthwise_input_grad(
    cpu: Cpu,
    shape: &DepthwiseGradShape,
    filter: &[f32],
    gradient: &[f32],
    input: &mut [f32],
    par: Par,
) -> Result<(), ShapeError> {
    shape.check(input.len(), filter.len(), gradient.len())?;
    let image_len = shape.input[0] * shape.input[1] * shape.channels;
    if image_len > 0 {
        let meetings = &[shape.meetings(0), shape.meetings(1)];
        par.chunks_mut(input, image_len, |image, input| {
            cpu.dispatch(InputImage { shape, meetings, filter, gradient, image, input });
        });
    }
    Ok(())
}

struct InputImage<'a> {
    shape: &'a DepthwiseGradShape,
    meetings: &'a [Vec<Vec<(usize, usize)>>; 2],
    filter: &'a [f32],
    gradient: &'a [f32],
    image: usize,
    input: &'a mut [f32],
}

impl Kernel for InputImage<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let s = self.shape;
        if s.multiplier == 1 {
            for c in (0..s.channels).step_by(S::LANES) {
                self.channels(isa, c);
            }
            return;
        }
        let out_channels = s.channels * s.multiplier;
        self.input.fill(0.0);
        for oy in 0..s.output[0] {
            for ox in 0..s.output[1] {
                let y = ((self.image * s.output[0] + oy) * s.output[1] + ox) * out_channels;
                let y = &self.gradient[y..y + out_channels];
                for ky in 0..s.kernel[0] {
                    let Some(iy) = s.under(0, oy, ky) else { continue };
                    for kx in 0..s.kernel[1] {
                        let Some(ix) = s.under(1, ox, kx) else { continue };
                        let w = &self.filter[(ky * s.kernel[1] + kx) * out_channels..][..out_channels];
                        let x = (iy * s.input[1] + ix) * s.channels;
                        let x = &mut self.input[x..x + s.channels];
                        let rows = w.chunks_exact(s.multiplier).zip(y.chunks_exact(s.multiplier));
                        for (sum, (ws, ys)) in x.iter_mut().zip(rows) {
                            *sum += ws.iter().zip(ys).map(|(w, y)| w * y).sum::<f32>();
                        }
                    }
                }
            }
        }
    }
}

impl InputImage<'_> {
    /// The gradient of every pixel for as many channels from `c` on as a vector has lanes, where every channel has one
    /// output: the sum over the windows that a pixel lies in.
    #[inline(always)]
    fn channels<S: Isa>(&mut self, isa: S, c: usize) {
        let s = self.shape;
        let lanes = S::LANES.min(s.channels - c);
        let image = self.image * s.output[0] * s.output[1] * s.channels + c;
        let mut to = c;
        for ys in &self.meetings[0] {
            for xs in &self.meetings[1] {
                let mut sum = isa.zero();
                for &(ky, oy) in ys {
                    let (taps, row) =
                        (ky * s.kernel[1] * s.channels + c, image + oy * s.output[1] * s.channels);
                    for &(kx, ox) in xs {
                        let w = lanes_at(isa, self.filter, taps + kx * s.channels, lanes);
                        sum = isa.fma(w, lanes_at(isa, self.gradient, row + ox * s.channels, lanes), sum);
                    }
                }
                let to_lanes = &mut self.input[to..to + lanes];
                set_lanes(isa, sum, to_lanes);
                to += s.channels;
            }
        }
    }
}
