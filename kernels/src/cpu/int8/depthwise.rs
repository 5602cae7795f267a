//! Depthwise convolution of bytes.
//!
//! A tile is a strip of output rows for a block of channels. It first writes the input rows it needs as pairs:
//! lane by lane the difference to the zero point of one row and of the row that the next filter row reads. An
//! output pixel is then one dot product of pairs per pair of filter rows and filter column, on contiguous memory
//! without borders; the rows' pairs are shared by all filter columns and by neighbouring output rows. Dot products of bytes
//! take four rows at a time, see `quads`.

use super::dot::{Pairs, PairsKernel, dispatch_pairs};
use super::gemm::Bias;
use super::pack::{Bytes, Width};
#[cfg(target_arch = "x86_64")]
use super::quads::{self, QuadFilters, QuadRow};
use super::rows::{Activation, Window};
use super::store::{RowSums, SPARE, Store};
#[cfg(target_arch = "x86_64")]
use crate::isa::Avx512Vnni;
use crate::isa::{Cpu, Isa, IsaNarrow, MAX_LANES};
use crate::packing::{Lines, Packing};
use crate::par::Par;

/// Packed filters.
#[derive(Clone, Debug)]
pub struct PackedDepthwise {
    cpu: Cpu,
    lanes: usize,
    kernel: [usize; 2],
    multiplier: usize,
    outputs: usize,
    filters: Filters,
}

/// Filters as the kernels read them.
#[derive(Clone, Debug)]
enum Filters {
    /// Pairs of 16-bit numbers: block of lanes, pair of filter rows, filter column, lane, row of the pair.
    Pairs(Lines<i32>),
    /// For dot products of bytes, where the CPU has them and activations are bytes.
    #[cfg(target_arch = "x86_64")]
    Quads(QuadFilters),
}

impl PackedDepthwise {
    /// Packs a filter of shape `[kernel[0], kernel[1], channels * multiplier]` for activations of a width. `zeros` are its
    /// zero points, one or one for each output channel.
    ///
    /// # Panics
    /// If the filter is shorter than its shape says.
    pub fn new<'p>(
        packing: impl Into<Packing<'p>>,
        width: Width,
        filter: Bytes<'_>,
        zeros: &[i32],
        kernel: [usize; 2],
        channels: usize,
        multiplier: usize,
    ) -> Self {
        let packing = packing.into();
        let cpu = packing.cpu();
        let outputs = channels * multiplier;
        let pairs = || Filters::Pairs(pack_pairs(packing, filter, zeros, kernel, outputs));
        #[cfg(target_arch = "x86_64")]
        let filters = {
            // All zero points are the same, or zero where there are several.
            let zero = zeros.first().map_or(0, |&zero| zero - filter.offset());
            let uniform = zeros.iter().all(|&z| z == zeros[0]);
            let quads = width == Width::Bytes && uniform && multiplier == 1 && cpu.vnni().is_some();
            match i8::try_from(zero) {
                Ok(zero) if quads => {
                    Filters::Quads(QuadFilters::new(packing, kernel, channels, zero, filter))
                }
                _ => pairs(),
            }
        };
        #[cfg(not(target_arch = "x86_64"))]
        let filters = {
            let _ = width;
            pairs()
        };
        Self { cpu, lanes: cpu.lanes(), kernel, multiplier, outputs, filters }
    }

    /// Filters and token for dot products of bytes, if both are there.
    #[cfg(target_arch = "x86_64")]
    fn quads(&self) -> Option<(&QuadFilters, Avx512Vnni)> {
        match &self.filters {
            Filters::Quads(filters) => Some(filters).zip(self.cpu.vnni()),
            Filters::Pairs(_) => None,
        }
    }

    /// Pairs of 16-bit numbers.
    ///
    /// # Panics
    /// If the filters are packed otherwise.
    fn pairs(&self) -> &[i32] {
        match &self.filters {
            Filters::Pairs(pairs) => pairs,
            #[cfg(target_arch = "x86_64")]
            Filters::Quads(_) => panic!("the filter was packed for bytes"),
        }
    }

    /// The name of the instruction set, for kernel names.
    pub fn cpu_name(&self) -> &'static str {
        self.cpu.name()
    }
}

/// Writes filters as pairs of 16-bit numbers less their zero points.
fn pack_pairs(
    packing: Packing<'_>,
    filter: Bytes<'_>,
    zeros: &[i32],
    kernel: [usize; 2],
    outputs: usize,
) -> Lines<i32> {
    let lanes = packing.cpu().lanes();
    let pairs = kernel[0].div_ceil(2);
    let block_len = pairs * kernel[1] * lanes;
    packing.lines(outputs.div_ceil(lanes) * block_len, |data| {
        for (pair, kx) in (0..pairs).flat_map(|pair| (0..kernel[1]).map(move |kx| (pair, kx))) {
            // Channels of a tap are neighbours on both sides.
            let row = |ky: usize| (ky < kernel[0]).then(|| (ky * kernel[1] + kx) * outputs);
            let (low, high) = (row(2 * pair), row(2 * pair + 1));
            for (block, to) in data.chunks_exact_mut(block_len).enumerate() {
                let first = block * lanes;
                let to = &mut to[(pair * kernel[1] + kx) * lanes..][..lanes.min(outputs - first)];
                for (c, to) in (first..).zip(to) {
                    let zero = zeros[if zeros.len() == 1 { 0 } else { c }] - filter.offset();
                    let weight =
                        |row: Option<usize>| row.map_or(0, |row| i32::from(filter.get(row + c)) - zero);
                    *to = weight(low) & 0xffff | weight(high) << 16;
                }
            }
        }
    })
}

/// The part of a strip's shape that does not depend on where the strip lies.
#[derive(Copy, Clone, Debug)]
struct Strip {
    /// Output rows.
    rows: usize,
    /// Input rows that start a pair.
    pair_rows: usize,
    /// Columns of a row of pairs.
    cols: usize,
    lanes: usize,
}

/// Tiles that spread evenly over a few threads.
#[cfg(target_arch = "x86_64")]
const LEAST_TILES: usize = 16;
/// Multiplications below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 256 * 1024;
/// Bytes of pairs that stay in the second-level cache.
const STRIP_BYTES: usize = 128 << 10;

impl Strip {
    fn new(window: &Window, lanes: usize) -> Self {
        let cols = (window.output[1].max(1) - 1) * window.stride[1]
            + (window.kernel[1] - 1) * window.dilation[1]
            + 1;
        let pair_rows = |rows: usize| {
            let last_pair = (window.kernel[0] - 1) / 2 * 2;
            (rows - 1) * window.stride[0] + last_pair * window.dilation[0] + 1
        };
        let fits =
            |&rows: &usize| pair_rows(rows).saturating_mul(cols).saturating_mul(lanes * 4) <= STRIP_BYTES;
        let most = window.output[0].max(1);
        let rows = (1..=most).rev().find(fits).unwrap_or(1);
        // Strips of equal height.
        let rows = most.div_ceil(most.div_ceil(rows));
        Self { rows, pair_rows: pair_rows(rows), cols, lanes }
    }

    /// Numbers of the strip's pairs; saturates.
    fn len(&self) -> usize {
        self.pair_rows.saturating_mul(self.cols).saturating_mul(self.lanes)
    }
}

/// Elements of scratch that one thread of [`depthwise`] needs.
pub fn depthwise_scratch(cpu: Cpu, window: &Window) -> usize {
    let pairs = Strip::new(window, cpu.lanes()).len();
    #[cfg(target_arch = "x86_64")]
    if cpu.vnni().is_some() {
        return pairs.max(quads::scratch_len(window));
    }
    pairs
}

/// Convolves each channel of `x` with its own filters, starting from `bias` (one for each output channel or
/// none), and gives the sums to `store`: rows are output pixels, columns output channels.
///
/// # Panics
/// If `scratch` is smaller than [`depthwise_scratch`] or a slice is shorter than `window` says.
#[expect(clippy::too_many_arguments, reason = "the operands of a convolution")]
pub fn depthwise<X: Activation + IntoLanes>(
    weights: &PackedDepthwise,
    x: &[X],
    zero: i32,
    window: &Window,
    bias: &Bias,
    store: &(impl Store + ?Sized),
    par: Par,
    scratch: &mut [i32],
) {
    assert_eq!(weights.kernel, window.kernel, "the filter was packed for another window");
    assert_eq!(
        weights.outputs,
        window.channels * weights.multiplier,
        "the filter was packed for other channels"
    );
    assert!(bias.table().len() >= weights.outputs + SPARE, "one bias for each channel");
    if window.pixels() == 0 || weights.outputs == 0 {
        return;
    }
    let work = window.pixels().saturating_mul(weights.outputs * window.kernel[0] * window.kernel[1]);
    let par = if work < weights.cpu.in_its_lanes(WORTH_A_THREAD) { Par::serial() } else { par };
    #[cfg(target_arch = "x86_64")]
    if let Some((filters, vnni)) = weights.quads() {
        // A tile is an output row, or part of its channels where rows are few.
        let rows = window.batch * window.output[0];
        let blocks = weights.outputs.div_ceil(weights.lanes);
        let blocks_per_tile = blocks.div_ceil(LEAST_TILES.div_ceil(rows).min(blocks));
        let parts = blocks.div_ceil(blocks_per_tile);
        par.for_each_tile_with(rows * parts, scratch, quads::scratch_len(window), |tile, buffer| {
            let (row, part) = (tile / parts, tile % parts * blocks_per_tile);
            let row = QuadRow {
                filters,
                x,
                zero,
                window,
                bias: bias.table(),
                store,
                image: row / window.output[0],
                row: row % window.output[0],
                blocks: part..(part + blocks_per_tile).min(blocks),
            };
            row.run(vnni, buffer);
        });
        return;
    }
    let strip = Strip::new(window, weights.lanes);
    let strips = window.output[0].div_ceil(strip.rows);
    let blocks = weights.outputs.div_ceil(weights.lanes);
    par.for_each_tile_with(window.batch * strips * blocks, scratch, strip.len(), |tile, buffer| {
        let (block, rest) = (tile % blocks, tile / blocks);
        let (index, image) = (rest % strips, rest / strips);
        dispatch_pairs(
            weights.cpu,
            StripKernel {
                weights,
                x,
                zero: zero - X::OFFSET,
                window,
                bias: bias.table(),
                store,
                strip,
                image,
                first_row: index * strip.rows,
                block,
                buffer,
            },
        );
    });
}

/// One strip of one block of channels.
struct StripKernel<'a, X, E: ?Sized> {
    weights: &'a PackedDepthwise,
    x: &'a [X],
    zero: i32,
    window: &'a Window,
    bias: &'a [i32],
    store: &'a E,
    strip: Strip,
    image: usize,
    first_row: usize,
    block: usize,
    buffer: &'a mut [i32],
}

/// Activations that vectors of 32-bit lanes are read from.
pub trait IntoLanes: Sized {
    /// Reads a slice of at most `LANES` elements, as stored.
    fn lanes<S: Isa>(isa: S, from: &[Self]) -> S::I;
}

macro_rules! into_lanes {
    ($($T:ty: $load:ident $load_part:ident,)*) => {
        $(impl IntoLanes for $T {
            #[inline(always)]
            fn lanes<S: Isa>(isa: S, from: &[Self]) -> S::I {
                if from.len() == S::LANES { isa.$load(from) } else { isa.$load_part(from) }
            }
        })*
    };
}

into_lanes! { i8: load_i8 load_i8_part, u8: load_u8 load_u8_part, i16: load_i16 load_i16_part, }

/// The sums of a line's pixels, one after another, by a filter of `P` pairs of rows and `C` columns. Who makes it vouches for
/// the pairs of as many pixels as are asked for.
struct LineSums<S: Pairs, const P: usize, const C: usize> {
    /// The next pixel's pairs.
    lines: [*const i32; P],
    filters: [[S::I; C]; P],
    /// What the sums start from.
    start: S::I,
    /// Distances between pixels and between taps.
    stride: usize,
    step: usize,
}

impl<S: Pairs, const P: usize, const C: usize> RowSums<S> for LineSums<S, P, C> {
    #[inline(always)]
    fn next(&mut self, isa: S) -> S::I {
        let mut sums = self.start;
        for (line, filters) in self.lines.iter_mut().zip(&self.filters) {
            for (kx, &filter) in filters.iter().enumerate() {
                // SAFETY: the pixel's pairs lie there, see above.
                let pairs = unsafe { isa.load_i32_ptr(line.wrapping_add(kx * self.step)) };
                sums = isa.dot_pairs(sums, pairs, filter);
            }
            *line = line.wrapping_add(self.stride);
        }
        sums
    }
}

impl<X: Activation + IntoLanes, E: Store + ?Sized> PairsKernel for StripKernel<'_, X, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Pairs>(mut self, isa: S) {
        self.write_pairs(isa);
        match self.window.kernel {
            [3, 3] => self.convolve_small::<S, 2, 3>(isa),
            _ => self.convolve(isa),
        }
    }
}

impl<X: Activation + IntoLanes, E: Store + ?Sized> StripKernel<'_, X, E> {
    /// Output rows of this strip.
    #[inline(always)]
    fn rows(&self) -> usize {
        self.strip.rows.min(self.window.output[0] - self.first_row)
    }

    /// Numbers in a row of pairs.
    #[inline(always)]
    fn row_len(&self) -> usize {
        self.strip.cols * self.strip.lanes
    }

    /// First channel of the block and number of its channels.
    #[inline(always)]
    fn channels(&self) -> (usize, usize) {
        let first = self.block * self.strip.lanes;
        (first, self.strip.lanes.min(self.weights.outputs - first))
    }

    /// Writes each input row that starts a pair of filter rows, paired with the input row of the next filter row.
    #[inline(always)]
    fn write_pairs<S: Pairs>(&mut self, isa: S) {
        let w = self.window;
        let (rows, pairs) = (self.rows(), w.kernel[0].div_ceil(2));
        for at in 0..self.strip.pair_rows {
            let needed = (0..pairs).any(|pair| {
                at.checked_sub(2 * pair * w.dilation[0])
                    .is_some_and(|row| row % w.stride[0] == 0 && row / w.stride[0] < rows)
            });
            if needed {
                self.write_row(isa, at);
            }
        }
    }

    /// The pixels of the input row that is `at` rows below the strip's first one, unless it is padding.
    #[inline(always)]
    fn input_row(&self, at: usize) -> Option<&[X]> {
        let w = self.window;
        let row = (self.first_row * w.stride[0] + at)
            .checked_add_signed(-w.padding[0])
            .filter(|&row| row < w.input[0])?;
        let len = w.input[1] * w.channels;
        Some(&self.x[(self.image * w.input[0] + row) * len..][..len])
    }

    #[inline(always)]
    fn write_row<S: Pairs>(&mut self, isa: S, at: usize) {
        let row_len = self.row_len();
        let pairs = core::mem::take(&mut self.buffer);
        let out = &mut pairs[at * row_len..][..row_len];
        match (self.input_row(at), self.input_row(at + self.window.dilation[0])) {
            (None, None) => out.fill(0),
            (Some(low), None) => {
                self.write_cols(isa, out, |pixel| {
                    isa.and(self.lanes(isa, low, pixel), isa.splat_i32(0xffff))
                });
            }
            (None, Some(high)) => {
                self.write_cols(isa, out, |pixel| isa.shl::<16>(self.lanes(isa, high, pixel)))
            }
            (Some(low), Some(high)) => self.write_cols(isa, out, |pixel| {
                let low = isa.and(self.lanes(isa, low, pixel), isa.splat_i32(0xffff));
                isa.or(low, isa.shl::<16>(self.lanes(isa, high, pixel)))
            }),
        }
        self.buffer = pairs;
    }

    /// The block's channels of a pixel less the zero point.
    #[inline(always)]
    fn lanes<S: Pairs>(&self, isa: S, row: &[X], pixel: usize) -> S::I {
        let (first, len) = self.channels();
        let at = pixel * self.window.channels;
        let stored = if self.weights.multiplier == 1 {
            X::lanes(isa, &row[at + first..][..len])
        } else {
            let pixel = &row[at..][..self.window.channels];
            let mut lanes = [X::zeroed(); MAX_LANES];
            for (i, lane) in lanes[..len].iter_mut().enumerate() {
                *lane = pixel[(first + i) / self.weights.multiplier];
            }
            X::lanes(isa, &lanes[..S::LANES])
        };
        isa.sub_i32(stored, isa.splat_i32(self.zero + X::OFFSET))
    }

    /// Writes a row of pairs: zeros for padding, `pair(pixel)` for the pixels of the image.
    #[inline(always)]
    fn write_cols<S: Pairs>(&self, isa: S, out: &mut [i32], pair: impl Fn(usize) -> S::I) {
        let w = self.window;
        // The first column of the row is that many columns left of the image.
        let padding = w.padding[1].max(0) as usize;
        let left = padding.min(self.strip.cols);
        let right = (padding + w.input[1]).min(self.strip.cols);
        let (before, rest) = out.split_at_mut(left * S::LANES);
        let (inside, after) = rest.split_at_mut((right - left) * S::LANES);
        before.fill(0);
        after.fill(0);
        for (pixel, to) in inside.chunks_exact_mut(S::LANES).enumerate() {
            isa.store_i32(pair(pixel), to);
        }
    }

    /// The filters of the block.
    #[inline(always)]
    fn filters(&self) -> &[i32] {
        let w = self.window;
        let len = w.kernel[0].div_ceil(2) * w.kernel[1] * self.strip.lanes;
        &self.weights.pairs()[self.block * len..][..len]
    }

    /// The pairs that tap pair `pair`, column 0 of the filter reads for the output pixel, and what follows.
    #[inline(always)]
    fn pairs(&self, row: usize, col: usize, pair: usize) -> &[i32] {
        let w = self.window;
        let at = row * w.stride[0] + 2 * pair * w.dilation[0];
        &self.buffer[at * self.row_len() + col * w.stride[1] * self.strip.lanes..]
    }

    /// Any filter.
    #[inline(always)]
    fn convolve<S: Pairs>(&self, isa: S) {
        let w = self.window;
        let filters = self.filters();
        let step = w.dilation[1] * S::LANES;
        self.for_each_pixel(isa, |row, col, mut sums| {
            for (pair, filters) in filters.chunks_exact(w.kernel[1] * S::LANES).enumerate() {
                let pairs = self.pairs(row, col, pair);
                for (kx, filter) in filters.chunks_exact(S::LANES).enumerate() {
                    sums = isa.dot_pairs(sums, isa.load_i32(&pairs[kx * step..]), isa.load_i32(filter));
                }
            }
            sums
        });
    }

    /// A filter of `P` pairs of rows and `C` columns that stays in registers.
    #[inline(always)]
    fn convolve_small<S: Pairs, const P: usize, const C: usize>(&self, isa: S) {
        let step = self.window.dilation[1] * S::LANES;
        let packed = self.filters();
        let mut filters = [[isa.splat_i32(0); C]; P];
        for (p, filters) in filters.iter_mut().enumerate() {
            for (c, filter) in filters.iter_mut().enumerate() {
                *filter = isa.load_i32(&packed[(p * C + c) * S::LANES..]);
            }
        }
        let (first, len) = self.channels();
        let start = isa.load_i32(&self.bias[first..]);
        let columns = self.store.columns(isa, first);
        let [height, width] = self.window.output;
        let stride = self.window.stride[1] * S::LANES;
        let row_len = self.row_len();
        assert!(
            (width - 1) * stride + (C - 1) * step + S::LANES <= row_len,
            "windows lie in the rows of pairs"
        );
        for row in 0..self.rows() {
            let mut lines = [&self.buffer[..0]; P];
            for (pair, line) in lines.iter_mut().enumerate() {
                *line = &self.pairs(row, 0, pair)[..row_len];
            }
            let lines = lines.map(<[i32]>::as_ptr);
            let pixels = (self.image * height + self.first_row + row) * width;
            // As often asked for sums as the line has pixels, whose windows lie in the lines.
            let sums = LineSums::<S, P, C> { lines, filters, start, stride, step };
            self.store.store_rows(isa, columns, (pixels, width), first, len, sums);
        }
    }

    /// Stores what `convolve(row, column, start)` gives for each output pixel of the strip.
    #[inline(always)]
    fn for_each_pixel<S: Pairs>(&self, isa: S, convolve: impl Fn(usize, usize, S::I) -> S::I) {
        let [height, width] = self.window.output;
        let (first, len) = self.channels();
        let start = isa.load_i32(&self.bias[first..]);
        let columns = self.store.columns(isa, first);
        for row in 0..self.rows() {
            let pixels = (self.image * height + self.first_row + row) * width;
            for col in 0..width {
                self.store.store(isa, columns, pixels + col, first, len, convolve(row, col, start));
            }
        }
    }
}
