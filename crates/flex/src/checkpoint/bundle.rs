//! Tensor bundles, the checkpoints of TensorFlow 2.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ferrolite_ops::{Shape, TensorType, TensorValue, strings};

use super::crc32c::{extend, mask};
use super::files::{Pending, load, with_suffix, write_atomically};
use super::{CheckpointError, table};
use crate::node_def::{shape_of, tensor_type, type_number};
use crate::wire::{Reader, WireError, Writer};

/// What the index says of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// TensorFlow's number of the element type.
    type_number: i32,
    /// Dimensions.
    pub shape: Shape,
    shard: u32,
    offset: u64,
    size: u64,
    crc: u32,
    sliced: bool,
}

impl Entry {
    /// Element type; `None` for one that TensorFlow Lite lacks.
    #[must_use]
    pub fn dtype(&self) -> Option<TensorType> {
        tensor_type(self.type_number)
    }

    fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut entry = Self {
            type_number: 0,
            shape: Shape::scalar(),
            shard: 0,
            offset: 0,
            size: 0,
            crc: 0,
            sliced: false,
        };
        for field in Reader::new(bytes) {
            match field? {
                (1, v) => entry.type_number = i32::try_from(v.varint()?).map_err(|_| WireError)?,
                (2, v) => {
                    let dims = shape_of(v.bytes()?)?.ok_or(WireError)?;
                    let dims = dims.into_iter().map(usize::try_from).collect::<Result<_, _>>();
                    entry.shape = dims.map_err(|_| WireError)?;
                }
                (3, v) => entry.shard = u32::try_from(v.varint()?).map_err(|_| WireError)?,
                (4, v) => entry.offset = v.varint()?,
                (5, v) => entry.size = v.varint()?,
                (6, v) => entry.crc = v.fixed32()?,
                (7, _) => entry.sliced = true,
                _ => {}
            }
        }
        Ok(entry)
    }

    fn encode(&self) -> Vec<u8> {
        let mut shape = Writer::default();
        for &dim in self.shape.iter() {
            let mut size = Writer::default();
            size.varint(1, dim as u64);
            shape.bytes(2, &size.finish());
        }
        let mut out = Writer::default();
        out.varint(1, self.type_number as u64);
        out.bytes(2, &shape.finish());
        out.varint(3, u64::from(self.shard));
        out.varint(4, self.offset);
        out.varint(5, self.size);
        out.fixed32(6, self.crc);
        out.finish()
    }
}

/// The index's first entry: how many data files there are, little-endian, version 1.
fn header(shards: u32) -> Vec<u8> {
    let mut version = Writer::default();
    version.varint(1, 1);
    let mut out = Writer::default();
    out.varint(1, u64::from(shards));
    out.bytes(3, &version.finish());
    out.finish()
}

fn data_path(prefix: &Path, shard: u32, shards: u32) -> PathBuf {
    with_suffix(prefix, &format!(".data-{shard:05}-of-{shards:05}"))
}

fn index_path(prefix: &Path) -> PathBuf {
    with_suffix(prefix, ".index")
}

/// A checkpoint whose index has been read.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    prefix: PathBuf,
    shards: u32,
    entries: BTreeMap<String, Entry>,
}

impl Checkpoint {
    /// Reads the index of the checkpoint with this prefix.
    ///
    /// # Errors
    /// When the index is missing or damaged, or holds big-endian numbers.
    pub fn open(prefix: impl Into<PathBuf>) -> Result<Self, CheckpointError> {
        let prefix = prefix.into();
        let path = index_path(&prefix);
        let about = |e: &dyn core::fmt::Display| CheckpointError::new(format!("{}: {e}", path.display()));
        let pairs = table::read(&load(&path)?).map_err(|e| about(&e))?;
        let mut checkpoint = Self { prefix, shards: 1, entries: BTreeMap::new() };
        for (key, value) in pairs {
            if key.is_empty() {
                checkpoint.header(&value).map_err(|e| about(&e))?;
                continue;
            }
            let name = String::from_utf8(key).map_err(|_| about(&"a tensor's name is no text"))?;
            let entry =
                Entry::parse(&value).map_err(|e| about(&format!("the entry of '{name}' is damaged: {e}")))?;
            checkpoint.entries.insert(name, entry);
        }
        Ok(checkpoint)
    }

    fn header(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        let bad = |e: WireError| CheckpointError::new(format!("the header is damaged: {e}"));
        for field in Reader::new(bytes) {
            match field.map_err(bad)? {
                (1, v) => self.shards = v.varint().map_err(bad)?.try_into().map_err(|_| bad(WireError))?,
                (2, v) if v.varint().map_err(bad)? != 0 => {
                    return Err(CheckpointError::new("the checkpoint holds big-endian numbers"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Names and what the index says of them, sorted.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// Reads a tensor and compares its checksum.
    ///
    /// # Errors
    /// When there is no such tensor, it is stored in slices or of a type without counterpart, or its bytes are damaged; each
    /// names the tensor.
    pub fn read(&self, name: &str) -> Result<TensorValue, CheckpointError> {
        let about = |what: &dyn core::fmt::Display| {
            CheckpointError::new(format!(
                "tensor '{name}' of the checkpoint {}: {what}",
                self.prefix.display()
            ))
        };
        let entry = self.entries.get(name).ok_or_else(|| about(&"there is no such tensor"))?;
        if entry.sliced {
            return Err(about(&"it is stored in slices: save the checkpoint without partitioned variables"));
        }
        let dtype = entry.dtype().ok_or_else(|| about(&"its element type has no counterpart"))?;
        let bytes = self.bytes(entry).map_err(|e| about(&e))?;
        let damaged = || about(&"it is damaged: its checksum does not match its content");
        if dtype == TensorType::String {
            let count = entry.shape.num_elements().map_err(|e| about(&e))?;
            let (texts, crc) = decode_strings(&bytes, count).ok_or_else(damaged)?;
            if mask(crc) != entry.crc {
                return Err(damaged());
            }
            let encoded = strings::encode(&texts).map_err(|e| about(&e))?;
            return TensorValue::from_bytes(dtype, entry.shape.clone(), &encoded).map_err(|e| about(&e));
        }
        if mask(extend(0, &bytes)) != entry.crc {
            return Err(damaged());
        }
        TensorValue::from_bytes(dtype, entry.shape.clone(), &bytes).map_err(|e| about(&e))
    }

    fn bytes(&self, entry: &Entry) -> Result<Vec<u8>, String> {
        let path = data_path(&self.prefix, entry.shard, self.shards);
        let failed = |e: std::io::Error| format!("cannot read {}: {e}", path.display());
        let mut file = File::open(&path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        // The file's own size bounds what a damaged index can ask for.
        let end = entry.offset.checked_add(entry.size).filter(|&end| end <= len);
        let size = end.and_then(|_| usize::try_from(entry.size).ok());
        let size = size.ok_or_else(|| format!("it lies beyond the end of {}", path.display()))?;
        file.seek(SeekFrom::Start(entry.offset)).map_err(failed)?;
        let mut bytes = vec![0; size];
        file.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}

/// Lengths as varints, the masked checksum of the lengths as integers, and the strings one after another; the checksum goes on
/// over all of it.
fn encode_strings(texts: &[&[u8]]) -> (Vec<u8>, u32) {
    let (mut out, mut crc) = (Vec::new(), 0);
    for text in texts {
        Writer::varint_to(&mut out, text.len() as u64);
        crc = extend_length(crc, text.len());
    }
    let checksum = mask(crc).to_le_bytes();
    out.extend_from_slice(&checksum);
    crc = extend(crc, &checksum);
    for text in texts {
        out.extend_from_slice(text);
        crc = extend(crc, text);
    }
    (out, crc)
}

fn extend_length(crc: u32, len: usize) -> u32 {
    match u32::try_from(len) {
        Ok(short) => extend(crc, &short.to_le_bytes()),
        Err(_) => extend(crc, &(len as u64).to_le_bytes()),
    }
}

fn decode_strings(bytes: &[u8], count: usize) -> Option<(Vec<&[u8]>, u32)> {
    let (mut rest, mut crc) = (bytes, 0);
    let mut lengths = Vec::new();
    if count > bytes.len() {
        return None;
    }
    for _ in 0..count {
        let mut len = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            len |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        lengths.push(usize::try_from(len).ok()?);
        crc = extend_length(crc, usize::try_from(len).ok()?);
    }
    let (checksum, mut rest) = rest.split_first_chunk::<4>()?;
    if mask(crc).to_le_bytes() != *checksum {
        return None;
    }
    crc = extend(crc, checksum);
    let mut texts = Vec::with_capacity(count);
    for len in lengths {
        let (text, after) = rest.split_at_checked(len)?;
        crc = extend(crc, text);
        texts.push(text);
        rest = after;
    }
    Some((texts, crc))
}

/// Writes a checkpoint of one data file. Both files are on the disk before the first takes the place of an older one, the index
/// last: only a crash between two renames can part them, and then each tensor's checksum tells.
///
/// # Errors
/// When a name occurs twice or is empty, a type has no counterpart in TensorFlow, or the file system refuses.
pub fn write<'a>(
    prefix: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (&'a str, &'a TensorValue)>,
) -> Result<(), CheckpointError> {
    let prefix = prefix.as_ref();
    let (mut data, mut entries) = (Vec::new(), BTreeMap::new());
    for (name, value) in tensors {
        let about = |what: &dyn core::fmt::Display| {
            CheckpointError::new(format!("tensor '{name}' cannot be saved: {what}"))
        };
        if name.is_empty() {
            return Err(about(&"it has no name"));
        }
        let type_number = type_number(value.dtype())
            .filter(|_| !matches!(value.dtype(), TensorType::Resource | TensorType::Variant))
            .ok_or_else(|| about(&format!("its type {} has no place in a checkpoint", value.dtype())))?;
        let offset = data.len() as u64;
        let crc = if value.dtype() == TensorType::String {
            let (bytes, crc) = encode_strings(&strings::decode(value.bytes())?);
            data.extend(bytes);
            crc
        } else {
            data.extend_from_slice(value.bytes());
            extend(0, value.bytes())
        };
        let entry = Entry {
            type_number,
            shape: value.shape().clone(),
            shard: 0,
            offset,
            size: data.len() as u64 - offset,
            crc: mask(crc),
            sliced: false,
        };
        if entries.insert(name.to_owned(), entry).is_some() {
            return Err(about(&"another one has the same name"));
        }
    }
    let (data_file, index_file) = (data_path(prefix, 0, 1), index_path(prefix));
    let data = Pending::new(&data_file, &data)?;
    let index = Pending::new(&index_file, &index(1, &entries))?;
    data.place()?;
    index.place()
}

/// The content of an index.
fn index(shards: u32, entries: &BTreeMap<String, Entry>) -> Vec<u8> {
    let header = header(shards);
    let encoded: Vec<(&str, Vec<u8>)> = entries.iter().map(|(name, e)| (name.as_str(), e.encode())).collect();
    let all = core::iter::once((&b""[..], header.as_slice()))
        .chain(encoded.iter().map(|(name, entry)| (name.as_bytes(), entry.as_slice())));
    table::write(all)
}

/// Makes one checkpoint out of several with disjoint names, as MergeV2Checkpoints does.
///
/// The data files are renamed or copied, not rewritten; the sources' indices are deleted if `delete` says so.
///
/// # Errors
/// When a source cannot be read, a name occurs twice, or the file system refuses.
pub fn merge(sources: &[PathBuf], destination: &Path, delete: bool) -> Result<(), CheckpointError> {
    let opened: Vec<Checkpoint> =
        sources.iter().map(|s| Checkpoint::open(s.clone())).collect::<Result<_, _>>()?;
    let shards = opened.iter().try_fold(0u32, |sum, c| sum.checked_add(c.shards));
    let shards =
        shards.ok_or_else(|| CheckpointError::new("the checkpoints have too many data files to merge"))?;
    let entries = merged_entries(&opened)?;
    // On the disk before anything is moved.
    let index_file = index_path(destination);
    let pending = Pending::new(&index_file, &index(shards, &entries))?;
    let mut first = 0;
    for source in &opened {
        for shard in 0..source.shards {
            let from = data_path(&source.prefix, shard, source.shards);
            move_file(&from, &data_path(destination, first + shard, shards), delete)?;
        }
        first += source.shards;
    }
    pending.place()?;
    if delete {
        for source in opened.iter().filter(|s| s.prefix != destination) {
            let index = index_path(&source.prefix);
            std::fs::remove_file(&index)
                .map_err(|e| CheckpointError::new(format!("cannot delete {}: {e}", index.display())))?;
        }
    }
    Ok(())
}

/// The tensors of several checkpoints whose data files are counted through.
fn merged_entries(sources: &[Checkpoint]) -> Result<BTreeMap<String, Entry>, CheckpointError> {
    let mut entries = BTreeMap::new();
    let mut first = 0;
    for source in sources {
        for (name, entry) in &source.entries {
            let mut entry = entry.clone();
            entry.shard += first;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(CheckpointError::new(format!(
                    "tensor '{name}' is in more than one of the checkpoints to be merged"
                )));
            }
        }
        first += source.shards;
    }
    Ok(entries)
}

/// Renames a file, or copies it to another file system or if it is to be kept.
fn move_file(from: &Path, to: &Path, delete: bool) -> Result<(), CheckpointError> {
    if from == to || delete && std::fs::rename(from, to).is_ok() {
        return Ok(());
    }
    let failed = |e: std::io::Error| {
        CheckpointError::new(format!("cannot move {} to {}: {e}", from.display(), to.display()))
    };
    write_atomically(to, &std::fs::read(from).map_err(failed)?).map_err(failed)?;
    if delete {
        std::fs::remove_file(from).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<(String, TensorValue)> {
        let texts = strings::encode(&[b"ab".as_slice(), b"", &[7; 300]]).unwrap();
        vec![
            (
                "w".to_owned(),
                TensorValue::from_elements([2, 3].into(), &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap(),
            ),
            ("step".to_owned(), TensorValue::from_elements(Shape::scalar(), &[7i64]).unwrap()),
            ("empty".to_owned(), TensorValue::from_elements::<i32>([0, 4].into(), &[]).unwrap()),
            ("texts".to_owned(), TensorValue::from_bytes(TensorType::String, [3].into(), &texts).unwrap()),
        ]
    }

    fn write_sample(prefix: &Path, tensors: &[(String, TensorValue)]) {
        write(prefix, tensors.iter().map(|(n, v)| (n.as_str(), v))).unwrap();
    }

    #[test]
    fn round_trip_and_merge() {
        let folder = tempfile::tempdir().unwrap();
        let tensors = sample();
        let (a, b, all) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("all"));
        write_sample(&a, &tensors[..2]);
        write_sample(&b, &tensors[2..]);
        merge(&[a.clone(), b.clone()], &all, true).unwrap();
        assert!(Checkpoint::open(&a).is_err(), "the sources are gone");
        let merged = Checkpoint::open(&all).unwrap();
        assert_eq!(merged.entries().count(), tensors.len());
        for (name, value) in &tensors {
            let read = merged.read(name).unwrap();
            assert_eq!(
                (read.dtype(), read.shape(), read.bytes()),
                (value.dtype(), value.shape(), value.bytes()),
                "{name}"
            );
        }
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "no temporary files: {left:?}");
    }

    #[test]
    fn damage_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("c");
        let tensors = sample();
        write_sample(&prefix, &tensors);
        let data = data_path(&prefix, 0, 1);
        let whole = std::fs::read(&data).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            std::fs::write(&data, &bad).unwrap();
            let checkpoint = Checkpoint::open(&prefix).unwrap();
            let refused: Vec<String> = tensors
                .iter()
                .filter_map(|(name, _)| checkpoint.read(name).err().filter(|e| e.to_string().contains(name)))
                .map(|e| e.to_string())
                .collect();
            assert_eq!(refused.len(), 1, "byte {at}: {refused:?}");
        }
        std::fs::write(&data, &whole[..10]).unwrap();
        assert!(Checkpoint::open(&prefix).unwrap().read("w").unwrap_err().to_string().contains("'w'"));
        assert!(
            Checkpoint::open(&prefix).unwrap().read("nothing").unwrap_err().to_string().contains("'nothing'")
        );
    }
}
