//! AVX-512: sixteen lanes, thirty-two registers, masks.

use core::arch::x86_64::*;

use half::f16;

use super::leaf::{leaf, leaf_ptr};
use super::{Isa, Kernel, MAX_LANES};

/// Proof that the CPU has AVX-512 F, BW, DQ and VL (and AVX2 with FMA, which come with them).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Avx512(());

/// Proof that the CPU has [`Avx512`] and its 8-bit dot products (VNNI).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Avx512Vnni(Avx512);

impl Avx512 {
    /// The token, if the running CPU has all parts.
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma"))
        .then_some(Self(()))
    }

    /// Runs a kernel compiled for AVX-512.
    #[inline]
    pub fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn run<K: Kernel>(isa: Avx512, kernel: K) -> K::Output {
            kernel.run(isa)
        }
        // SAFETY: the token proves that the CPU has AVX-512.
        unsafe { run(self, kernel) }
    }
}

impl Avx512 {
    /// Transposes a block of sixteen rows of sixteen 32-bit cells; strides count bytes.
    ///
    /// # Safety
    /// The CPU must have AVX-512 (somebody has the token), and the block must lie within both sides, which must not
    /// overlap.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) unsafe fn transpose_block(from: *const u8, from_stride: usize, to: *mut u8, to_stride: usize) {
        let mut a = [_mm512_setzero_si512(); 16];
        for (row, a) in a.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *a = unsafe { _mm512_loadu_si512(from.add(row * from_stride).cast()) };
        }
        // Cells, pairs and fours of neighbouring rows are interleaved within the quarters of the vectors ...
        let mut b = a;
        for i in (0..16).step_by(2) {
            b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
            b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
        }
        for i in (0..16).step_by(4) {
            a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
            a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
            a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
            a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
        }
        // ... and then the quarters themselves: even ones and odd ones, twice.
        for i in 0..4 {
            b[i] = _mm512_shuffle_i32x4::<0x88>(a[i], a[i + 4]);
            b[i + 4] = _mm512_shuffle_i32x4::<0xdd>(a[i], a[i + 4]);
            b[i + 8] = _mm512_shuffle_i32x4::<0x88>(a[i + 8], a[i + 12]);
            b[i + 12] = _mm512_shuffle_i32x4::<0xdd>(a[i + 8], a[i + 12]);
        }
        for i in 0..4 {
            a[i] = _mm512_shuffle_i32x4::<0x88>(b[i], b[i + 8]);
            a[i + 4] = _mm512_shuffle_i32x4::<0x88>(b[i + 4], b[i + 12]);
            a[i + 8] = _mm512_shuffle_i32x4::<0xdd>(b[i], b[i + 8]);
            a[i + 12] = _mm512_shuffle_i32x4::<0xdd>(b[i + 4], b[i + 12]);
        }
        for (column, a) in a.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm512_storeu_si512(to.add(column * to_stride).cast(), *a) };
        }
    }
}

impl Avx512Vnni {
    /// The token, if the running CPU has all parts.
    pub fn detect() -> Option<Self> {
        Avx512::detect().filter(|_| is_x86_feature_detected!("avx512vnni")).map(Self)
    }

    /// The same CPU without the dot products, which has the general vector methods.
    #[inline(always)]
    pub fn base(self) -> Avx512 {
        self.0
    }
}

/// Proof that the CPU has [`Avx512Vnni`] and tiles of bytes (AMX-INT8), and that this process may use them.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Avx512Amx(Avx512Vnni);

impl Avx512Amx {
    /// The token, if the running CPU has all parts and the operating system grants the process their state. Only Linux
    /// is asked.
    pub fn detect() -> Option<Self> {
        Avx512Vnni::detect().filter(|_| has_tiles() && may_use_tiles()).map(Self)
    }

    /// The same CPU without the tiles.
    #[inline(always)]
    pub fn base(self) -> Avx512Vnni {
        self.0
    }
}

/// Whether the CPU has AMX-TILE and AMX-INT8 and the operating system keeps their state. For CPUs with AVX-512.
fn has_tiles() -> bool {
    /// CPUID leaf 7, EDX.
    const TILE_AND_INT8: u32 = 1 << 24 | 1 << 25;
    /// XCR0: configuration and data of the tiles.
    const STATE: u64 = 1 << 17 | 1 << 18;
    // SAFETY: every CPU with AVX-512 has leaf 7 and XGETBV, without which its vectors could not be used.
    #[allow(unused_unsafe, reason = "CPUID is a safe intrinsic in newer versions of the standard library")]
    let (features, state) = unsafe { (__cpuid_count(7, 0).edx, _xgetbv(0)) };
    features & TILE_AND_INT8 == TILE_AND_INT8 && state & STATE == STATE
}

/// Asks the kernel for the tiles' state: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`. The permission holds for
/// all threads; asking again is harmless.
#[cfg(target_os = "linux")]
fn may_use_tiles() -> bool {
    let mut result = 158i64;
    // SAFETY: the call takes two numbers, touches no memory of the process and is answered by an error where unknown.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") result,
            in("rdi") 0x1023,
            in("rsi") 18,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn may_use_tiles() -> bool {
    false
}

/// The mask of the first `n <= 16` lanes.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    debug_assert!(n <= 16);
    ((1u32 << n) - 1) as __mmask16
}

impl Isa for Avx512 {
    type F = __m512;
    type I = __m512i;
    type M = __mmask16;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    const WIDENS_HALVES: bool = true;
    const LOOKS_UP: bool = true;
    const SHIFTS_WIDE: bool = true;

    leaf_ptr! {
        load_ptr(ptr: *const f32) -> F = _mm512_loadu_ps(ptr);
        load_halves_ptr(ptr: *const f16) -> F = _mm512_cvtph_ps(_mm256_loadu_si256(ptr.cast()));
        load_ptr_part(ptr: *const f32, n: usize) -> F = _mm512_maskz_loadu_ps(first(n), ptr);
        store_ptr(value: Self::F, ptr: *mut f32) = _mm512_storeu_ps(ptr, value);
        store_ptr_part(value: Self::F, ptr: *mut f32, n: usize) = _mm512_mask_storeu_ps(ptr, first(n), value);
        load_i32_ptr(ptr: *const i32) -> I = _mm512_loadu_epi32(ptr);
        load_i32_ptr_part(ptr: *const i32, n: usize) -> I = _mm512_maskz_loadu_epi32(first(n), ptr);
        store_i32_ptr(value: Self::I, ptr: *mut i32) = _mm512_storeu_epi32(ptr, value);
        store_i32_ptr_part(value: Self::I, ptr: *mut i32, n: usize) = _mm512_mask_storeu_epi32(ptr, first(n), value);
        load_i8_ptr(ptr: *const i8) -> I = _mm512_cvtepi8_epi32(_mm_loadu_epi8(ptr));
        load_u8_ptr(ptr: *const u8) -> I = _mm512_cvtepu8_epi32(_mm_loadu_epi8(ptr.cast()));
        load_i16_ptr(ptr: *const i16) -> I = _mm512_cvtepi16_epi32(_mm256_loadu_epi16(ptr));
        store_i8_ptr(value: Self::I, ptr: *mut i8) = _mm_storeu_epi8(ptr, _mm512_cvtsepi32_epi8(value));
        store_u8_ptr(value: Self::I, ptr: *mut u8) = _mm_storeu_epi8(ptr.cast(), _mm512_cvtusepi32_epi8(_mm512_max_epi32(value, _mm512_setzero_si512())));
        store_i16_ptr(value: Self::I, ptr: *mut i16) = _mm256_storeu_epi16(ptr, _mm512_cvtsepi32_epi16(value));
        load_i8_ptr_part(ptr: *const i8, n: usize) -> I = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(n), ptr));
        load_u8_ptr_part(ptr: *const u8, n: usize) -> I = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first(n), ptr.cast()));
        load_i16_ptr_part(ptr: *const i16, n: usize) -> I = _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(first(n), ptr));
        store_i8_ptr_part(value: Self::I, ptr: *mut i8, n: usize) = _mm_mask_storeu_epi8(ptr, first(n), _mm512_cvtsepi32_epi8(value));
        store_u8_ptr_part(value: Self::I, ptr: *mut u8, n: usize) = _mm_mask_storeu_epi8(ptr.cast(), first(n), _mm512_cvtusepi32_epi8(_mm512_max_epi32(value, _mm512_setzero_si512())));
        store_i16_ptr_part(value: Self::I, ptr: *mut i16, n: usize) = _mm256_mask_storeu_epi16(ptr, first(n), _mm512_cvtsepi32_epi16(value));
    }

    leaf! {
        splat(value: f32) -> F = _mm512_set1_ps(value);
        add(a: F, b: F) -> F = _mm512_add_ps(a, b);
        sub(a: F, b: F) -> F = _mm512_sub_ps(a, b);
        mul(a: F, b: F) -> F = _mm512_mul_ps(a, b);
        div(a: F, b: F) -> F = _mm512_div_ps(a, b);
        fma(a: F, b: F, c: F) -> F = _mm512_fmadd_ps(a, b, c);
        min(a: F, b: F) -> F = _mm512_min_ps(a, b);
        max(a: F, b: F) -> F = _mm512_max_ps(a, b);
        sqrt(a: F) -> F = _mm512_sqrt_ps(a);
        round(a: F) -> F = _mm512_roundscale_ps::<0>(a);
        floor(a: F) -> F = _mm512_roundscale_ps::<1>(a);
        to_i32_round(a: F) -> I = _mm512_cvtps_epi32(a);
        to_i32_trunc(a: F) -> I = _mm512_cvttps_epi32(a);
        to_f32(a: I) -> F = _mm512_cvtepi32_ps(a);
        bits(a: F) -> I = _mm512_castps_si512(a);
        bits_to_f32(a: I) -> F = _mm512_castsi512_ps(a);
        lt(a: F, b: F) -> M = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        le(a: F, b: F) -> M = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        eq(a: F, b: F) -> M = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        select(mask: M, yes: F, no: F) -> F = _mm512_mask_blend_ps(mask, no, yes);
        splat_i32(value: i32) -> I = _mm512_set1_epi32(value);
        add_i32(a: I, b: I) -> I = _mm512_add_epi32(a, b);
        sub_i32(a: I, b: I) -> I = _mm512_sub_epi32(a, b);
        mul_i32(a: I, b: I) -> I = _mm512_mullo_epi32(a, b);
        min_i32(a: I, b: I) -> I = _mm512_min_epi32(a, b);
        max_i32(a: I, b: I) -> I = _mm512_max_epi32(a, b);
        and(a: I, b: I) -> I = _mm512_and_si512(a, b);
        or(a: I, b: I) -> I = _mm512_or_si512(a, b);
        xor(a: I, b: I) -> I = _mm512_xor_si512(a, b);
        lt_i32(a: I, b: I) -> M = _mm512_cmplt_epi32_mask(a, b);
        eq_i32(a: I, b: I) -> M = _mm512_cmpeq_epi32_mask(a, b);
        select_i32(mask: M, yes: I, no: I) -> I = _mm512_mask_blend_epi32(mask, no, yes);
        add_i16(a: I, b: I) -> I = _mm512_add_epi16(a, b);
        sub_i16(a: I, b: I) -> I = _mm512_sub_epi16(a, b);
        saturating_add_i16(a: I, b: I) -> I = _mm512_adds_epi16(a, b);
        high_mul_i16(a: I, b: I) -> I = _mm512_mulhrs_epi16(a, b);
        eq_i16(a: I, b: I) -> I = _mm512_movm_epi16(_mm512_cmpeq_epi16_mask(a, b));
        lt_i16(a: I, b: I) -> I = _mm512_movm_epi16(_mm512_cmplt_epi16_mask(a, b));
    }

    #[inline(always)]
    fn rsqrt_estimate(self, a: Self::F) -> Option<Self::F> {
        // SAFETY: the token proves that the CPU has AVX-512.
        Some(unsafe { _mm512_rsqrt14_ps(a) })
    }

    #[inline(always)]
    fn reduce_add_each(self, sums: &[Self::F; MAX_LANES]) -> Self::F {
        // SAFETY: the token proves that the CPU has AVX-512.
        unsafe {
            // What is vector `4 p + q` here ends in lane `4 q + p`.
            let mut a = [_mm512_setzero_ps(); 16];
            for (i, a) in a.iter_mut().enumerate() {
                *a = sums[i % 4 * 4 + i / 4];
            }
            // Halves of two vectors, quarters of four, pairs of eight, neighbours of sixteen.
            for i in 0..8 {
                let (x, y) = (a[2 * i], a[2 * i + 1]);
                a[i] = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(x, y), _mm512_shuffle_f32x4::<0xee>(x, y));
            }
            for i in 0..4 {
                let (x, y) = (a[2 * i], a[2 * i + 1]);
                a[i] = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(x, y), _mm512_shuffle_f32x4::<0xdd>(x, y));
            }
            for i in 0..2 {
                let (x, y) = (_mm512_castps_pd(a[2 * i]), _mm512_castps_pd(a[2 * i + 1]));
                let (low, high) = (_mm512_unpacklo_pd(x, y), _mm512_unpackhi_pd(x, y));
                a[i] = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
            }
            let (x, y) = (a[0], a[1]);
            _mm512_add_ps(_mm512_shuffle_ps::<0x88>(x, y), _mm512_shuffle_ps::<0xdd>(x, y))
        }
    }

    #[inline(always)]
    fn scale(self, a: Self::F, n: Self::F) -> Self::F {
        // SAFETY: the token proves that the CPU has AVX-512.
        unsafe { _mm512_scalef_ps(a, n) }
    }

    #[inline(always)]
    fn lookup32(self, table: &[f32; 32], index: Self::I) -> Self::F {
        // SAFETY: the token proves that the CPU has AVX-512; the table has two vectors of 16.
        unsafe {
            let (low, high) = (_mm512_loadu_ps(table.as_ptr()), _mm512_loadu_ps(table.as_ptr().add(16)));
            _mm512_permutex2var_ps(low, index, high)
        }
    }

    #[inline(always)]
    fn prefetch(self, ptr: *const f32) {
        // SAFETY: a hint that is free to name memory that is not there.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr.cast()) }
    }

    #[inline(always)]
    fn shl<const N: i32>(self, a: Self::I) -> Self::I {
        // SAFETY: the token proves that the CPU has AVX-512. The count is a constant below 32.
        unsafe { _mm512_sllv_epi32(a, _mm512_set1_epi32(N)) }
    }

    #[inline(always)]
    fn shr<const N: i32>(self, a: Self::I) -> Self::I {
        // SAFETY: the token proves that the CPU has AVX-512. The count is a constant below 32.
        unsafe { _mm512_srav_epi32(a, _mm512_set1_epi32(N)) }
    }

    #[inline(always)]
    fn shr_by(self, a: Self::I, n: u32) -> Self::I {
        // SAFETY: the token proves that the CPU has AVX-512.
        unsafe { _mm512_sra_epi32(a, _mm_cvtsi32_si128(n as i32)) }
    }
}
