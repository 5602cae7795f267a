//! Depthwise filters packed by vectors of channels.

use crate::cpu::float::stored::StoredFloats;
use crate::error::ShapeError;
use crate::isa::Cpu;
use crate::packing::{Lines, Packing};

/// Depthwise filter and bias packed for one instruction set; independent of the image size, cheap to clone and to
/// share.
///
/// Channels come in blocks of one vector: the weights of each tap, then the bias. The last block starts early
/// enough to be whole, so that some channels are computed twice rather than in part; only when there are fewer
/// channels than lanes is a block filled up with zeros.
#[derive(Clone, Debug)]
pub struct DepthwiseWeightsF32 {
    cpu: Cpu,
    kernel: [usize; 2],
    channels: usize,
    lanes: usize,
    data: Lines<f32>,
}

impl DepthwiseWeightsF32 {
    /// Packs a filter `[height, width, channels]` and `bias[channels]`, or zeros without one; `channels` are those
    /// of the output.
    ///
    /// # Errors
    /// If a slice does not have that many values.
    pub fn new<'a, 'p>(
        packing: impl Into<Packing<'p>>,
        kernel: [usize; 2],
        channels: usize,
        filter: impl Into<StoredFloats<'a>>,
        bias: Option<&[f32]>,
    ) -> Result<Self, ShapeError> {
        let (packing, filter) = (packing.into(), filter.into());
        ShapeError::check("filter", super::product(&[kernel[0], kernel[1], channels]), filter.len())?;
        ShapeError::check("bias", channels, bias.map_or(channels, <[f32]>::len))?;
        let cpu = packing.cpu();
        let lanes = cpu.lanes();
        let taps = kernel[0] * kernel[1];
        let data = packing.lines(channels.div_ceil(lanes) * (taps + 1) * lanes, |data| {
            let filter = filter.widened(cpu);
            for (index, block) in data.chunks_exact_mut((taps + 1) * lanes).enumerate() {
                let (first, n) = block_channels(channels, lanes, index);
                for (tap, row) in block.chunks_exact_mut(lanes).enumerate() {
                    let from = if tap < taps { Some(&filter[tap * channels..]) } else { bias };
                    if let Some(from) = from {
                        row[..n].copy_from_slice(&from[first..first + n]);
                    }
                }
            }
        });
        Ok(Self { cpu, kernel, channels, lanes, data })
    }

    /// The instruction set it is packed for.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }

    pub(super) fn kernel(&self) -> [usize; 2] {
        self.kernel
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Whether every block has a channel per lane.
    pub(super) fn whole_vectors(&self) -> bool {
        self.channels >= self.lanes
    }

    pub(super) fn blocks(&self) -> usize {
        self.channels.div_ceil(self.lanes)
    }

    /// First channel and number of channels of a block.
    #[inline(always)]
    pub(super) fn block_channels(&self, block: usize) -> (usize, usize) {
        block_channels(self.channels, self.lanes, block)
    }

    /// A vector per tap, then the bias.
    #[inline(always)]
    pub(super) fn block(&self, block: usize) -> &[f32] {
        let len = (self.kernel[0] * self.kernel[1] + 1) * self.lanes;
        &self.data[block * len..][..len]
    }
}

/// First channel and number of channels of a block of `lanes` out of `channels`.
#[inline(always)]
fn block_channels(channels: usize, lanes: usize, block: usize) -> (usize, usize) {
    ((block * lanes).min(channels.saturating_sub(lanes)), channels.min(lanes))
}
