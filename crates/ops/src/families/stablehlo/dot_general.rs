//! STABLEHLO_DOT_GENERAL: sums of products along any dimensions of two tensors, others of which run in parallel.
//!
//! Both operands are brought into rows along the sums, `[batch, row, sum]`, unless they lie that way, and multiplied.

use ferrolite_kernels::scratch::{Scratch, ScratchSize};
use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::StablehloDotGeneralOptionsT;

use super::product::{Ends, Kind, Product, Sum, elements, kind};
use super::walk::Walk;
use super::{attributes, strides, zeros};
use crate::error::OpError;
use crate::families::elementwise::Lowered;
use crate::io::Inputs;
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The operator of this module.
pub(crate) const SPECS: &[OpSpec] =
    &[OpSpec::builtin(BuiltinOperator::STABLEHLO_DOT_GENERAL, infer, lower).inputs(2, 2)];

/// One operand: its dimensions in the order batch, free, contracted.
struct Side {
    shape: Shape,
    order: Vec<usize>,
    batch: usize,
    contracted: usize,
}

impl Side {
    fn new(
        shape: &Shape,
        batch: Option<Vec<i64>>,
        contracted: Option<Vec<i64>>,
        what: &str,
    ) -> Result<Self, OpError> {
        let rank = shape.rank();
        let batch = attributes::axes(batch, rank, &format!("the list of {what} batch dimensions"))?;
        let contracted =
            attributes::axes(contracted, rank, &format!("the list of {what} contracted dimensions"))?;
        if let Some(axis) = batch.iter().find(|axis| contracted.contains(axis)) {
            return Err(OpError::invalid(format!(
                "{what} dimension {axis} is both a batch and a contracted one: export the model again"
            )));
        }
        let free = (0..rank).filter(|axis| !batch.contains(axis) && !contracted.contains(axis));
        let order = batch.iter().copied().chain(free).chain(contracted.iter().copied()).collect();
        Ok(Self { shape: shape.clone(), order, batch: batch.len(), contracted: contracted.len() })
    }

    fn sizes(&self, range: core::ops::Range<usize>) -> Vec<usize> {
        self.order[range].iter().map(|&axis| self.shape[axis]).collect()
    }

    fn batch_sizes(&self) -> Vec<usize> {
        self.sizes(0..self.batch)
    }

    fn free_sizes(&self) -> Vec<usize> {
        self.sizes(self.batch..self.order.len() - self.contracted)
    }

    fn contracted_sizes(&self) -> Vec<usize> {
        self.sizes(self.order.len() - self.contracted..self.order.len())
    }

    /// The walk that brings elements into order; `None` if they are.
    fn walk(&self) -> Option<Walk> {
        let strides = strides(&self.shape);
        let mut long = self.order.iter().filter(|&&axis| self.shape[axis] > 1);
        if long.clone().is_sorted() {
            return None;
        }
        let dims = long.by_ref().map(|&axis| (self.shape[axis], strides[axis]));
        Some(Walk::new(dims))
    }
}

/// Both operands and the result's shape.
fn sides(node: &Node<'_>) -> Result<([Side; 2], Shape), OpError> {
    let options = node.options::<StablehloDotGeneralOptionsT>()?;
    let left = Side::new(
        node.shape(0)?,
        options.lhs_batching_dimensions,
        options.lhs_contracting_dimensions,
        "left",
    )?;
    let right = Side::new(
        node.shape(1)?,
        options.rhs_batching_dimensions,
        options.rhs_contracting_dimensions,
        "right",
    )?;
    if left.batch_sizes() != right.batch_sizes() || left.contracted_sizes() != right.contracted_sizes() {
        return Err(OpError::invalid(format!(
            "operands of shapes {} and {} do not match: batch dimensions {:?} and {:?}, contracted ones {:?} and {:?}",
            left.shape,
            right.shape,
            left.batch_sizes(),
            right.batch_sizes(),
            left.contracted_sizes(),
            right.contracted_sizes()
        )));
    }
    let dims = left.batch_sizes().into_iter().chain(left.free_sizes()).chain(right.free_sizes());
    let result = attributes::shape(dims.collect::<Vec<_>>())?;
    Ok(([left, right], result))
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(sides(node)?.1))
}

fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let (sides, result) = sides(node)?;
    let nothing = [result.clone(), Shape::new(&sides[0].contracted_sizes())];
    if nothing.iter().any(|shape| shape.contains(&0)) && !node.output(0)?.is_quantized() {
        return zeros();
    }
    match kind(node)? {
        Kind::F32(ends) => lower_sums(cx, sides, &result, ends),
        Kind::F64(ends) => lower_sums(cx, sides, &result, ends),
        Kind::I64(ends) => lower_sums(cx, sides, &result, ends),
        Kind::C64(ends) => lower_sums(cx, sides, &result, ends),
        Kind::C128(ends) => lower_sums(cx, sides, &result, ends),
    }
}

/// Where an operand's rows come from.
struct Rows {
    len: usize,
    walk: Option<Walk>,
}

impl Rows {
    /// The rows, brought into order in `sorted` where they are not.
    fn read<'a, W: Sum>(
        &self,
        (inputs, i): (Inputs<'a>, usize),
        ends: &Ends<W>,
        wide: &'a mut [W],
        sorted: &'a mut [W],
    ) -> Result<&'a [W], OpError> {
        let from: &[W] = if ends.plain.0 {
            elements(inputs.bytes(i)?)?
        } else {
            (ends.widen)(inputs, i, ends.zeros[i], wide)?;
            wide
        };
        if from.len() != self.len {
            return Err(crate::families::elementwise::wrong_size());
        }
        let Some(walk) = &self.walk else { return Ok(from) };
        for (to, offset) in sorted.iter_mut().zip(walk.clone()) {
            *to = from[offset];
        }
        Ok(sorted)
    }
}

fn lower_sums<W: Sum>(cx: &LowerCx<'_>, sides: [Side; 2], result: &Shape, ends: Ends<W>) -> Lowered {
    let size = |dims: Vec<usize>| Shape::new(&dims).num_elements();
    let [left, right] = &sides;
    let count = size(left.batch_sizes())?;
    let sizes = [size(left.free_sizes())?, size(right.free_sizes())?, size(left.contracted_sizes())?];
    let product = Product::new(cx.cpu, count, sizes);
    let result_len = result.num_elements()?;
    let rows = [left, right].map(|side| -> Result<Rows, OpError> {
        Ok(Rows { len: side.shape.num_elements()?, walk: side.walk() })
    });
    let [left, right] = rows;
    let rows = [left?, right?];
    let product_bytes = product.scratch_bytes::<W>(cx);
    let lens: [usize; 4] = [
        if ends.plain.0 { 0 } else { rows[0].len },
        rows[0].walk.as_ref().map_or(0, |_| rows[0].len),
        if ends.plain.0 { 0 } else { rows[1].len },
        rows[1].walk.as_ref().map_or(0, |_| rows[1].len),
    ];
    let sums_len = if ends.plain.1 { 0 } else { result_len };
    let scratch = lens.iter().fold(ScratchSize::new().with::<u8>(product_bytes), |s, &n| s.with::<W>(n));
    let scratch = scratch.with::<W>(sums_len);
    let (name, ops) = (product.name::<W>("dot_general"), product.ops());
    let run = FnKernel::new(name, move |io, cx| {
        let mut scratch = Scratch::new(&mut *io.scratch);
        let memory = scratch.take::<u8>(product_bytes);
        let [wide_left, sorted_left, wide_right, sorted_right] = lens.map(|n| scratch.take::<W>(n));
        let sums = scratch.take::<W>(sums_len);
        let left = rows[0].read((io.inputs, 0), &ends, wide_left, sorted_left)?;
        let right = rows[1].read((io.inputs, 1), &ends, wide_right, sorted_right)?;
        if ends.plain.1 {
            return W::multiply(&product, left, right, io.outputs.get::<W>(0)?, memory, cx.par());
        }
        W::multiply(&product, left, right, sums, memory, cx.par())?;
        (ends.narrow)(sums, io.outputs.bytes(0)?, ends.rescale)
    });
    Ok(run.scratch(scratch.bytes()).ops(ops).boxed())
}
