//! STABLEHLO_SORT: slices of one or more tensors put into an order that a region tells.
//!
//! Sorting is stable whether or not that is asked for. A region that compares two elements of one operand is recognised;
//! any other is called for every comparison.

use ferrolite_model::options::{
    StablehloCompareOptionsT, StablehloComparisonDirection as Direction, StablehloSortOptionsT,
};
use ferrolite_model::{BuiltinOperator, OpCode, Operator, Subgraph};

use super::compare::{TotalOrder, comparison, holds};
use super::reducer::{Caller, element_bytes};
use super::types::{with_float, with_integer};
use super::{ANY, attributes, undefined};
use crate::TensorType;
use crate::element::{Bool, Element};
use crate::error::OpError;
use crate::families::elementwise::{Lowered, wrong_size};
use crate::families::variables::subgraph_index;
use crate::io::Io;
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes};
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The operator of this module.
pub(crate) const SPECS: &[OpSpec] = &[OpSpec::builtin(BuiltinOperator::STABLEHLO_SORT, infer, lower)
    .inputs(1, ANY)
    .outputs(1, ANY)
    .stateful()];

/// The slices that are sorted.
struct Slices {
    types: Vec<TensorType>,
    /// Elements of a slice, and from one to the next.
    len: usize,
    step: usize,
    /// Slices.
    count: usize,
}

impl Slices {
    fn new(node: &Node<'_>) -> Result<Self, OpError> {
        let shape = node.shape(0)?;
        if node.inputs.len() != node.outputs.len() {
            return Err(OpError::invalid(format!(
                "sorting gives as many results as it has operands, not {} for {}",
                node.outputs.len(),
                node.inputs.len()
            )));
        }
        let mut types = Vec::with_capacity(node.inputs.len());
        for i in 0..node.inputs.len() {
            let dtype = node.dtype(i)?;
            if node.shape(i)? != shape || node.output(i)?.dtype != dtype {
                return Err(OpError::invalid(format!(
                    "operand {i} must have the shape {shape} of the first, and result {i} its type {dtype}"
                )));
            }
            element_bytes(dtype)?;
            types.push(dtype);
        }
        // The specification counts this dimension from the end too.
        let dimension = node.options::<StablehloSortOptionsT>()?.dimension;
        let rank = shape.rank();
        let dimension = if dimension < 0 { dimension.saturating_add(rank as i64) } else { dimension };
        let axis = attributes::axis(dimension, rank, "sorting")?;
        let step = Shape::new(&shape[axis + 1..]).num_elements()?;
        let count = Shape::new(&shape[..axis]).num_elements()?.saturating_mul(step);
        u32::try_from(shape[axis]).map_err(|_| OpError::unsupported("slices of 2^32 elements and more"))?;
        Ok(Self { types, len: shape[axis], step, count })
    }

    /// The first element of a slice.
    fn start(&self, slice: usize) -> usize {
        slice / self.step * self.len * self.step + slice % self.step
    }
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Slices::new(node)?;
    let shape = node.shape(0)?;
    Ok(node.outputs.iter().map(|_| OutputShape::Known(shape.clone())).collect())
}

/// A comparison that is known: of which operand, in which direction, and whether in the total order of floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    operand: usize,
    direction: Direction,
    total: bool,
}

/// Checks the region, and recognises it where it does nothing but compare two elements of one operand.
fn comparator(node: &Node<'_>, types: &[TensorType]) -> Result<(usize, Option<Known>), OpError> {
    let index = subgraph_index(node.options::<StablehloSortOptionsT>()?.comparator_subgraph_index)?;
    let graph = node.regions.subgraph(index).ok_or_else(|| {
        OpError::invalid(format!("sorting compares by subgraph {index}, which the model lacks"))
    })?;
    let dtype = |&t: &usize| graph.tensors.get(t).map(|t| t.dtype);
    let wanted = types.iter().flat_map(|&t| [Some(t), Some(t)]);
    if !graph.inputs.iter().map(dtype).eq(wanted)
        || !graph.outputs.iter().map(dtype).eq([Some(TensorType::Bool)])
    {
        return Err(OpError::invalid(format!(
            "subgraph {index} must take two elements of each of the types {types:?} and give a truth value: export the \
             model again"
        )));
    }
    Ok((index, recognise(graph, types)?))
}

fn recognise(graph: &Subgraph, types: &[TensorType]) -> Result<Option<Known>, OpError> {
    let [operator] = graph.operators.as_slice() else { return Ok(None) };
    let &[Some(a), Some(b)] = operator.inputs.as_slice() else { return Ok(None) };
    let position = |t: usize| graph.inputs.iter().position(|&input| input == t);
    let (Some(first), Some(second)) = (position(a), position(b)) else { return Ok(None) };
    if operator.outputs != graph.outputs || first / 2 != second / 2 || first == second {
        return Ok(None);
    }
    let operand = first / 2;
    let Some((direction, total)) = direction(operator, types[operand])? else { return Ok(None) };
    // Compared the other way round, the direction turns.
    let direction = if first < second { direction } else { turned(direction) };
    Ok(Some(Known { operand, direction, total }))
}

fn direction(operator: &Operator, dtype: TensorType) -> Result<Option<(Direction, bool)>, OpError> {
    let OpCode::Builtin(code) = operator.code else { return Ok(None) };
    Ok(match code {
        BuiltinOperator::STABLEHLO_COMPARE => {
            let options = operator.options::<StablehloCompareOptionsT>().cloned().unwrap_or_default();
            Some(comparison(&options, dtype)?)
        }
        BuiltinOperator::LESS => Some((Direction::STABLEHLO_COMPARISON_DIRECTION_LT, false)),
        BuiltinOperator::LESS_EQUAL => Some((Direction::STABLEHLO_COMPARISON_DIRECTION_LE, false)),
        BuiltinOperator::GREATER => Some((Direction::STABLEHLO_COMPARISON_DIRECTION_GT, false)),
        BuiltinOperator::GREATER_EQUAL => Some((Direction::STABLEHLO_COMPARISON_DIRECTION_GE, false)),
        _ => None,
    })
}

fn turned(direction: Direction) -> Direction {
    match direction {
        Direction::STABLEHLO_COMPARISON_DIRECTION_LT => Direction::STABLEHLO_COMPARISON_DIRECTION_GT,
        Direction::STABLEHLO_COMPARISON_DIRECTION_GT => Direction::STABLEHLO_COMPARISON_DIRECTION_LT,
        Direction::STABLEHLO_COMPARISON_DIRECTION_LE => Direction::STABLEHLO_COMPARISON_DIRECTION_GE,
        Direction::STABLEHLO_COMPARISON_DIRECTION_GE => Direction::STABLEHLO_COMPARISON_DIRECTION_LE,
        same => same,
    }
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let slices = Slices::new(node)?;
    let (index, known) = comparator(node, &slices.types)?;
    let Some(Known { operand, direction, total }) = known else {
        return lower_called(slices, index);
    };
    let dtype = slices.types[operand];
    if total {
        return with_float!(dtype, T => lower_known::<T, i64>(slices, operand, direction, T::rank), undefined(node));
    }
    match dtype {
        TensorType::Bool => lower_known::<Bool, bool>(slices, operand, direction, Bool::get),
        _ => with_float!(dtype, T => lower_known::<T, T>(slices, operand, direction, |x| x),
            with_integer!(dtype, T => lower_known::<T, T>(slices, operand, direction, |x| x),
                lower_called(slices, index))),
    }
}

/// Compares by a key of one operand.
fn lower_known<T: Element, K: PartialOrd + Copy + 'static>(
    slices: Slices,
    operand: usize,
    direction: Direction,
    key: fn(T) -> K,
) -> Lowered {
    let run = FnKernel::new("sort", move |io: &mut Io<'_>, _| {
        let elements = io.inputs.get::<T>(operand)?;
        if elements.len() != slices.count * slices.len {
            return Err(wrong_size());
        }
        let mut keys: Vec<K> = Vec::with_capacity(slices.len);
        sort_slices(io, &slices, |start, a_to_b| {
            keys.clear();
            keys.extend((0..slices.len).map(|i| key(elements[start + i * slices.step])));
            a_to_b.sort(&mut |a, b| Ok(holds(direction, &keys[a as usize], &keys[b as usize])))
        })
    });
    Ok(run.boxed())
}

/// Compares by calling the region.
fn lower_called(slices: Slices, subgraph: usize) -> Lowered {
    let sizes: Vec<usize> = slices.types.iter().map(|&t| element_bytes(t)).collect::<Result<_, _>>()?;
    let run = FnKernel::new("sort_by_subgraph", move |io: &mut Io<'_>, cx| {
        let pairs: Vec<TensorType> = slices.types.iter().flat_map(|&t| [t, t]).collect();
        let mut caller = Caller::new(subgraph, &pairs)?;
        let inputs = io.inputs;
        sort_slices(io, &slices, |start, order| {
            order.sort(&mut |a, b| {
                for (i, &size) in sizes.iter().enumerate() {
                    for (place, at) in [(2 * i, a), (2 * i + 1, b)] {
                        let at = (start + at as usize * slices.step) * size;
                        let from = inputs.bytes(i)?.get(at..at + size).ok_or_else(wrong_size)?;
                        caller.element(place).copy_from_slice(from);
                    }
                }
                let answer = caller.call(cx, &[TensorType::Bool])?;
                Ok(answer.first().and_then(|v| v.bytes().first()).is_some_and(|&b| b != 0))
            })
        })
    });
    Ok(run.boxed())
}

/// The order of one slice's elements.
struct Order {
    places: Vec<u32>,
    merged: Vec<u32>,
}

impl Order {
    /// A merge sort from the bottom up: stable, and content with comparisons that contradict each other.
    fn sort(&mut self, before: &mut dyn FnMut(u32, u32) -> Result<bool, OpError>) -> Result<(), OpError> {
        let len = self.places.len();
        let mut width = 1;
        while width < len {
            for low in (0..len).step_by(2 * width) {
                let (middle, high) = ((low + width).min(len), (low + 2 * width).min(len));
                let (mut a, mut b) = (low, middle);
                for to in low..high {
                    // The right one goes first only if it must stand before the left one.
                    let take_right = a == middle || (b < high && before(self.places[b], self.places[a])?);
                    let from = if take_right { &mut b } else { &mut a };
                    self.merged[to] = self.places[*from];
                    *from += 1;
                }
            }
            core::mem::swap(&mut self.places, &mut self.merged);
            width *= 2;
        }
        Ok(())
    }
}

/// Puts every slice of all operands into the order that `sort` finds.
fn sort_slices(
    io: &mut Io<'_>,
    slices: &Slices,
    mut sort: impl FnMut(usize, &mut Order) -> Result<(), OpError>,
) -> Result<(), OpError> {
    if slices.len == 0 {
        return Ok(());
    }
    let mut order = Order { places: vec![0; slices.len], merged: vec![0; slices.len] };
    for slice in 0..slices.count {
        let start = slices.start(slice);
        for (place, i) in order.places.iter_mut().zip(0..) {
            *place = i;
        }
        sort(start, &mut order)?;
        for (i, &dtype) in slices.types.iter().enumerate() {
            let size = element_bytes(dtype)?;
            let from = io.inputs.bytes(i)?;
            let to = io.outputs.bytes(i)?;
            if from.len() != slices.count * slices.len * size || to.len() != from.len() {
                return Err(wrong_size());
            }
            for (position, &place) in order.places.iter().enumerate() {
                let s = (start + place as usize * slices.step) * size;
                let t = (start + position * slices.step) * size;
                to[t..t + size].copy_from_slice(&from[s..s + size]);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_is_stable_and_survives_nonsense() {
        let keys = [3, 1, 2, 1, 3, 0, 2];
        let mut order = Order { places: (0..7).collect(), merged: vec![0; 7] };
        order.sort(&mut |a, b| Ok(keys[a as usize] < keys[b as usize])).unwrap();
        assert_eq!(order.places, [5, 1, 3, 2, 6, 0, 4]);
        for answer in [true, false] {
            order.sort(&mut |_, _| Ok(answer)).unwrap();
            let mut places = order.places.clone();
            places.sort_unstable();
            assert!(places.into_iter().eq(0..7));
        }
    }
}
