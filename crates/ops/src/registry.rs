//! Finding an operator's spec.

use ferrolite_model::OpCode;

use crate::families;
use crate::spec::OpSpec;

/// The operators an interpreter knows.
#[derive(Clone)]
pub struct Registry {
    specs: Vec<OpSpec>,
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
        Self { specs: families::TABLE.iter().flat_map(|family| family.iter().copied()).collect() }
    }

    /// Adds an operator; it takes precedence over one of the same name.
    pub fn register(&mut self, spec: OpSpec) {
        self.specs.insert(0, spec);
    }

    /// The spec of an operator code.
    #[must_use]
    pub fn find(&self, code: &OpCode) -> Option<&OpSpec> {
        self.specs.iter().find(|spec| spec.key.matches(code))
    }

    /// All specs.
    #[must_use]
    pub fn specs(&self) -> &[OpSpec] {
        &self.specs
    }
}
