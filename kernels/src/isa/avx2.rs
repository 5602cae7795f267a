//! AVX2 with fused multiply-add and 16-bit floats, as every CPU with AVX2 but some early ones has: eight lanes.

use core::arch::x86_64::*;

use half::f16;

use super::leaf::{leaf, leaf_ptr};
use super::{Isa, Kernel, MAX_LANES};

/// Proof that the CPU has AVX2, FMA and F16C.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Avx2Fma(());

impl Avx2Fma {
    /// The token, if the running CPU has all parts.
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c"))
        .then_some(Self(()))
    }

    /// Runs a kernel compiled for AVX2, FMA and F16C.
    #[inline]
    pub fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn run<K: Kernel>(isa: Avx2Fma, kernel: K) -> K::Output {
            kernel.run(isa)
        }
        // SAFETY: the token proves that the CPU has them.
        unsafe { run(self, kernel) }
    }
}

/// Proof that the CPU has [`Avx2Fma`] and dot products of bytes in vectors of its width (AVX-VNNI).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct AvxVnni(Avx2Fma);

impl AvxVnni {
    /// The token, if the running CPU has all parts.
    pub fn detect() -> Option<Self> {
        Avx2Fma::detect().filter(|_| is_x86_feature_detected!("avxvnni")).map(Self)
    }

    /// The same CPU without the dot products, which has the general vector methods.
    #[inline(always)]
    pub fn base(self) -> Avx2Fma {
        self.0
    }
}

impl Avx2Fma {
    /// Transposes a block of eight rows of eight 32-bit cells; strides count bytes.
    ///
    /// # Safety
    /// The CPU must have AVX2 (somebody has the token), and the block must lie within both sides, which must not overlap.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) unsafe fn transpose_block(from: *const u8, from_stride: usize, to: *mut u8, to_stride: usize) {
        let mut a = [_mm256_setzero_si256(); 8];
        for (row, a) in a.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *a = unsafe { _mm256_loadu_si256(from.add(row * from_stride).cast()) };
        }
        // Cells and pairs of neighbouring rows are interleaved within the halves of the vectors ...
        let mut b = a;
        for i in (0..8).step_by(2) {
            b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
            b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
        }
        for i in (0..8).step_by(4) {
            a[i] = _mm256_unpacklo_epi64(b[i], b[i + 2]);
            a[i + 1] = _mm256_unpackhi_epi64(b[i], b[i + 2]);
            a[i + 2] = _mm256_unpacklo_epi64(b[i + 1], b[i + 3]);
            a[i + 3] = _mm256_unpackhi_epi64(b[i + 1], b[i + 3]);
        }
        // ... and then the halves themselves.
        for i in 0..4 {
            b[i] = _mm256_permute2x128_si256::<0x20>(a[i], a[i + 4]);
            b[i + 4] = _mm256_permute2x128_si256::<0x31>(a[i], a[i + 4]);
        }
        for (column, b) in b.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm256_storeu_si256(to.add(column * to_stride).cast(), *b) };
        }
    }
}

/// `MASKS[8 - n..]` starts with `n` lanes of ones.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// The mask of the first `n <= 8` lanes.
#[inline(always)]
fn first(n: usize) -> *const __m256i {
    debug_assert!(n <= 8);
    MASKS.as_ptr().wrapping_add(8 - n).cast()
}

/// Both halves packed to eight 16-bit lanes, clamped.
#[inline]
#[target_feature(enable = "avx2")]
fn pack_i16(a: __m256i) -> __m128i {
    _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a))
}

impl Isa for Avx2Fma {
    type F = __m256;
    type I = __m256i;
    type M = __m256;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    const WIDENS_HALVES: bool = true;

    leaf_ptr! {
        load_ptr(ptr: *const f32) -> F = _mm256_loadu_ps(ptr);
        load_halves_ptr(ptr: *const f16) -> F = _mm256_cvtph_ps(_mm_loadu_si128(ptr.cast()));
        load_ptr_part(ptr: *const f32, n: usize) -> F = _mm256_maskload_ps(ptr, _mm256_loadu_si256(first(n)));
        store_ptr(value: Self::F, ptr: *mut f32) = _mm256_storeu_ps(ptr, value);
        store_ptr_part(value: Self::F, ptr: *mut f32, n: usize) = _mm256_maskstore_ps(ptr, _mm256_loadu_si256(first(n)), value);
        load_i32_ptr(ptr: *const i32) -> I = _mm256_loadu_si256(ptr.cast());
        load_i32_ptr_part(ptr: *const i32, n: usize) -> I = _mm256_maskload_epi32(ptr, _mm256_loadu_si256(first(n)));
        store_i32_ptr(value: Self::I, ptr: *mut i32) = _mm256_storeu_si256(ptr.cast(), value);
        store_i32_ptr_part(value: Self::I, ptr: *mut i32, n: usize) = _mm256_maskstore_epi32(ptr, _mm256_loadu_si256(first(n)), value);
        load_i8_ptr(ptr: *const i8) -> I = _mm256_cvtepi8_epi32(_mm_loadl_epi64(ptr.cast()));
        load_u8_ptr(ptr: *const u8) -> I = _mm256_cvtepu8_epi32(_mm_loadl_epi64(ptr.cast()));
        load_i16_ptr(ptr: *const i16) -> I = _mm256_cvtepi16_epi32(_mm_loadu_si128(ptr.cast()));
        store_i8_ptr(value: Self::I, ptr: *mut i8) = { let p = pack_i16(value); _mm_storel_epi64(ptr.cast(), _mm_packs_epi16(p, p)) };
        store_u8_ptr(value: Self::I, ptr: *mut u8) = { let p = pack_i16(value); _mm_storel_epi64(ptr.cast(), _mm_packus_epi16(p, p)) };
        store_i16_ptr(value: Self::I, ptr: *mut i16) = _mm_storeu_si128(ptr.cast(), pack_i16(value));
    }

    leaf! {
        splat(value: f32) -> F = _mm256_set1_ps(value);
        add(a: F, b: F) -> F = _mm256_add_ps(a, b);
        sub(a: F, b: F) -> F = _mm256_sub_ps(a, b);
        mul(a: F, b: F) -> F = _mm256_mul_ps(a, b);
        div(a: F, b: F) -> F = _mm256_div_ps(a, b);
        fma(a: F, b: F, c: F) -> F = _mm256_fmadd_ps(a, b, c);
        min(a: F, b: F) -> F = _mm256_min_ps(a, b);
        max(a: F, b: F) -> F = _mm256_max_ps(a, b);
        sqrt(a: F) -> F = _mm256_sqrt_ps(a);
        round(a: F) -> F = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        floor(a: F) -> F = _mm256_floor_ps(a);
        to_i32_round(a: F) -> I = _mm256_cvtps_epi32(a);
        to_i32_trunc(a: F) -> I = _mm256_cvttps_epi32(a);
        to_f32(a: I) -> F = _mm256_cvtepi32_ps(a);
        bits(a: F) -> I = _mm256_castps_si256(a);
        bits_to_f32(a: I) -> F = _mm256_castsi256_ps(a);
        lt(a: F, b: F) -> M = _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        le(a: F, b: F) -> M = _mm256_cmp_ps::<_CMP_LE_OQ>(a, b);
        eq(a: F, b: F) -> M = _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b);
        select(mask: M, yes: F, no: F) -> F = _mm256_blendv_ps(no, yes, mask);
        splat_i32(value: i32) -> I = _mm256_set1_epi32(value);
        add_i32(a: I, b: I) -> I = _mm256_add_epi32(a, b);
        sub_i32(a: I, b: I) -> I = _mm256_sub_epi32(a, b);
        mul_i32(a: I, b: I) -> I = _mm256_mullo_epi32(a, b);
        min_i32(a: I, b: I) -> I = _mm256_min_epi32(a, b);
        max_i32(a: I, b: I) -> I = _mm256_max_epi32(a, b);
        and(a: I, b: I) -> I = _mm256_and_si256(a, b);
        or(a: I, b: I) -> I = _mm256_or_si256(a, b);
        xor(a: I, b: I) -> I = _mm256_xor_si256(a, b);
        lt_i32(a: I, b: I) -> M = _mm256_castsi256_ps(_mm256_cmpgt_epi32(b, a));
        eq_i32(a: I, b: I) -> M = _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b));
        select_i32(mask: M, yes: I, no: I) -> I = _mm256_blendv_epi8(no, yes, _mm256_castps_si256(mask));
        add_i16(a: I, b: I) -> I = _mm256_add_epi16(a, b);
        sub_i16(a: I, b: I) -> I = _mm256_sub_epi16(a, b);
        saturating_add_i16(a: I, b: I) -> I = _mm256_adds_epi16(a, b);
        high_mul_i16(a: I, b: I) -> I = _mm256_mulhrs_epi16(a, b);
        eq_i16(a: I, b: I) -> I = _mm256_cmpeq_epi16(a, b);
        lt_i16(a: I, b: I) -> I = _mm256_cmpgt_epi16(b, a);
    }

    #[inline(always)]
    fn reduce_add_each(self, sums: &[Self::F; MAX_LANES]) -> Self::F {
        // SAFETY: the token proves that the CPU has AVX2.
        unsafe {
            // What is vector `2 p + q` here ends in lane `4 q + p`.
            let mut a = [_mm256_setzero_ps(); 8];
            for (i, a) in a.iter_mut().enumerate() {
                *a = sums[i % 2 * 4 + i / 2];
            }
            // Halves of two vectors, pairs of four, neighbours of eight.
            for i in 0..4 {
                let (x, y) = (a[2 * i], a[2 * i + 1]);
                let (low, high) =
                    (_mm256_permute2f128_ps::<0x20>(x, y), _mm256_permute2f128_ps::<0x31>(x, y));
                a[i] = _mm256_add_ps(low, high);
            }
            for i in 0..2 {
                let (x, y) = (_mm256_castps_pd(a[2 * i]), _mm256_castps_pd(a[2 * i + 1]));
                let (low, high) = (_mm256_unpacklo_pd(x, y), _mm256_unpackhi_pd(x, y));
                a[i] = _mm256_add_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high));
            }
            let (x, y) = (a[0], a[1]);
            _mm256_add_ps(_mm256_shuffle_ps::<0x88>(x, y), _mm256_shuffle_ps::<0xdd>(x, y))
        }
    }

    #[inline(always)]
    fn prefetch(self, ptr: *const f32) {
        // SAFETY: a hint that is free to name memory that is not there.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr.cast()) }
    }

    #[inline(always)]
    fn shl<const N: i32>(self, a: Self::I) -> Self::I {
        // SAFETY: the token proves that the CPU has AVX2.
        unsafe { _mm256_slli_epi32::<N>(a) }
    }

    #[inline(always)]
    fn shr<const N: i32>(self, a: Self::I) -> Self::I {
        // SAFETY: the token proves that the CPU has AVX2.
        unsafe { _mm256_srai_epi32::<N>(a) }
    }

    #[inline(always)]
    fn shr_by(self, a: Self::I, n: u32) -> Self::I {
        // SAFETY: the token proves that the CPU has AVX2.
        unsafe { _mm256_sra_epi32(a, _mm_cvtsi32_si128(n as i32)) }
    }
}
