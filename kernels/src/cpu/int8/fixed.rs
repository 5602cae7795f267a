//! Requantization by fixed-point multipliers, as the reference has it where it does not use float scales.
//!
//! The results differ from those of a float product where that falls near the middle between two integers.

use super::store::{SPARE, per_column};
use crate::fixed_point::Multiplier;
use crate::isa::{Isa, MAX_LANES};

/// The multipliers of the columns; `None` if a scale is no multiplier.
fn multipliers(scales: &[f64], cols: usize) -> Option<Vec<Multiplier>> {
    let each: Option<Vec<Multiplier>> = scales.iter().map(|&s| Multiplier::new(s)).collect();
    Some(per_column(&each?, cols))
}

/// Fixed-point requantization: `clamp(sum * multiplier[col] + zero, low, high)`.
///
/// The multipliers are kept as the numbers their arithmetic takes, one table each: a left shift, a 31-bit fraction, a
/// right shift and how that rounds.
#[derive(Clone, Debug)]
pub struct FixedPoint {
    lefts: Vec<u32>,
    fractions: Vec<i32>,
    rights: Vec<u32>,
    /// -1 rounds the halves of negative numbers away from zero in the right shift, 0 upwards.
    away: Vec<i32>,
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
            rights: multipliers.iter().map(|m| (-m.exponent).clamp(0, 31) as u32).collect(),
            away: multipliers.iter().map(|m| -i32::from(m.exponent < 0)).collect(),
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

    /// The outputs for sums of as many columns as vectors have lanes, from `col` on; columns may be behind the last one.
    #[inline(always)]
    pub(super) fn apply_lanes<S: Isa>(&self, _: S, col: usize, sums: &[i32; MAX_LANES]) -> [i32; MAX_LANES] {
        // Nothing but arithmetic on tables of one length: vector code.
        let (lefts, fractions) = (&self.lefts[col..][..S::LANES], &self.fractions[col..][..S::LANES]);
        let (rights, away) = (&self.rights[col..][..S::LANES], &self.away[col..][..S::LANES]);
        let mut out = [0; MAX_LANES];
        for i in 0..S::LANES {
            let product = i64::from(sums[i].wrapping_shl(lefts[i])) * i64::from(fractions[i]);
            // The doubled product's high half, rounded. It always fits: no fraction is -2^31. The rest is 32 bits wide, which
            // vectors have twice as many lanes for, and shifts by a number for each lane.
            let high = ((product + (1 << 30)) as u64 >> 31) as i32;
            let mask = (1i32 << rights[i]).wrapping_sub(1);
            let threshold = (mask >> 1) - ((high >> 31) & away[i]);
            let near = (high >> rights[i]) + i32::from(high & mask > threshold);
            out[i] = near.saturating_add(self.zero).clamp(self.low, self.high);
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
    fractions: Vec<i32>,
    shifts: Vec<u32>,
    /// For [`WideRounding::Double`].
    scales: Vec<f64>,
    rounding: WideRounding,
    bias: Vec<i64>,
    /// The same in double precision, where that is exact.
    doubles: Option<InDouble>,
    low: i32,
    high: i32,
}

/// The numbers of the columns in double precision: `floor((sum + bias) * factor + 1/2)`.
///
/// Products have 48 bits at most, and with the half 53: nothing is rounded but by the floor.
#[derive(Clone, Debug)]
struct InDouble {
    bias: Vec<f64>,
    factors: Vec<f64>,
}

impl InDouble {
    /// `None` where a step would not be exact, or results of sums of 32 bits would be cut to 32 bits.
    fn new(bias: &[i64], fractions: &[i32], shifts: &[u32]) -> Option<Self> {
        let small = bias.iter().all(|bias| bias.unsigned_abs() <= 1 << 31);
        // A factor of zero gives zero whatever its shift.
        let near = fractions.iter().zip(shifts).all(|(&f, shift)| f == 0 || (17..=52).contains(shift));
        (small && near).then(|| Self {
            bias: bias.iter().map(|&b| b as f64).collect(),
            factors: fractions.iter().zip(shifts).map(|(&f, &s)| f64::from(f) / (1u64 << s) as f64).collect(),
        })
    }

    /// The columns from `col` on, as many as vectors have lanes; outputs lie in `bounds`.
    #[inline(always)]
    fn columns<S: Isa>(&self, col: usize, bounds: [f64; 2]) -> DoubleColumns<'_> {
        DoubleColumns {
            bias: &self.bias[col..][..S::LANES],
            factors: &self.factors[col..][..S::LANES],
            bounds,
        }
    }
}

/// [`InDouble`] of the columns of a vector.
pub(super) struct DoubleColumns<'a> {
    bias: &'a [f64],
    factors: &'a [f64],
    bounds: [f64; 2],
}

impl DoubleColumns<'_> {
    /// The outputs for sums of the columns.
    #[inline(always)]
    pub(super) fn apply<S: Isa>(&self, _: S, sums: &[i32; MAX_LANES]) -> [i32; MAX_LANES] {
        let (bias, factors) = (&self.bias[..S::LANES], &self.factors[..S::LANES]);
        let [low, high] = self.bounds;
        let mut out = [0; MAX_LANES];
        for i in 0..S::LANES {
            let scaled = (f64::from(sums[i]) + bias[i]) * factors[i] + 0.5;
            // In the form of the instructions for vectors.
            let scaled = if scaled > low { scaled } else { low };
            let scaled = if scaled < high { scaled } else { high };
            // SAFETY: it lies between two integers of 32 bits.
            let whole = unsafe { scaled.to_int_unchecked::<i32>() };
            out[i] = whole - i32::from(f64::from(whole) > scaled);
        }
        out
    }
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
        let (fractions, shifts): (Vec<i32>, Vec<u32>) =
            multipliers(scales, cols)?.iter().map(|m| m.wide()).unzip();
        let scales = match rounding {
            WideRounding::Fixed => Vec::new(),
            WideRounding::Double => per_column(scales, cols),
        };
        let bias = per_column(bias, cols);
        Some(Self {
            doubles: InDouble::new(&bias, &fractions, &shifts),
            fractions,
            shifts,
            scales,
            rounding,
            bias,
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

    /// What the columns from `col` on need, if double precision is exact for all and faster than integers.
    #[inline(always)]
    pub(super) fn in_double<S: Isa>(&self, _: S, col: usize) -> Option<DoubleColumns<'_>> {
        let fixed = self.rounding == WideRounding::Fixed && !S::SHIFTS_WIDE;
        let doubles = self.doubles.as_ref().filter(|_| fixed)?;
        Some(doubles.columns::<S>(col, [self.low.into(), self.high.into()]))
    }

    /// The outputs for sums of as many columns as vectors have lanes, from `col` on; columns may be behind the last one.
    #[inline(always)]
    pub(super) fn apply_lanes<S: Isa>(
        &self,
        isa: S,
        col: usize,
        sums: &[i32; MAX_LANES],
    ) -> [i32; MAX_LANES] {
        let mut out = [0; MAX_LANES];
        if self.rounding == WideRounding::Double {
            for (i, (out, &sum)) in out.iter_mut().zip(sums).take(S::LANES).enumerate() {
                *out = self.apply(col + i, sum.into());
            }
            return out;
        }
        if let Some(columns) = self.in_double(isa, col) {
            return columns.apply(isa, sums);
        }
        // Nothing but arithmetic on tables of one length: vector code.
        let (bias, fractions) = (&self.bias[col..][..S::LANES], &self.fractions[col..][..S::LANES]);
        let shifts = &self.shifts[col..][..S::LANES];
        for i in 0..S::LANES {
            let sum = i64::from(sums[i]).wrapping_add(bias[i]);
            out[i] = apply_wide(fractions[i], shifts[i], sum).clamp(self.low, self.high);
        }
        out
    }
}

/// [`Multiplier::apply_wide`] of the multiplier with this factor and this shift.
#[inline(always)]
fn apply_wide(fraction: i32, shift: u32, sum: i64) -> i32 {
    (sum.wrapping_mul(fraction.into()).wrapping_add(1i64.wrapping_shl(shift) >> 1).wrapping_shr(shift)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Cpu, Kernel};
    use proptest::prelude::*;

    /// The outputs for a vector of sums of the columns from `col` on.
    struct Lanes<'a>(&'a FixedPoint, usize, [i32; MAX_LANES]);

    impl Kernel for Lanes<'_> {
        type Output = i32;
        fn run<S: Isa>(self, isa: S) -> i32 {
            self.0.apply_lanes(isa, self.1, &self.2)[0]
        }
    }

    /// The output for a sum of a column.
    fn one(fixed: &FixedPoint, col: usize, sum: i32) -> i32 {
        Cpu::portable().dispatch(Lanes(fixed, col, [sum; MAX_LANES]))
    }

    /// Sums of all columns by vectors, each beside the same alone.
    struct Wide<'a>(&'a WideFixedPoint, usize, &'a [i32]);

    impl Kernel for Wide<'_> {
        type Output = Vec<(i32, i32)>;
        fn run<S: Isa>(self, isa: S) -> Self::Output {
            let Self(fixed, cols, sums) = self;
            let mut pairs = Vec::new();
            for &sum in sums {
                for col in (0..cols).step_by(S::LANES) {
                    let out = fixed.apply_lanes(isa, col, &[sum; MAX_LANES]);
                    let each = (col..cols.min(col + S::LANES)).map(|c| fixed.apply(c, sum.into()));
                    pairs.extend(out.into_iter().zip(each));
                }
            }
            pairs
        }
    }

    proptest! {
        #[test]
        fn one_shift_for_each_column(sum: i32, scale in prop_oneof![-1.0f64..1.0, 1e-9..1e-3, 1.0..90.0], zero: i32) {
            let m = Multiplier::new(scale).unwrap();
            let plain = FixedPoint::new(&[scale], 9, zero, -30_000, 40_000).unwrap();
            let upwards = plain.clone().rounding_upwards();
            let (left, right) = (m.exponent.max(0) as u32, (-m.exponent).max(0));
            let high = (i128::from(sum.wrapping_shl(left)) * i128::from(m.fraction) + (1 << 30)) >> 31;
            let half = (1i128 << right) >> 1;
            for (name, fixed, away) in [("away", &plain, right > 0 && high < 0), ("upwards", &upwards, false)] {
                let near = (high + half - i128::from(away)) >> right;
                let want = (near + i128::from(zero)).clamp(-30_000, 40_000) as i32;
                for cpu in Cpu::all() {
                    let got = cpu.dispatch(Lanes(fixed, 0, [sum; MAX_LANES]));
                    prop_assert_eq!(got, want, "{}, {}", name, cpu.name());
                }
            }
        }
    }

    #[test]
    fn vectors_of_wide_sums() {
        let sums = [i32::MIN, i32::MAX, 0, 1, -1, 3, -3, 12_345, -54_321, 1 << 20, -(1 << 20), 99_999_999];
        let biases: [(&str, &[i64]); 4] = [
            ("none", &[0]),
            ("small", &[1000]),
            ("as large as in double", &[-(1 << 31)]),
            ("beyond", &[1 << 40]),
        ];
        let scales: [(&str, &[f64]); 5] = [
            ("small", &[3e-5]),
            ("negative", &[-2e-5]),
            ("each its own", &[0.0, 1e-9, 1e-5, 0.2, 0.249, 1e-7, 5e-4, 0.01, 0.125, 1.0 / 64.0, 3e-3]),
            ("near one", &[0.9]),
            ("large", &[70.0]),
        ];
        for (bias_name, bias) in biases {
            for (scale_name, scales) in scales {
                let fixed =
                    WideFixedPoint::new(scales, bias, 11, WideRounding::Fixed, -30_000, 32_767).unwrap();
                for cpu in Cpu::all() {
                    for (got, want) in cpu.dispatch(Wide(&fixed, 11, &sums)) {
                        assert_eq!(got, want, "{bias_name}, {scale_name}, {}", cpu.name());
                    }
                }
            }
        }
    }

    #[test]
    fn halves() {
        let fixed = FixedPoint::new(&[0.125], 1, 0, -100, 100).unwrap();
        for (sum, want) in [(4, 1), (-4, -1), (12, 2), (-12, -2), (9000, 100)] {
            assert_eq!(one(&fixed, 0, sum), want, "{sum} / 8");
        }
        let eight = FixedPoint::new(&[0.125], 9, 0, -100, 100).unwrap().with_vector_rounding();
        for (sum, vector, rest) in [(4, 1, 1), (-4, 0, -1), (-12, -1, -2), (-15, -2, -2)] {
            assert_eq!(
                [7, 8].map(|col| one(&eight, col, sum)),
                [vector, rest],
                "{sum} / 8 in columns 7 and 8"
            );
        }
        for (scale, sums) in
            [(0.3, [1, -1, 1 << 30, -(1 << 30)]), (7.7, [3, -3, 99, i32::MAX]), (1e-9, [i32::MIN, 0, 1, 2])]
        {
            let (m, fixed) =
                (Multiplier::new(scale).unwrap(), FixedPoint::new(&[scale], 4, 3, -128, 127).unwrap());
            let want = sums.map(|sum| m.apply(sum).saturating_add(3).clamp(-128, 127));
            assert_eq!(sums.map(|sum| one(&fixed, 0, sum)), want, "{sums:?} by {scale}");
        }
        let all = FixedPoint::new(&[0.125], 1, 0, -100, 100).unwrap().rounding_upwards();
        assert_eq!([4, -4, -12].map(|sum| one(&all, 0, sum)), [1, 0, -1]);
        let wide = WideFixedPoint::new(&[0.125], &[8], 1, WideRounding::Fixed, -100, 100).unwrap();
        assert_eq!([-12, 4, 80_000].map(|sum| wide.apply(0, sum)), [0, 2, 100]);
        let double = WideFixedPoint::new(&[0.125], &[8], 1, WideRounding::Double, -100, 100).unwrap();
        assert_eq!([-12, 4, -20, 80_000].map(|sum| double.apply(0, sum)), [-1, 2, -2, 100]);
    }
}
