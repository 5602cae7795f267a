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
        let run = w.kernel[1] * self.channels;
        let line_len = w.input[1] * w.channels;
        // Neighbouring taps of a filter row are neighbours in memory too, unless something lies between.
        let whole = w.dilation[1] == 1 && self.channels == w.channels;
        let mut row = rows.start;
        while row < rows.end {
            // The rows of one line of windows.
            let (first, y, image) = (row % width, row / width % height, row / width / height);
            let count = (width - first).min(rows.end - row);
            let to = &mut to[(row - rows.start) * stride..][..count * stride];
            for ky in 0..w.kernel[0] {
                let line = w.source(0, y, ky);
                let line = line.map(|sy| &self.bytes[(image * w.input[0] + sy) * line_len..][..line_len]);
                let at = ky * run;
                match line {
                    None => {
                        for (i, to) in to.chunks_exact_mut(stride).enumerate() {
                            fill(&mut to[at..at + run], self.zeros.of(row + i) as u8);
                        }
                    }
                    Some(line) if whole => {
                        let inside = self.inside(first, count);
                        let (before, rest) = to.split_at_mut(inside.start * stride);
                        let (middle, after) = rest.split_at_mut(inside.len() * stride);
                        let skipped = [0, inside.end];
                        for (part, skipped) in [before, after].into_iter().zip(skipped) {
                            for (i, to) in part.chunks_exact_mut(stride).enumerate() {
                                let padding = self.zeros.of(row + skipped + i) as u8;
                                self.copy_taps(line, first + skipped + i, &mut to[at..at + run], padding);
                            }
                        }
                        let start = (first + inside.start) * w.stride[1];
                        let start = start.checked_add_signed(-w.padding[1]).unwrap_or(0) * w.channels;
                        copy_runs(line, start, w.stride[1] * w.channels, run, middle, at, stride);
                    }
                    Some(line) => {
                        for (i, to) in to.chunks_exact_mut(stride).enumerate() {
                            let padding = self.zeros.of(row + i) as u8;
                            self.copy_each(line, first + i, &mut to[at..at + run], padding);
                        }
                    }
                }
            }
            row += count;
        }
    }

    /// Which of the `count` windows of a line from `first` on lie within the image, counted from `first`.
    #[inline(always)]
    fn inside(&self, first: usize, count: usize) -> Range<usize> {
        let w = &self.window;
        let (stride, padding) = (w.stride[1] as isize, w.padding[1]);
        // The first window that does not begin left of the image, and the first that ends right of it.
        let start = (padding.max(0) + stride - 1) / stride;
        let last = w.input[1] as isize - w.kernel[1] as isize + padding;
        let end = if last < 0 { 0 } else { last / stride + 1 };
        let clip = |x: isize| (x - first as isize).clamp(0, count as isize) as usize;
        let start = clip(start);
        start..clip(end).max(start)
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

/// Copies runs of `len` bytes, `step` apart from `start` on, to place `at` of each of the rows in `to`, `stride` apart.
#[inline(always)]
fn copy_runs(from: &[u8], start: usize, step: usize, len: usize, to: &mut [u8], at: usize, stride: usize) {
    let count = to.len() / stride;
    if count == 0 || len == 0 {
        return;
    }
    assert!(start + (count - 1) * step + len <= from.len() && at + len <= stride);
    let (mut from, mut to) = (from[start..].as_ptr().cast::<i8>(), to[at..].as_mut_ptr().cast::<i8>());
    let mask = first((len - 1) % 64 + 1);
    let whole = (len - 1) / 64 * 64;
    for _ in 0..count {
        // SAFETY: the runs lie within both slices, as was checked, and the mask ends where a run does; the caller enables
        // the instructions.
        unsafe {
            for at in (0..whole).step_by(64) {
                _mm512_storeu_epi8(to.add(at), _mm512_loadu_epi8(from.add(at)));
            }
            _mm512_mask_storeu_epi8(to.add(whole), mask, _mm512_maskz_loadu_epi8(mask, from.add(whole)));
        }
        (from, to) = (from.wrapping_add(step), to.wrapping_add(stride));
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
