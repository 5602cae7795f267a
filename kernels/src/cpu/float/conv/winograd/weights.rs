//! Filters of 3 x 3 brought to the sixteen products of a tile.

use core::array;

use super::POINTS;
use crate::cpu::float::conv::ConvShape;
use crate::cpu::float::gemm::{PackedF32, Panels, turn_columns};
use crate::cpu::float::stored::StoredFloats;
use crate::error::ShapeError;
use crate::isa::{Cpu, Isa, Kernel};
use crate::packing::Packing;

/// Taps of the filter.
const TAPS: usize = 9;

/// The point whose products are in every output of a tile, once each: a bias added there is added to all of them.
const BIASED: usize = 5;

/// Filter and bias packed for one instruction set; independent of the image size, cheap to clone and to share.
///
/// A packed matrix whose depth is that of all points: for each point a row of biases, which are zeros but for one point, and a
/// row for each input channel.
#[derive(Clone, Debug)]
pub struct WinogradWeightsF32 {
    packed: PackedF32,
    in_channels: usize,
}

impl WinogradWeightsF32 {
    /// Packs a filter `[out_channels, 3, 3, in_channels]` and `bias[out_channels]`, or zeros without one. Of `shape` only the
    /// channels count.
    ///
    /// # Errors
    /// If a slice does not have that many values.
    pub fn new<'a, 'p>(
        packing: impl Into<Packing<'p>>,
        shape: &ConvShape,
        filter: impl Into<StoredFloats<'a>>,
        bias: Option<&[f32]>,
    ) -> Result<Self, ShapeError> {
        let (packing, filter) = (packing.into(), filter.into());
        let &ConvShape { in_channels, out_channels, .. } = shape;
        let k = TAPS.saturating_mul(in_channels);
        ShapeError::check("filter", out_channels.saturating_mul(k), filter.len())?;
        ShapeError::check("bias", out_channels, bias.map_or(out_channels, <[f32]>::len))?;
        let cpu = packing.cpu();
        let depth = POINTS * (in_channels + 1) - 1;
        let packed = PackedF32::fill(packing, out_channels, depth, None, |first, columns, width, packed| {
            let filter = filter.part(first * k..(first + columns) * k).widened(cpu);
            let mut points = vec![0.0; POINTS * columns * in_channels];
            cpu.dispatch(Spread { filter: &filter, columns, in_channels, points: &mut points });
            // The first row of biases is before these rows.
            let point_len = (in_channels + 1) * width;
            for point in 0..POINTS {
                let from = &points[point * columns * in_channels..][..columns * in_channels];
                let to = &mut packed[point * point_len..][..in_channels * width];
                turn_columns(cpu, from, in_channels, columns, in_channels, width, to);
            }
            if let Some(bias) = bias {
                packed[BIASED * point_len - width..][..columns].copy_from_slice(&bias[first..][..columns]);
            }
        });
        Ok(Self { packed, in_channels })
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        self.packed.bytes()
    }

    pub(super) fn cpu(&self) -> Cpu {
        self.packed.cpu()
    }

    pub(super) fn in_channels(&self) -> usize {
        self.in_channels
    }

    pub(super) fn out_channels(&self) -> usize {
        self.packed.n()
    }

    pub(super) fn panels(&self) -> Panels<'_> {
        self.packed.panels()
    }
}

/// Brings filters to their points: `G g Gᵀ` with `G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1]`.
struct Spread<'a> {
    /// `[columns, 3, 3, in_channels]`
    filter: &'a [f32],
    columns: usize,
    in_channels: usize,
    /// `[POINTS, columns, in_channels]`
    points: &'a mut [f32],
}

impl Kernel for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let Self { filter, columns, in_channels, points } = self;
        let per_point = columns * in_channels;
        for column in 0..columns {
            let filter = &filter[column * TAPS * in_channels..][..TAPS * in_channels];
            for channel in 0..in_channels {
                let taps: [f32; TAPS] = array::from_fn(|tap| filter[tap * in_channels + channel]);
                // Columns of the filter first, then its rows.
                let mut rows = [[0.0; 3]; 4];
                for x in 0..3 {
                    let spread = of_three([taps[x], taps[3 + x], taps[6 + x]]);
                    for (row, value) in rows.iter_mut().zip(spread) {
                        row[x] = value;
                    }
                }
                for (y, &row) in rows.iter().enumerate() {
                    for (x, value) in of_three(row).into_iter().enumerate() {
                        points[(4 * y + x) * per_point + column * in_channels + channel] = value;
                    }
                }
            }
        }
    }
}

/// `G g` for a line of three taps.
#[inline(always)]
fn of_three([a, b, c]: [f32; 3]) -> [f32; 4] {
    let (ends, middle) = (0.5 * (a + c), 0.5 * b);
    [a, ends + middle, ends - middle, c]
}
