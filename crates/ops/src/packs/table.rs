//! The beginning of a file of packed weights: whose it is, and where in it each packing lies.
//!
//! Numbers are little-endian. The header has [`HEADER`] bytes:
//!
//! | at | bytes | |
//! | --- | --- | --- |
//! | 0 | 8 | [`MAGIC`] |
//! | 8 | 8 | [`FORMAT`] |
//! | 16 | 8 | bytes of the file |
//! | 24 | 8 | bytes of the table |
//! | 32 | 16 | digest of the rest of the header and of the table |
//! | 48 | 16 | fingerprint of the kernels |
//! | 64 | 16 | digest of the model |
//! | 80 | 8 | bytes of the model |
//! | 88 | 40 | name of the CPU's instruction set, filled up with zeros |
//!
//! The table behind it has for each packing: bytes of the name, number of parts, the name, and for each part its start in the
//! file, its bytes, and its digest. Parts start on cache lines.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use ferrolite_kernels::isa::Cpu;
use ferrolite_kernels::packing::samples;
use ferrolite_model::Bytes;

use super::digest::{digest, digest_of_file};

/// The first bytes; no text, so that conversions of line ends show.
const MAGIC: [u8; 8] = *b"\x89FLPACK\n";
/// Version of the format of the file.
const FORMAT: u64 = 1;
/// Version of what the packings of the operators mean: to be raised when other numbers are packed under the same name. What the
/// kernels make of the same numbers is covered by [`samples`].
const PACKINGS: u64 = 1;
/// Bytes of the header.
const HEADER: usize = 128;
/// Where the header's digest is.
const DIGEST: Range<usize> = 32..48;
/// A cache line.
const LINE: usize = 64;

/// What packed weights belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackIdentity {
    kernels: u128,
    model: u128,
    model_len: u64,
    cpu: [u8; 40],
}

impl PackIdentity {
    /// Of the model with the digest `model`, on `cpu`.
    #[must_use]
    pub fn new(model: ModelDigest, cpu: Cpu) -> Self {
        let mut name = [0; 40];
        name.iter_mut().zip(cpu.name().bytes()).for_each(|(to, byte)| *to = byte);
        Self { kernels: kernels(cpu), model: model.digest, model_len: model.len, cpu: name }
    }
}

/// What tells a model file from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelDigest {
    digest: u128,
    len: u64,
}

impl ModelDigest {
    /// Reads the whole file.
    #[must_use]
    pub fn of(file: &Bytes) -> Self {
        Self { digest: digest_of_file(file), len: file.len() as u64 }
    }
}

/// A fingerprint of how the kernels for `cpu` want their weights, computed from what they make of fixed weights.
fn kernels(cpu: Cpu) -> u128 {
    let mut all = Vec::from(env!("CARGO_PKG_VERSION"));
    all.extend(PACKINGS.to_le_bytes());
    for part in samples(cpu).iter().flatten() {
        all.extend((part.len() as u64).to_le_bytes());
        all.extend_from_slice(part);
    }
    digest(&all)
}

/// Why a file of packed weights is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackRejection {
    /// It is no file of packed weights.
    NotACache,
    /// It has a format of another version of the library.
    Format(u64),
    /// It ends early: it has `found` of `wanted` bytes.
    Truncated {
        /// Its bytes.
        found: u64,
        /// The bytes it should have.
        wanted: u64,
    },
    /// Its content has changed since it was written, in full or in part.
    Damaged,
    /// It was made by another version of the kernels.
    OtherKernels,
    /// It was made for another instruction set.
    OtherCpu(String),
    /// It was made from another model.
    OtherModel,
    /// It cannot be read, for this reason.
    Unreadable(String),
}

impl fmt::Display for PackRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotACache => f.write_str("it is no cache of packed weights"),
            Self::Format(found) => write!(f, "its format is {found}, this version has {FORMAT}"),
            Self::Truncated { found, wanted } => write!(f, "it is truncated: {found} of {wanted} bytes"),
            Self::Damaged => f.write_str("it is damaged"),
            Self::OtherKernels => f.write_str("it was made by another version of the kernels"),
            Self::OtherCpu(name) => write!(f, "it was made for the instruction set {name}"),
            Self::OtherModel => f.write_str("it was made from another model"),
            Self::Unreadable(reason) => write!(f, "it cannot be read: {reason}"),
        }
    }
}

/// A part of a packing in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub start: u64,
    pub len: u64,
    pub digest: u128,
}

impl Place {
    /// Where the part lies.
    pub fn range(&self) -> Option<Range<usize>> {
        let (start, end) = (self.start, self.start.checked_add(self.len)?);
        Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }
}

/// The parts of each packing, by its name.
pub(super) type Table = BTreeMap<Vec<u8>, Vec<Place>>;

/// Reads numbers and bytes off the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: u64) -> Option<&'a [u8]> {
        self.0.split_off(..usize::try_from(len).ok()?)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.0.split_off(..N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn digest(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// Behind the magic bytes: format, bytes of the file, bytes of the table, digest.
    fn head(&mut self) -> Option<(u64, u64, u64, u128)> {
        Some((self.number()?, self.number()?, self.number()?, self.digest()?))
    }

    fn identity(&mut self) -> Option<PackIdentity> {
        let (kernels, model) = (self.digest()?, self.digest()?);
        Some(PackIdentity { kernels, model, model_len: self.number()?, cpu: self.array()? })
    }

    fn place(&mut self) -> Option<Place> {
        Some(Place { start: self.number()?, len: self.number()?, digest: self.digest()? })
    }
}

/// The table of a file that belongs to `identity`.
pub(super) fn read(file: &[u8], identity: &PackIdentity) -> Result<Table, PackRejection> {
    let found = file.len() as u64;
    if !file.starts_with(&MAGIC) {
        // A beginning of the right bytes is the beginning of a file.
        return Err(match MAGIC.starts_with(file) {
            true => PackRejection::Truncated { found, wanted: HEADER as u64 },
            false => PackRejection::NotACache,
        });
    }
    let header = file.get(..HEADER).ok_or(PackRejection::Truncated { found, wanted: HEADER as u64 })?;
    let mut reader = Reader(&header[MAGIC.len()..]);
    let (format, wanted, table_len, stated) = reader.head().ok_or(PackRejection::Damaged)?;
    if format != FORMAT {
        return Err(PackRejection::Format(format));
    }
    if found < wanted {
        return Err(PackRejection::Truncated { found, wanted });
    }
    let table = Reader(&file[HEADER..]).bytes(table_len).ok_or(PackRejection::Damaged)?;
    if found != wanted || stated != digest_of_head(header, table) {
        return Err(PackRejection::Damaged);
    }
    check(&reader.identity().ok_or(PackRejection::Damaged)?, identity)?;
    entries(table, found).ok_or(PackRejection::Damaged)
}

/// Compares the identity that a header states.
fn check(stated: &PackIdentity, identity: &PackIdentity) -> Result<(), PackRejection> {
    if stated.cpu != identity.cpu {
        let name = stated.cpu.split(|&byte| byte == 0).next().unwrap_or_default();
        return Err(PackRejection::OtherCpu(String::from_utf8_lossy(name).into_owned()));
    }
    if stated.kernels != identity.kernels {
        return Err(PackRejection::OtherKernels);
    }
    if stated != identity {
        return Err(PackRejection::OtherModel);
    }
    Ok(())
}

/// The entries of a table, if each part lies within the file's `len` bytes and starts on a line.
fn entries(table: &[u8], len: u64) -> Option<Table> {
    let mut entries = Table::new();
    let mut reader = Reader(table);
    while !reader.0.is_empty() {
        let (name_len, parts) = (reader.number()?, reader.number()?);
        let name = reader.bytes(name_len)?.to_vec();
        let mut places = Vec::new();
        for _ in 0..parts {
            let place = reader.place()?;
            let fits = place.start.checked_add(place.len).is_some_and(|end| end <= len);
            if !fits || !place.start.is_multiple_of(LINE as u64) {
                return None;
            }
            places.push(place);
        }
        entries.insert(name, places);
    }
    Some(entries)
}

fn digest_of_head(header: &[u8], table: &[u8]) -> u128 {
    let mut all = header[..DIGEST.start].to_vec();
    all.extend_from_slice(&header[DIGEST.end..]);
    all.extend_from_slice(table);
    digest(&all)
}

/// Header and table of a file with these packings, up to where the first part starts, and where each part starts.
pub(super) fn write(
    packings: &BTreeMap<Vec<u8>, Vec<&[u8]>>,
    identity: &PackIdentity,
) -> (Vec<u8>, Vec<u64>) {
    let part_bytes = size_of::<u64>() * 2 + size_of::<u128>();
    let table_len: usize = packings
        .iter()
        .map(|(name, parts)| 2 * size_of::<u64>() + name.len() + parts.len() * part_bytes)
        .sum();
    let first = (HEADER + table_len).next_multiple_of(LINE) as u64;
    let (mut table, mut starts, mut end) = (Vec::with_capacity(table_len), Vec::new(), first);
    for (name, parts) in packings {
        table.extend((name.len() as u64).to_le_bytes());
        table.extend((parts.len() as u64).to_le_bytes());
        table.extend_from_slice(name);
        for part in parts {
            let start = end.next_multiple_of(LINE as u64);
            table.extend(start.to_le_bytes());
            table.extend((part.len() as u64).to_le_bytes());
            table.extend(digest(part).to_le_bytes());
            starts.push(start);
            end = start + part.len() as u64;
        }
    }
    let mut head = Vec::with_capacity(first as usize);
    head.extend(MAGIC);
    for number in [FORMAT, end, table.len() as u64] {
        head.extend(number.to_le_bytes());
    }
    head.extend([0; DIGEST.end - DIGEST.start]);
    head.extend(identity.kernels.to_le_bytes());
    head.extend(identity.model.to_le_bytes());
    head.extend(identity.model_len.to_le_bytes());
    head.extend(identity.cpu);
    let digest = digest_of_head(&head, &table);
    head[DIGEST].copy_from_slice(&digest.to_le_bytes());
    head.extend_from_slice(&table);
    head.resize(first as usize, 0);
    (head, starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> PackIdentity {
        PackIdentity::new(ModelDigest::of(&Bytes::from(&[1, 2, 3])), Cpu::detect())
    }

    fn file() -> Vec<u8> {
        let packings = [("one", vec![&[1u8; 70][..], &[]]), ("other", vec![&[2; 64][..]]), ("none", vec![])];
        let packings = packings.map(|(name, parts)| (name.as_bytes().to_vec(), parts)).into();
        let (mut file, starts) = write(&packings, &identity());
        for (part, start) in packings.values().flatten().zip(starts) {
            file.resize(start as usize, 0);
            file.extend_from_slice(part);
        }
        file
    }

    /// Makes the digest of a file's head right, as whoever forges one would.
    fn sign(file: &mut [u8]) {
        let table_len = Reader(&file[24..]).number().unwrap() as usize;
        if let Some(table) = file.get(HEADER..).and_then(|rest| rest.get(..table_len)) {
            let digest = digest_of_head(&file[..HEADER], table);
            file[DIGEST].copy_from_slice(&digest.to_le_bytes());
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let file = file();
        let table = read(&file, &identity()).unwrap();
        let lens: Vec<(&[u8], Vec<u64>)> =
            table.iter().map(|(name, parts)| (&name[..], parts.iter().map(|p| p.len).collect())).collect();
        assert_eq!(lens, [(&b"none"[..], vec![]), (&b"one"[..], vec![70, 0]), (&b"other"[..], vec![64])]);
        for place in table.values().flatten() {
            assert_eq!(digest(&file[place.range().unwrap()]), place.digest);
        }
        let (empty, _) = write(&BTreeMap::new(), &identity());
        assert_eq!(read(&empty, &identity()), Ok(Table::new()));
    }

    #[test]
    fn forged_tables_are_refused() {
        let first = HEADER;
        let parts = first + 8;
        // Behind the names of "none" and "one": the first place.
        let start = HEADER + 16 + 4 + 16 + 3;
        let rows: [(&str, usize, u64); 9] = [
            ("a table longer than the file", 24, 1 << 20),
            ("a table longer than any file", 24, u64::MAX),
            ("a table that ends within an entry", 24, 22),
            ("a name longer than the table", first, 1 << 40),
            ("more parts than the table has", parts, u64::MAX),
            ("a part behind the end", start, 1 << 30),
            ("a part that ends behind any end", start, u64::MAX - 63),
            ("a part that starts within a line", start, 65),
            ("a part longer than the file", start + 8, 1 << 30),
        ];
        for (name, at, number) in rows {
            let mut file = file();
            file[at..at + 8].copy_from_slice(&number.to_le_bytes());
            sign(&mut file);
            assert_eq!(read(&file, &identity()), Err(PackRejection::Damaged), "{name}");
        }
    }

    #[test]
    fn each_part_of_the_identity_counts() {
        let rows: [(&str, Range<usize>, &[u8], PackRejection); 4] = [
            ("kernels", 48..49, &[7], PackRejection::OtherKernels),
            ("model", 64..65, &[7], PackRejection::OtherModel),
            ("model's length", 80..81, &[7], PackRejection::OtherModel),
            ("cpu", 88..92, b"xyz\0", PackRejection::OtherCpu("xyz".to_owned())),
        ];
        for (name, at, bytes, want) in rows {
            let mut file = file();
            let changed: Vec<u8> =
                file[at.clone()].iter().zip(bytes).map(|(a, b)| if a == b { !b } else { *b }).collect();
            file[at].copy_from_slice(&changed);
            sign(&mut file);
            assert_eq!(read(&file, &identity()), Err(want), "{name}");
        }
        let cpus = Cpu::all();
        let fingerprints: Vec<u128> = cpus.iter().map(|&cpu| kernels(cpu)).collect();
        assert_eq!(
            fingerprints,
            cpus.iter().map(|&cpu| kernels(cpu)).collect::<Vec<_>>(),
            "the same each time"
        );
    }
}
