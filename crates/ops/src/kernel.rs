//! A lowered operator, ready to run any number of times, and what it may ask of its surroundings.

use std::borrow::Cow;

use ferrolite_kernels::par::Par;

use crate::error::OpError;
use crate::io::Io;
use crate::resources::Resources;
use crate::tensor::TensorValue;

/// Work of one run of a kernel, for profiles.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Arithmetic operations: a multiply-add counts two.
    pub ops: f64,
}

/// A lowered operator: kernel chosen, weights packed, shapes fixed. Immutable and shared between threads.
pub trait Kernel: Send + Sync {
    /// The kernel's name as profiles and `describe()` show it, such as `f32_gemm_6x16_avx2`.
    fn name(&self) -> Cow<'static, str>;

    /// Bytes of scratch memory that [`Kernel::run`] needs.
    fn scratch_bytes(&self) -> usize {
        0
    }

    /// Work of one run.
    fn cost(&self) -> Cost {
        Cost::default()
    }

    /// Computes the outputs.
    ///
    /// # Errors
    /// When a value met while running does not fit, or the caller cancelled.
    fn run(&self, io: &mut Io<'_>, cx: &mut dyn Context) -> Result<(), OpError>;
}

/// How an operator reaches what lies outside its operands.
pub trait Context {
    /// How to spread work over threads.
    fn par(&self) -> Par;

    /// Fails once the caller has cancelled; long loops ask now and then.
    ///
    /// # Errors
    /// When the caller has cancelled.
    fn check_cancelled(&self) -> Result<(), OpError>;

    /// The interpreter's resource variables and tables.
    fn resources(&mut self) -> &mut Resources;

    /// Runs another subgraph on copies of `inputs` and returns its outputs.
    ///
    /// # Errors
    /// When there is no such subgraph, the inputs do not fit, or it fails.
    fn call(&mut self, subgraph: usize, inputs: &[&TensorValue]) -> Result<Vec<TensorValue>, OpError>;

    /// Runs a subgraph that returns as many tensors as it takes: what it returns takes the place of `values`, without
    /// copies where they can be avoided.
    ///
    /// # Errors
    /// As [`Context::call`]; the values are then unspecified.
    fn advance(&mut self, subgraph: usize, values: &mut Vec<TensorValue>) -> Result<(), OpError> {
        let inputs: Vec<&TensorValue> = values.iter().collect();
        *values = self.call(subgraph, &inputs)?;
        Ok(())
    }

    /// The most turns that a loop may take.
    fn max_loop_turns(&self) -> u64 {
        u64::MAX
    }

    /// Runs a subgraph without inputs or outputs if it has not run yet in this interpreter.
    ///
    /// # Errors
    /// When there is no such subgraph or it fails.
    fn call_once(&mut self, subgraph: usize) -> Result<(), OpError>;
}

/// The function of a [`FnKernel`].
type Run = Box<dyn Fn(&mut Io<'_>, &mut dyn Context) -> Result<(), OpError> + Send + Sync>;

/// A kernel made of a name and a closure.
pub struct FnKernel {
    name: Cow<'static, str>,
    scratch: usize,
    cost: Cost,
    run: Run,
}

impl FnKernel {
    /// A kernel that runs `run`.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        run: impl Fn(&mut Io<'_>, &mut dyn Context) -> Result<(), OpError> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), scratch: 0, cost: Cost::default(), run: Box::new(run) }
    }

    /// Asks for scratch memory.
    #[must_use]
    pub fn scratch(mut self, bytes: usize) -> Self {
        self.scratch = bytes;
        self
    }

    /// States the work of one run in arithmetic operations.
    #[must_use]
    pub fn ops(mut self, ops: f64) -> Self {
        self.cost.ops = ops;
        self
    }

    /// Boxed, as lowering returns it.
    #[must_use]
    pub fn boxed(self) -> Box<dyn Kernel> {
        Box::new(self)
    }
}

impl Kernel for FnKernel {
    fn name(&self) -> Cow<'static, str> {
        self.name.clone()
    }

    fn scratch_bytes(&self) -> usize {
        self.scratch
    }

    fn cost(&self) -> Cost {
        self.cost
    }

    fn run(&self, io: &mut Io<'_>, cx: &mut dyn Context) -> Result<(), OpError> {
        (self.run)(io, cx)
    }
}
