//! Functions of two operands of one shape: STABLEHLO_ADD SUBTRACT MULTIPLY DIVIDE REMAINDER POWER MAXIMUM MINIMUM AND OR
//! SHIFT_LEFT.

use std::borrow::Cow;

use ferrolite_kernels::cpu::elementwise::binary::Source;
use ferrolite_model::BuiltinOperator;

use super::number::{Bits, Number, Real, Shift, Value};
use super::quantized::{self, lower_dequantized};
use super::types::{rows, with_integer, with_number, with_real, with_value};
use super::undefined;
use crate::TensorType;
use crate::element::{Bool, Element};
use crate::error::OpError;
use crate::families::elementwise::{Lowered, hot_binary_kernel, source, wrong_size};
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::spec::{LowerFn, OpSpec, TypeRow};

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    binary(BuiltinOperator::STABLEHLO_ADD, lower_add, rows!(values)),
    binary(BuiltinOperator::STABLEHLO_SUBTRACT, lower_subtract, rows!(numbers)),
    binary(BuiltinOperator::STABLEHLO_MULTIPLY, lower_multiply, rows!(values)),
    binary(BuiltinOperator::STABLEHLO_DIVIDE, lower_divide, rows!(numbers)),
    binary(BuiltinOperator::STABLEHLO_REMAINDER, lower_remainder, rows!(real)),
    binary(BuiltinOperator::STABLEHLO_POWER, lower_power, rows!(numbers)),
    binary(BuiltinOperator::STABLEHLO_MAXIMUM, lower_maximum, rows!(values)),
    binary(BuiltinOperator::STABLEHLO_MINIMUM, lower_minimum, rows!(values)),
    binary(BuiltinOperator::STABLEHLO_AND, lower_and, rows!(bits)),
    binary(BuiltinOperator::STABLEHLO_OR, lower_or, rows!(bits)),
    binary(BuiltinOperator::STABLEHLO_SHIFT_LEFT, lower_shift_left, rows!(integers)),
];

const fn binary(op: BuiltinOperator, lower: LowerFn, types: &'static [TypeRow]) -> OpSpec {
    OpSpec::builtin(op, infer, lower).inputs(2, 2).types(types).in_place(&[0, 1])
}

/// Both operands and the result have one shape: nothing is broadcast.
fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (a, b) = (node.shape(0)?, node.shape(1)?);
    if a == b {
        return Ok(one(a.clone()));
    }
    Err(OpError::invalid(format!(
        "the operands have the shapes {a} and {b}: StableHLO takes equal ones, broadcast one with \
         STABLEHLO_BROADCAST_IN_DIM"
    ))
    .into())
}

/// A kernel over the elements of two tensors, computed in place where the planner allows it.
pub(super) fn kernel<T: Element>(
    name: impl Into<Cow<'static, str>>,
    node: &Node<'_>,
    f: impl Fn(T, T) -> T + Copy + Send + Sync + 'static,
) -> Lowered {
    const TILE: usize = 16 << 10;
    let ops = node.shape(0)?.num_elements()? as f64;
    let run = FnKernel::new(name, move |io, cx| {
        let (a, b) = (source::<T>(io, 0)?, source::<T>(io, 1)?);
        let out = io.outputs.get::<T>(0)?;
        let fits = |s: &Source<'_, T>| match s {
            Source::Apart(s) => s.len() == out.len(),
            Source::InPlace => true,
        };
        if !fits(&a) || !fits(&b) {
            return Err(wrong_size());
        }
        cx.par().chunks_mut(out, TILE, |tile, out| {
            let start = tile * TILE;
            match (&a, &b) {
                (Source::Apart(a), Source::Apart(b)) => {
                    let operands = a[start..].iter().zip(&b[start..]);
                    out.iter_mut().zip(operands).for_each(|(o, (&a, &b))| *o = f(a, b));
                }
                (Source::InPlace, Source::Apart(b)) => {
                    out.iter_mut().zip(&b[start..]).for_each(|(o, &b)| *o = f(*o, b));
                }
                (Source::Apart(a), Source::InPlace) => {
                    out.iter_mut().zip(&a[start..]).for_each(|(o, &a)| *o = f(a, *o));
                }
                (Source::InPlace, Source::InPlace) => out.iter_mut().for_each(|o| *o = f(*o, *o)),
            }
        });
        Ok(())
    });
    Ok(run.ops(ops).boxed())
}

/// The name of a kernel, such as `i32_add`.
pub(super) fn kernel_name<T: Element>(name: &str) -> String {
    format!("{}_{name}", T::DTYPE.name().to_lowercase())
}

fn lower_add(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => hot_binary_kernel::<f32>("f32_add", node, cx, |a, b| a + b),
        dtype => {
            with_value!(dtype, T => kernel::<T>(kernel_name::<T>("add"), node, T::plus), undefined(node))
        }
    }
}

fn lower_multiply(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => hot_binary_kernel::<f32>("f32_mul", node, cx, |a, b| a * b),
        dtype => {
            with_value!(dtype, T => kernel::<T>(kernel_name::<T>("mul"), node, T::times), undefined(node))
        }
    }
}

fn lower_subtract(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    if quantized::is_quantized(node)? {
        return lower_dequantized("subtract", node, |a, b| a - b);
    }
    match node.dtype(0)? {
        TensorType::Float32 => hot_binary_kernel::<f32>("f32_sub", node, cx, |a, b| a - b),
        dtype => {
            with_number!(dtype, T => kernel::<T>(kernel_name::<T>("sub"), node, T::minus), undefined(node))
        }
    }
}

fn lower_divide(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    if quantized::is_quantized(node)? {
        return lower_dequantized("divide", node, |a, b| a / b);
    }
    match node.dtype(0)? {
        TensorType::Float32 => hot_binary_kernel::<f32>("f32_div", node, cx, |a, b| a / b),
        dtype => {
            with_number!(dtype, T => kernel::<T>(kernel_name::<T>("div"), node, T::over), undefined(node))
        }
    }
}

fn lower_remainder(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    if quantized::is_quantized(node)? {
        return lower_dequantized("remainder", node, |a, b| a % b);
    }
    with_real!(node.dtype(0)?, T => kernel::<T>(kernel_name::<T>("rem"), node, T::remainder), undefined(node))
}

fn lower_power(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    if quantized::is_quantized(node)? {
        return lower_dequantized("power", node, f32::powf);
    }
    with_number!(node.dtype(0)?, T => kernel::<T>(kernel_name::<T>("pow"), node, T::power), undefined(node))
}

fn lower_maximum(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => hot_binary_kernel::<f32>("f32_max", node, cx, Value::greatest),
        dtype => {
            with_value!(dtype, T => kernel::<T>(kernel_name::<T>("max"), node, T::greatest), undefined(node))
        }
    }
}

fn lower_minimum(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => hot_binary_kernel::<f32>("f32_min", node, cx, Value::least),
        dtype => {
            with_value!(dtype, T => kernel::<T>(kernel_name::<T>("min"), node, T::least), undefined(node))
        }
    }
}

fn lower_and(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Bool => kernel::<Bool>("bool_and", node, Bits::both),
        dtype => {
            with_integer!(dtype, T => kernel::<T>(kernel_name::<T>("and"), node, T::both), undefined(node))
        }
    }
}

fn lower_or(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Bool => kernel::<Bool>("bool_or", node, Bits::either),
        dtype => {
            with_integer!(dtype, T => kernel::<T>(kernel_name::<T>("or"), node, T::either), undefined(node))
        }
    }
}

fn lower_shift_left(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    with_integer!(
        node.dtype(0)?,
        T => kernel::<T>(kernel_name::<T>("shift_left"), node, T::shifted_left),
        undefined(node)
    )
}
