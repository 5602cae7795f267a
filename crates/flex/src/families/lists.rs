//! Lists of tensors, in which loops of training graphs collect what every turn computes, and take it back for the gradient.

use std::sync::Arc;

use ferrolite_ops::{
    FnKernel, InferError, Inputs, Io, Item, Kernel, LowerCx, LowerFn, Node, OpError, OpSpec, OutputShape,
    OutputShapes, Shape, TensorList, TensorType, TensorValue, merge_dims,
};

use super::support::{integers, number_of, sizes};
use crate::node_def::NodeDef;

/// Lists are scalars; elements have the shapes that the file settles, or such as only running tells.
fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = |output: &ferrolite_ops::TensorInfo| match output.dtype {
        TensorType::Variant => OutputShape::Known(Shape::scalar()),
        _ => OutputShape::Declared,
    };
    Ok(node.outputs.iter().map(shape).collect())
}

const fn list(name: &'static str, inputs: usize, lower: LowerFn) -> OpSpec {
    OpSpec::custom(name, infer, lower).inputs(inputs, inputs)
}

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    list("FlexEmptyTensorList", 2, |n, _| lower_new(n, "empty_tensor_list", false)),
    list("FlexTensorListReserve", 2, |n, _| lower_new(n, "tensor_list_reserve", true)),
    list("FlexTensorListFromTensor", 2, lower_from_tensor),
    list("FlexTensorListStack", 2, lower_stack),
    list("FlexTensorListGetItem", 3, lower_get),
    list("FlexTensorListSetItem", 3, lower_set).in_place(&[0]),
    list("FlexTensorListPushBack", 2, lower_push).in_place(&[0]),
    list("FlexTensorListPopBack", 2, lower_pop).outputs(2, 2).in_place(&[0]),
    list("FlexTensorListLength", 1, lower_length),
    list("FlexTensorListElementShape", 1, lower_element_shape),
    list("FlexTensorListResize", 2, lower_resize).in_place(&[0]),
    list("FlexTensorListGather", 3, lower_gather),
    list("FlexTensorListScatterV2", 4, lower_scatter),
    list("FlexTensorListScatterIntoExistingList", 3, lower_scatter_into).in_place(&[0]),
    list("FlexTensorListConcatV2", 3, lower_concat).outputs(2, 2),
    list("FlexTensorListSplit", 3, lower_split),
];

/// The shape of elements in input `i`: a scalar says nothing, -1 in a vector stands for any size.
fn element_shape(inputs: &Inputs<'_>, i: usize) -> Result<Vec<i32>, OpError> {
    if inputs.shape(i)?.is_empty() {
        return Ok(Vec::new());
    }
    let dims = integers(inputs, i)?.into_iter().map(|d| i32::try_from(d.max(-1)));
    dims.collect::<Result<_, _>>().map_err(|_| OpError::runtime("a dimension of list elements is too large"))
}

fn merge(a: &[i32], b: &[i32]) -> Result<Vec<i32>, OpError> {
    merge_dims(a, b)
        .ok_or_else(|| OpError::runtime("the elements of a tensor list have another shape than is asked for"))
}

fn known(shape: &[usize]) -> Result<Vec<i32>, OpError> {
    let dims = shape.iter().map(|&d| i32::try_from(d));
    dims.collect::<Result<_, _>>().map_err(|_| OpError::runtime("a dimension of list elements is too large"))
}

/// The shape without open dimensions.
fn full(dims: &[i32]) -> Option<Shape> {
    dims.iter().map(|&d| usize::try_from(d).ok()).collect()
}

fn give(io: &mut Io<'_>, list: TensorList) -> Result<(), OpError> {
    io.outputs.set_list(0, Arc::new(list))
}

/// A tensor as an element of a list, which must be of its shape.
fn item(io: &Io<'_>, i: usize, list: &TensorList) -> Result<Item, OpError> {
    merge(&list.element, &known(io.inputs.shape(i)?)?)?;
    io.inputs.to_value(i).map(Arc::new)
}

/// Changes the list of input 0 and gives it as output 0.
fn change(
    io: &mut Io<'_>,
    change: impl FnOnce(&mut Io<'_>, &mut TensorList) -> Result<(), OpError>,
) -> Result<(), OpError> {
    let mut list = io.take_list(0, 0)?;
    change(io, Arc::make_mut(&mut list))?;
    io.outputs.set_list(0, list)
}

/// The shape of elements, from the list, what is asked for, and the elements that are there.
fn shape_of_items(list: &TensorList, asked: &[i32]) -> Result<Vec<i32>, OpError> {
    let shape = merge(&list.element, asked)?;
    match list.common()? {
        Some(common) => merge(&shape, &known(common)?),
        None => Ok(shape),
    }
}

/// An element that was never set is zeros, if its shape is known.
fn item_or_zeros(list: &TensorList, i: usize, asked: &[i32]) -> Result<Item, OpError> {
    if let Some(item) = list.get(i as i64)? {
        merge(asked, &known(item.shape())?)?;
        return Ok(item.clone());
    }
    let shape = full(&shape_of_items(list, asked)?).ok_or_else(|| {
        OpError::runtime(format!("element {i} of a list was never set and its shape is not known"))
    })?;
    if list.dtype.byte_len(1).is_none() {
        return Err(OpError::unsupported(format!("there are no zeros of {}", list.dtype)));
    }
    TensorValue::zeros(list.dtype, shape).map(Arc::new)
}

fn lower_new(node: &Node<'_>, name: &'static str, filled: bool) -> Result<Box<dyn Kernel>, OpError> {
    let dtype = NodeDef::of(node)?.dtype("element_dtype")?;
    Ok(FnKernel::new(name, move |io, _| {
        let element = element_shape(&io.inputs, 0)?;
        let count = if filled { number_of(&io.inputs, 1)? } else { 0 };
        give(io, TensorList::new(dtype, element, count)?)
    })
    .boxed())
}

/// Cuts a tensor along its first axis.
fn rows(io: &Io<'_>, i: usize) -> Result<Vec<Item>, OpError> {
    let (dtype, shape, bytes) = (io.inputs.view(i)?.dtype, io.inputs.shape(i)?, io.inputs.bytes(i)?);
    let (&count, inner) =
        shape.split_first().ok_or_else(|| OpError::invalid("a scalar cannot be cut into list elements"))?;
    let len = bytes.len().checked_div(count).unwrap_or(0);
    let row = |r: usize| TensorValue::from_bytes(dtype, Shape::new(inner), &bytes[r * len..(r + 1) * len]);
    (0..count).map(|r| row(r).map(Arc::new)).collect()
}

fn lower_from_tensor(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_from_tensor", |io, _| {
        let inner = io.inputs.shape(0)?.get(1..).unwrap_or_default();
        let element = merge(&element_shape(&io.inputs, 1)?, &known(inner)?)?;
        let mut list = TensorList::new(io.inputs.view(0)?.dtype, element, 0)?;
        rows(io, 0)?.into_iter().try_for_each(|row| list.push(row))?;
        give(io, list)
    })
    .boxed())
}

/// Writes elements one after another to output 0.
fn stack(io: &mut Io<'_>, list: &TensorList, indices: &[usize], asked: &[i32]) -> Result<(), OpError> {
    let asked = shape_of_items(list, asked)?;
    let mut bytes = Vec::new();
    let mut inner = full(&asked);
    for &i in indices {
        let item = item_or_zeros(list, i, &asked)?;
        bytes.extend_from_slice(item.bytes());
        inner = Some(item.shape().clone());
    }
    let inner = inner.ok_or_else(|| OpError::runtime("an empty list of unknown shape cannot be stacked"))?;
    let shape = Shape::new(&[&[indices.len()], inner.dims()].concat());
    io.outputs.set_value(0, TensorValue::from_bytes(list.dtype, shape, &bytes)?)
}

fn lower_stack(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let count = NodeDef::of(node)?.int("num_elements", -1)?;
    Ok(FnKernel::new("tensor_list_stack", move |io, _| {
        let list = io.inputs.list(0)?;
        let len = list.len();
        if usize::try_from(count).is_ok_and(|count| count != len) {
            return Err(OpError::runtime(format!("a list of {len} elements is stacked as one of {count}")));
        }
        let asked = element_shape(&io.inputs, 1)?;
        stack(io, list, &(0..len).collect::<Vec<_>>(), &asked)
    })
    .boxed())
}

fn lower_gather(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_gather", |io, _| {
        let (list, indices) = (io.inputs.list(0)?, sizes(&io.inputs, 1)?);
        let asked = element_shape(&io.inputs, 2)?;
        stack(io, list, &indices, &asked)
    })
    .boxed())
}

fn lower_get(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_get_item", |io, _| {
        let list = io.inputs.list(0)?;
        let item = item_or_zeros(list, number_of(&io.inputs, 1)?, &element_shape(&io.inputs, 2)?)?;
        io.outputs.copy_value(0, &item)
    })
    .boxed())
}

fn lower_set(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let grow = NodeDef::of(node)?.bool("resize_if_index_out_of_bounds", false)?;
    Ok(FnKernel::new("tensor_list_set_item", move |io, _| {
        change(io, |io, list| {
            let (index, item) = (number_of(&io.inputs, 1)?, item(io, 2, list)?);
            if index >= list.len() && grow {
                list.resize(index.saturating_add(1))?;
            }
            list.set(index, item)
        })
    })
    .boxed())
}

fn lower_push(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_push_back", |io, _| change(io, |io, list| list.push(item(io, 1, list)?)))
        .boxed())
}

fn lower_pop(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_pop_back", |io, _| {
        change(io, |io, list| {
            let last = list.len().checked_sub(1);
            let last = last.ok_or_else(|| OpError::runtime("an element is taken from an empty list"))?;
            let item = item_or_zeros(list, last, &element_shape(&io.inputs, 1)?)?;
            list.pop();
            io.outputs.copy_value(1, &item)
        })
    })
    .boxed())
}

fn lower_length(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_length", |io, _| {
        let len = io.inputs.list(0)?.len() as i32;
        io.outputs.set_bytes(0, &[], &len.to_le_bytes())
    })
    .boxed())
}

fn lower_element_shape(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let wide = node.output(0)?.dtype == TensorType::Int64;
    Ok(FnKernel::new("tensor_list_element_shape", move |io, _| {
        let encode =
            |d: i32| if wide { i64::from(d).to_le_bytes().to_vec() } else { d.to_le_bytes().to_vec() };
        let element = io.inputs.list(0)?.element.clone();
        if element.is_empty() {
            return io.outputs.set_bytes(0, &[], &encode(-1));
        }
        let bytes: Vec<u8> = element.iter().flat_map(|&d| encode(d)).collect();
        io.outputs.set_bytes(0, &[element.len()], &bytes)
    })
    .boxed())
}

fn lower_resize(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_resize", |io, _| {
        change(io, |io, list| list.resize(number_of(&io.inputs, 1)?))
    })
    .boxed())
}

/// Places the rows of input `i` at indices; a later one replaces an earlier one.
fn scatter(io: &Io<'_>, i: usize, indices: &[usize], list: &mut TensorList) -> Result<(), OpError> {
    let rows = rows(io, i)?;
    if rows.len() != indices.len() || io.inputs.view(i)?.dtype != list.dtype {
        return Err(OpError::runtime("a list takes as many rows of its type as there are indices"));
    }
    indices.iter().zip(rows).try_for_each(|(&index, row)| list.set(index, row))
}

/// Inputs: tensor, indices, shape of elements, number of elements or -1 for as many as the indices need.
fn lower_scatter(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_scatter", |io, _| {
        let indices = sizes(&io.inputs, 1)?;
        let count = match integers(&io.inputs, 3)?.as_slice() {
            [-1] => indices.iter().max().map_or(0, |m| m.saturating_add(1)),
            _ => number_of(&io.inputs, 3)?,
        };
        let inner = io.inputs.shape(0)?.get(1..).unwrap_or_default();
        let element = merge(&element_shape(&io.inputs, 2)?, &known(inner)?)?;
        let mut list = TensorList::new(io.inputs.view(0)?.dtype, element, count)?;
        scatter(io, 0, &indices, &mut list)?;
        give(io, list)
    })
    .boxed())
}

/// Inputs: list, tensor, indices.
fn lower_scatter_into(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_scatter_into", |io, _| {
        change(io, |io, list| {
            let indices = sizes(&io.inputs, 2)?;
            merge(&list.element, &known(io.inputs.shape(1)?.get(1..).unwrap_or_default())?)?;
            scatter(io, 1, &indices, list)
        })
    })
    .boxed())
}

/// Inputs: list, shape of elements, lengths of elements never set. Outputs: the elements joined along their first axis, and
/// the length of each.
fn lower_concat(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_concat", |io, _| {
        let list = io.inputs.list(0)?;
        let (mut bytes, mut lengths, mut inner) = (Vec::new(), Vec::new(), None);
        for item in list.items() {
            let item = item.as_ref().ok_or_else(|| OpError::runtime("an element of a list was never set"))?;
            let (&first, rest) = item
                .shape()
                .split_first()
                .ok_or_else(|| OpError::runtime("scalars cannot be joined along an axis"))?;
            if inner.get_or_insert_with(|| rest.to_vec()) != rest {
                return Err(OpError::runtime(
                    "elements of a list that are joined differ in their inner axes",
                ));
            }
            bytes.extend_from_slice(item.bytes());
            lengths.push(first);
        }
        let inner = match inner {
            Some(inner) => inner,
            None => full(&merge(&list.element, &element_shape(&io.inputs, 1)?)?)
                .and_then(|shape| shape.get(1..).map(<[usize]>::to_vec))
                .ok_or_else(|| OpError::runtime("an empty list of unknown shape cannot be joined"))?,
        };
        let rows: usize = lengths.iter().sum();
        let shape = Shape::new(&[&[rows], inner.as_slice()].concat());
        io.outputs.set_value(0, TensorValue::from_bytes(list.dtype, shape, &bytes)?)?;
        let encoded: Vec<u8> = lengths.iter().flat_map(|&l| (l as i64).to_le_bytes()).collect();
        let lengths = Shape::from([lengths.len()]);
        io.outputs.set_value(1, TensorValue::from_bytes(TensorType::Int64, lengths, &encoded)?)
    })
    .boxed())
}

/// Inputs: tensor, shape of elements, lengths along the first axis.
fn lower_split(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_split", |io, _| {
        let (dtype, shape, bytes) = (io.inputs.view(0)?.dtype, io.inputs.shape(0)?, io.inputs.bytes(0)?);
        let (&rows, inner) =
            shape.split_first().ok_or_else(|| OpError::runtime("a scalar cannot be split into a list"))?;
        let row = bytes.len().checked_div(rows).unwrap_or(0);
        let lengths = sizes(&io.inputs, 2)?;
        let mut list = TensorList::new(dtype, element_shape(&io.inputs, 1)?, lengths.len())?;
        let mut rest = bytes;
        for (at, len) in lengths.into_iter().enumerate() {
            let beyond = || OpError::runtime("the lengths of list elements exceed the tensor");
            let (part, after) =
                rest.split_at_checked(len.checked_mul(row).ok_or_else(beyond)?).ok_or_else(beyond)?;
            let shape = Shape::new(&[&[len], inner].concat());
            list.set(at, Arc::new(TensorValue::from_bytes(dtype, shape, part)?))?;
            rest = after;
        }
        if !rest.is_empty() {
            return Err(OpError::runtime("the lengths of list elements do not add up to the tensor"));
        }
        give(io, list)
    })
    .boxed())
}
