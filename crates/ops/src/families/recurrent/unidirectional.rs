//! UNIDIRECTIONAL_SEQUENCE_LSTM.

use ferrolite_kernels::cpu::recurrent::{LstmState, OutputRows, Sequence};
use ferrolite_model::options::UnidirectionalSequenceLSTMOptionsT;

use super::layout::{LstmInputs, sequence_of, with_last};
use super::lstm::{LoweredLstm, LstmSettings, LstmSource};
use super::lstm_int::LoweredIntLstm;
use super::lstm_narrow::{self, LoweredNarrowLstm};
use super::operands::activation;
use crate::TensorType;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};

pub(super) fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (_, outputs) = LstmInputs::unidirectional(node).cells_and_outputs(node)?;
    Ok(one(with_last(node.shape(0)?, outputs)))
}

pub(super) fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<UnidirectionalSequenceLSTMOptionsT>()?;
    let settings = LstmSettings {
        activation: activation(options.fused_activation_function)?,
        cell_clip: options.cell_clip,
        projection_clip: options.proj_clip,
        asymmetric: options.asymmetric_quantize_inputs,
    };
    let (sequence, _) = sequence_of(node.shape(0)?, options.time_major, false)?;
    lower_single(node, cx, sequence, settings)
}

/// Lowers an LSTM of one direction, whatever its operator.
pub(super) fn lower_single(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sequence: Sequence,
    settings: LstmSettings,
) -> Result<Box<dyn Kernel>, OpError> {
    let inputs = LstmInputs::unidirectional(node);
    let cpu = cx.cpu;
    if node.dtype(0)? == TensorType::Int8 && node.intermediates.len() == lstm_narrow::INTERMEDIATES {
        let lstm = LoweredNarrowLstm::new(node, cpu, &inputs, sequence, settings)?;
        let (scratch, ops) = (lstm.scratch_bytes(), lstm.ops());
        let run = FnKernel::new(format!("lstm_i8_narrow_{}", cpu.name()), move |io, _| {
            let (hidden, cell) = io.states.pair(0, 1)?;
            lstm.run(&io.inputs, LstmState { hidden, cell }, io.outputs.get(0)?, io.scratch)
        });
        return Ok(run.scratch(scratch).ops(ops).boxed());
    }
    if node.dtype(0)? == TensorType::Int8 {
        let lstm = LoweredIntLstm::new(node, cpu, &inputs, sequence, settings)?;
        let (scratch, ops) = (lstm.scratch_bytes(), lstm.ops());
        let run = FnKernel::new(format!("lstm_i8_{}", cpu.name()), move |io, _| {
            let (hidden, cell) = io.states.pair(0, 1)?;
            lstm.run(&io.inputs, LstmState { hidden, cell }, io.outputs.get(0)?, io.scratch)
        });
        return Ok(run.scratch(scratch).ops(ops).boxed());
    }
    let lstm = LoweredLstm::new(node, cpu, &inputs, LstmSource { input: 0, aux: None, sequence }, settings)?;
    let (scratch, ops) = (lstm.scratch_bytes(), lstm.ops());
    let form = if lstm.is_hybrid() { "hybrid" } else { "f32" };
    let run = FnKernel::new(format!("lstm_{form}_{}", cpu.name()), move |io, _| {
        let (hidden, cell) = io.states.pair(0, 1)?;
        let rows = OutputRows { data: io.outputs.get(0)?, offset: 0, stride: lstm.outputs() };
        lstm.run(&io.inputs, LstmState { hidden, cell }, rows, io.scratch)
    });
    Ok(run.scratch(scratch).ops(ops).boxed())
}
