//! A packed block of rows against panels of weights, tile by tile.
//!
//! A tile's sums never leave the registers before their epilogue. What is here does not know where the rows come from:
//! it is compiled once for each epilogue, see [`Store::multiply`].

use core::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::dot::{Dot, DotKernel, PanelElement, Sums};
use super::gemm::Zeros;
use super::pack::PackedRef;
use super::store::{RowSums, Store};
#[cfg(target_arch = "x86_64")]
use crate::isa::Avx512Amx;
use crate::isa::{Isa, IsaNarrow, MAX_LANES};

/// The most rows that meet all panels before the next ones do; sizes the table of their corrections.
pub(super) const MOST_ROWS: usize = 192;
/// How far ahead of the sums weights are asked for, in bytes.
const AHEAD: usize = 2048;
/// Bytes of a panel that stays in the first-level cache while rows pass by: its weights need not be asked for.
const NEAR: usize = 24 << 10;

/// A packed block of rows, and the panels of weights that it meets.
pub struct Block<'a> {
    pub(super) weights: PackedRef<'a>,
    pub(super) bias: &'a [i32],
    pub(super) zeros: Zeros<'a>,
    /// [`OFFSET`](super::rows::Rows::OFFSET) of the rows.
    pub(super) offset: i32,
    /// Which rows they are.
    pub(super) range: Range<usize>,
    pub(super) rows: BlockRows<'a>,
    pub(super) panels: Range<usize>,
}

/// Where the rows of a block lie.
pub(super) enum BlockRows<'a> {
    /// For tiles of vectors.
    Vectors(Source<'a, u8>),
    /// For tile registers.
    #[cfg(target_arch = "x86_64")]
    Tiles(Avx512Amx, amx::Source<'a>),
}

impl Block<'_> {
    /// Multiplies, and gives the sums to `store`.
    #[inline(always)]
    pub(super) fn run(self, store: &(impl Store + ?Sized)) {
        match self.rows {
            BlockRows::Vectors(source) => {
                let layout = self.weights.layout;
                layout.dispatch(Multiply { block: self, source, store });
            }
            #[cfg(target_arch = "x86_64")]
            BlockRows::Tiles(amx, source) => amx::multiply(amx, self, source, store),
        }
    }
}

/// Where rows lie among numbers: lines of `width` rows.
#[derive(Copy, Clone)]
pub(super) struct Grid {
    pub(super) width: usize,
    /// Distance between rows of a line.
    pub(super) step: usize,
    /// Distance between lines.
    pub(super) line: usize,
}

impl Grid {
    /// Where rows `row..row + R` begin.
    #[inline(always)]
    fn offsets<const R: usize>(self, row: usize) -> [usize; R] {
        let mut offsets = [0; R];
        let (mut y, mut x) = if row < self.width { (0, row) } else { (row / self.width, row % self.width) };
        let start = y * self.line + x * self.step;
        if self.width - x >= R {
            for (i, offset) in offsets.iter_mut().enumerate() {
                *offset = start + i * self.step;
            }
            return offsets;
        }
        for offset in &mut offsets {
            *offset = y * self.line + x * self.step;
            x += 1;
            if x == self.width {
                (x, y) = (0, y + 1);
            }
        }
        offsets
    }
}

/// The rows of a block in the format of packed tiles.
#[derive(Copy, Clone)]
pub(super) struct Source<'a, L> {
    pub(super) data: &'a [L],
    pub(super) grid: Grid,
    /// Runs of a row, down and right, and their distances.
    pub(super) runs: [usize; 2],
    pub(super) run_steps: [usize; 2],
}

impl<'a, L: PanelElement> Source<'a, L> {
    /// Rows of one run, `stride` apart.
    #[inline(always)]
    pub(super) fn dense(data: &'a [L], stride: usize) -> Self {
        let grid = Grid { width: usize::MAX, step: stride, line: 0 };
        Self { data, grid, runs: [1; 2], run_steps: [0; 2] }
    }

    /// The same, whatever the numbers.
    #[inline(always)]
    pub(super) fn bytes(self) -> Source<'a, u8> {
        let Self { data, grid, runs, run_steps } = self;
        Source { data: bytemuck::cast_slice(data), grid, runs, run_steps }
    }

    /// # Panics
    /// If the runs of `run_bytes` of one of `count > 0` rows go beyond the data.
    #[inline(always)]
    fn check(&self, count: usize, run_bytes: usize) {
        let Grid { width, step, line } = self.grid;
        let [down, right] = self.runs.map(|n| n - 1);
        let row = (count - 1) / width * line + (width.min(count) - 1) * step;
        let end = row + down * self.run_steps[0] + right * self.run_steps[1] + run_bytes;
        assert!(end <= self.data.len(), "rows lie within their memory");
    }
}

impl<'a> Source<'a, u8> {
    /// The numbers again; the inverse of [`Source::bytes`].
    #[inline(always)]
    fn numbers<L: PanelElement>(self) -> Source<'a, L> {
        let Self { data, grid, runs, run_steps } = self;
        Source { data: bytemuck::cast_slice(data), grid, runs, run_steps }
    }
}

/// What zero points leave to be added to the sums of some rows.
struct Corrections {
    /// Of each row's own: to be taken off as often as the column sums say. The same for all rows if `uniform`.
    rests: [i32; MOST_ROWS],
    uniform: bool,
    /// Of the weights': the row's sum times it, negative.
    terms: [i32; MOST_ROWS],
}

/// The multiplication of a block by vectors.
struct Multiply<'a, E: ?Sized> {
    block: Block<'a>,
    source: Source<'a, u8>,
    store: &'a E,
}

impl<E: Store + ?Sized> DotKernel for Multiply<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let Self { block, source, store } = self;
        let Block { weights, bias, zeros, offset, range, panels, .. } = block;
        let layout = weights.layout;
        let source = source.numbers::<D::Lhs>();
        source.check(range.len(), layout.run_bytes());
        let mut tile = Tile {
            dot,
            weights,
            bias,
            store,
            source,
            corrections: Corrections { rests: [0; MOST_ROWS], uniform: false, terms: [0; MOST_ROWS] },
            first_row: range.start,
            rows: 0..0,
        };
        for first in (0..range.len()).step_by(MOST_ROWS) {
            tile.rows = first..(first + MOST_ROWS).min(range.len());
            tile.correct(zeros, offset);
            for panel in panels.clone() {
                let first = panel * layout.panel_cols;
                match (layout.padded_cols - first).min(layout.panel_cols) / D::V::LANES {
                    4 => tile.panel::<4>(first),
                    3 => tile.panel::<3>(first),
                    2 => tile.panel::<2>(first),
                    _ => tile.panel::<1>(first),
                }
            }
        }
    }
}

/// The sum of packed numbers.
#[inline(always)]
fn sum<T: PanelElement>(numbers: &[T]) -> i32 {
    numbers.iter().fold(0i32, |sum, &x| sum.wrapping_add(x.into()))
}

/// The sums of vector `v` of a tile.
struct TileSums<'a, I, const R: usize, const V: usize> {
    sums: &'a [[I; V]; R],
    row: usize,
    v: usize,
}

impl<S: Isa, const R: usize, const V: usize> RowSums<S> for TileSums<'_, S::I, R, V> {
    #[inline(always)]
    fn next(&mut self, _: S) -> S::I {
        let sums = self.sums[self.row][self.v];
        self.row += 1;
        sums
    }
}

/// The rows of a block and what their sums need.
struct Tile<'a, D, L, E: ?Sized> {
    dot: D,
    weights: PackedRef<'a>,
    bias: &'a [i32],
    store: &'a E,
    source: Source<'a, L>,
    /// Those of `rows`.
    corrections: Corrections,
    /// The number of the block's first row.
    first_row: usize,
    /// Rows of the block that are multiplied now.
    rows: Range<usize>,
}

impl<D: Dot, E: Store + ?Sized> Tile<'_, D, D::Lhs, E> {
    /// Computes what the zero points leave for the rows.
    #[inline(always)]
    fn correct(&mut self, zeros: Zeros<'_>, offset: i32) {
        let Corrections { rests, uniform, terms } = &mut self.corrections;
        let (first, count) = (self.first_row + self.rows.start, self.rows.len());
        *uniform = zeros.are_uniform(first..first + count);
        if *uniform {
            rests[..count].fill(D::Lhs::rest(zeros.of(first) - offset));
        } else if D::Lhs::HAS_REST {
            for (i, rest) in rests[..count].iter_mut().enumerate() {
                *rest = D::Lhs::rest(zeros.of(first + i) - offset);
            }
        }
        if self.weights.zero == 0 {
            return;
        }
        let (layout, Source { data, grid, runs, run_steps }) = (self.weights.layout, self.source);
        for (i, term) in terms[..count].iter_mut().enumerate() {
            let [at] = grid.offsets::<1>(self.rows.start + i);
            let mut total = (layout.depth as i32).wrapping_mul(rests[i]).wrapping_neg();
            for down in 0..runs[0] {
                for right in 0..runs[1] {
                    let run = &data[at + down * run_steps[0] + right * run_steps[1]..][..layout.run_len()];
                    total = total.wrapping_add(sum(run));
                }
            }
            *term = total.wrapping_mul(self.weights.zero).wrapping_neg();
        }
    }

    /// All rows against a panel of `V` vectors that starts at column `first`.
    #[inline(always)]
    fn panel<const V: usize>(&self, first: usize) {
        if V > D::VECTORS {
            return;
        }
        let mut row = self.rows.start;
        while row < self.rows.end {
            let left = self.rows.end - row;
            row += if D::ROWS >= 12 && left >= 12 {
                self.rows::<12, V>(row, first)
            } else if D::ROWS >= 6 && left >= 6 {
                self.rows::<6, V>(row, first)
            } else if left >= 4 {
                self.rows::<4, V>(row, first)
            } else if left >= 2 {
                self.rows::<2, V>(row, first)
            } else {
                self.rows::<1, V>(row, first)
            };
        }
    }

    /// What the sums of `R` rows from `row` on start from, `V` vectors of columns from `first` on.
    #[inline(always)]
    fn start<const R: usize, const V: usize>(&self, row: usize, first: usize) -> [[Sums<D>; V]; R] {
        let (isa, lanes) = (self.dot.isa(), D::V::LANES);
        let Corrections { rests, uniform, terms } = &self.corrections;
        let at = row - self.rows.start;
        // Plain loops instead of closures: those may stay calls without the instruction set.
        let mut starts = [isa.splat_i32(0); V];
        for (v, start) in starts.iter_mut().enumerate() {
            *start = isa.load_i32(&self.bias[first + v * lanes..]);
            if *uniform && D::Lhs::HAS_REST {
                let columns = isa.load_i32(&self.weights.sums[first + v * lanes..]);
                *start = isa.sub_i32(*start, isa.mul_i32(isa.splat_i32(rests[at]), columns));
            }
        }
        let mut sums = [starts; R];
        if !*uniform && D::Lhs::HAS_REST {
            for (&rest, sums) in rests[at..at + R].iter().zip(&mut sums) {
                let rest = isa.splat_i32(rest);
                for (v, sum) in sums.iter_mut().enumerate() {
                    let columns = isa.load_i32(&self.weights.sums[first + v * lanes..]);
                    *sum = isa.sub_i32(*sum, isa.mul_i32(rest, columns));
                }
            }
        }
        if self.weights.zero != 0 {
            for (&term, sums) in terms[at..at + R].iter().zip(&mut sums) {
                for sum in sums {
                    *sum = isa.add_i32(*sum, isa.splat_i32(term));
                }
            }
        }
        sums
    }

    /// `R` rows from `row` on against `V` vectors of columns from `first` on; returns `R`.
    #[inline(always)]
    fn rows<const R: usize, const V: usize>(&self, row: usize, first: usize) -> usize {
        let (isa, lanes) = (self.dot.isa(), D::V::LANES);
        let layout = self.weights.layout;
        let offsets = self.source.grid.offsets::<R>(row);
        let rhs = &self.weights.data[first * layout.col_bytes..][..V * lanes * layout.col_bytes];
        let mut sums = self.start::<R, V>(row, first);
        if self.store.most_products() < layout.depth {
            self.finish_wide(row, first, offsets, rhs, sums);
            return R;
        }
        sums = self.accumulate(offsets, rhs, sums);
        for v in 0..V {
            let col = first + v * lanes;
            let len = lanes.min(layout.cols - col);
            let columns = self.store.columns(isa, col);
            let rows = (self.first_row + row, R);
            self.store.store_rows(isa, columns, rows, col, len, TileSums { sums: &sums, row: 0, v });
        }
        R
    }

    /// Adds the products of all numbers of the rows at `offsets` with the columns in `rhs`.
    ///
    /// By value: sums that something points to would stay in memory.
    #[inline(always)]
    fn accumulate<const R: usize, const V: usize>(
        &self,
        offsets: [usize; R],
        rhs: &[i8],
        mut sums: [[Sums<D>; V]; R],
    ) -> [[Sums<D>; V]; R] {
        let Source { data, runs, run_steps, .. } = self.source;
        let steps = self.weights.layout.run_bytes() / D::DEPTH;
        let run = steps * V * D::V::LANES * D::DEPTH;
        // Once, and plain pointers below: checks between the runs would cost the sums their registers.
        assert_eq!(rhs.len(), runs[0] * runs[1] * run, "weights for all runs");
        let (mut line, mut b) = (data.as_ptr(), rhs.as_ptr());
        sums = self.dot.turn(sums);
        for _ in 0..runs[0] {
            let mut a = line;
            for _ in 0..runs[1] {
                // SAFETY: `Source::check` has seen that the runs of all rows lie within the data; the columns lie there
                // as long as all runs.
                sums = unsafe { self.steps(a, offsets, b, steps, sums) };
                a = a.wrapping_add(run_steps[1]);
                b = b.wrapping_add(run);
            }
            line = line.wrapping_add(run_steps[0]);
        }
        self.dot.turn(sums)
    }

    /// Adds the products of `steps` times `DEPTH` numbers from `a` plus each offset on with columns from `b` on to sums in the
    /// order of [`Dot::turn`].
    ///
    /// # Safety
    /// So many numbers, and as many of each column, must lie there.
    #[inline(always)]
    unsafe fn steps<const R: usize, const V: usize>(
        &self,
        mut a: *const D::Lhs,
        offsets: [usize; R],
        mut b: *const i8,
        steps: usize,
        mut sums: [[Sums<D>; V]; R],
    ) -> [[Sums<D>; V]; R] {
        let vector = D::V::LANES * D::DEPTH;
        let far = V * D::V::LANES * self.weights.layout.col_bytes > NEAR;
        for _ in 0..steps {
            // SAFETY: each step reads the next `DEPTH` numbers of each row and column.
            unsafe {
                if far {
                    for v in 0..V {
                        self.dot.isa().prefetch(b.wrapping_add(AHEAD + v * vector).cast());
                    }
                }
                sums = self.dot.step(a, offsets, b, sums);
                a = a.add(D::DEPTH);
                b = b.add(V * vector);
            }
        }
        sums
    }

    /// Sums that could overflow 32 bits: they are moved to 64 bits every so many products.
    #[inline(always)]
    fn finish_wide<const R: usize, const V: usize>(
        &self,
        row: usize,
        first: usize,
        offsets: [usize; R],
        rhs: &[i8],
        start: [[Sums<D>; V]; R],
    ) {
        let isa = self.dot.isa();
        let lanes = D::V::LANES;
        let Source { runs, run_steps, .. } = self.source;
        let run_bytes = self.weights.layout.run_bytes();
        let step = self.store.most_products() / D::DEPTH * D::DEPTH;
        let mut wide = [[0i64; 4 * MAX_LANES]; R];
        let mut sums = start;
        for run in 0..runs[0] * runs[1] {
            let run_at = run / runs[1] * run_steps[0] + run % runs[1] * run_steps[1];
            for depth in (0..run_bytes).step_by(step) {
                let columns = (run * run_bytes + depth)..(run * run_bytes + (depth + step).min(run_bytes));
                let steps = columns.len() / D::DEPTH;
                let columns = &rhs[columns.start * V * lanes..columns.end * V * lanes];
                let a = self.source.data.as_ptr().wrapping_add(run_at + depth);
                // SAFETY: as `Source::check` has seen, and the slice of columns.
                sums = unsafe { self.steps(a, offsets, columns.as_ptr(), steps, self.dot.turn(sums)) };
                sums = self.dot.turn(sums);
                for (sums, wide) in sums.iter_mut().zip(&mut wide) {
                    for (sums, wide) in sums.iter_mut().zip(wide.chunks_exact_mut(lanes)) {
                        let mut narrow = [0i32; MAX_LANES];
                        isa.store_i32(*sums, &mut narrow);
                        wide.iter_mut().zip(&narrow).for_each(|(wide, &narrow)| *wide += i64::from(narrow));
                        *sums = isa.splat_i32(0);
                    }
                }
            }
        }
        let len = (V * lanes).min(self.weights.layout.cols - first);
        for (r, wide) in wide.iter().enumerate() {
            self.store.store_wide(self.first_row + row + r, first, &wide[..len]);
        }
    }
}
