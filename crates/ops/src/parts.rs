//! Operators that only join tensors or take them apart, where pieces are runs of the whole: the planner then gives both
//! the same memory.

use crate::node::Node;
use crate::spec::OpSpec;

/// Which operands are, byte for byte, runs of elements of which other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Each row of output 0 is the rows of its inputs.
    Joined {
        /// Elements of a row; all of the output where there is nothing around the inputs.
        row: usize,
        /// For each input the element of a row that it begins at.
        starts: Vec<usize>,
    },
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
    /// Inputs with these lengths along `axis` of output `whole`, one behind the other.
    pub(crate) fn joined(whole: &[usize], axis: usize, lens: impl Iterator<Item = usize>) -> Option<Self> {
        let row = whole.get(axis..)?.iter().product();
        Some(Self::Joined { row, starts: Self::starts(whole, axis, lens)? })
    }

    /// Outputs with these lengths along `axis` of input `of`, one behind the other, if they are runs of it.
    pub(crate) fn taken(
        of: usize,
        whole: &[usize],
        axis: usize,
        lens: impl Iterator<Item = usize>,
    ) -> Option<Self> {
        let starts = Self::starts(whole, axis, lens)?;
        whole[..axis].iter().all(|&d| d == 1).then_some(Self::Taken { of, starts })
    }

    /// For pieces of these lengths along `axis` of `whole` the element of a row that each begins at.
    fn starts(whole: &[usize], axis: usize, lens: impl Iterator<Item = usize>) -> Option<Vec<usize>> {
        let inner: usize = whole.get(axis + 1..)?.iter().product();
        let mut next = 0;
        let starts = lens.map(|len| {
            let start = next * inner;
            next += len;
            start
        });
        Some(starts.collect())
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
        let taken = |whole: &[usize], axis| Parts::taken(1, whole, axis, [1, 2, 0].into_iter());
        let starts = |starts: [usize; 3]| Some(Parts::Taken { of: 1, starts: starts.to_vec() });
        assert_eq!(taken(&[3, 4], 0), starts([0, 4, 12]));
        assert_eq!(taken(&[1, 1, 3, 2], 2), starts([0, 2, 6]));
        assert_eq!(taken(&[2, 3], 1), None);
        assert_eq!(taken(&[3], 1), None);
        let joined = |whole: &[usize], axis| Parts::joined(whole, axis, [1, 2, 0].into_iter());
        let rows = |row, starts: [usize; 3]| Some(Parts::Joined { row, starts: starts.to_vec() });
        assert_eq!(joined(&[3, 4], 0), rows(12, [0, 4, 12]));
        assert_eq!(joined(&[5, 3, 2], 1), rows(6, [0, 2, 6]));
        assert_eq!(joined(&[3], 1), None);
    }

    #[test]
    fn orders_that_move_nothing() {
        let first = Some(Parts::Taken { of: 0, starts: vec![0] });
        assert_eq!(Parts::reordered(&[1, 5, 1, 6], &[1, 0, 3, 2]), first);
        assert_eq!(Parts::reordered(&[2, 5, 1, 6], &[1, 0, 3, 2]), None);
        assert_eq!(Parts::reordered(&[], &[]), first);
    }
}
