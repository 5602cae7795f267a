//! Subgraphs, operators, signatures and what surrounds them.

use std::collections::HashMap;

use ferrolite_schema::tflite as schema;
use flatbuffers::WIPOffset;

use super::{Writer, convert, signed};
use crate::error::ModelError;
use crate::graph::{ExternalBuffer, Metadata, OpCode, Operator, OperatorCode, Signature, Subgraph};
use crate::model::Content;
use crate::options::Options;

/// Indices of operator codes.
pub(super) type CodeIndices<'c> = HashMap<&'c OperatorCode, u32>;

/// The declared operator codes, then those that operators use besides, each once.
pub(super) fn operator_codes(content: &Content) -> Vec<OperatorCode> {
    let mut codes = content.operator_codes.clone();
    let mut known: std::collections::HashSet<_> = codes.iter().cloned().collect();
    for operator in content.subgraphs.iter().flat_map(|subgraph| &subgraph.operators) {
        let code = code_of(operator);
        if known.insert(code.clone()) {
            codes.push(code);
        }
    }
    codes
}

fn code_of(operator: &Operator) -> OperatorCode {
    OperatorCode { code: operator.code.clone(), version: operator.version }
}

/// Names of the files that external buffers lie in, in order, without repetition.
pub(super) fn external_groups(content: &Content) -> Vec<&str> {
    let mut groups: Vec<&str> = content.external_buffers.iter().map(|buffer| buffer.group.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

impl<'a> Writer<'a> {
    pub(super) fn operator_code(
        &mut self,
        code: &OperatorCode,
    ) -> Result<WIPOffset<schema::OperatorCode<'a>>, ModelError> {
        let (builtin_code, custom_code) = match &code.code {
            OpCode::Builtin(builtin) => (*builtin, None),
            OpCode::Custom(name) => (schema::BuiltinOperator::CUSTOM, Some(self.fbb.create_string(name))),
        };
        // Old readers look at the narrow field, where greater codes are the placeholder.
        let placeholder = schema::BuiltinOperator::PLACEHOLDER_FOR_GREATER_OP_CODES.0;
        let args = schema::OperatorCodeArgs {
            deprecated_builtin_code: i8::try_from(builtin_code.0.min(placeholder)).unwrap_or_default(),
            custom_code,
            version: code.version,
            builtin_code,
        };
        Ok(schema::OperatorCode::create(&mut self.fbb, &args))
    }

    pub(super) fn subgraph(
        &mut self,
        subgraph: &'a Subgraph,
        codes: &CodeIndices<'_>,
    ) -> Result<WIPOffset<schema::SubGraph<'a>>, ModelError> {
        let tensors = self.list(&subgraph.tensors, Self::tensor)?;
        let operators = self.list(&subgraph.operators, |w, operator| w.operator(operator, codes))?;
        let args = schema::SubGraphArgs {
            tensors: Some(tensors),
            inputs: Some(self.fbb.create_vector(&signed(&subgraph.inputs, "tensor")?)),
            outputs: Some(self.fbb.create_vector(&signed(&subgraph.outputs, "tensor")?)),
            operators: Some(operators),
            name: subgraph.name.as_deref().map(|name| self.fbb.create_string(name)),
            debug_metadata_index: debug_index(subgraph.debug_metadata_index),
        };
        Ok(schema::SubGraph::create(&mut self.fbb, &args))
    }

    fn operator(
        &mut self,
        operator: &Operator,
        codes: &CodeIndices<'_>,
    ) -> Result<WIPOffset<schema::Operator<'a>>, ModelError> {
        let mut args = schema::OperatorArgs::default();
        match &operator.options {
            Options::None => {}
            Options::Builtin(options) => {
                args.builtin_options_type = options.builtin_options_type();
                args.builtin_options = options.pack(&mut self.fbb);
            }
            Options::Builtin2(options) => {
                args.builtin_options_2_type = options.builtin_options_2_type();
                args.builtin_options_2 = options.pack(&mut self.fbb);
            }
        }
        let input = |input: &Option<usize>| input.map_or(Ok(-1), |tensor| convert(tensor, "tensor"));
        let inputs = operator.inputs.iter().map(input).collect::<Result<Vec<i32>, _>>()?;
        let intermediates = signed(&operator.intermediates, "tensor")?;
        args.opcode_index = codes.get(&code_of(operator)).copied().unwrap_or_default();
        args.inputs = Some(self.fbb.create_vector(&inputs));
        args.outputs = Some(self.fbb.create_vector(&signed(&operator.outputs, "tensor")?));
        args.intermediates = (!intermediates.is_empty()).then(|| self.fbb.create_vector(&intermediates));
        args.custom_options = (!operator.custom_options.is_empty())
            .then(|| self.fbb.create_vector(operator.custom_options.as_slice()));
        args.mutating_variable_inputs = (!operator.mutating_variable_inputs.is_empty())
            .then(|| self.fbb.create_vector(&operator.mutating_variable_inputs));
        args.debug_metadata_index = debug_index(operator.debug_metadata_index);
        Ok(schema::Operator::create(&mut self.fbb, &args))
    }

    pub(super) fn external_group(
        &mut self,
        name: &&str,
    ) -> Result<WIPOffset<schema::ExternalBufferGroup<'a>>, ModelError> {
        let name = Some(self.fbb.create_string(name));
        Ok(schema::ExternalBufferGroup::create(&mut self.fbb, &schema::ExternalBufferGroupArgs { name }))
    }

    pub(super) fn external_buffer(
        &mut self,
        buffer: &ExternalBuffer,
        groups: &[&str],
    ) -> Result<WIPOffset<schema::ExternalBuffer<'a>>, ModelError> {
        let group = groups.binary_search(&buffer.group.as_str()).unwrap_or_default();
        let args = schema::ExternalBufferArgs {
            id: buffer.id,
            group: convert(group, "external file")?,
            offset: buffer.offset,
            length: buffer.length,
            packing: buffer.packing.as_deref().map(|packing| self.fbb.create_string(packing)),
        };
        Ok(schema::ExternalBuffer::create(&mut self.fbb, &args))
    }

    pub(super) fn metadata(
        &mut self,
        entry: &Metadata,
    ) -> Result<WIPOffset<schema::Metadata<'a>>, ModelError> {
        let name = Some(self.fbb.create_string(&entry.name));
        Ok(schema::Metadata::create(&mut self.fbb, &schema::MetadataArgs { name, buffer: entry.buffer }))
    }

    pub(super) fn signature(
        &mut self,
        signature: &'a Signature,
    ) -> Result<WIPOffset<schema::SignatureDef<'a>>, ModelError> {
        let args = schema::SignatureDefArgs {
            inputs: Some(self.list(&signature.inputs, Self::tensor_map)?),
            outputs: Some(self.list(&signature.outputs, Self::tensor_map)?),
            signature_key: Some(self.fbb.create_string(&signature.key)),
            subgraph_index: convert(signature.subgraph, "subgraph")?,
        };
        Ok(schema::SignatureDef::create(&mut self.fbb, &args))
    }

    fn tensor_map(
        &mut self,
        (name, tensor): &(String, usize),
    ) -> Result<WIPOffset<schema::TensorMap<'a>>, ModelError> {
        let name = Some(self.fbb.create_string(name));
        let tensor_index = convert(*tensor, "tensor")?;
        Ok(schema::TensorMap::create(&mut self.fbb, &schema::TensorMapArgs { name, tensor_index }))
    }
}

/// The format writes "none" as -1.
fn debug_index(index: Option<u32>) -> i32 {
    index.and_then(|index| i32::try_from(index).ok()).unwrap_or(-1)
}
