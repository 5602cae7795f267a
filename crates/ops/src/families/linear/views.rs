//! Matrices where transpositions before and behind a product are left out.

use ferrolite_kernels::cpu::float::gemm::{BatchMatMul, MatMulShape};
use ferrolite_kernels::cpu::movement::dense_strides;
use ferrolite_kernels::isa::Cpu;

use super::batch_matmul::Sizes;
use crate::error::OpError;
use crate::lower::Views;
use crate::node::Node;
use crate::shape::Shape;

/// The matrices of an operand: lines of neighbouring values.
struct Matrices<'a> {
    /// Dimensions around the matrices, and elements from an index of each to the next.
    batch: &'a [usize],
    strides: Vec<usize>,
    /// Elements from a line to the next.
    step: usize,
    /// Lines are columns of the tensor's last two dimensions.
    turned: bool,
}

impl<'a> Matrices<'a> {
    fn new(shape: &'a Shape, view: Option<&Vec<usize>>) -> Result<Self, OpError> {
        let dense = || dense_strides(shape).into_iter().map(|stride| stride as usize).collect();
        let mut strides: Vec<usize> = view.cloned().unwrap_or_else(dense);
        let batch = shape.len().saturating_sub(2);
        let matrix = strides.split_off(batch.min(strides.len()));
        let (step, turned) = match matrix[..] {
            [rows, 1] => (rows, false),
            [1, columns] => (columns, true),
            _ => return Err(OpError::invalid(format!("no lines of matrices of {shape} lie densely"))),
        };
        Ok(Self { batch: &shape[..batch], strides, step, turned })
    }

    /// Where matrix `index` begins.
    fn start(&self, mut index: usize) -> usize {
        let mut start = 0;
        for (&dim, &stride) in self.batch.iter().zip(&self.strides).rev() {
            start += index % dim * stride;
            index /= dim;
        }
        start
    }
}

/// The products of a BATCH_MATMUL whose operands lie as `views` says.
pub(super) fn product(
    cpu: Cpu,
    node: &Node<'_>,
    views: &Views,
    sizes: &Sizes,
) -> Result<BatchMatMul, OpError> {
    let [left_view, right_view] = &views.inputs;
    let left = Matrices::new(node.shape(0)?, left_view.as_ref())?;
    let right = Matrices::new(node.shape(1)?, right_view.as_ref())?;
    let out = Matrices::new(&node.output(0)?.shape, views.output.as_ref())?;
    if out.turned {
        return Err(OpError::invalid("the rows of a product lie densely"));
    }
    let shape = MatMulShape {
        left_transposed: sizes.shape.left_transposed != left.turned,
        right_transposed: sizes.shape.right_transposed != right.turned,
        ..sizes.shape
    };
    let starts = sizes.pairs.iter().enumerate();
    let starts = starts.map(|(i, &(l, r))| [left.start(l), right.start(r), out.start(i)]).collect();
    Ok(BatchMatMul::among(cpu, shape, [left.step, right.step, out.step], starts)?)
}
