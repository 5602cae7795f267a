//! Operators of Ferrolite: shape inference and lowering to kernels.
//!
//! Each operator is one [`OpSpec`] in the table of its family (see [`families`]): what it accepts, how the shapes of
//! its outputs follow, and how it is lowered to a [`Kernel`]. The registry, the report of unsupported operators, the
//! coverage table and the choice of conformance cases all derive from that table.

pub mod element;
pub mod eval;
pub mod families;
pub mod strings;

mod attributes;
mod chain;
mod custom;
mod error;
mod io;
mod kernel;
mod list;
mod lower;
mod node;
mod packs;
mod parts;
mod regions;
mod registry;
mod resources;
mod shape;
mod spec;
mod tensor;

pub use attributes::Attributes;
pub use chain::{ChainFn, Elementwise, chain_kernel};
pub use custom::CustomOp;
pub use element::Element;
pub use error::{OpError, OpErrorKind};
pub use families::{BYTE_TABLE, BYTE_TABLE_NAME, Expanded};
pub use ferrolite_model::TensorType;
pub use io::{InputData, InputView, Inputs, Io, OutputData, OutputView, Outputs};
pub use kernel::{Context, Cost, FnKernel, Kernel};
pub use list::{Item, TensorList, merge as merge_dims};
pub use lower::{ADDEND, Fused, GATE, LowerCx, Views};
pub use node::{ConstSource, InferError, Ints, Node, Operand, OutputShape, OutputShapes, one};
pub use packs::{ModelDigest, PackCache, PackFile, PackFileStatus, PackIdentity, PackRejection};
pub use parts::{Parts, PartsFn};
pub use regions::{NoRegions, Regions};
pub use registry::Registry;
pub use resources::{Resources, Table, Variable};
pub use shape::{Shape, resolve_axis};
pub use spec::{InferFn, LowerFn, Memory, OpKey, OpSpec, Traits, TypeRow};
pub use tensor::{AlignedBytes, TensorInfo, TensorValue, is_sized};
