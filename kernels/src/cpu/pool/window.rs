//! One pass over the windows, for every way to pool.

use core::marker::PhantomData;
use core::ops::Range;

use super::PoolShape;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::Par;

/// Channels pooled at a time: their accumulators stay in registers or L1.
const CHANNELS: usize = 64;

/// Elements of a window that the reference adds at a time.
const NINE: usize = 9;

/// Element visits that make one tile of work.
const TILE_VISITS: usize = 32 << 10;

/// A way to pool elements of type `T`.
pub trait Pooling<T>: Copy + Send + Sync {
    /// What is kept while a window is walked.
    type Acc: Copy;

    /// Before the first element.
    fn start(self) -> Self::Acc;
    /// Takes one element in.
    fn step(acc: Self::Acc, x: T) -> Self::Acc;
    /// The result of a window of `count` elements.
    fn finish(self, acc: Self::Acc, count: usize) -> T;
}

/// The average, held to `low..=high`.
///
/// Integer averages are rounded to the nearest, halves away from zero. Averages of floats are sums times the rounded
/// reciprocal of the number of elements; `FloatWindows` adds in the order of `Nines`.
#[derive(Clone, Copy, Debug)]
pub struct Average<T> {
    /// Least result.
    pub low: T,
    /// Greatest result.
    pub high: T,
}

/// The greatest element, held to `low..=high`.
#[derive(Clone, Copy, Debug)]
pub struct Max<T> {
    /// Least result.
    pub low: T,
    /// Greatest result.
    pub high: T,
}

/// The root of the mean square, held to `low..=high`.
#[derive(Clone, Copy, Debug)]
pub struct L2 {
    /// Least result.
    pub low: f32,
    /// Greatest result.
    pub high: f32,
}

/// A way to pool floats, by vectors. Lanes compute what [`Pooling`] does.
pub trait VectorPooling: Pooling<f32, Acc = f32> {
    /// Whether a step is an addition, to be made in the order of the reference.
    const SUM: bool;
    /// Takes a vector in.
    fn step_lanes<S: Isa>(isa: S, acc: S::F, x: S::F) -> S::F;
    /// The results of windows of `count` elements.
    fn finish_lanes<S: Isa>(self, isa: S, acc: S::F, count: usize) -> S::F;
}

impl Pooling<f32> for Average<f32> {
    type Acc = f32;

    #[inline(always)]
    fn start(self) -> f32 {
        0.0
    }
    #[inline(always)]
    fn step(acc: f32, x: f32) -> f32 {
        acc + x
    }
    #[inline(always)]
    fn finish(self, acc: f32, count: usize) -> f32 {
        (acc * (1.0 / count as f32)).max(self.low).min(self.high)
    }
}

impl Pooling<f32> for L2 {
    type Acc = f32;

    #[inline(always)]
    fn start(self) -> f32 {
        0.0
    }
    #[inline(always)]
    fn step(acc: f32, x: f32) -> f32 {
        acc + x * x
    }
    #[inline(always)]
    fn finish(self, acc: f32, count: usize) -> f32 {
        (acc / count as f32).sqrt().max(self.low).min(self.high)
    }
}

impl Pooling<f32> for Max<f32> {
    type Acc = f32;

    #[inline(always)]
    fn start(self) -> f32 {
        f32::NEG_INFINITY
    }
    #[inline(always)]
    fn step(acc: f32, x: f32) -> f32 {
        if x > acc { x } else { acc }
    }
    #[inline(always)]
    fn finish(self, acc: f32, _: usize) -> f32 {
        acc.max(self.low).min(self.high)
    }
}

impl VectorPooling for Average<f32> {
    const SUM: bool = true;

    #[inline(always)]
    fn step_lanes<S: Isa>(isa: S, acc: S::F, x: S::F) -> S::F {
        isa.add(acc, x)
    }
    #[inline(always)]
    fn finish_lanes<S: Isa>(self, isa: S, acc: S::F, count: usize) -> S::F {
        let mean = isa.mul(acc, isa.splat(1.0 / count as f32));
        isa.clamp(mean, isa.splat(self.low), isa.splat(self.high))
    }
}

impl VectorPooling for L2 {
    const SUM: bool = false;

    #[inline(always)]
    fn step_lanes<S: Isa>(isa: S, acc: S::F, x: S::F) -> S::F {
        isa.add(acc, isa.mul(x, x))
    }
    #[inline(always)]
    fn finish_lanes<S: Isa>(self, isa: S, acc: S::F, count: usize) -> S::F {
        let mean = isa.div(acc, isa.splat(count as f32));
        isa.clamp(isa.sqrt(mean), isa.splat(self.low), isa.splat(self.high))
    }
}

impl VectorPooling for Max<f32> {
    const SUM: bool = false;

    #[inline(always)]
    fn step_lanes<S: Isa>(isa: S, acc: S::F, x: S::F) -> S::F {
        isa.max(x, acc)
    }
    #[inline(always)]
    fn finish_lanes<S: Isa>(self, isa: S, acc: S::F, _: usize) -> S::F {
        isa.clamp(acc, isa.splat(self.low), isa.splat(self.high))
    }
}

macro_rules! integer_pooling {
    ($($T:ty),*) => {$(
        impl Pooling<$T> for Average<$T> {
            type Acc = i32;

            #[inline(always)]
            fn start(self) -> i32 {
                0
            }
            #[inline(always)]
            fn step(acc: i32, x: $T) -> i32 {
                acc.wrapping_add(i32::from(x))
            }
            #[inline(always)]
            fn finish(self, acc: i32, count: usize) -> $T {
                let count = count as i32;
                let half = if acc > 0 { count / 2 } else { -(count / 2) };
                let mean = acc.wrapping_add(half) / count;
                mean.clamp(i32::from(self.low), i32::from(self.high)) as $T
            }
        }

        impl Pooling<$T> for Max<$T> {
            type Acc = $T;

            #[inline(always)]
            fn start(self) -> $T {
                self.low
            }
            #[inline(always)]
            fn step(acc: $T, x: $T) -> $T {
                acc.max(x)
            }
            #[inline(always)]
            fn finish(self, acc: $T, _: usize) -> $T {
                acc.min(self.high)
            }
        }
    )*};
}
integer_pooling!(i8, u8, i16);

/// Pools `src` into `dst`, both in NHWC layout. Every window must touch the image.
///
/// # Panics
/// If an operand's length is not that of `shape`.
pub fn pool<T: Copy + Send + Sync, P: Pooling<T>>(
    cpu: Cpu,
    par: Par,
    pooling: P,
    shape: &PoolShape,
    src: &[T],
    dst: &mut [T],
) {
    stretches(par, shape, src, dst, |first, dst| {
        cpu.dispatch(Windows { pooling, shape, src, dst, first, element: PhantomData });
    });
}

/// As [`pool`], for floats: the accumulators stay in vector registers.
///
/// # Panics
/// If an operand's length is not that of `shape`.
pub fn pool_f32<P: VectorPooling>(
    cpu: Cpu,
    par: Par,
    pooling: P,
    shape: &PoolShape,
    src: &[f32],
    dst: &mut [f32],
) {
    let small = P::SUM && shape.filter_height * shape.filter_width <= NINE;
    let zeros = vec![0.0; if small { shape.channels } else { 0 }];
    let padding = small.then_some(&zeros[..]);
    stretches(par, shape, src, dst, |first, dst| {
        cpu.dispatch(FloatWindows { pooling, shape, src, dst, first, padding });
    });
}

/// Calls `run` for stretches of the result with the index of their first element.
pub(super) fn stretches<T: Send + Sync>(
    par: Par,
    shape: &PoolShape,
    src: &[T],
    dst: &mut [T],
    run: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    assert_eq!(
        (src.len(), dst.len()),
        (shape.source_len(), shape.result_len()),
        "operands must have the shape"
    );
    let area = (shape.filter_height * shape.filter_width).max(1);
    let chunk = (TILE_VISITS / area).max(1).next_multiple_of(CHANNELS);
    par.chunks_mut(dst, chunk, |tile, dst| run(tile * chunk, dst));
}

/// Where the window of a result pixel lies.
pub(super) struct Window {
    /// Rows within the image.
    pub(super) ys: Range<usize>,
    /// Columns within the image.
    pub(super) xs: Range<usize>,
    /// Rows of all images before this one.
    pub(super) first_row: usize,
    /// Where the window starts, which may be outside of the image.
    top: isize,
    left: isize,
}

impl Window {
    /// The window of result pixel `pixel`.
    #[inline(always)]
    pub(super) fn of(shape: &PoolShape, pixel: usize) -> Self {
        let (row, x) = (pixel / shape.out_width, pixel % shape.out_width);
        let (image, y) = (row / shape.out_height, row % shape.out_height);
        let top = (y * shape.stride_height) as isize - shape.pad_top as isize;
        let left = (x * shape.stride_width) as isize - shape.pad_left as isize;
        Self {
            ys: clip(top, shape.filter_height, shape.in_height),
            xs: clip(left, shape.filter_width, shape.in_width),
            first_row: image * shape.in_height,
            top,
            left,
        }
    }

    /// Number of elements.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.ys.len() * self.xs.len()
    }

    /// Calls `f` with the `len` channels from `channel` of every pixel.
    #[inline(always)]
    fn for_each<T>(&self, shape: &PoolShape, src: &[T], channel: usize, len: usize, mut f: impl FnMut(&[T])) {
        for y in self.ys.clone() {
            let row = (self.first_row + y) * shape.in_width;
            for x in self.xs.clone() {
                let start = (row + x) * shape.channels + channel;
                f(&src[start..start + len]);
            }
        }
    }
}

/// The pixels of a stretch of a result one after another, group of channels by group. A window is located once for all
/// groups of its pixel, as that takes two divisions.
pub(super) struct Walk<'a> {
    shape: &'a PoolShape,
    pixel: usize,
    /// The first channel that is not done.
    pub(super) channel: usize,
    pub(super) window: Window,
}

impl<'a> Walk<'a> {
    /// From result element `first` on.
    #[inline(always)]
    pub(super) fn new(shape: &'a PoolShape, first: usize) -> Self {
        let pixel = first / shape.channels;
        Self { shape, pixel, channel: first % shape.channels, window: Window::of(shape, pixel) }
    }

    /// `len` channels are done: those of a pixel at most.
    #[inline(always)]
    pub(super) fn advance(&mut self, len: usize) {
        self.channel += len;
        if self.channel == self.shape.channels {
            (self.pixel, self.channel) = (self.pixel + 1, 0);
            self.window = Window::of(self.shape, self.pixel);
        }
    }
}

/// Sums of a window in the reference's order: column by column, nine positions at a time, each nine in a tree.
struct Nines<V, const N: usize> {
    total: [V; N],
    /// Positions 0, 1 and 8 of the nine; 2 and 3; 4 and 5; 6 and 7.
    parts: [[V; N]; 4],
    /// Which nine positions these are.
    index: usize,
}

impl<V: Copy, const N: usize> Nines<V, N> {
    #[inline(always)]
    fn new(zero: V) -> Self {
        Self { total: [zero; N], parts: [[zero; N]; 4], index: 0 }
    }

    /// Adds vectors at a position of the window; positions must grow.
    #[inline(always)]
    fn add<S: Isa<F = V>>(&mut self, isa: S, position: usize, vectors: [V; N]) {
        if position / NINE != self.index {
            *self = Self { total: self.sum(isa), parts: [[isa.zero(); N]; 4], index: position / NINE };
        }
        let part = &mut self.parts[position % NINE % 8 / 2];
        for (sum, x) in part.iter_mut().zip(vectors) {
            *sum = isa.add(*sum, x);
        }
    }

    #[inline(always)]
    fn sum<S: Isa<F = V>>(&self, isa: S) -> [V; N] {
        let [a, b, c, d] = &self.parts;
        core::array::from_fn(|i| {
            let nine = isa.add(isa.add(b[i], c[i]), isa.add(a[i], d[i]));
            isa.add(self.total[i], nine)
        })
    }
}

/// The part of `size` elements from `start` (which may be negative) that lies in `0..limit`.
#[inline(always)]
fn clip(start: isize, size: usize, limit: usize) -> Range<usize> {
    let end = (start + size as isize).clamp(0, limit as isize) as usize;
    (start.max(0) as usize).min(end)..end
}

/// A stretch of the result, which may start and end within a pixel.
struct Windows<'a, T, P> {
    pooling: P,
    shape: &'a PoolShape,
    src: &'a [T],
    dst: &'a mut [T],
    /// Index of the first result element.
    first: usize,
    element: PhantomData<T>,
}

impl<T: Copy, P: Pooling<T>> Kernel for Windows<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, _: S) {
        let mut done = 0;
        let mut walk = Walk::new(self.shape, self.first);
        while done < self.dst.len() {
            let len = CHANNELS.min(self.shape.channels - walk.channel).min(self.dst.len() - done);
            if len == CHANNELS {
                self.pixel(&walk.window, walk.channel, done, [(); CHANNELS].len());
            } else {
                self.pixel(&walk.window, walk.channel, done, len);
            }
            walk.advance(len);
            done += len;
        }
    }
}

impl<T: Copy, P: Pooling<T>> Windows<'_, T, P> {
    /// Pools `len` channels from `channel` of one pixel.
    #[inline(always)]
    fn pixel(&mut self, window: &Window, channel: usize, done: usize, len: usize) {
        let mut acc = [self.pooling.start(); CHANNELS];
        window.for_each(self.shape, self.src, channel, len, |row| {
            for (acc, &x) in acc[..len].iter_mut().zip(row) {
                *acc = P::step(*acc, x);
            }
        });
        for (to, &acc) in self.dst[done..done + len].iter_mut().zip(&acc) {
            *to = self.pooling.finish(acc, window.count());
        }
    }
}

/// A stretch of a float result.
struct FloatWindows<'a, P> {
    pooling: P,
    shape: &'a PoolShape,
    src: &'a [f32],
    dst: &'a mut [f32],
    /// Index of the first result element.
    first: usize,
    /// A pixel of zeros, where windows of at most nine elements are summed.
    padding: Option<&'a [f32]>,
}

impl<P: VectorPooling> Kernel for FloatWindows<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let mut done = 0;
        let mut walk = Walk::new(self.shape, self.first);
        while done < self.dst.len() {
            let (window, channel) = (&walk.window, walk.channel);
            let room = (self.shape.channels - channel).min(self.dst.len() - done);
            let len = if let (Some(padding), true) = (self.padding, room >= S::LANES) {
                self.nine(isa, window, padding, channel, done, room)
            } else if room >= 4 * S::LANES {
                self.vectors::<S, 4>(isa, window, channel, done)
            } else if room >= S::LANES {
                self.vectors::<S, 1>(isa, window, channel, done)
            } else {
                self.part(isa, window, channel, done, room)
            };
            walk.advance(len);
            done += len;
        }
    }
}

impl<P: VectorPooling> FloatWindows<'_, P> {
    /// Takes in the `len` channels from `channel` of every pixel of the window, which `load` reads.
    #[inline(always)]
    fn walk<S: Isa, const N: usize>(
        &self,
        isa: S,
        window: &Window,
        channel: usize,
        len: usize,
        load: impl Fn(&[f32]) -> [S::F; N],
    ) -> [S::F; N] {
        if P::SUM {
            let mut sums = Nines::new(isa.zero());
            for x in window.xs.clone() {
                let column = (x as isize - window.left) as usize * self.shape.filter_height;
                for y in window.ys.clone() {
                    let pixel = (window.first_row + y) * self.shape.in_width + x;
                    let start = pixel * self.shape.channels + channel;
                    let position = column + (y as isize - window.top) as usize;
                    sums.add(isa, position, load(&self.src[start..start + len]));
                }
            }
            return sums.sum(isa);
        }
        let mut acc = [isa.splat(self.pooling.start()); N];
        window.for_each(self.shape, self.src, channel, len, |row| {
            for (acc, x) in acc.iter_mut().zip(load(row)) {
                *acc = P::step_lanes(isa, *acc, x);
            }
        });
        acc
    }

    /// Sums all whole vectors of the `room` channels from `channel` on, of a window of at most nine elements, in the
    /// order of [`Nines`]: those outside of the image are zeros. Gives their number.
    #[inline(always)]
    fn nine<S: Isa>(
        &mut self,
        isa: S,
        window: &Window,
        padding: &[f32],
        channel: usize,
        done: usize,
        room: usize,
    ) -> usize {
        let shape = self.shape;
        let mut taps = [&padding[channel..channel + room]; NINE];
        for x in window.xs.clone() {
            let column = (x as isize - window.left) as usize * shape.filter_height;
            for y in window.ys.clone() {
                let start = ((window.first_row + y) * shape.in_width + x) * shape.channels + channel;
                taps[column + (y as isize - window.top) as usize] = &self.src[start..start + room];
            }
        }
        let whole = room / S::LANES * S::LANES;
        let count = window.count();
        for (at, to) in (0..).step_by(S::LANES).zip(self.dst[done..done + whole].chunks_exact_mut(S::LANES)) {
            let mut vectors = [isa.zero(); NINE];
            for (vector, tap) in vectors.iter_mut().zip(taps) {
                // SAFETY: `at + LANES` is at most `room`, the length of each slice.
                *vector = unsafe { isa.load_ptr(tap.as_ptr().add(at)) };
            }
            let [a, b, c, d, e, f, g, h, i] = vectors;
            let (first, last) = (isa.add(isa.add(a, b), i), isa.add(g, h));
            let sum = isa.add(isa.add(isa.add(c, d), isa.add(e, f)), isa.add(first, last));
            isa.store(self.pooling.finish_lanes(isa, sum, count), to);
        }
        whole
    }

    /// Pools `N` vectors of channels of one window; gives their number.
    #[inline(always)]
    fn vectors<S: Isa, const N: usize>(
        &mut self,
        isa: S,
        window: &Window,
        channel: usize,
        done: usize,
    ) -> usize {
        let acc = self.walk(isa, window, channel, N * S::LANES, |row| {
            core::array::from_fn::<_, N, _>(|i| isa.load(&row[i * S::LANES..]))
        });
        for (acc, to) in acc.into_iter().zip(self.dst[done..].chunks_exact_mut(S::LANES)) {
            isa.store(self.pooling.finish_lanes(isa, acc, window.count()), to);
        }
        N * S::LANES
    }

    /// Pools the last channels, less than a vector; gives their number.
    #[inline(always)]
    fn part<S: Isa>(&mut self, isa: S, window: &Window, channel: usize, done: usize, len: usize) -> usize {
        let [acc] = self.walk(isa, window, channel, len, |row| [isa.load_part(row)]);
        let result = self.pooling.finish_lanes(isa, acc, window.count());
        isa.store_part(result, &mut self.dst[done..done + len]);
        len
    }
}

#[cfg(test)]
mod tests {
    use super::super::average_bytes;
    use super::*;
    use crate::reference;

    fn shapes() -> Vec<(&'static str, PoolShape)> {
        let base = PoolShape {
            batch: 1,
            in_height: 7,
            in_width: 6,
            channels: 5,
            out_height: 6,
            out_width: 5,
            filter_height: 2,
            filter_width: 2,
            stride_height: 1,
            stride_width: 1,
            pad_top: 0,
            pad_left: 0,
        };
        vec![
            ("2x2", base),
            (
                "3x3 stride 2 padded, two images",
                PoolShape {
                    batch: 2,
                    out_height: 4,
                    out_width: 3,
                    filter_height: 3,
                    filter_width: 3,
                    stride_height: 2,
                    stride_width: 2,
                    pad_top: 1,
                    pad_left: 1,
                    channels: 37,
                    ..base
                },
            ),
            (
                "global",
                PoolShape {
                    out_height: 1,
                    out_width: 1,
                    filter_height: 7,
                    filter_width: 6,
                    channels: 130,
                    ..base
                },
            ),
            (
                "window larger than the image",
                PoolShape {
                    out_height: 7,
                    out_width: 6,
                    filter_height: 9,
                    filter_width: 9,
                    pad_top: 4,
                    pad_left: 4,
                    ..base
                },
            ),
            ("no images", PoolShape { batch: 0, ..base }),
        ]
    }

    /// Compares every way to pool on every instruction set with the plain loops.
    fn check<T, P>(
        name: &str,
        run: fn(Cpu, Par, P, &PoolShape, &[T], &mut [T]),
        pooling: P,
        values: impl Fn(usize) -> T,
        failures: &mut Vec<String>,
    ) where
        T: Copy + Send + Sync + Default + PartialEq + core::fmt::Debug,
        P: Pooling<T>,
    {
        for (shape_name, shape) in shapes() {
            let src: Vec<T> = (0..shape.source_len()).map(&values).collect();
            let mut want = vec![T::default(); shape.result_len()];
            reference::pool::pool(pooling, &shape, &src, &mut want);
            for cpu in Cpu::all() {
                let mut got = vec![T::default(); shape.result_len()];
                run(cpu, Par::new(2), pooling, &shape, &src, &mut got);
                if got != want {
                    failures.push(format!("{name}, {shape_name}, {}", cpu.name()));
                }
            }
        }
    }

    #[test]
    fn equals_the_plain_loops() {
        let mut failures = Vec::new();
        let float = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 8.0;
        let byte = |i: usize| (i * 37 % 251) as u8;
        check("average f32", pool_f32, Average { low: -3.0, high: 3.0 }, float, &mut failures);
        check("max f32", pool_f32, Max { low: f32::NEG_INFINITY, high: 4.0 }, float, &mut failures);
        check("l2 f32", pool_f32, L2 { low: 0.0, high: f32::INFINITY }, float, &mut failures);
        check("average i8", pool, Average { low: -128, high: 127 }, |i| byte(i) as i8, &mut failures);
        check("average u8", pool, Average { low: 3, high: 250 }, byte, &mut failures);
        let signed = Average { low: -100, high: 90 };
        check("average i8 by vectors", average_bytes, signed, |i| byte(i) as i8, &mut failures);
        check("average u8 by vectors", average_bytes, Average { low: 3, high: 250 }, byte, &mut failures);
        check(
            "average i16",
            pool,
            Average { low: -32768, high: 32767 },
            |i| (i * 7919 % 65536) as i16,
            &mut failures,
        );
        check("max i8", pool, Max { low: -100, high: 90 }, |i| byte(i) as i8, &mut failures);
        check("max u8", pool, Max { low: 0, high: 255 }, byte, &mut failures);
        check(
            "max i16",
            pool,
            Max { low: -32768, high: 32767 },
            |i| (i * 7919 % 65536) as i16,
            &mut failures,
        );
        check("average f32 by elements", pool, Average { low: -3.0, high: 3.0 }, float, &mut failures);
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn integer_averages_round_halves_away_from_zero() {
        let rows: &[(i32, usize, i8)] =
            &[(3, 2, 2), (-3, 2, -2), (1, 4, 0), (2, 4, 1), (-2, 4, -1), (0, 4, 0)];
        for &(sum, count, want) in rows {
            assert_eq!(Average { low: -128i8, high: 127 }.finish(sum, count), want, "{sum} / {count}");
        }
    }
}
