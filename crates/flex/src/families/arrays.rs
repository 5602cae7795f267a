//! Rearranging: gradients of slicing, padding and resizing, and helpers of shapes.

use std::sync::Arc;

use ferrolite_ops::{
    FnKernel, InferError, Io, Kernel, LowerCx, Node, OpError, OpSpec, OutputShape, OutputShapes, Shape,
    TensorType, TensorValue, one, same_types, types,
};

use super::support::{advance, dims, dynamic, integers, like, shape_in, sizes, tf_name};
use crate::node_def::NodeDef;

/// More operands than any file has.
const ANY: usize = usize::MAX;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("FlexStridedSliceGrad", |n| Ok(one(shape_in(n, 0)?)), lower_slice_grad).inputs(5, 5),
    OpSpec::custom("FlexMirrorPadGrad", infer_mirror_grad, lower_mirror_grad)
        .inputs(2, 2)
        .types(types![(Float32, Int32) -> (Float32), (Float32, Int64) -> (Float32)]),
    OpSpec::custom("FlexResizeBilinearGrad", like::<1>, lower_bilinear_grad)
        .inputs(2, 2)
        .types(same_types![Float32]),
    OpSpec::custom("FlexResizeNearestNeighborGrad", infer_nearest_grad, lower_nearest_grad)
        .inputs(2, 2)
        .types(types![(Float32, Int32) -> (Float32)]),
    OpSpec::custom("FlexInvertPermutation", like::<0>, lower_invert).types(same_types![Int32, Int64]),
    OpSpec::custom("FlexBroadcastGradientArgs", dynamic, lower_gradient_args).inputs(2, 2).outputs(2, 2),
    OpSpec::custom("FlexConcatOffset", infer_offsets, lower_offsets).inputs(2, ANY).outputs(1, ANY),
    OpSpec::custom("FlexZerosLike", infer_like, lower_zeros),
    OpSpec::custom("FlexOnesLike", like::<0>, lower_ones).types(same_types![Float32, Int32, Int64]),
    OpSpec::custom("FlexAddN", infer_like, lower_add_n).inputs(1, ANY),
    OpSpec::custom("FlexRoll", like::<0>, lower_roll).inputs(3, 3),
];

/// One axis of a slice: where it starts, how it steps, how many elements it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: usize,
    step: i64,
    count: usize,
}

/// What the masks of a strided slice say.
struct Masks {
    begin: i64,
    end: i64,
    ellipsis: i64,
    new_axis: i64,
    shrink: i64,
}

impl Masks {
    fn of(def: &NodeDef) -> Result<Self, OpError> {
        Ok(Self {
            begin: def.int("begin_mask", 0)?,
            end: def.int("end_mask", 0)?,
            ellipsis: def.int("ellipsis_mask", 0)?,
            new_axis: def.int("new_axis_mask", 0)?,
            shrink: def.int("shrink_axis_mask", 0)?,
        })
    }

    /// The ranges of every axis of `shape`, and the shape of the slice.
    fn ranges(
        &self,
        shape: &[usize],
        begin: &[i64],
        end: &[i64],
        strides: &[i64],
    ) -> Result<(Vec<Range>, Vec<usize>), OpError> {
        let bit = |mask: i64, i: usize| i < 63 && mask >> i & 1 == 1;
        if begin.len() != end.len() || begin.len() != strides.len() {
            return Err(OpError::invalid("begin, end and strides of a slice differ in length"));
        }
        let added = (0..begin.len()).filter(|&i| bit(self.new_axis, i) && !bit(self.ellipsis, i)).count();
        let has_ellipsis = (0..begin.len()).any(|i| bit(self.ellipsis, i));
        let given = begin.len() - added - usize::from(has_ellipsis);
        let skipped = shape.len().checked_sub(given);
        let skipped =
            skipped.ok_or_else(|| OpError::invalid("a slice names more axes than the tensor has"))?;
        let (mut ranges, mut out) = (Vec::new(), Vec::new());
        let whole = |ranges: &mut Vec<Range>, out: &mut Vec<usize>, count: usize| {
            for _ in 0..count {
                let size = shape[ranges.len()];
                ranges.push(Range { start: 0, step: 1, count: size });
                out.push(size);
            }
        };
        for i in 0..begin.len() {
            if bit(self.ellipsis, i) {
                whole(&mut ranges, &mut out, skipped);
                continue;
            }
            if bit(self.new_axis, i) {
                out.push(1);
                continue;
            }
            let size =
                *shape.get(ranges.len()).ok_or_else(|| OpError::invalid("a slice has two ellipses"))?;
            let range = self.range(
                size as i64,
                begin[i],
                end[i],
                strides[i],
                [bit(self.begin, i), bit(self.end, i), bit(self.shrink, i)],
            )?;
            ranges.push(range);
            if !bit(self.shrink, i) {
                out.push(range.count);
            }
        }
        let rest = shape.len() - ranges.len().min(shape.len());
        whole(&mut ranges, &mut out, rest);
        Ok((ranges, out))
    }

    fn range(
        &self,
        size: i64,
        begin: i64,
        end: i64,
        step: i64,
        [open_begin, open_end, single]: [bool; 3],
    ) -> Result<Range, OpError> {
        if step == 0 {
            return Err(OpError::invalid("a slice has a stride of zero"));
        }
        let wrap = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        if single {
            let start = wrap(begin);
            if !(0..size).contains(&start) {
                return Err(OpError::runtime(format!("the index {begin} is outside an axis of {size}")));
            }
            return Ok(Range { start: start as usize, step: 1, count: 1 });
        }
        let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let start = if open_begin { if step > 0 { low } else { high } } else { wrap(begin).clamp(low, high) };
        let stop = if open_end { if step > 0 { high } else { low } } else { wrap(end).clamp(low, high) };
        let distance = if step > 0 { stop - start } else { start - stop };
        let count = if distance <= 0 { 0 } else { (distance as u64).div_ceil(step.unsigned_abs()) };
        Ok(Range { start: start.max(0) as usize, step, count: count as usize })
    }
}

/// Inputs: shape, begin, end and strides of the slice, and its gradient, which goes where the slice was.
fn lower_slice_grad(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let masks = Masks::of(&NodeDef::of(node)?)?;
    let shape = node.output(0)?.shape.clone();
    Ok(FnKernel::new("strided_slice_grad", move |io, _| {
        let [begin, end, strides] = [1, 2, 3].map(|i| integers(&io.inputs, i));
        let (ranges, slice) = masks.ranges(&shape, &begin?, &end?, &strides?)?;
        if io.inputs.shape(4)? != slice {
            return Err(OpError::runtime(format!(
                "the gradient of a slice of shape {slice:?} has the shape {:?}",
                io.inputs.shape(4)?
            )));
        }
        let size = io.inputs.view(4)?.dtype.byte_len(1).unwrap_or(1);
        let gradient = io.inputs.bytes(4)?;
        let out = io.outputs.bytes(0)?;
        out.fill(0);
        // The innermost axes that the slice takes whole are moved together.
        let inner =
            ranges.iter().zip(shape.iter()).rev().take_while(|(r, d)| r.step == 1 && r.count == **d).count();
        let outer = ranges.len() - inner;
        let run = shape[outer..].iter().product::<usize>() * size;
        let count: usize = ranges[..outer].iter().map(|r| r.count).product();
        if run == 0 || gradient.is_empty() {
            return Ok(());
        }
        let mut index = vec![0usize; outer];
        for from in gradient.chunks_exact(run).take(count) {
            let place = index.iter().zip(&ranges).zip(shape.iter()).fold(0, |place, ((&i, r), &dim)| {
                place * dim + (r.start as i64 + i as i64 * r.step) as usize
            });
            out[place * run..][..run].copy_from_slice(from);
            for axis in (0..outer).rev() {
                index[axis] += 1;
                if index[axis] < ranges[axis].count {
                    break;
                }
                index[axis] = 0;
            }
        }
        Ok(())
    })
    .boxed())
}

fn mirror_shape(node: &Node<'_>) -> Result<(Vec<(usize, usize)>, Shape), InferError> {
    let flat = shape_in(node, 1)?;
    let pairs: Vec<(usize, usize)> = flat.chunks_exact(2).map(|p| (p[0], p[1])).collect();
    let padded = node.shape(0)?;
    if pairs.len() != padded.rank() {
        return Err(OpError::invalid("a padding is a pair for each axis").into());
    }
    let dims = padded.iter().zip(&pairs).map(|(&d, &(a, b))| d.checked_sub(a)?.checked_sub(b));
    let shape: Option<Shape> = dims.collect();
    let shape = shape.ok_or_else(|| OpError::invalid("a padding is wider than the padded tensor"))?;
    Ok((pairs, shape))
}

fn infer_mirror_grad(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(mirror_shape(node)?.1))
}

/// Folds the gradient of mirrored edges back onto what they mirror.
fn lower_mirror_grad(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (pairs, shape) = mirror_shape(node)?;
    // REFLECT leaves the edge itself out of the mirror image, SYMMETRIC repeats it.
    let offset = match NodeDef::of(node)?.text("mode", "REFLECT")? {
        "REFLECT" => 0,
        "SYMMETRIC" => 1,
        other => return Err(OpError::unsupported(format!("the padding mode '{other}'"))),
    };
    let fits = pairs.iter().zip(shape.iter()).all(|(&(a, b), &d)| a.max(b) < d + offset || a.max(b) == 0);
    if !fits {
        return Err(OpError::invalid("a mirrored edge is wider than what it mirrors"));
    }
    let padded = node.shape(0)?.clone();
    Ok(FnKernel::new("mirror_pad_grad", move |io, _| {
        let gradient = io.inputs.get::<f32>(0)?;
        let out = io.outputs.get::<f32>(0)?;
        out.fill(0.0);
        let mut index = vec![0usize; padded.rank()];
        for &g in gradient {
            let place =
                index.iter().zip(&pairs).zip(shape.iter()).fold(0, |place, ((&i, &(before, _)), &dim)| {
                    let at = if i < before {
                        before - i - offset
                    } else if i - before >= dim {
                        2 * dim - 2 + offset - (i - before)
                    } else {
                        i - before
                    };
                    place * dim + at
                });
            out[place] += g;
            advance(&mut index, &padded);
        }
        Ok(())
    })
    .boxed())
}

/// How resizing places pixels.
#[derive(Clone, Copy)]
struct Grid {
    align_corners: bool,
    half_pixel_centers: bool,
}

impl Grid {
    fn of(node: &Node<'_>) -> Result<Self, OpError> {
        let def = NodeDef::of(node)?;
        Ok(Self {
            align_corners: def.bool("align_corners", false)?,
            half_pixel_centers: def.bool("half_pixel_centers", false)?,
        })
    }

    fn scale(&self, input: usize, output: usize) -> f32 {
        if self.align_corners && output > 1 {
            input.saturating_sub(1) as f32 / (output - 1) as f32
        } else {
            input as f32 / output.max(1) as f32
        }
    }

    fn source(&self, out: usize, scale: f32) -> f32 {
        if self.half_pixel_centers { (out as f32 + 0.5) * scale - 0.5 } else { out as f32 * scale }
    }
}

/// Inputs: the gradient of the resized images, and the images.
fn lower_bilinear_grad(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let grid = Grid::of(node)?;
    let ([n, oh, ow, c], [images, h, w, channels]) = (dims::<4>(node.shape(0)?)?, dims::<4>(node.shape(1)?)?);
    if n != images || c != channels {
        return Err(OpError::invalid(
            "the gradient of resized images differs from them in number or channels",
        ));
    }
    let (sy, sx) = (grid.scale(h, oh), grid.scale(w, ow));
    let taps = move |out: usize, scale: f32, size: usize| {
        let at = grid.source(out, scale);
        let low = at.floor().max(0.0) as usize;
        let high = (at.ceil().max(0.0) as usize).min(size.saturating_sub(1));
        (low.min(size.saturating_sub(1)), high, (at - at.floor()).max(0.0))
    };
    Ok(FnKernel::new("f32_resize_bilinear_grad", move |io, _| {
        let gradient = io.inputs.get::<f32>(0)?;
        let out = io.outputs.get::<f32>(0)?;
        out.fill(0.0);
        for image in 0..n {
            for y in 0..oh {
                let (y0, y1, ly) = taps(y, sy, h);
                for x in 0..ow {
                    let (x0, x1, lx) = taps(x, sx, w);
                    let g = &gradient[((image * oh + y) * ow + x) * c..][..c];
                    let corners = [
                        (y0, x0, (1.0 - ly) * (1.0 - lx)),
                        (y0, x1, (1.0 - ly) * lx),
                        (y1, x0, ly * (1.0 - lx)),
                        (y1, x1, ly * lx),
                    ];
                    for (py, px, weight) in corners {
                        let to = &mut out[((image * h + py) * w + px) * c..][..c];
                        to.iter_mut().zip(g).for_each(|(to, g)| *to += g * weight);
                    }
                }
            }
        }
        Ok(())
    })
    .boxed())
}

fn infer_nearest_grad(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let [n, _, _, c] = dims::<4>(node.shape(0)?)?;
    match shape_in(node, 1)?.dims() {
        [h, w] => Ok(one(Shape::from([n, *h, *w, c]))),
        _ => Err(OpError::invalid("the size of images is a height and a width").into()),
    }
}

/// Inputs: the gradient of the resized images, and the size of the images.
fn lower_nearest_grad(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let grid = Grid::of(node)?;
    let ([n, oh, ow, c], [_, h, w, _]) = (dims::<4>(node.shape(0)?)?, dims::<4>(&node.output(0)?.shape)?);
    let (sy, sx) = (grid.scale(h, oh), grid.scale(w, ow));
    let nearest = move |out: usize, scale: f32, size: usize| {
        let at = if grid.half_pixel_centers { (out as f32 + 0.5) * scale } else { out as f32 * scale };
        let at = if grid.align_corners { (at + 0.5).floor() } else { at.floor() };
        (at.max(0.0) as usize).min(size.saturating_sub(1))
    };
    Ok(FnKernel::new("f32_resize_nearest_grad", move |io, _| {
        let gradient = io.inputs.get::<f32>(0)?;
        let out = io.outputs.get::<f32>(0)?;
        out.fill(0.0);
        for image in 0..n {
            for y in 0..oh {
                for x in 0..ow {
                    let g = &gradient[((image * oh + y) * ow + x) * c..][..c];
                    let to = &mut out[((image * h + nearest(y, sy, h)) * w + nearest(x, sx, w)) * c..][..c];
                    to.iter_mut().zip(g).for_each(|(to, g)| *to += g);
                }
            }
        }
        Ok(())
    })
    .boxed())
}

fn lower_invert(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let wide = node.output(0)?.dtype == TensorType::Int64;
    Ok(FnKernel::new("invert_permutation", move |io, _| {
        let permutation = sizes(&io.inputs, 0)?;
        let mut inverse = vec![None; permutation.len()];
        for (i, &p) in permutation.iter().enumerate() {
            match inverse.get_mut(p) {
                Some(slot @ None) => *slot = Some(i as i64),
                _ => return Err(OpError::runtime("the input is no permutation")),
            }
        }
        write_integers(io, 0, wide, inverse.into_iter().flatten())
    })
    .boxed())
}

/// Writes integers to a planned output.
fn write_integers(
    io: &mut Io<'_>,
    i: usize,
    wide: bool,
    values: impl Iterator<Item = i64>,
) -> Result<(), OpError> {
    if wide {
        io.outputs.get::<i64>(i)?.iter_mut().zip(values).for_each(|(o, v)| *o = v);
    } else {
        io.outputs.get::<i32>(i)?.iter_mut().zip(values).for_each(|(o, v)| *o = v as i32);
    }
    Ok(())
}

/// For each of two shapes, the axes of their broadcast along which its gradient is summed.
fn lower_gradient_args(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let wide = node.output(0)?.dtype == TensorType::Int64;
    Ok(FnKernel::new("broadcast_gradient_args", move |io, _| {
        let shapes = [integers(&io.inputs, 0)?, integers(&io.inputs, 1)?];
        let rank = shapes[0].len().max(shapes[1].len());
        let dim =
            |s: usize, axis: usize| (axis + shapes[s].len()).checked_sub(rank).map_or(1, |i| shapes[s][i]);
        for s in 0..2 {
            // Axes on which both are one are summed too: it costs nothing and TensorFlow does so.
            let axes = (0..rank)
                .filter(|&axis| dim(s, axis) == 1 && (dim(1 - s, axis) != 1 || dim(0, axis) == dim(1, axis)));
            let axes: Vec<i64> = axes.map(|a| a as i64).collect();
            let bytes: Vec<u8> = if wide {
                axes.iter().flat_map(|a| a.to_le_bytes()).collect()
            } else {
                axes.iter().flat_map(|&a| (a as i32).to_le_bytes()).collect()
            };
            io.outputs.set_bytes(s, &[axes.len()], &bytes)?;
        }
        Ok(())
    })
    .boxed())
}

fn infer_offsets(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    (1..node.inputs.len()).map(|i| Ok(OutputShape::Known(node.shape(i)?.clone()))).collect()
}

/// Inputs: an axis, and shapes that are joined along it. Outputs: where each starts.
fn lower_offsets(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let wide = node.output(0)?.dtype == TensorType::Int64;
    Ok(FnKernel::new("concat_offset", move |io, _| {
        let axis = integers(&io.inputs, 0)?.first().copied().unwrap_or(0);
        let mut at = 0;
        for i in 1..io.inputs.len() {
            let shape = integers(&io.inputs, i)?;
            let axis = ferrolite_ops::resolve_axis(axis, shape.len())?;
            write_integers(io, i - 1, wide, (0..shape.len()).map(|a| if a == axis { at } else { 0 }))?;
            at += shape[axis];
        }
        Ok(())
    })
    .boxed())
}

/// As input 0; a list is a scalar.
fn infer_like(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    match node.dtype(0)? {
        TensorType::Variant => Ok(one(Shape::scalar())),
        _ => like::<0>(node),
    }
}

fn lower_zeros(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let list = node.dtype(0)? == TensorType::Variant;
    Ok(FnKernel::new("zeros_like", move |io, _| {
        if !list {
            io.outputs.bytes(0)?.fill(0);
            return Ok(());
        }
        let mut list = io.inputs.list(0)?.clone();
        let cleared = Arc::make_mut(&mut list);
        for at in 0..cleared.len() {
            if let Some(item) = cleared.items()[at].clone() {
                let zeros = TensorValue::zeros(item.dtype(), item.shape().clone())?;
                cleared.set(at, Arc::new(zeros))?;
            }
        }
        io.outputs.set_list(0, list)
    })
    .boxed())
}

fn lower_ones(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let dtype = node.output(0)?.dtype;
    Ok(FnKernel::new("ones_like", move |io, _| {
        match dtype {
            TensorType::Float32 => io.outputs.get::<f32>(0)?.fill(1.0),
            TensorType::Int32 => io.outputs.get::<i32>(0)?.fill(1),
            _ => io.outputs.get::<i64>(0)?.fill(1),
        }
        Ok(())
    })
    .boxed())
}

/// Adds tensors, or lists element by element.
fn lower_add_n(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (dtype, count) = (node.dtype(0)?, node.inputs.len());
    let list = dtype == TensorType::Variant;
    for i in 1..count {
        if !list && (node.shape(i)? != node.shape(0)? || node.dtype(i)? != dtype) {
            return Err(OpError::invalid("tensors that are added must have equal types and shapes"));
        }
    }
    let add = super::resources::Combine::Add;
    Ok(FnKernel::new("add_n", move |io, _| {
        if !list {
            for i in 0..count {
                let (new, out) = (io.inputs.bytes(i)?, io.outputs.bytes(0)?);
                if i == 0 {
                    out.copy_from_slice(new);
                } else if !new.is_empty() {
                    add.apply(dtype, out, new)?;
                }
            }
            return Ok(());
        }
        let mut list = io.inputs.list(0)?.clone();
        let sum = Arc::make_mut(&mut list);
        for i in 1..count {
            let other = io.inputs.list(i)?;
            if other.len() != sum.len() || other.dtype != sum.dtype {
                return Err(OpError::runtime("lists that are added must have equal types and lengths"));
            }
            for (at, new) in other.items().iter().enumerate() {
                let Some(new) = new else { continue };
                let total = match sum.items()[at].clone() {
                    None => new.clone(),
                    Some(old) if old.shape() == new.shape() => {
                        let mut total = TensorValue::clone(&old);
                        if !new.bytes().is_empty() {
                            add.apply(other.dtype, total.bytes_mut(), new.bytes())?;
                        }
                        Arc::new(total)
                    }
                    Some(_) => {
                        return Err(OpError::runtime("elements of lists that are added differ in shape"));
                    }
                };
                sum.set(at, total)?;
            }
        }
        io.outputs.set_list(0, list)
    })
    .boxed())
}

/// Inputs: tensor, shifts, axes.
fn lower_roll(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let shape = node.shape(0)?.clone();
    let size = node.dtype(0)?.byte_len(1);
    let size = size.ok_or_else(|| OpError::unsupported(format!("{} on strings", tf_name(node))))?;
    Ok(FnKernel::new("roll", move |io, _| {
        let (shifts, axes) = (integers(&io.inputs, 1)?, integers(&io.inputs, 2)?);
        if shifts.len() != axes.len() {
            return Err(OpError::runtime("a roll has a shift for each axis"));
        }
        let mut shift = vec![0i64; shape.rank()];
        for (&s, &axis) in shifts.iter().zip(&axes) {
            let axis = ferrolite_ops::resolve_axis(axis, shape.rank())?;
            shift[axis] = (shift[axis] + s).rem_euclid(shape[axis].max(1) as i64);
        }
        let (input, out) = (io.inputs.bytes(0)?, io.outputs.bytes(0)?);
        let mut index = vec![0usize; shape.rank()];
        for from in input.chunks_exact(size) {
            let place = index
                .iter()
                .zip(&shift)
                .zip(shape.iter())
                .fold(0, |place, ((&i, &s), &dim)| place * dim + (i + s as usize) % dim);
            out[place * size..][..size].copy_from_slice(from);
            advance(&mut index, &shape);
        }
        Ok(())
    })
    .boxed())
}
