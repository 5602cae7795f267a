//! Sixteen lanes in arrays, for tests: the algorithms' sixteen-lane paths run on machines without AVX-512.

use super::Isa;
use super::leaf::{leaf, leaf_ptr};
use crate::fixed_point::high_mul_i16;

/// A token with the shape of AVX-512 and no demands on the CPU.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Emulated16(());

impl Emulated16 {
    /// The token.
    pub fn new() -> Self {
        Self(())
    }
}

type F = [f32; 16];
type I = [i32; 16];

fn zip<A: Copy, B: Copy, R>(a: [A; 16], b: [B; 16], f: impl Fn(A, B) -> R) -> [R; 16] {
    core::array::from_fn(|i| f(a[i], b[i]))
}

fn zip_halves(a: I, b: I, f: impl Fn(i16, i16) -> i16) -> I {
    let (a, b): ([i16; 32], [i16; 32]) = (bytemuck::cast(a), bytemuck::cast(b));
    let both: [i16; 32] = core::array::from_fn(|i| f(a[i], b[i]));
    bytemuck::cast(both)
}

fn pick<T: Copy>(mask: [bool; 16], yes: [T; 16], no: [T; 16]) -> [T; 16] {
    core::array::from_fn(|i| if mask[i] { yes[i] } else { no[i] })
}

/// # Safety
/// `ptr` must be valid for reading `n` values.
unsafe fn read<T: Copy, R: Copy + Default + From<T>>(ptr: *const T, n: usize) -> [R; 16] {
    assert!(n <= 16);
    let mut lanes = [R::default(); 16];
    for (i, lane) in lanes[..n].iter_mut().enumerate() {
        // SAFETY: the caller vouches for `n` values.
        *lane = unsafe { ptr.add(i).read_unaligned() }.into();
    }
    lanes
}

/// # Safety
/// `ptr` must be valid for writing `n` values.
unsafe fn write<T: Copy, R>(value: [T; 16], ptr: *mut R, n: usize, cast: impl Fn(T) -> R) {
    assert!(n <= 16);
    for (i, &lane) in value[..n].iter().enumerate() {
        // SAFETY: the caller vouches for `n` values.
        unsafe { ptr.add(i).write_unaligned(cast(lane)) };
    }
}

impl Isa for Emulated16 {
    type F = F;
    type I = I;
    type M = [bool; 16];
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    const LOOKS_UP: bool = true;
    const SHIFTS_WIDE: bool = true;

    // Calls, not inlined: unrolled tiles of sixteen scalars each take minutes to compile.
    leaf_ptr! {
        #[inline(never)]
        load_ptr(ptr: *const f32) -> F = read(ptr, 16);
        load_ptr_part(ptr: *const f32, n: usize) -> F = read(ptr, n);
        store_ptr(value: F, ptr: *mut f32) = write(value, ptr, 16, |v| v);
        store_ptr_part(value: F, ptr: *mut f32, n: usize) = write(value, ptr, n, |v| v);
        load_i32_ptr(ptr: *const i32) -> I = read(ptr, 16);
        load_i32_ptr_part(ptr: *const i32, n: usize) -> I = read(ptr, n);
        store_i32_ptr(value: I, ptr: *mut i32) = write(value, ptr, 16, |v| v);
        store_i32_ptr_part(value: I, ptr: *mut i32, n: usize) = write(value, ptr, n, |v| v);
        load_i8_ptr(ptr: *const i8) -> I = read(ptr, 16);
        load_u8_ptr(ptr: *const u8) -> I = read(ptr, 16);
        load_i16_ptr(ptr: *const i16) -> I = read(ptr, 16);
        store_i8_ptr(value: I, ptr: *mut i8) = write(value, ptr, 16, |v| v.clamp(-128, 127) as i8);
        store_u8_ptr(value: I, ptr: *mut u8) = write(value, ptr, 16, |v| v.clamp(0, 255) as u8);
        store_i16_ptr(value: I, ptr: *mut i16) = write(value, ptr, 16, |v| v.clamp(-32768, 32767) as i16);
    }

    leaf! {
        #[inline(never)]
        splat(value: f32) -> F = [value; 16];
        add(a: F, b: F) -> F = zip(a, b, |a, b| a + b);
        sub(a: F, b: F) -> F = zip(a, b, |a, b| a - b);
        mul(a: F, b: F) -> F = zip(a, b, |a, b| a * b);
        div(a: F, b: F) -> F = zip(a, b, |a, b| a / b);
        fma(a: F, b: F, c: F) -> F = core::array::from_fn(|i| a[i].mul_add(b[i], c[i]));
        min(a: F, b: F) -> F = zip(a, b, |a, b| if a < b { a } else { b });
        max(a: F, b: F) -> F = zip(a, b, |a, b| if a > b { a } else { b });
        sqrt(a: F) -> F = a.map(f32::sqrt);
        round(a: F) -> F = a.map(f32::round_ties_even);
        floor(a: F) -> F = a.map(f32::floor);
        to_i32_round(a: F) -> I = a.map(|a| a.round_ties_even() as i32);
        to_i32_trunc(a: F) -> I = a.map(|a| a as i32);
        to_f32(a: I) -> F = a.map(|a| a as f32);
        bits(a: F) -> I = a.map(|a| a.to_bits() as i32);
        bits_to_f32(a: I) -> F = a.map(|a| f32::from_bits(a as u32));
        lt(a: F, b: F) -> M = zip(a, b, |a, b| a < b);
        le(a: F, b: F) -> M = zip(a, b, |a, b| a <= b);
        eq(a: F, b: F) -> M = zip(a, b, |a, b| a == b);
        select(mask: M, yes: F, no: F) -> F = pick(mask, yes, no);
        splat_i32(value: i32) -> I = [value; 16];
        add_i32(a: I, b: I) -> I = zip(a, b, i32::wrapping_add);
        sub_i32(a: I, b: I) -> I = zip(a, b, i32::wrapping_sub);
        mul_i32(a: I, b: I) -> I = zip(a, b, i32::wrapping_mul);
        min_i32(a: I, b: I) -> I = zip(a, b, i32::min);
        max_i32(a: I, b: I) -> I = zip(a, b, i32::max);
        and(a: I, b: I) -> I = zip(a, b, |a, b| a & b);
        or(a: I, b: I) -> I = zip(a, b, |a, b| a | b);
        xor(a: I, b: I) -> I = zip(a, b, |a, b| a ^ b);
        lt_i32(a: I, b: I) -> M = zip(a, b, |a, b| a < b);
        eq_i32(a: I, b: I) -> M = zip(a, b, |a, b| a == b);
        select_i32(mask: M, yes: I, no: I) -> I = pick(mask, yes, no);
        add_i16(a: I, b: I) -> I = zip_halves(a, b, i16::wrapping_add);
        sub_i16(a: I, b: I) -> I = zip_halves(a, b, i16::wrapping_sub);
        saturating_add_i16(a: I, b: I) -> I = zip_halves(a, b, i16::saturating_add);
        high_mul_i16(a: I, b: I) -> I = zip_halves(a, b, high_mul_i16);
        eq_i16(a: I, b: I) -> I = zip_halves(a, b, |a, b| -i16::from(a == b));
        lt_i16(a: I, b: I) -> I = zip_halves(a, b, |a, b| -i16::from(a < b));
    }

    fn shl<const N: i32>(self, a: I) -> I {
        a.map(|a| a << N)
    }
    fn shr<const N: i32>(self, a: I) -> I {
        a.map(|a| a >> N)
    }
    fn shr_by(self, a: I, n: u32) -> I {
        a.map(|a| a >> n)
    }
}
