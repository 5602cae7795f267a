//! StableHLO and control flow through the public API: how calls are planned, limits, and models that lie about their
//! regions and dimensions.

use ferrolite::model_file::options::*;
use ferrolite::model_file::{BuiltinOperator, ModelBuilder, Operator, Options, Tensor, TensorType};
use ferrolite::{ErrorKind, Interpreter, Limits, Model, Result};

/// A subgraph of two operands of `shape` and one operator without options.
fn binary(builder: &mut ModelBuilder, graph: usize, op: BuiltinOperator, shape: &[usize]) {
    let tensors =
        ["x", "y", "z"].map(|name| builder.add_tensor(graph, Tensor::new(name, TensorType::Float32, shape)));
    let [x, y, z] = tensors;
    builder.add_operator(graph, Operator::new(op, [x, y], [z], Options::None));
    builder.set_inputs(graph, [x, y]).set_outputs(graph, [z]);
}

/// A model of one operator; the first tensors are its inputs, the others its outputs.
fn single(
    op: BuiltinOperator,
    options: impl Into<Options>,
    inputs: &[(TensorType, &[usize])],
    outputs: &[(TensorType, &[usize])],
) -> ModelBuilder {
    let mut builder = ModelBuilder::new();
    let mut add =
        |&(dtype, shape): &(TensorType, &[usize])| builder.add_tensor(0, Tensor::new("t", dtype, shape));
    let inputs: Vec<usize> = inputs.iter().map(&mut add).collect();
    let outputs: Vec<usize> = outputs.iter().map(&mut add).collect();
    builder
        .add_operator(0, Operator::new(op, inputs.iter().copied(), outputs.iter().copied(), options.into()));
    builder.set_inputs(0, inputs).set_outputs(0, outputs);
    builder
}

fn load(builder: &ModelBuilder) -> Result<Model> {
    Model::from_bytes(builder.to_bytes().expect("the builder makes a file"))
}

/// Planned for the shapes in the file, also where a scalar, which may stand for an unknown rank, puts that off.
fn build(builder: &ModelBuilder) -> Result<Interpreter> {
    let mut interpreter = Interpreter::builder(&load(builder)?).threads(1).build()?;
    interpreter.allocate()?;
    Ok(interpreter)
}

#[test]
fn composites_are_inlined() {
    let options = StableHLOCompositeOptionsT {
        name: Some("test.sum".to_owned()),
        decomposition_subgraph_index: 1,
        ..Default::default()
    };
    let f32s = (TensorType::Float32, &[2usize][..]);
    let mut builder = single(BuiltinOperator::STABLEHLO_COMPOSITE, options, &[f32s, f32s], &[f32s]);
    builder.add_subgraph("decomposition");
    binary(&mut builder, 1, BuiltinOperator::ADD, &[2]);
    let mut interpreter = build(&builder).unwrap();
    let plan = interpreter.describe();
    assert!(plan.contains("ADD") && !plan.contains("COMPOSITE") && !plan.contains("segment"), "{plan}");
    interpreter.input_mut::<f32>(0).unwrap().copy_from_slice(&[1.0, 2.0]);
    interpreter.input_mut::<f32>(1).unwrap().copy_from_slice(&[10.0, 20.0]);
    interpreter.invoke().unwrap();
    assert_eq!(interpreter.output::<f32>(0).unwrap(), [11.0, 22.0]);
}

/// An IF on two operands, with an operator behind it.
fn conditional(shapes: [&[usize]; 2]) -> ModelBuilder {
    let mut builder = ModelBuilder::new();
    let condition = builder.add_tensor(0, Tensor::new("condition", TensorType::Bool, &[]));
    let [x, y, z, out] = ["x", "y", "z", "out"]
        .map(|name| builder.add_tensor(0, Tensor::new(name, TensorType::Float32, shapes[0])));
    let options = IfOptionsT { then_subgraph_index: 1, else_subgraph_index: 2 };
    builder.add_operator(0, Operator::new(BuiltinOperator::IF, [condition, x, y], [z], options));
    builder.add_operator(0, Operator::new(BuiltinOperator::ABS, [z], [out], Options::None));
    builder.set_inputs(0, [condition, x, y]).set_outputs(0, [out]);
    for (graph, op) in [(1, BuiltinOperator::ADD), (2, BuiltinOperator::MUL)] {
        builder.add_subgraph("branch");
        binary(&mut builder, graph, op, shapes[graph - 1]);
    }
    builder
}

#[test]
fn branches_that_agree_are_planned_ahead() {
    let mut interpreter = build(&conditional([&[2], &[2]])).unwrap();
    assert!(!interpreter.describe().contains("segment"), "{}", interpreter.describe());
    for (condition, want) in [(1u8, [3.0f32, 2.0]), (0, [2.0, 3.0])] {
        interpreter.set_input_bytes(0, &[condition]).unwrap();
        interpreter.input_mut::<f32>(1).unwrap().copy_from_slice(&[1.0, -3.0]);
        interpreter.input_mut::<f32>(2).unwrap().copy_from_slice(&[2.0, 1.0]);
        interpreter.invoke().unwrap();
        let got = interpreter.output::<f32>(0).unwrap().to_vec();
        assert_eq!(got, want, "condition {condition}");
    }
}

#[test]
fn loops_end_at_the_limit() {
    let number = (TensorType::Int32, &[][..]);
    let options = WhileOptionsT { cond_subgraph_index: 1, body_subgraph_index: 2 };
    let mut builder = single(BuiltinOperator::WHILE, options, &[number], &[number]);
    // A condition that always holds.
    builder.add_subgraph("condition");
    let i = builder.add_tensor(1, Tensor::new("i", TensorType::Int32, &[]));
    let holds = builder.add_tensor(1, Tensor::new("holds", TensorType::Bool, &[]));
    builder.add_operator(1, Operator::new(BuiltinOperator::EQUAL, [i, i], [holds], EqualOptionsT::default()));
    builder.set_inputs(1, [i]).set_outputs(1, [holds]);
    builder.add_subgraph("body");
    let i = builder.add_tensor(2, Tensor::new("i", TensorType::Int32, &[]));
    let one =
        builder.add_constant(2, Tensor::new("one", TensorType::Int32, &[]), 1i32.to_le_bytes().to_vec());
    let next = builder.add_tensor(2, Tensor::new("next", TensorType::Int32, &[]));
    builder.add_operator(2, Operator::new(BuiltinOperator::ADD, [i, one], [next], AddOptionsT::default()));
    builder.set_inputs(2, [i]).set_outputs(2, [next]);
    let model = load(&builder).unwrap();
    let limits = Limits { loop_turns: 100, ..Limits::default() };
    let mut interpreter = Interpreter::builder(&model).threads(1).limits(limits).build().unwrap();
    let error = interpreter.invoke().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("100 turns"), "{error}");
    // A loop that fails leaves the interpreter usable.
    assert_eq!(interpreter.invoke().unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn custom_calls_without_a_target_say_so() {
    let f32s = (TensorType::Float32, &[2usize][..]);
    for (target, want) in
        [(Some("my.kernel"), "'my.kernel' is no registered custom operator"), (None, "names no target")]
    {
        let options =
            StablehloCustomCallOptionsT { call_target_name: target.map(str::to_owned), ..Default::default() };
        let builder = single(BuiltinOperator::STABLEHLO_CUSTOM_CALL, options, &[f32s], &[f32s]);
        let error = build(&builder).err().expect("it is refused").to_string();
        assert!(error.contains(want), "{error}");
    }
}

/// A region that takes two elements of `dtype` and adds them.
fn with_region(mut builder: ModelBuilder, dtype: TensorType) -> ModelBuilder {
    builder.add_subgraph("region");
    let [x, y, z] = ["x", "y", "z"].map(|name| builder.add_tensor(1, Tensor::new(name, dtype, &[])));
    builder.add_operator(1, Operator::new(BuiltinOperator::STABLEHLO_ADD, [x, y], [z], Options::None));
    builder.set_inputs(1, [x, y]).set_outputs(1, [z]);
    builder
}

#[test]
fn lies_about_dimensions_are_named() {
    use BuiltinOperator as Op;
    use TensorType::{Bool, Float32, Int32};
    const S: &[usize] = &[];
    let m23 = (Float32, &[2usize, 3][..]);
    let one = (Float32, S);
    let reduce = |dimensions: Vec<i64>| {
        let options = StablehloReduceOptionsT { dimensions: Some(dimensions), body_subgraph_index: 1 };
        with_region(single(Op::STABLEHLO_REDUCE, options, &[m23, one], &[(Float32, &[2])]), Float32)
    };
    let gather = |offset: Vec<i64>, sizes: Vec<i64>, map: Vec<i64>, dim: i64| {
        let options = StablehloGatherOptionsT {
            offset_dims: Some(offset),
            collapsed_slice_dims: Some(vec![0]),
            start_index_map: Some(map),
            index_vector_dim: dim,
            slice_sizes: Some(sizes),
            ..Default::default()
        };
        single(Op::STABLEHLO_GATHER, options, &[m23, (Int32, &[4, 1])], &[(Float32, &[4, 3])])
    };
    let pad = |low: Vec<i64>, interior: Vec<i64>| {
        let options = StablehloPadOptionsT {
            edge_padding_low: Some(low),
            edge_padding_high: Some(vec![0, 0]),
            interior_padding: Some(interior),
        };
        single(Op::STABLEHLO_PAD, options, &[m23, one], &[m23])
    };
    let window = |sizes: Vec<i64>, padding: Vec<i64>| {
        let options = StablehloReduceWindowOptionsT {
            window_dimensions: Some(sizes),
            padding: Some(padding),
            body_subgraph_index: 1,
            ..Default::default()
        };
        with_region(single(Op::STABLEHLO_REDUCE_WINDOW, options, &[m23, one], &[m23]), Float32)
    };
    let dot = |left: Vec<i64>, right: Vec<i64>| {
        let options = StablehloDotGeneralOptionsT {
            lhs_contracting_dimensions: Some(left),
            rhs_contracting_dimensions: Some(right),
            ..Default::default()
        };
        single(Op::STABLEHLO_DOT_GENERAL, options, &[m23, m23], &[(Float32, &[2, 2])])
    };
    let convolution = |groups: i64, spatial: Vec<i64>| {
        let options = StablehloConvolutionOptionsT {
            input_feature_dimension: 3,
            input_spatial_dimensions: Some(spatial),
            kernel_input_feature_dimension: 2,
            kernel_output_feature_dimension: 3,
            kernel_spatial_dimensions: Some(vec![0, 1]),
            output_feature_dimension: 3,
            output_spatial_dimensions: Some(vec![1, 2]),
            feature_group_count: groups,
            batch_group_count: 1,
            ..Default::default()
        };
        let (x, k) = ((Float32, &[1usize, 4, 4, 2][..]), (Float32, &[2usize, 2, 2, 3][..]));
        single(Op::STABLEHLO_CONVOLUTION, options, &[x, k], &[(Float32, &[1, 3, 3, 3])])
    };
    let sort = |dimension: i64| {
        let options = StablehloSortOptionsT { dimension, is_stable: true, comparator_subgraph_index: 1 };
        with_region(single(Op::STABLEHLO_SORT, options, &[m23], &[m23]), Float32)
    };
    let slice = |limit: i64| {
        let options = StablehloSliceOptionsT {
            start_indices: Some(vec![1, 0]),
            limit_indices: Some(vec![limit, 3]),
            strides: Some(vec![1, 1]),
        };
        single(Op::STABLEHLO_SLICE, options, &[m23], &[(Float32, &[1, 3])])
    };
    let rng = single(
        Op::STABLEHLO_RNG_BIT_GENERATOR,
        StablehloRngBitGeneratorOptionsT { algorithm: RngAlgorithm(9) },
        &[(TensorType::UInt64, &[2])],
        &[(TensorType::UInt64, &[2]), (TensorType::UInt32, &[4])],
    );
    let compare = single(
        Op::STABLEHLO_COMPARE,
        StablehloCompareOptionsT {
            comparison_direction: StablehloComparisonDirection(77),
            ..Default::default()
        },
        &[m23, m23],
        &[(Bool, &[2, 3])],
    );
    let huge = i64::MAX;
    let rows: Vec<(&str, ModelBuilder, &str)> = vec![
        ("reduced dimension outside", reduce(vec![2]), "dimension 2 of a tensor of rank 2"),
        ("negative dimension", reduce(vec![-1]), "dimension -1"),
        ("dimension twice", reduce(vec![1, 1]), "twice"),
        ("offset outside", gather(vec![5], vec![1, 3], vec![0], 1), "dimension 5"),
        ("slice too large", gather(vec![1], vec![1, 4], vec![0], 1), "do not fit"),
        ("negative slice", gather(vec![1], vec![1, -3], vec![0], 1), "do not fit"),
        ("map too long", gather(vec![1], vec![1, 3], vec![0, 1], 1), "index vectors"),
        ("vector dimension outside", gather(vec![1], vec![1, 3], vec![0], 3), "dimension 3"),
        ("padding beyond memory", pad(vec![huge, 0], vec![0, 0]), "larger than memory"),
        ("padding between beyond memory", pad(vec![0, 0], vec![huge, 0]), "larger than memory"),
        ("negative padding between", pad(vec![0, 0], vec![-1, 0]), "0 or more"),
        ("padding list too short", pad(vec![1], vec![0, 0]), "2 dimensions"),
        ("window of nothing", window(vec![0, 1], vec![0; 4]), "1 or more"),
        ("padding odd", window(vec![1, 1], vec![0; 3]), "two for each"),
        ("window far beyond", window(vec![1, 1], vec![huge, huge, 0, 0]), "larger than memory"),
        ("sums that do not match", dot(vec![0], vec![1]), "do not match"),
        ("summed dimension outside", dot(vec![7], vec![1]), "dimension 7"),
        ("no groups", convolution(0, vec![1, 2]), "no number of feature groups"),
        ("groups that do not divide", convolution(5, vec![1, 2]), "do not go together"),
        ("layout names a dimension twice", convolution(1, vec![1, 3]), "twice"),
        ("layout too short", convolution(1, vec![1]), "names 3 of 4"),
        ("comparator gives no truth", sort(0), "give a truth value"),
        ("slice beyond the end", slice(3), "no slice"),
        ("slice backwards", slice(0), "no slice"),
        ("unknown generator", rng, "not known"),
        ("unknown direction", compare, "no direction"),
    ];
    for (name, builder, want) in rows {
        let error = build(&builder).err().unwrap_or_else(|| panic!("{name} is accepted")).to_string();
        assert!(error.contains(want), "{name}: {error}");
    }
}

#[test]
fn regions_of_other_types_are_refused() {
    let options = || StablehloReduceOptionsT { dimensions: Some(vec![0]), body_subgraph_index: 1 };
    let inputs = [(TensorType::Float32, &[3usize][..]), (TensorType::Float32, &[][..])];
    let outputs = [(TensorType::Float32, &[][..])];
    let make =
        |dtype| with_region(single(BuiltinOperator::STABLEHLO_REDUCE, options(), &inputs, &outputs), dtype);
    assert!(build(&make(TensorType::Float32)).is_ok());
    let error = build(&make(TensorType::Int32)).err().expect("it is refused").to_string();
    assert!(error.contains("must take two elements"), "{error}");
    // An index that the model does not have is found when it is loaded.
    let lost = StablehloReduceOptionsT { dimensions: Some(vec![0]), body_subgraph_index: 5 };
    let error = load(&single(BuiltinOperator::STABLEHLO_REDUCE, lost, &inputs, &outputs)).err();
    assert!(error.expect("it is refused").to_string().contains("subgraph 5"));
}

#[test]
fn calls_that_double_at_every_level_end_soon() {
    // Each of many subgraphs calls the next one twice.
    let levels = 40;
    let mut builder = ModelBuilder::new();
    for level in 0..levels {
        if level > 0 {
            builder.add_subgraph(format!("level {level}"));
        }
        let [x, y, z] = ["x", "y", "z"]
            .map(|name| builder.add_tensor(level, Tensor::new(name, TensorType::Float32, &[1])));
        if level + 1 == levels {
            builder.add_operator(level, Operator::new(BuiltinOperator::ABS, [x], [z], Options::None));
        } else {
            let call = || CallOptionsT { subgraph: level as u32 + 1 };
            builder.add_operator(level, Operator::new(BuiltinOperator::CALL, [x], [y], call()));
            builder.add_operator(level, Operator::new(BuiltinOperator::CALL, [y], [z], call()));
        }
        builder.set_inputs(level, [x]).set_outputs(level, [z]);
    }
    let bytes = builder.to_bytes();
    // Planning ends; what is asked of the run is the model's own doing, and can be cancelled.
    let model = Model::from_bytes(bytes.expect("the builder makes a file")).unwrap();
    let mut interpreter = Interpreter::builder(&model).threads(1).build().unwrap();
    interpreter.cancel_token().cancel();
    assert_eq!(interpreter.invoke().unwrap_err().kind(), ErrorKind::Cancelled);
}
