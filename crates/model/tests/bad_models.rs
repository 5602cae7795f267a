//! Every kind of broken model is refused with an error that says where and what.

use ferrolite_model::options::{AddOptionsT, CallOnceOptionsT, IfOptionsT, SoftmaxOptionsT, WhileOptionsT};
use ferrolite_model::{
    BuiltinOperator, ExternalBuffer, LoadOptions, Model, ModelBuilder, ModelError, ModelErrorKind as Kind,
    OpCode, Operator, Options, Quantization, QuantizationDetails, Signature, SparseIndices, SparseLevel,
    Sparsity, Tensor, TensorType, strings,
};
use ferrolite_schema::tflite as schema;

/// x + w = y, with x [2, 3] from the caller and w constant. Tensors 0, 1, 2.
fn base() -> ModelBuilder {
    let mut b = ModelBuilder::new();
    let x = b.add_tensor(0, Tensor::new("x", TensorType::Float32, &[2, 3]));
    let w = b.add_constant(0, Tensor::new("w", TensorType::Float32, &[2, 3]), vec![0; 24]);
    let y = b.add_tensor(0, Tensor::new("y", TensorType::Float32, &[2, 3]));
    b.add_operator(0, add([x, w], y));
    b.set_inputs(0, [x]).set_outputs(0, [y]);
    b
}

fn add(inputs: [usize; 2], output: usize) -> Operator {
    Operator::new(BuiltinOperator::ADD, inputs, [output], AddOptionsT::default())
}

/// The weights as a sparse tensor: rows dense, columns compressed, elements (0, 1) and (1, 2).
fn sparse() -> (ModelBuilder, Sparsity) {
    let mut b = base();
    b.set_buffer(1, vec![0; 8]).unwrap();
    let columns = SparseLevel::Csr {
        segments: SparseIndices::UInt8(vec![0, 1, 2]),
        indices: SparseIndices::UInt16(vec![1, 2]),
    };
    let sparsity = Sparsity {
        traversal_order: vec![0, 1],
        block_map: vec![],
        levels: vec![SparseLevel::Dense { size: 2 }, columns],
    };
    b.subgraph_mut(0).tensors[1].sparsity = Some(sparsity.clone());
    (b, sparsity)
}

/// A second subgraph that takes and returns `n` tensors as they are.
fn add_identity(b: &mut ModelBuilder, n: usize) -> usize {
    let index = b.add_subgraph("identity");
    for i in 0..n {
        b.add_tensor(index, Tensor::new(format!("t{i}"), TensorType::Float32, &[]));
    }
    b.set_inputs(index, 0..n).set_outputs(index, 0..n);
    index
}

/// Runs every row and reports all that went otherwise than expected.
fn check<T>(rows: Vec<(&str, T, Kind, &str)>, parse: impl Fn(T) -> Result<Model, ModelError>) {
    let mut failures = Vec::new();
    for (name, make, kind, part) in rows {
        match parse(make) {
            Err(error) if error.kind() == kind && error.to_string().contains(part) => {}
            Err(error) => failures.push(format!("{name}: {error:?}, not {kind:?} with \"{part}\"")),
            Ok(_) => failures.push(format!("{name}: accepted")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

type Break = fn(&mut ModelBuilder);

#[test]
fn good_models_are_accepted() {
    base().finish().unwrap();
    sparse().0.finish().unwrap();
}

#[test]
fn broken_tensors_are_refused() {
    let rows: Vec<(&str, Break, Kind, &str)> = vec![
        (
            "short constant",
            |b| {
                b.set_buffer(1, vec![0; 23]).unwrap();
            },
            Kind::Tensor,
            "tensor 1 (w): ",
        ),
        (
            "long constant",
            |b| {
                b.set_buffer(1, vec![0; 25]).unwrap();
            },
            Kind::Tensor,
            "takes 24 bytes but its buffer has 25",
        ),
        ("no such buffer", |b| b.subgraph_mut(0).tensors[0].buffer = 7, Kind::Index, "buffer 7 of 2"),
        ("constant variable", |b| b.subgraph_mut(0).tensors[1].is_variable = true, Kind::Tensor, "variable"),
        (
            "huge shape",
            |b| b.subgraph_mut(0).tensors[0].shape = vec![i32::MAX as usize; 4],
            Kind::Tensor,
            "larger than",
        ),
        (
            "signature of another rank",
            |b| b.subgraph_mut(0).tensors[0].shape_signature = vec![-1],
            Kind::Tensor,
            "[-1]",
        ),
        (
            "signature below -1",
            |b| b.subgraph_mut(0).tensors[0].shape_signature = vec![-2, 3],
            Kind::Tensor,
            "[-2, 3]",
        ),
        (
            "odd number of packed elements",
            |b| {
                b.subgraph_mut(0).tensors[1].dtype = TensorType::Int4;
                b.set_buffer(1, vec![0; 4]).unwrap();
            },
            Kind::Tensor,
            "takes 3 bytes",
        ),
        (
            "strings out of order",
            |b| b.subgraph_mut(0).tensors[1].dtype = TensorType::String,
            Kind::Tensor,
            "offset",
        ),
        (
            "too few strings",
            |b| {
                b.subgraph_mut(0).tensors[1].dtype = TensorType::String;
                b.set_buffer(1, strings::encode(&["a", "b"]).unwrap()).unwrap();
            },
            Kind::Tensor,
            "holds 2 strings",
        ),
        (
            "external buffer that is not listed",
            |b| b.subgraph_mut(0).tensors[0].external_buffer = 3,
            Kind::Index,
            "external buffer 3",
        ),
    ];
    check(rows, |make| with(make));
}

/// The base model, changed.
fn with(make: impl Fn(&mut ModelBuilder)) -> Result<Model, ModelError> {
    let mut b = base();
    make(&mut b);
    b.finish()
}

#[test]
fn broken_quantization_is_refused() {
    let blocks = |scales, zero_points, block_size| Quantization {
        details: Some(QuantizationDetails::Blockwise { scales, zero_points, block_size }),
        ..Quantization::default()
    };
    let rows = vec![
        (
            "scales along no dimension",
            Quantization::per_channel(vec![1.0; 3], 2),
            Kind::Quantization,
            "dimension 2",
        ),
        ("too many scales", Quantization::per_channel(vec![1.0; 4], 1), Kind::Quantization, "4 scales"),
        ("infinite scale", Quantization::per_tensor(f32::INFINITY, 0), Kind::Quantization, "scale inf"),
        ("zero point of 33 bits", Quantization::per_tensor(1.0, 1 << 32), Kind::Quantization, "4294967296"),
        (
            "zero points of another number",
            Quantization {
                scale: vec![1.0; 3],
                zero_point: vec![0; 2],
                quantized_dimension: 1,
                ..Default::default()
            },
            Kind::Quantization,
            "3 scales but 2 zero points",
        ),
        ("scales in no tensor", blocks(3, None, 32), Kind::Index, "tensor 3 of 3"),
        ("zero points in no tensor", blocks(1, Some(9), 32), Kind::Index, "tensor 9 of 3"),
        ("negative blocks", blocks(1, None, -1), Kind::Quantization, "blocks of -1"),
    ];
    check(rows, |q| with(|b| b.subgraph_mut(0).tensors[1].quantization = Some(q.clone().into())));
}

#[test]
fn broken_graphs_are_refused() {
    let rows: Vec<(&str, Break, Kind, &str)> = vec![
        (
            "no such input",
            |b| b.subgraph_mut(0).operators[0].inputs[0] = Some(3),
            Kind::Index,
            "input tensor 3 of 3",
        ),
        (
            "no such output",
            |b| b.subgraph_mut(0).operators[0].outputs = vec![9],
            Kind::Index,
            "output tensor 9",
        ),
        (
            "no such subgraph input",
            |b| {
                b.set_inputs(0, [3]);
            },
            Kind::Index,
            "input tensor 3 of 3 of the subgraph",
        ),
        (
            "used before it is made",
            |b| {
                b.set_inputs(0, []);
            },
            Kind::Graph,
            "operator 0 (ADD), tensor 0 (x)",
        ),
        ("feeds itself", |b| b.subgraph_mut(0).operators[0].inputs[0] = Some(2), Kind::Graph, "tensor 2 (y)"),
        (
            "writes a constant",
            |b| b.subgraph_mut(0).operators[0].outputs = vec![1],
            Kind::Graph,
            "is a constant",
        ),
        ("writes an input", |b| b.subgraph_mut(0).operators[0].outputs = vec![0], Kind::Graph, "is an input"),
        (
            "made twice",
            |b| {
                b.add_operator(0, add([0, 1], 2));
            },
            Kind::Graph,
            "operator 0 has written it",
        ),
        (
            "output nobody makes",
            |b| {
                b.subgraph_mut(0).operators.clear();
            },
            Kind::Graph,
            "no operator makes it",
        ),
        (
            "options of another operator",
            |b| b.subgraph_mut(0).operators[0].options = SoftmaxOptionsT::default().into(),
            Kind::Options,
            "SoftmaxOptions where AddOptions",
        ),
        (
            "custom operator without a name",
            |b| b.subgraph_mut(0).operators[0].code = OpCode::Custom(String::new()),
            Kind::Options,
            "no name",
        ),
        (
            "subgraph never added",
            |b| {
                b.add_tensor(4, Tensor::default());
            },
            Kind::Index,
            "subgraph 4",
        ),
    ];
    check(rows, |make| with(make));
}

#[test]
fn broken_calls_are_refused() {
    let call = |code, inputs: &[usize], options: Options| Operator::new(code, inputs.to_vec(), [3], options);
    let branch = |then, other| IfOptionsT { then_subgraph_index: then, else_subgraph_index: other };
    let once = |init| CallOnceOptionsT { init_subgraph_index: init };
    let turn = WhileOptionsT { cond_subgraph_index: 1, body_subgraph_index: 1 };
    let rows = vec![
        (
            "branch that is not there",
            call(BuiltinOperator::IF, &[0, 1], branch(1, 2).into()),
            Kind::Index,
            "subgraph 2 of 2",
        ),
        (
            "negative branch",
            call(BuiltinOperator::IF, &[0, 1], branch(-1, 1).into()),
            Kind::Index,
            "subgraph -1",
        ),
        (
            "too many arguments",
            call(BuiltinOperator::IF, &[0, 1, 1], branch(1, 1).into()),
            Kind::Graph,
            "takes 1 tensors",
        ),
        (
            "no options",
            call(BuiltinOperator::WHILE, &[0], Options::None),
            Kind::Options,
            "options are missing",
        ),
        ("runs itself", call(BuiltinOperator::CALL_ONCE, &[], once(0).into()), Kind::Graph, "runs itself"),
        (
            "body for more values",
            call(BuiltinOperator::WHILE, &[0, 1], turn.into()),
            Kind::Graph,
            "takes 1 tensors",
        ),
    ];
    check(rows, |operator| {
        with(|b| {
            add_identity(b, 1);
            b.add_tensor(0, Tensor::new("z", TensorType::Float32, &[]));
            b.add_operator(0, operator.clone());
        })
    });
    // Two subgraphs that call each other, away from the main one.
    let error = with(|b| {
        let (first, second) = (add_identity(b, 0), add_identity(b, 0));
        for (caller, callee) in [(first, second), (second, first)] {
            let options = once(i32::try_from(callee).unwrap());
            let none: [usize; 0] = [];
            b.add_operator(caller, Operator::new(BuiltinOperator::CALL_ONCE, none, [], options));
        }
    });
    assert_eq!(error.unwrap_err().kind(), Kind::Graph);
    // A chain within and beyond the limit.
    let mut b = base();
    for callee in 1..=5 {
        let none: [usize; 0] = [];
        b.add_operator(callee - 1, Operator::new(BuiltinOperator::CALL_ONCE, none, [], once(callee as i32)));
        add_identity(&mut b, 0);
    }
    let limit = |max_call_depth| LoadOptions { max_call_depth, ..LoadOptions::default() };
    b.finish_with(&limit(5)).unwrap();
    assert_eq!(b.finish_with(&limit(4)).unwrap_err().kind(), Kind::Limit);
}

#[test]
fn broken_sparsity_is_refused() {
    type Change = fn(&mut Sparsity);
    fn csr(s: &mut Sparsity, segments: Vec<i32>, indices: Vec<i32>) {
        let (segments, indices) = (SparseIndices::Int32(segments), SparseIndices::Int32(indices));
        s.levels[1] = SparseLevel::Csr { segments, indices };
    }
    let rows: Vec<(&str, Change, Kind, &str)> = vec![
        ("order repeats", |s| s.traversal_order = vec![0, 0], Kind::Sparsity, "permutation of 2"),
        ("order too short", |s| s.traversal_order = vec![0], Kind::Sparsity, "permutation of 2"),
        ("level missing", |s| drop(s.levels.pop()), Kind::Sparsity, "over 1 levels"),
        ("dense size", |s| s.levels[0] = SparseLevel::Dense { size: 3 }, Kind::Sparsity, "its storage 3"),
        (
            "too few segments",
            |s| csr(s, vec![0, 2], vec![1, 2]),
            Kind::Sparsity,
            "the segments of dimension 1",
        ),
        ("segments begin late", |s| csr(s, vec![1, 1, 2], vec![1, 2]), Kind::Sparsity, "the segments"),
        ("segments fall", |s| csr(s, vec![0, 2, 1], vec![1, 2]), Kind::Sparsity, "the segments"),
        ("segments end early", |s| csr(s, vec![0, 1, 1], vec![1, 2]), Kind::Sparsity, "the segments"),
        ("negative segment", |s| csr(s, vec![0, -1, 2], vec![1, 2]), Kind::Sparsity, "the segments"),
        (
            "index beyond the row",
            |s| csr(s, vec![0, 1, 2], vec![1, 3]),
            Kind::Sparsity,
            "the indices of dimension 1",
        ),
        ("indices repeat", |s| csr(s, vec![0, 2, 2], vec![1, 1]), Kind::Sparsity, "the indices"),
        (
            "more elements than bytes",
            |s| csr(s, vec![0, 2, 3], vec![0, 1, 2]),
            Kind::Tensor,
            "takes 12 bytes",
        ),
        ("block of no dimension", |s| block(s, 2, 1), Kind::Sparsity, "do not divide dimension 2"),
        (
            "block that does not divide",
            |s| block(s, 1, 2),
            Kind::Sparsity,
            "blocks of 2 do not divide dimension 1",
        ),
        ("empty block", |s| block(s, 1, 0), Kind::Sparsity, "blocks of 0"),
    ];
    fn block(s: &mut Sparsity, blocked: usize, size: usize) {
        s.traversal_order.push(2);
        s.block_map.push(blocked);
        s.levels.push(SparseLevel::Dense { size });
    }
    check(rows, |change| {
        let (mut b, mut sparsity) = sparse();
        change(&mut sparsity);
        b.subgraph_mut(0).tensors[1].sparsity = Some(sparsity);
        b.finish()
    });
    let small = LoadOptions { max_densified_bytes: 23, ..LoadOptions::default() };
    assert_eq!(sparse().0.finish_with(&small).unwrap_err().kind(), Kind::Limit);
}

#[test]
fn broken_signatures_and_metadata_are_refused() {
    let signature = |subgraph, tensor| Signature {
        key: "main".into(),
        inputs: vec![("x".into(), tensor)],
        outputs: vec![],
        subgraph,
    };
    let rows = vec![
        ("no such subgraph", signature(1, 0), Kind::Index, "signature \"main\" runs subgraph 1 of 1"),
        ("no such tensor", signature(0, 3), Kind::Index, "gives \"x\" tensor 3 of 3"),
    ];
    check(rows, |signature| {
        with(|b| {
            b.add_signature(signature.clone());
        })
    });
}

#[test]
fn external_constants_are_found_or_refused() {
    let mut b = base();
    b.subgraph_mut(0).tensors[1].buffer = 0;
    b.subgraph_mut(0).tensors[1].external_buffer = 5;
    let buffer = ExternalBuffer { id: 5, group: "w.bin".into(), offset: 4, length: 24, packing: None };
    b.add_external_buffer(buffer.clone());
    let error = b.finish().unwrap_err();
    assert_eq!(error.kind(), Kind::ExternalData);
    assert!(error.to_string().contains("\"w.bin\""), "{error}");

    let with_file = |len: usize| {
        let files = move |name: &str| (name == "w.bin").then(|| vec![7_u8; len].into());
        LoadOptions { external_files: Some(std::sync::Arc::new(files)), ..LoadOptions::default() }
    };
    let model = b.finish_with(&with_file(28)).unwrap();
    assert_eq!(model.tensor_data(&model.subgraphs()[0].tensors[1]), Some([7; 24].as_slice()));
    assert_eq!(b.finish_with(&with_file(27)).unwrap_err().kind(), Kind::ExternalData);
    let missing = LoadOptions { allow_missing_files: true, ..LoadOptions::default() };
    let model = b.finish_with(&missing).unwrap();
    assert_eq!(model.tensor_data(&model.subgraphs()[0].tensors[1]), None);
    b.add_external_buffer(buffer);
    assert_eq!(b.finish_with(&with_file(28)).unwrap_err().kind(), Kind::Index, "the id twice");
}

/// The base model's tables, changed and written by the binding, for what the builder cannot express.
fn raw(change: impl Fn(&mut schema::ModelT)) -> Vec<u8> {
    let bytes = base().to_bytes().unwrap();
    let mut model = schema::root_as_model(&bytes).unwrap().unpack();
    change(&mut model);
    let mut fbb = flatbuffers::FlatBufferBuilder::new();
    let root = model.pack(&mut fbb);
    fbb.finish(root, Some(schema::MODEL_IDENTIFIER));
    fbb.finished_data().to_vec()
}

fn subgraph(model: &mut schema::ModelT) -> &mut schema::SubGraphT {
    &mut model.subgraphs.as_mut().unwrap()[0]
}

fn tensor(model: &mut schema::ModelT, index: usize) -> &mut schema::TensorT {
    &mut subgraph(model).tensors.as_mut().unwrap()[index]
}

fn operator(model: &mut schema::ModelT) -> &mut schema::OperatorT {
    &mut subgraph(model).operators.as_mut().unwrap()[0]
}

#[test]
fn broken_files_are_refused() {
    let good = base().to_bytes().unwrap();
    let named = |bytes: &[u8]| bytes.to_vec();
    let rows = vec![
        ("empty", vec![], Kind::NotAModel, "0 bytes"),
        ("too short", named(&good[..7]), Kind::NotAModel, "7 bytes"),
        ("another format", b"\0\0\0\0PK\x03\x04....".to_vec(), Kind::NotAModel, "PK\\x03\\x04"),
        ("cut off", named(&good[..good.len() / 2]), Kind::Structure, "structure is broken"),
        ("version 2", raw(|m| m.version = 2), Kind::Version, "version 2"),
        ("no subgraph", raw(|m| m.subgraphs = None), Kind::Graph, "no subgraph"),
        ("operator code", raw(|m| operator(m).opcode_index = 1), Kind::Index, "operator code 1 of 1"),
        ("negative dimension", raw(|m| tensor(m, 0).shape = Some(vec![2, -3])), Kind::Tensor, "tensor 0 (x)"),
        ("unknown type", raw(|m| tensor(m, 0).type_ = schema::TensorType(99)), Kind::Tensor, "type 99"),
        ("negative input", raw(|m| operator(m).inputs = Some(vec![0, -2])), Kind::Index, "-2"),
        ("negative output", raw(|m| operator(m).outputs = Some(vec![-1])), Kind::Index, "-1"),
        (
            "two options",
            raw(|m| operator(m).builtin_options_2 = schema::BuiltinOptions2T::DilateOptions(Box::default())),
            Kind::Options,
            "both",
        ),
        (
            "buffer behind the end",
            raw(|m| far_buffer(m, 1 << 40)),
            Kind::ExternalData,
            "buffer 1 should be 24 bytes",
        ),
        ("buffer wraps around", raw(|m| far_buffer(m, u64::MAX)), Kind::ExternalData, "buffer 1"),
        (
            "custom options behind the end",
            raw(|m| {
                (operator(m).large_custom_options_offset, operator(m).large_custom_options_size) = (9999, 1)
            }),
            Kind::ExternalData,
            "operator 0 (ADD)",
        ),
    ];
    check(rows, Model::parse);
}

fn far_buffer(model: &mut schema::ModelT, offset: u64) {
    let buffer = &mut model.buffers.as_mut().unwrap()[1];
    (buffer.data, buffer.offset, buffer.size) = (None, offset, 24);
}

#[test]
fn old_ways_are_understood() {
    // A greater code stands in the wide field, an old one only in the narrow field; options may be absent; an offset of
    // one is a placeholder; one zero point stands for all; an empty buffer makes an empty constant.
    let bytes = raw(|m| {
        let code = &mut m.operator_codes.as_mut().unwrap()[0];
        (code.deprecated_builtin_code, code.builtin_code) = (41, schema::BuiltinOperator::ADD);
        operator(m).builtin_options = schema::BuiltinOptionsT::NONE;
        m.buffers.as_mut().unwrap()[1].offset = 1;
        tensor(m, 1).quantization = Some(Box::new(schema::QuantizationParametersT {
            scale: Some(vec![1.0, 2.0, 3.0]),
            zero_point: Some(vec![5]),
            quantized_dimension: 1,
            ..Default::default()
        }));
    });
    let model = Model::parse(bytes).unwrap();
    let subgraph = &model.subgraphs()[0];
    assert_eq!(subgraph.operators[0].code, OpCode::Builtin(BuiltinOperator::SUB));
    assert_eq!(subgraph.operators[0].options, Options::None);
    assert_eq!(subgraph.tensors[1].quantization.as_ref().unwrap().zero_point, [5, 5, 5]);

    let mut b = base();
    let empty = b.add_tensor(0, Tensor::new("shape", TensorType::Int32, &[0]));
    let scalar = b.add_tensor(0, Tensor::new("scalar", TensorType::Float32, &[]));
    b.add_operator(0, Operator::new(BuiltinOperator::RESHAPE, [2, empty], [scalar], Options::None));
    let model = b.finish().unwrap();
    assert_eq!(model.tensor_data(&model.subgraphs()[0].tensors[empty]), Some([].as_slice()));
    assert_eq!(model.tensor_data(&model.subgraphs()[0].tensors[scalar]), None);
}

#[test]
fn small_files_cannot_stand_for_large_models() {
    // Thousands of references to one subgraph, which has thousands of references to one tensor.
    const MANY: usize = 3000;
    let mut fbb = flatbuffers::FlatBufferBuilder::new();
    let tensor = schema::Tensor::create(&mut fbb, &schema::TensorArgs::default());
    let tensors = Some(fbb.create_vector(&[tensor; MANY]));
    let subgraph =
        schema::SubGraph::create(&mut fbb, &schema::SubGraphArgs { tensors, ..Default::default() });
    let subgraphs = Some(fbb.create_vector(&[subgraph; MANY]));
    let args = schema::ModelArgs { version: 3, subgraphs, ..Default::default() };
    let root = schema::Model::create(&mut fbb, &args);
    fbb.finish(root, Some(schema::MODEL_IDENTIFIER));
    let error = Model::parse(fbb.finished_data().to_vec()).unwrap_err();
    assert_eq!(error.kind(), Kind::Structure, "{error}");
}
