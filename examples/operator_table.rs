//! Writes `docs/operators.md` from the operator table and the golden vectors, which it runs.
//!
//! `cargo run --release --example operator_table > docs/operators.md`; with `--check FILE` it fails if FILE differs, with
//! `--thin COUNT` it lists the combinations of types that have fewer cases.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

#[path = "../tests/support/mod.rs"]
mod support;

#[path = "../crates/gpu/src/claimed.rs"]
mod claimed;

use ferrolite::{Cpu, OperatorInfo, TensorType, operators};
use support::Case;

/// What operators of TensorFlow's training graphs are called.
const TRAINING: &str = "Flex";

/// Cases, and how many of them agree with their vectors.
#[derive(Clone, Copy, Default)]
struct Count {
    cases: usize,
    /// Cases times the versions of the operator that each stands for.
    versions: usize,
    /// On the widest instruction set of the machine.
    cpu: usize,
    /// On the code that every target has.
    portable: usize,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.versions += other.versions;
        self.cpu += other.cpu;
        self.portable += other.portable;
    }

    /// How many of the cases agree, as a table's cell.
    fn cell(&self, agreeing: usize) -> String {
        match (self.cases, agreeing) {
            (0, _) => "–".to_owned(),
            (cases, agreeing) if cases == agreeing => "all".to_owned(),
            (cases, agreeing) => format!("{agreeing} of {cases}"),
        }
    }
}

/// One combination of element types of an operator.
struct Row {
    types: String,
    count: Count,
}

/// An operator with its combinations of types; one that takes any has a single row.
struct Entry {
    info: OperatorInfo,
    rows: Vec<Row>,
}

impl Entry {
    fn new(info: OperatorInfo) -> Self {
        let row = |types| Row { types, count: Count::default() };
        let rows = match info.types.as_slice() {
            [] => vec![row("any".to_owned())],
            combinations => combinations.iter().map(|(i, o)| row(arrow(i, o))).collect(),
        };
        Self { info, rows }
    }

    /// The row a case belongs to: by its inputs, and among several of these by its model's outputs.
    fn row_of(&self, case: &Case) -> Option<usize> {
        if self.info.types.is_empty() {
            return Some(0);
        }
        let rows = || self.info.types.iter().enumerate();
        let mut candidates = rows().filter(|(_, (inputs, _))| fits(inputs, &case.types));
        let (first, second) = (candidates.next()?, candidates.next());
        if second.is_none() {
            return Some(first.0);
        }
        let exact = |(inputs, outputs): &(&[TensorType], &[TensorType])| {
            fits(inputs, &case.types) && fits(outputs, &case.output_types)
        };
        rows().find(|(_, row)| exact(row)).map(|(at, _)| at)
    }

    fn total(&self) -> Count {
        let mut total = Count::default();
        self.rows.iter().for_each(|row| total.add(row.count));
        total
    }
}

/// Whether types are those of a row, whose last one stands for all further operands.
fn fits(row: &[TensorType], types: &[String]) -> bool {
    types.iter().enumerate().all(|(i, name)| {
        name == "NONE" || row.get(i).or(row.last()).is_some_and(|want| want.to_string() == *name)
    })
}

fn arrow(inputs: &[TensorType], outputs: &[TensorType]) -> String {
    let list = |types: &[TensorType]| match types {
        [] => "nothing".to_owned(),
        types => types.iter().map(|t| t.to_string().to_lowercase()).collect::<Vec<_>>().join(" "),
    };
    if inputs == outputs { list(inputs) } else { format!("{} → {}", list(inputs), list(outputs)) }
}

/// Whether a case agrees with its vectors on an instruction set, in all versions of its operator.
fn agrees(case: &Case, cpu: Cpu) -> bool {
    let all = || support::check(case, cpu).and_then(|()| support::check_other_versions(case, cpu));
    catch_unwind(AssertUnwindSafe(|| all().is_ok())).unwrap_or(false)
}

/// Every operator with its cases, which are run where `run` says so; and the names of cases that fit no combination of types.
fn entries(run: bool) -> (Vec<Entry>, Vec<String>) {
    let mut operators = operators();
    operators.sort_by(|a, b| a.name.cmp(&b.name));
    let mut entries: Vec<Entry> = operators.into_iter().map(Entry::new).collect();
    let places: BTreeMap<String, usize> =
        entries.iter().enumerate().map(|(i, e)| (e.info.name.clone(), i)).collect();
    let mut strays = Vec::new();
    for file in support::vector_files() {
        for case in support::read_cases(&file) {
            let Some(&at) = places.get(&case.operator) else { continue };
            let Some(row) = entries[at].row_of(&case) else {
                strays.push(case.name);
                continue;
            };
            let agreeing = |cpu| usize::from(run && agrees(&case, cpu));
            let versions = case.versions.len().max(1);
            let (cpu, portable) = (agreeing(Cpu::detect()), agreeing(Cpu::portable()));
            let count = Count { cases: 1, versions, cpu, portable };
            entries[at].rows[row].count.add(count);
        }
    }
    (entries, strays)
}

fn table() -> String {
    let (entries, _) = entries(true);
    let (training, inference): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|e| e.info.name.starts_with(TRAINING));
    let mut out = String::from(
        "# Operators\n\nWritten by `cargo run --release --example operator_table`, which runs the golden vectors in \
         `conformance/vectors`. \"Cases x versions\" counts each case once for every version of the operator that it stands \
         for, in all of which it is run. \"CPU\" says how many of an operator's cases agree with them on the widest instruction set of \
         the machine, \"web\" how many on the portable code, which is what WebAssembly vectors are held against. \"GPU\" says \
         which operators have a shader; it computes in float32, and what it does not take runs on the CPU.\n\n\
         | operator | versions | combinations of types | cases | cases x versions | CPU | web | GPU |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for entry in &inference {
        let ((first, last), total, name) = (entry.info.versions, entry.total(), &entry.info.name);
        let gpu = if claimed::CLAIMED.contains(&name.as_str()) { "float32" } else { "" };
        let types = if entry.info.types.is_empty() { "any".to_owned() } else { entry.rows.len().to_string() };
        let (cpu, web) = (total.cell(total.cpu), total.cell(total.portable));
        let Count { cases, versions, .. } = total;
        let _ = writeln!(
            out,
            "| {name} | {first}–{last} | {types} | {cases} | {versions} | {cpu} | {web} | {gpu} |"
        );
    }
    let mut all = Count::default();
    inference.iter().for_each(|entry| all.add(entry.total()));
    let _ = writeln!(
        out,
        "\n{} operators, {} cases, {} with their versions.",
        inference.len(),
        all.cases,
        all.versions
    );
    out.push_str(
        "\n## By types\n\nThe accepted combinations of inputs and outputs; the last one listed stands for all further \
         operands.\n\n| operator | types | cases | cases x versions | CPU | web |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for entry in &inference {
        for Row { types, count } in &entry.rows {
            let (cpu, web) = (count.cell(count.cpu), count.cell(count.portable));
            let Count { cases, versions, .. } = count;
            let _ = writeln!(out, "| {} | {types} | {cases} | {versions} | {cpu} | {web} |", entry.info.name);
        }
    }
    if !training.is_empty() {
        out.push_str(
            "\n## Training graphs\n\nOperators of TensorFlow, with the feature `flex`. The tests of `crates/flex` hold them \
             against TensorFlow.\n\n| operator | types |\n| --- | --- |\n",
        );
        for entry in training {
            let types: Vec<&str> = entry.rows.iter().map(|row| row.types.as_str()).collect();
            let _ = writeln!(out, "| {} | {} |", entry.info.name, types.join(", "));
        }
    }
    out
}

/// The combinations of types with fewer than `least` cases.
fn thin(least: usize) -> String {
    let (entries, strays) = entries(false);
    let mut out = String::new();
    let mut rows = 0;
    for entry in entries.iter().filter(|e| !e.info.name.starts_with(TRAINING)) {
        for row in entry.rows.iter().filter(|row| row.count.cases < least) {
            let _ = writeln!(out, "{} | {} | {}", entry.info.name, row.types, row.count.cases);
            rows += 1;
        }
    }
    let _ = writeln!(out, "{rows} combinations of types have fewer than {least} cases");
    for name in strays {
        let _ = writeln!(out, "{name} fits no combination");
    }
    out
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--check", path] => {
            if std::fs::read_to_string(path).is_ok_and(|old| old == table()) {
                return ExitCode::SUCCESS;
            }
            eprintln!("{path} is not current: cargo run --release --example operator_table > {path}");
            ExitCode::FAILURE
        }
        ["--thin", count] => match count.parse() {
            Ok(count) => {
                print!("{}", thin(count));
                ExitCode::SUCCESS
            }
            Err(e) => {
                eprintln!("--thin takes a number of cases: {e}");
                ExitCode::FAILURE
            }
        },
        [] => {
            print!("{}", table());
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("unknown arguments {other:?}: --check FILE, --thin COUNT or none");
            ExitCode::FAILURE
        }
    }
}
