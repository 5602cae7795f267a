//! Real numbers to and from quantized tensors: `real = scale * (quantized - zero_point)`.

use ferrolite_model::{Quantization, TensorType};
use ferrolite_ops::TensorValue;

use crate::{Error, Result};

/// Scale and zero point of an element, whose channel is its index along the quantized dimension.
struct Affine<'a> {
    quantization: &'a Quantization,
    channels: usize,
    inner: usize,
}

impl<'a> Affine<'a> {
    fn new(quantization: Option<&'a Quantization>, shape: &[usize]) -> Result<Self> {
        let none = || {
            Error::invalid_input("the tensor carries no quantization: read or write its elements as they are")
        };
        let quantization = quantization.filter(|q| !q.scale.is_empty()).ok_or_else(none)?;
        let channels = quantization.scale.len();
        let inner = if channels == 1 {
            1
        } else {
            shape.get(quantization.quantized_dimension + 1..).unwrap_or_default().iter().product()
        };
        Ok(Self { quantization, channels, inner })
    }

    fn at(&self, element: usize) -> (f64, f64) {
        let channel = if self.channels == 1 { 0 } else { element / self.inner.max(1) % self.channels };
        let zero =
            self.quantization.zero_point.get(channel).or(self.quantization.zero_point.first()).copied();
        (f64::from(self.quantization.scale[channel]), zero.unwrap_or(0) as f64)
    }
}

/// Quantizes `real` into a tensor, rounding to nearest with ties away from zero and saturating.
pub(crate) fn write(
    value: &mut TensorValue,
    quantization: Option<&Quantization>,
    real: &[f32],
) -> Result<()> {
    let affine = Affine::new(quantization, value.shape())?;
    let want = value.shape().num_elements()?;
    if real.len() != want {
        return Err(Error::invalid_input(format!(
            "the tensor has {want} elements, {} were given",
            real.len()
        )));
    }
    macro_rules! quantize {
        ($t:ty) => {
            for (i, (q, &x)) in value.elements_mut::<$t>()?.iter_mut().zip(real).enumerate() {
                let (scale, zero) = affine.at(i);
                // `as` saturates, and gives 0 for NaN.
                *q = ((f64::from(x) / scale).round() + zero) as $t;
            }
        };
    }
    match value.dtype() {
        TensorType::Int8 => quantize!(i8),
        TensorType::UInt8 => quantize!(u8),
        TensorType::Int16 => quantize!(i16),
        TensorType::Int32 => quantize!(i32),
        other => return Err(Error::invalid_input(format!("a {other} tensor cannot be written quantized"))),
    }
    Ok(())
}

/// The real numbers that a quantized tensor stands for; a float32 tensor's elements as they are.
pub(crate) fn read(value: &TensorValue, quantization: Option<&Quantization>) -> Result<Vec<f32>> {
    if value.dtype() == TensorType::Float32 {
        return Ok(value.elements::<f32>()?.to_vec());
    }
    let affine = Affine::new(quantization, value.shape())?;
    macro_rules! dequantize {
        ($t:ty) => {
            value
                .elements::<$t>()?
                .iter()
                .enumerate()
                .map(|(i, &q)| {
                    let (scale, zero) = affine.at(i);
                    (scale * (f64::from(q) - zero)) as f32
                })
                .collect()
        };
    }
    Ok(match value.dtype() {
        TensorType::Int8 => dequantize!(i8),
        TensorType::UInt8 => dequantize!(u8),
        TensorType::Int16 => dequantize!(i16),
        TensorType::Int32 => dequantize!(i32),
        other => return Err(Error::invalid_input(format!("a {other} tensor cannot be read dequantized"))),
    })
}

#[cfg(test)]
mod tests {
    use ferrolite_ops::Shape;

    use super::*;

    #[test]
    fn per_channel_round_trip_and_saturation() {
        let q = Quantization {
            scale: vec![0.5, 2.0],
            zero_point: vec![1, 0],
            quantized_dimension: 0,
            min: vec![],
            max: vec![],
            details: None,
        };
        let mut value = TensorValue::zeros(TensorType::Int8, Shape::from([2, 2])).unwrap();
        write(&mut value, Some(&q), &[1.0, 1e9, -4.0, f32::NAN]).unwrap();
        assert_eq!(value.elements::<i8>().unwrap(), [3, 127, -2, 0]);
        assert_eq!(read(&value, Some(&q)).unwrap(), [1.0, 63.0, -4.0, 0.0]);
        assert!(write(&mut value, Some(&q), &[0.0]).is_err());
        assert!(write(&mut value, None, &[0.0; 4]).is_err());
    }
}
