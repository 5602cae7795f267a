//! Attributes that are C structures of 32-bit words rather than FlexBuffers.

use ferrolite_model::options::{ActivationFunctionType, Padding};

use crate::error::OpError;
use crate::node::Node;

/// The first `N` words of the attributes.
fn words<const N: usize>(node: &Node<'_>) -> Result<[i32; N], OpError> {
    let bytes: &[u8] = &node.operator.custom_options;
    let mut words = bytes.chunks_exact(4).map(|w| i32::from_le_bytes([w[0], w[1], w[2], w[3]]));
    let found: [Option<i32>; N] = core::array::from_fn(|_| words.next());
    if found.iter().any(Option::is_none) {
        return Err(OpError::invalid(format!(
            "the operator's attributes are {} bytes, {} are needed",
            bytes.len(),
            4 * N
        )));
    }
    Ok(found.map(Option::unwrap_or_default))
}

fn padding(code: i32) -> Result<Padding, OpError> {
    match code {
        1 => Ok(Padding::SAME),
        2 => Ok(Padding::VALID),
        _ => Err(OpError::invalid(format!("{code} is no padding: 1 is SAME, 2 is VALID"))),
    }
}

/// How windows of a pooling lie.
#[derive(Clone, Copy, Debug)]
pub struct PoolStruct {
    pub padding: Padding,
    /// Height, width.
    pub stride: [i32; 2],
    /// Height, width.
    pub filter: [i32; 2],
    pub activation: ActivationFunctionType,
}

impl PoolStruct {
    /// Padding, stride width and height, filter width and height, activation.
    pub fn read(node: &Node<'_>) -> Result<Self, OpError> {
        let [code, stride_w, stride_h, filter_w, filter_h, activation] = words(node)?;
        let activation = match activation {
            0 => ActivationFunctionType::NONE,
            1 => ActivationFunctionType::RELU,
            2 => ActivationFunctionType::RELU_N1_TO_1,
            3 => ActivationFunctionType::RELU6,
            other => return Err(OpError::unsupported(format!("activation {other} cannot follow a pooling"))),
        };
        Ok(Self {
            padding: padding(code)?,
            stride: [stride_h, stride_w],
            filter: [filter_h, filter_w],
            activation,
        })
    }
}

/// Padding and strides (height, width) of a transposed convolution.
pub fn transpose_conv(node: &Node<'_>) -> Result<(Padding, [i32; 2]), OpError> {
    let [code, stride_w, stride_h] = words(node)?;
    Ok((padding(code)?, [stride_h, stride_w]))
}
