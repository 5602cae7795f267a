//! Greedy suppression of one class, as detection models end with.

use super::overlap::{Corners, intersection_over_union};

/// The positions of at most `most` boxes, best first: those that score `least` or more, without those that overlap a
/// better one by more than `overlap`. Of equal scores the one at the lower position is the better.
///
/// # Panics
/// If `boxes` and `scores` differ in length.
#[must_use]
pub fn greedy(boxes: &[Corners], scores: &[f32], least: f32, overlap: f32, most: usize) -> Vec<usize> {
    assert_eq!(boxes.len(), scores.len(), "one score per box");
    let mut order: Vec<usize> = (0..boxes.len()).filter(|&i| scores[i] >= least).collect();
    // What is not less than the least compares with everything.
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut chosen: Vec<usize> = Vec::new();
    for i in order {
        if chosen.len() >= most {
            break;
        }
        if chosen.iter().all(|&other| intersection_over_union(boxes[other], boxes[i]) <= overlap) {
            chosen.push(i);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_rows() {
        let boxes = [[0.0, 0.0, 1.0, 1.0], [0.0, 0.1, 1.0, 1.1], [0.0, 2.0, 1.0, 3.0], [5.0, 5.0, 6.0, 6.0]];
        let scores = [0.5, 0.9, 0.5, f32::NAN];
        let rows: &[(&str, f32, f32, usize, &[usize])] = &[
            ("overlapping ones go", 0.0, 0.5, 10, &[1, 2]),
            ("overlap allowed", 0.0, 1.0, 10, &[1, 0, 2]),
            ("at most", 0.0, 1.0, 2, &[1, 0]),
            ("score", 0.6, 1.0, 10, &[1]),
        ];
        for &(name, least, overlap, most, want) in rows {
            assert_eq!(greedy(&boxes, &scores, least, overlap, most), want, "{name}");
        }
    }
}
