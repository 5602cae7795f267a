//! LSTM layers in integers: 8-bit operands with 16-bit cells.

use ferrolite_kernels::cpu::recurrent::fixed::Multiplier;
use ferrolite_kernels::cpu::recurrent::{
    IntGate, IntLstm, IntMatrix, IntNorm, IntProjection, LstmSize, LstmState, OutputRows, Sequence, row_sums,
};
use ferrolite_kernels::isa::Cpu;

use super::layout::{GateIndex, LstmInputs};
use super::lstm::LstmSettings;
use super::operands::{check_shape, multiplier, optional_vector, scale_and_zero_point, scale_of, weights_i8};
use crate::error::OpError;
use crate::io::Inputs;
use crate::node::Node;
use crate::tensor::TensorInfo;

/// The scale of a gate before activation: 12 fractional bits.
const GATE_SCALE: f32 = 1.0 / 4096.0;

struct IntMatrixInput {
    index: usize,
    factor: Multiplier,
    /// Columns.
    len: usize,
}

impl IntMatrixInput {
    fn new(
        node: &Node<'_>,
        index: usize,
        shape: [usize; 2],
        input_scale: f32,
        output_scale: f32,
    ) -> Result<Self, OpError> {
        check_shape(node, index, &shape)?;
        let factor = scale_of(node.input(index)?.info)? * input_scale / output_scale;
        Ok(Self { index, factor: multiplier(f64::from(factor))?, len: shape[1] })
    }

    fn get<'a>(&self, inputs: &Inputs<'a>) -> Result<IntMatrix<'a>, OpError> {
        Ok(IntMatrix { weights: weights_i8(inputs, self.index)?, factor: self.factor })
    }

    /// The sums of the matrix's rows, if it is constant.
    fn row_sums(&self, node: &Node<'_>, cpu: Cpu, cells: usize) -> Result<Option<Box<[i32]>>, OpError> {
        let Some(weights) = node.input(self.index)?.value else { return Ok(None) };
        let mut sums = vec![0; cells].into_boxed_slice();
        row_sums(cpu, bytemuck::cast_slice(weights), self.len, &mut sums);
        Ok(Some(sums))
    }
}

struct NormInput {
    index: usize,
    factor: Multiplier,
    least_variance: i32,
}

impl NormInput {
    fn new(node: &Node<'_>, index: usize, cells: usize) -> Result<Self, OpError> {
        check_shape(node, index, &[cells])?;
        let scale = scale_of(node.input(index)?.info)?;
        let least_variance = ((10_000.0 * scale) as i32).max(1);
        Ok(Self { index, factor: multiplier(f64::from(scale))?, least_variance })
    }
}

struct IntGateInputs {
    input: IntMatrixInput,
    recurrent: IntMatrixInput,
    /// The sums of both matrices' rows, if they are constant.
    sums: Option<[Box<[i32]>; 2]>,
    peephole: Option<(usize, Multiplier)>,
    norm: Option<NormInput>,
    bias: usize,
}

/// Scales that all gates share.
struct Scales {
    input: f32,
    hidden: f32,
    cell_exponent: i32,
}

impl IntGateInputs {
    fn new(
        node: &Node<'_>,
        cpu: Cpu,
        inputs: &LstmInputs,
        size: &LstmSize,
        scales: &Scales,
        gate: GateIndex,
    ) -> Result<Self, OpError> {
        let cells = size.cells;
        let bias = inputs.bias(gate);
        check_shape(node, bias, &[cells])?;
        let gate_scale = match inputs.norm {
            Some(_) => scale_of(intermediate(node, gate as usize)?)?,
            None => GATE_SCALE,
        };
        let peephole = match inputs.peephole(gate).and_then(|i| node.optional(i).map(|operand| (i, operand)))
        {
            Some((i, operand)) => {
                check_shape(node, i, &[cells])?;
                let factor = f64::powi(2.0, scales.cell_exponent) * f64::from(scale_of(operand.info)?);
                // The factor passes through single precision on its way, as the weights' factors do.
                Some((i, multiplier(f64::from((factor / f64::from(gate_scale)) as f32))?))
            }
            None => None,
        };
        let input =
            IntMatrixInput::new(node, inputs.input(gate), [cells, size.inputs], scales.input, gate_scale)?;
        let recurrent = IntMatrixInput::new(
            node,
            inputs.recurrent(gate),
            [cells, size.outputs],
            scales.hidden,
            gate_scale,
        )?;
        let sums = input.row_sums(node, cpu, cells)?.zip(recurrent.row_sums(node, cpu, cells)?);
        Ok(Self {
            input,
            recurrent,
            sums: sums.map(|(input, recurrent)| [input, recurrent]),
            peephole,
            norm: match inputs.norm {
                Some(first) => Some(NormInput::new(node, first + gate as usize, cells)?),
                None => None,
            },
            bias,
        })
    }

    fn get<'a>(&'a self, inputs: &Inputs<'a>) -> Result<IntGate<'a>, OpError> {
        Ok(IntGate {
            input: self.input.get(inputs)?,
            recurrent: self.recurrent.get(inputs)?,
            sums: self.sums.as_ref().map(|sums| sums.each_ref().map(|sums| &**sums)),
            peephole: match self.peephole {
                Some((i, factor)) => Some((inputs.get(i)?, factor)),
                None => None,
            },
            norm: match &self.norm {
                Some(norm) => Some(IntNorm {
                    weights: inputs.get(norm.index)?,
                    factor: norm.factor,
                    least_variance: norm.least_variance,
                }),
                None => None,
            },
            bias: inputs.get(self.bias)?,
        })
    }
}

/// The quantization of an intermediate value.
pub fn intermediate<'a>(node: &Node<'a>, i: usize) -> Result<&'a TensorInfo, OpError> {
    node.intermediates.get(i).ok_or_else(|| {
        OpError::invalid(format!(
            "an integer LSTM needs the scale of its intermediate value {i}, which the file lacks: convert the model anew"
        ))
    })
}

/// An integer LSTM operator, lowered.
pub struct LoweredIntLstm {
    cpu: Cpu,
    sequence: Sequence,
    size: LstmSize,
    input_gate: Option<IntGateInputs>,
    /// Forget, cell and output.
    gates: [IntGateInputs; 3],
    projection: Option<(IntMatrixInput, Option<usize>, i8)>,
    input_zero_point: i32,
    output_zero_point: i32,
    hidden_zero_point: i32,
    hidden_factor: Multiplier,
    cell_exponent: i32,
    cell_clip: i16,
}

impl LoweredIntLstm {
    /// Checks the operands and computes the factors.
    pub fn new(
        node: &Node<'_>,
        cpu: Cpu,
        inputs: &LstmInputs,
        sequence: Sequence,
        settings: LstmSettings,
    ) -> Result<Self, OpError> {
        let settings = settings.check()?;
        let input = node.input(0)?.info;
        let size = inputs.size(node, input.shape.last().copied().unwrap_or(0), 0, sequence.batch)?;
        let (input_scale, input_zero_point) = scale_and_zero_point(input)?;
        let (state_scale, output_zero_point) = scale_and_zero_point(node.input(inputs.state)?.info)?;
        let cell_scale = scale_of(node.input(inputs.state + 1)?.info)?;
        let cell_exponent = power_of_two(cell_scale)?;
        let (gated_scale, hidden_zero_point) = scale_and_zero_point(intermediate(node, 4)?)?;
        let scales = Scales { input: input_scale, hidden: state_scale, cell_exponent };
        let gate = |gate| IntGateInputs::new(node, cpu, inputs, &size, &scales, gate);
        let has_input_gate = inputs.has_input_gate(node)?;
        inputs.has_peephole(node, has_input_gate)?;
        let product_scale = f64::powi(2.0, -15);
        let hidden_factor = (product_scale / f64::from(gated_scale) * product_scale) as f32;
        let output_scale = scale_of(node.output(0)?)?;
        let projection = match node.optional(inputs.projection()) {
            Some(_) => {
                let shape = [size.outputs, size.cells];
                let matrix = IntMatrixInput::new(node, inputs.projection(), shape, gated_scale, state_scale)?;
                let clip = (settings.projection_clip / output_scale).clamp(-128.0, 127.0) as i8;
                Some((matrix, optional_vector(node, inputs.projection() + 1, size.outputs)?, clip))
            }
            None => None,
        };
        Ok(Self {
            cpu,
            sequence,
            size,
            input_gate: if has_input_gate { Some(gate(GateIndex::Input)?) } else { None },
            gates: [gate(GateIndex::Forget)?, gate(GateIndex::Cell)?, gate(GateIndex::Output)?],
            projection,
            input_zero_point,
            output_zero_point,
            hidden_zero_point,
            hidden_factor: multiplier(f64::from(hidden_factor))?,
            cell_exponent,
            cell_clip: (settings.cell_clip / cell_scale).clamp(-32768.0, 32767.0) as i16,
        })
    }

    /// Bytes of scratch memory.
    pub fn scratch_bytes(&self) -> usize {
        let sums = self.gates.iter().chain(&self.input_gate).all(|gate| gate.sums.is_some());
        self.size.int_scratch_bytes(&self.sequence, sums)
    }

    /// Arithmetic operations of a run.
    pub fn ops(&self) -> f64 {
        let LstmSize { inputs, cells, outputs, .. } = self.size;
        let gates = if self.input_gate.is_some() { 4 } else { 3 };
        2.0 * self.sequence.rows() as f64 * (gates * cells * (inputs + outputs)) as f64
    }

    /// Runs the operator.
    pub fn run(
        &self,
        inputs: &Inputs<'_>,
        state: LstmState<'_, i8, i16>,
        output: &mut [i8],
        scratch: &mut [u8],
    ) -> Result<(), OpError> {
        let [forget, cell, out] = &self.gates;
        let lstm = IntLstm {
            size: self.size,
            input: self.input_gate.as_ref().map(|g| g.get(inputs)).transpose()?,
            forget: forget.get(inputs)?,
            cell: cell.get(inputs)?,
            output: out.get(inputs)?,
            projection: match &self.projection {
                Some((matrix, bias, clip)) => Some(IntProjection {
                    matrix: matrix.get(inputs)?,
                    bias: bias.map(|i| inputs.get(i)).transpose()?,
                    clip: *clip,
                }),
                None => None,
            },
            input_zero_point: self.input_zero_point,
            output_zero_point: self.output_zero_point,
            hidden_zero_point: self.hidden_zero_point,
            hidden_factor: self.hidden_factor,
            cell_exponent: self.cell_exponent,
            cell_clip: self.cell_clip,
        };
        let rows = OutputRows { data: output, offset: 0, stride: self.size.outputs };
        lstm.run(self.cpu, &self.sequence, inputs.get(0)?, state, rows, scratch);
        Ok(())
    }
}

/// The exponent of a cell's scale, which is a power of two from 2^-15 to 2^-9.
pub fn power_of_two(scale: f32) -> Result<i32, OpError> {
    let log = scale.log2();
    let exponent = log.round();
    if (log - exponent).abs() < 1e-3 && (-15.0..=-9.0).contains(&exponent) {
        return Ok(exponent as i32);
    }
    Err(OpError::unsupported(format!(
        "the scale {scale} of an integer LSTM's cell state is no power of two from 2^-15 to 2^-9"
    )))
}
