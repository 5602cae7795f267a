//! The plain recurrent layer: `h = activation(W_x x + W_h h + bias)`.

use super::activation::Activation;
use super::dense::Vectors;
use super::linear::{Matrix, Operand};
use super::sequence::{OutputRows, Sequence};
use crate::isa::Cpu;
use crate::scratch::{Scratch, ScratchSize};

/// Sizes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RnnSize {
    /// Length of an input vector.
    pub inputs: usize,
    /// Length of an auxiliary input vector; 0 without one.
    pub aux_inputs: usize,
    /// Length of an output vector.
    pub units: usize,
}

/// A layer in float, with float or 8-bit weights.
#[derive(Clone, Copy, Debug)]
pub struct Rnn<'a> {
    /// Sizes.
    pub size: RnnSize,
    /// Weights of the input, `[units, inputs]`.
    pub input: Matrix<'a>,
    /// Weights of the auxiliary input, `[units, aux_inputs]`.
    pub aux: Option<Matrix<'a>>,
    /// Weights of the previous output, `[units, units]`.
    pub recurrent: Matrix<'a>,
    /// Bias, `[units]`.
    pub bias: &'a [f32],
    /// Activation.
    pub activation: Activation,
    /// Whether vectors that meet 8-bit weights are quantized with a zero point.
    pub asymmetric: bool,
}

impl RnnSize {
    fn widest(&self) -> usize {
        self.inputs.max(self.aux_inputs).max(self.units)
    }

    /// Bytes of scratch memory that [`Rnn::run`] needs.
    #[must_use]
    pub fn scratch_bytes(&self, sequence: &Sequence) -> usize {
        let batch = sequence.batch;
        let size = ScratchSize::new().with::<f32>(batch * self.units).with::<i16>(batch * self.widest());
        size.with::<f32>(batch).bytes()
    }
}

impl Rnn<'_> {
    /// Runs the layer over a batch of sequences.
    ///
    /// `input` has `[rows, inputs]` elements, `aux` `[rows, aux_inputs]`, in the row order of `sequence`; `hidden` is
    /// `[batch, units]`.
    ///
    /// # Panics
    /// When a slice is shorter than the sizes say.
    #[expect(clippy::too_many_arguments, reason = "the operands of the operator")]
    pub fn run(
        &self,
        cpu: Cpu,
        sequence: &Sequence,
        input: &[f32],
        aux: Option<&[f32]>,
        hidden: &mut [f32],
        mut output: OutputRows<'_, f32>,
        scratch: &mut [u8],
    ) {
        let RnnSize { inputs, aux_inputs, units } = self.size;
        let batch = sequence.batch;
        let mut scratch = Scratch::new(scratch);
        let sums = scratch.take::<f32>(batch * units);
        let quantized = scratch.take::<i16>(batch * self.size.widest());
        let scales = scratch.take::<f32>(batch);
        let mut add = |matrix: Matrix<'_>, data: &[f32], len: usize, stride: usize, sums: &mut [f32]| {
            let vectors = Vectors { data, len, stride, count: batch };
            let operand = if matrix.needs_quantized() {
                Operand::quantize(cpu, vectors, self.asymmetric, quantized, scales)
            } else {
                Operand::float_only(vectors)
            };
            operand.accumulate(cpu, matrix, units, sums, units);
        };
        let batch_stride = if sequence.time_major { 1 } else { sequence.steps };
        for t in sequence.walk(0..sequence.steps) {
            for sums in sums.chunks_exact_mut(units.max(1)) {
                sums.copy_from_slice(&self.bias[..units]);
            }
            let first = sequence.row(t, 0);
            add(self.input, &input[first * inputs..], inputs, batch_stride * inputs, sums);
            if let (Some(matrix), Some(aux)) = (self.aux, aux) {
                add(matrix, &aux[first * aux_inputs..], aux_inputs, batch_stride * aux_inputs, sums);
            }
            add(self.recurrent, hidden, units, units, sums);
            self.activation.apply(cpu, sums);
            hidden[..batch * units].copy_from_slice(sums);
            for b in 0..batch {
                output.write(sequence.row(t, b), &sums[b * units..][..units]);
            }
        }
    }
}
