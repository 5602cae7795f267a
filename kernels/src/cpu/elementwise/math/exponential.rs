//! Functions made of `e^x`.

use core::f32::consts::{LN_2, LOG2_E, SQRT_2};

use super::{Function, polynomial};
use crate::isa::Isa;

/// Added to a small number, rounds it to an integer, whose lowest bits it shows.
const ROUND_TO_INTEGER: f32 = 12_582_912.0; // 1.5 * 2^23

/// As [`ROUND_TO_INTEGER`], with the exponent's bias added to the bits that are shown.
const ROUND_TO_EXPONENT: f32 = 12_583_039.0; // 1.5 * 2^23 + 127

/// Rounds to multiples of 1/32.
const ROUND_TO_32NDS: f32 = 393_216.0; // 1.5 * 2^18

/// `2^(k / 32)`, rounded.
static POWERS: [f32; 32] = [
    1.0, 1.021_897_2, 1.044_273_7, 1.067_140_5, 1.090_507_7, 1.114_386_8, 1.138_788_6, 1.163_724_9,
    1.189_207_1, 1.215_247_4, 1.241_857_8, 1.269_051, 1.296_839_6, 1.325_236_7, 1.354_255_6, 1.383_91,
    SQRT_2, 1.445_180_8, 1.476_826_2, 1.509_164_5, 1.542_210_8, 1.575_980_9, 1.610_490_3, 1.645_755_5,
    1.681_792_9, 1.718_619_3, 1.756_252_2, 1.794_709_1, 1.834_008_1, 1.874_167_7, 1.915_206_6, 1.957_144_1,
];

/// `x log2(e)` rounded to an integer `n`: gives `2^n` and `n`. For `-127 <= n <= 0`.
#[inline(always)]
fn split<S: Isa>(isa: S, x: S::F) -> (S::F, S::F) {
    let magic = isa.splat(ROUND_TO_EXPONENT);
    let n = isa.fma(x, isa.splat(LOG2_E), magic);
    (isa.bits_to_f32(isa.shl::<23>(isa.bits(n))), isa.sub(n, magic))
}

/// `e^x` for `x <= 0`; zero where the result is not a normal number. At most 2.5 ULP.
#[inline(always)]
pub(in crate::cpu::elementwise) fn exp_negative<S: Isa>(isa: S, x: S::F) -> S::F {
    // `ln 2` in two parts; the product of the first with any exponent is exact.
    const LN_2_HIGH: f32 = 0.693_145_75;
    const LN_2_LOW: f32 = 1.428_606_8e-6;
    let (power, n) = split(isa, x);
    let t = isa.fma(n, isa.splat(-LN_2_HIGH), x);
    let t = isa.fma(n, isa.splat(-LN_2_LOW), t);
    exp_of_rest(isa, x, t, power)
}

/// `e^x` where `t` is what multiples of `ln 2` leave of it and `power` their exponential; zero where that is not a normal number.
#[inline(always)]
fn exp_of_rest<S: Isa>(isa: S, x: S::F, t: S::F, power: S::F) -> S::F {
    const LEAST: f32 = -87.336_54;
    let p = polynomial(isa, t, [0.999_999_7, 0.499_991_5, 0.166_676_52, 0.041_897_822, 0.008_289_291]);
    let value = isa.fma(isa.mul(t, power), p, power);
    isa.select(isa.lt(x, isa.splat(LEAST)), isa.zero(), value)
}

/// `e^x`, a rational approximation of `2^r` after splitting off the integer part. Relative error below 2e-6; zero from
/// `x < -87.7` on, infinite from `x > 88.4` on.
#[derive(Clone, Copy, Debug)]
pub struct Exp;

impl Function for Exp {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        let z = isa.mul(x, isa.splat(LOG2_E));
        let z = isa.min(isa.splat(128.0), isa.max(isa.splat(-127.0), z));
        let magic = isa.splat(ROUND_TO_INTEGER);
        let n = isa.sub(isa.add(magic, z), magic);
        let r = isa.sub(z, n);
        // Moved to the exponent's place: 2^-127 is zero and 2^128 infinite.
        let power = isa.bits_to_f32(isa.shl::<23>(isa.add_i32(isa.to_i32_round(n), isa.splat_i32(127))));
        let p = polynomial(isa, r, [1.0, 0.415_942_9, 0.072_068_706, 0.005_538_091]);
        let q = polynomial(isa, r, [1.0, -0.277_204_28, 0.023_986_088]);
        isa.mul(power, isa.div(p, q))
    }
}

/// `1 / (1 + e^-x)`. Absolute error below 1.2e-7; near zero up to 64 ULP without a fused multiply-add.
#[derive(Clone, Copy, Debug)]
pub struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        let one = isa.splat(1.0);
        let z = isa.neg(isa.abs(x));
        let e = if S::LOOKS_UP { exp_by_table(isa, z) } else { exp_by_polynomial(isa, z) };
        let below = isa.div(e, isa.add(e, one));
        isa.select(isa.lt_i32(isa.bits(x), isa.splat_i32(0)), below, isa.sub(one, below))
    }
}

/// `e^z` for `z <= 0`, with 32 powers of two from a table.
#[inline(always)]
fn exp_by_table<S: Isa>(isa: S, z: S::F) -> S::F {
    const LN_2_LOW: f32 = -1.904_654_2e-9;
    // Below, the exponential is zero.
    const LEAST: f32 = -128.0;
    let z = isa.max(isa.splat(LEAST), z);
    let magic = isa.splat(ROUND_TO_32NDS);
    let shown = isa.fma(z, isa.splat(LOG2_E), magic);
    let power = isa.lookup32(&POWERS, isa.bits(shown));
    let n = isa.sub(shown, magic);
    let t = isa.fma(n, isa.splat(-LN_2), z);
    let t = isa.fma(n, isa.splat(-LN_2_LOW), t);
    let p = isa.fma(t, isa.splat(0.5), isa.splat(1.000_014_7));
    let fraction = isa.fma(isa.mul(t, power), p, power);
    isa.scale(fraction, n)
}

/// `e^z` for `z <= 0`, by a polynomial for what is left of `ln 2`; zero where the result is not a normal number.
#[inline(always)]
fn exp_by_polynomial<S: Isa>(isa: S, z: S::F) -> S::F {
    let (power, n) = split(isa, z);
    let t = isa.fma(n, isa.splat(-LN_2), z);
    exp_of_rest(isa, z, t, power)
}

/// `x` if positive, else `e^x - 1`. At most 2 ULP.
#[derive(Clone, Copy, Debug)]
pub struct Elu;

impl Function for Elu {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        // Below, the result rounds to -1.
        const LEAST: f32 = -17.328_68;
        let z = isa.max(isa.splat(LEAST), x);
        let (power, n) = split(isa, z);
        let t = isa.fma(n, isa.splat(-LN_2), z);
        let p = polynomial(isa, t, [0.499_999_97, 0.166_665_43, 0.041_667_502, 0.008_366_532, 0.001_386_452]);
        let p = isa.mul(p, t);
        let t = isa.mul(t, power);
        let value = isa.add(isa.fma(p, t, t), isa.sub(power, isa.splat(1.0)));
        isa.select(isa.lt(x, isa.zero()), value, x)
    }
}
