//! A Fourier transform of real 16-bit signals in fixed point, as Kiss FFT computes it: scaled down by a radix in every round, so
//! that nothing overflows, products rounded to 15 fractional bits.

use core::f64::consts::PI;

/// A complex number of 16-bit parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Complex16 {
    /// Real part.
    pub re: i16,
    /// Imaginary part.
    pub im: i16,
}

/// The greatest 16-bit sample, which stands for one.
const ONE: i32 = i16::MAX as i32;

/// Rounds a product to 15 fractional bits.
fn rounded(product: i32) -> i16 {
    (product.wrapping_add(1 << 14) >> 15) as i16
}

impl Complex16 {
    /// `exp(i * phase)`, rounded.
    fn turn(phase: f64) -> Self {
        let part = |x: f64| (0.5 + f64::from(ONE) * x).floor() as i16;
        Self { re: part(libm::cos(phase)), im: part(libm::sin(phase)) }
    }

    fn times(self, other: Self) -> Self {
        let [a, b, c, d] = [self.re, self.im, other.re, other.im].map(i32::from);
        Self { re: rounded((a * c).wrapping_sub(b * d)), im: rounded((a * d).wrapping_add(b * c)) }
    }

    fn divided(self, by: i32) -> Self {
        let part = |x: i16| rounded(i32::from(x) * (ONE / by));
        Self { re: part(self.re), im: part(self.im) }
    }

    fn plus(self, other: Self) -> Self {
        Self { re: self.re.wrapping_add(other.re), im: self.im.wrapping_add(other.im) }
    }

    fn minus(self, other: Self) -> Self {
        Self { re: self.re.wrapping_sub(other.re), im: self.im.wrapping_sub(other.im) }
    }
}

/// The transform of real signals of one length.
#[derive(Clone, Debug)]
pub struct FixedFft {
    len: usize,
    /// Roots of the complex transform of half the length.
    roots: Vec<Complex16>,
    /// Roots that take the halves of a real signal apart.
    halves: Vec<Complex16>,
    /// Radices of the complex transform, the outermost first.
    radices: Vec<usize>,
}

impl FixedFft {
    /// The transform of `len` points; `None` unless that is a power of two, two at least.
    #[must_use]
    pub fn new(len: usize) -> Option<Self> {
        if !len.is_power_of_two() || len < 2 {
            return None;
        }
        let half = len / 2;
        let mut radices = vec![4; half.trailing_zeros() as usize / 2];
        if half.trailing_zeros() % 2 == 1 {
            radices.push(2);
        }
        let roots = (0..half).map(|k| Complex16::turn(-2.0 * PI * k as f64 / half as f64)).collect();
        let halves =
            (0..half / 2).map(|k| Complex16::turn(-PI * ((k + 1) as f64 / half as f64 + 0.5))).collect();
        Some(Self { len, roots, halves, radices })
    }

    /// Number of points.
    #[must_use]
    pub fn points(&self) -> usize {
        self.len
    }

    /// Transforms `signal` into half as many numbers and one. `work` is as long as half of the signal.
    ///
    /// # Panics
    /// If an operand has another length.
    pub fn forward(&self, signal: &[i16], spectrum: &mut [Complex16], work: &mut [Complex16]) {
        let half = self.len / 2;
        assert_eq!(
            (signal.len(), spectrum.len(), work.len()),
            (self.len, half + 1, half),
            "lengths fit the transform"
        );
        self.round(signal, work, 0, 1, &self.radices);
        let first = work[0].divided(2);
        spectrum[0] = Complex16 { re: first.re.wrapping_add(first.im), im: 0 };
        spectrum[half] = Complex16 { re: first.re.wrapping_sub(first.im), im: 0 };
        for k in 1..=half / 2 {
            let near = work[k].divided(2);
            let far = work[half - k];
            let far = Complex16 { re: far.re, im: far.im.wrapping_neg() }.divided(2);
            let (sum, turned) = (near.plus(far), near.minus(far).times(self.halves[k - 1]));
            let halved = |a: i16, b: i16, sign: i32| ((i32::from(a) + sign * i32::from(b)) >> 1) as i16;
            spectrum[k] = Complex16 { re: halved(sum.re, turned.re, 1), im: halved(sum.im, turned.im, 1) };
            spectrum[half - k] =
                Complex16 { re: halved(sum.re, turned.re, -1), im: halved(turned.im, sum.im, -1) };
        }
    }

    /// Transforms every `stride`-th pair of samples from pair `first` on.
    fn round(&self, signal: &[i16], out: &mut [Complex16], first: usize, stride: usize, radices: &[usize]) {
        let Some((&radix, inner)) = radices.split_first() else {
            out[0] = Complex16 { re: signal[2 * first], im: signal[2 * first + 1] };
            return;
        };
        let block = out.len() / radix;
        for (i, out) in out.chunks_exact_mut(block).enumerate() {
            self.round(signal, out, first + i * stride, stride * radix, inner);
        }
        for k in 0..block {
            let at = |i: usize| k + i * block;
            let part = |i: usize, out: &[Complex16]| {
                out[at(i)].divided(radix as i32).times(self.roots[i * k * stride])
            };
            let a = out[k].divided(radix as i32);
            if radix == 2 {
                let b = part(1, out);
                (out[at(1)], out[k]) = (a.minus(b), a.plus(b));
                continue;
            }
            let [b, c, d] = [1, 2, 3].map(|i| part(i, out));
            let (even, odd) = (a.plus(c), a.minus(c));
            let (sum, gap) = (b.plus(d), b.minus(d));
            out[k] = even.plus(sum);
            out[at(2)] = even.minus(sum);
            // Times minus and plus the imaginary unit.
            out[at(1)] = Complex16 { re: odd.re.wrapping_add(gap.im), im: odd.im.wrapping_sub(gap.re) };
            out[at(3)] = Complex16 { re: odd.re.wrapping_sub(gap.im), im: odd.im.wrapping_add(gap.re) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::signal::{Complex, RealFft};

    #[test]
    fn close_to_the_exact_transform() {
        for len in [2, 4, 8, 16, 64, 512, 1024] {
            let signal: Vec<i16> = (0..len).map(|i| ((i * 7919 + 13) % 60001) as i32 as i16).collect();
            let fft = FixedFft::new(len).unwrap();
            let mut spectrum = vec![Complex16::default(); len / 2 + 1];
            fft.forward(&signal, &mut spectrum, &mut vec![Complex16::default(); len / 2]);
            let exact = RealFft::new(len).unwrap();
            let mut want = vec![Complex::default(); exact.bins()];
            exact.forward(&signal.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(), &mut want);
            for (k, (got, want)) in spectrum.iter().zip(&want).enumerate() {
                let scale = len as f64;
                let error = (f64::from(got.re) - want.re / scale)
                    .abs()
                    .max((f64::from(got.im) - want.im / scale).abs());
                assert!(error < 8.0, "{len} points, number {k}: {got:?} instead of {want:?} / {len}");
            }
        }
        assert!(FixedFft::new(1).is_none() && FixedFft::new(6).is_none());
    }
}
