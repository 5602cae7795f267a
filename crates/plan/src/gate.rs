//! Gates of images, such as squeeze-and-excitation has, that the product behind them multiplies by while it reads the image.

use ferrolite_model::options::{ActivationFunctionType, Conv2DOptionsT, MulOptionsT};
use ferrolite_model::{BuiltinOperator, OpCode};
use ferrolite_ops::GATE;

use crate::graph::{Content, Graph};
use crate::infer::Inferred;
use crate::residual::{has_constant_weights, is_float};
use crate::uses::Uses;

/// A multiplication that a product takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    /// The node of the multiplication.
    pub node: usize,
    /// The tensor that the product reads in place of the multiplication's result.
    pub image: usize,
    /// The tensor that has a value for each channel, of one image or of all.
    pub values: usize,
}

/// For each node of the graph the multiplication before it that it takes over, if it is a product that can.
pub(crate) fn gates(graph: &Graph, inferred: &Inferred, pinned: &[bool]) -> Vec<Option<Gate>> {
    let finder = Finder { graph, inferred, pinned, uses: Uses::new(graph, inferred) };
    let mut found = vec![None; graph.nodes.len()];
    for &n in &inferred.nodes {
        found[n] = finder.before(n);
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
    /// The gate before a product.
    fn before(&self, n: usize) -> Option<Gate> {
        let gated = self.graph.nodes[n].inputs.first().copied().flatten()?;
        let alone = self.uses.readers[gated] == 1 && !self.pinned[gated];
        let node = self.uses.writer[gated].filter(|_| alone && self.takes_gate(n))?;
        let &[Some(a), Some(b)] = self.factors(node)? else { return None };
        let of = |image, values| {
            let gate = Gate { node, image, values };
            (self.spreads(gate, gated) && !self.chained(image)).then_some(gate)
        };
        of(a, b).or_else(|| of(b, a))
    }

    /// Whether a node is a convolution of floats with constant weights whose windows are the pixels of its input.
    fn takes_gate(&self, n: usize) -> bool {
        let node = &self.graph.nodes[n];
        let operator = self.graph.operator(node);
        let steps = operator.options::<Conv2DOptionsT>().map(|o| [o.stride_h, o.stride_w]);
        let filter = node.inputs.get(1).copied().flatten().and_then(|t| self.inferred.infos[t].as_ref());
        operator.code == OpCode::Builtin(BuiltinOperator::CONV_2D)
            && steps == Some([1, 1])
            && filter.is_some_and(|filter| matches!(*filter.shape, [_, 1, 1, _]))
            && node.inputs.len() <= GATE
            && has_constant_weights(self.graph, node)
    }

    /// What a multiplication of floats without an activation multiplies.
    fn factors(&self, n: usize) -> Option<&[Option<usize>]> {
        let node = &self.graph.nodes[n];
        let operator = self.graph.operator(node);
        let plain = operator
            .options::<MulOptionsT>()
            .is_none_or(|o| o.fused_activation_function == ActivationFunctionType::NONE);
        let floats = node.inputs.iter().flatten().chain(&node.outputs).all(|&t| is_float(self.graph, t));
        let is = operator.code == OpCode::Builtin(BuiltinOperator::MUL);
        (is && plain && floats && node.activation.is_none()).then_some(&node.inputs)
    }

    /// Whether a gate has values for the channels alone of an image that has more than a pixel, or for those of each image.
    fn spreads(&self, gate: Gate, gated: usize) -> bool {
        // What is read later than the multiplication would must still be there.
        let lasting = |t: usize| {
            !self.inferred.dynamic[t] && !matches!(self.graph.tensors[t].content, Content::Variable)
        };
        let shape = |t: usize| self.inferred.infos[t].as_ref().map(|info| &*info.shape);
        let (Some(image), Some(values)) = (shape(gate.image), shape(gate.values)) else { return false };
        let &[batch, height, width, channels] = image else { return false };
        let Some((&last, others)) = values.split_last() else { return false };
        let of_all = others.iter().all(|&len| len == 1);
        let of_each = *values == [batch, 1, 1, channels];
        lasting(gate.image)
            && lasting(gate.values)
            && shape(gated) == Some(image)
            && last == channels
            && others.len() < image.len()
            && (of_all || of_each)
            && height.saturating_mul(width) > 1
    }

    /// Whether an image comes out of a chain of functions of single elements which alone has a use for it: there the
    /// multiplication costs nothing.
    fn chained(&self, image: usize) -> bool {
        let function = |w: usize| {
            let node = &self.graph.nodes[w];
            node.spec.chain.is_some() && node.activation.is_none()
        };
        self.uses.readers[image] == 1 && self.uses.writer[image].is_some_and(function)
    }
}
