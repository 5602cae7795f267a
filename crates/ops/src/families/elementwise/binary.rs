//! Functions of two operands without activation: MAXIMUM MINIMUM SQUARED_DIFFERENCE POW FLOOR_DIV FLOOR_MOD ATAN2
//! BITWISE_XOR RIGHT_SHIFT LOGICAL_AND LOGICAL_OR, and the sum of many, ADD_N.

use core::ops::{Add, BitXor, Rem};

use ferrolite_kernels::cpu::elementwise::binary::binary_in_place;
use ferrolite_kernels::cpu::elementwise::broadcast::Broadcast;
use ferrolite_kernels::cpu::elementwise::chain::Function;
use ferrolite_kernels::cpu::elementwise::quantized::SquaredDifference;
use ferrolite_model::{BuiltinOperator, TensorType};
use half::{bf16, f16};

use super::arithmetic::refuse_divisor;
use super::{
    Lowered, Real, Source, binary_kernel, bytes_kernel, elements, infer_broadcast, input_affine, kernel_name,
    output_affine, real_binary_kernel, refuse, scales_too_far_apart, source, truncate_i32, unexpected,
    wrong_size,
};
use crate::chain::{self, Elementwise};
use crate::element::{Bool, Element};
use crate::error::OpError;
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::same_types;
use crate::spec::{InferFn, LowerFn, OpSpec};

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    two(BuiltinOperator::MAXIMUM, infer_broadcast, |n, _| extreme(n, true))
        .versions(4)
        .types(same_types![Float32, Float16, BFloat16, Int32, Int64, Int16, Int8, UInt8])
        .chain(|_| Some(Elementwise::binary(Function::Maximum))),
    two(BuiltinOperator::MINIMUM, infer_broadcast, |n, _| extreme(n, false))
        .versions(4)
        .types(same_types![Float32, Float16, BFloat16, Int32, Int64, Int16, Int8, UInt8])
        .chain(|_| Some(Elementwise::binary(Function::Minimum))),
    two(BuiltinOperator::SQUARED_DIFFERENCE, infer_broadcast, lower_squared_difference)
        .versions(2)
        .types(same_types![Float32, Float16, Int32, Int8])
        .chain(|_| Some(Elementwise::binary(Function::SquaredDifference))),
    two(BuiltinOperator::POW, infer_broadcast, lower_pow)
        .types(same_types![Float32, Int32])
        .chain(|_| Some(Elementwise::binary(Function::Pow))),
    two(BuiltinOperator::FLOOR_DIV, infer_broadcast, lower_floor_div)
        .versions(3)
        .types(same_types![Float32, Int32, Int16, Int8]),
    two(BuiltinOperator::FLOOR_MOD, infer_broadcast, lower_floor_mod)
        .versions(2)
        .types(same_types![Float32, Int32, Int64, Int16, Int8]),
    two(BuiltinOperator::ATAN2, infer_equal, lower_atan2)
        .types(same_types![Float32, Float64, Float16, BFloat16]),
    two(BuiltinOperator::BITWISE_XOR, infer_broadcast, lower_xor)
        .types(same_types![Int8, UInt8, Int16, UInt16, Int32, UInt32]),
    two(BuiltinOperator::RIGHT_SHIFT, infer_broadcast, lower_right_shift)
        .types(same_types![Int8, UInt8, Int16, UInt16, Int32, UInt32]),
    two(BuiltinOperator::LOGICAL_AND, infer_broadcast, lower_and).types(same_types![Bool]),
    two(BuiltinOperator::LOGICAL_OR, infer_broadcast, lower_or).types(same_types![Bool]),
    OpSpec::builtin(BuiltinOperator::ADD_N, infer_equal, lower_add_n)
        .inputs(1, usize::MAX)
        .types(same_types![Float32, Int32])
        .in_place(&[0])
        .chain(chain::add_n),
];

const fn two(op: BuiltinOperator, infer: InferFn, lower: LowerFn) -> OpSpec {
    OpSpec::builtin(op, infer, lower).inputs(2, 2).in_place(&[0, 1]).by_element()
}

/// All inputs and the output have one shape.
fn infer_equal(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let first = node.shape(0)?;
    for i in 1..node.inputs.len() {
        let other = node.shape(i)?;
        if other != first {
            return Err(OpError::invalid(format!(
                "input {i} has the shape {other}, input 0 has {first}: the operator does not broadcast"
            ))
            .into());
        }
    }
    Ok(one(first.clone()))
}

/// The greater or the smaller operand. Quantized operands are compared as they are: they share scale and zero point.
fn extreme(node: &Node<'_>, greatest: bool) -> Lowered {
    fn ordered<T: Element + PartialOrd>(greatest: bool, node: &Node<'_>) -> Lowered {
        if greatest {
            binary_kernel::<T>("maximum", node, |a, b| if a > b { a } else { b })
        } else {
            binary_kernel::<T>("minimum", node, |a, b| if a < b { a } else { b })
        }
    }
    match node.dtype(0)? {
        TensorType::Float32 => ordered::<f32>(greatest, node),
        TensorType::Float16 => ordered::<f16>(greatest, node),
        TensorType::BFloat16 => ordered::<bf16>(greatest, node),
        TensorType::Int32 => ordered::<i32>(greatest, node),
        TensorType::Int64 => ordered::<i64>(greatest, node),
        TensorType::Int16 => ordered::<i16>(greatest, node),
        TensorType::Int8 => ordered::<i8>(greatest, node),
        TensorType::UInt8 => ordered::<u8>(greatest, node),
        _ => Err(unexpected(node)),
    }
}

fn lower_squared_difference(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    let f = |a: f32, b: f32| (a - b) * (a - b);
    match node.dtype(0)? {
        TensorType::Float32 => real_binary_kernel::<f32>("f32_squared_difference", node, f),
        TensorType::Float16 => real_binary_kernel::<f16>("f16_squared_difference", node, f),
        TensorType::Int32 => binary_kernel::<i32>("i32_squared_difference", node, |a, b| {
            let difference = a.wrapping_sub(b);
            difference.wrapping_mul(difference)
        }),
        TensorType::Int8 => {
            let f =
                SquaredDifference::new(input_affine(node, 0)?, input_affine(node, 1)?, output_affine(node)?)
                    .ok_or_else(scales_too_far_apart)?;
            bytes_kernel::<i8>("i8_squared_difference", node, cx, f)
        }
        _ => Err(unexpected(node)),
    }
}

fn lower_pow(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => real_binary_kernel::<f32>("f32_pow", node, f32::powf),
        TensorType::Int32 => {
            let kernel =
                binary_kernel::<i32>("i32_pow", node, |a, b| truncate_i32(f64::from(a).powf(f64::from(b))))?;
            Ok(refuse::<i32>(
                kernel,
                1,
                |exponent| exponent < 0,
                "an integer exponent is negative: cast the operands to floats",
            ))
        }
        _ => Err(unexpected(node)),
    }
}

fn lower_floor_div(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    fn integer<T: Element + Into<f64>>(
        name: &'static str,
        node: &Node<'_>,
        cut: impl Fn(i32) -> T + Copy + Send + Sync + 'static,
    ) -> Lowered {
        let kernel =
            binary_kernel::<T>(name, node, move |a, b| cut(truncate_i32((a.into() / b.into()).floor())))?;
        Ok(refuse_divisor::<T>(kernel, T::default()))
    }
    match node.dtype(0)? {
        TensorType::Float32 => {
            let kernel = binary_kernel::<f32>("f32_floor_div", node, |a, b| {
                (f64::from(a) / f64::from(b)).floor() as f32
            })?;
            Ok(refuse_divisor::<f32>(kernel, 0.0))
        }
        TensorType::Int32 => integer::<i32>("i32_floor_div", node, |x| x),
        TensorType::Int16 => integer::<i16>("i16_floor_div", node, |x| x as i16),
        TensorType::Int8 => integer::<i8>("i8_floor_div", node, |x| x as i8),
        _ => Err(unexpected(node)),
    }
}

/// The remainder with the divisor's sign.
#[inline(always)]
fn floor_mod<T: Copy + PartialOrd + Default + Add<Output = T>>(a: T, b: T, rem: impl Fn(T, T) -> T) -> T {
    let zero = T::default();
    let rest = rem(a, b);
    if rest != zero && (b < zero) != (rest < zero) { rest + b } else { rest }
}

fn lower_floor_mod(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    macro_rules! integer {
        ($T:ty, $name:literal) => {{
            // A divisor of zero is refused below and must only not trap here.
            let rem = |a: $T, b: $T| if b == 0 { 0 } else { a.wrapping_rem(b) };
            let kernel = binary_kernel::<$T>($name, node, move |a, b| floor_mod(a, b, rem))?;
            Ok(refuse_divisor::<$T>(kernel, 0))
        }};
    }
    match node.dtype(0)? {
        TensorType::Float32 => binary_kernel::<f32>("f32_floor_mod", node, |a, b| floor_mod(a, b, f32::rem)),
        TensorType::Int32 => integer!(i32, "i32_floor_mod"),
        TensorType::Int64 => integer!(i64, "i64_floor_mod"),
        TensorType::Int16 => integer!(i16, "i16_floor_mod"),
        TensorType::Int8 => integer!(i8, "i8_floor_mod"),
        _ => Err(unexpected(node)),
    }
}

fn lower_atan2(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    fn real<T: Real>(name: &'static str, node: &Node<'_>) -> Lowered {
        real_binary_kernel::<T>(name, node, f32::atan2)
    }
    match node.dtype(0)? {
        TensorType::Float32 => real::<f32>("f32_atan2", node),
        TensorType::Float16 => real::<f16>("f16_atan2", node),
        TensorType::BFloat16 => real::<bf16>("bf16_atan2", node),
        TensorType::Float64 => binary_kernel::<f64>("f64_atan2", node, f64::atan2),
        _ => Err(unexpected(node)),
    }
}

fn lower_xor(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    fn xor<T: Element + BitXor<Output = T>>(name: &'static str, node: &Node<'_>) -> Lowered {
        binary_kernel::<T>(name, node, |a, b| a ^ b)
    }
    match node.dtype(0)? {
        TensorType::Int8 => xor::<i8>("i8_xor", node),
        TensorType::UInt8 => xor::<u8>("u8_xor", node),
        TensorType::Int16 => xor::<i16>("i16_xor", node),
        TensorType::UInt16 => xor::<u16>("u16_xor", node),
        TensorType::Int32 => xor::<i32>("i32_xor", node),
        TensorType::UInt32 => xor::<u32>("u32_xor", node),
        _ => Err(unexpected(node)),
    }
}

/// Shifts right, arithmetically for signed types, by a count held to the type's bits.
fn lower_right_shift(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    macro_rules! shift {
        ($T:ty, $name:literal) => {
            binary_kernel::<$T>($name, node, |a, b| {
                #[allow(unused_comparisons, reason = "half of the types have no negative values")]
                let count = if b < 0 { 0 } else { b.min(<$T>::BITS as $T - 1) };
                a >> count
            })
        };
    }
    match node.dtype(0)? {
        TensorType::Int8 => shift!(i8, "i8_right_shift"),
        TensorType::UInt8 => shift!(u8, "u8_right_shift"),
        TensorType::Int16 => shift!(i16, "i16_right_shift"),
        TensorType::UInt16 => shift!(u16, "u16_right_shift"),
        TensorType::Int32 => shift!(i32, "i32_right_shift"),
        TensorType::UInt32 => shift!(u32, "u32_right_shift"),
        _ => Err(unexpected(node)),
    }
}

fn lower_and(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    binary_kernel::<Bool>("bool_and", node, |a, b| Bool::from(a.get() & b.get()))
}

fn lower_or(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    binary_kernel::<Bool>("bool_or", node, |a, b| Bool::from(a.get() | b.get()))
}

fn lower_add_n(node: &Node<'_>, cx: &LowerCx<'_>) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => sum_of_all::<f32>("f32_add_n", node, cx, |a, b| a + b),
        TensorType::Int32 => sum_of_all::<i32>("i32_add_n", node, cx, i32::wrapping_add),
        _ => Err(unexpected(node)),
    }
}

/// Adds all inputs in order.
fn sum_of_all<T: Element>(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    add: impl Fn(T, T) -> T + Copy + Send + Sync + 'static,
) -> Lowered {
    let (cpu, shape) = (cx.cpu, node.shape(0)?);
    // Equal shapes merge into one dimension, whatever they are.
    let plan = Broadcast::new([shape, shape]).ok_or_else(wrong_size)?;
    let ops = elements(node)? * node.inputs.len().saturating_sub(1) as f64;
    let run = FnKernel::new(kernel_name(name, cx), move |io, context| {
        let first = source::<T>(io, 0)?;
        let out = io.outputs.get::<T>(0)?;
        if let Source::Apart(first) = first {
            if first.len() != out.len() {
                return Err(wrong_size());
            }
            out.copy_from_slice(first);
        }
        for i in 1..io.inputs.len() {
            let next = io.inputs.get::<T>(i)?;
            if next.len() != plan.len() || out.len() != plan.len() {
                return Err(wrong_size());
            }
            binary_in_place(cpu, context.par(), &plan, (Source::InPlace, Source::Apart(next)), out, add);
        }
        Ok(())
    });
    Ok(run.ops(ops).boxed())
}
