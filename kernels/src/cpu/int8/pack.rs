//! Weights in the order in which a tile of the matrix multiplication reads them.

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::dot::{Dot, DotKernel, PanelElement, dispatch_bytes, dispatch_words};
use super::rows::Window;
use super::strips::{Reach, Strip};
use crate::aligned::LINE;
use crate::cpu::movement::transpose_cells;
use crate::isa::{Cpu, Isa, IsaNarrow, Kernel, MAX_LANES};
use crate::packing::{Lines, Packing};
use crate::par::{Par, SharedMut};

/// Weights as they lie in a tensor of bytes.
#[derive(Copy, Clone, Debug)]
pub enum Bytes<'a> {
    /// Signed.
    Signed(&'a [i8]),
    /// Unsigned; stands for the signed number 128 below.
    Unsigned(&'a [u8]),
}

impl<'a> Bytes<'a> {
    /// The weight at `index` as a signed number.
    #[inline(always)]
    pub(super) fn get(self, index: usize) -> i8 {
        match self {
            Self::Signed(bytes) => bytes[index],
            Self::Unsigned(bytes) => (bytes[index] ^ 0x80) as i8,
        }
    }

    /// The bytes as they are stored.
    fn raw(self) -> &'a [u8] {
        match self {
            Self::Signed(bytes) => bytemuck::cast_slice(bytes),
            Self::Unsigned(bytes) => bytes,
        }
    }

    /// How much signed numbers lie below the stored ones: what to take from a zero point.
    pub fn offset(self) -> i32 {
        match self {
            Self::Signed(_) => 0,
            Self::Unsigned(_) => 128,
        }
    }
}

/// A matrix of weights in a tensor.
#[derive(Copy, Clone, Debug)]
pub struct Matrix<'a> {
    /// The tensor.
    pub bytes: Bytes<'a>,
    /// Zero point of the stored numbers.
    pub zero: i32,
    /// Number of columns: outputs.
    pub cols: usize,
    /// Number of rows: products in a sum.
    pub depth: usize,
    /// Distance between columns.
    pub col_stride: usize,
    /// Distance between rows.
    pub depth_stride: usize,
}

impl Matrix<'_> {
    /// The matrix of some of the rows.
    fn rows(&self, first: usize, count: usize) -> Self {
        let start = first * self.depth_stride;
        let bytes = match self.bytes {
            Bytes::Signed(bytes) => Bytes::Signed(&bytes[start..]),
            Bytes::Unsigned(bytes) => Bytes::Unsigned(&bytes[start..]),
        };
        Self { bytes, depth: count, ..*self }
    }

    /// Packs the columns from `first` on into a panel `width` columns wide whose rows come `step` at a time.
    fn pack_panel(&self, cpu: Cpu, first: usize, width: usize, step: usize, panel: &mut [i8]) {
        let cols = width.min(self.cols - first);
        // What is written has no gaps but behind the last column and the last row.
        if cols < width {
            panel.fill(0);
        }
        let turned = match (step, self.depth_stride, self.col_stride) {
            (2 | 4 | 8, 1, _) => self.turn_steps(cpu, first, cols, width, step, panel),
            (2, _, 1) => self.weave_steps::<2>(first, cols, width, panel),
            (4, _, 1) => self.weave_steps::<4>(first, cols, width, panel),
            (8, _, 1) => self.weave_steps::<8>(first, cols, width, panel),
            _ => 0,
        };
        panel[turned * width..].fill(0);
        for k in turned..self.depth {
            let row = &mut panel[k / step * width * step..][k % step..];
            for (col, weight) in row.iter_mut().step_by(step).take(cols).enumerate() {
                *weight = self.bytes.get((first + col) * self.col_stride + k * self.depth_stride);
            }
        }
    }

    /// Packs the whole steps of two, four or eight rows that lie together; says how many rows those are.
    fn turn_steps(
        &self,
        cpu: Cpu,
        first: usize,
        cols: usize,
        width: usize,
        step: usize,
        panel: &mut [i8],
    ) -> usize {
        // Four rows at a time are what vectors turn fastest; those of two steps are then split, those of half a step joined.
        let whole = step.max(CELL);
        let rows = self.depth / whole * whole;
        if rows == 0 || cols == 0 {
            return 0;
        }
        let from = &self.bytes.raw()[first * self.col_stride..][..(cols - 1) * self.col_stride + rows];
        let packed = &mut panel[..rows * width];
        let (source, target) = (from.as_ptr(), packed.as_mut_ptr().cast());
        // SAFETY: `from` ends with the last column's rows, `packed` has as many cells of `width` columns, and a shared and
        // an exclusive borrow do not overlap.
        unsafe { transpose_cells(cpu, source, self.col_stride, target, width * CELL, cols, rows / CELL) }
        if step < CELL {
            cpu.dispatch(SplitCells { rows: packed, width });
        }
        if step > CELL {
            join_cells(packed, width);
        }
        self.make_signed(packed.chunks_exact_mut(width * step), cols * step);
        rows
    }

    /// Packs the whole steps of `N` rows whose columns lie together; says how many rows those are.
    fn weave_steps<const N: usize>(
        &self,
        first: usize,
        cols: usize,
        width: usize,
        panel: &mut [i8],
    ) -> usize {
        let rows = self.depth / N * N;
        let packed = &mut panel[..rows * width];
        for (step, to) in packed.chunks_exact_mut(width * N).enumerate() {
            let row = |i: usize| &self.bytes.raw()[(step * N + i) * self.depth_stride + first..][..cols];
            weave::<N>(core::array::from_fn(row), bytemuck::cast_slice_mut(&mut to[..cols * N]));
        }
        self.make_signed(packed.chunks_exact_mut(width * N), cols * N);
        rows
    }

    /// Brings the first `len` packed numbers of each step from how they are stored to signed ones.
    fn make_signed<'p>(&self, steps: impl Iterator<Item = &'p mut [i8]>, len: usize) {
        if let Bytes::Unsigned(_) = self.bytes {
            for step in steps {
                step[..len].iter_mut().for_each(|weight| *weight ^= i8::MIN);
            }
        }
    }
}

/// Rows of a matrix that are turned together.
const CELL: usize = 4;
/// Columns of the widest panel.
const MOST_COLS: usize = 4 * MAX_LANES;

/// Brings `width` cells of four bytes after the other to all first halves, then all second ones, in each of the rows.
struct SplitCells<'a> {
    rows: &'a mut [i8],
    width: usize,
}

impl Kernel for SplitCells<'_> {
    type Output = ();

    /// A plain loop, which becomes vector code of the instruction set.
    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let mut row = [[0u8; CELL]; MOST_COLS];
        let row = &mut row[..self.width];
        for out in self.rows.chunks_exact_mut(self.width * CELL) {
            let out: &mut [u8] = bytemuck::cast_slice_mut(out);
            row.as_flattened_mut().copy_from_slice(out);
            let (low, high) = out.split_at_mut(self.width * CELL / 2);
            let ((low, _), (high, _)) = (low.as_chunks_mut::<2>(), high.as_chunks_mut::<2>());
            for ((&cell, low), high) in row.iter().zip(low).zip(high) {
                let cell = u32::from_le_bytes(cell);
                *low = (cell as u16).to_le_bytes();
                *high = ((cell >> 16) as u16).to_le_bytes();
            }
        }
    }
}

/// Brings `width` cells of four bytes and as many of the next four rows to pairs of cells, one for each column.
fn join_cells(rows: &mut [i8], width: usize) {
    let mut cells = [[0; CELL]; 2 * MOST_COLS];
    let cells = &mut cells[..2 * width];
    for out in rows.chunks_exact_mut(2 * width * CELL) {
        cells.as_flattened_mut().copy_from_slice(out);
        let (low, high) = cells.split_at(width);
        for ((low, high), out) in low.iter().zip(high).zip(out.as_chunks_mut::<{ 2 * CELL }>().0) {
            out[..CELL].copy_from_slice(low);
            out[CELL..].copy_from_slice(high);
        }
    }
}

/// Writes the bytes of `N` rows column by column.
fn weave<const N: usize>(rows: [&[u8]; N], to: &mut [u8]) {
    /// Columns that are woven by way of arrays, which the compiler keeps in vector registers.
    const TOGETHER: usize = 16;
    let len = rows[0].len();
    let whole = len - len % TOGETHER;
    let (cells, _) = to.as_chunks_mut::<N>();
    assert_eq!(cells.len(), len, "a byte of each row for each column");
    for at in (0..whole).step_by(TOGETHER) {
        let mut block = [[0; TOGETHER]; N];
        for (block, row) in block.iter_mut().zip(rows) {
            block.copy_from_slice(&row[at..at + TOGETHER]);
        }
        let mut woven = [[0; N]; TOGETHER];
        for (i, row) in block.iter().enumerate() {
            for (cell, &byte) in woven.iter_mut().zip(row) {
                cell[i] = byte;
            }
        }
        cells[at..at + TOGETHER].copy_from_slice(&woven);
    }
    for (at, cell) in cells.iter_mut().enumerate().skip(whole) {
        *cell = rows.map(|row| row[at]);
    }
}

/// Sums of the columns of one packed panel: its dot products with ones.
struct ColumnSums<'a> {
    data: &'a [i8],
    /// One for each column of the panel.
    sums: &'a mut [i32],
}

impl DotKernel for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        const MOST_DEPTH: usize = 8;
        const { assert!(D::DEPTH <= MOST_DEPTH) };
        let ones = [D::Lhs::pack(1 - D::Lhs::rest(0), 0); MOST_DEPTH];
        // SAFETY: there are as many as a step takes.
        let ones = unsafe { dot.lhs(ones.as_ptr()) };
        let row_bytes = self.sums.len() * D::DEPTH;
        for (at, sums) in self.sums.chunks_exact_mut(D::V::LANES).enumerate() {
            let mut total = dot.isa().splat_i32(0);
            for row in self.data.chunks_exact(row_bytes) {
                let weights = &row[at * D::DEPTH * D::V::LANES..][..D::DEPTH * D::V::LANES];
                // SAFETY: the slice has as many weights as a step takes.
                total = dot.dot(total, ones, unsafe { dot.rhs(weights.as_ptr()) });
            }
            dot.isa().store_i32(total, sums);
        }
    }
}

/// Width of the activations that weights are packed for.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// `i8` or `u8`.
    Bytes,
    /// `i16`.
    Words,
}

/// Where the weights of a matrix lie when they are packed.
///
/// Columns lie in panels of a tile's width; in a panel come the first rows of all columns, `Dot::DEPTH` of each
/// at a time, then the next rows. Rows and columns are filled up with zeros.
#[derive(Copy, Clone, Debug)]
pub struct PackLayout {
    pub(super) cpu: Cpu,
    pub(super) width: Width,
    pub(super) cols: usize,
    pub(super) depth: usize,
    /// Rows of a step of the dot product.
    step: usize,
    /// Runs of neighbouring rows: a column is filled up to a multiple of `step` behind each of them.
    pub(super) runs: usize,
    /// Whether activations are windows that are read out of a strip of their image.
    pub(super) strips: bool,
    /// Bytes of a column, of all its runs.
    pub(super) col_bytes: usize,
    /// Columns with padding.
    pub(super) padded_cols: usize,
    /// Rows of a tile.
    pub(super) tile_rows: usize,
    /// Columns of a whole panel.
    pub(super) panel_cols: usize,
    /// Bytes of a packed activation.
    pub(super) element_bytes: usize,
}

impl PackLayout {
    /// The layout for the kernels of `cpu` of a matrix with `cols` columns (outputs) and `depth` rows.
    pub fn new(cpu: Cpu, width: Width, cols: usize, depth: usize) -> Self {
        let layout = Layout { cpu, width, cols, depth };
        let layout = match width {
            Width::Bytes => dispatch_bytes(cpu, layout),
            Width::Words => dispatch_words(cpu, layout),
        };
        #[cfg(target_arch = "x86_64")]
        if layout.amx().is_some() {
            let col_bytes = depth.next_multiple_of(amx::DEPTH);
            return Self { col_bytes, tile_rows: amx::ROWS, ..layout };
        }
        layout
    }

    /// The layout of a convolution's filter, `window.kernel` times `channels` (those of a group) by `cols`. Windows that
    /// overlap are read out of copies of the lines under them, see `strips`.
    pub fn for_windows(cpu: Cpu, width: Width, cols: usize, window: &Window, channels: usize) -> Self {
        let layout = Self::new(cpu, width, cols, window.kernel[0] * window.kernel[1] * channels);
        let Some(strip) = layout.strip(window, channels) else { return layout };
        let runs = strip.runs[0] * strip.runs[1];
        let col_bytes = runs * strip.run_len.next_multiple_of(layout.read_step());
        let read_in_place = Self { runs, strips: true, col_bytes, ..layout };
        #[cfg(target_arch = "x86_64")]
        if layout.amx().is_some() && !amx::pays(&read_in_place, &layout, &strip, window) {
            return layout;
        }
        read_in_place
    }

    /// The strips of windows over `channels` channels, as the kernels of this layout read them.
    pub(super) fn strip(&self, window: &Window, channels: usize) -> Option<Strip> {
        #[cfg(target_arch = "x86_64")]
        if self.amx().is_some() {
            return Strip::new(window, channels, self.element_bytes, amx::REACH);
        }
        Strip::new(window, channels, self.element_bytes, Reach::Step)
    }

    /// Rows that the kernels read at a time.
    fn read_step(&self) -> usize {
        #[cfg(target_arch = "x86_64")]
        if self.amx().is_some() {
            return amx::DEPTH;
        }
        self.step
    }

    /// Products that an instruction adds up in a 32-bit lane.
    pub(super) fn products_of_a_lane(&self) -> usize {
        self.step
    }

    /// A number that tells apart the layouts of a matrix for one CPU, for keys of packed weights.
    pub fn key(&self) -> u64 {
        2 * self.runs as u64 + u64::from(self.strips)
    }

    /// Rows of a run.
    pub(super) fn run_len(&self) -> usize {
        self.depth / self.runs
    }

    /// Bytes of a column's run.
    pub(super) fn run_bytes(&self) -> usize {
        self.col_bytes / self.runs
    }

    /// The token of the tiles, if the layout is for them.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn amx(&self) -> Option<crate::isa::Avx512Amx> {
        match (self.cpu, self.width) {
            (Cpu::Avx512Amx(amx), Width::Bytes) => Some(amx),
            _ => None,
        }
    }

    /// Number of columns: outputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of rows: products in a sum.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Bytes of a packed matrix.
    pub fn data_len(&self) -> usize {
        self.padded_cols * self.col_bytes
    }

    /// Number of column sums.
    pub fn sums_len(&self) -> usize {
        self.padded_cols
    }

    /// Packs a matrix into memory of the caller's. The content of `data` and `sums` does not matter.
    ///
    /// # Panics
    /// If the matrix has another shape or is larger than its tensor, or the memory is smaller than
    /// [`PackLayout::data_len`] and [`PackLayout::sums_len`].
    pub fn pack<'a>(&self, matrix: Matrix<'_>, data: &'a mut [i8], sums: &'a mut [i32]) -> PackedRef<'a> {
        let Matrix { bytes, zero, cols, depth, .. } = matrix;
        assert_eq!((cols, depth), (self.cols, self.depth), "the layout is for another matrix");
        let (data, sums) = (&mut data[..self.data_len()], &mut sums[..self.sums_len()]);
        let panel_bytes = (self.panel_cols * self.col_bytes).max(1);
        let each_sums = SharedMut::new(sums);
        Par::for_packing(data.len()).chunks_mut(data, panel_bytes, |panel, data| {
            let first = panel * self.panel_cols;
            let width = self.panel_cols.min(self.padded_cols - first);
            for (run, data) in data.chunks_exact_mut(width * self.run_bytes()).enumerate() {
                let rows = matrix.rows(run * self.run_len(), self.run_len());
                rows.pack_panel(self.cpu, first, width, self.step, data);
            }
            // SAFETY: the columns of two panels are not the same.
            let sums = unsafe { each_sums.range(first, width) };
            self.dispatch(ColumnSums { data, sums });
        });
        if self.col_bytes == 0 {
            sums.fill(0);
        }
        PackedRef { layout: *self, zero: zero - bytes.offset(), data, sums }
    }

    /// The name of the tile for kernel names, e.g. `6x16_avx2`.
    pub fn tile_name(&self) -> String {
        format!("{}x{}_{}", self.tile_rows, self.panel_cols, self.cpu.name())
    }

    /// Runs an algorithm with the dot product that the layout is for.
    #[inline]
    pub(super) fn dispatch<K: DotKernel>(&self, kernel: K) -> K::Output {
        match self.width {
            Width::Bytes => dispatch_bytes(self.cpu, kernel),
            Width::Words => dispatch_words(self.cpu, kernel),
        }
    }
}

/// Packed weights in borrowed memory.
#[derive(Copy, Clone, Debug)]
pub struct PackedRef<'a> {
    pub(super) layout: PackLayout,
    /// Zero point of the signed weights.
    pub(super) zero: i32,
    pub(super) data: &'a [i8],
    /// Sum of each column.
    pub(super) sums: &'a [i32],
}

/// Packed weights.
#[derive(Clone, Debug)]
pub struct PackedWeights {
    layout: PackLayout,
    zero: i32,
    /// A row of a tile, and every vector, is a whole line.
    data: Lines<i8>,
    sums: Lines<i32>,
}

impl PackedWeights {
    /// Packs for the kernels of `cpu`.
    ///
    /// # Panics
    /// If the matrix is larger than its tensor.
    pub fn new(cpu: Cpu, width: Width, matrix: Matrix<'_>) -> Self {
        Self::with_layout(PackLayout::new(cpu, width, matrix.cols, matrix.depth), matrix)
    }

    /// Packs in the order of a layout.
    ///
    /// # Panics
    /// If the matrix has another shape or is larger than its tensor.
    pub fn with_layout(layout: PackLayout, matrix: Matrix<'_>) -> Self {
        let zero = matrix.zero - matrix.bytes.offset();
        Self::lazily(layout.cpu.into(), layout, zero, || matrix)
    }

    /// Packs a matrix that is asked for only if its packing does not lie ready; `zero` is the zero point of its weights as
    /// signed numbers.
    ///
    /// # Panics
    /// If the matrix has another shape or zero point or is larger than its tensor, or the packing is for another CPU.
    pub fn lazily<'m>(
        packing: Packing<'_>,
        layout: PackLayout,
        zero: i32,
        matrix: impl FnOnce() -> Matrix<'m>,
    ) -> Self {
        assert_eq!(packing.cpu().name(), layout.cpu.name(), "the layout is for another CPU");
        let sums_at = layout.data_len().next_multiple_of(LINE);
        let len = sums_at + layout.sums_len() * size_of::<i32>();
        let lines = packing.lines::<u8>(len, |bytes| {
            if bytes.is_empty() {
                return;
            }
            let (data, sums) = bytes.split_at_mut(sums_at);
            let packed =
                layout.pack(matrix(), bytemuck::cast_slice_mut(data), bytemuck::cast_slice_mut(sums));
            assert_eq!(packed.zero, zero, "the matrix has another zero point");
        });
        let data = lines.part(0..layout.data_len());
        Self { layout, zero, data, sums: lines.part(sums_at..len) }
    }

    /// The layout.
    pub fn layout(&self) -> &PackLayout {
        &self.layout
    }

    /// The weights as kernels take them.
    pub fn view(&self) -> PackedRef<'_> {
        PackedRef { layout: self.layout, zero: self.zero, data: &self.data, sums: &self.sums }
    }
}

struct Layout {
    cpu: Cpu,
    width: Width,
    cols: usize,
    depth: usize,
}

impl DotKernel for Layout {
    type Output = PackLayout;

    #[inline(always)]
    fn run<D: Dot>(self, _: D) -> PackLayout {
        let Self { cpu, width, cols, depth } = self;
        PackLayout {
            cpu,
            width,
            cols,
            depth,
            step: D::DEPTH,
            runs: 1,
            strips: false,
            col_bytes: depth.next_multiple_of(D::DEPTH),
            padded_cols: cols.next_multiple_of(D::V::LANES),
            tile_rows: D::ROWS,
            panel_cols: D::VECTORS * D::V::LANES,
            element_bytes: size_of::<D::Lhs>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::int8::tests::Noise;

    /// What [`PackLayout::pack`] says, weight by weight.
    fn pack_one_by_one(layout: &PackLayout, matrix: Matrix<'_>) -> (Vec<i8>, Vec<i32>) {
        let (mut data, mut sums) = (vec![0; layout.data_len()], vec![0i32; layout.sums_len()]);
        for (col, sum) in sums[..matrix.cols].iter_mut().enumerate() {
            let first = col / layout.panel_cols * layout.panel_cols;
            let width = layout.panel_cols.min(layout.padded_cols - first);
            for k in 0..matrix.depth {
                let weight = matrix.bytes.get(col * matrix.col_stride + k * matrix.depth_stride);
                let step = k / layout.step * width * layout.step;
                data[first * layout.col_bytes + step + (col - first) * layout.step + k % layout.step] =
                    weight;
                *sum += i32::from(weight);
            }
        }
        (data, sums)
    }

    #[test]
    fn every_weight_has_its_place() {
        let mut noise = Noise(9);
        let mut wrong = Vec::new();
        for (cols, depth) in
            [(0, 3), (3, 0), (1, 1), (5, 3), (16, 4), (33, 63), (48, 64), (40, 65), (70, 130), (300, 300)]
        {
            let bytes: Vec<i8> = noise.bytes(cols * depth, |byte| byte as i8);
            let unsigned: &[u8] = bytemuck::cast_slice(&bytes);
            let rows = [
                ("columns together", Bytes::Signed(&bytes), depth, 1),
                ("unsigned", Bytes::Unsigned(unsigned), depth, 1),
                ("rows together", Bytes::Signed(&bytes), 1, cols),
            ];
            for (name, bytes, col_stride, depth_stride) in rows {
                let matrix = Matrix { bytes, zero: 3, cols, depth, col_stride, depth_stride };
                for (cpu, width) in
                    Cpu::all().into_iter().flat_map(|cpu| [(cpu, Width::Bytes), (cpu, Width::Words)])
                {
                    let layout = PackLayout::new(cpu, width, cols, depth);
                    // What was there before must not matter.
                    let (mut data, mut sums) = (vec![77; layout.data_len()], vec![77; layout.sums_len()]);
                    layout.pack(matrix, &mut data, &mut sums);
                    if (data, sums) != pack_one_by_one(&layout, matrix) {
                        wrong.push(format!("{} {width:?} {name} {cols}x{depth}", cpu.name()));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
