//! Discrete Fourier transforms of power-of-two lengths, in double precision.
//!
//! The transform of `x` is `X[k] = sum over n of x[n] * exp(-2 pi i k n / N)`; inverse transforms are not divided by `N`.

use core::f64::consts::PI;
use core::ops::{Add, Mul, Sub};

/// A complex number.
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Complex {
    /// Real part.
    pub re: f64,
    /// Imaginary part.
    pub im: f64,
}

impl Complex {
    /// From its parts.
    #[must_use]
    pub const fn new(re: f64, im: f64) -> Self {
        Self { re, im }
    }

    /// The number mirrored at the real axis.
    #[must_use]
    pub fn conjugate(self) -> Self {
        Self::new(self.re, -self.im)
    }

    /// `exp(-2 pi i k / n)`
    fn root(k: usize, n: usize) -> Self {
        let angle = -2.0 * PI * k as f64 / n as f64;
        Self::new(libm::cos(angle), libm::sin(angle))
    }

    /// Times the imaginary unit.
    fn turned(self) -> Self {
        Self::new(-self.im, self.re)
    }
}

impl Add for Complex {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.re + other.re, self.im + other.im)
    }
}

impl Sub for Complex {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.re - other.re, self.im - other.im)
    }
}

impl Mul for Complex {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self::new(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)
    }
}

/// The transform of complex signals of one length.
#[derive(Clone, Debug)]
pub struct Fft {
    len: usize,
    /// `root(k, len)` for the first half of `k`.
    roots: Vec<Complex>,
}

impl Fft {
    /// The transform of `len` points; `None` unless that is a power of two.
    #[must_use]
    pub fn new(len: usize) -> Option<Self> {
        len.is_power_of_two()
            .then(|| Self { len, roots: (0..len / 2).map(|k| Complex::root(k, len)).collect() })
    }

    /// Number of points.
    #[must_use]
    pub fn points(&self) -> usize {
        self.len
    }

    /// Transforms `data` in place.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn forward(&self, data: &mut [Complex]) {
        assert_eq!(data.len(), self.len, "a signal as long as the transform");
        reverse_bits(data);
        let mut half = 1;
        while half < self.len {
            let step = self.len / (2 * half);
            for block in data.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for (k, (a, b)) in low.iter_mut().zip(high).enumerate() {
                    let turned = *b * self.roots[k * step];
                    (*a, *b) = (*a + turned, *a - turned);
                }
            }
            half *= 2;
        }
    }

    /// Transforms `data` back in place, without dividing by the length.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn inverse(&self, data: &mut [Complex]) {
        for x in &mut *data {
            *x = x.conjugate();
        }
        self.forward(data);
        for x in data {
            *x = x.conjugate();
        }
    }
}

/// Puts every element at the position with the bits in reverse.
fn reverse_bits(data: &mut [Complex]) {
    let bits = data.len().trailing_zeros();
    if bits == 0 {
        return;
    }
    for i in 0..data.len() {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if i < j {
            data.swap(i, j);
        }
    }
}

/// The transform of real signals of one length: two points make one of a complex transform of half the length.
#[derive(Clone, Debug)]
pub struct RealFft {
    len: usize,
    half: Option<Fft>,
    /// `root(k, len)` for the first half of `k`.
    roots: Vec<Complex>,
}

impl RealFft {
    /// The transform of `len` points; `None` unless that is a power of two.
    #[must_use]
    pub fn new(len: usize) -> Option<Self> {
        len.is_power_of_two().then(|| Self {
            len,
            half: Fft::new(len / 2),
            roots: (0..len / 2).map(|k| Complex::root(k, len)).collect(),
        })
    }

    /// Number of points.
    #[must_use]
    pub fn points(&self) -> usize {
        self.len
    }

    /// Numbers of a spectrum: half the points and one.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.len / 2 + 1
    }

    /// Transforms `signal` into `spectrum`.
    ///
    /// # Panics
    /// If the signal has another length or the spectrum not as many numbers as [`RealFft::bins`].
    pub fn forward(&self, signal: &[f64], spectrum: &mut [Complex]) {
        assert_eq!((signal.len(), spectrum.len()), (self.len, self.bins()), "lengths fit the transform");
        let Some(half) = &self.half else {
            spectrum[0] = Complex::new(signal[0], 0.0);
            return;
        };
        let n = half.points();
        for (x, pair) in spectrum.iter_mut().zip(signal.chunks_exact(2)) {
            *x = Complex::new(pair[0], pair[1]);
        }
        half.forward(&mut spectrum[..n]);
        let first = spectrum[0];
        (spectrum[0], spectrum[n]) =
            (Complex::new(first.re + first.im, 0.0), Complex::new(first.re - first.im, 0.0));
        for k in 1..=n / 2 {
            let (a, b) = (spectrum[k], spectrum[n - k].conjugate());
            // The transforms of the even and of the odd points.
            let (even, odd) = (a + b, (b - a).turned());
            let odd = odd * self.roots[k];
            let half = |x: Complex| Complex::new(x.re * 0.5, x.im * 0.5);
            spectrum[k] = half(even + odd);
            spectrum[n - k] = half(even - odd).conjugate();
        }
    }

    /// Transforms `spectrum`, which is overwritten, into `signal`, without dividing by the length. The imaginary parts of
    /// the first and the last number are taken as zero.
    ///
    /// # Panics
    /// As [`RealFft::forward`].
    pub fn inverse(&self, spectrum: &mut [Complex], signal: &mut [f64]) {
        assert_eq!((signal.len(), spectrum.len()), (self.len, self.bins()), "lengths fit the transform");
        let Some(half) = &self.half else {
            signal[0] = spectrum[0].re;
            return;
        };
        let n = half.points();
        let (first, last) = (spectrum[0].re, spectrum[n].re);
        spectrum[0] = Complex::new(first + last, first - last);
        for k in 1..=n / 2 {
            let (a, b) = (spectrum[k], spectrum[n - k].conjugate());
            let (even, odd) = (a + b, (a - b) * self.roots[k].conjugate());
            spectrum[k] = even + odd.turned();
            spectrum[n - k] = even.conjugate() + odd.conjugate().turned();
        }
        half.inverse(&mut spectrum[..n]);
        for (x, pair) in spectrum.iter().zip(signal.chunks_exact_mut(2)) {
            (pair[0], pair[1]) = (x.re, x.im);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(len: usize) -> Vec<f64> {
        (0..len).map(|i| ((i * 37 + 5) % 23) as f64 / 8.0 - 1.0).collect()
    }

    /// The sum that defines the transform.
    fn definition(x: &[Complex]) -> Vec<Complex> {
        let n = x.len();
        let term = |k: usize, i: usize| x[i] * Complex::root(k * i % n, n);
        (0..n).map(|k| (0..n).fold(Complex::default(), |sum, i| sum + term(k, i))).collect()
    }

    fn assert_close(got: &[Complex], want: &[Complex], what: &str) {
        for (g, w) in got.iter().zip(want) {
            let error = (g.re - w.re).abs().max((g.im - w.im).abs());
            assert!(error < 1e-9, "{what}: {g:?} instead of {w:?}");
        }
    }

    #[test]
    fn complex_transforms_follow_the_definition() {
        for len in [1, 2, 4, 8, 32, 128] {
            let x: Vec<Complex> = signal(2 * len).chunks_exact(2).map(|p| Complex::new(p[0], p[1])).collect();
            let fft = Fft::new(len).unwrap();
            let mut data = x.clone();
            fft.forward(&mut data);
            assert_close(&data, &definition(&x), &format!("{len} points"));
            fft.inverse(&mut data);
            let back: Vec<Complex> =
                data.iter().map(|c| Complex::new(c.re / len as f64, c.im / len as f64)).collect();
            assert_close(&back, &x, &format!("{len} points, there and back"));
        }
        assert!(Fft::new(0).is_none() && Fft::new(12).is_none());
    }

    #[test]
    fn real_transforms_follow_the_definition() {
        for len in [1, 2, 4, 8, 16, 64, 256] {
            let x = signal(len);
            let fft = RealFft::new(len).unwrap();
            let mut spectrum = vec![Complex::default(); fft.bins()];
            fft.forward(&x, &mut spectrum);
            let whole: Vec<Complex> = x.iter().map(|&re| Complex::new(re, 0.0)).collect();
            assert_close(&spectrum, &definition(&whole)[..fft.bins().min(len)], &format!("{len} points"));
            let mut back = vec![0.0; len];
            fft.inverse(&mut spectrum, &mut back);
            for (b, x) in back.iter().zip(&x) {
                assert!((b / len as f64 - x).abs() < 1e-9, "{len} points, there and back");
            }
        }
    }
}
