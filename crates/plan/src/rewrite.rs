//! Rewrites of a graph that hold for any input shapes: inlining of calls, folding of constants, tables for functions of
//! bytes, fusing of activations, removal of dead nodes.

use std::sync::Arc;

use ferrolite_kernels::isa::Cpu;
use ferrolite_model::options::{
    ActivationFunctionType, Conv2DOptionsT, DepthwiseConv2DOptionsT, FullyConnectedOptionsT, GeluOptionsT,
    MulOptionsT, TransposeConvOptionsT,
};
use ferrolite_model::{BuiltinOperator, OpCode, Operator, TensorType};
use ferrolite_ops::eval::{Argument, Detached, evaluate};
use ferrolite_ops::{Fused, LowerCx, PackCache, Shape};

use crate::graph::{Content, Graph};
use crate::halves::leave_halves;
use crate::inline::inline_calls;
use crate::tables::byte_tables;
use crate::variables::forward_variables;

/// Folding may not blow a model up: results beyond this many bytes are folded only if they stay near their operands' size.
const SMALL_RESULT: usize = 64 << 10;

/// How far operators may be fused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fusion {
    /// Not at all: every tensor of the file stays computed.
    None,
    /// Into what every backend computes.
    Common,
    /// Into whatever the CPU's kernels compute.
    Cpu,
}

/// Applies all rewrites.
pub fn rewrite(graph: &mut Graph, cpu: Cpu, fusion: Fusion) {
    if fusion != Fusion::None {
        inline_calls(graph);
    }
    if fusion == Fusion::Cpu {
        leave_halves(graph);
    }
    fold_constants(graph, cpu);
    if fusion == Fusion::Cpu {
        byte_tables(graph, cpu);
    }
    if fusion != Fusion::None {
        fuse_activations(graph, fusion);
        forward_variables(graph);
    }
    drop_dead_nodes(graph);
}

/// Runs every operator whose inputs all are constants, once and for all.
fn fold_constants(graph: &mut Graph, cpu: Cpu) {
    // Weights packed for a fold are used once; they are not kept.
    let packs = PackCache::default();
    let cx = LowerCx::alone(cpu, &packs);
    for n in 0..graph.nodes.len() {
        let node = &graph.nodes[n];
        // Lists are no bytes that a fold could be given.
        let bytes =
            |t: usize| graph.constant(t).filter(|_| graph.tensors[t].info.dtype != TensorType::Variant);
        let all_constant = node.inputs.iter().flatten().all(|&t| bytes(t).is_some());
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
fn fuse_activations(graph: &mut Graph, fusion: Fusion) {
    let mut consumers = vec![0usize; graph.tensors.len()];
    for &t in graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&graph.outputs) {
        consumers[t] += 1;
    }
    let mut writer = vec![None; graph.tensors.len()];
    let mut producer = vec![None; graph.tensors.len()];
    for n in 0..graph.nodes.len() {
        if let Some(found) = fusible(graph, n, &writer, &consumers, fusion)
            && let Some(p) = producer[found.input].filter(|_| consumers[found.input] == found.readers)
        {
            let output = graph.nodes[n].outputs[0];
            let target: &mut crate::graph::GraphNode = &mut graph.nodes[p];
            target.activation = Some(found.function);
            target.outputs[0] = output;
            for gone in found.other.into_iter().chain([n]) {
                graph.nodes[gone].outputs.clear();
                graph.nodes[gone].inputs.clear();
            }
            // A second activation behind the first one stays an operator of its own.
            continue;
        }
        let node = &graph.nodes[n];
        for &t in &node.outputs {
            writer[t] = Some(n);
        }
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

/// An operator, or two, that can become the activation of another.
struct Fusible {
    function: Fused,
    /// The tensor it is a function of.
    input: usize,
    /// How often it reads that.
    readers: usize,
    /// The second operator.
    other: Option<usize>,
}

/// What ends in node `n`; `writer` has for each tensor the node before `n` that writes it, and `consumers` how many operands
/// and graph outputs it is.
fn fusible(
    graph: &Graph,
    n: usize,
    writer: &[Option<usize>],
    consumers: &[usize],
    fusion: Fusion,
) -> Option<Fusible> {
    let node = &graph.nodes[n];
    let operator = graph.operator(node);
    let OpCode::Builtin(code) = operator.code else { return None };
    let [_] = node.outputs.as_slice() else { return None };
    type B = BuiltinOperator;
    match (code, node.inputs.as_slice()) {
        (B::MUL, &[Some(a), Some(b)]) if fusion == Fusion::Cpu => {
            let plain = operator
                .options::<MulOptionsT>()
                .is_none_or(|o| o.fused_activation_function == ActivationFunctionType::NONE);
            let sigmoid = |of: usize, t: usize| {
                let w = writer[t]?;
                let is_logistic = graph.operator(&graph.nodes[w]).code == OpCode::Builtin(B::LOGISTIC);
                (is_logistic && graph.nodes[w].inputs == [Some(of)] && consumers[t] == 1).then_some(w)
            };
            let (input, other) =
                sigmoid(a, b).map(|w| (a, w)).or_else(|| sigmoid(b, a).map(|w| (b, w))).filter(|_| plain)?;
            Some(Fusible { function: Fused::Swish, input, readers: 2, other: Some(other) })
        }
        (_, &[Some(input)]) => {
            let function = match code {
                B::RELU | B::RELU6 | B::RELU_N1_TO_1 | B::RELU_0_TO_1 | B::HARD_SWISH => {
                    Fused::Operator(code)
                }
                B::LOGISTIC | B::TANH if fusion == Fusion::Cpu => Fused::Operator(code),
                B::GELU if fusion == Fusion::Cpu => Fused::Gelu {
                    approximate: operator.options::<GeluOptionsT>().is_some_and(|o| o.approximate),
                },
                _ => return None,
            };
            Some(Fusible { function, input, readers: 1, other: None })
        }
        _ => None,
    }
}

/// Whether the operator's own options already name an activation.
pub(crate) fn has_fused_activation(operator: &Operator) -> bool {
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
