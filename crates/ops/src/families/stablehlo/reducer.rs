//! The functions that regions combine elements with: those that are recognised, and all others, which are called.

use ferrolite_model::options::{ActivationFunctionType, AddOptionsT, MulOptionsT, ReduceWindowFunction};
use ferrolite_model::{BuiltinOperator, OpCode, Operator};
use half::{bf16, f16};

use super::number::{Bits, Value};
use super::quantized::refuse_quantized;
use crate::TensorType;
use crate::element::{Bool, Complex64, Complex128, Element};
use crate::error::OpError;
use crate::families::variables::subgraph_index;
use crate::kernel::Context;
use crate::node::Node;
use crate::shape::Shape;
use crate::tensor::TensorValue;

/// A function of two elements that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reducer {
    /// The sum; or, for truth values.
    Sum,
    /// The product; and, for truth values.
    Product,
    /// The greater one.
    Max(Nan),
    /// The lesser one.
    Min(Nan),
    /// Bits of both, or whether both are true.
    And,
    /// Bits of either, or whether one is true.
    Or,
    /// Whether both are other than zero, as 1 or 0.
    All,
    /// Whether one is other than zero, as 1 or 0.
    Any,
    /// The second one.
    Second,
}

/// What becomes of a NaN when the greater or lesser of two floats is taken. The specification has it win; the reference
/// runtime has other rules in the operators that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nan {
    /// It wins, wherever it stands.
    Wins,
    /// It stays as the first of the two and is passed over as the second.
    StaysInFront,
    /// It wins as the second of the two and is passed over as the first.
    IsForgotten,
}

impl Reducer {
    /// The same function with another rule for NaN.
    pub fn with_nan(self, nan: Nan) -> Self {
        match self {
            Self::Max(_) => Self::Max(nan),
            Self::Min(_) => Self::Min(nan),
            other => other,
        }
    }
}

/// What a region computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// A known function.
    Known(Reducer),
    /// Whatever this subgraph computes.
    Subgraph(usize),
}

impl Body {
    /// The region in subgraph `index`, which takes two elements of each of `types` and gives one of each.
    ///
    /// # Errors
    /// When there is no such subgraph, or it takes or gives something else.
    pub fn new(node: &Node<'_>, index: i32, types: &[TensorType]) -> Result<Self, OpError> {
        let index = subgraph_index(index)?;
        let graph = node.regions.subgraph(index).ok_or_else(|| {
            OpError::invalid(format!("the operator runs subgraph {index}, which the model lacks"))
        })?;
        let types_of = |list: &[usize]| -> Vec<Option<TensorType>> {
            list.iter().map(|&t| graph.tensors.get(t).map(|t| t.dtype)).collect()
        };
        let one = types.iter().copied().map(Some);
        if types_of(&graph.outputs) != one.clone().collect::<Vec<_>>()
            || types_of(&graph.inputs) != one.clone().chain(one).collect::<Vec<_>>()
        {
            return Err(OpError::invalid(format!(
                "subgraph {index} must take two elements of each of the types {types:?} and give one of each: export the \
                 model again"
            )));
        }
        let known = match (graph.inputs.as_slice(), graph.outputs.as_slice(), graph.operators.as_slice()) {
            ([_, second], [output], []) if second == output => Some(Reducer::Second),
            (&[a, b], &[output], [operator]) => {
                let both = [[a, b], [b, a]]
                    .iter()
                    .any(|pair| operator.inputs.iter().copied().eq(pair.iter().map(|&t| Some(t))));
                let applies = a != b && both && operator.outputs == [output];
                recognise(operator).filter(|_| applies)
            }
            _ => None,
        };
        Ok(known.map_or(Self::Subgraph(index), Self::Known))
    }

    /// The function that the deprecated operator names.
    pub fn named(function: ReduceWindowFunction) -> Result<Self, OpError> {
        Ok(Self::Known(match function {
            ReduceWindowFunction::ADD => Reducer::Sum,
            ReduceWindowFunction::MUL => Reducer::Product,
            ReduceWindowFunction::MAXIMUM => Reducer::Max(Nan::Wins),
            ReduceWindowFunction::MINIMUM => Reducer::Min(Nan::Wins),
            ReduceWindowFunction::ALL => Reducer::All,
            ReduceWindowFunction::ANY => Reducer::Any,
            other => {
                return Err(OpError::unsupported(format!(
                    "the reduction {other:?} is not defined: name one of ADD, MUL, MINIMUM, MAXIMUM, ALL, ANY"
                )));
            }
        }))
    }
}

/// The function of an operator of two elements.
fn recognise(operator: &Operator) -> Option<Reducer> {
    let OpCode::Builtin(code) = operator.code else { return None };
    let plain = |activation: ActivationFunctionType| activation == ActivationFunctionType::NONE;
    Some(match code {
        BuiltinOperator::ADD
            if operator.options::<AddOptionsT>().is_none_or(|o| plain(o.fused_activation_function)) =>
        {
            Reducer::Sum
        }
        BuiltinOperator::MUL
            if operator.options::<MulOptionsT>().is_none_or(|o| plain(o.fused_activation_function)) =>
        {
            Reducer::Product
        }
        BuiltinOperator::STABLEHLO_ADD => Reducer::Sum,
        BuiltinOperator::STABLEHLO_MULTIPLY => Reducer::Product,
        BuiltinOperator::MAXIMUM | BuiltinOperator::STABLEHLO_MAXIMUM => Reducer::Max(Nan::Wins),
        BuiltinOperator::MINIMUM | BuiltinOperator::STABLEHLO_MINIMUM => Reducer::Min(Nan::Wins),
        BuiltinOperator::LOGICAL_AND | BuiltinOperator::STABLEHLO_AND => Reducer::And,
        BuiltinOperator::LOGICAL_OR | BuiltinOperator::STABLEHLO_OR => Reducer::Or,
        _ => return None,
    })
}

/// Elements with the type that they are combined in: 16-bit floats are too short for sums.
pub(super) trait Folded: Value {
    /// The type that results are kept in on the way.
    type Wide: Value;
    /// As the wider type.
    fn widen(self) -> Self::Wide;
    /// Rounded.
    fn narrow(wide: Self::Wide) -> Self;
}

macro_rules! folded {
    ($($T:ty),*) => {$(
        impl Folded for $T {
            type Wide = Self;
            #[inline(always)]
            fn widen(self) -> Self {
                self
            }
            #[inline(always)]
            fn narrow(wide: Self) -> Self {
                wide
            }
        }
    )*};
}

folded!(f32, f64, i8, i16, i32, i64, u8, u16, u32, u64, Bool, Complex64, Complex128);

macro_rules! folded_halves {
    ($($T:ty),*) => {$(
        impl Folded for $T {
            type Wide = f32;
            #[inline(always)]
            fn widen(self) -> f32 {
                self.to_f32()
            }
            #[inline(always)]
            fn narrow(wide: f32) -> Self {
                Self::from_f32(wide)
            }
        }
    )*};
}

folded_halves!(f16, bf16);

/// A known function, ready for elements of one type.
pub(super) struct Fold<T: Folded> {
    /// One element into a result.
    pub step: fn(T::Wide, T) -> T::Wide,
    /// A row of elements into a row of results.
    pub row: fn(&mut [T::Wide], &[T]),
    /// A row of elements into one result.
    pub run: fn(T::Wide, &[T]) -> T::Wide,
}

impl<T: Folded> Clone for Fold<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Folded> Copy for Fold<T> {}

/// The functions of one operation, each a loop of its own over a combination that the compiler sees.
macro_rules! fold {
    ($T:ty, $combine:expr) => {
        Fold::<$T> {
            step: |acc, x| $combine(acc, x.widen()),
            row: |accs, xs| accs.iter_mut().zip(xs).for_each(|(acc, x)| *acc = $combine(*acc, x.widen())),
            run: |acc, xs| {
                const LANES: usize = 8;
                let (blocks, rest) = xs.as_chunks::<LANES>();
                let Some((first, blocks)) = blocks.split_first() else {
                    return rest.iter().fold(acc, |acc, x| $combine(acc, x.widen()));
                };
                // Lanes side by side, so that one step need not wait for the one before.
                let mut lanes = first.map(|x| x.widen());
                for block in blocks {
                    for (lane, x) in lanes.iter_mut().zip(block) {
                        *lane = $combine(*lane, x.widen());
                    }
                }
                let acc = rest.iter().fold(acc, |acc, x| $combine(acc, x.widen()));
                lanes.into_iter().fold(acc, |acc, x| $combine(acc, x))
            },
        }
    };
}

/// The greater one, NaN if either is: the specification's maximum.
#[inline(always)]
fn maximum<W: Value>(a: W, b: W) -> W {
    if a.below(b) || b.is_no_number() { b } else { a }
}

/// The lesser one, NaN if either is.
#[inline(always)]
fn minimum<W: Value>(a: W, b: W) -> W {
    if b.below(a) || b.is_no_number() { b } else { a }
}

/// Arithmetic of any type.
fn arithmetic<T: Folded>(reducer: Reducer) -> Option<Fold<T>> {
    Some(match reducer {
        Reducer::Sum => fold!(T, |a: T::Wide, b: T::Wide| a.plus(b)),
        Reducer::Product => fold!(T, |a: T::Wide, b: T::Wide| a.times(b)),
        Reducer::Max(Nan::Wins) => fold!(T, maximum::<T::Wide>),
        Reducer::Min(Nan::Wins) => fold!(T, minimum::<T::Wide>),
        Reducer::Max(Nan::StaysInFront) => fold!(T, |a: T::Wide, b: T::Wide| a.greatest(b)),
        Reducer::Min(Nan::StaysInFront) => fold!(T, |a: T::Wide, b: T::Wide| a.least(b)),
        Reducer::Max(Nan::IsForgotten) => fold!(T, |a: T::Wide, b: T::Wide| if b.below(a) { a } else { b }),
        Reducer::Min(Nan::IsForgotten) => fold!(T, |a: T::Wide, b: T::Wide| if a.below(b) { a } else { b }),
        Reducer::All => fold!(T, |a: T::Wide, b: T::Wide| T::Wide::of_truth(a.is_true() & b.is_true())),
        Reducer::Any => fold!(T, |a: T::Wide, b: T::Wide| T::Wide::of_truth(a.is_true() | b.is_true())),
        Reducer::Second => fold!(T, |_: T::Wide, b: T::Wide| b),
        Reducer::And | Reducer::Or => return None,
    })
}

/// Types with the functions that are defined for them.
pub(super) trait Reducible: Folded {
    /// The function for this type.
    fn fold(reducer: Reducer) -> Option<Fold<Self>>;
}

macro_rules! reducible_bits {
    ($($T:ty),*) => {$(
        impl Reducible for $T {
            fn fold(reducer: Reducer) -> Option<Fold<Self>> {
                match reducer {
                    Reducer::And => Some(fold!($T, |a: $T, b: $T| a.both(b))),
                    Reducer::Or => Some(fold!($T, |a: $T, b: $T| a.either(b))),
                    other => arithmetic(other),
                }
            }
        }
    )*};
}

reducible_bits!(i8, i16, i32, i64, u8, u16, u32, u64, Bool);

macro_rules! reducible {
    ($($T:ty),*) => {$(
        impl Reducible for $T {
            fn fold(reducer: Reducer) -> Option<Fold<Self>> {
                arithmetic(reducer)
            }
        }
    )*};
}

reducible!(f32, f64, f16, bf16, Complex64, Complex128);

/// The refusal of a function that elements of a type have not.
pub(super) fn no_such_function(reducer: Reducer, dtype: TensorType) -> OpError {
    OpError::invalid(format!("{reducer:?} of {dtype} elements is not defined: export the model again"))
}

/// Elements on their way into a subgraph and out of it again.
pub(super) struct Caller {
    subgraph: usize,
    values: Vec<TensorValue>,
}

impl Caller {
    /// Calls of `subgraph` with one element of each of these types.
    ///
    /// # Errors
    /// When a type has no fixed size.
    pub fn new(subgraph: usize, types: &[TensorType]) -> Result<Self, OpError> {
        let values =
            types.iter().map(|&t| TensorValue::zeros(t, Shape::scalar())).collect::<Result<_, _>>()?;
        Ok(Self { subgraph, values })
    }

    /// The place of element `i`.
    pub fn element(&mut self, i: usize) -> &mut [u8] {
        self.values[i].bytes_mut()
    }

    /// Runs the subgraph and hands over what it returns.
    ///
    /// # Errors
    /// When the caller has cancelled, the subgraph fails, or it returns something else than single elements of `types`.
    pub fn call(&self, cx: &mut dyn Context, types: &[TensorType]) -> Result<Vec<TensorValue>, OpError> {
        cx.check_cancelled()?;
        let inputs: Vec<&TensorValue> = self.values.iter().collect();
        let outputs = cx.call(self.subgraph, &inputs)?;
        let fits = |value: &TensorValue, &dtype: &TensorType| {
            value.dtype() == dtype && Some(value.bytes().len()) == dtype.byte_len(1)
        };
        if outputs.len() == types.len() && outputs.iter().zip(types).all(|(v, t)| fits(v, t)) {
            return Ok(outputs);
        }
        Err(OpError::runtime(format!(
            "subgraph {} must return one element of each of {types:?}: export the model again",
            self.subgraph
        )))
    }
}

/// The element types of operators that take operands of one shape, then as many initial values, and give as many results.
///
/// # Errors
/// When the counts, shapes or types do not go together, or a tensor is quantized.
pub(super) fn operand_types(node: &Node<'_>) -> Result<Vec<TensorType>, OpError> {
    let count = node.inputs.len() / 2;
    if node.inputs.len() != 2 * count || node.outputs.len() != count {
        return Err(OpError::invalid(format!(
            "the operator takes as many initial values as operands and gives as many results, not {} inputs and {} outputs",
            node.inputs.len(),
            node.outputs.len()
        )));
    }
    refuse_quantized(node)?;
    let shape = node.shape(0)?;
    let mut types = Vec::with_capacity(count);
    for i in 0..count {
        let dtype = node.dtype(i)?;
        if node.shape(i)? != shape
            || node.dtype(count + i)? != dtype
            || node.output(i)?.dtype != dtype
            || node.shape(count + i)?.num_elements()? != 1
        {
            return Err(OpError::invalid(format!(
                "operand {i} must have the shape {shape} of the first, and its initial value, a single element, and \
                 result its type {dtype}"
            )));
        }
        types.push(dtype);
    }
    Ok(types)
}

/// Bytes of one element.
///
/// # Errors
/// When the elements have no whole number of bytes.
pub(super) fn element_bytes(dtype: TensorType) -> Result<usize, OpError> {
    match dtype.bits() {
        Some(bits) if bits >= 8 => Ok(bits / 8),
        _ => {
            Err(OpError::unsupported(format!("regions cannot combine {dtype} elements: convert them first")))
        }
    }
}

/// The one element of input `i`.
pub(super) fn single<T: Element>(inputs: crate::Inputs<'_>, i: usize) -> Result<T, OpError> {
    match inputs.get::<T>(i)? {
        [x] => Ok(*x),
        other => Err(OpError::invalid(format!("input {i} must be a single element, not {}", other.len()))),
    }
}
