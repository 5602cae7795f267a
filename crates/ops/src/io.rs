//! What a step sees of memory while it runs: typed views of its operands.

use std::sync::Arc;

use ferrolite_kernels::inout::InOut;
use ferrolite_model::TensorType;

use crate::element::Element;
use crate::error::OpError;
use crate::list::TensorList;
use crate::shape::Shape;
use crate::tensor::TensorValue;

/// The memory of one input.
#[derive(Clone, Copy, Debug)]
pub enum InputData<'a> {
    /// Bytes of its own.
    Bytes(&'a [u8]),
    /// A tensor that is no bytes: a variant tensor with its list.
    Value(&'a TensorValue),
    /// Memory of the output with this index: all of it, the step works in place, or that of a piece of an output that joins
    /// pieces, which is there already.
    InPlace(usize),
    /// An optional input that is absent.
    Absent,
}

/// One input.
#[derive(Clone, Copy, Debug)]
pub struct InputView<'a> {
    /// Element type.
    pub dtype: TensorType,
    /// Dimensions.
    pub shape: &'a [usize],
    /// Memory.
    pub data: InputData<'a>,
}

/// The memory of one output.
#[derive(Debug)]
pub enum OutputData<'a> {
    /// Bytes for exactly the planned shape.
    Bytes(&'a mut [u8]),
    /// A tensor that the step gives shape and content.
    Value(&'a mut TensorValue),
}

/// One output.
#[derive(Debug)]
pub struct OutputView<'a> {
    /// Element type.
    pub dtype: TensorType,
    /// Dimensions as planned; empty and meaningless for [`OutputData::Value`].
    pub shape: &'a [usize],
    /// Memory.
    pub data: OutputData<'a>,
}

/// The inputs of a step.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a>(&'a [InputView<'a>]);

/// The outputs of a step, or its state tensors.
#[derive(Debug)]
pub struct Outputs<'a>(&'a mut [OutputView<'a>]);

/// Everything a step reads and writes.
#[derive(Debug)]
pub struct Io<'a> {
    /// Inputs.
    pub inputs: Inputs<'a>,
    /// Outputs.
    pub outputs: Outputs<'a>,
    /// Variable tensors that the operator's spec names as states, in that order; they keep their content between runs.
    pub states: Outputs<'a>,
    /// As many bytes as the kernel asked for, aligned to 64, content unspecified.
    pub scratch: &'a mut [u8],
}

impl<'a> Inputs<'a> {
    /// Wraps views.
    #[must_use]
    pub fn new(views: &'a [InputView<'a>]) -> Self {
        Self(views)
    }

    /// Number of inputs, absent ones counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no inputs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Input `i`.
    ///
    /// # Errors
    /// When there is no input `i`.
    #[inline]
    pub fn view(&self, i: usize) -> Result<InputView<'a>, OpError> {
        self.0.get(i).copied().ok_or_else(|| OpError::invalid(format!("input {i} is missing")))
    }

    /// Whether optional input `i` is there.
    #[must_use]
    #[inline]
    pub fn has(&self, i: usize) -> bool {
        self.0.get(i).is_some_and(|v| !matches!(v.data, InputData::Absent))
    }

    /// The shape of input `i`.
    ///
    /// # Errors
    /// When there is no input `i`.
    #[inline]
    pub fn shape(&self, i: usize) -> Result<&'a [usize], OpError> {
        Ok(self.view(i)?.shape)
    }

    /// The bytes of input `i`.
    ///
    /// # Errors
    /// When it is absent or shares an output's memory.
    #[inline]
    pub fn bytes(&self, i: usize) -> Result<&'a [u8], OpError> {
        match self.view(i)?.data {
            InputData::Bytes(b) => Ok(b),
            InputData::Value(_) => Err(OpError::invalid(format!("input {i} is a list"))),
            InputData::InPlace(_) => Err(OpError::invalid(format!("input {i} is computed in place"))),
            InputData::Absent => Err(OpError::invalid(format!("input {i} is missing"))),
        }
    }

    /// The elements of input `i`.
    ///
    /// # Errors
    /// As [`Inputs::bytes`], and on another element type.
    #[inline]
    pub fn get<T: Element>(&self, i: usize) -> Result<&'a [T], OpError> {
        T::check(self.view(i)?.dtype)?;
        cast(self.bytes(i)?)
    }

    /// The handle in a resource tensor.
    ///
    /// # Errors
    /// When input `i` is no single resource.
    #[inline]
    pub fn handle(&self, i: usize) -> Result<u32, OpError> {
        let bytes = self.bytes(i)?.first_chunk::<4>();
        bytes
            .map(|b| u32::from_le_bytes(*b))
            .ok_or_else(|| OpError::invalid(format!("input {i} holds no resource handle")))
    }

    /// The list in a variant tensor.
    ///
    /// # Errors
    /// When input `i` holds no list.
    pub fn list(&self, i: usize) -> Result<&'a Arc<TensorList>, OpError> {
        match self.view(i)?.data {
            InputData::Value(value) => value.list().ok_or_else(no_list),
            _ => Err(no_list()),
        }
    }

    /// A copy of input `i`; the tensors of a list are shared.
    ///
    /// # Errors
    /// When input `i` is absent or shares an output's memory.
    pub fn to_value(&self, i: usize) -> Result<TensorValue, OpError> {
        let view = self.view(i)?;
        match view.data {
            InputData::Value(value) => Ok(value.clone()),
            _ => TensorValue::from_bytes(view.dtype, Shape::new(view.shape), self.bytes(i)?),
        }
    }

    /// The elements of input `i`, `None` if it is absent.
    ///
    /// # Errors
    /// As [`Inputs::get`] otherwise.
    pub fn optional<T: Element>(&self, i: usize) -> Result<Option<&'a [T]>, OpError> {
        if self.has(i) { self.get(i).map(Some) } else { Ok(None) }
    }
}

impl<'a> Outputs<'a> {
    /// Wraps views.
    #[must_use]
    pub fn new(views: &'a mut [OutputView<'a>]) -> Self {
        Self(views)
    }

    /// Number of outputs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no outputs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    fn view(&mut self, i: usize) -> Result<&mut OutputView<'a>, OpError> {
        self.0.get_mut(i).ok_or_else(|| OpError::invalid(format!("output {i} is missing")))
    }

    /// The shape of output `i`: as planned, or as last given by [`Outputs::allocate`].
    ///
    /// # Errors
    /// When there is no output `i`.
    pub fn shape(&self, i: usize) -> Result<&[usize], OpError> {
        let view = self.0.get(i).ok_or_else(|| OpError::invalid(format!("output {i} is missing")))?;
        Ok(match &view.data {
            OutputData::Bytes(_) => view.shape,
            OutputData::Value(value) => value.shape(),
        })
    }

    /// The element type of output `i`.
    ///
    /// # Errors
    /// When there is no output `i`.
    #[inline]
    pub fn dtype(&self, i: usize) -> Result<TensorType, OpError> {
        self.0.get(i).map(|v| v.dtype).ok_or_else(|| OpError::invalid(format!("output {i} is missing")))
    }

    /// The bytes of output `i`.
    ///
    /// # Errors
    /// When there is no output `i`.
    #[inline]
    pub fn bytes(&mut self, i: usize) -> Result<&mut [u8], OpError> {
        Ok(match &mut self.view(i)?.data {
            OutputData::Bytes(b) => b,
            OutputData::Value(value) => value.bytes_mut(),
        })
    }

    /// The elements of output `i`.
    ///
    /// # Errors
    /// When there is no output `i` or its element type is another.
    #[inline]
    pub fn get<T: Element>(&mut self, i: usize) -> Result<&mut [T], OpError> {
        T::check(self.view(i)?.dtype)?;
        cast_mut(self.bytes(i)?)
    }

    /// The elements of outputs `i` and `j`, `i < j`, at once.
    ///
    /// # Errors
    /// As [`Outputs::get`].
    pub fn pair<A: Element, B: Element>(
        &mut self,
        i: usize,
        j: usize,
    ) -> Result<(&mut [A], &mut [B]), OpError> {
        A::check(self.view(i)?.dtype)?;
        B::check(self.view(j)?.dtype)?;
        if i >= j {
            return Err(OpError::invalid("outputs must be asked for in rising order"));
        }
        let (low, high) = self.0.split_at_mut(j);
        Ok((cast_mut(low[i].data.bytes_mut())?, cast_mut(high[0].data.bytes_mut())?))
    }

    /// All outputs, for operators with any number of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut OutputView<'a>> {
        self.0.iter_mut()
    }

    /// Gives output `i` its shape when that is known only now.
    ///
    /// # Errors
    /// When a planned output has another shape, or the size does not fit in memory.
    pub fn allocate(&mut self, i: usize, shape: Shape) -> Result<(), OpError> {
        let view = self.view(i)?;
        let dtype = view.dtype;
        match &mut view.data {
            OutputData::Value(value) => value.reset(dtype, shape),
            OutputData::Bytes(_) if *view.shape == *shape => Ok(()),
            OutputData::Bytes(_) => {
                Err(OpError::runtime(format!("output {i} was planned with another shape than {shape}")))
            }
        }
    }

    /// Gives output `i`, which must have no planned size (strings, dynamic shapes), this shape and content.
    ///
    /// # Errors
    /// When output `i` has a planned size that differs from the content's.
    pub fn set_bytes(&mut self, i: usize, shape: &[usize], bytes: &[u8]) -> Result<(), OpError> {
        let view = self.view(i)?;
        let dtype = view.dtype;
        match &mut view.data {
            OutputData::Value(value) => {
                value.assign(dtype, shape, bytes);
                Ok(())
            }
            OutputData::Bytes(out) if out.len() == bytes.len() => {
                out.copy_from_slice(bytes);
                Ok(())
            }
            OutputData::Bytes(out) => Err(OpError::runtime(format!(
                "output {i} was planned with {} bytes, but has {}",
                out.len(),
                bytes.len()
            ))),
        }
    }
}

impl<'a> Outputs<'a> {
    /// Gives output `i`, a variant tensor, this list.
    ///
    /// # Errors
    /// When output `i` is of another type.
    pub fn set_list(&mut self, i: usize, list: Arc<TensorList>) -> Result<(), OpError> {
        self.set_value(i, TensorValue::from_list(list))
    }

    /// Gives output `i` this type, shape and content, without a copy where it has no planned size.
    ///
    /// # Errors
    /// When output `i` was planned with another type or shape.
    pub fn set_value(&mut self, i: usize, value: TensorValue) -> Result<(), OpError> {
        match self.fitting(i, &value)? {
            OutputData::Value(output) => **output = value,
            OutputData::Bytes(output) => output.copy_from_slice(value.bytes()),
        }
        Ok(())
    }

    /// Gives output `i` a copy of a tensor.
    ///
    /// # Errors
    /// As [`Outputs::set_value`].
    pub fn copy_value(&mut self, i: usize, value: &TensorValue) -> Result<(), OpError> {
        match self.fitting(i, value)? {
            OutputData::Value(output) => output.assign_value(value),
            OutputData::Bytes(output) => output.copy_from_slice(value.bytes()),
        }
        Ok(())
    }

    /// The memory of output `i` if a value may go there.
    fn fitting(&mut self, i: usize, value: &TensorValue) -> Result<&mut OutputData<'a>, OpError> {
        let view = self.0.get_mut(i).ok_or_else(|| OpError::invalid(format!("output {i} is missing")))?;
        if view.dtype != value.dtype() {
            return Err(OpError::invalid(format!(
                "output {i} is {}, its value is {}",
                view.dtype,
                value.dtype()
            )));
        }
        if matches!(view.data, OutputData::Bytes(_)) && *view.shape != **value.shape() {
            return Err(OpError::runtime(format!(
                "output {i} was planned with another shape than {}",
                value.shape()
            )));
        }
        Ok(&mut view.data)
    }
}

impl OutputData<'_> {
    /// The memory.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            OutputData::Bytes(b) => b,
            OutputData::Value(value) => value.bytes_mut(),
        }
    }
}

impl OutputView<'_> {
    /// A view of nothing.
    #[must_use]
    #[inline]
    pub const fn empty() -> Self {
        Self { dtype: TensorType::Float32, shape: &[], data: OutputData::Bytes(&mut []) }
    }

    /// The elements.
    ///
    /// # Errors
    /// When the element type is another.
    pub fn elements<T: Element>(&mut self) -> Result<&mut [T], OpError> {
        T::check(self.dtype)?;
        cast_mut(self.data.bytes_mut())
    }
}

impl<'a> Io<'a> {
    /// The list of input `i`, to become output `o`: nobody else holds it where the planner lets the step work in place.
    ///
    /// # Errors
    /// When input `i` holds no list.
    pub fn take_list(&mut self, i: usize, o: usize) -> Result<Arc<TensorList>, OpError> {
        match self.inputs.view(i)?.data {
            InputData::InPlace(shared) if shared == o => match &mut self.outputs.view(o)?.data {
                OutputData::Value(value) => value.take_list().ok_or_else(no_list),
                OutputData::Bytes(_) => Err(no_list()),
            },
            _ => self.inputs.list(i).cloned(),
        }
    }

    /// Input `i` and output `o` of an element-wise step that may work in place.
    ///
    /// # Errors
    /// When the element types are others or the lengths differ.
    #[inline]
    pub fn in_out<T: Element>(&mut self, i: usize, o: usize) -> Result<InOut<'_, T>, OpError> {
        let view = self.inputs.view(i)?;
        T::check(view.dtype)?;
        let out = self.outputs.get::<T>(o)?;
        match view.data {
            InputData::InPlace(shared) if shared == o => Ok(InOut::in_place(out)),
            InputData::InPlace(_) => {
                Err(OpError::invalid(format!("input {i} shares memory with another output than {o}")))
            }
            InputData::Value(_) => Err(OpError::invalid(format!("input {i} is a list"))),
            InputData::Absent => Err(OpError::invalid(format!("input {i} is missing"))),
            InputData::Bytes(b) => InOut::apart(cast(b)?, out)
                .ok_or_else(|| OpError::invalid(format!("input {i} and output {o} differ in size"))),
        }
    }
}

fn no_list() -> OpError {
    OpError::runtime("a variant tensor holds no list: an operator that makes lists must fill it first")
}

#[inline]
pub(crate) fn cast<T: Element>(bytes: &[u8]) -> Result<&[T], OpError> {
    if bytes.is_empty() {
        // No bytes may lie anywhere.
        return Ok(&[]);
    }
    bytemuck::try_cast_slice(bytes)
        .map_err(|e| OpError::invalid(format!("a tensor's memory does not fit its type: {e}")))
}

#[inline]
pub(crate) fn cast_mut<T: Element>(bytes: &mut [u8]) -> Result<&mut [T], OpError> {
    bytemuck::try_cast_slice_mut(bytes)
        .map_err(|e| OpError::invalid(format!("a tensor's memory does not fit its type: {e}")))
}
