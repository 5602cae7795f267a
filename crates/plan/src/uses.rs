//! Who writes and who reads a tensor.

use crate::graph::Graph;
use crate::infer::Inferred;

/// For every tensor, indexed by it.
pub(crate) struct Uses {
    /// The node of the segment that writes it.
    pub writer: Vec<Option<usize>>,
    /// The last node of the segment that reads it.
    pub reader: Vec<Option<usize>>,
    /// How often nodes of the graph read it, and whether the graph returns it.
    pub readers: Vec<usize>,
}

impl Uses {
    pub fn new(graph: &Graph, inferred: &Inferred) -> Self {
        let count = graph.tensors.len();
        let mut uses = Self { writer: vec![None; count], reader: vec![None; count], readers: vec![0; count] };
        for &t in graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&graph.outputs) {
            uses.readers[t] += 1;
        }
        for &n in &inferred.nodes {
            graph.nodes[n].inputs.iter().flatten().for_each(|&t| uses.reader[t] = Some(n));
            graph.nodes[n].outputs.iter().for_each(|&t| uses.writer[t] = Some(n));
        }
        uses
    }
}
