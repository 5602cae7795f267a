//! Trains a linear regression in place: `cargo run --release --example linear_regression`.

use ferrolite::{Interpreter, Model, Result};

/// Signatures train(x, y) -> loss, infer(x) -> output, get_weights() -> w, b.
const MODEL: &[u8] = include_bytes!("../conformance/training/linear.tflite");

/// What is to be learned.
fn truth(x: &[f32]) -> f32 {
    2.0 * x[0] - x[1] + 0.5 * x[2] + 3.0 * x[3] + 1.0
}

fn main() -> Result<()> {
    let model = Model::from_bytes(MODEL)?;
    let mut interpreter = Interpreter::builder(&model).build()?;
    let (train, weights) = (model.signature("train")?, model.signature("get_weights")?);
    for step in 0..=200u32 {
        // Eight points that move with the step.
        let x: Vec<f32> = (0..32u32).map(|i| (((i * 37 + step * 11) % 41) as f32 - 20.0) / 20.0).collect();
        let y: Vec<f32> = x.chunks(4).map(truth).collect();
        let mut runner = interpreter.runner(&train)?;
        runner.set("x", &x)?.set("y", &y)?.invoke()?;
        if step % 40 == 0 {
            println!("step {step:3}: loss {:.6}", runner.output::<f32>("loss")?[0]);
        }
    }
    let mut runner = interpreter.runner(&weights)?;
    runner.invoke()?;
    println!("w {:?}, b {:?}", runner.output::<f32>("w")?, runner.output::<f32>("b")?);
    Ok(())
}
