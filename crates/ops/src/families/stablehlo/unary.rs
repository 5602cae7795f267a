//! Functions of one operand: STABLEHLO_ABS CBRT COSINE EXPONENTIAL FLOOR LOG LOGISTIC NEGATE RSQRT TANH.

use ferrolite_kernels::cpu::elementwise::math;
use ferrolite_model::BuiltinOperator;
use half::{bf16, f16};

use super::complex::Complex;
use super::elementwise::kernel_name;
use super::number::{Number, Real};
use super::quantized::{is_quantized, lower_dequantized_unary};
use super::types::{rows, with_complex, with_integer, with_real};
use super::undefined;
use crate::TensorType;
use crate::element::{Complex64, Complex128};
use crate::families::elementwise::{
    Lowered, function_kernel, half_function_kernel, hot_unary_kernel, infer_same, real_unary_kernel,
    unary_kernel, unary_to_kernel,
};
use crate::lower::LowerCx;
use crate::node::Node;
use crate::spec::{LowerFn, OpSpec, TypeRow};
use crate::types;

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::STABLEHLO_ABS, infer_same, lower_abs).types(ABS),
    unary(BuiltinOperator::STABLEHLO_CBRT, lower_cbrt, rows!(analytic)),
    unary(BuiltinOperator::STABLEHLO_COSINE, lower_cosine, rows!(analytic)),
    unary(BuiltinOperator::STABLEHLO_EXPONENTIAL, lower_exponential, rows!(analytic)),
    unary(BuiltinOperator::STABLEHLO_FLOOR, lower_floor, FLOOR),
    unary(BuiltinOperator::STABLEHLO_LOG, lower_log, rows!(analytic)),
    unary(BuiltinOperator::STABLEHLO_LOGISTIC, lower_logistic, rows!(analytic)),
    unary(BuiltinOperator::STABLEHLO_NEGATE, lower_negate, rows!(numbers)),
    unary(BuiltinOperator::STABLEHLO_RSQRT, lower_rsqrt, rows!(analytic)),
    unary(BuiltinOperator::STABLEHLO_TANH, lower_tanh, rows!(analytic)),
];

/// Element types of STABLEHLO_ABS: the length of a complex number is real.
const ABS: &[TypeRow] = types![
    (Float32) -> (Float32),
    (Float64) -> (Float64),
    (Float16) -> (Float16),
    (BFloat16) -> (BFloat16),
    (Int8) -> (Int8),
    (Int16) -> (Int16),
    (Int32) -> (Int32),
    (Int64) -> (Int64),
    (UInt8) -> (UInt8),
    (Complex64) -> (Float32),
    (Complex128) -> (Float64),
];

/// Element types of STABLEHLO_FLOOR: floats and what is quantized from them.
const FLOOR: &[TypeRow] = crate::same_types![Float32, Float64, Float16, BFloat16, Int8, UInt8, Int16];

const fn unary(op: BuiltinOperator, lower: LowerFn, types: &'static [TypeRow]) -> OpSpec {
    OpSpec::builtin(op, infer_same, lower).types(types).in_place(&[0])
}

/// A function of floats and quantized tensors: `narrow` in `f32`, `wide` in `f64`.
fn lower_float(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    narrow: impl Fn(f32) -> f32 + Copy + Send + Sync + 'static,
    wide: impl Fn(f64) -> f64 + Copy + Send + Sync + 'static,
) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => hot_unary_kernel::<f32>(&format!("f32_{name}"), node, cx, narrow),
        TensorType::Float64 => unary_kernel::<f64>(format!("f64_{name}"), node, wide),
        TensorType::Float16 => real_unary_kernel::<f16>(format!("f16_{name}"), node, narrow),
        TensorType::BFloat16 => real_unary_kernel::<bf16>(format!("bf16_{name}"), node, narrow),
        _ if is_quantized(node)? => lower_dequantized_unary(name, node, narrow),
        _ => undefined(node),
    }
}

/// A function of complex numbers, in both precisions.
type ComplexPair = (fn(Complex64) -> Complex64, fn(Complex128) -> Complex128);

/// The same with complex numbers.
fn lower_analytic(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    narrow: impl Fn(f32) -> f32 + Copy + Send + Sync + 'static,
    wide: impl Fn(f64) -> f64 + Copy + Send + Sync + 'static,
    complex: ComplexPair,
) -> Lowered {
    match node.dtype(0)? {
        TensorType::Complex64 => unary_kernel::<Complex64>(format!("c64_{name}"), node, complex.0),
        TensorType::Complex128 => unary_kernel::<Complex128>(format!("c128_{name}"), node, complex.1),
        _ => lower_float(name, node, cx, narrow, wide),
    }
}

/// The same with a vector function for the shorter floats.
fn lower_vector(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    function: impl math::Function,
    narrow: impl Fn(f32) -> f32 + Copy + Send + Sync + 'static,
    wide: impl Fn(f64) -> f64 + Copy + Send + Sync + 'static,
    complex: ComplexPair,
) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => function_kernel(&format!("f32_{name}"), node, cx, function),
        TensorType::Float16 => half_function_kernel::<f16>(&format!("f16_{name}"), node, cx, function),
        TensorType::BFloat16 => half_function_kernel::<bf16>(&format!("bf16_{name}"), node, cx, function),
        _ => lower_analytic(name, node, cx, narrow, wide, complex),
    }
}

fn lower_abs(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let dtype = node.dtype(0)?;
    if is_quantized(node)? {
        return lower_dequantized_unary("abs", node, f32::abs);
    }
    with_complex!(
        dtype,
        T => unary_to_kernel::<T, <T as Complex>::Part>(kernel_name::<T>("abs"), node, T::length),
        with_real!(dtype, T => unary_kernel::<T>(kernel_name::<T>("abs"), node, T::magnitude), undefined(node))
    )
}

fn lower_cbrt(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    lower_analytic("cbrt", node, cx, f32::cbrt, f64::cbrt, (cube_root, cube_root))
}

/// The principal cube root; the logarithm of zero would make none of it.
fn cube_root<T: Complex>(z: T) -> T {
    if z == T::default() { z } else { z.to_real_power(1.0 / 3.0) }
}

fn lower_cosine(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    lower_analytic("cosine", node, cx, f32::cos, f64::cos, (Complex::cosine, Complex::cosine))
}

fn lower_exponential(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let complex = (Complex::exponential as fn(_) -> _, Complex::exponential as fn(_) -> _);
    lower_vector("exp", node, cx, math::Exp, f32::exp, f64::exp, complex)
}

fn lower_floor(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    lower_float("floor", node, cx, f32::floor, f64::floor)
}

fn lower_log(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    lower_analytic("log", node, cx, f32::ln, f64::ln, (Complex::logarithm, Complex::logarithm))
}

fn lower_logistic(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let complex = (Complex::sigmoid as fn(_) -> _, Complex::sigmoid as fn(_) -> _);
    let (narrow, wide) = (|x: f32| 1.0 / (1.0 + (-x).exp()), |x: f64| 1.0 / (1.0 + (-x).exp()));
    lower_vector("logistic", node, cx, math::Sigmoid, narrow, wide, complex)
}

fn lower_negate(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let dtype = node.dtype(0)?;
    if is_quantized(node)? {
        return lower_dequantized_unary("negate", node, |x| -x);
    }
    with_integer!(
        dtype,
        T => unary_kernel::<T>(kernel_name::<T>("negate"), node, |x| T::ZERO.minus(x)),
        lower_analytic("negate", node, cx, |x| -x, |x| -x, (Complex::opposite, Complex::opposite))
    )
}

fn lower_rsqrt(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    fn reciprocal_root<T: Complex>(z: T) -> T {
        z.to_real_power(-0.5)
    }
    let complex = (reciprocal_root as fn(_) -> _, reciprocal_root as fn(_) -> _);
    lower_analytic("rsqrt", node, cx, |x| 1.0 / x.sqrt(), |x| 1.0 / x.sqrt(), complex)
}

fn lower_tanh(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let complex = (Complex::hyperbolic_tangent as fn(_) -> _, Complex::hyperbolic_tangent as fn(_) -> _);
    lower_vector("tanh", node, cx, math::Tanh, f32::tanh, f64::tanh, complex)
}
