//! Noise, gain and the logarithm of energies, in integers.

use super::frontend::{FrontendSettings, GainSettings};

/// Fractional bits of shares of the signal.
const SHARE_BITS: u32 = 14;

fn share(value: f32) -> Option<u32> {
    (0.0..=1.0).contains(&value).then_some((value * (1 << SHARE_BITS) as f32) as u16).map(u32::from)
}

/// Subtraction of a running estimate of the noise.
#[derive(Clone, Debug)]
pub(super) struct Noise {
    bits: u32,
    even: u32,
    odd: u32,
    least: u32,
}

impl Noise {
    /// `None` if a share is not between zero and one, or there are more bits than a number has.
    pub fn new(settings: &FrontendSettings) -> Option<Self> {
        let (even, odd) = settings.smoothing;
        Some(Self {
            bits: Some(settings.smoothing_bits).filter(|&bits| bits < 32)?,
            even: share(even)?,
            odd: share(odd)?,
            least: share(settings.least_signal)?,
        })
    }

    pub fn reduce(&self, values: &mut [u32], estimates: &mut [u32]) {
        for (i, (value, kept)) in values.iter_mut().zip(estimates).enumerate() {
            let new = u64::from(if i % 2 == 0 { self.even } else { self.odd });
            let scaled = value.wrapping_shl(self.bits);
            let old = (1 << SHARE_BITS) - new;
            let estimate = ((u64::from(scaled) * new + u64::from(*kept) * old) >> SHARE_BITS) as u32;
            *kept = estimate;
            let floor = ((u64::from(*value) * u64::from(self.least)) >> SHARE_BITS) as u32;
            *value = ((scaled - estimate.min(scaled)) >> self.bits).max(floor);
        }
    }
}

/// Fractional bits of the ratio of signal to noise, and of the result.
const RATIO_BITS: u32 = 12;
const RESULT_BITS: u32 = 6;

/// Gain by the noise estimate, from a table of parabolas between powers of two.
#[derive(Clone, Debug)]
pub(super) struct Gain {
    /// The gain of 0, 1 and 2, then for each power of two value, slope and curvature.
    small: [i16; 3],
    parabolas: Vec<[i16; 3]>,
    shift: u32,
}

impl Gain {
    /// `None` if a shift is beyond a number's bits.
    pub fn new(settings: &GainSettings, smoothing_bits: u32, correction: i32) -> Option<Self> {
        let shift = settings.bits as i32 - correction - RATIO_BITS as i32;
        let input_bits = smoothing_bits as i32 - correction;
        if !(0..64).contains(&shift) || !(0..32).contains(&input_bits) || settings.bits > 31 {
            return None;
        }
        let gain = |x: u32| -> i32 {
            let x = x as f32 / (1u64 << input_bits) as f32;
            let gain = (1u64 << settings.bits) as f32 * (x + settings.offset).powf(-settings.strength);
            // Casts saturate; a gain that is not a number is none.
            i32::from(if gain > f32::from(i16::MAX) { i16::MAX } else { (gain + 0.5) as i16 })
        };
        let parabola = |power: u32| {
            let start = 1u32 << (power - 1);
            let end = if power == 32 { u32::MAX } else { 2 * start };
            let [first, middle, last] = [start, start + start / 2, end].map(gain);
            let (to_middle, to_end) = (middle - first, last - first);
            let slope = 4 * to_middle - to_end;
            [first as i16, slope as i16, (to_end - slope) as i16]
        };
        let parabolas: Vec<[i16; 3]> = (2..=32).map(parabola).collect();
        let small = [gain(0) as i16, gain(1) as i16, parabolas[0][0]];
        Some(Self { small, parabolas, shift: shift as u32 })
    }

    fn gain(&self, x: u32) -> i16 {
        if x <= 2 {
            return self.small[x as usize];
        }
        let power = 32 - x.leading_zeros();
        let [first, slope, curve] = self.parabolas[power as usize - 2].map(i32::from);
        let part = (if power < 11 { x << (11 - power) } else { x >> (power - 11) } & 0x3ff) as i32;
        let rise = (((curve * part) >> 5).wrapping_add(slope << 5)).wrapping_mul(part);
        ((rise.wrapping_add(1 << 14) >> 15) + first) as i16
    }

    pub fn apply(&self, values: &mut [u32], estimates: &[u32]) {
        for (value, &estimate) in values.iter_mut().zip(estimates) {
            let gain = self.gain(estimate) as u32;
            let ratio = (u64::from(*value).wrapping_mul(u64::from(gain)) >> self.shift) as u32;
            *value = if ratio < 2 << RATIO_BITS {
                ratio.wrapping_mul(ratio) >> (2 + 2 * RATIO_BITS - RESULT_BITS)
            } else {
                (ratio >> (RATIO_BITS - RESULT_BITS)) - (1 << RESULT_BITS)
            };
        }
    }
}

/// Bits of the logarithm's fraction, and of the segments its curve is cut into.
const LOG_BITS: u32 = 16;
const SEGMENT_BITS: u32 = 7;
/// The natural logarithm of two, in that scale.
const LN_2: u64 = 45426;

/// How far the binary logarithm of `1 + segment / 128` is above the segment's start.
fn bend(segment: u32) -> i32 {
    let x = f64::from(segment) / f64::from(1u32 << SEGMENT_BITS);
    (f64::from(1u32 << LOG_BITS) * (libm::log2(1.0 + x) - x)).round() as i32
}

/// The natural logarithm of `value`, scaled by `correction` bits first and by `shift` bits then; 0 for what is 1 or less.
pub(super) fn logarithm(value: u32, correction: i32, shift: u32) -> u32 {
    let value = if correction < 0 {
        value >> correction.unsigned_abs().min(31)
    } else {
        value << (correction as u32).min(31)
    };
    if value <= 1 {
        return 0;
    }
    let whole = 31 - value.leading_zeros();
    let rest = value - (1 << whole);
    let fraction = if whole < LOG_BITS { rest << (LOG_BITS - whole) } else { rest >> (whole - LOG_BITS) };
    let segment = fraction >> (LOG_BITS - SEGMENT_BITS);
    let within = (fraction - (segment << (LOG_BITS - SEGMENT_BITS))) as i32;
    let (from, to) = (bend(segment), bend(segment + 1));
    let log2 = (whole << LOG_BITS)
        .wrapping_add_signed(fraction as i32 + from + (((to - from) * within) >> LOG_BITS));
    let half = 1u64 << (LOG_BITS - 1);
    let natural = ((LN_2 * u64::from(log2) + half) >> LOG_BITS) as u32;
    ((natural << shift).wrapping_add(half as u32)) >> LOG_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_close() {
        for value in [2u32, 3, 7, 100, 65535, 65536, 1 << 20, u32::MAX] {
            let want = f64::from(value).ln() * 64.0;
            let got = f64::from(logarithm(value, 0, 6));
            assert!((got - want).abs() < 1.0, "{value}: {got} instead of {want}");
        }
        assert_eq!((logarithm(0, 0, 6), logarithm(1, 0, 6), logarithm(2, -1, 6)), (0, 0, 0));
    }

    #[test]
    fn gain_falls_with_the_noise() {
        let settings = GainSettings { strength: 0.95, offset: 80.0, bits: 21 };
        let gain = Gain::new(&settings, 10, 3).unwrap();
        let gains: Vec<i16> = [0, 1, 2, 100, 10_000, 1 << 20, u32::MAX].map(|x| gain.gain(x)).to_vec();
        assert!(gains.windows(2).all(|pair| pair[0] >= pair[1]), "{gains:?}");
        assert!(Gain::new(&GainSettings { bits: 1, ..settings }, 10, 3).is_none());
    }
}
