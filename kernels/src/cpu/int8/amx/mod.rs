//! Matrix multiplication of bytes on tile registers (AMX).
//!
//! A tile of activations is sixteen rows of 64 bytes, one of weights sixteen times four rows of sixteen columns: the
//! order in which the 8-bit dot products read them too. Rows of a matrix are read where they lie, windows of images
//! are packed first. What a tile reads behind the end of a row is multiplied by weights of zero.

mod source;
mod tiles;

use core::iter::Zip;
use core::marker::PhantomData;
use core::ops::Range;
use core::slice;

use source::Piece;
pub(super) use source::Source;
use tiles::{Sums, TILE, Tiles, ask_for, clear_tiles, step, store_tiles};

use super::block::{Block, BlockRows};
use super::gemm::{Bias, Cut, LEAST_WORK, PackBlock, Zeros, block_rows, for_each_block, rows_of_a_thread};
use super::pack::{PackLayout, PackedRef};
use super::rows::{Rows, Window};
use super::store::{RowSums, SPARE, Store};
use super::strips::{Reach, Strip};
use crate::isa::{Avx512Amx, Isa, IsaNarrow, Kernel};
use crate::par::Par;

/// Bytes of a tile's row.
pub(super) const DEPTH: usize = tiles::DEPTH;
/// Rows of a pair of tiles, the most that are multiplied at a time.
pub(super) const ROWS: usize = tiles::ROWS;
/// How strips are read.
pub(super) const REACH: Reach = Reach::Tile { depth: DEPTH, rows: TILE, most_windows: MOST_ROWS };
/// The most rows of a block; sizes the tables of their corrections.
const MOST_ROWS: usize = 1024;
/// The most rows of a block that are packed one by one.
pub(super) const MOST_PACKED_ROWS: usize = 4 * ROWS;
/// Bytes of a block's rows: CPUs with tiles have second-level caches of 2 MiB.
pub(super) const BLOCK_BYTES: usize = 512 << 10;
/// Fewer rows leave most of a tile empty.
pub(super) const LEAST_ROWS: usize = 4;
/// How far ahead of the sums weights are asked for, in bytes: two steps of two tiles.
const AHEAD: usize = 2 * 2 * TILE * DEPTH;
/// Cycles of a step of a tile of rows and one of columns.
const STEP_CYCLES: usize = 16;
/// Cycles of a step of copying: a line of 64 bytes, and going from one run to the next.
const COPY_CYCLES: [usize; 2] = [2, 4];
/// Tiles take so little time that waking a thread takes more of them.
const LEAST_TILE_WORK: usize = 4 * LEAST_WORK;

/// Whether reading windows out of strips takes less time than copying each: strips leave more of the tiles empty, in
/// depth and between the lines.
pub(super) fn pays(in_strips: &PackLayout, copied: &PackLayout, strip: &Strip, window: &Window) -> bool {
    let multiply = |tiles: usize, layout: &PackLayout| {
        tiles * (layout.col_bytes / DEPTH) * layout.cols.div_ceil(TILE) * STEP_CYCLES
    };
    let [height, width] = window.output;
    let copies = in_strips.runs * (strip.run_len.div_ceil(DEPTH) * COPY_CYCLES[0] + COPY_CYCLES[1]);
    let copying = height * width * copies + multiply((height * width).div_ceil(TILE), copied);
    let lines = strip.len(height).div_ceil(DEPTH) * COPY_CYCLES[0];
    lines + multiply(source::window_tiles(height, width, strip.steps), in_strips) < copying
}

/// As [`super::gemm::gemm`], whose contract this shares, for byte activations.
#[expect(clippy::too_many_arguments, reason = "the operands of the general product, and the token")]
pub(super) fn gemm<R: Rows, E: Store + ?Sized>(
    amx: Avx512Amx,
    weights: PackedRef<'_>,
    rows: &R,
    zeros: Zeros<'_>,
    bias: &Bias,
    store: &E,
    par: Par,
    scratch: &mut [u8],
) {
    let (count, layout) = (rows.count(), weights.layout);
    assert!(bias.table().len() >= layout.cols + SPARE, "one bias for each column");
    let panels = layout.padded_cols.div_ceil(layout.panel_cols);
    let work = count * layout.cols * layout.col_bytes;
    let par = if work < 2 * LEAST_TILE_WORK { Par::serial() } else { par };
    let most_parts = work / LEAST_TILE_WORK;
    let cut = &if layout.strips {
        Cut::new(&layout, rows, panels, most_parts, par)
    } else {
        let most = block_rows(&layout).min(rows_of_a_thread(&layout, count, TILE, par, 1));
        // Blocks of equal height.
        Cut::Rows(count.div_ceil(count.div_ceil(most)).next_multiple_of(TILE))
    };
    for_each_block(&layout, cut, count, most_parts, par, scratch, |block, panels, buffer| {
        let pack = PackBlock { layout, rows, zeros, cut, block, buffer };
        let (range, source) = amx.base().base().dispatch(pack);
        let (bias, rows) = (bias.table(), BlockRows::Tiles(amx, source));
        store.multiply(Block { weights, bias, zeros, offset: R::OFFSET, range, rows, panels });
    });
}

/// What zero points leave to be added to sums.
#[derive(Copy, Clone)]
enum Rest<'a> {
    /// The same zero point for all rows: column sums times it, negative.
    All(i32),
    /// The rows' own zero points, and what the weights' zero point adds to each row.
    Each { zeros: &'a [i32], terms: &'a [i32] },
}

impl<'a, R: Rows> Kernel for PackBlock<'a, R> {
    type Output = (Range<usize>, Source<'a>);

    #[inline(always)]
    fn run<S: Isa>(self, _: S) -> Self::Output {
        match self.cut {
            Cut::Rows(most) => {
                let range = self.block * most..((self.block + 1) * most).min(self.rows.count());
                let source = Source::rows(&self.layout, self.rows, self.zeros, range.clone(), self.buffer);
                (range, source)
            }
            Cut::Lines(lines) => Source::strip(self.rows, self.zeros, lines, self.block, self.buffer),
        }
    }
}

/// Multiplies a block, and gives the sums to `store`.
#[inline(always)]
pub(super) fn multiply(amx: Avx512Amx, block: Block<'_>, source: Source<'_>, store: &(impl Store + ?Sized)) {
    amx.base().base().dispatch(MultiplyBlock { amx, block, source, store });
}

/// The multiplication of a block.
struct MultiplyBlock<'a, E: ?Sized> {
    amx: Avx512Amx,
    block: Block<'a>,
    source: Source<'a>,
    store: &'a E,
}

impl<E: Store + ?Sized> Kernel for MultiplyBlock<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Self { amx, block, source, store } = self;
        let Block { weights, bias, zeros: all_zeros, offset, range, panels, .. } = block;
        let layout = weights.layout;
        let (count, first_row) = (range.len(), range.start);
        // A zero point in the numbers that the tiles read.
        let stored_zero = |row| {
            let zero = all_zeros.of(first_row + row);
            if source.signed { zero - offset } else { zero }
        };
        // Made where they are needed: clearing them takes as long as some steps.
        let (mut zeros, mut terms);
        let rest = if weights.zero == 0 && all_zeros.are_uniform(range) {
            Rest::All(stored_zero(0))
        } else {
            (zeros, terms) = ([0; MOST_ROWS], [0; MOST_ROWS]);
            for i in 0..count {
                zeros[i] = stored_zero(i);
                if weights.zero != 0 {
                    let sum = source.row_sum(i, layout.run_len());
                    let sum = sum.wrapping_sub((layout.depth as i32).wrapping_mul(zeros[i]));
                    terms[i] = sum.wrapping_mul(weights.zero).wrapping_neg();
                }
            }
            Rest::Each { zeros: &zeros[..count], terms: &terms[..count] }
        };
        let tiles = Tiles::configure(amx);
        let multiply = Multiply { weights, bias, store, source, rest, first_row };
        for panel in panels {
            let first = panel * layout.panel_cols;
            let whole = layout.padded_cols - first >= layout.panel_cols;
            match (whole, source.signed) {
                (true, true) => multiply.panel::<S, 2, true>(isa, first),
                (true, false) => multiply.panel::<S, 2, false>(isa, first),
                (false, true) => multiply.panel::<S, 1, true>(isa, first),
                (false, false) => multiply.panel::<S, 1, false>(isa, first),
            }
        }
        drop(tiles);
    }
}

/// The rows of a block and what their sums need.
struct Multiply<'a, E: ?Sized> {
    weights: PackedRef<'a>,
    bias: &'a [i32],
    store: &'a E,
    source: Source<'a>,
    rest: Rest<'a>,
    /// The number of the block's first row.
    first_row: usize,
}

impl<E: Store + ?Sized> Multiply<'_, E> {
    /// All rows against a panel of `V` tiles of columns.
    #[inline(always)]
    fn panel<S: Isa, const V: usize, const SIGNED: bool>(&self, isa: S, first: usize) {
        let mut sums = Sums([0; ROWS * 2 * TILE]);
        let tiles = self.source.tiles();
        for tile in (0..tiles).step_by(2) {
            let count = (tiles - tile).min(2);
            if count == 2 {
                self.multiply::<2, V, SIGNED>(tile, first, &mut sums);
            } else {
                self.multiply::<1, V, SIGNED>(tile, first, &mut sums);
            }
            self.finish::<S, V>(isa, tile..tile + count, first, &sums);
        }
    }

    /// The products of `R` tiles of rows with `V` of columns.
    #[inline(always)]
    fn multiply<const R: usize, const V: usize, const SIGNED: bool>(
        &self,
        tile: usize,
        first: usize,
        sums: &mut Sums,
    ) {
        let Source { stride, runs, run_steps, .. } = self.source;
        let depth = self.weights.layout.col_bytes;
        let panel = &self.weights.data[first * depth..][..V * TILE * depth];
        let width = V * TILE * 4;
        let starts = [self.source.tile(tile), self.source.tile(tile + R - 1)];
        let mut b = panel.as_ptr();
        // SAFETY: the source has whole tiles of rows `stride` apart, with runs of whole tiles' depths, the panel holds as
        // many weights of each column, `sums` has room for all tiles, which are configured.
        unsafe {
            clear_tiles();
            for down in 0..runs[0] {
                for right in 0..runs[1] {
                    let run = down * run_steps[0] + right * run_steps[1];
                    let mut a = starts.map(|start| start.wrapping_add(run));
                    for _ in 0..self.weights.layout.run_bytes() / DEPTH {
                        ask_for::<V>(b.wrapping_add(AHEAD));
                        step::<R, V, SIGNED>(a, stride, b, width);
                        a = a.map(|a| a.wrapping_add(DEPTH));
                        b = b.add(DEPTH / 4 * width);
                    }
                }
            }
            store_tiles::<R, V>(sums);
        }
    }

    /// The epilogue of one or two tiles of rows.
    #[inline(always)]
    fn finish<S: Isa, const V: usize>(&self, isa: S, tiles: Range<usize>, first: usize, sums: &Sums) {
        for v in 0..V {
            let col = first + v * TILE;
            let len = TILE.min(self.weights.layout.cols - col);
            let columns = self.store.columns(isa, col);
            let start = isa.load_i32(&self.bias[col..]);
            let column_sums = isa.load_i32(&self.weights.sums[col..]);
            let mut tile = tiles.start;
            while tile < tiles.end {
                let joined = self.source.joined(tile, tiles.end);
                let mut pieces = self.source.pieces(tile, joined);
                let above = tile - tiles.start;
                tile += joined;
                while let Some(Piece { at, row, count }) = pieces.next() {
                    let tile = TileSums::new(sums, Sums::at(above, at, v), count);
                    let rows = (self.first_row + row, count);
                    match self.rest {
                        Rest::All(zero) => {
                            let start = isa.sub_i32(start, isa.mul_i32(column_sums, isa.splat_i32(zero)));
                            self.store.store_rows(isa, columns, rows, col, len, Shifted { tile, start });
                        }
                        Rest::Each { zeros, terms } => {
                            let own = row..row + count;
                            let own = zeros[own.clone()].iter().zip(&terms[own]);
                            let each = Corrected { tile, start, column_sums, rows: own };
                            self.store.store_rows(isa, columns, rows, col, len, each);
                        }
                    }
                }
            }
        }
    }
}

/// The sums of a tile, row by row.
struct TileSums<'a> {
    next: *const i32,
    _sums: PhantomData<&'a Sums>,
}

impl<'a> TileSums<'a> {
    /// Those of `count` rows from element `at` on.
    #[inline(always)]
    fn new(sums: &'a Sums, at: usize, count: usize) -> Self {
        assert!(at + (count - 1) * 2 * TILE + TILE <= sums.0.len());
        Self { next: sums.0[at..].as_ptr(), _sums: PhantomData }
    }

    /// The next row's. To be called as often as there are rows.
    #[inline(always)]
    fn next<S: Isa>(&mut self, isa: S) -> S::I {
        // SAFETY: a row's vector lies within the sums, which was checked for the last row.
        let sums = unsafe { isa.load_i32_ptr(self.next) };
        self.next = self.next.wrapping_add(2 * TILE);
        sums
    }
}

/// Sums that all start from the same numbers.
struct Shifted<'a, I> {
    tile: TileSums<'a>,
    start: I,
}

impl<S: Isa> RowSums<S> for Shifted<'_, S::I> {
    #[inline(always)]
    fn next(&mut self, isa: S) -> S::I {
        isa.add_i32(self.tile.next(isa), self.start)
    }
}

/// Sums with corrections of each row's own.
struct Corrected<'a, I> {
    tile: TileSums<'a>,
    start: I,
    column_sums: I,
    /// Zero points, and terms to add.
    rows: Zip<slice::Iter<'a, i32>, slice::Iter<'a, i32>>,
}

impl<S: Isa> RowSums<S> for Corrected<'_, S::I> {
    #[inline(always)]
    fn next(&mut self, isa: S) -> S::I {
        // There are as many as rows.
        let (&zero, &term) = self.rows.next().unwrap_or((&0, &0));
        let rest = isa.mul_i32(self.column_sums, isa.splat_i32(zero));
        let start = isa.add_i32(isa.sub_i32(self.start, rest), isa.splat_i32(term));
        isa.add_i32(self.tile.next(isa), start)
    }
}
