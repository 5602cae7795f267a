//! Runs a model with an operator of one's own: the running mean of a signal, whose window is an attribute.
//!
//! `cargo run --release --example custom_operator`

use ferrolite::custom::{CustomOp, InferError, Io, Node, OpError, OutputShapes, one};
use ferrolite::model_file::flexbuffers::{self, Value};
use ferrolite::model_file::{ModelBuilder, OpCode, Operator, Tensor};
use ferrolite::{Interpreter, Model, Shape, TensorType};

/// The mean of each run of `window` neighbours.
struct RunningMean {
    window: usize,
}

impl RunningMean {
    fn window(node: &Node<'_>) -> Result<usize, OpError> {
        let window = node.attributes()?.positive("window")?;
        match **node.shape(0)? {
            [len] if window <= len => Ok(window),
            _ => Err(OpError::invalid(format!("a window of {window} does not fit {}", node.shape(0)?))),
        }
    }
}

impl CustomOp for RunningMean {
    const NAME: &'static str = "RunningMean";

    fn shapes(node: &Node<'_>) -> Result<OutputShapes, InferError> {
        Ok(one(Shape::from([node.shape(0)?[0] + 1 - Self::window(node)?])))
    }

    fn prepare(node: &Node<'_>) -> Result<Self, OpError> {
        Ok(Self { window: Self::window(node)? })
    }

    fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError> {
        let signal = io.inputs.get::<f32>(0)?;
        for (mean, run) in io.outputs.get::<f32>(0)?.iter_mut().zip(signal.windows(self.window)) {
            *mean = run.iter().sum::<f32>() / self.window as f32;
        }
        Ok(())
    }
}

/// A model of the one operator over a signal of `len` numbers, as a converter would write it.
fn model(len: usize, window: i64) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut builder = ModelBuilder::new();
    let signal = builder.add_tensor(0, Tensor::new("signal", TensorType::Float32, &[len]));
    let means = builder.add_tensor(0, Tensor::new("means", TensorType::Float32, &[1]));
    let operator = Operator {
        code: OpCode::Custom(RunningMean::NAME.to_owned()),
        version: 1,
        inputs: vec![Some(signal)],
        outputs: vec![means],
        custom_options: flexbuffers::encode(&Value::Map(vec![("window", Value::Int(window))])).into(),
        ..Operator::default()
    };
    builder.add_operator(0, operator);
    builder.set_inputs(0, [signal]).set_outputs(0, [means]);
    Ok(builder.finish()?.to_bytes()?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plain = Model::from_bytes(model(8, 3)?)?;
    println!("without the operator: {:?} are not supported", plain.unsupported_operators());
    let model = plain.with_custom_op::<RunningMean>();
    let mut interpreter = Interpreter::builder(&model).build()?;
    for (i, x) in interpreter.input_mut::<f32>(0)?.iter_mut().enumerate() {
        *x = (i * i) as f32;
    }
    interpreter.invoke()?;
    println!("means of three neighbours: {:?}", interpreter.output::<f32>(0)?);
    Ok(())
}
