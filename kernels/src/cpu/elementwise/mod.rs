//! Kernels that compute each output element from the elements at the same place of their operands.
//!
//! - [`broadcast`] plans how operands of different shapes are walked together; [`binary`] and [`select`] run over it;
//! - [`bytes`] runs over it by vectors, for sums and products of quantized bytes;
//! - [`chain`] runs several functions of floats in one pass;
//! - [`unary`] maps one operand, with closures that the compiler vectorizes or with the functions of [`math`];
//! - [`lut`] maps through tables, which is how all 8-bit functions run, [`sigmoid16`] is the 16-bit sigmoid;
//! - [`quantized`] holds the fixed-point and float-scale arithmetic of quantized tensors;
//! - [`softmax`] and [`softmax_bytes`] work on rows.

pub mod binary;
pub mod broadcast;
pub mod bytes;
pub mod chain;
pub mod cumulative;
pub mod lut;
pub mod math;
mod narrow_rows;
pub mod quantized;
pub mod select;
pub mod sigmoid16;
pub mod softmax;
pub mod softmax_bytes;
pub mod unary;

use core::ops::Range;

use crate::isa::{Cpu, Kernel, Portable};
use crate::par::Par;

/// What closure kernels are compiled for. A hot function is worth the code for every instruction set, the others are
/// compiled once.
pub trait Target: Copy + Send + Sync {
    /// Runs a kernel compiled for this target.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;
}

impl Target for Cpu {
    #[inline]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        self.dispatch(kernel)
    }
}

/// What every CPU of the compilation target has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Baseline;

impl Target for Baseline {
    #[inline]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(Portable::new())
    }
}

/// Elements of one tile of work: small enough for a core's cache, large enough to be worth handing out.
const TILE: usize = 16 * 1024;

/// Splits `0..len` into tiles and runs them on the threads of `par`.
fn for_each_range(par: Par, len: usize, run: impl Fn(Range<usize>) + Send + Sync) {
    const UNIT: usize = 64;
    let tile = par.even_chunk(len, TILE, UNIT);
    par.for_each_tile(len.div_ceil(tile), |index| run(index * tile..len.min((index + 1) * tile)));
}
