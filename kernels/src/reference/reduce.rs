//! Reduction, one element at a time.

use crate::cpu::reduce::Reduction;

/// Reduces the axes of `src` where `reduced` holds.
pub fn reduce<R: Reduction>(reduction: R, shape: &[usize], reduced: &[bool], src: &[R::In]) -> Vec<R::Out> {
    let kept = |i: usize| if reduced[i] { 1 } else { shape[i] };
    let len = (0..shape.len()).map(kept).product();
    let mut accs = vec![reduction.start(); len];
    for (flat, &x) in src.iter().enumerate() {
        let (mut rest, mut index, mut stride) = (flat, 0, 1);
        for i in (0..shape.len()).rev() {
            if !reduced[i] {
                index += rest % shape[i] * stride;
            }
            rest /= shape[i];
            stride *= kept(i);
        }
        accs[index] = R::step(accs[index], x);
    }
    accs.into_iter().map(|acc| reduction.finish(acc)).collect()
}
