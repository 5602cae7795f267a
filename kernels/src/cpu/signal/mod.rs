//! Signal processing: Fourier transforms, spectrograms, cepstral coefficients.

mod fft;
mod mel;
mod spectrogram;

pub use fft::{Complex, Fft, RealFft};
pub use mel::{CosineTransform, Mel};
pub use spectrogram::Spectrogram;
