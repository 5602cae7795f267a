//! What is wrong with a model, where, and what to do about it.

use std::fmt;

/// Kind of a [`ModelError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelErrorKind {
    /// Not a .tflite file at all.
    NotAModel,
    /// A .tflite file of a version this crate does not read.
    Version,
    /// The FlatBuffers structure is broken: offsets, alignment, strings.
    Structure,
    /// An index names nothing: tensor, buffer, subgraph, operator code.
    Index,
    /// A tensor's shape, type, size or constant data do not fit together.
    Tensor,
    /// Quantization parameters do not fit their tensor.
    Quantization,
    /// Sparse storage does not fit its tensor.
    Sparsity,
    /// An operator's options do not fit its code.
    Options,
    /// The graph cannot be run in order: something is used before it is made, made twice, or calls itself.
    Graph,
    /// Bytes outside the flatbuffer, or in another file, are missing.
    ExternalData,
    /// A limit of [`crate::LoadOptions`] was met.
    Limit,
    /// The archive of associated files behind the model cannot be read.
    Archive,
    /// A FlexBuffers value cannot be read.
    FlexBuffer,
    /// A model cannot be written in the file format.
    Write,
}

/// Where in a model an error lies. Parts that do not apply are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Index of the subgraph.
    pub subgraph: Option<usize>,
    /// Index of the operator in its subgraph.
    pub operator: Option<usize>,
    /// Name of the operator, `CONV_2D`.
    pub operator_name: Option<String>,
    /// Index of the tensor in its subgraph.
    pub tensor: Option<usize>,
    /// Name of the tensor.
    pub tensor_name: Option<String>,
}

/// A model that cannot be read, verified or written. The message names the place and the remedy.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}{message}")]
pub struct ModelError {
    kind: ModelErrorKind,
    place: Box<Place>,
    message: String,
}

impl ModelError {
    /// What kind of error it is.
    pub fn kind(&self) -> ModelErrorKind {
        self.kind
    }

    /// Where it lies.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What is wrong and what to do, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn new(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        Self { kind, place: Box::default(), message: message.into() }
    }

    /// Adds the subgraph, unless an inner place is known already.
    pub(crate) fn in_subgraph(mut self, subgraph: usize) -> Self {
        self.place.subgraph.get_or_insert(subgraph);
        self
    }

    pub(crate) fn in_operator(mut self, index: usize, name: impl fmt::Display) -> Self {
        self.place.operator.get_or_insert(index);
        self.place.operator_name.get_or_insert_with(|| name.to_string());
        self
    }

    pub(crate) fn in_tensor(mut self, index: usize, name: &str) -> Self {
        self.place.tensor.get_or_insert(index);
        self.place.tensor_name.get_or_insert_with(|| name.to_owned());
        self
    }
}

/// `Err(ModelError)` of a kind, with a formatted message.
macro_rules! bail {
    ($kind:ident, $($message:tt)*) => {
        return Err($crate::error::ModelError::new($crate::error::ModelErrorKind::$kind, format!($($message)*)))
    };
}
pub(crate) use bail;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut part = |f: &mut fmt::Formatter<'_>, what, index: Option<usize>, name: Option<&str>| {
            let Some(index) = index else { return Ok(()) };
            write!(f, "{separator}{what} {index}")?;
            separator = ", ";
            match name {
                // Names come from the file: escaped, so that none of them can garble a terminal.
                Some(name) => write!(f, " ({})", name.escape_debug()),
                None => Ok(()),
            }
        };
        part(f, "subgraph", self.subgraph, None)?;
        part(f, "operator", self.operator, self.operator_name.as_deref())?;
        part(f, "tensor", self.tensor, self.tensor_name.as_deref())?;
        if separator.is_empty() { Ok(()) } else { f.write_str(": ") }
    }
}

impl fmt::Debug for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} [{:?}]", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_names_the_place_once() {
        let error = ModelError::new(ModelErrorKind::Tensor, "it is broken; export it again")
            .in_tensor(3, "x\n")
            .in_operator(1, "ADD")
            .in_subgraph(0)
            .in_subgraph(9);
        assert_eq!(
            error.to_string(),
            "subgraph 0, operator 1 (ADD), tensor 3 (x\\n): it is broken; export it again"
        );
        assert_eq!(error.place().subgraph, Some(0));
        assert_eq!(ModelError::new(ModelErrorKind::Limit, "too big").to_string(), "too big");
    }
}
