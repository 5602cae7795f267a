//! Shows that interpreters share weights: resident memory after loading a model and after each of four interpreters.
//!
//! `cargo run --release --example shared_weights MODEL`

use ferrolite::{Error, ErrorKind, Interpreter, Model, Result};

/// Resident memory of this process in MB, where the system tells.
fn resident_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kb| kb / 1024.0)
}

fn report(what: &str) {
    match resident_mb() {
        Some(mb) => println!("{what:24} {mb:8.1} MB resident"),
        None => println!("{what:24} (this system does not tell resident memory)"),
    }
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "usage: cargo run --release --example shared_weights MODEL")
    })?;
    report("at start");
    let model = Model::from_file(&path)?;
    report("model loaded");
    let mut interpreters = Vec::new();
    for n in 1..=4 {
        let mut interpreter = Interpreter::builder(&model).threads(1).build()?;
        interpreter.invoke()?;
        report(&format!("{n} interpreter(s)"));
        interpreters.push(interpreter);
    }
    println!(
        "{} packed weight tensors, arena {} bytes each",
        model.packed_weights(),
        interpreters[0].arena_bytes()
    );
    Ok(())
}
