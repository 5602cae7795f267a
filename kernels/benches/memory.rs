//! Kernels that move memory against a copy: `cargo bench -p ferrolite-kernels --bench memory`.
//!
//! Reductions, softmax, pooling, resizing, copies in another order, and elements, of the shapes that
//! mobile networks and transformers have, on one thread. Each prints the bytes that it reads and writes in a second beside those
//! of a copy of a large array; what lies in a near cache may be faster than that.

#![expect(missing_docs, reason = "criterion's macro makes public functions")]

mod roof;

use criterion::{Criterion, criterion_group, criterion_main};
use ferrolite_kernels::cpu::elementwise::binary::{Source, binary};
use ferrolite_kernels::cpu::elementwise::broadcast::Broadcast;
use ferrolite_kernels::cpu::elementwise::bytes::{ByteFunction, binary_bytes};
use ferrolite_kernels::cpu::elementwise::math::{Gelu, HardSwish, Tanh};
use ferrolite_kernels::cpu::elementwise::quantized::{AddFixed, AddShift, Affine, Limits, MulFloat};
use ferrolite_kernels::cpu::elementwise::softmax::{exp_table, softmax};
use ferrolite_kernels::cpu::elementwise::softmax_bytes::{QuantizedSoftmax, Rounding};
use ferrolite_kernels::cpu::elementwise::unary::apply;
use ferrolite_kernels::cpu::movement::{CopyDim, CopyEnds, CopyPlan, dense_strides, gather_rows};
use ferrolite_kernels::cpu::pool::{Average, Max, PoolShape, average_bytes, pool, pool_f32};
use ferrolite_kernels::cpu::reduce::{Extreme, MaxOf, Mean, ReducePlan, Sum, arg_extreme, reduce};
use ferrolite_kernels::cpu::resize::{Corners, Fixed11, Float, ResizeShape, bilinear};
use ferrolite_kernels::inout::InOut;
use ferrolite_kernels::isa::Cpu;
use ferrolite_kernels::par::Par;
use roof::memory_roof;
use roof::tensor::{Tensor, bench, wave};

const SERIAL: Par = Par::serial();

fn bytes(len: usize) -> Vec<i8> {
    (0..len).map(|i| (i * 37 % 251) as i8).collect()
}

fn reductions(c: &mut Criterion) {
    let (cpu, roof) = (Cpu::detect(), memory_roof());
    for (shape, name) in [([49, 960], "mean 7x7x960"), ([196, 672], "mean 14x14x672")] {
        let x = wave(shape[0] * shape[1]);
        let (plan, mut out) = (ReducePlan::new(&shape, &[true, false]), Tensor::zeros(shape[1]));
        let work = 4 * (x.len() + out.len());
        bench(c, name, work, roof, || {
            reduce(cpu, SERIAL, Mean::<f32>::of(shape[0]), &plan, &x, &mut out);
        });
    }
    let x = wave(512 * 768);
    let (plan, mut out) = (ReducePlan::new(&[512, 768], &[false, true]), Tensor::zeros(512));
    let work = 4 * (x.len() + out.len());
    bench(c, "sum of rows 512x768", work, roof, || {
        reduce(cpu, SERIAL, Sum::<f32>::default(), &plan, &x, &mut out)
    });
    bench(c, "greatest of rows 512x768", work, roof, || {
        reduce(cpu, SERIAL, MaxOf::<f32>::default(), &plan, &x, &mut out);
    });
    let mut places = vec![0i32; 512];
    bench(c, "place of the greatest of rows 512x768", work, roof, || {
        arg_extreme(cpu, SERIAL, Extreme::Max, [512, 768, 1], &x, &mut places, |i| i as i32);
    });
}

fn softmaxes(c: &mut Criterion) {
    let (cpu, roof) = (Cpu::detect(), memory_roof());
    for (rows, row) in [(512, 128), (1, 1001)] {
        let (x, mut out) = (wave(rows * row), Tensor::zeros(rows * row));
        bench(c, &format!("softmax {rows}x{row}"), 8 * x.len(), roof, || {
            let io = InOut::apart(&x, &mut out).expect("equal lengths");
            softmax(cpu, SERIAL, io, row, 1.0);
        });
    }
    let (x, mut out, table) = (bytes(512 * 128), vec![0i8; 512 * 128], exp_table(0.1, 1.0));
    let op = QuantizedSoftmax { row: 128, scale: 1.0 / 256.0, zero_point: -128, rounding: Rounding::Nearest };
    bench(c, "softmax of bytes 512x128", 2 * x.len(), roof, || op.run(cpu, SERIAL, &table, &x, &mut out));
}

/// A window of `size` by `size` on an image of `side` by `side`, padded to `stride` times fewer pixels.
fn pool_shape(side: usize, channels: usize, size: usize, stride: usize) -> PoolShape {
    let out = side.div_ceil(stride);
    let padding = ((out - 1) * stride + size).saturating_sub(side) / 2;
    PoolShape {
        batch: 1,
        in_height: side,
        in_width: side,
        channels,
        out_height: out,
        out_width: out,
        filter_height: size,
        filter_width: size,
        stride_height: stride,
        stride_width: stride,
        pad_top: padding,
        pad_left: padding,
    }
}

fn pools(c: &mut Criterion) {
    let (cpu, roof) = (Cpu::detect(), memory_roof());
    let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
    for (name, shape) in
        [("3x3s2 112x112x64", pool_shape(112, 64, 3, 2)), ("3x3s1 35x35x288", pool_shape(35, 288, 3, 1))]
    {
        let (x, mut out) = (wave(shape.source_len()), Tensor::zeros(shape.result_len()));
        let work = x.len() + out.len();
        bench(c, &format!("greatest {name}"), 4 * work, roof, || {
            pool_f32(cpu, SERIAL, Max { low, high }, &shape, &x, &mut out);
        });
        bench(c, &format!("average {name}"), 4 * work, roof, || {
            pool_f32(cpu, SERIAL, Average { low, high }, &shape, &x, &mut out);
        });
        let (x, mut out) = (bytes(shape.source_len()), vec![0i8; shape.result_len()]);
        bench(c, &format!("greatest of bytes {name}"), work, roof, || {
            pool(cpu, SERIAL, Max { low: -128, high: 127 }, &shape, &x, &mut out);
        });
        bench(c, &format!("average of bytes {name}"), work, roof, || {
            average_bytes(cpu, SERIAL, Average { low: -128, high: 127 }, &shape, &x, &mut out);
        });
    }
}

fn resizes(c: &mut Criterion) {
    let (cpu, roof) = (Cpu::detect(), memory_roof());
    let shape = ResizeShape { batch: 1, source: [64; 2], result: [128; 2], channels: 32 };
    let (len, out_len) = (64 * 64 * 32, 128 * 128 * 32);
    let (x, mut out) = (wave(len), Tensor::zeros(out_len));
    let floats = bilinear::<Float>(shape, Corners::HalfPixel);
    bench(c, "bilinear 64x64x32 to 128x128", 4 * (len + out_len), roof, || {
        floats.run(cpu, SERIAL, &x, &mut out);
    });
    let (x, mut out) = (bytes(len), vec![0i8; out_len]);
    let fixed = bilinear::<Fixed11<i8>>(shape, Corners::HalfPixel);
    bench(c, "bilinear of bytes 64x64x32 to 128x128", len + out_len, roof, || {
        fixed.run(cpu, SERIAL, &x, &mut out)
    });
}

/// A permutation of the dimensions of a tensor.
fn transposition(element: usize, shape: &[usize], order: &[usize]) -> CopyPlan {
    let to: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    let (from, into) = (dense_strides(shape), dense_strides(&to));
    let dims: Vec<CopyDim> = order
        .iter()
        .zip(&into)
        .map(|(&axis, &dst)| CopyDim { len: shape[axis], src: from[axis], dst })
        .collect();
    let len = shape.iter().product();
    let ends = CopyEnds { src_len: len, dst_len: len, ..CopyEnds::default() };
    CopyPlan::new(element, ends, &dims).expect("a permutation stays within both sides")
}

fn copies(c: &mut Criterion) {
    let roof = memory_roof();
    let cases: [(&str, usize, &[usize], &[usize]); 5] = [
        ("transpose 3136x64", 4, &[3136, 64], &[1, 0]),
        ("transpose heads 128x4x64", 4, &[128, 4, 64], &[1, 0, 2]),
        ("transpose keys 128x4x64", 4, &[128, 4, 64], &[1, 2, 0]),
        ("transpose of bytes 3136x64", 1, &[3136, 64], &[1, 0]),
        ("depth to space 56x56x64", 4, &[56, 56, 2, 2, 16], &[0, 2, 1, 3, 4]),
    ];
    for (name, element, shape, order) in cases {
        let plan = transposition(element, shape, order);
        let from = vec![1u8; plan.source_bytes()];
        let mut to = vec![0u8; from.len()];
        bench(c, name, 2 * from.len(), roof, || plan.run(&from, &mut to, SERIAL));
    }
    let (table, row) = (vec![1u8; 8192 * 1024], 1024);
    let mut rows = vec![0u8; 128 * row];
    bench(c, "gather 128 rows of 256", 2 * rows.len(), roof, || {
        gather_rows(&table, &mut rows, row, SERIAL, |i| i * 8009 % 8192);
    });
}

/// A function of two tensors of bytes.
fn of_bytes(c: &mut Criterion, name: &str, f: impl ByteFunction) {
    let len = 56 * 56 * 64;
    let (a, b, mut out) = (bytes(len), bytes(len), vec![0i8; len]);
    let plan = Broadcast::new([&[len], &[len]]).expect("equal shapes");
    bench(c, name, 3 * len, memory_roof(), || {
        let sources = [Source::Apart(&a[..]), Source::Apart(&b[..])];
        binary_bytes(Cpu::detect(), SERIAL, &plan, sources, &mut out, f);
    });
}

fn elements(c: &mut Criterion) {
    let (cpu, roof) = (Cpu::detect(), memory_roof());
    let len = 56 * 56 * 64;
    let (x, gate, mut out) = (wave(len), wave(64), Tensor::zeros(len));
    let plan = Broadcast::new([&[56 * 56, 64], &[64]]).expect("rows of channels");
    bench(c, "product with a row 56x56x64", 8 * len, roof, || {
        binary(cpu, SERIAL, &plan, (&x, &gate), &mut out, |x: f32, y: f32| x * y);
    });
    macro_rules! functions {
        ($($name:literal: $f:expr,)*) => {
            $(bench(c, concat!($name, " 56x56x64"), 8 * len, roof, || {
                apply(cpu, SERIAL, InOut::apart(&x, &mut out).expect("equal lengths"), $f);
            });)*
        };
    }
    functions! { "hard-swish": HardSwish, "tanh": Tanh, "gelu": Gelu, }
    let affine = |scale: f32, zero_point: i32| Affine { scale, zero_point };
    let (a, b, sum) = (affine(0.1, 3), affine(0.07, -5), affine(0.15, 1));
    let limits = Limits { min: -128, max: 127 };
    of_bytes(c, "add of bytes 56x56x64", AddShift::new(a, b, sum, false, limits).expect("near scales"));
    of_bytes(c, "product of bytes 56x56x64", MulFloat::new(a, b, sum, limits).expect("near scales"));
    let words: Vec<i16> = (0..len).map(|i| (i * 7919 % 60_001) as i16).collect();
    let (mut to, plan) = (vec![0i16; len], Broadcast::new([&[len], &[len]]).expect("equal shapes"));
    let limits = Limits { min: -32_768, max: 32_767 };
    let add = AddFixed::new(affine(0.1, 0), affine(0.07, 0), affine(0.15, 0), false, 15, limits)
        .expect("near scales");
    bench(c, "add of 16 bits 56x56x64", 6 * len, roof, || {
        binary(cpu, SERIAL, &plan, (&words, &words), &mut to, add.rounding_inputs_once());
    });
}

criterion_group!(benches, reductions, softmaxes, pools, resizes, copies, elements);
criterion_main!(benches);
