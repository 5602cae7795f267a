//! Random numbers: RANDOM_UNIFORM, RANDOM_STANDARD_NORMAL, MULTINOMIAL, and the older custom operators RandomUniform,
//! RandomStandardNormal, RandomUniformInt and Multinomial.
//!
//! With seeds the numbers are TensorFlow's; without, every lowering draws a seed of its own. The generator runs on from
//! one run to the next and starts anew when the operator is planned anew.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};

use ferrolite_kernels::cpu::random::{Philox, multinomial, standard_normal, uniform};
use ferrolite_kernels::scratch::{Scratch, ScratchSize};
use ferrolite_model::options::RandomOptionsT;
use ferrolite_model::{BuiltinOperator, OpCode};

use super::integers::Integers;
use crate::TensorType;
use crate::element::Element;
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
    OpSpec::custom("RandomUniform", infer_shape, |node, _| match node.output(0)?.dtype {
        TensorType::Float64 => fill("random_uniform_f64", node, each(unit)),
        _ => fill("random_uniform", node, uniform),
    })
    .types(types![(Int32) -> (Float32), (Int32) -> (Float64)])
    .stateful(),
    OpSpec::custom("RandomStandardNormal", infer_shape, |node, _| match node.output(0)?.dtype {
        TensorType::Float64 => fill("random_standard_normal_f64", node, each(normal)),
        _ => fill("random_standard_normal", node, standard_normal),
    })
    .types(types![(Int32) -> (Float32), (Int32) -> (Float64)])
    .stateful(),
    OpSpec::custom("RandomUniformInt", infer_shape, lower_uniform_int)
        .inputs(3, 3)
        .types(types![(Int32, Int32, Int32) -> (Int32), (Int32, Int64, Int64) -> (Int64)])
        .stateful(),
    OpSpec::custom("Multinomial", infer_multinomial, lower_multinomial)
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
    let (seed, stream) = match &node.operator.code {
        OpCode::Builtin(_) => {
            let options = node.options::<RandomOptionsT>()?;
            (options.seed, options.seed2)
        }
        OpCode::Custom(_) => {
            let attributes = node.attributes()?;
            (attributes.int_or("seed", 0)?, attributes.int_or("seed2", 0)?)
        }
    };
    // The reference keeps 32 bits of each seed.
    let short = |seed: i64| i64::from(seed as i32) as u64;
    let (mut seed, mut stream) = (short(seed), short(stream));
    if seed == 0 && stream == 0 {
        // The standard library's source of unpredictable numbers, which it uses against hash collisions.
        (seed, stream) =
            (RandomState::new().build_hasher().finish(), RandomState::new().build_hasher().finish());
    }
    Ok(Mutex::new(Philox::new(seed, stream)))
}

/// A double in `[0, 1)`, of 53 random bits.
fn unit(words: [u32; 4]) -> f64 {
    let bits = u64::from(words[0]) << 32 | u64::from(words[1]);
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// A double of the standard normal distribution, by the Box-Muller transform.
fn normal(words: [u32; 4]) -> f64 {
    // In (0, 1], so that the logarithm is finite.
    let radius = (-2.0 * (1.0 - unit(words)).ln()).sqrt();
    radius * (core::f64::consts::TAU * unit([words[2], words[3], 0, 0])).cos()
}

/// Draws every element from a block of its own.
fn each(draw: fn([u32; 4]) -> f64) -> impl Fn(&mut Philox, &mut [f64]) + Send + Sync + 'static {
    move |random, out| out.iter_mut().for_each(|x| *x = draw(random.block()))
}

/// Integers from the second input, inclusive, to the third, exclusive.
fn lower_uniform_int(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let generator = generator(node)?;
    let wide = node.output(0)?.dtype == TensorType::Int64;
    let run = FnKernel::new("random_uniform_int", move |io, _| {
        let mut random = generator.lock().unwrap_or_else(PoisonError::into_inner);
        let bound = |i: usize| {
            let bounds = Integers::of(io.inputs, i)?;
            if bounds.len() == 1 {
                return Ok(bounds.get(0));
            }
            Err(OpError::runtime(format!("input {i} is a single number, not {}", bounds.len())))
        };
        let (least, end) = (bound(1)?, bound(2)?);
        if least >= end {
            return Err(OpError::runtime(format!("there are no integers from {least} on and below {end}")));
        }
        // The range is positive and below 2^64, so that the product's upper half is below the range.
        let range = u128::from(end.wrapping_sub(least) as u64);
        let mut draw = || {
            let [a, b, ..] = random.block();
            let bits = u128::from(u64::from(a) << 32 | u64::from(b));
            least.wrapping_add(((bits * range) >> 64) as i64)
        };
        if wide {
            io.outputs.get::<i64>(0)?.iter_mut().for_each(|x| *x = draw());
        } else {
            // Fits: the bounds are of 32 bits.
            io.outputs.get::<i32>(0)?.iter_mut().for_each(|x| *x = draw() as i32);
        }
        Ok(())
    });
    Ok(run.boxed())
}

fn fill<T: Element>(
    name: &'static str,
    node: &Node<'_>,
    draw: impl Fn(&mut Philox, &mut [T]) + Send + Sync + 'static,
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

#[cfg(test)]
mod tests {
    use super::super::testing::{output, run_custom, tensor};
    use super::*;
    use ferrolite_model::flexbuffers::Value;

    fn draw(
        name: &str,
        seed: i64,
        dtype: TensorType,
        bounds: Option<(i64, i64)>,
    ) -> Result<Vec<f64>, OpError> {
        let mut inputs = vec![tensor(&[2], &[500i32, 4])];
        if let Some((least, end)) = bounds {
            inputs.extend([least, end].map(|b| tensor(&[], &[b])));
        }
        let attributes = Value::Map(vec![("seed", Value::Int(seed))]);
        let drawn = run_custom(name, &attributes, &inputs, &[output(dtype)])?;
        Ok(match dtype {
            TensorType::Float64 => drawn[0].elements::<f64>()?.to_vec(),
            TensorType::Float32 => drawn[0].elements::<f32>()?.iter().map(|&x| x.into()).collect(),
            _ => drawn[0].elements::<i64>()?.iter().map(|&x| x as f64).collect(),
        })
    }

    #[test]
    fn custom_forms_have_the_right_moments() {
        type Row = (&'static str, TensorType, Option<(i64, i64)>, f64, f64);
        let rows: &[Row] = &[
            ("RandomUniform", TensorType::Float32, None, 0.5, 1.0 / 12.0),
            ("RandomUniform", TensorType::Float64, None, 0.5, 1.0 / 12.0),
            ("RandomStandardNormal", TensorType::Float32, None, 0.0, 1.0),
            ("RandomStandardNormal", TensorType::Float64, None, 0.0, 1.0),
            ("RandomUniformInt", TensorType::Int64, Some((-3, 4)), 0.0, 4.0),
        ];
        for &(name, dtype, bounds, mean, variance) in rows {
            let drawn = draw(name, 7, dtype, bounds).unwrap();
            let count = drawn.len() as f64;
            let found = drawn.iter().sum::<f64>() / count;
            let spread = drawn.iter().map(|x| (x - found).powi(2)).sum::<f64>() / count;
            assert!((found - mean).abs() < 0.1 * variance.sqrt().max(1.0), "{name} {dtype}: mean {found}");
            assert!((spread / variance - 1.0).abs() < 0.15, "{name} {dtype}: variance {spread}");
            assert_eq!(drawn, draw(name, 7, dtype, bounds).unwrap(), "{name}: the seed decides");
            assert_ne!(drawn, draw(name, 8, dtype, bounds).unwrap(), "{name}: another seed");
        }
        assert!(draw("RandomUniformInt", 1, TensorType::Int64, Some((4, 4))).is_err());
        let all = draw("RandomUniformInt", 1, TensorType::Int64, Some((i64::MIN, i64::MAX))).unwrap();
        assert!(all.iter().any(|&x| x < 0.0) && all.iter().any(|&x| x > 0.0), "the whole range");
    }
}
