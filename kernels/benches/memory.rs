//! Kernels that move memory against a copy: `cargo bench -p ferrolite-kernels --bench memory`.
//!
//! Reductions, cumulative sums, searches, softmax, pooling, resizing, copies in another order, and elements, of the
//! shapes that mobile networks and transformers have, on one thread. Each prints the bytes that it reads and writes in
//! a second beside those of a copy of a large array; what lies in a near cache may be faster than that.

#![expect(missing_docs, reason = "criterion's macro makes public functions")]

mod roof;

use bytemuck::{cast_slice, cast_slice_mut};
use criterion::{Criterion, criterion_group, criterion_main};
use ferrolite_kernels::cpu::elementwise::binary::{Source, binary};
use ferrolite_kernels::cpu::elementwise::broadcast::Broadcast;
use ferrolite_kernels::cpu::elementwise::bytes::{ByteFunction, binary_bytes};
use ferrolite_kernels::cpu::elementwise::cumulative::{Direction, cumulative_sum};
use ferrolite_kernels::cpu::elementwise::lut::{Table16, apply8, apply16, table8};
use ferrolite_kernels::cpu::elementwise::math::{Gelu, HardSwish, Tanh};
use ferrolite_kernels::cpu::elementwise::quantized::{
    AddFixed, AddShift, Affine, Limits, MulFloat, Narrow, round_to_i16,
};
use ferrolite_kernels::cpu::elementwise::softmax::{exp_table, softmax};
use ferrolite_kernels::cpu::elementwise::softmax_bytes::{QuantizedSoftmax, Rounding};
use ferrolite_kernels::cpu::elementwise::unary::{apply, map};
use ferrolite_kernels::cpu::movement::{CopyDim, CopyEnds, CopyPlan, dense_strides, fill, gather_rows};
use ferrolite_kernels::cpu::pool::{Average, Max, PoolShape, average_bytes, pool, pool_f32};
use ferrolite_kernels::cpu::reduce::{Extreme, MaxOf, Mean, ReducePlan, Sum, arg_extreme, reduce, top_k};
use ferrolite_kernels::cpu::resize::{Corners, Fixed11, Float, ResizeShape, bilinear, nearest_positions};
use ferrolite_kernels::inout::InOut;
use ferrolite_kernels::isa::Cpu;
use ferrolite_kernels::par::Par;
use roof::memory_roof;
use roof::tensor::{Tensor, bench, bytes, wave};

const SERIAL: Par = Par::serial();

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
    let mut out = Tensor::zeros(x.len());
    for (name, len, inner) in
        [("cumulative sum of rows 512x768", 768, 1), ("cumulative sum of columns 512x768", 512, 768)]
    {
        bench(c, name, 8 * x.len(), roof, || {
            cumulative_sum(&x, &mut out, len, inner, Direction::default(), |a, b| a + b);
        });
    }
}

fn searches(c: &mut Criterion) {
    let (cpu, roof) = (Cpu::detect(), memory_roof());
    // Classes of an image, rows of a transformer, classes of every pixel.
    for shape in [[1, 1001, 1], [512, 768, 1], [512, 1000, 1], [257 * 257, 21, 1]] {
        let [rows, row, _] = shape;
        let mut places = Tensor::zeros(rows);
        let x = wave(rows * row);
        bench(c, &format!("place of the greatest of rows {rows}x{row}"), 4 * (x.len() + rows), roof, || {
            arg_extreme(cpu, SERIAL, Extreme::Max, shape, &x, &mut places, |i| i as i32);
        });
        let x = bytes(rows * row);
        let name = format!("place of the greatest of rows of bytes {rows}x{row}");
        bench(c, &name, x.len() + 4 * rows, roof, || {
            arg_extreme(cpu, SERIAL, Extreme::Max, shape, &x, &mut places, |i| i as i32);
        });
    }
    for (row, k) in [(1001, 5), (1917, 100), (30_522, 40)] {
        let (x, mut order) = (wave(row), Tensor::zeros(row));
        bench(c, &format!("top {k} of {row}"), 4 * (row + k), roof, || top_k(&x, k, &mut order));
    }
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
    let (x, mut out, table) = (bytes(512 * 128), Tensor::<i8>::zeros(512 * 128), exp_table(0.1, 1.0));
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
    for (name, shape) in [
        ("3x3s2 112x112x64", pool_shape(112, 64, 3, 2)),
        ("3x3s1 35x35x288", pool_shape(35, 288, 3, 1)),
        ("7x7 7x7x960", pool_shape(7, 960, 7, 7)),
    ] {
        let (x, mut out) = (wave(shape.source_len()), Tensor::zeros(shape.result_len()));
        let work = x.len() + out.len();
        bench(c, &format!("greatest {name}"), 4 * work, roof, || {
            pool_f32(cpu, SERIAL, Max { low, high }, &shape, &x, &mut out);
        });
        bench(c, &format!("average {name}"), 4 * work, roof, || {
            pool_f32(cpu, SERIAL, Average { low, high }, &shape, &x, &mut out);
        });
        let (x, mut out) = (bytes(shape.source_len()), Tensor::zeros(shape.result_len()));
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
    let (x, mut out) = (bytes(len), Tensor::zeros(out_len));
    let fixed = bilinear::<Fixed11<i8>>(shape, Corners::HalfPixel);
    bench(c, "bilinear of bytes 64x64x32 to 128x128", len + out_len, roof, || {
        fixed.run(cpu, SERIAL, &x, &mut out)
    });
    let [rows, columns] = [(); 2].map(|()| nearest_positions(false, false, 64, 128));
    for (name, pixel) in [("nearest", 4 * 32), ("nearest of bytes", 32)] {
        let (from, mut to) = (bytes(64 * 64 * pixel), Tensor::<i8>::zeros(128 * 128 * pixel));
        let work = from.len() + to.len();
        bench(c, &format!("{name} 64x64x32 to 128x128"), work, roof, || {
            let pick = |i: usize| rows[i / columns.len()] * 64 + columns[i % columns.len()];
            gather_rows(cast_slice(&from), cast_slice_mut(&mut to), pixel, SERIAL, pick);
        });
    }
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

/// Rows of floats that become parts of longer rows, the first behind `start` floats.
fn placement(rows: usize, row: usize, start: usize, longer: usize, len: usize) -> CopyPlan {
    let dims = [
        CopyDim { len: rows, src: row as isize, dst: longer as isize },
        CopyDim { len: row, src: 1, dst: 1 },
    ];
    let ends = CopyEnds { src_start: 0, src_len: rows * row, dst_start: start, dst_len: len };
    CopyPlan::new(size_of::<f32>(), ends, &dims).expect("rows stay within both sides")
}

fn placements(c: &mut Criterion) {
    let roof = memory_roof();
    let (side, channels) = (56, 64);
    let x = wave(side * side * channels);
    let row = (side + 2) * channels;
    let mut padded = Tensor::<f32>::zeros((side + 2) * row);
    let pad = placement(side, side * channels, row + channels, row, padded.len());
    bench(c, "pad 56x56x64 by one", 4 * (x.len() + padded.len()), roof, || {
        fill(cast_slice_mut(&mut padded), &[0; 4], SERIAL);
        pad.run(cast_slice(&x), cast_slice_mut(&mut padded), SERIAL);
    });
    let mut joined = Tensor::<f32>::zeros(2 * x.len());
    let halves =
        [0, channels].map(|start| placement(side * side, channels, start, 2 * channels, joined.len()));
    bench(c, "concatenation of channels 2 of 56x56x64", 8 * joined.len(), roof, || {
        for half in &halves {
            half.run(cast_slice(&x), cast_slice_mut(&mut joined), SERIAL);
        }
    });
}

fn transpositions(c: &mut Criterion) {
    let roof = memory_roof();
    let cases: [(&str, usize, &[usize], &[usize]); 6] = [
        ("transpose 3136x64", 4, &[3136, 64], &[1, 0]),
        ("transpose heads 128x4x64", 4, &[128, 4, 64], &[1, 0, 2]),
        ("transpose keys 128x4x64", 4, &[128, 4, 64], &[1, 2, 0]),
        ("transpose of bytes 3136x64", 1, &[3136, 64], &[1, 0]),
        ("depth to space 56x56x64", 4, &[56, 56, 2, 2, 16], &[0, 2, 1, 3, 4]),
        ("space to depth 56x56x64", 4, &[28, 2, 28, 2, 64], &[0, 2, 1, 3, 4]),
    ];
    for (name, element, shape, order) in cases {
        let plan = transposition(element, shape, order);
        let (from, mut to) = (bytes(plan.source_bytes()), Tensor::<i8>::zeros(plan.source_bytes()));
        bench(c, name, 2 * from.len(), roof, || {
            plan.run(cast_slice(&from), cast_slice_mut(&mut to), SERIAL);
        });
    }
}

fn gathers(c: &mut Criterion) {
    let (table, row) = (wave(8192 * 256), 256 * size_of::<f32>());
    let mut rows = Tensor::<f32>::zeros(128 * 256);
    bench(c, "gather 128 rows of 256", 2 * 128 * row, memory_roof(), || {
        gather_rows(cast_slice(&table), cast_slice_mut(&mut rows), row, SERIAL, |i| i * 8009 % 8192);
    });
}

/// A function of two tensors of bytes.
fn of_bytes(c: &mut Criterion, name: &str, f: impl ByteFunction) {
    let len = 56 * 56 * 64;
    let (a, b, mut out) = (bytes(len), bytes(len), Tensor::zeros(len));
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
    let words = Tensor::of(len, |i| (i * 7919 % 60_001) as i16);
    let (mut to, plan) = (Tensor::zeros(len), Broadcast::new([&[len], &[len]]).expect("equal shapes"));
    let limits = Limits { min: -32_768, max: 32_767 };
    let add = AddFixed::new(affine(0.1, 0), affine(0.07, 0), affine(0.15, 0), false, 15, limits)
        .expect("near scales");
    bench(c, "add of 16 bits 56x56x64", 6 * len, roof, || {
        binary(cpu, SERIAL, &plan, (&words, &words), &mut to, add.rounding_inputs_once());
    });
}

fn conversions(c: &mut Criterion) {
    let (cpu, roof) = (Cpu::detect(), memory_roof());
    let len = 56 * 56 * 64;
    let (mut floats, mut stored) = (wave(len), bytes(len));
    bench(c, "quantize 56x56x64", 5 * len, roof, || {
        map(cpu, SERIAL, &floats, &mut stored, |x: f32| i8::saturate(round_to_i16(x * 100.0) + 3));
    });
    bench(c, "dequantize 56x56x64", 5 * len, roof, || {
        map(cpu, SERIAL, &stored, &mut floats, |x: i8| (x.widen() - 3) as f32 * 0.01);
    });
    let (table, mut out) = (table8(|x: i8| x.wrapping_mul(7)), Tensor::zeros(len));
    bench(c, "table of bytes 56x56x64", 2 * len, roof, || {
        apply8(SERIAL, InOut::apart(&stored, &mut out).expect("equal lengths"), &table);
    });
    let table: Table16 = std::array::from_fn(|i| (i as i16 - 256) * 64);
    let (words, mut out) = (Tensor::of(len, |i| (i * 7919 % 60_001) as i16), Tensor::zeros(len));
    bench(c, "table of 16 bits 56x56x64", 4 * len, roof, || {
        apply16(SERIAL, InOut::apart(&words, &mut out).expect("equal lengths"), &table);
    });
}

criterion_group!(
    benches,
    reductions,
    searches,
    softmaxes,
    pools,
    resizes,
    placements,
    transpositions,
    gathers,
    elements,
    conversions
);
criterion_main!(benches);
