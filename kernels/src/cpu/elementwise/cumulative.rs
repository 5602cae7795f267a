//! Running sums along one dimension.

use bytemuck::Pod;

/// How a running sum goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// Whether an element is left out of its own sum.
    pub exclusive: bool,
    /// Whether sums run from the end.
    pub reverse: bool,
}

/// Fills `out` with the running sums of `input` along a dimension of `len` elements, `inner` apart.
///
/// # Panics
/// If the lengths differ or are not a multiple of `len * inner`.
pub fn cumulative_sum<T: Pod>(
    input: &[T],
    out: &mut [T],
    len: usize,
    inner: usize,
    direction: Direction,
    add: impl Fn(T, T) -> T,
) {
    assert_eq!(input.len(), out.len());
    if input.is_empty() {
        return;
    }
    let block = len * inner;
    assert!(input.len().is_multiple_of(block));
    for (input, out) in input.chunks_exact(block).zip(out.chunks_exact_mut(block)) {
        let place = |step: usize| if direction.reverse { len - 1 - step } else { step } * inner;
        if inner == 1 {
            // The sum stays in a register.
            let mut sum = direction.exclusive.then(T::zeroed);
            for at in (0..len).map(place) {
                let next = sum.map_or(input[at], |sum| add(sum, input[at]));
                out[at] = if direction.exclusive { sum.unwrap_or(next) } else { next };
                sum = Some(next);
            }
            continue;
        }
        for step in 0..len {
            let to = place(step);
            let before = step.checked_sub(1).map(place);
            for i in 0..inner {
                let own = input[to + i];
                out[to + i] = match before {
                    None if direction.exclusive => T::zeroed(),
                    None => own,
                    Some(before) if direction.exclusive => add(out[before + i], input[before + i]),
                    Some(before) => add(out[before + i], own),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_direction() {
        let rows = [
            ("plain", false, false, [1, 2, 4, 6, 9, 12]),
            ("exclusive", true, false, [0, 0, 1, 2, 4, 6]),
            ("reverse", false, true, [9, 12, 8, 10, 5, 6]),
            ("both", true, true, [8, 10, 5, 6, 0, 0]),
        ];
        for (name, exclusive, reverse, want) in rows {
            let mut out = [0; 6];
            // Three elements two apart.
            let direction = Direction { exclusive, reverse };
            cumulative_sum(&[1, 2, 3, 4, 5, 6], &mut out, 3, 2, direction, |a, b| a + b);
            assert_eq!(out, want, "{name}");
        }
        for (name, exclusive, reverse, want) in [
            ("plain", false, false, [1, 3, 6, 4, 9, 15]),
            ("exclusive", true, false, [0, 1, 3, 0, 4, 9]),
            ("reverse", false, true, [6, 5, 3, 15, 11, 6]),
            ("both", true, true, [5, 3, 0, 11, 6, 0]),
        ] {
            let mut out = [0; 6];
            let direction = Direction { exclusive, reverse };
            cumulative_sum(&[1, 2, 3, 4, 5, 6], &mut out, 3, 1, direction, |a, b| a + b);
            assert_eq!(out, want, "{name}, neighbours");
        }
        cumulative_sum(&[], &mut [], 0, 3, Direction::default(), |a: i32, b| a + b);
    }
}
