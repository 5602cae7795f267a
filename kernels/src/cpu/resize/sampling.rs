//! Which source positions a position of a resized axis is made of.

/// How the positions of the two axes correspond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corners {
    /// Position 0 is position 0, and steps have the ratio of the lengths.
    Legacy,
    /// The first and the last positions fall together.
    Align,
    /// Positions are centres of pixels: half a pixel in from the edge on both sides.
    HalfPixel,
}

/// Two source positions and the weight of the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap<W> {
    /// The lower position.
    pub low: usize,
    /// The upper position.
    pub high: usize,
    /// Share of the upper one.
    pub weight: W,
}

/// Source steps per result step.
fn scale(corners: Corners, source: usize, result: usize) -> f32 {
    match corners {
        Corners::Align if result > 1 => source.saturating_sub(1) as f32 / (result - 1) as f32,
        _ => source as f32 / result as f32,
    }
}

/// The taps of an axis of `result` positions over one of `source > 0`, with weights in `0.0..=1.0`.
pub(super) fn taps(corners: Corners, source: usize, result: usize) -> Vec<Tap<f32>> {
    // An axis of one position cannot align two corners; it starts at position 0.
    let step = match corners {
        Corners::Align if result == 1 => source as f32,
        _ => scale(corners, source, result),
    };
    let offset = if corners == Corners::HalfPixel { 0.5 * step - 0.5 } else { 0.0 };
    let last = source - 1;
    (0..result)
        .map(|i| {
            let at = (i as f32 * step + offset).max(0.0).min(last as f32);
            let low = at as usize;
            Tap { low, high: (low + 1).min(last), weight: at - low as f32 }
        })
        .collect()
}

/// The taps of an axis in fixed point with ten fractional bits.
pub(super) fn taps_fixed10(corners: Corners, source: usize, result: usize) -> Vec<Tap<i32>> {
    let (source_len, result_len) = (source as i64, result as i64);
    let step = match corners {
        Corners::Align if result > 1 => (1024 * (source_len - 1) + (result_len - 1) / 2) / (result_len - 1),
        _ => (1024 * source_len + result_len / 2) / result_len,
    };
    let last = source_len - 1;
    (0..result_len)
        .map(|i| {
            let at = i * step + if corners == Corners::HalfPixel { step / 2 - 512 } else { 0 };
            let low = (at / 1024).clamp(0, last);
            let high = ((at + 1023) / 1024).clamp(low, last);
            Tap { low: low as usize, high: high as usize, weight: (at - 1024 * low) as i32 }
        })
        .collect()
}

/// For each of `result` positions the source position nearest to it.
///
/// `align_corners` and `half_pixel` may both be set, which centres positions and scales by the last ones.
#[must_use]
pub fn nearest_positions(align_corners: bool, half_pixel: bool, source: usize, result: usize) -> Vec<usize> {
    let step = scale(if align_corners { Corners::Align } else { Corners::Legacy }, source, result);
    let offset = if half_pixel { 0.5 } else { 0.0 };
    let last = source.saturating_sub(1);
    (0..result)
        .map(|i| {
            let at = (i as f32 + offset) * step;
            let at = if align_corners { at.round() } else { at.floor() };
            (at as usize).min(last)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rows() {
        type Row = (&'static str, bool, bool, usize, usize, &'static [usize]);
        let rows: &[Row] = &[
            ("double", false, false, 3, 6, &[0, 0, 1, 1, 2, 2]),
            ("half", false, false, 6, 3, &[0, 2, 4]),
            ("half, centres", false, true, 6, 3, &[1, 3, 5]),
            ("aligned", true, false, 3, 5, &[0, 1, 1, 2, 2]),
            ("to one", true, false, 4, 1, &[0]),
        ];
        for (name, align, half, source, result, want) in rows {
            assert_eq!(nearest_positions(*align, *half, *source, *result), *want, "{name}");
        }
    }

    #[test]
    fn taps_stay_inside() {
        for corners in [Corners::Legacy, Corners::Align, Corners::HalfPixel] {
            for source in 1..8 {
                for result in 1..20 {
                    let taps = taps(corners, source, result);
                    assert!(taps.iter().all(|t| t.high < source && t.low <= t.high));
                    assert!(
                        taps.iter().all(|t| (0.0..=1.0).contains(&t.weight)),
                        "{corners:?} {source} {result}"
                    );
                    let fixed = taps_fixed10(corners, source, result);
                    assert!(fixed.iter().all(|t| t.high < source && t.low <= t.high));
                }
            }
        }
    }
}
