//! STABLEHLO_CONVERT between any two element types.
//!
//! Floats are cut towards zero and held to the range of an integer type, NaN becomes zero; integers wrap. Truth values
//! are 0 and 1, and any number but zero is true. A complex number gives its real part.

use ferrolite_model::BuiltinOperator;
use half::{bf16, f16};

use super::types::with_value;
use super::undefined;
use crate::TensorType;
use crate::element::{Bool, Complex64, Complex128, Element};
use crate::error::OpError;
use crate::families::elementwise::{Lowered, infer_same, unary_to_kernel};
use crate::families::moving::Unit;
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::Node;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The operator of this module.
pub(crate) const SPECS: &[OpSpec] = &[OpSpec::builtin(BuiltinOperator::STABLEHLO_CONVERT, infer_same, lower)];

/// A number on its way from one type to another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wide {
    /// An integer or a truth value.
    Signed(i64),
    /// An unsigned integer of 64 bits.
    Unsigned(u64),
    /// A float, or a complex number's parts.
    Float(f64, f64),
}

impl Wide {
    #[inline(always)]
    fn real(self) -> f64 {
        match self {
            Self::Signed(x) => x as f64,
            Self::Unsigned(x) => x as f64,
            Self::Float(x, _) => x,
        }
    }

    #[inline(always)]
    fn imaginary(self) -> f64 {
        match self {
            Self::Float(_, y) => y,
            _ => 0.0,
        }
    }

    /// Rounded once to `f32`, also from 64-bit integers.
    #[inline(always)]
    fn short(self) -> f32 {
        match self {
            Self::Signed(x) => x as f32,
            Self::Unsigned(x) => x as f32,
            Self::Float(x, _) => x as f32,
        }
    }
}

/// Element types that are converted to each other.
pub(super) trait Number: Element {
    /// The value.
    fn wide(self) -> Wide;
    /// The value in this type.
    fn of(wide: Wide) -> Self;

    /// A count in this type.
    fn from_count(count: u64) -> Self {
        Self::of(Wide::Unsigned(count))
    }
}

macro_rules! integers {
    ($($T:ty: $Variant:ident $Wide:ty),*) => {$(
        impl Number for $T {
            #[inline(always)]
            fn wide(self) -> Wide {
                Wide::$Variant(<$Wide>::from(self))
            }
            #[inline(always)]
            fn of(wide: Wide) -> Self {
                match wide {
                    Wide::Signed(x) => x as $T,
                    Wide::Unsigned(x) => x as $T,
                    Wide::Float(x, _) => x as $T,
                }
            }
        }
    )*};
}

integers!(
    i8: Signed i64, i16: Signed i64, i32: Signed i64, i64: Signed i64,
    u8: Unsigned u64, u16: Unsigned u64, u32: Unsigned u64, u64: Unsigned u64
);

impl Number for f32 {
    #[inline(always)]
    fn wide(self) -> Wide {
        Wide::Float(f64::from(self), 0.0)
    }
    #[inline(always)]
    fn of(wide: Wide) -> Self {
        wide.short()
    }
}

impl Number for f64 {
    #[inline(always)]
    fn wide(self) -> Wide {
        Wide::Float(self, 0.0)
    }
    #[inline(always)]
    fn of(wide: Wide) -> Self {
        wide.real()
    }
}

macro_rules! halves {
    ($($T:ty),*) => {$(
        impl Number for $T {
            #[inline(always)]
            fn wide(self) -> Wide {
                Wide::Float(f64::from(self), 0.0)
            }
            #[inline(always)]
            fn of(wide: Wide) -> Self {
                // Integers of more than 53 bits are rounded twice.
                Self::from_f64(wide.real())
            }
        }
    )*};
}

halves!(f16, bf16);

impl Number for Bool {
    #[inline(always)]
    fn wide(self) -> Wide {
        Wide::Signed(i64::from(self.get()))
    }
    #[inline(always)]
    fn of(wide: Wide) -> Self {
        Self::from(wide.real() != 0.0 || wide.imaginary() != 0.0)
    }
}

impl Number for Complex64 {
    #[inline(always)]
    fn wide(self) -> Wide {
        Wide::Float(f64::from(self.re), f64::from(self.im))
    }
    #[inline(always)]
    fn of(wide: Wide) -> Self {
        Self { re: wide.short(), im: wide.imaginary() as f32 }
    }
}

impl Number for Complex128 {
    #[inline(always)]
    fn wide(self) -> Wide {
        Wide::Float(self.re, self.im)
    }
    #[inline(always)]
    fn of(wide: Wide) -> Self {
        Self { re: wide.real(), im: wide.imaginary() }
    }
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let (from, to) = (node.input(0)?.info, node.output(0)?);
    if from.is_quantized() || to.is_quantized() {
        return Err(OpError::unsupported(
            "conversion of quantized tensors is not defined: use DEQUANTIZE and QUANTIZE",
        ));
    }
    if from.dtype == to.dtype {
        Unit::of(from.dtype)?;
        return Ok(FnKernel::new("copy", |io, _| {
            let shape = Shape::new(io.outputs.shape(0)?);
            let bytes = io.inputs.bytes(0)?;
            io.outputs.set_bytes(0, &shape, bytes)
        })
        .boxed());
    }
    with_value!(from.dtype, T => convert_from::<T>(node, to.dtype), undefined(node))
}

fn convert_from<A: Number>(node: &Node<'_>, to: TensorType) -> Lowered {
    let name = format!("convert_{}_{to}", A::DTYPE).to_lowercase();
    with_value!(
        to,
        B => unary_to_kernel::<A, B>(name, node, |x| B::of(x.wide())),
        Err(OpError::unsupported(format!("{} cannot be converted to {to}", A::DTYPE)))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_held_and_wrapped() {
        assert_eq!([-2.9, 300.0, f64::NAN, -1e9].map(|x| i8::of(x.wide())), [-2, 127, 0, -128]);
        assert_eq!([-1.0, 1e30].map(|x: f64| u64::of(x.wide())), [0, u64::MAX]);
        assert_eq!(((-1i32).wide(), 300i32.wide()).0.real(), -1.0);
        assert_eq!((u8::of((-1i32).wide()), u8::of(300i32.wide()), i32::of(u64::MAX.wide())), (255, 44, -1));
        assert_eq!(f32::of(16_777_217i64.wide()), 16_777_216.0);
        assert_eq!(f64::of(u64::MAX.wide()), 18_446_744_073_709_551_615.0);
        assert_eq!(f16::of(1e6f32.wide()), f16::INFINITY);
        let z = Complex64 { re: 0.0, im: 2.0 };
        assert!(Bool::of(z.wide()).get() && !Bool::of(0u8.wide()).get());
        assert_eq!((f32::of(z.wide()), Complex128::of(z.wide()).im), (0.0, 2.0));
    }
}
