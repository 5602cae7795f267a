//! Second pass of planning: which tensors share memory, and where it lies.

use ferrolite_kernels::cpu::elementwise::chain::Chain;
use ferrolite_model::TensorType;
use ferrolite_ops::{Parts, TensorInfo, is_sized};

use crate::arena::Block;
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
    /// What a product takes over.
    pub residual: Option<Residual>,
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
    /// Home of every tensor.
    pub homes: Vec<Home>,
    /// Blocks of the arena; lifetimes count units.
    pub blocks: Vec<Block>,
    /// For every unit, how it shares memory.
    pub sharing: Vec<Sharing>,
    /// For every unit that leaves space between the rows of its output, elements from a row to the next.
    pub row_steps: Vec<Option<usize>>,
}

/// Assigns memory to the tensors of a segment's units.
pub(crate) struct Assigner<'a> {
    pub graph: &'a Graph,
    pub inferred: &'a Inferred,
    pub units: &'a [Unit],
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
            sharing: Vec::with_capacity(self.units.len()),
            row_steps: vec![None; self.units.len()],
        };
        let last_use = self.last_uses();
        for t in 0..self.graph.tensors.len() {
            let lives_outside =
                self.graph.inputs.contains(&t) || matches!(self.graph.tensors[t].content, Content::Variable);
            if lives_outside || self.computed_before(t) {
                layout.homes[t] = Home::Slot(t);
            }
        }
        for (u, unit) in self.units.iter().enumerate() {
            let sharing =
                if self.share { self.sharing(u, unit, &mut layout, &last_use) } else { Sharing::Own };
            for (i, &t) in unit.outputs.iter().enumerate() {
                let has_home = match sharing {
                    Sharing::Alias => true,
                    Sharing::InPlace(_) | Sharing::Joined(_) => i == 0,
                    Sharing::Own | Sharing::TakesOver(_) => false,
                };
                if has_home {
                    continue;
                }
                layout.homes[t] =
                    if self.pinned[t] { Home::Slot(t) } else { self.new_block(&mut layout, t, u) };
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
            && !self.units.iter().any(|u| u.outputs.contains(&t))
    }

    fn last_uses(&self) -> Vec<usize> {
        let mut last = vec![0; self.graph.tensors.len()];
        for (u, unit) in self.units.iter().enumerate() {
            for &t in unit.inputs.iter().flatten() {
                last[t] = u;
            }
        }
        last
    }

    pub(crate) fn info(&self, t: usize) -> Option<&TensorInfo> {
        self.inferred.infos[t].as_ref()
    }

    pub(crate) fn byte_len(&self, t: usize) -> usize {
        self.info(t).and_then(|i| i.byte_len().ok()).unwrap_or(0)
    }

    pub(crate) fn new_block(&self, layout: &mut Layout, t: usize, u: usize) -> Home {
        layout.blocks.push(Block { size: self.byte_len(t), first: u, last: u });
        Home::Block { block: layout.blocks.len() - 1, start: 0 }
    }

    /// Decides on sharing for output 0 of a unit, and gives it its home if it shares.
    fn sharing(&self, u: usize, unit: &Unit, layout: &mut Layout, last_use: &[usize]) -> Sharing {
        let &[node] = unit.nodes.as_slice() else { return Sharing::Own };
        if unit.chain.is_some() {
            return Sharing::Own;
        }
        let node = &self.graph.nodes[node];
        if let Some(i) = self.taken_over(u, unit, node, layout, last_use) {
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
                && self.may_overwrite(u, unit, input, output, layout, last_use)
            {
                layout.homes[output] = layout.homes[input];
                return Sharing::InPlace(i);
            }
        }
        Sharing::Own
    }

    /// The input, a list, that output 0 may take over: nothing reads it afterwards, in this segment or later.
    fn taken_over(
        &self,
        u: usize,
        unit: &Unit,
        node: &GraphNode,
        layout: &Layout,
        last_use: &[usize],
    ) -> Option<usize> {
        let list = |t: usize| self.graph.tensors[t].info.dtype == TensorType::Variant;
        unit.outputs.first().filter(|&&t| list(t) && unit.backend.is_none())?;
        let free = |i: &&usize| {
            let Some(input) = unit.inputs.get(**i).copied().flatten() else { return false };
            list(input)
                && layout.homes[input] == Home::Slot(input)
                && matches!(self.graph.tensors[input].content, Content::Computed)
                && last_use[input] <= u
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
                layout.homes[output] = home;
                true
            }
            // The block's tensors move into the slot that the output must have anyway.
            (Home::Block { block, .. }, true) => {
                let tenants = self.tenants(layout, block);
                if tenants.iter().any(|&t| !self.fills(layout, t, block)) {
                    return false;
                }
                tenants.into_iter().for_each(|t| layout.homes[t] = Home::Slot(output));
                layout.blocks[block].size = 0;
                layout.homes[output] = Home::Slot(output);
                true
            }
            (Home::Slot(s), false) if !matches!(self.graph.tensors[s].content, Content::Variable) => {
                layout.homes[output] = Home::Slot(s);
                true
            }
            _ => false,
        }
    }

    fn may_overwrite(
        &self,
        u: usize,
        unit: &Unit,
        input: usize,
        output: usize,
        layout: &Layout,
        last_use: &[usize],
    ) -> bool {
        let Home::Block { start, .. } = layout.homes[input] else { return false };
        if !self.is_aligned(output, start)
            || self.pinned[output]
            || self.byte_len(input) != self.byte_len(output)
            || self.byte_len(output) == 0
        {
            return false;
        }
        // Nobody may read these bytes afterwards, under whatever name, and no other operand of this unit may have any of
        // them.
        let read_later = (0..last_use.len()).any(|t| last_use[t] > u && self.overlap(layout, t, input));
        let readers = unit.inputs.iter().flatten().filter(|&&t| self.overlap(layout, t, input)).count();
        !read_later && readers == 1
    }
}
