//! Lists of tensors: TensorListReserve, FromTensor, SetItem, PushBack, GetItem, PopBack, Stack, Length, ElementShape, and
//! VariantAddN and VariantZerosLike on whole lists.

use std::sync::Arc;

use ferrolite_model::TensorType;

use crate::error::OpError;
use crate::io::{Inputs, Io};
use crate::kernel::{FnKernel, Kernel};
use crate::list::{Item, TensorList, merge};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes, one};
use crate::shape::Shape;
use crate::spec::{OpSpec, TypeRow};
use crate::tensor::TensorValue;
use crate::types;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("TensorListReserve", infer_list, lower_reserve)
        .inputs(2, 2)
        .types(types![(Int32, Int32) -> (Variant)]),
    OpSpec::custom("TensorListFromTensor", infer_list, lower_from_tensor).inputs(2, 2).types(FROM_TENSOR),
    OpSpec::custom("TensorListSetItem", infer_list, |node, _| lower_put(node, Some(1), 2))
        .inputs(3, usize::MAX)
        .in_place(&[0]),
    OpSpec::custom("TensorListPushBack", infer_list, |node, _| lower_put(node, None, 1))
        .inputs(2, usize::MAX)
        .in_place(&[0]),
    OpSpec::custom("TensorListGetItem", infer_item, lower_get).inputs(3, 3),
    OpSpec::custom("TensorListPopBack", infer_pop, lower_pop).inputs(2, 2).outputs(2, 2).in_place(&[0]),
    OpSpec::custom("TensorListStack", infer_dynamic, lower_stack).inputs(2, usize::MAX),
    OpSpec::custom("TensorListLength", infer_list, lower_length).types(types![(Variant) -> (Int32)]),
    OpSpec::custom("TensorListElementShape", infer_dynamic, lower_element_shape)
        .types(types![(Variant) -> (Int32)]),
    OpSpec::custom("VariantAddN", infer_list, lower_add_n)
        .inputs(1, usize::MAX)
        .types(types![(Variant) -> (Variant)]),
    OpSpec::custom("VariantZerosLike", infer_list, lower_zeros_like).types(types![(Variant) -> (Variant)]),
];

const FROM_TENSOR: &[TypeRow] = {
    macro_rules! rows {
        ($($t:ident)*) => { types![$(($t, Int32) -> (Variant)),*] };
    }
    rows!(Float32 Float16 BFloat16 Float64 Int8 UInt8 Int16 UInt16 Int32 UInt32 Int64 UInt64 Bool Complex64 Complex128)
};

/// A list is one element of its variant tensor, its length one number.
fn infer_list(_: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(one(Shape::scalar()))
}

fn infer_dynamic(_: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(core::iter::once(OutputShape::Dynamic).collect())
}

/// The shape that the file fixes for an element taken from a list.
fn item_shape(node: &Node<'_>, output: usize) -> Result<OutputShape, OpError> {
    let output = node.output(output)?;
    if output.shape.is_empty() || output.open_shape || output.dtype == TensorType::Variant {
        return Ok(OutputShape::Dynamic);
    }
    Ok(OutputShape::Known(output.shape.clone()))
}

fn infer_item(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok(core::iter::once(item_shape(node, 0)?).collect())
}

fn infer_pop(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    Ok([OutputShape::Known(Shape::scalar()), item_shape(node, 1)?].into_iter().collect())
}

/// Refuses operands that are not lists.
fn check_list(node: &Node<'_>, output: Option<usize>) -> Result<(), OpError> {
    let found = [Some(node.dtype(0)?), output.map(|o| node.output(o)).transpose()?.map(|info| info.dtype)];
    if found.into_iter().flatten().all(|dtype| dtype == TensorType::Variant) {
        return Ok(());
    }
    Err(OpError::unsupported("lists of tensors are variant tensors"))
}

/// The shape that an input describes: a scalar says nothing.
fn described(inputs: &Inputs<'_>, i: usize) -> Result<Vec<i32>, OpError> {
    let dims = inputs.get::<i32>(i)?;
    if inputs.shape(i)?.is_empty() {
        return Ok(Vec::new());
    }
    if dims.iter().any(|&d| d < -1) {
        return Err(OpError::runtime(format!("{dims:?} is no shape of elements")));
    }
    Ok(dims.to_vec())
}

/// A shape without open dimensions.
fn defined(dims: &[i32]) -> Result<Shape, OpError> {
    dims.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<Shape>>().ok_or_else(|| {
        OpError::runtime(format!("the shape {dims:?} of a list's elements stays open: set an element first"))
    })
}

/// Bytes of a tensor of zeros.
fn zero_bytes(dtype: TensorType, shape: &Shape) -> Result<usize, OpError> {
    dtype.byte_len(shape.num_elements()?).ok_or_else(|| {
        OpError::unsupported(format!("lists of {dtype} have no zeros to stand for what is not set"))
    })
}

fn zeros(dtype: TensorType, shape: Shape) -> Result<Item, OpError> {
    zero_bytes(dtype, &shape)?;
    TensorValue::zeros(dtype, shape).map(Arc::new)
}

/// The number of elements, a scalar.
fn number(inputs: &Inputs<'_>, i: usize, what: &str) -> Result<usize, OpError> {
    let numbers = inputs.get::<i32>(i)?;
    match numbers {
        &[n] if n >= 0 => Ok(n as usize),
        _ => Err(OpError::runtime(format!("the {what} is a single number, not negative, but {numbers:?}"))),
    }
}

fn lower_reserve(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let code = node.operator.custom_options.first().map(|&c| c as i8);
    let dtype = code.and_then(|c| TensorType::from_schema(ferrolite_model::options::SchemaTensorType(c)));
    let dtype = dtype.ok_or_else(|| {
        OpError::invalid("the operator's attributes are a byte with the code of the elements' type")
    })?;
    Ok(FnKernel::new("tensor_list_reserve", move |io, _| {
        let count = number(&io.inputs, 1, "number of elements")?;
        let list = TensorList::new(dtype, described(&io.inputs, 0)?, count)?;
        io.outputs.set_list(0, Arc::new(list))
    })
    .boxed())
}

fn lower_from_tensor(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let dtype = node.dtype(0)?;
    let shape = node.shape(0)?.clone();
    let Some((&count, rest)) = shape.split_first() else {
        return Err(OpError::invalid("a scalar has no rows to make a list of"));
    };
    let row = Shape::new(rest);
    let len = zero_bytes(dtype, &row)?;
    Ok(FnKernel::new("tensor_list_from_tensor", move |io, _| {
        let element = described(&io.inputs, 1)?;
        let dims: Vec<i32> = row.iter().map(|&d| i32::try_from(d).unwrap_or(i32::MAX)).collect();
        if !element.is_empty() && merge(&element, &dims).is_none() {
            return Err(OpError::runtime(format!(
                "rows of shape {row} are no elements of shape {element:?}"
            )));
        }
        let mut list = TensorList::new(dtype, element, count)?;
        let bytes = io.inputs.bytes(0)?;
        for i in 0..count {
            let item = TensorValue::from_bytes(dtype, row.clone(), &bytes[i * len..][..len])?;
            list.set(i, Arc::new(item))?;
        }
        io.outputs.set_list(0, Arc::new(list))
    })
    .boxed())
}

/// Sets the element that input `index` names, or one behind the last; the list grows where it must.
fn lower_put(node: &Node<'_>, index: Option<usize>, item: usize) -> Result<Box<dyn Kernel>, OpError> {
    check_list(node, Some(0))?;
    if index.map(|i| node.dtype(i)).transpose()?.is_some_and(|t| t != TensorType::Int32) {
        return Err(OpError::unsupported("elements of a list are named by int32 numbers"));
    }
    Ok(FnKernel::new("tensor_list_put", move |io, _| {
        let mut list = io.take_list(0, 0)?;
        let at = match index {
            Some(i) => number(&io.inputs, i, "index of an element")?,
            None => list.len(),
        };
        let changed = Arc::make_mut(&mut list);
        if at >= changed.len() {
            changed.resize(at.saturating_add(1))?;
        }
        changed.set(at, Arc::new(io.inputs.to_value(item)?))?;
        io.outputs.set_list(0, list)
    })
    .boxed())
}

/// Gives an element as an output; one that is not set as zeros of the shape the list and the input agree on.
fn give_item(
    io: &mut Io<'_>,
    output: usize,
    list: &TensorList,
    at: i64,
    shape: usize,
) -> Result<(), OpError> {
    let dtype = io.outputs.dtype(output)?;
    if dtype != list.dtype {
        return Err(OpError::runtime(format!(
            "an element of a list of {} cannot be taken as {dtype}",
            list.dtype
        )));
    }
    if let Some(item) = list.get(at)? {
        return io.outputs.copy_value(output, item);
    }
    let element = described(&io.inputs, shape)?;
    let known = merge(&list.element, &element).ok_or_else(|| {
        OpError::runtime(format!("{:?} and {element:?} are no shape of elements", list.element))
    })?;
    let shape = match (known.as_slice(), list.common()?) {
        ([], Some(common)) => common.clone(),
        (known, Some(common)) if known.contains(&-1) => common.clone(),
        ([], None) => return Err(OpError::runtime("the shape of an element that is not set is unknown")),
        (known, _) => defined(known)?,
    };
    io.outputs.copy_value(output, &*zeros(list.dtype, shape)?)
}

fn lower_get(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    check_list(node, None)?;
    Ok(FnKernel::new("tensor_list_get_item", |io, _| {
        let list = io.inputs.list(0)?;
        let at = number(&io.inputs, 1, "index of an element")?;
        give_item(io, 0, list, at as i64, 2)
    })
    .boxed())
}

fn lower_pop(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    check_list(node, Some(0))?;
    Ok(FnKernel::new("tensor_list_pop_back", |io, _| {
        let mut list = io.take_list(0, 0)?;
        give_item(io, 1, &list, list.len() as i64 - 1, 1)?;
        Arc::make_mut(&mut list).pop();
        io.outputs.set_list(0, list)
    })
    .boxed())
}

/// Elements one after another along a new first axis; what is not set is zeros.
fn lower_stack(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    check_list(node, None)?;
    Ok(FnKernel::new("tensor_list_stack", |io, _| {
        let list = io.inputs.list(0)?;
        let dtype = io.outputs.dtype(0)?;
        if dtype != list.dtype {
            return Err(OpError::runtime(format!("a list of {} cannot be stacked as {dtype}", list.dtype)));
        }
        let common: Vec<i32> = list.common()?.map_or(Vec::new(), |s| s.iter().map(|&d| d as i32).collect());
        let known = merge(&described(&io.inputs, 1)?, &list.element).and_then(|known| merge(&known, &common));
        let known =
            known.ok_or_else(|| OpError::runtime("a list and its elements disagree about their shape"))?;
        // Scalars, and vectors of one element, stack to a vector.
        let element = if known == [1] { Shape::scalar() } else { defined(&known)? };
        let len = zero_bytes(dtype, &element)?;
        let shape = [&[list.len()], &element[..]].concat();
        io.outputs.allocate(0, Shape::new(&shape))?;
        let out = io.outputs.bytes(0)?;
        out.fill(0);
        for (i, item) in list.items().iter().enumerate() {
            if let Some(item) = item {
                out[i * len..][..len].copy_from_slice(item.bytes());
            }
        }
        Ok(())
    })
    .boxed())
}

fn lower_length(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_length", |io, _| {
        let count = io.inputs.list(0)?.len();
        io.outputs.get::<i32>(0)?.fill(count as i32);
        Ok(())
    })
    .boxed())
}

fn lower_element_shape(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("tensor_list_element_shape", |io, _| {
        let element = io.inputs.list(0)?.element.clone();
        // Nothing known is the scalar -1; no elements at all the empty shape.
        let (shape, dims) = match element.as_slice() {
            [] => (Shape::scalar(), vec![-1]),
            [0, ..] => (Shape::from([0]), Vec::new()),
            _ => (Shape::from([element.len()]), element),
        };
        io.outputs.allocate(0, shape)?;
        io.outputs.get::<i32>(0)?.copy_from_slice(&dims);
        Ok(())
    })
    .boxed())
}

/// Adds `bytes` to `sum`, element by element.
fn add(dtype: TensorType, sum: &mut [u8], bytes: &[u8]) -> Result<(), OpError> {
    let pairs = sum.chunks_exact_mut(4).zip(bytes.chunks_exact(4));
    match dtype {
        TensorType::Float32 => pairs.for_each(|(a, b)| {
            let total = bytemuck::pod_read_unaligned::<f32>(a) + bytemuck::pod_read_unaligned::<f32>(b);
            a.copy_from_slice(&total.to_le_bytes());
        }),
        TensorType::Int32 => pairs.for_each(|(a, b)| {
            let (x, y) = (bytemuck::pod_read_unaligned::<i32>(a), bytemuck::pod_read_unaligned::<i32>(b));
            a.copy_from_slice(&x.wrapping_add(y).to_le_bytes());
        }),
        other => return Err(OpError::unsupported(format!("lists of {other} cannot be added up"))),
    }
    Ok(())
}

fn lower_add_n(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("variant_add_n", |io, _| {
        let lists = (0..io.inputs.len()).map(|i| io.inputs.list(i)).collect::<Result<Vec<_>, _>>()?;
        let Some((first, others)) = lists.split_first() else {
            return Err(OpError::invalid("there are no lists to add up"));
        };
        let (mut element, count) = (first.element.clone(), first.len());
        for other in others {
            let merged = merge(&element, &other.element);
            element =
                merged.filter(|_| other.len() == count && other.dtype == first.dtype).ok_or_else(|| {
                    OpError::runtime(
                        "lists that are added up have equal lengths, types and shapes of elements",
                    )
                })?;
        }
        let mut sums = TensorList::new(first.dtype, element, count)?;
        for at in 0..count {
            let mut sum: Option<Item> = None;
            for item in lists.iter().filter_map(|list| list.items()[at].as_ref()) {
                match &mut sum {
                    None => sum = Some(item.clone()),
                    Some(sum) if sum.shape() == item.shape() => {
                        add(first.dtype, Arc::make_mut(sum).bytes_mut(), item.bytes())?;
                    }
                    Some(sum) => {
                        return Err(OpError::runtime(format!(
                            "elements of shapes {} and {} cannot be added up",
                            sum.shape(),
                            item.shape()
                        )));
                    }
                }
            }
            let sum = match sum {
                Some(sum) => sum,
                None => zeros(first.dtype, defined(&sums.element)?)?,
            };
            sums.set(at, sum)?;
        }
        io.outputs.set_list(0, Arc::new(sums))
    })
    .boxed())
}

fn lower_zeros_like(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("variant_zeros_like", |io, _| {
        let list = io.inputs.list(0)?;
        let mut cleared = TensorList::new(list.dtype, list.element.clone(), list.len())?;
        for (at, item) in list.items().iter().enumerate() {
            if let Some(item) = item {
                cleared.set(at, zeros(list.dtype, item.shape().clone())?)?;
            }
        }
        io.outputs.set_list(0, Arc::new(cleared))
    })
    .boxed())
}
