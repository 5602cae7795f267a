//! Weights in the order in which a tile of the matrix multiplication reads them.

#[cfg(target_arch = "x86_64")]
use super::amx;
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

/// Where the weights of a matrix lie when they are packed.
///
/// Columns lie in panels of a tile's width; in a panel come the first rows of all columns, `Dot::DEPTH` of each
/// at a time, then the next rows. Rows and columns are filled up with zeros.
#[derive(Copy, Clone, Debug)]
pub struct PackLayout {
    pub(super) cpu: Cpu,
    pub(super) width: Width,
    pub(super) cols: usize,
    pub(super) depth: usize,
    /// Rows of a step of the dot product.
    step: usize,
    /// Bytes of a column, a multiple of `step`.
    pub(super) col_bytes: usize,
    /// Columns with padding.
    pub(super) padded_cols: usize,
    /// Rows of a tile.
    pub(super) tile_rows: usize,
    /// Columns of a whole panel.
    pub(super) panel_cols: usize,
    /// Bytes of a packed activation.
    pub(super) element_bytes: usize,
}

impl PackLayout {
    /// The layout for the kernels of `cpu` of a matrix with `cols` columns (outputs) and `depth` rows.
    pub fn new(cpu: Cpu, width: Width, cols: usize, depth: usize) -> Self {
        let layout = Layout { cpu, width, cols, depth };
        let layout = match width {
            Width::Bytes => dispatch_bytes(cpu, layout),
            Width::Words => dispatch_words(cpu, layout),
        };
        #[cfg(target_arch = "x86_64")]
        if layout.amx().is_some() {
            let col_bytes = depth.next_multiple_of(amx::DEPTH);
            return Self { col_bytes, tile_rows: amx::ROWS, ..layout };
        }
        layout
    }

    /// The token of the tiles, if the layout is for them.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn amx(&self) -> Option<crate::isa::Avx512Amx> {
        match (self.cpu, self.width) {
            (Cpu::Avx512Amx(amx), Width::Bytes) => Some(amx),
            _ => None,
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

    /// Bytes of a packed matrix.
    pub fn data_len(&self) -> usize {
        self.padded_cols * self.col_bytes
    }

    /// Number of column sums.
    pub fn sums_len(&self) -> usize {
        self.padded_cols
    }

    /// Packs a matrix into memory of the caller's. The content of `data` and `sums` does not matter.
    ///
    /// # Panics
    /// If the matrix has another shape or is larger than its tensor, or the memory is smaller than
    /// [`PackLayout::data_len`] and [`PackLayout::sums_len`].
    pub fn pack<'a>(&self, matrix: Matrix<'_>, data: &'a mut [i8], sums: &'a mut [i32]) -> PackedRef<'a> {
        let Matrix { bytes, zero, cols, depth, col_stride, depth_stride } = matrix;
        assert_eq!((cols, depth), (self.cols, self.depth), "the layout is for another matrix");
        let (data, sums) = (&mut data[..self.data_len()], &mut sums[..self.sums_len()]);
        data.fill(0);
        sums.fill(0);
        let step = self.step;
        for (col, sum) in sums[..cols].iter_mut().enumerate() {
            let first = col / self.panel_cols * self.panel_cols;
            let width = self.panel_cols.min(self.padded_cols - first);
            let panel = &mut data[first * self.col_bytes..][..width * self.col_bytes];
            let at = (col - first) * step;
            for k in 0..depth {
                let weight = bytes.get(col * col_stride + k * depth_stride);
                panel[k / step * width * step + at + k % step] = weight;
                *sum = sum.wrapping_add(i32::from(weight));
            }
        }
        PackedRef { layout: *self, zero: zero - bytes.offset(), data, sums }
    }

    /// The name of the tile for kernel names, e.g. `6x16_avx2`.
    pub fn tile_name(&self) -> String {
        format!("{}x{}_{}", self.tile_rows, self.panel_cols, self.cpu.name())
    }

    /// Runs an algorithm with the dot product that the layout is for.
    #[inline]
    pub(super) fn dispatch<K: DotKernel>(&self, kernel: K) -> K::Output {
        match self.width {
            Width::Bytes => dispatch_bytes(self.cpu, kernel),
            Width::Words => dispatch_words(self.cpu, kernel),
        }
    }
}

/// Packed weights in borrowed memory.
#[derive(Copy, Clone, Debug)]
pub struct PackedRef<'a> {
    pub(super) layout: PackLayout,
    /// Zero point of the signed weights.
    pub(super) zero: i32,
    pub(super) data: &'a [i8],
    /// Sum of each column.
    pub(super) sums: &'a [i32],
}

/// Packed weights.
#[derive(Clone, Debug)]
pub struct PackedWeights {
    layout: PackLayout,
    zero: i32,
    data: Vec<i8>,
    sums: Vec<i32>,
}

impl PackedWeights {
    /// Packs for the kernels of `cpu`.
    ///
    /// # Panics
    /// If the matrix is larger than its tensor.
    pub fn new(cpu: Cpu, width: Width, matrix: Matrix<'_>) -> Self {
        let layout = PackLayout::new(cpu, width, matrix.cols, matrix.depth);
        let (mut data, mut sums) = (vec![0; layout.data_len()], vec![0; layout.sums_len()]);
        let zero = layout.pack(matrix, &mut data, &mut sums).zero;
        Self { layout, zero, data, sums }
    }

    /// The layout.
    pub fn layout(&self) -> &PackLayout {
        &self.layout
    }

    /// The weights as kernels take them.
    pub fn view(&self) -> PackedRef<'_> {
        PackedRef { layout: self.layout, zero: self.zero, data: &self.data, sums: &self.sums }
    }
}

struct Layout {
    cpu: Cpu,
    width: Width,
    cols: usize,
    depth: usize,
}

impl DotKernel for Layout {
    type Output = PackLayout;

    #[inline(always)]
    fn run<D: Dot>(self, _: D) -> PackLayout {
        let Self { cpu, width, cols, depth } = self;
        PackLayout {
            cpu,
            width,
            cols,
            depth,
            step: D::DEPTH,
            col_bytes: depth.next_multiple_of(D::DEPTH),
            padded_cols: cols.next_multiple_of(D::V::LANES),
            tile_rows: D::ROWS,
            panel_cols: D::VECTORS * D::V::LANES,
            element_bytes: size_of::<D::Lhs>(),
        }
    }
}
