//! One subgraph of an interpreter: its tensors' memory, its plan, and the loop that runs it.

use std::sync::Arc;
use std::time::Instant;

use ferrolite_model::TensorType;
use ferrolite_ops::{
    AlignedBytes, Context, InputData, InputView, Inputs, Io, OpError, OutputView, Outputs, Shape,
    TensorValue, is_sized,
};

use ferrolite_plan::{Content, Error, ErrorKind, Graph, Known, Place, Segment, Step, compile};

use crate::arena::Memory;
use crate::options::Options;
use crate::profile::StepTimes;
use crate::shared::SharedModel;
use crate::spare::SparePlans;

/// A subgraph with memory of its own.
pub(crate) struct Instance {
    pub graph: Arc<Graph>,
    /// One per tensor; empty for those that live in the arena or are constants.
    pub slots: Vec<TensorValue>,
    /// The plans of the last run, in order.
    pub segments: Vec<Segment>,
    /// Plans for other shapes or contents.
    spare: SparePlans,
    arena: AlignedBytes,
    /// By segment.
    times: Vec<StepTimes>,
    /// Slots have their sizes and contents for the first segment.
    prepared: bool,
    /// For every tensor, whether an operator reads it or the subgraph returns it.
    read: Vec<bool>,
}

impl Instance {
    pub fn new(shared: &SharedModel, subgraph: usize, options: &Options) -> Result<Self, Error> {
        let graph = shared.graph(subgraph, options.cpu, options.fusion())?;
        let mut slots = Vec::with_capacity(graph.tensors.len());
        let mut total = 0usize;
        for (t, tensor) in graph.tensors.iter().enumerate() {
            let has_memory = graph.inputs.contains(&t) || matches!(tensor.content, Content::Variable);
            let shape = if has_memory { tensor.info.shape.clone() } else { Shape::from([0]) };
            let len = if has_memory { tensor.info.least_len()? } else { 0 };
            total = total.saturating_add(len);
            if total > options.limits.arena_bytes {
                return Err(Error::new(
                    ErrorKind::Limit,
                    format!(
                        "the inputs and variables would exceed {} bytes: raise the limit or use a smaller model",
                        options.limits.arena_bytes
                    ),
                ));
            }
            let mut value = TensorValue::zeros(tensor.info.dtype, shape)?;
            // A graph input that the file gives content starts with it.
            if let Some(bytes) = graph.constant(t).filter(|_| has_memory) {
                value.assign(tensor.info.dtype, &tensor.info.shape, bytes);
            }
            slots.push(value);
        }
        let mut read = vec![false; graph.tensors.len()];
        for &t in graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&graph.outputs) {
            read[t] = true;
        }
        let mut instance = Self {
            graph,
            slots,
            segments: Vec::new(),
            spare: SparePlans::default(),
            arena: AlignedBytes::default(),
            times: Vec::new(),
            prepared: false,
            read,
        };
        instance.reset_variables();
        Ok(instance)
    }

    /// Whether the content of tensor `t` matters to a run.
    pub fn reads(&self, t: usize) -> bool {
        self.read[t]
    }

    /// Says that slots have lost the sizes they were given.
    pub fn unprepare(&mut self) {
        self.prepared = false;
    }

    /// Plans as far as shapes can be known before the inputs have content.
    pub fn allocate(&mut self, shared: &SharedModel, options: &Options) -> Result<(), Error> {
        if self.segments.first().is_some_and(|s| s.fits(&self.slots)) {
            return Ok(());
        }
        self.segments.clear();
        self.times.clear();
        self.spare.clear();
        let known = Known { slots: &self.slots, contents: false };
        let packs = shared.packs().with_file(options.pack_file.clone());
        let segment = compile(&self.graph, 0, &known, &packs, &options.compile_options())?;
        self.arena.resize(self.arena.as_slice().len().max(segment.arena_bytes));
        prepare(&self.graph, &segment, &mut self.slots)?;
        self.prepared = true;
        self.put(0, segment, StepTimes::default());
        Ok(())
    }

    /// Gives a graph input another shape; content is lost, plans are made anew when needed.
    pub fn resize(&mut self, tensor: usize, shape: Shape) -> Result<(), Error> {
        let dtype = self.slots[tensor].dtype();
        if self.slots[tensor].shape() != &shape {
            self.slots[tensor] = TensorValue::zeros(dtype, shape)?;
        }
        Ok(())
    }

    /// Gives the variable tensors their first content: zeros, which for 8-bit tensors means their zero point.
    pub fn reset_variables(&mut self) {
        for (tensor, slot) in self.graph.tensors.iter().zip(&mut self.slots) {
            if matches!(tensor.content, Content::Variable) {
                let zero_point = match tensor.info.dtype {
                    TensorType::Int8 => tensor.info.per_tensor().map_or(0, |(_, zero_point)| zero_point),
                    _ => 0,
                };
                slot.bytes_mut().fill(zero_point as u8);
            }
        }
    }

    /// Runs the subgraph on what its input slots hold.
    pub fn run(
        &mut self,
        shared: &SharedModel,
        options: &Options,
        context: &mut dyn Context,
    ) -> Result<(), Error> {
        let total = self.graph.nodes.len();
        let (mut start, mut index) = (0, 0);
        loop {
            let fits = self.segments.get(index).is_some_and(|s| {
                // A plan made before the inputs had content may end where their content now allows to go on.
                let stuck = s.end == s.start && s.start < total;
                !stuck && s.start == start && s.fits(&self.slots)
            });
            if !fits {
                let (segment, times) = match self.spare.take(start, &self.slots) {
                    Some(kept) => kept,
                    None => (self.plan(start, shared, options)?, StepTimes::default()),
                };
                self.put(index, segment, times);
                self.prepared = false;
            }
            if index > 0 || !self.prepared {
                prepare(&self.graph, &self.segments[index], &mut self.slots)?;
                // With a single segment its slots stay as they are from run to run.
                self.prepared = index == 0;
            }
            self.run_segment(index, options.profile, context)?;
            start = self.segments[index].end;
            index += 1;
            if start >= total {
                break;
            }
            self.prepared = false;
        }
        while self.segments.len() > index {
            self.set_last_aside();
        }
        Ok(())
    }

    /// Plans from node `start` on for what the slots hold.
    fn plan(&mut self, start: usize, shared: &SharedModel, options: &Options) -> Result<Segment, Error> {
        let known = Known { slots: &self.slots, contents: true };
        let packs = shared.packs().with_file(options.pack_file.clone());
        let segment = compile(&self.graph, start, &known, &packs, &options.compile_options())?;
        if segment.end == start && start < self.graph.nodes.len() {
            let node = &self.graph.nodes[start];
            let e = Error::new(
                ErrorKind::Unsupported,
                "the operator's shape depends on content that is not to be had before it runs",
            );
            return Err(self.graph.locate(node, e));
        }
        self.arena.resize(self.arena.as_slice().len().max(segment.arena_bytes));
        Ok(segment)
    }

    /// Makes a plan the one at `index`; what was there is kept for when it fits again.
    fn put(&mut self, index: usize, segment: Segment, times: StepTimes) {
        if index == self.segments.len() {
            self.segments.push(segment);
            self.times.push(times);
            return;
        }
        let former = core::mem::replace(&mut self.segments[index], segment);
        let former_times = core::mem::replace(&mut self.times[index], times);
        self.spare.keep(former, former_times);
    }

    /// Takes the last plan out of the run.
    fn set_last_aside(&mut self) {
        if let (Some(segment), Some(times)) = (self.segments.pop(), self.times.pop()) {
            self.spare.keep(segment, times);
        }
    }

    fn run_segment(&mut self, index: usize, profile: bool, context: &mut dyn Context) -> Result<(), Error> {
        let segment = &self.segments[index];
        let memory = Memory::new(&self.graph, segment, self.arena.as_mut_slice(), &mut self.slots);
        for (s, step) in segment.steps.iter().enumerate() {
            context.check_cancelled().map_err(|e| locate(&self.graph, step, e.into()))?;
            let begun = profile.then(Instant::now);
            // SAFETY: these are the operands of one step of this segment, whose written ones the planner has checked to
            // overlap nothing else, and the views are dropped before the next step's are made.
            let result = unsafe { run_step(&memory, step, context) };
            result.map_err(|e| locate(&self.graph, step, e.into()))?;
            if let Some(begun) = begun {
                self.times[index].add(s, begun.elapsed());
            }
        }
        Ok(())
    }

    /// The content of a tensor after a run, if it has memory of its own or is a constant.
    pub fn tensor(&self, t: usize) -> Option<(TensorType, &[usize], &[u8])> {
        let tensor = self.graph.tensors.get(t)?;
        if let Some(bytes) = self.graph.constant(t) {
            return Some((tensor.info.dtype, &tensor.info.shape, bytes));
        }
        let slot = &self.slots[t];
        Some((slot.dtype(), slot.shape(), slot.bytes()))
    }

    /// Time of every step so far.
    pub fn times(&self, segment: usize) -> Option<&StepTimes> {
        self.times.get(segment)
    }

    /// Size of the arena in bytes.
    pub fn arena_bytes(&self) -> usize {
        self.arena.as_slice().len()
    }
}

fn locate(graph: &Graph, step: &Step, error: Error) -> Error {
    match step.nodes.first() {
        Some(&n) => graph.locate(&graph.nodes[n], error),
        None => error,
    }
}

/// Gives the slots that a segment writes their shapes, and constants that are needed as slots their content.
fn prepare(graph: &Graph, segment: &Segment, slots: &mut [TensorValue]) -> Result<(), Error> {
    for (t, dtype, shape) in &segment.allocate {
        if slots[*t].shape() != shape || !is_sized(*dtype) {
            slots[*t].reset(*dtype, shape.clone())?;
        }
    }
    for (t, place) in &segment.fill {
        match place {
            Place::Folded(i) => {
                slots[*t].assign_value(&segment.constants[*i]);
            }
            Place::Constant(c) => match graph.folded(*c) {
                Some(value) => slots[*t].assign_value(value),
                None => {
                    let info = &graph.tensors[*c].info;
                    slots[*t].assign(info.dtype, &info.shape, graph.constant(*c).unwrap_or_default());
                }
            },
            _ => {}
        }
    }
    Ok(())
}

/// Makes the views of a step's operands and runs its kernel.
///
/// # Safety
/// `step` belongs to the segment that `memory` was made for, and no views of that memory are alive.
unsafe fn run_step(memory: &Memory<'_>, step: &Step, context: &mut dyn Context) -> Result<(), OpError> {
    if let Some(slots) = step.takes_over {
        // SAFETY: no views are alive yet.
        unsafe { memory.swap(slots) };
    }
    let operands = step.inputs.len().max(step.outputs.len());
    // SAFETY: as above.
    unsafe {
        match operands {
            0..=4 => run_views::<4>(memory, step, context),
            5..=12 => run_views::<12>(memory, step, context),
            _ => run_views::<0>(memory, step, context),
        }
    }
}

/// Runs a step with up to `FEW` inputs and outputs, whose views then need no memory of their own, or more.
///
/// # Safety
/// As [`run_step`].
#[inline]
unsafe fn run_views<const FEW: usize>(
    memory: &Memory<'_>,
    step: &Step,
    context: &mut dyn Context,
) -> Result<(), OpError> {
    let input = |o| {
        // SAFETY: the caller's promise, for each operand of this one step.
        unsafe { memory.input(o) }
    };
    let output = |o| {
        // SAFETY: as above.
        unsafe { memory.output(o) }
    };
    let absent = InputView { dtype: TensorType::Float32, shape: &[], data: InputData::Absent };
    let mut few = [absent; FEW];
    let many: Vec<InputView<'_>>;
    let inputs = if step.inputs.len() <= FEW {
        for (view, operand) in few.iter_mut().zip(&step.inputs) {
            *view = input(operand);
        }
        &few[..step.inputs.len()]
    } else {
        many = step.inputs.iter().map(input).collect();
        &many[..]
    };
    let mut few = [const { OutputView::empty() }; FEW];
    let mut many = Vec::new();
    let outputs = if step.outputs.len() <= FEW {
        for (view, operand) in few.iter_mut().zip(&step.outputs) {
            *view = output(operand);
        }
        &mut few[..step.outputs.len()]
    } else {
        many.extend(step.outputs.iter().map(output));
        &mut many[..]
    };
    let mut states = Vec::new();
    if !step.states.is_empty() {
        states.extend(step.states.iter().map(output));
    }
    // SAFETY: as above; scratch is checked against all operands.
    let scratch = unsafe { memory.scratch(step.scratch) };
    let mut io = Io {
        inputs: Inputs::new(inputs),
        outputs: Outputs::new(outputs),
        states: Outputs::new(&mut states),
        scratch,
    };
    step.kernel.run(&mut io, context)
}
