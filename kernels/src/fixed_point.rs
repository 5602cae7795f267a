//! Fixed-point arithmetic of quantized kernels.
//!
//! A real factor is a 31-bit fraction and a power of two; a product by it is rounded to its high half and then by the
//! shift, each time to nearest. The functions round and saturate as the reference integer kernels do, so that results
//! agree bit for bit.

/// A real factor as a 31-bit fraction and a power of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Multiplier {
    /// The fraction in units of 2^-31; 0 or of magnitude 2^30 and more.
    pub fraction: i32,
    /// The power of two that scales the fraction.
    pub exponent: i32,
}

impl Multiplier {
    /// The multiplier nearest to `factor`. Factors of magnitude below 2^-32 become zero.
    ///
    /// `None` when `factor` is not finite or its magnitude is 2^31 or more.
    #[must_use]
    pub fn new(factor: f64) -> Option<Self> {
        const ONE: i64 = 1 << 31;
        if factor.is_nan() || factor.abs() >= ONE as f64 {
            return None;
        }
        if factor == 0.0 {
            return Some(Self::default());
        }
        let (mantissa, mut exponent) = libm::frexp(factor);
        let mut fraction = libm::round(mantissa * ONE as f64) as i64;
        if fraction.abs() == ONE {
            fraction /= 2;
            exponent += 1;
        }
        if exponent < -31 {
            return Some(Self::default());
        }
        Some(Self { fraction: i32::try_from(fraction).ok()?, exponent })
    }

    /// `x` times the factor.
    #[must_use]
    #[inline(always)]
    pub fn apply(self, x: i32) -> i32 {
        let (left, right) = if self.exponent > 0 { (self.exponent as u32, 0) } else { (0, -self.exponent) };
        // `high_mul` of a fraction that is not -2^31. The high half comes by a shift of unsigned numbers, which all instruction
        // sets have for vectors, and the rest is 32 bits wide: loops become vector code.
        // Beyond 31 bits nothing is left.
        let fraction = if right > 31 { 0 } else { self.fraction };
        let product = i64::from(x.wrapping_shl(left)) * i64::from(fraction) + (1 << 30);
        rounding_shift_right((product as u64 >> 31) as i32, right.min(31))
    }

    /// `x` times the factor, rounded once with halves up, as the reference's matrix products do.
    #[must_use]
    #[inline(always)]
    pub fn apply_once(self, x: i32) -> i32 {
        let product = i64::from(x) * i64::from(self.fraction);
        let right = -self.exponent;
        if right > 0 {
            // As in `apply`. The bit below the last one that is left rounds.
            let high = (product as u64 >> 31) as i32;
            return (high >> right.min(31)) + ((high >> (right - 1).min(31)) & 1);
        }
        let shift = 31 + right;
        if shift == 0 { product as i32 } else { ((product + (1i64 << (shift - 1))) >> shift) as i32 }
    }

    /// `x` times the factor in 15-bit precision, rounded once; for sums that need 64 bits.
    #[must_use]
    #[inline(always)]
    pub fn apply_wide(self, x: i64) -> i32 {
        let (fraction, shift) = self.wide();
        (x.wrapping_mul(fraction.into()).wrapping_add(1 << (shift - 1)) >> shift) as i32
    }

    /// The factor and the shift (1 to 62) of [`Multiplier::apply_wide`].
    #[must_use]
    #[inline(always)]
    pub fn wide(self) -> (i32, u32) {
        let fraction = if self.fraction < 0x7fff_0000 { (self.fraction + (1 << 15)) >> 16 } else { 0x7fff };
        (fraction, (15 - self.exponent).clamp(1, 62) as u32)
    }
}

/// `2 a b / 2^32`, rounded to nearest with halves up; saturates for the product of two minima.
#[must_use]
#[inline(always)]
pub fn high_mul(a: i32, b: i32) -> i32 {
    // Without branches, so that loops become vector code. Only the product of two minima exceeds 31 bits.
    let high = (i64::from(a) * i64::from(b) + (1 << 30)) >> 31;
    high.min(i64::from(i32::MAX)) as i32
}

/// `x / 2^shift`, rounded to nearest with halves away from zero, for `0 <= shift < 32`.
#[must_use]
#[inline(always)]
pub fn rounding_shift_right(x: i32, shift: i32) -> i32 {
    let mask = ((1i64 << shift) - 1) as i32;
    let remainder = x & mask;
    let threshold = (mask >> 1) + i32::from(x < 0);
    (x >> shift) + i32::from(remainder > threshold)
}

/// `2 a b / 2^16`, rounded to nearest: the product of 15-bit fractions.
#[must_use]
#[inline(always)]
pub fn high_mul_i16(a: i16, b: i16) -> i16 {
    // Without branches, as `high_mul`.
    let high = (i32::from(a) * i32::from(b) + (1 << 14)) >> 15;
    high.min(i32::from(i16::MAX)) as i16
}

/// `1 / (1 + a)` for `a` in [0, 1), argument and result with 31 bits behind the point.
///
/// Three steps of Newton's method on `x (1 + a) / 2 = 1` from the line `48/17 - 32/17 (1 + a)/2`, in Q2.29.
#[must_use]
pub fn one_over_one_plus(a: i32) -> i32 {
    const FROM: i32 = 1_515_870_810; // 48/17 in Q2.29
    const SLOPE: i32 = -1_010_580_540; // -32/17 in Q2.29
    const ONE: i32 = 1 << 29;
    // Halves rounded away from zero; both are not negative.
    let half_denominator = ((i64::from(a) + i64::from(i32::MAX) + 1) / 2) as i32;
    let mut x = FROM + high_mul(half_denominator, SLOPE);
    for _ in 0..3 {
        let rest = ONE - high_mul(half_denominator, x);
        // The product has four integer bits; two are shifted out, saturating.
        let step = i64::from(high_mul(x, rest)) << 2;
        x = x.wrapping_add(step.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32);
    }
    (i64::from(x) << 1).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// The reciprocal of `x > 0`: a 31-bit fraction and the number of bits by which it is to be shifted right.
#[must_use]
pub fn reciprocal(x: i32) -> (i32, i32) {
    let leading = x.leading_zeros() as i32;
    let below_one = ((x as u32) << leading).wrapping_sub(1 << 31);
    (one_over_one_plus(below_one as i32), 31 - leading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn multipliers() {
        let rows = [
            ("zero", 0.0, Some((0, 0))),
            ("one", 1.0, Some((1 << 30, 1))),
            ("half", 0.5, Some((1 << 30, 0))),
            ("three", 3.0, Some((3 << 29, 2))),
            ("negative", -0.75, Some((-(3 << 29), 0))),
            ("rounds up to one", 1.0 - 1e-12, Some((1 << 30, 1))),
            ("tiny", 1e-20, Some((0, 0))),
            ("huge", 1e10, None),
            ("nan", f64::NAN, None),
        ];
        for (name, factor, want) in rows {
            assert_eq!(Multiplier::new(factor).map(|m| (m.fraction, m.exponent)), want, "{name}");
        }
    }

    #[test]
    fn halves_round_away_from_zero() {
        let half = Multiplier::new(0.5).unwrap();
        assert_eq!([3, -3, 1, -1].map(|x| half.apply(x)), [2, -1, 1, 0], "the high half rounds halves up");
        let tiny = Multiplier { fraction: i32::MAX, exponent: -31 };
        assert_eq!([i32::MIN, i32::MIN / 2, i32::MAX].map(|x| tiny.apply(x)), [-1, 0, 1]);
        let less = Multiplier { fraction: i32::MAX, exponent: -32 };
        assert_eq!([i32::MIN, i32::MAX].map(|x| less.apply(x)), [0, 0]);
        assert_eq!([5, -5, 6, -6, 7].map(|x| rounding_shift_right(x, 2)), [1, -1, 2, -2, 2]);
        assert_eq!(high_mul(i32::MIN, i32::MIN), i32::MAX);
        assert_eq!(high_mul_i16(i16::MIN, i16::MIN), i16::MAX);
    }

    proptest! {
        #[test]
        fn products_are_near(x in -1_000_000i32..1_000_000, factor in 1e-4f64..8.0) {
            let got = Multiplier::new(factor).unwrap().apply(x);
            prop_assert!((f64::from(got) - f64::from(x) * factor).abs() <= 1.01);
        }

        #[test]
        fn products_round_twice(x: i32, fraction: i32, exponent in -31i32..16) {
            let (left, right) = if exponent > 0 { (exponent as u32, 0) } else { (0, -exponent) };
            let want = rounding_shift_right(high_mul(x.wrapping_shl(left), fraction), right);
            prop_assert_eq!(Multiplier { fraction, exponent }.apply(x), want);
        }

        #[test]
        fn products_round_once(x: i32, fraction in -i32::MAX..=i32::MAX, exponent in -31i32..=31) {
            let product = i128::from(x) * i128::from(fraction);
            let shift = 31 - exponent;
            let want = if shift == 0 { product } else { (product + (1 << (shift - 1))) >> shift };
            prop_assert_eq!(Multiplier { fraction, exponent }.apply_once(x), want as i32);
        }

        #[test]
        fn reciprocals_are_near(x in 1i32..) {
            let (fraction, shift) = reciprocal(x);
            let got = f64::from(fraction) / 2f64.powi(31) / 2f64.powi(shift);
            prop_assert!((got * f64::from(x) - 1.0).abs() < 1e-7, "{} {}", got, x);
        }
    }
}
