//! The graph of one subgraph: the operators with their specs, the tensors with what is known of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferrolite_model::options::StablehloCustomCallOptionsT;
use ferrolite_model::{Model, OpCode, Operator, Options, Sparsity, Subgraph, Tensor};
use ferrolite_ops::{ConstSource, Fused, OpSpec, Registry, Shape, TensorInfo, TensorValue};

use crate::blocks;
use crate::error::{Error, ErrorKind};

/// Where a tensor's content comes from.
#[derive(Clone, Debug)]
pub enum Content {
    /// An operator or the caller writes it.
    Computed,
    /// It is the model file's.
    Constant,
    /// It was computed from constants, made dense, or copied because the file's bytes are not aligned for their type.
    Folded(Arc<TensorValue>),
    /// It is this other tensor's, a constant in 16-bit floats, which whoever packs it widens.
    Half(usize),
    /// A variable tensor: zero at first, kept between runs.
    Variable,
}

/// A tensor of a graph.
#[derive(Clone, Debug)]
pub struct GraphTensor {
    /// Type, declared shape, quantization.
    pub info: TensorInfo,
    /// Content.
    pub content: Content,
    /// The subgraph that it comes from and its index there.
    pub origin: (usize, usize),
}

/// An operator of a graph.
#[derive(Clone)]
pub struct GraphNode {
    /// The subgraph that it comes from: the graph's, or one that was inlined.
    pub subgraph: usize,
    /// Its index among that subgraph's operators.
    pub index: usize,
    /// What it runs as, where that is not what the file says.
    pub stands_for: Option<Arc<Operator>>,
    /// Its entry of the operator table.
    pub spec: OpSpec,
    /// Input tensors.
    pub inputs: Vec<Option<usize>>,
    /// Output tensors.
    pub outputs: Vec<usize>,
    /// Quantization of inner values.
    pub intermediates: Vec<TensorInfo>,
    /// What is fused behind it.
    pub activation: Option<Fused>,
}

/// A subgraph, ready to be planned for any input shapes.
pub struct Graph {
    /// The model it belongs to.
    pub model: Arc<Model>,
    /// The operator table.
    pub registry: Arc<Registry>,
    /// Its index in the model.
    pub subgraph: usize,
    /// Tensors, by the file's indices; those of inlined subgraphs follow.
    pub tensors: Vec<GraphTensor>,
    /// Operators in execution order.
    pub nodes: Vec<GraphNode>,
    /// Input tensors.
    pub inputs: Vec<usize>,
    /// Output tensors.
    pub outputs: Vec<usize>,
}

impl Graph {
    /// Reads a subgraph of a verified model.
    ///
    /// # Errors
    /// One error that lists all operators without a spec; an index that the model does not have.
    pub fn new(model: &Arc<Model>, subgraph: usize, registry: &Arc<Registry>) -> Result<Self, Error> {
        let source = model.subgraph(subgraph).ok_or_else(|| {
            Error::new(
                ErrorKind::BadModel,
                format!("the model has no subgraph {subgraph}, which one of its operators calls"),
            )
        })?;
        report_unsupported(&unsupported_operators(model, registry))?;
        let infos: Vec<TensorInfo> =
            source.tensors.iter().map(|t| tensor_info(model, source, t)).collect::<Result<_, Error>>()?;
        let mut nodes = Vec::with_capacity(source.operators.len());
        for (index, operator) in source.operators.iter().enumerate() {
            let stands_for = custom_call(operator, registry);
            let code = stands_for.as_ref().map_or(&operator.code, |o| &o.code);
            let Some(spec) = registry.find(code).copied() else { continue };
            let intermediates =
                operator.intermediates.iter().filter_map(|&t| infos.get(t).cloned()).collect();
            nodes.push(GraphNode {
                subgraph,
                index,
                stands_for,
                spec,
                inputs: operator.inputs.clone(),
                outputs: operator.outputs.clone(),
                intermediates,
                activation: None,
            });
        }
        let tensors = source
            .tensors
            .iter()
            .zip(infos)
            .enumerate()
            .map(|(t, (tensor, info))| {
                Ok(GraphTensor { content: content(model, tensor, &info)?, info, origin: (subgraph, t) })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            model: model.clone(),
            registry: registry.clone(),
            subgraph,
            tensors,
            nodes,
            inputs: source.inputs.clone(),
            outputs: source.outputs.clone(),
        })
    }

    /// The operator behind a node.
    #[must_use]
    pub fn operator<'a>(&'a self, node: &'a GraphNode) -> &'a Operator {
        let in_file = || &self.model.subgraphs()[node.subgraph].operators[node.index];
        node.stands_for.as_deref().unwrap_or_else(in_file)
    }

    /// The bytes of a constant tensor.
    #[must_use]
    pub fn constant(&self, tensor: usize) -> Option<&[u8]> {
        match &self.tensors[tensor].content {
            Content::Folded(value) => Some(value.bytes()),
            Content::Constant => {
                let (subgraph, index) = self.tensors[tensor].origin;
                self.model.tensor_data(&self.model.subgraphs()[subgraph].tensors[index])
            }
            Content::Computed | Content::Half(_) | Content::Variable => None,
        }
    }

    /// The 16-bit floats that stand for a constant tensor of 32-bit ones.
    #[must_use]
    pub fn half(&self, tensor: usize) -> Option<&[u8]> {
        match self.tensors[tensor].content {
            Content::Half(stored) => self.constant(stored),
            _ => None,
        }
    }

    /// The value of a tensor that was computed from constants.
    #[must_use]
    pub fn folded(&self, tensor: usize) -> Option<&TensorValue> {
        match &self.tensors[tensor].content {
            Content::Folded(value) => Some(value),
            Content::Computed | Content::Constant | Content::Half(_) | Content::Variable => None,
        }
    }

    /// The identity under which things packed from a constant tensor are shared.
    #[must_use]
    pub fn source(&self, tensor: usize) -> Option<ConstSource> {
        match self.tensors[tensor].content {
            Content::Constant | Content::Folded(_) | Content::Half(_) => {
                let (subgraph, index) = self.tensors[tensor].origin;
                Some(ConstSource { subgraph: subgraph as u32, tensor: index as u32 })
            }
            Content::Computed | Content::Variable => None,
        }
    }

    /// Adds the operator's place to an error.
    #[must_use]
    pub fn locate(&self, node: &GraphNode, error: impl Into<Error>) -> Error {
        error.into().at_operator(node.subgraph, node.index, &self.operator(node).code)
    }
}

/// The custom operator that STABLEHLO_CUSTOM_CALL stands for, if one is registered under the name of its target. It
/// gets the call's attributes as its options, or else the call's configuration.
fn custom_call(operator: &Operator, registry: &Registry) -> Option<Arc<Operator>> {
    let call = operator.options::<StablehloCustomCallOptionsT>()?;
    let code = OpCode::Custom(call.call_target_name.clone()?);
    registry.find(&code)?;
    let config = || call.backend_config.as_ref().map(|text| text.clone().into_bytes());
    let attributes = call.custom_attributes.clone().filter(|bytes| !bytes.is_empty()).or_else(config);
    Some(Arc::new(Operator {
        code,
        options: Options::None,
        custom_options: attributes.unwrap_or_default().into(),
        ..operator.clone()
    }))
}

fn tensor_info(model: &Model, subgraph: &Subgraph, tensor: &Tensor) -> Result<TensorInfo, Error> {
    Ok(TensorInfo {
        name: Arc::from(tensor.name.as_str()),
        dtype: tensor.dtype,
        shape: Shape::new(&tensor.shape),
        quantization: blocks::quantization(model, subgraph, tensor)?,
        // Without a rank the file says nothing of the shape.
        open_shape: tensor.is_dynamic() || (tensor.shape.is_empty() && !tensor.has_rank),
    })
}

fn content(model: &Model, tensor: &Tensor, info: &TensorInfo) -> Result<Content, Error> {
    if tensor.is_variable {
        return Ok(Content::Variable);
    }
    let Some(bytes) = model.tensor_data(tensor) else { return Ok(Content::Computed) };
    if let Some(sparsity) = &tensor.sparsity {
        return dense(info, sparsity, bytes);
    }
    // Kernels read constants in place; exporters align them to as little as four bytes.
    let alignment = (tensor.dtype.bits().unwrap_or(8) / 8).clamp(1, 8);
    if bytes.as_ptr().addr().is_multiple_of(alignment) {
        return Ok(Content::Constant);
    }
    Ok(Content::Folded(Arc::new(TensorValue::from_bytes(info.dtype, info.shape.clone(), bytes)?)))
}

/// A sparse constant as kernels take it, with its zeros.
fn dense(info: &TensorInfo, sparsity: &Sparsity, stored: &[u8]) -> Result<Content, Error> {
    let element = info.dtype.bits().filter(|bits| bits.is_multiple_of(8)).map(|bits| bits / 8);
    let bytes =
        element.and_then(|element| sparsity.densify(&info.shape, element, stored)).ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the sparse tensor '{}' of {} cannot be made dense: export it dense",
                    info.name, info.dtype
                ),
            )
        })?;
    Ok(Content::Folded(Arc::new(TensorValue::from_bytes(info.dtype, info.shape.clone(), &bytes)?)))
}

/// The operators of a model that have no spec, with how often they occur.
#[must_use]
pub fn unsupported_operators(model: &Model, registry: &Registry) -> Vec<(OpCode, usize)> {
    let mut missing: BTreeMap<String, (OpCode, usize)> = BTreeMap::new();
    for operator in model.subgraphs().iter().flat_map(|s| &s.operators) {
        if registry.find(&operator.code).is_none() {
            missing.entry(operator.code.to_string()).or_insert_with(|| (operator.code.clone(), 0)).1 += 1;
        }
    }
    missing.into_values().collect()
}

fn report_unsupported(missing: &[(OpCode, usize)]) -> Result<(), Error> {
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = missing.iter().map(|(code, count)| format!("{code} ({count})")).collect();
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("the model uses operators that are not supported: {}", list.join(", ")),
    ))
}
