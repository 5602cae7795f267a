//! How another device takes part of a plan.

use ferrolite_ops::{Kernel, Node, OpError};

/// One node offered to a backend.
pub struct BackendNode<'a> {
    /// The node, with final shapes.
    pub node: Node<'a>,
    /// Its input tensors.
    pub inputs: &'a [Option<usize>],
    /// Its output tensors.
    pub outputs: &'a [usize],
    /// The activation fused behind it.
    pub activation: Option<ferrolite_ops::Fused>,
}

/// A run of nodes that a backend takes as one step.
pub struct Partition<'a> {
    /// The nodes in order.
    pub nodes: Vec<BackendNode<'a>>,
    /// Tensors read from outside, in the order of the step's inputs; constants are not among them.
    pub inputs: Vec<usize>,
    /// Tensors needed outside, in the order of the step's outputs.
    pub outputs: Vec<usize>,
}

/// A device that can run steps of a plan.
pub trait Backend: Send + Sync {
    /// The name that `describe()` shows.
    fn name(&self) -> &str;

    /// Whether the backend can run this node.
    ///
    /// # Errors
    /// A sentence that says why not; `describe()` shows it.
    fn supports(&self, node: &BackendNode<'_>) -> Result<(), String>;

    /// Fewest nodes worth handing over at once.
    fn min_nodes(&self) -> usize {
        1
    }

    /// Turns nodes, all of which it supports, into one kernel.
    ///
    /// # Errors
    /// When the device refuses.
    fn compile(&self, partition: &Partition<'_>) -> Result<Box<dyn Kernel>, OpError>;
}
