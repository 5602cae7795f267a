//! Products of two run-time matrices, and batches of them.

use super::direct::{self, Direct};
use super::driver::{Product, product};
use super::pack::{Layout, Panels, pack_at_run_time};
use super::rows::{MAX_ROWS, RowSource, Strided, Transposed};
use crate::cpu::float::epilogue::{Activation, Epilogue};
use crate::error::ShapeError;
use crate::isa::Cpu;
use crate::par::{Par, SharedMut};

/// Sizes of one product `[m, k] * [k, n]`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MatMulShape {
    /// Rows of the left matrix and of the output.
    pub m: usize,
    /// Columns of the right matrix and of the output.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// The left matrix lies as `[k, m]`.
    pub left_transposed: bool,
    /// The right matrix lies as `[n, k]`.
    pub right_transposed: bool,
}

/// `out[i] = left[i] * right[i]` for a batch of row-major matrices, none of them constant.
#[derive(Clone, Debug)]
pub struct BatchMatMul {
    cpu: Cpu,
    shape: MatMulShape,
    /// For each output matrix the indices of its left and right matrices.
    pairs: Vec<(usize, usize)>,
    lefts: usize,
    rights: usize,
}

impl BatchMatMul {
    /// A product for each pair of (left, right) matrix indices, in the order of the output; a matrix may be used
    /// more than once, which is how batches are broadcast.
    pub fn new(cpu: Cpu, shape: MatMulShape, pairs: Vec<(usize, usize)>) -> Self {
        let lefts = pairs.iter().map(|&(left, _)| left + 1).max().unwrap_or(0);
        let rights = pairs.iter().map(|&(_, right)| right + 1).max().unwrap_or(0);
        Self { cpu, shape, pairs, lefts, rights }
    }

    /// The kernel's name.
    pub fn name(&self) -> String {
        super::gemm_f32_name(self.cpu)
    }

    /// Bytes of scratch [`BatchMatMul::run`] needs for all threads of `par`.
    pub fn scratch_bytes(&self, par: Par) -> usize {
        par.scratch_len(self.packed_len() + self.gather_len()) * size_of::<f32>()
    }

    fn layout(&self) -> Layout {
        Layout::new(self.cpu, self.shape.n, self.shape.k)
    }

    fn packed_len(&self) -> usize {
        self.layout().len()
    }

    fn gather_len(&self) -> usize {
        if self.shape.left_transposed { MAX_ROWS * self.shape.k } else { 0 }
    }

    /// Computes all products. `left`, `right` and `out` hold their matrices one after another.
    ///
    /// # Errors
    /// If a slice is too short, or a residual not as long as `out`.
    pub fn run(
        &self,
        left: &[f32],
        right: &[f32],
        out: &mut [f32],
        scratch: &mut [f32],
        epilogue: &Epilogue<'_>,
        par: Par,
    ) -> Result<(), ShapeError> {
        let MatMulShape { m, n, k, .. } = self.shape;
        ShapeError::check_at_least("left matrices", self.lefts * m * k, left.len())?;
        ShapeError::check_at_least("right matrices", self.rights * k * n, right.len())?;
        ShapeError::check("output matrices", self.pairs.len() * m * n, out.len())?;
        ShapeError::check_at_least("scratch bytes", self.scratch_bytes(par), size_of_val(scratch))?;
        if let Some(residual) = epilogue.residual {
            ShapeError::check("residual", out.len(), residual.len())?;
        }
        // Enough matrices: each goes to one thread. Otherwise all threads share one after another.
        let (across, within) =
            if self.pairs.len() >= par.threads() { (par, Par::serial()) } else { (Par::serial(), par) };
        let per_matrix = within.scratch_len(self.gather_len()) + self.packed_len();
        let out = SharedMut::new(out);
        across.for_each_tile_with(self.pairs.len(), scratch, per_matrix, |index, scratch| {
            let (l, r) = self.pairs[index];
            // SAFETY: each output matrix belongs to one tile.
            let out = unsafe { out.range(index * m * n, m * n) };
            let epilogue = Epilogue {
                activation: epilogue.activation,
                residual: epilogue.residual.map(|all| &all[index * m * n..][..m * n]),
            };
            self.one(
                &left[l * m * k..][..m * k],
                &right[r * k * n..][..k * n],
                out,
                scratch,
                epilogue,
                within,
            );
        });
        Ok(())
    }

    /// One product of checked sizes.
    fn one(
        &self,
        left: &[f32],
        right: &[f32],
        out: &mut [f32],
        scratch: &mut [f32],
        epilogue: Epilogue<'_>,
        par: Par,
    ) {
        let MatMulShape { m, n, k, left_transposed, right_transposed } = self.shape;
        let plain = matches!(epilogue.activation, Activation::None) && epilogue.residual.is_none();
        if plain && !right_transposed && direct::fits(n, k) {
            let left_steps = if left_transposed { [1, m] } else { [k, 1] };
            return Direct { left, left_steps, right, m, n, k }.run(self.cpu, out, par);
        }
        let (packed, gathered) = scratch.split_at_mut(self.packed_len());
        pack_at_run_time(self.layout(), right, right_transposed, packed, par);
        let source: &dyn RowSource<f32> = if left_transposed {
            &Transposed { a: left, lda: m, ldc: n, k }
        } else {
            &Strided { a: left, lda: k, ldc: n, k }
        };
        let weights = Panels { layout: self.layout(), data: packed };
        let done =
            product(self.cpu, &Product { source, rows: m, weights, column: 0, epilogue }, out, gathered, par);
        debug_assert_eq!(done, Ok(()), "sizes were checked by the caller");
    }
}
