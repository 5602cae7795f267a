//! `ferrolite compare`: how far results are from reference values.

use crate::args::{CompareArgs, Tolerance};
use crate::error::Error;
use crate::npz::{self, Array, Arrays};
use crate::run::number;
use crate::session::{self, Session, Setup};
use crate::table::{Align, Table};
use crate::tensors::{element_of, numbers};
use crate::terminal::{self, Style};
use ferrolite::{Model, TensorType};
use std::io::Write;

/// When two elements agree.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    /// `|result - reference| <= atol + rtol * |reference|`, or both NaN, or equal infinities.
    Close { rtol: f64, atol: f64 },
    /// At most this many quantization steps apart.
    Steps(u32),
    /// Equal bytes.
    Equal,
}

/// How two arrays of equal shape differ.
#[derive(Debug, Clone, PartialEq)]
struct Difference {
    /// Greatest absolute difference; infinite where only one of two is NaN. `None` where elements are no numbers.
    greatest: Option<f64>,
    /// Mean absolute difference.
    mean: Option<f64>,
    /// Greatest absolute difference as a share of the reference's magnitude there.
    relative: Option<f64>,
    /// Elements that do not agree.
    beyond: usize,
    /// The element that is furthest beyond the tolerance, or the first that is.
    worst: Option<usize>,
}

/// A tensor that has a reference.
struct Subject<'a> {
    name: String,
    dtype: TensorType,
    rule: Rule,
    result: Array,
    reference: &'a Array,
}

/// Runs the command.
///
/// # Errors
/// A comparison error (exit 1) when a result is beyond tolerance, else those of reading and running.
pub fn run(args: &CompareArgs, out: &mut dyn Write) -> Result<(), Error> {
    let references = npz::read(&args.reference)?;
    let inputs = npz::read(&args.inputs)?;
    if references.is_empty() {
        return Err(Error::usage(format!("{} holds no arrays to compare with", args.reference.display())));
    }
    let progress = terminal::spinner("running");
    let model = session::load(&args.model)?;
    let intermediate = references.iter().any(|(name, _)| parse_place(name).is_some());
    let setup =
        Setup { signature: args.signature.as_deref(), preserve_all: intermediate, ..Setup::default() };
    let mut session = Session::new(&model, &args.execution, &setup)?;
    let given = session.set_inputs(&inputs, 0)?;
    if let Some(missing) = given.iter().position(Option::is_none) {
        let key = &session.inputs()[missing].key;
        return Err(Error::usage(format!("{} has no array for input '{key}'", args.inputs.display())));
    }
    session.invoke()?;
    let cache = session.weight_cache();
    progress.finish_and_clear();

    let subjects = subjects(&model, &session, &references, args.tolerance)?;
    let failed = write_table(&subjects, Style::for_stdout(), out)?;
    if let Some(cache) = cache {
        writeln!(out, "weight cache {cache}")?;
    }
    let compared = |port: &&session::Port| !subjects.iter().any(|subject| port.names.contains(&subject.name));
    if !intermediate {
        for port in session.outputs().iter().filter(compared) {
            writeln!(out, "  output '{}' has no reference", port.key)?;
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(Error::comparison(format!(
            "{failed} of {} results differ from {} beyond the tolerance",
            subjects.len(),
            args.reference.display()
        ))),
    }
}

/// The key of an intermediate tensor, "subgraph/tensor".
fn parse_place(name: &str) -> Option<(usize, usize)> {
    let (subgraph, tensor) = name.split_once('/')?;
    Some((subgraph.parse().ok()?, tensor.parse().ok()?))
}

/// Pairs each reference with its result.
fn subjects<'a>(
    model: &Model,
    session: &Session,
    references: &'a Arrays,
    tolerance: Tolerance,
) -> Result<Vec<Subject<'a>>, Error> {
    let mut subjects = Vec::with_capacity(references.len());
    for (name, reference) in references {
        let (dtype, quantized, result) = if let Some(output) = session::find(session.outputs(), name) {
            let meta = &session.outputs()[output].meta;
            (meta.dtype, meta.quantization.is_some(), session.output(output)?)
        } else if let Some((subgraph, index)) = parse_place(name) {
            let tensor = model.graph().subgraph(subgraph).and_then(|graph| graph.tensors.get(index));
            let tensor = tensor.ok_or_else(|| Error::usage(format!("the model has no tensor '{name}'")))?;
            let result = session.tensor(subgraph, index).ok_or_else(|| {
                Error::usage(format!("tensor '{name}' ({}) has no value; leave it out", tensor.name))
            })?;
            (tensor.dtype, tensor.quantization.is_some(), result)
        } else {
            let outputs = session::listed(session.outputs(), "none");
            return Err(Error::usage(format!("the model has no output '{name}'; it has {outputs}")));
        };
        let expected = element_of(dtype).is_some_and(|element| {
            element == reference.element() || (dtype == TensorType::String && reference.strings().is_some())
        });
        if !expected {
            return Err(Error::usage(format!(
                "reference '{name}' holds {} where the model gives {dtype}; convert it with .astype",
                reference.element()
            )));
        }
        let rule = rule_for(dtype, quantized, tolerance);
        subjects.push(Subject { name: name.clone(), dtype, rule, result, reference });
    }
    Ok(subjects)
}

fn rule_for(dtype: TensorType, quantized: bool, tolerance: Tolerance) -> Rule {
    match dtype {
        TensorType::Float8E4M3Fn
        | TensorType::Float8E5M2
        | TensorType::Float16
        | TensorType::BFloat16
        | TensorType::Float32
        | TensorType::Float64
        | TensorType::Complex64
        | TensorType::Complex128 => Rule::Close { rtol: tolerance.rtol, atol: tolerance.atol },
        TensorType::String | TensorType::Bool => Rule::Equal,
        _ if quantized => Rule::Steps(tolerance.steps),
        _ => Rule::Equal,
    }
}

/// Compares arrays of equal shape and type.
fn difference(dtype: TensorType, rule: Rule, result: &Array, reference: &Array) -> Difference {
    let (Some(values), Some(expected)) = (numbers(dtype, result), numbers(dtype, reference)) else {
        return unequal_elements(result, reference);
    };
    let apart =
        |(&value, &expected): (&f64, &f64)| match value == expected || value.is_nan() && expected.is_nan() {
            true => 0.0,
            false if value.is_nan() || expected.is_nan() => f64::INFINITY,
            false => (value - expected).abs(),
        };
    let distances: Vec<f64> = values.iter().zip(&expected).map(apart).collect();
    let allowed = |expected: f64| match rule {
        Rule::Close { rtol, atol } if expected.is_finite() => atol + rtol * expected.abs(),
        Rule::Steps(steps) => f64::from(steps),
        Rule::Close { .. } | Rule::Equal => 0.0,
    };
    // Excess over the tolerance; positive beyond it.
    let excess: Vec<f64> = distances.iter().zip(&expected).map(|(d, e)| d - allowed(*e)).collect();
    let worst =
        (0..excess.len()).filter(|&i| excess[i] > 0.0).max_by(|&a, &b| excess[a].total_cmp(&excess[b]));
    let relative = distances.iter().zip(&expected).filter(|(d, _)| **d > 0.0);
    let mut found = Difference {
        greatest: Some(distances.iter().copied().fold(0.0, f64::max)),
        mean: Some(distances.iter().sum::<f64>() / distances.len().max(1) as f64),
        relative: Some(relative.map(|(d, e)| d / e.abs()).fold(0.0, f64::max)),
        beyond: excess.iter().filter(|&&e| e > 0.0).count(),
        worst,
    };
    if rule == Rule::Equal {
        // Wide integers are compared as they are: as real numbers some of them coincide.
        let Difference { beyond, worst, .. } = unequal_elements(result, reference);
        found = Difference { beyond, worst, ..found };
    }
    found
}

/// Compares elements that need only be equal.
fn unequal_elements(result: &Array, reference: &Array) -> Difference {
    let unequal: Vec<usize> = match (result.strings(), reference.strings()) {
        (Some(a), Some(b)) => (0..a.len().min(b.len())).filter(|&i| a[i] != b[i]).collect(),
        _ => {
            let width = result.element().width().max(1);
            let pairs = result.bytes().chunks(width).zip(reference.bytes().chunks(width));
            pairs.enumerate().filter(|(_, (a, b))| a != b).map(|(i, _)| i).collect()
        }
    };
    Difference {
        greatest: None,
        mean: None,
        relative: None,
        beyond: unequal.len(),
        worst: unequal.first().copied(),
    }
}

/// Position of element `index` along each axis.
fn coordinates(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for (place, &extent) in position.iter_mut().zip(shape).rev() {
        *place = index % extent.max(1);
        index /= extent.max(1);
    }
    position
}

/// Writes a row for each subject and returns how many are beyond tolerance.
fn write_table(subjects: &[Subject<'_>], style: Style, out: &mut dyn Write) -> Result<usize, Error> {
    let mut table = Table::new(&[
        ("tensor", Align::Left),
        ("type", Align::Left),
        ("shape", Align::Left),
        ("greatest", Align::Right),
        ("mean", Align::Right),
        ("relative", Align::Right),
        ("beyond", Align::Right),
        ("verdict", Align::Left),
    ]);
    let mut failed = 0;
    for Subject { name, dtype, rule, result, reference } in subjects {
        let shape = format!("{:?}", result.shape());
        let start = [name.clone(), dtype.to_string(), shape];
        if result.shape() != reference.shape() {
            failed += 1;
            let verdict = style.bad(&format!("the reference's shape is {:?}", reference.shape()));
            let none = [""; 4].map(str::to_owned);
            table.row(start.into_iter().chain(none).chain([verdict]));
            continue;
        }
        let found = difference(*dtype, *rule, result, reference);
        let cell = |value: Option<f64>| value.map_or_else(String::new, number);
        let verdict = match found.worst {
            None => style.good("ok"),
            Some(worst) => {
                failed += 1;
                style.bad(&format!("differs, most at {:?}", coordinates(worst, result.shape())))
            }
        };
        let numbers =
            [cell(found.greatest), cell(found.mean), cell(found.relative), found.beyond.to_string()];
        table.row(start.into_iter().chain(numbers).chain([verdict]));
    }
    table.write(out)?;
    Ok(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::Element;

    fn floats(values: &[f32]) -> Array {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Array::new(Element::Float32, vec![values.len()], bytes).expect("sized")
    }

    fn wide(values: &[i64]) -> Array {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Array::new(Element::Int64, vec![values.len()], bytes).expect("sized")
    }

    fn bytes(values: &[i8]) -> Array {
        let bytes = values.iter().map(|value| value.cast_unsigned()).collect();
        Array::new(Element::Int8, vec![values.len()], bytes).expect("sized")
    }

    fn words(values: &[&str]) -> Array {
        let owned: Vec<Vec<u8>> = values.iter().map(|word| word.as_bytes().to_vec()).collect();
        Array::from_strings(vec![values.len()], &owned).expect("sized")
    }

    #[test]
    fn how_many_elements_are_beyond_tolerance() {
        let close = Rule::Close { rtol: 0.1, atol: 0.5 };
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        type Row<'a> = (&'a str, TensorType, Rule, Array, Array, usize, Option<usize>);
        let rows: &[Row<'_>] = &[
            ("equal", TensorType::Float32, close, floats(&[1.0]), floats(&[1.0]), 0, None),
            ("absolute", TensorType::Float32, close, floats(&[0.4, 0.6]), floats(&[0.0, 0.0]), 1, Some(1)),
            (
                "relative",
                TensorType::Float32,
                close,
                floats(&[111.0, 109.0]),
                floats(&[100.0, 100.0]),
                1,
                Some(0),
            ),
            ("worst", TensorType::Float32, close, floats(&[9.0, 2.0, 11.0]), floats(&[0.0; 3]), 3, Some(2)),
            ("both nan", TensorType::Float32, close, floats(&[nan]), floats(&[nan]), 0, None),
            ("one nan", TensorType::Float32, close, floats(&[nan, 1.0]), floats(&[1.0, nan]), 2, Some(1)),
            ("infinities", TensorType::Float32, close, floats(&[inf, -inf]), floats(&[inf, inf]), 1, Some(1)),
            ("near infinity", TensorType::Float32, close, floats(&[1e30]), floats(&[inf]), 1, Some(0)),
            ("steps", TensorType::Int8, Rule::Steps(1), bytes(&[1, -128]), bytes(&[2, 127]), 1, Some(1)),
            (
                "wide",
                TensorType::Int64,
                Rule::Equal,
                wide(&[i64::MAX, 1]),
                wide(&[i64::MAX - 1, 1]),
                1,
                Some(0),
            ),
            (
                "strings",
                TensorType::String,
                Rule::Equal,
                words(&["a", "b"]),
                words(&["a", "longer"]),
                1,
                Some(1),
            ),
            ("nothing", TensorType::Float32, close, floats(&[]), floats(&[]), 0, None),
        ];
        let wrong: Vec<_> = rows
            .iter()
            .filter_map(|(name, dtype, rule, result, reference, beyond, worst)| {
                let found = difference(*dtype, *rule, result, reference);
                ((found.beyond, found.worst) != (*beyond, *worst)).then_some((name, found))
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn differences_are_measured() {
        let close = Rule::Close { rtol: 0.0, atol: 1.0 };
        let found = difference(TensorType::Float32, close, &floats(&[2.0, 4.0]), &floats(&[2.5, 4.0]));
        assert_eq!((found.greatest, found.mean, found.relative), (Some(0.5), Some(0.25), Some(0.2)));
    }

    #[test]
    fn rules_follow_the_type() {
        let tolerance = Tolerance { rtol: 0.25, atol: 0.5, steps: 3 };
        let close = Rule::Close { rtol: 0.25, atol: 0.5 };
        let rows = [
            (TensorType::Float32, false, close),
            (TensorType::Complex64, false, close),
            (TensorType::Int8, true, Rule::Steps(3)),
            (TensorType::Int8, false, Rule::Equal),
            (TensorType::Int64, false, Rule::Equal),
            (TensorType::Bool, false, Rule::Equal),
            (TensorType::String, false, Rule::Equal),
        ];
        for (dtype, quantized, expected) in rows {
            assert_eq!(rule_for(dtype, quantized, tolerance), expected, "{dtype}");
        }
    }

    #[test]
    fn places_and_coordinates() {
        assert_eq!(parse_place("1/23"), Some((1, 23)));
        assert_eq!(parse_place("model/dense"), None);
        assert_eq!(coordinates(17, &[2, 3, 4]), [1, 1, 1]);
        assert_eq!(coordinates(0, &[]), [0usize; 0]);
    }
}
