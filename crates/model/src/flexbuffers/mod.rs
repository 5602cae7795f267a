//! FlexBuffers: the schemaless format of custom operators' options and of composite operators' attributes.
//!
//! [`parse`] reads a whole value with every access checked; nesting and size are bounded, so that bytes that refer to
//! themselves are refused. [`encode`] writes one.

mod encode;
mod parse;

pub use encode::encode;
pub use parse::parse;

/// A FlexBuffers value. Strings and blobs borrow from the bytes they were read from.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// No value.
    #[default]
    Null,
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A float.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    String(&'a str),
    /// Bytes; also a string that is no UTF-8, as serialized messages are.
    Blob(&'a [u8]),
    /// Values in order; typed vectors read as these too.
    Vector(Vec<Value<'a>>),
    /// Values by key, sorted by key.
    Map(Vec<(&'a str, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The value at `key`; `None` if this is not a map or lacks the key.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The value at `index`; `None` if this is not a vector or ends before.
    pub fn at(&self, index: usize) -> Option<&Value<'a>> {
        self.as_vector()?.get(index)
    }

    /// The values of a vector.
    pub fn as_vector(&self) -> Option<&[Value<'a>]> {
        match self {
            Self::Vector(values) => Some(values),
            _ => None,
        }
    }

    /// The entries of a map, sorted by key.
    pub fn as_map(&self) -> Option<&[(&'a str, Value<'a>)]> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// A number as an integer, a float losing its fraction; `None` if it does not fit. A truth value is 0 or 1.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Int(number) => Some(number),
            Self::UInt(number) => i64::try_from(number).ok(),
            Self::Float(number) => truncate(number),
            Self::Bool(value) => Some(i64::from(value)),
            _ => None,
        }
    }

    /// A number as a float, rounded to the nearest one. A truth value is 0 or 1.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Float(number) => Some(number),
            Self::UInt(number) => Some(widen(number.into())),
            _ => self.as_i64().map(|number| widen(number.into())),
        }
    }

    /// A truth value, or whether a number is not zero.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(value) => Some(value),
            Self::Int(number) => Some(number != 0),
            Self::UInt(number) => Some(number != 0),
            Self::Float(number) => Some(number != 0.0),
            _ => None,
        }
    }

    /// Text.
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a blob or of text.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Blob(bytes) => Some(bytes),
            Self::String(text) => Some(text.as_bytes()),
            _ => None,
        }
    }
}

#[allow(clippy::as_conversions, reason = "the language has no other conversion; the range is checked")]
fn truncate(number: f64) -> Option<i64> {
    // 2^63 is a float, `i64::MAX` is not: the upper bound is exclusive.
    let limit = -(i64::MIN as f64);
    (-limit..limit).contains(&number).then_some(number as i64)
}

#[allow(
    clippy::as_conversions,
    reason = "the language has no other conversion; rounding is what is asked for"
)]
fn widen(number: i128) -> f64 {
    number as f64
}
