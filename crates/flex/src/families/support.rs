//! What several families share.

use ferrolite_kernels::scratch::ScratchSize;
use ferrolite_ops::{
    InferError, Inputs, Node, OpError, OutputShape, OutputShapes, Shape, TensorType, one, strings,
};

use crate::node_def::NodeDef;

/// The single output has the shape of input `I`.
pub fn like<const I: usize>(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(node.shape(I)?.clone()))
}

/// Shapes of an operator without outputs.
pub fn no_outputs(_: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(OutputShapes::new())
}

/// A scalar.
pub fn scalar(_: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Shape::scalar()))
}

/// Only running tells the shapes.
pub fn dynamic(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(node.outputs.iter().map(|_| OutputShape::Dynamic).collect())
}

/// The shape in integer input `i`.
///
/// # Errors
/// When its content is not known yet, or a dimension is negative.
pub fn shape_in(node: &Node<'_>, i: usize) -> Result<Shape, InferError> {
    let dims = node.ints(i)?.into_iter().map(usize::try_from).collect::<Result<Shape, _>>();
    dims.map_err(|_| OpError::invalid(format!("input {i} holds a negative dimension")).into())
}

/// The operator's name without the prefix.
pub fn tf_name<'a>(node: &Node<'a>) -> &'a str {
    match &node.operator.code {
        ferrolite_model::OpCode::Custom(name) => name.strip_prefix("Flex").unwrap_or(name),
        ferrolite_model::OpCode::Builtin(_) => "",
    }
}

/// Bytes of `len` floats of scratch memory.
pub fn floats(len: usize) -> usize {
    ScratchSize::new().with::<f32>(len).bytes()
}

/// Scratch memory as floats.
pub fn as_floats(scratch: &mut [u8]) -> &mut [f32] {
    bytemuck::cast_slice_mut(scratch)
}

/// The only number in an input, whatever its float or integer type.
///
/// # Errors
/// When the input holds another number of elements or another type.
pub fn number(inputs: &Inputs<'_>, i: usize) -> Result<f32, OpError> {
    let view = inputs.view(i)?;
    let first = match view.dtype {
        TensorType::Float32 => inputs.get::<f32>(i)?.first().copied(),
        TensorType::Float64 => inputs.get::<f64>(i)?.first().map(|&v| v as f32),
        TensorType::Int32 => inputs.get::<i32>(i)?.first().map(|&v| v as f32),
        TensorType::Int64 => inputs.get::<i64>(i)?.first().map(|&v| v as f32),
        other => return Err(OpError::unsupported(format!("input {i} is a number of type {other}"))),
    };
    first.ok_or_else(|| OpError::invalid(format!("input {i} holds no number")))
}

/// The elements of an integer input of 32 or 64 bits.
///
/// # Errors
/// When it has another type.
pub fn integers(inputs: &Inputs<'_>, i: usize) -> Result<Vec<i64>, OpError> {
    match inputs.view(i)?.dtype {
        TensorType::Int32 => Ok(inputs.get::<i32>(i)?.iter().map(|&v| i64::from(v)).collect()),
        TensorType::Int64 => Ok(inputs.get::<i64>(i)?.to_vec()),
        other => Err(OpError::invalid(format!("input {i} must hold integers, not {other}"))),
    }
}

/// The elements of an integer input as sizes or indices.
///
/// # Errors
/// When it has another type or one is negative.
pub fn sizes(inputs: &Inputs<'_>, i: usize) -> Result<Vec<usize>, OpError> {
    let all: Result<Vec<usize>, _> = integers(inputs, i)?.into_iter().map(usize::try_from).collect();
    all.map_err(|_| {
        OpError::runtime(format!("input {i} holds a negative number where a size or index is due"))
    })
}

/// The strings of an input.
///
/// # Errors
/// When it holds none, or their offsets leave the buffer.
pub fn texts<'a>(inputs: &Inputs<'a>, i: usize) -> Result<Vec<&'a [u8]>, OpError> {
    if inputs.view(i)?.dtype != TensorType::String {
        return Err(OpError::invalid(format!("input {i} must hold strings")));
    }
    strings::decode(inputs.bytes(i)?)
}

/// The only string of an input, as text.
///
/// # Errors
/// When there is not exactly one, or it is not UTF-8.
pub fn text<'a>(inputs: &Inputs<'a>, i: usize) -> Result<&'a str, OpError> {
    match texts(inputs, i)?.as_slice() {
        [one] => core::str::from_utf8(one).map_err(|_| OpError::runtime(format!("input {i} is no text"))),
        other => Err(OpError::runtime(format!("input {i} must be one string, not {}", other.len()))),
    }
}

/// Positions of a pooling or convolution along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub output: usize,
    pub pad_before: usize,
    pub pad_after: usize,
}

/// How an axis is padded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Padding {
    Same,
    Valid,
    /// Zeros before and after, by spatial axis.
    Explicit(Vec<(usize, usize)>),
}

impl Padding {
    /// The attributes `padding` and `explicit_paddings`, for the spatial axes of channels-last tensors.
    ///
    /// # Errors
    /// When they are none of the known kinds.
    pub fn of(def: &NodeDef) -> Result<Self, OpError> {
        match def.text("padding", "")? {
            "SAME" => Ok(Self::Same),
            "VALID" => Ok(Self::Valid),
            "EXPLICIT" => {
                let flat: Result<Vec<usize>, _> =
                    def.ints("explicit_paddings")?.iter().map(|&v| usize::try_from(v)).collect();
                let flat = flat.map_err(|_| OpError::invalid("an explicit padding is negative"))?;
                let pairs: Vec<(usize, usize)> = flat.chunks_exact(2).map(|p| (p[0], p[1])).collect();
                match pairs.as_slice() {
                    [_, spatial @ .., _] if flat.len().is_multiple_of(2) => {
                        Ok(Self::Explicit(spatial.to_vec()))
                    }
                    _ => Err(OpError::invalid("explicit paddings are a pair for each axis")),
                }
            }
            other => Err(OpError::unsupported(format!("the padding '{other}'"))),
        }
    }

    /// Output size and padding of spatial axis `index`; `reach` is how far the window spans.
    ///
    /// # Errors
    /// When an explicit padding has too few axes or sizes overflow.
    pub fn axis(&self, index: usize, input: usize, reach: usize, stride: usize) -> Result<Axis, OpError> {
        let (pad_before, pad_after) = match self {
            Self::Valid => (0, 0),
            Self::Explicit(pairs) => {
                *pairs.get(index).ok_or_else(|| OpError::invalid("too few explicit paddings"))?
            }
            Self::Same => {
                let output = input.div_ceil(stride);
                let total = output
                    .saturating_sub(1)
                    .checked_mul(stride)
                    .and_then(|n| n.checked_add(reach))
                    .ok_or_else(|| OpError::invalid("a window reaches beyond memory"))?
                    .saturating_sub(input);
                return Ok(Axis { output, pad_before: total / 2, pad_after: total - total / 2 });
            }
        };
        let padded = input.saturating_add(pad_before).saturating_add(pad_after);
        let output = padded.checked_sub(reach).map_or(0, |room| room / stride + 1);
        Ok(Axis { output, pad_before, pad_after })
    }
}

/// Refuses any layout of images but channels-last.
///
/// # Errors
/// On another layout.
pub fn check_channels_last(def: &NodeDef) -> Result<(), OpError> {
    match def.text("data_format", "NHWC")? {
        "NHWC" | "NDHWC" | "NWC" => Ok(()),
        other => Err(OpError::unsupported(format!(
            "the data format {other}: export the model with channels last, as TensorFlow's own CPU kernels need it"
        ))),
    }
}

/// The spatial part of an attribute with a number for each axis of a channels-last tensor: `1` for batch and channels.
///
/// # Errors
/// When the attribute has not `rank` positive numbers, or batch or channels have another than one. Left out, all are one.
pub fn spatial<const N: usize>(def: &NodeDef, name: &str) -> Result<[usize; N], OpError> {
    let sizes = def.sizes(name)?;
    if sizes.is_empty() {
        return Ok([1; N]);
    }
    match sizes.as_slice() {
        [1, spatial @ .., 1] => spatial.try_into().map_err(|_| ()),
        _ => Err(()),
    }
    .map_err(|()| OpError::unsupported(format!("'{name}' = {sizes:?}: only spatial axes may differ from 1")))
}

/// Dimensions of a tensor of rank `N`.
///
/// # Errors
/// When the rank is another.
pub fn dims<const N: usize>(shape: &Shape) -> Result<[usize; N], OpError> {
    shape.dims().try_into().map_err(|_| OpError::invalid(format!("a tensor of rank {N} is due, not {shape}")))
}

/// Two- or three-dimensional sizes as three-dimensional ones of depth 1.
pub fn volume<const N: usize>(sizes: [usize; N], depth: usize) -> [usize; 3] {
    let mut out = [depth; 3];
    out[3 - N..].copy_from_slice(&sizes);
    out
}

/// The only integer of an input, as a size or index.
///
/// # Errors
/// When there is not exactly one, or it is negative.
pub fn number_of(inputs: &Inputs<'_>, i: usize) -> Result<usize, OpError> {
    match sizes(inputs, i)?.as_slice() {
        [one] => Ok(*one),
        other => Err(OpError::invalid(format!("input {i} must be one number, not {}", other.len()))),
    }
}

/// Moves an index to the next element of a tensor.
pub fn advance(index: &mut [usize], shape: &[usize]) {
    for axis in (0..index.len()).rev() {
        index[axis] += 1;
        if index[axis] < shape[axis] {
            return;
        }
        index[axis] = 0;
    }
}
