//! Integer inputs of any width: positions, lengths, starts.

use ferrolite_model::TensorType;

use crate::error::OpError;
use crate::io::Inputs;

/// The elements of an integer input.
#[derive(Clone, Copy, Debug)]
pub enum Integers<'a> {
    /// 16 bits.
    I16(&'a [i16]),
    /// 32 bits.
    I32(&'a [i32]),
    /// 64 bits.
    I64(&'a [i64]),
}

impl<'a> Integers<'a> {
    /// The elements of input `i`.
    ///
    /// # Errors
    /// When the input is missing or holds no integers of 16 to 64 bits.
    pub fn of(inputs: Inputs<'a>, i: usize) -> Result<Self, OpError> {
        Ok(match inputs.view(i)?.dtype {
            TensorType::Int16 => Self::I16(inputs.get(i)?),
            TensorType::Int64 => Self::I64(inputs.get(i)?),
            _ => Self::I32(inputs.get(i)?),
        })
    }

    /// Number of elements.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Self::I16(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
        }
    }

    /// Element `i`.
    ///
    /// # Panics
    /// If there is no such element.
    #[must_use]
    pub fn get(self, i: usize) -> i64 {
        match self {
            Self::I16(v) => i64::from(v[i]),
            Self::I32(v) => i64::from(v[i]),
            Self::I64(v) => v[i],
        }
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
