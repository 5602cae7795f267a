//! Checkpoints of one file, which the operators Save and Restore of TensorFlow 1 write and read: a table whose first entry
//! describes the tensors and whose other entries hold their slices.
//!
//! Source: `tensorflow/core/util/saved_tensor_slice.proto`, `saved_tensor_slice_util.cc` (keys), `ordered_code.h`.

use std::path::Path;

use ferrolite_ops::{Shape, TensorType, TensorValue, strings};

use super::files::{load, save};
use super::{CheckpointError, table};
use crate::node_def::{tensor_type, type_number};
use crate::wire::{Field, Reader, WireError, Writer};

/// Appends `value` in as few bytes as its order needs: the number of bytes, then the bytes, greatest first.
fn ordered_number(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    let skipped = (value.leading_zeros() / 8) as usize;
    out.push((bytes.len() - skipped) as u8);
    out.extend_from_slice(&bytes[skipped..]);
}

/// Appends text so that its order is kept: 0 and 255 escaped, 0 1 at the end.
fn ordered_text(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            0 => out.extend_from_slice(&[0, 255]),
            255 => out.extend_from_slice(&[255, 0]),
            other => out.push(other),
        }
    }
    out.extend_from_slice(&[0, 1]);
}

/// Appends a signed number that is 0 or -1, the only ones in the key of a whole tensor.
fn ordered_small(out: &mut Vec<u8>, value: i8) {
    // One byte: the sign bit inverted, six bits of value.
    out.push((value as u8) ^ 0x80);
}

/// The key of the slice that is all of a tensor.
fn key(name: &str, rank: usize) -> Vec<u8> {
    let mut out = Vec::new();
    ordered_number(&mut out, 0);
    ordered_text(&mut out, name.as_bytes());
    ordered_number(&mut out, rank as u64);
    for _ in 0..rank {
        ordered_small(&mut out, 0);
        ordered_small(&mut out, -1);
    }
    out
}

fn shape_message(shape: &Shape) -> Vec<u8> {
    let mut out = Writer::default();
    for &dim in shape.iter() {
        let mut size = Writer::default();
        size.varint(1, dim as u64);
        out.bytes(2, &size.finish());
    }
    out.finish()
}

/// A `TensorSliceProto` of all of a tensor: an empty extent per dimension.
fn whole_slice(rank: usize) -> Vec<u8> {
    let mut out = Writer::default();
    for _ in 0..rank {
        out.bytes(1, &[]);
    }
    out.finish()
}

/// The fields of a `TensorProto` that hold elements of each type, as the file packs them.
fn tensor_message(value: &TensorValue) -> Result<Vec<u8>, CheckpointError> {
    fn signed<T: Copy + Into<i64>>(values: &[T]) -> Vec<u8> {
        let mut out = Vec::new();
        values.iter().for_each(|&v| Writer::varint_to(&mut out, v.into().cast_unsigned()));
        out
    }
    let number = type_number(value.dtype()).unwrap_or_default();
    let mut out = Writer::default();
    out.varint(1, number as u64);
    match value.dtype() {
        TensorType::Float32 => out.bytes(5, value.bytes()),
        TensorType::Float64 => out.bytes(6, value.bytes()),
        TensorType::Int32 => out.bytes(7, &signed(value.elements::<i32>()?)),
        TensorType::Int16 => out.bytes(7, &signed(value.elements::<i16>()?)),
        TensorType::Int8 => out.bytes(7, &signed(value.elements::<i8>()?)),
        TensorType::UInt8 => out.bytes(7, &signed(value.elements::<u8>()?)),
        TensorType::Int64 => out.bytes(10, &signed(value.elements::<i64>()?)),
        TensorType::Bool => out.bytes(11, value.bytes()),
        TensorType::String => {
            for text in strings::decode(value.bytes())? {
                out.bytes(8, text);
            }
        }
        other => {
            return Err(CheckpointError::new(format!(
                "type {other} has no place in a checkpoint of one file"
            )));
        }
    }
    Ok(out.finish())
}

/// Writes a checkpoint of one file, whole or not at all.
///
/// # Errors
/// When a type has no place in it, or the file system refuses.
pub fn write_v1<'a>(
    path: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (&'a str, &'a TensorValue)>,
) -> Result<(), CheckpointError> {
    let mut meta = Writer::default();
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (name, value) in tensors {
        let rank = value.shape().rank();
        let about =
            |e: CheckpointError| CheckpointError::new(format!("tensor '{name}' cannot be saved: {e}"));
        let mut entry = Writer::default();
        entry.bytes(1, name.as_bytes());
        entry.bytes(2, &shape_message(value.shape()));
        entry.varint(3, type_number(value.dtype()).unwrap_or_default() as u64);
        entry.bytes(4, &whole_slice(rank));
        meta.bytes(1, &entry.finish());
        let mut slice = Writer::default();
        slice.bytes(1, name.as_bytes());
        slice.bytes(2, &whole_slice(rank));
        slice.bytes(3, &tensor_message(value).map_err(about)?);
        let mut record = Writer::default();
        record.bytes(2, &slice.finish());
        pairs.push((key(name, rank), record.finish()));
    }
    let mut version = Writer::default();
    version.varint(1, 1);
    meta.bytes(2, &version.finish());
    let mut record = Writer::default();
    record.bytes(1, &meta.finish());
    pairs.push((Vec::new(), record.finish()));
    pairs.sort();
    if pairs.windows(2).any(|p| p[0].0 == p[1].0) {
        return Err(CheckpointError::new("two tensors to be saved have the same name"));
    }
    save(path.as_ref(), &table::write(pairs.iter().map(|(k, v)| (k.as_slice(), v.as_slice()))))
}

fn element_bytes(dtype: TensorType, fields: &[(u32, Field<'_>)], count: usize) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::new();
    let integers = |number: u32, mut push: Box<dyn FnMut(u64) + '_>| -> Result<(), WireError> {
        for (_, field) in fields.iter().filter(|(n, _)| *n == number) {
            field.varints()?.into_iter().for_each(&mut push);
        }
        Ok(())
    };
    match dtype {
        TensorType::Float32 | TensorType::Float64 => {
            let number = if dtype == TensorType::Float32 { 5 } else { 6 };
            for (_, field) in fields.iter().filter(|(n, _)| *n == number) {
                match field {
                    Field::Bytes(bytes) => out.extend_from_slice(bytes),
                    Field::Fixed32(bits) => out.extend_from_slice(&bits.to_le_bytes()),
                    Field::Fixed64(bits) => out.extend_from_slice(&bits.to_le_bytes()),
                    Field::Varint(_) => return Err(WireError),
                }
            }
        }
        TensorType::Int32 => integers(7, Box::new(|v| out.extend_from_slice(&(v as i32).to_le_bytes())))?,
        TensorType::Int16 => integers(7, Box::new(|v| out.extend_from_slice(&(v as i16).to_le_bytes())))?,
        TensorType::Int8 | TensorType::UInt8 => integers(7, Box::new(|v| out.push(v as u8)))?,
        TensorType::Int64 => integers(10, Box::new(|v| out.extend_from_slice(&v.to_le_bytes())))?,
        TensorType::Bool => integers(11, Box::new(|v| out.push(u8::from(v != 0))))?,
        TensorType::String => {
            let texts: Result<Vec<&[u8]>, _> =
                fields.iter().filter(|(n, _)| *n == 8).map(|(_, f)| f.bytes()).collect();
            return strings::encode(&texts?).map_err(|_| WireError);
        }
        _ => return Err(WireError),
    }
    // Equal elements at the end are stored once.
    let size = dtype.byte_len(1).unwrap_or(1);
    let want = count.checked_mul(size).filter(|_| size > 0).ok_or(WireError)?;
    if out.len() < want && out.len() >= size && out.len().is_multiple_of(size) {
        let last = out[out.len() - size..].to_vec();
        while out.len() < want {
            out.extend_from_slice(&last);
        }
    }
    Ok(out)
}

/// Reads a tensor of a checkpoint of one file.
///
/// # Errors
/// When the file is missing or damaged, or the tensor is not in it or stored in slices.
pub fn read_v1(path: impl AsRef<Path>, name: &str) -> Result<TensorValue, CheckpointError> {
    let path = path.as_ref();
    let about = |what: &dyn core::fmt::Display| {
        CheckpointError::new(format!("tensor '{name}' of the checkpoint {}: {what}", path.display()))
    };
    let pairs = table::read(&load(path)?).map_err(|e| about(&e))?;
    let bad = |_: WireError| about(&"its entry is damaged");
    let find = |key: &[u8]| pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_slice());
    let meta = find(b"").ok_or_else(|| about(&"the file describes no tensors"))?;
    let (dtype, shape) =
        described(meta, name).map_err(bad)?.ok_or_else(|| about(&"there is no such tensor"))?;
    let record = find(&key(name, shape.rank())).ok_or_else(|| about(&"it is stored in slices"))?;
    let mut message: &[u8] = &[];
    for field in Reader::new(record) {
        if let (2, slice) = field.map_err(bad)? {
            for field in Reader::new(slice.bytes().map_err(bad)?) {
                if let (3, data) = field.map_err(bad)? {
                    message = data.bytes().map_err(bad)?;
                }
            }
        }
    }
    let fields: Vec<(u32, Field<'_>)> = Reader::new(message).collect::<Result<_, _>>().map_err(bad)?;
    let count = shape.num_elements().map_err(|e| about(&e))?;
    if dtype.byte_len(count).is_some_and(|len| len > message.len().saturating_mul(1 << 16)) {
        return Err(about(&"its entry is damaged"));
    }
    let bytes = element_bytes(dtype, &fields, count).map_err(bad)?;
    TensorValue::from_bytes(dtype, shape, &bytes).map_err(|e| about(&e))
}

/// Type and shape of a tensor in the file's description.
fn described(record: &[u8], name: &str) -> Result<Option<(TensorType, Shape)>, WireError> {
    for field in Reader::new(record) {
        let (1, meta) = field? else { continue };
        for field in Reader::new(meta.bytes()?) {
            let (1, tensor) = field? else { continue };
            let (mut own, mut number, mut dims) = ("", 0, Vec::new());
            for field in Reader::new(tensor.bytes()?) {
                match field? {
                    (1, v) => own = v.text()?,
                    (2, v) => dims = crate::node_def::shape_of(v.bytes()?)?.ok_or(WireError)?,
                    (3, v) => number = i32::try_from(v.varint()?).map_err(|_| WireError)?,
                    _ => {}
                }
            }
            if own == name {
                let dims = dims.into_iter().map(usize::try_from).collect::<Result<Shape, _>>();
                let dtype = tensor_type(number).ok_or(WireError)?;
                return Ok(Some((dtype, dims.map_err(|_| WireError)?)));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        let texts = strings::encode(&[b"x".as_slice(), b"yz"]).unwrap();
        let tensors = [
            ("a", TensorValue::from_elements([2].into(), &[1.5f32, -2.0]).unwrap()),
            ("b/c", TensorValue::from_elements(Shape::scalar(), &[-7i64]).unwrap()),
            ("d", TensorValue::from_elements([3].into(), &[-1i32, 0, 300]).unwrap()),
            ("t", TensorValue::from_bytes(TensorType::String, [2].into(), &texts).unwrap()),
        ];
        write_v1(&path, tensors.iter().map(|(n, v)| (*n, v))).unwrap();
        for (name, value) in &tensors {
            let read = read_v1(&path, name).unwrap();
            assert_eq!((read.shape(), read.bytes()), (value.shape(), value.bytes()), "{name}");
        }
        assert!(read_v1(&path, "e").unwrap_err().to_string().contains("'e'"));
    }
}
