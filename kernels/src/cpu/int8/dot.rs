//! Integer dot products as every instruction set has them.
//!
//! A matrix multiplication of bytes is written once over [`Dot`]: a step multiplies `DEPTH` neighbouring bytes
//! of one activation row with as many of `LANES` weight columns and adds them to `LANES` sums of 32 bits. There
//! are two kinds:
//!
//! * [`Wide`] works on pairs of 16-bit numbers. Activations are widened once while a tile is packed, weights
//!   while they are read, and nothing can saturate.
//! * the 8-bit dot products of AVX-512 VNNI, AVX-VNNI and Arm, which take four bytes at a time, and Arm's products of
//!   matrices, which take eight of two rows.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::isa::Kernel;
use crate::isa::{Cpu, Isa, Portable};

#[cfg(test)]
use crate::isa::Emulated16;
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2Fma, Avx512, Avx512Vnni, AvxVnni};

/// The vector of sums of a [`Dot`].
pub type Sums<D> = <<D as Dot>::V as Isa>::I;

/// A number format in which activations lie in a packed tile.
pub trait PanelElement: bytemuck::Pod + Into<i32> + Send + Sync {
    /// The packed form of an activation, given as a signed number together with its zero point.
    fn pack(x: i32, zero: i32) -> Self;
    /// Whether the packed numbers still have a zero point.
    const HAS_REST: bool = true;
    /// The zero point that the packed numbers still have.
    fn rest(zero: i32) -> i32;
    /// Bytes of activations that are in the packed form as they are.
    #[inline(always)]
    fn raw(_bytes: &[u8], _signed: bool) -> Option<&[Self]> {
        None
    }
}

/// Sixteen bits have room for the difference to the zero point.
impl PanelElement for i16 {
    const HAS_REST: bool = false;

    #[inline(always)]
    fn pack(x: i32, zero: i32) -> Self {
        (x - zero) as i16
    }
    #[inline(always)]
    fn rest(_: i32) -> i32 {
        0
    }
}

impl PanelElement for i8 {
    #[inline(always)]
    fn pack(x: i32, _: i32) -> Self {
        x as i8
    }
    #[inline(always)]
    fn rest(zero: i32) -> i32 {
        zero
    }
    #[inline(always)]
    fn raw(bytes: &[u8], signed: bool) -> Option<&[Self]> {
        signed.then(|| bytemuck::cast_slice(bytes))
    }
}

/// Unsigned bytes hold the number plus 128: VNNI multiplies unsigned with signed bytes.
impl PanelElement for u8 {
    #[inline(always)]
    fn pack(x: i32, _: i32) -> Self {
        (x as u8) ^ 0x80
    }
    #[inline(always)]
    fn rest(zero: i32) -> i32 {
        zero + 128
    }
    #[inline(always)]
    fn raw(bytes: &[u8], signed: bool) -> Option<&[Self]> {
        (!signed).then_some(bytes)
    }
}

/// One step of a matrix multiplication of small integers.
pub trait Dot: Copy + Send + Sync {
    /// The general vector methods of the same CPU.
    type V: Isa;
    /// Packed activations.
    type Lhs: PanelElement;
    /// `DEPTH` activations in all lanes.
    type A: Copy;
    /// `DEPTH` weights of each of `LANES` columns.
    type B: Copy;
    /// Products that a step adds to each sum.
    const DEPTH: usize;
    /// Rows of the largest tile whose sums stay in registers.
    const ROWS: usize;
    /// Columns of a tile in vectors.
    const VECTORS: usize;

    /// The token with the general vector methods.
    fn isa(self) -> Self::V;
    /// Reads activations.
    /// # Safety
    /// `ptr` must be valid for reading `DEPTH` values.
    unsafe fn lhs(self, ptr: *const Self::Lhs) -> Self::A;
    /// Reads weights: the `DEPTH` ones of the first column, then those of the second, and so on.
    /// # Safety
    /// `ptr` must be valid for reading `DEPTH * LANES` values.
    unsafe fn rhs(self, ptr: *const i8) -> Self::B;
    /// `sums` plus the products.
    fn dot(self, sums: Sums<Self>, a: Self::A, b: Self::B) -> Sums<Self>;

    /// Brings the sums of `R` rows and `V` vectors of columns to the order in which [`Dot::step`] has them, and back.
    #[inline(always)]
    fn turn<const R: usize, const V: usize>(self, sums: [[Sums<Self>; V]; R]) -> [[Sums<Self>; V]; R] {
        sums
    }
    /// Adds the products of `DEPTH` numbers of each of `R` rows, from `rows` plus each offset on, with those of `V` vectors of
    /// columns.
    ///
    /// Sums come and go by value: those that something points to would stay in memory.
    /// # Safety
    /// So many numbers must be valid for reading.
    #[inline(always)]
    unsafe fn step<const R: usize, const V: usize>(
        self,
        rows: *const Self::Lhs,
        offsets: [usize; R],
        columns: *const i8,
        mut sums: [[Sums<Self>; V]; R],
    ) -> [[Sums<Self>; V]; R] {
        // SAFETY: the caller vouches for the numbers.
        unsafe {
            let mut weights = [self.rhs(columns); V];
            for (v, weights) in weights.iter_mut().enumerate().skip(1) {
                *weights = self.rhs(columns.add(v * Self::V::LANES * Self::DEPTH));
            }
            for (&offset, sums) in offsets.iter().zip(&mut sums) {
                let x = self.lhs(rows.add(offset));
                for (sum, &weights) in sums.iter_mut().zip(&weights) {
                    *sum = self.dot(*sum, x, weights);
                }
            }
        }
        sums
    }
}

/// An algorithm over [`Dot`].
pub trait DotKernel {
    /// What the algorithm gives back.
    type Output;
    /// Runs the algorithm. Implementations must be `#[inline(always)]`.
    fn run<D: Dot>(self, dot: D) -> Self::Output;
}

/// An algorithm over [`Pairs`].
pub trait PairsKernel {
    /// What the algorithm gives back.
    type Output;
    /// Runs the algorithm. Implementations must be `#[inline(always)]`.
    fn run<S: Pairs>(self, isa: S) -> Self::Output;
}

/// Products of 16-bit numbers that lie in pairs in the lanes of [`Isa::I`].
pub trait Pairs: Isa {
    /// `sums + a.low * b.low + a.high * b.high`
    fn dot_pairs(self, sums: Self::I, a: Self::I, b: Self::I) -> Self::I;
    /// Reads `2 * LANES` bytes as pairs of 16-bit numbers.
    /// # Safety
    /// `ptr` must be valid for reading `2 * LANES` values.
    unsafe fn load_i8_pairs(self, ptr: *const i8) -> Self::I;
}

/// [`Dot`] by pairs of 16-bit numbers.
#[derive(Copy, Clone, Debug)]
pub struct Wide<S>(pub S);

impl<S: Pairs> Dot for Wide<S> {
    type V = S;
    type Lhs = i16;
    type A = S::I;
    type B = S::I;
    const DEPTH: usize = 2;
    const ROWS: usize = if S::REGISTERS >= 32 {
        12
    } else if S::LANES >= 8 {
        6
    } else {
        4
    };
    const VECTORS: usize = 2;

    #[inline(always)]
    fn isa(self) -> S {
        self.0
    }
    #[inline(always)]
    unsafe fn lhs(self, ptr: *const i16) -> S::I {
        // SAFETY: the caller vouches for two values.
        self.0.splat_i32(unsafe { ptr.cast::<i32>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn rhs(self, ptr: *const i8) -> S::I {
        // SAFETY: the caller vouches for `2 * LANES` values.
        unsafe { self.0.load_i8_pairs(ptr) }
    }
    #[inline(always)]
    fn dot(self, sums: S::I, a: S::I, b: S::I) -> S::I {
        self.0.dot_pairs(sums, a, b)
    }
}

impl Pairs for Portable {
    #[inline(always)]
    fn dot_pairs(self, sums: Self::I, a: Self::I, b: Self::I) -> Self::I {
        let (a, b): (wide::i16x8, wide::i16x8) = (bytemuck::cast(a), bytemuck::cast(b));
        sums + a.dot(b)
    }
    #[inline(always)]
    unsafe fn load_i8_pairs(self, ptr: *const i8) -> Self::I {
        // SAFETY: the caller vouches for eight values.
        let bytes = unsafe { ptr.cast::<[i8; 8]>().read_unaligned() };
        bytemuck::cast(wide::i16x8::new(bytes.map(i16::from)))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::*;

    use super::*;

    impl Pairs for Avx2Fma {
        #[inline(always)]
        fn dot_pairs(self, sums: Self::I, a: Self::I, b: Self::I) -> Self::I {
            // SAFETY: the token proves that the CPU has AVX2.
            unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(a, b)) }
        }
        #[inline(always)]
        unsafe fn load_i8_pairs(self, ptr: *const i8) -> Self::I {
            // SAFETY: the token proves that the CPU has AVX2, the caller vouches for sixteen values.
            unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(ptr.cast())) }
        }
    }

    impl Pairs for Avx512 {
        #[inline(always)]
        fn dot_pairs(self, sums: Self::I, a: Self::I, b: Self::I) -> Self::I {
            // SAFETY: the token proves that the CPU has AVX-512 F and BW.
            unsafe { _mm512_add_epi32(sums, _mm512_madd_epi16(a, b)) }
        }
        #[inline(always)]
        unsafe fn load_i8_pairs(self, ptr: *const i8) -> Self::I {
            // SAFETY: the token proves that the CPU has AVX-512 F and BW, the caller vouches for 32 values.
            unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(ptr.cast())) }
        }
    }

    impl Dot for Avx512Vnni {
        type V = Avx512;
        type Lhs = u8;
        type A = __m512i;
        type B = __m512i;
        const DEPTH: usize = 4;
        const ROWS: usize = 12;
        const VECTORS: usize = 2;

        #[inline(always)]
        fn isa(self) -> Avx512 {
            self.base()
        }
        #[inline(always)]
        unsafe fn lhs(self, ptr: *const u8) -> __m512i {
            // SAFETY: the caller vouches for four values.
            self.base().splat_i32(unsafe { ptr.cast::<i32>().read_unaligned() })
        }
        #[inline(always)]
        unsafe fn rhs(self, ptr: *const i8) -> __m512i {
            // SAFETY: the caller vouches for 64 values.
            unsafe { self.base().load_i32_ptr(ptr.cast()) }
        }
        #[inline(always)]
        fn dot(self, sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: the token proves that the CPU has VNNI.
            unsafe { _mm512_dpbusd_epi32(sums, a, b) }
        }
    }

    impl Dot for AvxVnni {
        type V = Avx2Fma;
        type Lhs = u8;
        type A = __m256i;
        type B = __m256i;
        const DEPTH: usize = 4;
        const ROWS: usize = 6;
        const VECTORS: usize = 2;

        #[inline(always)]
        fn isa(self) -> Avx2Fma {
            self.base()
        }
        #[inline(always)]
        unsafe fn lhs(self, ptr: *const u8) -> __m256i {
            // SAFETY: the caller vouches for four values.
            self.base().splat_i32(unsafe { ptr.cast::<i32>().read_unaligned() })
        }
        #[inline(always)]
        unsafe fn rhs(self, ptr: *const i8) -> __m256i {
            // SAFETY: the caller vouches for 32 values.
            unsafe { self.base().load_i32_ptr(ptr.cast()) }
        }
        #[inline(always)]
        fn dot(self, sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: the token proves that the CPU has AVX-VNNI.
            unsafe { _mm256_dpbusd_avx_epi32(sums, a, b) }
        }
    }

    /// Runs a kernel compiled for AVX2 with VNNI.
    #[inline]
    pub(super) fn with_avx_vnni<K: DotKernel>(isa: AvxVnni, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        fn run<K: DotKernel>(isa: AvxVnni, kernel: K) -> K::Output {
            kernel.run(isa)
        }
        // SAFETY: the token proves that the CPU has all of them.
        unsafe { run(isa, kernel) }
    }

    /// Runs a kernel compiled for AVX-512 with VNNI.
    #[inline]
    pub(super) fn with_vnni<K: DotKernel>(isa: Avx512Vnni, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
        fn run<K: DotKernel>(isa: Avx512Vnni, kernel: K) -> K::Output {
            kernel.run(isa)
        }
        // SAFETY: the token proves that the CPU has all of them.
        unsafe { run(isa, kernel) }
    }
}

#[cfg(test)]
impl Pairs for Emulated16 {
    fn dot_pairs(self, sums: Self::I, a: Self::I, b: Self::I) -> Self::I {
        core::array::from_fn(|i| {
            let low = i32::from(a[i] as i16) * i32::from(b[i] as i16);
            let high = (a[i] >> 16) * (b[i] >> 16);
            sums[i].wrapping_add(low).wrapping_add(high)
        })
    }
    unsafe fn load_i8_pairs(self, ptr: *const i8) -> Self::I {
        // SAFETY: the caller vouches for 32 values.
        let bytes = unsafe { ptr.cast::<[[i8; 2]; 16]>().read_unaligned() };
        bytes.map(|[low, high]| i32::from(low) & 0xffff | i32::from(high) << 16)
    }
}

/// VNNI's dot product in arrays, so that its tiles and its packing are tested on every machine.
#[cfg(test)]
impl Dot for Emulated16 {
    type V = Self;
    type Lhs = u8;
    type A = [u8; 4];
    type B = [[i8; 4]; 16];
    const DEPTH: usize = 4;
    const ROWS: usize = 12;
    const VECTORS: usize = 2;

    fn isa(self) -> Self {
        self
    }
    unsafe fn lhs(self, ptr: *const u8) -> [u8; 4] {
        // SAFETY: the caller vouches for four values.
        unsafe { ptr.cast::<[u8; 4]>().read_unaligned() }
    }
    unsafe fn rhs(self, ptr: *const i8) -> [[i8; 4]; 16] {
        // SAFETY: the caller vouches for 64 values.
        unsafe { ptr.cast::<[[i8; 4]; 16]>().read_unaligned() }
    }
    fn dot(self, sums: [i32; 16], a: [u8; 4], b: [[i8; 4]; 16]) -> [i32; 16] {
        core::array::from_fn(|i| {
            a.iter().zip(b[i]).fold(sums[i], |sum, (&a, b)| sum.wrapping_add(i32::from(a) * i32::from(b)))
        })
    }
}

/// Runs a [`PairsKernel`] inside a function compiled for the token's instruction set.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
struct InPairs<K, S>(K, S);

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl<K: PairsKernel, S: Pairs> Kernel for InPairs<K, S> {
    type Output = K::Output;
    #[inline(always)]
    fn run<T: Isa>(self, _: T) -> K::Output {
        self.0.run(self.1)
    }
}

/// Runs a [`DotKernel`] inside a function compiled for the token's instruction set.
#[cfg(target_arch = "aarch64")]
struct InDot<K, D>(K, D);

#[cfg(target_arch = "aarch64")]
impl<K: DotKernel, D: Dot> Kernel for InDot<K, D> {
    type Output = K::Output;
    #[inline(always)]
    fn run<T: Isa>(self, _: T) -> K::Output {
        self.0.run(self.1)
    }
}

/// Runs an algorithm over pairs of 16-bit numbers with the instructions of `cpu`.
#[inline]
pub fn dispatch_pairs<K: PairsKernel>(cpu: Cpu, kernel: K) -> K::Output {
    match cpu {
        Cpu::Portable(isa) => kernel.run(isa),
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx2(isa) => isa.dispatch(InPairs(kernel, isa)),
        #[cfg(target_arch = "x86_64")]
        Cpu::AvxVnni(isa) => isa.base().dispatch(InPairs(kernel, isa.base())),
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512(isa) => isa.dispatch(InPairs(kernel, isa)),
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512Vnni(isa) => isa.base().dispatch(InPairs(kernel, isa.base())),
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512Amx(isa) => isa.base().base().dispatch(InPairs(kernel, isa.base().base())),
        #[cfg(target_arch = "aarch64")]
        Cpu::Neon(isa) => isa.dispatch(InPairs(kernel, isa)),
        #[cfg(target_arch = "aarch64")]
        Cpu::NeonDot(isa) => isa.base().dispatch(InPairs(kernel, isa.base())),
        #[cfg(target_arch = "aarch64")]
        Cpu::NeonI8mm(isa) => isa.base().base().dispatch(InPairs(kernel, isa.base().base())),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Cpu::Wasm128(isa) => kernel.run(isa.base()),
        #[cfg(test)]
        Cpu::Emulated16(isa) => kernel.run(isa),
    }
}

/// Runs an algorithm over byte activations with the best dot product of `cpu`.
#[inline]
pub fn dispatch_bytes<K: DotKernel>(cpu: Cpu, kernel: K) -> K::Output {
    match cpu {
        #[cfg(target_arch = "x86_64")]
        Cpu::AvxVnni(isa) => x86::with_avx_vnni(isa, kernel),
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512Vnni(isa) => x86::with_vnni(isa, kernel),
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512Amx(isa) => x86::with_vnni(isa.base(), kernel),
        #[cfg(target_arch = "aarch64")]
        Cpu::Neon(isa) => isa.dispatch(InDot(kernel, super::neon::Smull(isa))),
        #[cfg(target_arch = "aarch64")]
        Cpu::NeonDot(isa) => isa.base().dispatch(InDot(kernel, isa)),
        #[cfg(target_arch = "aarch64")]
        Cpu::NeonI8mm(isa) => isa.base().base().dispatch(InDot(kernel, isa)),
        #[cfg(test)]
        Cpu::Emulated16(isa) => kernel.run(isa),
        other => dispatch_words(other, kernel),
    }
}

/// Runs an algorithm over 16-bit activations with the instructions of `cpu`.
#[inline]
pub fn dispatch_words<K: DotKernel>(cpu: Cpu, kernel: K) -> K::Output {
    /// The algorithm over the pairs of an instruction set.
    struct OverPairs<K>(K);
    impl<K: DotKernel> PairsKernel for OverPairs<K> {
        type Output = K::Output;
        #[inline(always)]
        fn run<S: Pairs>(self, isa: S) -> K::Output {
            self.0.run(Wide(isa))
        }
    }
    dispatch_pairs(cpu, OverPairs(kernel))
}
