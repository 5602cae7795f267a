//! The plain recurrent layers: RNN, UNIDIRECTIONAL_SEQUENCE_RNN, BIDIRECTIONAL_SEQUENCE_RNN.

use ferrolite_kernels::cpu::recurrent::{Activation, OutputRows, Rnn, RnnSize, Sequence};
use ferrolite_kernels::isa::Cpu;
use ferrolite_model::options::{BidirectionalSequenceRNNOptionsT, RNNOptionsT, SequenceRNNOptionsT};

use super::layout::{sequence_of, with_last};
use super::operands::{WeightsInput, activation, check_shape, check_state};
use crate::error::OpError;
use crate::io::Inputs;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes, one};

/// Where the operands of one direction are.
#[derive(Clone, Copy)]
struct RnnInputs {
    input: usize,
    aux: Option<usize>,
    /// Weights; those of the previous output and the bias follow.
    weights: usize,
    aux_weights: Option<usize>,
    state: usize,
}

#[derive(Clone, Copy)]
struct Settings {
    activation: Activation,
    asymmetric: bool,
}

struct LoweredRnn {
    cpu: Cpu,
    sequence: Sequence,
    size: RnnSize,
    settings: Settings,
    operands: RnnInputs,
    input: WeightsInput,
    aux: Option<WeightsInput>,
    recurrent: WeightsInput,
}

impl LoweredRnn {
    fn new(
        node: &Node<'_>,
        cpu: Cpu,
        operands: RnnInputs,
        sequence: Sequence,
        settings: Settings,
    ) -> Result<Self, OpError> {
        let width = |i: usize| node.shape(i).map(|shape| shape.last().copied().unwrap_or(0));
        let units = units(node, operands.weights)?;
        let aux_inputs = operands.aux.map_or(Ok(0), width)?;
        let size = RnnSize { inputs: width(operands.input)?, aux_inputs, units };
        check_shape(node, operands.weights + 2, &[units])?;
        check_state(node, operands.state, sequence.batch * units)?;
        Ok(Self {
            cpu,
            sequence,
            size,
            settings,
            operands,
            input: WeightsInput::matrix(node, operands.weights, units, size.inputs)?,
            aux: match operands.aux_weights {
                Some(i) => Some(WeightsInput::matrix(node, i, units, aux_inputs)?),
                None => None,
            },
            recurrent: WeightsInput::matrix(node, operands.weights + 1, units, units)?,
        })
    }

    fn ops(&self) -> f64 {
        let RnnSize { inputs, aux_inputs, units } = self.size;
        2.0 * self.sequence.rows() as f64 * (units * (inputs + aux_inputs + units)) as f64
    }

    fn scratch_bytes(&self) -> usize {
        self.size.scratch_bytes(&self.sequence)
    }

    fn run(
        &self,
        inputs: &Inputs<'_>,
        hidden: &mut [f32],
        output: OutputRows<'_, f32>,
        scratch: &mut [u8],
    ) -> Result<(), OpError> {
        let rnn = Rnn {
            size: self.size,
            input: self.input.get(inputs)?,
            aux: self.aux.map(|w| w.get(inputs)).transpose()?,
            recurrent: self.recurrent.get(inputs)?,
            bias: inputs.get(self.operands.weights + 2)?,
            activation: self.settings.activation,
            asymmetric: self.settings.asymmetric,
        };
        let input = inputs.get(self.operands.input)?;
        let aux = self.operands.aux.map(|i| inputs.get(i)).transpose()?;
        rnn.run(self.cpu, &self.sequence, input, aux, hidden, output, scratch);
        Ok(())
    }
}

/// Number of output units, the rows of the weights.
fn units(node: &Node<'_>, weights: usize) -> Result<usize, OpError> {
    match **node.shape(weights)? {
        [units, _] => Ok(units),
        _ => Err(OpError::invalid(format!("input {weights} holds weights, which are a matrix"))),
    }
}

pub(super) fn infer_single(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(with_last(node.shape(0)?, units(node, 1)?)))
}

pub(super) fn lower_rnn(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<RNNOptionsT>()?;
    let settings = Settings {
        activation: activation(options.fused_activation_function)?,
        asymmetric: options.asymmetric_quantize_inputs,
    };
    let [batch, _] = **node.shape(0)? else {
        return Err(OpError::invalid(format!(
            "the input of RNN is a matrix, not of shape {}",
            node.shape(0)?
        )));
    };
    lower_single(node, cx, Sequence::single(batch), settings)
}

pub(super) fn lower_sequence(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<SequenceRNNOptionsT>()?;
    let settings = Settings {
        activation: activation(options.fused_activation_function)?,
        asymmetric: options.asymmetric_quantize_inputs,
    };
    let (sequence, _) = sequence_of(node.shape(0)?, options.time_major, false)?;
    lower_single(node, cx, sequence, settings)
}

fn name(rnn: &LoweredRnn, prefix: &str) -> String {
    let form = if rnn.input.is_quantized() { "hybrid" } else { "f32" };
    format!("{prefix}_{form}_{}", rnn.cpu.name())
}

fn lower_single(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sequence: Sequence,
    settings: Settings,
) -> Result<Box<dyn Kernel>, OpError> {
    let operands = RnnInputs { input: 0, aux: None, weights: 1, aux_weights: None, state: 4 };
    let rnn = LoweredRnn::new(node, cx.cpu, operands, sequence, settings)?;
    let (scratch, ops) = (rnn.scratch_bytes(), rnn.ops());
    let run = FnKernel::new(name(&rnn, "rnn"), move |io, _| {
        let rows = OutputRows { data: io.outputs.get(0)?, offset: 0, stride: rnn.size.units };
        rnn.run(&io.inputs, io.states.get(0)?, rows, io.scratch)
    });
    Ok(run.scratch(scratch).ops(ops).boxed())
}

const FORWARD_WEIGHTS: usize = 1;
const BACKWARD_WEIGHTS: usize = 5;
const AUX_INPUT: usize = 9;
const FORWARD_AUX_WEIGHTS: usize = 10;
const BACKWARD_AUX_WEIGHTS: usize = 11;

pub(super) fn infer_bidirectional(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (forward, backward) = (units(node, FORWARD_WEIGHTS)?, units(node, BACKWARD_WEIGHTS)?);
    let merged = node.options::<BidirectionalSequenceRNNOptionsT>()?.merge_outputs;
    let widths = if merged { vec![forward + backward] } else { vec![forward, backward] };
    if widths.len() != node.outputs.len() {
        return Err(OpError::invalid(format!(
            "the operator has {} outputs, not {}",
            widths.len(),
            node.outputs.len()
        ))
        .into());
    }
    let input = node.shape(0)?;
    Ok(widths.into_iter().map(|width| OutputShape::Known(with_last(input, width))).collect())
}

/// Auxiliary weights make the auxiliary input a second input of both directions; without them it takes the place of the
/// backward direction's input.
pub(super) fn lower_bidirectional(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<BidirectionalSequenceRNNOptionsT>()?;
    let settings = Settings {
        activation: activation(options.fused_activation_function)?,
        asymmetric: options.asymmetric_quantize_inputs,
    };
    let (sequence, _) = sequence_of(node.shape(0)?, options.time_major, false)?;
    let has_aux = node.optional(AUX_INPUT).is_some();
    let stacked = has_aux && node.optional(FORWARD_AUX_WEIGHTS).is_some();
    let aux = stacked.then_some(AUX_INPUT);
    let direction = |input, weights, aux_weights: usize, state, reverse| {
        let operands = RnnInputs { input, aux, weights, aux_weights: stacked.then_some(aux_weights), state };
        LoweredRnn::new(node, cx.cpu, operands, Sequence { reverse, ..sequence }, settings)
    };
    let forward = direction(0, FORWARD_WEIGHTS, FORWARD_AUX_WEIGHTS, 4, false)?;
    // Where sequences come first, the reference gives both directions the first input.
    let backward_input = if has_aux && !stacked && sequence.time_major { AUX_INPUT } else { 0 };
    let backward = direction(backward_input, BACKWARD_WEIGHTS, BACKWARD_AUX_WEIGHTS, 8, true)?;
    let scratch = forward.scratch_bytes().max(backward.scratch_bytes());
    let merged = options.merge_outputs;
    // With 8-bit weights and steps first, the reference walks the whole sequence once for each of its steps, the state
    // running on; the last walk is what remains.
    let walks = if forward.input.is_quantized() && sequence.time_major { sequence.steps } else { 1 };
    let ops = walks as f64 * (forward.ops() + backward.ops());
    let run = FnKernel::new(name(&forward, "bidirectional_rnn"), move |io, _| {
        let (forward_units, backward_units) = (forward.size.units, backward.size.units);
        for _ in 0..walks {
            let stride = if merged { forward_units + backward_units } else { forward_units };
            let rows = OutputRows { data: io.outputs.get(0)?, offset: 0, stride };
            forward.run(&io.inputs, io.states.get(0)?, rows, io.scratch)?;
            let rows = if merged {
                OutputRows { data: io.outputs.get(0)?, offset: forward_units, stride }
            } else {
                OutputRows { data: io.outputs.get(1)?, offset: 0, stride: backward_units }
            };
            backward.run(&io.inputs, io.states.get(1)?, rows, io.scratch)?;
        }
        Ok(())
    });
    Ok(run.scratch(scratch).ops(ops).boxed())
}
