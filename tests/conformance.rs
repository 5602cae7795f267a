//! Every golden vector of LiteRT through the public API, on every instruction set the machine has.
//!
//! `CONFORMANCE=conv_2d cargo test --test conformance -- --nocapture` runs the cases whose name contains the text, or one of
//! several texts with commas between them. `CONFORMANCE_CPU=portable,avx2` chooses among the instruction sets in the same way.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ferrolite::Cpu;
use support::{check, read_cases, run, vector_files};

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

#[test]
fn golden_vectors() {
    let filter = std::env::var("CONFORMANCE").unwrap_or_default();
    let chosen = |name: &str| filter.split(',').any(|text| name.contains(text));
    let cpus = chosen_cpus();
    let known = known_differences();
    let mut still_known = BTreeSet::new();
    let mut failures = Vec::new();
    // Operator -> (cases, combinations of types, failed).
    let mut table: BTreeMap<String, (usize, BTreeSet<String>, usize)> = BTreeMap::new();
    for file in vector_files() {
        for case in read_cases(&file).iter().filter(|c| chosen(&c.name)) {
            let row = table.entry(case.operator.clone()).or_default();
            row.0 += 1;
            row.1.insert(case.types.join(","));
            for &cpu in &cpus {
                // A panic is a failure like any other, so that one does not hide the rest.
                let result = catch_unwind(AssertUnwindSafe(|| check(case, cpu)));
                if let Err(why) = result.unwrap_or_else(|_| Err("panicked".to_owned())) {
                    if known.contains(&case.name) {
                        still_known.insert(case.name.clone());
                        continue;
                    }
                    failures.push(format!("{} on {}: {why}", case.name, cpu.name()));
                    row.2 += 1;
                }
            }
        }
    }
    assert!(!table.is_empty(), "no golden vector matches '{filter}'");
    for (operator, (cases, types, failed)) in &table {
        println!("{operator:32} {cases:5} cases {:4} type combinations {failed:5} failed", types.len());
    }
    let cases: usize = table.values().map(|row| row.0).sum();
    println!(
        "{} operators, {cases} cases on {:?}",
        table.len(),
        cpus.iter().map(|c| c.name()).collect::<Vec<_>>()
    );
    println!("{} known differences", still_known.len());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    // The list may not outlive its reasons.
    let mended: Vec<&String> = known.iter().filter(|n| chosen(n) && !still_known.contains(*n)).collect();
    assert!(mended.is_empty(), "no longer different, take out of known_differences.txt: {mended:?}");
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
