//! Functions of one operand: ABS NEG SQUARE SQRT RSQRT EXP LOG SIN COS FLOOR CEIL ROUND SIGN LOGICAL_NOT.

use ferrolite_kernels::cpu::elementwise::chain::Function;
use ferrolite_kernels::cpu::elementwise::lut::table8;
use ferrolite_kernels::cpu::elementwise::math;
use ferrolite_kernels::cpu::elementwise::quantized::{Affine, Narrow};
use ferrolite_kernels::cpu::recurrent::fixed::reciprocal_sqrt;
use ferrolite_kernels::fixed_point::Multiplier;
use ferrolite_model::{BuiltinOperator, TensorType};
use half::{bf16, f16};

use super::table::{Quantize, real_table, real_table16, symmetric, table8_kernel, table16_kernel};
use super::{
    Lowered, function_kernel, half_function_kernel, hot_unary_kernel, infer_same, input_affine,
    output_affine, real_unary_kernel, refuse, scales_too_far_apart, unary_kernel, unexpected,
};
use crate::chain::Elementwise;
use crate::element::{Bool, Element};
use crate::lower::LowerCx;
use crate::node::Node;
use crate::same_types;
use crate::spec::OpSpec;

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    one(BuiltinOperator::ABS, lower_abs)
        .versions(5)
        .types(same_types![Float32, Float16, Int32, Int16, Int8])
        .chain(|_| Some(Elementwise::unary(Function::Abs))),
    one(BuiltinOperator::NEG, lower_neg)
        .types(same_types![Float32, Float16, BFloat16, Int32, Int64, Int16, Int8])
        .chain(|_| Some(Elementwise::unary(Function::Neg))),
    one(BuiltinOperator::SQUARE, lower_square)
        .types(same_types![Float32, Float16])
        .chain(|_| Some(Elementwise::unary(Function::Square))),
    one(BuiltinOperator::SQRT, lower_sqrt)
        .versions(2)
        .types(same_types![Float32, Float16, Int8, Int16])
        .chain(|_| Some(Elementwise::unary(Function::Sqrt))),
    one(BuiltinOperator::RSQRT, lower_rsqrt)
        .versions(3)
        .types(same_types![Float32, Float16, Int8, Int16])
        .chain(|_| Some(Elementwise::unary(Function::Rsqrt))),
    one(BuiltinOperator::EXP, lower_exp)
        .versions(2)
        .types(same_types![Float32, Float16, Int8, Int16])
        .chain(|_| Some(Elementwise::unary(Function::Exp))),
    one(BuiltinOperator::LOG, lower_log)
        .versions(2)
        .types(same_types![Float32, Float16, Int8, Int16])
        .chain(|_| Some(Elementwise::unary(Function::Log))),
    one(BuiltinOperator::SIN, lower_sin).versions(2).types(same_types![Float32, Float16]),
    one(BuiltinOperator::COS, lower_cos).versions(2).types(same_types![Float32, Float16]),
    one(BuiltinOperator::FLOOR, lower_floor).types(same_types![Float32, Float16, BFloat16]),
    one(BuiltinOperator::CEIL, lower_ceil).types(same_types![Float32, Float16]),
    one(BuiltinOperator::ROUND, lower_round).types(same_types![Float32, Float16, BFloat16]),
    one(BuiltinOperator::SIGN, lower_sign).versions(2).types(same_types![Float32, Float64, Int32]),
    one(BuiltinOperator::LOGICAL_NOT, lower_not).types(same_types![Bool]),
];

const fn one(op: BuiltinOperator, lower: crate::spec::LowerFn) -> OpSpec {
    OpSpec::builtin(op, infer_same, lower).in_place(&[0]).by_element()
}

/// Lowers the float types of a function that the compiler vectorizes.
fn floats(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    f: impl Fn(f32) -> f32 + Copy + Send + Sync + 'static,
) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => hot_unary_kernel::<f32>(&format!("f32_{name}"), node, cx, f),
        TensorType::Float16 => real_unary_kernel::<f16>(format!("f16_{name}"), node, f),
        TensorType::BFloat16 => real_unary_kernel::<bf16>(format!("bf16_{name}"), node, f),
        _ => Err(unexpected(node)),
    }
}

/// Lowers a function through tables between the input's and the output's quantization.
fn through_table(name: &str, node: &Node<'_>, f: impl Fn(f32) -> f32) -> Lowered {
    let (input, output) = (input_affine(node, 0)?, output_affine(node)?);
    match node.dtype(0)? {
        TensorType::Int8 => {
            let table = real_table::<i8>(input, output, Quantize::ThenShift, f);
            table8_kernel(format!("i8_{name}"), node, table)
        }
        TensorType::Int16 => {
            let (input, output) = symmetric(input, output)?;
            table16_kernel(format!("i16_{name}"), node, real_table16(input, output, f))
        }
        _ => Err(unexpected(node)),
    }
}

/// Lowers the float types of a vector function; those of 16 bits by the scalar function `f`, as the reference does.
fn functions(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    function: impl math::Function,
    f: impl Fn(f32) -> f32 + Copy + Send + Sync + 'static,
) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => function_kernel(&format!("f32_{name}"), node, cx, function),
        _ => floats(name, node, cx, f),
    }
}

fn lower_abs(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Int32 => unary_kernel::<i32>("i32_abs", node, i32::wrapping_abs),
        TensorType::Int16 if !node.input(0)?.info.is_quantized() => {
            unary_kernel::<i16>("i16_abs", node, i16::wrapping_abs)
        }
        TensorType::Int16 => {
            let (input, output) = symmetric(input_affine(node, 0)?, output_affine(node)?)?;
            let abs = quantized_abs(input, output)?;
            unary_kernel::<i16>("i16_abs_fixed", node, move |x| i16::saturate(abs(i32::from(x))))
        }
        TensorType::Int8 => {
            let abs = quantized_abs(input_affine(node, 0)?, output_affine(node)?)?;
            table8_kernel("i8_abs", node, table8(|x: i8| i8::saturate(abs(i32::from(x)))))
        }
        _ => floats("abs", node, cx, f32::abs),
    }
}

/// The magnitude between two quantizations, rescaled only if their scales differ.
fn quantized_abs(
    input: Affine,
    output: Affine,
) -> Result<impl Fn(i32) -> i32 + Copy + Send + Sync + 'static, crate::OpError> {
    let factor = if input.scale == output.scale {
        None
    } else {
        Some(Multiplier::new(f64::from(input.scale / output.scale)).ok_or_else(scales_too_far_apart)?)
    };
    Ok(move |x: i32| {
        let magnitude = (x - input.zero_point).abs();
        factor.map_or(magnitude, |f| f.apply(magnitude)) + output.zero_point
    })
}

fn lower_neg(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Int64 => unary_kernel::<i64>("i64_neg", node, i64::wrapping_neg),
        TensorType::Int32 => unary_kernel::<i32>("i32_neg", node, i32::wrapping_neg),
        TensorType::Int16 => unary_kernel::<i16>("i16_neg", node, i16::wrapping_neg),
        TensorType::Int8 => unary_kernel::<i8>("i8_neg", node, i8::wrapping_neg),
        _ => floats("neg", node, cx, |x| -x),
    }
}

fn lower_square(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    floats("square", node, cx, |x| x * x)
}

fn lower_sqrt(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Int8 => quantized_sqrt::<i8>("i8_sqrt", node),
        TensorType::Int16 => quantized_sqrt::<i16>("i16_sqrt", node),
        _ => functions("sqrt", node, cx, math::Sqrt, f32::sqrt),
    }
}

/// The square root computed in float and cut to an integer; negative inputs are refused while running.
fn quantized_sqrt<T: Narrow + Element>(name: &'static str, node: &Node<'_>) -> Lowered {
    let (input, output) = (input_affine(node, 0)?, output_affine(node)?);
    let kernel = unary_kernel::<T>(name, node, move |x| {
        let root = (input.scale * (x.widen() - input.zero_point) as f32).sqrt();
        T::saturate((root / output.scale) as i32 + output.zero_point)
    })?;
    refuse_negative::<T>(kernel, input)
}

/// Refuses values below zero before `kernel` runs.
fn refuse_negative<T: Narrow + Element>(kernel: Box<dyn crate::Kernel>, input: Affine) -> Lowered {
    Ok(refuse::<T>(
        kernel,
        0,
        move |x| x.widen() < input.zero_point,
        "a value is negative, where roots are not defined: clamp the input",
    ))
}

fn lower_rsqrt(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Int8 => {
            let (input, output) = (input_affine(node, 0)?, output_affine(node)?);
            let table = rsqrt_table(input, output)?;
            refuse_negative::<i8>(table8_kernel("i8_rsqrt", node, table)?, input)
        }
        TensorType::Int16 => {
            let (input, output) = symmetric(input_affine(node, 0)?, output_affine(node)?)?;
            let greatest = f32::from(i16::MAX) * output.scale;
            let table = real_table16(input, output, |x| if x <= 0.0 { greatest } else { 1.0 / x.sqrt() });
            refuse_negative::<i16>(table16_kernel("i16_rsqrt", node, table)?, input)
        }
        _ => functions("rsqrt", node, cx, math::Rsqrt, |x| 1.0 / x.sqrt()),
    }
}

/// `1 / √x` in fixed point with 20 bits to spare; zero gives the greatest value.
fn rsqrt_table(input: Affine, output: Affine) -> Result<[i8; 256], crate::OpError> {
    const SPARE: i32 = 20;
    let scale = 1.0 / f64::from(input.scale.sqrt() * output.scale);
    let factor = Multiplier::new(scale).ok_or_else(scales_too_far_apart)?;
    let factor = Multiplier { exponent: factor.exponent - SPARE, ..factor };
    Ok(table8(|x: i8| {
        let value = i32::from(x) - input.zero_point;
        if value <= 0 {
            return i8::MAX;
        }
        let root = reciprocal_sqrt(value);
        let root = Multiplier { fraction: root.fraction, exponent: root.exponent + SPARE }.apply(1);
        i8::saturate(factor.apply(root) + output.zero_point)
    }))
}

fn lower_exp(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => function_kernel("f32_exp", node, cx, math::Exp),
        TensorType::Float16 => half_function_kernel::<f16>("f16_exp", node, cx, math::Exp),
        _ => through_table("exp", node, f32::exp),
    }
}

fn lower_log(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Int8 | TensorType::Int16 => {
            let output = output_affine(node)?;
            let least = if node.dtype(0)? == TensorType::Int8 { i8::MIN.into() } else { i32::from(i16::MIN) };
            let least = (least - output.zero_point) as f32 * output.scale;
            through_table("log", node, move |x| if x <= 0.0 { least } else { x.ln() })
        }
        _ => functions("log", node, cx, math::Log, f32::ln),
    }
}

fn lower_sin(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    functions("sin", node, cx, math::Sin, f32::sin)
}

fn lower_cos(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    functions("cos", node, cx, math::Cos, f32::cos)
}

fn lower_floor(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    floats("floor", node, cx, f32::floor)
}

fn lower_ceil(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    floats("ceil", node, cx, f32::ceil)
}

fn lower_round(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    floats("round", node, cx, f32::round_ties_even)
}

fn lower_sign(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float64 => unary_kernel::<f64>("f64_sign", node, |x| {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                0.0
            }
        }),
        TensorType::Int32 => unary_kernel::<i32>("i32_sign", node, i32::signum),
        _ => floats("sign", node, cx, |x| {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                0.0
            }
        }),
    }
}

fn lower_not(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    unary_kernel::<Bool>("bool_not", node, |x| Bool::from(!x.get()))
}
