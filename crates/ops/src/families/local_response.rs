//! LOCAL_RESPONSE_NORMALIZATION.

use ferrolite_kernels::cpu::pool::{LocalResponse, local_response};
use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::LocalResponseNormalizationOptionsT;

use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::same_types;
use crate::spec::OpSpec;

/// The family's operators.
pub const SPECS: &[OpSpec] =
    &[OpSpec::builtin(BuiltinOperator::LOCAL_RESPONSE_NORMALIZATION, infer, lower)
        .types(same_types![Float32])];

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    if shape.rank() != 4 {
        return Err(OpError::invalid(format!(
            "local response normalization takes images of rank 4, not {shape}"
        ))
        .into());
    }
    Ok(one(shape.clone()))
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<LocalResponseNormalizationOptionsT>()?;
    let radius = usize::try_from(options.radius).map_err(|_| {
        OpError::invalid(format!("the radius {} of a normalization is negative", options.radius))
    })?;
    let response = LocalResponse { radius, bias: options.bias, alpha: options.alpha, beta: options.beta };
    let channels = node.shape(0)?.last().copied().unwrap_or(0);
    Ok(FnKernel::new("local_response_f32", move |io, cx| {
        local_response(cx.par(), response, channels, io.inputs.get::<f32>(0)?, io.outputs.get::<f32>(0)?);
        Ok(())
    })
    .boxed())
}
