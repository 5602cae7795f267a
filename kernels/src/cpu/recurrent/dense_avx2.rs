//! Products of 8-bit rows with vectors of 16 and 8 bits by the multiply-adds of pairs that AVX2 has: eight rows at a time, whose
//! sums are added up together.

use core::arch::x86_64::*;

use super::dense::Vectors;
use crate::isa::Avx2Fma;

/// Elements of a step.
const STEP: usize = 16;
/// Rows of a tile.
const ROWS: usize = 8;

/// An element of a vector.
pub(super) trait Element: Copy + Default {
    /// Sixteen elements as 16-bit numbers.
    ///
    /// # Safety
    /// The CPU must have AVX2, and `ptr` be valid for reading sixteen elements.
    unsafe fn load(ptr: *const Self) -> __m256i;
}

impl Element for i16 {
    #[inline(always)]
    unsafe fn load(ptr: *const Self) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_si256(ptr.cast()) }
    }
}

impl Element for i8 {
    #[inline(always)]
    unsafe fn load(ptr: *const Self) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(ptr.cast())) }
    }
}

/// As [`super::dense::products_i8`] and [`super::dense::products_bytes`], whose checks have been made: `row_sums` are the sums of
/// the weights' rows, or empty, and `zero_point` what is to be taken off the vectors' elements by them.
pub(super) fn products<T: Element>(
    _: Avx2Fma,
    weights: &[i8],
    rows: usize,
    row_sums: &[i32],
    vectors: Vectors<'_, T>,
    zero_point: i32,
    emit: impl FnMut(usize, usize, &[i32]),
) {
    // SAFETY: the token proves that the CPU has the instructions.
    unsafe { all_rows(weights, rows, row_sums, vectors, zero_point, emit) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn all_rows<T: Element>(
    weights: &[i8],
    rows: usize,
    row_sums: &[i32],
    vectors: Vectors<'_, T>,
    zero_point: i32,
    mut emit: impl FnMut(usize, usize, &[i32]),
) {
    let len = vectors.len;
    for first in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - first);
        let block = &weights[first * len..][..count * len];
        let mut offsets = [0; ROWS];
        for (offset, sum) in offsets.iter_mut().zip(row_sums.iter().skip(first)) {
            *offset = sum.wrapping_mul(zero_point);
        }
        for v in 0..vectors.count {
            let mut sums = [0i32; ROWS];
            let total = totals(dots(block, count, vectors.get(v)));
            // SAFETY: both arrays are a vector long.
            unsafe {
                let offsets = _mm256_loadu_si256(offsets.as_ptr().cast());
                _mm256_storeu_si256(sums.as_mut_ptr().cast(), _mm256_sub_epi32(total, offsets));
            }
            emit(v, first, &sums[..count]);
        }
    }
}

/// The dot products of a tile's rows with a vector, each spread over the lanes of a vector; rows from `count` on are the last one
/// once more.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dots<T: Element>(rows: &[i8], count: usize, x: &[T]) -> [__m256i; ROWS] {
    let len = x.len();
    assert!(count > 0 && rows.len() == count * len);
    let whole = len - len % STEP;
    let mut starts = [rows.as_ptr(); ROWS];
    for (r, start) in starts.iter_mut().enumerate() {
        *start = rows[r.min(count - 1) * len..].as_ptr();
    }
    let mut sums = [_mm256_setzero_si256(); ROWS];
    // SAFETY: every row has as many elements as the vector, of which `whole` are read here.
    unsafe {
        for at in (0..whole).step_by(STEP) {
            let x = T::load(x.as_ptr().add(at));
            for (sum, start) in sums.iter_mut().zip(&starts) {
                let row = <i8 as Element>::load(start.add(at));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(row, x));
            }
        }
    }
    if whole < len {
        let x = load_part(&x[whole..]);
        for (r, sum) in sums.iter_mut().enumerate() {
            let row = load_part(&rows[r.min(count - 1) * len..][whole..len]);
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(row, x));
        }
    }
    sums
}

/// Fewer than sixteen elements as 16-bit numbers, then zeros.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_part<T: Element>(from: &[T]) -> __m256i {
    let mut lanes = [T::default(); STEP];
    lanes[..from.len()].copy_from_slice(from);
    // SAFETY: the array has sixteen elements.
    unsafe { T::load(lanes.as_ptr()) }
}

/// The sum of the lanes of each vector, in the lane of its number.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn totals(rows: [__m256i; ROWS]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = rows;
    // Neighbouring lanes of two vectors, then of four; the halves are left.
    let low = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let high = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    _mm256_add_epi32(
        _mm256_permute2x128_si256::<0x20>(low, high),
        _mm256_permute2x128_si256::<0x31>(low, high),
    )
}
