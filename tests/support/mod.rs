//! Reading golden vectors and comparing with them.

#![allow(dead_code, reason = "every test file uses another part")]

mod version;

use std::fs::File;
use std::path::{Path, PathBuf};

use ferrolite::{Cpu, Interpreter, Model, TensorType};
use ndarray::Array1;
use ndarray_npy::NpzReader;
use serde_json::Value;

/// One case of a vectors file.
pub struct Case {
    pub name: String,
    pub operator: String,
    pub types: Vec<String>,
    pub model: Vec<u8>,
    pub inputs: Vec<Vec<u8>>,
    pub outputs: Vec<Vec<u8>>,
    pub output_types: Vec<String>,
    pub output_shapes: Vec<Vec<usize>>,
    pub tolerance: Tolerance,
    /// The versions of the operator that give these outputs. Empty: only the one that the model carries.
    pub versions: Vec<i32>,
    /// How many runs the bytes of inputs and outputs hold one after the other.
    pub runs: usize,
}

impl Case {
    /// The versions of the operator that the case stands for.
    pub fn all_versions(&self) -> Vec<i32> {
        match self.versions.as_slice() {
            [] => version::of(&self.model, &self.operator).into_iter().collect(),
            several => several.to_vec(),
        }
    }

    /// The bytes that belong to one run.
    pub fn part<'b>(&self, bytes: &'b [u8], run: usize) -> &'b [u8] {
        let len = bytes.len() / self.runs;
        &bytes[run * len..(run + 1) * len]
    }
}

/// How close an output must be.
#[derive(Clone, Copy, Debug)]
pub enum Tolerance {
    /// Equal values.
    Exact,
    /// Integers at most this far apart.
    Step(f64),
    /// Error relative to the largest magnitude expected.
    Float(f64),
}

/// The vectors files, sorted.
pub fn vector_files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/vectors");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "npz"))
        .collect();
    files.sort();
    files
}

fn array(npz: &mut NpzReader<File>, name: &str) -> Vec<u8> {
    let array: Array1<u8> = npz.by_name(name).unwrap_or_else(|e| panic!("array {name}: {e}"));
    array.to_vec()
}

fn shape(value: &Value) -> Vec<usize> {
    value["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect()
}

/// The cases of a vectors file.
pub fn read_cases(path: &Path) -> Vec<Case> {
    let mut npz = NpzReader::new(File::open(path).unwrap()).unwrap();
    let index: Value = serde_json::from_slice(&array(&mut npz, "index")).unwrap();
    let data = array(&mut npz, "data");
    let mut rest = data.as_slice();
    let cases = index.as_array().unwrap().iter().map(|entry| read_case(entry, &mut rest)).collect();
    assert!(rest.is_empty(), "{}: {} bytes belong to no case", path.display(), rest.len());
    cases
}

/// One case; takes its bytes off the front of `data`.
fn read_case(entry: &Value, data: &mut &[u8]) -> Case {
    let list = |key: &str| entry[key].as_array().unwrap();
    let mut parts: Vec<Vec<u8>> = list("sizes")
        .iter()
        .map(|size| data.split_off(..size.as_u64().unwrap() as usize).unwrap().to_vec())
        .collect();
    let outputs = parts.split_off(1 + list("inputs").len());
    let inputs = parts.split_off(1);
    let bound = entry["tolerance"]["value"].as_f64().unwrap_or(0.0);
    Case {
        name: entry["name"].as_str().unwrap().to_owned(),
        operator: entry["op"].as_str().unwrap().to_owned(),
        types: list("types").iter().map(|t| t.as_str().unwrap().to_owned()).collect(),
        model: parts.remove(0),
        inputs,
        outputs,
        output_types: list("outputs").iter().map(|o| o["dtype"].as_str().unwrap().to_owned()).collect(),
        output_shapes: list("outputs").iter().map(shape).collect(),
        tolerance: match entry["tolerance"]["kind"].as_str().unwrap() {
            "exact" => Tolerance::Exact,
            "step" => Tolerance::Step(bound),
            "float" => Tolerance::Float(bound),
            other => panic!("unknown tolerance {other}"),
        },
        versions: entry["versions"]
            .as_array()
            .map(|all| all.iter().map(|v| v.as_i64().unwrap() as i32).collect())
            .unwrap_or_default(),
        runs: entry["runs"].as_u64().unwrap_or(1) as usize,
    }
}

/// Type, shape and bytes of every output.
pub type Outputs = Vec<(TensorType, Vec<usize>, Vec<u8>)>;

/// Runs a case as often as its vectors say; one list of outputs per run.
pub fn run(case: &Case, cpu: Cpu, threads: usize) -> Result<Vec<Outputs>, String> {
    run_model(case, case.model.clone(), cpu, threads)
}

/// Runs `model`, which is a case's but perhaps for a version, on the case's inputs.
fn run_model(case: &Case, model: Vec<u8>, cpu: Cpu, threads: usize) -> Result<Vec<Outputs>, String> {
    let model = Model::from_bytes(model).map_err(|e| format!("load: {e}"))?;
    let mut interpreter =
        Interpreter::builder(&model).cpu(cpu).threads(threads).build().map_err(|e| format!("plan: {e}"))?;
    (0..case.runs)
        .map(|run| {
            for (i, bytes) in case.inputs.iter().enumerate() {
                interpreter
                    .set_input_bytes(i, case.part(bytes, run))
                    .map_err(|e| format!("input {i}: {e}"))?;
            }
            interpreter.invoke().map_err(|e| format!("invoke: {e}"))?;
            let output = |o: usize| {
                let bytes = interpreter.output_bytes(o).map_err(|e| format!("output {o}: {e}"))?;
                Ok((interpreter.outputs()[o].dtype, interpreter.output_shape(o).to_vec(), bytes.to_vec()))
            };
            (0..case.outputs.len()).map(output).collect()
        })
        .collect()
}

/// Runs a case and compares every output of every run; the error says what is wrong first.
pub fn check(case: &Case, cpu: Cpu) -> Result<(), String> {
    check_outputs(case, run(case, cpu, 1)?)
}

/// [`check`] with the operator's version set to each one that gives the case's outputs but its own.
pub fn check_other_versions(case: &Case, cpu: Cpu) -> Result<(), String> {
    let own = version::of(&case.model, &case.operator).unwrap_or(1);
    for &version in case.versions.iter().filter(|&&v| v != own) {
        let model = version::set(&case.model, &case.operator, version)
            .and_then(|model| check_outputs(case, run_model(case, model, cpu, 1)?));
        model.map_err(|e| format!("version {version}: {e}"))?;
    }
    Ok(())
}

/// Compares the outputs of all runs with a case's.
fn check_outputs(case: &Case, runs: Vec<Outputs>) -> Result<(), String> {
    for (run, outputs) in runs.into_iter().enumerate() {
        for (o, (dtype, shape, got)) in outputs.into_iter().enumerate() {
            if shape != case.output_shapes[o] {
                return Err(format!("output {o}: shape {shape:?}, expected {:?}", case.output_shapes[o]));
            }
            compare(dtype, &got, case.part(&case.outputs[o], run), case.tolerance)
                .map_err(|e| format!("output {o}, run {run}: {e}"))?;
        }
    }
    Ok(())
}

/// Compares an output with what is expected; the error says how far it is off.
pub fn compare(dtype: TensorType, got: &[u8], want: &[u8], tolerance: Tolerance) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{} bytes, expected {}", got.len(), want.len()));
    }
    let (Some(got), Some(want)) = (numbers(dtype, got), numbers(dtype, want)) else {
        return if got == want { Ok(()) } else { Err("the bytes differ".to_owned()) };
    };
    let finite = |x: &&f64| x.is_finite();
    let range = want.iter().filter(finite).fold(0f64, |m, x| m.max(x.abs()));
    let allowed = match tolerance {
        Tolerance::Exact => 0.0,
        Tolerance::Step(steps) => steps,
        Tolerance::Float(relative) => relative * range,
    };
    let mut wrong = 0usize;
    let mut worst = (0f64, 0usize);
    for (i, (&g, &w)) in got.iter().zip(&want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan());
        let error = if same { 0.0 } else { (g - w).abs() };
        let fits = same || (g.is_finite() && w.is_finite() && error <= allowed);
        if !fits {
            wrong += 1;
            if error > worst.0 || !error.is_finite() || wrong == 1 {
                worst = (error, i);
            }
        }
    }
    if wrong == 0 {
        return Ok(());
    }
    let (error, at) = worst;
    Err(format!(
        "{wrong} of {} elements are off, worst at {at}: {} instead of {} (error {error:.3e}, allowed {allowed:.3e})",
        want.len(),
        got[at],
        want[at]
    ))
}

/// The elements as `f64`, which holds all but large 64-bit integers exactly; `None` for strings and packed types.
fn numbers(dtype: TensorType, bytes: &[u8]) -> Option<Vec<f64>> {
    macro_rules! read {
        ($t:ty) => {
            bytes
                .chunks_exact(size_of::<$t>())
                .map(|b| <$t>::from_le_bytes(b.try_into().unwrap()) as f64)
                .collect()
        };
    }
    Some(match dtype {
        TensorType::Float32 | TensorType::Complex64 => read!(f32),
        TensorType::Float64 | TensorType::Complex128 => read!(f64),
        TensorType::Int8 => read!(i8),
        TensorType::UInt8 | TensorType::Bool => read!(u8),
        TensorType::Int16 => read!(i16),
        TensorType::UInt16 => read!(u16),
        TensorType::Int32 => read!(i32),
        TensorType::UInt32 => read!(u32),
        TensorType::Float16 => {
            bytes.chunks_exact(2).map(|b| half(u16::from_le_bytes([b[0], b[1]]))).collect()
        }
        TensorType::BFloat16 => bytes
            .chunks_exact(2)
            .map(|b| f64::from(f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16)))
            .collect(),
        TensorType::Float8E4M3Fn => bytes
            .iter()
            .map(|&b| {
                if b & 0x7f == 0x7f {
                    f64::NAN
                } else {
                    half(u16::from(b & 0x80) << 8 | u16::from(b & 0x7f) << 7) * 256.0
                }
            })
            .collect(),
        TensorType::Float8E5M2 => bytes.iter().map(|&b| half(u16::from(b) << 8)).collect(),
        _ => return None,
    })
}

/// The value of an IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let mantissa = f64::from(bits & 0x3ff);
    sign * match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + mantissa / 1024.0) * 2f64.powi(exponent - 15),
    }
}
