//! Fixed-point arithmetic of the integer recurrent layers.
//!
//! Numbers `Qm.n` are integers with `m` bits before and `n` after the binary point, besides the sign. The functions
//! here round and saturate as the reference integer kernels do, so that results agree bit for bit.

pub use crate::fixed_point::Multiplier;
use crate::fixed_point::{high_mul, high_mul_i16, rounding_shift_right};

/// `x * 2^shift`, saturated.
#[inline(always)]
fn saturating_shift_left(x: i16, shift: u32) -> i16 {
    saturate_i16(i32::from(x) << shift)
}

/// `x` held to the range of `i16`.
#[must_use]
#[inline(always)]
pub fn saturate_i16(x: i32) -> i16 {
    x.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// `x` held to the range of `i8`.
#[must_use]
#[inline(always)]
pub fn saturate_i8(x: i32) -> i8 {
    x.clamp(i32::from(i8::MIN), i32::from(i8::MAX)) as i8
}

#[inline(always)]
fn rounding_shift_right_i16(x: i16, shift: i32) -> i16 {
    rounding_shift_right(i32::from(x), shift) as i16
}

/// exp(a) for `a` in [-1/4, 0), argument and result in Q0.15: the Taylor series of fourth order around -1/8.
#[inline(always)]
fn exp_of_last_quarter(a: i16) -> i16 {
    const EXP_OF_MINUS_EIGHTH: i16 = 28918;
    const THIRD: i16 = 10923;
    let x = a.wrapping_add(1 << 12);
    let x2 = high_mul_i16(x, x);
    let x3 = high_mul_i16(x2, x);
    let x4 = high_mul_i16(x2, x2);
    let quarter_x4 = rounding_shift_right_i16(x4, 2);
    let higher =
        rounding_shift_right_i16(high_mul_i16(quarter_x4.wrapping_add(x3), THIRD).wrapping_add(x2), 1);
    EXP_OF_MINUS_EIGHTH.saturating_add(high_mul_i16(EXP_OF_MINUS_EIGHTH, x.wrapping_add(higher)))
}

/// exp(a) in Q0.15 for `a <= 0` in `Q{INTEGER_BITS}.{15 - INTEGER_BITS}`.
///
/// The argument is split into a part in [-1/4, 0) and multiples of 1/4, whose exponentials are factors from a table.
#[inline(always)]
fn exp_of_negative<const INTEGER_BITS: i32>(a: i16) -> i16 {
    /// exp(-2^e) in Q0.15 for e = -2 to 4.
    const FACTORS: [i16; 7] = [25520, 19875, 12055, 4435, 600, 11, 0];
    let fraction_bits = 15 - INTEGER_BITS;
    // In formats with less than two fractional bits a quarter could not be told; the callers' formats have eight and more.
    let quarter = 1i16 << (fraction_bits - 2);
    let in_quarter = (a & (quarter - 1)).wrapping_sub(quarter);
    let mut result = exp_of_last_quarter(saturating_shift_left(in_quarter, INTEGER_BITS as u32));
    let rest = in_quarter.wrapping_sub(a);
    for (i, &factor) in FACTORS.iter().enumerate() {
        let exponent = i as i32 - 2;
        if INTEGER_BITS > exponent && rest & (1i16 << (fraction_bits + exponent)) != 0 {
            result = high_mul_i16(result, factor);
        }
    }
    let vanishes = INTEGER_BITS > 5 && i32::from(a) < -(1 << (20 - INTEGER_BITS));
    match a {
        0 => i16::MAX,
        _ if vanishes => 0,
        _ => result,
    }
}

/// The solution `x` of `x (1 + a) / 2 = 1`, in Q2.13, for `a` in Q0.15: three steps of Newton's method.
#[inline(always)]
fn twice_reciprocal_of_one_plus(a: i16) -> i16 {
    const CONSTANT: i16 = 23130;
    const SLOPE: i16 = -15420;
    const ONE: i16 = 1 << 13;
    let half_denominator = ((i32::from(a) + i32::from(i16::MAX) + 1) / 2) as i16;
    let mut x = CONSTANT.wrapping_add(high_mul_i16(half_denominator, SLOPE));
    for _ in 0..3 {
        let error = ONE.wrapping_sub(high_mul_i16(half_denominator, x));
        x = x.wrapping_add(saturating_shift_left(high_mul_i16(x, error), 2));
    }
    x
}

/// The logistic function of `x` in Q3.12, result in Q0.15.
#[must_use]
#[inline(always)]
pub fn sigmoid_q3(x: i16) -> i16 {
    let negative_magnitude = if x > 0 { -x } else { x };
    let reciprocal = twice_reciprocal_of_one_plus(exp_of_negative::<3>(negative_magnitude));
    // Read with one integer bit less, twice the reciprocal is the reciprocal.
    let upper = saturating_shift_left(reciprocal, 1);
    match x {
        0 => 1 << 14,
        1.. => upper,
        _ => i16::MAX.wrapping_sub(upper),
    }
}

/// tanh of `x` in `Q{INTEGER_BITS}.{15 - INTEGER_BITS}`, result in Q0.15.
#[inline(always)]
pub(super) fn tanh<const INTEGER_BITS: i32, const DOUBLED_BITS: i32>(x: i16) -> i16 {
    const ONE: i16 = 1 << 13;
    let negative_magnitude = if x > 0 { -x } else { x };
    // tanh(x) = (1 - e) / (1 + e) with e = exp(-2 |x|); doubling is reading with one integer bit more.
    let e = exp_of_negative::<DOUBLED_BITS>(negative_magnitude);
    let magnitude = saturating_shift_left(twice_reciprocal_of_one_plus(e).wrapping_sub(ONE), 2);
    match x {
        0 => 0,
        1.. => magnitude,
        _ => magnitude.wrapping_neg(),
    }
}

/// tanh of `x` in Q3.12, result in Q0.15.
#[must_use]
pub fn tanh_q3(x: i16) -> i16 {
    tanh::<3, 4>(x)
}

/// `1 / sqrt(x)` as a multiplier, for `x >= 0`; 0 counts as 1.
///
/// Newton's method on `x` brought to [2^27, 2^29) by shifting bit pairs.
#[must_use]
pub fn reciprocal_sqrt(x: i32) -> Multiplier {
    const HALF_SQRT_2: i32 = 1_518_500_250;
    if x <= 1 {
        return Multiplier { fraction: i32::MAX, exponent: 0 };
    }
    let mut x = x;
    let mut shift = 11i32;
    while x >= 1 << 29 {
        x /= 4;
        shift += 1;
    }
    let pairs = (x.leading_zeros() as i32 - 1) / 2 - 1;
    shift -= pairs;
    x <<= 2 * pairs;
    // Q3.28: the input is halved, so that one half of it is this.
    let input = x >> 1;
    let half_input = rounding_shift_right(input, 1);
    let half_three = (1 << 28) + (1 << 27);
    let rescale = |value: i32, left: u32| {
        (i64::from(value) << left).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    };
    let mut y = 1i32 << 28;
    for _ in 0..5 {
        let cube = rescale(high_mul(high_mul(y, y), y), 6);
        y = rescale(high_mul(half_three, y).wrapping_sub(high_mul(half_input, cube)), 3);
    }
    let mut fraction = high_mul(y, HALF_SQRT_2);
    if shift < 0 {
        fraction <<= -shift;
        shift = 0;
    }
    Multiplier { fraction, exponent: -shift }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_and_tanh_are_near_the_real_functions() {
        for x in i16::MIN..=i16::MAX {
            let real = f64::from(x) / 4096.0;
            let sigmoid = f64::from(sigmoid_q3(x)) / 32768.0;
            assert!((sigmoid - 1.0 / (1.0 + (-real).exp())).abs() < 4e-4, "sigmoid({real}) = {sigmoid}");
        }
        let functions: [fn(i16) -> i16; 7] = [
            tanh::<0, 1>, tanh::<1, 2>, tanh::<2, 3>, tanh::<3, 4>, tanh::<4, 5>, tanh::<5, 6>, tanh::<6, 7>,
        ];
        for (bits, function) in functions.into_iter().enumerate() {
            for x in i16::MIN + 1..=i16::MAX {
                let real = f64::from(x) / f64::from(1 << (15 - bits));
                let tanh = f64::from(function(x)) / 32768.0;
                assert!((tanh - real.tanh()).abs() < 2e-3, "{bits} bits: tanh({real}) = {tanh}");
            }
        }
    }

    #[test]
    fn reciprocal_sqrt_is_near_the_real_one() {
        for x in [0, 1, 2, 3, 10, 1000, 123_456, (1 << 29) - 1, 1 << 29, i32::MAX] {
            let m = reciprocal_sqrt(x);
            let got = f64::from(m.fraction) / f64::from(1u32 << 31) * f64::powi(2.0, m.exponent);
            let want = 1.0 / f64::from(x.max(1)).sqrt();
            assert!((got / want - 1.0).abs() < 1e-3, "{x}: {got} instead of {want}");
        }
    }
}
