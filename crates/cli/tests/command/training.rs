//! `ferrolite train`.

use crate::support::{Workshop, digit};
use ferrolite::{Interpreter, Model, weights};
use std::path::{Path, PathBuf};
use std::time::Instant;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits").join(name)
}

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    for name in ["trainable.tflite", "training.npz"] {
        std::fs::copy(example(name), workshop.path(name)).expect("copies");
    }
    workshop
}

#[test]
fn digits_are_learned_from_random_weights() {
    let workshop = workshop();
    let begun = Instant::now();
    let lines = workshop.succeed(
        "train trainable.tflite --data training.npz --epochs 12 --weights-out w.safetensors --json --threads 1",
    );
    let time = begun.elapsed().as_secs_f64();
    let epochs: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(epochs.len(), 12);
    let loss = |i: usize| epochs[i]["loss"].as_f64().expect("a loss");
    assert!(loss(11) < 0.1 * loss(0), "{lines}");
    assert!(epochs.iter().all(|e| e["steps_per_s"].as_f64().is_some_and(|s| s > 0.0)), "{lines}");

    let model = Model::from_file(example("trainable.tflite")).expect("the model");
    let mut interpreter = Interpreter::builder(&model).build().expect("builds");
    let learned = weights::read_safetensors(&workshop.path("w.safetensors")).expect("the weights");
    interpreter.set_weights(&learned).expect("fits");
    let infer = model.signature("infer").expect("the signature");
    let right = (0..360)
        .filter(|&index| {
            let (image, label) = digit(index);
            let mut runner = interpreter.runner(&infer).expect("a runner");
            runner.set_input_bytes("x", image.bytes()).and_then(|()| runner.invoke()).expect("runs");
            let scores = runner.output::<f32>("output").expect("scores");
            (0..10).max_by(|&a, &b| scores[a].total_cmp(&scores[b])) == Some(label)
        })
        .count();
    println!("{right} of 360 held-back digits are right after {time:.1} s");
    assert!(right as f64 >= 0.97 * 360.0, "{right} of 360");
}

#[test]
fn training_goes_on_from_weights() {
    let workshop = workshop();
    let first = |more: &str| {
        let line =
            format!("train trainable.tflite --data training.npz --json --weights-out w.safetensors {more}");
        let lines = workshop.succeed(&line);
        serde_json::from_str::<serde_json::Value>(lines.lines().next().expect("a line")).expect("JSON")["loss"].as_f64()
    };
    let (from_random, from_weights) = (first(""), first("--weights-in w.safetensors --seed 1"));
    assert!(from_weights < from_random, "{from_weights:?} after {from_random:?}");
    let plot = workshop.succeed("train trainable.tflite --data training.npz");
    assert!(plot.contains("1437 examples, 44 steps of 32") && plot.contains('█'), "{plot}");
}

#[test]
fn failures_have_their_codes() {
    let workshop = workshop();
    let rows = [
        ("train trainable.tflite --data missing.npz", 2, "missing.npz"),
        ("train missing.tflite --data training.npz", 3, "missing.tflite"),
        ("train trainable.tflite --data training.npz --signature teach", 2, "teach"),
        ("train trainable.tflite --data training.npz --signature infer", 2, "loss"),
        ("train trainable.tflite --data training.npz --batch 100000", 2, "batch"),
        (
            "train trainable.tflite --data training.npz --weights-in missing.safetensors",
            2,
            "missing.safetensors",
        ),
        ("train trainable.tflite --data training.npz --weights-out no/folder/w.safetensors", 4, "no/folder"),
    ];
    for (line, code, word) in rows {
        let outcome = workshop.run(line);
        assert_eq!(outcome.code, Some(code), "ferrolite {line}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(word), "ferrolite {line}: {}", outcome.stderr);
    }
}
