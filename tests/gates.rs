//! Images that a product multiplies by a gate while it reads them give the bits that a multiplication by itself gives.

use ferrolite::{Interpreter, Model};
use ferrolite_model::options::{
    ActivationFunctionType as Activation, AddOptionsT, ConcatenationOptionsT, Conv2DOptionsT, MulOptionsT,
    Options, Padding, ReducerOptionsT,
};
use ferrolite_model::{BuiltinOperator as B, ModelBuilder, Operator, Tensor, TensorType};

/// Height, width and channels of the image: tiles of rows and vectors of channels with a rest on any instruction set.
const IMAGE: [usize; 3] = [5, 7, 37];
/// Channels behind the product.
const OUTPUTS: usize = 19;

/// A model over one or several images.
struct Net {
    builder: ModelBuilder,
    batch: usize,
    input: usize,
    seed: f32,
}

impl Net {
    fn new(batch: usize) -> Self {
        let mut net = Self { builder: ModelBuilder::new(), batch, input: 0, seed: 0.0 };
        net.input = net.image(IMAGE[2]);
        net.builder.set_inputs(0, [net.input]);
        net
    }

    fn tensor(&mut self, shape: &[usize]) -> usize {
        self.builder.add_tensor(0, Tensor::new("tensor", TensorType::Float32, shape))
    }

    fn image(&mut self, channels: usize) -> usize {
        self.tensor(&[self.batch, IMAGE[0], IMAGE[1], channels])
    }

    fn constant(&mut self, shape: &[usize]) -> usize {
        self.seed += 1.0;
        let seed = self.seed;
        let value = |i: usize| ((i as f32 + seed) * 0.7).sin() * 0.4;
        let bytes: Vec<u8> = (0..shape.iter().product()).flat_map(|i| value(i).to_le_bytes()).collect();
        self.builder.add_constant(0, Tensor::new("constant", TensorType::Float32, shape), bytes)
    }

    /// Weights that the file has in 16 bits.
    fn halves(&mut self, shape: &[usize]) -> usize {
        // Between 1/8 and 1/2.
        let bits = |i: usize| 0x3000 + (i * 37 % 0x800) as u16;
        let bytes: Vec<u8> = (0..shape.iter().product()).flat_map(|i| bits(i).to_le_bytes()).collect();
        let stored = self.builder.add_constant(0, Tensor::new("stored", TensorType::Float16, shape), bytes);
        let widened = self.tensor(shape);
        self.op(B::DEQUANTIZE, &[stored], widened, Options::None)
    }

    fn op(&mut self, code: B, inputs: &[usize], output: usize, options: impl Into<Options>) -> usize {
        let inputs = inputs.iter().copied().map(Some);
        self.builder.add_operator(0, Operator::new(code, inputs, [output], options));
        output
    }

    /// The mean of each channel: `[batch, 1, 1, channels]`.
    fn squeeze(&mut self, x: usize) -> usize {
        let axes: Vec<u8> = [1i32, 2].iter().flat_map(|axis| axis.to_le_bytes()).collect();
        let axes = self.builder.add_constant(0, Tensor::new("axes", TensorType::Int32, &[2]), axes);
        let mean = self.tensor(&[self.batch, 1, 1, IMAGE[2]]);
        self.op(B::MEAN, &[x, axes], mean, ReducerOptionsT { keep_dims: true })
    }

    fn mul(&mut self, a: usize, b: usize, activation: Activation) -> usize {
        let output = self.image(IMAGE[2]);
        self.op(B::MUL, &[a, b], output, MulOptionsT { fused_activation_function: activation })
    }

    fn gated(&mut self, x: usize) -> usize {
        let gate = self.squeeze(x);
        self.mul(x, gate, Activation::NONE)
    }

    fn conv_of(&mut self, x: usize, filter: usize, stride: i32, activation: Activation) -> usize {
        let bias = self.constant(&[OUTPUTS]);
        let step = stride as usize;
        let output = self.tensor(&[self.batch, IMAGE[0].div_ceil(step), IMAGE[1].div_ceil(step), OUTPUTS]);
        let options = Conv2DOptionsT {
            padding: Padding::SAME,
            stride_w: stride,
            stride_h: stride,
            dilation_w_factor: 1,
            dilation_h_factor: 1,
            fused_activation_function: activation,
            ..Default::default()
        };
        self.op(B::CONV_2D, &[x, filter, bias], output, options)
    }

    /// A product of each pixel.
    fn conv(&mut self, x: usize) -> usize {
        let filter = self.constant(&[OUTPUTS, 1, 1, IMAGE[2]]);
        self.conv_of(x, filter, 1, Activation::NONE)
    }

    fn unary(&mut self, code: B, x: usize, channels: usize) -> usize {
        let output = self.image(channels);
        self.op(code, &[x], output, Options::None)
    }

    fn add(&mut self, a: usize, b: usize) -> usize {
        let output = self.image(OUTPUTS);
        self.op(B::ADD, &[a, b], output, AddOptionsT::default())
    }

    fn finish(mut self, outputs: &[usize]) -> Model {
        self.builder.set_outputs(0, outputs.iter().copied());
        Model::from_bytes(self.builder.to_bytes().expect("the model can be written")).expect("it is valid")
    }
}

/// The bits of all outputs, and the plan.
fn run(model: &Model, threads: usize, separate: bool) -> (Vec<Vec<u32>>, String) {
    let mut interpreter = Interpreter::builder(model)
        .threads(threads)
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

type Row = (&'static str, usize, fn(&mut Net) -> Vec<usize>, &'static str);

/// Checks models of so many images against their operators one by one; each plan must have a line with the given text.
fn check(rows: &[Row]) {
    for (name, batch, build, text) in rows {
        let mut net = Net::new(*batch);
        let outputs = build(&mut net);
        let model = net.finish(&outputs);
        let (separate, plan) = run(&model, 1, true);
        assert!(!plan.contains("gated"), "{name}:\n{plan}");
        for threads in [1, 2, 4] {
            let (fused, plan) = run(&model, threads, false);
            assert_eq!(fused, separate, "{name} on {threads} threads:\n{plan}");
            let found = plan.lines().any(|line| line.contains(text));
            assert!(found && plan.contains("gated") == text.contains("gated"), "{name}:\n{plan}");
        }
    }
}

#[test]
fn products_take_gates_over() {
    type A = Activation;
    check(&[
        (
            "squeeze and excite",
            1,
            |n| {
                let x = n.gated(n.input);
                vec![n.conv(x)]
            },
            " MUL+CONV_2D  f32_gated_gemm",
        ),
        (
            "the gate first",
            1,
            |n| {
                let gate = n.squeeze(n.input);
                let x = n.mul(gate, n.input, A::NONE);
                vec![n.conv(x)]
            },
            " MUL+CONV_2D  f32_gated_gemm",
        ),
        (
            "a gate for each of several images",
            3,
            |n| {
                let x = n.gated(n.input);
                vec![n.conv(x)]
            },
            " MUL+CONV_2D  f32_gated_gemm",
        ),
        (
            "a constant row for all images",
            2,
            |n| {
                let row = n.constant(&[IMAGE[2]]);
                let x = n.mul(n.input, row, A::NONE);
                vec![n.conv(x)]
            },
            " MUL+CONV_2D  f32_gated_gemm",
        ),
        (
            "a residual and an activation",
            1,
            |n| {
                let other = n.conv(n.input);
                let x = n.gated(n.input);
                let c = n.conv(x);
                let sum = n.add(c, other);
                vec![n.unary(B::HARD_SWISH, sum, OUTPUTS)]
            },
            " MUL+CONV_2D+ADD  f32_gated_gemm",
        ),
        (
            "an activation of the product",
            1,
            |n| {
                let x = n.gated(n.input);
                let c = n.conv(x);
                vec![n.unary(B::TANH, c, OUTPUTS)]
            },
            " MUL+CONV_2D+TANH  f32_gated_gemm",
        ),
        (
            "weights of 16 bits",
            1,
            |n| {
                let x = n.gated(n.input);
                let filter = n.halves(&[OUTPUTS, 1, 1, IMAGE[2]]);
                vec![n.conv_of(x, filter, 1, A::RELU6)]
            },
            " MUL+CONV_2D  f32_gated_gemm",
        ),
        (
            "written where it is joined",
            1,
            |n| {
                let x = n.gated(n.input);
                let (a, b) = (n.conv(x), n.conv(n.input));
                let output = n.image(2 * OUTPUTS);
                let join = n.op(
                    B::CONCATENATION,
                    &[a, b],
                    output,
                    ConcatenationOptionsT { axis: 3, ..Default::default() },
                );
                vec![n.unary(B::NEG, join, 2 * OUTPUTS)]
            },
            " MUL+CONV_2D  f32_gated_gemm",
        ),
        (
            "groups",
            1,
            |n| {
                let x = n.gated(n.input);
                let filter = n.constant(&[OUTPUTS * IMAGE[2], 1, 1, 1]);
                let bias = n.constant(&[OUTPUTS * IMAGE[2]]);
                let output = n.image(OUTPUTS * IMAGE[2]);
                let options = Conv2DOptionsT {
                    stride_w: 1,
                    stride_h: 1,
                    dilation_w_factor: 1,
                    dilation_h_factor: 1,
                    ..Default::default()
                };
                vec![n.op(B::CONV_2D, &[x, filter, bias], output, options)]
            },
            " MUL+CONV_2D  f32_gated_gemm",
        ),
    ]);
}

#[test]
fn joined_channels_of_gated_products_are_not_copied() {
    let mut n = Net::new(1);
    let x = n.gated(n.input);
    let (a, b) = (n.conv(x), n.conv(n.input));
    let output = n.image(2 * OUTPUTS);
    let options = ConcatenationOptionsT { axis: 3, ..Default::default() };
    let join = n.op(B::CONCATENATION, &[a, b], output, options);
    let last = n.unary(B::NEG, join, 2 * OUTPUTS);
    let (_, plan) = run(&n.finish(&[last]), 1, false);
    assert!(plan.contains("no step for CONCATENATION (1)") && plan.contains("gated"), "{plan}");
}

#[test]
fn other_multiplications_stay() {
    type A = Activation;
    check(&[
        (
            "an activation of the multiplication",
            1,
            |n| {
                let gate = n.squeeze(n.input);
                let x = n.mul(n.input, gate, A::RELU);
                vec![n.conv(x)]
            },
            " MUL ",
        ),
        (
            "a result that is an output",
            1,
            |n| {
                let x = n.gated(n.input);
                vec![n.conv(x), x]
            },
            " MUL ",
        ),
        (
            "a result that is read twice",
            1,
            |n| {
                let x = n.gated(n.input);
                let (a, b) = (n.conv(x), n.conv(x));
                vec![n.add(a, b)]
            },
            " MUL ",
        ),
        (
            "windows of several pixels",
            1,
            |n| {
                let x = n.gated(n.input);
                let filter = n.constant(&[OUTPUTS, 3, 3, IMAGE[2]]);
                vec![n.conv_of(x, filter, 1, A::NONE)]
            },
            " MUL ",
        ),
        (
            "windows that leave pixels out",
            1,
            |n| {
                let x = n.gated(n.input);
                let filter = n.constant(&[OUTPUTS, 1, 1, IMAGE[2]]);
                vec![n.conv_of(x, filter, 2, A::NONE)]
            },
            " MUL ",
        ),
        (
            "a value for each pixel",
            1,
            |n| {
                let gate = n.constant(&[1, IMAGE[0], IMAGE[1], 1]);
                let x = n.mul(n.input, gate, A::NONE);
                vec![n.conv(x)]
            },
            " MUL ",
        ),
        (
            "a value for each line and channel",
            1,
            |n| {
                let gate = n.constant(&[IMAGE[0], 1, IMAGE[2]]);
                let x = n.mul(n.input, gate, A::NONE);
                vec![n.conv(x)]
            },
            " MUL ",
        ),
        (
            "one value",
            1,
            |n| {
                let gate = n.constant(&[]);
                let x = n.mul(n.input, gate, A::NONE);
                vec![n.conv(x)]
            },
            " MUL ",
        ),
        (
            "two images",
            1,
            |n| {
                let other = n.unary(B::NEG, n.input, IMAGE[2]);
                let x = n.mul(n.input, other, A::NONE);
                vec![n.conv(x)]
            },
            "f32_chain_of_2",
        ),
        (
            "a chain that ends in a multiplication",
            1,
            |n| {
                let row = n.constant(&[IMAGE[2]]);
                let other = n.unary(B::NEG, n.input, IMAGE[2]);
                let x = n.mul(other, row, A::NONE);
                vec![n.conv(x)]
            },
            "f32_chain_of_2",
        ),
        (
            "computed weights",
            1,
            |n| {
                let x = n.gated(n.input);
                let row = n.squeeze(n.input);
                let filter = n.tensor(&[OUTPUTS, 1, 1, IMAGE[2]]);
                let many = n.constant(&[OUTPUTS, 1, 1, 1]);
                n.op(B::MUL, &[row, many], filter, MulOptionsT::default());
                vec![n.conv_of(x, filter, 1, A::NONE)]
            },
            "f32_conv_unpacked",
        ),
    ]);
}
