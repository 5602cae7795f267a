//! The operators of StableHLO, which exporters of JAX and PyTorch models put into files.
//!
//! They follow the [StableHLO specification](https://openxla.org/stablehlo/spec): operands are not broadcast, sizes and
//! dimension numbers are options, and functions of elements are subgraphs ("regions"). Where LiteRT has a kernel, its
//! results are followed, also in corners in which it leaves the specification. Integers with scales are quantized
//! tensors: those LiteRT has kernels for take them as plain integers, as it does.
//!
//! Control flow is in [`super::control`], as the operators of the format's own kind work alike.

mod attributes;
pub(super) mod choose;
pub(super) mod compare;
mod complex;
pub(super) mod convert;
pub(super) mod convolution;
pub(super) mod custom_call;
pub(super) mod dot_general;
pub(super) mod elementwise;
pub(super) mod gather;
mod indices;
mod number;
pub(super) mod pad;
mod product;
mod quantized;
pub(super) mod reduce;
pub(super) mod reduce_window;
mod reducer;
pub(super) mod rng;
pub(super) mod scatter;
pub(super) mod shapes;
pub(super) mod slices;
pub(super) mod sort;
mod types;
pub(super) mod unary;
mod walk;

use ferrolite_kernels::cpu::movement::dense_strides;

use super::elementwise::{Lowered, unexpected};
use crate::TensorType;
use crate::kernel::FnKernel;
use crate::node::Node;
use crate::spec::TypeRow;

/// More operands than any file has.
const ANY: usize = usize::MAX;

/// Element types of operators that only move elements.
const MOVED: &[TypeRow] = crate::same_types![
    Float32, Float16, BFloat16, Float64, Int8, UInt8, Int16, UInt16, Int32, UInt32, Int64, UInt64, Bool,
    Complex64, Complex128, Int4, UInt4
];

/// The refusal of an element type that the type table lets through for another case of the operator.
fn undefined(node: &Node<'_>) -> Lowered {
    Err(unexpected(node))
}

/// A kernel that makes all results zero: for those without elements, and for sums of nothing.
fn zeros() -> Lowered {
    Ok(FnKernel::new("zeros", |io, _| {
        for i in 0..io.outputs.len() {
            io.outputs.bytes(i)?.fill(0);
        }
        Ok(())
    })
    .boxed())
}

/// Whether elements are whole integers.
fn is_integer(dtype: TensorType) -> bool {
    types::with_integer!(dtype, _T => true, false)
}

/// Elements from one position to the next along every dimension of a dense tensor.
fn strides(shape: &[usize]) -> Vec<usize> {
    dense_strides(shape).into_iter().map(|stride| stride as usize).collect()
}
