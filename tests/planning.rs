//! What planning refuses, and what it leaves to the caller: models on which LiteRT crashes, and shapes that are examples.

use ferrolite::model_file::options::{AddOptionsT, DepthwiseConv2DOptionsT, SubOptionsT};
use ferrolite::model_file::{
    BuiltinOperator, ModelBuilder, Operator, Options, Signature, SparseIndices, SparseLevel, Sparsity, Tensor,
};
use ferrolite::{ErrorKind, Interpreter, Model, Quantization, TensorType};

/// A model of one operator over inputs of shape `[1, 2, 2, 1]`.
fn one_operator(code: BuiltinOperator, inputs: &[(TensorType, Option<f32>)], output: TensorType) -> Model {
    let mut builder = ModelBuilder::new();
    let graph = 0;
    let operands: Vec<usize> = inputs
        .iter()
        .enumerate()
        .map(|(i, &(dtype, scale))| {
            let tensor = Tensor::new(format!("x{i}"), dtype, &[1, 2, 2, 1]);
            let tensor = match scale {
                Some(scale) => tensor.quantized(Quantization::per_tensor(scale, 0)),
                None => tensor,
            };
            builder.add_tensor(graph, tensor)
        })
        .collect();
    let y = builder.add_tensor(graph, Tensor::new("y", output, &[1, 2, 2, 1]));
    let options = match code {
        BuiltinOperator::DEPTHWISE_CONV_2D => {
            DepthwiseConv2DOptionsT { stride_w: 1, stride_h: 1, depth_multiplier: 1, ..Default::default() }
                .into()
        }
        _ => Options::None,
    };
    builder.add_operator(graph, Operator::new(code, operands.iter().copied(), [y], options));
    builder.set_inputs(graph, operands).set_outputs(graph, [y]);
    Model::from_bytes(builder.to_bytes().unwrap()).unwrap()
}

/// The reference takes the stored values of such a constant for a dense one's, and reads on behind them.
#[test]
fn sparse_constants_of_packed_integers_are_refused() {
    for dtype in [TensorType::Int4, TensorType::UInt4, TensorType::Int2] {
        let mut builder = ModelBuilder::new();
        let rows = SparseLevel::Dense { size: 2 };
        let columns = SparseLevel::Csr {
            segments: SparseIndices::Int32(vec![0, 1, 2]),
            indices: SparseIndices::Int32(vec![0, 1]),
        };
        let sparsity =
            Sparsity { traversal_order: vec![0, 1], block_map: vec![], levels: vec![rows, columns] };
        let tensor = Tensor { sparsity: Some(sparsity), ..Tensor::new("sparse", dtype, &[2, 2]) };
        let x = builder.add_constant(0, tensor, vec![0x21]);
        let y = builder.add_tensor(0, Tensor::new("y", TensorType::Float32, &[2, 2]));
        builder.add_operator(0, Operator::new(BuiltinOperator::DEQUANTIZE, [x], [y], Options::None));
        builder.set_outputs(0, [y]);
        let model = Model::from_bytes(builder.to_bytes().unwrap()).unwrap();
        let error = Interpreter::builder(&model).build().err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("'sparse'") && error.contains("export it dense"), "{dtype}: {error}");
    }
}

#[test]
fn what_crashes_the_reference_is_refused_by_name() {
    use BuiltinOperator as Op;
    use TensorType::*;
    const SCALE: &str = "needs one scale and one zero point";
    const TYPES: &str = "are not among those the operator is defined for";
    const BIAS: &str = "needs a bias: add one of zeros";
    type Row = (Op, &'static [(TensorType, Option<f32>)], TensorType, &'static str);
    let rows: &[Row] = &[
        (Op::LOG, &[(Int16, None)], Int16, SCALE),
        (Op::SQRT, &[(Int16, None)], Int16, SCALE),
        (Op::RSQRT, &[(Int16, None)], Int16, SCALE),
        (Op::ADD, &[(Int8, None), (Int8, None)], Int8, SCALE),
        (Op::SUB, &[(UInt8, None), (UInt8, None)], UInt8, SCALE),
        (Op::SUB, &[(Int16, None), (Int16, None)], Int16, SCALE),
        (Op::SQUARED_DIFFERENCE, &[(Int8, None), (Int8, None)], Int8, SCALE),
        (Op::EQUAL, &[(Int8, None), (Int8, None)], Bool, SCALE),
        (Op::NOT_EQUAL, &[(UInt8, None), (UInt8, None)], Bool, SCALE),
        (Op::LESS, &[(Int8, Some(0.5)), (Int8, None)], Bool, SCALE),
        (Op::LESS_EQUAL, &[(Int8, None), (Int8, Some(0.5))], Bool, SCALE),
        (Op::GREATER, &[(UInt8, None), (UInt8, None)], Bool, SCALE),
        (Op::GREATER_EQUAL, &[(UInt8, None), (UInt8, None)], Bool, SCALE),
        (Op::ADD, &[(Int8, Some(0.5)), (Int8, Some(0.0))], Int8, "scales are positive"),
        (Op::SUB, &[(Int16, Some(0.0)), (Int16, Some(0.5))], Int16, "scales are positive"),
        (Op::CAST, &[(Float8E5M2, None)], UInt64, TYPES),
        (Op::DEQUANTIZE, &[(Float8E5M2, None)], Float16, TYPES),
        (Op::ADD, &[(Float8E4M3Fn, None), (Float8E4M3Fn, None)], Float8E4M3Fn, TYPES),
        (Op::TRANSPOSE, &[(Int2, None), (Int32, None)], Int2, TYPES),
        (Op::LESS_EQUAL, &[(BFloat16, None), (BFloat16, None)], Bool, TYPES),
        (Op::FAKE_QUANT, &[(String, None)], String, TYPES),
        (Op::MATRIX_DIAG, &[(String, None)], String, TYPES),
        (Op::MATRIX_SET_DIAG, &[(String, None), (String, None)], String, TYPES),
        (Op::CONV_2D, &[(Float32, None), (Float16, None), (Float32, None)], Float32, TYPES),
        (Op::CONV_2D, &[(Float32, None), (Int16, Some(1.0)), (Float32, None)], Float32, TYPES),
        (Op::CONV_2D, &[(Float32, None), (BFloat16, None), (Float32, None)], Float32, TYPES),
        (Op::CONV_2D, &[(Float32, None), (Int2, Some(1.0)), (Float32, None)], Float32, TYPES),
        (Op::CONV_2D, &[(Float32, None), (UInt4, Some(1.0)), (Float32, None)], Float32, TYPES),
        (Op::EMBEDDING_LOOKUP, &[(Int32, None), (String, None)], String, TYPES),
        (Op::EMBEDDING_LOOKUP, &[(Int32, None), (Int64, None)], Float32, TYPES),
        (Op::FAKE_QUANT, &[(Int32, None)], Int32, TYPES),
        (Op::MATRIX_DIAG, &[(Bool, None)], Bool, TYPES),
        (Op::DEPTHWISE_CONV_2D, &[(Float32, None), (Float32, None)], Float32, BIAS),
        (Op::DEPTHWISE_CONV_2D, &[(Float32, None), (Int8, Some(1.0))], Float32, BIAS),
        (Op::DEPTHWISE_CONV_2D, &[(Int8, Some(1.0)), (Int8, Some(1.0))], Int8, BIAS),
        (Op::DEPTHWISE_CONV_2D, &[(UInt8, Some(1.0)), (UInt8, Some(1.0))], UInt8, BIAS),
    ];
    for (op, inputs, output, expected) in rows {
        let error = Interpreter::builder(&one_operator(*op, inputs, *output)).build().err();
        let message = error.map(|e| e.to_string()).unwrap_or_default();
        let named = message.contains(&format!("{op:?}")) && message.contains(expected);
        assert!(named, "{op:?} {inputs:?}: {message}");
    }
}

/// Sums by shifts, on which the reference aborts where a row is added to every row.
#[test]
fn sums_of_powers_of_two_broadcast() {
    let scale = |exponent: i32| Quantization::per_tensor(2f32.powi(exponent), 0);
    let (wide, narrow) = ([300i16, -301, 32767, -32768, 5, -5], [7i16, 10, 32767]);
    let rows: [(BuiltinOperator, Options, [i16; 6]); 2] = [
        // The row's scale is a quarter of the others': its numbers are divided by four, halves away from zero.
        (
            BuiltinOperator::ADD,
            AddOptionsT { pot_scale_int16: true, ..AddOptionsT::default() }.into(),
            [302, -298, 32767, -32766, 8, 8187],
        ),
        (
            BuiltinOperator::SUB,
            SubOptionsT { pot_scale_int16: true, ..SubOptionsT::default() }.into(),
            [298, -304, 24575, -32768, 2, -8197],
        ),
    ];
    for (op, options, expected) in rows {
        let mut builder = ModelBuilder::new();
        let tensor =
            |shape: &[usize], exponent| Tensor::new("x", TensorType::Int16, shape).quantized(scale(exponent));
        let a = builder.add_tensor(0, tensor(&[2, 3], -10));
        let b = builder.add_tensor(0, tensor(&[3], -12));
        let y = builder.add_tensor(0, tensor(&[2, 3], -10));
        builder.add_operator(0, Operator::new(op, [a, b], [y], options));
        builder.set_inputs(0, [a, b]).set_outputs(0, [y]);
        let model = Model::from_bytes(builder.to_bytes().unwrap()).unwrap();
        let mut interpreter = Interpreter::builder(&model).build().unwrap();
        interpreter.input_mut::<i16>(0).unwrap().copy_from_slice(&wide);
        interpreter.input_mut::<i16>(1).unwrap().copy_from_slice(&narrow);
        interpreter.invoke().unwrap();
        assert_eq!(interpreter.output::<i16>(0).unwrap(), expected, "{op:?}");
    }
}

/// An operator of two inputs of equal, open shapes, whose example shapes differ.
fn open_model() -> Model {
    let mut builder = ModelBuilder::new();
    let graph = 0;
    let open = |name: &str, shape: &[usize], signature: &[i32]| Tensor {
        shape_signature: signature.to_vec(),
        ..Tensor::new(name, TensorType::Float32, shape)
    };
    let a = builder.add_tensor(graph, open("a", &[1, 3], &[-1, 3]));
    let b = builder.add_tensor(graph, open("b", &[2, 3], &[-1, 3]));
    let y = builder.add_tensor(graph, open("y", &[1, 3], &[-1, 3]));
    builder.add_operator(graph, Operator::new(BuiltinOperator::ATAN2, [a, b], [y], Options::None));
    builder.set_inputs(graph, [a, b]).set_outputs(graph, [y]);
    builder.add_signature(Signature {
        key: "serve".into(),
        inputs: vec![("a".into(), a), ("b".into(), b)],
        outputs: vec![("y".into(), y)],
        subgraph: graph,
    });
    Model::from_bytes(builder.to_bytes().unwrap()).unwrap()
}

#[test]
fn open_shapes_are_examples() {
    let model = open_model();
    let mut interpreter = Interpreter::builder(&model).build().unwrap();
    assert_eq!(interpreter.allocate().unwrap_err().kind(), ErrorKind::BadModel);
    interpreter.resize_input(0, &[4, 3]).unwrap();
    interpreter.resize_input(1, &[4, 3]).unwrap();
    interpreter.allocate().unwrap();
    assert_eq!(interpreter.output_shape(0), [4, 3]);
    interpreter.invoke().unwrap();
    assert_eq!(interpreter.output::<f32>(0).unwrap(), [0.0; 12]);
}

#[test]
fn a_signature_is_planned_once_all_its_inputs_are_resized() {
    let model = open_model();
    let mut interpreter = Interpreter::builder(&model).build().unwrap();
    let mut runner = interpreter.signature_runner("serve").unwrap();
    runner.resize_input("a", &[5, 3]).unwrap();
    let mut runner = interpreter.signature_runner("serve").unwrap();
    runner.resize_input("b", &[5, 3]).unwrap();
    runner.allocate().unwrap();
    assert_eq!(runner.output_shape("y").unwrap(), [5, 3]);
    runner.input_mut::<f32>("a").unwrap().fill(0.0);
    runner.input_mut::<f32>("b").unwrap().fill(1.0);
    runner.invoke().unwrap();
    assert_eq!(runner.output::<f32>("y").unwrap(), [0.0; 15]);
}
