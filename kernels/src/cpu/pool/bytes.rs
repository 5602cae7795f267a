//! Averages of bytes, by vectors of 32-bit lanes.

use super::PoolShape;
use super::window::{Average, Pooling, Walk, Window, pool, stretches};
use crate::cpu::elementwise::bytes::ByteLanes;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::Par;

/// Elements of a window whose sum, and the rounding added to it, stay below 2^24: quotients of such numbers in float,
/// cut, are those of integers, as a quotient that is not whole lies farther below the next whole number than half a
/// step of a float.
const MOST_ELEMENTS: usize = 1 << 15;

/// As [`pool`] with [`Average`].
///
/// # Panics
/// If an operand's length is not that of `shape`.
pub fn average_bytes<T: ByteLanes>(
    cpu: Cpu,
    par: Par,
    average: Average<T>,
    shape: &PoolShape,
    src: &[T],
    dst: &mut [T],
) where
    Average<T>: Pooling<T>,
{
    if shape.filter_height.saturating_mul(shape.filter_width) > MOST_ELEMENTS {
        return pool(cpu, par, average, shape, src, dst);
    }
    stretches(par, shape, src, dst, |first, dst| {
        cpu.dispatch(Windows { average, shape, src, dst, first });
    });
}

/// A stretch of the result, which may start and end within a pixel.
struct Windows<'a, T> {
    average: Average<T>,
    shape: &'a PoolShape,
    src: &'a [T],
    dst: &'a mut [T],
    /// Index of the first result element.
    first: usize,
}

impl<T: ByteLanes> Kernel for Windows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let mut done = 0;
        let mut walk = Walk::new(self.shape, self.first);
        while done < self.dst.len() {
            let room = (self.shape.channels - walk.channel).min(self.dst.len() - done);
            let len = if room >= 4 * S::LANES {
                self.vectors::<S, 4>(isa, &walk.window, walk.channel, done, 4 * S::LANES)
            } else {
                self.vectors::<S, 1>(isa, &walk.window, walk.channel, done, room.min(S::LANES))
            };
            walk.advance(len);
            done += len;
        }
    }
}

impl<T: ByteLanes> Windows<'_, T> {
    /// Pools `len` channels, `N` vectors or part of one; gives their number.
    #[inline(always)]
    fn vectors<S: Isa, const N: usize>(
        &mut self,
        isa: S,
        window: &Window,
        channel: usize,
        done: usize,
        len: usize,
    ) -> usize {
        let mut sums = [isa.splat_i32(0); N];
        for y in window.ys.clone() {
            let row = (window.first_row + y) * self.shape.in_width;
            for x in window.xs.clone() {
                let from = &self.src[(row + x) * self.shape.channels + channel..][..len];
                for (i, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: `len` elements, all of `N` vectors or part of the only one.
                    let x = unsafe { T::load(isa, from.as_ptr().add(i * S::LANES), len.min(S::LANES)) };
                    *sum = isa.add_i32(*sum, x);
                }
            }
        }
        let to = &mut self.dst[done..done + len];
        let (low, high) = (isa.splat_i32(self.average.low.widen()), isa.splat_i32(self.average.high.widen()));
        let count = window.count();
        let (half, divisor) = (isa.splat((count / 2) as f32), isa.splat(count as f32));
        for (i, &sum) in sums.iter().enumerate() {
            let sum = isa.to_f32(sum);
            let mean = isa.to_i32_trunc(isa.div(isa.add(sum, isa.copysign(half, sum)), divisor));
            let mean = isa.min_i32(isa.max_i32(mean, low), high);
            // SAFETY: as above.
            unsafe { T::store(isa, mean, to.as_mut_ptr().add(i * S::LANES), len.min(S::LANES)) };
        }
        len
    }
}
