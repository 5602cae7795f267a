//! QUANTIZE, DEQUANTIZE and FAKE_QUANT: between real numbers and integers, per tensor and per channel.

use ferrolite_kernels::cpu::elementwise::lut::table8;
use ferrolite_kernels::cpu::elementwise::quantized::{Affine, Narrow, Rescale, RescaleShift, round_to_i16};
use ferrolite_kernels::cpu::float::stored::widen;
use ferrolite_model::options::FakeQuantOptionsT;
use ferrolite_model::{BuiltinOperator, TensorType};
use half::f16;

use super::table::table8_kernel;
use super::{
    Lowered, affine, elements, hot_unary_to_kernel, infer_same, input_affine, output_affine,
    scales_too_far_apart, truncate_i32, unary_kernel, unary_to_kernel, unexpected, wrong_size,
};
use crate::element::{Element, F8E4M3Fn, F8E5M2};
use crate::error::OpError;
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::Node;
use crate::spec::OpSpec;
use crate::tensor::TensorInfo;
use crate::types;

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::QUANTIZE, infer_same, lower_quantize).by_element().versions(6).types(
        types![
            (Float32) -> (Int8),
            (Float32) -> (UInt8),
            (Float32) -> (Int16),
            (Float32) -> (Int4),
            (Float32) -> (UInt4),
            (Int8) -> (Int8),
            (Int8) -> (UInt8),
            (Int8) -> (Int16),
            (UInt8) -> (Int8),
            (UInt8) -> (UInt8),
            (UInt8) -> (Int16),
            (Int16) -> (Int8),
            (Int16) -> (Int16),
            (Int16) -> (Int32),
            (Int32) -> (Int8),
            (Int32) -> (Int16),
        ],
    ),
    OpSpec::builtin(BuiltinOperator::DEQUANTIZE, infer_same, lower_dequantize)
        .by_element()
        .versions(9)
        .types(types![
            (UInt8) -> (Float32),
            (Int8) -> (Float32),
            (Int16) -> (Float32),
            (Int4) -> (Float32),
            (UInt4) -> (Float32),
            (Int2) -> (Float32),
            (Float16) -> (Float32),
            (Float8E4M3Fn) -> (Float32),
            (Float8E5M2) -> (Float32),
        ]),
    OpSpec::builtin(BuiltinOperator::FAKE_QUANT, infer_same, lower_fake_quant)
        .versions(2)
        .types(types![(Float32) -> (Float32)])
        .in_place(&[0]),
];

/// Scale and zero point of each slice of one dimension, and how many elements lie between two steps along it.
#[derive(Clone, Debug)]
struct Channels {
    params: Vec<Affine>,
    inner: usize,
}

impl Channels {
    /// Of a tensor of `shape` that is quantized per channel; `None` if it is so per tensor.
    fn new(info: &TensorInfo, shape: &[usize]) -> Result<Option<Self>, OpError> {
        let scales = info.scales()?;
        let Some(q) = info.quantization.as_ref().filter(|_| scales.len() > 1) else {
            return Ok(None);
        };
        let axis = q.quantized_dimension;
        if shape.get(axis) != Some(&scales.len()) {
            return Err(OpError::invalid(format!(
                "tensor '{}' has {} scales along dimension {axis} of a shape {shape:?}",
                info.name,
                scales.len()
            )));
        }
        let zero = |i: usize| q.zero_point.get(i).or(q.zero_point.first()).copied().unwrap_or(0);
        let params = scales
            .iter()
            .enumerate()
            .map(|(i, &scale)| {
                let zero_point = i32::try_from(zero(i))
                    .map_err(|_| OpError::invalid("a zero point does not fit in 32 bits"))?;
                Ok(Affine { scale, zero_point })
            })
            .collect::<Result<_, OpError>>()?;
        Ok(Some(Self { params, inner: shape[axis + 1..].iter().product() }))
    }

    /// The parameters of each run of elements, in the tensor's order, with the run's length.
    fn runs(&self) -> impl Iterator<Item = Affine> + '_ {
        self.params.iter().copied().cycle()
    }
}

/// A kernel that converts runs of elements, each with the parameters of its channel.
fn channel_kernel<A: Element, B: Element>(
    name: impl Into<std::borrow::Cow<'static, str>>,
    node: &Node<'_>,
    channels: Channels,
    f: impl Fn(A, Affine) -> B + Send + Sync + 'static,
) -> Lowered {
    let run = FnKernel::new(name, move |io, _| {
        let input = io.inputs.get::<A>(0)?;
        let out = io.outputs.get::<B>(0)?;
        if input.len() != out.len() {
            return Err(wrong_size());
        }
        if channels.inner == 0 {
            return Ok(());
        }
        let runs = input.chunks(channels.inner).zip(out.chunks_mut(channels.inner));
        for ((input, out), q) in runs.zip(channels.runs()) {
            for (o, &x) in out.iter_mut().zip(input) {
                *o = f(x, q);
            }
        }
        Ok(())
    });
    Ok(run.ops(2.0 * elements(node)?).boxed())
}

fn lower_quantize(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match (node.dtype(0)?, node.output(0)?.dtype) {
        (TensorType::Float32, TensorType::Int8) => float_to_8bit::<i8>("f32_quantize_i8", node, cx),
        (TensorType::Float32, TensorType::UInt8) => float_to_8bit::<u8>("f32_quantize_u8", node, cx),
        (TensorType::Float32, TensorType::Int16) => {
            if let Some(channels) = Channels::new(node.output(0)?, node.shape(0)?)? {
                return channel_kernel("f32_quantize_i16_channels", node, channels, quantize_one::<i16>);
            }
            float_in_blocks::<i16>("f32_quantize_i16".to_owned(), node)
        }
        (TensorType::Float32, TensorType::Int4) => {
            float_to_packed("f32_quantize_i4", node, Packed { bits: 4, signed: true })
        }
        (TensorType::Float32, TensorType::UInt4) => {
            float_to_packed("f32_quantize_u4", node, Packed { bits: 4, signed: false })
        }
        (TensorType::Int8, TensorType::Int8) => rescale_8bit::<i8>("i8_requantize", node),
        (TensorType::UInt8, TensorType::UInt8) => rescale_8bit::<u8>("u8_requantize", node),
        (TensorType::Int8, TensorType::UInt8) => rescale::<i8, u8>("i8_requantize_u8", node),
        (TensorType::UInt8, TensorType::Int8) => rescale::<u8, i8>("u8_requantize_i8", node),
        (TensorType::Int8, TensorType::Int16) => rescale::<i8, i16>("i8_requantize_i16", node),
        (TensorType::UInt8, TensorType::Int16) => rescale::<u8, i16>("u8_requantize_i16", node),
        (TensorType::Int16, TensorType::Int8) => rescale::<i16, i8>("i16_requantize_i8", node),
        (TensorType::Int16, TensorType::Int16) => rescale::<i16, i16>("i16_requantize", node),
        (TensorType::Int16, TensorType::Int32) => rescale::<i16, i32>("i16_requantize_i32", node),
        (TensorType::Int32, TensorType::Int8) => rescale::<i32, i8>("i32_requantize_i8", node),
        (TensorType::Int32, TensorType::Int16) => rescale::<i32, i16>("i32_requantize_i16", node),
        _ => Err(unexpected(node)),
    }
}

/// `x / scale` rounded with halves away from zero, then shifted.
#[inline(always)]
fn quantize_one<T: Narrow>(x: f32, q: Affine) -> T {
    T::saturate(truncate_i32(f64::from((x / q.scale).round())).wrapping_add(q.zero_point))
}

/// Per tensor by the reciprocal of the scale with halves to even, per channel by division.
fn float_to_8bit<T: Narrow + Element>(name: &str, node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    if let Some(channels) = Channels::new(node.output(0)?, node.shape(0)?)? {
        return channel_kernel(format!("{name}_channels"), node, channels, quantize_one::<T>);
    }
    // The reference's default path knows the scale of a whole tensor by the dimension 0.
    if node.output(0)?.quantization.as_ref().is_some_and(|q| q.quantized_dimension != 0) {
        return float_in_blocks::<T>(format!("{name}_blocks"), node);
    }
    let out = output_affine(node)?;
    let inverse = 1.0 / out.scale;
    hot_unary_to_kernel::<f32, T>(name, node, cx, move |x| {
        T::saturate(round_to_i16(x * inverse) + out.zero_point)
    })
}

/// Eight at a time by the reciprocal of the scale with halves to even; what these leave over by division in double
/// precision, with halves away from zero.
fn float_in_blocks<T: Narrow + Element>(name: String, node: &Node<'_>) -> Lowered {
    const BLOCK: usize = 8;
    let out = output_affine(node)?;
    let inverse = 1.0 / out.scale;
    let run = FnKernel::new(name, move |io, _| {
        let input = io.inputs.get::<f32>(0)?;
        let output = io.outputs.get::<T>(0)?;
        if input.len() != output.len() {
            return Err(wrong_size());
        }
        let shift = |steps: f64| T::saturate(truncate_i32(steps).wrapping_add(out.zero_point));
        let (blocks, rest) = output.split_at_mut(input.len() / BLOCK * BLOCK);
        for (o, &x) in blocks.iter_mut().zip(input) {
            *o = shift(f64::from((x * inverse).round_ties_even()));
        }
        for (o, &x) in rest.iter_mut().zip(&input[blocks.len()..]) {
            *o = shift((f64::from(x) / f64::from(out.scale)).round());
        }
        Ok(())
    });
    Ok(run.ops(2.0 * elements(node)?).boxed())
}

/// Several values a byte.
fn float_to_packed(name: &'static str, node: &Node<'_>, packed: Packed) -> Lowered {
    let out = output_affine(node)?;
    let (min, max) = packed.range();
    let run = FnKernel::new(name, move |io, _| {
        let input = io.inputs.get::<f32>(0)?;
        let bytes = io.outputs.bytes(0)?;
        if bytes.len() != packed.byte_len(input.len()) {
            return Err(wrong_size());
        }
        bytes.fill(0);
        for (i, &x) in input.iter().enumerate() {
            packed.put(bytes, i, quantize_one::<i32>(x, out).clamp(min, max));
        }
        Ok(())
    });
    Ok(run.ops(2.0 * elements(node)?).boxed())
}

/// Between 8-bit scales of one type: with one rounding where 8.8 bits hold the ratio.
fn rescale_8bit<T: Narrow + Element>(name: &'static str, node: &Node<'_>) -> Lowered {
    let (input, output) = (input_affine(node, 0)?, output_affine(node)?);
    match RescaleShift::new(input, output, 1.0) {
        Some(rescale) => table8_kernel(name, node, table8(|x: T| rescale.apply(x))),
        None => rescale::<T, T>(format!("{name}_fixed"), node),
    }
}

/// Between any two integer types in fixed point.
fn rescale<A: Narrow + Element, B: Narrow + Element>(
    name: impl Into<std::borrow::Cow<'static, str>>,
    node: &Node<'_>,
) -> Lowered {
    let (input, output) = (input_affine(node, 0)?, output_affine(node)?);
    let rescale = Rescale::new(input, output).ok_or_else(scales_too_far_apart)?;
    unary_to_kernel::<A, B>(name, node, move |x| rescale.apply(x))
}

fn lower_dequantize(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float16 => dequantize_half(node, cx),
        TensorType::Float8E4M3Fn => unary_to_kernel("f8e4m3fn_dequantize", node, F8E4M3Fn::to_f32),
        TensorType::Float8E5M2 => unary_to_kernel("f8e5m2_dequantize", node, F8E5M2::to_f32),
        TensorType::Int8 => dequantize::<i8>("i8_dequantize", node, cx),
        TensorType::UInt8 => dequantize::<u8>("u8_dequantize", node, cx),
        TensorType::Int16 => dequantize::<i16>("i16_dequantize", node, cx),
        TensorType::Int4 => dequantize_packed("i4_dequantize", node, Packed { bits: 4, signed: true }),
        TensorType::UInt4 => dequantize_packed("u4_dequantize", node, Packed { bits: 4, signed: false }),
        TensorType::Int2 => dequantize_packed("i2_dequantize", node, Packed { bits: 2, signed: true }),
        _ => Err(unexpected(node)),
    }
}

fn dequantize_half(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let cpu = cx.cpu;
    let run = FnKernel::new("f16_dequantize", move |io, context| {
        let (input, out) = (io.inputs.get::<f16>(0)?, io.outputs.get::<f32>(0)?);
        if input.len() != out.len() {
            return Err(wrong_size());
        }
        widen(cpu, context.par(), input, out);
        Ok(())
    });
    Ok(run.ops(elements(node)?).boxed())
}

#[inline(always)]
fn dequantize_one(x: i32, q: Affine) -> f32 {
    x.wrapping_sub(q.zero_point) as f32 * q.scale
}

fn dequantize<T: Narrow + Element>(name: &str, node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let info = node.input(0)?.info;
    if let Some(channels) = Channels::new(info, &info.shape)? {
        return channel_kernel(format!("{name}_channels"), node, channels, |x: T, q| {
            dequantize_one(x.widen(), q)
        });
    }
    let q = affine(info)?;
    hot_unary_to_kernel::<T, f32>(name, node, cx, move |x: T| dequantize_one(x.widen(), q))
}

/// Integers of less than a byte, the first in the lowest bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    /// Bits of a value: 2 or 4.
    pub(super) bits: u32,
    /// Whether the highest of them is the sign.
    pub(super) signed: bool,
}

impl Packed {
    /// Value `i`.
    #[inline(always)]
    pub(super) fn get(self, bytes: &[u8], i: usize) -> i32 {
        let per_byte = 8 / self.bits as usize;
        let unused = 8 - self.bits;
        let raw = bytes[i / per_byte] << (unused - self.bits * (i % per_byte) as u32);
        if self.signed { i32::from(raw as i8 >> unused) } else { i32::from(raw >> unused) }
    }

    /// Sets value `i`, whose bits must be zero before.
    pub(super) fn put(self, bytes: &mut [u8], i: usize, value: i32) {
        let per_byte = 8 / self.bits as usize;
        let bits = value as u8 & ((1 << self.bits) - 1);
        bytes[i / per_byte] |= bits << (self.bits * (i % per_byte) as u32);
    }

    /// The least and greatest value.
    pub(super) fn range(self) -> (i32, i32) {
        if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        }
    }

    /// Bytes of `len` values.
    pub(super) fn byte_len(self, len: usize) -> usize {
        len.div_ceil(8 / self.bits as usize)
    }
}

fn dequantize_packed(name: &'static str, node: &Node<'_>, packed: Packed) -> Lowered {
    let info = node.input(0)?.info;
    let channels = match Channels::new(info, &info.shape)? {
        Some(channels) => channels,
        // One run over everything.
        None => Channels { params: vec![affine(info)?], inner: info.shape.num_elements()? },
    };
    let run = FnKernel::new(name, move |io, _| {
        let bytes = io.inputs.bytes(0)?;
        let out = io.outputs.get::<f32>(0)?;
        if bytes.len() < packed.byte_len(out.len()) {
            return Err(wrong_size());
        }
        if channels.inner == 0 {
            return Ok(());
        }
        for (run, (out, q)) in out.chunks_mut(channels.inner).zip(channels.runs()).enumerate() {
            for (i, o) in out.iter_mut().enumerate() {
                *o = dequantize_one(packed.get(bytes, run * channels.inner + i), q);
            }
        }
        Ok(())
    });
    Ok(run.ops(2.0 * elements(node)?).boxed())
}

/// Rounds to the values that integers of `num_bits` over a range nudged to contain zero can stand for.
///
/// The option `narrow_range` is not looked at, as the reference runtime does not look at it.
fn lower_fake_quant(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let options = node.options::<FakeQuantOptionsT>()?;
    let (min, max, bits) = (options.min, options.max, options.num_bits);
    if !(2..=16).contains(&bits) || !min.is_finite() || !max.is_finite() || min >= max {
        return Err(OpError::invalid(format!(
            "FAKE_QUANT needs 2 to 16 bits and a range, not {bits} bits and {min} to {max}"
        )));
    }
    let greatest = ((1i32 << bits) - 1) as f32;
    let scale = (max - min) / greatest;
    let zero = (-min / scale).clamp(0.0, greatest).round();
    let (low, high) = (-zero * scale, (greatest - zero) * scale);
    let inverse = 1.0 / scale;
    unary_kernel::<f32>("f32_fake_quant", node, move |x| {
        let held = high.min(low.max(x));
        ((held - low) * inverse).round() * scale + low
    })
}
