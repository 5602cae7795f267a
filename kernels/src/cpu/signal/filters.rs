//! Mel filters in integers.

use super::fixed_fft::Complex16;
use super::frontend::{FrontendSettings, WEIGHT_BITS};

/// Triangular filters over the squared magnitudes of a spectrum. A bin belongs to a channel with one weight and to the next one
/// with the rest.
#[derive(Clone, Debug)]
pub(super) struct Filters {
    /// The first bin used, and of each channel the bins' weights, and their weights in the next channel.
    first: usize,
    channels: Vec<Vec<(i16, i16)>>,
}

fn mel(frequency: f32) -> f32 {
    (1127.0 * libm::log1p(f64::from(frequency) / 700.0)) as f32
}

impl Filters {
    /// `None` if there are no channels, or the band does not rise from zero or more within the spectrum.
    pub fn new(settings: &FrontendSettings, bins: usize) -> Option<Self> {
        let (low, high) = settings.band;
        let count = settings
            .channels
            .checked_add(1)
            .filter(|_| settings.channels > 0 && settings.channels <= 1 << 12)?;
        if !(low >= 0.0 && high > low && high.is_finite()) || bins < 2 {
            return None;
        }
        let (mel_low, mel_high) = (mel(low), mel(high));
        let spacing = (mel_high - mel_low) / count as f32;
        let centre = |channel: usize| mel_low + spacing * (channel + 1) as f32;
        let width = (0.5 * f64::from(settings.rate) / f64::from(bins as f32 - 1.0)) as f32;
        let first = (1.5 + f64::from(low / width)) as usize;
        let mut bin = first;
        let mut channels = Vec::with_capacity(count);
        for channel in 0..count {
            let below = if channel == 0 { mel_low } else { centre(channel - 1) };
            let mut weights = Vec::new();
            while mel(bin as f32 * width) <= centre(channel) {
                if bin >= bins {
                    return None;
                }
                let weight = (centre(channel) - mel(bin as f32 * width)) / (centre(channel) - below);
                weights.push(quantized(weight));
                bin += 1;
            }
            channels.push(weights);
        }
        (bin < bins).then_some(Self { first, channels })
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels.len() - 1
    }

    /// The root of each channel's energy, scaled down by `shift` bits. The rest that the channel before the first leaves is its
    /// only part.
    pub fn apply(&self, spectrum: &[Complex16], shift: u32, values: &mut [u32]) {
        let (mut bin, mut rest) = (self.first, 0u64);
        for (channel, weights) in self.channels.iter().enumerate() {
            let (mut sum, mut next) = (rest, 0u64);
            for &(weight, left) in weights {
                let [re, im] = [spectrum[bin].re, spectrum[bin].im].map(i32::from);
                let energy = (re * re).wrapping_add(im * im) as u64;
                sum = sum.wrapping_add((weight as u64).wrapping_mul(energy));
                next = next.wrapping_add((left as u64).wrapping_mul(energy));
                bin += 1;
            }
            rest = next;
            if let Some(value) = channel.checked_sub(1).and_then(|at| values.get_mut(at)) {
                *value = root(sum) >> shift;
            }
        }
    }
}

/// A weight and the rest to one, in fixed point.
fn quantized(weight: f32) -> (i16, i16) {
    let one = f64::from(1u32 << WEIGHT_BITS);
    let fixed = |x: f64| (x * one + 0.5).floor() as i16;
    (fixed(f64::from(weight)), fixed(1.0 - f64::from(weight)))
}

/// The root, rounded to the nearest, of at most 32 bits (16 for numbers of 32 bits).
fn root(number: u64) -> u32 {
    let down = number.isqrt();
    let most = if number >> 32 == 0 { 0xffff } else { 0xffff_ffff };
    let up = u64::from(number - down * down > down && down != most);
    (down + up) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_rounded() {
        for (number, want) in [
            (0, 0),
            (1, 1),
            (2, 1),
            (3, 2),
            (6, 2),
            (7, 3),
            (u64::from(u32::MAX), 0xffff),
            (u64::MAX, u32::MAX),
        ] {
            assert_eq!(root(number), want, "{number}");
        }
    }
}
