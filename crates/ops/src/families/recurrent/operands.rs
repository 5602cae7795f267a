//! What the recurrent operators have in common: operands whose weights may be float or 8-bit, and their checks.

use ferrolite_kernels::cpu::recurrent::fixed::Multiplier;
use ferrolite_kernels::cpu::recurrent::{Activation, Matrix, Peephole};
use ferrolite_model::options::ActivationFunctionType;

use crate::TensorType;
use crate::error::OpError;
use crate::io::Inputs;
use crate::node::Node;
use crate::tensor::TensorInfo;

/// The activation function that an option names.
pub fn activation(option: ActivationFunctionType) -> Result<Activation, OpError> {
    Ok(match option {
        ActivationFunctionType::NONE => Activation::None,
        ActivationFunctionType::RELU => Activation::Relu,
        ActivationFunctionType::RELU_N1_TO_1 => Activation::ReluN1To1,
        ActivationFunctionType::RELU6 => Activation::Relu6,
        ActivationFunctionType::TANH => Activation::Tanh,
        ActivationFunctionType::SIGN_BIT => Activation::SignBit,
        other => {
            return Err(OpError::invalid(format!("{other:?} is no activation function of the file format")));
        }
    })
}

/// Refuses input `i` unless it has this shape.
pub fn check_shape(node: &Node<'_>, i: usize, want: &[usize]) -> Result<(), OpError> {
    let shape = node.shape(i)?;
    if **shape == *want {
        return Ok(());
    }
    Err(OpError::invalid(format!("input {i} has the shape {shape}, the other operands ask for {want:?}")))
}

/// Refuses input `i`, a variable, unless it has this many elements.
pub fn check_state(node: &Node<'_>, i: usize, want: usize) -> Result<(), OpError> {
    let shape = node.shape(i)?;
    if shape.num_elements()? == want {
        return Ok(());
    }
    Err(OpError::invalid(format!(
        "the state at input {i} has the shape {shape}, the other operands ask for {want} elements: state tensors keep \
         the batch size that the model was exported with"
    )))
}

/// The scale of a per-tensor quantized tensor.
pub fn scale_of(info: &TensorInfo) -> Result<f32, OpError> {
    info.scales().map(|scales| scales[0])
}

/// The multiplier nearest to `factor`.
pub fn multiplier(factor: f64) -> Result<Multiplier, OpError> {
    Multiplier::new(factor).ok_or_else(|| {
        OpError::invalid(format!(
            "the scales of the operands give the factor {factor}, which has no fixed-point form"
        ))
    })
}

/// The scale and zero point of a tensor; a missing zero point is 0.
pub fn scale_and_zero_point(info: &TensorInfo) -> Result<(f32, i32), OpError> {
    info.per_tensor()
}

/// The 8-bit weights of input `i`; unsigned ones stand for the signed ones with the same bits.
pub fn weights_i8<'a>(inputs: &Inputs<'a>, i: usize) -> Result<&'a [i8], OpError> {
    inputs.bytes(i).map(bytemuck::cast_slice)
}

fn is_8_bit(dtype: TensorType) -> bool {
    matches!(dtype, TensorType::Int8 | TensorType::UInt8)
}

/// An input that holds weights of float computations.
#[derive(Clone, Copy, Debug)]
pub struct WeightsInput {
    index: usize,
    kind: WeightsKind,
}

#[derive(Clone, Copy, Debug)]
enum WeightsKind {
    F32,
    Diagonal,
    I8 { scale: f32 },
}

impl WeightsInput {
    /// Input `index`, a matrix of `rows` and `columns`, or (where `columns` are as many) its diagonal.
    pub fn matrix(node: &Node<'_>, index: usize, rows: usize, columns: usize) -> Result<Self, OpError> {
        let info = node.input(index)?.info;
        if info.dtype == TensorType::Float32 && *info.shape == [rows] && rows == columns {
            return Ok(Self { index, kind: WeightsKind::Diagonal });
        }
        check_shape(node, index, &[rows, columns])?;
        Self::of(info, index)
    }

    /// Input `index`, if it is present: one weight for each of `len` cells.
    pub fn optional_vector(node: &Node<'_>, index: usize, len: usize) -> Result<Option<Self>, OpError> {
        let Some(operand) = node.optional(index) else { return Ok(None) };
        check_shape(node, index, &[len])?;
        Self::of(operand.info, index).map(Some)
    }

    fn of(info: &TensorInfo, index: usize) -> Result<Self, OpError> {
        let kind = match info.dtype {
            TensorType::Float32 => WeightsKind::F32,
            other if is_8_bit(other) => WeightsKind::I8 { scale: scale_of(info)? },
            other => {
                return Err(OpError::unsupported(format!(
                    "input {index} holds weights of type {other}; float32 and int8 are supported"
                )));
            }
        };
        Ok(Self { index, kind })
    }

    /// Whether the weights have 8 bits.
    pub fn is_quantized(&self) -> bool {
        matches!(self.kind, WeightsKind::I8 { .. })
    }

    /// The weights as a matrix.
    pub fn get<'a>(&self, inputs: &Inputs<'a>) -> Result<Matrix<'a>, OpError> {
        Ok(match self.kind {
            WeightsKind::F32 => Matrix::F32(inputs.get(self.index)?),
            WeightsKind::Diagonal => Matrix::Diagonal(inputs.get(self.index)?),
            WeightsKind::I8 { scale } => Matrix::I8 { values: weights_i8(inputs, self.index)?, scale },
        })
    }

    /// The weights as one factor for each cell.
    pub fn get_peephole<'a>(&self, inputs: &Inputs<'a>) -> Result<Peephole<'a>, OpError> {
        Ok(match self.kind {
            WeightsKind::F32 | WeightsKind::Diagonal => Peephole::F32(inputs.get(self.index)?),
            WeightsKind::I8 { scale } => Peephole::I8(weights_i8(inputs, self.index)?, scale),
        })
    }
}

/// A float vector of `len` elements at input `i`, if it is present.
pub fn optional_vector(node: &Node<'_>, i: usize, len: usize) -> Result<Option<usize>, OpError> {
    if node.optional(i).is_none() {
        return Ok(None);
    }
    check_shape(node, i, &[len]).map(|()| Some(i))
}
