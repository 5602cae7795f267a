//! Matrix multiplication of small integers: rows of activations times packed weights.
//!
//! Work is cut into blocks of rows and groups of weight panels. A block packs its rows once (out of a matrix, or
//! straight out of an image: no im2col matrix exists) unless they can be read where they lie, and runs them tile by tile against each panel; a tile's
//! sums never leave the registers before their epilogue.

use core::ops::Range;

use super::dot::{Dot, DotKernel, PanelElement, Sums};
use super::pack::{PackLayout, PackedRef};
use super::rows::{RawPlace, RawRows, Rows, Window};
use super::store::{RowSums, SPARE, Store};
use super::strips::Strip;
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

/// The most rows that meet all panels before the next ones do; sizes the table of their corrections.
const MOST_ROWS: usize = 192;
/// Bytes of packed rows that leave room for a panel of weights in the second-level cache.
const BLOCK_BYTES: usize = 192 << 10;
/// How far ahead of the sums weights are asked for, in bytes.
const AHEAD: usize = 2048;
/// Bytes of a panel that stays in the first-level cache while rows pass by: its weights need not be asked for.
const NEAR: usize = 24 << 10;
/// Work of a tile below which a thread is not worth waking, in products.
pub(super) const LEAST_WORK: usize = 1 << 17;
/// Parts that work is cut into for each thread, so that threads that start late or are disturbed do not hold up all.
const PARTS_PER_THREAD: usize = 4;

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
    pub(super) fn new<R: Rows>(layout: &PackLayout, rows: &R, panels: usize, par: Par) -> Self {
        let count = rows.count();
        if !layout.strips {
            return Self::Rows(block_rows(layout).min(count.next_multiple_of(layout.tile_rows)));
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
        let blocks =
            if par.threads() == 1 { 1 } else { (2 * PARTS_PER_THREAD * par.threads()).div_ceil(panels) };
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
    let work = count * layout.cols * layout.depth;
    let par = if work < 2 * LEAST_WORK { Par::serial() } else { par };
    let panels = layout.padded_cols.div_ceil(layout.panel_cols);
    let cut = &Cut::new(&layout, rows, panels, par);
    let blocks = cut.blocks(count);
    // Few rows are cut along the columns, each part then packs the rows for itself.
    let parts = if par.threads() == 1 || blocks >= PARTS_PER_THREAD * par.threads() {
        1
    } else {
        (work / LEAST_WORK).clamp(1, (PARTS_PER_THREAD * par.threads()).div_ceil(blocks)).min(panels)
    };
    let panels_per_part = panels.div_ceil(parts);
    let parts = panels.div_ceil(panels_per_part);
    par.for_each_tile_with(blocks * parts, scratch, cut.scratch(&layout), |tile, buffer| {
        let panel = tile % parts * panels_per_part;
        let panels = panel..(panel + panels_per_part).min(panels);
        let bias = &bias.0;
        layout.dispatch(Block {
            weights,
            rows,
            zeros,
            bias,
            store,
            cut,
            block: tile / parts,
            panels,
            buffer,
        });
    });
}

/// Where rows lie among numbers: lines of `width` rows.
#[derive(Copy, Clone)]
struct Grid {
    width: usize,
    /// Distance between rows of a line.
    step: usize,
    /// Distance between lines.
    line: usize,
}

impl Grid {
    /// Where rows `row..row + R` begin.
    #[inline(always)]
    fn offsets<const R: usize>(self, row: usize) -> [usize; R] {
        let mut offsets = [0; R];
        let (mut y, mut x) = if row < self.width { (0, row) } else { (row / self.width, row % self.width) };
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
struct Source<'a, L> {
    data: &'a [L],
    grid: Grid,
    /// Runs of a row, down and right, and their distances.
    runs: [usize; 2],
    run_steps: [usize; 2],
}

impl<'a, L> Source<'a, L> {
    /// Rows of one run, `stride` apart.
    #[inline(always)]
    fn dense(data: &'a [L], stride: usize) -> Self {
        let grid = Grid { width: usize::MAX, step: stride, line: 0 };
        Self { data, grid, runs: [1; 2], run_steps: [0; 2] }
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

/// What zero points leave to be added to the sums of some rows.
struct Corrections {
    /// Of each row's own: to be taken off as often as the column sums say. The same for all rows if `uniform`.
    rests: [i32; MOST_ROWS],
    uniform: bool,
    /// Of the weights': the row's sum times it, negative.
    terms: [i32; MOST_ROWS],
}

/// A block of rows against some panels.
struct Block<'a, R, E: ?Sized> {
    weights: PackedRef<'a>,
    rows: &'a R,
    zeros: Zeros<'a>,
    bias: &'a [i32],
    store: &'a E,
    cut: &'a Cut,
    block: usize,
    panels: Range<usize>,
    buffer: &'a mut [u8],
}

impl<R: Rows, E: Store + ?Sized> DotKernel for Block<'_, R, E> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let Self { weights, rows, zeros, bias, store, cut, block, panels, buffer } = self;
        let layout = weights.layout;
        let (_, buffer, _) = bytemuck::pod_align_to_mut::<u8, D::Lhs>(buffer);
        let (range, source) = match cut {
            Cut::Rows(most) => {
                let range = block * most..((block + 1) * most).min(rows.count());
                (range.clone(), dense_rows(&layout, rows, zeros, range, buffer))
            }
            Cut::Lines(lines) => strip_rows(rows, zeros, lines, block, buffer),
        };
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
            tile.correct(zeros, R::OFFSET);
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
        let Source { runs, run_steps, .. } = self.source;
        let run = V * lanes * layout.run_bytes();
        let mut at = 0;
        for down in 0..runs[0] {
            for right in 0..runs[1] {
                let run_at = down * run_steps[0] + right * run_steps[1];
                sums = self.accumulate(run_at, offsets, &rhs[at..at + run], sums);
                at += run;
            }
        }
        for v in 0..V {
            let col = first + v * lanes;
            let len = lanes.min(layout.cols - col);
            let columns = self.store.columns(isa, col);
            let rows = (self.first_row + row, R);
            self.store.store_rows(isa, columns, rows, col, len, TileSums { sums: &sums, row: 0, v });
        }
        R
    }

    /// Adds the products of the numbers from `run_at` on behind each row's offset with the columns in `rhs`.
    ///
    /// By value: sums that something points to would stay in memory.
    #[inline(always)]
    fn accumulate<const R: usize, const V: usize>(
        &self,
        run_at: usize,
        offsets: [usize; R],
        rhs: &[i8],
        mut sums: [[Sums<D>; V]; R],
    ) -> [[Sums<D>; V]; R] {
        let width = V * D::V::LANES;
        let mut a = self.source.data.as_ptr().wrapping_add(run_at);
        let mut b = rhs.as_ptr();
        let far = width * self.weights.layout.col_bytes > NEAR;
        for _ in 0..rhs.len() / (width * D::DEPTH) {
            // SAFETY: each step reads the next `DEPTH` numbers of each row and column. `Source::check` has seen that the
            // runs of all rows lie within the data; of columns there are as many as `rhs` has.
            unsafe {
                let mut columns = [self.dot.rhs(b); V];
                for (v, column) in columns.iter_mut().enumerate().skip(1) {
                    *column = self.dot.rhs(b.add(v * D::V::LANES * D::DEPTH));
                }
                if far {
                    for v in 0..V {
                        let ahead = b.wrapping_add(AHEAD + v * D::V::LANES * D::DEPTH);
                        self.dot.isa().prefetch(ahead.cast());
                    }
                }
                for (&offset, sums) in offsets.iter().zip(&mut sums) {
                    let x = self.dot.lhs(a.add(offset));
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
                let columns = &rhs[columns.start * V * lanes..columns.end * V * lanes];
                sums = self.accumulate(run_at + depth, offsets, columns, sums);
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
