//! aeq.hadamard_rotation: the Walsh-Hadamard transform of runs of features.

use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::same_types;
use crate::spec::OpSpec;

/// The module's operators.
pub const SPECS: &[OpSpec] =
    &[OpSpec::custom("aeq.hadamard_rotation", infer, lower).types(same_types![Float32])];

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(node.shape(0)?.clone()))
}

/// Rows of the matrix are orthonormal. The signs of the attribute `random_binary_vector` were folded into the weights when
/// the model was made, and have no part in running it.
fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let size = node.attributes()?.positive("hadamard_size")?;
    let shape = node.shape(0)?;
    let features = shape.last().copied().unwrap_or(0);
    if !(2..=3).contains(&shape.rank()) || !size.is_power_of_two() || features % size != 0 {
        return Err(OpError::invalid(format!(
            "a rotation of size {size} takes rank 2 or 3, a power of two, and features that divide by it, not {shape}"
        )));
    }
    let norm = 1.0 / (size as f32).sqrt();
    Ok(FnKernel::new("hadamard_rotation", move |io, _| {
        let out = io.outputs.get::<f32>(0)?;
        out.copy_from_slice(io.inputs.get(0)?);
        for run in out.chunks_exact_mut(size) {
            transform(run);
            run.iter_mut().for_each(|x| *x *= norm);
        }
        Ok(())
    })
    .boxed())
}

/// The transform without its factor, in `log2(len)` rounds of sums and differences.
fn transform(run: &mut [f32]) {
    let mut half = 1;
    while half < run.len() {
        for pair in run.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}
