//! Attention with a cache of keys and values: odml.scaled_dot_product_attention, odml.update_kv_cache,
//! odml.update_external_kv_cache.

use ferrolite_kernels::cpu::attention::{Attention, Heads};
use ferrolite_kernels::par::Par;

use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes, one};
use crate::same_types;
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::tensor::TensorValue;
use crate::types;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("odml.scaled_dot_product_attention", infer_attention, lower_attention)
        .inputs(3, 4)
        .types(same_types![Float32]),
    OpSpec::custom("odml.update_kv_cache", infer_cache, lower_cache)
        .inputs(3, 3)
        .outputs(2, 2)
        .types(types![(Int64, Float32, Float32) -> (Float32)])
        .stateful(),
    OpSpec::custom("odml.update_external_kv_cache", infer_external, lower_external)
        .inputs(5, 5)
        .outputs(2, 2)
        .types(types![(Float32, Float32, Int32, Float32, Float32) -> (Float32)]),
];

/// Rank 4: batch, positions, heads, numbers of a head.
fn rank4(shape: &Shape, what: &str) -> Result<[usize; 4], OpError> {
    <[usize; 4]>::try_from(&shape[..])
        .map_err(|_| OpError::invalid(format!("{what} must be [batch, positions, heads, size], not {shape}")))
}

/// The sizes of an attention. Heads of keys and values may be fewer than those of queries, which then share them in order.
fn heads(node: &Node<'_>) -> Result<Heads, OpError> {
    let [batch, queries, heads, size] = rank4(node.shape(0)?, "queries")?;
    let [key_batch, keys, key_heads, key_size] = rank4(node.shape(1)?, "keys")?;
    let [value_batch, values, value_heads, value_size] = rank4(node.shape(2)?, "values")?;
    let fits = key_batch == batch && value_batch == batch && values == keys && value_heads == key_heads;
    if !fits
        || key_size != size
        || key_heads == 0
        || !heads.is_multiple_of(key_heads)
        || size == 0
        || keys == 0
    {
        return Err(OpError::invalid(format!(
            "queries {}, keys {} and values {} do not fit together",
            node.shape(0)?,
            node.shape(1)?,
            node.shape(2)?
        )));
    }
    let full = [batch, heads, queries, keys];
    let mask = match node.optional(3) {
        None => None,
        Some(mask) => {
            let dims = rank4(&mask.info.shape, "the mask")?;
            if dims.iter().zip(full).any(|(&m, n)| m != n && m != 1) {
                return Err(OpError::invalid(format!(
                    "the mask {} does not broadcast to {}",
                    mask.info.shape,
                    Shape::from(full)
                )));
            }
            Some(dims)
        }
    };
    Ok(Heads { batch, queries, keys, heads, shared: heads / key_heads, size, value_size, mask })
}

fn infer_attention(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let heads = heads(node)?;
    Ok(one(Shape::from([heads.batch, heads.queries, heads.heads, heads.value_size])))
}

/// `softmax(scale * q k^T + mask) v` for each head; the attribute `scale` is one over the root of a head's size where it is
/// absent or not positive.
fn lower_attention(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let heads = heads(node)?;
    let scale = node.attributes()?.float_or("scale", 0.0)? as f32;
    let scale = if scale > 0.0 { scale } else { 1.0 / (heads.size as f32).sqrt() };
    let attention = Attention::new(cx.cpu, heads, scale);
    let scratch = attention.scratch_len(Par::new(cx.threads)).saturating_mul(size_of::<f32>());
    Ok(FnKernel::new(attention.name(), move |io, cx| {
        let (queries, keys, values) = (io.inputs.get(0)?, io.inputs.get(1)?, io.inputs.get(2)?);
        let mask = io.inputs.optional(3)?;
        let scratch = bytemuck::cast_slice_mut(&mut *io.scratch);
        Ok(attention.run(queries, keys, values, mask, io.outputs.get(0)?, scratch, cx.par())?)
    })
    .scratch(scratch)
    .ops(attention_ops(&heads))
    .boxed())
}

fn attention_ops(heads: &Heads) -> f64 {
    let products = (heads.batch * heads.heads * heads.queries) as f64 * heads.keys as f64;
    2.0 * products * (heads.size + heads.value_size) as f64
}

/// Positions that a cache holds if the attributes do not say.
const DEFAULT_POSITIONS: i64 = 2048;

/// Positions of the cache, and the layer it belongs to.
fn cache(node: &Node<'_>) -> Result<(usize, i64), OpError> {
    let attributes = node.attributes()?;
    let positive = |name, default| -> Result<i64, OpError> {
        Ok(Some(attributes.int_or(name, 0)?).filter(|&n| n > 0).unwrap_or(default))
    };
    let positions = usize::try_from(positive("kv_cache_max", DEFAULT_POSITIONS)?).unwrap_or(0);
    let (layers, layer) = (positive("num_layers", 32)?, positive("layer_index", 0)?);
    if layer >= layers {
        return Err(OpError::invalid(format!("the layer {layer} is not among the cache's {layers} layers")));
    }
    let [batch, count, ..] = rank4(node.shape(1)?, "keys")?;
    if batch != 1 || node.shape(1)? != node.shape(2)? || **node.shape(0)? != [count] || count > positions {
        return Err(OpError::invalid(format!(
            "positions {}, keys {} and values {} do not fit a cache of {positions} positions",
            node.shape(0)?,
            node.shape(1)?,
            node.shape(2)?
        )));
    }
    Ok((positions, layer))
}

fn infer_cache(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (positions, _) = cache(node)?;
    let [_, _, heads, size] = rank4(node.shape(1)?, "keys")?;
    let full = Shape::from([1, positions, heads, size]);
    Ok([full.clone(), full].into_iter().map(OutputShape::Known).collect())
}

/// The variables of one layer's cache, shared by all graphs of an interpreter as resource variables are.
const CONTAINER: &str = "odml.kv_cache";

/// Writes keys and values behind those of earlier positions. When the cache is full, the oldest positions are given up; where
/// it then begins is kept beside it.
fn lower_cache(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (positions, layer) = cache(node)?;
    let [_, count, heads, size] = rank4(node.shape(1)?, "keys")?;
    let full = Shape::from([1, positions, heads, size]);
    let row = heads * size;
    Ok(FnKernel::new("update_kv_cache", move |io, cx| {
        let resources = cx.resources();
        let begin = resources.variable(CONTAINER, &format!("begin/{layer}"));
        let old = match resources.slot(begin)? {
            Some(value) => value.elements::<i64>()?[0],
            None => 0,
        };
        let first = io.inputs.get::<i64>(0)?.first().copied().unwrap_or(old);
        let ahead = first.checked_sub(old).filter(|&n| n >= 0).ok_or_else(|| {
            OpError::runtime(format!("position {first} is before the cache's first position {old}"))
        })?;
        // Positions beyond the end push out as many at the front, at most all.
        let beyond = ahead.saturating_add(count as i64).saturating_sub(positions as i64).max(0);
        let shift = usize::try_from(beyond).unwrap_or(positions).min(positions);
        let begins = old + shift as i64;
        let slot =
            usize::try_from(first - begins).ok().filter(|&at| at + count <= positions).ok_or_else(|| {
                OpError::runtime(format!("position {first} leaves a gap behind the cache's last position"))
            })?;
        *resources.slot(begin)? = Some(TensorValue::from_elements(Shape::from([1]), &[begins])?);
        for (i, name) in ["key", "value"].into_iter().enumerate() {
            let handle = resources.variable(CONTAINER, &format!("{name}/{layer}"));
            let kept = resources.slot(handle)?;
            let kept = match kept {
                Some(value) if *value.shape() == full => value,
                _ => kept.insert(TensorValue::zeros(crate::TensorType::Float32, full.clone())?),
            };
            let entries = kept.elements_mut::<f32>()?;
            if shift > 0 && shift < positions {
                entries.copy_within(shift * row.., 0);
            }
            entries[slot * row..][..count * row].copy_from_slice(io.inputs.get(1 + i)?);
            io.outputs.get::<f32>(i)?.copy_from_slice(entries);
        }
        Ok(())
    })
    .boxed())
}

fn infer_external(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (cache, slice) = (node.shape(0)?, node.shape(3)?);
    let [_, _, heads, size] = rank4(cache, "the cache")?;
    let [batch, count, slice_heads, slice_size] = rank4(slice, "the new keys")?;
    let fits = batch == 1 && (slice_heads, slice_size) == (heads, size) && **node.shape(2)? == [count];
    if !fits || node.shape(1)? != cache || node.shape(4)? != slice {
        let message = format!("new keys and values {slice} do not fit a cache of {cache}");
        return Err(OpError::invalid(message).into());
    }
    Ok([cache.clone(), cache.clone()].into_iter().map(OutputShape::Known).collect())
}

/// Writes keys and values at their positions, up to the first position that is lower than the one before: what follows is
/// padding.
fn lower_external(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let [_, positions, heads, size] = rank4(node.shape(0)?, "the cache")?;
    let row = heads * size;
    Ok(FnKernel::new("update_external_kv_cache", move |io, _| {
        let places = io.inputs.get::<i32>(2)?;
        for i in 0..2 {
            let entries = io.outputs.get::<f32>(i)?;
            entries.copy_from_slice(io.inputs.get(i)?);
            let slices = io.inputs.get::<f32>(3 + i)?;
            let mut last = -1;
            for (at, &place) in places.iter().enumerate() {
                if place < last {
                    break;
                }
                last = place;
                let place = usize::try_from(place).ok().filter(|&p| p < positions).ok_or_else(|| {
                    OpError::runtime(format!(
                        "position {place} is outside of a cache of {positions} positions"
                    ))
                })?;
                entries[place * row..][..row].copy_from_slice(&slices[at * row..][..row]);
            }
        }
        Ok(())
    })
    .boxed())
}
