//! Planning a segment: inference, partitioning, memory, lowering.

use std::sync::Arc;

use ferrolite_kernels::isa::Cpu;
use ferrolite_model::TensorType;
use ferrolite_ops::{
    ADDEND, Expanded, GATE, Kernel, LowerCx, Node, OpError, Operand, PackCache, Parts, Shape, TensorInfo,
    Views, chain_kernel, is_sized,
};

use crate::arena::{self, Block};
use crate::backend::{Backend, BackendNode, Partition};
use crate::chains::{Group, Item, arrange};
use crate::error::{Error, ErrorKind};
use crate::graph::{Content, Graph};
use crate::infer::{Inferred, Known, infer};
use crate::memory::{Assigner, Home, Layout, Sharing, Traffic, Unit};
use crate::regions::{GraphRegions, Memo};
use crate::segment::{Place, Segment, Step, StepOperand};
use crate::taken_over::TakenOver;

/// Choices that hold for all segments of an interpreter.
#[derive(Clone)]
pub struct CompileOptions {
    /// The instruction set of the kernels.
    pub cpu: Cpu,
    /// Threads that will run the plan.
    pub threads: usize,
    /// Whether convolutions may be computed with fewer products than their sums have, which rounds otherwise.
    pub winograd: bool,
    /// Give every tensor memory of its own, so that all can be read after a run.
    pub preserve_all: bool,
    /// Devices that are offered nodes, in order of preference.
    pub backends: Vec<Arc<dyn Backend>>,
    /// Largest arena in bytes.
    pub max_arena_bytes: usize,
}

/// Plans the segment that starts at node `start`.
///
/// # Errors
/// Those of shape functions and lowerings with the operator's place; a limit that is reached.
pub fn compile(
    graph: &Graph,
    start: usize,
    known: &Known<'_>,
    packs: &PackCache,
    options: &CompileOptions,
) -> Result<Segment, Error> {
    let memo = Memo::default();
    let inferred = infer(graph, start, known, &memo, options.cpu)?;
    let regions = GraphRegions { graph, memo: &memo, cpu: options.cpu };
    let folded_before = running_count(&inferred.folded);
    let compiler = Compiler { graph, inferred: &inferred, folded_before, regions, packs, options };
    let units = compiler.units();
    let pinned = compiler.pinned();
    let assigner = Assigner {
        graph,
        inferred: &inferred,
        units: &units,
        traffic: Traffic::new(graph.tensors.len(), &units),
        parts: units.iter().map(|unit| compiler.parts(unit)).collect(),
        pinned: pinned.clone(),
        read_later: compiler.read_later(),
        share: !options.preserve_all,
    };
    let mut layout = assigner.run();
    let mut steps = Vec::with_capacity(units.len());
    let mut scratch_blocks = Vec::with_capacity(units.len());
    let mut views = Vec::new();
    for (u, unit) in units.iter().enumerate() {
        if layout.sharing[u] == Sharing::Alias {
            views.extend_from_slice(&unit.nodes);
            continue;
        }
        let step = compiler.step(unit, &layout.sharing[u], layout.row_steps[u])?;
        let scratch = step.kernel.scratch_bytes();
        layout.blocks.push(Block { size: scratch, first: u, last: u });
        scratch_blocks.push((layout.blocks.len() - 1, scratch));
        steps.push(step);
    }
    let (offsets, arena_bytes) = arena::layout(&layout.blocks)
        .filter(|(_, total)| *total <= options.max_arena_bytes)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Limit,
                format!(
                    "the arena would exceed {} bytes: raise the limit or use smaller inputs",
                    options.max_arena_bytes
                ),
            )
        })?;
    for (step, (block, len)) in steps.iter_mut().zip(scratch_blocks) {
        step.scratch = (offsets[block], len);
        compiler.place(step, &layout, &offsets);
        check_disjoint(step).map_err(|e| graph.locate(&graph.nodes[step.nodes[0]], e))?;
    }
    let allocate = compiler.allocations(&pinned);
    let results = allocate.iter().try_fold(0usize, |sum, &(t, ..)| {
        let len = compiler.info(t).and_then(|info| info.least_len().ok())?;
        sum.checked_add(len).filter(|&sum| sum <= options.max_arena_bytes)
    });
    if results.is_none() {
        return Err(Error::new(
            ErrorKind::Limit,
            format!(
                "the results would exceed {} bytes: raise the limit or use smaller inputs",
                options.max_arena_bytes
            ),
        ));
    }
    let (constants, fill) = compiler.constants(&pinned);
    let shape_deps = compiler.shape_deps();
    let Inferred { end, infos, value_deps, .. } = inferred;
    Ok(Segment {
        start,
        end,
        steps,
        views,
        infos,
        constants,
        allocate,
        fill,
        arena_bytes,
        shape_deps,
        value_deps,
    })
}

/// For each place how many before it hold something.
fn running_count<T>(places: &[Option<T>]) -> Vec<usize> {
    let mut count = 0;
    let before = |place: &Option<T>| {
        let before = count;
        count += usize::from(place.is_some());
        before
    };
    places.iter().map(before).collect()
}

struct Compiler<'a> {
    graph: &'a Graph,
    inferred: &'a Inferred,
    /// How many tensors before each one are folded.
    folded_before: Vec<usize>,
    regions: GraphRegions<'a>,
    packs: &'a PackCache,
    options: &'a CompileOptions,
}

impl Compiler<'_> {
    fn info(&self, t: usize) -> Option<&TensorInfo> {
        self.inferred.infos[t].as_ref()
    }

    fn operands(&self, n: usize) -> Vec<Option<Operand<'_>>> {
        let value = |t: usize| {
            self.inferred.folded[t].as_ref().map(|v| v.bytes()).or_else(|| self.graph.constant(t)).or_else(
                || {
                    let dep = self.inferred.value_deps.iter().find(|(d, _)| *d == t);
                    dep.map(|(_, value)| value.bytes())
                },
            )
        };
        self.graph.nodes[n]
            .inputs
            .iter()
            .map(|t| {
                let t = (*t)?;
                Some(Operand {
                    info: self.info(t)?,
                    value: value(t),
                    half: self.graph.half(t),
                    source: self.graph.source(t),
                })
            })
            .collect()
    }

    fn outputs(&self, n: usize) -> Vec<TensorInfo> {
        self.graph.nodes[n].outputs.iter().filter_map(|&t| self.info(t).cloned()).collect()
    }

    /// Groups nodes into steps, offering each to the backends.
    fn units(&self) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::with_capacity(self.inferred.nodes.len());
        let fuses = self.options.backends.is_empty() && !self.options.preserve_all;
        let pinned = self.pinned();
        let taken_over = if fuses {
            let (order_of, pays) = (|n| self.order_of(n), |n, behind| self.expansion_pays(n, behind));
            TakenOver::find(self.graph, self.inferred, &pinned, order_of, pays)
        } else {
            TakenOver::nothing(self.graph.nodes.len())
        };
        let items = if fuses {
            self.chains(&taken_over, &pinned)
        } else {
            self.inferred.nodes.iter().map(|&n| Item::Node(n)).collect()
        };
        for item in items {
            let n = match item {
                Item::Node(n) => n,
                Item::Chain(group) => {
                    let Group { nodes, inputs, outputs, chain } = *group;
                    let inputs = inputs.into_iter().map(Some).collect();
                    units.push(Unit { inputs, outputs, chain: Some(chain), ..Unit::of(nodes) });
                    continue;
                }
            };
            let (backend, refusal) = self.claim(n);
            match units.last_mut() {
                Some(open) if backend.is_some() && open.backend == backend => open.nodes.push(n),
                _ => {
                    let (residual, depthwise, gate) =
                        (taken_over.residual(n), taken_over.depthwise(n), taken_over.gate(n));
                    let turned = taken_over.turned(n).cloned();
                    let unit = Unit::of([n].into_iter().chain(taken_over.nodes(n)).collect());
                    units.push(Unit { residual, depthwise, gate, turned, backend, refusal, ..unit });
                }
            }
        }
        let units = units.into_iter().flat_map(|unit| self.split_small(unit)).collect();
        self.with_operands(units)
    }

    /// The order in which a TRANSPOSE puts dimensions.
    fn order_of(&self, n: usize) -> Option<Vec<usize>> {
        let (operands, outputs) = (self.operands(n), self.outputs(n));
        Views::order(&self.backend_node(n, &operands, &outputs).node)
    }

    /// Whether a pointwise convolution and the depthwise one behind it are computed together.
    fn expansion_pays(&self, expansion: usize, depthwise: usize) -> bool {
        let operands = [expansion, depthwise].map(|n| self.operands(n));
        let outputs = [expansion, depthwise].map(|n| self.outputs(n));
        let expansion = self.backend_node(expansion, &operands[0], &outputs[0]).node;
        let depthwise = self.backend_node(depthwise, &operands[1], &outputs[1]).node;
        Expanded { expansion: &expansion, depthwise: &depthwise }.pays(self.options.threads)
    }

    /// The nodes, without those that products take over, with functions of single elements put together.
    fn chains(&self, taken_over: &TakenOver, pinned: &[bool]) -> Vec<Item> {
        let elementwise = |n: usize| {
            let node = &self.graph.nodes[n];
            node.spec.chain.filter(|_| node.activation.is_none())?;
            let (operands, outputs) = (self.operands(n), self.outputs(n));
            node.spec.elementwise(&Node {
                operator: self.graph.operator(node),
                inputs: &operands,
                outputs: &outputs,
                intermediates: &node.intermediates,
                regions: &self.regions,
            })
        };
        arrange(self.graph, self.inferred, pinned, &taken_over.pairs(self.inferred), elementwise)
    }

    /// Which operands of a unit are parts of which.
    fn parts(&self, unit: &Unit) -> Option<Parts> {
        let &[n] = unit.nodes.as_slice() else { return None };
        let spec = self.graph.nodes[n].spec;
        if unit.backend.is_some() || self.options.preserve_all || spec.parts.is_none() {
            return None;
        }
        let (operands, outputs) = (self.operands(n), self.outputs(n));
        spec.parts(&self.backend_node(n, &operands, &outputs).node)
    }

    /// The first backend that takes a node, or why none does.
    fn claim(&self, n: usize) -> (Option<usize>, Option<String>) {
        if self.options.backends.is_empty() {
            return (None, None);
        }
        let (operands, outputs) = (self.operands(n), self.outputs(n));
        let mut reasons = Vec::new();
        for (b, backend) in self.options.backends.iter().enumerate() {
            if self.graph.nodes[n].outputs.iter().any(|&t| self.inferred.dynamic[t]) {
                reasons.push(format!("{}: the output's shape is known only while running", backend.name()));
                continue;
            }
            match backend.supports(&self.backend_node(n, &operands, &outputs)) {
                Ok(()) => return (Some(b), None),
                Err(why) => reasons.push(format!("{}: {why}", backend.name())),
            }
        }
        (None, Some(reasons.join("; ")))
    }

    fn backend_node<'b>(
        &'b self,
        n: usize,
        operands: &'b [Option<Operand<'b>>],
        outputs: &'b [TensorInfo],
    ) -> BackendNode<'b> {
        let node = &self.graph.nodes[n];
        BackendNode {
            node: Node {
                operator: self.graph.operator(node),
                inputs: operands,
                outputs,
                intermediates: &node.intermediates,
                regions: &self.regions,
            },
            inputs: &node.inputs,
            outputs: &node.outputs,
            activation: node.activation,
        }
    }

    /// Gives runs that are too short for their backend back to the CPU.
    fn split_small(&self, unit: Unit) -> Vec<Unit> {
        let Some(backend) = unit.backend.map(|b| &self.options.backends[b]) else { return vec![unit] };
        if unit.nodes.len() >= backend.min_nodes() {
            return vec![unit];
        }
        let why =
            format!("{}: a run of {} steps is too short to move its data", backend.name(), unit.nodes.len());
        unit.nodes.iter().map(|&n| Unit { refusal: Some(why.clone()), ..Unit::of(vec![n]) }).collect()
    }

    /// Fills in what each unit reads and writes.
    fn with_operands(&self, mut units: Vec<Unit>) -> Vec<Unit> {
        let mut outside: Vec<usize> = vec![0; self.graph.tensors.len()];
        let pinned = self.pinned();
        for &n in &self.inferred.nodes {
            for &t in self.graph.nodes[n].inputs.iter().flatten() {
                outside[t] += 1;
            }
        }
        for unit in &mut units {
            if unit.chain.is_some() {
                continue;
            }
            if unit.backend.is_none() {
                let node = &self.graph.nodes[unit.depthwise.unwrap_or(unit.nodes[0])];
                unit.inputs = node.inputs.clone();
                unit.outputs = node.outputs.clone();
                if let Some(residual) = unit.residual {
                    unit.inputs.resize(ADDEND, None);
                    unit.inputs.push(Some(residual.addend));
                    unit.outputs = self.graph.nodes[residual.sum].outputs.clone();
                }
                if let Some(gate) = unit.gate {
                    unit.inputs[0] = Some(gate.image);
                    unit.inputs.resize(GATE, None);
                    unit.inputs.push(Some(gate.values));
                }
                if unit.depthwise.is_some() {
                    let mut own = self.graph.nodes[unit.nodes[0]].inputs.clone();
                    own.resize(Expanded::OWN, None);
                    unit.inputs.splice(..1, own);
                }
                if let Some(turned) = &unit.turned {
                    unit.inputs = turned.inputs.map(Some).to_vec();
                    unit.outputs = vec![turned.output];
                }
                continue;
            }
            let nodes = || unit.nodes.iter().map(|&n| &self.graph.nodes[n]);
            let written: Vec<usize> = nodes().flat_map(|n| n.outputs.iter().copied()).collect();
            let mut inputs: Vec<Option<usize>> = Vec::new();
            let mut inner = vec![0usize; self.graph.tensors.len()];
            for &t in nodes().flat_map(|n| n.inputs.iter().flatten()) {
                inner[t] += 1;
                let constant = self.inferred.folded[t].is_some() || self.graph.constant(t).is_some();
                if !constant && !written.contains(&t) && !inputs.contains(&Some(t)) {
                    inputs.push(Some(t));
                }
            }
            unit.outputs = written.into_iter().filter(|&t| pinned[t] || outside[t] > inner[t]).collect();
            unit.inputs = inputs;
        }
        units
    }

    /// Tensors that are read behind the segment: by later nodes, or as the graph's outputs.
    fn read_later(&self) -> Vec<bool> {
        let mut read = vec![false; self.graph.tensors.len()];
        let later =
            self.graph.nodes[self.inferred.end..].iter().flat_map(|node| node.inputs.iter().flatten());
        for &t in later.chain(&self.graph.outputs) {
            read[t] = true;
        }
        read
    }

    /// Tensors that need a slot: they outlive the segment, or their size is not known now.
    fn pinned(&self) -> Vec<bool> {
        let mut pinned = self.read_later();
        for (t, tensor) in self.graph.tensors.iter().enumerate() {
            pinned[t] |=
                self.inferred.dynamic[t] || self.options.preserve_all || !is_sized(tensor.info.dtype);
        }
        pinned
    }

    fn step(&self, unit: &Unit, sharing: &Sharing, row_step: Option<usize>) -> Result<Step, Error> {
        let first = &self.graph.nodes[unit.nodes[0]];
        let kernel = match (unit.backend, &unit.chain) {
            (Some(b), _) => self.backend_kernel(unit, &*self.options.backends[b])?,
            (None, Some(chain)) => chain_kernel(chain.clone(), self.options.cpu),
            (None, None) => self.cpu_kernel(unit, row_step).map_err(|e| self.graph.locate(first, e))?,
        };
        let state_inputs = match (unit.backend, &unit.chain) {
            (Some(_), _) | (_, Some(_)) => &[],
            (None, None) => first.spec.states_of(self.graph.operator(first)),
        };
        let mut inputs: Vec<StepOperand> = unit.inputs.iter().map(|t| self.operand(*t)).collect();
        let mut states = Vec::new();
        for &i in state_inputs {
            if let Some(input) = inputs.get_mut(i) {
                states.push(input.clone());
                // The kernel reaches it through its states alone.
                input.place = Place::Absent;
                input.tensor = None;
            }
        }
        let mut takes_over = None;
        match sharing {
            Sharing::InPlace(i) => inputs[*i].place = Place::InPlace(0),
            Sharing::Joined(there) => there.iter().for_each(|&i| inputs[i].place = Place::InPlace(0)),
            &Sharing::TakesOver(i) => {
                takes_over = unit.inputs[i].zip(unit.outputs.first().copied());
                inputs[i].place = Place::InPlace(0);
            }
            Sharing::Own | Sharing::Alias => {}
        }
        Ok(Step {
            nodes: unit.nodes.clone(),
            kernel,
            inputs,
            outputs: unit.outputs.iter().map(|&t| self.operand(Some(t))).collect(),
            states,
            scratch: (0, 0),
            takes_over,
            backend: unit.backend.map(|b| self.options.backends[b].name().to_owned()),
            refusal: unit.refusal.clone(),
        })
    }

    /// The kernel of a node and what it takes over.
    fn cpu_kernel(&self, unit: &Unit, row_step: Option<usize>) -> Result<Box<dyn Kernel>, OpError> {
        let n = unit.depthwise.unwrap_or(unit.nodes[0]);
        let own = &self.graph.nodes[n];
        let (mut operands, outputs) = (self.operands(n), self.outputs(n));
        let computed =
            |t: usize| self.info(t).map(|info| Operand { info, value: None, half: None, source: None });
        if let Some(residual) = unit.residual {
            operands.resize(ADDEND, None);
            operands.push(computed(residual.addend));
        }
        if let Some(gate) = unit.gate {
            operands[0] = computed(gate.image);
            operands.resize(GATE, None);
            operands.push(computed(gate.values));
        }
        let node = self.backend_node(n, &operands, &outputs).node;
        let spaced = row_step.zip(outputs.first()).map(|(step, o)| Views::of_rows(&o.shape, step));
        let cx = LowerCx {
            cpu: self.options.cpu,
            threads: self.options.threads,
            winograd: self.options.winograd,
            activation: unit.residual.map_or(own.activation, |residual| residual.activation),
            views: unit.turned.as_ref().map(|turned| &turned.views).or(spaced.as_ref()),
            packs: self.packs,
        };
        if unit.depthwise.is_none() {
            return (own.spec.lower)(&node, &cx);
        }
        let first = unit.nodes[0];
        let (operands, outputs) = (self.operands(first), self.outputs(first));
        let expansion = self.backend_node(first, &operands, &outputs);
        Expanded { expansion: &expansion.node, depthwise: &node }.lower(expansion.activation, &cx)
    }

    fn backend_kernel(&self, unit: &Unit, backend: &dyn Backend) -> Result<Box<dyn Kernel>, Error> {
        let operands: Vec<_> = unit.nodes.iter().map(|&n| self.operands(n)).collect();
        let outputs: Vec<_> = unit.nodes.iter().map(|&n| self.outputs(n)).collect();
        let nodes = unit
            .nodes
            .iter()
            .enumerate()
            .map(|(i, &n)| self.backend_node(n, &operands[i], &outputs[i]))
            .collect();
        let partition = Partition {
            nodes,
            inputs: unit.inputs.iter().copied().flatten().collect(),
            outputs: unit.outputs.clone(),
        };
        backend
            .compile(&partition)
            .map_err(|e| Error::new(ErrorKind::Backend, format!("{}: {e}", backend.name())))
    }

    fn operand(&self, t: Option<usize>) -> StepOperand {
        let Some((t, info)) = t.and_then(|t| Some((t, self.info(t)?))) else {
            return StepOperand {
                tensor: None,
                dtype: TensorType::Float32,
                shape: Shape::scalar(),
                place: Place::Absent,
                dynamic: false,
            };
        };
        let dynamic = self.inferred.dynamic[t] || !is_sized(info.dtype);
        StepOperand {
            tensor: Some(t),
            dtype: info.dtype,
            shape: info.shape.clone(),
            place: Place::Slot(t),
            dynamic,
        }
    }

    /// Turns homes into places now that blocks have offsets.
    fn place(&self, step: &mut Step, layout: &Layout, offsets: &[usize]) {
        let place = |t: usize| match layout.homes[t] {
            Home::Block { block, start } => {
                let len = self.info(t).and_then(|i| i.byte_len().ok()).unwrap_or(0);
                Place::Arena { offset: offsets[block] + start, len }
            }
            Home::Rows { block, start, len } => Place::Arena { offset: offsets[block] + start, len },
            Home::Slot(s) => Place::Slot(s),
            Home::None => match self.folded_index(t) {
                Some(index) => Place::Folded(index),
                // Whoever reads it has packed it.
                None if self.graph.half(t).is_some() => Place::Absent,
                None => Place::Constant(t),
            },
        };
        let Step { inputs, outputs, states, .. } = step;
        for operand in inputs.iter_mut().chain(outputs).chain(states) {
            if let (Some(t), Place::Slot(_)) = (operand.tensor, &operand.place) {
                operand.place = place(t);
            }
        }
    }

    fn folded_index(&self, t: usize) -> Option<usize> {
        self.inferred.folded[t].as_ref().map(|_| self.folded_before[t])
    }

    /// Folded constants in the order of [`Compiler::folded_index`], and the slots that constants fill.
    fn constants(&self, pinned: &[bool]) -> (Vec<Arc<ferrolite_ops::TensorValue>>, Vec<(usize, Place)>) {
        let constants = self.inferred.folded.iter().flatten().cloned().collect();
        let mut returned = vec![false; pinned.len()];
        self.graph.outputs.iter().for_each(|&t| returned[t] = true);
        let mut fill = Vec::new();
        for t in (0..pinned.len()).filter(|&t| pinned[t]) {
            if let Some(index) = self.folded_index(t) {
                fill.push((t, Place::Folded(index)));
            } else if returned[t] && self.graph.constant(t).is_some() {
                fill.push((t, Place::Constant(t)));
            }
        }
        (constants, fill)
    }

    /// Slots that this segment's steps write with a planned shape.
    fn allocations(&self, pinned: &[bool]) -> Vec<(usize, TensorType, Shape)> {
        let written = self.inferred.nodes.iter().flat_map(|&n| &self.graph.nodes[n].outputs);
        written
            .filter(|&&t| pinned[t] && !self.inferred.dynamic[t])
            .filter_map(|&t| self.info(t).map(|i| (t, i.dtype, i.shape.clone())))
            .collect()
    }

    /// The shapes of slots that the segment finds when it starts. Folded nodes depended on shapes too, so every slot with
    /// an info counts, not only what steps read.
    fn shape_deps(&self) -> Vec<(usize, Shape)> {
        let mut computed_here: Vec<bool> = self.inferred.folded.iter().map(Option::is_some).collect();
        for &t in self.inferred.nodes.iter().flat_map(|&n| &self.graph.nodes[n].outputs) {
            computed_here[t] = true;
        }
        let tensors = self.graph.tensors.iter().zip(computed_here).zip(&self.inferred.infos).enumerate();
        tensors
            .filter(|(_, ((tensor, here), _))| matches!(tensor.content, Content::Computed) && !here)
            .filter_map(|(t, (_, info))| info.as_ref().map(|info| (t, info.shape.clone())))
            .collect()
    }
}

/// Makes sure that no operand that a step writes overlaps another one of its operands.
///
/// The runtime's views of memory rest on this, so it is checked for every step rather than trusted.
fn check_disjoint(step: &Step) -> Result<(), Error> {
    let range = |o: &StepOperand| match o.place {
        Place::Arena { offset, len } if len > 0 => Some((offset, offset + len)),
        _ => None,
    };
    let clash = |a: &StepOperand, b: &StepOperand| match (range(a), range(b)) {
        (Some((s, e)), Some((s2, e2))) => s < e2 && s2 < e,
        _ => matches!((&a.place, &b.place), (Place::Slot(x), Place::Slot(y)) if x == y),
    };
    let written: Vec<&StepOperand> = step.outputs.iter().chain(&step.states).collect();
    let scratch = (step.scratch.0, step.scratch.0 + step.scratch.1);
    for (i, w) in written.iter().enumerate() {
        let overlaps_scratch = range(w).is_some_and(|(s, e)| s < scratch.1 && scratch.0 < e);
        if overlaps_scratch
            || step.inputs.iter().any(|r| clash(w, r))
            || written[i + 1..].iter().any(|other| clash(w, other))
        {
            return Err(Error::new(
                ErrorKind::BadModel,
                "the operator writes a tensor that it also reads: each output and state must be a tensor of its own",
            ));
        }
    }
    let scratch_clash =
        step.inputs.iter().any(|r| range(r).is_some_and(|(s, e)| s < scratch.1 && scratch.0 < e));
    if scratch_clash {
        return Err(Error::new(ErrorKind::BadModel, "scratch memory overlaps an input"));
    }
    Ok(())
}
