//! Float convolutions in two and three dimensions.

use core::ops::Range;
use std::sync::Arc;

use super::rows::{Access, ConvRows, Windows};
use super::shape::{ConvShape, product};
use crate::cpu::float::epilogue::Epilogue;
use crate::cpu::float::gemm::{Gated, MAX_ROWS, PackedF32, Product, RowSource, Strided, product as multiply};
use crate::cpu::float::stored::StoredFloats;
use crate::error::ShapeError;
use crate::packing::Packing;
use crate::par::Par;

/// Filter and bias packed for one instruction set; independent of the image size, cheap to clone and to share.
#[derive(Clone, Debug)]
pub struct ConvWeightsF32 {
    groups: Arc<[PackedF32]>,
}

impl ConvWeightsF32 {
    /// Packs a filter `[out_channels, depth, height, width, in_channels / groups]` (depth 1 when
    /// two-dimensional) and `bias[out_channels]`, or zeros without one. Of `shape` only kernel, channels and
    /// groups count.
    ///
    /// # Errors
    /// If a slice does not have that many values, or channels do not divide into groups.
    pub fn new<'a, 'p>(
        packing: impl Into<Packing<'p>>,
        shape: &ConvShape,
        filter: impl Into<StoredFloats<'a>>,
        bias: Option<&[f32]>,
    ) -> Result<Self, ShapeError> {
        let (packing, filter) = (packing.into(), filter.into());
        Self::pack(shape, filter.len(), bias, |channels, k, bias| {
            let filter = filter.part(channels.start * k..channels.end * k);
            PackedF32::from_rows(packing, channels.len(), k, bias, filter)
        })
    }

    /// As [`ConvWeightsF32::new`], with a filter `[depth, height, width, in_channels / groups, out_channels]`.
    ///
    /// # Errors
    /// As [`ConvWeightsF32::new`].
    pub fn from_channels_last<'p>(
        packing: impl Into<Packing<'p>>,
        shape: &ConvShape,
        filter: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, ShapeError> {
        let packing = packing.into();
        Self::pack(shape, filter.len(), bias, |channels, k, bias| {
            let weight = |channel, at| filter[at * shape.out_channels + channels.start + channel];
            PackedF32::with(packing, channels.len(), k, bias, weight)
        })
    }

    /// Checks sizes and packs group by group: `pack` gets the group's output channels, the weights of one, and biases.
    fn pack(
        shape: &ConvShape,
        filter_len: usize,
        bias: Option<&[f32]>,
        pack: impl Fn(Range<usize>, usize, Option<&[f32]>) -> PackedF32,
    ) -> Result<Self, ShapeError> {
        shape.output()?;
        let depth = shape.in_channels / shape.groups;
        let per_group = shape.out_channels / shape.groups;
        let k = shape.taps().saturating_mul(depth);
        ShapeError::check("filter", shape.out_channels.saturating_mul(k), filter_len)?;
        ShapeError::check("bias", shape.out_channels, bias.map_or(shape.out_channels, <[f32]>::len))?;
        let group = |group: usize| {
            let channels = group * per_group..(group + 1) * per_group;
            pack(channels.clone(), k, bias.map(|bias| &bias[channels]))
        };
        Ok(Self { groups: (0..shape.groups).map(group).collect() })
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        self.groups.iter().map(PackedF32::bytes).sum()
    }
}

/// A float convolution of fixed sizes, ready to run.
#[derive(Clone, Debug)]
pub struct ConvF32 {
    shape: ConvShape,
    output: [usize; 3],
    /// Values from a pixel of the output to the next.
    pixel_step: usize,
    weights: ConvWeightsF32,
    windows: Windows,
    zeros: Vec<f32>,
    pointwise: bool,
    /// Whether pixels are multiplied by a gate.
    gated: bool,
    /// The input with its padding, where it is copied before windows are read out of it.
    padded: Option<Padded>,
}

/// An image with zeros around it.
#[derive(Copy, Clone, Debug)]
struct Padded {
    /// Depth, height and width with padding.
    size: [usize; 3],
    /// Where the image begins.
    first: [usize; 3],
}

impl Padded {
    /// The padding of `windows`, if copying the image costs no more than copying each window that hangs over an edge and
    /// looking for edges under each tile.
    fn worth(windows: &Windows) -> Option<Self> {
        // Cycles, roughly: of a piece that is copied or looked for, of a line, and values copied in one.
        const COPY: usize = 24;
        const LOOK: usize = 12;
        const LINE: usize = 16;
        const VALUES: usize = 8;
        let hanging = windows.hanging();
        if windows.access != Access::Lines || hanging == 0 {
            return None;
        }
        let size = windows.covered();
        let first = windows.start.map(|start| usize::try_from(-start).ok());
        let [Some(plane), Some(line), Some(column)] = first else { return None };
        let padded = Self { size, first: [plane, line, column] };
        let filter_rows = windows.kernel[0] * windows.kernel[1];
        let tiles = windows.per_image() / MAX_ROWS;
        let spared = product(&[hanging, filter_rows, COPY])
            .saturating_add(product(&[hanging, windows.window_len()]) / VALUES)
            .saturating_add(product(&[tiles, filter_rows, LOOK]));
        // Each value is cleared, then copied.
        let cost = product(&[size[0], size[1], LINE])
            .saturating_add(product(&[2, padded.len(windows.in_channels)]) / VALUES);
        (cost <= spared).then_some(padded)
    }

    fn len(&self, channels: usize) -> usize {
        product(&[product(&self.size), channels])
    }

    /// The windows over the padded image.
    fn windows(&self, windows: Windows) -> Windows {
        Windows { input: self.size, start: [0; 3], ..windows }
    }

    /// Copies images of `size` pixels one after another.
    fn fill(&self, from: &[f32], size: [usize; 3], channels: usize, to: &mut [f32]) {
        to.fill(0.0);
        let (line, padded_line) = (size[2] * channels, self.size[2] * channels);
        let images = from.chunks_exact((size[0] * size[1] * line).max(1));
        for (from, to) in images.zip(to.chunks_exact_mut(self.len(channels).max(1))) {
            for (at, from) in from.chunks_exact(line.max(1)).enumerate() {
                let (plane, y) = (at / size[1] + self.first[0], at % size[1] + self.first[1]);
                let start = (plane * self.size[1] + y) * padded_line + self.first[2] * channels;
                // What no window covers may lie beyond the last line or column.
                if plane < self.size[0] && y < self.size[1] {
                    let len = line.min(padded_line - self.first[2] * channels);
                    to[start..start + len].copy_from_slice(&from[..len]);
                }
            }
        }
    }
}

impl ConvF32 {
    /// Prepares a convolution.
    ///
    /// # Errors
    /// If the weights were packed for another kernel or other channels, or the shape is inconsistent.
    pub fn new(shape: ConvShape, weights: ConvWeightsF32) -> Result<Self, ShapeError> {
        let output = shape.output()?;
        let depth = shape.in_channels / shape.groups;
        ShapeError::check("groups of the weights", shape.groups, weights.groups.len())?;
        for group in weights.groups.iter() {
            ShapeError::check("weights of an output channel", shape.taps().saturating_mul(depth), group.k())?;
            ShapeError::check("output channels of a group", shape.out_channels / shape.groups, group.n())?;
        }
        let windows = Windows {
            input: shape.input,
            in_channels: shape.in_channels,
            depth,
            kernel: shape.kernel,
            stride: shape.stride,
            dilation: shape.dilation,
            start: shape.pad_before.map(|pad| -(pad as isize)),
            count: output,
            output,
            out_first: [0; 3],
            out_step: [1; 3],
            out_channels: shape.out_channels,
            access: Access::choose(shape.kernel, shape.dilation, depth, shape.groups),
        };
        let pads = shape.pad_before.iter().chain(&shape.pad_after);
        let pointwise =
            shape.kernel == [1; 3] && shape.stride == [1; 3] && pads.into_iter().all(|&pad| pad == 0);
        let padded = Padded::worth(&windows);
        let windows = padded.map_or(windows, |padded| padded.windows(windows));
        Ok(Self {
            shape,
            output,
            pixel_step: shape.out_channels,
            weights,
            zeros: vec![0.0; windows.padding_len()],
            windows,
            pointwise,
            gated: false,
            padded,
        })
    }

    /// Writes pixels that many values apart, and nothing between them.
    ///
    /// # Errors
    /// If that is less than the output's channels.
    pub fn spaced(mut self, pixel_step: usize) -> Result<Self, ShapeError> {
        ShapeError::check_at_least("step between pixels", self.shape.out_channels, pixel_step)?;
        self.pixel_step = pixel_step;
        self.windows.out_channels = pixel_step;
        Ok(self)
    }

    /// Has the input multiplied by gates while it is read: [`ConvF32::run_gated`] is the one to run.
    ///
    /// # Errors
    /// If the windows are anything but the pixels of the input.
    pub fn gated(mut self) -> Result<Self, ShapeError> {
        ShapeError::check("gated windows of single pixels", 1, usize::from(self.pointwise))?;
        self.gated = true;
        Ok(self)
    }

    /// Depth, height and width of the output.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// Its sizes, and its weights if it is one product of dense rows: a pixel of the input times the weights is one of the
    /// output.
    pub(super) fn as_product(&self) -> (&ConvShape, Option<&PackedF32>) {
        let dense = self.pointwise && !self.gated && self.pixel_step == self.shape.out_channels;
        let weights = match &*self.weights.groups {
            [weights] if dense => Some(weights),
            _ => None,
        };
        (&self.shape, weights)
    }

    /// The kernel's name, e.g. `f32_conv_6x16_avx2`; `f32_gemm_6x16_avx2` when the convolution is a product and
    /// `f32_gated_gemm_6x16_avx2` when it has gates.
    pub fn name(&self) -> String {
        let gemm = self.weights.groups.first().map_or_else(String::new, PackedF32::name);
        match (self.pointwise, self.gated) {
            (true, false) => gemm,
            (true, true) => gemm.replacen("gemm", "gated_gemm", 1),
            (false, _) => gemm.replacen("gemm", "conv", 1),
        }
    }

    /// Bytes of scratch that let [`ConvF32::run`] use all threads of `par`.
    pub fn scratch_bytes(&self, par: Par) -> usize {
        if self.pointwise && !self.gated {
            return 0;
        }
        let row_scratch =
            if self.gated { Gated::scratch_len_of(self.windows.depth) } else { self.windows.scratch_len() };
        let windows = par.scratch_len(row_scratch);
        windows.saturating_add(self.padded_len()).saturating_mul(size_of::<f32>())
    }

    /// Floats of all padded images.
    fn padded_len(&self) -> usize {
        self.padded.map_or(0, |padded| padded.len(self.shape.in_channels).saturating_mul(self.shape.batch))
    }

    /// Convolves `input` (`[batch, depth, height, width, in_channels]`) into `out` (`[batch, output,
    /// out_channels]`, or as [`ConvF32::spaced`] says, up to the last pixel at least). With less scratch than [`ConvF32::scratch_bytes`] fewer threads run.
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
        self.run_with(input, None, out, scratch, epilogue, par)
    }

    /// As [`ConvF32::run`] with each value of the input times that of its channel in `gates` (`[batch, in_channels]`, or
    /// `[in_channels]` for all images), for which [`ConvF32::gated`] makes room.
    ///
    /// # Errors
    /// As [`ConvF32::run`], or if there are neither as many gates as images nor one.
    pub fn run_gated(
        &self,
        input: &[f32],
        gates: &[f32],
        out: &mut [f32],
        scratch: &mut [f32],
        epilogue: &Epilogue<'_>,
        par: Par,
    ) -> Result<(), ShapeError> {
        let ConvShape { batch, in_channels, .. } = self.shape;
        ShapeError::check("gated windows of single pixels", 1, usize::from(self.pointwise))?;
        if gates.len() != in_channels {
            ShapeError::check("gates", product(&[batch, in_channels]), gates.len())?;
        }
        self.run_with(input, Some(gates), out, scratch, epilogue, par)
    }

    fn run_with(
        &self,
        input: &[f32],
        gates: Option<&[f32]>,
        out: &mut [f32],
        scratch: &mut [f32],
        epilogue: &Epilogue<'_>,
        par: Par,
    ) -> Result<(), ShapeError> {
        let shape = &self.shape;
        let pixels = product(&[shape.batch, product(&self.output)]);
        ShapeError::check(
            "input",
            product(&[shape.batch, product(&shape.input), shape.in_channels]),
            input.len(),
        )?;
        check_pixels(pixels, shape.out_channels, self.pixel_step, out.len())?;
        let depth = shape.in_channels / shape.groups;
        let padded_len = self.padded_len();
        ShapeError::check_at_least("scratch", padded_len, scratch.len())?;
        let (padded, scratch) = scratch.split_at_mut(padded_len);
        let mut input = input;
        if let Some(padding) = &self.padded {
            padding.fill(input, shape.input, shape.in_channels, padded);
            input = padded;
        }
        for (group, weights) in self.weights.groups.iter().enumerate() {
            // An empty input has no group to start in.
            let input = input.get(group * depth..).unwrap_or_default();
            let pointwise = || Strided { a: input, lda: shape.in_channels, ldc: self.pixel_step, k: depth };
            let source: &dyn RowSource<f32> = match gates {
                Some(gates) => &Gated {
                    cpu: weights.cpu(),
                    rows: pointwise(),
                    gates: gates.get(group * depth..).unwrap_or_default(),
                    step: shape.in_channels,
                    rows_per_gate: if gates.len() == shape.in_channels {
                        pixels
                    } else {
                        pixels / shape.batch.max(1)
                    },
                },
                None if self.pointwise => &pointwise(),
                None => &ConvRows { windows: self.windows, input, padding: &self.zeros },
            };
            let column = group * weights.n();
            let product =
                Product { source, rows: pixels, weights: weights.panels(), column, epilogue: *epilogue };
            multiply(weights.cpu(), &product, out, scratch, par)?;
        }
        Ok(())
    }
}

/// Checks the length of an output whose pixels of `channels` values are `step` apart: exactly theirs if they are dense.
pub(super) fn check_pixels(
    pixels: usize,
    channels: usize,
    step: usize,
    len: usize,
) -> Result<(), ShapeError> {
    if step == channels {
        return ShapeError::check("output", pixels.saturating_mul(channels), len);
    }
    let before_last = pixels.saturating_sub(1).saturating_mul(step);
    ShapeError::check_at_least(
        "output",
        if pixels == 0 { 0 } else { before_last.saturating_add(channels) },
        len,
    )
}
