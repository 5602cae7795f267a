//! A model made ready to run: its interpreter, and its inputs and outputs by name.

use crate::args::{Accelerator, Execution};
use crate::cache::CacheReport;
use crate::error::Error;
use crate::fill;
use crate::npz::{Array, Arrays};
use crate::random::Random;
use crate::tensors;
use ferrolite::{Cpu, ErrorKind, Interpreter, InterpreterBuilder, Model, TensorMeta};
use std::path::Path;
use std::time::{Duration, Instant};

/// Opens a model: files are mapped into memory, anything else (a pipe) is read.
///
/// # Errors
/// A model error (exit 3) naming the file.
pub fn load(path: &Path) -> Result<Model, Error> {
    let mapped = path.is_file().then(|| {
        // SAFETY: a command runs for a while on the models it is given; that nobody writes to them meanwhile is asked of
        // whoever runs it (`--help` says so).
        unsafe { Model::from_mmap(path) }
    });
    let opened = match mapped {
        // Some file systems map nothing, and an empty file cannot be mapped.
        Some(Err(error)) if error.kind() == ErrorKind::Io => Model::from_file(path),
        Some(opened) => opened,
        None => Model::from_file(path),
    };
    opened.map_err(|error| match error.kind() {
        // Its message names the file already.
        ErrorKind::Io => error.into(),
        _ => Error::from(error).about(path.display()),
    })
}

/// How a model is to be run.
#[derive(Debug, Clone, Default)]
pub struct Setup<'a> {
    /// The signature; `None` for the first subgraph.
    pub signature: Option<&'a str>,
    /// Keep all intermediate tensors.
    pub preserve_all: bool,
    /// Measure every step.
    pub profile: bool,
}

/// An input or output.
#[derive(Debug, Clone)]
pub struct Port {
    /// What it is called in results: its name in the signature that is run, else its position.
    pub key: String,
    /// Every name it answers to: signature names, the tensor's name, its position.
    pub names: Vec<String>,
    /// Type, declared shape and quantization.
    pub meta: TensorMeta,
}

/// A model made ready to run.
pub struct Session {
    interpreter: Interpreter,
    signature: Option<String>,
    subgraph: usize,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Session {
    /// Plans `model`.
    ///
    /// # Errors
    /// Usage errors for an unknown signature, instruction set or accelerator, and those of building an interpreter.
    pub fn new(model: &Model, execution: &Execution, setup: &Setup<'_>) -> Result<Self, Error> {
        let builder = builder(model, execution)?.preserve_all_tensors(setup.preserve_all);
        let mut interpreter = builder.profile(setup.profile).build()?;

        let (subgraph, inputs, outputs) = match setup.signature {
            None => {
                let unnamed = |metas: &[TensorMeta]| -> Vec<(Option<String>, TensorMeta)> {
                    metas.iter().map(|meta| (None, meta.clone())).collect()
                };
                (0, unnamed(interpreter.inputs()), unnamed(interpreter.outputs()))
            }
            Some(key) => {
                let mut runner = interpreter.signature_runner(key)?;
                let planned = runner.allocate();
                if !runner.inputs().iter().any(|(_, meta)| meta.is_open()) {
                    planned?;
                }
                let named = |metas: &[(String, TensorMeta)]| -> Vec<(Option<String>, TensorMeta)> {
                    metas.iter().map(|(name, meta)| (Some(name.clone()), meta.clone())).collect()
                };
                let ports = (named(runner.inputs()), named(runner.outputs()));
                let signatures = model.signatures();
                let subgraph = signatures.iter().find(|s| s.key == key).map_or(0, |s| s.subgraph);
                (subgraph, ports.0, ports.1)
            }
        };
        let aliases = |index: usize| -> Vec<String> {
            let signatures = model.graph().signatures().iter().filter(|s| s.subgraph == subgraph);
            let names = signatures.flat_map(|s| s.inputs.iter().chain(&s.outputs));
            names.filter(|(_, tensor)| *tensor == index).map(|(name, _)| name.clone()).collect()
        };
        let ports = |list: Vec<(Option<String>, TensorMeta)>| -> Vec<Port> {
            let port = |(position, (name, meta)): (usize, (Option<String>, TensorMeta))| {
                let names = if name.is_some() { vec![] } else { aliases(meta.index) };
                let own = [meta.name.clone(), position.to_string()];
                let names = name.iter().cloned().chain(names).chain(own).collect();
                Port { key: name.unwrap_or_else(|| position.to_string()), names, meta }
            };
            list.into_iter().enumerate().map(port).collect()
        };
        let (inputs, outputs) = (ports(inputs), ports(outputs));
        Ok(Self { interpreter, signature: setup.signature.map(str::to_owned), subgraph, inputs, outputs })
    }

    /// The inputs.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The interpreter, for what no input or output is needed for.
    pub fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// What became of the cache of packed weights, if there is to be one; with what has been packed since loading.
    pub fn weight_cache(&mut self) -> Option<CacheReport> {
        self.interpreter.save_weight_cache();
        self.interpreter.weight_cache_status().map(CacheReport::from)
    }

    /// Sets the inputs that `arrays` names, resizing those of another shape, and the others to random values.
    /// Returns for each input the name of its array.
    ///
    /// # Errors
    /// Usage errors for names, types and shapes that do not fit.
    pub fn set_inputs(&mut self, arrays: &Arrays, seed: u64) -> Result<Vec<Option<String>>, Error> {
        let chosen = self.assign(arrays)?;
        let mut resized = false;
        for (input, array) in chosen.iter().enumerate().filter_map(|(i, array)| Some((i, (*array)?))) {
            if self.input_shape(input)? != array.1.shape() {
                self.resize(input, array.1.shape())?;
                resized = true;
            }
        }
        if resized {
            self.allocate()?;
        }
        let mut random = Random::new(seed);
        for (input, array) in chosen.iter().enumerate() {
            let meta = self.inputs[input].meta.clone();
            let bytes = match array {
                Some((name, array)) => tensors::to_bytes(meta.dtype, array)
                    .map_err(|e| Error::usage(format!("input '{name}' {e}")))?,
                None => {
                    fill::random_bytes(&meta, &self.input_shape(input)?, &mut random).ok_or_else(|| {
                        let Port { key, .. } = &self.inputs[input];
                        Error::usage(format!("input '{key}' is a {}, which cannot be made up", meta.dtype))
                    })?
                }
            };
            self.set_bytes(input, &bytes)?;
        }
        Ok(chosen.iter().map(|array| array.map(|(name, _)| name.clone())).collect())
    }

    /// For each input the array that names it.
    fn assign<'a>(&self, arrays: &'a Arrays) -> Result<Vec<Option<&'a (String, Array)>>, Error> {
        let mut chosen: Vec<Option<&(String, Array)>> = vec![None; self.inputs.len()];
        for array in arrays {
            let index = find(&self.inputs, &array.0).ok_or_else(|| {
                Error::usage(format!(
                    "the model has no input '{}'; it takes {}",
                    array.0,
                    listed(&self.inputs, "nothing")
                ))
            })?;
            if let Some((other, _)) = chosen[index].replace(array) {
                return Err(Error::usage(format!(
                    "the arrays '{other}' and '{}' both name input {index}; leave one out",
                    array.0
                )));
            }
        }
        Ok(chosen)
    }

    /// The present shape of an input.
    ///
    /// # Errors
    /// When it has none, which planning rules out.
    pub fn input_shape(&self, input: usize) -> Result<Vec<usize>, Error> {
        let Port { key, meta, .. } = &self.inputs[input];
        let tensor = self.interpreter.tensor(self.subgraph, meta.index);
        let shape = tensor.map(|tensor| tensor.shape.to_vec());
        shape.ok_or_else(|| Error::runtime(format!("input '{key}' has no memory")))
    }

    fn resize(&mut self, input: usize, shape: &[usize]) -> Result<(), Error> {
        match &self.signature {
            None => self.interpreter.resize_input(input, shape)?,
            Some(key) => {
                self.interpreter.signature_runner(key)?.resize_input(&self.inputs[input].key, shape)?;
            }
        }
        Ok(())
    }

    /// Plans for the shapes the inputs were given. That they do not fit is the caller's mistake, not the model's.
    fn allocate(&mut self) -> Result<(), Error> {
        let planned = match &self.signature {
            None => self.interpreter.allocate(),
            Some(key) => self.interpreter.signature_runner(key).and_then(|mut runner| runner.allocate()),
        };
        planned.map_err(|error| match error.kind() {
            ErrorKind::BadModel | ErrorKind::InvalidInput | ErrorKind::Runtime => {
                Error::usage(format!("the model cannot take inputs of these shapes: {error}"))
            }
            _ => error.into(),
        })
    }

    fn set_bytes(&mut self, input: usize, bytes: &[u8]) -> Result<(), Error> {
        match &self.signature {
            None => self.interpreter.set_input_bytes(input, bytes)?,
            Some(key) => {
                self.interpreter.signature_runner(key)?.set_input_bytes(&self.inputs[input].key, bytes)?;
            }
        }
        Ok(())
    }

    /// Runs once.
    ///
    /// # Errors
    /// Those of the operators.
    pub fn invoke(&mut self) -> Result<Duration, Error> {
        let mut last = Duration::ZERO;
        self.run_while(|time| {
            last = time;
            false
        })?;
        Ok(last)
    }

    /// Runs, tells `again` how long that took, and repeats while it says so.
    ///
    /// # Errors
    /// Those of the operators.
    pub fn run_while(&mut self, again: impl FnMut(Duration) -> bool) -> Result<(), Error> {
        match &self.signature {
            None => repeat(|| self.interpreter.invoke(), again),
            Some(key) => {
                let mut runner = self.interpreter.signature_runner(key)?;
                repeat(|| runner.invoke(), again)
            }
        }
    }

    /// The content of an output after a run.
    ///
    /// # Errors
    /// When it holds what no array can.
    pub fn output(&self, output: usize) -> Result<Array, Error> {
        let Port { key, meta, .. } = &self.outputs[output];
        self.tensor(self.subgraph, meta.index)
            .ok_or_else(|| Error::runtime(format!("output '{key}' of type {} has no array", meta.dtype)))
    }

    /// The content of any tensor that is kept; `None` for those that are not, or that no array can hold.
    pub fn tensor(&self, subgraph: usize, index: usize) -> Option<Array> {
        let view = self.interpreter.tensor(subgraph, index)?;
        tensors::to_array(view.dtype, view.shape, view.bytes)
    }
}

fn repeat(
    mut invoke: impl FnMut() -> ferrolite::Result<()>,
    mut again: impl FnMut(Duration) -> bool,
) -> Result<(), Error> {
    loop {
        let start = Instant::now();
        invoke()?;
        if !again(start.elapsed()) {
            return Ok(());
        }
    }
}

/// The port that answers to `name`. Signature names go before tensor names, and these before positions.
pub fn find(ports: &[Port], name: &str) -> Option<usize> {
    let longest = ports.iter().map(|port| port.names.len()).max().unwrap_or(0);
    let by_rank = |rank: usize| {
        // Counted from the end, so that equal kinds of names meet: the position is always last.
        ports.iter().position(|port| port.names.iter().rev().nth(rank).is_some_and(|own| own == name))
    };
    (0..longest).rev().find_map(by_rank)
}

/// The ports' names with their types and shapes, for messages.
pub fn listed(ports: &[Port], none: &str) -> String {
    let one = |port: &Port| {
        let names: Vec<String> = port.names.iter().map(|name| format!("'{name}'")).collect();
        format!("{} ({} {:?})", names.join(" or "), port.meta.dtype, port.meta.shape)
    };
    if ports.is_empty() { none.to_owned() } else { ports.iter().map(one).collect::<Vec<_>>().join(", ") }
}

/// Offers the model to the fastest GPU.
#[cfg(feature = "gpu")]
fn on_gpu(builder: InterpreterBuilder) -> Result<InterpreterBuilder, Error> {
    let backend = ferrolite::gpu::GpuBackend::new(ferrolite::gpu::AdapterChoice::Any)?;
    Ok(builder.backend(std::sync::Arc::new(backend)))
}

#[cfg(not(feature = "gpu"))]
fn on_gpu(_: InterpreterBuilder) -> Result<InterpreterBuilder, Error> {
    Err(Error::usage(
        "this build of ferrolite has no GPU support; build it with --features gpu, or use --accelerator cpu",
    ))
}

/// A builder with what was chosen on the command line.
///
/// # Errors
/// Usage errors for an unknown instruction set or accelerator.
pub fn builder(model: &Model, execution: &Execution) -> Result<InterpreterBuilder, Error> {
    let mut builder = Interpreter::builder(model);
    if let Some(threads) = execution.threads {
        builder = builder.threads(usize::from(threads));
    }
    builder = builder.winograd(!execution.no_winograd);
    if let Some(isa) = &execution.isa {
        builder = builder.cpu(cpu_named(isa)?);
    }
    if let Some(path) = &execution.weight_cache {
        // SAFETY: as for the model file: that nobody changes it while a command runs is asked of whoever runs it.
        builder = unsafe { builder.weight_cache_mapped(path) };
    }
    if execution.accelerator == Accelerator::Gpu {
        builder = on_gpu(builder)?;
    }
    Ok(builder)
}

fn cpu_named(name: &str) -> Result<Cpu, Error> {
    let all = Cpu::all();
    let names: Vec<&str> = all.iter().map(|cpu| cpu.name()).collect();
    all.iter().find(|cpu| cpu.name() == name).copied().ok_or_else(|| {
        Error::usage(format!("this machine has no instruction set '{name}'; it has {}", names.join(", ")))
    })
}
