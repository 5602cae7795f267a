//! The two 8-bit floats of the file format, as numbers that are stored and converted but not computed with.
//!
//! Both are those of "FP8 Formats for Deep Learning" (Micikevicius et al., 2022) under the names of the Python package
//! `ml_dtypes`, whose conversions they have: from `f32` they round to nearest, ties to even, and a NaN keeps its sign.
//! What is wider than `f32` is rounded to it first.

use bytemuck::{Pod, Zeroable};

/// How the seven bits below the sign are read.
struct Format {
    /// Bits behind the point.
    mantissa: u32,
    /// What the stored exponent exceeds the power of two by.
    bias: u32,
    /// The greatest finite number.
    greatest: u32,
    /// What stands for numbers beyond it, and for infinity.
    overflow: u32,
    /// The NaN that conversions give.
    nan: u32,
}

const E4M3FN: Format = Format { mantissa: 3, bias: 7, greatest: 0x7e, overflow: 0x7f, nan: 0x7f };
const E5M2: Format = Format { mantissa: 2, bias: 15, greatest: 0x7b, overflow: 0x7c, nan: 0x7e };

const F32_MANTISSA: u32 = f32::MANTISSA_DIGITS - 1;
const F32_BIAS: u32 = 127;
const F32_MAGNITUDE: u32 = 0x7fff_ffff;

/// 2 to the power of `exponent`, which must be that of a normal number.
const fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(((F32_BIAS as i32 + exponent) as u32) << F32_MANTISSA)
}

impl Format {
    /// The value of a code.
    #[inline(always)]
    const fn decode(&self, code: u8) -> f32 {
        let magnitude = code as u32 & 0x7f;
        let value = if magnitude > self.greatest {
            // Where overflow has a code of its own, it is infinity.
            if magnitude == self.overflow && self.overflow != self.nan { f32::INFINITY } else { f32::NAN }
        } else {
            // In place among the bits of an `f32`, subnormal numbers included, all but the bias is right.
            let placed = f32::from_bits(magnitude << (F32_MANTISSA - self.mantissa));
            placed * power_of_two((F32_BIAS - self.bias) as i32)
        };
        f32::from_bits(value.to_bits() & F32_MAGNITUDE | (code as u32 & 0x80) << 24)
    }

    /// The code of the number nearest to `value`.
    #[inline(always)]
    const fn encode(&self, value: f32) -> u8 {
        let bits = value.to_bits() & F32_MAGNITUDE;
        let magnitude = f32::from_bits(bits);
        let least_exponent = 1 - self.bias as i32;
        let code = if magnitude.is_nan() {
            self.nan
        } else if magnitude < power_of_two(least_exponent) {
            // A sum whose last bit is worth one subnormal step rounds to whole steps.
            let steps = power_of_two(least_exponent + F32_MANTISSA as i32 - self.mantissa as i32);
            (magnitude + steps).to_bits() - steps.to_bits()
        } else {
            let dropped = F32_MANTISSA - self.mantissa;
            let below_half = (1 << (dropped - 1)) - 1;
            let rounded = (bits + below_half + (bits >> dropped & 1)) >> dropped;
            let code = rounded - ((F32_BIAS - self.bias) << self.mantissa);
            if code > self.greatest { self.overflow } else { code }
        };
        (code | value.to_bits() >> 24 & 0x80) as u8
    }
}

macro_rules! float8 {
    ($(#[$doc:meta])* $name:ident, $format:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, Pod, Zeroable)]
        #[repr(transparent)]
        pub struct $name(u8);

        impl $name {
            /// The number that a byte of a tensor stands for.
            #[must_use]
            pub const fn from_bits(bits: u8) -> Self {
                Self(bits)
            }

            /// The byte.
            #[must_use]
            pub const fn to_bits(self) -> u8 {
                self.0
            }

            /// The nearest number, of two the one with an even last bit.
            #[must_use]
            #[inline(always)]
            pub const fn from_f32(value: f32) -> Self {
                Self($format.encode(value))
            }

            /// The value.
            #[must_use]
            #[inline(always)]
            pub const fn to_f32(self) -> f32 {
                $format.decode(self.0)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.to_f32() == other.to_f32()
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.to_f32().fmt(f)
            }
        }
    };
}

float8! {
    /// Four bits of exponent and three of mantissa: up to 448, no infinities, one NaN of each sign. Greater numbers and
    /// infinity become NaN.
    F8E4M3Fn, E4M3FN
}

float8! {
    /// Five bits of exponent and two of mantissa, the upper half of an IEEE 754 binary16: up to 57344. Greater numbers
    /// become infinity.
    F8E5M2, E5M2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A format with the definition of its values.
    struct Row {
        name: &'static str,
        decode: fn(u8) -> f32,
        encode: fn(f32) -> u8,
        mantissa: i32,
        bias: i32,
        /// The codes above these are infinity (if any) and NaN.
        greatest: u8,
        infinity: Option<u8>,
        /// The first number that does not round to the greatest one.
        too_large: f32,
        nan: u8,
    }

    const ROWS: [Row; 2] = [
        Row {
            name: "e4m3fn",
            decode: |code| F8E4M3Fn::from_bits(code).to_f32(),
            encode: |value| F8E4M3Fn::from_f32(value).to_bits(),
            mantissa: 3,
            bias: 7,
            greatest: 0x7e,
            infinity: None,
            too_large: f32::from_bits(464f32.to_bits() + 1),
            nan: 0x7f,
        },
        Row {
            name: "e5m2",
            decode: |code| F8E5M2::from_bits(code).to_f32(),
            encode: |value| F8E5M2::from_f32(value).to_bits(),
            mantissa: 2,
            bias: 15,
            greatest: 0x7b,
            infinity: Some(0x7c),
            too_large: 61440.0,
            nan: 0x7e,
        },
    ];

    impl Row {
        /// The value of a code below the sign, by the formula of IEEE 754.
        fn value(&self, code: u8) -> f64 {
            let fraction = f64::from(code & ((1 << self.mantissa) - 1)) / f64::from(1 << self.mantissa);
            match i32::from(code >> self.mantissa) {
                0 => fraction * 2f64.powi(1 - self.bias),
                exponent => (1.0 + fraction) * 2f64.powi(exponent - self.bias),
            }
        }
    }

    #[test]
    fn every_code_has_its_value_and_is_the_code_of_it() {
        for row in &ROWS {
            for code in 0..=0x7f {
                let (plus, minus) = ((row.decode)(code), (row.decode)(code | 0x80));
                assert_eq!(minus.to_bits(), plus.to_bits() | 1 << 31, "{} {code:#x}: the sign", row.name);
                if code <= row.greatest {
                    assert_eq!(f64::from(plus), row.value(code), "{} {code:#x}", row.name);
                } else if row.infinity == Some(code) {
                    assert_eq!(plus, f32::INFINITY, "{}", row.name);
                } else {
                    assert!(plus.is_nan(), "{} {code:#x}: {plus}", row.name);
                }
                let again = if plus.is_nan() { row.nan } else { code };
                assert_eq!((row.encode)(plus), again, "{} {code:#x}", row.name);
                assert_eq!((row.encode)(minus), again | 0x80, "{} {code:#x}", row.name);
            }
        }
    }

    #[test]
    fn numbers_between_two_codes_go_to_the_nearer_and_ties_to_the_even() {
        for row in &ROWS {
            for code in 0..row.greatest {
                let middle = f64::midpoint(row.value(code), row.value(code + 1)) as f32;
                let even = code + (code & 1);
                let below = f32::from_bits(middle.to_bits() - 1);
                let above = f32::from_bits(middle.to_bits() + 1);
                for (value, expected) in [(below, code), (middle, even), (above, code + 1)] {
                    assert_eq!((row.encode)(value), expected, "{}: {value:e}", row.name);
                    assert_eq!((row.encode)(-value), expected | 0x80, "{}: -{value:e}", row.name);
                }
            }
        }
    }

    #[test]
    fn what_is_too_large_or_no_number_has_the_format_s_code_for_it() {
        for row in &ROWS {
            let overflow = row.infinity.unwrap_or(row.nan);
            let below = f32::from_bits(row.too_large.to_bits() - 1);
            let expected = [
                (below, row.greatest),
                (row.too_large, overflow),
                (f32::MAX, overflow),
                (f32::INFINITY, overflow),
                (f32::NAN, row.nan),
                (f32::MIN_POSITIVE, 0),
                (f32::from_bits(1), 0),
                (0.0, 0),
            ];
            for (value, code) in expected {
                assert_eq!((row.encode)(value), code, "{}: {value:e}", row.name);
                assert_eq!((row.encode)(-value), code | 0x80, "{}: -{value:e}", row.name);
            }
        }
    }
}
