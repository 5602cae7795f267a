//! The report as text.

use super::report::{Graph, Report, TensorFacts};
use crate::stats::readable_bytes;
use crate::table::{Align, Table};
use crate::terminal::Style;
use std::io::{self, Write};

const LEFT: Align = Align::Left;
const RIGHT: Align = Align::Right;

/// Writes the whole report.
///
/// # Errors
/// Those of the writer.
pub fn write(report: &Report, style: Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", style.bold(&report.file))?;
    for (name, value) in facts(report) {
        writeln!(out, "  {name}: {value}")?;
    }
    write_signatures(report, style, out)?;
    write_operators(report, style, out)?;
    write_constants(report, style, out)?;
    for (index, graph) in report.subgraphs.iter().enumerate() {
        write_graph(index, graph, style, out)?;
    }
    writeln!(out, "\n{}", style.bold("plan"))?;
    match (&report.plan, &report.plan_error) {
        (Some(plan), _) => plan.lines().try_for_each(|line| writeln!(out, "  {line}")),
        (None, Some(error)) => writeln!(out, "  {}", style.bad(&format!("none: {error}"))),
        (None, None) => Ok(()),
    }
}

/// The facts about the file as a whole.
pub fn facts(report: &Report) -> Vec<(String, String)> {
    let count = |graphs: &[Graph], of: fn(&Graph) -> usize| graphs.iter().map(of).sum::<usize>().to_string();
    let mut facts = vec![
        ("size".to_owned(), readable_bytes(report.file_bytes)),
        ("format version".to_owned(), report.version.to_string()),
        ("subgraphs".to_owned(), report.subgraphs.len().to_string()),
        ("operators".to_owned(), count(&report.subgraphs, |graph| graph.operators.len())),
        ("tensors".to_owned(), count(&report.subgraphs, |graph| graph.tensors.len())),
    ];
    let mut optional = |name: &str, value: Option<String>| {
        facts.extend(value.filter(|value| !value.is_empty()).map(|value| (name.to_owned(), value)));
    };
    optional("description", report.description.clone());
    optional("made for runtime", report.min_runtime_version.clone());
    optional("metadata", Some(report.metadata.join(", ")));
    optional("arena", report.arena_bytes.map(readable_bytes));
    facts
}

fn write_signatures(report: &Report, style: Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{}", style.bold("signatures"))?;
    if report.signatures.is_empty() {
        return writeln!(out, "  none; inputs and outputs are those of subgraph 0");
    }
    for signature in &report.signatures {
        writeln!(out, "  {} runs subgraph {}", signature.key, signature.subgraph)?;
        let tensors = report.subgraphs.get(signature.subgraph).map_or(&[][..], |graph| &graph.tensors);
        let mut table =
            Table::new(&[("", LEFT), ("name", LEFT), ("type", LEFT), ("shape", LEFT), ("tensor", LEFT)]);
        let sides = [("in", &signature.inputs), ("out", &signature.outputs)];
        for (side, named) in sides.iter().flat_map(|(side, list)| list.iter().map(move |named| (side, named)))
        {
            let Some(tensor) = tensors.get(named.tensor) else { continue };
            let names = [(*side).to_owned(), named.name.clone()];
            table.row(names.into_iter().chain([
                tensor.dtype.clone(),
                tensor.dimensions(),
                tensor.name.clone(),
            ]));
        }
        table.write(out)?;
    }
    Ok(())
}

fn write_operators(report: &Report, style: Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{}", style.bold("operators"))?;
    let mut table = Table::new(&[("count", RIGHT), ("operator", LEFT), ("versions", LEFT), ("", LEFT)]);
    for operator in &report.operators {
        let versions: Vec<String> = operator.versions.iter().map(i32::to_string).collect();
        let note = if operator.supported { String::new() } else { style.bad("not supported") };
        table.row([operator.count.to_string(), operator.name.clone(), versions.join(", "), note]);
    }
    table.write(out)
}

fn write_constants(report: &Report, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if report.constants.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("constants"))?;
    let mut table = Table::new(&[("type", LEFT), ("tensors", RIGHT), ("elements", RIGHT), ("size", RIGHT)]);
    for row in &report.constants {
        let counts = [row.tensors.to_string(), row.elements.to_string(), readable_bytes(row.bytes)];
        table.row([row.dtype.clone()].into_iter().chain(counts));
    }
    table.write(out)
}

fn write_graph(index: usize, graph: &Graph, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let name = graph.name.as_deref().unwrap_or_default();
    writeln!(out, "\n{}", style.bold(format!("subgraph {index} {name}").trim_end()))?;
    let mut table = Table::new(&[
        ("tensor", RIGHT),
        ("type", LEFT),
        ("shape", LEFT),
        ("role", LEFT),
        ("real value", LEFT),
        ("name", LEFT),
    ]);
    for (number, tensor) in graph.tensors.iter().enumerate() {
        table.row([
            number.to_string(),
            tensor.dtype.clone(),
            tensor.dimensions(),
            role(number, tensor, graph),
            tensor.quantization.clone().unwrap_or_default(),
            tensor.name.clone(),
        ]);
    }
    table.write(out)?;
    let mut table = Table::new(&[
        ("operator", RIGHT),
        ("name", LEFT),
        ("inputs", LEFT),
        ("outputs", LEFT),
        ("options", LEFT),
    ]);
    for (number, operator) in graph.operators.iter().enumerate() {
        let input =
            |tensor: &Option<usize>| tensor.map_or_else(|| "-".to_owned(), |tensor| tensor.to_string());
        let inputs: Vec<String> = operator.inputs.iter().map(input).collect();
        let outputs: Vec<String> = operator.outputs.iter().map(usize::to_string).collect();
        let options = operator.options.clone().unwrap_or_default();
        table.row([number.to_string(), operator.name.clone(), inputs.join(" "), outputs.join(" "), options]);
    }
    writeln!(out)?;
    table.write(out)
}

/// What a tensor is in its subgraph.
pub fn role(number: usize, tensor: &TensorFacts, graph: &Graph) -> String {
    let mut roles = vec![];
    if graph.inputs.contains(&number) {
        roles.push("input".to_owned());
    }
    if graph.outputs.contains(&number) {
        roles.push("output".to_owned());
    }
    if let Some(bytes) = tensor.constant_bytes {
        let sparse = if tensor.sparse { "sparse " } else { "" };
        roles.push(format!("{sparse}constant, {}", readable_bytes(bytes)));
    }
    if tensor.variable {
        roles.push("variable".to_owned());
    }
    roles.join(", ")
}
