//! Choosing boxes that do not overlap: NON_MAX_SUPPRESSION_V4, NON_MAX_SUPPRESSION_V5.

use ferrolite_kernels::cpu::detection::{Corners, Suppression, suppress};
use ferrolite_model::BuiltinOperator;

use crate::error::OpError;
use crate::io::Inputs;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes};
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::types;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::NON_MAX_SUPPRESSION_V4, infer, lower)
        .inputs(5, 5)
        .outputs(2, 2)
        .types(types![(Float32, Float32, Int32, Float32, Float32) -> (Int32, Int32)]),
    OpSpec::builtin(BuiltinOperator::NON_MAX_SUPPRESSION_V5, infer, lower)
        .inputs(6, 6)
        .outputs(3, 3)
        .types(types![(Float32, Float32, Int32, Float32, Float32, Float32) -> (Int32, Float32, Int32)]),
];

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (boxes, scores) = (node.shape(0)?, node.shape(1)?);
    match (&boxes[..], &scores[..]) {
        (&[count, 4], &[scored]) if count == scored => {}
        _ => {
            let message =
                format!("boxes {boxes} need four corners each, and scores {scores} one for each box");
            return Err(OpError::invalid(message).into());
        }
    }
    for i in 2..node.inputs.len() {
        let shape = node.shape(i)?;
        if shape.num_elements()? != 1 {
            return Err(OpError::invalid(format!("input {i} is a single number, not {shape}")).into());
        }
    }
    let most = node.ints(2)?.first().and_then(|&n| usize::try_from(n).ok());
    let most = most.ok_or_else(|| OpError::invalid("the greatest number of boxes is not negative"))?;
    // Positions, with soft suppression scores, and how many of them count.
    let mut shapes: OutputShapes =
        (1..node.outputs.len()).map(|_| OutputShape::Known(Shape::from([most]))).collect();
    shapes.push(OutputShape::Known(Shape::scalar()));
    Ok(shapes)
}

/// The number in input `i`.
fn number(inputs: &Inputs<'_>, i: usize) -> Result<f32, OpError> {
    let missing = || OpError::invalid(format!("input {i} holds no number"));
    inputs.get::<f32>(i)?.first().copied().ok_or_else(missing)
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let soft = node.inputs.len() == 6;
    let most = node.output(0)?.shape[0];
    let name = if soft { "soft_non_max_suppression" } else { "non_max_suppression" };
    Ok(FnKernel::new(name, move |io, _| {
        let boxes: &[Corners] = bytemuck::cast_slice(io.inputs.get::<f32>(0)?);
        let limits = Suppression {
            overlap: number(&io.inputs, 3)?,
            score: number(&io.inputs, 4)?,
            sigma: if soft { number(&io.inputs, 5)? } else { 0.0 },
            most,
        };
        if limits.sigma < 0.0 {
            return Err(OpError::runtime(format!("sigma is {}, it cannot be negative", limits.sigma)));
        }
        let chosen = suppress(boxes, io.inputs.get(1)?, &limits);
        let positions = io.outputs.get::<i32>(0)?;
        positions.fill(0);
        for (to, &(index, _)) in positions.iter_mut().zip(&chosen) {
            *to = index as i32;
        }
        if soft {
            let scores = io.outputs.get::<f32>(1)?;
            scores.fill(0.0);
            for (to, &(_, score)) in scores.iter_mut().zip(&chosen) {
                *to = score;
            }
        }
        let last = io.outputs.len() - 1;
        io.outputs.get::<i32>(last)?.fill(chosen.len() as i32);
        Ok(())
    })
    .boxed())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{output, run, tensor};
    use super::*;
    use ferrolite_model::{Options, TensorType};

    #[test]
    fn what_is_not_chosen_is_zero() {
        let suppress = |most: i32, scores: &[f32]| {
            let boxes = tensor(&[2, 4], &[0.0f32, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.9]);
            let scores = tensor(&[scores.len()], scores);
            let number = |x: f32| tensor(&[], &[x]);
            let inputs = [boxes, scores, tensor(&[], &[most]), number(0.5), number(0.0)];
            let outputs = [output(TensorType::Int32), output(TensorType::Int32)];
            run(BuiltinOperator::NON_MAX_SUPPRESSION_V4, Options::None, &inputs, &outputs)
        };
        let got = suppress(3, &[0.5, 0.6]).unwrap();
        assert_eq!(got[0].elements::<i32>().unwrap(), [1, 0, 0]);
        assert_eq!(got[1].elements::<i32>().unwrap(), [1]);
        assert!(suppress(-1, &[0.5, 0.6]).is_err(), "negative number of boxes");
        assert!(suppress(3, &[0.5]).is_err(), "a score per box");
    }
}
