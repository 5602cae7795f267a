//! Which instruction sets this CPU has.

use super::{Isa, Kernel, MAX_LANES, Portable};

#[cfg(test)]
use super::Emulated16;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::Wasm128;
#[cfg(target_arch = "x86_64")]
use super::{Avx2Fma, Avx512, Avx512Amx, Avx512Vnni, AvxVnni};
#[cfg(target_arch = "aarch64")]
use super::{Neon, NeonDot, NeonI8mm};

/// An instruction set the running CPU has, chosen once and kept by every prepacked kernel.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cpu {
    /// What the compilation target guarantees: 128-bit vectors through the `wide` crate.
    Portable(Portable),
    /// AVX2 with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2Fma),
    /// AVX2 with fused multiply-add and the 8-bit dot products.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    /// AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// AVX-512 with the 8-bit dot products.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512Vnni),
    /// AVX-512 with the 8-bit dot products and tiles of bytes.
    #[cfg(target_arch = "x86_64")]
    Avx512Amx(Avx512Amx),
    /// The vectors every 64-bit Arm has.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    /// Neon with the 8-bit dot products.
    #[cfg(target_arch = "aarch64")]
    NeonDot(NeonDot),
    /// Neon with the 8-bit dot products and products of 8-bit matrices.
    #[cfg(target_arch = "aarch64")]
    NeonI8mm(NeonI8mm),
    /// WebAssembly's 128-bit vectors.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Wasm128(Wasm128),
    /// Sixteen lanes in arrays: tests the code paths of AVX-512 on machines without it.
    #[cfg(test)]
    Emulated16(Emulated16),
}

impl Cpu {
    /// The widest instruction set of the running CPU.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(token) = Avx512Amx::detect() {
                return Self::Avx512Amx(token);
            }
            if let Some(token) = Avx512Vnni::detect() {
                return Self::Avx512Vnni(token);
            }
            if let Some(token) = Avx512::detect() {
                return Self::Avx512(token);
            }
            if let Some(token) = AvxVnni::detect() {
                return Self::AvxVnni(token);
            }
            if let Some(token) = Avx2Fma::detect() {
                return Self::Avx2(token);
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            if let Some(token) = NeonI8mm::detect() {
                return Self::NeonI8mm(token);
            }
            if let Some(token) = NeonDot::detect() {
                return Self::NeonDot(token);
            }
            if let Some(token) = Neon::detect() {
                return Self::Neon(token);
            }
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        return Self::Wasm128(Wasm128::new());
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        Self::Portable(Portable::new())
    }

    /// What every CPU of the compilation target has.
    pub fn portable() -> Self {
        Self::Portable(Portable::new())
    }

    /// Every instruction set the running CPU has, plainest first. For tests and comparisons.
    pub fn all() -> Vec<Self> {
        #[allow(unused_mut, reason = "a target may have no other")]
        let mut all = vec![Self::portable()];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx2Fma::detect().map(Self::Avx2));
            all.extend(AvxVnni::detect().map(Self::AvxVnni));
            all.extend(Avx512::detect().map(Self::Avx512));
            all.extend(Avx512Vnni::detect().map(Self::Avx512Vnni));
            all.extend(Avx512Amx::detect().map(Self::Avx512Amx));
        }
        #[cfg(target_arch = "aarch64")]
        {
            all.extend(Neon::detect().map(Self::Neon));
            all.extend(NeonDot::detect().map(Self::NeonDot));
            all.extend(NeonI8mm::detect().map(Self::NeonI8mm));
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        all.push(Self::Wasm128(Wasm128::new()));
        #[cfg(test)]
        all.push(Self::Emulated16(Emulated16::new()));
        all
    }

    /// The last part of kernel names, e.g. `avx2` in `f32_gemm_6x16_avx2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => "avx512vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Amx(_) => "avx512amx",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(_) => "neondot",
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm(_) => "neoni8mm",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm128(_) => "wasm128",
            #[cfg(test)]
            Self::Emulated16(_) => "emulated16",
        }
    }

    /// The token of AVX-512, if it is there.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn avx512(self) -> Option<Avx512> {
        match self {
            Self::Avx512(isa) => Some(isa),
            other => other.vnni().map(Avx512Vnni::base),
        }
    }

    /// The token of the 8-bit dot products of AVX-512, if they are there.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn vnni(self) -> Option<Avx512Vnni> {
        match self {
            Self::Avx512Vnni(isa) => Some(isa),
            Self::Avx512Amx(isa) => Some(isa.base()),
            _ => None,
        }
    }

    /// Lanes of a 32-bit vector.
    pub fn lanes(self) -> usize {
        struct Lanes;
        impl Kernel for Lanes {
            type Output = usize;
            #[inline(always)]
            fn run<S: Isa>(self, _: S) -> usize {
                S::LANES
            }
        }
        self.dispatch(Lanes)
    }

    /// What remains of an amount of work, counted in operations and chosen for AVX-512, for vectors of this CPU's lanes: it takes
    /// about as long. So that threads are woken for work of some time, not of some size. Half of that without AVX-512, as there
    /// are CPUs that compute a vector in two halves (first-generation EPYC); on others somewhat shorter layers are shared.
    pub(crate) fn in_its_lanes(self, work: usize) -> usize {
        match self.lanes() {
            MAX_LANES => work,
            lanes => work * lanes / (2 * MAX_LANES),
        }
    }

    /// Whether an instruction widens floats of 16 bits.
    pub fn widens_halves(self) -> bool {
        struct Widens;
        impl Kernel for Widens {
            type Output = bool;
            #[inline(always)]
            fn run<S: Isa>(self, _: S) -> bool {
                S::WIDENS_HALVES
            }
        }
        self.dispatch(Widens)
    }

    /// Runs a kernel in a function compiled for this instruction set. The dot-product tokens run the kernel of
    /// the set they extend.
    #[inline]
    pub fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Portable(isa) => kernel.run(isa),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(isa) => isa.dispatch(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(isa) => isa.base().dispatch(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(isa) => isa.dispatch(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(isa) => isa.base().dispatch(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Amx(isa) => isa.base().base().dispatch(kernel),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(isa) => isa.dispatch(kernel),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(isa) => isa.base().dispatch(kernel),
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm(isa) => isa.base().base().dispatch(kernel),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm128(isa) => kernel.run(isa.base()),
            #[cfg(test)]
            Self::Emulated16(isa) => kernel.run(isa),
        }
    }
}
