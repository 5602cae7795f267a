//! A verified model.

use std::collections::BTreeMap;

use crate::bytes::Bytes;
use crate::error::ModelError;
use crate::graph::{BufferId, ExternalBuffer, Metadata, OperatorCode, Signature, Subgraph, Tensor};
use crate::load::LoadOptions;
use crate::read;

/// Everything the file format says, as typed values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Content {
    pub(crate) version: u32,
    pub(crate) description: Option<String>,
    pub(crate) operator_codes: Vec<OperatorCode>,
    pub(crate) subgraphs: Vec<Subgraph>,
    pub(crate) buffers: Vec<Bytes>,
    pub(crate) external_buffers: Vec<ExternalBuffer>,
    pub(crate) metadata: Vec<Metadata>,
    pub(crate) signatures: Vec<Signature>,
}

/// A model that was read and verified; it never changes. Share it in an [`Arc`](std::sync::Arc).
///
/// Two models are equal if their content is: the layout of their files, what lies outside the model's tables and the
/// content of external files do not count.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) content: Content,
    /// Bytes of external buffers by id.
    pub(crate) external_data: BTreeMap<u32, Bytes>,
    pub(crate) source: Bytes,
}

impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

impl Model {
    /// Reads and verifies a model. Constants stay in `bytes`.
    ///
    /// # Errors
    /// See [`crate::ModelErrorKind`]; the message names the place and the remedy.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, ModelError> {
        Self::parse_with(bytes, &LoadOptions::default())
    }

    /// Reads and verifies a model with options.
    ///
    /// # Errors
    /// See [`crate::ModelErrorKind`]; the message names the place and the remedy.
    pub fn parse_with(bytes: impl Into<Bytes>, options: &LoadOptions) -> Result<Self, ModelError> {
        read::parse(bytes.into(), options)
    }

    /// Subgraphs; the first is the main one. There is at least one.
    pub fn subgraphs(&self) -> &[Subgraph] {
        &self.content.subgraphs
    }

    /// A subgraph by index.
    pub fn subgraph(&self, index: usize) -> Option<&Subgraph> {
        self.content.subgraphs.get(index)
    }

    /// Named entry points; empty for a model without any.
    pub fn signatures(&self) -> &[Signature] {
        &self.content.signatures
    }

    /// Bytes of a buffer, empty for a buffer without any; `None` if there is no such buffer.
    pub fn buffer(&self, id: BufferId) -> Option<&[u8]> {
        self.shared_buffer(id).map(Bytes::as_slice)
    }

    /// As [`Self::buffer`], sharing the bytes.
    pub fn shared_buffer(&self, id: BufferId) -> Option<&Bytes> {
        self.content.buffers.get(usize::try_from(id).ok()?)
    }

    /// Number of buffers.
    pub fn num_buffers(&self) -> usize {
        self.content.buffers.len()
    }

    /// Bytes of a constant tensor, of this model: dense in row-major order, packed for types below a byte, stored
    /// elements only for a sparse one. `None` if the tensor is not constant.
    pub fn tensor_data(&self, tensor: &Tensor) -> Option<&[u8]> {
        self.shared_tensor_data(tensor).map(Bytes::as_slice)
    }

    /// As [`Self::tensor_data`], sharing the bytes.
    pub fn shared_tensor_data(&self, tensor: &Tensor) -> Option<&Bytes> {
        if !tensor.is_constant {
            None
        } else if tensor.external_buffer != 0 {
            self.external_data.get(&tensor.external_buffer)
        } else {
            self.shared_buffer(tensor.buffer)
        }
    }

    /// Constants kept in other files.
    pub fn external_buffers(&self) -> &[ExternalBuffer] {
        &self.content.external_buffers
    }

    /// Names and buffers of information about the model.
    pub fn metadata(&self) -> &[Metadata] {
        &self.content.metadata
    }

    /// Bytes of the metadata called `name`.
    pub fn metadata_bytes(&self, name: &str) -> Option<&[u8]> {
        let entry = self.content.metadata.iter().find(|entry| entry.name == name)?;
        self.buffer(entry.buffer)
    }

    /// The exporter's description.
    pub fn description(&self) -> Option<&str> {
        self.content.description.as_deref()
    }

    /// Version of the file format.
    pub fn version(&self) -> u32 {
        self.content.version
    }

    /// Operators the model declares, with their versions.
    pub fn operator_codes(&self) -> &[OperatorCode] {
        &self.content.operator_codes
    }

    /// The runtime version that the exporter thinks the model needs, `2.10.0`, from its metadata.
    pub fn min_runtime_version(&self) -> Option<&str> {
        let bytes = self.metadata_bytes("min_runtime_version")?;
        let text = bytes.split(|&byte| byte == 0).next()?;
        std::str::from_utf8(text).ok().filter(|text| !text.is_empty())
    }

    /// The file the model was read from.
    pub fn source(&self) -> &Bytes {
        &self.source
    }
}
