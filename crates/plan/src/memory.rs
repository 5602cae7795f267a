//! Second pass of planning: which tensors share memory, and where it lies.

use ferrolite_kernels::cpu::elementwise::chain::Chain;
use ferrolite_model::TensorType;
use ferrolite_ops::{TensorInfo, is_sized};

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
    /// A block of the arena.
    Block(usize),
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Memory of its own.
    Own,
    /// It is its input under another shape: no step at all.
    Alias,
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
}

/// Assigns memory to the tensors of a segment's units.
pub(crate) struct Assigner<'a> {
    pub graph: &'a Graph,
    pub inferred: &'a Inferred,
    pub units: &'a [Unit],
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
            layout.sharing.push(sharing);
            for (i, &t) in unit.outputs.iter().enumerate() {
                if i == 0 && matches!(sharing, Sharing::Alias | Sharing::InPlace(_)) {
                    continue;
                }
                layout.homes[t] =
                    if self.pinned[t] { Home::Slot(t) } else { self.new_block(&mut layout, t, u) };
            }
            // Whatever is read or written here is alive here.
            for &t in unit.inputs.iter().flatten().chain(&unit.outputs) {
                if let Home::Block(b) = layout.homes[t] {
                    layout.blocks[b].last = layout.blocks[b].last.max(u);
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

    fn info(&self, t: usize) -> Option<&TensorInfo> {
        self.inferred.infos[t].as_ref()
    }

    fn byte_len(&self, t: usize) -> usize {
        self.info(t).and_then(|i| i.byte_len().ok()).unwrap_or(0)
    }

    fn new_block(&self, layout: &mut Layout, t: usize, u: usize) -> Home {
        layout.blocks.push(Block { size: self.byte_len(t), first: u, last: u });
        Home::Block(layout.blocks.len() - 1)
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
        let &[output] = unit.outputs.as_slice() else { return Sharing::Own };
        if unit.backend.is_some() || self.inferred.dynamic[output] {
            return Sharing::Own;
        }
        if let Some(input) = node.spec.memory.alias.and_then(|i| unit.inputs.get(i).copied().flatten())
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
            (Home::Block(b), false) => {
                layout.homes[output] = Home::Block(b);
                true
            }
            // The block's tensors move into the slot that the output must have anyway.
            (Home::Block(b), true) => {
                for home in &mut layout.homes {
                    if *home == Home::Block(b) {
                        *home = Home::Slot(output);
                    }
                }
                layout.blocks[b].size = 0;
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
        let home @ Home::Block(_) = layout.homes[input] else { return false };
        if self.pinned[output] || self.byte_len(input) != self.byte_len(output) || self.byte_len(output) == 0
        {
            return false;
        }
        // Nobody may read the block afterwards, under whatever name, and no other operand of this unit may lie in it.
        let read_later = (0..last_use.len()).any(|t| layout.homes[t] == home && last_use[t] > u);
        let readers = unit.inputs.iter().flatten().filter(|&&t| layout.homes[t] == home).count();
        !read_later && readers == 1
    }
}
