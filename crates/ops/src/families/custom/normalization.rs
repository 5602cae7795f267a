//! Normalizations that models for GPUs name: custom_call.LayerNorm, custom_call.RmsNorm, custom_call.GroupNorm; and
//! custom_call.PixelShuffle, which is DEPTH_TO_SPACE by another name.

use crate::error::OpError;
use crate::families::moving::{Moves, into_dense};
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::same_types;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("custom_call.LayerNorm", infer_same, |node, _| lower_rows(node, true))
        .inputs(1, 3)
        .types(same_types![Float32]),
    OpSpec::custom("custom_call.RmsNorm", infer_same, |node, _| lower_rows(node, false))
        .inputs(1, 2)
        .types(same_types![Float32]),
    OpSpec::custom("custom_call.GroupNorm", infer_same, lower_groups)
        .inputs(1, 3)
        .types(same_types![Float32]),
    OpSpec::custom("custom_call.PixelShuffle", infer_shuffle, lower_shuffle).types(same_types![Float32]),
];

fn infer_same(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    channels(node)?;
    Ok(one(node.shape(0)?.clone()))
}

/// The innermost dimension, which scale and bias have as many numbers as.
fn channels(node: &Node<'_>) -> Result<usize, OpError> {
    let shape = node.shape(0)?;
    let Some(&channels) = shape.last() else {
        return Err(OpError::invalid("a scalar has no channels to normalize"));
    };
    for operand in node.inputs[1..].iter().flatten() {
        let info = operand.info;
        if info.shape.num_elements()? != channels {
            return Err(OpError::invalid(format!(
                "'{}' of shape {} must have one number for each of the {channels} channels of {shape}",
                info.name, info.shape
            )));
        }
    }
    Ok(channels)
}

/// Mean and variance, in double precision.
fn moments(values: impl Iterator<Item = f32> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().map(f64::from).sum::<f64>() / count;
    (mean, values.map(|x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count)
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` over the channels of each pixel; without centring the mean is zero
/// and the variance that of the squares.
fn lower_rows(node: &Node<'_>, centred: bool) -> Result<Box<dyn Kernel>, OpError> {
    let channels = channels(node)?;
    let epsilon = node.attributes()?.float_or("epsilon", 0.0)?;
    let name = if centred { "layer_norm" } else { "rms_norm" };
    Ok(FnKernel::new(name, move |io, cx| {
        let (input, scale, bias) =
            (io.inputs.get::<f32>(0)?, io.inputs.optional::<f32>(1)?, io.inputs.optional::<f32>(2)?);
        let out = io.outputs.get::<f32>(0)?;
        if out.is_empty() {
            return Ok(());
        }
        cx.par().chunks_mut(out, channels, |at, out| {
            let row = &input[at * channels..][..channels];
            let (mean, variance) = if centred {
                moments(row.iter().copied())
            } else {
                (0.0, row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / channels as f64)
            };
            let factor = 1.0 / (variance + epsilon).sqrt();
            for (c, (out, &x)) in out.iter_mut().zip(row).enumerate() {
                let normal = ((f64::from(x) - mean) * factor) as f32;
                *out = normal * scale.map_or(1.0, |s| s[c]) + bias.map_or(0.0, |b| b[c]);
            }
        });
        Ok(())
    })
    .boxed())
}

/// The same over all pixels of a group of neighbouring channels.
fn lower_groups(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    const GROUPS: i64 = 32;
    let channels = channels(node)?;
    let attributes = node.attributes()?;
    let (groups, epsilon) = (attributes.int_or("num_groups", GROUPS)?, attributes.float_or("epsilon", 1e-6)?);
    let groups = usize::try_from(groups)
        .ok()
        .filter(|&g| g > 0 && channels.is_multiple_of(g))
        .ok_or_else(|| OpError::invalid(format!("{channels} channels do not divide into {groups} groups")))?;
    let shape = node.shape(0)?;
    let pixels: usize = if shape.rank() > 1 { shape[1..shape.rank() - 1].iter().product() } else { 1 };
    let width = channels / groups;
    Ok(FnKernel::new("group_norm", move |io, _| {
        let (input, scale, bias) =
            (io.inputs.get::<f32>(0)?, io.inputs.optional::<f32>(1)?, io.inputs.optional::<f32>(2)?);
        let out = io.outputs.get::<f32>(0)?;
        let image = pixels * channels;
        if out.is_empty() {
            return Ok(());
        }
        for (out, input) in out.chunks_exact_mut(image).zip(input.chunks_exact(image)) {
            for group in 0..groups {
                let first = group * width;
                let of_group = input.chunks_exact(channels).flat_map(|pixel| &pixel[first..first + width]);
                let (mean, variance) = moments(of_group.copied());
                let factor = 1.0 / (variance + epsilon).sqrt();
                for (out, pixel) in out.chunks_exact_mut(channels).zip(input.chunks_exact(channels)) {
                    for c in first..first + width {
                        let normal = ((f64::from(pixel[c]) - mean) * factor) as f32;
                        out[c] = normal * scale.map_or(1.0, |s| s[c]) + bias.map_or(0.0, |b| b[c]);
                    }
                }
            }
        }
        Ok(())
    })
    .boxed())
}

/// Batch, height, width, channels of the result, and the size of a block.
fn shuffled(node: &Node<'_>) -> Result<([usize; 4], usize), OpError> {
    let block = node.attributes()?.positive("block_size")?;
    let bad = || {
        OpError::invalid(format!("pixels of {:?} cannot be shuffled into blocks of {block}", node.shape(0)))
    };
    let &[batch, height, width, channels] = &node.shape(0)?[..] else { return Err(bad()) };
    let squared = block.checked_mul(block).filter(|&s| channels.is_multiple_of(s)).ok_or_else(bad)?;
    let (height, width) = (height.checked_mul(block), width.checked_mul(block));
    let (Some(height), Some(width)) = (height, width) else { return Err(bad()) };
    Ok(([batch, height, width, channels / squared], block))
}

fn infer_shuffle(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Shape::from(shuffled(node)?.0)))
}

fn lower_shuffle(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let ([batch, height, width, depth], block) = shuffled(node)?;
    let info = node.input(0)?.info;
    let (rows, columns) = (height / block, width / block);
    let channels = (depth * block * block) as isize;
    let (row, line) = (channels * columns as isize, (depth * block) as isize);
    // The result as batch, row of blocks, row in the block, column of blocks, column in the block, channel.
    let dims = [batch, rows, block, columns, block, depth];
    let strides = [row * rows as isize, row, line, channels, depth as isize, 1];
    let (ends, dims) = into_dense(&info.shape, 0, &dims, &strides)?;
    Moves::new(info.dtype)?.step((0, 0), ends, &dims)?.kernel("pixel_shuffle", &[&node.output(0)?.shape])
}
