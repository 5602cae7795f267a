//! Which tensors are fixed by the model.

use crate::graph::{Subgraph, Tensor};
use crate::model::Content;

/// Sets [`Tensor::is_constant`]: a tensor is constant if the model has bytes for it, or if it takes none and nothing
/// else provides it. The second kind arises because exporters leave the buffer of an empty constant (the shape of a
/// scalar, say) empty, just as that of a computed tensor.
pub(super) fn mark(content: &mut Content) {
    let Content { subgraphs, buffers, .. } = content;
    let has_bytes = |tensor: &Tensor| {
        let buffer = usize::try_from(tensor.buffer).ok().and_then(|id| buffers.get(id));
        tensor.external_buffer != 0 || buffer.is_some_and(|bytes| !bytes.is_empty())
    };
    for subgraph in subgraphs {
        let provided = provided(subgraph);
        for (tensor, provided) in subgraph.tensors.iter_mut().zip(provided) {
            let empty = tensor.byte_len() == Some(0) && !tensor.is_variable && !provided;
            tensor.is_constant = has_bytes(tensor) || empty;
        }
    }
}

/// For each tensor, whether the caller or an operator provides it.
fn provided(subgraph: &Subgraph) -> Vec<bool> {
    let mut provided = vec![false; subgraph.tensors.len()];
    let outputs = subgraph.operators.iter().flat_map(|operator| &operator.outputs);
    for &tensor in subgraph.inputs.iter().chain(outputs) {
        if let Some(slot) = provided.get_mut(tensor) {
            *slot = true;
        }
    }
    provided
}
