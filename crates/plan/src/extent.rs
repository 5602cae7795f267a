//! What the functions of a chain run over: elements of one shape, or rows of it and a number of each.

use ferrolite_ops::{Elementwise, Shape};

use crate::graph::Graph;
use crate::infer::Inferred;

/// Rows of fewer elements are not worth a call each.
const SHORTEST_ROW: usize = 16;
/// Rows of more elements are no better off in one step: they do not stay in the first cache.
const LONGEST_ROW: usize = 4096;

/// A shape, and how many elements of its innermost dimensions are a row; 1 where no function is of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub shape: Shape,
    pub row: usize,
}

impl Extent {
    /// What a node's function runs over; `None` if it is not all known, empty, or not to be put together with others.
    pub fn of(graph: &Graph, inferred: &Inferred, n: usize, function: &Elementwise) -> Option<Self> {
        let node = &graph.nodes[n];
        let shape = |t: usize| inferred.infos[t].as_ref().map(|info| &info.shape);
        let &[output] = node.outputs.as_slice() else { return None };
        let result = shape(output).filter(|_| !inferred.dynamic[output])?;
        let operand = |&i: &usize| node.inputs.get(i).copied().flatten();
        if function.row > 1 {
            let source = function.operands.first().and_then(operand).filter(|&t| !inferred.dynamic[t])?;
            let fits = (SHORTEST_ROW..=LONGEST_ROW).contains(&function.row) && has_elements(result);
            return shape(source)
                .filter(|_| fits)
                .map(|shape| Self { shape: shape.clone(), row: function.row });
        }
        let spread = |operand: &Shape| operand.broadcast(result).is_ok_and(|spread| spread == *result);
        let all = function.operands.iter().all(|i| operand(i).and_then(shape).is_some_and(spread));
        (all && has_elements(result)).then(|| Self { shape: result.clone(), row: 1 })
    }

    /// What functions over both run over together.
    pub fn join(&self, other: &Self) -> Option<Self> {
        if self.shape == other.shape {
            let (less, more) = if self.row < other.row { (self, other) } else { (other, self) };
            return (less.row == 1 || less.row == more.row).then(|| more.clone());
        }
        let of_rows = |rows: &Self, numbers: &Self| {
            (rows.row > 1 && numbers.row == 1 && rows.numbers() == numbers.shape).then(|| rows.clone())
        };
        of_rows(self, other).or_else(|| of_rows(other, self))
    }

    /// The shape of a number of each row.
    fn numbers(&self) -> Shape {
        let mut left = self.row;
        let inner = self.shape.iter().rev().map(|&len| {
            let of_row = left > 1;
            left /= if of_row { len.max(1) } else { 1 };
            if of_row { 1 } else { len }
        });
        let mut dims: Vec<usize> = inner.collect();
        dims.reverse();
        dims.into_iter().collect()
    }
}

fn has_elements(shape: &Shape) -> bool {
    shape.num_elements().is_ok_and(|n| n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(dims: &[usize], row: usize) -> Extent {
        Extent { shape: dims.iter().copied().collect(), row }
    }

    #[test]
    fn elements_rows_and_numbers_of_rows_go_together() {
        let rows: &[(&str, Extent, Extent, Option<Extent>)] = &[
            ("elements", extent(&[2, 64], 1), extent(&[2, 64], 1), Some(extent(&[2, 64], 1))),
            ("elements and rows", extent(&[2, 64], 1), extent(&[2, 64], 64), Some(extent(&[2, 64], 64))),
            ("rows", extent(&[2, 64], 64), extent(&[2, 64], 64), Some(extent(&[2, 64], 64))),
            ("rows of two kinds", extent(&[2, 8, 8], 64), extent(&[2, 8, 8], 8), None),
            ("numbers", extent(&[2, 64], 64), extent(&[2, 1], 1), Some(extent(&[2, 64], 64))),
            (
                "numbers of planes",
                extent(&[2, 8, 8], 64),
                extent(&[2, 1, 1], 1),
                Some(extent(&[2, 8, 8], 64)),
            ),
            (
                "ones inside",
                extent(&[2, 1, 64, 1], 64),
                extent(&[2, 1, 1, 1], 1),
                Some(extent(&[2, 1, 64, 1], 64)),
            ),
            ("numbers without a dimension", extent(&[2, 64], 64), extent(&[2], 1), None),
            ("numbers of no rows", extent(&[2, 64], 1), extent(&[2, 1], 1), None),
            ("rows of numbers", extent(&[2, 64, 32], 32), extent(&[2, 64, 1], 64), None),
            ("other shapes", extent(&[2, 64], 64), extent(&[3, 64], 1), None),
        ];
        for (name, a, b, want) in rows {
            assert_eq!(a.join(b), *want, "{name}");
            assert_eq!(b.join(a), *want, "{name}, the other way round");
        }
    }
}
