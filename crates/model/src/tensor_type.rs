//! Element types of tensors.

use std::fmt;

use ferrolite_schema::tflite as schema;

macro_rules! tensor_types {
    ($($variant:ident $schema:ident $bits:expr, $doc:literal;)*) => {
        /// Element type of a tensor.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum TensorType {
            $(#[doc = $doc] $variant,)*
        }

        impl TensorType {
            /// Every type, in the order of the file format's codes.
            pub const ALL: &'static [TensorType] = &[$(TensorType::$variant),*];

            /// Name as the file format writes it, `FLOAT32`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($schema),)* }
            }

            /// Bits of one element; `None` for strings, resources and variants, whose elements have no fixed size.
            pub const fn bits(self) -> Option<usize> {
                match self { $(Self::$variant => $bits,)* }
            }

            /// The type behind the file format's code; `None` for a code this version does not know.
            pub const fn from_schema(code: schema::TensorType) -> Option<Self> {
                match code { $(schema::TensorType::$schema => Some(Self::$variant),)* _ => None }
            }

            /// The file format's code.
            pub const fn to_schema(self) -> schema::TensorType {
                match self { $(Self::$variant => schema::TensorType::$schema,)* }
            }
        }
    };
}

tensor_types! {
    Float32 FLOAT32 Some(32), "IEEE 754 single precision.";
    Float16 FLOAT16 Some(16), "IEEE 754 half precision.";
    Int32 INT32 Some(32), "Signed, 32 bits.";
    UInt8 UINT8 Some(8), "Unsigned, 8 bits.";
    Int64 INT64 Some(64), "Signed, 64 bits.";
    String STRING None, "Byte strings: a count, offsets and the bytes, see [`crate::strings`].";
    Bool BOOL Some(8), "One byte, 0 or 1.";
    Int16 INT16 Some(16), "Signed, 16 bits.";
    Complex64 COMPLEX64 Some(64), "Two [`Self::Float32`]: real and imaginary part.";
    Int8 INT8 Some(8), "Signed, 8 bits.";
    Float64 FLOAT64 Some(64), "IEEE 754 double precision.";
    Complex128 COMPLEX128 Some(128), "Two [`Self::Float64`]: real and imaginary part.";
    UInt64 UINT64 Some(64), "Unsigned, 64 bits.";
    Resource RESOURCE None, "Handle of a variable or a hash table.";
    Variant VARIANT None, "A value of another kind, such as a tensor list.";
    UInt32 UINT32 Some(32), "Unsigned, 32 bits.";
    UInt16 UINT16 Some(16), "Unsigned, 16 bits.";
    Int4 INT4 Some(4), "Signed, two in a byte, the low half first.";
    BFloat16 BFLOAT16 Some(16), "The upper half of a single-precision float.";
    Int2 INT2 Some(2), "Signed, four in a byte, the lowest bits first.";
    UInt4 UINT4 Some(4), "Unsigned, two in a byte, the low half first.";
    Float8E4M3Fn FLOAT8_E4M3FN Some(8), "8-bit float, 4 bits of exponent, no infinities.";
    Float8E5M2 FLOAT8_E5M2 Some(8), "8-bit float, 5 bits of exponent.";
}

/// The file format's default.
impl Default for TensorType {
    fn default() -> Self {
        Self::Float32
    }
}

impl TensorType {
    /// Bytes that `num_elements` elements take, types below a byte being packed; `None` for types without a fixed
    /// size, or when the number does not fit.
    pub fn byte_len(self, num_elements: usize) -> Option<usize> {
        match self.bits()? {
            bits @ 0..8 => {
                let per_byte = 8_usize.checked_div(bits)?;
                Some(num_elements.div_ceil(per_byte))
            }
            bits => num_elements.checked_mul(bits / 8),
        }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_there_and_back() {
        let codes: Vec<_> = TensorType::ALL.iter().map(|t| t.to_schema()).collect();
        assert_eq!(codes, schema::TensorType::ENUM_VALUES, "every code, in order");
        for &dtype in TensorType::ALL {
            assert_eq!(TensorType::from_schema(dtype.to_schema()), Some(dtype));
        }
        assert_eq!(TensorType::from_schema(schema::TensorType(23)), None);
        assert_eq!(TensorType::Float8E4M3Fn.to_string(), "FLOAT8_E4M3FN");
    }

    #[test]
    fn byte_lengths() {
        use TensorType::*;
        let rows = [
            (Float32, 3, Some(12)),
            (Int4, 3, Some(2)),
            (UInt4, 4, Some(2)),
            (Int2, 5, Some(2)),
            (Int4, usize::MAX, Some(usize::MAX / 2 + 1)),
            (Bool, 0, Some(0)),
            (Complex128, 2, Some(32)),
            (String, 1, None),
            (Int64, usize::MAX, None),
        ];
        for (dtype, n, expected) in rows {
            assert_eq!(dtype.byte_len(n), expected, "{dtype} x {n}");
        }
    }
}
