//! CONV_3D and CONV_3D_TRANSPOSE: convolutions of volumes and their gradients.

use ferrolite_kernels::cpu::float::gemm::gemm_f32_name;
use ferrolite_kernels::cpu::volume::{Conv3d, TransposeConv3d, Window3d};
use ferrolite_kernels::packing::Packing;
use ferrolite_kernels::par::Par;
use ferrolite_model::options::{ActivationFunctionType, Conv3DOptionsT};

use super::activation;
use super::geometry::{Along, no_zeros};
use super::weights::floats;
use super::weights::{PackParams, known};
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;

/// Windows, channels of the convolution's input and output, fused activation.
struct Sizes {
    window: Window3d,
    channels: usize,
    outputs: usize,
    option: ActivationFunctionType,
}

impl Sizes {
    fn ops(&self) -> f64 {
        let windows = (self.window.batch * self.window.windows()) as f64;
        2.0 * windows * (self.window.taps() * self.channels * self.outputs) as f64
    }
}

fn rank5(shape: &Shape, what: &str) -> Result<[usize; 5], OpError> {
    <[usize; 5]>::try_from(&shape[..])
        .map_err(|_| OpError::invalid(format!("the {what} must have rank 5, its shape is {shape}")))
}

/// The windows of a convolution over volumes of `[batch, depth, height, width]`.
fn window(volume: [usize; 4], kernel: [usize; 3], options: &Conv3DOptionsT) -> Result<Window3d, OpError> {
    let [batch, input @ ..] = volume;
    no_zeros(&input, "volume")?;
    no_zeros(&kernel, "filter")?;
    let strides = [options.stride_d, options.stride_h, options.stride_w];
    let dilations = [options.dilation_d_factor, options.dilation_h_factor, options.dilation_w_factor];
    let mut window = Window3d { batch, input, kernel, ..Window3d::default() };
    for axis in 0..3 {
        let along = Along::new(input[axis], kernel[axis], strides[axis], dilations[axis], options.padding)?;
        window.output[axis] = along.count;
        window.stride[axis] = along.stride;
        window.dilation[axis] = along.dilation;
        window.before[axis] = along.before;
    }
    Ok(window)
}

fn sizes(node: &Node<'_>) -> Result<Sizes, OpError> {
    let options = node.options::<Conv3DOptionsT>()?;
    let [batch, depth, height, width, channels] = rank5(node.shape(0)?, "input")?;
    let [taps_d, taps_h, taps_w, taken, outputs] = rank5(node.shape(1)?, "filter")?;
    no_zeros(&[taken, outputs], "filter's channels")?;
    if taken != channels {
        return Err(OpError::invalid(format!(
            "the filter is for {taken} input channels, the input has {channels}"
        )));
    }
    let window = window([batch, depth, height, width], [taps_d, taps_h, taps_w], &options)?;
    Ok(Sizes { window, channels, outputs, option: options.fused_activation_function })
}

pub(super) fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let Sizes { window, outputs, .. } = sizes(node)?;
    let [depth, height, width] = window.output;
    Ok(one(Shape::from([window.batch, depth, height, width, outputs])))
}

pub(super) fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let sizes = sizes(node)?;
    let Sizes { window, channels, outputs, option } = sizes;
    let activation = activation::float(option, cx)?;
    let cpu = cx.cpu;
    let pack = move |packing: Packing<'_>, filter: &[f32], bias: Option<&[f32]>| {
        Conv3d::pack(packing, &window, channels, outputs, filter, bias).map_err(OpError::from)
    };
    let (filter, bias) = (node.input(1)?, node.optional(2));
    if let (Some(bytes), true) = (filter.value, known(bias)) {
        let params = PackParams::new(node);
        let operands = [Some(filter), bias];
        let weights = cx.packs.get_or_pack(cpu, "conv3d_f32", params.as_slice(), &operands, |packing| {
            let bias = bias.and_then(|b| b.value).map(floats);
            pack(packing, &floats(bytes), bias.as_deref())
        })?;
        let conv = Conv3d::new(window, channels, (*weights).clone(), activation);
        let scratch = conv.scratch_len(Par::new(cx.threads)).saturating_mul(size_of::<f32>());
        return Ok(FnKernel::new(format!("conv3d_{}", gemm_f32_name(cpu)), move |io, cx| {
            let scratch = bytemuck::cast_slice_mut(&mut *io.scratch);
            Ok(conv.run(io.inputs.get(0)?, io.outputs.get(0)?, scratch, cx.par())?)
        })
        .scratch(scratch)
        .ops(sizes.ops())
        .boxed());
    }
    Ok(FnKernel::new("conv3d_unpacked", move |io, cx| {
        let weights = pack(cpu.into(), io.inputs.get(1)?, io.inputs.optional(2)?)?;
        let conv = Conv3d::new(window, channels, weights, activation);
        let mut scratch = vec![0.0; conv.scratch_len(cx.par())];
        Ok(conv.run(io.inputs.get(0)?, io.outputs.get(0)?, &mut scratch, cx.par())?)
    })
    .ops(sizes.ops())
    .boxed())
}

/// The sizes of the convolution whose gradient this is: its input is the operator's output.
fn transposed_sizes(node: &Node<'_>) -> Result<Sizes, InferError> {
    let options = node.options::<Conv3DOptionsT>()?;
    let wanted = node.ints(0)?;
    let [taps_d, taps_h, taps_w, outputs, taken] = rank5(node.shape(1)?, "filter")?;
    let [batch, depth, height, width, channels] = rank5(node.shape(2)?, "input")?;
    no_zeros(&[taken, outputs], "filter's channels")?;
    if taken != channels {
        let message = format!("the filter is for {taken} input channels, the input has {channels}");
        return Err(OpError::invalid(message).into());
    }
    let dims: Option<Vec<usize>> = wanted.iter().map(|&d| usize::try_from(d).ok()).collect();
    let volume = match dims.as_deref() {
        Some(&[b, d, h, w, c]) if b == batch && c == outputs => [b, d, h, w],
        _ => {
            let message = format!(
                "the output shape {wanted:?} must be [{batch}, depth, height, width, {outputs}] for this input and filter"
            );
            return Err(OpError::invalid(message).into());
        }
    };
    let window = window(volume, [taps_d, taps_h, taps_w], &options)?;
    if window.output != [depth, height, width] {
        let message = format!(
            "a convolution of {wanted:?} gives {:?} positions, the input has {:?}",
            window.output,
            [depth, height, width]
        );
        return Err(OpError::invalid(message).into());
    }
    Ok(Sizes { window, channels, outputs, option: options.fused_activation_function })
}

pub(super) fn infer_transposed(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let Sizes { window, outputs, .. } = transposed_sizes(node)?;
    let [depth, height, width] = window.input;
    Ok(one(Shape::from([window.batch, depth, height, width, outputs])))
}

pub(super) fn lower_transposed(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let sizes = transposed_sizes(node)?;
    let Sizes { window, channels, outputs, option } = sizes;
    let activation = activation::float(option, cx)?;
    let cpu = cx.cpu;
    let pack = move |packing: Packing<'_>, filter: &[f32]| {
        TransposeConv3d::pack(packing, &window, channels, outputs, filter).map_err(OpError::from)
    };
    let filter = node.input(1)?;
    let ops = sizes.ops();
    if let Some(bytes) = filter.value {
        let params = PackParams::new(node);
        let (layout, operands) = ("transpose_conv3d_f32", [Some(filter)]);
        let make = |packing: Packing<'_>| pack(packing, &floats(bytes));
        let weights = cx.packs.get_or_pack(cpu, layout, params.as_slice(), &operands, make)?;
        let conv = TransposeConv3d::new(window, outputs, (*weights).clone(), activation);
        let scratch = conv.scratch_len().saturating_mul(size_of::<f32>());
        return Ok(FnKernel::new(format!("transpose_conv3d_{}", gemm_f32_name(cpu)), move |io, cx| {
            let scratch = bytemuck::cast_slice_mut(&mut *io.scratch);
            let (input, bias) = (io.inputs.get(2)?, io.inputs.optional(3)?);
            Ok(conv.run(input, bias, io.outputs.get(0)?, scratch, cx.par())?)
        })
        .scratch(scratch)
        .ops(ops)
        .boxed());
    }
    Ok(FnKernel::new("transpose_conv3d_unpacked", move |io, cx| {
        let conv = TransposeConv3d::new(window, outputs, pack(cpu.into(), io.inputs.get(1)?)?, activation);
        let mut scratch = vec![0.0; conv.scratch_len()];
        let (input, bias) = (io.inputs.get(2)?, io.inputs.optional(3)?);
        Ok(conv.run(input, bias, io.outputs.get(0)?, &mut scratch, cx.par())?)
    })
    .ops(ops)
    .boxed())
}
