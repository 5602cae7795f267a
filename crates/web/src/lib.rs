//! Ferrolite in the browser and in Node: the classes that JavaScript sees.
//!
//! Tensors cross the border as bytes, little-endian, so that every element type travels alike; the JavaScript side wraps
//! them in the typed array that fits. Errors arrive as exceptions with the library's sentence.

mod signature;

use ferrolite::{Cpu, TensorMeta};
use wasm_bindgen::prelude::*;

pub use signature::Signature;

/// A verified model.
#[wasm_bindgen]
pub struct Model(ferrolite::Model);

/// A plan of a model with memory of its own.
#[wasm_bindgen]
pub struct Interpreter(ferrolite::Interpreter);

/// What is known of an input or an output.
#[wasm_bindgen]
pub struct TensorInfo(TensorMeta);

fn error(e: ferrolite::Error) -> JsError {
    JsError::new(&e.to_string())
}

#[wasm_bindgen]
impl Model {
    /// Verifies a model; `bytes` is the content of a `.tflite` file.
    ///
    /// # Errors
    /// When the bytes are no valid model.
    #[wasm_bindgen(constructor)]
    pub fn new(bytes: Vec<u8>) -> Result<Model, JsError> {
        ferrolite::Model::from_bytes(bytes).map(Self).map_err(error)
    }

    /// Keys of the signatures.
    #[must_use]
    pub fn signatures(&self) -> Vec<String> {
        self.0.signatures().into_iter().map(|s| s.key).collect()
    }
}

#[wasm_bindgen]
impl Interpreter {
    /// Plans a model.
    ///
    /// # Errors
    /// When the model uses operators that are not supported; the message lists them all.
    #[wasm_bindgen(constructor)]
    pub fn new(model: &Model) -> Result<Interpreter, JsError> {
        ferrolite::Interpreter::builder(&model.0).threads(1).build().map(Self).map_err(error)
    }

    /// The inputs.
    #[must_use]
    pub fn inputs(&self) -> Vec<TensorInfo> {
        self.0.inputs().iter().cloned().map(TensorInfo).collect()
    }

    /// The outputs.
    #[must_use]
    pub fn outputs(&self) -> Vec<TensorInfo> {
        self.0.outputs().iter().cloned().map(TensorInfo).collect()
    }

    /// Gives an input another shape.
    ///
    /// # Errors
    /// When there is no such input or the shape is larger than memory.
    #[wasm_bindgen(js_name = resizeInput)]
    pub fn resize_input(&mut self, index: usize, shape: &[u32]) -> Result<(), JsError> {
        let shape: Vec<usize> = shape.iter().map(|&d| d as usize).collect();
        self.0.resize_input(index, &shape).map_err(error)
    }

    /// Sets an input from bytes.
    ///
    /// # Errors
    /// When there is no such input or the number of bytes is not its own.
    #[wasm_bindgen(js_name = setInputBytes)]
    pub fn set_input_bytes(&mut self, index: usize, bytes: &[u8]) -> Result<(), JsError> {
        self.0.set_input_bytes(index, bytes).map_err(error)
    }

    /// Quantizes real numbers into an input with its scale and zero point.
    ///
    /// # Errors
    /// When there is no such input, it carries no quantization, or the number of elements is not its own.
    #[wasm_bindgen(js_name = writeQuantized)]
    pub fn write_quantized(&mut self, index: usize, real: &[f32]) -> Result<(), JsError> {
        self.0.write_quantized(index, real).map_err(error)
    }

    /// Runs the model.
    ///
    /// # Errors
    /// When an operator fails on the values it meets.
    pub fn invoke(&mut self) -> Result<(), JsError> {
        self.0.invoke().map_err(error)
    }

    /// A copy of an output's bytes.
    ///
    /// # Errors
    /// When there is no such output.
    #[wasm_bindgen(js_name = outputBytes)]
    pub fn output_bytes(&self, index: usize) -> Result<Vec<u8>, JsError> {
        self.0.output_bytes(index).map(<[u8]>::to_vec).map_err(error)
    }

    /// The shape of an output after a run.
    #[must_use]
    #[wasm_bindgen(js_name = outputShape)]
    pub fn output_shape(&self, index: usize) -> Vec<u32> {
        self.0.output_shape(index).iter().map(|&d| d as u32).collect()
    }

    /// The real numbers that an output stands for.
    ///
    /// # Errors
    /// When there is no such output or it is neither float32 nor quantized.
    #[wasm_bindgen(js_name = readDequantized)]
    pub fn read_dequantized(&self, index: usize) -> Result<Vec<f32>, JsError> {
        self.0.read_dequantized(index).map_err(error)
    }

    /// The plan as text: every step with its kernel.
    #[must_use]
    pub fn describe(&self) -> String {
        self.0.describe()
    }
}

#[wasm_bindgen]
impl TensorInfo {
    /// The tensor's name in the file.
    #[must_use]
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.0.name.clone()
    }

    /// Element type, such as `FLOAT32`.
    #[must_use]
    #[wasm_bindgen(getter)]
    pub fn dtype(&self) -> String {
        self.0.dtype.to_string()
    }

    /// Dimensions as the file declares them.
    #[must_use]
    #[wasm_bindgen(getter)]
    pub fn shape(&self) -> Vec<u32> {
        self.0.shape.iter().map(|&d| d as u32).collect()
    }
}

/// Name of the instruction set that kernels use here.
#[must_use]
#[wasm_bindgen(js_name = cpuName)]
pub fn cpu_name() -> String {
    Cpu::detect().name().to_owned()
}
