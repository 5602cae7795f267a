//! Resource variables and lookup tables of an interpreter.
//!
//! A resource tensor holds a handle as the little-endian `u32` of its element: the one that [`Resources::variable`] gave
//! for a variable, the identifier in the file for a table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::error::OpError;
use crate::tensor::TensorValue;

/// One resource variable.
#[derive(Clone, Debug)]
pub struct Variable {
    /// The container of its handle operator.
    pub container: String,
    /// The shared name of its handle operator.
    pub name: String,
    /// The value; `None` until the first assignment.
    pub value: Option<TensorValue>,
}

/// A lookup table, filled once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    /// Strings by number.
    Strings(HashMap<i64, Vec<u8>>),
    /// Numbers by string.
    Numbers(HashMap<Vec<u8>, i64>),
}

impl Table {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Strings(entries) => entries.len(),
            Self::Numbers(entries) => entries.len(),
        }
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The resource variables and tables that all signatures of an interpreter share.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    variables: Vec<Variable>,
    handles: HashMap<(String, String), u32>,
    /// `None` for a table that is not filled yet.
    tables: HashMap<u32, Option<Table>>,
    /// Subgraphs that are to run once and have.
    initialised: Vec<usize>,
}

impl Resources {
    /// The handle of the variable with this container and name; a new one if it is met for the first time.
    pub fn variable(&mut self, container: &str, name: &str) -> u32 {
        if let Some(&handle) = self.handles.get(&(container.to_owned(), name.to_owned())) {
            return handle;
        }
        let handle = self.variables.len() as u32;
        self.handles.insert((container.to_owned(), name.to_owned()), handle);
        self.variables.push(Variable { container: container.to_owned(), name: name.to_owned(), value: None });
        handle
    }

    /// Whether `handle` is that of the variable with this container and name.
    #[must_use]
    pub fn is_variable(&self, handle: u32, container: &str, name: &str) -> bool {
        self.variables.get(handle as usize).is_some_and(|v| v.name == name && v.container == container)
    }

    /// The variable with this name, whatever its container.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|v| v.name == name)
    }

    /// Gives the variable with this name, whatever its container, a value.
    ///
    /// # Errors
    /// When there is no such variable, or its value has another type.
    pub fn assign(&mut self, name: &str, value: TensorValue) -> Result<(), OpError> {
        let found = self.variables.iter_mut().find(|v| v.name == name);
        let variable = found.ok_or_else(|| OpError::invalid(format!("there is no variable '{name}'")))?;
        match &variable.value {
            Some(old) if old.dtype() != value.dtype() => Err(OpError::invalid(format!(
                "the variable '{name}' holds {}, it cannot be given {}",
                old.dtype(),
                value.dtype()
            ))),
            _ => {
                variable.value = Some(value);
                Ok(())
            }
        }
    }

    /// Whether the initialising subgraph `subgraph` has run.
    #[must_use]
    pub fn is_initialised(&self, subgraph: usize) -> bool {
        self.initialised.contains(&subgraph)
    }

    /// Notes that the initialising subgraph `subgraph` has run.
    pub fn set_initialised(&mut self, subgraph: usize) {
        if !self.is_initialised(subgraph) {
            self.initialised.push(subgraph);
        }
    }

    /// The variables in the order in which they were met.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The value behind a handle.
    ///
    /// # Errors
    /// When the handle is unknown or the variable was never assigned.
    pub fn read(&self, handle: u32) -> Result<&TensorValue, OpError> {
        let variable = self.variables.get(handle as usize).ok_or_else(|| unknown(handle))?;
        variable.value.as_ref().ok_or_else(|| {
            OpError::runtime(format!(
                "the variable '{}' is read before it has a value: run the signature that initialises or restores it first",
                variable.name
            ))
        })
    }

    /// The slot of the value behind a handle, for assignments in place.
    ///
    /// # Errors
    /// When the handle is unknown.
    pub fn slot(&mut self, handle: u32) -> Result<&mut Option<TensorValue>, OpError> {
        self.variables.get_mut(handle as usize).map(|v| &mut v.value).ok_or_else(|| unknown(handle))
    }

    /// Makes the table `id` known, not filled yet if it is new.
    pub fn declare_table(&mut self, id: u32) {
        self.tables.entry(id).or_default();
    }

    /// The content of a table.
    ///
    /// # Errors
    /// When the table is unknown or was not filled.
    pub fn table(&self, id: u32) -> Result<&Table, OpError> {
        self.tables.get(&id).ok_or_else(|| unknown(id))?.as_ref().ok_or_else(|| {
            OpError::runtime(format!(
                "the table {id} is read before it is filled: run the signature that initialises it first"
            ))
        })
    }

    /// Fills a table, if it is not filled yet, with what `make` returns.
    ///
    /// # Errors
    /// When the table is unknown, and those of `make`.
    pub fn fill_table(
        &mut self,
        id: u32,
        make: impl FnOnce() -> Result<Table, OpError>,
    ) -> Result<(), OpError> {
        match self.tables.entry(id) {
            Entry::Vacant(_) => Err(unknown(id)),
            Entry::Occupied(mut entry) => {
                if entry.get().is_none() {
                    entry.insert(Some(make()?));
                }
                Ok(())
            }
        }
    }

    /// Forgets every value, the content of every table and which initialisers have run; handles stay valid.
    pub fn clear(&mut self) {
        self.initialised.clear();
        for variable in &mut self.variables {
            variable.value = None;
        }
        for table in self.tables.values_mut() {
            *table = None;
        }
    }
}

fn unknown(handle: u32) -> OpError {
    OpError::runtime(format!("the resource handle {handle} names nothing that this interpreter holds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_keep_their_handles() {
        let mut resources = Resources::default();
        let (a, b) = (resources.variable("", "a"), resources.variable("", "b"));
        assert_ne!(a, b);
        assert_eq!(resources.variable("", "a"), a);
        assert!(resources.read(a).is_err(), "not assigned yet");
        *resources.slot(a).unwrap() = Some(TensorValue::from_elements([1].into(), &[5i32]).unwrap());
        assert_eq!(resources.read(a).unwrap().elements::<i32>().unwrap(), [5]);
        resources.clear();
        assert!(resources.read(a).is_err(), "cleared");
        assert!(resources.slot(7).is_err(), "unknown");
    }

    #[test]
    fn tables_are_filled_once() {
        let mut resources = Resources::default();
        let table = |n| Table::Numbers([(b"x".to_vec(), n)].into());
        assert!(resources.fill_table(3, || Ok(table(1))).is_err(), "unknown");
        resources.declare_table(3);
        assert!(resources.table(3).is_err(), "empty");
        resources.fill_table(3, || Ok(table(1))).unwrap();
        resources.fill_table(3, || Ok(table(2))).unwrap();
        resources.declare_table(3);
        assert_eq!(resources.table(3).unwrap(), &table(1));
        assert_eq!(resources.table(3).unwrap().len(), 1);
    }
}
