//! Running one operator on constants.

use ferrolite_flex::TABLE;
use ferrolite_flex::node_def::type_number;
use ferrolite_flex::wire::Writer;
use ferrolite_kernels::isa::Cpu;
use ferrolite_model::flexbuffers::{Value, encode};
use ferrolite_model::{OpCode, Operator};
use ferrolite_ops::eval::{Detached, evaluate, plain_info};
use ferrolite_ops::{LowerCx, OpError, OpSpec, PackCache, Shape, TensorInfo, TensorType, TensorValue};

/// Attributes of a test.
pub enum Attr {
    Int(&'static str, i64),
    Ints(&'static str, Vec<i64>),
    Float(&'static str, f32),
    Text(&'static str, &'static str),
    Bool(&'static str, bool),
    Type(&'static str, TensorType),
}

fn attribute(name: &str, value: &[u8]) -> Vec<u8> {
    let mut entry = Writer::default();
    entry.bytes(1, name.as_bytes());
    entry.bytes(2, value);
    entry.finish()
}

pub fn definition(op: &str, attrs: &[Attr]) -> Vec<u8> {
    let mut def = Writer::default();
    def.bytes(2, op.as_bytes());
    for attr in attrs {
        let mut value = Writer::default();
        let name = match attr {
            Attr::Int(name, v) => {
                value.varint(3, v.cast_unsigned());
                name
            }
            Attr::Ints(name, v) => {
                let mut packed = Vec::new();
                v.iter().for_each(|v| Writer::varint_to(&mut packed, v.cast_unsigned()));
                let mut list = Writer::default();
                list.bytes(3, &packed);
                value.bytes(1, &list.finish());
                name
            }
            Attr::Float(name, v) => {
                value.fixed32(4, v.to_bits());
                name
            }
            Attr::Text(name, v) => {
                value.bytes(2, v.as_bytes());
                name
            }
            Attr::Bool(name, v) => {
                // One of several: false is written too, though it is the default.
                const TAG: u8 = 5 << 3;
                def.bytes(5, &attribute(name, &[TAG, u8::from(*v)]));
                continue;
            }
            Attr::Type(name, v) => {
                value.varint(6, type_number(*v).unwrap() as u64);
                name
            }
        };
        def.bytes(5, &attribute(name, &value.finish()));
    }
    def.finish()
}

/// An operator with its entry of the table.
pub fn operator(op: &str, options: Vec<u8>) -> (&'static OpSpec, Operator) {
    let code = OpCode::Custom(format!("Flex{op}"));
    let spec = TABLE.iter().flat_map(|f| f.iter()).find(|s| s.key.matches(&code)).expect("in the table");
    (spec, Operator { code, version: 1, custom_options: options.into(), ..Operator::default() })
}

/// The options of an operator with these attributes.
pub fn options(op: &str, attrs: &[Attr]) -> Vec<u8> {
    encode(&Value::Vector(vec![Value::String(op), Value::Blob(&definition(op, attrs))]))
}

pub fn input_infos(inputs: &[TensorValue]) -> Vec<TensorInfo> {
    inputs.iter().map(|v| plain_info("x", v.dtype(), v.shape())).collect()
}

pub fn open_outputs(types: &[TensorType]) -> Vec<TensorInfo> {
    types.iter().map(|&dtype| TensorInfo { open_shape: true, ..plain_info("y", dtype, &[]) }).collect()
}

/// Runs an operator on constants.
pub fn run(
    op: &str,
    attrs: &[Attr],
    inputs: &[TensorValue],
    outputs: &[TensorType],
) -> Result<Vec<TensorValue>, OpError> {
    let (spec, operator) = operator(op, options(op, attrs));
    let (infos, outputs) = (input_infos(inputs), open_outputs(outputs));
    let arguments: Vec<_> = infos.iter().zip(inputs).map(|(i, v)| Some((i, Some(v.bytes())))).collect();
    let packs = PackCache::default();
    let cx = LowerCx::alone(Cpu::detect(), &packs);
    evaluate(spec, &operator, &arguments, &outputs, &[], &mut [], &cx, &mut Detached::default())
}

pub fn f32s(shape: &[usize], values: &[f32]) -> TensorValue {
    TensorValue::from_elements(Shape::new(shape), values).unwrap()
}

pub fn i32s(values: &[i32]) -> TensorValue {
    TensorValue::from_elements([values.len()].into(), values).unwrap()
}

pub fn i32_scalar(value: i32) -> TensorValue {
    TensorValue::from_elements(Shape::scalar(), &[value]).unwrap()
}

/// Numbers in -1..1 that look random.
pub fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
