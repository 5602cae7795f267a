//! Packed weights kept in a file from one run to the next.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ferrolite_kernels::packing::Lines;
use ferrolite_model::Bytes;
use ferrolite_ops::PackFile;

pub use ferrolite_ops::PackRejection as WeightCacheRejection;

/// What an interpreter's cache of packed weights was good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WeightCacheStatus {
    /// Weights that came from the file.
    pub hits: usize,
    /// Weights that had to be packed, because the file was missing, did not have them, or was rejected.
    pub misses: usize,
    /// Why the file, or a part of it, was not used; `None` as well when there was none.
    pub rejected: Option<WeightCacheRejection>,
    /// Whether the file was written.
    pub written: bool,
    /// Why it could not be written.
    pub write_error: Option<String>,
}

/// The file an interpreter was told to use.
#[derive(Clone)]
pub(crate) struct CacheFile {
    path: PathBuf,
    open: fn(&Path) -> io::Result<Bytes>,
    written: bool,
    write_error: Option<String>,
}

impl CacheFile {
    /// The file at `path`, whose content `open` gives.
    pub fn new(path: PathBuf, open: fn(&Path) -> io::Result<Bytes>) -> Self {
        Self { path, open, written: false, write_error: None }
    }

    /// The content; none if there is no file.
    pub fn content(&self) -> Result<Option<Bytes>, String> {
        match (self.open)(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    }

    /// What became of the file.
    pub fn status(&self, packs: &PackFile) -> WeightCacheStatus {
        let found = packs.status();
        WeightCacheStatus {
            hits: found.hits,
            misses: found.misses,
            rejected: found.rejected,
            written: self.written,
            write_error: self.write_error.clone(),
        }
    }

    /// Writes the file if it lacks something.
    pub fn save(&mut self, packs: &PackFile) {
        if !packs.is_stale() {
            return;
        }
        let replaced = replace(&self.path, |out| packs.write(out));
        self.written |= replaced.is_ok();
        match replaced {
            Ok(()) => {
                packs.replaced();
                self.write_error = None;
            }
            Err(e) => {
                self.write_error = Some(format!("cannot write {}: {e}", self.path.display()));
            }
        }
    }
}

/// Reads a file into memory that starts on a cache line.
pub(crate) fn read(path: &Path) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    let len = usize::try_from(file.metadata()?.len()).map_err(|_| ErrorKind::FileTooLarge)?;
    let mut done = Ok(());
    let lines = Lines::filled(len, |to| done = file.read_exact(to)).map_err(|_| ErrorKind::OutOfMemory)?;
    done.map(|()| Bytes::from_owner(lines))
}

/// Puts a file in the place of `path` at once, so that whoever opens it finds the old or the new one, whole; one that is open
/// or mapped elsewhere stays as it is.
fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy();
    let unique = format!(".{name}.{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let beside = path.with_file_name(unique);
    let written = (OpenOptions::new().write(true).create_new(true).open(&beside)).and_then(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush()?;
        drop(out);
        fs::rename(&beside, path)
    });
    if written.is_err() {
        // Nothing is left behind; that this may fail as well changes nothing.
        let _ = fs::remove_file(&beside);
    }
    written
}
