//! CUMSUM and ZEROS_LIKE.

use ferrolite_kernels::cpu::elementwise::cumulative::{Direction, cumulative_sum};
use ferrolite_model::options::CumsumOptionsT;
use ferrolite_model::{BuiltinOperator, TensorType};

use super::{Lowered, elements, infer_same, unexpected, wrong_size};
use crate::element::Element;
use crate::error::OpError;
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::Node;
use crate::shape::resolve_axis;
use crate::spec::OpSpec;
use crate::{same_types, types};

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::CUMSUM, infer_same, lower_cumsum).inputs(2, 2).types(types![
        (Float32, Int32) -> (Float32),
        (Int32, Int32) -> (Int32),
        (Int64, Int32) -> (Int64),
    ]),
    OpSpec::builtin(BuiltinOperator::ZEROS_LIKE, infer_same, lower_zeros_like)
        .types(same_types![Float32, Int32, Int64])
        .shape_only(),
];

fn lower_cumsum(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => sum_along::<f32>("f32_cumsum", node, |a, b| a + b),
        TensorType::Int32 => sum_along::<i32>("i32_cumsum", node, i32::wrapping_add),
        TensorType::Int64 => sum_along::<i64>("i64_cumsum", node, i64::wrapping_add),
        _ => Err(unexpected(node)),
    }
}

/// The axis is read while running: it may be computed.
fn sum_along<T: Element>(
    name: &'static str,
    node: &Node<'_>,
    add: impl Fn(T, T) -> T + Copy + Send + Sync + 'static,
) -> Lowered {
    let options = node.options::<CumsumOptionsT>()?;
    let direction = Direction { exclusive: options.exclusive, reverse: options.reverse };
    let run = FnKernel::new(name, move |io, _| {
        let &[axis] = io.inputs.get::<i32>(1)? else {
            return Err(OpError::runtime("CUMSUM takes a single axis"));
        };
        let shape = io.inputs.shape(0)?;
        let axis = resolve_axis(i64::from(axis), shape.len())?;
        let input = io.inputs.get::<T>(0)?;
        let out = io.outputs.get::<T>(0)?;
        if input.len() != out.len() {
            return Err(wrong_size());
        }
        let inner = shape[axis + 1..].iter().product();
        cumulative_sum(input, out, shape[axis], inner, direction, add);
        Ok(())
    });
    Ok(run.ops(elements(node)?).boxed())
}

fn lower_zeros_like(_: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    Ok(FnKernel::new("zeros", |io, _| {
        io.outputs.bytes(0)?.fill(0);
        Ok(())
    })
    .boxed())
}
