//! Pooling over depth, height and width, and its gradients, as TensorFlow's operators define them.
//!
//! The gradient of a maximum goes to the first greatest element of a window in memory order; padding takes no part in an
//! average.

use crate::error::ShapeError;
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
    fn range(&self, axis: usize, out: usize) -> core::ops::Range<usize> {
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
    shape: &PoolShape,
    input: &[f32],
    gradient: &[f32],
    out: &mut [f32],
    par: Par,
) -> Result<(), ShapeError> {
    shape.check(input.len(), gradient.len())?;
    shape.check(out.len(), gradient.len())?;
    let pixels = shape.input.iter().product::<usize>();
    ShapeError::check_at_least("numbers for an image's pixels", pixels, u32::MAX as usize)?;
    per_image(shape.input_len(), out, par, |image, out| {
        let input = &input[image * shape.input_len()..][..shape.input_len()];
        let gradient = &gradient[image * shape.output_len()..][..shape.output_len()];
        let channels = shape.channels;
        out.fill(0.0);
        // Apart, so that comparing becomes vector code. The number of an image's pixels fits, see below.
        let (mut best, mut at) = (vec![0f32; channels], vec![0u32; channels]);
        shape.windows(|pixel, places| {
            let Some(first) = places.next() else { return };
            best.copy_from_slice(&input[first * channels..][..channels]);
            at.fill(first as u32);
            for place in places {
                let values = &input[place * channels..][..channels];
                for ((best, at), &x) in best.iter_mut().zip(&mut at).zip(values) {
                    let greater = x > *best;
                    *best = if greater { x } else { *best };
                    *at = if greater { place as u32 } else { *at };
                }
            }
            let gradient = &gradient[pixel * channels..][..channels];
            for (channel, (&place, g)) in at.iter().zip(gradient).enumerate() {
                out[place as usize * channels + channel] += g;
            }
        });
    });
    Ok(())
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
