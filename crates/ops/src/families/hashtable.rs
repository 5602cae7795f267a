//! Lookup tables between strings and numbers: HASHTABLE, HASHTABLE_IMPORT, HASHTABLE_FIND, HASHTABLE_SIZE, and the
//! custom operators by which older converters name them.

use ferrolite_model::options::{HashtableOptionsT, SchemaTensorType};
use ferrolite_model::{BuiltinOperator, OpCode};

use super::variables::infer_nothing;
use crate::error::OpError;
use crate::io::Io;
use crate::kernel::{Context, FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::resources::Table;
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::{TensorType, strings, types};

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::HASHTABLE, infer_single, lower_table)
        .inputs(0, 0)
        .types(types![() -> (Resource)])
        .stateful(),
    OpSpec::builtin(BuiltinOperator::HASHTABLE_IMPORT, infer_nothing, lower_import)
        .inputs(3, 3)
        .outputs(0, 0)
        .types(types![(Resource, Int64, String) -> (), (Resource, String, Int64) -> ()])
        .stateful(),
    OpSpec::builtin(BuiltinOperator::HASHTABLE_FIND, infer_find, lower_find)
        .inputs(3, 3)
        .types(types![(Resource, Int64, String) -> (String), (Resource, String, Int64) -> (Int64)])
        .stateful(),
    OpSpec::builtin(BuiltinOperator::HASHTABLE_SIZE, infer_single, lower_size)
        .types(types![(Resource) -> (Int64)])
        .stateful(),
    table("HashTableV2"),
    table("Hashtable"),
    import("LookupTableImportV2"),
    import("HashtableImport"),
    find("LookupTableFindV2"),
    find("HashtableFind"),
    size("LookupTableSizeV2"),
    size("HashtableSize"),
];

const fn table(name: &'static str) -> OpSpec {
    OpSpec::custom(name, infer_single, lower_table).inputs(0, 0).types(types![() -> (Resource)]).stateful()
}

const fn import(name: &'static str) -> OpSpec {
    OpSpec::custom(name, infer_nothing, lower_import)
        .inputs(3, 3)
        .outputs(0, 0)
        .types(types![(Resource, Int64, String) -> (), (Resource, String, Int64) -> ()])
        .stateful()
}

const fn find(name: &'static str) -> OpSpec {
    OpSpec::custom(name, infer_find, lower_find)
        .inputs(3, 3)
        .types(types![(Resource, Int64, String) -> (String), (Resource, String, Int64) -> (Int64)])
        .stateful()
}

const fn size(name: &'static str) -> OpSpec {
    OpSpec::custom(name, infer_single, lower_size).types(types![(Resource) -> (Int64)]).stateful()
}

fn infer_single(_: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Shape::from([1])))
}

fn infer_find(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(node.shape(1)?.clone()))
}

fn lower_table(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let options = match &node.operator.code {
        OpCode::Builtin(_) => node.options::<HashtableOptionsT>()?,
        OpCode::Custom(_) => attributes(node)?,
    };
    let pair = (options.key_dtype, options.value_dtype);
    if !matches!(
        pair,
        (SchemaTensorType::INT64, SchemaTensorType::STRING)
            | (SchemaTensorType::STRING, SchemaTensorType::INT64)
    ) {
        return Err(OpError::unsupported("a table maps int64 to strings or strings to int64"));
    }
    let id = options.table_id as u32;
    let run = FnKernel::new("hashtable", move |io, cx| {
        cx.resources().declare_table(id);
        io.outputs.bytes(0)?.copy_from_slice(&id.to_le_bytes());
        Ok(())
    });
    Ok(run.boxed())
}

/// The options of a custom operator, by the names that the builtin one's have.
fn attributes(node: &Node<'_>) -> Result<HashtableOptionsT, OpError> {
    let attributes = node.attributes()?;
    let code = |name: &str| -> Result<SchemaTensorType, OpError> {
        let code = attributes.int(name)?;
        let code = i8::try_from(code)
            .map_err(|_| OpError::invalid(format!("the attribute '{name}' is {code}, which is no type")))?;
        Ok(SchemaTensorType(code))
    };
    let id = attributes.int_or("table_id", 0)?;
    Ok(HashtableOptionsT {
        table_id: i32::try_from(id).map_err(|_| {
            OpError::invalid(format!("the attribute 'table_id' is {id}, which is out of range"))
        })?,
        key_dtype: code("key_dtype")?,
        value_dtype: code("value_dtype")?,
    })
}

fn lower_import(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    if node.shape(1)? != node.shape(2)? {
        return Err(OpError::invalid(format!(
            "keys of shape {} do not pair with values of shape {}",
            node.shape(1)?,
            node.shape(2)?
        )));
    }
    let numbers_first = node.dtype(1)? == TensorType::Int64;
    Ok(FnKernel::new("hashtable_import", move |io, cx| {
        let id = io.inputs.handle(0)?;
        let (numbers, texts) = if numbers_first { (1, 2) } else { (2, 1) };
        let numbers = io.inputs.get::<i64>(numbers)?;
        let texts = strings::decode(io.inputs.bytes(texts)?)?;
        cx.resources().fill_table(id, || {
            let pairs = numbers.iter().copied().zip(texts.iter().map(|t| t.to_vec()));
            // The first of equal keys counts.
            Ok(if numbers_first {
                Table::Strings(pairs.rev().collect())
            } else {
                Table::Numbers(pairs.rev().map(|(n, t)| (t, n)).collect())
            })
        })
    })
    .boxed())
}

fn lower_find(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("hashtable_find", |io, cx| {
        let table = cx.resources().table(io.inputs.handle(0)?)?;
        match table {
            Table::Strings(entries) => {
                let default =
                    strings::decode(io.inputs.bytes(2)?)?.first().copied().ok_or_else(no_default)?;
                let keys = io.inputs.get::<i64>(1)?;
                let found: Vec<&[u8]> =
                    keys.iter().map(|k| entries.get(k).map_or(default, Vec::as_slice)).collect();
                io.outputs.set_bytes(0, io.inputs.shape(1)?, &strings::encode(&found)?)
            }
            Table::Numbers(entries) => {
                let default = io.inputs.get::<i64>(2)?.first().copied().ok_or_else(no_default)?;
                let keys = strings::decode(io.inputs.bytes(1)?)?;
                for (out, key) in io.outputs.get::<i64>(0)?.iter_mut().zip(keys) {
                    *out = entries.get(key).copied().unwrap_or(default);
                }
                Ok(())
            }
        }
    })
    .boxed())
}

fn no_default() -> OpError {
    OpError::invalid("a lookup needs a default value")
}

fn lower_size(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let run = |io: &mut Io<'_>, cx: &mut dyn Context| {
        // A table that was declared but never filled is empty.
        let size = cx.resources().table(io.inputs.handle(0)?).map_or(0, Table::len);
        io.outputs.get::<i64>(0)?.fill(size as i64);
        Ok(())
    };
    Ok(FnKernel::new("hashtable_size", run).boxed())
}
