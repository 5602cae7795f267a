//! Neon: four lanes, thirty-two registers.

use core::arch::aarch64::*;

use half::f16;

use super::leaf::{leaf, leaf_ptr};
use super::{Isa, Kernel, MAX_LANES};

/// Proof that the CPU has Neon.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Neon(());

/// Proof that the CPU has [`Neon`] and its 8-bit dot products.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct NeonDot(Neon);

impl Neon {
    /// The token, if the running CPU has Neon.
    pub fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    /// Runs a kernel compiled for Neon.
    #[inline]
    pub fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn run<K: Kernel>(isa: Neon, kernel: K) -> K::Output {
            kernel.run(isa)
        }
        #[allow(unused_unsafe, reason = "safe where the target always has Neon")]
        // SAFETY: the token proves that the CPU has Neon.
        unsafe {
            run(self, kernel)
        }
    }
}

impl NeonDot {
    /// The token, if the running CPU has the dot products.
    pub fn detect() -> Option<Self> {
        Neon::detect().filter(|_| std::arch::is_aarch64_feature_detected!("dotprod")).map(Self)
    }

    /// The same CPU without the dot products, which has the general vector methods.
    #[inline(always)]
    pub fn base(self) -> Neon {
        self.0
    }
}

/// Proof that the CPU has [`NeonDot`] and products of matrices of bytes (the extension `i8mm`).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct NeonI8mm(NeonDot);

impl NeonI8mm {
    /// The token, if the running CPU has the products.
    pub fn detect() -> Option<Self> {
        NeonDot::detect().filter(|_| std::arch::is_aarch64_feature_detected!("i8mm")).map(Self)
    }

    /// The same CPU without the products of matrices.
    #[inline(always)]
    pub fn base(self) -> NeonDot {
        self.0
    }
}

/// The first `n <= 4` values behind `ptr` in a buffer of zeros.
///
/// # Safety
/// `ptr` must be valid for reading `n` values.
#[inline(always)]
unsafe fn gather<T: Copy + Default>(ptr: *const T, n: usize) -> [T; MAX_LANES] {
    debug_assert!(n <= 4);
    let mut lanes = [T::default(); MAX_LANES];
    // SAFETY: the buffer has room for four, the caller vouches for the source.
    unsafe { core::ptr::copy_nonoverlapping(ptr, lanes.as_mut_ptr(), n) };
    lanes
}

/// All four lanes to eight saturated halves, the low four of which count.
#[inline]
#[target_feature(enable = "neon")]
fn pack_i16(a: int32x4_t) -> int16x8_t {
    let half = vqmovn_s32(a);
    vcombine_s16(half, half)
}

/// Four floats of 16 bits in 32 bits. By assembly, as the intrinsic is not stable.
#[inline]
#[target_feature(enable = "neon")]
fn widen(halves: uint16x4_t) -> float32x4_t {
    let wide: float32x4_t;
    // SAFETY: an instruction on registers that every CPU with Neon has.
    unsafe {
        core::arch::asm!(
            "fcvtl {wide:v}.4s, {halves:v}.4h",
            wide = lateout(vreg) wide,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    wide
}

/// The same bits as eight lanes.
#[inline]
#[target_feature(enable = "neon")]
fn halves(a: int32x4_t) -> int16x8_t {
    vreinterpretq_s16_s32(a)
}

/// The same bits as four lanes.
#[inline]
#[target_feature(enable = "neon")]
fn whole(a: int16x8_t) -> int32x4_t {
    vreinterpretq_s32_s16(a)
}

impl Isa for Neon {
    type F = float32x4_t;
    type I = int32x4_t;
    type M = uint32x4_t;
    const LANES: usize = 4;
    const REGISTERS: usize = 32;
    const WIDENS_HALVES: bool = true;

    leaf_ptr! {
        load_ptr(ptr: *const f32) -> F = vld1q_f32(ptr);
        load_halves_ptr(ptr: *const f16) -> F = widen(vld1_u16(ptr.cast()));
        load_ptr_part(ptr: *const f32, n: usize) -> F = vld1q_f32(gather(ptr, n).as_ptr());
        store_ptr(value: Self::F, ptr: *mut f32) = vst1q_f32(ptr, value);
        store_ptr_part(value: Self::F, ptr: *mut f32, n: usize) = {
            let mut lanes = [0.0; 4];
            vst1q_f32(lanes.as_mut_ptr(), value);
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), ptr, n);
        };
        load_i32_ptr(ptr: *const i32) -> I = vld1q_s32(ptr);
        load_i32_ptr_part(ptr: *const i32, n: usize) -> I = vld1q_s32(gather(ptr, n).as_ptr());
        store_i32_ptr(value: Self::I, ptr: *mut i32) = vst1q_s32(ptr, value);
        store_i32_ptr_part(value: Self::I, ptr: *mut i32, n: usize) = {
            let mut lanes = [0; 4];
            vst1q_s32(lanes.as_mut_ptr(), value);
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), ptr, n);
        };
        load_i8_ptr(ptr: *const i8) -> I = {
            let four = vcreate_s8(u64::from(ptr.cast::<u32>().read_unaligned()));
            vmovl_s16(vget_low_s16(vmovl_s8(four)))
        };
        load_u8_ptr(ptr: *const u8) -> I = {
            let four = vcreate_u8(u64::from(ptr.cast::<u32>().read_unaligned()));
            vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(four))))
        };
        load_i16_ptr(ptr: *const i16) -> I = vmovl_s16(vld1_s16(ptr));
        store_i8_ptr(value: Self::I, ptr: *mut i8) = {
            let four = vreinterpret_u32_s8(vqmovn_s16(pack_i16(value)));
            ptr.cast::<u32>().write_unaligned(vget_lane_u32::<0>(four));
        };
        store_u8_ptr(value: Self::I, ptr: *mut u8) = {
            let four = vreinterpret_u32_u8(vqmovun_s16(pack_i16(value)));
            ptr.cast::<u32>().write_unaligned(vget_lane_u32::<0>(four));
        };
        store_i16_ptr(value: Self::I, ptr: *mut i16) = vst1_s16(ptr, vqmovn_s32(value));
    }

    leaf! {
        splat(value: f32) -> F = vdupq_n_f32(value);
        add(a: F, b: F) -> F = vaddq_f32(a, b);
        sub(a: F, b: F) -> F = vsubq_f32(a, b);
        mul(a: F, b: F) -> F = vmulq_f32(a, b);
        div(a: F, b: F) -> F = vdivq_f32(a, b);
        fma(a: F, b: F, c: F) -> F = vfmaq_f32(c, a, b);
        min(a: F, b: F) -> F = vminq_f32(a, b);
        max(a: F, b: F) -> F = vmaxq_f32(a, b);
        sqrt(a: F) -> F = vsqrtq_f32(a);
        round(a: F) -> F = vrndnq_f32(a);
        floor(a: F) -> F = vrndmq_f32(a);
        to_i32_round(a: F) -> I = vcvtnq_s32_f32(a);
        to_i32_trunc(a: F) -> I = vcvtq_s32_f32(a);
        to_f32(a: I) -> F = vcvtq_f32_s32(a);
        bits(a: F) -> I = vreinterpretq_s32_f32(a);
        bits_to_f32(a: I) -> F = vreinterpretq_f32_s32(a);
        lt(a: F, b: F) -> M = vcltq_f32(a, b);
        le(a: F, b: F) -> M = vcleq_f32(a, b);
        eq(a: F, b: F) -> M = vceqq_f32(a, b);
        select(mask: M, yes: F, no: F) -> F = vbslq_f32(mask, yes, no);
        splat_i32(value: i32) -> I = vdupq_n_s32(value);
        add_i32(a: I, b: I) -> I = vaddq_s32(a, b);
        sub_i32(a: I, b: I) -> I = vsubq_s32(a, b);
        mul_i32(a: I, b: I) -> I = vmulq_s32(a, b);
        min_i32(a: I, b: I) -> I = vminq_s32(a, b);
        max_i32(a: I, b: I) -> I = vmaxq_s32(a, b);
        and(a: I, b: I) -> I = vandq_s32(a, b);
        or(a: I, b: I) -> I = vorrq_s32(a, b);
        xor(a: I, b: I) -> I = veorq_s32(a, b);
        lt_i32(a: I, b: I) -> M = vcltq_s32(a, b);
        eq_i32(a: I, b: I) -> M = vceqq_s32(a, b);
        select_i32(mask: M, yes: I, no: I) -> I = vbslq_s32(mask, yes, no);
        add_i16(a: I, b: I) -> I = whole(vaddq_s16(halves(a), halves(b)));
        sub_i16(a: I, b: I) -> I = whole(vsubq_s16(halves(a), halves(b)));
        saturating_add_i16(a: I, b: I) -> I = whole(vqaddq_s16(halves(a), halves(b)));
        high_mul_i16(a: I, b: I) -> I = whole(vqrdmulhq_s16(halves(a), halves(b)));
        eq_i16(a: I, b: I) -> I = vreinterpretq_s32_u16(vceqq_s16(halves(a), halves(b)));
        lt_i16(a: I, b: I) -> I = vreinterpretq_s32_u16(vcltq_s16(halves(a), halves(b)));
    }

    #[inline(always)]
    #[allow(unused_unsafe, reason = "safe where the target always has Neon")]
    fn shl<const N: i32>(self, a: Self::I) -> Self::I {
        // SAFETY: the token proves that the CPU has Neon.
        unsafe { vshlq_n_s32::<N>(a) }
    }

    #[inline(always)]
    #[allow(unused_unsafe, reason = "safe where the target always has Neon")]
    fn shr<const N: i32>(self, a: Self::I) -> Self::I {
        // SAFETY: the token proves that the CPU has Neon.
        unsafe { vshrq_n_s32::<N>(a) }
    }

    #[inline(always)]
    fn shr_by(self, a: Self::I, n: u32) -> Self::I {
        // SAFETY: the token proves that the CPU has Neon.
        unsafe { vshlq_s32(a, vdupq_n_s32(-(n as i32))) }
    }
}
