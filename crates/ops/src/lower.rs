//! What lowering may use: the CPU's kernels, the thread count, a fused activation, and the store of packed weights.

use std::fmt;

use ferrolite_kernels::cpu::movement::dense_strides;
use ferrolite_kernels::isa::Cpu;
use ferrolite_model::BuiltinOperator;

use crate::families::turning::permutation;
use crate::node::Node;
use crate::packs::PackCache;
use crate::shape::Shape;

/// Where CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED over floats with constant weights find an operand that no file
/// has: a tensor of the output's shape, added to the products before the activation. The planner puts it there.
pub const ADDEND: usize = 3;

/// Where a CONV_2D over floats with constant weights whose windows are the pixels of its input finds another operand that no
/// file has: a value for each channel of an image, or of all images, by which the input is multiplied before. The planner puts
/// it there.
pub const GATE: usize = 4;

/// A function of single elements that the planner lets an operator with an epilogue apply to its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fused {
    /// An activation operator without options.
    Operator(BuiltinOperator),
    /// GELU, or its approximation by `tanh`.
    Gelu {
        /// Whether it is the approximation.
        approximate: bool,
    },
    /// `x * sigmoid(x)`, which models have as two operators.
    Swish,
}

impl Fused {
    /// A number of its own, for the keys of packed weights.
    #[must_use]
    pub fn key(self) -> u64 {
        match self {
            Self::Operator(operator) => operator.0 as u64,
            Self::Gelu { approximate } => (1 << 32) + u64::from(approximate),
            Self::Swish => 1 << 33,
        }
    }

    /// The operator, if it is one without options.
    #[must_use]
    pub fn operator(self) -> Option<BuiltinOperator> {
        match self {
            Self::Operator(operator) => Some(operator),
            Self::Gelu { .. } | Self::Swish => None,
        }
    }
}

impl fmt::Display for Fused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(operator) => f.write_str(operator.variant_name().unwrap_or("activation")),
            Self::Gelu { .. } => f.write_str("GELU"),
            Self::Swish => f.write_str("SWISH"),
        }
    }
}

/// How operands lie in memory where operators around a product are left out: for each dimension of the operand, as the
/// operator has it, the elements from an index to the next. `None`: the last dimension is the densest, as always.
///
/// Of a BATCH_MATMUL over floats transpositions before and behind it are left out. An operator with
/// [`crate::Traits::spaced_rows`] meets an output whose rows are columns of wider ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Views {
    /// Of the two inputs.
    pub inputs: [Option<Vec<usize>>; 2],
    /// Of the output.
    pub output: Option<Vec<usize>>,
}

impl Views {
    /// The order in which a TRANSPOSE puts the dimensions of its input; `None` while it is not known.
    #[must_use]
    pub fn order(transpose: &Node<'_>) -> Option<Vec<usize>> {
        permutation(transpose).ok()
    }

    /// How an input lies that is a dense tensor of shape `from`, its dimensions put in the order `perm`; `None` if its matrices
    /// then have no lines of neighbouring values.
    #[must_use]
    pub fn of_input(from: &Shape, perm: &[usize]) -> Option<Vec<usize>> {
        let dense = dense_strides(from);
        let strides: Option<Vec<usize>> =
            perm.iter().map(|&axis| usize::try_from(*dense.get(axis)?).ok()).collect();
        strides
            .filter(|strides| strides.len() == from.rank() && matches!(strides[..], [.., _, 1] | [.., 1, _]))
    }

    /// How an output lies that becomes a dense tensor of shape `to` by putting its dimensions in the order `perm`; `None` if
    /// its rows then are no neighbouring values.
    #[must_use]
    pub fn of_output(to: &Shape, perm: &[usize]) -> Option<Vec<usize>> {
        let mut strides = vec![0; to.rank()];
        for (&axis, stride) in perm.iter().zip(dense_strides(to)) {
            *strides.get_mut(axis)? = usize::try_from(stride).ok()?;
        }
        (perm.len() == to.rank() && matches!(strides[..], [.., _, 1])).then_some(strides)
    }

    /// An output of shape `output` with rows, its last dimension, that begin `step` elements apart.
    #[must_use]
    pub fn of_rows(output: &Shape, step: usize) -> Self {
        let row = output.last().copied().unwrap_or(1).max(1);
        let mut strides: Vec<usize> =
            dense_strides(output).into_iter().map(|stride| stride.unsigned_abs() / row * step).collect();
        if let Some(last) = strides.last_mut() {
            *last = 1;
        }
        Self { inputs: [None, None], output: Some(strides) }
    }
}

/// Surroundings of a lowering.
#[derive(Clone, Copy)]
pub struct LowerCx<'a> {
    /// The instruction set to choose kernels for.
    pub cpu: Cpu,
    /// Threads that will run the kernel.
    pub threads: usize,
    /// Whether convolutions may be computed with fewer products than their sums have, which rounds otherwise.
    pub winograd: bool,
    /// What is fused behind this operator; only operators with [`crate::Traits::epilogue`] meet it.
    pub activation: Option<Fused>,
    /// How operands lie, if operators around this one are left out; only some meet any.
    pub views: Option<&'a Views>,
    /// Packed weights of the model.
    pub packs: &'a PackCache,
}

impl<'a> LowerCx<'a> {
    /// For operators by themselves, such as those that are folded: one thread, nothing fused, plain sums.
    #[must_use]
    pub fn alone(cpu: Cpu, packs: &'a PackCache) -> Self {
        Self { cpu, threads: 1, winograd: false, activation: None, views: None, packs }
    }

    /// The elements from a row of the output to the next, if rows have `len` elements.
    #[must_use]
    pub fn row_step(&self, len: usize) -> usize {
        match self.views.and_then(|views| views.output.as_deref()) {
            Some([.., step, _]) => *step,
            _ => len,
        }
    }
}
