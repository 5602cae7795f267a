//! Rewrites of a graph that hold for any input shapes: inlining of calls, folding of constants, fusing of activations, removal of dead nodes.

use std::sync::Arc;

use ferrolite_kernels::isa::Cpu;
use ferrolite_model::{BuiltinOperator, OpCode, Operator, TensorType};
use ferrolite_ops::eval::{Argument, Detached, evaluate};
use ferrolite_ops::{LowerCx, PackCache, Shape};

use crate::graph::{Content, Graph};
use crate::inline::inline_calls;

/// Folding may not blow a model up: results beyond this many bytes are folded only if they stay near their operands' size.
const SMALL_RESULT: usize = 64 << 10;

/// Applies all rewrites; with `preserve_all` only those that keep every tensor of the file computed.
pub fn rewrite(graph: &mut Graph, cpu: Cpu, preserve_all: bool) {
    if !preserve_all {
        inline_calls(graph);
    }
    fold_constants(graph, cpu);
    if !preserve_all {
        fuse_activations(graph);
    }
    drop_dead_nodes(graph);
}

/// Runs every operator whose inputs all are constants, once and for all.
fn fold_constants(graph: &mut Graph, cpu: Cpu) {
    // Weights packed for a fold are used once; they are not kept.
    let packs = PackCache::default();
    let cx = LowerCx { cpu, threads: 1, activation: None, packs: &packs };
    for n in 0..graph.nodes.len() {
        let node = &graph.nodes[n];
        let all_constant = node.inputs.iter().flatten().all(|&t| graph.constant(t).is_some());
        if node.spec.traits.stateful || node.spec.has_states() || node.inputs.is_empty() || !all_constant {
            continue;
        }
        let arguments: Vec<Argument<'_>> =
            node.inputs.iter().map(|t| t.map(|t| (&graph.tensors[t].info, graph.constant(t)))).collect();
        let outputs: Vec<_> = node.outputs.iter().map(|&t| graph.tensors[t].info.clone()).collect();
        let budget =
            SMALL_RESULT + 4 * arguments.iter().flatten().filter_map(|a| a.1).map(<[u8]>::len).sum::<usize>();
        let declared: usize = outputs.iter().map(|o| o.byte_len().unwrap_or(usize::MAX)).sum();
        if declared > budget {
            continue;
        }
        let result = evaluate(
            &node.spec,
            graph.operator(node),
            &arguments,
            &outputs,
            &node.intermediates,
            &mut [],
            &cx,
            &mut Detached::default(),
        );
        // An operator that fails on its constants is left in place: planning reports it with its place.
        if let Ok(values) = result {
            let outputs = node.outputs.clone();
            for (t, value) in outputs.into_iter().zip(values) {
                graph.tensors[t].info.shape = Shape::new(value.shape());
                graph.tensors[t].content = Content::Folded(Arc::new(value));
            }
            graph.nodes[n].outputs.clear();
        }
    }
    graph.nodes.retain(|node| !node.outputs.is_empty() || node.spec.traits.stateful);
}

/// Lets float operators with an epilogue apply the activation that alone reads their output.
fn fuse_activations(graph: &mut Graph) {
    let mut consumers = vec![0usize; graph.tensors.len()];
    for &t in graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&graph.outputs) {
        consumers[t] += 1;
    }
    let mut producer = vec![None; graph.tensors.len()];
    for n in 0..graph.nodes.len() {
        let node = &graph.nodes[n];
        if let (Some(activation), [Some(input)], [output]) =
            (fusible_activation(graph, n), node.inputs.as_slice(), node.outputs.as_slice())
        {
            let (input, output) = (*input, *output);
            if let Some(p) = producer[input].filter(|_| consumers[input] == 1) {
                let target: &mut crate::graph::GraphNode = &mut graph.nodes[p];
                target.activation = Some(activation);
                target.outputs[0] = output;
                graph.nodes[n].outputs.clear();
                graph.nodes[n].inputs.clear();
                // A second activation behind the first one stays an operator of its own.
                continue;
            }
        }
        let node = &graph.nodes[n];
        if node.spec.traits.epilogue
            && node.activation.is_none()
            && node.outputs.len() == 1
            // Quantized and hybrid forms keep the arithmetic of separate operators.
            && node.inputs.iter().flatten().chain(&node.outputs).all(|&t| graph.tensors[t].info.dtype == TensorType::Float32)
            && !has_fused_activation(graph.operator(node))
        {
            producer[node.outputs[0]] = Some(n);
        }
    }
    graph.nodes.retain(|node| !node.outputs.is_empty() || node.spec.traits.stateful);
}

fn fusible_activation(graph: &Graph, n: usize) -> Option<BuiltinOperator> {
    const FUSIBLE: [BuiltinOperator; 5] = [
        BuiltinOperator::RELU,
        BuiltinOperator::RELU6,
        BuiltinOperator::RELU_N1_TO_1,
        BuiltinOperator::RELU_0_TO_1,
        BuiltinOperator::HARD_SWISH,
    ];
    match graph.operator(&graph.nodes[n]).code {
        OpCode::Builtin(op) if FUSIBLE.contains(&op) => Some(op),
        _ => None,
    }
}

/// Whether the operator's own options already name an activation.
fn has_fused_activation(operator: &Operator) -> bool {
    use ferrolite_model::options::{
        ActivationFunctionType, Conv2DOptionsT, DepthwiseConv2DOptionsT, FullyConnectedOptionsT,
        TransposeConvOptionsT,
    };
    let activation = None
        .or_else(|| operator.options::<Conv2DOptionsT>().map(|o| o.fused_activation_function))
        .or_else(|| operator.options::<DepthwiseConv2DOptionsT>().map(|o| o.fused_activation_function))
        .or_else(|| operator.options::<FullyConnectedOptionsT>().map(|o| o.fused_activation_function))
        .or_else(|| operator.options::<TransposeConvOptionsT>().map(|o| o.fused_activation_function));
    activation.is_some_and(|a| a != ActivationFunctionType::NONE)
}

/// Removes nodes whose outputs nobody reads.
fn drop_dead_nodes(graph: &mut Graph) {
    let mut live = vec![false; graph.tensors.len()];
    for &t in &graph.outputs {
        live[t] = true;
    }
    let mut keep = vec![false; graph.nodes.len()];
    for (n, node) in graph.nodes.iter().enumerate().rev() {
        let has_effect = node.spec.traits.stateful || node.spec.has_states();
        if has_effect || node.outputs.iter().any(|&t| live[t]) {
            keep[n] = true;
            for &t in node.inputs.iter().flatten() {
                live[t] = true;
            }
        }
    }
    let mut keep = keep.into_iter();
    graph.nodes.retain(|_| keep.next().unwrap_or(true));
}
