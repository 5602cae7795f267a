//! Named tensors as safetensors and as JSON.
//!
//! The format of safetensors is that of <https://huggingface.co/docs/safetensors>. JSON holds an object of
//! `{"dtype", "shape", "data"}` by name, the data flat; floats in JSON keep every bit.

use std::collections::BTreeMap;
use std::path::Path;

use ferrolite_ops::{OpError, Shape, TensorType, TensorValue};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Map, Value, json};

use crate::checkpoint::write_atomically;

/// Tensors by name, sorted.
pub type Weights = BTreeMap<String, TensorValue>;

/// Element types with their counterparts in safetensors.
const TYPES: &[(TensorType, Dtype)] = &[
    (TensorType::Float32, Dtype::F32),
    (TensorType::Float64, Dtype::F64),
    (TensorType::Float16, Dtype::F16),
    (TensorType::BFloat16, Dtype::BF16),
    (TensorType::Int8, Dtype::I8),
    (TensorType::Int16, Dtype::I16),
    (TensorType::Int32, Dtype::I32),
    (TensorType::Int64, Dtype::I64),
    (TensorType::UInt8, Dtype::U8),
    (TensorType::UInt16, Dtype::U16),
    (TensorType::UInt32, Dtype::U32),
    (TensorType::UInt64, Dtype::U64),
    (TensorType::Bool, Dtype::BOOL),
];

fn refused(name: &str, what: &dyn core::fmt::Display) -> OpError {
    OpError::invalid(format!("the weight '{name}' cannot be converted: {what}"))
}

/// The bytes of a safetensors file.
///
/// # Errors
/// When a type has no counterpart in the format; the error names the tensor.
pub fn to_safetensors(weights: &Weights) -> Result<Vec<u8>, OpError> {
    let views = weights.iter().map(|(name, value)| {
        let dtype = TYPES.iter().find(|(t, _)| *t == value.dtype()).map(|(_, d)| *d);
        let dtype = dtype.ok_or_else(|| refused(name, &format!("safetensors have no {}", value.dtype())))?;
        let view = TensorView::new(dtype, value.shape().to_vec(), value.bytes());
        Ok((name.as_str(), view.map_err(|e| refused(name, &e))?))
    });
    let views: Vec<_> = views.collect::<Result<_, OpError>>()?;
    safetensors::serialize(views, None)
        .map_err(|e| OpError::invalid(format!("the weights cannot be written: {e}")))
}

/// Reads the bytes of a safetensors file.
///
/// # Errors
/// When they are none, or a type has no counterpart.
pub fn from_safetensors(bytes: &[u8]) -> Result<Weights, OpError> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| OpError::invalid(format!("the bytes are no safetensors file: {e}")))?;
    let tensor = |(name, view): (String, TensorView<'_>)| {
        let dtype = TYPES.iter().find(|(_, d)| *d == view.dtype()).map(|(t, _)| *t);
        let dtype =
            dtype.ok_or_else(|| refused(&name, &format!("type {:?} has no counterpart", view.dtype())))?;
        let value = TensorValue::from_bytes(dtype, Shape::new(view.shape()), view.data());
        Ok((name.clone(), value.map_err(|e| refused(&name, &e))?))
    };
    file.tensors().into_iter().map(tensor).collect()
}

/// Writes a safetensors file, whole or not at all.
///
/// # Errors
/// Those of [`to_safetensors`], and when the file system refuses.
pub fn write_safetensors(path: &Path, weights: &Weights) -> Result<(), OpError> {
    let bytes = to_safetensors(weights)?;
    write_atomically(path, &bytes)
        .map_err(|e| OpError::runtime(format!("cannot write the weights {}: {e}", path.display())))
}

/// Reads a safetensors file.
///
/// # Errors
/// Those of [`from_safetensors`] with the file's name, and when it cannot be read.
pub fn read_safetensors(path: &Path) -> Result<Weights, OpError> {
    let about = |e: &dyn core::fmt::Display| {
        OpError::runtime(format!("cannot read the weights {}: {e}", path.display()))
    };
    let bytes = std::fs::read(path).map_err(|e| about(&e))?;
    from_safetensors(&bytes).map_err(|e| about(&e))
}

/// The types of JSON's numbers, with how they are read and written.
macro_rules! numbers {
    ($value:expr, $($dtype:ident $t:ty),*) => {
        match $value.dtype() {
            $(TensorType::$dtype => $value.elements::<$t>()?.iter().map(|&v| json!(v)).collect::<Vec<Value>>(),)*
            other => return Err(OpError::unsupported(format!("JSON for {other}"))),
        }
    };
}

/// The weights as JSON. Floats that are not finite are `null`.
///
/// # Errors
/// When a type is neither float32, float64 nor an integer; the error names the tensor.
pub fn to_json(weights: &Weights) -> Result<String, OpError> {
    let mut object = Map::new();
    for (name, value) in weights {
        let elements = || -> Result<Vec<Value>, OpError> {
            Ok(numbers!(
                value, Float32 f32, Float64 f64, Int8 i8, Int16 i16, Int32 i32, Int64 i64, UInt8 u8, UInt16 u16,
                UInt32 u32, UInt64 u64
            ))
        };
        let data = elements().map_err(|e| refused(name, &e))?;
        object.insert(
            name.clone(),
            json!({ "dtype": value.dtype().to_string(), "shape": value.shape().dims(), "data": data }),
        );
    }
    Ok(Value::Object(object).to_string())
}

/// Reads weights from JSON.
///
/// # Errors
/// When the text is no such object; the error names the tensor.
pub fn from_json(text: &str) -> Result<Weights, OpError> {
    let root: Map<String, Value> = serde_json::from_str(text)
        .map_err(|e| OpError::invalid(format!("the text is no JSON object: {e}")))?;
    root.into_iter()
        .map(|(name, entry)| {
            let value = tensor_of(&entry).map_err(|e| refused(&name, &e))?;
            Ok((name, value))
        })
        .collect()
}

fn tensor_of(entry: &Value) -> Result<TensorValue, OpError> {
    let bad = |what: &str| OpError::invalid(format!("its '{what}' is missing or of another kind"));
    let dtype = entry["dtype"].as_str().ok_or_else(|| bad("dtype"))?;
    let dims = entry["shape"].as_array().ok_or_else(|| bad("shape"))?.iter().map(Value::as_u64);
    let shape: Option<Shape> = dims.map(|d| d.and_then(|d| usize::try_from(d).ok())).collect();
    let shape = shape.ok_or_else(|| bad("shape"))?;
    let data = entry["data"].as_array().ok_or_else(|| bad("data"))?;
    let mut bytes = Vec::new();
    macro_rules! read {
        ($($dtype:ident $t:ty),*) => {
            match TensorType::ALL.iter().find(|t| t.to_string() == dtype) {
                $(Some(&TensorType::$dtype) => {
                    for element in data {
                        let number: $t = serde_json::from_value(element.clone()).map_err(|_| bad("data"))?;
                        bytes.extend_from_slice(&number.to_le_bytes());
                    }
                    TensorValue::from_bytes(TensorType::$dtype, shape, &bytes)
                })*
                Some(&dtype @ (TensorType::Float32 | TensorType::Float64)) => {
                    for element in data {
                        let number = if element.is_null() { f64::NAN } else { element.as_f64().ok_or_else(|| bad("data"))? };
                        if dtype == TensorType::Float32 {
                            bytes.extend_from_slice(&(number as f32).to_le_bytes());
                        } else {
                            bytes.extend_from_slice(&number.to_le_bytes());
                        }
                    }
                    TensorValue::from_bytes(dtype, shape, &bytes)
                }
                _ => Err(bad("dtype")),
            }
        };
    }
    read!(Int8 i8, Int16 i16, Int32 i32, Int64 i64, UInt8 u8, UInt16 u16, UInt32 u32, UInt64 u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Weights {
        [
            ("w", TensorValue::from_elements([2, 2].into(), &[0.1f32, -1e-30, 3.4e38, 1.0 / 3.0]).unwrap()),
            ("n", TensorValue::from_elements(Shape::scalar(), &[i64::MIN]).unwrap()),
            ("e", TensorValue::from_elements::<f32>([0].into(), &[]).unwrap()),
        ]
        .into_iter()
        .map(|(n, v)| (n.to_owned(), v))
        .collect()
    }

    fn same(a: &Weights, b: &Weights) -> bool {
        a.len() == b.len()
            && a.iter().zip(b).all(|((n, x), (m, y))| {
                n == m && x.dtype() == y.dtype() && x.shape() == y.shape() && x.bytes() == y.bytes()
            })
    }

    #[test]
    fn round_trips_keep_every_bit() {
        let weights = sample();
        assert!(same(&from_safetensors(&to_safetensors(&weights).unwrap()).unwrap(), &weights));
        assert!(same(&from_json(&to_json(&weights).unwrap()).unwrap(), &weights));
    }

    #[test]
    fn refusals_name_the_weight() {
        let bytes = to_safetensors(&sample()).unwrap();
        assert!(from_safetensors(&bytes[..bytes.len() - 1]).is_err());
        for text in [r#"{"w": 1}"#, r#"{"w": {"dtype": "FLOAT32", "shape": [2], "data": [1]}}"#] {
            assert!(from_json(text).unwrap_err().to_string().contains("'w'"), "{text}");
        }
    }
}
