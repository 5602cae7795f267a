//! Small operators on arrays: BroadcastGradientArgs, Table, Sign, Atan2.

use ferrolite_model::TensorType;

use crate::element::Element;
use crate::error::OpError;
use crate::io::Io;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes, one};
use crate::same_types;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("BroadcastGradientArgs", infer_reduced, lower_reduced)
        .inputs(2, 2)
        .outputs(2, 2)
        .types(same_types![Int32, Int64]),
    OpSpec::custom("Table", infer_same, lower_table).inputs(2, 2).types(same_types![Int8, Int16]),
    OpSpec::custom("Sign", infer_same, lower_sign).types(same_types![Float32, Float64]),
    OpSpec::custom("Atan2", infer_both, lower_atan2).inputs(2, 2).types(same_types![Float32, Float64]),
];

fn infer_same(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(node.shape(0)?.clone()))
}

fn infer_both(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (a, b) = (node.shape(0)?, node.shape(1)?);
    if a != b {
        return Err(OpError::invalid(format!("the operands {a} and {b} must have one shape")).into());
    }
    Ok(one(a.clone()))
}

/// The axes of a broadcast result that the gradient of each operand is summed along.
fn reduced(a: &[i64], b: &[i64]) -> Result<[Vec<i64>; 2], OpError> {
    let mut axes = [Vec::new(), Vec::new()];
    if a == b {
        return Ok(axes);
    }
    let rank = a.len().max(b.len());
    for axis in 0..rank {
        let dim = |shape: &[i64]| (axis + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
        match (dim(a), dim(b)) {
            (1, 1) => axes.iter_mut().for_each(|axes| axes.push(axis as i64)),
            (1, _) => axes[0].push(axis as i64),
            (_, 1) => axes[1].push(axis as i64),
            (x, y) if x == y => {}
            _ => return Err(OpError::invalid(format!("the shapes {a:?} and {b:?} do not broadcast"))),
        }
    }
    Ok(axes)
}

fn infer_reduced(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let axes = reduced(&node.ints(0)?, &node.ints(1)?)?;
    Ok(axes.into_iter().map(|axes| OutputShape::Known(Shape::from([axes.len()]))).collect())
}

fn lower_reduced(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let axes = reduced(&node.ints(0)?, &node.ints(1)?)?;
    let wide = node.dtype(0)? == TensorType::Int64;
    Ok(FnKernel::new("broadcast_gradient_args", move |io, _| {
        for (i, axes) in axes.iter().enumerate() {
            if wide {
                io.outputs.get::<i64>(i)?.copy_from_slice(axes);
            } else {
                // Fits: axes are fewer than dimensions.
                io.outputs.get::<i32>(i)?.iter_mut().zip(axes).for_each(|(to, &axis)| *to = axis as i32);
            }
        }
        Ok(())
    })
    .boxed())
}

/// Entries of a table of 16-bit functions: one for every 128 inputs, and the end of the last.
const ENTRIES16: usize = 513;

/// 8-bit inputs name an entry; 16-bit ones lie between two entries, whose difference is interpolated.
fn lower_table(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let info = node.input(0)?.info;
    let wide = info.dtype == TensorType::Int16;
    let entries = if wide { ENTRIES16 } else { 256 };
    if **node.shape(1)? != [entries] {
        return Err(OpError::invalid(format!(
            "a table of {} has {entries} entries, not {}",
            info.dtype,
            node.shape(1)?
        )));
    }
    if wide
        && [info, node.output(0)?]
            .iter()
            .any(|i| i.is_quantized() && i.per_tensor().is_ok_and(|(_, zero)| zero != 0))
    {
        return Err(OpError::invalid("the zero points of 16-bit tensors are 0"));
    }
    if !wide {
        return Ok(FnKernel::new("table_i8", |io, _| {
            let table = io.inputs.get::<i8>(1)?;
            for (to, &x) in io.outputs.get::<i8>(0)?.iter_mut().zip(io.inputs.get::<i8>(0)?) {
                *to = table[(i32::from(x) + 128) as usize];
            }
            Ok(())
        })
        .boxed());
    }
    Ok(FnKernel::new("table_i16", |io, _| {
        let table = io.inputs.get::<i16>(1)?;
        for (to, &x) in io.outputs.get::<i16>(0)?.iter_mut().zip(io.inputs.get::<i16>(0)?) {
            let (entry, rest) = ((i32::from(x) >> 7) + 256, i32::from(x) & 127);
            let [base, next] = [0, 1].map(|i| i32::from(table[entry as usize + i]));
            // Cut to 16 bits like the reference, should the entries be far apart.
            *to = (base + (((next - base) * rest + 64) >> 7)) as i16;
        }
        Ok(())
    })
    .boxed())
}

fn map<T: Element>(io: &mut Io<'_>, f: impl Fn(T) -> T) -> Result<(), OpError> {
    for (to, &x) in io.outputs.get::<T>(0)?.iter_mut().zip(io.inputs.get::<T>(0)?) {
        *to = f(x);
    }
    Ok(())
}

fn lower_sign(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    /// 1, -1, or 0 for what is neither positive nor negative.
    fn sign<T: Element + PartialOrd + From<i8>>(x: T) -> T {
        T::from(i8::from(x > T::default()) - i8::from(x < T::default()))
    }
    Ok(match node.dtype(0)? {
        TensorType::Float64 => FnKernel::new("sign_f64", |io, _| map::<f64>(io, sign)).boxed(),
        _ => FnKernel::new("sign_f32", |io, _| map::<f32>(io, sign)).boxed(),
    })
}

fn lower_atan2(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    fn kernel<T: Element>(atan2: fn(T, T) -> T) -> Box<dyn Kernel> {
        FnKernel::new("atan2", move |io, _| {
            let (y, x) = (io.inputs.get::<T>(0)?, io.inputs.get::<T>(1)?);
            for (to, (&y, &x)) in io.outputs.get::<T>(0)?.iter_mut().zip(y.iter().zip(x)) {
                *to = atan2(y, x);
            }
            Ok(())
        })
        .boxed()
    }
    Ok(match node.dtype(0)? {
        TensorType::Float64 => kernel(f64::atan2),
        _ => kernel(f32::atan2),
    })
}
