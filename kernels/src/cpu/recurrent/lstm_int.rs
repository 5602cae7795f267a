//! Long short-term memory in integers: 8-bit inputs, outputs and weights, 16-bit cells.
//!
//! Gates before activation are 16-bit numbers with 12 fractional bits (or of the given scale before a layer
//! normalization), activated gates have 15. The cell's scale is a power of two.

use super::dense::{Vectors, products_bytes, products_i8, row_sums};
use super::fixed::{reciprocal_sqrt, saturate_i8, saturate_i16};
use super::fixed_lanes::{sigmoid_q3_all, tanh_all};
use super::lstm::{LstmSize, LstmState};
use super::sequence::{OutputRows, Sequence};
use crate::fixed_point::{Multiplier, rounding_shift_right};
use crate::isa::{Cpu, Isa, Kernel};
use crate::scratch::{Scratch, ScratchSize};

/// Fractional bits of an activated gate.
const GATE_BITS: i32 = 15;
/// Integer bits of a gate before activation.
const GATE_INTEGER_BITS: i32 = 3;

/// 8-bit weights and the factor that brings their products to the scale of the result.
#[derive(Clone, Copy, Debug)]
pub struct IntMatrix<'a> {
    /// The weights, row-major.
    pub weights: &'a [i8],
    /// The factor.
    pub factor: Multiplier,
}

/// Integer layer normalization.
#[derive(Clone, Copy, Debug)]
pub struct IntNorm<'a> {
    /// Coefficients, `[cells]`.
    pub weights: &'a [i16],
    /// Their scale.
    pub factor: Multiplier,
    /// Variance that takes the place of one below 1.
    pub least_variance: i32,
}

/// The parameters of a gate.
#[derive(Clone, Copy, Debug)]
pub struct IntGate<'a> {
    /// Weights of the input, `[cells, inputs]`.
    pub input: IntMatrix<'a>,
    /// Weights of the previous output, `[cells, outputs]`.
    pub recurrent: IntMatrix<'a>,
    /// The [`row_sums`] of both, `[cells]` each, where they are known; otherwise every run computes them.
    pub sums: Option<[&'a [i32]; 2]>,
    /// Weights of the cell state, `[cells]`, and their factor.
    pub peephole: Option<(&'a [i16], Multiplier)>,
    /// Layer normalization.
    pub norm: Option<IntNorm<'a>>,
    /// Bias, `[cells]`; added to the input's products or, with a layer normalization, in that.
    pub bias: &'a [i32],
}

/// A linear layer between the gated cell and the output.
#[derive(Clone, Copy, Debug)]
pub struct IntProjection<'a> {
    /// Weights, `[outputs, cells]`.
    pub matrix: IntMatrix<'a>,
    /// Bias, `[outputs]`.
    pub bias: Option<&'a [i32]>,
    /// Bound of the magnitude; 0 for none.
    pub clip: i8,
}

/// A layer.
#[derive(Clone, Copy, Debug)]
pub struct IntLstm<'a> {
    /// Sizes; there is no auxiliary input.
    pub size: LstmSize,
    /// The input gate; `None` couples it to the forget gate.
    pub input: Option<IntGate<'a>>,
    /// The forget gate.
    pub forget: IntGate<'a>,
    /// The cell gate.
    pub cell: IntGate<'a>,
    /// The output gate.
    pub output: IntGate<'a>,
    /// The projection.
    pub projection: Option<IntProjection<'a>>,
    /// Zero point of the input.
    pub input_zero_point: i32,
    /// Zero point of the output and of the hidden state.
    pub output_zero_point: i32,
    /// Zero point of the gated cells before the projection, or of the output without one.
    pub hidden_zero_point: i32,
    /// The factor from the product of output gate and activated cell to the gated cells.
    pub hidden_factor: Multiplier,
    /// The binary logarithm of the cell's scale, -15 to -9.
    pub cell_exponent: i32,
    /// Bound of the cell's magnitude; 0 for none.
    pub cell_clip: i16,
}

/// The typed parts of the scratch memory.
struct Workspace<'a> {
    /// Sums of the rows of the gates' weights, in the gates' order: of the input and of the hidden state.
    row_sums: [[&'a [i32]; 2]; 4],
    /// Gates: forget, cell, output, input; each `[batch, cells]`.
    gates: [&'a mut [i16]; 4],
    /// Activated, then gated cells.
    gated: &'a mut [i16],
    /// Products of a gate with the input and with the hidden state.
    products: [&'a mut [i32]; 2],
}

/// Quantized vectors.
#[derive(Clone, Copy)]
struct Rows<'a> {
    vectors: Vectors<'a, i8>,
    zero_point: i32,
}

/// The cells that peepholes reach.
///
/// The reference lets a peephole reach as many cells of a sequence as there are outputs, and where it takes all
/// sequences of a step at once it also places sequences that many cells apart. Both show only when a projection makes
/// the outputs fewer than the cells.
#[derive(Clone, Copy, Debug)]
struct PeepholeReach {
    /// Cells of a sequence that are reached.
    cells: usize,
    /// Cells from one sequence to the next.
    stride: usize,
}

impl PeepholeReach {
    fn new(size: &LstmSize, sequence: &Sequence) -> Self {
        let cells = size.cells.min(size.outputs);
        Self { cells, stride: if sequence.time_major { cells } else { size.cells } }
    }
}

impl LstmSize {
    /// Bytes of scratch memory that [`IntLstm::run`] needs; `sums` says whether all gates come with their [`IntGate::sums`].
    #[must_use]
    pub fn int_scratch_bytes(&self, sequence: &Sequence, sums: bool) -> usize {
        let cells = sequence.batch * self.cells;
        let mut size = ScratchSize::new().with::<i16>(cells).with::<i32>(cells).with::<i32>(cells);
        for _ in 0..4 {
            size = size.with::<i16>(cells);
            if !sums {
                size = size.with::<i32>(self.cells).with::<i32>(self.cells);
            }
        }
        size.bytes()
    }
}

impl IntLstm<'_> {
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
        let gated = scratch.take(sequence.batch * cells);
        let products = core::array::from_fn(|_| scratch.take(sequence.batch * cells));
        let gates = core::array::from_fn(|_| scratch.take(sequence.batch * cells));
        let of_gates = [Some(&self.forget), Some(&self.cell), Some(&self.output), self.input.as_ref()];
        let row_sums = of_gates.map(|gate| match gate {
            None => [&[][..]; 2],
            Some(IntGate { sums: Some(known), .. }) => *known,
            Some(gate) => [(gate.input, inputs), (gate.recurrent, outputs)].map(|(matrix, len)| {
                let sums = scratch.take(cells);
                row_sums(cpu, matrix.weights, len, sums);
                &*sums
            }),
        });
        let mut work = Workspace { row_sums, gates, gated, products };
        let peephole = PeepholeReach::new(&self.size, sequence);
        for t in sequence.walk(0..sequence.steps) {
            // Of no sequences there may be no first row.
            let data = input.get(sequence.row(t, 0) * inputs..).unwrap_or_default();
            let stride = if sequence.time_major { inputs } else { sequence.steps * inputs };
            let x = Vectors { data, len: inputs, stride, count: sequence.batch };
            self.step(cpu, x, peephole, &mut work, state.hidden, state.cell);
            for b in 0..sequence.batch {
                output.write(sequence.row(t, b), &state.hidden[b * outputs..][..outputs]);
            }
        }
    }

    fn step(
        &self,
        cpu: Cpu,
        input: Vectors<'_, i8>,
        peephole: PeepholeReach,
        work: &mut Workspace<'_>,
        hidden: &mut [i8],
        cell_state: &mut [i16],
    ) {
        let LstmSize { cells, outputs, .. } = self.size;
        let batch = input.count;
        let cell_state = &mut cell_state[..batch * cells];
        let x = Rows { vectors: input, zero_point: self.input_zero_point };
        let h =
            Rows { vectors: Vectors::dense(&*hidden, outputs, batch), zero_point: self.output_zero_point };
        let [forget, cell, out, input] = &mut work.gates;
        let [of_forget, of_cell, of_out, of_input] = &work.row_sums;
        let mut gate = |gate: &IntGate<'_>, sums: &[&[i32]; 2], values: &mut [i16], cell_state: &[i16]| {
            gate.run(cpu, sums, x, h, cell_state, peephole, &mut work.products, values);
        };
        gate(&self.forget, of_forget, forget, cell_state);
        sigmoid_q3_all(cpu, forget);
        gate(&self.cell, of_cell, cell, cell_state);
        let known = tanh_all(cpu, GATE_INTEGER_BITS, cell);
        debug_assert!(known);
        if let Some(of) = &self.input {
            gate(of, of_input, input, cell_state);
            sigmoid_q3_all(cpu, input);
        } else {
            for (i, &f) in input.iter_mut().zip(&**forget) {
                *i = i16::MAX.wrapping_sub(f);
            }
        }
        update_cells(cpu, cell_state, forget, input, cell, self.cell_exponent, self.cell_clip);
        gate(&self.output, of_out, out, cell_state);
        sigmoid_q3_all(cpu, out);
        work.gated.copy_from_slice(cell_state);
        let known = tanh_all(cpu, 15 + self.cell_exponent, work.gated);
        assert!(known, "the cell's scale is out of range");
        self.project(cpu, batch, work, hidden);
    }

    /// Multiplies the activated cells with the output gate and projects them.
    fn project(&self, cpu: Cpu, batch: usize, work: &mut Workspace<'_>, hidden: &mut [i8]) {
        let LstmSize { cells, outputs, .. } = self.size;
        let hidden = &mut hidden[..batch * outputs];
        let [.., out, spare] = &mut work.gates;
        let zero_point = self.hidden_zero_point;
        let product = Gated { activated: work.gated, gate: out, factor: self.hidden_factor };
        let Some(projection) = &self.projection else {
            cpu.dispatch(product.into_each(hidden, |h, value| *h = saturate_i8(value + zero_point)));
            return;
        };
        cpu.dispatch(product.into_each(spare, |to, value| {
            *to = i16::from(saturate_i8(value - zero_point)) + zero_point as i16;
        }));
        let vectors = Vectors::dense(spare, cells, batch);
        let IntMatrix { weights, factor } = projection.matrix;
        products_i8(cpu, weights, outputs, vectors, |b, first, sums| {
            for (row, &sum) in (first..).zip(sums) {
                let bias = projection.bias.map_or(0, |bias| bias[row]);
                hidden[b * outputs + row] =
                    saturate_i8(factor.apply(sum.wrapping_add(bias)) + self.output_zero_point);
            }
        });
        if projection.clip > 0 {
            for h in hidden {
                *h = (*h).clamp(-projection.clip, projection.clip);
            }
        }
    }
}

impl IntGate<'_> {
    /// Computes the gate before activation.
    #[expect(clippy::too_many_arguments, reason = "the operands of a gate")]
    fn run(
        &self,
        cpu: Cpu,
        row_sums: &[&[i32]; 2],
        x: Rows<'_>,
        h: Rows<'_>,
        cell_state: &[i16],
        peephole: PeepholeReach,
        products: &mut [&mut [i32]; 2],
        gate: &mut [i16],
    ) {
        let (batch, cells) = (x.vectors.count, row_sums[0].len());
        let gate = &mut gate[..batch * cells];
        let operands = [(&self.input, x), (&self.recurrent, h)];
        for ((products, row_sums), (matrix, rows)) in products.iter_mut().zip(row_sums).zip(operands) {
            products_bytes(cpu, matrix.weights, row_sums, rows.vectors, rows.zero_point, |b, first, sums| {
                products[b * cells + first..][..sums.len()].copy_from_slice(sums);
            });
        }
        let bias = if self.norm.is_some() { &[] } else { self.bias };
        let [of_input, of_hidden] = products;
        let rows = of_input.chunks_exact(cells.max(1)).zip(of_hidden.chunks_exact(cells.max(1)));
        for ((input, hidden), gate) in rows.zip(gate.chunks_exact_mut(cells.max(1))) {
            let factors = [self.input.factor, self.recurrent.factor];
            cpu.dispatch(AddUp { products: [input, hidden], factors, bias, gate });
        }
        if let Some((weights, factor)) = self.peephole {
            for b in 0..batch {
                let (gate, cell_state) =
                    (&mut gate[b * peephole.stride..], &cell_state[b * peephole.stride..]);
                for ((g, &c), &weight) in gate.iter_mut().zip(cell_state).zip(&weights[..peephole.cells]) {
                    let product = factor.apply(i32::from(weight) * i32::from(c));
                    *g = saturate_i16(product.saturating_add(i32::from(*g)));
                }
            }
        }
        if let Some(norm) = &self.norm {
            for values in gate.chunks_exact_mut(cells.max(1)) {
                norm.run(self.bias, values);
            }
        }
    }
}

/// Brings a gate's products to its scale and adds them.
struct AddUp<'a> {
    products: [&'a [i32]; 2],
    factors: [Multiplier; 2],
    /// Added to the products with the input; may be empty.
    bias: &'a [i32],
    gate: &'a mut [i16],
}

impl Kernel for AddUp<'_> {
    type Output = ();

    /// Plain loops over slices of one length, which become vector code.
    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let Self { products: [input, hidden], factors: [of_input, of_hidden], bias, gate } = self;
        let n = gate.len();
        let (input, hidden) = (&input[..n], &hidden[..n]);
        let sum = |input: i32, hidden: i32| {
            let first = saturate_i16(of_input.apply(input));
            saturate_i16(of_hidden.apply(hidden).saturating_add(first.into()))
        };
        if bias.is_empty() {
            for i in 0..n {
                gate[i] = sum(input[i], hidden[i]);
            }
        } else {
            let bias = &bias[..n];
            for i in 0..n {
                gate[i] = sum(input[i].wrapping_add(bias[i]), hidden[i]);
            }
        }
    }
}

/// Products of activated cells and the output gate, in another scale.
struct Gated<'a> {
    activated: &'a [i16],
    gate: &'a [i16],
    factor: Multiplier,
}

impl<'a> Gated<'a> {
    /// A kernel that hands each product over with the element it is for.
    fn into_each<T, F: Fn(&mut T, i32)>(self, to: &'a mut [T], write: F) -> GatedInto<'a, T, F> {
        GatedInto { products: self, to, write }
    }
}

struct GatedInto<'a, T, F> {
    products: Gated<'a>,
    to: &'a mut [T],
    write: F,
}

impl<T, F: Fn(&mut T, i32)> Kernel for GatedInto<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let Gated { activated, gate, factor } = self.products;
        for ((to, &a), &g) in self.to.iter_mut().zip(activated).zip(gate) {
            (self.write)(to, factor.apply(i32::from(a) * i32::from(g)));
        }
    }
}

impl IntNorm<'_> {
    /// Normalizes one row: mean and variance with 10 more fractional bits than the values.
    fn run(&self, bias: &[i32], values: &mut [i16]) {
        let n = values.len() as i64;
        let sum: i64 = values.iter().map(|&v| i64::from(v)).sum();
        let square_sum: i64 = values.iter().map(|&v| i64::from(v) * i64::from(v)).sum();
        let mean = (sum * 1024 / n) as i32;
        let variance = square_sum * ((1 << 20) / n) - i64::from(mean) * i64::from(mean);
        let variance = (variance / (1 << 20)) as i32;
        let variance = if variance < 1 { self.least_variance } else { variance };
        let scale = reciprocal_sqrt(variance);
        let factor = Multiplier { exponent: self.factor.exponent + 12, ..self.factor };
        for ((v, &weight), &bias) in values.iter_mut().zip(self.weights).zip(bias) {
            let normal = scale.apply((1024 * i32::from(*v)).wrapping_sub(mean));
            let weighted = i64::from(normal.wrapping_mul(i32::from(weight)).wrapping_add(bias));
            let rounded = (if weighted > 0 { weighted + 512 } else { weighted - 512 }) / 1024;
            *v = saturate_i16(factor.apply(rounded as i32));
        }
    }
}

/// `c = f c + i g`, with saturation and clipping.
pub(super) fn update_cells(
    cpu: Cpu,
    c: &mut [i16],
    forget: &[i16],
    input: &[i16],
    cell: &[i16],
    cell_exponent: i32,
    clip: i16,
) {
    let clip = if clip > 0 { -clip..=clip } else { i16::MIN..=i16::MAX };
    cpu.dispatch(UpdateCells { c, forget, input, cell, shift: 2 * GATE_BITS + cell_exponent, clip });
}

struct UpdateCells<'a> {
    c: &'a mut [i16],
    forget: &'a [i16],
    input: &'a [i16],
    cell: &'a [i16],
    /// The right shift that brings products of gates to the scale of the cells.
    shift: i32,
    clip: core::ops::RangeInclusive<i16>,
}

impl Kernel for UpdateCells<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let (low, high) = (*self.clip.start(), *self.clip.end());
        for (((c, &f), &i), &g) in self.c.iter_mut().zip(self.forget).zip(self.input).zip(self.cell) {
            let kept = rounding_shift_right(i32::from(f) * i32::from(*c), GATE_BITS) as i16;
            let added = rounding_shift_right(i32::from(i) * i32::from(g), self.shift) as i16;
            *c = kept.saturating_add(added).clamp(low, high);
        }
    }
}
