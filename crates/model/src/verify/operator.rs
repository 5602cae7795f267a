//! An operator names tensors that exist and carries options of its own kind.

use crate::error::{ModelError, bail};
use crate::graph::{OpCode, Operator, Subgraph};
use crate::options::table_of;

pub(super) fn verify(operator: &Operator, subgraph: &Subgraph) -> Result<(), ModelError> {
    let count = subgraph.tensors.len();
    let lists = [
        ("input", operator.inputs.iter().flatten().max()),
        ("output", operator.outputs.iter().max()),
        ("intermediate", operator.intermediates.iter().max()),
    ];
    for (what, greatest) in lists {
        if let Some(&tensor) = greatest.filter(|&&tensor| tensor >= count) {
            bail!(Index, "{what} tensor {tensor} of {count}; export the model again");
        }
    }
    let OpCode::Builtin(code) = operator.code else {
        return verify_custom(operator);
    };
    // An operator that has no options takes no harm from any.
    if let (Some(expected), Some(found)) = (table_of(code), operator.options.table_name())
        && expected != found
    {
        bail!(Options, "the options are {found} where {expected} are due; export the model again");
    }
    Ok(())
}

fn verify_custom(operator: &Operator) -> Result<(), ModelError> {
    match &operator.code {
        OpCode::Custom(name) if name.is_empty() => {
            bail!(
                Options,
                "a custom operator has no name to find its implementation by; export the model again"
            )
        }
        _ => Ok(()),
    }
}
