//! LSTM: a single step, in the full form or that of TensorFlow's `BasicLSTMCell`.

use ferrolite_kernels::cpu::recurrent::{BasicLstmSize, BasicLstmU8, Sequence, basic_lstm_f32};
use ferrolite_kernels::scratch::{Scratch, ScratchSize};
use ferrolite_model::Operator;
use ferrolite_model::options::{LSTMKernelType, LSTMOptionsT};

use super::lstm::LstmSettings;
use super::lstm_int::power_of_two;
use super::operands::{activation, check_shape, multiplier, scale_and_zero_point, scale_of};
use super::unidirectional;
use crate::TensorType;
use crate::error::OpError;
use crate::io::Io;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes};
use crate::shape::Shape;

/// Inputs of the basic form.
mod basic {
    pub const INPUT: usize = 0;
    pub const PREVIOUS: usize = 1;
    pub const WEIGHTS: usize = 2;
    pub const BIAS: usize = 3;
    pub const STATE: usize = 4;
    pub const INPUTS: usize = 5;
    pub const OUTPUTS: usize = 4;
}

/// Which form an operator has; one without options has the first.
fn is_basic(operator: &Operator) -> bool {
    operator.options::<LSTMOptionsT>().is_some_and(|options| options.kernel_type == LSTMKernelType::BASIC)
}

pub(super) fn states(operator: &Operator) -> &'static [usize] {
    if is_basic(operator) { &[basic::PREVIOUS, basic::STATE] } else { &[18, 19] }
}

pub(super) fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    if !is_basic(node.operator) {
        return unidirectional::infer(node);
    }
    let size = basic_size(node)?;
    let state = Shape::from([size.batch, size.outputs]);
    let shapes = [
        state.clone(),
        state,
        Shape::from([size.batch, size.columns()]),
        Shape::from([size.batch, size.gates()]),
    ];
    Ok(shapes.into_iter().map(OutputShape::Known).collect())
}

fn basic_size(node: &Node<'_>) -> Result<BasicLstmSize, OpError> {
    if node.inputs.len() != basic::INPUTS || node.outputs.len() != basic::OUTPUTS {
        return Err(OpError::invalid("the basic form of LSTM has 5 inputs and 4 outputs"));
    }
    let (&[batch, inputs], &[_, outputs]) = (&**node.shape(basic::INPUT)?, &**node.shape(basic::PREVIOUS)?)
    else {
        return Err(OpError::invalid("the input and the previous output of LSTM are matrices"));
    };
    let size = BasicLstmSize { batch, inputs, outputs };
    check_shape(node, basic::PREVIOUS, &[batch, outputs])?;
    check_shape(node, basic::WEIGHTS, &[size.gates(), size.columns()])?;
    check_shape(node, basic::BIAS, &[size.gates()])?;
    check_shape(node, basic::STATE, &[batch, outputs])?;
    Ok(size)
}

pub(super) fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    if is_basic(node.operator) {
        return lower_basic(node, cx);
    }
    let options = node.options::<LSTMOptionsT>()?;
    let settings = LstmSettings {
        activation: activation(options.fused_activation_function)?,
        cell_clip: options.cell_clip,
        projection_clip: options.proj_clip,
        asymmetric: options.asymmetric_quantize_inputs,
    };
    let [batch, _] = **node.shape(0)? else {
        return Err(OpError::invalid(format!(
            "the input of LSTM is a matrix, not of shape {}",
            node.shape(0)?
        )));
    };
    unidirectional::lower_single(node, cx, Sequence::single(batch), settings)
}

fn lower_basic(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let size = basic_size(node)?;
    let ops = 2.0 * (size.batch * size.gates() * size.columns()) as f64;
    let cpu = cx.cpu;
    if node.dtype(basic::INPUT)? == TensorType::Float32 {
        let run = FnKernel::new(format!("lstm_basic_f32_{}", cpu.name()), move |io, _| {
            let (weights, bias) = (io.inputs.get(basic::WEIGHTS)?, io.inputs.get(basic::BIAS)?);
            join::<f32>(io, &size)?;
            let (joined, gates) = io.outputs.pair(2, 3)?;
            let (previous, cell) = io.states.pair(0, 1)?;
            basic_lstm_f32(cpu, &size, weights, bias, joined, gates, cell, previous);
            copy_states(io)
        });
        return Ok(run.ops(ops).boxed());
    }
    let exponent = power_of_two(scale_of(node.output(1)?)?)?;
    if exponent != -11 {
        return Err(OpError::unsupported("the state of a quantized basic LSTM has 11 fractional bits"));
    }
    let (_, weights_zero_point) = scale_and_zero_point(node.input(basic::WEIGHTS)?.info)?;
    let factor = multiplier(4096.0 * f64::from(scale_of(node.input(basic::BIAS)?.info)?))?;
    let wide = size.batch * size.columns();
    let run = FnKernel::new(format!("lstm_basic_u8_{}", cpu.name()), move |io, _| {
        let lstm = BasicLstmU8 {
            size,
            weights: io.inputs.get(basic::WEIGHTS)?,
            weights_zero_point,
            bias: io.inputs.get(basic::BIAS)?,
            factor,
        };
        join::<u8>(io, &size)?;
        let (joined, gates) = io.outputs.pair(2, 3)?;
        let (previous, cell) = io.states.pair(0, 1)?;
        lstm.run(cpu, joined, Scratch::new(io.scratch).take(wide), gates, cell, previous);
        copy_states(io)
    });
    Ok(run.scratch(ScratchSize::new().with::<i16>(wide).bytes()).ops(ops).boxed())
}

/// Lays the input and the previous output side by side in output 2.
fn join<T: crate::Element>(io: &mut Io<'_>, size: &BasicLstmSize) -> Result<(), OpError> {
    size.join(io.inputs.get::<T>(basic::INPUT)?, io.states.get(0)?, io.outputs.get(2)?);
    Ok(())
}

/// The new states are the first two outputs.
fn copy_states(io: &mut Io<'_>) -> Result<(), OpError> {
    for i in 0..2 {
        let shape = Shape::new(io.outputs.shape(i)?);
        io.outputs.set_bytes(i, &shape, io.states.bytes(i)?)?;
    }
    Ok(())
}
