//! Tensors of floats for the benches, and a benchmark beside its roof.

use criterion::{Criterion, Throughput};
use std::ops::{Deref, DerefMut};

use super::{Roof, least};

/// Prints the rate of `run`, which does `work` operations or moves `work` bytes, and hands it to Criterion.
pub fn bench(c: &mut Criterion, name: &str, work: usize, roof: Roof, mut run: impl FnMut()) {
    let rate = work as f64 / least(&mut run);
    println!("{name}: {}", roof.beside(rate));
    let mut group = c.benchmark_group("float");
    group.throughput(match roof {
        Roof::Memory(_) => Throughput::Bytes(work as u64),
        Roof::Compute(_) | Roof::Dot(_) => Throughput::Elements(work as u64),
    });
    group.bench_function(name, |b| b.iter(&mut run));
    group.finish();
}

/// Floats that start a cache line, as tensors of an arena do: a vector that straddles two lines takes two loads.
pub struct Tensor {
    memory: Vec<f32>,
    first: usize,
    len: usize,
}

impl Tensor {
    /// All zero.
    pub fn zeros(len: usize) -> Self {
        const LINE: usize = 16;
        let memory = vec![0.0; len + LINE];
        let first = memory.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        Self { memory, first, len }
    }
}

impl Deref for Tensor {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.memory[self.first..][..self.len]
    }
}

impl DerefMut for Tensor {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.first..][..self.len]
    }
}

/// Numbers between -1 and 1.
pub fn wave(len: usize) -> Tensor {
    let mut wave = Tensor::zeros(len);
    for (i, value) in wave.iter_mut().enumerate() {
        *value = (i as f32 * 0.37).sin();
    }
    wave
}
