//! Long short-term memory in integers whose matrix products are rounded to 8 bits, normalized in float.
//!
//! The layer always has a projection, layer normalization, and the input gate coupled to the forget gate. The cell has
//! 15 fractional bits.

use super::dense::{Vectors, products_i8};
use super::fixed::{saturate_i8, saturate_i16};
use super::lstm::{LstmSize, LstmState};
use super::lstm_int::update_cells;
use super::sequence::{OutputRows, Sequence};
use crate::fixed_point::{Multiplier, rounding_shift_right};
use crate::isa::Cpu;
use crate::scratch::{Scratch, ScratchSize};

/// The binary logarithm of the cell's scale.
const CELL_EXPONENT: i32 = -15;
/// One in a gate before activation, with 12 fractional bits.
const GATE_ONE: f32 = 4096.0;
/// One in an activated gate.
const ACTIVE_ONE: f32 = 32768.0;

/// 8-bit weights whose products are rounded to 8 bits before they are added up.
#[derive(Clone, Copy, Debug)]
pub struct NarrowMatrix<'a> {
    /// The weights, row-major.
    pub weights: &'a [i8],
    /// The factor from products to the 8-bit scale.
    pub factor: Multiplier,
    /// Zero point of the 8-bit products.
    pub zero_point: i8,
    /// The factor from the 8-bit scale to the gate's.
    pub gate_factor: Multiplier,
}

/// The parameters of a gate.
#[derive(Clone, Copy, Debug)]
pub struct NarrowGate<'a> {
    /// Weights of the input, `[cells, inputs]`.
    pub input: NarrowMatrix<'a>,
    /// Weights of the previous output, `[cells, outputs]`; the reference does without them in the output gate.
    pub recurrent: Option<NarrowMatrix<'a>>,
    /// Coefficients of the layer normalization, `[cells]`.
    pub norm: &'a [i16],
    /// Their scale.
    pub norm_scale: f32,
    /// Bias, `[cells]`, with 10 more fractional bits than the coefficients.
    pub bias: &'a [i32],
}

/// A layer.
#[derive(Clone, Copy, Debug)]
pub struct NarrowLstm<'a> {
    /// Sizes; there is no auxiliary input.
    pub size: LstmSize,
    /// The forget gate.
    pub forget: NarrowGate<'a>,
    /// The cell gate.
    pub cell: NarrowGate<'a>,
    /// The output gate.
    pub output: NarrowGate<'a>,
    /// Weights of the projection, `[outputs, cells]`.
    pub projection: &'a [i8],
    /// Bias of the projection, `[outputs]`.
    pub projection_bias: Option<&'a [i32]>,
    /// The factor from the projection's sums to the output's scale.
    pub projection_factor: Multiplier,
    /// Bound of the projection's magnitude; 0 for none.
    pub projection_clip: i8,
    /// Bound of the cell's magnitude; 0 for none.
    pub cell_clip: i16,
    /// Zero point of the input.
    pub input_zero_point: i32,
    /// Zero point of the output and of the hidden state.
    pub output_zero_point: i32,
}

impl LstmSize {
    /// Bytes of scratch memory that [`NarrowLstm::run`] needs.
    #[must_use]
    pub fn narrow_scratch_bytes(&self) -> usize {
        let mut size = ScratchSize::new().with::<i16>(self.inputs).with::<i16>(self.outputs);
        for _ in 0..4 {
            size = size.with::<i16>(self.cells);
        }
        size.bytes()
    }
}

impl NarrowLstm<'_> {
    /// Runs the layer over a batch of sequences; `input` has `[rows, inputs]` elements in the row order of `sequence`.
    ///
    /// # Panics
    /// When a slice is shorter than the sizes say.
    pub fn run(
        &self,
        cpu: Cpu,
        sequence: &Sequence,
        input: &[i8],
        state: LstmState<'_, i8, i16>,
        mut output: OutputRows<'_, i8>,
        scratch: &mut [u8],
    ) {
        let LstmSize { inputs, cells, outputs, .. } = self.size;
        let mut scratch = Scratch::new(scratch);
        let (x, h) = (scratch.take::<i16>(inputs), scratch.take::<i16>(outputs));
        let [forget, coupled, cell, out] = core::array::from_fn(|_| scratch.take::<i16>(cells));
        for t in sequence.walk(0..sequence.steps) {
            for b in 0..sequence.batch {
                let row = sequence.row(t, b);
                let hidden = &mut state.hidden[b * outputs..][..outputs];
                let cell_state = &mut state.cell[b * cells..][..cells];
                widen(&input[row * inputs..][..inputs], self.input_zero_point, x);
                widen(hidden, self.output_zero_point, h);
                self.forget.run(cpu, x, h, forget, sigmoid);
                self.cell.run(cpu, x, h, cell, tanh);
                for (i, &f) in coupled.iter_mut().zip(&*forget) {
                    *i = i16::MAX.wrapping_sub(f);
                }
                update_cells(cpu, cell_state, forget, coupled, cell, CELL_EXPONENT, self.cell_clip);
                self.output.run(cpu, x, h, out, sigmoid);
                for (out, &c) in out.iter_mut().zip(&*cell_state) {
                    let seen = active((f64::from(c) * f64::from(CELL_EXPONENT).exp2()) as f32, libm::tanhf);
                    *out = rounding_shift_right(i32::from(*out) * i32::from(seen), 15) as i16;
                }
                self.project(out, hidden);
                output.write(row, hidden);
            }
        }
    }

    fn project(&self, gated: &[i16], hidden: &mut [i8]) {
        let rows = self.projection.chunks_exact(self.size.cells.max(1));
        for (i, (hidden, weights)) in hidden.iter_mut().zip(rows).enumerate() {
            let bias = i64::from(self.projection_bias.map_or(0, |bias| bias[i]));
            let sum =
                weights.iter().zip(gated).map(|(&w, &x)| i64::from(i32::from(w) * i32::from(x))).sum::<i64>();
            *hidden = saturate_i8(self.projection_factor.apply_wide(bias + sum) + self.output_zero_point);
            if self.projection_clip > 0 {
                *hidden = (*hidden).clamp(-self.projection_clip, self.projection_clip);
            }
        }
    }
}

impl NarrowMatrix<'_> {
    /// Calls `emit(row, value)` for each product, in the gate's scale.
    fn products(&self, cpu: Cpu, x: &[i16], rows: usize, mut emit: impl FnMut(usize, i32)) {
        let zero_point = i32::from(self.zero_point);
        products_i8(cpu, self.weights, rows, Vectors::dense(x, x.len(), 1), |_, first, sums| {
            for (row, &sum) in (first..).zip(sums) {
                let narrow = i32::from(saturate_i8(self.factor.apply(sum) + zero_point));
                emit(row, self.gate_factor.apply(narrow - zero_point));
            }
        });
    }
}

impl NarrowGate<'_> {
    fn run(&self, cpu: Cpu, x: &[i16], h: &[i16], gate: &mut [i16], activation: fn(f32) -> i16) {
        let rows = gate.len();
        self.input.products(cpu, x, rows, |row, value| gate[row] = saturate_i16(value));
        if let Some(recurrent) = &self.recurrent {
            recurrent.products(cpu, h, rows, |row, value| {
                gate[row] = saturate_i16(value.saturating_add(i32::from(gate[row])))
            });
        }
        self.normalize(gate);
        for v in gate {
            *v = activation(f32::from(*v) / GATE_ONE);
        }
    }

    /// Layer normalization in single precision.
    fn normalize(&self, gate: &mut [i16]) {
        let (mut sum, mut square_sum) = (0f32, 0f32);
        for &v in &*gate {
            let v = f32::from(v);
            sum += v;
            square_sum += v * v;
        }
        let n = gate.len() as f32;
        let mean = sum / n;
        let variance = square_sum / n - mean * mean;
        let scale = 1.0 / if variance == 0.0 { 1e-8f32.sqrt() } else { variance.sqrt() };
        let bias_scale = self.norm_scale / 1024.0;
        for ((v, &weight), &bias) in gate.iter_mut().zip(self.norm).zip(self.bias) {
            let normal = (f32::from(*v) - mean) * scale;
            let weighted = normal * f32::from(weight) * self.norm_scale + bias as f32 * bias_scale;
            *v = saturate_i16((weighted * GATE_ONE).round() as i32);
        }
    }
}

fn widen(values: &[i8], zero_point: i32, out: &mut [i16]) {
    for (out, &v) in out.iter_mut().zip(values) {
        *out = i16::from(v) - zero_point as i16;
    }
}

/// A function of `x` with 15 fractional bits, rounded towards zero.
fn active(x: f32, function: impl Fn(f32) -> f32) -> i16 {
    saturate_i16((function(x) * ACTIVE_ONE) as i32)
}

fn sigmoid(x: f32) -> i16 {
    active(x, |x| 1.0 / (1.0 + libm::expf(-x)))
}

fn tanh(x: f32) -> i16 {
    active(x, libm::tanhf)
}
