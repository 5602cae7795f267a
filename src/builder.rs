//! Options of an interpreter, one call each.

use std::sync::Arc;

use ferrolite_kernels::isa::Cpu;
use ferrolite_plan::backend::Backend;
use ferrolite_runtime::{Limits, Options};

use crate::Result;
use crate::interpreter::Interpreter;
use crate::model::Model;

/// Builds an [`Interpreter`]; every option has a default.
#[derive(Clone)]
pub struct InterpreterBuilder {
    model: Model,
    options: Options,
}

impl InterpreterBuilder {
    pub(crate) fn new(model: &Model) -> Self {
        Self { model: model.clone(), options: Options::default() }
    }

    /// Number of threads that run kernels; by default as many as the machine runs at once. Results do not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.options.threads = threads.max(1);
        self
    }

    /// Instruction set of the kernels; by default the best the CPU has.
    #[must_use]
    pub fn cpu(mut self, cpu: Cpu) -> Self {
        self.options.cpu = cpu;
        self
    }

    /// Keeps every tensor readable after a run ([`Interpreter::tensor`]), for debugging. Slower, and needs more memory.
    #[must_use]
    pub fn preserve_all_tensors(mut self, preserve: bool) -> Self {
        self.options.preserve_all = preserve;
        self
    }

    /// Measures the time of every step ([`Interpreter::profile`]).
    #[must_use]
    pub fn profile(mut self, profile: bool) -> Self {
        self.options.profile = profile;
        self
    }

    /// Offers the graph to a backend; steps that it does not take stay on the CPU, and `describe()` says why.
    #[must_use]
    pub fn backend(mut self, backend: Arc<dyn Backend>) -> Self {
        self.options.backends.push(backend);
        self
    }

    /// Limits on what a model may ask for.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Plans the model and packs its weights.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] with all operators that are missing; [`crate::ErrorKind::BadModel`] when an operator's
    /// operands contradict each other; [`crate::ErrorKind::Limit`] when the arena would be too large.
    pub fn build(self) -> Result<Interpreter> {
        Interpreter::new(self.model, self.options)
    }
}
