//! The definition of a TensorFlow operator as a model carries it: its name and its attributes.
//!
//! The custom options of a `Flex` operator are a FlexBuffers vector of the operator's name and of a serialized
//! `NodeDef`. Source: `tensorflow/core/framework/{node_def,attr_value,tensor_shape}.proto`.

use std::collections::BTreeMap;

use ferrolite_model::flexbuffers;
use ferrolite_ops::{Node, OpError, TensorType};

use crate::wire::{Field, Reader, WireError};

/// The value of an attribute; kinds that no supported operator has are left out.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    /// Bytes, often text.
    Bytes(Vec<u8>),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f32),
    /// A truth value.
    Bool(bool),
    /// An element type, by TensorFlow's number.
    Type(i32),
    /// A shape, -1 for dimensions that are not known; `None` for an unknown rank.
    Shape(Option<Vec<i64>>),
    /// Integers.
    Ints(Vec<i64>),
    /// Element types.
    Types(Vec<i32>),
}

/// An operator's name and attributes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeDef {
    /// Name of the operator, `ReluGrad`.
    pub op: String,
    attrs: BTreeMap<String, Attr>,
}

impl NodeDef {
    /// The definition in an operator's custom options.
    ///
    /// # Errors
    /// When the options are no FlexBuffers vector of a name and a `NodeDef`.
    pub fn of(node: &Node<'_>) -> Result<Self, OpError> {
        let bad = || {
            OpError::invalid(
                "the custom options hold no TensorFlow operator definition: convert the model anew",
            )
        };
        let options: &[u8] = &node.operator.custom_options;
        let value = flexbuffers::parse(options).map_err(|_| bad())?;
        let definition = value.at(1).and_then(flexbuffers::Value::as_bytes).ok_or_else(bad)?;
        Self::parse(definition).map_err(|_| bad())
    }

    /// Reads a serialized `NodeDef`.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut definition = Self::default();
        for field in Reader::new(bytes) {
            match field? {
                (2, op) => definition.op = op.text()?.to_owned(),
                (5, entry) => {
                    if let Some((name, attr)) = entry_of(entry.bytes()?)? {
                        definition.attrs.insert(name, attr);
                    }
                }
                _ => {}
            }
        }
        Ok(definition)
    }

    /// An attribute, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Attr> {
        self.attrs.get(name)
    }

    fn wrong(&self, name: &str, what: &str) -> OpError {
        OpError::invalid(format!("the attribute '{name}' of {} is {what}: convert the model anew", self.op))
    }

    /// A truth value; `default` where the attribute is left out.
    ///
    /// # Errors
    /// When the attribute is of another kind.
    pub fn bool(&self, name: &str, default: bool) -> Result<bool, OpError> {
        match self.get(name) {
            None => Ok(default),
            Some(Attr::Bool(value)) => Ok(*value),
            Some(_) => Err(self.wrong(name, "no truth value")),
        }
    }

    /// An integer; `default` where the attribute is left out.
    ///
    /// # Errors
    /// When the attribute is of another kind.
    pub fn int(&self, name: &str, default: i64) -> Result<i64, OpError> {
        match self.get(name) {
            None => Ok(default),
            Some(Attr::Int(value)) => Ok(*value),
            Some(_) => Err(self.wrong(name, "no integer")),
        }
    }

    /// A float; `default` where the attribute is left out.
    ///
    /// # Errors
    /// When the attribute is of another kind.
    pub fn float(&self, name: &str, default: f32) -> Result<f32, OpError> {
        match self.get(name) {
            None => Ok(default),
            Some(Attr::Float(value)) => Ok(*value),
            Some(_) => Err(self.wrong(name, "no float")),
        }
    }

    /// Text; `default` where the attribute is left out.
    ///
    /// # Errors
    /// When the attribute is of another kind or not UTF-8.
    pub fn text<'s>(&'s self, name: &str, default: &'s str) -> Result<&'s str, OpError> {
        match self.get(name) {
            None => Ok(default),
            Some(Attr::Bytes(value)) => core::str::from_utf8(value).map_err(|_| self.wrong(name, "no text")),
            Some(_) => Err(self.wrong(name, "no text")),
        }
    }

    /// Integers; none where the attribute is left out.
    ///
    /// # Errors
    /// When the attribute is of another kind.
    pub fn ints(&self, name: &str) -> Result<&[i64], OpError> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Attr::Ints(values)) => Ok(values),
            Some(_) => Err(self.wrong(name, "no list of integers")),
        }
    }

    /// Sizes, each at least one: strides, windows, dilations.
    ///
    /// # Errors
    /// When the attribute is of another kind or one of them is less than one.
    pub fn sizes(&self, name: &str) -> Result<Vec<usize>, OpError> {
        let positive = |&value: &i64| usize::try_from(value).ok().filter(|&v| v > 0);
        let values: Option<Vec<usize>> = self.ints(name)?.iter().map(positive).collect();
        values.ok_or_else(|| self.wrong(name, "no list of positive integers"))
    }

    /// An element type.
    ///
    /// # Errors
    /// When the attribute is missing, of another kind, or the type is none of TensorFlow Lite's.
    pub fn dtype(&self, name: &str) -> Result<TensorType, OpError> {
        match self.get(name) {
            Some(Attr::Type(number)) => {
                tensor_type(*number).ok_or_else(|| self.wrong(name, "an element type without counterpart"))
            }
            _ => Err(self.wrong(name, "no element type")),
        }
    }
}

/// A name and a value of a map's entry.
fn entry_of(bytes: &[u8]) -> Result<Option<(String, Attr)>, WireError> {
    let (mut name, mut attr) = (None, None);
    for field in Reader::new(bytes) {
        match field? {
            (1, key) => name = Some(key.text()?.to_owned()),
            (2, value) => attr = attr_of(value.bytes()?)?,
            _ => {}
        }
    }
    Ok(name.zip(attr))
}

fn attr_of(bytes: &[u8]) -> Result<Option<Attr>, WireError> {
    let mut attr = None;
    for field in Reader::new(bytes) {
        attr = match field? {
            (1, list) => list_of(list.bytes()?)?,
            (2, value) => Some(Attr::Bytes(value.bytes()?.to_vec())),
            (3, value) => Some(Attr::Int(value.varint()?.cast_signed())),
            (4, value) => Some(Attr::Float(f32::from_bits(value.fixed32()?))),
            (5, value) => Some(Attr::Bool(value.varint()? != 0)),
            (6, value) => Some(Attr::Type(enumeration(value.varint()?)?)),
            (7, value) => Some(Attr::Shape(shape_of(value.bytes()?)?)),
            _ => attr,
        };
    }
    Ok(attr)
}

fn enumeration(value: u64) -> Result<i32, WireError> {
    i32::try_from(value).map_err(|_| WireError)
}

fn list_of(bytes: &[u8]) -> Result<Option<Attr>, WireError> {
    let (mut ints, mut types) = (Vec::new(), Vec::new());
    for field in Reader::new(bytes) {
        match field? {
            (3, values) => ints.extend(values.varints()?.into_iter().map(u64::cast_signed)),
            (6, values) => {
                for value in values.varints()? {
                    types.push(enumeration(value)?);
                }
            }
            _ => {}
        }
    }
    Ok(if types.is_empty() { Some(Attr::Ints(ints)) } else { Some(Attr::Types(types)) })
}

/// The dimensions of a `TensorShapeProto`; `None` for an unknown rank.
///
/// # Errors
/// When the bytes are no such message.
pub fn shape_of(bytes: &[u8]) -> Result<Option<Vec<i64>>, WireError> {
    let mut dims = Vec::new();
    for field in Reader::new(bytes) {
        match field? {
            (2, dim) => {
                let mut size = 0;
                for field in Reader::new(dim.bytes()?) {
                    if let (1, Field::Varint(value)) = field? {
                        size = value.cast_signed();
                    }
                }
                dims.push(size);
            }
            (3, unknown) if unknown.varint()? != 0 => return Ok(None),
            _ => {}
        }
    }
    Ok(Some(dims))
}

/// Element types with their numbers in TensorFlow (`types.proto`).
const TYPES: &[(i32, TensorType)] = &[
    (1, TensorType::Float32),
    (2, TensorType::Float64),
    (3, TensorType::Int32),
    (4, TensorType::UInt8),
    (5, TensorType::Int16),
    (6, TensorType::Int8),
    (7, TensorType::String),
    (8, TensorType::Complex64),
    (9, TensorType::Int64),
    (10, TensorType::Bool),
    (14, TensorType::BFloat16),
    (17, TensorType::UInt16),
    (18, TensorType::Complex128),
    (19, TensorType::Float16),
    (20, TensorType::Resource),
    (21, TensorType::Variant),
    (22, TensorType::UInt32),
    (23, TensorType::UInt64),
];

/// The element type with TensorFlow's number `number`.
#[must_use]
pub fn tensor_type(number: i32) -> Option<TensorType> {
    TYPES.iter().find(|(n, _)| *n == number).map(|(_, dtype)| *dtype)
}

/// TensorFlow's number of an element type.
#[must_use]
pub fn type_number(dtype: TensorType) -> Option<i32> {
    TYPES.iter().find(|(_, t)| *t == dtype).map(|(n, _)| *n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn attributes_of_a_converted_operator() {
        // From a converted graph: SaveV2 with `dtypes` of two floats.
        let bytes = b"\x12\x06SaveV2\x1a\x00\x1a\x00*\x10\n\x06dtypes\x12\x06\n\x042\x02\x01\x01";
        let definition = NodeDef::parse(bytes).unwrap();
        assert_eq!(definition.op, "SaveV2");
        assert_eq!(definition.get("dtypes"), Some(&Attr::Types(vec![1, 1])));
        assert!(definition.bool("dtypes", true).is_err());
        assert!(definition.bool("absent", true).unwrap());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = NodeDef::parse(&bytes);
        }
    }
}
