//! What a caller can know of a tensor.

use std::sync::Arc;

use ferrolite_model::{Quantization, Tensor, TensorType};

/// Name, type, shape and quantization of an input or output.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorMeta {
    /// The tensor's name in the file.
    pub name: String,
    /// Its index in its subgraph.
    pub index: usize,
    /// Element type.
    pub dtype: TensorType,
    /// Dimensions as the file declares them; [`crate::Interpreter::input_shape`] tells the present ones.
    pub shape: Vec<usize>,
    /// Dimensions with -1 where any size is allowed; empty when the file says nothing.
    pub shape_signature: Vec<i32>,
    /// Scales and zero points.
    pub quantization: Option<Arc<Quantization>>,
}

impl TensorMeta {
    pub(crate) fn new(index: usize, tensor: &Tensor) -> Self {
        Self {
            name: tensor.name.clone(),
            index,
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            shape_signature: tensor.shape_signature.clone(),
            quantization: tensor.quantization.clone(),
        }
    }

    /// Whether the file may leave the shape to the caller: [`TensorMeta::shape`] is then an example. It does with -1 for a
    /// dimension, and with no dimensions at all, which stand for a scalar and for an unknown rank alike.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shape_signature.contains(&-1) || self.shape.is_empty()
    }

    /// The scale and zero point, for tensors quantized per tensor.
    #[must_use]
    pub fn scale_and_zero_point(&self) -> Option<(f32, i64)> {
        let q = self.quantization.as_ref()?;
        match q.scale.as_slice() {
            [scale] => Some((*scale, q.zero_point.first().copied().unwrap_or(0))),
            _ => None,
        }
    }
}
