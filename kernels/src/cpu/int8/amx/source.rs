//! Where the tiles of activations lie.

use core::marker::PhantomData;
use core::ops::Range;

use super::super::gemm::{Lines, Zeros};
use super::super::rows::{Patches, RawPlace, RawRows, Rows};
use super::super::windows::Windows;
use super::tiles::TILE;
use crate::cpu::int8::pack::PackLayout;

/// The rows of a block where the tiles read them: lines of positions, each a row of a tile.
#[derive(Copy, Clone)]
pub(in super::super) struct Source<'a> {
    start: *const u8,
    /// Of what is read.
    bytes: PhantomData<&'a [u8]>,
    /// Bytes from one position to the next.
    pub(super) stride: usize,
    /// Whether the bytes have a sign.
    pub(super) signed: bool,
    /// Runs of a row, down and right, and the distances between them.
    pub(super) runs: [usize; 2],
    pub(super) run_steps: [usize; 2],
    grid: Grid,
}

/// How rows lie among positions: in each line, `width` rows and then positions of no meaning up to `period`.
#[derive(Copy, Clone)]
struct Grid {
    lines: usize,
    /// Bytes from one line to the next.
    line_step: usize,
    positions: usize,
    period: usize,
    width: usize,
}

impl Grid {
    /// One row after another.
    fn dense(count: usize) -> Self {
        Self { lines: 1, line_step: 0, positions: count, period: usize::MAX, width: count }
    }

    /// `count` lines of `width` windows in a strip. If lines lie evenly among the positions they are read as one, which
    /// leaves no tile empty; positions between the windows of two lines cost less than an empty rest of a tile.
    fn windows(count: usize, width: usize, [down, right]: [usize; 2]) -> Self {
        let period = down / right;
        let joined = (count - 1) * period + width;
        if joined <= count * width.next_multiple_of(TILE) {
            return Self { lines: 1, line_step: 0, positions: joined, period, width };
        }
        Self { lines: count, line_step: down, positions: width, period: usize::MAX, width }
    }

    fn tiles_per_line(&self) -> usize {
        self.positions.div_ceil(TILE)
    }

    fn tiles(&self) -> usize {
        self.lines * self.tiles_per_line()
    }
}

/// Tiles of `height` lines of `width` windows in a strip where they lie `steps` apart, down and right.
pub(super) fn window_tiles(height: usize, width: usize, steps: [usize; 2]) -> usize {
    Grid::windows(height, width, steps).tiles()
}

impl<'a> Source<'a> {
    /// The rows `range` where they lie if whole tiles lie there, else packed into the buffer.
    ///
    /// To be inlined where AVX-512 F and BW are enabled.
    #[inline(always)]
    pub(super) fn rows<R: Rows>(
        layout: &PackLayout,
        rows: &'a R,
        zeros: Zeros<'_>,
        range: Range<usize>,
        buffer: &'a mut [u8],
    ) -> Self {
        let whole = |start: *const u8, stride, signed| Self {
            start,
            bytes: PhantomData,
            stride,
            signed,
            runs: [1; 2],
            run_steps: [0; 2],
            grid: Grid::dense(range.len()),
        };
        let (raw, tiled) = (rows.raw(), range.len().next_multiple_of(TILE));
        if let Some(RawRows { bytes, signed, at: RawPlace::Stride(stride) }) = raw {
            let first = range.start * stride;
            if first + (tiled - 1) * stride + layout.col_bytes <= bytes.len() {
                return whole(bytes[first..].as_ptr(), stride, signed);
            }
        }
        let stride = layout.col_bytes;
        let packed = &mut buffer[..tiled * stride];
        let start = packed.as_ptr();
        if layout.depth == 0 {
            return whole(start, stride, true);
        }
        if let Some(RawRows { bytes, signed, at: RawPlace::Windows { window, first_channel, channels } }) =
            raw
        {
            let windows = Windows { bytes, window, first_channel, channels, zeros };
            windows.pack(range.clone(), packed, stride);
            return whole(start, stride, signed);
        }
        let packed: &mut [i8] = bytemuck::cast_slice_mut(packed);
        for (row, to) in range.clone().zip(packed.chunks_exact_mut(stride)) {
            rows.pack(row, zeros.of(row) - R::OFFSET, &mut to[..layout.depth]);
        }
        whole(start, stride, true)
    }

    /// The rows of a block of lines out of a strip, which is written into the buffer.
    ///
    /// # Panics
    /// If the rows are no windows over bytes, or have several zero points.
    #[inline(always)]
    pub(super) fn strip<R: Rows>(
        rows: &R,
        zeros: Zeros<'_>,
        lines: &Lines,
        block: usize,
        buffer: &'a mut [u8],
    ) -> (Range<usize>, Self) {
        let (strip, block) = (&lines.strip, lines.block(block));
        let Some(RawRows { bytes, signed, at: RawPlace::Windows { window, first_channel, channels } }) =
            rows.raw()
        else {
            panic!("tiles read windows of bytes out of strips");
        };
        // As it is stored.
        let padding = block.zero(zeros) as u8;
        let to = &mut buffer[..strip.len(block.count)];
        let patches = Patches { data: bytes, window, first_channel, channels };
        strip.copy(&patches, block.image, block.first, padding, to);
        let source = Self {
            start: to.as_ptr(),
            bytes: PhantomData,
            stride: strip.steps[1],
            signed,
            runs: strip.runs,
            run_steps: strip.run_steps,
            grid: Grid::windows(block.count, lines.width(), strip.steps),
        };
        (block.rows, source)
    }

    /// Number of tiles.
    #[inline(always)]
    pub(super) fn tiles(&self) -> usize {
        self.grid.tiles()
    }

    /// Where a tile begins: valid for as many positions as a tile has rows, each with all its runs up to the end of a
    /// tile's depth.
    #[inline(always)]
    pub(super) fn tile(&self, tile: usize) -> *const u8 {
        let per_line = self.grid.tiles_per_line();
        let at = tile / per_line * self.grid.line_step + tile % per_line * TILE * self.stride;
        self.start.wrapping_add(at)
    }

    /// How many of the tiles from `tile` up to `end` are neighbours in a line: one or more.
    #[inline(always)]
    pub(super) fn joined(&self, tile: usize, end: usize) -> usize {
        let per_line = self.grid.tiles_per_line();
        (end - tile).min(per_line - tile % per_line)
    }

    /// The rows that `count` neighbouring tiles of a line have.
    #[inline(always)]
    pub(super) fn pieces(&self, tile: usize, count: usize) -> Pieces {
        let per_line = self.grid.tiles_per_line();
        let first = tile % per_line * TILE;
        let end = (first + count * TILE).min(self.grid.positions);
        Pieces { grid: self.grid, line: tile / per_line, first, position: first, end }
    }

    /// The sum of a row's bytes, signed or not.
    pub(super) fn row_sum(&self, row: usize, run_len: usize) -> i32 {
        let Grid { line_step, period, width, .. } = self.grid;
        let (y, x) = (row / width, row % width);
        let at = if period == usize::MAX {
            y * line_step + x * self.stride
        } else {
            (y * period + x) * self.stride
        };
        let mut total = 0i32;
        for down in 0..self.runs[0] {
            for right in 0..self.runs[1] {
                let run = at + down * self.run_steps[0] + right * self.run_steps[1];
                // SAFETY: all runs of a row lie within what the source was made of.
                let run = unsafe { core::slice::from_raw_parts(self.start.wrapping_add(run), run_len) };
                total = total.wrapping_add(match self.signed {
                    true => run.iter().fold(0, |sum, &x| sum + i32::from(x as i8)),
                    false => run.iter().fold(0, |sum, &x| sum + i32::from(x)),
                });
            }
        }
        total
    }
}

/// Rows one after another in a tile.
pub(super) struct Piece {
    /// Position of the first one in the tiles.
    pub(super) at: usize,
    /// Its number in the block.
    pub(super) row: usize,
    /// How many they are.
    pub(super) count: usize,
}

/// The rows of a tile, piece by piece.
pub(super) struct Pieces {
    grid: Grid,
    line: usize,
    /// First position of the tile.
    first: usize,
    position: usize,
    end: usize,
}

impl Pieces {
    /// The next piece. Not an [`Iterator`], whose calls may stay calls without the instruction set.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<Piece> {
        let Grid { period, width, .. } = self.grid;
        while self.position < self.end {
            let position = self.position;
            let (y, x) =
                if period == usize::MAX { (0, position) } else { (position / period, position % period) };
            self.position += (period - x).min(self.end - position);
            if x < width {
                let count = (width - x).min(self.end - position);
                return Some(Piece { at: position - self.first, row: (self.line + y) * width + x, count });
            }
        }
        None
    }
}
