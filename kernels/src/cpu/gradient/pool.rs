//! Pooling over depth, height and width, and its gradients, as TensorFlow's operators define them.
//!
//! The gradient of a maximum goes to the first greatest element of a window in memory order; padding takes no part in an
//! average.

use core::ops::Range;

use super::{lanes_at, set_lanes};
use crate::error::ShapeError;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::Par;

/// Sizes of a pooling of `[batch, depth, height, width, channels]`; two-dimensional ones have depth 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Images.
    pub batch: usize,
    /// Depth, height and width of the input.
    pub input: [usize; 3],
    /// Depth, height and width of the output.
    pub output: [usize; 3],
    /// Channels.
    pub channels: usize,
    /// Depth, height and width of the window.
    pub window: [usize; 3],
    /// Steps between windows.
    pub stride: [usize; 3],
    /// Padding before the input.
    pub pad_before: [usize; 3],
}

impl PoolShape {
    fn input_len(&self) -> usize {
        self.input.iter().product::<usize>() * self.channels
    }

    fn output_len(&self) -> usize {
        self.output.iter().product::<usize>() * self.channels
    }

    fn check(&self, input: usize, output: usize) -> Result<(), ShapeError> {
        ShapeError::check("input", self.batch * self.input_len(), input)?;
        ShapeError::check("output", self.batch * self.output_len(), output)
    }

    /// First and one past the last input coordinate of window `out` along an axis.
    fn range(&self, axis: usize, out: usize) -> Range<usize> {
        let start = out * self.stride[axis];
        let end = (start + self.window[axis]).saturating_sub(self.pad_before[axis]).min(self.input[axis]);
        start.saturating_sub(self.pad_before[axis]).min(end)..end
    }

    /// Calls `visit` with every output pixel of an image and the input pixels of its window in memory order.
    #[inline(always)]
    fn windows(&self, mut visit: impl FnMut(usize, &mut dyn Iterator<Item = usize>)) {
        let [_, height, width] = self.input;
        let mut pixel = 0;
        for oz in 0..self.output[0] {
            for oy in 0..self.output[1] {
                for ox in 0..self.output[2] {
                    let (ys, xs) = (self.range(1, oy), self.range(2, ox));
                    let mut places = self.range(0, oz).flat_map(|z| {
                        let xs = xs.clone();
                        ys.clone().flat_map(move |y| xs.clone().map(move |x| (z * height + y) * width + x))
                    });
                    visit(pixel, &mut places);
                    pixel += 1;
                }
            }
        }
    }
}

/// Greatest element of each window.
///
/// # Errors
/// If a slice does not have the pooling's size.
pub fn max_pool(shape: &PoolShape, input: &[f32], output: &mut [f32], par: Par) -> Result<(), ShapeError> {
    shape.check(input.len(), output.len())?;
    per_image(shape.output_len(), output, par, |image, output| {
        let input = &input[image * shape.input_len()..][..shape.input_len()];
        let channels = shape.channels;
        shape.windows(|pixel, places| {
            let output = &mut output[pixel * channels..][..channels];
            output.fill(f32::MIN);
            for place in places {
                for (out, &x) in output.iter_mut().zip(&input[place * channels..][..channels]) {
                    *out = if x > *out || x.is_nan() { x } else { *out };
                }
            }
        });
    });
    Ok(())
}

/// Mean of each window.
///
/// # Errors
/// If a slice does not have the pooling's size.
pub fn average_pool(
    shape: &PoolShape,
    input: &[f32],
    output: &mut [f32],
    par: Par,
) -> Result<(), ShapeError> {
    shape.check(input.len(), output.len())?;
    per_image(shape.output_len(), output, par, |image, output| {
        let input = &input[image * shape.input_len()..][..shape.input_len()];
        let channels = shape.channels;
        shape.windows(|pixel, places| {
            let output = &mut output[pixel * channels..][..channels];
            output.fill(0.0);
            let mut count = 0usize;
            for place in places {
                count += 1;
                for (out, &x) in output.iter_mut().zip(&input[place * channels..][..channels]) {
                    *out += x;
                }
            }
            let scale = 1.0 / count.max(1) as f32;
            output.iter_mut().for_each(|out| *out *= scale);
        });
    });
    Ok(())
}

/// The gradient of [`max_pool`] with respect to its input.
///
/// # Errors
/// If a slice does not have the pooling's size.
pub fn max_pool_grad(
    cpu: Cpu,
    shape: &PoolShape,
    input: &[f32],
    gradient: &[f32],
    out: &mut [f32],
    par: Par,
) -> Result<(), ShapeError> {
    shape.check(input.len(), gradient.len())?;
    shape.check(out.len(), gradient.len())?;
    let pixels = shape.input.iter().product::<usize>();
    ShapeError::check_at_least("numbers for an image's pixels", pixels, i32::MAX as usize)?;
    per_image(shape.input_len(), out, par, |image, out| {
        let input = &input[image * shape.input_len()..][..shape.input_len()];
        let gradient = &gradient[image * shape.output_len()..][..shape.output_len()];
        out.fill(0.0);
        cpu.dispatch(MaxGrad { shape, input, gradient, out });
    });
    Ok(())
}

/// The gradient of a maximum for one image; `out` holds zeros, and the number of pixels fits in `i32`.
struct MaxGrad<'a> {
    shape: &'a PoolShape,
    input: &'a [f32],
    gradient: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for MaxGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let s = self.shape;
        let mut pixel = 0;
        for oz in 0..s.output[0] {
            let zs = s.range(0, oz);
            for oy in 0..s.output[1] {
                let ys = s.range(1, oy);
                for ox in 0..s.output[2] {
                    let window = [zs.clone(), ys.clone(), s.range(2, ox)];
                    for c in (0..s.channels).step_by(S::LANES) {
                        self.channels(isa, &window, pixel, c);
                    }
                    pixel += 1;
                }
            }
        }
    }
}

impl MaxGrad<'_> {
    /// Finds the greatest elements of a window for as many channels from `c` on as a vector has lanes, and adds the gradient
    /// of output pixel `pixel` there.
    #[inline(always)]
    fn channels<S: Isa>(&mut self, isa: S, window: &[Range<usize>; 3], pixel: usize, c: usize) {
        let channels = self.shape.channels;
        let lanes = S::LANES.min(channels - c);
        let [_, height, width] = self.shape.input;
        let [zs, ys, xs] = window;
        let first = (zs.start * height + ys.start) * width + xs.start;
        if zs.is_empty() || ys.is_empty() || xs.is_empty() {
            return;
        }
        let (mut best, mut at) =
            (lanes_at(isa, self.input, first * channels + c, lanes), isa.splat_i32(first as i32));
        for z in zs.clone() {
            for y in ys.clone() {
                for x in xs.clone() {
                    let place = (z * height + y) * width + x;
                    let value = lanes_at(isa, self.input, place * channels + c, lanes);
                    let greater = isa.lt(best, value);
                    best = isa.select(greater, value, best);
                    at = isa.select_i32(greater, isa.splat_i32(place as i32), at);
                }
            }
        }
        let gradient = lanes_at(isa, self.gradient, pixel * channels + c, lanes);
        for z in zs.clone() {
            for y in ys.clone() {
                for x in xs.clone() {
                    let place = (z * height + y) * width + x;
                    let here = isa.eq_i32(at, isa.splat_i32(place as i32));
                    let sum = isa.add(
                        lanes_at(isa, self.out, place * channels + c, lanes),
                        isa.select(here, gradient, isa.zero()),
                    );
                    let to = &mut self.out[place * channels + c..][..lanes];
                    set_lanes(isa, sum, to);
                }
            }
        }
    }
}

/// The gradient of [`average_pool`] with respect to its input.
///
/// # Errors
/// If a slice does not have the pooling's size.
pub fn average_pool_grad(
    shape: &PoolShape,
    gradient: &[f32],
    out: &mut [f32],
    par: Par,
) -> Result<(), ShapeError> {
    shape.check(out.len(), gradient.len())?;
    per_image(shape.input_len(), out, par, |image, out| {
        let gradient = &gradient[image * shape.output_len()..][..shape.output_len()];
        let channels = shape.channels;
        out.fill(0.0);
        let mut window = Vec::new();
        shape.windows(|pixel, places| {
            window.clear();
            window.extend(places);
            let scale = 1.0 / window.len().max(1) as f32;
            let gradient = &gradient[pixel * channels..][..channels];
            for place in &window {
                for (out, g) in out[place * channels..][..channels].iter_mut().zip(gradient) {
                    *out += g * scale;
                }
            }
        });
    });
    Ok(())
}

fn per_image(len: usize, out: &mut [f32], par: Par, run: impl Fn(usize, &mut [f32]) + Sync + Send) {
    if len > 0 {
        par.chunks_mut(out, len, run);
    }
}
