//! Gradients of convolutions.

use ferrolite_kernels::cpu::float::conv::ConvShape;
use ferrolite_kernels::cpu::gradient::{
    ConvFilterGrad, ConvInputGrad, DepthwiseGradShape, depthwise_filter_grad, depthwise_input_grad,
};
use ferrolite_ops::{
    FnKernel, InferError, Kernel, LowerCx, Node, OpError, OpSpec, OutputShapes, Shape, one, types,
};

use super::support::{Padding, as_floats, check_channels_last, dims, floats, shape_in, spatial, volume};
use crate::node_def::NodeDef;

const fn gradient(
    name: &'static str,
    infer: ferrolite_ops::InferFn,
    lower: ferrolite_ops::LowerFn,
) -> OpSpec {
    OpSpec::custom(name, infer, lower).inputs(3, 3).types(types![
        (Int32, Float32) -> (Float32),
        (Int64, Float32) -> (Float32),
        (Float32, Int32, Float32) -> (Float32),
        (Float32, Int64, Float32) -> (Float32),
    ])
}

/// The family's operators. Inputs are sizes or values of input and filter, and the gradient of the output.
pub const SPECS: &[OpSpec] = &[
    gradient("FlexConv2DBackpropInput", infer::<0>, lower_input::<2>),
    gradient("FlexConv2DBackpropFilter", infer::<1>, lower_filter::<2>),
    gradient("FlexConv3DBackpropInputV2", infer::<0>, lower_input::<3>),
    gradient("FlexConv3DBackpropFilterV2", infer::<1>, lower_filter::<3>),
    gradient("FlexDepthwiseConv2dNativeBackpropInput", infer::<0>, lower_depthwise_input),
    gradient("FlexDepthwiseConv2dNativeBackpropFilter", infer::<1>, lower_depthwise_filter),
];

/// The output's shape is in input `SIZES`.
fn infer<const SIZES: usize>(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = shape_in(node, SIZES)?;
    // Depthwise operators take the batch of the gradient where the sizes leave it out.
    Ok(one(shape))
}

/// Sizes of the forward convolution from the shapes of its input, its filter and its output.
fn conv_shape<const N: usize>(
    def: &NodeDef,
    input: &[usize],
    filter: &[usize],
    output: &[usize],
) -> Result<ConvShape, OpError> {
    check_channels_last(def)?;
    let bad =
        || OpError::invalid(format!("the shapes {input:?}, {filter:?} and {output:?} are of no convolution"));
    let rank = N + 2;
    if [input.len(), filter.len(), output.len()] != [rank; 3] {
        return Err(bad());
    }
    let (strides, dilations) = (spatial::<N>(def, "strides")?, spatial::<N>(def, "dilations")?);
    let padding = Padding::of(def)?;
    let (in_channels, in_group, out_channels) = (input[rank - 1], filter[N], filter[N + 1]);
    let groups = in_channels.checked_div(in_group).unwrap_or(0);
    if groups == 0
        || groups * in_group != in_channels
        || !out_channels.is_multiple_of(groups)
        || output[rank - 1] != out_channels
        || output[0] != input[0]
    {
        return Err(bad());
    }
    let (mut pad_before, mut pad_after) = ([0; 3], [0; 3]);
    for i in 0..N {
        let reach = filter[i].saturating_sub(1).saturating_mul(dilations[i]).saturating_add(1);
        let axis = padding.axis(i, input[1 + i], reach, strides[i])?;
        if axis.output != output[1 + i] {
            return Err(bad());
        }
        pad_before[3 - N + i] = axis.pad_before;
        pad_after[3 - N + i] = axis.pad_after;
    }
    let inner = |dims: &[usize], start: usize| -> [usize; 3] {
        let mut out = [1; 3];
        out[3 - N..].copy_from_slice(&dims[start..start + N]);
        out
    };
    Ok(ConvShape {
        batch: input[0],
        input: inner(input, 1),
        in_channels,
        out_channels,
        kernel: inner(filter, 0),
        stride: volume(strides, 1),
        dilation: volume(dilations, 1),
        pad_before,
        pad_after,
        groups,
    })
}

fn ops(shape: &ConvShape, output: [usize; 3]) -> f64 {
    let taps: usize = shape.kernel.iter().product();
    let pixels: usize = output.iter().product();
    2.0 * (shape.batch * pixels) as f64
        * (taps * shape.in_channels / shape.groups) as f64
        * shape.out_channels as f64
}

fn lower_filter<const N: usize>(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let def = NodeDef::of(node)?;
    let shape = conv_shape::<N>(&def, node.shape(0)?, &node.output(0)?.shape, node.shape(2)?)?;
    let gradient = ConvFilterGrad::new(cx.cpu, shape)?;
    let ops = ops(&shape, gradient.output());
    Ok(FnKernel::new(format!("f32_conv_filter_grad_{}", cx.cpu.name()), move |io, cx| {
        let (x, dy) = (io.inputs.get(0)?, io.inputs.get(2)?);
        Ok(gradient.run(x, dy, io.outputs.get(0)?, cx.par())?)
    })
    .ops(ops)
    .boxed())
}

fn lower_input<const N: usize>(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let def = NodeDef::of(node)?;
    let shape = conv_shape::<N>(&def, &node.output(0)?.shape, node.shape(1)?, node.shape(2)?)?;
    let gradient = ConvInputGrad::new(cx.cpu, shape)?;
    let scratch = floats(gradient.scratch_len());
    let ops = ops(&shape, gradient.output());
    Ok(FnKernel::new(format!("f32_conv_input_grad_{}", cx.cpu.name()), move |io, cx| {
        let (filter, dy) = (io.inputs.get(1)?, io.inputs.get(2)?);
        Ok(gradient.run(filter, dy, io.outputs.get(0)?, as_floats(io.scratch), cx.par())?)
    })
    .scratch(scratch)
    .ops(ops)
    .boxed())
}

fn depthwise_shape(
    def: &NodeDef,
    input: &Shape,
    filter: &Shape,
    output: &Shape,
) -> Result<DepthwiseGradShape, OpError> {
    check_channels_last(def)?;
    let ([batch, h, w, channels], [kh, kw, filter_channels, multiplier]) =
        (dims::<4>(input)?, dims::<4>(filter)?);
    let (stride, dilation) = (spatial::<2>(def, "strides")?, spatial::<2>(def, "dilations")?);
    let padding = Padding::of(def)?;
    let reach = |kernel: usize, d: usize| kernel.saturating_sub(1).saturating_mul(d).saturating_add(1);
    let y = padding.axis(0, h, reach(kh, dilation[0]), stride[0])?;
    let x = padding.axis(1, w, reach(kw, dilation[1]), stride[1])?;
    let expected = [batch, y.output, x.output, channels.saturating_mul(multiplier)];
    if filter_channels != channels || output.dims() != expected {
        return Err(OpError::invalid(format!(
            "the shapes {input}, {filter} and {output} are of no depthwise convolution"
        )));
    }
    Ok(DepthwiseGradShape {
        batch,
        input: [h, w],
        channels,
        multiplier,
        output: [y.output, x.output],
        kernel: [kh, kw],
        stride,
        dilation,
        pad_before: [y.pad_before, x.pad_before],
    })
}

fn lower_depthwise_filter(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let shape = depthwise_shape(&NodeDef::of(node)?, node.shape(0)?, &node.output(0)?.shape, node.shape(2)?)?;
    let cpu = cx.cpu;
    Ok(FnKernel::new(format!("f32_depthwise_filter_grad_{}", cpu.name()), move |io, cx| {
        let (x, dy) = (io.inputs.get(0)?, io.inputs.get(2)?);
        Ok(depthwise_filter_grad(cpu, &shape, x, dy, io.outputs.get(0)?, cx.par())?)
    })
    .boxed())
}

fn lower_depthwise_input(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let shape = depthwise_shape(&NodeDef::of(node)?, &node.output(0)?.shape, node.shape(1)?, node.shape(2)?)?;
    let cpu = cx.cpu;
    Ok(FnKernel::new(format!("f32_depthwise_input_grad_{}", cpu.name()), move |io, cx| {
        let (filter, dy) = (io.inputs.get(1)?, io.inputs.get(2)?);
        Ok(depthwise_input_grad(cpu, &shape, filter, dy, io.outputs.get(0)?, cx.par())?)
    })
    .boxed())
}
