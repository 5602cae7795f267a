//! A digit classifier learns a new user's hand: `cargo run --release --features flex --example handwriting`.
//!
//! The classifier is first trained on common digits (`examples/digits/training.npz`). The new user's digits come out slanted;
//! a few of them are enough to fine-tune it.

use std::fs::File;

use ferrolite::{Interpreter, Model};
use ndarray::{Array1, Array4};
use ndarray_npy::NpzReader;

const MODEL: &[u8] = include_bytes!("digits/trainable.tflite");
const BATCH: usize = 32;
const PIXELS: usize = 64;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

struct Digits {
    pixels: Vec<f32>,
    labels: Vec<i32>,
}

impl Digits {
    fn read(path: &str) -> Result<Self> {
        let mut file = NpzReader::new(File::open(path)?)?;
        let (x, y): (Array4<f32>, Array1<i32>) = (file.by_name("x")?, file.by_name("y")?);
        Ok(Self { pixels: x.into_raw_vec_and_offset().0, labels: y.into_raw_vec_and_offset().0 })
    }

    /// The digits as the user writes them: rows shifted, the upper ones to the right, the lower ones to the left.
    fn slanted(&self) -> Self {
        let mut pixels = vec![0.0; self.pixels.len()];
        for (from, to) in self.pixels.chunks(PIXELS).zip(pixels.chunks_mut(PIXELS)) {
            for row in 0..8usize {
                for column in 0..8usize {
                    let source = (column + row / 2).checked_sub(2).filter(|&c| c < 8);
                    to[row * 8 + column] = source.map_or(0.0, |c| from[row * 8 + c]);
                }
            }
        }
        Self { pixels, labels: self.labels.clone() }
    }

    fn part(&self, range: std::ops::Range<usize>) -> Self {
        let pixels = self.pixels[range.start * PIXELS..range.end * PIXELS].to_vec();
        Self { pixels, labels: self.labels[range].to_vec() }
    }
}

fn train(model: &Model, interpreter: &mut Interpreter, digits: &Digits, epochs: usize) -> Result<()> {
    let signature = model.signature("train")?;
    for _ in 0..epochs {
        let batches = digits.pixels.chunks_exact(BATCH * PIXELS).zip(digits.labels.chunks_exact(BATCH));
        for (x, y) in batches {
            interpreter.runner(&signature)?.set("x", x)?.set("y", y)?.invoke()?;
        }
    }
    Ok(())
}

fn accuracy(model: &Model, interpreter: &mut Interpreter, digits: &Digits) -> Result<f64> {
    let signature = model.signature("infer")?;
    let mut right = 0;
    for (x, &label) in digits.pixels.chunks_exact(PIXELS).zip(&digits.labels) {
        let mut runner = interpreter.runner(&signature)?;
        runner.set("x", x)?.invoke()?;
        let scores = runner.output::<f32>("output")?;
        let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        right += usize::from(best == usize::try_from(label).ok());
    }
    Ok(right as f64 / digits.labels.len() as f64)
}

fn main() -> Result<()> {
    let model = Model::from_bytes(MODEL)?;
    let mut interpreter = Interpreter::builder(&model).threads(1).build()?;
    let digits = Digits::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/digits/training.npz"))?;
    let common = digits.part(0..960);
    let user = digits.part(960..1408).slanted();
    let (few, rest) = (user.part(0..96), user.part(96..448));

    train(&model, &mut interpreter, &common, 8)?;
    println!("common digits: {:.1} % right", 100.0 * accuracy(&model, &mut interpreter, &common)?);
    println!("the new user's: {:.1} %", 100.0 * accuracy(&model, &mut interpreter, &rest)?);
    train(&model, &mut interpreter, &few, 15)?;
    println!(
        "after {} of them: {:.1} %",
        few.labels.len(),
        100.0 * accuracy(&model, &mut interpreter, &rest)?
    );
    Ok(())
}
