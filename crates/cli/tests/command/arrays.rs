//! Arrays in and out: `run` and `compare`.

use crate::support::{Workshop, digit, float_array, floats, passing_model};
use ferrolite::TensorType;
use ferrolite::model_file::{BuiltinOperator, ModelBuilder, Operator, Options, Signature, Tensor};
use ferrolite_cli::npz::{Array, Element};

fn most_likely(probabilities: &[f32]) -> Option<usize> {
    (0..probabilities.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]))
}

#[test]
fn inputs_are_found_by_each_of_their_names() {
    let workshop = Workshop::new();
    let (image, label) = digit(0);
    let rows = [
        ("signature name", "image", "--signature serving_default", "probabilities"),
        ("signature name without --signature", "image", "", "0"),
        ("tensor name", "serving_default_image:0", "", "0"),
        (
            "tensor name with --signature",
            "serving_default_image:0",
            "--signature serving_default",
            "probabilities",
        ),
        ("position", "0", "", "0"),
    ];
    for (name, key, signature, result) in rows {
        workshop.write("in.npz", &[(key, image.clone())]);
        let stdout =
            workshop.succeed(&format!("run digits_f32.tflite --inputs in.npz --outputs out.npz {signature}"));
        assert!(stdout.contains(&format!("given as '{key}'")), "{name}: {stdout}");
        let found = workshop.read("out.npz");
        assert_eq!(
            (found.len(), found[0].0.as_str(), found[0].1.shape()),
            (1, result, &[1, 10][..]),
            "{name}"
        );
        assert_eq!(most_likely(&floats(&found[0].1)), Some(label), "{name}");
    }
}

#[test]
fn missing_inputs_follow_the_seed() {
    let workshop = Workshop::new();
    for model in ["digits_f32.tflite", "digits_int8.tflite"] {
        // Tensor 0 is the input: other inputs need not give other outputs.
        let [first, again, other] = [7, 7, 8].map(|seed| {
            workshop.succeed(&format!("run {model} --seed {seed} --preserve-all all.npz"));
            let all = workshop.read("all.npz");
            all.into_iter().find(|(name, _)| name == "0/0").map(|(_, array)| array).expect("the input")
        });
        assert_eq!(first, again, "{model}");
        assert_ne!(first, other, "{model}");
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    let workshop = Workshop::new();
    for model in ["digits_f32.tflite", "digits_int8.tflite"] {
        let results = ["1", "2", "3"].map(|threads| {
            workshop.succeed(&format!("run {model} --threads {threads} --outputs out.npz"));
            workshop.read("out.npz")
        });
        assert!(results.iter().all(|result| *result == results[0]), "{model}");
    }
}

/// Each type with an array of two elements of it.
fn samples() -> Vec<(TensorType, Array)> {
    use TensorType as T;
    let sample = |dtype, element: Element, bytes: &[u8]| {
        (dtype, Array::new(element, vec![2], bytes.to_vec()).expect("sized"))
    };
    let counting: Vec<u8> = (1..=32).collect();
    let wide = |dtype, element: Element| sample(dtype, element, &counting[..2 * element.width()]);
    vec![
        sample(T::Bool, Element::Bool, &[1, 0]),
        sample(T::Int2, Element::Int8, &[0xfe, 1]),
        sample(T::Int4, Element::Int8, &[0xf8, 7]),
        sample(T::UInt4, Element::Uint8, &[15, 8]),
        wide(T::Int8, Element::Int8),
        wide(T::Int16, Element::Int16),
        wide(T::Int32, Element::Int32),
        wide(T::Int64, Element::Int64),
        wide(T::UInt8, Element::Uint8),
        wide(T::UInt16, Element::Uint16),
        wide(T::UInt32, Element::Uint32),
        wide(T::UInt64, Element::Uint64),
        wide(T::Float8E4M3Fn, Element::Uint8),
        wide(T::Float8E5M2, Element::Uint8),
        wide(T::Float16, Element::Float16),
        wide(T::BFloat16, Element::Uint16),
        wide(T::Float32, Element::Float32),
        wide(T::Float64, Element::Float64),
        wide(T::Complex64, Element::Complex64),
        wide(T::Complex128, Element::Complex128),
        (T::String, Array::from_strings(vec![2], &[b"four".to_vec(), vec![]]).expect("sized")),
    ]
}

#[test]
fn arrays_of_every_type_pass_through() {
    let workshop = Workshop::new();
    let samples = samples();
    let types: Vec<TensorType> = samples.iter().map(|(dtype, _)| *dtype).collect();
    std::fs::write(workshop.path("pass.tflite"), passing_model(&types)).expect("writes");
    let names: Vec<String> = types.iter().map(|dtype| format!("in_{dtype}")).collect();
    let arrays: Vec<(&str, Array)> =
        names.iter().zip(&samples).map(|(name, (_, array))| (name.as_str(), array.clone())).collect();
    workshop.write("in.npz", &arrays);
    workshop.succeed("run pass.tflite --inputs in.npz --outputs out.npz --signature pass");
    let found = workshop.read("out.npz");
    let wrong: Vec<_> = samples
        .iter()
        .filter(|(dtype, array)| {
            let key = format!("out_{dtype}");
            !found.iter().any(|(name, result)| *name == key && result == array)
        })
        .collect();
    assert!(wrong.is_empty() && found.len() == samples.len(), "{wrong:?} among {found:?}");
}

#[test]
fn other_shapes_resize() {
    let workshop = Workshop::new();
    std::fs::write(workshop.path("pass.tflite"), passing_model(&[TensorType::Float32])).expect("writes");
    let rows: &[(&str, &[usize], &[f32])] = &[
        ("longer", &[3], &[1.0, 2.0, 3.0]),
        ("empty", &[0], &[]),
        ("two axes", &[2, 1], &[1.0, 2.0]),
        ("no axes", &[], &[5.0]),
    ];
    for (name, shape, values) in rows {
        let array = float_array(shape, values);
        workshop.write("in.npz", &[("0", array.clone())]);
        workshop.succeed("run pass.tflite --inputs in.npz --outputs out.npz");
        assert_eq!(workshop.read("out.npz"), [("0".to_owned(), array)], "{name}");
    }
}

/// An array of the elements of `sample` in turn.
fn reshaped(sample: &Array, shape: &[usize]) -> Array {
    let count = shape.iter().product();
    if let Some(strings) = sample.strings() {
        let values: Vec<Vec<u8>> = strings.iter().cycle().take(count).map(|s| s.to_vec()).collect();
        return Array::from_strings(shape.to_vec(), &values).expect("sized");
    }
    let width = sample.element().width();
    let bytes = sample.bytes().chunks(width).cycle().take(count).flatten().copied().collect();
    Array::new(sample.element(), shape.to_vec(), bytes).expect("sized")
}

#[test]
fn arrays_of_every_type_keep_their_shapes() {
    let workshop = Workshop::new();
    let samples = samples();
    let types: Vec<TensorType> = samples.iter().map(|(dtype, _)| *dtype).collect();
    std::fs::write(workshop.path("pass.tflite"), passing_model(&types)).expect("writes");
    let names: Vec<String> = types.iter().map(|dtype| format!("in_{dtype}")).collect();
    for shape in [&[][..], &[0], &[3], &[2, 0, 3], &[1, 5]] {
        let arrays: Vec<(&str, Array)> = names
            .iter()
            .zip(&samples)
            .map(|(name, (_, sample))| (name.as_str(), reshaped(sample, shape)))
            .collect();
        workshop.write("in.npz", &arrays);
        workshop.succeed("run pass.tflite --inputs in.npz --outputs out.npz --signature pass");
        let found = workshop.read("out.npz");
        for ((name, array), (found_name, found_array)) in arrays.iter().zip(&found) {
            assert_eq!(found_name.strip_prefix("out_"), name.strip_prefix("in_"));
            assert_eq!(found_array.shape(), shape, "{found_name}");
            assert_eq!(found_array.strings(), array.strings(), "{found_name} of shape {shape:?}");
            let same = array.strings().is_some() || found_array == array;
            assert!(same, "{found_name} of shape {shape:?}: {found_array:?} instead of {array:?}");
        }
        assert_eq!(found.len(), arrays.len());
    }
}

#[test]
fn eight_bit_floats_are_stored_as_bits_and_shown_as_numbers() {
    let workshop = Workshop::new();
    let rows = [
        (TensorType::Float8E4M3Fn, [0x7e, 0xbc, 0x80, 0x7f], "448 -1.5000 -0 NaN"),
        (TensorType::Float8E5M2, [0x5f, 0xbe, 0x80, 0x60], "448 -1.5000 -0 512"),
    ];
    for (dtype, bits, shown) in rows {
        let mut builder = ModelBuilder::new();
        let x = builder.add_tensor(0, Tensor::new("x", TensorType::Float32, &[4]));
        let y = builder.add_tensor(0, Tensor::new("y", dtype, &[4]));
        builder.add_operator(0, Operator::new(BuiltinOperator::CAST, [x], [y], Options::None));
        builder.set_inputs(0, [x]).set_outputs(0, [y]);
        std::fs::write(workshop.path("cast.tflite"), builder.to_bytes().expect("valid")).expect("writes");
        workshop.write("in.npz", &[("x", float_array(&[4], &[450.0, -1.5, -0.0, 500.0]))]);
        let stdout = workshop.succeed("run cast.tflite --inputs in.npz --outputs out.npz");
        assert!(stdout.contains(shown), "{dtype}: {stdout}");
        let stored = |bits: [u8; 4]| Array::new(Element::Uint8, vec![4], bits.to_vec()).expect("sized");
        assert_eq!(workshop.read("out.npz"), [("0".to_owned(), stored(bits))], "{dtype}");
        let near = bits.map(|code| if code == bits[0] { code - 1 } else { code });
        workshop.write("near.npz", &[("0", stored(near))]);
        for (arguments, code) in
            [("--reference out.npz", 0), ("--reference near.npz", 1), ("--reference near.npz --rtol 0.2", 0)]
        {
            let outcome = workshop.run(&format!("compare cast.tflite --inputs in.npz {arguments}"));
            assert_eq!(outcome.code, Some(code), "{dtype} {arguments}: {outcome:?}");
        }
    }
}

#[test]
fn shapes_that_depend_on_data_are_those_of_the_run() {
    let workshop = Workshop::new();
    let mut builder = ModelBuilder::new();
    let x = builder.add_tensor(0, Tensor::new("x", TensorType::Bool, &[2, 2]));
    let y = Tensor { shape_signature: vec![-1, 2], ..Tensor::new("y", TensorType::Int64, &[1, 2]) };
    let y = builder.add_tensor(0, y);
    builder.add_operator(0, Operator::new(BuiltinOperator::WHERE, [x], [y], Options::None));
    builder.set_inputs(0, [x]).set_outputs(0, [y]);
    std::fs::write(workshop.path("where.tflite"), builder.to_bytes().expect("a valid model"))
        .expect("writes");
    let rows: &[(&str, [u8; 4], &[i64])] =
        &[("some", [1, 0, 0, 1], &[0, 0, 1, 1]), ("one", [0, 1, 0, 0], &[0, 1]), ("none", [0; 4], &[])];
    for (name, given, places) in rows {
        let given = Array::new(Element::Bool, vec![2, 2], given.to_vec()).expect("sized");
        workshop.write("in.npz", &[("x", given)]);
        workshop.succeed("run where.tflite --inputs in.npz --outputs out.npz");
        let bytes = places.iter().flat_map(|place| place.to_le_bytes()).collect();
        let expected = Array::new(Element::Int64, vec![places.len() / 2, 2], bytes).expect("sized");
        assert_eq!(workshop.read("out.npz"), [("0".to_owned(), expected)], "{name}");
    }
}

#[test]
fn each_signature_has_its_own_names() {
    let workshop = Workshop::new();
    let mut builder = ModelBuilder::new();
    builder.add_subgraph("second");
    for (subgraph, code, key) in [(0, BuiltinOperator::ABS, "absolute"), (1, BuiltinOperator::SQRT, "root")] {
        let [x, y] =
            ["x", "y"].map(|name| builder.add_tensor(subgraph, Tensor::new(name, TensorType::Float32, &[2])));
        builder.add_operator(subgraph, Operator::new(code, [x], [y], Options::None));
        builder.set_inputs(subgraph, [x]).set_outputs(subgraph, [y]);
        builder.add_signature(Signature {
            key: key.to_owned(),
            inputs: vec![("value".to_owned(), x)],
            outputs: vec![(format!("{key}_value"), y)],
            subgraph,
        });
    }
    std::fs::write(workshop.path("two.tflite"), builder.to_bytes().expect("a valid model")).expect("writes");
    workshop.write("in.npz", &[("value", float_array(&[2], &[4.0, 9.0]))]);
    for (key, values) in [("absolute", [4.0, 9.0]), ("root", [2.0, 3.0])] {
        workshop.succeed(&format!("run two.tflite --inputs in.npz --outputs out.npz --signature {key}"));
        let expected = (format!("{key}_value"), float_array(&[2], &values));
        assert_eq!(workshop.read("out.npz"), [expected], "{key}");
    }
    let outcome = workshop.run("run two.tflite --signature cube");
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    for said in ["cube", "absolute", "root"] {
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
}

#[test]
fn kept_tensors_compare_equal_and_hold_the_outputs() {
    let workshop = Workshop::new();
    let (image, _) = digit(3);
    workshop.write("in.npz", &[("image", image.clone())]);
    workshop.succeed("run digits_f32.tflite --inputs in.npz --preserve-all all.npz --outputs out.npz");
    let all = workshop.read("all.npz");
    let named = |name: &str| all.iter().find(|(own, _)| own == name).map(|(_, array)| array);
    assert_eq!(named("0/0"), Some(&image), "the input is tensor 0");
    let convolved = all.iter().filter(|(_, array)| array.shape() == [1, 8, 8, 16]).count();
    assert!(convolved >= 2, "intermediate images are kept: {convolved}");
    let output = workshop.read("out.npz").remove(0).1;
    assert!(all.iter().any(|(_, array)| *array == output));

    let stdout = workshop.succeed("compare digits_f32.tflite --inputs in.npz --reference all.npz");
    assert!(stdout.contains("0/0") && stdout.contains("ok") && !stdout.contains("differs"), "{stdout}");
}

#[test]
fn comparisons_fail_beyond_the_tolerance_only() {
    let workshop = Workshop::new();
    workshop.write("in.npz", &[("0", digit(5).0)]);
    workshop.succeed("run digits_f32.tflite --inputs in.npz --outputs out.npz");
    let right = floats(&workshop.read("out.npz")[0].1);
    let moved = |by: f32| float_array(&[1, 10], &right.iter().map(|value| value + by).collect::<Vec<_>>());
    workshop.write("near.npz", &[("0", moved(0.002))]);
    workshop.write("shape.npz", &[("probabilities", float_array(&[10], &right))]);
    workshop.write("nan.npz", &[("0", moved(f32::NAN))]);
    let rows = [
        ("the same", "--reference out.npz", 0, "ok"),
        ("the same, no tolerance", "--reference out.npz --rtol 0 --atol 0", 0, "ok"),
        ("near", "--reference near.npz", 1, "differs"),
        ("near, tolerated", "--reference near.npz --atol 0.01", 0, "ok"),
        ("another shape", "--reference shape.npz", 1, "the reference's shape is [10]"),
        ("not a number", "--reference nan.npz --atol 1e9", 1, "differs"),
    ];
    for (name, arguments, code, said) in rows {
        let outcome = workshop.run(&format!("compare digits_f32.tflite --inputs in.npz {arguments}"));
        assert_eq!(outcome.code, Some(code), "{name}: {outcome:?}");
        assert!(outcome.stdout.contains(said), "{name}: {}", outcome.stdout);
        assert_eq!(outcome.stderr.contains("beyond the tolerance"), code == 1, "{name}: {}", outcome.stderr);
    }
}

#[test]
fn quantized_results_compare_in_steps() {
    let workshop = Workshop::new();
    workshop
        .write("in.npz", &[("0", Array::new(Element::Int8, vec![1, 8, 8, 1], vec![3; 64]).expect("sized"))]);
    workshop.succeed("run digits_int8.tflite --inputs in.npz --outputs out.npz");
    let result = workshop.read("out.npz").remove(0).1;
    let moved = result
        .bytes()
        .iter()
        .map(|byte| byte.wrapping_add_signed(if *byte < 128 { -2 } else { 2 }))
        .collect();
    workshop.write("moved.npz", &[("0", Array::new(Element::Int8, vec![1, 10], moved).expect("sized"))]);
    for (steps, code) in [("", 1), ("--steps 2", 0), ("--steps 1", 1)] {
        let line = format!("compare digits_int8.tflite --inputs in.npz --reference moved.npz {steps}");
        assert_eq!(workshop.run(&line).code, Some(code), "{steps}");
    }
}
