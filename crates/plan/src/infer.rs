//! First pass of planning: shapes of all tensors, constants that follow from shapes, and where the segment must end.

use std::sync::Arc;

use ferrolite_kernels::isa::Cpu;
use ferrolite_model::TensorType;
use ferrolite_ops::eval::{Argument, Detached, evaluate};
use ferrolite_ops::{
    InferError, LowerCx, Node, Operand, OutputShape, PackCache, Shape, TensorInfo, TensorValue,
};

use crate::error::{Error, ErrorKind};
use crate::graph::{Content, Graph, GraphNode};
use crate::regions::{GraphRegions, Memo};

/// What the first pass finds.
pub(crate) struct Inferred {
    /// One past the last node of the segment.
    pub end: usize,
    /// Info of every tensor that is known by now.
    pub infos: Vec<Option<TensorInfo>>,
    /// For each tensor, the constant computed for it.
    pub folded: Vec<Option<Arc<TensorValue>>>,
    /// Nodes that still are to be run, in order.
    pub nodes: Vec<usize>,
    /// Tensors whose shape the kernel of their node gives.
    pub dynamic: Vec<bool>,
    /// Contents of slots that shapes depend on.
    pub value_deps: Vec<(usize, TensorValue)>,
}

/// What is known when a segment starts.
pub struct Known<'a> {
    /// The interpreter's slots; those of graph inputs, variables and tensors computed by earlier segments are meaningful.
    pub slots: &'a [TensorValue],
    /// Whether slots hold content that shapes may be derived from: true only once the caller has set the inputs.
    pub contents: bool,
}

struct Walk<'a> {
    graph: &'a Graph,
    /// `None` where nothing but the shapes of the inputs is known.
    known: Option<&'a Known<'a>>,
    regions: GraphRegions<'a>,
    cpu: Cpu,
    /// Whether the inputs have the shapes that the file declares, so that those it declares for others hold too.
    as_exported: bool,
    out: Inferred,
    /// Slots with content that has been asked for.
    asked: Vec<bool>,
    /// Tensors written by this segment.
    written: Vec<bool>,
}

/// Infers from node `start` on.
///
/// # Errors
/// Those of shape functions, with the operator's place.
pub(crate) fn infer(
    graph: &Graph,
    start: usize,
    known: &Known<'_>,
    memo: &Memo,
    cpu: Cpu,
) -> Result<Inferred, Error> {
    let computed = graph.nodes[..start].iter().flat_map(|n| &n.outputs);
    let given = graph.inputs.iter().chain(computed).map(|&t| (t, known.slots[t].shape()));
    walk(graph, start, initial_infos(graph, given), Some(known), memo, cpu)
}

/// The shapes of a graph's outputs for inputs of these shapes; `None` where they depend on more or are contradictory.
pub(crate) fn infer_shapes(graph: &Graph, inputs: &[Shape], memo: &Memo, cpu: Cpu) -> Option<Vec<Shape>> {
    let given = graph.inputs.iter().copied().zip(inputs);
    let inferred = walk(graph, 0, initial_infos(graph, given), None, memo, cpu).ok()?;
    if inferred.end < graph.nodes.len() {
        return None;
    }
    let shape = |&t: &usize| {
        let info = inferred.infos[t].as_ref().filter(|_| !inferred.dynamic[t])?;
        Some(info.shape.clone())
    };
    graph.outputs.iter().map(shape).collect()
}

fn walk(
    graph: &Graph,
    start: usize,
    infos: Vec<Option<TensorInfo>>,
    known: Option<&Known<'_>>,
    memo: &Memo,
    cpu: Cpu,
) -> Result<Inferred, Error> {
    let count = graph.tensors.len();
    let as_exported = graph.inputs.iter().all(|&t| {
        let declared = &graph.tensors[t].info;
        declared.open_shape || infos[t].as_ref().is_some_and(|info| info.shape == declared.shape)
    });
    let mut walk = Walk {
        graph,
        known,
        regions: GraphRegions { graph, memo, cpu },
        cpu,
        as_exported,
        out: Inferred {
            end: graph.nodes.len(),
            infos,
            folded: vec![None; count],
            nodes: Vec::new(),
            dynamic: vec![false; count],
            value_deps: Vec::new(),
        },
        asked: vec![false; count],
        written: vec![false; count],
    };
    for n in start..graph.nodes.len() {
        match walk.node(n)? {
            Flow::Continue => {}
            Flow::EndBefore => {
                walk.out.end = n;
                break;
            }
            Flow::EndAfter => {
                walk.out.end = n + 1;
                break;
            }
        }
    }
    Ok(walk.out)
}

enum Flow {
    Continue,
    EndBefore,
    EndAfter,
}

/// Infos of constants, variables, and the tensors whose shapes are given: graph inputs and everything earlier segments
/// computed.
fn initial_infos<'a>(
    graph: &Graph,
    given: impl Iterator<Item = (usize, &'a Shape)>,
) -> Vec<Option<TensorInfo>> {
    let mut infos: Vec<Option<TensorInfo>> = graph
        .tensors
        .iter()
        .map(|t| match t.content {
            Content::Computed => None,
            Content::Constant | Content::Folded(_) | Content::Half(_) | Content::Variable => {
                Some(t.info.clone())
            }
        })
        .collect();
    for (t, shape) in given {
        infos[t] = Some(TensorInfo { shape: shape.clone(), ..graph.tensors[t].info.clone() });
    }
    infos
}

impl Walk<'_> {
    fn node(&mut self, n: usize) -> Result<Flow, Error> {
        let node = &self.graph.nodes[n];
        let locate = |e: Error| self.graph.locate(node, e);
        // Tensors that a folded-away or earlier dynamic node leaves without info cannot be met: graphs are verified to be
        // in execution order.
        for &t in node.inputs.iter().flatten() {
            if self.out.infos[t].is_none() {
                return Err(locate(Error::new(
                    ErrorKind::BadModel,
                    format!("input '{}' is used before it is computed", self.graph.tensors[t].info.name),
                )));
            }
        }
        let shapes = loop {
            let operands = self.operands(node);
            let declared: Vec<TensorInfo> =
                node.outputs.iter().map(|&t| self.graph.tensors[t].info.clone()).collect();
            let view = Node {
                operator: self.graph.operator(node),
                inputs: &operands,
                outputs: &declared,
                intermediates: &node.intermediates,
                regions: &self.regions,
            };
            node.spec.check(&view).map_err(|e| locate(e.into()))?;
            match (node.spec.infer)(&view) {
                Ok(shapes) => break shapes,
                Err(InferError::Op(e)) => return Err(locate(e.into())),
                Err(InferError::NeedsValue(i)) => {
                    let tensor = node.inputs.get(i).copied().flatten();
                    if !self.ask(tensor) {
                        return Ok(Flow::EndBefore);
                    }
                }
            }
        };
        if shapes.len() != node.outputs.len() {
            return Err(locate(Error::new(
                ErrorKind::BadModel,
                format!("the operator gives {} outputs, the file lists {}", shapes.len(), node.outputs.len()),
            )));
        }
        let mut flow = Flow::Continue;
        for (&t, shape) in node.outputs.iter().zip(shapes) {
            let mut info = self.graph.tensors[t].info.clone();
            match shape {
                OutputShape::Known(shape) => info.shape = shape,
                OutputShape::Declared if self.as_exported && !info.open_shape => {}
                OutputShape::Dynamic | OutputShape::Declared => {
                    self.out.dynamic[t] = true;
                    flow = Flow::EndAfter;
                }
            }
            info.least_len().map_err(|e| locate(e.into()))?;
            self.out.infos[t] = Some(info);
            self.written[t] = true;
        }
        if !self.fold(node)? {
            self.out.nodes.push(n);
        }
        Ok(flow)
    }

    fn operands(&self, node: &GraphNode) -> Vec<Option<Operand<'_>>> {
        node.inputs
            .iter()
            .map(|t| {
                t.and_then(|t| {
                    let info = self.out.infos[t].as_ref()?;
                    Some(Operand {
                        info,
                        value: self.value(t),
                        half: self.graph.half(t),
                        source: self.graph.source(t),
                    })
                })
            })
            .collect()
    }

    fn value(&self, t: usize) -> Option<&[u8]> {
        if let Some(value) = &self.out.folded[t] {
            return Some(value.bytes());
        }
        if let Some(known) = self.known.filter(|_| self.asked[t]) {
            return Some(known.slots[t].bytes());
        }
        self.graph.constant(t)
    }

    /// Makes the content of a slot count as known; false when it is not to be had before the segment runs.
    fn ask(&mut self, tensor: Option<usize>) -> bool {
        let (Some(t), Some(known)) = (tensor, self.known) else { return false };
        let variable = matches!(self.graph.tensors[t].content, Content::Variable);
        if !known.contents || self.written[t] || self.asked[t] || variable {
            return false;
        }
        self.asked[t] = true;
        self.out.value_deps.push((t, known.slots[t].clone()));
        true
    }

    /// Computes a node whose outputs follow from constants or from shapes alone.
    fn fold(&mut self, node: &GraphNode) -> Result<bool, Error> {
        let traits = node.spec.traits;
        // Contents that were merely asked for do not count: computing from them belongs to running.
        let constant = |t: &usize| self.out.folded[*t].is_some() || self.graph.constant(*t).is_some();
        let foldable = traits.shape_only
            || (!traits.stateful
                && !node.spec.has_states()
                && !node.inputs.is_empty()
                && node.inputs.iter().flatten().all(constant)
                && node.outputs.iter().all(|&t| self.is_small(t))
                && node
                    .inputs
                    .iter()
                    .flatten()
                    .all(|&t| self.graph.tensors[t].info.dtype != TensorType::Variant));
        if !foldable || node.outputs.iter().any(|&t| self.out.dynamic[t]) {
            return Ok(false);
        }
        let packs = PackCache::default();
        let cx = LowerCx { activation: node.activation, ..LowerCx::alone(self.cpu, &packs) };
        let arguments: Vec<Argument<'_>> = node
            .inputs
            .iter()
            .map(|t| t.and_then(|t| Some((self.out.infos[t].as_ref()?, self.value(t)))))
            .collect();
        let outputs: Vec<TensorInfo> =
            node.outputs.iter().filter_map(|&t| self.out.infos[t].clone()).collect();
        let operator = self.graph.operator(node);
        let values = evaluate(
            &node.spec,
            operator,
            &arguments,
            &outputs,
            &node.intermediates,
            &mut [],
            &cx,
            &mut Detached::default(),
        )
        .map_err(|e| self.graph.locate(node, e))?;
        for (&t, value) in node.outputs.iter().zip(values) {
            self.out.folded[t] = Some(Arc::new(value));
        }
        Ok(true)
    }

    fn is_small(&self, t: usize) -> bool {
        const LIMIT: usize = 64 << 10;
        self.out.infos[t].as_ref().and_then(|i| i.least_len().ok()).is_some_and(|len| len <= LIMIT)
    }
}
