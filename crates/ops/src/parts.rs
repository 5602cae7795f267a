//! Operators that only join tensors or take them apart, where pieces are runs of the whole: the planner then gives both
//! the same memory.

use crate::node::Node;
use crate::spec::OpSpec;

/// Which operands are, byte for byte, runs of elements of which other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Output 0 is its inputs; for each of them the element of the output that it begins at.
    Joined(Vec<usize>),
    /// The outputs are runs of an input.
    Taken {
        /// The input.
        of: usize,
        /// For each output the element of the input that it begins at.
        starts: Vec<usize>,
    },
}

/// Tells which operands are parts of which; `None` where pieces are no runs, or are changed on the way.
///
/// A kernel of an operator that joins gets inputs that lie in its output already as [`crate::InputData::InPlace`], and
/// leaves them there.
pub type PartsFn = fn(&Node<'_>) -> Option<Parts>;

impl OpSpec {
    /// Which operands are parts of which, once all shapes are known.
    #[must_use]
    pub fn parts(&self, node: &Node<'_>) -> Option<Parts> {
        self.parts.and_then(|parts| parts(node))
    }
}

impl Parts {
    /// Pieces of these lengths along `axis` of `whole`, one behind the other, of which each is a run: the start of each.
    pub(crate) fn along(
        whole: &[usize],
        axis: usize,
        lens: impl Iterator<Item = usize>,
    ) -> Option<Vec<usize>> {
        let (outer, rest) = whole.split_at_checked(axis)?;
        let inner: usize = rest.get(1..)?.iter().product();
        let mut next = 0;
        let starts = lens.map(|len| {
            let start = next * inner;
            next += len;
            start
        });
        outer.iter().all(|&d| d == 1).then(|| starts.collect())
    }

    /// A box of input 0, whose dimensions are `shape`, if it is one run of elements: along each axis it has `len` positions
    /// from `start` on, `step` apart.
    pub(crate) fn of_box(shape: &[usize], start: &[usize], step: &[isize], len: &[usize]) -> Option<Self> {
        // Elements of the source that lie behind one position of the axis.
        let (mut inner, mut first, mut whole) = (1usize, 0usize, true);
        for (axis, &dim) in shape.iter().enumerate().rev() {
            let run = len[axis] == 1 || (whole && step[axis] == 1);
            if !run || len[axis] == 0 {
                return None;
            }
            whole = whole && len[axis] == dim;
            first += start[axis] * inner;
            inner *= dim;
        }
        Some(Self::Taken { of: 0, starts: vec![first] })
    }

    /// Input 0 with its axes in another `order`, if that moves no element.
    pub(crate) fn reordered(shape: &[usize], order: &[usize]) -> Option<Self> {
        order
            .iter()
            .filter(|&&axis| shape[axis] != 1)
            .is_sorted()
            .then(|| Self::Taken { of: 0, starts: vec![0] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_that_are_runs() {
        type Row = (&'static str, [usize; 3], [isize; 3], [usize; 3], Option<usize>);
        // Of a tensor of shape [2, 3, 4].
        let rows: [Row; 9] = [
            ("everything", [0, 0, 0], [1, 1, 1], [2, 3, 4], Some(0)),
            ("the last of the outermost", [1, 0, 0], [1, 1, 1], [1, 3, 4], Some(12)),
            ("rows of one", [1, 1, 0], [1, 1, 1], [1, 2, 4], Some(16)),
            ("part of a row", [0, 2, 1], [1, 1, 1], [1, 1, 2], Some(9)),
            ("steps that no second position takes", [1, 2, 3], [-1, 5, 2], [1, 1, 1], Some(23)),
            ("parts of two rows", [0, 0, 0], [1, 1, 1], [1, 2, 2], None),
            ("a column", [0, 0, 1], [1, 1, 1], [2, 3, 1], None),
            ("every other", [0, 0, 0], [1, 1, 2], [1, 1, 2], None),
            ("nothing", [0, 0, 0], [1, 1, 1], [0, 3, 4], None),
        ];
        for (name, start, step, len, want) in rows {
            let want = want.map(|start| Parts::Taken { of: 0, starts: vec![start] });
            assert_eq!(Parts::of_box(&[2, 3, 4], &start, &step, &len), want, "{name}");
        }
    }

    #[test]
    fn pieces_are_runs_where_nothing_is_around_their_axis() {
        let along = |whole: &[usize], axis| Parts::along(whole, axis, [1, 2, 0].into_iter());
        assert_eq!(along(&[3, 4], 0), Some(vec![0, 4, 12]));
        assert_eq!(along(&[1, 1, 3, 2], 2), Some(vec![0, 2, 6]));
        assert_eq!(along(&[2, 3], 1), None);
        assert_eq!(along(&[3], 1), None);
    }

    #[test]
    fn orders_that_move_nothing() {
        let first = Some(Parts::Taken { of: 0, starts: vec![0] });
        assert_eq!(Parts::reordered(&[1, 5, 1, 6], &[1, 0, 3, 2]), first);
        assert_eq!(Parts::reordered(&[2, 5, 1, 6], &[1, 0, 3, 2]), None);
        assert_eq!(Parts::reordered(&[], &[]), first);
    }
}
