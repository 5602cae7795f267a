//! Resizing images: RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR.
//!
//! Bilinear interpolation of 8-bit elements weighs in eleven fractional bits, of 16-bit ones in ten.

use ferrolite_kernels::cpu::movement::gather_rows;
use ferrolite_kernels::cpu::resize::{
    Corners, Fixed10, Fixed11, Float, Interpolation, ResizeShape, bilinear, nearest_positions,
};
use ferrolite_model::options::{ResizeBilinearOptionsT, ResizeNearestNeighborOptionsT};
use ferrolite_model::{BuiltinOperator, TensorType};

use super::moving::{Unit, each_type};
use crate::element::Element;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::RESIZE_BILINEAR, infer, lower_bilinear)
        .versions(4)
        .inputs(2, 2)
        .types(each_type!([Float32, UInt8, Int8, Int16](Int32))),
    OpSpec::builtin(BuiltinOperator::RESIZE_NEAREST_NEIGHBOR, infer, lower_nearest)
        .versions(4)
        .inputs(2, 2)
        .types(each_type!([Float32, Float16, BFloat16, Int32, UInt32, Int8, UInt8, Bool, Int16, UInt16](
            Int32
        ))),
];

/// The shapes of a resizing; the source of a result that is not empty has rows and columns.
fn geometry(node: &Node<'_>) -> Result<ResizeShape, InferError> {
    let shape = node.shape(0)?;
    let size = node.ints(1)?;
    let &[batch, height, width, channels] = &shape[..] else {
        return Err(OpError::invalid(format!("only images of rank 4 can be resized, not {shape}")).into());
    };
    let result: Option<Vec<usize>> =
        size.iter().map(|&d| usize::try_from(d).ok().filter(|&d| d > 0)).collect();
    let result = result.and_then(|r| <[usize; 2]>::try_from(r).ok()).ok_or_else(|| {
        OpError::invalid(format!("images are resized to a positive height and width, not {size:?}"))
    })?;
    if height == 0 || width == 0 {
        return Err(OpError::invalid(format!("an image without pixels, {shape}, cannot be resized")).into());
    }
    Ok(ResizeShape { batch, source: [height, width], result, channels })
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let ResizeShape { batch, result: [height, width], channels, .. } = geometry(node)?;
    Ok(one(Shape::from([batch, height, width, channels])))
}

fn lower_bilinear(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<ResizeBilinearOptionsT>()?;
    let corners = match (options.align_corners, options.half_pixel_centers) {
        (false, false) => Corners::Legacy,
        (true, false) => Corners::Align,
        (false, true) => Corners::HalfPixel,
        (true, true) => {
            return Err(OpError::invalid(
                "RESIZE_BILINEAR cannot both align corners and use pixel centers: choose one when converting",
            ));
        }
    };
    let shape = geometry(node)?;
    fn kernel<I>(name: &str, shape: ResizeShape, corners: Corners, cx: &LowerCx<'_>) -> Box<dyn Kernel>
    where
        I: Interpolation<Element: Element> + 'static,
    {
        let cpu = cx.cpu;
        let tables = bilinear::<I>(shape, corners);
        let visits = (shape.batch * shape.result[0] * shape.result[1] * shape.channels) as f64;
        FnKernel::new(format!("{name}_{}", cpu.name()), move |io, cx| {
            tables.run(cpu, cx.par(), io.inputs.get::<I::Element>(0)?, io.outputs.get::<I::Element>(0)?);
            Ok(())
        })
        .ops(6.0 * visits)
        .boxed()
    }
    Ok(match node.dtype(0)? {
        TensorType::Int8 => kernel::<Fixed11<i8>>("resize_bilinear_i8", shape, corners, cx),
        TensorType::UInt8 => kernel::<Fixed11<u8>>("resize_bilinear_u8", shape, corners, cx),
        TensorType::Int16 => kernel::<Fixed10<i16>>("resize_bilinear_i16", shape, corners, cx),
        _ => kernel::<Float>("resize_bilinear_f32", shape, corners, cx),
    })
}

fn lower_nearest(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = node.options::<ResizeNearestNeighborOptionsT>()?;
    let shape = geometry(node)?;
    let Unit::Bytes(element) = Unit::of(node.dtype(0)?)? else {
        return Err(OpError::unsupported(format!("{} images cannot be resized", node.dtype(0)?)));
    };
    let axis = |i: usize| {
        nearest_positions(options.align_corners, options.half_pixel_centers, shape.source[i], shape.result[i])
    };
    let (rows, columns) = (axis(0), axis(1));
    let [height, width] = shape.source;
    let pixel = shape.channels * element;
    Ok(FnKernel::new("resize_nearest", move |io, cx| {
        gather_rows(io.inputs.bytes(0)?, io.outputs.bytes(0)?, pixel, cx.par(), |i| {
            let (row, x) = (i / columns.len(), i % columns.len());
            let (image, y) = (row / rows.len(), row % rows.len());
            (image * height + rows[y]) * width + columns[x]
        });
        Ok(())
    })
    .boxed())
}
