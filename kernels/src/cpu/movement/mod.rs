//! Kernels that move elements without looking into them; they know element sizes, not element types.

mod cells;
mod copy;
mod fill;
mod gather;
mod pack4;
mod transpose;

pub(in crate::cpu) use cells::transpose_cells;
pub use copy::{CopyDim, CopyEnds, CopyPlan, MAX_COPY_DIMS, dense_strides};
pub use fill::fill;
pub use gather::gather_rows;
pub use pack4::{pack4, unpack4};
pub(in crate::cpu) use transpose::transpose;
