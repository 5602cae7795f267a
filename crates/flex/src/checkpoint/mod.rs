//! TensorFlow checkpoints: named tensors in the files that `tf.train.Checkpoint` and the operators SaveV2 and RestoreV2
//! read and write.
//!
//! A checkpoint with the prefix `P` is a table `P.index` that says for each name the type, shape and place of its bytes,
//! and data files `P.data-00000-of-00001`. Source: `tensorflow/core/util/tensor_bundle`, and the table format of
//! LevelDB (`doc/table_format.md`), which the index is in.

mod bundle;
mod crc32c;
mod files;
mod table;
mod v1;

pub use bundle::{Checkpoint, Entry, merge, write};
pub use files::write_atomically;
pub use v1::{read_v1, write_v1};

use core::fmt;
use ferrolite_ops::OpError;

/// Why a checkpoint cannot be read or written, with the file or the tensor it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointError(String);

impl CheckpointError {
    /// An error with a sentence for the user.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CheckpointError {}

impl From<CheckpointError> for OpError {
    fn from(error: CheckpointError) -> Self {
        Self::runtime(error.0)
    }
}

impl From<OpError> for CheckpointError {
    fn from(error: OpError) -> Self {
        Self(error.message().to_owned())
    }
}
