//! Activations: RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 LEAKY_RELU PRELU ELU HARD_SWISH LOGISTIC TANH GELU.

use ferrolite_kernels::cpu::elementwise::chain as link;
use ferrolite_kernels::cpu::elementwise::lut::table8;
use ferrolite_kernels::cpu::elementwise::math::{self, Function};
use ferrolite_kernels::cpu::elementwise::quantized::{Affine, Narrow, Rescale, RescaleShift};
use ferrolite_kernels::cpu::elementwise::sigmoid16::{self, Scaling};
use ferrolite_kernels::fixed_point::{Multiplier, high_mul_i16, rounding_shift_right};
use ferrolite_model::options::{GeluOptionsT, LeakyReluOptionsT};
use ferrolite_model::{BuiltinOperator, TensorType};
use half::{bf16, f16};

use super::table::{Quantize, real_table, real_table16, symmetric, table8_kernel, table16_kernel};
use super::{
    Lowered, clamp, function_kernel, half_function_kernel, hot_binary_kernel, hot_unary_kernel, infer_same,
    input_affine, output_affine, real_unary_kernel, scales_too_far_apart, unary_kernel, unexpected,
};
use crate::chain::{self, Elementwise};
use crate::element::Element;
use crate::error::OpError;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one as one_output};
use crate::spec::{LowerFn, OpSpec};
use crate::{same_types, types};

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    one(BuiltinOperator::RELU, |n, cx| relu(n, cx, "relu", (0.0, f32::INFINITY)))
        .versions(3)
        .types(same_types![Float32, Float16, UInt8, Int8, Int16])
        .chain(|_| clamped(0.0, f32::INFINITY)),
    one(BuiltinOperator::RELU6, |n, cx| relu(n, cx, "relu6", (0.0, 6.0)))
        .versions(3)
        .types(same_types![Float32, Float16, UInt8, Int8, Int16])
        .chain(|_| clamped(0.0, 6.0)),
    one(BuiltinOperator::RELU_N1_TO_1, |n, cx| relu(n, cx, "relu_n1_to_1", (-1.0, 1.0)))
        .types(same_types![Float32, Float16, UInt8, Int8])
        .chain(|_| clamped(-1.0, 1.0)),
    one(BuiltinOperator::RELU_0_TO_1, |n, cx| relu(n, cx, "relu_0_to_1", (0.0, 1.0)))
        .types(same_types![Float32, UInt8, Int8])
        .chain(|_| clamped(0.0, 1.0)),
    one(BuiltinOperator::LEAKY_RELU, lower_leaky_relu)
        .versions(2)
        .types(same_types![Float32, Float16, UInt8, Int8, Int16])
        .chain(chain::leaky_relu),
    OpSpec::builtin(BuiltinOperator::PRELU, infer_prelu, lower_prelu).inputs(2, 2).types(types![
        (Float32, Float32) -> (Float32),
        (Float16, Float16) -> (Float16),
        (UInt8, UInt8) -> (UInt8),
        (Int8, Int8) -> (Int8),
        (Int16, Int8) -> (Int16),
    ]),
    one(BuiltinOperator::ELU, lower_elu).types(same_types![Float32, Float16, Int8]),
    one(BuiltinOperator::HARD_SWISH, lower_hard_swish)
        .types(same_types![Float32, Float16, UInt8, Int8])
        .chain(|_| Some(Elementwise::unary(link::Function::HardSwish))),
    one(BuiltinOperator::LOGISTIC, lower_logistic)
        .versions(3)
        .types(same_types![Float32, Float16, BFloat16, UInt8, Int8, Int16])
        .chain(|_| Some(Elementwise::unary(link::Function::Sigmoid))),
    one(BuiltinOperator::TANH, lower_tanh)
        .versions(3)
        .types(same_types![Float32, Float16, BFloat16, UInt8, Int8, Int16])
        .chain(|_| Some(Elementwise::unary(link::Function::Tanh))),
    one(BuiltinOperator::GELU, lower_gelu)
        .versions(3)
        .types(same_types![Float32, Float16, UInt8, Int8, Int16]),
];

const fn one(op: BuiltinOperator, lower: LowerFn) -> OpSpec {
    OpSpec::builtin(op, infer_same, lower).in_place(&[0]).by_element()
}

/// A clamp as a link of a chain.
fn clamped(low: f32, high: f32) -> Option<Elementwise> {
    Some(Elementwise::unary(link::Function::Clamp { low, high }))
}

/// Lowers the float types of a vector function.
fn floats(name: &str, node: &Node<'_>, cx: &LowerCx<'_>, f: impl Function) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => function_kernel(&format!("f32_{name}"), node, cx, f),
        TensorType::Float16 => half_function_kernel::<f16>(&format!("f16_{name}"), node, cx, f),
        TensorType::BFloat16 => half_function_kernel::<bf16>(&format!("bf16_{name}"), node, cx, f),
        _ => Err(unexpected(node)),
    }
}

/// Lowers an 8-bit function through a table of its real values.
fn through_table8(name: &str, node: &Node<'_>, quantize: Quantize, f: impl Fn(f32) -> f32) -> Lowered {
    let (input, output) = (input_affine(node, 0)?, output_affine(node)?);
    match node.dtype(0)? {
        TensorType::Int8 => {
            table8_kernel(format!("i8_{name}"), node, real_table::<i8>(input, output, quantize, f))
        }
        TensorType::UInt8 => {
            table8_kernel(format!("u8_{name}"), node, real_table::<u8>(input, output, quantize, f))
        }
        _ => Err(unexpected(node)),
    }
}

/// The clamps: in float, or rescaled with a fixed-point factor and held to the quantized limits.
fn relu(node: &Node<'_>, cx: &LowerCx<'_>, name: &str, range: (f32, f32)) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => {
            hot_unary_kernel::<f32>(&format!("f32_{name}"), node, cx, move |x| clamp(x, range))
        }
        TensorType::Float16 => {
            real_unary_kernel::<f16>(format!("f16_{name}"), node, move |x| clamp(x, range))
        }
        TensorType::Int8 => {
            let relu = quantized_relu::<i8>(node, range)?;
            table8_kernel(format!("i8_{name}"), node, table8(relu))
        }
        TensorType::UInt8 => {
            let relu = quantized_relu::<u8>(node, range)?;
            table8_kernel(format!("u8_{name}"), node, table8(relu))
        }
        TensorType::Int16 => {
            symmetric(input_affine(node, 0)?, output_affine(node)?)?;
            let relu = quantized_relu::<i16>(node, range)?;
            unary_kernel::<i16>(format!("i16_{name}"), node, relu)
        }
        _ => Err(unexpected(node)),
    }
}

/// One element of a quantized clamp.
fn quantized_relu<T: Narrow>(
    node: &Node<'_>,
    (low, high): (f32, f32),
) -> Result<impl Fn(T) -> T + Copy + Send + Sync + 'static, OpError> {
    let (input, output) = (input_affine(node, 0)?, output_affine(node)?);
    // The ratio of scales is taken in single precision.
    let factor = f64::from(input.scale / output.scale);
    let rescale =
        Rescale::by(factor, input.zero_point, output.zero_point).ok_or_else(scales_too_far_apart)?;
    let limit = |x: f32| (x / output.scale).round() as i32;
    let min = T::MIN.max(output.zero_point.saturating_add(limit(low)));
    let max = T::MAX.min(output.zero_point.saturating_add(limit(high)));
    Ok(move |x: T| T::cut(rescale.raw(x.widen()).max(min).min(max)))
}

fn lower_leaky_relu(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let alpha = node.options::<LeakyReluOptionsT>()?.alpha;
    let f = move |x: f32| if x < 0.0 { x * alpha } else { x };
    match node.dtype(0)? {
        TensorType::Float32 => hot_unary_kernel::<f32>("f32_leaky_relu", node, cx, f),
        TensorType::Float16 => real_unary_kernel::<f16>("f16_leaky_relu", node, f),
        TensorType::Int8 => leaky_table::<i8>("i8_leaky_relu", node, alpha),
        TensorType::UInt8 => leaky_table::<u8>("u8_leaky_relu", node, alpha),
        TensorType::Int16 => {
            let (input, output) = symmetric(input_affine(node, 0)?, output_affine(node)?)?;
            let leaky = leaky_fixed::<i16>(input, output, alpha)?;
            unary_kernel::<i16>("i16_leaky_relu", node, leaky)
        }
        _ => Err(unexpected(node)),
    }
}

/// The 8-bit form: by 8.8-bit factors where they hold the scales' ratios, else in fixed point.
fn leaky_table<T: Narrow + Element>(name: &'static str, node: &Node<'_>, alpha: f32) -> Lowered {
    let (input, output) = (input_affine(node, 0)?, output_affine(node)?);
    match RescaleShift::new(input, output, alpha) {
        Some(rescale) if alpha.is_normal() => table8_kernel(name, node, table8(|x: T| rescale.apply(x))),
        _ => table8_kernel(name, node, table8(leaky_fixed::<T>(input, output, alpha)?)),
    }
}

/// One element in fixed point. The slope's sign is applied after rounding.
fn leaky_fixed<T: Narrow>(
    input: Affine,
    output: Affine,
    alpha: f32,
) -> Result<impl Fn(T) -> T + Copy + Send + Sync + 'static, OpError> {
    let factor = |x: f32| Multiplier::new(f64::from(x)).ok_or_else(scales_too_far_apart);
    let identity = factor(input.scale / output.scale)?;
    let slope = factor((input.scale * alpha / output.scale).abs())?;
    let sign = if alpha < 0.0 { -1 } else { 1 };
    Ok(move |x: T| {
        let x = x.widen() - input.zero_point;
        let y = if x >= 0 { identity.apply(x) } else { sign * slope.apply(x) };
        T::saturate(y + output.zero_point)
    })
}

/// The output has the input's shape, to which the slopes broadcast.
fn infer_prelu(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (input, slopes) = (node.shape(0)?, node.shape(1)?);
    if input.broadcast(slopes)? != *input {
        return Err(
            OpError::invalid(format!("the slopes' shape {slopes} does not broadcast to {input}")).into()
        );
    }
    Ok(one_output(input.clone()))
}

fn lower_prelu(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let f = |x: f32, slope: f32| if x < 0.0 { x * slope } else { x };
    match node.dtype(0)? {
        TensorType::Float32 => hot_binary_kernel::<f32>("f32_prelu", node, cx, f),
        TensorType::Float16 => super::real_binary_kernel::<f16>("f16_prelu", node, f),
        TensorType::Int8 => quantized_prelu::<i8, i8>("i8_prelu", node),
        TensorType::UInt8 => quantized_prelu::<u8, u8>("u8_prelu", node),
        TensorType::Int16 => quantized_prelu::<i16, i8>("i16_prelu", node),
        _ => Err(unexpected(node)),
    }
}

fn quantized_prelu<T: Narrow + Element, A: Narrow + Element>(name: &'static str, node: &Node<'_>) -> Lowered {
    let (input, slopes, output) = (input_affine(node, 0)?, input_affine(node, 1)?, output_affine(node)?);
    let factor = |x: f32| Multiplier::new(f64::from(x)).ok_or_else(scales_too_far_apart);
    let identity = factor(input.scale / output.scale)?;
    let product = factor(input.scale * slopes.scale / output.scale)?;
    super::binary_to_kernel::<T, A, T>(name, node, move |x, slope| {
        let x = x.widen() - input.zero_point;
        let y = if x >= 0 {
            identity.apply(x)
        } else {
            product.apply(x.wrapping_mul(slope.widen() - slopes.zero_point))
        };
        T::saturate(y + output.zero_point)
    })
}

fn lower_elu(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Int8 => {
            through_table8("elu", node, Quantize::AfterShift, |x| if x < 0.0 { x.exp_m1() } else { x })
        }
        _ => floats("elu", node, cx, math::Elu),
    }
}

fn lower_hard_swish(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Int8 => {
            let f = HardSwishFixed::new(input_affine(node, 0)?, output_affine(node)?)?;
            table8_kernel("i8_hard_swish", node, table8(|x: i8| f.apply(x)))
        }
        TensorType::UInt8 => {
            let f = HardSwishFixed::new(input_affine(node, 0)?, output_affine(node)?)?;
            table8_kernel("u8_hard_swish", node, table8(|x: u8| f.apply(x)))
        }
        _ => floats("hard_swish", node, cx, math::HardSwish),
    }
}

/// Hard-swish in 16-bit fixed point: the input on a 128 times finer scale, times the gate `(x + 3) / 6` held to [0, 1].
#[derive(Clone, Copy, Debug)]
struct HardSwishFixed {
    input_zero_point: i32,
    output: Multiplier,
    gate: Multiplier,
    output_zero_point: i32,
}

impl HardSwishFixed {
    fn new(input: Affine, output: Affine) -> Result<Self, OpError> {
        let fine = input.scale / 128.0;
        let factor = |x: f32| -> Result<Multiplier, OpError> {
            let factor = Multiplier::new(f64::from(x)).ok_or_else(scales_too_far_apart)?;
            // To 15 bits, saturating where rounding would overflow.
            let fraction = factor.fraction.checked_add(1 << 15).map_or(i32::from(i16::MAX), |f| f >> 16);
            Ok(Multiplier { fraction, ..factor })
        };
        let result = Self {
            input_zero_point: input.zero_point,
            output: factor(fine / output.scale)?,
            gate: factor(fine / (3.0 / 32768.0))?,
            output_zero_point: output.zero_point,
        };
        if result.output.exponent > 0 {
            return Err(OpError::invalid(
                "the output's scale is more than 128 times finer than the input's: quantize the model anew",
            ));
        }
        Ok(result)
    }

    fn apply<T: Narrow>(self, x: T) -> T {
        let shift_left = |x: i16, by: i32| i16::saturate(i32::from(x) << by.clamp(0, 15));
        let fine = ((x.widen() - self.input_zero_point) << 7) as i16;
        let value = high_mul_i16(fine, self.output.fraction as i16);
        let mut gate = fine;
        if self.gate.exponent > 0 {
            gate = shift_left(gate, self.gate.exponent - 1);
        }
        gate = high_mul_i16(gate, self.gate.fraction as i16);
        if self.gate.exponent > 0 {
            gate = shift_left(gate, 1);
        }
        if self.gate.exponent < 0 {
            gate = rounding_shift_right(i32::from(gate), -self.gate.exponent) as i16;
        }
        let gate = (i32::from(gate) + (1 << 15)) >> 1;
        // Not rounded, to cancel the bias of the roundings above.
        let product = if gate == i32::from(i16::MIN) && value == i16::MIN {
            i32::from(i16::MAX)
        } else {
            gate * i32::from(value) / (1 << 15)
        };
        T::saturate(rounding_shift_right(product, -self.output.exponent) + self.output_zero_point)
    }
}

fn lower_logistic(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Int8 | TensorType::UInt8 => through_table8("logistic", node, Quantize::AfterShift, |x| {
            if x > 100.0 {
                1.0
            } else if x < -100.0 {
                0.0
            } else {
                let e = f64::from(x).exp();
                (e / (1.0 + e)) as f32
            }
        }),
        TensorType::Int16 => {
            let scaling = Scaling::new(fraction_scale(node)?, 0);
            let table = sigmoid16::table();
            unary_kernel::<i16>("i16_logistic", node, move |x| sigmoid16::sigmoid(&table, scaling, x))
        }
        _ => floats("logistic", node, cx, math::Sigmoid),
    }
}

fn lower_tanh(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Int8 | TensorType::UInt8 => through_table8("tanh", node, Quantize::AfterShift, f32::tanh),
        TensorType::Int16 => {
            let scaling = Scaling::new(fraction_scale(node)?, 1);
            let table = sigmoid16::table();
            unary_kernel::<i16>("i16_tanh", node, move |x| sigmoid16::tanh(&table, scaling, x))
        }
        _ => floats("tanh", node, cx, math::Tanh),
    }
}

/// The input's scale of a 16-bit function whose output is a fraction of scale 2^-15.
fn fraction_scale(node: &Node<'_>) -> Result<f32, OpError> {
    let (input, output) = symmetric(input_affine(node, 0)?, output_affine(node)?)?;
    if output.scale == 1.0 / 32768.0 {
        Ok(input.scale)
    } else {
        Err(OpError::invalid(format!(
            "the 16-bit output has the scale {}, it must have 1/32768: quantize the model anew",
            output.scale
        )))
    }
}

fn lower_gelu(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let approximate = node.options::<GeluOptionsT>()?.approximate;
    let f: fn(f32) -> f32 = if approximate { gelu_tanh } else { gelu };
    match node.dtype(0)? {
        TensorType::Int8 | TensorType::UInt8 => through_table8("gelu", node, Quantize::ThenShift, f),
        TensorType::Int16 => {
            let table = real_table16(input_affine(node, 0)?, output_affine(node)?, f);
            table16_kernel("i16_gelu", node, table)
        }
        _ if approximate => floats("gelu_tanh", node, cx, math::GeluTanh),
        _ => floats("gelu", node, cx, math::Gelu),
    }
}

/// `x / 2 erfc(-x / √2)`, for tables.
fn gelu(x: f32) -> f32 {
    0.5 * x * libm::erfcf(x * -core::f32::consts::FRAC_1_SQRT_2)
}

/// `x / 2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`, for tables.
fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = core::f32::consts::FRAC_2_SQRT_PI * core::f32::consts::FRAC_1_SQRT_2;
    0.5 * x * (1.0 + (SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x)).tanh())
}
