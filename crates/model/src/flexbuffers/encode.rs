//! Writing, in the plainest form: every slot is eight bytes wide.

use super::Value;

/// Width of every slot.
const WIDTH: usize = 8;
/// The same in the two bits of a packed type.
const PACKED_WIDTH: u8 = 3;

/// The bytes of a value. Keys of maps are sorted, as readers that search them expect, and end at their first zero byte.
pub fn encode(value: &Value<'_>) -> Vec<u8> {
    let mut writer = Writer { bytes: Vec::new() };
    let slot = writer.value(value);
    writer.align();
    writer.slot(slot);
    writer.bytes.extend([slot.packed(), 8]);
    writer.bytes
}

struct Writer {
    bytes: Vec<u8>,
}

/// What a slot holds: a number in place, or the position of what was written already.
#[derive(Clone, Copy)]
enum Slot {
    Inline { kind: u8, bits: u64 },
    At { kind: u8, position: usize },
}

impl Slot {
    fn packed(self) -> u8 {
        let (Self::Inline { kind, .. } | Self::At { kind, .. }) = self;
        kind << 2 | PACKED_WIDTH
    }
}

impl Writer {
    fn value(&mut self, value: &Value<'_>) -> Slot {
        match value {
            Value::Null => Slot::Inline { kind: 0, bits: 0 },
            Value::Int(number) => Slot::Inline { kind: 1, bits: number.cast_unsigned() },
            Value::UInt(number) => Slot::Inline { kind: 2, bits: *number },
            Value::Float(number) => Slot::Inline { kind: 3, bits: number.to_bits() },
            Value::Bool(value) => Slot::Inline { kind: 26, bits: u64::from(*value) },
            Value::String(text) => {
                let position = self.sized(text.as_bytes());
                self.bytes.push(0);
                Slot::At { kind: 5, position }
            }
            Value::Blob(bytes) => Slot::At { kind: 25, position: self.sized(bytes) },
            Value::Vector(values) => {
                let slots: Vec<_> = values.iter().map(|value| self.value(value)).collect();
                self.align();
                Slot::At { kind: 10, position: self.vector(&slots) }
            }
            Value::Map(entries) => self.map(entries),
        }
    }

    fn map(&mut self, entries: &[(&str, Value<'_>)]) -> Slot {
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.as_bytes());
        let keys: Vec<_> = entries.iter().map(|(key, _)| self.key(key)).collect();
        let values: Vec<_> = entries.iter().map(|(_, value)| self.value(value)).collect();
        self.align();
        self.word(keys.len());
        let keys_at = self.bytes.len();
        keys.iter().for_each(|&key| self.slot(key));
        self.slot(Slot::At { kind: 14, position: keys_at });
        self.word(WIDTH);
        Slot::At { kind: 9, position: self.vector(&values) }
    }

    fn key(&mut self, key: &str) -> Slot {
        let position = self.bytes.len();
        self.bytes.extend(key.bytes().take_while(|&byte| byte != 0));
        self.bytes.push(0);
        Slot::At { kind: 4, position }
    }

    fn sized(&mut self, bytes: &[u8]) -> usize {
        self.align();
        self.word(bytes.len());
        let position = self.bytes.len();
        self.bytes.extend(bytes);
        position
    }

    /// A length, slots, and their types. Returns where the slots begin.
    fn vector(&mut self, slots: &[Slot]) -> usize {
        self.word(slots.len());
        let position = self.bytes.len();
        slots.iter().for_each(|&slot| self.slot(slot));
        self.bytes.extend(slots.iter().map(|slot| slot.packed()));
        position
    }

    fn slot(&mut self, slot: Slot) {
        match slot {
            Slot::Inline { bits, .. } => self.bytes.extend(bits.to_le_bytes()),
            Slot::At { position, .. } => self.word(self.bytes.len().saturating_sub(position)),
        }
    }

    fn word(&mut self, number: usize) {
        // An address always fits 64 bits.
        self.bytes.extend(u64::try_from(number).unwrap_or(u64::MAX).to_le_bytes());
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(WIDTH), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::Value::{self, *};
    use super::encode;

    #[test]
    fn written_values_read_back() {
        let inner = Map(vec![
            ("", Null),
            ("a", Vector(vec![Int(-1), UInt(u64::MAX), Float(0.5)])),
            ("b", Bool(true)),
        ]);
        let rows: [Value<'_>; 6] = [
            Null,
            Int(i64::MIN),
            String("naïve"),
            Blob(&[0, 1, 255]),
            Vector(vec![String(""), Blob(&[]), Vector(vec![]), Map(vec![])]),
            Map(vec![("nested", inner.clone()), ("twice", Vector(vec![inner.clone(), inner]))]),
        ];
        for value in rows {
            assert_eq!(parse(&encode(&value)), Ok(value));
        }
    }

    #[test]
    fn numbers_convert() {
        assert_eq!(Float(2.9).as_i64(), Some(2));
        assert_eq!(Float(9.3e18).as_i64(), None);
        assert_eq!(Float(f64::NAN).as_i64(), None);
        assert_eq!(UInt(u64::MAX).as_i64(), None);
        assert_eq!(UInt(u64::MAX).as_f64(), Some(18_446_744_073_709_551_616.0));
        assert_eq!(Bool(true).as_i64(), Some(1));
        assert_eq!(Int(0).as_bool(), Some(false));
        assert_eq!(String("1").as_i64(), None);
    }
}
