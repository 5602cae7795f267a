//! Operators whose result hardly depends on what tensors hold: FILL, RANGE, SHAPE, RANK, BROADCAST_ARGS.

use ferrolite_kernels::cpu::movement::fill;
use ferrolite_model::{BuiltinOperator, TensorType};

use crate::element::Element;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::{OpSpec, TypeRow};
use crate::{same_types, strings, types};

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::FILL, infer_fill, lower_fill).versions(5).inputs(2, 2).types(FILL_TYPES),
    OpSpec::builtin(BuiltinOperator::RANGE, infer_range, lower_range)
        .versions(2)
        .inputs(3, 3)
        .types(same_types![Float32, Int32, Int64]),
    OpSpec::builtin(BuiltinOperator::SHAPE, infer_shape, lower_shape).shape_only(),
    OpSpec::builtin(BuiltinOperator::RANK, infer_rank, lower_rank).shape_only(),
    OpSpec::builtin(BuiltinOperator::BROADCAST_ARGS, infer_broadcast_args, lower_broadcast_args)
        .inputs(2, 2)
        .types(same_types![Int32, Int64]),
];

/// Element types of FILL: dimensions of 32 or 64 bits, an element of any type.
const FILL_TYPES: &[TypeRow] = {
    macro_rules! rows {
        ($($t:ident)*) => { types![$((Int32, $t) -> ($t), (Int64, $t) -> ($t)),*] };
    }
    rows!(
        Float32 Float16 BFloat16 Float64 Int8 UInt8 Int16 UInt16 Int32 UInt32 Int64 UInt64 Bool
        Complex64 String Float8E4M3Fn Float8E5M2
    )
};

fn infer_fill(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    if node.shape(1)?.num_elements()? != 1 {
        return Err(OpError::invalid(format!("FILL takes one element, not {}", node.shape(1)?)).into());
    }
    let dims = node.ints(0)?;
    let shape: Option<Shape> =
        dims.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<Vec<_>>>().map(|d| Shape::new(&d));
    Ok(one(shape.ok_or_else(|| OpError::invalid(format!("FILL cannot make a tensor of shape {dims:?}")))?))
}

fn lower_fill(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let output = node.output(0)?;
    if output.dtype == TensorType::String {
        let (shape, count) = (output.shape.clone(), output.shape.num_elements()?);
        return Ok(FnKernel::new("fill_strings", move |io, _| {
            let element = strings::decode(io.inputs.bytes(1)?)?;
            let element =
                element.first().ok_or_else(|| OpError::runtime("the string to fill with is missing"))?;
            let filled = strings::encode(&vec![*element; count])?;
            io.outputs.set_bytes(0, &shape, &filled)
        })
        .boxed());
    }
    Ok(FnKernel::new("fill", |io, cx| {
        fill(io.outputs.bytes(0)?, io.inputs.bytes(1)?, cx.par());
        Ok(())
    })
    .boxed())
}

/// The single element of input `i`.
fn single<T: Element>(node: &Node<'_>, i: usize) -> Result<T, InferError> {
    match node.value::<T>(i)?.as_slice() {
        [x] => Ok(*x),
        _ => Err(OpError::invalid("RANGE takes single numbers").into()),
    }
}

fn bad_range() -> OpError {
    OpError::invalid("RANGE must step from its start towards its limit, by other than 0 and within memory")
}

/// Number of elements of an integer range.
fn integer_range([start, limit, delta]: [i64; 3]) -> Result<usize, OpError> {
    let towards = (start >= limit && delta < 0) || (start <= limit && delta > 0);
    let steps = limit.abs_diff(start).div_ceil(delta.unsigned_abs().max(1));
    usize::try_from(steps).ok().filter(|_| towards).ok_or_else(bad_range)
}

/// Number of elements of a range of floats.
fn float_range([start, limit, delta]: [f32; 3]) -> Result<usize, OpError> {
    let towards = (start >= limit && delta < 0.0) || (start <= limit && delta > 0.0);
    let steps = ((limit - start) / delta).abs().ceil();
    if towards && steps < 1e15 { Ok(steps as usize) } else { Err(bad_range()) }
}

fn range_len(node: &Node<'_>) -> Result<usize, InferError> {
    Ok(match node.dtype(0)? {
        TensorType::Float32 => float_range([single(node, 0)?, single(node, 1)?, single(node, 2)?])?,
        TensorType::Int32 => {
            let [start, limit, delta]: [i32; 3] = [single(node, 0)?, single(node, 1)?, single(node, 2)?];
            integer_range([start, limit, delta].map(i64::from))?
        }
        _ => integer_range([single(node, 0)?, single(node, 1)?, single(node, 2)?])?,
    })
}

fn infer_range(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Shape::from([range_len(node)?])))
}

fn lower_range(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    /// Adds up steps: floats differ from products of the step in their last digits.
    fn kernel<T: Element>(name: &'static str, next: fn(T, T) -> T) -> Box<dyn Kernel> {
        FnKernel::new(name, move |io, _| {
            let first = |i: usize| {
                let elements = io.inputs.get::<T>(i)?;
                elements.first().copied().ok_or_else(|| OpError::runtime("RANGE takes single numbers"))
            };
            let (mut value, delta) = (first(0)?, first(2)?);
            for to in io.outputs.get::<T>(0)? {
                *to = value;
                value = next(value, delta);
            }
            Ok(())
        })
        .boxed()
    }
    Ok(match node.dtype(0)? {
        TensorType::Float32 => kernel::<f32>("range_f32", |a, b| a + b),
        TensorType::Int32 => kernel::<i32>("range_i32", i32::wrapping_add),
        _ => kernel::<i64>("range_i64", i64::wrapping_add),
    })
}

/// A kernel that writes these numbers as 32- or 64-bit integers.
fn numbers(node: &Node<'_>, name: &'static str, values: &[usize]) -> Result<Box<dyn Kernel>, OpError> {
    let too_large = |_| OpError::invalid("a dimension does not fit the output's integers: use 64-bit ones");
    let output = node.output(0)?.dtype;
    let mut bytes = Vec::new();
    for &v in values {
        match output {
            TensorType::Int64 => bytes.extend(i64::try_from(v).map_err(too_large)?.to_le_bytes()),
            TensorType::Int32 => bytes.extend(i32::try_from(v).map_err(too_large)?.to_le_bytes()),
            other => return Err(OpError::unsupported(format!("dimensions are INT32 or INT64, not {other}"))),
        }
    }
    Ok(FnKernel::new(name, move |io, _| {
        io.outputs.bytes(0)?.copy_from_slice(&bytes);
        Ok(())
    })
    .boxed())
}

fn infer_shape(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Shape::from([node.shape(0)?.rank()])))
}

fn lower_shape(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    numbers(node, "shape", node.shape(0)?)
}

fn infer_rank(_: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Shape::scalar()))
}

fn lower_rank(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    numbers(node, "rank", &[node.shape(0)?.rank()])
}

fn infer_broadcast_args(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (a, b) = (node.shape(0)?, node.shape(1)?);
    if a.rank() != 1 || b.rank() != 1 {
        return Err(OpError::invalid(format!(
            "BROADCAST_ARGS takes two lists of dimensions, not {a} and {b}"
        ))
        .into());
    }
    Ok(one(Shape::from([a[0].max(b[0])])))
}

fn lower_broadcast_args(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    fn kernel<T: Element>(one: T) -> Box<dyn Kernel> {
        FnKernel::new("broadcast_args", move |io, _| {
            let (a, b) = (io.inputs.get::<T>(0)?, io.inputs.get::<T>(1)?);
            let to = io.outputs.get::<T>(0)?;
            let rank = to.len();
            let dim = |of: &[T], i: usize| (i + of.len()).checked_sub(rank).map_or(one, |at| of[at]);
            for (i, to) in to.iter_mut().enumerate() {
                let (x, y) = (dim(a, i), dim(b, i));
                *to = match (x == one, y == one) {
                    (_, true) => x,
                    (true, _) => y,
                    _ if x == y => x,
                    _ => {
                        return Err(OpError::runtime(format!(
                            "dimensions {x:?} and {y:?} do not broadcast: make them equal or one of them 1"
                        )));
                    }
                };
            }
            Ok(())
        })
        .boxed()
    }
    Ok(match node.dtype(0)? {
        TensorType::Int32 => kernel(1i32),
        _ => kernel(1i64),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{output, run, run_one, strings_of, tensor, text};
    use super::*;
    use ferrolite_model::Options;

    #[test]
    fn ranges() {
        type Row = (&'static str, [i32; 3], Option<&'static [i32]>);
        let rows: &[Row] = &[
            ("up", [1, 8, 3], Some(&[1, 4, 7])),
            ("down", [3, 0, -1], Some(&[3, 2, 1])),
            ("empty", [2, 2, 1], Some(&[])),
            ("away", [1, 5, -1], None),
            ("standing", [1, 5, 0], None),
        ];
        for (name, [start, limit, delta], want) in rows {
            let inputs = [tensor(&[], &[*start]), tensor(&[], &[*limit]), tensor(&[], &[*delta])];
            let got = run_one::<i32>(BuiltinOperator::RANGE, Options::None, &inputs).ok();
            assert_eq!(got.map(|(_, values)| values).as_deref(), *want, "{name}");
        }
        let inputs = [tensor(&[], &[0.0f32]), tensor(&[], &[1.0f32]), tensor(&[], &[0.3f32])];
        assert_eq!(
            run_one::<f32>(BuiltinOperator::RANGE, Options::None, &inputs).unwrap().0,
            Shape::from([4])
        );
    }

    #[test]
    fn strings_fill_tensors() {
        let inputs = [tensor(&[2], &[1i32, 2]), text(&[], &["ab"])];
        let got = run(BuiltinOperator::FILL, Options::None, &inputs, &[output(TensorType::String)]).unwrap();
        assert_eq!((got[0].shape().dims(), strings_of(&got[0])), (&[1, 2][..], vec!["ab".to_owned(); 2]));
        let inputs = [tensor(&[1], &[-1i32]), tensor(&[], &[0i32])];
        assert!(run_one::<i32>(BuiltinOperator::FILL, Options::None, &inputs).is_err());
    }

    #[test]
    fn dimensions_broadcast() {
        let args = |a: &[i64], b: &[i64]| {
            let inputs = [tensor(&[a.len()], a), tensor(&[b.len()], b)];
            run_one::<i64>(BuiltinOperator::BROADCAST_ARGS, Options::None, &inputs).ok().map(|(_, dims)| dims)
        };
        assert_eq!(args(&[2, 1], &[3]), Some(vec![2, 3]));
        assert_eq!(args(&[], &[0, 4]), Some(vec![0, 4]));
        assert_eq!(args(&[2], &[3]), None);
    }
}
