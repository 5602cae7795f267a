//! SELECT and SELECT_V2: one of two operands by a condition.

use bytemuck::Pod;
use ferrolite_kernels::cpu::elementwise::broadcast::Broadcast;
use ferrolite_kernels::cpu::elementwise::select::select;
use ferrolite_model::BuiltinOperator;

use super::{Lowered, wrong_size};
use crate::element::Bool;
use crate::error::OpError;
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::{OpSpec, TypeRow};
use crate::types;

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::SELECT, infer_select, lower_select)
        .inputs(3, 3)
        .versions(4)
        .types(TYPES),
    OpSpec::builtin(BuiltinOperator::SELECT_V2, infer_select_v2, lower_select_v2)
        .inputs(3, 3)
        .versions(2)
        .types(TYPES),
];

const TYPES: &[TypeRow] = types![
    (Bool, Float32) -> (Float32),
    (Bool, Float16) -> (Float16),
    (Bool, BFloat16) -> (BFloat16),
    (Bool, Float64) -> (Float64),
    (Bool, Int8) -> (Int8),
    (Bool, UInt8) -> (UInt8),
    (Bool, Int16) -> (Int16),
    (Bool, UInt16) -> (UInt16),
    (Bool, Int32) -> (Int32),
    (Bool, UInt32) -> (UInt32),
    (Bool, Int64) -> (Int64),
    (Bool, UInt64) -> (UInt64),
    (Bool, Bool) -> (Bool),
    (Bool, Complex64) -> (Complex64),
];

/// The condition's shape with which SELECT broadcasts: a vector chooses among rows.
fn row_condition(node: &Node<'_>) -> Result<Shape, OpError> {
    let (condition, yes, no) = (node.shape(0)?, node.shape(1)?, node.shape(2)?);
    let fits = yes == no
        && (condition == yes
            || condition.rank() == 0
            || (condition.rank() == 1 && condition.first() == yes.first()));
    if !fits {
        return Err(OpError::invalid(format!(
            "SELECT takes operands of one shape and a condition of that shape, of its first dimension, or a scalar; \
             not {condition}, {yes} and {no}: use SELECT_V2 to broadcast"
        )));
    }
    if condition == yes || condition.rank() == 0 {
        return Ok(condition.clone());
    }
    Ok(condition.iter().copied().chain(core::iter::repeat_n(1, yes.rank() - 1)).collect())
}

/// Whether every operand has a single element; the output then keeps the shape that the file declares.
fn all_single(node: &Node<'_>) -> Result<bool, OpError> {
    for i in 0..3 {
        if node.shape(i)?.num_elements()? != 1 {
            return Ok(false);
        }
    }
    Ok(node.output(0)?.shape.num_elements()? == 1)
}

fn infer_select(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    if all_single(node)? {
        return Ok(one(node.output(0)?.shape.clone()));
    }
    row_condition(node)?;
    Ok(one(node.shape(1)?.clone()))
}

fn infer_select_v2(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    if all_single(node)? {
        return Ok(one(node.output(0)?.shape.clone()));
    }
    Ok(one(node.shape(0)?.broadcast(node.shape(1)?)?.broadcast(node.shape(2)?)?))
}

fn lower_select(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    if all_single(node)? {
        return lower_select_v2(node, cx);
    }
    let condition = row_condition(node)?;
    by_size(node, Broadcast::new([&condition, node.shape(1)?, node.shape(2)?]))
}

fn lower_select_v2(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    by_size(node, Broadcast::new([node.shape(0)?, node.shape(1)?, node.shape(2)?]))
}

/// Copies elements by their size, whatever they mean.
pub(crate) fn by_size(node: &Node<'_>, plan: Option<Broadcast<3>>) -> Lowered {
    let plan = plan.ok_or_else(|| {
        OpError::unsupported(
            "the shapes alternate between equal and broadcast dimensions more than eight times: reshape them so that \
             neighbouring dimensions merge",
        )
    })?;
    match node.dtype(1)?.bits() {
        Some(8) => of::<u8>("b8_select", plan),
        Some(16) => of::<u16>("b16_select", plan),
        Some(32) => of::<u32>("b32_select", plan),
        Some(64) => of::<u64>("b64_select", plan),
        Some(128) => of::<[u64; 2]>("b128_select", plan),
        _ => Err(super::unexpected(node)),
    }
}

fn of<T: Pod + Send + Sync>(name: &'static str, plan: Broadcast<3>) -> Lowered {
    let ops = plan.len() as f64;
    let run = FnKernel::new(name, move |io, context| {
        let condition: &[u8] = bytemuck::cast_slice(io.inputs.get::<Bool>(0)?);
        let values = |i: usize| -> Result<&[T], OpError> {
            bytemuck::try_cast_slice(io.inputs.bytes(i)?).map_err(|_| wrong_size())
        };
        let (yes, no) = (values(1)?, values(2)?);
        let out: &mut [T] = bytemuck::try_cast_slice_mut(io.outputs.bytes(0)?).map_err(|_| wrong_size())?;
        let lens = [condition.len(), yes.len(), no.len()];
        if (0..3).any(|k| lens[k] != plan.operand_len(k)) || out.len() != plan.len() {
            return Err(wrong_size());
        }
        select(context.par(), &plan, condition, (yes, no), out);
        Ok(())
    });
    Ok(run.ops(ops).boxed())
}
