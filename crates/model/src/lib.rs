//! Reading, verifying and writing .tflite models.
//!
//! [`Model::parse`] turns the bytes of a file into typed [`Subgraph`]s, [`Tensor`]s and [`Operator`]s and refuses anything
//! the rest of the project would have to distrust: after it every index is in range, every shape has a size, every
//! constant has exactly its bytes, and operators stand in an order in which they can run. Constants are not copied: they
//! point into the file's [`Bytes`], which may be a memory map.
//!
//! [`ModelBuilder`] makes models in memory from the same types, and [`Model::to_bytes`] writes them.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::as_conversions,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod archive;
mod builder;
mod bytes;
mod error;
pub mod flexbuffers;
mod graph;
mod load;
mod model;
pub mod options;
mod quantization;
mod read;
mod sparsity;
pub mod strings;
mod tensor_type;
mod verify;
mod write;

pub use archive::{AssociatedFile, append_files};
pub use builder::ModelBuilder;
pub use bytes::{Bytes, Storage};
pub use error::{ModelError, ModelErrorKind, Place};
pub use ferrolite_schema::tflite::BuiltinOperator;
pub use graph::{
    BufferId, ExternalBuffer, Metadata, OpCode, Operator, OperatorCode, Signature, Subgraph, Tensor,
    VariantType,
};
pub use load::{ExternalFiles, LoadOptions};
pub use model::Model;
pub use options::{OptionTable, Options};
pub use quantization::{Quantization, QuantizationDetails};
pub use sparsity::{SparseIndices, SparseLevel, Sparsity};
pub use tensor_type::TensorType;
pub use write::Layout;
