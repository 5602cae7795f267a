//! Training models, held against TensorFlow's own execution: the loss of every step and the final weights.

#![cfg(feature = "flex")]

use std::fs::File;
use std::path::{Path, PathBuf};

use ferrolite::{Interpreter, Model, Result};
use ndarray::Array1;
use ndarray_npy::NpzReader;
use serde_json::Value;

const STEPS: usize = 50;
const BATCHES: usize = 4;
/// Relative to the golden loss, or to the first one where a loss nears zero.
const LOSS_TOLERANCE: f64 = 1e-4;
/// Relative to the greatest weight of a tensor, or to this where all are smaller: a bias in front of a normalization has no
/// gradient but rounding.
const WEIGHT_TOLERANCE: f64 = 1e-3;
const LEAST_RANGE: f32 = 1e-2;

fn array(npz: &mut NpzReader<File>, name: &str) -> Vec<u8> {
    let array: Array1<u8> = npz.by_name(name).unwrap_or_else(|e| panic!("array {name}: {e}"));
    array.to_vec()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Largest errors of a case.
struct Errors {
    loss: f64,
    weight: f64,
    steps_per_second: f64,
}

fn run(model: Vec<u8>, x: &[u8], y: &[u8], losses: &[f32], weights: &[Vec<f32>]) -> Result<Errors> {
    let model = Model::from_bytes(model)?;
    let mut interpreter = Interpreter::builder(&model).threads(1).build()?;
    let (train, get) = (model.signature("train")?, model.signature("get_weights")?);
    let (x_len, y_len) = (x.len() / BATCHES, y.len() / BATCHES);
    let mut errors = Errors { loss: 0.0, weight: 0.0, steps_per_second: 0.0 };
    let mut begun = std::time::Instant::now();
    let scale = f64::from(losses[0].abs());
    for (i, &want) in losses.iter().enumerate() {
        let at = i % BATCHES;
        let mut step = interpreter.runner(&train)?;
        step.set_input_bytes("x", &x[at * x_len..][..x_len])?;
        step.set_input_bytes("y", &y[at * y_len..][..y_len])?;
        step.invoke()?;
        let (got, want) = (f64::from(step.output::<f32>("loss")?[0]), f64::from(want));
        let error = (got - want).abs() / want.abs().max(1e-2 * scale);
        errors.loss = if error.is_nan() { f64::INFINITY } else { errors.loss.max(error) };
        if i == 0 {
            // The first step plans.
            begun = std::time::Instant::now();
        }
    }
    errors.steps_per_second = (STEPS - 1) as f64 / begun.elapsed().as_secs_f64();
    let mut runner = interpreter.runner(&get)?;
    runner.invoke()?;
    for (i, want) in weights.iter().enumerate() {
        let got = runner.output::<f32>(&format!("w{i}"))?;
        assert_eq!(got.len(), want.len(), "w{i}");
        let range = want.iter().fold(LEAST_RANGE, |m, w| m.max(w.abs()));
        for (g, w) in got.iter().zip(want) {
            let error = f64::from((g - w).abs() / range);
            errors.weight = if error.is_nan() { f64::INFINITY } else { errors.weight.max(error) };
        }
    }
    Ok(errors)
}

fn cases_file() -> PathBuf {
    match std::env::var_os("TRAINING_CASES") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/training/models.npz"),
    }
}

/// `TRAINING=lstm cargo test …` runs the cases whose names contain the word.
#[test]
fn models_train_as_in_tensorflow() {
    let mut npz = NpzReader::new(File::open(cases_file()).unwrap()).unwrap();
    let index: Value = serde_json::from_slice(&array(&mut npz, "index")).unwrap();
    let wanted = std::env::var("TRAINING").unwrap_or_default();
    let (mut failures, mut ran) = (Vec::new(), 0);
    for (i, entry) in index.as_array().unwrap().iter().enumerate() {
        let name = entry["name"].as_str().unwrap();
        if !name.contains(&wanted) {
            continue;
        }
        ran += 1;
        let mut part = |key: &str| array(&mut npz, &format!("{i:04}.{key}"));
        let (model, x, y, losses) = (part("model"), part("x"), part("y"), floats(&part("loss")));
        assert_eq!(losses.len(), STEPS, "{name}");
        let count = entry["weights"].as_u64().unwrap();
        let weights: Vec<Vec<f32>> = (0..count).map(|w| floats(&part(&format!("w{w}")))).collect();
        match run(model, &x, &y, &losses, &weights) {
            Ok(e) => {
                println!(
                    "{name:30} loss {:.1e}  weights {:.1e}  {:8.0} steps/s",
                    e.loss, e.weight, e.steps_per_second
                );
                if e.loss > LOSS_TOLERANCE || e.weight > WEIGHT_TOLERANCE {
                    failures.push(format!("{name}: loss off by {:.1e}, weights by {:.1e}", e.loss, e.weight));
                }
            }
            Err(e) => failures.push(format!("{name}: {e}")),
        }
    }
    println!("{ran} models");
    assert!(!wanted.is_empty() || ran >= 40, "too few cases: {ran}");
    assert!(failures.is_empty(), "{} of {ran} models:\n{}", failures.len(), failures.join("\n"));
}

/// A real classifier trains, where it is at hand.
#[test]
fn shared_classifier_learns() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/mlp_sgd.flex.tflite");
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return Ok(());
    }
    let model = Model::from_file(path)?;
    let mut interpreter = Interpreter::builder(&model).build()?;
    let train = model.signature("train")?;
    // Ten pictures, told apart by which row of eight pixels is bright.
    let mut losses = Vec::new();
    for step in 0..200 {
        let labels: Vec<i32> = (0..16).map(|i| (step * 7 + i) % 8).collect();
        let pixels: Vec<f32> =
            labels.iter().flat_map(|&l| (0..64).map(move |p| if p / 8 == l { 1.0 } else { 0.0 })).collect();
        let mut step = interpreter.runner(&train)?;
        step.set("x", &pixels)?.set("y", &labels)?.invoke()?;
        losses.push(step.output::<f32>("loss")?[0]);
    }
    assert!(losses[199] < 0.1 * losses[0], "{} -> {}", losses[0], losses[199]);
    Ok(())
}

/// Weights go to a checkpoint and come back through the model's own signatures, where the model is at hand.
#[test]
fn shared_linear_model_saves_and_restores() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/linear_ckpt.flex.tflite");
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return Ok(());
    }
    let model = Model::from_file(path)?;
    let folder = std::env::temp_dir().join(format!("ferrolite-checkpoint-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let prefix = folder.join("ckpt");
    let text = ferrolite::strings::encode(&[prefix.to_str().unwrap()])?;
    let answer = |interpreter: &mut Interpreter| -> Result<f32> {
        let mut infer = interpreter.signature_runner("infer")?;
        infer.set("x", &[3.0f32])?.invoke()?;
        Ok(infer.output::<f32>("output")?[0])
    };
    let mut trained = Interpreter::builder(&model).build()?;
    let train = model.signature("train")?;
    for i in 0..200 {
        let x = (i % 10) as f32 / 10.0;
        trained.runner(&train)?.set("x", &[x])?.set("y", &[2.0 * x + 1.0])?.invoke()?;
    }
    let learned = answer(&mut trained)?;
    let mut save = trained.signature_runner("save")?;
    save.set_input_bytes("checkpoint_path", &text)?;
    save.invoke()?;

    let mut fresh = Interpreter::builder(&model).build()?;
    assert_ne!(answer(&mut fresh)?, learned);
    let mut restore = fresh.signature_runner("restore")?;
    restore.set_input_bytes("checkpoint_path", &text)?;
    restore.invoke()?;
    assert_eq!(answer(&mut fresh)?, learned);
    std::fs::remove_dir_all(&folder).unwrap();

    let mut restore = fresh.signature_runner("restore")?;
    restore.set_input_bytes("checkpoint_path", &text)?;
    let error = restore.invoke().unwrap_err().to_string();
    assert!(error.contains("cannot read the checkpoint file"), "{error}");
    Ok(())
}

/// The committed model's own signatures save and restore weights and the optimizer's state: training goes on alike.
#[test]
fn digits_save_and_restore() -> Result<()> {
    let model =
        Model::from_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits/trainable.tflite"))?;
    let folder = std::env::temp_dir().join(format!("ferrolite-digits-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let text = ferrolite::strings::encode(&[folder.join("ckpt").to_str().unwrap()])?;
    let call = |interpreter: &mut Interpreter, signature: &str| -> Result<()> {
        let mut runner = interpreter.signature_runner(signature)?;
        runner.set_input_bytes("checkpoint_path", &text)?;
        runner.invoke()
    };
    let answer = |interpreter: &mut Interpreter| -> Result<Vec<f32>> {
        let mut infer = interpreter.signature_runner("infer")?;
        infer.set("x", &[0.5f32; 64])?.invoke()?;
        Ok(infer.output::<f32>("output")?.to_vec())
    };
    let step = |interpreter: &mut Interpreter| -> Result<f32> {
        let pixels: Vec<f32> = (0..32 * 64).map(|i| (i * 7 % 17) as f32 / 17.0).collect();
        let labels: Vec<i32> = (0..32).map(|i| i % 10).collect();
        let mut train = interpreter.signature_runner("train")?;
        train.set("x", &pixels)?.set("y", &labels)?.invoke()?;
        Ok(train.output::<f32>("loss")?[0])
    };
    let mut trained = Interpreter::builder(&model).build()?;
    for _ in 0..5 {
        step(&mut trained)?;
    }
    call(&mut trained, "save")?;
    let mut fresh = Interpreter::builder(&model).build()?;
    assert_ne!(answer(&mut fresh)?, answer(&mut trained)?);
    call(&mut fresh, "restore")?;
    assert_eq!(answer(&mut fresh)?, answer(&mut trained)?);
    for _ in 0..3 {
        assert_eq!(step(&mut fresh)?, step(&mut trained)?);
    }
    assert_eq!(answer(&mut fresh)?, answer(&mut trained)?);
    std::fs::remove_dir_all(&folder).unwrap();
    Ok(())
}
