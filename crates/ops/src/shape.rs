//! Tensor shapes: a short list of dimensions with checked arithmetic.

use core::fmt;
use core::ops::Deref;

use smallvec::SmallVec;

use crate::error::OpError;

/// The dimensions of a tensor, outermost first; rank 0 is a scalar with one element.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Shape(SmallVec<[usize; 6]>);

impl Shape {
    /// The shape of a scalar: rank 0, one element.
    #[must_use]
    pub fn scalar() -> Self {
        Self::default()
    }

    /// A shape with the given dimensions.
    #[must_use]
    pub fn new(dims: &[usize]) -> Self {
        Self(SmallVec::from_slice(dims))
    }

    /// The dimensions, outermost first.
    #[inline]
    #[must_use]
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// Number of dimensions.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements.
    ///
    /// # Errors
    /// When the product of the dimensions does not fit in `usize`.
    pub fn num_elements(&self) -> Result<usize, OpError> {
        // A zero makes the product zero whatever the other dimensions are.
        if self.0.contains(&0) {
            return Ok(0);
        }
        self.0
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d))
            .ok_or_else(|| OpError::invalid(format!("the shape {self} has more elements than fit in memory")))
    }

    /// Appends a dimension at the inner end.
    pub fn push(&mut self, dim: usize) {
        self.0.push(dim);
    }

    /// The dimension `axis`, counted from the end if negative.
    ///
    /// # Errors
    /// When `axis` is outside `-rank..rank`.
    pub fn axis(&self, axis: i64) -> Result<usize, OpError> {
        resolve_axis(axis, self.rank())
    }

    /// The shape that NumPy-style broadcasting of `self` and `other` gives.
    ///
    /// # Errors
    /// When two dimensions differ and neither is 1.
    pub fn broadcast(&self, other: &Shape) -> Result<Shape, OpError> {
        let rank = self.rank().max(other.rank());
        let mut out = Shape::scalar();
        for i in 0..rank {
            let a = dim_from_end(self, rank - 1 - i);
            let b = dim_from_end(other, rank - 1 - i);
            out.push(match (a, b) {
                _ if a == b => a,
                (1, _) => b,
                (_, 1) => a,
                _ => {
                    return Err(OpError::invalid(format!(
                        "the shapes {self} and {other} do not broadcast: make dimension {i} equal or 1"
                    )));
                }
            });
        }
        Ok(out)
    }
}

fn dim_from_end(shape: &Shape, from_end: usize) -> usize {
    let rank = shape.rank();
    if from_end < rank { shape.0[rank - 1 - from_end] } else { 1 }
}

/// Turns an axis that may count from the end into an index below `rank`.
///
/// # Errors
/// When `axis` is outside `-rank..rank`.
pub fn resolve_axis(axis: i64, rank: usize) -> Result<usize, OpError> {
    let n = rank as i64;
    let i = if axis < 0 { axis + n } else { axis };
    if (0..n).contains(&i) {
        Ok(i as usize)
    } else {
        Err(OpError::invalid(format!("axis {axis} is outside a tensor of rank {rank}")))
    }
}

impl Deref for Shape {
    type Target = [usize];

    #[inline]
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self::new(dims)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self::new(&dims)
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{d}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_rows() {
        type Row = (&'static str, &'static [usize], &'static [usize], Option<&'static [usize]>);
        let rows: &[Row] = &[
            ("equal", &[2, 3], &[2, 3], Some(&[2, 3])),
            ("scalar", &[], &[2, 3], Some(&[2, 3])),
            ("inner one", &[2, 1], &[2, 3], Some(&[2, 3])),
            ("both ways", &[2, 1, 4], &[3, 1], Some(&[2, 3, 4])),
            ("zero", &[0, 3], &[1, 3], Some(&[0, 3])),
            ("clash", &[2], &[3], None),
        ];
        for (name, a, b, want) in rows {
            let got = Shape::new(a).broadcast(&Shape::new(b)).ok();
            assert_eq!(got.as_deref(), *want, "{name}");
        }
    }

    #[test]
    fn element_count_is_checked() {
        assert_eq!(Shape::new(&[0, usize::MAX, 2]).num_elements().unwrap(), 0);
        assert!(Shape::new(&[usize::MAX, 2]).num_elements().is_err());
        assert_eq!(Shape::scalar().num_elements().unwrap(), 1);
    }
}
