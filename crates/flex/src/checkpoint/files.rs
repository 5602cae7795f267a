//! Files that appear whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::CheckpointError;

/// `path` with `suffix` behind its last component.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A file that is on the disk beside the one whose place it is to take. Removed if it never does.
pub(super) struct Pending<'a> {
    temporary: PathBuf,
    path: &'a Path,
}

impl<'a> Pending<'a> {
    /// Fills a temporary file and flushes it to the disk: all that can fail for want of space.
    fn fill(path: &'a Path, bytes: &[u8]) -> std::io::Result<Self> {
        use std::sync::atomic::{AtomicU64, Ordering};

        /// Tells the temporary files of threads apart; the process's number tells those of processes.
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let temporary = with_suffix(path, &format!(".tmp{}-{serial}", std::process::id()));
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        let pending = Self { temporary, path };
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(pending)
    }

    /// As [`Pending::fill`], of a checkpoint.
    pub(super) fn new(path: &'a Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        Self::fill(path, bytes).map_err(|e| refused(path, &e))
    }

    /// Takes the place.
    pub(super) fn place(self) -> Result<(), CheckpointError> {
        std::fs::rename(&self.temporary, self.path).map_err(|e| refused(self.path, &e))
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        // Not there any more if it took its place; else only litter, and what the first error says matters.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

fn refused(path: &Path, error: &std::io::Error) -> CheckpointError {
    CheckpointError::new(format!("cannot write the checkpoint file {}: {error}", path.display()))
}

/// Writes a file so that `path` holds either its old content or all of `bytes`: a temporary file beside it is filled,
/// flushed to the disk, and renamed.
///
/// # Errors
/// When the file system refuses; the temporary file is removed then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let pending = Pending::fill(path, bytes)?;
    std::fs::rename(&pending.temporary, path)
}

/// [`write_atomically`] for a file of a checkpoint.
pub(super) fn save(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    Pending::new(path, bytes)?.place()
}

pub(super) fn load(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    std::fs::read(path)
        .map_err(|e| CheckpointError::new(format!("cannot read the checkpoint file {}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_take_its_place_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.index");
        let others = || std::fs::read_dir(folder.path()).unwrap().count() - 1;
        save(&path, b"old").unwrap();
        let pending = Pending::new(&path, b"new").unwrap();
        assert_eq!((load(&path).unwrap(), others()), (b"old".to_vec(), 1));
        drop(pending);
        assert_eq!((load(&path).unwrap(), others()), (b"old".to_vec(), 0));
        Pending::new(&path, b"new").unwrap().place().unwrap();
        assert_eq!((load(&path).unwrap(), others()), (b"new".to_vec(), 0));
        // A folder is in the way.
        let taken = folder.path().join("folder");
        std::fs::create_dir_all(taken.join("full")).unwrap();
        let error = save(&taken, b"new").unwrap_err().to_string();
        assert!(error.contains("folder"), "{error}");
        assert_eq!(others(), 1);
    }
}
