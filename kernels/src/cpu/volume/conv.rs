//! Convolutions of volumes and their gradients, as matrix products.

use super::Window3d;
use crate::cpu::float::epilogue::{Activation, Epilogue};
use crate::cpu::float::gemm::{PackedF32, gemm_f32};
use crate::error::ShapeError;
use crate::packing::Packing;
use crate::par::{Par, SharedMut};

/// Gathered values that make one tile of work.
const TILE_VALUES: usize = 1 << 16;
/// The most windows of a tile.
const TILE_WINDOWS: usize = 64;

/// A convolution: every window times a matrix with a column per output channel.
#[derive(Clone, Debug)]
pub struct Conv3d {
    window: Window3d,
    channels: usize,
    weights: PackedF32,
    activation: Activation,
}

impl Conv3d {
    /// Packs `filter[taps][channels][outputs]`.
    ///
    /// # Errors
    /// If filter or bias have other lengths.
    pub fn pack<'p>(
        packing: impl Into<Packing<'p>>,
        window: &Window3d,
        channels: usize,
        outputs: usize,
        filter: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<PackedF32, ShapeError> {
        PackedF32::from_transposed(packing, outputs, window.taps() * channels, filter, bias)
    }

    /// The convolution of volumes of `channels` channels.
    #[must_use]
    pub fn new(window: Window3d, channels: usize, weights: PackedF32, activation: Activation) -> Self {
        Self { window, channels, weights, activation }
    }

    /// Windows of a tile.
    fn tile(&self) -> usize {
        (TILE_VALUES / self.weights.k().max(1)).clamp(1, TILE_WINDOWS)
    }

    /// Floats of scratch that let every thread work.
    #[must_use]
    pub fn scratch_len(&self, par: Par) -> usize {
        self.tile().saturating_mul(self.weights.k()).saturating_mul(par.threads())
    }

    /// Convolves `input` into `out`.
    ///
    /// # Errors
    /// If an operand has another length, or the scratch is too short for one tile.
    pub fn run(
        &self,
        input: &[f32],
        out: &mut [f32],
        scratch: &mut [f32],
        par: Par,
    ) -> Result<(), ShapeError> {
        let Self { window, channels, weights, activation } = self;
        let (windows, positions) = (window.windows(), window.positions());
        let (n, k, tile) = (weights.n(), weights.k(), self.tile());
        ShapeError::check("input volume", window.batch * positions * channels, input.len())?;
        ShapeError::check("output volume", window.batch * windows * n, out.len())?;
        ShapeError::check_at_least("scratch of a volume's windows", tile * k, scratch.len())?;
        let shared = SharedMut::new(out);
        let per_volume = windows.div_ceil(tile);
        par.for_each_tile_with(window.batch * per_volume, scratch, tile * k, |at, rows| {
            let (batch, first) = (at / per_volume, at % per_volume * tile);
            let count = tile.min(windows - first);
            let volume = &input[batch * positions * channels..][..positions * channels];
            for (row, at) in rows.chunks_exact_mut(k).zip(first..first + count) {
                window.for_each_tap(at, |tap, position| {
                    let to = &mut row[tap * channels..][..*channels];
                    match position {
                        Some(position) => to.copy_from_slice(&volume[position * channels..][..*channels]),
                        None => to.fill(0.0),
                    }
                });
            }
            // SAFETY: each tile is run once, and the windows of two tiles do not overlap.
            let out = unsafe { shared.range((batch * windows + first) * n, count * n) };
            let done = gemm_f32(rows, count, k, weights, out, n, &Epilogue::new(*activation), Par::serial());
            debug_assert!(done.is_ok(), "a tile's rows fit: {done:?}");
        });
        Ok(())
    }
}

/// The gradient of a convolution by its input: every position times a matrix with a column per tap and output channel,
/// the products added up where windows overlap. The window is that of the convolution: `input` is the larger side,
/// which is written, and `output` the side that is read.
#[derive(Clone, Debug)]
pub struct TransposeConv3d {
    window: Window3d,
    outputs: usize,
    weights: PackedF32,
    activation: Activation,
}

impl TransposeConv3d {
    /// Packs `filter[taps][outputs][channels]`.
    ///
    /// # Errors
    /// If the filter has another length.
    pub fn pack<'p>(
        packing: impl Into<Packing<'p>>,
        window: &Window3d,
        channels: usize,
        outputs: usize,
        filter: &[f32],
    ) -> Result<PackedF32, ShapeError> {
        PackedF32::new(packing, window.taps() * outputs, channels, filter, None)
    }

    /// The gradient that gives `outputs` channels.
    #[must_use]
    pub fn new(window: Window3d, outputs: usize, weights: PackedF32, activation: Activation) -> Self {
        Self { window, outputs, weights, activation }
    }

    /// Floats of scratch: the products of one volume.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        self.window.windows().saturating_mul(self.weights.n())
    }

    /// Computes `out` from `input` and a bias per output channel.
    ///
    /// # Errors
    /// If an operand or the scratch has another length.
    pub fn run(
        &self,
        input: &[f32],
        bias: Option<&[f32]>,
        out: &mut [f32],
        scratch: &mut [f32],
        par: Par,
    ) -> Result<(), ShapeError> {
        let Self { window, outputs, weights, .. } = self;
        let (rows, positions) = (window.windows(), window.positions());
        let (n, k) = (weights.n(), weights.k());
        ShapeError::check("input volume", window.batch * rows * k, input.len())?;
        ShapeError::check("output volume", window.batch * positions * outputs, out.len())?;
        ShapeError::check("bias", *outputs, bias.map_or(*outputs, <[f32]>::len))?;
        ShapeError::check("products of a volume", rows * n, scratch.len())?;
        if rows == 0 || out.is_empty() {
            fill(out, bias, self.activation);
            return Ok(());
        }
        let plane = window.input[1] * window.input[2] * outputs;
        for (input, out) in input.chunks_exact(rows * k).zip(out.chunks_exact_mut(positions * outputs)) {
            gemm_f32(input, rows, k, weights, scratch, n, &Epilogue::default(), par)?;
            let products: &[f32] = scratch;
            par.chunks_mut(out, plane, |z, plane| {
                fill(plane, bias, Activation::None);
                self.add_plane(z, products, plane);
                for x in plane {
                    *x = self.activation.of(*x);
                }
            });
        }
        Ok(())
    }

    /// Adds the products that fall on the output's plane at depth `z`.
    fn add_plane(&self, z: usize, products: &[f32], plane: &mut [f32]) {
        let Self { window, outputs, weights, .. } = self;
        let [_, height, width] = window.output;
        let [_, tap_rows, tap_columns] = window.kernel;
        for (tap_z, from_z) in self.sources(0, z) {
            for (y, row) in plane.chunks_exact_mut(window.input[2] * outputs).enumerate() {
                for (tap_y, from_y) in self.sources(1, y) {
                    for (x, to) in row.chunks_exact_mut(*outputs).enumerate() {
                        for (tap_x, from_x) in self.sources(2, x) {
                            let from = (from_z * height + from_y) * width + from_x;
                            let tap = (tap_z * tap_rows + tap_y) * tap_columns + tap_x;
                            let product = &products[from * weights.n() + tap * outputs..][..*outputs];
                            for (to, x) in to.iter_mut().zip(product) {
                                *to += x;
                            }
                        }
                    }
                }
            }
        }
    }

    /// The taps by which position `at` of an axis is reached, and from which positions of the other side.
    fn sources(&self, axis: usize, at: usize) -> impl Iterator<Item = (usize, usize)> {
        let window = self.window;
        (0..window.kernel[axis]).filter_map(move |tap| {
            let offset = (at + window.before[axis]).checked_sub(tap * window.dilation[axis])?;
            let from = offset / window.stride[axis];
            (offset.is_multiple_of(window.stride[axis]) && from < window.output[axis]).then_some((tap, from))
        })
    }
}

/// Every pixel of `out` the bias.
fn fill(out: &mut [f32], bias: Option<&[f32]>, activation: Activation) {
    match bias.filter(|b| !b.is_empty()) {
        None => out.fill(activation.of(0.0)),
        Some(bias) => {
            for pixel in out.chunks_exact_mut(bias.len()) {
                for (to, &b) in pixel.iter_mut().zip(bias) {
                    *to = activation.of(b);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Cpu;

    const WINDOWS: [(&str, Window3d); 3] = [
        (
            "same",
            Window3d {
                batch: 2,
                input: [3, 4, 5],
                output: [3, 4, 5],
                kernel: [2, 3, 3],
                stride: [1; 3],
                dilation: [1; 3],
                before: [0, 1, 1],
            },
        ),
        (
            "strides",
            Window3d {
                batch: 1,
                input: [5, 5, 6],
                output: [3, 2, 3],
                kernel: [2, 3, 2],
                stride: [2, 3, 2],
                dilation: [1; 3],
                before: [1, 1, 0],
            },
        ),
        (
            "dilation",
            Window3d {
                batch: 1,
                input: [4, 5, 7],
                output: [2, 5, 3],
                kernel: [2, 1, 3],
                stride: [1; 3],
                dilation: [2, 1, 2],
                before: [0; 3],
            },
        ),
    ];

    fn values(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 29 + seed * 13) % 31) as f32 / 8.0 - 1.5).collect()
    }

    fn assert_close(got: &[f32], want: &[f32], what: &str) {
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            assert!((g - w).abs() <= 1e-4, "{what}, element {i}: {g} instead of {w}");
        }
    }

    #[test]
    fn convolutions_follow_the_definition() {
        let (channels, outputs) = (3, 5);
        for (name, window) in WINDOWS {
            let input = values(window.batch * window.positions() * channels, 1);
            let filter = values(window.taps() * channels * outputs, 2);
            let bias = values(outputs, 3);
            let mut want = vec![0.0f32; window.batch * window.windows() * outputs];
            for (at, out) in want.chunks_exact_mut(outputs).enumerate() {
                let (batch, at) = (at / window.windows(), at % window.windows());
                out.copy_from_slice(&bias);
                window.for_each_tap(at, |tap, position| {
                    let Some(position) = position else { return };
                    for c in 0..channels {
                        let x = input[(batch * window.positions() + position) * channels + c];
                        for (o, out) in out.iter_mut().enumerate() {
                            *out += x * filter[(tap * channels + c) * outputs + o];
                        }
                    }
                });
                out.iter_mut().for_each(|x| *x = x.max(0.0));
            }
            for cpu in Cpu::all() {
                for par in [Par::serial(), Par::new(3)] {
                    let weights =
                        Conv3d::pack(cpu, &window, channels, outputs, &filter, Some(&bias)).unwrap();
                    let conv = Conv3d::new(window, channels, weights, Activation::RELU);
                    let mut scratch = vec![0.0; conv.scratch_len(par)];
                    let mut got = vec![f32::NAN; want.len()];
                    conv.run(&input, &mut got, &mut scratch, par).unwrap();
                    assert_close(&got, &want, &format!("{name} on {}", cpu.name()));
                }
            }
        }
    }

    #[test]
    fn gradients_follow_the_definition() {
        let (channels, outputs) = (3, 2);
        for (name, window) in WINDOWS {
            let input = values(window.batch * window.windows() * channels, 4);
            let filter = values(window.taps() * channels * outputs, 5);
            let bias = values(outputs, 6);
            let mut want = vec![0.0f32; window.batch * window.positions() * outputs];
            want.chunks_exact_mut(outputs).for_each(|pixel| pixel.copy_from_slice(&bias));
            for (at, input) in input.chunks_exact(channels).enumerate() {
                let (batch, at) = (at / window.windows(), at % window.windows());
                window.for_each_tap(at, |tap, position| {
                    let Some(position) = position else { return };
                    for o in 0..outputs {
                        let weights = &filter[(tap * outputs + o) * channels..][..channels];
                        let sum: f32 = input.iter().zip(weights).map(|(x, w)| x * w).sum();
                        want[(batch * window.positions() + position) * outputs + o] += sum;
                    }
                });
            }
            for cpu in Cpu::all() {
                let weights = TransposeConv3d::pack(cpu, &window, channels, outputs, &filter).unwrap();
                let conv = TransposeConv3d::new(window, outputs, weights, Activation::None);
                let mut scratch = vec![0.0; conv.scratch_len()];
                let mut got = vec![f32::NAN; want.len()];
                conv.run(&input, Some(&bias), &mut got, &mut scratch, Par::new(2)).unwrap();
                assert_close(&got, &want, &format!("{name} on {}", cpu.name()));
            }
        }
    }
}
