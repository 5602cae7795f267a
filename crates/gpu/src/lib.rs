//! GPU backend of Ferrolite over wgpu: Vulkan, Metal and Direct3D 12.
//!
//! A [`GpuBackend`] takes the largest runs of float32 steps it can and turns each into one program: one arena buffer,
//! one buffer of constants, one compute pass. What it does not take stays on the CPU, and the interpreter's
//! `describe()` says why. Shaders are those of [`ferrolite_kernels::wgsl`].

mod backend;
mod claimed;
mod constants;
mod device;
mod dispatch;
mod geometry;
mod memory;
mod moves;
mod op;
mod params;
mod pipeline;
mod program;

pub use backend::GpuBackend;
pub use device::{AdapterChoice, GpuDevice};
