//! Products of 8-bit rows with vectors of 16 and 8 bits by the dot products of AVX-512: sixteen rows at a time, whose sums are added up
//! together.

use core::arch::x86_64::*;

use super::dense::{ROWS_TOGETHER, Vectors};
use crate::isa::Avx512Vnni;

/// Elements of a step.
const STEP: usize = 32;

/// As [`super::dense::products_i8`], whose checks have been made.
pub(super) fn products(
    _: Avx512Vnni,
    weights: &[i8],
    rows: usize,
    vectors: Vectors<'_, i16>,
    emit: impl FnMut(usize, usize, &[i32]),
) {
    // SAFETY: the token proves that the CPU has the instructions.
    unsafe { all_rows(weights, rows, vectors, emit) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn all_rows(
    weights: &[i8],
    rows: usize,
    vectors: Vectors<'_, i16>,
    mut emit: impl FnMut(usize, usize, &[i32]),
) {
    let len = vectors.len;
    for first in (0..rows).step_by(ROWS_TOGETHER) {
        let count = ROWS_TOGETHER.min(rows - first);
        let block = &weights[first * len..][..count * len];
        for v in 0..vectors.count {
            let x = vectors.get(v);
            let mut sums = [0i32; ROWS_TOGETHER];
            if count == ROWS_TOGETHER {
                let total = totals(dots::<ROWS_TOGETHER>(block, x));
                // SAFETY: the array is a vector long.
                unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), total) };
            } else {
                for (row, sum) in sums[..count].iter_mut().enumerate() {
                    let [dot] = dots::<1>(&block[row * len..][..len], x);
                    *sum = _mm512_reduce_add_epi32(dot);
                }
            }
            emit(v, first, &sums[..count]);
        }
    }
}

/// The dot products of `R` rows with a vector, each spread over the lanes of a vector.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn dots<const R: usize>(rows: &[i8], x: &[i16]) -> [__m512i; R] {
    assert!(rows.len() == R * x.len());
    let (len, whole) = (x.len(), x.len() - x.len() % STEP);
    let mut sums = [_mm512_setzero_si512(); R];
    // SAFETY: every row has as many elements as the vector; the mask leaves out what is behind the last.
    unsafe {
        for at in (0..whole).step_by(STEP) {
            let x = _mm512_loadu_si512(x.as_ptr().add(at).cast());
            for (r, sum) in sums.iter_mut().enumerate() {
                let row = _mm256_loadu_si256(rows.as_ptr().add(r * len + at).cast());
                *sum = _mm512_dpwssd_epi32(*sum, _mm512_cvtepi8_epi16(row), x);
            }
        }
        if whole < len {
            let mask: __mmask32 = (1 << (len - whole)) - 1;
            let x = _mm512_maskz_loadu_epi16(mask, x.as_ptr().add(whole));
            for (r, sum) in sums.iter_mut().enumerate() {
                let row = _mm256_maskz_loadu_epi8(mask, rows.as_ptr().add(r * len + whole));
                *sum = _mm512_dpwssd_epi32(*sum, _mm512_cvtepi8_epi16(row), x);
            }
        }
    }
    sums
}

/// As [`super::dense::products_bytes`], whose checks have been made.
pub(super) fn products_bytes(
    _: Avx512Vnni,
    weights: &[i8],
    sums: &[i32],
    vectors: Vectors<'_, i8>,
    zero_point: i32,
    emit: impl FnMut(usize, usize, &[i32]),
) {
    // SAFETY: the token proves that the CPU has the instructions.
    unsafe { all_byte_rows(weights, sums, vectors, zero_point, emit) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn all_byte_rows(
    weights: &[i8],
    row_sums: &[i32],
    vectors: Vectors<'_, i8>,
    zero_point: i32,
    mut emit: impl FnMut(usize, usize, &[i32]),
) {
    let len = vectors.len;
    // The instruction takes unsigned numbers on one side: the vector's are read as 128 more.
    let zero_point = zero_point.wrapping_add(128);
    for (block, row_sums) in row_sums.chunks(ROWS_TOGETHER).enumerate() {
        let (first, count) = (block * ROWS_TOGETHER, row_sums.len());
        let block = &weights[first * len..][..count * len];
        for v in 0..vectors.count {
            let x = vectors.get(v);
            let mut sums = [0i32; ROWS_TOGETHER];
            if count == ROWS_TOGETHER {
                let total = totals(byte_dots::<ROWS_TOGETHER>(block, x));
                // SAFETY: both arrays are a vector long.
                unsafe {
                    let row_sums = _mm512_loadu_si512(row_sums.as_ptr().cast());
                    let shift = _mm512_mullo_epi32(row_sums, _mm512_set1_epi32(zero_point));
                    _mm512_storeu_si512(sums.as_mut_ptr().cast(), _mm512_sub_epi32(total, shift));
                }
            } else {
                for ((row, sum), row_sum) in sums[..count].iter_mut().enumerate().zip(row_sums) {
                    let [dot] = byte_dots::<1>(&block[row * len..][..len], x);
                    let dot = _mm512_reduce_add_epi32(dot);
                    *sum = dot.wrapping_sub(row_sum.wrapping_mul(zero_point));
                }
            }
            emit(v, first, &sums[..count]);
        }
    }
}

/// The dot products of `R` rows with a vector plus 128, each spread over the lanes of a vector.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn byte_dots<const R: usize>(rows: &[i8], x: &[i8]) -> [__m512i; R] {
    const STEP: usize = 64;
    assert!(rows.len() == R * x.len());
    let (len, whole) = (x.len(), x.len() - x.len() % STEP);
    let flip = _mm512_set1_epi8(i8::MIN);
    let mut sums = [_mm512_setzero_si512(); R];
    // SAFETY: every row has as many elements as the vector; the mask leaves out what is behind the last.
    unsafe {
        for at in (0..whole).step_by(STEP) {
            let x = _mm512_xor_si512(_mm512_loadu_si512(x.as_ptr().add(at).cast()), flip);
            for (r, sum) in sums.iter_mut().enumerate() {
                let row = _mm512_loadu_si512(rows.as_ptr().add(r * len + at).cast());
                *sum = _mm512_dpbusd_epi32(*sum, x, row);
            }
        }
        if whole < len {
            let mask: __mmask64 = (1 << (len - whole)) - 1;
            let x = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, x.as_ptr().add(whole)), flip);
            for (r, sum) in sums.iter_mut().enumerate() {
                let row = _mm512_maskz_loadu_epi8(mask, rows.as_ptr().add(r * len + whole));
                *sum = _mm512_dpbusd_epi32(*sum, x, row);
            }
        }
    }
    sums
}

/// The sum of the lanes of each vector, in the lane of its number.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn totals(rows: [__m512i; ROWS_TOGETHER]) -> __m512i {
    // Loops and no closures, which may stay calls. Pairs of rows side by side, then fours: in each quarter of a vector the
    // sums of the quarter's lanes.
    let mut pairs = [_mm512_setzero_si512(); 8];
    for (i, pair) in pairs.iter_mut().enumerate() {
        let (a, b) = (rows[2 * i], rows[2 * i + 1]);
        *pair = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    }
    let mut fours = [_mm512_setzero_si512(); 4];
    for (i, four) in fours.iter_mut().enumerate() {
        let (a, b) = (pairs[2 * i], pairs[2 * i + 1]);
        *four = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
    // Quarters: of two vectors the lower and the upper halves, then even and odd ones.
    let mut halves = [_mm512_setzero_si512(); 2];
    for (i, half) in halves.iter_mut().enumerate() {
        let (a, b) = (fours[2 * i], fours[2 * i + 1]);
        *half = _mm512_add_epi32(_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0xee>(a, b));
    }
    let [a, b] = halves;
    _mm512_add_epi32(_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b))
}
