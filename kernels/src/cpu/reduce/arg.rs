//! The position of the greatest or least element along an axis.

use crate::isa::{Cpu, Isa, Kernel};
use crate::par::Par;

/// Columns searched side by side.
const LANES: usize = 32;

/// Element visits that make one tile of work.
const TILE_VISITS: usize = 32 << 10;

/// Which element is looked for. Of equal ones the first is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extreme {
    /// The greatest.
    Max,
    /// The least.
    Min,
}

/// For each of `outer` by `inner` columns of a `[outer, axis, inner]` source, writes the position of the extreme element
/// along the axis, by way of `index`.
///
/// # Panics
/// If the axis is empty or an operand's length does not fit.
pub fn arg_extreme<T, I>(
    cpu: Cpu,
    par: Par,
    extreme: Extreme,
    [outer, axis, inner]: [usize; 3],
    src: &[T],
    dst: &mut [I],
    index: fn(u32) -> I,
) where
    T: Copy + PartialOrd + Send + Sync,
    I: Copy + Send + Sync,
{
    assert!(axis > 0 && src.len() == outer * axis * inner && dst.len() == outer * inner, "operands must fit");
    let chunk = (TILE_VISITS / axis).max(1).next_multiple_of(LANES);
    par.chunks_mut(dst, chunk, |tile, dst| {
        let search = Search { src, dst, axis, inner, first: tile * chunk, index };
        match extreme {
            Extreme::Max => cpu.dispatch(Columns { search, better: |a: T, b: T| a > b }),
            Extreme::Min => cpu.dispatch(Columns { search, better: |a: T, b: T| a < b }),
        }
    });
}

/// A stretch of the result.
struct Search<'a, T, I> {
    src: &'a [T],
    dst: &'a mut [I],
    axis: usize,
    inner: usize,
    /// Index of the first result element.
    first: usize,
    index: fn(u32) -> I,
}

/// A search and what makes an element better than the best so far.
struct Columns<'a, T, I, B> {
    search: Search<'a, T, I>,
    better: B,
}

impl<T: Copy, I: Copy, B: Fn(T, T) -> bool> Kernel for Columns<'_, T, I, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let Search { src, dst, axis, inner, first, index } = self.search;
        let mut done = 0;
        while done < dst.len() {
            let (image, column) = ((first + done) / inner, (first + done) % inner);
            let len = LANES.min(inner - column).min(dst.len() - done);
            let base = image * axis * inner + column;
            let mut best = [src[base]; LANES];
            best[..len].copy_from_slice(&src[base..base + len]);
            let mut at = [0u32; LANES];
            for position in 1..axis {
                let row = &src[base + position * inner..][..len];
                for ((best, at), &x) in best.iter_mut().zip(&mut at).zip(row) {
                    let better = (self.better)(x, *best);
                    *best = if better { x } else { *best };
                    *at = if better { position as u32 } else { *at };
                }
            }
            for (to, &at) in dst[done..done + len].iter_mut().zip(&at) {
                *to = index(at);
            }
            done += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_extreme() {
        for shape in [[1, 1, 1], [3, 10, 1], [2, 7, 45], [1, 300, 2]] {
            let [outer, axis, inner] = shape;
            let src: Vec<i8> = (0..outer * axis * inner).map(|i| (i * 37 % 11) as i8).collect();
            for extreme in [Extreme::Max, Extreme::Min] {
                let want: Vec<i64> = (0..outer * inner)
                    .map(|i| {
                        let at = |p: usize| src[(i / inner * axis + p) * inner + i % inner];
                        let key = |p: usize| if extreme == Extreme::Max { -at(p) } else { at(p) };
                        (0..axis).min_by_key(|&p| key(p)).unwrap() as i64
                    })
                    .collect();
                for cpu in Cpu::all() {
                    let mut got = vec![-1i64; outer * inner];
                    arg_extreme(cpu, Par::new(2), extreme, shape, &src, &mut got, i64::from);
                    assert_eq!(got, want, "{shape:?} {extreme:?} {}", cpu.name());
                }
            }
        }
    }
}
