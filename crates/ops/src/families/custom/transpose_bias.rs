//! Convolution2DTransposeBias: a transposed convolution with a bias, as MediaPipe defines it.

use ferrolite_kernels::cpu::float::conv::{TransposeConvF32, TransposeConvShape, TransposeConvWeightsF32};
use ferrolite_kernels::cpu::float::epilogue::Epilogue;
use ferrolite_kernels::par::Par;
use ferrolite_model::options::Padding;

use super::structs::transpose_conv;
use crate::error::OpError;
use crate::families::linear::geometry::{no_zeros, positive};
use crate::families::linear::weights::floats;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::same_types;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The module's operators.
pub const SPECS: &[OpSpec] =
    &[OpSpec::custom("Convolution2DTransposeBias", infer, lower).inputs(3, 3).types(same_types![Float32])];

/// Strides beyond this are refused: each position modulo the stride is packed by itself.
const MOST_STRIDE: usize = 256;

/// The output is as large as the input's pixels, `stride` apart, reach with the filter; SAME cuts it to the least size whose
/// convolution gives the input.
fn sizes(node: &Node<'_>) -> Result<TransposeConvShape, OpError> {
    let (padding, strides) = transpose_conv(node)?;
    let (input, filter, bias) = (node.shape(0)?, node.shape(1)?, node.shape(2)?);
    let (&[batch, height, width, channels], &[outputs, tall, wide, taken]) = (&input[..], &filter[..]) else {
        return Err(OpError::invalid(format!("input {input} and filter {filter} must have rank 4")));
    };
    if taken != channels || **bias != [outputs] {
        return Err(OpError::invalid(format!(
            "input {input}, filter {filter} and bias {bias} do not fit together"
        )));
    }
    no_zeros(&input[1..], "input")?;
    no_zeros(filter, "filter")?;
    let mut shape = TransposeConvShape {
        batch,
        input: [1, height, width],
        in_channels: channels,
        output: [1; 3],
        out_channels: outputs,
        kernel: [1, tall, wide],
        stride: [1; 3],
        pad_before: [0; 3],
    };
    for axis in 1..3 {
        let stride = positive(strides[axis - 1], "stride")?;
        let (size, kernel) = (shape.input[axis], shape.kernel[axis]);
        let reached = (size - 1).checked_mul(stride).and_then(|n| n.checked_add(kernel));
        let reached = reached.filter(|_| stride <= MOST_STRIDE).ok_or_else(|| {
            OpError::unsupported(format!(
                "the stride {stride} is larger than {MOST_STRIDE}, or the output than memory"
            ))
        })?;
        let cut = match padding {
            Padding::SAME => kernel.saturating_sub((size - 1) % stride + 1),
            _ => 0,
        };
        shape.stride[axis] = stride;
        shape.output[axis] = reached - cut;
        shape.pad_before[axis] = cut / 2;
    }
    Ok(shape)
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = sizes(node)?;
    Ok(one(Shape::from([shape.batch, shape.output[1], shape.output[2], shape.out_channels])))
}

fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let shape = sizes(node)?;
    let cpu = cx.cpu;
    let (filter, bias) = (node.input(1)?, node.input(2)?);
    if let (Some(weights), Some(constants)) = (filter.value, bias.value) {
        let params: Vec<u64> = shape.kernel.iter().chain(&shape.stride).map(|&n| n as u64).collect();
        let layout = "transpose_conv_bias_f32";
        let packed = cx.packs.get_or_pack(cpu, layout, &params, &[Some(filter), Some(bias)], |packing| {
            Ok(TransposeConvWeightsF32::new(packing, &shape, &floats(weights), Some(&floats(constants)))?)
        })?;
        let conv = TransposeConvF32::new(shape, (*packed).clone())?;
        let (name, scratch) = (conv.name(), conv.scratch_bytes(Par::new(cx.threads)));
        return Ok(FnKernel::new(name, move |io, cx| {
            let scratch = bytemuck::cast_slice_mut(&mut *io.scratch);
            Ok(conv.run(io.inputs.get(0)?, io.outputs.get(0)?, scratch, &Epilogue::default(), cx.par())?)
        })
        .scratch(scratch)
        .boxed());
    }
    Ok(FnKernel::new("f32_transpose_conv_unpacked", move |io, cx| {
        let weights = TransposeConvWeightsF32::new(cpu, &shape, io.inputs.get(1)?, Some(io.inputs.get(2)?))?;
        let conv = TransposeConvF32::new(shape, weights)?;
        let mut scratch = vec![0.0; conv.scratch_bytes(cx.par()) / size_of::<f32>()];
        Ok(conv.run(io.inputs.get(0)?, io.outputs.get(0)?, &mut scratch, &Epilogue::default(), cx.par())?)
    })
    .boxed())
}
