//! NumericVerify: how far a quantized tensor is from its float original.

use ferrolite_model::TensorType;
use half::f16;

use crate::error::OpError;
use crate::io::Inputs;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::spec::OpSpec;
use crate::types;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[OpSpec::custom("NumericVerify", infer, lower).inputs(2, 2).types(types![
    (UInt8, Float32) -> (Float32), (Int8, Float32) -> (Float32), (Int16, Float32) -> (Float32),
    (Float16, Float32) -> (Float32),
])];

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (quantized, original) = (node.shape(0)?, node.shape(1)?);
    if quantized.num_elements()? != original.num_elements()? {
        let message = format!("a tensor of shape {quantized} cannot be compared with one of {original}");
        return Err(OpError::invalid(message).into());
    }
    Ok(one(quantized.clone()))
}

/// With `log_if_failed` and a `tolerance` of a tenth of a step or more, a difference of more than that many steps stops the
/// run.
fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = node.attributes()?;
    let tolerance = attributes.float_or("tolerance", 0.0)? as f32;
    let strict = attributes.bool_or("log_if_failed", false)? && tolerance >= 0.1;
    let info = node.input(0)?.info;
    let (scale, zero) = if info.dtype == TensorType::Float16 { (1.0, 0) } else { info.per_tensor()? };
    // A tensor without quantization has no step, so that nothing is tolerated.
    let step = if info.is_quantized() { scale } else { 0.0 };
    let dtype = info.dtype;
    let value = move |inputs: &Inputs<'_>, i: usize| -> Result<f32, OpError> {
        let stored = match dtype {
            TensorType::UInt8 => i32::from(inputs.get::<u8>(0)?[i]),
            TensorType::Int8 => i32::from(inputs.get::<i8>(0)?[i]),
            TensorType::Int16 => i32::from(inputs.get::<i16>(0)?[i]),
            _ => return Ok(inputs.get::<f16>(0)?[i].to_f32()),
        };
        Ok(scale * (stored - zero) as f32)
    };
    Ok(FnKernel::new("numeric_verify", move |io, _| {
        let originals = io.inputs.get::<f32>(1)?;
        for (i, (to, &original)) in io.outputs.get::<f32>(0)?.iter_mut().zip(originals).enumerate() {
            *to = value(&io.inputs, i)? - original;
            if strict && to.abs() > tolerance * step {
                return Err(OpError::runtime(format!(
                    "element {i} differs from its original {original} by {to}, more than {tolerance} steps of {step}"
                )));
            }
        }
        Ok(())
    })
    .boxed())
}
