use super::*;
use crate::cpu::elementwise::unary::apply;
use crate::inout::InOut;
use crate::isa::Cpu;
use crate::par::Par;

/// Units in the last place between `got` and the real value `want`; results that are not normal numbers count as zero.
fn ulps(got: f32, want: f64) -> f64 {
    let near = want as f32;
    if got == near || (got.is_nan() && near.is_nan()) || got.abs().max(near.abs()) < f32::MIN_POSITIVE {
        return 0.0;
    }
    if !near.is_finite() || !got.is_finite() {
        return f64::INFINITY;
    }
    let exponent = (want.abs().log2().floor() as i32).max(-126) - 23;
    (f64::from(got) - want).abs() / 2f64.powi(exponent)
}

/// The error relative to the greater of 1 and `scale`.
fn absolute(got: f32, want: f64, scale: f64) -> f64 {
    if ulps(got, want) == 0.0 { 0.0 } else { (f64::from(got) - want).abs() / scale.abs().max(1.0) }
}

/// Every `stride`-th bit pattern of `f32` and the corner cases.
fn sweep() -> Vec<f32> {
    let corners =
        [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-45, -1e-45, f32::MAX, f32::MIN_POSITIVE];
    let grid = (0..60_000).map(|i| (i - 30_000) as f32 * 5e-4);
    (0..=u32::MAX).step_by(65_521).map(f32::from_bits).chain(corners).chain(grid).collect()
}

/// The greatest error of `f` by `error(got, x, want)` over the sweep, per instruction set, against the limit.
fn check<F: Function>(
    name: &str,
    f: F,
    reference: impl Fn(f64) -> f64,
    limit: f64,
    error: impl Fn(f32, f64, f64) -> f64,
) {
    let inputs = sweep();
    let wants: Vec<f64> = inputs.iter().map(|&x| reference(f64::from(x))).collect();
    for cpu in Cpu::all() {
        let mut out = vec![0.0; inputs.len()];
        apply(cpu, Par::serial(), InOut::apart(&inputs, &mut out).unwrap(), f);
        let worst =
            inputs.iter().zip(&wants).zip(&out).fold((0.0, 0.0, 0.0), |worst, ((&x, &want), &got)| {
                let e = error(got, f64::from(x), want);
                if e > worst.0 || e.is_nan() { (e, x, got) } else { worst }
            });
        let (worst, x, got) = worst;
        assert!(worst <= limit, "{name} on {}: {got} of {x} is off by {worst} (limit {limit})", cpu.name());
    }
}

fn in_ulps(got: f32, _: f64, want: f64) -> f64 {
    ulps(got, want)
}

#[test]
fn exponentials() {
    // The results at both ends of the range are zero or infinite a little early.
    let inside = |got: f32, x: f64, want: f64| {
        let end = (x < -87.3 && got == 0.0 && want < 1.3e-38) || (x > 88.3 && got == f32::INFINITY);
        if end { 0.0 } else { ulps(got, want) }
    };
    check("exp", Exp, f64::exp, 64.0, inside);
    check("elu", Elu, |x| if x < 0.0 { x.exp_m1() } else { x }, 2.0, in_ulps);
}

#[test]
fn sigmoids() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    check("sigmoid", Sigmoid, sigmoid, 1.2e-7, |got, _, want| absolute(got, want, 1.0));
    // Without a fused multiply-add the argument's reduction rounds.
    check("sigmoid", Sigmoid, sigmoid, 64.0, in_ulps);
    check("tanh", Tanh, f64::tanh, 6.0, in_ulps);
}

#[test]
fn gelus() {
    // erfc to nearly full double precision: a rational would do, the C library's is at hand.
    let gelu = |x: f64| if x == f64::NEG_INFINITY { 0.0 } else { 0.5 * x * libm::erfc(-x / 2f64.sqrt()) };
    let tanh = |x: f64| {
        let z = 2.0 * (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
        if x == f64::NEG_INFINITY { 0.0 } else { x / (1.0 + (-z).exp()) }
    };
    let relative_to_input = |got: f32, x: f64, want: f64| absolute(got, want, x);
    check("gelu", Gelu, gelu, 5e-7, relative_to_input);
    check("gelu tanh", GeluTanh, tanh, 5e-7, relative_to_input);
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
    check("hard swish", HardSwish, reference, 3e-7, |got, x, want| absolute(got, want, x));
}

#[test]
fn logarithm() {
    check("log", Log, f64::ln, 2e-7, |got, _, want| absolute(got, want, want));
}

#[test]
fn waves() {
    let near = |got: f32, x: f64, want: f64| {
        // Beyond, the nearest multiple of 2π is not known well enough.
        if x.abs() > 30.0 && !x.is_infinite() { 0.0 } else { absolute(got, want, 1.0) }
    };
    check("sin", Sin, f64::sin, 2e-6, near);
    check("cos", Cos, f64::cos, 2e-6, near);
}

#[test]
fn roots() {
    // The root of a subnormal number is a normal one.
    check("sqrt", Sqrt, f64::sqrt, 3.0, in_ulps);
    check("rsqrt", Rsqrt, |x| 1.0 / x.sqrt(), 3.0, in_ulps);
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
        if -x.abs() < f64::from(-87.336_54f32) { 0.0 } else { e }
    };
    check("exp of negatives", Negative, reference, 2.5, in_ulps);
}
