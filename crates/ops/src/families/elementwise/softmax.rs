//! SOFTMAX, LOG_SOFTMAX and L2_NORMALIZATION, along the innermost dimension.

use ferrolite_kernels::cpu::elementwise::chain::OfRow;
use ferrolite_kernels::cpu::elementwise::quantized::Narrow;
use ferrolite_kernels::cpu::elementwise::softmax::{
    QuantizedL2, QuantizedLogSoftmax, SoftmaxI16, exp_table, l2_normalize, log_softmax, softmax,
};
use ferrolite_kernels::cpu::elementwise::softmax_bytes::{QuantizedSoftmax, Rounding};
use ferrolite_kernels::fixed_point::Multiplier;
use ferrolite_kernels::inout::InOut;
use ferrolite_model::options::{ActivationFunctionType, L2NormOptionsT, SoftmaxOptionsT};
use ferrolite_model::{BuiltinOperator, TensorType};
use half::f16;

use super::table::{fixed_table16, symmetric};
use super::{
    Lowered, Source, elements, infer_same, input_affine, kernel_name, output_affine, scales_too_far_apart,
    source, unexpected, wrong_size,
};
use crate::chain::Elementwise;
use crate::element::Element;
use crate::error::OpError;
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::Node;
use crate::spec::OpSpec;
use crate::{same_types, types};

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::SOFTMAX, infer_same, lower_softmax)
        .versions(4)
        .in_place(&[0])
        .types(types![
            (Float32) -> (Float32),
            (Float16) -> (Float16),
            (UInt8) -> (UInt8),
            (UInt8) -> (Int16),
            (Int8) -> (Int8),
            (Int8) -> (Int16),
            (Int16) -> (Int16),
        ])
        .chain(chain_of_softmax),
    OpSpec::builtin(BuiltinOperator::LOG_SOFTMAX, infer_same, lower_log_softmax)
        .versions(2)
        .in_place(&[0])
        .types(same_types![Float32, UInt8, Int8]),
    OpSpec::builtin(BuiltinOperator::L2_NORMALIZATION, infer_same, lower_l2)
        .versions(2)
        .in_place(&[0])
        .types(same_types![Float32, UInt8, Int8]),
];

/// The length of a row: the innermost dimension, which must be there.
fn row_len(node: &Node<'_>) -> Result<usize, OpError> {
    node.shape(0)?
        .last()
        .copied()
        .ok_or_else(|| OpError::invalid("a scalar has no rows: give the tensor at least one dimension"))
}

/// Softmax of floats as a link of a chain.
fn chain_of_softmax(node: &Node<'_>) -> Option<Elementwise> {
    let beta = node.options::<SoftmaxOptionsT>().ok()?.beta;
    Elementwise::of_rows(OfRow::Softmax { beta }, row_len(node).ok()?)
}

/// Costs of about four passes over the elements.
fn ops(node: &Node<'_>) -> Result<f64, OpError> {
    Ok(8.0 * elements(node)?)
}

fn lower_softmax(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let (row, cpu) = (row_len(node)?, cx.cpu);
    let beta = node.options::<SoftmaxOptionsT>()?.beta;
    let run = match (node.dtype(0)?, node.output(0)?.dtype) {
        (TensorType::Float32, _) => FnKernel::new(kernel_name("f32_softmax", cx), move |io, context| {
            let par = context.par();
            softmax(cpu, par, io.in_out::<f32>(0, 0)?, row, beta);
            Ok(())
        }),
        (TensorType::Float16, _) => FnKernel::new(kernel_name("f16_softmax", cx), move |io, context| {
            let input = source::<f16>(io, 0)?;
            let wide: &mut [f32] = bytemuck::try_cast_slice_mut(io.scratch).map_err(|_| wrong_size())?;
            let out = io.outputs.get::<f16>(0)?;
            let input = match input {
                Source::Apart(input) => input,
                Source::InPlace => &*out,
            };
            if wide.len() != input.len() || out.len() != wide.len() {
                return Err(wrong_size());
            }
            for (w, x) in wide.iter_mut().zip(input) {
                *w = x.to_f32();
            }
            softmax(cpu, context.par(), InOut::in_place(wide), row, beta);
            for (o, w) in out.iter_mut().zip(&*wide) {
                *o = f16::from_f32(*w);
            }
            Ok(())
        })
        .scratch(4 * node.shape(0)?.num_elements()?),
        (TensorType::UInt8, TensorType::UInt8) => {
            softmax_8bit::<u8, u8>("u8_softmax", node, cx, beta, Rounding::AddHalf)?
        }
        (TensorType::UInt8, _) => {
            softmax_8bit::<u8, i16>("u8_softmax_i16", node, cx, beta, Rounding::Nearest)?
        }
        (TensorType::Int8, TensorType::Int8) => {
            softmax_8bit::<i8, i8>("i8_softmax", node, cx, beta, Rounding::Nearest)?
        }
        (TensorType::Int8, _) => {
            softmax_8bit::<i8, i16>("i8_softmax_i16", node, cx, beta, Rounding::Nearest)?
        }
        (TensorType::Int16, _) => softmax_i16(node, beta)?,
        _ => return Err(unexpected(node)),
    };
    Ok(run.ops(ops(node)?).boxed())
}

/// 8-bit rows through a table of exponentials.
fn softmax_8bit<A: Narrow + Element, B: Narrow + Element>(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    beta: f32,
    rounding: Rounding,
) -> Result<FnKernel, OpError> {
    let (input, output) = (input_affine(node, 0)?, output_affine(node)?);
    let kernel = QuantizedSoftmax {
        row: row_len(node)?,
        scale: output.scale,
        zero_point: output.zero_point,
        rounding,
    };
    let (table, cpu) = (exp_table(input.scale, beta), cx.cpu);
    Ok(FnKernel::new(kernel_name(name, cx), move |io, context| {
        on_rows::<A, B>(io, |input, out| kernel.run(cpu, context.par(), &table, input, out))
    })
    .scratch(node.input(0)?.info.byte_len()?))
}

/// Calls `run` with input and output, the input copied to scratch memory first where the output overwrites it.
fn on_rows<A: Element, B: Element>(
    io: &mut crate::io::Io<'_>,
    run: impl FnOnce(&[A], &mut [B]),
) -> Result<(), OpError> {
    let view = io.inputs.view(0)?;
    let input: &[A] = if let crate::io::InputData::InPlace(shared) = view.data {
        A::check(view.dtype)?;
        let bytes = io.outputs.bytes(shared)?;
        if bytes.len() != io.scratch.len() {
            return Err(wrong_size());
        }
        io.scratch.copy_from_slice(bytes);
        bytemuck::try_cast_slice(io.scratch).map_err(|_| wrong_size())?
    } else {
        io.inputs.get::<A>(0)?
    };
    let out = io.outputs.get::<B>(0)?;
    if input.len() != out.len() {
        return Err(wrong_size());
    }
    run(input, out);
    Ok(())
}

fn softmax_i16(node: &Node<'_>, beta: f32) -> Result<FnKernel, OpError> {
    let (input, _) = symmetric(input_affine(node, 0)?, output_affine(node)?)?;
    let factor = f64::from(input.scale * beta) / (10.0 / 65535.0);
    let kernel = SoftmaxI16 {
        row: row_len(node)?,
        factor: Multiplier::new(factor).ok_or_else(scales_too_far_apart)?,
        exp: fixed_table16((-10.0, 0.0), FRACTIONS, f64::exp),
        reciprocal: fixed_table16((0.0, 1.0), FRACTIONS, |x| 1.0 / (1.0 + x)),
    };
    Ok(FnKernel::new("i16_softmax", move |io, context| {
        on_rows::<i16, i16>(io, |input, out| kernel.run(context.par(), input, out))
    })
    .scratch(node.input(0)?.info.byte_len()?))
}

/// The real values of -32768 and 32767 as fractions whose range is two wide.
const FRACTIONS: (f64, f64) = (-32768.0 * 2.0 / 65535.0, 32767.0 * 2.0 / 65535.0);

fn lower_log_softmax(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let (row, cpu) = (row_len(node)?, cx.cpu);
    let run = match node.dtype(0)? {
        TensorType::Float32 => FnKernel::new(kernel_name("f32_log_softmax", cx), move |io, context| {
            let par = context.par();
            log_softmax(cpu, par, io.in_out::<f32>(0, 0)?, row);
            Ok(())
        }),
        TensorType::Int8 => log_softmax_8bit::<i8>("i8_log_softmax", node)?,
        TensorType::UInt8 => log_softmax_8bit::<u8>("u8_log_softmax", node)?,
        _ => return Err(unexpected(node)),
    };
    Ok(run.ops(ops(node)?).boxed())
}

fn log_softmax_8bit<T: Narrow + Element>(name: &'static str, node: &Node<'_>) -> Result<FnKernel, OpError> {
    let (input, output) = (input_affine(node, 0)?, output_affine(node)?);
    let kernel = QuantizedLogSoftmax {
        row: row_len(node)?,
        input_scale: input.scale,
        scale: output.scale,
        zero_point: output.zero_point,
    };
    let table = exp_table(input.scale, 1.0);
    Ok(FnKernel::new(name, move |io, context| {
        on_rows::<T, T>(io, |input, out| kernel.run(context.par(), &table, input, out))
    })
    .scratch(node.input(0)?.info.byte_len()?))
}

fn lower_l2(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let (row, cpu) = (row_len(node)?, cx.cpu);
    if node.options::<L2NormOptionsT>()?.fused_activation_function != ActivationFunctionType::NONE {
        return Err(OpError::unsupported(
            "L2_NORMALIZATION takes no fused activation: make it an operator of its own",
        ));
    }
    let run = match node.dtype(0)? {
        TensorType::Float32 => FnKernel::new(kernel_name("f32_l2_normalize", cx), move |io, context| {
            let par = context.par();
            l2_normalize(cpu, par, io.in_out::<f32>(0, 0)?, row);
            Ok(())
        }),
        TensorType::Int8 => l2_8bit::<i8>("i8_l2_normalize", node)?,
        TensorType::UInt8 => l2_8bit::<u8>("u8_l2_normalize", node)?,
        _ => return Err(unexpected(node)),
    };
    Ok(run.ops(ops(node)?).boxed())
}

/// 8-bit rows; the output has scale 1/128 whatever its tensor says.
fn l2_8bit<T: Narrow + Element>(name: &'static str, node: &Node<'_>) -> Result<FnKernel, OpError> {
    let output = output_affine(node)?;
    let middle = if T::MIN < 0 { 0 } else { 128 };
    if output.scale != 1.0 / 128.0 || output.zero_point != middle {
        return Err(OpError::invalid(format!(
            "the output must have the scale 1/128 and the zero point {middle}: quantize the model anew"
        )));
    }
    let kernel = QuantizedL2 {
        row: row_len(node)?,
        input_zero_point: input_affine(node, 0)?.zero_point,
        output_zero_point: middle,
    };
    Ok(FnKernel::new(name, move |io, context| {
        on_rows::<T, T>(io, |input, out| kernel.run(context.par(), input, out))
    })
    .scratch(node.input(0)?.info.byte_len()?))
}
