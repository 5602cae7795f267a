//! The functions of a chain over neighbouring elements.

use super::{Function, OfRow};
use crate::cpu::elementwise::math::{self, Function as _};
use crate::cpu::elementwise::softmax::softmax_row;
use crate::cpu::gradient::activation::{Gradient, SELU_SCALE, SELU_SCALE_ALPHA};
use crate::cpu::reduce::{MaxOf, Mean, MinOf, Sum, reduce_row};
use crate::isa::Isa;

/// An operand of a function.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub at: *const f32,
    /// Whether its one number serves for all elements.
    pub one: bool,
}

impl Operand {
    /// Where the number for element `i` is.
    ///
    /// # Safety
    /// The operand has a number for element `i`.
    #[inline(always)]
    unsafe fn element(self, i: usize) -> *const f32 {
        // SAFETY: the caller's promise.
        unsafe { self.at.add(if self.one { 0 } else { i }) }
    }
}

/// A function of one number over `n` elements.
macro_rules! each {
    ($isa:ident, $S:ident, $a:ident, $to:ident, $n:ident, |$x:ident| $value:expr) => {{
        let mut i = 0;
        while i + $S::LANES <= $n {
            let $x = $isa.load_ptr($a.add(i));
            $isa.store_ptr($value, $to.add(i));
            i += $S::LANES;
        }
        if i < $n {
            let $x = $isa.load_ptr_part($a.add(i), $n - i);
            $isa.store_ptr_part($value, $to.add(i), $n - i);
        }
    }};
}

/// A function of two numbers over `n` elements. That one of them is the same for all is no reason to spread it in memory.
macro_rules! pairs {
    ($isa:ident, $S:ident, $a:ident, $b:ident, $to:ident, $n:ident, |$x:ident, $y:ident| $value:expr) => {{
        let (at, other) = ($a.at, $b.at);
        if $a.one {
            let $x = $isa.splat(*at);
            each!($isa, $S, other, $to, $n, |$y| $value);
        } else if $b.one {
            let $y = $isa.splat(*other);
            each!($isa, $S, at, $to, $n, |$x| $value);
        } else {
            let mut i = 0;
            while i + $S::LANES <= $n {
                let ($x, $y) = ($isa.load_ptr(at.add(i)), $isa.load_ptr(other.add(i)));
                $isa.store_ptr($value, $to.add(i));
                i += $S::LANES;
            }
            if i < $n {
                let $x = $isa.load_ptr_part(at.add(i), $n - i);
                let $y = $isa.load_ptr_part(other.add(i), $n - i);
                $isa.store_ptr_part($value, $to.add(i), $n - i);
            }
        }
    }};
}

/// Computes a function of `n` elements; one that reduces them to one has a single result.
///
/// # Safety
/// `a`, and `b` for a function of two numbers, are readable for `n` values, or for one of which the operand says that it
/// serves for all, as not both operands do, nor that of a function of one. `to` is writable for `n` values, or for the single
/// result. An operand that overlaps `to` is `to`.
#[inline(always)]
pub(super) unsafe fn compute<S: Isa>(
    isa: S,
    function: Function,
    a: Operand,
    b: Operand,
    to: *mut f32,
    n: usize,
) {
    let from = a.at;
    // Unlike `max` and `min` of an instruction set, a choice by comparison says which zero and which NaN comes out.
    // SAFETY: the caller's promise; each element is read before it is written.
    unsafe {
        match function {
            Function::Copy => each!(isa, S, from, to, n, |x| x),
            Function::Neg => each!(isa, S, from, to, n, |x| isa.neg(x)),
            Function::Abs => each!(isa, S, from, to, n, |x| isa.abs(x)),
            Function::Square => each!(isa, S, from, to, n, |x| isa.mul(x, x)),
            Function::Sqrt => each!(isa, S, from, to, n, |x| math::Sqrt.eval(isa, x)),
            Function::Rsqrt => each!(isa, S, from, to, n, |x| math::Rsqrt.eval(isa, x)),
            Function::Exp => each!(isa, S, from, to, n, |x| math::Exp.eval(isa, x)),
            Function::Log => each!(isa, S, from, to, n, |x| math::Log.eval(isa, x)),
            Function::Sigmoid => each!(isa, S, from, to, n, |x| math::Sigmoid.eval(isa, x)),
            Function::Tanh => each!(isa, S, from, to, n, |x| math::Tanh.eval(isa, x)),
            Function::HardSwish => each!(isa, S, from, to, n, |x| math::HardSwish.eval(isa, x)),
            Function::Clamp { low, high } => {
                let (low, high) = (isa.splat(low), isa.splat(high));
                each!(isa, S, from, to, n, |x| {
                    let x = isa.select(isa.lt(x, low), low, x);
                    isa.select(isa.lt(high, x), high, x)
                });
            }
            Function::LeakyRelu { alpha } => {
                let (alpha, zero) = (isa.splat(alpha), isa.zero());
                each!(isa, S, from, to, n, |x| isa.select(isa.lt(x, zero), isa.mul(x, alpha), x));
            }
            Function::Add => pairs!(isa, S, a, b, to, n, |x, y| isa.add(x, y)),
            Function::Sub => pairs!(isa, S, a, b, to, n, |x, y| isa.sub(x, y)),
            Function::Mul => pairs!(isa, S, a, b, to, n, |x, y| isa.mul(x, y)),
            Function::Div => pairs!(isa, S, a, b, to, n, |x, y| isa.div(x, y)),
            Function::Maximum => pairs!(isa, S, a, b, to, n, |x, y| isa.select(isa.lt(y, x), x, y)),
            Function::Minimum => pairs!(isa, S, a, b, to, n, |x, y| isa.select(isa.lt(x, y), x, y)),
            Function::SquaredDifference => pairs!(isa, S, a, b, to, n, |x, y| {
                let difference = isa.sub(x, y);
                isa.mul(difference, difference)
            }),
            Function::Pow => {
                for i in 0..n {
                    *to.add(i) = (*a.element(i)).powf(*b.element(i));
                }
            }
            Function::Gradient(gradient) => grade(isa, gradient, a, b, to, n),
            Function::OfRow(function) => of_row(isa, function, from, to, n),
        }
    }
}

/// [`Gradient::of`] by vectors, with the same roundings.
///
/// # Safety
/// As for [`compute`].
#[inline(always)]
unsafe fn grade<S: Isa>(isa: S, gradient: Gradient, a: Operand, b: Operand, to: *mut f32, n: usize) {
    let (zero, one) = (isa.zero(), isa.splat(1.0));
    // SAFETY: the caller's promise.
    unsafe {
        match gradient {
            Gradient::Relu => pairs!(isa, S, a, b, to, n, |k, g| isa.select(isa.lt(zero, k), g, zero)),
            Gradient::Relu6 => {
                let six = isa.splat(6.0);
                pairs!(isa, S, a, b, to, n, |k, g| {
                    let below = isa.select(isa.lt(k, six), g, zero);
                    isa.select(isa.lt(zero, k), below, zero)
                });
            }
            Gradient::LeakyRelu { alpha } => {
                let alpha = isa.splat(alpha);
                pairs!(isa, S, a, b, to, n, |k, g| isa.select(isa.lt(zero, k), g, isa.mul(alpha, g)));
            }
            Gradient::Elu => pairs!(isa, S, a, b, to, n, |k, g| {
                isa.select(isa.lt(k, zero), isa.mul(g, isa.add(k, one)), g)
            }),
            Gradient::Selu => {
                let (scale, shift) = (isa.splat(SELU_SCALE), isa.splat(SELU_SCALE_ALPHA));
                pairs!(isa, S, a, b, to, n, |k, g| {
                    isa.select(isa.lt(k, zero), isa.mul(g, isa.add(k, shift)), isa.mul(g, scale))
                });
            }
            Gradient::Softsign => pairs!(isa, S, a, b, to, n, |k, g| {
                let scale = isa.add(one, isa.abs(k));
                isa.div(g, isa.mul(scale, scale))
            }),
            Gradient::Tanh => pairs!(isa, S, a, b, to, n, |k, g| isa.mul(g, isa.sub(one, isa.mul(k, k)))),
            Gradient::Sigmoid => {
                pairs!(isa, S, a, b, to, n, |k, g| isa.mul(isa.mul(g, k), isa.sub(one, k)))
            }
            Gradient::Sqrt => {
                let half = isa.splat(0.5);
                pairs!(isa, S, a, b, to, n, |k, g| isa.div(isa.mul(g, half), k));
            }
            Gradient::Rsqrt => {
                let half = isa.splat(-0.5);
                pairs!(isa, S, a, b, to, n, |k, g| isa.mul(isa.mul(isa.mul(isa.mul(g, half), k), k), k));
            }
            Gradient::Reciprocal => {
                pairs!(isa, S, a, b, to, n, |k, g| isa.mul(isa.mul(isa.neg(g), k), k))
            }
            Gradient::Softplus => {
                for i in 0..n {
                    *to.add(i) = gradient.of(*a.element(i), *b.element(i));
                }
            }
        }
    }
}

/// A function of a row of `n` elements.
///
/// # Safety
/// `from` is readable for `n` values, `to` is writable for as many, or for one if the function reduces; they do not overlap.
#[inline(always)]
unsafe fn of_row<S: Isa>(isa: S, function: OfRow, from: *const f32, to: *mut f32, n: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let row = core::slice::from_raw_parts(from, n);
        match function {
            OfRow::Sum => *to = reduce_row(Sum::<f32>::default(), row),
            OfRow::Mean => *to = reduce_row(Mean::<f32>::of(n), row),
            OfRow::Max => *to = reduce_row(MaxOf::<f32>::default(), row),
            OfRow::Min => *to = reduce_row(MinOf::<f32>::default(), row),
            OfRow::Softmax { beta } => softmax_row(isa, from, to, n, beta),
        }
    }
}
