//! Batches of products of two matrices that are only known at run time.

use super::gemm::{Bias, Zeros, gemm, gemm_scratch, least_work};
use super::pack::{Matrix, PackLayout};
use super::rows::Rows;
use super::store::RowStore;
use crate::par::Par;
use crate::scratch::{Scratch, ScratchSize};

/// How the products of a batch are shared among threads: enough of them go to one thread each, of fewer all threads compute
/// one after another.
#[derive(Copy, Clone, Debug)]
pub struct Batch {
    layout: PackLayout,
    products: usize,
    rows: usize,
    across: Par,
    within: Par,
}

impl Batch {
    /// `products` products of `rows` rows with right matrices of `layout` on the threads of `par`.
    #[must_use]
    pub fn new(layout: PackLayout, products: usize, rows: usize, par: Par) -> Self {
        let work = products.saturating_mul(rows).saturating_mul(layout.cols * layout.depth);
        let (across, within) = match products {
            _ if work < 2 * least_work(&layout) => (Par::serial(), Par::serial()),
            products if products >= par.threads() => (par, Par::serial()),
            _ => (Par::serial(), par),
        };
        Self { layout, products, rows, across, within }
    }

    /// Bytes of scratch memory that one product takes.
    fn of_one(&self) -> ScratchSize {
        ScratchSize::new()
            .with::<u8>(self.within.scratch_len(gemm_scratch(&self.layout)))
            .with::<i8>(self.layout.data_len())
            .with::<i32>(self.layout.sums_len())
    }

    /// Bytes of scratch memory that [`Batch::run`] takes.
    #[must_use]
    pub fn scratch_bytes(&self) -> usize {
        self.across.threads().saturating_mul(self.of_one().bytes())
    }

    /// Multiplies the rows `left(i)`, whose zero point is `zero` as stored, with the matrix `right(i)` for each product `i`, and
    /// gives the sums to `store`, the rows of one product behind those of the one before.
    ///
    /// # Panics
    /// If `scratch` is smaller than [`Batch::scratch_bytes`], or a matrix has another shape than the batch is for.
    pub fn run<'m, R: Rows>(
        &self,
        left: impl Fn(usize) -> R + Sync + Send,
        right: impl Fn(usize) -> Matrix<'m> + Sync + Send,
        zero: i32,
        bias: &Bias,
        store: &impl RowStore,
        scratch: &mut [u8],
    ) {
        let Self { layout, products, rows, across, within } = *self;
        let bytes = self.of_one().bytes();
        across.for_each_tile_with(products, scratch, bytes, |i, scratch| {
            let mut scratch = Scratch::new(scratch);
            let memory = scratch.take(within.scratch_len(gemm_scratch(&layout)));
            let (data, sums) = (scratch.take(layout.data_len()), scratch.take(layout.sums_len()));
            let left = left(i);
            assert_eq!(left.count(), rows, "the batch is for other matrices");
            let right = layout.pack(right(i), data, sums);
            gemm(right, &left, Zeros::All(zero), bias, &store.rows_from(i * rows), within, memory);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::exact::StoreExact;
    use super::super::pack::{Bytes, Width};
    use super::super::rows::{Dense, Transposed};
    use super::super::store::{Requantize, StoreQuantized, Target};
    use super::super::tests::Noise;
    use super::*;
    use crate::isa::Cpu;

    /// Sums of products of numbers less their zero points, one at a time.
    fn plain(left: &[i8], right: &[i8], zeros: [i32; 2], [m, n, k]: [usize; 3]) -> Vec<i32> {
        let sum = |at: usize| {
            let (product, i, j) = (at / (m * n), at / n % m, at % n);
            let terms = (0..k).map(|d| {
                let (l, r) = (left[(product * m + i) * k + d], right[(product * k + d) * n + j]);
                (i32::from(l) - zeros[0]) * (i32::from(r) - zeros[1])
            });
            terms.sum()
        };
        (0..left.len() / k * n).map(sum).collect()
    }

    #[test]
    fn products_for_any_number_of_threads() {
        let mut noise = Noise(5);
        let mut wrong = Vec::new();
        let sizes = [[1, 1, 1], [5, 19, 7], [33, 70, 64], [128, 64, 128], [130, 128, 64]];
        for (products, [m, n, k]) in [1, 3, 8].into_iter().flat_map(|p| sizes.map(|size| (p, size))) {
            let left: Vec<i8> = noise.bytes(products * m * k, |byte| byte as i8);
            let right: Vec<i8> = noise.bytes(products * k * n, |byte| byte as i8);
            let zeros = [-7, 3];
            let want = plain(&left, &right, zeros, [m, n, k]);
            // The left matrices once more, rows side by side.
            let turned: Vec<i8> =
                (0..left.len()).map(|at| left[at / (m * k) * m * k + at % m * k + at / m % k]).collect();
            let requantize = Requantize::new(&[0.01], n, 4, -128, 127);
            let requantized: Vec<i8> = want
                .iter()
                .map(|&sum| ((sum as f32 * 0.01).round_ties_even() + 4.0).clamp(-128.0, 127.0) as i8)
                .collect();
            for (cpu, threads) in Cpu::all().into_iter().flat_map(|cpu| [1, 2, 5].map(|t| (cpu, t))) {
                let layout = PackLayout::new(cpu, Width::Bytes, n, k);
                let batch = Batch::new(layout, products, m, Par::new(threads));
                let bias = Bias::new(&[], n);
                let right = |i: usize| Matrix {
                    bytes: Bytes::Signed(&right[i * k * n..][..k * n]),
                    zero: zeros[1],
                    cols: n,
                    depth: k,
                    col_stride: 1,
                    depth_stride: n,
                };
                let mut scratch = vec![0u64; batch.scratch_bytes().div_ceil(8) + 8];
                let scratch: &mut [u8] = bytemuck::cast_slice_mut(&mut scratch);
                let start = scratch.as_ptr().align_offset(64);
                let scratch = &mut scratch[start..][..batch.scratch_bytes()];
                let mut sums = vec![0; want.len()];
                let store = StoreExact::Sums(Target::new(&mut sums, 0, n));
                let rows =
                    |i: usize| Dense { data: &left[i * m * k..][..m * k], rows: m, depth: k, stride: k };
                batch.run(rows, right, zeros[0], &bias, &store, scratch);
                let mut bytes = vec![0i8; want.len()];
                let target = Target::new(&mut bytes, 0, n);
                let store = StoreQuantized { requantize: &requantize, target };
                let rows = |i: usize| Transposed { data: &turned[i * m * k..][..m * k], rows: m, depth: k };
                batch.run(rows, right, zeros[0], &bias, &store, scratch);
                if sums != want || bytes != requantized {
                    wrong.push(format!("{} {products} of {m}x{n}x{k}, {threads} threads", cpu.name()));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
