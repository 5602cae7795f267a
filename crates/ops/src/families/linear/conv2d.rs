//! CONV_2D: any groups, strides and dilations.

use std::sync::Arc;

use ferrolite_kernels::cpu::float::conv::{ConvF32, ConvWeightsF32, WinogradF32, WinogradWeightsF32};
use ferrolite_kernels::cpu::float::epilogue::Epilogue;
use ferrolite_kernels::cpu::int8::gemm::{Bias, windows_scratch};
use ferrolite_kernels::cpu::int8::pack::{PackLayout, Width};
use ferrolite_kernels::cpu::int8::rows::{Activation, Dense, Patches, Window};
use ferrolite_kernels::isa::Cpu;
use ferrolite_kernels::packing::Packing;
use ferrolite_kernels::par::Par;
use ferrolite_model::TensorType;
use ferrolite_model::options::{ActivationFunctionType, Conv2DOptionsT};

use super::geometry::{Steps, float_shape, no_zeros, rank4, window};
use super::integer::{Columns, Place, width};
use super::requant::{Requant, choose};
use super::weights::{
    FloatWeights, PackParams, WeightBytes, bias, floats, known, pack_columns, scales, zero_point,
};
use super::{activation, hybrid};
use crate::element::Element;
use crate::error::OpError;
use crate::io::Io;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::{ADDEND, GATE, LowerCx};
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;

/// The sizes of a convolution.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub window: Window,
    pub outputs: usize,
    pub groups: usize,
}

impl Sizes {
    /// Channels of a group's input.
    pub fn group_channels(&self) -> usize {
        self.window.channels / self.groups
    }

    /// Channels of a group's output.
    pub fn group_outputs(&self) -> usize {
        self.outputs / self.groups
    }

    /// Products in a sum.
    pub fn depth(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * self.group_channels()
    }

    /// How the weights of a group are packed.
    pub fn layout(&self, cpu: Cpu, width: Width) -> PackLayout {
        PackLayout::for_windows(cpu, width, self.group_outputs(), &self.window, self.group_channels())
    }

    /// Bytes of scratch for the products on `threads` threads.
    pub fn scratch_bytes(&self, layout: &PackLayout, threads: usize) -> usize {
        windows_scratch(layout, &self.window, self.group_channels()).saturating_mul(threads.max(1))
    }

    /// Arithmetic operations of a run.
    pub fn ops(&self) -> f64 {
        2.0 * self.window.pixels() as f64 * self.outputs as f64 * self.depth() as f64
    }

    /// The rows of group `group`: its windows.
    pub fn patches<'a, X>(&self, data: &'a [X], group: usize) -> Patches<'a, X> {
        let channels = self.group_channels();
        Patches { data, window: self.window, first_channel: group * channels, channels }
    }
}

/// Sizes and activation as the options and shapes have them.
pub(super) fn sizes(node: &Node<'_>) -> Result<(Sizes, ActivationFunctionType), OpError> {
    let options = node.options::<Conv2DOptionsT>()?;
    let image = rank4(node.shape(0)?, "input")?;
    let [outputs, height, width, depth] = rank4(node.shape(1)?, "filter")?;
    no_zeros(&[outputs, depth], "filter's channels")?;
    let steps = Steps {
        padding: options.padding,
        stride: [options.stride_h, options.stride_w],
        dilation: [options.dilation_h_factor, options.dilation_w_factor],
    };
    let window = window(image, [height, width], &steps)?;
    let groups = window.channels / depth;
    if window.channels % depth != 0 || outputs % groups != 0 {
        return Err(OpError::invalid(format!(
            "{} input channels and {outputs} output channels do not divide into groups of {depth} input channels",
            window.channels
        )));
    }
    Ok((Sizes { window, outputs, groups }, options.fused_activation_function))
}

pub(super) fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (Sizes { window, outputs, .. }, _) = sizes(node)?;
    Ok(one(Shape::from([window.batch, window.output[0], window.output[1], outputs])))
}

pub(super) fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (sizes, option) = sizes(node)?;
    match (node.dtype(0)?, node.dtype(1)?) {
        (TensorType::Float32, TensorType::Float32) => lower_float(node, cx, sizes, option),
        (TensorType::Float32, _) => hybrid::lower_conv2d(node, cx, sizes, option),
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
    if let Some(conv) = packed_winograd(node, cx, &sizes)? {
        let (name, scratch) = (conv.name(), conv.scratch_bytes(Par::new(cx.threads)));
        return Ok(FnKernel::new(name, move |io, cx| {
            let epilogue = Epilogue { activation, residual: io.inputs.optional(ADDEND)? };
            let scratch = bytemuck::cast_slice_mut(&mut *io.scratch);
            Ok(conv.run(io.inputs.get(0)?, io.outputs.get(0)?, scratch, &epilogue, cx.par())?)
        })
        .scratch(scratch)
        .ops(sizes.ops())
        .boxed());
    }
    if let Some(conv) = packed_float(node, cx, &sizes)? {
        let conv = if node.optional(GATE).is_some() { conv.gated()? } else { conv };
        let (name, scratch) = (conv.name(), conv.scratch_bytes(Par::new(cx.threads)));
        return Ok(FnKernel::new(name, move |io, cx| {
            let input = io.inputs.get::<f32>(0)?;
            let scratch = bytemuck::cast_slice_mut(&mut *io.scratch);
            let epilogue = Epilogue { activation, residual: io.inputs.optional(ADDEND)? };
            let out = io.outputs.get(0)?;
            match io.inputs.optional(GATE)? {
                Some(gates) => conv.run_gated(input, gates, out, scratch, &epilogue, cx.par())?,
                None => conv.run(input, out, scratch, &epilogue, cx.par())?,
            }
            Ok(())
        })
        .scratch(scratch)
        .ops(sizes.ops())
        .boxed());
    }
    let epilogue = Epilogue::new(activation);
    let shape = float_shape(&sizes.window, sizes.outputs, sizes.groups);
    let (cpu, step) = (cx.cpu, cx.row_step(sizes.outputs));
    Ok(FnKernel::new("f32_conv_unpacked", move |io, cx| {
        let weights = ConvWeightsF32::new(cpu, &shape, io.inputs.get::<f32>(1)?, io.inputs.optional(2)?)?;
        let conv = ConvF32::new(shape, weights)?.spaced(step)?;
        let mut scratch = vec![0.0; conv.scratch_bytes(cx.par()) / size_of::<f32>()];
        Ok(conv.run(io.inputs.get(0)?, io.outputs.get(0)?, &mut scratch, &epilogue, cx.par())?)
    })
    .ops(sizes.ops())
    .boxed())
}

/// The convolution with its weights packed, if they are floats known while planning.
pub(super) fn packed_float(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: &Sizes,
) -> Result<Option<ConvF32>, OpError> {
    let (filter, bias) = (node.input(1)?, node.optional(2));
    let (Some(stored), true) = (FloatWeights::of(filter), known(bias)) else { return Ok(None) };
    let shape = float_shape(&sizes.window, sizes.outputs, sizes.groups);
    let mut params = PackParams::new(node);
    params.extend(&[sizes.groups]);
    let stored = stored.stored_for(sizes.window.pixels(), &mut params);
    let operands = [Some(filter), bias];
    let weights = cx.packs.get_or_pack(cx.cpu, "conv_f32", params.as_slice(), &operands, |packing| {
        let bias = bias.and_then(|b| b.value).map(floats);
        Ok(ConvWeightsF32::new(packing, &shape, stored, bias.as_deref())?)
    })?;
    Ok(Some(ConvF32::new(shape, (*weights).clone())?.spaced(cx.row_step(sizes.outputs))?))
}

/// The convolution by Winograd's method, if that pays and its weights are floats known while planning.
fn packed_winograd(node: &Node<'_>, cx: &LowerCx<'_>, sizes: &Sizes) -> Result<Option<WinogradF32>, OpError> {
    let (filter, bias) = (node.input(1)?, node.optional(2));
    let shape = float_shape(&sizes.window, sizes.outputs, sizes.groups);
    let (Some(stored), true) = (FloatWeights::of(filter), known(bias)) else { return Ok(None) };
    if !cx.winograd || !WinogradF32::pays(cx.cpu, &shape) {
        return Ok(None);
    }
    let params = PackParams::new(node);
    let operands = [Some(filter), bias];
    let weights = cx.packs.get_or_pack(cx.cpu, "winograd_f32", params.as_slice(), &operands, |packing| {
        let bias = bias.and_then(|b| b.value).map(floats);
        Ok(WinogradWeightsF32::new(packing, &shape, stored.stored(), bias.as_deref())?)
    })?;
    Ok(Some(WinogradF32::new(shape, (*weights).clone())?.spaced(cx.row_step(sizes.outputs))?))
}

/// An integer convolution with its weights packed, one part for each group.
struct IntegerConv {
    groups: Vec<Columns>,
}

fn lower_integer<X: Activation + Element>(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    sizes: Sizes,
    option: ActivationFunctionType,
) -> Result<Box<dyn Kernel>, OpError> {
    activation::none_fused(cx)?;
    let (filter, bias_operand, output) = (node.input(1)?, node.optional(2), node.output(0)?);
    let (input_scale, input_zero) = node.input(0)?.info.per_tensor()?;
    let weight_scales = scales(filter.info, 0, sizes.outputs)?;
    let weight_zero = zero_point(filter.info)?;
    let bias_type = bias_operand.map(|b| b.info.dtype);
    let constant = filter.value.is_some() && known(bias_operand);
    let delegated = constant && filter.info.dtype == X::DTYPE && clips(option);
    let arithmetic = choose(delegated, X::DTYPE, bias_type).by_product(X::DTYPE, sizes.groups == 1);
    let (filter_type, output_info, cpu) = (filter.info.dtype, output.clone(), cx.cpu);
    let layout = sizes.layout(cpu, width(X::DTYPE));
    let prepare =
        move |packing: Packing<'_>, filter: &[u8], bias_bytes: &[u8]| -> Result<IntegerConv, OpError> {
            let (cols, depth) = (sizes.group_outputs(), sizes.depth());
            let weights = WeightBytes::new(filter_type, filter, sizes.outputs * depth)?;
            let bias = bias(bias_type, bias_bytes, sizes.outputs)?;
            let group = |group: usize| {
                let first = group * cols;
                let part =
                    |len: usize, of: usize| if len == sizes.outputs { first..first + cols } else { 0..of };
                let requant = Requant {
                    arithmetic,
                    input_scale,
                    weight_scales: &weight_scales[part(weight_scales.len(), weight_scales.len())],
                    output: &output_info,
                    activation: option,
                };
                let (finish, start) = requant.finish(&bias[part(bias.len(), bias.len())], cols)?;
                let weights = pack_columns(packing, layout, &weights, first, weight_zero);
                Ok(Columns { weights, bias: Bias::new(&start, cols), finish })
            };
            Ok(IntegerConv { groups: (0..sizes.groups).map(group).collect::<Result<_, OpError>>()? })
        };
    let prepared: Option<Arc<IntegerConv>> = match filter.value {
        Some(bytes) if constant => {
            let mut params = PackParams::new(node);
            params.extend(&[sizes.groups]);
            params.push(layout.key());
            params.push(option.0 as u64);
            let bias_bytes = bias_operand.and_then(|b| b.value).unwrap_or_default();
            let operands = [Some(filter), bias_operand];
            let make = |packing: Packing<'_>| prepare(packing, bytes, bias_bytes);
            Some(cx.packs.get_or_pack(cpu, "conv_int", params.as_slice(), &operands, make)?)
        }
        _ => None,
    };
    let name = format!("{}_conv_{}", type_name(X::DTYPE), layout.tile_name());
    let step = cx.row_step(sizes.outputs);
    Ok(FnKernel::new(name, move |io, cx| match &prepared {
        Some(conv) => conv.run::<X>(&sizes, step, input_zero, io, cx.par()),
        None => {
            let bias = if bias_type.is_some() { io.inputs.bytes(2)? } else { &[] };
            prepare(cpu.into(), io.inputs.bytes(1)?, bias)?.run::<X>(&sizes, step, input_zero, io, cx.par())
        }
    })
    .scratch(sizes.scratch_bytes(&layout, cx.threads))
    .ops(sizes.ops())
    .boxed())
}

impl IntegerConv {
    fn run<X: Activation + Element>(
        &self,
        sizes: &Sizes,
        step: usize,
        zero: i32,
        io: &mut Io<'_>,
        par: Par,
    ) -> Result<(), OpError> {
        let data = io.inputs.get::<X>(0)?;
        for (index, group) in self.groups.iter().enumerate() {
            let place = Place::rows(index * sizes.group_outputs(), step);
            if sizes.window.is_pointwise() && sizes.groups == 1 {
                let depth = sizes.depth();
                let rows = Dense { data, rows: sizes.window.pixels(), depth, stride: depth };
                group.run(&rows, zero, &mut io.outputs, place, par, io.scratch)?;
            } else {
                group.run(&sizes.patches(data, index), zero, &mut io.outputs, place, par, io.scratch)?;
            }
        }
        Ok(())
    }
}

/// The activation options that the reference's default path knows.
pub(super) fn clips(option: ActivationFunctionType) -> bool {
    matches!(
        option,
        ActivationFunctionType::NONE
            | ActivationFunctionType::RELU
            | ActivationFunctionType::RELU6
            | ActivationFunctionType::RELU_N1_TO_1
    )
}

/// The short name of a type of activations in kernel names.
pub(super) fn type_name(dtype: TensorType) -> &'static str {
    match dtype {
        TensorType::Int8 => "i8",
        TensorType::UInt8 => "u8",
        TensorType::Int16 => "i16",
        _ => "f32",
    }
}
