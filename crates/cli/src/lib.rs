//! The `ferrolite` command: run, measure, look into and compare `.tflite` models.
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | success |
//! | 1 | a comparison beyond its tolerance |
//! | 2 | bad usage: arguments, or input files that do not fit the model |
//! | 3 | a bad or unsupported model |
//! | 4 | a failure while running |
//!
//! Results go to standard output, errors, one sentence first, to standard error.

mod args;
mod bench;
mod cache;
mod compare;
mod demo;
mod error;
mod fill;
mod inspect;
mod memory;
pub mod npz;
mod random;
mod run;
mod session;
mod stats;
mod table;
mod tensors;
mod terminal;
#[cfg(feature = "flex")]
mod train;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use error::Error;
use std::io::{BufWriter, Write, stdout};
use std::process::ExitCode;

/// Runs the command with the arguments of the process and gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = BufWriter::new(stdout().lock());
    let done = dispatch(cli, &mut out).and_then(|()| Ok(out.flush()?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What was written before the failure belongs to the user; a second failure adds nothing.
            let _ = out.flush();
            error.report()
        }
    }
}

fn dispatch(cli: Cli, out: &mut dyn Write) -> Result<(), Error> {
    match cli.command {
        None => demo::run(terminal::Style::for_stdout(), out),
        Some(Command::Run(args)) => run::run(&args, out),
        Some(Command::Bench(args)) => bench::run(&args, out),
        Some(Command::Inspect(args)) => inspect::run(&args, out),
        Some(Command::Compare(args)) => compare::run(&args, out),
        #[cfg(feature = "flex")]
        Some(Command::Train(args)) => train::run(&args, out),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ferrolite", &mut script);
            Ok(out.write_all(&script)?)
        }
        Some(Command::Man { command }) => Ok(out.write_all(&manual_page(command.as_deref())?)?),
    }
}

/// The manual page of the whole command, or of one of its commands.
fn manual_page(command: Option<&str>) -> Result<Vec<u8>, Error> {
    let mut whole = Cli::command();
    whole.build();
    let page = match command {
        None => whole,
        Some(name) => {
            let found = whole.find_subcommand(name).cloned();
            found
                .ok_or_else(|| Error::usage(format!("there is no command '{name}'; see ferrolite --help")))?
        }
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff)?;
    Ok(roff)
}
