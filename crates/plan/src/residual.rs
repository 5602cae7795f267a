//! Sums that the product before them computes along, while its results are in registers.

use ferrolite_model::options::{ActivationFunctionType, AddOptionsT};
use ferrolite_model::{BuiltinOperator, OpCode, TensorType};
use ferrolite_ops::{ADDEND, Fused};

use crate::graph::{Content, Graph, GraphNode};
use crate::infer::Inferred;
use crate::rewrite::has_fused_activation;
use crate::uses::Uses;

/// An addition that a product takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Residual {
    /// The node of the addition.
    pub sum: usize,
    /// The tensor that is added to the product's results.
    pub addend: usize,
    /// What follows the addition.
    pub activation: Option<Fused>,
}

/// For each node of the graph the addition that it takes over, if it is a product that can: of two products that meet
/// in a sum it is the later one. Shapes are known by now, so nothing is broadcast here.
pub(crate) fn residuals(graph: &Graph, inferred: &Inferred, pinned: &[bool]) -> Vec<Option<Residual>> {
    let Uses { writer, readers, .. } = Uses::new(graph, inferred);
    let mut found = vec![None; graph.nodes.len()];
    for &n in &inferred.nodes {
        let node = &graph.nodes[n];
        if let (Some(activation), &[Some(a), Some(b)], &[out]) =
            (plain_sum(graph, n), node.inputs.as_slice(), node.outputs.as_slice())
        {
            let shape = |t: usize| inferred.infos[t].as_ref().map(|info| &info.shape);
            let later = |value: usize, addend: usize| {
                let p = writer[value].filter(|&p| takes_residual(graph, p))?;
                // Nodes run in the order of their indices.
                let ready = writer[addend].is_none_or(|w| w < p)
                    && !matches!(graph.tensors[addend].content, Content::Variable);
                let alone = readers[value] == 1 && !pinned[value];
                let alike = shape(value) == shape(out) && shape(addend) == shape(out);
                (ready && alone && alike && value != addend && !inferred.dynamic[out])
                    .then_some((p, Residual { sum: n, addend, activation }))
            };
            if let Some((p, residual)) = later(a, b).or_else(|| later(b, a)) {
                found[p] = Some(residual);
            }
        }
    }
    found
}

/// What follows an addition of floats, if the epilogue of a product has it; `None` if the node is something else.
fn plain_sum(graph: &Graph, n: usize) -> Option<Option<Fused>> {
    let node = &graph.nodes[n];
    let operator = graph.operator(node);
    let floats = node.inputs.iter().flatten().chain(&node.outputs).all(|&t| is_float(graph, t));
    if operator.code != OpCode::Builtin(BuiltinOperator::ADD) || node.activation.is_some() || !floats {
        return None;
    }
    let options = operator.options::<AddOptionsT>();
    match options.map_or(ActivationFunctionType::NONE, |o| o.fused_activation_function) {
        ActivationFunctionType::NONE => Some(None),
        ActivationFunctionType::RELU => Some(Some(Fused::Operator(BuiltinOperator::RELU))),
        ActivationFunctionType::RELU6 => Some(Some(Fused::Operator(BuiltinOperator::RELU6))),
        ActivationFunctionType::RELU_N1_TO_1 => Some(Some(Fused::Operator(BuiltinOperator::RELU_N1_TO_1))),
        _ => None,
    }
}

/// Whether the node is a product of floats with constant weights and nothing behind it.
fn takes_residual(graph: &Graph, n: usize) -> bool {
    let node = &graph.nodes[n];
    let operator = graph.operator(node);
    let product = matches!(
        operator.code,
        OpCode::Builtin(
            BuiltinOperator::CONV_2D | BuiltinOperator::DEPTHWISE_CONV_2D | BuiltinOperator::FULLY_CONNECTED
        )
    );
    product
        && node.activation.is_none()
        && !has_fused_activation(operator)
        && node.inputs.len() <= ADDEND
        && has_constant_weights(graph, node)
}

/// Whether all that a product reads and writes are floats, and all but its first operand are constants.
pub(crate) fn has_constant_weights(graph: &Graph, node: &GraphNode) -> bool {
    node.inputs.iter().flatten().chain(&node.outputs).all(|&t| is_float(graph, t))
        && node
            .inputs
            .iter()
            .skip(1)
            .flatten()
            .all(|&t| graph.constant(t).or_else(|| graph.half(t)).is_some())
}

pub(crate) fn is_float(graph: &Graph, t: usize) -> bool {
    graph.tensors[t].info.dtype == TensorType::Float32
}
