//! Matrix multiplications and convolutions of small integers.
//!
//! * [`dot`]: the dot products of the instruction sets, [`pack`]: weights in their order;
//! * [`rows`]: activations from matrices and images, [`gemm`]: the matrix multiplication over them;
//! * [`depthwise`]: convolution of each channel with filters of its own;
//! * [`dynamic`]: quantizing float activations on the fly;
//! * [`blockwise`]: products with weights that have a scale for each block;
//! * [`words`]: products of 16-bit with 16-bit numbers;
//! * [`store`]: epilogues, [`fixed`]: requantization by fixed-point multipliers.

pub mod blockwise;
pub mod depthwise;
pub mod dot;
pub mod dynamic;
pub mod fixed;
pub mod gemm;
#[cfg(target_arch = "aarch64")]
mod neon;
pub mod pack;
pub mod rows;
pub mod store;
#[cfg(test)]
mod tests;
pub mod words;
