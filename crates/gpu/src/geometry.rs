//! Sizes and strides that several operators share.

use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::{ActivationFunctionType, Padding};
use ferrolite_ops::Shape;

/// What a step applies to its result before writing it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Activation {
    pub lo: f32,
    pub hi: f32,
    pub hard_swish: bool,
}

impl Activation {
    /// No change.
    pub const NONE: Self = Self::clamp(f32::NEG_INFINITY, f32::INFINITY);

    const fn clamp(lo: f32, hi: f32) -> Self {
        Self { lo, hi, hard_swish: false }
    }

    /// The operator's own activation, or else the one fused behind it.
    pub fn of(own: ActivationFunctionType, fused: Option<BuiltinOperator>) -> Result<Self, String> {
        match (own, fused) {
            (ActivationFunctionType::NONE, None) => Ok(Self::NONE),
            (ActivationFunctionType::NONE, Some(op)) => Self::of_operator(op),
            (ActivationFunctionType::RELU, None) => Ok(Self::clamp(0.0, f32::INFINITY)),
            (ActivationFunctionType::RELU6, None) => Ok(Self::clamp(0.0, 6.0)),
            (ActivationFunctionType::RELU_N1_TO_1, None) => Ok(Self::clamp(-1.0, 1.0)),
            (other, _) => {
                Err(format!("no shader applies the activation {}", other.variant_name().unwrap_or("?")))
            }
        }
    }

    /// An activation operator.
    pub fn of_operator(op: BuiltinOperator) -> Result<Self, String> {
        Ok(match op {
            BuiltinOperator::RELU => Self::clamp(0.0, f32::INFINITY),
            BuiltinOperator::RELU6 => Self::clamp(0.0, 6.0),
            BuiltinOperator::RELU_N1_TO_1 => Self::clamp(-1.0, 1.0),
            BuiltinOperator::RELU_0_TO_1 => Self::clamp(0.0, 1.0),
            BuiltinOperator::HARD_SWISH => Self { hard_swish: true, ..Self::NONE },
            other => return Err(format!("no shader applies {}", other.variant_name().unwrap_or("?"))),
        })
    }
}

/// Window, stride, dilation and padding along one axis of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub input: u32,
    pub output: u32,
    pub window: u32,
    pub stride: u32,
    pub dilation: u32,
    pub pad: u32,
}

impl Axis {
    pub fn new(
        padding: Padding,
        input: usize,
        output: usize,
        window: usize,
        stride: i32,
        dilation: i32,
    ) -> Result<Self, String> {
        let positive =
            |x: i32| u32::try_from(x).ok().filter(|&x| x > 0).ok_or("strides and dilations must be positive");
        let (stride, dilation) = (positive(stride)?, positive(dilation)?);
        let (input, output, window) = (size(input)?, size(output)?, size(window)?);
        let span = u64::from(output.saturating_sub(1)) * u64::from(stride)
            + u64::from(window.saturating_sub(1)) * u64::from(dilation)
            + 1;
        let pad = if padding == Padding::SAME { span.saturating_sub(u64::from(input)) / 2 } else { 0 };
        Ok(Self {
            input,
            output,
            window,
            stride,
            dilation,
            pad: u32::try_from(pad).map_err(|e| e.to_string())?,
        })
    }
}

/// A convolution's geometry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub batch: u32,
    pub y: Axis,
    pub x: Axis,
    pub in_c: u32,
    pub out_c: u32,
    pub activation: Activation,
}

impl Window {
    /// Positions of the filter's window.
    pub fn taps(&self) -> usize {
        usize_of(self.y.window) * usize_of(self.x.window)
    }

    /// Pixels of the output. Each has at least one element, so the number fits whenever the tensor's does.
    pub fn pixels(&self) -> u32 {
        self.batch * self.y.output * self.x.output
    }
}

/// A count of elements or bytes; `usize` has at least 32 bits wherever there is a GPU.
pub(crate) const fn usize_of(x: u32) -> usize {
    x as usize
}

/// A size that shaders can index with.
pub(crate) fn size(x: usize) -> Result<u32, String> {
    u32::try_from(x)
        .ok()
        .filter(|&x| x <= i32::MAX as u32)
        .ok_or_else(|| "the tensor is too large for a shader's indices".into())
}

/// A shape with exactly four dimensions, ones in front.
pub(crate) fn dims4(shape: &Shape) -> Result<[u32; 4], String> {
    if shape.rank() > 4 {
        return Err(format!("shaders address four dimensions, the tensor has {}", shape.rank()));
    }
    let mut dims = [1; 4];
    for (to, &from) in dims[4 - shape.rank()..].iter_mut().zip(shape.iter()) {
        *to = size(from)?;
    }
    size(shape.num_elements().map_err(|e| e.message().to_owned())?)?;
    Ok(dims)
}

/// Row-major strides in elements.
pub(crate) fn strides4(dims: [u32; 4]) -> [u32; 4] {
    [dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_split_with_the_odd_cell_behind() {
        let axis = Axis::new(Padding::SAME, 224, 112, 3, 2, 1).unwrap();
        assert_eq!(axis.pad, 0);
        let axis = Axis::new(Padding::SAME, 5, 5, 3, 1, 2).unwrap();
        assert_eq!(axis.pad, 2);
        assert_eq!(Axis::new(Padding::VALID, 5, 3, 3, 1, 1).unwrap().pad, 0);
        assert!(Axis::new(Padding::SAME, 5, 5, 3, 0, 1).is_err());
    }
}
