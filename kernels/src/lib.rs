//! Compute kernels of Ferrolite: SIMD CPU kernels, reference loops and WGSL shaders.
//!
//! Kernels know no graph and no interpreter: they are functions over slices and dimensions. Vector code is
//! written once over the [`isa::Isa`] trait and compiled for every instruction set that a token of [`isa::Cpu`]
//! stands for; work is spread over threads by [`par::Par`].

mod aligned;

pub mod cpu;
pub mod error;
pub mod fixed_point;
pub mod float8;
pub mod inout;
pub mod isa;
pub mod packing;
pub mod par;
pub mod reference;
pub mod scratch;
#[cfg(feature = "threads")]
pub mod team;
pub mod wgsl;

#[cfg(test)]
mod testing;
