//! The subgraphs that an operator names by index, as its shape function and its lowering see them.

use core::fmt;

use ferrolite_model::Subgraph;

use crate::shape::Shape;
use crate::tensor::TensorInfo;

/// Access to the other subgraphs of an operator's model.
pub trait Regions: fmt::Debug {
    /// Subgraph `index` as the file has it.
    fn subgraph(&self, index: usize) -> Option<&Subgraph>;

    /// The bytes of a constant tensor of subgraph `index`.
    fn constant(&self, index: usize, tensor: usize) -> Option<&[u8]>;

    /// The shapes that subgraph `index` returns for inputs of these types and shapes; `None` where only running it
    /// tells, or where it does not take such inputs.
    fn output_shapes(&self, index: usize, inputs: &[&TensorInfo]) -> Option<Vec<Shape>>;
}

/// No subgraphs: an operator by itself.
#[derive(Clone, Copy, Debug)]
pub struct NoRegions;

impl Regions for NoRegions {
    fn subgraph(&self, _: usize) -> Option<&Subgraph> {
        None
    }

    fn constant(&self, _: usize, _: usize) -> Option<&[u8]> {
        None
    }

    fn output_shapes(&self, _: usize, _: &[&TensorInfo]) -> Option<Vec<Shape>> {
        None
    }
}
