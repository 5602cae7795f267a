//! The wire format of protocol buffers: fields of a message one after another, each with its number and kind.
//!
//! Reading borrows from the bytes and never panics; writing appends to a vector.
//! Source: the encoding chapter of the Protocol Buffers documentation.

use core::fmt;

/// Bytes that are no protocol buffer message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireError;

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes are no protocol buffer message")
    }
}

/// The value of a field as it lies on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// Integers, booleans and enumerations.
    Varint(u64),
    /// Eight bytes: doubles and fixed integers.
    Fixed64(u64),
    /// Strings, bytes, messages and packed lists.
    Bytes(&'a [u8]),
    /// Four bytes: floats and fixed integers.
    Fixed32(u32),
}

impl<'a> Field<'a> {
    /// The bytes of a length-delimited field.
    ///
    /// # Errors
    /// When the field is of another kind.
    pub fn bytes(self) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError),
        }
    }

    /// The text of a length-delimited field.
    ///
    /// # Errors
    /// When the field is of another kind or not UTF-8.
    pub fn text(self) -> Result<&'a str, WireError> {
        core::str::from_utf8(self.bytes()?).map_err(|_| WireError)
    }

    /// The integer of a varint field.
    ///
    /// # Errors
    /// When the field is of another kind.
    pub fn varint(self) -> Result<u64, WireError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(WireError),
        }
    }

    /// The integers of a repeated varint field, packed or one at a time.
    ///
    /// # Errors
    /// When the field is of another kind.
    pub fn varints(self) -> Result<Vec<u64>, WireError> {
        match self {
            Self::Varint(value) => Ok(vec![value]),
            Self::Bytes(bytes) => {
                let mut reader = Reader::new(bytes);
                let mut values = Vec::new();
                while !reader.rest.is_empty() {
                    values.push(reader.varint()?);
                }
                Ok(values)
            }
            _ => Err(WireError),
        }
    }

    /// The number of a 32-bit field.
    ///
    /// # Errors
    /// When the field is of another kind.
    pub fn fixed32(self) -> Result<u32, WireError> {
        match self {
            Self::Fixed32(value) => Ok(value),
            _ => Err(WireError),
        }
    }
}

/// The fields of a message, in order.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads a message.
    #[must_use]
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WireError)?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first().ok_or(WireError)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.take(N)?.try_into().map_err(|_| WireError)
    }

    fn field(&mut self) -> Result<(u32, Field<'a>), WireError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| WireError)?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| WireError)?;
                Field::Bytes(self.take(len)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(WireError),
        };
        Ok((number, field))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u32, Field<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// A message being written.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Appends an integer in groups of seven bits.
    pub fn varint_to(out: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn tag(&mut self, number: u32, kind: u64) {
        Self::varint_to(&mut self.bytes, u64::from(number) << 3 | kind);
    }

    /// Appends an integer field, unless it is the default, zero.
    pub fn varint(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.tag(number, 0);
            Self::varint_to(&mut self.bytes, value);
        }
    }

    /// Appends a length-delimited field.
    pub fn bytes(&mut self, number: u32, value: &[u8]) {
        self.tag(number, 2);
        Self::varint_to(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// Appends a 32-bit field, unless it is the default, zero.
    pub fn fixed32(&mut self, number: u32, value: u32) {
        if value != 0 {
            self.tag(number, 5);
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// The message.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn round_trip() {
        let mut writer = Writer::default();
        writer.varint(1, 300);
        writer.bytes(2, b"ab");
        writer.fixed32(6, 7);
        writer.varint(3, 0);
        let bytes = writer.finish();
        let fields: Vec<_> = Reader::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(fields, [(1, Field::Varint(300)), (2, Field::Bytes(b"ab")), (6, Field::Fixed32(7))]);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            for field in Reader::new(&bytes).flatten() {
                let _ = field.1.varints();
            }
        }
    }
}
