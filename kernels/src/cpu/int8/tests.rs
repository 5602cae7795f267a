//! The kernels against plain loops, for every instruction set of the machine.

use super::depthwise::{IntoLanes, PackedDepthwise, depthwise, depthwise_scratch};
use super::exact::{FixedTarget, StoreExact};
use super::fixed::{FixedPoint, WideFixedPoint, WideRounding};
use super::gemm::{Bias, Zeros, gemm, gemm_scratch, windows_scratch};
use super::pack::{Bytes, Matrix, PackLayout, PackedWeights, Width};
use super::rows::{Activation, Dense, Patches, Window};
use super::store::{FloatColumns, PixelMap, Requantize, Rescaling, StoreFloat, StoreQuantized, Target};
use crate::fixed_point::Multiplier;
use crate::isa::Cpu;
use crate::par::Par;
use crate::reference;

/// Numbers without a pattern.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub(super) fn bytes<T>(&mut self, len: usize, of: impl Fn(u8) -> T) -> Vec<T> {
        (0..len).map(|_| of(self.next() as u8)).collect()
    }
}

const SIGNED: fn(u8) -> i8 = |b| b as i8;
const UNSIGNED: fn(u8) -> u8 = |b| b;

fn less<T: Copy + Into<i32>>(numbers: &[T], zero: i32) -> Vec<i32> {
    numbers.iter().map(|&x| x.into() - zero).collect()
}

fn wrap(sums: &[i64]) -> Vec<i32> {
    sums.iter().map(|&s| s as i32).collect()
}

/// Sums of a matrix multiplication by [`gemm`].
fn sums<X: Activation>(
    weights: &PackedWeights,
    data: &[X],
    rows: usize,
    zeros: Zeros<'_>,
    bias: &[i32],
    threads: usize,
) -> Vec<i32> {
    let layout = weights.layout();
    let (depth, cols) = (layout.depth(), layout.cols());
    let mut out = vec![0; rows * cols];
    let par = Par::new(threads);
    let mut scratch = vec![0; par.scratch_len(gemm_scratch(layout))];
    let store = &StoreExact::Sums(Target::new(&mut out, 0, cols));
    let bias = Bias::new(bias, cols);
    gemm(weights.view(), &Dense { data, rows, depth, stride: depth }, zeros, &bias, store, par, &mut scratch);
    out
}

#[test]
fn matrices_of_all_sizes() {
    let mut noise = Noise(1);
    let mut wrong = Vec::new();
    for cpu in Cpu::all() {
        for (rows, cols, depth) in [
            (1, 1, 1),
            (2, 7, 3),
            (5, 16, 8),
            (7, 33, 5),
            (13, 40, 64),
            (49, 17, 130),
            (100, 50, 31),
            (3, 200, 1),
        ] {
            let x = noise.bytes(rows * depth, SIGNED);
            let y = noise.bytes(rows * depth, UNSIGNED);
            let w = noise.bytes(cols * depth, SIGNED);
            let v = noise.bytes(cols * depth, UNSIGNED);
            let bias: Vec<i32> = (0..cols).map(|_| noise.next() as i32 % 10_000).collect();
            let matrix =
                |bytes, zero| Matrix { bytes, zero, cols, depth, col_stride: depth, depth_stride: 1 };
            let want = |x: Vec<i32>, w: Vec<i32>| -> Vec<i32> {
                let window = Window { batch: rows, channels: depth, ..pointwise() };
                let sums = wrap(&reference::int8::conv(&x, &w, &window, cols, 1));
                sums.iter().enumerate().map(|(i, s)| s + bias[i % cols]).collect()
            };
            for threads in [1, 3] {
                let signed = PackedWeights::new(cpu, Width::Bytes, matrix(Bytes::Signed(&w), 0));
                if sums(&signed, &x, rows, Zeros::All(-128), &bias, threads)
                    != want(less(&x, -128), less(&w, 0))
                {
                    wrong.push(format!("{} {rows}x{cols}x{depth} signed", cpu.name()));
                }
                let unsigned = PackedWeights::new(cpu, Width::Bytes, matrix(Bytes::Unsigned(&v), 3));
                if sums(&unsigned, &y, rows, Zeros::All(255), &bias, threads)
                    != want(less(&y, 255), less(&v, 3))
                {
                    wrong.push(format!("{} {rows}x{cols}x{depth} unsigned", cpu.name()));
                }
                let zeros: Vec<i32> = (0..rows.div_ceil(2)).map(|_| i32::from(noise.next() as i8)).collect();
                let each = Zeros::Each { zeros: &zeros, rows: 2 };
                let mut shifted = less(&x, 0);
                shifted.iter_mut().enumerate().for_each(|(i, x)| *x -= zeros[i / depth / 2]);
                if sums(&signed, &x, rows, each, &bias, threads) != want(shifted, less(&w, 0)) {
                    wrong.push(format!("{} {rows}x{cols}x{depth} zero points of rows", cpu.name()));
                }
            }
            let words: Vec<i16> = (0..rows * depth).map(|_| noise.next() as i16).collect();
            let packed = PackedWeights::new(cpu, Width::Words, matrix(Bytes::Signed(&w), 0));
            if sums(&packed, &words, rows, Zeros::All(0), &bias, 1) != want(less(&words, 0), less(&w, 0)) {
                wrong.push(format!("{} {rows}x{cols}x{depth} words", cpu.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn pointwise() -> Window {
    Window {
        batch: 1,
        input: [1, 1],
        channels: 1,
        output: [1, 1],
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        padding: [0, 0],
    }
}

/// Windows with borders on all sides, strides, dilation.
fn windows() -> Vec<(&'static str, Window)> {
    let base = Window {
        batch: 2,
        input: [9, 11],
        channels: 8,
        output: [9, 11],
        kernel: [3, 3],
        padding: [1, 1],
        ..pointwise()
    };
    vec![
        ("same", base),
        ("valid", Window { output: [7, 9], padding: [0, 0], ..base }),
        ("stride 2", Window { output: [5, 6], stride: [2, 2], ..base }),
        ("uneven stride", Window { output: [9, 4], stride: [1, 3], padding: [1, 0], ..base }),
        ("dilation", Window { dilation: [2, 3], padding: [2, 3], ..base }),
        ("5x5", Window { kernel: [5, 5], padding: [2, 2], ..base }),
        ("2x4", Window { kernel: [2, 4], padding: [0, 1], ..base }),
        ("1x1", Window { kernel: [1, 1], padding: [0, 0], ..base }),
        (
            "wider than the image",
            Window { input: [2, 3], output: [2, 3], kernel: [7, 7], padding: [3, 3], ..base },
        ),
        (
            "3x3 stride 2 dilated",
            Window { output: [4, 4], stride: [2, 2], dilation: [2, 2], padding: [1, 0], ..base },
        ),
    ]
}

#[test]
fn convolutions() {
    let mut noise = Noise(2);
    let mut wrong = Vec::new();
    for cpu in Cpu::all() {
        for (name, window) in windows() {
            for groups in [1, 2] {
                let (outputs, depth) = (10, window.channels / groups);
                let x =
                    noise.bytes(window.batch * window.input[0] * window.input[1] * window.channels, SIGNED);
                let taps = window.kernel[0] * window.kernel[1];
                let w = noise.bytes(outputs * taps * depth, SIGNED);
                let zero = -7;
                let want =
                    wrap(&reference::int8::conv(&less(&x, zero), &less(&w, 0), &window, outputs, groups));
                let mut out = vec![0; want.len()];
                for group in 0..groups {
                    let cols = outputs / groups;
                    let filter = &w[group * cols * taps * depth..][..cols * taps * depth];
                    let layout = PackLayout::for_windows(cpu, Width::Bytes, cols, &window, depth);
                    let packed = PackedWeights::with_layout(
                        layout,
                        Matrix {
                            bytes: Bytes::Signed(filter),
                            zero: 0,
                            cols,
                            depth: taps * depth,
                            col_stride: taps * depth,
                            depth_stride: 1,
                        },
                    );
                    let rows = Patches { data: &x, window, first_channel: group * depth, channels: depth };
                    let store = &StoreExact::Sums(Target::new(&mut out, group * cols, outputs));
                    let par = Par::new(1 + group);
                    let mut scratch = vec![0; par.scratch_len(windows_scratch(&layout, &window, depth))];
                    let bias = Bias::new(&[], cols);
                    gemm(packed.view(), &rows, Zeros::All(zero), &bias, store, par, &mut scratch);
                }
                if out != want {
                    wrong.push(format!("{} {name}, {groups} groups", cpu.name()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether windows that overlap give the sums of plain loops, by all threads' ways to cut the work.
fn check_windows<X: Activation + Into<i32>>(
    cpu: Cpu,
    width: Width,
    x: &[X],
    zero: i32,
    window: Window,
) -> bool {
    let (outputs, taps) = (70, window.kernel[0] * window.kernel[1]);
    let depth = taps * window.channels;
    let v = Noise(x.len() as u64).bytes(outputs * depth, UNSIGNED);
    let layout = PackLayout::for_windows(cpu, width, outputs, &window, window.channels);
    [128, 131].into_iter().all(|weight_zero| {
        let weights = less(&v, weight_zero);
        let want = wrap(&reference::int8::conv(&less(x, zero), &weights, &window, outputs, 1));
        let bytes = Bytes::Unsigned(&v);
        let matrix =
            Matrix { bytes, zero: weight_zero, cols: outputs, depth, col_stride: depth, depth_stride: 1 };
        let packed = PackedWeights::with_layout(layout, matrix);
        let rows = Patches { data: x, window, first_channel: 0, channels: window.channels };
        [1, 3].into_iter().all(|threads| {
            let mut out = vec![0; want.len()];
            let store = &StoreExact::Sums(Target::new(&mut out, 0, outputs));
            let par = Par::new(threads);
            let mut scratch = vec![0; par.scratch_len(windows_scratch(&layout, &window, window.channels))];
            let zeros = vec![zero; window.batch];
            let zeros = Zeros::Each { zeros: &zeros, rows: window.output[0] * window.output[1] };
            gemm(packed.view(), &rows, zeros, &Bias::new(&[], outputs), store, par, &mut scratch);
            out == want
        })
    })
}

#[test]
fn windows_that_overlap() {
    let base = Window {
        batch: 1,
        input: [33, 45],
        output: [33, 45],
        channels: 20,
        kernel: [3, 3],
        padding: [1, 1],
        ..pointwise()
    };
    let rows = [
        ("same", base),
        ("1x7", Window { kernel: [1, 7], padding: [0, 3], ..base }),
        ("7x1", Window { kernel: [7, 1], padding: [3, 0], ..base }),
        ("stride 2", Window { stride: [2, 2], output: [17, 23], ..base }),
        ("dilation", Window { dilation: [3, 2], padding: [3, 2], ..base }),
        ("starts inside", Window { padding: [-2, -3], output: [29, 40], ..base }),
        ("three channels", Window { channels: 3, ..base }),
        ("one channel, long lines", Window { channels: 1, input: [4, 900], output: [4, 900], ..base }),
        ("two images", Window { batch: 2, input: [9, 8], output: [9, 8], ..base }),
    ];
    let mut noise = Noise(6);
    let mut wrong = Vec::new();
    for (name, window) in rows {
        let len = window.batch * window.input[0] * window.input[1] * window.channels;
        let (signed, unsigned) = (noise.bytes(len, SIGNED), noise.bytes(len, UNSIGNED));
        let words: Vec<i16> = (0..len).map(|_| noise.next() as i16 / 64).collect();
        for cpu in Cpu::all() {
            for (kind, right) in [
                ("signed", check_windows(cpu, Width::Bytes, &signed, -5, window)),
                ("unsigned", check_windows(cpu, Width::Bytes, &unsigned, 255, window)),
                ("words", check_windows(cpu, Width::Words, &words, 0, window)),
            ] {
                if !right {
                    wrong.push(format!("{} {name}, {kind}", cpu.name()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn check_depthwise<X: Activation + IntoLanes + Into<i32>>(
    x: &[X],
    zero: i32,
    window: Window,
    multiplier: usize,
    cpu: Cpu,
) -> bool {
    let mut noise = Noise(x.len() as u64);
    let outputs = window.channels * multiplier;
    let w = noise.bytes(window.kernel[0] * window.kernel[1] * outputs, UNSIGNED);
    let bias: Vec<i32> = (0..outputs).map(|_| noise.next() as i32 % 1000).collect();
    let mut want = wrap(&reference::int8::depthwise(&less(x, zero), &less(&w, 100), &window, multiplier));
    want.iter_mut().enumerate().for_each(|(i, s)| *s += bias[i % outputs]);
    // Filters that are packed for wider activations take bytes too.
    let widths = if size_of::<X>() == 1 { [Width::Bytes, Width::Words] } else { [Width::Words; 2] };
    [(1, widths[0]), (3, widths[0]), (2, widths[1])].into_iter().all(|(threads, width)| {
        let packed = PackedDepthwise::new(
            cpu,
            width,
            Bytes::Unsigned(&w),
            &[100],
            window.kernel,
            window.channels,
            multiplier,
        );
        let mut out = vec![0; want.len()];
        let store = &StoreExact::Sums(Target::new(&mut out, 0, outputs));
        let par = Par::new(threads);
        let mut scratch = vec![0; par.scratch_len(depthwise_scratch(cpu, &window))];
        depthwise(&packed, x, zero, &window, &Bias::new(&bias, outputs), store, par, &mut scratch);
        out == want
    })
}

#[test]
fn depthwise_convolutions() {
    let mut noise = Noise(3);
    let mut wrong = Vec::new();
    for cpu in Cpu::all() {
        for (name, window) in windows() {
            for (channels, multiplier) in [(1, 1), (8, 1), (19, 1), (3, 4), (5, 2)] {
                let window = Window { channels, ..window };
                let len = window.batch * window.input[0] * window.input[1] * channels;
                let signed = noise.bytes(len, SIGNED);
                let unsigned = noise.bytes(len, UNSIGNED);
                let words: Vec<i16> = (0..len).map(|_| noise.next() as i16).collect();
                for (kind, right) in [
                    ("signed", check_depthwise(&signed, -128, window, multiplier, cpu)),
                    ("unsigned", check_depthwise(&unsigned, 255, window, multiplier, cpu)),
                    ("words", check_depthwise(&words, 0, window, multiplier, cpu)),
                ] {
                    if !right {
                        wrong.push(format!("{} {name}, {channels} x {multiplier} {kind}", cpu.name()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Of a size that several threads share.
#[test]
fn large_depthwise_convolutions_are_cut() {
    let mut wrong = Vec::new();
    for (name, size, channels) in [("tall strips", [40, 300], 4), ("few rows of many channels", [3, 5], 2000)]
    {
        let window =
            Window { input: size, output: size, kernel: [3, 3], padding: [1, 1], channels, ..pointwise() };
        let x = Noise(9).bytes(size[0] * size[1] * channels, SIGNED);
        for cpu in Cpu::all() {
            if !check_depthwise(&x, 5, window, 1, cpu) {
                wrong.push(format!("{name}, {}", cpu.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn epilogues() {
    let (rows, cols, depth) = (9, 21, 4);
    let mut noise = Noise(4);
    let x = noise.bytes(rows * depth, SIGNED);
    let w = noise.bytes(cols * depth, SIGNED);
    let scales: Vec<f32> = (0..cols).map(|_| (noise.next() % 1000) as f32 * 1e-5).collect();
    let bias: Vec<f32> = (0..cols).map(|_| (noise.next() % 1000) as f32 * 1e-2 - 5.0).collect();
    let row_scales: Vec<f32> = (0..rows).map(|_| (noise.next() % 1000) as f32 * 1e-3).collect();
    let window = Window { batch: rows, channels: depth, ..pointwise() };
    let sums = wrap(&reference::int8::conv(&less(&x, 0), &less(&w, 0), &window, cols, 1));
    let fixed = FixedPoint::new(&scales.iter().map(|&s| f64::from(s)).collect::<Vec<_>>(), cols, 3, -100, 90)
        .unwrap();
    let mut wrong = Vec::new();
    for cpu in Cpu::all() {
        let packed = PackedWeights::new(
            cpu,
            Width::Bytes,
            Matrix { bytes: Bytes::Signed(&w), zero: 0, cols, depth, col_stride: depth, depth_stride: 1 },
        );
        let dense = Dense { data: &x, rows, depth, stride: depth };
        let zeros = Zeros::All(0);
        let no_bias = Bias::new(&[], cols);
        let mut scratch = vec![0; gemm_scratch(packed.layout())];
        let mut bytes = vec![0i8; rows * cols];
        let requantize = Requantize::new(&scales, cols, 3, -100, 90);
        let store = StoreQuantized { requantize: &requantize, target: Target::new(&mut bytes, 0, cols) };
        gemm(packed.view(), &dense, zeros, &no_bias, &store, Par::serial(), &mut scratch);
        let mut floats = [(); 3].map(|()| vec![0f32; rows * cols]);
        let rescalings = [Rescaling::Fused, Rescaling::Product, Rescaling::ColumnFirst];
        for (rescaling, floats) in rescalings.into_iter().zip(&mut floats) {
            let columns = FloatColumns::new(&scales, &bias, cols, (-2.0, 6.0), rescaling);
            let store = StoreFloat {
                row_scales: &row_scales,
                rows_per_scale: 1,
                columns: &columns,
                target: Target::new(floats, 0, cols),
            };
            gemm(packed.view(), &dense, zeros, &no_bias, &store, Par::serial(), &mut scratch);
        }
        let mut fixed_bytes = vec![0i8; rows * cols];
        let store = &StoreExact::Fixed(&fixed, FixedTarget::I8(Target::new(&mut fixed_bytes, 0, cols)));
        gemm(packed.view(), &dense, zeros, &no_bias, store, Par::serial(), &mut scratch);
        for (i, &sum) in sums.iter().enumerate() {
            let (row, col) = (i / cols, i % cols);
            let byte = ((sum as f32 * scales[col]).round_ties_even() + 3.0).clamp(-100.0, 90.0) as i8;
            if bytes[i] != byte {
                wrong.push(format!("{} requantized {row},{col}: {} not {byte}", cpu.name(), bytes[i]));
            }
            let by_row = sum as f32 * row_scales[row] * scales[col] + bias[col];
            let product = sum as f32 * (row_scales[row] * scales[col]) + bias[col];
            let by_column = sum as f32 * scales[col] * row_scales[row] + bias[col];
            let last = if col < cols - cols % 4 { by_column } else { by_row };
            for (rescaling, (want, error)) in
                [(by_row, 1e-5), (product, 0.0), (last, 0.0)].into_iter().enumerate()
            {
                let (got, want) = (floats[rescaling][i], want.clamp(-2.0, 6.0));
                if (got - want).abs() > error {
                    let rescaling = rescalings[rescaling];
                    wrong.push(format!("{} {rescaling:?} {row},{col}: {got} not {want}", cpu.name()));
                }
            }
            let multiplier = Multiplier::new(f64::from(scales[col])).unwrap();
            let byte = multiplier.apply(sum).saturating_add(3).clamp(-100, 90);
            if i32::from(fixed_bytes[i]) != byte {
                wrong.push(format!("{} fixed point {row},{col}", cpu.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A transposed convolution is an ordinary one for each phase of its stride, whose outputs lie apart.
#[test]
fn phases_of_an_image() {
    let mut noise = Noise(8);
    let (x, w) = (noise.bytes(2 * 3 * 4 * 5, SIGNED), noise.bytes(6 * 5, SIGNED));
    let window =
        Window { batch: 2, input: [3, 4], channels: 5, output: [2, 3], padding: [-1, -1], ..pointwise() };
    let map = PixelMap { count: window.output, first: [1, 0], step: [3, 2], image: [5, 6] };
    for cpu in Cpu::all() {
        let packed = PackedWeights::new(
            cpu,
            Width::Bytes,
            Matrix { bytes: Bytes::Signed(&w), zero: 0, cols: 6, depth: 5, col_stride: 5, depth_stride: 1 },
        );
        let mut out = vec![77; 2 * 5 * 6 * 6];
        let store = &StoreExact::Sums(Target::mapped(&mut out, 0, 6, map));
        let rows = Patches { data: &x, window, first_channel: 0, channels: 5 };
        let mut scratch = vec![0; gemm_scratch(packed.layout())];
        gemm(packed.view(), &rows, Zeros::All(3), &Bias::new(&[], 6), store, Par::serial(), &mut scratch);
        for (i, &sum) in out.iter().enumerate() {
            let (image, y, x_out, col) = (i / 180, i / 36 % 5, i / 6 % 6, i % 6);
            let want = if y % 3 == 1 && x_out % 2 == 0 {
                let pixel = (image * 3 + y / 3 + 1) * 4 + x_out / 2 + 1;
                if x_out / 2 + 1 < 4 && y / 3 + 1 < 3 {
                    (0..5).map(|c| (i32::from(x[pixel * 5 + c]) - 3) * i32::from(w[col * 5 + c])).sum()
                } else {
                    0
                }
            } else {
                77
            };
            assert_eq!(sum, want, "{} {image},{y},{x_out},{col}", cpu.name());
        }
    }
}

/// Sums that need more than 32 bits.
#[test]
fn words_with_wide_sums() {
    let (rows, cols, depth) = (7, 19, 2000);
    let mut noise = Noise(6);
    let x: Vec<i16> = (0..rows * depth).map(|_| i16::MAX - (noise.next() % 9) as i16).collect();
    let w: Vec<i8> = (0..cols * depth).map(|_| 127 - (noise.next() % 5) as i8).collect();
    let bias: Vec<i64> = (0..cols).map(|_| noise.next() as i64 - (1 << 30)).collect();
    let window = Window { batch: rows, channels: depth, ..pointwise() };
    let sums = reference::int8::conv(&less(&x, 0), &less(&w, 0), &window, cols, 1);
    let fixed = WideFixedPoint::new(&[2e-6], &bias, cols, WideRounding::Fixed, -30_000, 30_000).unwrap();
    let want: Vec<i16> = sums.iter().enumerate().map(|(i, &sum)| fixed.apply(i % cols, sum) as i16).collect();
    assert!(sums.iter().any(|&s| s > i64::from(i32::MAX)) && want.iter().any(|w| w.abs() < 30_000));
    for cpu in Cpu::all() {
        let packed = PackedWeights::new(
            cpu,
            Width::Words,
            Matrix { bytes: Bytes::Signed(&w), zero: 0, cols, depth, col_stride: depth, depth_stride: 1 },
        );
        let mut out = vec![0; rows * cols];
        let store = &StoreExact::Words(&fixed, Target::new(&mut out, 0, cols));
        let mut scratch = vec![0; gemm_scratch(packed.layout())];
        let dense = Dense { data: &x, rows, depth, stride: depth };
        gemm(packed.view(), &dense, Zeros::All(0), &Bias::new(&[], cols), store, Par::serial(), &mut scratch);
        assert_eq!(out, want, "{}", cpu.name());
    }
}
