//! Operators that products take over: they make no steps of their own.

use crate::expanded::expanded;
use crate::gate::{Gate, gates};
use crate::graph::Graph;
use crate::infer::Inferred;
use crate::residual::{Residual, residuals};
use crate::views::{Turned, turned};

/// What products take over, for each node of the graph.
pub(crate) struct TakenOver {
    residuals: Vec<Option<Residual>>,
    turned: Vec<Option<Turned>>,
    depthwise: Vec<Option<usize>>,
    gates: Vec<Option<Gate>>,
}

impl TakenOver {
    /// Nothing, in a graph of so many nodes.
    pub fn nothing(nodes: usize) -> Self {
        Self {
            residuals: vec![None; nodes],
            turned: vec![None; nodes],
            depthwise: vec![None; nodes],
            gates: vec![None; nodes],
        }
    }

    /// Whatever the CPU's kernels compute along; see [`turned`] and [`expanded`] for `order_of` and `pays`.
    pub fn find(
        graph: &Graph,
        inferred: &Inferred,
        pinned: &[bool],
        order_of: impl Fn(usize) -> Option<Vec<usize>>,
        pays: impl Fn(usize, usize) -> bool,
    ) -> Self {
        let residuals = residuals(graph, inferred, pinned);
        let gates = gates(graph, inferred, pinned);
        let pays = |n: usize, behind: usize| gates[n].is_none() && pays(n, behind);
        let depthwise = expanded(graph, inferred, pinned, &residuals, pays);
        Self { residuals, turned: turned(graph, inferred, pinned, order_of), depthwise, gates }
    }

    /// The multiplication of its input that a node takes over.
    pub fn gate(&self, n: usize) -> Option<Gate> {
        self.gates[n]
    }

    /// The depthwise convolution that a node takes over.
    pub fn depthwise(&self, n: usize) -> Option<usize> {
        self.depthwise[n]
    }

    /// The addition that a node takes over, or the depthwise convolution that it takes over does.
    pub fn residual(&self, n: usize) -> Option<Residual> {
        self.residuals[self.depthwise[n].unwrap_or(n)]
    }

    /// The transpositions that a node takes over.
    pub fn turned(&self, n: usize) -> Option<&Turned> {
        self.turned[n].as_ref()
    }

    /// All that a node takes over, in the order in which results follow from each other.
    pub fn nodes(&self, n: usize) -> impl Iterator<Item = usize> {
        let around = self.turned(n).into_iter().flat_map(|turned| turned.nodes.iter().copied());
        let along = self.residual(n).map(|r| r.sum).into_iter().chain(self.gate(n).map(|g| g.node));
        self.depthwise[n].into_iter().chain(along).chain(around)
    }

    /// Pairs of a node of the segment and one that it takes over, each of the latter once.
    pub fn pairs(&self, inferred: &Inferred) -> Vec<(usize, usize)> {
        let mut second = vec![false; self.depthwise.len()];
        self.depthwise.iter().flatten().for_each(|&n| second[n] = true);
        let first = inferred.nodes.iter().filter(|&&n| !second[n]);
        first.flat_map(|&n| self.nodes(n).map(move |other| (n, other))).collect()
    }
}
