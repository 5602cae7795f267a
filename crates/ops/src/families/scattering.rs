//! Operators that place elements by positions: SCATTER_ND, SPARSE_TO_DENSE, SEGMENT_SUM, ONE_HOT.

use ferrolite_kernels::cpu::movement::{dense_strides, fill};
use ferrolite_model::options::OneHotOptionsT;
use ferrolite_model::{BuiltinOperator, TensorType};

use super::integers::Integers;
use super::moving::Unit;
use crate::element::{Bool, Element};
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::{Shape, resolve_axis};
use crate::spec::{OpSpec, TypeRow};
use crate::types;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::SCATTER_ND, infer_scatter, lower_scatter).inputs(3, 3).types(types![
        (Int32, Float32, Int32) -> (Float32), (Int32, Int8, Int32) -> (Int8), (Int32, UInt8, Int32) -> (UInt8),
        (Int32, Int32, Int32) -> (Int32), (Int32, Int64, Int32) -> (Int64), (Int32, Bool, Int32) -> (Bool),
    ]),
    OpSpec::builtin(BuiltinOperator::SPARSE_TO_DENSE, infer_dense, lower_dense)
        .versions(3)
        .inputs(4, 4)
        .types(DENSE_TYPES),
    OpSpec::builtin(BuiltinOperator::SEGMENT_SUM, infer_segments, lower_segments)
        .inputs(2, 2)
        .types(types![(Float32, Int32) -> (Float32), (Int32, Int32) -> (Int32)]),
    OpSpec::builtin(BuiltinOperator::ONE_HOT, infer_one_hot, lower_one_hot).inputs(4, 4).types(ONE_HOT_TYPES),
];

/// Element types of SPARSE_TO_DENSE: positions and shape of 32 or 64 bits, values of several types.
const DENSE_TYPES: &[TypeRow] = {
    macro_rules! rows {
        ($($t:ident)*) => {
            types![$((Int32, Int32, $t, $t) -> ($t), (Int64, Int64, $t, $t) -> ($t)),*]
        };
    }
    rows!(Float32 Int8 UInt8 Int32 Int64)
};

/// Element types of ONE_HOT: positions of 32 or 64 bits, values of several types.
const ONE_HOT_TYPES: &[TypeRow] = {
    macro_rules! rows {
        ($($t:ident)*) => {
            types![$((Int32, Int32, $t, $t) -> ($t), (Int64, Int32, $t, $t) -> ($t)),*]
        };
    }
    rows!(Float32 Int32 Int64 Int8 UInt8 Bool)
};

/// The dimensions that input `i` holds.
fn dimensions(node: &Node<'_>, i: usize) -> Result<Shape, InferError> {
    let dims = node.ints(i)?;
    let shape: Option<Shape> = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    shape.ok_or_else(|| OpError::invalid(format!("a tensor cannot have the dimensions {dims:?}")).into())
}

/// An element type whose values can be added up.
trait Addend: Element {
    /// The sum, wrapping; of truth values, whether either holds.
    fn plus(self, other: Self) -> Self;
}

macro_rules! addend {
    ($($t:ty: $plus:expr;)*) => {$(
        impl Addend for $t {
            fn plus(self, other: Self) -> Self {
                let plus: fn($t, $t) -> $t = $plus;
                plus(self, other)
            }
        }
    )*};
}
addend! {
    f32: |a, b| a + b;
    i8: i8::wrapping_add;
    u8: u8::wrapping_add;
    i32: i32::wrapping_add;
    i64: i64::wrapping_add;
    Bool: |a, b| Bool::from(a.get() || b.get());
}

fn infer_scatter(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let output = dimensions(node, 2)?;
    let (indices, updates) = (node.shape(0)?, node.shape(1)?);
    let fits = indices.last().is_some_and(|&named| {
        let lists = &indices[..indices.rank() - 1];
        named <= output.rank() && **updates == *[lists, &output[named..]].concat()
    });
    if !fits {
        return Err(OpError::invalid(format!(
            "SCATTER_ND of updates {updates} at positions {indices} does not fit an output of {output}"
        ))
        .into());
    }
    Ok(one(output))
}

fn lower_scatter(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    fn kernel<T: Addend>(output: Shape, named: usize) -> Box<dyn Kernel> {
        let row: usize = output[named..].iter().product();
        let strides = dense_strides(&output[..named]);
        FnKernel::new("scatter_nd", move |io, _| {
            let indices = Integers::of(io.inputs, 0)?;
            let updates = io.inputs.get::<T>(1)?;
            let to = io.outputs.get::<T>(0)?;
            to.fill(T::default());
            for (i, from) in updates.chunks_exact(row.max(1)).enumerate() {
                let mut at = 0;
                for (j, &stride) in strides.iter().enumerate() {
                    at += indices.index(i * named + j, output[j], "a scattered axis")? * stride as usize;
                }
                for (to, &x) in to[at * row..(at + 1) * row].iter_mut().zip(from) {
                    *to = to.plus(x);
                }
            }
            Ok(())
        })
        .boxed()
    }
    let output = node.output(0)?.shape.clone();
    let named = node.shape(0)?.last().copied().unwrap_or(0);
    Ok(match node.dtype(1)? {
        TensorType::Float32 => kernel::<f32>(output, named),
        TensorType::Int8 => kernel::<i8>(output, named),
        TensorType::UInt8 => kernel::<u8>(output, named),
        TensorType::Int32 => kernel::<i32>(output, named),
        TensorType::Int64 => kernel::<i64>(output, named),
        _ => kernel::<Bool>(output, named),
    })
}

fn infer_dense(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let output = dimensions(node, 1)?;
    let (indices, values) = (node.shape(0)?, node.shape(2)?);
    let count = indices.first().copied().unwrap_or(1);
    let named = indices.get(1).copied().unwrap_or(1);
    let fits = indices.rank() <= 2 && named == output.rank() && (values.rank() == 0 || **values == [count]);
    if !fits || node.shape(3)?.num_elements()? != 1 {
        return Err(OpError::invalid(format!(
            "SPARSE_TO_DENSE of values {values} at positions {indices} does not fit an output of {output}"
        ))
        .into());
    }
    Ok(one(output))
}

fn lower_dense(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let output = node.output(0)?.shape.clone();
    let Unit::Bytes(element) = Unit::of(node.dtype(2)?)? else {
        return Err(OpError::unsupported(format!("{} values cannot be scattered", node.dtype(2)?)));
    };
    let named = output.rank();
    let scalar = node.shape(2)?.rank() == 0;
    let strides = dense_strides(&output);
    Ok(FnKernel::new("sparse_to_dense", move |io, cx| {
        let indices = Integers::of(io.inputs, 0)?;
        let values = io.inputs.bytes(2)?;
        let to = io.outputs.bytes(0)?;
        fill(to, io.inputs.bytes(3)?, cx.par());
        for i in 0..indices.len() / named.max(1) {
            let mut at = 0;
            for (j, &stride) in strides.iter().enumerate() {
                at += indices.index(i * named + j, output[j], "a dense axis")? * stride as usize;
            }
            let from = if scalar { 0 } else { i * element };
            to[at * element..(at + 1) * element].copy_from_slice(&values[from..from + element]);
        }
        Ok(())
    })
    .boxed())
}

fn infer_segments(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    let ids = node.ints(1)?;
    let rising =
        ids.iter().zip(core::iter::once(&-1).chain(&ids)).all(|(&id, &last)| id == last || id == last + 1);
    let first_is_zero = ids.first().is_none_or(|&id| id == 0);
    if shape.rank() == 0 || node.shape(1)?.rank() != 1 || ids.len() != shape[0] || !rising || !first_is_zero {
        return Err(OpError::invalid(format!(
            "SEGMENT_SUM of {shape} needs one segment number per row, from 0 on without gaps, not {ids:?}"
        ))
        .into());
    }
    let segments = ids.last().map_or(0, |&id| id as usize + 1);
    Ok(one([&[segments][..], &shape[1..]].concat().into_iter().collect()))
}

fn lower_segments(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    fn kernel<T: Addend>(segments: usize, row: usize) -> Box<dyn Kernel> {
        FnKernel::new("segment_sum", move |io, _| {
            let ids = Integers::of(io.inputs, 1)?;
            let from = io.inputs.get::<T>(0)?;
            let to = io.outputs.get::<T>(0)?;
            to.fill(T::default());
            for (i, from) in from.chunks_exact(row.max(1)).enumerate() {
                let at = ids.index(i, segments, "the segments")? * row;
                for (to, &x) in to[at..at + row].iter_mut().zip(from) {
                    *to = to.plus(x);
                }
            }
            Ok(())
        })
        .boxed()
    }
    let output = &node.output(0)?.shape;
    let row = output[1..].iter().product();
    Ok(match node.dtype(0)? {
        TensorType::Int32 => kernel::<i32>(output[0], row),
        _ => kernel::<f32>(output[0], row),
    })
}

/// The axis that positions are spread along; -1 is a new innermost one.
fn one_hot_axis(node: &Node<'_>) -> Result<usize, OpError> {
    let axis = node.options::<OneHotOptionsT>()?.axis;
    resolve_axis(i64::from(axis), node.shape(0)?.rank() + 1)
}

fn infer_one_hot(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let depth = node.ints(1)?;
    let depth = match depth.as_slice() {
        [d] => usize::try_from(*d).ok(),
        _ => None,
    };
    let depth =
        depth.ok_or_else(|| OpError::invalid("the depth of ONE_HOT is a single number, not negative"))?;
    if node.shape(2)?.num_elements()? != 1 || node.shape(3)?.num_elements()? != 1 {
        return Err(OpError::invalid("ONE_HOT takes one value for on and one for off").into());
    }
    let mut dims = node.shape(0)?.to_vec();
    dims.insert(one_hot_axis(node)?, depth);
    Ok(one(Shape::new(&dims)))
}

fn lower_one_hot(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let axis = one_hot_axis(node)?;
    let output = &node.output(0)?.shape;
    let (depth, inner) = (output[axis], output[axis + 1..].iter().product::<usize>());
    let Unit::Bytes(element) = Unit::of(node.dtype(2)?)? else {
        return Err(OpError::unsupported(format!("ONE_HOT cannot make {} tensors", node.dtype(2)?)));
    };
    Ok(FnKernel::new("one_hot", move |io, cx| {
        let positions = Integers::of(io.inputs, 0)?;
        let on = io.inputs.bytes(2)?;
        let to = io.outputs.bytes(0)?;
        fill(to, io.inputs.bytes(3)?, cx.par());
        for i in 0..positions.len() {
            // A position outside of the depth is off everywhere.
            let Some(hot) = usize::try_from(positions.get(i)).ok().filter(|&p| p < depth) else { continue };
            let at = ((i / inner * depth + hot) * inner + i % inner) * element;
            to[at..at + element].copy_from_slice(on);
        }
        Ok(())
    })
    .boxed())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{run_one, tensor};
    use super::*;
    use ferrolite_model::Options;

    #[test]
    fn scattered_rows_add_up() {
        let scatter = |indices: &[i32]| {
            let inputs =
                [tensor(&[2, 1], indices), tensor(&[2, 2], &[1i32, 2, 3, 4]), tensor(&[2], &[3i32, 2])];
            run_one::<i32>(BuiltinOperator::SCATTER_ND, Options::None, &inputs)
        };
        assert_eq!(scatter(&[2, 0]).unwrap().1, [3, 4, 0, 0, 1, 2]);
        assert_eq!(scatter(&[1, 1]).unwrap().1, [0, 0, 4, 6, 0, 0]);
        assert!(scatter(&[0, 3]).is_err() && scatter(&[-1, 0]).is_err());
    }

    #[test]
    fn sparse_values_land_on_the_default() {
        let inputs = [
            tensor(&[2, 2], &[0i64, 1, 1, 0]),
            tensor(&[2], &[2i64, 2]),
            tensor(&[2], &[5i8, 6]),
            tensor(&[], &[-1i8]),
        ];
        let got = run_one::<i8>(BuiltinOperator::SPARSE_TO_DENSE, Options::None, &inputs).unwrap();
        assert_eq!(got, (Shape::from([2, 2]), vec![-1, 5, 6, -1]));
        let inputs =
            [tensor(&[], &[4i32]), tensor(&[1], &[3i32]), tensor(&[], &[5i32]), tensor(&[], &[0i32])];
        assert!(run_one::<i32>(BuiltinOperator::SPARSE_TO_DENSE, Options::None, &inputs).is_err());
    }

    #[test]
    fn segments_are_numbered_without_gaps() {
        let sum = |ids: &[i32]| {
            let inputs = [tensor(&[3, 2], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]), tensor(&[3], ids)];
            run_one::<f32>(BuiltinOperator::SEGMENT_SUM, Options::None, &inputs)
        };
        assert_eq!(sum(&[0, 0, 1]).unwrap(), (Shape::from([2, 2]), vec![4.0, 6.0, 5.0, 6.0]));
        for bad in [[0, 2, 2], [1, 1, 1], [0, 1, 0]] {
            assert!(sum(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn one_hot_leaves_positions_outside_off() {
        let inputs =
            [tensor(&[2], &[1i64, 5]), tensor(&[], &[3i32]), tensor(&[], &[9i32]), tensor(&[], &[-1i32])];
        let got = run_one::<i32>(BuiltinOperator::ONE_HOT, OneHotOptionsT { axis: -1 }, &inputs).unwrap();
        assert_eq!(got, (Shape::from([2, 3]), vec![-1, 9, -1, -1, -1, -1]));
        let got = run_one::<i32>(BuiltinOperator::ONE_HOT, OneHotOptionsT { axis: 0 }, &inputs).unwrap();
        assert_eq!(got, (Shape::from([3, 2]), vec![-1, -1, 9, -1, -1, -1]));
    }
}
