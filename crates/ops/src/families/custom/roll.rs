//! Roll: elements moved along axes, those that leave at one end coming back at the other.

use crate::error::OpError;
use crate::families::moving::{BoxCopy, Moves, each_type};
use crate::kernel::Kernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::resolve_axis;
use crate::spec::OpSpec;

/// The module's operators.
pub const SPECS: &[OpSpec] =
    &[OpSpec::custom("Roll", infer, lower).inputs(3, 3).types(each_type!([
        Float32, Int8, UInt8, Int16, Int32, Int64, Bool, String
    ](Int32, Int32)(Int64, Int64)(
        Int32, Int64
    )(Int64, Int32)))];

/// How far elements move along each axis, to higher positions; shifts of one axis add up.
fn shifts(node: &Node<'_>) -> Result<Vec<usize>, InferError> {
    let shape = node.shape(0)?;
    let (by, axes) = (node.ints(1)?, node.ints(2)?);
    if by.len() != axes.len() || node.shape(1)?.rank() > 1 || node.shape(2)?.rank() > 1 {
        let message =
            format!("the shifts {by:?} and the axes {axes:?} must be as many, in scalars or vectors");
        return Err(OpError::invalid(message).into());
    }
    let mut shifts = vec![0; shape.rank()];
    for (&by, &axis) in by.iter().zip(&axes) {
        let axis = resolve_axis(axis, shape.rank())?;
        // Fits: dimensions are less than 2^63.
        let size = shape[axis].max(1);
        shifts[axis] = (shifts[axis] + by.rem_euclid(size as i64) as usize) % size;
    }
    Ok(shifts)
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    shifts(node)?;
    Ok(one(node.shape(0)?.clone()))
}

/// One copy for each choice of the part that stays in front or that which comes back, along every axis that moves.
fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let info = node.input(0)?.info;
    let shape = &info.shape;
    let shifts = shifts(node)?;
    let moving: Vec<usize> = (0..shifts.len()).filter(|&axis| shifts[axis] > 0).collect();
    if moving.len() > 8 {
        return Err(OpError::unsupported("more than eight axes cannot be rolled at once"));
    }
    let ones = vec![1; shape.rank()];
    let mut moves = Moves::new(info.dtype)?;
    for choice in 0..1usize << moving.len() {
        let (mut start, mut len, mut to) = (vec![0; shape.rank()], shape.to_vec(), vec![0; shape.rank()]);
        for (bit, &axis) in moving.iter().enumerate() {
            let kept = shape[axis] - shifts[axis];
            if choice >> bit & 1 == 0 {
                (len[axis], to[axis]) = (kept, shifts[axis]);
            } else {
                (start[axis], len[axis]) = (kept, shifts[axis]);
            }
        }
        let (ends, dims) = BoxCopy {
            source: shape,
            start: &start,
            step: &ones,
            len: &len,
            result: shape,
            to: &to,
            to_step: &ones,
        }
        .strided();
        moves = moves.step((0, 0), ends, &dims)?;
    }
    moves.kernel("roll", &[shape])
}
