//! Random values for inputs that were not given.

use crate::random::Random;
use ferrolite::{TensorMeta, TensorType, strings};
use half::{bf16, f16};

/// Content of a tensor of this shape; `None` for types that have no values of their own or whose size overflows.
///
/// * Floats lie in -1.0..1.0.
/// * Quantized integers, and bytes, take every value they can.
/// * Other integers are 0 or 1, which stays valid where a model takes them for indices into a table.
/// * Strings have up to eight lower-case letters.
pub fn random_bytes(meta: &TensorMeta, shape: &[usize], random: &mut Random) -> Option<Vec<u8>> {
    let count = shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent))?;
    if meta.dtype == TensorType::String {
        let words: Vec<Vec<u8>> = (0..count).map(|_| word(random)).collect();
        return strings::encode(&words).ok();
    }
    let len = meta.dtype.byte_len(count)?;
    let quantized = meta.quantization.as_ref().is_some_and(|q| !q.scale.is_empty());
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let small = random.below(2) as u8;
        match meta.dtype {
            TensorType::Float32 | TensorType::Complex64 => bytes.extend(random.symmetric().to_le_bytes()),
            TensorType::Float64 | TensorType::Complex128 => {
                bytes.extend(f64::from(random.symmetric()).to_le_bytes());
            }
            TensorType::Float16 => bytes.extend(f16::from_f32(random.symmetric()).to_le_bytes()),
            TensorType::BFloat16 => bytes.extend(bf16::from_f32(random.symmetric()).to_le_bytes()),
            TensorType::Bool => bytes.push(small),
            // Both float8 formats: exponents below the bias, so magnitudes below one.
            TensorType::Float8E4M3Fn => bytes.push(random.below(0x38) as u8 | small << 7),
            TensorType::Float8E5M2 => bytes.push(random.below(0x3c) as u8 | small << 7),
            TensorType::UInt8
            | TensorType::Int8
            | TensorType::Int4
            | TensorType::UInt4
            | TensorType::Int2 => {
                bytes.push(random.bits() as u8);
            }
            TensorType::Int16 if quantized => bytes.extend((random.bits() as u16).to_le_bytes()),
            TensorType::Int32 if quantized => bytes.extend((random.bits() as u32).to_le_bytes()),
            integer => {
                let width = integer.byte_len(1)?;
                bytes.push(small);
                bytes.resize(bytes.len() + width - 1, 0);
            }
        }
    }
    Some(bytes)
}

fn word(random: &mut Random) -> Vec<u8> {
    (0..random.below(9)).map(|_| b'a' + random.below(26) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::{numbers, to_array};
    use ferrolite::Quantization;
    use std::sync::Arc;

    fn meta(dtype: TensorType, quantized: bool) -> TensorMeta {
        let quantization = quantized.then(|| Arc::new(Quantization::per_tensor(0.5, 0)));
        TensorMeta {
            name: String::new(),
            index: 0,
            dtype,
            shape: vec![],
            shape_signature: vec![],
            quantization,
        }
    }

    #[test]
    fn values_lie_in_their_ranges() {
        use TensorType::*;
        let rows = [
            (Float32, false, -1.0, 1.0),
            (Float16, false, -1.0, 1.0),
            (BFloat16, false, -1.0, 1.0),
            (Float64, false, -1.0, 1.0),
            (Complex64, false, -1.0, 1.0),
            (Float8E4M3Fn, false, -0.9375, 0.9375),
            (Float8E5M2, false, -0.875, 0.875),
            (Bool, false, 0.0, 1.0),
            (Int32, false, 0.0, 1.0),
            (UInt64, false, 0.0, 1.0),
            (Int8, true, -128.0, 127.0),
            (UInt8, false, 0.0, 255.0),
            (Int16, true, -32768.0, 32767.0),
            (Int4, true, -8.0, 7.0),
            (UInt4, true, 0.0, 15.0),
            (Int2, true, -2.0, 1.0),
        ];
        let wrong: Vec<_> = rows
            .iter()
            .filter_map(|&(dtype, quantized, low, high)| {
                let shape = [50, 41];
                let bytes = random_bytes(&meta(dtype, quantized), &shape, &mut Random::new(3))?;
                let values = numbers(dtype, &to_array(dtype, &shape, &bytes)?)?;
                let (min, max) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
                let spread = (max - min) / (high - low);
                (min < low || max > high || spread < 0.98).then_some((dtype, min, max))
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn every_type_with_values_can_be_filled() {
        for &dtype in TensorType::ALL {
            let filled = random_bytes(&meta(dtype, false), &[3], &mut Random::new(0));
            let expected = !matches!(dtype, TensorType::Resource | TensorType::Variant);
            assert_eq!(
                filled.is_some_and(|bytes| to_array(dtype, &[3], &bytes).is_some()),
                expected,
                "{dtype}"
            );
        }
        let scalar = random_bytes(&meta(TensorType::Float32, false), &[], &mut Random::new(0));
        assert_eq!(scalar.map(|bytes| bytes.len()), Some(4));
        let huge = random_bytes(&meta(TensorType::Float32, false), &[usize::MAX, 2], &mut Random::new(0));
        assert_eq!(huge, None);
    }
}
