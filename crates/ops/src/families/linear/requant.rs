//! How integer sums become the output's integers.
//!
//! The reference has several ways, which differ where a result falls near the middle between two integers. Its default
//! path multiplies by a float scale; where that path does not take an operator (weights that are no constants, types
//! other than bytes, weights of four bits in convolutions) the multipliers are fixed-point numbers.

use ferrolite_kernels::cpu::int8::fixed::{FixedPoint, WideFixedPoint, WideRounding};
use ferrolite_kernels::cpu::int8::store::Requantize;
use ferrolite_model::TensorType;
use ferrolite_model::options::ActivationFunctionType;

use super::activation::{BoundRounding, stored_range};
use super::integer::Finish;
use crate::error::OpError;
use crate::tensor::TensorInfo;

/// The way of requantization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// A float scale, halves to even.
    Float,
    /// A fixed-point multiplier on 32-bit sums.
    Fixed,
    /// The same, whole blocks of eight channels rounded by the reference's vector code.
    FixedByEight,
    /// The same, halves rounded upwards by the reference's matrix product.
    FixedUpwards,
    /// A multiplier on 64-bit sums.
    Wide(WideRounding),
}

/// The scales that requantization joins, and the output.
pub(super) struct Requant<'a> {
    pub arithmetic: Arithmetic,
    /// Scale of the activations.
    pub input_scale: f32,
    /// One scale of the weights, or one for each column.
    pub weight_scales: &'a [f32],
    pub output: &'a TensorInfo,
    pub activation: ActivationFunctionType,
}

impl Requant<'_> {
    /// The epilogue for `cols` columns that start from `bias` (none, or one for each), and what their 32-bit sums
    /// start from.
    pub fn finish(&self, bias: &[i64], cols: usize) -> Result<(Finish, Vec<i32>), OpError> {
        let (output_scale, zero) = self.output.per_tensor()?;
        if !(output_scale > 0.0 && output_scale.is_finite()) {
            return Err(OpError::invalid(format!("the output's scale {output_scale} is not positive")));
        }
        let rounding =
            if self.arithmetic == Arithmetic::Float { BoundRounding::Even } else { BoundRounding::Away };
        let (low, high) = stored_range(self.activation, self.output, rounding)?;
        let narrow = || bias.iter().map(|&b| b as i32).collect::<Vec<i32>>();
        let precise = || -> Vec<f64> {
            self.weight_scales
                .iter()
                .map(|&w| f64::from(self.input_scale) * f64::from(w) / f64::from(output_scale))
                .collect()
        };
        let too_large = || OpError::invalid("the scales of input, weights and output do not fit together");
        Ok(match self.arithmetic {
            Arithmetic::Float => {
                let scales: Vec<f32> =
                    self.weight_scales.iter().map(|&w| self.input_scale * w / output_scale).collect();
                (Finish::Float(Requantize::new(&scales, cols, zero, low, high)), narrow())
            }
            Arithmetic::Fixed => {
                let fixed = FixedPoint::new(&precise(), cols, zero, low, high);
                (Finish::Fixed(fixed.ok_or_else(too_large)?), narrow())
            }
            Arithmetic::FixedByEight => {
                let fixed = FixedPoint::new(&precise(), cols, zero, low, high).ok_or_else(too_large)?;
                (Finish::Fixed(fixed.with_vector_rounding()), narrow())
            }
            Arithmetic::FixedUpwards => {
                let fixed = FixedPoint::new(&precise(), cols, zero, low, high).ok_or_else(too_large)?;
                (Finish::Fixed(fixed.rounding_upwards()), narrow())
            }
            Arithmetic::Wide(rounding) => {
                let bias = if bias.is_empty() { &[0] } else { bias };
                let fixed = WideFixedPoint::new(&precise(), bias, cols, rounding, low as i16, high as i16);
                (Finish::Wide(fixed.ok_or_else(too_large)?), Vec::new())
            }
        })
    }
}

/// The way for an operator that the reference's default path takes if `delegated`; 16-bit outputs come from sums of 64
/// bits unless the bias has 32.
pub(super) fn choose(delegated: bool, output: TensorType, bias: Option<TensorType>) -> Arithmetic {
    match (output, bias) {
        (TensorType::Int16, Some(TensorType::Int32)) => Arithmetic::Fixed,
        (TensorType::Int16, _) => Arithmetic::Wide(WideRounding::Fixed),
        _ if delegated => Arithmetic::Float,
        _ => Arithmetic::Fixed,
    }
}

impl Arithmetic {
    /// For the operators of which the reference makes one matrix product; with 16-bit outputs it does so if `words`.
    pub fn by_product(self, output: TensorType, words: bool) -> Self {
        let product = words || output != TensorType::Int16;
        if self == Self::Fixed && product { Self::FixedUpwards } else { self }
    }

    /// For the operators whose signed outputs the reference requantizes channel by channel in vectors.
    pub fn by_eight(self, output: TensorType) -> Self {
        if self == Self::Fixed && matches!(output, TensorType::Int8 | TensorType::Int16) {
            Self::FixedByEight
        } else {
            self
        }
    }
}
