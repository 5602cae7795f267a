//! BIDIRECTIONAL_SEQUENCE_LSTM: one layer that walks forward and one that walks backward.

use ferrolite_kernels::cpu::recurrent::{LstmState, OutputRows, Sequence};
use ferrolite_model::options::BidirectionalSequenceLSTMOptionsT;

use super::layout::{GateIndex, LstmInputs, sequence_of, with_last};
use super::lstm::{LoweredLstm, LstmSettings, LstmSource};
use super::operands::activation;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes};

const AUX_INPUT: usize = 39;
const FORWARD_AUX: usize = 40;
const BACKWARD_AUX: usize = 44;

/// Both directions' inputs. Auxiliary weights make the auxiliary input a second input of both directions; without
/// them it is the backward direction's only input.
struct Directions {
    forward: LstmInputs,
    backward: LstmInputs,
    backward_input: usize,
    aux: Option<usize>,
}

impl Directions {
    fn new(node: &Node<'_>) -> Self {
        let has_aux = node.optional(AUX_INPUT).is_some();
        let aux_weights = node.optional(FORWARD_AUX + GateIndex::Forget as usize).is_some();
        let stacked = has_aux && aux_weights;
        let direction =
            |base, aux, state| LstmInputs { base, aux: stacked.then_some(aux), norm: None, state };
        Self {
            forward: direction(1, FORWARD_AUX, 35),
            backward: direction(18, BACKWARD_AUX, 37),
            backward_input: if has_aux && !aux_weights { AUX_INPUT } else { 0 },
            aux: stacked.then_some(AUX_INPUT),
        }
    }
}

pub(super) fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let directions = Directions::new(node);
    let (_, forward) = directions.forward.cells_and_outputs(node)?;
    let (_, backward) = directions.backward.cells_and_outputs(node)?;
    let merged = node.options::<BidirectionalSequenceLSTMOptionsT>()?.merge_outputs;
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

pub(super) fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<BidirectionalSequenceLSTMOptionsT>()?;
    let settings = LstmSettings {
        activation: activation(options.fused_activation_function)?,
        cell_clip: options.cell_clip,
        projection_clip: options.proj_clip,
        asymmetric: options.asymmetric_quantize_inputs,
    };
    let directions = Directions::new(node);
    let (sequence, _) = sequence_of(node.shape(0)?, options.time_major, false)?;
    let lower = |inputs: &LstmInputs, input: usize, reverse: bool| {
        let source = LstmSource { input, aux: directions.aux, sequence: Sequence { reverse, ..sequence } };
        LoweredLstm::new(node, cx.cpu, inputs, source, settings)
    };
    let forward = lower(&directions.forward, 0, false)?;
    let backward = lower(&directions.backward, directions.backward_input, true)?;
    let scratch = forward.scratch_bytes().max(backward.scratch_bytes());
    let ops = forward.ops() + backward.ops();
    let form = if forward.is_hybrid() { "hybrid" } else { "f32" };
    let merged = options.merge_outputs;
    let run = FnKernel::new(format!("bidirectional_lstm_{form}_{}", cx.cpu.name()), move |io, _| {
        let merged_width = forward.outputs() + backward.outputs();
        let (hidden, cell) = io.states.pair(0, 1)?;
        let stride = if merged { merged_width } else { forward.outputs() };
        let rows = OutputRows { data: io.outputs.get(0)?, offset: 0, stride };
        forward.run(&io.inputs, LstmState { hidden, cell }, rows, io.scratch)?;
        let (hidden, cell) = io.states.pair(2, 3)?;
        let rows = if merged {
            OutputRows { data: io.outputs.get(0)?, offset: forward.outputs(), stride: merged_width }
        } else {
            OutputRows { data: io.outputs.get(1)?, offset: 0, stride: backward.outputs() }
        };
        backward.run(&io.inputs, LstmState { hidden, cell }, rows, io.scratch)
    });
    Ok(run.scratch(scratch).ops(ops).boxed())
}
