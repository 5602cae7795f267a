//! Square roots.
//!
//! Where the CPU estimates reciprocal roots to 14 bits, the reference refines the estimate by one step of Newton's
//! method on `y^-2 = x`, and so do these; elsewhere they divide and take the root with correct rounding.

use super::Function;
use crate::isa::Isa;

/// What brings subnormal numbers into the normal range, and its root.
const UP: f32 = 16_777_216.0; // 2^24
const ROOT_UP: f32 = 4096.0;

/// `1 / √x` from its estimate `y`, for normal `x`.
#[inline(always)]
fn refine<S: Isa>(isa: S, x: S::F, y: S::F) -> S::F {
    let error = isa.sub(isa.mul(x, isa.mul(y, y)), isa.splat(1.0));
    isa.sub(y, isa.mul(error, isa.mul(isa.splat(0.5), y)))
}

/// `1 / √x`. At most 3 ULP; zero gives infinity with its sign, negative numbers NaN.
#[derive(Clone, Copy, Debug)]
pub struct Rsqrt;

impl Function for Rsqrt {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        let small = isa.lt(x, isa.splat(f32::MIN_POSITIVE));
        let scaled = isa.select(small, isa.mul(x, isa.splat(UP)), x);
        let Some(estimate) = isa.rsqrt_estimate(scaled) else {
            return isa.div(isa.splat(1.0), isa.sqrt(x));
        };
        // The estimate of zero and of infinity is exact; refining it would give NaN.
        let refined = refine(isa, scaled, estimate);
        let refined = isa.select(isa.eq(x, isa.zero()), estimate, refined);
        let refined = isa.select(isa.eq(x, isa.splat(f32::INFINITY)), estimate, refined);
        isa.mul(refined, isa.select(small, isa.splat(ROOT_UP), isa.splat(1.0)))
    }
}

/// `√x`. At most 3 ULP.
#[derive(Clone, Copy, Debug)]
pub struct Sqrt;

impl Function for Sqrt {
    #[inline(always)]
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F {
        let small = isa.lt(x, isa.splat(f32::MIN_POSITIVE));
        let scaled = isa.select(small, isa.mul(x, isa.splat(UP)), x);
        let Some(estimate) = isa.rsqrt_estimate(scaled) else {
            return isa.sqrt(x);
        };
        let root = isa.mul(scaled, refine(isa, scaled, estimate));
        let root = isa.mul(root, isa.select(small, isa.splat(1.0 / ROOT_UP), isa.splat(1.0)));
        // Zero and infinity are their own roots.
        let root = isa.select(isa.eq(x, isa.zero()), x, root);
        isa.select(isa.eq(x, isa.splat(f32::INFINITY)), x, root)
    }
}
