//! A graph of twenty thousand small operators: planning looks at each a few times, not at all others for each.

use ferrolite::model_file::options::{
    AddOptionsT, ConcatenationOptionsT, FullyConnectedOptionsT, MaximumMinimumOptionsT, MulOptionsT,
    ReshapeOptionsT, SplitOptionsT,
};
use ferrolite::model_file::{BuiltinOperator as B, ModelBuilder, Operator, Options, Tensor};
use ferrolite::{Interpreter, Model, TensorType};

/// Elements of a row.
const LEN: usize = 8;
/// Operators of a stage.
const STAGE: usize = 10;

struct Net {
    builder: ModelBuilder,
}

impl Net {
    fn op<const N: usize>(
        &mut self,
        code: B,
        inputs: &[usize],
        shapes: [&[usize]; N],
        options: impl Into<Options>,
    ) -> [usize; N] {
        let tensor = |shape| Tensor::new("result", TensorType::Float32, shape);
        let outputs = shapes.map(|shape| self.builder.add_tensor(0, tensor(shape)));
        self.builder.add_operator(0, Operator::new(code, inputs.iter().copied(), outputs, options));
        outputs
    }

    /// A product with a residual sum, a swish, names for one tensor, parts that are joined again, and an operand that all
    /// stages read.
    fn stage(&mut self, x: usize, everywhere: usize, weights: usize, axis: usize) -> usize {
        let row: &[usize] = &[1, LEN];
        let options = FullyConnectedOptionsT { keep_num_dims: true, ..Default::default() };
        let [product] = self.op(B::FULLY_CONNECTED, &[x, weights], [row], options);
        let [sum] = self.op(B::ADD, &[product, x], [row], AddOptionsT::default());
        let [gate] = self.op(B::LOGISTIC, &[sum], [row], Options::None);
        let [swish] = self.op(B::MUL, &[sum, gate], [row], MulOptionsT::default());
        let reshape = |shape: [i32; 2]| ReshapeOptionsT { new_shape: Some(shape.to_vec()) };
        let [column] = self.op(B::RESHAPE, &[swish], [&[LEN, 1]], reshape([LEN as i32, 1]));
        let [again] = self.op(B::RESHAPE, &[column], [row], reshape([1, LEN as i32]));
        let half: &[usize] = &[1, LEN / 2];
        let halves = self.op(B::SPLIT, &[axis, again], [half; 2], SplitOptionsT { num_splits: 2 });
        let [turned] = self.op(B::NEG, &halves[..1], [half], Options::None);
        let options = ConcatenationOptionsT { axis: 1, ..Default::default() };
        let [joined] = self.op(B::CONCATENATION, &[halves[1], turned], [row], options);
        let [most] = self.op(B::MAXIMUM, &[joined, everywhere], [row], MaximumMinimumOptionsT {});
        most
    }
}

fn model(stages: usize) -> Model {
    let mut net = Net { builder: ModelBuilder::new() };
    let input = net.builder.add_tensor(0, Tensor::new("input", TensorType::Float32, &[1, LEN]));
    let weights: Vec<u8> =
        (0..LEN * LEN).flat_map(|i| ((i * 37 % 64) as f32 / 128.0 - 0.25).to_le_bytes()).collect();
    let weights =
        net.builder.add_constant(0, Tensor::new("weights", TensorType::Float32, &[LEN, LEN]), weights);
    let axis = Tensor::new("axis", TensorType::Int32, &[]);
    let axis = net.builder.add_constant(0, axis, 1i32.to_le_bytes().to_vec());
    let [everywhere] = net.op(B::ABS, &[input], [&[1, LEN]], Options::None);
    let mut x = input;
    for _ in 0..stages {
        x = net.stage(x, everywhere, weights, axis);
    }
    net.builder.set_inputs(0, [input]).set_outputs(0, [x]);
    Model::from_bytes(net.builder.to_bytes().expect("the model can be written")).expect("it is valid")
}

#[test]
fn graphs_of_many_operators_are_planned() {
    let stages = 20_000 / STAGE;
    let model = model(stages);
    let run = |separate: bool| {
        let builder = Interpreter::builder(&model).threads(1).preserve_all_tensors(separate);
        let mut interpreter = builder.build().expect("it can be planned");
        let input = interpreter.input_mut::<f32>(0).expect("floats");
        input.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.7).sin());
        interpreter.invoke().expect("it runs");
        let bits: Vec<u32> =
            interpreter.output::<f32>(0).expect("floats").iter().map(|x| x.to_bits()).collect();
        (bits, interpreter.arena_bytes())
    };
    let ((planned, arena), (separate, _)) = (run(false), run(true));
    assert_eq!(planned, separate);
    // A stage needs no more than a few rows at a time, each on lines of its own.
    assert!(arena <= 4096, "memory is used again by every stage: {arena} bytes");
}
