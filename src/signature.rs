//! Signatures, and running them by the names of their inputs and outputs.

use std::sync::Arc;

use ferrolite_ops::{Element, TensorValue};

use crate::interpreter::{Entry, Interpreter, Ports as Slots, not_ready};
use crate::meta::TensorMeta;
use crate::model::Model;
use crate::{Error, Result, quantized};

/// A named entry point of a model: its inputs and outputs by name. Cheap to clone, borrows nothing, and good for every
/// interpreter of its model.
///
/// Several can be at hand at once; [`Interpreter::runner`] lends the interpreter to one of them for as long as its values
/// are looked at:
///
/// ```
/// # fn main() -> ferrolite::Result<()> {
/// # let file: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/training/linear.tflite"));
/// # let batches = vec![([0.5f32; 32], [1f32; 8]); 20];
/// # let mut losses = vec![];
/// let model = ferrolite::Model::from_bytes(file)?;
/// let mut interpreter = ferrolite::Interpreter::builder(&model).build()?;
/// let (train, infer) = (model.signature("train")?, model.signature("infer")?);
/// for (x, y) in &batches {
///     let mut step = interpreter.runner(&train)?;
///     step.set("x", x)?.set("y", y)?.invoke()?;
///     losses.push(step.output::<f32>("loss")?[0]);
/// }
/// let mut answer = interpreter.runner(&infer)?;
/// answer.set("x", &batches[0].0)?.invoke()?;
/// assert!(losses[19] < 0.01 * losses[0]);
/// assert!((answer.output::<f32>("output")?[0] - 1.0).abs() < 0.1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Signature(Arc<Ports>);

struct Ports {
    model: Model,
    key: String,
    subgraph: usize,
    inputs: Vec<(String, TensorMeta)>,
    outputs: Vec<(String, TensorMeta)>,
}

impl Signature {
    pub(crate) fn new(model: &Model, key: &str) -> Result<Self> {
        let signature = find(model.graph().signatures(), key)?;
        let entry = Entry::new(model, signature.subgraph)?;
        let tensors = model.graph().subgraph(signature.subgraph).map_or(&[][..], |s| &s.tensors);
        let named = |list: &[(String, usize)]| -> Vec<(String, TensorMeta)> {
            list.iter()
                .filter_map(|(name, t)| Some((name.clone(), TensorMeta::new(*t, tensors.get(*t)?))))
                .collect()
        };
        let (inputs, outputs) = (named(&signature.inputs), named(&signature.outputs));
        Ok(Self(Arc::new(Ports {
            model: model.clone(),
            key: key.to_owned(),
            subgraph: entry.subgraph,
            inputs,
            outputs,
        })))
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// Inputs with their names.
    #[must_use]
    pub fn inputs(&self) -> &[(String, TensorMeta)] {
        &self.0.inputs
    }

    /// Outputs with their names.
    #[must_use]
    pub fn outputs(&self) -> &[(String, TensorMeta)] {
        &self.0.outputs
    }
}

impl core::fmt::Debug for Signature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Signature({})", self.0.key)
    }
}

/// An interpreter lent to one of its signatures: named inputs in, named outputs out.
pub struct SignatureRunner<'a> {
    interpreter: &'a mut Interpreter,
    signature: Signature,
}

impl<'a> SignatureRunner<'a> {
    pub(crate) fn new(interpreter: &'a mut Interpreter, signature: &Signature) -> Result<Self> {
        if !Arc::ptr_eq(interpreter.model().shared(), signature.0.model.shared()) {
            return Err(Error::invalid_input(format!(
                "the signature '{}' belongs to another model than the interpreter's: ask the same model for both",
                signature.key()
            )));
        }
        interpreter.executor.open(signature.0.subgraph)?;
        Ok(Self { interpreter, signature: signature.clone() })
    }

    /// Inputs with their names.
    #[must_use]
    pub fn inputs(&self) -> &[(String, TensorMeta)] {
        self.signature.inputs()
    }

    /// Outputs with their names.
    #[must_use]
    pub fn outputs(&self) -> &[(String, TensorMeta)] {
        self.signature.outputs()
    }

    fn input_ports(&mut self, name: &str) -> Result<(Slots<'_>, &TensorMeta)> {
        let meta = by_name(&self.signature.0.inputs, "input", name)?;
        let subgraph = self.signature.0.subgraph;
        Ok((Slots { executor: &mut self.interpreter.executor, subgraph }, meta))
    }

    fn output_value(&self, name: &str) -> Result<(&TensorValue, &TensorMeta)> {
        let meta = by_name(&self.signature.0.outputs, "output", name)?;
        let value = self.interpreter.executor.slot(self.signature.0.subgraph, meta.index);
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

    /// Fills an input.
    ///
    /// # Errors
    /// When the signature has no such input, its element type is not `T`, or it has another number of elements.
    pub fn set<T: Element>(&mut self, name: &str, values: &[T]) -> Result<&mut Self> {
        let input = self.input_mut::<T>(name)?;
        if input.len() != values.len() {
            return Err(Error::invalid_input(format!(
                "input '{name}' takes {} elements, {} were given: resize the input or give as many",
                input.len(),
                values.len()
            )));
        }
        input.copy_from_slice(values);
        Ok(self)
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
        let meta = by_name(&self.signature.0.inputs, "input", name)?;
        let value = self.interpreter.executor.slot(self.signature.0.subgraph, meta.index);
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
        self.interpreter.executor.allocate(self.signature.0.subgraph)
    }

    /// Runs the signature.
    ///
    /// # Errors
    /// As [`Interpreter::invoke`].
    pub fn invoke(&mut self) -> Result<()> {
        self.interpreter.executor.run(self.signature.0.subgraph)
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

fn find<'m>(
    signatures: &'m [ferrolite_model::Signature],
    key: &str,
) -> Result<&'m ferrolite_model::Signature> {
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
