//! Operators by themselves: random numbers against TensorFlow's, gradients against finite differences, lists, hostile input.

mod forward;
mod gradients;
mod support;

use ferrolite_flex::checkpoint;
use ferrolite_kernels::isa::Cpu;
use ferrolite_model::flexbuffers::{Value, encode};
use ferrolite_ops::eval::{Detached, evaluate, plain_info};
use ferrolite_ops::{
    InputData, InputView, Inputs, Io, LowerCx, NoRegions, Node, OpError, Operand, OutputData, OutputView,
    Outputs, PackCache, Shape, TensorType, TensorValue, strings,
};
use support::{
    Attr, definition, f32s, i32_scalar, i32s, input_infos, noise, open_outputs, operator, options, run,
};

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
fn labels_out_of_range_are_refused() {
    let logits = noise(4, 1);
    let bad = [f32s(&[1, 4], &logits), i32s(&[4])];
    let error = run("SparseSoftmaxCrossEntropyWithLogits", &[], &bad, &[TensorType::Float32; 2]).unwrap_err();
    assert!(error.to_string().contains("label 4"), "{error}");
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
    let cx = LowerCx::alone(Cpu::detect(), &packs);
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
        let cx = LowerCx::alone(Cpu::detect(), &packs);
        let mut context = Detached::default();
        let outputs = [info.clone()];
        let result = evaluate(spec, &operator, &arguments, &outputs, &[], &mut [], &cx, &mut context);
        assert!(result.is_err());
    }
}

#[test]
fn both_formats_are_restored() {
    let folder = tempfile::tempdir().unwrap();
    let value = f32s(&[2, 3], &noise(6, 5));
    let text = |text: &str| {
        let bytes = strings::encode(&[text]).unwrap();
        TensorValue::from_bytes(TensorType::String, [1].into(), &bytes).unwrap()
    };
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    checkpoint::write_v1(at("first"), [("w", &value)]).unwrap();
    checkpoint::write(at("second"), [("w", &value)]).unwrap();
    let restore = |prefix: &str, tensor: &str| {
        run("RestoreV2", &[], &[text(&at(prefix)), text(tensor), text("")], &[TensorType::Float32])
    };
    for prefix in ["first", "second"] {
        let read = restore(prefix, "w").unwrap_or_else(|e| panic!("{prefix}: {e}")).remove(0);
        assert_eq!((read.shape(), read.bytes()), (value.shape(), value.bytes()), "{prefix}");
        let error = restore(prefix, "missing").unwrap_err().to_string();
        assert!(error.contains("'missing'"), "{prefix}: {error}");
    }
    assert!(restore("third", "w").is_err());
}
