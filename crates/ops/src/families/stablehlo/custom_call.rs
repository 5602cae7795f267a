//! STABLEHLO_CUSTOM_CALL to a target that no custom operator is registered for.
//!
//! Where one is, the graph takes the custom operator in place of the call, and this module is not met.

use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::StablehloCustomCallOptionsT;

use super::ANY;
use crate::error::OpError;
use crate::families::elementwise::Lowered;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes};
use crate::spec::OpSpec;

/// The operator of this module.
pub(crate) const SPECS: &[OpSpec] = &[OpSpec::builtin(BuiltinOperator::STABLEHLO_CUSTOM_CALL, infer, lower)
    .inputs(0, ANY)
    .outputs(0, ANY)
    .stateful()];

fn refusal(node: &Node<'_>) -> OpError {
    let target = node.options::<StablehloCustomCallOptionsT>().ok().and_then(|o| o.call_target_name);
    match target {
        Some(target) => OpError::unsupported(format!(
            "the call's target '{}' is no registered custom operator: register one of this name",
            target.escape_debug()
        )),
        None => OpError::invalid("the call names no target: export the model again"),
    }
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Err(refusal(node).into())
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    Err(refusal(node))
}
