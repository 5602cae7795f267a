//! Walking operands of different shapes together, NumPy style.

use core::ops::Range;

/// Dimensions left after merging; more cannot arise from tensors of the ranks that models use.
const MAX_DIMS: usize = 8;

/// How `N` operands are walked to fill a dense output of their broadcast shape.
///
/// Dimensions of size one are dropped and neighbours that all operands walk evenly are merged, so that the common
/// cases (equal shapes, a scalar, a row, a column) are one or two loops whatever the rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast<const N: usize> {
    len: usize,
    operand_lens: [usize; N],
    outer: Vec<Dim<N>>,
    inner: Dim<N>,
}

/// One loop: its length and what one iteration advances each operand by, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dim<const N: usize> {
    len: usize,
    strides: [usize; N],
}

/// A run of output elements and where their operands start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<const N: usize> {
    /// First output element.
    pub start: usize,
    /// Number of elements.
    pub len: usize,
    /// First element of each operand.
    pub operands: [usize; N],
}

impl<const N: usize> Broadcast<N> {
    /// The plan for dense operands of these shapes, outermost dimension first; `None` if two dimensions differ and
    /// neither is 1, if the output has more elements than `usize` can count, or if more than eight dimensions remain.
    #[must_use]
    pub fn new(shapes: [&[usize]; N]) -> Option<Self> {
        let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
        let mut steps = [1usize; N];
        let mut operand_lens = [1usize; N];
        let mut total = 1usize;
        let mut empty = false;
        // Innermost first while building.
        let mut dims: Vec<Dim<N>> = Vec::new();
        for from_end in 0..rank {
            let sizes = shapes.map(|s| s.len().checked_sub(from_end + 1).map_or(1, |i| s[i]));
            let len = sizes.iter().copied().find(|&d| d != 1).unwrap_or(1);
            if sizes.iter().any(|&d| d != 1 && d != len) {
                return None;
            }
            let mut strides = [0; N];
            for k in 0..N {
                operand_lens[k] = operand_lens[k].checked_mul(sizes[k])?;
                if sizes[k] != 1 {
                    strides[k] = steps[k];
                    steps[k] = steps[k].checked_mul(sizes[k].max(1))?;
                }
            }
            if len == 0 {
                empty = true;
            } else {
                total = total.checked_mul(len)?;
            }
            if len == 1 {
                continue;
            }
            match dims.last_mut() {
                Some(inner) if (0..N).all(|k| strides[k] == inner.strides[k] * inner.len) => inner.len *= len,
                _ => dims.push(Dim { len, strides }),
            }
        }
        dims.reverse();
        let inner = dims.pop().unwrap_or(Dim { len: 1, strides: [0; N] });
        (dims.len() < MAX_DIMS).then_some(Self {
            len: if empty { 0 } else { total },
            operand_lens,
            outer: dims,
            inner,
        })
    }

    /// Number of output elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the output has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether operand `k` advances along a run (else its one element serves the whole run).
    #[must_use]
    pub fn advances(&self, k: usize) -> bool {
        self.inner.strides[k] != 0
    }

    /// Whether operand `k` has exactly the output's elements in order.
    #[must_use]
    pub fn is_dense(&self, k: usize) -> bool {
        self.outer.iter().all(|d| d.strides[k] != 0) && (self.inner.len == 1 || self.inner.strides[k] != 0)
    }

    /// Number of elements of operand `k`.
    #[must_use]
    pub fn operand_len(&self, k: usize) -> usize {
        self.operand_lens[k]
    }

    /// Calls `visit` for the runs that make up the output elements `range`, in order.
    ///
    /// # Panics
    /// If the range does not lie within the output.
    #[inline(always)]
    pub fn runs(&self, range: Range<usize>, mut visit: impl FnMut(Run<N>)) {
        assert!(range.end <= self.len);
        if range.is_empty() {
            return;
        }
        let mut coords = [0usize; MAX_DIMS];
        let mut at = [0usize; N];
        let mut rest = range.start / self.inner.len;
        for (dim, coord) in self.outer.iter().zip(&mut coords).rev() {
            *coord = rest % dim.len;
            rest /= dim.len;
            advance(&mut at, dim.strides, *coord);
        }
        let mut start = range.start;
        let mut skip = range.start % self.inner.len;
        loop {
            let len = (self.inner.len - skip).min(range.end - start);
            let operands = core::array::from_fn(|k| at[k] + skip * self.inner.strides[k]);
            visit(Run { start, len, operands });
            start += len;
            skip = 0;
            if start == range.end {
                return;
            }
            for (dim, coord) in self.outer.iter().zip(&mut coords).rev() {
                *coord += 1;
                advance(&mut at, dim.strides, 1);
                if *coord < dim.len {
                    break;
                }
                *coord = 0;
                for (at, stride) in at.iter_mut().zip(dim.strides) {
                    *at -= dim.len * stride;
                }
            }
        }
    }
}

/// Moves each operand on by `steps` strides.
#[inline(always)]
fn advance<const N: usize>(at: &mut [usize; N], strides: [usize; N], steps: usize) {
    for (at, stride) in at.iter_mut().zip(strides) {
        *at += steps * stride;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The operand index of every output element by division and remainder.
    fn naive(shapes: [&[usize]; 2]) -> Vec<[usize; 2]> {
        let rank = shapes[0].len().max(shapes[1].len());
        let dim = |s: &[usize], i: usize| if i + s.len() < rank { 1 } else { s[i + s.len() - rank] };
        let out: Vec<usize> = (0..rank)
            .map(|i| if dim(shapes[0], i) == 1 { dim(shapes[1], i) } else { dim(shapes[0], i) })
            .collect();
        (0..out.iter().product())
            .map(|flat| {
                shapes.map(|s| {
                    let (mut rest, mut step, mut index) = (flat, 1, 0);
                    for i in (0..rank).rev() {
                        index += if dim(s, i) == 1 { 0 } else { rest % out[i] * step };
                        step *= dim(s, i);
                        rest /= out[i];
                    }
                    index
                })
            })
            .collect()
    }

    fn walked(plan: &Broadcast<2>, range: Range<usize>) -> Vec<[usize; 2]> {
        let mut all = Vec::new();
        plan.runs(range.clone(), |run| {
            assert_eq!(run.start, range.start + all.len());
            for i in 0..run.len {
                all.push(core::array::from_fn(|k| run.operands[k] + if plan.advances(k) { i } else { 0 }));
            }
        });
        all
    }

    #[test]
    fn shapes_merge() {
        type Row = (&'static str, &'static [usize], &'static [usize], usize, usize);
        let rows: &[Row] = &[
            ("scalars", &[], &[], 0, 1),
            ("equal", &[2, 3, 4], &[2, 3, 4], 0, 24),
            ("ones", &[1, 2, 1, 3], &[2, 1, 3], 0, 6),
            ("with a scalar", &[2, 3, 4], &[], 0, 24),
            ("with a row", &[2, 3, 4], &[4], 1, 4),
            ("with a column", &[2, 3, 4], &[2, 1, 1], 1, 12),
            ("both", &[2, 1, 4], &[3, 1], 2, 4),
            ("middle", &[2, 3, 4, 5], &[2, 1, 1, 5], 2, 5),
        ];
        for (name, a, b, outer, inner) in rows {
            let plan = Broadcast::new([a, b]).expect(name);
            assert_eq!((plan.outer.len(), plan.inner.len), (*outer, *inner), "{name}");
            assert_eq!(walked(&plan, 0..plan.len()), naive([a, b]), "{name}");
        }
        assert_eq!(Broadcast::new([&[2], &[3]]), None);
        assert_eq!(Broadcast::new([&[usize::MAX, 1], &[1, 2]]), None);
        let empty = Broadcast::new([&[0, 3], &[1, 3]]).unwrap();
        assert!(empty.is_empty());
        assert_eq!(walked(&empty, 0..0), [] as [[usize; 2]; 0]);
    }

    proptest! {
        #[test]
        fn any_range_of_any_shapes(
            dims in proptest::collection::vec((1usize..4, 0u8..3), 0..8),
            cut in (0.0f64..1.0, 0.0f64..1.0),
        ) {
            let pick = |skip: u8| -> Vec<usize> {
                dims.iter().map(|&(d, keep)| if keep == skip { 1 } else { d }).collect()
            };
            let (a, b) = (pick(1), pick(2));
            let plan = Broadcast::new([&a, &b]).unwrap();
            let all = naive([&a, &b]);
            prop_assert_eq!(plan.len(), all.len());
            let (lo, hi) = (cut.0.min(cut.1), cut.0.max(cut.1));
            let range = (lo * all.len() as f64) as usize..(hi * all.len() as f64) as usize;
            prop_assert_eq!(walked(&plan, range.clone()), &all[range]);
            prop_assert_eq!(plan.is_dense(0), a.iter().product::<usize>() == all.len());
            prop_assert_eq!(plan.operand_len(1), b.iter().product::<usize>());
        }
    }
}
