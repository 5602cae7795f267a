//! Storage of sparse constants.

/// How the stored elements of a sparse constant map to its dense shape: a tree of levels, one for each dimension, blocks
/// of the innermost ones being dimensions of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sparsity {
    /// Which dimension each level walks: the tensor's dimensions, then those of a block (`rank..rank + blocks`). A
    /// permutation.
    pub traversal_order: Vec<usize>,
    /// For each dimension of a block, the tensor's dimension it divides.
    pub block_map: Vec<usize>,
    /// Storage of each level, in traversal order.
    pub levels: Vec<SparseLevel>,
}

impl Sparsity {
    /// The elements of the dense tensor of dimensions `shape`, zeros where none is stored. `stored` are the stored
    /// elements of `element` bytes each; `None` if they do not fit this storage.
    pub fn densify(&self, shape: &[usize], element: usize, stored: &[u8]) -> Option<Vec<u8>> {
        let count = shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim))?;
        let mut dense = vec![0; count.checked_mul(element)?];
        let strides = self.strides(shape)?;
        // Where the nodes of the level reached so far begin in the dense tensor.
        let mut places = vec![0_usize];
        for (&dim, level) in self.traversal_order.iter().zip(&self.levels) {
            let &stride = strides.get(dim)?;
            let child = |place: usize, index: usize| index.checked_mul(stride)?.checked_add(place);
            let mut below = Vec::new();
            for (node, &place) in places.iter().enumerate() {
                match level {
                    SparseLevel::Dense { size } => {
                        for index in 0..*size {
                            below.push(child(place, index)?);
                        }
                    }
                    SparseLevel::Csr { segments, indices } => {
                        for position in segments.get(node)?..segments.get(node.checked_add(1)?)? {
                            below.push(child(place, indices.get(position)?)?);
                        }
                    }
                }
            }
            places = below;
        }
        if places.len().checked_mul(element)? != stored.len() {
            return None;
        }
        for (place, from) in places.into_iter().zip(stored.chunks_exact(element)) {
            let start = place.checked_mul(element)?;
            dense.get_mut(start..start.checked_add(element)?)?.copy_from_slice(from);
        }
        Some(dense)
    }

    /// Elements between neighbours in the dense tensor: of the tensor's dimensions, whose neighbours are blocks apart where
    /// there are blocks, then of the blocks'.
    fn strides(&self, shape: &[usize]) -> Option<Vec<usize>> {
        let mut strides = vec![1_usize; shape.len()];
        let mut inner = 1_usize;
        for (stride, &dim) in strides.iter_mut().zip(shape).rev() {
            *stride = inner;
            inner = inner.checked_mul(dim)?;
        }
        let mut of_blocks = Vec::with_capacity(self.block_map.len());
        for (block, &blocked) in self.block_map.iter().enumerate().rev() {
            let level =
                self.traversal_order.iter().position(|&dim| Some(dim) == shape.len().checked_add(block))?;
            let Some(SparseLevel::Dense { size }) = self.levels.get(level) else { return None };
            let stride = strides.get_mut(blocked)?;
            of_blocks.push(*stride);
            *stride = stride.checked_mul(*size)?;
        }
        strides.extend(of_blocks.into_iter().rev());
        Some(strides)
    }
}

/// Storage of one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SparseLevel {
    /// Every index is present.
    Dense {
        /// How many there are.
        size: usize,
    },
    /// Only listed indices are present.
    Csr {
        /// Where each parent's indices begin in `indices`, and the end of the last.
        segments: SparseIndices,
        /// The indices that are present.
        indices: SparseIndices,
    },
}

/// A list of indices with the width the file stores them in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SparseIndices {
    /// 32 bits.
    Int32(Vec<i32>),
    /// 16 bits.
    UInt16(Vec<u16>),
    /// 8 bits.
    UInt8(Vec<u8>),
}

impl SparseIndices {
    /// Number of indices.
    pub fn len(&self) -> usize {
        match self {
            Self::Int32(v) => v.len(),
            Self::UInt16(v) => v.len(),
            Self::UInt8(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index at `position`; `None` past the end, or if it is negative.
    pub fn get(&self, position: usize) -> Option<usize> {
        match self {
            Self::Int32(v) => v.get(position).and_then(|&i| usize::try_from(i).ok()),
            Self::UInt16(v) => v.get(position).map(|&i| usize::from(i)),
            Self::UInt8(v) => v.get(position).map(|&i| usize::from(i)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csr(segments: &[i32], indices: &[i32]) -> SparseLevel {
        SparseLevel::Csr {
            segments: SparseIndices::Int32(segments.to_vec()),
            indices: SparseIndices::Int32(indices.to_vec()),
        }
    }

    #[test]
    fn rows_and_blocks_are_spread() {
        let rows = Sparsity {
            traversal_order: vec![0, 1],
            block_map: Vec::new(),
            levels: vec![SparseLevel::Dense { size: 2 }, csr(&[0, 1, 3], &[2, 0, 1])],
        };
        assert_eq!(rows.densify(&[2, 3], 1, &[7, 8, 9]).unwrap(), [0, 0, 7, 8, 9, 0]);
        assert!(rows.densify(&[2, 3], 1, &[7, 8]).is_none(), "an element is missing");
        // Blocks of 2 by 2, one of two stored.
        let blocks = Sparsity {
            traversal_order: vec![0, 1, 2, 3],
            block_map: vec![0, 1],
            levels: vec![
                SparseLevel::Dense { size: 1 },
                csr(&[0, 1], &[1]),
                SparseLevel::Dense { size: 2 },
                SparseLevel::Dense { size: 2 },
            ],
        };
        assert_eq!(blocks.densify(&[2, 4], 1, &[1, 2, 3, 4]).unwrap(), [0, 0, 1, 2, 0, 0, 3, 4]);
    }
}
