//! Scattering rows into tensors, and sums over segments.

use ferrolite_ops::{
    FnKernel, InferError, Kernel, LowerCx, Node, OpError, OpSpec, OutputShapes, Shape, TensorType, one,
};

use super::resources::Combine;
use super::support::{dynamic, integers, like, number_of, shape_in, tf_name};

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("FlexTensorScatterUpdate", like::<0>, lower_tensor_scatter).inputs(3, 3),
    OpSpec::custom("FlexTensorScatterAdd", like::<0>, lower_tensor_scatter).inputs(3, 3),
    OpSpec::custom("FlexTensorScatterSub", like::<0>, lower_tensor_scatter).inputs(3, 3),
    OpSpec::custom("FlexTensorScatterMin", like::<0>, lower_tensor_scatter).inputs(3, 3),
    OpSpec::custom("FlexTensorScatterMax", like::<0>, lower_tensor_scatter).inputs(3, 3),
    OpSpec::custom("FlexScatterNd", |n| Ok(one(shape_in(n, 2)?)), lower_scatter_nd).inputs(3, 3),
    OpSpec::custom("FlexUnsortedSegmentSum", infer_segments, lower_segments).inputs(3, 3),
    OpSpec::custom("FlexUnsortedSegmentMax", infer_segments, lower_segments).inputs(3, 3),
    OpSpec::custom("FlexUnsortedSegmentMin", infer_segments, lower_segments).inputs(3, 3),
    OpSpec::custom("FlexUnsortedSegmentProd", infer_segments, lower_segments).inputs(3, 3),
    OpSpec::custom("FlexDynamicStitch", dynamic, lower_stitch).inputs(2, usize::MAX),
    OpSpec::custom("FlexParallelDynamicStitch", dynamic, lower_stitch).inputs(2, usize::MAX),
];

/// Combines rows of `updates` into `out` at the places that the rows of `indices` name, `depth` coordinates each; a place
/// outside of the tensor is an error, as on TensorFlow's CPU.
fn scatter(
    combine: Combine,
    dtype: TensorType,
    shape: &Shape,
    indices: (&[i64], usize),
    updates: &[u8],
    out: &mut [u8],
) -> Result<(), OpError> {
    let (indices, depth) = indices;
    let axes = shape
        .get(..depth)
        .ok_or_else(|| OpError::invalid("an index has more coordinates than the tensor axes"))?;
    let rows: usize = axes.iter().product();
    let width = out.len().checked_div(rows).unwrap_or(0);
    let count = indices.len().checked_div(depth).unwrap_or(1);
    if updates.len() != count * width {
        return Err(OpError::runtime("the updates are not a row for each index"));
    }
    for at in 0..count {
        let mut place = 0;
        for (&i, &dim) in indices[at * depth..][..depth].iter().zip(axes) {
            let i = usize::try_from(i).ok().filter(|&i| i < dim);
            let i = i.ok_or_else(|| {
                OpError::runtime(format!("an index lies outside the tensor of shape {shape}"))
            })?;
            place = place * dim + i;
        }
        if width > 0 {
            combine.apply(dtype, &mut out[place * width..][..width], &updates[at * width..][..width])?;
        }
    }
    Ok(())
}

fn depth_of(shape: &[usize]) -> Result<usize, OpError> {
    shape.last().copied().ok_or_else(|| OpError::invalid("indices need an axis of coordinates"))
}

/// Inputs: tensor, indices, updates.
fn lower_tensor_scatter(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let combine = Combine::of(tf_name(node))?;
    let (dtype, shape) = (node.dtype(0)?, node.shape(0)?.clone());
    Ok(FnKernel::new("tensor_scatter", move |io, _| {
        let indices = integers(&io.inputs, 1)?;
        let depth = depth_of(io.inputs.shape(1)?)?;
        let out = io.outputs.bytes(0)?;
        out.copy_from_slice(io.inputs.bytes(0)?);
        scatter(combine, dtype, &shape, (&indices, depth), io.inputs.bytes(2)?, out)
    })
    .boxed())
}

/// Inputs: indices, updates, shape.
fn lower_scatter_nd(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (dtype, shape) = (node.dtype(1)?, node.output(0)?.shape.clone());
    Ok(FnKernel::new("scatter_nd", move |io, _| {
        let indices = integers(&io.inputs, 0)?;
        let depth = depth_of(io.inputs.shape(0)?)?;
        let out = io.outputs.bytes(0)?;
        out.fill(0);
        scatter(Combine::Add, dtype, &shape, (&indices, depth), io.inputs.bytes(1)?, out)
    })
    .boxed())
}

/// Inputs: data, segment of each row, number of segments.
fn infer_segments(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let count = match shape_in(node, 2)?.dims() {
        [count] => *count,
        _ => return Err(OpError::invalid("the number of segments is a scalar").into()),
    };
    let (data, ids) = (node.shape(0)?, node.shape(1)?);
    if data.get(..ids.rank()) != Some(ids.dims()) {
        return Err(
            OpError::invalid(format!("segments of shape {ids} do not fit data of shape {data}")).into()
        );
    }
    Ok(one([&[count], &data[ids.rank()..]].concat().into_iter().collect()))
}

fn lower_segments(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let dtype = node.dtype(0)?;
    let (combine, start) = match tf_name(node) {
        name if name.ends_with("Sum") => (Combine::Add, 0.0),
        name if name.ends_with("Prod") => (Combine::Mul, 1.0),
        name if name.ends_with("Max") => (Combine::Max, f64::MIN),
        _ => (Combine::Min, f64::MAX),
    };
    let fill = move |out: &mut [u8]| -> Result<(), OpError> {
        match dtype {
            TensorType::Float32 => {
                let start = if start == f64::MIN {
                    f32::MIN
                } else if start == f64::MAX {
                    f32::MAX
                } else {
                    start as f32
                };
                bytemuck::cast_slice_mut::<u8, f32>(out).fill(start);
            }
            // Casts of floats to integers saturate.
            TensorType::Int32 => bytemuck::cast_slice_mut::<u8, i32>(out).fill(start as i32),
            TensorType::Int64 => bytemuck::cast_slice_mut::<u8, i64>(out).fill(start as i64),
            other => return Err(OpError::unsupported(format!("segments of {other}"))),
        }
        Ok(())
    };
    Ok(FnKernel::new("unsorted_segment", move |io, _| {
        let (ids, count) = (integers(&io.inputs, 1)?, number_of(&io.inputs, 2)?);
        let data = io.inputs.bytes(0)?;
        let out = io.outputs.bytes(0)?;
        fill(out)?;
        let width = out.len().checked_div(count).unwrap_or(0);
        if width == 0 {
            return Ok(());
        }
        for (&id, row) in ids.iter().zip(data.chunks_exact(width)) {
            // Rows of negative segments are left out.
            let Ok(id) = usize::try_from(id) else { continue };
            if id >= count {
                return Err(OpError::runtime(format!("segment {id} is none of {count}")));
            }
            combine.apply(dtype, &mut out[id * width..][..width], row)?;
        }
        Ok(())
    })
    .boxed())
}

/// Inputs: as many index tensors, then as many data tensors; the row of index i becomes row i.
fn lower_stitch(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    /// Keeps a damaged index from asking for all memory.
    const MOST: usize = 1 << 28;
    Ok(FnKernel::new("dynamic_stitch", |io, _| {
        let half = io.inputs.len() / 2;
        let mut rows: Vec<(usize, &[u8])> = Vec::new();
        let mut inner: Option<&[usize]> = None;
        let size = io.inputs.view(half)?.dtype.byte_len(1).unwrap_or(1);
        for i in 0..half {
            let indices = super::support::sizes(&io.inputs, i)?;
            let (rank, shape) = (io.inputs.shape(i)?.len(), io.inputs.shape(half + i)?);
            let own =
                shape.get(rank..).ok_or_else(|| OpError::invalid("data has fewer axes than its indices"))?;
            if *inner.get_or_insert(own) != own {
                return Err(OpError::runtime("rows that are stitched differ in shape"));
            }
            let width = own.iter().product::<usize>() * size;
            let data = io.inputs.bytes(half + i)?;
            if data.len() != indices.len() * width {
                return Err(OpError::runtime("data is not a row for each index"));
            }
            rows.extend(indices.iter().enumerate().map(|(at, &index)| (index, &data[at * width..][..width])));
        }
        let count = rows.iter().map(|(index, _)| index + 1).max().unwrap_or(0);
        if count > MOST {
            return Err(OpError::runtime(format!("stitching asks for {count} rows")));
        }
        let inner = inner.unwrap_or_default();
        let width = inner.iter().product::<usize>() * size;
        let mut out = vec![0; count * width];
        for (index, row) in rows {
            out[index * width..][..width].copy_from_slice(row);
        }
        io.outputs.set_bytes(0, &[&[count], inner].concat(), &out)
    })
    .boxed())
}
