//! Tensors as arrays, and back.
//!
//! | tensor | array |
//! | --- | --- |
//! | string | byte strings; read also from Python strings, in UTF-8 |
//! | bfloat16 | uint16, the same bits; read also from raw bytes, as `ml_dtypes` saves it |
//! | float8 | uint8, the same bits, likewise |
//! | int2, int4, uint4 | int8 or uint8, one element each |
//! | all other numbers and bool | the same type |
//!
//! Resources and variants have no value of their own and so no array.

use crate::npz::{Array, Element};
use ferrolite::element::{F8E4M3Fn, F8E5M2};
use ferrolite::{TensorType, strings};
use half::{bf16, f16};

/// The element that stands for `dtype`; for strings, of the shortest width.
pub fn element_of(dtype: TensorType) -> Option<Element> {
    Some(match dtype {
        TensorType::Bool => Element::Bool,
        TensorType::Int8 | TensorType::Int4 | TensorType::Int2 => Element::Int8,
        TensorType::Int16 => Element::Int16,
        TensorType::Int32 => Element::Int32,
        TensorType::Int64 => Element::Int64,
        TensorType::UInt8 | TensorType::UInt4 | TensorType::Float8E4M3Fn | TensorType::Float8E5M2 => {
            Element::Uint8
        }
        TensorType::UInt16 | TensorType::BFloat16 => Element::Uint16,
        TensorType::UInt32 => Element::Uint32,
        TensorType::UInt64 => Element::Uint64,
        TensorType::Float16 => Element::Float16,
        TensorType::Float32 => Element::Float32,
        TensorType::Float64 => Element::Float64,
        TensorType::Complex64 => Element::Complex64,
        TensorType::Complex128 => Element::Complex128,
        TensorType::String => Element::Bytes(1),
        TensorType::Resource | TensorType::Variant => return None,
    })
}

/// The array of a tensor's content; `None` when it has none or the bytes are not those of the
/// shape (as in sparse constants).
pub fn to_array(dtype: TensorType, shape: &[usize], bytes: &[u8]) -> Option<Array> {
    let element = element_of(dtype)?;
    if dtype == TensorType::String {
        let decoded: Vec<Vec<u8>> = strings::decode(bytes).ok()?.into_iter().map(<[u8]>::to_vec).collect();
        return Array::from_strings(shape.to_vec(), &decoded);
    }
    let bytes = match packed_bits(dtype) {
        Some(bits) => unpack(bytes, bits, signed(dtype), shape.iter().product()),
        None => bytes.to_vec(),
    };
    Array::new(element, shape.to_vec(), bytes)
}

/// The bytes that a tensor of type `dtype` takes from `array`, which must be of its element.
///
/// # Errors
/// A sentence saying which element the tensor takes.
pub fn to_bytes(dtype: TensorType, array: &Array) -> Result<Vec<u8>, String> {
    let expected = element_of(dtype).ok_or_else(|| format!("takes a {dtype}, which no array can hold"))?;
    if let (Element::Bytes(_), Some(values)) = (expected, array.strings()) {
        return strings::encode(&values).map_err(|e| e.to_string());
    }
    if array.element() != expected {
        let name = if dtype == TensorType::String { "bytes (S)".to_owned() } else { expected.to_string() };
        return Err(format!("takes {name} but is given {}; convert it with .astype", array.element()));
    }
    Ok(match packed_bits(dtype) {
        Some(bits) => pack(array.bytes(), bits),
        None => array.bytes().to_vec(),
    })
}

/// The elements as real numbers; complex numbers as their two parts. `None` for strings.
pub fn numbers(dtype: TensorType, array: &Array) -> Option<Vec<f64>> {
    let bytes = array.bytes();
    macro_rules! decode {
        ($t:ty) => {
            bytes
                .as_chunks::<{ size_of::<$t>() }>()
                .0
                .iter()
                .map(|b| <$t>::from_le_bytes(*b) as f64)
                .collect()
        };
    }
    // Types whose bits are stored as those of an integer.
    match dtype {
        TensorType::BFloat16 => {
            return Some(bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f64()).collect());
        }
        TensorType::Float8E4M3Fn => {
            return Some(bytes.iter().map(|&b| F8E4M3Fn::from_bits(b).to_f32().into()).collect());
        }
        TensorType::Float8E5M2 => {
            return Some(bytes.iter().map(|&b| F8E5M2::from_bits(b).to_f32().into()).collect());
        }
        _ => {}
    }
    Some(match array.element() {
        Element::Bool | Element::Uint8 => decode!(u8),
        Element::Int8 => decode!(i8),
        Element::Int16 => decode!(i16),
        Element::Int32 => decode!(i32),
        Element::Int64 => decode!(i64),
        Element::Uint16 => decode!(u16),
        Element::Uint32 => decode!(u32),
        Element::Uint64 => decode!(u64),
        Element::Float16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f64()).collect(),
        Element::Float32 | Element::Complex64 => decode!(f32),
        Element::Float64 | Element::Complex128 => decode!(f64),
        Element::Bytes(_) => return None,
    })
}

/// Bits of an element that shares its byte with others.
fn packed_bits(dtype: TensorType) -> Option<usize> {
    dtype.bits().filter(|&bits| bits < 8)
}

fn signed(dtype: TensorType) -> bool {
    matches!(dtype, TensorType::Int4 | TensorType::Int2)
}

/// The first `count` elements, lowest bits first, each in a byte of its own.
fn unpack(bytes: &[u8], bits: usize, signed: bool, count: usize) -> Vec<u8> {
    let unused = 8 - bits;
    let element = |byte: u8, place: usize| {
        let high = byte << (unused - place * bits);
        if signed { (high.cast_signed() >> unused).cast_unsigned() } else { high >> unused }
    };
    bytes.iter().flat_map(|&byte| (0..8 / bits).map(move |place| element(byte, place))).take(count).collect()
}

/// The reverse of [`unpack`]; bits beyond an element's own are dropped.
fn pack(elements: &[u8], bits: usize) -> Vec<u8> {
    let mask = (1u8 << bits) - 1;
    let byte = |group: &[u8]| {
        group.iter().enumerate().fold(0, |byte, (place, element)| byte | (element & mask) << (place * bits))
    };
    elements.chunks(8 / bits).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_elements_are_spread_and_gathered() {
        let rows: &[(&str, TensorType, &[u8], &[i8])] = &[
            ("int4", TensorType::Int4, &[0x7f, 0x08], &[-1, 7, -8]),
            ("uint4", TensorType::UInt4, &[0xf0, 0x02], &[0, 15, 2]),
            ("int2", TensorType::Int2, &[0b11_01_10_00], &[0, -2, 1]),
        ];
        for (name, dtype, packed, elements) in rows {
            let array = to_array(*dtype, &[3], packed).expect(name);
            let expected: Vec<u8> = elements.iter().map(|e| e.cast_unsigned()).collect();
            assert_eq!(array.bytes(), expected, "{name}");
            let again = to_array(*dtype, &[3], &to_bytes(*dtype, &array).expect(name)).expect(name);
            assert_eq!(again, array, "{name}");
        }
    }

    #[test]
    fn every_type_goes_there_and_back() {
        let wrong: Vec<_> = TensorType::ALL
            .iter()
            .filter(|dtype| {
                let bytes = match dtype {
                    TensorType::String => strings::encode(&["one", ""]).expect("small"),
                    TensorType::Int2 => vec![0b10_01],
                    other => (0..other.byte_len(2).unwrap_or(0)).map(|i| i as u8 + 1).collect(),
                };
                let back = to_array(**dtype, &[2], &bytes).map(|array| to_bytes(**dtype, &array));
                match element_of(**dtype) {
                    Some(_) => back != Some(Ok(bytes)),
                    None => back.is_some(),
                }
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn other_elements_are_refused_by_name() {
        let array = Array::new(Element::Int64, vec![1], vec![0; 8]).expect("sized");
        for (dtype, expected) in [(TensorType::Int32, "int32"), (TensorType::String, "bytes (S)")] {
            let refusal = to_bytes(dtype, &array).expect_err("another element");
            assert!(refusal.contains(expected) && refusal.contains("int64"), "{refusal}");
        }
    }

    #[test]
    fn numbers_of_each_kind() {
        type Row<'a> = (&'a str, TensorType, Vec<u8>, Option<&'a [f64]>);
        let rows: &[Row<'_>] = &[
            ("bfloat16", TensorType::BFloat16, bf16::from_f32(-2.5).to_le_bytes().to_vec(), Some(&[-2.5])),
            ("float16", TensorType::Float16, f16::from_f32(0.5).to_le_bytes().to_vec(), Some(&[0.5])),
            ("uint16", TensorType::UInt16, vec![1, 1], Some(&[257.0])),
            ("int8", TensorType::Int8, vec![0xff], Some(&[-1.0])),
            ("bool", TensorType::Bool, vec![1], Some(&[1.0])),
            ("float8_e5m2", TensorType::Float8E5M2, vec![0xbd], Some(&[-1.25])),
            ("float8_e4m3fn", TensorType::Float8E4M3Fn, vec![0x7e], Some(&[448.0])),
        ];
        for (name, dtype, bytes, expected) in rows {
            let array = to_array(*dtype, &[1], bytes).expect(name);
            assert_eq!(numbers(*dtype, &array).as_deref(), *expected, "{name}");
        }
    }
}
