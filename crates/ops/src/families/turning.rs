//! Operators that change the order of elements: TRANSPOSE, REVERSE_V2, REVERSE_SEQUENCE.

use ferrolite_kernels::cpu::movement::dense_strides;
use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::ReverseSequenceOptionsT;

use super::integers::Integers;
use super::moving::{Moves, Unit, each_type, into_dense};
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::{Shape, resolve_axis};
use crate::spec::OpSpec;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::TRANSPOSE, infer_transpose, lower_transpose)
        .versions(9)
        .inputs(2, 2)
        .types(each_type!([
            Float32, Float16, BFloat16, Float64, Int8, UInt8, Int16, UInt16, Int32, UInt32, Int64, UInt64,
            Bool, Complex64, Int4
        ](Int32))),
    OpSpec::builtin(BuiltinOperator::REVERSE_V2, infer_reverse, lower_reverse)
        .versions(4)
        .inputs(2, 2)
        .types(each_type!([Float32, Float16, BFloat16, Int8, UInt8, Int16, Int32, Int64, Bool](Int32))),
    OpSpec::builtin(BuiltinOperator::REVERSE_SEQUENCE, infer_sequence, lower_sequence)
        .inputs(2, 2)
        .types(each_type!([Float32, UInt8, Int16, Int32, Int64](Int32)(Int64))),
];

/// The axes of the input in the order of the output.
fn permutation(node: &Node<'_>) -> Result<Vec<usize>, InferError> {
    let shape = node.shape(0)?;
    let wanted = node.ints(1)?;
    let axes: Vec<usize> = wanted.iter().map(|&a| resolve_axis(a, shape.rank())).collect::<Result<_, _>>()?;
    let mut seen = vec![false; shape.rank()];
    axes.iter().for_each(|&a| seen[a] = true);
    if axes.len() != shape.rank() || seen.contains(&false) {
        return Err(OpError::invalid(format!(
            "{wanted:?} is no order of the {} axes of {shape}",
            shape.rank()
        ))
        .into());
    }
    Ok(axes)
}

fn infer_transpose(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    Ok(one(permutation(node)?.into_iter().map(|a| shape[a]).collect()))
}

fn lower_transpose(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let info = node.input(0)?.info;
    let strides = dense_strides(&info.shape);
    let order = permutation(node)?;
    let result: Shape = order.iter().map(|&a| info.shape[a]).collect();
    let strides: Vec<isize> = order.iter().map(|&a| strides[a]).collect();
    let (ends, dims) = into_dense(&info.shape, 0, &result, &strides)?;
    Moves::new(info.dtype)?.step((0, 0), ends, &dims)?.kernel("transpose", &[&result])
}

/// Which axes are turned around. Their numbers must be known, although the shape does not depend on them.
fn reversed_axes(node: &Node<'_>) -> Result<Vec<bool>, InferError> {
    let rank = node.shape(0)?.rank();
    let mut reversed = vec![false; rank];
    for axis in node.ints(1)? {
        reversed[resolve_axis(axis, rank)?] = true;
    }
    Ok(reversed)
}

fn infer_reverse(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    reversed_axes(node)?;
    Ok(one(node.shape(0)?.clone()))
}

fn lower_reverse(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let info = node.input(0)?.info;
    let mut strides = dense_strides(&info.shape);
    let mut start = 0;
    for ((stride, &dim), reversed) in strides.iter_mut().zip(info.shape.iter()).zip(reversed_axes(node)?) {
        if reversed {
            start += dim.saturating_sub(1) * *stride as usize;
            *stride = -*stride;
        }
    }
    let (ends, dims) = into_dense(&info.shape, start, &info.shape, &strides)?;
    Moves::new(info.dtype)?.step((0, 0), ends, &dims)?.kernel("reverse", &[&info.shape])
}

/// The axis that sequences run along and the one that tells them apart.
fn sequence_axes(node: &Node<'_>) -> Result<(usize, usize), OpError> {
    let options = node.options::<ReverseSequenceOptionsT>()?;
    let (shape, lengths) = (node.shape(0)?, node.shape(1)?);
    let sequence = resolve_axis(i64::from(options.seq_dim), shape.rank())?;
    let batch = resolve_axis(i64::from(options.batch_dim), shape.rank())?;
    if sequence == batch || lengths.rank() != 1 || lengths[0] != shape[batch] {
        return Err(OpError::invalid(format!(
            "REVERSE_SEQUENCE of {shape} along axis {sequence} needs one length per position of another axis, but has \
             lengths {lengths} for axis {batch}"
        )));
    }
    Ok((sequence, batch))
}

fn infer_sequence(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    sequence_axes(node)?;
    Ok(one(node.shape(0)?.clone()))
}

fn lower_sequence(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let info = node.input(0)?.info;
    let (sequence, batch) = sequence_axes(node)?;
    let shape = info.shape.clone();
    let Unit::Bytes(element) = Unit::of(info.dtype)? else {
        return Err(OpError::unsupported(format!("{} sequences cannot be reversed", info.dtype)));
    };
    let strides = dense_strides(&shape);
    // Everything inside of both axes moves as one row.
    let row_axis = sequence.max(batch) + 1;
    let row = shape[row_axis..].iter().product::<usize>() * element;
    let rows: usize = shape[..row_axis].iter().product();
    let row_elements = (row / element.max(1)).max(1);
    let (steps, lanes) = (strides[sequence] as usize / row_elements, strides[batch] as usize / row_elements);
    Ok(FnKernel::new("reverse_sequence", move |io, _| {
        let from = io.inputs.bytes(0)?;
        let lengths = Integers::of(io.inputs, 1)?;
        let length = |i: usize| {
            let n = lengths.get(i);
            usize::try_from(n).ok().filter(|&n| n <= shape[sequence]).ok_or_else(|| {
                OpError::runtime(format!("sequence {i} has length {n}, but its axis has {}", shape[sequence]))
            })
        };
        let to = io.outputs.bytes(0)?;
        if row == 0 {
            return Ok(());
        }
        for i in 0..rows {
            let (position, len) = (i / steps % shape[sequence], length(i / lanes % shape[batch])?);
            let source = if position < len { i - position * steps + (len - 1 - position) * steps } else { i };
            to[i * row..(i + 1) * row].copy_from_slice(&from[source * row..(source + 1) * row]);
        }
        Ok(())
    })
    .boxed())
}
