//! Operators that give elements other places: STABLEHLO_RESHAPE BROADCAST_IN_DIM TRANSPOSE CONCATENATE IOTA.
//!
//! RESHAPE, BROADCAST_IN_DIM and IOTA have no operand that says how large the result is; the file declares it.

use ferrolite_kernels::cpu::movement::{CopyDim, CopyEnds, dense_strides};
use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::{
    StablehloBroadcastInDimOptionsT, StablehloConcatenateOptionsT, StablehloIotaOptionsT,
    StablehloTransposeOptionsT,
};

use super::attributes;
use super::convert::Number;
use super::types::with_number;
use super::{ANY, undefined};
use crate::element::Element;
use crate::error::OpError;
use crate::families::elementwise::Lowered;
use crate::families::moving::{Moves, into_dense};
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::parts::Parts;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::STABLEHLO_RESHAPE, infer_reshape, lower_reshape)
        .types(super::MOVED)
        .alias(0),
    OpSpec::builtin(BuiltinOperator::STABLEHLO_BROADCAST_IN_DIM, infer_broadcast, lower_broadcast)
        .types(super::MOVED),
    OpSpec::builtin(BuiltinOperator::STABLEHLO_TRANSPOSE, infer_transpose, lower_transpose)
        .types(super::MOVED)
        .joins_or_takes(|node| Parts::reordered(node.shape(0).ok()?, &permutation(node).ok()?)),
    OpSpec::builtin(BuiltinOperator::STABLEHLO_CONCATENATE, infer_concatenate, lower_concatenate)
        .inputs(1, ANY)
        .types(super::MOVED)
        .joins_or_takes(concatenate_parts),
    OpSpec::builtin(BuiltinOperator::STABLEHLO_IOTA, infer_iota, lower_iota)
        .inputs(0, 0)
        .types(super::types::rows!(numbers)),
];

/// The shape that the file declares for the result.
fn declared(node: &Node<'_>) -> Result<Shape, OpError> {
    let output = node.output(0)?;
    if output.open_shape {
        return Err(OpError::invalid(format!(
            "the shape {} of result '{}' is open, but nothing else says how large it is: export the model with a fixed \
             shape",
            output.shape, output.name
        )));
    }
    Ok(output.shape.clone())
}

fn infer_reshape(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (from, to) = (node.shape(0)?, declared(node)?);
    if from.num_elements()? == to.num_elements()? {
        return Ok(one(to));
    }
    Err(OpError::invalid(format!(
        "a tensor of shape {from} cannot be reshaped to {to}, as the file declares: the element counts differ"
    ))
    .into())
}

fn lower_reshape(_: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    Ok(FnKernel::new("copy", |io, _| {
        let shape = Shape::new(io.outputs.shape(0)?);
        let from = io.inputs.bytes(0)?;
        io.outputs.set_bytes(0, &shape, from)
    })
    .boxed())
}

/// The result's dimension that each dimension of the operand becomes.
fn broadcast_dims(node: &Node<'_>, result: &Shape) -> Result<Vec<usize>, OpError> {
    let shape = node.shape(0)?;
    let options = node.options::<StablehloBroadcastInDimOptionsT>()?;
    let dims =
        attributes::axes(options.broadcast_dimensions, result.rank(), "the list of broadcast dimensions")?;
    let fits =
        dims.len() == shape.rank() && shape.iter().zip(&dims).all(|(&d, &axis)| d == 1 || d == result[axis]);
    if fits {
        return Ok(dims);
    }
    Err(OpError::invalid(format!(
        "a tensor of shape {shape} does not broadcast to {result} along {dims:?}: each dimension must be 1 or the one it \
         becomes"
    )))
}

fn infer_broadcast(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let result = declared(node)?;
    broadcast_dims(node, &result)?;
    Ok(one(result))
}

fn lower_broadcast(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let (info, result) = (node.input(0)?.info, &node.output(0)?.shape);
    let mut strides = vec![0; result.rank()];
    let own = info.shape.iter().zip(dense_strides(&info.shape));
    for (axis, (&d, stride)) in broadcast_dims(node, result)?.into_iter().zip(own) {
        strides[axis] = if d == 1 { 0 } else { stride };
    }
    let (ends, dims) = into_dense(&info.shape, 0, result, &strides)?;
    Moves::new(info.dtype)?.step((0, 0), ends, &dims)?.kernel("broadcast_in_dim", &[result])
}

/// The dimensions of the operand in the order of the result.
fn permutation(node: &Node<'_>) -> Result<Vec<usize>, OpError> {
    let shape = node.shape(0)?;
    let options = node.options::<StablehloTransposeOptionsT>()?;
    let order = attributes::axes(options.permutation, shape.rank(), "the permutation")?;
    if order.len() == shape.rank() {
        return Ok(order);
    }
    Err(OpError::invalid(format!(
        "{order:?} is no order of the dimensions of {shape}: export the model again"
    )))
}

fn infer_transpose(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    Ok(one(permutation(node)?.into_iter().map(|axis| shape[axis]).collect()))
}

fn lower_transpose(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let info = node.input(0)?.info;
    let strides = dense_strides(&info.shape);
    let order = permutation(node)?;
    let result: Shape = order.iter().map(|&axis| info.shape[axis]).collect();
    let strides: Vec<isize> = order.iter().map(|&axis| strides[axis]).collect();
    let (ends, dims) = into_dense(&info.shape, 0, &result, &strides)?;
    Moves::new(info.dtype)?.step((0, 0), ends, &dims)?.kernel("transpose", &[&result])
}

/// The dimension that operands are joined along, and the result's shape.
fn joined(node: &Node<'_>) -> Result<(usize, Shape), OpError> {
    let first = node.shape(0)?;
    let dimension = node.options::<StablehloConcatenateOptionsT>()?.dimension;
    let axis = attributes::axis(dimension, first.rank(), "the concatenation")?;
    let mut total = 0usize;
    for i in 0..node.inputs.len() {
        let shape = node.shape(i)?;
        let fits = shape.rank() == first.rank()
            && (0..shape.rank()).all(|other| other == axis || shape[other] == first[other]);
        if !fits {
            return Err(OpError::invalid(format!(
                "operands of shapes {first} and {shape} cannot be joined along dimension {axis}: all others must be equal"
            )));
        }
        total = total
            .checked_add(shape[axis])
            .ok_or_else(|| OpError::invalid("the joined tensor is larger than memory"))?;
    }
    let dims = first.iter().enumerate().map(|(other, &d)| if other == axis { total } else { d });
    Ok((axis, attributes::shape(dims.collect::<Vec<_>>())?))
}

fn infer_concatenate(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(joined(node)?.1))
}

fn concatenate_parts(node: &Node<'_>) -> Option<Parts> {
    let (axis, result) = joined(node).ok()?;
    let lens: Vec<usize> =
        (0..node.inputs.len()).map(|i| Some(node.shape(i).ok()?[axis])).collect::<Option<_>>()?;
    Parts::joined(&result, axis, lens.into_iter())
}

fn lower_concatenate(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let (axis, result) = joined(node)?;
    let inner = Shape::new(&result[axis + 1..]).num_elements()?;
    let outer = Shape::new(&result[..axis]).num_elements()?;
    let row = Shape::new(&result[axis..]).num_elements()?;
    let mut moves = Moves::new(node.dtype(0)?)?;
    let mut start = 0;
    for i in 0..node.inputs.len() {
        let len = node.shape(i)?[axis] * inner;
        let ends = CopyEnds { src_start: 0, src_len: outer * len, dst_start: start, dst_len: outer * row };
        let dims =
            [CopyDim { len: outer, src: len as isize, dst: row as isize }, CopyDim { len, src: 1, dst: 1 }];
        // An operand without elements copies nothing and may stand at the very end.
        if outer * len > 0 {
            moves = moves.step((i, 0), ends, &dims)?;
        }
        start += len;
    }
    moves.kernel("concatenate", &[&result])
}

fn iota_axis(node: &Node<'_>, shape: &Shape) -> Result<usize, OpError> {
    let dimension = node.options::<StablehloIotaOptionsT>()?.iota_dimension;
    attributes::axis(dimension, shape.rank(), "the counting operator")
}

fn infer_iota(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = declared(node)?;
    iota_axis(node, &shape)?;
    Ok(one(shape))
}

fn lower_iota(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    fn of<T: Element + Number>(len: usize, inner: usize) -> Lowered {
        Ok(FnKernel::new("iota", move |io, _| {
            let to = io.outputs.get::<T>(0)?;
            if to.is_empty() {
                return Ok(());
            }
            for (i, run) in to.chunks_mut(inner).enumerate() {
                run.fill(T::from_count((i % len) as u64));
            }
            Ok(())
        })
        .boxed())
    }
    let shape = &node.output(0)?.shape;
    let axis = iota_axis(node, shape)?;
    let (len, inner) = (shape[axis], Shape::new(&shape[axis + 1..]).num_elements()?);
    with_number!(node.output(0)?.dtype, T => of::<T>(len, inner), undefined(node))
}
