//! Operators by themselves: random numbers against TensorFlow's, gradients against finite differences.

use ferrolite_flex::TABLE;
use ferrolite_flex::node_def::type_number;
use ferrolite_flex::wire::Writer;
use ferrolite_kernels::isa::Cpu;
use ferrolite_model::flexbuffers::{Value, encode};
use ferrolite_model::{OpCode, Operator};
use ferrolite_ops::eval::{Detached, evaluate, plain_info};
use ferrolite_ops::{
    InputData, InputView, Inputs, Io, LowerCx, NoRegions, Node, OpError, OpSpec, Operand, OutputData,
    OutputView, Outputs, PackCache, Shape, TensorInfo, TensorType, TensorValue,
};

/// Attributes of a test.
enum Attr {
    Int(&'static str, i64),
    Text(&'static str, &'static str),
    Bool(&'static str, bool),
    Type(&'static str, TensorType),
}

fn definition(op: &str, attrs: &[Attr]) -> Vec<u8> {
    let mut def = Writer::default();
    def.bytes(2, op.as_bytes());
    for attr in attrs {
        let mut value = Writer::default();
        let name = match attr {
            Attr::Int(name, v) => {
                value.varint(3, v.cast_unsigned());
                name
            }
            Attr::Text(name, v) => {
                value.bytes(2, v.as_bytes());
                name
            }
            Attr::Bool(name, v) => {
                value.varint(5, u64::from(*v));
                name
            }
            Attr::Type(name, v) => {
                value.varint(6, type_number(*v).unwrap() as u64);
                name
            }
        };
        let mut entry = Writer::default();
        entry.bytes(1, name.as_bytes());
        entry.bytes(2, &value.finish());
        def.bytes(5, &entry.finish());
    }
    def.finish()
}

/// An operator with its entry of the table.
fn operator(op: &str, options: Vec<u8>) -> (&'static OpSpec, Operator) {
    let code = OpCode::Custom(format!("Flex{op}"));
    let spec = TABLE.iter().flat_map(|f| f.iter()).find(|s| s.key.matches(&code)).expect("in the table");
    (spec, Operator { code, version: 1, custom_options: options.into(), ..Operator::default() })
}

/// The options of an operator with these attributes.
fn options(op: &str, attrs: &[Attr]) -> Vec<u8> {
    encode(&Value::Vector(vec![Value::String(op), Value::Blob(&definition(op, attrs))]))
}

fn input_infos(inputs: &[TensorValue]) -> Vec<TensorInfo> {
    inputs.iter().map(|v| plain_info("x", v.dtype(), v.shape())).collect()
}

fn open_outputs(types: &[TensorType]) -> Vec<TensorInfo> {
    types.iter().map(|&dtype| TensorInfo { open_shape: true, ..plain_info("y", dtype, &[]) }).collect()
}

/// Runs an operator on constants.
fn run(
    op: &str,
    attrs: &[Attr],
    inputs: &[TensorValue],
    outputs: &[TensorType],
) -> Result<Vec<TensorValue>, OpError> {
    let (spec, operator) = operator(op, options(op, attrs));
    let (infos, outputs) = (input_infos(inputs), open_outputs(outputs));
    let arguments: Vec<_> = infos.iter().zip(inputs).map(|(i, v)| Some((i, Some(v.bytes())))).collect();
    let packs = PackCache::default();
    let cx = LowerCx { cpu: Cpu::detect(), threads: 1, activation: None, packs: &packs };
    evaluate(spec, &operator, &arguments, &outputs, &[], &mut [], &cx, &mut Detached::default())
}

fn f32s(shape: &[usize], values: &[f32]) -> TensorValue {
    TensorValue::from_elements(Shape::new(shape), values).unwrap()
}

fn i32s(values: &[i32]) -> TensorValue {
    TensorValue::from_elements([values.len()].into(), values).unwrap()
}

fn i32_scalar(value: i32) -> TensorValue {
    TensorValue::from_elements(Shape::scalar(), &[value]).unwrap()
}

/// Numbers in -1..1 that look random.
fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn random_numbers_are_tensorflows() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/training/checkpoint/random.json");
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let floats = |v: &serde_json::Value| -> Vec<f32> {
        v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
    };
    let words = |v: &serde_json::Value| -> Vec<u64> {
        v.as_array().unwrap().iter().map(|x| x.as_u64().unwrap()).collect()
    };
    let keys = run("StatelessRandomGetKeyCounter", &[], &[i32s(&[7, -9])], &[TensorType::UInt64; 2]).unwrap();
    assert_eq!(keys[0].elements::<u64>().unwrap(), words(&golden["key"]));
    assert_eq!(keys[1].elements::<u64>().unwrap(), words(&golden["counter"]));
    let inputs = [i32s(&[11]), keys[0].clone(), keys[1].clone(), i32_scalar(1)];
    let draw = |op: &str| run(op, &[], &inputs, &[TensorType::Float32]).unwrap().remove(0);
    assert_eq!(draw("StatelessRandomUniformV2").elements::<f32>().unwrap(), floats(&golden["uniform"]));
    // The transform takes the logarithm, sine and cosine of a library: the last bit may differ.
    for (op, key) in [("StatelessRandomNormalV2", "normal"), ("StatelessTruncatedNormalV2", "truncated")] {
        for (got, want) in draw(op).elements::<f32>().unwrap().iter().zip(floats(&golden[key])) {
            assert!((got - want).abs() <= 2e-7 * want.abs().max(1.0), "{op}: {got}, want {want}");
        }
    }
    let bounds = [inputs.as_slice(), &[i32_scalar(-5), i32_scalar(1000)]].concat();
    let drawn = run("StatelessRandomUniformIntV2", &[], &bounds, &[TensorType::Int32]).unwrap();
    let want: Vec<i32> =
        golden["integers"].as_array().unwrap().iter().map(|x| x.as_i64().unwrap() as i32).collect();
    assert_eq!(drawn[0].elements::<i32>().unwrap(), want);
    let seeds = [Attr::Int("seed", 3), Attr::Int("seed2", 4)];
    let drawn = run("RandomUniform", &seeds, &[i32s(&[5])], &[TensorType::Float32]).unwrap();
    assert_eq!(drawn[0].elements::<f32>().unwrap(), floats(&golden["stateful"][0]));
}

#[test]
fn cross_entropies_by_finite_differences() {
    let logits = noise(12, 1);
    let labels: Vec<f32> = noise(12, 2).iter().map(|x| x.abs()).collect();
    let classes = [2, 0, 1];
    let dense = |l: &[f32]| {
        let inputs = [f32s(&[3, 4], l), f32s(&[3, 4], &labels)];
        run("SoftmaxCrossEntropyWithLogits", &[], &inputs, &[TensorType::Float32; 2]).unwrap()
    };
    let sparse = |l: &[f32]| {
        let inputs = [f32s(&[3, 4], l), i32s(&classes)];
        run("SparseSoftmaxCrossEntropyWithLogits", &[], &inputs, &[TensorType::Float32; 2]).unwrap()
    };
    type Form<'a> = &'a dyn Fn(&[f32]) -> Vec<TensorValue>;
    let forms: [(&str, Form<'_>); 2] = [("dense", &dense), ("sparse", &sparse)];
    for (name, form) in forms {
        let total =
            |l: &[f32]| form(l)[0].elements::<f32>().unwrap().iter().map(|&x| f64::from(x)).sum::<f64>();
        let out = form(&logits);
        let mut gradient = out[1].elements::<f32>().unwrap().to_vec();
        if name == "dense" {
            // The operator's gradient is that of labels that add up to one.
            for (row, labels) in gradient.chunks_mut(4).zip(labels.chunks(4)) {
                let excess: f32 = labels.iter().sum::<f32>() - 1.0;
                for (g, l) in row.iter_mut().zip(labels) {
                    *g += excess * (*g + l);
                }
            }
        }
        for i in 0..logits.len() {
            const STEP: f32 = 1e-2;
            let (mut above, mut below) = (logits.clone(), logits.clone());
            above[i] += STEP;
            below[i] -= STEP;
            let slope = (total(&above) - total(&below)) / f64::from(2.0 * STEP);
            assert!(
                (slope - f64::from(gradient[i])).abs() < 1e-3,
                "{name} {i}: {} want {slope}",
                gradient[i]
            );
        }
    }
    let bad = [f32s(&[1, 4], &logits[..4]), i32s(&[4])];
    let error = run("SparseSoftmaxCrossEntropyWithLogits", &[], &bad, &[TensorType::Float32; 2]).unwrap_err();
    assert!(error.to_string().contains("label 4"), "{error}");
}

#[test]
fn slices_scatter_back() {
    // Name, shape, begin, end, strides, masks (begin, end, ellipsis, new axis, shrink), slice's shape, places of 1, 2, ….
    type Row<'a> = (&'a str, &'a [i32], [&'a [i32]; 3], [i64; 5], &'a [usize], &'a [usize]);
    let rows: &[Row<'_>] = &[
        ("middle", &[5], [&[1], &[4], &[1]], [0; 5], &[3], &[1, 2, 3]),
        ("backwards", &[5], [&[-1], &[0], &[-2]], [0; 5], &[2], &[4, 2]),
        ("open ends", &[4], [&[9], &[9], &[1]], [1, 1, 0, 0, 0], &[4], &[0, 1, 2, 3]),
        ("column", &[2, 3], [&[0, 1], &[0, 2], &[1, 1]], [1, 1, 0, 0, 2], &[2], &[1, 4]),
        ("ellipsis", &[2, 3], [&[0, 2], &[0, 3], &[1, 1]], [0, 0, 1, 0, 0], &[2, 1], &[2, 5]),
        ("new axis", &[3], [&[0, 1], &[0, 3], &[1, 1]], [0, 0, 0, 1, 0], &[1, 2], &[1, 2]),
    ];
    for (name, shape, [begin, end, strides], masks, slice, places) in rows {
        let names = ["begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"];
        let attrs: Vec<Attr> = names.iter().zip(masks).map(|(n, &m)| Attr::Int(n, m)).collect();
        let dy: Vec<f32> = (1..=places.len()).map(|i| i as f32).collect();
        let inputs = [i32s(shape), i32s(begin), i32s(end), i32s(strides), f32s(slice, &dy)];
        let out = run("StridedSliceGrad", &attrs, &inputs, &[TensorType::Float32])
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut want = vec![0.0; shape.iter().product::<i32>() as usize];
        places.iter().zip(&dy).for_each(|(&p, &g)| want[p] = g);
        assert_eq!(out[0].elements::<f32>().unwrap(), want, "{name}");
    }
}

#[test]
fn mirrored_edges_fold_back() {
    let inputs = [
        f32s(&[6], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        TensorValue::from_elements([1, 2].into(), &[2i32, 1]).unwrap(),
    ];
    let fold = |mode: &'static str| {
        run("MirrorPadGrad", &[Attr::Text("mode", mode)], &inputs, &[TensorType::Float32]).unwrap()[0]
            .elements::<f32>()
            .unwrap()
            .to_vec()
    };
    // x2 x1 | x0 x1 x2 | x1, and x1 x0 | x0 x1 x2 | x2.
    assert_eq!(fold("REFLECT"), [3.0, 2.0 + 4.0 + 6.0, 1.0 + 5.0]);
    assert_eq!(fold("SYMMETRIC"), [2.0 + 3.0, 1.0 + 4.0, 5.0 + 6.0]);
}

#[test]
fn resizing_gradients_keep_the_sum() {
    for (align, half) in [(false, false), (true, false), (false, true)] {
        let attrs = || [Attr::Bool("align_corners", align), Attr::Bool("half_pixel_centers", half)];
        let dy = noise(5 * 7 * 2, 3);
        let total: f32 = dy.iter().sum();
        let sum = |v: &TensorValue| v.elements::<f32>().unwrap().iter().sum::<f32>();
        let gradient = f32s(&[1, 5, 7, 2], &dy);
        let image = f32s(&[1, 3, 4, 2], &noise(24, 4));
        let out =
            run("ResizeBilinearGrad", &attrs(), &[gradient.clone(), image], &[TensorType::Float32]).unwrap();
        assert_eq!(out[0].shape().dims(), [1, 3, 4, 2]);
        assert!((sum(&out[0]) - total).abs() < 1e-4, "bilinear, align {align}, half {half}");
        let out =
            run("ResizeNearestNeighborGrad", &attrs(), &[gradient, i32s(&[3, 4])], &[TensorType::Float32])
                .unwrap();
        assert!((sum(&out[0]) - total).abs() < 1e-4, "nearest, align {align}, half {half}");
    }
}

/// As [`run`], where inputs or outputs are lists, which are no bytes.
fn run_on_lists(
    op: &str,
    attrs: &[Attr],
    inputs: &[TensorValue],
    outputs: &[TensorType],
) -> Result<Vec<TensorValue>, OpError> {
    let (spec, operator) = operator(op, options(op, attrs));
    let (infos, outputs) = (input_infos(inputs), open_outputs(outputs));
    let operands: Vec<Option<Operand<'_>>> = infos
        .iter()
        .zip(inputs)
        .map(|(info, v)| {
            let value = v.list().is_none().then(|| v.bytes());
            Some(Operand { info, value, half: None, source: None })
        })
        .collect();
    let node = Node {
        operator: &operator,
        inputs: &operands,
        outputs: &outputs,
        intermediates: &[],
        regions: &NoRegions,
    };
    let packs = PackCache::default();
    let cx = LowerCx { cpu: Cpu::detect(), threads: 1, activation: None, packs: &packs };
    let kernel = (spec.lower)(&node, &cx)?;
    let inputs: Vec<InputView<'_>> = infos
        .iter()
        .zip(inputs)
        .map(|(info, v)| InputView {
            dtype: info.dtype,
            shape: &info.shape,
            data: if v.list().is_some() { InputData::Value(v) } else { InputData::Bytes(v.bytes()) },
        })
        .collect();
    let mut values: Vec<TensorValue> = outputs
        .iter()
        .map(|info| TensorValue::zeros(info.dtype, Shape::scalar()))
        .collect::<Result<_, _>>()?;
    let mut outs: Vec<OutputView<'_>> = values
        .iter_mut()
        .zip(&outputs)
        .map(|(value, info)| OutputView {
            dtype: info.dtype,
            shape: &info.shape,
            data: OutputData::Value(value),
        })
        .collect();
    let mut io = Io {
        inputs: Inputs::new(&inputs),
        outputs: Outputs::new(&mut outs),
        states: Outputs::new(&mut []),
        scratch: &mut [],
    };
    kernel.run(&mut io, &mut Detached::default())?;
    Ok(values)
}

#[test]
fn lists_grow_and_shrink() {
    let shape = i32s(&[2]);
    let list = run_on_lists(
        "EmptyTensorList",
        &[Attr::Type("element_dtype", TensorType::Float32)],
        &[shape.clone(), i32_scalar(-1)],
        &[TensorType::Variant],
    )
    .unwrap()
    .remove(0);
    let push = |list: &TensorValue, values: [f32; 2]| {
        let inputs = [list.clone(), f32s(&[2], &values)];
        run_on_lists("TensorListPushBack", &[], &inputs, &[TensorType::Variant]).unwrap().remove(0)
    };
    let stack = |list: &TensorValue| {
        let inputs = [list.clone(), shape.clone()];
        run_on_lists("TensorListStack", &[], &inputs, &[TensorType::Float32]).unwrap().remove(0)
    };
    let one = push(&list, [1.0, 2.0]);
    let two = push(&one, [3.0, 4.0]);
    let stacked = stack(&two);
    assert_eq!(stacked.shape().dims(), [2, 2]);
    assert_eq!(stacked.elements::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    let types = [TensorType::Variant, TensorType::Float32];
    let popped = run_on_lists("TensorListPopBack", &[], &[two.clone(), shape.clone()], &types).unwrap();
    assert_eq!(stack(&popped[0]).bytes(), stack(&one).bytes(), "a popped list is what it was");
    assert_eq!(popped[1].elements::<f32>().unwrap(), [3.0, 4.0]);
    assert_eq!(stack(&two).bytes(), stacked.bytes(), "a list that others hold is left as it is");
    let sum = run_on_lists("AddN", &[], &[two.clone(), two.clone()], &[TensorType::Variant]).unwrap();
    assert_eq!(stack(&sum[0]).elements::<f32>().unwrap(), [2.0, 4.0, 6.0, 8.0]);
    let empty = run_on_lists("TensorListPopBack", &[], &[list, shape.clone()], &types).unwrap_err();
    assert!(empty.to_string().contains("empty list"), "{empty}");
}

#[test]
fn hostile_definitions_are_refused() {
    let def = definition("LeakyReluGrad", &[Attr::Text("alpha", "no number")]);
    for options in [
        vec![],
        vec![1, 2, 3],
        def.clone(),
        encode(&Value::Vector(vec![Value::String("x"), Value::Blob(&def)])),
    ] {
        let (spec, operator) = operator("LeakyReluGrad", options);
        let info = plain_info("x", TensorType::Float32, &[1]);
        let bytes = 1f32.to_le_bytes();
        let arguments = [Some((&info, Some(&bytes[..]))); 2];
        let packs = PackCache::default();
        let cx = LowerCx { cpu: Cpu::detect(), threads: 1, activation: None, packs: &packs };
        let mut context = Detached::default();
        let outputs = [info.clone()];
        let result = evaluate(spec, &operator, &arguments, &outputs, &[], &mut [], &cx, &mut context);
        assert!(result.is_err());
    }
}
