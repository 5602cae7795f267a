//! Convolutions that write their channels into what concatenates them compute the bits that they compute apart.

use ferrolite::{Interpreter, Model};
use ferrolite_model::options::{
    ActivationFunctionType as Activation, ConcatenationOptionsT, Conv2DOptionsT, Options, Padding,
    Pool2DOptionsT, TransposeConvOptionsT,
};
use ferrolite_model::{BuiltinOperator as B, ModelBuilder, Operator, Quantization, Tensor, TensorType};

/// Batch, height, width.
const PIXELS: [usize; 3] = [2, 5, 6];
const CHANNELS: usize = 8;

/// What a model is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Float,
    /// Floats with weights of bytes.
    Hybrid,
    Bytes,
    Words,
}

/// A model over one image.
struct Net {
    builder: ModelBuilder,
    form: Form,
    channels: Vec<usize>,
    input: usize,
    seed: usize,
}

impl Net {
    fn new(form: Form) -> Self {
        let mut net = Self { builder: ModelBuilder::new(), form, channels: Vec::new(), input: 0, seed: 1 };
        net.input = net.image(CHANNELS);
        net
    }

    fn dtype(&self) -> TensorType {
        match self.form {
            Form::Float | Form::Hybrid => TensorType::Float32,
            Form::Bytes => TensorType::Int8,
            Form::Words => TensorType::Int16,
        }
    }

    fn image(&mut self, channels: usize) -> usize {
        self.tensor(&[PIXELS[0], PIXELS[1], PIXELS[2], channels])
    }

    fn tensor(&mut self, shape: &[usize]) -> usize {
        let tensor = Tensor::new("tensor", self.dtype(), shape);
        let tensor = match self.form {
            Form::Float | Form::Hybrid => tensor,
            Form::Bytes => tensor.quantized(Quantization::per_tensor(0.04, 5)),
            Form::Words => tensor.quantized(Quantization::per_tensor(0.001, 0)),
        };
        self.channels.push(shape.last().copied().unwrap_or(1));
        self.builder.add_tensor(0, tensor)
    }

    fn constant(&mut self, tensor: Tensor, bytes: Vec<u8>) -> usize {
        self.channels.push(0);
        self.builder.add_constant(0, tensor, bytes)
    }

    fn list(&mut self, values: &[usize]) -> usize {
        let bytes = values.iter().flat_map(|&v| (v as i32).to_le_bytes()).collect();
        self.constant(Tensor::new("list", TensorType::Int32, &[values.len()]), bytes)
    }

    /// Filter and bias.
    fn weights(&mut self, shape: [usize; 4]) -> [usize; 2] {
        self.seed += 1;
        let (seed, len) = (self.seed as f32, shape.iter().product::<usize>());
        let value = move |i: usize| ((i as f32 + seed) * 0.7).sin();
        let floats = |len: usize| -> Vec<u8> { (0..len).flat_map(|i| value(i).to_le_bytes()).collect() };
        let (dtype, bytes): (_, Vec<u8>) = match self.form {
            Form::Float => (TensorType::Float32, floats(len)),
            _ => (TensorType::Int8, (0..len).map(|i| (value(i) * 100.0) as i8 as u8).collect()),
        };
        let filter = Tensor::new("filter", dtype, &shape);
        let filter = if self.form == Form::Float {
            filter
        } else {
            filter.quantized(Quantization::per_tensor(0.004, 0))
        };
        let filter = self.constant(filter, bytes);
        let (dtype, bytes) = match self.form {
            Form::Float | Form::Hybrid => (TensorType::Float32, floats(shape[0])),
            Form::Bytes => {
                (TensorType::Int32, (0..shape[0]).flat_map(|i| (i as i32 * 90 - 300).to_le_bytes()).collect())
            }
            Form::Words => {
                (TensorType::Int64, (0..shape[0]).flat_map(|i| (i as i64 * 90 - 300).to_le_bytes()).collect())
            }
        };
        [filter, self.constant(Tensor::new("bias", dtype, &[shape[0]]), bytes)]
    }

    fn op(&mut self, code: B, inputs: &[usize], output: usize, options: impl Into<Options>) -> usize {
        let inputs = inputs.iter().copied().map(Some);
        self.builder.add_operator(0, Operator::new(code, inputs, [output], options));
        output
    }

    fn conv(&mut self, x: usize, channels: usize, kernel: usize, groups: usize) -> usize {
        let [filter, bias] = self.weights([channels, kernel, kernel, self.channels[x] / groups]);
        let options = Conv2DOptionsT {
            padding: Padding::SAME,
            stride_w: 1,
            stride_h: 1,
            dilation_w_factor: 1,
            dilation_h_factor: 1,
            fused_activation_function: Activation::RELU,
            ..Default::default()
        };
        let output = self.image(channels);
        self.op(B::CONV_2D, &[x, filter, bias], output, options)
    }

    fn transposed(&mut self, x: usize, channels: usize) -> usize {
        let [filter, bias] = self.weights([channels, 3, 3, self.channels[x]]);
        let size = self.list(&[PIXELS[0], PIXELS[1], PIXELS[2], channels]);
        let options =
            TransposeConvOptionsT { padding: Padding::SAME, stride_w: 1, stride_h: 1, ..Default::default() };
        let output = self.image(channels);
        self.op(B::TRANSPOSE_CONV, &[size, filter, x, bias], output, options)
    }

    fn pool(&mut self, x: usize) -> usize {
        let options = Pool2DOptionsT {
            padding: Padding::SAME,
            stride_w: 1,
            stride_h: 1,
            filter_width: 3,
            filter_height: 3,
            ..Default::default()
        };
        let output = self.image(self.channels[x]);
        self.op(B::MAX_POOL_2D, &[x], output, options)
    }

    fn concat(&mut self, inputs: &[usize]) -> usize {
        let output = self.image(inputs.iter().map(|&t| self.channels[t]).sum());
        let options = ConcatenationOptionsT { axis: -1, ..Default::default() };
        self.op(B::CONCATENATION, inputs, output, options)
    }

    fn finish(mut self, outputs: &[usize]) -> Model {
        self.builder.set_inputs(0, [self.input]);
        self.builder.set_outputs(0, outputs.iter().copied());
        Model::from_bytes(self.builder.to_bytes().expect("the model can be written")).expect("it is valid")
    }
}

/// The bytes of all outputs after two runs, and the operators of the steps.
fn run(model: &Model, separate: bool, threads: usize) -> (Vec<Vec<u8>>, Vec<String>) {
    let builder = Interpreter::builder(model).threads(threads).preserve_all_tensors(separate).profile(true);
    let mut interpreter = builder.build().expect("it can be planned");
    let len = PIXELS.iter().product::<usize>() * CHANNELS;
    for turn in 0..2 {
        let value = |i: usize| ((i + turn * 7) as f32 * 0.3).cos() * 3.0;
        let bytes: Vec<u8> = match interpreter.inputs()[0].dtype {
            TensorType::Float32 => (0..len).flat_map(|i| value(i).to_le_bytes()).collect(),
            TensorType::Int16 => (0..len).flat_map(|i| ((value(i) * 900.0) as i16).to_le_bytes()).collect(),
            _ => (0..len).map(|i| (value(i) * 40.0) as i8 as u8).collect(),
        };
        interpreter.set_input_bytes(0, &bytes).expect("it fits");
        interpreter.invoke().expect("it runs");
    }
    let outputs = (0..interpreter.outputs().len())
        .map(|i| interpreter.output_bytes(i).expect("an output").to_vec())
        .collect();
    let steps = interpreter.profile().expect("it was asked for").steps;
    (outputs, steps.into_iter().map(|step| step.operator).collect())
}

/// Name, model, and how many concatenations are steps.
type Row = (&'static str, fn(&mut Net) -> Vec<usize>, usize);

#[test]
fn channels_are_written_where_they_are_joined() {
    let rows: [Row; 9] = [
        (
            "an inception block",
            |n| {
                let narrow = n.conv(n.input, 5, 1, 1);
                let pieces = [n.conv(n.input, 19, 1, 1), n.conv(narrow, 7, 3, 1), n.conv(n.input, 33, 5, 1)];
                let whole = n.concat(&pieces);
                vec![n.conv(whole, 6, 3, 1)]
            },
            0,
        ),
        (
            "a transposed convolution",
            |n| {
                let pieces = [n.transposed(n.input, 9), n.conv(n.input, 3, 3, 1)];
                let whole = n.concat(&pieces);
                vec![n.conv(whole, 6, 1, 1)]
            },
            0,
        ),
        (
            "one that others read",
            |n| {
                let skip = n.conv(n.input, 11, 3, 1);
                let low = n.pool(skip);
                let up = n.transposed(low, 9);
                let whole = n.concat(&[skip, up]);
                vec![n.conv(whole, 6, 3, 1)]
            },
            1,
        ),
        (
            "one that is an output, and the input",
            |n| {
                let (a, b) = (n.conv(n.input, 11, 3, 1), n.conv(n.input, 2, 1, 1));
                let whole = n.concat(&[n.input, a, b]);
                vec![n.conv(whole, 6, 3, 1), a]
            },
            1,
        ),
        (
            "one twice",
            |n| {
                let (a, b) = (n.conv(n.input, 11, 3, 1), n.conv(n.input, 2, 1, 1));
                let whole = n.concat(&[a, b, a]);
                vec![n.conv(whole, 6, 3, 1)]
            },
            1,
        ),
        (
            "joined again",
            |n| {
                let pieces = [n.conv(n.input, 3, 3, 1), n.conv(n.input, 17, 1, 1)];
                let inner = n.concat(&pieces);
                let last = n.conv(n.input, 5, 3, 1);
                let whole = n.concat(&[last, inner]);
                vec![n.conv(whole, 6, 3, 1)]
            },
            0,
        ),
        (
            "joined again, one not where it is joined first",
            |n| {
                let low = n.pool(n.input);
                let pieces = [n.conv(n.input, 3, 3, 1), low];
                let inner = n.concat(&pieces);
                let last = n.conv(n.input, 5, 3, 1);
                let whole = n.concat(&[last, inner]);
                vec![n.conv(whole, 6, 3, 1)]
            },
            2,
        ),
        (
            "joined, and joined along another axis",
            |n| {
                let pieces = [n.conv(n.input, 3, 3, 1), n.conv(n.input, 5, 1, 1)];
                let inner = n.concat(&pieces);
                let other = n.pool(n.input);
                let whole = n.tensor(&[2 * PIXELS[0], PIXELS[1], PIXELS[2], CHANNELS]);
                let options = ConcatenationOptionsT { axis: 0, ..Default::default() };
                let whole = n.op(B::CONCATENATION, &[other, inner], whole, options);
                let pooled = n.tensor(&[2 * PIXELS[0], PIXELS[1], PIXELS[2], CHANNELS]);
                let options = Pool2DOptionsT {
                    stride_w: 1,
                    stride_h: 1,
                    filter_width: 1,
                    filter_height: 1,
                    ..Default::default()
                };
                vec![n.op(B::MAX_POOL_2D, &[whole], pooled, options)]
            },
            0,
        ),
        (
            "into an output under another shape",
            |n| {
                let pieces = [n.conv(n.input, 3, 3, 1), n.conv(n.input, 5, 1, 1)];
                let inner = n.concat(&pieces);
                let flat = [PIXELS[0], PIXELS[1] * PIXELS[2] * CHANNELS];
                let (shape, output) = (n.list(&flat), n.tensor(&flat));
                vec![n.op(B::RESHAPE, &[inner, shape], output, Options::None)]
            },
            0,
        ),
    ];
    for form in [Form::Float, Form::Hybrid, Form::Bytes, Form::Words] {
        for (name, make, left) in rows {
            let mut net = Net::new(form);
            let outputs = make(&mut net);
            let model = net.finish(&outputs);
            let (want, _) = run(&model, true, 1);
            for threads in [1, 2, 4] {
                let (got, steps) = run(&model, false, threads);
                assert_eq!(got, want, "{name}, {form:?}, {threads} threads");
                let joins = steps.iter().filter(|step| step.as_str() == "CONCATENATION").count();
                assert_eq!(joins, left, "{name}, {form:?}: {steps:?}");
            }
        }
    }
}

#[test]
fn groups_are_written_where_they_are_joined() {
    for form in [Form::Float, Form::Bytes] {
        let mut net = Net::new(form);
        let pieces = [net.conv(net.input, 6, 3, 2), net.conv(net.input, 5, 1, 1)];
        let whole = net.concat(&pieces);
        let outputs = [net.conv(whole, 6, 3, 1)];
        let model = net.finish(&outputs);
        let (want, _) = run(&model, true, 1);
        let (got, steps) = run(&model, false, 2);
        assert_eq!((got, steps.len()), (want, 3), "{form:?}");
    }
}
