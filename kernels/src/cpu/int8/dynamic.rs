//! Quantizing float activations on the fly, for weights that are integers while activations are not.

use crate::isa::{Cpu, Isa, IsaNarrow, Kernel, MAX_LANES};
use crate::par::{Par, SharedMut};

/// Elements of a tile of rows.
const TILE: usize = 1 << 12;
/// Elements of a part of a row that is worth a thread.
const PART: usize = 1 << 14;

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

/// How far the stored bytes lie above the signed numbers that the schemes speak of. Unsigned bytes are what the dot
/// products of x86-64 take without being packed first.
pub const OFFSET: i32 = 128;

/// Quantizes each row of `row_len` floats by its own range: `real = scales[row] * (to - zeros[row])`, where bytes and
/// zero points are stored with [`OFFSET`].
///
/// # Panics
/// If the outputs are shorter than the rows need.
#[expect(clippy::too_many_arguments, reason = "three results for each row")]
pub fn quantize_rows(
    cpu: Cpu,
    scheme: DynamicScheme,
    from: &[f32],
    row_len: usize,
    to: &mut [u8],
    scales: &mut [f32],
    zeros: &mut [i32],
    par: Par,
) {
    if row_len == 0 {
        scales.fill(1.0);
        zeros.fill(OFFSET);
        return;
    }
    let rows = from.len() / row_len;
    if par.threads() > 1 && row_len >= 2 * PART {
        for (row, from) in from.chunks_exact(row_len).enumerate() {
            let to = &mut to[row * row_len..][..row_len];
            (scales[row], zeros[row]) = quantize_long(cpu, scheme, from, to, par);
        }
        return;
    }
    let per_tile = par.even_chunk(rows, (TILE / row_len).max(1), 1);
    let (to, scales, zeros) = (SharedMut::new(to), SharedMut::new(scales), SharedMut::new(zeros));
    par.for_each_tile(rows.div_ceil(per_tile), |tile| {
        let first = tile * per_tile;
        let count = per_tile.min(rows - first);
        // SAFETY: each row belongs to one tile.
        let (to, scales, zeros) = unsafe {
            (
                to.range(first * row_len, count * row_len),
                scales.range(first, count),
                zeros.range(first, count),
            )
        };
        let from = &from[first * row_len..][..count * row_len];
        cpu.dispatch(QuantizeRows { scheme, from, row_len, to, scales, zeros });
    });
}

/// One row by all threads: its range from those of its parts, then its parts.
fn quantize_long(cpu: Cpu, scheme: DynamicScheme, from: &[f32], to: &mut [u8], par: Par) -> (f32, i32) {
    const MOST_PARTS: usize = 64;
    // Whole vectors of every instruction set, and of the reference: see `Quantize::run`.
    let part = from.len().div_ceil(MOST_PARTS).max(PART).next_multiple_of(MAX_LANES);
    let mut ranges = [(0f32, 0f32); MOST_PARTS];
    let ranges = &mut ranges[..from.len().div_ceil(part)];
    par.chunks_mut(ranges, 1, |i, range| {
        range[0] = cpu.dispatch(Range(&from[i * part..from.len().min((i + 1) * part)]));
    });
    let (low, high) =
        ranges.iter().fold((0f32, 0f32), |(low, high), range| (low.min(range.0), high.max(range.1)));
    let parameters = Parameters::new(scheme, low, high);
    par.chunks_mut(to, part, |i, to| {
        let from = &from[i * part..][..to.len()];
        cpu.dispatch(QuantizeRun { scheme, parameters, from, to });
    });
    (parameters.scale, parameters.zero as i32 + OFFSET)
}

/// What a row's range makes of the scheme.
#[derive(Copy, Clone, Default)]
struct Parameters {
    /// What numbers are multiplied with.
    factor: f32,
    scale: f32,
    /// The signed zero point.
    zero: f32,
}

impl Parameters {
    #[inline(always)]
    fn new(scheme: DynamicScheme, low: f32, high: f32) -> Self {
        let (factor, scale, zero) = match scheme {
            DynamicScheme::Asymmetric => asymmetric(low, high),
            DynamicScheme::AsymmetricAway => asymmetric_double(low, high),
            DynamicScheme::SymmetricAway => symmetric(low, high),
        };
        Self { factor, scale, zero }
    }
}

/// The range of numbers.
struct Range<'a>(&'a [f32]);

impl Kernel for Range<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> (f32, f32) {
        range(isa, self.0)
    }
}

/// Part of a row, or all of it, whose range is known.
struct QuantizeRun<'a> {
    scheme: DynamicScheme,
    parameters: Parameters,
    from: &'a [f32],
    to: &'a mut [u8],
}

impl Kernel for QuantizeRun<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        Quantize::new(isa, self.scheme, self.parameters).run(isa, self.from, self.to);
    }
}

/// Some rows, each over its own range.
struct QuantizeRows<'a> {
    scheme: DynamicScheme,
    from: &'a [f32],
    row_len: usize,
    to: &'a mut [u8],
    scales: &'a mut [f32],
    zeros: &'a mut [i32],
}

impl Kernel for QuantizeRows<'_> {
    type Output = ();

    /// Ranges of several rows, then what they make of the scheme, then the rows: a row's divisions wait for nothing.
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        const GROUP: usize = 8;
        let Self { scheme, from, row_len, to, scales, zeros } = self;
        let groups = from.chunks(GROUP * row_len).zip(to.chunks_mut(GROUP * row_len));
        let results = scales.chunks_mut(GROUP).zip(zeros.chunks_mut(GROUP));
        for ((from, to), (scales, zeros)) in groups.zip(results) {
            let mut group = [Parameters::default(); GROUP];
            for (row, from) in group.iter_mut().zip(from.chunks_exact(row_len)) {
                let (low, high) = range(isa, from);
                // Until all are known.
                (row.factor, row.scale) = (low, high);
            }
            for ((row, scale), zero) in group.iter_mut().zip(scales).zip(zeros) {
                *row = Parameters::new(scheme, row.factor, row.scale);
                (*scale, *zero) = (row.scale, row.zero as i32 + OFFSET);
            }
            let rows = from.chunks_exact(row_len).zip(to.chunks_exact_mut(row_len));
            for (&row, (from, to)) in group.iter().zip(rows) {
                Quantize::new(isa, scheme, row).run(isa, from, to);
            }
        }
    }
}

/// Elements that the reference quantizes at a time.
const REFERENCE_LANES: usize = 8;

/// The arithmetic of a scheme in registers.
#[derive(Copy, Clone)]
struct Quantize<S: Isa> {
    parameters: Parameters,
    least: f32,
    away: bool,
    factor: S::F,
    /// Bounds of a number before its zero point is added.
    low: S::F,
    high: S::F,
    /// The zero point as stored.
    zero: S::I,
}

impl<S: Isa> Quantize<S> {
    #[inline(always)]
    fn new(isa: S, scheme: DynamicScheme, parameters: Parameters) -> Self {
        let Parameters { factor, zero, .. } = parameters;
        let least = if scheme == DynamicScheme::SymmetricAway { -127.0 } else { -128.0 };
        Self {
            parameters,
            least,
            away: scheme != DynamicScheme::Asymmetric,
            factor: isa.splat(factor),
            low: isa.splat(least - zero),
            high: isa.splat(127.0 - zero),
            zero: isa.splat_i32(zero as i32 + OFFSET),
        }
    }

    #[inline(always)]
    fn run(self, isa: S, from: &[f32], to: &mut [u8]) {
        let mut whole = from.chunks_exact(S::LANES);
        let mut to = to.chunks_exact_mut(S::LANES);
        for (from, to) in (&mut whole).zip(&mut to) {
            isa.store_u8(self.apply(isa, isa.load(from)), to);
        }
        let (from, to) = (whole.remainder(), to.into_remainder());
        if from.is_empty() {
            return;
        }
        isa.store_u8_part(self.apply(isa, isa.load_part(from)), to);
        if self.away {
            // The reference rounds what is left of its vectors of eight otherwise: see `Quantize::apply`.
            let Parameters { factor, zero, .. } = self.parameters;
            let last = from.len() % REFERENCE_LANES.min(S::LANES);
            let start = from.len() - last;
            for (&x, to) in from[start..].iter().zip(&mut to[start..]) {
                let signed = ((x * factor).round() + zero).clamp(self.least, 127.0) as i8;
                *to = (i32::from(signed) + OFFSET) as u8;
            }
        }
    }

    #[inline(always)]
    fn apply(self, isa: S, x: S::F) -> S::I {
        let scaled = isa.mul(x, self.factor);
        let near = if self.away {
            // Half a step outwards, cut: the nearest integer with halves away from zero, but for the number just below
            // one half, which the sum rounds up.
            let outwards = isa.add(scaled, isa.copysign(isa.splat(0.5), scaled));
            isa.to_i32_trunc(isa.clamp(outwards, self.low, self.high))
        } else {
            isa.to_i32_round(isa.clamp(scaled, self.low, self.high))
        };
        isa.add_i32(near, self.zero)
    }
}

/// The least and the greatest of the numbers and zero.
#[inline(always)]
pub(crate) fn range<S: Isa>(isa: S, numbers: &[f32]) -> (f32, f32) {
    let (mut low, mut high) = (isa.zero(), isa.zero());
    let mut chunks = numbers.chunks_exact(S::LANES);
    for chunk in &mut chunks {
        let x = isa.load(chunk);
        low = isa.min(x, low);
        high = isa.max(x, high);
    }
    let rest = isa.load_part(chunks.remainder());
    // No lane is a NaN: a comparison is enough.
    let low = isa.reduce(isa.min(rest, low), |x, y| if y < x { y } else { x });
    (low, isa.reduce(isa.max(rest, high), |x, y| if y > x { y } else { x }))
}

/// Factor, scale and zero point so that `low..=high` fills the bytes.
#[inline(always)]
fn asymmetric(low: f32, high: f32) -> (f32, f32, f32) {
    let factor = if low == high { 1.0 } else { 255.0 / (high - low) };
    let (scaled_low, scaled_high) = (low * factor, high * factor);
    let low_error = -128.0 + scaled_low;
    let high_error = 127.0 + scaled_high;
    let zero = if low_error + high_error > 0.0 { -128.0 - scaled_low } else { 127.0 - scaled_high };
    (factor, 1.0 / factor, zero.clamp(-128.0, 127.0).round_ties_even())
}

/// As [`asymmetric`], in double precision.
#[inline(always)]
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
#[inline(always)]
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
                    let (mut to, mut scales, mut zeros) = ([0u8; 37], [0.0], [0]);
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
            let (mut to, mut scales, mut zeros) = ([0u8; 6], [0.0], [0]);
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
            assert_eq!(to.map(|q| i32::from(q) - OFFSET), [-127, 127, 1, 2, -1, -3], "{}", cpu.name());
        }
    }
}
