//! Running one operator of the table on plain values, for the families' tests.

use std::sync::Arc;

use ferrolite_kernels::isa::Cpu;
use ferrolite_model::{BuiltinOperator, OpCode, Operator, Options, Quantization, TensorType, flexbuffers};

use crate::element::Element;
use crate::error::OpError;
use crate::eval::{Argument, Detached, evaluate, plain_info};
use crate::lower::LowerCx;
use crate::node::Operand;
use crate::packs::PackCache;
use crate::registry::Registry;
use crate::shape::Shape;
use crate::strings;
use crate::tensor::{AlignedBytes, TensorInfo, TensorValue};

/// An input with its content.
pub struct Input {
    info: TensorInfo,
    bytes: AlignedBytes,
}

/// A tensor of these elements.
pub fn tensor<T: Element>(shape: &[usize], elements: &[T]) -> Input {
    assert_eq!(
        shape.iter().product::<usize>(),
        elements.len(),
        "a test's tensor has as many elements as its shape"
    );
    raw(T::DTYPE, shape, bytemuck::cast_slice(elements))
}

/// A tensor of any type, from its bytes.
pub fn raw(dtype: TensorType, shape: &[usize], bytes: &[u8]) -> Input {
    Input { info: plain_info("input", dtype, shape), bytes: AlignedBytes::copy_of(bytes) }
}

/// A tensor of strings.
pub fn text(shape: &[usize], elements: &[&str]) -> Input {
    raw(TensorType::String, shape, &strings::encode(elements).unwrap())
}

impl Input {
    /// The same with one scale and zero point.
    pub fn quantized(mut self, scale: f32, zero_point: i64) -> Self {
        self.info.quantization = Some(Arc::new(Quantization::per_tensor(scale, zero_point)));
        self
    }

    /// The same with one scale for each slice of axis 0.
    pub fn per_row(mut self, scales: &[f32]) -> Self {
        self.info.quantization = Some(Arc::new(Quantization::per_channel(scales.to_vec(), 0)));
        self
    }
}

impl Input {
    /// As shape functions see it.
    pub fn operand(&self) -> Operand<'_> {
        Operand { info: &self.info, value: Some(self.bytes.as_slice()), half: None, source: None }
    }
}

/// An output of this type.
pub fn output(dtype: TensorType) -> TensorInfo {
    plain_info("output", dtype, &[])
}

/// An output of this type with one scale and zero point.
pub fn quantized_output(dtype: TensorType, scale: f32, zero_point: i64) -> TensorInfo {
    TensorInfo { quantization: Some(Arc::new(Quantization::per_tensor(scale, zero_point))), ..output(dtype) }
}

/// Runs an operator.
pub fn run(
    op: BuiltinOperator,
    options: impl Into<Options>,
    inputs: &[Input],
    outputs: &[TensorInfo],
) -> Result<Vec<TensorValue>, OpError> {
    let code = OpCode::Builtin(op);
    let version = first_version(&code);
    let operator = Operator { code, version, options: options.into(), ..Operator::default() };
    run_operator(&operator, inputs, outputs)
}

/// The oldest version of an operator.
fn first_version(code: &OpCode) -> i32 {
    Registry::builtin().find(code).expect("the operator is in the table").versions.0
}

/// Runs an operator as the file has it.
pub fn run_operator(
    operator: &Operator,
    inputs: &[Input],
    outputs: &[TensorInfo],
) -> Result<Vec<TensorValue>, OpError> {
    let registry = Registry::builtin();
    let spec = registry.find(&operator.code).expect("the operator is in the table");
    let arguments: Vec<Argument<'_>> =
        inputs.iter().map(|i| Some((&i.info, Some(i.bytes.as_slice())))).collect();
    let packs = PackCache::default();
    let cx = LowerCx::alone(Cpu::detect(), &packs);
    evaluate(spec, operator, &arguments, outputs, &[], &mut [], &cx, &mut Detached::default())
}

/// Runs a custom operator.
pub fn run_custom(
    name: &str,
    attributes: &flexbuffers::Value<'_>,
    inputs: &[Input],
    outputs: &[TensorInfo],
) -> Result<Vec<TensorValue>, OpError> {
    let code = OpCode::Custom(name.to_owned());
    let operator = Operator {
        version: first_version(&code),
        code,
        custom_options: flexbuffers::encode(attributes).into(),
        ..Operator::default()
    };
    run_operator(&operator, inputs, outputs)
}

/// Runs an operator with one output of type `T` and gives its shape and elements.
pub fn run_one<T: Element>(
    op: BuiltinOperator,
    options: impl Into<Options>,
    inputs: &[Input],
) -> Result<(Shape, Vec<T>), OpError> {
    let values = run(op, options, inputs, &[output(T::DTYPE)])?;
    Ok((values[0].shape().clone(), values[0].elements::<T>()?.to_vec()))
}

/// The strings of a value.
pub fn strings_of(value: &TensorValue) -> Vec<String> {
    let decoded = strings::decode(value.bytes()).unwrap();
    decoded.into_iter().map(|s| String::from_utf8(s.to_vec()).unwrap()).collect()
}
