//! The layout of string tensors: a count, `count + 1` offsets from the start of the data, then the bytes of the strings.
//! Numbers are 32 bits, little endian; offset `i` is where string `i` begins and the last is the length of all.

use crate::error::{ModelError, bail};

/// Bytes of a number of the layout.
const WORD: usize = 4;

/// A string tensor's strings, in row-major order. Strings are bytes: nothing says that they are UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct Strings<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Strings<'a> {
    /// Checks the layout.
    ///
    /// # Errors
    /// If an offset falls back, or points into the offsets or past the end.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let strings = match word(bytes, 0).and_then(|count| usize::try_from(count).ok()) {
            Some(len) if len < bytes.len() / WORD => Self { bytes, len },
            _ => bail!(
                Tensor,
                "{} bytes are too few for the strings they announce; write the tensor again",
                bytes.len()
            ),
        };
        let mut previous = strings.len.saturating_add(2).saturating_mul(WORD);
        for index in 0..=strings.len {
            match strings.offset(index) {
                Some(offset) if (previous..=bytes.len()).contains(&offset) => previous = offset,
                _ => bail!(Tensor, "the offset of string {index} is out of order; write the tensor again"),
            }
        }
        Ok(strings)
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The string at `index`.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        if index >= self.len {
            return None;
        }
        self.bytes.get(self.offset(index)?..self.offset(index.checked_add(1)?)?)
    }

    /// All strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let strings = *self;
        (0..self.len).map(move |index| strings.get(index).unwrap_or_default())
    }

    fn offset(&self, index: usize) -> Option<usize> {
        usize::try_from(word(self.bytes, index.checked_add(1)?)?).ok()
    }
}

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    let word = bytes.get(index.checked_mul(WORD)?..)?.first_chunk()?;
    Some(u32::from_le_bytes(*word))
}

/// The bytes of a string tensor.
///
/// # Errors
/// If all strings together do not fit the layout's 32 bits.
pub fn encode<S: AsRef<[u8]>>(strings: &[S]) -> Result<Vec<u8>, ModelError> {
    let header = strings.len().saturating_add(2).saturating_mul(WORD);
    let total = strings.iter().fold(header, |total, string| total.saturating_add(string.as_ref().len()));
    if i32::try_from(total).is_err() {
        bail!(Tensor, "{} strings take {total} bytes, more than a tensor of strings can hold", strings.len());
    }
    let word = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = Vec::with_capacity(total);
    bytes.extend(word(strings.len()));
    let mut offset = header;
    bytes.extend(word(offset));
    for string in strings {
        offset = offset.saturating_add(string.as_ref().len());
        bytes.extend(word(offset));
    }
    for string in strings {
        bytes.extend(string.as_ref());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_go_there_and_back() {
        for strings in [vec![], vec![""], vec!["ab", "", "c\0d"]] {
            let bytes = encode(&strings).unwrap();
            let read: Vec<_> = Strings::new(&bytes).unwrap().iter().collect();
            assert_eq!(read, strings.iter().map(|s| s.as_bytes()).collect::<Vec<_>>());
            assert_eq!(Strings::new(&bytes).unwrap().get(strings.len()), None);
        }
        assert_eq!(encode(&["a"]).unwrap(), [1, 0, 0, 0, 12, 0, 0, 0, 13, 0, 0, 0, b'a']);
    }

    #[test]
    fn broken_layouts_are_refused() {
        let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
        let rows = [
            ("nothing", vec![]),
            ("half a count", vec![0, 0]),
            ("no offset at all", words(&[0])),
            ("offsets past the end", words(&[2, 16])),
            ("count beyond 32 signed bits", words(&[u32::MAX, 12])),
            ("string in the offsets", words(&[1, 8, 12])),
            ("falling offsets", [words(&[2, 18, 17, 18]), vec![0; 2]].concat()),
            ("string past the end", words(&[1, 12, 13])),
        ];
        for (name, bytes) in rows {
            assert!(Strings::new(&bytes).is_err(), "{name}");
        }
    }
}
