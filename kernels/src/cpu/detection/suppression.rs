//! Non-maximum suppression of one class, hard or soft.
//!
//! Bodla et al., "Soft-NMS: Improving Object Detection With One Line of Code" (2017); with `sigma` 0 it is the hard one.

use super::heap::Heap;
use super::overlap::{Corners, intersection_over_union};

/// When a box gives way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suppression {
    /// A box that overlaps a chosen one by this much or more is dropped.
    pub overlap: f32,
    /// Boxes must score more than this.
    pub score: f32,
    /// Width of the Gaussian by which the score of an overlapping box decays; 0 for no decay.
    pub sigma: f32,
    /// Most boxes chosen.
    pub most: usize,
}

#[derive(Clone, Copy)]
struct Candidate {
    index: usize,
    score: f32,
    /// How many of the chosen boxes it was compared with already.
    compared: usize,
}

/// The boxes chosen, best first: each one's position and its score, which has decayed where boxes overlap.
///
/// # Panics
/// If `boxes` and `scores` differ in length.
#[must_use]
pub fn suppress(boxes: &[Corners], scores: &[f32], limits: &Suppression) -> Vec<(usize, f32)> {
    assert_eq!(boxes.len(), scores.len(), "one score per box");
    let mut queue = Heap::new(|a: &Candidate, b: &Candidate| a.score < b.score);
    for (index, &score) in scores.iter().enumerate() {
        if score > limits.score {
            queue.push(Candidate { index, score, compared: 0 });
        }
    }
    let most = queue.len().min(limits.most);
    let mut chosen: Vec<(usize, f32)> = Vec::with_capacity(most);
    while chosen.len() < most {
        let Some(mut candidate) = queue.pop() else { break };
        let before = candidate.score;
        let dropped = decay(&mut candidate, &chosen, boxes, limits);
        candidate.compared = chosen.len();
        if dropped {
            continue;
        }
        if candidate.score == before {
            chosen.push((candidate.index, candidate.score));
        }
        if candidate.score > limits.score {
            queue.push(candidate);
        }
    }
    chosen
}

/// Lowers a candidate's score by its overlap with boxes chosen since it was looked at last; whether one drops it.
fn decay(
    candidate: &mut Candidate,
    chosen: &[(usize, f32)],
    boxes: &[Corners],
    limits: &Suppression,
) -> bool {
    let scale = if limits.sigma > 0.0 { -0.5 / limits.sigma } else { 0.0 };
    for &(other, _) in chosen[candidate.compared..].iter().rev() {
        let overlap = intersection_over_union(boxes[candidate.index], boxes[other]);
        if overlap >= limits.overlap {
            return true;
        }
        if limits.sigma > 0.0 {
            candidate.score *= (scale * overlap * overlap).exp();
        }
        if candidate.score <= limits.score {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOXES: [Corners; 4] =
        [[0.0, 0.0, 1.0, 1.0], [0.0, 0.1, 1.0, 1.1], [0.0, 2.0, 1.0, 3.0], [0.0, 0.5, 1.0, 1.5]];
    const SCORES: [f32; 4] = [0.9, 0.8, 0.7, 0.6];

    #[test]
    fn chosen_rows() {
        let hard = Suppression { overlap: 0.5, score: 0.0, sigma: 0.0, most: 10 };
        let rows: &[(&str, Suppression, &[usize])] = &[
            ("overlapping ones go", hard, &[0, 2, 3]),
            ("at most", Suppression { most: 2, ..hard }, &[0, 2]),
            ("score", Suppression { score: 0.65, ..hard }, &[0, 2]),
            ("strict overlap", Suppression { overlap: 0.3, ..hard }, &[0, 2]),
            ("nothing", Suppression { score: 1.0, ..hard }, &[]),
        ];
        for (name, limits, want) in rows {
            let chosen: Vec<usize> = suppress(&BOXES, &SCORES, limits).iter().map(|c| c.0).collect();
            assert_eq!(chosen, *want, "{name}");
        }
    }

    #[test]
    fn soft_suppression_lowers_scores() {
        let soft = Suppression { overlap: 1.0, score: 0.0, sigma: 0.5, most: 10 };
        let chosen = suppress(&BOXES, &SCORES, &soft);
        assert_eq!(chosen.len(), 4);
        assert!(chosen.windows(2).all(|pair| pair[0].1 >= pair[1].1), "{chosen:?}");
        assert_eq!(chosen[..2], [(0, 0.9), (2, 0.7)]);
        assert!(chosen.iter().any(|&(i, score)| i == 1 && score < 0.4));
    }
}
