//! Operators that run other subgraphs: IF, WHILE and CALL of the format, and STABLEHLO_CASE, STABLEHLO_WHILE and
//! STABLEHLO_COMPOSITE.
//!
//! Shapes that the subgraphs settle by themselves are known while planning: those on which all branches agree, and those
//! that the body of a loop returns as it takes them. Others are known once the operator has run.

use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::{
    CallOptionsT, IfOptionsT, StableHLOCompositeOptionsT, StablehloCaseOptionsT, StablehloWhileOptionsT,
    WhileOptionsT,
};

use super::variables::subgraph_index;
use crate::TensorType;
use crate::element::Bool;
use crate::error::{OpError, OpErrorKind};
use crate::io::{Io, Outputs};
use crate::kernel::{Context, FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes};
use crate::shape::Shape;
use crate::spec::{InferFn, LowerFn, OpSpec};
use crate::tensor::{TensorInfo, TensorValue};

/// More operands than any file has.
const ANY: usize = usize::MAX;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    runs_subgraphs(BuiltinOperator::IF, infer_if, lower_if).inputs(1, ANY),
    runs_subgraphs(BuiltinOperator::WHILE, infer_while, lower_while),
    runs_subgraphs(BuiltinOperator::CALL, infer_call, lower_call),
    runs_subgraphs(BuiltinOperator::STABLEHLO_WHILE, infer_while, lower_while),
    runs_subgraphs(BuiltinOperator::STABLEHLO_CASE, infer_case, lower_case).inputs(1, ANY),
    runs_subgraphs(BuiltinOperator::STABLEHLO_COMPOSITE, infer_composite, lower_composite),
];

const fn runs_subgraphs(op: BuiltinOperator, infer: InferFn, lower: LowerFn) -> OpSpec {
    OpSpec::builtin(op, infer, lower).inputs(0, ANY).outputs(0, ANY).stateful()
}

/// What is known of the inputs from `first` on; `None` if one is left out.
fn passed<'a>(node: &Node<'a>, first: usize) -> Option<Vec<&'a TensorInfo>> {
    node.inputs.iter().skip(first).map(|i| i.as_ref().map(|i| i.info)).collect()
}

/// The shapes on which all of `subgraphs` agree, given the inputs from `first` on.
fn agreed_shapes(node: &Node<'_>, first: usize, subgraphs: &[usize]) -> Option<Vec<Shape>> {
    let inputs = passed(node, first)?;
    let mut shapes = subgraphs.iter().map(|&index| node.regions.output_shapes(index, &inputs));
    let agreed = shapes.next()??;
    (agreed.len() == node.outputs.len() && shapes.all(|other| other.as_ref() == Some(&agreed)))
        .then_some(agreed)
}

fn known_or_dynamic(node: &Node<'_>, shapes: Option<Vec<Shape>>) -> OutputShapes {
    match shapes {
        Some(shapes) => shapes.into_iter().map(OutputShape::Known).collect(),
        None => node.outputs.iter().map(|_| OutputShape::Dynamic).collect(),
    }
}

/// The subgraphs of an IF: taken if true, taken if false.
fn branches_of_if(node: &Node<'_>) -> Result<[usize; 2], OpError> {
    let options = node.options::<IfOptionsT>()?;
    Ok([subgraph_index(options.then_subgraph_index)?, subgraph_index(options.else_subgraph_index)?])
}

fn infer_if(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(known_or_dynamic(node, agreed_shapes(node, 1, &branches_of_if(node)?)))
}

fn branches_of_case(node: &Node<'_>) -> Result<Vec<usize>, OpError> {
    let indices = node.options::<StablehloCaseOptionsT>()?.branch_subgraph_indices.unwrap_or_default();
    if indices.is_empty() {
        return Err(OpError::invalid("the operator has no branches: it needs at least one subgraph"));
    }
    indices.into_iter().map(subgraph_index).collect()
}

fn infer_case(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(known_or_dynamic(node, agreed_shapes(node, 1, &branches_of_case(node)?)))
}

fn callee(node: &Node<'_>) -> Result<usize, OpError> {
    subgraph_index(i32::try_from(node.options::<CallOptionsT>()?.subgraph).unwrap_or(-1))
}

fn infer_call(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(known_or_dynamic(node, agreed_shapes(node, 0, &[callee(node)?])))
}

fn decomposition(node: &Node<'_>) -> Result<usize, OpError> {
    subgraph_index(node.options::<StableHLOCompositeOptionsT>()?.decomposition_subgraph_index)
}

fn infer_composite(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(known_or_dynamic(node, agreed_shapes(node, 0, &[decomposition(node)?])))
}

/// The condition and the body of a loop.
fn parts_of_loop(node: &Node<'_>) -> Result<[usize; 2], OpError> {
    let (condition, body) = match node.operator.options::<StablehloWhileOptionsT>() {
        Some(options) => (options.cond_subgraph_index, options.body_subgraph_index),
        None => {
            let options = node.options::<WhileOptionsT>()?;
            (options.cond_subgraph_index, options.body_subgraph_index)
        }
    };
    Ok([subgraph_index(condition)?, subgraph_index(body)?])
}

/// If the body keeps all shapes, they stay what they are for any number of turns.
fn infer_while(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    if node.inputs.len() != node.outputs.len() {
        return Err(OpError::invalid(format!(
            "a loop has as many outputs as inputs, not {} and {}",
            node.outputs.len(),
            node.inputs.len()
        ))
        .into());
    }
    let [_, body] = parts_of_loop(node)?;
    let kept = agreed_shapes(node, 0, &[body]).filter(|shapes| {
        node.inputs
            .iter()
            .zip(shapes)
            .all(|(input, shape)| input.as_ref().is_some_and(|input| input.info.shape == *shape))
    });
    Ok(known_or_dynamic(node, kept))
}

/// Copies of the inputs from `first` on.
fn copies(io: &Io<'_>, first: usize) -> Result<Vec<TensorValue>, OpError> {
    (first..io.inputs.len()).map(|i| io.inputs.to_value(i)).collect()
}

fn call(cx: &mut dyn Context, subgraph: usize, inputs: &[TensorValue]) -> Result<Vec<TensorValue>, OpError> {
    cx.check_cancelled()?;
    let inputs: Vec<&TensorValue> = inputs.iter().collect();
    cx.call(subgraph, &inputs)
}

fn give(outputs: &mut Outputs<'_>, values: Vec<TensorValue>) -> Result<(), OpError> {
    if outputs.len() != values.len() {
        return Err(OpError::invalid(format!(
            "the operator has {} outputs, the subgraph it runs has {}",
            outputs.len(),
            values.len()
        )));
    }
    for (i, value) in values.into_iter().enumerate() {
        outputs.set_value(i, value)?;
    }
    Ok(())
}

/// The truth in a boolean tensor of one element.
fn truth(value: &TensorValue) -> Result<bool, OpError> {
    match value.elements::<Bool>()? {
        [condition] => Ok(condition.get()),
        other => Err(OpError::invalid(format!("a condition is a single boolean, not {}", other.len()))),
    }
}

fn check_single(node: &Node<'_>, dtype: TensorType) -> Result<(), OpError> {
    let info = node.input(0)?.info;
    if info.dtype == dtype && info.shape.num_elements()? == 1 {
        return Ok(());
    }
    Err(OpError::invalid(format!(
        "input 0 must be a single {dtype}, not {} of shape {}",
        info.dtype, info.shape
    )))
}

fn lower_if(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    check_single(node, TensorType::Bool)?;
    let [then, otherwise] = branches_of_if(node)?;
    let run = FnKernel::new("if", move |io, cx| {
        let branch = if truth(&io.inputs.to_value(0)?)? { then } else { otherwise };
        let values = call(cx, branch, &copies(io, 1)?)?;
        give(&mut io.outputs, values)
    });
    Ok(run.boxed())
}

fn lower_while(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let [condition, body] = parts_of_loop(node)?;
    let run = FnKernel::new("while", move |io, cx| {
        let mut values = copies(io, 0)?;
        let mut turns = 0;
        loop {
            let conditions = call(cx, condition, &values)?;
            let [goes_on] = conditions.as_slice() else {
                return Err(OpError::invalid("the condition of a loop has a single output"));
            };
            if !truth(goes_on)? {
                break;
            }
            if turns == cx.max_loop_turns() {
                return Err(OpError::new(
                    OpErrorKind::Limit,
                    format!(
                        "the loop has not ended after {turns} turns: raise the limit on loop turns if it will"
                    ),
                ));
            }
            turns += 1;
            cx.check_cancelled()?;
            cx.advance(body, &mut values)?;
        }
        give(&mut io.outputs, values)
    });
    Ok(run.boxed())
}

/// Runs one of several subgraphs; an index out of range takes the last one.
fn lower_case(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    check_single(node, TensorType::Int32)?;
    let branches = branches_of_case(node)?;
    let last = *branches.last().ok_or_else(|| OpError::invalid("the operator has no branches"))?;
    let run = FnKernel::new("stablehlo_case", move |io, cx| {
        let index = io.inputs.get::<i32>(0)?.first().and_then(|&i| usize::try_from(i).ok());
        let branch = index.and_then(|i| branches.get(i).copied()).unwrap_or(last);
        let values = call(cx, branch, &copies(io, 1)?)?;
        give(&mut io.outputs, values)
    });
    Ok(run.boxed())
}

/// Runs the operator's decomposition.
fn lower_composite(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let name = node.options::<StableHLOCompositeOptionsT>()?.name.unwrap_or_default();
    Ok(run_one(format!("composite {name}"), decomposition(node)?))
}

fn lower_call(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(run_one("call".to_owned(), callee(node)?))
}

/// Runs one subgraph on all inputs.
fn run_one(name: String, subgraph: usize) -> Box<dyn Kernel> {
    FnKernel::new(name, move |io, cx| {
        let values = call(cx, subgraph, &copies(io, 0)?)?;
        give(&mut io.outputs, values)
    })
    .boxed()
}
