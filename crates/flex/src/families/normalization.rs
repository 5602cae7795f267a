//! Batch normalization in training, and its gradient.

use ferrolite_kernels::cpu::gradient::norm::{moments, normalize, normalize_grad};
use ferrolite_ops::{
    FnKernel, InferError, Io, Kernel, LowerCx, Node, OpError, OpSpec, OutputShape, OutputShapes, Shape,
    same_types,
};

use super::support::check_channels_last;
use crate::node_def::NodeDef;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("FlexFusedBatchNormV3", infer, lower)
        .inputs(5, 5)
        .outputs(6, 6)
        .types(same_types![Float32]),
    OpSpec::custom("FlexFusedBatchNormGradV3", infer_grad, lower_grad)
        .inputs(6, 6)
        .outputs(5, 5)
        .types(same_types![Float32]),
];

fn channels(node: &Node<'_>, x: usize) -> Result<usize, OpError> {
    check_channels_last(&NodeDef::of(node)?)?;
    let shape = node.shape(x)?;
    let channels = shape.last().copied();
    channels
        .ok_or_else(|| OpError::invalid("batch normalization needs an axis of channels, a scalar has none"))
}

fn known(shapes: impl IntoIterator<Item = Shape>) -> OutputShapes {
    shapes.into_iter().map(OutputShape::Known).collect()
}

/// Outputs: y, mean, variance, and three reserved for the gradient, the last without content.
fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let c = channels(node, 0)?;
    let per_channel = Shape::from([c]);
    let first = [node.shape(0)?.clone()];
    Ok(known(first.into_iter().chain(vec![per_channel; 4]).chain([Shape::from([0])])))
}

/// Outputs: gradients of x, scale and offset, and two without content.
fn infer_grad(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let c = channels(node, 1)?;
    Ok(known([
        node.shape(1)?.clone(),
        Shape::from([c]),
        Shape::from([c]),
        Shape::from([0]),
        Shape::from([0]),
    ]))
}

fn per_channel(io: &Io<'_>, inputs: core::ops::Range<usize>, channels: usize) -> Result<(), OpError> {
    for i in inputs {
        let len = io.inputs.get::<f32>(i)?.len();
        if len != channels && len != 0 {
            return Err(OpError::invalid(format!("input {i} has {len} values for {channels} channels")));
        }
    }
    Ok(())
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let def = NodeDef::of(node)?;
    let c = channels(node, 0)?;
    let epsilon = def.float("epsilon", 1e-4)?;
    let factor = def.float("exponential_avg_factor", 1.0)?;
    let training = def.bool("is_training", true)?;
    Ok(FnKernel::new("f32_batch_norm", move |io, _| {
        per_channel(io, 1..5, c)?;
        let x = io.inputs.get::<f32>(0)?;
        let [scale, offset, old_mean, old_variance] =
            [1, 2, 3, 4].map(|i| io.inputs.get::<f32>(i).unwrap_or_default());
        let (mut mean, mut variance) = (old_mean.to_vec(), old_variance.to_vec());
        if training {
            (mean, variance) = (vec![0.0; c], vec![0.0; c]);
            moments(x, &mut mean, &mut variance)?;
        }
        normalize(x, [scale, offset, &mean, &variance], epsilon, io.outputs.get(0)?)?;
        io.outputs.get::<f32>(3)?.copy_from_slice(&mean);
        io.outputs.get::<f32>(4)?.copy_from_slice(&variance);
        if training {
            // The variance handed on is that of the population, divided by one less than the count.
            let rows = (x.len() / c.max(1)) as f32;
            let correction = if rows > 1.0 { rows / (rows - 1.0) } else { 1.0 };
            variance.iter_mut().for_each(|v| *v *= correction);
            if factor != 1.0 {
                let blend = |new: &mut [f32], old: &[f32]| {
                    for (new, old) in new.iter_mut().zip(old) {
                        *new = (1.0 - factor) * old + factor * *new;
                    }
                };
                blend(&mut mean, old_mean);
                blend(&mut variance, old_variance);
            }
        }
        io.outputs.get::<f32>(1)?.copy_from_slice(&mean);
        io.outputs.get::<f32>(2)?.copy_from_slice(&variance);
        Ok(())
    })
    .boxed())
}

/// Inputs: gradient of y, x, scale, and the reserved mean, variance and nothing.
fn lower_grad(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let def = NodeDef::of(node)?;
    let c = channels(node, 1)?;
    let epsilon = def.float("epsilon", 1e-4)?;
    let training = def.bool("is_training", true)?;
    Ok(FnKernel::new("f32_batch_norm_grad", move |io, _| {
        per_channel(io, 2..5, c)?;
        let (dy, x) = (io.inputs.get::<f32>(0)?, io.inputs.get::<f32>(1)?);
        let per_channel = [io.inputs.get::<f32>(2)?, io.inputs.get::<f32>(3)?, io.inputs.get::<f32>(4)?];
        let (mut d_scale, mut d_offset) = (vec![0.0; c], vec![0.0; c]);
        let outputs = [io.outputs.get(0)?, &mut d_scale, &mut d_offset];
        normalize_grad([x, dy], per_channel, epsilon, training, outputs)?;
        io.outputs.get::<f32>(1)?.copy_from_slice(&d_scale);
        io.outputs.get::<f32>(2)?.copy_from_slice(&d_offset);
        Ok(())
    })
    .boxed())
}
