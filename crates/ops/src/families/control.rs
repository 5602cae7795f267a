//! Operators that run other subgraphs: IF, WHILE, STABLEHLO_CASE, STABLEHLO_COMPOSITE.
//!
//! What a subgraph returns can have other shapes than the file declares once an input was resized, so the outputs are
//! dynamic; a loop keeps shapes that its inputs and outputs agree on.

use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::{
    IfOptionsT, StableHLOCompositeOptionsT, StablehloCaseOptionsT, WhileOptionsT,
};

use super::variables::subgraph_index;
use crate::TensorType;
use crate::element::Bool;
use crate::error::OpError;
use crate::io::{InputData, InputView, Io, Outputs};
use crate::kernel::{Context, FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes};
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::tensor::TensorValue;

/// More operands than any file has.
const ANY: usize = usize::MAX;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::IF, infer_dynamic, lower_if).inputs(1, ANY).outputs(0, ANY).stateful(),
    OpSpec::builtin(BuiltinOperator::WHILE, infer_while, lower_while)
        .inputs(0, ANY)
        .outputs(0, ANY)
        .stateful(),
    OpSpec::builtin(BuiltinOperator::STABLEHLO_CASE, infer_dynamic, lower_case)
        .inputs(1, ANY)
        .outputs(0, ANY)
        .stateful(),
    OpSpec::builtin(BuiltinOperator::STABLEHLO_COMPOSITE, infer_dynamic, lower_composite)
        .inputs(1, ANY)
        .outputs(0, ANY)
        .stateful(),
];

fn infer_dynamic(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(node.outputs.iter().map(|_| OutputShape::Dynamic).collect())
}

/// A shape is kept through the loop if the file fixes it for the output and the input has it.
fn infer_while(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    if node.inputs.len() != node.outputs.len() {
        return Err(OpError::invalid(format!(
            "a loop has as many outputs as inputs, not {} and {}",
            node.outputs.len(),
            node.inputs.len()
        ))
        .into());
    }
    let shapes = node.inputs.iter().zip(node.outputs).map(|(input, output)| match input {
        Some(input) if !output.open_shape && output.shape == input.info.shape => {
            OutputShape::Known(output.shape.clone())
        }
        _ => OutputShape::Dynamic,
    });
    Ok(shapes.collect())
}

/// A copy of an input, for another subgraph.
fn copy(view: InputView<'_>) -> Result<TensorValue, OpError> {
    match view.data {
        InputData::Bytes(bytes) => TensorValue::from_bytes(view.dtype, Shape::new(view.shape), bytes),
        InputData::InPlace(_) | InputData::Absent => {
            Err(OpError::invalid("an operator that runs subgraphs needs all its inputs"))
        }
    }
}

/// Copies of the inputs from `first` on.
fn copies(io: &Io<'_>, first: usize) -> Result<Vec<TensorValue>, OpError> {
    (first..io.inputs.len()).map(|i| copy(io.inputs.view(i)?)).collect()
}

fn call(cx: &mut dyn Context, subgraph: usize, inputs: &[TensorValue]) -> Result<Vec<TensorValue>, OpError> {
    cx.check_cancelled()?;
    let inputs: Vec<&TensorValue> = inputs.iter().collect();
    cx.call(subgraph, &inputs)
}

fn give(outputs: &mut Outputs<'_>, values: &[TensorValue]) -> Result<(), OpError> {
    if outputs.len() != values.len() {
        return Err(OpError::invalid(format!(
            "the operator has {} outputs, the subgraph it runs has {}",
            outputs.len(),
            values.len()
        )));
    }
    for (i, value) in values.iter().enumerate() {
        let dtype = outputs.dtype(i)?;
        if dtype != value.dtype() {
            return Err(OpError::invalid(format!(
                "output {i} is {dtype}, the subgraph returns {}",
                value.dtype()
            )));
        }
        outputs.set_bytes(i, value.shape(), value.bytes())?;
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
    let options = node.options::<IfOptionsT>()?;
    let then = subgraph_index(options.then_subgraph_index)?;
    let otherwise = subgraph_index(options.else_subgraph_index)?;
    let run = FnKernel::new("if", move |io, cx| {
        let branch = if truth(&copy(io.inputs.view(0)?)?)? { then } else { otherwise };
        let values = call(cx, branch, &copies(io, 1)?)?;
        give(&mut io.outputs, &values)
    });
    Ok(run.boxed())
}

fn lower_while(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<WhileOptionsT>()?;
    let condition = subgraph_index(options.cond_subgraph_index)?;
    let body = subgraph_index(options.body_subgraph_index)?;
    let run = FnKernel::new("while", move |io, cx| {
        let mut values = copies(io, 0)?;
        loop {
            let conditions = call(cx, condition, &values)?;
            let [goes_on] = conditions.as_slice() else {
                return Err(OpError::invalid("the condition of a loop has a single output"));
            };
            if !truth(goes_on)? {
                break;
            }
            values = call(cx, body, &values)?;
        }
        give(&mut io.outputs, &values)
    });
    Ok(run.boxed())
}

/// Runs one of several subgraphs; an index out of range takes the last one.
fn lower_case(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    check_single(node, TensorType::Int32)?;
    let indices = node.options::<StablehloCaseOptionsT>()?.branch_subgraph_indices.unwrap_or_default();
    let branches: Vec<usize> = indices.into_iter().map(subgraph_index).collect::<Result<_, _>>()?;
    let last = *branches.last().ok_or_else(|| OpError::invalid("the operator has no branches"))?;
    let run = FnKernel::new("stablehlo_case", move |io, cx| {
        let index = io.inputs.get::<i32>(0)?.first().and_then(|&i| usize::try_from(i).ok());
        let branch = index.and_then(|i| branches.get(i).copied()).unwrap_or(last);
        let values = call(cx, branch, &copies(io, 1)?)?;
        give(&mut io.outputs, &values)
    });
    Ok(run.boxed())
}

/// Runs the operator's decomposition.
fn lower_composite(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<StableHLOCompositeOptionsT>()?;
    let subgraph = subgraph_index(options.decomposition_subgraph_index)?;
    let name = format!("composite {}", options.name.unwrap_or_default());
    let run = FnKernel::new(name, move |io, cx| {
        let values = call(cx, subgraph, &copies(io, 0)?)?;
        give(&mut io.outputs, &values)
    });
    Ok(run.boxed())
}
