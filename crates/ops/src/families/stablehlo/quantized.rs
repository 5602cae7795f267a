//! Operators on quantized tensors, as the specification defines them: dequantize, compute, quantize.

use ferrolite_kernels::cpu::elementwise::quantized::{Affine, Narrow};

use super::elementwise::{kernel, kernel_name};
use super::undefined;
use crate::TensorType;
use crate::element::Element;
use crate::error::OpError;
use crate::families::elementwise::{Lowered, input_affine, output_affine, unary_kernel};
use crate::node::Node;

/// Whether the first operand has scales; integers without are plain numbers.
pub(super) fn is_quantized(node: &Node<'_>) -> Result<bool, OpError> {
    Ok(node.input(0)?.info.is_quantized())
}

/// Refuses tensors with scales for operators that compute with plain numbers only.
pub(super) fn refuse_quantized(node: &Node<'_>) -> Result<(), OpError> {
    let tensors = node.inputs.iter().flatten().map(|o| o.info).chain(node.outputs);
    match tensors.into_iter().find(|info| info.is_quantized()) {
        None => Ok(()),
        Some(info) => Err(OpError::unsupported(format!(
            "tensor '{}' is quantized: dequantize it before this operator",
            info.name
        ))),
    }
}

/// The real number behind an integer.
#[inline(always)]
fn dequantize<T: Narrow>(x: T, q: Affine) -> f32 {
    (x.widen() - q.zero_point) as f32 * q.scale
}

/// The integer nearest to a real number, halves to even, held to the type's range.
#[inline(always)]
fn quantize<T: Narrow>(x: f32, q: Affine) -> T {
    T::saturate(((x / q.scale).round_ties_even() as i32).saturating_add(q.zero_point))
}

/// A function of two quantized tensors.
pub(super) fn lower_dequantized(
    name: &str,
    node: &Node<'_>,
    f: impl Fn(f32, f32) -> f32 + Copy + Send + Sync + 'static,
) -> Lowered {
    fn of<T: Narrow + Element>(
        name: &str,
        node: &Node<'_>,
        f: impl Fn(f32, f32) -> f32 + Copy + Send + Sync + 'static,
    ) -> Lowered {
        let (a, b, out) = (input_affine(node, 0)?, input_affine(node, 1)?, output_affine(node)?);
        kernel::<T>(kernel_name::<T>(name) + "_dequantized", node, move |x, y| {
            quantize(f(dequantize(x, a), dequantize(y, b)), out)
        })
    }
    match node.dtype(0)? {
        TensorType::Int8 => of::<i8>(name, node, f),
        TensorType::UInt8 => of::<u8>(name, node, f),
        TensorType::Int16 => of::<i16>(name, node, f),
        _ => undefined(node),
    }
}

/// A function of one quantized tensor.
pub(super) fn lower_dequantized_unary(
    name: &str,
    node: &Node<'_>,
    f: impl Fn(f32) -> f32 + Copy + Send + Sync + 'static,
) -> Lowered {
    fn of<T: Narrow + Element>(
        name: &str,
        node: &Node<'_>,
        f: impl Fn(f32) -> f32 + Copy + Send + Sync + 'static,
    ) -> Lowered {
        let (input, out) = (input_affine(node, 0)?, output_affine(node)?);
        unary_kernel::<T>(kernel_name::<T>(name) + "_dequantized", node, move |x| {
            quantize(f(dequantize(x, input)), out)
        })
    }
    match node.dtype(0)? {
        TensorType::Int8 => of::<i8>(name, node, f),
        TensorType::UInt8 => of::<u8>(name, node, f),
        TensorType::Int16 => of::<i16>(name, node, f),
        _ => undefined(node),
    }
}
