//! Packing windows of byte images for the tiles: copies by whole vectors, any length.

use core::arch::x86_64::*;
use core::ops::Range;

use super::gemm::Zeros;
use super::rows::Window;

/// Windows of images, one row each, as [`super::rows::Patches`] has them.
pub(super) struct Windows<'a> {
    pub bytes: &'a [u8],
    pub window: Window,
    pub first_channel: usize,
    pub channels: usize,
    /// What padding holds.
    pub zeros: Zeros<'a>,
}

impl Windows<'_> {
    /// Writes rows `rows`, `stride` apart; what lies between them keeps its content.
    ///
    /// To be inlined where AVX-512 F and BW are enabled.
    #[inline(always)]
    pub(super) fn pack(&self, rows: Range<usize>, to: &mut [u8], stride: usize) {
        let w = &self.window;
        let [height, width] = w.output;
        let (mut x, mut y, mut image) =
            (rows.start % width, rows.start / width % height, rows.start / width / height);
        // Neighbouring taps of a filter row are neighbours in memory too, unless something lies between.
        let whole = w.dilation[1] == 1 && self.channels == w.channels;
        for (row, to) in rows.zip(to.chunks_exact_mut(stride)) {
            let padding = self.zeros.of(row) as u8;
            let lines = to.chunks_exact_mut(w.kernel[1] * self.channels).take(w.kernel[0]);
            for (ky, to) in lines.enumerate() {
                match w.source(0, y, ky) {
                    None => fill(to, padding),
                    Some(sy) => {
                        let len = w.input[1] * w.channels;
                        let line = &self.bytes[(image * w.input[0] + sy) * len..][..len];
                        if whole {
                            self.copy_taps(line, x, to, padding)
                        } else {
                            self.copy_each(line, x, to, padding)
                        }
                    }
                }
            }
            x += 1;
            if x == width {
                (x, y) = (0, y + 1);
            }
            if y == height {
                (y, image) = (0, image + 1);
            }
        }
    }

    /// The taps of a filter row where they lie in one piece.
    #[inline(always)]
    fn copy_taps(&self, line: &[u8], x: usize, to: &mut [u8], padding: u8) {
        let w = &self.window;
        // Taps left of the image and taps within it.
        let first = (x * w.stride[1]) as isize - w.padding[1];
        let left = (-first).clamp(0, w.kernel[1] as isize) as usize;
        let start = first.max(0) as usize;
        let inside = w.input[1].saturating_sub(start).min(w.kernel[1] - left);
        let (before, rest) = to.split_at_mut(left * w.channels);
        let (middle, after) = rest.split_at_mut(inside * w.channels);
        if !before.is_empty() {
            fill(before, padding);
        }
        if !after.is_empty() {
            fill(after, padding);
        }
        if inside > 0 {
            copy(&line[start * w.channels..][..middle.len()], middle);
        }
    }

    /// Tap by tap.
    #[inline(always)]
    fn copy_each(&self, line: &[u8], x: usize, to: &mut [u8], padding: u8) {
        let w = &self.window;
        for (kx, to) in to.chunks_exact_mut(self.channels).enumerate() {
            match w.source(1, x, kx) {
                Some(sx) => copy(&line[sx * w.channels + self.first_channel..][..self.channels], to),
                None => fill(to, padding),
            }
        }
    }
}

/// The mask of the first `n <= 64` bytes, at least one.
#[inline(always)]
fn first(n: usize) -> u64 {
    u64::MAX >> (64 - n)
}

/// Copies a slice of the same length.
#[inline(always)]
fn copy(from: &[u8], to: &mut [u8]) {
    let len = to.len();
    assert_eq!(from.len(), len);
    let (from, to) = (from.as_ptr().cast::<i8>(), to.as_mut_ptr().cast::<i8>());
    for at in (0..len).step_by(64) {
        // SAFETY: the mask ends where both slices do; the caller enables the instructions.
        unsafe {
            let mask = first((len - at).min(64));
            _mm512_mask_storeu_epi8(to.add(at), mask, _mm512_maskz_loadu_epi8(mask, from.add(at)));
        }
    }
}

/// Fills a slice with a byte.
#[inline(always)]
fn fill(to: &mut [u8], byte: u8) {
    let len = to.len();
    let to = to.as_mut_ptr().cast::<i8>();
    for at in (0..len).step_by(64) {
        // SAFETY: the mask ends where the slice does; the caller enables the instructions.
        unsafe {
            _mm512_mask_storeu_epi8(to.add(at), first((len - at).min(64)), _mm512_set1_epi8(byte as i8))
        };
    }
}
