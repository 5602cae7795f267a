//! A constant has exactly the bytes its type and shape ask for.

use std::collections::BTreeSet;

use super::sparsity;
use crate::error::{ModelError, bail};
use crate::graph::Tensor;
use crate::load::LoadOptions;
use crate::model::Model;
use crate::strings::Strings;
use crate::tensor_type::TensorType;

pub(super) fn verify(
    model: &Model,
    external_ids: &BTreeSet<u32>,
    tensor: &Tensor,
    options: &LoadOptions,
) -> Result<(), ModelError> {
    if model.shared_buffer(tensor.buffer).is_none() {
        bail!(Index, "buffer {} of {}; export the model again", tensor.buffer, model.num_buffers());
    }
    if tensor.external_buffer != 0 && !external_ids.contains(&tensor.external_buffer) {
        bail!(Index, "external buffer {} is not listed; export the model again", tensor.external_buffer);
    }
    if tensor.is_constant && tensor.is_variable {
        bail!(
            Tensor,
            "a variable has constant data; initialize it through an operator and export the model again"
        );
    }
    if let Some(sparsity) = &tensor.sparsity {
        let stored = sparsity::verify(sparsity, tensor, options)?;
        return match model.tensor_data(tensor) {
            Some(bytes) => expect_len(tensor, bytes.len(), tensor.dtype.byte_len(stored)),
            None => Ok(()),
        };
    }
    let Some(bytes) = model.tensor_data(tensor) else { return Ok(()) };
    match tensor.dtype {
        TensorType::String => verify_strings(tensor, bytes),
        // What these hold is up to the operator that reads them.
        TensorType::Resource | TensorType::Variant => Ok(()),
        _ => expect_len(tensor, bytes.len(), tensor.byte_len()),
    }
}

fn expect_len(tensor: &Tensor, found: usize, expected: Option<usize>) -> Result<(), ModelError> {
    if expected == Some(found) {
        return Ok(());
    }
    bail!(
        Tensor,
        "a constant of {} with shape {:?} takes {} bytes but its buffer has {found}; export the model again",
        tensor.dtype,
        tensor.shape,
        expected.unwrap_or(usize::MAX)
    )
}

fn verify_strings(tensor: &Tensor, bytes: &[u8]) -> Result<(), ModelError> {
    if bytes.is_empty() && tensor.num_elements() == Some(0) {
        return Ok(());
    }
    let strings = Strings::new(bytes)?;
    if tensor.num_elements() != Some(strings.len()) {
        bail!(
            Tensor,
            "a constant with shape {:?} holds {} strings; export the model again",
            tensor.shape,
            strings.len()
        );
    }
    Ok(())
}
