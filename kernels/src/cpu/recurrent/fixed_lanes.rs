//! Sigmoid and tanh of [`fixed`](super::fixed) on vectors of 16-bit lanes: the same numbers, twice as many lanes as floats have.

use crate::isa::{Cpu, Isa, Kernel, MAX_LANES};

/// The most 16-bit lanes of a vector.
const MAX_HALVES: usize = 2 * MAX_LANES;

/// [`sigmoid_q3`](super::fixed::sigmoid_q3) of each value.
pub fn sigmoid_q3_all(cpu: Cpu, values: &mut [i16]) {
    cpu.dispatch(All { values, function: Sigmoid });
}

/// tanh of each of `values`, which have `integer_bits` (0 to 6) bits before the binary point, into Q0.15.
///
/// `false`, and the values as they were, for another number of bits.
#[must_use]
pub fn tanh_all(cpu: Cpu, integer_bits: i32, values: &mut [i16]) -> bool {
    match integer_bits {
        0 => cpu.dispatch(All { values, function: Tanh::<0, 1> }),
        1 => cpu.dispatch(All { values, function: Tanh::<1, 2> }),
        2 => cpu.dispatch(All { values, function: Tanh::<2, 3> }),
        3 => cpu.dispatch(All { values, function: Tanh::<3, 4> }),
        4 => cpu.dispatch(All { values, function: Tanh::<4, 5> }),
        5 => cpu.dispatch(All { values, function: Tanh::<5, 6> }),
        6 => cpu.dispatch(All { values, function: Tanh::<6, 7> }),
        _ => return false,
    }
    true
}

/// A function of 16-bit lanes.
trait Function: Copy {
    fn of<S: Isa>(self, isa: S, x: S::I) -> S::I;
}

struct All<'a, F> {
    values: &'a mut [i16],
    function: F,
}

impl<F: Function> Kernel for All<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let mut blocks = self.values.chunks_exact_mut(2 * S::LANES);
        for block in &mut blocks {
            // SAFETY: a block has two numbers of 16 bits for each lane of 32.
            unsafe {
                let x = isa.load_i32_ptr(block.as_ptr().cast());
                isa.store_i32_ptr(self.function.of(isa, x), block.as_mut_ptr().cast());
            }
        }
        let rest = blocks.into_remainder();
        if !rest.is_empty() {
            let mut lanes = [0i16; MAX_HALVES];
            lanes[..rest.len()].copy_from_slice(rest);
            // SAFETY: the array has a number for each lane of any vector.
            unsafe {
                let x = isa.load_i32_ptr(lanes.as_ptr().cast());
                isa.store_i32_ptr(self.function.of(isa, x), lanes.as_mut_ptr().cast());
            }
            rest.copy_from_slice(&lanes[..rest.len()]);
        }
    }
}

#[derive(Clone, Copy)]
struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn of<S: Isa>(self, isa: S, x: S::I) -> S::I {
        let reciprocal =
            twice_reciprocal_of_one_plus(isa, exp_of_negative::<S, 3>(isa, negative_magnitude(isa, x)));
        let upper = isa.saturating_add_i16(reciprocal, reciprocal);
        let zero = isa.splat_i16(0);
        let either = isa.blend(isa.lt_i16(x, zero), isa.sub_i16(isa.splat_i16(i16::MAX), upper), upper);
        isa.blend(isa.eq_i16(x, zero), isa.splat_i16(1 << 14), either)
    }
}

#[derive(Clone, Copy)]
struct Tanh<const INTEGER_BITS: i32, const DOUBLED_BITS: i32>;

impl<const INTEGER_BITS: i32, const DOUBLED_BITS: i32> Function for Tanh<INTEGER_BITS, DOUBLED_BITS> {
    #[inline(always)]
    fn of<S: Isa>(self, isa: S, x: S::I) -> S::I {
        let e = exp_of_negative::<S, DOUBLED_BITS>(isa, negative_magnitude(isa, x));
        let half = isa.sub_i16(twice_reciprocal_of_one_plus(isa, e), isa.splat_i16(1 << 13));
        let twice = isa.saturating_add_i16(half, half);
        let magnitude = isa.saturating_add_i16(twice, twice);
        let zero = isa.splat_i16(0);
        let either = isa.blend(isa.lt_i16(x, zero), isa.sub_i16(zero, magnitude), magnitude);
        isa.blend(isa.eq_i16(x, zero), zero, either)
    }
}

/// `-|x|`
#[inline(always)]
fn negative_magnitude<S: Isa>(isa: S, x: S::I) -> S::I {
    let zero = isa.splat_i16(0);
    isa.blend(isa.lt_i16(zero, x), isa.sub_i16(zero, x), x)
}

/// exp(a) for `a` in [-1/4, 0), argument and result in Q0.15.
///
/// Squares and their sums with what is smaller are not negative, and of such numbers a rounded shift right is a product by a
/// power of two.
#[inline(always)]
fn exp_of_last_quarter<S: Isa>(isa: S, a: S::I) -> S::I {
    let exp_of_minus_eighth = isa.splat_i16(28918);
    let x = isa.add_i16(a, isa.splat_i16(1 << 12));
    let x2 = isa.high_mul_i16(x, x);
    let x3 = isa.high_mul_i16(x2, x);
    let x4 = isa.high_mul_i16(x2, x2);
    let quarter_x4 = isa.high_mul_i16(x4, isa.splat_i16(1 << 13));
    let third = isa.high_mul_i16(isa.add_i16(quarter_x4, x3), isa.splat_i16(10923));
    let higher = isa.high_mul_i16(isa.add_i16(third, x2), isa.splat_i16(1 << 14));
    let rest = isa.high_mul_i16(exp_of_minus_eighth, isa.add_i16(x, higher));
    isa.saturating_add_i16(exp_of_minus_eighth, rest)
}

/// exp(a) in Q0.15 for `a <= 0` in `Q{INTEGER_BITS}.{15 - INTEGER_BITS}`.
#[inline(always)]
fn exp_of_negative<S: Isa, const INTEGER_BITS: i32>(isa: S, a: S::I) -> S::I {
    /// exp(-2^e) in Q0.15 for e = -2 to 4.
    const FACTORS: [i16; 7] = [25520, 19875, 12055, 4435, 600, 11, 0];
    let fraction_bits = 15 - INTEGER_BITS;
    let quarter = 1i16 << (fraction_bits - 2);
    let in_quarter = isa.sub_i16(isa.and(a, isa.splat_i16(quarter - 1)), isa.splat_i16(quarter));
    // Nothing is shifted out of a lane but copies of its sign, and those of the lower one are wiped away.
    let wiped = isa.splat_i16(-1 << INTEGER_BITS);
    let mut result = exp_of_last_quarter(isa, isa.and(isa.shl::<INTEGER_BITS>(in_quarter), wiped));
    let rest = isa.sub_i16(in_quarter, a);
    for (i, &factor) in FACTORS.iter().enumerate() {
        let exponent = i as i32 - 2;
        if INTEGER_BITS > exponent {
            let bit = isa.splat_i16(1 << (fraction_bits + exponent));
            let scaled = isa.high_mul_i16(result, isa.splat_i16(factor));
            result = isa.blend(isa.eq_i16(isa.and(rest, bit), bit), scaled, result);
        }
    }
    if INTEGER_BITS > 5 {
        let vanishes = isa.lt_i16(a, isa.splat_i16(-(1 << (20 - INTEGER_BITS))));
        result = isa.blend(vanishes, isa.splat_i16(0), result);
    }
    isa.blend(isa.eq_i16(a, isa.splat_i16(0)), isa.splat_i16(i16::MAX), result)
}

/// The solution `x` of `x (1 + a) / 2 = 1`, in Q2.13, for `a >= 0` in Q0.15.
#[inline(always)]
fn twice_reciprocal_of_one_plus<S: Isa>(isa: S, a: S::I) -> S::I {
    let half = isa.and(isa.shr::<1>(a), isa.splat_i16(i16::MAX));
    let half_denominator = isa.add_i16(half, isa.splat_i16(1 << 14));
    let mut x = isa.add_i16(isa.splat_i16(23130), isa.high_mul_i16(half_denominator, isa.splat_i16(-15420)));
    for _ in 0..3 {
        let error = isa.sub_i16(isa.splat_i16(1 << 13), isa.high_mul_i16(half_denominator, x));
        let step = isa.high_mul_i16(x, error);
        let twice = isa.saturating_add_i16(step, step);
        x = isa.add_i16(x, isa.saturating_add_i16(twice, twice));
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::recurrent::fixed;

    #[test]
    fn all_numbers_as_one_by_one() {
        // One more than blocks have, for the rest of a block.
        let xs: Vec<i16> = (i16::MIN..=i16::MAX).chain([77]).collect();
        let mut wrong = Vec::new();
        for cpu in Cpu::all() {
            let mut check = |name: &str, got: &[i16], want: &dyn Fn(i16) -> i16| {
                if let Some((&x, &got)) = xs.iter().zip(got).find(|&(&x, &got)| got != want(x)) {
                    wrong.push(format!("{}: {name}({x}) = {got}, want {}", cpu.name(), want(x)));
                }
            };
            let mut values = xs.clone();
            sigmoid_q3_all(cpu, &mut values);
            check("sigmoid", &values, &fixed::sigmoid_q3);
            let scalars: [&dyn Fn(i16) -> i16; 7] = [
                &fixed::tanh::<0, 1>,
                &fixed::tanh::<1, 2>,
                &fixed::tanh::<2, 3>,
                &fixed::tanh::<3, 4>,
                &fixed::tanh::<4, 5>,
                &fixed::tanh::<5, 6>,
                &fixed::tanh::<6, 7>,
            ];
            for (bits, scalar) in scalars.iter().enumerate() {
                let mut values = xs.clone();
                assert!(tanh_all(cpu, bits as i32, &mut values));
                check(&format!("tanh of {bits} integer bits"), &values, scalar);
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        let mut untouched = [1];
        assert!(!tanh_all(Cpu::detect(), 7, &mut untouched));
        assert_eq!(untouched, [1]);
    }
}
