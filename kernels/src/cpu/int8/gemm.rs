//! Matrix multiplication of small integers: rows of activations times packed weights.
//!
//! Work is cut into blocks of rows and groups of weight panels. A block packs its rows once (out of a matrix, or
//! straight out of an image: no im2col matrix exists) and runs them tile by tile against each panel; a tile's
//! sums never leave the registers before their epilogue.

use core::ops::Range;

use super::dot::{Dot, DotKernel, PanelElement, Sums};
use super::pack::{PackLayout, PackedRef};
use super::rows::Rows;
use super::store::{RowSums, SPARE, Store};
use crate::isa::{Isa, IsaNarrow, MAX_LANES};
use crate::par::Par;

/// Zero points of the activations, in the numbers that the activation tensor stores.
#[derive(Copy, Clone, Debug)]
pub enum Zeros<'a> {
    /// One for all rows.
    All(i32),
    /// One for each run of `rows` rows.
    Each {
        /// The zero points.
        zeros: &'a [i32],
        /// Rows that share one.
        rows: usize,
    },
}

impl Zeros<'_> {
    #[inline(always)]
    pub(super) fn of(self, row: usize) -> i32 {
        match self {
            Self::All(zero) => zero,
            Self::Each { zeros, rows } => zeros[row / rows],
        }
    }
}

/// What the sums of each column start from.
#[derive(Clone, Debug)]
pub struct Bias(Vec<i32>);

impl Bias {
    /// `bias` has one entry for each of `cols` columns, or none.
    ///
    /// # Panics
    /// On other numbers of entries.
    pub fn new(bias: &[i32], cols: usize) -> Self {
        let mut table = vec![0; cols + SPARE];
        if !bias.is_empty() {
            table[..cols].copy_from_slice(bias);
        }
        Self(table)
    }

    /// The entries, and room to read a whole vector at the last one.
    pub(super) fn table(&self) -> &[i32] {
        &self.0
    }
}

/// The most rows a block has; sizes the table of its rows' corrections.
const MOST_ROWS: usize = 48;
/// Bytes of packed rows that leave room for a panel of weights in the second-level cache.
const BLOCK_BYTES: usize = 192 << 10;
/// Work of a tile below which a thread is not worth waking, in products.
pub(super) const LEAST_WORK: usize = 1 << 17;

/// Rows of a block for the given weights.
pub(super) fn block_rows(layout: &PackLayout) -> usize {
    let row_bytes = layout.col_bytes * layout.element_bytes;
    let tile = layout.tile_rows;
    #[cfg(target_arch = "x86_64")]
    if layout.amx().is_some() {
        return (super::amx::BLOCK_BYTES / row_bytes.max(1) / tile * tile).clamp(tile, super::amx::MOST_ROWS);
    }
    (BLOCK_BYTES / row_bytes.max(1) / tile * tile).clamp(tile, MOST_ROWS / tile * tile)
}

/// Bytes of scratch that one thread of [`gemm`] needs.
pub fn gemm_scratch(layout: &PackLayout) -> usize {
    // Room to begin at a multiple of the element's alignment.
    (block_rows(layout) * layout.col_bytes * layout.element_bytes).next_multiple_of(64) + 64
}

/// Multiplies every row of `rows` with every column of `weights`, starting from `bias`, and gives the sums to
/// `store`. Both sides' zero points are taken off before the multiplication, as far as the result goes.
///
/// # Panics
/// If `scratch` is smaller than [`gemm_scratch`] or a table is too short.
pub fn gemm(
    weights: PackedRef<'_>,
    rows: &impl Rows,
    zeros: Zeros<'_>,
    bias: &Bias,
    store: &(impl Store + ?Sized),
    par: Par,
    scratch: &mut [u8],
) {
    let (count, layout) = (rows.count(), weights.layout);
    if count == 0 || layout.cols == 0 {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(amx) = layout.amx().filter(|_| count >= super::amx::LEAST_ROWS) {
        return super::amx::gemm(amx, weights, rows, zeros, bias, store, par, scratch);
    }
    assert!(bias.0.len() >= layout.cols + SPARE, "one bias for each column");
    let block = block_rows(&layout).min(count.next_multiple_of(layout.tile_rows));
    let blocks = count.div_ceil(block);
    let panels = layout.padded_cols.div_ceil(layout.panel_cols);
    // Few rows are cut along the columns, each part then packs the rows for itself.
    let work = count * layout.cols * layout.depth;
    let parts = if par.threads() == 1 || blocks >= 4 * par.threads() {
        1
    } else {
        (work / LEAST_WORK).clamp(1, (4 * par.threads()).div_ceil(blocks)).min(panels)
    };
    let panels_per_part = panels.div_ceil(parts);
    let parts = panels.div_ceil(panels_per_part);
    let par = if work < 2 * LEAST_WORK { Par::serial() } else { par };
    par.for_each_tile_with(blocks * parts, scratch, gemm_scratch(&layout), |tile, buffer| {
        let first = tile / parts * block;
        let panel = tile % parts * panels_per_part;
        let range = first..(first + block).min(count);
        let mut corrections = Corrections { rests: [0; MOST_ROWS], terms: [0; MOST_ROWS] };
        let pack =
            PackRows { weights, rows, zeros, range: range.clone(), buffer, corrections: &mut corrections };
        layout.dispatch(pack);
        let panels = panel..(panel + panels_per_part).min(panels);
        layout.dispatch(Block {
            weights,
            bias: &bias.0,
            store,
            range,
            panels,
            buffer,
            corrections: &corrections,
        });
    });
}

/// What stays of the zero points once a block's rows are packed.
struct Corrections {
    /// Of each row's own: to be taken off as often as the column sums say.
    rests: [i32; MOST_ROWS],
    /// Of the weights': the row's sum times it, negative.
    terms: [i32; MOST_ROWS],
}

/// Packs the rows of a block.
struct PackRows<'a, R> {
    weights: PackedRef<'a>,
    rows: &'a R,
    zeros: Zeros<'a>,
    range: Range<usize>,
    buffer: &'a mut [u8],
    corrections: &'a mut Corrections,
}

impl<R: Rows> DotKernel for PackRows<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, _: D) {
        let (_, packed, _) = bytemuck::pod_align_to_mut::<u8, D::Lhs>(self.buffer);
        let PackLayout { depth, col_bytes, .. } = self.weights.layout;
        if depth == 0 {
            return;
        }
        for (i, (row, to)) in self.range.zip(packed.chunks_exact_mut(col_bytes)).enumerate() {
            let zero = self.zeros.of(row) - R::OFFSET;
            let (body, tail) = to.split_at_mut(depth);
            self.rows.pack(row, zero, body);
            tail.fill(D::Lhs::pack(0, 0));
            let rest = D::Lhs::rest(zero);
            self.corrections.rests[i] = rest;
            if self.weights.zero != 0 {
                let sum = sum(body).wrapping_sub((depth as i32).wrapping_mul(rest));
                self.corrections.terms[i] = sum.wrapping_mul(self.weights.zero).wrapping_neg();
            }
        }
    }
}

/// The sum of packed numbers.
#[inline(always)]
fn sum<T: PanelElement>(numbers: &[T]) -> i32 {
    numbers.iter().fold(0i32, |sum, &x| sum.wrapping_add(x.into()))
}

/// A block of packed rows against some panels.
struct Block<'a, E: ?Sized> {
    weights: PackedRef<'a>,
    bias: &'a [i32],
    store: &'a E,
    range: Range<usize>,
    panels: Range<usize>,
    buffer: &'a [u8],
    corrections: &'a Corrections,
}

impl<E: Store + ?Sized> DotKernel for Block<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let layout = self.weights.layout;
        let (_, packed, _) = bytemuck::pod_align_to::<u8, D::Lhs>(self.buffer);
        let rows = self.range.len();
        let tile = Tile {
            dot,
            weights: self.weights,
            bias: self.bias,
            store: self.store,
            packed: &packed[..rows * layout.col_bytes],
            rests: &self.corrections.rests[..rows],
            row_terms: &self.corrections.terms[..rows],
            first_row: self.range.start,
        };
        for panel in self.panels {
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

/// The packed rows of a block and what their sums need.
struct Tile<'a, D, L, E: ?Sized> {
    dot: D,
    weights: PackedRef<'a>,
    bias: &'a [i32],
    store: &'a E,
    packed: &'a [L],
    rests: &'a [i32],
    row_terms: &'a [i32],
    first_row: usize,
}

impl<D: Dot, E: Store + ?Sized> Tile<'_, D, D::Lhs, E> {
    /// All rows against a panel of `V` vectors that starts at column `first`.
    #[inline(always)]
    fn panel<const V: usize>(&self, first: usize) {
        if V > D::VECTORS {
            return;
        }
        let mut row = 0;
        while row < self.rests.len() {
            let left = self.rests.len() - row;
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

    /// `R` rows from `row` on against `V` vectors of columns from `first` on; returns `R`.
    #[inline(always)]
    fn rows<const R: usize, const V: usize>(&self, row: usize, first: usize) -> usize {
        let isa = self.dot.isa();
        let lanes = D::V::LANES;
        let stride = self.weights.layout.col_bytes;
        let lhs = &self.packed[row * stride..][..R * stride];
        let rhs = &self.weights.data[first * stride..][..V * lanes * stride];
        // Plain loops instead of closures: those may stay calls without the instruction set.
        let mut starts = [isa.splat_i32(0); V];
        for (v, start) in starts.iter_mut().enumerate() {
            *start = isa.load_i32(&self.bias[first + v * lanes..]);
        }
        let mut sums = [starts; R];
        if D::Lhs::HAS_REST || self.weights.zero != 0 {
            for (r, sums) in sums.iter_mut().enumerate() {
                let rest = isa.splat_i32(self.rests[row + r].wrapping_neg());
                let term = isa.splat_i32(self.row_terms[row + r]);
                for (v, sum) in sums.iter_mut().enumerate() {
                    let columns = isa.load_i32(&self.weights.sums[first + v * lanes..]);
                    *sum = isa.add_i32(isa.add_i32(*sum, term), isa.mul_i32(rest, columns));
                }
            }
        }
        if self.store.most_products() < self.weights.layout.depth {
            self.finish_wide(row, first, lhs, rhs, sums);
            return R;
        }
        let sums = self.accumulate(lhs, rhs, 0..stride, sums);
        for v in 0..V {
            let col = first + v * lanes;
            let len = lanes.min(self.weights.layout.cols - col);
            let columns = self.store.columns(isa, col);
            let rows = (self.first_row + row, R);
            self.store.store_rows(isa, columns, rows, col, len, TileSums { sums: &sums, row: 0, v });
        }
        R
    }

    /// Adds the products of the numbers `depth` (bounded by whole steps) of each row and column.
    ///
    /// By value: sums that something points to would stay in memory.
    #[inline(always)]
    fn accumulate<const R: usize, const V: usize>(
        &self,
        lhs: &[D::Lhs],
        rhs: &[i8],
        depth: Range<usize>,
        mut sums: [[Sums<D>; V]; R],
    ) -> [[Sums<D>; V]; R] {
        let stride = self.weights.layout.col_bytes;
        let width = V * D::V::LANES;
        assert!(depth.end <= stride && lhs.len() == R * stride && rhs.len() == width * stride);
        let (mut a, mut b) = (lhs[depth.start..].as_ptr(), rhs[depth.start * width..].as_ptr());
        for _ in 0..depth.len() / D::DEPTH {
            // SAFETY: `depth` starts and ends at multiples of `DEPTH` within `stride`; the slices hold `R` rows and
            // `width` columns of `stride` numbers, of which each step reads the next `DEPTH`.
            unsafe {
                let mut columns = [self.dot.rhs(b); V];
                for (v, column) in columns.iter_mut().enumerate().skip(1) {
                    *column = self.dot.rhs(b.add(v * D::V::LANES * D::DEPTH));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = self.dot.lhs(a.add(r * stride));
                    for (sum, &column) in sums.iter_mut().zip(&columns) {
                        *sum = self.dot.dot(*sum, x, column);
                    }
                }
                a = a.add(D::DEPTH);
                b = b.add(width * D::DEPTH);
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
        lhs: &[D::Lhs],
        rhs: &[i8],
        start: [[Sums<D>; V]; R],
    ) {
        let isa = self.dot.isa();
        let (lanes, stride) = (D::V::LANES, self.weights.layout.col_bytes);
        let step = self.store.most_products() / D::DEPTH * D::DEPTH;
        let mut wide = [[0i64; 4 * MAX_LANES]; R];
        let mut sums = start;
        for depth in (0..stride).step_by(step) {
            sums = self.accumulate(lhs, rhs, depth..(depth + step).min(stride), sums);
            for (sums, wide) in sums.iter_mut().zip(&mut wide) {
                for (sums, wide) in sums.iter_mut().zip(wide.chunks_exact_mut(lanes)) {
                    let mut narrow = [0i32; MAX_LANES];
                    isa.store_i32(*sums, &mut narrow);
                    wide.iter_mut().zip(&narrow).for_each(|(wide, &narrow)| *wide += i64::from(narrow));
                    *sums = isa.splat_i32(0);
                }
            }
        }
        let len = (V * lanes).min(self.weights.layout.cols - first);
        for (r, wide) in wide.iter().enumerate() {
            self.store.store_wide(self.first_row + row + r, first, &wide[..len]);
        }
    }
}
