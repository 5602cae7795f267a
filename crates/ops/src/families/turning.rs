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
use crate::parts::Parts;
use crate::shape::{Shape, resolve_axis};
use crate::spec::OpSpec;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::TRANSPOSE, infer_transpose, lower_transpose)
        .versions(9)
        .inputs(2, 2)
        .types(each_type!([
            Float32, Float16, BFloat16, Float64, Int8, UInt8, Int16, UInt16, Int32, UInt32, Int64, UInt64,
            Bool, Complex64, Int4, UInt4, Float8E4M3Fn, Float8E5M2
        ](Int32)))
        .joins_or_takes(|node| Parts::reordered(node.shape(0).ok()?, &permutation(node).ok()?)),
    OpSpec::builtin(BuiltinOperator::REVERSE_V2, infer_reverse, lower_reverse)
        .versions(4)
        .inputs(2, 2)
        .types(each_type!([
            Float32, Float16, BFloat16, Int8, UInt8, Int16, Int32, Int64, Bool, Float8E4M3Fn, Float8E5M2
        ](Int32))),
    OpSpec::builtin(BuiltinOperator::REVERSE_SEQUENCE, infer_sequence, lower_sequence)
        .inputs(2, 2)
        .types(each_type!([Float32, UInt8, Int16, Int32, Int64](Int32)(Int64))),
];

/// The axes of the input in the order of the output.
pub(crate) fn permutation(node: &Node<'_>) -> Result<Vec<usize>, InferError> {
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

#[cfg(test)]
mod tests {
    use super::super::testing::{output, raw, run, run_one, tensor};
    use super::*;
    use ferrolite_model::{Options, TensorType};
    use proptest::prelude::*;

    #[test]
    fn packed_elements_are_transposed() {
        let inputs = [raw(TensorType::Int4, &[2, 3], &[0x10, 0x32, 0x54]), tensor(&[2], &[1i32, 0])];
        let got =
            run(BuiltinOperator::TRANSPOSE, Options::None, &inputs, &[output(TensorType::Int4)]).unwrap();
        assert_eq!((got[0].shape().dims(), got[0].bytes()), (&[3, 2][..], &[0x30, 0x41, 0x52][..]));
    }

    #[test]
    fn what_is_no_order_is_refused() {
        for order in [&[0, 0][..], &[0], &[0, 2], &[0, 1, 1]] {
            let inputs = [tensor(&[1, 2], &[1i32, 2]), tensor(&[order.len()], order)];
            assert!(run_one::<i32>(BuiltinOperator::TRANSPOSE, Options::None, &inputs).is_err(), "{order:?}");
        }
    }

    #[test]
    fn sequences_turn_up_to_their_length() {
        let source: Vec<i32> = (0..12).collect();
        let options = || ReverseSequenceOptionsT { seq_dim: 1, batch_dim: 0 };
        let inputs = [tensor(&[2, 3, 2], &source), tensor(&[2], &[3i64, 2])];
        let got = run_one::<i32>(BuiltinOperator::REVERSE_SEQUENCE, options(), &inputs).unwrap();
        assert_eq!(got.1, [4, 5, 2, 3, 0, 1, 8, 9, 6, 7, 10, 11]);
        let inputs = [tensor(&[2, 3, 2], &source), tensor(&[2], &[4i32, 0])];
        assert!(run_one::<i32>(BuiltinOperator::REVERSE_SEQUENCE, options(), &inputs).is_err());
        let options = ReverseSequenceOptionsT { seq_dim: 0, batch_dim: 2 };
        let inputs = [tensor(&[2, 3, 2], &source), tensor(&[2], &[1i32, 2])];
        let got = run_one::<i32>(BuiltinOperator::REVERSE_SEQUENCE, options, &inputs).unwrap();
        assert_eq!(got.1, [0, 7, 2, 9, 4, 11, 6, 1, 8, 3, 10, 5]);
    }

    proptest! {
        #[test]
        fn transposing_back_and_turning_twice_change_nothing(
            dims in prop::collection::vec(1usize..5, 1..6),
            seed in any::<u64>(),
        ) {
            let source: Vec<i32> = (0..dims.iter().product::<usize>() as i32).collect();
            let mut order: Vec<usize> = (0..dims.len()).collect();
            order.sort_by_key(|&a| (seed >> (8 * a)) & 0xff);
            let mut inverse = vec![0; order.len()];
            order.iter().enumerate().for_each(|(i, &a)| inverse[a] = i);
            let list = |v: &[usize]| tensor(&[v.len()], &v.iter().map(|&a| a as i32).collect::<Vec<_>>());
            let turned =
                run_one::<i32>(BuiltinOperator::TRANSPOSE, Options::None, &[tensor(&dims, &source), list(&order)]).unwrap();
            let inputs = [tensor(&turned.0, &turned.1), list(&inverse)];
            let back = run_one::<i32>(BuiltinOperator::TRANSPOSE, Options::None, &inputs).unwrap();
            prop_assert_eq!(&back, &(Shape::new(&dims), source));
            let axes = &order[..1 + seed as usize % order.len()];
            let turn = |values: &[i32]| {
                let inputs = [tensor(&dims, values), list(axes)];
                run_one::<i32>(BuiltinOperator::REVERSE_V2, Options::None, &inputs).unwrap().1
            };
            prop_assert_eq!(turn(&turn(&back.1)), back.1);
        }
    }
}
