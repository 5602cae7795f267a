//! Gradients of activations and of other functions of one number.
//!
//! Each formula takes the gradient of the result and the number that TensorFlow's operator of that name keeps from the
//! forward pass: the argument, or the result where the derivative is a function of it.

use crate::isa::{Cpu, Isa, Kernel};
use crate::par::Par;

/// Elements that a thread computes at a time.
const CHUNK: usize = 16 << 10;
/// Scale and scale times alpha of SELU (Klambauer et al., "Self-Normalizing Neural Networks", 2017).
pub(crate) const SELU_SCALE: f32 = 1.050_701;
pub(crate) const SELU_SCALE_ALPHA: f32 = 1.758_099_3;

/// A gradient as a function of the kept number and the gradient of the result.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Gradient {
    /// Of `max(x, 0)`; keeps argument or result.
    Relu,
    /// Of `min(max(x, 0), 6)`; keeps argument or result.
    Relu6,
    /// Of `x` where positive, else `alpha x`; keeps the argument.
    LeakyRelu {
        /// Slope of the negative side.
        alpha: f32,
    },
    /// Of `x` where positive, else `exp(x) - 1`; keeps the result.
    Elu,
    /// Of scaled ELU; keeps the result.
    Selu,
    /// Of `log(1 + exp(x))`; keeps the argument.
    Softplus,
    /// Of `x / (1 + |x|)`; keeps the argument.
    Softsign,
    /// Of the hyperbolic tangent; keeps the result.
    Tanh,
    /// Of `1 / (1 + exp(-x))`; keeps the result.
    Sigmoid,
    /// Of the square root; keeps the result.
    Sqrt,
    /// Of `1 / sqrt(x)`; keeps the result.
    Rsqrt,
    /// Of `1 / x`; keeps the result.
    Reciprocal,
}

impl Gradient {
    /// The gradient with respect to the argument for one number.
    #[inline(always)]
    pub fn of(self, kept: f32, gradient: f32) -> f32 {
        match self {
            Self::Relu => {
                if kept > 0.0 {
                    gradient
                } else {
                    0.0
                }
            }
            Self::Relu6 => {
                if kept > 0.0 && kept < 6.0 {
                    gradient
                } else {
                    0.0
                }
            }
            Self::LeakyRelu { alpha } => {
                if kept > 0.0 {
                    gradient
                } else {
                    alpha * gradient
                }
            }
            Self::Elu => {
                if kept < 0.0 {
                    gradient * (kept + 1.0)
                } else {
                    gradient
                }
            }
            Self::Selu => {
                if kept < 0.0 {
                    gradient * (kept + SELU_SCALE_ALPHA)
                } else {
                    gradient * SELU_SCALE
                }
            }
            Self::Softplus => gradient / (libm::expf(-kept) + 1.0),
            Self::Softsign => {
                let scale = 1.0 + kept.abs();
                gradient / (scale * scale)
            }
            Self::Tanh => gradient * (1.0 - kept * kept),
            Self::Sigmoid => gradient * kept * (1.0 - kept),
            Self::Sqrt => gradient * 0.5 / kept,
            Self::Rsqrt => gradient * -0.5 * kept * kept * kept,
            Self::Reciprocal => -gradient * kept * kept,
        }
    }

    /// The gradients for slices of equal length.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn run(self, cpu: Cpu, kept: &[f32], gradient: &[f32], out: &mut [f32], par: Par) {
        assert!(kept.len() == out.len() && gradient.len() == out.len(), "gradients of equal length");
        par.chunks_mut(out, CHUNK, |chunk, out| {
            let at = chunk * CHUNK..chunk * CHUNK + out.len();
            let (kept, gradient) = (&kept[at.clone()], &gradient[at]);
            // The choice is made once per chunk: each arm is a loop of its own that the compiler vectorizes.
            macro_rules! arms {
                ($($variant:ident)*) => {
                    match self {
                        Self::LeakyRelu { alpha } => {
                            cpu.dispatch(Map { kept, gradient, out, f: |k, g| Self::LeakyRelu { alpha }.of(k, g) });
                        }
                        $(Self::$variant => cpu.dispatch(Map { kept, gradient, out, f: |k, g| Self::$variant.of(k, g) }),)*
                    }
                };
            }
            arms!(Relu Relu6 Elu Selu Softplus Softsign Tanh Sigmoid Sqrt Rsqrt Reciprocal);
        });
    }
}

/// A function of two numbers over slices.
struct Map<'a, F> {
    kept: &'a [f32],
    gradient: &'a [f32],
    out: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> Kernel for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let len = self.out.len();
        let (kept, gradient) = (&self.kept[..len], &self.gradient[..len]);
        for ((out, &k), &g) in self.out.iter_mut().zip(kept).zip(gradient) {
            *out = (self.f)(k, g);
        }
    }
}

/// Adds up the rows of a matrix: the gradient of a bias that was added to each of them.
///
/// # Panics
/// When `rows` is not made of whole rows of `sum.len()` values.
pub fn sum_rows(cpu: Cpu, rows: &[f32], sum: &mut [f32]) {
    assert!(sum.is_empty() || rows.len().is_multiple_of(sum.len()), "whole rows");
    cpu.dispatch(SumRows { rows, sum });
}

struct SumRows<'a> {
    rows: &'a [f32],
    sum: &'a mut [f32],
}

impl Kernel for SumRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        self.sum.fill(0.0);
        for row in self.rows.chunks_exact(self.sum.len().max(1)) {
            add(row, self.sum);
        }
    }
}

/// Adds `values` to `sum`.
#[inline(always)]
pub(crate) fn add(values: &[f32], sum: &mut [f32]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += value;
    }
}
