//! Tensors with their quantization and sparse storage.

use std::collections::HashMap;
use std::sync::Arc;

use ferrolite_schema::tflite as schema;

use super::convert::index;
use crate::bytes::Bytes;
use crate::error::{ModelError, bail};
use crate::graph::{Tensor, VariantType};
use crate::quantization::{Quantization, QuantizationDetails};
use crate::sparsity::{SparseIndices, SparseLevel, Sparsity};
use crate::tensor_type::TensorType;

/// Quantization tables by position in the file and whether they describe a vector, so that tensors sharing one share it
/// here.
pub(super) type Quantizations = HashMap<(usize, bool), Option<Arc<Quantization>>>;

pub(super) fn tensor(
    tensor: schema::Tensor<'_>,
    source: &Bytes,
    quantizations: &mut Quantizations,
) -> Result<Tensor, ModelError> {
    let shape = shape(tensor)?;
    let quantization = match tensor.quantization() {
        None => None,
        Some(table) => {
            let key = (table._tab.loc(), shape.len() == 1);
            match quantizations.get(&key) {
                Some(known) => known.clone(),
                None => {
                    let new = quantization(table, source, key.1)?.map(Arc::new);
                    quantizations.insert(key, new.clone());
                    new
                }
            }
        }
    };
    Ok(Tensor {
        name: tensor.name().unwrap_or_default().to_owned(),
        dtype: dtype(tensor.type_())?,
        shape,
        shape_signature: tensor.shape_signature().map(|dims| dims.iter().collect()).unwrap_or_default(),
        has_rank: tensor.has_rank(),
        buffer: tensor.buffer(),
        external_buffer: tensor.external_buffer(),
        quantization,
        is_variable: tensor.is_variable(),
        is_constant: false,
        sparsity: tensor.sparsity().map(sparsity).transpose()?,
        variant_tensors: tensor
            .variant_tensors()
            .into_iter()
            .flatten()
            .map(variant)
            .collect::<Result<_, _>>()?,
    })
}

fn dtype(code: schema::TensorType) -> Result<TensorType, ModelError> {
    match TensorType::from_schema(code) {
        Some(dtype) => Ok(dtype),
        None => {
            bail!(Tensor, "element type {} is unknown; a newer version of this library may know it", code.0)
        }
    }
}

fn shape(tensor: schema::Tensor<'_>) -> Result<Vec<usize>, ModelError> {
    let Some(dims) = tensor.shape() else { return Ok(Vec::new()) };
    let dim = |dim: i32| match usize::try_from(dim) {
        Ok(dim) => Ok(dim),
        Err(_) => bail!(
            Tensor,
            "shape {:?} has a negative dimension; export dynamic dimensions through shape_signature",
            dims.iter().collect::<Vec<_>>()
        ),
    };
    dims.iter().map(dim).collect()
}

fn variant(variant: schema::VariantSubType<'_>) -> Result<VariantType, ModelError> {
    Ok(VariantType {
        shape: variant.shape().map(|dims| dims.iter().collect()).unwrap_or_default(),
        dtype: dtype(variant.type_())?,
        has_rank: variant.has_rank(),
    })
}

/// `None` for a table that says nothing: many exporters write one for every tensor.
fn quantization(
    table: schema::QuantizationParameters<'_>,
    source: &Bytes,
    of_vector: bool,
) -> Result<Option<Quantization>, ModelError> {
    let floats = |v: Option<flatbuffers::Vector<'_, f32>>| v.map(|v| v.iter().collect()).unwrap_or_default();
    let scale: Vec<f32> = floats(table.scale());
    let mut zero_point: Vec<i64> = table.zero_point().map(|v| v.iter().collect()).unwrap_or_default();
    match (scale.len(), zero_point.as_slice()) {
        // Zero points mean nothing without a scale.
        (0, _) => zero_point.clear(),
        (scales, []) => zero_point.resize(scales, 0),
        (scales, &[one]) => zero_point.resize(scales, one),
        _ => {}
    }
    let quantized_dimension = match usize::try_from(table.quantized_dimension()) {
        // A bias may carry the dimension of the filter it goes with, but has only one.
        Ok(_) if of_vector => 0,
        Ok(dimension) => dimension,
        Err(_) => bail!(
            Quantization,
            "quantized dimension {} is negative; export the model again",
            table.quantized_dimension()
        ),
    };
    let quantization = Quantization {
        scale,
        zero_point,
        quantized_dimension,
        min: floats(table.min()),
        max: floats(table.max()),
        details: details(table, source)?,
    };
    Ok((quantization != Quantization::default()).then_some(quantization))
}

fn details(
    table: schema::QuantizationParameters<'_>,
    source: &Bytes,
) -> Result<Option<QuantizationDetails>, ModelError> {
    let optional = |tensor: i32| if tensor == -1 { Ok(None) } else { index(tensor, "zero points").map(Some) };
    if let Some(custom) = table.details_as_custom_quantization() {
        let bytes =
            custom.custom().map_or_else(Bytes::new, |data| super::buffers::share(source, data.bytes()));
        return Ok(Some(QuantizationDetails::Custom(bytes)));
    }
    if let Some(blocks) = table.details_as_blockwise_quantization() {
        return Ok(Some(QuantizationDetails::Blockwise {
            scales: index(blocks.scales(), "scales")?,
            zero_points: optional(blocks.zero_points())?,
            block_size: blocks.block_size(),
        }));
    }
    if let Some(axes) = table.details_as_multi_axis_quantization() {
        return Ok(Some(QuantizationDetails::MultiAxis {
            scales: index(axes.scales(), "scales")?,
            zero_points: optional(axes.zero_points())?,
            block_size: axes.block_size(),
            quantized_dimensions: axes.quantized_dimensions().map(|v| v.iter().collect()).unwrap_or_default(),
        }));
    }
    Ok(None)
}

fn sparsity(table: schema::SparsityParameters<'_>) -> Result<Sparsity, ModelError> {
    let dims = |v: Option<flatbuffers::Vector<'_, i32>>, what| {
        v.into_iter().flatten().map(|dim| index(dim, what)).collect::<Result<Vec<_>, _>>()
    };
    Ok(Sparsity {
        traversal_order: dims(table.traversal_order(), "traversal order")?,
        block_map: dims(table.block_map(), "block map")?,
        levels: table.dim_metadata().into_iter().flatten().map(sparse_level).collect::<Result<_, _>>()?,
    })
}

fn sparse_level(level: schema::DimensionMetadata<'_>) -> Result<SparseLevel, ModelError> {
    match level.format() {
        schema::DimensionType::DENSE => {
            Ok(SparseLevel::Dense { size: index(level.dense_size(), "dense size")? })
        }
        schema::DimensionType::SPARSE_CSR => {
            let segments = sparse_indices(
                level.array_segments_as_int_32_vector(),
                level.array_segments_as_uint_16_vector(),
                level.array_segments_as_uint_8_vector(),
            );
            let indices = sparse_indices(
                level.array_indices_as_int_32_vector(),
                level.array_indices_as_uint_16_vector(),
                level.array_indices_as_uint_8_vector(),
            );
            match (segments, indices) {
                (Some(segments), Some(indices)) => Ok(SparseLevel::Csr { segments, indices }),
                _ => bail!(
                    Sparsity,
                    "a sparse dimension lacks its segments or indices; export the model again"
                ),
            }
        }
        other => {
            bail!(Sparsity, "storage {} of a sparse dimension is unknown; export the model again", other.0)
        }
    }
}

fn sparse_indices(
    wide: Option<schema::Int32Vector<'_>>,
    middle: Option<schema::Uint16Vector<'_>>,
    narrow: Option<schema::Uint8Vector<'_>>,
) -> Option<SparseIndices> {
    let wide = || Some(SparseIndices::Int32(wide?.values().into_iter().flatten().collect()));
    let middle = || Some(SparseIndices::UInt16(middle?.values().into_iter().flatten().collect()));
    let narrow =
        || Some(SparseIndices::UInt8(narrow?.values().map(|v| v.bytes().to_vec()).unwrap_or_default()));
    wide().or_else(middle).or_else(narrow)
}
