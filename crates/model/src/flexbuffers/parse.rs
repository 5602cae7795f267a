//! Reading.
//!
//! A value is known by where it stands, how wide its parent's slots are and a byte that packs its type with the width
//! of what it points at. Offsets count backwards from where they stand.

use super::Value;
use crate::error::{ModelError, bail};

/// How deep vectors and maps may nest.
const MAX_DEPTH: usize = 64;

/// Reads the value that `bytes` hold. Text that is no UTF-8, which exporters write for serialized messages, reads as a
/// blob.
///
/// # Errors
/// If anything points outside the bytes, keys are not UTF-8, values nest deeper than 64 or refer to shared parts
/// so often that reading would not end in reasonable time.
pub fn parse(bytes: &[u8]) -> Result<Value<'_>, ModelError> {
    let mut reader = Reader { bytes, budget: bytes.len() };
    match reader.root() {
        Some(value) => Ok(value),
        None => bail!(
            FlexBuffer,
            "{} bytes are no FlexBuffers value, or one that nests too deep; check the exporter of the options",
            bytes.len()
        ),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// How many values may still be read. Each takes a byte of its own unless parts are shared, which exporters do only
    /// for keys.
    budget: usize,
}

/// A slot: its position, its width in bytes, the packed type of its value.
#[derive(Clone, Copy)]
struct Slot {
    at: usize,
    width: usize,
    packed: u8,
}

/// Scalars as elements of typed vectors.
#[derive(Clone, Copy)]
enum Scalar {
    Int,
    UInt,
    Float,
    Key,
    Bool,
}

/// Type codes of the format.
mod code {
    pub const NULL: u8 = 0;
    pub const INT: u8 = 1;
    pub const UINT: u8 = 2;
    pub const FLOAT: u8 = 3;
    pub const KEY: u8 = 4;
    pub const STRING: u8 = 5;
    pub const INDIRECT_INT: u8 = 6;
    pub const INDIRECT_UINT: u8 = 7;
    pub const INDIRECT_FLOAT: u8 = 8;
    pub const MAP: u8 = 9;
    pub const VECTOR: u8 = 10;
    pub const VECTOR_INT: u8 = 11;
    pub const VECTOR_UINT: u8 = 12;
    pub const VECTOR_FLOAT: u8 = 13;
    pub const VECTOR_KEY: u8 = 14;
    /// Vectors of two, three and four scalars without a length.
    pub const VECTOR_INT2: u8 = 16;
    pub const VECTOR_FLOAT4: u8 = 24;
    pub const BLOB: u8 = 25;
    pub const BOOL: u8 = 26;
    pub const VECTOR_BOOL: u8 = 36;
}

impl<'a> Reader<'a> {
    fn root(&mut self) -> Option<Value<'a>> {
        let &[.., packed, width] = self.bytes else { return None };
        let width = usize::from(width);
        if !matches!(width, 1 | 2 | 4 | 8) {
            return None;
        }
        let at = self.bytes.len().checked_sub(2)?.checked_sub(width)?;
        self.value(Slot { at, width, packed }, MAX_DEPTH)
    }

    fn value(&mut self, slot: Slot, depth: usize) -> Option<Value<'a>> {
        self.budget = self.budget.checked_sub(1)?;
        let depth = depth.checked_sub(1)?;
        let Slot { at, width, packed } = slot;
        let (kind, target) = (packed >> 2, 1_usize << (packed & 3));
        let follow = || self.follow(at, width);
        Some(match kind {
            code::NULL => Value::Null,
            code::INT => self.scalar(Scalar::Int, at, width)?,
            code::UINT => self.scalar(Scalar::UInt, at, width)?,
            code::FLOAT => self.scalar(Scalar::Float, at, width)?,
            code::BOOL => self.scalar(Scalar::Bool, at, width)?,
            code::KEY => self.scalar(Scalar::Key, at, width)?,
            code::INDIRECT_INT => self.scalar(Scalar::Int, follow()?, target)?,
            code::INDIRECT_UINT => self.scalar(Scalar::UInt, follow()?, target)?,
            code::INDIRECT_FLOAT => self.scalar(Scalar::Float, follow()?, target)?,
            code::STRING => {
                let bytes = self.sized(follow()?, target)?;
                std::str::from_utf8(bytes).map_or(Value::Blob(bytes), Value::String)
            }
            code::BLOB => Value::Blob(self.sized(follow()?, target)?),
            code::VECTOR => Value::Vector(self.vector(follow()?, target, depth)?),
            code::MAP => self.map(follow()?, target, depth)?,
            _ => self.typed_vector(kind, follow()?, target)?,
        })
    }

    /// Values of any type: a length, slots, then a packed type for each.
    fn vector(&mut self, at: usize, width: usize, depth: usize) -> Option<Vec<Value<'a>>> {
        let len = self.len(at, width)?;
        let types = at.checked_add(len.checked_mul(width)?)?;
        let types = self.bytes.get(types..types.checked_add(len)?)?;
        let slots =
            types.iter().enumerate().map(|(index, &packed)| Slot { at: at + index * width, width, packed });
        slots.map(|slot| self.value(slot, depth)).collect()
    }

    /// A vector of values after a reference to a vector of keys.
    fn map(&mut self, at: usize, width: usize, depth: usize) -> Option<Value<'a>> {
        let keys_slot = at.checked_sub(width.checked_mul(3)?)?;
        let keys = self.follow(keys_slot, width)?;
        let keys_width =
            usize::try_from(self.unsigned(at.checked_sub(width.checked_mul(2)?)?, width)?).ok()?;
        if !matches!(keys_width, 1 | 2 | 4 | 8) {
            return None;
        }
        let values = self.vector(at, width, depth)?;
        if self.len(keys, keys_width)? != values.len() {
            return None;
        }
        let key = |(index, value): (usize, _)| {
            let slot = keys.checked_add(index.checked_mul(keys_width)?)?;
            Some((self.key(self.follow(slot, keys_width)?)?, value))
        };
        values.into_iter().enumerate().map(key).collect::<Option<_>>().map(Value::Map)
    }

    fn typed_vector(&mut self, kind: u8, at: usize, width: usize) -> Option<Value<'a>> {
        let (scalar, len) = match kind {
            code::VECTOR_INT => (Scalar::Int, self.len(at, width)?),
            code::VECTOR_UINT => (Scalar::UInt, self.len(at, width)?),
            code::VECTOR_FLOAT => (Scalar::Float, self.len(at, width)?),
            code::VECTOR_KEY => (Scalar::Key, self.len(at, width)?),
            code::VECTOR_BOOL => (Scalar::Bool, self.len(at, width)?),
            code::VECTOR_INT2..=code::VECTOR_FLOAT4 => {
                let index = kind - code::VECTOR_INT2;
                let scalar = match index % 3 {
                    0 => Scalar::Int,
                    1 => Scalar::UInt,
                    _ => Scalar::Float,
                };
                (scalar, usize::from(index / 3) + 2)
            }
            _ => return None,
        };
        self.bytes.get(at..at.checked_add(len.checked_mul(width)?)?)?;
        self.budget = self.budget.checked_sub(len)?;
        let values = (0..len).map(|index| self.scalar(scalar, at + index * width, width));
        values.collect::<Option<_>>().map(Value::Vector)
    }

    fn scalar(&self, scalar: Scalar, at: usize, width: usize) -> Option<Value<'a>> {
        Some(match scalar {
            Scalar::Int => Value::Int(self.signed(at, width)?),
            Scalar::UInt => Value::UInt(self.unsigned(at, width)?),
            Scalar::Bool => Value::Bool(self.unsigned(at, width)? != 0),
            Scalar::Key => Value::String(self.key(self.follow(at, width)?)?),
            Scalar::Float => match self.bytes.get(at..at.checked_add(width)?)? {
                &[a, b, c, d] => Value::Float(f32::from_le_bytes([a, b, c, d]).into()),
                bytes => Value::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
            },
        })
    }

    /// The length that stands before a vector, text or blob.
    fn len(&self, at: usize, width: usize) -> Option<usize> {
        usize::try_from(self.unsigned(at.checked_sub(width)?, width)?).ok()
    }

    fn sized(&self, at: usize, width: usize) -> Option<&'a [u8]> {
        self.bytes.get(at..at.checked_add(self.len(at, width)?)?)
    }

    /// Text up to a zero byte.
    fn key(&self, at: usize) -> Option<&'a str> {
        let rest = self.bytes.get(at..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(rest.get(..end)?).ok()
    }

    /// Where the offset at a slot points.
    fn follow(&self, at: usize, width: usize) -> Option<usize> {
        at.checked_sub(usize::try_from(self.unsigned(at, width)?).ok()?)
    }

    fn unsigned(&self, at: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let mut wide = [0; 8];
        wide.get_mut(..width)?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(wide))
    }

    fn signed(&self, at: usize, width: usize) -> Option<i64> {
        let unused = 64_usize.checked_sub(width.checked_mul(8)?)?;
        let unused = u32::try_from(unused).ok()?;
        // The sign moves to the top and back, filling what is above it.
        Some(self.unsigned(at, width)?.checked_shl(unused)?.cast_signed() >> unused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Value::*;

    // The bytes were written by another implementation of the format.
    #[test]
    fn values_of_another_writer_are_read() {
        let rows: &[(&str, &[u8], Value<'_>)] = &include!("rows.in");
        let mut failures = Vec::new();
        for (name, bytes, expected) in rows {
            match parse(bytes) {
                Ok(value) if value == *expected => {}
                other => failures.push(format!("{name}: {other:?}, not {expected:?}")),
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    #[test]
    fn broken_bytes_are_refused() {
        let rows: &[(&str, &[u8])] = &[
            ("nothing", &[]),
            ("no root", &[4, 1]),
            ("width 3", &[0, 0, 0, 4, 3]),
            ("width 0", &[0, 0]),
            ("offset before the start", &[9, code::STRING << 2, 1]),
            ("vector in itself", &[1, 0, code::VECTOR << 2, 2, code::VECTOR << 2, 1]),
            ("length beyond the end", &[200, b'a', 1, code::BLOB << 2, 1]),
            ("key without an end", &[1, 1, 1, code::KEY << 2, 1]),
            ("unknown type", &[0, 0, 1, 63 << 2, 1]),
            ("float of one byte", &[1, code::FLOAT << 2, 1]),
        ];
        for (name, bytes) in rows {
            assert!(parse(bytes).is_err(), "{name}: {:?}", parse(bytes));
        }
    }

    #[test]
    fn sharing_is_bounded() {
        // Thirty vectors, each holding the one before twice.
        let mut bytes = vec![0, 0];
        let packed = code::VECTOR << 2;
        let mut target = 2_usize;
        bytes.push(0);
        for _ in 0..30 {
            bytes.push(2);
            let at = bytes.len();
            bytes.extend([u8::try_from(at - target).unwrap(), u8::try_from(at + 1 - target).unwrap()]);
            bytes.extend([packed, packed]);
            target = at;
        }
        bytes.extend([u8::try_from(bytes.len() - target).unwrap(), packed, 1]);
        assert!(parse(&bytes).is_err());
    }
}
