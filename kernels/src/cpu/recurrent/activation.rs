//! Activation functions of float recurrent layers.

use crate::cpu::elementwise::math::{Sigmoid, Tanh};
use crate::cpu::elementwise::unary::apply;
use crate::inout::InOut;
use crate::isa::Cpu;
use crate::par::Par;

/// An activation function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// x held to [-1, 1].
    ReluN1To1,
    /// x held to [0, 6].
    Relu6,
    /// The hyperbolic tangent.
    Tanh,
    /// 1 where the sign bit is set, else 0.
    SignBit,
    /// The logistic function.
    Sigmoid,
}

impl Activation {
    /// Replaces each element of `xs` by the function of it.
    pub fn apply(self, cpu: Cpu, xs: &mut [f32]) {
        fn each(xs: &mut [f32], f: impl Fn(f32) -> f32) {
            for x in xs {
                *x = f(*x);
            }
        }
        match self {
            Self::None => {}
            Self::Relu => each(xs, |x| x.max(0.0)),
            Self::ReluN1To1 => each(xs, |x| x.clamp(-1.0, 1.0)),
            Self::Relu6 => each(xs, |x| x.clamp(0.0, 6.0)),
            Self::Tanh => apply(cpu, Par::serial(), InOut::in_place(xs), Tanh),
            Self::SignBit => each(xs, |x| f32::from(u8::from(x.is_sign_negative()))),
            Self::Sigmoid => apply(cpu, Par::serial(), InOut::in_place(xs), Sigmoid),
        }
    }
}
