//! Small models, and running them on the CPU and on the GPU.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::{Arc, OnceLock};

use ferrolite::{Interpreter, Model};
use ferrolite_gpu::{AdapterChoice, GpuBackend, GpuDevice};
use ferrolite_model::options::Options;
use ferrolite_model::{BuiltinOperator, ModelBuilder, Operator, Tensor, TensorType};

/// The device that all tests share; `None`, with a line that says why, where there is no adapter.
///
/// With `FERROLITE_REQUIRE_GPU` in the environment a missing adapter fails the tests instead.
pub fn device() -> Option<Arc<GpuDevice>> {
    static DEVICE: OnceLock<Option<Arc<GpuDevice>>> = OnceLock::new();
    let open = || match GpuDevice::open(AdapterChoice::Any) {
        Ok(device) => {
            eprintln!("adapter: {}", device.name());
            Some(device)
        }
        Err(e) => {
            assert!(std::env::var_os("FERROLITE_REQUIRE_GPU").is_none(), "{e}");
            eprintln!("skipped: {e}");
            None
        }
    };
    DEVICE.get_or_init(open).clone()
}

/// An operand of a model under test.
#[derive(Clone, Debug)]
pub enum Arg {
    /// An input of the model.
    Input(Vec<usize>),
    /// A constant with made-up elements.
    Constant(Vec<usize>),
    /// A constant list of integers.
    Ints(Vec<i32>),
    /// A constant matrix of integers.
    IntMatrix(Vec<[i32; 2]>),
}

/// Made-up floats in a range, the same every time.
pub struct Numbers {
    state: u64,
    pub low: f32,
    pub high: f32,
}

impl Numbers {
    pub fn new(low: f32, high: f32) -> Self {
        Self { state: 1, low, high }
    }

    pub fn take(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.state =
                self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = (self.state >> 40) as f32 / (1u64 << 24) as f32;
            self.low + (self.high - self.low) * unit
        };
        (0..count).map(|_| next()).collect()
    }
}

/// Builds a model, operator by operator.
pub struct Net {
    builder: ModelBuilder,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    numbers: Numbers,
}

impl Net {
    pub fn new(low: f32, high: f32) -> Self {
        Self {
            builder: ModelBuilder::new(),
            inputs: vec![],
            outputs: vec![],
            numbers: Numbers::new(low, high),
        }
    }

    /// Adds an operand and returns its tensor.
    pub fn arg(&mut self, arg: &Arg) -> usize {
        let bytes = |floats: &[f32]| floats.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let int_bytes = |ints: &[i32]| ints.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        match arg {
            Arg::Input(shape) => {
                let tensor = self.builder.add_tensor(0, Tensor::new("input", TensorType::Float32, shape));
                self.inputs.push(tensor);
                tensor
            }
            Arg::Constant(shape) => {
                let floats = self.numbers.take(shape.iter().product());
                self.builder.add_constant(
                    0,
                    Tensor::new("constant", TensorType::Float32, shape),
                    bytes(&floats),
                )
            }
            Arg::Ints(ints) => {
                let tensor = Tensor::new("integers", TensorType::Int32, &[ints.len()]);
                self.builder.add_constant(0, tensor, int_bytes(ints))
            }
            Arg::IntMatrix(rows) => {
                let tensor = Tensor::new("integers", TensorType::Int32, &[rows.len(), 2]);
                self.builder.add_constant(0, tensor, int_bytes(rows.as_flattened()))
            }
        }
    }

    /// Adds an operator and returns its output, whose shape planning infers.
    pub fn op(&mut self, code: BuiltinOperator, inputs: &[usize], options: impl Into<Options>) -> usize {
        let output = self.builder.add_tensor(0, Tensor::new("result", TensorType::Float32, &[1]));
        let inputs: Vec<Option<usize>> = inputs.iter().copied().map(Some).collect();
        self.builder.add_operator(0, Operator::new(code, inputs, [output], options));
        output
    }

    pub fn output(&mut self, tensor: usize) {
        self.outputs.push(tensor);
    }

    pub fn finish(mut self) -> Model {
        self.builder.set_inputs(0, self.inputs.clone()).set_outputs(0, self.outputs.clone());
        Model::from_bytes(self.builder.to_bytes().expect("the model can be written"))
            .expect("the model is valid")
    }
}

/// An interpreter on the CPU, or on a device.
pub fn interpreter(model: &Model, device: Option<&Arc<GpuDevice>>) -> Result<Interpreter, String> {
    let mut builder = Interpreter::builder(model).threads(1);
    if let Some(device) = device {
        builder = builder.backend(Arc::new(GpuBackend::on(device.clone()).min_nodes(1)));
    }
    builder.build().map_err(|e| e.to_string())
}

/// Fills all inputs with made-up numbers, runs, and returns all outputs.
pub fn run(interpreter: &mut Interpreter, numbers: &mut Numbers) -> Result<Vec<Vec<f32>>, String> {
    for i in 0..interpreter.inputs().len() {
        let input = interpreter.input_mut::<f32>(i).map_err(|e| e.to_string())?;
        let values = numbers.take(input.len());
        input.copy_from_slice(&values);
    }
    interpreter.invoke().map_err(|e| e.to_string())?;
    let output = |i| interpreter.output::<f32>(i).map(<[f32]>::to_vec).map_err(|e| e.to_string());
    (0..interpreter.outputs().len()).map(output).collect()
}

/// The largest difference between outputs on the CPU and on the GPU, which must compute every step.
pub fn difference(model: &Model, device: &Arc<GpuDevice>, low: f32, high: f32) -> Result<f32, String> {
    let mut cpu = interpreter(model, None)?;
    let mut gpu = interpreter(model, Some(device))?;
    let plan = gpu.describe();
    if plan.contains("on the CPU") || !plan.contains("on gpu") {
        return Err(format!("not all of it runs on the GPU:\n{plan}"));
    }
    let expected = run(&mut cpu, &mut Numbers::new(low, high))?;
    let got = run(&mut gpu, &mut Numbers::new(low, high))?;
    let mut worst = 0.0f32;
    for (expected, got) in expected.iter().zip(&got) {
        if expected.len() != got.len() {
            return Err(format!("{} elements instead of {}", got.len(), expected.len()));
        }
        for (i, (e, g)) in expected.iter().zip(got).enumerate() {
            let apart = if e == g { 0.0 } else { (e - g).abs() };
            if apart.is_nan() {
                return Err(format!("element {i} is {g} instead of {e}"));
            }
            worst = worst.max(apart);
        }
    }
    Ok(worst)
}
