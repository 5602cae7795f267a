//! `ferrolite bench`: how long loading and running take.

use crate::args::BenchArgs;
use crate::cache::CacheReport;
use crate::error::Error;
use crate::memory;
use crate::session::{self, Session, Setup};
use crate::stats::{self, Summary, millis};
use crate::table::{Align, Table};
use crate::terminal;
use ferrolite::{Profile, StepProfile};
use serde::Serialize;
use std::io::Write;
use std::time::{Duration, Instant};

const MIB: f64 = 1024.0 * 1024.0;

/// What is measured. Field names are those of the JSON line.
#[derive(Debug, Serialize)]
struct Report {
    /// From the file to an interpreter that is ready to run.
    load_ms: f64,
    /// The first run.
    first_ms: f64,
    median_ms: f64,
    p90_ms: f64,
    min_ms: f64,
    mean_ms: f64,
    runs: usize,
    arena_mb: f64,
    /// Missing where the system does not tell.
    peak_rss_mb: Option<f64>,
    /// What of it came since before the model was loaded.
    growth_mb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_cache: Option<CacheReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Vec<Step>>,
}

/// One step of the plan.
#[derive(Debug, Serialize)]
struct Step {
    operator: String,
    kernel: String,
    shapes: String,
    /// Mean time of one run.
    mean_us: f64,
    /// Time of the shortest run, warming up included.
    min_us: f64,
    /// Of all steps' time, 0 to 1.
    share: f64,
    /// Billions of arithmetic operations per second; missing where the kernel does not count them.
    #[serde(skip_serializing_if = "Option::is_none")]
    gops: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// Those of reading and running, with their exit codes.
pub fn run(args: &BenchArgs, out: &mut dyn Write) -> Result<(), Error> {
    let progress = terminal::spinner("loading");
    let resident_before = memory::peak_resident();
    let start = Instant::now();
    let model = session::load(&args.model)?;
    let setup = Setup { signature: args.signature.as_deref(), profile: args.profile, ..Setup::default() };
    let mut session = Session::new(&model, &args.execution, &setup)?;
    let load = start.elapsed();

    session.set_inputs(&vec![], 0)?;
    let first = session.invoke()?;
    progress.finish_and_clear();
    if let Some(last) = args.warmup.checked_sub(1) {
        let mut left = last;
        session.run_while(|_| left.checked_sub(1).inspect(|&fewer| left = fewer).is_some())?;
    }
    let before = session.interpreter().profile();
    let times = measure(&mut session, Duration::from_secs_f64(args.seconds))?;
    let summary = Summary::of(times).ok_or_else(|| Error::runtime("no run was measured"))?;

    let resident = memory::peak_resident();
    let growth = resident.zip(resident_before).map(|(after, before)| after.saturating_sub(before));
    let mib = |bytes: u64| bytes as f64 / MIB;
    let report = Report {
        load_ms: millis(load),
        first_ms: millis(first),
        median_ms: millis(summary.median),
        p90_ms: millis(summary.p90),
        min_ms: millis(summary.min),
        mean_ms: millis(summary.mean),
        runs: summary.runs,
        arena_mb: session.interpreter().arena_bytes() as f64 / MIB,
        peak_rss_mb: resident.map(mib),
        growth_mb: growth.map(mib),
        weight_cache: session.weight_cache(),
        profile: session.interpreter().profile().map(|after| steps(&after, before.as_ref())),
    };
    if args.json {
        let line = serde_json::to_string(&report).map_err(|e| Error::runtime(e.to_string()))?;
        return Ok(writeln!(out, "{line}")?);
    }
    write_table(args, &report, &summary, load, first, out)
}

/// Runs for this long, at least once.
fn measure(session: &mut Session, duration: Duration) -> Result<Vec<Duration>, Error> {
    let bar = terminal::progress_bar(duration.as_millis() as u64, "measuring");
    let start = Instant::now();
    let mut drawn = Duration::ZERO;
    let mut times = Vec::new();
    session.run_while(|time| {
        times.push(time);
        let elapsed = start.elapsed();
        // Drawing is rare, so that it does not disturb what is measured.
        if elapsed - drawn > Duration::from_millis(200) {
            bar.set_position(elapsed.as_millis() as u64);
            drawn = elapsed;
        }
        elapsed < duration
    })?;
    bar.finish_and_clear();
    Ok(times)
}

/// Mean times of the runs since `before`.
fn steps(after: &Profile, before: Option<&Profile>) -> Vec<Step> {
    let earlier = before.map_or(&[][..], |profile| &profile.steps);
    let measured: Vec<_> =
        after.steps.iter().enumerate().map(|(index, step)| since(step, earlier.get(index))).collect();
    let all: Duration = measured.iter().map(|(_, total, _)| *total).sum();
    let share = |total: Duration| if all.is_zero() { 0.0 } else { total.as_secs_f64() / all.as_secs_f64() };
    let step = |(step, total, calls): (&StepProfile, Duration, u64)| {
        let mean = total.as_secs_f64() / calls.max(1) as f64;
        Step {
            operator: step.operator.clone(),
            kernel: step.kernel.clone(),
            shapes: step.shapes.clone(),
            mean_us: mean * 1e6,
            min_us: step.least.as_secs_f64() * 1e6,
            share: share(total),
            gops: (step.ops > 0.0 && mean > 0.0).then(|| step.ops / mean / 1e9),
        }
    };
    measured.into_iter().map(step).collect()
}

/// A step with the time and number of its runs after `earlier`.
fn since<'a>(step: &'a StepProfile, earlier: Option<&StepProfile>) -> (&'a StepProfile, Duration, u64) {
    match earlier {
        Some(old) if old.operator == step.operator && old.kernel == step.kernel => {
            (step, step.total.saturating_sub(old.total), step.calls.saturating_sub(old.calls))
        }
        _ => (step, step.total, step.calls),
    }
}

fn write_table(
    args: &BenchArgs,
    report: &Report,
    summary: &Summary,
    load: Duration,
    first: Duration,
    out: &mut dyn Write,
) -> Result<(), Error> {
    writeln!(out, "{}\n", args.model.display())?;
    let mut table = Table::new(&[("measured", Align::Left), ("", Align::Right)]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("load", stats::readable(load));
    if let Some(cache) = &report.weight_cache {
        row("weight cache", cache.to_string());
    }
    row("first run", stats::readable(first));
    row("median", stats::readable(summary.median));
    row("90 % within", stats::readable(summary.p90));
    row("mean", stats::readable(summary.mean));
    row("least", stats::readable(summary.min));
    row("greatest", stats::readable(summary.max));
    row("runs", summary.runs.to_string());
    row("arena", format!("{:.2} MiB", report.arena_mb));
    let mib =
        |mib: Option<f64>| mib.map_or_else(|| "not known here".to_owned(), |mib| format!("{mib:.1} MiB"));
    row("peak resident memory", mib(report.peak_rss_mb));
    row("of it since before loading", mib(report.growth_mb));
    table.write(out)?;

    let Some(steps) = &report.profile else { return Ok(()) };
    let mut table = Table::new(&[
        ("step", Align::Right),
        ("time", Align::Right),
        ("share", Align::Right),
        ("GOP/s", Align::Right),
        ("operator", Align::Left),
        ("kernel", Align::Left),
        ("shapes", Align::Left),
    ]);
    for (index, step) in steps.iter().enumerate() {
        table.row([
            index.to_string(),
            stats::readable(Duration::from_secs_f64(step.mean_us / 1e6)),
            format!("{:.1} %", step.share * 100.0),
            step.gops.map_or_else(String::new, |gops| format!("{gops:.1}")),
            step.operator.clone(),
            step.kernel.clone(),
            step.shapes.clone(),
        ]);
    }
    writeln!(out)?;
    table.write(out)?;
    write_kernels(steps, out)
}

/// The time of all steps with the same kernel, longest first.
fn write_kernels(steps: &[Step], out: &mut dyn Write) -> Result<(), Error> {
    let mut kernels: Vec<(&str, f64, usize)> = vec![];
    for step in steps {
        match kernels.iter_mut().find(|(kernel, ..)| *kernel == step.kernel) {
            Some((_, share, count)) => {
                *share += step.share;
                *count += 1;
            }
            None => kernels.push((&step.kernel, step.share, 1)),
        }
    }
    kernels.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut table = Table::new(&[("share", Align::Right), ("steps", Align::Right), ("kernel", Align::Left)]);
    for (kernel, share, count) in kernels {
        table.row([format!("{:.1} %", share * 100.0), count.to_string(), kernel.to_owned()]);
    }
    writeln!(out)?;
    Ok(table.write(out)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(times: &[(u64, u64)]) -> Profile {
        let step = |&(micros, calls): &(u64, u64)| StepProfile {
            operator: "ADD".to_owned(),
            kernel: "add".to_owned(),
            shapes: String::new(),
            total: Duration::from_micros(micros),
            least: Duration::ZERO,
            calls,
            ops: 1000.0,
        };
        Profile { steps: times.iter().map(step).collect() }
    }

    #[test]
    fn earlier_runs_do_not_count() {
        let found = steps(&profile(&[(1300, 5), (1100, 5)]), Some(&profile(&[(1000, 2), (1000, 2)])));
        let means: Vec<f64> = found.iter().map(|step| (step.mean_us * 1e3).round() / 1e3).collect();
        let shares: Vec<f64> = found.iter().map(|step| (step.share * 1e3).round() / 1e3).collect();
        assert_eq!((means, shares), (vec![100.0, 33.333], vec![0.75, 0.25]));
        assert_eq!(found[0].gops.map(|gops| (gops * 1e6).round() / 1e6), Some(0.01));
    }

    #[test]
    fn the_json_line_has_the_promised_keys() {
        let report = Report {
            load_ms: 1.0,
            first_ms: 2.0,
            median_ms: 3.0,
            p90_ms: 4.0,
            min_ms: 5.0,
            mean_ms: 3.5,
            runs: 6,
            arena_mb: 7.0,
            peak_rss_mb: None,
            growth_mb: None,
            weight_cache: None,
            profile: None,
        };
        let line = serde_json::to_string(&report).expect("plain data");
        let keys = ["load_ms", "first_ms", "median_ms", "p90_ms", "min_ms", "runs", "arena_mb"];
        for key in keys.into_iter().chain(["peak_rss_mb", "growth_mb"]) {
            assert!(line.contains(&format!("\"{key}\":")), "{key} in {line}");
        }
    }
}
