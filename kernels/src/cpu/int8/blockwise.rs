//! Products of quantized rows with weights that have a scale for each block along the depth.

use super::dynamic::OFFSET;
use crate::isa::{Cpu, Isa, Kernel};
use crate::packing::{Lines, Packing};
use crate::par::Par;

/// Outputs computed by one task.
const TILE: usize = 64;

/// Weights `[units, depth]` with one scale for each block of a row.
pub struct BlockWeights {
    values: Lines<i8>,
    scales: Vec<f32>,
    /// The sum of each block's weights times its scale, over a row: what a zero point of the activations adds.
    sums: Lines<f32>,
    bias: Vec<f32>,
    depth: usize,
    block: usize,
}

/// Rows of activations, each with the scale and zero point it was quantized by.
pub struct BlockRows<'a> {
    /// The quantized rows, stored with [`OFFSET`].
    pub data: &'a [u8],
    /// One scale for each row.
    pub scales: &'a [f32],
    /// One zero point for each row, as stored.
    pub zeros: &'a [i32],
}

impl BlockWeights {
    /// `values` row after row, asked for only if their packing does not lie ready; `scales` block after block; `bias` has one
    /// element for each row, or none.
    ///
    /// # Panics
    /// If `block` does not divide `depth` or is 0, or there are not as many values as the scales' blocks have.
    #[must_use]
    pub fn new<'v>(
        packing: Packing<'_>,
        values: impl Fn() -> &'v [i8],
        scales: Vec<f32>,
        bias: Vec<f32>,
        depth: usize,
        block: usize,
    ) -> Self {
        assert!(block > 0 && depth.is_multiple_of(block), "blocks of {block} in rows of {depth}");
        let blocks = (depth / block).max(1);
        let stored = packing.lines(scales.len() * block, |to| to.copy_from_slice(values()));
        let sums = packing.lines(scales.len() / blocks, |to| {
            let rows = values().chunks_exact((blocks * block).max(1)).zip(scales.chunks_exact(blocks));
            for (sum, (row, scales)) in to.iter_mut().zip(rows) {
                let of_block = |block: &[i8]| block.iter().map(|&w| i32::from(w)).sum::<i32>() as f32;
                *sum =
                    row.chunks_exact(block).zip(scales).map(|(block, scale)| of_block(block) * scale).sum();
            }
        });
        Self { values: stored, scales, sums, bias, depth, block }
    }

    /// Number of rows.
    #[must_use]
    pub fn units(&self) -> usize {
        self.sums.len()
    }
}

/// `out[r][u] = scale[r] * (sum over blocks of scale[u][b] * dot - zero[r] * sums[u]) + bias[u]`, held to a range.
pub fn multiply_blocks(
    cpu: Cpu,
    weights: &BlockWeights,
    rows: &BlockRows<'_>,
    range: (f32, f32),
    out: &mut [f32],
    par: Par,
) {
    let units = weights.units();
    par.chunks_mut(out, TILE, |tile, out| {
        for (k, to) in out.iter_mut().enumerate() {
            let (row, unit) = ((tile * TILE + k) / units, (tile * TILE + k) % units);
            let x = &rows.data[row * weights.depth..][..weights.depth];
            let sum = cpu.dispatch(Dot { weights, unit, x });
            let value = (sum - (rows.zeros[row] - OFFSET) as f32 * weights.sums[unit]) * rows.scales[row];
            let value = value + weights.bias.get(unit).copied().unwrap_or(0.0);
            *to = value.max(range.0).min(range.1);
        }
    });
}

/// The scaled product of one row of activations with one row of weights.
struct Dot<'a> {
    weights: &'a BlockWeights,
    unit: usize,
    x: &'a [u8],
}

impl Kernel for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Isa>(self, _: S) -> f32 {
        let BlockWeights { values, scales, depth, block, .. } = self.weights;
        let row = &values[self.unit * depth..][..*depth];
        let scales = &scales[self.unit * (depth / block)..];
        let blocks = row.chunks_exact(*block).zip(self.x.chunks_exact(*block)).zip(scales);
        blocks
            .map(|((weights, x), scale)| {
                let products = weights.iter().zip(x).map(|(&w, &x)| i32::from(w) * (i32::from(x) - OFFSET));
                products.sum::<i32>() as f32 * scale
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_scales_of_their_own() {
        let values: Vec<i8> = vec![1, -2, 3, 4, 5, -6, 7, -8];
        let scales = vec![0.5, 2.0, 1.0, 0.25];
        let x = [10i32, 20, -30, 40, 1, 2, 3, 4];
        let (row_scales, zeros) = ([0.1f32, 2.0], [3i32, -1]);
        let (stored, stored_zeros) = (x.map(|x| (x + OFFSET) as u8), zeros.map(|zero| zero + OFFSET));
        for cpu in Cpu::all() {
            for bias in [vec![], vec![1.0f32, -1.0]] {
                let weights = BlockWeights::new(cpu.into(), || &values, scales.clone(), bias.clone(), 4, 2);
                let rows = BlockRows { data: &stored, scales: &row_scales, zeros: &stored_zeros };
                let mut got = [0.0; 4];
                multiply_blocks(cpu, &weights, &rows, (-50.0, 50.0), &mut got, Par::new(2));
                for (i, got) in got.iter().enumerate() {
                    let (row, unit) = (i / 2, i % 2);
                    let real = |k: usize| (x[row * 4 + k] - zeros[row]) as f32 * row_scales[row];
                    let weight = |k: usize| f32::from(values[unit * 4 + k]) * scales[unit * 2 + k / 2];
                    let sum: f32 = (0..4).map(|k| real(k) * weight(k)).sum();
                    let want = (sum + bias.get(unit).unwrap_or(&0.0)).clamp(-50.0, 50.0);
                    assert!((got - want).abs() < 1e-4, "{} {i}: {got} {want}", cpu.name());
                }
            }
        }
    }
}
