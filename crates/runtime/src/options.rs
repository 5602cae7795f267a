//! Options of an interpreter.

use std::sync::Arc;

use ferrolite_kernels::isa::Cpu;
use ferrolite_ops::PackFile;
use ferrolite_plan::backend::Backend;
use ferrolite_plan::{CompileOptions, Fusion};

/// Everything that can be chosen when an interpreter is built.
#[derive(Clone)]
pub struct Options {
    /// Threads that run kernels, at least 1.
    pub threads: usize,
    /// Compute large 3 x 3 convolutions with fewer products than their sums have, which rounds otherwise.
    pub winograd: bool,
    /// Instruction set of the kernels.
    pub cpu: Cpu,
    /// Keep every tensor readable after a run, for debugging: nothing is fused and no memory is reused.
    pub preserve_all: bool,
    /// Measure the time of every step.
    pub profile: bool,
    /// Backends that are offered parts of the graph, in order of preference.
    pub backends: Vec<Arc<dyn Backend>>,
    /// Limits on what a model may ask for.
    pub limits: Limits,
    /// Where packed weights are found and kept.
    pub pack_file: Option<Arc<PackFile>>,
}

/// Limits on what a model may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest arena in bytes.
    pub arena_bytes: usize,
    /// Deepest nesting of subgraph calls.
    pub nesting: usize,
    /// Most turns of a loop, for models that may not end; a run that reaches it fails.
    pub loop_turns: u64,
}

impl Default for Limits {
    fn default() -> Self {
        // 8 GiB, or what a 32-bit address space holds.
        Self {
            arena_bytes: usize::try_from(8u64 << 30).unwrap_or(isize::MAX as usize),
            nesting: 64,
            loop_turns: u64::MAX,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: default_threads(),
            winograd: true,
            cpu: Cpu::detect(),
            preserve_all: false,
            profile: false,
            backends: Vec::new(),
            limits: Limits::default(),
            pack_file: None,
        }
    }
}

impl Options {
    /// How far the model's operators may be fused.
    pub(crate) fn fusion(&self) -> Fusion {
        match (self.preserve_all, self.backends.is_empty()) {
            (true, _) => Fusion::None,
            (false, true) => Fusion::Cpu,
            (false, false) => Fusion::Common,
        }
    }

    pub(crate) fn compile_options(&self) -> CompileOptions {
        CompileOptions {
            cpu: self.cpu,
            threads: self.threads,
            winograd: self.winograd,
            preserve_all: self.preserve_all,
            backends: self.backends.clone(),
            max_arena_bytes: self.limits.arena_bytes,
        }
    }
}

/// As many threads as the machine runs at once.
#[must_use]
pub fn default_threads() -> usize {
    if cfg!(feature = "threads") { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 }
}
