//! The half of `conformance/training/exchange.py` that is Ferrolite's: checkpoints of a training model, both ways.
//!
//! `exchange FOLDER save STEPS` trains `FOLDER/model.tflite` on the bytes of `FOLDER/x` and `FOLDER/y`, then writes two
//! checkpoints there: `saved` through the model's signature `save`, and `store`, the variables by their names.
//!
//! `exchange FOLDER restore` restores what TensorFlow wrote: `theirs_signature` through the model's signature `restore`, and
//! `theirs_store` into the variables by their names, each in an interpreter of its own. It writes the variables it then has to
//! `back_signature` and `back_store`.

use std::path::Path;

use ferrolite::{Interpreter, Model, strings};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Runs a signature that takes a checkpoint's prefix.
fn call(interpreter: &mut Interpreter, signature: &str, prefix: &Path) -> Result<()> {
    let text = strings::encode(&[prefix.to_str().ok_or("a folder's name must be text")?])?;
    let mut runner = interpreter.signature_runner(signature)?;
    runner.set_input_bytes("checkpoint_path", &text)?;
    runner.invoke()?;
    Ok(())
}

fn save(model: &Model, folder: &Path, steps: usize) -> Result<()> {
    let mut interpreter = Interpreter::builder(model).build()?;
    let train = model.signature("train")?;
    let (x, y) = (std::fs::read(folder.join("x"))?, std::fs::read(folder.join("y"))?);
    for _ in 0..steps {
        let mut step = interpreter.runner(&train)?;
        step.set_input_bytes("x", &x)?;
        step.set_input_bytes("y", &y)?;
        step.invoke()?;
    }
    call(&mut interpreter, "save", &folder.join("saved"))?;
    Ok(interpreter.save_checkpoint(folder.join("store"))?)
}

fn restore(model: &Model, folder: &Path) -> Result<()> {
    let mut by_signature = Interpreter::builder(model).build()?;
    call(&mut by_signature, "restore", &folder.join("theirs_signature"))?;
    by_signature.save_checkpoint(folder.join("back_signature"))?;
    let mut by_name = Interpreter::builder(model).build()?;
    by_name.restore_checkpoint(folder.join("theirs_store"))?;
    Ok(by_name.save_checkpoint(folder.join("back_store"))?)
}

fn main() -> Result<()> {
    const USAGE: &str = "give a folder and 'save STEPS' or 'restore'";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(arguments.first().ok_or(USAGE)?);
    let model = Model::from_file(folder.join("model.tflite"))?;
    match &arguments[1..] {
        [word, steps] if word == "save" => save(&model, folder, steps.parse()?),
        [word] if word == "restore" => restore(&model, folder),
        _ => Err(USAGE.into()),
    }
}
