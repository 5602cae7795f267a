//! Quantization of float vectors at run time, for products with 8-bit weights.

use crate::cpu::int8::dynamic::range;
use crate::isa::{Cpu, Isa, IsaNarrow, Kernel};

/// Quantizes `x` to 8 bits by its own range, writes the values with their zero point taken off, and returns the scale.
///
/// Symmetric: -127 to 127 with zero point 0. Asymmetric: -128 to 127, the zero point placed where it errs least. Halves
/// are rounded away from zero. A vector of zeros has scale 1.
///
/// # Panics
/// When `out` is shorter than `x`.
pub fn quantize_vector(cpu: Cpu, x: &[f32], asymmetric: bool, out: &mut [i16]) -> f32 {
    let out = &mut out[..x.len()];
    cpu.dispatch(Quantize { x, asymmetric, out })
}

struct Quantize<'a> {
    x: &'a [f32],
    asymmetric: bool,
    out: &'a mut [i16],
}

impl Kernel for Quantize<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> f32 {
        let (min, max) = range(isa, self.x);
        if min == 0.0 && max == 0.0 {
            self.out.fill(0);
            return 1.0;
        }
        let (scale, inverse, low, high) =
            if self.asymmetric { asymmetric(min, max) } else { symmetric(max.max(-min)) };
        let (inverse, low, high) = (isa.splat(inverse), isa.splat_i32(low), isa.splat_i32(high));
        let mut x = self.x.chunks_exact(S::LANES);
        let mut out = self.out.chunks_exact_mut(S::LANES);
        for (x, out) in (&mut x).zip(&mut out) {
            let near = round(isa, isa.mul(isa.load(x), inverse));
            isa.store_i16(isa.min_i32(isa.max_i32(near, low), high), out);
        }
        let near = round(isa, isa.mul(isa.load_part(x.remainder()), inverse));
        isa.store_i16_part(isa.min_i32(isa.max_i32(near, low), high), out.into_remainder());
        scale
    }
}

/// The nearest integers, halves away from zero, held to 16 bits; 0 for NaN.
#[inline(always)]
fn round<S: Isa>(isa: S, x: S::F) -> S::I {
    let number = isa.select(isa.eq(x, x), x, isa.zero());
    let held = isa.clamp(number, isa.splat(-32768.0), isa.splat(32767.0));
    // The number just below one half, so that no sum is rounded up to the next integer.
    let outwards = isa.add(held, isa.copysign(isa.splat(0.5f32.next_down()), held));
    isa.to_i32_trunc(outwards)
}

/// Scale, its inverse, and the bounds of values without their zero point.
#[inline(always)]
fn symmetric(range: f32) -> (f32, f32, i32, i32) {
    (range / 127.0, 127.0 / range, -127, 127)
}

/// As [`symmetric`].
#[inline(always)]
fn asymmetric(min: f32, max: f32) -> (f32, f32, i32, i32) {
    let (low, high) = (-128f64, 127f64);
    let scale = f64::from(max - min) / (high - low);
    let (min, max) = (f64::from(min), f64::from(max));
    let from_min = low - min / scale;
    let from_max = high - max / scale;
    let min_errs_less = low.abs() + (min / scale).abs() < high.abs() + (max / scale).abs();
    let zero_point = if min_errs_less { from_min } else { from_max }.round().clamp(low, high) as i32;
    let scale = scale as f32;
    (scale, 1.0 / scale, -128 - zero_point, 127 - zero_point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantized_vectors_rows() {
        type Row = (&'static str, &'static [f32], bool, &'static [i16], f32);
        let rows: &[Row] = &[
            ("zeros", &[0.0, -0.0], false, &[0, 0], 1.0),
            ("symmetric", &[-2.54, 1.27, 0.0, 0.02], false, &[-127, 64, 0, 1], 0.02),
            ("asymmetric, positive only", &[0.0, 2.55, 1.0], true, &[0, 255, 100], 0.01),
            ("asymmetric, negative only", &[-2.55, 0.0], true, &[-255, 0], 0.01),
            ("asymmetric, both signs", &[-1.28, 1.27], true, &[-128, 127], 0.01),
        ];
        let mut wrong = Vec::new();
        for &(name, x, asymmetric, want, want_scale) in rows {
            for cpu in Cpu::all() {
                let mut got = vec![0; x.len()];
                let scale = quantize_vector(cpu, x, asymmetric, &mut got);
                if got != want || (scale / want_scale - 1.0).abs() > 1e-6 {
                    wrong.push(format!("{name}, {}: {got:?} with {scale}", cpu.name()));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn rounding_is_that_of_the_standard_library() {
        let near = [0.5f32, 1.5, 2.5, 126.5, 127.5, 8_388_607.5, 32767.4];
        let mut numbers: Vec<f32> = near
            .iter()
            .flat_map(|&x| [x.next_down(), x, x.next_up(), -x.next_down(), -x, -x.next_up()])
            .collect();
        numbers.extend([0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        numbers.extend((-4000..4000).map(|i| i as f32 / 15.0));
        let want: Vec<i16> = numbers.iter().map(|x| x.round() as i16).collect();
        for cpu in Cpu::all() {
            let mut got = vec![0; numbers.len()];
            cpu.dispatch(Round(&numbers, &mut got));
            assert_eq!(got, want, "{}", cpu.name());
        }
    }

    struct Round<'a>(&'a [f32], &'a mut [i16]);

    impl Kernel for Round<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Isa>(self, isa: S) {
            for (x, to) in self.0.chunks(S::LANES).zip(self.1.chunks_mut(S::LANES)) {
                isa.store_i16_part(round(isa, isa.load_part(x)), to);
            }
        }
    }
}
