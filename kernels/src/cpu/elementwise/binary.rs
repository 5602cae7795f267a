//! Functions of two operands, with broadcasting.

use core::ops::Range;

use bytemuck::Pod;

use super::broadcast::Broadcast;
use super::{Target, for_each_range};
use crate::isa::{Isa, Kernel};
use crate::par::{Par, SharedMut};

/// An operand of an element-wise kernel whose output may take its memory over.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a, T> {
    /// Memory of its own.
    Apart(&'a [T]),
    /// The output's memory, which holds the operand until it is overwritten.
    InPlace,
}

/// A function of two elements. Closures are ones; a type of its own can have `#[inline(always)]` on its method, without which a
/// longer function may stay a call for each element.
pub trait BinaryFunction<A, B, R>: Copy + Send + Sync {
    /// The result.
    fn of(self, a: A, b: B) -> R;
}

impl<A, B, R, F: Fn(A, B) -> R + Copy + Send + Sync> BinaryFunction<A, B, R> for F {
    #[inline(always)]
    fn of(self, a: A, b: B) -> R {
        self(a, b)
    }
}

/// Fills `out` with `f` of the elements of `a` and `b`.
///
/// `f` is compiled for the target with the loops around it: a few arithmetic operations without branches become vector
/// code.
///
/// # Panics
/// If the lengths are not those of the plan.
pub fn binary<A: Pod + Send + Sync, B: Pod + Send + Sync, R: Pod + Send + Sync>(
    target: impl Target,
    par: Par,
    plan: &Broadcast<2>,
    (a, b): (&[A], &[B]),
    out: &mut [R],
    f: impl BinaryFunction<A, B, R>,
) {
    assert!(a.len() == plan.operand_len(0) && b.len() == plan.operand_len(1) && out.len() == plan.len());
    let out = SharedMut::new(out);
    let out = &out;
    for_each_range(par, plan.len(), |range| target.run(Apart { plan, a, b, out, range, f }));
}

/// Like [`binary`], where the output may share the memory of an operand that has the output's shape.
///
/// # Panics
/// If the lengths are not those of the plan, or an operand computed in place does not have the output's shape.
pub fn binary_in_place<T: Pod + Send + Sync>(
    target: impl Target,
    par: Par,
    plan: &Broadcast<2>,
    sources: (Source<'_, T>, Source<'_, T>),
    out: &mut [T],
    f: impl BinaryFunction<T, T, T>,
) {
    if let (Source::Apart(a), Source::Apart(b)) = sources {
        return binary(target, par, plan, (a, b), out, f);
    }
    let sources = [sources.0, sources.1];
    check_operands(plan, &sources, out.len());
    let out = SharedMut::new(out);
    let out = &out;
    for_each_range(par, plan.len(), |range| target.run(Shared { plan, sources, out, range, f }));
}

/// # Panics
/// If the lengths are not those of the plan, or an operand computed in place does not have the output's shape.
pub(super) fn check_operands<T>(plan: &Broadcast<2>, sources: &[Source<'_, T>; 2], out_len: usize) {
    for (k, source) in sources.iter().enumerate() {
        match source {
            Source::Apart(s) => assert_eq!(s.len(), plan.operand_len(k)),
            Source::InPlace => assert!(plan.is_dense(k)),
        }
    }
    assert_eq!(out_len, plan.len());
}

/// A tile whose operands do not share the output's memory.
struct Apart<'a, A, B, R, F> {
    plan: &'a Broadcast<2>,
    a: &'a [A],
    b: &'a [B],
    out: &'a SharedMut<'a, R>,
    range: Range<usize>,
    f: F,
}

impl<A: Pod, B: Pod, R: Pod, F: BinaryFunction<A, B, R>> Kernel for Apart<'_, A, B, R, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let Self { plan, a, b, out, range, f } = self;
        let advances = (plan.advances(0), plan.advances(1));
        plan.runs(range, |run| {
            let [i, j] = run.operands;
            // SAFETY: the ranges of tiles are disjoint, and so are the runs of a tile.
            let out = unsafe { out.range(run.start, run.len) };
            match advances {
                (true, true) => {
                    for ((o, &x), &y) in out.iter_mut().zip(&a[i..i + run.len]).zip(&b[j..j + run.len]) {
                        *o = f.of(x, y);
                    }
                }
                (true, false) => {
                    let y = b[j];
                    for (o, &x) in out.iter_mut().zip(&a[i..i + run.len]) {
                        *o = f.of(x, y);
                    }
                }
                (false, true) => {
                    let x = a[i];
                    for (o, &y) in out.iter_mut().zip(&b[j..j + run.len]) {
                        *o = f.of(x, y);
                    }
                }
                (false, false) => out.fill(f.of(a[i], b[j])),
            }
        });
    }
}

/// A tile with at least one operand in the output's memory.
struct Shared<'a, T, F> {
    plan: &'a Broadcast<2>,
    sources: [Source<'a, T>; 2],
    out: &'a SharedMut<'a, T>,
    range: Range<usize>,
    f: F,
}

/// Elements copied aside before their places are overwritten; lets the compiler vectorize without knowing what aliases.
const BLOCK: usize = 64;

impl<T: Pod, F: BinaryFunction<T, T, T>> Kernel for Shared<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let Self { plan, sources, out, range, f } = self;
        let mut blocks = [[T::zeroed(); BLOCK]; 2];
        plan.runs(range, |run| {
            // SAFETY: the ranges of tiles are disjoint, and so are the runs of a tile.
            let out = unsafe { out.range(run.start, run.len) };
            for (index, out) in out.chunks_mut(BLOCK).enumerate() {
                for (k, block) in blocks.iter_mut().enumerate() {
                    match sources[k] {
                        Source::InPlace => block[..out.len()].copy_from_slice(out),
                        Source::Apart(s) if plan.advances(k) => {
                            block[..out.len()]
                                .copy_from_slice(&s[run.operands[k] + index * BLOCK..][..out.len()]);
                        }
                        Source::Apart(s) => block[..out.len()].fill(s[run.operands[k]]),
                    }
                }
                for ((o, &x), &y) in out.iter_mut().zip(&blocks[0]).zip(&blocks[1]) {
                    *o = f.of(x, y);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Cpu;

    #[test]
    fn apart_and_in_place_equal_a_plain_loop() {
        let rows: &[(&str, &[usize], &[usize])] = &[
            ("equal", &[3, 5, 67], &[3, 5, 67]),
            ("scalar", &[3, 5, 67], &[]),
            ("row", &[3, 5, 67], &[67]),
            ("column", &[3, 5, 67], &[3, 1, 1]),
            ("large", &[40_000], &[40_000]),
            ("left scalar", &[], &[9]),
            ("both ways", &[4, 1, 3], &[5, 1]),
            ("empty", &[0, 3], &[3]),
        ];
        let f = |x: f32, y: f32| x - 2.0 * y;
        for (name, sa, sb) in rows {
            let fill =
                |s: &[usize], k: f32| -> Vec<f32> { (0..s.iter().product()).map(|i| i as f32 * k).collect() };
            let (a, b) = (fill(sa, 0.5), fill(sb, -1.25));
            let plan = Broadcast::new([sa, sb]).expect(name);
            let mut want = vec![0.0; plan.len()];
            plan.runs(0..plan.len(), |run| {
                for i in 0..run.len {
                    let at = |k: usize| run.operands[k] + if plan.advances(k) { i } else { 0 };
                    want[run.start + i] = f(a[at(0)], b[at(1)]);
                }
            });
            for cpu in Cpu::all() {
                for par in [Par::serial(), Par::new(3)] {
                    let case = format!("{name}, {}, {par:?}", cpu.name());
                    let mut out = vec![0.0; plan.len()];
                    binary(cpu, par, &plan, (&a, &b), &mut out, f);
                    assert_eq!(out, want, "{case}");
                    if plan.is_dense(0) {
                        let mut out = a.clone();
                        binary_in_place(cpu, par, &plan, (Source::InPlace, Source::Apart(&b)), &mut out, f);
                        assert_eq!(out, want, "{case}, in place of the first");
                    }
                    if plan.is_dense(1) {
                        let mut out = b.clone();
                        binary_in_place(cpu, par, &plan, (Source::Apart(&a), Source::InPlace), &mut out, f);
                        assert_eq!(out, want, "{case}, in place of the second");
                    }
                }
            }
        }
    }

    #[test]
    fn one_tensor_as_both_operands_in_place() {
        let plan = Broadcast::new([&[100], &[100]]).unwrap();
        let mut data: Vec<i32> = (0..100).collect();
        let both = (Source::InPlace, Source::InPlace);
        binary_in_place(Cpu::detect(), Par::serial(), &plan, both, &mut data, |x, y| x * y);
        assert!(data.iter().enumerate().all(|(i, &v)| v == (i * i) as i32));
    }
}
