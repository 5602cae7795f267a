//! Signal processing: Fourier transforms, spectrograms, cepstral coefficients, and features of speech in integers.

mod fft;
mod filters;
mod fixed_fft;
mod frontend;
mod levels;
mod mel;
mod spectrogram;

pub use fft::{Complex, Fft, RealFft};
pub use fixed_fft::{Complex16, FixedFft};
pub use frontend::{Frontend, FrontendSettings, GainSettings};
pub use mel::{CosineTransform, Mel};
pub use spectrogram::Spectrogram;
