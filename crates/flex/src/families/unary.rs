//! Functions of one and two numbers that TensorFlow Lite lacks.

use ferrolite_ops::{
    FnKernel, InferError, Kernel, LowerCx, Node, OpError, OpSpec, OutputShapes, Shape, one, same_types, types,
};

use ferrolite_ops::element::Bool;

use super::support::{advance, like, tf_name};

const fn unary(name: &'static str) -> OpSpec {
    OpSpec::custom(name, like::<0>, lower_unary).types(same_types![Float32])
}

const fn test(name: &'static str) -> OpSpec {
    OpSpec::custom(name, like::<0>, lower_test).types(types![(Float32) -> (Bool)])
}

const fn binary(name: &'static str) -> OpSpec {
    OpSpec::custom(name, infer_binary, lower_binary).inputs(2, 2).types(same_types![Float32])
}

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    unary("FlexSoftplus"),
    unary("FlexSoftsign"),
    unary("FlexSelu"),
    unary("FlexErf"),
    unary("FlexErfc"),
    unary("FlexExpm1"),
    unary("FlexLog1p"),
    unary("FlexReciprocal"),
    unary("FlexInv"),
    unary("FlexRint"),
    unary("FlexTan"),
    unary("FlexAsin"),
    unary("FlexAcos"),
    unary("FlexAtan"),
    unary("FlexSinh"),
    unary("FlexCosh"),
    unary("FlexAsinh"),
    unary("FlexAcosh"),
    unary("FlexAtanh"),
    unary("FlexLgamma"),
    test("FlexIsNan"),
    test("FlexIsInf"),
    test("FlexIsFinite"),
    binary("FlexXlogy"),
    binary("FlexXlog1py"),
    binary("FlexXdivy"),
    binary("FlexDivNoNan"),
    binary("FlexMulNoNan"),
    OpSpec::custom("FlexClipByValue", infer_clip, lower_clip).inputs(3, 3).types(same_types![Float32]),
];

fn unknown(name: &str) -> OpError {
    OpError::unsupported(format!("the function {name}"))
}

fn softplus(x: f32) -> f32 {
    // Beyond these the other summand is below half a unit in the last place.
    if x > 16.0 {
        x
    } else if x < -16.0 {
        libm::expf(x)
    } else {
        libm::log1pf(libm::expf(x))
    }
}

fn lower_unary(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let name = tf_name(node);
    let function: fn(f32) -> f32 = match name {
        "Softplus" => softplus,
        "Softsign" => |x| x / (1.0 + x.abs()),
        "Selu" => |x| if x > 0.0 { 1.050_701 * x } else { 1.758_099_3 * libm::expm1f(x) },
        "Erf" => libm::erff,
        "Erfc" => libm::erfcf,
        "Expm1" => libm::expm1f,
        "Log1p" => libm::log1pf,
        "Reciprocal" | "Inv" => |x| 1.0 / x,
        "Rint" => libm::rintf,
        "Tan" => libm::tanf,
        "Asin" => libm::asinf,
        "Acos" => libm::acosf,
        "Atan" => libm::atanf,
        "Sinh" => libm::sinhf,
        "Cosh" => libm::coshf,
        "Asinh" => libm::asinhf,
        "Acosh" => libm::acoshf,
        "Atanh" => libm::atanhf,
        "Lgamma" => libm::lgammaf,
        other => return Err(unknown(other)),
    };
    Ok(FnKernel::new(format!("f32_{name}"), move |io, _| {
        let x = io.inputs.get::<f32>(0)?;
        io.outputs.get::<f32>(0)?.iter_mut().zip(x).for_each(|(out, &x)| *out = function(x));
        Ok(())
    })
    .boxed())
}

fn lower_test(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let name = tf_name(node);
    let function: fn(f32) -> bool = match name {
        "IsNan" => f32::is_nan,
        "IsInf" => f32::is_infinite,
        "IsFinite" => f32::is_finite,
        other => return Err(unknown(other)),
    };
    Ok(FnKernel::new(format!("f32_{name}"), move |io, _| {
        let x = io.inputs.get::<f32>(0)?;
        io.outputs.get::<Bool>(0)?.iter_mut().zip(x).for_each(|(out, &x)| *out = Bool::from(function(x)));
        Ok(())
    })
    .boxed())
}

fn infer_binary(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(node.shape(0)?.broadcast(node.shape(1)?)?))
}

/// The element of a tensor of shape `from` that meets element `index` of its broadcast.
fn source(index: &[usize], from: &Shape) -> usize {
    let skip = index.len() - from.rank();
    from.iter().zip(&index[skip..]).fold(0, |at, (&dim, &i)| at * dim + if dim == 1 { 0 } else { i })
}

fn lower_binary(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let name = tf_name(node);
    let function: fn(f32, f32) -> f32 = match name {
        // A zero in front wins over whatever follows.
        "Xlogy" => |x, y| if x == 0.0 { 0.0 } else { x * libm::logf(y) },
        "Xlog1py" => |x, y| if x == 0.0 { 0.0 } else { x * libm::log1pf(y) },
        "Xdivy" => |x, y| if x == 0.0 { 0.0 } else { x / y },
        "DivNoNan" => |x, y| if y == 0.0 { 0.0 } else { x / y },
        "MulNoNan" => |x, y| if y == 0.0 { 0.0 } else { x * y },
        other => return Err(unknown(other)),
    };
    let (a, b, shape) = (node.shape(0)?.clone(), node.shape(1)?.clone(), node.output(0)?.shape.clone());
    Ok(FnKernel::new(format!("f32_{name}"), move |io, _| {
        let (x, y) = (io.inputs.get::<f32>(0)?, io.inputs.get::<f32>(1)?);
        let mut index = vec![0usize; shape.rank()];
        for out in io.outputs.get::<f32>(0)? {
            *out = function(x[source(&index, &a)], y[source(&index, &b)]);
            advance(&mut index, &shape);
        }
        Ok(())
    })
    .boxed())
}

fn infer_clip(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?.broadcast(node.shape(1)?)?;
    Ok(one(shape.broadcast(node.shape(2)?)?))
}

/// Inputs: numbers, least, greatest; bounds may be scalars or broadcast.
fn lower_clip(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let [x, low, high] = [0, 1, 2].map(|i| node.shape(i).cloned());
    let (x, low, high, shape) = (x?, low?, high?, node.output(0)?.shape.clone());
    Ok(FnKernel::new("f32_ClipByValue", move |io, _| {
        let [xs, lows, highs] = [0, 1, 2].map(|i| io.inputs.get::<f32>(i));
        let (xs, lows, highs) = (xs?, lows?, highs?);
        let mut index = vec![0usize; shape.rank()];
        for out in io.outputs.get::<f32>(0)? {
            let (low, high) = (lows[source(&index, &low)], highs[source(&index, &high)]);
            *out = xs[source(&index, &x)].min(high).max(low);
            advance(&mut index, &shape);
        }
        Ok(())
    })
    .boxed())
}
