//! Every operator that has a shader, against the CPU.

mod support;

use ferrolite_model::BuiltinOperator as B;
use ferrolite_model::options::{
    ActivationFunctionType as A, AddOptionsT, ConcatenationOptionsT, Conv2DOptionsT, DepthwiseConv2DOptionsT,
    DivOptionsT, FullyConnectedOptionsT, LeakyReluOptionsT, MulOptionsT, Options, Padding, Pool2DOptionsT,
    ReducerOptionsT, SoftmaxOptionsT, SubOptionsT,
};
use support::{Arg, Net, device, difference};

struct Case {
    name: &'static str,
    code: B,
    args: Vec<Arg>,
    options: Options,
    /// Range of all made-up numbers.
    range: (f32, f32),
    /// An activation operator behind it, which planning fuses where it can.
    then: Option<B>,
}

fn case(
    name: &'static str,
    code: B,
    args: impl IntoIterator<Item = Arg>,
    options: impl Into<Options>,
) -> Case {
    Case {
        name,
        code,
        args: args.into_iter().collect(),
        options: options.into(),
        range: (-2.0, 2.0),
        then: None,
    }
}

impl Case {
    fn range(self, low: f32, high: f32) -> Self {
        Self { range: (low, high), ..self }
    }

    fn then(self, activation: B) -> Self {
        Self { then: Some(activation), ..self }
    }
}

fn input(shape: &[usize]) -> Arg {
    Arg::Input(shape.to_vec())
}

fn constant(shape: &[usize]) -> Arg {
    Arg::Constant(shape.to_vec())
}

fn check(cases: Vec<Case>) {
    let Some(device) = device() else { return };
    let run = |case: &Case| -> Result<(), String> {
        let (low, high) = case.range;
        let mut net = Net::new(low, high);
        let args: Vec<usize> = case.args.iter().map(|arg| net.arg(arg)).collect();
        let mut output = net.op(case.code, &args, case.options.clone());
        if let Some(activation) = case.then {
            output = net.op(activation, &[output], Options::None);
        }
        net.output(output);
        match difference(&net.finish(), &device, low, high)? {
            apart if apart <= 1e-4 => Ok(()),
            apart => Err(format!("{apart} apart")),
        }
    };
    let wrong: Vec<String> =
        cases.iter().filter_map(|case| run(case).err().map(|e| format!("{}: {e}", case.name))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn convolutions() {
    let conv = |padding, stride, dilation, activation| Conv2DOptionsT {
        padding,
        stride_h: stride,
        stride_w: stride,
        dilation_h_factor: dilation,
        dilation_w_factor: dilation,
        fused_activation_function: activation,
        ..Default::default()
    };
    let depthwise = |padding, stride, dilation, activation| DepthwiseConv2DOptionsT {
        padding,
        stride_h: stride,
        stride_w: stride,
        dilation_h_factor: dilation,
        dilation_w_factor: dilation,
        fused_activation_function: activation,
        ..Default::default()
    };
    let dense = |activation, keep_num_dims| FullyConnectedOptionsT {
        fused_activation_function: activation,
        keep_num_dims,
        ..Default::default()
    };
    let (same, valid) = (Padding::SAME, Padding::VALID);
    let picture = || input(&[2, 9, 7, 5]);
    let with = |filter: &[usize], bias: usize| [picture(), constant(filter), constant(&[bias])];
    check(vec![
        case("pointwise", B::CONV_2D, with(&[6, 1, 1, 5], 6), conv(valid, 1, 1, A::NONE)),
        case("one channel", B::CONV_2D, with(&[1, 3, 3, 5], 1), conv(valid, 1, 1, A::NONE)),
        case("same, stride 2", B::CONV_2D, with(&[7, 3, 3, 5], 7), conv(same, 2, 1, A::RELU)),
        case("same, dilation 2", B::CONV_2D, with(&[4, 3, 3, 5], 4), conv(same, 1, 2, A::RELU6)),
        case("even window", B::CONV_2D, with(&[37, 2, 4, 5], 37), conv(same, 1, 1, A::RELU_N1_TO_1)),
        case("hard swish behind", B::CONV_2D, with(&[8, 1, 1, 5], 8), conv(valid, 1, 1, A::NONE))
            .then(B::HARD_SWISH),
        case("relu6 behind", B::CONV_2D, with(&[8, 1, 1, 5], 8), conv(valid, 1, 1, A::NONE)).then(B::RELU6),
        case("depthwise", B::DEPTHWISE_CONV_2D, with(&[1, 3, 3, 5], 5), depthwise(same, 1, 1, A::RELU6)),
        case(
            "depthwise stride 2",
            B::DEPTHWISE_CONV_2D,
            with(&[1, 3, 3, 5], 5),
            depthwise(valid, 2, 1, A::NONE),
        ),
        case(
            "depthwise, dilated",
            B::DEPTHWISE_CONV_2D,
            with(&[1, 3, 3, 5], 5),
            depthwise(same, 1, 2, A::NONE),
        ),
        case("multiplier 3", B::DEPTHWISE_CONV_2D, with(&[1, 3, 3, 15], 15), depthwise(same, 1, 1, A::NONE))
            .then(B::HARD_SWISH),
        case(
            "dense",
            B::FULLY_CONNECTED,
            [input(&[3, 20]), constant(&[6, 20]), constant(&[6])],
            dense(A::RELU, false),
        ),
        case(
            "dense, one row",
            B::FULLY_CONNECTED,
            [input(&[1, 33]), constant(&[10, 33])],
            dense(A::NONE, false),
        ),
        case(
            "dense, three dimensions",
            B::FULLY_CONNECTED,
            [input(&[2, 3, 8]), constant(&[5, 8]), constant(&[5])],
            dense(A::NONE, true),
        ),
    ]);
}

#[test]
fn windows() {
    let pool = |padding, size, stride, activation| Pool2DOptionsT {
        padding,
        filter_height: size,
        filter_width: size,
        stride_h: stride,
        stride_w: stride,
        fused_activation_function: activation,
    };
    let (same, valid) = (Padding::SAME, Padding::VALID);
    let picture = || input(&[2, 9, 7, 5]);
    let mean = |axes: &[i32], keep_dims| {
        case("mean", B::MEAN, [picture(), Arg::Ints(axes.to_vec())], ReducerOptionsT { keep_dims })
    };
    check(vec![
        case("average", B::AVERAGE_POOL_2D, [picture()], pool(valid, 2, 2, A::NONE)),
        case("average, same", B::AVERAGE_POOL_2D, [picture()], pool(same, 3, 1, A::RELU)),
        case("maximum", B::MAX_POOL_2D, [picture()], pool(valid, 3, 2, A::NONE)),
        case("maximum, same", B::MAX_POOL_2D, [picture()], pool(same, 3, 2, A::RELU6)),
        mean(&[1, 2], true),
        mean(&[-2, -3], false),
    ]);
}

#[test]
fn element_wise() {
    let shape = [2, 3, 4, 5];
    let two = || [input(&shape), input(&shape)];
    let relu = A::RELU;
    check(vec![
        case("add", B::ADD, two(), AddOptionsT { fused_activation_function: relu, ..Default::default() }),
        case("add, hard swish behind", B::ADD, two(), AddOptionsT::default()).then(B::HARD_SWISH),
        case("add a row", B::ADD, [input(&shape), constant(&[5])], AddOptionsT::default()),
        case("add to a scalar", B::ADD, [constant(&[]), input(&shape)], AddOptionsT::default()),
        case("add both ways", B::ADD, [input(&[2, 1, 4, 1]), input(&[3, 1, 5])], AddOptionsT::default()),
        case("subtract", B::SUB, [constant(&[4, 5]), input(&shape)], SubOptionsT::default()),
        case(
            "multiply",
            B::MUL,
            [input(&shape), input(&[2, 1, 1, 5])],
            MulOptionsT { fused_activation_function: A::RELU6 },
        ),
        case("divide", B::DIV, two(), DivOptionsT::default()).range(0.5, 4.0),
        case("maximum", B::MAXIMUM, two(), Options::None),
        case("minimum", B::MINIMUM, [input(&shape), constant(&[1])], Options::None),
        case("prelu", B::PRELU, [input(&shape), constant(&[5])], Options::None),
        case("squared difference", B::SQUARED_DIFFERENCE, two(), Options::None),
        case("relu", B::RELU, [input(&shape)], Options::None),
        case("relu6", B::RELU6, [input(&shape)], Options::None).range(-3.0, 9.0),
        case("relu -1 to 1", B::RELU_N1_TO_1, [input(&shape)], Options::None),
        case("relu 0 to 1", B::RELU_0_TO_1, [input(&shape)], Options::None),
        case("logistic", B::LOGISTIC, [input(&shape)], Options::None).range(-90.0, 90.0),
        case("tanh", B::TANH, [input(&shape)], Options::None).range(-60.0, 60.0),
        case("hard swish", B::HARD_SWISH, [input(&shape)], Options::None).range(-5.0, 5.0),
        case("exp", B::EXP, [input(&shape)], Options::None),
        case("sqrt", B::SQRT, [input(&shape)], Options::None).range(0.0, 9.0),
        case("rsqrt", B::RSQRT, [input(&shape)], Options::None).range(0.1, 9.0),
        case("neg", B::NEG, [input(&shape)], Options::None),
        case("abs", B::ABS, [input(&shape)], Options::None),
        case("square", B::SQUARE, [input(&shape)], Options::None),
        case("leaky relu", B::LEAKY_RELU, [input(&shape)], LeakyReluOptionsT { alpha: 0.2 }),
        case("softmax", B::SOFTMAX, [input(&[3, 130])], SoftmaxOptionsT { beta: 1.0 }).range(-50.0, 50.0),
        case("softmax, beta", B::SOFTMAX, [input(&[2, 3, 7])], SoftmaxOptionsT { beta: 0.5 }),
        case("more elements than one axis of groups covers", B::RELU, [input(&[65_536, 65])], Options::None),
    ]);
}

#[test]
fn moving() {
    let join = |axis| ConcatenationOptionsT { axis, ..Default::default() };
    check(vec![
        case(
            "pad",
            B::PAD,
            [input(&[2, 3, 4, 5]), Arg::IntMatrix(vec![[0, 0], [1, 2], [3, 0], [0, 1]])],
            Options::None,
        ),
        case("pad a matrix", B::PAD, [input(&[3, 4]), Arg::IntMatrix(vec![[1, 0], [0, 2]])], Options::None),
        case(
            "join channels",
            B::CONCATENATION,
            [input(&[2, 3, 4]), input(&[2, 3, 5]), input(&[2, 3, 1])],
            join(-1),
        ),
        case("join rows", B::CONCATENATION, [input(&[2, 3]), input(&[4, 3])], join(0)),
        case("turn", B::TRANSPOSE, [input(&[2, 3, 4, 5]), Arg::Ints(vec![0, 3, 1, 2])], Options::None),
        case("turn a matrix", B::TRANSPOSE, [input(&[3, 4]), Arg::Ints(vec![1, 0])], Options::None),
        case(
            "cut",
            B::SLICE,
            [input(&[3, 4, 5]), Arg::Ints(vec![1, 0, 2]), Arg::Ints(vec![2, -1, 3])],
            Options::None,
        ),
    ]);
}
