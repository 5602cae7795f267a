//! Named arrays in NumPy's `.npz` format: a zip archive of `.npy` files.
//!
//! Booleans, integers, floats, complex numbers and byte strings are read and written; arrays may have no axes or no
//! elements.

mod array;
mod npy;

pub use array::{Array, Element};

use std::fmt;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Arrays with their names, in the order of the file.
pub type Arrays = Vec<(String, Array)>;

/// Why an archive could not be read or written: a sentence naming the file, and the array in it.
#[derive(Debug)]
pub enum Error {
    /// It could not be read, or holds what is no array.
    Read(String),
    /// It could not be written.
    Write(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Read(message) | Error::Write(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

/// Reads every array of `path`, compressed (`numpy.savez_compressed`) or not.
///
/// # Errors
/// [`Error::Read`] when the file, or an array in it, cannot be read.
pub fn read(path: &Path) -> Result<Arrays, Error> {
    let refuse = |reason: &dyn fmt::Display| {
        Error::Read(format!("cannot read the arrays of {}: {reason}", path.display()))
    };
    let file = File::open(path).map_err(|e| refuse(&e))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| refuse(&e))?;
    let mut arrays = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|e| refuse(&e))?;
        let full_name = entry.name().map_err(|e| refuse(&e))?.into_owned();
        let name = full_name.strip_suffix(".npy").unwrap_or(&full_name).to_owned();
        let array = npy::read(&mut entry).map_err(|e| refuse(&format!("array '{name}': {e}")))?;
        arrays.push((name, array));
    }
    Ok(arrays)
}

/// Writes `arrays`, uncompressed, so that `numpy.load` can map them.
///
/// # Errors
/// [`Error::Write`] when the file cannot be written.
pub fn write<'a>(path: &Path, arrays: impl IntoIterator<Item = (&'a str, &'a Array)>) -> Result<(), Error> {
    let refuse = |reason: &dyn fmt::Display| {
        Error::Write(format!("cannot write the arrays to {}: {reason}", path.display()))
    };
    let file = File::create(path).map_err(|e| refuse(&e))?;
    let mut archive = ZipWriter::new(BufWriter::new(file));
    for (name, array) in arrays {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(array.bytes().len() >= 1 << 31);
        archive.start_file(format!("{name}.npy"), options).map_err(|e| refuse(&e))?;
        npy::write(&mut archive, array).map_err(|e| refuse(&e))?;
    }
    let mut file = archive.finish().map_err(|e| refuse(&e))?;
    file.flush().map_err(|e| refuse(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_keep_names_order_and_values() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("arrays.npz");
        let arrays = [
            ("1", Array::new(Element::Float32, vec![2], 1.5f32.to_le_bytes().repeat(2))),
            ("0", Array::new(Element::Int64, vec![], 7i64.to_le_bytes().to_vec())),
            ("sub/3", Array::new(Element::Complex64, vec![0, 2], vec![])),
            ("text", Array::from_strings(vec![3], &[b"one".to_vec(), vec![], b"three".to_vec()])),
        ];
        let arrays = arrays.map(|(name, array)| (name, array.expect("sized")));
        write(&path, arrays.iter().map(|(name, array)| (*name, array))).expect("writes");
        let expected: Arrays = arrays.map(|(name, array)| (name.to_owned(), array)).into();
        let found = read(&path).expect("reads");
        assert_eq!(found, expected);
        assert_eq!(found[3].1.strings(), Some(vec![&b"one"[..], b"", b"three"]));
    }

    #[test]
    fn errors_name_the_file_and_the_array() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("broken.npz");
        let missing = read(&path).expect_err("no such file").to_string();
        assert!(missing.contains("broken.npz"), "{missing}");

        let mut archive = ZipWriter::new(File::create(&path).expect("creates"));
        archive.start_file("weights.npy", SimpleFileOptions::default()).expect("starts");
        archive.write_all(b"not an array").expect("writes");
        archive.finish().expect("finishes");
        let malformed = read(&path).expect_err("not an array").to_string();
        assert!(malformed.contains("broken.npz") && malformed.contains("'weights'"), "{malformed}");
    }
}
