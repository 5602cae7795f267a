//! Associated files: a ZIP archive behind the flatbuffer, in which exporters put labels and vocabularies.
//!
//! The reader knows what such archives use: one disk, stored or deflated entries, 32-bit sizes.

use crate::error::{ModelError, bail};
use crate::model::Model;

/// A file that travels with a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssociatedFile {
    /// Name as the archive writes it; a path in the eyes of whoever unpacks it, so not to be trusted.
    pub name: String,
    /// Content, unpacked.
    pub content: Vec<u8>,
}

/// Most bytes that the files of one archive may have once unpacked.
const MAX_UNPACKED: usize = 256 << 20;

const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const END_LEN: usize = 22;
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";
const ENTRY_LEN: usize = 46;
const LOCAL_SIGNATURE: &[u8] = b"PK\x03\x04";
const LOCAL_LEN: usize = 30;

const STORED: usize = 0;
const DEFLATED: usize = 8;
/// Set on an entry that needs a password.
const ENCRYPTED: usize = 1;

impl Model {
    /// Unpacks the files that travel behind the model; none if it was not read from a file that has any.
    ///
    /// # Errors
    /// If there is an archive but it is damaged, encrypted, compressed in another way than by deflate, or unpacks to
    /// more than 256 MiB.
    pub fn associated_files(&self) -> Result<Vec<AssociatedFile>, ModelError> {
        files(self.source())
    }
}

pub(crate) fn files(file: &[u8]) -> Result<Vec<AssociatedFile>, ModelError> {
    let Some(end) = find_end(file) else { return Ok(Vec::new()) };
    let directory = directory(file, end);
    let mut left = MAX_UNPACKED;
    directory.and_then(|directory| directory.unpack(file, &mut left)).unwrap_or_else(|| {
        bail!(
            Archive,
            "the archive behind the model is damaged; fetch the file again or pack it with its files anew"
        )
    })
}

/// Where the record at the end of the archive begins. A comment of up to 64 KiB may follow it.
fn find_end(file: &[u8]) -> Option<usize> {
    let last = file.len().checked_sub(END_LEN)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    (first..=last).rev().find(|&at| {
        let record = file.get(at..).unwrap_or_default();
        record.starts_with(END_SIGNATURE) && narrow(record, 20) == last.checked_sub(at)
    })
}

/// The list of entries.
struct Directory {
    start: usize,
    count: usize,
    /// What to add to positions: the bytes in front of the archive, where its writer did not count them.
    shift: usize,
}

fn directory(file: &[u8], end: usize) -> Option<Directory> {
    let record = file.get(end..)?;
    let start = end.checked_sub(wide(record, 12)?)?;
    Some(Directory { start, count: narrow(record, 10)?, shift: start.checked_sub(wide(record, 16)?)? })
}

impl Directory {
    /// `None` if the archive is damaged.
    fn unpack(&self, file: &[u8], left: &mut usize) -> Option<Result<Vec<AssociatedFile>, ModelError>> {
        let mut at = self.start;
        let mut files = Vec::new();
        for _ in 0..self.count {
            let entry = file.get(at..)?;
            if !entry.starts_with(ENTRY_SIGNATURE) {
                return None;
            }
            let name_end = ENTRY_LEN.checked_add(narrow(entry, 28)?)?;
            let name = String::from_utf8_lossy(entry.get(ENTRY_LEN..name_end)?).into_owned();
            match self.content(file, entry, &name, left)? {
                // Folders have entries too.
                Ok(_) if name.ends_with('/') => {}
                Ok(content) => files.push(AssociatedFile { name, content }),
                Err(error) => return Some(Err(error)),
            }
            at =
                at.checked_add(name_end)?.checked_add(narrow(entry, 30)?)?.checked_add(narrow(entry, 32)?)?;
        }
        Some(Ok(files))
    }

    fn content(
        &self,
        file: &[u8],
        entry: &[u8],
        name: &str,
        left: &mut usize,
    ) -> Option<Result<Vec<u8>, ModelError>> {
        let (flags, method) = (narrow(entry, 8)?, narrow(entry, 10)?);
        let (packed_len, len) = (wide(entry, 20)?, wide(entry, 24)?);
        let local = file.get(wide(entry, 42)?.checked_add(self.shift)?..)?;
        if !local.starts_with(LOCAL_SIGNATURE) {
            return None;
        }
        let start = LOCAL_LEN.checked_add(narrow(local, 26)?)?.checked_add(narrow(local, 28)?)?;
        let packed = local.get(start..start.checked_add(packed_len)?)?;
        let refuse = |why: &str| {
            let message = format!("associated file \"{}\" {why}", name.escape_debug());
            Some(Err(ModelError::new(crate::error::ModelErrorKind::Archive, message)))
        };
        if flags & ENCRYPTED != 0 {
            return refuse("is encrypted; pack it without a password");
        }
        match left.checked_sub(len) {
            Some(rest) => *left = rest,
            None => {
                return refuse("makes the archive too large to unpack; pass large files beside the model");
            }
        }
        let content = match method {
            STORED => packed.to_vec(),
            DEFLATED => miniz_oxide::inflate::decompress_to_vec_with_limit(packed, len).ok()?,
            _ => return refuse("is compressed in an unknown way; pack it with deflate"),
        };
        (content.len() == len && Some(crc32(&content)) == word(entry, 16)).then_some(Ok(content))
    }
}

/// Appends an archive of files, stored as they are, to the bytes of a model.
///
/// # Errors
/// If names, files or the model are larger than the archive format can say.
pub fn append_files(model: &mut Vec<u8>, files: &[AssociatedFile]) -> Result<(), ModelError> {
    let mut directory = Vec::new();
    let too_large = || {
        let message = "the files are too large or too many for an archive; pass large files beside the model";
        ModelError::new(crate::error::ModelErrorKind::Archive, message)
    };
    let mut archive = Vec::new();
    for file in files {
        let name_len = u16::try_from(file.name.len()).map_err(|_| too_large())?;
        let len = u32::try_from(file.content.len()).map_err(|_| too_large())?;
        let at = u32::try_from(model.len().saturating_add(archive.len())).map_err(|_| too_large())?;
        // Both headers share: version 2.0 to extract, UTF-8 names, stored, no time, checksum, sizes, name.
        let mut shared = Vec::new();
        shared.extend([20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0]);
        shared.extend([crc32(&file.content), len, len].map(u32::to_le_bytes).concat());
        shared.extend(name_len.to_le_bytes());
        shared.extend([0; 2]);
        archive.extend([LOCAL_SIGNATURE, &shared, file.name.as_bytes(), &file.content].concat());
        directory.extend([ENTRY_SIGNATURE, &[20, 0], &shared, &[0; 10], &at.to_le_bytes()].concat());
        directory.extend(file.name.as_bytes());
    }
    let count = u16::try_from(files.len()).map_err(|_| too_large())?.to_le_bytes();
    let len = u32::try_from(directory.len()).map_err(|_| too_large())?.to_le_bytes();
    let start =
        u32::try_from(model.len().saturating_add(archive.len())).map_err(|_| too_large())?.to_le_bytes();
    model.extend(archive);
    model.extend(directory);
    model.extend([END_SIGNATURE, &[0; 4], &count, &count, &len, &start, &[0; 2]].concat());
    Ok(())
}

/// The 16-bit number at `at`.
fn narrow(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

/// The 32-bit number at `at`.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The 32-bit number at `at`, as a size.
fn wide(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(word(bytes, at)?).ok()
}

/// The checksum of ZIP: CRC-32 with the reflected polynomial 0xedb88320.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "model" followed by an archive of another writer: `labels.txt`, deflated, holding "cat\n" a hundred times.
    const ARCHIVE: &[u8] = &include!("archive_rows.in");

    #[test]
    fn checksum() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn archives_are_unpacked() {
        let labels = AssociatedFile { name: "labels.txt".into(), content: b"cat\n".repeat(100) };
        assert_eq!(files(ARCHIVE), Ok(vec![labels.clone()]));
        assert_eq!(files(b"no archive here, but long enough"), Ok(vec![]));
        let other = AssociatedFile { name: "größe".into(), content: vec![] };
        let mut appended = b"model".to_vec();
        append_files(&mut appended, &[labels.clone(), other.clone()]).unwrap();
        assert_eq!(files(&appended), Ok(vec![labels.clone(), other.clone()]));
        // The same archive with something in front that its positions do not count.
        assert_eq!(files(&[b"more", &*appended].concat()), Ok(vec![labels, other]));
    }

    #[test]
    fn damage_is_noticed() {
        // Every byte, changed one at a time, gives the files, other names or times, or an error, but never a panic; the
        // content is guarded by its checksum.
        let expected = files(ARCHIVE).unwrap();
        for at in 0..ARCHIVE.len() {
            let mut bytes = ARCHIVE.to_vec();
            bytes[at] ^= 0xff;
            for file in files(&bytes).unwrap_or_default() {
                assert_eq!(file.content, expected[0].content, "byte {at}");
            }
        }
        let mut cut = ARCHIVE.to_vec();
        cut.drain(..20);
        assert_eq!(files(&cut).unwrap_err().kind(), crate::ModelErrorKind::Archive);
    }
}
