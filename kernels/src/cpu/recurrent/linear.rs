//! Sums of matrix-vector products with float results, whatever the type of the weights.

use super::dense::{Vectors, products_f32, products_i8};
use super::quantize::quantize_vector;
use crate::isa::Cpu;

/// The weights of a product, row-major, one row per output unit.
#[derive(Clone, Copy, Debug)]
pub enum Matrix<'a> {
    /// Float weights.
    F32(&'a [f32]),
    /// 8-bit weights, symmetric, with one scale; the vectors are quantized when they meet them.
    I8 {
        /// The weights.
        values: &'a [i8],
        /// What a weight of 1 stands for.
        scale: f32,
    },
    /// The diagonal of a square float matrix whose other elements are zero.
    Diagonal(&'a [f32]),
}

impl Matrix<'_> {
    /// Whether the vectors must be quantized for this matrix.
    #[must_use]
    pub fn needs_quantized(&self) -> bool {
        matches!(self, Self::I8 { .. })
    }
}

/// Vectors in float and, for products with 8-bit weights, quantized.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// The vectors.
    pub float: Vectors<'a, f32>,
    /// The same vectors quantized, one after the other, with zero points taken off.
    pub quantized: &'a [i16],
    /// The scale of each quantized vector.
    pub scales: &'a [f32],
}

impl<'a> Operand<'a> {
    /// Vectors that no 8-bit weights will meet.
    #[must_use]
    pub fn float_only(float: Vectors<'a, f32>) -> Self {
        Self { float, quantized: &[], scales: &[] }
    }

    /// Vectors, quantized into `quantized` and `scales`.
    ///
    /// # Panics
    /// When the buffers are shorter than the vectors.
    #[must_use]
    pub fn quantize(
        cpu: Cpu,
        float: Vectors<'a, f32>,
        asymmetric: bool,
        quantized: &'a mut [i16],
        scales: &'a mut [f32],
    ) -> Self {
        for (i, scale) in scales[..float.count].iter_mut().enumerate() {
            *scale = quantize_vector(cpu, float.get(i), asymmetric, &mut quantized[i * float.len..]);
        }
        Self { float, quantized, scales }
    }

    /// Adds the products of `matrix` (`rows` rows) with the vectors: that with vector `i` to
    /// `out[i * out_stride ..][.. rows]`.
    ///
    /// # Panics
    /// When memory is shorter than the dimensions say.
    pub fn accumulate(&self, cpu: Cpu, matrix: Matrix<'_>, rows: usize, out: &mut [f32], out_stride: usize) {
        match matrix {
            Matrix::F32(weights) => {
                products_f32(cpu, weights, rows, self.float, |i, row, sums| {
                    for (out, &sum) in out[i * out_stride + row..].iter_mut().zip(sums) {
                        *out += sum;
                    }
                });
            }
            Matrix::I8 { values, scale } => {
                let vectors = Vectors::dense(self.quantized, self.float.len, self.float.count);
                products_i8(cpu, values, rows, vectors, |i, row, sums| {
                    let (scale, out) = (scale * self.scales[i], &mut out[i * out_stride + row..]);
                    for (out, &sum) in out.iter_mut().zip(sums) {
                        *out += sum as f32 * scale;
                    }
                });
            }
            Matrix::Diagonal(weights) => {
                for i in 0..self.float.count {
                    let out = &mut out[i * out_stride..][..rows];
                    for ((out, &w), &x) in out.iter_mut().zip(weights).zip(self.float.get(i)) {
                        *out += w * x;
                    }
                }
            }
        }
    }
}
