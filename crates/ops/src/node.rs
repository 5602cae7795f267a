//! One operator of a graph as its shape function and its lowering see it.

use ferrolite_model::options::OptionTable;
use ferrolite_model::{Operator, Options, TensorType};
use smallvec::SmallVec;

use crate::attributes::Attributes;
use crate::element::Element;
use crate::error::OpError;
use crate::regions::Regions;
use crate::shape::Shape;
use crate::tensor::TensorInfo;

/// An input of an operator while planning.
#[derive(Clone, Debug)]
pub struct Operand<'a> {
    /// Type, shape and quantization.
    pub info: &'a TensorInfo,
    /// The content, if it is known while planning.
    pub value: Option<&'a [u8]>,
    /// The content of a constant that the file has in 16-bit floats, as yet not widened: only operators that the spec
    /// says so of meet it, and `value` is then `None`.
    pub half: Option<&'a [u8]>,
    /// Where a constant comes from, if it is one: equal sources hold equal bytes for the life of the model.
    pub source: Option<ConstSource>,
}

/// The identity of a constant that depends on nothing but the model file; what is packed from it can be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConstSource {
    /// The subgraph.
    pub subgraph: u32,
    /// The tensor in it.
    pub tensor: u32,
}

/// One operator with its operands.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// The operator as the file has it: version, options, custom options.
    pub operator: &'a Operator,
    /// Inputs; `None` where the file leaves an optional input out.
    pub inputs: &'a [Option<Operand<'a>>],
    /// Outputs. While shapes are being inferred, their shapes are those the file declares.
    pub outputs: &'a [TensorInfo],
    /// Tensors that carry nothing but the quantization of an operator's inner values.
    pub intermediates: &'a [TensorInfo],
    /// The model's subgraphs, which some operators run.
    pub regions: &'a dyn Regions,
}

/// Why a shape could not be inferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InferError {
    /// The shape depends on the content of this input, which is not known yet.
    NeedsValue(usize),
    /// The operands contradict each other.
    Op(OpError),
}

impl From<OpError> for InferError {
    fn from(e: OpError) -> Self {
        Self::Op(e)
    }
}

/// Lowering runs once all shapes are known: a value that shapes depend on is known then.
impl From<InferError> for OpError {
    fn from(e: InferError) -> Self {
        match e {
            InferError::Op(e) => e,
            InferError::NeedsValue(i) => {
                Self::invalid(format!("the content of input {i} must be known while planning"))
            }
        }
    }
}

/// An output's shape as far as it can be known before the operator runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputShape {
    /// This shape.
    Known(Shape),
    /// The shape depends on the content of the inputs in a way that only running the operator tells.
    Dynamic,
    /// As [`OutputShape::Dynamic`], but the converter has worked it out: it is the one that the file declares, if that leaves
    /// nothing open and the subgraph's inputs have the shapes they were exported with. The operator fails where it is not.
    Declared,
}

impl From<Shape> for OutputShape {
    fn from(shape: Shape) -> Self {
        Self::Known(shape)
    }
}

/// One [`OutputShape`] per output.
pub type OutputShapes = SmallVec<[OutputShape; 2]>;

/// The shapes of an operator with a single output.
#[must_use]
pub fn one(shape: Shape) -> OutputShapes {
    core::iter::once(OutputShape::Known(shape)).collect()
}

/// Integers read from a small tensor.
pub type Ints = SmallVec<[i64; 8]>;

impl<'a> Node<'a> {
    /// Input `i`, if it is present.
    #[must_use]
    pub fn optional(&self, i: usize) -> Option<&Operand<'a>> {
        self.inputs.get(i).and_then(Option::as_ref)
    }

    /// Input `i`.
    ///
    /// # Errors
    /// When the operator has no such input.
    pub fn input(&self, i: usize) -> Result<&Operand<'a>, OpError> {
        self.optional(i).ok_or_else(|| OpError::invalid(format!("input {i} is missing")))
    }

    /// The shape of input `i`.
    ///
    /// # Errors
    /// When the operator has no such input.
    pub fn shape(&self, i: usize) -> Result<&'a Shape, OpError> {
        Ok(&self.input(i)?.info.shape)
    }

    /// The element type of input `i`.
    ///
    /// # Errors
    /// When the operator has no such input.
    pub fn dtype(&self, i: usize) -> Result<TensorType, OpError> {
        Ok(self.input(i)?.info.dtype)
    }

    /// Output `i`.
    ///
    /// # Errors
    /// When the operator has no such output.
    pub fn output(&self, i: usize) -> Result<&'a TensorInfo, OpError> {
        self.outputs.get(i).ok_or_else(|| OpError::invalid(format!("output {i} is missing")))
    }

    /// The operator's options of table `T`; a table left out of the file has its defaults.
    ///
    /// # Errors
    /// When the file carries another table.
    pub fn options<T: OptionTable + Clone>(&self) -> Result<T, OpError> {
        match (&self.operator.options, self.operator.options::<T>()) {
            (_, Some(table)) => Ok(table.clone()),
            (Options::None, None) => Ok(T::default()),
            (other, None) => Err(OpError::invalid(format!(
                "the operator carries {} where it takes {}",
                other.table_name().unwrap_or("no options"),
                T::NAME
            ))),
        }
    }

    /// The attributes of a custom operator.
    ///
    /// # Errors
    /// As [`Attributes::parse`].
    pub fn attributes(&self) -> Result<Attributes<'a>, OpError> {
        Attributes::parse(&self.operator.custom_options)
    }

    /// The elements of input `i` when it is known while planning.
    ///
    /// # Errors
    /// [`InferError::NeedsValue`] when it is not; [`InferError::Op`] on another type.
    pub fn value<T: Element>(&self, i: usize) -> Result<SmallVec<[T; 8]>, InferError> {
        let operand = self.input(i)?;
        T::check(operand.info.dtype)?;
        let bytes = operand.value.ok_or(InferError::NeedsValue(i))?;
        Ok(bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
    }

    /// The elements of an integer input `i` of any width when it is known while planning.
    ///
    /// # Errors
    /// [`InferError::NeedsValue`] when it is not; [`InferError::Op`] when it is no integer tensor.
    pub fn ints(&self, i: usize) -> Result<Ints, InferError> {
        macro_rules! widen {
            ($t:ty) => {
                Ok(self.value::<$t>(i)?.into_iter().map(i64::from).collect())
            };
        }
        match self.dtype(i)? {
            TensorType::Int8 => widen!(i8),
            TensorType::Int16 => widen!(i16),
            TensorType::Int32 => widen!(i32),
            TensorType::UInt8 => widen!(u8),
            TensorType::UInt16 => widen!(u16),
            TensorType::UInt32 => widen!(u32),
            TensorType::Int64 => widen!(i64),
            other => Err(OpError::invalid(format!("input {i} must hold integers, not {other}")).into()),
        }
    }
}
