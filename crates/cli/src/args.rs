//! The command line's grammar.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes: 0 success, 1 results beyond tolerance, 2 bad usage, 3 a bad or unsupported model, 4 a failure while running.\n\n\
    Model files and weight caches are mapped into memory: do not change them while a command runs.";

/// Run, measure, look into and compare TensorFlow Lite (LiteRT) models. Without a command: a demo that reads
/// handwritten digits.
#[derive(Debug, Parser)]
#[command(name = "ferrolite", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a model once on given or random inputs
    Run(RunArgs),
    /// Measure how long loading and running take
    Bench(BenchArgs),
    /// Show what a model is made of and how it would be run
    Inspect(InspectArgs),
    /// Run a model and compare its outputs with reference values
    Compare(CompareArgs),
    /// Train a model in place through its training signature
    #[cfg(feature = "flex")]
    Train(TrainArgs),
    /// Print a shell's completion script
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a manual page (roff)
    Man {
        /// The command it is about [default: all of them in short]
        command: Option<String>,
    },
}

/// Where and with how much a model runs.
#[derive(Debug, Clone, Args)]
pub struct Execution {
    /// Threads to use [default: as many as the machine runs at once]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// What runs the model
    #[arg(long, value_enum, default_value_t = Accelerator::Cpu)]
    pub accelerator: Accelerator,
    /// Instruction set of the CPU's kernels, such as portable or avx2 [default: the widest of this machine]
    #[arg(long, value_name = "ISA")]
    pub isa: Option<String>,
    /// Compute all convolutions as plain sums, in LiteRT's order; by default large ones of 3x3 in floats take Winograd's method,
    /// which is faster and rounds otherwise
    #[arg(long)]
    pub no_winograd: bool,
    /// Keep packed weights in this file, so that the model loads sooner the next time; one that is missing or belongs to another
    /// model, CPU or version is written
    #[arg(long, value_name = "FILE")]
    pub weight_cache: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Accelerator {
    /// Kernels for this machine's processor
    Cpu,
    /// Compute shaders
    Gpu,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The .tflite file
    pub model: PathBuf,
    /// NumPy archive of inputs: each array's key is the signature's name for the input, the tensor's name, or the
    /// position ("0", "1", …); another shape than the model's resizes the input
    #[arg(long, value_name = "IN.npz")]
    pub inputs: Option<PathBuf>,
    /// NumPy archive to write the outputs to, keyed by position, or by name when --signature is given
    #[arg(long, value_name = "OUT.npz")]
    pub outputs: Option<PathBuf>,
    /// NumPy archive to write every tensor to, keyed "subgraph/tensor"; keeps all intermediate results, so nothing is
    /// fused
    #[arg(long, value_name = "ALL.npz")]
    pub preserve_all: Option<PathBuf>,
    /// Signature to run [default: the first subgraph]
    #[arg(long, value_name = "KEY")]
    pub signature: Option<String>,
    /// Seed of the values of inputs that are not given
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub execution: Execution,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The .tflite file
    pub model: PathBuf,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    pub seconds: f64,
    /// Runs before measuring, besides the first
    #[arg(long, value_name = "W", default_value_t = 3)]
    pub warmup: u32,
    /// Signature to run [default: the first subgraph]
    #[arg(long, value_name = "KEY")]
    pub signature: Option<String>,
    /// Also measure each step; shown with its kernel's name
    #[arg(long)]
    pub profile: bool,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub execution: Execution,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The .tflite file
    pub model: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Write a picture of the graph as a self-contained page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The .tflite file
    pub model: PathBuf,
    /// NumPy archive of the expected outputs, keyed by position or name; keys like those of run --preserve-all compare
    /// intermediate tensors
    #[arg(long, value_name = "OUT.npz")]
    pub reference: PathBuf,
    /// NumPy archive of the inputs they belong to
    #[arg(long, value_name = "IN.npz")]
    pub inputs: PathBuf,
    /// Signature to run [default: the first subgraph]
    #[arg(long, value_name = "KEY")]
    pub signature: Option<String>,
    #[command(flatten)]
    pub tolerance: Tolerance,
    #[command(flatten)]
    pub execution: Execution,
}

/// Arguments of `train`.
#[cfg(feature = "flex")]
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The .tflite file, with a signature that takes a batch and returns the loss
    pub model: PathBuf,
    /// NumPy archive of the examples: each array's key is the signature's name for an input, its first axis counts the
    /// examples; an array for an input without axes holds for all steps
    #[arg(long, value_name = "DATA.npz")]
    pub data: PathBuf,
    /// How many times all examples are gone through
    #[arg(long, value_name = "E", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
    /// Examples of a step [default: as many as the model was exported for]
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,
    /// Signature that takes a training step
    #[arg(long, value_name = "KEY", default_value = "train")]
    pub signature: String,
    /// Safetensors file to write the weights to when training has ended
    #[arg(long, value_name = "W.safetensors")]
    pub weights_out: Option<PathBuf>,
    /// Safetensors file of the weights to start from
    #[arg(long, value_name = "W.safetensors")]
    pub weights_in: Option<PathBuf>,
    /// Print one line of JSON for each epoch
    #[arg(long)]
    pub json: bool,
    /// Seed of the order of the examples, which is another in each epoch
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub execution: Execution,
}

/// How far a result may be from its reference.
#[derive(Debug, Clone, Copy, Args)]
pub struct Tolerance {
    /// Relative tolerance of floating-point results: |result - reference| <= atol + rtol * |reference|
    #[arg(long, default_value_t = 1e-4, value_parser = tolerance)]
    pub rtol: f64,
    /// Absolute tolerance of floating-point results
    #[arg(long, default_value_t = 1e-5, value_parser = tolerance)]
    pub atol: f64,
    /// Quantization steps that quantized results may differ by; other integers, strings and booleans must be equal
    #[arg(long, default_value_t = 1)]
    pub steps: u32,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("give a number of seconds from 0 to 86400".to_owned()),
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(tolerance) if tolerance >= 0.0 => Ok(tolerance),
        _ => Err("give a number that is not negative".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_accepted() {
        let rows = [
            ("", true),
            ("run m.tflite", true),
            (
                "run m.tflite --inputs a.npz --outputs b.npz --signature s --threads 2 --accelerator gpu --seed 7",
                true,
            ),
            ("bench m.tflite --weight-cache c.bin", true),
            ("run m.tflite --weight-cache", false),
            ("run m.tflite --threads 0", false),
            ("run", false),
            ("bench m.tflite --seconds 0.5 --warmup 2 --profile --json --isa portable", true),
            ("bench m.tflite --seconds -1", false),
            ("bench m.tflite --seconds nan", false),
            ("inspect m.tflite --json --html g.html", true),
            ("compare m.tflite --reference o.npz --inputs i.npz --rtol 0 --atol 1e-3 --steps 2", true),
            ("compare m.tflite --reference o.npz --inputs i.npz --rtol -1", false),
            ("compare m.tflite", false),
            #[cfg(feature = "flex")]
            (
                "train m.tflite --data d.npz --epochs 3 --batch 8 --signature t --weights-in a --weights-out b --json",
                true,
            ),
            #[cfg(feature = "flex")]
            ("train m.tflite --data d.npz --epochs 0", false),
            #[cfg(feature = "flex")]
            ("train m.tflite", false),
            ("completions bash", true),
            ("completions cmd", false),
            ("man", true),
            ("man run", true),
            ("dance", false),
        ];
        let wrong: Vec<_> = rows
            .iter()
            .filter(|(line, accepted)| {
                let words = std::iter::once("ferrolite").chain(line.split_whitespace());
                Cli::try_parse_from(words).is_ok() != *accepted
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
