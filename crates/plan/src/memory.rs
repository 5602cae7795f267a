//! Second pass of planning: which tensors share memory, and where it lies.

use ferrolite_kernels::cpu::elementwise::chain::Chain;
use ferrolite_model::TensorType;
use ferrolite_ops::{Parts, TensorInfo, is_sized};

use crate::arena::Block;
use crate::gate::Gate;
use crate::graph::{Content, Graph, GraphNode};
use crate::infer::Inferred;
use crate::residual::Residual;
use crate::views::Turned;

/// Where a tensor lives before the arena is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// Nothing writes it in this segment.
    None,
    /// Bytes of a block of the arena.
    Block {
        /// The block.
        block: usize,
        /// The first byte.
        start: usize,
    },
    /// Rows with space between them in a block of the arena.
    Rows {
        /// The block.
        block: usize,
        /// The first byte.
        start: usize,
        /// Bytes from there on to the end of the tensor that the rows are a part of.
        len: usize,
    },
    /// The slot of this tensor.
    Slot(usize),
}

/// Nodes that become one step.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// The nodes; several when a backend takes them, or when a product takes others over.
    pub nodes: Vec<usize>,
    /// Tensors read.
    pub inputs: Vec<Option<usize>>,
    /// Tensors written.
    pub outputs: Vec<usize>,
    /// What the product takes over, the last one if there are two.
    pub residual: Option<Residual>,
    /// The multiplication of its input that a product takes over.
    pub gate: Option<Gate>,
    /// The depthwise convolution that a pointwise one takes over.
    pub depthwise: Option<usize>,
    /// The transpositions that a matrix product leaves out.
    pub turned: Option<Turned>,
    /// The functions of single elements that the nodes are, if they are more than one operator's kernel.
    pub chain: Option<Chain>,
    /// The backend's index.
    pub backend: Option<usize>,
    /// Why no backend took it.
    pub refusal: Option<String>,
}

impl Unit {
    /// These nodes, operands to come.
    pub fn of(nodes: Vec<usize>) -> Self {
        Self {
            nodes,
            inputs: Vec::new(),
            outputs: Vec::new(),
            residual: None,
            gate: None,
            depthwise: None,
            turned: None,
            chain: None,
            backend: None,
            refusal: None,
        }
    }
}

/// How a unit's result gets its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Memory of its own.
    Own,
    /// Its outputs are names for memory that has their content: no step at all.
    Alias,
    /// Output 0 is its inputs one behind the other, of which these were written where it has them.
    Joined(Vec<usize>),
    /// Output 0 overwrites this input.
    InPlace(usize),
    /// Output 0, a tensor without a planned size, takes over the content of this input, which is not read any more.
    TakesOver(usize),
}

/// The result of the pass.
pub(crate) struct Layout {
    /// Home of every tensor; changed by [`Layout::settle`] and [`Layout::clear`] alone.
    pub homes: Vec<Home>,
    /// Blocks of the arena; lifetimes count units.
    pub blocks: Vec<Block>,
    /// For every block the tensors that lie there.
    tenants: Vec<Vec<usize>>,
    /// For every block those of them that units may still read.
    alive: Vec<Vec<usize>>,
    /// For every unit, how it shares memory.
    pub sharing: Vec<Sharing>,
    /// For every unit that leaves space between the rows of its output, elements from a row to the next.
    pub row_steps: Vec<Option<usize>>,
}

impl Layout {
    /// A block of this size for unit `u`.
    fn new_block(&mut self, size: usize, u: usize) -> usize {
        self.blocks.push(Block { size, first: u, last: u });
        self.tenants.push(Vec::new());
        self.alive.push(Vec::new());
        self.blocks.len() - 1
    }

    /// Gives a tensor a home.
    pub(crate) fn settle(&mut self, t: usize, home: Home) {
        if let Some(left) = core::mem::replace(&mut self.homes[t], home).block() {
            self.tenants[left].retain(|&tenant| tenant != t);
            self.alive[left].retain(|&tenant| tenant != t);
        }
        if let Some(block) = home.block() {
            self.tenants[block].push(t);
            self.alive[block].push(t);
        }
    }

    /// The tensors that lie in a block.
    pub(crate) fn tenants(&self, block: usize) -> &[usize] {
        &self.tenants[block]
    }

    /// Takes all tensors out of a block, which then takes no memory, with the homes that they had there.
    pub(crate) fn clear(&mut self, block: usize) -> Vec<(usize, Home)> {
        self.blocks[block].size = 0;
        self.alive[block].clear();
        let tenants = core::mem::take(&mut self.tenants[block]);
        tenants.into_iter().map(|t| (t, core::mem::replace(&mut self.homes[t], Home::None))).collect()
    }

    /// Forgets those that are not read behind unit `u`, the last one looked at, among the living of a block.
    fn bury(&mut self, block: usize, u: usize, last_use: &[usize]) {
        self.alive[block].retain(|&t| last_use[t] > u);
    }
}

/// Who writes and who reads the tensors of a segment's units.
pub(crate) struct Traffic {
    /// For every tensor the unit that writes it.
    pub writer: Vec<Option<usize>>,
    /// For every tensor how many operands of units it is.
    pub readers: Vec<usize>,
    /// For every tensor the last unit that reads it, or 0.
    last_use: Vec<usize>,
}

impl Traffic {
    pub fn new(tensors: usize, units: &[Unit]) -> Self {
        let mut traffic =
            Self { writer: vec![None; tensors], readers: vec![0; tensors], last_use: vec![0; tensors] };
        for (u, unit) in units.iter().enumerate() {
            for &t in unit.inputs.iter().flatten() {
                traffic.readers[t] += 1;
                traffic.last_use[t] = u;
            }
            unit.outputs.iter().for_each(|&t| traffic.writer[t] = Some(u));
        }
        traffic
    }
}

/// Assigns memory to the tensors of a segment's units.
pub(crate) struct Assigner<'a> {
    pub graph: &'a Graph,
    pub inferred: &'a Inferred,
    pub units: &'a [Unit],
    pub traffic: Traffic,
    /// For every unit which of its operands are parts of which.
    pub parts: Vec<Option<Parts>>,
    /// Tensors that must have a slot.
    pub pinned: Vec<bool>,
    /// Tensors that are read behind the segment: by later nodes, or as the graph's outputs.
    pub read_later: Vec<bool>,
    /// Whether tensors may share memory at all.
    pub share: bool,
}

impl Assigner<'_> {
    pub fn run(&self) -> Layout {
        let mut layout = Layout {
            homes: vec![Home::None; self.graph.tensors.len()],
            blocks: Vec::new(),
            tenants: Vec::new(),
            alive: Vec::new(),
            sharing: Vec::with_capacity(self.units.len()),
            row_steps: vec![None; self.units.len()],
        };
        for &t in &self.graph.inputs {
            layout.settle(t, Home::Slot(t));
        }
        for (t, tensor) in self.graph.tensors.iter().enumerate() {
            if matches!(tensor.content, Content::Variable) || self.computed_before(t) {
                layout.settle(t, Home::Slot(t));
            }
        }
        for (u, unit) in self.units.iter().enumerate() {
            let sharing = if self.share { self.sharing(u, unit, &mut layout) } else { Sharing::Own };
            for (i, &t) in unit.outputs.iter().enumerate() {
                let has_home = match sharing {
                    Sharing::Alias => true,
                    Sharing::InPlace(_) | Sharing::Joined(_) => i == 0,
                    Sharing::Own | Sharing::TakesOver(_) => false,
                };
                if has_home {
                    continue;
                }
                let home = if self.pinned[t] { Home::Slot(t) } else { self.new_block(&mut layout, t, u) };
                layout.settle(t, home);
            }
            layout.sharing.push(sharing);
            // Whatever is read or written here is alive here.
            for &t in unit.inputs.iter().flatten().chain(&unit.outputs) {
                if let Some(block) = layout.homes[t].block() {
                    layout.blocks[block].last = layout.blocks[block].last.max(u);
                }
            }
        }
        layout
    }

    fn computed_before(&self, t: usize) -> bool {
        // A tensor with an info that no unit writes and that is no constant came from an earlier segment.
        self.inferred.infos[t].is_some()
            && matches!(self.graph.tensors[t].content, Content::Computed)
            && self.inferred.folded[t].is_none()
            && self.traffic.writer[t].is_none()
    }

    pub(crate) fn info(&self, t: usize) -> Option<&TensorInfo> {
        self.inferred.infos[t].as_ref()
    }

    pub(crate) fn byte_len(&self, t: usize) -> usize {
        self.info(t).and_then(|i| i.byte_len().ok()).unwrap_or(0)
    }

    pub(crate) fn new_block(&self, layout: &mut Layout, t: usize, u: usize) -> Home {
        Home::Block { block: layout.new_block(self.byte_len(t), u), start: 0 }
    }

    /// Decides on sharing for output 0 of a unit, and gives it its home if it shares.
    fn sharing(&self, u: usize, unit: &Unit, layout: &mut Layout) -> Sharing {
        let &[node] = unit.nodes.as_slice() else { return Sharing::Own };
        if unit.chain.is_some() {
            return Sharing::Own;
        }
        let node = &self.graph.nodes[node];
        if let Some(i) = self.taken_over(u, unit, node, layout) {
            return Sharing::TakesOver(i);
        }
        if unit.backend.is_some() || unit.outputs.iter().any(|&t| self.inferred.dynamic[t]) {
            return Sharing::Own;
        }
        let same = match &self.parts[u] {
            Some(Parts::Joined { row, starts }) => return self.join(u, unit, *row, starts, layout),
            Some(Parts::Taken { of, starts }) if self.take(unit, *of, starts, layout) => {
                return Sharing::Alias;
            }
            // The part may be all of it.
            Some(Parts::Taken { of, .. }) => Some(*of),
            None => node.spec.memory.alias,
        };
        let &[output] = unit.outputs.as_slice() else { return Sharing::Own };
        if let Some(input) = same.and_then(|i| unit.inputs.get(i).copied().flatten())
            && self.alias(input, output, layout)
        {
            return Sharing::Alias;
        }
        for &i in node.spec.memory.in_place {
            if let Some(input) = unit.inputs.get(i).copied().flatten()
                && self.may_overwrite(u, unit, input, output, layout)
            {
                layout.settle(output, layout.homes[input]);
                return Sharing::InPlace(i);
            }
        }
        Sharing::Own
    }

    /// The input, a list, that output 0 may take over: nothing reads it afterwards, in this segment or later.
    fn taken_over(&self, u: usize, unit: &Unit, node: &GraphNode, layout: &Layout) -> Option<usize> {
        let list = |t: usize| self.graph.tensors[t].info.dtype == TensorType::Variant;
        unit.outputs.first().filter(|&&t| list(t) && unit.backend.is_none())?;
        let free = |i: &&usize| {
            let Some(input) = unit.inputs.get(**i).copied().flatten() else { return false };
            list(input)
                && layout.homes[input] == Home::Slot(input)
                && matches!(self.graph.tensors[input].content, Content::Computed)
                && self.traffic.last_use[input] <= u
                && !self.read_later[input]
                && unit.inputs.iter().filter(|&&t| t == Some(input)).count() == 1
                && !unit.outputs.contains(&input)
        };
        node.spec.memory.in_place.iter().find(free).copied()
    }

    fn alias(&self, input: usize, output: usize, layout: &mut Layout) -> bool {
        if self.info(input).is_none_or(|i| !is_sized(i.dtype))
            || self.byte_len(input) != self.byte_len(output)
        {
            return false;
        }
        match (layout.homes[input], self.pinned[output]) {
            (home @ Home::Block { start, .. }, false) if self.is_aligned(output, start) => {
                layout.settle(output, home);
                true
            }
            // The block's tensors move into the slot that the output must have anyway.
            (Home::Block { block, .. }, true) => {
                if layout.tenants(block).iter().any(|&t| !self.fills(layout, t, block)) {
                    return false;
                }
                for (t, _) in layout.clear(block) {
                    layout.settle(t, Home::Slot(output));
                }
                layout.settle(output, Home::Slot(output));
                true
            }
            (Home::Slot(s), false) if !matches!(self.graph.tensors[s].content, Content::Variable) => {
                layout.settle(output, Home::Slot(s));
                true
            }
            _ => false,
        }
    }

    fn may_overwrite(&self, u: usize, unit: &Unit, input: usize, output: usize, layout: &mut Layout) -> bool {
        let Home::Block { block, start } = layout.homes[input] else { return false };
        if !self.is_aligned(output, start)
            || self.pinned[output]
            || self.byte_len(input) != self.byte_len(output)
            || self.byte_len(output) == 0
        {
            return false;
        }
        // Nobody may read these bytes afterwards, under whatever name, and no other operand of this unit may have any of
        // them.
        layout.bury(block, u, &self.traffic.last_use);
        let read_later = layout.alive[block].iter().any(|&t| self.overlap(layout, t, input));
        let readers = unit.inputs.iter().flatten().filter(|&&t| self.overlap(layout, t, input)).count();
        !read_later && readers == 1
    }
}
