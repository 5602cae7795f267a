//! Pooling: AVERAGE_POOL_2D, MAX_POOL_2D, L2_POOL_2D.
//!
//! Integer averages divide the sum by the number of elements and round halves away from zero; input and output share
//! scale and zero point, so that nothing is requantized.

use ferrolite_kernels::cpu::pool::{Average, L2, Max, PoolShape, Pooling, average_bytes, pool, pool_f32};
use ferrolite_kernels::isa::Cpu;
use ferrolite_kernels::par::Par;
use ferrolite_model::options::{ActivationFunctionType, Padding, Pool2DOptionsT};
use ferrolite_model::{BuiltinOperator, TensorType};

use super::linear::activation::{BoundRounding, real_range, stored_range};
use crate::element::Element;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::same_types;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::AVERAGE_POOL_2D, infer, lower_average)
        .versions(3)
        .types(same_types![Float32, Int8, UInt8, Int16]),
    OpSpec::builtin(BuiltinOperator::MAX_POOL_2D, infer, lower_max)
        .versions(3)
        .types(same_types![Float32, Int8, UInt8, Int16]),
    OpSpec::builtin(BuiltinOperator::L2_POOL_2D, infer, lower_l2).types(same_types![Float32]),
];

/// Windows along one axis: how many, and how many positions of padding in front of the first.
fn windows(dim: usize, filter: usize, stride: usize, padding: Padding) -> Result<(usize, usize), OpError> {
    match padding {
        Padding::SAME => {
            let count = dim.div_ceil(stride);
            let covered = count.saturating_sub(1).saturating_mul(stride).saturating_add(filter);
            Ok((count, covered.saturating_sub(dim) / 2))
        }
        Padding::VALID => Ok(((dim + 1).saturating_sub(filter).div_ceil(stride), 0)),
        other => Err(OpError::invalid(format!("{other:?} is no known padding"))),
    }
}

/// The shapes of a pooling and its fused activation.
fn geometry(node: &Node<'_>) -> Result<(PoolShape, ActivationFunctionType), OpError> {
    let options = node.options::<Pool2DOptionsT>()?;
    let shape = node.shape(0)?;
    let &[batch, in_height, in_width, channels] = &shape[..] else {
        return Err(OpError::invalid(format!("pooling takes images of rank 4, not {shape}")));
    };
    let positive = |v: i32, what: &str| {
        usize::try_from(v)
            .ok()
            .filter(|&v| v > 0)
            .ok_or_else(|| OpError::invalid(format!("the pooling's {what} is {v}, it must be at least 1")))
    };
    let filter_height = positive(options.filter_height, "filter height")?;
    let filter_width = positive(options.filter_width, "filter width")?;
    let stride_height = positive(options.stride_h, "vertical stride")?;
    let stride_width = positive(options.stride_w, "horizontal stride")?;
    let (out_height, pad_top) = windows(in_height, filter_height, stride_height, options.padding)?;
    let (out_width, pad_left) = windows(in_width, filter_width, stride_width, options.padding)?;
    let shape = PoolShape {
        batch,
        in_height,
        in_width,
        channels,
        out_height,
        out_width,
        filter_height,
        filter_width,
        stride_height,
        stride_width,
        pad_top,
        pad_left,
    };
    Ok((shape, options.fused_activation_function))
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (shape, _) = geometry(node)?;
    Ok(one(Shape::from([shape.batch, shape.out_height, shape.out_width, shape.channels])))
}

fn same_quantization(node: &Node<'_>) -> Result<(), OpError> {
    let (input, output) = (node.input(0)?.info.per_tensor(), node.output(0)?.per_tensor());
    match (input, output) {
        (Ok(input), Ok(output)) if input != output => Err(OpError::invalid(format!(
            "pooling does not requantize: input scale and zero point {input:?} must be the output's {output:?}"
        ))),
        _ => Ok(()),
    }
}

/// A function of the kernels that pools elements of type `T`.
type Run<T, P> = fn(Cpu, Par, P, &PoolShape, &[T], &mut [T]);

/// The kernel of one way to pool.
fn kernel<T: Element, P: Pooling<T> + 'static>(
    name: &'static str,
    run: Run<T, P>,
    pooling: P,
    shape: PoolShape,
    cx: &LowerCx<'_>,
) -> Box<dyn Kernel> {
    let cpu = cx.cpu;
    let visits = shape.result_len() as f64 * (shape.filter_height * shape.filter_width) as f64;
    FnKernel::new(format!("{name}_{}", cpu.name()), move |io, cx| {
        run(cpu, cx.par(), pooling, &shape, io.inputs.get::<T>(0)?, io.outputs.get::<T>(0)?);
        Ok(())
    })
    .ops(visits)
    .boxed()
}

/// Lowers `$Kind` for the type of the input.
macro_rules! lower_pool {
    ($node:ident, $cx:ident, $Kind:ident, $bytes:path, $name:literal) => {{
        let (shape, activation) = geometry($node)?;
        let output = $node.output(0)?;
        macro_rules! integer {
            ($T:ty, $run:path, $suffix:literal) => {{
                same_quantization($node)?;
                // Fits: the bounds are those of the output's type or narrower.
                let (low, high) = stored_range(activation, output, BoundRounding::Away)?;
                let (low, high) = (low as $T, high as $T);
                kernel::<$T, _>(concat!($name, $suffix), $run, $Kind { low, high }, shape, $cx)
            }};
        }
        Ok(match $node.dtype(0)? {
            TensorType::Int8 => integer!(i8, $bytes, "_i8"),
            TensorType::UInt8 => integer!(u8, $bytes, "_u8"),
            TensorType::Int16 => integer!(i16, pool, "_i16"),
            _ => {
                let (low, high) = real_range(activation);
                kernel::<f32, _>(concat!($name, "_f32"), pool_f32, $Kind { low, high }, shape, $cx)
            }
        })
    }};
}

fn lower_average(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    lower_pool!(node, cx, Average, average_bytes, "average_pool")
}

fn lower_max(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    lower_pool!(node, cx, Max, pool, "max_pool")
}

fn lower_l2(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (shape, activation) = geometry(node)?;
    let (low, high) = real_range(activation);
    Ok(kernel::<f32, _>("l2_pool_f32", pool_f32, L2 { low, high }, shape, cx))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{quantized_output, run, run_one, tensor};
    use super::*;

    fn options(padding: Padding, stride: i32, filter: i32) -> Pool2DOptionsT {
        Pool2DOptionsT {
            padding,
            stride_w: stride,
            stride_h: stride,
            filter_width: filter,
            filter_height: filter,
            ..Default::default()
        }
    }

    #[test]
    fn padding_does_not_count() {
        let image = [tensor(&[1, 3, 3, 1], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])];
        let got =
            run_one::<f32>(BuiltinOperator::AVERAGE_POOL_2D, options(Padding::SAME, 2, 2), &image).unwrap();
        assert_eq!(got, (Shape::from([1, 2, 2, 1]), vec![3.0, 4.5, 7.5, 9.0]));
        let got =
            run_one::<f32>(BuiltinOperator::MAX_POOL_2D, options(Padding::VALID, 1, 2), &image).unwrap();
        assert_eq!(got, (Shape::from([1, 2, 2, 1]), vec![5.0, 6.0, 8.0, 9.0]));
        let got = run_one::<f32>(BuiltinOperator::L2_POOL_2D, options(Padding::VALID, 1, 3), &image).unwrap();
        assert!((got.1[0] - (285.0f32 / 9.0).sqrt()).abs() < 1e-6, "{got:?}");
        for (stride, filter) in [(0, 2), (1, 0), (-1, 1)] {
            let got =
                run_one::<f32>(BuiltinOperator::MAX_POOL_2D, options(Padding::SAME, stride, filter), &image);
            assert!(got.is_err(), "stride {stride}, filter {filter}");
        }
    }

    #[test]
    fn activations_clamp_stored_values() {
        let image = [tensor(&[1, 1, 2, 1], &[-120i8, 120]).quantized(0.1, -10)];
        let relu6 = || Pool2DOptionsT {
            fused_activation_function: ActivationFunctionType::RELU6,
            ..options(Padding::SAME, 1, 1)
        };
        let got = run(
            BuiltinOperator::MAX_POOL_2D,
            relu6(),
            &image,
            &[quantized_output(TensorType::Int8, 0.1, -10)],
        );
        assert_eq!(got.unwrap()[0].elements::<i8>().unwrap(), [-10, 50]);
        let other = run(
            BuiltinOperator::MAX_POOL_2D,
            relu6(),
            &image,
            &[quantized_output(TensorType::Int8, 0.2, -10)],
        );
        assert!(other.is_err());
    }
}
