//! Convolutions by Winograd's method: where they are used, how near they are to plain sums, and that threads do not change them.

use ferrolite::{Cpu, Interpreter, Model};
use ferrolite_model::options::{
    ActivationFunctionType as A, AddOptionsT, ConcatenationOptionsT, Conv2DOptionsT, Options, Padding,
};
use ferrolite_model::{BuiltinOperator as B, ModelBuilder, Operator, Tensor, TensorType};

const SIZE: usize = 15;
const CHANNELS: usize = 32;

/// A model over one image of [`CHANNELS`] channels.
struct Net {
    builder: ModelBuilder,
    input: usize,
    /// Whether weights are stored in 16-bit floats.
    half: bool,
}

impl Net {
    fn new(half: bool) -> Self {
        let mut builder = ModelBuilder::new();
        let input =
            builder.add_tensor(0, Tensor::new("input", TensorType::Float32, &[1, SIZE, SIZE, CHANNELS]));
        builder.set_inputs(0, [input]);
        Self { builder, input, half }
    }

    fn op(&mut self, code: B, inputs: &[usize], output: usize, options: impl Into<Options>) -> usize {
        let inputs = inputs.iter().copied().map(Some);
        self.builder.add_operator(0, Operator::new(code, inputs, [output], options));
        output
    }

    fn image(&mut self, size: usize, channels: usize) -> usize {
        self.builder.add_tensor(0, Tensor::new("image", TensorType::Float32, &[1, size, size, channels]))
    }

    /// A constant, in 16-bit floats if the model has such weights.
    fn constant(&mut self, shape: &[usize]) -> usize {
        let count: usize = shape.iter().product();
        if !self.half {
            let value = |i: usize| ((i * 37 + i / 9) % 401) as f32 / 1000.0 - 0.2;
            let bytes: Vec<u8> = (0..count).flat_map(|i| value(i).to_le_bytes()).collect();
            return self.builder.add_constant(0, Tensor::new("constant", TensorType::Float32, shape), bytes);
        }
        // From an eighth to a quarter, of either sign: the exponent of an eighth, a mantissa, a sign.
        let bits = |i: usize| 0x3000 | (i * 37 % 1024) as u16 | (i as u16 & 1) << 15;
        let bytes: Vec<u8> = (0..count).flat_map(|i| bits(i).to_le_bytes()).collect();
        let stored = self.builder.add_constant(0, Tensor::new("stored", TensorType::Float16, shape), bytes);
        let widened = self.builder.add_tensor(0, Tensor::new("widened", TensorType::Float32, shape));
        self.op(B::DEQUANTIZE, &[stored], widened, Options::None)
    }

    fn conv(&mut self, x: usize, channels: usize, kernel: usize, padding: Padding, activation: A) -> usize {
        let (filter, bias) =
            (self.constant(&[channels, kernel, kernel, CHANNELS]), self.constant(&[channels]));
        let options = Conv2DOptionsT {
            padding,
            stride_w: 1,
            stride_h: 1,
            dilation_w_factor: 1,
            dilation_h_factor: 1,
            fused_activation_function: activation,
            ..Default::default()
        };
        let size = if padding == Padding::SAME { SIZE } else { SIZE + 1 - kernel };
        let output = self.image(size, channels);
        self.op(B::CONV_2D, &[x, filter, bias], output, options)
    }

    fn finish(mut self, output: usize) -> Model {
        self.builder.set_outputs(0, [output]);
        Model::from_bytes(self.builder.to_bytes().expect("the model can be written")).expect("it is valid")
    }
}

/// Name, whether weights have 16 bits, model, and how many steps take the method.
type Row = (&'static str, bool, fn(&mut Net) -> usize, usize);

const ROWS: &[Row] = &[
    ("SAME", false, |n| n.conv(n.input, 64, 3, Padding::SAME, A::RELU6), 1),
    ("VALID", false, |n| n.conv(n.input, 32, 3, Padding::VALID, A::NONE), 1),
    ("16-bit weights", true, |n| n.conv(n.input, 48, 3, Padding::SAME, A::NONE), 1),
    (
        "a function behind",
        false,
        |n| {
            let (x, y) = (n.conv(n.input, 32, 3, Padding::SAME, A::NONE), n.image(SIZE, 32));
            n.op(B::LOGISTIC, &[x], y, Options::None)
        },
        1,
    ),
    (
        "a sum behind",
        false,
        |n| {
            let (x, y) = (n.conv(n.input, 32, 3, Padding::SAME, A::NONE), n.image(SIZE, 32));
            n.op(
                B::ADD,
                &[x, n.input],
                y,
                AddOptionsT { fused_activation_function: A::RELU, ..Default::default() },
            )
        },
        1,
    ),
    (
        "joined channels",
        false,
        |n| {
            let parts = [
                n.conv(n.input, 32, 3, Padding::SAME, A::NONE),
                n.conv(n.input, 48, 3, Padding::SAME, A::RELU),
            ];
            let y = n.image(SIZE, 80);
            n.op(B::CONCATENATION, &parts, y, ConcatenationOptionsT { axis: 3, ..Default::default() })
        },
        2,
    ),
    ("another filter", false, |n| n.conv(n.input, 32, 5, Padding::SAME, A::NONE), 0),
];

fn run(model: &Model, winograd: bool, threads: usize, cpu: Cpu) -> (Vec<f32>, usize) {
    let builder = Interpreter::builder(model).threads(threads).cpu(cpu).winograd(winograd).profile(true);
    let mut interpreter = builder.build().expect("it can be planned");
    let input = interpreter.input_mut::<f32>(0).expect("a float input");
    input.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.3).cos() * 3.0);
    interpreter.invoke().expect("it runs");
    let steps = interpreter.profile().expect("it was asked for").steps;
    let taken = steps.iter().filter(|step| step.kernel.starts_with("f32_winograd_")).count();
    (interpreter.output::<f32>(0).expect("a float output").to_vec(), taken)
}

#[test]
fn results_are_those_of_plain_sums_but_for_the_last_bits() {
    let mut wrong = Vec::new();
    for &(name, half, make, steps) in ROWS {
        let mut net = Net::new(half);
        let output = make(&mut net);
        let model = net.finish(output);
        for cpu in Cpu::all() {
            let (plain, none) = run(&model, false, 1, cpu);
            let (fast, taken) = run(&model, true, 1, cpu);
            if (none, taken) != (0, steps) {
                wrong.push(format!("{name}, {}: {taken} steps, and {none} without", cpu.name()));
            }
            let greatest = plain.iter().fold(0f32, |most, x| most.max(x.abs()));
            let worst = plain.iter().zip(&fast).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
            if worst.is_nan() || worst > 2e-6 * greatest {
                wrong.push(format!("{name}, {}: off by {worst} of {greatest}", cpu.name()));
            }
            for threads in [2, 4] {
                if run(&model, true, threads, cpu).0 != fast {
                    wrong.push(format!("{name}, {}: other results with {threads} threads", cpu.name()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_smaller_image_takes_plain_sums() {
    let mut net = Net::new(false);
    let output = net.conv(net.input, 32, 3, Padding::SAME, A::NONE);
    let model = net.finish(output);
    let mut interpreter = Interpreter::builder(&model).build().expect("it can be planned");
    assert!(interpreter.describe().contains("f32_winograd_"), "{}", interpreter.describe());
    interpreter.resize_input(0, &[1, 4, 4, CHANNELS]).expect("any size will do");
    interpreter.invoke().expect("it runs");
    assert!(!interpreter.describe().contains("f32_winograd_"), "{}", interpreter.describe());
}
