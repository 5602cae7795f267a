//! Writes and reads TensorFlow checkpoints: `cargo run --features flex --example checkpoint -- PREFIX`.
//!
//! Leaves `PREFIX.index` and `PREFIX.data-00000-of-00001` (TensorFlow 2) and `PREFIX.v1` (one file) there;
//! `python conformance/training/checkpoint.py PREFIX` checks that TensorFlow reads them.

use ferrolite::checkpoint::{self, Checkpoint};
use ferrolite::element::Bool;
use ferrolite::{Shape, TensorType, TensorValue, strings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let prefix = std::env::args().nth(1).ok_or("give a prefix for the checkpoint's files")?;
    let kernel: Vec<f32> = (0u8..6).map(|i| f32::from(i) / 4.0).collect();
    let texts = strings::encode(&[b"ab".as_slice(), b"", &[b'x'; 300]])?;
    let tensors = [
        ("layer/kernel", TensorValue::from_elements([2, 3].into(), &kernel)?),
        ("step", TensorValue::from_elements(Shape::scalar(), &[1_234_567_890_123i64])?),
        ("count", TensorValue::from_elements([3].into(), &[-1i32, 0, 70000])?),
        ("empty", TensorValue::from_elements::<f32>([0, 4].into(), &[])?),
        ("flags", TensorValue::from_elements([2].into(), &[Bool::from(true), Bool::from(false)])?),
        ("text", TensorValue::from_bytes(TensorType::String, [3].into(), &texts)?),
    ];
    checkpoint::write(&prefix, tensors.iter().map(|(name, value)| (*name, value)))?;
    let first = tensors.iter().filter(|(name, _)| *name != "empty");
    checkpoint::write_v1(format!("{prefix}.v1"), first.map(|(name, value)| (*name, value)))?;

    let read = Checkpoint::open(&prefix)?;
    for (name, entry) in read.entries() {
        println!("{name}: {:?} {}", entry.dtype(), entry.shape);
        read.read(name)?;
    }
    Ok(())
}
