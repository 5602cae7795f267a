//! Functions approximated by a quotient of two polynomials, and one that is a polynomial by definition.

use core::f32::consts::{FRAC_1_PI, FRAC_PI_2, LN_2, PI};

use super::{Function, polynomial};
use crate::isa::Isa;

/// `x P(x²) / Q(x²)`.
#[inline(always)]
fn odd<S: Isa, const P: usize, const Q: usize>(isa: S, x: S::F, p: [f32; P], q: [f32; Q]) -> S::F {
    let square = isa.mul(x, x);
    isa.div(isa.mul(x, polynomial(isa, square, p)), polynomial(isa, square, q))
}

/// `x` held to `-limit..=limit`; NaN stays NaN.
#[inline(always)]
fn hold<S: Isa>(isa: S, x: S::F, limit: f32) -> S::F {
    isa.max(isa.splat(-limit), isa.min(isa.splat(limit), x))
}

/// `tanh x`. At most 6 ULP.
#[derive(Clone, Copy, Debug)]
pub struct Tanh;

impl Function for Tanh {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        // From here on the quotient is 1.
        const LIMIT: f32 = 7.980_718;
        let p = [1.0, 0.134_124_12, 0.003_533_052, 2.123_562_6e-5, 1.424_892e-8];
        let q = [1.0, 0.467_457_35, 0.026_019, 0.000_334_729_8, 8.136_595e-7];
        odd(isa, hold(isa, x, LIMIT), p, q)
    }
}

/// `x / 2 (1 + erf)`; a function of -∞ is -0.
#[inline(always)]
fn gated<S: Isa>(isa: S, x: S::F, erf: S::F) -> S::F {
    let finite = isa.max(isa.splat(f32::MIN), x);
    isa.mul(isa.mul(finite, isa.splat(0.5)), isa.add(erf, isa.splat(1.0)))
}

/// `x Φ(x)`, the exact GELU. Absolute error below 5e-7 of `max(1, |x|)`.
#[derive(Clone, Copy, Debug)]
pub struct Gelu;

impl Function for Gelu {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        // From here on the error function of `x / √2` is 1.
        const LIMIT: f32 = 5.163_828_4;
        let p = [0.797_884_5, 0.066_972_174, 0.009_306_514, 0.000_329_731_15, 1.260_978_4e-5, 4.583_532e-8];
        let q = [1.0, 0.250_603_53, 0.028_431_978, 0.001_862_284_3, 7.226_765_6e-5, 1.198_880_6e-6];
        gated(isa, x, odd(isa, hold(isa, x, LIMIT), p, q))
    }
}

/// The GELU approximated by `x / 2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`. Absolute error below 5e-7 of `max(1, |x|)`.
#[derive(Clone, Copy, Debug)]
pub struct GeluTanh;

impl Function for GeluTanh {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        // From here on the hyperbolic tangent is 1.
        const LIMIT: f32 = 4.849_741;
        let p = [0.797_884_6, 0.060_803_253, 0.007_289_835, 0.000_268_870_18, 1.430_264_9e-5, 4.954_441e-8];
        let q = [1.0, 0.243_697_6, 0.024_381_055, 0.001_306_035_4, 7.647_761e-5, 1.343_345_3e-6];
        gated(isa, x, odd(isa, hold(isa, x, LIMIT), p, q))
    }
}

/// `x min(max(x / 6 + 1 / 2, 0), 1)`. At most 3 ULP, of `x` near -3 where the sum cancels.
#[derive(Clone, Copy, Debug)]
pub struct HardSwish;

impl Function for HardSwish {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        let gate = isa.fma(x, isa.splat(1.0 / 6.0), isa.splat(0.5));
        let gate = isa.min(isa.max(gate, isa.zero()), isa.splat(1.0));
        isa.mul(gate, x)
    }
}

/// `ln x`: the exponent times `ln 2` plus the logarithm of the mantissa. Absolute error below 2e-7 of `max(1, |ln x|)`.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Function for Log {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        // Two numbers near the roots of 2 and of 1/2 whose product is 1 in `f32`.
        const ROOT: f32 = 1.414_213_4;
        const INVERSE_ROOT: f32 = 0.707_106_9;
        // Scaled by powers of two so that neither it nor its product with √2 leaves the normal numbers.
        let (small, large) = (isa.lt(x, isa.splat(f32::MIN_POSITIVE)), isa.lt(isa.splat(1e38), x));
        let factor = isa.select(small, isa.splat(16_777_216.0), isa.splat(1.0));
        let factor = isa.select(large, isa.splat(0.5), factor);
        let offset = isa.select(small, isa.splat(151.0), isa.splat(127.0));
        let offset = isa.select(large, isa.splat(126.0), offset);
        // Scaled by √2, so that numbers a little below a power of two count as it, and back again.
        let shifted = isa.mul(isa.mul(x, factor), isa.splat(ROOT));
        let exponent = isa.sub(isa.to_f32(isa.shr::<23>(isa.bits(shifted))), offset);
        let mantissa = isa.and(isa.bits(shifted), isa.splat_i32(0x007f_ffff));
        let mantissa = isa.bits_to_f32(isa.or(mantissa, isa.bits(isa.splat(1.0))));
        let m = isa.sub(isa.mul(mantissa, isa.splat(INVERSE_ROOT)), isa.splat(1.0));
        let p = isa.mul(m, polynomial(isa, m, [1.0, 1.0, 0.182_499_69]));
        let q = polynomial(isa, m, [1.0, 1.5, 0.599_17, 0.049_584_996]);
        let value = isa.fma(exponent, isa.splat(LN_2), isa.div(p, q));
        // Infinity and NaN give themselves, zero its limit, negative numbers NaN.
        let value = isa.select(isa.le(x, isa.splat(f32::MAX)), value, x);
        let value = isa.select(isa.eq(x, isa.zero()), isa.splat(f32::NEG_INFINITY), value);
        isa.select(isa.lt(x, isa.zero()), isa.splat(f32::NAN), value)
    }
}

/// `x` less the nearest multiple of 2π; loses accuracy with `|x|`, and all of it beyond some 1e7.
#[inline(always)]
fn turn<S: Isa>(isa: S, x: S::F) -> S::F {
    // 2π in two parts; the product of the first with up to 13 bits is exact.
    const HIGH: f32 = 6.281_25;
    const LOW: f32 = 0.001_935_307_2;
    let n = isa.neg(isa.round(isa.mul(x, isa.splat(FRAC_1_PI / 2.0))));
    isa.fma(n, isa.splat(LOW), isa.fma(n, isa.splat(HIGH), x))
}

/// The sine of `-3π/2 <= x <= 3π/2`, first mirrored into `-π/2..=π/2`.
#[inline(always)]
fn sine<S: Isa>(isa: S, x: S::F) -> S::F {
    let (half, minus_half) = (isa.splat(PI), isa.splat(-PI));
    let x = isa.min(x, isa.sub(half, x));
    let x = isa.max(x, isa.sub(minus_half, x));
    let x = isa.min(x, isa.sub(half, x));
    odd(isa, x, [1.0, -0.133_146_64, 0.003_234_058_2], [1.0, 0.033_519_913, 0.000_487_707_76])
}

/// `sin x`. Absolute error below 2e-6 for `|x| <= 30`.
#[derive(Clone, Copy, Debug)]
pub struct Sin;

impl Function for Sin {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        sine(isa, turn(isa, x))
    }
}

/// `cos x`, the sine of `π/2 - x`. Absolute error below 2e-6 for `|x| <= 30`.
#[derive(Clone, Copy, Debug)]
pub struct Cos;

impl Function for Cos {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        const FRAC_PI_2_LOW: f32 = -4.371_139e-8;
        let left = isa.sub(isa.splat(FRAC_PI_2), turn(isa, x));
        sine(isa, isa.add(left, isa.splat(FRAC_PI_2_LOW)))
    }
}
