//! Reading of attributes: lists of axes, sizes and positions that come from the file and may say anything.

use crate::error::OpError;
use crate::shape::Shape;

/// An axis of a tensor of `rank` dimensions; StableHLO does not count from the end.
pub(super) fn axis(value: i64, rank: usize, what: &str) -> Result<usize, OpError> {
    usize::try_from(value).ok().filter(|&axis| axis < rank).ok_or_else(|| {
        OpError::invalid(format!(
            "{what} names dimension {value} of a tensor of rank {rank}: export the model again"
        ))
    })
}

/// Distinct axes.
pub(super) fn axes(values: Option<Vec<i64>>, rank: usize, what: &str) -> Result<Vec<usize>, OpError> {
    let values = values.unwrap_or_default();
    let axes: Vec<usize> = values.iter().map(|&v| axis(v, rank, what)).collect::<Result<_, _>>()?;
    if (1..axes.len()).any(|i| axes[..i].contains(&axes[i])) {
        return Err(OpError::invalid(format!(
            "{what} {values:?} names a dimension twice: export the model again"
        )));
    }
    Ok(axes)
}

/// Distinct axes in rising order.
pub(super) fn rising_axes(values: Option<Vec<i64>>, rank: usize, what: &str) -> Result<Vec<usize>, OpError> {
    let axes = axes(values, rank, what)?;
    if axes.is_sorted() {
        return Ok(axes);
    }
    Err(OpError::invalid(format!("{what} {axes:?} must rise: export the model again")))
}

/// One whole number per axis, `default` for each if there is no list.
pub(super) fn per_axis(
    values: Option<Vec<i64>>,
    rank: usize,
    default: i64,
    what: &str,
) -> Result<Vec<i64>, OpError> {
    let values = values.unwrap_or_default();
    if values.is_empty() {
        return Ok(vec![default; rank]);
    }
    if values.len() == rank {
        return Ok(values);
    }
    Err(OpError::invalid(format!(
        "{what} has {} entries where the tensor has {rank} dimensions: export the model again",
        values.len()
    )))
}

/// One count of at least `least` per axis.
pub(super) fn counts(
    values: Option<Vec<i64>>,
    rank: usize,
    (least, default): (usize, i64),
    what: &str,
) -> Result<Vec<usize>, OpError> {
    let values = per_axis(values, rank, default, what)?;
    let count = |&v: &i64| usize::try_from(v).ok().filter(|&v| v >= least);
    let counts: Option<Vec<usize>> = values.iter().map(count).collect();
    counts.ok_or_else(|| {
        OpError::invalid(format!("{what} {values:?} must be {least} or more: export the model again"))
    })
}

/// Two whole numbers per axis, both zero if there is no list.
pub(super) fn pairs(values: Option<Vec<i64>>, rank: usize, what: &str) -> Result<Vec<(i64, i64)>, OpError> {
    let values = values.unwrap_or_default();
    if values.is_empty() {
        return Ok(vec![(0, 0); rank]);
    }
    if values.len() == 2 * rank {
        return Ok(values.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect());
    }
    Err(OpError::invalid(format!(
        "{what} has {} entries where two for each of {rank} dimensions are due: export the model again",
        values.len()
    )))
}

/// A shape of these sizes whose elements can be counted.
pub(super) fn shape(dims: impl IntoIterator<Item = usize>) -> Result<Shape, OpError> {
    let shape: Shape = dims.into_iter().collect();
    shape.num_elements()?;
    Ok(shape)
}

/// The length of an axis when `dilation - 1` positions are put between its elements.
pub(super) fn dilated(len: usize, dilation: usize) -> Option<i64> {
    let Some(gaps) = len.checked_sub(1) else { return Some(0) };
    i64::try_from(gaps.checked_mul(dilation)?.checked_add(1)?).ok()
}

/// The positions of a window along one axis: how it lies over the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Elements of the axis.
    pub len: usize,
    /// Positions of the window.
    pub size: usize,
    /// Steps between two results.
    pub stride: usize,
    /// Steps between two elements; the positions in between are padding.
    pub base_dilation: usize,
    /// Steps between two positions of the window.
    pub dilation: usize,
    /// Positions of padding before and after; negative ones take elements away.
    pub padding: (i64, i64),
}

impl Window {
    /// Number of results.
    ///
    /// # Errors
    /// When a number does not fit.
    pub fn results(self) -> Result<usize, OpError> {
        let too_large = || OpError::invalid("a window, its padding or its dilation is larger than memory");
        let base = dilated(self.len, self.base_dilation).ok_or_else(too_large)?;
        let (low, high) = self.padding;
        let padded = base.checked_add(low).and_then(|n| n.checked_add(high)).ok_or_else(too_large)?;
        let window = dilated(self.size, self.dilation).ok_or_else(too_large)?;
        let stride = i64::try_from(self.stride).map_err(|_| too_large())?;
        if padded <= 0 || window > padded {
            return Ok(0);
        }
        usize::try_from((padded - window) / stride.max(1) + 1).map_err(|_| too_large())
    }

    /// The element under position `position` of the window for result `result`; `None` for padding.
    ///
    /// Both must be in range and [`Window::results`] must have succeeded, so that nothing here overflows.
    #[inline]
    pub fn element(self, result: usize, position: usize) -> Option<usize> {
        let at = (result * self.stride + position * self.dilation) as i64 - self.padding.0;
        let at = usize::try_from(at).ok()?;
        let element = at / self.base_dilation;
        (at.is_multiple_of(self.base_dilation) && element < self.len).then_some(element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_count_their_results() {
        let plain = Window { len: 5, size: 2, stride: 1, base_dilation: 1, dilation: 1, padding: (0, 0) };
        type Row = (&'static str, Window, Option<usize>);
        let rows: &[Row] = &[
            ("plain", plain, Some(4)),
            ("strided", Window { stride: 2, ..plain }, Some(2)),
            ("dilated", Window { dilation: 4, ..plain }, Some(1)),
            ("too wide", Window { dilation: 5, ..plain }, Some(0)),
            ("padded", Window { padding: (1, 2), ..plain }, Some(7)),
            ("cropped", Window { padding: (-1, -1), ..plain }, Some(2)),
            ("cropped away", Window { padding: (-9, 0), ..plain }, Some(0)),
            ("stretched", Window { base_dilation: 3, ..plain }, Some(12)),
            ("nothing", Window { len: 0, ..plain }, Some(0)),
            ("endless", Window { base_dilation: usize::MAX, ..plain }, None),
            ("far out", Window { padding: (i64::MAX, 1), ..plain }, None),
        ];
        for (name, window, want) in rows {
            assert_eq!(window.results().ok(), *want, "{name}");
        }
    }

    #[test]
    fn windows_find_elements_between_padding() {
        let w = Window { len: 3, size: 2, stride: 1, base_dilation: 2, dilation: 1, padding: (1, 0) };
        let got: Vec<_> = (0..w.results().unwrap()).map(|r| (w.element(r, 0), w.element(r, 1))).collect();
        let want = [(None, Some(0)), (Some(0), None), (None, Some(1)), (Some(1), None), (None, Some(2))];
        assert_eq!(got, want);
        let cropped = Window { padding: (-1, 0), ..w };
        assert_eq!(cropped.element(0, 0), None);
        assert_eq!(cropped.element(1, 0), Some(1));
    }

    #[test]
    fn lists_from_the_file_are_checked() {
        assert_eq!(axes(Some(vec![2, 0]), 3, "it").unwrap(), [2, 0]);
        for bad in [vec![3], vec![-1], vec![0, 0]] {
            assert!(axes(Some(bad.clone()), 3, "it").is_err(), "{bad:?}");
        }
        assert!(rising_axes(Some(vec![2, 0]), 3, "it").is_err());
        assert_eq!(counts(None, 2, (1, 1), "it").unwrap(), [1, 1]);
        for bad in [vec![0, 1], vec![1], vec![1, -4]] {
            assert!(counts(Some(bad.clone()), 2, (1, 1), "it").is_err(), "{bad:?}");
        }
        assert_eq!(pairs(Some(vec![1, -2]), 1, "it").unwrap(), [(1, -2)]);
        assert!(pairs(Some(vec![1]), 1, "it").is_err());
        assert!(shape([usize::MAX, 2]).is_err());
    }
}
