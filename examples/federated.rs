//! Federated averaging (McMahan et al., 2017) of three interpreters in one process:
//! `cargo run --release --features flex --example federated`.
//!
//! Each participant sees a part of the line only; what they share after each round is weights, never data.

use ferrolite::weights::Weights;
use ferrolite::{Interpreter, Model, Result, TensorValue};

const MODEL: &[u8] = include_bytes!("../conformance/training/linear.tflite");
const PARTICIPANTS: usize = 3;

/// The mean of each weight over the participants.
fn average(all: &[Weights]) -> Result<Weights> {
    let mut mean = Weights::new();
    for (name, first) in &all[0] {
        let mut sum = vec![0.0; first.elements::<f32>()?.len()];
        for weights in all {
            for (sum, value) in sum.iter_mut().zip(weights[name].elements::<f32>()?) {
                *sum += value / all.len() as f32;
            }
        }
        mean.insert(name.clone(), TensorValue::from_elements(first.shape().clone(), &sum)?);
    }
    Ok(mean)
}

fn main() -> Result<()> {
    let model = Model::from_bytes(MODEL)?;
    let train = model.signature("train")?;
    let mut participants = (0..PARTICIPANTS)
        .map(|_| Interpreter::builder(&model).threads(1).build())
        .collect::<Result<Vec<_>>>()?;
    for round in 1..=12u32 {
        let mut losses = Vec::new();
        for (p, interpreter) in participants.iter_mut().enumerate() {
            for step in 0..10u32 {
                // Participant p's points lie around p - 1 along every axis.
                let noise = |i: u32| (((i * 29 + step * 13 + round * 7) % 31) as f32 - 15.0) / 15.0;
                let x: Vec<f32> = (0..32).map(|i| 0.5 * (p as f32 - 1.0) + noise(i)).collect();
                let y: Vec<f32> = x.chunks(4).map(|x| x[0] + 2.0 * x[1] - x[2] + 0.5).collect();
                let mut runner = interpreter.runner(&train)?;
                runner.set("x", &x)?.set("y", &y)?.invoke()?;
                if step == 9 {
                    losses.push(runner.output::<f32>("loss")?[0]);
                }
            }
        }
        let weights = participants.iter_mut().map(Interpreter::weights).collect::<Result<Vec<_>>>()?;
        let mean = average(&weights)?;
        for interpreter in &mut participants {
            interpreter.set_weights(&mean)?;
        }
        println!("round {round:2}: losses {losses:.5?}, shared w {:.3?}", mean["w"].elements::<f32>()?);
    }
    Ok(())
}
