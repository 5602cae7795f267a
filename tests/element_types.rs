//! Tensors read and written as the Rust types of their elements.

use ferrolite::element::{F8E4M3Fn, F8E5M2};
use ferrolite::model_file::{BuiltinOperator, ModelBuilder, Operator, Options, Tensor};
use ferrolite::{Interpreter, Model, TensorType};

#[test]
fn eight_bit_floats_are_elements() {
    let mut builder = ModelBuilder::new();
    let x = builder.add_tensor(0, Tensor::new("x", TensorType::Float8E5M2, &[4]));
    let y = builder.add_tensor(0, Tensor::new("y", TensorType::Float8E4M3Fn, &[4]));
    builder.add_operator(0, Operator::new(BuiltinOperator::CAST, [x], [y], Options::None));
    builder.set_inputs(0, [x]).set_outputs(0, [y]);
    let model = Model::from_bytes(builder.to_bytes().unwrap()).unwrap();
    let mut interpreter = Interpreter::builder(&model).build().unwrap();

    let given = [-1.75, 448.0, 512.0, f32::INFINITY].map(F8E5M2::from_f32);
    interpreter.input_mut::<F8E5M2>(0).unwrap().copy_from_slice(&given);
    interpreter.invoke().unwrap();
    let bits: Vec<u8> = interpreter.output::<F8E4M3Fn>(0).unwrap().iter().map(|y| y.to_bits()).collect();
    assert_eq!(bits, [0xbe, 0x7e, 0x7f, 0x7f], "-1.75, 448, and what is greater is no number");

    let error = interpreter.output::<F8E5M2>(0).unwrap_err().to_string();
    assert!(error.contains("FLOAT8_E4M3FN") && error.contains("FLOAT8_E5M2"), "{error}");
    assert!(interpreter.input_mut::<u8>(0).is_err(), "bytes are another type");
}
