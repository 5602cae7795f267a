//! Transpositions that a matrix product leaves out by reading and writing where they would have moved from and to.

use ferrolite_model::{BuiltinOperator, OpCode, TensorType};
use ferrolite_ops::{Shape, Views};

use crate::graph::{Content, Graph};
use crate::infer::Inferred;
use crate::uses::Uses;

/// The transpositions around a product.
#[derive(Clone, Debug)]
pub(crate) struct Turned {
    /// Their nodes.
    pub nodes: Vec<usize>,
    /// The tensors that the product reads and writes.
    pub inputs: [usize; 2],
    /// See `inputs`.
    pub output: usize,
    /// How they lie.
    pub views: Views,
}

/// For each node of the graph the transpositions that it leaves out, if it is a product of float matrices. `order_of` gives
/// the order that a TRANSPOSE puts dimensions in, if it is known.
pub(crate) fn turned(
    graph: &Graph,
    inferred: &Inferred,
    pinned: &[bool],
    order_of: impl Fn(usize) -> Option<Vec<usize>>,
) -> Vec<Option<Turned>> {
    let finder = Finder { graph, inferred, pinned, uses: Uses::new(graph, inferred) };
    let mut found = vec![None; graph.nodes.len()];
    for &n in &inferred.nodes {
        found[n] = finder.around(n, &order_of);
    }
    found
}

struct Finder<'a> {
    graph: &'a Graph,
    inferred: &'a Inferred,
    pinned: &'a [bool],
    uses: Uses,
}

impl Finder<'_> {
    fn around(&self, n: usize, order_of: &impl Fn(usize) -> Option<Vec<usize>>) -> Option<Turned> {
        let node = &self.graph.nodes[n];
        let (&[Some(a), Some(b)], &[output]) = (node.inputs.as_slice(), node.outputs.as_slice()) else {
            return None;
        };
        let floats = [a, b, output].iter().all(|&t| self.shape(t).is_some());
        if !self.is(n, BuiltinOperator::BATCH_MATMUL) || node.activation.is_some() || !floats {
            return None;
        }
        let mut turned = Turned { nodes: Vec::new(), inputs: [a, b], output, views: Views::default() };
        for (i, t) in [a, b].into_iter().enumerate() {
            let before =
                self.uses.writer[t].filter(|&w| self.is(w, BuiltinOperator::TRANSPOSE) && self.between(t));
            let Some(before) = before else { continue };
            let from = self.graph.nodes[before].inputs.first().copied().flatten();
            let view = from.and_then(|from| Views::of_input(self.shape(from)?, &order_of(before)?));
            if let (Some(from), Some(view)) = (from, view) {
                turned.nodes.push(before);
                turned.inputs[i] = from;
                turned.views.inputs[i] = Some(view);
            }
        }
        let behind = self.uses.reader[output].filter(|&r| {
            self.between(output)
                && self.is(r, BuiltinOperator::TRANSPOSE)
                && self.graph.nodes[r].inputs.first() == Some(&Some(output))
        });
        if let Some(behind) = behind
            && let &[to] = self.graph.nodes[behind].outputs.as_slice()
            && let Some(view) =
                self.shape(to).zip(order_of(behind)).and_then(|(to, order)| Views::of_output(to, &order))
        {
            turned.nodes.push(behind);
            turned.output = to;
            turned.views.output = Some(view);
        }
        (!turned.nodes.is_empty()).then_some(turned)
    }

    fn is(&self, n: usize, operator: BuiltinOperator) -> bool {
        self.graph.operator(&self.graph.nodes[n]).code == OpCode::Builtin(operator)
    }

    /// Whether the tensor has one reader and no other use.
    fn between(&self, t: usize) -> bool {
        self.uses.readers[t] == 1 && !self.pinned[t]
    }

    /// The planned shape of a tensor of floats that is no variable and has elements.
    fn shape(&self, t: usize) -> Option<&Shape> {
        let tensor = &self.graph.tensors[t];
        let plain = tensor.info.dtype == TensorType::Float32 && !matches!(tensor.content, Content::Variable);
        let shape = &self.inferred.infos[t].as_ref()?.shape;
        (plain && !self.inferred.dynamic[t] && shape.num_elements().is_ok_and(|n| n > 0)).then_some(shape)
    }
}
