//! Running a signature by the names of its inputs and outputs.

use ferrolite_model::Signature;
use ferrolite_ops::{Element, TensorValue};

use crate::interpreter::{Entry, Interpreter, Ports, not_ready};
use crate::meta::TensorMeta;
use crate::{Error, Result, quantized};

/// A signature of an interpreter: named inputs in, named outputs out.
pub struct SignatureRunner<'a> {
    interpreter: &'a mut Interpreter,
    entry: Entry,
    inputs: Vec<(String, TensorMeta)>,
    outputs: Vec<(String, TensorMeta)>,
}

impl<'a> SignatureRunner<'a> {
    pub(crate) fn new(interpreter: &'a mut Interpreter, key: &str) -> Result<Self> {
        let model = interpreter.model().clone();
        let signature = find(model.graph().signatures(), key)?;
        let entry = Entry::new(&model, signature.subgraph)?;
        interpreter.executor.open(signature.subgraph)?;
        let tensors = model.graph().subgraph(signature.subgraph).map_or(&[][..], |s| &s.tensors);
        let named = |list: &[(String, usize)]| -> Vec<(String, TensorMeta)> {
            list.iter()
                .filter_map(|(name, t)| Some((name.clone(), TensorMeta::new(*t, tensors.get(*t)?))))
                .collect()
        };
        let (inputs, outputs) = (named(&signature.inputs), named(&signature.outputs));
        Ok(Self { interpreter, entry, inputs, outputs })
    }

    /// Inputs with their names.
    #[must_use]
    pub fn inputs(&self) -> &[(String, TensorMeta)] {
        &self.inputs
    }

    /// Outputs with their names.
    #[must_use]
    pub fn outputs(&self) -> &[(String, TensorMeta)] {
        &self.outputs
    }

    fn input_ports(&mut self, name: &str) -> Result<(Ports<'_>, &TensorMeta)> {
        let meta = by_name(&self.inputs, "input", name)?;
        let subgraph = self.entry.subgraph;
        Ok((Ports { executor: &mut self.interpreter.executor, subgraph }, meta))
    }

    fn output_value(&self, name: &str) -> Result<(&TensorValue, &TensorMeta)> {
        let meta = by_name(&self.outputs, "output", name)?;
        let value = self.interpreter.executor.slot(self.entry.subgraph, meta.index);
        Ok((value.ok_or_else(|| not_ready(name))?, meta))
    }

    /// The elements of an input, to be written.
    ///
    /// # Errors
    /// When the signature has no such input or its element type is not `T`.
    pub fn input_mut<T: Element>(&mut self, name: &str) -> Result<&mut [T]> {
        let (ports, meta) = self.input_ports(name)?;
        ports
            .value_mut(meta)?
            .elements_mut()
            .map_err(|e| Error::invalid_input(format!("input '{name}': {e}")))
    }

    /// Sets an input from little-endian bytes (strings: the layout of [`crate::strings`]).
    ///
    /// # Errors
    /// When the signature has no such input or the number of bytes is not its own.
    pub fn set_input_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let (ports, meta) = self.input_ports(name)?;
        ports.set_bytes(meta, bytes)
    }

    /// Quantizes real numbers into an input.
    ///
    /// # Errors
    /// As [`Interpreter::write_quantized`].
    pub fn write_quantized(&mut self, name: &str, real: &[f32]) -> Result<()> {
        let (ports, meta) = self.input_ports(name)?;
        quantized::write(ports.value_mut(meta)?, meta.quantization.as_deref(), real)
    }

    /// The present shape of an input.
    ///
    /// # Errors
    /// When the signature has no such input.
    pub fn input_shape(&self, name: &str) -> Result<&[usize]> {
        let meta = by_name(&self.inputs, "input", name)?;
        let value = self.interpreter.executor.slot(self.entry.subgraph, meta.index);
        Ok(value.ok_or_else(|| not_ready(name))?.shape())
    }

    /// Gives an input any other shape. Takes effect with [`SignatureRunner::allocate`] or the next run.
    ///
    /// # Errors
    /// When the signature has no such input or the shape is larger than memory.
    pub fn resize_input(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        let (ports, meta) = self.input_ports(name)?;
        ports.resize(meta, shape, false)
    }

    /// Plans for the present input shapes, so that output shapes are known and the first run is not slower.
    ///
    /// # Errors
    /// When the shapes do not fit the model.
    pub fn allocate(&mut self) -> Result<()> {
        self.interpreter.executor.allocate(self.entry.subgraph)
    }

    /// Runs the signature.
    ///
    /// # Errors
    /// As [`Interpreter::invoke`].
    pub fn invoke(&mut self) -> Result<()> {
        self.interpreter.executor.run(self.entry.subgraph)
    }

    /// The elements of an output.
    ///
    /// # Errors
    /// When the signature has no such output or its element type is not `T`.
    pub fn output<T: Element>(&self, name: &str) -> Result<&[T]> {
        let (value, _) = self.output_value(name)?;
        value.elements().map_err(|e| Error::invalid_input(format!("output '{name}': {e}")))
    }

    /// The content of an output as little-endian bytes.
    ///
    /// # Errors
    /// When the signature has no such output.
    pub fn output_bytes(&self, name: &str) -> Result<&[u8]> {
        self.output_value(name).map(|(value, _)| value.bytes())
    }

    /// The shape of an output.
    ///
    /// # Errors
    /// When the signature has no such output.
    pub fn output_shape(&self, name: &str) -> Result<&[usize]> {
        self.output_value(name).map(|(value, _)| value.shape().dims())
    }

    /// The real numbers that an output stands for.
    ///
    /// # Errors
    /// As [`Interpreter::read_dequantized`].
    pub fn read_dequantized(&self, name: &str) -> Result<Vec<f32>> {
        let (value, meta) = self.output_value(name)?;
        quantized::read(value, meta.quantization.as_deref())
    }
}

fn find<'m>(signatures: &'m [Signature], key: &str) -> Result<&'m Signature> {
    signatures.iter().find(|s| s.key == key).ok_or_else(|| {
        let keys: Vec<&str> = signatures.iter().map(|s| s.key.as_str()).collect();
        let known = if keys.is_empty() {
            "the model has none".to_owned()
        } else {
            format!("the model has {}", keys.join(", "))
        };
        Error::invalid_input(format!("there is no signature '{key}': {known}"))
    })
}

fn by_name<'m>(list: &'m [(String, TensorMeta)], what: &str, name: &str) -> Result<&'m TensorMeta> {
    list.iter().find(|(n, _)| n == name).map(|(_, meta)| meta).ok_or_else(|| {
        let names: Vec<&str> = list.iter().map(|(n, _)| n.as_str()).collect();
        Error::invalid_input(format!("the signature has no {what} '{name}': it has {}", names.join(", ")))
    })
}
