//! How stored integers map to real numbers.

use crate::bytes::Bytes;

/// Quantization parameters of a tensor: `real = scale * (stored - zero_point)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quantization {
    /// One scale for the tensor, or one for each slice of `quantized_dimension`; empty for a tensor whose file only
    /// gives a range or details.
    pub scale: Vec<f32>,
    /// As many zero points as scales; each fits 32 bits.
    pub zero_point: Vec<i64>,
    /// The dimension that several scales run along; 0 for a vector, whatever its file says.
    pub quantized_dimension: usize,
    /// Smallest real values seen when the model was made, for information.
    pub min: Vec<f32>,
    /// Largest real values seen when the model was made, for information.
    pub max: Vec<f32>,
    /// Schemes beyond one scale for each slice.
    pub details: Option<QuantizationDetails>,
}

impl Quantization {
    /// One scale and zero point for the whole tensor.
    pub fn per_tensor(scale: f32, zero_point: i64) -> Self {
        Self { scale: vec![scale], zero_point: vec![zero_point], ..Self::default() }
    }

    /// One scale for each slice of `dimension`, zero points 0.
    pub fn per_channel(scale: Vec<f32>, dimension: usize) -> Self {
        let zero_point = vec![0; scale.len()];
        Self { scale, zero_point, quantized_dimension: dimension, ..Self::default() }
    }
}

/// Quantization schemes beyond one scale for each slice. Tensors are named by their index in the same subgraph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuantizationDetails {
    /// Parameters only the producer of the model understands.
    Custom(Bytes),
    /// One scale for each block of elements along the last dimension.
    Blockwise {
        /// Tensor of scales.
        scales: usize,
        /// Tensor of zero points; `None` for zero.
        zero_points: Option<usize>,
        /// Elements in a block.
        block_size: i32,
    },
    /// As blockwise, along several dimensions.
    MultiAxis {
        /// Tensor of scales.
        scales: usize,
        /// Tensor of zero points; `None` for zero.
        zero_points: Option<usize>,
        /// Elements in a block.
        block_size: i32,
        /// Dimensions that scales run along.
        quantized_dimensions: Vec<i32>,
    },
}
