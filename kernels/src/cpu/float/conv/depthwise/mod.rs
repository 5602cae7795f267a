//! Depthwise float convolution.
//!
//! A tile is a vector of channels times a few neighbouring output pixels of a line, or of two lines, all held in
//! registers. For square filters 3 and 5 wide at stride 1 and 2 all loops have a fixed length ([`tiled`]); every other
//! filter takes [`general`].

mod general;
mod tiled;
mod weights;

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
        let tiled = self.tiled();
        let lines = if tiled.is_some() { LINES } else { 1 };
        let blocks = self.weights.blocks();
        let per_chunk = if self.output[1] <= NARROW { NARROW_BLOCKS } else { blocks };
        // The last block may share channels with the one before, so the last chunk has no fewer blocks than others.
        let chunks = (blocks / per_chunk).max(1);
        let pairs = self.output[0].div_ceil(lines);
        let taps = shape.kernel[1] * shape.kernel[2];
        let par = if out.len().saturating_mul(taps) < WORTH_A_THREAD { Par::serial() } else { par };
        let strip_lines = lines * (pairs / (par.threads() * STRIPS_FOR_A_THREAD)).max(1);
        let strips = self.output[0].div_ceil(strip_lines);
        // Products of images this small go along channels, and so does what follows them.
        let ranges = if pairs < PAIRS_FOR_A_THREAD * par.threads() { 1 } else { par.threads() };
        let order = Bands::new(shape.batch * strips, ranges, chunks);
        let whole = SharedMut::new(out);
        par.for_each_tile(order.tiles(), |index| {
            let (band, chunk) = order.tile(index);
            let (image, y) = (band / strips, band % strips * strip_lines);
            let last = if chunk + 1 == chunks { blocks } else { (chunk + 1) * per_chunk };
            let strip = Strip {
                op: self,
                input: &input[image * image_len..][..image_len],
                top: (y * shape.stride[1]) as isize - shape.pad_before[1] as isize,
                lines: strip_lines.min(self.output[0] - y),
                blocks: chunk * per_chunk..last,
                place: (image * self.output[0] + y) * line_len,
                residual: epilogue.residual,
                activation: epilogue.activation,
                out: &whole,
            };
            let cpu = self.weights.cpu();
            match tiled {
                Some((3, 1)) => cpu.dispatch(Tiled::<'_, 3, 1>(strip)),
                Some((3, _)) => cpu.dispatch(Tiled::<'_, 3, 2>(strip)),
                Some((_, 1)) => cpu.dispatch(Tiled::<'_, 5, 1>(strip)),
                Some(_) => cpu.dispatch(Tiled::<'_, 5, 2>(strip)),
                None => cpu.dispatch(General(strip)),
            }
        });
        Ok(())
    }
}

/// Lines of output pixels to compute, one under the other, in some of their blocks of channels.
struct Strip<'a> {
    op: &'a DepthwiseF32,
    /// The image.
    input: &'a [f32],
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
    /// Rows of the filter at a line that lie on the image, each with the start of its input line.
    #[inline(always)]
    fn filter_rows(&self, line: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let shape = &self.op.shape;
        let top = self.top + (line * shape.stride[1]) as isize;
        let (dilation, height) = (shape.dilation[1], shape.input[1]);
        let line_len = shape.input[2] * shape.in_channels;
        (0..shape.kernel[1]).filter_map(move |ky| {
            let y = usize::try_from(top + (ky * dilation) as isize).ok().filter(|&y| y < height)?;
            Some((ky, y * line_len))
        })
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
