//! Scales of weights that are quantized in blocks along their last dimension.

use std::sync::Arc;

use ferrolite_model::{Model, Quantization, QuantizationDetails, Subgraph, Tensor, TensorType};
use half::f16;

use crate::error::{Error, ErrorKind};

/// The quantization of `tensor`; where it is in blocks, with the scales read from the tensor that holds them: row after
/// row, one for each block. (Zero points of blocks are zero: the reference has none either.)
///
/// # Errors
/// When the scales are not constant floats, one for each block.
pub(crate) fn quantization(
    model: &Model,
    subgraph: &Subgraph,
    tensor: &Tensor,
) -> Result<Option<Arc<Quantization>>, Error> {
    let Some(quantization) = &tensor.quantization else { return Ok(None) };
    let Some(QuantizationDetails::Blockwise { scales, block_size, .. }) = quantization.details else {
        return Ok(Some(quantization.clone()));
    };
    let refused = |why: String| {
        Error::new(ErrorKind::BadModel, format!("tensor '{}' is quantized in blocks, but {why}", tensor.name))
    };
    let found = subgraph
        .tensors
        .get(scales)
        .and_then(|holder| Some((holder.dtype, model.tensor_data(holder)?)))
        .and_then(|(dtype, bytes)| numbers(dtype, bytes))
        .ok_or_else(|| refused("its scales are no constant floats: quantize the model again".to_owned()))?;
    let last = tensor.shape.last().copied().unwrap_or(1);
    let blocks = usize::try_from(block_size).ok().filter(|&size| size > 0 && last.is_multiple_of(size));
    let rows = tensor.shape.iter().rev().skip(1).try_fold(1usize, |rows, &n| rows.checked_mul(n));
    let wanted = blocks.zip(rows).and_then(|(size, rows)| rows.checked_mul(last / size));
    if wanted != Some(found.len()) {
        return Err(refused(format!(
            "its {} scales do not fit blocks of {block_size} in shape {:?}: quantize the model again",
            found.len(),
            tensor.shape
        )));
    }
    Ok(Some(Arc::new(Quantization { scale: found, ..(**quantization).clone() })))
}

fn numbers(dtype: TensorType, bytes: &[u8]) -> Option<Vec<f32>> {
    match dtype {
        TensorType::Float32 => Some(bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect()),
        TensorType::Float16 => {
            Some(bytes.chunks_exact(2).map(bytemuck::pod_read_unaligned).map(f16::to_f32).collect())
        }
        _ => None,
    }
}
