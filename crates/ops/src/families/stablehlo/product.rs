//! What STABLEHLO_DOT_GENERAL and STABLEHLO_CONVOLUTION share: operands widened to the type that sums are kept in,
//! products of matrices of it, and sums narrowed to the result's type.

use std::borrow::Cow;

use bytemuck::Pod;
use ferrolite_kernels::cpu::elementwise::quantized::Affine;
use ferrolite_kernels::cpu::float::epilogue::{Activation, Epilogue};
use ferrolite_kernels::cpu::float::gemm::{BatchMatMul, MatMulShape};
use ferrolite_kernels::isa::Cpu;
use ferrolite_kernels::par::Par;
use half::{bf16, f16};

use super::convert::{Number, Wide};
use super::number::Value;
use super::types::{with_complex, with_float, with_integer};
use crate::TensorType;
use crate::element::{Complex64, Complex128};
use crate::error::OpError;
use crate::families::elementwise::{input_affine, output_affine, wrong_size};
use crate::io::Inputs;
use crate::lower::LowerCx;
use crate::node::Node;

/// Types that sums of products are kept in.
pub(super) trait Sum: Number + Value {
    /// Multiplies matrices of the type, `[m, k]` by `[n, k]`.
    fn multiply(
        plan: &Product,
        left: &[Self],
        right: &[Self],
        out: &mut [Self],
        scratch: &mut [u8],
        par: Par,
    ) -> Result<(), OpError>;
}

/// Products of matrices, as many as `count`, each with both rows of the left and columns of the right along the sums.
pub(super) struct Product {
    pub count: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    float: BatchMatMul,
}

impl Product {
    pub fn new(cpu: Cpu, count: usize, [m, n, k]: [usize; 3]) -> Self {
        let shape = MatMulShape { m, n, k, left_transposed: false, right_transposed: true };
        let float = BatchMatMul::new(cpu, shape, &(0..count).map(|i| (i, i)).collect::<Vec<_>>());
        Self { count, m, n, k, float }
    }

    /// Bytes of scratch memory for sums of type `W`.
    pub fn scratch_bytes<W: Sum>(&self, cx: &LowerCx<'_>) -> usize {
        if W::DTYPE == TensorType::Float32 { self.float.scratch_bytes(Par::new(cx.threads)) } else { 0 }
    }

    /// The name of the kernel.
    pub fn name<W: Sum>(&self, operator: &str) -> Cow<'static, str> {
        let kernel =
            if W::DTYPE == TensorType::Float32 { self.float.name() } else { W::DTYPE.name().to_lowercase() };
        format!("{operator}_{kernel}").into()
    }

    /// Arithmetic operations of all products.
    pub fn ops(&self) -> f64 {
        2.0 * self.count as f64 * self.m as f64 * self.n as f64 * self.k as f64
    }
}

impl Sum for f32 {
    fn multiply(
        plan: &Product,
        left: &[f32],
        right: &[f32],
        out: &mut [f32],
        scratch: &mut [u8],
        par: Par,
    ) -> Result<(), OpError> {
        if plan.k == 0 || out.is_empty() {
            out.fill(0.0);
            return Ok(());
        }
        let scratch = bytemuck::cast_slice_mut(scratch);
        Ok(plan.float.run(left, right, out, scratch, &Epilogue::new(Activation::None), par)?)
    }
}

macro_rules! plain_sums {
    ($($T:ty),*) => {$(
        impl Sum for $T {
            fn multiply(
                plan: &Product,
                left: &[$T],
                right: &[$T],
                out: &mut [$T],
                _: &mut [u8],
                par: Par,
            ) -> Result<(), OpError> {
                multiply(plan, left, right, out, par)
            }
        }
    )*};
}

plain_sums!(f64, i64, Complex64, Complex128);

/// Row by row, each element a sum along two rows.
fn multiply<W: Sum>(plan: &Product, left: &[W], right: &[W], out: &mut [W], par: Par) -> Result<(), OpError> {
    let &Product { count, m, n, k, .. } = plan;
    if left.len() < count * m * k || right.len() < count * n * k || out.len() != count * m * n {
        return Err(wrong_size());
    }
    if out.is_empty() {
        return Ok(());
    }
    par.chunks_mut(out, n, |row, out| {
        let left = &left[row * k..][..k];
        let right = &right[row / m * n * k..][..n * k];
        for (i, out) in out.iter_mut().enumerate() {
            let terms = left.iter().zip(&right[i * k..][..k]);
            *out = terms.fold(W::default(), |sum, (&a, &b)| sum.plus(a.times(b)));
        }
    });
    Ok(())
}

/// Reads input `i` into the wider type, less its zero point.
pub(super) type Widen<W> = fn(Inputs<'_>, usize, i32, &mut [W]) -> Result<(), OpError>;

fn widen<T: Number, W: Sum>(inputs: Inputs<'_>, i: usize, zero: i32, to: &mut [W]) -> Result<(), OpError> {
    let from = inputs.get::<T>(i)?;
    if from.len() != to.len() {
        return Err(wrong_size());
    }
    let zero = W::of(Wide::Signed(i64::from(zero)));
    for (to, from) in to.iter_mut().zip(from) {
        *to = difference(W::of(from.wide()), zero);
    }
    Ok(())
}

/// Zero points are integers, and only sums of integers have any.
fn difference<W: Sum>(x: W, zero: W) -> W {
    match (x.wide(), zero.wide()) {
        (Wide::Signed(x), Wide::Signed(zero)) if zero != 0 => W::of(Wide::Signed(x.wrapping_sub(zero))),
        _ => x,
    }
}

/// Writes sums as elements of the result.
pub(super) type Narrow<W> = fn(&[W], &mut [u8], Option<Rescale>) -> Result<(), OpError>;

/// From sums of quantized products to a quantized result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rescale {
    /// The product of the operands' scales.
    scale: f32,
    output: Affine,
}

fn narrow<W: Sum, T: Number>(from: &[W], to: &mut [u8], rescale: Option<Rescale>) -> Result<(), OpError> {
    let to: &mut [T] = bytemuck::try_cast_slice_mut(to).map_err(|_| wrong_size())?;
    if from.len() != to.len() {
        return Err(wrong_size());
    }
    match rescale {
        None => to.iter_mut().zip(from).for_each(|(to, from)| *to = T::of(from.wide())),
        Some(Rescale { scale, output }) => {
            for (to, &sum) in to.iter_mut().zip(from) {
                let real = f32::of(sum.wide()) * scale / output.scale;
                // The conversion to the result's type saturates.
                let stored = f64::from(real.round_ties_even()) + f64::from(output.zero_point);
                *to = T::of(Wide::Float(stored, 0.0));
            }
        }
    }
    Ok(())
}

/// How the operands of one operator are read and its result is written.
pub(super) struct Ends<W> {
    pub widen: Widen<W>,
    pub zeros: [i32; 2],
    pub narrow: Narrow<W>,
    pub rescale: Option<Rescale>,
    /// Whether the operands and the result have the type of the sums.
    pub plain: (bool, bool),
}

impl<W: Sum> Ends<W> {
    fn new(node: &Node<'_>, widen: Widen<W>, narrow: Narrow<W>) -> Result<Self, OpError> {
        let plain = (node.dtype(0)? == W::DTYPE, node.output(0)?.dtype == W::DTYPE);
        Ok(Self { widen, zeros: [0; 2], narrow, rescale: None, plain })
    }
}

/// Which type sums are kept in.
pub(super) enum Kind {
    F32(Ends<f32>),
    F64(Ends<f64>),
    I64(Ends<i64>),
    C64(Ends<Complex64>),
    C128(Ends<Complex128>),
}

/// The ends of an operator by the element types of its operands and result: sums of 16-bit floats are kept in `f32` and
/// sums of integers in `i64`, which wraps.
pub(super) fn kind(node: &Node<'_>) -> Result<Kind, OpError> {
    let (a, b, out) = (node.dtype(0)?, node.dtype(1)?, node.output(0)?);
    let refuse = || {
        OpError::unsupported(format!(
            "products of {a} and {b} elements into {} are not defined: convert the operands first",
            out.dtype
        ))
    };
    if a != b {
        return Err(refuse());
    }
    let quantized = [node.input(0)?.info, node.input(1)?.info, out].map(|info| info.is_quantized());
    if quantized != [false; 3] {
        return quantized_kind(node).and_then(|kind| kind.ok_or_else(refuse));
    }
    let float: Option<Narrow<f32>> = with_float!(out.dtype, T => Some(narrow::<f32, T>), None);
    Ok(match a {
        TensorType::Float32 => Kind::F32(Ends::new(node, widen::<f32, f32>, float.ok_or_else(refuse)?)?),
        TensorType::Float16 => Kind::F32(Ends::new(node, widen::<f16, f32>, float.ok_or_else(refuse)?)?),
        TensorType::BFloat16 => Kind::F32(Ends::new(node, widen::<bf16, f32>, float.ok_or_else(refuse)?)?),
        TensorType::Float64 => {
            let narrow = with_float!(out.dtype, T => narrow::<f64, T>, return Err(refuse()));
            Kind::F64(Ends::new(node, widen::<f64, f64>, narrow)?)
        }
        TensorType::Complex64 => {
            let narrow = with_complex!(out.dtype, T => narrow::<Complex64, T>, return Err(refuse()));
            Kind::C64(Ends::new(node, widen::<Complex64, Complex64>, narrow)?)
        }
        TensorType::Complex128 => {
            let narrow = with_complex!(out.dtype, T => narrow::<Complex128, T>, return Err(refuse()));
            Kind::C128(Ends::new(node, widen::<Complex128, Complex128>, narrow)?)
        }
        _ => {
            let widen: Widen<i64> = with_integer!(a, T => widen::<T, i64>, return Err(refuse()));
            let narrow: Narrow<i64> = with_integer!(out.dtype, T => narrow::<i64, T>, return Err(refuse()));
            Kind::I64(Ends::new(node, widen, narrow)?)
        }
    })
}

/// Both operands and the result quantized per tensor.
fn quantized_kind(node: &Node<'_>) -> Result<Option<Kind>, OpError> {
    let (left, right, output) = (input_affine(node, 0)?, input_affine(node, 1)?, output_affine(node)?);
    let dtype = node.dtype(0)?;
    if !matches!(dtype, TensorType::Int8 | TensorType::UInt8 | TensorType::Int16) {
        return Ok(None);
    }
    let narrow: Narrow<i64> = match node.output(0)?.dtype {
        TensorType::Int8 => narrow::<i64, i8>,
        TensorType::UInt8 => narrow::<i64, u8>,
        TensorType::Int16 => narrow::<i64, i16>,
        TensorType::Int32 => narrow::<i64, i32>,
        _ => return Ok(None),
    };
    let widen: Widen<i64> = with_integer!(dtype, T => widen::<T, i64>, return Ok(None));
    let rescale = Some(Rescale { scale: left.scale * right.scale, output });
    let zeros = [left.zero_point, right.zero_point];
    Ok(Some(Kind::I64(Ends { zeros, rescale, ..Ends::new(node, widen, narrow)? })))
}

/// Memory as elements of a type, for operands that need no widening.
pub(super) fn elements<W: Pod>(bytes: &[u8]) -> Result<&[W], OpError> {
    if bytes.is_empty() {
        return Ok(&[]);
    }
    bytemuck::try_cast_slice(bytes).map_err(|_| wrong_size())
}
