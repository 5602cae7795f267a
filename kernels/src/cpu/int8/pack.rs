//! Weights in the order in which a tile of the matrix multiplication reads them.

use super::dot::{Dot, DotKernel, dispatch_bytes, dispatch_words};
use crate::isa::{Cpu, Isa};

/// Weights as they lie in a tensor of bytes.
#[derive(Copy, Clone, Debug)]
pub enum Bytes<'a> {
    /// Signed.
    Signed(&'a [i8]),
    /// Unsigned; stands for the signed number 128 below.
    Unsigned(&'a [u8]),
}

impl Bytes<'_> {
    /// The weight at `index` as a signed number.
    #[inline(always)]
    pub(super) fn get(self, index: usize) -> i8 {
        match self {
            Self::Signed(bytes) => bytes[index],
            Self::Unsigned(bytes) => (bytes[index] ^ 0x80) as i8,
        }
    }

    /// How much signed numbers lie below the stored ones: what to take from a zero point.
    pub fn offset(self) -> i32 {
        match self {
            Self::Signed(_) => 0,
            Self::Unsigned(_) => 128,
        }
    }
}

/// A matrix of weights in a tensor.
#[derive(Copy, Clone, Debug)]
pub struct Matrix<'a> {
    /// The tensor.
    pub bytes: Bytes<'a>,
    /// Zero point of the stored numbers.
    pub zero: i32,
    /// Number of columns: outputs.
    pub cols: usize,
    /// Number of rows: products in a sum.
    pub depth: usize,
    /// Distance between columns.
    pub col_stride: usize,
    /// Distance between rows.
    pub depth_stride: usize,
}

/// Width of the activations that weights are packed for.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// `i8` or `u8`.
    Bytes,
    /// `i16`.
    Words,
}

/// A packed matrix of weights.
///
/// Columns lie in panels of a tile's width; in a panel come the first rows of all columns, `Dot::DEPTH` of each
/// at a time, then the next rows. Rows and columns are filled up with zeros.
#[derive(Clone, Debug)]
pub struct PackedWeights {
    pub(super) cpu: Cpu,
    pub(super) width: Width,
    pub(super) cols: usize,
    pub(super) depth: usize,
    /// Bytes of a column, a multiple of `Dot::DEPTH`.
    pub(super) col_bytes: usize,
    /// Columns with padding.
    pub(super) padded_cols: usize,
    /// Zero point of the signed weights.
    pub(super) zero: i32,
    pub(super) data: Vec<i8>,
    /// Sum of each column.
    pub(super) sums: Vec<i32>,
    /// Rows of a tile.
    pub(super) tile_rows: usize,
    /// Columns of a whole panel.
    pub(super) panel_cols: usize,
}

impl PackedWeights {
    /// Packs for the kernels of `cpu`.
    ///
    /// # Panics
    /// If the matrix is larger than its tensor.
    pub fn new(cpu: Cpu, width: Width, matrix: Matrix<'_>) -> Self {
        match width {
            Width::Bytes => dispatch_bytes(cpu, Pack { cpu, width, matrix }),
            Width::Words => dispatch_words(cpu, Pack { cpu, width, matrix }),
        }
    }

    /// Number of columns: outputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of rows: products in a sum.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The sum of the weights of each column less their zero point.
    pub fn column_sums(&self) -> impl Iterator<Item = i32> + '_ {
        let zeros = (self.depth as i32).wrapping_mul(self.zero);
        self.sums[..self.cols].iter().map(move |sum| sum.wrapping_sub(zeros))
    }

    /// The name of the tile for kernel names, e.g. `6x16_avx2`.
    pub fn tile_name(&self) -> String {
        format!("{}x{}_{}", self.tile_rows, self.panel_cols, self.cpu.name())
    }

    /// Runs an algorithm with the dot product that the weights are packed for.
    #[inline]
    pub(super) fn dispatch<K: DotKernel>(&self, kernel: K) -> K::Output {
        match self.width {
            Width::Bytes => dispatch_bytes(self.cpu, kernel),
            Width::Words => dispatch_words(self.cpu, kernel),
        }
    }
}

/// Columns after padding to whole vectors.
pub(super) fn padded<D: Dot>(cols: usize) -> usize {
    cols.next_multiple_of(D::V::LANES)
}

struct Pack<'a> {
    cpu: Cpu,
    width: Width,
    matrix: Matrix<'a>,
}

impl DotKernel for Pack<'_> {
    type Output = PackedWeights;

    #[inline(always)]
    fn run<D: Dot>(self, _: D) -> PackedWeights {
        let Matrix { bytes, zero, cols, depth, col_stride, depth_stride } = self.matrix;
        let lanes = D::V::LANES;
        let panel_cols = D::VECTORS * lanes;
        let padded_cols = padded::<D>(cols);
        let col_bytes = depth.next_multiple_of(D::DEPTH);
        let mut data = vec![0i8; padded_cols * col_bytes];
        let mut sums = vec![0i32; padded_cols];
        for (col, sum) in sums[..cols].iter_mut().enumerate() {
            let first = col / panel_cols * panel_cols;
            let width = panel_cols.min(padded_cols - first);
            let panel = &mut data[first * col_bytes..][..width * col_bytes];
            let at = (col - first) * D::DEPTH;
            for k in 0..depth {
                let weight = bytes.get(col * col_stride + k * depth_stride);
                panel[k / D::DEPTH * width * D::DEPTH + at + k % D::DEPTH] = weight;
                *sum = sum.wrapping_add(i32::from(weight));
            }
        }
        PackedWeights {
            cpu: self.cpu,
            width: self.width,
            cols,
            depth,
            col_bytes,
            padded_cols,
            zero: zero - bytes.offset(),
            data,
            sums,
            tile_rows: D::ROWS,
            panel_cols,
        }
    }
}
