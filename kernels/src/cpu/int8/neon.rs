//! Integer dot products of Arm.

use core::arch::aarch64::*;
use core::arch::asm;

use super::dot::{Dot, Pairs};
use crate::isa::{Isa, Neon, NeonDot, NeonI8mm};

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
        self.sdot(sums, a, b)
    }
}

impl NeonDot {
    /// Adds the products of the four bytes of each lane.
    #[inline(always)]
    fn sdot(self, mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
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

impl NeonI8mm {
    /// Adds the product of the matrix of two rows of eight bytes `a` with the transposed one `b`: the sums of `a`'s first row
    /// with both of `b`'s, then those of its second.
    #[inline(always)]
    fn smmla(self, mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the token proves that the CPU has the instruction, which touches registers alone. The standard
        // library has no stable intrinsic for it.
        unsafe {
            asm!(
                ".arch_extension i8mm",
                "smmla {sums:v}.4s, {a:v}.16b, {b:v}.16b",
                sums = inout(vreg) sums,
                a = in(vreg) a,
                b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }
}

/// Eight bytes of each of four columns, two columns in a vector. Two rows at a time meet them as matrices, a single row by
/// the dot products of four bytes.
impl Dot for NeonI8mm {
    type V = Neon;
    type Lhs = i8;
    type A = int8x16_t;
    type B = [int8x16_t; 2];
    const DEPTH: usize = 8;
    const ROWS: usize = 6;
    const VECTORS: usize = 4;

    #[inline(always)]
    fn isa(self) -> Neon {
        self.base().base()
    }
    #[inline(always)]
    unsafe fn lhs(self, ptr: *const i8) -> int8x16_t {
        // SAFETY: the token proves that the CPU has Neon, the caller vouches for eight values.
        unsafe {
            let row = vld1_s8(ptr);
            vcombine_s8(row, row)
        }
    }
    #[inline(always)]
    unsafe fn rhs(self, ptr: *const i8) -> [int8x16_t; 2] {
        // SAFETY: the token proves that the CPU has Neon, the caller vouches for 32 values.
        unsafe { [vld1q_s8(ptr), vld1q_s8(ptr.add(16))] }
    }
    #[inline(always)]
    fn dot(self, sums: int32x4_t, a: int8x16_t, b: [int8x16_t; 2]) -> int32x4_t {
        let zero = self.isa().splat_i32(0);
        let (low, high) = (self.base().sdot(zero, a, b[0]), self.base().sdot(zero, a, b[1]));
        // SAFETY: the token proves that the CPU has Neon.
        unsafe { vaddq_s32(sums, vpaddq_s32(low, high)) }
    }

    /// Two rows' sums with two columns each lie in one vector; the exchange of halves is its own inverse.
    #[inline(always)]
    fn turn<const R: usize, const V: usize>(self, mut sums: [[int32x4_t; V]; R]) -> [[int32x4_t; V]; R] {
        for [first, second] in sums.as_chunks_mut::<2>().0 {
            for (x, y) in first.iter_mut().zip(second) {
                // SAFETY: the token proves that the CPU has Neon.
                unsafe {
                    let (a, b) = (vreinterpretq_s64_s32(*x), vreinterpretq_s64_s32(*y));
                    *x = vreinterpretq_s32_s64(vzip1q_s64(a, b));
                    *y = vreinterpretq_s32_s64(vzip2q_s64(a, b));
                }
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn step<const R: usize, const V: usize>(
        self,
        rows: *const i8,
        offsets: [usize; R],
        columns: *const i8,
        mut sums: [[int32x4_t; V]; R],
    ) -> [[int32x4_t; V]; R] {
        // SAFETY: the token proves that the CPU has Neon, the caller vouches for the numbers.
        unsafe {
            // Two rows in a vector; of a last one alone both halves.
            let mut pairs = [vdupq_n_s8(0); R];
            for (pair, offsets) in pairs.iter_mut().zip(offsets.chunks(2)) {
                let first = vld1_s8(rows.add(offsets[0]));
                let second = if offsets.len() == 2 { vld1_s8(rows.add(offsets[1])) } else { first };
                *pair = vcombine_s8(first, second);
            }
            for v in 0..V {
                let weights = self.rhs(columns.add(v * 4 * Self::DEPTH));
                for (sums, &pair) in sums.chunks_mut(2).zip(&pairs) {
                    match sums {
                        [first, second] => {
                            first[v] = self.smmla(first[v], pair, weights[0]);
                            second[v] = self.smmla(second[v], pair, weights[1]);
                        }
                        [row] => row[v] = self.dot(row[v], pair, weights),
                        _ => {}
                    }
                }
            }
        }
        sums
    }
}

const _: () = assert!(<Neon as Isa>::LANES == 4);
