//! Integer dot products of Arm.

use core::arch::aarch64::*;
use core::arch::asm;

use super::dot::{Dot, Pairs};
use crate::isa::{Isa, Neon, NeonDot};

impl Pairs for Neon {
    #[inline(always)]
    fn dot_pairs(self, sums: Self::I, a: Self::I, b: Self::I) -> Self::I {
        // SAFETY: the token proves that the CPU has Neon.
        unsafe {
            let (a, b) = (vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
            let low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
            let high = vmull_high_s16(a, b);
            vaddq_s32(sums, vpaddq_s32(low, high))
        }
    }
    #[inline(always)]
    unsafe fn load_i8_pairs(self, ptr: *const i8) -> Self::I {
        // SAFETY: the token proves that the CPU has Neon, the caller vouches for eight values.
        unsafe { vreinterpretq_s32_s16(vmovl_s8(vld1_s8(ptr))) }
    }
}

/// Byte products without the dot-product extension: a widening multiplication, then a pairwise accumulation.
#[derive(Copy, Clone, Debug)]
pub struct Smull(pub Neon);

impl Dot for Smull {
    type V = Neon;
    type Lhs = i8;
    type A = int8x8_t;
    type B = int8x8_t;
    const DEPTH: usize = 2;
    const ROWS: usize = 6;
    const VECTORS: usize = 4;

    #[inline(always)]
    fn isa(self) -> Neon {
        self.0
    }
    #[inline(always)]
    unsafe fn lhs(self, ptr: *const i8) -> int8x8_t {
        // SAFETY: the token proves that the CPU has Neon, the caller vouches for two values.
        unsafe { vreinterpret_s8_s16(vdup_n_s16(ptr.cast::<i16>().read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn rhs(self, ptr: *const i8) -> int8x8_t {
        // SAFETY: the token proves that the CPU has Neon, the caller vouches for eight values.
        unsafe { vld1_s8(ptr) }
    }
    #[inline(always)]
    fn dot(self, sums: int32x4_t, a: int8x8_t, b: int8x8_t) -> int32x4_t {
        // SAFETY: the token proves that the CPU has Neon.
        unsafe { vpadalq_s16(sums, vmull_s8(a, b)) }
    }
}

impl Dot for NeonDot {
    type V = Neon;
    type Lhs = i8;
    type A = int8x16_t;
    type B = int8x16_t;
    const DEPTH: usize = 4;
    const ROWS: usize = 6;
    const VECTORS: usize = 4;

    #[inline(always)]
    fn isa(self) -> Neon {
        self.base()
    }
    #[inline(always)]
    unsafe fn lhs(self, ptr: *const i8) -> int8x16_t {
        // SAFETY: the token proves that the CPU has Neon, the caller vouches for four values.
        unsafe { vreinterpretq_s8_s32(vdupq_n_s32(ptr.cast::<i32>().read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn rhs(self, ptr: *const i8) -> int8x16_t {
        // SAFETY: the token proves that the CPU has Neon, the caller vouches for sixteen values.
        unsafe { vld1q_s8(ptr) }
    }
    #[inline(always)]
    fn dot(self, sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        let mut sums = sums;
        // SAFETY: the token proves that the CPU has the instruction, which touches registers alone. The standard
        // library has no stable intrinsic for it.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
                sums = inout(vreg) sums,
                a = in(vreg) a,
                b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }
}

const _: () = assert!(<Neon as Isa>::LANES == 4);
