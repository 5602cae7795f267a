//! A pointwise convolution together with the depthwise one that alone reads its result.
//!
//! The image in between, in mobile networks several times as large as what it is computed from, never exists as a whole: each
//! thread keeps as many of its lines as fit the second-level cache in a ring, computes those that the next lines of output
//! need and lacks, and goes on.

use core::ops::Range;

use super::{DepthwiseF32, ImageLines, LINES, Strip};
use crate::cpu::float::conv::conv2d::ConvF32;
use crate::cpu::float::conv::shape::{ConvShape, product};
use crate::cpu::float::epilogue::{Activation, Epilogue};
use crate::cpu::float::gemm::{PackedF32, Product, Strided, product as multiply};
use crate::error::ShapeError;
use crate::par::{Par, SharedMut};

/// Bytes of the lines that a thread keeps: they stay in the second-level cache beside the weights and what is read and written.
const RING: usize = 512 << 10;
/// Bytes of an image for each thread from which on it would leave the second-level cache.
const TOO_LARGE: usize = 1 << 20;
/// Stretches of output lines for each thread, so that threads end at about the same time.
const STRETCHES_FOR_A_THREAD: usize = 2;
/// Output lines of a stretch to those input lines that its neighbour computes too.
const LINES_FOR_A_SHARED_ONE: usize = 6;

/// `depthwise(activation(pointwise(x)))`, ready to run; its bits are those of the two run one after the other.
#[derive(Clone, Debug)]
pub struct ExpandedF32 {
    weights: PackedF32,
    activation: Activation,
    depthwise: DepthwiseF32,
    /// Output lines computed at once.
    strip: usize,
    /// Lines of the image in between that a thread keeps.
    ring: usize,
}

impl ExpandedF32 {
    /// Puts `expansion`, followed by `activation`, before `depthwise`.
    ///
    /// # Errors
    /// If `expansion` is not pointwise with one group and dense pixels, or its output not the input of `depthwise`.
    pub fn new(
        expansion: &ConvF32,
        activation: Activation,
        depthwise: DepthwiseF32,
    ) -> Result<Self, ShapeError> {
        Self::with_ring(expansion, activation, depthwise, RING)
    }

    /// As [`ExpandedF32::new`] with rings of about `bytes` bytes.
    fn with_ring(
        expansion: &ConvF32,
        activation: Activation,
        depthwise: DepthwiseF32,
        bytes: usize,
    ) -> Result<Self, ShapeError> {
        let ((from, weights), to) = (expansion.as_product(), &depthwise.shape);
        let weights =
            weights.cloned().ok_or(ShapeError::new("dense products that the expansion is", 1, 0))?;
        ShapeError::check("images", from.batch, to.batch)?;
        ShapeError::check("height", from.input[1], to.input[1])?;
        ShapeError::check("width", from.input[2], to.input[2])?;
        ShapeError::check("depth", from.input[0], to.input[0])?;
        ShapeError::check("channels", from.out_channels, to.in_channels)?;
        let at_once = depthwise.lines_at_once();
        let room = bytes / line_bytes(to).max(1);
        let fit = room.checked_sub(reach(to)).map_or(0, |room| room / to.stride[1] + 1);
        let strip = (fit / at_once).max(1).saturating_mul(at_once).min(depthwise.output[0]).max(1);
        let ring = span(to, strip).min(to.input[1]).max(1);
        Ok(Self { weights, activation, depthwise, strip, ring })
    }

    /// Whether computing both at once on `threads` threads is faster than one after the other: `depthwise` is the second one's
    /// shape.
    #[must_use]
    pub fn pays(depthwise: &ConvShape, threads: usize) -> bool {
        let Ok([_, height, _]) = depthwise.output() else { return false };
        let threads = threads.max(1);
        let image = product(&[line_bytes(depthwise), depthwise.input[1], depthwise.batch]);
        let stretch = product(&[height, depthwise.batch]) / (threads.saturating_mul(STRETCHES_FOR_A_THREAD));
        let shared = reach(depthwise).saturating_sub(depthwise.stride[1]);
        height > 0
            && image / threads > TOO_LARGE
            && product(&[span(depthwise, LINES), line_bytes(depthwise)]) <= TOO_LARGE
            && (threads == 1 || stretch * depthwise.stride[1] >= shared * LINES_FOR_A_SHARED_ONE)
    }

    /// The kernel's name, e.g. `f32_gemm_6x16_depthwise_3x3s1_avx2`.
    pub fn name(&self) -> String {
        let (product, depthwise) = (self.weights.name(), self.depthwise.name());
        let cpu = format!("_{}", self.weights.cpu().name());
        let product = product.strip_suffix(&cpu).unwrap_or(&product);
        format!("{product}_{}", depthwise.strip_prefix("f32_").unwrap_or(&depthwise))
    }

    /// Bytes of scratch that let [`ExpandedF32::run`] use all threads of `par`.
    pub fn scratch_bytes(&self, par: Par) -> usize {
        product(&[self.ring_len(), par.threads(), size_of::<f32>()])
    }

    /// Floats of a ring.
    fn ring_len(&self) -> usize {
        self.ring.saturating_mul(self.line_len())
    }

    /// Floats of a line of the image in between.
    fn line_len(&self) -> usize {
        let shape = &self.depthwise.shape;
        product(&[shape.input[2], shape.in_channels])
    }

    /// Convolves `input` (`[batch, height, width, in_channels]` of the pointwise convolution) into `out` (`[batch, output,
    /// out_channels]` of the depthwise one); `epilogue` follows the latter. With less scratch than
    /// [`ExpandedF32::scratch_bytes`] fewer threads run.
    ///
    /// # Errors
    /// If a slice has another size, or the scratch buffer no room for one thread.
    pub fn run(
        &self,
        input: &[f32],
        out: &mut [f32],
        scratch: &mut [f32],
        epilogue: &Epilogue<'_>,
        par: Par,
    ) -> Result<(), ShapeError> {
        let shape = &self.depthwise.shape;
        let [height, width] = self.depthwise.output;
        let pixels = product(&[shape.batch, product(&shape.input)]);
        ShapeError::check("input", pixels.saturating_mul(self.weights.k()), input.len())?;
        ShapeError::check("output", product(&[shape.batch, height, width, shape.out_channels]), out.len())?;
        if let Some(residual) = epilogue.residual {
            ShapeError::check("residual", out.len(), residual.len())?;
        }
        ShapeError::check_at_least("scratch", self.ring_len(), scratch.len())?;
        if out.is_empty() {
            return Ok(());
        }
        let (lines, at_once) = (shape.batch * height, self.depthwise.lines_at_once());
        let stretches = if par.threads() > 1 { par.threads() * STRETCHES_FOR_A_THREAD } else { 1 };
        let stretches = stretches.min(lines.div_ceil(at_once));
        // Lines that are computed together stay together.
        let start = |stretch: usize| (stretch * lines / stretches).next_multiple_of(at_once).min(lines);
        let run = Run { op: self, input, out: &SharedMut::new(out), epilogue };
        par.for_each_tile_with(stretches, scratch, self.ring_len(), |stretch, ring| {
            let mut line = start(stretch);
            let end = start(stretch + 1);
            while line < end {
                let (image, first) = (line / height, line % height);
                let last = height.min(first + end - line);
                run.lines(image, first..last, ring);
                line += last - first;
            }
        });
        Ok(())
    }
}

/// Operands of a run.
struct Run<'a> {
    op: &'a ExpandedF32,
    input: &'a [f32],
    out: &'a SharedMut<'a, f32>,
    epilogue: &'a Epilogue<'a>,
}

impl Run<'_> {
    /// Computes neighbouring output lines of an image.
    fn lines(&self, image: usize, lines: Range<usize>, ring: &mut [f32]) {
        let Self { op, out, epilogue, .. } = self;
        let depthwise = &op.depthwise;
        let shape = &depthwise.shape;
        let line_len = depthwise.output[1] * shape.out_channels;
        let height = shape.input[1];
        let on_image = |y: isize| usize::try_from(y).map_or(0, |y| y.min(height));
        let mut computed = 0;
        for y in lines.clone().step_by(op.strip) {
            let count = op.strip.min(lines.end - y);
            let top = depthwise.top(y);
            let (from, to) = (on_image(top), on_image(top + span(shape, count) as isize));
            self.expand(image, computed.max(from)..to, ring);
            computed = to;
            for chunk in 0..depthwise.chunks() {
                depthwise.compute(Strip {
                    op: depthwise,
                    input: ImageLines::in_ring(ring, op.ring, from),
                    top,
                    lines: count,
                    blocks: depthwise.chunk(chunk),
                    place: (image * depthwise.output[0] + y) * line_len,
                    residual: epilogue.residual,
                    activation: epilogue.activation,
                    out,
                });
            }
        }
    }

    /// Computes lines of the image in between to their places in the ring, which has room for them.
    fn expand(&self, image: usize, lines: Range<usize>, ring: &mut [f32]) {
        let op = self.op;
        let ([_, height, width], k) = (op.depthwise.shape.input, op.weights.k());
        let mut first = lines.start;
        while first < lines.end {
            let place = first % op.ring;
            let count = (op.ring - place).min(lines.end - first);
            let rows = (image * height + first) * width;
            let source =
                Strided { a: &self.input[rows * k..][..count * width * k], lda: k, ldc: op.weights.n(), k };
            let product = Product {
                source: &source,
                rows: count * width,
                weights: op.weights.panels(),
                column: 0,
                epilogue: Epilogue::new(op.activation),
            };
            let to = &mut ring[place * op.line_len()..][..count * op.line_len()];
            // Only residuals and scratch could have a wrong size, and there are none.
            multiply(op.weights.cpu(), &product, to, &mut [], Par::serial())
                .unwrap_or_else(|error| unreachable!("{error}"));
            first += count;
        }
    }
}

/// Bytes of a line that a depthwise convolution reads.
fn line_bytes(depthwise: &ConvShape) -> usize {
    product(&[depthwise.input[2], depthwise.in_channels, size_of::<f32>()])
}

/// Input lines from the first to the last under the filter.
fn reach(depthwise: &ConvShape) -> usize {
    depthwise.kernel[1].saturating_sub(1).saturating_mul(depthwise.dilation[1]).saturating_add(1)
}

/// Input lines from the first to the last under the filter at `lines` neighbouring output lines.
fn span(depthwise: &ConvShape, lines: usize) -> usize {
    lines.saturating_sub(1).saturating_mul(depthwise.stride[1]).saturating_add(reach(depthwise))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::float::conv::tests::{depthwise_cases, len};
    use crate::cpu::float::conv::{ConvWeightsF32, DepthwiseWeightsF32};
    use crate::isa::Cpu;
    use crate::testing::{ACTIVATIONS, noise};

    const IN_CHANNELS: usize = 5;

    fn pointwise(depthwise: &ConvShape) -> ConvShape {
        let [_, height, width] = depthwise.input;
        ConvShape::conv2d(depthwise.batch, [height, width], IN_CHANNELS, depthwise.in_channels, [1, 1])
    }

    fn parts(cpu: Cpu, shape: ConvShape) -> (ConvF32, DepthwiseF32) {
        let first = pointwise(&shape);
        let filter = noise(first.out_channels * IN_CHANNELS, 2);
        let bias = noise(first.out_channels, 3);
        let weights = ConvWeightsF32::new(cpu, &first, &filter, Some(&bias)).unwrap();
        let expansion = ConvF32::new(first, weights).unwrap();
        let kernel = [shape.kernel[1], shape.kernel[2]];
        let (filter, bias) = (noise(shape.taps() * shape.out_channels, 4), noise(shape.out_channels, 5));
        let weights =
            DepthwiseWeightsF32::new(cpu, kernel, shape.out_channels, &filter, Some(&bias)).unwrap();
        (expansion, DepthwiseF32::new(shape, weights).unwrap())
    }

    #[test]
    fn both_at_once_give_the_bits_of_one_after_the_other() {
        let mut wrong = Vec::new();
        for (case, (name, shape)) in depthwise_cases().into_iter().enumerate() {
            let input = noise(len(shape.batch, shape.input, IN_CHANNELS), 1);
            let activation = |i: usize| ACTIVATIONS[(case + i) % ACTIVATIONS.len()];
            let mut want = vec![f32::NAN; len(shape.batch, shape.output().unwrap(), shape.out_channels)];
            let residual = noise(want.len(), 6);
            let residual = (case % 3 == 0).then_some(&residual[..]);
            let epilogue = Epilogue { activation: activation(1), residual };
            for cpu in Cpu::all() {
                let (expansion, depthwise) = parts(cpu, shape);
                let mut image = vec![f32::NAN; len(shape.batch, shape.input, shape.in_channels)];
                expansion.run(&input, &mut image, &mut [], &activation(0).into(), Par::serial()).unwrap();
                depthwise.run(&image, &mut want, &epilogue, Par::serial()).unwrap();
                // The least ring, one of a few strips, and one with room for all lines.
                for bytes in [0, 11 * line_bytes(&shape), RING] {
                    let both =
                        ExpandedF32::with_ring(&expansion, activation(0), depthwise.clone(), bytes).unwrap();
                    for threads in [1, 2, 4] {
                        let par = Par::new(threads);
                        let mut out = vec![f32::NAN; want.len()];
                        let mut scratch = vec![f32::NAN; both.scratch_bytes(par) / 4];
                        both.run(&input, &mut out, &mut scratch, &epilogue, par).unwrap();
                        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                        if bits(&out) != bits(&want) {
                            wrong.push(format!("{name}, {}, {bytes} bytes, {threads} threads", both.name()));
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn what_does_not_fit_together_is_an_error() {
        let cpu = Cpu::detect();
        let shape = ConvShape::conv2d(2, [6, 7], 12, 12, [3, 3]).groups(12).pad([1, 1, 1, 1]);
        let (expansion, depthwise) = parts(cpu, shape);
        let none = Activation::None;
        let conv = |shape: ConvShape| {
            let filter = vec![0.0; shape.out_channels * shape.taps() * shape.in_channels / shape.groups];
            ConvF32::new(shape, ConvWeightsF32::new(cpu, &shape, &filter, None).unwrap()).unwrap()
        };
        let first = pointwise(&shape);
        let rows = [
            ("other images", conv(ConvShape { batch: 3, ..first })),
            ("another height", conv(ConvShape { input: [1, 5, 7], ..first })),
            ("another width", conv(ConvShape { input: [1, 6, 8], ..first })),
            ("another depth", conv(ConvShape { input: [2, 6, 7], ..first })),
            ("other channels", conv(ConvShape { out_channels: 13, ..first })),
            ("windows", conv(ConvShape { kernel: [1, 3, 3], ..first }.pad([1, 1, 1, 1]))),
            ("groups", conv(ConvShape { in_channels: 4, ..first }.groups(2))),
            ("spaced pixels", expansion.clone().spaced(13).unwrap()),
        ];
        for (name, expansion) in rows {
            assert!(ExpandedF32::new(&expansion, none, depthwise.clone()).is_err(), "{name}");
        }
        let both = ExpandedF32::new(&expansion, none, depthwise).unwrap();
        let scratch = both.scratch_bytes(Par::serial()) / 4;
        let run = |input: usize, out: usize, scratch: usize, residual: usize| {
            let residual = vec![0.0; residual];
            let epilogue = Epilogue { activation: none, residual: Some(&residual) };
            let (input, mut out, mut scratch) = (vec![0.0; input], vec![0.0; out], vec![0.0; scratch]);
            both.run(&input, &mut out, &mut scratch, &epilogue, Par::serial())
        };
        let (input, out) = (84 * IN_CHANNELS, 84 * 12);
        assert_eq!(run(input, out, scratch, out), Ok(()));
        assert!(run(input - 1, out, scratch, out).is_err(), "short input");
        assert!(run(input, out - 1, scratch, out).is_err(), "short output");
        assert!(run(input, out, scratch - 1, out).is_err(), "short scratch");
        assert!(run(input, out, scratch, out + 1).is_err(), "long residual");
    }

    #[test]
    fn large_images_of_enough_lines_are_worth_it() {
        let conv = |size: usize, channels: usize| {
            ConvShape::conv2d(1, [size, size], channels, channels, [3, 3]).groups(channels).pad([1, 1, 1, 1])
        };
        let low = ConvShape { input: [1, 1, 999], pad_before: [0; 3], ..conv(1, 64) };
        let rows = [
            ("the first of MobileNet V2", conv(112, 96).stride([2, 2]), 1, true),
            ("on two threads", conv(112, 96).stride([2, 2]), 2, true),
            ("a small image", conv(14, 384), 1, false),
            ("one that threads have in their caches", conv(56, 144), 2, false),
            ("few lines for a thread", conv(64, 2000), 32, false),
            ("lines too large for a cache", conv(300, 1000), 1, false),
            ("a filter that does not fit", ConvShape { batch: 9, ..low }, 1, false),
        ];
        for (name, shape, threads, want) in rows {
            assert_eq!(ExpandedF32::pays(&shape, threads), want, "{name}");
        }
    }
}
