//! Operators that repeat a tensor: TILE, BROADCAST_TO.

use ferrolite_kernels::cpu::elementwise::chain::Function;
use ferrolite_kernels::cpu::movement::dense_strides;
use ferrolite_model::BuiltinOperator;

use super::moving::{Moves, each_type, into_dense};
use crate::chain::Elementwise;
use crate::error::OpError;
use crate::kernel::Kernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::TILE, infer_tile, lower_tile)
        .versions(3)
        .inputs(2, 2)
        .types(each_type!([
            Float32, Float16, BFloat16, Float64, Int8, UInt8, Int16, UInt16, Int32, UInt32, Int64, UInt64,
            Bool, Complex64, String, Float8E4M3Fn, Float8E5M2
        ](Int32)(Int64)))
        // Where it repeats dimensions of 1 alone.
        .chain(|_| Some(Elementwise::unary(Function::Copy))),
    OpSpec::builtin(BuiltinOperator::BROADCAST_TO, infer_broadcast, lower_broadcast)
        .versions_from(2, 4)
        .inputs(2, 2)
        .types(each_type!([
            Float32, Float16, BFloat16, Float64, Int8, UInt8, Int16, UInt16, Int32, UInt32, Int64, UInt64,
            Bool, Complex64, Complex128, Float8E4M3Fn, Float8E5M2
        ](Int32)(Int64)))
        .chain(|_| Some(Elementwise::unary(Function::Copy))),
];

/// Non-negative counts from input 1.
fn counts(node: &Node<'_>, what: &str) -> Result<Vec<usize>, InferError> {
    let values = node.ints(1)?;
    let counts: Option<Vec<usize>> = values.iter().map(|&v| usize::try_from(v).ok()).collect();
    counts.ok_or_else(|| OpError::invalid(format!("{what} {values:?} must not be negative")).into())
}

/// How often each axis is repeated.
fn repeats(node: &Node<'_>) -> Result<Vec<usize>, InferError> {
    let repeats = counts(node, "the multiples of TILE")?;
    let shape = node.shape(0)?;
    if repeats.len() != shape.rank() {
        return Err(OpError::invalid(format!(
            "TILE of {shape} needs one multiple per axis, but has {repeats:?}"
        ))
        .into());
    }
    Ok(repeats)
}

fn infer_tile(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let dims: Option<Shape> =
        node.shape(0)?.iter().zip(repeats(node)?).map(|(&d, n)| d.checked_mul(n)).collect();
    Ok(one(dims.ok_or_else(|| OpError::invalid("the tiled tensor is larger than memory"))?))
}

fn lower_tile(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let info = node.input(0)?.info;
    // Every axis becomes two: which repetition, and where in it.
    let (mut dims, mut strides) = (Vec::new(), Vec::new());
    for ((&dim, repeat), stride) in info.shape.iter().zip(repeats(node)?).zip(dense_strides(&info.shape)) {
        dims.extend([repeat, dim]);
        strides.extend([0, stride]);
    }
    let (ends, dims) = into_dense(&info.shape, 0, &dims, &strides)?;
    Moves::new(info.dtype)?.step((0, 0), ends, &dims)?.kernel("tile", &[&node.output(0)?.shape])
}

fn infer_broadcast(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    let wanted = Shape::new(&counts(node, "the dimensions to broadcast to")?);
    if shape.rank() > wanted.rank() || shape.broadcast(&wanted)? != wanted {
        return Err(OpError::invalid(format!("{shape} does not broadcast to {wanted}")).into());
    }
    Ok(one(wanted))
}

fn lower_broadcast(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let info = node.input(0)?.info;
    let output = &node.output(0)?.shape;
    let mut strides = vec![0; output.rank() - info.shape.rank()];
    let own = info.shape.iter().zip(dense_strides(&info.shape));
    strides.extend(own.map(|(&d, stride)| if d == 1 { 0 } else { stride }));
    let (ends, dims) = into_dense(&info.shape, 0, output, &strides)?;
    Moves::new(info.dtype)?.step((0, 0), ends, &dims)?.kernel("broadcast_to", &[output])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{output, run, run_one, strings_of, tensor, text};
    use super::*;
    use ferrolite_model::{Options, TensorType};

    #[test]
    fn tiles() {
        let inputs = [tensor(&[2, 2], &[1i32, 2, 3, 4]), tensor(&[2], &[2i64, 2])];
        let got = run_one::<i32>(BuiltinOperator::TILE, Options::None, &inputs).unwrap();
        assert_eq!(got, (Shape::from([4, 4]), vec![1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4]));
        let inputs = [text(&[2], &["a", "b"]), tensor(&[1], &[2i32])];
        let got = run(BuiltinOperator::TILE, Options::None, &inputs, &[output(TensorType::String)]).unwrap();
        assert_eq!(strings_of(&got[0]), ["a", "b", "a", "b"]);
        for multiples in [&[1][..], &[1, -1], &[i32::MAX, i32::MAX]] {
            let inputs = [tensor(&[2, 2], &[1i32, 2, 3, 4]), tensor(&[multiples.len()], multiples)];
            assert!(run_one::<i32>(BuiltinOperator::TILE, Options::None, &inputs).is_err(), "{multiples:?}");
        }
    }

    #[test]
    fn broadcasts() {
        let to = |dims: &[i32]| {
            let inputs = [tensor(&[2, 1], &[1i16, 2]), tensor(&[dims.len()], dims)];
            run_one::<i16>(BuiltinOperator::BROADCAST_TO, Options::None, &inputs).ok()
        };
        assert_eq!(to(&[2, 2, 2]), Some((Shape::from([2, 2, 2]), vec![1, 1, 2, 2, 1, 1, 2, 2])));
        assert_eq!(to(&[2, 0]), Some((Shape::from([2, 0]), vec![])));
        assert_eq!((to(&[2]), to(&[1, 2]), to(&[3, 1])), (None, None, None));
    }
}
