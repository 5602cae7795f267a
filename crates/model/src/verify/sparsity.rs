//! Sparse storage fits its tensor.

use crate::error::{ModelError, bail};
use crate::graph::Tensor;
use crate::load::LoadOptions;
use crate::sparsity::{SparseIndices, SparseLevel, Sparsity};

/// Checks the storage and returns how many elements it holds.
pub(super) fn verify(
    sparsity: &Sparsity,
    tensor: &Tensor,
    options: &LoadOptions,
) -> Result<usize, ModelError> {
    match tensor.byte_len() {
        Some(bytes) if bytes <= options.max_densified_bytes => {}
        bytes => bail!(
            Limit,
            "a sparse constant of {} bytes once dense; raise LoadOptions::max_densified_bytes from {} if it is meant",
            bytes.unwrap_or(usize::MAX),
            options.max_densified_bytes
        ),
    }
    let sizes = level_sizes(sparsity, tensor)?;
    let mut stored = 1_usize;
    for (&dim, level) in sparsity.traversal_order.iter().zip(&sparsity.levels) {
        let size = sizes.get(dim).copied().unwrap_or_default();
        stored = match level {
            SparseLevel::Dense { size: stated } if *stated == size => stored.saturating_mul(size),
            SparseLevel::Dense { size: stated } => {
                bail!(
                    Sparsity,
                    "dimension {dim} has {size} indices, its storage {stated}; export the model again"
                )
            }
            SparseLevel::Csr { segments, indices } => {
                verify_csr(segments, indices, stored, size)
                    .map_err(|what| broken(format!("{what} of dimension {dim} {BROKEN}")))?;
                indices.len()
            }
        };
    }
    Ok(stored)
}

const BROKEN: &str = "do not describe a sparse constant; export the model again";

fn broken(message: String) -> ModelError {
    ModelError::new(crate::error::ModelErrorKind::Sparsity, message)
}

/// The number of indices of each dimension of the storage: the tensor's dimensions, divided by their blocks, then the
/// blocks' own.
fn level_sizes(sparsity: &Sparsity, tensor: &Tensor) -> Result<Vec<usize>, ModelError> {
    let Sparsity { traversal_order, block_map, levels } = sparsity;
    let rank = tensor.shape.len();
    let total = rank.saturating_add(block_map.len());
    let places = inverse(traversal_order, total).filter(|_| levels.len() == total);
    let Some(places) = places else {
        bail!(
            Sparsity,
            "traversal order {traversal_order:?} over {} levels, where shape {:?} and {} block dimensions need a \
             permutation of {total}; export the model again",
            levels.len(),
            tensor.shape,
            block_map.len()
        );
    };
    // The tensor's own dimensions come first, each block inside its element.
    let mut sizes = tensor.shape.clone();
    for (block, &blocked) in (rank..).zip(block_map) {
        let level = places.get(block).and_then(|&place| levels.get(place));
        let Some(SparseLevel::Dense { size: block_size }) = level else {
            return Err(broken(format!("the levels of block dimension {block} {BROKEN}")));
        };
        match sizes.get_mut(blocked).filter(|_| blocked < rank) {
            Some(size) if *block_size > 0 && size.is_multiple_of(*block_size) => *size /= block_size,
            _ => bail!(
                Sparsity,
                "blocks of {block_size} do not divide dimension {blocked} of shape {:?}; export the model again",
                tensor.shape
            ),
        }
        sizes.push(*block_size);
    }
    Ok(sizes)
}

/// Where each dimension stands in `order`; `None` unless that is a permutation of `0..len`.
fn inverse(order: &[usize], len: usize) -> Option<Vec<usize>> {
    if order.len() != len {
        return None;
    }
    let mut places = vec![None; len];
    for (place, &dim) in order.iter().enumerate() {
        if places.get_mut(dim)?.replace(place).is_some() {
            return None;
        }
    }
    places.into_iter().collect()
}

/// Each of `parents` has a run of rising indices below `size`. The error names what is wrong.
fn verify_csr(
    segments: &SparseIndices,
    indices: &SparseIndices,
    parents: usize,
    size: usize,
) -> Result<(), &'static str> {
    if Some(segments.len()) != parents.checked_add(1) || segments.get(0) != Some(0) {
        return Err("the segments");
    }
    let mut start = 0;
    for segment in 1..segments.len() {
        let end = segments
            .get(segment)
            .filter(|end| (start..=indices.len()).contains(end))
            .ok_or("the segments")?;
        let mut least = 0;
        for position in start..end {
            let index =
                indices.get(position).filter(|index| (least..size).contains(index)).ok_or("the indices")?;
            least = index.saturating_add(1);
        }
        start = end;
    }
    if start == indices.len() { Ok(()) } else { Err("the segments") }
}
