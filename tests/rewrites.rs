//! What the planner makes of whole groups of operators computes the bits that the operators compute one by one.

use std::sync::Arc;

use ferrolite::{Interpreter, Model};
use ferrolite_model::options::{
    AddOptionsT, Conv2DOptionsT, DepthwiseConv2DOptionsT, FullyConnectedOptionsT, GatherOptionsT,
    MulOptionsT, Options, Padding, ReshapeOptionsT,
};
use ferrolite_model::{BuiltinOperator as B, ModelBuilder, Operator, Quantization, Tensor, TensorType};

/// All bytes and some more.
const LEN: usize = 300;

/// A model over bytes.
struct Bytes {
    builder: ModelBuilder,
    inputs: Vec<usize>,
    dtype: TensorType,
    /// Of all tensors but constants.
    shape: Vec<usize>,
}

impl Bytes {
    fn new(dtype: TensorType) -> Self {
        Self { builder: ModelBuilder::new(), inputs: Vec::new(), dtype, shape: vec![1, LEN] }
    }

    fn tensor(&self, shape: &[usize], scale: f32, zero: i64) -> Tensor {
        let quantization = Some(Arc::new(Quantization::per_tensor(scale, zero)));
        Tensor { quantization, ..Tensor::new("bytes", self.dtype, shape) }
    }

    fn input(&mut self) -> usize {
        let input = self.builder.add_tensor(0, self.tensor(&self.shape, 0.05, 3));
        self.inputs.push(input);
        input
    }

    /// An input with a scale for each of its first dimension's slices, each larger than the one before.
    fn channels(&mut self, least: f32) -> usize {
        let scales = (1..=self.shape[0]).map(|i| least * i as f32).collect();
        let quantization = Some(Arc::new(Quantization::per_channel(scales, 0)));
        let tensor = Tensor { quantization, ..Tensor::new("channels", self.dtype, &self.shape) };
        let input = self.builder.add_tensor(0, tensor);
        self.inputs.push(input);
        input
    }

    fn constant(&mut self, shape: &[usize], scale: f32) -> usize {
        let bytes: Vec<u8> =
            (0..shape.iter().product::<usize>()).map(|i| (i * 29 % 100 + 20) as u8).collect();
        self.builder.add_constant(0, self.tensor(shape, scale, 1), bytes)
    }

    fn op(&mut self, code: B, inputs: &[usize], scale: f32, zero: i64, options: impl Into<Options>) -> usize {
        let output = self.tensor(&self.shape, scale, zero);
        self.op_to(code, inputs, output, options)
    }

    fn floats(&mut self, code: B, inputs: &[usize]) -> usize {
        let output = Tensor::new("floats", TensorType::Float32, &self.shape);
        self.op_to(code, inputs, output, Options::None)
    }

    fn op_to(&mut self, code: B, inputs: &[usize], output: Tensor, options: impl Into<Options>) -> usize {
        let output = self.builder.add_tensor(0, output);
        let inputs = inputs.iter().copied().map(Some);
        self.builder.add_operator(0, Operator::new(code, inputs, [output], options));
        output
    }

    fn sigmoid(&mut self, x: usize) -> usize {
        let (scale, zero) = (1.0 / 256.0, if self.dtype == TensorType::Int8 { -128 } else { 0 });
        self.op(B::LOGISTIC, &[x], scale, zero, Options::None)
    }

    fn add(&mut self, a: usize, b: usize) -> usize {
        self.op(
            B::ADD,
            &[a, b],
            0.07,
            -2 + i64::from(self.dtype == TensorType::UInt8) * 60,
            AddOptionsT::default(),
        )
    }

    fn mul(&mut self, a: usize, b: usize) -> usize {
        self.op(B::MUL, &[a, b], 0.04, 5, MulOptionsT::default())
    }
}

/// The bytes of all outputs, and the plan.
fn run(model: &Model, separate: bool) -> (Vec<Vec<u8>>, String) {
    let mut interpreter = Interpreter::builder(model)
        .threads(1)
        .preserve_all_tensors(separate)
        .build()
        .expect("it can be planned");
    for i in 0..interpreter.inputs().len() {
        let len = interpreter.input_shape(i).iter().product();
        let input: Vec<u8> = (0..len).map(|at: usize| (at * (2 * i + 1)) as u8).collect();
        interpreter.set_input_bytes(i, &input).expect("as many bytes");
    }
    interpreter.invoke().expect("it runs");
    let bytes = |i| interpreter.output_bytes(i).expect("an output").to_vec();
    ((0..interpreter.outputs().len()).map(bytes).collect(), interpreter.describe())
}

#[test]
fn functions_of_bytes_are_tables() {
    type Row = (&'static str, fn(&mut Bytes) -> Vec<usize>, usize, usize);
    // Name, model, how many steps are left of it, and how many of these are tables.
    let rows: &[Row] = &[
        (
            "x * sigmoid(x)",
            |n| {
                let x = n.input();
                let gate = n.sigmoid(x);
                vec![n.mul(x, gate)]
            },
            1,
            1,
        ),
        (
            "a hard swish in pieces",
            |n| {
                let x = n.input();
                let (three, sixth) = (n.constant(&[], 0.03), n.constant(&[1, 1], 0.002));
                let sum = n.add(three, x);
                let cut = n.op(B::RELU6, &[sum], 0.03, 0, Options::None);
                let scaled = n.mul(cut, sixth);
                vec![n.mul(scaled, x)]
            },
            1,
            1,
        ),
        (
            "by way of floats",
            |n| {
                let x = n.input();
                let real = n.floats(B::DEQUANTIZE, &[x]);
                let bent = n.floats(B::TANH, &[real]);
                vec![n.op(B::QUANTIZE, &[bent], 0.01, 0, Options::None)]
            },
            1,
            1,
        ),
        (
            "a gate that is read elsewhere",
            |n| {
                let x = n.input();
                let gate = n.sigmoid(x);
                vec![gate, n.mul(x, gate)]
            },
            2,
            1,
        ),
        (
            "one after another",
            |n| {
                let x = n.input();
                let y = n.add(x, x);
                vec![n.sigmoid(y)]
            },
            1,
            1,
        ),
        (
            "of two tensors",
            |n| {
                let (x, y) = (n.input(), n.input());
                let gate = n.sigmoid(y);
                vec![n.mul(x, gate)]
            },
            2,
            0,
        ),
        (
            "with a row of constants",
            |n| {
                let x = n.input();
                let row = n.constant(&[LEN], 0.03);
                vec![n.add(x, row)]
            },
            1,
            0,
        ),
        (
            "of a rank that the reference rounds in another way",
            |n| {
                n.shape = vec![1, 1, 2, 1, 3, 2, 25];
                let x = n.input();
                let gate = n.sigmoid(x);
                let half = n.constant(&[1], 0.011);
                let product = n.mul(x, gate);
                vec![n.mul(product, half)]
            },
            1,
            1,
        ),
        (
            "scales of channels",
            |n| {
                n.shape = vec![256, 1];
                let x = n.channels(0.001);
                let real = n.floats(B::DEQUANTIZE, &[x]);
                vec![n.op(B::QUANTIZE, &[real], 0.05, 0, Options::None)]
            },
            2,
            0,
        ),
        (
            "a constant of more dimensions",
            |n| {
                let x = n.input();
                let one = n.constant(&[1, 1, 1], 0.03);
                vec![n.add(x, one)]
            },
            1,
            0,
        ),
    ];
    for dtype in [TensorType::Int8, TensorType::UInt8] {
        for (name, build, steps, tables) in rows {
            let mut net = Bytes::new(dtype);
            let outputs = build(&mut net);
            net.builder.set_inputs(0, net.inputs.clone()).set_outputs(0, outputs);
            let bytes = net.builder.to_bytes().expect("the model can be written");
            let model = Model::from_bytes(bytes).expect("it is valid");
            let ((separate, _), (fused, plan)) = (run(&model, true), run(&model, false));
            assert_eq!(fused, separate, "{dtype} {name}:\n{plan}");
            assert!(plan.contains(&format!(" {steps} steps")), "{dtype} {name}:\n{plan}");
            assert_eq!(plan.matches("8_table").count(), *tables, "{dtype} {name}:\n{plan}");
        }
    }
}

/// A model over floats whose weights are stored in 16 bits.
struct Halves {
    builder: ModelBuilder,
    input: usize,
    /// Five of them.
    positions: usize,
}

impl Halves {
    const SHAPE: [usize; 4] = [1, 4, 5, 19];

    /// The bits of all outputs of what `build` builds, fused and not, and the plan of the former.
    fn run(build: fn(&mut Self) -> Vec<usize>) -> (Vec<Vec<u32>>, Vec<Vec<u32>>, String) {
        let mut builder = ModelBuilder::new();
        let input = builder.add_tensor(0, Tensor::new("input", TensorType::Float32, &Self::SHAPE));
        let positions = builder.add_tensor(0, Tensor::new("positions", TensorType::Int32, &[5]));
        builder.set_inputs(0, [input, positions]);
        let mut net = Self { builder, input, positions };
        let outputs = build(&mut net);
        net.builder.set_outputs(0, outputs);
        let bytes = net.builder.to_bytes().expect("the model can be written");
        let model = Model::from_bytes(bytes).expect("it is valid");
        let outputs = |separate| {
            let mut interpreter = Interpreter::builder(&model)
                .threads(2)
                .preserve_all_tensors(separate)
                .build()
                .expect("it can be planned");
            let input = interpreter.input_mut::<f32>(0).expect("a float input");
            input.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.3).cos());
            interpreter.input_mut::<i32>(1).expect("positions").copy_from_slice(&[2, 0, 1, 2, 2]);
            interpreter.invoke().expect("it runs");
            let bits =
                |i| interpreter.output::<f32>(i).expect("floats").iter().map(|x| x.to_bits()).collect();
            let all = (0..interpreter.outputs().len()).map(bits).collect::<Vec<Vec<u32>>>();
            (all, interpreter.describe())
        };
        let ((fused, plan), (separate, _)) = (outputs(false), outputs(true));
        (fused, separate, plan)
    }

    /// What GATHER picks from a table of that shape along an axis.
    fn gather(&mut self, table: &[usize], axis: i32, picked: &[usize]) -> usize {
        let table = self.widened(table);
        self.op(B::GATHER, &[table, self.positions], picked, GatherOptionsT { axis, batch_dims: 0 })
    }

    /// The positions, one in each row.
    fn column_of_positions(&mut self) -> usize {
        let column = self.builder.add_tensor(0, Tensor::new("column", TensorType::Int32, &[5, 1]));
        let options = ReshapeOptionsT { new_shape: Some(vec![5, 1]) };
        let operator = Operator::new(B::RESHAPE, [Some(self.positions)], [column], options);
        self.builder.add_operator(0, operator);
        column
    }

    /// A constant in 16 bits, widened.
    fn widened(&mut self, shape: &[usize]) -> usize {
        // Exponents around one, either sign.
        let half = |i: usize| (0x3000 + (i * 613 % 0x0c00) as u16) | (i.is_multiple_of(3) as u16) << 15;
        let bytes: Vec<u8> = (0..shape.iter().product()).flat_map(|i| half(i).to_le_bytes()).collect();
        let stored = self.builder.add_constant(0, Tensor::new("stored", TensorType::Float16, shape), bytes);
        self.op(B::DEQUANTIZE, &[stored], shape, Options::None)
    }

    fn op(&mut self, code: B, inputs: &[usize], shape: &[usize], options: impl Into<Options>) -> usize {
        let output = self.builder.add_tensor(0, Tensor::new("result", TensorType::Float32, shape));
        let inputs = inputs.iter().copied().map(Some);
        self.builder.add_operator(0, Operator::new(code, inputs, [output], options));
        output
    }

    fn conv(&mut self, x: usize, filter: usize) -> usize {
        let bias = self.widened(&[19]);
        let options = Conv2DOptionsT {
            padding: Padding::SAME,
            stride_w: 1,
            stride_h: 1,
            dilation_w_factor: 1,
            dilation_h_factor: 1,
            ..Default::default()
        };
        self.op(B::CONV_2D, &[x, filter, bias], &Self::SHAPE, options)
    }
}

#[test]
fn weights_of_16_bits_are_widened_while_they_are_packed() {
    type Row = (&'static str, fn(&mut Halves) -> Vec<usize>);
    let rows: &[Row] = &[
        ("convolution", |n| {
            let filter = n.widened(&[19, 3, 3, 19]);
            vec![n.conv(n.input, filter)]
        }),
        ("shared filter", |n| {
            let filter = n.widened(&[19, 1, 1, 19]);
            let once = n.conv(n.input, filter);
            vec![n.conv(once, filter)]
        }),
        ("filter that is an output too", |n| {
            let filter = n.widened(&[19, 3, 3, 19]);
            vec![n.conv(n.input, filter), filter]
        }),
        ("filter that is added to too", |n| {
            let filter = n.widened(&[19, 1, 1, 19]);
            let sum = n.op(B::ADD, &[filter, n.input], &Halves::SHAPE, AddOptionsT::default());
            vec![n.conv(sum, filter)]
        }),
        ("depthwise", |n| {
            let (filter, bias) = (n.widened(&[1, 3, 3, 19]), n.widened(&[19]));
            let options = DepthwiseConv2DOptionsT {
                padding: Padding::SAME,
                stride_w: 1,
                stride_h: 1,
                depth_multiplier: 1,
                dilation_w_factor: 1,
                dilation_h_factor: 1,
                ..Default::default()
            };
            vec![n.op(B::DEPTHWISE_CONV_2D, &[n.input, filter, bias], &Halves::SHAPE, options)]
        }),
        ("dense", |n| {
            let (weights, bias) = (n.widened(&[33, 19]), n.widened(&[33]));
            let options = FullyConnectedOptionsT { keep_num_dims: true, ..Default::default() };
            vec![n.op(B::FULLY_CONNECTED, &[n.input, weights, bias], &[1, 4, 5, 33], options)]
        }),
        ("dense with a computed bias", |n| {
            let weights = n.widened(&[19, 19]);
            let flat = n.op(B::ABS, &[n.input], &Halves::SHAPE, Options::None);
            let axes: Vec<u8> = [0i32, 1, 2].iter().flat_map(|axis| axis.to_le_bytes()).collect();
            let axes = n.builder.add_constant(0, Tensor::new("axes", TensorType::Int32, &[3]), axes);
            let bias = n.op(B::SUM, &[flat, axes], &[19], Options::None);
            let options = FullyConnectedOptionsT { keep_num_dims: true, ..Default::default() };
            vec![n.op(B::FULLY_CONNECTED, &[n.input, weights, bias], &Halves::SHAPE, options)]
        }),
    ];
    for (name, build) in rows {
        let (fused, separate, _) = Halves::run(*build);
        assert_eq!(fused, separate, "{name}");
    }
}

#[test]
fn rows_of_tables_of_16_bits_are_widened_once_they_are_picked() {
    type Row = (&'static str, fn(&mut Halves) -> Vec<usize>, usize);
    /// Rows and elements of a row.
    const TABLE: [usize; 2] = [23, 19];
    let rows: &[Row] = &[
        ("gather", |n| vec![n.gather(&TABLE, 0, &[5, 19])], 1),
        ("gather along the last dimension", |n| vec![n.gather(&TABLE, 1, &[23, 5])], 1),
        (
            "gather from one table twice",
            |n| {
                let (table, at) = (n.widened(&TABLE), n.positions);
                let once = n.op(B::GATHER, &[table, at], &[5, 19], GatherOptionsT::default());
                vec![once, n.op(B::GATHER, &[table, at], &[5, 19], GatherOptionsT::default())]
            },
            2,
        ),
        (
            "gather by coordinates",
            |n| {
                let (table, at) = (n.widened(&TABLE), n.column_of_positions());
                vec![n.op(B::GATHER_ND, &[table, at], &[5, 19], Options::None)]
            },
            1,
        ),
        (
            "embedding",
            |n| {
                let (table, at) = (n.widened(&TABLE), n.positions);
                vec![n.op(B::EMBEDDING_LOOKUP, &[at, table], &[5, 19], Options::None)]
            },
            1,
        ),
        (
            "table that is the weights of a product too",
            |n| {
                let (table, at) = (n.widened(&TABLE), n.positions);
                let rows = n.op(B::GATHER, &[table, at], &[5, 19], GatherOptionsT::default());
                let bias = n.widened(&[23]);
                let options = FullyConnectedOptionsT { keep_num_dims: true, ..Default::default() };
                vec![n.op(B::FULLY_CONNECTED, &[rows, table, bias], &[5, 23], options)]
            },
            1,
        ),
        (
            "table that is an output too",
            |n| {
                let (table, at) = (n.widened(&TABLE), n.positions);
                vec![n.op(B::GATHER, &[table, at], &[5, 19], GatherOptionsT::default()), table]
            },
            0,
        ),
        ("more positions than rows", |n| vec![n.gather(&[3, 19], 0, &[5, 19])], 0),
    ];
    for (name, build, widened) in rows {
        let (fused, separate, plan) = Halves::run(*build);
        assert_eq!(fused, separate, "{name}");
        assert_eq!(plan.matches("DEQUANTIZE").count(), *widened, "{name}:\n{plan}");
    }
}
