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
