//! Recurrent layers: the LSTM, RNN and SVDF operators.
//!
//! Their states are variable tensors among the inputs, which keep their content from one run to the next.

mod bidirectional;
mod layout;
mod lstm;
mod lstm_int;
mod lstm_narrow;
mod operands;
mod rnn;
mod step;
mod svdf;
mod unidirectional;

use ferrolite_model::BuiltinOperator;

use crate::spec::{OpSpec, TypeRow};
use crate::{TensorType, types};

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
    OpSpec::builtin(BuiltinOperator::LSTM, step::infer, step::lower)
        .versions(4)
        .inputs(5, 24)
        .outputs(1, 4)
        .types(STEP_TYPES)
        .states_by(step::states),
    OpSpec::builtin(BuiltinOperator::BIDIRECTIONAL_SEQUENCE_LSTM, bidirectional::infer, bidirectional::lower)
        .versions(3)
        .inputs(39, 48)
        .outputs(1, 2)
        .types(BIDIRECTIONAL_TYPES)
        .states(&[35, 36, 37, 38]),
    OpSpec::builtin(BuiltinOperator::RNN, rnn::infer_single, rnn::lower_rnn)
        .versions(3)
        .inputs(5, 5)
        .types(RNN_TYPES)
        .states(&[4]),
    OpSpec::builtin(BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_RNN, rnn::infer_single, rnn::lower_sequence)
        .versions(3)
        .inputs(5, 5)
        .types(RNN_TYPES)
        .states(&[4]),
    OpSpec::builtin(BuiltinOperator::BIDIRECTIONAL_SEQUENCE_RNN, rnn::infer_bidirectional, rnn::lower_bidirectional)
        .versions(3)
        .inputs(9, 12)
        .outputs(1, 2)
        .types(types![
            (Float32) -> (Float32),
            (Float32, Int8, Int8, Float32, Float32, Int8, Int8, Float32, Float32, Float32, Int8) -> (Float32),
            (Float32, UInt8, UInt8, Float32, Float32, UInt8, UInt8, Float32, Float32, Float32, UInt8) -> (Float32),
        ])
        .states(&[4, 8]),
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
    (Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int16, Int16, Int16, Int32, Int32, Int32, Int32, Int8,
     Int32, Int8, Int16) -> (Int8),
];

/// The types of [`LSTM_TYPES`] and those of the quantized basic form.
const STEP_TYPES: &[TypeRow] = &[
    LSTM_TYPES[0],
    LSTM_TYPES[1],
    LSTM_TYPES[2],
    LSTM_TYPES[3],
    TypeRow {
        inputs: &[
            TensorType::UInt8,
            TensorType::UInt8,
            TensorType::UInt8,
            TensorType::Int32,
            TensorType::Int16,
        ],
        outputs: &[TensorType::UInt8, TensorType::Int16, TensorType::UInt8, TensorType::Int16],
    },
];

/// Element types of both directions: input; twice 11 matrices and peepholes, 4 biases, projection and its bias;
/// 4 states; the auxiliary input and its weights.
const BIDIRECTIONAL_TYPES: &[TypeRow] = types![
    (Float32) -> (Float32),
    (Float32, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Float32, Float32, Float32, Float32, Int8, Float32, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Int8, Float32, Float32, Float32, Float32, Int8, Float32, Float32, Float32, Float32, Float32, Float32, Int8) -> (Float32),
    (Float32, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, Float32, Float32, Float32, Float32, UInt8, Float32, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, Float32, Float32, Float32, Float32, UInt8, Float32, Float32, Float32, Float32, Float32, Float32, UInt8) -> (Float32),
];

/// Element types of a plain layer: input, two matrices, bias, state.
const RNN_TYPES: &[TypeRow] = types![
    (Float32) -> (Float32),
    (Float32, Int8, Int8, Float32, Float32) -> (Float32),
    (Float32, UInt8, UInt8, Float32, Float32) -> (Float32),
];
