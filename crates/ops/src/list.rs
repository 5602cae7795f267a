//! Lists of tensors: what a variant tensor holds.
//!
//! A list is kept as bytes, so that it is copied, passed to subgraphs and forgotten like any other tensor: words of 32 bits
//! (little-endian) for the element type, the rank and dimensions of elements, the number of elements, and for each whether it
//! is set, its rank, dimensions and length in two words; then the elements' bytes.

use std::borrow::Cow;

use ferrolite_model::TensorType;

use crate::error::{OpError, OpErrorKind};
use crate::shape::Shape;

/// The most elements of a list.
pub const MOST_ITEMS: usize = 1 << 20;
/// The most dimensions of an element.
const MOST_RANK: usize = 64;

/// An element of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its dimensions.
    pub shape: Shape,
    /// Its content.
    pub bytes: Cow<'a, [u8]>,
}

/// A list of tensors of one element type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorList<'a> {
    /// Element type of every tensor.
    pub dtype: TensorType,
    /// Dimensions of every tensor, -1 where they may differ; empty where nothing is known of them.
    pub element: Vec<i32>,
    /// The tensors; `None` where none was set.
    pub items: Vec<Option<Item<'a>>>,
}

fn broken() -> OpError {
    OpError::runtime("a variant tensor holds no list: an operator that makes lists must fill it first")
}

/// Reads words from the front of bytes.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Result<u32, OpError> {
        let (word, rest) = self.0.split_first_chunk::<4>().ok_or_else(broken)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*word))
    }

    fn count(&mut self, most: usize) -> Result<usize, OpError> {
        usize::try_from(self.next()?).ok().filter(|&n| n <= most).ok_or_else(broken)
    }
}

impl<'a> TensorList<'a> {
    /// A list of `count` tensors that are not set.
    ///
    /// # Errors
    /// When there are more than `MOST_ITEMS`.
    pub fn new(dtype: TensorType, element: Vec<i32>, count: usize) -> Result<Self, OpError> {
        let mut list = Self { dtype, element, items: Vec::new() };
        list.resize(count)?;
        Ok(list)
    }

    /// Changes the number of tensors; new ones are not set.
    ///
    /// # Errors
    /// When there are more than `MOST_ITEMS`.
    pub fn resize(&mut self, count: usize) -> Result<(), OpError> {
        if count > MOST_ITEMS {
            let message = format!("a list holds at most {MOST_ITEMS} tensors, {count} are asked for");
            return Err(OpError::new(OpErrorKind::Limit, message));
        }
        self.items.resize(count, None);
        Ok(())
    }

    /// The list in a variant tensor's bytes.
    ///
    /// # Errors
    /// When the bytes hold no list.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, OpError> {
        let mut words = Words(bytes);
        let code = words.next()? as usize;
        let dtype = TensorType::ALL.get(code).copied().ok_or_else(broken)?;
        let rank = words.count(MOST_RANK)?;
        let element = (0..rank).map(|_| words.next().map(|d| d as i32)).collect::<Result<_, _>>()?;
        let count = words.count(MOST_ITEMS)?;
        let mut lengths = Vec::new();
        for _ in 0..count {
            if words.next()? == 0 {
                lengths.push(None);
                continue;
            }
            let rank = words.count(MOST_RANK)?;
            let shape: Shape =
                (0..rank).map(|_| words.next().map(|d| d as usize)).collect::<Result<_, _>>()?;
            let len = u64::from(words.next()?) | u64::from(words.next()?) << 32;
            lengths.push(Some((shape, usize::try_from(len).map_err(|_| broken())?)));
        }
        let mut rest = words.0;
        let mut items = Vec::with_capacity(count);
        for length in lengths {
            let Some((shape, len)) = length else {
                items.push(None);
                continue;
            };
            let (bytes, after) = rest.split_at_checked(len).ok_or_else(broken)?;
            if dtype.bits().is_some() && dtype.byte_len(shape.num_elements()?) != Some(len) {
                return Err(broken());
            }
            rest = after;
            items.push(Some(Item { shape, bytes: Cow::Borrowed(bytes) }));
        }
        Ok(Self { dtype, element, items })
    }

    /// The bytes of a variant tensor with this list.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let payload: usize = self.items.iter().flatten().map(|item| item.bytes.len()).sum();
        let mut out = Vec::with_capacity(payload + 32 * self.items.len() + 64);
        let word = |out: &mut Vec<u8>, word: u32| out.extend_from_slice(&word.to_le_bytes());
        let code = TensorType::ALL.iter().position(|&t| t == self.dtype).unwrap_or(0);
        word(&mut out, code as u32);
        word(&mut out, self.element.len() as u32);
        self.element.iter().for_each(|&dim| word(&mut out, dim as u32));
        word(&mut out, self.items.len() as u32);
        for item in &self.items {
            word(&mut out, u32::from(item.is_some()));
            let Some(item) = item else { continue };
            word(&mut out, item.shape.rank() as u32);
            // Tensors' dimensions fit 32 bits, as files and shape tensors hold them.
            item.shape.iter().for_each(|&dim| word(&mut out, dim as u32));
            let len = item.bytes.len() as u64;
            word(&mut out, len as u32);
            word(&mut out, (len >> 32) as u32);
        }
        for item in self.items.iter().flatten() {
            out.extend_from_slice(&item.bytes);
        }
        out
    }

    /// The tensor at `index`, `None` if it is not set.
    ///
    /// # Errors
    /// When the list ends before.
    pub fn get(&self, index: i64) -> Result<Option<&Item<'a>>, OpError> {
        let found = usize::try_from(index).ok().and_then(|i| self.items.get(i));
        found.map(Option::as_ref).ok_or_else(|| {
            OpError::runtime(format!("tensor {index} of a list of {} is asked for", self.items.len()))
        })
    }

    /// The dimensions that all tensors which are set share; `None` if none is set.
    ///
    /// # Errors
    /// When they differ.
    pub fn common(&self) -> Result<Option<&Shape>, OpError> {
        let mut shapes = self.items.iter().flatten().map(|item| &item.shape);
        let first = shapes.next();
        match shapes.find(|&shape| Some(shape) != first) {
            Some(other) => Err(OpError::runtime(format!(
                "the tensors of a list have different shapes, {} and {other}",
                first.unwrap_or(other)
            ))),
            None => Ok(first),
        }
    }
}

/// What two descriptions of a shape say together: -1 is an open dimension, no dimensions say nothing. `None` if they contradict
/// each other.
#[must_use]
pub fn merge(a: &[i32], b: &[i32]) -> Option<Vec<i32>> {
    match (a, b) {
        ([], other) | (other, []) => Some(other.to_vec()),
        _ if a.len() != b.len() => None,
        _ => a
            .iter()
            .zip(b)
            .map(|(&a, &b)| match (a, b) {
                (-1, dim) | (dim, -1) => Some(dim),
                _ => (a == b).then_some(a),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusal() {
        let mut list = TensorList::new(TensorType::Int16, vec![-1, 2], 3).unwrap();
        list.items[1] = Some(Item { shape: Shape::from([1, 2]), bytes: Cow::Borrowed(&[1, 2, 3, 4]) });
        let bytes = list.encode();
        assert_eq!(TensorList::decode(&bytes).unwrap(), list);
        for cut in 0..bytes.len() {
            assert!(TensorList::decode(&bytes[..cut]).is_err(), "cut to {cut} bytes");
        }
        assert!(TensorList::new(TensorType::Int16, vec![], MOST_ITEMS + 1).is_err());
        assert!(list.get(3).is_err() && list.get(-1).is_err() && list.get(0).unwrap().is_none());
    }

    #[test]
    fn merge_rows() {
        type Row = (&'static [i32], &'static [i32], Option<&'static [i32]>);
        let rows: &[Row] = &[
            (&[], &[2, -1], Some(&[2, -1])),
            (&[2, -1], &[-1, 3], Some(&[2, 3])),
            (&[2], &[3], None),
            (&[2], &[2, 2], None),
        ];
        for &(a, b, want) in rows {
            assert_eq!(merge(a, b).as_deref(), want, "{a:?} {b:?}");
        }
    }
}
