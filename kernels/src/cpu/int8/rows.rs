//! Where the rows of activations come from: a matrix, or the windows of an image.

use super::dot::PanelElement;
use super::strips::Strip;

/// The element of an activation tensor.
pub trait Activation: bytemuck::Pod + Send + Sync {
    /// How much signed numbers lie below the stored ones: what to take from a zero point.
    const OFFSET: i32;
    /// The stored number less [`Activation::OFFSET`].
    fn signed(self) -> i32;
    /// The element that stores `signed` plus [`Activation::OFFSET`].
    fn from_signed(signed: i32) -> Self;
    /// Whether the stored numbers have a sign.
    const SIGNED: bool = Self::OFFSET == 0;
}

macro_rules! activations {
    ($($T:ty: $offset:expr,)*) => {
        $(impl Activation for $T {
            const OFFSET: i32 = $offset;
            #[inline(always)]
            fn signed(self) -> i32 {
                i32::from(self) - $offset
            }
            #[inline(always)]
            fn from_signed(signed: i32) -> Self {
                (signed + $offset) as $T
            }
        })*
    };
}

activations! { i8: 0, u8: 128, i16: 0, }

/// A source of rows of activations.
pub trait Rows: Sync {
    /// [`Activation::OFFSET`] of the elements.
    const OFFSET: i32;
    /// Number of rows.
    fn count(&self) -> usize;
    /// The rows as they lie in memory, if they are bytes that do.
    fn raw(&self) -> Option<RawRows<'_>> {
        None
    }
    /// Writes a strip of image `image` for the output lines from `line` on, if the rows are windows of images.
    fn pack_strip<T: PanelElement>(
        &self,
        _strip: &Strip,
        _image: usize,
        _line: usize,
        _zero: i32,
        _to: &mut [T],
    ) {
    }
    /// The windows that the rows are, and their channels.
    fn windows(&self) -> Option<(&Window, usize)> {
        None
    }
    /// Writes row `row`, whose (signed) zero point is `zero`, in the format of packed tiles.
    fn pack<T: PanelElement>(&self, row: usize, zero: i32, to: &mut [T]);
}

/// Rows of bytes as they lie in memory.
#[derive(Copy, Clone, Debug)]
pub struct RawRows<'a> {
    /// The memory.
    pub bytes: &'a [u8],
    /// Whether the bytes have a sign.
    pub signed: bool,
    /// Where in it the rows lie.
    pub at: RawPlace,
}

/// Where rows lie.
#[derive(Copy, Clone, Debug)]
pub enum RawPlace {
    /// One after another, from the first byte on.
    Stride(usize),
    /// In the windows of images, see [`Patches`].
    Windows {
        /// Geometry.
        window: Window,
        /// First channel.
        first_channel: usize,
        /// Channels.
        channels: usize,
    },
}

fn raw_bytes<X: Activation>(data: &[X], at: RawPlace) -> Option<RawRows<'_>> {
    (size_of::<X>() == 1).then(|| RawRows { bytes: bytemuck::cast_slice(data), signed: X::SIGNED, at })
}

/// Converts a run of activations.
#[inline(always)]
pub(super) fn convert<X: Activation, T: PanelElement>(from: &[X], zero: i32, to: &mut [T]) {
    for (to, &x) in to.iter_mut().zip(from) {
        *to = T::pack(x.signed(), zero);
    }
}

/// The rows of a matrix.
#[derive(Copy, Clone, Debug)]
pub struct Dense<'a, X> {
    /// The elements.
    pub data: &'a [X],
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub depth: usize,
    /// Distance between rows.
    pub stride: usize,
}

impl<X: Activation> Rows for Dense<'_, X> {
    const OFFSET: i32 = X::OFFSET;

    fn count(&self) -> usize {
        self.rows
    }

    fn raw(&self) -> Option<RawRows<'_>> {
        raw_bytes(self.data, RawPlace::Stride(self.stride))
    }

    #[inline(always)]
    fn pack<T: PanelElement>(&self, row: usize, zero: i32, to: &mut [T]) {
        convert(&self.data[row * self.stride..][..self.depth], zero, to);
    }
}

/// The rows of a matrix whose columns lie one after another.
#[derive(Copy, Clone, Debug)]
pub struct Transposed<'a, X> {
    /// The elements.
    pub data: &'a [X],
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub depth: usize,
}

impl<X: Activation> Rows for Transposed<'_, X> {
    const OFFSET: i32 = X::OFFSET;

    fn count(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn pack<T: PanelElement>(&self, row: usize, zero: i32, to: &mut [T]) {
        for (k, to) in to[..self.depth].iter_mut().enumerate() {
            *to = T::pack(self.data[k * self.rows + row].signed(), zero);
        }
    }
}

/// The geometry of a convolution over images of shape `[batch, height, width, channels]`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Window {
    /// Images.
    pub batch: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Channels of the input.
    pub channels: usize,
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Height and width of the filter.
    pub kernel: [usize; 2],
    /// Distance between windows, down and right.
    pub stride: [usize; 2],
    /// Distance between the elements of a window, down and right.
    pub dilation: [usize; 2],
    /// Rows of padding above and columns of padding on the left; negative where windows start inside the image.
    pub padding: [isize; 2],
}

impl Window {
    /// The input row (`axis` 0) or column (`axis` 1) that tap `tap` of output `at` reads; `None` in the padding.
    #[inline(always)]
    pub fn source(&self, axis: usize, at: usize, tap: usize) -> Option<usize> {
        (at * self.stride[axis] + tap * self.dilation[axis])
            .checked_add_signed(-self.padding[axis])
            .filter(|&i| i < self.input[axis])
    }

    /// Whether every window is one pixel and they tile the image: the convolution is a matrix multiplication.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0] && self.input == self.output
    }

    /// Output pixels over all images.
    pub fn pixels(&self) -> usize {
        self.batch * self.output[0] * self.output[1]
    }
}

/// The windows of images, one row each, in the order `[kernel row, kernel column, channel]`.
#[derive(Copy, Clone, Debug)]
pub struct Patches<'a, X> {
    /// The images.
    pub data: &'a [X],
    /// Geometry.
    pub window: Window,
    /// First channel that is read.
    pub first_channel: usize,
    /// Channels that are read: those of a group.
    pub channels: usize,
}

impl<X: Activation> Rows for Patches<'_, X> {
    const OFFSET: i32 = X::OFFSET;

    fn count(&self) -> usize {
        self.window.pixels()
    }

    fn raw(&self) -> Option<RawRows<'_>> {
        let Self { window, first_channel, channels, .. } = *self;
        raw_bytes(self.data, RawPlace::Windows { window, first_channel, channels })
    }

    fn windows(&self) -> Option<(&Window, usize)> {
        Some((&self.window, self.channels))
    }

    #[inline(always)]
    fn pack_strip<T: PanelElement>(&self, strip: &Strip, image: usize, line: usize, zero: i32, to: &mut [T]) {
        strip.pack(self, image, line, zero, to);
    }

    #[inline(always)]
    fn pack<T: PanelElement>(&self, row: usize, zero: i32, to: &mut [T]) {
        let w = &self.window;
        let [height, width] = w.output;
        let (x, y, image) = (row % width, row / width % height, row / width / height);
        let pixels = w.input[0] * w.input[1];
        let image = &self.data[image * pixels * w.channels..][..pixels * w.channels];
        // Neighbouring taps of a filter row are neighbours in memory too, unless something lies between.
        let left = (x * w.stride[1]).checked_add_signed(-w.padding[1]);
        let inside = left.filter(|left| left + w.kernel[1] <= w.input[1]);
        let whole = inside.filter(|_| w.dilation[1] == 1 && self.channels == w.channels);
        let padding = T::pack(zero, zero);
        let row_len = w.kernel[1] * self.channels;
        for (ky, to) in to.chunks_exact_mut(row_len).take(w.kernel[0]).enumerate() {
            let Some(sy) = w.source(0, y, ky) else {
                to.fill(padding);
                continue;
            };
            if let Some(left) = whole {
                let at = (sy * w.input[1] + left) * w.channels;
                convert(&image[at..][..row_len], zero, to);
                continue;
            }
            for (kx, to) in to.chunks_exact_mut(self.channels).enumerate() {
                match w.source(1, x, kx) {
                    Some(sx) => {
                        let at = (sy * w.input[1] + sx) * w.channels + self.first_channel;
                        convert(&image[at..][..self.channels], zero, to);
                    }
                    None => to.fill(padding),
                }
            }
        }
    }
}
