//! Integer inputs of any width: positions, lengths, starts.

use ferrolite_model::TensorType;

use crate::error::OpError;
use crate::io::Inputs;

/// The elements of an integer input.
#[derive(Clone, Copy, Debug)]
pub enum Integers<'a> {
    /// 8 bits.
    I8(&'a [i8]),
    /// 16 bits.
    I16(&'a [i16]),
    /// 32 bits.
    I32(&'a [i32]),
    /// 64 bits.
    I64(&'a [i64]),
    /// 8 bits, unsigned.
    U8(&'a [u8]),
    /// 16 bits, unsigned.
    U16(&'a [u16]),
    /// 32 bits, unsigned.
    U32(&'a [u32]),
    /// 64 bits, unsigned.
    U64(&'a [u64]),
}

/// The same expression for the elements of every width.
macro_rules! each {
    ($integers:expr, $v:ident => $body:expr) => {
        match $integers {
            Integers::I8($v) => $body,
            Integers::I16($v) => $body,
            Integers::I32($v) => $body,
            Integers::I64($v) => $body,
            Integers::U8($v) => $body,
            Integers::U16($v) => $body,
            Integers::U32($v) => $body,
            Integers::U64($v) => $body,
        }
    };
}

impl<'a> Integers<'a> {
    /// The elements of input `i`.
    ///
    /// # Errors
    /// When the input is missing or holds no integers.
    pub fn of(inputs: Inputs<'a>, i: usize) -> Result<Self, OpError> {
        Ok(match inputs.view(i)?.dtype {
            TensorType::Int8 => Self::I8(inputs.get(i)?),
            TensorType::Int16 => Self::I16(inputs.get(i)?),
            TensorType::Int64 => Self::I64(inputs.get(i)?),
            TensorType::UInt8 => Self::U8(inputs.get(i)?),
            TensorType::UInt16 => Self::U16(inputs.get(i)?),
            TensorType::UInt32 => Self::U32(inputs.get(i)?),
            TensorType::UInt64 => Self::U64(inputs.get(i)?),
            _ => Self::I32(inputs.get(i)?),
        })
    }

    /// Number of elements.
    #[must_use]
    pub fn len(self) -> usize {
        each!(self, v => v.len())
    }

    /// Element `i`; what is too large for a position of any tensor is cut to the greatest number.
    ///
    /// # Panics
    /// If there is no such element.
    #[must_use]
    #[expect(
        clippy::unnecessary_fallible_conversions,
        clippy::useless_conversion,
        reason = "one expression for all types; that of the widest can fail"
    )]
    pub fn get(self, i: usize) -> i64 {
        each!(self, v => i64::try_from(v[i]).unwrap_or(i64::MAX))
    }

    /// Element `i` as an index below `limit`, of the axis that the message calls `what`.
    ///
    /// # Errors
    /// When it is negative or not below the limit.
    pub fn index(self, i: usize, limit: usize, what: &str) -> Result<usize, OpError> {
        let index = self.get(i);
        usize::try_from(index).ok().filter(|&at| at < limit).ok_or_else(|| {
            OpError::runtime(format!("index {index} (element {i}) is outside of {what} of {limit} positions"))
        })
    }
}
