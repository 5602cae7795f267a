//! Weights as a model file has them.

use core::ops::Range;
use std::borrow::Cow;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::isa::{Cpu, Isa, Kernel};
use crate::par::Par;

/// Floats of 32 or of 16 bits; packing widens the latter part by part, so that they are never whole in memory twice.
#[derive(Copy, Clone, Debug)]
pub enum StoredFloats<'a> {
    /// 32 bits.
    Single(&'a [f32]),
    /// 16 bits.
    Half(&'a [f16]),
    /// 16 bits, which stay as they are in packed weights on machines that have an instruction to widen them: for products of
    /// few rows, whose time is that of reading the weights. More rows are dearer that way.
    Kept(&'a [f16]),
}

impl<'a> StoredFloats<'a> {
    /// Number of floats.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Self::Single(floats) => floats.len(),
            Self::Half(floats) | Self::Kept(floats) => floats.len(),
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
            Self::Kept(floats) => Self::Kept(&floats[range]),
        }
    }

    /// All of them in 32 bits, exactly.
    #[must_use]
    pub fn widened(self, cpu: Cpu) -> Cow<'a, [f32]> {
        match self {
            Self::Single(floats) => Cow::Borrowed(floats),
            Self::Half(floats) | Self::Kept(floats) => {
                let mut wide = vec![0.0; floats.len()];
                widen(cpu, Par::serial(), floats, &mut wide);
                Cow::Owned(wide)
            }
        }
    }
}

/// Floats of 16 bits in 32 bits, exactly; a NaN stays one.
///
/// # Panics
/// If the lengths differ.
pub fn widen(cpu: Cpu, par: Par, from: &[f16], to: &mut [f32]) {
    /// Floats that a thread widens at a time.
    const CHUNK: usize = 16 << 10;
    assert_eq!(from.len(), to.len());
    let chunk = par.even_chunk(to.len(), CHUNK, 1);
    par.chunks_mut(to, chunk, |index, to| {
        let from = &from[index * chunk..][..to.len()];
        cpu.dispatch(Widen { from, to });
    });
}

struct Widen<'a> {
    from: &'a [f16],
    to: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let whole = self.to.len() - self.to.len() % S::LANES;
        let (vectors, rest) = self.to.split_at_mut(whole);
        for (from, to) in self.from.chunks_exact(S::LANES).zip(vectors.chunks_exact_mut(S::LANES)) {
            // SAFETY: a chunk has a number for each lane.
            isa.store(unsafe { isa.load_halves_ptr(from.as_ptr()) }, to);
        }
        self.from[whole..].convert_to_f32_slice(rest);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_widened_exactly() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        // Some that fill no vector.
        let halves = &halves[3..];
        for (cpu, threads) in Cpu::all().into_iter().flat_map(|cpu| [1, 2, 3].map(|threads| (cpu, threads))) {
            let mut wide = vec![0.0; halves.len()];
            widen(cpu, Par::new(threads), halves, &mut wide);
            for (&half, wide) in halves.iter().zip(wide) {
                let same = half.to_f32().to_bits() == wide.to_bits() || half.is_nan() && wide.is_nan();
                assert!(same, "{:#x} by {} on {threads} threads: {wide}", half.to_bits(), cpu.name());
            }
        }
    }
}
