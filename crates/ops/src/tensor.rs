//! What a planner knows of a tensor, and tensors with memory of their own.

use std::sync::Arc;

use ferrolite_model::{Quantization, TensorType};

use crate::element::Element;
use crate::error::OpError;
use crate::io::{cast, cast_mut};
use crate::list::TensorList;
use crate::shape::Shape;

/// Type, shape and quantization of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// The tensor's name in the file, for messages.
    pub name: Arc<str>,
    /// Element type.
    pub dtype: TensorType,
    /// Dimensions, outermost first.
    pub shape: Shape,
    /// Scales and zero points, if the tensor is quantized.
    pub quantization: Option<Arc<Quantization>>,
    /// Whether the file leaves a dimension or the rank open: the shape it declares is then no more than an example.
    pub open_shape: bool,
}

impl TensorInfo {
    /// Bytes of the tensor's elements; for strings and lists 0, as their size depends on the content.
    ///
    /// # Errors
    /// When the size does not fit in `usize`.
    pub fn byte_len(&self) -> Result<usize, OpError> {
        byte_len(self.dtype, &self.shape)
            .map_err(|e| OpError::invalid(format!("tensor '{}': {}", self.name, e.message())))
    }

    /// The least memory that a tensor of this type and shape takes: of strings what empty ones do.
    ///
    /// # Errors
    /// When the size does not fit in `usize`, or there are more strings than a tensor can hold.
    pub fn least_len(&self) -> Result<usize, OpError> {
        least_len(self.dtype, &self.shape)
            .map_err(|e| OpError::invalid(format!("tensor '{}': {}", self.name, e.message())))
    }

    /// The scale and zero point of a per-tensor quantized tensor.
    ///
    /// # Errors
    /// When the tensor has no quantization or has it per channel.
    pub fn per_tensor(&self) -> Result<(f32, i32), OpError> {
        let missing = || {
            OpError::invalid(format!(
                "tensor '{}' of type {} needs one scale and one zero point; it has none or several",
                self.name, self.dtype
            ))
        };
        let q = self.quantization.as_ref().ok_or_else(missing)?;
        match (q.scale.as_slice(), q.zero_point.as_slice()) {
            ([s], []) => Ok((*s, 0)),
            ([s], [z, ..]) => Ok((*s, i32::try_from(*z).map_err(|_| missing())?)),
            _ => Err(missing()),
        }
    }

    /// The scales of a tensor quantized per tensor (one) or per channel (several).
    ///
    /// # Errors
    /// When the tensor has no scales.
    pub fn scales(&self) -> Result<&[f32], OpError> {
        match &self.quantization {
            Some(q) if !q.scale.is_empty() => Ok(&q.scale),
            _ => Err(OpError::invalid(format!("tensor '{}' of type {} has no scale", self.name, self.dtype))),
        }
    }

    /// Whether the tensor carries at least one scale.
    #[must_use]
    pub fn is_quantized(&self) -> bool {
        self.quantization.as_ref().is_some_and(|q| !q.scale.is_empty())
    }
}

/// What memory is asked for in: fresh memory comes zeroed from the system, untouched, only for alignments up to this.
type Unit = u128;

/// A cache line.
const LINE: usize = 64;

/// Zero-initialised bytes aligned to 64.
#[derive(Default)]
pub struct AlignedBytes {
    units: Vec<Unit>,
    /// Units before the first line.
    skip: usize,
    len: usize,
}

impl AlignedBytes {
    /// `len` zero bytes.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let mut bytes = Self::default();
        bytes.resize(len);
        bytes
    }

    /// A copy of `bytes`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut out = Self::zeroed(bytes.len());
        out.as_mut_slice().copy_from_slice(bytes);
        out
    }

    /// Changes the length; bytes that were there keep their content, more are zero.
    pub fn resize(&mut self, len: usize) {
        if !self.resize_in_place(len) {
            self.move_into(vec![0; Self::units_for(len)], len);
        }
    }

    /// As [`AlignedBytes::resize`], `None` if there is not as much memory.
    fn try_resize(&mut self, len: usize) -> Option<()> {
        if !self.resize_in_place(len) {
            let units = bytemuck::allocation::try_zeroed_vec(Self::units_for(len)).ok()?;
            self.move_into(units, len);
        }
        Some(())
    }

    /// Units that have room for `len` bytes from a cache line on, wherever they start.
    fn units_for(len: usize) -> usize {
        (len.div_ceil(LINE) + 1) * (LINE / size_of::<Unit>()) - 1
    }

    /// Changes the length if there is memory for that.
    fn resize_in_place(&mut self, len: usize) -> bool {
        let old = self.len;
        if len > old {
            let all: &mut [u8] =
                bytemuck::cast_slice_mut(self.units.get_mut(self.skip..).unwrap_or_default());
            let Some(more) = all.get_mut(old..len) else { return false };
            more.fill(0);
        }
        self.len = len;
        true
    }

    /// Moves to other, zeroed memory.
    fn move_into(&mut self, units: Vec<Unit>, len: usize) {
        let skip = units.as_ptr().addr().wrapping_neg() % LINE / size_of::<Unit>();
        let mut moved = Self { units, skip, len };
        moved.as_mut_slice()[..self.len].copy_from_slice(self.as_slice());
        *self = moved;
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(self.units.get(self.skip..).unwrap_or_default())[..self.len]
    }

    /// The bytes, writable.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut bytemuck::cast_slice_mut(self.units.get_mut(self.skip..).unwrap_or_default())[..len]
    }
}

impl Clone for AlignedBytes {
    fn clone(&self) -> Self {
        Self::copy_of(self.as_slice())
    }
}

impl core::fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AlignedBytes({} bytes)", self.len)
    }
}

/// A tensor that owns its memory: inputs, outputs, variables, constants, and whatever has a shape known only at run time.
#[derive(Clone, Debug)]
pub struct TensorValue {
    dtype: TensorType,
    shape: Shape,
    data: AlignedBytes,
    /// What a variant tensor holds instead of bytes.
    list: Option<Arc<TensorList>>,
}

impl TensorValue {
    /// A tensor of zeros (of no strings, for strings).
    ///
    /// # Errors
    /// When the size does not fit in memory's address range.
    pub fn zeros(dtype: TensorType, shape: Shape) -> Result<Self, OpError> {
        let mut value = Self { dtype, shape: Shape::scalar(), data: AlignedBytes::default(), list: None };
        value.reset(dtype, shape)?;
        Ok(value)
    }

    /// A tensor with a copy of `bytes`; strings in the string-tensor layout of the schema.
    ///
    /// # Errors
    /// When the number of bytes is not the shape's.
    pub fn from_bytes(dtype: TensorType, shape: Shape, bytes: &[u8]) -> Result<Self, OpError> {
        let value = Self { dtype, shape, data: AlignedBytes::copy_of(bytes), list: None };
        if is_sized(dtype) {
            value.check_size()?;
        }
        Ok(value)
    }

    /// A tensor with a copy of `elements`.
    ///
    /// # Errors
    /// When the number of elements is not the shape's.
    pub fn from_elements<T: Element>(shape: Shape, elements: &[T]) -> Result<Self, OpError> {
        Self::from_bytes(T::DTYPE, shape, bytemuck::cast_slice(elements))
    }

    /// Checks that the content is that of the shape: so many bytes, or so many strings.
    ///
    /// # Errors
    /// When it is not, or strings are not in the string-tensor layout of the schema.
    pub fn check_size(&self) -> Result<(), OpError> {
        let (has, wants, what) = match self.dtype {
            TensorType::Variant => return Ok(()),
            TensorType::String => {
                (crate::strings::decode(self.bytes())?.len(), self.shape.num_elements()?, "strings")
            }
            dtype => (self.bytes().len(), byte_len(dtype, &self.shape)?, "bytes"),
        };
        if has == wants {
            return Ok(());
        }
        let (dtype, shape) = (self.dtype, &self.shape);
        Err(OpError::invalid(format!(
            "a {dtype} tensor of shape {shape} has {wants} {what}, {has} were given"
        )))
    }

    /// Gives the tensor a type and shape; its memory is reused where it can be, its content is then unspecified.
    ///
    /// # Errors
    /// When the size does not fit in memory's address range.
    pub fn reset(&mut self, dtype: TensorType, shape: Shape) -> Result<(), OpError> {
        let len = least_len(dtype, &shape)?;
        self.data.try_resize(len).ok_or_else(|| too_large(dtype, &shape))?;
        if dtype == TensorType::String {
            crate::strings::write_empty(self.data.as_mut_slice());
        }
        self.dtype = dtype;
        self.shape = shape;
        self.list = None;
        Ok(())
    }

    /// Gives the tensor this type and shape and a copy of this content.
    pub fn assign(&mut self, dtype: TensorType, shape: &[usize], bytes: &[u8]) {
        self.dtype = dtype;
        if *self.shape != *shape {
            self.shape = Shape::new(shape);
        }
        self.list = None;
        self.data.resize(bytes.len());
        self.data.as_mut_slice().copy_from_slice(bytes);
    }

    /// Gives the tensor a copy of another's type, shape and content.
    pub fn assign_value(&mut self, other: &Self) {
        self.assign(other.dtype, &other.shape, other.bytes());
        self.list.clone_from(&other.list);
    }

    /// A variant tensor that holds a list.
    #[must_use]
    pub fn from_list(list: Arc<TensorList>) -> Self {
        Self {
            dtype: TensorType::Variant,
            shape: Shape::scalar(),
            data: AlignedBytes::default(),
            list: Some(list),
        }
    }

    /// The list that a variant tensor holds.
    #[must_use]
    pub fn list(&self) -> Option<&Arc<TensorList>> {
        self.list.as_ref()
    }

    /// Gives up the list that a variant tensor holds.
    pub fn take_list(&mut self) -> Option<Arc<TensorList>> {
        self.list.take()
    }

    /// Element type.
    #[inline]
    #[must_use]
    pub fn dtype(&self) -> TensorType {
        self.dtype
    }

    /// Dimensions.
    #[inline]
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The content as little-endian bytes; none of a list.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.data.as_slice()
    }

    /// The content, writable.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.data.as_mut_slice()
    }

    /// The elements.
    ///
    /// # Errors
    /// When the tensor's type is not `T`'s.
    pub fn elements<T: Element>(&self) -> Result<&[T], OpError> {
        T::check(self.dtype)?;
        cast(self.bytes())
    }

    /// The elements, writable.
    ///
    /// # Errors
    /// When the tensor's type is not `T`'s.
    pub fn elements_mut<T: Element>(&mut self) -> Result<&mut [T], OpError> {
        T::check(self.dtype)?;
        cast_mut(self.bytes_mut())
    }
}

/// Whether the bytes of a tensor follow from its type and shape; those of strings and of lists depend on the content.
#[must_use]
pub fn is_sized(dtype: TensorType) -> bool {
    !matches!(dtype, TensorType::String | TensorType::Variant)
}

/// Bytes of a tensor's elements; handles of resources take four bytes each, strings and lists have no size of their own.
fn byte_len(dtype: TensorType, shape: &Shape) -> Result<usize, OpError> {
    let stored = match dtype {
        TensorType::String | TensorType::Variant => return Ok(0),
        TensorType::Resource => TensorType::UInt32,
        other => other,
    };
    stored
        .byte_len(shape.num_elements()?)
        .filter(|&n| n <= isize::MAX as usize)
        .ok_or_else(|| too_large(dtype, shape))
}

/// As [`byte_len`], but of strings what empty ones take.
fn least_len(dtype: TensorType, shape: &Shape) -> Result<usize, OpError> {
    match dtype {
        TensorType::String => {
            crate::strings::empty_len(shape.num_elements()?).ok_or_else(|| too_large(dtype, shape))
        }
        _ => byte_len(dtype, shape),
    }
}

fn too_large(dtype: TensorType, shape: &Shape) -> OpError {
    OpError::invalid(format!("a {dtype} tensor of shape {shape} is larger than memory"))
}
