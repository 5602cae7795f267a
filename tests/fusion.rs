//! What the planner fuses computes the bits that separate operators compute.

use ferrolite::{Interpreter, Model};
use ferrolite_model::options::{
    ActivationFunctionType, AddOptionsT, Conv2DOptionsT, GeluOptionsT, LeakyReluOptionsT, MulOptionsT,
    Options, Padding, SubOptionsT,
};
use ferrolite_model::{BuiltinOperator as B, ModelBuilder, Operator, Tensor, TensorType};

/// Channels of every tensor: two vectors and a rest on any instruction set.
const CHANNELS: usize = 37;
const SHAPE: [usize; 4] = [1, 5, 6, CHANNELS];

/// A model over one input.
struct Net {
    builder: ModelBuilder,
    input: usize,
}

impl Net {
    fn new() -> Self {
        let mut builder = ModelBuilder::new();
        let input = builder.add_tensor(0, Tensor::new("input", TensorType::Float32, &SHAPE));
        builder.set_inputs(0, [input]);
        Self { builder, input }
    }

    fn constant(&mut self, shape: &[usize], seed: f32) -> usize {
        let value = |i: usize| ((i as f32 + seed) * 0.7).sin() * 0.4;
        let bytes: Vec<u8> = (0..shape.iter().product()).flat_map(|i| value(i).to_le_bytes()).collect();
        self.builder.add_constant(0, Tensor::new("constant", TensorType::Float32, shape), bytes)
    }

    fn op(&mut self, code: B, inputs: &[usize], options: impl Into<Options>) -> usize {
        let output = self.builder.add_tensor(0, Tensor::new("result", TensorType::Float32, &SHAPE));
        let inputs = inputs.iter().copied().map(Some);
        self.builder.add_operator(0, Operator::new(code, inputs, [output], options));
        output
    }

    /// A pointwise convolution.
    fn conv(&mut self, input: usize, activation: ActivationFunctionType) -> usize {
        let filter = self.constant(&[CHANNELS, 1, 1, CHANNELS], 1.0);
        let bias = self.constant(&[CHANNELS], 2.0);
        let options = Conv2DOptionsT {
            padding: Padding::SAME,
            stride_w: 1,
            stride_h: 1,
            dilation_w_factor: 1,
            dilation_h_factor: 1,
            fused_activation_function: activation,
            ..Default::default()
        };
        self.op(B::CONV_2D, &[input, filter, bias], options)
    }

    fn plain_conv(&mut self, input: usize) -> usize {
        self.conv(input, ActivationFunctionType::NONE)
    }

    fn add(&mut self, a: usize, b: usize, activation: ActivationFunctionType) -> usize {
        self.op(B::ADD, &[a, b], AddOptionsT { fused_activation_function: activation, ..Default::default() })
    }

    fn swish(&mut self, x: usize, activation: ActivationFunctionType) -> usize {
        let gate = self.op(B::LOGISTIC, &[x], Options::None);
        self.op(B::MUL, &[gate, x], MulOptionsT { fused_activation_function: activation })
    }

    fn finish(mut self, outputs: &[usize]) -> Model {
        self.builder.set_outputs(0, outputs.iter().copied());
        Model::from_bytes(self.builder.to_bytes().expect("the model can be written")).expect("it is valid")
    }
}

/// The bits of all outputs, and the plan.
fn run(model: &Model, separate: bool) -> (Vec<Vec<u32>>, String) {
    let mut interpreter = Interpreter::builder(model)
        .threads(2)
        .preserve_all_tensors(separate)
        .build()
        .expect("it can be planned");
    let input = interpreter.input_mut::<f32>(0).expect("a float input");
    input.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.3).cos() * 3.0);
    interpreter.invoke().expect("it runs");
    let bits =
        |i| interpreter.output::<f32>(i).expect("a float output").iter().map(|x| x.to_bits()).collect();
    ((0..interpreter.outputs().len()).map(bits).collect(), interpreter.describe())
}

#[test]
fn fused_operators_compute_the_same_bits() {
    type A = ActivationFunctionType;
    type Row = (&'static str, fn(&mut Net) -> Vec<usize>, usize);
    // Name, model, and how many steps are left of it.
    let rows: &[Row] = &[
        (
            "sigmoid",
            |n| {
                let c = n.plain_conv(n.input);
                vec![n.op(B::LOGISTIC, &[c], Options::None)]
            },
            1,
        ),
        (
            "tanh",
            |n| {
                let c = n.plain_conv(n.input);
                vec![n.op(B::TANH, &[c], Options::None)]
            },
            1,
        ),
        (
            "gelu",
            |n| {
                let c = n.plain_conv(n.input);
                let first = n.op(B::GELU, &[c], GeluOptionsT { approximate: false });
                let c = n.plain_conv(first);
                vec![n.op(B::GELU, &[c], GeluOptionsT { approximate: true })]
            },
            2,
        ),
        (
            "swish",
            |n| {
                let c = n.plain_conv(n.input);
                vec![n.swish(c, A::NONE)]
            },
            1,
        ),
        (
            "a swish that is cut",
            |n| {
                let c = n.plain_conv(n.input);
                vec![n.swish(c, A::RELU6)]
            },
            2,
        ),
        (
            "a swish of an output",
            |n| {
                let c = n.plain_conv(n.input);
                vec![n.swish(c, A::NONE), c]
            },
            2,
        ),
        ("a swish of no product", |n| vec![n.swish(n.input, A::NONE)], 1),
        (
            "a product with an activation",
            |n| {
                let c = n.conv(n.input, A::RELU);
                vec![n.swish(c, A::NONE)]
            },
            2,
        ),
        (
            "a residual",
            |n| {
                let c = n.plain_conv(n.input);
                vec![n.add(c, n.input, A::RELU)]
            },
            1,
        ),
        (
            "two products that meet",
            |n| {
                let (a, b) = (n.plain_conv(n.input), n.plain_conv(n.input));
                let a = n.op(B::TANH, &[a], Options::None);
                vec![n.add(a, b, A::NONE)]
            },
            2,
        ),
        (
            "a residual that comes too late",
            |n| {
                let c = n.plain_conv(n.input);
                let late = n.op(B::NEG, &[n.input], Options::None);
                vec![n.add(c, late, A::NONE)]
            },
            2,
        ),
        (
            "a product added to itself",
            |n| {
                let c = n.plain_conv(n.input);
                vec![n.add(c, c, A::NONE)]
            },
            2,
        ),
        (
            "a broadcast addend",
            |n| {
                let c = n.plain_conv(n.input);
                let row = n.constant(&[CHANNELS], 5.0);
                vec![n.add(c, row, A::NONE)]
            },
            2,
        ),
        (
            "an optimizer's step, with what it keeps",
            |n| {
                let (rate, small) = (n.constant(&[], 1.0), n.constant(&[1, 1], 9.0));
                let row = n.constant(&[CHANNELS], 3.0);
                let plain = MulOptionsT { fused_activation_function: A::NONE };
                let square = n.op(B::SQUARE, &[n.input], Options::None);
                let scaled = n.op(B::MUL, &[square, rate], plain.clone());
                let second = n.add(scaled, row, A::NONE);
                let root = n.op(B::SQRT, &[second], Options::None);
                let shifted = n.add(root, small, A::NONE);
                let first = n.op(B::MUL, &[n.input, rate], plain);
                let step = n.op(B::DIV, &[first, shifted], Options::None);
                let options = SubOptionsT { fused_activation_function: A::RELU6, ..Default::default() };
                let value = n.op(B::SUB, &[n.input, step], options);
                vec![value, first, second]
            },
            1,
        ),
        (
            "a chain that something reads in between",
            |n| {
                let negative = n.op(B::NEG, &[n.input], Options::None);
                let root = n.op(B::ABS, &[negative], Options::None);
                let c = n.plain_conv(root);
                let product = n.op(B::MUL, &[c, negative], MulOptionsT::default());
                vec![n.op(B::TANH, &[product], Options::None)]
            },
            3,
        ),
        (
            "what reads a chain's first result runs after it",
            |n| {
                let negative = n.op(B::NEG, &[n.input], Options::None);
                let c = n.plain_conv(negative);
                let magnitude = n.op(B::ABS, &[negative], Options::None);
                let both = n.op(B::MAXIMUM, &[magnitude, n.input], Options::None);
                vec![both, c]
            },
            2,
        ),
        (
            "sums of many, powers and slopes",
            |n| {
                let magnitude = n.op(B::ABS, &[n.input], Options::None);
                let exponent = n.constant(&[5, 1, CHANNELS], 4.0);
                let power = n.op(B::POW, &[magnitude, exponent], Options::None);
                let leaky = n.op(B::LEAKY_RELU, &[n.input], LeakyReluOptionsT { alpha: 0.3 });
                let sum = n.op(B::ADD_N, &[power, leaky, n.input, magnitude], Options::None);
                vec![n.op(B::HARD_SWISH, &[sum], Options::None)]
            },
            1,
        ),
        (
            "more functions than one chain has",
            |n| {
                let mut x = n.input;
                for _ in 0..60 {
                    x = n.op(B::NEG, &[x], Options::None);
                }
                vec![x]
            },
            2,
        ),
        (
            "a chain of residuals",
            |n| {
                let mut x = n.input;
                for _ in 0..3 {
                    let c = n.plain_conv(x);
                    let c = n.swish(c, A::NONE);
                    let c = n.plain_conv(c);
                    x = n.add(c, x, A::NONE);
                }
                vec![x]
            },
            6,
        ),
    ];
    for (name, build, steps) in rows {
        let mut net = Net::new();
        let outputs = build(&mut net);
        let model = net.finish(&outputs);
        let ((separate, _), (fused, plan)) = (run(&model, true), run(&model, false));
        assert_eq!(fused, separate, "{name}:\n{plan}");
        assert!(plan.contains(&format!(" {steps} steps")), "{name}:\n{plan}");
    }
}
