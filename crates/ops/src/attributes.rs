//! Attributes of custom operators: a FlexBuffers map.

use ferrolite_model::flexbuffers::{self, Value};

use crate::error::OpError;

/// The attributes of a custom operator by name. Numbers of any kind read as the kind asked for.
#[derive(Clone, Debug, Default)]
pub struct Attributes<'a>(Value<'a>);

impl<'a> Attributes<'a> {
    /// Reads a FlexBuffers map; no bytes are a map without entries.
    ///
    /// # Errors
    /// When the bytes are no FlexBuffers, or hold something else than a map.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, OpError> {
        if bytes.is_empty() {
            return Ok(Self(Value::Map(Vec::new())));
        }
        let value = flexbuffers::parse(bytes)
            .map_err(|e| OpError::invalid(format!("the operator's attributes cannot be read: {e}")))?;
        match value {
            Value::Map(_) => Ok(Self(value)),
            _ => Err(OpError::invalid("the operator's attributes are no map from names to values")),
        }
    }

    /// The attribute of this name as it was written.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.get(name)
    }

    fn read<T>(
        &self,
        name: &str,
        kind: &str,
        read: impl Fn(&Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, OpError> {
        let value = match self.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        read(value)
            .map(Some)
            .ok_or_else(|| OpError::invalid(format!("the attribute '{name}' is {value:?}, not {kind}")))
    }

    fn required<T>(name: &str, value: Option<T>) -> Result<T, OpError> {
        value.ok_or_else(|| OpError::invalid(format!("the operator lacks the attribute '{name}'")))
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it is absent or no number.
    pub fn int(&self, name: &str) -> Result<i64, OpError> {
        Self::required(name, self.read(name, "a whole number", Value::as_i64)?)
    }

    /// A whole number, `default` if it is absent.
    ///
    /// # Errors
    /// When it is no number.
    pub fn int_or(&self, name: &str, default: i64) -> Result<i64, OpError> {
        Ok(self.read(name, "a whole number", Value::as_i64)?.unwrap_or(default))
    }

    /// A whole number of 1 or more.
    ///
    /// # Errors
    /// When it is absent or another number.
    pub fn positive(&self, name: &str) -> Result<usize, OpError> {
        let number = self.int(name)?;
        usize::try_from(number).ok().filter(|&n| n > 0).ok_or_else(|| {
            OpError::invalid(format!("the attribute '{name}' is {number}, it must be at least 1"))
        })
    }

    /// A number.
    ///
    /// # Errors
    /// When it is absent or no number.
    pub fn float(&self, name: &str) -> Result<f64, OpError> {
        Self::required(name, self.read(name, "a number", Value::as_f64)?)
    }

    /// A number, `default` if it is absent.
    ///
    /// # Errors
    /// When it is no number.
    pub fn float_or(&self, name: &str, default: f64) -> Result<f64, OpError> {
        Ok(self.read(name, "a number", Value::as_f64)?.unwrap_or(default))
    }

    /// A truth value, `default` if it is absent.
    ///
    /// # Errors
    /// When it is neither a truth value nor a number.
    pub fn bool_or(&self, name: &str, default: bool) -> Result<bool, OpError> {
        Ok(self.read(name, "a truth value", Value::as_bool)?.unwrap_or(default))
    }

    /// Text.
    ///
    /// # Errors
    /// When it is absent or no text.
    pub fn text(&self, name: &str) -> Result<&'a str, OpError> {
        Self::required(name, self.read(name, "text", Value::as_str)?)
    }

    /// Whole numbers in order.
    ///
    /// # Errors
    /// When they are absent or no list of numbers.
    pub fn ints(&self, name: &str) -> Result<Vec<i64>, OpError> {
        let list = |value: &Value<'a>| value.as_vector()?.iter().map(Value::as_i64).collect();
        Self::required(name, self.read(name, "a list of whole numbers", list)?)
    }

    /// Numbers in order.
    ///
    /// # Errors
    /// When they are absent or no list of numbers.
    pub fn floats(&self, name: &str) -> Result<Vec<f64>, OpError> {
        let list = |value: &Value<'a>| value.as_vector()?.iter().map(Value::as_f64).collect();
        Self::required(name, self.read(name, "a list of numbers", list)?)
    }

    /// Bytes of a blob or of text.
    ///
    /// # Errors
    /// When they are absent or neither.
    pub fn bytes(&self, name: &str) -> Result<&'a [u8], OpError> {
        Self::required(name, self.read(name, "bytes", Value::as_bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_say_what_is_wrong() {
        let list = Value::Vector(vec![Value::Int(2), Value::UInt(3)]);
        let map = Value::Map(vec![("f", Value::Float(1.5)), ("i", Value::Int(-2)), ("l", list)]);
        let bytes = flexbuffers::encode(&map);
        let attributes = Attributes::parse(&bytes).unwrap();
        assert_eq!((attributes.int("i").unwrap(), attributes.float("i").unwrap()), (-2, -2.0));
        assert_eq!((attributes.int("f").unwrap(), attributes.int_or("x", 7).unwrap()), (1, 7));
        assert_eq!(attributes.ints("l").unwrap(), [2, 3]);
        let errors = [attributes.int("x"), attributes.int("l"), attributes.positive("i").map(|n| n as i64)];
        let errors = errors.map(|e| e.unwrap_err().to_string());
        assert!(errors[0].contains("lacks") && errors[1].contains("'l'") && errors[2].contains("at least 1"));
        assert!(Attributes::parse(&[1, 2, 3]).is_err());
        assert!(Attributes::parse(&[]).unwrap().get("i").is_none());
    }
}
