//! The LSTM cell of TensorFlow's `BasicLSTMCell`: one step, one matrix for all gates and both inputs.
//!
//! The matrix has the rows of the input, cell, forget and output gate, in this order, and a column for each element of
//! the input and then of the previous output.

use super::activation::Activation;
use super::dense::{Vectors, products_f32, products_int};
use super::fixed::{saturate_i16, sigmoid_q3, tanh_q3};
use crate::fixed_point::{Multiplier, high_mul, high_mul_i16, rounding_shift_right};
use crate::isa::Cpu;

/// Sizes of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicLstmSize {
    /// Sequences.
    pub batch: usize,
    /// Length of an input vector.
    pub inputs: usize,
    /// Length of an output vector and number of cells.
    pub outputs: usize,
}

impl BasicLstmSize {
    /// Columns of the matrix.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.inputs + self.outputs
    }

    /// Rows of the matrix.
    #[must_use]
    pub fn gates(&self) -> usize {
        4 * self.outputs
    }

    /// Lays inputs and previous outputs side by side: `joined` is `[batch, columns]`.
    ///
    /// # Panics
    /// When a slice is shorter than the sizes say.
    pub fn join<T: Copy>(&self, input: &[T], previous: &[T], joined: &mut [T]) {
        for (b, row) in joined.chunks_exact_mut(self.columns().max(1)).enumerate() {
            let (x, h) = row.split_at_mut(self.inputs);
            x.copy_from_slice(&input[b * self.inputs..][..self.inputs]);
            h.copy_from_slice(&previous[b * self.outputs..][..self.outputs]);
        }
    }
}

/// The step in float.
///
/// `joined` is what [`BasicLstmSize::join`] made, `gates` (`[batch, gates]`) receives the activated gates,
/// `cell` is updated, `output` receives the output.
///
/// # Panics
/// When a slice is shorter than the sizes say.
#[expect(clippy::too_many_arguments, reason = "the operands of the operator")]
pub fn basic_lstm_f32(
    cpu: Cpu,
    size: &BasicLstmSize,
    weights: &[f32],
    bias: &[f32],
    joined: &[f32],
    gates: &mut [f32],
    cell: &mut [f32],
    output: &mut [f32],
) {
    let rows = size.gates();
    let vectors = Vectors::dense(joined, size.columns(), size.batch);
    products_f32(cpu, weights, rows, vectors, |b, row, sums| {
        for ((gate, &sum), &bias) in gates[b * rows + row..].iter_mut().zip(sums).zip(&bias[row..]) {
            *gate = sum + bias;
        }
    });
    let n = size.outputs;
    for (b, gates) in gates.chunks_exact_mut(rows.max(1)).enumerate() {
        let (input, rest) = gates.split_at_mut(n);
        let (offered, rest) = rest.split_at_mut(n);
        let (forget, out) = rest.split_at_mut(n);
        Activation::Tanh.apply(cpu, offered);
        for gate in [&mut *input, &mut *forget, &mut *out] {
            Activation::Sigmoid.apply(cpu, gate);
        }
        let cell = &mut cell[b * n..][..n];
        for (((c, &i), &g), &f) in cell.iter_mut().zip(&*input).zip(&*offered).zip(&*forget) {
            *c = i * g + f * *c;
        }
        let output = &mut output[b * n..][..n];
        output.copy_from_slice(cell);
        Activation::Tanh.apply(cpu, output);
        for (out, &gate) in output.iter_mut().zip(&*out) {
            *out *= gate;
        }
    }
}

/// The parameters of the step in integers.
#[derive(Clone, Copy, Debug)]
pub struct BasicLstmU8<'a> {
    /// Sizes.
    pub size: BasicLstmSize,
    /// The matrix.
    pub weights: &'a [u8],
    /// The matrix's zero point.
    pub weights_zero_point: i32,
    /// Bias of each row.
    pub bias: &'a [i32],
    /// The factor from products to gates with 12 fractional bits.
    pub factor: Multiplier,
}

/// Zero point of inputs and outputs.
const ZERO_POINT: i16 = 128;
/// Bits before the binary point of the cell state.
const STATE_BITS: i32 = 4;

impl BasicLstmU8<'_> {
    /// The step; operands as in [`basic_lstm_f32`], `wide` is working memory of `[batch, columns]`.
    ///
    /// # Panics
    /// When a slice is shorter than the sizes say.
    pub fn run(
        &self,
        cpu: Cpu,
        joined: &[u8],
        wide: &mut [i16],
        gates: &mut [i16],
        cell: &mut [i16],
        output: &mut [u8],
    ) {
        let (n, rows, columns) = (self.size.outputs, self.size.gates(), self.size.columns());
        for (wide, &x) in wide.iter_mut().zip(joined) {
            *wide = i16::from(x) - ZERO_POINT;
        }
        let vectors = Vectors::dense(&*wide, columns, self.size.batch);
        products_int(cpu, self.weights, rows, vectors, |b, first, sums| {
            let total: i32 = vectors.get(b).iter().map(|&x| i32::from(x)).sum();
            let correction = self.weights_zero_point.wrapping_mul(total);
            for (row, &sum) in (first..).zip(sums) {
                let sum = sum.wrapping_sub(correction).wrapping_add(self.bias[row]);
                gates[b * rows + row] = saturate_i16(scale(self.factor, sum));
            }
        });
        for b in 0..self.size.batch {
            let gates = &gates[b * rows..][..rows];
            for i in 0..n {
                let [input, offered, forget, out] = [0, 1, 2, 3].map(|g| gates[g * n + i]);
                let added = high_mul_i16(sigmoid_q3(input), tanh_q3(offered));
                let added = rounding_shift_right(i32::from(added), STATE_BITS);
                let kept = high_mul_i16(sigmoid_q3(forget), cell[b * n + i]);
                let state = saturate_i16(added + i32::from(kept));
                cell[b * n + i] = state;
                let seen = saturate_i16(i32::from(state) << (STATE_BITS - 3));
                let value = high_mul_i16(sigmoid_q3(out), tanh_q3(seen));
                let value = rounding_shift_right(i32::from(value), 8).clamp(-128, 127);
                output[b * n + i] = (value + i32::from(ZERO_POINT)) as u8;
            }
        }
    }
}

/// `x` times the factor, rounded to its high half and then by the shift, there with halves up.
fn scale(factor: Multiplier, x: i32) -> i32 {
    let (left, right) = (factor.exponent.max(0), (-factor.exponent).max(0));
    let product = high_mul(x.wrapping_shl(left as u32), factor.fraction);
    ((i64::from(product) + ((1i64 << right) >> 1)) >> right) as i32
}
