//! Depthwise filters packed by vectors of channels.

use std::sync::Arc;

use crate::aligned::AlignedBuf;
use crate::error::ShapeError;
use crate::isa::Cpu;

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
    data: Arc<AlignedBuf<f32>>,
}

impl DepthwiseWeightsF32 {
    /// Packs a filter `[height, width, channels]` and `bias[channels]`, or zeros without one; `channels` are those
    /// of the output.
    ///
    /// # Errors
    /// If a slice does not have that many values.
    pub fn new(
        cpu: Cpu,
        kernel: [usize; 2],
        channels: usize,
        filter: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, ShapeError> {
        ShapeError::check("filter", super::product(&[kernel[0], kernel[1], channels]), filter.len())?;
        ShapeError::check("bias", channels, bias.map_or(channels, <[f32]>::len))?;
        let lanes = cpu.lanes();
        let taps = kernel[0] * kernel[1];
        let mut packed = Self { cpu, kernel, channels, lanes, data: Arc::new(AlignedBuf::zeros(0)) };
        let mut data = AlignedBuf::zeros(packed.blocks() * (taps + 1) * lanes);
        for (index, block) in data.chunks_exact_mut((taps + 1) * lanes).enumerate() {
            let (first, n) = packed.block_channels(index);
            for (tap, row) in block.chunks_exact_mut(lanes).enumerate() {
                let from = if tap < taps { Some(&filter[tap * channels..]) } else { bias };
                if let Some(from) = from {
                    row[..n].copy_from_slice(&from[first..first + n]);
                }
            }
        }
        packed.data = Arc::new(data);
        Ok(packed)
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
        ((block * self.lanes).min(self.channels.saturating_sub(self.lanes)), self.channels.min(self.lanes))
    }

    /// A vector per tap, then the bias.
    #[inline(always)]
    pub(super) fn block(&self, block: usize) -> &[f32] {
        let len = (self.kernel[0] * self.kernel[1] + 1) * self.lanes;
        &self.data[block * len..][..len]
    }
}
