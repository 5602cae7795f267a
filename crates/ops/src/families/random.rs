//! Random numbers: RANDOM_UNIFORM, RANDOM_STANDARD_NORMAL, MULTINOMIAL.
//!
//! With seeds the numbers are TensorFlow's; without, every lowering draws a seed of its own. The generator runs on from
//! one run to the next and starts anew when the operator is planned anew.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};

use ferrolite_kernels::cpu::random::{Philox, multinomial, standard_normal, uniform};
use ferrolite_kernels::scratch::{Scratch, ScratchSize};
use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::RandomOptionsT;

use crate::TensorType;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::types;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::RANDOM_UNIFORM, infer_shape, |node, _| {
        fill("random_uniform", node, uniform)
    })
    .types(types![(Int32) -> (Float32)])
    .stateful(),
    OpSpec::builtin(BuiltinOperator::RANDOM_STANDARD_NORMAL, infer_shape, |node, _| {
        fill("random_standard_normal", node, standard_normal)
    })
    .types(types![(Int32) -> (Float32)])
    .stateful(),
    OpSpec::builtin(BuiltinOperator::MULTINOMIAL, infer_multinomial, lower_multinomial)
        .inputs(2, 2)
        .types(types![(Float32, Int32) -> (Int32), (Float32, Int32) -> (Int64)])
        .stateful(),
];

fn dimension(value: i64) -> Result<usize, OpError> {
    usize::try_from(value)
        .map_err(|_| OpError::invalid(format!("{value} is no dimension of a random tensor")))
}

fn infer_shape(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let dims = node.ints(0)?;
    Ok(one(dims.into_iter().map(dimension).collect::<Result<Shape, _>>()?))
}

fn infer_multinomial(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (rows, _) = rows_and_classes(node)?;
    let samples = node.ints(1)?;
    let [samples] = samples.as_slice() else {
        return Err(OpError::invalid("the number of samples is a scalar").into());
    };
    Ok(one(Shape::from([rows, dimension(*samples)?])))
}

fn rows_and_classes(node: &Node<'_>) -> Result<(usize, usize), OpError> {
    match **node.shape(0)? {
        [rows, classes] if classes > 0 => Ok((rows, classes)),
        _ => Err(OpError::invalid(format!(
            "the logits {} are no matrix with a column per class",
            node.shape(0)?
        ))),
    }
}

/// The generator of an operator; the option zero for both seeds asks for one that differs every time.
fn generator(node: &Node<'_>) -> Result<Mutex<Philox>, OpError> {
    let options = node.options::<RandomOptionsT>()?;
    // The reference keeps 32 bits of each seed.
    let short = |seed: i64| i64::from(seed as i32) as u64;
    let (mut seed, mut stream) = (short(options.seed), short(options.seed2));
    if seed == 0 && stream == 0 {
        // The standard library's source of unpredictable numbers, which it uses against hash collisions.
        (seed, stream) =
            (RandomState::new().build_hasher().finish(), RandomState::new().build_hasher().finish());
    }
    Ok(Mutex::new(Philox::new(seed, stream)))
}

fn fill(
    name: &'static str,
    node: &Node<'_>,
    draw: fn(&mut Philox, &mut [f32]),
) -> Result<Box<dyn Kernel>, OpError> {
    let generator = generator(node)?;
    let run = FnKernel::new(name, move |io, _| {
        let mut random = generator.lock().unwrap_or_else(PoisonError::into_inner);
        draw(&mut random, io.outputs.get(0)?);
        Ok(())
    });
    Ok(run.boxed())
}

fn lower_multinomial(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let generator = generator(node)?;
    let (_, classes) = rows_and_classes(node)?;
    let samples = node.output(0)?.shape.last().copied().unwrap_or(0);
    let long = node.output(0)?.dtype == TensorType::Int64;
    let run = FnKernel::new("multinomial", move |io, _| {
        let mut random = generator.lock().unwrap_or_else(PoisonError::into_inner);
        let logits = io.inputs.get(0)?;
        let cumulative = Scratch::new(io.scratch).take(classes);
        if long {
            let mut out = io.outputs.get::<i64>(0)?.iter_mut();
            multinomial(&mut random, logits, classes, samples, cumulative, |class| {
                out.next().into_iter().for_each(|out| *out = class as i64);
            });
        } else {
            let mut out = io.outputs.get::<i32>(0)?.iter_mut();
            multinomial(&mut random, logits, classes, samples, cumulative, |class| {
                out.next().into_iter().for_each(|out| *out = class as i32);
            });
        }
        Ok(())
    });
    Ok(run.scratch(ScratchSize::new().with::<f64>(classes).bytes()).boxed())
}
