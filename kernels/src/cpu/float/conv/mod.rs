//! Convolutions over channels-last tensors: two- and three-dimensional, grouped, dilated, transposed, depthwise.
//!
//! None of them materialises its windows. An ordinary convolution is a product ([`crate::cpu::float::gemm`]) whose left rows
//! are found in the input (`rows::ConvRows`); a transposed one is such a product for each phase of its stride;
//! a depthwise one has kernels of its own, and may compute the image it convolves as it goes ([`ExpandedF32`]). Of large 3 x 3
//! convolutions fewer products are computed than their sums have ([`WinogradF32`]).

mod conv2d;
mod depthwise;
pub(crate) mod rows;
mod shape;
mod transpose;
mod winograd;

#[cfg(test)]
mod tests;

pub use conv2d::{ConvF32, ConvWeightsF32};
pub use depthwise::{DepthwiseF32, DepthwiseWeightsF32, ExpandedF32};
pub use shape::ConvShape;
pub use transpose::{TransposeConvF32, TransposeConvShape, TransposeConvWeightsF32};
pub use winograd::{WinogradF32, WinogradWeightsF32};
