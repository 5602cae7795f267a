//! Cutting a product into tiles and handing them to threads.

use core::ops::Range;

use super::micro::{self, Tile};
use super::pack::{PanelData, Panels, Weight};
use super::rows::{MAX_ROWS, RowSource, evenly};
use crate::cpu::float::epilogue::Epilogue;
use crate::error::ShapeError;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::{Bands, Par, SharedMut, threads_share_rows};

/// Bytes of packed weights that stay in the second-level cache while rows pass by.
const CACHED_WEIGHTS: usize = 512 << 10;
/// Most blocks for a thread: whoever is done first takes one of another's, and waits for the last one at most.
const BLOCKS_PER_THREAD: usize = 8;
/// Multiplications of a block, with AVX-512: some microseconds, beside which it does not count that a block is taken.
const WORTH_A_BLOCK: usize = 512 * 1024;
/// Multiplications, with AVX-512, below which a second thread costs more than it saves: some microseconds, as waking it takes.
const WORTH_A_THREAD: usize = 384 * 1024;
/// Most pieces a row can have; sizes the table of addresses on the stack.
pub(crate) const MAX_TAPS: usize = 64;

/// A product to compute: rows from a source, times panels, into columns of an output.
pub(crate) struct Product<'a> {
    pub(crate) source: &'a dyn RowSource<f32>,
    pub(crate) rows: usize,
    pub(crate) weights: Panels<'a>,
    /// The column of the output where the first column of the product goes.
    pub(crate) column: usize,
    pub(crate) epilogue: Epilogue<'a>,
}

/// Computes a product. `scratch` must have room for `source.scratch_len()` floats at least, and lets as many
/// threads run as it has room for.
///
/// # Errors
/// If the residual is not as long as the output, or the scratch buffer too short.
pub(crate) fn product(
    cpu: Cpu,
    product: &Product<'_>,
    out: &mut [f32],
    scratch: &mut [f32],
    par: Par,
) -> Result<(), ShapeError> {
    product_into(cpu, product, &SharedMut::new(out), scratch, par)
}

/// As [`product()`], into a part of an output that others write other parts of.
pub(crate) fn product_into(
    cpu: Cpu,
    product: &Product<'_>,
    out: &SharedMut<'_, f32>,
    scratch: &mut [f32],
    par: Par,
) -> Result<(), ShapeError> {
    let source = product.source;
    if let Some(residual) = product.epilogue.residual {
        ShapeError::check("residual", out.len(), residual.len())?;
    }
    ShapeError::check_at_least("scratch", source.scratch_len(), scratch.len())?;
    debug_assert!(source.taps() <= MAX_TAPS);
    debug_assert_eq!(source.taps() * source.depth(), product.weights.k());
    if product.rows == 0 || product.weights.n() == 0 {
        return Ok(());
    }
    let sizes = Sizes {
        rows: product.rows,
        columns: product.weights.n(),
        depth: product.weights.k(),
        taps: source.taps(),
        panels: product.weights.count(),
    };
    let blocks = Blocks::new(cpu, &sizes, par);
    let par = if blocks.order.tiles() == 1 { Par::serial() } else { par };
    par.for_each_tile_with(blocks.order.tiles(), scratch, source.scratch_len(), |block, scratch| {
        cpu.dispatch(Block { product, blocks: &blocks, block, out, scratch });
    });
    Ok(())
}

/// As many threads of `par` as `work` multiplications are worth waking.
pub(crate) fn worthwhile_threads(cpu: Cpu, work: usize, par: Par) -> usize {
    par.threads().min(work / cpu.in_its_lanes(WORTH_A_THREAD)).max(1)
}

/// The size of a product, and how its operands lie.
struct Sizes {
    rows: usize,
    columns: usize,
    depth: usize,
    /// Pieces of a row.
    taps: usize,
    /// Panels that the columns are packed in.
    panels: usize,
}

/// How rows and panels are cut into blocks of work.
struct Blocks {
    rows: usize,
    row_tile: usize,
    row_blocks: usize,
    panels: usize,
    panel_blocks: usize,
    order: Bands,
}

impl Blocks {
    fn new(cpu: Cpu, sizes: &Sizes, par: Par) -> Self {
        let &Sizes { rows, columns: n, depth: k, taps, panels } = sizes;
        let tile = micro::tile_shape(cpu);
        let row_tiles = rows.div_ceil(tile.rows);
        let work = rows.saturating_mul(n).saturating_mul(k);
        let threads = worthwhile_threads(cpu, work, par);
        // A window's pixels are shared with its neighbours.
        let row_len = (k / taps.max(1)).saturating_add(n);
        let share_rows = threads_share_rows(rows, row_tiles, row_len, n.saturating_mul(k), threads);
        let wanted = match threads {
            1 => 1,
            // As many for each thread.
            _ => (work / cpu.in_its_lanes(WORTH_A_BLOCK) / threads).clamp(2, BLOCKS_PER_THREAD) * threads,
        };
        let panel_bytes = (k + 1) * tile.columns * size_of::<f32>();
        let in_cache = panels.div_ceil((CACHED_WEIGHTS / panel_bytes).max(1));
        // What is shared is cut first, and the other only where that gives too few blocks.
        let (row_blocks, panel_blocks) = if share_rows || threads == 1 {
            let row_blocks = wanted.min(row_tiles);
            (row_blocks, wanted.div_ceil(row_blocks).max(in_cache).min(panels))
        } else {
            let panel_blocks = wanted.max(in_cache.next_multiple_of(threads)).min(panels);
            (wanted.div_ceil(panel_blocks).min(row_tiles), panel_blocks)
        };
        let ranges = if share_rows { threads } else { 1 };
        let order = Bands::new(row_blocks, ranges, panel_blocks);
        Self { rows, row_tile: tile.rows, row_blocks, panels, panel_blocks, order }
    }

    /// Rows and panels of a block.
    fn block(&self, number: usize) -> (Range<usize>, Range<usize>) {
        let (row_block, panel_block) = self.order.tile(number);
        let row_tiles = self.rows.div_ceil(self.row_tile);
        let row = |block: usize| (block * row_tiles / self.row_blocks * self.row_tile).min(self.rows);
        let panel = |block: usize| block * self.panels / self.panel_blocks;
        (row(row_block)..row(row_block + 1), panel(panel_block)..panel(panel_block + 1))
    }
}

/// One block of a product.
struct Block<'a> {
    product: &'a Product<'a>,
    blocks: &'a Blocks,
    block: usize,
    out: &'a SharedMut<'a, f32>,
    scratch: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        match self.product.weights.data {
            PanelData::Single(data) => self.tiles(isa, data),
            PanelData::Half(data) => self.tiles(isa, data),
        }
    }
}

impl Block<'_> {
    /// Computes the block with the numbers of all panels.
    #[inline(always)]
    fn tiles<S: Isa, W: Weight>(self, isa: S, data: &[W]) {
        let Self { product, blocks, block, out, scratch } = self;
        let Product { source, weights: Panels { layout, .. }, epilogue, .. } = product;
        let (taps, depth, columns_of_all) = (source.taps(), source.depth(), product.weights.n());
        let (Range { start: mut row, end }, panels) = blocks.block(block);
        let mut pieces = [core::ptr::null(); MAX_TAPS * MAX_ROWS];
        let mut starts = [0; MAX_ROWS];
        while row < end {
            let height = micro::height_for::<S, W>(end - row);
            let rows = height.min(end - row);
            let tallest = W::ALL_HEIGHTS && rows == micro::tall::<S>();
            let even =
                if tallest { source.locate_even(row, rows, scratch, &mut pieces[..taps]) } else { None };
            if let Some(even) = even {
                let start = even.out_start + product.column;
                evenly(start, even.out_step, &mut starts[..rows]);
                // The last row starts last.
                out.check(start, (rows - 1) * even.out_step + columns_of_all);
            } else {
                source.locate(row, rows, height, scratch, &mut pieces[..taps * height]);
                source.outputs(row, &mut starts[..rows]);
                let mut greatest = 0;
                for start in &mut starts[..rows] {
                    *start += product.column;
                    greatest = greatest.max(*start);
                }
                out.check(greatest, columns_of_all);
                let last = starts[rows - 1];
                starts[rows..height].fill(last);
            }
            let pieces = &pieces[..if even.is_some() { taps } else { taps * height }];
            let step = even.map(|even| even.step);
            for panel in panels.clone() {
                let (column, columns, _) = layout.columns(panel);
                let (first, len) = layout.place(panel);
                let tile = Tile {
                    pieces,
                    step,
                    rows,
                    taps,
                    depth,
                    panel: &data[first..first + len],
                    columns,
                    out: out.as_mut_ptr().wrapping_add(column),
                    residual: epilogue
                        .residual
                        .map_or(core::ptr::null(), |r| r.as_ptr().wrapping_add(column)),
                    starts: &starts,
                    activation: epilogue.activation,
                };
                // SAFETY: the source located `taps * height` pieces of `depth` values, or `taps` with a step; each start leaves room for
                // all columns in the output (checked above) and in the residual (as long as the output). Blocks
                // have disjoint rows or columns, so no other thread writes there.
                unsafe { micro::compute(isa, height, &tile) };
            }
            row += rows;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_the_product_once_and_threads_get_the_same() {
        let products: [(&str, usize, usize, usize, usize); 8] = [
            ("an image", 14 * 14, 384, 64, 1),
            ("a small image to few channels", 7 * 7, 160, 960, 1),
            ("a small image to many channels", 7 * 7, 1280, 320, 1),
            ("windows", 56 * 56, 64, 576, 9),
            ("weights beyond the cache", 64, 4096, 1024, 1),
            ("a row", 1, 1000, 1280, 1),
            ("a column", 5000, 1, 300, 1),
            ("hardly any work", 3, 5, 7, 1),
        ];
        for (name, rows, columns, depth, taps) in products {
            for cpu in Cpu::all() {
                let tile = micro::tile_shape(cpu);
                let panels = columns.div_ceil(tile.columns);
                for threads in [1, 2, 4] {
                    let sizes = Sizes { rows, columns, depth, taps, panels };
                    let blocks = Blocks::new(cpu, &sizes, Par::new(threads));
                    let tiles = blocks.order.tiles();
                    let place = format!("{name}, {threads} threads, {} blocks, {}", tiles, cpu.name());
                    let mut times = vec![0; rows * panels];
                    let mut share = [0usize; 2];
                    for number in 0..tiles {
                        let (block_rows, block_panels) = blocks.block(number);
                        assert!(!block_rows.is_empty() && !block_panels.is_empty(), "{place}");
                        share[usize::from(number >= tiles / 2)] += block_rows.len() * block_panels.len();
                        for row in block_rows {
                            block_panels.clone().for_each(|panel| times[row * panels + panel] += 1);
                        }
                    }
                    assert!(times.iter().all(|&n| n == 1), "{place}");
                    // As numbers are dealt out.
                    let uneven = share[0].abs_diff(share[1]);
                    assert!(tiles == 1 || threads == 1 || 8 * uneven <= rows * panels, "{place}: {share:?}");
                }
            }
        }
    }
}
