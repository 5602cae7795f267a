//! A TensorFlow Lite (LiteRT) interpreter in pure Rust: inference and training of `.tflite` models.
//!
//! A [`Model`] is a verified file that is shared freely between threads; an [`Interpreter`] is a plan of it with memory
//! of its own. Building one chooses a kernel per step and packs the weights, once per model.
//!
//! ```
//! use ferrolite::{Interpreter, Model, Result};
//!
//! fn classify(bytes: Vec<u8>, pixels: &[f32]) -> Result<Vec<f32>> {
//!     let model = Model::from_bytes(bytes)?;
//!     let mut interpreter = Interpreter::builder(&model).threads(2).build()?;
//!     interpreter.input_mut::<f32>(0)?.copy_from_slice(pixels);
//!     interpreter.invoke()?;
//!     Ok(interpreter.output::<f32>(0)?.to_vec())
//! }
//! ```
//!
//! # Features
//! `threads` (default) spreads kernels over threads; `std` (default) reads files; `mmap` maps them into memory;
//! `flex` adds the TensorFlow operators of training graphs and the modules `checkpoint` and `weights`; `gpu` adds the module `gpu`, a backend over Vulkan, Metal and Direct3D 12.

mod builder;
pub mod custom;
mod interpreter;
mod meta;
#[cfg(feature = "mmap")]
mod mmap;
mod model;
mod operators;
mod quantized;
mod signature;
#[cfg(feature = "flex")]
mod training;
mod view;
#[cfg(feature = "std")]
mod weight_cache;

/// TensorFlow checkpoints, and weights as safetensors and JSON.
#[cfg(feature = "flex")]
pub use ferrolite_flex::{checkpoint, weights};
/// Running float32 models on a GPU: hand a [`GpuBackend`](gpu::GpuBackend) to [`InterpreterBuilder::backend`].
#[cfg(feature = "gpu")]
pub use ferrolite_gpu as gpu;

pub use builder::InterpreterBuilder;
pub use ferrolite_kernels::isa::Cpu;
pub use ferrolite_model::{self as model_file, Quantization, TensorType};
pub use ferrolite_ops::{Element, Resources, Shape, TensorValue, Variable, element, strings};
pub use ferrolite_plan::backend;
pub use ferrolite_plan::{Error, ErrorKind, ErrorPlace};
pub use ferrolite_runtime::{CancelToken, Limits, Profile, StepProfile};
pub use interpreter::Interpreter;
pub use meta::TensorMeta;
pub use model::{Model, SignatureInfo};
pub use operators::{OperatorInfo, operators};
pub use signature::{Signature, SignatureRunner};
pub use view::TensorView;
#[cfg(feature = "std")]
pub use weight_cache::{WeightCacheRejection, WeightCacheStatus};

/// A result with the library's error.
pub type Result<T> = core::result::Result<T, Error>;

const _: () = {
    const fn send_and_sync<T: Send + Sync>() {}
    const fn send<T: Send>() {}
    send_and_sync::<Model>();
    send_and_sync::<CancelToken>();
    send::<Interpreter>();
};
