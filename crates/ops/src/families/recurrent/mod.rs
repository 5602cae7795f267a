//! Recurrent layers: the LSTM, RNN and SVDF operators.
//!
//! Their states are variable tensors among the inputs, which keep their content from one run to the next.

mod layout;
mod lstm;
mod lstm_int;
mod operands;
mod svdf;
mod unidirectional;

use ferrolite_model::BuiltinOperator;

use crate::spec::{OpSpec, TypeRow};
use crate::types;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(
        BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_LSTM,
        unidirectional::infer,
        unidirectional::lower,
    )
    .versions(4)
    .inputs(20, 24)
    .types(LSTM_TYPES)
    .states(&[18, 19]),
    OpSpec::builtin(BuiltinOperator::SVDF, svdf::infer, svdf::lower)
        .versions(4)
        .inputs(5, 5)
        .types(types![
            (Float32) -> (Float32),
            (Float32, Int8, Int8, Float32, Float32) -> (Float32),
            (Float32, UInt8, UInt8, Float32, Float32) -> (Float32),
            (Int8, Int8, Int16, Int32, Int16) -> (Int8),
        ])
        .states(&[4]),
];

/// Element types of an LSTM: input; 8 matrices; 3 peepholes; 4 biases; projection and its bias; 2 states; 4 norms.
const LSTM_TYPES: &[TypeRow] = types![
    (Float32) -> (Float32),
    (Float32, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Float32, Float32, Float32, Float32,
     Int8, Float32) -> (Float32),
    (Float32, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, Float32, Float32, Float32,
     Float32, UInt8, Float32) -> (Float32),
    (Float32, Int8, Int8, Int8, Int8, Float32, Float32, Float32, Float32, Int8, Int8, Int8, Float32, Float32, Float32,
     Float32, Int8, Float32) -> (Float32),
    (Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int16, Int16, Int16, Int32, Int32, Int32, Int32, Int8,
     Int32, Int8, Int16) -> (Int8),
];
