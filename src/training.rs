//! A model's weights, through its signatures `get_weights` and `set_weights` or, where it lacks them, its resource
//! variables.

use ferrolite_flex::weights::Weights;
use ferrolite_ops::TensorValue;

use crate::interpreter::Interpreter;
use crate::{Error, Result};

/// The signature that returns the weights.
const GET: &str = "get_weights";
/// The signature that takes them, by the names under which `get_weights` returns them.
const SET: &str = "set_weights";

impl Interpreter {
    fn has_signature(&self, key: &str) -> bool {
        self.model().graph().signatures().iter().any(|s| s.key == key)
    }

    /// A copy of the weights by name: the outputs of the signature `get_weights`, or every resource variable.
    ///
    /// # Errors
    /// When the signature or an initialiser fails.
    pub fn weights(&mut self) -> Result<Weights> {
        if !self.has_signature(GET) {
            self.initialize_variables()?;
            let named = self.variables().iter().filter_map(|v| Some((v.name.clone(), v.value.clone()?)));
            return Ok(named.collect());
        }
        let signature = self.model().signature(GET)?;
        let mut runner = self.runner(&signature)?;
        runner.invoke()?;
        signature
            .outputs()
            .iter()
            .map(|(name, meta)| {
                let shape = runner.output_shape(name)?.into();
                let value = TensorValue::from_bytes(meta.dtype, shape, runner.output_bytes(name)?)?;
                Ok((name.clone(), value))
            })
            .collect()
    }

    /// Gives the model weights by name: the inputs of the signature `set_weights`, or resource variables. All of the model's
    /// weights must be there; others are refused.
    ///
    /// # Errors
    /// When a weight is missing or unknown or has another type or shape, which the error names; when the signature fails.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        let known = if self.has_signature(SET) {
            let signature = self.model().signature(SET)?;
            signature
                .inputs()
                .iter()
                .map(|(name, meta)| (name.clone(), meta.dtype, meta.shape.clone()))
                .collect()
        } else {
            self.initialize_variables()?;
            let values = self.variables().iter().filter_map(|v| Some((&v.name, v.value.as_ref()?)));
            values.map(|(name, v)| (name.clone(), v.dtype(), v.shape().to_vec())).collect::<Vec<_>>()
        };
        for (name, dtype, shape) in &known {
            let value = weights.get(name).ok_or_else(|| {
                Error::invalid_input(format!("the weight '{name}' of the model is not given"))
            })?;
            if value.dtype() != *dtype || value.shape().dims() != shape {
                return Err(Error::invalid_input(format!(
                    "the weight '{name}' is {dtype} of shape {shape:?}, {} of shape {} is given",
                    value.dtype(),
                    value.shape()
                )));
            }
        }
        if let Some(name) = weights.keys().find(|name| !known.iter().any(|(k, ..)| k == *name)) {
            return Err(Error::invalid_input(format!("the model has no weight '{name}'")));
        }
        if !self.has_signature(SET) {
            for (name, value) in weights {
                self.set_variable(name, value.clone())?;
            }
            return Ok(());
        }
        let mut runner = self.signature_runner(SET)?;
        for (name, value) in weights {
            runner.set_input_bytes(name, value.bytes())?;
        }
        runner.invoke()
    }
}
