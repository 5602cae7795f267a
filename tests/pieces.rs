//! Tensors that are parts of others, as what a concatenation joins or a split takes apart, hold the bits that they hold in
//! memory of their own.

use ferrolite::{Interpreter, Model};
use ferrolite_model::options::{
    AddOptionsT, ConcatenationOptionsT, Options, PackOptionsT, SplitOptionsT, SplitVOptionsT,
    StridedSliceOptionsT, UnpackOptionsT,
};
use ferrolite_model::{BuiltinOperator as B, ModelBuilder, Operator, Quantization, Tensor, TensorType};

/// Positions behind the first axis.
const ROW: usize = 4;

/// A model over one input of shape `[6, ROW]`.
struct Net {
    builder: ModelBuilder,
    dtype: TensorType,
    shapes: Vec<Vec<usize>>,
    input: usize,
}

impl Net {
    fn new(dtype: TensorType) -> Self {
        let mut net = Self { builder: ModelBuilder::new(), dtype, shapes: Vec::new(), input: 0 };
        net.input = net.tensor(&[6, ROW], dtype);
        net
    }

    fn tensor(&mut self, shape: &[usize], dtype: TensorType) -> usize {
        let mut tensor = Tensor::new("tensor", dtype, shape);
        if dtype == TensorType::Int8 {
            tensor = tensor.quantized(Quantization::per_tensor(0.25, 3));
        }
        self.shapes.push(shape.to_vec());
        self.builder.add_tensor(0, tensor)
    }

    /// The number of rows.
    fn rows(&self, t: usize) -> usize {
        self.shapes[t][0]
    }

    fn constant(&mut self, tensor: Tensor, bytes: Vec<u8>) -> usize {
        self.shapes.push(tensor.shape.clone());
        self.builder.add_constant(0, tensor, bytes)
    }

    fn list(&mut self, values: &[usize]) -> usize {
        let bytes = values.iter().flat_map(|&v| (v as i32).to_le_bytes()).collect();
        self.constant(Tensor::new("list", TensorType::Int32, &[values.len()]), bytes)
    }

    /// A constant of the model's type with these rows.
    fn known(&mut self, rows: usize) -> usize {
        let element = self.dtype.bits().expect("it has a size") / 8;
        let bytes = (0..rows * ROW * element).map(|i| (i % 61) as u8).collect();
        let tensor = Tensor::new("known", self.dtype, &[rows, ROW]);
        let tensor = if self.dtype == TensorType::Int8 {
            tensor.quantized(Quantization::per_tensor(0.25, 3))
        } else {
            tensor
        };
        self.constant(tensor, bytes)
    }

    fn ops(
        &mut self,
        code: B,
        inputs: &[usize],
        shapes: &[&[usize]],
        dtype: TensorType,
        options: impl Into<Options>,
    ) -> Vec<usize> {
        let outputs: Vec<usize> = shapes.iter().map(|shape| self.tensor(shape, dtype)).collect();
        let inputs = inputs.iter().copied().map(Some);
        self.builder.add_operator(0, Operator::new(code, inputs, outputs.iter().copied(), options));
        outputs
    }

    fn op(&mut self, code: B, inputs: &[usize], shape: &[usize], options: impl Into<Options>) -> usize {
        self.ops(code, inputs, &[shape], self.dtype, options)[0]
    }

    /// An operator that may overwrite its input, and joins no chain.
    fn relu(&mut self, x: usize) -> usize {
        let shape = self.shapes[x].clone();
        match self.dtype {
            TensorType::Int32 => self.op(B::NEG, &[x], &shape, Options::None),
            TensorType::Float32 => self.op(B::SIN, &[x], &shape, Options::None),
            _ => self.op(B::RELU, &[x], &shape, Options::None),
        }
    }

    fn add(&mut self, a: usize, b: usize) -> usize {
        let shape = self.shapes[a].clone();
        self.op(B::ADD, &[a, b], &shape, AddOptionsT::default())
    }

    fn concat(&mut self, inputs: &[usize]) -> usize {
        let rows = inputs.iter().map(|&t| self.rows(t)).sum();
        let mut shape = self.shapes[inputs[0]].clone();
        shape[0] = rows;
        self.op(B::CONCATENATION, inputs, &shape, ConcatenationOptionsT::default())
    }

    fn split_v(&mut self, x: usize, sizes: &[usize]) -> Vec<usize> {
        let (list, axis) = (self.list(sizes), self.list(&[0]));
        let shapes: Vec<[usize; 2]> = sizes.iter().map(|&rows| [rows, ROW]).collect();
        let shapes: Vec<&[usize]> = shapes.iter().map(|shape| shape.as_slice()).collect();
        let options = SplitVOptionsT { num_splits: sizes.len() as i32 };
        self.ops(B::SPLIT_V, &[x, list, axis], &shapes, self.dtype, options)
    }

    fn slice(&mut self, x: usize, first: usize, rows: usize) -> usize {
        let (begin, size) = (self.list(&[first, 0]), self.list(&[rows, ROW]));
        self.op(B::SLICE, &[x, begin, size], &[rows, ROW], Options::None)
    }

    fn reshape(&mut self, x: usize, shape: &[usize]) -> usize {
        let list = self.list(shape);
        self.op(B::RESHAPE, &[x, list], shape, Options::None)
    }

    fn finish(mut self, outputs: &[usize]) -> Model {
        self.builder.set_inputs(0, [self.input]);
        self.builder.set_outputs(0, outputs.iter().copied());
        Model::from_bytes(self.builder.to_bytes().expect("the model can be written")).expect("it is valid")
    }
}

/// The bytes of all outputs after two runs, and the kernels of the steps.
fn run(model: &Model, separate: bool, threads: usize) -> (Vec<Vec<u8>>, Vec<String>) {
    let builder = Interpreter::builder(model).threads(threads).preserve_all_tensors(separate).profile(true);
    let mut interpreter = builder.build().expect("it can be planned");
    let dtype = interpreter.inputs()[0].dtype;
    for _ in 0..2 {
        let bytes: Vec<u8> = match dtype {
            TensorType::Float32 => {
                (0..6 * ROW).flat_map(|i| ((i as f32 * 0.3).cos() * 3.0).to_le_bytes()).collect()
            }
            TensorType::Int32 => (0..6 * ROW).flat_map(|i| (i as i32 * 37 - 400).to_le_bytes()).collect(),
            _ => (0..6 * ROW).map(|i| (i * 7) as u8).collect(),
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

/// Name, element type, model, and the operators that are steps.
type Row = (&'static str, TensorType, fn(&mut Net) -> Vec<usize>, &'static [&'static str]);

fn check(rows: &[Row]) {
    for (name, dtype, make, steps) in rows {
        let mut net = Net::new(*dtype);
        let outputs = make(&mut net);
        let model = net.finish(&outputs);
        let (want, _) = run(&model, true, 1);
        for threads in [1, 2] {
            let (got, operators) = run(&model, false, threads);
            assert_eq!(got, want, "{name}, {threads} threads");
            assert_eq!(operators, *steps, "{name}");
        }
    }
}

#[test]
fn joined_tensors_are_written_where_they_are_joined() {
    const INT: TensorType = TensorType::Int32;
    check(&[
        (
            "two results",
            INT,
            |n| {
                let (a, b) = (n.relu(n.input), n.add(n.input, n.input));
                let whole = n.concat(&[a, b]);
                vec![n.relu(whole)]
            },
            &["NEG", "ADD", "NEG"],
        ),
        (
            "bytes of one scale",
            TensorType::Int8,
            |n| {
                let (a, b) = (n.relu(n.input), n.add(n.input, n.input));
                let whole = n.concat(&[a, b]);
                vec![n.relu(whole)]
            },
            &["RELU", "ferrolite.byte_table", "RELU"],
        ),
        (
            "a constant and an input among them",
            INT,
            |n| {
                let (a, known) = (n.relu(n.input), n.known(1));
                let whole = n.concat(&[known, a, n.input]);
                vec![n.relu(whole)]
            },
            &["NEG", "CONCATENATION", "NEG"],
        ),
        (
            "one twice",
            INT,
            |n| {
                let (a, b) = (n.relu(n.input), n.add(n.input, n.input));
                let whole = n.concat(&[a, b, a]);
                vec![n.relu(whole)]
            },
            &["NEG", "ADD", "CONCATENATION", "NEG"],
        ),
        (
            "one under two names",
            INT,
            |n| {
                let a = n.relu(n.input);
                let b = n.reshape(a, &[6, ROW]);
                let whole = n.concat(&[a, b]);
                vec![n.relu(whole)]
            },
            &["NEG", "CONCATENATION", "NEG"],
        ),
        (
            "one that is an output",
            INT,
            |n| {
                let (a, b) = (n.relu(n.input), n.add(n.input, n.input));
                let whole = n.concat(&[a, b]);
                vec![n.relu(whole), a]
            },
            &["NEG", "ADD", "CONCATENATION", "NEG"],
        ),
        (
            "into an output",
            INT,
            |n| {
                let (a, b) = (n.relu(n.input), n.add(n.input, n.input));
                vec![n.concat(&[a, b])]
            },
            &["NEG", "ADD", "CONCATENATION"],
        ),
        (
            "joined again, in another order",
            INT,
            |n| {
                let (a, b, c) = (n.relu(n.input), n.add(n.input, n.input), n.relu(n.input));
                let first = n.concat(&[a, b]);
                let second = n.concat(&[c, first]);
                vec![n.relu(second)]
            },
            &["NEG", "ADD", "NEG", "NEG"],
        ),
        (
            "in two places",
            INT,
            |n| {
                let (a, b) = (n.relu(n.input), n.add(n.input, n.input));
                let (first, second) = (n.concat(&[a, b]), n.concat(&[b, a]));
                let sum = n.add(first, second);
                vec![sum]
            },
            &["NEG", "ADD", "CONCATENATION", "ADD"],
        ),
        (
            "a piece is read, and overwritten, afterwards",
            INT,
            |n| {
                let (a, b) = (n.relu(n.input), n.add(n.input, n.input));
                let whole = n.concat(&[a, b]);
                let early = n.relu(a);
                let late = n.relu(whole);
                let again = n.relu(b);
                let sum = n.add(early, again);
                vec![late, sum]
            },
            &["NEG", "ADD", "NEG", "NEG", "NEG", "ADD"],
        ),
        (
            "packed",
            INT,
            |n| {
                let (a, b) = (n.relu(n.input), n.add(n.input, n.input));
                let options = PackOptionsT { values_count: 2, axis: 0 };
                let whole = n.op(B::PACK, &[a, b], &[2, 6, ROW], options);
                vec![n.relu(whole)]
            },
            &["NEG", "ADD", "NEG"],
        ),
        (
            "along an inner axis",
            INT,
            |n| {
                let (a, b) = (n.relu(n.input), n.add(n.input, n.input));
                let options = ConcatenationOptionsT { axis: 1, ..Default::default() };
                let whole = n.op(B::CONCATENATION, &[a, b], &[6, 2 * ROW], options);
                vec![n.relu(whole)]
            },
            &["NEG", "ADD", "CONCATENATION", "NEG"],
        ),
        (
            "along an inner axis with nothing around it",
            INT,
            |n| {
                let (a, b) = (n.relu(n.input), n.add(n.input, n.input));
                let (a, b) = (n.reshape(a, &[1, 6, ROW]), n.reshape(b, &[1, 6, ROW]));
                let options = ConcatenationOptionsT { axis: 1, ..Default::default() };
                let whole = n.op(B::CONCATENATION, &[a, b], &[1, 12, ROW], options);
                vec![n.relu(whole)]
            },
            &["NEG", "ADD", "NEG"],
        ),
    ]);
}

#[test]
fn parts_of_tensors_stay_where_they_are() {
    const INT: TensorType = TensorType::Int32;
    check(&[
        (
            "split, parts overwritten in turn",
            INT,
            |n| {
                let x = n.relu(n.input);
                let parts = n.split_v(x, &[1, 3, 2]);
                let a = n.relu(parts[1]);
                let b = n.relu(parts[0]);
                let c = n.relu(parts[2]);
                let whole = n.concat(&[a, b, c]);
                vec![n.relu(whole)]
            },
            &["NEG", "NEG", "NEG", "NEG", "CONCATENATION", "NEG"],
        ),
        (
            "joined as they were",
            INT,
            |n| {
                let x = n.relu(n.input);
                let parts = n.split_v(x, &[1, 5]);
                let a = n.relu(parts[0]);
                let whole = n.concat(&[a, parts[1]]);
                vec![n.relu(whole)]
            },
            &["NEG", "NEG", "NEG"],
        ),
        (
            "an empty one",
            INT,
            |n| {
                let x = n.relu(n.input);
                let parts = n.split_v(x, &[2, 0, 4]);
                let empty = n.relu(parts[1]);
                let whole = n.concat(&[parts[2], empty, parts[0]]);
                vec![n.relu(whole)]
            },
            &["NEG", "NEG", "CONCATENATION", "NEG"],
        ),
        (
            "one is an output",
            INT,
            |n| {
                let x = n.relu(n.input);
                let parts = n.split_v(x, &[2, 4]);
                vec![n.relu(parts[1]), parts[0]]
            },
            &["NEG", "SPLIT_V", "NEG"],
        ),
        (
            "the whole is read afterwards",
            INT,
            |n| {
                let x = n.relu(n.input);
                let parts = n.split_v(x, &[3, 3]);
                let a = n.relu(parts[0]);
                let b = n.relu(x);
                let c = n.add(a, parts[1]);
                vec![b, c]
            },
            &["NEG", "NEG", "NEG", "ADD"],
        ),
        (
            "equal parts, overlapping slices",
            INT,
            |n| {
                let x = n.relu(n.input);
                let axis = n.list(&[0]);
                let options = SplitOptionsT { num_splits: 2 };
                let halves = n.ops(B::SPLIT, &[axis, x], &[&[3, ROW], &[3, ROW]], INT, options);
                let (a, b) = (n.slice(x, 1, 3), n.slice(x, 2, 3));
                let a = n.relu(a);
                let sum = n.add(halves[0], b);
                let sum = n.add(sum, a);
                vec![n.add(sum, halves[1])]
            },
            &["NEG", "NEG", "ADD", "ADD", "ADD"],
        ),
        (
            "a row without its axis",
            INT,
            |n| {
                let x = n.relu(n.input);
                let lists = [n.list(&[4]), n.list(&[5]), n.list(&[1])];
                let options = StridedSliceOptionsT { shrink_axis_mask: 1, ..Default::default() };
                let row = n.op(B::STRIDED_SLICE, &[x, lists[0], lists[1], lists[2]], &[ROW], options);
                vec![n.relu(row)]
            },
            &["NEG", "NEG"],
        ),
        (
            "every other row",
            INT,
            |n| {
                let x = n.relu(n.input);
                let lists = [n.list(&[0]), n.list(&[6]), n.list(&[2])];
                let options = StridedSliceOptionsT::default();
                let rows = n.op(B::STRIDED_SLICE, &[x, lists[0], lists[1], lists[2]], &[3, ROW], options);
                vec![n.relu(rows)]
            },
            &["NEG", "STRIDED_SLICE", "NEG"],
        ),
        (
            "unpacked, and moved to an output under another shape",
            INT,
            |n| {
                let x = n.relu(n.input);
                let x = n.reshape(x, &[2, 3, ROW]);
                let options = UnpackOptionsT { num: 2, axis: 0 };
                let parts = n.ops(B::UNPACK, &[x], &[&[3, ROW], &[3, ROW]], INT, options);
                let shown = n.reshape(parts[1], &[ROW, 3]);
                vec![n.relu(parts[0]), shown]
            },
            &["NEG", "RESHAPE", "NEG"],
        ),
        (
            "an order that moves nothing",
            INT,
            |n| {
                let x = n.relu(n.input);
                let x = n.reshape(x, &[6, 1, ROW]);
                let order = n.list(&[1, 0, 2]);
                let x = n.op(B::TRANSPOSE, &[x, order], &[1, 6, ROW], Options::None);
                vec![n.relu(x), x]
            },
            &["NEG", "NEG"],
        ),
    ]);
}

/// Bytes at an odd place are no numbers of four bytes.
#[test]
fn parts_keep_the_alignment_of_their_elements() {
    let mut net = Net::new(TensorType::Int32);
    let bytes = net.ops(B::CAST, &[net.input], &[&[6, ROW]], TensorType::UInt8, Options::None)[0];
    let flat = net.list(&[6 * ROW]);
    let bytes = net.ops(B::RESHAPE, &[bytes, flat], &[&[6 * ROW]], TensorType::UInt8, Options::None)[0];
    let mut numbers = Vec::new();
    for first in [1, 4, 7] {
        let lists = [net.list(&[first]), net.list(&[2 * ROW])];
        let part =
            net.ops(B::SLICE, &[bytes, lists[0], lists[1]], &[&[8]], TensorType::UInt8, Options::None)[0];
        let part = net.reshape_bytes(part);
        let number = net.op(B::BITCAST, &[part], &[2], Options::None);
        numbers.push(net.relu(number));
    }
    let joined = net.concat(&numbers);
    let outputs = [net.relu(joined)];
    let model = net.finish(&outputs);
    let (want, _) = run(&model, true, 1);
    let (got, steps) = run(&model, false, 1);
    assert_eq!(got, want);
    assert_eq!(steps.iter().filter(|step| *step == "BITCAST").count(), 2, "{steps:?}");
}

impl Net {
    fn reshape_bytes(&mut self, x: usize) -> usize {
        let list = self.list(&[2, 4]);
        self.ops(B::RESHAPE, &[x, list], &[&[2, 4]], TensorType::UInt8, Options::None)[0]
    }
}

/// Numbers that only look random (Marsaglia, "Xorshift RNGs", 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n
    }
}

/// A graph of `count` operators over tensors of some rows.
fn random_model(seed: u64, dtype: TensorType, count: usize) -> Model {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut net = Net::new(dtype);
    let mut tensors = vec![net.input];
    for _ in 0..count {
        let any = tensors[random.below(tensors.len())];
        // Of the latest ones, so that depths grow.
        let x = tensors[tensors.len() - 1 - random.below(tensors.len().min(4))];
        let rows = net.rows(x);
        let made = match random.below(9) {
            0 | 1 => vec![net.relu(x)],
            2 => {
                let other = tensors.iter().copied().find(|&t| net.rows(t) == rows);
                vec![net.add(x, other.unwrap_or(x))]
            }
            3 | 4 => {
                let mut pieces: Vec<usize> =
                    (0..1 + random.below(3)).map(|_| tensors[random.below(tensors.len())]).collect();
                pieces.push(x);
                if random.below(4) == 0 {
                    pieces.insert(random.below(pieces.len()), net.known(2));
                }
                if pieces.iter().map(|&t| net.rows(t)).sum::<usize>() > 40 {
                    vec![net.relu(any)]
                } else {
                    vec![net.concat(&pieces)]
                }
            }
            5 => {
                let cut = random.below(rows + 1);
                net.split_v(x, &[cut, rows - cut])
            }
            6 => {
                let first = random.below(rows + 1);
                let len = random.below(rows - first + 1);
                vec![net.slice(x, first, len)]
            }
            7 if rows.is_multiple_of(2) && rows > 0 => {
                let pairs = net.reshape(x, &[2, rows / 2, ROW]);
                let options = UnpackOptionsT { num: 2, axis: 0 };
                let half = [rows / 2, ROW];
                net.ops(B::UNPACK, &[pairs], &[&half, &half], dtype, options)
            }
            _ => vec![net.reshape(x, &[rows, ROW])],
        };
        tensors.extend(made);
    }
    let mut outputs: Vec<usize> = vec![tensors[tensors.len() - 1]];
    for _ in 0..3 {
        let t = tensors[random.below(tensors.len())];
        if t != net.input && !outputs.contains(&t) {
            outputs.push(t);
        }
    }
    // Whatever is left is read late.
    let pieces: Vec<usize> = tensors[1..].iter().copied().filter(|_| random.below(3) == 0).collect();
    if !pieces.is_empty() {
        let all = net.concat(&pieces);
        outputs.push(net.relu(all));
    }
    net.finish(&outputs)
}

#[test]
fn random_graphs_compute_the_same_bits() {
    let mut left = 0;
    for seed in 1..=120 {
        let dtype = [TensorType::Int32, TensorType::Float32, TensorType::Int8][seed as usize % 3];
        let model = random_model(seed, dtype, 4 + seed as usize % 23);
        let (want, all) = run(&model, true, 1);
        for threads in [1, 2] {
            let (got, steps) = run(&model, false, threads);
            assert_eq!(got, want, "seed {seed}, {threads} threads");
            left += all.len() - steps.len();
        }
    }
    assert!(left > 300, "only {left} steps were left out");
}
