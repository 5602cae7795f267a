//! Poolings that TensorFlow Lite lacks, and gradients of all.

use ferrolite_kernels::cpu::gradient::{PoolShape, average_pool, average_pool_grad, max_pool, max_pool_grad};
use ferrolite_ops::{
    FnKernel, InferError, InferFn, Kernel, LowerCx, LowerFn, Node, OpError, OpSpec, OutputShapes, Shape, one,
    same_types, types,
};

use super::support::{Padding, check_channels_last, like, shape_in, spatial, volume};
use crate::node_def::NodeDef;

const fn forward(name: &'static str, infer: InferFn, lower: LowerFn) -> OpSpec {
    OpSpec::custom(name, infer, lower).types(same_types![Float32])
}

const fn max_grad(name: &'static str, lower: LowerFn) -> OpSpec {
    OpSpec::custom(name, like::<0>, lower).inputs(3, 3).types(same_types![Float32])
}

const fn average_grad(name: &'static str, lower: LowerFn) -> OpSpec {
    OpSpec::custom(name, |node| Ok(one(shape_in(node, 0)?)), lower)
        .inputs(2, 2)
        .types(types![(Int32, Float32) -> (Float32)])
}

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    forward("FlexMaxPool", infer::<2>, |n, _| lower_max::<2>(n)),
    forward("FlexAvgPool", infer::<2>, |n, _| lower_average::<2>(n)),
    forward("FlexMaxPool3D", infer::<3>, |n, _| lower_max::<3>(n)),
    forward("FlexAvgPool3D", infer::<3>, |n, _| lower_average::<3>(n)),
    max_grad("FlexMaxPoolGrad", lower_max_grad::<2>),
    max_grad("FlexMaxPool3DGrad", lower_max_grad::<3>),
    average_grad("FlexAvgPoolGrad", |n, _| lower_average_grad::<2>(n)),
    average_grad("FlexAvgPool3DGrad", |n, _| lower_average_grad::<3>(n)),
];

fn pool_shape<const N: usize>(node: &Node<'_>, input: &Shape) -> Result<PoolShape, OpError> {
    let def = NodeDef::of(node)?;
    check_channels_last(&def)?;
    let dims = input.dims();
    if dims.len() != N + 2 {
        return Err(OpError::invalid(format!("pooling takes tensors of rank {}, not {input}", N + 2)));
    }
    let (window, stride) = (spatial::<N>(&def, "ksize")?, spatial::<N>(&def, "strides")?);
    let padding = Padding::of(&def)?;
    let (mut output, mut pad_before) = ([1; N], [0; N]);
    let mut size = [1; N];
    for i in 0..N {
        let axis = padding.axis(i, dims[1 + i], window[i], stride[i])?;
        (size[i], output[i], pad_before[i]) = (dims[1 + i], axis.output, axis.pad_before);
    }
    Ok(PoolShape {
        batch: dims[0],
        input: volume(size, 1),
        output: volume(output, 1),
        channels: dims[N + 1],
        window: volume(window, 1),
        stride: volume(stride, 1),
        pad_before: volume(pad_before, 0),
    })
}

fn infer<const N: usize>(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = pool_shape::<N>(node, node.shape(0)?)?;
    let dims = [&[shape.batch], &shape.output[3 - N..], &[shape.channels]].concat();
    Ok(one(Shape::new(&dims)))
}

fn lower_max<const N: usize>(node: &Node<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let shape = pool_shape::<N>(node, node.shape(0)?)?;
    Ok(FnKernel::new("f32_max_pool", move |io, cx| {
        Ok(max_pool(&shape, io.inputs.get(0)?, io.outputs.get(0)?, cx.par())?)
    })
    .boxed())
}

fn lower_average<const N: usize>(node: &Node<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let shape = pool_shape::<N>(node, node.shape(0)?)?;
    Ok(FnKernel::new("f32_average_pool", move |io, cx| {
        Ok(average_pool(&shape, io.inputs.get(0)?, io.outputs.get(0)?, cx.par())?)
    })
    .boxed())
}

/// Inputs: the pooling's input and output, and the gradient of the output.
fn lower_max_grad<const N: usize>(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (shape, cpu) = (pool_shape::<N>(node, node.shape(0)?)?, cx.cpu);
    Ok(FnKernel::new(format!("f32_max_pool_grad_{}", cpu.name()), move |io, cx| {
        Ok(max_pool_grad(cpu, &shape, io.inputs.get(0)?, io.inputs.get(2)?, io.outputs.get(0)?, cx.par())?)
    })
    .boxed())
}

/// Inputs: the shape of the pooling's input, and the gradient of its output.
fn lower_average_grad<const N: usize>(node: &Node<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let shape = pool_shape::<N>(node, &node.output(0)?.shape)?;
    Ok(FnKernel::new("f32_average_pool_grad", move |io, cx| {
        Ok(average_pool_grad(&shape, io.inputs.get(1)?, io.outputs.get(0)?, cx.par())?)
    })
    .boxed())
}
