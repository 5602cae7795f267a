//! Sizes of convolutions.

use crate::error::ShapeError;

/// Sizes of a convolution of `[batch, depth, height, width, in_channels]`; two-dimensional ones have depth 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Images.
    pub batch: usize,
    /// Depth, height and width of the input.
    pub input: [usize; 3],
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Depth, height and width of the filter.
    pub kernel: [usize; 3],
    /// Steps between filter positions.
    pub stride: [usize; 3],
    /// Steps between filter taps.
    pub dilation: [usize; 3],
    /// Zeros before the input along each axis.
    pub pad_before: [usize; 3],
    /// Zeros after the input along each axis.
    pub pad_after: [usize; 3],
    /// Groups the channels are divided in; each output channel sees the input channels of its group.
    pub groups: usize,
}

impl ConvShape {
    /// A two-dimensional convolution with stride and dilation one, no padding and one group; change what differs.
    pub fn conv2d(
        batch: usize,
        input: [usize; 2],
        in_channels: usize,
        out_channels: usize,
        kernel: [usize; 2],
    ) -> Self {
        Self {
            batch,
            input: [1, input[0], input[1]],
            in_channels,
            out_channels,
            kernel: [1, kernel[0], kernel[1]],
            stride: [1; 3],
            dilation: [1; 3],
            pad_before: [0; 3],
            pad_after: [0; 3],
            groups: 1,
        }
    }

    /// Sets the strides of height and width.
    pub fn stride(mut self, stride: [usize; 2]) -> Self {
        self.stride = [1, stride[0], stride[1]];
        self
    }

    /// Sets the dilations of height and width.
    pub fn dilation(mut self, dilation: [usize; 2]) -> Self {
        self.dilation = [1, dilation[0], dilation[1]];
        self
    }

    /// Sets the padding at the top, left, bottom and right.
    pub fn pad(mut self, [top, left, bottom, right]: [usize; 4]) -> Self {
        self.pad_before = [0, top, left];
        self.pad_after = [0, bottom, right];
        self
    }

    /// Sets the number of groups.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Depth, height and width of the output: zero along an axis the filter does not fit in.
    ///
    /// # Errors
    /// If a stride, a dilation or the number of groups is zero, or channels do not divide into groups.
    pub fn output(&self) -> Result<[usize; 3], ShapeError> {
        let mut output = [0; 3];
        for axis in 0..3 {
            ShapeError::check_at_least("stride", 1, self.stride[axis])?;
            ShapeError::check_at_least("dilation", 1, self.dilation[axis])?;
            let reach =
                self.kernel[axis].saturating_sub(1).saturating_mul(self.dilation[axis]).saturating_add(1);
            let padded =
                self.input[axis].saturating_add(self.pad_before[axis]).saturating_add(self.pad_after[axis]);
            output[axis] = padded.checked_sub(reach).map_or(0, |room| room / self.stride[axis] + 1);
        }
        ShapeError::check_at_least("groups", 1, self.groups)?;
        ShapeError::check("input channels beyond whole groups", 0, self.in_channels % self.groups)?;
        ShapeError::check("output channels beyond whole groups", 0, self.out_channels % self.groups)?;
        Ok(output)
    }

    /// Filter positions.
    pub(crate) fn taps(&self) -> usize {
        product(&self.kernel)
    }
}

/// The product of sizes, the greatest number if it overflows: no slice is that long.
pub(crate) fn product(sizes: &[usize]) -> usize {
    sizes.iter().fold(1, |product: usize, &size| product.saturating_mul(size))
}
