//! The error of one operator, without its place in the graph, which the planner or the runtime adds.

use core::fmt;

/// What went wrong in an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpErrorKind {
    /// The operator's operands or options contradict each other or its definition.
    Invalid,
    /// Valid, but not supported: a type, version or option value.
    Unsupported,
    /// Something that is known only while running does not fit: an index, a divisor, a shape.
    Runtime,
    /// The caller asked to stop.
    Cancelled,
    /// A limit set by the caller was reached.
    Limit,
}

/// An operator's refusal: a kind and a sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpError {
    kind: OpErrorKind,
    message: String,
}

impl OpError {
    /// An error of the given kind.
    #[must_use]
    pub fn new(kind: OpErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Operands or options that contradict each other.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(OpErrorKind::Invalid, message)
    }

    /// Something valid that is not supported.
    #[must_use]
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(OpErrorKind::Unsupported, message)
    }

    /// A value met while running that does not fit.
    #[must_use]
    pub fn runtime(message: impl Into<String>) -> Self {
        Self::new(OpErrorKind::Runtime, message)
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> OpErrorKind {
        self.kind
    }

    /// The sentence for the user.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OpError {}

/// Sizes that a kernel found not to fit together.
impl From<ferrolite_kernels::error::ShapeError> for OpError {
    fn from(error: ferrolite_kernels::error::ShapeError) -> Self {
        Self::invalid(error.to_string())
    }
}
