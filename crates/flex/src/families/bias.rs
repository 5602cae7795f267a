//! Adding a bias, its gradient, and half the sum of squares.

use ferrolite_kernels::cpu::gradient::activation::sum_rows;
use ferrolite_ops::{
    FnKernel, InferError, Kernel, LowerCx, Node, OpError, OpSpec, OutputShapes, Shape, one, same_types,
};

use super::support::{check_channels_last, like, scalar};
use crate::node_def::NodeDef;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("FlexBiasAdd", like::<0>, lower_add).inputs(2, 2).types(same_types![Float32]),
    OpSpec::custom("FlexBiasAddGrad", infer_grad, lower_grad).types(same_types![Float32]),
    OpSpec::custom("FlexL2Loss", scalar, lower_l2).types(same_types![Float32]),
];

fn channels(node: &Node<'_>) -> Result<usize, OpError> {
    check_channels_last(&NodeDef::of(node)?)?;
    let shape = node.shape(0)?;
    shape
        .last()
        .copied()
        .ok_or_else(|| OpError::invalid("a bias is added along the last axis, a scalar has none"))
}

fn infer_grad(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Shape::from([channels(node)?])))
}

fn lower_add(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let channels = channels(node)?;
    if node.shape(1)?.dims() != [channels] {
        return Err(OpError::invalid(format!(
            "a bias of shape {} does not fit {channels} channels",
            node.shape(1)?
        )));
    }
    Ok(FnKernel::new("f32_bias_add", move |io, _| {
        let (x, bias) = (io.inputs.get::<f32>(0)?, io.inputs.get::<f32>(1)?);
        let rows =
            io.outputs.get::<f32>(0)?.chunks_exact_mut(channels.max(1)).zip(x.chunks_exact(channels.max(1)));
        for (out, x) in rows {
            for ((out, x), bias) in out.iter_mut().zip(x).zip(bias) {
                *out = x + bias;
            }
        }
        Ok(())
    })
    .boxed())
}

fn lower_grad(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    channels(node)?;
    let cpu = cx.cpu;
    Ok(FnKernel::new(format!("f32_bias_grad_{}", cpu.name()), move |io, _| {
        sum_rows(cpu, io.inputs.get(0)?, io.outputs.get(0)?);
        Ok(())
    })
    .boxed())
}

fn lower_l2(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("f32_l2_loss", |io, _| {
        let sum: f64 = io.inputs.get::<f32>(0)?.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        io.outputs.get::<f32>(0)?.fill((sum / 2.0) as f32);
        Ok(())
    })
    .boxed())
}
