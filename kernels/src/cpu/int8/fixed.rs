//! Requantization by fixed-point multipliers.
//!
//! A positive scale is held as a 31-bit fraction in `0.5..1` and a power of two. The fixed-point results differ
//! from those of a float product where that falls near the middle between two integers.

/// A scale as a fraction with 31 bits behind the point and a power of two.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Multiplier {
    /// The fraction times 2^31; zero for a scale too small to matter.
    pub fraction: i32,
    /// The power of two.
    pub exponent: i32,
}

impl Multiplier {
    /// The nearest multiplier to `scale`.
    pub fn new(scale: f64) -> Self {
        if scale == 0.0 {
            return Self::default();
        }
        let (fraction, mut exponent) = libm::frexp(scale);
        let mut fixed = libm::round(fraction * f64::from(1u32 << 31)) as i64;
        if fixed == 1 << 31 {
            fixed /= 2;
            exponent += 1;
        }
        if exponent < -31 {
            return Self::default();
        }
        if exponent > 30 {
            return Self { fraction: i32::MAX, exponent: 30 };
        }
        Self { fraction: fixed as i32, exponent }
    }

    /// `x` times the scale: the product is rounded to 31 bits behind the point with halves away from zero
    /// (upwards if negative), then to an integer with halves away from zero.
    pub fn apply(self, x: i32) -> i32 {
        let left = self.exponent.max(0);
        let right = (-self.exponent).max(0);
        round_shift(doubling_high_mul(x.wrapping_shl(left as u32), self.fraction), right)
    }

    /// `x` times the scale, rounded once, halves upwards.
    pub fn apply_once(self, x: i32) -> i32 {
        let shift = 31 - self.exponent;
        let product = i64::from(x) * i64::from(self.fraction);
        ((product + (1i64 << (shift - 1))) >> shift) as i32
    }

    /// The 64-bit `x` times the scale with 15 bits of the fraction, rounded once, halves upwards.
    pub fn apply_wide(self, x: i64) -> i32 {
        let fraction = if self.fraction < 0x7fff_0000 { (self.fraction + (1 << 15)) >> 16 } else { 0x7fff };
        let product = x.wrapping_mul(i64::from(fraction));
        match 15 - self.exponent {
            shift if shift > 0 => (product.wrapping_add(1i64 << (shift - 1)) >> shift) as i32,
            shift => product.wrapping_shl(shift.unsigned_abs()) as i32,
        }
    }
}

/// The high half of `2 * a * b`, rounded to nearest with halves away from zero, saturating.
pub fn doubling_high_mul(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    let product = i64::from(a) * i64::from(b);
    let nudge = if product >= 0 { 1i64 << 30 } else { 1 - (1i64 << 30) };
    ((product + nudge) / (1i64 << 31)) as i32
}

/// `x` divided by two to the `shift`, rounded to nearest with halves away from zero.
pub fn round_shift(x: i32, shift: i32) -> i32 {
    if shift == 0 {
        return x;
    }
    if shift > 31 {
        return 0;
    }
    let mask = (1i64 << shift) - 1;
    let remainder = i64::from(x) & mask;
    let threshold = (mask >> 1) + i64::from(x < 0);
    ((i64::from(x) >> shift) + i64::from(remainder > threshold)) as i32
}

/// Which of the roundings a kernel of the reference uses.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// [`Multiplier::apply`].
    Twice,
    /// [`Multiplier::apply_once`].
    Once,
}

/// Fixed-point requantization: `clamp(sum * multiplier[col] + zero, low, high)`.
#[derive(Clone, Debug)]
pub struct FixedPoint {
    multipliers: Vec<Multiplier>,
    rounding: Rounding,
    zero: i32,
    low: i32,
    high: i32,
}

impl FixedPoint {
    /// `scales` has one entry or one for each of `cols` columns; outputs lie in `low..=high`.
    ///
    /// # Panics
    /// If there are neither one nor `cols` scales.
    pub fn new(scales: &[f64], cols: usize, rounding: Rounding, zero: i32, low: i32, high: i32) -> Self {
        let each: Vec<Multiplier> = scales.iter().map(|&s| Multiplier::new(s)).collect();
        Self { multipliers: super::store::per_column(&each, cols), rounding, zero, low, high }
    }

    /// The output for a 32-bit sum of column `col`.
    #[inline(always)]
    pub fn apply(&self, col: usize, sum: i32) -> i32 {
        let m = self.multipliers[col];
        let scaled = match self.rounding {
            Rounding::Twice => m.apply(sum),
            Rounding::Once => m.apply_once(sum),
        };
        scaled.saturating_add(self.zero).clamp(self.low, self.high)
    }

    /// The output for a 64-bit sum of column `col`.
    #[inline(always)]
    pub fn apply_wide(&self, col: usize, sum: i64) -> i32 {
        self.multipliers[col].apply_wide(sum).saturating_add(self.zero).clamp(self.low, self.high)
    }
}
