//! Gradients of depthwise convolutions.

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
    fn run<S: Isa>(self, _: S) {
        let s = self.shape;
        let (ky, kx) = (self.tap / s.kernel[1], self.tap % s.kernel[1]);
        let out_channels = s.channels * s.multiplier;
        self.filter.fill(0.0);
        for image in 0..s.batch {
            for oy in 0..s.output[0] {
                let Some(iy) = s.under(0, oy, ky) else { continue };
                for ox in 0..s.output[1] {
                    let Some(ix) = s.under(1, ox, kx) else { continue };
                    let x = ((image * s.input[0] + iy) * s.input[1] + ix) * s.channels;
                    let y = ((image * s.output[0] + oy) * s.output[1] + ox) * out_channels;
                    let (x, y) = (&self.input[x..x + s.channels], &self.gradient[y..y + out_channels]);
                    if s.multiplier == 1 {
                        for ((sum, x), y) in self.filter.iter_mut().zip(x).zip(y) {
                            *sum += x * y;
                        }
                    } else {
                        let rows =
                            self.filter.chunks_exact_mut(s.multiplier).zip(y.chunks_exact(s.multiplier));
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
        par.chunks_mut(input, image_len, |image, input| {
            cpu.dispatch(InputImage { shape, filter, gradient, image, input });
        });
    }
    Ok(())
}

struct InputImage<'a> {
    shape: &'a DepthwiseGradShape,
    filter: &'a [f32],
    gradient: &'a [f32],
    image: usize,
    input: &'a mut [f32],
}

impl Kernel for InputImage<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let s = self.shape;
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
                        if s.multiplier == 1 {
                            for ((sum, w), y) in x.iter_mut().zip(w).zip(y) {
                                *sum += w * y;
                            }
                        } else {
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
}
