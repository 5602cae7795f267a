//! A tensor's content after a run.

use ferrolite_model::TensorType;

/// Type, shape and content of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorView<'a> {
    /// Element type.
    pub dtype: TensorType,
    /// Dimensions.
    pub shape: &'a [usize],
    /// Content as little-endian bytes; strings in the string-tensor layout (see [`crate::strings`]).
    pub bytes: &'a [u8],
}
