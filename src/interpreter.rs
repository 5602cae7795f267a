//! Running a model.

use ferrolite_model::TensorType;
use ferrolite_ops::{Element, Resources, Shape, TensorValue, Variable, strings};
use ferrolite_runtime::{CancelToken, Executor, Options, Profile};

use crate::builder::InterpreterBuilder;
use crate::meta::TensorMeta;
use crate::model::Model;
use crate::signature::{Signature, SignatureRunner};
use crate::view::TensorView;
#[cfg(feature = "std")]
use crate::weight_cache::{CacheFile, WeightCacheStatus};
use crate::{Error, ErrorKind, Result, quantized};

/// A plan of a model's main subgraph with memory of its own, and the variables that all its signatures share.
pub struct Interpreter {
    model: Model,
    pub(crate) executor: Executor,
    main: Entry,
    #[cfg(feature = "std")]
    cache: Option<CacheFile>,
}

/// A subgraph as callers enter it.
pub(crate) struct Entry {
    pub subgraph: usize,
    pub inputs: Vec<TensorMeta>,
    pub outputs: Vec<TensorMeta>,
}

impl Entry {
    pub fn new(model: &Model, subgraph: usize) -> Result<Self> {
        let graph = model.graph().subgraph(subgraph).ok_or_else(|| {
            Error::new(ErrorKind::BadModel, format!("the model has no subgraph {subgraph} to run"))
        })?;
        let metas = |list: &[usize]| {
            list.iter()
                .filter_map(|&t| graph.tensors.get(t).map(|tensor| TensorMeta::new(t, tensor)))
                .collect()
        };
        Ok(Self { subgraph, inputs: metas(&graph.inputs), outputs: metas(&graph.outputs) })
    }

    /// Whether the file leaves a dimension of an input to the caller.
    fn is_open(&self) -> bool {
        self.inputs.iter().any(TensorMeta::is_open)
    }
}

/// Methods on the inputs and outputs of one entry, shared by [`Interpreter`] and [`SignatureRunner`].
pub(crate) struct Ports<'a> {
    pub executor: &'a mut Executor,
    pub subgraph: usize,
}

impl<'a> Ports<'a> {
    pub fn value_mut(self, meta: &TensorMeta) -> Result<&'a mut TensorValue> {
        self.executor.slot_mut(self.subgraph, meta.index).ok_or_else(|| not_ready(&meta.name))
    }

    pub fn resize(self, meta: &TensorMeta, shape: &[usize], strict: bool) -> Result<()> {
        if strict {
            check_strict(meta, shape)?;
        }
        self.executor.resize(self.subgraph, meta.index, Shape::new(shape))
    }

    pub fn set_bytes(self, meta: &TensorMeta, bytes: &[u8]) -> Result<()> {
        let value = self.value_mut(meta)?;
        if meta.dtype == TensorType::String {
            let count = strings::decode(bytes)?.len();
            let shape = value.shape().clone();
            check_count(meta, shape.num_elements()?, count)?;
            value.assign(TensorType::String, &shape, bytes);
            return Ok(());
        }
        check_count(meta, value.bytes().len(), bytes.len())?;
        value.bytes_mut().copy_from_slice(bytes);
        Ok(())
    }
}

fn check_count(meta: &TensorMeta, want: usize, got: usize) -> Result<()> {
    if want == got {
        return Ok(());
    }
    let unit = if meta.dtype == TensorType::String { "strings" } else { "bytes" };
    Err(Error::invalid_input(format!(
        "input '{}' takes {want} {unit}, {got} were given: resize the input or give as many",
        meta.name
    )))
}

/// Strict resizing changes only dimensions that the file leaves open.
fn check_strict(meta: &TensorMeta, shape: &[usize]) -> Result<()> {
    let fits = meta.shape.len() == shape.len()
        && meta.shape.iter().zip(shape).enumerate().all(|(i, (declared, wanted))| {
            declared == wanted || meta.shape_signature.get(i).is_some_and(|&s| s == -1)
        });
    if fits {
        return Ok(());
    }
    Err(Error::invalid_input(format!(
        "input '{}' of shape {:?} cannot become {shape:?}: the model leaves open only the dimensions that are -1 in {:?}",
        meta.name, meta.shape, meta.shape_signature
    )))
}

pub(crate) fn not_ready(name: &str) -> Error {
    Error::invalid_input(format!("tensor '{name}' has no memory yet: run the interpreter first"))
}

impl Interpreter {
    /// Options for an interpreter of `model`.
    #[must_use]
    pub fn builder(model: &Model) -> InterpreterBuilder {
        InterpreterBuilder::new(model)
    }

    pub(crate) fn new(
        model: Model,
        options: Options,
        #[cfg(feature = "std")] cache: Option<CacheFile>,
    ) -> Result<Self> {
        let main = Entry::new(&model, 0)?;
        let mut executor = Executor::new(model.shared().clone(), options)?;
        #[cfg(feature = "std")]
        if let Some(cache) = &cache {
            executor.open_packs(cache.content());
        }
        executor.open(main.subgraph)?;
        match executor.allocate(main.subgraph) {
            // The shapes of a file that leaves dimensions open are examples, which need not fit together.
            Err(e) if main.is_open() && matches!(e.kind(), ErrorKind::BadModel | ErrorKind::Unsupported) => {}
            planned => planned?,
        }
        let interpreter = Self {
            model,
            executor,
            main,
            #[cfg(feature = "std")]
            cache,
        };
        #[cfg(feature = "std")]
        let interpreter = {
            let mut interpreter = interpreter;
            interpreter.save_weight_cache();
            interpreter
        };
        Ok(interpreter)
    }

    /// What the cache of packed weights was good for so far; `None` without one
    /// ([`weight_cache`](InterpreterBuilder::weight_cache)).
    #[cfg(feature = "std")]
    #[must_use]
    pub fn weight_cache_status(&self) -> Option<WeightCacheStatus> {
        let packs = self.executor.options().pack_file.as_deref();
        self.cache.as_ref().zip(packs).map(|(cache, packs)| cache.status(packs))
    }

    /// Writes the cache of packed weights again if it lacks weights that are packed by now. [`InterpreterBuilder::build`] does so
    /// for those of the first subgraph; others are packed when their signature first runs, or when shapes depend on data.
    /// [`Interpreter::weight_cache_status`] says what became of it; without a cache nothing happens.
    #[cfg(feature = "std")]
    pub fn save_weight_cache(&mut self) {
        let packs = self.executor.options().pack_file.as_deref();
        if let Some((cache, packs)) = self.cache.as_mut().zip(packs) {
            self.executor.install(|| cache.save(packs));
        }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The inputs.
    #[must_use]
    pub fn inputs(&self) -> &[TensorMeta] {
        &self.main.inputs
    }

    /// The outputs.
    #[must_use]
    pub fn outputs(&self) -> &[TensorMeta] {
        &self.main.outputs
    }

    /// The position of the input with this tensor name.
    #[must_use]
    pub fn input_index(&self, name: &str) -> Option<usize> {
        self.main.inputs.iter().position(|m| m.name == name)
    }

    /// The position of the output with this tensor name.
    #[must_use]
    pub fn output_index(&self, name: &str) -> Option<usize> {
        self.main.outputs.iter().position(|m| m.name == name)
    }

    fn input_meta(&self, i: usize) -> Result<&TensorMeta> {
        self.main.inputs.get(i).ok_or_else(|| out_of_range("input", i, self.main.inputs.len()))
    }

    fn output_value(&self, i: usize) -> Result<&TensorValue> {
        let meta =
            self.main.outputs.get(i).ok_or_else(|| out_of_range("output", i, self.main.outputs.len()))?;
        self.executor.slot(self.main.subgraph, meta.index).ok_or_else(|| not_ready(&meta.name))
    }

    fn input_ports(&mut self, i: usize) -> Result<(Ports<'_>, &TensorMeta)> {
        let count = self.main.inputs.len();
        let meta = self.main.inputs.get(i).ok_or_else(|| out_of_range("input", i, count))?;
        Ok((Ports { executor: &mut self.executor, subgraph: self.main.subgraph }, meta))
    }

    /// The present shape of input `i`; empty if there is none.
    #[must_use]
    pub fn input_shape(&self, i: usize) -> &[usize] {
        let value = self.input_meta(i).ok().and_then(|m| self.executor.slot(self.main.subgraph, m.index));
        value.map_or(&[], |v| v.shape())
    }

    /// The shape of output `i` as of the last plan or run; empty if there is none.
    #[must_use]
    pub fn output_shape(&self, i: usize) -> &[usize] {
        self.output_value(i).map_or(&[], |v| v.shape())
    }

    /// Input `i`'s elements, to be written. They keep their content from run to run.
    ///
    /// # Errors
    /// When there is no input `i` or its element type is not `T`.
    pub fn input_mut<T: Element>(&mut self, i: usize) -> Result<&mut [T]> {
        let (ports, meta) = self.input_ports(i)?;
        let value = ports.value_mut(meta)?;
        value.elements_mut().map_err(|e| Error::invalid_input(format!("input {i} '{}': {e}", meta.name)))
    }

    /// Sets input `i` from little-endian bytes (strings: the layout of [`crate::strings`]).
    ///
    /// # Errors
    /// When there is no input `i` or the number of bytes is not its own.
    pub fn set_input_bytes(&mut self, i: usize, bytes: &[u8]) -> Result<()> {
        let (ports, meta) = self.input_ports(i)?;
        ports.set_bytes(meta, bytes)
    }

    /// Input `i`'s content.
    ///
    /// # Errors
    /// When there is no input `i`.
    pub fn input_bytes(&self, i: usize) -> Result<&[u8]> {
        let meta = self.input_meta(i)?;
        let value = self.executor.slot(self.main.subgraph, meta.index);
        value.map(TensorValue::bytes).ok_or_else(|| not_ready(&meta.name))
    }

    /// Quantizes real numbers into input `i` with its scale and zero point.
    ///
    /// # Errors
    /// When there is no input `i`, it carries no quantization, or the number of elements is not its own.
    pub fn write_quantized(&mut self, i: usize, real: &[f32]) -> Result<()> {
        let (ports, meta) = self.input_ports(i)?;
        quantized::write(ports.value_mut(meta)?, meta.quantization.as_deref(), real)
    }

    /// Output `i`'s elements.
    ///
    /// # Errors
    /// When there is no output `i` or its element type is not `T`.
    pub fn output<T: Element>(&self, i: usize) -> Result<&[T]> {
        self.output_value(i)?.elements().map_err(|e| Error::invalid_input(format!("output {i}: {e}")))
    }

    /// Output `i`'s content as little-endian bytes.
    ///
    /// # Errors
    /// When there is no output `i`.
    pub fn output_bytes(&self, i: usize) -> Result<&[u8]> {
        self.output_value(i).map(TensorValue::bytes)
    }

    /// The real numbers that output `i` stands for.
    ///
    /// # Errors
    /// When there is no output `i` or it is neither float32 nor quantized.
    pub fn read_dequantized(&self, i: usize) -> Result<Vec<f32>> {
        let quantization = self.main.outputs.get(i).and_then(|m| m.quantization.as_deref());
        quantized::read(self.output_value(i)?, quantization)
    }

    /// Gives input `i` any other shape. Takes effect with [`Interpreter::allocate`] or the next run.
    ///
    /// # Errors
    /// When there is no input `i` or the shape is larger than memory.
    pub fn resize_input(&mut self, i: usize, shape: &[usize]) -> Result<()> {
        let (ports, meta) = self.input_ports(i)?;
        ports.resize(meta, shape, false)
    }

    /// As [`Interpreter::resize_input`], but only dimensions that the file leaves open may change.
    ///
    /// # Errors
    /// Also when another dimension would change.
    pub fn resize_input_strict(&mut self, i: usize, shape: &[usize]) -> Result<()> {
        let (ports, meta) = self.input_ports(i)?;
        ports.resize(meta, shape, true)
    }

    /// Plans for the present input shapes, so that output shapes are known and the first run is not slower.
    ///
    /// # Errors
    /// When the shapes do not fit the model.
    pub fn allocate(&mut self) -> Result<()> {
        self.executor.allocate(self.main.subgraph)
    }

    /// Runs the model on its inputs.
    ///
    /// # Errors
    /// When an operator fails, the shapes do not fit, or the run was cancelled.
    pub fn invoke(&mut self) -> Result<()> {
        self.executor.run(self.main.subgraph)
    }

    /// A token that stops [`Interpreter::invoke`] from another thread, between two steps.
    #[must_use]
    pub fn cancel_token(&self) -> CancelToken {
        self.executor.cancel_token()
    }

    /// Zeroes variable tensors and forgets the values of resource variables, so that their initialisers run again.
    pub fn reset_variables(&mut self) {
        self.executor.reset_variables();
    }

    /// The resource variables that have been met so far, in that order; all signatures share them. See
    /// [`Interpreter::initialize_variables`].
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        self.executor.resources().variables()
    }

    /// The value of the variable `name`, without a copy.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&TensorValue> {
        self.executor.resources().named(name)?.value.as_ref()
    }

    /// Gives the variable `name` a value.
    ///
    /// # Errors
    /// When no such variable has been met, or it holds another type.
    pub fn set_variable(&mut self, name: &str, value: TensorValue) -> Result<()> {
        Ok(self.executor.resources_mut().assign(name, value)?)
    }

    /// Runs the model's initialisers that have not run yet, so that all variables are known and have values. Running a signature
    /// does that by itself.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn initialize_variables(&mut self) -> Result<()> {
        self.executor.initialise()
    }

    /// A copy of all resource variables and tables as they are.
    #[must_use]
    pub fn snapshot(&self) -> Resources {
        self.executor.resources().clone()
    }

    /// Makes all resource variables and tables what they were when the snapshot was taken, in this or another interpreter of
    /// the model.
    pub fn restore(&mut self, snapshot: &Resources) {
        self.executor.resources_mut().clone_from(snapshot);
    }

    /// A runner of the signature `key`; all runners of an interpreter share its variables. It is planned by its first run,
    /// or by [`SignatureRunner::allocate`].
    ///
    /// # Errors
    /// When there is no such signature, or an operator of its subgraph is not supported.
    pub fn signature_runner(&mut self, key: &str) -> Result<SignatureRunner<'_>> {
        let signature = Signature::new(&self.model, key)?;
        SignatureRunner::new(self, &signature)
    }

    /// A runner of a signature at hand; costs nothing beyond the first time.
    ///
    /// # Errors
    /// When the signature is another model's, or its subgraph cannot be planned.
    pub fn runner(&mut self, signature: &Signature) -> Result<SignatureRunner<'_>> {
        SignatureRunner::new(self, signature)
    }

    /// A tensor after a run: any with [`InterpreterBuilder::preserve_all_tensors`], otherwise inputs, outputs, constants and
    /// variables.
    #[must_use]
    pub fn tensor(&self, subgraph: usize, index: usize) -> Option<TensorView<'_>> {
        self.executor.tensor(subgraph, index).map(|(dtype, shape, bytes)| TensorView { dtype, shape, bytes })
    }

    /// The plan as text: every step with its kernel, shapes and memory, and why steps stayed off a backend.
    #[must_use]
    pub fn describe(&self) -> String {
        self.executor.describe()
    }

    /// Time per step, with [`InterpreterBuilder::profile`].
    #[must_use]
    pub fn profile(&self) -> Option<Profile> {
        self.executor.options().profile.then(|| self.executor.profile())
    }

    /// Size of the arena in bytes.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        self.executor.arena_bytes()
    }
}

fn out_of_range(what: &str, i: usize, count: usize) -> Error {
    Error::invalid_input(format!("there is no {what} {i}: the model has {count}"))
}
