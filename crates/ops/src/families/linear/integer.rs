//! Integer products prepared for running: packed weights, their bias and epilogue.

use ferrolite_kernels::cpu::int8::fixed::{FixedPoint, WideFixedPoint};
use ferrolite_kernels::cpu::int8::gemm::{Bias, Zeros, gemm, gemm_scratch};
use ferrolite_kernels::cpu::int8::pack::{PackLayout, PackedRef, PackedWeights, Width};
use ferrolite_kernels::cpu::int8::rows::Rows;
use ferrolite_kernels::cpu::int8::store::{PixelMap, Requantize, Target};
use ferrolite_kernels::par::Par;
use ferrolite_model::TensorType;

use crate::error::OpError;
use crate::io::Outputs;

/// What becomes of the sums.
pub(super) enum Finish {
    /// Bytes by a float scale.
    Float(Requantize),
    /// Bytes or 16-bit numbers by a fixed-point multiplier.
    Fixed(FixedPoint),
    /// 16-bit numbers from 64-bit sums.
    Wide(WideFixedPoint),
    /// The sums are the result.
    Sums,
}

/// Where results go in the output.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Element at which row 0 starts.
    pub first: usize,
    /// Distance between rows.
    pub stride: usize,
    /// Where rows lie, if not one after another.
    pub map: Option<PixelMap>,
}

impl Place {
    /// Rows of `stride` elements one after another from element `first` on.
    pub fn rows(first: usize, stride: usize) -> Self {
        Self { first, stride, map: None }
    }

    pub fn target<'a, T>(&self, out: &'a mut [T]) -> Target<'a, T> {
        match self.map {
            None => Target::new(out, self.first, self.stride),
            Some(map) => Target::mapped(out, self.first, self.stride, map),
        }
    }
}

/// A matrix of weights with bias and epilogue.
pub(super) struct Columns {
    pub weights: PackedWeights,
    pub bias: Bias,
    pub finish: Finish,
}

impl Columns {
    /// Multiplies rows into output 0.
    pub fn run(
        &self,
        rows: &impl Rows,
        zero: i32,
        out: &mut Outputs<'_>,
        place: Place,
        par: Par,
        scratch: &mut [u8],
    ) -> Result<(), OpError> {
        multiply(
            self.weights.view(),
            rows,
            Zeros::All(zero),
            &self.bias,
            &self.finish,
            out,
            place,
            par,
            scratch,
        )
    }
}

/// Runs an expression with the epilogue that brings sums to output 0 of `$out` as `$finish` says.
macro_rules! with_store {
    ($finish:expr, $out:expr, $place:expr, |$store:ident| $run:expr) => {{
        use ferrolite_kernels::cpu::int8::exact::StoreExact;
        use ferrolite_kernels::cpu::int8::store::StoreQuantized;
        use $crate::families::linear::integer::Finish;
        let dtype = $out.dtype(0)?;
        match $finish {
            Finish::Float(requantize) if dtype == TensorType::Int8 => {
                let $store = &StoreQuantized { requantize, target: $place.target($out.get::<i8>(0)?) };
                Ok($run)
            }
            Finish::Float(requantize) if dtype == TensorType::UInt8 => {
                let $store = &StoreQuantized { requantize, target: $place.target($out.get::<u8>(0)?) };
                Ok($run)
            }
            exact => {
                let store = match (exact, dtype) {
                    (Finish::Fixed(fixed), TensorType::Int8) => {
                        StoreExact::Fixed(fixed, $place.target($out.get::<i8>(0)?).into())
                    }
                    (Finish::Fixed(fixed), TensorType::UInt8) => {
                        StoreExact::Fixed(fixed, $place.target($out.get::<u8>(0)?).into())
                    }
                    (Finish::Fixed(fixed), TensorType::Int16) => {
                        StoreExact::Fixed(fixed, $place.target($out.get::<i16>(0)?).into())
                    }
                    (Finish::Wide(fixed), TensorType::Int16) => {
                        StoreExact::Words(fixed, $place.target($out.get::<i16>(0)?))
                    }
                    (Finish::Sums, TensorType::Int32) => StoreExact::Sums($place.target($out.get::<i32>(0)?)),
                    (_, other) => {
                        return Err(OpError::unsupported(format!("integer products do not give {other}")));
                    }
                };
                let $store = &store;
                Ok($run)
            }
        }
    }};
}
pub(super) use with_store;

/// Multiplies rows with columns into output 0.
#[expect(clippy::too_many_arguments, reason = "the operands of a matrix product")]
pub(super) fn multiply(
    weights: PackedRef<'_>,
    rows: &impl Rows,
    zeros: Zeros<'_>,
    bias: &Bias,
    finish: &Finish,
    out: &mut Outputs<'_>,
    place: Place,
    par: Par,
    scratch: &mut [u8],
) -> Result<(), OpError> {
    with_store!(finish, out, place, |store| gemm(weights, rows, zeros, bias, store, par, scratch))
}

/// Bytes of scratch for products with weights of `layout` on `threads` threads.
pub(super) fn scratch_bytes(layout: &PackLayout, threads: usize) -> usize {
    gemm_scratch(layout).saturating_mul(threads.max(1))
}

/// The width of activations of a type.
pub(super) fn width(activations: TensorType) -> Width {
    if activations == TensorType::Int16 { Width::Words } else { Width::Bytes }
}
