//! Batch normalization over the last axis, in training and its gradient.
//!
//! Ioffe and Szegedy, "Batch Normalization" (2015); sums in double precision.

use crate::error::ShapeError;

/// Mean and variance (divided by the count) of every channel of rows of channels.
///
/// # Errors
/// If slices do not fit together.
pub fn moments(x: &[f32], mean: &mut [f32], variance: &mut [f32]) -> Result<(), ShapeError> {
    let channels = mean.len();
    ShapeError::check("variance", channels, variance.len())?;
    ShapeError::check("elements beyond whole rows", 0, x.len() % channels.max(1))?;
    let scale = 1.0 / (x.len() / channels.max(1)).max(1) as f64;
    // Row by row, all channels side by side; each channel's sum is in the order of the rows.
    let rows = || x.chunks_exact(channels.max(1));
    let mut means = vec![0f64; channels];
    for row in rows() {
        for (sum, &v) in means.iter_mut().zip(row) {
            *sum += f64::from(v);
        }
    }
    means.iter_mut().for_each(|sum| *sum *= scale);
    let mut squares = vec![0f64; channels];
    for row in rows() {
        for ((sum, &m), &v) in squares.iter_mut().zip(&means).zip(row) {
            let deviation = f64::from(v) - m;
            *sum += deviation * deviation;
        }
    }
    for c in 0..channels {
        mean[c] = means[c] as f32;
        variance[c] = (squares[c] * scale) as f32;
    }
    Ok(())
}

/// `y = (x - mean) / sqrt(variance + epsilon) * scale + offset`, channel by channel.
///
/// # Errors
/// If slices do not fit together.
pub fn normalize(
    x: &[f32],
    [scale, offset, mean, variance]: [&[f32]; 4],
    epsilon: f32,
    y: &mut [f32],
) -> Result<(), ShapeError> {
    let channels = scale.len();
    for (what, slice) in [("offset", offset), ("mean", mean), ("variance", variance)] {
        ShapeError::check(what, channels, slice.len())?;
    }
    ShapeError::check("output", x.len(), y.len())?;
    ShapeError::check("elements beyond whole rows", 0, x.len() % channels.max(1))?;
    let factor: Vec<f32> = variance.iter().zip(scale).map(|(v, s)| s / (v + epsilon).sqrt()).collect();
    let rows = x.chunks_exact(channels.max(1)).zip(y.chunks_exact_mut(channels.max(1)));
    for (x, y) in rows {
        for c in 0..channels {
            y[c] = (x[c] - mean[c]) * factor[c] + offset[c];
        }
    }
    Ok(())
}

/// Gradients of batch normalization: `dx`, and per channel `d_scale` and `d_offset`.
///
/// With `training`, mean and variance are functions of `x`; without, they are constants.
///
/// # Errors
/// If slices do not fit together.
pub fn normalize_grad(
    [x, dy]: [&[f32]; 2],
    [scale, mean, variance]: [&[f32]; 3],
    epsilon: f32,
    training: bool,
    [dx, d_scale, d_offset]: [&mut [f32]; 3],
) -> Result<(), ShapeError> {
    let channels = scale.len();
    for (what, len) in [
        ("mean", mean.len()),
        ("variance", variance.len()),
        ("gradient of the scale", d_scale.len()),
        ("gradient of the offset", d_offset.len()),
    ] {
        ShapeError::check(what, channels, len)?;
    }
    ShapeError::check("gradient of the output", x.len(), dy.len())?;
    ShapeError::check("gradient of the input", x.len(), dx.len())?;
    ShapeError::check("elements beyond whole rows", 0, x.len() % channels.max(1))?;
    let count = (x.len() / channels.max(1)).max(1) as f64;
    let width = channels.max(1);
    let (mut sums, mut products) = (vec![0f64; channels], vec![0f64; channels]);
    for (x, dy) in x.chunks_exact(width).zip(dy.chunks_exact(width)) {
        let columns = sums.iter_mut().zip(&mut products).zip(mean).zip(x.iter().zip(dy));
        for (((sum, product), &mean), (&x, &g)) in columns {
            *sum += f64::from(g);
            *product += (f64::from(x) - f64::from(mean)) * f64::from(g);
        }
    }
    // For every channel what the gradient is multiplied with, and what is subtracted from it before.
    let mut lines = Vec::with_capacity(channels);
    for c in 0..channels {
        let inverse = 1.0 / (f64::from(variance[c]) + f64::from(epsilon)).sqrt();
        d_offset[c] = sums[c] as f32;
        d_scale[c] = (products[c] * inverse) as f32;
        let (shift, slope) =
            if training { (sums[c] / count, products[c] * inverse * inverse / count) } else { (0.0, 0.0) };
        lines.push([f64::from(scale[c]) * inverse, shift, slope, f64::from(mean[c])]);
    }
    let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width).zip(dy.chunks_exact(width)));
    for (dx, (x, dy)) in rows {
        for ((out, &[factor, shift, slope, mean]), (&x, &g)) in
            dx.iter_mut().zip(&lines).zip(x.iter().zip(dy))
        {
            *out = (factor * (f64::from(g) - shift - (f64::from(x) - mean) * slope)) as f32;
        }
    }
    Ok(())
}
