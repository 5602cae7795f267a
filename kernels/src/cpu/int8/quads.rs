//! Depthwise convolution of bytes by the 8-bit dot products of AVX-512: four filter rows at a time.
//!
//! For an output row and sixteen channels, the input rows that four filter rows read are first transposed: each pixel
//! becomes a vector whose lanes hold the four bytes of one channel. An output pixel is then one dot product per filter
//! column (and four filter rows), on contiguous memory without borders, whatever the strides and dilations.

use core::arch::x86_64::*;

use super::pack::Bytes;
use super::rows::{Activation, Window};
use super::store::{RowSums, Store};
use crate::isa::{Avx512Vnni, Isa, IsaNarrow};
use crate::packing::{Lines, Packing};

/// Channels of a block.
const LANES: usize = 16;
/// Filter rows of a dot product.
const ROWS: usize = 4;

/// Filters as the dot products read them: block of channels, four filter rows, filter column, channel, row.
#[derive(Clone, Debug)]
pub(super) struct QuadFilters {
    kernel: [usize; 2],
    channels: usize,
    weights: Lines<i8>,
    /// The zero point of the weights on each tap, 0 behind the last filter row; of one block. Empty if it is zero.
    zeros: Vec<i8>,
    /// Sum of each channel's weights less their zero points.
    sums: Lines<i32>,
}

impl QuadFilters {
    /// Packs filters of one channel each, of shape `[kernel[0], kernel[1], channels]`, whose zero point as signed numbers is
    /// `zero`.
    pub(super) fn new(
        packing: Packing<'_>,
        kernel: [usize; 2],
        channels: usize,
        zero: i8,
        filter: Bytes<'_>,
    ) -> Self {
        let block = kernel[0].div_ceil(ROWS) * kernel[1] * LANES * ROWS;
        let at = |ky: usize, kx: usize| (ky / ROWS * kernel[1] + kx) * LANES * ROWS + ky % ROWS;
        let taps = || (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx)));
        // Channels of a tap are neighbours.
        let tap = |ky: usize, kx: usize| (ky * kernel[1] + kx) * channels;
        let weights = packing.lines(channels.div_ceil(LANES) * block, |weights| {
            for (ky, kx) in taps() {
                for (i, weights) in weights.chunks_exact_mut(block).enumerate() {
                    let lanes = weights[at(ky, kx)..].iter_mut().step_by(ROWS);
                    for (c, weight) in (i * LANES..channels).zip(lanes.take(LANES)) {
                        *weight = filter.get(tap(ky, kx) + c);
                    }
                }
            }
        });
        let mut zeros = vec![0; if zero == 0 { 0 } else { block }];
        if zero != 0 {
            for (ky, kx) in taps() {
                (0..LANES).for_each(|lane| zeros[at(ky, kx) + lane * ROWS] = zero);
            }
        }
        // Lanes without a channel are those of zeros.
        let sums = packing.lines(channels.next_multiple_of(LANES), |sums| {
            for (ky, kx) in taps() {
                for (c, sum) in sums[..channels].iter_mut().enumerate() {
                    *sum += i32::from(filter.get(tap(ky, kx) + c)) - i32::from(zero);
                }
            }
        });
        Self { kernel, channels, weights, zeros, sums }
    }

    /// Vectors of a channel block's filters.
    fn vectors(&self) -> usize {
        self.kernel[0].div_ceil(ROWS) * self.kernel[1]
    }
}

/// Columns of a transposed row.
fn columns(window: &Window) -> usize {
    (window.output[1].max(1) - 1) * window.stride[1] + (window.kernel[1] - 1) * window.dilation[1] + 1
}

/// Numbers of scratch that a [`QuadRow`] needs.
pub(super) fn scratch_len(window: &Window) -> usize {
    columns(window).saturating_mul(window.kernel[0].div_ceil(ROWS)).saturating_mul(LANES)
}

/// An output row, some blocks of channels of it.
pub(super) struct QuadRow<'a, X, E: ?Sized> {
    pub filters: &'a QuadFilters,
    pub x: &'a [X],
    /// The zero point as stored.
    pub zero: i32,
    pub window: &'a Window,
    pub bias: &'a [i32],
    pub store: &'a E,
    pub image: usize,
    pub row: usize,
    pub blocks: core::ops::Range<usize>,
}

impl<X: Activation, E: Store + ?Sized> QuadRow<'_, X, E> {
    /// Convolves; `buffer` has [`scratch_len`] numbers.
    pub(super) fn run(&self, vnni: Avx512Vnni, buffer: &mut [i32]) {
        assert_eq!(size_of::<X>(), 1, "dot products of bytes");
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { self.all_blocks(vnni, buffer) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    fn all_blocks(&self, vnni: Avx512Vnni, buffer: &mut [i32]) {
        let buffer = &mut buffer[..scratch_len(self.window)];
        for block in self.blocks.clone() {
            let first = block * LANES;
            let len = LANES.min(self.filters.channels - first);
            for (quad, buffer) in buffer.chunks_exact_mut(columns(self.window) * LANES).enumerate() {
                if len == LANES {
                    self.transpose::<false>(quad * ROWS, first, len, buffer);
                } else {
                    self.transpose::<true>(quad * ROWS, first, len, buffer);
                }
            }
            match (self.filters.kernel, self.filters.zeros.is_empty()) {
                ([1..=4, 3], true) => self.convolve::<3>(vnni, block, first, len, buffer),
                ([5..=8, 5], true) => self.convolve::<10>(vnni, block, first, len, buffer),
                _ => self.convolve_any(vnni, block, first, len, buffer),
            }
        }
    }

    /// The bytes that dot products take for the stored ones: unsigned, signed ones plus 128.
    fn flip(&self) -> i32 {
        if X::SIGNED { 0x8080_8080u32 as i32 } else { 0 }
    }

    /// Writes the rows that filter rows `ky..ky + ROWS` read, channels `first..first + len`, one vector per pixel.
    #[inline(always)]
    fn transpose<const PART: bool>(&self, ky: usize, first: usize, len: usize, buffer: &mut [i32]) {
        let w = self.window;
        let cols = columns(w);
        let row_len = w.input[1] * w.channels;
        let padding = [X::from_signed(self.zero - X::OFFSET); LANES];
        // A row outside of the image is the same pixel everywhere. So is one behind the filter, where weights are zero.
        let mut rows = [(padding.as_ptr().cast::<i8>(), 0); ROWS];
        for (i, row) in rows.iter_mut().enumerate().take(w.kernel[0] - ky) {
            if let Some(sy) = w.source(0, self.row, ky + i) {
                let line = &self.x[(self.image * w.input[0] + sy) * row_len..][..row_len];
                *row = (line[first..].as_ptr().cast(), w.channels);
            }
        }
        let mask: __mmask16 = if len == LANES { 0xffff } else { (1 << len) - 1 };
        // The first column is that many columns left of the image, or right of its edge.
        let left = (w.padding[1].max(0) as usize).min(cols);
        let skipped = (-w.padding[1]).max(0) as usize;
        let right = (left + w.input[1].saturating_sub(skipped)).min(cols);
        // SAFETY: the caller has the instructions (this is inlined into a function that enables them). Vectors are
        // written to whole chunks of the buffer; rows are read at pixels of the image, `len` channels from `first` on.
        unsafe {
            let flip = _mm512_set1_epi32(self.flip());
            let blank = {
                let pixel = _mm_loadu_si128(padding.as_ptr().cast());
                _mm512_xor_si512(_mm512_broadcast_i32x4(pixel), flip)
            };
            let across = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let within =
                _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
            let to = buffer[..cols * LANES].as_mut_ptr();
            for col in (0..left).chain(right..cols) {
                _mm512_storeu_si512(to.add(col * LANES).cast(), blank);
            }
            let mut at = rows.map(|(start, step)| start.wrapping_add(skipped * step));
            for col in left..right {
                macro_rules! pixel {
                    ($row:literal) => {
                        if PART {
                            _mm_maskz_loadu_epi8(mask, at[$row])
                        } else {
                            _mm_loadu_si128(at[$row].cast())
                        }
                    };
                }
                let x = _mm512_castsi128_si512(pixel!(0));
                let x = _mm512_mask_broadcast_i32x4(x, 0x00f0, pixel!(1));
                let x = _mm512_mask_broadcast_i32x4(x, 0x0f00, pixel!(2));
                let x = _mm512_mask_broadcast_i32x4(x, 0xf000, pixel!(3));
                let x = _mm512_xor_si512(x, flip);
                let x = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(across, x), within);
                _mm512_storeu_si512(to.add(col * LANES).cast(), x);
                for (at, (_, step)) in at.iter_mut().zip(&rows) {
                    *at = at.wrapping_add(*step);
                }
            }
        }
    }

    /// What sums of a block start from.
    #[inline(always)]
    fn start(&self, isa: impl Isa<I = __m512i>, first: usize) -> __m512i {
        let offset = if X::SIGNED { 128 } else { 0 };
        let rest = isa.mul_i32(isa.load_i32(&self.filters.sums[first..]), isa.splat_i32(self.zero + offset));
        isa.sub_i32(isa.load_i32(&self.bias[first..]), rest)
    }

    /// The block's weights.
    #[inline(always)]
    fn weights(&self, block: usize) -> &[i8] {
        let len = self.filters.vectors() * LANES * ROWS;
        &self.filters.weights[block * len..][..len]
    }

    /// A filter of `N` vectors, which stay in registers.
    #[inline(always)]
    fn convolve<const N: usize>(
        &self,
        vnni: Avx512Vnni,
        block: usize,
        first: usize,
        len: usize,
        buffer: &[i32],
    ) {
        let (isa, w) = (vnni.base(), self.window);
        let cols = columns(w);
        let start = self.start(isa, first);
        let columns = self.store.columns(isa, first);
        let packed = self.weights(block);
        let width = w.kernel[1];
        assert!(self.filters.vectors() == N && buffer.len() >= N / width * cols * LANES);
        let pixels = (self.image * w.output[0] + self.row) * w.output[1];
        // SAFETY: the caller has the instructions. `packed` has `N` vectors, the buffer `cols` for each row of quads:
        // the last output column's windows end there.
        unsafe {
            let (mut filters, mut offsets) = ([start; N], [0; N]);
            for (i, (filter, offset)) in filters.iter_mut().zip(&mut offsets).enumerate() {
                *filter = _mm512_loadu_si512(packed.as_ptr().add(i * LANES * ROWS).cast());
                *offset = (i / width * cols + i % width * w.dilation[1]) * LANES;
            }
            let pixels = (pixels, w.output[1]);
            let rows =
                PixelSums { from: buffer.as_ptr(), step: w.stride[1] * LANES, start, filters, offsets };
            self.store.store_rows(isa, columns, pixels, first, len, rows);
        }
    }

    /// Any filter, weights with or without a zero point.
    #[inline(always)]
    fn convolve_any(&self, vnni: Avx512Vnni, block: usize, first: usize, len: usize, buffer: &[i32]) {
        let (isa, w) = (vnni.base(), self.window);
        let cols = columns(w);
        let start = self.start(isa, first);
        let columns = self.store.columns(isa, first);
        let packed = self.weights(block);
        let width = w.kernel[1];
        let pixels = (self.image * w.output[0] + self.row) * w.output[1];
        for col in 0..w.output[1] {
            let (mut sums, mut zeros) = (start, isa.splat_i32(0));
            for (i, filter) in packed.chunks_exact(LANES * ROWS).enumerate() {
                let at = (i / width * cols + i % width * w.dilation[1] + col * w.stride[1]) * LANES;
                let x = isa.load_i32(&buffer[at..]);
                // SAFETY: the caller has the instructions; the slices have 64 bytes.
                unsafe {
                    sums = _mm512_dpbusd_epi32(sums, x, _mm512_loadu_si512(filter.as_ptr().cast()));
                    if let Some(zero) = self.filters.zeros.get(i * LANES * ROWS..(i + 1) * LANES * ROWS) {
                        zeros = _mm512_dpbusd_epi32(zeros, x, _mm512_loadu_si512(zero.as_ptr().cast()));
                    }
                }
            }
            self.store.store(isa, columns, pixels + col, first, len, isa.sub_i32(sums, zeros));
        }
    }
}

/// The sums of one output pixel after another.
struct PixelSums<const N: usize> {
    /// What the pixel's first tap reads.
    from: *const i32,
    /// Distance between pixels.
    step: usize,
    start: __m512i,
    filters: [__m512i; N],
    /// Distances of the taps.
    offsets: [usize; N],
}

impl<S: Isa<I = __m512i>, const N: usize> RowSums<S> for PixelSums<N> {
    #[inline(always)]
    fn next(&mut self, _: S) -> __m512i {
        let mut sums = self.start;
        for (&filter, &offset) in self.filters.iter().zip(&self.offsets) {
            // SAFETY: `QuadRow::convolve` makes these for as many pixels as the buffer has and where VNNI is enabled.
            unsafe {
                sums = _mm512_dpbusd_epi32(sums, _mm512_loadu_si512(self.from.add(offset).cast()), filter);
            }
        }
        self.from = self.from.wrapping_add(self.step);
        sums
    }
}
