//! Operators that give the same elements another shape: RESHAPE, SQUEEZE, EXPAND_DIMS; and the same
//! shape: DENSIFY, as sparse constants are made dense when a graph is read.
//!
//! They are aliases: the planner lets the output name the input's memory, and the copy kernel here runs only where the
//! output must have memory of its own (a graph output that is also a graph input, say).

use ferrolite_model::options::{ReshapeOptionsT, SqueezeOptionsT};
use ferrolite_model::{BuiltinOperator, TensorType};

use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Ints, Node, OutputShapes, one};
use crate::same_types;
use crate::shape::{Shape, resolve_axis};
use crate::spec::OpSpec;
use crate::tensor::TensorInfo;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::RESHAPE, infer_reshape, lower_copy).inputs(1, 2).alias(0),
    OpSpec::builtin(BuiltinOperator::SQUEEZE, infer_squeeze, lower_copy).versions(2).alias(0),
    OpSpec::builtin(BuiltinOperator::EXPAND_DIMS, infer_expand_dims, lower_copy).inputs(2, 2).alias(0),
    OpSpec::builtin(BuiltinOperator::DENSIFY, infer_same, lower_copy)
        .types(same_types![Float32, Float16, Int8])
        .alias(0),
];

fn infer_same(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(node.shape(0)?.clone()))
}

/// The shape asked for: the second input if it is a list of int32, else the option.
///
/// TensorFlow converters of old wrote the option `[0]` for "see the input" and for scalars.
fn infer_reshape(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let list = |info: &TensorInfo| info.dtype == TensorType::Int32 && info.shape.rank() == 1;
    let wanted: Ints = match node.optional(1) {
        Some(operand) if list(operand.info) => node.ints(1)?,
        _ => {
            let from_option: Ints = node
                .options::<ReshapeOptionsT>()?
                .new_shape
                .unwrap_or_default()
                .into_iter()
                .map(i64::from)
                .collect();
            if from_option.as_slice() == [0] { Ints::new() } else { from_option }
        }
    };
    let input = node.shape(0)?;
    Ok(one(resolve_wildcard(input, &wanted)?))
}

/// Replaces the one `-1` of a shape by what the number of elements leaves for it. Where another dimension is 0 that could
/// be anything: the dimensions that are not 0 then tell.
fn resolve_wildcard(input: &Shape, wanted: &[i64]) -> Result<Shape, OpError> {
    let total = input.num_elements()?;
    let mut known = 1usize;
    let mut wildcard = None;
    for (i, &d) in wanted.iter().enumerate() {
        match usize::try_from(d) {
            Ok(d) => known = known.checked_mul(d).ok_or_else(|| mismatch(input, wanted))?,
            Err(_) if d == -1 && wildcard.is_none() => wildcard = Some(i),
            Err(_) => return Err(mismatch(input, wanted)),
        }
    }
    let mut shape: Shape = wanted.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect();
    if let Some(i) = wildcard {
        let rest = match total.checked_div(known) {
            Some(rest) => rest,
            None => without_zeros(input)? / without_zeros(&shape)?,
        };
        shape = shape.iter().enumerate().map(|(j, &d)| if i == j { rest } else { d }).collect();
    }
    if shape.num_elements()? == total { Ok(shape) } else { Err(mismatch(input, wanted)) }
}

/// The product of the dimensions that are not 0.
fn without_zeros(shape: &Shape) -> Result<usize, OpError> {
    shape.iter().filter(|&&d| d != 0).copied().collect::<Shape>().num_elements()
}

fn mismatch(input: &Shape, wanted: &[i64]) -> OpError {
    OpError::invalid(format!(
        "a tensor of shape {input} cannot be reshaped to {wanted:?}: the element counts differ"
    ))
}

/// Drops the listed dimensions of size 1, or all of them if none is listed.
fn infer_squeeze(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let input = node.shape(0)?;
    let axes = node.options::<SqueezeOptionsT>()?.squeeze_dims.unwrap_or_default();
    let mut drop = vec![axes.is_empty(); input.rank()];
    for &axis in &axes {
        drop[resolve_axis(i64::from(axis), input.rank())?] = true;
    }
    if !axes.is_empty() && input.iter().zip(&drop).any(|(&d, &drop)| drop && d != 1) {
        return Err(OpError::invalid(format!(
            "{input} has a dimension other than 1 among the squeezed ones {axes:?}"
        ))
        .into());
    }
    Ok(one(input.iter().zip(&drop).filter(|&(&d, &drop)| !(drop && d == 1)).map(|(&d, _)| d).collect()))
}

fn infer_expand_dims(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let input = node.shape(0)?;
    let axes = node.ints(1)?;
    let [axis] = axes.as_slice() else {
        return Err(OpError::invalid("EXPAND_DIMS takes a single axis").into());
    };
    let at = resolve_axis(*axis, input.rank() + 1)?;
    let mut dims = input.to_vec();
    dims.insert(at, 1);
    Ok(one(Shape::new(&dims)))
}

fn lower_copy(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("copy", |io, _| {
        let shape = Shape::new(io.outputs.shape(0)?);
        let from = io.inputs.bytes(0)?;
        io.outputs.set_bytes(0, &shape, from)
    })
    .boxed())
}
