//! Rows found by key, and sums of rows: HASHTABLE_LOOKUP, EMBEDDING_LOOKUP_SPARSE.

use ferrolite_model::options::{CombinerType, EmbeddingLookupSparseOptionsT};
use ferrolite_model::{BuiltinOperator, TensorType};

use super::moving::Unit;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::{strings, types};

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::HASHTABLE_LOOKUP, infer_lookup, lower_lookup).inputs(3, 3).outputs(2, 2),
    OpSpec::builtin(BuiltinOperator::EMBEDDING_LOOKUP_SPARSE, infer_sparse, lower_sparse)
        .inputs(5, 5)
        .types(types![(Int32, Int32, Int32, Float32, Float32) -> (Float32)]),
];

fn infer_lookup(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (asked, keys, values) = (node.input(0)?.info, node.input(1)?.info, node.input(2)?.info);
    let (output, hits) = (node.output(0)?, node.output(1)?);
    if asked.dtype != TensorType::Int32 || keys.dtype != TensorType::Int32 || hits.dtype != TensorType::UInt8
    {
        return Err(OpError::unsupported(format!(
            "a lookup takes int32 keys and gives uint8 hits, not {}, {} and {}",
            asked.dtype, keys.dtype, hits.dtype
        ))
        .into());
    }
    if values.dtype != output.dtype {
        return Err(OpError::unsupported(format!(
            "values of {} cannot be looked up as {}",
            values.dtype, output.dtype
        ))
        .into());
    }
    let (&[asked], &[count]) = (&asked.shape[..], &keys.shape[..]) else {
        return Err(OpError::invalid("the keys of a lookup are vectors").into());
    };
    let rows_fit = values.shape.first() == Some(&count) && count > 0;
    if !rows_fit || (values.dtype == TensorType::String && values.shape.rank() != 1) {
        return Err(OpError::invalid(format!(
            "{count} keys do not fit values of shape {}: one row (for strings, one string) for each",
            values.shape
        ))
        .into());
    }
    let rows: Shape = [&[asked][..], &values.shape[1..]].concat().into_iter().collect();
    Ok([rows, Shape::from([asked])].into_iter().map(OutputShape::Known).collect())
}

/// The position of `key` among rising keys; of equal ones that which halving the range meets first.
fn find(keys: &[i32], key: i32) -> Option<usize> {
    let (mut low, mut high) = (0, keys.len());
    while low < high {
        let middle = (low + high) / 2;
        match key.cmp(&keys[middle]) {
            core::cmp::Ordering::Less => high = middle,
            core::cmp::Ordering::Greater => low = middle + 1,
            core::cmp::Ordering::Equal => return Some(middle),
        }
    }
    None
}

/// A key that is not found gives a row of zeros, or an empty string.
fn lower_lookup(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let values = node.input(2)?.info;
    if values.dtype == TensorType::String {
        return Ok(FnKernel::new("hashtable_lookup_strings", |io, _| {
            let (asked, keys) = (io.inputs.get::<i32>(0)?, io.inputs.get::<i32>(1)?);
            let values = strings::decode(io.inputs.bytes(2)?)?;
            let found: Vec<Option<&[u8]>> =
                asked.iter().map(|&key| find(keys, key).and_then(|at| values.get(at).copied())).collect();
            for (hit, found) in io.outputs.get::<u8>(1)?.iter_mut().zip(&found) {
                *hit = u8::from(found.is_some());
            }
            let strings: Vec<&[u8]> = found.into_iter().map(Option::unwrap_or_default).collect();
            io.outputs.set_bytes(0, &[strings.len()], &strings::encode(&strings)?)
        })
        .boxed());
    }
    let Unit::Bytes(element) = Unit::of(values.dtype)? else {
        return Err(OpError::unsupported(format!("rows of {} cannot be looked up", values.dtype)));
    };
    let row = values.shape[1..].iter().product::<usize>() * element;
    Ok(FnKernel::new("hashtable_lookup", move |io, _| {
        let (asked, keys) = (io.inputs.get::<i32>(0)?, io.inputs.get::<i32>(1)?);
        let values = io.inputs.bytes(2)?;
        for (i, &key) in asked.iter().enumerate() {
            let found = find(keys, key);
            let to = &mut io.outputs.bytes(0)?[i * row..][..row];
            match found {
                Some(at) => to.copy_from_slice(&values[at * row..][..row]),
                None => to.fill(0),
            }
            io.outputs.get::<u8>(1)?[i] = u8::from(found.is_some());
        }
        Ok(())
    })
    .boxed())
}

fn infer_sparse(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (ids, indices, weights, table) = (node.shape(0)?, node.shape(1)?, node.shape(3)?, node.shape(4)?);
    let dims = node.ints(2)?;
    let fits = match (&ids[..], &indices[..]) {
        (&[count], &[places, rank]) => {
            places == count && **weights == [count] && rank >= 1 && dims.len() == rank && table.rank() >= 2
        }
        _ => false,
    };
    if !fits {
        let message = format!(
            "a sparse lookup of ids {ids}, places {indices} of a tensor {dims:?}, weights {weights} and rows {table} does not fit \
             together"
        );
        return Err(OpError::invalid(message).into());
    }
    let outer: Option<Vec<usize>> = dims[..dims.len() - 1].iter().map(|&d| usize::try_from(d).ok()).collect();
    let outer = outer.ok_or_else(|| OpError::invalid(format!("{dims:?} is no shape of a sparse tensor")))?;
    Ok(one([&outer, &table[1..]].concat().into_iter().collect()))
}

/// Sums rows that share a place, each times its weight. Rows of one place follow each other; the mean and the root are
/// taken when the next place begins.
fn lower_sparse(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let combiner = node.options::<EmbeddingLookupSparseOptionsT>()?.combiner;
    if combiner.variant_name().is_none() {
        return Err(OpError::invalid(format!("{combiner:?} is no way to combine rows")));
    }
    let table = node.shape(4)?;
    let (rows, row) = (table[0], table[1..].iter().product::<usize>());
    let output = &node.output(0)?.shape;
    let rank = node.shape(1)?[1];
    let outer: Vec<usize> = output[..rank - 1].to_vec();
    Ok(FnKernel::new("embedding_lookup_sparse", move |io, _| {
        let (ids, indices) = (io.inputs.get::<i32>(0)?, io.inputs.get::<i32>(1)?);
        let (weights, table) = (io.inputs.get::<f32>(3)?, io.inputs.get::<f32>(4)?);
        let out = io.outputs.get::<f32>(0)?;
        out.fill(0.0);
        let divide = |out: &mut [f32], bucket: usize, sum: f32, squares: f32| {
            let divisor = match combiner {
                CombinerType::MEAN => sum,
                CombinerType::SQRTN => squares.sqrt(),
                _ => return,
            };
            out[bucket * row..][..row].iter_mut().for_each(|x| *x /= divisor);
        };
        let mut open: Option<(usize, f32, f32)> = None;
        for ((&id, place), &weight) in ids.iter().zip(indices.chunks_exact(rank)).zip(weights) {
            let id = usize::try_from(id).ok().filter(|&id| id < rows).ok_or_else(|| {
                OpError::runtime(format!("the id {id} is outside of a table of {rows} rows"))
            })?;
            let bucket = bucket(place, &outer)?;
            let (sum, squares) = match open {
                Some((last, sum, squares)) if last == bucket => (sum, squares),
                Some((last, sum, squares)) => {
                    divide(out, last, sum, squares);
                    (0.0, 0.0)
                }
                None => (0.0, 0.0),
            };
            open = Some((bucket, sum + weight, squares + weight * weight));
            let from = &table[id * row..][..row];
            for (to, &x) in out[bucket * row..][..row].iter_mut().zip(from) {
                *to += x * weight;
            }
        }
        if let Some((last, sum, squares)) = open {
            divide(out, last, sum, squares);
        }
        Ok(())
    })
    .boxed())
}

/// The number of a place, all but its last coordinate counted.
fn bucket(place: &[i32], outer: &[usize]) -> Result<usize, OpError> {
    outer.iter().zip(place).try_fold(0, |at, (&dim, &i)| {
        let i = usize::try_from(i).ok().filter(|&i| i < dim);
        i.map(|i| at * dim + i).ok_or_else(|| {
            OpError::runtime(format!(
                "the place {place:?} is outside of a sparse tensor of outer shape {outer:?}"
            ))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{output, run, run_one, strings_of, tensor, text};
    use super::*;
    use ferrolite_model::Options;

    #[test]
    fn keys_that_are_not_found_give_zeros() {
        let keys = || [tensor(&[3], &[7i32, 4, 1]), tensor(&[3], &[1i32, 4, 9])];
        let [asked, known] = keys();
        let inputs = [asked, known, tensor(&[3, 2], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])];
        let outputs = [output(TensorType::Float32), output(TensorType::UInt8)];
        let got = run(BuiltinOperator::HASHTABLE_LOOKUP, Options::None, &inputs, &outputs).unwrap();
        assert_eq!(got[0].elements::<f32>().unwrap(), [0.0, 0.0, 3.0, 4.0, 1.0, 2.0]);
        assert_eq!(got[1].elements::<u8>().unwrap(), [0, 1, 1]);
        let [asked, known] = keys();
        let inputs = [asked, known, text(&[3], &["a", "bc", ""])];
        let outputs = [output(TensorType::String), output(TensorType::UInt8)];
        let got = run(BuiltinOperator::HASHTABLE_LOOKUP, Options::None, &inputs, &outputs).unwrap();
        assert_eq!(strings_of(&got[0]), ["", "bc", "a"]);
    }

    #[test]
    fn sparse_rows_are_combined() {
        let sum = |ids: &[i32], combiner| {
            let inputs = [
                tensor(&[3], ids),
                tensor(&[3, 2], &[0i32, 0, 1, 0, 1, 1]),
                tensor(&[2], &[2i32, 2]),
                tensor(&[3], &[1.0f32, 3.0, 1.0]),
                tensor(&[2, 1], &[2.0f32, 10.0]),
            ];
            let options = EmbeddingLookupSparseOptionsT { combiner };
            run_one::<f32>(BuiltinOperator::EMBEDDING_LOOKUP_SPARSE, options, &inputs)
        };
        assert_eq!(sum(&[0, 0, 1], CombinerType::SUM).unwrap().1, [2.0, 16.0]);
        assert_eq!(sum(&[0, 0, 1], CombinerType::MEAN).unwrap().1, [2.0, 4.0]);
        assert!(sum(&[0, 2, 1], CombinerType::SUM).is_err(), "id out of range");
    }
}
