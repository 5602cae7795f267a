//! Strings: names of files above all; and assertions.

use ferrolite_ops::{
    FnKernel, InferError, Kernel, LowerCx, Node, OpError, OpSpec, OutputShapes, Shape, TensorType, one,
    strings,
};

use super::support::{integers, like, no_outputs, texts};
use crate::node_def::NodeDef;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("FlexStringJoin", infer_join, lower_join).inputs(1, usize::MAX),
    OpSpec::custom("FlexStringLength", like::<0>, lower_length),
    OpSpec::custom("FlexAsString", like::<0>, lower_as_string),
    OpSpec::custom("FlexAssert", no_outputs, lower_assert).inputs(1, usize::MAX).outputs(0, 0).stateful(),
    OpSpec::custom("FlexNoOp", no_outputs, |_, _| Ok(FnKernel::new("no_op", |_, _| Ok(())).boxed()))
        .inputs(0, 0)
        .outputs(0, 0),
];

/// Scalars meet every element of the others.
fn infer_join(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let mut shape = Shape::scalar();
    for i in 0..node.inputs.len() {
        let own = node.shape(i)?;
        if own.rank() == 0 {
            continue;
        }
        if shape.rank() > 0 && &shape != own {
            return Err(
                OpError::invalid(format!("strings of shapes {shape} and {own} cannot be joined")).into()
            );
        }
        shape = own.clone();
    }
    Ok(one(shape))
}

fn lower_join(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let separator = NodeDef::of(node)?.text("separator", "")?.to_owned();
    let shape = node.output(0)?.shape.clone();
    Ok(FnKernel::new("string_join", move |io, _| {
        let parts: Vec<Vec<&[u8]>> =
            (0..io.inputs.len()).map(|i| texts(&io.inputs, i)).collect::<Result<_, _>>()?;
        let count = shape.num_elements()?;
        let join = |at: usize| -> Vec<u8> {
            let own: Vec<&[u8]> =
                parts.iter().filter_map(|p| p.get(if p.len() == 1 { 0 } else { at }).copied()).collect();
            own.join(separator.as_bytes())
        };
        let joined: Vec<Vec<u8>> = (0..count).map(join).collect();
        io.outputs.set_bytes(0, &shape, &strings::encode(&joined)?)
    })
    .boxed())
}

fn lower_length(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    if NodeDef::of(node)?.text("unit", "BYTE")? != "BYTE" {
        return Err(OpError::unsupported("the length of strings in characters: ask for bytes"));
    }
    Ok(FnKernel::new("string_length", |io, _| {
        let texts = texts(&io.inputs, 0)?;
        let out = io.outputs.get::<i32>(0)?;
        out.iter_mut().zip(texts).for_each(|(out, text)| *out = text.len() as i32);
        Ok(())
    })
    .boxed())
}

fn lower_as_string(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    if !matches!(node.dtype(0)?, TensorType::Int32 | TensorType::Int64 | TensorType::Bool) {
        return Err(OpError::unsupported(format!("numbers of type {} as strings", node.dtype(0)?)));
    }
    let shape = node.output(0)?.shape.clone();
    Ok(FnKernel::new("as_string", move |io, _| {
        let texts: Vec<String> = if io.inputs.view(0)?.dtype == TensorType::Bool {
            io.inputs.bytes(0)?.iter().map(|&b| if b == 0 { "false" } else { "true" }.to_owned()).collect()
        } else {
            integers(&io.inputs, 0)?.iter().map(i64::to_string).collect()
        };
        io.outputs.set_bytes(0, &shape, &strings::encode(&texts)?)
    })
    .boxed())
}

fn lower_assert(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("assert", |io, _| {
        if io.inputs.bytes(0)?.iter().all(|&b| b != 0) {
            return Ok(());
        }
        let said = (1..io.inputs.len()).filter_map(|i| texts(&io.inputs, i).ok()).flatten();
        let said: Vec<String> = said.map(|t| String::from_utf8_lossy(t).into_owned()).collect();
        Err(OpError::runtime(format!("an assertion of the model failed: {}", said.join(" "))))
    })
    .boxed())
}
