//! STABLEHLO_SELECT, one of two operands by a condition, and STABLEHLO_CLAMP, an operand held to a range.

use ferrolite_kernels::cpu::elementwise::broadcast::Broadcast;
use ferrolite_model::BuiltinOperator;

use super::elementwise::kernel_name;
use super::number::Value;
use super::types::{rows, with_real};
use super::undefined;
use crate::element::Element;
use crate::error::OpError;
use crate::families::elementwise::select::by_size;
use crate::families::elementwise::{Lowered, wrong_size};
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::{OpSpec, TypeRow};
use crate::types;

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::STABLEHLO_SELECT, infer_select, lower_select)
        .inputs(3, 3)
        .types(SELECTED),
    OpSpec::builtin(BuiltinOperator::STABLEHLO_CLAMP, infer_clamp, lower_clamp)
        .inputs(3, 3)
        .types(rows!(real)),
];

/// Element types of STABLEHLO_SELECT.
const SELECTED: &[TypeRow] = types![
    (Bool, Float32) -> (Float32),
    (Bool, Float64) -> (Float64),
    (Bool, Float16) -> (Float16),
    (Bool, BFloat16) -> (BFloat16),
    (Bool, Int8) -> (Int8),
    (Bool, Int16) -> (Int16),
    (Bool, Int32) -> (Int32),
    (Bool, Int64) -> (Int64),
    (Bool, UInt8) -> (UInt8),
    (Bool, UInt16) -> (UInt16),
    (Bool, UInt32) -> (UInt32),
    (Bool, UInt64) -> (UInt64),
    (Bool, Complex64) -> (Complex64),
    (Bool, Complex128) -> (Complex128),
    (Bool, Bool) -> (Bool),
];

/// Whether a tensor is a scalar or has the shape of another.
fn fits(part: &Shape, whole: &Shape) -> bool {
    part.rank() == 0 || part == whole
}

fn infer_select(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (condition, yes, no) = (node.shape(0)?, node.shape(1)?, node.shape(2)?);
    if yes == no && fits(condition, yes) {
        return Ok(one(yes.clone()));
    }
    Err(OpError::invalid(format!(
        "a selection takes operands of one shape and a condition of that shape or a scalar, not {condition}, {yes} and {no}"
    ))
    .into())
}

fn lower_select(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    by_size(node, Broadcast::new([node.shape(0)?, node.shape(1)?, node.shape(2)?]))
}

fn infer_clamp(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (low, operand, high) = (node.shape(0)?, node.shape(1)?, node.shape(2)?);
    if fits(low, operand) && fits(high, operand) {
        return Ok(one(operand.clone()));
    }
    Err(OpError::invalid(format!(
        "limits of shapes {low} and {high} are neither scalars nor of the operand's shape {operand}"
    ))
    .into())
}

fn lower_clamp(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    /// The greater of operand and lower limit, then the lesser of that and the upper limit: with limits the wrong way
    /// round the upper one wins.
    fn of<T: Element + Value>(node: &Node<'_>) -> Lowered {
        let (one_low, one_high) = (node.shape(0)?.rank() == 0, node.shape(2)?.rank() == 0);
        let len = node.shape(1)?.num_elements()?;
        let run = FnKernel::new(kernel_name::<T>("clamp"), move |io, cx| {
            const TILE: usize = 16 << 10;
            let (lows, operand, highs) =
                (io.inputs.get::<T>(0)?, io.inputs.get::<T>(1)?, io.inputs.get::<T>(2)?);
            let out = io.outputs.get::<T>(0)?;
            let fits = |limits: &[T], one: bool| limits.len() == if one { 1 } else { len };
            if !fits(lows, one_low) || !fits(highs, one_high) || operand.len() != len || out.len() != len {
                return Err(wrong_size());
            }
            cx.par().chunks_mut(out, TILE, |tile, out| {
                for (i, out) in out.iter_mut().enumerate() {
                    let i = tile * TILE + i;
                    let (low, high) =
                        (lows[if one_low { 0 } else { i }], highs[if one_high { 0 } else { i }]);
                    *out = operand[i].greatest(low).least(high);
                }
            });
            Ok(())
        });
        Ok(run.ops(2.0 * len as f64).boxed())
    }
    let quantization = &node.input(1)?.info.quantization;
    if node.inputs.iter().flatten().any(|o| o.info.quantization != *quantization)
        || node.output(0)?.quantization != *quantization
    {
        return Err(OpError::unsupported(
            "operand, limits and result are quantized differently: quantize them alike",
        ));
    }
    with_real!(node.dtype(1)?, T => of::<T>(node), undefined(node))
}
