//! What operators are supported.

use ferrolite_model::{OpCode, TensorType};
use ferrolite_ops::OpKey;

/// A supported operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorInfo {
    /// Its name in the schema, or a custom operator's name.
    pub name: String,
    /// First and last supported version.
    pub versions: (i32, i32),
    /// Accepted element types of inputs and outputs; the last of a list stands for all further operands. Empty: any.
    pub types: Vec<(&'static [TensorType], &'static [TensorType])>,
}

/// Every supported operator.
#[must_use]
pub fn operators() -> Vec<OperatorInfo> {
    crate::model::registry()
        .specs()
        .map(|spec| OperatorInfo {
            name: match spec.key {
                OpKey::Builtin(op) => OpCode::Builtin(op).to_string(),
                OpKey::Custom(name) => name.to_owned(),
            },
            versions: spec.versions,
            types: spec.types.iter().map(|row| (row.inputs, row.outputs)).collect(),
        })
        .collect()
}
