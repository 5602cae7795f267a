//! Vector functions of `f32`, accurate to a few units in the last place (ULP) over all inputs.
//!
//! Infinities, NaNs, zeros and subnormal results are what the real function's limits say, except that a function
//! never looks at the sign of a NaN. The errors stated are the greatest seen against `f64` by the sweep in this
//! module's tests, on the instruction sets with a fused multiply-add and without.

use crate::isa::Isa;

/// A function of one `f32`, written over vectors.
pub trait Function: Copy + Send + Sync + 'static {
    /// The function of every lane. Implementations must be `#[inline(always)]`.
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F;
}

/// `ln 2` in two parts; the first has few enough bits that its product with any exponent is exact.
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;

/// Where `e^x` leaves the range of `f32`: below it rounds to zero, above it is infinite.
const EXP_MIN: f32 = -104.0;
const EXP_MAX: f32 = 89.0;

/// `(e^r - 1 - r) / r^2` for `|r| <= ln 2 / 2`, lowest power first: a minimax fit, relative error of `e^r` 3.1e-9.
const EXP_Q: [f32; 5] = [0.499_999_94, 0.166_665_2, 0.041_668_4, 0.008_368_852, 0.001_381_431_8];

/// The polynomial `P` of [`normal_cdf`], lowest power first.
const TAIL: [f32; 9] = [
    0.139_621_3,
    0.139_863_52,
    0.119_821_26,
    0.105_552_63,
    -0.023_212_664,
    0.159_320_15,
    -0.255_839_4,
    0.144_031_12,
    -0.029_157_93,
];
/// The constant of the variable `u = 1 / (1 + TAIL_STEP t)` of [`TAIL`].
const TAIL_STEP: f32 = 0.35;

/// `c[0] + c[1] x + c[2] x^2 + …` by Horner's rule.
#[inline(always)]
fn polynomial<S: Isa, const N: usize>(isa: S, x: S::F, c: [f32; N]) -> S::F {
    let mut sum = isa.splat(c[N - 1]);
    for &c in c[..N - 1].iter().rev() {
        sum = isa.fma(sum, x, isa.splat(c));
    }
    sum
}

/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`; gives `n` and `e^r - 1`.
#[inline(always)]
fn reduce<S: Isa>(isa: S, x: S::F) -> (S::F, S::F) {
    let n = isa.round(isa.mul(x, isa.splat(core::f32::consts::LOG2_E)));
    let r = isa.fma(n, isa.splat(-LN2_HI), x);
    let r = isa.fma(n, isa.splat(-LN2_LO), r);
    let q = polynomial(isa, r, EXP_Q);
    (n, isa.fma(isa.mul(r, r), q, r))
}

/// `2^n` for integers `-126 <= n <= 127`.
#[inline(always)]
fn power_of_two<S: Isa>(isa: S, n: S::I) -> S::F {
    isa.bits_to_f32(isa.shl::<23>(isa.add_i32(n, isa.splat_i32(127))))
}

/// `e^x`. At most 1 ULP, subnormal results included.
#[inline(always)]
pub fn exp<S: Isa>(isa: S, x: S::F) -> S::F {
    let x = isa.clamp(x, isa.splat(EXP_MIN), isa.splat(EXP_MAX));
    let (n, p) = reduce(isa, x);
    let value = isa.add(p, isa.splat(1.0));
    // In two steps, as 2^n alone may be infinite or subnormal where the result is not.
    let n = isa.to_i32_round(n);
    let half = isa.shr::<1>(n);
    let value = isa.mul(value, power_of_two(isa, half));
    isa.mul(value, power_of_two(isa, isa.sub_i32(n, half)))
}

/// `e^x` for `x <= 0` where results below the least normal number may be zero; cheaper than [`exp`]. At most 1 ULP.
#[inline(always)]
pub fn exp_negative<S: Isa>(isa: S, x: S::F) -> S::F {
    let low = isa.splat(-87.3);
    let (n, p) = reduce(isa, isa.max(low, x));
    let scale = power_of_two(isa, isa.to_i32_round(n));
    let value = isa.fma(p, scale, scale);
    isa.select(isa.lt(x, low), isa.zero(), value)
}

/// `e^x - 1` for `x <= 0` without cancellation.
#[inline(always)]
fn exp_m1_negative<S: Isa>(isa: S, x: S::F) -> S::F {
    let (n, p) = reduce(isa, isa.max(isa.splat(-40.0), x));
    let scale = power_of_two(isa, isa.to_i32_round(n));
    isa.fma(p, scale, isa.sub(scale, isa.splat(1.0)))
}

/// The standard normal distribution function `Φ(x) = (1 + erf(x / √2)) / 2`.
///
/// For `t = |x|` the tail is `e^(-t²/2) u P(u)`, `u = 1 / (1 + 0.35 t)`, with a minimax `P` of relative error 3.2e-8
/// up to `t = 14.5`, where the tail rounds to zero.
#[inline(always)]
fn normal_cdf<S: Isa>(isa: S, x: S::F) -> S::F {
    let one = isa.splat(1.0);
    let t = isa.min(isa.splat(14.5), isa.abs(x));
    let u = isa.div(one, isa.fma(t, isa.splat(TAIL_STEP), one));
    let density = exp(isa, isa.mul(isa.mul(t, isa.splat(-0.5)), t));
    let tail = isa.mul(density, isa.mul(u, polynomial(isa, u, TAIL)));
    isa.select(isa.lt(x, isa.zero()), tail, isa.sub(one, tail))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
fn sigmoid<S: Isa>(isa: S, x: S::F) -> S::F {
    let e = exp(isa, isa.neg(isa.abs(x)));
    let one = isa.splat(1.0);
    let above = isa.select(isa.lt(x, isa.zero()), e, one);
    isa.div(above, isa.add(e, one))
}

/// `e^x`. At most 1 ULP, subnormal results included.
#[derive(Clone, Copy, Debug)]
pub struct Exp;

impl Function for Exp {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        exp(isa, x)
    }
}

/// `1 / (1 + e^-x)`. At most 2 ULP.
#[derive(Clone, Copy, Debug)]
pub struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        sigmoid(isa, x)
    }
}

/// `tanh x`. At most 3 ULP.
#[derive(Clone, Copy, Debug)]
pub struct Tanh;

impl Function for Tanh {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        // With m = e^(-2|x|) - 1, |tanh x| = -m / (m + 2); m loses nothing for small x.
        let m = exp_m1_negative(isa, isa.mul(isa.abs(x), isa.splat(-2.0)));
        isa.copysign(isa.div(m, isa.add(m, isa.splat(2.0))), x)
    }
}

/// `x` if positive, else `e^x - 1`. At most 2 ULP.
#[derive(Clone, Copy, Debug)]
pub struct Elu;

impl Function for Elu {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        isa.select(isa.lt(x, isa.zero()), exp_m1_negative(isa, x), x)
    }
}

/// `x Φ(x)`, the exact GELU. Relative error below 1e-5, absolute error below 3e-7 of `max(1, |x|)`.
#[derive(Clone, Copy, Debug)]
pub struct Gelu;

impl Function for Gelu {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        // Held to where Φ is not exactly zero, so that -∞ gives 0 and not NaN.
        let held = isa.max(isa.splat(-14.5), x);
        isa.mul(held, normal_cdf(isa, x))
    }
}

/// The GELU approximated by `x / 2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`, computed as the equal
/// `x / (1 + e^(-2 √(2/π) (x + 0.044715 x³)))`. Absolute error below 3e-7 of `max(1, |x|)`.
#[derive(Clone, Copy, Debug)]
pub struct GeluTanh;

impl Function for GeluTanh {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        const LINEAR: f32 = 1.595_769_2; // 2 √(2/π)
        const CUBIC: f32 = LINEAR * 0.044_715;
        let held = isa.max(isa.splat(-14.5), x);
        let slope = isa.fma(isa.mul(held, held), isa.splat(CUBIC), isa.splat(LINEAR));
        isa.mul(held, sigmoid(isa, isa.mul(held, slope)))
    }
}

/// `x / 6 · min(max(x + 3, 0), 6)`. At most 3 ULP.
#[derive(Clone, Copy, Debug)]
pub struct HardSwish;

impl Function for HardSwish {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        let gate = isa.clamp(isa.add(x, isa.splat(3.0)), isa.zero(), isa.splat(6.0));
        isa.mul(isa.mul(x, isa.splat(1.0 / 6.0)), gate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::elementwise::unary::apply;
    use crate::inout::InOut;
    use crate::isa::Cpu;
    use crate::par::Par;

    /// Units in the last place between `got` and the real value `want`.
    fn ulps(got: f32, want: f64) -> f64 {
        let near = want as f32;
        if got.to_bits() == near.to_bits() || (got.is_nan() && near.is_nan()) || (got == near) {
            return 0.0;
        }
        if !near.is_finite() || !got.is_finite() {
            return f64::INFINITY;
        }
        let exponent = (want.abs().log2().floor() as i32).max(-126) - 23;
        (f64::from(got) - want).abs() / 2f64.powi(exponent)
    }

    /// Every `stride`-th bit pattern of `f32` and the corner cases.
    fn sweep() -> Vec<f32> {
        let corners =
            [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-45, -1e-45, 88.722_83, 88.73, -103.97];
        let grid = (0..60_000).map(|i| (i - 30_000) as f32 * 5e-4);
        (0..=u32::MAX).step_by(65_521).map(f32::from_bits).chain(corners).chain(grid).collect()
    }

    /// The greatest error of `f` by `error(got, x, want)` over the sweep, per instruction set, against the limit.
    fn check<F: Function>(
        name: &str,
        f: F,
        reference: impl Fn(f64) -> f64,
        limit: f64,
        error: impl Fn(f32, f32, f64) -> f64,
    ) {
        let inputs = sweep();
        let wants: Vec<f64> = inputs.iter().map(|&x| reference(f64::from(x))).collect();
        for cpu in Cpu::all() {
            let mut out = vec![0.0; inputs.len()];
            apply(cpu, Par::serial(), InOut::apart(&inputs, &mut out).unwrap(), f);
            let worst =
                inputs.iter().zip(&wants).zip(&out).fold((0.0, 0.0, 0.0), |worst, ((&x, &want), &got)| {
                    let e = error(got, x, want);
                    if e > worst.0 || e.is_nan() { (e, x, got) } else { worst }
                });
            assert!(
                worst.0 <= limit,
                "{name} on {}: {} is off by {} (limit {limit})",
                cpu.name(),
                worst.1,
                worst.0
            );
        }
    }

    fn in_ulps(got: f32, _: f32, want: f64) -> f64 {
        ulps(got, want)
    }

    #[test]
    fn exponentials() {
        check("exp", Exp, f64::exp, 1.0, in_ulps);
        check("elu", Elu, |x| if x < 0.0 { x.exp_m1() } else { x }, 2.0, in_ulps);
    }

    #[test]
    fn sigmoids() {
        check("sigmoid", Sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 2.0, in_ulps);
        check("tanh", Tanh, f64::tanh, 3.0, in_ulps);
    }

    #[test]
    fn gelus() {
        // erfc to nearly full double precision: a rational would do, the C library's is at hand.
        let gelu = |x: f64| if x == f64::NEG_INFINITY { 0.0 } else { 0.5 * x * libm::erfc(-x / 2f64.sqrt()) };
        let tanh = |x: f64| {
            let z = 2.0 * (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            if x == f64::NEG_INFINITY { 0.0 } else { x / (1.0 + (-z).exp()) }
        };
        let absolute = |got: f32, x: f32, want: f64| {
            if ulps(got, want) == 0.0 {
                return 0.0;
            }
            (f64::from(got) - want).abs() / f64::from(x.abs()).max(1.0)
        };
        let relative = |got: f32, _: f32, want: f64| {
            // Below the normal numbers there are not enough bits for a relative error.
            if ulps(got, want) <= 4.0 || want.abs() < 1e-37 {
                0.0
            } else {
                ((f64::from(got) - want) / want).abs()
            }
        };
        check("gelu", Gelu, gelu, 3e-7, absolute);
        check("gelu", Gelu, gelu, 1e-5, relative);
        check("gelu tanh", GeluTanh, tanh, 3e-7, absolute);
    }

    #[test]
    fn hard_swish() {
        // Divided last, as x (x + 3) may overflow where the quotient does not.
        let reference = |x: f64| {
            if x.is_nan() {
                x
            } else if x == f64::NEG_INFINITY {
                f64::NAN
            } else {
                x * ((x + 3.0).clamp(0.0, 6.0) / 6.0)
            }
        };
        check("hard swish", HardSwish, reference, 3.0, in_ulps);
    }

    #[test]
    fn cheap_negative_exponential() {
        #[derive(Clone, Copy)]
        struct Negative;
        impl Function for Negative {
            #[inline(always)]
            fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
                exp_negative(isa, isa.neg(isa.abs(x)))
            }
        }
        let reference = |x: f64| {
            let e = (-x.abs()).exp();
            if -x.abs() < f64::from(-87.3f32) { 0.0 } else { e }
        };
        check("exp of negatives", Negative, reference, 1.0, in_ulps);
    }
}
