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
    /// Elements behind the last run that may be read.
    spare: usize,
}

/// How far what reads a strip reads beyond a window.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Up to the end of a step of the dot product.
    Step,
    /// Up to the end of a tile: in depth, and over the windows that follow.
    #[cfg(target_arch = "x86_64")]
    Tile {
        /// Elements of a tile's row.
        depth: usize,
        /// Rows of a tile.
        rows: usize,
        /// The most windows that a strip may have.
        most_windows: usize,
    },
}

/// Bytes of a strip that leave room for a panel of weights in the second-level cache.
const BYTES: usize = 128 << 10;
/// The most bytes of a strip with a single line of windows.
const MOST_BYTES: usize = 512 << 10;
/// The most elements of a step of the dot product.
const STEP: usize = 16;

impl Strip {
    /// For windows over `channels` channels with elements of `element_bytes`; `None` where copying each window costs no
    /// more, or even one line of windows covers too much.
    pub(super) fn new(w: &Window, channels: usize, element_bytes: usize, reach: Reach) -> Option<Self> {
        let [height, width] = w.output;
        if w.kernel[0] * w.kernel[1] <= w.stride[0] * w.stride[1] || channels == 0 || height * width == 0 {
            return None;
        }
        let across = width
            .checked_sub(1)?
            .checked_mul(w.stride[1])?
            .checked_add((w.kernel[1] - 1) * w.dilation[1] + 1)?
            // So that windows of different lines lie multiples of their distance apart.
            .checked_next_multiple_of(w.stride[1])?;
        let pitch = across.checked_mul(channels)?;
        let extent = (w.kernel[0] - 1) * w.dilation[0] + 1;
        let line_bytes = pitch.checked_mul(element_bytes)?;
        if extent.checked_mul(line_bytes)? > MOST_BYTES {
            return None;
        }
        // Lines of windows that cover so many bytes.
        let lines = (BYTES / line_bytes.max(1)).saturating_sub(extent) / w.stride[0] + 1;
        let step = w.stride[1] * channels;
        let (most_lines, spare) = match reach {
            Reach::Step => (lines, STEP),
            #[cfg(target_arch = "x86_64")]
            Reach::Tile { most_windows, .. } if width > most_windows => return None,
            #[cfg(target_arch = "x86_64")]
            Reach::Tile { depth, rows, most_windows } => {
                (lines.min(most_windows / width), rows * step + depth)
            }
        };
        let neighbours = w.dilation[1] == 1;
        Some(Self {
            most_lines: most_lines.min(height),
            pitch,
            channels,
            runs: [w.kernel[0], if neighbours { 1 } else { w.kernel[1] }],
            run_steps: [w.dilation[0] * pitch, w.dilation[1] * channels],
            run_len: if neighbours { w.kernel[1] * channels } else { channels },
            steps: [w.stride[0] * pitch, step],
            extent,
            stride: w.stride[0],
            spare,
        })
    }

    /// Elements of a strip for `lines` lines of windows.
    pub(super) fn len(&self, lines: usize) -> usize {
        ((lines.max(1) - 1) * self.stride + self.extent) * self.pitch + self.spare
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
        self.write(patches, image, line, T::pack(zero, zero), to, Converted { zero });
    }

    /// As [`Strip::pack`], leaving bytes as they are.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn copy(
        &self,
        patches: &Patches<'_, u8>,
        image: usize,
        line: usize,
        padding: u8,
        to: &mut [u8],
    ) {
        self.write(patches, image, line, padding, to, AsStored);
    }

    #[inline(always)]
    fn write<X, T: Copy>(
        &self,
        patches: &Patches<'_, X>,
        image: usize,
        line: usize,
        padding: T,
        to: &mut [T],
        elements: impl Elements<X, T>,
    ) {
        let w = &patches.window;
        let row_len = w.input[1] * w.channels;
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
                elements.put(&from[(skipped * w.channels).min(row_len)..], middle);
                continue;
            }
            for (x, to) in middle.chunks_exact_mut(self.channels).enumerate() {
                let at = (skipped + x) * w.channels + patches.first_channel;
                elements.put(&from[at..][..self.channels], to);
            }
        }
    }
}

/// How elements of an image become those of a strip. A trait and not a closure, which may stay a call without the
/// instruction set.
trait Elements<X, T> {
    /// Fills `to` from the first elements of `from`.
    fn put(&self, from: &[X], to: &mut [T]);
}

/// In the packed form of the dot products.
struct Converted {
    zero: i32,
}

impl<X: Activation, T: PanelElement> Elements<X, T> for Converted {
    #[inline(always)]
    fn put(&self, from: &[X], to: &mut [T]) {
        convert(from, self.zero, to);
    }
}

/// As they are.
#[cfg(target_arch = "x86_64")]
struct AsStored;

#[cfg(target_arch = "x86_64")]
impl Elements<u8, u8> for AsStored {
    #[inline(always)]
    fn put(&self, from: &[u8], to: &mut [u8]) {
        to.copy_from_slice(&from[..to.len()]);
    }
}
