//! Products of a weight matrix with a few vectors: the inner loop of recurrent layers.
//!
//! Weights stay in the row-major layout of the model, one row per output unit, so a matrix that is not constant
//! needs no packing. A row is read once for a few vectors.

use crate::isa::{Cpu, Isa, Kernel, MAX_LANES};

/// Vectors of `len` elements, `stride` elements apart.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a, T> {
    /// Memory, starting with the first vector.
    pub data: &'a [T],
    /// Elements of a vector.
    pub len: usize,
    /// Elements from one vector to the next.
    pub stride: usize,
    /// Number of vectors.
    pub count: usize,
}

impl<'a, T> Vectors<'a, T> {
    /// `count` vectors one after the other in `data`.
    #[must_use]
    pub fn dense(data: &'a [T], len: usize, count: usize) -> Self {
        Self { data, len, stride: len, count }
    }

    /// Vector `i`.
    ///
    /// # Panics
    /// When the memory does not hold vector `i`.
    #[must_use]
    #[inline(always)]
    pub fn get(&self, i: usize) -> &'a [T] {
        &self.data[i * self.stride..][..self.len]
    }
}

/// Calls `emit(vector, row, products)` for the products of every row of `weights` with every vector: those of some rows from
/// `row` on at a time. A product is added lane by lane, then in the tree of [`Isa::reduce_add`].
///
/// `weights` has `vectors.len` columns; a vector of no elements gives zeros for `rows` rows.
///
/// # Panics
/// When `weights` or the vectors are shorter than the dimensions say.
pub fn products_f32(
    cpu: Cpu,
    weights: &[f32],
    rows: usize,
    vectors: Vectors<'_, f32>,
    emit: impl FnMut(usize, usize, &[f32]),
) {
    check(weights.len(), rows, vectors.len);
    cpu.dispatch(ProductsF32 { weights, rows, vectors, emit });
}

struct ProductsF32<'a, F> {
    weights: &'a [f32],
    rows: usize,
    vectors: Vectors<'a, f32>,
    emit: F,
}

impl<F: FnMut(usize, usize, &[f32])> Kernel for ProductsF32<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let mut first = 0;
        while first < self.vectors.count {
            let rest = self.vectors.count - first;
            // Tiles of as many sums as a vector has lanes.
            first += match (S::LANES, rest) {
                (16, 4..) => self.all_rows::<S, 4, 4>(isa, first),
                (16, 2..) => self.all_rows::<S, 8, 2>(isa, first),
                (16, _) => self.all_rows::<S, 16, 1>(isa, first),
                (8, 2..) => self.all_rows::<S, 4, 2>(isa, first),
                (8, _) => self.all_rows::<S, 8, 1>(isa, first),
                (_, 2..) => self.all_rows::<S, 2, 2>(isa, first),
                _ => self.all_rows::<S, 4, 1>(isa, first),
            };
        }
    }
}

impl<F: FnMut(usize, usize, &[f32])> ProductsF32<'_, F> {
    /// All rows, `R` at a time, times `V` vectors from `first` on, which is how many vectors that are.
    #[inline(always)]
    fn all_rows<S: Isa, const R: usize, const V: usize>(&mut self, isa: S, first: usize) -> usize {
        for row in (0..self.rows).step_by(R) {
            self.tile::<S, R, V>(isa, row, first);
        }
        V
    }

    #[inline(always)]
    fn tile<S: Isa, const R: usize, const V: usize>(&mut self, isa: S, row: usize, first: usize) {
        assert!(R * V == S::LANES);
        let len = self.vectors.len;
        // Rows that are not there are the last one once more.
        let w: [&[f32]; R] =
            core::array::from_fn(|r| &self.weights[(row + r).min(self.rows - 1) * len..][..len]);
        let x: [&[f32]; V] = core::array::from_fn(|v| self.vectors.get(first + v));
        let mut sums = [[isa.zero(); R]; V];
        let whole = len - len % S::LANES;
        let mut k = 0;
        while k < whole {
            // SAFETY: every row and vector has `len >= k + LANES` elements.
            let xs: [S::F; V] = core::array::from_fn(|v| unsafe { isa.load_ptr(x[v].as_ptr().add(k)) });
            for (r, w) in w.iter().enumerate() {
                // SAFETY: as above.
                let ws = unsafe { isa.load_ptr(w.as_ptr().add(k)) };
                for (sums, &x) in sums.iter_mut().zip(&xs) {
                    sums[r] = isa.fma(ws, x, sums[r]);
                }
            }
            k += S::LANES;
        }
        if whole < len {
            let xs: [S::F; V] = core::array::from_fn(|v| isa.load_part(&x[v][whole..]));
            for (r, w) in w.iter().enumerate() {
                let ws = isa.load_part(&w[whole..]);
                for (sums, &x) in sums.iter_mut().zip(&xs) {
                    sums[r] = isa.fma(ws, x, sums[r]);
                }
            }
        }
        let mut vectors = [isa.zero(); MAX_LANES];
        for (vectors, sums) in vectors.chunks_exact_mut(R).zip(&sums) {
            vectors.copy_from_slice(sums);
        }
        let mut products = [0.0; MAX_LANES];
        isa.store(isa.reduce_add_each(&vectors), &mut products);
        let there = R.min(self.rows - row);
        for (v, products) in products.chunks_exact(R).take(V).enumerate() {
            (self.emit)(first + v, row, &products[..there]);
        }
    }
}

/// Rows of 8-bit weights whose products are handed over together.
pub(super) const ROWS_TOGETHER: usize = 16;

/// Calls `emit(vector, row, products)` for the products of every row of 8-bit `weights` with every vector: those of some
/// rows from `row` on at a time.
///
/// The vectors hold quantized values with their zero point already taken off, which is why they have 16 bits. Sums
/// wrap around 32 bits.
///
/// # Panics
/// When `weights` or the vectors are shorter than the dimensions say.
pub fn products_i8(
    cpu: Cpu,
    weights: &[i8],
    rows: usize,
    vectors: Vectors<'_, i16>,
    emit: impl FnMut(usize, usize, &[i32]),
) {
    #[cfg(target_arch = "x86_64")]
    if let Some(vnni) = cpu.vnni() {
        check(weights.len(), rows, vectors.len);
        return super::dense_vnni::products(vnni, weights, rows, vectors, emit);
    }
    products_int(cpu, weights, rows, vectors, emit);
}

fn check(weights: usize, rows: usize, len: usize) {
    assert!(weights >= rows * len, "weights hold fewer than {rows} rows of {len}");
}

/// [`products_i8`] for weights of any type that 16 bits hold.
///
/// # Panics
/// As [`products_i8`].
pub fn products_int<W: Copy + Into<i16>>(
    cpu: Cpu,
    weights: &[W],
    rows: usize,
    vectors: Vectors<'_, i16>,
    emit: impl FnMut(usize, usize, &[i32]),
) {
    check(weights.len(), rows, vectors.len);
    cpu.dispatch(ProductsInt { weights, rows, vectors, emit });
}

/// The sum of each row of 8-bit `weights` of `len` columns.
///
/// # Panics
/// When `weights` is shorter than the dimensions say.
pub fn row_sums(cpu: Cpu, weights: &[i8], len: usize, sums: &mut [i32]) {
    struct Sums<'a>(&'a [i8], usize, &'a mut [i32]);
    impl Kernel for Sums<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Isa>(self, _: S) {
            for (row, sum) in self.2.iter_mut().enumerate() {
                *sum = self.0[row * self.1..][..self.1].iter().map(|&w| i32::from(w)).sum();
            }
        }
    }
    check(weights.len(), sums.len(), len);
    cpu.dispatch(Sums(weights, len, sums));
}

/// As [`products_i8`], of vectors that still have their zero point: `sums` are the weights' [`row_sums`].
///
/// # Panics
/// As [`products_i8`].
pub fn products_bytes(
    cpu: Cpu,
    weights: &[i8],
    sums: &[i32],
    vectors: Vectors<'_, i8>,
    zero_point: i32,
    emit: impl FnMut(usize, usize, &[i32]),
) {
    check(weights.len(), sums.len(), vectors.len);
    #[cfg(target_arch = "x86_64")]
    if let Some(vnni) = cpu.vnni() {
        return super::dense_vnni::products_bytes(vnni, weights, sums, vectors, zero_point, emit);
    }
    cpu.dispatch(ProductsBytes { weights, sums, vectors, zero_point, emit });
}

struct ProductsBytes<'a, F> {
    weights: &'a [i8],
    sums: &'a [i32],
    vectors: Vectors<'a, i8>,
    zero_point: i32,
    emit: F,
}

impl<F: FnMut(usize, usize, &[i32])> Kernel for ProductsBytes<'_, F> {
    type Output = ();

    /// The elements of a vector are widened once for all rows of a block; the loops are plain, as those of [`ProductsInt`].
    #[inline(always)]
    fn run<S: Isa>(mut self, _: S) {
        /// Elements that are widened together.
        const TOGETHER: usize = 512;
        let mut wide = [0i16; TOGETHER];
        let len = self.vectors.len;
        for (block, row_sums) in self.sums.chunks(ROWS_TOGETHER).enumerate() {
            let first = block * ROWS_TOGETHER;
            for v in 0..self.vectors.count {
                let mut sums = [0i32; ROWS_TOGETHER];
                for (part, x) in self.vectors.get(v).chunks(TOGETHER).enumerate() {
                    let wide = &mut wide[..x.len()];
                    for (wide, &x) in wide.iter_mut().zip(x) {
                        *wide = x.into();
                    }
                    for (row, sum) in (first..).zip(&mut sums[..row_sums.len()]) {
                        let w = &self.weights[row * len + part * TOGETHER..][..x.len()];
                        for (&w, &x) in w.iter().zip(&*wide) {
                            *sum = sum.wrapping_add(i32::from(w) * i32::from(x));
                        }
                    }
                }
                for (sum, &row_sum) in sums.iter_mut().zip(row_sums) {
                    *sum = sum.wrapping_sub(row_sum.wrapping_mul(self.zero_point));
                }
                (self.emit)(v, first, &sums[..row_sums.len()]);
            }
        }
    }
}

struct ProductsInt<'a, W, F> {
    weights: &'a [W],
    rows: usize,
    vectors: Vectors<'a, i16>,
    emit: F,
}

impl<W: Copy + Into<i16>, F: FnMut(usize, usize, &[i32])> Kernel for ProductsInt<'_, W, F> {
    type Output = ();

    /// The loop is plain: compiled for the instruction set, it becomes that set's widening multiply-add of pairs.
    #[inline(always)]
    fn run<S: Isa>(mut self, _: S) {
        let len = self.vectors.len;
        for first in (0..self.rows).step_by(ROWS_TOGETHER) {
            let count = ROWS_TOGETHER.min(self.rows - first);
            for v in 0..self.vectors.count {
                let x = self.vectors.get(v);
                let mut sums = [0i32; ROWS_TOGETHER];
                for (row, sum) in (first..).zip(&mut sums[..count]) {
                    let w = &self.weights[row * len..][..len];
                    for (&w, &x) in w.iter().zip(x) {
                        *sum = sum.wrapping_add(i32::from(w.into()) * i32::from(x));
                    }
                }
                (self.emit)(v, first, &sums[..count]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small integers, exact in float, so that any order of summation gives the same product.
    fn number(i: usize) -> i8 {
        ((i * 37 + 11) % 23) as i8 - 11
    }

    #[test]
    fn products_equal_plain_loops() {
        let mut wrong = Vec::new();
        for cpu in Cpu::all() {
            for (rows, len, count, gap) in [
                (0, 3, 1, 0),
                (1, 0, 2, 0),
                (3, 1, 1, 0),
                (4, 8, 2, 3),
                (9, 17, 3, 0),
                (5, 33, 5, 7),
                (37, 100, 2, 1),
                (32, 128, 1, 0),
                (18, 1100, 2, 1),
            ] {
                let stride = len + gap;
                let weights: Vec<i8> = (0..rows * len).map(number).collect();
                let data: Vec<i8> = (0..count * stride).map(|i| number(i + 5)).collect();
                let mut want = vec![0; rows * count];
                for v in 0..count {
                    for r in 0..rows {
                        for k in 0..len {
                            want[v * rows + r] +=
                                i32::from(weights[r * len + k]) * i32::from(data[v * stride + k]);
                        }
                    }
                }
                let wide: Vec<i16> = data.iter().map(|&x| i16::from(x)).collect();
                let mut got = vec![i32::MIN; rows * count];
                let vectors = Vectors { data: &wide, len, stride, count };
                products_i8(cpu, &weights, rows, vectors, |v, r, p| {
                    got[v * rows + r..][..p.len()].copy_from_slice(p);
                });
                let zero_point = -3;
                let mut sums = vec![i32::MIN; rows];
                row_sums(cpu, &weights, len, &mut sums);
                let shifted: Vec<i8> = data.iter().map(|&x| x + zero_point as i8).collect();
                let mut got_bytes = vec![i32::MIN; rows * count];
                let vectors = Vectors { data: &shifted, len, stride, count };
                products_bytes(cpu, &weights, &sums, vectors, zero_point, |v, r, p| {
                    got_bytes[v * rows + r..][..p.len()].copy_from_slice(p);
                });
                let floats: Vec<f32> = data.iter().map(|&x| f32::from(x)).collect();
                let float_weights: Vec<f32> = weights.iter().map(|&x| f32::from(x)).collect();
                let mut got_f32 = vec![f32::NAN; rows * count];
                let vectors = Vectors { data: &floats, len, stride, count };
                products_f32(cpu, &float_weights, rows, vectors, |v, r, p| {
                    got_f32[v * rows + r..][..p.len()].copy_from_slice(p);
                });
                if got != want
                    || got_bytes != want
                    || got_f32 != want.iter().map(|&w| w as f32).collect::<Vec<_>>()
                {
                    wrong.push(format!("{} {rows}x{len}, {count} vectors", cpu.name()));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
