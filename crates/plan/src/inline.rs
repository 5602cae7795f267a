//! Putting the operators of a called subgraph in place of the call, so that they are planned with their surroundings.

use std::collections::HashMap;

use ferrolite_model::options::{CallOptionsT, StableHLOCompositeOptionsT};
use ferrolite_model::{BuiltinOperator, OpCode};

use crate::graph::{Content, Graph, GraphNode};

/// A graph grows by this many operators at most; further calls stay calls. Subgraphs that call others twice each would
/// otherwise double with every level.
const MAX_NODES: usize = 1 << 12;
/// Likewise for its tensors.
const MAX_TENSORS: usize = 1 << 16;

/// Inlines STABLEHLO_COMPOSITE and CALL, also those of subgraphs that were inlined before.
pub(crate) fn inline_calls(graph: &mut Graph) {
    if !graph.nodes.iter().any(|node| callee(graph, node).is_some()) {
        return;
    }
    let most = (graph.nodes.len() + MAX_NODES, graph.tensors.len() + MAX_TENSORS);
    let mut bodies: HashMap<usize, Option<Graph>> = HashMap::new();
    // What is still to be looked at, last first: what a call is replaced with may hold calls itself.
    let mut rest: Vec<GraphNode> = core::mem::take(&mut graph.nodes);
    rest.reverse();
    while let Some(node) = rest.pop() {
        let body = callee(graph, &node).and_then(|index| {
            let make = || Graph::new(&graph.model, index, &graph.registry).ok();
            bodies.entry(index).or_insert_with(make).as_ref()
        });
        let count = graph.nodes.len() + rest.len();
        match body.filter(|body| {
            count + body.nodes.len() <= most.0
                && graph.tensors.len() + body.tensors.len() <= most.1
                && fits(graph, &node, body)
        }) {
            Some(body) => rest.extend(adopt(graph, &node, body).into_iter().rev()),
            None => graph.nodes.push(node),
        }
    }
}

/// The subgraph that a node does nothing but run.
fn callee(graph: &Graph, node: &GraphNode) -> Option<usize> {
    let operator = graph.operator(node);
    match operator.code {
        OpCode::Builtin(BuiltinOperator::STABLEHLO_COMPOSITE) => {
            let options = operator.options::<StableHLOCompositeOptionsT>()?;
            usize::try_from(options.decomposition_subgraph_index).ok()
        }
        OpCode::Builtin(BuiltinOperator::CALL) => {
            usize::try_from(operator.options::<CallOptionsT>()?.subgraph).ok()
        }
        _ => None,
    }
}

/// Whether the body's inputs and outputs can be the caller's tensors: the same types and quantization, every one a
/// tensor of its own, and no state that another call of the subgraph would share.
fn fits(graph: &Graph, node: &GraphNode, body: &Graph) -> bool {
    let same = |ours: usize, theirs: usize| {
        let (ours, theirs) = (&graph.tensors[ours].info, &body.tensors[theirs].info);
        ours.dtype == theirs.dtype && ours.quantization == theirs.quantization
    };
    let distinct = |tensors: &[usize]| (1..tensors.len()).all(|i| !tensors[..i].contains(&tensors[i]));
    let computed = |t: &usize| matches!(body.tensors[*t].content, Content::Computed);
    let stateless = !body.tensors.iter().any(|t| matches!(t.content, Content::Variable));
    stateless
        && node.inputs.len() == body.inputs.len()
        && node.outputs.len() == body.outputs.len()
        && distinct(&body.inputs)
        && distinct(&body.outputs)
        && body.inputs.iter().chain(&body.outputs).all(computed)
        && !body.outputs.iter().any(|t| body.inputs.contains(t))
        && node.inputs.iter().zip(&body.inputs).all(|(ours, &theirs)| ours.is_some_and(|t| same(t, theirs)))
        && node.outputs.iter().zip(&body.outputs).all(|(&ours, &theirs)| same(ours, theirs))
}

/// The body's nodes over the caller's tensors, to which the body's own are added.
fn adopt(graph: &mut Graph, node: &GraphNode, body: &Graph) -> Vec<GraphNode> {
    let mut place: Vec<Option<usize>> = vec![None; body.tensors.len()];
    for (&theirs, &ours) in body.inputs.iter().zip(&node.inputs) {
        place[theirs] = ours;
    }
    for (&theirs, &ours) in body.outputs.iter().zip(&node.outputs) {
        place[theirs] = Some(ours);
        // Operators whose options name no shape give the one that the file declares for their output.
        let declared = &body.tensors[theirs].info;
        let info = &mut graph.tensors[ours].info;
        info.shape = declared.shape.clone();
        info.open_shape = declared.open_shape;
    }
    let mut moved: Vec<usize> = Vec::with_capacity(body.tensors.len());
    for (place, tensor) in place.into_iter().zip(&body.tensors) {
        moved.push(place.unwrap_or_else(|| {
            graph.tensors.push(tensor.clone());
            graph.tensors.len() - 1
        }));
    }
    let mut nodes = body.nodes.clone();
    for node in &mut nodes {
        node.inputs.iter_mut().flatten().for_each(|t| *t = moved[*t]);
        node.outputs.iter_mut().for_each(|t| *t = moved[*t]);
    }
    nodes
}
