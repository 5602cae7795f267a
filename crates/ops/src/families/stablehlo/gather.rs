//! STABLEHLO_GATHER: slices of a tensor, each from where an index vector says.

use ferrolite_kernels::cpu::movement::dense_strides;
use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::StablehloGatherOptionsT;

use super::attributes;
use super::walk::{Walk, offset_of};
use crate::error::OpError;
use crate::families::elementwise::{Lowered, wrong_size};
use crate::families::integers::Integers;
use crate::families::moving::{Unit, each_type};
use crate::kernel::FnKernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::OpSpec;

use super::indices::IndexVectors;

/// The operator of this module.
pub(crate) const SPECS: &[OpSpec] = &[OpSpec::builtin(BuiltinOperator::STABLEHLO_GATHER, infer, lower)
    .inputs(2, 2)
    .types(each_type!([
        Float32, Float16, BFloat16, Float64, Int8, UInt8, Int16, UInt16, Int32, UInt32, Int64, UInt64, Bool,
        Complex64, Complex128
    ](Int32)(Int64)(UInt32)(UInt64)(Int16)(Int8)(UInt8)(UInt16)))];

/// How the dimensions of operand, indices and result stand to each other.
struct Gather {
    operand: Shape,
    vectors: IndexVectors,
    /// Size of a slice along every dimension of the operand.
    slice: Vec<usize>,
    /// The operand's dimensions that slices keep.
    kept: Vec<usize>,
    /// Which dimensions of the result run along a slice.
    is_offset: Vec<bool>,
    result: Shape,
}

impl Gather {
    fn new(node: &Node<'_>) -> Result<Self, OpError> {
        let (operand, indices) = (node.shape(0)?.clone(), node.shape(1)?.clone());
        let options = node.options::<StablehloGatherOptionsT>()?;
        let rank = operand.rank();
        let slice = options.slice_sizes.clone().unwrap_or_default();
        if slice.len() != rank {
            return Err(OpError::invalid(format!(
                "the list of slice sizes has {} entries for an operand of shape {operand}: export the model again",
                slice.len()
            )));
        }
        let slice: Option<Vec<usize>> =
            slice.iter().zip(&*operand).map(|(&s, &d)| usize::try_from(s).ok().filter(|&s| s <= d)).collect();
        let slice = slice.ok_or_else(|| {
            OpError::invalid(format!(
                "slices of {:?} do not fit into an operand of shape {operand}: export the model again",
                options.slice_sizes.as_deref().unwrap_or_default()
            ))
        })?;
        let vectors = IndexVectors::new(
            &indices,
            options.index_vector_dim,
            options.start_index_map,
            rank,
            "the map of index vectors",
        )?;
        let collapsed =
            attributes::axes(options.collapsed_slice_dims, rank, "the list of collapsed dimensions")?;
        if let Some(&axis) = collapsed.iter().find(|&&axis| slice[axis] > 1) {
            return Err(OpError::invalid(format!(
                "dimension {axis} is dropped although slices have {} positions along it: export the model again",
                slice[axis]
            )));
        }
        let kept: Vec<usize> = (0..rank).filter(|axis| !collapsed.contains(axis)).collect();
        let result_rank = vectors.batch.rank() + kept.len();
        let offsets =
            attributes::rising_axes(options.offset_dims, result_rank, "the list of offset dimensions")?;
        if offsets.len() != kept.len() {
            return Err(OpError::invalid(format!(
                "{} offset dimensions are named for slices of {} dimensions: export the model again",
                offsets.len(),
                kept.len()
            )));
        }
        let is_offset: Vec<bool> = (0..result_rank).map(|axis| offsets.contains(&axis)).collect();
        let (mut along, mut across) = (kept.iter().map(|&axis| slice[axis]), vectors.batch.iter().copied());
        let dims: Vec<usize> = is_offset
            .iter()
            .filter_map(|&is_offset| if is_offset { along.next() } else { across.next() })
            .collect();
        let result = attributes::shape(dims)?;
        Ok(Self { operand, vectors, slice, kept, is_offset, result })
    }

    /// Lengths and strides of the result's dimensions that do (or do not) run along a slice.
    fn result_dims(&self, is_offset: bool) -> Vec<(usize, usize)> {
        let strides = dense_strides(&self.result);
        let dims = self.result.iter().zip(strides).zip(&self.is_offset);
        dims.filter(|(_, is)| **is == is_offset).map(|((&len, stride), _)| (len, stride as usize)).collect()
    }
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Gather::new(node)?.result))
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Lowered {
    let gather = Gather::new(node)?;
    let Unit::Bytes(size) = Unit::of(node.dtype(0)?)? else {
        return super::undefined(node);
    };
    let strides: Vec<usize> = dense_strides(&gather.operand).into_iter().map(|s| s as usize).collect();
    // The greatest first position along each dimension that still leaves room for the slice.
    let limits: Vec<usize> = gather.operand.iter().zip(&gather.slice).map(|(d, s)| d - s).collect();
    let mut source: Vec<(usize, usize)> =
        gather.kept.iter().map(|&axis| (gather.slice[axis], strides[axis])).collect();
    let (batch, mut target) = (gather.result_dims(false), gather.result_dims(true));
    // The elements that lie together on both sides are copied together.
    let mut run = 1;
    while let (Some(&(len, from)), Some(&(_, to))) = (source.last(), target.last())
        && (from, to) == (run, run)
    {
        run *= len;
        source.pop();
        target.pop();
    }
    let (source, target) = (Walk::new(source), Walk::new(target));
    let (vectors, result_len) = (gather.vectors, gather.result.num_elements()?);
    Ok(FnKernel::new("gather_slices", move |io, _| {
        let from = io.inputs.bytes(0)?;
        let indices = Integers::of(io.inputs, 1)?;
        let to = io.outputs.bytes(0)?;
        if to.len() != result_len * size || indices.len() != vectors.len {
            return Err(wrong_size());
        }
        if to.is_empty() {
            return Ok(());
        }
        for vector in 0..vectors.count {
            let mut start = 0;
            for (position, &axis) in vectors.map.iter().enumerate() {
                let index = indices.get(vectors.at(vector, position));
                start +=
                    usize::try_from(index.max(0)).unwrap_or(usize::MAX).min(limits[axis]) * strides[axis];
            }
            let base = offset_of(vector, &batch);
            for (s, t) in source.clone().zip(target.clone()) {
                let (s, t) = ((start + s) * size, (base + t) * size);
                let from = from.get(s..s + run * size).ok_or_else(wrong_size)?;
                to.get_mut(t..t + run * size).ok_or_else(wrong_size)?.copy_from_slice(from);
            }
        }
        Ok(())
    })
    .boxed())
}
