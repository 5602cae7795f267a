//! Ways to reduce many elements to one.

use crate::fixed_point::Multiplier;

/// A way to reduce elements of type `In`. Merging must be associative up to rounding.
pub trait Reduction: Copy + Send + Sync {
    /// Element read.
    type In: Copy + Send + Sync;
    /// What is kept on the way.
    type Acc: Copy;
    /// Element written.
    type Out: Copy + Send + Sync;

    /// Before the first element.
    fn start(self) -> Self::Acc;
    /// Takes one element in.
    fn step(acc: Self::Acc, x: Self::In) -> Self::Acc;
    /// Joins two partial results.
    fn merge(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// The result.
    fn finish(self, acc: Self::Acc) -> Self::Out;
}

/// The sum; integers wrap.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum<T>(core::marker::PhantomData<T>);

/// The product; integers wrap.
#[derive(Clone, Copy, Debug, Default)]
pub struct Product<T>(core::marker::PhantomData<T>);

/// The greatest element; of none, the least value of the type.
#[derive(Clone, Copy, Debug, Default)]
pub struct MaxOf<T>(core::marker::PhantomData<T>);

/// The least element; of none, the greatest value of the type.
#[derive(Clone, Copy, Debug, Default)]
pub struct MinOf<T>(core::marker::PhantomData<T>);

/// The mean of `count` elements. The sum of floats is multiplied by the rounded reciprocal of their number; integers are
/// added in 64 bits and the quotient is truncated.
#[derive(Clone, Copy, Debug)]
pub struct Mean<T> {
    count: usize,
    element: core::marker::PhantomData<T>,
}

impl<T> Mean<T> {
    /// The mean of `count` elements.
    #[must_use]
    pub fn of(count: usize) -> Self {
        Self { count, element: core::marker::PhantomData }
    }
}

/// Whether any byte is not zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct Any;

/// Whether no byte is zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct All;

/// The sum or mean of quantized elements, requantized in float: `sum * scale + offset`, rounded and clamped.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedSum<T> {
    /// Input scale over output scale; for a mean divided by the number of elements.
    pub scale: f32,
    /// Output zero point less what the input zero points add up to, in output steps.
    pub offset: f32,
    /// Element type.
    pub element: core::marker::PhantomData<T>,
}

/// The mean of 16-bit elements in the fixed-point arithmetic of the format: the sum times a factor.
#[derive(Clone, Copy, Debug)]
pub struct RescaledSum(pub Multiplier);

impl Reduction for RescaledSum {
    type In = i16;
    type Acc = i32;
    type Out = i16;

    #[inline(always)]
    fn start(self) -> i32 {
        0
    }
    #[inline(always)]
    fn step(acc: i32, x: i16) -> i32 {
        acc.wrapping_add(i32::from(x))
    }
    #[inline(always)]
    fn merge(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn finish(self, acc: i32) -> i16 {
        self.0.apply(acc).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }
}

macro_rules! fold {
    ($Kind:ident: $($T:ty: $start:expr, $step:expr;)*) => {$(
        impl Reduction for $Kind<$T> {
            type In = $T;
            type Acc = $T;
            type Out = $T;

            #[inline(always)]
            fn start(self) -> $T {
                $start
            }
            #[inline(always)]
            fn step(acc: $T, x: $T) -> $T {
                let step: fn($T, $T) -> $T = $step;
                step(acc, x)
            }
            #[inline(always)]
            fn merge(a: $T, b: $T) -> $T {
                Self::step(a, b)
            }
            #[inline(always)]
            fn finish(self, acc: $T) -> $T {
                acc
            }
        }
    )*};
}

fold! { Sum:
    f32: 0.0, |a, x| a + x;
    i32: 0, i32::wrapping_add;
    i64: 0, i64::wrapping_add;
}
fold! { Product:
    f32: 1.0, |a, x| a * x;
    i8: 1, i8::wrapping_mul;
    i16: 1, i16::wrapping_mul;
    i32: 1, i32::wrapping_mul;
    i64: 1, i64::wrapping_mul;
}
fold! { MaxOf:
    f32: f32::NEG_INFINITY, |a, x| if x > a { x } else { a };
    i8: i8::MIN, Ord::max;
    u8: u8::MIN, Ord::max;
    i16: i16::MIN, Ord::max;
    i32: i32::MIN, Ord::max;
    i64: i64::MIN, Ord::max;
}
fold! { MinOf:
    f32: f32::INFINITY, |a, x| if x < a { x } else { a };
    i8: i8::MAX, Ord::min;
    u8: u8::MAX, Ord::min;
    i16: i16::MAX, Ord::min;
    i32: i32::MAX, Ord::min;
    i64: i64::MAX, Ord::min;
}

impl Reduction for Mean<f32> {
    type In = f32;
    type Acc = f32;
    type Out = f32;

    #[inline(always)]
    fn start(self) -> f32 {
        0.0
    }
    #[inline(always)]
    fn step(acc: f32, x: f32) -> f32 {
        acc + x
    }
    #[inline(always)]
    fn merge(a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    fn finish(self, acc: f32) -> f32 {
        acc * (1.0 / self.count as f32)
    }
}

macro_rules! integer_mean {
    ($($T:ty),*) => {$(
        impl Reduction for Mean<$T> {
            type In = $T;
            type Acc = i64;
            type Out = $T;

            #[inline(always)]
            fn start(self) -> i64 {
                0
            }
            #[inline(always)]
            fn step(acc: i64, x: $T) -> i64 {
                acc.wrapping_add(x as i64)
            }
            #[inline(always)]
            fn merge(a: i64, b: i64) -> i64 {
                a.wrapping_add(b)
            }
            #[inline(always)]
            fn finish(self, acc: i64) -> $T {
                acc.checked_div(self.count as i64).unwrap_or(0) as $T
            }
        }
    )*};
}
integer_mean!(i32, i64);

macro_rules! quantized_sum {
    ($($T:ty: $round:expr;)*) => {$(
        impl Reduction for QuantizedSum<$T> {
            type In = $T;
            type Acc = i32;
            type Out = $T;

            #[inline(always)]
            fn start(self) -> i32 {
                0
            }
            #[inline(always)]
            fn step(acc: i32, x: $T) -> i32 {
                acc.wrapping_add(i32::from(x))
            }
            #[inline(always)]
            fn merge(a: i32, b: i32) -> i32 {
                a.wrapping_add(b)
            }
            #[inline(always)]
            fn finish(self, acc: i32) -> $T {
                let round: fn(f32) -> f32 = $round;
                round(acc as f32 * self.scale + self.offset) as $T
            }
        }
    )*};
}
// The 8-bit types round halves to even, the 16-bit one away from zero.
quantized_sum! {
    i8: f32::round_ties_even;
    u8: f32::round_ties_even;
    i16: f32::round;
}

macro_rules! truth {
    ($($Kind:ident: $start:expr, $step:expr;)*) => {$(
        impl Reduction for $Kind {
            type In = u8;
            type Acc = u8;
            type Out = u8;

            #[inline(always)]
            fn start(self) -> u8 {
                $start
            }
            #[inline(always)]
            fn step(acc: u8, x: u8) -> u8 {
                let step: fn(u8, u8) -> u8 = $step;
                step(acc, u8::from(x != 0))
            }
            #[inline(always)]
            fn merge(a: u8, b: u8) -> u8 {
                Self::step(a, b)
            }
            #[inline(always)]
            fn finish(self, acc: u8) -> u8 {
                acc
            }
        }
    )*};
}
truth! {
    Any: 0, |a, x| a | x;
    All: 1, |a, x| a & x;
}
