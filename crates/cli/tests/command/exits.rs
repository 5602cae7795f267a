//! Exit codes and what is said with them.

use crate::support::{Workshop, digit, float_array};
use ferrolite::TensorType;
use ferrolite::model_file::{ModelBuilder, Operator, Tensor};
use ferrolite_cli::npz::{Array, Element};
use std::process::Stdio;

fn unsupported_model() -> Vec<u8> {
    let mut builder = ModelBuilder::new();
    let [x, y] = ["x", "y"].map(|name| builder.add_tensor(0, Tensor::new(name, TensorType::Float32, &[1])));
    builder.add_operator(0, Operator::custom("NobodyKnowsThis", [x], [y], vec![]));
    builder.set_inputs(0, [x]).set_outputs(0, [y]);
    builder.to_bytes().expect("a valid model")
}

#[test]
fn failures_have_their_codes_and_say_what_is_wrong() {
    let workshop = Workshop::new();
    let digits = std::fs::read(workshop.path("digits_f32.tflite")).expect("reads");
    let files: [(&str, &[u8]); 5] = [
        ("text.tflite", b"this is not a model"),
        ("empty.tflite", b""),
        ("cut.tflite", &digits[..digits.len() / 2]),
        ("unknown.tflite", &unsupported_model()),
        ("text.npz", b"this is no archive"),
    ];
    for (name, bytes) in files {
        std::fs::write(workshop.path(name), bytes).expect("writes");
    }
    let image = digit(0).0;
    workshop.write("in.npz", &[("image", image.clone())]);
    workshop.write("twice.npz", &[("image", image.clone()), ("0", image.clone())]);
    workshop.write("unknown.npz", &[("picture", image)]);
    workshop.write(
        "type.npz",
        &[("image", Array::new(Element::Uint8, vec![1, 8, 8, 1], vec![0; 64]).expect("sized"))],
    );
    workshop.write("shape.npz", &[("image", float_array(&[1, 8, 8, 3], &[0.0; 192]))]);
    workshop.write("none.npz", &[]);
    workshop.write("out.npz", &[("0", float_array(&[1, 10], &[0.0; 10]))]);
    workshop.write("ints.npz", &[("0", Array::new(Element::Int64, vec![1], vec![0; 8]).expect("sized"))]);

    let rows = [
        ("unknown command", "dance", 2, "dance"),
        ("unknown option", "run digits_f32.tflite --dance", 2, "--dance"),
        ("no model", "bench", 2, "MODEL"),
        ("no threads", "bench digits_f32.tflite --threads 0", 2, "0"),
        ("unknown instruction set", "run digits_f32.tflite --isa abacus", 2, "portable"),
        ("unknown signature", "run digits_f32.tflite --signature dance", 2, "serving_default"),
        ("unknown manual page", "man dance", 2, "dance"),
        ("missing inputs file", "run digits_f32.tflite --inputs no.npz", 2, "no.npz"),
        ("damaged inputs file", "run digits_f32.tflite --inputs text.npz", 2, "text.npz"),
        ("unknown input", "run digits_f32.tflite --inputs unknown.npz", 2, "picture"),
        ("input named twice", "run digits_f32.tflite --inputs twice.npz", 2, "leave one out"),
        ("input of another type", "run digits_f32.tflite --inputs type.npz", 2, "float32"),
        ("input of a shape that does not fit", "run digits_f32.tflite --inputs shape.npz", 2, "shape"),
        (
            "comparison without inputs",
            "compare digits_f32.tflite --inputs none.npz --reference out.npz",
            2,
            "'0'",
        ),
        ("empty reference", "compare digits_f32.tflite --inputs in.npz --reference none.npz", 2, "none.npz"),
        (
            "reference of no output",
            "compare digits_f32.tflite --inputs in.npz --reference unknown.npz",
            2,
            "picture",
        ),
        (
            "reference of another type",
            "compare digits_f32.tflite --inputs in.npz --reference ints.npz",
            2,
            "int64",
        ),
        ("missing model", "run no.tflite", 3, "no.tflite"),
        ("text for a model", "inspect text.tflite", 3, "text.tflite"),
        ("empty model", "bench empty.tflite", 3, "empty.tflite"),
        ("cut model", "run cut.tflite", 3, "cut.tflite"),
        ("unsupported operator", "run unknown.tflite", 3, "NobodyKnowsThis"),
        ("unwritable outputs", "run digits_f32.tflite --outputs no/out.npz", 4, "no/out.npz"),
        ("unwritable tensors", "run digits_f32.tflite --preserve-all no/all.npz", 4, "no/all.npz"),
        ("unwritable picture", "inspect digits_f32.tflite --html no/graph.html", 4, "no/graph.html"),
    ];
    let wrong: Vec<_> = rows
        .iter()
        .filter_map(|(name, line, code, said)| {
            let outcome = workshop.run(line);
            let one_sentence_first = outcome.stderr.starts_with("error: ");
            let fits = outcome.code == Some(*code) && one_sentence_first && outcome.stderr.contains(said);
            (!fits).then_some((name, outcome))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_reader_that_stops_is_no_failure() {
    let workshop = Workshop::new();
    let mut child = workshop
        .command("inspect digits_f32.tflite --json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
