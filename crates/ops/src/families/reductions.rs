//! Reductions over any axes: MEAN, SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_PROD, REDUCE_ANY, REDUCE_ALL.
//!
//! Sums and means of 8-bit elements are requantized in float with halves rounded to even. Means of 16-bit elements use
//! the fixed-point multiplier of the format, sums of them float with halves rounded away from zero.

use core::marker::PhantomData;

use ferrolite_kernels::cpu::elementwise::chain::OfRow;
use ferrolite_kernels::cpu::reduce::{
    All, Any, MaxOf, Mean, MinOf, Product, QuantizedSum, ReducePlan, Reduction, RescaledSum, Sum,
    quantized_product, reduce,
};
use ferrolite_kernels::fixed_point::Multiplier;
use ferrolite_model::options::ReducerOptionsT;
use ferrolite_model::{BuiltinOperator, TensorType};

use super::moving::each_type;
use crate::chain::Elementwise;
use crate::element::{Bool, Element};
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::{Shape, resolve_axis};
use crate::spec::OpSpec;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::MEAN, infer, lower_mean)
        .versions(3)
        .inputs(2, 2)
        .types(each_type!([Float32, Int32, Int64, UInt8, Int8, Int16](Int32)))
        .chain(|node| of_rows(node, OfRow::Mean)),
    OpSpec::builtin(BuiltinOperator::SUM, infer, lower_sum)
        .versions(2)
        .inputs(2, 2)
        .types(each_type!([Float32, Int32, Int64, UInt8, Int8, Int16](Int32)))
        .chain(|node| of_rows(node, OfRow::Sum)),
    OpSpec::builtin(BuiltinOperator::REDUCE_MAX, infer, lower_max)
        .versions(3)
        .inputs(2, 2)
        .types(each_type!([Float32, Int32, Int64, UInt8, Int8, Int16](Int32)))
        .chain(|node| of_rows(node, OfRow::Max)),
    OpSpec::builtin(BuiltinOperator::REDUCE_MIN, infer, lower_min)
        .versions(3)
        .inputs(2, 2)
        .types(each_type!([Float32, Int32, Int64, UInt8, Int8, Int16](Int32)))
        .chain(|node| of_rows(node, OfRow::Min)),
    OpSpec::builtin(BuiltinOperator::REDUCE_PROD, infer, lower_product)
        .versions(2)
        .inputs(2, 2)
        .types(each_type!([Float32, Int32, Int64, Int8, Int16](Int32))),
    OpSpec::builtin(BuiltinOperator::REDUCE_ANY, infer, lower_any)
        .inputs(2, 2)
        .types(each_type!([Bool](Int32))),
    OpSpec::builtin(BuiltinOperator::REDUCE_ALL, infer, lower_all)
        .inputs(2, 2)
        .types(each_type!([Bool](Int32))),
];

/// Which axes are reduced. An axis may be named twice; a scalar has none, whatever is named.
fn reduced_axes(node: &Node<'_>) -> Result<Vec<bool>, InferError> {
    let rank = node.shape(0)?.rank();
    let mut reduced = vec![false; rank];
    if rank > 0 {
        for axis in node.ints(1)? {
            reduced[resolve_axis(axis, rank)?] = true;
        }
    }
    Ok(reduced)
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let keep = node.options::<ReducerOptionsT>()?.keep_dims;
    let reduced = reduced_axes(node)?;
    let dims = node.shape(0)?.iter().zip(reduced).filter_map(|(&d, reduced)| match (reduced, keep) {
        (false, _) => Some(d),
        (true, true) => Some(1),
        (true, false) => None,
    });
    Ok(one(dims.collect::<Shape>()))
}

/// A reduction of floats as a link of a chain: the axes must be the innermost, but for those of one element, which do not
/// count.
fn of_rows(node: &Node<'_>, function: OfRow) -> Option<Elementwise> {
    let (shape, reduced) = (node.shape(0).ok()?, reduced_axes(node).ok()?);
    let row = shape.iter().zip(reduced).filter(|&(&len, _)| len != 1).skip_while(|axis| !axis.1);
    let row = row.map(|(&len, reduced)| reduced.then_some(len)).collect::<Option<Vec<_>>>()?;
    Elementwise::of_rows(function, row.into_iter().try_fold(1, usize::checked_mul)?)
}

fn plan(node: &Node<'_>) -> Result<ReducePlan, OpError> {
    Ok(ReducePlan::new(node.shape(0)?, &reduced_axes(node)?))
}

/// The kernel of a reduction.
fn kernel<R>(name: &'static str, reduction: R, plan: ReducePlan, cx: &LowerCx<'_>) -> Box<dyn Kernel>
where
    R: Reduction<In: Element, Out: Element> + 'static,
{
    let cpu = cx.cpu;
    let visits = plan.source_len() as f64;
    FnKernel::new(format!("{name}_{}", cpu.name()), move |io, cx| {
        reduce(cpu, cx.par(), reduction, &plan, io.inputs.get::<R::In>(0)?, io.outputs.get::<R::Out>(0)?);
        Ok(())
    })
    .ops(visits)
    .boxed()
}

/// A reduction whose elements are truth values.
fn truth<R>(
    name: &'static str,
    reduction: R,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
) -> Result<Box<dyn Kernel>, OpError>
where
    R: Reduction<In = u8, Out = u8> + 'static,
{
    let (cpu, plan) = (cx.cpu, plan(node)?);
    Ok(FnKernel::new(format!("{name}_{}", cpu.name()), move |io, cx| {
        let from: &[u8] = bytemuck::cast_slice(io.inputs.get::<Bool>(0)?);
        let to: &mut [u8] = bytemuck::cast_slice_mut(io.outputs.get::<Bool>(0)?);
        reduce(cpu, cx.par(), reduction, &plan, from, to);
        Ok(())
    })
    .boxed())
}

fn unsupported(node: &Node<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Err(OpError::unsupported(format!("this reduction is not defined for {} elements", node.dtype(0)?)))
}

/// Scales of the sum of quantized elements; `mean` divides by their number.
fn quantized<T>(node: &Node<'_>, plan: &ReducePlan, mean: bool) -> Result<QuantizedSum<T>, OpError> {
    let (scale_in, zero_in) = node.input(0)?.info.per_tensor()?;
    let (scale_out, zero_out) = node.output(0)?.per_tensor()?;
    let mut scale = scale_in / scale_out;
    if mean {
        scale *= 1.0 / plan.count() as f32;
    }
    let zeros = (plan.count() as i32).wrapping_mul(zero_in) as f32 * scale;
    Ok(QuantizedSum { scale, offset: zero_out as f32 - zeros, element: PhantomData })
}

fn lower_mean(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let plan = plan(node)?;
    let count = plan.count();
    Ok(match node.dtype(0)? {
        TensorType::Float32 => kernel("mean_f32", Mean::<f32>::of(count), plan, cx),
        TensorType::Int32 => kernel("mean_i32", Mean::<i32>::of(count), plan, cx),
        TensorType::Int64 => kernel("mean_i64", Mean::<i64>::of(count), plan, cx),
        TensorType::Int8 => kernel("mean_i8", quantized::<i8>(node, &plan, true)?, plan, cx),
        TensorType::UInt8 => kernel("mean_u8", quantized::<u8>(node, &plan, true)?, plan, cx),
        TensorType::Int16 => kernel("mean_i16", fixed_mean(node, count)?, plan, cx),
        _ => return unsupported(node),
    })
}

/// The fixed-point mean of 16-bit elements: the number of elements is divided out of the multiplier.
fn fixed_mean(node: &Node<'_>, count: usize) -> Result<RescaledSum, OpError> {
    symmetric(node)?;
    let (scale_in, _) = node.input(0)?.info.per_tensor()?;
    let (scale_out, _) = node.output(0)?.per_tensor()?;
    let factor = multiplier(f64::from(scale_in) / f64::from(scale_out))?;
    let down = (count.max(1).ilog2().min(32) as i32).min(31 + factor.exponent).max(0);
    let fraction = (i64::from(factor.fraction) << down) / count.max(1) as i64;
    Ok(RescaledSum(Multiplier { fraction: fraction as i32, exponent: factor.exponent - down }))
}

/// The ratio of two scales in fixed point.
fn multiplier(ratio: f64) -> Result<Multiplier, OpError> {
    Multiplier::new(ratio).filter(|_| ratio >= 0.0).ok_or_else(|| {
        OpError::invalid(format!("the ratio {ratio} of two scales is out of range: quantize the model anew"))
    })
}

/// 16-bit elements have no zero points.
fn symmetric(node: &Node<'_>) -> Result<(), OpError> {
    let zeros = (node.input(0)?.info.per_tensor()?.1, node.output(0)?.per_tensor()?.1);
    if zeros == (0, 0) {
        return Ok(());
    }
    Err(OpError::invalid(format!(
        "reductions of INT16 take zero points of 0, not {zeros:?}: quantize symmetrically"
    )))
}

fn lower_sum(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let plan = plan(node)?;
    Ok(match node.dtype(0)? {
        TensorType::Float32 => kernel("sum_f32", Sum::<f32>::default(), plan, cx),
        TensorType::Int32 => kernel("sum_i32", Sum::<i32>::default(), plan, cx),
        TensorType::Int64 => kernel("sum_i64", Sum::<i64>::default(), plan, cx),
        TensorType::Int8 => kernel("sum_i8", quantized::<i8>(node, &plan, false)?, plan, cx),
        TensorType::UInt8 => kernel("sum_u8", quantized::<u8>(node, &plan, false)?, plan, cx),
        TensorType::Int16 => {
            symmetric(node)?;
            kernel("sum_i16", quantized::<i16>(node, &plan, false)?, plan, cx)
        }
        _ => return unsupported(node),
    })
}

/// Refuses to compare elements of tensors that mean different numbers by them.
fn same_quantization(node: &Node<'_>) -> Result<(), OpError> {
    match (node.input(0)?.info.per_tensor(), node.output(0)?.per_tensor()) {
        (Ok(input), Ok(output)) if input != output => Err(OpError::invalid(format!(
            "the reduction does not requantize: input scale and zero point {input:?} must be the output's {output:?}"
        ))),
        _ => Ok(()),
    }
}

/// Lowers `$Kind` for the type of the input.
macro_rules! extreme {
    ($node:ident, $cx:ident, $Kind:ident, $name:literal) => {{
        let plan = plan($node)?;
        same_quantization($node)?;
        Ok(match $node.dtype(0)? {
            TensorType::Float32 => kernel(concat!($name, "_f32"), $Kind::<f32>::default(), plan, $cx),
            TensorType::Int32 => kernel(concat!($name, "_i32"), $Kind::<i32>::default(), plan, $cx),
            TensorType::Int64 => kernel(concat!($name, "_i64"), $Kind::<i64>::default(), plan, $cx),
            TensorType::Int8 => kernel(concat!($name, "_i8"), $Kind::<i8>::default(), plan, $cx),
            TensorType::UInt8 => kernel(concat!($name, "_u8"), $Kind::<u8>::default(), plan, $cx),
            TensorType::Int16 => kernel(concat!($name, "_i16"), $Kind::<i16>::default(), plan, $cx),
            _ => return unsupported($node),
        })
    }};
}

fn lower_max(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    extreme!(node, cx, MaxOf, "reduce_max")
}

fn lower_min(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    extreme!(node, cx, MinOf, "reduce_min")
}

fn lower_product(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let plan = plan(node)?;
    let quantized = node.input(0)?.info.is_quantized();
    Ok(match node.dtype(0)? {
        TensorType::Float32 => kernel("reduce_prod_f32", Product::<f32>::default(), plan, cx),
        TensorType::Int32 => kernel("reduce_prod_i32", Product::<i32>::default(), plan, cx),
        TensorType::Int64 => kernel("reduce_prod_i64", Product::<i64>::default(), plan, cx),
        TensorType::Int8 if quantized => lower_quantized_product::<i8>(node, plan)?,
        TensorType::Int16 if quantized => {
            symmetric(node)?;
            lower_quantized_product::<i16>(node, plan)?
        }
        TensorType::Int8 => kernel("reduce_prod_i8", Product::<i8>::default(), plan, cx),
        TensorType::Int16 => kernel("reduce_prod_i16", Product::<i16>::default(), plan, cx),
        _ => return unsupported(node),
    })
}

fn lower_quantized_product<T: Element + Into<i32> + TryFrom<i32>>(
    node: &Node<'_>,
    plan: ReducePlan,
) -> Result<Box<dyn Kernel>, OpError> {
    let (scale_in, zero_in) = node.input(0)?.info.per_tensor()?;
    let (scale_out, zero_out) = node.output(0)?.per_tensor()?;
    if plan.count() <= 1 && plan.source_len() > 0 {
        // One factor is no product: the elements are copied as they are.
        return Ok(FnKernel::new("reduce_prod_copy", |io, _| {
            io.outputs.bytes(0)?.copy_from_slice(io.inputs.bytes(0)?);
            Ok(())
        })
        .boxed());
    }
    // Each factor carries its share of the output's scale, so that the running product stays in range.
    let share = f64::from(scale_out).powf(1.0 / plan.count().max(1) as f64);
    let rescale = multiplier(f64::from(scale_in) / share)?;
    let scratch = plan.result_len() * size_of::<i32>();
    Ok(FnKernel::new("reduce_prod_quantized", move |io, _| {
        let (from, to) = (io.inputs.get::<T>(0)?, io.outputs.get::<T>(0)?);
        if plan.source_len() == 0 {
            to.fill(T::default());
            return Ok(());
        }
        let products: &mut [i32] = bytemuck::cast_slice_mut(&mut io.scratch[..scratch]);
        quantized_product(&plan, zero_in, rescale, from, products);
        let (low, high) = if size_of::<T>() == 1 { (-128, 127) } else { (-32768, 32767) };
        for (to, &product) in to.iter_mut().zip(&*products) {
            *to = T::try_from(product.saturating_add(zero_out).clamp(low, high)).unwrap_or_default();
        }
        Ok(())
    })
    .scratch(scratch)
    .boxed())
}

fn lower_any(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    truth("reduce_any", Any, node, cx)
}

fn lower_all(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    truth("reduce_all", All, node, cx)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{quantized_output, run, run_one, tensor};
    use super::*;

    fn options(keep_dims: bool) -> ReducerOptionsT {
        ReducerOptionsT { keep_dims }
    }

    #[test]
    fn axes_of_all_kinds() {
        type Row = (&'static str, &'static [i32], bool, Option<(&'static [usize], &'static [i32])>);
        // The numbers 1 to 6 in shape [2, 3].
        let rows: &[Row] = &[
            ("rows", &[1], false, Some((&[2], &[6, 15]))),
            ("columns, kept", &[-2], true, Some((&[1, 3], &[5, 7, 9]))),
            ("all", &[0, 1], false, Some((&[], &[21]))),
            ("twice", &[1, -1], true, Some((&[2, 1], &[6, 15]))),
            ("none", &[], false, Some((&[2, 3], &[1, 2, 3, 4, 5, 6]))),
            ("outside", &[2], false, None),
        ];
        for (name, axes, keep, want) in rows {
            let inputs = [tensor(&[2, 3], &[1i32, 2, 3, 4, 5, 6]), tensor(&[axes.len()], axes)];
            let got = run_one::<i32>(BuiltinOperator::SUM, options(*keep), &inputs).ok();
            assert_eq!(got, want.map(|(shape, values)| (Shape::new(shape), values.to_vec())), "{name}");
        }
        let inputs = [tensor(&[], &[4i32]), tensor(&[1], &[0i32])];
        assert_eq!(run_one::<i32>(BuiltinOperator::MEAN, options(false), &inputs).unwrap().1, [4]);
    }

    #[test]
    fn quantized_means_are_requantized() {
        // The mean 1.5 of 4 elements at scale 0.5 from zero point 2; halves go to even.
        let inputs = [tensor(&[4], &[4i8, 5, 6, 5]).quantized(0.5, 2), tensor(&[1], &[0i32])];
        let outputs = [quantized_output(TensorType::Int8, 1.0, 3)];
        let got = run(BuiltinOperator::MEAN, options(false), &inputs, &outputs).unwrap();
        assert_eq!(got[0].elements::<i8>().unwrap(), [4]);
        let inputs = [tensor(&[2], &[3i16, 4]).quantized(1.0, 0), tensor(&[1], &[0i32])];
        let outputs = [quantized_output(TensorType::Int16, 1.0, 0)];
        let got = run(BuiltinOperator::MEAN, options(false), &inputs, &outputs).unwrap();
        assert_eq!(got[0].elements::<i16>().unwrap(), [4]);
        let outputs = [quantized_output(TensorType::Int16, 1.0, 1)];
        assert!(run(BuiltinOperator::MEAN, options(false), &inputs, &outputs).is_err());
    }
}
