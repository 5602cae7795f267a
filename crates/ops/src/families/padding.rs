//! Operators that widen a tensor at its edges: PAD, PADV2, MIRROR_PAD; and between its elements: DILATE.

use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::{MirrorPadMode, MirrorPadOptionsT};

use super::moving::{Background, BoxCopy, Moves, each_type, zero_element};
use crate::error::OpError;
use crate::kernel::Kernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::{OpSpec, TypeRow};

/// The family's operators.
pub const SPECS: &[OpSpec] =
    &[
        OpSpec::builtin(BuiltinOperator::PAD, infer_pad, lower_pad).versions(6).inputs(2, 2).types(
            each_type!([
                Float32, Float16, BFloat16, Int8, UInt8, Int16, Int32, Int64, Bool, Float8E4M3Fn, Float8E5M2
            ](Int32)(Int64)(Int8)(Int16)),
        ),
        OpSpec::builtin(BuiltinOperator::PADV2, infer_pad, lower_pad)
            .versions(6)
            .inputs(3, 3)
            .types(PADV2_TYPES),
        OpSpec::builtin(BuiltinOperator::MIRROR_PAD, infer_pad, lower_mirror).versions(3).inputs(2, 2).types(
            each_type!([
                Float32, Float16, BFloat16, Float64, Int8, UInt8, Int16, UInt16, Int32, UInt32, Int64,
                UInt64, Bool, Complex64, Float8E4M3Fn, Float8E5M2
            ](Int32)(Int64)),
        ),
        OpSpec::builtin(BuiltinOperator::DILATE, infer_dilate, lower_dilate).inputs(3, 3).types(DILATE_TYPES),
    ];

/// Element types of PADV2: the tensor, its paddings and one element like the tensor's.
const PADV2_TYPES: &[TypeRow] = {
    macro_rules! rows {
        ($($t:ident)*) => {
            crate::types![
                $(($t, Int32, $t) -> ($t), ($t, Int64, $t) -> ($t), ($t, Int8, $t) -> ($t), ($t, Int16, $t) -> ($t)),*
            ]
        };
    }
    rows!(Float32 Float16 BFloat16 Int8 UInt8 Int16 Int32 Int64 Bool Float8E4M3Fn Float8E5M2)
};

/// Element types of DILATE: the tensor, the steps and one element like the tensor's.
const DILATE_TYPES: &[TypeRow] = {
    macro_rules! rows {
        ($($t:ident)*) => { crate::types![$(($t, Int32, $t) -> ($t)),*] };
    }
    rows!(
        Float32 Float16 BFloat16 Float64 Int8 UInt8 Int16 UInt16 Int32 UInt32 Int64 UInt64 Bool
        Complex64 Complex128 Float8E4M3Fn Float8E5M2
    )
};

/// Elements to add in front and behind, per axis; negative ones are refused.
fn paddings(node: &Node<'_>) -> Result<Vec<(usize, usize)>, InferError> {
    let shape = node.shape(0)?;
    let flat = node.ints(1)?;
    let bad = || {
        OpError::invalid(format!("the paddings {flat:?} are not two non-negative counts per axis of {shape}"))
    };
    if flat.len() != 2 * shape.rank() {
        return Err(bad().into());
    }
    let count = |v: i64| usize::try_from(v).map_err(|_| bad());
    Ok(flat.chunks_exact(2).map(|p| Ok((count(p[0])?, count(p[1])?))).collect::<Result<_, OpError>>()?)
}

fn infer_pad(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    let too_large = || OpError::invalid(format!("the padded {shape} is larger than memory"));
    let dims: Result<Shape, OpError> = shape
        .iter()
        .zip(paddings(node)?)
        .map(|(&d, (before, after))| {
            d.checked_add(before).and_then(|d| d.checked_add(after)).ok_or_else(too_large)
        })
        .collect();
    Ok(one(dims?))
}

fn lower_pad(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let info = node.input(0)?.info;
    let before: Vec<usize> = paddings(node)?.into_iter().map(|p| p.0).collect();
    let output = &node.output(0)?.shape;
    let ones = vec![1; before.len()];
    let (ends, dims) = BoxCopy {
        source: &info.shape,
        start: &vec![0; before.len()],
        step: &ones,
        len: &info.shape,
        result: output,
        to: &before,
        to_step: &ones,
    }
    .strided();
    let background = match node.optional(2) {
        None => Background::Element(zero_element(node, 0)?),
        Some(value) if value.info.shape.num_elements()? == 1 => Background::Input(2),
        Some(value) => {
            return Err(OpError::invalid(format!(
                "PADV2 takes one element to pad with, not {}",
                value.info.shape
            )));
        }
    };
    // Nothing is padded when the shapes are equal; the copy then covers the output.
    let background = if *output == info.shape { Background::Covered } else { background };
    Moves::new(info.dtype)?.over(background).step((0, 0), ends, &dims)?.kernel("pad", &[output])
}

/// Distances of the input's elements in the output, per axis.
fn dilations(node: &Node<'_>) -> Result<Vec<usize>, InferError> {
    let shape = node.shape(0)?;
    let steps = node.ints(1)?;
    let positive = |&s: &i64| usize::try_from(s).ok().filter(|&s| s > 0);
    let dilations: Option<Vec<usize>> = steps.iter().map(positive).collect();
    dilations.filter(|d| d.len() == shape.rank()).ok_or_else(|| {
        OpError::invalid(format!("the dilations {steps:?} are not one positive step per axis of {shape}"))
            .into()
    })
}

fn infer_dilate(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    let too_large = || OpError::invalid(format!("the dilated {shape} is larger than memory"));
    let dilated = |(&dim, step): (&usize, usize)| match dim {
        0 => Ok(0),
        _ => (dim - 1).checked_mul(step).and_then(|d| d.checked_add(1)).ok_or_else(too_large),
    };
    Ok(one(shape.iter().zip(dilations(node)?).map(dilated).collect::<Result<Shape, _>>()?))
}

fn lower_dilate(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let info = node.input(0)?.info;
    let value = &node.input(2)?.info.shape;
    if value.num_elements()? != 1 {
        return Err(OpError::invalid(format!("DILATE takes one element to pad with, not {value}")));
    }
    let output = &node.output(0)?.shape;
    // Fits: the output's dimensions are larger, and do.
    let steps: Vec<isize> = dilations(node)?.into_iter().map(|d| d as isize).collect();
    let zeros = vec![0; steps.len()];
    let (ends, dims) = BoxCopy {
        source: &info.shape,
        start: &zeros,
        step: &vec![1; steps.len()],
        len: &info.shape,
        result: output,
        to: &zeros,
        to_step: &steps,
    }
    .strided();
    let background = if *output == info.shape { Background::Covered } else { Background::Input(2) };
    Moves::new(info.dtype)?.over(background).step((0, 0), ends, &dims)?.kernel("dilate", &[output])
}

/// A stretch of one axis of a mirrored tensor: `len` positions from `to` on, read from `start` on, forwards or backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    start: usize,
    step: isize,
    len: usize,
    to: usize,
}

/// The three stretches of an axis: mirrored, as it is, mirrored.
fn stretches(dim: usize, (before, after): (usize, usize), skip: usize) -> Result<[Stretch; 3], OpError> {
    let longest = dim.saturating_sub(skip);
    if before > longest || after > longest {
        return Err(OpError::invalid(format!(
            "MIRROR_PAD by {before} and {after} needs an axis of more than {dim}: it mirrors at most {longest} elements"
        )));
    }
    let first =
        |start: usize, step, len, to| Stretch { start: if len == 0 { 0 } else { start }, step, len, to };
    Ok([
        first((before + skip).saturating_sub(1), -1, before, 0),
        first(0, 1, dim, before),
        first(dim.saturating_sub(1 + skip), -1, after, before + dim),
    ])
}

fn lower_mirror(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let info = node.input(0)?.info;
    let output = &node.output(0)?.shape;
    // Reflecting leaves the edge itself out, the symmetric mode repeats it.
    let skip = usize::from(node.options::<MirrorPadOptionsT>()?.mode == MirrorPadMode::REFLECT);
    let axes: Vec<[Stretch; 3]> = info
        .shape
        .iter()
        .zip(paddings(node)?)
        .map(|(&dim, padding)| stretches(dim, padding, skip))
        .collect::<Result<_, _>>()?;
    let mut moves = Moves::new(info.dtype)?;
    // Every combination of a stretch per axis is one copy; those without elements are left out.
    let mut choices: Vec<Vec<Stretch>> = vec![Vec::new()];
    for stretches in &axes {
        choices = choices
            .iter()
            .flat_map(|chosen| {
                stretches.iter().filter(|s| s.len > 0).map(|&s| {
                    let mut next = chosen.clone();
                    next.push(s);
                    next
                })
            })
            .collect();
    }
    for chosen in &choices {
        let list = |f: fn(&Stretch) -> usize| chosen.iter().map(f).collect::<Vec<_>>();
        let (ends, dims) = BoxCopy {
            source: &info.shape,
            start: &list(|s| s.start),
            step: &chosen.iter().map(|s| s.step).collect::<Vec<_>>(),
            len: &list(|s| s.len),
            result: output,
            to: &list(|s| s.to),
            to_step: &vec![1; chosen.len()],
        }
        .strided();
        moves = moves.step((0, 0), ends, &dims)?;
    }
    moves.kernel("mirror_pad", &[output])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{run_one, tensor};
    use super::*;
    use ferrolite_model::Options;

    #[test]
    fn mirrors() {
        type Row = (MirrorPadMode, [i32; 2], Option<&'static [i32]>);
        let rows: &[Row] = &[
            (MirrorPadMode::REFLECT, [2, 1], Some(&[2, 1, 0, 1, 2, 1])),
            (MirrorPadMode::SYMMETRIC, [2, 3], Some(&[1, 0, 0, 1, 2, 2, 1, 0])),
            (MirrorPadMode::REFLECT, [0, 0], Some(&[0, 1, 2])),
            (MirrorPadMode::REFLECT, [3, 0], None),
            (MirrorPadMode::SYMMETRIC, [0, 4], None),
        ];
        for &(mode, paddings, want) in rows {
            let inputs = [tensor(&[3], &[0i32, 1, 2]), tensor(&[1, 2], &paddings)];
            let got = run_one::<i32>(BuiltinOperator::MIRROR_PAD, MirrorPadOptionsT { mode }, &inputs).ok();
            assert_eq!(got.map(|(_, values)| values).as_deref(), want, "{mode:?} {paddings:?}");
        }
    }

    #[test]
    fn pads_with_the_zero_point_or_the_given_element() {
        let inputs = [tensor(&[1, 2], &[7i16, 8]), tensor(&[2, 2], &[0i64, 1, 1, 0])];
        let got = run_one::<i16>(BuiltinOperator::PAD, Options::None, &inputs).unwrap();
        assert_eq!(got, (Shape::from([2, 3]), vec![0, 7, 8, 0, 0, 0]));
        let inputs = [tensor(&[2], &[7i32, 8]), tensor(&[1, 2], &[2i32, 1]), tensor(&[], &[-5i32])];
        let got = run_one::<i32>(BuiltinOperator::PADV2, Options::None, &inputs).unwrap();
        assert_eq!(got.1, [-5, -5, 7, 8, -5]);
        let inputs = [tensor(&[2], &[7i32, 8]), tensor(&[1, 2], &[-1i32, 1])];
        assert!(run_one::<i32>(BuiltinOperator::PAD, Options::None, &inputs).is_err());
    }
}
