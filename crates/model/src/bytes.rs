//! Shared, immutable bytes: the file, and the ranges of it that constants point at.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Memory that holds a file.
pub trait Storage: AsRef<[u8]> + Send + Sync {
    /// Says that the bytes of `range` will not be read soon. Their content must stay what it is, but a memory map may give
    /// their pages back until somebody reads them again.
    fn release(&self, range: Range<usize>) {
        let _ = range;
    }
}

/// Memory that is just there.
struct Plain<T>(T);

impl<T: AsRef<[u8]>> AsRef<[u8]> for Plain<T> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl<T: AsRef<[u8]> + Send + Sync> Storage for Plain<T> {}

/// Shared immutable bytes, cheap to clone and to slice. Whatever owns them (a vector, a memory map) lives as long as
/// the last clone.
#[derive(Clone)]
pub struct Bytes {
    owner: Owner,
    range: Range<usize>,
}

#[derive(Clone)]
enum Owner {
    Static(&'static [u8]),
    Shared(Arc<dyn Storage>),
}

impl Bytes {
    /// No bytes.
    pub const fn new() -> Self {
        Self { owner: Owner::Static(&[]), range: 0..0 }
    }

    /// Takes the bytes of any owner, such as a memory-mapped file. The owner must give the same slice each time it is
    /// asked; should the slice shrink, reads past it come back empty.
    pub fn from_owner(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::from_storage(Plain(owner))
    }

    /// As [`Bytes::from_owner`], for an owner that is told which bytes are not needed for now.
    pub fn from_storage(storage: impl Storage + 'static) -> Self {
        let end = storage.as_ref().len();
        Self { owner: Owner::Shared(Arc::new(storage)), range: 0..end }
    }

    /// Tells the owner that `part`, if it lies within these bytes, will not be read soon.
    pub fn release(&self, part: &[u8]) {
        let Owner::Shared(owner) = &self.owner else { return };
        let all = (**owner).as_ref();
        let start = part.as_ptr().addr().checked_sub(all.as_ptr().addr());
        let range = start.and_then(|start| Some(start..start.checked_add(part.len())?));
        if let Some(range) =
            range.filter(|range| self.range.start <= range.start && range.end <= self.range.end)
        {
            owner.release(range);
        }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        let all = match &self.owner {
            Owner::Static(bytes) => bytes,
            Owner::Shared(owner) => (**owner).as_ref(),
        };
        all.get(self.range.clone()).unwrap_or(&[])
    }

    /// The bytes of `range`, sharing their owner; `None` if the range does not lie within these bytes.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.range.len() {
            return None;
        }
        let start = self.range.start.checked_add(range.start)?;
        let end = self.range.start.checked_add(range.end)?;
        Some(Self { owner: self.owner.clone(), range: start..end })
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from_owner(bytes)
    }
}

impl From<Arc<[u8]>> for Bytes {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::from_owner(bytes)
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self { owner: Owner::Static(bytes), range: 0..bytes.len() }
    }
}

impl<const N: usize> From<&'static [u8; N]> for Bytes {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Bytes {}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

/// Long contents are cut: constants run to megabytes.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let bytes = self.as_slice();
        write!(f, "Bytes({}: {:02x?}", bytes.len(), bytes.get(..SHOWN).unwrap_or(bytes))?;
        f.write_str(if bytes.len() > SHOWN { "…)" } else { ")" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn only_parts_of_a_storage_are_released() {
        struct Notes(Vec<u8>, Arc<Mutex<Vec<Range<usize>>>>);
        impl AsRef<[u8]> for Notes {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        impl Storage for Notes {
            fn release(&self, range: Range<usize>) {
                self.1.lock().unwrap().push(range);
            }
        }
        let released = Arc::new(Mutex::default());
        let bytes = Bytes::from_storage(Notes(vec![0; 10], released.clone()));
        bytes.release(&bytes[2..5]);
        bytes.release(&[0; 3]);
        bytes.slice(4..8).unwrap().release(&bytes[3..5]);
        Bytes::from(&[1, 2, 3]).release(&[1]);
        assert_eq!(released.lock().unwrap().as_slice(), std::slice::from_ref(&(2..5)));
    }

    #[test]
    fn slices_share_and_stay_within() {
        let bytes = Bytes::from(vec![0, 1, 2, 3, 4]);
        let middle = bytes.slice(1..4).unwrap();
        assert_eq!(&*middle, [1, 2, 3]);
        assert_eq!(&*middle.slice(2..3).unwrap(), [3]);
        assert_eq!(middle.slice(2..4), None, "past the end of the slice");
        #[expect(clippy::reversed_empty_ranges)]
        let reversed = middle.slice(2..1);
        assert_eq!(reversed, None);
        assert!(middle.slice(3..3).unwrap().is_empty());
        drop(bytes);
        assert_eq!(&*middle, [1, 2, 3], "the slice keeps its owner alive");
    }
}
