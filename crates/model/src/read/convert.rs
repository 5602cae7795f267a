//! From the file's tables to typed values. Only what a typed value cannot say is refused here; `verify` does the rest.

use ferrolite_schema::tflite as schema;

use super::buffers;
use super::tensor::{Quantizations, tensor};
use crate::bytes::Bytes;
use crate::error::{ModelError, bail};
use crate::graph::{Metadata, OpCode, Operator, OperatorCode, Signature, Subgraph};
use crate::model::Content;
use crate::options::{BuiltinOptions2T, BuiltinOptionsT, Options};

pub(super) fn content(model: schema::Model<'_>, source: &Bytes) -> Result<Content, ModelError> {
    let operator_codes: Vec<_> = model.operator_codes().into_iter().flatten().map(operator_code).collect();
    let mut quantizations = Quantizations::new();
    let mut subgraphs = Vec::new();
    for (index, table) in model.subgraphs().into_iter().flatten().enumerate() {
        let converted = subgraph(table, source, &operator_codes, &mut quantizations);
        subgraphs.push(converted.map_err(|error| error.in_subgraph(index))?);
    }
    let metadata = |entry: schema::Metadata<'_>| Metadata {
        name: entry.name().unwrap_or_default().to_owned(),
        buffer: entry.buffer(),
    };
    Ok(Content {
        version: model.version(),
        description: model.description().map(str::to_owned),
        subgraphs,
        buffers: buffers::buffers(model, source)?,
        external_buffers: buffers::external_buffers(model)?,
        metadata: model.metadata().into_iter().flatten().map(metadata).collect(),
        signatures: model.signature_defs().into_iter().flatten().map(signature).collect::<Result<_, _>>()?,
        operator_codes,
    })
}

/// A non-negative number of the file as an index.
pub(super) fn index(number: i32, what: &str) -> Result<usize, ModelError> {
    match usize::try_from(number) {
        Ok(index) => Ok(index),
        Err(_) => bail!(
            Index,
            "{what}: {number} is negative where an index or a size is due; export the model again"
        ),
    }
}

fn unsigned(number: u32, what: &str) -> Result<usize, ModelError> {
    match usize::try_from(number) {
        Ok(index) => Ok(index),
        Err(_) => bail!(Index, "{what}: index {number} is beyond this machine's address width"),
    }
}

fn indices(list: Option<flatbuffers::Vector<'_, i32>>, what: &str) -> Result<Vec<usize>, ModelError> {
    list.into_iter().flatten().map(|number| index(number, what)).collect()
}

/// Codes up to 126 may stand in either field; older files know only the narrow one.
fn operator_code(table: schema::OperatorCode<'_>) -> OperatorCode {
    let code = table.builtin_code().0.max(i32::from(table.deprecated_builtin_code()));
    let code = match schema::BuiltinOperator(code) {
        schema::BuiltinOperator::CUSTOM => OpCode::Custom(table.custom_code().unwrap_or_default().to_owned()),
        builtin => OpCode::Builtin(builtin),
    };
    OperatorCode { code, version: table.version() }
}

fn subgraph(
    table: schema::SubGraph<'_>,
    source: &Bytes,
    codes: &[OperatorCode],
    quantizations: &mut Quantizations,
) -> Result<Subgraph, ModelError> {
    let mut tensors = Vec::new();
    for (index, item) in table.tensors().into_iter().flatten().enumerate() {
        let converted = tensor(item, source, quantizations);
        tensors.push(converted.map_err(|error| error.in_tensor(index, item.name().unwrap_or_default()))?);
    }
    let mut operators = Vec::new();
    for (index, item) in table.operators().into_iter().flatten().enumerate() {
        let opcode = usize::try_from(item.opcode_index()).ok().and_then(|index| codes.get(index));
        let Some(opcode) = opcode else {
            let error = ModelError::new(
                crate::error::ModelErrorKind::Index,
                format!("operator code {} of {}; export the model again", item.opcode_index(), codes.len()),
            );
            return Err(error.in_operator(index, "unknown"));
        };
        let converted = operator(item, source, opcode);
        operators.push(converted.map_err(|error| error.in_operator(index, &opcode.code))?);
    }
    Ok(Subgraph {
        name: table.name().map(str::to_owned),
        tensors,
        inputs: indices(table.inputs(), "inputs")?,
        outputs: indices(table.outputs(), "outputs")?,
        operators,
        debug_metadata_index: u32::try_from(table.debug_metadata_index()).ok(),
    })
}

fn operator(
    table: schema::Operator<'_>,
    source: &Bytes,
    opcode: &OperatorCode,
) -> Result<Operator, ModelError> {
    let optional = |number: i32| if number == -1 { Ok(None) } else { index(number, "inputs").map(Some) };
    Ok(Operator {
        code: opcode.code.clone(),
        version: opcode.version,
        inputs: table.inputs().into_iter().flatten().map(optional).collect::<Result<_, _>>()?,
        outputs: indices(table.outputs(), "outputs")?,
        intermediates: indices(table.intermediates(), "intermediates")?,
        options: options(table)?,
        custom_options: buffers::custom_options(table, source)?,
        mutating_variable_inputs: table.mutating_variable_inputs().into_iter().flatten().collect(),
        debug_metadata_index: u32::try_from(table.debug_metadata_index()).ok(),
    })
}

/// The options of either union; a file that gives both or an unknown table is refused.
fn options(table: schema::Operator<'_>) -> Result<Options, ModelError> {
    let (first, second) = (table.builtin_options_type(), table.builtin_options_2_type());
    match (first, second) {
        (schema::BuiltinOptions::NONE, schema::BuiltinOptions2::NONE) => return Ok(Options::None),
        (_, schema::BuiltinOptions2::NONE) | (schema::BuiltinOptions::NONE, _) => {}
        _ => bail!(Options, "options {first:?} and {second:?} are both given; export the model again"),
    }
    let owned = table.unpack();
    match (owned.builtin_options, owned.builtin_options_2) {
        (BuiltinOptionsT::NONE, BuiltinOptions2T::NONE) => bail!(
            Options,
            "options table {} is unknown; a newer version of this library may know it",
            u32::from(first.0).max(u32::from(second.0))
        ),
        (first, BuiltinOptions2T::NONE) => Ok(Options::Builtin(first)),
        (_, second) => Ok(Options::Builtin2(second)),
    }
}

fn signature(table: schema::SignatureDef<'_>) -> Result<Signature, ModelError> {
    let names =
        |list: Option<flatbuffers::Vector<'_, flatbuffers::ForwardsUOffset<schema::TensorMap<'_>>>>| {
            let one = |entry: schema::TensorMap<'_>| {
                let tensor = unsigned(entry.tensor_index(), "signature")?;
                Ok((entry.name().unwrap_or_default().to_owned(), tensor))
            };
            list.into_iter().flatten().map(one).collect::<Result<Vec<_>, ModelError>>()
        };
    Ok(Signature {
        key: table.signature_key().unwrap_or_default().to_owned(),
        inputs: names(table.inputs())?,
        outputs: names(table.outputs())?,
        subgraph: unsigned(table.subgraph_index(), "signature")?,
    })
}
