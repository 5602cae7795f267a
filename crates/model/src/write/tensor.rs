//! Tensors with their quantization and sparse storage.

use std::collections::HashMap;
use std::sync::Arc;

use ferrolite_schema::tflite as schema;
use flatbuffers::WIPOffset;

use super::{Writer, convert, signed};
use crate::error::ModelError;
use crate::graph::{Tensor, VariantType};
use crate::quantization::{Quantization, QuantizationDetails};
use crate::sparsity::{SparseIndices, SparseLevel, Sparsity};

/// Tables already written, by the address of what tensors share.
pub(super) type Shared<'a> = HashMap<*const Quantization, WIPOffset<schema::QuantizationParameters<'a>>>;

impl<'a> Writer<'a> {
    pub(super) fn tensor(&mut self, tensor: &'a Tensor) -> Result<WIPOffset<schema::Tensor<'a>>, ModelError> {
        let quantization = tensor.quantization.as_ref().map(|q| self.quantization(q)).transpose()?;
        let sparsity = tensor.sparsity.as_ref().map(|sparsity| self.sparsity(sparsity)).transpose()?;
        let variant_tensors = match tensor.variant_tensors.as_slice() {
            [] => None,
            variants => Some(self.list(variants, Self::variant)?),
        };
        let shape_signature = match tensor.shape_signature.as_slice() {
            [] => None,
            dims => Some(self.fbb.create_vector(dims)),
        };
        let shape = signed(&tensor.shape, "dimension")?;
        let args = schema::TensorArgs {
            shape: Some(self.fbb.create_vector(&shape)),
            type_: tensor.dtype.to_schema(),
            buffer: tensor.buffer,
            name: Some(self.fbb.create_string(&tensor.name)),
            quantization,
            is_variable: tensor.is_variable,
            sparsity,
            shape_signature,
            has_rank: tensor.has_rank,
            variant_tensors,
            external_buffer: tensor.external_buffer,
        };
        Ok(schema::Tensor::create(&mut self.fbb, &args))
    }

    fn variant(
        &mut self,
        variant: &VariantType,
    ) -> Result<WIPOffset<schema::VariantSubType<'a>>, ModelError> {
        let args = schema::VariantSubTypeArgs {
            shape: Some(self.fbb.create_vector(&variant.shape)),
            type_: variant.dtype.to_schema(),
            has_rank: variant.has_rank,
        };
        Ok(schema::VariantSubType::create(&mut self.fbb, &args))
    }

    fn quantization(
        &mut self,
        quantization: &'a Arc<Quantization>,
    ) -> Result<WIPOffset<schema::QuantizationParameters<'a>>, ModelError> {
        let address = Arc::as_ptr(quantization);
        if let Some(&written) = self.quantizations.get(&address) {
            return Ok(written);
        }
        let floats = |w: &mut Self, v: &[f32]| (!v.is_empty()).then(|| w.fbb.create_vector(v));
        let details = quantization.details.as_ref().map(details).transpose()?;
        let (details_type, details) = match details {
            Some(details) => (details.quantization_details_type(), details.pack(&mut self.fbb)),
            None => (schema::QuantizationDetails::NONE, None),
        };
        let zero_point = (!quantization.zero_point.is_empty())
            .then(|| self.fbb.create_vector(quantization.zero_point.as_slice()));
        let args = schema::QuantizationParametersArgs {
            min: floats(self, &quantization.min),
            max: floats(self, &quantization.max),
            scale: floats(self, &quantization.scale),
            zero_point,
            details_type,
            details,
            quantized_dimension: convert(quantization.quantized_dimension, "quantized dimension")?,
        };
        let written = schema::QuantizationParameters::create(&mut self.fbb, &args);
        self.quantizations.insert(address, written);
        Ok(written)
    }

    fn sparsity(
        &mut self,
        sparsity: &'a Sparsity,
    ) -> Result<WIPOffset<schema::SparsityParameters<'a>>, ModelError> {
        let dim_metadata = Some(self.list(&sparsity.levels, Self::sparse_level)?);
        let traversal_order = signed(&sparsity.traversal_order, "dimension")?;
        let block_map = signed(&sparsity.block_map, "dimension")?;
        let args = schema::SparsityParametersArgs {
            traversal_order: Some(self.fbb.create_vector(&traversal_order)),
            block_map: (!block_map.is_empty()).then(|| self.fbb.create_vector(&block_map)),
            dim_metadata,
        };
        Ok(schema::SparsityParameters::create(&mut self.fbb, &args))
    }

    fn sparse_level(
        &mut self,
        level: &SparseLevel,
    ) -> Result<WIPOffset<schema::DimensionMetadata<'a>>, ModelError> {
        let mut args = schema::DimensionMetadataArgs::default();
        match level {
            SparseLevel::Dense { size } => {
                args.format = schema::DimensionType::DENSE;
                args.dense_size = convert(*size, "dimension")?;
            }
            SparseLevel::Csr { segments, indices } => {
                args.format = schema::DimensionType::SPARSE_CSR;
                let (segments, indices) = (sparse_indices(segments), sparse_indices(indices));
                args.array_segments_type = segments.sparse_index_vector_type();
                args.array_segments = segments.pack(&mut self.fbb);
                args.array_indices_type = indices.sparse_index_vector_type();
                args.array_indices = indices.pack(&mut self.fbb);
            }
        }
        Ok(schema::DimensionMetadata::create(&mut self.fbb, &args))
    }
}

fn details(details: &QuantizationDetails) -> Result<schema::QuantizationDetailsT, ModelError> {
    let optional = |tensor: &Option<usize>| tensor.map_or(Ok(-1), |tensor| convert(tensor, "tensor"));
    Ok(match details {
        QuantizationDetails::Custom(bytes) => {
            let custom = Some(bytes.to_vec());
            schema::QuantizationDetailsT::CustomQuantization(Box::new(schema::CustomQuantizationT { custom }))
        }
        QuantizationDetails::Blockwise { scales, zero_points, block_size } => {
            schema::QuantizationDetailsT::BlockwiseQuantization(Box::new(schema::BlockwiseQuantizationT {
                scales: convert(*scales, "tensor")?,
                zero_points: optional(zero_points)?,
                block_size: *block_size,
            }))
        }
        QuantizationDetails::MultiAxis { scales, zero_points, block_size, quantized_dimensions } => {
            schema::QuantizationDetailsT::MultiAxisQuantization(Box::new(schema::MultiAxisQuantizationT {
                scales: convert(*scales, "tensor")?,
                zero_points: optional(zero_points)?,
                block_size: *block_size,
                quantized_dimensions: Some(quantized_dimensions.clone()),
            }))
        }
    })
}

fn sparse_indices(indices: &SparseIndices) -> schema::SparseIndexVectorT {
    match indices {
        SparseIndices::Int32(v) => schema::SparseIndexVectorT::Int32Vector(Box::new(schema::Int32VectorT {
            values: Some(v.clone()),
        })),
        SparseIndices::UInt16(v) => {
            schema::SparseIndexVectorT::Uint16Vector(Box::new(schema::Uint16VectorT {
                values: Some(v.clone()),
            }))
        }
        SparseIndices::UInt8(v) => schema::SparseIndexVectorT::Uint8Vector(Box::new(schema::Uint8VectorT {
            values: Some(v.clone()),
        })),
    }
}
