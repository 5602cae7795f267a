//! `ferrolite run`: one run on given or random inputs.

use crate::args::RunArgs;
use crate::error::Error;
use crate::npz::{self, Array, Arrays};
use crate::session::{self, Port, Session, Setup};
use crate::stats;
use crate::table::{Align, Table};
use crate::tensors;
use crate::terminal;
use ferrolite::{Model, TensorType};
use std::io::Write;
use std::path::Path;

/// How many elements are shown of each output.
const SHOWN: usize = 4;

/// Runs the command.
///
/// # Errors
/// Those of reading, running and writing, with their exit codes.
pub fn run(args: &RunArgs, out: &mut dyn Write) -> Result<(), Error> {
    let arrays = args.inputs.as_deref().map(npz::read).transpose()?.unwrap_or_default();
    let progress = terminal::spinner("loading");
    let model = session::load(&args.model)?;
    let setup = Setup {
        signature: args.signature.as_deref(),
        preserve_all: args.preserve_all.is_some(),
        ..Setup::default()
    };
    let mut session = Session::new(&model, &args.execution, &setup)?;
    let sources = session.set_inputs(&arrays, args.seed)?;
    progress.set_message("running");
    let time = session.invoke()?;
    progress.finish_and_clear();

    write_inputs(&session, &sources, args.seed, out)?;
    let outputs: Vec<Array> =
        (0..session.outputs().len()).map(|i| session.output(i)).collect::<Result<_, _>>()?;
    write_outputs(session.outputs(), &outputs, out)?;
    writeln!(out, "\nran in {}", stats::readable(time))?;
    if let Some(cache) = session.weight_cache() {
        writeln!(out, "weight cache {cache}")?;
    }
    if let Some(path) = &args.outputs {
        npz::write(
            path,
            session.outputs().iter().zip(&outputs).map(|(port, array)| (port.key.as_str(), array)),
        )?;
        writeln!(out, "wrote {}", path.display())?;
    }
    if let Some(path) = &args.preserve_all {
        let (written, left_out) = write_all(&model, &session, path)?;
        writeln!(out, "wrote {written} tensors to {}, {left_out} have no value", path.display())?;
    }
    Ok(())
}

fn write_inputs(
    session: &Session,
    sources: &[Option<String>],
    seed: u64,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut table = Table::new(&[
        ("input", Align::Left),
        ("tensor", Align::Left),
        ("type", Align::Left),
        ("shape", Align::Left),
        ("value", Align::Left),
    ]);
    for (index, (port, source)) in session.inputs().iter().zip(sources).enumerate() {
        let shape = session.input_shape(index)?;
        let value = source
            .as_ref()
            .map_or_else(|| format!("random, seed {seed}"), |name| format!("given as '{name}'"));
        table.row([
            port.key.clone(),
            port.meta.name.clone(),
            port.meta.dtype.to_string(),
            format!("{shape:?}"),
            value,
        ]);
    }
    Ok(table.write(out)?)
}

fn write_outputs(ports: &[Port], arrays: &[Array], out: &mut dyn Write) -> Result<(), Error> {
    let mut table = Table::new(&[
        ("output", Align::Left),
        ("tensor", Align::Left),
        ("type", Align::Left),
        ("shape", Align::Left),
        ("least", Align::Right),
        ("mean", Align::Right),
        ("greatest", Align::Right),
        ("first", Align::Left),
    ]);
    for (port, array) in ports.iter().zip(arrays) {
        let [least, mean, greatest, first] = summary(port.meta.dtype, array);
        let shape = format!("{:?}", array.shape());
        let (name, dtype) = (port.meta.name.clone(), port.meta.dtype.to_string());
        table.row([port.key.clone(), name, dtype, shape, least, mean, greatest, first]);
    }
    writeln!(out)?;
    Ok(table.write(out)?)
}

/// Least, mean and greatest element, and the first ones.
fn summary(dtype: TensorType, array: &Array) -> [String; 4] {
    if let Some(strings) = array.strings() {
        let quoted = |bytes: &&[u8]| format!("{:?}", String::from_utf8_lossy(bytes));
        let first: Vec<String> = strings.iter().take(SHOWN).map(quoted).collect();
        return ["", "", "", &first.join(" ")].map(str::to_owned);
    }
    let Some(values) = tensors::numbers(dtype, array).filter(|values| !values.is_empty()) else {
        return [""; 4].map(str::to_owned);
    };
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let first: Vec<String> = values.iter().take(SHOWN).map(|&value| number(value)).collect();
    let more = if values.len() > SHOWN { " …" } else { "" };
    [number(least), number(mean), number(greatest), first.join(" ") + more]
}

/// A number in few characters: whole numbers as such, others with about five digits.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if value.fract() == 0.0 && size < 1e9 => format!("{value:.0}"),
        size if !(1e-4..1e6).contains(&size) => format!("{value:.3e}"),
        size if size < 1.0 => format!("{value:.5}"),
        _ => format!("{value:.4}"),
    }
}

/// Writes every tensor that has a value; returns how many, and how many have none.
fn write_all(model: &Model, session: &Session, path: &Path) -> Result<(usize, usize), Error> {
    let mut arrays: Arrays = vec![];
    let mut left_out = 0;
    for (subgraph, graph) in model.graph().subgraphs().iter().enumerate() {
        for index in 0..graph.tensors.len() {
            match session.tensor(subgraph, index) {
                Some(array) => arrays.push((format!("{subgraph}/{index}"), array)),
                None => left_out += 1,
            }
        }
    }
    npz::write(path, arrays.iter().map(|(name, array)| (name.as_str(), array)))?;
    Ok((arrays.len(), left_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let rows = [
            (3.0, "3"),
            (-128.0, "-128"),
            (0.0, "0"),
            (0.123456, "0.12346"),
            (12.345678, "12.3457"),
            (1.5e-7, "1.500e-7"),
            (2.5e12, "2.500e12"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ];
        for (value, expected) in rows {
            assert_eq!(number(value), expected);
        }
    }
}
