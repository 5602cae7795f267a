//! The LSTM in integers whose matrix products are rounded to 8 bits, which the file marks by 12 intermediate values.

use ferrolite_kernels::cpu::recurrent::fixed::Multiplier;
use ferrolite_kernels::cpu::recurrent::{
    LstmSize, LstmState, NarrowGate, NarrowLstm, NarrowMatrix, OutputRows, Sequence,
};
use ferrolite_kernels::isa::Cpu;

use super::layout::{GateIndex, LstmInputs};
use super::lstm::LstmSettings;
use super::lstm_int::intermediate;
use super::operands::{check_shape, multiplier, optional_vector, scale_and_zero_point, scale_of, weights_i8};
use crate::error::OpError;
use crate::io::Inputs;
use crate::node::Node;

/// Number of intermediate values that marks this form.
pub const INTERMEDIATES: usize = 12;

struct MatrixInput {
    index: usize,
    factor: Multiplier,
    zero_point: i8,
    gate_factor: Multiplier,
}

impl MatrixInput {
    /// Input `index`; `product` and `gate` are the intermediate values for its products and for the whole gate.
    fn new(
        node: &Node<'_>,
        index: usize,
        shape: &[usize],
        scale: f32,
        product: usize,
        gate: usize,
    ) -> Result<Self, OpError> {
        check_shape(node, index, shape)?;
        let (product_scale, zero_point) = scale_and_zero_point(intermediate(node, product)?)?;
        let gate_scale = scale_of(intermediate(node, gate)?)?;
        let factor = scale_of(node.input(index)?.info)? * scale / product_scale;
        Ok(Self {
            index,
            factor: multiplier(f64::from(factor))?,
            zero_point: zero_point as i8,
            gate_factor: multiplier(f64::from(product_scale / gate_scale))?,
        })
    }

    fn get<'a>(&self, inputs: &Inputs<'a>) -> Result<NarrowMatrix<'a>, OpError> {
        Ok(NarrowMatrix {
            weights: weights_i8(inputs, self.index)?,
            factor: self.factor,
            zero_point: self.zero_point,
            gate_factor: self.gate_factor,
        })
    }
}

struct GateInputs {
    input: MatrixInput,
    recurrent: Option<MatrixInput>,
    norm: usize,
    norm_scale: f32,
    bias: usize,
}

impl GateInputs {
    fn new(
        node: &Node<'_>,
        inputs: &LstmInputs,
        size: &LstmSize,
        scales: (f32, f32),
        gate: GateIndex,
    ) -> Result<Self, OpError> {
        // Each gate has three intermediate values: the gate, the input's products, the previous output's products.
        let first = 3 * gate as usize;
        let norm =
            inputs.norm.ok_or_else(|| OpError::invalid("this form of LSTM has layer normalization"))?
                + gate as usize;
        check_shape(node, norm, &[size.cells])?;
        let factor = multiplier(f64::from(scale_of(node.input(norm)?.info)?))?;
        let matrix = |index, columns, scale, product| {
            MatrixInput::new(node, index, &[size.cells, columns], scale, product, first)
        };
        let recurrent = matrix(inputs.recurrent(gate), size.outputs, scales.1, first + 2)?;
        Ok(Self {
            input: matrix(inputs.input(gate), size.inputs, scales.0, first + 1)?,
            // The reference multiplies the output gate's recurrent products by next to nothing.
            recurrent: (gate != GateIndex::Output).then_some(recurrent),
            norm,
            // The scale after its way through a fixed-point form.
            norm_scale: (f64::from(factor.fraction) * f64::powi(2.0, factor.exponent - 31)) as f32,
            bias: inputs.bias(gate),
        })
    }

    fn get<'a>(&self, inputs: &Inputs<'a>) -> Result<NarrowGate<'a>, OpError> {
        Ok(NarrowGate {
            input: self.input.get(inputs)?,
            recurrent: self.recurrent.as_ref().map(|m| m.get(inputs)).transpose()?,
            norm: inputs.get(self.norm)?,
            norm_scale: self.norm_scale,
            bias: inputs.get(self.bias)?,
        })
    }
}

/// The operator, lowered.
pub struct LoweredNarrowLstm {
    cpu: Cpu,
    sequence: Sequence,
    size: LstmSize,
    /// Forget, cell and output.
    gates: [GateInputs; 3],
    projection: usize,
    projection_bias: Option<usize>,
    projection_factor: Multiplier,
    projection_clip: i8,
    cell_clip: i16,
    input_zero_point: i32,
    output_zero_point: i32,
}

impl LoweredNarrowLstm {
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
        if cell_scale != f32::exp2(-15.0) {
            return Err(OpError::unsupported(format!(
                "the cell of this form of LSTM has the scale 2^-15, not {cell_scale}"
            )));
        }
        let projection = inputs.projection();
        check_shape(node, projection, &[size.outputs, size.cells])?;
        let projection_scale = f64::from(scale_of(node.input(projection)?.info)?) * f64::powi(2.0, -15);
        let projection_factor = (projection_scale / f64::from(state_scale)) as f32;
        let gate = |gate| GateInputs::new(node, inputs, &size, (input_scale, state_scale), gate);
        let cell_clip = if settings.cell_clip < 1.0 { settings.cell_clip / cell_scale } else { 0.0 };
        let projection_clip = settings.projection_clip / scale_of(node.output(0)?)?;
        Ok(Self {
            cpu,
            sequence,
            size,
            gates: [gate(GateIndex::Forget)?, gate(GateIndex::Cell)?, gate(GateIndex::Output)?],
            projection,
            projection_bias: optional_vector(node, projection + 1, size.outputs)?,
            projection_factor: multiplier(f64::from(projection_factor))?,
            projection_clip: projection_clip.clamp(-128.0, 127.0) as i8,
            cell_clip: cell_clip.clamp(-32768.0, 32767.0) as i16,
            input_zero_point,
            output_zero_point,
        })
    }

    /// Bytes of scratch memory.
    pub fn scratch_bytes(&self) -> usize {
        self.size.narrow_scratch_bytes()
    }

    /// Arithmetic operations of a run.
    pub fn ops(&self) -> f64 {
        let LstmSize { inputs, cells, outputs, .. } = self.size;
        2.0 * self.sequence.rows() as f64 * (cells * (3 * inputs + 3 * outputs)) as f64
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
        let lstm = NarrowLstm {
            size: self.size,
            forget: forget.get(inputs)?,
            cell: cell.get(inputs)?,
            output: out.get(inputs)?,
            projection: weights_i8(inputs, self.projection)?,
            projection_bias: self.projection_bias.map(|i| inputs.get(i)).transpose()?,
            projection_factor: self.projection_factor,
            projection_clip: self.projection_clip,
            cell_clip: self.cell_clip,
            input_zero_point: self.input_zero_point,
            output_zero_point: self.output_zero_point,
        };
        let rows = OutputRows { data: output, offset: 0, stride: self.size.outputs };
        lstm.run(self.cpu, &self.sequence, inputs.get(0)?, state, rows, scratch);
        Ok(())
    }
}
