//! Boxes of a tensor: STABLEHLO_SLICE DYNAMIC_SLICE DYNAMIC_UPDATE_SLICE.

use ferrolite_kernels::cpu::movement::dense_strides;
use ferrolite_model::options::{StablehloDynamicSliceOptionsT, StablehloSliceOptionsT};
use ferrolite_model::{BuiltinOperator, TensorType};

use super::walk::Walk;
use super::{ANY, attributes, is_integer};
use crate::error::OpError;
use crate::families::elementwise::{Lowered, wrong_size};
use crate::families::integers::Integers;
use crate::families::moving::{BoxCopy, Moves, Unit};
use crate::io::{InputData, Inputs};
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::parts::Parts;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::STABLEHLO_SLICE, infer_slice, lower_slice)
        .types(super::MOVED)
        .joins_or_takes(slice_parts),
    OpSpec::builtin(BuiltinOperator::STABLEHLO_DYNAMIC_SLICE, infer_dynamic, lower_dynamic).inputs(1, ANY),
    OpSpec::builtin(BuiltinOperator::STABLEHLO_DYNAMIC_UPDATE_SLICE, infer_update, lower_update)
        .inputs(2, ANY)
        .in_place(&[0]),
];

/// First position, step and number of positions along every dimension.
type SliceBox = (Vec<usize>, Vec<isize>, Vec<usize>);

/// The part that a slice takes.
fn slice_box(node: &Node<'_>) -> Result<SliceBox, OpError> {
    let shape = node.shape(0)?;
    let options = node.options::<StablehloSliceOptionsT>()?;
    let rank = shape.rank();
    let starts = attributes::counts(options.start_indices, rank, (0, 0), "the list of first positions")?;
    let strides = attributes::counts(options.strides, rank, (1, 1), "the list of strides")?;
    let limits = options.limit_indices.unwrap_or_default();
    if limits.len() != rank {
        return Err(OpError::invalid(format!(
            "the list of limits has {} entries for a tensor of shape {shape}: export the model again",
            limits.len()
        )));
    }
    let mut lens = Vec::with_capacity(rank);
    let mut steps = Vec::with_capacity(rank);
    for axis in 0..rank {
        let limit = usize::try_from(limits[axis]).ok().filter(|&l| l <= shape[axis] && starts[axis] <= l);
        let limit = limit.ok_or_else(|| {
            OpError::invalid(format!(
                "positions {} to {} are no slice of dimension {axis} of {shape}: export the model again",
                starts[axis], limits[axis]
            ))
        })?;
        let len = (limit - starts[axis]).div_ceil(strides[axis]);
        lens.push(len);
        // A step that no second position takes may be larger than memory.
        steps.push(if len > 1 { strides[axis] as isize } else { 1 });
    }
    Ok((starts, steps, lens))
}

fn infer_slice(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Shape::new(&slice_box(node)?.2)))
}

fn slice_parts(node: &Node<'_>) -> Option<Parts> {
    let (start, step, len) = slice_box(node).ok()?;
    Parts::of_box(node.shape(0).ok()?, &start, &step, &len)
}

fn lower_slice(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let (start, step, len) = slice_box(node)?;
    let source = node.input(0)?.info;
    let result = Shape::new(&len);
    let (to, to_step) = (vec![0; len.len()], vec![1; len.len()]);
    let copy = BoxCopy {
        source: &source.shape,
        start: &start,
        step: &step,
        len: &len,
        result: &result,
        to: &to,
        to_step: &to_step,
    };
    let (ends, dims) = copy.strided();
    Moves::new(source.dtype)?.step((0, 0), ends, &dims)?.kernel("slice", &[&result])
}

/// Refuses operands from `first` on that are not one integer for each dimension, all of one type.
fn check_starts(node: &Node<'_>, first: usize) -> Result<(), OpError> {
    let rank = node.shape(0)?.rank();
    if node.inputs.len() != first + rank {
        return Err(OpError::invalid(format!(
            "the operator has {} first positions for a tensor of rank {rank}: it takes one for each dimension",
            node.inputs.len().saturating_sub(first)
        )));
    }
    for i in first..node.inputs.len() {
        let info = node.input(i)?.info;
        if !is_integer(info.dtype) || info.shape.num_elements()? != 1 {
            return Err(OpError::invalid(format!(
                "input {i} must be a single integer, not {} of shape {}",
                info.dtype, info.shape
            )));
        }
    }
    Ok(())
}

/// The element that a box starts with: first positions are moved so that the box lies within the tensor.
fn start_of(inputs: Inputs<'_>, first: usize, limits: &[usize], strides: &[usize]) -> Result<usize, OpError> {
    let mut start = 0;
    for (axis, (&limit, &stride)) in limits.iter().zip(strides).enumerate() {
        let index = Integers::of(inputs, first + axis)?;
        if index.len() != 1 {
            return Err(wrong_size());
        }
        start += usize::try_from(index.get(0).max(0)).unwrap_or(usize::MAX).min(limit) * stride;
    }
    Ok(start)
}

fn element_bytes(dtype: TensorType) -> Result<usize, OpError> {
    match Unit::of(dtype)? {
        Unit::Bytes(n) => Ok(n),
        Unit::Nibbles | Unit::Strings => {
            Err(OpError::unsupported(format!("slices of {dtype} at computed positions are not defined")))
        }
    }
}

/// A box within a larger tensor, as rows that lie together in both.
struct Rows {
    /// Where rows start in the larger tensor and in the box.
    starts: (Walk, Walk),
    len: usize,
    limits: Vec<usize>,
    strides: Vec<usize>,
}

impl Rows {
    fn new(shape: &Shape, part: &[usize]) -> Self {
        let dims = |shape: &[usize]| -> Vec<(usize, usize)> {
            part.iter().zip(dense_strides(shape)).map(|(&len, stride)| (len, stride as usize)).collect()
        };
        let (mut large, mut small) = (dims(shape), dims(part));
        let mut len = 1;
        while let (Some(&(size, a)), Some(&(_, b))) = (large.last(), small.last())
            && (a, b) == (len, len)
        {
            len *= size;
            large.pop();
            small.pop();
        }
        Self {
            starts: (Walk::new(large), Walk::new(small)),
            len,
            limits: shape.iter().zip(part).map(|(d, p)| d - p).collect(),
            strides: dense_strides(shape).into_iter().map(|s| s as usize).collect(),
        }
    }
}

/// Sizes of a slice at computed positions.
fn slice_sizes(node: &Node<'_>) -> Result<Vec<usize>, OpError> {
    let shape = node.shape(0)?;
    check_starts(node, 1)?;
    if node.output(0)?.dtype != node.dtype(0)? {
        return Err(OpError::invalid("a slice has the element type of its tensor"));
    }
    let sizes = node.options::<StablehloDynamicSliceOptionsT>()?.slice_sizes.unwrap_or_default();
    let fits = |(&size, &d): (&i64, &usize)| usize::try_from(size).ok().filter(|&s| s <= d);
    let checked: Option<Vec<usize>> = sizes.iter().zip(&**shape).map(fits).collect();
    checked.filter(|c| c.len() == shape.rank() && sizes.len() == shape.rank()).ok_or_else(|| {
        OpError::invalid(format!("a slice of {sizes:?} does not fit into {shape}: export the model again"))
    })
}

fn infer_dynamic(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Shape::new(&slice_sizes(node)?)))
}

fn lower_dynamic(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let sizes = slice_sizes(node)?;
    let element = element_bytes(node.dtype(0)?)?;
    let rows = Rows::new(node.shape(0)?, &sizes);
    Ok(FnKernel::new("dynamic_slice", move |io, _| {
        let start = start_of(io.inputs, 1, &rows.limits, &rows.strides)?;
        let (from, to) = (io.inputs.bytes(0)?, io.outputs.bytes(0)?);
        for (s, t) in rows.starts.0.clone().zip(rows.starts.1.clone()) {
            let (s, t, len) = ((start + s) * element, t * element, rows.len * element);
            let from = from.get(s..s + len).ok_or_else(wrong_size)?;
            to.get_mut(t..t + len).ok_or_else(wrong_size)?.copy_from_slice(from);
        }
        Ok(())
    })
    .boxed())
}

fn check_update(node: &Node<'_>) -> Result<(), OpError> {
    let (shape, update) = (node.shape(0)?, node.shape(1)?);
    check_starts(node, 2)?;
    let dtype = node.dtype(0)?;
    if node.dtype(1)? != dtype || node.output(0)?.dtype != dtype {
        return Err(OpError::invalid("tensor, update and result have one element type"));
    }
    if update.rank() == shape.rank() && update.iter().zip(&**shape).all(|(u, d)| u <= d) {
        return Ok(());
    }
    Err(OpError::invalid(format!("an update of shape {update} does not fit into {shape}")))
}

fn infer_update(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    check_update(node)?;
    Ok(one(node.shape(0)?.clone()))
}

fn lower_update(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    check_update(node)?;
    let element = element_bytes(node.dtype(0)?)?;
    let rows = Rows::new(node.shape(0)?, node.shape(1)?);
    Ok(FnKernel::new("dynamic_update_slice", move |io, _| {
        let start = start_of(io.inputs, 2, &rows.limits, &rows.strides)?;
        let update = io.inputs.bytes(1)?;
        let to = io.outputs.bytes(0)?;
        if !matches!(io.inputs.view(0)?.data, InputData::InPlace(0)) {
            let from = io.inputs.bytes(0)?;
            if from.len() != to.len() {
                return Err(wrong_size());
            }
            to.copy_from_slice(from);
        }
        for (t, s) in rows.starts.0.clone().zip(rows.starts.1.clone()) {
            let (s, t, len) = (s * element, (start + t) * element, rows.len * element);
            let from = update.get(s..s + len).ok_or_else(wrong_size)?;
            to.get_mut(t..t + len).ok_or_else(wrong_size)?.copy_from_slice(from);
        }
        Ok(())
    })
    .boxed())
}
