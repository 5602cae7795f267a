//! Weights as a model file has them.

use core::ops::Range;
use std::borrow::Cow;

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Floats of 32 or of 16 bits; packing widens the latter part by part, so that they are never whole in memory twice.
#[derive(Copy, Clone, Debug)]
pub enum StoredFloats<'a> {
    /// 32 bits.
    Single(&'a [f32]),
    /// 16 bits.
    Half(&'a [f16]),
}

impl<'a> StoredFloats<'a> {
    /// Number of floats.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Self::Single(floats) => floats.len(),
            Self::Half(floats) => floats.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Some of them.
    pub(crate) fn part(self, range: Range<usize>) -> Self {
        match self {
            Self::Single(floats) => Self::Single(&floats[range]),
            Self::Half(floats) => Self::Half(&floats[range]),
        }
    }

    /// All of them in 32 bits, exactly.
    #[must_use]
    pub fn widened(self) -> Cow<'a, [f32]> {
        match self {
            Self::Single(floats) => Cow::Borrowed(floats),
            Self::Half(floats) => {
                let mut wide = vec![0.0; floats.len()];
                floats.convert_to_f32_slice(&mut wide);
                Cow::Owned(wide)
            }
        }
    }
}

impl<'a> From<&'a [f32]> for StoredFloats<'a> {
    fn from(floats: &'a [f32]) -> Self {
        Self::Single(floats)
    }
}

impl<'a> From<&'a Vec<f32>> for StoredFloats<'a> {
    fn from(floats: &'a Vec<f32>) -> Self {
        Self::Single(floats)
    }
}

impl<'a, const N: usize> From<&'a [f32; N]> for StoredFloats<'a> {
    fn from(floats: &'a [f32; N]) -> Self {
        Self::Single(floats)
    }
}

impl<'a> From<&'a Cow<'_, [f32]>> for StoredFloats<'a> {
    fn from(floats: &'a Cow<'_, [f32]>) -> Self {
        Self::Single(floats)
    }
}

impl<'a> From<&'a [f16]> for StoredFloats<'a> {
    fn from(floats: &'a [f16]) -> Self {
        Self::Half(floats)
    }
}
