//! Operators that join tensors or take them apart along an axis: CONCATENATION, PACK, SPLIT, SPLIT_V, UNPACK.

use ferrolite_kernels::cpu::movement::{CopyDim, CopyEnds, CopyPlan};
use ferrolite_model::options::{
    ActivationFunctionType, ConcatenationOptionsT, PackOptionsT, SplitOptionsT, SplitVOptionsT,
    UnpackOptionsT,
};
use ferrolite_model::{BuiltinOperator, TensorType};

use super::moving::Moves;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes, one};
use crate::parts::Parts;
use crate::shape::{Shape, resolve_axis};
use crate::spec::OpSpec;
use crate::{same_types, types};

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::CONCATENATION, infer_concatenation, lower_concatenation)
        .versions(7)
        .inputs(1, usize::MAX)
        .types(same_types![
            Float32, Float16, BFloat16, Int8, UInt8, Int16, Int32, UInt32, Int64, Bool, Int4, Float8E4M3Fn,
            Float8E5M2
        ])
        .joins_or_takes(concatenation_parts),
    OpSpec::builtin(BuiltinOperator::PACK, infer_pack, lower_pack)
        .versions(5)
        .inputs(1, usize::MAX)
        .types(same_types![Float32, Int8, UInt8, Int16, Int32, UInt32, Int64, Float8E4M3Fn, Float8E5M2])
        .joins_or_takes(pack_parts),
    OpSpec::builtin(BuiltinOperator::SPLIT, infer_split, lower_split)
        .versions(5)
        .inputs(2, 2)
        .outputs(1, usize::MAX)
        .types(types![
            (Int32, Float32) -> (Float32), (Int32, Int8) -> (Int8), (Int32, UInt8) -> (UInt8),
            (Int32, Int16) -> (Int16), (Int32, Int32) -> (Int32), (Int32, Int64) -> (Int64),
            (Int32, Float8E4M3Fn) -> (Float8E4M3Fn), (Int32, Float8E5M2) -> (Float8E5M2),
        ])
        .joins_or_takes(split_parts),
    OpSpec::builtin(BuiltinOperator::SPLIT_V, infer_split_v, lower_split_v)
        .versions(3)
        .inputs(3, 3)
        .outputs(1, usize::MAX)
        .types(types![
            (Float32, Int32, Int32) -> (Float32), (Int8, Int32, Int32) -> (Int8),
            (UInt8, Int32, Int32) -> (UInt8), (Int16, Int32, Int32) -> (Int16),
            (Int32, Int32, Int32) -> (Int32), (Int64, Int32, Int32) -> (Int64),
            (Float32, Int64, Int32) -> (Float32), (Int8, Int64, Int32) -> (Int8),
            (UInt8, Int64, Int32) -> (UInt8), (Int16, Int64, Int32) -> (Int16),
            (Int32, Int64, Int32) -> (Int32), (Int64, Int64, Int32) -> (Int64),
            (Float8E4M3Fn, Int32, Int32) -> (Float8E4M3Fn), (Float8E5M2, Int32, Int32) -> (Float8E5M2),
            (Float8E4M3Fn, Int64, Int32) -> (Float8E4M3Fn), (Float8E5M2, Int64, Int32) -> (Float8E5M2),
        ])
        .joins_or_takes(split_v_parts),
    OpSpec::builtin(BuiltinOperator::UNPACK, infer_unpack, lower_unpack)
        .versions(6)
        .outputs(1, usize::MAX)
        .types(same_types![
            Float32, Float16, BFloat16, Int8, UInt8, Int16, Int32, Bool, Float8E4M3Fn, Float8E5M2
        ])
        .joins_or_takes(unpack_parts),
];

/// A tensor seen as `[outer, axis, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Around {
    outer: usize,
    inner: usize,
}

fn around(shape: &Shape, axis: usize) -> Result<Around, OpError> {
    Ok(Around {
        outer: Shape::new(&shape[..axis]).num_elements()?,
        inner: Shape::new(&shape[axis + 1..]).num_elements()?,
    })
}

impl Around {
    /// The copy of `len` positions of an axis to another one: `(start, positions)` on both sides.
    fn copy(self, from: (usize, usize), to: (usize, usize), len: usize) -> (CopyEnds, [CopyDim; 2]) {
        let Self { outer, inner } = self;
        let ends = CopyEnds {
            src_start: from.0 * inner,
            src_len: outer * from.1 * inner,
            dst_start: to.0 * inner,
            dst_len: outer * to.1 * inner,
        };
        let row = |positions: usize| (positions * inner) as isize;
        (
            ends,
            [
                CopyDim { len: outer, src: row(from.1), dst: row(to.1) },
                CopyDim { len: len * inner, src: 1, dst: 1 },
            ],
        )
    }
}

/// The axis that inputs are joined along; scalars are joined as vectors of one element.
fn concatenation_axis(node: &Node<'_>) -> Result<(usize, Shape), OpError> {
    let options = node.options::<ConcatenationOptionsT>()?;
    if options.fused_activation_function != ActivationFunctionType::NONE {
        return Err(OpError::unsupported(
            "CONCATENATION with a fused activation is not defined: put the activation into an operator of its own",
        ));
    }
    let first = node.shape(0)?;
    let first = if first.rank() == 0 { Shape::from([1]) } else { first.clone() };
    Ok((resolve_axis(i64::from(options.axis), first.rank())?, first))
}

fn infer_concatenation(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (axis, first) = concatenation_axis(node)?;
    let mut dims = first.to_vec();
    for i in 1..node.inputs.len() {
        let shape = node.shape(i)?;
        let other: &[usize] = if shape.rank() == 0 { &[1] } else { shape };
        let fits = other.len() == dims.len() && (0..dims.len()).all(|d| d == axis || other[d] == dims[d]);
        if !fits {
            return Err(OpError::invalid(format!(
                "input {i} of shape {shape} cannot follow {first} along axis {axis}: the other dimensions must be equal"
            ))
            .into());
        }
        dims[axis] = dims[axis]
            .checked_add(other[axis])
            .ok_or_else(|| OpError::invalid("the joined axis is longer than memory"))?;
    }
    Ok(one(Shape::new(&dims)))
}

/// Positions of input `i` along the joined axis.
fn joined_len(node: &Node<'_>, i: usize, axis: usize) -> Result<usize, OpError> {
    let shape = node.shape(i)?;
    Ok(if shape.rank() == 0 { 1 } else { shape[axis] })
}

fn concatenation_parts(node: &Node<'_>) -> Option<Parts> {
    let (axis, _) = concatenation_axis(node).ok()?;
    let output = node.output(0).ok()?;
    let mut lens = Vec::with_capacity(node.inputs.len());
    for i in 0..node.inputs.len() {
        let numbers = (node.input(i).ok()?.info.per_tensor(), output.per_tensor());
        // Bytes of another scale are requantized, or refused.
        if matches!(numbers, (Ok(from), Ok(to)) if from != to) {
            return None;
        }
        lens.push(joined_len(node, i, axis).ok()?);
    }
    Parts::joined(&output.shape, axis, lens.into_iter())
}

/// The 256 results of requantizing an unsigned byte: halves are rounded away from zero.
fn requantize_table(from: (f32, i32), to: (f32, i32)) -> [u8; 256] {
    let scale = from.0 * (1.0 / to.0);
    let bias = -(from.1 as f32) * scale;
    core::array::from_fn(|i| {
        ((i as f32 * scale + bias).round() as i32).saturating_add(to.1).clamp(0, 255) as u8
    })
}

fn lower_concatenation(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (axis, _) = concatenation_axis(node)?;
    let output = node.output(0)?;
    let total = output.shape[axis];
    let around = around(&output.shape, axis)?;
    let mut copies = Vec::new();
    let mut tables: Vec<Option<Box<[u8; 256]>>> = Vec::new();
    let mut start = 0;
    for i in 0..node.inputs.len() {
        let info = node.input(i)?.info;
        let len = joined_len(node, i, axis)?;
        copies.push(around.copy((0, len), (start, total), len));
        start += len;
        tables.push(match (info.per_tensor(), output.per_tensor()) {
            (Ok(from), Ok(to)) if from != to => match info.dtype {
                TensorType::UInt8 => Some(Box::new(requantize_table(from, to))),
                _ => {
                    return Err(OpError::invalid(format!(
                        "input {i} has scale {} and zero point {}, the output {} and {}: {} tensors to join must have \
                         the same, put a QUANTIZE in front",
                        from.0, from.1, to.0, to.1, info.dtype
                    )));
                }
            },
            _ => None,
        });
    }
    if tables.iter().all(Option::is_none) {
        let mut moves = Moves::new(output.dtype)?;
        for (i, (ends, dims)) in copies.into_iter().enumerate() {
            moves = moves.step((i, 0), ends, &dims)?;
        }
        return moves.kernel("concatenation", &[&output.shape]);
    }
    let plans = copies
        .iter()
        .map(|(ends, dims)| {
            CopyPlan::new(1, *ends, dims).ok_or_else(|| OpError::invalid("the inputs do not fill the output"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let scratch = copies.iter().map(|(ends, _)| ends.src_len).max().unwrap_or(0);
    Ok(FnKernel::new("concatenation_requantize", move |io, cx| {
        for (i, (plan, table)) in plans.iter().zip(&tables).enumerate() {
            let from = io.inputs.bytes(i)?;
            let to = io.outputs.bytes(0)?;
            match table {
                None => plan.run(from, to, cx.par()),
                Some(table) => {
                    let mapped = &mut io.scratch[..from.len()];
                    for (to, &x) in mapped.iter_mut().zip(from) {
                        *to = table[usize::from(x)];
                    }
                    plan.run(mapped, to, cx.par());
                }
            }
        }
        Ok(())
    })
    .scratch(scratch)
    .boxed())
}

fn pack_axis(node: &Node<'_>) -> Result<usize, OpError> {
    let options = node.options::<PackOptionsT>()?;
    if usize::try_from(options.values_count) != Ok(node.inputs.len()) {
        return Err(OpError::invalid(format!(
            "PACK says it has {} inputs, but has {}",
            options.values_count,
            node.inputs.len()
        )));
    }
    resolve_axis(i64::from(options.axis), node.shape(0)?.rank() + 1)
}

fn infer_pack(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let axis = pack_axis(node)?;
    let first = node.shape(0)?;
    for i in 1..node.inputs.len() {
        if node.shape(i)? != first {
            return Err(OpError::invalid(format!(
                "input {i} has shape {}, the first one {first}: tensors to pack must have the same",
                node.shape(i)?
            ))
            .into());
        }
    }
    let mut dims = first.to_vec();
    dims.insert(axis, node.inputs.len());
    Ok(one(Shape::new(&dims)))
}

fn pack_parts(node: &Node<'_>) -> Option<Parts> {
    let lens = node.inputs.iter().map(|_| 1);
    Parts::joined(&node.output(0).ok()?.shape, pack_axis(node).ok()?, lens)
}

fn lower_pack(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let axis = pack_axis(node)?;
    let output = node.output(0)?;
    let around = around(&output.shape, axis)?;
    let mut moves = Moves::new(output.dtype)?;
    for i in 0..node.inputs.len() {
        let (ends, dims) = around.copy((0, 1), (i, node.inputs.len()), 1);
        moves = moves.step((i, 0), ends, &dims)?;
    }
    moves.kernel("pack", &[&output.shape])
}

fn unpack_axis(node: &Node<'_>) -> Result<usize, OpError> {
    let options = node.options::<UnpackOptionsT>()?;
    let shape = node.shape(0)?;
    let axis = resolve_axis(i64::from(options.axis), shape.rank())?;
    if shape[axis] != node.outputs.len() || usize::try_from(options.num) != Ok(node.outputs.len()) {
        return Err(OpError::invalid(format!(
            "UNPACK of {shape} along axis {axis} into {} gives one output per position, but it has {}",
            options.num,
            node.outputs.len()
        )));
    }
    Ok(axis)
}

fn infer_unpack(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let mut dims = node.shape(0)?.to_vec();
    dims.remove(unpack_axis(node)?);
    Ok((0..node.outputs.len()).map(|_| OutputShape::Known(Shape::new(&dims))).collect())
}

fn unpack_parts(node: &Node<'_>) -> Option<Parts> {
    let lens = node.outputs.iter().map(|_| 1);
    Parts::taken(0, node.shape(0).ok()?, unpack_axis(node).ok()?, lens)
}

fn lower_unpack(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    lower_pieces(node, "unpack", 0, unpack_axis(node)?, &vec![1; node.outputs.len()])
}

/// The axis of a SPLIT and the length of each piece.
fn split_pieces(node: &Node<'_>) -> Result<(usize, Vec<usize>), InferError> {
    let count = node.outputs.len();
    let shape = node.shape(1)?;
    let axis = split_axis(node, 0, shape)?;
    let wanted = node.options::<SplitOptionsT>()?.num_splits;
    if usize::try_from(wanted) != Ok(count) || shape[axis] % count != 0 {
        return Err(OpError::invalid(format!(
            "{shape} cannot be split along axis {axis} into {wanted} equal pieces for {count} outputs"
        ))
        .into());
    }
    Ok((axis, vec![shape[axis] / count; count]))
}

/// The axis that input `i` names.
fn split_axis(node: &Node<'_>, i: usize, shape: &Shape) -> Result<usize, InferError> {
    match node.ints(i)?.as_slice() {
        [axis] => Ok(resolve_axis(*axis, shape.rank())?),
        _ => Err(OpError::invalid("the axis to split is a single number").into()),
    }
}

/// The axis of a SPLIT_V and the length of each piece; one of them may be left to be whatever is left.
fn split_v_pieces(node: &Node<'_>) -> Result<(usize, Vec<usize>), InferError> {
    let shape = node.shape(0)?;
    let sizes = node.ints(1)?;
    let axis = split_axis(node, 2, shape)?;
    let bad = || {
        OpError::invalid(format!(
            "{shape} cannot be split along axis {axis} into pieces of {sizes:?} for {} outputs",
            node.outputs.len()
        ))
    };
    let wanted = node.options::<SplitVOptionsT>()?.num_splits;
    if sizes.len() != node.outputs.len() || usize::try_from(wanted) != Ok(sizes.len()) {
        return Err(bad().into());
    }
    let known: i64 = sizes.iter().filter(|&&s| s != -1).sum();
    let rest = i64::try_from(shape[axis]).map_err(|_| bad())? - known;
    let open = sizes.iter().filter(|&&s| s == -1).count();
    let pieces: Result<Vec<usize>, OpError> =
        sizes.iter().map(|&s| usize::try_from(if s == -1 { rest } else { s }).map_err(|_| bad())).collect();
    if open > 1 || (open == 0 && rest != 0) {
        return Err(bad().into());
    }
    Ok((axis, pieces?))
}

fn piece_shapes(shape: &Shape, axis: usize, pieces: &[usize]) -> OutputShapes {
    pieces
        .iter()
        .map(|&len| {
            let mut dims = shape.to_vec();
            dims[axis] = len;
            OutputShape::Known(Shape::new(&dims))
        })
        .collect()
}

fn split_parts(node: &Node<'_>) -> Option<Parts> {
    let (axis, lens) = split_pieces(node).ok()?;
    Parts::taken(1, node.shape(1).ok()?, axis, lens.into_iter())
}

fn split_v_parts(node: &Node<'_>) -> Option<Parts> {
    let (axis, lens) = split_v_pieces(node).ok()?;
    Parts::taken(0, node.shape(0).ok()?, axis, lens.into_iter())
}

fn infer_split(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (axis, pieces) = split_pieces(node)?;
    Ok(piece_shapes(node.shape(1)?, axis, &pieces))
}

fn infer_split_v(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (axis, pieces) = split_v_pieces(node)?;
    Ok(piece_shapes(node.shape(0)?, axis, &pieces))
}

fn lower_split(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (axis, pieces) = split_pieces(node)?;
    lower_pieces(node, "split", 1, axis, &pieces)
}

fn lower_split_v(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (axis, pieces) = split_v_pieces(node)?;
    lower_pieces(node, "split_v", 0, axis, &pieces)
}

/// Copies the pieces of an axis of one input to one output each.
fn lower_pieces(
    node: &Node<'_>,
    name: &'static str,
    input: usize,
    axis: usize,
    pieces: &[usize],
) -> Result<Box<dyn Kernel>, OpError> {
    let info = node.input(input)?.info;
    let around = around(&info.shape, axis)?;
    let mut moves = Moves::new(info.dtype)?;
    let mut start = 0;
    for (i, &len) in pieces.iter().enumerate() {
        let (ends, dims) = around.copy((start, info.shape[axis]), (0, len), len);
        moves = moves.step((input, i), ends, &dims)?;
        start += len;
    }
    let shapes: Vec<&Shape> = node.outputs.iter().map(|o| &o.shape).collect();
    moves.kernel(name, &shapes)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{quantized_output, run, run_one, tensor};
    use super::*;

    #[test]
    fn unsigned_bytes_are_requantized() {
        let inputs = [
            tensor(&[2], &[10u8, 255]).quantized(0.5, 0),
            tensor(&[3], &[128u8, 129, 130]).quantized(1.0, 128),
        ];
        let options = ConcatenationOptionsT::default();
        let outputs = [quantized_output(TensorType::UInt8, 1.0, 128)];
        let got = run(BuiltinOperator::CONCATENATION, options, &inputs, &outputs).unwrap();
        assert_eq!(got[0].bytes(), [133, 255, 128, 129, 130]);
        let signed = [tensor(&[1], &[1i8]).quantized(0.5, 0), tensor(&[1], &[1i8]).quantized(1.0, 0)];
        let outputs = [quantized_output(TensorType::Int8, 1.0, 0)];
        let options = ConcatenationOptionsT::default();
        assert!(run(BuiltinOperator::CONCATENATION, options, &signed, &outputs).is_err());
    }

    #[test]
    fn inputs_must_fit() {
        let options = || ConcatenationOptionsT { axis: -1, ..Default::default() };
        let a = || tensor(&[2, 1], &[1i32, 2]);
        let got = run_one::<i32>(
            BuiltinOperator::CONCATENATION,
            options(),
            &[a(), tensor(&[2, 2], &[3i32, 4, 5, 6])],
        );
        assert_eq!(got.unwrap(), (Shape::from([2, 3]), vec![1, 3, 4, 2, 5, 6]));
        for (name, other) in [("rank", tensor(&[2], &[3i32, 4])), ("rows", tensor(&[1, 2], &[3i32, 4]))] {
            assert!(
                run_one::<i32>(BuiltinOperator::CONCATENATION, options(), &[a(), other]).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn split_v_leaves_one_size_open() {
        type Row = (&'static str, &'static [i32], Option<&'static [usize]>);
        let rows: &[Row] = &[
            ("all given", &[1, 4], Some(&[1, 4])),
            ("one open", &[-1, 2], Some(&[3, 2])),
            ("empty piece", &[5, -1], Some(&[5, 0])),
            ("two open", &[-1, -1], None),
            ("too short", &[1, 3], None),
            ("too long", &[7, -1], None),
        ];
        for (name, sizes, want) in rows {
            let options = SplitVOptionsT { num_splits: 2 };
            let inputs = [tensor(&[5], &[0i32, 1, 2, 3, 4]), tensor(&[2], sizes), tensor(&[], &[0i32])];
            let output = super::super::testing::output(TensorType::Int32);
            let got = run(BuiltinOperator::SPLIT_V, options, &inputs, &[output.clone(), output]).ok();
            let lens = got.map(|pieces| pieces.iter().map(|p| p.shape()[0]).collect::<Vec<_>>());
            assert_eq!(lens.as_deref(), *want, "{name}");
        }
    }
}
