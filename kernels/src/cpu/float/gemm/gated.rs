//! Rows that are multiplied by a gate before they are multiplied by the weights.

use super::rows::{Even, MAX_ROWS, RowSource, Strided};
use crate::isa::{Cpu, Isa, Kernel, MAX_LANES};

/// The rows of a matrix, each value times that of its column in a gate: what squeeze-and-excitation (Hu, Shen and Sun 2018)
/// does to the channels of an image. A tile's rows are copied while they are multiplied, so that the matrix is passed over
/// once, and the products are rounded as those of a multiplication by itself.
pub(crate) struct Gated<'a> {
    pub(crate) cpu: Cpu,
    pub(crate) rows: Strided<'a, f32>,
    /// Gates of `rows.k` values.
    pub(crate) gates: &'a [f32],
    /// Values from a gate to the next.
    pub(crate) step: usize,
    /// Rows that a gate is for.
    pub(crate) rows_per_gate: usize,
}

impl Gated<'_> {
    /// Values of scratch that a tile of rows of `k` values needs.
    pub(crate) const fn scratch_len_of(k: usize) -> usize {
        MAX_ROWS * Self::copied_row(k)
    }

    /// Values from a copied row to the next: whole vectors, which then straddle no cache lines.
    const fn copied_row(k: usize) -> usize {
        k.next_multiple_of(MAX_LANES)
    }
}

impl RowSource<f32> for Gated<'_> {
    fn taps(&self) -> usize {
        1
    }
    fn depth(&self) -> usize {
        self.rows.k
    }
    fn scratch_len(&self) -> usize {
        Self::scratch_len_of(self.rows.k)
    }
    fn locate(
        &self,
        first: usize,
        rows: usize,
        height: usize,
        scratch: &mut [f32],
        pieces: &mut [*const f32],
    ) {
        self.cpu.dispatch(Multiply { source: self, first, rows, copies: scratch });
        let step = Self::copied_row(self.rows.k);
        for (row, piece) in pieces[..height].iter_mut().enumerate() {
            *piece = scratch[row.min(rows - 1) * step..][..self.rows.k].as_ptr();
        }
    }
    fn outputs(&self, first: usize, starts: &mut [usize]) {
        self.rows.outputs(first, starts);
    }
    fn locate_even(
        &self,
        first: usize,
        rows: usize,
        scratch: &mut [f32],
        pieces: &mut [*const f32],
    ) -> Option<Even> {
        self.cpu.dispatch(Multiply { source: self, first, rows, copies: scratch });
        let (k, step, ldc) = (self.rows.k, Self::copied_row(self.rows.k), self.rows.ldc);
        pieces[0] = scratch[..(rows - 1) * step + k].as_ptr();
        Some(Even { step, out_start: first * ldc, out_step: ldc })
    }
}

/// Copies a tile's rows, times their gates.
struct Multiply<'a> {
    source: &'a Gated<'a>,
    first: usize,
    rows: usize,
    copies: &'a mut [f32],
}

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let &Gated { rows: Strided { a, lda, k, .. }, gates, step, rows_per_gate, .. } = self.source;
        let copies = self.copies.chunks_mut(Gated::copied_row(k).max(1));
        for (row, copy) in (self.first..self.first + self.rows).zip(copies) {
            // One gate for all, which most images have, needs no division.
            let gate = if row < rows_per_gate { 0 } else { row / rows_per_gate };
            let (from, gate) = (&a[row * lda..][..k], &gates[gate * step..][..k]);
            let (from, gate) = (from.chunks_exact(S::LANES), gate.chunks_exact(S::LANES));
            let (rest, rest_of_gate) = (from.remainder(), gate.remainder());
            let mut to = copy[..k].chunks_exact_mut(S::LANES);
            for ((from, gate), to) in from.zip(gate).zip(&mut to) {
                isa.store(isa.mul(isa.load(from), isa.load(gate)), to);
            }
            if !rest.is_empty() {
                let value = isa.mul(isa.load_part(rest), isa.load_part(rest_of_gate));
                isa.store_part(value, to.into_remainder());
            }
        }
    }
}
