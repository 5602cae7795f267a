//! Functions of one operand.

use core::ops::Range;

use bytemuck::Pod;

use super::math::Function;
use super::{Target, for_each_range};
use crate::inout::InOut;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::{Par, SharedMut};

/// Fills `out` with `f` of the elements of `input`.
///
/// `f` is compiled for the target with the loop around it: a few arithmetic operations without branches become vector
/// code.
///
/// # Panics
/// If the lengths differ.
pub fn map<A: Pod + Send + Sync, R: Pod + Send + Sync>(
    target: impl Target,
    par: Par,
    input: &[A],
    out: &mut [R],
    f: impl Fn(A) -> R + Copy + Send + Sync,
) {
    struct Tile<'a, A, R, F>(&'a [A], &'a mut [R], F);
    impl<A: Pod, R: Pod, F: Fn(A) -> R> Kernel for Tile<'_, A, R, F> {
        type Output = ();
        #[inline(always)]
        fn run<S: Isa>(self, _: S) {
            for (o, &x) in self.1.iter_mut().zip(self.0) {
                *o = (self.2)(x);
            }
        }
    }
    assert_eq!(input.len(), out.len());
    let len = out.len();
    let out = SharedMut::new(out);
    let out = &out;
    for_each_range(par, len, |range| {
        // SAFETY: the ranges of tiles are disjoint.
        let to = unsafe { out.range(range.start, range.len()) };
        target.run(Tile(&input[range], to, f));
    });
}

/// Like [`map`] for one element type, in place or apart.
pub fn map_in_out<T: Pod + Send + Sync>(
    target: impl Target,
    par: Par,
    io: InOut<'_, T>,
    f: impl Fn(T) -> T + Copy + Send + Sync,
) {
    /// Elements read before their places are written; lets the compiler vectorize without knowing what aliases.
    const BLOCK: usize = 64;
    struct Tile<'a, T, F>(InOut<'a, T>, F);
    impl<T: Pod, F: Fn(T) -> T> Kernel for Tile<'_, T, F> {
        type Output = ();
        #[inline(always)]
        fn run<S: Isa>(self, _: S) {
            let Self(io, f) = self;
            let mut block = [T::zeroed(); BLOCK];
            for mut part in io.chunks(BLOCK) {
                let n = part.len();
                // SAFETY: `n <= BLOCK` elements are readable behind `src` and fit in the block, a local.
                unsafe { core::ptr::copy_nonoverlapping(part.src(), block.as_mut_ptr(), n) };
                if n == BLOCK {
                    for x in &mut block {
                        *x = f(*x);
                    }
                } else {
                    for x in &mut block[..n] {
                        *x = f(*x);
                    }
                }
                // SAFETY: `n` elements are writable behind `dst`, which does not reach into the block.
                unsafe { core::ptr::copy_nonoverlapping(block.as_ptr(), part.dst(), n) };
            }
        }
    }
    let tiles = Tiles::new(io);
    for_each_range(par, tiles.len, |range| {
        // SAFETY: the ranges of tiles are disjoint.
        target.run(Tile(unsafe { tiles.part(range) }, f));
    });
}

/// Applies a vector function to `f32`, in place or apart.
pub fn apply<F: Function>(cpu: Cpu, par: Par, io: InOut<'_, f32>, f: F) {
    struct Tile<'a, F>(InOut<'a, f32>, F);
    impl<F: Function> Kernel for Tile<'_, F> {
        type Output = ();
        #[inline(always)]
        fn run<S: Isa>(self, isa: S) {
            let Self(mut io, f) = self;
            let (src, dst, len) = (io.src(), io.dst(), io.len());
            let whole = len - len % S::LANES;
            for i in (0..whole).step_by(S::LANES) {
                // SAFETY: `i + LANES <= len`; the lanes are read before they are written.
                unsafe { isa.store_ptr(f.eval(isa, isa.load_ptr(src.add(i))), dst.add(i)) };
            }
            if whole < len {
                // SAFETY: the last `len - whole < LANES` elements.
                unsafe {
                    let x = isa.load_ptr_part(src.add(whole), len - whole);
                    isa.store_ptr_part(f.eval(isa, x), dst.add(whole), len - whole);
                }
            }
        }
    }
    let tiles = Tiles::new(io);
    for_each_range(par, tiles.len, |range| {
        // SAFETY: the ranges of tiles are disjoint.
        cpu.dispatch(Tile(unsafe { tiles.part(range) }, f));
    });
}

/// An [`InOut`] whose parts are handed to several threads.
pub(super) struct Tiles<'a, T> {
    src: *const T,
    dst: SharedMut<'a, T>,
    in_place: bool,
    len: usize,
}

// SAFETY: `dst` is `Sync` for such `T`, and `src` is only read, where no other tile writes (see `Tiles::part`).
unsafe impl<T: Send + Sync> Sync for Tiles<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for Tiles<'_, T> {}

impl<'a, T: Copy> Tiles<'a, T> {
    pub(super) fn new(mut io: InOut<'a, T>) -> Self {
        let (src, dst, len) = (io.src(), io.dst(), io.len());
        // SAFETY: an `InOut` is exclusive access to `len` elements behind `dst` for `'a`, which it gives up here.
        let out = unsafe { core::slice::from_raw_parts_mut(dst, len) };
        Self { src, dst: SharedMut::new(out), in_place: core::ptr::eq(src, dst), len }
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// No two ranges that are alive at the same time may overlap.
    pub(super) unsafe fn part(&self, range: Range<usize>) -> InOut<'_, T> {
        // SAFETY: the caller vouches for disjointness.
        let out = unsafe { self.dst.range(range.start, range.len()) };
        if self.in_place {
            return InOut::in_place(out);
        }
        // SAFETY: the source is as long as the destination, disjoint from it, and shared for as long.
        let from = unsafe { core::slice::from_raw_parts(self.src.add(range.start), range.len()) };
        InOut::apart(from, out).unwrap_or_else(|| unreachable!("both parts have the range's length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::elementwise::math::Sigmoid;

    #[test]
    fn tiles_cover_everything_in_place_and_apart() {
        for len in [0, 1, 3, 4, 7, 8, 15, 16, 17, 63, 64, 65, 16 * 1024, 40_001] {
            let input: Vec<f32> = (0..len).map(|i| (i % 97) as f32 * 0.25 - 12.0).collect();
            let f = |x: f32| x * x - 1.0;
            let want: Vec<f32> = input.iter().map(|&x| f(x)).collect();
            let sigmoid: Vec<f32> = input.iter().map(|&x| 1.0 / (1.0 + (-x).exp())).collect();
            for cpu in Cpu::all() {
                for par in [Par::serial(), Par::new(2)] {
                    let case = format!("{len} elements, {}, {par:?}", cpu.name());
                    let mut out = vec![0.0; len];
                    map(cpu, par, &input, &mut out, f);
                    assert_eq!(out, want, "{case}");
                    out.fill(0.0);
                    map_in_out(cpu, par, InOut::apart(&input, &mut out).unwrap(), f);
                    assert_eq!(out, want, "{case}, apart");
                    out.copy_from_slice(&input);
                    map_in_out(cpu, par, InOut::in_place(&mut out), f);
                    assert_eq!(out, want, "{case}, in place");
                    apply(cpu, par, InOut::apart(&input, &mut out).unwrap(), Sigmoid);
                    let apart = out.clone();
                    out.copy_from_slice(&input);
                    apply(cpu, par, InOut::in_place(&mut out), Sigmoid);
                    assert_eq!(out, apart, "{case}, vector function");
                    assert!(out.iter().zip(&sigmoid).all(|(a, b)| (a - b).abs() < 1e-6), "{case}");
                }
            }
        }
    }
}
