//! Depthwise float convolution.
//!
//! A tile is a vector of channels times a few neighbouring output pixels of a line, or of two lines, all held in
//! registers. For square filters 3 and 5 wide at stride 1 and 2 all loops have a fixed length ([`tiled`]); every other
//! filter takes [`general`].

mod expanded;
mod general;
mod tiled;
mod weights;

pub use self::expanded::ExpandedF32;
use self::general::General;
use self::tiled::Tiled;
pub use self::weights::DepthwiseWeightsF32;
use super::shape::{ConvShape, product};
use crate::cpu::float::epilogue::{Activation, Epilogue};
use crate::error::ShapeError;
use crate::isa::Isa;
use crate::par::{Bands, Par, SharedMut};
use core::ops::Range;
use std::sync::Arc;

/// Output pixels of the tallest tile. Seven divides the image sizes of most vision models and leaves sixteen
/// registers room for a window and a filter row.
const PIXELS: usize = 7;

/// Output lines that are computed together where all loops have a fixed length: most input lines then serve both.
const LINES: usize = 2;

/// Blocks of channels that narrow images are computed by, from the top to the bottom: the lines under the filter then
/// stay in the first-level cache until the next lines are due.
const NARROW_BLOCKS: usize = 4;
/// Output pixels of the widest line that counts as narrow.
const NARROW: usize = 16;
/// Pairs of lines for each thread from which on threads share an image's lines, not its channels.
const PAIRS_FOR_A_THREAD: usize = 3;
/// Strips that an image is cut into for each thread, so that threads end at about the same time.
const STRIPS_FOR_A_THREAD: usize = 4;
/// Multiplications below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 128 * 1024;

/// A depthwise float convolution of fixed sizes, ready to run.
#[derive(Clone, Debug)]
pub struct DepthwiseF32 {
    shape: ConvShape,
    output: [usize; 2],
    multiplier: usize,
    weights: DepthwiseWeightsF32,
    /// A pixel beyond the image.
    zeros: Arc<[f32]>,
}

impl DepthwiseF32 {
    /// Prepares a two-dimensional depthwise convolution; `shape.groups` must be its input channels.
    ///
    /// # Errors
    /// If the weights were packed for another kernel or other channels, or the shape is inconsistent.
    pub fn new(shape: ConvShape, weights: DepthwiseWeightsF32) -> Result<Self, ShapeError> {
        let [depth, height, width] = shape.output()?;
        ShapeError::check("groups", shape.in_channels, shape.groups)?;
        ShapeError::check("depth", 1, shape.input[0].max(shape.kernel[0]).max(depth))?;
        ShapeError::check("filter height of the weights", shape.kernel[1], weights.kernel()[0])?;
        ShapeError::check("filter width of the weights", shape.kernel[2], weights.kernel()[1])?;
        ShapeError::check("channels of the weights", shape.out_channels, weights.channels())?;
        let multiplier = shape.out_channels / shape.groups;
        let zeros = vec![0.0; shape.in_channels.max(weights.cpu().lanes())].into();
        Ok(Self { shape, output: [height, width], multiplier, weights, zeros })
    }

    /// Height and width of the output.
    pub fn output(&self) -> [usize; 2] {
        self.output
    }

    /// The kernel's name, e.g. `f32_depthwise_3x3s1_avx2`.
    pub fn name(&self) -> String {
        let (kernel, cpu) = (self.shape.kernel, self.weights.cpu().name());
        match self.tiled() {
            Some((_, stride)) => format!("f32_depthwise_{}x{}s{stride}_{cpu}", kernel[1], kernel[2]),
            None => format!("f32_depthwise_general_{cpu}"),
        }
    }

    /// Filter size and stride, if there are loops of fixed length for them.
    fn tiled(&self) -> Option<(usize, usize)> {
        let shape = &self.shape;
        let (width, stride) = (shape.kernel[2], shape.stride[2]);
        let fits = self.multiplier == 1
            && shape.kernel[1] == width
            && shape.dilation[1] == 1
            && shape.dilation[2] == 1
            && self.weights.whole_vectors();
        (fits && matches!((width, stride), (3 | 5, 1 | 2))).then_some((width, stride))
    }

    /// Convolves `input` (`[batch, height, width, in_channels]`) into `out` (`[batch, output, out_channels]`).
    ///
    /// # Errors
    /// If a slice has another size.
    pub fn run(
        &self,
        input: &[f32],
        out: &mut [f32],
        epilogue: &Epilogue<'_>,
        par: Par,
    ) -> Result<(), ShapeError> {
        let shape = &self.shape;
        let [_, height, width] = shape.input;
        let line_len = product(&[self.output[1], shape.out_channels]);
        ShapeError::check("input", product(&[shape.batch, height, width, shape.in_channels]), input.len())?;
        ShapeError::check("output", product(&[shape.batch, self.output[0], line_len]), out.len())?;
        if let Some(residual) = epilogue.residual {
            ShapeError::check("residual", out.len(), residual.len())?;
        }
        if out.is_empty() {
            return Ok(());
        }
        let image_len = height * width * shape.in_channels;
        let lines = self.lines_at_once();
        let chunks = self.chunks();
        let pairs = self.output[0].div_ceil(lines);
        let taps = shape.kernel[1] * shape.kernel[2];
        let work = out.len().saturating_mul(taps);
        let par = if work < self.weights.cpu().in_its_lanes(WORTH_A_THREAD) { Par::serial() } else { par };
        let strip_lines = lines * (pairs / (par.threads() * STRIPS_FOR_A_THREAD)).max(1);
        let strips = self.output[0].div_ceil(strip_lines);
        // Products of images this small go along channels, and so does what follows them.
        let ranges = if pairs < PAIRS_FOR_A_THREAD * par.threads() { 1 } else { par.threads() };
        let order = Bands::new(shape.batch * strips, ranges, chunks);
        let whole = SharedMut::new(out);
        par.for_each_tile(order.tiles(), |index| {
            let (band, chunk) = order.tile(index);
            let (image, y) = (band / strips, band % strips * strip_lines);
            self.compute(Strip {
                op: self,
                input: ImageLines::all(&input[image * image_len..][..image_len], height),
                top: self.top(y),
                lines: strip_lines.min(self.output[0] - y),
                blocks: self.chunk(chunk),
                place: (image * self.output[0] + y) * line_len,
                residual: epilogue.residual,
                activation: epilogue.activation,
                out: &whole,
            });
        });
        Ok(())
    }

    /// Output lines that are computed together.
    fn lines_at_once(&self) -> usize {
        if self.tiled().is_some() { LINES } else { 1 }
    }

    /// The input line under the filter's first row for output line `y`.
    fn top(&self, y: usize) -> isize {
        (y * self.shape.stride[1]) as isize - self.shape.pad_before[1] as isize
    }

    /// Blocks of channels in a chunk: what of a strip is computed before the next ones.
    fn blocks_per_chunk(&self) -> usize {
        if self.output[1] <= NARROW { NARROW_BLOCKS } else { self.weights.blocks().max(1) }
    }

    /// How many chunks the blocks of channels are cut into.
    fn chunks(&self) -> usize {
        (self.weights.blocks() / self.blocks_per_chunk()).max(1)
    }

    /// The blocks of a chunk. The last block may share channels with the one before, so the last chunk has no fewer blocks
    /// than others.
    fn chunk(&self, chunk: usize) -> Range<usize> {
        let per_chunk = self.blocks_per_chunk();
        let last = if chunk + 1 == self.chunks() { self.weights.blocks() } else { (chunk + 1) * per_chunk };
        chunk * per_chunk..last
    }

    fn compute(&self, strip: Strip<'_>) {
        let cpu = self.weights.cpu();
        match self.tiled() {
            Some((3, 1)) => cpu.dispatch(Tiled::<'_, 3, 1>(strip)),
            Some((3, _)) => cpu.dispatch(Tiled::<'_, 3, 2>(strip)),
            Some((_, 1)) => cpu.dispatch(Tiled::<'_, 5, 1>(strip)),
            Some(_) => cpu.dispatch(Tiled::<'_, 5, 2>(strip)),
            None => cpu.dispatch(General(strip)),
        }
    }
}

/// Lines of an image in memory: all of them, or some in a ring, in which line `y` is the `y % count`th.
#[derive(Copy, Clone)]
struct ImageLines<'a> {
    data: &'a [f32],
    /// Lines there is room for.
    count: usize,
    /// A multiple of `count` at most that much before all lines in the ring.
    first: usize,
}

impl<'a> ImageLines<'a> {
    /// All lines of an image.
    fn all(data: &'a [f32], height: usize) -> Self {
        Self { data, count: height, first: 0 }
    }

    /// Up to `count` lines from `from` on in a ring.
    fn in_ring(data: &'a [f32], count: usize, from: usize) -> Self {
        Self { data, count, first: from / count * count }
    }

    /// Which line in memory is the image's line `y`.
    #[inline(always)]
    fn place(&self, y: usize) -> usize {
        let at = y - self.first;
        if at < self.count { at } else { at - self.count }
    }
}

/// Lines of output pixels to compute, one under the other, in some of their blocks of channels.
struct Strip<'a> {
    op: &'a DepthwiseF32,
    /// The lines of the image under the filter.
    input: ImageLines<'a>,
    /// The input line under the filter's first row, for the first line.
    top: isize,
    /// Number of lines.
    lines: usize,
    /// Blocks of channels to compute.
    blocks: Range<usize>,
    /// Where the first line starts in the output.
    place: usize,
    /// As long as the output.
    residual: Option<&'a [f32]>,
    activation: Activation,
    out: &'a SharedMut<'a, f32>,
}

impl Strip<'_> {
    /// The input line `y`; `None` beyond the image.
    #[inline(always)]
    fn input_line(&self, y: isize) -> Option<&[f32]> {
        let shape = &self.op.shape;
        let y = usize::try_from(y).ok().filter(|&y| y < shape.input[1])?;
        let line_len = shape.input[2] * shape.in_channels;
        Some(&self.input.data[self.input.place(y) * line_len..][..line_len])
    }

    /// Rows of the filter at a line that lie on the image, each with its input line.
    #[inline(always)]
    fn filter_rows(&self, line: usize) -> impl Iterator<Item = (usize, &[f32])> {
        let shape = &self.op.shape;
        let top = self.top + (line * shape.stride[1]) as isize;
        (0..shape.kernel[1])
            .filter_map(move |ky| Some((ky, self.input_line(top + (ky * shape.dilation[1]) as isize)?)))
    }

    /// The input column under the filter's first column for output pixel `x`.
    #[inline(always)]
    fn left(&self, x: usize) -> isize {
        (x * self.op.shape.stride[2]) as isize - self.op.shape.pad_before[2] as isize
    }

    /// Adds the residual, applies the activation and stores `n` channels from `channel` on of the pixels from `x` on in the
    /// lines from `line` on.
    #[inline(always)]
    fn finish<S: Isa, const LINES: usize, const M: usize>(
        &self,
        isa: S,
        (line, x): (usize, usize),
        channel: usize,
        n: usize,
        mut sums: [[S::F; M]; LINES],
    ) {
        let channels = self.op.shape.out_channels;
        let line_len = self.op.output[1] * channels;
        let start = self.place + line * line_len + x * channels + channel;
        assert!(n <= S::LANES);
        self.out.check(start, (LINES - 1) * line_len + (M - 1) * channels + n);
        if let Some(residual) = self.residual {
            for (line, sums) in sums.iter_mut().enumerate() {
                for (m, sum) in sums.iter_mut().enumerate() {
                    let at = start + line * line_len + m * channels;
                    // SAFETY: checked above, the residual is as long as the output.
                    let value = unsafe { isa.load_ptr_part(residual.as_ptr().add(at), n) };
                    *sum = isa.add(*sum, value);
                }
            }
        }
        let out = self.out.as_mut_ptr().wrapping_add(start);
        if self.activation.follows() {
            for (line, sums) in sums.iter().enumerate() {
                let pixels = (0..M).map(|m| out.wrapping_add(line * line_len + m * channels));
                let mut vectors = [[isa.zero(); 1]; M];
                for (vector, &sum) in vectors.iter_mut().zip(sums) {
                    *vector = [sum];
                }
                // SAFETY: checked above, and no two strips have a value in common.
                unsafe { self.activation.follow(isa, &vectors, pixels, n) };
            }
            return;
        }
        self.activation.apply(isa, &mut sums);
        for (line, sums) in sums.iter().enumerate() {
            for (m, &sum) in sums.iter().enumerate() {
                // SAFETY: checked above, and no two strips have a value in common.
                unsafe {
                    let to = out.add(line * line_len + m * channels);
                    if n == S::LANES { isa.store_ptr(sum, to) } else { isa.store_ptr_part(sum, to, n) }
                }
            }
        }
    }
}
