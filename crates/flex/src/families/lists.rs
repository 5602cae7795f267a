//! Lists of tensors, in which loops of training graphs collect what every turn computes, and take it back for the gradient.

use std::borrow::Cow;

use ferrolite_ops::{
    FnKernel, InferError, Inputs, Io, Item, Kernel, LowerCx, LowerFn, Node, OpError, OpSpec, OutputShape,
    OutputShapes, Shape, TensorList, TensorType, merge_dims,
};

use super::support::{integers, number_of, sizes};
use crate::node_def::NodeDef;

/// Lists are scalars; elements have shapes that only running tells.
fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = |output: &ferrolite_ops::TensorInfo| match output.dtype {
        TensorType::Variant => OutputShape::Known(Shape::scalar()),
        _ => OutputShape::Dynamic,
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
    list("FlexTensorListSetItem", 3, lower_set),
    list("FlexTensorListPushBack", 2, lower_push),
    list("FlexTensorListPopBack", 2, lower_pop).outputs(2, 2),
    list("FlexTensorListLength", 1, lower_length),
    list("FlexTensorListElementShape", 1, lower_element_shape),
    list("FlexTensorListResize", 2, lower_resize),
    list("FlexTensorListGather", 3, lower_gather),
    list("FlexTensorListScatterV2", 4, lower_scatter),
    list("FlexTensorListScatterIntoExistingList", 3, lower_scatter_into),
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

fn get<'a>(io: &Io<'a>) -> Result<TensorList<'a>, OpError> {
    TensorList::decode(io.inputs.bytes(0)?)
}

fn give(io: &mut Io<'_>, list: &TensorList<'_>) -> Result<(), OpError> {
    io.outputs.set_bytes(0, &[], &list.encode())
}

/// A tensor as an element of a list, which must be of its type and shape.
fn item<'a>(io: &Io<'a>, i: usize, list: &TensorList<'_>) -> Result<Item<'a>, OpError> {
    let (dtype, shape) = (io.inputs.view(i)?.dtype, io.inputs.shape(i)?);
    if list.dtype != dtype {
        return Err(OpError::runtime(format!("a list of {} cannot hold {dtype}", list.dtype)));
    }
    merge(&list.element, &known(shape)?)?;
    Ok(Item { shape: Shape::new(shape), bytes: Cow::Borrowed(io.inputs.bytes(i)?) })
}

/// The shape of elements, from the list, what is asked for, and the elements that are there.
fn shape_of_items(list: &TensorList<'_>, asked: &[i32]) -> Result<Vec<i32>, OpError> {
    let shape = merge(&list.element, asked)?;
    match list.common()? {
        Some(common) => merge(&shape, &known(common)?),
        None => Ok(shape),
    }
}

/// An element that was never set is zeros, if its shape is known.
fn item_or_zeros<'a>(list: &TensorList<'a>, i: usize, asked: &[i32]) -> Result<Item<'a>, OpError> {
    if let Some(item) = list.get(i as i64)? {
        merge(asked, &known(&item.shape)?)?;
        return Ok(item.clone());
    }
    let shape = full(&shape_of_items(list, asked)?).ok_or_else(|| {
        OpError::runtime(format!("element {i} of a list was never set and its shape is not known"))
    })?;
    let len = list.dtype.byte_len(shape.num_elements()?);
    let len = len.ok_or_else(|| OpError::unsupported(format!("there are no zeros of {}", list.dtype)))?;
    Ok(Item { shape, bytes: Cow::Owned(vec![0; len]) })
}

fn lower_new(node: &Node<'_>, name: &'static str, filled: bool) -> Result<Box<dyn Kernel>, OpError> {
    let dtype = NodeDef::of(node)?.dtype("element_dtype")?;
    Ok(FnKernel::new(name, move |io, _| {
        let element = element_shape(&io.inputs, 0)?;
        let count = if filled { number_of(&io.inputs, 1)? } else { 0 };
        give(io, &TensorList::new(dtype, element, count)?)
    })
    .boxed())
}

/// Cuts a tensor along its first axis.
fn rows<'a>(io: &Io<'a>, i: usize) -> Result<Vec<Option<Item<'a>>>, OpError> {
    let (shape, bytes) = (io.inputs.shape(i)?, io.inputs.bytes(i)?);
    let (&count, inner) =
        shape.split_first().ok_or_else(|| OpError::invalid("a scalar cannot be cut into list elements"))?;
    let len = bytes.len().checked_div(count).unwrap_or(0);
    let row =
        |r: usize| Item { shape: Shape::new(inner), bytes: Cow::Borrowed(&bytes[r * len..(r + 1) * len]) };
    Ok((0..count).map(|r| Some(row(r))).collect())
}

fn lower_from_tensor(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_from_tensor", |io, _| {
        let inner = io.inputs.shape(0)?.get(1..).unwrap_or_default();
        let element = merge(&element_shape(&io.inputs, 1)?, &known(inner)?)?;
        let mut list = TensorList::new(io.inputs.view(0)?.dtype, element, 0)?;
        list.items = rows(io, 0)?;
        give(io, &list)
    })
    .boxed())
}

/// Writes elements one after another to output 0.
fn stack(io: &mut Io<'_>, list: &TensorList<'_>, indices: &[usize], asked: &[i32]) -> Result<(), OpError> {
    let asked = shape_of_items(list, asked)?;
    let mut bytes = Vec::new();
    let mut inner = full(&asked);
    for &i in indices {
        let item = item_or_zeros(list, i, &asked)?;
        bytes.extend_from_slice(&item.bytes);
        inner = Some(item.shape);
    }
    let inner = inner.ok_or_else(|| OpError::runtime("an empty list of unknown shape cannot be stacked"))?;
    io.outputs.set_bytes(0, &[&[indices.len()], inner.dims()].concat(), &bytes)
}

fn lower_stack(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let count = NodeDef::of(node)?.int("num_elements", -1)?;
    Ok(FnKernel::new("tensor_list_stack", move |io, _| {
        let list = get(io)?;
        let len = list.items.len();
        if usize::try_from(count).is_ok_and(|count| count != len) {
            return Err(OpError::runtime(format!("a list of {len} elements is stacked as one of {count}")));
        }
        let asked = element_shape(&io.inputs, 1)?;
        stack(io, &list, &(0..len).collect::<Vec<_>>(), &asked)
    })
    .boxed())
}

fn lower_gather(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_gather", |io, _| {
        let (list, indices) = (get(io)?, sizes(&io.inputs, 1)?);
        let asked = element_shape(&io.inputs, 2)?;
        stack(io, &list, &indices, &asked)
    })
    .boxed())
}

fn lower_get(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_get_item", |io, _| {
        let list = get(io)?;
        let item = item_or_zeros(&list, number_of(&io.inputs, 1)?, &element_shape(&io.inputs, 2)?)?;
        io.outputs.set_bytes(0, &item.shape, &item.bytes)
    })
    .boxed())
}

fn lower_set(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let grow = NodeDef::of(node)?.bool("resize_if_index_out_of_bounds", false)?;
    Ok(FnKernel::new("tensor_list_set_item", move |io, _| {
        let mut list = get(io)?;
        let (index, item) = (number_of(&io.inputs, 1)?, item(io, 2, &list)?);
        let len = list.items.len();
        if index >= len {
            if !grow {
                return Err(OpError::runtime(format!("there is no element {index} in a list of {len}")));
            }
            list.resize(index.saturating_add(1))?;
        }
        list.items[index] = Some(item);
        give(io, &list)
    })
    .boxed())
}

fn lower_push(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_push_back", |io, _| {
        let mut list = get(io)?;
        let item = item(io, 1, &list)?;
        let len = list.items.len();
        list.resize(len + 1)?;
        list.items[len] = Some(item);
        give(io, &list)
    })
    .boxed())
}

fn lower_pop(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_pop_back", |io, _| {
        let mut list = get(io)?;
        let last = list.items.len().checked_sub(1);
        let last = last.ok_or_else(|| OpError::runtime("an element is taken from an empty list"))?;
        let item = item_or_zeros(&list, last, &element_shape(&io.inputs, 1)?)?;
        list.items.pop();
        io.outputs.set_bytes(1, &item.shape, &item.bytes)?;
        give(io, &list)
    })
    .boxed())
}

fn lower_length(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_length", |io, _| {
        let len = get(io)?.items.len() as i32;
        io.outputs.set_bytes(0, &[], &len.to_le_bytes())
    })
    .boxed())
}

fn lower_element_shape(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let wide = node.output(0)?.dtype == TensorType::Int64;
    Ok(FnKernel::new("tensor_list_element_shape", move |io, _| {
        let encode =
            |d: i32| if wide { i64::from(d).to_le_bytes().to_vec() } else { d.to_le_bytes().to_vec() };
        let element = get(io)?.element;
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
        let mut list = get(io)?;
        list.resize(number_of(&io.inputs, 1)?)?;
        give(io, &list)
    })
    .boxed())
}

/// Places the rows of input `i` at indices; a later one replaces an earlier one.
fn scatter<'a>(io: &Io<'a>, i: usize, indices: &[usize], list: &mut TensorList<'a>) -> Result<(), OpError> {
    let rows = rows(io, i)?;
    if rows.len() != indices.len() || io.inputs.view(i)?.dtype != list.dtype {
        return Err(OpError::runtime("a list takes as many rows of its type as there are indices"));
    }
    let len = list.items.len();
    for (&index, row) in indices.iter().zip(rows) {
        *list
            .items
            .get_mut(index)
            .ok_or_else(|| OpError::runtime(format!("there is no element {index} in a list of {len}")))? =
            row;
    }
    Ok(())
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
        give(io, &list)
    })
    .boxed())
}

/// Inputs: list, tensor, indices.
fn lower_scatter_into(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_scatter_into", |io, _| {
        let (mut list, indices) = (get(io)?, sizes(&io.inputs, 2)?);
        merge(&list.element, &known(io.inputs.shape(1)?.get(1..).unwrap_or_default())?)?;
        scatter(io, 1, &indices, &mut list)?;
        give(io, &list)
    })
    .boxed())
}

/// Inputs: list, shape of elements, lengths of elements never set. Outputs: the elements joined along their first axis, and
/// the length of each.
fn lower_concat(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_concat", |io, _| {
        let list = get(io)?;
        let (mut bytes, mut lengths, mut inner) = (Vec::new(), Vec::new(), None);
        for item in &list.items {
            let item = item.as_ref().ok_or_else(|| OpError::runtime("an element of a list was never set"))?;
            let (&first, rest) = item
                .shape
                .split_first()
                .ok_or_else(|| OpError::runtime("scalars cannot be joined along an axis"))?;
            if inner.get_or_insert_with(|| rest.to_vec()) != rest {
                return Err(OpError::runtime(
                    "elements of a list that are joined differ in their inner axes",
                ));
            }
            bytes.extend_from_slice(&item.bytes);
            lengths.push(first);
        }
        let inner = match inner {
            Some(inner) => inner,
            None => full(&merge(&list.element, &element_shape(&io.inputs, 1)?)?)
                .and_then(|shape| shape.get(1..).map(<[usize]>::to_vec))
                .ok_or_else(|| OpError::runtime("an empty list of unknown shape cannot be joined"))?,
        };
        let rows: usize = lengths.iter().sum();
        io.outputs.set_bytes(0, &[&[rows], inner.as_slice()].concat(), &bytes)?;
        let encoded: Vec<u8> = lengths.iter().flat_map(|&l| (l as i64).to_le_bytes()).collect();
        io.outputs.set_bytes(1, &[lengths.len()], &encoded)
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
        for (item, len) in list.items.iter_mut().zip(lengths) {
            let beyond = || OpError::runtime("the lengths of list elements exceed the tensor");
            let (part, after) =
                rest.split_at_checked(len.checked_mul(row).ok_or_else(beyond)?).ok_or_else(beyond)?;
            *item = Some(Item { shape: Shape::new(&[&[len], inner].concat()), bytes: Cow::Borrowed(part) });
            rest = after;
        }
        if !rest.is_empty() {
            return Err(OpError::runtime("the lengths of list elements do not add up to the tensor"));
        }
        give(io, &list)
    })
    .boxed())
}
