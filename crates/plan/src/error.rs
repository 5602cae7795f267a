//! The error of every stage from loading to running.

use core::fmt;

use ferrolite_model::ModelError;
use ferrolite_ops::{OpError, OpErrorKind};

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are no valid model.
    BadModel,
    /// The model is valid, but uses operators, versions or types that are not supported.
    Unsupported,
    /// An argument does not fit: an unknown name, a wrong element type, a wrong size.
    InvalidInput,
    /// An operator failed on the values it met.
    Runtime,
    /// The caller cancelled.
    Cancelled,
    /// A limit of the options was reached.
    Limit,
    /// A file could not be read.
    Io,
    /// A backend is not there or failed.
    Backend,
}

/// Where in a model something happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The subgraph.
    pub subgraph: Option<usize>,
    /// The operator's index in the subgraph and its name.
    pub operator: Option<(usize, String)>,
    /// The tensor's name.
    pub tensor: Option<String>,
}

/// An error: its kind, its place in the model if it has one, and a sentence that says what to do.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    place: Place,
    message: String,
}

impl Error {
    /// An error without a place.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, place: Place::default(), message: message.into() }))
    }

    /// An argument that does not fit.
    #[must_use]
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// The same error with the operator it happened in.
    #[must_use]
    pub fn at_operator(mut self, subgraph: usize, index: usize, name: impl fmt::Display) -> Self {
        // The innermost place is the telling one: an operator of a called subgraph, not the call.
        if self.0.place.operator.is_none() {
            self.0.place.subgraph = Some(subgraph);
            self.0.place.operator = Some((index, name.to_string()));
        }
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The place.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// The sentence, without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// This error as the operator whose kernel met it passes it on.
    #[must_use]
    pub fn into_op_error(self) -> OpError {
        let kind = match self.kind() {
            ErrorKind::Unsupported => OpErrorKind::Unsupported,
            ErrorKind::Runtime => OpErrorKind::Runtime,
            ErrorKind::Cancelled => OpErrorKind::Cancelled,
            ErrorKind::Limit => OpErrorKind::Limit,
            _ => OpErrorKind::Invalid,
        };
        OpError::new(kind, self.to_string())
    }
}

impl From<OpError> for Error {
    fn from(e: OpError) -> Self {
        let kind = match e.kind() {
            OpErrorKind::Unsupported => ErrorKind::Unsupported,
            OpErrorKind::Runtime => ErrorKind::Runtime,
            OpErrorKind::Cancelled => ErrorKind::Cancelled,
            OpErrorKind::Limit => ErrorKind::Limit,
            _ => ErrorKind::BadModel,
        };
        Self::new(kind, e.message())
    }
}

impl From<ModelError> for Error {
    fn from(e: ModelError) -> Self {
        Self::new(ErrorKind::BadModel, e.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place();
        if let Some((index, name)) = &place.operator {
            write!(f, "{name} (operator {index}")?;
            if let Some(subgraph) = place.subgraph.filter(|&s| s != 0) {
                write!(f, " of subgraph {subgraph}")?;
            }
            f.write_str("): ")?;
        }
        if let Some(tensor) = &place.tensor {
            write!(f, "tensor '{tensor}': ")?;
        }
        f.write_str(self.message())
    }
}

impl std::error::Error for Error {}
