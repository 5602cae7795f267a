//! Power spectra of overlapping stretches of a signal.

use core::f64::consts::PI;

use super::fft::{Complex, RealFft};

/// Spectra of stretches of `window` samples, each `step` samples after the one before, under a periodic Hann window.
#[derive(Clone, Debug)]
pub struct Spectrogram {
    window: Vec<f64>,
    step: usize,
    fft: RealFft,
}

impl Spectrogram {
    /// The longest window.
    pub const MOST_WINDOW: usize = 1 << 20;

    /// `None` if the window has less than two samples or more than [`Spectrogram::MOST_WINDOW`], or the step is zero.
    #[must_use]
    pub fn new(window: usize, step: usize) -> Option<Self> {
        if !(2..=Self::MOST_WINDOW).contains(&window) || step == 0 {
            return None;
        }
        let fft = RealFft::new(window.next_power_of_two())?;
        let hann = |i| 0.5 - 0.5 * libm::cos(2.0 * PI * i as f64 / window as f64);
        Some(Self { window: (0..window).map(hann).collect(), step, fft })
    }

    /// Spectra of a signal of `samples` samples.
    #[must_use]
    pub fn frames(&self, samples: usize) -> usize {
        samples.checked_sub(self.window.len()).map_or(0, |rest| rest / self.step + 1)
    }

    /// Numbers of a spectrum.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.fft.bins()
    }

    /// Doubles of scratch that [`Spectrogram::frame`] takes for the signal, and complex numbers for its spectrum.
    #[must_use]
    pub fn scratch(&self) -> (usize, usize) {
        (self.fft.points(), self.fft.bins())
    }

    /// The squared magnitudes of the spectrum of stretch `frame`, whose samples `sample` gives by position.
    ///
    /// # Panics
    /// If `power` or a scratch has another length.
    pub fn frame(
        &self,
        frame: usize,
        sample: impl Fn(usize) -> f32,
        power: &mut [f32],
        signal: &mut [f64],
        spectrum: &mut [Complex],
    ) {
        let (stretch, rest) = signal.split_at_mut(self.window.len());
        for (i, (to, &weight)) in stretch.iter_mut().zip(&self.window).enumerate() {
            *to = f64::from(sample(frame * self.step + i)) * weight;
        }
        rest.fill(0.0);
        self.fft.forward(signal, spectrum);
        assert_eq!(power.len(), spectrum.len(), "a number per bin");
        for (to, x) in power.iter_mut().zip(spectrum) {
            *to = (x.re * x.re + x.im * x.im) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_in_its_bin() {
        let spectrogram = Spectrogram::new(16, 8).unwrap();
        assert_eq!((spectrogram.frames(15), spectrogram.frames(16), spectrogram.frames(40)), (0, 1, 4));
        let (points, bins) = spectrogram.scratch();
        let (mut signal, mut spectrum) = (vec![0.0; points], vec![Complex::default(); bins]);
        let mut power = vec![0.0; bins];
        let tone = |i: usize| (2.0 * PI * 3.0 * i as f64 / 16.0).cos() as f32;
        spectrogram.frame(1, tone, &mut power, &mut signal, &mut spectrum);
        assert!((power[3] - 16.0).abs() < 1e-3 && power[6] < 1e-3, "{power:?}");
        assert!(Spectrogram::new(1, 1).is_none() && Spectrogram::new(4, 0).is_none());
        assert!(Spectrogram::new(usize::MAX, 1).is_none());
    }
}
