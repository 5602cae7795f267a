//! How far results on the GPU are from those on the CPU: the adapter, the share of steps it took, the largest difference.
//!
//! `cargo run --release --features gpu --example gpu_error MODEL`

use std::sync::Arc;

use ferrolite::gpu::{AdapterChoice, GpuBackend, GpuDevice};
use ferrolite::{Error, ErrorKind, Interpreter, Model, Result, TensorType};

/// Fills every float32 input with the same made-up numbers in [-1, 1], runs, and returns the float32 outputs.
fn outputs(interpreter: &mut Interpreter) -> Result<Vec<Vec<f32>>> {
    let mut state = 1u64;
    for i in 0..interpreter.inputs().len() {
        if interpreter.inputs()[i].dtype != TensorType::Float32 {
            continue;
        }
        for value in interpreter.input_mut::<f32>(i)? {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *value = (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        }
    }
    interpreter.invoke()?;
    (0..interpreter.outputs().len()).map(|o| interpreter.output::<f32>(o).map(<[f32]>::to_vec)).collect()
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            "usage: cargo run --release --features gpu --example gpu_error MODEL",
        )
    })?;
    let model = Model::from_file(&path)?;
    let device = GpuDevice::open(AdapterChoice::Any)?;
    println!("adapter: {}", device.name());
    let backend = Arc::new(GpuBackend::on(device));
    let mut on_gpu = Interpreter::builder(&model).backend(backend).build()?;
    let plan = on_gpu.describe();
    let stayed = plan.lines().filter(|line| line.contains("on the CPU, as")).count();
    println!("{} programs on the GPU, {stayed} steps on the CPU", plan.matches("gpu_program_").count());
    let got = outputs(&mut on_gpu)?;
    let expected = outputs(&mut Interpreter::builder(&model).build()?)?;
    for (o, (got, expected)) in got.iter().zip(&expected).enumerate() {
        let range = expected.iter().fold(0f32, |range, x| range.max(x.abs()));
        let apart = got.iter().zip(expected).fold(0f32, |apart, (g, e)| apart.max((g - e).abs()));
        println!("output {o}: largest difference {apart:.2e}, largest magnitude {range:.2e}");
    }
    Ok(())
}
