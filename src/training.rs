//! A model's weights, through its signatures `get_weights` and `set_weights` or, where it lacks them, its resource
//! variables; and these, optimizer's slots included, in checkpoints.

use std::path::Path;

use ferrolite_flex::checkpoint::{self, Checkpoint, CheckpointError};
use ferrolite_flex::weights::Weights;
use ferrolite_ops::{OpError, TensorValue};

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

    /// Writes all resource variables, the optimizer's included, to a TensorFlow checkpoint with this prefix, each tensor under
    /// its variable's name. A model's own signature `save` chooses its tensors and their names itself.
    ///
    /// # Errors
    /// When an initialiser fails, two variables have the same name, or the file system refuses.
    pub fn save_checkpoint(&mut self, prefix: impl AsRef<Path>) -> Result<()> {
        self.initialize_variables()?;
        let named = self.variables().iter().filter_map(|v| Some((v.name.as_str(), v.value.as_ref()?)));
        checkpoint::write(prefix, named).map_err(refused)
    }

    /// Gives every resource variable the tensor of its name in the TensorFlow checkpoint with this prefix; other tensors of the
    /// checkpoint do not matter. Either all variables are restored or none.
    ///
    /// # Errors
    /// When the checkpoint cannot be read, or has no tensor for a variable, a damaged one, or one of another type or shape, which
    /// the error names.
    pub fn restore_checkpoint(&mut self, prefix: impl AsRef<Path>) -> Result<()> {
        let checkpoint = Checkpoint::open(prefix.as_ref()).map_err(refused)?;
        self.initialize_variables()?;
        let known = self.variables().iter().filter_map(|v| Some((&v.name, v.value.as_ref()?)));
        let read = known.map(|(name, old)| {
            let new = checkpoint.read(name).map_err(refused)?;
            if (new.dtype(), new.shape()) != (old.dtype(), old.shape()) {
                return Err(Error::invalid_input(format!(
                    "the variable '{name}' is {} of shape {}, the checkpoint's tensor is {} of shape {}",
                    old.dtype(),
                    old.shape(),
                    new.dtype(),
                    new.shape()
                )));
            }
            Ok((name.clone(), new))
        });
        for (name, value) in read.collect::<Result<Vec<_>>>()? {
            self.set_variable(&name, value)?;
        }
        Ok(())
    }
}

fn refused(error: CheckpointError) -> Error {
    OpError::from(error).into()
}
