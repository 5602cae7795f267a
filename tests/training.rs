//! Training through signatures and resource variables, held against LiteRT's own loss curve.

use std::path::Path;

use ferrolite::{Interpreter, Model, Result};
use serde_json::Value;

const MODEL: &[u8] = include_bytes!("../conformance/training/linear.tflite");
const CURVE: &str = include_str!("../conformance/training/linear.json");

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// One step of gradient descent; the loss before it.
fn train(interpreter: &mut Interpreter, x: &[f32], y: &[f32]) -> Result<f32> {
    let mut runner = interpreter.signature_runner("train")?;
    runner.input_mut::<f32>("x")?.copy_from_slice(x);
    runner.input_mut::<f32>("y")?.copy_from_slice(y);
    runner.invoke()?;
    Ok(runner.output::<f32>("loss")?[0])
}

fn weights(interpreter: &mut Interpreter, names: &[&str]) -> Result<Vec<Vec<f32>>> {
    let mut runner = interpreter.signature_runner("get_weights")?;
    runner.invoke()?;
    names.iter().map(|name| Ok(runner.output::<f32>(name)?.to_vec())).collect()
}

#[test]
fn loss_curve_equals_the_reference() -> Result<()> {
    let curve: Value = serde_json::from_str(CURVE).unwrap();
    let model = Model::from_bytes(MODEL)?;
    let mut interpreter = Interpreter::builder(&model).build()?;
    let steps = curve["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 100);
    let mut worst = 0f64;
    for (i, step) in steps.iter().enumerate() {
        let loss = f64::from(train(&mut interpreter, &floats(&step["x"]), &floats(&step["y"]))?);
        let want = step["loss"].as_f64().unwrap();
        let error = (loss - want).abs() / want.abs();
        worst = worst.max(error);
        assert!(error < 1e-5, "step {i}: loss {loss}, expected {want}");
    }
    println!("largest relative difference of the loss over {} steps: {worst:.2e}", steps.len());
    let learned = weights(&mut interpreter, &["w", "b"])?;
    for (got, name) in learned.iter().zip(["w", "b"]) {
        for (g, w) in got.iter().zip(floats(&curve["weights"][name])) {
            assert!((g - w).abs() <= 1e-5 * w.abs().max(1e-3), "{name}: {g} instead of {w}");
        }
    }
    Ok(())
}

#[test]
fn weights_round_trip_and_reset() -> Result<()> {
    let model = Model::from_bytes(MODEL)?;
    let mut interpreter = Interpreter::builder(&model).build()?;
    let (w, b) = ([1.0f32, -2.0, 3.0, 0.5], [0.25f32]);
    {
        let mut runner = interpreter.signature_runner("set_weights")?;
        runner.input_mut::<f32>("w")?.copy_from_slice(&w);
        runner.input_mut::<f32>("b")?.copy_from_slice(&b);
        runner.invoke()?;
    }
    assert_eq!(weights(&mut interpreter, &["w", "b"])?, [w.to_vec(), b.to_vec()]);
    {
        let mut runner = interpreter.signature_runner("infer")?;
        runner.input_mut::<f32>("x")?.fill(1.0);
        runner.invoke()?;
        assert_eq!(runner.output::<f32>("output")?, [2.75; 8]);
    }
    // Another interpreter of the same model has variables of its own.
    let mut other = Interpreter::builder(&model).build()?;
    assert_eq!(weights(&mut other, &["w", "b"])?, [vec![0.0; 4], vec![0.0]]);
    interpreter.reset_variables();
    assert_eq!(weights(&mut interpreter, &["w", "b"])?, [vec![0.0; 4], vec![0.0]]);
    Ok(())
}

/// The scalar regression of `../shared/models/linear.tflite`, where it is at hand: y = 2 x + 1 is learned.
#[test]
fn scalar_regression_learns() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/linear.tflite");
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return Ok(());
    }
    let model = Model::from_file(path)?;
    let mut interpreter = Interpreter::builder(&model).build()?;
    let mut losses = Vec::new();
    for step in 0..100 {
        let x = (step % 10) as f32 / 10.0;
        losses.push(train(&mut interpreter, &[x], &[2.0 * x + 1.0])?);
    }
    assert!(losses[90..].iter().sum::<f32>() < 0.5 * losses[..10].iter().sum::<f32>(), "{losses:?}");
    Ok(())
}

/// Several signatures at hand, variables by name, snapshots, and what resizing leaves alone.
#[test]
fn variables_are_shared_and_survive() -> Result<()> {
    let model = Model::from_bytes(MODEL)?;
    let mut interpreter = Interpreter::builder(&model).build()?;
    let (train, infer) = (model.signature("train")?, model.signature("infer")?);
    interpreter.initialize_variables()?;
    let names: Vec<String> = interpreter.variables().iter().map(|v| v.name.clone()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let before = interpreter.snapshot();
    let (x, y) = ([0.5f32; 32], [1f32; 8]);
    let answer = |interpreter: &mut Interpreter| -> Result<f32> {
        let mut runner = interpreter.runner(&infer)?;
        runner.set("x", &x)?.invoke()?;
        Ok(runner.output::<f32>("output")?[0])
    };
    assert_eq!(answer(&mut interpreter)?, 0.0);
    for _ in 0..5 {
        interpreter.runner(&train)?.set("x", &x)?.set("y", &y)?.invoke()?;
    }
    let learned = answer(&mut interpreter)?;
    assert!(learned > 0.5, "{learned}");
    // Other batch sizes keep the weights.
    let mut runner = interpreter.runner(&infer)?;
    runner.resize_input("x", &[3, 4])?;
    let mut runner = interpreter.runner(&infer)?;
    runner.set("x", &x[..12])?.invoke()?;
    assert_eq!(runner.output::<f32>("output")?, [learned; 3]);
    interpreter.runner(&infer)?.resize_input("x", &[8, 4])?;
    // A snapshot goes to another interpreter, before its initialisers have run.
    let after = interpreter.snapshot();
    let mut other = Interpreter::builder(&model).build()?;
    other.restore(&after);
    assert_eq!(answer(&mut other)?, learned);
    other.restore(&before);
    assert_eq!(answer(&mut other)?, 0.0);
    // By name, without a copy.
    for name in &names {
        let value = interpreter.variable(name).expect("a value").clone();
        other.set_variable(name, value)?;
    }
    assert_eq!(answer(&mut other)?, learned);
    assert!(other.set_variable("nobody", interpreter.variable(&names[0]).unwrap().clone()).is_err());
    // Another model's signature is refused.
    let stranger = Model::from_bytes(MODEL)?;
    assert!(interpreter.runner(&stranger.signature("train")?).is_err());
    Ok(())
}
