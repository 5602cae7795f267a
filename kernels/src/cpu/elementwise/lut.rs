//! Functions of narrow integers through tables.

use crate::inout::InOut;
use crate::par::Par;

use super::Baseline;
use super::quantized::Narrow;
use super::unary::map_in_out;

/// Whole tables in registers, looked up by byte permutations.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::*;

    use super::*;
    use crate::cpu::elementwise::for_each_range;
    use crate::cpu::elementwise::unary::Tiles;

    /// Proof that the CPU permutes bytes in a way.
    #[derive(Copy, Clone, Debug)]
    pub(super) struct Permute(Way);

    #[derive(Copy, Clone, Debug)]
    enum Way {
        /// Any of 128, by AVX-512 F, BW and VBMI.
        Vbmi,
        /// Any of sixteen, by AVX2.
        Shuffle,
    }

    impl Way {
        fn is_there(self) -> bool {
            match self {
                Self::Vbmi => {
                    is_x86_feature_detected!("avx512f")
                        && is_x86_feature_detected!("avx512bw")
                        && is_x86_feature_detected!("avx512vbmi")
                }
                Self::Shuffle => is_x86_feature_detected!("avx2"),
            }
        }
    }

    impl Permute {
        /// The ways that the running CPU has, the fastest first.
        pub(super) fn detect() -> impl Iterator<Item = Self> {
            [Way::Vbmi, Way::Shuffle].into_iter().filter(|way| way.is_there()).map(Self)
        }

        pub(super) fn apply8<T: Narrow>(self, par: Par, io: InOut<'_, T>, table: &Table8<T>) {
            assert_eq!(size_of::<T>(), 1, "a table of bytes");
            let tiles = Tiles::new(io);
            for_each_range(par, tiles.len(), |range| {
                // SAFETY: the ranges of tiles are disjoint.
                let mut part = unsafe { tiles.part(range) };
                let (from, to, len) = (part.src().cast(), part.dst().cast(), part.len());
                let table = bytemuck::cast_slice(table);
                // SAFETY: the token proves that the CPU has the instructions; both pointers are valid for `len` bytes, and a vector
                // is read before its place is written.
                unsafe {
                    match self.0 {
                        Way::Vbmi => look_up(table, from, to, len),
                        Way::Shuffle => shuffle(table, from, to, len),
                    }
                }
            });
        }
    }

    /// # Safety
    /// The CPU has the instructions; `from` is valid for reading `len` bytes and `to`, the same or apart, for writing.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    unsafe fn look_up(table: &[u8], from: *const i8, to: *mut i8, len: usize) {
        assert_eq!(table.len(), 256);
        // SAFETY: the table has four vectors; the caller vouches for `len` bytes, beyond which the masks do not reach.
        unsafe {
            let part = |i: usize| _mm512_loadu_si512(table.as_ptr().add(64 * i).cast());
            let parts = [part(0), part(1), part(2), part(3)];
            for at in (0..len).step_by(64) {
                let mask = u64::MAX >> (64 - (len - at).min(64));
                let x = _mm512_maskz_loadu_epi8(mask, from.add(at));
                let low = _mm512_permutex2var_epi8(parts[0], x, parts[1]);
                let high = _mm512_permutex2var_epi8(parts[2], x, parts[3]);
                let y = _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
                _mm512_mask_storeu_epi8(to.add(at), mask, y);
            }
        }
    }

    /// # Safety
    /// As of [`look_up`].
    #[target_feature(enable = "avx2")]
    unsafe fn shuffle(table: &[u8], from: *const i8, to: *mut i8, len: usize) {
        assert_eq!(table.len(), 256);
        // A shuffle gives zero for numbers below zero. An index is lessened by sixteen from step to step; as long as it is not
        // below zero the entry of one sixteenth is exchanged for that of the next. Each half of the table has eight steps of
        // its own, for which the numbers of the other half are below zero.
        let mut steps = [_mm256_setzero_si256(); 16];
        for (i, step) in steps.iter_mut().enumerate() {
            // SAFETY: a sixteenth of the table.
            let part = |i: usize| unsafe { _mm_loadu_si128(table.as_ptr().add(16 * i).cast()) };
            let entry = match i {
                0 | 8 => part(i),
                _ => _mm_xor_si128(part(i), part(i - 1)),
            };
            *step = _mm256_broadcastsi128_si256(entry);
        }
        let sixteen = _mm256_set1_epi8(16);
        let whole = len / 32 * 32;
        for at in (0..whole).step_by(32) {
            // SAFETY: the caller vouches for `len` bytes.
            let x = unsafe { _mm256_loadu_si256(from.add(at).cast()) };
            let (mut low, mut high) = (x, _mm256_xor_si256(x, _mm256_set1_epi8(i8::MIN)));
            let mut y =
                _mm256_xor_si256(_mm256_shuffle_epi8(steps[0], low), _mm256_shuffle_epi8(steps[8], high));
            for i in 1..8 {
                // Saturated, lest they come round.
                low = _mm256_subs_epi8(low, sixteen);
                high = _mm256_subs_epi8(high, sixteen);
                y = _mm256_xor_si256(y, _mm256_shuffle_epi8(steps[i], low));
                y = _mm256_xor_si256(y, _mm256_shuffle_epi8(steps[i + 8], high));
            }
            // SAFETY: as above.
            unsafe { _mm256_storeu_si256(to.add(at).cast(), y) };
        }
        for at in whole..len {
            // SAFETY: the caller vouches for `len` bytes.
            unsafe { *to.add(at) = table[usize::from(*from.add(at) as u8)] as i8 };
        }
    }
}

/// A function of 8-bit values, indexed by their bits.
pub type Table8<T> = [T; 256];

/// The table of `f` for `i8` or `u8`.
pub fn table8<T: Narrow>(f: impl Fn(T) -> T) -> Table8<T> {
    core::array::from_fn(|bits| f(T::cut(if T::MIN < 0 { i32::from(bits as i8) } else { bits as i32 })))
}

/// Replaces each value of `i8` or `u8` by its entry in the table.
pub fn apply8<T: Narrow>(par: Par, io: InOut<'_, T>, table: &Table8<T>) {
    #[cfg(target_arch = "x86_64")]
    if let Some(permute) = x86::Permute::detect().next() {
        return permute.apply8(par, io, table);
    }
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

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_way_of_permuting() {
        let table = table8(|x: i8| x.wrapping_mul(7) ^ 3);
        let input: Vec<i8> = (0..1000).map(|i| i as u8 as i8).collect();
        for permute in x86::Permute::detect() {
            for len in [0, 1, 31, 32, 64, 1000] {
                let (mut out, want) = (vec![0; len], input[..len].iter().map(|x| x.wrapping_mul(7) ^ 3));
                permute.apply8(Par::serial(), InOut::apart(&input[..len], &mut out).unwrap(), &table);
                assert!(out.iter().copied().eq(want), "{permute:?}, {len}");
            }
        }
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
