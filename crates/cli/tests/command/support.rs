//! A folder to work in, and the command run in it.

use ferrolite::TensorType;
use ferrolite::model_file::{ModelBuilder, Signature, Tensor};
use ferrolite_cli::npz::{self, Array, Arrays, Element};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What a run of the command left.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A temporary folder that holds the digit models and is the command's working directory.
pub struct Workshop(TempDir);

impl Workshop {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["digits_f32.tflite", "digits_int8.tflite"] {
            std::fs::copy(asset(name), folder.path().join(name)).expect("copies the model");
        }
        Self(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `ferrolite` with words separated by spaces.
    pub fn run(&self, line: &str) -> Outcome {
        let output = self.command(line).output().expect("starts");
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs `ferrolite`, which must succeed, and returns its standard output.
    pub fn succeed(&self, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(outcome.code, Some(0), "ferrolite {line}: {}", outcome.stderr);
        outcome.stdout
    }

    /// The command, not yet started.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrolite"));
        command.args(line.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    pub fn write(&self, name: &str, arrays: &[(&str, Array)]) {
        npz::write(&self.path(name), arrays.iter().map(|(name, array)| (*name, array))).expect("writes");
    }

    pub fn read(&self, name: &str) -> Arrays {
        npz::read(&self.path(name)).expect("reads")
    }
}

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

/// Digit `index` of the held-back file, as the float model takes it, and its label.
pub fn digit(index: usize) -> (Array, usize) {
    let file = std::fs::read(asset("held_back.bin")).expect("reads the digits");
    let record = &file[4 + index * 65..][..65];
    let bytes = record[..64].iter().flat_map(|&ink| (f32::from(ink) / 16.0).to_le_bytes()).collect();
    let array = Array::new(Element::Float32, vec![1, 8, 8, 1], bytes).expect("sized");
    (array, usize::from(record[64]))
}

pub fn floats(array: &Array) -> Vec<f32> {
    assert_eq!(array.element(), Element::Float32);
    array.bytes().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

pub fn float_array(shape: &[usize], values: &[f32]) -> Array {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Array::new(Element::Float32, shape.to_vec(), bytes).expect("sized")
}

/// A model without operators: each of its inputs, of one axis of any length, is also an output. Its signature `pass`
/// calls them `in_TYPE` and `out_TYPE`.
pub fn passing_model(types: &[TensorType]) -> Vec<u8> {
    let mut builder = ModelBuilder::new();
    let tensors: Vec<usize> = types
        .iter()
        .map(|dtype| {
            let tensor = Tensor::new(format!("tensor_{dtype}"), *dtype, &[2]);
            builder.add_tensor(0, Tensor { shape_signature: vec![-1], ..tensor })
        })
        .collect();
    builder.set_inputs(0, tensors.iter().copied()).set_outputs(0, tensors.iter().copied());
    let named = |prefix: &str| -> Vec<(String, usize)> {
        types.iter().zip(&tensors).map(|(dtype, tensor)| (format!("{prefix}_{dtype}"), *tensor)).collect()
    };
    builder.add_signature(Signature {
        key: "pass".to_owned(),
        inputs: named("in"),
        outputs: named("out"),
        subgraph: 0,
    });
    builder.to_bytes().expect("a valid model")
}
