//! Arrays in and out: `run` and `compare`.

use crate::support::{Workshop, digit, float_array, floats, passing_model};
use ferrolite::TensorType;
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
        wide(T::Int8, Element::Int8),
        wide(T::Int16, Element::Int16),
        wide(T::Int32, Element::Int32),
        wide(T::Int64, Element::Int64),
        wide(T::UInt8, Element::Uint8),
        wide(T::UInt16, Element::Uint16),
        wide(T::UInt32, Element::Uint32),
        wide(T::UInt64, Element::Uint64),
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
