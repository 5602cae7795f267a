//! Long short-term memory in float, with float or 8-bit weights.
//!
//! A gate is `activation(norm(W_x x + W_h h + peephole · c) + bias)`. With gates i, f, g, o the cell becomes
//! `c = f c + i g` and the output `h = projection(o · activation(c))`; without an input gate, `i = 1 - f`.

use super::activation::Activation;
use super::dense::Vectors;
use super::linear::{Matrix, Operand};
use super::sequence::{OutputRows, Sequence};
use crate::isa::Cpu;
use crate::scratch::{Scratch, ScratchSize};

/// Steps whose products with the input are computed at once.
const BLOCK: usize = 32;

/// One factor per cell.
#[derive(Clone, Copy, Debug)]
pub enum Peephole<'a> {
    /// Float factors.
    F32(&'a [f32]),
    /// 8-bit factors and their scale.
    I8(&'a [i8], f32),
}

/// The parameters of a gate.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Weights of the input, `[cells, inputs]`.
    pub input: Matrix<'a>,
    /// Weights of the auxiliary input, `[cells, aux_inputs]`.
    pub aux: Option<Matrix<'a>>,
    /// Weights of the previous output, `[cells, outputs]`.
    pub recurrent: Matrix<'a>,
    /// Weights of the cell state, `[cells]`.
    pub peephole: Option<Peephole<'a>>,
    /// Coefficients of layer normalization, `[cells]`.
    pub norm: Option<&'a [f32]>,
    /// Bias, `[cells]`.
    pub bias: &'a [f32],
}

/// A linear layer between the gated cell and the output.
#[derive(Clone, Copy, Debug)]
pub struct Projection<'a> {
    /// Weights, `[outputs, cells]`.
    pub weights: Matrix<'a>,
    /// Bias, `[outputs]`.
    pub bias: Option<&'a [f32]>,
}

/// Sizes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LstmSize {
    /// Length of an input vector.
    pub inputs: usize,
    /// Length of an auxiliary input vector; 0 without one.
    pub aux_inputs: usize,
    /// Number of cells.
    pub cells: usize,
    /// Length of an output vector.
    pub outputs: usize,
}

/// A layer.
#[derive(Clone, Copy, Debug)]
pub struct Lstm<'a> {
    /// Sizes.
    pub size: LstmSize,
    /// The input gate; `None` couples it to the forget gate.
    pub input: Option<Gate<'a>>,
    /// The forget gate.
    pub forget: Gate<'a>,
    /// The cell gate, which offers new content.
    pub cell: Gate<'a>,
    /// The output gate.
    pub output: Gate<'a>,
    /// The projection; without one there are as many outputs as cells.
    pub projection: Option<Projection<'a>>,
    /// Activation of the cell gate and of the cell's way out.
    pub activation: Activation,
    /// Bound of the cell state's magnitude; 0 for none.
    pub cell_clip: f32,
    /// Bound of the projection's magnitude; 0 for none.
    pub projection_clip: f32,
    /// Whether vectors that meet 8-bit weights are quantized with a zero point.
    pub asymmetric: bool,
}

/// The state of a layer between steps.
#[derive(Debug)]
pub struct LstmState<'a, H, C> {
    /// The last output, `[batch, outputs]`.
    pub hidden: &'a mut [H],
    /// The cell state, `[batch, cells]`.
    pub cell: &'a mut [C],
}

/// The typed parts of the scratch memory.
struct Workspace<'a> {
    /// Gates before activation: `[steps of a block, batch, gates, cells]`.
    gates: &'a mut [f32],
    /// Cells on their way out, `[batch, cells]`.
    gated: &'a mut [f32],
    quantized_input: &'a mut [i16],
    input_scales: &'a mut [f32],
    quantized_hidden: &'a mut [i16],
    hidden_scales: &'a mut [f32],
}

impl LstmSize {
    /// Bytes of scratch memory that [`Lstm::run`] needs.
    #[must_use]
    pub fn scratch_bytes(&self, sequence: &Sequence) -> usize {
        let steps = sequence.steps.min(BLOCK);
        ScratchSize::new()
            .with::<f32>(steps * sequence.batch * 4 * self.cells)
            .with::<f32>(sequence.batch * self.cells)
            .with::<i16>(steps * self.inputs.max(self.aux_inputs))
            .with::<f32>(steps)
            .with::<i16>(sequence.batch * self.outputs.max(self.cells))
            .with::<f32>(sequence.batch)
            .bytes()
    }

    fn workspace<'a>(&self, sequence: &Sequence, memory: &'a mut [u8]) -> Workspace<'a> {
        let steps = sequence.steps.min(BLOCK);
        let mut scratch = Scratch::new(memory);
        Workspace {
            gates: scratch.take(steps * sequence.batch * 4 * self.cells),
            gated: scratch.take(sequence.batch * self.cells),
            quantized_input: scratch.take(steps * self.inputs.max(self.aux_inputs)),
            input_scales: scratch.take(steps),
            quantized_hidden: scratch.take(sequence.batch * self.outputs.max(self.cells)),
            hidden_scales: scratch.take(sequence.batch),
        }
    }
}

impl<'a> Lstm<'a> {
    /// The gates in the order of the workspace; the input gate, which may be missing, comes last.
    fn gates(&self) -> impl Iterator<Item = &Gate<'a>> {
        [&self.forget, &self.cell, &self.output].into_iter().chain(&self.input)
    }

    /// Runs the layer over a batch of sequences.
    ///
    /// `input` has `[rows, inputs]` elements, `aux` `[rows, aux_inputs]`, in the row order of `sequence`.
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
        state: LstmState<'_, f32, f32>,
        mut output: OutputRows<'_, f32>,
        scratch: &mut [u8],
    ) {
        let mut work = self.size.workspace(sequence, scratch);
        for block in sequence.blocks(BLOCK) {
            self.feed_forward(cpu, sequence, block.clone(), input, aux, &mut work);
            for t in sequence.walk(block.clone()) {
                self.step(cpu, sequence.batch, t - block.start, &mut work, state.hidden, state.cell);
                for (b, hidden) in state.hidden.chunks_exact(self.size.outputs.max(1)).enumerate() {
                    output.write(sequence.row(t, b), hidden);
                }
            }
        }
    }

    /// What does not depend on the state: bias and the products with the inputs, for a block of steps.
    fn feed_forward(
        &self,
        cpu: Cpu,
        sequence: &Sequence,
        block: core::ops::Range<usize>,
        input: &[f32],
        aux: Option<&[f32]>,
        work: &mut Workspace<'_>,
    ) {
        let cells = self.size.cells;
        let row = self.gates().count() * cells;
        for gates in work.gates[..block.len() * sequence.batch * row].chunks_exact_mut(row.max(1)) {
            for (gate, values) in self.gates().zip(gates.chunks_exact_mut(cells.max(1))) {
                if gate.norm.is_some() {
                    values.fill(0.0)
                } else {
                    values.copy_from_slice(&gate.bias[..cells])
                }
            }
        }
        let sources = [(Some(input), self.size.inputs), (aux, self.size.aux_inputs)];
        for (i, (data, len)) in sources.into_iter().enumerate() {
            let Some(data) = data else { continue };
            let matrix = |gate: &Gate<'a>| if i == 0 { Some(gate.input) } else { gate.aux };
            let quantize = self.gates().filter_map(matrix).any(|m| m.needs_quantized());
            for b in 0..sequence.batch {
                let vectors = Vectors {
                    data: &data[sequence.row(block.start, b) * len..],
                    len,
                    stride: sequence.step_stride() * len,
                    count: block.len(),
                };
                let operand = if quantize {
                    Operand::quantize(cpu, vectors, self.asymmetric, work.quantized_input, work.input_scales)
                } else {
                    Operand::float_only(vectors)
                };
                for (g, gate) in self.gates().enumerate() {
                    if let Some(matrix) = matrix(gate) {
                        let out = &mut work.gates[b * row + g * cells..];
                        operand.accumulate(cpu, matrix, cells, out, sequence.batch * row);
                    }
                }
            }
        }
    }

    /// One step of every sequence; `index` counts from the start of the block.
    fn step(
        &self,
        cpu: Cpu,
        batch: usize,
        index: usize,
        work: &mut Workspace<'_>,
        hidden: &mut [f32],
        cell_state: &mut [f32],
    ) {
        let LstmSize { cells, outputs, .. } = self.size;
        let row = self.gates().count() * cells;
        let gates = &mut work.gates[index * batch * row..][..batch * row];
        {
            let vectors = Vectors::dense(&*hidden, outputs, batch);
            let operand = if self.gates().any(|g| g.recurrent.needs_quantized()) {
                Operand::quantize(cpu, vectors, self.asymmetric, work.quantized_hidden, work.hidden_scales)
            } else {
                Operand::float_only(vectors)
            };
            for (g, gate) in self.gates().enumerate() {
                operand.accumulate(cpu, gate.recurrent, cells, &mut gates[g * cells..], row);
            }
        }
        for b in 0..batch {
            let gates = &mut gates[b * row..][..row];
            self.gate_cells(
                cpu,
                gates,
                &mut cell_state[b * cells..][..cells],
                &mut work.gated[b * cells..][..cells],
            );
        }
        self.project(cpu, batch, work, hidden);
    }

    /// Activates the gates of one sequence and updates its cells.
    fn gate_cells(&self, cpu: Cpu, gates: &mut [f32], cell_state: &mut [f32], gated: &mut [f32]) {
        let (forget, rest) = gates.split_at_mut(self.size.cells);
        let (cell, rest) = rest.split_at_mut(self.size.cells);
        let (output, input) = rest.split_at_mut(self.size.cells);
        self.forget.finish(cpu, forget, cell_state, Activation::Sigmoid);
        self.cell.finish(cpu, cell, cell_state, self.activation);
        if let Some(gate) = &self.input {
            gate.finish(cpu, input, cell_state, Activation::Sigmoid);
            for (((c, &f), &g), &i) in cell_state.iter_mut().zip(&*forget).zip(&*cell).zip(&*input) {
                *c = f * *c + i * g;
            }
        } else {
            for ((c, &f), &g) in cell_state.iter_mut().zip(&*forget).zip(&*cell) {
                *c = f * *c + (1.0 - f) * g;
            }
        }
        clip(cell_state, self.cell_clip);
        self.output.finish(cpu, output, cell_state, Activation::Sigmoid);
        gated.copy_from_slice(cell_state);
        self.activation.apply(cpu, gated);
        for (gated, &o) in gated.iter_mut().zip(&*output) {
            *gated *= o;
        }
    }

    /// Turns the gated cells into the output.
    fn project(&self, cpu: Cpu, batch: usize, work: &mut Workspace<'_>, hidden: &mut [f32]) {
        let LstmSize { cells, outputs, .. } = self.size;
        let hidden = &mut hidden[..batch * outputs];
        let Some(projection) = &self.projection else {
            hidden.copy_from_slice(&work.gated[..batch * cells]);
            return;
        };
        for hidden in hidden.chunks_exact_mut(outputs.max(1)) {
            match projection.bias {
                Some(bias) => hidden.copy_from_slice(&bias[..outputs]),
                None => hidden.fill(0.0),
            }
        }
        let vectors = Vectors::dense(&*work.gated, cells, batch);
        let operand = if projection.weights.needs_quantized() {
            Operand::quantize(cpu, vectors, self.asymmetric, work.quantized_hidden, work.hidden_scales)
        } else {
            Operand::float_only(vectors)
        };
        operand.accumulate(cpu, projection.weights, outputs, hidden, outputs);
        clip(hidden, self.projection_clip);
    }
}

impl Gate<'_> {
    /// Adds the peephole, normalizes and activates.
    fn finish(&self, cpu: Cpu, values: &mut [f32], cell_state: &[f32], activation: Activation) {
        match self.peephole {
            Some(Peephole::F32(weights)) => {
                for ((v, &w), &c) in values.iter_mut().zip(weights).zip(cell_state) {
                    *v += w * c;
                }
            }
            Some(Peephole::I8(weights, scale)) => {
                for ((v, &w), &c) in values.iter_mut().zip(weights).zip(cell_state) {
                    *v += f32::from(w) * scale * c;
                }
            }
            None => {}
        }
        if let Some(norm) = self.norm {
            normalize(values);
            for ((v, &n), &bias) in values.iter_mut().zip(norm).zip(self.bias) {
                *v = *v * n + bias;
            }
        }
        activation.apply(cpu, values);
    }
}

/// Brings `values` to mean 0 and variance 1.
fn normalize(values: &mut [f32]) {
    const EPSILON: f32 = 1e-8;
    let n = values.len() as f32;
    let mean = values.iter().sum::<f32>() / n;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n;
    let scale = 1.0 / (variance + EPSILON).sqrt();
    for v in values {
        *v = (*v - mean) * scale;
    }
}

/// Holds `values` to `-bound..=bound` if `bound` is positive.
fn clip(values: &mut [f32], bound: f32) {
    if bound > 0.0 {
        for v in values {
            *v = v.clamp(-bound, bound);
        }
    }
}
