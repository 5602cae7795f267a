//! The arithmetic of quantized element-wise operators.
//!
//! Each struct holds what lowering computes from scales and zero points; its method is one element. Two families exist
//! side by side because the reference runtime has two: the 8-bit forms of addition, subtraction, multiplication and
//! conversion round once, in float or by a shift, while everything else uses two rounded [`Multiplier`]s.

use bytemuck::Pod;

use super::binary::BinaryFunction;
use super::bytes::ByteFunction;
use crate::fixed_point::{Multiplier, high_mul, high_mul_i16, reciprocal, rounding_shift_right};
use crate::isa::{Isa, IsaNarrow, MAX_LANES};

/// The scale and zero point of a quantized tensor: `real = scale (q - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Real value of one step.
    pub scale: f32,
    /// The integer that stands for zero.
    pub zero_point: i32,
}

/// Integers that quantized tensors are made of.
pub trait Narrow: Pod + Send + Sync {
    /// Least value.
    const MIN: i32;
    /// Greatest value.
    const MAX: i32;
    /// The value.
    fn widen(self) -> i32;
    /// The value cut to this type; callers clamp first.
    fn cut(value: i32) -> Self;
    /// The value held to this type's range.
    #[inline(always)]
    fn saturate(value: i32) -> Self {
        Self::cut(value.clamp(Self::MIN, Self::MAX))
    }
}

macro_rules! narrow {
    ($($T:ty),*) => {
        $(impl Narrow for $T {
            const MIN: i32 = <$T>::MIN as i32;
            const MAX: i32 = <$T>::MAX as i32;
            #[inline(always)]
            fn widen(self) -> i32 {
                self as i32
            }
            #[inline(always)]
            fn cut(value: i32) -> Self {
                value as $T
            }
        })*
    };
}

narrow!(i8, u8, i16, i32);

/// The least and greatest value an output may have: its type's range, or an activation's part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Least value.
    pub min: i32,
    /// Greatest value.
    pub max: i32,
}

impl Limits {
    /// All values of `T`.
    #[must_use]
    pub const fn of<T: Narrow>() -> Self {
        Self { min: T::MIN, max: T::MAX }
    }

    /// `value` held to the limits and cut to `T`, whose range contains them.
    #[inline(always)]
    fn hold<T: Narrow>(self, value: i32) -> T {
        T::cut(value.max(self.min).min(self.max))
    }
}

/// `x` rounded to the nearest integer with halves to even, held to 16 bits; NaN becomes the greatest.
///
/// Adding 1.5 · 2^23 leaves the integer in the low bits of the sum, on every instruction set and without branches.
#[inline(always)]
#[must_use]
pub fn round_to_i16(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    // Not `clamp`: `min` drops a NaN.
    #[expect(clippy::manual_clamp, reason = "the two differ for NaN")]
    let held = x.min(32767.0).max(-32768.0);
    (held + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
}

/// 8-bit addition and subtraction with one rounding: both inputs are brought to the output's scale by 21-bit integer
/// factors over a common power of two.
#[derive(Clone, Copy, Debug)]
pub struct AddShift {
    factors: [i32; 2],
    bias: i32,
    shift: u32,
    zero_point: i32,
    limits: Limits,
}

impl AddShift {
    /// `a + b`, or `a - b` if `subtract`.
    ///
    /// `None` where the ratio of an input's scale to the output's is outside of 2^-10 to 2^8: [`AddFixed`] takes those.
    #[must_use]
    pub fn new(a: Affine, b: Affine, out: Affine, subtract: bool, limits: Limits) -> Option<Self> {
        let ratios = [a.scale / out.scale, b.scale / out.scale];
        if !ratios.iter().all(|r| (1.0 / 1024.0..256.0).contains(r)) {
            return None;
        }
        let exponent = (ratios[0].max(ratios[1]).to_bits() >> 23) as i32 - 127;
        let shift = (20 - exponent) as u32;
        let factors = ratios.map(|r| (f64::from(r) * f64::from(1u32 << shift)).round_ties_even() as i32);
        let factors = [factors[0], if subtract { -factors[1] } else { factors[1] }];
        let bias = (1i32 << (shift - 1))
            .wrapping_sub(factors[0].wrapping_mul(a.zero_point))
            .wrapping_sub(factors[1].wrapping_mul(b.zero_point));
        Some(Self { factors, bias, shift, zero_point: out.zero_point, limits })
    }

    /// One element.
    #[inline(always)]
    pub fn apply<T: Narrow>(self, a: T, b: T) -> T {
        let sum = self
            .bias
            .wrapping_add(a.widen().wrapping_mul(self.factors[0]))
            .wrapping_add(b.widen().wrapping_mul(self.factors[1]));
        let scaled = (sum >> self.shift).clamp(-32768, 32767) + self.zero_point;
        self.limits.hold(scaled.clamp(T::MIN, T::MAX))
    }
}

impl ByteFunction for AddShift {
    #[inline(always)]
    fn lanes<S: Isa>(self, isa: S, a: S::I, b: S::I) -> S::I {
        let Self { factors, bias, shift, zero_point, limits } = self;
        let a = isa.mul_i32(a, isa.splat_i32(factors[0]));
        let b = isa.mul_i32(b, isa.splat_i32(factors[1]));
        let sum = isa.add_i32(isa.add_i32(a, b), isa.splat_i32(bias));
        // The limits of bytes are tighter than those of 16 bits.
        let (low, high) = (limits.min.saturating_sub(zero_point), limits.max.saturating_sub(zero_point));
        let scaled = isa.max_i32(isa.shr_by(sum, shift), isa.splat_i32(low));
        isa.add_i32(isa.min_i32(scaled, isa.splat_i32(high)), isa.splat_i32(zero_point))
    }
}

/// 8-bit multiplication with one rounding, by a float factor.
#[derive(Clone, Copy, Debug)]
pub struct MulFloat {
    zero_points: [i32; 2],
    scale: f32,
    zero_point: i32,
    limits: Limits,
}

impl MulFloat {
    /// `a b`.
    ///
    /// `None` where the ratio of the product's scale to the output's is outside of 2^-16 to 2^8: [`MulFixed`] takes
    /// those.
    #[must_use]
    pub fn new(a: Affine, b: Affine, out: Affine, limits: Limits) -> Option<Self> {
        let scale = a.scale * b.scale / out.scale;
        (1.0 / 65536.0..256.0).contains(&scale).then_some(Self {
            zero_points: [a.zero_point, b.zero_point],
            scale,
            zero_point: out.zero_point,
            limits,
        })
    }

    /// One element.
    #[inline(always)]
    pub fn apply<T: Narrow>(self, a: T, b: T) -> T {
        let product = (a.widen() - self.zero_points[0]).wrapping_mul(b.widen() - self.zero_points[1]);
        let scaled = round_to_i16(product as f32 * self.scale) + self.zero_point;
        self.limits.hold(scaled.clamp(T::MIN, T::MAX))
    }
}

impl ByteFunction for MulFloat {
    #[inline(always)]
    fn lanes<S: Isa>(self, isa: S, a: S::I, b: S::I) -> S::I {
        let Self { zero_points, scale, zero_point, limits } = self;
        // Differences of bytes have 9 bits: their product is exact in float.
        let a = isa.to_f32(isa.sub_i32(a, isa.splat_i32(zero_points[0])));
        let b = isa.to_f32(isa.sub_i32(b, isa.splat_i32(zero_points[1])));
        let scaled = isa.mul(isa.mul(a, b), isa.splat(scale));
        // Bounds are whole numbers: to hold before rounding is to hold after it.
        let (low, high) = (limits.min.saturating_sub(zero_point), limits.max.saturating_sub(zero_point));
        let held = isa.clamp(scaled, isa.splat(low as f32), isa.splat(high as f32));
        isa.add_i32(isa.to_i32_round(held), isa.splat_i32(zero_point))
    }
}

/// Addition and subtraction with two rounded multipliers: inputs are brought to twice the greater input scale, with
/// `left` bits of headroom.
#[derive(Clone, Copy, Debug)]
pub struct AddFixed {
    inputs: ScaledPair,
    output: Multiplier,
    subtract: bool,
    zero_point: i32,
    limits: Limits,
}

/// Two inputs brought to a common scale with extra bits.
#[derive(Clone, Copy, Debug)]
struct ScaledPair {
    zero_points: [i32; 2],
    left: u32,
    factors: [Multiplier; 2],
    /// The common scale.
    scale: f64,
    /// Whether a scaled input is rounded once, and not again by its multiplier's shift.
    once: bool,
}

impl ScaledPair {
    fn new(a: Affine, b: Affine, left: u32) -> Option<Self> {
        let scale = f64::from(2.0 * a.scale.max(b.scale));
        Some(Self {
            zero_points: [a.zero_point, b.zero_point],
            left,
            factors: [
                Multiplier::new(f64::from(a.scale) / scale)?,
                Multiplier::new(f64::from(b.scale) / scale)?,
            ],
            scale,
            once: false,
        })
    }

    #[inline(always)]
    fn apply(self, a: i32, b: i32) -> [i32; 2] {
        let scaled = |x: i32, factor: Multiplier, zero_point: i32| {
            let x = (x - zero_point).wrapping_shl(self.left);
            if self.once { factor.apply_once(x) } else { factor.apply(x) }
        };
        [scaled(a, self.factors[0], self.zero_points[0]), scaled(b, self.factors[1], self.zero_points[1])]
    }
}

impl AddFixed {
    /// `a + b`, or `a - b` if `subtract`, with 20 bits of headroom for 8-bit values and 15 for 16-bit ones.
    ///
    /// `None` if a ratio of scales is not finite or too large for a [`Multiplier`].
    #[must_use]
    pub fn new(a: Affine, b: Affine, out: Affine, subtract: bool, left: u32, limits: Limits) -> Option<Self> {
        let inputs = ScaledPair::new(a, b, left)?;
        let output = Multiplier::new(inputs.scale / f64::from((1u32 << left) as f32 * out.scale))?;
        Some(Self { inputs, output, subtract, zero_point: out.zero_point, limits })
    }

    /// The same with each scaled input rounded once, as the reference's vector code for 16-bit sums does.
    #[must_use]
    pub fn rounding_inputs_once(self) -> Self {
        Self { inputs: ScaledPair { once: true, ..self.inputs }, ..self }
    }

    /// One element.
    #[inline(always)]
    pub fn apply<T: Narrow>(self, a: T, b: T) -> T {
        let [a, b] = self.inputs.apply(a.widen(), b.widen());
        let sum = if self.subtract { a.wrapping_sub(b) } else { a.wrapping_add(b) };
        self.limits.hold(self.output.apply(sum).wrapping_add(self.zero_point))
    }
}

impl<T: Narrow> BinaryFunction<T, T, T> for AddFixed {
    #[inline(always)]
    fn of(self, a: T, b: T) -> T {
        self.apply(a, b)
    }
}

/// 16-bit addition and subtraction where all scales are powers of two and one input has the output's.
#[derive(Clone, Copy, Debug)]
pub struct AddPowers {
    shifts: [i32; 2],
    subtract: bool,
    limits: Limits,
}

impl AddPowers {
    /// `a + b`, or `a - b` if `subtract`; zero points are zero.
    ///
    /// `None` unless the scales are powers of two and each input's is at most the output's, one of them equal to it.
    #[must_use]
    pub fn new(a: Affine, b: Affine, out: Affine, subtract: bool, limits: Limits) -> Option<Self> {
        let out = log2_exact(out.scale)?;
        let shifts = [out - log2_exact(a.scale)?, out - log2_exact(b.scale)?];
        let fits = shifts.contains(&0) && shifts.iter().all(|s| (0..31).contains(s));
        fits.then_some(Self { shifts, subtract, limits })
    }

    /// One element.
    #[inline(always)]
    pub fn apply(self, a: i16, b: i16) -> i16 {
        let a = rounding_shift_right(i32::from(a), self.shifts[0]);
        let b = rounding_shift_right(i32::from(b), self.shifts[1]);
        let sum = if self.subtract { a - b } else { a + b };
        self.limits.hold(sum.clamp(-32768, 32767))
    }
}

/// The exponent of a scale that is a power of two up to a thousandth of a bit.
#[must_use]
pub fn log2_exact(scale: f32) -> Option<i32> {
    let log = scale.log2();
    let rounded = log.round();
    ((log - rounded).abs() < 1e-3).then_some(rounded as i32)
}

/// Multiplication with a rounded multiplier.
#[derive(Clone, Copy, Debug)]
pub struct MulFixed {
    zero_points: [i32; 2],
    factor: Multiplier,
    zero_point: i32,
    limits: Limits,
}

impl MulFixed {
    /// `a b`; `None` if the ratio of scales is not finite or too large for a [`Multiplier`].
    #[must_use]
    pub fn new(a: Affine, b: Affine, out: Affine, limits: Limits) -> Option<Self> {
        Some(Self {
            zero_points: [a.zero_point, b.zero_point],
            factor: Multiplier::new(f64::from(a.scale * b.scale / out.scale))?,
            zero_point: out.zero_point,
            limits,
        })
    }

    /// One element.
    #[inline(always)]
    pub fn apply<T: Narrow>(self, a: T, b: T) -> T {
        let product = (a.widen() - self.zero_points[0]).wrapping_mul(b.widen() - self.zero_points[1]);
        self.limits.hold(self.factor.apply(product).wrapping_add(self.zero_point))
    }
}

/// Multiplication of 15-bit fractions into 8 bits: the scales are fixed by the formats and not looked at.
#[derive(Clone, Copy, Debug)]
pub struct MulFractions {
    zero_point: i32,
    limits: Limits,
}

impl MulFractions {
    /// `a b` with an output zero point.
    #[must_use]
    pub fn new(zero_point: i32, limits: Limits) -> Self {
        Self { zero_point, limits }
    }

    /// One element.
    #[inline(always)]
    pub fn apply<T: Narrow>(self, a: i16, b: i16) -> T {
        let product = rounding_shift_right(i32::from(high_mul_i16(a, b)), 8);
        self.limits.hold(product + self.zero_point)
    }
}

/// The squared difference, with two rounded multipliers and seven bits of headroom.
#[derive(Clone, Copy, Debug)]
pub struct SquaredDifference {
    inputs: ScaledPair,
    output: Multiplier,
    zero_point: i32,
}

impl SquaredDifference {
    /// `(a - b)²`; `None` if a ratio of scales is not finite or too large for a [`Multiplier`].
    #[must_use]
    pub fn new(a: Affine, b: Affine, out: Affine) -> Option<Self> {
        let inputs = ScaledPair::new(a, b, 7)?;
        let output =
            Multiplier::new(inputs.scale * inputs.scale / f64::from((1u32 << 14) as f32 * out.scale))?;
        Some(Self { inputs, output, zero_point: out.zero_point })
    }

    /// One element.
    #[inline(always)]
    pub fn apply<T: Narrow>(self, a: T, b: T) -> T {
        self.square(a.widen(), b.widen())
    }

    #[inline(always)]
    fn square<T: Narrow>(self, a: i32, b: i32) -> T {
        let [a, b] = self.inputs.apply(a, b);
        let difference = a.wrapping_sub(b);
        T::saturate(self.output.apply(difference.wrapping_mul(difference)).wrapping_add(self.zero_point))
    }
}

impl ByteFunction for SquaredDifference {
    #[inline(always)]
    fn lanes<S: Isa>(self, isa: S, a: S::I, b: S::I) -> S::I {
        // Products of 64 bits, which no instruction set has under a common name: a loop of fixed length becomes vector code.
        let mut lanes = [[0; MAX_LANES]; 2];
        isa.store_i32(a, &mut lanes[0]);
        isa.store_i32(b, &mut lanes[1]);
        let mut out = [0; MAX_LANES];
        for i in 0..S::LANES {
            out[i] = i32::from(self.square::<i8>(lanes[0][i], lanes[1][i]));
        }
        isa.load_i32(&out)
    }
}

/// Division through a fixed-point reciprocal.
#[derive(Clone, Copy, Debug)]
pub struct DivFixed {
    zero_points: [i32; 2],
    factor: Multiplier,
    zero_point: i32,
    limits: Limits,
}

impl DivFixed {
    /// `a / b`; `None` if the ratio of scales is not finite or too large for a [`Multiplier`].
    #[must_use]
    pub fn new(a: Affine, b: Affine, out: Affine, limits: Limits) -> Option<Self> {
        Some(Self {
            zero_points: [a.zero_point, b.zero_point],
            factor: Multiplier::new(f64::from(a.scale / (b.scale * out.scale)))?,
            zero_point: out.zero_point,
            limits,
        })
    }

    /// The divisor that stands for zero and must not occur.
    #[must_use]
    pub fn zero(&self) -> i32 {
        self.zero_points[1]
    }

    /// One element. A divisor of zero gives the value nearest to the quotient's sign times infinity.
    #[inline(always)]
    pub fn apply<T: Narrow>(self, a: T, b: T) -> T {
        let (mut a, mut b) = (a.widen() - self.zero_points[0], b.widen() - self.zero_points[1]);
        if b == 0 {
            return if a < 0 { T::cut(self.limits.min) } else { T::cut(self.limits.max) };
        }
        if b < 0 {
            (a, b) = (-a, -b);
        }
        let (inverse, shift) = reciprocal(b);
        let headroom = (if a < 0 { !a } else { a }).leading_zeros() as i32 - 1;
        let quotient = high_mul(a.wrapping_shl(headroom as u32), inverse);
        let exponent = self.factor.exponent - shift - headroom;
        let scaled = if exponent < -31 {
            // The reference leaves counts beyond 31 to the processor: the shift takes them modulo 32, and whatever is
            // not negative counts as a remainder that rounds up.
            let product = high_mul(quotient, self.factor.fraction);
            product.wrapping_shr(exponent.unsigned_abs()) + i32::from(product >= 0)
        } else {
            Multiplier { fraction: self.factor.fraction, exponent }.apply(quotient)
        };
        self.limits.hold(scaled.wrapping_add(self.zero_point))
    }
}

/// A conversion between 8-bit scales with one rounding, by an 8.8-bit factor.
#[derive(Clone, Copy, Debug)]
pub struct RescaleShift {
    input_zero_point: i32,
    positive: i32,
    negative: i32,
    output_zero_point: i32,
}

impl RescaleShift {
    /// `x` where positive, `x slope` where not.
    ///
    /// `None` where a factor is outside of what 8.8 bits hold (2^-8 to 2^7).
    #[must_use]
    pub fn new(input: Affine, output: Affine, slope: f32) -> Option<Self> {
        let positive = input.scale / output.scale;
        let negative = positive * slope;
        let fits = (1.0 / 256.0..=128.0).contains(&positive)
            && (-127.996_09..=128.0).contains(&negative)
            && negative.abs() >= 1.0 / 256.0;
        let factor = |x: f32| (256.0 * x).round_ties_even() as i32;
        fits.then(|| Self {
            input_zero_point: input.zero_point,
            positive: factor(positive),
            negative: factor(negative),
            output_zero_point: output.zero_point,
        })
    }

    /// One element.
    #[inline(always)]
    pub fn apply<T: Narrow>(self, x: T) -> T {
        let x = x.widen() - self.input_zero_point;
        let factor = if x > 0 { self.positive } else { self.negative };
        T::saturate(((x * factor + 128) >> 8) + self.output_zero_point)
    }
}

/// A conversion between any two quantized types, with a rounded multiplier.
#[derive(Clone, Copy, Debug)]
pub struct Rescale {
    input_zero_point: i32,
    factor: Multiplier,
    output_zero_point: i32,
}

impl Rescale {
    /// From one scale and zero point to another; `None` if the ratio of scales is not finite or too large.
    #[must_use]
    pub fn new(input: Affine, output: Affine) -> Option<Self> {
        Self::by(f64::from(input.scale) / f64::from(output.scale), input.zero_point, output.zero_point)
    }

    /// By a real factor between two zero points; `None` if it is not finite or too large.
    #[must_use]
    pub fn by(factor: f64, input_zero_point: i32, output_zero_point: i32) -> Option<Self> {
        Some(Self { input_zero_point, factor: Multiplier::new(factor)?, output_zero_point })
    }

    /// One element before it is held to the output's range.
    #[inline(always)]
    #[must_use]
    pub fn raw(self, x: i32) -> i32 {
        self.factor.apply(x.wrapping_sub(self.input_zero_point)).wrapping_add(self.output_zero_point)
    }

    /// One element.
    #[inline(always)]
    pub fn apply<A: Narrow, B: Narrow>(self, x: A) -> B {
        B::saturate(self.raw(x.widen()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Affine = Affine { scale: 0.05, zero_point: -3 };
    const B: Affine = Affine { scale: 0.02, zero_point: 12 };

    /// `real` in the quantization `out`.
    fn quantize(real: f64, out: Affine) -> f64 {
        (real / f64::from(out.scale) + f64::from(out.zero_point)).clamp(-128.0, 127.0)
    }

    /// Every pair of 8-bit values through `apply` against the real function, within `steps` of the exact quotient.
    fn all_pairs(
        name: &str,
        out: Affine,
        apply: impl Fn(i8, i8) -> i8,
        real: impl Fn(f64, f64) -> f64,
        steps: f64,
    ) {
        for a in i8::MIN..=i8::MAX {
            for b in i8::MIN..=i8::MAX {
                let x = f64::from(A.scale) * f64::from(i32::from(a) - A.zero_point);
                let y = f64::from(B.scale) * f64::from(i32::from(b) - B.zero_point);
                let want = quantize(real(x, y), out);
                if want.is_nan() || want.is_infinite() {
                    continue;
                }
                let got = f64::from(apply(a, b));
                assert!((got - want).abs() <= steps, "{name}({a}, {b}) = {got}, want {want}");
            }
        }
    }

    #[test]
    fn eight_bit_arithmetic_is_near_the_real_one() {
        let limits = Limits::of::<i8>();
        let out = Affine { scale: 0.07, zero_point: 5 };
        for subtract in [false, true] {
            let real = |x: f64, y: f64| if subtract { x - y } else { x + y };
            let shift = AddShift::new(A, B, out, subtract, limits).unwrap();
            all_pairs("shift", out, |a, b| shift.apply(a, b), real, 0.5001);
            let fixed = AddFixed::new(A, B, out, subtract, 20, limits).unwrap();
            all_pairs("fixed", out, |a, b| fixed.apply(a, b), real, 0.5001);
        }
        let float = MulFloat::new(A, B, out, limits).unwrap();
        all_pairs("float product", out, |a, b| float.apply(a, b), |x, y| x * y, 0.5001);
        let fixed = MulFixed::new(A, B, out, limits).unwrap();
        all_pairs("fixed product", out, |a, b| fixed.apply(a, b), |x, y| x * y, 0.5001);
        let square = SquaredDifference::new(A, B, out).unwrap();
        all_pairs("squared difference", out, |a, b| square.apply(a, b), |x, y| (x - y) * (x - y), 0.6);
        let div = DivFixed::new(A, B, out, limits).unwrap();
        // Not for dividends next to zero, see `DivFixed::apply`.
        let real = |x: f64, y: f64| if x.abs() < 0.2 { f64::NAN } else { x / y };
        all_pairs("quotient", out, |a, b| div.apply(a, b), real, 0.5001);
    }

    #[test]
    fn limits_hold() {
        let limits = Limits { min: -10, max: 20 };
        let add = AddShift::new(A, B, A, false, limits).unwrap();
        assert_eq!((add.apply(127i8, 127i8), add.apply(-128i8, -128i8)), (20, -10));
        let mul = MulFloat::new(A, B, A, limits).unwrap();
        assert_eq!((mul.apply(127i8, 127i8), mul.apply(-128i8, 127i8)), (20, -10));
    }

    #[test]
    fn ratios_out_of_range_are_refused() {
        let tiny = Affine { scale: 1e-6, zero_point: 0 };
        let limits = Limits::of::<i8>();
        assert!(AddShift::new(A, B, tiny, false, limits).is_none());
        assert!(AddShift::new(tiny, B, A, false, limits).is_none());
        assert!(MulFloat::new(A, B, tiny, limits).is_none());
        assert!(RescaleShift::new(A, tiny, 1.0).is_none());
        assert!(AddPowers::new(A, B, A, false, limits).is_none());
    }

    #[test]
    fn powers_of_two_shift_one_input() {
        let q = |scale: f32| Affine { scale, zero_point: 0 };
        let add = AddPowers::new(q(0.25), q(1.0), q(1.0), false, Limits::of::<i16>()).unwrap();
        assert_eq!(add.apply(6, 100), 102, "1.5 rounds away from zero");
        assert_eq!(add.apply(32767, 32767), 32767);
        let sub = AddPowers::new(q(1.0), q(0.5), q(1.0), true, Limits::of::<i16>()).unwrap();
        assert_eq!(sub.apply(-32768, 3), -32768);
        assert_eq!(sub.apply(10, 3), 8);
    }

    #[test]
    fn fractions_multiply_into_bytes() {
        let mul = MulFractions::new(-1, Limits::of::<i8>());
        assert_eq!(mul.apply::<i8>(16384, 16384), 31);
        assert_eq!(mul.apply::<i8>(-32768, 32767), -128);
    }

    #[test]
    fn rounding_to_sixteen_bits() {
        let rows =
            [(0.5, 0), (1.5, 2), (-0.5, 0), (-2.5, -2), (1e9, 32767), (-1e9, -32768), (f32::NAN, 32767)];
        for (x, want) in rows {
            assert_eq!(round_to_i16(x), want, "{x}");
        }
    }

    #[test]
    fn rescales() {
        let input = Affine { scale: 0.5, zero_point: 10 };
        let output = Affine { scale: 0.25, zero_point: -3 };
        let shift = RescaleShift::new(input, output, 1.0).unwrap();
        let fixed = Rescale::new(input, output).unwrap();
        for x in i8::MIN..=i8::MAX {
            let want = (2 * (i32::from(x) - 10) - 3).clamp(-128, 127) as i8;
            assert_eq!((shift.apply(x), fixed.apply::<i8, i8>(x)), (want, want), "{x}");
        }
        let leaky = RescaleShift::new(input, output, 0.25).unwrap();
        assert_eq!(leaky.apply(2i8), -7);
    }
}
