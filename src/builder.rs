//! Options of an interpreter, one call each.

#[cfg(feature = "std")]
use std::path::PathBuf;
use std::sync::Arc;

use ferrolite_kernels::isa::Cpu;
use ferrolite_plan::backend::Backend;
use ferrolite_runtime::{Limits, Options};

use crate::Result;
use crate::interpreter::Interpreter;
use crate::model::Model;
#[cfg(feature = "std")]
use crate::weight_cache::{self, CacheFile};

/// Builds an [`Interpreter`]; every option has a default.
#[derive(Clone)]
pub struct InterpreterBuilder {
    model: Model,
    options: Options,
    #[cfg(feature = "std")]
    cache: Option<CacheFile>,
}

impl InterpreterBuilder {
    pub(crate) fn new(model: &Model) -> Self {
        Self {
            model: model.clone(),
            options: Options::default(),
            #[cfg(feature = "std")]
            cache: None,
        }
    }

    /// Number of threads that run kernels; by default as many as the machine runs at once. Results do not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.options.threads = threads.max(1);
        self
    }

    /// Whether float convolutions of 3 x 3 with many channels and pixels are computed by Winograd's method (F(2x2, 3x3)), which
    /// takes less than half of the products; by default they are. Results then differ from those of the plain sums, and from
    /// LiteRT's, by some units in the last place of a layer's greatest values.
    #[must_use]
    pub fn winograd(mut self, winograd: bool) -> Self {
        self.options.winograd = winograd;
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

    /// Keeps packed weights in the file at `path`, so that the next interpreter of this model, in this or another process, packs
    /// nothing: it reads the file. See [`InterpreterBuilder::weight_cache_mapped`] for one that maps it.
    ///
    /// The file belongs to one model, instruction set and version of this library. One that is missing, belongs to another, or
    /// is damaged is no error: weights are packed as without it, [`build`](Self::build) writes it anew, and
    /// [`Interpreter::weight_cache_status`] says why. All that is used of it is checked against digests first; they tell what
    /// happened by accident, not what somebody with the right to write the file has forged, so let nobody write it whom you
    /// would not let write the model. Processes may use and replace one file at the same time.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn weight_cache(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache = Some(CacheFile::new(path.into(), weight_cache::read));
        self
    }

    /// As [`InterpreterBuilder::weight_cache`], with the file mapped into memory: its processes share the pages. Where it cannot
    /// be mapped it is read.
    ///
    /// # Safety
    /// No process may change or truncate the file in place while interpreters made with it live. This library never does: it
    /// puts another file in its place.
    #[cfg(feature = "mmap")]
    #[must_use]
    pub unsafe fn weight_cache_mapped(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache = Some(CacheFile::new(path.into(), |path| {
            // SAFETY: the caller promises that the file stays as it is.
            unsafe { crate::mmap::map(path) }.or_else(|_| weight_cache::read(path))
        }));
        self
    }

    /// Plans the model and packs its weights.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] with all operators that are missing; [`crate::ErrorKind::BadModel`] when an operator's
    /// operands contradict each other; [`crate::ErrorKind::Limit`] when the arena would be too large.
    pub fn build(self) -> Result<Interpreter> {
        Interpreter::new(
            self.model,
            self.options,
            #[cfg(feature = "std")]
            self.cache,
        )
    }
}
