//! Vector functions of `f32`.
//!
//! The results are those of LiteRT's default path (XNNPACK) on a CPU with AVX-512, bit for bit on an instruction set with
//! a fused multiply-add: the approximations, their coefficients and the order of the operations are XNNPACK's. One
//! set of formulas for all instruction sets, so that a model's numbers depend on them only through the rounding of
//! `a * b + c`, and through `root`'s estimate.
//!
//! Infinities, NaNs and zeros give what the real function's limits say, also where the reference's arithmetic has a
//! NaN instead (sigmoid of ±1e30, reciprocal root of zero). The reference flushes subnormal numbers to zero; they are
//! kept here. The errors stated are the greatest seen against `f64` by the sweep in this module's tests, where the
//! result is a normal number.

mod exponential;
mod rational;
mod root;
#[cfg(test)]
mod tests;

pub(super) use exponential::exp_negative;
pub use exponential::{Elu, Exp, Sigmoid};
pub use rational::{Cos, Gelu, GeluTanh, HardSwish, Log, Sin, Tanh};
pub use root::{Rsqrt, Sqrt};

use crate::isa::Isa;

/// A function of one `f32`, written over vectors.
pub trait Function: Copy + Send + Sync + 'static {
    /// The function of every lane. Implementations must be `#[inline(always)]`.
    fn eval<S: Isa>(self, isa: S, x: S::F) -> S::F;
}

/// `c[0] + c[1] x + c[2] x^2 + …` by Horner's rule.
#[inline(always)]
fn polynomial<S: Isa, const N: usize>(isa: S, x: S::F, c: [f32; N]) -> S::F {
    let mut sum = isa.splat(c[N - 1]);
    for &c in c[..N - 1].iter().rev() {
        sum = isa.fma(sum, x, isa.splat(c));
    }
    sum
}
