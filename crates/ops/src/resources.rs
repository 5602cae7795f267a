//! Resource variables of an interpreter.
//!
//! A resource tensor holds the handle that [`Resources::variable`] gave, as the little-endian `u32` of its element.

use std::collections::HashMap;

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

/// The resource variables that all signatures of an interpreter share.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    variables: Vec<Variable>,
    handles: HashMap<(String, String), u32>,
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

    /// Forgets every value; handles stay valid.
    pub fn clear(&mut self) {
        for variable in &mut self.variables {
            variable.value = None;
        }
    }
}

fn unknown(handle: u32) -> OpError {
    OpError::runtime(format!("the resource handle {handle} names no variable of this interpreter"))
}
