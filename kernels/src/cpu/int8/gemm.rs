//! Matrix multiplication of small integers: rows of activations times packed weights.
//!
//! Work is cut into blocks of rows and groups of weight panels. A block packs its rows once (out of a matrix, or
//! straight out of an image: no im2col matrix exists) unless they can be read where they lie, and runs them tile by
//! tile against each panel, see [`block`](super::block).

use core::ops::Range;

use super::block::{Block, BlockRows, Grid, MOST_ROWS, Source};
use super::dot::{Dot, DotKernel, PanelElement};
use super::pack::{PackLayout, PackedRef};
use super::rows::{RawPlace, RawRows, Rows, Window};
use super::store::{SPARE, Store};
use super::strips::Strip;
use crate::par::{Par, threads_share_rows};

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
            Self::Each { zeros, rows: 1 } => zeros[row],
            Self::Each { zeros, rows } => zeros[row / rows],
        }
    }

    /// Whether all rows `rows` (one at least) share one.
    #[inline(always)]
    pub(super) fn are_uniform(self, rows: Range<usize>) -> bool {
        match self {
            Self::All(_) => true,
            Self::Each { rows: of_each, .. } => rows.start / of_each == (rows.end - 1) / of_each,
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

/// Bytes of packed rows that leave room for a panel of weights in the second-level cache.
const BLOCK_BYTES: usize = 192 << 10;
/// Work of a tile below which a thread is not worth waking, in products by the dot products of AVX-512.
pub(super) const LEAST_WORK: usize = 1 << 19;
/// Most parts that work is cut into for each thread, so that threads that start late or are disturbed do not hold up all.
const PARTS_PER_THREAD: usize = 16;
/// Most parts where each repeats something: lines that windows of two parts share, or the packing of rows.
const REPEATING_PARTS_PER_THREAD: usize = 4;

/// [`LEAST_WORK`] for the instructions that a layout is for.
pub(super) fn least_work(layout: &PackLayout) -> usize {
    layout.cpu.in_its_lanes(LEAST_WORK) * layout.products_of_a_lane() / 4
}

/// Rows of a block for the given weights.
pub(super) fn block_rows(layout: &PackLayout) -> usize {
    let row_bytes = layout.col_bytes * layout.element_bytes;
    let tile = layout.tile_rows;
    #[cfg(target_arch = "x86_64")]
    if layout.amx().is_some() {
        return (super::amx::BLOCK_BYTES / row_bytes.max(1) / tile * tile)
            .clamp(tile, super::amx::MOST_PACKED_ROWS);
    }
    (BLOCK_BYTES / row_bytes.max(1) / tile * tile).clamp(tile, MOST_ROWS / tile * tile)
}

/// The rows that a thread gets at once of `count`, in whole tiles of the layout: one of its `parts`, or all if threads rather
/// share the weights. `tile` rows are the least that are multiplied together.
pub(super) fn rows_of_a_thread(
    layout: &PackLayout,
    count: usize,
    tile: usize,
    par: Par,
    parts: usize,
) -> usize {
    let (row_len, weights) = (layout.depth + layout.cols, layout.depth * layout.cols);
    let shared = threads_share_rows(count, count.div_ceil(tile), row_len, weights, par.threads());
    count.div_ceil(if shared { par.threads() * parts } else { 1 }).next_multiple_of(layout.tile_rows)
}

/// Bytes of scratch that one thread of [`gemm`] needs.
pub fn gemm_scratch(layout: &PackLayout) -> usize {
    // Room to begin at a multiple of the element's alignment.
    (block_rows(layout) * layout.col_bytes * layout.element_bytes).next_multiple_of(64) + 64
}

/// As [`gemm_scratch`], for the windows that the layout is for.
pub fn windows_scratch(layout: &PackLayout, window: &Window, channels: usize) -> usize {
    match layout.strip(window, channels) {
        Some(strip) if layout.strips => {
            (strip.len(strip.most_lines) * layout.element_bytes).next_multiple_of(64) + 64
        }
        _ => gemm_scratch(layout),
    }
}

/// Bytes behind the last row of a matrix that let [`gemm`] read all rows of bytes where they lie.
pub fn spare_bytes(layout: &PackLayout) -> usize {
    #[cfg(target_arch = "x86_64")]
    if layout.amx().is_some() {
        return super::amx::ROWS * layout.depth + layout.col_bytes;
    }
    layout.col_bytes - layout.depth
}

/// How the rows are cut into blocks.
pub(super) enum Cut {
    /// So many rows, one after another.
    Rows(usize),
    /// Some lines of windows.
    Lines(Lines),
}

/// Images cut into blocks of some lines of windows.
pub(super) struct Lines {
    pub(super) strip: Strip,
    /// Lines of a block, but for the last of an image.
    lines: usize,
    /// Lines and columns of windows of an image.
    output: [usize; 2],
}

/// A block of lines.
pub(super) struct BlockLines {
    pub(super) image: usize,
    /// The first line.
    pub(super) first: usize,
    /// Number of lines.
    pub(super) count: usize,
    /// Their rows.
    pub(super) rows: Range<usize>,
}

impl Lines {
    pub(super) fn block(&self, block: usize) -> BlockLines {
        let [height, width] = self.output;
        let blocks = height.div_ceil(self.lines);
        let (image, first) = (block / blocks, block % blocks * self.lines);
        let count = self.lines.min(height - first);
        let row = (image * height + first) * width;
        BlockLines { image, first, count, rows: row..row + count * width }
    }

    /// Windows of a line.
    pub(super) fn width(&self) -> usize {
        self.output[1]
    }
}

impl BlockLines {
    /// The zero point of the block.
    ///
    /// # Panics
    /// If its rows have several.
    pub(super) fn zero(&self, zeros: Zeros<'_>) -> i32 {
        assert!(zeros.are_uniform(self.rows.clone()), "an image has one zero point");
        zeros.of(self.rows.start)
    }
}

impl Cut {
    /// Cuts the rows for `par`, of whose work `most_parts` parts are worth a thread each.
    pub(super) fn new<R: Rows>(
        layout: &PackLayout,
        rows: &R,
        panels: usize,
        most_parts: usize,
        par: Par,
    ) -> Self {
        if !layout.strips {
            let parts = match par.threads() {
                1 => 1,
                threads => (most_parts / threads).clamp(1, PARTS_PER_THREAD),
            };
            let most = rows_of_a_thread(layout, rows.count(), layout.tile_rows, par, parts);
            return Self::Rows(block_rows(layout).min(most));
        }
        let windows = rows.windows();
        let strip = windows.and_then(|(window, channels)| layout.strip(window, channels));
        let (Some((window, _)), Some(strip)) = (windows, strip) else {
            panic!("the weights are packed for windows that overlap");
        };
        assert_eq!(
            (strip.runs[0] * strip.runs[1], strip.run_len),
            (layout.runs, layout.run_len()),
            "the weights are packed for other windows"
        );
        let [height, width] = window.output;
        // Enough blocks for all threads, none of less than a few tiles.
        let blocks = if par.threads() == 1 {
            1
        } else {
            (2 * REPEATING_PARTS_PER_THREAD * par.threads()).div_ceil(panels)
        };
        let least = (4 * layout.tile_rows).div_ceil(width);
        let lines = (window.batch * height).div_ceil(blocks).max(least).min(strip.most_lines);
        Self::Lines(Lines { strip, lines, output: [height, width] })
    }

    pub(super) fn blocks(&self, count: usize) -> usize {
        match self {
            Self::Rows(rows) => count.div_ceil(*rows),
            Self::Lines(Lines { lines, output: [height, width], .. }) => {
                count / (height * width) * height.div_ceil(*lines)
            }
        }
    }

    /// Bytes of scratch of a block.
    pub(super) fn scratch(&self, layout: &PackLayout) -> usize {
        match self {
            Self::Rows(_) => gemm_scratch(layout),
            Self::Lines(Lines { strip, lines, .. }) => {
                (strip.len(*lines) * layout.element_bytes).next_multiple_of(64) + 64
            }
        }
    }
}

/// Multiplies every row of `rows` with every column of `weights`, starting from `bias`, and gives the sums to
/// `store`. Both sides' zero points are taken off before the multiplication, as far as the result goes.
///
/// # Panics
/// If `scratch` is smaller than [`gemm_scratch`] (or [`windows_scratch`], if the weights are packed for windows), a
/// table is too short, or weights packed for windows meet other rows.
pub fn gemm<R: Rows>(
    weights: PackedRef<'_>,
    rows: &R,
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
    let work = count * layout.cols * layout.depth;
    let least = least_work(&layout);
    let par = if work < 2 * least { Par::serial() } else { par };
    let panels = layout.padded_cols.div_ceil(layout.panel_cols);
    let most_parts = work / least;
    let cut = &Cut::new(&layout, rows, panels, most_parts, par);
    for_each_block(&layout, cut, count, most_parts, par, scratch, |block, panels, buffer| {
        let (range, source) = layout.dispatch(PackBlock { layout, rows, zeros, cut, block, buffer });
        let (bias, rows) = (bias.table(), BlockRows::Vectors(source));
        store.multiply(Block { weights, bias, zeros, offset: R::OFFSET, range, rows, panels });
    });
}

/// Calls `run` with every block of rows and the panels that it meets, and with scratch for its rows. Few blocks are cut along
/// the columns too, into no more parts than `most_parts`; each part then packs the rows for itself.
pub(super) fn for_each_block(
    layout: &PackLayout,
    cut: &Cut,
    rows: usize,
    most_parts: usize,
    par: Par,
    scratch: &mut [u8],
    run: impl Fn(usize, Range<usize>, &mut [u8]) + Sync + Send,
) {
    let (blocks, wanted) = (cut.blocks(rows), REPEATING_PARTS_PER_THREAD * par.threads());
    let panels = layout.padded_cols.div_ceil(layout.panel_cols);
    let parts = if par.threads() == 1 || blocks >= wanted {
        1
    } else {
        most_parts.clamp(1, wanted.div_ceil(blocks)).min(panels)
    };
    par.for_each_tile_with(blocks * parts, scratch, cut.scratch(layout), |tile, buffer| {
        let panel = |part: usize| part * panels / parts;
        let part = tile % parts;
        run(tile / parts, panel(part)..panel(part + 1), buffer);
    });
}

/// Packs the rows of a block.
pub(super) struct PackBlock<'a, R> {
    pub(super) layout: PackLayout,
    pub(super) rows: &'a R,
    pub(super) zeros: Zeros<'a>,
    pub(super) cut: &'a Cut,
    pub(super) block: usize,
    pub(super) buffer: &'a mut [u8],
}

impl<'a, R: Rows> DotKernel for PackBlock<'a, R> {
    type Output = (Range<usize>, Source<'a, u8>);

    #[inline(always)]
    fn run<D: Dot>(self, _: D) -> Self::Output {
        let Self { layout, rows, zeros, cut, block, buffer } = self;
        let (_, buffer, _) = bytemuck::pod_align_to_mut::<u8, D::Lhs>(buffer);
        let (range, source) = match cut {
            Cut::Rows(most) => {
                let range = block * most..((block + 1) * most).min(rows.count());
                (range.clone(), dense_rows(&layout, rows, zeros, range, buffer))
            }
            Cut::Lines(lines) => strip_rows(rows, zeros, lines, block, buffer),
        };
        (range, source.bytes())
    }
}

/// The rows `range`: where they lie, if they are in the packed form there, else packed into the buffer.
#[inline(always)]
fn dense_rows<'a, L: PanelElement, R: Rows>(
    layout: &PackLayout,
    rows: &'a R,
    zeros: Zeros<'_>,
    range: Range<usize>,
    buffer: &'a mut [L],
) -> Source<'a, L> {
    let PackLayout { depth, col_bytes, .. } = *layout;
    if let Some(RawRows { bytes, signed, at: RawPlace::Stride(stride) }) = rows.raw()
        && let Some(data) = L::raw(bytes, signed)
        && (range.end - 1) * stride + col_bytes <= data.len()
    {
        return Source::dense(&data[range.start * stride..], stride);
    }
    if depth > 0 {
        for (row, to) in range.zip(buffer.chunks_exact_mut(col_bytes)) {
            let (body, tail) = to.split_at_mut(depth);
            rows.pack(row, zeros.of(row) - R::OFFSET, body);
            if !tail.is_empty() {
                tail.fill(L::pack(0, 0));
            }
        }
    }
    Source::dense(buffer, col_bytes)
}

/// Some lines of windows: the block's rows, and the strip they are read out of.
#[inline(always)]
fn strip_rows<'a, L: PanelElement, R: Rows>(
    rows: &R,
    zeros: Zeros<'_>,
    lines: &Lines,
    block: usize,
    buffer: &'a mut [L],
) -> (Range<usize>, Source<'a, L>) {
    let (strip, block) = (&lines.strip, lines.block(block));
    let data = &mut buffer[..strip.len(block.count)];
    rows.pack_strip(strip, block.image, block.first, block.zero(zeros) - R::OFFSET, data);
    let grid = Grid { width: lines.width(), step: strip.steps[1], line: strip.steps[0] };
    (block.rows, Source { data, grid, runs: strip.runs, run_steps: strip.run_steps })
}
