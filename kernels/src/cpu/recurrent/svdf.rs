//! SVDF: a dense layer factored into a filter over features and one over time.
//!
//! Every filter keeps its last `memory` responses; a unit's output is the sum over its `rank` filters of the responses
//! weighted over time, plus bias, activated.

use super::activation::Activation;
use super::dense::{Vectors, products_i8};
use super::fixed::{saturate_i8, saturate_i16};
use super::linear::{Matrix, Operand};
use crate::fixed_point::Multiplier;
use crate::isa::Cpu;
use crate::scratch::{Scratch, ScratchSize};

/// Sizes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SvdfSize {
    /// Input vectors per run.
    pub batch: usize,
    /// Length of an input vector.
    pub inputs: usize,
    /// Number of filters: units times rank.
    pub filters: usize,
    /// Filters per unit, at least 1.
    pub rank: usize,
    /// Responses that a filter keeps.
    pub memory: usize,
}

impl SvdfSize {
    /// Bytes of scratch memory that the layers need.
    #[must_use]
    pub fn scratch_bytes(&self) -> usize {
        let ints = ScratchSize::new().with::<i16>(self.batch * self.inputs);
        ints.with::<f32>(self.batch * self.filters).with::<f32>(self.batch).bytes()
    }
}

/// Weights over time of a float layer, `[filters, memory]`.
#[derive(Clone, Copy, Debug)]
pub enum TimeWeights<'a> {
    /// Float weights.
    F32(&'a [f32]),
    /// 8-bit weights and their scale.
    I8(&'a [i8], f32),
}

/// A layer in float, with float or 8-bit weights.
#[derive(Clone, Copy, Debug)]
pub struct Svdf<'a> {
    /// Sizes.
    pub size: SvdfSize,
    /// Weights of the features, `[filters, inputs]`.
    pub features: Matrix<'a>,
    /// Weights over time.
    pub time: TimeWeights<'a>,
    /// Bias, `[filters / rank]`.
    pub bias: Option<&'a [f32]>,
    /// Activation of the output.
    pub activation: Activation,
    /// Whether inputs that meet 8-bit weights are quantized with a zero point.
    pub asymmetric: bool,
}

impl Svdf<'_> {
    /// Runs one step: `input` is `[batch, inputs]`, `state` `[batch, filters, memory]`, `output` `[batch, units]`.
    ///
    /// # Panics
    /// When a slice is shorter than the sizes say.
    pub fn run(&self, cpu: Cpu, input: &[f32], state: &mut [f32], output: &mut [f32], scratch: &mut [u8]) {
        let SvdfSize { batch, inputs, filters, rank, memory } = self.size;
        let mut scratch = Scratch::new(scratch);
        let quantized = scratch.take::<i16>(batch * inputs);
        let responses = scratch.take::<f32>(batch * filters);
        let scales = scratch.take::<f32>(batch);
        let vectors = Vectors::dense(input, inputs, batch);
        let operand = if self.features.needs_quantized() {
            Operand::quantize(cpu, vectors, self.asymmetric, quantized, scales)
        } else {
            Operand::float_only(vectors)
        };
        responses.fill(0.0);
        operand.accumulate(cpu, self.features, filters, responses, filters);
        push(state, memory, responses.iter().copied());
        for (i, response) in responses.iter_mut().enumerate() {
            let kept = &state[i * memory..][..memory];
            let at = i % filters * memory;
            *response = match self.time {
                TimeWeights::F32(w) => w[at..].iter().zip(kept).map(|(w, s)| w * s).sum(),
                TimeWeights::I8(w, scale) => {
                    w[at..].iter().zip(kept).map(|(&w, s)| f32::from(w) * scale * s).sum()
                }
            };
        }
        let units = filters / rank;
        for (i, (out, responses)) in output.iter_mut().zip(responses.chunks_exact(rank)).enumerate() {
            *out = responses.iter().sum::<f32>() + self.bias.map_or(0.0, |bias| bias[i % units]);
        }
        self.activation.apply(cpu, output);
    }
}

/// A layer in integers: 8-bit input, output and features, 16-bit state and weights over time.
#[derive(Clone, Copy, Debug)]
pub struct IntSvdf<'a> {
    /// Sizes.
    pub size: SvdfSize,
    /// Weights of the features, `[filters, inputs]`.
    pub features: &'a [i8],
    /// Weights over time, `[filters, memory]`.
    pub time: &'a [i16],
    /// Bias, `[filters / rank]`.
    pub bias: Option<&'a [i32]>,
    /// The factor from products with features to the state's scale.
    pub state_factor: Multiplier,
    /// The factor from products with the state to the output's scale.
    pub output_factor: Multiplier,
    /// Zero point of the input.
    pub input_zero_point: i32,
    /// Zero point of the output; also its least value, which makes the activation a ReLU.
    pub output_zero_point: i32,
}

impl IntSvdf<'_> {
    /// Runs one step; shapes as in [`Svdf::run`].
    ///
    /// # Panics
    /// When a slice is shorter than the sizes say.
    pub fn run(&self, cpu: Cpu, input: &[i8], state: &mut [i16], output: &mut [i8], scratch: &mut [u8]) {
        let SvdfSize { batch, inputs, filters, rank, memory } = self.size;
        let mut scratch = Scratch::new(scratch);
        let wide = scratch.take::<i16>(batch * inputs);
        let sums = scratch.take::<i32>(batch * filters);
        for (to, &x) in wide.iter_mut().zip(input) {
            *to = i16::from(x) - self.input_zero_point as i16;
        }
        let vectors = Vectors::dense(&*wide, inputs, batch);
        products_i8(cpu, self.features, filters, vectors, |b, row, products| {
            for (sum, &product) in sums[b * filters + row..].iter_mut().zip(products) {
                *sum = self.state_factor.apply(product);
            }
        });
        push(state, memory, sums.iter().map(|&s| saturate_i16(s)));
        for (i, sum) in sums.iter_mut().enumerate() {
            let time = &self.time[i % filters * memory..][..memory];
            let kept = &state[i * memory..][..memory];
            *sum = time
                .iter()
                .zip(kept)
                .fold(0i32, |sum, (&w, &s)| sum.wrapping_add(i32::from(w) * i32::from(s)));
        }
        let units = filters / rank;
        for (i, (out, sums)) in output.iter_mut().zip(sums.chunks_exact(rank)).enumerate() {
            let bias = self.bias.map_or(0, |bias| bias[i % units]);
            let sum = sums.iter().fold(bias, |sum, &s| sum.wrapping_add(s));
            *out = saturate_i8(self.output_factor.apply(sum).saturating_add(self.output_zero_point));
        }
    }
}

/// Drops the oldest response of each filter and appends the new one.
fn push<T: Copy>(state: &mut [T], memory: usize, responses: impl Iterator<Item = T>) {
    if memory == 0 {
        return;
    }
    for (kept, response) in state.chunks_exact_mut(memory).zip(responses) {
        kept.copy_within(1.., 0);
        kept[memory - 1] = response;
    }
}
