//! Float kernels against what the machine can do: `cargo bench -p ferrolite-kernels --bench float`.
//!
//! Every benchmark prints its best rate beside a roofline measured in the same process: fused multiply-adds on
//! registers for kernels that compute, a copy of a large array for kernels that move memory. Criterion then follows the
//! times from run to run.

#![expect(missing_docs, reason = "criterion's macro makes public functions")]

mod roof;

use criterion::{Criterion, criterion_group, criterion_main};
use ferrolite_kernels::cpu::elementwise::binary::binary;
use ferrolite_kernels::cpu::elementwise::broadcast::Broadcast;
use ferrolite_kernels::cpu::elementwise::math::Sigmoid;
use ferrolite_kernels::cpu::elementwise::unary::apply;
use ferrolite_kernels::cpu::float::conv::{
    ConvF32, ConvShape, ConvWeightsF32, DepthwiseF32, DepthwiseWeightsF32,
};
use ferrolite_kernels::cpu::float::epilogue::{Activation, Epilogue};
use ferrolite_kernels::cpu::float::gemm::{PackedF32, gemm_f32};
use ferrolite_kernels::inout::InOut;
use ferrolite_kernels::isa::Cpu;
use ferrolite_kernels::par::Par;
use roof::tensor::{Tensor, bench, wave};
use roof::{compute_roof, memory_roof};

fn products(c: &mut Criterion) {
    let cpu = Cpu::detect();
    let roof = compute_roof(cpu);
    for (m, n, k) in [(512, 512, 512), (196, 512, 512), (49, 960, 160), (3136, 24, 144), (1, 1000, 1280)] {
        let (a, weights) = (wave(m * k), wave(n * k));
        let packed = PackedF32::new(cpu, n, k, &weights[..], None).expect("sizes fit");
        let mut out = Tensor::zeros(m * n);
        let epilogue = Epilogue::new(Activation::RELU6);
        bench(c, &format!("gemm {m}x{n}x{k}"), 2 * m * n * k, roof, || {
            gemm_f32(&a, m, k, &packed, &mut out, n, &epilogue, Par::serial()).expect("sizes fit");
        });
    }
}

/// A square filter on a square image, padded to `stride` times fewer pixels.
fn shape(size: usize, channels: [usize; 2], kernel: usize, stride: usize, groups: usize) -> ConvShape {
    let total = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
    let (before, after) = (total / 2, total - total / 2);
    ConvShape {
        batch: 1,
        input: [1, size, size],
        in_channels: channels[0],
        out_channels: channels[1],
        groups,
        kernel: [1, kernel, kernel],
        stride: [1, stride, stride],
        dilation: [1; 3],
        pad_before: [0, before, before],
        pad_after: [0, after, after],
    }
}

fn convolutions(c: &mut Criterion) {
    let cpu = Cpu::detect();
    let roof = compute_roof(cpu);
    for (size, channels, kernel, stride) in
        [(224, [3, 32], 3, 2), (56, [64, 64], 3, 1), (14, [256, 256], 3, 1), (7, [512, 512], 3, 1)]
    {
        let shape = shape(size, channels, kernel, stride, 1);
        let filter = wave(channels[1] * kernel * kernel * channels[0]);
        let weights = ConvWeightsF32::new(cpu, &shape, &filter[..], None).expect("sizes fit");
        let conv = ConvF32::new(shape, weights).expect("sizes fit");
        let input = wave(size * size * channels[0]);
        let mut out = Tensor::zeros(conv.output().iter().product::<usize>() * channels[1]);
        let mut scratch = vec![0.0; conv.scratch_bytes(Par::serial()) / size_of::<f32>()];
        let epilogue = Epilogue::new(Activation::RELU6);
        let ops = 2 * out.len() * kernel * kernel * channels[0];
        let name = format!("conv {kernel}x{kernel}s{stride} {size}x{size} {}->{}", channels[0], channels[1]);
        bench(c, &name, ops, roof, || {
            conv.run(&input, &mut out, &mut scratch, &epilogue, Par::serial()).expect("sizes fit");
        });
    }
}

fn depthwise(c: &mut Criterion) {
    let cpu = Cpu::detect();
    let roof = compute_roof(cpu);
    for (size, channels, kernel, stride) in
        [(112, 64, 3, 1), (112, 96, 3, 2), (28, 192, 3, 1), (14, 384, 3, 1), (7, 960, 5, 1)]
    {
        let shape = shape(size, [channels; 2], kernel, stride, channels);
        let filter = wave(kernel * kernel * channels);
        let weights =
            DepthwiseWeightsF32::new(cpu, [kernel; 2], channels, &filter[..], None).expect("sizes fit");
        let conv = DepthwiseF32::new(shape, weights).expect("sizes fit");
        let input = wave(size * size * channels);
        let mut out = Tensor::zeros(conv.output().iter().product::<usize>() * channels);
        let epilogue = Epilogue::new(Activation::RELU6);
        let name = format!("depthwise {kernel}x{kernel}s{stride} {size}x{size}x{channels}");
        bench(c, &name, 2 * out.len() * kernel * kernel, roof, || {
            conv.run(&input, &mut out, &epilogue, Par::serial()).expect("sizes fit");
        });
    }
}

fn elementwise(c: &mut Criterion) {
    let cpu = Cpu::detect();
    let roof = memory_roof();
    let len = 4 << 20;
    let (a, b) = (wave(len), wave(len));
    let mut out = Tensor::zeros(len);
    let plan = Broadcast::new([&[len], &[len]]).expect("equal shapes");
    bench(c, "add", 12 * len, roof, || {
        binary(cpu, Par::serial(), &plan, (&a, &b), &mut out, |x: f32, y: f32| x + y);
    });
    bench(c, "sigmoid", 8 * len, roof, || {
        let io = InOut::apart(&a, &mut out).expect("equal lengths");
        apply(cpu, Par::serial(), io, Sigmoid);
    });
}

criterion_group!(benches, products, convolutions, depthwise, elementwise);
criterion_main!(benches);
