//! Matrix products that read and write around transpositions compute the bits that separate operators compute.

use ferrolite::{Interpreter, Model};
use ferrolite_model::options::{BatchMatMulOptionsT, Options};
use ferrolite_model::{BuiltinOperator as B, ModelBuilder, Operator, Tensor, TensorType};

/// A tensor as projections leave it: tokens, heads, values of a head.
const SHAPE: [usize; 4] = [2, 6, 3, 8];

type Order = [usize; 4];
const HEADS_FIRST: Order = [0, 2, 1, 3];
const HEADS_FIRST_TURNED: Order = [0, 2, 3, 1];
const NO_LINES: Order = [0, 3, 1, 2];
const NO_LINES_TURNED: Order = [0, 3, 2, 1];

/// A model whose tensors have shapes.
#[derive(Default)]
struct Net {
    builder: ModelBuilder,
    shapes: Vec<(usize, [usize; 4])>,
}

impl Net {
    fn shape(&self, tensor: usize) -> [usize; 4] {
        self.shapes.iter().find(|(t, _)| *t == tensor).expect("a tensor of the model").1
    }

    fn tensor(&mut self, shape: [usize; 4]) -> usize {
        let tensor = self.builder.add_tensor(0, Tensor::new("tensor", TensorType::Float32, &shape));
        self.shapes.push((tensor, shape));
        tensor
    }

    fn op(&mut self, code: B, inputs: &[usize], shape: [usize; 4], options: impl Into<Options>) -> usize {
        let output = self.tensor(shape);
        self.builder
            .add_operator(0, Operator::new(code, inputs.iter().copied().map(Some), [output], options));
        output
    }

    fn transpose(&mut self, input: usize, order: Order) -> usize {
        let bytes: Vec<u8> = order.iter().flat_map(|&axis| (axis as i32).to_le_bytes()).collect();
        let perm = self.builder.add_constant(0, Tensor::new("perm", TensorType::Int32, &[4]), bytes);
        let shape = order.map(|axis| self.shape(input)[axis]);
        self.op(B::TRANSPOSE, &[input, perm], shape, Options::None)
    }

    fn product(&mut self, left: usize, right: usize, [adj_x, adj_y]: [bool; 2]) -> usize {
        let (l, r) = (self.shape(left), self.shape(right));
        let shape = [l[0].max(r[0]), l[1].max(r[1]), l[2 + usize::from(adj_x)], r[3 - usize::from(adj_y)]];
        let options = BatchMatMulOptionsT { adj_x, adj_y, asymmetric_quantize_inputs: false };
        self.op(B::BATCH_MATMUL, &[left, right], shape, options)
    }

    fn finish(mut self, input: usize, outputs: &[usize]) -> Model {
        self.builder.set_inputs(0, [input]);
        self.builder.set_outputs(0, outputs.iter().copied());
        Model::from_bytes(self.builder.to_bytes().expect("the model can be written")).expect("it is valid")
    }
}

/// A model of a product and what is around it.
struct Row {
    name: &'static str,
    left: Order,
    right: Order,
    adjoint: [bool; 2],
    output: Option<Order>,
    /// The right matrices as well, before they are multiplied, are an output.
    shows_right: bool,
    /// Steps left, one of which makes the right tensor.
    steps: usize,
}

impl Row {
    fn model(&self) -> Model {
        let mut net = Net::default();
        let input = net.tensor(SHAPE);
        let right = net.op(B::NEG, &[input], SHAPE, Options::None);
        let (left, right) = (net.transpose(input, self.left), net.transpose(right, self.right));
        let mut result = net.product(left, right, self.adjoint);
        if let Some(order) = self.output {
            result = net.transpose(result, order);
        }
        let outputs: &[usize] = if self.shows_right { &[result, right] } else { &[result] };
        net.finish(input, outputs)
    }
}

/// The bits of all outputs, and the plan's number of steps.
fn run(model: &Model, separate: bool, threads: usize) -> (Vec<Vec<u32>>, usize) {
    let builder = Interpreter::builder(model).threads(threads).preserve_all_tensors(separate).profile(true);
    let mut interpreter = builder.build().expect("it can be planned");
    let input = interpreter.input_mut::<f32>(0).expect("a float input");
    input.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.3).cos() * 3.0);
    interpreter.invoke().expect("it runs");
    let bits =
        |i| interpreter.output::<f32>(i).expect("a float output").iter().map(|x| x.to_bits()).collect();
    let steps = interpreter.profile().expect("it was asked for").steps.len();
    ((0..interpreter.outputs().len()).map(bits).collect(), steps)
}

#[test]
fn products_around_transpositions_compute_the_same_bits() {
    let plain = Row {
        name: "scores of attention",
        left: HEADS_FIRST,
        right: HEADS_FIRST_TURNED,
        adjoint: [false, false],
        output: None,
        shows_right: false,
        steps: 2,
    };
    let rows = [
        Row { name: "an adjoint right", right: HEADS_FIRST, adjoint: [false, true], ..plain },
        Row { name: "an adjoint left", left: HEADS_FIRST_TURNED, adjoint: [true, false], ..plain },
        Row { name: "rows back in the order of tokens", output: Some(HEADS_FIRST), ..plain },
        Row { name: "rows that would not lie densely", output: Some(HEADS_FIRST_TURNED), steps: 3, ..plain },
        Row { name: "no lines", left: NO_LINES, right: NO_LINES_TURNED, steps: 4, ..plain },
        Row { name: "matrices that are an output", shows_right: true, steps: 3, ..plain },
        plain,
    ];
    for row in rows {
        let model = row.model();
        let (want, _) = run(&model, true, 1);
        for threads in [1, 2, 4] {
            let (got, steps) = run(&model, false, threads);
            assert_eq!(got, want, "{}, {threads} threads", row.name);
            assert_eq!(steps, row.steps, "{}", row.name);
        }
    }
}
