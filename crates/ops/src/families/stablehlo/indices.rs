//! Index vectors of STABLEHLO_GATHER and STABLEHLO_SCATTER, and integers of any type.

use ferrolite_kernels::cpu::movement::dense_strides;

use super::attributes;
use crate::TensorType;
use crate::error::OpError;
use crate::io::Inputs;
use crate::shape::Shape;

/// The elements of an input of integers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Indices<'a> {
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
}

impl<'a> Indices<'a> {
    /// The elements of input `i`.
    ///
    /// # Errors
    /// When it is missing or holds no integers.
    pub fn of(inputs: Inputs<'a>, i: usize) -> Result<Self, OpError> {
        Ok(match inputs.view(i)?.dtype {
            TensorType::Int8 => Self::I8(inputs.get(i)?),
            TensorType::Int16 => Self::I16(inputs.get(i)?),
            TensorType::Int32 => Self::I32(inputs.get(i)?),
            TensorType::UInt8 => Self::U8(inputs.get(i)?),
            TensorType::UInt16 => Self::U16(inputs.get(i)?),
            TensorType::UInt32 => Self::U32(inputs.get(i)?),
            TensorType::UInt64 => Self::U64(inputs.get(i)?),
            _ => Self::I64(inputs.get(i)?),
        })
    }

    /// Number of elements.
    pub fn len(self) -> usize {
        match self {
            Self::I8(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::U8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::U64(v) => v.len(),
        }
    }

    /// Element `i`, which must exist; what is too large for a position of any tensor is cut to the greatest number.
    pub fn get(self, i: usize) -> i64 {
        match self {
            Self::I8(v) => i64::from(v[i]),
            Self::I16(v) => i64::from(v[i]),
            Self::I32(v) => i64::from(v[i]),
            Self::I64(v) => v[i],
            Self::U8(v) => i64::from(v[i]),
            Self::U16(v) => i64::from(v[i]),
            Self::U32(v) => i64::from(v[i]),
            Self::U64(v) => i64::try_from(v[i]).unwrap_or(i64::MAX),
        }
    }
}

/// A tensor of indices as a batch of vectors along one of its dimensions.
pub(super) struct IndexVectors {
    /// The dimensions around the vectors.
    pub batch: Shape,
    /// Number of vectors.
    pub count: usize,
    /// Elements of the tensor.
    pub len: usize,
    /// The dimension that each position of a vector counts along.
    pub map: Vec<usize>,
    /// Elements between two positions of a vector.
    step: usize,
    /// Elements that one position of the vectors takes for each index of the outer dimensions.
    block: usize,
}

impl IndexVectors {
    /// The vectors along dimension `dim` of indices of shape `indices`, which name positions along dimensions `map` of
    /// a tensor of rank `rank`. A dimension that would follow the last stands for vectors of one element.
    ///
    /// # Errors
    /// When a dimension does not exist or the vectors have another length than the map.
    pub fn new(
        indices: &Shape,
        dim: i64,
        map: Option<Vec<i64>>,
        rank: usize,
        what: &str,
    ) -> Result<Self, OpError> {
        let dim = attributes::axis(dim, indices.rank() + 1, "the dimension of the index vectors")?;
        let map = attributes::axes(map, rank, what)?;
        let size = indices.get(dim).copied().unwrap_or(1);
        if size != map.len() {
            return Err(OpError::invalid(format!(
                "{what} has {} entries for index vectors of {size} (dimension {dim} of {indices}): export the model again",
                map.len()
            )));
        }
        let batch: Shape =
            indices.iter().enumerate().filter(|&(axis, _)| axis != dim).map(|(_, &d)| d).collect();
        let step = dense_strides(indices).get(dim).map_or(1, |&s| s as usize);
        Ok(Self {
            count: batch.num_elements()?,
            batch,
            len: indices.num_elements()?,
            block: step * size,
            map,
            step,
        })
    }

    /// The element of the indices that is position `position` of vector `vector`.
    pub fn at(&self, vector: usize, position: usize) -> usize {
        vector / self.step * self.block + vector % self.step + position * self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_along_any_dimension() {
        let shape = Shape::from([2, 3, 4]);
        type Row = (i64, &'static [i64], Option<(usize, usize)>);
        // Count of vectors, and the element that is the last position of the last vector.
        let rows: &[Row] = &[
            (2, &[0, 1, 2, 3], Some((6, 23))),
            (0, &[1, 0], Some((12, 23))),
            (1, &[0, 2, 1], Some((8, 23))),
            (3, &[2], Some((24, 23))),
            (4, &[0], None),
            (-1, &[0], None),
            (2, &[0, 1, 2], None),
            (0, &[0, 9], None),
        ];
        for &(dim, map, want) in rows {
            let vectors = IndexVectors::new(&shape, dim, Some(map.to_vec()), 4, "it").ok();
            let got = vectors.map(|v| (v.count, v.at(v.count - 1, v.map.len() - 1)));
            assert_eq!(got, want, "dimension {dim}");
        }
        let first = IndexVectors::new(&shape, 1, Some(vec![0, 1, 2]), 3, "it").unwrap();
        assert_eq!([first.at(0, 1), first.at(1, 0), first.at(4, 2)], [4, 1, 20]);
    }
}
