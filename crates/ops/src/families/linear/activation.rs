//! Activations fused into an operator: the operator's own option, and an operator that the planner fused behind it.

use ferrolite_kernels::cpu::float::epilogue::Activation;
use ferrolite_model::options::ActivationFunctionType;
use ferrolite_model::{BuiltinOperator, TensorType};

use crate::error::OpError;
use crate::lower::{Fused, LowerCx};
use crate::tensor::TensorInfo;

/// The real values that an activation option lets through. Options that do not cut have no effect on these operators,
/// as in the reference.
pub(in crate::families) fn real_range(option: ActivationFunctionType) -> (f32, f32) {
    match option {
        ActivationFunctionType::RELU => (0.0, f32::INFINITY),
        ActivationFunctionType::RELU_N1_TO_1 => (-1.0, 1.0),
        ActivationFunctionType::RELU6 => (0.0, 6.0),
        _ => (f32::NEG_INFINITY, f32::INFINITY),
    }
}

/// The epilogue of a float result: the operator's option, then what the planner fused.
pub(super) fn float(option: ActivationFunctionType, cx: &LowerCx<'_>) -> Result<Activation, OpError> {
    let (min, max) = real_range(option);
    let own = if min == f32::NEG_INFINITY { Activation::None } else { Activation::Clamp { min, max } };
    let fused = match cx.activation {
        None => return Ok(own),
        Some(Fused::Operator(BuiltinOperator::RELU)) => Activation::RELU,
        Some(Fused::Operator(BuiltinOperator::RELU6)) => Activation::RELU6,
        Some(Fused::Operator(BuiltinOperator::RELU_N1_TO_1)) => Activation::RELU_N1_TO_1,
        Some(Fused::Operator(BuiltinOperator::RELU_0_TO_1)) => Activation::Clamp { min: 0.0, max: 1.0 },
        Some(Fused::Operator(BuiltinOperator::HARD_SWISH)) => Activation::HardSwish,
        Some(Fused::Operator(BuiltinOperator::LOGISTIC)) => Activation::Sigmoid,
        Some(Fused::Operator(BuiltinOperator::TANH)) => Activation::Tanh,
        Some(Fused::Gelu { approximate }) => Activation::Gelu { approximate },
        Some(Fused::Swish) => Activation::Swish,
        Some(other) => return Err(cannot_fuse(other)),
    };
    match (own, fused) {
        (Activation::None, fused) => Ok(fused),
        (Activation::Clamp { min, max }, Activation::Clamp { min: low, max: high }) => {
            Ok(Activation::Clamp { min: min.clamp(low, high), max: max.clamp(low, high) })
        }
        _ => Err(OpError::unsupported(
            "two activations, one of which does not cut, cannot follow one operator",
        )),
    }
}

/// The bounds of a float result whose kernels can do no more than cut.
pub(super) fn clamp(option: ActivationFunctionType, cx: &LowerCx<'_>) -> Result<(f32, f32), OpError> {
    match (float(option, cx)?, cx.activation) {
        (Activation::None, _) => Ok((f32::NEG_INFINITY, f32::INFINITY)),
        (Activation::Clamp { min, max }, _) => Ok((min, max)),
        (_, Some(activation)) => Err(cannot_fuse(activation)),
        (_, None) => {
            Err(OpError::unsupported(format!("{option:?} cannot follow a product with integer weights")))
        }
    }
}

fn cannot_fuse(activation: Fused) -> OpError {
    OpError::unsupported(format!(
        "{activation} cannot be computed along with this operator: run it by itself"
    ))
}

/// Refuses an activation fused behind an operator whose arithmetic is integer.
pub(super) fn none_fused(cx: &LowerCx<'_>) -> Result<(), OpError> {
    cx.activation.map_or(Ok(()), |activation| Err(cannot_fuse(activation)))
}

/// How the bounds of an activation are brought to the output's integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::families) enum BoundRounding {
    /// `round_half_even(bound / scale + zero)`
    Even,
    /// `zero + round_half_away(bound / scale)`
    Away,
}

/// The least and greatest stored values that an activation lets through.
pub(in crate::families) fn stored_range(
    option: ActivationFunctionType,
    output: &TensorInfo,
    rounding: BoundRounding,
) -> Result<(i32, i32), OpError> {
    let (least, greatest) = match output.dtype {
        TensorType::Int8 => (-128, 127),
        TensorType::UInt8 => (0, 255),
        TensorType::Int16 => (-32768, 32767),
        _ => (i32::MIN, i32::MAX),
    };
    let (low, high) = real_range(option);
    if low == f32::NEG_INFINITY {
        return Ok((least, greatest));
    }
    let (scale, zero) = output.per_tensor()?;
    // The casts saturate, so that an infinite bound becomes the type's.
    let stored = |bound: f32| match rounding {
        BoundRounding::Even => (bound / scale + zero as f32).round_ties_even() as i32,
        BoundRounding::Away => ((bound / scale).round() as i32).saturating_add(zero),
    };
    let low = stored(low).clamp(least, greatest);
    Ok((low, stored(high).clamp(low, greatest)))
}
