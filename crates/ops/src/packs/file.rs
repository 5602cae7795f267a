//! A file of packed weights: what is taken from it, and what it will have when it is written again.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ferrolite_kernels::packing::Lines;
use ferrolite_model::Bytes;

use super::digest::digest;
use super::table::{self, PackIdentity, PackRejection, Table};

/// Packed weights of an earlier run, and those of this one that are to be kept.
///
/// Nothing in the file is trusted. Header and table have a digest and are checked when the file is opened; a packing is checked
/// against its digest when it is first asked for, before anything is computed with it. Layouts are not read but computed, so
/// that no file can make a kernel read beyond its weights.
pub struct PackFile {
    identity: PackIdentity,
    bytes: Bytes,
    table: Table,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was packed or found in this run, by name.
    kept: BTreeMap<Vec<u8>, Vec<Lines<u8>>>,
    stale: bool,
    status: PackFileStatus,
}

/// What became of a file of packed weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackFileStatus {
    /// Packings that came from the file.
    pub hits: usize,
    /// Packings that had to be made.
    pub misses: usize,
    /// Why the file, or a packing in it, was not used.
    pub rejected: Option<PackRejection>,
}

impl PackFile {
    /// Opens the content of a file; `Ok(None)` if there is none yet.
    #[must_use]
    pub fn open(content: Result<Option<Bytes>, String>, identity: PackIdentity) -> Self {
        let (bytes, table) = match content {
            Ok(None) => (Bytes::new(), Ok(Table::new())),
            Ok(Some(bytes)) => {
                let table = table::read(&bytes, &identity);
                (bytes, table)
            }
            Err(reason) => (Bytes::new(), Err(PackRejection::Unreadable(reason))),
        };
        let rejected = table.as_ref().err().cloned();
        let state = State {
            stale: rejected.is_some(),
            status: PackFileStatus { rejected, ..PackFileStatus::default() },
            ..State::default()
        };
        Self { identity, bytes, table: table.unwrap_or_default(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parts of the packing `name`, if they are there and intact; else none.
    pub(super) fn find(&self, name: &[u8]) -> Vec<Lines<u8>> {
        let Some(places) = self.table.get(name) else { return Vec::new() };
        let part = |place: &table::Place| {
            let bytes = self.bytes.slice(place.range()?)?;
            (digest(&bytes) == place.digest).then(|| Lines::lent(bytes))?
        };
        let parts: Option<Vec<_>> = places.iter().map(part).collect();
        if parts.is_none() {
            let mut state = self.state();
            state.status.rejected = Some(PackRejection::Damaged);
            state.stale = true;
        }
        parts.unwrap_or_default()
    }

    /// Counts a packing that was found complete, or made.
    pub(super) fn count(&self, found: bool) {
        let mut state = self.state();
        match found {
            true => state.status.hits += 1,
            false => {
                state.status.misses += 1;
                state.stale = true;
            }
        }
    }

    /// Remembers a packing for the next run.
    pub(super) fn keep(&self, name: Vec<u8>, parts: &[Lines<u8>]) {
        let mut state = self.state();
        state.stale |= !self.table.contains_key(&name) && !state.kept.contains_key(&name);
        state.kept.insert(name, parts.to_vec());
    }

    /// What became of it so far.
    #[must_use]
    pub fn status(&self) -> PackFileStatus {
        self.state().status.clone()
    }

    /// Whether the file lacks packings that are known now, or must be replaced.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.state().stale
    }

    /// Says that what [`PackFile::write`] wrote has taken the file's place.
    pub fn replaced(&self) {
        self.state().stale = false;
    }

    /// Writes a file with the packings of this run and those of the earlier one.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let kept = self.state().kept.clone();
        let mut packings: BTreeMap<Vec<u8>, Vec<&[u8]>> = BTreeMap::new();
        for (name, places) in &self.table {
            let parts = places.iter().map(|place| {
                let bytes = self.bytes.get(place.range()?)?;
                (digest(bytes) == place.digest).then_some(bytes)
            });
            if let Some(parts) = parts.collect() {
                packings.insert(name.clone(), parts);
            }
        }
        for (name, parts) in &kept {
            packings.insert(name.clone(), parts.iter().map(Lines::bytes).collect());
        }
        let (head, starts) = table::write(&packings, &self.identity);
        out.write_all(&head)?;
        let mut at = head.len() as u64;
        for (part, start) in packings.values().flatten().zip(starts) {
            out.write_all(&vec![0; (start - at) as usize])?;
            out.write_all(part)?;
            at = start + part.len() as u64;
        }
        Ok(())
    }
}
