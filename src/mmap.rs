//! Models mapped into memory.

use std::fs::File;
use std::path::Path;

use ferrolite_model::Bytes;

use crate::{Error, ErrorKind, Model, Result};

impl Model {
    /// Maps a file into memory and verifies it: weights are read from disk when they are first used.
    ///
    /// # Safety
    /// No process may change or truncate the file while the model or anything made from it lives.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when it cannot be mapped, otherwise as [`Model::from_bytes`].
    pub unsafe fn from_mmap(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let io = |e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("cannot map the model {}: {e}", path.display()))
        };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the caller promises that the file stays as it is.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Self::from_bytes(Bytes::from_owner(map))
    }
}
