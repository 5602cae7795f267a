//! Running one operator by itself on tensors that own their memory: constant folding, and tests.

use std::sync::Arc;

use ferrolite_kernels::par::Par;
use ferrolite_model::{Operator, TensorType};

use crate::error::{OpError, OpErrorKind};
use crate::io::{InputData, InputView, Inputs, Io, OutputData, OutputView, Outputs};
use crate::kernel::Context;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, Operand, OutputShape};
use crate::regions::NoRegions;
use crate::resources::Resources;
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::tensor::{AlignedBytes, TensorInfo, TensorValue, is_sized};

/// The largest result that [`evaluate`] makes: constants that a model unfolds to more are left to its run.
const MAX_BYTES: usize = 1 << 30;

/// An input of [`evaluate`]: what is known of the tensor, and its content; operators that depend on shapes alone
/// need none.
pub type Argument<'a> = Option<(&'a TensorInfo, Option<&'a [u8]>)>;

/// The most scratch memory that [`evaluate`] gives; interpreters have a limit of their own.
const MOST_SCRATCH: usize = 1 << 30;

/// Checks, shapes, lowers and runs one operator whose inputs all are known.
///
/// The shapes of `outputs` are those declared by the file and are replaced by the inferred ones. `states` are the
/// operator's state tensors in the order of its spec; their inputs need no content.
///
/// # Errors
/// Those of the spec's check, shape function, lowering and kernel.
#[expect(clippy::too_many_arguments, reason = "everything an operator is made of")]
pub fn evaluate(
    spec: &OpSpec,
    operator: &Operator,
    arguments: &[Argument<'_>],
    outputs: &[TensorInfo],
    intermediates: &[TensorInfo],
    states: &mut [TensorValue],
    cx: &LowerCx<'_>,
    context: &mut dyn Context,
) -> Result<Vec<TensorValue>, OpError> {
    let operands: Vec<Option<Operand<'_>>> = arguments
        .iter()
        .map(|a| a.map(|(info, value)| Operand { info, value, half: None, source: None }))
        .collect();
    let mut infos = outputs.to_vec();
    let shapes = {
        let node = Node { operator, inputs: &operands, outputs: &infos, intermediates, regions: &NoRegions };
        spec.check(&node)?;
        (spec.infer)(&node).map_err(|e| match e {
            InferError::Op(e) => e,
            InferError::NeedsValue(i) => OpError::invalid(format!("input {i} has no content")),
        })?
    };
    let mut values = Vec::with_capacity(infos.len());
    for (info, shape) in infos.iter_mut().zip(&shapes) {
        info.shape = match shape {
            OutputShape::Known(shape) => shape.clone(),
            OutputShape::Dynamic | OutputShape::Declared => Shape::from([0]),
        };
        let bytes = info.least_len()?;
        if bytes > MAX_BYTES {
            return Err(OpError::new(
                OpErrorKind::Limit,
                format!("a result of {bytes} bytes is too large to be computed before a run"),
            ));
        }
        values.push(TensorValue::zeros(info.dtype, info.shape.clone())?);
    }
    let node = Node { operator, inputs: &operands, outputs: &infos, intermediates, regions: &NoRegions };
    let kernel = (spec.lower)(&node, cx)?;
    let inputs: Vec<InputView<'_>> = arguments
        .iter()
        .map(|a| match a {
            Some((info, value)) => InputView {
                dtype: info.dtype,
                shape: &info.shape,
                data: InputData::Bytes(value.unwrap_or_default()),
            },
            None => InputView { dtype: TensorType::Float32, shape: &[], data: InputData::Absent },
        })
        .collect();
    let mut outs: Vec<OutputView<'_>> = values
        .iter_mut()
        .zip(&infos)
        .zip(&shapes)
        .map(|((value, info), shape)| OutputView {
            dtype: info.dtype,
            shape: &info.shape,
            data: match shape {
                OutputShape::Known(_) if is_sized(info.dtype) => OutputData::Bytes(value.bytes_mut()),
                _ => OutputData::Value(value),
            },
        })
        .collect();
    let mut state_views: Vec<OutputView<'_>> = states
        .iter_mut()
        .map(|s| OutputView { dtype: s.dtype(), shape: &[], data: OutputData::Value(s) })
        .collect();
    let scratch_bytes = kernel.scratch_bytes();
    if scratch_bytes > MOST_SCRATCH {
        return Err(OpError::new(
            OpErrorKind::Limit,
            format!(
                "the operator asks for {scratch_bytes} bytes of scratch memory, at most {MOST_SCRATCH} are given here"
            ),
        ));
    }
    let mut scratch = AlignedBytes::zeroed(scratch_bytes);
    let mut io = Io {
        inputs: Inputs::new(&inputs),
        outputs: Outputs::new(&mut outs),
        states: Outputs::new(&mut state_views),
        scratch: scratch.as_mut_slice(),
    };
    kernel.run(&mut io, context)?;
    Ok(values)
}

/// A context outside any interpreter: one thread, no subgraphs, variables of its own.
#[derive(Debug, Default)]
pub struct Detached {
    resources: Resources,
}

impl Context for Detached {
    fn par(&self) -> Par {
        Par::serial()
    }

    fn check_cancelled(&self) -> Result<(), OpError> {
        Ok(())
    }

    fn resources(&mut self) -> &mut Resources {
        &mut self.resources
    }

    fn call(&mut self, subgraph: usize, _: &[&TensorValue]) -> Result<Vec<TensorValue>, OpError> {
        Err(OpError::invalid(format!("subgraph {subgraph} cannot be called outside an interpreter")))
    }

    fn call_once(&mut self, subgraph: usize) -> Result<(), OpError> {
        Err(OpError::invalid(format!("subgraph {subgraph} cannot be called outside an interpreter")))
    }
}

/// A [`TensorInfo`] without quantization, for tests and tools.
#[must_use]
pub fn plain_info(name: &str, dtype: TensorType, shape: &[usize]) -> TensorInfo {
    TensorInfo {
        name: Arc::from(name),
        dtype,
        shape: Shape::new(shape),
        quantization: None,
        open_shape: false,
    }
}
