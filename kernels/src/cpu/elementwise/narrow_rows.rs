//! Softmax and its logarithm over rows of few elements: as many rows at a time as a vector has lanes, one in each lane.
//!
//! Sums are added in the order in which a row by itself adds them, so that the results are the same bits.

use super::math::exp_negative;
use crate::isa::{Isa, Kernel, MAX_LANES};

/// The most elements of a narrow row: partial sums that [`softmax`](super::softmax::softmax) folds.
pub(super) const NARROW: usize = 16;

/// Neighbouring rows of at most [`NARROW`] elements each.
pub(super) struct NarrowRows {
    /// `rows * row` values to read.
    pub src: *const f32,
    /// As many to write; the same or disjoint.
    pub dst: *mut f32,
    pub rows: usize,
    /// Elements of a row, at least 1.
    pub row: usize,
    pub result: RowFunction,
}

/// What becomes of a row.
#[derive(Clone, Copy)]
pub(super) enum RowFunction {
    /// `e^(β (x - max)) / Σ e^(β (x - max))`
    Softmax { beta: f32 },
    /// `x - max - ln Σ e^(x - max)`
    LogSoftmax,
}

impl Kernel for NarrowRows {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        for first in (0..self.rows).step_by(S::LANES) {
            self.lanes(isa, first, S::LANES.min(self.rows - first));
        }
    }
}

impl NarrowRows {
    /// The rows from `first` on, `n <= LANES` of them.
    #[inline(always)]
    fn lanes<S: Isa>(&self, isa: S, first: usize, n: usize) {
        let row = self.row.min(NARROW);
        let mut x = [isa.zero(); NARROW];
        let mut top = isa.splat(f32::NEG_INFINITY);
        for (j, x) in x[..row].iter_mut().enumerate() {
            let mut lanes = [0.0; MAX_LANES];
            for (l, lane) in lanes[..n].iter_mut().enumerate() {
                // SAFETY: element `j` of row `first + l`.
                *lane = unsafe { *self.src.add((first + l) * self.row + j) };
            }
            *x = isa.load(&lanes);
            top = isa.max(top, *x);
        }
        let mut e = [isa.zero(); NARROW];
        for (e, x) in e[..row].iter_mut().zip(&mut x) {
            *x = isa.sub(*x, top);
            *e = match self.result {
                RowFunction::Softmax { beta } => exp_negative(isa, isa.mul(*x, isa.splat(beta))),
                RowFunction::LogSoftmax => exp_negative(isa, *x),
            };
        }
        // What is beyond the row counts as zero, which changes no sum.
        let mut sums = e;
        let mut width = NARROW / 2;
        while width > 0 {
            for i in 0..width.min(row.saturating_sub(width)) {
                sums[i] = isa.add(sums[i], sums[i + width]);
            }
            width /= 2;
        }
        let mut total = [1.0; MAX_LANES];
        isa.store(sums[0], &mut total);
        let y = match self.result {
            RowFunction::Softmax { .. } => {
                let scale = isa.div(isa.splat(1.0), isa.load(&total));
                e.map(|e| isa.mul(e, scale))
            }
            RowFunction::LogSoftmax => {
                let log = isa.load(&total.map(f32::ln));
                x.map(|x| isa.sub(x, log))
            }
        };
        for (j, &y) in y[..row].iter().enumerate() {
            let mut lanes = [0.0; MAX_LANES];
            isa.store(y, &mut lanes);
            for (l, &lane) in lanes[..n].iter().enumerate() {
                // SAFETY: element `j` of row `first + l`, which has been read.
                unsafe { *self.dst.add((first + l) * self.row + j) = lane };
            }
        }
    }
}
