//! Operators that trade blocks of the plane for channels or batch entries: SPACE_TO_DEPTH, DEPTH_TO_SPACE,
//! SPACE_TO_BATCH_ND, BATCH_TO_SPACE_ND.

use ferrolite_kernels::cpu::movement::CopyDim;
use ferrolite_model::BuiltinOperator;
use ferrolite_model::options::{DepthToSpaceOptionsT, SpaceToDepthOptionsT};

use super::moving::{Background, BoxCopy, Moves, each_type, into_dense, zero_element};
use crate::error::OpError;
use crate::kernel::Kernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::same_types;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::SPACE_TO_DEPTH, infer_space_to_depth, lower_space_to_depth)
        .versions(2)
        .types(same_types![Float32, Int8, UInt8, Int32, Int64]),
    OpSpec::builtin(BuiltinOperator::DEPTH_TO_SPACE, infer_depth_to_space, lower_depth_to_space)
        .versions(2)
        .types(same_types![Float32, Int8, UInt8, Int32, Int64]),
    OpSpec::builtin(BuiltinOperator::SPACE_TO_BATCH_ND, infer_space_to_batch, lower_space_to_batch)
        .versions(4)
        .inputs(3, 3)
        .types(each_type!([
            Float32, Float16, BFloat16, Int8, UInt8, Int16, Int32, UInt32, Int64, Bool, Float8E4M3Fn,
            Float8E5M2
        ](Int32, Int32))),
    OpSpec::builtin(BuiltinOperator::BATCH_TO_SPACE_ND, infer_batch_to_space, lower_batch_to_space)
        .versions(4)
        .inputs(3, 3)
        .types(each_type!([
            Float32, Float16, BFloat16, Int8, UInt8, Int16, Int32, UInt32, Int64, Bool, Float8E4M3Fn,
            Float8E5M2
        ](Int32, Int32))),
];

/// The four dimensions of an NHWC image and the size of its square blocks.
fn image(node: &Node<'_>, block: i32) -> Result<([usize; 4], usize), OpError> {
    let shape = node.shape(0)?;
    let dims = <[usize; 4]>::try_from(&shape[..])
        .map_err(|_| OpError::invalid(format!("blocks are moved within images of rank 4, not {shape}")))?;
    let block = usize::try_from(block).ok().filter(|&b| b > 0);
    Ok((dims, block.ok_or_else(|| OpError::invalid("the block size must be at least 1"))?))
}

fn space_to_depth_dims(node: &Node<'_>) -> Result<([usize; 4], usize), OpError> {
    let (dims, block) = image(node, node.options::<SpaceToDepthOptionsT>()?.block_size)?;
    if dims[1] % block != 0 || dims[2] % block != 0 {
        return Err(OpError::invalid(format!("{dims:?} does not divide into blocks of {block} by {block}")));
    }
    Ok((dims, block))
}

fn infer_space_to_depth(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let ([n, h, w, c], block) = space_to_depth_dims(node)?;
    let depth =
        c.checked_mul(block * block).ok_or_else(|| OpError::invalid("the depth is larger than memory"))?;
    Ok(one(Shape::from([n, h / block, w / block, depth])))
}

fn lower_space_to_depth(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let ([n, h, w, c], b) = space_to_depth_dims(node)?;
    // Result [n, h/b, w/b, b, b, c] of source [n, h/b, b, w/b, b, c].
    let pixel = c as isize;
    let row = w as isize * pixel;
    let (block, image) = (b as isize, h as isize * row);
    let result = [n, h / b, w / b, b, b, c];
    let strides = [image, block * row, block * pixel, row, pixel, 1];
    let (ends, dims) = into_dense(node.shape(0)?, 0, &result, &strides)?;
    Moves::new(node.dtype(0)?)?.step((0, 0), ends, &dims)?.kernel("space_to_depth", &[&node.output(0)?.shape])
}

fn depth_to_space_dims(node: &Node<'_>) -> Result<([usize; 4], usize), OpError> {
    let (dims, block) = image(node, node.options::<DepthToSpaceOptionsT>()?.block_size)?;
    if block.checked_mul(block).is_none_or(|area| dims[3] % area != 0) {
        return Err(OpError::invalid(format!(
            "{} channels do not divide into blocks of {block} by {block}",
            dims[3]
        )));
    }
    Ok((dims, block))
}

fn infer_depth_to_space(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let ([n, h, w, c], block) = depth_to_space_dims(node)?;
    let grow =
        |d: usize| d.checked_mul(block).ok_or_else(|| OpError::invalid("the image is larger than memory"));
    Ok(one(Shape::from([n, grow(h)?, grow(w)?, c / (block * block)])))
}

fn lower_depth_to_space(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let ([n, h, w, c], b) = depth_to_space_dims(node)?;
    // Result [n, h, b, w, b, c'] of source [n, h, w, b, b, c'].
    let depth = c / (b * b);
    let (inner, block) = (depth as isize, b as isize);
    let pixel = c as isize;
    let row = w as isize * pixel;
    let result = [n, h, b, w, b, depth];
    let strides = [h as isize * row, row, block * inner, pixel, inner, 1];
    let (ends, dims) = into_dense(node.shape(0)?, 0, &result, &strides)?;
    Moves::new(node.dtype(0)?)?.step((0, 0), ends, &dims)?.kernel("depth_to_space", &[&node.output(0)?.shape])
}

/// Blocks between a batch of small images and one of large ones.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tiling {
    /// The batch of large images.
    batch: usize,
    /// Rows and columns of a large image; one entry for sequences.
    large: Vec<usize>,
    /// Rows and columns of a small one.
    small: Vec<usize>,
    /// Size of blocks per spatial axis.
    block: Vec<usize>,
    /// Rows above and columns left of the large image that the tiles cover too.
    before: Vec<usize>,
    /// Elements per position.
    depth: usize,
}

/// Reads the blocks and, per spatial axis, the two counts of input 2.
#[allow(clippy::type_complexity, reason = "two lists of counts")]
fn blocks(node: &Node<'_>) -> Result<(Vec<usize>, Vec<(usize, usize)>), InferError> {
    let shape = node.shape(0)?;
    let (block, edges) = (node.ints(1)?, node.ints(2)?);
    let spatial = block.len();
    let bad = || {
        OpError::invalid(format!(
            "blocks {block:?} with edges {edges:?} do not fit {shape}: rank 3 or 4 takes one or two positive block sizes \
             and two non-negative counts for each"
        ))
    };
    if !(3..=4).contains(&shape.rank()) || spatial != shape.rank() - 2 || edges.len() != 2 * spatial {
        return Err(bad().into());
    }
    let sizes = block.iter().map(|&b| usize::try_from(b).ok().filter(|&b| b > 0).ok_or_else(bad));
    let count = |v: i64| usize::try_from(v).map_err(|_| bad());
    let counts = edges.chunks_exact(2).map(|e| Ok((count(e[0])?, count(e[1])?)));
    Ok((sizes.collect::<Result<_, _>>()?, counts.collect::<Result<_, OpError>>()?))
}

fn space_to_batch(node: &Node<'_>) -> Result<Tiling, InferError> {
    let shape = node.shape(0)?;
    let (block, pads) = blocks(node)?;
    let large = shape[1..1 + block.len()].to_vec();
    let mut small = Vec::new();
    for ((&d, &b), &(before, after)) in large.iter().zip(&block).zip(&pads) {
        let padded = d.checked_add(before).and_then(|d| d.checked_add(after));
        small.push(padded.filter(|p| p % b == 0).map(|p| p / b).ok_or_else(|| {
            OpError::invalid(format!(
                "{d} positions padded by {before} and {after} do not divide into blocks of {b}"
            ))
        })?);
    }
    let depth = shape[1 + block.len()];
    Ok(Tiling { batch: shape[0], large, small, block, before: pads.iter().map(|p| p.0).collect(), depth })
}

fn batch_to_space(node: &Node<'_>) -> Result<Tiling, InferError> {
    let shape = node.shape(0)?;
    let (block, crops) = blocks(node)?;
    let small = shape[1..1 + block.len()].to_vec();
    let area = block.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
    let batch = area.filter(|a| shape[0] % a == 0).map(|a| shape[0] / a).ok_or_else(|| {
        OpError::invalid(format!("a batch of {} does not divide into blocks {block:?}", shape[0]))
    })?;
    let mut large = Vec::new();
    for ((&d, &b), &(before, after)) in small.iter().zip(&block).zip(&crops) {
        let cropped = d.checked_mul(b).and_then(|d| d.checked_sub(before)).and_then(|d| d.checked_sub(after));
        large.push(cropped.ok_or_else(|| {
            OpError::invalid(format!("{d} blocks of {b} positions cannot be cropped by {before} and {after}"))
        })?);
    }
    let depth = shape[1 + block.len()];
    Ok(Tiling { batch, large, small, block, before: crops.iter().map(|p| p.0).collect(), depth })
}

impl Tiling {
    /// The shape with the small images in the batch.
    fn small_shape(&self) -> Result<Shape, OpError> {
        let batch = self.block.iter().try_fold(self.batch, |n, &b| n.checked_mul(b));
        let batch = batch.ok_or_else(|| OpError::invalid("the batch is larger than memory"))?;
        Ok([&[batch][..], &self.small, &[self.depth]].concat().into_iter().collect())
    }

    /// The shape of the large images.
    fn large_shape(&self) -> Shape {
        [&[self.batch][..], &self.large, &[self.depth]].concat().into_iter().collect()
    }

    /// One copy per position in a block, from the large images to the small ones or back.
    fn moves(&self, mut moves: Moves, to_small: bool) -> Result<Moves, OpError> {
        let (small_shape, large_shape) = (self.small_shape()?, self.large_shape());
        let area: usize = self.block.iter().product();
        for position in 0..area {
            let mut rest = position;
            let mut within = vec![0; self.block.len()];
            for (at, &b) in within.iter_mut().zip(&self.block).rev() {
                *at = rest % b;
                rest /= b;
            }
            // Small position i lies at large position i * block + within - before, if that is inside.
            let (mut small, mut large, mut len) = (vec![position * self.batch], vec![0], vec![self.batch]);
            let mut step = vec![1];
            for (axis, &at) in within.iter().enumerate() {
                let (b, before) = (self.block[axis], self.before[axis]);
                let first = before.saturating_sub(at).div_ceil(b);
                let start = first * b + at - before;
                let room = self.large[axis].saturating_sub(start).div_ceil(b);
                small.push(first);
                large.push(start);
                len.push(room.min(self.small[axis].saturating_sub(first)));
                step.push(b as isize);
            }
            small.push(0);
            large.push(0);
            len.push(self.depth);
            step.push(1);
            if len.contains(&0) {
                continue;
            }
            let ones = vec![1; len.len()];
            let copy = BoxCopy {
                source: &large_shape,
                start: &large,
                step: &step,
                len: &len,
                result: &small_shape,
                to: &small,
                to_step: &ones,
            };
            let (mut ends, mut dims) = copy.strided();
            if !to_small {
                core::mem::swap(&mut ends.src_start, &mut ends.dst_start);
                core::mem::swap(&mut ends.src_len, &mut ends.dst_len);
                dims = dims.iter().map(|d| CopyDim { len: d.len, src: d.dst, dst: d.src }).collect();
            }
            moves = moves.step((0, 0), ends, &dims)?;
        }
        Ok(moves)
    }
}

fn infer_space_to_batch(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(space_to_batch(node)?.small_shape()?))
}

fn lower_space_to_batch(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let moves = Moves::new(node.dtype(0)?)?.over(Background::Element(zero_element(node, 0)?));
    space_to_batch(node)?.moves(moves, true)?.kernel("space_to_batch", &[&node.output(0)?.shape])
}

fn infer_batch_to_space(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(batch_to_space(node)?.large_shape()))
}

fn lower_batch_to_space(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let moves = Moves::new(node.dtype(0)?)?;
    batch_to_space(node)?.moves(moves, false)?.kernel("batch_to_space", &[&node.output(0)?.shape])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{run_one, tensor};
    use super::*;
    use ferrolite_model::Options;
    use proptest::prelude::*;

    #[test]
    fn blocks_become_channels_and_back() {
        let image: Vec<i32> = (0..16).collect();
        let options = SpaceToDepthOptionsT { block_size: 2 };
        let deep = run_one::<i32>(BuiltinOperator::SPACE_TO_DEPTH, options, &[tensor(&[1, 4, 4, 1], &image)])
            .unwrap();
        assert_eq!(deep.0, Shape::from([1, 2, 2, 4]));
        assert_eq!(deep.1, [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]);
        let options = DepthToSpaceOptionsT { block_size: 2 };
        let back =
            run_one::<i32>(BuiltinOperator::DEPTH_TO_SPACE, options, &[tensor(&deep.0, &deep.1)]).unwrap();
        assert_eq!(back, (Shape::from([1, 4, 4, 1]), image));
        let options = SpaceToDepthOptionsT { block_size: 3 };
        assert!(
            run_one::<i32>(BuiltinOperator::SPACE_TO_DEPTH, options, &[tensor(&[1, 4, 4, 1], &[0; 16])])
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn batches_become_space_and_back(
            n in 1usize..3,
            h in 1usize..7,
            w in 1usize..7,
            block in (1i32..4, 1i32..4),
            before in (0i32..4, 0i32..4),
        ) {
            // Pads so that blocks divide the image.
            let after = |d: usize, b: i32, before: i32| (b - (d as i32 + before) % b) % b;
            let edges = [before.0, after(h, block.0, before.0), before.1, after(w, block.1, before.1)];
            let image: Vec<i32> = (1..).take(n * h * w * 2).collect();
            let inputs = [tensor(&[n, h, w, 2], &image), tensor(&[2], &[block.0, block.1]), tensor(&[2, 2], &edges)];
            let small = run_one::<i32>(BuiltinOperator::SPACE_TO_BATCH_ND, Options::None, &inputs).unwrap();
            prop_assert_eq!(small.0[0], n * (block.0 * block.1) as usize);
            prop_assert_eq!(small.1.iter().filter(|&&x| x != 0).count(), image.len());
            let inputs = [tensor(&small.0, &small.1), tensor(&[2], &[block.0, block.1]), tensor(&[2, 2], &edges)];
            let back = run_one::<i32>(BuiltinOperator::BATCH_TO_SPACE_ND, Options::None, &inputs).unwrap();
            prop_assert_eq!(back, (Shape::from([n, h, w, 2]), image));
        }
    }
}
