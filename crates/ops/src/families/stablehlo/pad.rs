//! STABLEHLO_PAD, which pads at the edges (taking elements away where negative) and between elements.

use ferrolite_model::options::StablehloPadOptionsT;
use ferrolite_model::{BuiltinOperator, TensorType};

use super::attributes::{self, dilated};
use crate::error::OpError;
use crate::families::elementwise::Lowered;
use crate::families::moving::{Background, BoxCopy, Moves};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::{OpSpec, TypeRow};

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] =
    &[OpSpec::builtin(BuiltinOperator::STABLEHLO_PAD, infer_pad, lower_pad).inputs(2, 2).types(PADDED)];

/// Element types of STABLEHLO_PAD.
const PADDED: &[TypeRow] = crate::same_types![
    Float32, Float16, BFloat16, Float64, Int8, UInt8, Int16, UInt16, Int32, UInt32, Int64, UInt64, Bool,
    Complex64, Complex128
];

/// How the elements along one dimension are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spread {
    /// Positions of the result.
    result: usize,
    /// First element that is kept, and how many are.
    kept: (usize, usize),
    /// Where the first kept element goes, and steps from one to the next.
    to: usize,
    step: usize,
}

impl Spread {
    /// `len` elements, `step` apart, with `low` and `high` positions of padding around.
    fn new(len: usize, step: usize, low: i64, high: i64) -> Option<Self> {
        let spread = dilated(len, step)?;
        let result = usize::try_from(spread.checked_add(low)?.checked_add(high)?.max(0)).ok()?;
        // Element `i` goes to `low + i * step`, which must lie in `0..result`.
        let stride = i64::try_from(step).ok()?;
        let first = if low >= 0 { 0 } else { usize::try_from(low.checked_neg()?).ok()?.div_ceil(step) };
        let end = i64::try_from(result).ok()?.checked_sub(low)?;
        let end = if end <= 0 { 0 } else { usize::try_from(end).ok()?.div_ceil(step).min(len) };
        let first = first.min(end);
        let kept = end - first;
        let first = if kept == 0 { 0 } else { first };
        let to = if kept == 0 { 0 } else { low + i64::try_from(first).ok()?.checked_mul(stride)? };
        Some(Self {
            result,
            kept: (first, kept),
            to: usize::try_from(to).ok()?,
            step: if kept > 1 { step } else { 1 },
        })
    }
}

fn too_large(shape: &Shape) -> OpError {
    OpError::invalid(format!("the padded {shape} is larger than memory"))
}

fn check_single(node: &Node<'_>) -> Result<(), OpError> {
    let value = node.shape(1)?;
    if value.num_elements()? == 1 {
        return Ok(());
    }
    Err(OpError::invalid(format!("padding takes a single element, not a tensor of shape {value}")))
}

fn pad_spreads(node: &Node<'_>) -> Result<Vec<Spread>, OpError> {
    let shape = node.shape(0)?;
    check_single(node)?;
    let options = node.options::<StablehloPadOptionsT>()?;
    let rank = shape.rank();
    let low = attributes::per_axis(options.edge_padding_low, rank, 0, "the padding in front")?;
    let high = attributes::per_axis(options.edge_padding_high, rank, 0, "the padding behind")?;
    let interior = attributes::counts(options.interior_padding, rank, (0, 0), "the padding in between")?;
    let spreads = (0..rank).map(|axis| {
        let step = interior[axis].checked_add(1)?;
        Spread::new(shape[axis], step, low[axis], high[axis])
    });
    spreads.collect::<Option<Vec<_>>>().ok_or_else(|| too_large(shape))
}

fn result(spreads: &[Spread]) -> Result<Shape, OpError> {
    attributes::shape(spreads.iter().map(|s| s.result))
}

fn infer_pad(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(result(&pad_spreads(node)?)?))
}

/// Copies the kept elements over a background of input 1.
fn lower_pad(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let spreads = pad_spreads(node)?;
    let (shape, dtype): (&Shape, TensorType) = (node.shape(0)?, node.dtype(0)?);
    let result = result(&spreads)?;
    let moves = Moves::new(dtype)?.over(Background::Input(1));
    if spreads.iter().any(|s| s.kept.1 == 0) {
        return moves.kernel("pad", &[&result]);
    }
    let list = |f: fn(&Spread) -> usize| spreads.iter().map(f).collect::<Vec<_>>();
    let (ends, dims) = BoxCopy {
        source: shape,
        start: &list(|s| s.kept.0),
        step: &vec![1; spreads.len()],
        len: &list(|s| s.kept.1),
        result: &result,
        to: &list(|s| s.to),
        to_step: &spreads.iter().map(|s| s.step as isize).collect::<Vec<_>>(),
    }
    .strided();
    moves.step((0, 0), ends, &dims)?.kernel("pad", &[&result])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_spread_and_cut() {
        let spread = |result, kept, to, step| Some(Spread { result, kept, to, step });
        type Row = (&'static str, (usize, usize, i64, i64), Option<Spread>);
        let rows: &[Row] = &[
            ("plain", (3, 1, 0, 0), spread(3, (0, 3), 0, 1)),
            ("edges", (3, 1, 2, 1), spread(6, (0, 3), 2, 1)),
            ("between", (3, 3, 0, 0), spread(7, (0, 3), 0, 3)),
            ("cut in front, within a gap", (3, 3, -1, 0), spread(6, (1, 2), 2, 3)),
            ("cut behind", (3, 3, 0, -1), spread(6, (0, 2), 0, 3)),
            ("cut on both sides", (4, 1, -1, -2), spread(1, (1, 1), 0, 1)),
            ("all cut", (3, 1, -5, 0), spread(0, (0, 0), 0, 1)),
            ("cut and padded", (2, 1, -3, 4), spread(3, (0, 0), 0, 1)),
            ("nothing", (0, 2, 1, 1), spread(2, (0, 0), 0, 1)),
            ("too large", (3, usize::MAX, 0, 0), None),
            ("too far", (3, 1, i64::MAX, 0), None),
            ("least", (3, 1, i64::MIN, 0), None),
        ];
        for (name, (len, step, low, high), want) in rows {
            assert_eq!(Spread::new(*len, *step, *low, *high), *want, "{name}");
        }
    }
}
