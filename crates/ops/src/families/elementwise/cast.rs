//! CAST between any two element types, and BITCAST.
//!
//! Of 8-bit floats and packed integers LiteRT 2.3.0 casts only the latter, to and from `f32`; later sources cast the former
//! as here, with the conversions of `ml_dtypes`.

use ferrolite_model::{BuiltinOperator, TensorType};
use half::{bf16, f16};

use super::quantize::Packed;
use super::{Lowered, elements, infer_same, wrong_size};
use crate::element::{Bool, Complex64, Element, F8E4M3Fn, F8E5M2};
use crate::error::OpError;
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::{OpSpec, TypeRow};

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::CAST, infer_same, lower_cast).versions(9).types(&CASTS),
    OpSpec::builtin(BuiltinOperator::BITCAST, infer_bitcast, lower_bitcast).alias(0),
];

/// The types that cast to each other.
const WHOLE: &[TensorType; 15] = &[
    TensorType::Float32,
    TensorType::Float16,
    TensorType::BFloat16,
    TensorType::Float64,
    TensorType::Int8,
    TensorType::UInt8,
    TensorType::Int16,
    TensorType::UInt16,
    TensorType::Int32,
    TensorType::UInt32,
    TensorType::Int64,
    TensorType::Bool,
    TensorType::Complex64,
    TensorType::Float8E4M3Fn,
    TensorType::Float8E5M2,
];

/// The packed types.
const PACKED: &[TensorType; 3] = &[TensorType::Int4, TensorType::UInt4, TensorType::Int2];

/// The types that packed ones cast to and from.
const UNPACKED: &[TensorType; 3] = &[TensorType::Float32, TensorType::Float8E4M3Fn, TensorType::Float8E5M2];

/// Pairs of [`WHOLE`] types.
const WHOLE_PAIRS: usize = WHOLE.len() * WHOLE.len();

/// All pairs of [`WHOLE`], and each of [`PACKED`] with each of [`UNPACKED`] in both directions.
static CASTS: [TypeRow; WHOLE_PAIRS + 2 * PACKED.len() * UNPACKED.len()] = {
    const fn row(from: &'static TensorType, to: &'static TensorType) -> TypeRow {
        TypeRow { inputs: core::slice::from_ref(from), outputs: core::slice::from_ref(to) }
    }
    let mut rows = [row(&WHOLE[0], &WHOLE[0]); WHOLE_PAIRS + 2 * PACKED.len() * UNPACKED.len()];
    let mut i = 0;
    while i < WHOLE_PAIRS {
        rows[i] = row(&WHOLE[i / WHOLE.len()], &WHOLE[i % WHOLE.len()]);
        i += 1;
    }
    let mut i = 0;
    while i < PACKED.len() * UNPACKED.len() {
        let (packed, whole) = (&PACKED[i / UNPACKED.len()], &UNPACKED[i % UNPACKED.len()]);
        rows[WHOLE_PAIRS + 2 * i] = row(packed, whole);
        rows[WHOLE_PAIRS + 2 * i + 1] = row(whole, packed);
        i += 1;
    }
    rows
};

/// A number on its way from one type to another.
#[derive(Clone, Copy, Debug)]
enum Wide {
    /// An integer or a truth value.
    Int(i64),
    /// A float, or the real part of a complex number.
    Real(f64),
}

/// Element types that numbers are cast between.
trait Number: Element {
    /// The value.
    fn wide(self) -> Wide;
    /// The value in this type: integers wrap, floats are cut and saturate (NaN gives the greatest integer).
    fn of(value: Wide) -> Self;
}

macro_rules! integers {
    ($($T:ty),*) => {
        $(impl Number for $T {
            #[inline(always)]
            fn wide(self) -> Wide {
                Wide::Int(self as i64)
            }
            #[inline(always)]
            fn of(value: Wide) -> Self {
                match value {
                    Wide::Int(x) => x as $T,
                    Wide::Real(x) if x.is_nan() => <$T>::MAX,
                    Wide::Real(x) => x as $T,
                }
            }
        })*
    };
}

integers!(i8, u8, i16, u16, i32, u32, i64);

impl Number for f32 {
    #[inline(always)]
    fn wide(self) -> Wide {
        Wide::Real(f64::from(self))
    }
    #[inline(always)]
    fn of(value: Wide) -> Self {
        match value {
            Wide::Int(x) => x as f32,
            Wide::Real(x) => x as f32,
        }
    }
}

impl Number for f64 {
    #[inline(always)]
    fn wide(self) -> Wide {
        Wide::Real(self)
    }
    #[inline(always)]
    fn of(value: Wide) -> Self {
        match value {
            Wide::Int(x) => x as f64,
            Wide::Real(x) => x,
        }
    }
}

/// Floats of 16 and 8 bits are reached through `f32`.
macro_rules! narrow_floats {
    ($($T:ty),*) => {
        $(impl Number for $T {
            #[inline(always)]
            fn wide(self) -> Wide {
                Wide::Real(f64::from(self.to_f32()))
            }
            #[inline(always)]
            fn of(value: Wide) -> Self {
                Self::from_f32(<f32 as Number>::of(value))
            }
        })*
    };
}

narrow_floats!(f16, bf16, F8E4M3Fn, F8E5M2);

impl Number for Bool {
    #[inline(always)]
    fn wide(self) -> Wide {
        Wide::Int(i64::from(self.get()))
    }
    #[inline(always)]
    fn of(value: Wide) -> Self {
        Self::from(match value {
            Wide::Int(x) => x != 0,
            Wide::Real(x) => x != 0.0,
        })
    }
}

impl Number for Complex64 {
    #[inline(always)]
    fn wide(self) -> Wide {
        Wide::Real(f64::from(self.re))
    }
    #[inline(always)]
    fn of(value: Wide) -> Self {
        Self { re: <f32 as Number>::of(value), im: 0.0 }
    }
}

/// Calls `$f::<T>` for the Rust type of a [`TensorType`] of [`WHOLE`].
macro_rules! with_number {
    ($dtype:expr, $f:ident :: <$($A:ident,)? _> ($($arg:expr),*), $otherwise:expr) => {
        match $dtype {
            TensorType::Float32 => $f::<$($A,)? f32>($($arg),*),
            TensorType::Float16 => $f::<$($A,)? f16>($($arg),*),
            TensorType::BFloat16 => $f::<$($A,)? bf16>($($arg),*),
            TensorType::Float64 => $f::<$($A,)? f64>($($arg),*),
            TensorType::Int8 => $f::<$($A,)? i8>($($arg),*),
            TensorType::UInt8 => $f::<$($A,)? u8>($($arg),*),
            TensorType::Int16 => $f::<$($A,)? i16>($($arg),*),
            TensorType::UInt16 => $f::<$($A,)? u16>($($arg),*),
            TensorType::Int32 => $f::<$($A,)? i32>($($arg),*),
            TensorType::UInt32 => $f::<$($A,)? u32>($($arg),*),
            TensorType::Int64 => $f::<$($A,)? i64>($($arg),*),
            TensorType::Bool => $f::<$($A,)? Bool>($($arg),*),
            TensorType::Complex64 => $f::<$($A,)? Complex64>($($arg),*),
            TensorType::Float8E4M3Fn => $f::<$($A,)? F8E4M3Fn>($($arg),*),
            TensorType::Float8E5M2 => $f::<$($A,)? F8E5M2>($($arg),*),
            _ => $otherwise,
        }
    };
}

fn lower_cast(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let (from, to) = (node.dtype(0)?, node.output(0)?.dtype);
    let name = format!("cast_{from}_{to}").to_lowercase();
    let run = match (packed(from), packed(to)) {
        (Some(packed), _) => match to {
            TensorType::Float8E4M3Fn => FnKernel::new(name, move |io, _| unpack::<F8E4M3Fn>(io, packed)),
            TensorType::Float8E5M2 => FnKernel::new(name, move |io, _| unpack::<F8E5M2>(io, packed)),
            _ => FnKernel::new(name, move |io, _| unpack::<f32>(io, packed)),
        },
        (_, Some(packed)) => match from {
            TensorType::Float8E4M3Fn => FnKernel::new(name, move |io, _| pack::<F8E4M3Fn>(io, packed)),
            TensorType::Float8E5M2 => FnKernel::new(name, move |io, _| pack::<F8E5M2>(io, packed)),
            _ => FnKernel::new(name, move |io, _| pack::<f32>(io, packed)),
        },
        _ if from == to => FnKernel::new(name, |io, _| {
            let shape = Shape::new(io.outputs.shape(0)?);
            let bytes = io.inputs.bytes(0)?;
            io.outputs.set_bytes(0, &shape, bytes)
        }),
        _ => {
            let run: Option<Convert> = with_number!(from, convert_from::<_>(to), None);
            let run = run.ok_or_else(|| super::unexpected(node))?;
            FnKernel::new(name, move |io, _| run(io))
        }
    };
    Ok(run.ops(elements(node)?).boxed())
}

/// A conversion of a whole tensor.
type Convert = fn(&mut crate::io::Io<'_>) -> Result<(), OpError>;

fn convert_from<A: Number>(to: TensorType) -> Option<Convert> {
    with_number!(to, converter::<A, _>(), None)
}

fn converter<A: Number, B: Number>() -> Option<Convert> {
    Some(|io| {
        let input = io.inputs.get::<A>(0)?;
        let out = io.outputs.get::<B>(0)?;
        if input.len() != out.len() {
            return Err(wrong_size());
        }
        for (o, &x) in out.iter_mut().zip(input) {
            *o = B::of(x.wide());
        }
        Ok(())
    })
}

fn packed(dtype: TensorType) -> Option<Packed> {
    match dtype {
        TensorType::Int4 => Some(Packed { bits: 4, signed: true }),
        TensorType::UInt4 => Some(Packed { bits: 4, signed: false }),
        TensorType::Int2 => Some(Packed { bits: 2, signed: true }),
        _ => None,
    }
}

fn unpack<T: Number>(io: &mut crate::io::Io<'_>, packed: Packed) -> Result<(), OpError> {
    let bytes = io.inputs.bytes(0)?;
    let out = io.outputs.get::<T>(0)?;
    if bytes.len() < packed.byte_len(out.len()) {
        return Err(wrong_size());
    }
    for (i, o) in out.iter_mut().enumerate() {
        *o = T::of(Wide::Int(i64::from(packed.get(bytes, i))));
    }
    Ok(())
}

/// Cuts and saturates; NaN gives the greatest value.
fn pack<T: Number>(io: &mut crate::io::Io<'_>, packed: Packed) -> Result<(), OpError> {
    let input = io.inputs.get::<T>(0)?;
    let bytes = io.outputs.bytes(0)?;
    if bytes.len() != packed.byte_len(input.len()) {
        return Err(wrong_size());
    }
    let (min, max) = packed.range();
    bytes.fill(0);
    for (i, &x) in input.iter().enumerate() {
        let x = <f32 as Number>::of(x.wide());
        let held = if x < max as f32 { x.max(min as f32) as i32 } else { max };
        packed.put(bytes, i, held);
    }
    Ok(())
}

/// Elements of the output's size over the same bytes: a dimension is split off or merged for the ratio of sizes.
fn infer_bitcast(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (from, to) = (node.dtype(0)?, node.output(0)?.dtype);
    let bytes = |t: TensorType| match t.bits() {
        Some(bits) if bits % 8 == 0 => Ok(bits / 8),
        _ => Err(OpError::unsupported(format!(
            "{t} has no whole number of bytes: BITCAST is not defined for it"
        ))),
    };
    let (a, b) = (bytes(from)?, bytes(to)?);
    let shape = node.shape(0)?;
    if a == b {
        return Ok(one(shape.clone()));
    }
    if a > b {
        let mut shape = shape.clone();
        shape.push(a / b);
        return Ok(one(shape));
    }
    match shape.dims() {
        [outer @ .., last] if last * a == b => Ok(one(Shape::new(outer))),
        _ => Err(OpError::invalid(format!(
            "the innermost dimension of {shape} must be {} to merge {from} into {to}",
            b / a
        ))
        .into()),
    }
}

fn lower_bitcast(_: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    Ok(FnKernel::new("copy", |io, _| {
        let shape = Shape::new(io.outputs.shape(0)?);
        let bytes = io.inputs.bytes(0)?;
        io.outputs.set_bytes(0, &shape, bytes)
    })
    .boxed())
}
