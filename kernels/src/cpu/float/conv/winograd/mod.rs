//! Convolutions of 3 x 3 with 16 products for each 2 x 2 outputs, where the sum itself has 36.
//!
//! Winograd's minimal filtering F(2x2, 3x3), as Lavin and Gray put it to use ("Fast Algorithms for Convolutional Neural
//! Networks", 2015): `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`. Its coefficients are 1 and 1/2, so that results differ from the sum's only in
//! the last bits. Larger tiles save more and round worse; they are not used.
//!
//! A block of tiles is brought to its sixteen points once; then, a panel of output channels at a time, sixteen matrix products,
//! whose results stay in the nearest cache until they are outputs.

mod block;
mod weights;

use block::Block;
pub use weights::WinogradWeightsF32;

use super::conv2d::check_pixels;
use super::shape::{ConvShape, product};
use crate::aligned::LINE;
use crate::cpu::float::epilogue::Epilogue;
use crate::cpu::float::gemm::{tile_shape, worthwhile_threads};
use crate::error::ShapeError;
use crate::isa::Cpu;
use crate::par::{Par, SharedMut};

/// Products of a tile: points where the polynomials of filter and image are evaluated, four along each axis.
const POINTS: usize = 16;
/// Outputs of a tile along an axis.
const STEP: usize = 2;
/// Tiles for each lane from which on the weights, read once for each block of them, are a small part of the work.
const LEAST_TILES_FOR_A_LANE: usize = 2;
/// Floats in a cache line.
const LINE_FLOATS: usize = LINE / size_of::<f32>();

/// A float convolution of fixed sizes, ready to run.
#[derive(Clone, Debug)]
pub struct WinogradF32 {
    shape: ConvShape,
    /// Height and width.
    output: [usize; 2],
    /// Tiles of an image, down and across.
    tiles: [usize; 2],
    /// Values from a pixel of the output to the next.
    pixel_step: usize,
    weights: WinogradWeightsF32,
    /// A pixel beyond the image.
    zeros: Vec<f32>,
}

impl WinogradF32 {
    /// Whether a convolution can be computed so, and is expected to take less time.
    #[must_use]
    pub fn pays(cpu: Cpu, shape: &ConvShape) -> bool {
        let &ConvShape { batch, in_channels, out_channels, .. } = shape;
        let Ok([1, height, width]) = shape.output() else { return false };
        let three_by_three = shape.kernel == [1, 3, 3]
            && [shape.stride, shape.dilation] == [[1; 3]; 2]
            && shape.groups == 1
            && shape.input[0] == 1;
        let whole = [in_channels, out_channels].iter().all(|channels| channels.is_multiple_of(cpu.lanes()));
        let tiles = product(&[batch, height.div_ceil(STEP), width.div_ceil(STEP)]);
        if !three_by_three || !whole || tiles < LEAST_TILES_FOR_A_LANE * cpu.lanes() {
            return false;
        }
        // Instructions on vectors: an element is read, added to others and written for each point on its way in and out.
        const IN: usize = 128;
        const OUT: usize = 96;
        let channels = product(&[in_channels, out_channels]);
        let moved = product(&[tiles, IN * in_channels + OUT * out_channels]);
        let cost = product(&[POINTS, tiles, channels]).saturating_add(moved);
        let direct = product(&[9, batch, height, width, channels]);
        // A quarter in hand for what has not been counted.
        cost <= direct / 4 * 3
    }

    /// Prepares a convolution for which it [pays](WinogradF32::pays).
    ///
    /// # Errors
    /// If it does not, or the weights were packed for other channels.
    pub fn new(shape: ConvShape, weights: WinogradWeightsF32) -> Result<Self, ShapeError> {
        ShapeError::check("convolution of 3 x 3", 1, usize::from(Self::pays(weights.cpu(), &shape)))?;
        ShapeError::check("input channels of the weights", shape.in_channels, weights.in_channels())?;
        ShapeError::check("output channels of the weights", shape.out_channels, weights.out_channels())?;
        let [_, height, width] = shape.output()?;
        Ok(Self {
            output: [height, width],
            tiles: [height.div_ceil(STEP), width.div_ceil(STEP)],
            pixel_step: shape.out_channels,
            zeros: vec![0.0; shape.in_channels],
            weights,
            shape,
        })
    }

    /// Writes pixels that many values apart, and nothing between them.
    ///
    /// # Errors
    /// If that is less than the output's channels.
    pub fn spaced(mut self, pixel_step: usize) -> Result<Self, ShapeError> {
        ShapeError::check_at_least("step between pixels", self.shape.out_channels, pixel_step)?;
        self.pixel_step = pixel_step;
        Ok(self)
    }

    /// The kernel's name, e.g. `f32_winograd_6x16_avx2`.
    pub fn name(&self) -> String {
        let (tile, cpu) = (tile_shape(self.weights.cpu()), self.weights.cpu().name());
        format!("f32_winograd_{}x{}_{cpu}", tile.rows, tile.columns)
    }

    /// Bytes of scratch that let [`WinogradF32::run`] use all threads of `par`.
    pub fn scratch_bytes(&self, par: Par) -> usize {
        par.scratch_len(self.scratch_len(self.most_tiles())).saturating_mul(size_of::<f32>())
    }

    /// The most tiles of a block: what leaves room for weights in the second-level cache.
    fn most_tiles(&self) -> usize {
        let tile = tile_shape(self.weights.cpu());
        let bytes: usize = if self.weights.cpu().lanes() == 16 { 768 << 10 } else { 256 << 10 };
        let fit = bytes / (POINTS * self.shape.in_channels * size_of::<f32>());
        (fit / tile.rows).clamp(2, 8) * tile.rows
    }

    /// Floats from a point of a block's tiles to the next, before and after the products: not a power of two, whose multiples
    /// fall on the same sets of a cache.
    fn point_steps(&self, tiles: usize) -> [usize; 2] {
        let width = tile_shape(self.weights.cpu()).columns;
        [tiles * self.shape.in_channels, tiles * width]
            .map(|len| len.next_multiple_of(LINE_FLOATS) + LINE_FLOATS)
    }

    /// Floats of scratch for a block.
    fn scratch_len(&self, tiles: usize) -> usize {
        self.point_steps(tiles).iter().map(|step| POINTS * step).sum()
    }

    /// Convolves `input` (`[batch, height, width, in_channels]`) into `out` (`[batch, output, out_channels]`, or as
    /// [`WinogradF32::spaced`] says, up to the last pixel at least). With less scratch than [`WinogradF32::scratch_bytes`] fewer
    /// threads run.
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
        let &ConvShape { batch, in_channels, out_channels, .. } = &self.shape;
        let pixels = product(&[batch, product(&self.output)]);
        ShapeError::check("input", product(&[batch, product(&self.shape.input), in_channels]), input.len())?;
        check_pixels(pixels, out_channels, self.pixel_step, out.len())?;
        if let Some(residual) = epilogue.residual {
            ShapeError::check("residual", out.len(), residual.len())?;
        }
        let scratch_len = self.scratch_len(self.most_tiles());
        ShapeError::check_at_least("scratch", scratch_len, scratch.len())?;
        let cpu = self.weights.cpu();
        let tiles = product(&[batch, product(&self.tiles)]);
        let work = product(&[tiles, POINTS, in_channels, out_channels]);
        let threads = worthwhile_threads(cpu, work, par);
        let par = Par::new(threads);
        // As many blocks for each thread.
        let blocks = tiles.div_ceil(self.most_tiles()).next_multiple_of(threads);
        let whole = SharedMut::new(out);
        par.for_each_tile_with(blocks, scratch, scratch_len, |block, scratch| {
            let tiles = block * tiles / blocks..(block + 1) * tiles / blocks;
            cpu.dispatch(Block { op: self, input, out: &whole, epilogue, tiles, scratch });
        });
        Ok(())
    }
}
