//! Pooling of volumes: AvgPool3D, MaxPool3D.

use ferrolite_kernels::cpu::pool::{Average, Max};
use ferrolite_kernels::cpu::volume::{Window3d, pool3d};
use ferrolite_model::TensorType;
use ferrolite_model::options::Padding;

use crate::error::OpError;
use crate::families::linear::geometry::{Along, no_zeros};
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::same_types;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("AvgPool3D", infer, lower_average).types(same_types![Float32, Int8, Int16]),
    OpSpec::custom("MaxPool3D", infer, lower_max).types(same_types![Float32, Int8, Int16]),
];

/// The three inner sizes of an attribute that has one for each dimension of a volume.
fn inner(sizes: &[i64], name: &str) -> Result<[i32; 3], OpError> {
    let inner: Option<Vec<i32>> = match sizes {
        [1, inner @ .., 1] => inner.iter().map(|&n| i32::try_from(n).ok().filter(|&n| n > 0)).collect(),
        _ => None,
    };
    inner.and_then(|sizes| sizes.try_into().ok()).ok_or_else(|| {
        OpError::invalid(format!("the attribute '{name}' is {sizes:?}, not [1, depth, height, width, 1]"))
    })
}

fn window(node: &Node<'_>) -> Result<(Window3d, usize), OpError> {
    let attributes = node.attributes()?;
    if attributes.get("data_format").is_some() && attributes.text("data_format")? != "NDHWC" {
        return Err(OpError::unsupported("volumes are pooled with channels last: export the model as NDHWC"));
    }
    let padding = match attributes.text("padding")? {
        "SAME" => Padding::SAME,
        "VALID" => Padding::VALID,
        other => return Err(OpError::invalid(format!("the padding '{other}' is neither SAME nor VALID"))),
    };
    let kernel = inner(&attributes.ints("ksize")?, "ksize")?;
    let strides = inner(&attributes.ints("strides")?, "strides")?;
    let &[batch, depth, height, width, channels] = &node.shape(0)?[..] else {
        return Err(OpError::invalid(format!("pooling takes volumes of rank 5, not {}", node.shape(0)?)));
    };
    let input = [depth, height, width];
    no_zeros(&input, "volume")?;
    let mut window = Window3d { batch, input, kernel: kernel.map(|k| k as usize), ..Window3d::default() };
    for axis in 0..3 {
        let along = Along::new(input[axis], window.kernel[axis], strides[axis], 1, padding)?;
        window.output[axis] = along.count;
        window.stride[axis] = along.stride;
        window.dilation[axis] = along.dilation;
        window.before[axis] = along.before;
    }
    Ok((window, channels))
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (window, channels) = window(node)?;
    let [depth, height, width] = window.output;
    Ok(one(Shape::from([window.batch, depth, height, width, channels])))
}

/// Lowers `$Kind` for the type of the input. Quantized volumes are pooled as they are stored.
macro_rules! lower {
    ($node:ident, $Kind:ident, $name:literal) => {{
        let (window, channels) = window($node)?;
        let (input, output) = ($node.input(0)?.info, $node.output(0)?);
        if input.is_quantized() && output.is_quantized() && input.per_tensor()? != output.per_tensor()? {
            return Err(OpError::invalid(
                "pooling does not requantize: input and output must share scale and zero point",
            ));
        }
        macro_rules! kernel {
            ($T:ty) => {
                FnKernel::new($name, move |io, cx| {
                    let pooling = $Kind { low: <$T>::MIN, high: <$T>::MAX };
                    let (from, to) = (io.inputs.get::<$T>(0)?, io.outputs.get::<$T>(0)?);
                    Ok(pool3d(cx.par(), pooling, &window, channels, from, to)?)
                })
                .boxed()
            };
        }
        Ok(match $node.dtype(0)? {
            TensorType::Int8 => kernel!(i8),
            TensorType::Int16 => kernel!(i16),
            _ => kernel!(f32),
        })
    }};
}

fn lower_average(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    lower!(node, Average, "average_pool3d")
}

fn lower_max(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    lower!(node, Max, "max_pool3d")
}
