//! What the tests of several kernels share.

use crate::cpu::float::epilogue::Activation;
use crate::par::Par;

/// Numbers in -1..1 that look random and are the same in every run.
pub(crate) fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Activations every fused kernel is tested with.
pub(crate) const ACTIVATIONS: [Activation; 9] = [
    Activation::None,
    Activation::RELU6,
    Activation::HardSwish,
    Activation::LeakyRelu { alpha: 0.25 },
    Activation::Sigmoid,
    Activation::Swish,
    Activation::Tanh,
    Activation::Gelu { approximate: false },
    Activation::Gelu { approximate: true },
];

/// What `epilogue` makes of plain sums.
pub(crate) fn finish(sums: &[f32], residual: Option<&[f32]>, activation: Activation) -> Vec<f32> {
    let residual = |i: usize| residual.map_or(0.0, |r| r[i]);
    sums.iter().enumerate().map(|(i, &sum)| activation.of(sum + residual(i))).collect()
}

/// The first element that is further away than rounding over `terms` terms explains.
pub(crate) fn difference(got: &[f32], want: &[f32], terms: usize) -> Option<String> {
    if got.len() != want.len() {
        return Some(format!("{} elements, want {}", got.len(), want.len()));
    }
    let tolerance = 1e-6 * (terms as f32 + 4.0);
    let at = got
        .iter()
        .zip(want)
        .position(|(g, w)| (g - w).abs().partial_cmp(&tolerance) != Some(core::cmp::Ordering::Less))?;
    Some(format!("element {at}: {} instead of {}", got[at], want[at]))
}

/// Runs `compute` with 1, 2 and 4 threads and says whether a bit differs.
pub(crate) fn thread_difference(compute: impl Fn(Par) -> Vec<f32>) -> Option<String> {
    let bits = |out: Vec<f32>| out.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let serial = bits(compute(Par::serial()));
    [2, 4]
        .into_iter()
        .find(|&threads| bits(compute(Par::new(threads))) != serial)
        .map(|t| format!("{t} threads give other bits"))
}
