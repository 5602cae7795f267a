//! Saving tensors to checkpoints and reading them back.

use std::path::{Path, PathBuf};

use ferrolite_ops::{FnKernel, Io, Kernel, LowerCx, Node, OpError, OpSpec, Shape, TensorValue, strings};

use super::support::{dynamic, like, no_outputs, number_of, scalar, text, texts};
use crate::checkpoint::{self, Checkpoint};
use crate::node_def::NodeDef;

/// More operands than any file has.
const ANY: usize = usize::MAX;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("FlexSaveV2", no_outputs, |_, _| Ok(save(true))).inputs(3, ANY).outputs(0, 0).stateful(),
    OpSpec::custom("FlexSave", no_outputs, |_, _| Ok(save(false))).inputs(2, ANY).outputs(0, 0).stateful(),
    OpSpec::custom("FlexRestoreV2", dynamic, |_, _| Ok(restore())).inputs(3, 3).outputs(1, ANY).stateful(),
    OpSpec::custom("FlexRestore", dynamic, |_, _| Ok(restore_one())).inputs(2, 2).stateful(),
    OpSpec::custom("FlexMergeV2Checkpoints", no_outputs, lower_merge).inputs(2, 2).outputs(0, 0).stateful(),
    OpSpec::custom("FlexShardedFilename", scalar, lower_sharded).inputs(3, 3),
    OpSpec::custom("FlexIdentity", like::<0>, lower_identity),
];

fn name(bytes: &[u8]) -> Result<&str, OpError> {
    core::str::from_utf8(bytes).map_err(|_| OpError::runtime("a tensor's name in a checkpoint is no text"))
}

/// Inputs: path, names, in the second version slices, and a tensor for each name.
fn save(second: bool) -> Box<dyn Kernel> {
    let first = if second { 3 } else { 2 };
    FnKernel::new(if second { "save_v2" } else { "save" }, move |io: &mut Io<'_>, _| {
        let path = text(&io.inputs, 0)?;
        let names = texts(&io.inputs, 1)?;
        if second {
            check_whole(&texts(&io.inputs, 2)?, &names)?;
        }
        if names.len() + first != io.inputs.len() {
            return Err(OpError::invalid("a checkpoint takes a name for each tensor"));
        }
        let values = (first..io.inputs.len()).map(|i| {
            let view = io.inputs.view(i)?;
            TensorValue::from_bytes(view.dtype, Shape::new(view.shape), io.inputs.bytes(i)?)
        });
        let values: Vec<TensorValue> = values.collect::<Result<_, _>>()?;
        let names: Vec<&str> = names.into_iter().map(name).collect::<Result<_, _>>()?;
        let tensors = names.into_iter().zip(&values);
        let written =
            if second { checkpoint::write(path, tensors) } else { checkpoint::write_v1(path, tensors) };
        written.map_err(OpError::from)
    })
    .boxed()
}

/// Refuses parts of tensors.
fn check_whole(slices: &[&[u8]], names: &[&[u8]]) -> Result<(), OpError> {
    match slices.iter().zip(names).find(|(slice, _)| !slice.is_empty()) {
        None => Ok(()),
        Some((_, tensor)) => Err(OpError::unsupported(format!(
            "the tensor '{}' is saved in slices: export the model without partitioned variables",
            String::from_utf8_lossy(tensor)
        ))),
    }
}

fn give(io: &mut Io<'_>, i: usize, name: &str, value: &TensorValue) -> Result<(), OpError> {
    let dtype = io.outputs.dtype(i)?;
    if dtype != value.dtype() {
        return Err(OpError::runtime(format!(
            "tensor '{name}' of the checkpoint holds {}, the model takes {dtype}",
            value.dtype()
        )));
    }
    io.outputs.set_bytes(i, value.shape(), value.bytes())
}

/// Inputs: prefix, names, slices. As in TensorFlow, a single file of the prefix's name is a checkpoint of the first format.
fn restore() -> Box<dyn Kernel> {
    FnKernel::new("restore_v2", |io: &mut Io<'_>, _| {
        let prefix = text(&io.inputs, 0)?.to_owned();
        let first = Path::new(&prefix).is_file() && !Path::new(&format!("{prefix}.index")).exists();
        let second = if first { None } else { Some(Checkpoint::open(&prefix)?) };
        let read = |tensor: &str| match &second {
            Some(checkpoint) => checkpoint.read(tensor),
            None => checkpoint::read_v1(&prefix, tensor),
        };
        let names = texts(&io.inputs, 1)?;
        check_whole(&texts(&io.inputs, 2)?, &names)?;
        if names.len() != io.outputs.len() {
            return Err(OpError::invalid("a checkpoint gives a tensor for each name"));
        }
        for (i, tensor) in names.into_iter().enumerate() {
            let tensor = name(tensor)?;
            give(io, i, tensor, &read(tensor)?)?;
        }
        Ok(())
    })
    .boxed()
}

/// Inputs: path, name.
fn restore_one() -> Box<dyn Kernel> {
    FnKernel::new("restore", |io: &mut Io<'_>, _| {
        let (path, tensor) = (text(&io.inputs, 0)?, text(&io.inputs, 1)?);
        give(io, 0, tensor, &checkpoint::read_v1(path, tensor)?)
    })
    .boxed()
}

/// Inputs: prefixes to merge, prefix of the result.
fn lower_merge(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let delete = NodeDef::of(node)?.bool("delete_old_dirs", true)?;
    Ok(FnKernel::new("merge_v2_checkpoints", move |io, _| {
        let prefixes = texts(&io.inputs, 0)?.into_iter().map(|p| name(p).map(PathBuf::from));
        let prefixes: Vec<PathBuf> = prefixes.collect::<Result<_, _>>()?;
        Ok(checkpoint::merge(&prefixes, text(&io.inputs, 1)?.as_ref(), delete)?)
    })
    .boxed())
}

/// Inputs: name, number of the part, number of parts.
fn lower_sharded(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("sharded_filename", |io, _| {
        let (shard, shards) = (number_of(&io.inputs, 1)?, number_of(&io.inputs, 2)?);
        let file = format!("{}-{shard:05}-of-{shards:05}", text(&io.inputs, 0)?);
        io.outputs.set_bytes(0, &[], &strings::encode(&[file])?)
    })
    .boxed())
}

fn lower_identity(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("identity", |io, _| io.outputs.set_bytes(0, io.inputs.shape(0)?, io.inputs.bytes(0)?))
        .boxed())
}
