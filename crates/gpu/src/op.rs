//! Reading a node: what a shader has to compute, or why no shader can.

use ferrolite_model::options::{
    ActivationFunctionType, AddOptionsT, Conv2DOptionsT, DepthwiseConv2DOptionsT, DivOptionsT,
    FullyConnectedOptionsT, LeakyReluOptionsT, MulOptionsT, Padding, Pool2DOptionsT, SoftmaxOptionsT,
    SubOptionsT,
};
use ferrolite_model::{BuiltinOperator, OpCode, TensorType};
use ferrolite_ops::{InferError, Node, OpError};
use ferrolite_plan::backend::BackendNode;

use crate::claimed::CLAIMED;
use crate::geometry::{Activation, Axis, Window, dims4, size, strides4};
use crate::moves;

/// What a node asks of the GPU.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// The same elements under another shape.
    Alias,
    /// Convolution; also dense layers, as one row of pixels.
    Conv(Window),
    /// Depthwise convolution.
    Depthwise(Window),
    /// Pooling.
    Pool { batch: u32, y: Axis, x: Axis, channels: u32, maximum: bool, activation: Activation },
    /// Two operands with broadcasting.
    Binary { op: u32, dims: [u32; 4], strides: [[u32; 4]; 2], activation: Activation },
    /// One operand.
    Unary { op: u32, total: u32, activation: Activation, alpha: f32 },
    /// Softmax over the innermost dimension.
    Softmax { rows: u32, len: u32, beta: f32 },
    /// Blocks moved from inputs into the output, after filling all its elements if a value and their number are given.
    Copy { fill: Option<(f32, u32)>, blocks: Vec<Block> },
}

/// A block of an input that moves to a place of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub input: usize,
    pub dims: [u32; 4],
    pub src_strides: [u32; 4],
    pub dst_strides: [u32; 4],
    pub src: u32,
    pub dst: u32,
}

/// Why a node stays on the CPU, for `describe()`.
pub(crate) type Refusal = String;

pub(crate) fn refusal(e: OpError) -> Refusal {
    e.message().to_owned()
}

/// Reads a node.
pub(crate) fn read(node: &BackendNode<'_>) -> Result<Op, Refusal> {
    let OpCode::Builtin(code) = node.node.operator.code else {
        return Err("custom operators run on the CPU".into());
    };
    if code.variant_name().is_none_or(|name| CLAIMED.binary_search(&name).is_err()) {
        return Err("there is no shader for it".into());
    }
    check_types(node)?;
    let n = &node.node;
    type B = BuiltinOperator;
    let has_epilogue = matches!(
        code,
        B::CONV_2D | B::DEPTHWISE_CONV_2D | B::FULLY_CONNECTED | B::ADD | B::SUB | B::MUL | B::DIV
    );
    if node.activation.is_some() && !has_epilogue {
        return Err("its shader has no place for the activation behind it".into());
    }
    let fused = node.activation.map(|fused| fused.operator().ok_or(format!("no shader applies {fused}")));
    let fused = fused.transpose()?;
    let own = |a: ActivationFunctionType| Activation::of(a, fused);
    match code {
        B::RESHAPE | B::SQUEEZE | B::EXPAND_DIMS => Ok(Op::Alias),
        B::CONV_2D => conv(n, fused),
        B::DEPTHWISE_CONV_2D => depthwise(n, fused),
        B::FULLY_CONNECTED => dense(n, fused),
        B::AVERAGE_POOL_2D | B::MAX_POOL_2D => pool(n, code == B::MAX_POOL_2D),
        B::MEAN => mean(n),
        B::ADD => binary(n, 0, own(n.options::<AddOptionsT>().map_err(refusal)?.fused_activation_function)?),
        B::SUB => binary(n, 1, own(n.options::<SubOptionsT>().map_err(refusal)?.fused_activation_function)?),
        B::MUL => binary(n, 2, own(n.options::<MulOptionsT>().map_err(refusal)?.fused_activation_function)?),
        B::DIV => binary(n, 3, own(n.options::<DivOptionsT>().map_err(refusal)?.fused_activation_function)?),
        B::MAXIMUM => binary(n, 4, Activation::NONE),
        B::MINIMUM => binary(n, 5, Activation::NONE),
        B::SQUARED_DIFFERENCE => binary(n, 6, Activation::NONE),
        B::PRELU => binary(n, 7, Activation::NONE),
        B::RELU | B::RELU6 | B::RELU_N1_TO_1 | B::RELU_0_TO_1 => {
            unary(n, 0, Activation::of_operator(code)?, 0.0)
        }
        B::LOGISTIC => unary(n, 1, Activation::NONE, 0.0),
        B::TANH => unary(n, 2, Activation::NONE, 0.0),
        B::HARD_SWISH => unary(n, 3, Activation::NONE, 0.0),
        B::EXP => unary(n, 4, Activation::NONE, 0.0),
        B::SQRT => unary(n, 5, Activation::NONE, 0.0),
        B::RSQRT => unary(n, 6, Activation::NONE, 0.0),
        B::NEG => unary(n, 7, Activation::NONE, 0.0),
        B::ABS => unary(n, 8, Activation::NONE, 0.0),
        B::SQUARE => unary(n, 9, Activation::NONE, 0.0),
        B::LEAKY_RELU => {
            let alpha = n.options::<LeakyReluOptionsT>().map_err(refusal)?.alpha;
            unary(n, 10, Activation::NONE, alpha)
        }
        B::SOFTMAX => softmax(n),
        B::PAD => moves::pad(n),
        B::CONCATENATION => moves::concatenation(n),
        B::TRANSPOSE => moves::transpose(n),
        B::SLICE => moves::slice(n),
        _ => Err("it is claimed, but nothing reads it".into()),
    }
}

/// Shaders compute in float32 and index with 32 bits; constants may be of any type, as lowering reads them.
fn check_types(node: &BackendNode<'_>) -> Result<(), Refusal> {
    let operands = || node.node.inputs.iter().flatten();
    let computed = || operands().filter(|o| o.value.is_none()).map(|o| o.info);
    for info in computed().chain(node.node.outputs) {
        if info.dtype != TensorType::Float32 {
            return Err(format!("shaders compute in FLOAT32, it has {}", info.dtype));
        }
        if info.shape.contains(&0) {
            return Err("a tensor has no elements".into());
        }
    }
    for info in operands().map(|o| o.info).chain(node.node.outputs) {
        size(info.shape.num_elements().map_err(refusal)?)?;
    }
    if computed().next().is_some() { Ok(()) } else { Err("it reads only constants".into()) }
}

/// The shape of a float32 input that is computed on the way, as NHWC.
fn picture(n: &Node<'_>, i: usize) -> Result<[usize; 4], Refusal> {
    let shape = n.shape(i).map_err(refusal)?;
    shape
        .as_ref()
        .try_into()
        .map_err(|_| format!("input {i} has {} dimensions instead of four", shape.rank()))
}

fn output_picture(n: &Node<'_>) -> Result<[usize; 4], Refusal> {
    let shape = &n.output(0).map_err(refusal)?.shape;
    shape
        .as_ref()
        .try_into()
        .map_err(|_| format!("the output has {} dimensions instead of four", shape.rank()))
}

fn constant_float(n: &Node<'_>, i: usize) -> Result<(), Refusal> {
    match n.optional(i) {
        Some(o) if o.value.is_none() => Err(format!("input {i} is computed, shaders want it constant")),
        Some(o) if o.info.dtype != TensorType::Float32 => {
            Err(format!("input {i} is {}, shaders want FLOAT32", o.info.dtype))
        }
        _ => Ok(()),
    }
}

fn conv(n: &Node<'_>, fused: Option<BuiltinOperator>) -> Result<Op, Refusal> {
    let options = n.options::<Conv2DOptionsT>().map_err(refusal)?;
    let ([batch, in_h, in_w, in_c], [_, out_h, out_w, out_c]) = (picture(n, 0)?, output_picture(n)?);
    let [_, k_h, k_w, filter_c] = picture(n, 1)?;
    constant_float(n, 1)?;
    constant_float(n, 2)?;
    if filter_c != in_c {
        return Err("it is a grouped convolution".into());
    }
    Ok(Op::Conv(Window {
        batch: size(batch)?,
        y: Axis::new(options.padding, in_h, out_h, k_h, options.stride_h, options.dilation_h_factor)?,
        x: Axis::new(options.padding, in_w, out_w, k_w, options.stride_w, options.dilation_w_factor)?,
        in_c: size(in_c)?,
        out_c: size(out_c)?,
        activation: Activation::of(options.fused_activation_function, fused)?,
    }))
}

fn depthwise(n: &Node<'_>, fused: Option<BuiltinOperator>) -> Result<Op, Refusal> {
    let options = n.options::<DepthwiseConv2DOptionsT>().map_err(refusal)?;
    let ([batch, in_h, in_w, in_c], [_, out_h, out_w, out_c]) = (picture(n, 0)?, output_picture(n)?);
    let [_, k_h, k_w, _] = picture(n, 1)?;
    constant_float(n, 1)?;
    constant_float(n, 2)?;
    if !out_c.is_multiple_of(in_c) {
        return Err("its output channels are no multiple of its input channels".into());
    }
    Ok(Op::Depthwise(Window {
        batch: size(batch)?,
        y: Axis::new(options.padding, in_h, out_h, k_h, options.stride_h, options.dilation_h_factor)?,
        x: Axis::new(options.padding, in_w, out_w, k_w, options.stride_w, options.dilation_w_factor)?,
        in_c: size(in_c)?,
        out_c: size(out_c)?,
        activation: Activation::of(options.fused_activation_function, fused)?,
    }))
}

fn dense(n: &Node<'_>, fused: Option<BuiltinOperator>) -> Result<Op, Refusal> {
    let options = n.options::<FullyConnectedOptionsT>().map_err(refusal)?;
    constant_float(n, 1)?;
    constant_float(n, 2)?;
    let [units, depth] = *n.shape(1).map_err(refusal)?.dims() else {
        return Err("its weights are no matrix".into());
    };
    let total = n.shape(0).map_err(refusal)?.num_elements().map_err(refusal)?;
    let rows = total.checked_div(depth).ok_or("its weights have no columns")?;
    let point = |len| Axis::new(Padding::VALID, len, len, 1, 1, 1);
    Ok(Op::Conv(Window {
        batch: 1,
        y: point(1)?,
        x: point(rows)?,
        in_c: size(depth)?,
        out_c: size(units)?,
        activation: Activation::of(options.fused_activation_function, fused)?,
    }))
}

fn pool(n: &Node<'_>, maximum: bool) -> Result<Op, Refusal> {
    let options = n.options::<Pool2DOptionsT>().map_err(refusal)?;
    let ([batch, in_h, in_w, channels], [_, out_h, out_w, _]) = (picture(n, 0)?, output_picture(n)?);
    let window = |w: i32| usize::try_from(w).map_err(|_| "a pooling window is negative");
    Ok(Op::Pool {
        batch: size(batch)?,
        y: Axis::new(options.padding, in_h, out_h, window(options.filter_height)?, options.stride_h, 1)?,
        x: Axis::new(options.padding, in_w, out_w, window(options.filter_width)?, options.stride_w, 1)?,
        channels: size(channels)?,
        maximum,
        activation: Activation::of(options.fused_activation_function, None)?,
    })
}

/// The mean over height and width is an average pool whose window is the picture.
fn mean(n: &Node<'_>) -> Result<Op, Refusal> {
    let [batch, in_h, in_w, channels] = picture(n, 0)?;
    let mut axes: Vec<i64> = known_ints(n, 1)?.into_iter().map(|a| if a < 0 { a + 4 } else { a }).collect();
    axes.sort_unstable();
    if axes != [1, 2] {
        return Err(format!("it reduces the axes {axes:?}, the shader height and width"));
    }
    Ok(Op::Pool {
        batch: size(batch)?,
        y: Axis::new(Padding::VALID, in_h, 1, in_h, 1, 1)?,
        x: Axis::new(Padding::VALID, in_w, 1, in_w, 1, 1)?,
        channels: size(channels)?,
        maximum: false,
        activation: Activation::NONE,
    })
}

pub(crate) fn known_ints(n: &Node<'_>, i: usize) -> Result<Vec<i64>, Refusal> {
    match n.ints(i) {
        Ok(ints) => Ok(ints.to_vec()),
        Err(InferError::NeedsValue(i)) => Err(format!("input {i} is computed, shaders want it constant")),
        Err(InferError::Op(e)) => Err(refusal(e)),
    }
}

fn binary(n: &Node<'_>, op: u32, activation: Activation) -> Result<Op, Refusal> {
    let dims = dims4(&n.output(0).map_err(refusal)?.shape)?;
    let mut strides = [[0; 4]; 2];
    for (i, strides) in strides.iter_mut().enumerate() {
        let operand = n.input(i).map_err(refusal)?;
        if operand.info.dtype != TensorType::Float32 {
            return Err(format!("input {i} is {}", operand.info.dtype));
        }
        let own = dims4(&operand.info.shape)?;
        for (axis, stride) in strides4(own).into_iter().enumerate() {
            strides[axis] = if own[axis] == 1 { 0 } else { stride };
        }
    }
    Ok(Op::Binary { op, dims, strides, activation })
}

fn unary(n: &Node<'_>, op: u32, activation: Activation, alpha: f32) -> Result<Op, Refusal> {
    let total = size(n.shape(0).map_err(refusal)?.num_elements().map_err(refusal)?)?;
    Ok(Op::Unary { op, total, activation, alpha })
}

fn softmax(n: &Node<'_>) -> Result<Op, Refusal> {
    let shape = n.shape(0).map_err(refusal)?;
    let len = shape.last().copied().ok_or("it has no dimension")?;
    let total = shape.num_elements().map_err(refusal)?;
    let beta = n.options::<SoftmaxOptionsT>().map_err(refusal)?.beta;
    Ok(Op::Softmax { rows: size(total / len.max(1))?, len: size(len)?, beta })
}

#[cfg(test)]
mod tests {
    use super::CLAIMED;

    #[test]
    fn claimed_operators_are_sorted_and_of_the_schema() {
        assert!(CLAIMED.is_sorted());
        let names = ferrolite_model::BuiltinOperator::ENUM_VALUES;
        for name in CLAIMED {
            assert!(names.iter().any(|op| op.variant_name() == Some(*name)), "{name}");
        }
    }
}
