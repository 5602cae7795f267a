//! Running a model by its signatures, which is how models train.

use wasm_bindgen::prelude::*;

use crate::{Interpreter, Model, error};

/// A named entry point of a model: inputs and outputs by name. It borrows nothing; all signatures that run in one
/// interpreter share its variables.
#[wasm_bindgen]
pub struct Signature(ferrolite::Signature);

#[wasm_bindgen]
impl Signature {
    /// The signature `key` of a model.
    ///
    /// # Errors
    /// When the model has no such signature.
    #[wasm_bindgen(constructor)]
    pub fn new(model: &Model, key: &str) -> Result<Signature, JsError> {
        model.0.signature(key).map(Self).map_err(error)
    }

    /// Names of the inputs.
    #[must_use]
    pub fn inputs(&self) -> Vec<String> {
        self.0.inputs().iter().map(|(name, _)| name.clone()).collect()
    }

    /// Names of the outputs.
    #[must_use]
    pub fn outputs(&self) -> Vec<String> {
        self.0.outputs().iter().map(|(name, _)| name.clone()).collect()
    }

    /// Sets an input from bytes.
    ///
    /// # Errors
    /// When the signature has no such input or the number of bytes is not its own.
    #[wasm_bindgen(js_name = setInputBytes)]
    pub fn set_input_bytes(
        &self,
        interpreter: &mut Interpreter,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), JsError> {
        let mut runner = interpreter.0.runner(&self.0).map_err(error)?;
        runner.set_input_bytes(name, bytes).map(|_| ()).map_err(error)
    }

    /// Runs the signature.
    ///
    /// # Errors
    /// When an operator fails on the values it meets.
    pub fn invoke(&self, interpreter: &mut Interpreter) -> Result<(), JsError> {
        interpreter.0.runner(&self.0).and_then(|mut runner| runner.invoke()).map_err(error)
    }

    /// A copy of an output's bytes.
    ///
    /// # Errors
    /// When the signature has no such output.
    #[wasm_bindgen(js_name = outputBytes)]
    pub fn output_bytes(&self, interpreter: &mut Interpreter, name: &str) -> Result<Vec<u8>, JsError> {
        let runner = interpreter.0.runner(&self.0).map_err(error)?;
        runner.output_bytes(name).map(<[u8]>::to_vec).map_err(error)
    }
}
