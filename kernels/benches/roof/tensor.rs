//! Tensors for the benches, and a benchmark beside its roof.

use bytemuck::Pod;
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

/// Numbers that start a cache line, as tensors of an arena do: a vector that straddles two lines takes two loads.
pub struct Tensor<T = f32> {
    memory: Vec<T>,
    first: usize,
    len: usize,
}

impl<T: Pod> Tensor<T> {
    /// All zero.
    pub fn zeros(len: usize) -> Self {
        const LINE: usize = 64;
        let memory = vec![T::zeroed(); len + LINE / size_of::<T>()];
        let first = memory.as_ptr().align_offset(LINE).min(LINE / size_of::<T>());
        Self { memory, first, len }
    }

    /// What `of` says for each place.
    pub fn of(len: usize, of: impl Fn(usize) -> T) -> Self {
        let mut tensor = Self::zeros(len);
        for (i, value) in tensor.iter_mut().enumerate() {
            *value = of(i);
        }
        tensor
    }
}

impl<T> Deref for Tensor<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.memory[self.first..][..self.len]
    }
}

impl<T> DerefMut for Tensor<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.first..][..self.len]
    }
}

/// Floats between -1 and 1.
pub fn wave(len: usize) -> Tensor {
    Tensor::of(len, |i| (i as f32 * 0.37).sin())
}

/// Bytes of most values.
pub fn bytes(len: usize) -> Tensor<i8> {
    Tensor::of(len, |i| (i * 37 % 251) as i8)
}
