//! Recurrent layers: LSTM, plain RNN and SVDF, in float, with 8-bit weights, and in integers.
//!
//! Layers borrow the weights in the model's own row-major layout. The products with the inputs of a whole block of
//! steps are computed together; only those with the state are left for the steps themselves.

mod activation;
mod dense;
#[cfg(target_arch = "x86_64")]
mod dense_vnni;
pub mod fixed;
mod fixed_lanes;
mod linear;
mod lstm;
mod lstm_basic;
mod lstm_int;
mod lstm_narrow;
mod quantize;
mod rnn;
mod sequence;
mod svdf;
#[cfg(test)]
mod tests;

pub use activation::Activation;
pub use dense::{Vectors, products_bytes, products_f32, products_i8, products_int, row_sums};
pub use linear::{Matrix, Operand};
pub use lstm::{Gate, Lstm, LstmSize, LstmState, Peephole, Projection};
pub use lstm_basic::{BasicLstmSize, BasicLstmU8, basic_lstm_f32};
pub use lstm_int::{IntGate, IntLstm, IntMatrix, IntNorm, IntProjection};
pub use lstm_narrow::{NarrowGate, NarrowLstm, NarrowMatrix};
pub use quantize::quantize_vector;
pub use rnn::{Rnn, RnnSize};
pub use sequence::{OutputRows, Sequence};
pub use svdf::{IntSvdf, Svdf, SvdfSize, TimeWeights};
