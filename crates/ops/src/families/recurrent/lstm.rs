//! LSTM layers in float, with float or 8-bit weights.

use ferrolite_kernels::cpu::recurrent::{
    Activation, Gate, Lstm, LstmSize, LstmState, OutputRows, Projection, Sequence,
};
use ferrolite_kernels::isa::Cpu;

use super::layout::{GateIndex, LstmInputs};
use super::operands::{WeightsInput, check_shape, optional_vector};
use crate::error::OpError;
use crate::io::Inputs;
use crate::node::Node;

/// Options that all LSTM operators share.
#[derive(Clone, Copy, Debug)]
pub struct LstmSettings {
    /// Activation of the cell.
    pub activation: Activation,
    /// Bound of the cell state; 0 for none.
    pub cell_clip: f32,
    /// Bound of the projection; 0 for none.
    pub projection_clip: f32,
    /// Whether inputs of 8-bit weights are quantized with a zero point.
    pub asymmetric: bool,
}

impl LstmSettings {
    /// Refuses negative bounds.
    pub fn check(self) -> Result<Self, OpError> {
        if self.cell_clip >= 0.0 && self.projection_clip >= 0.0 {
            return Ok(self);
        }
        Err(OpError::invalid("the bounds cell_clip and proj_clip must not be negative"))
    }
}

struct GateInputs {
    input: WeightsInput,
    aux: Option<WeightsInput>,
    recurrent: WeightsInput,
    peephole: Option<WeightsInput>,
    norm: Option<usize>,
    bias: usize,
}

impl GateInputs {
    fn new(node: &Node<'_>, inputs: &LstmInputs, size: &LstmSize, gate: GateIndex) -> Result<Self, OpError> {
        let cells = size.cells;
        let bias = inputs.bias(gate);
        check_shape(node, bias, &[cells])?;
        Ok(Self {
            input: WeightsInput::matrix(node, inputs.input(gate), cells, size.inputs)?,
            aux: match inputs.aux {
                Some(first) => {
                    Some(WeightsInput::matrix(node, first + gate as usize, cells, size.aux_inputs)?)
                }
                None => None,
            },
            recurrent: WeightsInput::matrix(node, inputs.recurrent(gate), cells, size.outputs)?,
            peephole: match inputs.peephole(gate) {
                Some(i) => WeightsInput::optional_vector(node, i, cells)?,
                None => None,
            },
            norm: match inputs.norm {
                Some(first) => optional_vector(node, first + gate as usize, cells)?,
                None => None,
            },
            bias,
        })
    }

    fn get<'a>(&self, inputs: &Inputs<'a>) -> Result<Gate<'a>, OpError> {
        Ok(Gate {
            input: self.input.get(inputs)?,
            aux: self.aux.map(|w| w.get(inputs)).transpose()?,
            recurrent: self.recurrent.get(inputs)?,
            peephole: self.peephole.map(|w| w.get_peephole(inputs)).transpose()?,
            norm: self.norm.map(|i| inputs.get(i)).transpose()?,
            bias: inputs.get(self.bias)?,
        })
    }
}

/// One direction of an LSTM operator, lowered.
pub struct LoweredLstm {
    cpu: Cpu,
    sequence: Sequence,
    size: LstmSize,
    settings: LstmSettings,
    input: usize,
    aux: Option<usize>,
    input_gate: Option<GateInputs>,
    /// Forget, cell and output.
    gates: [GateInputs; 3],
    projection: Option<(WeightsInput, Option<usize>)>,
}

/// Where a direction finds its sequences.
#[derive(Clone, Copy, Debug)]
pub struct LstmSource {
    /// The input with the vectors.
    pub input: usize,
    /// The input with auxiliary vectors.
    pub aux: Option<usize>,
    /// Rows and order.
    pub sequence: Sequence,
}

impl LoweredLstm {
    /// Checks the operands of a direction.
    pub fn new(
        node: &Node<'_>,
        cpu: Cpu,
        inputs: &LstmInputs,
        source: LstmSource,
        settings: LstmSettings,
    ) -> Result<Self, OpError> {
        let width = |i: usize| node.shape(i).map(|shape| shape.last().copied().unwrap_or(0));
        let aux_inputs = source.aux.map_or(Ok(0), width)?;
        let size = inputs.size(node, width(source.input)?, aux_inputs, source.sequence.batch)?;
        let gate = |gate| GateInputs::new(node, inputs, &size, gate);
        let has_input_gate = inputs.has_input_gate(node)?;
        inputs.has_peephole(node, has_input_gate)?;
        let projection = match node.optional(inputs.projection()) {
            Some(_) => Some((
                WeightsInput::matrix(node, inputs.projection(), size.outputs, size.cells)?,
                optional_vector(node, inputs.projection() + 1, size.outputs)?,
            )),
            None => None,
        };
        Ok(Self {
            cpu,
            sequence: source.sequence,
            size,
            settings: settings.check()?,
            input: source.input,
            aux: source.aux,
            input_gate: if has_input_gate { Some(gate(GateIndex::Input)?) } else { None },
            gates: [gate(GateIndex::Forget)?, gate(GateIndex::Cell)?, gate(GateIndex::Output)?],
            projection,
        })
    }

    /// Whether any weights have 8 bits.
    pub fn is_hybrid(&self) -> bool {
        self.gates.iter().any(|g| g.input.is_quantized() || g.recurrent.is_quantized())
    }

    /// Length of an output vector.
    pub fn outputs(&self) -> usize {
        self.size.outputs
    }

    /// Bytes of scratch memory.
    pub fn scratch_bytes(&self) -> usize {
        self.size.scratch_bytes(&self.sequence)
    }

    /// Arithmetic operations of a run.
    pub fn ops(&self) -> f64 {
        let LstmSize { inputs, aux_inputs, cells, outputs } = self.size;
        let gates = if self.input_gate.is_some() { 4 } else { 3 };
        let projection = if self.projection.is_some() { cells * outputs } else { 0 };
        2.0 * self.sequence.rows() as f64
            * (gates * cells * (inputs + aux_inputs + outputs) + projection) as f64
    }

    /// Runs the direction.
    pub fn run(
        &self,
        inputs: &Inputs<'_>,
        state: LstmState<'_, f32, f32>,
        output: OutputRows<'_, f32>,
        scratch: &mut [u8],
    ) -> Result<(), OpError> {
        let [forget, cell, out] = &self.gates;
        let lstm = Lstm {
            size: self.size,
            input: self.input_gate.as_ref().map(|g| g.get(inputs)).transpose()?,
            forget: forget.get(inputs)?,
            cell: cell.get(inputs)?,
            output: out.get(inputs)?,
            projection: match &self.projection {
                Some((weights, bias)) => Some(Projection {
                    weights: weights.get(inputs)?,
                    bias: bias.map(|i| inputs.get(i)).transpose()?,
                }),
                None => None,
            },
            activation: self.settings.activation,
            cell_clip: self.settings.cell_clip,
            projection_clip: self.settings.projection_clip,
            asymmetric: self.settings.asymmetric,
        };
        let input = inputs.get(self.input)?;
        let aux = self.aux.map(|i| inputs.get(i)).transpose()?;
        lstm.run(self.cpu, &self.sequence, input, aux, state, output, scratch);
        Ok(())
    }
}
