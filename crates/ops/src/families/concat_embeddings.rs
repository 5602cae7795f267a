//! CONCAT_EMBEDDINGS: rows of several tables, looked up and put side by side.
//!
//! The format's options are all that defines the operator: channels, each with a number of columns and the length of its
//! embeddings. Read accordingly, input 0 holds one row of positions per example, the columns of one channel after the
//! other's, and each further input is the table of a channel, a row per position. Every position is replaced by its row.

use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::ConcatEmbeddingsOptionsT;

use super::integers::Integers;
use super::moving::Unit;
use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::{OpSpec, TypeRow};

/// The family's operator.
pub const SPECS: &[OpSpec] =
    &[OpSpec::builtin(BuiltinOperator::CONCAT_EMBEDDINGS, infer, lower).inputs(2, usize::MAX).types(TYPES)];

/// Element types: positions, then tables of the result's type.
const TYPES: &[TypeRow] = {
    macro_rules! rows {
        ($($t:ident)*) => { crate::types![$((Int32, $t) -> ($t), (Int64, $t) -> ($t)),*] };
    }
    rows!(Float32 Float16 BFloat16 Float64 Int8 UInt8 Int16 Int32 Int64 UInt32 Bool)
};

/// One table.
#[derive(Clone, Copy)]
struct Channel {
    /// Positions per example.
    columns: usize,
    /// Rows of the table.
    rows: usize,
    /// Elements of a row.
    len: usize,
}

/// The channels, the number of examples and the length of a result's row.
fn channels(node: &Node<'_>) -> Result<(Vec<Channel>, usize, usize), OpError> {
    let options = node.options::<ConcatEmbeddingsOptionsT>()?;
    let count = node.inputs.len() - 1;
    let columns = options.num_columns_per_channel.unwrap_or_default();
    let lens = options.embedding_dim_per_channel.unwrap_or_default();
    let &[examples, all_columns] = &**node.shape(0)? else {
        return Err(OpError::invalid(format!(
            "positions are a row per example, not a tensor of shape {}",
            node.shape(0)?
        )));
    };
    if usize::try_from(options.num_channels) != Ok(count)
        || columns.len() != count
        || (!lens.is_empty() && lens.len() != count)
    {
        return Err(OpError::invalid(format!(
            "the options describe {} channels with {} numbers of columns and {} lengths, but there are {count} tables",
            options.num_channels,
            columns.len(),
            lens.len()
        )));
    }
    let mut channels = Vec::with_capacity(count);
    let (mut used, mut row) = (0usize, 0usize);
    for (i, &columns) in columns.iter().enumerate() {
        let shape = node.shape(i + 1)?;
        let declared = lens.get(i).copied();
        let (&[rows, len], Ok(columns)) = (&**shape, usize::try_from(columns)) else {
            return Err(OpError::invalid(format!(
                "channel {i} has {columns} columns of a table of shape {shape}: it takes a matrix"
            )));
        };
        if declared.is_some_and(|d| usize::try_from(d) != Ok(len)) {
            return Err(OpError::invalid(format!(
                "the rows of table {i} have {len} elements, not {declared:?}"
            )));
        }
        let too_large = || OpError::invalid("the embeddings are larger than memory");
        used = used.checked_add(columns).ok_or_else(too_large)?;
        row = columns.checked_mul(len).and_then(|n| n.checked_add(row)).ok_or_else(too_large)?;
        channels.push(Channel { columns, rows, len });
    }
    if used != all_columns {
        return Err(OpError::invalid(format!(
            "the channels take {used} columns of positions, but there are {all_columns}"
        )));
    }
    Ok((channels, examples, row))
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (_, examples, row) = channels(node)?;
    Ok(one(Shape::from([examples, row])))
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (channels, examples, _) = channels(node)?;
    let Unit::Bytes(element) = Unit::of(node.dtype(1)?)? else {
        return Err(OpError::unsupported(format!("tables of {} cannot be looked up", node.dtype(1)?)));
    };
    Ok(FnKernel::new("concat_embeddings", move |io, _| {
        let positions = Integers::of(io.inputs, 0)?;
        let (mut at, mut to) = (0, io.outputs.bytes(0)?);
        for _ in 0..examples {
            for (i, channel) in channels.iter().enumerate() {
                let (table, len) = (io.inputs.bytes(i + 1)?, channel.len * element);
                for _ in 0..channel.columns {
                    let position = positions.index(at, channel.rows, "a table")?;
                    let (row, rest) = to.split_at_mut(len);
                    row.copy_from_slice(&table[position * len..][..len]);
                    (at, to) = (at + 1, rest);
                }
            }
        }
        Ok(())
    })
    .boxed())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{run_one, tensor};
    use super::*;

    fn options(columns: &[i32], lens: &[i32]) -> ConcatEmbeddingsOptionsT {
        ConcatEmbeddingsOptionsT {
            num_channels: columns.len() as i32,
            num_columns_per_channel: Some(columns.to_vec()),
            embedding_dim_per_channel: (!lens.is_empty()).then(|| lens.to_vec()),
        }
    }

    #[test]
    fn rows_stand_side_by_side() {
        let inputs = || {
            [
                tensor(&[2, 3], &[0i32, 1, 2, 1, 1, 0]),
                tensor(&[2, 1], &[10f32, 11.0]),
                tensor(&[3, 2], &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]),
            ]
        };
        let run = |o| run_one::<f32>(BuiltinOperator::CONCAT_EMBEDDINGS, o, &inputs());
        let want = (Shape::from([2, 4]), vec![10.0, 11.0, 5.0, 6.0, 11.0, 11.0, 1.0, 2.0]);
        assert_eq!(run(options(&[2, 1], &[1, 2])).unwrap(), want);
        assert_eq!(run(options(&[2, 1], &[])).unwrap(), want);
        let want = (Shape::from([2, 5]), vec![10.0, 3.0, 4.0, 5.0, 6.0, 11.0, 3.0, 4.0, 1.0, 2.0]);
        assert_eq!(run(options(&[1, 2], &[])).unwrap(), want);
        for (columns, lens) in [(&[1, 1][..], &[][..]), (&[3], &[]), (&[2, 1], &[2, 2]), (&[-1, 4], &[])] {
            assert!(run(options(columns, lens)).is_err(), "{columns:?} {lens:?}");
        }
    }
}
