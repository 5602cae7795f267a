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
    let rows = x.len() / channels.max(1);
    let scale = 1.0 / rows.max(1) as f64;
    for c in 0..channels {
        let column = || x.iter().skip(c).step_by(channels).map(|&v| f64::from(v));
        let m = column().sum::<f64>() * scale;
        mean[c] = m as f32;
        variance[c] = (column().map(|v| (v - m) * (v - m)).sum::<f64>() * scale) as f32;
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
    let rows = (x.len() / channels.max(1)).max(1) as f64;
    for c in 0..channels {
        let inverse = 1.0 / (f64::from(variance[c]) + f64::from(epsilon)).sqrt();
        let m = f64::from(mean[c]);
        let pairs =
            || x.iter().zip(dy).skip(c).step_by(channels).map(|(&x, &g)| (f64::from(x) - m, f64::from(g)));
        let sum: f64 = pairs().map(|(_, g)| g).sum();
        let product: f64 = pairs().map(|(x, g)| x * g).sum();
        d_offset[c] = sum as f32;
        d_scale[c] = (product * inverse) as f32;
        let factor = f64::from(scale[c]) * inverse;
        let (shift, slope) =
            if training { (sum / rows, product * inverse * inverse / rows) } else { (0.0, 0.0) };
        for (out, (x, g)) in dx.iter_mut().skip(c).step_by(channels).zip(pairs()) {
            *out = (factor * (g - shift - x * slope)) as f32;
        }
    }
    Ok(())
}
