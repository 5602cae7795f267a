//! Four lanes through the `wide` crate: SSE2, or plain arrays, or WebAssembly's vectors, as the target has it.
//!
//! Nothing here depends on the running CPU, so native and WebAssembly builds give the same bits: [`Isa::fma`] is
//! a product and then a sum, and where `wide` maps an operation to instructions with different corner cases the
//! difference is evened out.

use wide::{f32x4, i16x8, i32x4};

use super::{Isa, MAX_LANES};

/// The instruction set of the compilation target itself.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Portable(());

impl Portable {
    /// The token; every CPU has what its program was compiled for.
    pub const fn new() -> Self {
        Self(())
    }
}

impl Default for Portable {
    fn default() -> Self {
        Self::new()
    }
}

/// Proof that the module was compiled with WebAssembly's `simd128`; a module that runs was validated.
/// Its general vector methods are those of [`Portable`].
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wasm128(());

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
impl Wasm128 {
    /// The token.
    #[expect(clippy::new_without_default, reason = "a token is a proof, not a value with a default")]
    pub const fn new() -> Self {
        Self(())
    }

    /// The token with the general vector methods.
    #[inline(always)]
    pub const fn base(self) -> Portable {
        Portable::new()
    }
}

/// Where `fast_min` and `fast_max` of `wide` give their second operand for a NaN. Elsewhere they give the first
/// (or NaN), and swapping the operands evens that out.
const SECOND_IF_NAN: bool = cfg!(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"));

/// The first `n <= 4` values behind `ptr`, then zeros.
///
/// # Safety
/// `ptr` must be valid for reading `n` values.
#[inline(always)]
unsafe fn gather<T: Copy + Default>(ptr: *const T, n: usize) -> [T; 4] {
    debug_assert!(n <= 4);
    let mut lanes = [T::default(); 4];
    // SAFETY: the buffer has room for four, the caller vouches for the source.
    unsafe { core::ptr::copy_nonoverlapping(ptr, lanes.as_mut_ptr(), n) };
    lanes
}

/// Four values behind `ptr`, widened.
///
/// # Safety
/// `ptr` must be valid for reading four values.
#[inline(always)]
unsafe fn widen<T: Copy + Into<i32>>(ptr: *const T) -> i32x4 {
    // SAFETY: the caller vouches for the source; an array needs no more alignment than its element, and the
    // unaligned read not even that.
    let values = unsafe { ptr.cast::<[T; 4]>().read_unaligned() };
    i32x4::new(values.map(Into::into))
}

/// Writes four values clamped to `low..=high` and cut by `cast`.
///
/// # Safety
/// `ptr` must be valid for writing four values.
#[inline(always)]
unsafe fn narrow<T>(value: i32x4, low: i32, high: i32, ptr: *mut T, cast: impl Fn(i32) -> T) {
    let clamped = value.max(i32x4::splat(low)).min(i32x4::splat(high));
    // SAFETY: the caller vouches for the destination.
    unsafe { ptr.cast::<[T; 4]>().write_unaligned(clamped.to_array().map(cast)) };
}

/// A function of eight 16-bit lanes on vectors that hold them.
#[inline(always)]
fn halves(a: i32x4, b: i32x4, function: impl Fn(i16x8, i16x8) -> i16x8) -> i32x4 {
    bytemuck::cast(function(bytemuck::cast(a), bytemuck::cast(b)))
}

impl Isa for Portable {
    type F = f32x4;
    type I = i32x4;
    type M = i32x4;
    const LANES: usize = 4;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> f32x4 {
        f32x4::splat(value)
    }
    #[inline(always)]
    unsafe fn load_ptr(self, ptr: *const f32) -> f32x4 {
        // SAFETY: the caller vouches for four readable values.
        f32x4::new(unsafe { ptr.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_ptr_part(self, ptr: *const f32, n: usize) -> f32x4 {
        // SAFETY: the caller vouches for `n` readable values.
        f32x4::new(unsafe { gather(ptr, n) })
    }
    #[inline(always)]
    unsafe fn store_ptr(self, value: f32x4, ptr: *mut f32) {
        // SAFETY: the caller vouches for four writable values.
        unsafe { ptr.cast::<[f32; 4]>().write_unaligned(value.to_array()) };
    }
    #[inline(always)]
    unsafe fn store_ptr_part(self, value: f32x4, ptr: *mut f32, n: usize) {
        debug_assert!(n <= 4);
        // SAFETY: the caller vouches for `n` writable values.
        unsafe { core::ptr::copy_nonoverlapping(value.to_array().as_ptr(), ptr, n) };
    }
    #[inline(always)]
    fn add(self, a: f32x4, b: f32x4) -> f32x4 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x4, b: f32x4) -> f32x4 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x4, b: f32x4) -> f32x4 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x4, b: f32x4) -> f32x4 {
        a / b
    }
    #[inline(always)]
    fn fma(self, a: f32x4, b: f32x4, c: f32x4) -> f32x4 {
        a * b + c
    }
    #[inline(always)]
    fn min(self, a: f32x4, b: f32x4) -> f32x4 {
        if SECOND_IF_NAN { a.fast_min(b) } else { b.fast_min(a) }
    }
    #[inline(always)]
    fn max(self, a: f32x4, b: f32x4) -> f32x4 {
        if SECOND_IF_NAN { a.fast_max(b) } else { b.fast_max(a) }
    }
    #[inline(always)]
    fn sqrt(self, a: f32x4) -> f32x4 {
        a.sqrt()
    }
    #[inline(always)]
    fn round(self, a: f32x4) -> f32x4 {
        // Through integers a small negative number would lose its sign.
        self.copysign(a.round_ties_even(), a)
    }
    #[inline(always)]
    fn floor(self, a: f32x4) -> f32x4 {
        let near = self.round(a);
        let above = self.lt(a, near);
        self.select(above, near - f32x4::ONE, near)
    }
    #[inline(always)]
    fn to_i32_round(self, a: f32x4) -> i32x4 {
        a.round_int()
    }
    #[inline(always)]
    fn to_i32_trunc(self, a: f32x4) -> i32x4 {
        a.trunc_int()
    }
    #[inline(always)]
    fn to_f32(self, a: i32x4) -> f32x4 {
        a.round_float()
    }
    #[inline(always)]
    fn bits(self, a: f32x4) -> i32x4 {
        bytemuck::cast(a)
    }
    #[inline(always)]
    fn bits_to_f32(self, a: i32x4) -> f32x4 {
        bytemuck::cast(a)
    }
    #[inline(always)]
    fn lt(self, a: f32x4, b: f32x4) -> i32x4 {
        bytemuck::cast(a.simd_lt(b))
    }
    #[inline(always)]
    fn le(self, a: f32x4, b: f32x4) -> i32x4 {
        bytemuck::cast(a.simd_le(b))
    }
    #[inline(always)]
    fn eq(self, a: f32x4, b: f32x4) -> i32x4 {
        bytemuck::cast(a.simd_eq(b))
    }
    #[inline(always)]
    fn select(self, mask: i32x4, yes: f32x4, no: f32x4) -> f32x4 {
        bytemuck::cast::<_, f32x4>(mask).select(yes, no)
    }

    #[inline(always)]
    fn splat_i32(self, value: i32) -> i32x4 {
        i32x4::splat(value)
    }
    #[inline(always)]
    unsafe fn load_i32_ptr(self, ptr: *const i32) -> i32x4 {
        // SAFETY: the caller vouches for four readable values.
        i32x4::new(unsafe { ptr.cast::<[i32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_i32_ptr_part(self, ptr: *const i32, n: usize) -> i32x4 {
        // SAFETY: the caller vouches for `n` readable values.
        i32x4::new(unsafe { gather(ptr, n) })
    }
    #[inline(always)]
    unsafe fn store_i32_ptr(self, value: i32x4, ptr: *mut i32) {
        // SAFETY: the caller vouches for four writable values.
        unsafe { ptr.cast::<[i32; 4]>().write_unaligned(value.to_array()) };
    }
    #[inline(always)]
    unsafe fn store_i32_ptr_part(self, value: i32x4, ptr: *mut i32, n: usize) {
        debug_assert!(n <= 4);
        // SAFETY: the caller vouches for `n` writable values.
        unsafe { core::ptr::copy_nonoverlapping(value.to_array().as_ptr(), ptr, n) };
    }
    #[inline(always)]
    unsafe fn load_i8_ptr(self, ptr: *const i8) -> i32x4 {
        // SAFETY: the caller vouches for four readable values.
        unsafe { widen(ptr) }
    }
    #[inline(always)]
    unsafe fn load_u8_ptr(self, ptr: *const u8) -> i32x4 {
        // SAFETY: the caller vouches for four readable values.
        unsafe { widen(ptr) }
    }
    #[inline(always)]
    unsafe fn load_i16_ptr(self, ptr: *const i16) -> i32x4 {
        // SAFETY: the caller vouches for four readable values.
        unsafe { widen(ptr) }
    }
    #[inline(always)]
    unsafe fn store_i8_ptr(self, value: i32x4, ptr: *mut i8) {
        // SAFETY: the caller vouches for four writable values.
        unsafe { narrow(value, i8::MIN.into(), i8::MAX.into(), ptr, |v| v as i8) };
    }
    #[inline(always)]
    unsafe fn store_u8_ptr(self, value: i32x4, ptr: *mut u8) {
        // SAFETY: the caller vouches for four writable values.
        unsafe { narrow(value, 0, u8::MAX.into(), ptr, |v| v as u8) };
    }
    #[inline(always)]
    unsafe fn store_i16_ptr(self, value: i32x4, ptr: *mut i16) {
        // SAFETY: the caller vouches for four writable values.
        unsafe { narrow(value, i16::MIN.into(), i16::MAX.into(), ptr, |v| v as i16) };
    }
    #[inline(always)]
    fn add_i32(self, a: i32x4, b: i32x4) -> i32x4 {
        a + b
    }
    #[inline(always)]
    fn sub_i32(self, a: i32x4, b: i32x4) -> i32x4 {
        a - b
    }
    #[inline(always)]
    fn mul_i32(self, a: i32x4, b: i32x4) -> i32x4 {
        a * b
    }
    #[inline(always)]
    fn min_i32(self, a: i32x4, b: i32x4) -> i32x4 {
        a.min(b)
    }
    #[inline(always)]
    fn max_i32(self, a: i32x4, b: i32x4) -> i32x4 {
        a.max(b)
    }
    #[inline(always)]
    fn and(self, a: i32x4, b: i32x4) -> i32x4 {
        a & b
    }
    #[inline(always)]
    fn or(self, a: i32x4, b: i32x4) -> i32x4 {
        a | b
    }
    #[inline(always)]
    fn xor(self, a: i32x4, b: i32x4) -> i32x4 {
        a ^ b
    }
    #[inline(always)]
    fn shl<const N: i32>(self, a: i32x4) -> i32x4 {
        a << N
    }
    #[inline(always)]
    fn shr<const N: i32>(self, a: i32x4) -> i32x4 {
        a >> N
    }
    #[inline(always)]
    fn shr_by(self, a: i32x4, n: u32) -> i32x4 {
        a >> n as i32
    }
    #[inline(always)]
    fn lt_i32(self, a: i32x4, b: i32x4) -> i32x4 {
        a.simd_lt(b)
    }
    #[inline(always)]
    fn eq_i32(self, a: i32x4, b: i32x4) -> i32x4 {
        a.simd_eq(b)
    }
    #[inline(always)]
    fn select_i32(self, mask: i32x4, yes: i32x4, no: i32x4) -> i32x4 {
        mask.select(yes, no)
    }
    #[inline(always)]
    fn add_i16(self, a: i32x4, b: i32x4) -> i32x4 {
        halves(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub_i16(self, a: i32x4, b: i32x4) -> i32x4 {
        halves(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn saturating_add_i16(self, a: i32x4, b: i32x4) -> i32x4 {
        halves(a, b, |a, b| a.saturating_add(b))
    }
    #[inline(always)]
    fn high_mul_i16(self, a: i32x4, b: i32x4) -> i32x4 {
        halves(a, b, |a, b| a.mul_scale_round(b))
    }
    #[inline(always)]
    fn eq_i16(self, a: i32x4, b: i32x4) -> i32x4 {
        halves(a, b, |a, b| a.simd_eq(b))
    }
    #[inline(always)]
    fn lt_i16(self, a: i32x4, b: i32x4) -> i32x4 {
        halves(a, b, |a, b| a.simd_lt(b))
    }
}

const _: () = assert!(Portable::LANES <= MAX_LANES);
