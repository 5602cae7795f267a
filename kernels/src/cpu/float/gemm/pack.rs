//! The right matrix, packed once into the order the micro-kernels read.

use bytemuck::Pod;
use half::f16;

use super::span;
use crate::cpu::float::stored::StoredFloats;
use crate::cpu::movement::{transpose, transpose_cells};
use crate::error::ShapeError;
use crate::isa::{Cpu, Isa};
use crate::packing::{Lines, Packing};
use crate::par::Par;

/// A right matrix with its bias, packed for one instruction set; cheap to clone and to share.
///
/// Columns (output channels) come in panels of two vectors; a rest that fits one vector makes a panel of one.
/// A panel is its bias and then, for each `k`, its weights; missing columns are zeros.
#[derive(Clone, Debug)]
pub struct PackedF32 {
    cpu: Cpu,
    n: usize,
    k: usize,
    data: Data,
}

/// Packed weights of 32 or of 16 bits.
#[derive(Clone, Debug)]
enum Data {
    Single(Lines<f32>),
    Half(Lines<f16>),
}

impl PackedF32 {
    /// Packs `weights[n][k]` (a row per output channel) and `bias[n]`, or zeros without one.
    ///
    /// # Errors
    /// If a slice does not have that many values.
    pub fn new<'a, 'p>(
        packing: impl Into<Packing<'p>>,
        n: usize,
        k: usize,
        weights: impl Into<StoredFloats<'a>>,
        bias: Option<&[f32]>,
    ) -> Result<Self, ShapeError> {
        let weights = weights.into();
        ShapeError::check("weights", n.saturating_mul(k), weights.len())?;
        ShapeError::check("bias", n, bias.map_or(n, <[f32]>::len))?;
        Ok(Self::from_rows(packing.into(), n, k, bias, weights))
    }

    /// Packs `weights[n][k]` of checked size.
    pub(crate) fn from_rows(
        packing: Packing<'_>,
        n: usize,
        k: usize,
        bias: Option<&[f32]>,
        weights: StoredFloats<'_>,
    ) -> Self {
        let cpu = packing.cpu();
        if let StoredFloats::Kept(halves) = weights
            && cpu.widens_halves()
        {
            return Self { cpu, n, k, data: Data::Half(pack_halves(packing, n, k, bias, halves)) };
        }
        Self::fill(packing, n, k, bias, |first, columns, width, packed| {
            let rows = weights.part(first * k..(first + columns) * k).widened(cpu);
            turn_columns(cpu, &rows, k, columns, k, width, packed);
        })
    }

    /// Packs weights that lie transposed, `weights[k][n]`.
    ///
    /// # Errors
    /// If a slice does not have that many values.
    pub fn from_transposed<'p>(
        packing: impl Into<Packing<'p>>,
        n: usize,
        k: usize,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, ShapeError> {
        ShapeError::check("weights", n.saturating_mul(k), weights.len())?;
        ShapeError::check("bias", n, bias.map_or(n, <[f32]>::len))?;
        Ok(Self::fill(packing.into(), n, k, bias, |first, columns, width, packed| {
            for (row, weights) in packed.chunks_exact_mut(width).zip(weights.chunks_exact(n)) {
                row[..columns].copy_from_slice(&weights[first..first + columns]);
            }
        }))
    }

    /// Packs the weights that `weight(n, k)` gives.
    pub(crate) fn with(
        packing: Packing<'_>,
        n: usize,
        k: usize,
        bias: Option<&[f32]>,
        weight: impl Fn(usize, usize) -> f32 + Sync + Send,
    ) -> Self {
        Self::fill(packing, n, k, bias, |first, columns, width, packed| {
            for (k, row) in packed.chunks_exact_mut(width).enumerate() {
                for (column, value) in row[..columns].iter_mut().enumerate() {
                    *value = weight(first + column, k);
                }
            }
        })
    }

    /// Packs the biases, and has the weights of each panel packed: its first column, the number of columns, the
    /// values from `k` to `k`, and where they go.
    pub(crate) fn fill(
        packing: Packing<'_>,
        n: usize,
        k: usize,
        bias: Option<&[f32]>,
        panel_weights: impl Fn(usize, usize, usize, &mut [f32]) + Sync + Send,
    ) -> Self {
        let cpu = packing.cpu();
        let layout = Layout::new(cpu, n, k);
        let data = fill_panels(packing, layout, bias, panel_weights);
        Self { cpu, n, k, data: Data::Single(data) }
    }

    /// The instruction set it is packed for.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// Columns of the product: output channels.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Length of the sums.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.data {
            Data::Single(floats) => size_of_val(&floats[..]),
            Data::Half(halves) => size_of_val(&halves[..]),
        }
    }

    /// The name of the kernel that multiplies with it.
    pub fn name(&self) -> String {
        super::gemm_f32_name(self.cpu)
    }

    pub(crate) fn panels(&self) -> Panels<'_> {
        match &self.data {
            Data::Single(floats) => Panels::new(Layout::new(self.cpu, self.n, self.k), floats),
            Data::Half(halves) => {
                Panels { layout: Layout::of::<f16>(self.cpu, self.n, self.k), data: PanelData::Half(halves) }
            }
        }
    }
}

/// Numbers that packed weights are kept in.
pub(crate) trait Weight: Pod + Send + Sync {
    /// How many of them a bias takes, which has 32 bits.
    const BIAS: usize;
    /// Whether there are tiles of all heights.
    const ALL_HEIGHTS: bool;

    /// A vector of weights.
    ///
    /// # Safety
    /// `ptr` must be valid for reading `LANES` values.
    unsafe fn load<S: Isa>(isa: S, ptr: *const Self) -> S::F;
}

impl Weight for f32 {
    const BIAS: usize = 1;
    const ALL_HEIGHTS: bool = true;

    #[inline(always)]
    unsafe fn load<S: Isa>(isa: S, ptr: *const f32) -> S::F {
        // SAFETY: forwarded.
        unsafe { isa.load_ptr(ptr) }
    }
}

impl Weight for f16 {
    const BIAS: usize = 2;
    const ALL_HEIGHTS: bool = false;

    #[inline(always)]
    unsafe fn load<S: Isa>(isa: S, ptr: *const f16) -> S::F {
        // SAFETY: forwarded.
        unsafe { isa.load_halves_ptr(ptr) }
    }
}

/// Packs the biases, and has the weights of each panel packed: its first column, the number of columns, the values from
/// `k` to `k`, and where they go.
fn fill_panels<W: Weight>(
    packing: Packing<'_>,
    layout: Layout,
    bias: Option<&[f32]>,
    panel_weights: impl Fn(usize, usize, usize, &mut [W]) + Sync + Send,
) -> Lines<W> {
    packing.lines(layout.len(), |data| {
        let par = Par::for_packing(size_of_val(data));
        par.chunks_mut(data, layout.whole_panel(), |panel, packed| {
            let (first, columns, width) = layout.columns(panel);
            let (head, packed) = packed.split_at_mut(width * W::BIAS);
            if let Some(bias) = bias {
                let bias: &[W] = bytemuck::cast_slice(&bias[first..first + columns]);
                head[..bias.len()].copy_from_slice(bias);
            }
            panel_weights(first, columns, width, packed);
        });
    })
}

/// Packs `weights[n][k]` as they are.
fn pack_halves(
    packing: Packing<'_>,
    n: usize,
    k: usize,
    bias: Option<&[f32]>,
    weights: &[f16],
) -> Lines<f16> {
    let layout = Layout::of::<f16>(packing.cpu(), n, k);
    fill_panels(packing, layout, bias, |first, columns, width, packed: &mut [f16]| {
        let rows = &weights[first * k..(first + columns) * k];
        assert!(columns <= width && packed.len() >= k * width);
        let stride = |values: usize| (values * size_of::<f16>()) as isize;
        let (from, to) = (rows.as_ptr().cast(), packed.as_mut_ptr().cast());
        // SAFETY: both sides were checked to hold `columns * k` values at their strides, and a shared and an exclusive
        // borrow do not overlap.
        unsafe { transpose::<{ size_of::<f16>() }>(from, stride(k), to, stride(width), columns, k) }
    })
}

/// Where the panels of a packed matrix lie.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Layout {
    cpu: Cpu,
    lanes: usize,
    n: usize,
    k: usize,
    /// Numbers that the bias of a column takes.
    bias: usize,
}

impl Layout {
    pub(crate) fn new(cpu: Cpu, n: usize, k: usize) -> Self {
        Self::of::<f32>(cpu, n, k)
    }

    fn of<W: Weight>(cpu: Cpu, n: usize, k: usize) -> Self {
        Self { cpu, lanes: cpu.lanes(), n, k, bias: W::BIAS }
    }

    pub(crate) fn panels(self) -> usize {
        self.n.div_ceil(2 * self.lanes)
    }

    /// Values of a panel of two vectors of columns.
    fn whole_panel(self) -> usize {
        2 * self.lanes * (self.k + self.bias)
    }

    /// First column, number of columns, and width in memory.
    pub(crate) fn columns(self, panel: usize) -> (usize, usize, usize) {
        let first = panel * 2 * self.lanes;
        let columns = (self.n - first).min(2 * self.lanes);
        (first, columns, if columns > self.lanes { 2 * self.lanes } else { self.lanes })
    }

    /// Start and length in memory.
    pub(crate) fn place(self, panel: usize) -> (usize, usize) {
        (panel * self.whole_panel(), self.columns(panel).2 * (self.k + self.bias))
    }

    /// Values in all panels.
    pub(crate) fn len(self) -> usize {
        match self.panels() {
            0 => 0,
            panels => {
                let (start, len) = self.place(panels - 1);
                start + len
            }
        }
    }
}

/// Packed panels, wherever they are kept.
#[derive(Copy, Clone)]
pub(crate) struct Panels<'a> {
    pub(crate) layout: Layout,
    pub(crate) data: PanelData<'a>,
}

/// The numbers of panels.
#[derive(Copy, Clone)]
pub(crate) enum PanelData<'a> {
    Single(&'a [f32]),
    Half(&'a [f16]),
}

impl<'a> Panels<'a> {
    pub(crate) fn new(layout: Layout, data: &'a [f32]) -> Self {
        Self { layout, data: PanelData::Single(data) }
    }

    pub(crate) fn n(self) -> usize {
        self.layout.n
    }

    pub(crate) fn k(self) -> usize {
        self.layout.k
    }

    pub(crate) fn count(self) -> usize {
        self.layout.panels()
    }
}

/// Packs a matrix that is only known at run time: `b[k][n]`, or `b[n][k]` when `transposed`, its lines `step` apart, without a
/// bias.
pub(crate) fn pack_at_run_time(
    layout: Layout,
    b: &[f32],
    step: usize,
    transposed: bool,
    packed: &mut [f32],
    par: Par,
) {
    let k = layout.k;
    par.chunks_mut(&mut packed[..layout.len()], layout.whole_panel(), |panel, packed| {
        let (first, columns, width) = layout.columns(panel);
        let (bias, packed) = packed.split_at_mut(width);
        bias.fill(0.0);
        if transposed {
            turn_columns(layout.cpu, &b[first * step..], step, columns, k, width, packed);
        }
        for (at, row) in packed.chunks_exact_mut(width).enumerate() {
            if !transposed {
                row[..columns].copy_from_slice(&b[at * step + first..][..columns]);
            }
            row[columns..].fill(0.0);
        }
    });
}

/// Writes `packed[at][column] = from[column][at]` for columns of `k` values, `step` apart, and packed rows of `width`.
pub(crate) fn turn_columns(
    cpu: Cpu,
    from: &[f32],
    step: usize,
    columns: usize,
    k: usize,
    width: usize,
    packed: &mut [f32],
) {
    assert!(columns <= width && from.len() >= span(columns, k, step) && packed.len() >= k * width);
    let stride = |values: usize| values * size_of::<f32>();
    let (from, to) = (from.as_ptr().cast(), packed.as_mut_ptr().cast());
    // SAFETY: both sides were checked to hold `columns * k` values at their strides, and a shared and an exclusive borrow
    // do not overlap.
    unsafe { transpose_cells(cpu, from, stride(step), to, stride(width), columns, k) }
}
