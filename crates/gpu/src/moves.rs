//! Operators that move elements: blocks from inputs to places of the output.

use ferrolite_model::options::{ActivationFunctionType, ConcatenationOptionsT};
use ferrolite_ops::Node;

use crate::geometry::{dims4, strides4};
use crate::op::{Block, Op, Refusal, known_ints, refusal};

pub(crate) fn pad(n: &Node<'_>) -> Result<Op, Refusal> {
    let shape = n.shape(0).map_err(refusal)?;
    let paddings = known_ints(n, 1)?;
    let (dims, out) = (dims4(shape)?, dims4(&n.output(0).map_err(refusal)?.shape)?);
    let dst_strides = strides4(out);
    let mut dst = 0;
    for axis in 0..shape.rank() {
        let before = paddings
            .get(2 * axis)
            .copied()
            .and_then(|p| u32::try_from(p).ok())
            .ok_or("a padding is negative")?;
        dst += before * dst_strides[4 - shape.rank() + axis];
    }
    let block = Block { input: 0, dims, src_strides: strides4(dims), dst_strides, src: 0, dst };
    Ok(Op::Copy { fill: Some((0.0, out.iter().product())), blocks: vec![block] })
}

pub(crate) fn concatenation(n: &Node<'_>) -> Result<Op, Refusal> {
    let options = n.options::<ConcatenationOptionsT>().map_err(refusal)?;
    if options.fused_activation_function != ActivationFunctionType::NONE {
        return Err("it has a fused activation".into());
    }
    let shape = &n.output(0).map_err(refusal)?.shape;
    let axis = 4 - shape.rank() + shape.axis(i64::from(options.axis)).map_err(refusal)?;
    let dst_strides = strides4(dims4(shape)?);
    let mut blocks = Vec::with_capacity(n.inputs.len());
    let mut at = 0;
    for (input, operand) in n.inputs.iter().enumerate() {
        let operand = operand.as_ref().ok_or("an input is missing")?;
        if operand.value.is_some() {
            return Err(format!("input {input} is constant"));
        }
        let dims = dims4(&operand.info.shape)?;
        blocks.push(Block {
            input,
            dims,
            src_strides: strides4(dims),
            dst_strides,
            src: 0,
            dst: at * dst_strides[axis],
        });
        at += dims[axis];
    }
    Ok(Op::Copy { fill: None, blocks })
}

pub(crate) fn transpose(n: &Node<'_>) -> Result<Op, Refusal> {
    let shape = n.shape(0).map_err(refusal)?;
    let (own, dims) = (strides4(dims4(shape)?), dims4(&n.output(0).map_err(refusal)?.shape)?);
    let front = 4 - shape.rank();
    let mut src_strides = own;
    for (axis, &from) in known_ints(n, 1)?.iter().enumerate().take(shape.rank()) {
        src_strides[front + axis] = own[front + shape.axis(from).map_err(refusal)?];
    }
    let block = Block { input: 0, dims, src_strides, dst_strides: strides4(dims), src: 0, dst: 0 };
    Ok(Op::Copy { fill: None, blocks: vec![block] })
}

pub(crate) fn slice(n: &Node<'_>) -> Result<Op, Refusal> {
    let shape = n.shape(0).map_err(refusal)?;
    let own = dims4(shape)?;
    let (src_strides, dims) = (strides4(own), dims4(&n.output(0).map_err(refusal)?.shape)?);
    let front = 4 - shape.rank();
    let mut src = 0;
    for (axis, &begin) in known_ints(n, 1)?.iter().enumerate().take(shape.rank()) {
        let begin = u32::try_from(begin).ok().filter(|&b| b < own[front + axis]);
        let begin = begin.ok_or("a slice begins outside its input")?;
        src += begin * src_strides[front + axis];
    }
    let block = Block { input: 0, dims, src_strides, dst_strides: strides4(dims), src, dst: 0 };
    Ok(Op::Copy { fill: None, blocks: vec![block] })
}
