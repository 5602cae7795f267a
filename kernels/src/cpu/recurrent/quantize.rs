//! Quantization of float vectors at run time, for products with 8-bit weights.

/// Quantizes `x` to 8 bits by its own range, writes the values with their zero point taken off, and returns the scale.
///
/// Symmetric: -127 to 127 with zero point 0. Asymmetric: -128 to 127, the zero point placed where it errs least. A
/// vector of zeros has scale 1.
///
/// # Panics
/// When `out` is shorter than `x`.
pub fn quantize_vector(x: &[f32], asymmetric: bool, out: &mut [i16]) -> f32 {
    let out = &mut out[..x.len()];
    let (min, max) = x.iter().fold((0f32, 0f32), |(min, max), &x| (min.min(x), max.max(x)));
    if min == 0.0 && max == 0.0 {
        out.fill(0);
        return 1.0;
    }
    if asymmetric { quantize_asymmetric(x, min, max, out) } else { quantize_symmetric(x, max.max(-min), out) }
}

fn quantize_symmetric(x: &[f32], range: f32, out: &mut [i16]) -> f32 {
    let inverse = 127.0 / range;
    for (out, &x) in out.iter_mut().zip(x) {
        *out = (x * inverse).round().clamp(-127.0, 127.0) as i16;
    }
    range / 127.0
}

fn quantize_asymmetric(x: &[f32], min: f32, max: f32, out: &mut [i16]) -> f32 {
    let (low, high) = (-128f64, 127f64);
    let scale = f64::from(max - min) / (high - low);
    let (min, max) = (f64::from(min), f64::from(max));
    let from_min = low - min / scale;
    let from_max = high - max / scale;
    let min_errs_less = low.abs() + (min / scale).abs() < high.abs() + (max / scale).abs();
    let zero_point = if min_errs_less { from_min } else { from_max }.round().clamp(low, high) as i16;
    let scale = scale as f32;
    let inverse = 1.0 / scale;
    for (out, &x) in out.iter_mut().zip(x) {
        *out = ((x * inverse).round() as i16 + zero_point).clamp(-128, 127) - zero_point;
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantized_vectors_rows() {
        type Row = (&'static str, &'static [f32], bool, &'static [i16], f32);
        let rows: &[Row] = &[
            ("zeros", &[0.0, -0.0], false, &[0, 0], 1.0),
            ("symmetric", &[-2.54, 1.27, 0.0, 0.02], false, &[-127, 64, 0, 1], 0.02),
            ("asymmetric, positive only", &[0.0, 2.55, 1.0], true, &[0, 255, 100], 0.01),
            ("asymmetric, negative only", &[-2.55, 0.0], true, &[-255, 0], 0.01),
            ("asymmetric, both signs", &[-1.28, 1.27], true, &[-128, 127], 0.01),
        ];
        let mut wrong = Vec::new();
        for &(name, x, asymmetric, want, want_scale) in rows {
            let mut got = vec![0; x.len()];
            let scale = quantize_vector(x, asymmetric, &mut got);
            if got != want || (scale / want_scale - 1.0).abs() > 1e-6 {
                wrong.push(format!("{name}: {got:?} with {scale}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
