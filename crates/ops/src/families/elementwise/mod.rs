//! Element-wise operators: what their lowerings share.
//!
//! Shape functions of one and two operands, quantization as kernels take it, and kernels made of a closure over one
//! element. The operators themselves are in the submodules, one per kind.

pub(super) mod activation;
pub(super) mod arithmetic;
pub(super) mod binary;
pub(super) mod cast;
pub(super) mod compare;
pub(super) mod cumulative;
pub(super) mod quantize;
pub(super) mod select;
pub(super) mod softmax;
pub(super) mod unary;

mod table;

pub use table::{BYTE_TABLE, BYTE_TABLE_NAME};

use std::borrow::Cow;

use ferrolite_kernels::cpu::elementwise::binary::{BinaryFunction, Source, binary, binary_in_place};
use ferrolite_kernels::cpu::elementwise::broadcast::Broadcast;
use ferrolite_kernels::cpu::elementwise::bytes::{ByteFunction, ByteLanes, binary_bytes};
use ferrolite_kernels::cpu::elementwise::math::Function;
use ferrolite_kernels::cpu::elementwise::quantized::{Affine, Limits, Narrow};
use ferrolite_kernels::cpu::elementwise::unary::{apply, map, map_in_out};
use ferrolite_kernels::cpu::elementwise::{Baseline, Target};
use ferrolite_kernels::inout::InOut;
use ferrolite_kernels::par::Par;
use ferrolite_model::options::ActivationFunctionType;
use half::{bf16, f16};

use crate::element::Element;
use crate::error::OpError;
use crate::io::{InputData, Io};
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::tensor::TensorInfo;

/// What a lowering gives.
pub(super) type Lowered = Result<Box<dyn Kernel>, OpError>;

/// The output has the input's shape.
pub(super) fn infer_same(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(node.shape(0)?.clone()))
}

/// The output has the shape that the two inputs broadcast to.
fn infer_broadcast(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(node.shape(0)?.broadcast(node.shape(1)?)?))
}

/// The walk over inputs 0 and 1.
fn broadcast(node: &Node<'_>) -> Result<Broadcast<2>, OpError> {
    let (a, b) = (node.shape(0)?, node.shape(1)?);
    Broadcast::new([a, b]).ok_or_else(|| {
        OpError::unsupported(format!(
            "the shapes {a} and {b} alternate between equal and broadcast dimensions more than eight times: reshape \
             them so that neighbouring dimensions merge"
        ))
    })
}

/// The refusal of an element type that the type table lets through for another operator of the family.
pub(super) fn unexpected(node: &Node<'_>) -> OpError {
    match node.dtype(0) {
        Ok(dtype) => OpError::unsupported(format!("the operator is not defined for {dtype}")),
        Err(e) => e,
    }
}

/// Scale and zero point of a tensor quantized per tensor.
fn affine(info: &TensorInfo) -> Result<Affine, OpError> {
    let (scale, zero_point) = info.per_tensor()?;
    if scale > 0.0 && scale.is_finite() {
        Ok(Affine { scale, zero_point })
    } else {
        Err(OpError::invalid(format!("tensor '{}' has the scale {scale}: scales are positive", info.name)))
    }
}

/// Scale and zero point of input `i`.
pub(super) fn input_affine(node: &Node<'_>, i: usize) -> Result<Affine, OpError> {
    affine(node.input(i)?.info)
}

/// Scale and zero point of input `i` of a product, whose scale may be zero: converters give it to tensors of nothing but
/// zeros, and the reference multiplies with them.
pub(super) fn factor_affine(node: &Node<'_>, i: usize) -> Result<Affine, OpError> {
    let info = node.input(i)?.info;
    match info.per_tensor()? {
        (0.0, zero_point) => Ok(Affine { scale: 0.0, zero_point }),
        _ => affine(info),
    }
}

/// Scale and zero point of output 0.
pub(super) fn output_affine(node: &Node<'_>) -> Result<Affine, OpError> {
    affine(node.output(0)?)
}

/// The refusal of scales whose ratio no fixed-point factor can hold.
fn scales_too_far_apart() -> OpError {
    OpError::invalid("the scales of inputs and output are too far apart: quantize the model anew")
}

/// A clamp that an arithmetic operator applies to its result.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Activation {
    /// The least and greatest real value; `None` without activation.
    range: Option<(f32, f32)>,
}

impl Activation {
    /// From the operator's option.
    fn new(option: ActivationFunctionType) -> Result<Self, OpError> {
        let range = match option {
            ActivationFunctionType::NONE => None,
            ActivationFunctionType::RELU => Some((0.0, f32::INFINITY)),
            ActivationFunctionType::RELU_N1_TO_1 => Some((-1.0, 1.0)),
            ActivationFunctionType::RELU6 => Some((0.0, 6.0)),
            other => {
                return Err(OpError::unsupported(format!(
                    "the fused activation {other:?} cannot be applied here: make it an operator of its own"
                )));
            }
        };
        Ok(Self { range })
    }

    /// The integers of `T` that lie in the range.
    fn limits<T: Narrow>(self, out: Affine, round: impl Fn(f32, Affine) -> f32) -> Limits {
        let mut limits = Limits::of::<T>();
        if let Some((low, high)) = self.range {
            // Casts saturate, so that infinity is no limit.
            limits.min = limits.min.max(round(low, out) as i32);
            limits.max = limits.max.min(round(high, out) as i32);
        }
        limits
    }

    /// The limits as fixed-point kernels have them: the quotient is rounded, then shifted by the zero point.
    fn limits_fixed<T: Narrow>(self, out: Affine) -> Limits {
        self.limits::<T>(out, |x, q| (x / q.scale).round() + q.zero_point as f32)
    }

    /// The limits as the 8-bit kernels with one rounding have them: rounded after the shift, halves to even.
    fn limits_float<T: Narrow>(self, out: Affine) -> Limits {
        self.limits::<T>(out, |x, q| (x / q.scale + q.zero_point as f32).round_ties_even())
    }
}

/// Holds `x` to a range; NaN stays.
#[inline(always)]
fn clamp(x: f32, (low, high): (f32, f32)) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// A float cut to `i32` the way 64-bit x86 does it, which the reference runtime's results rest on: what does not fit,
/// and NaN, becomes the least integer.
#[inline(always)]
fn truncate_i32(x: f64) -> i32 {
    if x.abs() < 2_147_483_648.0 { x as i32 } else { i32::MIN }
}

/// Float types, computed in `f32`.
pub(super) trait Real: Element {
    /// The value.
    fn real(self) -> f32;
    /// The nearest value of this type.
    fn of(x: f32) -> Self;
}

impl Real for f32 {
    #[inline(always)]
    fn real(self) -> f32 {
        self
    }
    #[inline(always)]
    fn of(x: f32) -> Self {
        x
    }
}

impl Real for f16 {
    #[inline(always)]
    fn real(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn of(x: f32) -> Self {
        Self::from_f32(x)
    }
}

impl Real for bf16 {
    #[inline(always)]
    fn real(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn of(x: f32) -> Self {
        Self::from_f32(x)
    }
}

/// `name` with the instruction set appended.
fn kernel_name(name: &str, cx: &LowerCx<'_>) -> Cow<'static, str> {
    format!("{name}_{}", cx.cpu.name()).into()
}

/// The refusal of memory that does not have the planned size.
pub(super) fn wrong_size() -> OpError {
    OpError::invalid("an operand's memory does not have the planned size")
}

/// Input `i`, whose memory output 0 may share.
pub(super) fn source<'a, T: Element>(io: &Io<'a>, i: usize) -> Result<Source<'a, T>, OpError> {
    let view = io.inputs.view(i)?;
    T::check(view.dtype)?;
    match view.data {
        InputData::InPlace(0) => Ok(Source::InPlace),
        _ => io.inputs.get::<T>(i).map(Source::Apart),
    }
}

/// A kernel of two operands of the output's type, computed in place where the planner allows it.
fn binary_kernel<T: Element>(
    name: &'static str,
    node: &Node<'_>,
    f: impl Fn(T, T) -> T + Copy + Send + Sync + 'static,
) -> Lowered {
    binary_kernel_for(Baseline, name, node, f)
}

/// Like [`binary_kernel`], compiled for every instruction set.
pub(super) fn hot_binary_kernel<T: Element>(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    f: impl Fn(T, T) -> T + Copy + Send + Sync + 'static,
) -> Lowered {
    binary_function_kernel(name, node, cx, f)
}

/// The same of a function that is no closure.
fn binary_function_kernel<T: Element>(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    f: impl BinaryFunction<T, T, T> + 'static,
) -> Lowered {
    binary_kernel_for(cx.cpu, kernel_name(name, cx), node, f)
}

/// A kernel of two operands of bytes.
pub(super) fn bytes_kernel<T: Element + ByteLanes>(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    f: impl ByteFunction + 'static,
) -> Lowered {
    let cpu = cx.cpu;
    binary_kernel_with::<T>(kernel_name(name, cx), node, move |par, plan, (a, b), out| {
        binary_bytes(cpu, par, plan, [a, b], out, f);
    })
}

fn binary_kernel_for<T: Element>(
    target: impl Target + 'static,
    name: impl Into<Cow<'static, str>>,
    node: &Node<'_>,
    f: impl BinaryFunction<T, T, T> + 'static,
) -> Lowered {
    binary_kernel_with::<T>(name, node, move |par, plan, sources, out| {
        binary_in_place(target, par, plan, sources, out, f);
    })
}

/// A kernel of two operands of the output's type, computed by `run`.
fn binary_kernel_with<T: Element>(
    name: impl Into<Cow<'static, str>>,
    node: &Node<'_>,
    run: impl Fn(Par, &Broadcast<2>, (Source<'_, T>, Source<'_, T>), &mut [T]) + Send + Sync + 'static,
) -> Lowered {
    let plan = broadcast(node)?;
    let ops = plan.len() as f64;
    let kernel = FnKernel::new(name, move |io, context| {
        let (a, b) = (source::<T>(io, 0)?, source::<T>(io, 1)?);
        let out = io.outputs.get::<T>(0)?;
        let fits = |s: &Source<'_, T>, k: usize| match s {
            Source::Apart(s) => s.len() == plan.operand_len(k),
            Source::InPlace => plan.is_dense(k),
        };
        if !fits(&a, 0) || !fits(&b, 1) || out.len() != plan.len() {
            return Err(wrong_size());
        }
        run(context.par(), &plan, (a, b), out);
        Ok(())
    });
    Ok(kernel.ops(ops).boxed())
}

/// A kernel of two operands of the output's type and shape: `f` of the elements in whole groups of `group`, `rest` of
/// those that are left.
fn split_binary_kernel<T: Element>(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    group: usize,
    f: impl BinaryFunction<T, T, T> + 'static,
    rest: impl BinaryFunction<T, T, T> + 'static,
) -> Lowered {
    let len = broadcast(node)?.len();
    let whole = len - len % group;
    let plan = |len: usize| Broadcast::new([&[len][..], &[len]]).ok_or_else(wrong_size);
    let (first, last) = (plan(whole)?, plan(len - whole)?);
    let cpu = cx.cpu;
    let run = FnKernel::new(kernel_name(name, cx), move |io, context| {
        let sources = [source::<T>(io, 0)?, source::<T>(io, 1)?];
        let out = io.outputs.get::<T>(0)?;
        let fits = |s: &Source<'_, T>| !matches!(s, Source::Apart(s) if s.len() != len);
        if !sources.iter().all(fits) || out.len() != len {
            return Err(wrong_size());
        }
        let part = |range: core::ops::Range<usize>| {
            let [a, b] = sources.map(|s| match s {
                Source::Apart(s) => Source::Apart(&s[range.clone()]),
                Source::InPlace => Source::InPlace,
            });
            (a, b)
        };
        let (head, tail) = out.split_at_mut(whole);
        binary_in_place(cpu, context.par(), &first, part(0..whole), head, f);
        binary_in_place(Baseline, context.par(), &last, part(whole..len), tail, rest);
        Ok(())
    });
    Ok(run.ops(len as f64).boxed())
}

/// A kernel of two operands of types other than the output's.
pub(super) fn binary_to_kernel<A: Element, B: Element, R: Element>(
    name: impl Into<Cow<'static, str>>,
    node: &Node<'_>,
    f: impl Fn(A, B) -> R + Copy + Send + Sync + 'static,
) -> Lowered {
    let plan = broadcast(node)?;
    let ops = plan.len() as f64;
    let run = FnKernel::new(name, move |io, context| {
        let (a, b) = (io.inputs.get::<A>(0)?, io.inputs.get::<B>(1)?);
        let out = io.outputs.get::<R>(0)?;
        if a.len() != plan.operand_len(0) || b.len() != plan.operand_len(1) || out.len() != plan.len() {
            return Err(wrong_size());
        }
        binary(Baseline, context.par(), &plan, (a, b), out, f);
        Ok(())
    });
    Ok(run.ops(ops).boxed())
}

/// A kernel of two float operands computed in `f32`.
fn real_binary_kernel<T: Real>(
    name: &'static str,
    node: &Node<'_>,
    f: impl Fn(f32, f32) -> f32 + Copy + Send + Sync + 'static,
) -> Lowered {
    binary_kernel::<T>(name, node, move |a, b| T::of(f(a.real(), b.real())))
}

/// Refuses values of input `i` for which `is_bad` holds, before `kernel` runs.
fn refuse<T: Element>(
    kernel: Box<dyn Kernel>,
    i: usize,
    is_bad: impl Fn(T) -> bool + Send + Sync + 'static,
    message: &'static str,
) -> Box<dyn Kernel> {
    let (name, cost) = (kernel.name(), kernel.cost());
    FnKernel::new(name, move |io, context| {
        let values: &[T] = match source::<T>(io, i)? {
            Source::Apart(s) => s,
            Source::InPlace => io.outputs.get::<T>(0)?,
        };
        if values.iter().any(|&x| is_bad(x)) {
            return Err(OpError::runtime(message));
        }
        kernel.run(io, context)
    })
    .ops(cost.ops)
    .boxed()
}

/// Number of elements of input 0, for costs.
fn elements(node: &Node<'_>) -> Result<f64, OpError> {
    Ok(node.shape(0)?.num_elements()? as f64)
}

/// A kernel of one operand of the output's type, computed in place where the planner allows it.
pub(super) fn unary_kernel<T: Element>(
    name: impl Into<Cow<'static, str>>,
    node: &Node<'_>,
    f: impl Fn(T) -> T + Copy + Send + Sync + 'static,
) -> Lowered {
    unary_kernel_for(Baseline, name, node, f)
}

/// Like [`unary_kernel`], compiled for every instruction set.
pub(super) fn hot_unary_kernel<T: Element>(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    f: impl Fn(T) -> T + Copy + Send + Sync + 'static,
) -> Lowered {
    unary_kernel_for(cx.cpu, kernel_name(name, cx), node, f)
}

fn unary_kernel_for<T: Element>(
    target: impl Target + 'static,
    name: impl Into<Cow<'static, str>>,
    node: &Node<'_>,
    f: impl Fn(T) -> T + Copy + Send + Sync + 'static,
) -> Lowered {
    let run = FnKernel::new(name, move |io, context| {
        let par = context.par();
        map_in_out(target, par, io.in_out::<T>(0, 0)?, f);
        Ok(())
    });
    Ok(run.ops(elements(node)?).boxed())
}

/// A kernel of one operand of a type other than the output's.
pub(super) fn unary_to_kernel<A: Element, R: Element>(
    name: impl Into<Cow<'static, str>>,
    node: &Node<'_>,
    f: impl Fn(A) -> R + Copy + Send + Sync + 'static,
) -> Lowered {
    unary_to_kernel_for(Baseline, name, node, f)
}

/// Like [`unary_to_kernel`], compiled for every instruction set.
fn hot_unary_to_kernel<A: Element, R: Element>(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    f: impl Fn(A) -> R + Copy + Send + Sync + 'static,
) -> Lowered {
    unary_to_kernel_for(cx.cpu, kernel_name(name, cx), node, f)
}

fn unary_to_kernel_for<A: Element, R: Element>(
    target: impl Target + 'static,
    name: impl Into<Cow<'static, str>>,
    node: &Node<'_>,
    f: impl Fn(A) -> R + Copy + Send + Sync + 'static,
) -> Lowered {
    let run = FnKernel::new(name, move |io, context| {
        let input = io.inputs.get::<A>(0)?;
        let out = io.outputs.get::<R>(0)?;
        if input.len() != out.len() {
            return Err(wrong_size());
        }
        map(target, context.par(), input, out, f);
        Ok(())
    });
    Ok(run.ops(elements(node)?).boxed())
}

/// A kernel of one float operand computed in `f32`.
pub(super) fn real_unary_kernel<T: Real>(
    name: impl Into<Cow<'static, str>>,
    node: &Node<'_>,
    f: impl Fn(f32) -> f32 + Copy + Send + Sync + 'static,
) -> Lowered {
    unary_kernel::<T>(name, node, move |x| T::of(f(x.real())))
}

/// A kernel of a vector function of `f32`.
pub(super) fn function_kernel(name: &str, node: &Node<'_>, cx: &LowerCx<'_>, f: impl Function) -> Lowered {
    let cpu = cx.cpu;
    let run = FnKernel::new(kernel_name(name, cx), move |io, context| {
        let par = context.par();
        apply(cpu, par, io.in_out::<f32>(0, 0)?, f);
        Ok(())
    });
    Ok(run.ops(elements(node)?).boxed())
}

/// A kernel of a vector function applied to 16-bit floats, a block at a time in `f32`.
pub(super) fn half_function_kernel<T: Real>(
    name: &str,
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    f: impl Function,
) -> Lowered {
    const BLOCK: usize = 256;
    let cpu = cx.cpu;
    let run = FnKernel::new(kernel_name(name, cx), move |io, context| {
        let par = context.par();
        let input = source::<T>(io, 0)?;
        let out = io.outputs.get::<T>(0)?;
        if let Source::Apart(input) = input {
            if input.len() != out.len() {
                return Err(wrong_size());
            }
            out.copy_from_slice(input);
        }
        par.chunks_mut(out, 16 * BLOCK, |_, chunk| {
            let mut block = [0.0; BLOCK];
            for part in chunk.chunks_mut(BLOCK) {
                let block = &mut block[..part.len()];
                for (wide, x) in block.iter_mut().zip(&*part) {
                    *wide = x.real();
                }
                apply(cpu, ferrolite_kernels::par::Par::serial(), InOut::in_place(block), f);
                for (x, wide) in part.iter_mut().zip(&*block) {
                    *x = T::of(*wide);
                }
            }
        });
        Ok(())
    });
    Ok(run.ops(elements(node)?).boxed())
}
