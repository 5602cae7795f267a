//! Integer kernels of every instruction set the machine has: `cargo bench -p ferrolite-kernels --bench int8`.
//!
//! Matrix products, convolutions and depthwise convolutions of the sizes that mobile networks have, with requantization
//! to bytes, on one thread; then tables of bytes and the quantization of float rows. Products by AVX-512's dot products are
//! printed beside a roofline measured in the same process.

#![expect(missing_docs, reason = "criterion's macro makes public functions")]

mod roof;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ferrolite_kernels::cpu::elementwise::lut::{apply8, table8};
use ferrolite_kernels::cpu::int8::depthwise::{PackedDepthwise, depthwise, depthwise_scratch};
use ferrolite_kernels::cpu::int8::dynamic::{DynamicScheme, quantize_rows};
use ferrolite_kernels::cpu::int8::exact::StoreExact;
use ferrolite_kernels::cpu::int8::fixed::{WideFixedPoint, WideRounding};
use ferrolite_kernels::cpu::int8::gemm::{Bias, Zeros, gemm, gemm_scratch, windows_scratch};
use ferrolite_kernels::cpu::int8::pack::{Bytes, Matrix, PackLayout, PackedWeights, Width};
use ferrolite_kernels::cpu::int8::rows::{Dense, Patches, Window};
use ferrolite_kernels::cpu::int8::store::{Requantize, StoreQuantized, Target};
use ferrolite_kernels::inout::InOut;
use ferrolite_kernels::isa::Cpu;
use ferrolite_kernels::par::Par;
use roof::{dot_roof, least};

/// Numbers without a pattern.
fn noise<T>(len: usize, of: impl Fn(u32) -> T) -> Vec<T> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    (0..len).map(|_| of(next())).collect()
}

fn bytes(len: usize) -> Vec<i8> {
    noise(len, |x| x as i8)
}

fn packed(cpu: Cpu, width: Width, cols: usize, depth: usize) -> PackedWeights {
    packed_as(PackLayout::new(cpu, width, cols, depth), cols, depth)
}

fn packed_as(layout: PackLayout, cols: usize, depth: usize) -> PackedWeights {
    let weights = bytes(cols * depth);
    let bytes = Bytes::Signed(&weights);
    let matrix = Matrix { bytes, zero: 0, cols, depth, col_stride: depth, depth_stride: 1 };
    PackedWeights::with_layout(layout, matrix)
}

/// `rows` times `depth` by `depth` times `cols`.
fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("i8_gemm");
    for (rows, cols, depth) in [
        (12544, 96, 16),
        (3136, 256, 64),
        (196, 384, 64),
        (49, 512, 4608),
        (128, 1024, 256),
        (512, 512, 512),
        (1, 1000, 1280),
    ] {
        group.throughput(Throughput::Elements((2 * rows * cols * depth) as u64));
        let data = bytes(rows * depth);
        let (requantize, bias) = (Requantize::new(&[1e-3], cols, 3, -128, 127), Bias::new(&[], cols));
        for cpu in Cpu::all() {
            let weights = packed(cpu, Width::Bytes, cols, depth);
            let (mut out, mut scratch) = (vec![0i8; rows * cols], vec![0; gemm_scratch(weights.layout())]);
            let mut run = || {
                let store =
                    StoreQuantized { requantize: &requantize, target: Target::new(&mut out, 0, cols) };
                let dense = Dense { data: &data, rows, depth, stride: depth };
                let zeros = Zeros::All(-7);
                gemm(weights.view(), &dense, zeros, &bias, &store, Par::serial(), &mut scratch);
            };
            if let Some(roof) = dot_roof(cpu) {
                let rate = (2 * rows * cols * depth) as f64 / least(&mut run);
                println!("i8_gemm {rows}x{cols}x{depth}: {}", roof.beside(rate));
            }
            let id = BenchmarkId::new(format!("{rows}x{cols}x{depth}"), cpu.name());
            group.bench_function(id, |b| b.iter(&mut run));
        }
    }
    group.finish();
}

/// 16-bit activations.
fn word_products(c: &mut Criterion) {
    let mut group = c.benchmark_group("i16_gemm");
    let (rows, cols, depth) = (784, 192, 32);
    group.throughput(Throughput::Elements((2 * rows * cols * depth) as u64));
    let data: Vec<i16> = noise(rows * depth, |x| x as i16);
    let fixed = WideFixedPoint::new(&[1e-4], &[0], cols, WideRounding::Fixed, i16::MIN, i16::MAX);
    let Some(fixed) = fixed else { return };
    let bias = Bias::new(&[], cols);
    for cpu in Cpu::all() {
        let weights = packed(cpu, Width::Words, cols, depth);
        let (mut out, mut scratch) = (vec![0i16; rows * cols], vec![0; gemm_scratch(weights.layout())]);
        group.bench_function(BenchmarkId::new(format!("{rows}x{cols}x{depth}"), cpu.name()), |b| {
            b.iter(|| {
                let store = StoreExact::Words(&fixed, Target::new(&mut out, 0, cols));
                let dense = Dense { data: &data, rows, depth, stride: depth };
                gemm(weights.view(), &dense, Zeros::All(0), &bias, &store, Par::serial(), &mut scratch);
            });
        });
    }
    group.finish();
}

/// A square image with padding that keeps its size, or halves it.
fn window(size: usize, channels: usize, kernel: usize, stride: usize) -> Window {
    Window {
        batch: 1,
        input: [size; 2],
        channels,
        output: [size.div_ceil(stride); 2],
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        padding: [((kernel - 1) / 2) as isize; 2],
    }
}

fn convolutions(c: &mut Criterion) {
    let mut group = c.benchmark_group("i8_conv");
    for (size, channels, cols, kernel, stride) in
        [(224, 3, 32, 3, 2), (56, 64, 64, 3, 1), (14, 256, 256, 3, 1), (7, 512, 512, 3, 1)]
    {
        let window = window(size, channels, kernel, stride);
        let (data, depth) = (bytes(size * size * channels), kernel * kernel * channels);
        group.throughput(Throughput::Elements((2 * window.pixels() * cols * depth) as u64));
        let (requantize, bias) = (Requantize::new(&[1e-3], cols, 3, -128, 127), Bias::new(&[], cols));
        for cpu in Cpu::all() {
            let layout = PackLayout::for_windows(cpu, Width::Bytes, cols, &window, channels);
            let weights = packed_as(layout, cols, depth);
            let mut out = vec![0i8; window.pixels() * cols];
            let mut scratch = vec![0; windows_scratch(&layout, &window, channels)];
            let id =
                BenchmarkId::new(format!("{size}x{size}x{channels}to{cols}_{kernel}x{kernel}"), cpu.name());
            group.bench_function(id, |b| {
                b.iter(|| {
                    let store =
                        StoreQuantized { requantize: &requantize, target: Target::new(&mut out, 0, cols) };
                    let rows = Patches { data: &data, window, first_channel: 0, channels };
                    gemm(weights.view(), &rows, Zeros::All(-7), &bias, &store, Par::serial(), &mut scratch);
                });
            });
        }
    }
    group.finish();
}

fn depthwise_convolutions(c: &mut Criterion) {
    let mut group = c.benchmark_group("i8_depthwise");
    for (size, channels, kernel, stride) in
        [(112, 32, 3, 1), (112, 96, 3, 2), (28, 192, 3, 1), (7, 960, 3, 1), (14, 672, 5, 1)]
    {
        let window = window(size, channels, kernel, stride);
        let (data, filter) = (bytes(size * size * channels), bytes(kernel * kernel * channels));
        group.throughput(Throughput::Elements((window.pixels() * channels) as u64));
        let (requantize, bias) = (Requantize::new(&[1e-3], channels, 3, -128, 127), Bias::new(&[], channels));
        for cpu in Cpu::all() {
            let weights = PackedDepthwise::new(
                cpu,
                Width::Bytes,
                Bytes::Signed(&filter),
                &[0],
                [kernel; 2],
                channels,
                1,
            );
            let mut out = vec![0i8; window.pixels() * channels];
            let mut scratch = vec![0; depthwise_scratch(cpu, &window)];
            let id =
                BenchmarkId::new(format!("{size}x{size}x{channels}_{kernel}x{kernel}s{stride}"), cpu.name());
            group.bench_function(id, |b| {
                b.iter(|| {
                    let store = StoreQuantized {
                        requantize: &requantize,
                        target: Target::new(&mut out, 0, channels),
                    };
                    depthwise(&weights, &data, -7, &window, &bias, &store, Par::serial(), &mut scratch);
                });
            });
        }
    }
    group.finish();
}

fn elements(c: &mut Criterion) {
    const LEN: usize = 1 << 16;
    let mut group = c.benchmark_group("elements");
    group.throughput(Throughput::Elements(LEN as u64));
    let (data, table) = (bytes(LEN), table8(|x: i8| x.wrapping_mul(7)));
    group.bench_function("table_of_bytes", |b| {
        let copy = || data.clone();
        b.iter_batched_ref(
            copy,
            |d| apply8(Par::serial(), InOut::in_place(d), &table),
            BatchSize::LargeInput,
        );
    });
    let (row, rows) = (256, LEN / 256);
    let floats: Vec<f32> = noise(LEN, |x| x as f32 * 1e-4);
    for cpu in Cpu::all() {
        let (mut to, mut scales, mut zeros) = (vec![0u8; LEN], vec![0.0; rows], vec![0; rows]);
        group.bench_function(BenchmarkId::new("quantize_rows", cpu.name()), |b| {
            b.iter(|| {
                let scheme = DynamicScheme::Asymmetric;
                quantize_rows(cpu, scheme, &floats, row, &mut to, &mut scales, &mut zeros, Par::serial());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, products, word_products, convolutions, depthwise_convolutions, elements);
criterion_main!(benches);
