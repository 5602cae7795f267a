//! Products of matrices that fit the first cache, read where they lie: packing one would cost as much as multiplying.

use super::span;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::{Par, SharedMut};

/// The most floats of a right matrix that is read in place.
const MOST: usize = 16 << 10;
/// Rows that a thread computes at a time.
const BLOCK: usize = 64;
/// Multiplications below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 64 * 1024;

/// A product `[m, k] * [k, n]`; rows of the right matrix and of the result are neighbouring values.
pub(super) struct Direct<'a> {
    pub left: &'a [f32],
    /// Floats from a row of the left matrix to the next, and from a value of a row to the next.
    pub left_steps: [usize; 2],
    pub right: &'a [f32],
    /// Floats from a row of the right matrix to the next.
    pub right_step: usize,
    /// Where the result begins, and floats from its row to the next.
    pub out_start: usize,
    pub out_step: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

/// Whether a right matrix of this size is read in place.
pub(super) fn fits(n: usize, k: usize) -> bool {
    n.saturating_mul(k) <= MOST
}

impl Direct<'_> {
    /// Writes the product. Each sum is one chain over the depth, as in a packed product.
    ///
    /// # Panics
    /// If a slice has no room for its matrix.
    pub fn run(&self, cpu: Cpu, out: &SharedMut<'_, f32>, par: Par) {
        let &Self { left, left_steps: [row, value], right, right_step, out_start, out_step, m, n, k } = self;
        if m == 0 || n == 0 {
            return;
        }
        assert!(right.len() >= span(k, n, right_step));
        assert!(k == 0 || left.len() > (m - 1) * row + (k - 1) * value);
        out.check(out_start, span(m, n, out_step));
        let par = if m * n * k < WORTH_A_THREAD { Par::serial() } else { par };
        par.for_each_tile(m.div_ceil(BLOCK), |block| {
            let rows = block * BLOCK..m.min((block + 1) * BLOCK);
            cpu.dispatch(Rows { product: self, rows, out: out.as_mut_ptr() });
        });
    }
}

/// Some rows of a product whose sizes were checked; nobody else writes these rows of it to `out`.
struct Rows<'a> {
    product: &'a Direct<'a>,
    rows: core::ops::Range<usize>,
    out: *mut f32,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let n = self.product.n;
        for column in (0..n).step_by(2 * S::LANES) {
            let columns = (n - column).min(2 * S::LANES);
            let mut row = self.rows.start;
            while row < self.rows.end {
                let height = match self.rows.end - row {
                    8.. if S::REGISTERS >= 32 => 8,
                    4.. => 4,
                    2.. => 2,
                    _ => 1,
                };
                // SAFETY: the rows and columns are within the product, whose slices have its size.
                unsafe {
                    match height {
                        8 => self.rows::<S, 8>(isa, row, column, columns),
                        4 => self.rows::<S, 4>(isa, row, column, columns),
                        2 => self.rows::<S, 2>(isa, row, column, columns),
                        _ => self.rows::<S, 1>(isa, row, column, columns),
                    }
                }
                row += height;
            }
        }
    }
}

impl Rows<'_> {
    /// # Safety
    /// `M` rows from `row` on and `columns` columns from `column` on, at most two vectors, are within the product.
    #[inline(always)]
    unsafe fn rows<S: Isa, const M: usize>(&self, isa: S, row: usize, column: usize, columns: usize) {
        // SAFETY: forwarded.
        unsafe {
            match (columns > S::LANES, columns.is_multiple_of(S::LANES)) {
                (true, true) => self.tile::<S, M, 2, false>(isa, row, column, columns),
                (true, false) => self.tile::<S, M, 2, true>(isa, row, column, columns),
                (false, true) => self.tile::<S, M, 1, false>(isa, row, column, columns),
                (false, false) => self.tile::<S, M, 1, true>(isa, row, column, columns),
            }
        }
    }

    /// `M` rows and `V` vectors of columns, of which the last may be a part.
    ///
    /// # Safety
    /// As [`Rows::rows`].
    #[inline(always)]
    unsafe fn tile<S: Isa, const M: usize, const V: usize, const PART: bool>(
        &self,
        isa: S,
        row: usize,
        column: usize,
        columns: usize,
    ) {
        let &Direct { left, left_steps: [row_step, value_step], right, right_step, k, .. } = self.product;
        let (out, out_step) = (self.out.wrapping_add(self.product.out_start), self.product.out_step);
        let last = columns - (V - 1) * S::LANES;
        let mut sums = [[isa.zero(); V]; M];
        let mut from = left.as_ptr().wrapping_add(row * row_step);
        let mut weights = right.as_ptr().wrapping_add(column);
        for _ in 0..k {
            let mut vectors = [isa.zero(); V];
            for (v, vector) in vectors.iter_mut().enumerate() {
                let at = weights.wrapping_add(v * S::LANES);
                // SAFETY: `columns` values of a row of the right matrix.
                *vector = unsafe {
                    if PART && v + 1 == V { isa.load_ptr_part(at, last) } else { isa.load_ptr(at) }
                };
            }
            for (m, sums) in sums.iter_mut().enumerate() {
                // SAFETY: a value of one of `M` rows of the left matrix.
                let value = isa.splat(unsafe { *from.wrapping_add(m * row_step) });
                for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                    *sum = isa.fma(value, vector, *sum);
                }
            }
            from = from.wrapping_add(value_step);
            weights = weights.wrapping_add(right_step);
        }
        for (m, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let at = out.wrapping_add((row + m) * out_step + column + v * S::LANES);
                // SAFETY: `columns` values of a row of the result.
                unsafe {
                    if PART && v + 1 == V {
                        isa.store_ptr_part(sum, at, last)
                    } else {
                        isa.store_ptr(sum, at)
                    }
                }
            }
        }
    }
}
