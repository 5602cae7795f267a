//! Features of speech in integers, as small devices compute them: window, transform, mel filters, noise reduction, gain control,
//! logarithm.
//!
//! The steps and their constants are those of TensorFlow Lite's micro frontend; gain control is per-channel energy
//! normalization (Wang et al., "Trainable Frontend For Robust and Far-Field Keyword Spotting", 2016).

use super::filters::Filters;
use super::fixed_fft::{Complex16, FixedFft};
use super::levels::{Gain, Noise, logarithm};

/// What a frontend is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrontendSettings {
    /// Samples a second.
    pub rate: u32,
    /// Length of a window in milliseconds.
    pub window: u32,
    /// Distance of windows in milliseconds.
    pub step: u32,
    /// Number of mel filters.
    pub channels: usize,
    /// Frequencies that the filters cover, in Hz.
    pub band: (f32, f32),
    /// Bits by which noise estimates are finer than the signal.
    pub smoothing_bits: u32,
    /// Share of a new value in the noise estimate, of even and of odd channels.
    pub smoothing: (f32, f32),
    /// Least share of the signal that is left.
    pub least_signal: f32,
    /// Gain control, if it is on.
    pub gain: Option<GainSettings>,
    /// Bits of the logarithm's scale; `None` for no logarithm.
    pub log_shift: Option<u32>,
}

/// Settings of the gain control.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GainSettings {
    /// Power of the noise estimate that the signal is divided by.
    pub strength: f32,
    /// Added to the noise estimate.
    pub offset: f32,
    /// Fractional bits of the gain.
    pub bits: u32,
}

/// Fractional bits of window and filter weights.
pub(super) const WEIGHT_BITS: u32 = 12;

/// A frontend, ready to run over signals of any length.
#[derive(Clone, Debug)]
pub struct Frontend {
    window: Vec<i16>,
    step: usize,
    fft: FixedFft,
    filters: Filters,
    noise: Noise,
    gain: Option<Gain>,
    log_shift: Option<u32>,
    /// Bits that the transform's length and the filters' scale differ by; negative if the signal is to be scaled down.
    correction: i32,
}

impl Frontend {
    /// `None` if the settings cannot be: a window of less than two samples or more than 65536, no step, filters that do not fit
    /// the spectrum, shifts beyond a number's bits.
    #[must_use]
    pub fn new(settings: &FrontendSettings) -> Option<Self> {
        let samples = |ms: u32| usize::try_from(u64::from(ms) * u64::from(settings.rate) / 1000).ok();
        let (size, step) = (samples(settings.window)?, samples(settings.step)?);
        if !(2..=1 << 16).contains(&size)
            || !(1..=size).contains(&step)
            || settings.log_shift.is_some_and(|s| s > 16)
        {
            return None;
        }
        let angle = (core::f64::consts::PI * 2.0 / f64::from(size as f32)) as f32;
        let weight = |i: usize| {
            let value = (0.5 - 0.5 * libm::cos(f64::from(angle) * (i as f64 + 0.5))) as f32;
            (f64::from(value * (1 << WEIGHT_BITS) as f32) + 0.5).floor() as i16
        };
        let fft = FixedFft::new(size.next_power_of_two())?;
        let filters = Filters::new(settings, fft.points() / 2 + 1)?;
        let correction = fft.points().ilog2() as i32 - (WEIGHT_BITS / 2) as i32;
        let gain = match &settings.gain {
            None => None,
            Some(gain) => Some(Gain::new(gain, settings.smoothing_bits, correction)?),
        };
        Some(Self {
            window: (0..size).map(weight).collect(),
            step,
            fft,
            filters,
            noise: Noise::new(settings)?,
            gain,
            log_shift: settings.log_shift,
            correction,
        })
    }

    /// Windows in a signal of `samples` samples.
    #[must_use]
    pub fn frames(&self, samples: usize) -> usize {
        samples.checked_sub(self.window.len()).map_or(0, |rest| rest / self.step + 1)
    }

    /// Numbers of a frame.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.filters.channels()
    }

    /// Calls `give` with the features of each frame, which are valid until it returns.
    pub fn run(&self, signal: &[i16], mut give: impl FnMut(usize, &[u16])) {
        let points = self.fft.points();
        let mut samples = vec![0i16; points];
        let mut spectrum = vec![Complex16::default(); points / 2 + 1];
        let mut work = vec![Complex16::default(); points / 2];
        let (mut values, mut estimates) = (vec![0u32; self.channels()], vec![0u32; self.channels()]);
        let mut features = vec![0u16; self.channels()];
        for frame in 0..self.frames(signal.len()) {
            let stretch = &signal[frame * self.step..][..self.window.len()];
            let mut loudest = 0i16;
            for ((to, &x), &weight) in samples.iter_mut().zip(stretch).zip(&self.window) {
                *to = ((i32::from(x) * i32::from(weight)) >> WEIGHT_BITS) as i16;
                loudest = loudest.max(to.wrapping_abs());
            }
            // As loud as sixteen bits allow.
            let shift = (loudest as u16 as u32).leading_zeros().saturating_sub(17);
            samples[..stretch.len()].iter_mut().for_each(|x| *x = x.wrapping_shl(shift));
            samples[stretch.len()..].fill(0);
            self.fft.forward(&samples, &mut spectrum, &mut work);
            self.filters.apply(&spectrum, shift, &mut values);
            self.noise.reduce(&mut values, &mut estimates);
            if let Some(gain) = &self.gain {
                gain.apply(&mut values, &estimates);
            }
            for (to, &value) in features.iter_mut().zip(&values) {
                let value = match self.log_shift {
                    Some(shift) => logarithm(value, self.correction, shift),
                    None => value,
                };
                *to = value.min(0xffff) as u16;
            }
            give(frame, &features);
        }
    }
}
