//! `ferrolite train`: steps of a training signature over batches of examples.

mod batches;
mod plot;

use crate::args::TrainArgs;
use crate::cache::CacheReport;
use crate::error::Error;
use crate::npz;
use crate::session;
use crate::terminal;
use batches::Batches;
use ferrolite::{Interpreter, Signature, TensorType, weights};
use serde::Serialize;
use std::io::Write;
use std::time::Instant;

/// The output that is taken for the loss.
const LOSS: &str = "loss";

/// One line of JSON.
#[derive(Serialize)]
struct Epoch {
    epoch: u32,
    loss: f64,
    steps_per_s: f64,
}

/// Runs the command.
///
/// # Errors
/// Usage errors for data that does not fit the signature, model errors, and failures while running or writing.
pub fn run(args: &TrainArgs, out: &mut dyn Write) -> Result<(), Error> {
    let arrays = npz::read(&args.data)?;
    let model = session::load(&args.model)?;
    let mut interpreter = session::builder(&model, &args.execution)?.build()?;
    let signature = model.signature(&args.signature)?;
    let loss = loss_output(&signature)?;
    let mut batches = Batches::new(&signature, arrays, args.batch.map(|b| b as usize), args.seed)?;
    batches.resize(&mut interpreter, &signature)?;
    if let Some(path) = &args.weights_in {
        let given = weights::read_safetensors(path).map_err(|e| Error::usage(e.to_string()))?;
        interpreter.set_weights(&given).map_err(|e| Error::from(e).about(path.display()))?;
    }
    if !args.json {
        writeln!(
            out,
            "{} examples, {} steps of {} in an epoch",
            batches.examples(),
            batches.steps(),
            batches.size()
        )?;
        if batches.left_over() > 0 {
            writeln!(out, "each epoch leaves out {} examples, drawn anew", batches.left_over())?;
        }
    }
    let losses = train(args, &mut interpreter, &signature, &loss, &mut batches, out)?;
    interpreter.save_weight_cache();
    if !args.json {
        write!(out, "\n{}", plot::draw(&losses))?;
        if let Some(cache) = interpreter.weight_cache_status().map(CacheReport::from) {
            writeln!(out, "weight cache {cache}")?;
        }
    }
    if let Some(path) = &args.weights_out {
        let learned = interpreter.weights()?;
        weights::write_safetensors(path, &learned).map_err(|e| Error::runtime(e.to_string()))?;
        if !args.json {
            writeln!(out, "wrote {} weights to {}", learned.len(), path.display())?;
        }
    }
    Ok(())
}

/// Goes through all epochs and gives the loss of every step.
fn train(
    args: &TrainArgs,
    interpreter: &mut Interpreter,
    signature: &Signature,
    loss: &str,
    batches: &mut Batches,
    out: &mut dyn Write,
) -> Result<Vec<f64>, Error> {
    let steps = batches.steps();
    let bar = terminal::progress_bar(u64::from(args.epochs) * steps as u64, "training");
    let mut losses = Vec::new();
    for epoch in 1..=args.epochs {
        batches.shuffle();
        let begun = Instant::now();
        for step in 0..steps {
            let mut runner = interpreter.runner(signature)?;
            for (name, bytes) in batches.step(step) {
                runner.set_input_bytes(name, bytes)?;
            }
            runner.invoke()?;
            let value = runner.output::<f32>(loss)?.first().copied().unwrap_or(f32::NAN);
            if !value.is_finite() {
                return Err(Error::runtime(format!(
                    "the loss is {value} in step {} of epoch {epoch}: train with a smaller learning rate, or look in the data for infinite or missing numbers and for labels beyond the classes",
                    step + 1
                )));
            }
            losses.push(f64::from(value));
            bar.inc(1);
        }
        let steps_per_s = steps as f64 / begun.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let mean = losses[losses.len() - steps..].iter().sum::<f64>() / steps as f64;
        bar.set_message(format!("epoch {epoch}, loss {mean:.4}"));
        if args.json {
            let line = Epoch { epoch, loss: mean, steps_per_s };
            let line = serde_json::to_string(&line).map_err(|e| Error::runtime(e.to_string()))?;
            writeln!(out, "{line}")?;
            out.flush()?;
        }
    }
    bar.finish_and_clear();
    if !args.json {
        let steps = losses.len();
        writeln!(
            out,
            "loss {:.5} in the first step, {:.5} in the last of {steps}",
            losses.first().unwrap_or(&f64::NAN),
            losses.last().unwrap_or(&f64::NAN)
        )?;
    }
    Ok(losses)
}

/// The signature's output called `loss`, or its only float output.
fn loss_output(signature: &Signature) -> Result<String, Error> {
    let floats: Vec<&String> =
        signature.outputs().iter().filter(|(_, m)| m.dtype == TensorType::Float32).map(|(n, _)| n).collect();
    match floats.as_slice() {
        _ if floats.iter().any(|n| *n == LOSS) => Ok(LOSS.to_owned()),
        [only] => Ok((*only).clone()),
        _ => Err(Error::usage(format!(
            "the signature '{}' has no output '{LOSS}': export the loss under that name",
            signature.key()
        ))),
    }
}
