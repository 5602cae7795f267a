//! TensorFlow checkpoints: named tensors in the files that `tf.train.Checkpoint` and the operators SaveV2 and RestoreV2
//! read and write.
//!
//! A checkpoint with the prefix `P` is a table `P.index` that says for each name the type, shape and place of its bytes,
//! and data files `P.data-00000-of-00001`. Source: `tensorflow/core/util/tensor_bundle`, and the table format of
//! LevelDB (`doc/table_format.md`), which the index is in.

mod bundle;
mod crc32c;
mod table;
mod v1;

pub use bundle::{Checkpoint, Entry, merge, write};
pub use v1::{read_v1, write_v1};

use core::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

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

/// `path` with `suffix` behind its last component.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes a file so that `path` holds either its old content or all of `bytes`: a temporary file beside it is filled,
/// flushed to the disk, and renamed.
///
/// # Errors
/// When the file system refuses; the temporary file is removed then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Tells the temporary files of threads apart; the process's number tells those of processes.
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let temporary = with_suffix(path, &format!(".tmp{}-{serial}", std::process::id()));
    let fill = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&temporary, path)
    };
    fill().inspect_err(|_| {
        // What the first error says matters; a file that is left over is only litter.
        let _ = std::fs::remove_file(&temporary);
    })
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    write_atomically(path, bytes).map_err(|e| {
        CheckpointError::new(format!("cannot write the checkpoint file {}: {e}", path.display()))
    })
}

fn load(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    std::fs::read(path)
        .map_err(|e| CheckpointError::new(format!("cannot read the checkpoint file {}: {e}", path.display())))
}
