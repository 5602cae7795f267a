//! ParseExample, ParseExampleV2: features out of serialized `tf.Example` messages.
//!
//! A dense feature has the same number of values in every example, or a default; a sparse one any number, which become a sparse
//! matrix with a row per example; a ragged one too, which become one vector and where each row ends.

use ferrolite_model::TensorType;
use ferrolite_model::flexbuffers::{self, Value};

use super::proto::{Fields, Wire};
use crate::element::Element;
use crate::error::OpError;
use crate::io::{Inputs, Io};
use crate::kernel::{FnKernel, Kernel};
use crate::node::{InferError, Node, OutputShape, OutputShapes};
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::strings;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("ParseExample", |node| infer(node, Version::One), |node, _| lower(node, Version::One))
        .inputs(2, usize::MAX)
        .outputs(0, usize::MAX),
    OpSpec::custom("ParseExampleV2", |node| infer(node, Version::Two), |node, _| lower(node, Version::Two))
        .inputs(5, usize::MAX)
        .outputs(0, usize::MAX),
];

/// Where the keys of features are: an input for each, or one for each kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// What the attributes say.
#[derive(Default)]
struct Attributes {
    sparse: usize,
    dense: Option<usize>,
    /// Shapes of dense features, where they are given.
    shapes: Option<Vec<Shape>>,
}

/// The attributes of a node of TensorFlow's that count: numbers of features, shapes of dense ones.
fn read_node(node: &[u8]) -> Result<Attributes, OpError> {
    const ATTRIBUTES: u64 = 5;
    let mut found = Attributes::default();
    for field in Fields::new(node) {
        let (ATTRIBUTES, entry) = field? else { continue };
        let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
        for field in Fields::new(entry.bytes()?) {
            match field? {
                (1, part) => name = part.bytes()?,
                (2, part) => value = part.bytes()?,
                _ => {}
            }
        }
        match name {
            b"Nsparse" | b"num_sparse" => found.sparse = number(value)?,
            b"Ndense" => found.dense = Some(number(value)?),
            b"dense_shapes" => found.shapes = Some(shapes(value)?),
            _ => {}
        }
    }
    Ok(found)
}

/// The integer of an attribute's value.
fn number(value: &[u8]) -> Result<usize, OpError> {
    let mut numbers = vec![0];
    for field in Fields::new(value) {
        if let (3, part) = field? {
            part.integers(&mut numbers)?;
        }
    }
    count(numbers.last().copied().unwrap_or(0))
}

fn count(number: i64) -> Result<usize, OpError> {
    usize::try_from(number).map_err(|_| OpError::invalid(format!("{number} is no number of features")))
}

/// The shapes in an attribute's list.
fn shapes(value: &[u8]) -> Result<Vec<Shape>, OpError> {
    let mut shapes = Vec::new();
    for field in Fields::new(value) {
        let (1, list) = field? else { continue };
        for field in Fields::new(list.bytes()?) {
            if let (7, shape) = field? {
                shapes.push(read_shape(shape.bytes()?)?);
            }
        }
    }
    Ok(shapes)
}

fn read_shape(shape: &[u8]) -> Result<Shape, OpError> {
    let mut dims = Shape::scalar();
    for field in Fields::new(shape) {
        let (2, dim) = field? else { continue };
        let mut size = vec![0];
        for field in Fields::new(dim.bytes()?) {
            if let (1, part) = field? {
                part.integers(&mut size)?;
            }
        }
        let size = size.last().copied().unwrap_or(0);
        dims.push(usize::try_from(size).map_err(|_| {
            OpError::unsupported("dense features of varying length are not supported: make them sparse")
        })?);
    }
    Ok(dims)
}

/// The attributes, as a node of TensorFlow's or as a FlexBuffers map.
fn attributes(node: &Node<'_>) -> Result<Attributes, OpError> {
    let bytes: &[u8] = &node.operator.custom_options;
    let parsed = flexbuffers::parse(bytes)
        .map_err(|e| OpError::invalid(format!("the operator's attributes cannot be read: {e}")))?;
    if let Value::Vector(parts) = &parsed {
        let definition = parts.get(1).and_then(Value::as_bytes);
        return read_node(
            definition.ok_or_else(|| OpError::invalid("the attributes hold no node definition"))?,
        );
    }
    let attributes = node.attributes()?;
    let sparse = attributes.int_or("Nsparse", attributes.int_or("num_sparse", 0)?)?;
    let dense = attributes.get("Ndense").map(|_| count(attributes.int("Ndense")?)).transpose()?;
    Ok(Attributes { sparse: count(sparse)?, dense, shapes: None })
}

/// Where a feature's key is: which input, which of its strings.
type Key = (usize, usize);

/// A feature with values for every example.
#[derive(Clone)]
struct Dense {
    key: Key,
    default: usize,
    /// Values of one example.
    count: usize,
    output: Shape,
    dtype: TensorType,
}

/// A feature with any number of values.
#[derive(Clone, Copy)]
struct Varying {
    key: Key,
    dtype: TensorType,
}

/// What the operator is to find.
struct Layout {
    batch: usize,
    sparse: Vec<Varying>,
    dense: Vec<Dense>,
    ragged: Vec<Varying>,
}

fn layout(node: &Node<'_>, version: Version) -> Result<Layout, OpError> {
    let attributes = attributes(node)?;
    let batch = match **node.shape(0)? {
        [] => 1,
        [batch] => batch,
        _ => {
            return Err(OpError::invalid(format!(
                "serialized examples are a vector, not {}",
                node.shape(0)?
            )));
        }
    };
    let strings = |i: usize| -> Result<usize, OpError> {
        if node.dtype(i)? != TensorType::String {
            return Err(OpError::invalid(format!("input {i} must hold strings, not {}", node.dtype(i)?)));
        }
        node.shape(i)?.num_elements()
    };
    strings(0)?;
    let sparse = attributes.sparse;
    let (dense, ragged) = match version {
        Version::One => (attributes.dense.unwrap_or(0), 0),
        Version::Two => (strings(3)?, strings(4)?),
    };
    let (inputs, outputs) = match version {
        Version::One => (sparse.saturating_add(dense.saturating_mul(2)).saturating_add(2), 0),
        Version::Two => (dense.saturating_add(5), ragged.saturating_mul(2)),
    };
    let outputs = outputs.saturating_add(sparse.saturating_mul(3)).saturating_add(dense);
    if node.inputs.len() != inputs || node.outputs.len() != outputs {
        return Err(OpError::invalid(format!(
            "{sparse} sparse, {dense} dense and {ragged} ragged features take {inputs} inputs and {outputs} outputs, the operator \
             has {} and {}",
            node.inputs.len(),
            node.outputs.len()
        )));
    }
    if version == Version::Two && strings(2)? != sparse {
        return Err(OpError::invalid(format!("{} keys name {sparse} sparse features", strings(2)?)));
    }
    let key = |kind: usize, i: usize| match version {
        Version::One => (2 + kind * sparse + i, 0),
        Version::Two => (2 + kind, i),
    };
    let varying = |kind: usize, i: usize, output: usize| -> Result<Varying, OpError> {
        Ok(Varying { key: key(kind, i), dtype: node.output(output)?.dtype })
    };
    let defaults = node.inputs.len() - dense;
    let dense_at = |i: usize| -> Result<Dense, OpError> {
        let output = node.output(3 * sparse + i)?;
        let (shape, count) = match &attributes.shapes {
            Some(shapes) => {
                let shape = shapes
                    .get(i)
                    .ok_or_else(|| OpError::invalid(format!("dense feature {i} has no shape")))?;
                (Shape::new(&[&[batch], &shape[..]].concat()), shape.num_elements()?)
            }
            // Without shapes the outputs' own count, of which the first axis takes all examples.
            None => {
                let mut dims = output.shape.to_vec();
                match dims.first_mut() {
                    Some(first) => *first = first.saturating_mul(batch),
                    None => dims.push(batch),
                }
                (Shape::new(&dims), output.shape.num_elements()?)
            }
        };
        if node.dtype(defaults + i)? != output.dtype {
            return Err(OpError::invalid(format!("dense feature {i} has a default of another type")));
        }
        Ok(Dense { key: key(1, i), default: defaults + i, count, output: shape, dtype: output.dtype })
    };
    let layout = Layout {
        batch,
        sparse: (0..sparse).map(|i| varying(0, i, sparse + i)).collect::<Result<_, _>>()?,
        dense: (0..dense).map(dense_at).collect::<Result<_, _>>()?,
        ragged: (0..ragged).map(|i| varying(2, i, 3 * sparse + dense + i)).collect::<Result<_, _>>()?,
    };
    let types = layout.sparse.iter().chain(&layout.ragged).map(|f| f.dtype);
    for dtype in types.chain(layout.dense.iter().map(|f| f.dtype)) {
        if !matches!(dtype, TensorType::Int64 | TensorType::Float32 | TensorType::String) {
            return Err(OpError::unsupported(format!(
                "features hold int64, float32 or strings, not {dtype}"
            )));
        }
    }
    Ok(layout)
}

fn infer(node: &Node<'_>, version: Version) -> Result<OutputShapes, InferError> {
    let layout = layout(node, version)?;
    let (sparse, dense) = (layout.sparse.len(), layout.dense.len());
    let shapes = (0..node.outputs.len()).map(|o| match o.checked_sub(2 * sparse) {
        // The shapes of sparse features have two numbers, dense features are known.
        Some(i) if i < sparse => OutputShape::Known(Shape::from([2])),
        Some(i) if i < sparse + dense => OutputShape::Known(layout.dense[i - sparse].output.clone()),
        _ => OutputShape::Dynamic,
    });
    Ok(shapes.collect())
}

/// The values of a feature.
#[derive(Clone, Debug, PartialEq)]
enum Values<'a> {
    Strings(Vec<&'a [u8]>),
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

impl<'a> Values<'a> {
    fn new(dtype: TensorType) -> Self {
        match dtype {
            TensorType::String => Self::Strings(Vec::new()),
            TensorType::Float32 => Self::Floats(Vec::new()),
            _ => Self::Integers(Vec::new()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Strings(v) => v.len(),
            Self::Floats(v) => v.len(),
            Self::Integers(v) => v.len(),
        }
    }

    /// Adds the values of a feature message; false if it has none of any kind.
    fn read(&mut self, feature: &'a [u8]) -> Result<bool, OpError> {
        let mut kind = None;
        for field in Fields::new(feature) {
            let (number, list) = field?;
            if (1..=3).contains(&number) {
                kind = Some((number, list.bytes()?));
            }
        }
        let Some((number, list)) = kind else { return Ok(false) };
        let part = |field: Result<(u64, Wire<'a>), OpError>| -> Result<Option<Wire<'a>>, OpError> {
            Ok(Some(field?).filter(|f| f.0 == 1).map(|f| f.1))
        };
        for field in Fields::new(list) {
            let Some(value) = part(field)? else { continue };
            match (&mut *self, number) {
                (Self::Strings(v), 1) => v.push(value.bytes()?),
                (Self::Floats(v), 2) => value.floats(v)?,
                (Self::Integers(v), 3) => value.integers(v)?,
                _ => return Err(OpError::runtime("a feature has values of another type than was asked for")),
            }
        }
        Ok(true)
    }

    /// Adds all values of another list of the same kind.
    fn append(&mut self, mut other: Self) {
        match (self, &mut other) {
            (Self::Strings(to), Self::Strings(from)) => to.append(from),
            (Self::Floats(to), Self::Floats(from)) => to.append(from),
            (Self::Integers(to), Self::Integers(from)) => to.append(from),
            _ => {}
        }
    }

    /// Gives the values as an output.
    fn give(&self, io: &mut Io<'_>, output: usize, shape: &[usize]) -> Result<(), OpError> {
        fn put<T: Element>(
            io: &mut Io<'_>,
            output: usize,
            shape: &[usize],
            values: &[T],
        ) -> Result<(), OpError> {
            io.outputs.set_bytes(output, shape, bytemuck::cast_slice(values))
        }
        match self {
            Self::Strings(v) => io.outputs.set_bytes(output, shape, &strings::encode(v)?),
            Self::Floats(v) => put(io, output, shape, v),
            Self::Integers(v) => put(io, output, shape, v),
        }
    }
}

/// A feature's name and message.
type Feature<'a> = (&'a [u8], &'a [u8]);

/// The features of an example, in order.
fn features(example: &[u8]) -> Result<Vec<Feature<'_>>, OpError> {
    let mut found = Vec::new();
    for field in Fields::new(example) {
        let (1, map) = field? else { continue };
        for field in Fields::new(map.bytes()?) {
            let (1, entry) = field? else { continue };
            let (mut name, mut feature): (&[u8], &[u8]) = (&[], &[]);
            for field in Fields::new(entry.bytes()?) {
                match field? {
                    (1, part) => name = part.bytes()?,
                    (2, part) => feature = part.bytes()?,
                    _ => {}
                }
            }
            found.push((name, feature));
        }
    }
    Ok(found)
}

/// The last feature of this name; `None` if there is none, or it has no values of any kind.
fn find<'a>(features: &[Feature<'a>], name: &[u8], dtype: TensorType) -> Result<Option<Values<'a>>, OpError> {
    let Some((_, feature)) = features.iter().rev().find(|(key, _)| *key == name) else { return Ok(None) };
    let mut values = Values::new(dtype);
    Ok(values.read(feature)?.then_some(values))
}

fn lower(node: &Node<'_>, version: Version) -> Result<Box<dyn Kernel>, OpError> {
    let Layout { batch, sparse, dense, ragged } = layout(node, version)?;
    Ok(FnKernel::new("parse_example", move |io, _| {
        let inputs = io.inputs;
        let serialized = strings::decode(inputs.bytes(0)?)?;
        if serialized.len() != batch {
            return Err(OpError::runtime(format!("{batch} examples are expected, {} are given", serialized.len())));
        }
        let examples = serialized.iter().map(|e| features(e)).collect::<Result<Vec<_>, _>>()?;
        let key = |(input, at): Key| -> Result<&[u8], OpError> {
            let missing = || OpError::runtime(format!("input {input} holds fewer keys than there are features"));
            strings::decode(inputs.bytes(input)?)?.get(at).copied().ok_or_else(missing)
        };
        let (sparse_count, dense_count) = (sparse.len(), dense.len());
        for (i, feature) in sparse.iter().enumerate() {
            let (mut indices, mut values, mut widest) = (Vec::new(), Values::new(feature.dtype), 0);
            for (row, example) in examples.iter().enumerate() {
                let Some(found) = find(example, key(feature.key)?, feature.dtype)? else { continue };
                indices.extend((0..found.len()).flat_map(|column| [row as i64, column as i64]));
                widest = widest.max(found.len());
                values.append(found);
            }
            let count = values.len();
            io.outputs.set_bytes(i, &[count, 2], bytemuck::cast_slice(&indices))?;
            values.give(io, sparse_count + i, &[count])?;
            let shape = [batch as i64, widest as i64];
            io.outputs.set_bytes(2 * sparse_count + i, &[2], bytemuck::cast_slice(&shape))?;
        }
        for (i, feature) in dense.iter().enumerate() {
            let name = key(feature.key)?;
            let mut values = Values::new(feature.dtype);
            for (row, example) in examples.iter().enumerate() {
                let found = match find(example, name, feature.dtype)? {
                    Some(found) => found,
                    None => default(inputs, feature)?,
                };
                if found.len() != feature.count {
                    return Err(OpError::runtime(format!(
                        "the dense feature '{}' of example {row} has {} values, {} are expected: give it a default or \
                         make it sparse",
                        String::from_utf8_lossy(name),
                        found.len(),
                        feature.count
                    )));
                }
                values.append(found);
            }
            values.give(io, 3 * sparse_count + i, &feature.output)?;
        }
        for (i, feature) in ragged.iter().enumerate() {
            let (mut values, mut ends) = (Values::new(feature.dtype), vec![0i64]);
            for example in &examples {
                if let Some(found) = find(example, key(feature.key)?, feature.dtype)? {
                    values.append(found);
                }
                ends.push(values.len() as i64);
            }
            let output = 3 * sparse_count + dense_count + i;
            values.give(io, output, &[values.len()])?;
            let splits = output + ragged.len();
            if io.outputs.dtype(splits)? == TensorType::Int32 {
                let ends: Vec<i32> = ends.iter().map(|&end| end as i32).collect();
                io.outputs.set_bytes(splits, &[ends.len()], bytemuck::cast_slice(&ends))?;
            } else {
                io.outputs.set_bytes(splits, &[ends.len()], bytemuck::cast_slice(&ends))?;
            }
        }
        Ok(())
    })
    .boxed())
}

/// The default of a dense feature.
fn default<'a>(inputs: Inputs<'a>, feature: &Dense) -> Result<Values<'a>, OpError> {
    let input = feature.default;
    Ok(match feature.dtype {
        TensorType::String => Values::Strings(strings::decode(inputs.bytes(input)?)?),
        TensorType::Float32 => Values::Floats(inputs.get::<f32>(input)?.to_vec()),
        _ => Values::Integers(inputs.get::<i64>(input)?.to_vec()),
    })
}
