//! STABLEHLO_REDUCE: elements along any dimensions combined by a region.

use ferrolite_kernels::cpu::movement::{dense_strides, fill};
use ferrolite_kernels::cpu::reduce::{MaxOf, MinOf, Product, ReducePlan, Reduction, Sum, reduce};
use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::StablehloReduceOptionsT;

use super::attributes;
use super::reducer::{
    Body, Caller, Fold, Folded, Reducer, Reducible, element_bytes, no_such_function, operand_types, single,
};
use super::types::with_value;
use super::walk::{Walk, offset_of};
use super::{ANY, undefined};
use crate::TensorType;
use crate::error::OpError;
use crate::families::elementwise::{Lowered, wrong_size};
use crate::io::Io;
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes};
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The operator of this module.
pub(crate) const SPECS: &[OpSpec] = &[OpSpec::builtin(BuiltinOperator::STABLEHLO_REDUCE, infer, lower)
    .inputs(2, ANY)
    .outputs(1, ANY)
    .stateful()];

/// Element types of a variadic reduction, and which dimensions are reduced.
struct Reduced {
    types: Vec<TensorType>,
    shape: Shape,
    axes: Vec<bool>,
}

impl Reduced {
    fn new(node: &Node<'_>) -> Result<Self, OpError> {
        let (types, shape) = (operand_types(node)?, node.shape(0)?.clone());
        let options = node.options::<StablehloReduceOptionsT>()?;
        let mut axes = vec![false; shape.rank()];
        for axis in attributes::axes(options.dimensions, shape.rank(), "the list of reduced dimensions")? {
            axes[axis] = true;
        }
        Ok(Self { types, shape, axes })
    }

    fn result(&self) -> Shape {
        self.shape.iter().zip(&self.axes).filter(|(_, reduced)| !**reduced).map(|(&d, _)| d).collect()
    }

    /// Lengths and strides of the dimensions that are (or are not) reduced.
    fn dims(&self, reduced: bool) -> Vec<(usize, usize)> {
        let strides = dense_strides(&self.shape);
        let dims = self.shape.iter().zip(strides).zip(&self.axes);
        dims.filter(|(_, is)| **is == reduced).map(|((&len, stride), _)| (len, stride as usize)).collect()
    }
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let result = Reduced::new(node)?.result();
    Ok(node.outputs.iter().map(|_| OutputShape::Known(result.clone())).collect())
}

fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let reduced = Reduced::new(node)?;
    let options = node.options::<StablehloReduceOptionsT>()?;
    if reduced.shape.num_elements()? == 0 {
        return lower_empty(reduced.types.len());
    }
    match Body::new(node, options.body_subgraph_index, &reduced.types)? {
        Body::Known(reducer) => lower_known(node, cx, reduced, reducer),
        Body::Subgraph(index) => lower_called(reduced, index),
    }
}

/// Results of nothing are the initial values.
fn lower_empty(count: usize) -> Lowered {
    Ok(FnKernel::new("reduce_nothing", move |io, cx| {
        for i in 0..count {
            let init = io.inputs.bytes(count + i)?;
            let to = io.outputs.bytes(i)?;
            if init.is_empty() || !to.len().is_multiple_of(init.len()) {
                return Err(wrong_size());
            }
            fill(to, init, cx.par());
        }
        Ok(())
    })
    .boxed())
}

fn lower_known(node: &Node<'_>, cx: &LowerCx<'_>, reduced: Reduced, reducer: Reducer) -> Lowered {
    let plan = ReducePlan::new(&reduced.shape, &reduced.axes);
    let dtype = node.dtype(0)?;
    // The kernels of the format's own reductions, where they compute the same.
    macro_rules! shared {
        ($Kind:ident, $T:ty) => {
            shared(cx, plan, $Kind::<$T>::default(), <$T as Reducible>::fold(reducer), reducer)
        };
    }
    match (reducer, dtype) {
        (Reducer::Sum, TensorType::Float32) => shared!(Sum, f32),
        (Reducer::Sum, TensorType::Int32) => shared!(Sum, i32),
        (Reducer::Sum, TensorType::Int64) => shared!(Sum, i64),
        (Reducer::Product, TensorType::Float32) => shared!(Product, f32),
        (Reducer::Product, TensorType::Int32) => shared!(Product, i32),
        (Reducer::Product, TensorType::Int64) => shared!(Product, i64),
        (Reducer::Max(_), TensorType::Int8) => shared!(MaxOf, i8),
        (Reducer::Max(_), TensorType::UInt8) => shared!(MaxOf, u8),
        (Reducer::Max(_), TensorType::Int32) => shared!(MaxOf, i32),
        (Reducer::Max(_), TensorType::Int64) => shared!(MaxOf, i64),
        (Reducer::Min(_), TensorType::Int8) => shared!(MinOf, i8),
        (Reducer::Min(_), TensorType::UInt8) => shared!(MinOf, u8),
        (Reducer::Min(_), TensorType::Int32) => shared!(MinOf, i32),
        (Reducer::Min(_), TensorType::Int64) => shared!(MinOf, i64),
        _ => with_value!(dtype, T => lower_folded::<T>(reduced, reducer), undefined(node)),
    }
}

/// A reduction that starts from its neutral element, then takes the initial value in.
fn shared<T, R>(
    cx: &LowerCx<'_>,
    plan: ReducePlan,
    reduction: R,
    fold: Option<Fold<T>>,
    reducer: Reducer,
) -> Lowered
where
    T: Folded<Wide = T>,
    R: Reduction<In = T, Out = T> + 'static,
{
    let fold = fold.ok_or_else(|| no_such_function(reducer, T::DTYPE))?;
    let (cpu, visits) = (cx.cpu, plan.source_len() as f64);
    let name = format!("reduce_{}_{}", T::DTYPE.name().to_lowercase(), cpu.name());
    Ok(FnKernel::new(name, move |io, cx| {
        let (from, init) = (io.inputs.get::<T>(0)?, single::<T>(io.inputs, 1)?);
        let to = io.outputs.get::<T>(0)?;
        if from.len() != plan.source_len() || to.len() != plan.result_len() {
            return Err(wrong_size());
        }
        reduce(cpu, cx.par(), reduction, &plan, from, to);
        to.iter_mut().for_each(|to| *to = (fold.step)(init, *to));
        Ok(())
    })
    .ops(visits)
    .boxed())
}

/// Results side by side where the innermost dimension stays, rows of elements where it is reduced.
fn lower_folded<T: Reducible>(reduced: Reduced, reducer: Reducer) -> Lowered {
    /// Results that are kept while elements are combined into them.
    const BLOCK: usize = 128;
    let fold = T::fold(reducer).ok_or_else(|| no_such_function(reducer, T::DTYPE))?;
    let source_len = reduced.shape.num_elements()?;
    let (mut kept, mut inner) = (reduced.dims(false), reduced.dims(true));
    let inner_kept = reduced.axes.last().is_some_and(|&reduced| !reduced);
    // The row that lies together in memory.
    let row = if inner_kept { kept.pop() } else { inner.pop() }.map_or(1, |d| d.0);
    let name = format!("reduce_{}", T::DTYPE.name().to_lowercase());
    let run = FnKernel::new(name, move |io, cx| {
        let (from, init) = (io.inputs.get::<T>(0)?, single::<T>(io.inputs, 1)?);
        let to = io.outputs.get::<T>(0)?;
        if from.len() != source_len {
            return Err(wrong_size());
        }
        let walk = Walk::new(inner.iter().copied());
        if !inner_kept {
            cx.par().chunks_mut(to, BLOCK, |chunk, to| {
                let mut walk = walk.clone();
                for (i, to) in to.iter_mut().enumerate() {
                    let base = offset_of(chunk * BLOCK + i, &kept);
                    walk.restart();
                    let sum = walk
                        .by_ref()
                        .fold(init.widen(), |acc, offset| (fold.run)(acc, &from[base + offset..][..row]));
                    *to = T::narrow(sum);
                }
            });
            return Ok(());
        }
        cx.par().chunks_mut(to, row, |outer, to| {
            let (base, mut walk) = (offset_of(outer, &kept), walk.clone());
            for (block, to) in to.chunks_mut(BLOCK).enumerate() {
                let mut sums = [init.widen(); BLOCK];
                let sums = &mut sums[..to.len()];
                walk.restart();
                for offset in walk.by_ref() {
                    (fold.row)(sums, &from[base + offset + block * BLOCK..][..to.len()]);
                }
                to.iter_mut().zip(&*sums).for_each(|(to, &sum)| *to = T::narrow(sum));
            }
        });
        Ok(())
    });
    Ok(run.ops(source_len as f64).boxed())
}

/// Any function, by calling its subgraph for every element.
fn lower_called(reduced: Reduced, subgraph: usize) -> Lowered {
    let types = reduced.types.clone();
    let sizes: Vec<usize> = types.iter().map(|&t| element_bytes(t)).collect::<Result<_, _>>()?;
    let (kept, inner) = (reduced.dims(false), reduced.dims(true));
    let run = FnKernel::new("reduce_by_subgraph", move |io: &mut Io<'_>, cx| {
        let count = types.len();
        let both: Vec<TensorType> = types.iter().chain(&types).copied().collect();
        let mut caller = Caller::new(subgraph, &both)?;
        for (index, base) in Walk::new(kept.iter().copied()).enumerate() {
            for (i, _) in sizes.iter().enumerate() {
                caller.element(i).copy_from_slice(io.inputs.bytes(count + i)?);
            }
            for offset in Walk::new(inner.iter().copied()) {
                for (i, &size) in sizes.iter().enumerate() {
                    let from = io.inputs.bytes(i)?.get((base + offset) * size..).and_then(|b| b.get(..size));
                    caller.element(count + i).copy_from_slice(from.ok_or_else(wrong_size)?);
                }
                for (i, value) in caller.call(cx, &types)?.iter().enumerate() {
                    caller.element(i).copy_from_slice(value.bytes());
                }
            }
            for (i, &size) in sizes.iter().enumerate() {
                let to = io.outputs.bytes(i)?.get_mut(index * size..).and_then(|b| b.get_mut(..size));
                to.ok_or_else(wrong_size)?.copy_from_slice(caller.element(i));
            }
        }
        Ok(())
    });
    Ok(run.boxed())
}
