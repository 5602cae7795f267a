//! STABLEHLO_SCATTER: elements of updates combined into a tensor, each window where an index vector says. Elements that
//! would lie outside of the tensor are left out.

use ferrolite_kernels::cpu::movement::dense_strides;
use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::StablehloScatterOptionsT;

use super::attributes;
use super::indices::IndexVectors;
use super::quantized::refuse_quantized;
use super::reducer::{Body, Caller, Nan, Reducer, Reducible, element_bytes, no_such_function};
use super::types::with_value;
use super::{ANY, undefined};
use crate::TensorType;
use crate::error::OpError;
use crate::families::elementwise::{Lowered, wrong_size};
use crate::families::integers::Integers;
use crate::io::{Inputs, Io};
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes};
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The operator of this module.
pub(crate) const SPECS: &[OpSpec] = &[OpSpec::builtin(BuiltinOperator::STABLEHLO_SCATTER, infer, lower)
    .inputs(3, ANY)
    .outputs(1, ANY)
    .stateful()];

/// How the dimensions of operand, indices and updates stand to each other.
struct Scatter {
    types: Vec<TensorType>,
    operand: Shape,
    updates: Shape,
    vectors: IndexVectors,
    /// For every dimension of the updates, the one of the operand that it runs along; `None` for one that tells index
    /// vectors apart.
    window: Vec<Option<usize>>,
}

impl Scatter {
    fn new(node: &Node<'_>) -> Result<Self, OpError> {
        let count = node.inputs.len() / 2;
        if node.inputs.len() != 2 * count + 1 || node.outputs.len() != count {
            return Err(OpError::invalid(format!(
                "a scatter takes operands, indices and as many updates as operands, and gives as many results, not {} \
                 inputs and {} outputs",
                node.inputs.len(),
                node.outputs.len()
            )));
        }
        refuse_quantized(node)?;
        let (operand, updates) = (node.shape(0)?.clone(), node.shape(count + 1)?.clone());
        let mut types = Vec::with_capacity(count);
        for i in 0..count {
            let dtype = node.dtype(i)?;
            if *node.shape(i)? != operand
                || *node.shape(count + 1 + i)? != updates
                || node.dtype(count + 1 + i)? != dtype
                || node.output(i)?.dtype != dtype
            {
                return Err(OpError::invalid(format!(
                    "operand {i}, its updates and its result must have the type {dtype}, and all operands and all updates \
                     one shape each"
                )));
            }
            types.push(dtype);
        }
        let indices = node.input(count)?.info;
        if !super::is_integer(indices.dtype) {
            return Err(OpError::invalid(format!("the indices must be integers, not {}", indices.dtype)));
        }
        let options = node.options::<StablehloScatterOptionsT>()?;
        let rank = operand.rank();
        let vectors = IndexVectors::new(
            &indices.shape,
            options.index_vector_dim,
            options.scatter_dims_to_operand_dims,
            rank,
            "the map of index vectors",
        )?;
        let inserted =
            attributes::axes(options.inserted_window_dims, rank, "the list of inserted dimensions")?;
        let along = attributes::rising_axes(
            options.update_window_dims,
            updates.rank(),
            "the list of window dimensions",
        )?;
        let mut kept = (0..rank).filter(|axis| !inserted.contains(axis));
        let window: Vec<Option<usize>> =
            (0..updates.rank()).map(|axis| if along.contains(&axis) { kept.next() } else { None }).collect();
        let named = window.iter().flatten().count();
        let batch: Vec<usize> =
            updates.iter().zip(&window).filter(|(_, w)| w.is_none()).map(|(&d, _)| d).collect();
        if named != along.len() || kept.next().is_some() || batch != *vectors.batch {
            return Err(OpError::invalid(format!(
                "updates of shape {updates} do not fit an operand of shape {operand} with windows along {along:?} and index \
                 vectors in {}: export the model again",
                indices.shape
            )));
        }
        if let Some(axis) =
            (0..updates.rank()).find(|&i| window[i].is_some_and(|axis| updates[i] > operand[axis]))
        {
            return Err(OpError::invalid(format!(
                "dimension {axis} of updates of shape {updates} is longer than the operand's in {operand}: export the model \
                 again"
            )));
        }
        Ok(Self { types, operand, updates, vectors, window })
    }

    /// Calls `visit` with the element of the operand and the element of the updates of every pair.
    fn visit(
        &self,
        inputs: Inputs<'_>,
        mut visit: impl FnMut(usize, usize) -> Result<(), OpError>,
    ) -> Result<(), OpError> {
        let indices = Integers::of(inputs, self.types.len())?;
        if indices.len() != self.vectors.len {
            return Err(wrong_size());
        }
        let strides = dense_strides(&self.operand);
        let mut at = vec![0usize; self.updates.rank()];
        let mut start = vec![0i64; self.operand.rank()];
        for update in 0..self.updates.num_elements()? {
            let vector = at.iter().zip(&*self.updates).zip(&self.window);
            let vector = vector.filter(|(_, w)| w.is_none()).fold(0, |v, ((&i, &d), _)| v * d + i);
            start.fill(0);
            for (position, &axis) in self.vectors.map.iter().enumerate() {
                start[axis] = indices.get(self.vectors.at(vector, position));
            }
            for (&i, axis) in at.iter().zip(&self.window) {
                if let Some(axis) = *axis {
                    start[axis] = start[axis].saturating_add(i as i64);
                }
            }
            let inside = start.iter().zip(&*self.operand).all(|(&i, &d)| i >= 0 && (i as u64) < d as u64);
            if inside {
                let target: usize = start.iter().zip(&strides).map(|(&i, &s)| i as usize * s as usize).sum();
                visit(target, update)?;
            }
            for (i, &d) in at.iter_mut().zip(&*self.updates).rev() {
                *i += 1;
                if *i < d {
                    break;
                }
                *i = 0;
            }
        }
        Ok(())
    }
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let scatter = Scatter::new(node)?;
    Ok(node.outputs.iter().map(|_| OutputShape::Known(scatter.operand.clone())).collect())
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let scatter = Scatter::new(node)?;
    let options = node.options::<StablehloScatterOptionsT>()?;
    match Body::new(node, options.update_computation_subgraph_index, &scatter.types)? {
        Body::Known(reducer) => {
            // As the reference runtime combines them.
            let reducer = reducer.with_nan(Nan::StaysInFront);
            with_value!(node.dtype(0)?, T => lower_folded::<T>(scatter, reducer), undefined(node))
        }
        Body::Subgraph(index) => lower_called(scatter, index),
    }
}

fn lower_folded<T: Reducible>(scatter: Scatter, reducer: Reducer) -> Lowered {
    let fold = T::fold(reducer).ok_or_else(|| no_such_function(reducer, T::DTYPE))?;
    let (len, updates_len) = (scatter.operand.num_elements()?, scatter.updates.num_elements()?);
    let name = format!("scatter_{}", T::DTYPE.name().to_lowercase());
    Ok(FnKernel::new(name, move |io, _| {
        let (from, updates) = (io.inputs.get::<T>(0)?, io.inputs.get::<T>(2)?);
        let to = io.outputs.get::<T>(0)?;
        if from.len() != len || to.len() != len || updates.len() != updates_len {
            return Err(wrong_size());
        }
        to.copy_from_slice(from);
        scatter.visit(io.inputs, |target, update| {
            to[target] = T::narrow((fold.step)(to[target].widen(), updates[update]));
            Ok(())
        })
    })
    .ops(updates_len as f64)
    .boxed())
}

/// Any function, by calling its subgraph for every element.
fn lower_called(scatter: Scatter, subgraph: usize) -> Lowered {
    let types = scatter.types.clone();
    let sizes: Vec<usize> = types.iter().map(|&t| element_bytes(t)).collect::<Result<_, _>>()?;
    Ok(FnKernel::new("scatter_by_subgraph", move |io: &mut Io<'_>, cx| {
        let count = types.len();
        for i in 0..count {
            let from = io.inputs.bytes(i)?;
            let to = io.outputs.bytes(i)?;
            if from.len() != to.len() {
                return Err(wrong_size());
            }
            to.copy_from_slice(from);
        }
        let both: Vec<TensorType> = types.iter().chain(&types).copied().collect();
        let mut caller = Caller::new(subgraph, &both)?;
        let (inputs, outputs) = (io.inputs, &mut io.outputs);
        scatter.visit(inputs, |target, update| {
            for (i, &size) in sizes.iter().enumerate() {
                let old = outputs.bytes(i)?.get(target * size..).and_then(|b| b.get(..size));
                caller.element(i).copy_from_slice(old.ok_or_else(wrong_size)?);
                let new = inputs.bytes(count + 1 + i)?.get(update * size..).and_then(|b| b.get(..size));
                caller.element(count + i).copy_from_slice(new.ok_or_else(wrong_size)?);
            }
            for (i, value) in caller.call(cx, &types)?.iter().enumerate() {
                let size = sizes[i];
                let to = outputs.bytes(i)?.get_mut(target * size..).and_then(|b| b.get_mut(..size));
                to.ok_or_else(wrong_size)?.copy_from_slice(value.bytes());
            }
            Ok(())
        })
    })
    .boxed())
}
