//! A planned stretch of a graph: shapes known, kernels chosen, memory laid out.

use std::sync::Arc;

use ferrolite_model::TensorType;
use ferrolite_ops::{Kernel, Shape, TensorInfo, TensorValue};

use crate::graph::Graph;

/// Where an operand's memory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Bytes of the arena.
    Arena {
        /// First byte.
        offset: usize,
        /// Number of bytes.
        len: usize,
    },
    /// The tensor of this index, with memory of its own.
    Slot(usize),
    /// The constant tensor of this index, in the model file or folded before planning.
    Constant(usize),
    /// A constant that this segment's shapes determine, by its index in [`Segment::constants`].
    Folded(usize),
    /// Memory of the step's output with this index: all of it, or that of a piece of an output that joins pieces.
    InPlace(usize),
    /// An optional input that is not there.
    Absent,
}

/// An operand of a step.
#[derive(Clone, Debug)]
pub struct StepOperand {
    /// The tensor it stands for, if present.
    pub tensor: Option<usize>,
    /// Element type.
    pub dtype: TensorType,
    /// Dimensions.
    pub shape: Shape,
    /// Memory.
    pub place: Place,
    /// An output whose shape or size the kernel gives.
    pub dynamic: bool,
}

/// One kernel with its operands.
pub struct Step {
    /// Indices of the graph nodes it computes: one, or several when a backend took them together or a product takes others
    /// over; the product then comes first.
    pub nodes: Vec<usize>,
    /// The kernel.
    pub kernel: Box<dyn Kernel>,
    /// Inputs.
    pub inputs: Vec<StepOperand>,
    /// Outputs.
    pub outputs: Vec<StepOperand>,
    /// State tensors.
    pub states: Vec<StepOperand>,
    /// Scratch memory in the arena: offset and length.
    pub scratch: (usize, usize),
    /// Before the step runs the contents of these two slots change places: output 0 takes over an input, a list that is not
    /// read any more, which the step then changes in place.
    pub takes_over: Option<(usize, usize)>,
    /// The backend that runs it; `None` for the CPU's kernels.
    pub backend: Option<String>,
    /// Why no backend took it, if one was asked.
    pub refusal: Option<String>,
}

/// A stretch of nodes planned together.
pub struct Segment {
    /// First node.
    pub start: usize,
    /// One past the last node.
    pub end: usize,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// Nodes that make no step: their results are names for memory that has the content already.
    pub views: Vec<usize>,
    /// What is known of the tensors this segment reads or writes.
    pub infos: Vec<Option<TensorInfo>>,
    /// Constants computed while planning.
    pub constants: Vec<Arc<TensorValue>>,
    /// Slots to be given a type and shape before the segment runs.
    pub allocate: Vec<(usize, TensorType, Shape)>,
    /// Slots to be given the content of a constant before the segment runs.
    pub fill: Vec<(usize, Place)>,
    /// Size of the arena in bytes.
    pub arena_bytes: usize,
    /// Shapes of slots that this plan holds for.
    pub shape_deps: Vec<(usize, Shape)>,
    /// Contents of slots that this plan holds for.
    pub value_deps: Vec<(usize, TensorValue)>,
}

impl Step {
    /// The names of the operators it computes, in the graph's order.
    #[must_use]
    pub fn operators(&self, graph: &Graph) -> Vec<String> {
        let mut nodes = self.nodes.clone();
        nodes.sort_unstable();
        nodes.into_iter().map(|n| graph.operator(&graph.nodes[n]).code.to_string()).collect()
    }
}

impl Segment {
    /// Whether the plan holds for what the slots now contain.
    #[must_use]
    pub fn fits(&self, slots: &[TensorValue]) -> bool {
        self.shape_deps.iter().all(|(t, shape)| slots[*t].shape() == shape)
            && self.value_deps.iter().all(|(t, value)| slots[*t].bytes() == value.bytes())
    }
}
