//! Products of two run-time matrices, and batches of them.

use super::direct::{self, Direct};
use super::pack::{Layout, Panels, pack_at_run_time};
use super::rows::{MAX_ROWS, RowSource, Strided, Transposed};
use super::{Product, product_into, span};
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

impl MatMulShape {
    /// Number and length of the lines of a left and of a right matrix.
    fn lines(&self) -> [[usize; 2]; 2] {
        let Self { m, n, k, left_transposed, right_transposed } = *self;
        [if left_transposed { [k, m] } else { [m, k] }, if right_transposed { [n, k] } else { [k, n] }]
    }
}

/// `out[i] = left[i] * right[i]` for a batch of matrices, none of them constant.
#[derive(Clone, Debug)]
pub struct BatchMatMul {
    cpu: Cpu,
    shape: MatMulShape,
    /// Values from a line of a matrix to the next: of left, right and output matrices.
    steps: [usize; 3],
    /// For each product where its left, right and output matrix begin.
    starts: Vec<[usize; 3]>,
    /// Values of each operand that the products reach.
    reach: [usize; 3],
}

impl BatchMatMul {
    /// A product for each pair of (left, right) matrix indices, in the order of the output; a matrix may be used
    /// more than once, which is how batches are broadcast. Matrices lie one after another.
    pub fn new(cpu: Cpu, shape: MatMulShape, pairs: &[(usize, usize)]) -> Self {
        let MatMulShape { m, n, k, .. } = shape;
        let starts = pairs.iter().enumerate().map(|(i, &(l, r))| [l * m * k, r * k * n, i * m * n]).collect();
        let [left, right] = shape.lines();
        Self::of(cpu, shape, [left[1], right[1], n], starts)
    }

    /// Products of matrices among others, for instance of tensors that another order of dimensions would put one after
    /// another. Lines, which are rows, or columns of a transposed matrix, are neighbouring values; `steps` are the values from
    /// a line to the next and `starts` where each product's matrices begin, both for left, right and output.
    ///
    /// # Errors
    /// If output rows overlap or go on from one row of a matrix into the next.
    pub fn among(
        cpu: Cpu,
        shape: MatMulShape,
        steps: [usize; 3],
        starts: Vec<[usize; 3]>,
    ) -> Result<Self, ShapeError> {
        check_disjoint([shape.m, shape.n], steps[2], starts.iter().map(|&[.., start]| start))?;
        Ok(Self::of(cpu, shape, steps, starts))
    }

    fn of(cpu: Cpu, shape: MatMulShape, steps: [usize; 3], starts: Vec<[usize; 3]>) -> Self {
        let [left, right] = shape.lines();
        let sizes = [left, right, [shape.m, shape.n]];
        let reach = core::array::from_fn(|operand| {
            let [lines, len] = sizes[operand];
            let start = starts.iter().map(|starts| starts[operand]).max();
            let whole = if len == 0 { 0 } else { span(lines, len, steps[operand]) };
            start.map_or(0, |start| start.saturating_add(whole))
        });
        Self { cpu, shape, steps, starts, reach }
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

    /// Computes all products.
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
        ShapeError::check_at_least("left matrices", self.reach[0], left.len())?;
        ShapeError::check_at_least("right matrices", self.reach[1], right.len())?;
        ShapeError::check_at_least("output matrices", self.reach[2], out.len())?;
        ShapeError::check_at_least("scratch bytes", self.scratch_bytes(par), size_of_val(scratch))?;
        if let Some(residual) = epilogue.residual {
            ShapeError::check("residual", out.len(), residual.len())?;
        }
        // Enough matrices: each goes to one thread. Otherwise all threads share one after another.
        let (across, within) =
            if self.starts.len() >= par.threads() { (par, Par::serial()) } else { (Par::serial(), par) };
        let per_matrix = within.scratch_len(self.gather_len()) + self.packed_len();
        let out = &SharedMut::new(out);
        across.for_each_tile_with(self.starts.len(), scratch, per_matrix, |index, scratch| {
            let [l, r, start] = self.starts[index];
            self.one(&left[l..], &right[r..], out, start, scratch, epilogue, within);
        });
        Ok(())
    }

    /// One product of checked sizes; nobody else writes its part of `out`.
    #[expect(clippy::too_many_arguments, reason = "the operands of a matrix product")]
    fn one(
        &self,
        left: &[f32],
        right: &[f32],
        out: &SharedMut<'_, f32>,
        out_start: usize,
        scratch: &mut [f32],
        epilogue: &Epilogue<'_>,
        par: Par,
    ) {
        let MatMulShape { m, n, k, left_transposed, right_transposed } = self.shape;
        let [lda, ldb, ldc] = self.steps;
        let plain = matches!(epilogue.activation, Activation::None) && epilogue.residual.is_none();
        if plain && !right_transposed && direct::fits(n, k) {
            let left_steps = if left_transposed { [1, lda] } else { [lda, 1] };
            let product =
                Direct { left, left_steps, right, right_step: ldb, out_start, out_step: ldc, m, n, k };
            return product.run(self.cpu, out, par);
        }
        let (packed, gathered) = scratch.split_at_mut(self.packed_len());
        pack_at_run_time(self.layout(), right, ldb, right_transposed, packed, par);
        let source: &dyn RowSource<f32> = if left_transposed {
            &Transposed { a: left, lda, ldc, k }
        } else {
            &Strided { a: left, lda, ldc, k }
        };
        let weights = Panels::new(self.layout(), packed);
        let product = Product { source, rows: m, weights, column: out_start, epilogue: *epilogue };
        let done = product_into(self.cpu, &product, out, gathered, par);
        debug_assert_eq!(done, Ok(()), "sizes were checked by the caller");
    }
}

/// Checks that the rows of matrices of `[m, n]`, their rows `step` apart, do not overlap: matrices begin in different places
/// between two rows, `n` apart, or `m` rows apart.
fn check_disjoint(
    [m, n]: [usize; 2],
    step: usize,
    starts: impl Iterator<Item = usize>,
) -> Result<(), ShapeError> {
    ShapeError::check_at_least("distance of output rows", n.max(1), step)?;
    let mut places: Vec<[usize; 2]> = starts.map(|start| [start % step, start / step]).collect();
    places.sort_unstable();
    for pair in places.windows(2) {
        let [[column, row], [next_column, next_row]] = [pair[0], pair[1]];
        if column == next_column {
            ShapeError::check_at_least("output rows from a matrix to the next", m, next_row - row)?;
        } else {
            ShapeError::check_at_least("output columns from a matrix to the next", n, next_column - column)?;
        }
    }
    // The last columns would go on in the next row.
    let last = places.last().map_or(0, |&[column, _]| column);
    ShapeError::check_at_least("distance of output rows", last.saturating_add(n), step)
}
