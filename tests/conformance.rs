//! Every golden vector of LiteRT through the public API, on every instruction set the machine has and in every version of its
//! operator.
//!
//! `CONFORMANCE=conv_2d cargo test --test conformance -- --nocapture` runs the cases whose name contains the text, or one of
//! several texts with commas between them. `CONFORMANCE_CPU=portable,avx2` chooses among the instruction sets in the same way.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrolite::{Cpu, operators};
use support::{Case, check, check_other_versions, read_cases, run, vector_files};

/// Cases in which the reference is not matched yet, by name; the file says why.
fn known_differences() -> BTreeSet<String> {
    let text = include_str!("../conformance/known_differences.txt");
    let names = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The instruction sets to run on: all, unless the environment names some.
fn chosen_cpus() -> Vec<Cpu> {
    let mut cpus = Cpu::all();
    if let Ok(names) = std::env::var("CONFORMANCE_CPU") {
        cpus.retain(|cpu| names.split(',').any(|name| name == cpu.name()));
        assert!(!cpus.is_empty(), "this machine has none of the instruction sets '{names}'");
    }
    cpus
}

/// What `work` says of every vectors file, in their order; the files are spread over threads.
fn for_each_file<T: Send>(work: impl Fn(&PathBuf) -> T + Sync) -> Vec<T> {
    let files = vector_files();
    let next = AtomicUsize::new(0);
    let take = || files.get(next.fetch_add(1, Ordering::Relaxed)).map(|file| (file, work(file)));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut done: Vec<(&PathBuf, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| std::iter::from_fn(take).collect::<Vec<_>>())).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker failed")).collect()
    });
    done.sort_by_key(|(file, _)| *file);
    done.into_iter().map(|(_, result)| result).collect()
}

/// What became of an operator's cases.
#[derive(Default)]
struct Row {
    cases: usize,
    /// Cases times the versions that each stands for.
    versions: usize,
    types: BTreeSet<String>,
    failures: Vec<String>,
}

/// What became of a file's cases: rows by operator, and the names of known differences met.
#[derive(Default)]
struct Tally {
    rows: BTreeMap<String, Row>,
    known: BTreeSet<String>,
}

impl Tally {
    /// Runs a case on all instruction sets, and its other versions on the machine's own.
    fn add(&mut self, case: &Case, cpus: &[Cpu], known: &BTreeSet<String>) {
        let row = self.rows.entry(case.operator.clone()).or_default();
        row.cases += 1;
        row.versions += case.versions.len().max(1);
        row.types.insert(case.types.join(","));
        let mut judge = |what: &str, result: Result<(), String>| match result {
            Ok(()) => {}
            Err(_) if known.contains(&case.name) => {
                self.known.insert(case.name.clone());
            }
            Err(why) => row.failures.push(format!("{} on {what}: {why}", case.name)),
        };
        for &cpu in cpus {
            judge(cpu.name(), caught(|| check(case, cpu)));
        }
        if let Some(&cpu) = cpus.last() {
            judge(cpu.name(), caught(|| check_other_versions(case, cpu)));
        }
    }

    fn merge(&mut self, other: Self) {
        self.known.extend(other.known);
        for (operator, row) in other.rows {
            let sum = self.rows.entry(operator).or_default();
            sum.cases += row.cases;
            sum.versions += row.versions;
            sum.types.extend(row.types);
            sum.failures.extend(row.failures);
        }
    }
}

/// A panic is a failure like any other, so that one does not hide the rest.
fn caught(run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("panicked".to_owned()))
}

#[test]
fn golden_vectors() {
    let filter = std::env::var("CONFORMANCE").unwrap_or_default();
    let chosen = |name: &str| filter.split(',').any(|text| name.contains(text));
    let (cpus, known) = (chosen_cpus(), known_differences());
    let mut tally = Tally::default();
    let parts = for_each_file(|file| {
        let mut part = Tally::default();
        read_cases(file).iter().filter(|c| chosen(&c.name)).for_each(|case| part.add(case, &cpus, &known));
        part
    });
    parts.into_iter().for_each(|part| tally.merge(part));
    assert!(!tally.rows.is_empty(), "no golden vector matches '{filter}'");
    for (operator, Row { cases, versions, types, failures }) in &tally.rows {
        println!(
            "{operator:32} {cases:5} cases {versions:6} with versions {:4} type combinations {:5} failed",
            types.len(),
            failures.len()
        );
    }
    let sum = |count: fn(&Row) -> usize| tally.rows.values().map(count).sum::<usize>();
    println!(
        "{} operators, {} cases on {:?}, {} with their versions",
        tally.rows.len(),
        sum(|row| row.cases),
        cpus.iter().map(|c| c.name()).collect::<Vec<_>>(),
        sum(|row| row.versions),
    );
    println!("{} known differences", tally.known.len());
    let failures: Vec<String> = tally.rows.into_values().flat_map(|row| row.failures).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    // The list may not outlive its reasons.
    let mended: Vec<&String> = known.iter().filter(|n| chosen(n) && !tally.known.contains(*n)).collect();
    assert!(mended.is_empty(), "no longer different, take out of known_differences.txt: {mended:?}");
}

/// The cases that a combination of types has at least, and every version of the operator with it.
const LEAST: usize = 8;

#[test]
fn every_version_of_every_operator_has_cases() {
    let mut counts: BTreeMap<(String, i32), usize> = BTreeMap::new();
    for cases in for_each_file(|file| read_cases(file)) {
        for case in cases {
            for version in case.all_versions() {
                *counts.entry((case.operator.clone(), version)).or_default() += 1;
            }
        }
    }
    let listed = operators().into_iter().filter(|operator| !operator.name.starts_with("Flex"));
    let versions = listed.flat_map(|o| (o.versions.0..=o.versions.1).map(move |v| (o.name.clone(), v)));
    let thin: Vec<_> = versions
        .map(|version| (counts.remove(&version).unwrap_or(0), version))
        .filter(|(count, _)| *count < LEAST)
        .collect();
    assert!(thin.is_empty(), "fewer than {LEAST} cases (cases, operator and version): {thin:?}");
    // What is left over are versions that the vectors know and the operator table does not.
    counts.retain(|(operator, _), _| operator != "NETWORK");
    assert!(counts.is_empty(), "versions that are not in the operator table: {counts:?}");
}

#[test]
fn thread_count_does_not_change_a_bit() {
    let cpu = Cpu::detect();
    for file in vector_files() {
        for case in read_cases(&file) {
            let Ok(alone) = run(&case, cpu, 1) else { continue };
            for threads in [2, 4] {
                let spread = run(&case, cpu, threads);
                assert!(spread.as_ref() == Ok(&alone), "{} differs on {threads} threads", case.name);
            }
        }
    }
}
