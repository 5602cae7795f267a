//! Matrix multiplications and convolutions of small integers.
//!
//! * [`dot`]: the dot products of the instruction sets, [`pack`]: weights in their order;
//! * [`rows`]: activations from matrices and images, [`gemm`]: the matrix multiplication over them, [`block`]: its tiles;
//! * `strips`: the lines under windows that overlap, copied once instead of each window;
//! * [`batch`]: batches of products of which neither side is constant;
//! * `amx`: the same on the tile registers of x86-64, `windows`: images packed for it;
//! * [`depthwise`]: convolution of each channel with filters of its own;
//! * `quads`: the same by dot products of bytes;
//! * [`dynamic`]: quantizing float activations on the fly;
//! * [`blockwise`]: products with weights that have a scale for each block;
//! * [`words`]: products of 16-bit with 16-bit numbers;
//! * [`store`]: epilogues, [`exact`]: those without floats, [`fixed`]: their multipliers.

#[cfg(target_arch = "x86_64")]
mod amx;
pub mod batch;
pub mod block;
pub mod blockwise;
pub mod depthwise;
pub mod dot;
pub mod dynamic;
pub mod exact;
pub mod fixed;
pub mod gemm;
#[cfg(target_arch = "aarch64")]
mod neon;
pub mod pack;
#[cfg(target_arch = "x86_64")]
mod quads;
pub mod rows;
pub mod store;
mod strips;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod windows;
pub mod words;
