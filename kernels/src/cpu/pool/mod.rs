//! Pooling over windows of an image in NHWC layout.

mod bytes;
mod local_response;
mod window;

pub use bytes::average_bytes;
pub use local_response::{LocalResponse, local_response};
pub use window::{Average, L2, Max, Pooling, VectorPooling, pool, pool_f32};

/// The shapes of a pooling: an image of `in_height` by `in_width`, windows of `filter` elements `stride` apart, the
/// first of them starting `pad_top` above and `pad_left` left of the image. What lies outside of the image does not
/// count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Images.
    pub batch: usize,
    /// Rows of an image.
    pub in_height: usize,
    /// Columns of an image.
    pub in_width: usize,
    /// Channels, innermost.
    pub channels: usize,
    /// Rows of the result.
    pub out_height: usize,
    /// Columns of the result.
    pub out_width: usize,
    /// Rows of a window.
    pub filter_height: usize,
    /// Columns of a window.
    pub filter_width: usize,
    /// Rows between windows.
    pub stride_height: usize,
    /// Columns between windows.
    pub stride_width: usize,
    /// Rows of padding above the image.
    pub pad_top: usize,
    /// Columns of padding left of the image.
    pub pad_left: usize,
}

impl PoolShape {
    /// Elements of the source.
    #[must_use]
    pub fn source_len(&self) -> usize {
        self.batch * self.in_height * self.in_width * self.channels
    }

    /// Elements of the result.
    #[must_use]
    pub fn result_len(&self) -> usize {
        self.batch * self.out_height * self.out_width * self.channels
    }
}
