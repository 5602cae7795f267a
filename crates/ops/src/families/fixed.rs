//! Real factors in fixed point.

use crate::error::OpError;

/// `real` as `multiplier * 2^(shift - 31)` with a multiplier of 31 significant bits; factors below `2^-32` are zero.
///
/// # Errors
/// When the factor is negative, not finite or at least `2^30`.
pub fn fixed_multiplier(real: f64) -> Result<(i32, i32), OpError> {
    if real == 0.0 {
        return Ok((0, 0));
    }
    if !(real.is_finite() && real > 0.0 && real < f64::from(1 << 30)) {
        return Err(OpError::invalid(format!(
            "the ratio {real} of two scales is out of range: quantize the model anew"
        )));
    }
    // Scale to 0.5..1; the exponent of a normal number is exact.
    let mut shift = 0;
    let mut fraction = real;
    while fraction >= 1.0 {
        fraction /= 2.0;
        shift += 1;
    }
    while fraction < 0.5 {
        fraction *= 2.0;
        shift -= 1;
    }
    let mut multiplier = (fraction * 2f64.powi(31)).round() as i64;
    if multiplier == 1 << 31 {
        multiplier /= 2;
        shift += 1;
    }
    Ok(if shift < -31 { (0, 0) } else { (multiplier as i32, shift) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let rows: &[(f64, (i32, i32))] = &[
            (0.0, (0, 0)),
            (1.0, (1 << 30, 1)),
            (0.5, (1 << 30, 0)),
            (0.75, (3 << 29, 0)),
            (3.0, (3 << 29, 2)),
            (1e-12, (0, 0)),
            (0.999_999_999_9, (1 << 30, 1)),
        ];
        for (real, want) in rows {
            assert_eq!(fixed_multiplier(*real), Ok(*want), "{real}");
        }
        for real in [-1.0, f64::NAN, f64::INFINITY, 1e10] {
            assert!(fixed_multiplier(real).is_err(), "{real}");
        }
    }
}
