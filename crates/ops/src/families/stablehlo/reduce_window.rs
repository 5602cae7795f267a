//! STABLEHLO_REDUCE_WINDOW and the deprecated REDUCE_WINDOW: a window is moved over a tensor and the elements under it
//! are combined. Positions of padding hold the initial value and are combined too.

use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::{ReduceWindowOptionsT, StablehloReduceWindowOptionsT};

use smallvec::SmallVec;

use super::attributes::{self, Window};
use super::quantized::refuse_quantized;
use super::reducer::{
    Body, Caller, Nan, Reducer, Reducible, element_bytes, no_such_function, operand_types, single,
};
use super::types::with_value;
use super::{ANY, strides, undefined};
use crate::TensorType;
use crate::error::OpError;
use crate::families::elementwise::{Lowered, wrong_size};
use crate::io::Io;
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::{OpSpec, TypeRow};

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::STABLEHLO_REDUCE_WINDOW, infer, lower)
        .inputs(2, ANY)
        .outputs(1, ANY)
        .stateful(),
    OpSpec::builtin(BuiltinOperator::REDUCE_WINDOW, infer_deprecated, lower_deprecated)
        .inputs(5, 5)
        .types(DEPRECATED_TYPES),
];

/// Element types of REDUCE_WINDOW: the tensor, its initial value, and the window's dimensions, strides and dilations.
const DEPRECATED_TYPES: &[TypeRow] = {
    macro_rules! rows {
        ($($t:ident)*) => { crate::types![$(($t, $t, Int64) -> ($t)),*] };
    }
    rows!(Float32 Float64 Float16 BFloat16 Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Bool)
};

/// How the windows lie, and over what.
struct Windows {
    types: Vec<TensorType>,
    source: Shape,
    windows: Vec<Window>,
    result: Shape,
}

impl Windows {
    fn new(source: Shape, types: Vec<TensorType>, windows: Vec<Window>) -> Result<Self, OpError> {
        let sizes: Vec<usize> = windows.iter().map(|w| w.results()).collect::<Result<_, _>>()?;
        // The positions of a window are counted too.
        attributes::shape(windows.iter().map(|w| w.size))?;
        Ok(Self { types, source, result: attributes::shape(sizes)?, windows })
    }

    fn positions(&self) -> f64 {
        self.windows.iter().map(|w| w.size as f64).product()
    }
}

/// The windows of STABLEHLO_REDUCE_WINDOW.
fn windows(node: &Node<'_>) -> Result<Windows, OpError> {
    let (types, source) = (operand_types(node)?, node.shape(0)?.clone());
    let options = node.options::<StablehloReduceWindowOptionsT>()?;
    let rank = source.rank();
    let sizes = attributes::counts(options.window_dimensions, rank, (1, 1), "the list of window sizes")?;
    let steps = attributes::counts(options.window_strides, rank, (1, 1), "the list of window strides")?;
    let base = attributes::counts(options.base_dilations, rank, (1, 1), "the list of base dilations")?;
    let dilations =
        attributes::counts(options.window_dilations, rank, (1, 1), "the list of window dilations")?;
    let padding = attributes::pairs(options.padding, rank, "the padding")?;
    let windows = (0..rank).map(|i| Window {
        len: source[i],
        size: sizes[i],
        stride: steps[i],
        base_dilation: base[i],
        dilation: dilations[i],
        padding: padding[i],
    });
    Windows::new(source.clone(), types, windows.collect())
}

/// The windows of the deprecated operator: inputs in place of options, no padding.
fn deprecated_windows(node: &Node<'_>) -> Result<Windows, InferError> {
    refuse_quantized(node)?;
    let source = node.shape(0)?.clone();
    if node.shape(1)?.num_elements()? != 1 {
        return Err(OpError::invalid("the initial value must be a single element").into());
    }
    let rank = source.rank();
    let list = |i: usize, what: &str| -> Result<Vec<usize>, InferError> {
        let values = node.ints(i)?.to_vec();
        if values.len() != rank {
            return Err(
                OpError::invalid(format!("{what} must have {rank} entries, not {}", values.len())).into()
            );
        }
        Ok(attributes::counts(Some(values), rank, (1, 1), what)?)
    };
    let (sizes, steps) = (list(2, "the list of window sizes")?, list(3, "the list of window strides")?);
    let dilations = list(4, "the list of window dilations")?;
    let windows = (0..rank).map(|i| Window {
        len: source[i],
        size: sizes[i],
        stride: steps[i],
        base_dilation: 1,
        dilation: dilations[i],
        padding: (0, 0),
    });
    Ok(Windows::new(source.clone(), vec![node.dtype(0)?], windows.collect())?)
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let result = windows(node)?.result;
    Ok(node.outputs.iter().map(|_| OutputShape::Known(result.clone())).collect())
}

fn infer_deprecated(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(deprecated_windows(node)?.result))
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let windows = windows(node)?;
    let options = node.options::<StablehloReduceWindowOptionsT>()?;
    match Body::new(node, options.body_subgraph_index, &windows.types)? {
        Body::Known(reducer) => lower_known(node, windows, reducer),
        Body::Subgraph(index) => lower_called(windows, index),
    }
}

fn lower_deprecated(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let windows = deprecated_windows(node)?;
    match Body::named(node.options::<ReduceWindowOptionsT>()?.reduce_function)? {
        Body::Known(reducer) => lower_known(node, windows, reducer),
        Body::Subgraph(_) => undefined(node),
    }
}

fn lower_known(node: &Node<'_>, windows: Windows, reducer: Reducer) -> Lowered {
    // The reference runtime combines truths where the region combines bits, and keeps the later of an element and NaN. It
    // has no STABLEHLO_OR to do so with.
    let reducer = match reducer {
        Reducer::And => Reducer::All,
        other => other.with_nan(Nan::IsForgotten),
    };
    with_value!(node.dtype(0)?, T => lower_folded::<T>(windows, reducer), undefined(node))
}

/// Where the elements of a window lie, one table per dimension.
pub(super) struct Reach {
    /// Results per dimension.
    results: Vec<usize>,
    /// Positions of the window per dimension.
    sizes: Vec<usize>,
    /// Per dimension: for each result and position the offset of the element, or `PADDING`.
    offsets: Vec<Vec<usize>>,
}

/// A position without an element.
const PADDING: usize = usize::MAX;

/// The most positions that windows may have along one dimension: padding can be far larger than what it surrounds.
const MAX_POSITIONS: usize = 1 << 24;

impl Reach {
    /// Windows over dimensions of these strides; those that are `reversed` are looked through from their other end.
    ///
    /// # Errors
    /// When the windows have too many positions.
    pub fn new(windows: &[Window], strides: &[usize], reversed: &[bool]) -> Result<Self, OpError> {
        let mut reach = Self { results: Vec::new(), sizes: Vec::new(), offsets: Vec::new() };
        for (dim, (window, &stride)) in windows.iter().zip(strides).enumerate() {
            let reversed = reversed.get(dim).copied().unwrap_or(false);
            let results = window.results()?;
            let positions = results.checked_mul(window.size).filter(|&n| n <= MAX_POSITIONS).ok_or_else(|| {
                OpError::unsupported(format!(
                    "{results} windows of {} positions along one dimension are more than {MAX_POSITIONS}: pad and dilate \
                     less",
                    window.size
                ))
            })?;
            let mut offsets = Vec::with_capacity(positions);
            for result in 0..results {
                for position in 0..window.size {
                    let position = if reversed { window.size - 1 - position } else { position };
                    let element = window.element(result, position);
                    offsets.push(element.map_or(PADDING, |e| e * stride));
                }
            }
            reach.results.push(results);
            reach.sizes.push(window.size);
            reach.offsets.push(offsets);
        }
        Ok(reach)
    }

    /// Calls `visit` with the offset of every position of the window for result `index`, in row-major order.
    pub fn visit<E>(
        &self,
        index: usize,
        mut visit: impl FnMut(Option<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at: SmallVec<[usize; 8]> = smallvec::smallvec![0; self.results.len()];
        let mut rest = index;
        for (at, &results) in at.iter_mut().zip(&self.results).rev() {
            *at = rest % results;
            rest /= results;
        }
        self.visit_from(0, &at, Some(0), &mut visit)
    }

    fn visit_from<E>(
        &self,
        dim: usize,
        at: &[usize],
        base: Option<usize>,
        visit: &mut impl FnMut(Option<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(&size) = self.sizes.get(dim) else { return visit(base) };
        for &offset in &self.offsets[dim][at[dim] * size..][..size] {
            let next = base.filter(|_| offset != PADDING).map(|base| base + offset);
            self.visit_from(dim + 1, at, next, visit)?;
        }
        Ok(())
    }
}

/// Innermost dimensions over which the window does not reach: they are rows that are combined side by side.
fn row_dims(windows: &[Window]) -> usize {
    let still = |w: &&Window| w.size == 1 && w.stride == 1 && w.base_dilation == 1 && w.padding == (0, 0);
    windows.iter().rev().take_while(still).count()
}

fn lower_folded<T: Reducible>(windows: Windows, reducer: Reducer) -> Lowered {
    const BLOCK: usize = 128;
    let fold = T::fold(reducer).ok_or_else(|| no_such_function(reducer, T::DTYPE))?;
    let outer = windows.windows.len() - row_dims(&windows.windows);
    let row: usize = windows.source[outer..].iter().product();
    let (source_len, result_len) = (windows.source.num_elements()?, windows.result.num_elements()?);
    let ops = result_len as f64 * windows.positions();
    let reach = if result_len == 0 {
        Reach { results: Vec::new(), sizes: Vec::new(), offsets: Vec::new() }
    } else {
        Reach::new(&windows.windows[..outer], &strides(&windows.source)[..outer], &[])?
    };
    let name = format!("reduce_window_{}", T::DTYPE.name().to_lowercase());
    let run = FnKernel::new(name, move |io, cx| {
        let (from, init) = (io.inputs.get::<T>(0)?, single::<T>(io.inputs, 1)?);
        let to = io.outputs.get::<T>(0)?;
        if from.len() != source_len || to.len() != result_len {
            return Err(wrong_size());
        }
        if to.is_empty() {
            return Ok(());
        }
        let padding = [init; BLOCK];
        cx.par().chunks_mut(to, row, |index, to| {
            for (block, to) in to.chunks_mut(BLOCK).enumerate() {
                let mut sums = [init.widen(); BLOCK];
                let sums = &mut sums[..to.len()];
                let done: Result<(), core::convert::Infallible> = reach.visit(index, |offset| {
                    let elements = match offset {
                        Some(offset) => &from[offset + block * BLOCK..][..sums.len()],
                        None => &padding[..sums.len()],
                    };
                    (fold.row)(sums, elements);
                    Ok(())
                });
                let Ok(()) = done;
                to.iter_mut().zip(&*sums).for_each(|(to, &sum)| *to = T::narrow(sum));
            }
        });
        Ok(())
    });
    Ok(run.ops(ops).boxed())
}

/// Any function, by calling its subgraph for every element.
fn lower_called(windows: Windows, subgraph: usize) -> Lowered {
    let types = windows.types.clone();
    let sizes: Vec<usize> = types.iter().map(|&t| element_bytes(t)).collect::<Result<_, _>>()?;
    let result_len = windows.result.num_elements()?;
    let reach = Reach::new(&windows.windows, &strides(&windows.source), &[])?;
    let run = FnKernel::new("reduce_window_by_subgraph", move |io: &mut Io<'_>, cx| {
        let count = types.len();
        let both: Vec<TensorType> = types.iter().chain(&types).copied().collect();
        let mut caller = Caller::new(subgraph, &both)?;
        for index in 0..result_len {
            for i in 0..count {
                caller.element(i).copy_from_slice(io.inputs.bytes(count + i)?);
            }
            reach.visit(index, |offset| -> Result<(), OpError> {
                for (i, &size) in sizes.iter().enumerate() {
                    let from = match offset {
                        Some(offset) => io.inputs.bytes(i)?.get(offset * size..).and_then(|b| b.get(..size)),
                        None => Some(io.inputs.bytes(count + i)?),
                    };
                    caller.element(count + i).copy_from_slice(from.ok_or_else(wrong_size)?);
                }
                for (i, value) in caller.call(cx, &types)?.iter().enumerate() {
                    caller.element(i).copy_from_slice(value.bytes());
                }
                Ok(())
            })?;
            for (i, &size) in sizes.iter().enumerate() {
                let to = io.outputs.bytes(i)?.get_mut(index * size..).and_then(|b| b.get_mut(..size));
                to.ok_or_else(wrong_size)?.copy_from_slice(caller.element(i));
            }
        }
        Ok(())
    });
    Ok(run.boxed())
}
