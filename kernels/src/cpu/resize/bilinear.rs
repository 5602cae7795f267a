//! Bilinear interpolation.

use core::marker::PhantomData;

use super::sampling::{Corners, Tap, taps, taps_fixed10};
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::Par;

/// The shapes of a resizing: `batch` images of `channels` channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResizeShape {
    /// Images.
    pub batch: usize,
    /// Rows and columns of the source, both at least 1.
    pub source: [usize; 2],
    /// Rows and columns of the result.
    pub result: [usize; 2],
    /// Channels, innermost.
    pub channels: usize,
}

/// The arithmetic of an interpolation.
pub trait Interpolation: Copy + Send + Sync {
    /// Element type.
    type Element: Copy + Send + Sync;
    /// Weight of the upper of two positions.
    type Weight: Copy + Send + Sync;

    /// The taps of an axis.
    fn taps(corners: Corners, source: usize, result: usize) -> Vec<Tap<Self::Weight>>;

    /// Mixes two elements of an upper row and two of a lower one.
    fn mix(
        top: [Self::Element; 2],
        bottom: [Self::Element; 2],
        x: Self::Weight,
        y: Self::Weight,
    ) -> Self::Element;
}

/// Single-precision floats.
#[derive(Clone, Copy, Debug)]
pub struct Float;

/// Integers with weights of eleven fractional bits, the upper half rounded up: the arithmetic of 8-bit elements.
#[derive(Clone, Copy, Debug)]
pub struct Fixed11<T>(PhantomData<T>);

/// Integers with weights of ten fractional bits, halves rounded away from zero: the arithmetic of 16-bit elements.
#[derive(Clone, Copy, Debug)]
pub struct Fixed10<T>(PhantomData<T>);

impl Interpolation for Float {
    type Element = f32;
    type Weight = f32;

    fn taps(corners: Corners, source: usize, result: usize) -> Vec<Tap<f32>> {
        taps(corners, source, result)
    }

    #[inline(always)]
    fn mix([tl, tr]: [f32; 2], [bl, br]: [f32; 2], x: f32, y: f32) -> f32 {
        let top = tl + (tr - tl) * x;
        let bottom = bl + (br - bl) * x;
        top + (bottom - top) * y
    }
}

macro_rules! eight_bit {
    ($($T:ty),*) => {$(
        impl Interpolation for Fixed11<$T> {
            type Element = $T;
            type Weight = i32;

            fn taps(corners: Corners, source: usize, result: usize) -> Vec<Tap<i32>> {
                let fixed = |w: f32| (w * 2048.0).round_ties_even() as i32;
                taps(corners, source, result)
                    .into_iter()
                    .map(|t| Tap { low: t.low, high: t.high, weight: fixed(t.weight) })
                    .collect()
            }

            #[inline(always)]
            fn mix([tl, tr]: [$T; 2], [bl, br]: [$T; 2], x: i32, y: i32) -> $T {
                let [tl, tr, bl, br] = [tl, tr, bl, br].map(i32::from);
                let top = (tl << 11) + (tr - tl) * x;
                let bottom = (bl << 11) + (br - bl) * x;
                (((top << 11) + (bottom - top) * y + (1 << 21)) >> 22) as $T
            }
        }
    )*};
}
eight_bit!(i8, u8);

impl Interpolation for Fixed10<i16> {
    type Element = i16;
    type Weight = i32;

    fn taps(corners: Corners, source: usize, result: usize) -> Vec<Tap<i32>> {
        taps_fixed10(corners, source, result)
    }

    #[inline(always)]
    fn mix([tl, tr]: [i16; 2], [bl, br]: [i16; 2], x: i32, y: i32) -> i16 {
        let (x, y) = (i64::from(x), i64::from(y));
        let row = |l: i16, r: i16| i64::from(l) * (1024 - x) + i64::from(r) * x;
        let sum = row(tl, tr) * (1024 - y) + row(bl, br) * y;
        let half = if sum > 0 { 1 << 19 } else { -(1 << 19) };
        ((sum + half) / (1 << 20)) as i16
    }
}

/// The prepared tables of a resizing.
#[derive(Clone, Debug)]
pub struct Bilinear<I: Interpolation> {
    shape: ResizeShape,
    rows: Vec<Tap<I::Weight>>,
    columns: Vec<Tap<I::Weight>>,
}

/// Prepares a bilinear resizing.
///
/// # Panics
/// If a dimension of the source is zero.
#[must_use]
pub fn bilinear<I: Interpolation>(shape: ResizeShape, corners: Corners) -> Bilinear<I> {
    assert!(!shape.source.contains(&0), "the source has rows and columns");
    let axis = |i: usize| I::taps(corners, shape.source[i], shape.result[i]);
    Bilinear { shape, rows: axis(0), columns: axis(1) }
}

impl<I: Interpolation> Bilinear<I> {
    /// Resizes.
    ///
    /// # Panics
    /// If an operand's length is not that of the shape.
    pub fn run(&self, cpu: Cpu, par: Par, src: &[I::Element], dst: &mut [I::Element]) {
        let ResizeShape { batch, source: [height, width], result: [out_height, out_width], channels } =
            self.shape;
        assert_eq!(src.len(), batch * height * width * channels, "source");
        assert_eq!(dst.len(), batch * out_height * out_width * channels, "result");
        if dst.is_empty() {
            return;
        }
        let row_len = width * channels;
        par.chunks_mut(dst, out_width * channels, |row, dst| {
            let (image, y) = (row / out_height, row % out_height);
            let tap = self.rows[y];
            let source_row = |y: usize| &src[(image * height + y) * row_len..][..row_len];
            let (top, bottom) = (source_row(tap.low), source_row(tap.high));
            cpu.dispatch(Row::<I> { top, bottom, dst, columns: &self.columns, y: tap.weight, channels });
        });
    }
}

/// One row of the result.
struct Row<'a, I: Interpolation> {
    top: &'a [I::Element],
    bottom: &'a [I::Element],
    dst: &'a mut [I::Element],
    columns: &'a [Tap<I::Weight>],
    y: I::Weight,
    channels: usize,
}

impl<I: Interpolation> Kernel for Row<'_, I> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let n = self.channels;
        for (to, tap) in self.dst.chunks_exact_mut(n).zip(self.columns) {
            let (l, r) = (tap.low * n, tap.high * n);
            let (tl, tr) = (&self.top[l..l + n], &self.top[r..r + n]);
            let (bl, br) = (&self.bottom[l..l + n], &self.bottom[r..r + n]);
            for i in 0..n {
                to[i] = I::mix([tl[i], tr[i]], [bl[i], br[i]], tap.weight, self.y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    const SHAPES: &[(&str, ResizeShape)] = &[
        ("up", ResizeShape { batch: 2, source: [3, 4], result: [7, 9], channels: 5 }),
        ("down", ResizeShape { batch: 1, source: [9, 7], result: [4, 3], channels: 33 }),
        ("from one pixel", ResizeShape { batch: 1, source: [1, 1], result: [3, 2], channels: 2 }),
        ("to one pixel", ResizeShape { batch: 1, source: [4, 5], result: [1, 1], channels: 3 }),
        ("no channels", ResizeShape { batch: 1, source: [4, 5], result: [2, 2], channels: 0 }),
    ];

    fn check<I>(name: &str, tolerance: f64, value: impl Fn(usize) -> I::Element, failures: &mut Vec<String>)
    where
        I: Interpolation,
        I::Element: Into<f64> + Default,
    {
        for (shape_name, shape) in SHAPES {
            for corners in [Corners::Legacy, Corners::Align, Corners::HalfPixel] {
                let [rows, columns] = shape.source;
                let src: Vec<I::Element> =
                    (0..shape.batch * rows * columns * shape.channels).map(&value).collect();
                let exact: Vec<f64> = src.iter().map(|&x| x.into()).collect();
                let want = reference::resize::bilinear(shape, corners, &exact);
                for cpu in Cpu::all() {
                    let mut got = vec![I::Element::default(); want.len()];
                    bilinear::<I>(*shape, corners).run(cpu, Par::new(2), &src, &mut got);
                    let worst = got.iter().zip(&want).map(|(&g, w)| (g.into() - w).abs()).fold(0.0, f64::max);
                    if worst > tolerance {
                        failures.push(format!(
                            "{name}, {shape_name}, {corners:?}, {}: off by {worst}",
                            cpu.name()
                        ));
                    }
                }
            }
        }
    }

    #[test]
    fn equals_exact_interpolation() {
        let mut failures = Vec::new();
        let byte = |i: usize| (i * 37 % 251) as u8;
        check::<Float>("f32", 1e-4, |i| f32::from(byte(i)), &mut failures);
        // A rounding of the result, and one of each weight to its fixed point.
        check::<Fixed11<i8>>("i8", 0.5 + 256.0 / 2048.0, |i| byte(i) as i8, &mut failures);
        check::<Fixed11<u8>>("u8", 0.5 + 256.0 / 2048.0, byte, &mut failures);
        // The fixed-point step adds up to as much as one position's ten bits per step.
        check::<Fixed10<i16>>("i16", 0.5 + 9.0 * 256.0 / 1024.0, |i| i16::from(byte(i)), &mut failures);
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn fixed_point_rounds_as_its_type_does() {
        assert_eq!(Fixed11::<i8>::mix([-1, 0], [-1, 0], 1024, 0), 0, "the half of -1 goes up");
        assert_eq!(Fixed11::<u8>::mix([255, 255], [255, 255], 1024, 1024), 255);
        assert_eq!(Fixed10::<i16>::mix([-1, 0], [-1, 0], 512, 0), -1, "the half of -1 goes away from zero");
    }
}
