//! STABLEHLO_RNG_BIT_GENERATOR: random bits from a state that is passed in and handed on.
//!
//! The state is a key of 64 bits and a counter. As in the reference runtime the counter's lower 64 bits count on, one for
//! every block, and nothing carries beyond them.

use ferrolite_kernels::cpu::random::{Philox, threefry};
use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::{RngAlgorithm, StablehloRngBitGeneratorOptionsT};

use crate::error::OpError;
use crate::families::elementwise::{Lowered, wrong_size};
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes};
use crate::spec::OpSpec;
use crate::types;

/// The operator of this module.
pub(crate) const SPECS: &[OpSpec] =
    &[OpSpec::builtin(BuiltinOperator::STABLEHLO_RNG_BIT_GENERATOR, infer, lower).outputs(2, 2).types(
        types![
            (UInt64) -> (UInt64, UInt32),
            (UInt64) -> (UInt64, UInt64),
            (UInt64) -> (UInt64, Int32),
            (UInt64) -> (UInt64, Int64),
        ],
    )];

/// Words of the state that the algorithm takes.
fn state_words(node: &Node<'_>) -> Result<(RngAlgorithm, usize), OpError> {
    let algorithm = node.options::<StablehloRngBitGeneratorOptionsT>()?.algorithm;
    let words: &[usize] = match algorithm {
        RngAlgorithm::THREEFRY => &[2],
        RngAlgorithm::PHILOX | RngAlgorithm::DEFAULT => &[2, 3],
        other => {
            return Err(OpError::unsupported(format!(
                "the random number generator {other:?} is not known: use PHILOX or THREEFRY"
            )));
        }
    };
    let shape = node.shape(0)?;
    match shape.dims() {
        [n] if words.contains(n) => Ok((algorithm, *n)),
        _ => Err(OpError::invalid(format!(
            "the state of {algorithm:?} is a vector of {words:?} numbers, not a tensor of shape {shape}"
        ))),
    }
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    state_words(node)?;
    let bits = node.output(1)?;
    if bits.open_shape {
        return Err(OpError::invalid(format!(
            "the shape of result '{}' is open, but nothing else says how many bits are drawn",
            bits.name
        ))
        .into());
    }
    Ok([node.shape(0)?.clone(), bits.shape.clone()].into_iter().map(OutputShape::Known).collect())
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let (algorithm, words) = state_words(node)?;
    let threefry_chosen = algorithm == RngAlgorithm::THREEFRY;
    let run = FnKernel::new(if threefry_chosen { "threefry" } else { "philox" }, move |io, _| {
        let state: &[u64] = io.inputs.get(0)?;
        if state.len() != words {
            return Err(wrong_size());
        }
        let (key, first) = (state[0], state[1]);
        // With two words only, the key serves as the counter's upper half too.
        let upper = state.get(2).copied().unwrap_or(key);
        let halves = [key as u32, (key >> 32) as u32];
        let mut counter = first;
        // Bits are words of 32 bits in rising order, whatever the type of the result.
        let out = io.outputs.bytes(1)?;
        if threefry_chosen {
            for to in out.chunks_mut(8) {
                let block = threefry(halves, [counter as u32, (counter >> 32) as u32]);
                write(&block, to);
                counter = counter.wrapping_add(1);
            }
        } else {
            for to in out.chunks_mut(16) {
                let block = Philox::from_state(u128::from(upper) << 64 | u128::from(counter), halves).block();
                write(&block, to);
                counter = counter.wrapping_add(1);
            }
        }
        let next = io.outputs.get::<u64>(0)?;
        if next.len() != words {
            return Err(wrong_size());
        }
        next.copy_from_slice(state);
        next[1] = counter;
        Ok(())
    });
    Ok(run.boxed())
}

/// As many of the words as there is room for.
fn write(words: &[u32], to: &mut [u8]) {
    for (to, word) in to.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
}
