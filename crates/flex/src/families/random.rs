//! Random numbers, with and without state: TensorFlow's bits for the same seeds.
//!
//! Source: `tensorflow/core/lib/random/random_distributions.h`, `stateless_random_ops_v2.cc`, and Salmon et al. (2011).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};

use ferrolite_kernels::cpu::random::{Philox, standard_normal, truncated_normal, uniform};
use ferrolite_ops::{
    FnKernel, InferError, Io, Kernel, LowerCx, Node, OpError, OpSpec, OutputShape, OutputShapes, Shape,
    TensorType, one, types,
};

use super::support::{integers, scalar, shape_in, tf_name};
use crate::node_def::NodeDef;

const fn stateless(name: &'static str, inputs: usize) -> OpSpec {
    OpSpec::custom(name, infer_shape, lower_stateless).inputs(inputs, inputs)
}

const fn stateful(name: &'static str, inputs: usize) -> OpSpec {
    OpSpec::custom(name, infer_shape, lower_stateful).inputs(inputs, inputs).stateful()
}

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("FlexStatelessRandomGetKeyCounter", infer_key, lower_key)
        .outputs(2, 2)
        .types(types![(Int32) -> (UInt64), (Int64) -> (UInt64)]),
    OpSpec::custom("FlexStatelessRandomGetAlg", scalar, lower_algorithm).inputs(0, 0),
    stateless("FlexStatelessRandomUniformV2", 4),
    stateless("FlexStatelessRandomNormalV2", 4),
    stateless("FlexStatelessTruncatedNormalV2", 4),
    stateless("FlexStatelessRandomUniformIntV2", 6),
    stateless("FlexStatelessRandomUniformFullIntV2", 4),
    stateless("FlexStatelessRandomUniform", 2),
    stateless("FlexStatelessRandomNormal", 2),
    stateless("FlexStatelessTruncatedNormal", 2),
    stateless("FlexStatelessRandomUniformInt", 4),
    stateful("FlexRandomUniform", 1),
    stateful("FlexRandomStandardNormal", 1),
    stateful("FlexTruncatedNormal", 1),
    stateful("FlexRandomUniformInt", 3),
];

/// TensorFlow's number of the generator Philox.
const PHILOX: i32 = 1;
/// Blocks of the generator that a stateful operator sets aside for each number.
const RESERVED: u64 = 256;

fn infer_shape(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    match shape_in(node, 0) {
        // The shape is seldom computed from anything that only running tells, but it may be.
        Err(InferError::NeedsValue(_)) if node.output(0)?.open_shape => {
            Ok(core::iter::once(OutputShape::Dynamic).collect())
        }
        shape => Ok(one(shape?)),
    }
}

fn infer_key(_: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok([Shape::from([1]), Shape::from([2])].into_iter().map(OutputShape::Known).collect())
}

fn lower_algorithm(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("random_algorithm", |io, _| {
        io.outputs.get::<i32>(0)?.fill(PHILOX);
        Ok(())
    })
    .boxed())
}

/// The generator that a stateless operator's seed of two numbers stands for: the seed, encrypted once under a fixed key.
fn scrambled(seed: [i64; 2]) -> Philox {
    const KEY: [u32; 2] = [0x3ec8_f720, 0x0246_1e29];
    let counter = u128::from(seed[0].cast_unsigned()) | u128::from(seed[1].cast_unsigned()) << 64;
    let [a, b, c, d] = Philox::from_state(counter, KEY).block();
    Philox::from_state(u128::from(c) << 64 | u128::from(d) << 96, [a, b])
}

fn seed(io: &Io<'_>, i: usize) -> Result<[i64; 2], OpError> {
    let seed = integers(&io.inputs, i)?;
    seed.try_into().map_err(|_| OpError::invalid("a seed is two numbers"))
}

fn lower_key(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("random_key", |io, _| {
        let random = scrambled(seed(io, 0)?);
        let key = random.key();
        io.outputs.get::<u64>(0)?.fill(u64::from(key[0]) | u64::from(key[1]) << 32);
        let counter = random.counter();
        io.outputs.get::<u64>(1)?.copy_from_slice(&[counter as u64, (counter >> 64) as u64]);
        Ok(())
    })
    .boxed())
}

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Draw {
    Uniform,
    Normal,
    TruncatedNormal,
    /// Integers from the range in two inputs from this one on.
    Range(usize),
    /// Integers of all bits.
    Bits,
}

impl Draw {
    fn run(self, random: &mut Philox, io: &mut Io<'_>) -> Result<(), OpError> {
        match self {
            Self::Uniform => uniform(random, io.outputs.get(0)?),
            Self::Normal => standard_normal(random, io.outputs.get(0)?),
            Self::TruncatedNormal => truncated_normal(random, io.outputs.get(0)?),
            Self::Range(at) => {
                let (low, high) = (integers(&io.inputs, at)?, integers(&io.inputs, at + 1)?);
                let (&[low], &[high]) = (low.as_slice(), high.as_slice()) else {
                    return Err(OpError::invalid("the bounds of random integers are scalars"));
                };
                if low >= high {
                    return Err(OpError::runtime(format!(
                        "there are no integers from {low} to below {high}"
                    )));
                }
                integers_in(random, io, low, high.wrapping_sub(low).cast_unsigned())?;
            }
            Self::Bits => integers_in(random, io, 0, 0)?,
        }
        Ok(())
    }
}

/// Fills output 0 with `low` plus a number below `range`, or with any bits for a range of zero.
fn integers_in(random: &mut Philox, io: &mut Io<'_>, low: i64, range: u64) -> Result<(), OpError> {
    let below = |bits: u64| if range == 0 { bits } else { bits % range };
    match io.outputs.dtype(0)? {
        TensorType::Int32 | TensorType::UInt32 => {
            let out: &mut [i32] = bytemuck::cast_slice_mut(io.outputs.bytes(0)?);
            for out in out.chunks_mut(4) {
                for (out, word) in out.iter_mut().zip(random.block()) {
                    *out = (low as i32).wrapping_add(below(u64::from(word)) as i32);
                }
            }
        }
        TensorType::Int64 | TensorType::UInt64 => {
            let out: &mut [i64] = bytemuck::cast_slice_mut(io.outputs.bytes(0)?);
            for out in out.chunks_mut(2) {
                let words = random.block();
                for (out, words) in out.iter_mut().zip(words.chunks_exact(2)) {
                    let bits = u64::from(words[0]) | u64::from(words[1]) << 32;
                    *out = low.wrapping_add(below(bits).cast_signed());
                }
            }
        }
        other => return Err(OpError::unsupported(format!("random integers of type {other}"))),
    }
    Ok(())
}

/// What an operator draws, by its name; `range` is where the bounds of integers are.
fn draw(node: &Node<'_>, range: usize) -> Result<Draw, OpError> {
    let name = tf_name(node);
    let draw = match name {
        name if name.contains("UniformFullInt") => Draw::Bits,
        name if name.contains("UniformInt") => Draw::Range(range),
        name if name.contains("Truncated") => Draw::TruncatedNormal,
        name if name.contains("Normal") => Draw::Normal,
        _ => Draw::Uniform,
    };
    let dtype = node.output(0)?.dtype;
    if matches!(draw, Draw::Uniform | Draw::Normal | Draw::TruncatedNormal) && dtype != TensorType::Float32 {
        return Err(OpError::unsupported(format!(
            "random numbers of type {dtype}: export the model with float32"
        )));
    }
    Ok(draw)
}

/// Gives output 0 its shape where that was not planned.
fn allocate(io: &mut Io<'_>) -> Result<(), OpError> {
    let shape: Shape = super::support::sizes(&io.inputs, 0)?.into_iter().collect();
    io.outputs.allocate(0, shape)
}

fn lower_stateless(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let name = tf_name(node);
    let second = name.ends_with("V2");
    let draw = draw(node, if second { 4 } else { 2 })?;
    Ok(FnKernel::new(format!("philox_{name}"), move |io, _| {
        allocate(io)?;
        let mut random = if second {
            let (&[key], &[low, high]) = (io.inputs.get::<u64>(1)?, io.inputs.get::<u64>(2)?) else {
                return Err(OpError::invalid(
                    "the generator Philox has a key of one and a counter of two numbers",
                ));
            };
            if !matches!(io.inputs.get::<i32>(3)?, [PHILOX | 3]) {
                return Err(OpError::unsupported("random numbers of another generator than Philox"));
            }
            Philox::from_state(u128::from(low) | u128::from(high) << 64, [key as u32, (key >> 32) as u32])
        } else {
            scrambled(seed(io, 1)?)
        };
        draw.run(&mut random, io)
    })
    .boxed())
}

fn lower_stateful(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let def = NodeDef::of(node)?;
    let draw = draw(node, 1)?;
    let (mut seed, mut stream) = (def.int("seed", 0)?.cast_unsigned(), def.int("seed2", 0)?.cast_unsigned());
    if seed == 0 && stream == 0 {
        // Both left out ask for other numbers every time; the standard library has a source of them.
        (seed, stream) =
            (RandomState::new().build_hasher().finish(), RandomState::new().build_hasher().finish());
    }
    let generator = Mutex::new(Philox::new(seed, stream));
    Ok(FnKernel::new(format!("philox_{}", tf_name(node)), move |io, _| {
        allocate(io)?;
        let count = Shape::new(io.outputs.shape(0)?).num_elements()? as u64;
        let mut next = generator.lock().unwrap_or_else(PoisonError::into_inner);
        let mut random = *next;
        next.skip(count.wrapping_mul(RESERVED));
        draw.run(&mut random, io)
    })
    .boxed())
}
