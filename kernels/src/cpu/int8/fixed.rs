//! Requantization by fixed-point multipliers, as the reference has it where it does not use float scales.
//!
//! The results differ from those of a float product where that falls near the middle between two integers.

use super::store::{SPARE, per_column};
use crate::fixed_point::Multiplier;

/// The multipliers of the columns; `None` if a scale is no multiplier.
fn multipliers(scales: &[f64], cols: usize) -> Option<Vec<Multiplier>> {
    let each: Option<Vec<Multiplier>> = scales.iter().map(|&s| Multiplier::new(s)).collect();
    Some(per_column(&each?, cols))
}

/// Fixed-point requantization: `clamp(sum * multiplier[col] + zero, low, high)`.
///
/// The multipliers are kept as the numbers their arithmetic takes, one table each: a left shift, a 31-bit fraction, a
/// right shift and what is added before it.
#[derive(Clone, Debug)]
pub struct FixedPoint {
    lefts: Vec<u32>,
    fractions: Vec<i32>,
    rights: Vec<u32>,
    /// What negative numbers get less before the right shift: 1 rounds halves away from zero, 0 upwards.
    away: Vec<i64>,
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
        let multipliers = multipliers(scales, cols)?;
        Some(Self {
            lefts: multipliers.iter().map(|m| m.exponent.max(0) as u32).collect(),
            fractions: multipliers.iter().map(|m| m.fraction).collect(),
            rights: multipliers.iter().map(|m| (-m.exponent).max(0) as u32).collect(),
            away: multipliers.iter().map(|m| i64::from(m.exponent < 0)).collect(),
            zero,
            low,
            high,
        })
    }

    /// Rounds whole blocks of eight columns as the reference's vector code does: the halves of the last shift
    /// upwards, instead of away from zero.
    #[must_use]
    pub fn with_vector_rounding(mut self) -> Self {
        let cols = self.away.len() - SPARE;
        self.away[..cols / 8 * 8].fill(0);
        self
    }

    /// Rounds the halves of the last shift upwards in all columns.
    #[must_use]
    pub fn rounding_upwards(mut self) -> Self {
        self.away.fill(0);
        self
    }

    /// The outputs for `N` sums of the columns from `col` on; columns may be behind the last one.
    #[inline(always)]
    pub(super) fn apply_lanes<const N: usize>(&self, col: usize, sums: &[i32; N]) -> [i32; N] {
        // Nothing but arithmetic on tables of one length: vector code.
        let (lefts, fractions) = (&self.lefts[col..][..N], &self.fractions[col..][..N]);
        let (rights, away) = (&self.rights[col..][..N], &self.away[col..][..N]);
        let mut out = [0; N];
        for i in 0..N {
            let product = i64::from(sums[i].wrapping_shl(lefts[i])) * i64::from(fractions[i]);
            // The doubled product's high half, rounded. It always fits: no fraction is -2^31.
            let high = (product + (1 << 30)) >> 31;
            let half = (1i64 << rights[i]) >> 1;
            let near = (high + half + (high >> 63) * away[i]) >> rights[i];
            out[i] = (near + i64::from(self.zero)).clamp(self.low.into(), self.high.into()) as i32;
        }
        out
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
    /// Factors of fifteen bits and shifts, see [`Multiplier::wide`].
    fractions: Vec<i64>,
    shifts: Vec<u32>,
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
        let (fractions, shifts) = multipliers(scales, cols)?.iter().map(|m| m.wide()).unzip();
        Some(Self {
            fractions,
            shifts,
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
            WideRounding::Fixed => apply_wide(self.fractions[col], self.shifts[col], sum),
            WideRounding::Double => libm::round(sum as f64 * self.scales[col]) as i32,
        };
        scaled.clamp(self.low, self.high)
    }

    /// The outputs for `N` sums of the columns from `col` on; columns may be behind the last one.
    #[inline(always)]
    pub(super) fn apply_lanes<const N: usize>(&self, col: usize, sums: &[i32; N]) -> [i16; N] {
        let mut out = [0; N];
        if self.rounding == WideRounding::Double {
            for (i, (out, &sum)) in out.iter_mut().zip(sums).enumerate() {
                *out = self.apply(col + i, sum.into()) as i16;
            }
            return out;
        }
        // Nothing but arithmetic on tables of one length: vector code.
        let (bias, fractions) = (&self.bias[col..][..N], &self.fractions[col..][..N]);
        let shifts = &self.shifts[col..][..N];
        for i in 0..N {
            let sum = i64::from(sums[i]).wrapping_add(bias[i]);
            out[i] = apply_wide(fractions[i], shifts[i], sum).clamp(self.low, self.high) as i16;
        }
        out
    }
}

/// [`Multiplier::apply_wide`] of the multiplier with this factor and this shift.
#[inline(always)]
fn apply_wide(fraction: i64, shift: u32, sum: i64) -> i32 {
    (sum.wrapping_mul(fraction).wrapping_add(1i64.wrapping_shl(shift) >> 1).wrapping_shr(shift)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        let fixed = FixedPoint::new(&[0.125], 1, 0, -100, 100).unwrap();
        for (sum, want) in [(4, 1), (-4, -1), (12, 2), (-12, -2), (9000, 100)] {
            assert_eq!(fixed.apply_lanes(0, &[sum]), [want], "{sum} / 8");
        }
        let eight = FixedPoint::new(&[0.125], 9, 0, -100, 100).unwrap().with_vector_rounding();
        for (sum, vector, rest) in [(4, 1, 1), (-4, 0, -1), (-12, -1, -2), (-15, -2, -2)] {
            assert_eq!(eight.apply_lanes(7, &[sum; 2]), [vector, rest], "{sum} / 8 in columns 7 and 8");
        }
        for (scale, sums) in
            [(0.3, [1, -1, 1 << 30, -(1 << 30)]), (7.7, [3, -3, 99, i32::MAX]), (1e-9, [i32::MIN, 0, 1, 2])]
        {
            let (m, fixed) =
                (Multiplier::new(scale).unwrap(), FixedPoint::new(&[scale], 4, 3, -128, 127).unwrap());
            let want = sums.map(|sum| m.apply(sum).saturating_add(3).clamp(-128, 127));
            assert_eq!(fixed.apply_lanes(0, &sums), want, "{sums:?} by {scale}");
        }
        let all = FixedPoint::new(&[0.125], 1, 0, -100, 100).unwrap().rounding_upwards();
        assert_eq!([4, -4, -12].map(|sum| all.apply_lanes(0, &[sum])), [[1], [0], [-1]]);
        let wide = WideFixedPoint::new(&[0.125], &[8], 1, WideRounding::Fixed, -100, 100).unwrap();
        assert_eq!([-12, 4, 80_000].map(|sum| wide.apply(0, sum)), [0, 2, 100]);
        let double = WideFixedPoint::new(&[0.125], &[8], 1, WideRounding::Double, -100, 100).unwrap();
        assert_eq!([-12, 4, -20, 80_000].map(|sum| double.apply(0, sum)), [-1, 2, -2, 100]);
    }
}
