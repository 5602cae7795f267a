//! Instruction sets as types.
//!
//! An [`Isa`] token is a zero-size proof that the CPU has the instructions its methods use: it can only be had
//! from detection. An algorithm is written once as a [`Kernel`], generic over the token, and
//! [`Cpu::dispatch`] runs it inside a function compiled for that instruction set:
//!
//! ```
//! use ferrolite_kernels::isa::{Cpu, Isa, Kernel};
//!
//! struct Scale<'a>(&'a mut [f32], f32);
//!
//! impl Kernel for Scale<'_> {
//!     type Output = ();
//!     #[inline(always)]
//!     fn run<S: Isa>(self, isa: S) {
//!         let factor = isa.splat(self.1);
//!         let mut blocks = self.0.chunks_exact_mut(S::LANES);
//!         for block in &mut blocks {
//!             isa.store(isa.mul(isa.load(block), factor), block);
//!         }
//!         let tail = blocks.into_remainder();
//!         isa.store_part(isa.mul(isa.load_part(tail), factor), tail);
//!     }
//! }
//!
//! let mut data = vec![1.0; 11];
//! Cpu::detect().dispatch(Scale(&mut data, 3.0));
//! assert_eq!(data, vec![3.0; 11]);
//! ```
//!
//! Every function between `run` and the vector methods must be `#[inline(always)]` (or small enough that the
//! compiler inlines it anyway): a call that is left over is compiled without the instruction set, and each
//! vector method in it becomes a call of its own. The same holds for closures that cross into a thread pool:
//! call [`Cpu::dispatch`] inside the closure.

use half::f16;

mod cpu;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
mod leaf;
mod portable;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(test)]
mod emulated;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
pub use avx2::{Avx2Fma, AvxVnni};
#[cfg(target_arch = "x86_64")]
pub use avx512::{Avx512, Avx512Amx, Avx512Vnni};
pub use cpu::Cpu;
#[cfg(test)]
pub(crate) use emulated::Emulated16;
#[cfg(target_arch = "aarch64")]
pub use neon::{Neon, NeonDot, NeonI8mm};
pub use portable::Portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub use portable::Wasm128;

/// The most lanes any instruction set has; sizes stack buffers.
pub const MAX_LANES: usize = 16;

/// An algorithm written once for all instruction sets.
pub trait Kernel {
    /// What the algorithm gives back.
    type Output;

    /// Runs the algorithm. Implementations must be `#[inline(always)]`.
    fn run<S: Isa>(self, isa: S) -> Self::Output;
}

/// Copies `n <= MAX_LANES` elements without a call, which would cost every vector in registers.
///
/// # Safety
/// Both pointers must be valid for `n` values.
#[inline(always)]
unsafe fn copy_few<T>(from: *const T, to: *mut T, n: usize) {
    let mut at = 0;
    macro_rules! copy {
        ($($len:literal)*) => {
            $(if n & $len != 0 {
                // SAFETY: the lengths of the parts sum to `n`.
                unsafe { core::ptr::copy_nonoverlapping(from.add(at), to.add(at), $len) };
                at += $len;
            })*
        };
    }
    copy!(16 8 4 2 1);
    debug_assert_eq!(at, n);
}

/// Loads and stores of the first `n <= LANES` narrow integers by way of memory, where there is nothing better.
macro_rules! narrow_parts {
    ($($T:ty: $load:ident $load_part:ident $store:ident $store_part:ident,)*) => {
        $(
            #[doc = concat!("Reads and widens the first `n <= LANES` `", stringify!($T), "`, the other lanes are zero.")]
            /// # Safety
            /// `ptr` must be valid for reading `n` values.
            #[inline(always)]
            unsafe fn $load_part(self, ptr: *const $T, n: usize) -> Self::I {
                let mut lanes: [$T; MAX_LANES] = [0; MAX_LANES];
                // SAFETY: the caller vouches for `n` values, for which the array has room.
                unsafe {
                    copy_few(ptr, lanes.as_mut_ptr(), n);
                    self.$load(lanes.as_ptr())
                }
            }
            #[doc = concat!("Writes the first `n <= LANES` lanes clamped to `", stringify!($T), "`.")]
            /// # Safety
            /// `ptr` must be valid for writing `n` values.
            #[inline(always)]
            unsafe fn $store_part(self, value: Self::I, ptr: *mut $T, n: usize) {
                let mut lanes: [$T; MAX_LANES] = [0; MAX_LANES];
                // SAFETY: the caller vouches for `n` values, of which the array has as many.
                unsafe {
                    self.$store(value, lanes.as_mut_ptr());
                    copy_few(lanes.as_ptr(), ptr, n);
                }
            }
        )*
    };
}

/// Vectors of `LANES` 32-bit floats or integers and what can be done with them.
///
/// Lane-wise throughout. Integer arithmetic wraps. The `*_ptr` methods are the raw forms for loops whose bounds
/// are proven elsewhere; the slice forms check lengths.
pub trait Isa: Copy + Send + Sync + core::fmt::Debug + 'static {
    /// A vector of `f32`.
    type F: Copy + Send + Sync;
    /// A vector of `i32`.
    type I: Copy + Send + Sync;
    /// A yes or no per lane, from a comparison.
    type M: Copy + Send + Sync;
    /// Lanes in a vector.
    const LANES: usize;
    /// Vector registers the instruction set has; micro-kernels choose tile sizes by it.
    const REGISTERS: usize;
    /// Whether an instruction widens floats of 16 bits; otherwise [`Isa::load_halves_ptr`] takes a dozen.
    const WIDENS_HALVES: bool = false;
    /// Whether instructions look up one of 32 floats and scale by powers of two; otherwise [`Isa::lookup32`] and [`Isa::scale`]
    /// take long.
    const LOOKS_UP: bool = false;
    /// Whether instructions multiply integers of 64 bits and shift them right by a number for each lane; otherwise both take a
    /// dozen.
    const SHIFTS_WIDE: bool = false;

    /// All lanes `value`.
    fn splat(self, value: f32) -> Self::F;
    /// Reads `LANES` floats.
    /// # Safety
    /// `ptr` must be valid for reading `LANES` values; no alignment is needed.
    unsafe fn load_ptr(self, ptr: *const f32) -> Self::F;
    /// Reads the first `n <= LANES` floats, the other lanes are zero.
    /// # Safety
    /// `ptr` must be valid for reading `n` values.
    unsafe fn load_ptr_part(self, ptr: *const f32, n: usize) -> Self::F;
    /// Reads `LANES` floats of 16 bits (IEEE 754), widened exactly; a NaN stays one.
    /// # Safety
    /// `ptr` must be valid for reading `LANES` values.
    #[inline(always)]
    unsafe fn load_halves_ptr(self, ptr: *const f16) -> Self::F {
        /// Takes the exponent from the bias of 16 bits, 15, to that of 32, 127; subnormal numbers become normal.
        const REBIAS: f32 = f32::from_bits((127 + 112) << 23);
        const GREATEST: i32 = 0x7bff << 13;
        // SAFETY: forwarded; any 16 bits are an integer.
        let halves = unsafe { self.load_i16_ptr(ptr.cast()) };
        let magnitude = self.shl::<13>(self.and(halves, self.splat_i32(0x7fff)));
        let finite = self.bits(self.mul(self.bits_to_f32(magnitude), self.splat(REBIAS)));
        let unbounded = self.or(finite, self.splat_i32(0x7f80_0000));
        let beyond = self.lt_i32(self.splat_i32(GREATEST), magnitude);
        let sign = self.and(self.shl::<16>(halves), self.splat_i32(i32::MIN));
        self.bits_to_f32(self.or(self.select_i32(beyond, unbounded, finite), sign))
    }
    /// Writes `LANES` floats.
    /// # Safety
    /// `ptr` must be valid for writing `LANES` values.
    unsafe fn store_ptr(self, value: Self::F, ptr: *mut f32);
    /// Writes the first `n <= LANES` lanes.
    /// # Safety
    /// `ptr` must be valid for writing `n` values.
    unsafe fn store_ptr_part(self, value: Self::F, ptr: *mut f32, n: usize);

    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`, correctly rounded.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`: rounded once where the CPU has a fused form, a product and then a sum on [`Portable`] and
    /// WebAssembly (so that these two agree bit for bit).
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The smaller one. A NaN in `b` gives NaN; put the operand that may be NaN there.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The greater one. A NaN in `b` gives NaN; put the operand that may be NaN there.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// Square root, correctly rounded.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// Nearest integer, halves to even; keeps the sign of zero.
    fn round(self, a: Self::F) -> Self::F;
    /// Greatest integer not above `a`.
    fn floor(self, a: Self::F) -> Self::F;
    /// Nearest integer, halves to even. Lanes outside of `i32` are unspecified: clamp before.
    fn to_i32_round(self, a: Self::F) -> Self::I;
    /// Integer part. Lanes outside of `i32` are unspecified: clamp before.
    fn to_i32_trunc(self, a: Self::F) -> Self::I;
    /// The nearest float.
    fn to_f32(self, a: Self::I) -> Self::F;
    /// The same bits as integers.
    fn bits(self, a: Self::F) -> Self::I;
    /// The same bits as floats.
    fn bits_to_f32(self, a: Self::I) -> Self::F;
    /// `a < b`; false with a NaN.
    fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a <= b`; false with a NaN.
    fn le(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a == b`; false with a NaN.
    fn eq(self, a: Self::F, b: Self::F) -> Self::M;
    /// `yes` where the mask holds, else `no`.
    fn select(self, mask: Self::M, yes: Self::F, no: Self::F) -> Self::F;

    /// An estimate of `1 / √a` with a relative error of at most 2^-14, where the CPU has one: exact for zeros and
    /// infinity, NaN below zero.
    #[inline(always)]
    fn rsqrt_estimate(self, _: Self::F) -> Option<Self::F> {
        None
    }
    /// `table[index]` for the low five bits of each index.
    #[inline(always)]
    fn lookup32(self, table: &[f32; 32], index: Self::I) -> Self::F {
        let (mut indices, mut lanes) = ([0; MAX_LANES], [0.0; MAX_LANES]);
        self.store_i32(index, &mut indices);
        for (lane, &index) in lanes.iter_mut().zip(&indices) {
            *lane = table[index as usize % 32];
        }
        self.load(&lanes)
    }

    /// All lanes `value`.
    fn splat_i32(self, value: i32) -> Self::I;
    /// Reads `LANES` integers.
    /// # Safety
    /// `ptr` must be valid for reading `LANES` values.
    unsafe fn load_i32_ptr(self, ptr: *const i32) -> Self::I;
    /// Reads the first `n <= LANES` integers, the other lanes are zero.
    /// # Safety
    /// `ptr` must be valid for reading `n` values.
    unsafe fn load_i32_ptr_part(self, ptr: *const i32, n: usize) -> Self::I;
    /// Writes `LANES` integers.
    /// # Safety
    /// `ptr` must be valid for writing `LANES` values.
    unsafe fn store_i32_ptr(self, value: Self::I, ptr: *mut i32);
    /// Writes the first `n <= LANES` lanes.
    /// # Safety
    /// `ptr` must be valid for writing `n` values.
    unsafe fn store_i32_ptr_part(self, value: Self::I, ptr: *mut i32, n: usize);
    /// Reads and widens `LANES` bytes.
    /// # Safety
    /// `ptr` must be valid for reading `LANES` values.
    unsafe fn load_i8_ptr(self, ptr: *const i8) -> Self::I;
    /// Reads and widens `LANES` unsigned bytes.
    /// # Safety
    /// `ptr` must be valid for reading `LANES` values.
    unsafe fn load_u8_ptr(self, ptr: *const u8) -> Self::I;
    /// Reads and widens `LANES` 16-bit integers.
    /// # Safety
    /// `ptr` must be valid for reading `LANES` values.
    unsafe fn load_i16_ptr(self, ptr: *const i16) -> Self::I;
    /// Writes `LANES` values clamped to `i8`.
    /// # Safety
    /// `ptr` must be valid for writing `LANES` values.
    unsafe fn store_i8_ptr(self, value: Self::I, ptr: *mut i8);
    /// Writes `LANES` values clamped to `u8`.
    /// # Safety
    /// `ptr` must be valid for writing `LANES` values.
    unsafe fn store_u8_ptr(self, value: Self::I, ptr: *mut u8);
    /// Writes `LANES` values clamped to `i16`.
    /// # Safety
    /// `ptr` must be valid for writing `LANES` values.
    unsafe fn store_i16_ptr(self, value: Self::I, ptr: *mut i16);
    narrow_parts! {
        i8: load_i8_ptr load_i8_ptr_part store_i8_ptr store_i8_ptr_part,
        u8: load_u8_ptr load_u8_ptr_part store_u8_ptr store_u8_ptr_part,
        i16: load_i16_ptr load_i16_ptr_part store_i16_ptr store_i16_ptr_part,
    }

    /// `a + b`
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`
    fn sub_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// The low half of `a * b`.
    fn mul_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// The smaller one.
    fn min_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// The greater one.
    fn max_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise and.
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise or.
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise exclusive or.
    fn xor(self, a: Self::I, b: Self::I) -> Self::I;
    /// Shift left by `N < 32`.
    fn shl<const N: i32>(self, a: Self::I) -> Self::I;
    /// Arithmetic shift right by `0 < N < 32`.
    fn shr<const N: i32>(self, a: Self::I) -> Self::I;
    /// Arithmetic shift right of all lanes by `n < 32`.
    fn shr_by(self, a: Self::I, n: u32) -> Self::I;
    /// `a < b`
    fn lt_i32(self, a: Self::I, b: Self::I) -> Self::M;
    /// `a == b`
    fn eq_i32(self, a: Self::I, b: Self::I) -> Self::M;
    /// `yes` where the mask holds, else `no`.
    fn select_i32(self, mask: Self::M, yes: Self::I, no: Self::I) -> Self::I;

    // A vector of integers also holds twice as many of 16 bits.

    /// `a + b` of 16-bit lanes.
    fn add_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b` of 16-bit lanes.
    fn sub_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a + b` of 16-bit lanes, saturated.
    fn saturating_add_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// The product of fractions of 15 bits, [`high_mul_i16`](crate::fixed_point::high_mul_i16), of 16-bit lanes; that of two
    /// minima is unspecified.
    fn high_mul_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// All ones where 16-bit lanes are equal, elsewhere zero.
    fn eq_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// All ones where `a < b` in 16-bit lanes, elsewhere zero.
    fn lt_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// All 16-bit lanes `value`.
    #[inline(always)]
    fn splat_i16(self, value: i16) -> Self::I {
        let bits = u32::from(value as u16);
        self.splat_i32((bits << 16 | bits) as i32)
    }
    /// The bits of `yes` where the mask has ones, else those of `no`.
    #[inline(always)]
    fn blend(self, mask: Self::I, yes: Self::I, no: Self::I) -> Self::I {
        self.xor(no, self.and(mask, self.xor(yes, no)))
    }

    /// Asks for the cache line at `ptr`, which may be any address; never waits and never faults.
    #[inline(always)]
    fn prefetch(self, _ptr: *const f32) {}

    /// `a 2^⌊n⌋` rounded once, for `a` near 1 and `-185 <= n <= 0`.
    #[inline(always)]
    fn scale(self, a: Self::F, n: Self::F) -> Self::F {
        // In two steps, the first of which is exact: 2^n alone may be no normal number.
        let exponent = self.to_i32_round(self.floor(n));
        let first = self.max_i32(exponent, self.splat_i32(-96));
        let rest = self.sub_i32(exponent, first);
        let bias = self.splat_i32(127);
        let first = self.bits_to_f32(self.shl::<23>(self.add_i32(first, bias)));
        let rest = self.bits_to_f32(self.shl::<23>(self.add_i32(rest, bias)));
        self.mul(self.mul(a, first), rest)
    }

    /// All lanes zero.
    #[inline(always)]
    fn zero(self) -> Self::F {
        self.splat(0.0)
    }
    /// `-a`, of zeros and NaNs too.
    #[inline(always)]
    fn neg(self, a: Self::F) -> Self::F {
        self.bits_to_f32(self.xor(self.bits(a), self.splat_i32(i32::MIN)))
    }
    /// `a` without its sign.
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        self.bits_to_f32(self.and(self.bits(a), self.splat_i32(i32::MAX)))
    }
    /// `a` with the sign of `sign`.
    #[inline(always)]
    fn copysign(self, a: Self::F, sign: Self::F) -> Self::F {
        let sign = self.and(self.bits(sign), self.splat_i32(i32::MIN));
        self.bits_to_f32(self.or(self.bits(self.abs(a)), sign))
    }
    /// `a` held to `low..=high`; NaN stays NaN.
    #[inline(always)]
    fn clamp(self, a: Self::F, low: Self::F, high: Self::F) -> Self::F {
        self.min(high, self.max(low, a))
    }

    /// Reads the first `LANES` floats of a slice.
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::F {
        assert!(from.len() >= Self::LANES);
        // SAFETY: the length was checked.
        unsafe { self.load_ptr(from.as_ptr()) }
    }
    /// Reads a slice of at most `LANES` floats, the other lanes are zero.
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Self::F {
        assert!(from.len() <= Self::LANES);
        // SAFETY: exactly the slice is read.
        unsafe { self.load_ptr_part(from.as_ptr(), from.len()) }
    }
    /// Writes to the first `LANES` floats of a slice.
    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32]) {
        assert!(to.len() >= Self::LANES);
        // SAFETY: the length was checked.
        unsafe { self.store_ptr(value, to.as_mut_ptr()) }
    }
    /// Fills a slice of at most `LANES` floats.
    #[inline(always)]
    fn store_part(self, value: Self::F, to: &mut [f32]) {
        assert!(to.len() <= Self::LANES);
        // SAFETY: exactly the slice is written.
        unsafe { self.store_ptr_part(value, to.as_mut_ptr(), to.len()) }
    }

    /// Sum of all lanes, added in a fixed tree: halves, quarters, and so on.
    #[inline(always)]
    fn reduce_add(self, a: Self::F) -> f32 {
        self.reduce(a, |x, y| x + y)
    }
    /// The sums of `LANES` vectors, each as [`Isa::reduce_add`] adds it: lane `i` is that of `sums[i]`.
    #[inline(always)]
    fn reduce_add_each(self, sums: &[Self::F; MAX_LANES]) -> Self::F {
        let mut lanes = [0.0; MAX_LANES];
        for (lane, &sum) in lanes.iter_mut().zip(&sums[..Self::LANES]) {
            *lane = self.reduce_add(sum);
        }
        self.load(&lanes)
    }
    /// Greatest lane; unspecified with NaNs.
    #[inline(always)]
    fn reduce_max(self, a: Self::F) -> f32 {
        self.reduce(a, f32::max)
    }
    /// Smallest lane; unspecified with NaNs.
    #[inline(always)]
    fn reduce_min(self, a: Self::F) -> f32 {
        self.reduce(a, f32::min)
    }
    /// Folds the lanes in a fixed tree.
    #[inline(always)]
    fn reduce(self, a: Self::F, fold: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: no instruction set has more than `MAX_LANES` lanes.
        unsafe { self.store_ptr(a, lanes.as_mut_ptr()) };
        let mut width = Self::LANES / 2;
        while width > 0 {
            for i in 0..width {
                lanes[i] = fold(lanes[i], lanes[i + width]);
            }
            width /= 2;
        }
        lanes[0]
    }
    /// Sum of all lanes, wrapping.
    #[inline(always)]
    fn reduce_add_i32(self, a: Self::I) -> i32 {
        let mut lanes = [0; MAX_LANES];
        // SAFETY: no instruction set has more than `MAX_LANES` lanes.
        unsafe { self.store_i32_ptr(a, lanes.as_mut_ptr()) };
        lanes[..Self::LANES].iter().fold(0, |sum: i32, &lane| sum.wrapping_add(lane))
    }
}

/// Slice forms of the widening loads and the saturating narrowing stores, whole and in part.
macro_rules! narrow_slices {
    ($($T:ty: $load:ident $load_part:ident $load_ptr:ident $load_ptr_part:ident
        $store:ident $store_part:ident $store_ptr:ident $store_ptr_part:ident,)*) => {
        /// Checked loads and stores of narrow integers, for every instruction set.
        pub trait IsaNarrow: Isa {
            $(
                #[doc = concat!("Reads and widens the first `LANES` values of a slice of `", stringify!($T), "`.")]
                #[inline(always)]
                fn $load(self, from: &[$T]) -> Self::I {
                    assert!(from.len() >= Self::LANES);
                    // SAFETY: the length was checked.
                    unsafe { self.$load_ptr(from.as_ptr()) }
                }
                #[doc = concat!("Reads and widens a slice of at most `LANES` `", stringify!($T), "`, the other lanes are zero.")]
                #[inline(always)]
                fn $load_part(self, from: &[$T]) -> Self::I {
                    assert!(from.len() <= Self::LANES);
                    // SAFETY: exactly the slice is read.
                    unsafe { self.$load_ptr_part(from.as_ptr(), from.len()) }
                }
                #[doc = concat!("Writes to the first `LANES` values of a slice, clamped to `", stringify!($T), "`.")]
                #[inline(always)]
                fn $store(self, value: Self::I, to: &mut [$T]) {
                    assert!(to.len() >= Self::LANES);
                    // SAFETY: the length was checked.
                    unsafe { self.$store_ptr(value, to.as_mut_ptr()) }
                }
                #[doc = concat!("Fills a slice of at most `LANES` values, clamped to `", stringify!($T), "`.")]
                #[inline(always)]
                fn $store_part(self, value: Self::I, to: &mut [$T]) {
                    assert!(to.len() <= Self::LANES);
                    // SAFETY: exactly the slice is written.
                    unsafe { self.$store_ptr_part(value, to.as_mut_ptr(), to.len()) }
                }
            )*
        }
        impl<S: Isa> IsaNarrow for S {}
    };
}

narrow_slices! {
    i8: load_i8 load_i8_part load_i8_ptr load_i8_ptr_part store_i8 store_i8_part store_i8_ptr store_i8_ptr_part,
    u8: load_u8 load_u8_part load_u8_ptr load_u8_ptr_part store_u8 store_u8_part store_u8_ptr store_u8_ptr_part,
    i16: load_i16 load_i16_part load_i16_ptr load_i16_ptr_part store_i16 store_i16_part store_i16_ptr store_i16_ptr_part,
    i32: load_i32 load_i32_part load_i32_ptr load_i32_ptr_part store_i32 store_i32_part store_i32_ptr store_i32_ptr_part,
}
