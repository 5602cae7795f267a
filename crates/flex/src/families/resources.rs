//! Resource variables as TensorFlow's operators reach them; the store is that of the builtin operators.

use ferrolite_ops::{
    Context, FnKernel, InferError, Io, Kernel, LowerCx, Node, OpError, OpSpec, OutputShape, OutputShapes,
    Resources, Shape, TensorType, TensorValue, one,
};

use super::support::{dynamic, no_outputs, scalar, sizes, tf_name};
use crate::node_def::NodeDef;

const fn effect(name: &'static str, inputs: usize, lower: ferrolite_ops::LowerFn) -> OpSpec {
    OpSpec::custom(name, no_outputs, lower).inputs(inputs, inputs).outputs(0, 0).stateful()
}

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("FlexVarHandleOp", scalar, lower_handle).inputs(0, 0).stateful(),
    OpSpec::custom("FlexReadVariableOp", infer_read, lower_read).stateful(),
    OpSpec::custom("FlexVarIsInitializedOp", scalar, lower_is_initialized).stateful(),
    OpSpec::custom("FlexVariableShape", dynamic, lower_shape).stateful(),
    OpSpec::custom("FlexResourceGather", dynamic, lower_gather).inputs(2, 2).stateful(),
    effect("FlexAssignVariableOp", 2, lower_assign),
    effect("FlexAssignAddVariableOp", 2, lower_update),
    effect("FlexAssignSubVariableOp", 2, lower_update),
    effect("FlexDestroyResourceOp", 1, lower_destroy),
    effect("FlexResourceScatterUpdate", 3, lower_scatter),
    effect("FlexResourceScatterAdd", 3, lower_scatter),
    effect("FlexResourceScatterSub", 3, lower_scatter),
    effect("FlexResourceScatterMul", 3, lower_scatter),
    effect("FlexResourceScatterDiv", 3, lower_scatter),
    effect("FlexResourceScatterMin", 3, lower_scatter),
    effect("FlexResourceScatterMax", 3, lower_scatter),
];

/// Takes variables out of the store while `work` changes them; afterwards they are back in any case.
///
/// # Errors
/// When a handle is unknown, occurs twice, or its variable has no value; those of `work`.
pub fn with_variables<R>(
    resources: &mut Resources,
    handles: &[u32],
    work: impl FnOnce(&mut [TensorValue]) -> Result<R, OpError>,
) -> Result<R, OpError> {
    let mut taken = Vec::with_capacity(handles.len());
    let mut result = Ok(());
    for &handle in handles {
        // The message for a variable without a value.
        result = resources.read(handle).map(|_| ());
        match resources.slot(handle)?.take() {
            Some(value) => taken.push(value),
            None => break,
        }
    }
    let result = match result {
        Ok(()) => work(&mut taken),
        Err(e) => Err(e),
    };
    for (&handle, value) in handles.iter().zip(taken) {
        *resources.slot(handle)? = Some(value);
    }
    result
}

fn lower_handle(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let def = NodeDef::of(node)?;
    let container = def.text("container", "")?.to_owned();
    let name = def.text("shared_name", "")?.to_owned();
    if name.is_empty() {
        return Err(OpError::unsupported(
            "an anonymous variable cannot be shared between signatures: name it",
        ));
    }
    Ok(FnKernel::new("var_handle", move |io, cx| {
        let handle = cx.resources().variable(&container, &name);
        io.outputs.bytes(0)?.copy_from_slice(&handle.to_le_bytes());
        Ok(())
    })
    .boxed())
}

fn infer_read(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let output = node.output(0)?;
    Ok(if output.open_shape {
        core::iter::once(OutputShape::Dynamic).collect()
    } else {
        one(output.shape.clone())
    })
}

fn lower_read(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("read_variable", |io, cx| {
        let value = cx.resources().read(io.inputs.handle(0)?)?;
        let dtype = io.outputs.dtype(0)?;
        if value.dtype() != dtype {
            return Err(OpError::runtime(format!(
                "the variable holds {}, it is read as {dtype}",
                value.dtype()
            )));
        }
        io.outputs.set_bytes(0, value.shape(), value.bytes())
    })
    .boxed())
}

fn lower_is_initialized(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("var_is_initialized", |io, cx| {
        let known = cx.resources().slot(io.inputs.handle(0)?)?.is_some();
        io.outputs.bytes(0)?.fill(u8::from(known));
        Ok(())
    })
    .boxed())
}

fn lower_shape(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let wide = node.output(0)?.dtype == TensorType::Int64;
    Ok(FnKernel::new("variable_shape", move |io, cx| {
        let shape = cx.resources().read(io.inputs.handle(0)?)?.shape().clone();
        let bytes: Vec<u8> = if wide {
            shape.iter().flat_map(|&d| (d as i64).to_le_bytes()).collect()
        } else {
            shape.iter().flat_map(|&d| (d as i32).to_le_bytes()).collect()
        };
        io.outputs.set_bytes(0, &[shape.rank()], &bytes)
    })
    .boxed())
}

fn lower_assign(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("assign_variable", |io, cx| {
        let (dtype, shape, bytes) = (io.inputs.view(1)?.dtype, io.inputs.shape(1)?, io.inputs.bytes(1)?);
        let slot = cx.resources().slot(io.inputs.handle(0)?)?;
        match slot {
            Some(value) => value.assign(dtype, shape, bytes),
            None => *slot = Some(TensorValue::from_bytes(dtype, Shape::new(shape), bytes)?),
        }
        Ok(())
    })
    .boxed())
}

fn lower_destroy(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("destroy_resource", |io, cx| {
        *cx.resources().slot(io.inputs.handle(0)?)? = None;
        Ok(())
    })
    .boxed())
}

/// How an update meets what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    Replace,
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
}

impl Combine {
    /// The combination that an operator's name ends with.
    ///
    /// # Errors
    /// When it ends with none.
    pub fn of(name: &str) -> Result<Self, OpError> {
        let all = [
            ("Update", Self::Replace),
            ("Add", Self::Add),
            ("Sub", Self::Sub),
            ("Mul", Self::Mul),
            ("Div", Self::Div),
            ("Min", Self::Min),
            ("Max", Self::Max),
        ];
        let found = all.iter().find(|(end, _)| name.ends_with(end));
        found.map(|(_, c)| *c).ok_or_else(|| OpError::unsupported(format!("the update {name}")))
    }

    /// Combines elements of bytes, `new` repeated if it is shorter.
    ///
    /// # Errors
    /// When the type has no arithmetic, or an integer is divided by zero.
    pub fn apply(self, dtype: TensorType, old: &mut [u8], new: &[u8]) -> Result<(), OpError> {
        macro_rules! number {
            ($t:ty, $min:expr, $max:expr, $add:expr, $sub:expr, $mul:expr, $div:expr) => {{
                let old: &mut [$t] = bytemuck::try_cast_slice_mut(old).map_err(|_| misaligned())?;
                let new: &[$t] = bytemuck::try_cast_slice(new).map_err(|_| misaligned())?;
                let pairs = old.iter_mut().zip(new.iter().cycle());
                match self {
                    Self::Replace => pairs.for_each(|(o, n)| *o = *n),
                    Self::Add => pairs.for_each(|(o, n)| *o = $add(*o, *n)),
                    Self::Sub => pairs.for_each(|(o, n)| *o = $sub(*o, *n)),
                    Self::Mul => pairs.for_each(|(o, n)| *o = $mul(*o, *n)),
                    Self::Min => pairs.for_each(|(o, n)| *o = $min(*o, *n)),
                    Self::Max => pairs.for_each(|(o, n)| *o = $max(*o, *n)),
                    Self::Div => {
                        for (o, n) in pairs {
                            *o = $div(*o, *n)
                                .ok_or_else(|| OpError::runtime("an integer is divided by zero"))?;
                        }
                    }
                }
                Ok(())
            }};
        }
        macro_rules! float {
            ($t:ty) => {
                number!(
                    $t,
                    |a: $t, b: $t| a.min(b),
                    |a: $t, b: $t| a.max(b),
                    |a, b| a + b,
                    |a, b| a - b,
                    |a, b| a * b,
                    |a, b| Some(a / b)
                )
            };
        }
        macro_rules! integer {
            ($t:ty) => {
                number!(
                    $t,
                    |a: $t, b: $t| a.min(b),
                    |a: $t, b: $t| a.max(b),
                    <$t>::wrapping_add,
                    <$t>::wrapping_sub,
                    <$t>::wrapping_mul,
                    <$t>::checked_div
                )
            };
        }
        match dtype {
            TensorType::Float32 => float!(f32),
            TensorType::Float64 => float!(f64),
            TensorType::Int32 => integer!(i32),
            TensorType::Int64 => integer!(i64),
            TensorType::Int8 => integer!(i8),
            TensorType::UInt8 => integer!(u8),
            TensorType::Int16 => integer!(i16),
            TensorType::UInt32 => integer!(u32),
            TensorType::UInt64 => integer!(u64),
            _ if self == Self::Replace => {
                old.copy_from_slice(new.get(..old.len()).unwrap_or(new));
                Ok(())
            }
            other => Err(OpError::unsupported(format!("there is no arithmetic on {other}"))),
        }
    }
}

fn misaligned() -> OpError {
    OpError::invalid("a tensor's memory does not fit its type")
}

fn same_type(variable: &TensorValue, dtype: TensorType) -> Result<(), OpError> {
    if variable.dtype() == dtype {
        return Ok(());
    }
    Err(OpError::runtime(format!(
        "the variable holds {}, it cannot be updated with {dtype}",
        variable.dtype()
    )))
}

fn lower_update(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let combine = if tf_name(node).starts_with("AssignAdd") { Combine::Add } else { Combine::Sub };
    Ok(FnKernel::new("update_variable", move |io: &mut Io<'_>, cx: &mut dyn Context| {
        let handle = io.inputs.handle(0)?;
        let (dtype, shape, bytes) = (io.inputs.view(1)?.dtype, io.inputs.shape(1)?, io.inputs.bytes(1)?);
        with_variables(cx.resources(), &[handle], |variables| {
            same_type(&variables[0], dtype)?;
            if variables[0].shape().dims() != shape {
                return Err(OpError::runtime(format!(
                    "a variable of shape {} cannot be updated with {shape:?}",
                    variables[0].shape()
                )));
            }
            combine.apply(dtype, variables[0].bytes_mut(), bytes)
        })
    })
    .boxed())
}

/// A row index of a variable.
///
/// # Errors
/// When it is not below the number of rows.
pub fn check_row(index: usize, rows: usize) -> Result<(), OpError> {
    if index < rows {
        return Ok(());
    }
    Err(OpError::runtime(format!("the index {index} is outside a variable of {rows} rows")))
}

fn lower_scatter(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let combine = Combine::of(tf_name(node))?;
    Ok(FnKernel::new("scatter_variable", move |io: &mut Io<'_>, cx: &mut dyn Context| {
        let handle = io.inputs.handle(0)?;
        let indices = sizes(&io.inputs, 1)?;
        let (dtype, updates) = (io.inputs.view(2)?.dtype, io.inputs.bytes(2)?);
        let single = io.inputs.shape(2)?.is_empty();
        with_variables(cx.resources(), &[handle], |variables| {
            let variable = &mut variables[0];
            same_type(variable, dtype)?;
            let rows = variable.shape().first().copied().unwrap_or(0);
            let width = variable.bytes().len() / rows.max(1);
            if !single && updates.len() != indices.len() * width {
                return Err(OpError::runtime("the updates are not a row for each index"));
            }
            for (at, &index) in indices.iter().enumerate() {
                check_row(index, rows)?;
                let new = if single { updates } else { &updates[at * width..][..width] };
                combine.apply(dtype, &mut variable.bytes_mut()[index * width..][..width], new)?;
            }
            Ok(())
        })
    })
    .boxed())
}

fn lower_gather(_: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(FnKernel::new("gather_variable", |io: &mut Io<'_>, cx: &mut dyn Context| {
        let indices = sizes(&io.inputs, 1)?;
        let value = cx.resources().read(io.inputs.handle(0)?)?;
        same_type(value, io.outputs.dtype(0)?)?;
        let Some((&rows, inner)) = value.shape().split_first() else {
            return Err(OpError::runtime("a scalar variable has no rows to gather"));
        };
        let width = value.bytes().len() / rows.max(1);
        let mut out = Vec::with_capacity(indices.len().saturating_mul(width));
        for index in indices {
            check_row(index, rows)?;
            out.extend_from_slice(&value.bytes()[index * width..][..width]);
        }
        let shape = [io.inputs.shape(1)?, inner].concat();
        io.outputs.set_bytes(0, &shape, &out)
    })
    .boxed())
}
