//! Index vectors of STABLEHLO_GATHER and STABLEHLO_SCATTER.

use ferrolite_kernels::cpu::movement::dense_strides;

use super::attributes;
use crate::error::OpError;
use crate::shape::Shape;

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
