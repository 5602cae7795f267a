//! Boxes and how much they overlap.

/// Two opposite corners of a box: y, x, y, x.
pub type Corners = [f32; 4];

/// Area of the intersection of two boxes divided by the area of their union; 0 if either box has no area. Corners may
/// come in any order.
#[must_use]
pub fn intersection_over_union(a: Corners, b: Corners) -> f32 {
    let [(a_top, a_bottom), (b_top, b_bottom)] = [a, b].map(|c| (c[0].min(c[2]), c[0].max(c[2])));
    let [(a_left, a_right), (b_left, b_right)] = [a, b].map(|c| (c[1].min(c[3]), c[1].max(c[3])));
    let a_area = (a_bottom - a_top) * (a_right - a_left);
    let b_area = (b_bottom - b_top) * (b_right - b_left);
    if a_area <= 0.0 || b_area <= 0.0 {
        return 0.0;
    }
    let height = (a_bottom.min(b_bottom) - a_top.max(b_top)).max(0.0);
    let width = (a_right.min(b_right) - a_left.max(b_left)).max(0.0);
    let shared = height * width;
    shared / (a_area + b_area - shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_rows() {
        type Row = (&'static str, Corners, Corners, f32);
        let rows: &[Row] = &[
            ("same", [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], 1.0),
            ("corners swapped", [1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], 1.0),
            ("half", [0.0, 0.0, 1.0, 2.0], [0.0, 1.0, 1.0, 2.0], 0.5),
            ("apart", [0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0], 0.0),
            ("no area", [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], 0.0),
        ];
        for &(name, a, b, want) in rows {
            assert_eq!(intersection_over_union(a, b), want, "{name}");
            assert_eq!(intersection_over_union(b, a), want, "{name}, the other way round");
        }
    }
}
