//! Filters of 3 x 3 brought to the sixteen products of a tile.

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
            // The first row of biases is before these rows.
            let point_len = (in_channels + 1) * width;
            let mut points = vec![0.0; POINTS * columns * TOGETHER];
            for channel in (0..in_channels).step_by(TOGETHER) {
                let count = TOGETHER.min(in_channels - channel);
                cpu.dispatch(Spread { filter: &filter, in_channels, channel, count, points: &mut points });
                for (point, from) in points.chunks_exact(columns * TOGETHER).enumerate() {
                    let to = &mut packed[point * point_len + channel * width..][..count * width];
                    turn_columns(cpu, from, TOGETHER, columns, count, width, to);
                }
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

/// Input channels that are brought to their points together: what is between them and the packed rows stays in a near cache.
const TOGETHER: usize = 32;

/// Brings filters to their points: `G g Gᵀ` with `G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1]`.
struct Spread<'a> {
    /// `[columns, 3, 3, in_channels]`
    filter: &'a [f32],
    in_channels: usize,
    /// The first channel, and how many of them.
    channel: usize,
    count: usize,
    /// `[POINTS, columns, TOGETHER]`
    points: &'a mut [f32],
}

impl Kernel for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Self { filter, in_channels, channel, count, points } = self;
        let per_point = points.len() / POINTS;
        for (column, filter) in filter.chunks_exact(TAPS * in_channels).enumerate() {
            for at in (0..count).step_by(S::LANES) {
                let lanes = S::LANES.min(count - at);
                let mut taps = [isa.zero(); TAPS];
                for (tap, value) in taps.iter_mut().enumerate() {
                    *value = isa.load_part(&filter[tap * in_channels + channel + at..][..lanes]);
                }
                // Columns of the filter first, then its rows.
                let mut rows = [[isa.zero(); 3]; 4];
                for x in 0..3 {
                    let spread = of_three(isa, [taps[x], taps[3 + x], taps[6 + x]]);
                    for (row, &value) in rows.iter_mut().zip(&spread) {
                        row[x] = value;
                    }
                }
                for (y, &row) in rows.iter().enumerate() {
                    for (x, &value) in of_three(isa, row).iter().enumerate() {
                        let start = (4 * y + x) * per_point + column * TOGETHER + at;
                        isa.store_part(value, &mut points[start..][..lanes]);
                    }
                }
            }
        }
    }
}

/// `G g` for a line of three taps.
#[inline(always)]
fn of_three<S: Isa>(isa: S, [a, b, c]: [S::F; 3]) -> [S::F; 4] {
    let half = isa.splat(0.5);
    let (ends, middle) = (isa.mul(half, isa.add(a, c)), isa.mul(half, b));
    [a, isa.add(ends, middle), isa.sub(ends, middle), c]
}
