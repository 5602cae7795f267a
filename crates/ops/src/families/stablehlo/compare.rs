//! STABLEHLO_COMPARE in six directions, of floats also in their total order.

use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::{
    StablehloCompareOptionsT, StablehloComparisonDirection as Direction, StablehloComparisonType as Type,
};
use half::{bf16, f16};

use super::elementwise::kernel_name;
use super::quantized::is_quantized;
use super::types::{with_complex, with_float, with_integer};
use super::undefined;
use crate::TensorType;
use crate::element::{Bool, Element};
use crate::error::OpError;
use crate::families::elementwise::{Lowered, binary_to_kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::spec::{OpSpec, TypeRow};
use crate::types;

/// The operator of this module.
pub(crate) const SPECS: &[OpSpec] =
    &[OpSpec::builtin(BuiltinOperator::STABLEHLO_COMPARE, infer, lower).inputs(2, 2).types(COMPARED)];

/// Element types.
const COMPARED: &[TypeRow] = types![
    (Float32) -> (Bool),
    (Float64) -> (Bool),
    (Float16) -> (Bool),
    (BFloat16) -> (Bool),
    (Int8) -> (Bool),
    (Int16) -> (Bool),
    (Int32) -> (Bool),
    (Int64) -> (Bool),
    (UInt8) -> (Bool),
    (UInt16) -> (Bool),
    (UInt32) -> (Bool),
    (UInt64) -> (Bool),
    (Complex64) -> (Bool),
    (Complex128) -> (Bool),
    (Bool) -> (Bool),
];

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (a, b) = (node.shape(0)?, node.shape(1)?);
    if a == b {
        return Ok(one(a.clone()));
    }
    Err(OpError::invalid(format!("operands of shapes {a} and {b} cannot be compared: they must be equal"))
        .into())
}

/// Whether two values stand to each other as the direction says.
#[inline(always)]
pub(super) fn holds<T: PartialOrd>(direction: Direction, a: &T, b: &T) -> bool {
    match direction {
        Direction::STABLEHLO_COMPARISON_DIRECTION_EQ => a == b,
        Direction::STABLEHLO_COMPARISON_DIRECTION_NE => a != b,
        Direction::STABLEHLO_COMPARISON_DIRECTION_GE => a >= b,
        Direction::STABLEHLO_COMPARISON_DIRECTION_GT => a > b,
        Direction::STABLEHLO_COMPARISON_DIRECTION_LE => a <= b,
        _ => a < b,
    }
}

/// Floats with an order of all their bit patterns: -NaN, -infinity, the numbers with -0 before 0, infinity, NaN.
pub(super) trait TotalOrder: Element {
    /// An integer that stands to others as the float does.
    fn rank(self) -> i64;
}

macro_rules! total_order {
    ($($T:ty as $Bits:ty),*) => {$(
        impl TotalOrder for $T {
            #[inline(always)]
            fn rank(self) -> i64 {
                // Negative floats have their magnitude behind the sign: turned around, they count upwards.
                let bits = self.to_bits() as $Bits;
                i64::from(if bits < 0 { <$Bits>::MIN - bits - 1 } else { bits })
            }
        }
    )*};
}

total_order!(f32 as i32, f64 as i64, f16 as i16, bf16 as i16);

/// The direction and whether floats are compared in their total order.
pub(super) fn comparison(
    options: &StablehloCompareOptionsT,
    dtype: TensorType,
) -> Result<(Direction, bool), OpError> {
    let direction = options.comparison_direction;
    if direction.variant_name().is_none() {
        return Err(OpError::invalid(format!(
            "{} is no direction of a comparison: export the model again",
            direction.0
        )));
    }
    let float = with_float!(dtype, _T => true, false);
    let complex = with_complex!(dtype, _T => true, false);
    let signed =
        matches!(dtype, TensorType::Int8 | TensorType::Int16 | TensorType::Int32 | TensorType::Int64);
    let total = options.compare_type == Type::STABLEHLO_COMPARISON_TYPE_FLOAT_TOTAL_ORDER;
    let fits = match options.compare_type {
        Type::STABLEHLO_COMPARISON_TYPE_NOTYPE => true,
        Type::STABLEHLO_COMPARISON_TYPE_FLOAT => float || complex,
        Type::STABLEHLO_COMPARISON_TYPE_FLOAT_TOTAL_ORDER => float,
        Type::STABLEHLO_COMPARISON_TYPE_SIGNED => signed,
        Type::STABLEHLO_COMPARISON_TYPE_UNSIGNED => !(float || complex || signed),
        _ => false,
    };
    if !fits {
        return Err(OpError::invalid(format!(
            "{dtype} elements cannot be compared as {:?}: export the model again",
            options.compare_type
        )));
    }
    let equality = matches!(
        direction,
        Direction::STABLEHLO_COMPARISON_DIRECTION_EQ | Direction::STABLEHLO_COMPARISON_DIRECTION_NE
    );
    if complex && !equality {
        return Err(OpError::invalid(
            "complex numbers have no order: compare them for equality, or their parts",
        ));
    }
    Ok((direction, total))
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    if is_quantized(node)? && node.input(0)?.info.quantization != node.input(1)?.info.quantization {
        return Err(OpError::unsupported(
            "the operands are quantized differently: dequantize them to compare them",
        ));
    }
    let dtype = node.dtype(0)?;
    let (direction, total) = comparison(&node.options()?, dtype)?;
    if total {
        return with_float!(dtype, T => compare_by::<T, i64>(node, direction, T::rank), undefined(node));
    }
    match dtype {
        TensorType::Bool => compare_by::<Bool, bool>(node, direction, Bool::get),
        TensorType::Complex64 | TensorType::Complex128 => with_complex!(
            dtype,
            T => binary_to_kernel::<T, T, Bool>(kernel_name::<T>("compare"), node, move |a, b| {
                Bool::from((a == b) == (direction == Direction::STABLEHLO_COMPARISON_DIRECTION_EQ))
            }),
            undefined(node)
        ),
        _ => with_float!(dtype, T => compare_by::<T, T>(node, direction, |x| x),
            with_integer!(dtype, T => compare_by::<T, T>(node, direction, |x| x), undefined(node))),
    }
}

/// Compares what `key` makes of the elements.
fn compare_by<T: Element, K: PartialOrd>(
    node: &Node<'_>,
    direction: Direction,
    key: impl Fn(T) -> K + Copy + Send + Sync + 'static,
) -> Lowered {
    binary_to_kernel::<T, T, Bool>(kernel_name::<T>("compare"), node, move |a, b| {
        Bool::from(holds(direction, &key(a), &key(b)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_in_total_order() {
        let rising =
            [-f32::NAN.abs(), f32::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-40, 2.0, f32::INFINITY, f32::NAN.abs()];
        assert!(rising.windows(2).all(|pair| pair[0].rank() < pair[1].rank()));
        let halves = rising.map(|x| f16::from_f32(x).rank());
        assert!(halves.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!((-f64::MAX).rank() < f64::MIN_POSITIVE.rank());
    }
}
