//! What `inspect` tells of a model, as data. Field names are those of the JSON output.

use ferrolite::model_file::{Operator, Quantization, Subgraph, Tensor};
use ferrolite::{ErrorKind, Interpreter, Model, TensorType};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Serialize)]
pub struct Report {
    pub file: String,
    pub file_bytes: usize,
    /// Version of the file format.
    pub version: u32,
    pub description: Option<String>,
    pub min_runtime_version: Option<String>,
    pub metadata: Vec<String>,
    pub signatures: Vec<Signature>,
    pub operators: Vec<OperatorCount>,
    pub constants: Vec<Constants>,
    pub unsupported: Vec<Unsupported>,
    pub subgraphs: Vec<Graph>,
    /// How the model would be run on this machine's CPU.
    pub plan: Option<String>,
    /// Why it cannot be.
    pub plan_error: Option<String>,
    pub arena_bytes: Option<usize>,
}

#[derive(Debug, Serialize)]
pub struct Signature {
    pub key: String,
    pub subgraph: usize,
    pub inputs: Vec<Named>,
    pub outputs: Vec<Named>,
}

/// A signature's name for a tensor.
#[derive(Debug, Serialize)]
pub struct Named {
    pub name: String,
    pub tensor: usize,
}

/// How often an operator occurs in all subgraphs.
#[derive(Debug, Serialize)]
pub struct OperatorCount {
    pub name: String,
    pub count: usize,
    pub versions: BTreeSet<i32>,
    pub supported: bool,
}

/// Constant tensors of one type. Bytes that tensors share count once.
#[derive(Debug, Serialize)]
pub struct Constants {
    #[serde(rename = "type")]
    pub dtype: String,
    pub tensors: usize,
    pub elements: usize,
    pub bytes: usize,
}

#[derive(Debug, Serialize)]
pub struct Unsupported {
    pub name: String,
    pub count: usize,
}

#[derive(Debug, Serialize)]
pub struct Graph {
    pub name: Option<String>,
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
    pub tensors: Vec<TensorFacts>,
    pub operators: Vec<OperatorFacts>,
}

#[derive(Debug, Serialize)]
pub struct TensorFacts {
    pub name: String,
    #[serde(rename = "type")]
    pub dtype: String,
    pub shape: Vec<usize>,
    /// With -1 for dimensions that may change; empty when none may.
    pub shape_signature: Vec<i32>,
    /// Scales and zero points in short.
    pub quantization: Option<String>,
    /// Size of the constant value; `None` for tensors that are computed.
    pub constant_bytes: Option<usize>,
    pub variable: bool,
    pub sparse: bool,
}

#[derive(Debug, Serialize)]
pub struct OperatorFacts {
    pub name: String,
    pub version: i32,
    /// Tensor indices; `null` for optional inputs left out.
    pub inputs: Vec<Option<usize>>,
    pub outputs: Vec<usize>,
    pub options: Option<String>,
}

impl Report {
    /// Gathers everything about `model`, read from `file`.
    pub fn new(model: &Model, file: &str) -> Self {
        let content = model.graph();
        let unsupported = model.unsupported_operators();
        let (plan, plan_error, arena_bytes) = match plan(model) {
            Ok((plan, arena)) => (Some(plan), None, Some(arena)),
            Err(error) => (None, Some(error.to_string()), None),
        };
        let named = |list: &[(String, usize)]| -> Vec<Named> {
            list.iter().map(|(name, tensor)| Named { name: name.clone(), tensor: *tensor }).collect()
        };
        Self {
            file: file.to_owned(),
            file_bytes: content.source().as_slice().len(),
            version: content.version(),
            description: content.description().map(str::to_owned),
            min_runtime_version: content.min_runtime_version().map(str::to_owned),
            metadata: content.metadata().iter().map(|entry| entry.name.clone()).collect(),
            signatures: content
                .signatures()
                .iter()
                .map(|signature| Signature {
                    key: signature.key.clone(),
                    subgraph: signature.subgraph,
                    inputs: named(&signature.inputs),
                    outputs: named(&signature.outputs),
                })
                .collect(),
            operators: count_operators(content.subgraphs(), &unsupported),
            constants: count_constants(model),
            unsupported: unsupported.into_iter().map(|(name, count)| Unsupported { name, count }).collect(),
            subgraphs: content.subgraphs().iter().map(|graph| Graph::new(model, graph)).collect(),
            plan,
            plan_error,
            arena_bytes,
        }
    }
}

/// The plan of the main subgraph and of all signatures, and their arenas' size.
fn plan(model: &Model) -> ferrolite::Result<(String, usize)> {
    let mut interpreter = Interpreter::builder(model).build()?;
    let mut refusals = String::new();
    for signature in model.signatures() {
        match interpreter.signature_runner(&signature.key).and_then(|mut runner| runner.allocate()) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Limit => return Err(error),
            Err(error) => {
                refusals.push_str(&format!("signature '{}' cannot be planned: {error}\n", signature.key))
            }
        }
    }
    Ok((interpreter.describe() + &refusals, interpreter.arena_bytes()))
}

fn count_operators(subgraphs: &[Subgraph], unsupported: &[(String, usize)]) -> Vec<OperatorCount> {
    let mut counts: BTreeMap<String, (usize, BTreeSet<i32>)> = BTreeMap::new();
    for operator in subgraphs.iter().flat_map(|graph| &graph.operators) {
        let (count, versions) = counts.entry(operator.code.to_string()).or_default();
        *count += 1;
        versions.insert(operator.version);
    }
    let supported = |name: &str| !unsupported.iter().any(|(other, _)| other == name);
    let mut operators: Vec<OperatorCount> = counts
        .into_iter()
        .map(|(name, (count, versions))| OperatorCount { supported: supported(&name), name, count, versions })
        .collect();
    operators.sort_by_key(|operator| std::cmp::Reverse(operator.count));
    operators
}

fn count_constants(model: &Model) -> Vec<Constants> {
    let mut seen = BTreeSet::new();
    let mut counts: BTreeMap<TensorType, Constants> = BTreeMap::new();
    for tensor in model.graph().subgraphs().iter().flat_map(|graph| &graph.tensors) {
        let Some(data) = model.graph().tensor_data(tensor) else { continue };
        let entry = counts.entry(tensor.dtype).or_insert_with(|| Constants {
            dtype: tensor.dtype.to_string(),
            tensors: 0,
            elements: 0,
            bytes: 0,
        });
        entry.tensors += 1;
        if seen.insert((tensor.buffer, tensor.external_buffer)) {
            entry.elements += tensor.num_elements().unwrap_or(0);
            entry.bytes += data.len();
        }
    }
    counts.into_values().collect()
}

impl Graph {
    fn new(model: &Model, graph: &Subgraph) -> Self {
        Self {
            name: graph.name.clone(),
            inputs: graph.inputs.clone(),
            outputs: graph.outputs.clone(),
            tensors: graph.tensors.iter().map(|tensor| TensorFacts::new(model, tensor)).collect(),
            operators: graph.operators.iter().map(OperatorFacts::new).collect(),
        }
    }
}

impl TensorFacts {
    fn new(model: &Model, tensor: &Tensor) -> Self {
        Self {
            name: tensor.name.clone(),
            dtype: tensor.dtype.to_string(),
            shape: tensor.shape.clone(),
            shape_signature: tensor.shape_signature.clone(),
            quantization: tensor.quantization.as_deref().and_then(quantization_in_short),
            constant_bytes: model.graph().tensor_data(tensor).map(<[u8]>::len),
            variable: tensor.is_variable,
            sparse: tensor.sparsity.is_some(),
        }
    }

    /// The dimensions, `?` for those that may change.
    pub fn dimensions(&self) -> String {
        let open = |axis: usize| self.shape_signature.get(axis) == Some(&-1);
        let extent = |(axis, extent): (usize, &usize)| {
            if open(axis) { "?".to_owned() } else { extent.to_string() }
        };
        format!("[{}]", self.shape.iter().enumerate().map(extent).collect::<Vec<_>>().join(", "))
    }
}

fn quantization_in_short(quantization: &Quantization) -> Option<String> {
    match (quantization.scale.as_slice(), quantization.zero_point.first()) {
        ([], _) => quantization.details.as_ref().map(|details| format!("{details:?}")),
        ([scale], zero_point) => Some(match zero_point.copied().unwrap_or(0) {
            0 => format!("{scale} * q"),
            below @ ..0 => format!("{scale} * (q + {})", below.unsigned_abs()),
            above => format!("{scale} * (q - {above})"),
        }),
        (scales, _) => {
            let least = scales.iter().copied().fold(f32::INFINITY, f32::min);
            let greatest = scales.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let axis = quantization.quantized_dimension;
            Some(format!("{} scales {least} to {greatest} along axis {axis}", scales.len()))
        }
    }
}

impl OperatorFacts {
    fn new(operator: &Operator) -> Self {
        Self {
            name: operator.code.to_string(),
            version: operator.version,
            inputs: operator.inputs.clone(),
            outputs: operator.outputs.clone(),
            options: options_in_short(operator),
        }
    }
}

/// The fields of the operator's options, or the size of a custom operator's.
fn options_in_short(operator: &Operator) -> Option<String> {
    let custom = operator.custom_options.as_slice().len();
    if custom > 0 {
        return Some(format!("{custom} bytes of custom options"));
    }
    let written = format!("{:?}", operator.options);
    let (start, end) = (written.find('{')?, written.rfind('}')?);
    Some(written.get(start + 1..end)?.trim().to_owned()).filter(|fields| !fields.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantization_is_summed_up() {
        let mut open = Quantization::per_channel(vec![0.5, 0.125, 0.25], 3);
        let rows = [
            (Quantization::per_tensor(0.5, -3), Some("0.5 * (q + 3)")),
            (Quantization::per_tensor(0.5, 3), Some("0.5 * (q - 3)")),
            (Quantization::per_tensor(0.5, 0), Some("0.5 * q")),
            (open.clone(), Some("3 scales 0.125 to 0.5 along axis 3")),
            (Quantization::default(), None),
        ];
        for (quantization, expected) in rows {
            assert_eq!(quantization_in_short(&quantization).as_deref(), expected);
        }
        open.scale.clear();
        assert_eq!(quantization_in_short(&open), None);
    }

    #[test]
    fn open_dimensions_are_marked() {
        let facts = TensorFacts {
            name: String::new(),
            dtype: "FLOAT32".to_owned(),
            shape: vec![1, 8, 1],
            shape_signature: vec![-1, 8, -1],
            quantization: None,
            constant_bytes: None,
            variable: false,
            sparse: false,
        };
        assert_eq!(facts.dimensions(), "[?, 8, ?]");
        assert_eq!(TensorFacts { shape_signature: vec![], ..facts }.dimensions(), "[1, 8, 1]");
    }
}
