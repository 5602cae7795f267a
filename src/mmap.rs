//! Models mapped into memory.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use ferrolite_model::{Bytes, Storage};

use crate::{Error, ErrorKind, Model, Result};

/// A mapped file.
struct Mapped(memmap2::Mmap);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Storage for Mapped {
    /// Gives the range's pages back; the system reads them again when they are asked for.
    #[cfg(unix)]
    fn release(&self, range: Range<usize>) {
        const WORTH_A_CALL: usize = 16 << 10;
        if range.len() >= WORTH_A_CALL {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the map is read-only and of a file, so that its pages have the same content when they come back.
            // Failure changes nothing.
            let _ = unsafe { self.0.unchecked_advise_range(advice, range.start, range.len()) };
        }
    }
}

/// Maps a file into memory.
///
/// # Safety
/// No process may change or truncate the file while what is returned lives.
pub(crate) unsafe fn map(path: &Path) -> std::io::Result<Bytes> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the caller promises that the file stays as it is.
    let map = unsafe { memmap2::Mmap::map(&file) }?;
    Ok(Bytes::from_storage(Mapped(map)))
}

impl Model {
    /// Maps a file into memory and verifies it: weights are read from disk when they are first used, and those that have
    /// been packed take no memory as they lie in the file.
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
        // SAFETY: the caller promises that the file stays as it is.
        Self::from_bytes(unsafe { map(path) }.map_err(io)?)
    }
}
