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

impl<T: Copy + PartialEq, I: Copy, B: Fn(T, T) -> bool> Kernel for Columns<'_, T, I, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        match (self.search.inner, self.search.axis) {
            // As measured: of bytes thirty-two are slower.
            (1, 64..) if size_of::<T>() == 1 => return self.rows::<64>(),
            (1, 64..) => return self.rows::<LANES>(),
            (1, 16..) => return self.rows::<8>(),
            _ => {}
        }
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

impl<T: Copy + PartialEq, I: Copy, B: Fn(T, T) -> bool> Columns<'_, T, I, B> {
    /// Columns whose elements are neighbours: the best one by `N` at a time, then where it first lies.
    #[inline(always)]
    fn rows<const N: usize>(self) {
        let Search { src, dst, axis, first, index, .. } = self.search;
        let rows = src[first * axis..].chunks_exact(axis);
        for (to, row) in dst.iter_mut().zip(rows) {
            let mut best = [row[0]; N];
            let (parts, rest) = row.as_chunks::<N>();
            for part in parts {
                for (best, &x) in best.iter_mut().zip(part) {
                    *best = if (self.better)(x, *best) { x } else { *best };
                }
            }
            for (best, &x) in best.iter_mut().zip(rest) {
                *best = if (self.better)(x, *best) { x } else { *best };
            }
            let mut extreme = best[0];
            for x in best {
                extreme = if (self.better)(x, extreme) { x } else { extreme };
            }
            // Nothing is better than a NaN in front, which equals nothing.
            let has = |part: &[T; N]| part.iter().fold(false, |found, &x| found | (x == extreme));
            let before = parts.iter().position(has).unwrap_or(parts.len()) * N;
            let at = row[before..].iter().position(|&x| x == extreme);
            *to = index(at.map_or(0, |at| before + at) as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_none() {
        for len in [5, 21, 100] {
            let rows = [("in front", 0, 0), ("on the way", 2, 3)];
            for (name, nan, want) in rows {
                let mut src = vec![1.0f32; len];
                (src[nan], src[3]) = (f32::NAN, 2.0);
                for cpu in Cpu::all() {
                    let mut got = [-1];
                    arg_extreme(cpu, Par::serial(), Extreme::Max, [1, len, 1], &src, &mut got, |i| i as i32);
                    assert_eq!(got, [want], "{name}, {len}, {}", cpu.name());
                }
            }
            let zeros: Vec<f32> =
                (0..len).map(|i| if i == 0 { -1.0 } else { -0.0f32.copysign(i as f32 - 3.0) }).collect();
            let mut got = [-1];
            arg_extreme(Cpu::detect(), Par::serial(), Extreme::Max, [1, len, 1], &zeros, &mut got, |i| {
                i as i32
            });
            assert_eq!(got, [1], "zeros of both signs are equal, {len}");
        }
    }

    #[test]
    fn finds_the_first_extreme() {
        for shape in [[1, 1, 1], [3, 10, 1], [5, 21, 1], [4, 770, 1], [2, 64, 1], [2, 7, 45], [1, 300, 2]] {
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
