//! Graph rewriting, memory planning and kernel choice of Ferrolite.
//!
//! A [`Graph`] is a subgraph of a model with its operators' specs; [`rewrite`] simplifies it once, [`compile()`] plans
//! a [`Segment`] of it for given shapes. Most graphs are one segment; shapes that depend on data split them.
#![forbid(unsafe_code)]

pub mod arena;
pub mod backend;

mod blocks;
mod chains;
mod compile;
mod describe;
mod error;
mod expanded;
mod extent;
mod gate;
mod graph;
mod halves;
mod infer;
mod inline;
mod memory;
mod pieces;
mod regions;
mod residual;
mod rewrite;
mod segment;
mod tables;
mod taken_over;
mod uses;
mod variables;
mod views;

pub use compile::{CompileOptions, compile};
pub use describe::describe;
pub use error::{Error, ErrorKind, Place as ErrorPlace};
pub use graph::{Content, Graph, GraphNode, GraphTensor, unsupported_operators};
pub use infer::Known;
pub use rewrite::{Fusion, rewrite};
pub use segment::{Place, Segment, Step, StepOperand};
