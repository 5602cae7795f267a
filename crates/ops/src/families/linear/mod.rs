//! Operators that are sums of products: convolutions and matrix products, over floats, integers and both.
//!
//! Arithmetic follows the types. Float weights go to the float kernels. Integer activations with integer weights are
//! exact sums that are requantized ([`requant`] says how). Float activations with integer weights are quantized on the
//! way, each row or image by its own range ([`hybrid`]).

pub(super) mod activation;
mod batch_matmul;
mod blockwise;
mod conv2d;
mod conv3d;
mod depthwise;
mod expanded;
mod fully_connected;
pub(super) mod geometry;
mod hybrid;
mod integer;
mod requant;
mod shuffled;
mod transpose_conv;
mod views;
pub(super) mod weights;

#[cfg(test)]
mod tests;

use ferrolite_model::BuiltinOperator;

pub use expanded::Expanded;

use crate::spec::OpSpec;
use crate::types;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::CONV_2D, conv2d::infer, conv2d::lower)
        .versions(8)
        .inputs(3, 3)
        .types(types![
            (Float32, Float32, Float32) -> (Float32),
            (Float32, Int8, Float32) -> (Float32),
            (Float32, UInt8, Float32) -> (Float32),
            (Float32, Int4, Float32) -> (Float32),
            (Int8, Int8, Int32) -> (Int8),
            (Int8, Int4, Int32) -> (Int8),
            (UInt8, UInt8, Int32) -> (UInt8),
            (Int16, Int8, Int32) -> (Int16),
            (Int16, Int8, Int64) -> (Int16),
            (Int16, Int4, Int32) -> (Int16),
            (Int16, Int4, Int64) -> (Int16),
        ])
        .epilogue()
        .half_weights()
        .spaced_rows(),
    OpSpec::builtin(BuiltinOperator::DEPTHWISE_CONV_2D, depthwise::infer, depthwise::lower)
        .versions(7)
        .inputs(2, 3)
        .types(types![
            (Float32, Float32, Float32) -> (Float32),
            (Float32, Int8, Float32) -> (Float32),
            (Int8, Int8, Int32) -> (Int8),
            (Int8, Int4, Int32) -> (Int8),
            (UInt8, UInt8, Int32) -> (UInt8),
            (Int16, Int8, Int64) -> (Int16),
            (Int16, Int4, Int64) -> (Int16),
        ])
        .epilogue()
        .half_weights(),
    OpSpec::builtin(BuiltinOperator::TRANSPOSE_CONV, transpose_conv::infer, transpose_conv::lower)
        .versions(5)
        .inputs(3, 4)
        .types(types![
            (Int32, Float32, Float32, Float32) -> (Float32),
            (Int32, Int8, Float32, Float32) -> (Float32),
            (Int32, Int8, Int8, Int32) -> (Int8),
            (Int32, UInt8, UInt8, Int32) -> (UInt8),
            (Int32, Int8, Int16, Int32) -> (Int16),
            (Int32, Int8, Int16, Int64) -> (Int16),
        ])
        .epilogue()
        .spaced_rows(),
    OpSpec::builtin(BuiltinOperator::CONV_3D, conv3d::infer, conv3d::lower)
        .inputs(2, 3)
        .types(types![(Float32) -> (Float32)])
        .epilogue(),
    OpSpec::builtin(BuiltinOperator::CONV_3D_TRANSPOSE, conv3d::infer_transposed, conv3d::lower_transposed)
        .inputs(3, 4)
        .types(types![(Int32, Float32) -> (Float32)])
        .epilogue(),
    OpSpec::builtin(BuiltinOperator::FULLY_CONNECTED, fully_connected::infer, fully_connected::lower)
        .versions(14)
        .inputs(2, 3)
        .outputs(1, 2)
        .types(types![
            (Float32, Float32, Float32) -> (Float32),
            (Float32, Int8, Float32) -> (Float32),
            (Float32, UInt8, Float32) -> (Float32),
            (Float32, Int4, Float32) -> (Float32),
            (Float32, Int2, Float32) -> (Float32),
            (Int8, Int8, Int32) -> (Int8),
            (Int8, Int4, Int32) -> (Int8),
            (Int8, Int2, Int32) -> (Int8),
            (Int8, Int8, Int32) -> (Int16),
            (Int8, Int8, Int32) -> (UInt8),
            (UInt8, UInt8, Int32) -> (UInt8),
            (UInt8, UInt8, Int32) -> (Int16, UInt8),
            (Int16, Int8, Int32) -> (Int16),
            (Int16, Int8, Int64) -> (Int16),
            (Int16, Int4, Int32) -> (Int16),
            (Int16, Int4, Int64) -> (Int16),
            (Int16, Int2, Int32) -> (Int16),
            (Int16, Int2, Int64) -> (Int16),
            (Int16, Int16, Int32) -> (Int16),
            (Int16, Int16, Int64) -> (Int16),
        ])
        .epilogue()
        .half_weights(),
    OpSpec::builtin(BuiltinOperator::BATCH_MATMUL, batch_matmul::infer, batch_matmul::lower)
        .versions(4)
        .inputs(2, 2)
        .types(types![
            (Float32, Float32) -> (Float32),
            (Float32, Int8) -> (Float32),
            (Int8, Int8) -> (Int8),
            (Int8, Int8) -> (Int32),
            (Int16, Int16) -> (Int16),
            (Int16, Int8) -> (Int16),
        ])
        .epilogue(),
];
