//! The gradient of a convolution's filter: a sum of outer products, one for each output position and tap.
//!
//! Under an output line, the values below neighbouring taps of one filter line are neighbours in memory. So a tile of the
//! filter's gradient, some rows (taps and input channels) by one or two vectors of output channels, adds up along the lines
//! straight from the two tensors: nothing is gathered or packed.

use core::ops::Range;

use super::conv::Geometry;
use crate::cpu::float::conv::ConvShape;
use crate::error::ShapeError;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::{Par, SharedMut};

/// Floats of both tensors that all tiles read before any reads the next: they stay in the second-level cache.
const CACHED: usize = 128 << 10;
/// Multiplications below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 128 << 10;
/// Vectors of output channels in a tile.
const VECTORS: usize = 2;

/// The gradient of a convolution's filter `[depth, height, width, in_channels / groups, out_channels]`.
#[derive(Clone, Debug)]
pub struct ConvFilterGrad {
    cpu: Cpu,
    geometry: Geometry,
}

impl ConvFilterGrad {
    /// Prepares for a convolution of these sizes.
    ///
    /// # Errors
    /// Those of [`ConvShape::output`].
    pub fn new(cpu: Cpu, shape: ConvShape) -> Result<Self, ShapeError> {
        Ok(Self { cpu, geometry: Geometry::new(shape)? })
    }

    /// Depth, height and width of the output.
    pub fn output(&self) -> [usize; 3] {
        self.geometry.output
    }

    /// Computes the gradient from the input and the gradient of the output, both channels-last. Each element is summed in
    /// the order of output positions, for any number of threads.
    ///
    /// # Errors
    /// If a slice does not have the convolution's size.
    pub fn run(
        &self,
        input: &[f32],
        gradient: &[f32],
        filter: &mut [f32],
        par: Par,
    ) -> Result<(), ShapeError> {
        let g = &self.geometry;
        g.check(input.len(), filter.len(), gradient.len())?;
        filter.fill(0.0);
        let work = gradient.len().saturating_mul(filter.len() / g.shape.out_channels.max(1));
        if work == 0 {
            return Ok(());
        }
        let (rows, columns) = self.cpu.dispatch(TileSize);
        let plan = Plan::new(g, rows, columns);
        let lines = g.shape.batch * g.output[0] * g.output[1];
        let line_len = (input.len() + gradient.len()).div_ceil(lines);
        let block = (CACHED / line_len).clamp(1, lines);
        let par = if work < WORTH_A_THREAD { Par::serial() } else { par };
        let filter = SharedMut::new(filter);
        // A thread keeps its tiles: they meet every block of lines in turn.
        let parts = if par.threads() == 1 { 1 } else { (4 * par.threads()).min(plan.tiles()) };
        par.for_each_tile(parts, |part| {
            let tiles = part * plan.tiles() / parts..(part + 1) * plan.tiles() / parts;
            self.cpu.dispatch(Tiles {
                g,
                plan: &plan,
                tiles,
                input,
                gradient,
                filter: &filter,
                lines,
                block,
            });
        });
        Ok(())
    }
}

/// Rows and columns of the largest tile.
struct TileSize;

impl Kernel for TileSize {
    type Output = (usize, usize);

    #[inline(always)]
    fn run<S: Isa>(self, _: S) -> (usize, usize) {
        (if S::REGISTERS >= 32 { 12 } else { 6 }, VECTORS * S::LANES)
    }
}

/// How the filter's gradient is cut into tiles.
struct Plan {
    /// Taps whose rows lie side by side in the input: a filter line, or one.
    joined: usize,
    strips: usize,
    groups: usize,
    rows: usize,
    row_tiles: usize,
    tile_rows: usize,
    columns: usize,
    column_tiles: usize,
    tile_columns: usize,
}

/// A tile of the filter's gradient.
struct Place {
    strip: usize,
    group: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Plan {
    fn new(g: &Geometry, tile_rows: usize, tile_columns: usize) -> Self {
        let ConvShape { kernel, dilation, groups, .. } = g.shape;
        let joined = if groups == 1 && dilation[2] == 1 { kernel[2] } else { 1 };
        let rows = joined * g.in_group;
        // Tiles of about the same height instead of full ones and a low rest.
        let row_tiles = rows.div_ceil(tile_rows);
        Self {
            joined,
            strips: g.shape.taps() / joined,
            groups,
            rows,
            row_tiles,
            tile_rows: rows.div_ceil(row_tiles),
            columns: g.out_group,
            column_tiles: g.out_group.div_ceil(tile_columns),
            tile_columns,
        }
    }

    fn tiles(&self) -> usize {
        self.strips * self.groups * self.row_tiles * self.column_tiles
    }

    fn place(&self, tile: usize) -> Place {
        let (rest, column) = (tile / self.column_tiles, tile % self.column_tiles);
        let (rest, row) = (rest / self.row_tiles, rest % self.row_tiles);
        let part = |at: usize, len: usize, all: usize| at * len..((at + 1) * len).min(all);
        Place {
            strip: rest / self.groups,
            group: rest % self.groups,
            rows: part(row, self.tile_rows, self.rows),
            columns: part(column, self.tile_columns, self.columns),
        }
    }
}

/// A run of output positions in a line under which the same rows of a tile lie on the image.
struct Run {
    first: usize,
    count: usize,
    rows: Range<usize>,
}

/// The runs of a line for a tile: they are the same for every line.
fn runs(g: &Geometry, plan: &Plan, place: &Place) -> Vec<Run> {
    let shape = &g.shape;
    let (stride, dilation, pad, width) =
        (shape.stride[2], shape.dilation[2], shape.pad_before[2], shape.input[2]);
    let taps = place.rows.start / g.in_group..place.rows.end.div_ceil(g.in_group);
    let first_tap = place.strip * plan.joined % shape.kernel[2];
    // First output position, and the one past the last, under which a tap lies on the image.
    let on_image = |tap: usize| {
        let left = (first_tap + tap) * dilation;
        let end = (width + pad).saturating_sub(left).div_ceil(stride).min(g.output[2]);
        pad.saturating_sub(left).div_ceil(stride).min(end)..end
    };
    let mut runs = Vec::new();
    let mut x = 0;
    while x < g.output[2] {
        let ranges = taps.clone().map(|tap| (tap, on_image(tap)));
        let bounds = ranges.clone().flat_map(|(_, range)| [range.start, range.end]);
        let end = bounds.filter(|&bound| bound > x).min().unwrap_or(g.output[2]);
        let mut valid = ranges.filter(|(_, range)| range.contains(&x)).map(|(tap, _)| tap);
        if let Some(first) = valid.next() {
            let last = valid.next_back().unwrap_or(first);
            let rows = place.rows.start.max(first * g.in_group)..place.rows.end.min((last + 1) * g.in_group);
            runs.push(Run { first: x, count: end - x, rows });
        }
        x = end;
    }
    runs
}

/// Tiles to sum over all lines.
struct Tiles<'a> {
    g: &'a Geometry,
    plan: &'a Plan,
    tiles: Range<usize>,
    input: &'a [f32],
    gradient: &'a [f32],
    filter: &'a SharedMut<'a, f32>,
    lines: usize,
    block: usize,
}

impl Kernel for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        for first in (0..self.lines).step_by(self.block) {
            for tile in self.tiles.clone() {
                let place = self.plan.place(tile);
                let runs = runs(self.g, self.plan, &place);
                for line in first..(first + self.block).min(self.lines) {
                    self.line(isa, &place, &runs, line);
                }
            }
        }
    }
}

impl Tiles<'_> {
    /// Adds the products of one output line to a tile.
    #[inline(always)]
    fn line<S: Isa>(&self, isa: S, place: &Place, runs: &[Run], line: usize) {
        let (g, plan) = (self.g, self.plan);
        let ConvShape {
            input: size, kernel, stride, dilation, pad_before, in_channels, out_channels, ..
        } = g.shape;
        let first_tap = place.strip * plan.joined;
        let taps = [first_tap / kernel[2] / kernel[1], first_tap / kernel[2] % kernel[1]];
        let out = [line / g.output[1] % g.output[0], line % g.output[1]];
        let under = |axis: usize| {
            let padded = out[axis] * stride[axis] + taps[axis] * dilation[axis];
            padded.checked_sub(pad_before[axis]).filter(|&at| at < size[axis])
        };
        let (Some(z), Some(y)) = (under(0), under(1)) else { return };
        let image = line / g.output[1] / g.output[0];
        let start = ((image * size[0] + z) * size[1] + y) * size[2] * in_channels + place.group * g.in_group;
        let column = place.group * g.out_group + place.columns.start;
        for run in runs {
            // Where the first row of the run lies. Within the line: its tap is on the image there.
            let tap = first_tap % kernel[2] + run.rows.start / g.in_group;
            let x = run.first * stride[2] + tap * dilation[2] - pad_before[2];
            let mut product = Outer {
                count: run.count,
                x: start + x * in_channels + run.rows.start % g.in_group,
                x_step: stride[2] * in_channels,
                y: (line * g.output[2] + run.first) * out_channels + column,
                y_step: out_channels,
                columns: place.columns.len(),
                out: (first_tap * g.in_group + run.rows.start) * out_channels + column,
                input: self.input,
                gradient: self.gradient,
                filter: self.filter,
            };
            let mut rows = run.rows.len();
            while rows > 0 {
                let height = product.rows(isa, rows);
                rows -= height;
                product.x += height;
                product.out += height * out_channels;
            }
        }
    }
}

/// Outer products of rows that are neighbours in the input and columns that are neighbours in the gradient, summed over a run
/// of positions.
struct Outer<'a> {
    count: usize,
    x: usize,
    x_step: usize,
    y: usize,
    y_step: usize,
    columns: usize,
    out: usize,
    input: &'a [f32],
    gradient: &'a [f32],
    filter: &'a SharedMut<'a, f32>,
}

impl Outer<'_> {
    /// Adds the products of as many rows as a tile takes at once; returns their number.
    #[inline(always)]
    fn rows<S: Isa>(&self, isa: S, rows: usize) -> usize {
        let high = S::REGISTERS >= 32;
        match rows {
            12.. if high => self.tile::<S, 12>(isa),
            9.. if high => self.tile::<S, 9>(isa),
            8 if high => self.tile::<S, 8>(isa),
            6.. => self.tile::<S, 6>(isa),
            5 => self.tile::<S, 5>(isa),
            4 => self.tile::<S, 4>(isa),
            3 => self.tile::<S, 3>(isa),
            2 => self.tile::<S, 2>(isa),
            _ => self.tile::<S, 1>(isa),
        }
    }

    #[inline(always)]
    fn tile<S: Isa, const M: usize>(&self, isa: S) -> usize {
        match (self.columns > S::LANES, self.columns.is_multiple_of(S::LANES)) {
            (true, true) => self.sum::<S, M, 2, false>(isa),
            (true, false) => self.sum::<S, M, 2, true>(isa),
            (false, true) => self.sum::<S, M, 1, false>(isa),
            (false, false) => self.sum::<S, M, 1, true>(isa),
        }
        M
    }

    /// `M` rows and `V` vectors of columns, of which the last may be a part.
    #[inline(always)]
    fn sum<S: Isa, const M: usize, const V: usize, const PART: bool>(&self, isa: S) {
        let last = self.columns - (V - 1) * S::LANES;
        let steps = self.count - 1;
        // Bounds of all that is read and written below.
        let mut x = self.input[self.x..][..steps * self.x_step + M].as_ptr();
        let mut y = self.gradient[self.y..][..steps * self.y_step + self.columns].as_ptr();
        self.filter.check(self.out, (M - 1) * self.y_step + self.columns);
        let out = self.filter.as_mut_ptr().wrapping_add(self.out);
        // SAFETY: row `r` and vector `v` of a position are within the bounds checked above; a vector that is not whole is
        // read and written up to `last`. No other thread has this tile of the filter.
        unsafe {
            let mut sums = [[isa.splat(0.0); V]; M];
            for (r, row) in sums.iter_mut().enumerate() {
                for (v, sum) in row.iter_mut().enumerate() {
                    *sum = load(isa, out.add(r * self.y_step + v * S::LANES), PART && v + 1 == V, last);
                }
            }
            for step in 0..self.count {
                let mut columns = [isa.splat(0.0); V];
                for (v, column) in columns.iter_mut().enumerate() {
                    *column = load(isa, y.add(v * S::LANES), PART && v + 1 == V, last);
                }
                for (r, row) in sums.iter_mut().enumerate() {
                    let value = isa.splat(*x.add(r));
                    for (sum, &column) in row.iter_mut().zip(&columns) {
                        *sum = isa.fma(value, column, *sum);
                    }
                }
                if step < steps {
                    x = x.add(self.x_step);
                    y = y.add(self.y_step);
                }
            }
            for (r, row) in sums.iter().enumerate() {
                for (v, &sum) in row.iter().enumerate() {
                    let to = out.add(r * self.y_step + v * S::LANES);
                    if PART && v + 1 == V {
                        isa.store_ptr_part(sum, to, last)
                    } else {
                        isa.store_ptr(sum, to)
                    }
                }
            }
        }
    }
}

/// Reads a vector, or its first `len` elements.
///
/// # Safety
/// `ptr` must be valid for reading them.
#[inline(always)]
unsafe fn load<S: Isa>(isa: S, ptr: *const f32, part: bool, len: usize) -> S::F {
    // SAFETY: the caller's promise.
    unsafe { if part { isa.load_ptr_part(ptr, len) } else { isa.load_ptr(ptr) } }
}
