//! Pointwise and depthwise convolutions that are one step compute the bits that separate steps compute.

use ferrolite::{Cpu, Interpreter, Model};
use ferrolite_model::options::{
    ActivationFunctionType as A, AddOptionsT, Conv2DOptionsT, DepthwiseConv2DOptionsT, MulOptionsT, Options,
    Padding,
};
use ferrolite_model::{BuiltinOperator as B, ModelBuilder, Operator, Tensor, TensorType};

/// Height and width, and channels of the input and of what is computed from it: an image of 2.4 MB.
const SIZE: usize = 97;
const NARROW: usize = 6;
const WIDE: usize = 64;

/// A model over one image.
struct Net {
    builder: ModelBuilder,
    input: usize,
    half: bool,
}

impl Net {
    fn new() -> Self {
        let mut builder = ModelBuilder::new();
        let input =
            builder.add_tensor(0, Tensor::new("input", TensorType::Float32, &[1, SIZE, SIZE, NARROW]));
        builder.set_inputs(0, [input]);
        Self { builder, input, half: false }
    }

    /// A constant, in 16-bit floats if the model has such weights.
    fn constant(&mut self, shape: &[usize]) -> usize {
        let value = |i: usize| (i as f32 * 0.7 + 1.0).sin() * 0.4;
        let count = 0..shape.iter().product();
        if !self.half {
            let bytes: Vec<u8> = count.flat_map(|i| value(i).to_le_bytes()).collect();
            return self.builder.add_constant(0, Tensor::new("constant", TensorType::Float32, shape), bytes);
        }
        // From an eighth to a quarter, of either sign: the exponent of an eighth, a mantissa, a sign.
        let bits = |i: usize| 0x3000 | (i * 37 % 1024) as u16 | (i as u16 & 1) << 15;
        let bytes = count.flat_map(|i| bits(i).to_le_bytes());
        let stored = Tensor::new("stored", TensorType::Float16, shape);
        let stored = self.builder.add_constant(0, stored, bytes.collect::<Vec<u8>>());
        let widened = self.builder.add_tensor(0, Tensor::new("widened", TensorType::Float32, shape));
        self.op(B::DEQUANTIZE, &[stored], widened, Options::None)
    }

    fn image(&mut self, size: usize, channels: usize) -> usize {
        self.builder.add_tensor(0, Tensor::new("image", TensorType::Float32, &[1, size, size, channels]))
    }

    fn op(&mut self, code: B, inputs: &[usize], output: usize, options: impl Into<Options>) -> usize {
        let inputs = inputs.iter().copied().map(Some);
        self.builder.add_operator(0, Operator::new(code, inputs, [output], options));
        output
    }

    /// A convolution of the input to many channels.
    fn expand(&mut self, kernel: usize, activation: A) -> usize {
        let inputs = [self.input, self.constant(&[WIDE, kernel, kernel, NARROW]), self.constant(&[WIDE])];
        let options = Conv2DOptionsT {
            padding: Padding::SAME,
            stride_w: 1,
            stride_h: 1,
            dilation_w_factor: 1,
            dilation_h_factor: 1,
            fused_activation_function: activation,
            ..Default::default()
        };
        let output = self.image(SIZE, WIDE);
        self.op(B::CONV_2D, &inputs, output, options)
    }

    /// A depthwise convolution of an expanded image.
    fn depthwise(&mut self, x: usize, kernel: usize, stride: usize, activation: A) -> usize {
        let inputs = [x, self.constant(&[1, kernel, kernel, WIDE]), self.constant(&[WIDE])];
        let options = DepthwiseConv2DOptionsT {
            padding: Padding::SAME,
            stride_w: stride as i32,
            stride_h: stride as i32,
            depth_multiplier: 1,
            dilation_w_factor: 1,
            dilation_h_factor: 1,
            fused_activation_function: activation,
        };
        let output = self.image(SIZE.div_ceil(stride), WIDE);
        self.op(B::DEPTHWISE_CONV_2D, &inputs, output, options)
    }

    fn each(&mut self, code: B, inputs: &[usize], options: impl Into<Options>) -> usize {
        let output = self.image(SIZE, WIDE);
        self.op(code, inputs, output, options)
    }

    fn finish(mut self, outputs: &[usize]) -> Model {
        self.builder.set_outputs(0, outputs.iter().copied());
        Model::from_bytes(self.builder.to_bytes().expect("the model can be written")).expect("it is valid")
    }
}

/// What a run gave.
struct Run {
    /// The bits of each output.
    bits: Vec<Vec<u32>>,
    /// The operators of each step.
    steps: Vec<String>,
    arena: usize,
    plan: String,
}

fn run(interpreter: &mut Interpreter) -> Run {
    let input = interpreter.input_mut::<f32>(0).expect("a float input");
    input.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.3).cos() * 3.0);
    interpreter.invoke().expect("it runs");
    let bits =
        |i| interpreter.output::<f32>(i).expect("a float output").iter().map(|x| x.to_bits()).collect();
    let steps = interpreter.profile().expect("it was asked for").steps;
    Run {
        bits: (0..interpreter.outputs().len()).map(bits).collect(),
        steps: steps.into_iter().map(|step| step.operator).collect(),
        arena: interpreter.arena_bytes(),
        plan: interpreter.describe(),
    }
}

fn interpreter(model: &Model, separate: bool, threads: usize, cpu: Cpu) -> Interpreter {
    let builder = Interpreter::builder(model).threads(threads).cpu(cpu).profile(true);
    builder.preserve_all_tensors(separate).build().expect("it can be planned")
}

/// Name, model, and the steps left of it.
type Row = (&'static str, fn(&mut Net) -> Vec<usize>, &'static [&'static str]);

const BOTH: &str = "CONV_2D+DEPTHWISE_CONV_2D";

const ROWS: &[Row] = &[
    (
        "stride 1",
        |n| {
            let x = n.expand(1, A::RELU6);
            vec![n.depthwise(x, 3, 1, A::RELU6)]
        },
        &[BOTH],
    ),
    (
        "stride 2 of a larger filter",
        |n| {
            let x = n.expand(1, A::NONE);
            vec![n.depthwise(x, 5, 2, A::RELU)]
        },
        &[BOTH],
    ),
    (
        "a filter of no common size, weights in 16-bit floats",
        |n| {
            n.half = true;
            let x = n.expand(1, A::RELU);
            vec![n.depthwise(x, 4, 3, A::NONE)]
        },
        &[BOTH],
    ),
    (
        "activations that are operators",
        |n| {
            let x = n.expand(1, A::NONE);
            let gate = n.each(B::LOGISTIC, &[x], Options::None);
            let x = n.each(B::MUL, &[gate, x], MulOptionsT { fused_activation_function: A::NONE });
            let x = n.depthwise(x, 3, 1, A::NONE);
            vec![n.each(B::HARD_SWISH, &[x], Options::None)]
        },
        &[BOTH],
    ),
    (
        "a sum behind both, of what is computed between them",
        |n| {
            let x = n.expand(1, A::RELU);
            let other = n.expand(3, A::NONE);
            let y = n.depthwise(x, 3, 1, A::NONE);
            vec![n.each(
                B::ADD,
                &[y, other],
                AddOptionsT { fused_activation_function: A::RELU, ..Default::default() },
            )]
        },
        &["CONV_2D", "CONV_2D+DEPTHWISE_CONV_2D+ADD"],
    ),
    (
        "an expansion that is an output",
        |n| {
            let x = n.expand(1, A::RELU6);
            vec![n.depthwise(x, 3, 1, A::RELU6), x]
        },
        &["CONV_2D", "DEPTHWISE_CONV_2D"],
    ),
    (
        "an expansion that is read twice",
        |n| {
            let x = n.expand(1, A::RELU6);
            vec![n.depthwise(x, 3, 1, A::RELU6), n.depthwise(x, 3, 2, A::RELU6)]
        },
        &["CONV_2D", "DEPTHWISE_CONV_2D", "DEPTHWISE_CONV_2D"],
    ),
    (
        "an expansion by windows",
        |n| {
            let x = n.expand(3, A::RELU6);
            vec![n.depthwise(x, 3, 1, A::RELU6)]
        },
        &["CONV_2D", "DEPTHWISE_CONV_2D"],
    ),
];

#[test]
fn convolutions_that_are_one_step_compute_the_same_bits() {
    for (name, make, steps) in ROWS {
        let mut net = Net::new();
        let outputs = make(&mut net);
        let model = net.finish(&outputs);
        for cpu in Cpu::all() {
            let want = run(&mut interpreter(&model, true, 1, cpu));
            for threads in [1, 2] {
                let got = run(&mut interpreter(&model, false, threads, cpu));
                let place = format!("{name}, {}, {threads} threads:\n{}", cpu.name(), got.plan);
                assert!(got.bits == want.bits, "{place}");
                assert_eq!(got.steps, *steps, "{place}");
            }
        }
    }
}

#[test]
fn the_image_in_between_takes_no_memory() {
    let mut net = Net::new();
    let x = net.expand(1, A::RELU6);
    let outputs = [net.depthwise(x, 3, 1, A::RELU6)];
    let got = run(&mut interpreter(&net.finish(&outputs), false, 1, Cpu::detect()));
    let image = SIZE * SIZE * WIDE * size_of::<f32>();
    assert!(got.arena < image / 2, "{} bytes of {image}\n{}", got.arena, got.plan);
}

#[test]
fn sizes_of_images_decide() {
    let mut net = Net::new();
    let x = net.expand(1, A::RELU6);
    let outputs = [net.depthwise(x, 3, 1, A::RELU6)];
    let model = net.finish(&outputs);
    let (mut one, mut separate) =
        (interpreter(&model, false, 1, Cpu::detect()), interpreter(&model, true, 1, Cpu::detect()));
    for (size, steps) in [(20, 2), (SIZE, 1), (40, 2), (120, 1)] {
        for interpreter in [&mut one, &mut separate] {
            interpreter.resize_input(0, &[1, size, size, NARROW]).expect("any size fits");
        }
        let (got, want) = (run(&mut one), run(&mut separate));
        assert!(got.bits == want.bits, "{size}:\n{}", got.plan);
        assert_eq!(got.steps.len(), steps, "{size}:\n{}", got.plan);
    }
}
