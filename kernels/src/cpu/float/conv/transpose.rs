//! Transposed float convolution.
//!
//! The output pixels of one phase (their position modulo the stride) meet every stride-th tap of the filter, in
//! reverse, and neighbouring input pixels: an ordinary convolution with stride one. So a transposed convolution
//! is as many ordinary ones as the stride has phases, each writing its own output pixels.

use std::sync::Arc;

use super::conv2d::check_pixels;
use super::rows::{Access, ConvRows, Windows};
use super::shape::product;
use crate::cpu::float::epilogue::Epilogue;
use crate::cpu::float::gemm::{PackedF32, Product, product as multiply};
use crate::error::ShapeError;
use crate::packing::Packing;
use crate::par::Par;

/// Sizes of a transposed convolution of `[batch, depth, height, width, in_channels]`; two-dimensional ones have
/// depth 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TransposeConvShape {
    /// Images.
    pub batch: usize,
    /// Depth, height and width of the input.
    pub input: [usize; 3],
    /// Channels of the input.
    pub in_channels: usize,
    /// Depth, height and width of the output. The model chooses it; positions no input reaches are the bias.
    pub output: [usize; 3],
    /// Channels of the output.
    pub out_channels: usize,
    /// Depth, height and width of the filter.
    pub kernel: [usize; 3],
    /// Output steps between the places of neighbouring input pixels.
    pub stride: [usize; 3],
    /// Steps cut off before the output along each axis.
    pub pad_before: [usize; 3],
}

/// Filter and bias packed for one instruction set, a part per phase of the stride; cheap to clone and to share.
#[derive(Clone, Debug)]
pub struct TransposeConvWeightsF32 {
    /// Indexed by the first tap along each axis.
    phases: Arc<[PackedF32]>,
}

/// Taps of a phase along an axis whose first tap is `first`.
fn taps(kernel: usize, stride: usize, first: usize) -> usize {
    kernel.saturating_sub(first).div_ceil(stride)
}

/// All first taps, in the order of [`TransposeConvWeightsF32::phases`].
fn first_taps(stride: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..stride[0]).flat_map(move |z| (0..stride[1]).flat_map(move |y| (0..stride[2]).map(move |x| [z, y, x])))
}

impl TransposeConvWeightsF32 {
    /// Packs a filter `[out_channels, depth, height, width, in_channels]` (depth 1 when two-dimensional) and
    /// `bias[out_channels]`, or zeros without one. Of `shape` only kernel, stride and channels count.
    ///
    /// # Errors
    /// If a slice does not have that many values, or a stride is zero.
    pub fn new<'p>(
        packing: impl Into<Packing<'p>>,
        shape: &TransposeConvShape,
        filter: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, ShapeError> {
        let packing = packing.into();
        let TransposeConvShape { kernel, stride, in_channels, out_channels, .. } = *shape;
        ShapeError::check("filter", product(&[out_channels, product(&kernel), in_channels]), filter.len())?;
        ShapeError::check("bias", out_channels, bias.map_or(out_channels, <[f32]>::len))?;
        for stride in stride {
            ShapeError::check_at_least("stride", 1, stride)?;
        }
        let phase = |first: [usize; 3]| {
            let count: [usize; 3] =
                core::array::from_fn(|axis| taps(kernel[axis], stride[axis], first[axis]));
            PackedF32::with(packing, out_channels, product(&count) * in_channels, bias, |channel, k| {
                let (tap, c) = (k / in_channels, k % in_channels);
                let at = [tap / count[2] / count[1], tap / count[2] % count[1], tap % count[2]];
                // The last tap of the phase comes first.
                let [z, y, x]: [usize; 3] =
                    core::array::from_fn(|axis| first[axis] + (count[axis] - 1 - at[axis]) * stride[axis]);
                filter[(((channel * kernel[0] + z) * kernel[1] + y) * kernel[2] + x) * in_channels + c]
            })
        };
        Ok(Self { phases: first_taps(stride).map(phase).collect() })
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        self.phases.iter().map(PackedF32::bytes).sum()
    }
}

/// A transposed float convolution of fixed sizes, ready to run.
#[derive(Clone, Debug)]
pub struct TransposeConvF32 {
    shape: TransposeConvShape,
    /// Values from a pixel of the output to the next.
    pixel_step: usize,
    weights: TransposeConvWeightsF32,
    /// Windows of each phase that has output pixels, and which weights it takes.
    phases: Vec<(Windows, usize)>,
    zeros: Vec<f32>,
}

impl TransposeConvF32 {
    /// Prepares a transposed convolution.
    ///
    /// # Errors
    /// If the weights were packed for another kernel, stride or other channels.
    pub fn new(shape: TransposeConvShape, weights: TransposeConvWeightsF32) -> Result<Self, ShapeError> {
        ShapeError::check("phases of the weights", product(&shape.stride), weights.phases.len())?;
        let mut phases = Vec::new();
        for out_first in first_taps(shape.stride) {
            let padded: [usize; 3] = core::array::from_fn(|axis| out_first[axis] + shape.pad_before[axis]);
            let first: [usize; 3] = core::array::from_fn(|axis| padded[axis] % shape.stride[axis]);
            let kernel: [usize; 3] =
                core::array::from_fn(|axis| taps(shape.kernel[axis], shape.stride[axis], first[axis]));
            let index = (first[0] * shape.stride[1] + first[1]) * shape.stride[2] + first[2];
            let packed = &weights.phases[index];
            ShapeError::check(
                "weights of an output channel",
                product(&kernel) * shape.in_channels,
                packed.k(),
            )?;
            ShapeError::check("output channels of the weights", shape.out_channels, packed.n())?;
            let count: [usize; 3] = core::array::from_fn(|axis| {
                shape.output[axis].saturating_sub(out_first[axis]).div_ceil(shape.stride[axis])
            });
            let start: [isize; 3] = core::array::from_fn(|axis| {
                (padded[axis] / shape.stride[axis]) as isize - kernel[axis] as isize + 1
            });
            let windows = Windows {
                input: shape.input,
                in_channels: shape.in_channels,
                depth: shape.in_channels,
                kernel,
                stride: [1; 3],
                dilation: [1; 3],
                start,
                count,
                output: shape.output,
                out_first,
                out_step: shape.stride,
                out_channels: shape.out_channels,
                access: Access::choose(kernel, [1; 3], shape.in_channels, 1),
            };
            phases.push((windows, index));
        }
        let padding = phases.iter().map(|(windows, _)| windows.padding_len()).max().unwrap_or(0);
        Ok(Self { shape, pixel_step: shape.out_channels, weights, phases, zeros: vec![0.0; padding] })
    }

    /// Writes pixels that many values apart, and nothing between them.
    ///
    /// # Errors
    /// If that is less than the output's channels.
    pub fn spaced(mut self, pixel_step: usize) -> Result<Self, ShapeError> {
        ShapeError::check_at_least("step between pixels", self.shape.out_channels, pixel_step)?;
        self.pixel_step = pixel_step;
        self.phases.iter_mut().for_each(|(windows, _)| windows.out_channels = pixel_step);
        Ok(self)
    }

    /// The kernel's name, e.g. `f32_transpose_conv_6x16_avx2`.
    pub fn name(&self) -> String {
        let gemm = self.weights.phases.first().map_or_else(String::new, PackedF32::name);
        gemm.replacen("gemm", "transpose_conv", 1)
    }

    /// Bytes of scratch that let [`TransposeConvF32::run`] use all threads of `par`.
    pub fn scratch_bytes(&self, par: Par) -> usize {
        let most = self.phases.iter().map(|(windows, _)| windows.scratch_len()).max().unwrap_or(0);
        par.scratch_len(most) * size_of::<f32>()
    }

    /// Computes `out` (`[batch, output, out_channels]`, or as [`TransposeConvF32::spaced`] says) from `input` (`[batch, input, in_channels]`). With less
    /// scratch than [`TransposeConvF32::scratch_bytes`] fewer threads run.
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
        let shape = &self.shape;
        ShapeError::check(
            "input",
            product(&[shape.batch, product(&shape.input), shape.in_channels]),
            input.len(),
        )?;
        let pixels = product(&[shape.batch, product(&shape.output)]);
        check_pixels(pixels, shape.out_channels, self.pixel_step, out.len())?;
        for &(windows, index) in &self.phases {
            let weights = &self.weights.phases[index];
            let source = ConvRows { windows, input, padding: &self.zeros };
            let rows = shape.batch * windows.per_image();
            let product =
                Product { source: &source, rows, weights: weights.panels(), column: 0, epilogue: *epilogue };
            multiply(weights.cpu(), &product, out, scratch, par)?;
        }
        Ok(())
    }
}
