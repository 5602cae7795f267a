//! What a model must hold beyond its structure, checked once so that no later stage has to.

mod calls;
mod constant;
mod graph;
mod operator;
mod quantization;
mod sparsity;

use std::collections::BTreeSet;

use crate::error::{ModelError, bail};
use crate::graph::{Signature, Subgraph, Tensor};
use crate::load::LoadOptions;
use crate::model::{Content, Model};

/// What checks of single parts look at.
struct Verifier<'a> {
    model: &'a Model,
    /// Ids of the external buffers that the model lists.
    external_ids: BTreeSet<u32>,
    options: &'a LoadOptions,
}

/// Checks everything; the model is usable if this succeeds.
pub(crate) fn verify(model: &Model, options: &LoadOptions) -> Result<(), ModelError> {
    let content = &model.content;
    if content.subgraphs.is_empty() {
        bail!(Graph, "the model has no subgraph, so there is nothing to run; export it again");
    }
    let external_ids = content.external_buffers.iter().map(|buffer| buffer.id).collect();
    let verifier = Verifier { model, external_ids, options };
    for (index, subgraph) in content.subgraphs.iter().enumerate() {
        verifier.subgraph(subgraph).map_err(|error| error.in_subgraph(index))?;
    }
    calls::verify(content, options.max_call_depth)?;
    for signature in &content.signatures {
        verify_signature(content, signature)?;
    }
    for entry in &content.metadata {
        if model.shared_buffer(entry.buffer).is_none() {
            bail!(
                Index,
                "metadata \"{}\" is in buffer {} of {}; export the model again",
                entry.name.escape_debug(),
                entry.buffer,
                content.buffers.len()
            );
        }
    }
    Ok(())
}

impl Verifier<'_> {
    fn subgraph(&self, subgraph: &Subgraph) -> Result<(), ModelError> {
        for (index, tensor) in subgraph.tensors.iter().enumerate() {
            self.tensor(subgraph, tensor).map_err(|error| error.in_tensor(index, &tensor.name))?;
        }
        for (index, operator) in subgraph.operators.iter().enumerate() {
            operator::verify(operator, subgraph).map_err(|error| error.in_operator(index, &operator.code))?;
        }
        graph::verify(subgraph)
    }

    fn tensor(&self, subgraph: &Subgraph, tensor: &Tensor) -> Result<(), ModelError> {
        let fits = |bytes: &usize| isize::try_from(*bytes).is_ok();
        if tensor.num_elements().filter(fits).is_none()
            || (tensor.dtype.bits().is_some() && tensor.byte_len().filter(fits).is_none())
        {
            bail!(
                Tensor,
                "a tensor of {} with shape {:?} is larger than this machine can address; export a smaller one",
                tensor.dtype,
                tensor.shape
            );
        }
        verify_signature_of_shape(tensor)?;
        if let Some(quantization) = &tensor.quantization {
            quantization::verify(quantization, tensor, subgraph)?;
        }
        constant::verify(self.model, &self.external_ids, tensor, self.options)
    }
}

/// The signature of a shape differs from the shape only where it leaves a dimension open.
fn verify_signature_of_shape(tensor: &Tensor) -> Result<(), ModelError> {
    let signature = &tensor.shape_signature;
    let open = |dim: i32| dim >= -1;
    // An unranked signature is written as no dimensions.
    if !signature.is_empty() && signature.len() != tensor.shape.len() || !signature.iter().copied().all(open)
    {
        bail!(
            Tensor,
            "shape signature {signature:?} does not describe shape {:?}; export the model again",
            tensor.shape
        );
    }
    Ok(())
}

fn verify_signature(content: &Content, signature: &Signature) -> Result<(), ModelError> {
    let key = signature.key.escape_debug();
    let Some(subgraph) = content.subgraphs.get(signature.subgraph) else {
        bail!(
            Index,
            "signature \"{key}\" runs subgraph {} of {}; export the model again",
            signature.subgraph,
            content.subgraphs.len()
        );
    };
    for (name, tensor) in signature.inputs.iter().chain(&signature.outputs) {
        if *tensor >= subgraph.tensors.len() {
            bail!(
                Index,
                "signature \"{key}\" gives \"{}\" tensor {tensor} of {}; export the model again",
                name.escape_debug(),
                subgraph.tensors.len()
            );
        }
    }
    Ok(())
}
