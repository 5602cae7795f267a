//! `ferrolite` without arguments: a digit classifier reads digits that it has never seen.

mod digits;
mod draw;

use crate::error::Error;
use crate::stats::{self, Summary};
use crate::table::{Align, Table};
use crate::terminal::Style;
use digits::Digit;
use ferrolite::{Interpreter, Model, Profile};
use std::io::Write;
use std::time::{Duration, Instant};

/// The network in both formats. What they are and where the digits come from: `assets/README.md`.
const MODELS: [(&str, &[u8]); 2] = [
    ("float32", include_bytes!("../../assets/digits_f32.tflite")),
    ("int8", include_bytes!("../../assets/digits_int8.tflite")),
];

/// Digits drawn, the last being one that a model misreads, if there is any.
const DRAWN: usize = 6;
const DRAWN_SIDE_BY_SIDE: usize = 2;
const CLASSES: usize = 10;

/// What a model says of all digits.
struct Reading {
    format: &'static str,
    file_bytes: usize,
    /// Of each digit, the probability of each class.
    probabilities: Vec<[f32; CLASSES]>,
    right: usize,
    times: Summary,
    /// Operator, kernel and usual time of each step.
    steps: Vec<(String, String, Duration)>,
}

/// Runs the demo.
///
/// # Errors
/// Those of running the models, and of writing.
pub fn run(style: Style, out: &mut dyn Write) -> Result<(), Error> {
    let digits = digits::held_back().ok_or_else(|| Error::runtime("the embedded digits are damaged"))?;
    let readings: Vec<Reading> =
        MODELS.iter().map(|(format, bytes)| read(format, bytes, &digits)).collect::<Result<_, _>>()?;

    writeln!(out, "{}", style.bold("ferrolite reads handwritten digits that its network has never seen"))?;
    let chosen = choose(&digits, &readings);
    for side_by_side in chosen.chunks(DRAWN_SIDE_BY_SIDE) {
        let blocks: Vec<Vec<String>> = side_by_side
            .iter()
            .map(|&index| {
                let said: Vec<_> =
                    readings.iter().map(|reading| (reading.format, &reading.probabilities[index])).collect();
                draw::block(&digits[index], &said, style)
            })
            .collect();
        writeln!(out)?;
        draw::side_by_side(&blocks).iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    write_summary(&readings, digits.len(), style, out)?;
    write_kernels(&readings, style, out)?;
    writeln!(out, "\n{}", style.dim("ferrolite --help lists what it does with your own models."))?;
    Ok(())
}

/// Runs a model on every digit, on one thread: the network is too small for more.
fn read(format: &'static str, bytes: &'static [u8], digits: &[Digit]) -> Result<Reading, Error> {
    let model = Model::from_bytes(bytes)?;
    let mut interpreter = Interpreter::builder(&model).threads(1).profile(true).build()?;
    let quantized = interpreter.inputs().first().is_some_and(|input| input.quantization.is_some());
    let mut probabilities = Vec::with_capacity(digits.len());
    let mut times = Vec::with_capacity(digits.len());
    let mut profiles = vec![Profile::default()];
    for digit in digits {
        if quantized {
            interpreter.write_quantized(0, &digit.input())?;
        } else {
            interpreter.input_mut::<f32>(0)?.copy_from_slice(&digit.input());
        }
        times.push(time(|| interpreter.invoke())?);
        profiles.extend(interpreter.profile());
        let said: Option<[f32; CLASSES]> = interpreter.read_dequantized(0)?.try_into().ok();
        probabilities.push(said.ok_or_else(|| Error::runtime("the embedded model is damaged"))?);
    }
    let right =
        digits.iter().zip(&probabilities).filter(|(digit, said)| most_likely(said) == digit.label()).count();
    Ok(Reading {
        format,
        file_bytes: bytes.len(),
        probabilities,
        right,
        times: Summary::of(times).ok_or_else(|| Error::runtime("there are no embedded digits"))?,
        steps: steps(&profiles),
    })
}

/// The median time of each step, from profiles that each hold one more run than the one before.
fn steps(profiles: &[Profile]) -> Vec<(String, String, Duration)> {
    let total =
        |profile: &Profile, index: usize| profile.steps.get(index).map(|step| step.total).unwrap_or_default();
    let median = |index: usize| {
        let runs =
            profiles.windows(2).map(|pair| total(&pair[1], index).saturating_sub(total(&pair[0], index)));
        Summary::of(runs.collect()).map_or(Duration::ZERO, |summary| summary.median)
    };
    let last = profiles.last().map_or(&[][..], |profile| &profile.steps);
    let named = last.iter().enumerate();
    named.map(|(index, step)| (step.operator.clone(), step.kernel.clone(), median(index))).collect()
}

fn time(work: impl FnOnce() -> ferrolite::Result<()>) -> Result<Duration, Error> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// The class with the greatest probability.
fn most_likely(probabilities: &[f32; CLASSES]) -> usize {
    let classes = probabilities.iter().enumerate();
    classes.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(class, _)| class)
}

/// The first digit of each of several classes, then the first that is misread.
fn choose(digits: &[Digit], readings: &[Reading]) -> Vec<usize> {
    let right = |index: &usize| {
        readings.iter().all(|reading| most_likely(&reading.probabilities[*index]) == digits[*index].label())
    };
    let misread = (0..digits.len()).find(|index| !right(index));
    let first_of =
        |class: usize| (0..digits.len()).filter(right).find(|&index| digits[index].label() == class);
    let classes = if misread.is_some() { DRAWN - 1 } else { DRAWN };
    // Every second class, so that unlike shapes are shown.
    (0..classes).filter_map(|place| first_of(place * 2 % CLASSES + place / 5)).chain(misread).collect()
}

fn write_summary(
    readings: &[Reading],
    digits: usize,
    style: Style,
    out: &mut dyn Write,
) -> Result<(), Error> {
    writeln!(out, "\n{}", style.bold(&format!("all {digits} digits, one at a time, one thread")))?;
    let mut table = Table::new(&[
        ("model", Align::Left),
        ("file", Align::Right),
        ("right", Align::Right),
        ("accuracy", Align::Right),
        ("median", Align::Right),
        ("90 % within", Align::Right),
    ]);
    for reading in readings {
        table.row([
            reading.format.to_owned(),
            stats::readable_bytes(reading.file_bytes),
            reading.right.to_string(),
            format!("{:.2} %", 100.0 * reading.right as f64 / digits as f64),
            stats::readable(reading.times.median),
            stats::readable(reading.times.p90),
        ]);
    }
    Ok(table.write(out)?)
}

fn write_kernels(readings: &[Reading], style: Style, out: &mut dyn Write) -> Result<(), Error> {
    for reading in readings {
        writeln!(out, "\n{}", style.bold(&format!("kernels, {}", reading.format)))?;
        let mut table =
            Table::new(&[("median", Align::Right), ("operator", Align::Left), ("kernel", Align::Left)]);
        for (operator, kernel, median) in &reading.steps {
            table.row([stats::readable(*median), operator.clone(), kernel.clone()]);
        }
        table.write(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrolite::StepProfile;

    #[test]
    fn steps_have_their_median_time() {
        let profile = |micros: u64, calls: u64| Profile {
            steps: vec![StepProfile {
                operator: "ADD".to_owned(),
                kernel: "add".to_owned(),
                shapes: String::new(),
                total: Duration::from_micros(micros),
                least: Duration::ZERO,
                calls,
                ops: 0.0,
            }],
        };
        // The runs took 5, 100 and 7 microseconds.
        let found = steps(&[Profile::default(), profile(5, 1), profile(105, 2), profile(112, 3)]);
        assert_eq!(found, [("ADD".to_owned(), "add".to_owned(), Duration::from_micros(7))]);
    }
}
