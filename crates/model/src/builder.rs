//! Making models in memory.

use std::sync::Arc;

use ferrolite_schema::SCHEMA_VERSION;

use crate::bytes::Bytes;
use crate::error::{ModelError, bail};
use crate::graph::{BufferId, ExternalBuffer, Metadata, OpCode, Operator, Signature, Subgraph, Tensor};
use crate::load::LoadOptions;
use crate::model::{Content, Model};
use crate::options::Options;
use crate::quantization::Quantization;
use crate::tensor_type::TensorType;
use crate::write::{Layout, write};

/// Makes a model, or changes one: `ModelBuilder::from(&model)`.
///
/// ```
/// use ferrolite_model::options::AddOptionsT;
/// use ferrolite_model::{BuiltinOperator, ModelBuilder, Operator, Tensor, TensorType};
///
/// let mut builder = ModelBuilder::new();
/// let x = builder.add_tensor(0, Tensor::new("x", TensorType::Float32, &[2]));
/// let one = Tensor::new("one", TensorType::Float32, &[2]);
/// let one = builder.add_constant(0, one, [1.0_f32, 1.0].map(f32::to_le_bytes).concat());
/// let y = builder.add_tensor(0, Tensor::new("y", TensorType::Float32, &[2]));
/// builder.add_operator(0, Operator::new(BuiltinOperator::ADD, [x, one], [y], AddOptionsT::default()));
/// builder.set_inputs(0, [x]).set_outputs(0, [y]);
/// let model = builder.finish()?;
/// assert_eq!(model.subgraphs()[0].operators.len(), 1);
/// # Ok::<(), ferrolite_model::ModelError>(())
/// ```
///
/// Subgraph 0 is there from the start, others come from [`Self::add_subgraph`]. Naming one that does not exist is
/// reported when the model is finished.
#[derive(Clone, Debug)]
pub struct ModelBuilder {
    content: Content,
    /// The first subgraph named that does not exist, and what was meant for such subgraphs.
    missing: Option<usize>,
    lost: Subgraph,
}

impl Default for ModelBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl From<&Model> for ModelBuilder {
    fn from(model: &Model) -> Self {
        Self { content: model.content.clone(), missing: None, lost: Subgraph::default() }
    }
}

impl ModelBuilder {
    /// A model with one empty subgraph and the empty buffer 0.
    pub fn new() -> Self {
        let content = Content {
            version: SCHEMA_VERSION,
            subgraphs: vec![Subgraph::default()],
            buffers: vec![Bytes::new()],
            ..Content::default()
        };
        Self { content, missing: None, lost: Subgraph::default() }
    }

    /// Sets the description.
    pub fn set_description(&mut self, text: impl Into<String>) -> &mut Self {
        self.content.description = Some(text.into());
        self
    }

    /// Adds constant bytes.
    pub fn add_buffer(&mut self, bytes: impl Into<Bytes>) -> BufferId {
        // More than `u32::MAX` buffers cannot be named: the id then is one that verification refuses.
        let id = BufferId::try_from(self.content.buffers.len()).unwrap_or(BufferId::MAX);
        self.content.buffers.push(bytes.into());
        id
    }

    /// Adds an empty subgraph and returns its index.
    pub fn add_subgraph(&mut self, name: impl Into<String>) -> usize {
        let index = self.content.subgraphs.len();
        self.content.subgraphs.push(Subgraph { name: Some(name.into()), ..Subgraph::default() });
        index
    }

    /// A subgraph, to be changed at will.
    pub fn subgraph_mut(&mut self, index: usize) -> &mut Subgraph {
        match self.content.subgraphs.get_mut(index) {
            Some(subgraph) => subgraph,
            None => {
                self.missing.get_or_insert(index);
                &mut self.lost
            }
        }
    }

    /// Adds a tensor and returns its index in the subgraph.
    pub fn add_tensor(&mut self, subgraph: usize, tensor: Tensor) -> usize {
        let tensors = &mut self.subgraph_mut(subgraph).tensors;
        tensors.push(tensor);
        tensors.len().saturating_sub(1)
    }

    /// Adds a tensor with constant bytes, in a buffer of its own, and returns its index in the subgraph.
    pub fn add_constant(&mut self, subgraph: usize, tensor: Tensor, bytes: impl Into<Bytes>) -> usize {
        let buffer = self.add_buffer(bytes);
        self.add_tensor(subgraph, Tensor { buffer, ..tensor })
    }

    /// Adds an operator and returns its index in the subgraph.
    pub fn add_operator(&mut self, subgraph: usize, operator: Operator) -> usize {
        let operators = &mut self.subgraph_mut(subgraph).operators;
        operators.push(operator);
        operators.len().saturating_sub(1)
    }

    /// Sets the tensors the caller fills.
    pub fn set_inputs(&mut self, subgraph: usize, tensors: impl IntoIterator<Item = usize>) -> &mut Self {
        self.subgraph_mut(subgraph).inputs = tensors.into_iter().collect();
        self
    }

    /// Sets the tensors the caller reads.
    pub fn set_outputs(&mut self, subgraph: usize, tensors: impl IntoIterator<Item = usize>) -> &mut Self {
        self.subgraph_mut(subgraph).outputs = tensors.into_iter().collect();
        self
    }

    /// Adds a named entry point.
    pub fn add_signature(&mut self, signature: Signature) -> &mut Self {
        self.content.signatures.push(signature);
        self
    }

    /// Adds named bytes of information about the model.
    pub fn add_metadata(&mut self, name: impl Into<String>, bytes: impl Into<Bytes>) -> &mut Self {
        let buffer = self.add_buffer(bytes);
        self.content.metadata.push(Metadata { name: name.into(), buffer });
        self
    }

    /// Adds constant bytes that lie in another file; tensors name them by the id given there.
    pub fn add_external_buffer(&mut self, buffer: ExternalBuffer) -> &mut Self {
        self.content.external_buffers.push(buffer);
        self
    }

    /// Replaces the bytes of a buffer.
    ///
    /// # Errors
    /// If there is no such buffer.
    pub fn set_buffer(&mut self, id: BufferId, bytes: impl Into<Bytes>) -> Result<&mut Self, ModelError> {
        let count = self.content.buffers.len();
        match usize::try_from(id).ok().and_then(|id| self.content.buffers.get_mut(id)) {
            Some(buffer) => *buffer = bytes.into(),
            None => bail!(Index, "buffer {id} of {count}; add it with add_buffer"),
        }
        Ok(self)
    }

    /// Verifies what was built, as if it had been read from a file.
    ///
    /// # Errors
    /// As [`Model::parse`].
    pub fn finish(&self) -> Result<Model, ModelError> {
        self.finish_with(&LoadOptions::default())
    }

    /// As [`Self::finish`], with options.
    ///
    /// # Errors
    /// As [`Model::parse_with`].
    pub fn finish_with(&self, options: &LoadOptions) -> Result<Model, ModelError> {
        Model::parse_with(self.to_bytes()?, options)
    }

    /// Writes what was built as a file, without verifying it.
    ///
    /// # Errors
    /// If the file format cannot express it, such as a dimension above 31 bits.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        self.to_bytes_with(Layout::default())
    }

    /// As [`Self::to_bytes`], choosing where constants go.
    ///
    /// # Errors
    /// As [`Self::to_bytes`].
    pub fn to_bytes_with(&self, layout: Layout) -> Result<Vec<u8>, ModelError> {
        if let Some(missing) = self.missing {
            bail!(Index, "subgraph {missing} of {}; add it with add_subgraph", self.content.subgraphs.len());
        }
        write(&self.content, layout)
    }
}

impl Tensor {
    /// A tensor of static shape that something computes or provides.
    pub fn new(name: impl Into<String>, dtype: TensorType, shape: &[usize]) -> Self {
        Self { name: name.into(), dtype, shape: shape.to_vec(), has_rank: true, ..Self::default() }
    }

    /// The same tensor, quantized.
    #[must_use]
    pub fn quantized(self, quantization: impl Into<Arc<Quantization>>) -> Self {
        Self { quantization: Some(quantization.into()), ..self }
    }
}

impl Operator {
    /// An operator of version 1. An input is a tensor's index, or an `Option` of it.
    pub fn new<I: Into<Option<usize>>>(
        code: impl Into<OpCode>,
        inputs: impl IntoIterator<Item = I>,
        outputs: impl IntoIterator<Item = usize>,
        options: impl Into<Options>,
    ) -> Self {
        Self {
            code: code.into(),
            version: 1,
            inputs: inputs.into_iter().map(Into::into).collect(),
            outputs: outputs.into_iter().collect(),
            options: options.into(),
            ..Self::default()
        }
    }

    /// An operator known by name.
    pub fn custom<I: Into<Option<usize>>>(
        name: impl Into<String>,
        inputs: impl IntoIterator<Item = I>,
        outputs: impl IntoIterator<Item = usize>,
        custom_options: impl Into<Bytes>,
    ) -> Self {
        let operator = Self::new(OpCode::Custom(name.into()), inputs, outputs, Options::None);
        Self { custom_options: custom_options.into(), ..operator }
    }
}
