//! Where the tensors of a partition lie in the arena buffer.

use std::collections::HashMap;

use ferrolite_ops::OpError;
use ferrolite_plan::arena::{self, Block};
use ferrolite_plan::backend::Partition;

use crate::op::Op;

/// The tensors of a partition, laid out.
#[derive(Debug)]
pub(crate) struct Memory {
    offsets: HashMap<usize, usize>,
    /// Size of the arena in bytes.
    pub bytes: usize,
}

impl Memory {
    /// Lays out everything that the nodes compute. A tensor is alive from the node that writes it to the last one that
    /// reads it; inputs of the partition are there before the first node, outputs remain after the last one.
    ///
    /// # Errors
    /// When a size overflows, or a node reads what nothing writes.
    pub fn new(partition: &Partition<'_>, ops: &[Op]) -> Result<Self, OpError> {
        let mut homes = Homes::default();
        let end = ops.len() + 1;
        for node in &partition.nodes {
            for (&tensor, operand) in node.inputs.iter().zip(node.node.inputs) {
                if let (Some(tensor), Some(operand)) = (tensor, operand)
                    && partition.inputs.contains(&tensor)
                {
                    homes.add(tensor, operand.info.byte_len()?, 0);
                }
            }
        }
        for (n, (node, op)) in partition.nodes.iter().zip(ops).enumerate() {
            let now = n + 1;
            for (&tensor, operand) in node.inputs.iter().zip(node.node.inputs) {
                if let (Some(tensor), Some(operand)) = (tensor, operand)
                    && operand.value.is_none()
                {
                    homes.touch(tensor, now)?;
                }
            }
            for (&tensor, info) in node.outputs.iter().zip(node.node.outputs) {
                match (op, node.inputs.first().copied().flatten()) {
                    (Op::Alias, Some(source)) => homes.share(tensor, source, now)?,
                    _ => homes.add(tensor, info.byte_len()?, now),
                }
            }
        }
        for &tensor in &partition.outputs {
            homes.touch(tensor, end)?;
        }
        let (offsets, bytes) = arena::layout(&homes.blocks)
            .ok_or_else(|| OpError::invalid("the tensors exceed the GPU's memory"))?;
        let offsets = homes.of.iter().map(|(&tensor, &block)| (tensor, offsets[block])).collect();
        Ok(Self { offsets, bytes })
    }

    /// First byte of a tensor.
    ///
    /// # Errors
    /// When it is none of the partition's.
    pub fn offset(&self, tensor: usize) -> Result<usize, OpError> {
        self.offsets.get(&tensor).copied().ok_or_else(|| unwritten(tensor))
    }

    /// First element of a tensor, as shaders index the arena.
    ///
    /// # Errors
    /// As [`Self::offset`], and when it lies beyond a shader's reach.
    pub fn element(&self, tensor: usize) -> Result<u32, OpError> {
        u32::try_from(self.offset(tensor)? / size_of::<f32>())
            .map_err(|_| OpError::invalid("the tensors exceed what a shader can index"))
    }
}

/// Blocks of the arena and the tensors in them.
#[derive(Default)]
struct Homes {
    blocks: Vec<Block>,
    of: HashMap<usize, usize>,
}

impl Homes {
    fn add(&mut self, tensor: usize, size: usize, now: usize) {
        self.of.entry(tensor).or_insert_with(|| {
            self.blocks.push(Block { size, first: now, last: now });
            self.blocks.len() - 1
        });
    }

    fn touch(&mut self, tensor: usize, now: usize) -> Result<usize, OpError> {
        let block = *self.of.get(&tensor).ok_or_else(|| unwritten(tensor))?;
        self.blocks[block].last = self.blocks[block].last.max(now);
        Ok(block)
    }

    fn share(&mut self, tensor: usize, source: usize, now: usize) -> Result<(), OpError> {
        let block = self.touch(source, now)?;
        self.of.insert(tensor, block);
        Ok(())
    }
}

fn unwritten(tensor: usize) -> OpError {
    OpError::invalid(format!("tensor {tensor} is read before anything writes it"))
}
