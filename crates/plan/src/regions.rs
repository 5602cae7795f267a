//! What an operator learns of the subgraphs that it names: their content, and the shapes they return.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use ferrolite_kernels::isa::Cpu;
use ferrolite_model::Subgraph;
use ferrolite_ops::{Regions, Shape, TensorInfo};

use crate::graph::Graph;
use crate::infer::infer_shapes;

/// Inferences of subgraphs that planning one segment may take. Subgraphs that call others twice each could otherwise
/// keep planning busy for as long as they nest.
const MAX_INFERENCES: usize = 256;

/// A subgraph's inputs as the shapes it returns depend on them.
type Call = (usize, Vec<Shape>);

/// What was found out while a segment is planned.
#[derive(Default)]
pub(crate) struct Memo {
    graphs: RefCell<HashMap<usize, Option<Arc<Graph>>>>,
    shapes: RefCell<HashMap<Call, Option<Vec<Shape>>>>,
}

/// The subgraphs of a graph's model.
pub(crate) struct GraphRegions<'a> {
    pub graph: &'a Graph,
    pub memo: &'a Memo,
    pub cpu: Cpu,
}

impl fmt::Debug for GraphRegions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GraphRegions({} subgraphs)", self.graph.model.subgraphs().len())
    }
}

impl GraphRegions<'_> {
    fn graph(&self, index: usize) -> Option<Arc<Graph>> {
        let make = || Graph::new(&self.graph.model, index, &self.graph.registry).ok().map(Arc::new);
        self.memo.graphs.borrow_mut().entry(index).or_insert_with(make).clone()
    }
}

impl Regions for GraphRegions<'_> {
    fn subgraph(&self, index: usize) -> Option<&Subgraph> {
        self.graph.model.subgraph(index)
    }

    fn constant(&self, index: usize, tensor: usize) -> Option<&[u8]> {
        let model = &self.graph.model;
        model.tensor_data(model.subgraph(index)?.tensors.get(tensor)?)
    }

    fn output_shapes(&self, index: usize, inputs: &[&TensorInfo]) -> Option<Vec<Shape>> {
        let graph = self.graph(index)?;
        let dtypes = graph.inputs.iter().map(|&t| graph.tensors[t].info.dtype);
        if !dtypes.eq(inputs.iter().map(|i| i.dtype)) {
            return None;
        }
        let key: Call = (index, inputs.iter().map(|i| i.shape.clone()).collect());
        if let Some(known) = self.memo.shapes.borrow().get(&key) {
            return known.clone();
        }
        if self.memo.shapes.borrow().len() >= MAX_INFERENCES {
            return None;
        }
        // Counts before it is worked out, so that nested calls count too.
        self.memo.shapes.borrow_mut().insert(key.clone(), None);
        let shapes = infer_shapes(&graph, &key.1, self.memo, self.cpu);
        self.memo.shapes.borrow_mut().insert(key, shapes.clone());
        shapes
    }
}
