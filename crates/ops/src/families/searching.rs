//! Operators that look for elements: ARG_MAX, ARG_MIN, TOPK_V2, WHERE, UNIQUE.

use std::collections::HashMap;

use ferrolite_kernels::cpu::reduce::{Extreme, arg_extreme, top_k};
use ferrolite_model::{BuiltinOperator, TensorType};

use crate::element::{Bool, Element};
use crate::error::OpError;
use crate::io::Io;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes, one};
use crate::shape::{Shape, resolve_axis};
use crate::spec::{OpSpec, TypeRow};
use crate::types;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::ARG_MAX, infer_arg, lower_arg_max)
        .versions(3)
        .inputs(2, 2)
        .types(ARG_TYPES),
    OpSpec::builtin(BuiltinOperator::ARG_MIN, infer_arg, lower_arg_min)
        .versions(3)
        .inputs(2, 2)
        .types(ARG_TYPES),
    OpSpec::builtin(BuiltinOperator::TOPK_V2, infer_top_k, lower_top_k)
        .versions(3)
        .inputs(2, 2)
        .outputs(2, 2)
        .types(TOP_K_TYPES),
    OpSpec::builtin(BuiltinOperator::WHERE, infer_where, lower_where).versions(2).types(types![
        (Bool) -> (Int64), (Float32) -> (Int64), (Int64) -> (Int64), (Int32) -> (Int64), (Int8) -> (Int64),
        (UInt8) -> (Int64), (UInt32) -> (Int64),
    ]),
    OpSpec::builtin(BuiltinOperator::UNIQUE, infer_unique, lower_unique).outputs(2, 2).types(UNIQUE_TYPES),
];

/// Element types of the searches along an axis, which is of 32 or 64 bits, as are the positions found.
const ARG_TYPES: &[TypeRow] = {
    macro_rules! rows {
        ($($t:ident)*) => {
            types![$(
                ($t, Int32) -> (Int32), ($t, Int64) -> (Int32), ($t, Int32) -> (Int64), ($t, Int64) -> (Int64)
            ),*]
        };
    }
    rows!(Float32 Int8 UInt8 Int32 Bool)
};

/// Element types of TOPK_V2: `k` and the positions are of 16 or 32 bits.
const TOP_K_TYPES: &[TypeRow] = {
    macro_rules! rows {
        ($($t:ident)*) => {
            types![$(
                ($t, Int32) -> ($t, Int32), ($t, Int16) -> ($t, Int32),
                ($t, Int32) -> ($t, Int16), ($t, Int16) -> ($t, Int16)
            ),*]
        };
    }
    rows!(Float32 Int8 UInt8 Int16 Int32 Int64)
};

/// Element types of UNIQUE; positions are of 32 or 64 bits.
const UNIQUE_TYPES: &[TypeRow] = {
    macro_rules! rows {
        ($($t:ident)*) => { types![$(($t) -> ($t, Int32), ($t) -> ($t, Int64)),*] };
    }
    rows!(Float32 Int8 UInt8 Int16 Int32 Int64)
};

/// The axis searched along.
fn searched_axis(node: &Node<'_>) -> Result<usize, InferError> {
    match node.ints(1)?.as_slice() {
        [axis] => Ok(resolve_axis(*axis, node.shape(0)?.rank())?),
        _ => Err(OpError::invalid("the axis to search along is a single number").into()),
    }
}

fn infer_arg(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let axis = searched_axis(node)?;
    let mut dims = node.shape(0)?.to_vec();
    if dims.remove(axis) == 0 {
        return Err(
            OpError::invalid(format!("axis {axis} of {} has no elements to search", node.shape(0)?)).into()
        );
    }
    Ok(one(Shape::new(&dims)))
}

fn lower_arg_max(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    lower_arg(node, cx, "arg_max", Extreme::Max)
}

fn lower_arg_min(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    lower_arg(node, cx, "arg_min", Extreme::Min)
}

fn lower_arg(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    name: &'static str,
    extreme: Extreme,
) -> Result<Box<dyn Kernel>, OpError> {
    let shape = node.shape(0)?;
    let axis = searched_axis(node)?;
    let around = [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()];
    let cpu = cx.cpu;
    /// Searches elements of type `T`, writing positions of type `I`.
    macro_rules! kernel {
        ($T:ty, $view:expr, $I:ty, $index:expr) => {
            FnKernel::new(format!("{name}_{}", cpu.name()), move |io, cx| {
                let view: fn(&[$T]) -> &[_] = $view;
                let from = view(io.inputs.get::<$T>(0)?);
                arg_extreme(cpu, cx.par(), extreme, around, from, io.outputs.get::<$I>(0)?, $index);
                Ok(())
            })
            .boxed()
        };
        ($T:ty, $view:expr) => {
            match node.output(0)?.dtype {
                TensorType::Int64 => kernel!($T, $view, i64, |i| i64::from(i)),
                _ => kernel!($T, $view, i32, |i| i as i32),
            }
        };
    }
    Ok(match node.dtype(0)? {
        TensorType::Float32 => kernel!(f32, |x: &[f32]| x),
        TensorType::Int8 => kernel!(i8, |x: &[i8]| x),
        TensorType::UInt8 => kernel!(u8, |x: &[u8]| x),
        TensorType::Int32 => kernel!(i32, |x: &[i32]| x),
        _ => kernel!(Bool, |x: &[Bool]| bytemuck::cast_slice::<Bool, u8>(x)),
    })
}

fn infer_top_k(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    let k = node.ints(1)?;
    let (Some(&row), [k]) = (shape.last(), k.as_slice()) else {
        return Err(OpError::invalid("TOPK_V2 takes rows and a single number of elements to find").into());
    };
    let k = usize::try_from(*k).unwrap_or(0);
    if k > row {
        return Err(OpError::invalid(format!("TOPK_V2 cannot find {k} elements in rows of {row}")).into());
    }
    let output: Shape = [&shape[..shape.rank() - 1], &[k]].concat().into_iter().collect();
    Ok([OutputShape::Known(output.clone()), OutputShape::Known(output)].into_iter().collect())
}

fn lower_top_k(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let row = node.shape(0)?.last().copied().unwrap_or(0);
    let k = node.output(0)?.shape.last().copied().unwrap_or(0);
    let widest =
        if node.output(1)?.dtype == TensorType::Int16 { i16::MAX as usize } else { i32::MAX as usize };
    if row > widest.saturating_add(1) {
        return Err(OpError::invalid(format!("positions in rows of {row} do not fit the output's integers")));
    }
    /// Finds elements of type `T`, writing positions of type `I`.
    fn kernel<T: Element + PartialOrd, I: Element>(
        row: usize,
        k: usize,
        index: fn(u32) -> I,
    ) -> Box<dyn Kernel> {
        let scratch = row * size_of::<u32>();
        FnKernel::new("top_k", move |io, _| {
            let from = io.inputs.get::<T>(0)?;
            let (values, positions) = io.outputs.pair::<T, I>(0, 1)?;
            let order: &mut [u32] = bytemuck::cast_slice_mut(&mut io.scratch[..scratch]);
            if k == 0 {
                return Ok(());
            }
            let to = values.chunks_exact_mut(k).zip(positions.chunks_exact_mut(k));
            for (from, (values, positions)) in from.chunks_exact(row).zip(to) {
                top_k(from, k, order);
                for ((&at, value), position) in order.iter().zip(values).zip(positions) {
                    *value = from[at as usize];
                    *position = index(at);
                }
            }
            Ok(())
        })
        .scratch(scratch)
        .boxed()
    }
    /// Picks the type of the positions.
    fn of<T: Element + PartialOrd>(row: usize, k: usize, positions: TensorType) -> Box<dyn Kernel> {
        match positions {
            TensorType::Int16 => kernel::<T, i16>(row, k, |i| i as i16),
            _ => kernel::<T, i32>(row, k, |i| i as i32),
        }
    }
    let positions = node.output(1)?.dtype;
    Ok(match node.dtype(0)? {
        TensorType::Float32 => of::<f32>(row, k, positions),
        TensorType::Int8 => of::<i8>(row, k, positions),
        TensorType::UInt8 => of::<u8>(row, k, positions),
        TensorType::Int16 => of::<i16>(row, k, positions),
        TensorType::Int32 => of::<i32>(row, k, positions),
        _ => of::<i64>(row, k, positions),
    })
}

fn infer_where(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    if node.shape(0)?.rank() == 0 {
        return Err(OpError::invalid("WHERE needs a tensor with at least one axis, not a scalar").into());
    }
    Ok(core::iter::once(OutputShape::Dynamic).collect())
}

fn lower_where(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    fn kernel<T: Element>(shape: Shape, holds: fn(T) -> bool) -> Box<dyn Kernel> {
        FnKernel::new("where", move |io: &mut Io<'_>, _| {
            let from = io.inputs.get::<T>(0)?;
            let count = from.iter().filter(|&&x| holds(x)).count();
            io.outputs.allocate(0, Shape::from([count, shape.rank()]))?;
            let found = from.iter().enumerate().filter(|&(_, &x)| holds(x)).map(|(i, _)| i);
            for (to, at) in io.outputs.get::<i64>(0)?.chunks_exact_mut(shape.rank()).zip(found) {
                let mut rest = at;
                for (to, &dim) in to.iter_mut().zip(shape.iter()).rev() {
                    *to = (rest % dim) as i64;
                    rest /= dim;
                }
            }
            Ok(())
        })
        .boxed()
    }
    let shape = node.shape(0)?.clone();
    Ok(match node.dtype(0)? {
        TensorType::Bool => kernel::<Bool>(shape, Bool::get),
        TensorType::Float32 => kernel::<f32>(shape, |x| x != 0.0),
        TensorType::Int64 => kernel::<i64>(shape, |x| x != 0),
        TensorType::Int32 => kernel::<i32>(shape, |x| x != 0),
        TensorType::Int8 => kernel::<i8>(shape, |x| x != 0),
        TensorType::UInt8 => kernel::<u8>(shape, |x| x != 0),
        _ => kernel::<u32>(shape, |x| x != 0),
    })
}

fn infer_unique(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    if shape.rank() != 1 {
        return Err(OpError::invalid(format!("UNIQUE takes a list of elements, not {shape}")).into());
    }
    Ok([OutputShape::Dynamic, OutputShape::Known(shape.clone())].into_iter().collect())
}

fn lower_unique(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    /// `key` is equal for equal elements.
    fn kernel<T: Element, I: Element>(key: fn(T) -> u64, index: fn(usize) -> I) -> Box<dyn Kernel> {
        FnKernel::new("unique", move |io: &mut Io<'_>, _| {
            let from = io.inputs.get::<T>(0)?;
            let mut seen = HashMap::new();
            let mut values = Vec::new();
            for (to, &x) in io.outputs.get::<I>(1)?.iter_mut().zip(from) {
                *to = index(*seen.entry(key(x)).or_insert_with(|| {
                    values.push(x);
                    values.len() - 1
                }));
            }
            io.outputs.allocate(0, Shape::from([values.len()]))?;
            io.outputs.get::<T>(0)?.copy_from_slice(&values);
            Ok(())
        })
        .boxed()
    }
    /// Picks the type of the positions.
    fn of<T: Element>(positions: TensorType, key: fn(T) -> u64) -> Box<dyn Kernel> {
        match positions {
            TensorType::Int64 => kernel::<T, i64>(key, |i| i as i64),
            _ => kernel::<T, i32>(key, |i| i as i32),
        }
    }
    let positions = node.output(1)?.dtype;
    Ok(match node.dtype(0)? {
        // Adding zero makes the two zeros one.
        TensorType::Float32 => of::<f32>(positions, |x| u64::from((x + 0.0).to_bits())),
        TensorType::Int8 => of::<i8>(positions, |x| x as u64),
        TensorType::UInt8 => of::<u8>(positions, u64::from),
        TensorType::Int16 => of::<i16>(positions, |x| x as u64),
        TensorType::Int32 => of::<i32>(positions, |x| x as u64),
        _ => of::<i64>(positions, |x| x as u64),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{output, run, run_one, tensor};
    use super::*;
    use ferrolite_model::Options;
    use ferrolite_model::options::UniqueOptionsT;

    #[test]
    fn positions_along_an_axis() {
        let source = || tensor(&[2, 3], &[3.0f32, 7.0, 7.0, -1.0, 2.0, -1.0]);
        for (axis, max, min) in [(1, vec![1i64, 1], vec![0i64, 0]), (-2, vec![0, 0, 0], vec![1, 1, 1])] {
            let inputs = [source(), tensor(&[], &[axis])];
            assert_eq!(
                run_one::<i64>(BuiltinOperator::ARG_MAX, Options::None, &inputs).unwrap().1,
                max,
                "axis {axis}"
            );
            assert_eq!(
                run_one::<i64>(BuiltinOperator::ARG_MIN, Options::None, &inputs).unwrap().1,
                min,
                "axis {axis}"
            );
        }
        let inputs = [tensor::<f32>(&[2, 0], &[]), tensor(&[], &[1i32])];
        assert!(run_one::<i32>(BuiltinOperator::ARG_MAX, Options::None, &inputs).is_err());
    }

    #[test]
    fn greatest_of_each_row() {
        let inputs = [tensor(&[2, 3], &[3i16, 9, 9, -1, -2, 5]), tensor(&[], &[2i32])];
        let outputs = [output(TensorType::Int16), output(TensorType::Int16)];
        let got = run(BuiltinOperator::TOPK_V2, Options::None, &inputs, &outputs).unwrap();
        assert_eq!(got[0].elements::<i16>().unwrap(), [9, 9, 5, -1]);
        assert_eq!(got[1].elements::<i16>().unwrap(), [1, 2, 2, 0]);
        let inputs = [tensor(&[1, 2], &[1i32, 2]), tensor(&[], &[3i32])];
        let outputs = [output(TensorType::Int32), output(TensorType::Int32)];
        assert!(run(BuiltinOperator::TOPK_V2, Options::None, &inputs, &outputs).is_err());
    }

    #[test]
    fn results_find_their_size() {
        let got = run_one::<i64>(
            BuiltinOperator::WHERE,
            Options::None,
            &[tensor(&[2, 2], &[0.0f32, 2.0, -0.0, 1.0])],
        );
        assert_eq!(got.unwrap(), (Shape::from([2, 2]), vec![0, 1, 1, 1]));
        let got = run_one::<i64>(BuiltinOperator::WHERE, Options::None, &[tensor(&[3], &[0u8, 0, 0])]);
        assert_eq!(got.unwrap().0, Shape::from([0, 1]));
        let outputs = [output(TensorType::Int8), output(TensorType::Int64)];
        let inputs = [tensor(&[5], &[4i8, -1, 4, 4, 2])];
        let got = run(BuiltinOperator::UNIQUE, UniqueOptionsT::default(), &inputs, &outputs).unwrap();
        assert_eq!(got[0].elements::<i8>().unwrap(), [4, -1, 2]);
        assert_eq!(got[1].elements::<i64>().unwrap(), [0, 1, 0, 0, 2]);
    }
}
