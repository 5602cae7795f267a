//! Weights, biases and their quantization as the operators hold them.

use std::borrow::Cow;
use std::cell::OnceCell;

use ferrolite_kernels::cpu::float::stored::StoredFloats;
use ferrolite_kernels::cpu::int8::pack::{Bytes, Matrix, PackLayout, PackedWeights};
use ferrolite_kernels::packing::Packing;
use ferrolite_model::TensorType;
use half::f16;

use super::shuffled;
use crate::error::OpError;
use crate::node::{Node, Operand};
use crate::tensor::TensorInfo;

/// Weights of eight bits. Those that are stored otherwise are brought to that form when they are first read, which whoever
/// finds them packed never does.
pub(super) struct WeightBytes<'a> {
    bytes: &'a [u8],
    signed: bool,
    form: Form,
    plain: OnceCell<Vec<u8>>,
}

/// How weights are stored.
enum Form {
    /// A byte for each.
    Plain,
    /// In fewer bits.
    Packed { bits: u32, count: usize },
    /// In tiles of rows with this depth, see [`shuffled`].
    Shuffled { depth: usize },
}

impl<'a> WeightBytes<'a> {
    /// The `count` weights of a tensor of type `dtype` with these bytes.
    pub fn new(dtype: TensorType, bytes: &'a [u8], count: usize) -> Result<Self, OpError> {
        let want = dtype.byte_len(count);
        if want != Some(bytes.len()) {
            return Err(OpError::invalid(format!(
                "{count} weights of type {dtype} do not fit a tensor of {} bytes",
                bytes.len()
            )));
        }
        let form = match dtype {
            TensorType::Int8 | TensorType::UInt8 => Form::Plain,
            TensorType::Int4 => Form::Packed { bits: 4, count },
            TensorType::Int2 => Form::Packed { bits: 2, count },
            other => return Err(OpError::unsupported(format!("{other} weights are not supported here"))),
        };
        Ok(Self { bytes, signed: dtype != TensorType::UInt8, form, plain: OnceCell::new() })
    }

    /// The same, if their bytes are in tiles of rows with `depth` weights.
    pub fn shuffled(self, depth: usize) -> Self {
        Self { form: Form::Shuffled { depth }, ..self }
    }

    /// The same bytes read as signed numbers, as the reference does beside float activations.
    pub fn read_as_signed(self) -> Self {
        Self { signed: true, ..self }
    }

    /// A byte for each weight.
    fn plain(&self) -> &[u8] {
        match self.form {
            Form::Plain => self.bytes,
            Form::Packed { bits, count } => self.plain.get_or_init(|| unpack(self.bytes, bits, count)),
            Form::Shuffled { depth } => self.plain.get_or_init(|| shuffled::in_rows(self.bytes, depth)),
        }
    }

    /// A signed number for each weight, whatever is stored.
    pub fn as_signed(&self) -> &[i8] {
        bytemuck::cast_slice(self.plain())
    }

    /// As the kernels take them.
    pub fn bytes(&self) -> Bytes<'_> {
        self.of(self.plain())
    }

    /// Others of the same signedness.
    pub fn of<'b>(&self, bytes: &'b [u8]) -> Bytes<'b> {
        if self.signed { Bytes::Signed(bytemuck::cast_slice(bytes)) } else { Bytes::Unsigned(bytes) }
    }

    /// The zero point of the signed numbers that kernels make of the weights, from that of the stored ones.
    pub fn signed_zero(&self, stored: i32) -> i32 {
        stored - self.of(&[]).offset()
    }
}

/// Signed numbers of `bits` bits, the low ones of each byte first.
fn unpack(bytes: &[u8], bits: u32, count: usize) -> Vec<u8> {
    let per_byte = 8 / bits as usize;
    (0..count)
        .map(|i| {
            let shift = 8 - bits * (i % per_byte + 1) as u32;
            // To the top of the byte, then back with the sign.
            (((bytes[i / per_byte] << shift) as i8) >> (8 - bits)) as u8
        })
        .collect()
}

/// A matrix whose columns lie one after another.
pub(super) fn columns(bytes: Bytes<'_>, zero: i32, cols: usize, depth: usize) -> Matrix<'_> {
    Matrix { bytes, zero, cols, depth, col_stride: depth, depth_stride: 1 }
}

/// Packs the columns of `layout` from column `first` on; `zero` is their zero point as stored.
pub(super) fn pack_columns(
    packing: Packing<'_>,
    layout: PackLayout,
    weights: &WeightBytes<'_>,
    first: usize,
    zero: i32,
) -> PackedWeights {
    let (cols, depth) = (layout.cols(), layout.depth());
    PackedWeights::lazily(packing, layout, weights.signed_zero(zero), || {
        columns(weights.of(&weights.plain()[first * depth..][..cols * depth]), zero, cols, depth)
    })
}

/// A bias as integers of 64 bits; empty for none.
pub(super) fn bias(dtype: Option<TensorType>, bytes: &[u8], cols: usize) -> Result<Vec<i64>, OpError> {
    let bias: Vec<i64> = match dtype {
        None => return Ok(Vec::new()),
        Some(TensorType::Int32) => {
            bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned::<i32>).map(i64::from).collect()
        }
        Some(TensorType::Int64) => bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect(),
        Some(other) => {
            return Err(OpError::unsupported(format!("a bias of type {other} is not supported here")));
        }
    };
    check_bias(bias.len(), cols)?;
    Ok(bias)
}

/// A bias as floats; empty for none.
pub(super) fn float_bias(bytes: Option<&[u8]>, cols: usize) -> Result<Vec<f32>, OpError> {
    let Some(bytes) = bytes else {
        return Ok(Vec::new());
    };
    let bias: Vec<f32> = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
    check_bias(bias.len(), cols)?;
    Ok(bias)
}

fn check_bias(len: usize, cols: usize) -> Result<(), OpError> {
    if len == cols {
        return Ok(());
    }
    Err(OpError::invalid(format!("the bias has {len} elements for {cols} output channels")))
}

/// Constant weights of floats.
pub(super) enum FloatWeights<'a> {
    Single(Cow<'a, [f32]>),
    Half(&'a [f16]),
}

impl<'a> FloatWeights<'a> {
    /// The content of an operand, if it is known while planning.
    pub fn of(operand: &Operand<'a>) -> Option<Self> {
        if let Some(bytes) = operand.half {
            let unaligned =
                || bytes.chunks_exact(2).map(bytemuck::pod_read_unaligned).map(f16::to_f32).collect();
            return Some(
                bytemuck::try_cast_slice(bytes).map_or_else(|_| Self::Single(unaligned()), Self::Half),
            );
        }
        operand.value.map(|bytes| Self::Single(floats(bytes)))
    }

    /// As the kernels pack them.
    pub fn stored(&self) -> StoredFloats<'_> {
        match self {
            Self::Single(floats) => StoredFloats::Single(floats),
            Self::Half(floats) => StoredFloats::Half(floats),
        }
    }

    /// As the kernels pack them for products of `rows` rows: 16 bits stay where reading them takes the time, and `params` says
    /// so.
    pub fn stored_for(&self, rows: usize, params: &mut PackParams) -> StoredFloats<'_> {
        /// A tile of the kernel for 16 bits.
        const FEW_ROWS: usize = 4;
        /// Weights that leave the nearest cache between two runs.
        const MANY: usize = 16 << 10;
        match self {
            Self::Half(floats) if rows <= FEW_ROWS && floats.len() >= MANY => {
                params.push(1u64);
                StoredFloats::Kept(floats)
            }
            _ => {
                params.push(0u64);
                self.stored()
            }
        }
    }
}

/// The floats of a tensor, whatever the alignment of its bytes.
pub(in crate::families) fn floats(bytes: &[u8]) -> Cow<'_, [f32]> {
    bytemuck::try_cast_slice(bytes)
        .map_or_else(|_| bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect(), Cow::Borrowed)
}

/// The scales of weights whose `cols` output channels lie along `axis`: one, or one for each channel.
pub(super) fn scales(weights: &TensorInfo, axis: usize, cols: usize) -> Result<Vec<f32>, OpError> {
    let scales = weights.scales()?;
    let along = weights.quantization.as_ref().map_or(axis, |q| q.quantized_dimension);
    if scales.len() == 1 || (scales.len() == cols && along == axis) {
        return Ok(scales.to_vec());
    }
    Err(OpError::invalid(format!(
        "the {} scales of '{}' along dimension {along} are not one for each of {cols} output channels",
        scales.len(),
        weights.name
    )))
}

/// The single zero point of weights, 0 when there are several scales (their zero points are 0 too).
pub(super) fn zero_point(weights: &TensorInfo) -> Result<i32, OpError> {
    let Some(q) = &weights.quantization else {
        return Ok(0);
    };
    match q.zero_point.as_slice() {
        [] => Ok(0),
        [zero] => i32::try_from(*zero).map_err(|_| OpError::invalid("a zero point does not fit in 32 bits")),
        zeros if zeros.iter().all(|&z| z == zeros[0]) => {
            i32::try_from(zeros[0]).map_err(|_| OpError::invalid("a zero point does not fit in 32 bits"))
        }
        _ => Err(OpError::unsupported(format!(
            "'{}' has different zero points along its channels: quantize its weights symmetrically",
            weights.name
        ))),
    }
}

/// What a packing of weights depends on besides them, collected for the key of the pack cache.
pub(super) struct PackParams(Vec<u64>);

impl PackParams {
    /// The node's quantization.
    pub fn new(node: &Node<'_>) -> Self {
        let mut params = Self(vec![node.inputs.len() as u64]);
        for info in node.inputs.iter().flatten().map(|o| o.info).chain(node.outputs) {
            params.push(info.dtype as u64);
            if let Some(q) = info.quantization.as_ref().filter(|q| q.scale.len() == 1) {
                params.push(u64::from(q.scale[0].to_bits()));
                params.push(q.zero_point.first().copied().unwrap_or(0) as u64);
            }
        }
        params
    }

    /// One more number.
    pub fn push(&mut self, value: impl Into<u64>) {
        self.0.push(value.into());
    }

    /// More sizes.
    pub fn extend(&mut self, sizes: &[usize]) {
        self.0.extend(sizes.iter().map(|&size| size as u64));
    }

    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }
}

/// Whether an operand's content is known while planning, or it is absent.
pub(super) fn known(operand: Option<&Operand<'_>>) -> bool {
    operand.is_none_or(|o| o.value.is_some())
}
