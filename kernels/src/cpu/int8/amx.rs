//! Matrix multiplication of bytes on tile registers (AMX).
//!
//! A tile of activations is sixteen rows of 64 bytes, one of weights sixteen times four rows of sixteen columns: the
//! order in which the 8-bit dot products read them too. Rows of a matrix are read where they lie, windows of images
//! are packed first. What a tile reads behind the end of a row is multiplied by weights of zero.

use core::arch::asm;
use core::ops::Range;

use super::gemm::{Bias, LEAST_WORK, Zeros, block_rows, gemm_scratch};
use super::pack::PackedRef;
use super::rows::{RawPlace, RawRows, Rows};
use super::store::{RowSums, SPARE, Store};
use super::windows::Windows;
use crate::isa::{Avx512Amx, Isa, IsaNarrow, Kernel};
use crate::par::Par;

/// Rows of a tile.
const TILE: usize = 16;
/// Bytes of a tile's row.
pub(super) const DEPTH: usize = 64;
/// Rows of a pair of tiles, the most that are multiplied at a time.
pub(super) const ROWS: usize = 2 * TILE;
/// The most rows of a block.
pub(super) const MOST_ROWS: usize = 4 * ROWS;
/// Bytes of a block's rows: CPUs with tiles have second-level caches of 2 MiB.
pub(super) const BLOCK_BYTES: usize = 512 << 10;
/// Fewer rows leave most of a tile empty.
pub(super) const LEAST_ROWS: usize = 4;
/// Tiles take so little time that waking a thread takes more of them.
const LEAST_TILE_WORK: usize = 8 * LEAST_WORK;

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
    let most = block_rows(&layout).min(count.next_multiple_of(ROWS));
    // Blocks of equal height.
    let block = count.div_ceil(count.div_ceil(most)).next_multiple_of(TILE);
    let blocks = count.div_ceil(block);
    let panels = layout.padded_cols.div_ceil(layout.panel_cols);
    let work = count * layout.cols * layout.col_bytes;
    let par = if work < 2 * LEAST_TILE_WORK { Par::serial() } else { par };
    // Few rows are cut along the columns; each part then packs the rows for itself.
    let parts = if par.threads() == 1 || blocks >= 4 * par.threads() {
        1
    } else {
        (work / LEAST_TILE_WORK).clamp(1, (4 * par.threads()).div_ceil(blocks)).min(panels)
    };
    let panels_per_part = panels.div_ceil(parts);
    let parts = panels.div_ceil(panels_per_part);
    let raw = rows.raw();
    par.for_each_tile_with(blocks * parts, scratch, gemm_scratch(&layout), |tile, buffer| {
        let first = tile / parts * block;
        let panel = tile % parts * panels_per_part;
        let run = Block {
            weights,
            rows,
            raw,
            zeros,
            bias: bias.table(),
            store,
            range: first..(first + block).min(count),
            panels: panel..(panel + panels_per_part).min(panels),
            buffer,
            amx,
        };
        amx.base().base().dispatch(run);
    });
}

/// Tile shapes: eight tiles of sixteen rows of 64 bytes (palette 1).
#[repr(C, align(64))]
struct Config([u8; 64]);

static CONFIG: Config = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = DEPTH as u8;
        bytes[48 + tile] = TILE as u8;
        tile += 1;
    }
    Config(bytes)
};

/// The tiles in use by this thread, given back when dropped.
struct Tiles;

impl Tiles {
    #[inline(always)]
    fn configure(_: Avx512Amx) -> Self {
        // SAFETY: the token proves that the process may use tiles; the configuration is valid.
        unsafe {
            asm!("ldtilecfg [{config}]", config = in(reg) &raw const CONFIG, options(nostack, preserves_flags));
        }
        Self
    }
}

impl Drop for Tiles {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the tiles were configured, so the CPU has them.
        unsafe {
            asm!("tilerelease", options(nostack, preserves_flags));
        }
    }
}

/// Sums of `ROWS` rows and a panel of two tiles.
#[repr(C, align(64))]
struct Sums([i32; ROWS * 2 * TILE]);

/// Rows where the tiles read them.
#[derive(Copy, Clone)]
struct Source {
    start: *const u8,
    stride: usize,
    signed: bool,
}

/// What zero points leave to be added to sums.
#[derive(Copy, Clone)]
enum Rest<'a> {
    /// The same zero point for all rows: column sums times it, negative.
    All(i32),
    /// The rows' own zero points, and what the weights' zero point adds to each row.
    Each { zeros: &'a [i32], terms: &'a [i32] },
}

/// A block of rows against some panels.
struct Block<'a, R, E: ?Sized> {
    weights: PackedRef<'a>,
    rows: &'a R,
    raw: Option<RawRows<'a>>,
    zeros: Zeros<'a>,
    bias: &'a [i32],
    store: &'a E,
    range: Range<usize>,
    panels: Range<usize>,
    buffer: &'a mut [u8],
    amx: Avx512Amx,
}

impl<R: Rows, E: Store + ?Sized> Kernel for Block<'_, R, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let layout = self.weights.layout;
        let count = self.range.len();
        let source = self.source();
        let (mut zeros, mut terms) = ([0; MOST_ROWS], [0; MOST_ROWS]);
        let rest = match self.zeros {
            Zeros::All(zero) if self.weights.zero == 0 => Rest::All(self.stored_zero(zero, source)),
            _ => {
                for i in 0..count {
                    zeros[i] = self.stored_zero(self.zeros.of(self.range.start + i), source);
                    if self.weights.zero != 0 {
                        // SAFETY: each row has `depth` bytes.
                        let row = unsafe {
                            core::slice::from_raw_parts(source.start.add(i * source.stride), layout.depth)
                        };
                        let sum = if source.signed { sum_signed(row) } else { sum_unsigned(row) };
                        let sum = sum.wrapping_sub((layout.depth as i32).wrapping_mul(zeros[i]));
                        terms[i] = sum.wrapping_mul(self.weights.zero).wrapping_neg();
                    }
                }
                Rest::Each { zeros: &zeros[..count], terms: &terms[..count] }
            }
        };
        let tiles = Tiles::configure(self.amx);
        let multiply = Multiply {
            weights: self.weights,
            bias: self.bias,
            store: self.store,
            source,
            rest,
            first_row: self.range.start,
            count,
        };
        for panel in self.panels {
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

impl<R: Rows, E: Store + ?Sized> Block<'_, R, E> {
    /// A zero point in the numbers that the tiles read.
    #[inline(always)]
    fn stored_zero(&self, zero: i32, source: Source) -> i32 {
        if source.signed { zero - R::OFFSET } else { zero }
    }

    /// The block's rows: where they lie if whole tiles lie there, else packed into the buffer.
    #[inline(always)]
    fn source(&mut self) -> Source {
        let layout = self.weights.layout;
        let tiled = self.range.len().next_multiple_of(TILE);
        if let Some(RawRows { bytes, signed, at: RawPlace::Stride(stride) }) = self.raw {
            let first = self.range.start * stride;
            if first + (tiled - 1) * stride + layout.col_bytes <= bytes.len() {
                return Source { start: bytes[first..].as_ptr(), stride, signed };
            }
        }
        let stride = layout.col_bytes;
        let packed = &mut self.buffer[..tiled * stride];
        let start = packed.as_ptr();
        if layout.depth == 0 {
            return Source { start, stride, signed: true };
        }
        if let Some(RawRows { bytes, signed, at: RawPlace::Windows { window, first_channel, channels } }) =
            self.raw
        {
            let zeros = self.zeros;
            let windows = Windows { bytes, window, first_channel, channels, zeros };
            windows.pack(self.range.clone(), packed, stride);
            return Source { start, stride, signed };
        }
        let packed: &mut [i8] = bytemuck::cast_slice_mut(packed);
        for (row, to) in self.range.clone().zip(packed.chunks_exact_mut(stride)) {
            self.rows.pack(row, self.zeros.of(row) - R::OFFSET, &mut to[..layout.depth]);
        }
        Source { start, stride, signed: true }
    }
}

#[inline(always)]
fn sum_signed(row: &[u8]) -> i32 {
    row.iter().fold(0, |sum, &x| sum + i32::from(x as i8))
}

#[inline(always)]
fn sum_unsigned(row: &[u8]) -> i32 {
    row.iter().fold(0, |sum, &x| sum + i32::from(x))
}

/// The rows of a block and what their sums need.
struct Multiply<'a, E: ?Sized> {
    weights: PackedRef<'a>,
    bias: &'a [i32],
    store: &'a E,
    source: Source,
    rest: Rest<'a>,
    first_row: usize,
    count: usize,
}

impl<E: Store + ?Sized> Multiply<'_, E> {
    /// All rows against a panel of `V` tiles of columns.
    #[inline(always)]
    fn panel<S: Isa, const V: usize, const SIGNED: bool>(&self, isa: S, first: usize) {
        let mut sums = Sums([0; ROWS * 2 * TILE]);
        for row in (0..self.count).step_by(ROWS) {
            let left = self.count - row;
            if left > TILE {
                self.multiply::<2, V, SIGNED>(row, first, &mut sums);
            } else {
                self.multiply::<1, V, SIGNED>(row, first, &mut sums);
            }
            self.finish::<S, V>(isa, row, left.min(ROWS), first, &sums);
        }
    }

    /// The products of `R` tiles of rows with `V` of columns.
    #[inline(always)]
    fn multiply<const R: usize, const V: usize, const SIGNED: bool>(
        &self,
        row: usize,
        first: usize,
        sums: &mut Sums,
    ) {
        let Source { start, stride, .. } = self.source;
        let depth = self.weights.layout.col_bytes;
        let panel = &self.weights.data[first * depth..][..V * TILE * depth];
        let width = V * TILE * 4;
        // SAFETY: `source` has whole tiles of rows of `depth` bytes (a multiple of a tile's) `stride` apart, the panel
        // holds `depth` weights of each column, `sums` has room for all tiles, which are configured.
        unsafe {
            let mut a = start.add(row * stride);
            let mut b = panel.as_ptr();
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, preserves_flags)
            );
            for _ in 0..depth / DEPTH {
                step::<R, V, SIGNED>(a, stride, b, width);
                a = a.add(DEPTH);
                b = b.add(DEPTH / 4 * width);
            }
            store_tiles::<R, V>(sums);
        }
    }

    /// The epilogue of `count` rows.
    #[inline(always)]
    fn finish<S: Isa, const V: usize>(&self, isa: S, row: usize, count: usize, first: usize, sums: &Sums) {
        for v in 0..V {
            let col = first + v * TILE;
            let len = TILE.min(self.weights.layout.cols - col);
            let columns = self.store.columns(isa, col);
            let start = isa.load_i32(&self.bias[col..]);
            let column_sums = isa.load_i32(&self.weights.sums[col..]);
            let tile = TileSums { sums: &sums.0, at: v * TILE };
            let rows = (self.first_row + row, count);
            match self.rest {
                Rest::All(zero) => {
                    let start = isa.sub_i32(start, isa.mul_i32(column_sums, isa.splat_i32(zero)));
                    self.store.store_rows(isa, columns, rows, col, len, Shifted { tile, start });
                }
                Rest::Each { zeros, terms } => {
                    let each = Corrected { tile, start, column_sums, zeros, terms, row };
                    self.store.store_rows(isa, columns, rows, col, len, each);
                }
            }
        }
    }
}

/// The sums of a tile, row by row.
struct TileSums<'a> {
    sums: &'a [i32],
    at: usize,
}

impl TileSums<'_> {
    #[inline(always)]
    fn next<S: Isa>(&mut self, isa: S) -> S::I {
        let sums = isa.load_i32(&self.sums[self.at..]);
        self.at += 2 * TILE;
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
    zeros: &'a [i32],
    terms: &'a [i32],
    row: usize,
}

impl<S: Isa> RowSums<S> for Corrected<'_, S::I> {
    #[inline(always)]
    fn next(&mut self, isa: S) -> S::I {
        let rest = isa.mul_i32(self.column_sums, isa.splat_i32(self.zeros[self.row]));
        let start = isa.add_i32(isa.sub_i32(self.start, rest), isa.splat_i32(self.terms[self.row]));
        self.row += 1;
        isa.add_i32(self.tile.next(isa), start)
    }
}

/// Adds the products of `R` tiles of rows (tiles 4 and 5) with `V` of columns (6 and 7) to tiles 0 to 3.
///
/// # Safety
/// The tiles are configured; `a` is valid for reading `R * TILE` rows of 64 bytes, `b` for sixteen of `V` times 64.
#[inline(always)]
unsafe fn step<const R: usize, const V: usize, const SIGNED: bool>(
    a: *const u8,
    a_stride: usize,
    b: *const i8,
    b_stride: usize,
) {
    macro_rules! step {
        ($dot:literal) => {
            // SAFETY: the caller vouches for the pointers and the tiles.
            unsafe {
                match (R, V) {
                    (2, 2) => asm!(
                        "tileloadd tmm4, [{a} + {sa}]",
                        "tileloadd tmm6, [{b} + {sb}]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm5, [{a2} + {sa}]",
                        concat!($dot, " tmm2, tmm5, tmm6"),
                        "tileloadd tmm7, [{b} + {sb} + 64]",
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        concat!($dot, " tmm3, tmm5, tmm7"),
                        a = in(reg) a, a2 = in(reg) a.add(TILE * a_stride), sa = in(reg) a_stride,
                        b = in(reg) b, sb = in(reg) b_stride,
                        options(nostack, readonly, preserves_flags),
                    ),
                    (2, 1) => asm!(
                        "tileloadd tmm4, [{a} + {sa}]",
                        "tileloadd tmm6, [{b} + {sb}]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm5, [{a2} + {sa}]",
                        concat!($dot, " tmm2, tmm5, tmm6"),
                        a = in(reg) a, a2 = in(reg) a.add(TILE * a_stride), sa = in(reg) a_stride,
                        b = in(reg) b, sb = in(reg) b_stride,
                        options(nostack, readonly, preserves_flags),
                    ),
                    (1, 2) => asm!(
                        "tileloadd tmm4, [{a} + {sa}]",
                        "tileloadd tmm6, [{b} + {sb}]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm7, [{b} + {sb} + 64]",
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        a = in(reg) a, sa = in(reg) a_stride, b = in(reg) b, sb = in(reg) b_stride,
                        options(nostack, readonly, preserves_flags),
                    ),
                    _ => asm!(
                        "tileloadd tmm4, [{a} + {sa}]",
                        "tileloadd tmm6, [{b} + {sb}]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        a = in(reg) a, sa = in(reg) a_stride, b = in(reg) b, sb = in(reg) b_stride,
                        options(nostack, readonly, preserves_flags),
                    ),
                }
            }
        };
    }
    if SIGNED { step!("tdpbssd") } else { step!("tdpbusd") }
}

/// Writes tiles 0 to 3, as far as `R` and `V` use them.
///
/// # Safety
/// The tiles are configured.
#[inline(always)]
unsafe fn store_tiles<const R: usize, const V: usize>(sums: &mut Sums) {
    let to = sums.0.as_mut_ptr();
    // SAFETY: `sums` holds two by two tiles of sixteen rows, 128 bytes apart.
    unsafe {
        let below = to.add(TILE * 2 * TILE);
        asm!("tilestored [{to} + {s}], tmm0", to = in(reg) to, s = in(reg) 128usize, options(nostack, preserves_flags));
        if V == 2 {
            asm!("tilestored [{to} + {s} + 64], tmm1", to = in(reg) to, s = in(reg) 128usize, options(nostack, preserves_flags));
        }
        if R == 2 {
            asm!("tilestored [{to} + {s}], tmm2", to = in(reg) below, s = in(reg) 128usize, options(nostack, preserves_flags));
        }
        if R == 2 && V == 2 {
            asm!("tilestored [{to} + {s} + 64], tmm3", to = in(reg) below, s = in(reg) 128usize, options(nostack, preserves_flags));
        }
    }
}
