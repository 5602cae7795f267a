//! Reductions of rows by group: UNSORTED_SEGMENT_SUM, _PROD, _MAX, _MIN; and groups of numbers: BUCKETIZE.

use ferrolite_model::options::BucketizeOptionsT;
use ferrolite_model::{BuiltinOperator, TensorType};

use crate::element::Element;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::spec::{OpSpec, TypeRow};
use crate::types;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    unsorted(BuiltinOperator::UNSORTED_SEGMENT_SUM, |node, _| {
        reduce("unsorted_segment_sum", node, (0.0, |a, b| a + b), (0, i32::wrapping_add))
    }),
    unsorted(BuiltinOperator::UNSORTED_SEGMENT_PROD, |node, _| {
        reduce("unsorted_segment_prod", node, (1.0, |a, b| a * b), (1, i32::wrapping_mul))
    }),
    unsorted(BuiltinOperator::UNSORTED_SEGMENT_MAX, |node, _| {
        let larger = |a, b| if a < b { b } else { a };
        reduce("unsorted_segment_max", node, (f32::MIN, larger), (i32::MIN, i32::max))
    }),
    unsorted(BuiltinOperator::UNSORTED_SEGMENT_MIN, |node, _| {
        let smaller = |a, b| if b < a { b } else { a };
        reduce("unsorted_segment_min", node, (f32::MAX, smaller), (i32::MAX, i32::min))
    }),
    OpSpec::builtin(BuiltinOperator::BUCKETIZE, infer_buckets, lower_buckets).types(types![
        (Float32) -> (Int32), (Float64) -> (Int32), (Int32) -> (Int32), (Int64) -> (Int32),
    ]),
];

const UNSORTED_TYPES: &[TypeRow] =
    types![(Float32, Int32, Int32) -> (Float32), (Int32, Int32, Int32) -> (Int32)];

const fn unsorted(op: BuiltinOperator, lower: crate::spec::LowerFn) -> OpSpec {
    OpSpec::builtin(op, infer_unsorted, lower).inputs(3, 3).types(UNSORTED_TYPES)
}

/// Segment numbers cover any leading axes of the data; each segment has the shape of the rest.
fn infer_unsorted(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (shape, ids) = (node.shape(0)?, node.shape(1)?);
    let segments = node.ints(2)?;
    let count = match segments.as_slice() {
        [n] => usize::try_from(*n).ok(),
        _ => None,
    };
    let count = count.ok_or_else(|| {
        OpError::invalid(format!("the number of segments is a single number, not negative, but {segments:?}"))
    })?;
    if !shape.starts_with(ids) {
        let message =
            format!("segment numbers of shape {ids} must cover the leading axes of the data {shape}");
        return Err(OpError::invalid(message).into());
    }
    Ok(one([&[count][..], &shape[ids.rank()..]].concat().into_iter().collect()))
}

/// What a segment holds at first, and how an element is taken in.
type Reduction<T> = (T, fn(T, T) -> T);

fn reduce(
    name: &'static str,
    node: &Node<'_>,
    floats: Reduction<f32>,
    integers: Reduction<i32>,
) -> Result<Box<dyn Kernel>, OpError> {
    fn kernel<T: Element>(
        name: &'static str,
        (start, step): Reduction<T>,
        segments: usize,
        row: usize,
    ) -> Box<dyn Kernel> {
        FnKernel::new(name, move |io, _| {
            let ids = io.inputs.get::<i32>(1)?;
            let from = io.inputs.get::<T>(0)?;
            let to = io.outputs.get::<T>(0)?;
            to.fill(start);
            for (&id, from) in ids.iter().zip(from.chunks_exact(row.max(1))) {
                // Rows with a negative number belong to no segment.
                let Ok(id) = usize::try_from(id) else { continue };
                if id >= segments {
                    return Err(OpError::runtime(format!(
                        "the segment number {id} is not below the number of segments, {segments}"
                    )));
                }
                for (to, &x) in to[id * row..][..row].iter_mut().zip(from) {
                    *to = step(*to, x);
                }
            }
            Ok(())
        })
        .boxed()
    }
    let output = &node.output(0)?.shape;
    let row = output[1..].iter().product();
    Ok(match node.dtype(0)? {
        TensorType::Int32 => kernel(name, integers, output[0], row),
        _ => kernel(name, floats, output[0], row),
    })
}

fn infer_buckets(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(node.shape(0)?.clone()))
}

/// The number of boundaries that are not above an element. 64-bit integers are compared as floats, as in the reference.
fn lower_buckets(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    fn kernel<T: Element>(
        boundaries: Vec<f32>,
        below: impl Fn(T, f32) -> bool + Send + Sync + 'static,
    ) -> Box<dyn Kernel> {
        FnKernel::new("bucketize", move |io, _| {
            for (to, &x) in io.outputs.get::<i32>(0)?.iter_mut().zip(io.inputs.get::<T>(0)?) {
                // Fits: boundaries are fewer than the bytes of a file, which are at most 2 GiB.
                *to = boundaries.partition_point(|&b| !below(x, b)) as i32;
            }
            Ok(())
        })
        .boxed()
    }
    let boundaries = node.options::<BucketizeOptionsT>()?.boundaries.unwrap_or_default();
    if !boundaries.is_sorted() {
        return Err(OpError::invalid("the boundaries of BUCKETIZE must rise: sort them"));
    }
    Ok(match node.dtype(0)? {
        TensorType::Float64 => kernel::<f64>(boundaries, |x, b| x < f64::from(b)),
        TensorType::Int32 => kernel::<i32>(boundaries, |x, b| (x as f32) < b),
        TensorType::Int64 => kernel::<i64>(boundaries, |x, b| (x as f32) < b),
        _ => kernel::<f32>(boundaries, |x, b| x < b),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{run_one, tensor};
    use super::*;
    use crate::shape::Shape;
    use ferrolite_model::Options;

    #[test]
    fn segments_take_rows_in_any_order() {
        let sum = |ids: &[i32], count: i32| {
            let data = tensor(&[3, 2], &[1i32, 2, 3, 4, 5, 6]);
            let inputs = [data, tensor(&[ids.len()], ids), tensor(&[], &[count])];
            run_one::<i32>(BuiltinOperator::UNSORTED_SEGMENT_SUM, Options::None, &inputs)
        };
        assert_eq!(sum(&[2, -1, 2], 3).unwrap(), (Shape::from([3, 2]), vec![0, 0, 0, 0, 6, 8]));
        assert!(sum(&[0, 3, 0], 3).is_err(), "number out of range");
        assert!(sum(&[0, 1], 3).is_err(), "not one number per row");
        assert!(sum(&[0, 0, 0], -1).is_err(), "negative number of segments");
    }

    #[test]
    fn boundaries_belong_to_the_upper_bucket() {
        let buckets = |boundaries: &[f32]| {
            let options = BucketizeOptionsT { boundaries: Some(boundaries.to_vec()) };
            let inputs = [tensor(&[4], &[-1.0f32, 0.0, 5.0, f32::NAN])];
            run_one::<i32>(BuiltinOperator::BUCKETIZE, options, &inputs)
        };
        assert_eq!(buckets(&[0.0, 2.0]).unwrap().1, [0, 1, 2, 2]);
        assert_eq!(buckets(&[]).unwrap().1, [0; 4]);
        assert!(buckets(&[2.0, 0.0]).is_err());
    }
}
