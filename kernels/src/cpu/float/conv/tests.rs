//! Convolutions of every instruction set against plain loops.

use super::*;
use crate::cpu::float::epilogue::{Activation, Epilogue};
use crate::isa::Cpu;
use crate::par::Par;
use crate::reference::float::{self as reference, ConvArgs};
use crate::testing::{ACTIVATIONS, difference, finish, noise, thread_difference};

fn args(shape: &ConvShape) -> ConvArgs {
    ConvArgs {
        batch: shape.batch,
        input: shape.input,
        in_channels: shape.in_channels,
        output: shape.output().unwrap(),
        out_channels: shape.out_channels,
        kernel: shape.kernel,
        stride: shape.stride,
        dilation: shape.dilation,
        pad_before: shape.pad_before,
        groups: shape.groups,
    }
}

pub(super) fn len(batch: usize, size: [usize; 3], channels: usize) -> usize {
    batch * size.iter().product::<usize>() * channels
}

/// What a case found wrong, with and without threads: `compute` against plain `sums`.
fn judge(
    name: &str,
    case: usize,
    terms: usize,
    sums: &[f32],
    compute: impl Fn(&mut [f32], &Epilogue<'_>, Par),
) -> Vec<String> {
    let residual = noise(sums.len(), 9);
    let residual = (case % 3 == 1).then_some(&residual[..]);
    let activation = ACTIVATIONS[case % ACTIVATIONS.len()];
    let run = |par| {
        let mut out = vec![f32::NAN; sums.len()];
        compute(&mut out, &Epilogue { activation, residual }, par);
        out
    };
    let wrong = difference(&run(Par::serial()), &finish(sums, residual, activation), terms);
    wrong.into_iter().chain(thread_difference(run)).map(|what| format!("{name}: {what}")).collect()
}

fn conv_cases() -> Vec<(&'static str, ConvShape)> {
    let conv = ConvShape::conv2d;
    vec![
        ("pointwise", conv(2, [5, 3], 17, 33, [1, 1])),
        ("pointwise in groups", conv(1, [4, 4], 12, 6, [1, 1]).groups(3)),
        ("pointwise, stride 2", conv(2, [5, 6], 9, 20, [1, 1]).stride([2, 2])),
        ("pointwise, padded", conv(1, [3, 3], 4, 5, [1, 1]).pad([1, 1, 0, 2])),
        ("3x3 same", conv(2, [7, 9], 8, 16, [3, 3]).pad([1, 1, 1, 1])),
        ("3x3 valid", conv(1, [9, 7], 16, 40, [3, 3])),
        ("3x3 stride 2", conv(1, [12, 11], 5, 24, [3, 3]).stride([2, 2]).pad([0, 0, 1, 1])),
        ("first layer", conv(1, [11, 13], 3, 32, [3, 3]).stride([2, 2]).pad([0, 1, 1, 1])),
        ("one channel", conv(1, [9, 9], 1, 7, [5, 5]).pad([2, 2, 2, 2])),
        ("dilated", conv(1, [10, 12], 9, 18, [3, 3]).dilation([2, 3]).pad([2, 3, 2, 3])),
        ("dilated, few channels", conv(1, [10, 12], 3, 18, [3, 3]).dilation([2, 3]).pad([2, 3, 2, 3])),
        ("dilated in height", conv(1, [10, 12], 3, 4, [3, 2]).dilation([3, 1])),
        ("groups", conv(2, [6, 6], 16, 24, [3, 3]).groups(2).pad([1, 1, 1, 1])),
        ("groups of few channels", conv(1, [6, 7], 6, 9, [3, 3]).groups(3).pad([1, 0, 1, 0])),
        ("many taps", conv(1, [13, 12], 2, 3, [9, 9]).dilation([1, 1]).pad([4, 4, 4, 4])),
        ("many taps, dilated", conv(1, [20, 19], 9, 3, [9, 9]).dilation([2, 2]).pad([4, 4, 4, 4])),
        ("groups, valid", conv(2, [9, 8], 20, 6, [3, 2]).groups(2).stride([2, 1]).dilation([1, 2])),
        ("flat filter", conv(1, [6, 9], 7, 8, [1, 7]).pad([0, 3, 0, 3])),
        ("wider than the image", conv(1, [3, 2], 4, 4, [3, 5]).pad([1, 2, 1, 2])),
        ("only padding in some windows", conv(1, [2, 2], 4, 4, [2, 2]).pad([3, 3, 3, 3])),
        ("filter does not fit", conv(1, [2, 2], 4, 4, [3, 3])),
        ("no image", conv(0, [4, 4], 4, 4, [3, 3])),
        ("no pixels", conv(1, [0, 4], 4, 4, [1, 1])),
        ("no input channels", conv(1, [4, 4], 0, 4, [3, 3]).pad([1, 1, 1, 1])),
        ("no output channels", conv(1, [4, 4], 4, 0, [3, 3])),
        (
            "three dimensions",
            ConvShape {
                batch: 2,
                input: [4, 5, 6],
                in_channels: 3,
                out_channels: 10,
                kernel: [2, 3, 3],
                stride: [1, 2, 1],
                dilation: [2, 1, 1],
                pad_before: [1, 1, 1],
                pad_after: [1, 1, 0],
                groups: 1,
            },
        ),
        (
            "three dimensions, valid",
            ConvShape {
                batch: 2,
                input: [5, 7, 6],
                in_channels: 3,
                out_channels: 10,
                kernel: [2, 3, 3],
                stride: [1, 2, 1],
                dilation: [2, 1, 1],
                pad_before: [0; 3],
                pad_after: [0; 3],
                groups: 1,
            },
        ),
    ]
}

#[test]
fn convolutions_match_plain_loops() {
    let mut wrong = Vec::new();
    for (case, (name, shape)) in conv_cases().into_iter().enumerate() {
        let k = shape.taps() * shape.in_channels / shape.groups;
        let input = noise(len(shape.batch, shape.input, shape.in_channels), 1);
        let filter = noise(shape.out_channels * k, 2);
        let bias = noise(shape.out_channels, 3);
        let bias = (case % 2 == 0).then_some(&bias[..]);
        let sums = reference::conv(&args(&shape), &input, &filter, bias);
        for cpu in Cpu::all() {
            let weights = ConvWeightsF32::new(cpu, &shape, &filter, bias).unwrap();
            let conv = ConvF32::new(shape, weights).unwrap();
            wrong.extend(judge(&format!("{name} {}", conv.name()), case, k, &sums, |out, epilogue, par| {
                let mut scratch = vec![f32::NAN; conv.scratch_bytes(par) / 4];
                conv.run(&input, out, &mut scratch, epilogue, par).unwrap();
            }));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_filter_may_have_its_output_channels_last() {
    let shape = ConvShape::conv2d(1, [4, 5], 3, 6, [2, 3]);
    let (k, filter) = (18, noise(6 * 18, 2));
    let last: Vec<f32> = (0..k * 6).map(|i| filter[i % 6 * k + i / 6]).collect();
    let input = noise(4 * 5 * 3, 1);
    let run = |weights| {
        let conv = ConvF32::new(shape, weights).unwrap();
        let mut out = vec![0.0; 3 * 3 * 6];
        conv.run(&input, &mut out, &mut [], &Epilogue::default(), Par::serial()).unwrap();
        out
    };
    let cpu = Cpu::detect();
    let first = run(ConvWeightsF32::new(cpu, &shape, &filter, None).unwrap());
    assert_eq!(first, run(ConvWeightsF32::from_channels_last(cpu, &shape, &last, None).unwrap()));
}

pub(super) fn depthwise_cases() -> Vec<(&'static str, ConvShape)> {
    let conv = |size, channels: usize, multiplier: usize, kernel| {
        ConvShape::conv2d(2, size, channels, channels * multiplier, kernel).groups(channels)
    };
    vec![
        ("3x3 same", conv([9, 15], 24, 1, [3, 3]).pad([1, 1, 1, 1])),
        ("3x3, odd channels", conv([7, 7], 19, 1, [3, 3]).pad([1, 1, 1, 1])),
        ("3x3, few channels", conv([7, 8], 3, 1, [3, 3]).pad([1, 1, 1, 1])),
        ("3x3 valid, narrow", conv([5, 5], 16, 1, [3, 3])),
        ("3x3, one pixel", conv([3, 3], 16, 1, [3, 3])),
        ("3x3 stride 2", conv([15, 29], 32, 1, [3, 3]).stride([2, 2]).pad([0, 0, 1, 1])),
        ("3x3 stride 2, odd", conv([14, 13], 33, 1, [3, 3]).stride([2, 2]).pad([1, 1, 1, 1])),
        ("5x5 same", conv([11, 17], 16, 1, [5, 5]).pad([2, 2, 2, 2])),
        ("5x5 stride 2", conv([14, 28], 40, 1, [5, 5]).stride([2, 2]).pad([1, 1, 2, 2])),
        ("5 wide, 2 high", conv([6, 9], 16, 1, [2, 5]).pad([0, 4, 1, 4])),
        ("3x3 dilated in height", conv([9, 9], 16, 1, [3, 3]).dilation([2, 1]).pad([2, 1, 2, 1])),
        ("3x3 dilated", conv([12, 17], 16, 1, [3, 3]).dilation([2, 2]).pad([2, 2, 2, 2])),
        ("7x7", conv([9, 10], 18, 1, [7, 7]).pad([3, 3, 3, 3])),
        ("1x1", conv([3, 9], 18, 1, [1, 1])),
        ("4x4 stride 3", conv([11, 30], 16, 1, [4, 4]).stride([3, 3]).pad([1, 1, 1, 1])),
        ("multiplier 2", conv([6, 9], 10, 2, [3, 3]).pad([1, 1, 1, 1])),
        ("multiplier 8 of one channel", conv([6, 9], 1, 8, [5, 5]).stride([2, 2]).pad([2, 2, 2, 2])),
        ("multiplier 3 of few channels", conv([4, 4], 2, 3, [3, 3])),
        ("filter wider than the image", conv([2, 2], 16, 1, [3, 5]).pad([1, 2, 1, 2])),
        ("only padding in some windows", conv([2, 2], 16, 1, [3, 3]).pad([4, 4, 4, 4])),
        ("filter does not fit", conv([2, 2], 16, 1, [3, 3])),
        // Of a size that several threads share.
        ("3x3 in strips", conv([39, 41], 24, 1, [3, 3]).pad([1, 1, 1, 1])),
        ("5x5 by channels", conv([5, 9], 340, 1, [5, 5]).pad([2, 2, 2, 2])),
        ("3x3 dilated in strips", conv([30, 31], 24, 1, [3, 3]).dilation([2, 2]).pad([2, 2, 2, 2])),
    ]
}

#[test]
fn depthwise_convolutions_match_plain_loops() {
    let mut wrong = Vec::new();
    for (case, (name, shape)) in depthwise_cases().into_iter().enumerate() {
        let input = noise(len(shape.batch, shape.input, shape.in_channels), 1);
        let filter = noise(shape.taps() * shape.out_channels, 2);
        let bias = noise(shape.out_channels, 3);
        let bias = (case % 2 == 0).then_some(&bias[..]);
        let sums = reference::depthwise(&args(&shape), &input, &filter, bias);
        for cpu in Cpu::all() {
            let kernel = [shape.kernel[1], shape.kernel[2]];
            let weights = DepthwiseWeightsF32::new(cpu, kernel, shape.out_channels, &filter, bias).unwrap();
            let conv = DepthwiseF32::new(shape, weights).unwrap();
            let place = format!("{name} {}", conv.name());
            wrong.extend(judge(&place, case, shape.taps(), &sums, |out, epilogue, par| {
                conv.run(&input, out, epilogue, par).unwrap();
            }));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn transposed_convolutions_match_plain_loops() {
    // Name, input, channels, kernel, stride, pad, output.
    let cases = [
        ("2x2 stride 2", [3, 4], [8, 12], [2, 2], [2, 2], [0, 0], [6, 8]),
        ("3x3 stride 2", [4, 5], [3, 17], [3, 3], [2, 2], [0, 0], [8, 10]),
        ("3x3 stride 2, padded", [4, 5], [5, 9], [3, 3], [2, 2], [1, 1], [7, 9]),
        ("4x4 stride 2", [5, 3], [16, 33], [4, 4], [2, 2], [1, 1], [10, 6]),
        ("3x3 stride 1", [5, 6], [4, 8], [3, 3], [1, 1], [1, 1], [5, 6]),
        ("stride beyond the filter", [3, 3], [4, 5], [2, 2], [3, 3], [0, 0], [9, 9]),
        ("output beyond all input", [2, 2], [4, 5], [2, 2], [2, 2], [0, 0], [7, 6]),
        ("uneven", [3, 5], [2, 3], [5, 2], [3, 2], [2, 0], [8, 10]),
        ("many taps", [4, 4], [2, 3], [17, 17], [2, 2], [3, 3], [12, 13]),
        ("no input", [0, 3], [2, 3], [3, 3], [2, 2], [0, 0], [2, 2]),
        ("no output", [2, 3], [2, 3], [3, 3], [2, 2], [0, 0], [0, 2]),
    ];
    let mut wrong = Vec::new();
    for (case, (name, input, [in_channels, out_channels], kernel, stride, pad, output)) in
        cases.into_iter().enumerate()
    {
        let shape = TransposeConvShape {
            batch: 2,
            input: [1, input[0], input[1]],
            in_channels,
            output: [1, output[0], output[1]],
            out_channels,
            kernel: [1, kernel[0], kernel[1]],
            stride: [1, stride[0], stride[1]],
            pad_before: [0, pad[0], pad[1]],
        };
        let args = ConvArgs {
            batch: shape.batch,
            input: shape.input,
            in_channels,
            output: shape.output,
            out_channels,
            kernel: shape.kernel,
            stride: shape.stride,
            dilation: [1; 3],
            pad_before: shape.pad_before,
            groups: 1,
        };
        let k = kernel[0] * kernel[1] * in_channels;
        let (input, filter) = (noise(len(2, shape.input, in_channels), 1), noise(out_channels * k, 2));
        let bias = noise(out_channels, 3);
        let bias = (case % 2 == 0).then_some(&bias[..]);
        let sums = reference::transpose_conv(&args, &input, &filter, bias);
        for cpu in Cpu::all() {
            let weights = TransposeConvWeightsF32::new(cpu, &shape, &filter, bias).unwrap();
            let conv = TransposeConvF32::new(shape, weights).unwrap();
            let place = format!("{name} {}", conv.name());
            wrong.extend(judge(&place, case, k, &sums, |out, epilogue, par| {
                let mut scratch = vec![f32::NAN; conv.scratch_bytes(par) / 4];
                conv.run(&input, out, &mut scratch, epilogue, par).unwrap();
            }));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn sizes_that_do_not_fit_are_errors() {
    let cpu = Cpu::detect();
    let shape = ConvShape::conv2d(1, [4, 4], 4, 6, [3, 3]).pad([1, 1, 1, 1]);
    let filter = vec![0.0; 6 * 36];
    let rows = [
        ("zero stride", ConvShape { stride: [1, 0, 1], ..shape }),
        ("zero dilation", ConvShape { dilation: [1, 1, 0], ..shape }),
        ("no groups", ConvShape { groups: 0, ..shape }),
        ("uneven input groups", ConvShape { groups: 3, ..shape }),
        ("other channels", ConvShape { in_channels: 5, ..shape }),
        ("other kernel", ConvShape { kernel: [1, 3, 2], ..shape }),
        ("overflowing kernel", ConvShape { kernel: [1, usize::MAX, usize::MAX], ..shape }),
    ];
    for (name, wrong) in rows {
        assert!(ConvWeightsF32::new(cpu, &wrong, &filter, None).is_err(), "{name}");
        let weights = ConvWeightsF32::new(cpu, &shape, &filter, None).unwrap();
        assert!(ConvF32::new(wrong, weights).is_err(), "{name}");
    }
    let conv = ConvF32::new(shape, ConvWeightsF32::new(cpu, &shape, &filter, None).unwrap()).unwrap();
    let run = |input, out, scratch: usize| {
        let (input, mut out, mut scratch) = (vec![0.0; input], vec![0.0; out], vec![0.0; scratch]);
        conv.run(&input, &mut out, &mut scratch, &Activation::RELU.into(), Par::serial())
    };
    let scratch = conv.scratch_bytes(Par::serial()) / 4;
    assert_eq!(run(64, 96, scratch), Ok(()));
    assert!(run(63, 96, scratch).is_err(), "short input");
    assert!(run(64, 95, scratch).is_err(), "short output");
    assert!(run(64, 96, scratch - 1).is_err(), "short scratch");
}

#[test]
fn gates_multiply_as_they_do_before_the_product() {
    let conv = ConvShape::conv2d;
    // Name, shape, whether each image has gates of its own, values from a pixel of the output to the next.
    let rows = [
        ("one channel", conv(1, [3, 5], 1, 1, [1, 1]), false, 1),
        ("less than a vector", conv(1, [4, 4], 3, 20, [1, 1]), false, 20),
        ("vectors and a rest", conv(1, [5, 6], 37, 33, [1, 1]), false, 33),
        ("a single pixel", conv(1, [1, 1], 64, 9, [1, 1]), false, 9),
        ("one gate for all images", conv(3, [3, 3], 40, 24, [1, 1]), false, 24),
        ("a gate for each image", conv(3, [3, 3], 40, 24, [1, 1]), true, 24),
        ("a tile that reaches into the third image", conv(5, [2, 3], 17, 8, [1, 1]), true, 8),
        ("groups", conv(2, [4, 3], 24, 12, [1, 1]).groups(3), true, 12),
        ("apart", conv(1, [5, 5], 18, 10, [1, 1]), false, 23),
        ("rows for each thread", conv(1, [28, 28], 40, 40, [1, 1]), false, 40),
        ("columns for each thread", conv(1, [7, 7], 96, 320, [1, 1]), false, 320),
        ("no images", conv(0, [2, 2], 4, 4, [1, 1]), true, 4),
        ("no channels", conv(2, [2, 2], 0, 4, [1, 1]), true, 4),
    ];
    let mut wrong = Vec::new();
    for (case, (name, shape, own, step)) in rows.into_iter().enumerate() {
        let pixels = len(shape.batch, shape.input, 1);
        let (channels, image) = (shape.in_channels, shape.input.iter().product::<usize>());
        let input = noise(pixels * channels, 1);
        let gates = noise(if own { shape.batch } else { 1 } * channels, 2);
        let gate =
            |i: usize| if own { i / (image * channels) * channels + i % channels } else { i % channels };
        let gated: Vec<f32> = input.iter().enumerate().map(|(i, x)| x * gates[gate(i)]).collect();
        let filter = noise(shape.out_channels * channels / shape.groups, 3);
        let out_len = if pixels == 0 { 0 } else { (pixels - 1) * step + shape.out_channels };
        let residual = noise(out_len, 4);
        let residual = (case % 2 == 1).then_some(&residual[..]);
        let epilogue = Epilogue { activation: ACTIVATIONS[case % ACTIVATIONS.len()], residual };
        for cpu in Cpu::all() {
            let weights = ConvWeightsF32::new(cpu, &shape, &filter, None).unwrap();
            let conv = ConvF32::new(shape, weights).unwrap().spaced(step).unwrap();
            let mut want = vec![7.0; out_len];
            conv.run(&gated, &mut want, &mut [], &epilogue, Par::serial()).unwrap();
            let conv = conv.gated().unwrap();
            for threads in [1, 2, 4] {
                let (mut out, par) = (vec![7.0; out_len], Par::new(threads));
                let mut scratch = vec![f32::NAN; conv.scratch_bytes(par) / 4];
                conv.run_gated(&input, &gates, &mut out, &mut scratch, &epilogue, par).unwrap();
                if out.iter().zip(&want).any(|(got, want)| got.to_bits() != want.to_bits()) {
                    wrong.push(format!("{name} {} on {threads} threads", conv.name()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn gates_that_do_not_fit_are_refused() {
    let cpu = Cpu::detect();
    let ready = |shape: ConvShape| {
        let filter = vec![0.5; shape.taps() * shape.in_channels * shape.out_channels];
        ConvF32::new(shape, ConvWeightsF32::new(cpu, &shape, &filter, None).unwrap()).unwrap()
    };
    let conv = ready(ConvShape::conv2d(2, [2, 2], 3, 4, [1, 1])).gated().unwrap();
    let mut scratch = vec![0.0; conv.scratch_bytes(Par::serial()) / 4];
    for (gates, fits) in [(3, true), (6, true), (0, false), (4, false), (9, false)] {
        let gates = vec![1.0; gates];
        let mut out = [0.0; 32];
        let done =
            conv.run_gated(&[1.0; 24], &gates, &mut out, &mut scratch, &Epilogue::default(), Par::serial());
        assert_eq!(done.is_ok(), fits, "{} gates", gates.len());
    }
    for shape in [
        ConvShape::conv2d(1, [3, 3], 3, 4, [3, 3]),
        ConvShape::conv2d(1, [3, 3], 3, 4, [1, 1]).stride([2, 2]),
        ConvShape::conv2d(1, [3, 3], 3, 4, [1, 1]).pad([1, 0, 0, 0]),
    ] {
        assert!(ready(shape).gated().is_err(), "{shape:?}");
    }
}

/// Convolutions of 3 x 3 by Winograd's method: what differs is channels, edges, padding and images.
fn winograd_cases() -> Vec<(&'static str, ConvShape)> {
    let conv = |batch, size, inputs, outputs| ConvShape::conv2d(batch, size, inputs, outputs, [3, 3]);
    vec![
        ("same", conv(1, [14, 14], 32, 32).pad([1; 4])),
        ("valid", conv(1, [16, 17], 64, 48)),
        ("odd lines and columns", conv(1, [13, 15], 32, 80).pad([1; 4])),
        ("images", conv(3, [7, 8], 48, 32).pad([1; 4])),
        ("padded unevenly", conv(1, [12, 13], 32, 64).pad([2, 0, 1, 2])),
        ("more padding than a tile", conv(1, [9, 10], 32, 32).pad([3, 4, 3, 4])),
        ("one line of tiles", conv(1, [2, 90], 32, 32).pad([1; 4])),
        ("several blocks", conv(1, [30, 28], 96, 32).pad([1; 4])),
    ]
}

#[test]
fn winograd_matches_plain_loops() {
    let mut wrong = Vec::new();
    for (case, (name, shape)) in winograd_cases().into_iter().enumerate() {
        let k = shape.taps() * shape.in_channels;
        let input = noise(len(shape.batch, shape.input, shape.in_channels), 1);
        let filter = noise(shape.out_channels * k, 2);
        let bias = noise(shape.out_channels, 3);
        let bias = (case % 2 == 0).then_some(&bias[..]);
        let sums = reference::conv(&args(&shape), &input, &filter, bias);
        for cpu in Cpu::all() {
            let weights = WinogradWeightsF32::new(cpu, &shape, &filter[..], bias).unwrap();
            let conv = WinogradF32::new(shape, weights).unwrap();
            wrong.extend(judge(&format!("{name}, {}", conv.name()), case, k, &sums, |out, epilogue, par| {
                let mut scratch = vec![f32::NAN; conv.scratch_bytes(par) / 4];
                conv.run(&input, out, &mut scratch, epilogue, par).unwrap();
            }));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn winograd_writes_its_part_of_each_pixel() {
    let shape = ConvShape::conv2d(1, [14, 15], 32, 32, [3, 3]).pad([1; 4]);
    let (input, filter) = (noise(14 * 15 * 32, 1), noise(32 * 9 * 32, 2));
    for cpu in Cpu::all() {
        let weights = WinogradWeightsF32::new(cpu, &shape, &filter[..], None).unwrap();
        let dense = WinogradF32::new(shape, weights).unwrap();
        let spaced = dense.clone().spaced(40).unwrap();
        let run = |conv: &WinogradF32, len: usize| {
            let (mut out, mut scratch) = (vec![7.0; len], vec![0.0; conv.scratch_bytes(Par::serial()) / 4]);
            conv.run(&input, &mut out, &mut scratch, &Epilogue::default(), Par::serial()).unwrap();
            out
        };
        let (dense, spaced) = (run(&dense, 14 * 15 * 32), run(&spaced, 14 * 15 * 40));
        for (pixel, spaced) in dense.chunks_exact(32).zip(spaced.chunks_exact(40)) {
            assert_eq!(pixel, &spaced[..32], "{}", cpu.name());
            assert_eq!(spaced[32..], [7.0; 8], "{}", cpu.name());
        }
    }
}

#[test]
fn winograd_is_for_large_images_and_many_channels() {
    let conv =
        |size, inputs, outputs| ConvShape::conv2d(1, [size, size], inputs, outputs, [3, 3]).pad([1; 4]);
    let same = conv(28, 128, 128);
    for (name, shape, want) in [
        ("a layer of ResNet", same, true),
        ("few tiles", conv(3, 512, 512), false),
        ("few channels", conv(112, 16, 16), false),
        ("a first layer", conv(224, 3, 32), false),
        ("channels that leave a part of a vector", conv(28, 58, 64), false),
        ("stride", same.stride([2, 2]), false),
        ("dilation", same.dilation([2, 2]), false),
        ("groups", same.groups(2), false),
        ("another filter", ConvShape { kernel: [1, 5, 5], ..same }, false),
        ("three dimensions", ConvShape { kernel: [3, 3, 3], input: [28; 3], ..same }, false),
        ("an inconsistent shape", ConvShape { groups: 3, ..same }, false),
    ] {
        for cpu in Cpu::all() {
            assert_eq!(WinogradF32::pays(cpu, &shape), want, "{name}, {}", cpu.name());
        }
    }
}
