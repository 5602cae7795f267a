//! Functions of single bytes: whatever elementwise operators make of one 8-bit tensor is one table of 256 entries.
//!
//! Converters write an activation that has no operator as several, `x * sigmoid(x)` as LOGISTIC and MUL. Each is exact
//! on each byte alone, so their composition is the table of what the operators' own kernels give for all bytes.

use std::sync::Arc;

use ferrolite_kernels::isa::Cpu;
use ferrolite_model::{OpCode, Operator, Options, TensorType};
use ferrolite_ops::eval::{Argument, Detached, evaluate};
use ferrolite_ops::{BYTE_TABLE, BYTE_TABLE_NAME, LowerCx, PackCache, Shape, TensorInfo, TensorValue};

use crate::graph::{Content, Graph, GraphNode};

/// Values of a byte.
const BYTES: usize = 256;

/// What a tensor is a function of.
struct Function {
    /// An 8-bit tensor.
    of: usize,
    /// The results for all bytes, in the order of their bits.
    values: TensorValue,
}

/// Replaces operators that end a function of one 8-bit tensor by a table of it, if more than one made it.
///
/// Operators in between go if nobody else reads their results, which is left to the removal of dead nodes.
pub(crate) fn byte_tables(graph: &mut Graph, cpu: Cpu) {
    let mut functions: Vec<Option<Function>> = graph.tensors.iter().map(|_| None).collect();
    for n in 0..graph.nodes.len() {
        let Some(function) = function(graph, &functions, &graph.nodes[n], cpu) else { continue };
        let node = &graph.nodes[n];
        let output = node.outputs[0];
        let from = &graph.tensors[function.of].info;
        if graph.tensors[output].info.dtype == from.dtype && node.inputs != [Some(function.of)] {
            let table = Operator {
                code: OpCode::Custom(BYTE_TABLE_NAME.into()),
                options: Options::None,
                custom_options: function.values.bytes().to_vec().into(),
                version: 1,
                ..graph.operator(node).clone()
            };
            let node = &mut graph.nodes[n];
            node.inputs = vec![Some(function.of)];
            node.stands_for = Some(Arc::new(table));
            node.spec = BYTE_TABLE;
        }
        functions[output] = Some(function);
    }
}

/// The function that a node computes, if it is one of a single 8-bit tensor.
fn function(graph: &Graph, known: &[Option<Function>], node: &GraphNode, cpu: Cpu) -> Option<Function> {
    let &[output] = node.outputs.as_slice() else { return None };
    if !node.spec.traits.by_element || node.activation.is_some() {
        return None;
    }
    let of = common_source(graph, known, node)?;
    let source = &graph.tensors[of].info;
    // An element's own scale would be that of another place.
    let mut tensors = node.inputs.iter().flatten().chain([&output]);
    if source.open_shape || !tensors.all(|&t| has_one_scale(&graph.tensors[t].info)) {
        return None;
    }
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    // The arithmetic of a kernel may depend on the rank.
    let mut shape = vec![1; source.shape.len().saturating_sub(1)];
    shape.push(BYTES);
    let over_bytes = |info: &TensorInfo| TensorInfo { shape: Shape::new(&shape), ..info.clone() };
    let infos: Vec<Option<TensorInfo>> = node
        .inputs
        .iter()
        .map(|t| {
            let info = &graph.tensors[(*t)?].info;
            Some(if graph.constant((*t)?).is_some() { info.clone() } else { over_bytes(info) })
        })
        .collect();
    let arguments: Vec<Argument<'_>> = node
        .inputs
        .iter()
        .zip(&infos)
        .map(|(t, info)| {
            let (t, info) = ((*t)?, info.as_ref()?);
            let value = match graph.constant(t) {
                Some(constant) if fits_everywhere(&graph.tensors[t].info, source) => constant,
                Some(_) => return None,
                None if t == of => &bytes,
                None => known[t].as_ref()?.values.bytes(),
            };
            Some((info, Some(value)))
        })
        .collect();
    if arguments.iter().any(Option::is_none) {
        return None;
    }
    let packs = PackCache::default();
    let cx = LowerCx::alone(cpu, &packs);
    let outputs = [over_bytes(&graph.tensors[output].info)];
    let operator = graph.operator(node);
    let context = &mut Detached::default();
    // An operator that fails is left in place: planning reports it with its place.
    let values = evaluate(&node.spec, operator, &arguments, &outputs, &[], &mut [], &cx, context).ok()?;
    let [values] = <[TensorValue; 1]>::try_from(values).ok()?;
    (values.shape().num_elements() == Ok(BYTES)).then_some(Function { of, values })
}

/// The 8-bit tensor that all inputs but constants are, or are functions of.
fn common_source(graph: &Graph, known: &[Option<Function>], node: &GraphNode) -> Option<usize> {
    let mut source = None;
    for &input in &node.inputs {
        let t = input?;
        if graph.constant(t).is_some() {
            continue;
        }
        let of = known[t].as_ref().map_or(t, |function| function.of);
        if source.is_some_and(|source| source != of) {
            return None;
        }
        source = Some(of);
    }
    source.filter(|&of| {
        let tensor = &graph.tensors[of];
        matches!(tensor.info.dtype, TensorType::Int8 | TensorType::UInt8)
            && matches!(tensor.content, Content::Computed)
    })
}

/// Whether a constant is one element that does not add to the dimensions of what it meets.
fn fits_everywhere(constant: &TensorInfo, other: &TensorInfo) -> bool {
    constant.shape.num_elements() == Ok(1) && constant.shape.len() <= other.shape.len()
}

/// Whether all elements mean numbers by the same scale, or none has one.
fn has_one_scale(info: &TensorInfo) -> bool {
    info.quantization.as_ref().is_none_or(|q| q.scale.len() <= 1 && q.details.is_none())
}
