//! What the machine can do, measured in the process that measures kernels.

#[allow(dead_code, reason = "each bench takes what it needs")]
pub mod tensor;

use ferrolite_kernels::isa::{Cpu, Isa, Kernel};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// What a benchmark is held against.
#[derive(Clone, Copy)]
pub enum Roof {
    /// Floating-point operations per second.
    Compute(f64),
    /// Integer operations per second.
    #[allow(dead_code, reason = "float kernels have none")]
    Dot(f64),
    /// Bytes read and written per second.
    #[allow(dead_code, reason = "integer kernels have none")]
    Memory(f64),
}

impl Roof {
    /// A rate and what it is of the roof.
    pub fn beside(self, rate: f64) -> String {
        let (peak, unit) = match self {
            Self::Compute(peak) => (peak, "GFLOP/s"),
            Self::Dot(peak) => (peak, "GOP/s"),
            Self::Memory(peak) => (peak, "GB/s"),
        };
        format!("{:.1} {unit}, {:.0} % of {:.1}", rate / 1e9, 100.0 * rate / peak, peak / 1e9)
    }
}

/// The least time of one call in a quarter of a second.
pub fn least(mut run: impl FnMut()) -> f64 {
    let begun = Instant::now();
    let mut best = f64::INFINITY;
    while begun.elapsed() < Duration::from_millis(250) {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

/// Operations per second of independent chains of multiply-adds that never leave the registers.
#[allow(dead_code, reason = "of float kernels")]
pub fn compute_roof(cpu: Cpu) -> Roof {
    const CHAINS: usize = 12;
    struct Chains(usize);
    impl Kernel for Chains {
        type Output = (f32, usize);
        #[inline(always)]
        fn run<S: Isa>(self, isa: S) -> (f32, usize) {
            let (mut sums, factor) = ([isa.splat(1.0); CHAINS], isa.splat(0.999));
            for _ in 0..self.0 {
                for sum in &mut sums {
                    *sum = isa.fma(*sum, factor, factor);
                }
            }
            let mut total = isa.zero();
            for sum in sums {
                total = isa.add(total, sum);
            }
            (isa.reduce_add(total), 2 * CHAINS * S::LANES)
        }
    }
    let rounds = 10_000;
    let (_, per_round) = cpu.dispatch(Chains(1));
    let time = least(|| {
        black_box(cpu.dispatch(Chains(black_box(rounds))));
    });
    Roof::Compute((rounds * per_round) as f64 / time)
}

/// Bytes per second of a copy between arrays that fit no near cache.
#[allow(dead_code, reason = "of float kernels")]
pub fn memory_roof() -> Roof {
    let from = vec![1u8; 64 << 20];
    let mut to = vec![0u8; from.len()];
    // What is not looked at afterwards is not copied at all.
    let time = least(|| black_box(&mut to).copy_from_slice(black_box(&from)));
    Roof::Memory(2.0 * from.len() as f64 / time)
}

/// Operations per second of independent chains of dot products of bytes, a multiplication and an addition for each byte;
/// `None` but for those of AVX-512 and AVX-VNNI.
#[allow(dead_code, reason = "of integer kernels")]
pub fn dot_roof(cpu: Cpu) -> Option<Roof> {
    #[cfg(target_arch = "x86_64")]
    {
        let rounds = 10_000;
        let (bytes, chains): (usize, unsafe fn(usize) -> i32) = match cpu {
            Cpu::Avx512Vnni(_) => (64, dot_chains),
            Cpu::AvxVnni(_) => (32, dot_chains_256),
            _ => return None,
        };
        // SAFETY: the token says that the CPU has the instructions.
        let time = least(|| _ = black_box(unsafe { chains(black_box(rounds)) }));
        Some(Roof::Dot((rounds * CHAINS * 2 * bytes) as f64 / time))
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = cpu;
        None
    }
}

/// Chains of dot products: as many as keep two units of a latency of five cycles busy.
#[cfg(target_arch = "x86_64")]
const CHAINS: usize = 12;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot_chains(rounds: usize) -> i32 {
    use core::arch::x86_64::*;
    let (mut sums, ones) = ([_mm512_setzero_si512(); CHAINS], _mm512_set1_epi8(1));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, ones, ones);
        }
    }
    let mut total = _mm512_setzero_si512();
    for sum in sums {
        total = _mm512_add_epi32(total, sum);
    }
    _mm512_reduce_add_epi32(total)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avxvnni")]
fn dot_chains_256(rounds: usize) -> i32 {
    use core::arch::x86_64::*;
    let (mut sums, ones) = ([_mm256_setzero_si256(); CHAINS], _mm256_set1_epi8(1));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_dpbusd_avx_epi32(*sum, ones, ones);
        }
    }
    let mut total = _mm256_setzero_si256();
    for sum in sums {
        total = _mm256_add_epi32(total, sum);
    }
    _mm256_extract_epi32::<0>(total)
}
