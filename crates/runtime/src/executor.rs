//! An interpreter's engine: one instance per subgraph in use, the variables they share, and calls between them.

use std::sync::Arc;

use ferrolite_kernels::par::Par;
use ferrolite_model::Bytes;
use ferrolite_model::options::CallOnceOptionsT;
use ferrolite_ops::{Context, OpError, OpErrorKind, PackFile, PackIdentity, Resources, Shape, TensorValue};
use ferrolite_plan::{Content, Error, ErrorKind, describe};

use crate::cancel::CancelToken;
use crate::instance::Instance;
use crate::options::Options;
use crate::pool::Pool;
use crate::profile::{Profile, StepProfile, StepTime};
use crate::shared::SharedModel;

/// Runs the subgraphs of a model.
pub struct Executor {
    shared: Arc<SharedModel>,
    options: Options,
    pool: Pool,
    cancel: CancelToken,
    world: World,
}

/// What subgraphs share while they run.
#[derive(Default)]
struct World {
    /// By subgraph; a running instance is taken out of its place.
    instances: Vec<Option<Box<Instance>>>,
    resources: Resources,
    depth: usize,
}

impl Executor {
    /// An engine over a model; nothing is planned yet.
    ///
    /// # Errors
    /// When the thread pool cannot be started.
    pub fn new(shared: Arc<SharedModel>, options: Options) -> Result<Self, Error> {
        let pool = Pool::new(options.threads)?;
        let mut world = World::default();
        world.instances.resize_with(shared.model().subgraphs().len(), || None);
        Ok(Self { shared, options, pool, cancel: CancelToken::new(), world })
    }

    /// The model.
    #[must_use]
    pub fn shared(&self) -> &Arc<SharedModel> {
        &self.shared
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Gives the engine a file of packed weights for its model and CPU, opened by all threads, before it plans anything.
    pub fn open_packs(&mut self, content: Result<Option<Bytes>, String>) {
        let Self { shared, options, pool, .. } = self;
        let open = || PackFile::open(content, PackIdentity::new(shared.digest(), options.cpu));
        options.pack_file = Some(Arc::new(pool.install(open)));
    }

    /// Runs `work` where it finds the engine's threads.
    pub fn install<R>(&self, work: impl FnOnce() -> R) -> R {
        self.pool.install(work)
    }

    /// The token that stops runs of this engine.
    #[must_use]
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// The variables.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.world.resources
    }

    /// The variables, writable.
    pub fn resources_mut(&mut self) -> &mut Resources {
        &mut self.world.resources
    }

    fn instance(&mut self, subgraph: usize) -> Result<&mut Instance, Error> {
        let missing = || Error::new(ErrorKind::BadModel, format!("the model has no subgraph {subgraph}"));
        let slot = self.world.instances.get_mut(subgraph).ok_or_else(missing)?;
        match slot {
            Some(instance) => Ok(instance),
            None => Ok(slot.insert(Box::new(Instance::new(&self.shared, subgraph, &self.options)?))),
        }
    }

    /// Gives a subgraph's inputs and variables their memory, without planning.
    ///
    /// # Errors
    /// When there is no such subgraph, an operator of the model is not supported, or a declared shape is larger than memory.
    pub fn open(&mut self, subgraph: usize) -> Result<(), Error> {
        self.instance(subgraph).map(|_| ())
    }

    /// Plans a subgraph for the shapes its inputs now have.
    ///
    /// # Errors
    /// Those of planning.
    pub fn allocate(&mut self, subgraph: usize) -> Result<(), Error> {
        self.instance(subgraph)?;
        let Self { shared, options, pool, world, .. } = self;
        let instance = world.instances.get_mut(subgraph).and_then(Option::as_mut);
        // Weights are packed by all threads.
        instance.map_or(Ok(()), |instance| pool.install(|| instance.allocate(shared, options)))
    }

    /// Gives an input tensor another shape.
    ///
    /// # Errors
    /// When the shape is larger than memory.
    pub fn resize(&mut self, subgraph: usize, tensor: usize, shape: Shape) -> Result<(), Error> {
        self.instance(subgraph)?.resize(tensor, shape)
    }

    /// The tensor with this index, if it has memory of its own: inputs, outputs, variables; all with `preserve_all`.
    pub fn slot(&self, subgraph: usize, tensor: usize) -> Option<&TensorValue> {
        self.world.instances.get(subgraph)?.as_ref()?.slots.get(tensor)
    }

    /// The same, writable.
    pub fn slot_mut(&mut self, subgraph: usize, tensor: usize) -> Option<&mut TensorValue> {
        self.world.instances.get_mut(subgraph)?.as_mut()?.slots.get_mut(tensor)
    }

    /// Type, shape and content of a tensor after a run.
    #[must_use]
    pub fn tensor(
        &self,
        subgraph: usize,
        tensor: usize,
    ) -> Option<(ferrolite_model::TensorType, &[usize], &[u8])> {
        self.world.instances.get(subgraph)?.as_ref()?.tensor(tensor)
    }

    /// Zeroes all variable tensors and forgets all resource variables, so that initialisers run again.
    pub fn reset_variables(&mut self) {
        for instance in self.world.instances.iter_mut().flatten() {
            instance.reset_variables();
        }
        self.world.resources.clear();
    }

    /// Runs a subgraph on what its inputs hold.
    ///
    /// # Errors
    /// Those of planning and of kernels; [`ErrorKind::Cancelled`] when the token was cancelled.
    pub fn run(&mut self, subgraph: usize) -> Result<(), Error> {
        self.instance(subgraph)?;
        let Self { shared, options, pool, cancel, world } = self;
        let threads = options.threads;
        pool.install(|| {
            let mut context = RunContext { shared, options, cancel, world, par: Par::new(threads) };
            context.run(subgraph)
        })
    }

    /// Runs every subgraph that an operator of the model runs once and that has not run yet, so that all variables have
    /// values.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn initialise(&mut self) -> Result<(), Error> {
        let operators = self.shared.model().subgraphs().iter().flat_map(|s| &s.operators);
        let mut initialisers: Vec<usize> = operators
            .filter_map(|operator| operator.options::<CallOnceOptionsT>())
            .filter_map(|options| usize::try_from(options.init_subgraph_index).ok())
            .collect();
        initialisers.sort_unstable();
        initialisers.dedup();
        for subgraph in initialisers {
            if !self.world.resources.is_initialised(subgraph) {
                self.run(subgraph)?;
                self.world.resources.set_initialised(subgraph);
            }
        }
        Ok(())
    }

    /// The plans of all subgraphs in use, as text.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut out = format!("kernels for {}, {} threads\n", self.options.cpu.name(), self.options.threads);
        for instance in self.world.instances.iter().flatten() {
            let name = self.shared.model().subgraph(instance.graph.subgraph).and_then(|s| s.name.as_deref());
            out.push_str(&format!("subgraph {} {}\n", instance.graph.subgraph, name.unwrap_or_default()));
            out.push_str(&describe(&instance.graph, &instance.segments));
        }
        out
    }

    /// Time per step so far; empty unless the option `profile` is set.
    #[must_use]
    pub fn profile(&self) -> Profile {
        let mut profile = Profile::default();
        for instance in self.world.instances.iter().flatten() {
            for (s, segment) in instance.segments.iter().enumerate() {
                let Some(times) = instance.times(s) else { continue };
                for (i, step) in segment.steps.iter().enumerate() {
                    let StepTime { total, least, calls } = times.get(i);
                    let shapes = |operands: &[ferrolite_plan::StepOperand]| -> String {
                        let shapes: Vec<String> = operands
                            .iter()
                            .filter(|o| o.tensor.is_some())
                            .map(|o| o.shape.to_string())
                            .collect();
                        shapes.join(" ")
                    };
                    profile.steps.push(StepProfile {
                        operator: step.operators(&instance.graph).join("+"),
                        kernel: step.kernel.name().into_owned(),
                        shapes: format!("{} -> {}", shapes(&step.inputs), shapes(&step.outputs)),
                        total,
                        least,
                        calls,
                        ops: step.kernel.cost().ops,
                    });
                }
            }
        }
        profile
    }

    /// Bytes of all arenas.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        self.world.instances.iter().flatten().map(|i| i.arena_bytes()).sum()
    }
}

struct RunContext<'a> {
    shared: &'a SharedModel,
    options: &'a Options,
    cancel: &'a CancelToken,
    world: &'a mut World,
    par: Par,
}

impl RunContext<'_> {
    /// Runs `work` on a subgraph's instance, which is out of its place meanwhile.
    fn with_instance<R>(
        &mut self,
        subgraph: usize,
        work: impl FnOnce(&mut Instance, &mut Self) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let slot = self.world.instances.get_mut(subgraph).ok_or_else(|| {
            Error::new(
                ErrorKind::BadModel,
                format!("an operator calls subgraph {subgraph}, which the model lacks"),
            )
        })?;
        let mut instance = match slot.take() {
            Some(instance) => instance,
            None => Box::new(Instance::new(self.shared, subgraph, self.options)?),
        };
        if self.world.depth >= self.options.limits.nesting {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("subgraph calls nest deeper than {}: raise the limit", self.options.limits.nesting),
            ));
        }
        self.world.depth += 1;
        let result = work(&mut instance, self);
        self.world.depth -= 1;
        self.world.instances[subgraph] = Some(instance);
        result
    }

    fn run(&mut self, subgraph: usize) -> Result<(), Error> {
        self.with_instance(subgraph, |instance, cx| instance.run(cx.shared, cx.options, cx))
    }

    fn call_with(&mut self, subgraph: usize, inputs: &[&TensorValue]) -> Result<Vec<TensorValue>, Error> {
        self.with_instance(subgraph, |instance, cx| {
            let targets = instance.graph.inputs.clone();
            if targets.len() != inputs.len() {
                return Err(Error::new(
                    ErrorKind::BadModel,
                    format!(
                        "subgraph {subgraph} takes {} inputs, {} are passed",
                        targets.len(),
                        inputs.len()
                    ),
                ));
            }
            for (&t, value) in targets.iter().zip(inputs) {
                check_type(instance, subgraph, t, value)?;
                if instance.reads(t) {
                    instance.slots[t].assign_value(value);
                }
            }
            instance.run(cx.shared, cx.options, cx)?;
            Ok(instance.graph.outputs.iter().map(|&t| instance.slots[t].clone()).collect())
        })
    }

    /// The values move into the subgraph's inputs and its outputs move back.
    fn advance_with(&mut self, subgraph: usize, values: &mut [TensorValue]) -> Result<(), Error> {
        self.with_instance(subgraph, |instance, cx| {
            let graph = instance.graph.clone();
            if graph.inputs.len() != values.len() || graph.outputs.len() != values.len() {
                return Err(Error::new(
                    ErrorKind::BadModel,
                    format!(
                        "subgraph {subgraph} takes {} tensors and returns {}, {} go round the loop",
                        graph.inputs.len(),
                        graph.outputs.len(),
                        values.len()
                    ),
                ));
            }
            let dtype = |t: &usize| graph.tensors[*t].info.dtype;
            if graph.inputs.iter().map(dtype).ne(graph.outputs.iter().map(dtype)) {
                return Err(Error::new(
                    ErrorKind::BadModel,
                    format!("subgraph {subgraph} returns other element types than it takes, so that no loop can run it"),
                ));
            }
            for (&t, value) in graph.inputs.iter().zip(values.iter()) {
                check_type(instance, subgraph, t, value)?;
            }
            for (&t, value) in graph.inputs.iter().zip(values.iter_mut()) {
                core::mem::swap(&mut instance.slots[t], value);
            }
            let result = instance.run(cx.shared, cx.options, cx);
            // The slots of the outputs get other memory below.
            instance.unprepare();
            result?;
            for (i, &t) in graph.outputs.iter().enumerate() {
                let keeps = matches!(graph.tensors[t].content, Content::Variable);
                if keeps || graph.outputs[i + 1..].contains(&t) {
                    values[i] = instance.slots[t].clone();
                } else {
                    core::mem::swap(&mut instance.slots[t], &mut values[i]);
                }
            }
            Ok(())
        })
    }
}

fn check_type(instance: &Instance, subgraph: usize, t: usize, value: &TensorValue) -> Result<(), Error> {
    let dtype = instance.graph.tensors[t].info.dtype;
    if dtype == value.dtype() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::BadModel,
        format!("subgraph {subgraph} takes {dtype}, {} is passed", value.dtype()),
    ))
}

impl Context for RunContext<'_> {
    fn par(&self) -> Par {
        self.par
    }

    fn check_cancelled(&self) -> Result<(), OpError> {
        if self.cancel.is_cancelled() {
            return Err(OpError::new(
                OpErrorKind::Cancelled,
                "the run was cancelled; reset the token to run again",
            ));
        }
        Ok(())
    }

    fn resources(&mut self) -> &mut Resources {
        &mut self.world.resources
    }

    fn call(&mut self, subgraph: usize, inputs: &[&TensorValue]) -> Result<Vec<TensorValue>, OpError> {
        self.call_with(subgraph, inputs).map_err(Error::into_op_error)
    }

    fn advance(&mut self, subgraph: usize, values: &mut Vec<TensorValue>) -> Result<(), OpError> {
        self.advance_with(subgraph, values).map_err(Error::into_op_error)
    }

    fn max_loop_turns(&self) -> u64 {
        self.options.limits.loop_turns
    }

    fn call_once(&mut self, subgraph: usize) -> Result<(), OpError> {
        if self.world.resources.is_initialised(subgraph) {
            return Ok(());
        }
        self.run(subgraph).map_err(Error::into_op_error)?;
        self.world.resources.set_initialised(subgraph);
        Ok(())
    }
}
