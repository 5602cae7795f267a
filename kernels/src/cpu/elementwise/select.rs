//! Choosing between two operands by a third.

use core::ops::Range;

use bytemuck::Pod;

use super::broadcast::Broadcast;
use super::{Baseline, Target, for_each_range};
use crate::isa::{Isa, Kernel};
use crate::par::{Par, SharedMut};

/// Fills `out` with the element of `yes` where that of `condition` is not zero and that of `no` where it is.
///
/// The plan's operands are `condition`, `yes` and `no`, in this order.
///
/// # Panics
/// If the lengths are not those of the plan.
pub fn select<T: Pod + Send + Sync>(
    par: Par,
    plan: &Broadcast<3>,
    condition: &[u8],
    (yes, no): (&[T], &[T]),
    out: &mut [T],
) {
    let lens = [condition.len(), yes.len(), no.len()];
    assert!((0..3).all(|k| plan.operand_len(k) == lens[k]) && plan.len() == out.len());
    let out = SharedMut::new(out);
    let out = &out;
    for_each_range(par, plan.len(), |range| Baseline.run(Tile { plan, condition, yes, no, out, range }));
}

struct Tile<'a, T> {
    plan: &'a Broadcast<3>,
    condition: &'a [u8],
    yes: &'a [T],
    no: &'a [T],
    out: &'a SharedMut<'a, T>,
    range: Range<usize>,
}

impl<T: Pod> Kernel for Tile<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let Self { plan, condition, yes, no, out, range } = self;
        let advances: [bool; 3] = core::array::from_fn(|k| plan.advances(k));
        plan.runs(range, |run| {
            let [c, y, n] = run.operands;
            // SAFETY: the ranges of tiles are disjoint, and so are the runs of a tile.
            let out = unsafe { out.range(run.start, run.len) };
            if advances == [true; 3] {
                let operands =
                    condition[c..c + run.len].iter().zip(&yes[y..y + run.len]).zip(&no[n..n + run.len]);
                for (o, ((&c, &y), &n)) in out.iter_mut().zip(operands) {
                    *o = if c != 0 { y } else { n };
                }
            } else if !advances[0] && advances[usize::from(condition[c] == 0) + 1] {
                // One condition for the whole run: a copy.
                let from = if condition[c] != 0 { &yes[y..] } else { &no[n..] };
                out.copy_from_slice(&from[..run.len]);
            } else {
                let step = advances.map(usize::from);
                for (i, o) in out.iter_mut().enumerate() {
                    *o = if condition[c + i * step[0]] != 0 {
                        yes[y + i * step[1]]
                    } else {
                        no[n + i * step[2]]
                    };
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_broadcasting() {
        let shapes: &[(&str, [&[usize]; 3])] = &[
            ("equal", [&[2, 3], &[2, 3], &[2, 3]]),
            ("scalar condition", [&[], &[2, 3], &[2, 3]]),
            ("row condition", [&[2, 1], &[2, 3], &[2, 3]]),
            ("scalar choices", [&[2, 3], &[], &[1]]),
            ("mixed", [&[2, 1, 3], &[4, 1], &[1, 1, 3]]),
        ];
        for (name, [sc, sy, sn]) in shapes {
            let count = |s: &[usize]| s.iter().product::<usize>();
            let condition: Vec<u8> = (0..count(sc)).map(|i| (i % 3) as u8).collect();
            let yes: Vec<i16> = (0..count(sy)).map(|i| i as i16 + 1).collect();
            let no: Vec<i16> = (0..count(sn)).map(|i| -(i as i16) - 1).collect();
            let plan = Broadcast::new([sc, sy, sn]).expect(name);
            let mut want = vec![0; plan.len()];
            plan.runs(0..plan.len(), |run| {
                for i in 0..run.len {
                    let at = |k: usize| run.operands[k] + if plan.advances(k) { i } else { 0 };
                    want[run.start + i] = if condition[at(0)] != 0 { yes[at(1)] } else { no[at(2)] };
                }
            });
            let mut out = vec![0; plan.len()];
            select(Par::serial(), &plan, &condition, (&yes, &no), &mut out);
            assert_eq!(out, want, "{name}");
        }
    }
}
