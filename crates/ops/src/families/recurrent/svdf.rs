//! SVDF in float, with 8-bit weights, and in integers.

use ferrolite_kernels::cpu::recurrent::{IntSvdf, Svdf, SvdfSize, TimeWeights};
use ferrolite_model::options::{ActivationFunctionType, SVDFOptionsT};

use super::operands::{
    WeightsInput, activation, check_shape, check_state, multiplier, optional_vector, scale_and_zero_point,
    scale_of, weights_i8,
};
use crate::TensorType;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;

const INPUT: usize = 0;
const FEATURES: usize = 1;
const TIME: usize = 2;
const BIAS: usize = 3;
const STATE: usize = 4;

pub(super) fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let size = size(node)?;
    Ok(one(Shape::from([size.batch, size.filters / size.rank])))
}

fn size(node: &Node<'_>) -> Result<SvdfSize, OpError> {
    let rank = usize::try_from(node.options::<SVDFOptionsT>()?.rank).unwrap_or(0);
    let (&[batch, inputs], &[filters, _], &[_, memory]) =
        (&**node.shape(INPUT)?, &**node.shape(FEATURES)?, &**node.shape(TIME)?)
    else {
        return Err(OpError::invalid("the input and the weights of SVDF are matrices"));
    };
    if rank == 0 || filters % rank != 0 {
        return Err(OpError::invalid(format!(
            "{filters} filters cannot be shared among units of rank {rank}"
        )));
    }
    check_shape(node, FEATURES, &[filters, inputs])?;
    check_shape(node, TIME, &[filters, memory])?;
    check_state(node, STATE, batch * filters * memory)?;
    Ok(SvdfSize { batch, inputs, filters, rank, memory })
}

fn ops(size: &SvdfSize) -> f64 {
    2.0 * (size.batch * size.filters * (size.inputs + size.memory)) as f64
}

pub(super) fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let size = size(node)?;
    let bias = optional_vector(node, BIAS, size.filters / size.rank)?;
    if node.dtype(INPUT)? == TensorType::Int8 {
        lower_int(node, cx, size, bias)
    } else {
        lower_float(node, cx, size, bias)
    }
}

fn lower_float(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    size: SvdfSize,
    bias: Option<usize>,
) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<SVDFOptionsT>()?;
    let activation = activation(options.fused_activation_function)?;
    let asymmetric = options.asymmetric_quantize_inputs;
    let features = WeightsInput::matrix(node, FEATURES, size.filters, size.inputs)?;
    let time = node.input(TIME)?.info;
    let time_scale = if time.dtype == TensorType::Float32 { None } else { Some(scale_of(time)?) };
    let cpu = cx.cpu;
    let form = if features.is_quantized() { "hybrid" } else { "f32" };
    let run = FnKernel::new(format!("svdf_{form}_{}", cpu.name()), move |io, _| {
        let svdf = Svdf {
            size,
            features: features.get(&io.inputs)?,
            time: match time_scale {
                Some(scale) => TimeWeights::I8(weights_i8(&io.inputs, TIME)?, scale),
                None => TimeWeights::F32(io.inputs.get(TIME)?),
            },
            bias: bias.map(|i| io.inputs.get(i)).transpose()?,
            activation,
            asymmetric,
        };
        svdf.run(cpu, io.inputs.get(INPUT)?, io.states.get(0)?, io.outputs.get(0)?, io.scratch);
        Ok(())
    });
    Ok(run.scratch(size.scratch_bytes()).ops(ops(&size)).boxed())
}

fn lower_int(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    size: SvdfSize,
    bias: Option<usize>,
) -> Result<Box<dyn Kernel>, OpError> {
    if node.options::<SVDFOptionsT>()?.fused_activation_function != ActivationFunctionType::RELU {
        return Err(OpError::unsupported(
            "an integer SVDF has the activation RELU; others are defined in float only",
        ));
    }
    let (input_scale, input_zero_point) = scale_and_zero_point(node.input(INPUT)?.info)?;
    let (output_scale, output_zero_point) = scale_and_zero_point(node.output(0)?)?;
    let state_scale = scale_of(node.input(STATE)?.info)?;
    let feature_scale = scale_of(node.input(FEATURES)?.info)?;
    let time_scale = scale_of(node.input(TIME)?.info)?;
    let state_factor = multiplier(f64::from(input_scale * feature_scale / state_scale))?;
    let output_factor = multiplier(f64::from(state_scale * time_scale / output_scale))?;
    let cpu = cx.cpu;
    let run = FnKernel::new(format!("svdf_i8_{}", cpu.name()), move |io, _| {
        let svdf = IntSvdf {
            size,
            features: io.inputs.get(FEATURES)?,
            time: io.inputs.get(TIME)?,
            bias: bias.map(|i| io.inputs.get(i)).transpose()?,
            state_factor,
            output_factor,
            input_zero_point,
            output_zero_point,
        };
        svdf.run(cpu, io.inputs.get(INPUT)?, io.states.get(0)?, io.outputs.get(0)?, io.scratch);
        Ok(())
    });
    Ok(run.scratch(size.scratch_bytes()).ops(ops(&size)).boxed())
}
