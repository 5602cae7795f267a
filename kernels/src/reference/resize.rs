//! Resizing, one element at a time and in double precision.

use crate::cpu::resize::{Corners, ResizeShape};

/// Bilinear interpolation of NHWC images.
pub fn bilinear(shape: &ResizeShape, corners: Corners, src: &[f64]) -> Vec<f64> {
    let [height, width] = shape.source;
    let [out_height, out_width] = shape.result;
    let mut dst = Vec::new();
    for image in 0..shape.batch {
        for y in 0..out_height {
            for x in 0..out_width {
                for channel in 0..shape.channels {
                    let at = |y: usize, x: usize| {
                        src[((image * height + y) * width + x) * shape.channels + channel]
                    };
                    let (y, x) =
                        (position(corners, height, out_height, y), position(corners, width, out_width, x));
                    let (top, left) = (y as usize, x as usize);
                    let (bottom, right) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
                    let (dy, dx) = (y.fract(), x.fract());
                    let upper = at(top, left) * (1.0 - dx) + at(top, right) * dx;
                    let lower = at(bottom, left) * (1.0 - dx) + at(bottom, right) * dx;
                    dst.push(upper * (1.0 - dy) + lower * dy);
                }
            }
        }
    }
    dst
}

/// Where result position `i` lies on the source axis.
fn position(corners: Corners, source: usize, result: usize, i: usize) -> f64 {
    let (n, m, i) = (source as f64, result as f64, i as f64);
    let at = match corners {
        Corners::Legacy => i * n / m,
        Corners::Align if result > 1 => i * (n - 1.0) / (m - 1.0),
        Corners::Align => 0.0,
        Corners::HalfPixel => (i + 0.5) * n / m - 0.5,
    };
    at.clamp(0.0, n - 1.0)
}
