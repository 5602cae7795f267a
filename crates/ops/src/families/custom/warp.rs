//! Images read at places that move: DenseImageWarp, Resampler, TransformTensorBilinear (and its first version,
//! TransformTensor).

use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::same_types;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("DenseImageWarp", infer_warp, lower_warp).inputs(2, 2).types(same_types![Float32]),
    OpSpec::custom("Resampler", infer_resampler, lower_resampler).inputs(2, 2).types(same_types![Float32]),
    OpSpec::custom("TransformTensorBilinear", infer_transform, lower_transform)
        .versions_from(2, 2)
        .inputs(2, 2)
        .types(same_types![Float32]),
    OpSpec::custom("TransformTensor", infer_transform, lower_transform)
        .inputs(2, 2)
        .types(same_types![Float32]),
];

fn rank4(shape: &Shape) -> Result<[usize; 4], OpError> {
    <[usize; 4]>::try_from(&shape[..])
        .map_err(|_| OpError::invalid(format!("an image has rank 4, not the shape {shape}")))
}

/// Refuses a field that is not two numbers for every pixel of the image.
fn check_field(node: &Node<'_>) -> Result<[usize; 4], OpError> {
    let image = rank4(node.shape(0)?)?;
    let field = rank4(node.shape(1)?)?;
    if field[..3] != image[..3] || field[3] != 2 {
        return Err(OpError::invalid(format!(
            "the field {} must give two numbers for every pixel of {}",
            node.shape(1)?,
            node.shape(0)?
        )));
    }
    Ok(image)
}

fn infer_warp(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let [_, height, width, _] = check_field(node)?;
    if height < 2 || width < 2 {
        return Err(OpError::invalid(format!(
            "an image to warp has two rows and columns at least, not {height} by {width}"
        ))
        .into());
    }
    Ok(one(node.shape(0)?.clone()))
}

/// Every pixel is read at its own place less the flow `(y, x)`; places outside are moved to the edge.
fn lower_warp(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let [_, height, width, channels] = check_field(node)?;
    /// The pixel before a place, and how far the place is behind it.
    fn split(place: f32, size: usize) -> (usize, f32) {
        // The cast saturates, and the pixel behind is in the image too.
        let before = (place.floor() as i64).clamp(0, size as i64 - 2);
        (before as usize, (place - before as f32).clamp(0.0, 1.0))
    }
    Ok(FnKernel::new("dense_image_warp", move |io, cx| {
        let (input, flow) = (io.inputs.get::<f32>(0)?, io.inputs.get::<f32>(1)?);
        let row = width * channels;
        if row == 0 {
            return Ok(());
        }
        cx.par().chunks_mut(io.outputs.get::<f32>(0)?, row, |at, out| {
            let (batch, y) = (at / height, at % height);
            let image = &input[batch * height * row..][..height * row];
            for (x, pixel) in out.chunks_exact_mut(channels).enumerate() {
                let flow = &flow[(at * width + x) * 2..][..2];
                let (top, down) = split(y as f32 - flow[0], height);
                let (left, right) = split(x as f32 - flow[1], width);
                let read =
                    |dy: usize, dx: usize, c: usize| image[(top + dy) * row + (left + dx) * channels + c];
                for (c, out) in pixel.iter_mut().enumerate() {
                    let upper = right * (read(0, 1, c) - read(0, 0, c)) + read(0, 0, c);
                    let lower = right * (read(1, 1, c) - read(1, 0, c)) + read(1, 0, c);
                    *out = down * (lower - upper) + upper;
                }
            }
        });
        Ok(())
    })
    .boxed())
}

fn infer_resampler(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    check_field(node)?;
    Ok(one(node.shape(0)?.clone()))
}

/// A pixel of an image, zero outside.
fn read(image: &[f32], [height, width, channels]: [usize; 3], y: i64, x: i64, channel: usize) -> f32 {
    match (usize::try_from(y), usize::try_from(x)) {
        (Ok(y), Ok(x)) if y < height && x < width => image[(y * width + x) * channels + channel],
        _ => 0.0,
    }
}

/// Every pixel is read at the place `(x, y)` that the field names; what lies outside of the image is zero.
fn lower_resampler(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let [_, height, width, channels] = check_field(node)?;
    let dims = [height, width, channels];
    Ok(FnKernel::new("resampler", move |io, cx| {
        let (input, field) = (io.inputs.get::<f32>(0)?, io.inputs.get::<f32>(1)?);
        let row = width * channels;
        if row == 0 {
            return Ok(());
        }
        cx.par().chunks_mut(io.outputs.get::<f32>(0)?, row, |at, out| {
            let image = &input[at / height * height * row..][..height * row];
            for (i, pixel) in out.chunks_exact_mut(channels).enumerate() {
                let (x, y) = (field[(at * width + i) * 2], field[(at * width + i) * 2 + 1]);
                if !(x > -1.0 && y > -1.0 && x < width as f32 && y < height as f32) {
                    pixel.fill(0.0);
                    continue;
                }
                let (left, top) = (x.floor() as i64, y.floor() as i64);
                let (dx, dy) = ((left + 1) as f32 - x, (top + 1) as f32 - y);
                for (c, out) in pixel.iter_mut().enumerate() {
                    *out = dx * dy * read(image, dims, top, left, c)
                        + (1.0 - dx) * (1.0 - dy) * read(image, dims, top + 1, left + 1, c)
                        + dx * (1.0 - dy) * read(image, dims, top + 1, left, c)
                        + (1.0 - dx) * dy * read(image, dims, top, left + 1, c);
                }
            }
        });
        Ok(())
    })
    .boxed())
}

/// Height and width of the result, and whether places are pixel centres.
fn target(node: &Node<'_>) -> Result<([usize; 2], bool), OpError> {
    let attributes = node.attributes()?;
    if attributes.get("output_size").is_none() {
        return Ok(([attributes.positive("output_height")?, attributes.positive("output_width")?], true));
    }
    if attributes.get("mode").is_some() && attributes.text("mode")? != "bilinear" {
        return Err(OpError::unsupported("places between pixels are read bilinearly only"));
    }
    let sizes = attributes.ints("output_size")?;
    let positive = |&n: &i64| usize::try_from(n).ok().filter(|&n| n > 0);
    match sizes.iter().map(positive).collect::<Vec<_>>().as_slice() {
        &[Some(height), Some(width)] => Ok(([height, width], false)),
        _ => Err(OpError::invalid(format!("the attribute 'output_size' is {sizes:?}, not height and width"))),
    }
}

fn infer_transform(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let [batch, _, _, channels] = rank4(node.shape(0)?)?;
    let ([height, width], _) = target(node)?;
    if batch != 1 || node.shape(1)?.num_elements()? < 8 {
        let message = format!(
            "a transformation takes one image and a matrix of two rows of four at least, not {} and {}",
            node.shape(0)?,
            node.shape(1)?
        );
        return Err(OpError::invalid(message).into());
    }
    Ok(one(Shape::from([1, height, width, channels])))
}

/// Every pixel `(x, y, 0, 1)` of the result is read at the matrix's first two rows times it; places outside are zero.
fn lower_transform(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let [_, height, width, channels] = rank4(node.shape(0)?)?;
    let ([_, columns], centres) = target(node)?;
    let dims = [height, width, channels];
    Ok(FnKernel::new("transform_bilinear", move |io, cx| {
        let (image, matrix) = (io.inputs.get::<f32>(0)?, io.inputs.get::<f32>(1)?);
        let row = |i: usize| {
            let [a, b, _, mut shift] = [0, 1, 2, 3].map(|j| matrix[4 * i + j]);
            if centres {
                shift += (f64::from(a) * 0.5 + f64::from(b) * 0.5 - 0.5) as f32;
            }
            [a, b, shift]
        };
        let (along_x, along_y) = (row(0), row(1));
        if channels == 0 {
            return Ok(());
        }
        cx.par().chunks_mut(io.outputs.get::<f32>(0)?, columns * channels, |out_y, out| {
            for (out_x, pixel) in out.chunks_exact_mut(channels).enumerate() {
                let place = |[a, b, shift]: [f32; 3]| a * out_x as f32 + b * out_y as f32 + shift;
                let (x, y) = (place(along_x), place(along_y));
                let inside = x >= 0.0 && y >= 0.0 && x <= width as f32 - 1.0 && y <= height as f32 - 1.0;
                if !inside {
                    pixel.fill(0.0);
                    continue;
                }
                let (left, top) = (x.floor() as i64, y.floor() as i64);
                let (right, down) = (x - x.floor(), y - y.floor());
                for (c, out) in pixel.iter_mut().enumerate() {
                    let between = |y: i64| {
                        (1.0 - right) * read(image, dims, y, left, c)
                            + right * read(image, dims, y, left + 1, c)
                    };
                    *out = down * between(top + 1) + (1.0 - down) * between(top);
                }
            }
        });
        Ok(())
    })
    .boxed())
}
