//! Quantizing float activations on the fly, for weights that are integers while activations are not.

use crate::isa::{Cpu, Isa, IsaNarrow, Kernel};
use crate::par::{Par, SharedMut};

/// Elements of a tile of rows that is worth a thread.
const TILE: usize = 1 << 14;

/// How a run of floats becomes bytes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum DynamicScheme {
    /// Over the range with zero, the zero point where its rounding costs less; halves to even.
    Asymmetric,
    /// As [`DynamicScheme::Asymmetric`] with the scale's arithmetic in double precision. Halves are rounded away from zero
    /// before the zero point is added.
    AsymmetricAway,
    /// Over the greatest magnitude, to -127..=127; halves away from zero.
    SymmetricAway,
}

/// Quantizes each row of `row_len` floats by its own range: `real = scales[row] * (to - zeros[row])`.
///
/// # Panics
/// If the outputs are shorter than the rows need.
#[expect(clippy::too_many_arguments, reason = "three results for each row")]
pub fn quantize_rows(
    cpu: Cpu,
    scheme: DynamicScheme,
    from: &[f32],
    row_len: usize,
    to: &mut [i8],
    scales: &mut [f32],
    zeros: &mut [i32],
    par: Par,
) {
    if row_len == 0 {
        scales.fill(1.0);
        zeros.fill(0);
        return;
    }
    let rows = from.len() / row_len;
    let per_tile = (TILE / row_len).max(1);
    let (to, scales, zeros) = (SharedMut::new(to), SharedMut::new(scales), SharedMut::new(zeros));
    par.for_each_tile(rows.div_ceil(per_tile), |tile| {
        for row in tile * per_tile..rows.min((tile + 1) * per_tile) {
            let from = &from[row * row_len..][..row_len];
            // SAFETY: each row belongs to one tile.
            let (to, scale, zero) =
                unsafe { (to.range(row * row_len, row_len), scales.range(row, 1), zeros.range(row, 1)) };
            (scale[0], zero[0]) = cpu.dispatch(QuantizeRow { scheme, from, to });
        }
    });
}

struct QuantizeRow<'a> {
    scheme: DynamicScheme,
    from: &'a [f32],
    to: &'a mut [i8],
}

impl Kernel for QuantizeRow<'_> {
    type Output = (f32, i32);

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> (f32, i32) {
        let (low, high) = range(isa, self.from);
        let (factor, scale, zero) = match self.scheme {
            DynamicScheme::Asymmetric => asymmetric(low, high),
            DynamicScheme::AsymmetricAway => asymmetric_double(low, high),
            DynamicScheme::SymmetricAway => symmetric(low, high),
        };
        let away = self.scheme != DynamicScheme::Asymmetric;
        let least = if self.scheme == DynamicScheme::SymmetricAway { -127.0 } else { -128.0 };
        let quantize = Quantize {
            factor: isa.splat(factor),
            zero: isa.splat(zero),
            low: isa.splat(least),
            high: isa.splat(127.0),
            away,
        };
        let mut from = self.from.chunks_exact(S::LANES);
        let mut to = self.to.chunks_exact_mut(S::LANES);
        for (from, to) in (&mut from).zip(&mut to) {
            isa.store_i8(quantize.apply(isa, isa.load(from)), to);
        }
        let (from, to) = (from.remainder(), to.into_remainder());
        isa.store_i8_part(quantize.apply(isa, isa.load_part(from)), to);
        if away {
            // The reference rounds what is left of its vectors of eight otherwise: see `Quantize::apply`.
            let last = from.len() % REFERENCE_LANES.min(S::LANES);
            let start = from.len() - last;
            for (&x, to) in from[start..].iter().zip(&mut to[start..]) {
                *to = ((x * factor).round() + zero).clamp(least, 127.0) as i8;
            }
        }
        (scale, zero as i32)
    }
}

/// Elements that the reference quantizes at a time.
const REFERENCE_LANES: usize = 8;

/// The arithmetic of a scheme in registers.
#[derive(Copy, Clone)]
struct Quantize<S: Isa> {
    factor: S::F,
    zero: S::F,
    low: S::F,
    high: S::F,
    away: bool,
}

impl<S: Isa> Quantize<S> {
    #[inline(always)]
    fn apply(self, isa: S, x: S::F) -> S::I {
        let scaled = isa.mul(x, self.factor);
        let (low, high) = (isa.sub(self.low, self.zero), isa.sub(self.high, self.zero));
        let near = if self.away {
            // Half a step outwards, cut: the nearest integer with halves away from zero, but for the number just below
            // one half, which the sum rounds up.
            let outwards = isa.add(scaled, isa.copysign(isa.splat(0.5), scaled));
            isa.to_i32_trunc(isa.clamp(outwards, low, high))
        } else {
            isa.to_i32_round(isa.clamp(scaled, low, high))
        };
        isa.add_i32(near, isa.to_i32_round(self.zero))
    }
}

/// The least and the greatest of the numbers and zero.
#[inline(always)]
fn range<S: Isa>(isa: S, numbers: &[f32]) -> (f32, f32) {
    let (mut low, mut high) = (isa.zero(), isa.zero());
    let mut chunks = numbers.chunks_exact(S::LANES);
    for chunk in &mut chunks {
        let x = isa.load(chunk);
        low = isa.min(x, low);
        high = isa.max(x, high);
    }
    let rest = isa.load_part(chunks.remainder());
    (isa.reduce_min(isa.min(rest, low)), isa.reduce_max(isa.max(rest, high)))
}

/// Factor, scale and zero point so that `low..=high` fills the bytes.
fn asymmetric(low: f32, high: f32) -> (f32, f32, f32) {
    let factor = if low == high { 1.0 } else { 255.0 / (high - low) };
    let (scaled_low, scaled_high) = (low * factor, high * factor);
    let low_error = -128.0 + scaled_low;
    let high_error = 127.0 + scaled_high;
    let zero = if low_error + high_error > 0.0 { -128.0 - scaled_low } else { 127.0 - scaled_high };
    (factor, 1.0 / factor, zero.clamp(-128.0, 127.0).round_ties_even())
}

/// As [`asymmetric`], in double precision.
fn asymmetric_double(low: f32, high: f32) -> (f32, f32, f32) {
    if low == high {
        return (1.0, 1.0, 0.0);
    }
    let scale = f64::from(high - low) / 255.0;
    let (low, high) = (f64::from(low), f64::from(high));
    let low_error = 128.0 + (low / scale).abs();
    let high_error = 127.0 + (high / scale).abs();
    let zero = if low_error < high_error { -128.0 - low / scale } else { 127.0 - high / scale };
    let scale = scale as f32;
    (1.0 / scale, scale, libm::round(zero.clamp(-128.0, 127.0)) as f32)
}

/// Factor, scale and zero point so that the greater magnitude is 127.
fn symmetric(low: f32, high: f32) -> (f32, f32, f32) {
    let magnitude = high.max(-low);
    if magnitude == 0.0 { (1.0, 1.0, 0.0) } else { (127.0 / magnitude, magnitude / 127.0, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_values_come_back() {
        let ranges =
            [("both signs", -1.5, 2.5), ("positive", 0.1, 9.0), ("negative", -3.0, -0.5), ("zero", 0.0, 0.0)];
        let schemes =
            [DynamicScheme::Asymmetric, DynamicScheme::AsymmetricAway, DynamicScheme::SymmetricAway];
        for cpu in Cpu::all() {
            for (name, low, high) in ranges {
                for scheme in schemes {
                    let rows: Vec<f32> = (0..37).map(|i| low + (high - low) * (i as f32 / 36.0)).collect();
                    let (mut to, mut scales, mut zeros) = ([0i8; 37], [0.0], [0]);
                    quantize_rows(cpu, scheme, &rows, 37, &mut to, &mut scales, &mut zeros, Par::new(2));
                    for (&x, &q) in rows.iter().zip(&to) {
                        let back = scales[0] * (i32::from(q) - zeros[0]) as f32;
                        assert!(
                            (x - back).abs() <= scales[0] * 0.501 + 1e-6,
                            "{} {name} {scheme:?}: {x} became {back}",
                            cpu.name()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn halves() {
        let rows = [-127.0, 127.0, 0.5, 1.5, -0.5, -2.5];
        for cpu in Cpu::all() {
            let (mut to, mut scales, mut zeros) = ([0i8; 6], [0.0], [0]);
            quantize_rows(
                cpu,
                DynamicScheme::SymmetricAway,
                &rows,
                6,
                &mut to,
                &mut scales,
                &mut zeros,
                Par::new(2),
            );
            assert_eq!(to, [-127, 127, 1, 2, -1, -3], "{}", cpu.name());
        }
    }
}
