//! Checkpoints that TensorFlow wrote (`conformance/training/checkpoint.py`), and the tensors they are said to hold.

use std::path::PathBuf;

use ferrolite_flex::checkpoint::{Checkpoint, read_v1};
use ferrolite_ops::element::Bool;
use ferrolite_ops::{Shape, TensorType, TensorValue, strings};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/training/checkpoint")
}

fn expected() -> Vec<(&'static str, TensorValue)> {
    let kernel: Vec<f32> = (0u8..6).map(|i| f32::from(i) / 4.0).collect();
    let texts = strings::encode(&[b"ab".as_slice(), b"", &[b'x'; 300]]).unwrap();
    vec![
        ("layer/kernel", TensorValue::from_elements([2, 3].into(), &kernel).unwrap()),
        ("step", TensorValue::from_elements(Shape::scalar(), &[1_234_567_890_123i64]).unwrap()),
        ("count", TensorValue::from_elements([3].into(), &[-1i32, 0, 70000]).unwrap()),
        ("empty", TensorValue::from_elements::<f32>([0, 4].into(), &[]).unwrap()),
        ("flags", TensorValue::from_elements([2].into(), &[Bool::from(true), Bool::from(false)]).unwrap()),
        ("text", TensorValue::from_bytes(TensorType::String, [3].into(), &texts).unwrap()),
    ]
}

fn same(name: &str, read: &TensorValue, want: &TensorValue) {
    assert_eq!(
        (read.dtype(), read.shape(), read.bytes()),
        (want.dtype(), want.shape(), want.bytes()),
        "{name}"
    );
}

#[test]
fn second_format() {
    let checkpoint = Checkpoint::open(folder().join("second")).unwrap();
    assert_eq!(checkpoint.entries().count(), expected().len());
    for (name, want) in expected() {
        same(name, &checkpoint.read(name).unwrap(), &want);
    }
}

#[test]
fn first_format() {
    for (name, want) in expected().iter().filter(|(name, _)| *name != "empty") {
        same(name, &read_v1(folder().join("first"), name).unwrap(), want);
    }
}
