//! Products of 16-bit numbers with 16-bit numbers, in sums of 64 bits.

use super::exact::StoreExact;
use super::store::Store;
use crate::par::Par;

/// A matrix of 16-bit numbers, element `(i, k)` at `i * stride + k * depth_stride`.
#[derive(Copy, Clone, Debug)]
pub struct WordMatrix<'a> {
    /// The elements.
    pub data: &'a [i16],
    /// Number of rows (of the left matrix) or of columns (of the right one).
    pub count: usize,
    /// Distance between them.
    pub stride: usize,
    /// Distance between their elements.
    pub depth_stride: usize,
}

impl WordMatrix<'_> {
    /// The product of row or column `i` of this and `j` of another matrix.
    #[inline]
    fn dot(&self, i: usize, other: &Self, j: usize, depth: usize) -> i64 {
        let (a, b) = (&self.data[i * self.stride..], &other.data[j * other.stride..]);
        if self.depth_stride == 1 && other.depth_stride == 1 {
            return a[..depth]
                .iter()
                .zip(&b[..depth])
                .map(|(&a, &b)| i64::from(i32::from(a) * i32::from(b)))
                .sum();
        }
        (0..depth)
            .map(|k| i64::from(i32::from(a[k * self.depth_stride]) * i32::from(b[k * other.depth_stride])))
            .sum()
    }
}

/// Columns finished at a time.
const COLS: usize = 16;

/// Multiplies each row of `left` with each column of `right` over `depth` elements and gives the sums to `store` as
/// wide ones.
///
/// # Panics
/// If a matrix is shorter than its sizes say.
pub fn multiply_words(
    left: WordMatrix<'_>,
    right: WordMatrix<'_>,
    depth: usize,
    store: &StoreExact<'_>,
    par: Par,
) {
    par.for_each_tile(left.count, |row| {
        for first in (0..right.count).step_by(COLS) {
            let mut sums = [0; COLS];
            let sums = &mut sums[..COLS.min(right.count - first)];
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = left.dot(row, &right, first + i, depth);
            }
            store.store_wide(row, first, sums);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::fixed::{WideFixedPoint, WideRounding};
    use super::super::store::Target;
    use super::*;

    #[test]
    fn either_order_of_elements() {
        let left: Vec<i16> = (0..6).map(|i| i * 1000 - 2000).collect();
        let right: Vec<i16> = (0..12).map(|i| 3000 - i * 500).collect();
        let fixed =
            WideFixedPoint::new(&[1.0 / 4096.0], &[0], 4, WideRounding::Fixed, -32768, 32767).unwrap();
        for (stride, depth_stride) in [(3, 1), (1, 4)] {
            let mut out = [0; 8];
            let store = StoreExact::Words(&fixed, Target::new(&mut out, 0, 4));
            multiply_words(
                WordMatrix { data: &left, count: 2, stride: 3, depth_stride: 1 },
                WordMatrix { data: &right, count: 4, stride, depth_stride },
                3,
                &store,
                Par::new(2),
            );
            for (i, &got) in out.iter().enumerate() {
                let sum: i64 = (0..3)
                    .map(|k| {
                        i64::from(left[i / 4 * 3 + k]) * i64::from(right[i % 4 * stride + k * depth_stride])
                    })
                    .sum();
                assert_eq!(i64::from(got), (sum + 2048) >> 12, "element {i}");
            }
        }
    }
}
