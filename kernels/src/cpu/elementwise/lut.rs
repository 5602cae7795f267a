//! Functions of narrow integers through tables.

use crate::inout::InOut;
use crate::par::Par;

use super::Baseline;
use super::quantized::Narrow;
use super::unary::map_in_out;

/// A function of 8-bit values, indexed by their bits.
pub type Table8<T> = [T; 256];

/// The table of `f` for `i8` or `u8`.
pub fn table8<T: Narrow>(f: impl Fn(T) -> T) -> Table8<T> {
    core::array::from_fn(|bits| f(T::cut(if T::MIN < 0 { i32::from(bits as i8) } else { bits as i32 })))
}

/// Replaces each value of `i8` or `u8` by its entry in the table.
pub fn apply8<T: Narrow>(par: Par, io: InOut<'_, T>, table: &Table8<T>) {
    map_in_out(Baseline, par, io, |x| table[usize::from(x.widen() as u8)]);
}

/// A function of `i16` at 513 points, 128 apart, between which it is interpolated.
pub type Table16 = [i16; 513];

/// Replaces each value by the interpolated function of it: with `h` the upper nine bits of the value as an index and
/// `l` the lower seven, `t[h] + round(l (t[h + 1] - t[h]) / 128)`.
pub fn apply16(par: Par, io: InOut<'_, i16>, table: &Table16) {
    map_in_out(Baseline, par, io, |x| lookup16(table, x));
}

/// One value through [`apply16`].
#[inline(always)]
#[must_use]
pub fn lookup16(table: &Table16, x: i16) -> i16 {
    let index = ((x >> 7) + 256) as usize;
    let low = i32::from(x & 0x7f);
    let (base, next) = (i32::from(table[index]), i32::from(table[index + 1]));
    (base + (((next - base) * low + 64) >> 7)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_bytes() {
        let signed = table8(|x: i8| x.wrapping_mul(7) ^ 3);
        let unsigned = table8(|x: u8| x.wrapping_mul(7) ^ 3);
        let input: Vec<i8> = (0..1000).map(|i| i as u8 as i8).collect();
        let mut out = input.clone();
        apply8(Par::serial(), InOut::in_place(&mut out), &signed);
        assert!(out.iter().zip(&input).all(|(&o, &x)| o == x.wrapping_mul(7) ^ 3));
        let input: Vec<u8> = (0..1000).map(|i| i as u8).collect();
        let mut out = vec![0; 1000];
        apply8(Par::new(2), InOut::apart(&input, &mut out).unwrap(), &unsigned);
        assert!(out.iter().zip(&input).all(|(&o, &x)| o == x.wrapping_mul(7) ^ 3));
    }

    #[test]
    fn interpolation_is_exact_at_points_and_for_lines() {
        let line: Table16 = core::array::from_fn(|i| (i as i16 - 256) * 64);
        let rows = [(0i16, 0), (128, 64), (-128, -64), (2, 1), (3, 2), (-32768, -16384), (32767, 16384)];
        for (x, want) in rows {
            assert_eq!(lookup16(&line, x), want, "{x}");
        }
    }
}
