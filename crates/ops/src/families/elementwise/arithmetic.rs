//! ADD, SUB, MUL, DIV: arithmetic with broadcasting and a fused activation.

use ferrolite_kernels::cpu::elementwise::bytes::ByteLanes;
use ferrolite_kernels::cpu::elementwise::quantized::{
    AddFixed, AddPowers, AddShift, Affine, DivFixed, MulFixed, MulFloat, MulFractions, Narrow, log2_exact,
};
use ferrolite_model::options::{AddOptionsT, DivOptionsT, MulOptionsT, SubOptionsT};
use ferrolite_model::{BuiltinOperator, TensorType};
use half::f16;

use super::{
    Activation, Lowered, affine, binary_function_kernel, binary_kernel, binary_to_kernel, bytes_kernel,
    clamp, factor_affine, hot_binary_kernel, infer_broadcast, input_affine, output_affine,
    real_binary_kernel, refuse, scales_too_far_apart, split_binary_kernel, unexpected,
};
use crate::chain;
use crate::element::{Complex64, Element};
use crate::error::OpError;
use crate::kernel::Kernel;
use crate::lower::LowerCx;
use crate::node::Node;
use crate::spec::OpSpec;
use crate::{same_types, types};

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::ADD, infer_broadcast, lower_add)
        .inputs(2, 2)
        .versions(6)
        .types(same_types![Float32, Float16, Int32, Int64, Int16, Int8, UInt8])
        .in_place(&[0, 1])
        .by_element()
        .chain(chain::add),
    OpSpec::builtin(BuiltinOperator::SUB, infer_broadcast, lower_sub)
        .inputs(2, 2)
        .versions(5)
        .types(same_types![Float32, Float16, Int32, Int64, Int16, Int8, UInt8])
        .in_place(&[0, 1])
        .by_element()
        .chain(chain::sub),
    OpSpec::builtin(BuiltinOperator::MUL, infer_broadcast, lower_mul)
        .inputs(2, 2)
        .versions(8)
        .types(types![
            (Float32) -> (Float32),
            (Float16) -> (Float16),
            (Int32) -> (Int32),
            (UInt32) -> (UInt32),
            (Int64) -> (Int64),
            (Complex64) -> (Complex64),
            (Int8) -> (Int8),
            (UInt8) -> (UInt8),
            (Int16) -> (Int16),
            (Int16) -> (Int8),
            (Int16) -> (UInt8),
        ])
        .in_place(&[0, 1])
        .by_element()
        .chain(chain::mul),
    OpSpec::builtin(BuiltinOperator::DIV, infer_broadcast, lower_div)
        .inputs(2, 2)
        .versions(2)
        .types(same_types![Float32, Float16, Int32, Int8, UInt8, Int16])
        .in_place(&[0, 1])
        .by_element()
        .chain(chain::div),
];

/// The most dimensions for which the reference runtime takes its 8-bit kernels with one rounding.
const MAX_DELEGATE_RANK: usize = 6;

fn lower_add(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let options = node.options::<AddOptionsT>()?;
    let activation = Activation::new(options.fused_activation_function)?;
    match node.dtype(0)? {
        TensorType::Float32 => float("f32_add", node, cx, activation, |a, b| a + b),
        TensorType::Float16 => half("f16_add", node, activation, |a, b| a + b),
        TensorType::Int32 => integer("i32_add", node, activation, i32::wrapping_add),
        TensorType::Int64 => integer("i64_add", node, activation, i64::wrapping_add),
        TensorType::Int16 if !node.output(0)?.is_quantized() => {
            integer("i16_add", node, activation, i16::wrapping_add)
        }
        TensorType::Int16 => sum_i16(node, cx, activation, options.pot_scale_int16, false),
        TensorType::Int8 => sum_8bit::<i8>("i8", node, cx, activation, false),
        TensorType::UInt8 => sum_8bit::<u8>("u8", node, cx, activation, false),
        _ => Err(unexpected(node)),
    }
}

fn lower_sub(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let options = node.options::<SubOptionsT>()?;
    let activation = Activation::new(options.fused_activation_function)?;
    match node.dtype(0)? {
        TensorType::Float32 => float("f32_sub", node, cx, activation, |a, b| a - b),
        TensorType::Float16 => half("f16_sub", node, activation, |a, b| a - b),
        TensorType::Int32 => integer("i32_sub", node, activation, i32::wrapping_sub),
        TensorType::Int64 => integer("i64_sub", node, activation, i64::wrapping_sub),
        TensorType::Int16 => sum_i16(node, cx, activation, options.pot_scale_int16, true),
        TensorType::Int8 => sum_8bit::<i8>("i8", node, cx, activation, true),
        TensorType::UInt8 => sum_8bit::<u8>("u8", node, cx, activation, true),
        _ => Err(unexpected(node)),
    }
}

fn lower_mul(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let activation = Activation::new(node.options::<MulOptionsT>()?.fused_activation_function)?;
    let out = node.output(0)?;
    match (node.dtype(0)?, out.dtype) {
        (TensorType::Float32, _) => float("f32_mul", node, cx, activation, |a, b| a * b),
        (TensorType::Float16, _) => half("f16_mul", node, activation, |a, b| a * b),
        (TensorType::Int32, _) => integer("i32_mul", node, activation, i32::wrapping_mul),
        (TensorType::UInt32, _) => integer("u32_mul", node, activation, u32::wrapping_mul),
        (TensorType::Int64, _) => integer("i64_mul", node, activation, i64::wrapping_mul),
        (TensorType::Complex64, _) if activation.range.is_some() => {
            Err(OpError::invalid("complex numbers have no activation: make it an operator of its own"))
        }
        (TensorType::Complex64, _) => binary_kernel("c64_mul", node, complex_product),
        (TensorType::Int16, TensorType::Int16) if !out.is_quantized() => {
            integer("i16_mul", node, activation, i16::wrapping_mul)
        }
        (TensorType::Int16, TensorType::Int16) => {
            let (a, b, q) = (factor_affine(node, 0)?, factor_affine(node, 1)?, affine(out)?);
            all_symmetric(&[a, b, q])?;
            let mul =
                MulFixed::new(a, b, q, activation.limits_fixed::<i16>(q)).ok_or_else(scales_too_far_apart)?;
            hot_binary_kernel::<i16>("i16_mul_fixed", node, cx, move |x, y| mul.apply(x, y))
        }
        (TensorType::Int16, TensorType::Int8) => product_of_fractions::<i8>("i16_mul_i8", node, activation),
        (TensorType::Int16, TensorType::UInt8) => product_of_fractions::<u8>("i16_mul_u8", node, activation),
        (TensorType::Int8, _) => product_8bit::<i8>("i8", node, cx, activation),
        (TensorType::UInt8, _) => product_8bit::<u8>("u8", node, cx, activation),
        _ => Err(unexpected(node)),
    }
}

fn lower_div(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let activation = Activation::new(node.options::<DivOptionsT>()?.fused_activation_function)?;
    match node.dtype(0)? {
        TensorType::Float32 => float("f32_div", node, cx, activation, |a, b| a / b),
        TensorType::Float16 => half("f16_div", node, activation, |a, b| a / b),
        TensorType::Int32 => {
            let kernel =
                integer("i32_div", node, activation, |a: i32, b| if b == 0 { 0 } else { a.wrapping_div(b) })?;
            Ok(refuse_divisor::<i32>(kernel, 0))
        }
        TensorType::Int8 => quotient::<i8>("i8_div_fixed", node, activation),
        TensorType::UInt8 => quotient::<u8>("u8_div_fixed", node, activation),
        TensorType::Int16 => quotient::<i16>("i16_div_fixed", node, activation),
        _ => Err(unexpected(node)),
    }
}

/// Float arithmetic, then the activation.
fn float(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    activation: Activation,
    f: impl Fn(f32, f32) -> f32 + Copy + Send + Sync + 'static,
) -> Lowered {
    match activation.range {
        None => hot_binary_kernel::<f32>(name, node, cx, f),
        Some(range) => hot_binary_kernel::<f32>(name, node, cx, move |a, b| clamp(f(a, b), range)),
    }
}

/// 16-bit float arithmetic, then the activation.
fn half(
    name: &'static str,
    node: &Node<'_>,
    activation: Activation,
    f: impl Fn(f32, f32) -> f32 + Copy + Send + Sync + 'static,
) -> Lowered {
    let range = activation.range.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    real_binary_kernel::<f16>(name, node, move |a, b| clamp(f(a, b), range))
}

/// Integers whose activation limits are themselves integers.
trait Whole: Element + Ord {
    /// `x` held to this type's range.
    fn saturate(x: f32) -> Self;
}

macro_rules! whole {
    ($($T:ty),*) => {
        $(impl Whole for $T {
            fn saturate(x: f32) -> Self {
                x as $T
            }
        })*
    };
}

whole!(i16, i32, i64, u32);

/// Integer arithmetic, then the activation.
fn integer<T: Whole>(
    name: &'static str,
    node: &Node<'_>,
    activation: Activation,
    f: impl Fn(T, T) -> T + Copy + Send + Sync + 'static,
) -> Lowered {
    let (low, high) = activation.range.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    let (low, high) = (T::saturate(low), T::saturate(high));
    binary_kernel::<T>(name, node, move |a, b| f(a, b).max(low).min(high))
}

fn complex_product(a: Complex64, b: Complex64) -> Complex64 {
    Complex64 { re: a.re * b.re - a.im * b.im, im: a.re * b.im + a.im * b.re }
}

/// Whether the node's ranks are those of the kernels with one rounding.
fn in_delegate_rank(node: &Node<'_>) -> Result<bool, OpError> {
    Ok(node.shape(0)?.rank() <= MAX_DELEGATE_RANK && node.shape(1)?.rank() <= MAX_DELEGATE_RANK)
}

/// 8-bit sums and differences.
fn sum_8bit<T: ByteLanes + Element>(
    ty: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    activation: Activation,
    subtract: bool,
) -> Lowered {
    let (a, b, out) = (input_affine(node, 0)?, input_affine(node, 1)?, output_affine(node)?);
    let op = if subtract { "sub" } else { "add" };
    if in_delegate_rank(node)?
        && let Some(add) = AddShift::new(a, b, out, subtract, activation.limits_float::<T>(out))
    {
        return bytes_kernel::<T>(&format!("{ty}_{op}"), node, cx, add);
    }
    let add = AddFixed::new(a, b, out, subtract, 20, activation.limits_fixed::<T>(out))
        .ok_or_else(scales_too_far_apart)?;
    binary_kernel::<T>(if subtract { "q8_sub_fixed" } else { "q8_add_fixed" }, node, move |x, y| {
        add.apply(x, y)
    })
}

/// 16-bit sums and differences of quantized tensors: by shifts if the option asks for powers of two and the scales are
/// such, else with multipliers.
fn sum_i16(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    activation: Activation,
    powers: bool,
    subtract: bool,
) -> Lowered {
    let (a, b, out) = (input_affine(node, 0)?, input_affine(node, 1)?, output_affine(node)?);
    all_symmetric(&[a, b, out])?;
    let limits = activation.limits_fixed::<i16>(out);
    let all_powers = [a, b, out].iter().all(|q| log2_exact(q.scale).is_some());
    if powers && all_powers {
        let add = AddPowers::new(a, b, out, subtract, limits).ok_or_else(|| {
            OpError::invalid(
                "power-of-two scales of 16-bit operands must not exceed the output's and one must equal it: set \
                 pot_scale_int16 to false",
            )
        })?;
        return binary_kernel::<i16>(
            if subtract { "i16_sub_powers" } else { "i16_add_powers" },
            node,
            move |x, y| add.apply(x, y),
        );
    }
    let add = AddFixed::new(a, b, out, subtract, 15, limits).ok_or_else(scales_too_far_apart)?;
    if subtract {
        return binary_function_kernel::<i16>("i16_sub_fixed", node, cx, add);
    }
    if node.shape(0)? != node.shape(1)? {
        return binary_function_kernel::<i16>("i16_add_fixed", node, cx, add);
    }
    // Without broadcasting the reference adds sixteen at a time, and rounds what these leave over otherwise.
    split_binary_kernel::<i16>("i16_add_fixed", node, cx, 16, add.rounding_inputs_once(), add)
}

/// 8-bit products.
fn product_8bit<T: ByteLanes + Element>(
    ty: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    activation: Activation,
) -> Lowered {
    let (a, b, out) = (factor_affine(node, 0)?, factor_affine(node, 1)?, output_affine(node)?);
    if in_delegate_rank(node)?
        && let Some(mul) = MulFloat::new(a, b, out, activation.limits_float::<T>(out))
    {
        return bytes_kernel::<T>(&format!("{ty}_mul"), node, cx, mul);
    }
    let mul = MulFixed::new(a, b, out, activation.limits_fixed::<T>(out)).ok_or_else(scales_too_far_apart)?;
    binary_kernel::<T>("q8_mul_fixed", node, move |x, y| mul.apply(x, y))
}

/// Products of 15-bit fractions into 8 bits.
fn product_of_fractions<T: Narrow + Element>(
    name: &'static str,
    node: &Node<'_>,
    activation: Activation,
) -> Lowered {
    let out = output_affine(node)?;
    let mul = MulFractions::new(out.zero_point, activation.limits_fixed::<T>(out));
    binary_to_kernel::<i16, i16, T>(name, node, move |x, y| mul.apply(x, y))
}

/// Quotients of quantized tensors.
fn quotient<T: Narrow + Element>(name: &'static str, node: &Node<'_>, activation: Activation) -> Lowered {
    let (a, b, out) = (input_affine(node, 0)?, input_affine(node, 1)?, output_affine(node)?);
    let div = DivFixed::new(a, b, out, activation.limits_fixed::<T>(out)).ok_or_else(scales_too_far_apart)?;
    let kernel = binary_kernel::<T>(name, node, move |x, y| div.apply(x, y))?;
    if b.zero_point < T::MIN || b.zero_point > T::MAX {
        return Ok(kernel);
    }
    Ok(refuse_divisor::<T>(kernel, T::cut(b.zero_point)))
}

/// Refuses a divisor that stands for zero before `kernel` runs.
pub(super) fn refuse_divisor<T: Element>(kernel: Box<dyn Kernel>, zero: T) -> Box<dyn Kernel> {
    refuse::<T>(kernel, 1, move |x| x == zero, "a divisor is zero: mask zeros out before dividing")
}

/// Refuses zero points other than 0.
pub(super) fn all_symmetric(operands: &[Affine]) -> Result<(), OpError> {
    match operands.iter().find(|q| q.zero_point != 0) {
        None => Ok(()),
        Some(q) => Err(OpError::invalid(format!(
            "a 16-bit operand has the zero point {}: 16-bit tensors are quantized symmetrically",
            q.zero_point
        ))),
    }
}
