//! DEPTHWISE_CONV_2D: filters of each channel's own.

use std::sync::Arc;

use ferrolite_kernels::cpu::float::conv::{ConvShape, DepthwiseF32, DepthwiseWeightsF32};
use ferrolite_kernels::cpu::float::epilogue::Epilogue;
use ferrolite_kernels::cpu::int8::depthwise::{IntoLanes, PackedDepthwise, depthwise, depthwise_scratch};
use ferrolite_kernels::cpu::int8::gemm::Bias;
use ferrolite_kernels::cpu::int8::rows::{Activation, Window};
use ferrolite_kernels::isa::Cpu;
use ferrolite_kernels::packing::Packing;
use ferrolite_kernels::par::Par;
use ferrolite_model::TensorType;
use ferrolite_model::options::{ActivationFunctionType, DepthwiseConv2DOptionsT};

use super::conv2d::{clips, type_name};
use super::geometry::{Steps, float_shape, rank4, window};
use super::integer::{Finish, Place, width, with_store};
use super::requant::{Requant, choose};
use super::weights::{FloatWeights, PackParams, WeightBytes, bias, floats, known, scales, zero_point};
use super::{activation, hybrid};
use crate::element::Element;
use crate::error::OpError;
use crate::io::Io;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::{ADDEND, LowerCx};
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;

/// The sizes of a depthwise convolution.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub window: Window,
    /// Output channels of each input channel.
    pub multiplier: usize,
}

impl Sizes {
    pub fn outputs(&self) -> usize {
        self.window.channels * self.multiplier
    }

    /// Elements of the filter.
    pub fn filter_len(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * self.outputs()
    }

    /// The sizes as float kernels take them.
    pub fn float_shape(&self) -> ConvShape {
        float_shape(&self.window, self.outputs(), self.window.channels)
    }

    pub fn ops(&self) -> f64 {
        2.0 * self.window.pixels() as f64 * self.filter_len() as f64
    }
}

/// The reference takes the multiplier from the shapes; the option is only informative.
pub(super) fn sizes(node: &Node<'_>) -> Result<(Sizes, ActivationFunctionType), OpError> {
    let options = node.options::<DepthwiseConv2DOptionsT>()?;
    let image = rank4(node.shape(0)?, "input")?;
    let [one, height, width, outputs] = rank4(node.shape(1)?, "filter")?;
    let steps = Steps {
        padding: options.padding,
        stride: [options.stride_h, options.stride_w],
        dilation: [options.dilation_h_factor, options.dilation_w_factor],
    };
    let window = window(image, [height, width], &steps)?;
    if one != 1 || outputs == 0 || outputs % window.channels != 0 {
        return Err(OpError::invalid(format!(
            "a depthwise filter has the shape [1, height, width, channels times a multiplier], not {} for {} channels",
            node.shape(1)?,
            window.channels
        )));
    }
    Ok((Sizes { window, multiplier: outputs / window.channels }, options.fused_activation_function))
}

pub(super) fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (sizes, _) = sizes(node)?;
    let [height, width] = sizes.window.output;
    Ok(one(Shape::from([sizes.window.batch, height, width, sizes.outputs()])))
}

pub(super) fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (sizes, option) = sizes(node)?;
    let input = node.dtype(0)?;
    if node.optional(2).is_none() && input != TensorType::Int16 {
        return Err(OpError::invalid("a depthwise convolution needs a bias: add one of zeros"));
    }
    match (input, node.dtype(1)?) {
        (TensorType::Float32, TensorType::Float32) => lower_float(node, cx, sizes, option),
        (TensorType::Float32, _) => hybrid::lower_depthwise(node, cx, sizes, option),
        (TensorType::Int8, _) => lower_integer::<i8>(node, cx, sizes, option),
        (TensorType::UInt8, _) => lower_integer::<u8>(node, cx, sizes, option),
        _ => lower_integer::<i16>(node, cx, sizes, option),
    }
}

fn lower_float(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: Sizes,
    option: ActivationFunctionType,
) -> Result<Box<dyn Kernel>, OpError> {
    let activation = activation::float(option, cx)?;
    if let Some(conv) = packed_float(node, cx, &sizes)? {
        return Ok(FnKernel::new(conv.name(), move |io, cx| {
            let epilogue = Epilogue { activation, residual: io.inputs.optional(ADDEND)? };
            Ok(conv.run(io.inputs.get(0)?, io.outputs.get(0)?, &epilogue, cx.par())?)
        })
        .ops(sizes.ops())
        .boxed());
    }
    let epilogue = Epilogue::new(activation);
    let shape = sizes.float_shape();
    let (cpu, kernel, outputs) = (cx.cpu, sizes.window.kernel, sizes.outputs());
    Ok(FnKernel::new("f32_depthwise_unpacked", move |io, cx| {
        let bias = io.inputs.optional(2)?;
        let weights = DepthwiseWeightsF32::new(cpu, kernel, outputs, io.inputs.get::<f32>(1)?, bias)?;
        let conv = DepthwiseF32::new(shape, weights)?;
        Ok(conv.run(io.inputs.get(0)?, io.outputs.get(0)?, &epilogue, cx.par())?)
    })
    .ops(sizes.ops())
    .boxed())
}

/// The convolution with its weights packed, if they are floats known while planning.
pub(super) fn packed_float(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: &Sizes,
) -> Result<Option<DepthwiseF32>, OpError> {
    let (filter, bias) = (node.input(1)?, node.optional(2));
    let (Some(stored), true) = (FloatWeights::of(filter), known(bias)) else { return Ok(None) };
    let (kernel, outputs, params) = (sizes.window.kernel, sizes.outputs(), PackParams::new(node));
    let operands = [Some(filter), bias];
    let weights = cx.packs.get_or_pack(cx.cpu, "depthwise_f32", params.as_slice(), &operands, |packing| {
        let bias = bias.and_then(|b| b.value).map(floats);
        Ok(DepthwiseWeightsF32::new(packing, kernel, outputs, stored.stored(), bias.as_deref())?)
    })?;
    Ok(Some(DepthwiseF32::new(sizes.float_shape(), (*weights).clone())?))
}

/// The most numbers of scratch that a strip of an image may take.
const MOST_STRIP: usize = 1 << 26;

/// Numbers of scratch that one thread takes for a strip.
pub(super) fn strip_len(cpu: Cpu, window: &Window) -> Result<usize, OpError> {
    let len = depthwise_scratch(cpu, window);
    if len > MOST_STRIP {
        return Err(OpError::unsupported(
            "the depthwise filter is dilated too far for an integer convolution",
        ));
    }
    Ok(len)
}

/// A depthwise convolution with its filter packed.
struct IntegerDepthwise {
    weights: PackedDepthwise,
    bias: Bias,
    finish: Finish,
}

/// Taps above which a sum of 16-bit by 8-bit products could leave 32 bits.
const MOST_WORD_TAPS: usize = 511;

fn lower_integer<X: Activation + IntoLanes + Element>(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: Sizes,
    option: ActivationFunctionType,
) -> Result<Box<dyn Kernel>, OpError> {
    activation::none_fused(cx)?;
    if X::DTYPE == TensorType::Int16 && sizes.window.kernel[0] * sizes.window.kernel[1] > MOST_WORD_TAPS {
        return Err(OpError::unsupported(format!(
            "a depthwise filter of 16-bit activations has at most {MOST_WORD_TAPS} taps"
        )));
    }
    let (filter, bias_operand, output) = (node.input(1)?, node.optional(2), node.output(0)?);
    let (input_scale, input_zero) = node.input(0)?.info.per_tensor()?;
    let weight_scales = scales(filter.info, 3, sizes.outputs())?;
    let weight_zero = zero_point(filter.info)?;
    let bias_type = bias_operand.map(|b| b.info.dtype);
    let constant = filter.value.is_some() && known(bias_operand);
    let delegated = constant && filter.info.dtype == X::DTYPE && clips(option);
    let arithmetic = choose(delegated, X::DTYPE, bias_type).by_eight(X::DTYPE);
    let (filter_type, output_info, cpu) = (filter.info.dtype, output.clone(), cx.cpu);
    let prepare =
        move |packing: Packing<'_>, filter: &[u8], bias_bytes: &[u8]| -> Result<IntegerDepthwise, OpError> {
            let weights = WeightBytes::new(filter_type, filter, sizes.filter_len())?;
            let bias = bias(bias_type, bias_bytes, sizes.outputs())?;
            let requant = Requant {
                arithmetic,
                input_scale,
                weight_scales: &weight_scales,
                output: &output_info,
                activation: option,
            };
            let (finish, start) = requant.finish(&bias, sizes.outputs())?;
            let Sizes { window, multiplier } = sizes;
            Ok(IntegerDepthwise {
                weights: PackedDepthwise::new(
                    packing,
                    width(X::DTYPE),
                    weights.bytes(),
                    &[weight_zero],
                    window.kernel,
                    window.channels,
                    multiplier,
                ),
                bias: Bias::new(&start, sizes.outputs()),
                finish,
            })
        };
    let prepared: Option<Arc<IntegerDepthwise>> = match filter.value {
        Some(bytes) if constant => {
            let mut params = PackParams::new(node);
            params.push(option.0 as u64);
            let bias_bytes = bias_operand.and_then(|b| b.value).unwrap_or_default();
            let operands = [Some(filter), bias_operand];
            let make = |packing: Packing<'_>| prepare(packing, bytes, bias_bytes);
            Some(cx.packs.get_or_pack(cpu, "depthwise_int", params.as_slice(), &operands, make)?)
        }
        _ => None,
    };
    let [kh, kw] = sizes.window.kernel;
    let name = format!("{}_depthwise_{kh}x{kw}_{}", type_name(X::DTYPE), cpu.name());
    let scratch = strip_len(cpu, &sizes.window)? * size_of::<i32>() * cx.threads.max(1);
    Ok(FnKernel::new(name, move |io, cx| match &prepared {
        Some(conv) => conv.run::<X>(&sizes, input_zero, io, cx.par()),
        None => {
            let bias = if bias_type.is_some() { io.inputs.bytes(2)? } else { &[] };
            prepare(cpu.into(), io.inputs.bytes(1)?, bias)?.run::<X>(&sizes, input_zero, io, cx.par())
        }
    })
    .scratch(scratch)
    .ops(sizes.ops())
    .boxed())
}

impl IntegerDepthwise {
    fn run<X: Activation + IntoLanes + Element>(
        &self,
        sizes: &Sizes,
        zero: i32,
        io: &mut Io<'_>,
        par: Par,
    ) -> Result<(), OpError> {
        let x = io.inputs.get::<X>(0)?;
        let scratch = bytemuck::cast_slice_mut::<u8, i32>(io.scratch);
        let place = Place::rows(0, sizes.outputs());
        let out = &mut io.outputs;
        with_store!(&self.finish, out, place, |store| {
            depthwise(&self.weights, x, zero, &sizes.window, &self.bias, store, par, scratch);
        })
    }
}
