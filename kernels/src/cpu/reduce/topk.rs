//! The greatest elements of rows.

/// Writes the positions of the `order.len().min(k)` greatest elements of `row` to the front of `order`, greatest first;
/// of equal elements the one at the lower position comes first. `order` must be as long as the row.
///
/// Elements that compare with nothing (NaN) come after all others.
///
/// # Panics
/// If `order` and `row` differ in length or the row is longer than `u32` counts.
pub fn top_k<T: Copy + PartialOrd>(row: &[T], k: usize, order: &mut [u32]) {
    assert_eq!(row.len(), order.len(), "one position per element");
    assert!(u32::try_from(row.len()).is_ok(), "positions are 32 bits wide");
    for (i, at) in order.iter_mut().enumerate() {
        *at = i as u32;
    }
    let lost = |x: T| x.partial_cmp(&x).is_none();
    let greatest_first = |&a: &u32, &b: &u32| {
        let (x, y) = (row[a as usize], row[b as usize]);
        y.partial_cmp(&x).unwrap_or_else(|| lost(x).cmp(&lost(y))).then(a.cmp(&b))
    };
    if k == 0 {
        return;
    }
    if k < order.len() {
        order.select_nth_unstable_by(k - 1, greatest_first);
    }
    let k = k.min(order.len());
    order[..k].sort_unstable_by(greatest_first);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_keep_their_order() {
        let row = [3, 9, 1, 9, 3, 7];
        let rows: &[(usize, &[u32])] =
            &[(0, &[]), (1, &[1]), (3, &[1, 3, 5]), (4, &[1, 3, 5, 0]), (6, &[1, 3, 5, 0, 4, 2])];
        for &(k, want) in rows {
            let mut order = [0; 6];
            top_k(&row, k, &mut order);
            assert_eq!(&order[..k], want, "k = {k}");
        }
    }

    #[test]
    fn nan_comes_last() {
        let mut row: Vec<f32> = (0..100).map(|i| (i * 37 % 101) as f32).collect();
        row[7] = f32::NAN;
        row[60] = f32::NAN;
        let mut order = vec![0; 100];
        top_k(&row, 5, &mut order);
        assert!(!order[..5].contains(&7) && !order[..5].contains(&60));
        top_k(&row, 100, &mut order);
        assert_eq!(order[98..], [7, 60]);
    }
}
