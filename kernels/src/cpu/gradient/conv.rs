//! The gradient of a convolution's input: the product of the output's gradient and the filter, each row of which is added
//! where its window lies. Sizes, for the filter's gradient too.

use super::activation::add;
use crate::cpu::float::conv::ConvShape;
use crate::cpu::float::epilogue::{Activation, Epilogue};
use crate::cpu::float::gemm::{Layout, Panels, Product, Strided, pack_at_run_time, product};
use crate::error::ShapeError;
use crate::isa::Cpu;
use crate::par::Par;

/// Output positions whose windows are computed before they are added.
const POSITIONS: usize = 512;

/// What both gradients know of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) shape: ConvShape,
    pub(super) output: [usize; 3],
    pub(super) in_group: usize,
    pub(super) out_group: usize,
}

impl Geometry {
    pub(super) fn new(shape: ConvShape) -> Result<Self, ShapeError> {
        let output = shape.output()?;
        Ok(Self {
            shape,
            output,
            in_group: shape.in_channels / shape.groups,
            out_group: shape.out_channels / shape.groups,
        })
    }

    /// Output positions of one image.
    fn pixels(&self) -> usize {
        self.output.iter().product()
    }

    /// Rows of the filter as a matrix `[taps * in_group, out_channels]`.
    fn filter_rows(&self) -> usize {
        self.shape.taps() * self.in_group
    }

    pub(super) fn input_len(&self) -> usize {
        self.shape.input.iter().product::<usize>() * self.shape.in_channels
    }

    /// The place in one image's input under tap `tap` of output position `pixel`, counted in pixels; `None` for padding.
    #[inline(always)]
    fn under(&self, pixel: usize, tap: usize) -> Option<usize> {
        let [_, oh, ow] = self.output;
        let [_, kh, kw] = self.shape.kernel;
        let out = [pixel / ow / oh, pixel / ow % oh, pixel % ow];
        let taps = [tap / kw / kh, tap / kw % kh, tap % kw];
        let mut place = 0;
        for axis in 0..3 {
            let padded = out[axis] * self.shape.stride[axis] + taps[axis] * self.shape.dilation[axis];
            let at = padded.checked_sub(self.shape.pad_before[axis])?;
            if at >= self.shape.input[axis] {
                return None;
            }
            place = place * self.shape.input[axis] + at;
        }
        Some(place)
    }

    pub(super) fn check(&self, input: usize, filter: usize, gradient: usize) -> Result<(), ShapeError> {
        let ConvShape { batch, out_channels, .. } = self.shape;
        ShapeError::check("input", batch * self.input_len(), input)?;
        ShapeError::check("filter", self.filter_rows() * out_channels, filter)?;
        ShapeError::check("gradient of the output", batch * self.pixels() * out_channels, gradient)
    }
}

/// The gradient of a convolution's input.
#[derive(Clone, Debug)]
pub struct ConvInputGrad {
    cpu: Cpu,
    geometry: Geometry,
}

impl ConvInputGrad {
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

    fn layout(&self) -> Layout {
        Layout::new(self.cpu, self.geometry.filter_rows(), self.geometry.out_group)
    }

    fn parts(&self) -> [usize; 3] {
        let g = &self.geometry;
        [
            g.out_group * g.filter_rows(),
            self.layout().len() * g.shape.groups,
            g.pixels().min(POSITIONS) * g.filter_rows(),
        ]
    }

    /// Floats of scratch that [`ConvInputGrad::run`] needs.
    pub fn scratch_len(&self) -> usize {
        self.parts().iter().fold(0, |sum: usize, part| sum.saturating_add(*part))
    }

    /// Computes the gradient from the filter `[depth, height, width, in_channels / groups, out_channels]` and the gradient
    /// of the output, channels-last.
    ///
    /// # Errors
    /// If a slice does not have the convolution's size.
    pub fn run(
        &self,
        filter: &[f32],
        gradient: &[f32],
        input: &mut [f32],
        scratch: &mut [f32],
        par: Par,
    ) -> Result<(), ShapeError> {
        let g = &self.geometry;
        g.check(input.len(), filter.len(), gradient.len())?;
        ShapeError::check_at_least("scratch", self.scratch_len(), scratch.len())?;
        let [columns, packed, _] = self.parts();
        let (columns, scratch) = scratch.split_at_mut(columns);
        let (packed, windows) = scratch.split_at_mut(packed);
        let layout = self.layout();
        for (group, packed) in packed.chunks_exact_mut(layout.len().max(1)).enumerate() {
            for (to, from) in columns
                .chunks_exact_mut(g.out_group.max(1))
                .zip(filter.chunks_exact(g.shape.out_channels.max(1)))
            {
                to.copy_from_slice(&from[group * g.out_group..][..g.out_group]);
            }
            pack_at_run_time(layout, columns, g.out_group, true, packed, par);
        }
        input.fill(0.0);
        let (pixels, channels) = (g.pixels(), g.shape.out_channels);
        for (image, input) in input.chunks_exact_mut(g.input_len().max(1)).enumerate() {
            for first in (0..pixels).step_by(POSITIONS) {
                let count = POSITIONS.min(pixels - first);
                let rows = &gradient[(image * pixels + first) * channels..][..count * channels];
                for group in 0..g.shape.groups {
                    let windows = &mut windows[..count * g.filter_rows()];
                    let a = &rows[group * g.out_group..];
                    let source = Strided { a, lda: channels, ldc: g.filter_rows(), k: g.out_group };
                    let weights = Panels::new(layout, &packed[group * layout.len()..][..layout.len()]);
                    let epilogue = Epilogue::new(Activation::None);
                    let work = Product { source: &source, rows: count, weights, column: 0, epilogue };
                    product(self.cpu, &work, windows, &mut [], par)?;
                    self.scatter(windows, first, group, input);
                }
            }
        }
        Ok(())
    }

    /// Adds windows where they lie in the input.
    fn scatter(&self, windows: &[f32], first: usize, group: usize, input: &mut [f32]) {
        let g = &self.geometry;
        for (pixel, window) in windows.chunks_exact(g.filter_rows().max(1)).enumerate() {
            for (tap, values) in window.chunks_exact(g.in_group.max(1)).enumerate() {
                if let Some(place) = g.under(first + pixel, tap) {
                    let start = place * g.shape.in_channels + group * g.in_group;
                    add(values, &mut input[start..start + g.in_group]);
                }
            }
        }
    }
}
