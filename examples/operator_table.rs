//! Writes `docs/operators.md` from the operator table and the golden vectors.
//!
//! `cargo run --release --example operator_table > docs/operators.md`; with `--check FILE` it fails if FILE differs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

#[path = "../tests/support/mod.rs"]
mod support;

use ferrolite::{OperatorInfo, operators};

/// Cases per operator.
fn cases() -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for file in support::vector_files() {
        for case in support::read_cases(&file) {
            *count.entry(case.operator).or_default() += 1;
        }
    }
    count
}

fn types(operator: &OperatorInfo) -> String {
    if operator.types.is_empty() {
        return "any".to_owned();
    }
    let rows: Vec<String> = operator
        .types
        .iter()
        .map(|(inputs, outputs)| {
            let list = |types: &[ferrolite::TensorType]| {
                types.iter().map(|t| t.to_string().to_lowercase()).collect::<Vec<_>>().join(" ")
            };
            if inputs == outputs { list(inputs) } else { format!("{} → {}", list(inputs), list(outputs)) }
        })
        .collect();
    rows.join(", ")
}

fn table() -> String {
    let cases = cases();
    let mut operators = operators();
    operators.sort_by(|a, b| a.name.cmp(&b.name));
    let mut out = String::new();
    let _ = writeln!(
        out,
        "# Operators\n\nWritten by `cargo run --release --example operator_table`. Types are the accepted combinations \
         of inputs and outputs; the last one listed stands for all further operands. Cases are golden vectors of LiteRT \
         that run in `cargo test`.\n\n| operator | versions | types | cases |\n| --- | --- | --- | --- |"
    );
    for operator in &operators {
        let count = cases.get(&operator.name).copied().unwrap_or(0);
        let (first, last) = operator.versions;
        let _ = writeln!(out, "| {} | {first}–{last} | {} | {count} |", operator.name, types(operator));
    }
    let total: usize = cases.values().sum();
    let _ = writeln!(out, "\n{} operators, {total} cases.", operators.len());
    out
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = table();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--check", path] => {
            if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
                return ExitCode::SUCCESS;
            }
            eprintln!("{path} is not current: cargo run --release --example operator_table > {path}");
            ExitCode::FAILURE
        }
        _ => {
            print!("{text}");
            ExitCode::SUCCESS
        }
    }
}
