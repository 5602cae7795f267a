//! Quantization parameters fit their tensor.

use crate::error::{ModelError, bail};
use crate::graph::{Subgraph, Tensor};
use crate::quantization::{Quantization, QuantizationDetails};

pub(super) fn verify(q: &Quantization, tensor: &Tensor, subgraph: &Subgraph) -> Result<(), ModelError> {
    if let Some(bad) = q.scale.iter().find(|scale| !scale.is_finite()) {
        bail!(Quantization, "scale {bad} is no number to compute with; quantize the model again");
    }
    if let Some(bad) = q.zero_point.iter().find(|&&zero| i32::try_from(zero).is_err()) {
        bail!(Quantization, "zero point {bad} is out of range; quantize the model again");
    }
    if q.scale.len() != q.zero_point.len() {
        bail!(
            Quantization,
            "{} scales but {} zero points; quantize the model again",
            q.scale.len(),
            q.zero_point.len()
        );
    }
    if q.scale.len() > 1 && tensor.shape.get(q.quantized_dimension) != Some(&q.scale.len()) {
        bail!(
            Quantization,
            "{} scales do not run along dimension {} of shape {:?}; quantize the model again",
            q.scale.len(),
            q.quantized_dimension,
            tensor.shape
        );
    }
    match &q.details {
        None | Some(QuantizationDetails::Custom(_)) => Ok(()),
        Some(QuantizationDetails::Blockwise { scales, zero_points, block_size }) => {
            verify_blocks(*scales, *zero_points, *block_size, subgraph)
        }
        Some(QuantizationDetails::MultiAxis { scales, zero_points, block_size, quantized_dimensions }) => {
            verify_blocks(*scales, *zero_points, *block_size, subgraph)?;
            let rank = tensor.shape.len();
            let within = |dim: &i32| usize::try_from(*dim).is_ok_and(|dim| dim < rank);
            if !quantized_dimensions.iter().all(within) {
                bail!(
                    Quantization,
                    "quantized dimensions {quantized_dimensions:?} of a tensor with rank {rank}; quantize the model again"
                );
            }
            Ok(())
        }
    }
}

fn verify_blocks(
    scales: usize,
    zero_points: Option<usize>,
    block_size: i32,
    subgraph: &Subgraph,
) -> Result<(), ModelError> {
    let count = subgraph.tensors.len();
    if let Some(bad) = [Some(scales), zero_points].into_iter().flatten().find(|&tensor| tensor >= count) {
        bail!(Index, "quantization parameters in tensor {bad} of {count}; quantize the model again");
    }
    if block_size < 0 {
        bail!(Quantization, "blocks of {block_size} elements; quantize the model again");
    }
    Ok(())
}
