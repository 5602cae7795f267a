//! `ferrolite inspect`: what a model is made of and how it would be run.

mod graph;
mod html;
mod layout;
mod picture;
mod report;
mod text;

use crate::args::InspectArgs;
use crate::error::Error;
use crate::session;
use crate::terminal::{self, Style};
use report::Report;
use std::io::Write;

/// Runs the command. Models that cannot be run are shown all the same, with the reason.
///
/// # Errors
/// Those of reading the model and of writing, with their exit codes.
pub fn run(args: &InspectArgs, out: &mut dyn Write) -> Result<(), Error> {
    let progress = terminal::spinner("planning");
    let model = session::load(&args.model)?;
    let name = args.model.file_name().unwrap_or(args.model.as_os_str()).to_string_lossy();
    let report = Report::new(&model, &name);
    progress.finish_and_clear();

    let internal = |error: serde_json::Error| Error::runtime(format!("cannot write the report: {error}"));
    if let Some(path) = &args.html {
        let page = html::page(&graph::picture(&report)).map_err(internal)?;
        std::fs::write(path, page)
            .map_err(|error| Error::runtime(format!("cannot write {}: {error}", path.display())))?;
    }
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(internal)?;
        return Ok(writeln!(out, "{json}")?);
    }
    text::write(&report, Style::for_stdout(), out)?;
    if let Some(path) = &args.html {
        writeln!(out, "\nwrote {}", path.display())?;
    }
    Ok(())
}
