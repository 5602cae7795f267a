//! Requantization by fixed-point multipliers, as the reference has it where it does not use float scales.
//!
//! The results differ from those of a float product where that falls near the middle between two integers.

use super::store::{SPARE, per_column};
use crate::fixed_point::{Multiplier, high_mul};

/// The multipliers of the columns; `None` if a scale is no multiplier.
fn multipliers(scales: &[f64], cols: usize) -> Option<Vec<Multiplier>> {
    let each: Option<Vec<Multiplier>> = scales.iter().map(|&s| Multiplier::new(s)).collect();
    Some(per_column(&each?, cols))
}

/// Fixed-point requantization: `clamp(sum * multiplier[col] + zero, low, high)`.
#[derive(Clone, Debug)]
pub struct FixedPoint {
    multipliers: Vec<Multiplier>,
    /// Columns before this one round halves of the last shift upwards, the others away from zero.
    upwards: usize,
    zero: i32,
    low: i32,
    high: i32,
}

impl FixedPoint {
    /// `scales` has one entry or one for each of `cols` columns; outputs lie in `low..=high`. `None` if a scale is
    /// not finite or too large for a multiplier.
    ///
    /// # Panics
    /// If there are neither one nor `cols` scales.
    pub fn new(scales: &[f64], cols: usize, zero: i32, low: i32, high: i32) -> Option<Self> {
        Some(Self { multipliers: multipliers(scales, cols)?, upwards: 0, zero, low, high })
    }

    /// Rounds whole blocks of eight columns as the reference's vector code does: the halves of the last shift
    /// upwards, instead of away from zero.
    #[must_use]
    pub fn with_vector_rounding(self) -> Self {
        let cols = self.multipliers.len() - SPARE;
        Self { upwards: cols / 8 * 8, ..self }
    }

    /// Rounds the halves of the last shift upwards in all columns.
    #[must_use]
    pub fn rounding_upwards(self) -> Self {
        Self { upwards: self.multipliers.len(), ..self }
    }

    /// The output for a sum of column `col`.
    #[inline(always)]
    pub fn apply(&self, col: usize, sum: i32) -> i32 {
        let m = self.multipliers[col];
        let scaled = if col < self.upwards { upwards(m, sum) } else { m.apply(sum) };
        scaled.saturating_add(self.zero).clamp(self.low, self.high)
    }
}

/// [`Multiplier::apply`] with the halves of the last shift rounded upwards.
#[inline(always)]
fn upwards(m: Multiplier, x: i32) -> i32 {
    let product = high_mul(x.wrapping_shl(m.exponent.max(0) as u32), m.fraction);
    match -m.exponent {
        shift if shift > 0 => ((i64::from(product) + (1i64 << (shift - 1))) >> shift) as i32,
        _ => product,
    }
}

/// How a product of a 64-bit sum by a scale is rounded.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum WideRounding {
    /// By a multiplier of fifteen bits: [`Multiplier::apply_wide`].
    Fixed,
    /// In double precision, halves away from zero.
    Double,
}

/// Requantization of 64-bit sums: `clamp((sum + bias[col]) * scale[col], low, high)`.
#[derive(Clone, Debug)]
pub struct WideFixedPoint {
    multipliers: Vec<Multiplier>,
    scales: Vec<f64>,
    rounding: WideRounding,
    bias: Vec<i64>,
    low: i32,
    high: i32,
}

impl WideFixedPoint {
    /// `scales` and `bias` have one entry or one for each of `cols` columns; outputs lie in `low..=high`, which lie
    /// in `i16`. `None` if a scale is not finite or too large for a multiplier.
    ///
    /// # Panics
    /// On other numbers of scales or biases.
    pub fn new(
        scales: &[f64],
        bias: &[i64],
        cols: usize,
        rounding: WideRounding,
        low: i16,
        high: i16,
    ) -> Option<Self> {
        Some(Self {
            multipliers: multipliers(scales, cols)?,
            scales: per_column(scales, cols),
            rounding,
            bias: per_column(bias, cols),
            low: low.into(),
            high: high.into(),
        })
    }

    /// The output for a sum of column `col`.
    #[inline(always)]
    pub fn apply(&self, col: usize, sum: i64) -> i32 {
        let sum = sum.wrapping_add(self.bias[col]);
        let scaled = match self.rounding {
            WideRounding::Fixed => self.multipliers[col].apply_wide(sum),
            WideRounding::Double => libm::round(sum as f64 * self.scales[col]) as i32,
        };
        scaled.clamp(self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        let fixed = FixedPoint::new(&[0.125], 1, 0, -100, 100).unwrap();
        for (sum, want) in [(4, 1), (-4, -1), (12, 2), (-12, -2), (9000, 100)] {
            assert_eq!(fixed.apply(0, sum), want, "{sum} / 8");
        }
        let eight = FixedPoint::new(&[0.125], 9, 0, -100, 100).unwrap().with_vector_rounding();
        for (sum, vector, rest) in [(4, 1, 1), (-4, 0, -1), (-12, -1, -2), (-15, -2, -2)] {
            assert_eq!(
                (eight.apply(7, sum), eight.apply(8, sum)),
                (vector, rest),
                "{sum} / 8 in columns 7 and 8"
            );
        }
        let all = FixedPoint::new(&[0.125], 1, 0, -100, 100).unwrap().rounding_upwards();
        assert_eq!([4, -4, -12].map(|sum| all.apply(0, sum)), [1, 0, -1]);
        let wide = WideFixedPoint::new(&[0.125], &[8], 1, WideRounding::Fixed, -100, 100).unwrap();
        assert_eq!([-12, 4, 80_000].map(|sum| wide.apply(0, sum)), [0, 2, 100]);
        let double = WideFixedPoint::new(&[0.125], &[8], 1, WideRounding::Double, -100, 100).unwrap();
        assert_eq!([-12, 4, -20, 80_000].map(|sum| double.apply(0, sum)), [-1, 2, -2, 100]);
    }
}
