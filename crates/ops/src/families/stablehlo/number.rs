//! Arithmetic on elements of every type, as the StableHLO specification and, for integers without a defined result, XLA
//! have it.
//!
//! Integers wrap. A quotient by zero has all bits set and its remainder is the dividend; the least integer divided by -1
//! stays what it is. 16-bit floats are computed in `f32` and rounded. On truth values addition and maximum mean or,
//! multiplication and minimum mean and.

use half::{bf16, f16};

use super::complex::Complex;
use crate::element::{Bool, Complex64, Complex128, Element};

/// What reductions combine elements with.
pub(super) trait Value: Element {
    /// One; true.
    const ONE: Self;

    /// The sum.
    fn plus(self, other: Self) -> Self;
    /// The product.
    fn times(self, other: Self) -> Self;
    /// Whether this is less than the other; complex numbers are ordered by their real parts first, and NaN by nothing.
    fn below(self, other: Self) -> bool;

    /// The greater one: the second if the first is less, as the reference runtime has it, so that a NaN in front stays.
    #[inline(always)]
    fn greatest(self, other: Self) -> Self {
        if self.below(other) { other } else { self }
    }

    /// The lesser one, likewise.
    #[inline(always)]
    fn least(self, other: Self) -> Self {
        if other.below(self) { other } else { self }
    }

    /// Whether this is other than zero.
    #[inline(always)]
    fn is_true(self) -> bool {
        self != Self::default()
    }

    /// One for true, zero for false.
    #[inline(always)]
    fn of_truth(truth: bool) -> Self {
        if truth { Self::ONE } else { Self::default() }
    }

    /// Whether this is no number.
    #[inline(always)]
    fn is_no_number(self) -> bool {
        #[allow(clippy::eq_op, reason = "NaN alone differs from itself")]
        let differs = self != self;
        differs
    }
}

/// Numbers.
pub(super) trait Number: Value {
    /// Zero, which sums start with.
    const ZERO: Self;
    /// The difference.
    fn minus(self, other: Self) -> Self;
    /// The quotient.
    fn over(self, other: Self) -> Self;
    /// This number to a power.
    fn power(self, exponent: Self) -> Self;
}

/// Numbers on a line.
pub(super) trait Real: Number {
    /// What is left of a division towards zero; it has the dividend's sign.
    fn remainder(self, other: Self) -> Self;
    /// The magnitude.
    fn magnitude(self) -> Self;
}

/// Bit patterns and truth values.
pub(super) trait Bits: Element {
    /// Bits set in both.
    fn both(self, other: Self) -> Self;
    /// Bits set in either.
    fn either(self, other: Self) -> Self;
}

/// Integers that can be shifted.
pub(super) trait Shift: Element {
    /// Shifted left by `count` bits. The reference runtime shifts the types it knows, `i8`, `i16` and `i32`, as 32-bit
    /// numbers, of whose counts 64-bit x86 takes the lowest five bits. Of the others nothing is left when shifted by as
    /// many bits as they have or more, or by a negative number.
    fn shifted_left(self, count: Self) -> Self;
}

macro_rules! short_shifts {
    ($($T:ty),*) => {$(
        impl Shift for $T {
            #[inline(always)]
            fn shifted_left(self, count: Self) -> Self {
                i32::from(self).wrapping_shl(count as u32) as $T
            }
        }
    )*};
}

short_shifts!(i8, i16, i32);

macro_rules! shifts {
    ($($T:ty),*) => {$(
        impl Shift for $T {
            #[inline(always)]
            fn shifted_left(self, count: Self) -> Self {
                u32::try_from(count).ok().and_then(|count| self.checked_shl(count)).unwrap_or(0)
            }
        }
    )*};
}

shifts!(i64, u8, u16, u32, u64);

macro_rules! integers {
    ($($T:ty),*) => {$(
        impl Value for $T {
            const ONE: Self = 1;
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            #[inline(always)]
            fn below(self, other: Self) -> bool {
                self < other
            }
        }

        impl Number for $T {
            const ZERO: Self = 0;
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn over(self, other: Self) -> Self {
                if other == 0 { !0 } else { self.wrapping_div(other) }
            }
            fn power(self, exponent: Self) -> Self {
                #[allow(unused_comparisons, reason = "half of the types have no negative values")]
                if exponent < 0 {
                    // The reciprocal of anything but 1 and -1 is cut to zero.
                    let minus_one = (0 as $T).wrapping_sub(1);
                    return match self {
                        1 => 1,
                        x if x == minus_one => if exponent % 2 == 0 { 1 } else { minus_one },
                        _ => 0,
                    };
                }
                let (mut result, mut square, mut left): ($T, $T, $T) = (1, self, exponent);
                while left != 0 {
                    if left % 2 == 1 {
                        result = result.wrapping_mul(square);
                    }
                    square = square.wrapping_mul(square);
                    left /= 2;
                }
                result
            }
        }

        impl Real for $T {
            #[inline(always)]
            fn remainder(self, other: Self) -> Self {
                if other == 0 { self } else { self.wrapping_rem(other) }
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                #[allow(unused_comparisons, reason = "half of the types have no negative values")]
                if self < 0 { (0 as $T).wrapping_sub(self) } else { self }
            }
        }

        impl Bits for $T {
            #[inline(always)]
            fn both(self, other: Self) -> Self {
                self & other
            }
            #[inline(always)]
            fn either(self, other: Self) -> Self {
                self | other
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! floats {
    ($($T:ty),*) => {$(
        impl Value for $T {
            const ONE: Self = 1.0;
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self * other
            }
            #[inline(always)]
            fn below(self, other: Self) -> bool {
                self < other
            }
        }

        impl Number for $T {
            const ZERO: Self = 0.0;
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self - other
            }
            #[inline(always)]
            fn over(self, other: Self) -> Self {
                self / other
            }
            #[inline(always)]
            fn power(self, exponent: Self) -> Self {
                self.powf(exponent)
            }
        }

        impl Real for $T {
            #[inline(always)]
            fn remainder(self, other: Self) -> Self {
                self % other
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                self.abs()
            }
        }
    )*};
}

floats!(f32, f64);

macro_rules! halves {
    ($($T:ty),*) => {$(
        impl Value for $T {
            const ONE: Self = <$T>::ONE;
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                Self::from_f32(self.to_f32() + other.to_f32())
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                Self::from_f32(self.to_f32() * other.to_f32())
            }
            #[inline(always)]
            fn below(self, other: Self) -> bool {
                self < other
            }
        }

        impl Number for $T {
            const ZERO: Self = Self::from_bits(0);
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                Self::from_f32(self.to_f32() - other.to_f32())
            }
            #[inline(always)]
            fn over(self, other: Self) -> Self {
                Self::from_f32(self.to_f32() / other.to_f32())
            }
            #[inline(always)]
            fn power(self, exponent: Self) -> Self {
                Self::from_f32(self.to_f32().powf(exponent.to_f32()))
            }
        }

        impl Real for $T {
            #[inline(always)]
            fn remainder(self, other: Self) -> Self {
                Self::from_f32(self.to_f32() % other.to_f32())
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                Self::from_bits(self.to_bits() & 0x7fff)
            }
        }
    )*};
}

halves!(f16, bf16);

macro_rules! complex {
    ($($T:ty),*) => {$(
        impl Value for $T {
            const ONE: Self = Self { re: 1.0, im: 0.0 };
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                Self { re: self.re + other.re, im: self.im + other.im }
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self.product(other)
            }
            #[inline(always)]
            fn below(self, other: Self) -> bool {
                (self.re, self.im) < (other.re, other.im)
            }
        }

        impl Number for $T {
            const ZERO: Self = Self { re: 0.0, im: 0.0 };
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                Self { re: self.re - other.re, im: self.im - other.im }
            }
            #[inline(always)]
            fn over(self, other: Self) -> Self {
                self.quotient(other)
            }
            fn power(self, exponent: Self) -> Self {
                self.to_power(exponent)
            }
        }
    )*};
}

complex!(Complex64, Complex128);

impl Value for Bool {
    const ONE: Self = Self(1);

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.either(other)
    }
    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self.both(other)
    }
    #[inline(always)]
    fn below(self, other: Self) -> bool {
        !self.get() & other.get()
    }
}

impl Bits for Bool {
    #[inline(always)]
    fn both(self, other: Self) -> Self {
        Self::from(self.get() & other.get())
    }
    #[inline(always)]
    fn either(self, other: Self) -> Self {
        Self::from(self.get() | other.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_where_division_and_powers_have_no_plain_result() {
        assert_eq!((7i32.over(0), 7u8.over(0), i8::MIN.over(-1)), (-1, 255, i8::MIN));
        assert_eq!((7i32.remainder(0), i16::MIN.remainder(-1), (-7i64).remainder(4)), (7, 0, -3));
        let powers =
            [(2, -1, 0), (1, -5, 1), (-1, -3, -1), (-1, -2, 1), (0, 0, 1), (3, 4, 81), (-2, 7, -128)];
        for (x, n, want) in powers {
            assert_eq!(Number::power(x, n), want, "{x} to {n}");
        }
        assert_eq!(Number::power(3u8, 6), 217, "wraps");
        assert_eq!((i32::MIN.magnitude(), (-5i8).magnitude(), 200u8.magnitude()), (i32::MIN, 5, 200));
    }

    #[test]
    fn shifts_beyond_the_bits() {
        let shifts = [(1i8, 7, i8::MIN), (1, 8, 0), (1, 33, 2), (3, 40, 0), (-1, 2, -4)];
        for (x, count, want) in shifts {
            assert_eq!(x.shifted_left(count), want, "{x} << {count}");
        }
        assert_eq!((1u64.shifted_left(u64::MAX), 1i64.shifted_left(-1), 1u8.shifted_left(8)), (0, 0, 0));
    }

    #[test]
    fn a_nan_in_front_stays() {
        assert!(f32::NAN.greatest(1.0).is_nan() && f16::NAN.least(f16::ONE).is_nan());
        assert_eq!((1f32.greatest(f32::NAN), 2f64.least(-3.0)), (1.0, -3.0));
        assert!(f64::NAN.is_no_number() && !f64::INFINITY.is_no_number());
    }
}
