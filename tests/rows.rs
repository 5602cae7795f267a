//! Functions of rows that become one step, as layer normalization does, compute the bits that separate operators compute.

use ferrolite::{Cpu, Interpreter, Model};
use ferrolite_model::options::{
    ActivationFunctionType, AddOptionsT, DivOptionsT, MulOptionsT, Options, ReducerOptionsT, SoftmaxOptionsT,
    SubOptionsT,
};
use ferrolite_model::{BuiltinOperator as B, ModelBuilder, Operator, Tensor, TensorType};

/// A model under construction, and the shapes of its tensors.
struct Net {
    builder: ModelBuilder,
    shapes: Vec<Vec<usize>>,
    input: usize,
}

impl Net {
    fn new(shape: &[usize]) -> Self {
        let mut builder = ModelBuilder::new();
        let input = builder.add_tensor(0, Tensor::new("input", TensorType::Float32, shape));
        builder.set_inputs(0, [input]);
        assert_eq!(input, 0);
        Self { builder, shapes: vec![shape.to_vec()], input }
    }

    fn keep(&mut self, tensor: usize, shape: &[usize]) -> usize {
        assert_eq!(tensor, self.shapes.len());
        self.shapes.push(shape.to_vec());
        tensor
    }

    /// A constant of numbers between a half and one and a half.
    fn constant(&mut self, shape: &[usize]) -> usize {
        let seed = self.shapes.len();
        let value = |i: usize| (((i * 7 + seed) as f32) * 0.7).sin() * 0.5 + 1.0;
        let bytes: Vec<u8> = (0..shape.iter().product()).flat_map(|i| value(i).to_le_bytes()).collect();
        let tensor = self.builder.add_constant(0, Tensor::new("constant", TensorType::Float32, shape), bytes);
        self.keep(tensor, shape)
    }

    fn ints(&mut self, values: &[i32]) -> usize {
        let shape = [values.len()];
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensor = self.builder.add_constant(0, Tensor::new("ints", TensorType::Int32, &shape), bytes);
        self.keep(tensor, &shape)
    }

    fn scalar(&mut self, value: f32) -> usize {
        let scalar = Tensor::new("scalar", TensorType::Float32, &[]);
        let tensor = self.builder.add_constant(0, scalar, value.to_le_bytes().to_vec());
        self.keep(tensor, &[])
    }

    fn op(&mut self, code: B, inputs: &[usize], shape: &[usize], options: impl Into<Options>) -> usize {
        let output = self.builder.add_tensor(0, Tensor::new("result", TensorType::Float32, shape));
        let inputs = inputs.iter().copied().map(Some);
        self.builder.add_operator(0, Operator::new(code, inputs, [output], options));
        self.keep(output, shape)
    }

    /// An operator of single elements, whose operands broadcast.
    fn each(&mut self, code: B, inputs: &[usize]) -> usize {
        let none = ActivationFunctionType::NONE;
        let options: Options = match code {
            B::ADD => AddOptionsT { fused_activation_function: none, ..Default::default() }.into(),
            B::SUB => SubOptionsT { fused_activation_function: none, ..Default::default() }.into(),
            B::MUL => MulOptionsT { fused_activation_function: none }.into(),
            B::DIV => DivOptionsT { fused_activation_function: none }.into(),
            _ => Options::None,
        };
        let rank = inputs.iter().map(|&i| self.shapes[i].len()).max().unwrap_or(0);
        let mut shape = vec![1; rank];
        for &i in inputs {
            let own = &self.shapes[i];
            for (to, &len) in shape[rank - own.len()..].iter_mut().zip(own) {
                *to = if *to == 1 { len } else { *to };
            }
        }
        self.op(code, inputs, &shape, options)
    }

    fn reduce(&mut self, code: B, input: usize, axes: &[i32], keep_dims: bool) -> usize {
        let mut shape = self.shapes[input].clone();
        let rank = shape.len() as i32;
        let reduced = |i: usize| axes.iter().any(|&axis| axis.rem_euclid(rank) as usize == i);
        for (i, len) in shape.iter_mut().enumerate() {
            *len = if reduced(i) { 1 } else { *len };
        }
        if !keep_dims {
            shape = (0..shape.len()).filter(|&i| !reduced(i)).map(|i| shape[i]).collect();
        }
        let axes = self.ints(axes);
        self.op(code, &[input, axes], &shape, ReducerOptionsT { keep_dims })
    }

    fn mean(&mut self, input: usize, axes: &[i32]) -> usize {
        self.reduce(B::MEAN, input, axes, true)
    }

    fn softmax(&mut self, input: usize) -> usize {
        let shape = self.shapes[input].clone();
        self.op(B::SOFTMAX, &[input], &shape, SoftmaxOptionsT { beta: 1.0 })
    }

    fn finish(mut self, outputs: &[usize]) -> Model {
        self.builder.set_outputs(0, outputs.iter().copied());
        Model::from_bytes(self.builder.to_bytes().expect("the model can be written")).expect("it is valid")
    }
}

/// Layer normalization as Keras writes it: `x * s + (beta - mean * s)` with `s = gamma / sqrt(variance + epsilon)`.
fn keras(n: &mut Net, x: usize, axes: &[i32], row: &[usize], [scale, shift]: [bool; 2]) -> usize {
    let mean = n.mean(x, axes);
    let squares = n.each(B::SQUARED_DIFFERENCE, &[x, mean]);
    let variance = n.mean(squares, axes);
    let epsilon = n.scalar(1e-3);
    let shifted = n.each(B::ADD, &[variance, epsilon]);
    let mut inverse = n.each(B::RSQRT, &[shifted]);
    if scale {
        let gamma = n.constant(row);
        inverse = n.each(B::MUL, &[inverse, gamma]);
    }
    let scaled = n.each(B::MUL, &[x, inverse]);
    let moved = n.each(B::MUL, &[mean, inverse]);
    let rest = if shift {
        let beta = n.constant(row);
        n.each(B::SUB, &[beta, moved])
    } else {
        n.each(B::NEG, &[moved])
    };
    n.each(B::ADD, &[scaled, rest])
}

/// Layer normalization as PyTorch's converters write it: centred, squared by itself or by a power, divided by a root.
fn pytorch(n: &mut Net, x: usize, axes: &[i32], row: &[usize], power: bool) -> usize {
    let mean = n.mean(x, axes);
    let centred = n.each(B::SUB, &[x, mean]);
    let squares = if power {
        let two = n.scalar(2.0);
        n.each(B::POW, &[centred, two])
    } else {
        n.each(B::MUL, &[centred, centred])
    };
    let variance = n.mean(squares, axes);
    let epsilon = n.scalar(1e-5);
    let shifted = n.each(B::ADD, &[variance, epsilon]);
    let deviation = n.each(B::SQRT, &[shifted]);
    let normal = n.each(B::DIV, &[centred, deviation]);
    let (gamma, beta) = (n.constant(row), n.constant(row));
    let scaled = n.each(B::MUL, &[normal, gamma]);
    n.each(B::ADD, &[scaled, beta])
}

fn rms(n: &mut Net, x: usize) -> usize {
    let squares = n.each(B::SQUARE, &[x]);
    let mean = n.mean(squares, &[-1]);
    let epsilon = n.scalar(1e-6);
    let shifted = n.each(B::ADD, &[mean, epsilon]);
    let inverse = n.each(B::RSQRT, &[shifted]);
    let normal = n.each(B::MUL, &[x, inverse]);
    let gamma = n.constant(&[n.shapes[x][n.shapes[x].len() - 1]]);
    n.each(B::MUL, &[normal, gamma])
}

/// The bits of all outputs, those of every NaN the same, and the plan.
fn run(model: &Model, cpu: Cpu, threads: usize, separate: bool) -> (Vec<Vec<u32>>, String) {
    let builder = Interpreter::builder(model).cpu(cpu).threads(threads);
    let mut interpreter = builder.preserve_all_tensors(separate).build().expect("it can be planned");
    let input = interpreter.input_mut::<f32>(0).expect("a float input");
    input.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.3).cos() * 3.0 + 0.1);
    interpreter.invoke().expect("it runs");
    let bits_of = |x: &f32| if x.is_nan() { f32::NAN } else { *x }.to_bits();
    let bits = |i| interpreter.output::<f32>(i).expect("a float output").iter().map(bits_of).collect();
    ((0..interpreter.outputs().len()).map(bits).collect(), interpreter.describe())
}

/// Compares all instruction sets and numbers of threads with separate operators; gives the plan.
fn check(name: &str, model: &Model) -> String {
    let mut last = String::new();
    for cpu in Cpu::all() {
        let (separate, _) = run(model, cpu, 1, true);
        for threads in [1, 2, 4] {
            let (fused, plan) = run(model, cpu, threads, false);
            assert!(fused == separate, "{name}, {threads} threads on {}:\n{plan}", cpu.name());
            last = plan;
        }
    }
    last
}

#[test]
fn normalizations_are_one_step() {
    type Row = (&'static str, &'static [usize], fn(&mut Net) -> Vec<usize>, usize);
    // Name, shape of the input, model, and how many steps are left of it.
    let rows: &[Row] = &[
        ("layer norm", &[2, 70, 256], |n| vec![keras(n, 0, &[2], &[1, 1, 256], [true, true])], 1),
        ("without gamma", &[1, 9, 37], |n| vec![keras(n, 0, &[-1], &[37], [false, true])], 1),
        ("without beta", &[1, 9, 37], |n| vec![keras(n, 0, &[-1], &[37], [true, false])], 1),
        ("without either", &[9, 64], |n| vec![keras(n, 0, &[1], &[], [false, false])], 1),
        ("of one row", &[1, 300], |n| vec![keras(n, 0, &[1], &[300], [true, true])], 1),
        ("over two axes", &[3, 5, 6, 8], |n| vec![keras(n, 0, &[3, 2], &[6, 8], [true, true])], 1),
        ("over planes", &[3, 5, 6, 8], |n| vec![keras(n, 0, &[2, 3], &[5, 1, 1], [true, true])], 1),
        ("over all but the batch", &[3, 5, 6, 8], |n| vec![pytorch(n, 0, &[1, 2, 3], &[8], false)], 1),
        (
            "with numbers that are neither of rows nor of elements",
            &[3, 5, 6, 8],
            |n| vec![keras(n, 0, &[1, 2, 3], &[8], [true, true])],
            3,
        ),
        ("by division", &[2, 9, 100], |n| vec![pytorch(n, 0, &[2], &[100], false)], 1),
        ("by a power", &[2, 9, 100], |n| vec![pytorch(n, 0, &[2], &[100], true)], 1),
        ("of a root of squares", &[2, 9, 128], |n| vec![rms(n, 0)], 1),
        (
            "of a sum, which is read later",
            &[2, 9, 128],
            |n| {
                let other = n.constant(&[2, 9, 128]);
                let sum = n.each(B::ADD, &[0, other]);
                let normal = keras(n, sum, &[2], &[128], [true, true]);
                vec![n.each(B::ADD, &[normal, sum]), sum]
            },
            1,
        ),
        (
            "whose mean and deviation are read elsewhere",
            &[2, 9, 128],
            |n| {
                let mean = n.mean(0, &[2]);
                let squares = n.each(B::SQUARED_DIFFERENCE, &[0, mean]);
                let variance = n.mean(squares, &[2]);
                let inverse = n.each(B::RSQRT, &[variance]);
                let centred = n.each(B::SUB, &[0, mean]);
                vec![n.each(B::MUL, &[centred, inverse]), mean, inverse, squares]
            },
            1,
        ),
        (
            "whose squares a mean along another axis reads",
            &[2, 20, 128],
            |n| {
                let mean = n.mean(0, &[2]);
                let squares = n.each(B::SQUARED_DIFFERENCE, &[0, mean]);
                let variance = n.mean(squares, &[2]);
                let across = n.mean(squares, &[1]);
                let centred = n.each(B::SUB, &[0, mean]);
                let scaled = n.each(B::DIV, &[centred, variance]);
                vec![n.each(B::ADD, &[scaled, across])]
            },
            3,
        ),
        (
            "to unit length",
            &[9, 128],
            |n| {
                let squares = n.each(B::SQUARE, &[0]);
                let sum = n.reduce(B::SUM, squares, &[-1], true);
                let least = n.scalar(1e-12);
                let bounded = n.each(B::MAXIMUM, &[sum, least]);
                let inverse = n.each(B::RSQRT, &[bounded]);
                vec![n.each(B::MUL, &[0, inverse])]
            },
            1,
        ),
        (
            "to the greatest",
            &[9, 128],
            |n| {
                let (most, least) =
                    (n.reduce(B::REDUCE_MAX, 0, &[1], true), n.reduce(B::REDUCE_MIN, 0, &[1], true));
                let (range, centred) = (n.each(B::SUB, &[most, least]), n.each(B::SUB, &[0, least]));
                vec![n.each(B::DIV, &[centred, range])]
            },
            1,
        ),
        (
            "and a sum that drops its axis",
            &[2, 9, 128],
            |n| {
                let normal = rms(n, 0);
                vec![n.reduce(B::SUM, normal, &[2], false), normal]
            },
            1,
        ),
        (
            "attention",
            &[2, 4, 30, 40],
            |n| {
                let (scale, mask) = (n.scalar(0.125), n.constant(&[2, 1, 1, 40]));
                let scaled = n.each(B::MUL, &[0, scale]);
                let masked = n.each(B::ADD, &[scaled, mask]);
                vec![n.softmax(masked)]
            },
            1,
        ),
        ("of rows that are too long", &[2, 5000], |n| vec![keras(n, 0, &[1], &[5000], [true, true])], 5),
        ("of rows that are too short", &[500, 8], |n| vec![keras(n, 0, &[1], &[8], [true, true])], 5),
        ("of no rows", &[0, 64], |n| vec![keras(n, 0, &[1], &[64], [true, true])], 10),
        ("over the first axis", &[64, 9], |n| vec![keras(n, 0, &[0], &[9], [true, true])], 5),
        (
            "twice",
            &[7, 96],
            |n| {
                let first = keras(n, 0, &[1], &[96], [true, true]);
                vec![pytorch(n, first, &[1], &[96], false)]
            },
            1,
        ),
        (
            "over rows and over parts of them",
            &[5, 16, 32],
            |n| {
                let whole = keras(n, 0, &[1, 2], &[16, 32], [true, true]);
                vec![keras(n, whole, &[2], &[32], [true, true])]
            },
            2,
        ),
    ];
    let mut failures = Vec::new();
    for (name, shape, build, steps) in rows {
        let mut net = Net::new(shape);
        let outputs = build(&mut net);
        let plan = check(name, &net.finish(&outputs));
        if !plan.contains(&format!(" {steps} steps")) {
            failures.push(format!("{name}, {steps} steps:\n{plan}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Numbers in an order that a seed determines (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A graph of operators over the elements and rows of one shape, some of whose results are outputs.
fn random_graph(random: &mut Random) -> Model {
    let shape: &[usize] = random.of(&[
        &[3, 40][..],
        &[2, 5, 33],
        &[1, 128],
        &[2, 3, 4, 17],
        &[40, 16],
        &[6, 1, 64],
        &[2, 1100],
        &[3, 6, 8],
    ]);
    let mut n = Net::new(shape);
    let axes: &[i32] = if shape.len() > 2 { random.of(&[&[-1][..], &[-1, -2], &[-2]]) } else { &[-1] };
    let column: Vec<usize> = {
        let mean = n.mean(0, axes);
        n.shapes[mean].clone()
    };
    let mut numbers = vec![n.shapes.len() - 1];
    let mut elements = vec![n.input];
    let last = shape[shape.len() - 1];
    let spread =
        [n.constant(&[last]), n.constant(&[]), n.constant(&column), n.constant(&[1]), n.constant(shape)];
    for _ in 0..4 + random.below(24) {
        let x = random.of(&elements);
        match random.below(6) {
            0 => {
                let code = random.of(&[B::MEAN, B::SUM, B::REDUCE_MAX, B::REDUCE_MIN]);
                numbers.push(n.reduce(code, x, axes, true));
            }
            1 => {
                let (a, b) = (random.of(&numbers), random.of(&numbers));
                numbers.push(match random.below(4) {
                    0 => n.each(B::ABS, &[a]),
                    1 => n.each(B::ADD, &[a, spread[1]]),
                    2 => n.each(B::SUB, &[a, spread[2]]),
                    _ => n.each(random.of(&[B::ADD, B::MUL, B::MAXIMUM]), &[a, b]),
                });
            }
            2 => {
                let code = random.of(&[B::NEG, B::ABS, B::TANH, B::SQUARE, B::RSQRT]);
                elements.push(n.each(code, &[x]));
            }
            3 => {
                let code = random.of(&[B::ADD, B::SUB, B::MUL, B::DIV, B::SQUARED_DIFFERENCE]);
                let number = random.of(&numbers);
                elements.push(n.each(code, &if random.below(2) == 0 { [x, number] } else { [number, x] }));
            }
            4 => {
                let code = random.of(&[B::ADD, B::SUB, B::MUL, B::MINIMUM]);
                let other = random.of(&spread);
                elements.push(n.each(code, &[x, other]));
            }
            _ if random.below(4) == 0 => elements.push(n.softmax(x)),
            _ => {
                let y = random.of(&elements);
                elements.push(n.each(random.of(&[B::ADD, B::MUL, B::MAXIMUM]), &[x, y]));
            }
        }
    }
    let mut outputs = vec![*elements.last().unwrap(), *numbers.last().unwrap()];
    outputs.extend(elements.iter().chain(&numbers).copied().filter(|_| random.below(5) == 0));
    outputs.retain(|&t| t != n.input);
    outputs.sort_unstable();
    outputs.dedup();
    n.finish(&outputs)
}

#[test]
fn random_graphs_of_rows_compute_the_same_bits() {
    let mut of_rows = 0;
    for seed in 0..300 {
        let model = random_graph(&mut Random(seed));
        let plan = check(&format!("seed {seed}"), &model);
        of_rows += usize::from(plan.contains("f32_rows_of_"));
    }
    assert!(of_rows > 150, "only {of_rows} plans have a step of rows");
}
