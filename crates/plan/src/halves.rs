//! Constants that the file has in 16-bit floats and widens by a DEQUANTIZE, left as they are where whoever reads them widens
//! what it takes: products while they pack their weights, and lookups the rows that they pick. Widened beforehand weights would
//! be in memory twice, and an embedding table of which a run reads a few rows would be there whole.

use std::sync::Arc;

use ferrolite_model::{BuiltinOperator, OpCode, TensorType};

use crate::graph::{Content, Graph, GraphNode};

/// Where products have their weights.
const WEIGHTS: usize = 1;

/// Leaves constants in 16-bit floats where all their readers can do with them.
pub(crate) fn leave_halves(graph: &mut Graph) {
    let stored: Vec<Option<(usize, usize)>> = (0..graph.nodes.len()).map(|n| stored_half(graph, n)).collect();
    let mut known: Vec<bool> = (0..graph.tensors.len()).map(|t| graph.constant(t).is_some()).collect();
    for &(_, widened) in stored.iter().flatten() {
        known[widened] = true;
    }
    let mut read_otherwise = vec![false; graph.tensors.len()];
    for &t in &graph.outputs {
        read_otherwise[t] = true;
    }
    for node in &graph.nodes {
        let packs =
            node.spec.traits.half_weights && node.inputs.iter().skip(WEIGHTS).flatten().all(|&t| known[t]);
        let table = table(graph, node);
        for (i, t) in node.inputs.iter().enumerate().filter_map(|(i, t)| Some((i, (*t)?))) {
            read_otherwise[t] |= !(packs && i == WEIGHTS) && table != Some(i);
        }
    }
    let mut widening: Vec<Option<GraphNode>> = vec![None; graph.tensors.len()];
    for (n, (stored, widened)) in stored.into_iter().enumerate().filter_map(|(n, s)| Some((n, s?))) {
        if !read_otherwise[widened] {
            graph.tensors[widened].content = Content::Half(stored);
            widening[widened] = Some(graph.nodes[n].clone());
            graph.nodes[n].outputs.clear();
        }
    }
    graph.nodes.retain(|node| !node.outputs.is_empty() || node.spec.traits.stateful);
    widen_rows(graph, &widening);
}

/// The constant that a DEQUANTIZE widens from 16-bit to 32-bit floats, and its output.
fn stored_half(graph: &Graph, n: usize) -> Option<(usize, usize)> {
    let node = &graph.nodes[n];
    let (&[Some(stored)], &[widened]) = (node.inputs.as_slice(), node.outputs.as_slice()) else {
        return None;
    };
    let (from, to) = (&graph.tensors[stored].info, &graph.tensors[widened].info);
    let widens = graph.operator(node).code == OpCode::Builtin(BuiltinOperator::DEQUANTIZE)
        && (from.dtype, to.dtype) == (TensorType::Float16, TensorType::Float32)
        && from.shape == to.shape;
    (widens && graph.constant(stored).is_some()).then_some((stored, widened))
}

/// Which input a lookup picks elements from, if it gives no more of them than that has.
fn table(graph: &Graph, node: &GraphNode) -> Option<usize> {
    let OpCode::Builtin(operator) = graph.operator(node).code else { return None };
    let i = match operator {
        BuiltinOperator::GATHER | BuiltinOperator::GATHER_ND => 0,
        BuiltinOperator::EMBEDDING_LOOKUP => 1,
        _ => return None,
    };
    let (&table, &[output]) = (node.inputs.get(i)?, node.outputs.as_slice()) else { return None };
    let elements = |t: usize| graph.tensors[t].info.shape.num_elements().ok();
    (elements(output)? <= elements(table?)?).then_some(i)
}

/// Has lookups in tables that were left in 16-bit floats pick from those, and what they pick widened by the operator that
/// would have widened the table; `widening` has it for each widened tensor.
fn widen_rows(graph: &mut Graph, widening: &[Option<GraphNode>]) {
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for mut node in core::mem::take(&mut graph.nodes) {
        let found = table(graph, &node).and_then(|i| {
            let widened = node.inputs[i]?;
            let Content::Half(stored) = graph.tensors[widened].content else { return None };
            Some((i, stored, widening[widened].as_ref()?))
        });
        let Some((i, stored, widen)) = found else {
            nodes.push(node);
            continue;
        };
        let rows = node.outputs[0];
        let mut picked = graph.tensors[rows].clone();
        picked.info.dtype = TensorType::Float16;
        picked.info.name = Arc::from(format!("{} in 16 bits", picked.info.name));
        graph.tensors.push(picked);
        let picked = graph.tensors.len() - 1;
        node.inputs[i] = Some(stored);
        node.outputs = vec![picked];
        nodes.push(node);
        nodes.push(GraphNode { inputs: vec![Some(picked)], outputs: vec![rows], ..widen.clone() });
    }
    graph.nodes = nodes;
}
