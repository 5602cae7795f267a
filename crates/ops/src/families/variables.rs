//! Resource variables, and subgraphs that run once to initialise them: VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE,
//! CALL_ONCE.

use std::sync::atomic::{AtomicU32, Ordering};

use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::{CallOnceOptionsT, VarHandleOptionsT};

use crate::TensorType;
use crate::error::OpError;
use crate::io::Io;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::tensor::TensorValue;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::VAR_HANDLE, infer_handle, lower_handle).inputs(0, 0).stateful(),
    OpSpec::builtin(BuiltinOperator::READ_VARIABLE, infer_read, lower_read).stateful(),
    OpSpec::builtin(BuiltinOperator::ASSIGN_VARIABLE, infer_nothing, lower_assign)
        .inputs(2, 2)
        .outputs(0, 0)
        .stateful(),
    OpSpec::builtin(BuiltinOperator::CALL_ONCE, infer_nothing, lower_call_once)
        .inputs(0, 0)
        .outputs(0, 0)
        .stateful(),
];

/// Refuses input 0 unless it is a single resource.
fn check_handle(node: &Node<'_>) -> Result<(), OpError> {
    let info = node.input(0)?.info;
    if matches!(info.dtype, TensorType::Resource | TensorType::Int32) && info.shape.num_elements()? == 1 {
        return Ok(());
    }
    Err(OpError::invalid(format!(
        "input 0 must be a single resource, not {} of shape {}",
        info.dtype, info.shape
    )))
}

/// Shapes of an operator without outputs.
pub fn infer_nothing(_: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(OutputShapes::new())
}

fn infer_handle(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let declared = &node.output(0)?.shape;
    Ok(one(if declared.num_elements()? == 1 { declared.clone() } else { Shape::scalar() }))
}

fn lower_handle(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<VarHandleOptionsT>()?;
    let (container, name) = (options.container.unwrap_or_default(), options.shared_name.unwrap_or_default());
    // The handle of the last run, which stays the same but in another interpreter: looking it up anew takes longer.
    let last = AtomicU32::new(u32::MAX);
    let run = FnKernel::new("var_handle", move |io, cx| {
        let mut handle = last.load(Ordering::Relaxed);
        if !cx.resources().is_variable(handle, &container, &name) {
            handle = cx.resources().variable(&container, &name);
            last.store(handle, Ordering::Relaxed);
        }
        io.outputs.bytes(0)?.copy_from_slice(&handle.to_le_bytes());
        Ok(())
    });
    Ok(run.boxed())
}

fn infer_read(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    check_handle(node)?;
    let output = node.output(0)?;
    if output.open_shape {
        return Ok(core::iter::once(OutputShape::Dynamic).collect());
    }
    Ok(one(output.shape.clone()))
}

fn lower_read(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("read_variable", |io, cx| {
        let value = cx.resources().read(io.inputs.handle(0)?)?;
        let dtype = io.outputs.dtype(0)?;
        if value.dtype() != dtype {
            return Err(OpError::runtime(format!(
                "the variable holds {}, it is read as {dtype}",
                value.dtype()
            )));
        }
        io.outputs.set_bytes(0, value.shape(), value.bytes())
    })
    .boxed())
}

fn lower_assign(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    check_handle(node)?;
    Ok(FnKernel::new("assign_variable", |io, cx| {
        let (dtype, shape, bytes) = (io.inputs.view(1)?.dtype, io.inputs.shape(1)?, io.inputs.bytes(1)?);
        let slot = cx.resources().slot(io.inputs.handle(0)?)?;
        match slot {
            Some(value) => value.assign(dtype, shape, bytes),
            None => *slot = Some(TensorValue::from_bytes(dtype, Shape::new(shape), bytes)?),
        }
        Ok(())
    })
    .boxed())
}

fn lower_call_once(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let subgraph = subgraph_index(node.options::<CallOnceOptionsT>()?.init_subgraph_index)?;
    Ok(FnKernel::new("call_once", move |_: &mut Io<'_>, cx| cx.call_once(subgraph)).boxed())
}

/// A subgraph's index as options hold it.
///
/// # Errors
/// When it is negative.
pub fn subgraph_index(index: i32) -> Result<usize, OpError> {
    usize::try_from(index).map_err(|_| OpError::invalid(format!("{index} is no index of a subgraph")))
}
