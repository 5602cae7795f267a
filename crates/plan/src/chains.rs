//! Functions of single elements and of rows that are computed together, block by block, while their values are in the first
//! cache.
//!
//! Operators of one shape that take each other's results become one step; where some of them are sums, means, extremes or
//! softmax of the innermost dimensions, so do operators of the numbers of these rows. The step runs where the last of them
//! would; what reads a result in between runs after it, which for assignments to variables is most of what an optimizer does.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use ferrolite_kernels::cpu::elementwise::chain::{
    Arg, Chain, Function, Link, MOST_INPUTS, MOST_LINKS, MOST_OUTPUTS,
};
use ferrolite_ops::{Elementwise, Shape};

use crate::extent::Extent;
use crate::graph::Graph;
use crate::infer::Inferred;
use crate::variables::{Access, Variables};

/// An operand that starts again after fewer elements than this is spread faster by a chain than walked by an operator's own
/// kernel.
const SHORT_RUN: usize = 128;

/// The most ways from operator to operator that one search takes: what most operators of a large graph read would have each of
/// them search through all others.
const LONGEST_SEARCH: usize = 1 << 12;

/// Operators that become one step.
pub(crate) struct Group {
    /// The nodes.
    pub nodes: Vec<usize>,
    /// Tensors read, in the order of the chain's inputs.
    pub inputs: Vec<usize>,
    /// Tensors written, in the order of the chain's outputs.
    pub outputs: Vec<usize>,
    /// What is computed.
    pub chain: Chain,
}

/// A step to be.
pub(crate) enum Item {
    Node(usize),
    Chain(Box<Group>),
}

/// The nodes of a segment in an order in which chains can run as one step each. Of every pair in `taken_over` the first
/// node computes the second too, which is left out.
pub(crate) fn arrange(
    graph: &Graph,
    inferred: &Inferred,
    pinned: &[bool],
    taken_over: &[(usize, usize)],
    elementwise: impl Fn(usize) -> Option<Elementwise>,
) -> Vec<Item> {
    let mut functions = vec![None; graph.nodes.len()];
    let (mut takes, mut taken) = (vec![false; graph.nodes.len()], vec![false; graph.nodes.len()]);
    for &(product, sum) in taken_over {
        (takes[product], taken[sum]) = (true, true);
    }
    for &n in &inferred.nodes {
        if !takes[n] && !taken[n] {
            functions[n] = elementwise(n).and_then(|function| {
                let extent = Extent::of(graph, inferred, n, &function)?;
                Some(Placed { function, extent })
            });
        }
    }
    let mut order = Order::new(graph, inferred, &functions, taken_over);
    for &n in &inferred.nodes {
        if functions[n].is_some() {
            grow(graph, &functions, &mut order, n);
        }
    }
    let groups = Groups { graph, inferred, pinned, functions: &functions, readers: readers(graph, inferred) };
    let mut items = Vec::with_capacity(inferred.nodes.len());
    for vertex in order.sorted() {
        groups.items(&order.members[vertex], order.extents[vertex].as_ref(), &mut items);
    }
    items.retain(|item| !matches!(item, Item::Node(n) if taken[*n]));
    items
}

/// A node's function and what it runs over.
#[derive(Clone)]
struct Placed {
    function: Elementwise,
    extent: Extent,
}

/// Puts an operator together with those that computed its operands, as far as that leaves an order to run them in.
fn grow(graph: &Graph, functions: &[Option<Placed>], order: &mut Order, n: usize) {
    let Some(Placed { function, extent }) = &functions[n] else { return };
    let operands = function.operands.iter().filter_map(|&i| graph.nodes[n].inputs[i]);
    let mut vertices: Vec<usize> = operands
        .filter_map(|t| order.writer[t])
        .filter(|&w| functions[w].is_some())
        .map(|w| order.vertex[w])
        .filter(|&v| order.extents[v].as_ref().is_some_and(|of| of.join(extent).is_some()))
        .collect();
    vertices.sort_unstable();
    vertices.dedup();
    if !order.merge(n, &vertices) {
        // All together do not go; one after another, the latest first.
        vertices.sort_unstable_by_key(|&v| Reverse(order.members[v].last().copied()));
        for vertex in vertices {
            order.merge(n, &[vertex]);
        }
    }
}

/// How often each tensor is read in the segment.
fn readers(graph: &Graph, inferred: &Inferred) -> Vec<usize> {
    let mut readers = vec![0; graph.tensors.len()];
    for &t in inferred.nodes.iter().flat_map(|&n| graph.nodes[n].inputs.iter().flatten()) {
        readers[t] += 1;
    }
    readers
}

/// What has to run before what. Nodes that run as one step are one vertex.
struct Order {
    /// For every tensor the node that writes it.
    writer: Vec<Option<usize>>,
    /// For every node those that must run after it; all have greater numbers.
    after: Vec<Vec<usize>>,
    /// For every node its vertex.
    vertex: Vec<usize>,
    /// For every vertex its nodes, rising; empty where it was merged into another or is not of the segment.
    members: Vec<Vec<usize>>,
    /// For every vertex the place that it would like to have.
    place: Vec<usize>,
    /// For every vertex of functions what they run over.
    extents: Vec<Option<Extent>>,
    /// What a search has seen.
    seen: Vec<usize>,
    searches: usize,
}

impl Order {
    fn new(
        graph: &Graph,
        inferred: &Inferred,
        functions: &[Option<Placed>],
        taken_over: &[(usize, usize)],
    ) -> Self {
        let count = graph.nodes.len();
        let mut order = Self {
            writer: vec![None; graph.tensors.len()],
            after: vec![Vec::new(); count],
            vertex: (0..count).collect(),
            members: vec![Vec::new(); count],
            place: (0..count).collect(),
            extents: functions.iter().map(|f| f.as_ref().map(|f| f.extent.clone())).collect(),
            seen: vec![0; count],
            searches: 0,
        };
        for &n in &inferred.nodes {
            order.members[n].push(n);
            for &t in graph.nodes[n].inputs.iter().flatten() {
                if let Some(w) = order.writer[t] {
                    order.after[w].push(n);
                }
            }
            for &t in &graph.nodes[n].outputs {
                order.writer[t] = Some(n);
            }
        }
        order.keep_effects(graph, inferred);
        // A product that takes a sum over runs in its own place.
        for &(product, sum) in taken_over {
            order.vertex[sum] = product;
            let sum = core::mem::take(&mut order.members[sum]);
            order.members[product].extend(sum);
            order.members[product].sort_unstable();
        }
        order
    }

    /// Nodes that touch the same variable, or may, keep their order.
    fn keep_effects(&mut self, graph: &Graph, inferred: &Inferred) {
        let variables = Variables::new(graph);
        let mut any: Option<usize> = None;
        let mut since: Vec<usize> = Vec::new();
        // By variable: the last write and the reads since.
        let mut touched: HashMap<usize, (Option<usize>, Vec<usize>)> = HashMap::new();
        for &n in &inferred.nodes {
            let access = variables.access(graph, n);
            if access == Access::None {
                continue;
            }
            if let Some(any) = any {
                self.after[any].push(n);
            }
            match access {
                Access::None => {}
                Access::Any => {
                    since.drain(..).for_each(|before| self.after[before].push(n));
                    touched.clear();
                    any = Some(n);
                    continue;
                }
                Access::Read(v) => {
                    let (write, reads) = touched.entry(v).or_default();
                    write.iter().for_each(|&w| self.after[w].push(n));
                    reads.push(n);
                }
                Access::Write(v) => {
                    let (write, reads) = touched.entry(v).or_default();
                    write.iter().chain(&*reads).for_each(|&before| self.after[before].push(n));
                    reads.clear();
                    *write = Some(n);
                }
            }
            since.push(n);
        }
    }

    /// Makes node `n` and `vertices` one vertex, if they run over the same and no other has to run between them; `n` is the
    /// last node looked at, so that no later one leads back to one of these.
    fn merge(&mut self, n: usize, vertices: &[usize]) -> bool {
        let target = self.vertex[n];
        let all: Vec<usize> = vertices.iter().copied().chain([target]).collect();
        let mut nodes: Vec<usize> = all.iter().flat_map(|&v| self.members[v].iter().copied()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let extents = all.iter().map(|&v| self.extents[v].clone());
        let Some(extent) = extents.reduce(|a, b| a?.join(&b?)).flatten() else { return false };
        if nodes.len() > MOST_LINKS / 2 || self.leads_back(&all, n) {
            return false;
        }
        for &vertex in &all {
            self.members[vertex].clear();
        }
        nodes.iter().for_each(|&node| self.vertex[node] = target);
        self.place[target] = n;
        self.extents[target] = Some(extent);
        self.members[target] = nodes;
        true
    }

    /// Whether a way out of `vertices` leads back into them, or may: a search gives up where it takes too long.
    fn leads_back(&mut self, vertices: &[usize], last: usize) -> bool {
        self.searches += 1;
        let mut ways = 0;
        let mut open: Vec<(usize, bool)> = vertices.iter().map(|&v| (v, true)).collect();
        while let Some((v, start)) = open.pop() {
            for &next in self.members[v].iter().flat_map(|&node| &self.after[node]) {
                ways += 1;
                if ways > LONGEST_SEARCH {
                    return true;
                }
                let to = self.vertex[next];
                if vertices.contains(&to) {
                    if !start {
                        return true;
                    }
                } else if next <= last && self.seen[to] != self.searches {
                    self.seen[to] = self.searches;
                    open.push((to, false));
                }
            }
        }
        false
    }

    /// The vertices in an order that keeps what has to run before what, as near to their places as can be.
    fn sorted(&self) -> Vec<usize> {
        let mut waits_for = vec![0usize; self.members.len()];
        let edges = |v: usize| {
            let next = self.members[v].iter().flat_map(|&n| &self.after[n]).map(|&n| self.vertex[n]);
            next.filter(move |&to| to != v)
        };
        let vertices = || (0..self.members.len()).filter(|&v| !self.members[v].is_empty());
        vertices().flat_map(edges).for_each(|to| waits_for[to] += 1);
        let mut ready: BinaryHeap<Reverse<(usize, usize)>> =
            vertices().filter(|&v| waits_for[v] == 0).map(|v| Reverse((self.place[v], v))).collect();
        let mut sorted = Vec::new();
        while let Some(Reverse((_, v))) = ready.pop() {
            sorted.push(v);
            for to in edges(v) {
                waits_for[to] -= 1;
                if waits_for[to] == 0 {
                    ready.push(Reverse((self.place[to], to)));
                }
            }
        }
        sorted
    }
}

/// What turns nodes into chains.
struct Groups<'a> {
    graph: &'a Graph,
    inferred: &'a Inferred,
    pinned: &'a [bool],
    functions: &'a [Option<Placed>],
    readers: Vec<usize>,
}

impl Groups<'_> {
    /// The chain of some nodes, which run over `extent`, or those of parts of them where they are too many for one.
    fn items(&self, nodes: &[usize], extent: Option<&Extent>, items: &mut Vec<Item>) {
        match extent.and_then(|extent| self.chain(nodes, extent)) {
            Some(group) => items.push(Item::Chain(Box::new(group))),
            None if nodes.len() > 3 => {
                let (first, second) = nodes.split_at(nodes.len() / 2);
                self.items(first, extent, items);
                self.items(second, extent, items);
            }
            None => items.extend(nodes.iter().map(|&n| Item::Node(n))),
        }
    }

    /// The chain of some nodes; `None` where their own kernels serve as well, or where they are too many for one.
    fn chain(&self, nodes: &[usize], extent: &Extent) -> Option<Group> {
        let shape = |t: usize| self.inferred.infos[t].as_ref().map(|info| &info.shape);
        let own: Vec<&Extent> =
            nodes.iter().map(|&n| Some(&self.functions[n].as_ref()?.extent)).collect::<Option<_>>()?;
        // Part of what was one vertex may have no rows any more.
        let &first = own.first()?;
        let extent = if first.row == 1 && own.iter().all(|&own| own == first) { first } else { extent };
        if let [n] = *nodes
            && (extent.row > 1 || !self.spreads_short_runs(n, &extent.shape))
        {
            return None;
        }
        let (mut inputs, mut links) = (Vec::new(), Vec::new());
        let mut values: HashMap<usize, usize> = HashMap::new();
        for &n in nodes {
            let (node, Placed { function, extent: own }) =
                (&self.graph.nodes[n], self.functions[n].as_ref()?);
            let by_row = match function.function {
                Function::OfRow(function) => function.reduces(),
                _ => own.shape != extent.shape,
            };
            let mut arg = |i: usize| -> Option<Arg> {
                let t = node.inputs.get(i).copied().flatten()?;
                if let Some(&link) = values.get(&t) {
                    return Some(Arg::Link(link));
                }
                let known = inputs.iter().position(|&input| input == t);
                Some(Arg::Input(known.unwrap_or_else(|| {
                    inputs.push(t);
                    inputs.len() - 1
                })))
            };
            let (&first, others) = function.operands.split_first()?;
            let mut value = arg(first)?;
            if others.is_empty() {
                value = push(&mut links, Link { function: function.function, args: [value; 2], by_row });
            }
            for &other in others {
                let other = arg(other)?;
                value = push(&mut links, Link { function: function.function, args: [value, other], by_row });
            }
            if let Some(then) = function.then {
                value = push(&mut links, Link { function: then, args: [value; 2], by_row });
            }
            if let (Arg::Link(link), [output]) = (value, node.outputs.as_slice()) {
                values.insert(*output, link);
            }
        }
        let inside = |t: usize| {
            nodes
                .iter()
                .flat_map(|&n| self.graph.nodes[n].inputs.iter().flatten())
                .filter(|&&i| i == t)
                .count()
        };
        let written = nodes.iter().map(|&n| self.graph.nodes[n].outputs[0]);
        let outputs: Vec<usize> =
            written.filter(|&t| self.pinned[t] || self.readers[t] > inside(t)).collect();
        if inputs.len() > MOST_INPUTS || outputs.len() > MOST_OUTPUTS || outputs.is_empty() {
            return None;
        }
        let shapes: Vec<&[usize]> =
            inputs.iter().map(|&t| shape(t).map(Shape::dims)).collect::<Option<_>>()?;
        let wanted: Vec<usize> = outputs.iter().map(|t| values[t]).collect();
        let chain = Chain::of_rows(&extent.shape, extent.row, &shapes, &links, &wanted)?;
        Some(Group { nodes: nodes.to_vec(), inputs, outputs, chain })
    }

    /// Whether one of a node's operands is spread over its result in short runs.
    fn spreads_short_runs(&self, n: usize, result: &Shape) -> bool {
        let Some(Placed { function, .. }) = &self.functions[n] else { return false };
        function.operands.iter().any(|&i| {
            let operand = self.graph.nodes[n].inputs[i].and_then(|t| self.inferred.infos[t].as_ref());
            operand.is_some_and(|operand| {
                let len = operand.shape.num_elements().unwrap_or(0);
                len > 1 && operand.shape != *result && inner_run(result, &operand.shape) < SHORT_RUN
            })
        })
    }
}

/// Appends a link and names its result.
fn push(links: &mut Vec<Link>, link: Link) -> Arg {
    links.push(link);
    Arg::Link(links.len() - 1)
}

/// Elements of the result over which an operand advances evenly, or stays.
fn inner_run(result: &[usize], operand: &[usize]) -> usize {
    let mut advances = None;
    let mut run = 1;
    for (i, &len) in result.iter().rev().enumerate().filter(|&(_, &len)| len != 1) {
        let own = operand.len().checked_sub(i + 1).map_or(1, |at| operand[at]);
        if *advances.get_or_insert(own == len) != (own == len) {
            break;
        }
        run *= len;
    }
    run
}
