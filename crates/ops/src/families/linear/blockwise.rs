//! FULLY_CONNECTED of floats with 4-bit weights that have a scale for each block along the depth.

use ferrolite_kernels::cpu::int8::blockwise::{BlockRows, BlockWeights, multiply_blocks};
use ferrolite_kernels::cpu::int8::dynamic::DynamicScheme;
use ferrolite_kernels::packing::Packing;
use ferrolite_model::{QuantizationDetails, TensorType};

use super::fully_connected::Sizes;
use super::hybrid::{self, Activations, Operands};
use super::weights::{PackParams, WeightBytes, float_bias};
use crate::error::OpError;
use crate::io::Io;
use crate::kernel::Kernel;
use crate::lower::LowerCx;
use crate::node::Node;
use crate::tensor::TensorInfo;

/// The elements of a block, for weights that are quantized in blocks.
pub(super) fn block_size(weights: &TensorInfo) -> Option<usize> {
    match weights.quantization.as_ref()?.details {
        Some(QuantizationDetails::Blockwise { block_size, .. }) => usize::try_from(block_size).ok(),
        _ => None,
    }
}

/// Lowers a product whose weights have blocks of `block` elements and whose activations are quantized by `scheme`.
pub(super) fn lower(
    node: &Node<'_>,
    cx: &LowerCx<'_>,
    Sizes { rows, units, depth }: Sizes,
    block: usize,
    scheme: DynamicScheme,
    range: (f32, f32),
) -> Result<Box<dyn Kernel>, OpError> {
    let weights = node.input(1)?;
    let scales = weights.info.scales()?.to_vec();
    let fits = block > 0 && depth.is_multiple_of(block) && scales.len() == units * (depth / block);
    if weights.info.dtype != TensorType::Int4 || !fits {
        return Err(OpError::unsupported(format!(
            "weights in blocks of {block} must be int4 with one scale for each block of their {units} rows of {depth}; \
             '{}' is {} with {} scales",
            weights.info.name,
            weights.info.dtype,
            scales.len()
        )));
    }
    let cpu = cx.cpu;
    let activations = Activations { cpu, scheme, run_len: depth, runs: rows, spare: 0 };
    let mut params = PackParams::new(node);
    params.extend(&[block]);
    let prepare = move |packing: Packing<'_>, weights: &[u8], bias: Option<&[u8]>| {
        let weights = WeightBytes::new(TensorType::Int4, weights, units * depth)?;
        let bias = float_bias(bias, units)?;
        Ok(BlockWeights::new(packing, || weights.as_signed(), scales.clone(), bias, depth, block))
    };
    let run = move |weights: &BlockWeights, io: &mut Io<'_>, par| {
        let x = activations.quantize(io.inputs.get(0)?, io.scratch, par);
        let rows = BlockRows { data: x.data, scales: x.scales, zeros: x.zeros };
        multiply_blocks(cpu, weights, &rows, range, io.outputs.get(0)?, par);
        Ok(())
    };
    let name = format!("hybrid_blocks_{}", cpu.name());
    let operands = Operands { filter: 1, bias: 2 };
    let ops = 2.0 * rows as f64 * units as f64 * depth as f64;
    let scratch = activations.scratch().bytes();
    hybrid::kernel(node, cx, operands, "dense_blocks", params, name, scratch, ops, prepare, run)
}
