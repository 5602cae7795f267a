//! Strips of images: the lines that some lines of windows cover, with their padding, in the format of packed tiles.
//!
//! Windows that overlap share most of what they cover. A strip holds it once; a window's row is then some runs of
//! neighbouring numbers in it, each a line of the filter (or a tap, if something lies between the taps).

use super::dot::PanelElement;
use super::rows::{Activation, Patches, Window, convert};

/// The geometry of strips.
#[derive(Copy, Clone, Debug)]
pub struct Strip {
    /// Output lines that a strip can have.
    pub(super) most_lines: usize,
    /// Elements of a line.
    pub(super) pitch: usize,
    /// Elements of a pixel.
    channels: usize,
    /// Runs of a window, down and right.
    pub(super) runs: [usize; 2],
    /// Distance between them in elements.
    pub(super) run_steps: [usize; 2],
    /// Elements of a run.
    pub(super) run_len: usize,
    /// Distance between windows in elements, down and right.
    pub(super) steps: [usize; 2],
    /// Lines between the first tap of a window and its last, and one.
    extent: usize,
    /// Lines between windows.
    stride: usize,
}

/// Bytes of a strip that leave room for a panel of weights in the second-level cache.
const BYTES: usize = 128 << 10;
/// The most bytes of a strip with a single line of windows.
const MOST_BYTES: usize = 512 << 10;
/// Elements behind the last run: it is read up to the end of a step of the dot product.
const SPARE: usize = 16;

impl Strip {
    /// For windows over `channels` channels with elements of `element_bytes`; `None` where copying each window costs no
    /// more, or even one line of windows covers too much.
    pub(super) fn new(w: &Window, channels: usize, element_bytes: usize) -> Option<Self> {
        let [height, width] = w.output;
        if w.kernel[0] * w.kernel[1] <= w.stride[0] * w.stride[1] || channels == 0 || height * width == 0 {
            return None;
        }
        let across = width
            .checked_sub(1)?
            .checked_mul(w.stride[1])?
            .checked_add((w.kernel[1] - 1) * w.dilation[1] + 1)?;
        let pitch = across.checked_mul(channels)?;
        let extent = (w.kernel[0] - 1) * w.dilation[0] + 1;
        let line_bytes = pitch.checked_mul(element_bytes)?;
        if extent.checked_mul(line_bytes)? > MOST_BYTES {
            return None;
        }
        // Lines of windows that cover so many bytes.
        let lines = (BYTES / line_bytes.max(1)).saturating_sub(extent) / w.stride[0] + 1;
        let neighbours = w.dilation[1] == 1;
        Some(Self {
            most_lines: lines.min(height),
            pitch,
            channels,
            runs: [w.kernel[0], if neighbours { 1 } else { w.kernel[1] }],
            run_steps: [w.dilation[0] * pitch, w.dilation[1] * channels],
            run_len: if neighbours { w.kernel[1] * channels } else { channels },
            steps: [w.stride[0] * pitch, w.stride[1] * channels],
            extent,
            stride: w.stride[0],
        })
    }

    /// Elements of a strip for `lines` lines of windows.
    pub(super) fn len(&self, lines: usize) -> usize {
        ((lines.max(1) - 1) * self.stride + self.extent) * self.pitch + SPARE
    }

    /// Writes the strip of image `image` whose first line of windows is `line`; `to` has the length of the strip.
    #[inline(always)]
    pub(super) fn pack<X: Activation, T: PanelElement>(
        &self,
        patches: &Patches<'_, X>,
        image: usize,
        line: usize,
        zero: i32,
        to: &mut [T],
    ) {
        let w = &patches.window;
        let row_len = w.input[1] * w.channels;
        let padding = T::pack(zero, zero);
        // Pixels left of the image, then those in it.
        let across = self.pitch / self.channels;
        let left = (w.padding[1].max(0) as usize).min(across);
        let skipped = w.padding[1].min(0).unsigned_abs();
        let inside = w.input[1].saturating_sub(skipped).min(across - left);
        for (i, to) in to.chunks_exact_mut(self.pitch).enumerate() {
            let source =
                (line * self.stride + i).checked_add_signed(-w.padding[0]).filter(|&y| y < w.input[0]);
            let Some(y) = source else {
                to.fill(padding);
                continue;
            };
            let from = &patches.data[(image * w.input[0] + y) * row_len..][..row_len];
            let (before, rest) = to.split_at_mut(left * self.channels);
            let (middle, after) = rest.split_at_mut(inside * self.channels);
            before.fill(padding);
            after.fill(padding);
            if self.channels == w.channels {
                convert(&from[(skipped * w.channels).min(row_len)..], zero, middle);
                continue;
            }
            for (x, to) in middle.chunks_exact_mut(self.channels).enumerate() {
                let at = (skipped + x) * w.channels + patches.first_channel;
                convert(&from[at..][..self.channels], zero, to);
            }
        }
    }
}
