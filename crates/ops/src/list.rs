//! Lists of tensors: what a variant tensor holds.
//!
//! The tensors of a list are shared: a copy of a list copies no content, and a list that nobody else holds is changed in
//! place.

use std::sync::Arc;

use ferrolite_model::TensorType;

use crate::error::{OpError, OpErrorKind};
use crate::shape::Shape;
use crate::tensor::TensorValue;

/// The most elements of a list.
pub const MOST_ITEMS: usize = 1 << 20;
/// How deep lists of lists may nest.
const MOST_DEPTH: usize = 64;

/// An element of a list.
pub type Item = Arc<TensorValue>;

/// A list of tensors of one element type.
#[derive(Clone, Debug)]
pub struct TensorList {
    /// Element type of every tensor.
    pub dtype: TensorType,
    /// Dimensions of every tensor, -1 where they may differ; empty where nothing is known of them.
    pub element: Vec<i32>,
    items: Vec<Option<Item>>,
    /// How deep lists nest in the tensors.
    depth: usize,
}

impl TensorList {
    /// A list of `count` tensors that are not set.
    ///
    /// # Errors
    /// When there are more than `MOST_ITEMS`.
    pub fn new(dtype: TensorType, element: Vec<i32>, count: usize) -> Result<Self, OpError> {
        let mut list = Self { dtype, element, items: Vec::new(), depth: 0 };
        list.resize(count)?;
        Ok(list)
    }

    /// The tensors; `None` where none was set.
    #[must_use]
    pub fn items(&self) -> &[Option<Item>] {
        &self.items
    }

    /// Number of tensors, those that are not set among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the list has no tensors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
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

    /// Gives the list its tensor `index`, which must be there already, if unset.
    ///
    /// # Errors
    /// When the list ends before, the tensor has another type than the list, or lists nest too deep.
    pub fn set(&mut self, index: usize, item: Item) -> Result<(), OpError> {
        if item.dtype() != self.dtype {
            return Err(OpError::runtime(format!(
                "a list of {} cannot hold a tensor of {}",
                self.dtype,
                item.dtype()
            )));
        }
        let depth = item.list().map_or(0, |list| list.depth + 1);
        if depth > MOST_DEPTH {
            return Err(OpError::new(OpErrorKind::Limit, format!("lists nest deeper than {MOST_DEPTH}")));
        }
        let len = self.items.len();
        let place = self
            .items
            .get_mut(index)
            .ok_or_else(|| OpError::runtime(format!("there is no element {index} in a list of {len}")))?;
        *place = Some(item);
        self.depth = self.depth.max(depth);
        Ok(())
    }

    /// Adds a tensor behind the last.
    ///
    /// # Errors
    /// As [`TensorList::resize`] and [`TensorList::set`].
    pub fn push(&mut self, item: Item) -> Result<(), OpError> {
        let len = self.len();
        self.resize(len + 1)?;
        self.set(len, item)
    }

    /// Takes the last tensor away.
    pub fn pop(&mut self) {
        self.items.pop();
    }

    /// The tensor at `index`, `None` if it is not set.
    ///
    /// # Errors
    /// When the list ends before.
    pub fn get(&self, index: i64) -> Result<Option<&Item>, OpError> {
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
        let mut shapes = self.items.iter().flatten().map(|item| item.shape());
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

    fn tensor(value: i16) -> Item {
        Arc::new(TensorValue::from_elements(Shape::from([1]), &[value]).unwrap())
    }

    #[test]
    fn tensors_come_and_go() {
        let mut list = TensorList::new(TensorType::Int16, vec![-1], 2).unwrap();
        list.set(1, tensor(5)).unwrap();
        list.push(tensor(6)).unwrap();
        let copy = list.clone();
        list.pop();
        assert_eq!((list.len(), copy.len()), (2, 3));
        assert!(list.get(0).unwrap().is_none());
        assert_eq!(copy.get(2).unwrap().unwrap().elements::<i16>().unwrap(), [6]);
        assert!(Arc::ptr_eq(list.get(1).unwrap().unwrap(), copy.get(1).unwrap().unwrap()), "shared");
        assert_eq!(copy.common().unwrap(), Some(&Shape::from([1])));
        for (name, failed) in [
            ("too long", TensorList::new(TensorType::Int16, vec![], MOST_ITEMS + 1).is_err()),
            ("beyond the end", list.clone().set(2, tensor(1)).is_err()),
            ("before the start", list.get(-1).is_err()),
            ("behind the end", list.get(2).is_err()),
            (
                "another type",
                list.clone()
                    .push(Arc::new(TensorValue::from_elements(Shape::scalar(), &[1i32]).unwrap()))
                    .is_err(),
            ),
        ] {
            assert!(failed, "{name}");
        }
    }

    #[test]
    fn lists_of_lists_nest_to_a_depth() {
        let mut list = TensorList::new(TensorType::Variant, vec![], 0).unwrap();
        for depth in 0..=MOST_DEPTH {
            let mut outer = TensorList::new(TensorType::Variant, vec![], 0).unwrap();
            let pushed = outer.push(Arc::new(TensorValue::from_list(Arc::new(list))));
            assert_eq!(pushed.is_ok(), depth < MOST_DEPTH, "depth {depth}");
            list = outer;
        }
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
