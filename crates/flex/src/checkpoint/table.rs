//! Sorted tables of keys and values in LevelDB's table format, without compression, filters or a block cache.

use super::CheckpointError;
use super::crc32c::{extend, mask};
use crate::wire::Writer;

/// Ends every table.
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
/// Bytes of two handles, padded, and the magic number.
const FOOTER: usize = 48;
/// Bytes behind a block: kind of compression and checksum.
const TRAILER: usize = 5;
/// Entries between two that spell out their whole key.
const RESTART_INTERVAL: usize = 16;
/// A block is closed when it is this long.
const BLOCK: usize = 256 << 10;

fn damaged(what: &str) -> CheckpointError {
    CheckpointError::new(format!("the checkpoint's table is damaged: {what}"))
}

/// A block of entries being written.
#[derive(Default)]
struct BlockWriter {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    entries: usize,
    last: Vec<u8>,
}

impl BlockWriter {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let shared = if self.entries.is_multiple_of(RESTART_INTERVAL) {
            self.restarts.push(self.bytes.len() as u32);
            0
        } else {
            self.last.iter().zip(key).take_while(|(a, b)| a == b).count()
        };
        for number in [shared, key.len() - shared, value.len()] {
            Writer::varint_to(&mut self.bytes, number as u64);
        }
        self.bytes.extend_from_slice(&key[shared..]);
        self.bytes.extend_from_slice(value);
        self.last = key.to_vec();
        self.entries += 1;
    }

    /// The block with its restart points.
    fn finish(mut self) -> Vec<u8> {
        if self.restarts.is_empty() {
            self.restarts.push(0);
        }
        for restart in &self.restarts {
            self.bytes.extend_from_slice(&restart.to_le_bytes());
        }
        self.bytes.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        self.bytes
    }
}

/// Appends a block with its trailer and gives its handle: offset and length as varints.
fn append(table: &mut Vec<u8>, block: &[u8]) -> Vec<u8> {
    let mut handle = Vec::new();
    Writer::varint_to(&mut handle, table.len() as u64);
    Writer::varint_to(&mut handle, block.len() as u64);
    table.extend_from_slice(block);
    table.push(0);
    let crc = extend(extend(0, block), &[0]);
    table.extend_from_slice(&mask(crc).to_le_bytes());
    handle
}

/// A table of entries, which must come in rising order of their keys.
pub fn write<'a>(entries: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let (mut table, mut index) = (Vec::new(), BlockWriter::default());
    let mut block = BlockWriter::default();
    for (key, value) in entries {
        block.add(key, value);
        if block.bytes.len() >= BLOCK {
            let full = core::mem::take(&mut block);
            let last = full.last.clone();
            let handle = append(&mut table, &full.finish());
            index.add(&last, &handle);
        }
    }
    if block.entries > 0 {
        let last = block.last.clone();
        let handle = append(&mut table, &block.finish());
        index.add(&last, &handle);
    }
    let mut footer = append(&mut table, &BlockWriter::default().finish());
    footer.extend(append(&mut table, &index.finish()));
    footer.resize(FOOTER - size_of::<u64>(), 0);
    table.extend(footer);
    table.extend_from_slice(&MAGIC.to_le_bytes());
    table
}

/// Takes a varint off the front.
fn varint(bytes: &mut &[u8]) -> Result<usize, CheckpointError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| damaged("a number ends early"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return usize::try_from(value).map_err(|_| damaged("a number is too large"));
        }
    }
    Err(damaged("a number does not end"))
}

/// The block that a handle at the front of `handle` names, its checksum compared.
fn block<'t>(table: &'t [u8], handle: &mut &[u8]) -> Result<&'t [u8], CheckpointError> {
    let (offset, len) = (varint(handle)?, varint(handle)?);
    let outside = || damaged("a block lies outside the file");
    let end = offset.checked_add(len).ok_or_else(outside)?;
    let bytes = table.get(offset..end).ok_or_else(outside)?;
    let trailer = table.get(end..end.saturating_add(TRAILER)).ok_or_else(outside)?;
    let (kind, stored) = trailer.split_first_chunk::<1>().ok_or_else(outside)?;
    if mask(extend(extend(0, bytes), kind)).to_le_bytes() != stored {
        return Err(damaged("a block's checksum does not match its content"));
    }
    match kind {
        [0] => Ok(bytes),
        _ => Err(CheckpointError::new(
            "the checkpoint's table is compressed, TensorFlow writes it uncompressed",
        )),
    }
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The entries of a block.
fn entries(block: &[u8]) -> Result<Pairs, CheckpointError> {
    let bad = || damaged("an entry leaves its block");
    let (rest, count) = block.split_last_chunk::<4>().ok_or_else(bad)?;
    let restarts = (u32::from_le_bytes(*count) as usize).checked_mul(4).ok_or_else(bad)?;
    let mut rest = rest.get(..rest.len().checked_sub(restarts).ok_or_else(bad)?).ok_or_else(bad)?;
    let (mut key, mut pairs) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let (shared, own, len) = (varint(&mut rest)?, varint(&mut rest)?, varint(&mut rest)?);
        if shared > key.len() {
            return Err(bad());
        }
        key.truncate(shared);
        let (tail, after) = rest.split_at_checked(own).ok_or_else(bad)?;
        key.extend_from_slice(tail);
        let (value, after) = after.split_at_checked(len).ok_or_else(bad)?;
        rest = after;
        pairs.push((key.clone(), value.to_vec()));
    }
    Ok(pairs)
}

/// All entries of a table, in order.
///
/// # Errors
/// When the bytes are no table, or a block's checksum does not match.
pub fn read(table: &[u8]) -> Result<Pairs, CheckpointError> {
    let footer = table.len().checked_sub(FOOTER).and_then(|at| table.get(at..));
    let (handles, magic) = footer
        .and_then(<[u8]>::split_last_chunk::<8>)
        .ok_or_else(|| damaged("the file is shorter than a table's footer"))?;
    if u64::from_le_bytes(*magic) != MAGIC {
        return Err(damaged("the file does not end like a table"));
    }
    let mut handles = handles;
    block(table, &mut handles)?;
    let index = entries(block(table, &mut handles)?)?;
    let mut pairs = Vec::new();
    for (_, handle) in index {
        pairs.extend(entries(block(table, &mut handle.as_slice())?)?);
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn round_trip_over_blocks_and_restarts() {
        for count in [0, 1, 16, 17, 5000] {
            let pairs: Pairs =
                (0..count).map(|i| (format!("key{i:05}").into_bytes(), vec![i as u8; i % 200])).collect();
            let table = write(pairs.iter().map(|(k, v)| (k.as_slice(), v.as_slice())));
            assert_eq!(read(&table).unwrap(), pairs, "{count} entries");
        }
    }

    #[test]
    fn every_damage_is_noticed() {
        let table = write([(b"a".as_slice(), b"1".as_slice()), (b"b", b"22")]);
        for at in 0..table.len() {
            let mut bad = table.clone();
            bad[at] ^= 0x10;
            // The footer's padding alone means nothing.
            let padding = at >= table.len() - FOOTER + 4 && at < table.len() - 8;
            assert!(padding || read(&bad).is_err(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>) {
            bytes.extend_from_slice(&MAGIC.to_le_bytes());
            let _ = read(&bytes);
            let _ = entries(&bytes);
        }
    }
}
