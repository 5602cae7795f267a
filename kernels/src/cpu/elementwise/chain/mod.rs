//! Chains of functions of single `f32`s and of rows of them in one pass.
//!
//! A chain is a list of functions, each of inputs and of results before it. It runs block by block: all functions on a few
//! hundred elements, then on the next ones, so that results in between stay in the first cache and nothing but inputs and
//! wanted results goes through memory. Every function rounds as its kernel by itself does: the results are the same bits.
//!
//! A chain of rows has functions of the innermost dimensions too: sums, means and extremes, whose results, one of each row,
//! may be operands for all elements of the row, and softmax. Its blocks are whole rows. Layer and RMS normalization are such
//! chains.
//!
//! `plan` settles where each operand of a block is, `run` goes over the blocks, `compute` has the functions.

mod compute;
mod plan;
#[cfg(test)]
mod row_tests;
mod run;
#[cfg(test)]
mod tests;

pub use plan::Chain;

use super::narrow_rows::NARROW;
use crate::cpu::gradient::activation::Gradient;

/// The most inputs of a chain.
pub const MOST_INPUTS: usize = 24;
/// The most results of a chain that are wanted.
pub const MOST_OUTPUTS: usize = 16;
/// The most functions of a chain.
pub const MOST_LINKS: usize = 96;

/// A function of one or two numbers, or of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Function {
    /// `a`
    Copy,
    /// `-a`
    Neg,
    /// `|a|`
    Abs,
    /// `a * a`
    Square,
    /// `√a`, as [`Sqrt`](super::math::Sqrt)
    Sqrt,
    /// `1 / √a`, as [`Rsqrt`](super::math::Rsqrt)
    Rsqrt,
    /// `e^a`, as [`Exp`](super::math::Exp)
    Exp,
    /// The natural logarithm, as [`Log`](super::math::Log)
    Log,
    /// `1 / (1 + e^-a)`, as [`Sigmoid`](super::math::Sigmoid)
    Sigmoid,
    /// The hyperbolic tangent, as [`Tanh`](super::math::Tanh)
    Tanh,
    /// `a min(max(a + 3, 0), 6) / 6`, as [`HardSwish`](super::math::HardSwish)
    HardSwish,
    /// `a` held to a range; NaN stays
    Clamp {
        /// Least value.
        low: f32,
        /// Greatest value.
        high: f32,
    },
    /// `a`, times a slope below zero
    LeakyRelu {
        /// The slope.
        alpha: f32,
    },
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// `a` if it is greater than `b`, else `b`
    Maximum,
    /// `a` if it is less than `b`, else `b`
    Minimum,
    /// `(a - b)²`
    SquaredDifference,
    /// `a` to the power of `b`
    Pow,
    /// A gradient, of the kept number `a` and the gradient `b` of the result
    Gradient(Gradient),
    /// A function of the elements of a row
    OfRow(OfRow),
}

/// A function of the elements of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum OfRow {
    /// Their sum, as [`Sum`](crate::cpu::reduce::Sum)
    Sum,
    /// Their mean, as [`Mean`](crate::cpu::reduce::Mean)
    Mean,
    /// The greatest, as [`MaxOf`](crate::cpu::reduce::MaxOf)
    Max,
    /// The least, as [`MinOf`](crate::cpu::reduce::MinOf)
    Min,
    /// `e^(β x) / Σ e^(β x)` for each, as [`softmax`](super::softmax::softmax)
    Softmax {
        /// `β`
        beta: f32,
    },
}

impl OfRow {
    /// Whether it makes one number of a row.
    #[must_use]
    pub fn reduces(self) -> bool {
        !matches!(self, Self::Softmax { .. })
    }

    /// The fewest elements of a row that it takes.
    pub(super) fn least_row(self) -> usize {
        // Narrower rows are not rows to the kernels that run by themselves either.
        if self.reduces() { 2 } else { NARROW + 1 }
    }
}

impl Function {
    /// Whether it is a function of two numbers.
    #[must_use]
    pub fn is_binary(self) -> bool {
        !matches!(
            self,
            Self::Copy
                | Self::Neg
                | Self::Abs
                | Self::Square
                | Self::Sqrt
                | Self::Rsqrt
                | Self::Exp
                | Self::Log
                | Self::Sigmoid
                | Self::Tanh
                | Self::HardSwish
                | Self::Clamp { .. }
                | Self::LeakyRelu { .. }
                | Self::OfRow(_)
        )
    }
}

/// What a function is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// An input of the chain.
    Input(usize),
    /// The result of an earlier link.
    Link(usize),
}

/// One function of a chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// The function.
    pub function: Function,
    /// Its arguments; of a function of one number the second does not count.
    pub args: [Arg; 2],
    /// Whether it has one result for each row, and not one for each element.
    pub by_row: bool,
}

impl Link {
    /// A function with a result for each element.
    #[must_use]
    pub fn of_elements(function: Function, args: [Arg; 2]) -> Self {
        Self { function, args, by_row: false }
    }

    /// A function with a result for each row.
    #[must_use]
    pub fn of_rows(function: Function, args: [Arg; 2]) -> Self {
        Self { function, args, by_row: true }
    }
}
