//! Float matrix products: rows of activations times packed weights.
//!
//! Everything that is a sum of products over channels runs through one driver (`product`): matrix products,
//! convolutions and transposed convolutions differ only in where a row of the left side is found
//! (`RowSource`). The right side is packed into panels ([`PackedF32`]) of two vectors of columns, the last one
//! narrower if that is enough. An output element is always summed in the order of `k`, whatever the tiles and threads.

mod batch;
mod dense;
mod direct;
mod driver;
mod gated;
mod micro;
mod pack;
mod rows;

#[cfg(test)]
mod tests;

pub use batch::{BatchMatMul, MatMulShape};
pub(crate) use dense::dense_by_panel;
use driver::product_into;
pub(crate) use driver::{MAX_TAPS, Product, product, worthwhile_threads};
pub(crate) use gated::Gated;
pub use pack::PackedF32;

pub(crate) use micro::tile_shape;
pub(crate) use pack::{Layout, PanelData, Panels, pack_at_run_time, turn_columns};
pub(crate) use rows::{Even, MAX_ROWS, RowSource, Strided, evenly};

use crate::cpu::float::epilogue::Epilogue;
use crate::error::ShapeError;
use crate::isa::Cpu;
use crate::par::Par;

/// `out = activation(a * weights^T + bias + residual)` with packed weights.
///
/// `a` has `rows` rows of `weights.k()` floats, `lda` apart; `out` has as many rows of `weights.n()`, `ldc`
/// apart.
///
/// # Errors
/// If a slice is too short for its rows, a stride smaller than a row, or a residual not as long as `out`.
#[expect(clippy::too_many_arguments, reason = "the operands of a matrix product")]
pub fn gemm_f32(
    a: &[f32],
    rows: usize,
    lda: usize,
    weights: &PackedF32,
    out: &mut [f32],
    ldc: usize,
    epilogue: &Epilogue<'_>,
    par: Par,
) -> Result<(), ShapeError> {
    let (n, k) = (weights.n(), weights.k());
    ShapeError::check_at_least("distance of left rows", k, lda)?;
    ShapeError::check_at_least("distance of output rows", n, ldc)?;
    ShapeError::check_at_least("left matrix", span(rows, k, lda), a.len())?;
    ShapeError::check_at_least("output matrix", span(rows, n, ldc), out.len())?;
    let source = rows::Strided { a, lda, ldc, k };
    product(
        weights.cpu(),
        &Product { source: &source, rows, weights: weights.panels(), column: 0, epilogue: *epilogue },
        out,
        &mut [],
        par,
    )
}

/// Elements from the first of `rows` rows to the end of the last.
pub(crate) fn span(rows: usize, len: usize, stride: usize) -> usize {
    if rows == 0 { 0 } else { (rows - 1).saturating_mul(stride).saturating_add(len) }
}

/// The name of the tall tile of an instruction set, e.g. `f32_gemm_6x16_avx2`.
pub fn gemm_f32_name(cpu: Cpu) -> String {
    let tile = micro::tile_shape(cpu);
    format!("f32_gemm_{}x{}_{}", tile.rows, tile.columns, cpu.name())
}
