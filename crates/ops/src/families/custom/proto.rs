//! Reading protocol buffers: the wire format's fields, without a schema.
//!
//! The encoding is documented at <https://protobuf.dev/programming-guides/encoding/>. Groups, which no message here has, are
//! refused.

use crate::error::OpError;

/// A field's value as the wire format has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire<'a> {
    /// A number of any length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(u32),
}

/// The fields of a message, in the order in which they were written.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a [u8]);

fn cut() -> OpError {
    OpError::runtime("a protocol buffer ends in the middle of a field: it is damaged, or no protocol buffer")
}

impl<'a> Fields<'a> {
    /// The fields of the message in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn varint(&mut self) -> Result<u64, OpError> {
        let mut number = 0;
        for (i, &byte) in self.0.iter().enumerate().take(10) {
            // Bits beyond the 64th are lost, as in other readers.
            number |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = &self.0[i + 1..];
                return Ok(number);
            }
        }
        Err(cut())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], OpError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or_else(cut)?;
        self.0 = tail;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], OpError> {
        let (head, tail) = self.0.split_first_chunk().ok_or_else(cut)?;
        self.0 = tail;
        Ok(*head)
    }

    fn field(&mut self) -> Result<(u64, Wire<'a>), OpError> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| cut())?;
                Wire::Bytes(self.take(len)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.fixed()?)),
            other => {
                return Err(OpError::runtime(format!("wire type {other} of a protocol buffer is not known")));
            }
        };
        Ok((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), OpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            // Nothing behind an error can be trusted.
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Wire<'a> {
    /// The bytes of a text, bytes or message field.
    ///
    /// # Errors
    /// When the field is a number.
    pub fn bytes(self) -> Result<&'a [u8], OpError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => {
                Err(OpError::runtime(format!("a protocol buffer has {other:?} where it should have bytes")))
            }
        }
    }

    /// Adds the integers of a repeated field, packed or one by one, to `numbers`.
    ///
    /// # Errors
    /// When the field holds something else.
    pub fn integers(self, numbers: &mut Vec<i64>) -> Result<(), OpError> {
        match self {
            Self::Varint(number) => numbers.push(number as i64),
            Self::Bytes(bytes) => {
                let mut packed = Fields(bytes);
                while !packed.0.is_empty() {
                    numbers.push(packed.varint()? as i64);
                }
            }
            other => {
                return Err(OpError::runtime(format!(
                    "a protocol buffer has {other:?} where it should have integers"
                )));
            }
        }
        Ok(())
    }

    /// Adds the floats of a repeated field, packed or one by one, to `numbers`.
    ///
    /// # Errors
    /// When the field holds something else.
    pub fn floats(self, numbers: &mut Vec<f32>) -> Result<(), OpError> {
        match self {
            Self::Fixed32(bits) => numbers.push(f32::from_bits(bits)),
            Self::Bytes(bytes) if bytes.len().is_multiple_of(4) => {
                numbers.extend(bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned::<f32>));
            }
            other => {
                return Err(OpError::runtime(format!(
                    "a protocol buffer has {other:?} where it should have floats"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_type() {
        let bytes = [
            0x08, 0x96, 0x01, // 1: 150
            0x12, 0x02, b'h', b'i', // 2: "hi"
            0x1d, 0, 0, 0x80, 0x3f, // 3: 1.0 in four bytes
            0x21, 1, 0, 0, 0, 0, 0, 0, 0, // 4: 1 in eight bytes
        ];
        let fields: Vec<_> = Fields::new(&bytes).collect::<Result<_, _>>().unwrap();
        let one = Wire::Fixed32(1f32.to_bits());
        assert_eq!(
            fields,
            [(1, Wire::Varint(150)), (2, Wire::Bytes(b"hi")), (3, one), (4, Wire::Fixed64(1))]
        );
        for end in 0..bytes.len() {
            // Every truncation is a shorter message or refused, never a panic.
            let _ = Fields::new(&bytes[..end]).collect::<Result<Vec<_>, _>>();
        }
        assert!(Fields::new(&[0xff; 12]).next().unwrap().is_err(), "an endless number");
        assert!(Fields::new(&[0x0b]).next().unwrap().is_err(), "a group");
        assert!(Fields::new(&[0x0a, 0x05, 1]).next().unwrap().is_err(), "bytes beyond the end");
    }
}
