//! EQUAL NOT_EQUAL LESS LESS_EQUAL GREATER GREATER_EQUAL.

use ferrolite_kernels::cpu::elementwise::quantized::{Affine, Narrow};
use ferrolite_kernels::fixed_point::Multiplier;
use ferrolite_model::{BuiltinOperator, TensorType};
use half::{bf16, f16};

use super::{
    Lowered, binary_to_kernel, broadcast, infer_broadcast, input_affine, scales_too_far_apart, unexpected,
    wrong_size,
};
use crate::element::{Bool, Element};
use crate::error::OpError;
use crate::kernel::FnKernel;
use crate::node::Node;
use crate::spec::{LowerFn, OpSpec, TypeRow};
use crate::{strings, types};

/// The operators of this module.
pub(crate) const SPECS: &[OpSpec] = &[
    one(BuiltinOperator::EQUAL, |n, _| lower(n, "equal", EQUAL)).versions(5).types(EQUALITY),
    one(BuiltinOperator::NOT_EQUAL, |n, _| lower(n, "not_equal", NOT_EQUAL)).versions(4).types(EQUALITY),
    one(BuiltinOperator::LESS, |n, _| lower(n, "less", LESS)).versions(3).types(ORDER),
    one(BuiltinOperator::LESS_EQUAL, |n, _| lower(n, "less_equal", LESS_EQUAL)).versions(2).types(BOUND),
    one(BuiltinOperator::GREATER, |n, _| lower(n, "greater", GREATER)).versions(2).types(ORDER),
    one(BuiltinOperator::GREATER_EQUAL, |n, _| lower(n, "greater_equal", GREATER_EQUAL))
        .versions(3)
        .types(BOUND),
];

const EQUALITY: &[TypeRow] = types![
    (Float32) -> (Bool),
    (Float16) -> (Bool),
    (Int16) -> (Bool),
    (Int32) -> (Bool),
    (Int64) -> (Bool),
    (Bool) -> (Bool),
    (String) -> (Bool),
    (Int8) -> (Bool),
    (UInt8) -> (Bool),
];

/// Element types of LESS and GREATER.
const ORDER: &[TypeRow] = types![
    (Float32) -> (Bool),
    (Float16) -> (Bool),
    (BFloat16) -> (Bool),
    (Int16) -> (Bool),
    (Int32) -> (Bool),
    (Int64) -> (Bool),
    (Int8) -> (Bool),
    (UInt8) -> (Bool),
];

/// Element types of LESS_EQUAL and GREATER_EQUAL.
const BOUND: &[TypeRow] = types![
    (Float32) -> (Bool),
    (Float16) -> (Bool),
    (Int16) -> (Bool),
    (Int32) -> (Bool),
    (Int64) -> (Bool),
    (Int8) -> (Bool),
    (UInt8) -> (Bool),
];

const fn one(op: BuiltinOperator, lower: LowerFn) -> OpSpec {
    OpSpec::builtin(op, infer_broadcast, lower).inputs(2, 2)
}

/// The answer of a comparison for each way two values can stand to each other.
#[derive(Clone, Copy, Debug)]
struct Answers {
    less: bool,
    equal: bool,
    greater: bool,
    /// With a NaN.
    unordered: bool,
}

const EQUAL: Answers = Answers { less: false, equal: true, greater: false, unordered: false };
const NOT_EQUAL: Answers = Answers { less: true, equal: false, greater: true, unordered: true };
const LESS: Answers = Answers { less: true, equal: false, greater: false, unordered: false };
const LESS_EQUAL: Answers = Answers { less: true, equal: true, greater: false, unordered: false };
const GREATER: Answers = Answers { less: false, equal: false, greater: true, unordered: false };
const GREATER_EQUAL: Answers = Answers { less: false, equal: true, greater: true, unordered: false };

impl Answers {
    /// The answer for two values, without branches so that one loop serves all comparisons.
    #[inline(always)]
    fn of<T: PartialOrd>(self, a: T, b: T) -> Bool {
        let (less, equal, greater) = (a < b, a == b, a > b);
        let unordered = !(less | equal | greater);
        Bool::from(
            (less & self.less)
                | (equal & self.equal)
                | (greater & self.greater)
                | (unordered & self.unordered),
        )
    }
}

fn lower(node: &Node<'_>, name: &str, answers: Answers) -> Lowered {
    match node.dtype(0)? {
        TensorType::Float32 => plain::<f32>("f32", name, node, answers),
        TensorType::Float16 => plain::<f16>("f16", name, node, answers),
        TensorType::BFloat16 => plain::<bf16>("bf16", name, node, answers),
        TensorType::Int32 => plain::<i32>("i32", name, node, answers),
        TensorType::Int64 => plain::<i64>("i64", name, node, answers),
        TensorType::Bool => {
            let name = format!("bool_{name}");
            binary_to_kernel::<Bool, Bool, Bool>(name, node, move |a, b| answers.of(a.get(), b.get()))
        }
        TensorType::Int8 => quantized::<i8>("i8", name, node, answers),
        TensorType::UInt8 => quantized::<u8>("u8", name, node, answers),
        // Only equality looks at the scales of 16-bit operands.
        TensorType::Int16 if node.input(0)?.info.is_quantized() && answers.less == answers.greater => {
            quantized::<i16>("i16", name, node, answers)
        }
        TensorType::Int16 => plain::<i16>("i16", name, node, answers),
        TensorType::String => of_strings(name, node, answers),
        _ => Err(unexpected(node)),
    }
}

fn plain<T: Element + PartialOrd>(ty: &str, name: &str, node: &Node<'_>, answers: Answers) -> Lowered {
    binary_to_kernel::<T, T, Bool>(format!("{ty}_{name}"), node, move |a, b| answers.of(a, b))
}

/// Compares real values in fixed point with eight bits behind the point.
fn quantized<T: Narrow + Element>(ty: &str, name: &str, node: &Node<'_>, answers: Answers) -> Lowered {
    let (a, b) = (fixed(input_affine(node, 0)?)?, fixed(input_affine(node, 1)?)?);
    binary_to_kernel::<T, T, Bool>(format!("{ty}_{name}_fixed"), node, move |x, y| {
        answers.of(a(x.widen()), b(y.widen()))
    })
}

/// The fixed-point value of an integer.
fn fixed(q: Affine) -> Result<impl Fn(i32) -> i32 + Copy + Send + Sync + 'static, OpError> {
    let factor = Multiplier::new(f64::from(q.scale)).ok_or_else(scales_too_far_apart)?;
    Ok(move |x: i32| factor.apply((x - q.zero_point).wrapping_shl(8)))
}

fn of_strings(name: &str, node: &Node<'_>, answers: Answers) -> Lowered {
    let plan = broadcast(node)?;
    let ops = plan.len() as f64;
    let run = FnKernel::new(format!("string_{name}"), move |io, _| {
        let (a, b) = (strings::decode(io.inputs.bytes(0)?)?, strings::decode(io.inputs.bytes(1)?)?);
        let out = io.outputs.get::<Bool>(0)?;
        if a.len() != plan.operand_len(0) || b.len() != plan.operand_len(1) || out.len() != plan.len() {
            return Err(wrong_size());
        }
        plan.runs(0..plan.len(), |run| {
            for (i, o) in out[run.start..run.start + run.len].iter_mut().enumerate() {
                let at = |k: usize| run.operands[k] + if plan.advances(k) { i } else { 0 };
                *o = answers.of(a[at(0)], b[at(1)]);
            }
        });
        Ok(())
    });
    Ok(run.ops(ops).boxed())
}
