//! Windows of convolutions.

use ferrolite_kernels::cpu::float::conv::ConvShape;
use ferrolite_kernels::cpu::int8::rows::Window;
use ferrolite_model::options::Padding;

use crate::error::OpError;
use crate::shape::Shape;

/// The four dimensions of an image or filter tensor.
pub(super) fn rank4(shape: &Shape, what: &str) -> Result<[usize; 4], OpError> {
    <[usize; 4]>::try_from(&shape[..])
        .map_err(|_| OpError::invalid(format!("the {what} must have rank 4, its shape is {shape}")))
}

/// A stride or dilation as the options give it.
pub(in crate::families) fn positive(value: i32, what: &str) -> Result<usize, OpError> {
    usize::try_from(value)
        .ok()
        .filter(|&v| v > 0)
        .ok_or_else(|| OpError::invalid(format!("the {what} is {value}, it must be at least 1")))
}

/// Refuses dimensions of size zero, which a filter or an image to convolve cannot have.
pub(in crate::families) fn no_zeros(dims: &[usize], what: &str) -> Result<(), OpError> {
    if dims.contains(&0) {
        return Err(OpError::invalid(format!("the {what} {} has a dimension of size 0", Shape::new(dims))));
    }
    Ok(())
}

/// The most pixels a window may span along an axis; keeps products of sizes far from overflow.
const MOST_REACH: usize = 1 << 22;

/// Options that say where windows lie.
pub(super) struct Steps {
    pub padding: Padding,
    pub stride: [i32; 2],
    pub dilation: [i32; 2],
}

/// Windows along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::families) struct Along {
    /// How many there are.
    pub count: usize,
    /// Positions that the first one covers before the axis begins.
    pub before: usize,
    /// Distance of windows.
    pub stride: usize,
    /// Distance of taps.
    pub dilation: usize,
}

impl Along {
    /// Windows of `extent` taps over an axis of `size` positions.
    pub fn new(
        size: usize,
        extent: usize,
        stride: i32,
        dilation: i32,
        padding: Padding,
    ) -> Result<Self, OpError> {
        let stride = positive(stride, "stride")?;
        let dilation = positive(dilation, "dilation")?;
        let reach = extent
            .saturating_sub(1)
            .checked_mul(dilation)
            .and_then(|n| n.checked_add(1))
            .filter(|&n| n <= MOST_REACH)
            .ok_or_else(|| {
                OpError::unsupported(format!("the dilated filter spans more than {MOST_REACH} pixels"))
            })?;
        let (count, before) = match padding {
            Padding::SAME => {
                let count = size.div_ceil(stride);
                let covered = count.saturating_sub(1).saturating_mul(stride).saturating_add(reach);
                (count, covered.saturating_sub(size) / 2)
            }
            Padding::VALID => ((size + 1).saturating_sub(reach).div_ceil(stride), 0),
            other => return Err(OpError::invalid(format!("{other:?} is no known padding"))),
        };
        Ok(Self { count, before, stride, dilation })
    }
}

/// The windows of a `kernel` (height, width) over `[batch, height, width, channels]` images.
pub(super) fn window(image: [usize; 4], kernel: [usize; 2], steps: &Steps) -> Result<Window, OpError> {
    let [batch, height, width, channels] = image;
    no_zeros(&image[1..], "image")?;
    no_zeros(&kernel, "filter")?;
    let mut window = Window {
        batch,
        input: [height, width],
        channels,
        output: [0; 2],
        kernel,
        stride: [0; 2],
        dilation: [0; 2],
        padding: [0; 2],
    };
    for (axis, &extent) in kernel.iter().enumerate() {
        let along =
            Along::new(window.input[axis], extent, steps.stride[axis], steps.dilation[axis], steps.padding)?;
        window.output[axis] = along.count;
        window.stride[axis] = along.stride;
        window.dilation[axis] = along.dilation;
        window.padding[axis] = along.before as isize;
    }
    Ok(window)
}

/// The same windows for the float kernels.
pub(super) fn float_shape(window: &Window, outputs: usize, groups: usize) -> ConvShape {
    let [top, left] = window.padding.map(|p| p as usize);
    // As much below and on the right as the last window reaches.
    let after = |axis: usize| {
        let last = window.output[axis].saturating_sub(1) * window.stride[axis];
        (last + (window.kernel[axis] - 1) * window.dilation[axis] + 1)
            .saturating_sub(window.input[axis] + window.padding[axis] as usize)
    };
    ConvShape::conv2d(window.batch, window.input, window.channels, outputs, window.kernel)
        .stride(window.stride)
        .dilation(window.dilation)
        .pad([top, left, after(0), after(1)])
        .groups(groups)
}
