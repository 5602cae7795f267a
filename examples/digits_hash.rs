//! Classifies the held-back digits with the portable kernels and prints, per model, the accuracy in percent and a hash of
//! all output bytes: what the WebAssembly build must print too.

use ferrolite::{Cpu, Interpreter, Model, Result};

const DIGITS: &[u8] = include_bytes!("../crates/cli/assets/held_back.bin");
const MODELS: [(&str, &[u8]); 2] = [
    ("digits_f32", include_bytes!("../crates/cli/assets/digits_f32.tflite")),
    ("digits_int8", include_bytes!("../crates/cli/assets/digits_int8.tflite")),
];

/// FNV-1a over 64 bits, continued from `hash`.
fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn main() -> Result<()> {
    for (name, bytes) in MODELS {
        let model = Model::from_bytes(bytes)?;
        let mut interpreter = Interpreter::builder(&model).cpu(Cpu::portable()).threads(1).build()?;
        let float = interpreter.inputs()[0].dtype == ferrolite::TensorType::Float32;
        let (mut hash, mut right, mut count) = (0xcbf2_9ce4_8422_2325, 0, 0);
        for record in DIGITS[4..].chunks_exact(65) {
            let pixels: Vec<f32> = record[..64].iter().map(|&ink| f32::from(ink) / 16.0).collect();
            if float {
                interpreter.input_mut::<f32>(0)?.copy_from_slice(&pixels);
            } else {
                interpreter.write_quantized(0, &pixels)?;
            }
            interpreter.invoke()?;
            hash = fnv1a(hash, interpreter.output_bytes(0)?);
            let scores = interpreter.read_dequantized(0)?;
            let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
            right += usize::from(best == Some(usize::from(record[64])));
            count += 1;
        }
        println!("{name} {:.2} {hash:016x}", 100.0 * right as f64 / f64::from(count));
    }
    Ok(())
}
