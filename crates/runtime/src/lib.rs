//! Execution of planned models: memory, variables, subgraph calls, cancellation, profiling.
//!
//! An [`Executor`] owns what an interpreter changes: the arenas, the tensors with memory of their own and the resource
//! variables. Everything else, the graphs and the packed weights, belongs to the [`SharedModel`].

mod arena;
mod cancel;
mod executor;
mod instance;
mod options;
mod pool;
mod profile;
mod shared;
mod spare;

pub use cancel::CancelToken;
pub use executor::Executor;
pub use options::{Limits, Options, default_threads};
pub use profile::{Profile, StepProfile};
pub use shared::SharedModel;
