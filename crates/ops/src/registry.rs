//! Finding an operator's spec.

use ferrolite_model::OpCode;

use crate::families;
use crate::spec::OpSpec;

/// The operators an interpreter knows.
///
/// The table is used where it lies; an interpreter's start is too short to copy it.
#[derive(Clone)]
pub struct Registry {
    /// What was added to the table, in that order.
    added: Vec<OpSpec>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Registry {
    /// All operators of the table.
    #[must_use]
    pub fn builtin() -> Self {
        Self { added: Vec::new() }
    }

    /// Adds an operator; it takes precedence over one of the same name.
    pub fn register(&mut self, spec: OpSpec) {
        self.added.push(spec);
    }

    /// The spec of an operator code.
    #[must_use]
    pub fn find(&self, code: &OpCode) -> Option<&OpSpec> {
        self.specs().find(|spec| spec.key.matches(code))
    }

    /// All specs, those that take precedence first.
    pub fn specs(&self) -> impl Iterator<Item = &OpSpec> {
        self.added.iter().rev().chain(families::TABLE.iter().copied().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_operator_is_listed_twice() {
        let registry = Registry::builtin();
        for (i, spec) in registry.specs().enumerate() {
            assert!(registry.specs().take(i).all(|other| other.key != spec.key), "{:?}", spec.key);
        }
    }
}
