//! Pooling that remembers where its elements came from, and its inverse: MaxPoolingWithArgmax2D and MaxUnpooling2D as
//! MediaPipe defines them, MaxPoolWithArgmax and MaxUnpooling2D as TensorFlow Lite's perception operators do.
//!
//! MediaPipe's positions are floats that count within the window; TensorFlow Lite's are integers that count within the image.

use ferrolite_model::TensorType;
use ferrolite_model::options::Padding;

use super::structs::PoolStruct;
use crate::error::OpError;
use crate::families::linear::activation::real_range;
use crate::families::linear::geometry::{Along, positive};
use crate::io::Inputs;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::types;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("MaxPoolingWithArgmax2D", infer_pool, lower_pool)
        .outputs(2, 2)
        .types(types![(Float32) -> (Float32)]),
    OpSpec::custom("MaxPoolWithArgmax", infer_pool, lower_pool)
        .outputs(2, 2)
        .types(types![(Float32) -> (Float32, Int32)]),
    OpSpec::custom("MaxUnpooling2D", infer_unpool, lower_unpool)
        .inputs(2, 2)
        .types(types![(Float32, Float32) -> (Float32), (Float32, Int32) -> (Float32)]),
];

/// The two inner sizes of an attribute that has one for each dimension of an image.
fn inner(sizes: &[i64], name: &str) -> Result<[i32; 2], OpError> {
    let bad = || OpError::invalid(format!("the attribute '{name}' is {sizes:?}, not [1, height, width, 1]"));
    match sizes {
        [1, height, width, 1] => {
            Ok([i32::try_from(*height).map_err(|_| bad())?, i32::try_from(*width).map_err(|_| bad())?])
        }
        _ => Err(bad()),
    }
}

/// The settings of a pooling: a structure of MediaPipe's, or TensorFlow Lite's attributes.
fn settings(node: &Node<'_>) -> Result<PoolStruct, OpError> {
    if node.output(1)?.dtype != TensorType::Int32 {
        return PoolStruct::read(node);
    }
    let attributes = node.attributes()?;
    if attributes.bool_or("include_batch_in_index", false)? {
        return Err(OpError::unsupported(
            "positions that count the batch are not supported: leave the batch out",
        ));
    }
    let padding = match attributes.text("padding")? {
        "SAME" => Padding::SAME,
        "VALID" => Padding::VALID,
        other => return Err(OpError::invalid(format!("the padding '{other}' is neither SAME nor VALID"))),
    };
    Ok(PoolStruct {
        padding,
        stride: inner(&attributes.ints("strides")?, "strides")?,
        filter: inner(&attributes.ints("ksize")?, "ksize")?,
        activation: ferrolite_model::options::ActivationFunctionType::NONE,
    })
}

fn image(shape: &Shape) -> Result<[usize; 4], OpError> {
    <[usize; 4]>::try_from(&shape[..])
        .map_err(|_| OpError::invalid(format!("pooling takes images of rank 4, not {shape}")))
}

/// The windows of an axis.
#[derive(Clone, Copy)]
struct Axis {
    size: usize,
    filter: usize,
    along: Along,
}

fn axes(shape: &Shape, settings: &PoolStruct) -> Result<[Axis; 2], OpError> {
    let [_, height, width, _] = image(shape)?;
    let axis = |i: usize, size: usize| -> Result<Axis, OpError> {
        let filter = positive(settings.filter[i], "filter")?;
        Ok(Axis { size, filter, along: Along::new(size, filter, settings.stride[i], 1, settings.padding)? })
    };
    Ok([axis(0, height)?, axis(1, width)?])
}

fn infer_pool(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    let [y, x] = axes(shape, &settings(node)?)?;
    let [batch, _, _, channels] = image(shape)?;
    let pooled = Shape::from([batch, y.along.count, x.along.count, channels]);
    Ok([pooled.clone(), pooled].into_iter().map(OutputShape::Known).collect())
}

impl Axis {
    /// Taps of a window that lie in the image, with their positions.
    fn taps(self, window: usize) -> impl Iterator<Item = (usize, usize)> {
        let start = window * self.along.stride;
        let inside = move |tap: usize| (start + tap).checked_sub(self.along.before).map(|at| (tap, at));
        (0..self.filter).filter_map(inside).filter(move |&(_, at)| at < self.size)
    }
}

fn lower_pool(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let settings = settings(node)?;
    let shape = node.shape(0)?;
    let [y_axis, x_axis] = axes(shape, &settings)?;
    let [_, height, width, channels] = image(shape)?;
    let in_window = node.output(1)?.dtype == TensorType::Float32;
    let (low, high) = real_range(settings.activation);
    let (rows, columns) = (y_axis.along.count, x_axis.along.count);
    Ok(FnKernel::new("max_pool_argmax", move |io, _| {
        let input = io.inputs.get::<f32>(0)?;
        for at in 0..io.outputs.get::<f32>(0)?.len() {
            let (channel, pixel) = (at % channels, at / channels);
            let (batch, y, x) = (pixel / columns / rows, pixel / columns % rows, pixel % columns);
            let image = &input[batch * height * width * channels..][..height * width * channels];
            let (mut most, mut tap, mut place) = (f32::MIN, 0, 0);
            for (tap_y, from_y) in y_axis.taps(y) {
                for (tap_x, from_x) in x_axis.taps(x) {
                    let position = from_y * width + from_x;
                    let element = image[position * channels + channel];
                    if element > most {
                        (most, tap, place) = (element, tap_y * x_axis.filter + tap_x, position);
                    }
                }
            }
            io.outputs.get::<f32>(0)?[at] = most.clamp(low, high);
            if in_window {
                // A tenth more, so that cutting the fraction off gives the number whatever rounding does to it.
                io.outputs.get::<f32>(1)?[at] = tap as f32 + 0.1;
            } else {
                io.outputs.get::<i32>(1)?[at] = (place * channels + channel) as i32;
            }
        }
        Ok(())
    })
    .boxed())
}

/// The unpooled image's height and width, and, where positions count within windows, the padding before it.
fn unpooled(node: &Node<'_>) -> Result<([usize; 2], [usize; 2]), OpError> {
    let settings = PoolStruct::read(node)?;
    let [_, height, width, _] = image(node.shape(0)?)?;
    if node.shape(1)? != node.shape(0)? {
        return Err(OpError::invalid(format!(
            "positions of shape {} do not belong to elements of shape {}",
            node.shape(1)?,
            node.shape(0)?
        )));
    }
    let in_window = node.dtype(1)? == TensorType::Float32;
    let mut result = ([0; 2], [0; 2]);
    for (axis, size) in [height, width].into_iter().enumerate() {
        let (filter, stride) =
            (positive(settings.filter[axis], "filter")?, positive(settings.stride[axis], "stride")?);
        let covered = size.saturating_sub(1).checked_mul(stride).and_then(|n| n.checked_add(filter));
        let grown = if in_window {
            size.checked_mul(filter)
        } else if settings.padding == Padding::SAME {
            size.checked_mul(stride)
        } else {
            covered
        };
        let (Some(covered), Some(grown)) = (covered, grown) else {
            return Err(OpError::invalid("the unpooled image is larger than memory"));
        };
        result.0[axis] = grown;
        result.1[axis] = covered.saturating_sub(grown) / 2;
    }
    Ok(result)
}

fn infer_unpool(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let ([height, width], _) = unpooled(node)?;
    let [batch, _, _, channels] = image(node.shape(0)?)?;
    Ok(one(Shape::from([batch, height, width, channels])))
}

fn lower_unpool(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let ([height, width], before) = unpooled(node)?;
    let [_, rows, columns, channels] = image(node.shape(0)?)?;
    let settings = PoolStruct::read(node)?;
    let (stride, filter_width) = (settings.stride.map(|s| s as usize), settings.filter[1] as usize);
    let in_window = node.dtype(1)? == TensorType::Float32;
    let outside = move |at: usize| {
        OpError::runtime(format!(
            "the position of element {at} is outside of an image of {height} by {width}"
        ))
    };
    let place = move |inputs: &Inputs<'_>, at: usize| -> Result<Option<usize>, OpError> {
        if !in_window {
            return Ok(usize::try_from(inputs.get::<i32>(1)?[at]).ok());
        }
        let Ok(tap) = usize::try_from(inputs.get::<f32>(1)?[at] as i64) else { return Ok(None) };
        let (pixel, channel) = (at / channels, at % channels);
        let window = [pixel / columns % rows, pixel % columns];
        let taps = [tap / filter_width, tap % filter_width];
        let [y, x]: [Option<usize>; 2] = core::array::from_fn(|axis| {
            (window[axis] * stride[axis]).checked_add(taps[axis])?.checked_sub(before[axis])
        });
        let inside = y.zip(x).filter(|&(y, x)| y < height && x < width);
        Ok(inside.map(|(y, x)| (y * width + x) * channels + channel))
    };
    Ok(FnKernel::new("max_unpool", move |io, _| {
        let input = io.inputs.get::<f32>(0)?;
        let (from, to) = (rows * columns * channels, height * width * channels);
        let out = io.outputs.get::<f32>(0)?;
        out.fill(0.0);
        for (at, &element) in input.iter().enumerate() {
            let place = place(&io.inputs, at)?.filter(|&p| p < to).ok_or_else(|| outside(at))?;
            out[at / from * to + place] = element;
        }
        Ok(())
    })
    .boxed())
}
