//! Subgraphs, tensors, operators and signatures: the typed content of a model.

use std::fmt;
use std::sync::Arc;

use ferrolite_schema::tflite::BuiltinOperator;

use crate::bytes::Bytes;
use crate::options::{OptionTable, Options};
use crate::quantization::Quantization;
use crate::sparsity::Sparsity;
use crate::tensor_type::TensorType;

/// Index of a buffer of the model. 0 is the empty buffer by convention.
pub type BufferId = u32;

/// A function of the model: operators in the order they run over a table of tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subgraph {
    /// Name, if the file gives one.
    pub name: Option<String>,
    /// Tensors; everything else names them by index.
    pub tensors: Vec<Tensor>,
    /// Tensors the caller fills.
    pub inputs: Vec<usize>,
    /// Tensors the caller reads.
    pub outputs: Vec<usize>,
    /// Operators in the order they run.
    pub operators: Vec<Operator>,
    /// The exporter's index of debug information about this subgraph; `None` for none.
    pub debug_metadata_index: Option<u32>,
}

/// A value of the graph: type, shape, and constant bytes if it has any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// Name; empty if the file gives none.
    pub name: String,
    /// Element type.
    pub dtype: TensorType,
    /// Dimensions, where a dynamic one stands as the exporter wrote it, commonly 1.
    pub shape: Vec<usize>,
    /// Dimensions with -1 where they may change; empty when absent, that is when none may.
    pub shape_signature: Vec<i32>,
    /// Whether the rank is known although `shape` may be empty. Many exporters leave it false on tensors with a rank.
    pub has_rank: bool,
    /// Buffer with the constant bytes; 0 for none. Buffers without bytes are common and mean the same.
    pub buffer: BufferId,
    /// Id of the [`ExternalBuffer`] with the constant bytes; 0 for none.
    pub external_buffer: u32,
    /// How stored integers map to real numbers; shared among equal tensors.
    pub quantization: Option<Arc<Quantization>>,
    /// Whether the value survives from one run to the next.
    pub is_variable: bool,
    /// Whether the value is fixed by the model, so that [`crate::Model::tensor_data`] has it. Reading and building
    /// derive it: it has bytes, or takes none and no operator or caller provides it.
    pub is_constant: bool,
    /// Storage of a sparse constant; `None` for a dense one.
    pub sparsity: Option<Sparsity>,
    /// What a [`TensorType::Variant`] tensor holds.
    pub variant_tensors: Vec<VariantType>,
}

impl Tensor {
    /// Elements of `shape`; `None` if the number does not fit.
    pub fn num_elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim))
    }

    /// Bytes of the dense tensor; `None` for types without a fixed size, or if the number does not fit.
    pub fn byte_len(&self) -> Option<usize> {
        self.dtype.byte_len(self.num_elements()?)
    }

    /// Whether a dimension may change: the signature has a -1.
    pub fn is_dynamic(&self) -> bool {
        self.shape_signature.contains(&-1)
    }
}

/// Type and shape of what a variant tensor holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VariantType {
    /// Dimensions, -1 where unknown.
    pub shape: Vec<i32>,
    /// Element type.
    pub dtype: TensorType,
    /// Whether the rank is known although `shape` may be empty.
    pub has_rank: bool,
}

/// One step of a subgraph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operator {
    /// What it computes.
    pub code: OpCode,
    /// Version of the operator's definition, from 1.
    pub version: i32,
    /// Tensors it reads; `None` for an optional input left out.
    pub inputs: Vec<Option<usize>>,
    /// Tensors it writes.
    pub outputs: Vec<usize>,
    /// Tensors that carry the quantization of values inside the operator (LSTM).
    pub intermediates: Vec<usize>,
    /// Options of a builtin operator.
    pub options: Options,
    /// Options of a custom operator, commonly [FlexBuffers](crate::flexbuffers).
    pub custom_options: Bytes,
    /// For each input, whether the operator changes that variable; empty when none is.
    pub mutating_variable_inputs: Vec<bool>,
    /// The exporter's index of debug information about this operator; `None` for none.
    pub debug_metadata_index: Option<u32>,
}

impl Operator {
    /// The options table `T`, if the operator carries it.
    pub fn options<T: OptionTable>(&self) -> Option<&T> {
        self.options.get()
    }
}

/// What an operator computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OpCode {
    /// An operator of the file format.
    Builtin(BuiltinOperator),
    /// An operator known by name, `TFLite_Detection_PostProcess`, `FlexRelu`.
    Custom(String),
}

/// The file format's default.
impl Default for OpCode {
    fn default() -> Self {
        Self::Builtin(BuiltinOperator::ADD)
    }
}

impl fmt::Display for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(code) => match code.variant_name() {
                Some(name) => f.pad(name),
                None => write!(f, "BUILTIN_{}", code.0),
            },
            Self::Custom(name) => f.pad(name),
        }
    }
}

impl From<BuiltinOperator> for OpCode {
    fn from(code: BuiltinOperator) -> Self {
        Self::Builtin(code)
    }
}

/// An entry of the model's list of operators: code and version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OperatorCode {
    /// What it computes.
    pub code: OpCode,
    /// Version of the operator's definition, from 1.
    pub version: i32,
}

/// A named entry point: named inputs and outputs over a subgraph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// Name, `serving_default`.
    pub key: String,
    /// Names of inputs with their tensors.
    pub inputs: Vec<(String, usize)>,
    /// Names of outputs with their tensors.
    pub outputs: Vec<(String, usize)>,
    /// The subgraph that is run.
    pub subgraph: usize,
}

/// A named buffer of information about the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Name, `TFLITE_METADATA`.
    pub name: String,
    /// The buffer.
    pub buffer: BufferId,
}

/// Constant bytes kept in a file beside the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalBuffer {
    /// What [`Tensor::external_buffer`] says to mean this one; not 0.
    pub id: u32,
    /// Name of the file, or of the URI, as the model writes it.
    pub group: String,
    /// First byte in the file.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
    /// How the bytes are packed, if not as the tensor's type says.
    pub packing: Option<String>,
}
