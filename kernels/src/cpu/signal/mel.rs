//! Mel-frequency cepstral coefficients: a bank of triangular filters spaced by the mel scale, and a cosine transform.
//!
//! The mel of a frequency is `1127 ln(1 + f / 700)`.

/// Which filter a bin of a spectrum falls into, and how much of it; the rest falls into the next.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// The number of the filter and one: 0 is below the first.
    next: usize,
    weight: f64,
}

/// A bank of filters over squared magnitudes.
#[derive(Clone, Debug)]
pub struct Mel {
    /// First bin used.
    first: usize,
    shares: Vec<Share>,
    filters: usize,
    bins: usize,
}

fn mel(frequency: f64) -> f64 {
    1127.0 * libm::log1p(frequency / 700.0)
}

impl Mel {
    /// `filters` filters between two frequencies, over spectra of `bins` bins up to half of `rate`; `None` if the filters
    /// cannot be: no filters, fewer than two bins, a rate that is not positive, limits that do not rise from zero or more, or
    /// an upper limit beyond the spectrum.
    #[must_use]
    pub fn new(bins: usize, rate: f64, filters: usize, low: f64, high: f64) -> Option<Self> {
        let rising = low >= 0.0 && high > low && high.is_finite();
        if filters < 1 || bins < 2 || rate.is_nan() || rate <= 0.0 || !rising {
            return None;
        }
        let (mel_low, mel_high) = (mel(low), mel(high));
        let spacing = (mel_high - mel_low) / (filters as f64 + 1.0);
        let centre = |i: usize| mel_low + spacing * (i as f64 + 1.0);
        let width = 0.5 * rate / (bins as f64 - 1.0);
        // The bin of constant signals is left out always.
        let first = (1.5 + low / width) as usize;
        let last = (high / width) as usize;
        if last >= bins {
            return None;
        }
        let mut next = 0;
        let shares = (first..last + 1)
            .map(|bin| {
                let at = mel(bin as f64 * width);
                while next < filters && centre(next) < at {
                    next += 1;
                }
                let below = if next > 0 { centre(next - 1) } else { mel_low };
                Share { next, weight: (centre(next) - at) / (centre(next) - below) }
            })
            .collect();
        Some(Self { first, shares, filters, bins })
    }

    /// Adds up the magnitudes under each filter.
    ///
    /// # Panics
    /// If `power` or `sums` has another length than bins or filters.
    pub fn apply(&self, power: &[f32], sums: &mut [f64]) {
        assert_eq!((power.len(), sums.len()), (self.bins, self.filters), "lengths fit the filters");
        sums.fill(0.0);
        for (share, &power) in self.shares.iter().zip(power.get(self.first..).unwrap_or_default()) {
            let magnitude = f64::from(power).sqrt();
            let part = magnitude * share.weight;
            if let Some(filter) = share.next.checked_sub(1) {
                sums[filter] += part;
            }
            if share.next < self.filters {
                sums[share.next] += magnitude - part;
            }
        }
    }
}

/// The first coefficients of a cosine transform of the second kind.
#[derive(Clone, Debug)]
pub struct CosineTransform {
    /// A row of `len` cosines per coefficient.
    cosines: Vec<f64>,
    len: usize,
}

impl CosineTransform {
    /// `coefficients` coefficients of `len` numbers; `None` unless there are some, not more than numbers, and at most 2^22
    /// cosines.
    #[must_use]
    pub fn new(len: usize, coefficients: usize) -> Option<Self> {
        if coefficients < 1 || coefficients > len {
            return None;
        }
        let (norm, step) = ((2.0 / len as f64).sqrt(), core::f64::consts::PI / len as f64);
        let cosine = |at: usize| norm * libm::cos((at / len) as f64 * step * ((at % len) as f64 + 0.5));
        let count = coefficients.checked_mul(len).filter(|&n| n <= 1 << 22)?;
        Some(Self { cosines: (0..count).map(cosine).collect(), len })
    }

    /// Transforms `numbers`.
    ///
    /// # Panics
    /// If an operand has another length.
    pub fn apply(&self, numbers: &[f64], coefficients: &mut [f32]) {
        assert_eq!(numbers.len(), self.len, "as many numbers as the transform takes");
        assert_eq!(coefficients.len() * self.len, self.cosines.len(), "as many coefficients as it gives");
        for (to, row) in coefficients.iter_mut().zip(self.cosines.chunks_exact(self.len)) {
            *to = row.iter().zip(numbers).fold(0.0, |sum, (c, x)| sum + c * x) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_share_every_bin() {
        let mel = Mel::new(65, 16000.0, 8, 20.0, 4000.0).unwrap();
        let mut sums = [0.0; 8];
        mel.apply(&[4.0; 65], &mut sums);
        assert!(sums.iter().all(|&s| s > 0.0), "{sums:?}");
        let one = {
            let mut power = [0.0; 65];
            power[10] = 9.0;
            mel.apply(&power, &mut sums);
            sums.iter().sum::<f64>()
        };
        assert!((one - 3.0).abs() < 1e-9, "a bin inside is split between two filters: {one}");
        for (bins, rate, filters, low, high) in [
            (1, 1.0, 1, 0.0, 0.1),
            (65, 0.0, 8, 20.0, 4000.0),
            (65, 1e4, 0, 20.0, 4000.0),
            (65, 1e4, 8, 30.0, 20.0),
            (65, 1e4, 8, -1.0, 20.0),
            (65, 100.0, 8, 20.0, 4000.0),
        ] {
            assert!(Mel::new(bins, rate, filters, low, high).is_none());
        }
    }

    #[test]
    fn constants_have_one_coefficient() {
        let transform = CosineTransform::new(8, 3).unwrap();
        let mut got = [0.0; 3];
        transform.apply(&[1.0; 8], &mut got);
        assert!((got[0] - 4.0).abs() < 1e-6 && got[1].abs() < 1e-6 && got[2].abs() < 1e-6, "{got:?}");
        assert!(CosineTransform::new(2, 3).is_none() && CosineTransform::new(2, 0).is_none());
    }
}
