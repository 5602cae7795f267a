//! UnidirectionalSequenceGru: a gated recurrent unit over a sequence.

use std::sync::Arc;

use ferrolite_kernels::cpu::float::epilogue::Epilogue;
use ferrolite_kernels::cpu::float::gemm::{PackedF32, gemm_f32};
use ferrolite_kernels::packing::Packing;
use ferrolite_kernels::scratch::{Scratch, ScratchSize};

use crate::error::OpError;
use crate::families::linear::weights::floats;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes};
use crate::same_types;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[OpSpec::custom("UnidirectionalSequenceGru", infer, lower)
    .inputs(6, 6)
    .outputs(2, 2)
    .types(same_types![Float32])];

/// Steps, batch, features, units.
fn sizes(node: &Node<'_>) -> Result<[usize; 4], OpError> {
    let (input, state) = (node.shape(0)?, node.shape(1)?);
    if let (&[steps, batch, features], &[state_batch, units]) = (&input[..], &state[..]) {
        let columns = features.saturating_add(units);
        let wanted = [
            Shape::from([units.saturating_mul(2), columns]),
            Shape::from([units.saturating_mul(2)]),
            Shape::from([units, columns]),
            Shape::from([units]),
        ];
        let found = [node.shape(2)?, node.shape(3)?, node.shape(4)?, node.shape(5)?];
        if state_batch == batch && found.into_iter().eq(wanted.iter()) {
            return Ok([steps, batch, features, units]);
        }
    }
    Err(OpError::invalid(format!(
        "a GRU of input {input}, state {state}, gates {} and {}, candidate {} and {} does not fit together",
        node.shape(2)?,
        node.shape(3)?,
        node.shape(4)?,
        node.shape(5)?
    )))
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let [steps, batch, _, units] = sizes(node)?;
    let shapes = [Shape::from([steps, batch, units]), Shape::from([batch, units])];
    Ok(shapes.into_iter().map(OutputShape::Known).collect())
}

/// With `[r, u] = sigmoid(W [x, h] + b)` and `c = tanh(V [x, r * h] + d)` the next state is `(1 - u) * c + u * h`.
fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let [steps, batch, features, units] = sizes(node)?;
    let columns = features + units;
    let size = ScratchSize::new()
        .with::<f32>(batch.saturating_mul(columns))
        .with::<f32>(batch.saturating_mul(2 * units))
        .with::<f32>(batch.saturating_mul(units));
    let cpu = cx.cpu;
    let pack = move |packing: Packing<'_>, rows: usize, weights: &[f32], bias: &[f32]| {
        PackedF32::new(packing, rows, columns, weights, Some(bias)).map_err(OpError::from)
    };
    // Weights of a model are packed once, others for every run.
    let kept = |weights: usize, rows: usize| -> Result<Option<Arc<PackedF32>>, OpError> {
        let (weights, bias) = (node.input(weights)?, node.input(weights + 1)?);
        let (Some(w), Some(b)) = (weights.value, bias.value) else { return Ok(None) };
        let (params, operands) = ([rows as u64, columns as u64], [Some(weights), Some(bias)]);
        let make = |packing: Packing<'_>| pack(packing, rows, &floats(w), &floats(b));
        cx.packs.get_or_pack(cpu, "gru_f32", &params, &operands, make).map(Some)
    };
    let packed = kept(2, 2 * units)?.zip(kept(4, units)?);
    Ok(FnKernel::new("gru", move |io, cx| {
        let (gates, candidate) = match &packed {
            Some((gates, candidate)) => (gates.clone(), candidate.clone()),
            None => (
                Arc::new(pack(cpu.into(), 2 * units, io.inputs.get(2)?, io.inputs.get(3)?)?),
                Arc::new(pack(cpu.into(), units, io.inputs.get(4)?, io.inputs.get(5)?)?),
            ),
        };
        let mut scratch = Scratch::new(io.scratch);
        let joined = scratch.take::<f32>(batch * columns);
        let gate = scratch.take::<f32>(batch * 2 * units);
        let state = scratch.take::<f32>(batch * units);
        state.copy_from_slice(io.inputs.get(1)?);
        let input = io.inputs.get::<f32>(0)?;
        let out = io.outputs.get::<f32>(0)?;
        let none = Epilogue::default();
        for step in 0..steps {
            let input = &input[step * batch * features..][..batch * features];
            for b in 0..batch {
                let row = &mut joined[b * columns..][..columns];
                row[..features].copy_from_slice(&input[b * features..][..features]);
                row[features..].copy_from_slice(&state[b * units..][..units]);
            }
            gemm_f32(joined, batch, columns, &gates, gate, 2 * units, &none, cx.par())?;
            gate.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
            for b in 0..batch {
                let reset = &gate[b * 2 * units..][..units];
                for (h, r) in joined[b * columns + features..][..units].iter_mut().zip(reset) {
                    *h *= r;
                }
            }
            let next = &mut out[step * batch * units..][..batch * units];
            gemm_f32(joined, batch, columns, &candidate, next, units, &none, cx.par())?;
            for b in 0..batch {
                let update = &gate[b * 2 * units + units..][..units];
                let old = &mut state[b * units..][..units];
                for ((c, h), u) in next[b * units..][..units].iter_mut().zip(old).zip(update) {
                    *c = (1.0 - u) * c.tanh() + u * *h;
                    *h = *c;
                }
            }
        }
        io.outputs.get::<f32>(1)?.copy_from_slice(state);
        Ok(())
    })
    .scratch(size.bytes())
    .boxed())
}
