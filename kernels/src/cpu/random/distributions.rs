//! Distributions of random numbers, drawn from the generator as TensorFlow draws them.

use core::f64::consts::PI;

use super::philox::Philox;

/// A number in [0, 1) from the low 23 bits of a word: the mantissa of a float in [1, 2).
fn unit_f32(word: u32) -> f32 {
    f32::from_bits(0x3f80_0000 | (word & 0x007f_ffff)) - 1.0
}

/// A number in [0, 1) from 52 bits of two words.
fn unit_f64(high: u32, low: u32) -> f64 {
    let mantissa = u64::from(high & 0x000f_ffff) << 32 | u64::from(low);
    f64::from_bits(0x3ff0_0000_0000_0000 | mantissa) - 1.0
}

/// Fills `out` with numbers uniform in [0, 1).
pub fn uniform(random: &mut Philox, out: &mut [f32]) {
    for out in out.chunks_mut(4) {
        for (out, word) in out.iter_mut().zip(random.block()) {
            *out = unit_f32(word);
        }
    }
}

/// Two numbers of the standard normal distribution from two words by the Box-Muller transform.
fn box_muller(words: [u32; 2]) -> [f32; 2] {
    /// Keeps the logarithm finite.
    const LEAST: f32 = 1e-7;
    let radius = libm::sqrtf(-2.0 * libm::logf(unit_f32(words[0]).max(LEAST)));
    let angle = (2.0 * PI * f64::from(unit_f32(words[1]))) as f32;
    [libm::sinf(angle) * radius, libm::cosf(angle) * radius]
}

/// Fills `out` with numbers of the standard normal distribution that lie within two standard deviations; others are drawn
/// anew. Every four numbers start from a block of the generator of their own.
pub fn truncated_normal(random: &mut Philox, out: &mut [f32]) {
    const BOUND: f32 = 2.0;
    /// Blocks that TensorFlow sets aside for four numbers.
    const RESERVED: u64 = 256;
    for (group, out) in out.chunks_mut(4).enumerate() {
        let mut own = *random;
        own.skip(group as u64 * RESERVED);
        let mut numbers = core::iter::repeat_with(|| {
            let [a, b, c, d] = own.block();
            [box_muller([a, b]), box_muller([c, d])]
        })
        .flatten()
        .flatten()
        .filter(|x| x.abs() < BOUND);
        for out in out {
            *out = numbers.next().unwrap_or_default();
        }
    }
}

/// Fills `out` with numbers of the standard normal distribution.
pub fn standard_normal(random: &mut Philox, out: &mut [f32]) {
    for out in out.chunks_mut(4) {
        let [a, b, c, d] = random.block();
        let [[p, q], [r, s]] = [box_muller([a, b]), box_muller([c, d])];
        let numbers = [p, q, r, s];
        out.copy_from_slice(&numbers[..out.len()]);
    }
}

/// Draws `samples` classes for each row of `logits` (`[rows, classes]`) with probabilities in proportion to the
/// exponentials of the row, and gives them to `emit` row by row.
///
/// Logits that are not finite count as impossible classes. `cumulative` is working memory for one row.
///
/// # Panics
/// When `cumulative` is shorter than a row.
pub fn multinomial(
    random: &mut Philox,
    logits: &[f32],
    classes: usize,
    samples: usize,
    cumulative: &mut [f64],
    mut emit: impl FnMut(usize),
) {
    /// Words of the generator that TensorFlow sets aside for each sample.
    const RESERVED: u64 = 2 * 256;
    let rows = logits.len().checked_div(classes).unwrap_or(0);
    let mut drawn = *random;
    random.skip(rows as u64 * samples.next_multiple_of(4) as u64 * RESERVED);
    let cumulative = &mut cumulative[..classes];
    let mut words = [0; 4];
    let mut used = words.len();
    for row in logits.chunks_exact(classes.max(1)) {
        let max = row.iter().copied().filter(|x| x.is_finite()).fold(f32::MIN, f32::max);
        let mut total = 0.0;
        for (sum, &logit) in cumulative.iter_mut().zip(row) {
            if logit.is_finite() {
                total += libm::exp(f64::from(logit) - f64::from(max));
            }
            *sum = total;
        }
        for _ in 0..samples {
            if used == words.len() {
                words = drawn.block();
                used = 0;
            }
            let at = unit_f64(words[used], words[used + 1]) * total;
            used += 2;
            emit(cumulative.partition_point(|&sum| sum <= at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let mut random = Philox::new(7, 9);
        let mut out = vec![0f32; 10_001];
        uniform(&mut random, &mut out);
        assert!(out.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = |xs: &[f32]| xs.iter().sum::<f32>() / xs.len() as f32;
        assert!((mean(&out) - 0.5).abs() < 0.02);
        standard_normal(&mut random, &mut out);
        let variance = out.iter().map(|x| x * x).sum::<f32>() / out.len() as f32;
        assert!(mean(&out).abs() < 0.05 && (variance - 1.0).abs() < 0.05);
    }

    #[test]
    fn classes_come_in_proportion() {
        let logits = [0.0, 3f32.ln(), f32::NEG_INFINITY];
        let mut counts = [0; 3];
        multinomial(&mut Philox::new(1, 2), &logits, 3, 4000, &mut [0.0; 3], |class| counts[class] += 1);
        assert_eq!(counts[2], 0);
        assert!((counts[0] as f64 / 4000.0 - 0.25).abs() < 0.03, "{counts:?}");
    }

    #[test]
    fn a_shorter_draw_is_the_start_of_a_longer() {
        let (mut short, mut long) = ([0.0; 6], [0.0; 9]);
        for fill in [uniform, standard_normal] {
            fill(&mut Philox::new(3, 4), &mut short);
            fill(&mut Philox::new(3, 4), &mut long);
            assert_eq!(short, long[..6]);
        }
    }
}
