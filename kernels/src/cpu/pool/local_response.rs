//! Normalization of channels by their neighbours.

use crate::par::Par;

/// Elements that make one tile of work.
const TILE: usize = 4 << 10;

/// Parameters of the normalization: each element is divided by `(bias + alpha * s)^beta`, where `s` is the sum of the
/// squares of the channels at most `radius` away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponse {
    /// Channels on either side that count.
    pub radius: usize,
    /// Added to the scaled sum.
    pub bias: f32,
    /// Factor of the sum.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
}

/// Normalizes rows of `channels` elements.
///
/// # Panics
/// If the operands differ in length or do not consist of rows.
pub fn local_response(par: Par, params: LocalResponse, channels: usize, src: &[f32], dst: &mut [f32]) {
    assert_eq!(src.len(), dst.len(), "the result has the source's size");
    if src.is_empty() {
        return;
    }
    assert!(src.len().is_multiple_of(channels), "the operands consist of rows");
    let chunk = (TILE / channels).max(1) * channels;
    par.chunks_mut(dst, chunk, |tile, dst| {
        let src = &src[tile * chunk..][..dst.len()];
        for (from, to) in src.chunks_exact(channels).zip(dst.chunks_exact_mut(channels)) {
            for (i, to) in to.iter_mut().enumerate() {
                let end = i.saturating_add(params.radius).saturating_add(1).min(channels);
                let sum: f32 = from[i.saturating_sub(params.radius)..end].iter().map(|x| x * x).sum();
                let scale = params.bias + params.alpha * sum;
                *to = if params.beta == 1.0 {
                    from[i] / scale
                } else if params.beta == 0.5 {
                    from[i] / scale.sqrt()
                } else {
                    from[i] * libm::powf(scale, -params.beta)
                };
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_count_within_the_row() {
        let src = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        for beta in [1.0, 0.5, 0.75] {
            let params = LocalResponse { radius: 1, bias: 2.0, alpha: 0.5, beta };
            let mut got = [0.0; 6];
            local_response(Par::new(2), params, 3, &src, &mut got);
            // Sums of squares: 1+4, 1+4+9, 4+9 and 16+25, 16+25+36, 25+36.
            let sums = [5.0f32, 14.0, 13.0, 41.0, 77.0, 61.0];
            for i in 0..6 {
                let want = src[i] / (2.0 + 0.5 * sums[i]).powf(beta);
                assert!(
                    (got[i] - want).abs() < 1e-6,
                    "beta {beta}, element {i}: {} instead of {want}",
                    got[i]
                );
            }
        }
    }
}
