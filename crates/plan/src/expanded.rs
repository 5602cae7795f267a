//! Depthwise convolutions computed together with the pointwise ones whose results they alone read, while these are in the
//! second cache.

use ferrolite_model::{BuiltinOperator, OpCode};

use crate::graph::{Content, Graph};
use crate::infer::Inferred;
use crate::residual::Residual;
use crate::uses::Uses;

/// For each node of the graph the depthwise convolution that it takes over, if it is a pointwise convolution that adds nothing
/// and `pays` says so of the two: that depends on shapes, which are known by now.
pub(crate) fn expanded(
    graph: &Graph,
    inferred: &Inferred,
    pinned: &[bool],
    residuals: &[Option<Residual>],
    pays: impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let Uses { reader, readers, .. } = Uses::new(graph, inferred);
    let is = |n: usize, code| graph.operator(&graph.nodes[n]).code == OpCode::Builtin(code);
    let computed = |t: usize| !inferred.dynamic[t] && !matches!(graph.tensors[t].content, Content::Variable);
    let mut found = vec![None; graph.nodes.len()];
    for &n in inferred.nodes.iter().filter(|&&n| residuals[n].is_none()) {
        let node = &graph.nodes[n];
        let (&[Some(image), ..], &[between]) = (node.inputs.as_slice(), node.outputs.as_slice()) else {
            continue;
        };
        let depthwise = reader[between].filter(|&r| {
            is(r, BuiltinOperator::DEPTHWISE_CONV_2D)
                && graph.nodes[r].inputs.first() == Some(&Some(between))
                && graph.nodes[r].outputs.iter().all(|&t| !inferred.dynamic[t])
        });
        let alone = readers[between] == 1 && !pinned[between] && computed(between) && computed(image);
        if is(n, BuiltinOperator::CONV_2D) && alone {
            found[n] = depthwise.filter(|&r| pays(n, r));
        }
    }
    found
}
