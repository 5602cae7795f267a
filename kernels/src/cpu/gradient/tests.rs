//! Gradients against finite differences of plain forward computations.

use super::activation::Gradient;
use super::norm::{moments, normalize, normalize_grad};
use super::*;
use crate::cpu::float::conv::ConvShape;
use crate::isa::Cpu;
use crate::par::Par;
use crate::testing::noise;

/// The derivative of `sum(weights * f(x))` by every element of `x`, by central differences in double precision.
fn differences(x: &[f32], weights: &[f32], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f32> {
    const STEP: f64 = 1e-5;
    let mut x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
    let total = |x: &[f64]| f(x).iter().zip(weights).map(|(y, &w)| y * f64::from(w)).sum::<f64>();
    (0..x.len())
        .map(|i| {
            let at = x[i];
            x[i] = at + STEP;
            let above = total(&x);
            x[i] = at - STEP;
            let below = total(&x);
            x[i] = at;
            ((above - below) / (2.0 * STEP)) as f32
        })
        .collect()
}

fn check(name: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{name}");
    // Gradients near zero are differences of numbers near one (1 - y² of a saturated tanh), and as good as those.
    let range = want.iter().fold(1e-2f32, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= 2e-5 * range, "{name}: element {i} is {g}, want {w}");
    }
}

type Forward = fn(f64) -> f64;

#[test]
fn activations() {
    // Name, gradient, whether it keeps the result, the forward function, the least argument it is defined for.
    let rows: [(&str, Gradient, bool, Forward, f32); 12] = [
        ("relu", Gradient::Relu, false, |x| x.max(0.0), -3.0),
        ("relu6", Gradient::Relu6, false, |x| x.clamp(0.0, 6.0), -3.0),
        ("leaky", Gradient::LeakyRelu { alpha: 0.25 }, false, |x| if x > 0.0 { x } else { 0.25 * x }, -3.0),
        ("elu", Gradient::Elu, true, |x| if x > 0.0 { x } else { x.exp_m1() }, -3.0),
        (
            "selu",
            Gradient::Selu,
            true,
            |x| if x > 0.0 { 1.050_700_987_355_480_5 * x } else { 1.758_099_340_847_376_6 * x.exp_m1() },
            -3.0,
        ),
        ("softplus", Gradient::Softplus, false, |x| x.exp().ln_1p(), -3.0),
        ("softsign", Gradient::Softsign, false, |x| x / (1.0 + x.abs()), -3.0),
        ("tanh", Gradient::Tanh, true, f64::tanh, -3.0),
        ("sigmoid", Gradient::Sigmoid, true, |x| 1.0 / (1.0 + (-x).exp()), -3.0),
        ("sqrt", Gradient::Sqrt, true, f64::sqrt, 0.5),
        ("rsqrt", Gradient::Rsqrt, true, |x| 1.0 / x.sqrt(), 0.5),
        ("reciprocal", Gradient::Reciprocal, true, |x| 1.0 / x, 0.5),
    ];
    for (name, gradient, keeps_result, forward, least) in rows {
        for cpu in Cpu::all() {
            for len in [0, 1, 37, 1000] {
                let x: Vec<f32> = noise(len, 3).iter().map(|v| least + (v + 1.0) * 4.0 + 1e-3).collect();
                let dy = noise(len, 4);
                let kept = if keeps_result {
                    x.iter().map(|&v| forward(v.into()) as f32).collect()
                } else {
                    x.clone()
                };
                let mut out = vec![0.0; len];
                gradient.run(cpu, &kept, &dy, &mut out, Par::serial());
                let want: Vec<f32> = x
                    .iter()
                    .zip(&dy)
                    .map(|(&x, &g)| {
                        let x = f64::from(x);
                        ((forward(x + 1e-6) - forward(x - 1e-6)) / 2e-6 * f64::from(g)) as f32
                    })
                    .collect();
                check(&format!("{name} on {}", cpu.name()), &out, &want);
            }
        }
    }
}

/// A plain convolution in double precision.
fn conv(shape: &ConvShape, x: &[f64], w: &[f64]) -> Vec<f64> {
    let out = shape.output().unwrap();
    let (icg, ocg) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
    let mut y = Vec::new();
    for n in 0..shape.batch {
        for o in positions(out) {
            for oc in 0..shape.out_channels {
                let mut sum = 0.0;
                for (t, tap) in positions(shape.kernel).enumerate() {
                    let at: Option<Vec<usize>> = (0..3)
                        .map(|a| {
                            (o[a] * shape.stride[a] + tap[a] * shape.dilation[a])
                                .checked_sub(shape.pad_before[a])
                                .filter(|&i| i < shape.input[a])
                        })
                        .collect();
                    let Some(at) = at else { continue };
                    let pixel =
                        ((n * shape.input[0] + at[0]) * shape.input[1] + at[1]) * shape.input[2] + at[2];
                    for ic in 0..icg {
                        sum += x[pixel * shape.in_channels + oc / ocg * icg + ic]
                            * w[(t * icg + ic) * shape.out_channels + oc];
                    }
                }
                y.push(sum);
            }
        }
    }
    y
}

fn positions(size: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..size[0]).flat_map(move |z| (0..size[1]).flat_map(move |y| (0..size[2]).map(move |x| [z, y, x])))
}

#[test]
fn convolutions() {
    let rows = [
        ("plain", ConvShape::conv2d(2, [5, 4], 3, 2, [3, 3])),
        ("one by one", ConvShape::conv2d(1, [3, 3], 2, 5, [1, 1])),
        ("padded", ConvShape::conv2d(1, [5, 5], 2, 3, [3, 3]).pad([1, 1, 1, 1])),
        ("strided", ConvShape::conv2d(2, [6, 7], 2, 3, [3, 2]).stride([2, 3]).pad([0, 1, 1, 0])),
        ("dilated", ConvShape::conv2d(1, [7, 7], 2, 2, [3, 3]).dilation([2, 2])),
        ("grouped", ConvShape::conv2d(1, [4, 4], 4, 6, [3, 3]).groups(2)),
        ("many channels", ConvShape::conv2d(1, [3, 3], 17, 33, [2, 2])),
        (
            "three axes",
            ConvShape { input: [3, 4, 3], kernel: [2, 2, 2], ..ConvShape::conv2d(1, [4, 3], 2, 3, [2, 2]) },
        ),
        ("more positions than a block", ConvShape::conv2d(1, [25, 26], 1, 1, [2, 2])),
        ("rows of several taps in a tile", ConvShape::conv2d(1, [4, 6], 7, 20, [2, 5]).pad([1, 2, 0, 2])),
        (
            "dilated and grouped",
            ConvShape::conv2d(2, [6, 8], 4, 4, [2, 3]).dilation([1, 2]).groups(2).pad([0, 2, 1, 1]),
        ),
        ("filter wider than the image", ConvShape::conv2d(1, [3, 2], 1, 2, [3, 5]).pad([1, 3, 1, 2])),
    ];
    for (name, shape) in rows {
        let [d, h, w] = shape.output().unwrap();
        let filter_len =
            shape.kernel.iter().product::<usize>() * shape.in_channels / shape.groups * shape.out_channels;
        let x = noise(shape.batch * shape.input.iter().product::<usize>() * shape.in_channels, 1);
        let filter = noise(filter_len, 2);
        let dy = noise(shape.batch * d * h * w * shape.out_channels, 3);
        let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let (x64, f64s) = (wide(&x), wide(&filter));
        let want_filter = differences(&filter, &dy, |f| conv(&shape, &x64, f));
        let want_input = differences(&x, &dy, |x| conv(&shape, x, &f64s));
        for cpu in Cpu::all() {
            for threads in [1, 3] {
                let par = Par::new(threads);
                let grad = ConvFilterGrad::new(cpu, shape).unwrap();
                let mut out = vec![0.0; filter_len];
                grad.run(&x, &dy, &mut out, par).unwrap();
                check(&format!("{name}: filter on {}", cpu.name()), &out, &want_filter);
                let grad = ConvInputGrad::new(cpu, shape).unwrap();
                let mut out = vec![0.0; x.len()];
                let mut scratch = vec![f32::NAN; grad.scratch_len()];
                grad.run(&filter, &dy, &mut out, &mut scratch, par).unwrap();
                check(&format!("{name}: input on {}", cpu.name()), &out, &want_input);
                assert!(
                    grad.run(&filter[1..], &dy, &mut out, &mut scratch, par).is_err(),
                    "{name}: short filter"
                );
            }
        }
    }
}

#[test]
fn depthwise_convolutions() {
    let rows = [
        ("plain", [5, 4], 3, 1, [3, 3], [1, 1], [1, 1], [0, 0]),
        ("multiplied", [5, 5], 2, 3, [2, 3], [1, 1], [1, 1], [0, 1]),
        ("strided", [6, 6], 3, 1, [3, 3], [2, 2], [1, 1], [0, 0]),
        ("dilated", [7, 6], 2, 2, [3, 2], [1, 1], [2, 2], [1, 0]),
    ];
    for (name, input, channels, multiplier, kernel, stride, dilation, pad_before) in rows {
        let out =
            |a: usize| (input[a] + 2 * pad_before[a] - (kernel[a] - 1) * dilation[a] - 1) / stride[a] + 1;
        let output = [out(0), out(1)];
        let shape = DepthwiseGradShape {
            batch: 2,
            input,
            channels,
            multiplier,
            output,
            kernel,
            stride,
            dilation,
            pad_before,
        };
        // A depthwise convolution is one of as many groups as there are channels.
        let full = ConvShape::conv2d(2, input, channels, channels * multiplier, kernel)
            .stride(stride)
            .dilation(dilation)
            .pad([pad_before[0], pad_before[1], pad_before[0], pad_before[1]])
            .groups(channels);
        assert_eq!(full.output().unwrap(), [1, output[0], output[1]], "{name}");
        let x = noise(2 * input[0] * input[1] * channels, 1);
        let filter = noise(kernel[0] * kernel[1] * channels * multiplier, 2);
        let dy = noise(2 * output[0] * output[1] * channels * multiplier, 3);
        let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let (x64, f64s) = (wide(&x), wide(&filter));
        let want_filter = differences(&filter, &dy, |f| conv(&full, &x64, f));
        let want_input = differences(&x, &dy, |x| conv(&full, x, &f64s));
        for cpu in Cpu::all() {
            let mut got = vec![0.0; filter.len()];
            depthwise_filter_grad(cpu, &shape, &x, &dy, &mut got, Par::new(2)).unwrap();
            check(&format!("{name}: filter"), &got, &want_filter);
            let mut got = vec![0.0; x.len()];
            depthwise_input_grad(cpu, &shape, &filter, &dy, &mut got, Par::new(2)).unwrap();
            check(&format!("{name}: input"), &got, &want_input);
        }
    }
}

#[test]
fn pools() {
    let shape = |input: [usize; 3], window: [usize; 3], stride: [usize; 3], pad: [usize; 3]| PoolShape {
        batch: 2,
        input,
        output: core::array::from_fn(|a| (input[a] + 2 * pad[a] - window[a]) / stride[a] + 1),
        channels: 3,
        window,
        stride,
        pad_before: pad,
    };
    let rows = [
        ("halves", shape([1, 4, 4], [1, 2, 2], [1, 2, 2], [0; 3])),
        ("overlapping", shape([1, 5, 6], [1, 3, 3], [1, 1, 2], [0, 1, 1])),
        ("three axes", shape([3, 4, 4], [2, 2, 3], [1, 2, 1], [0; 3])),
    ];
    for (name, shape) in rows {
        let input_len = 2 * shape.input.iter().product::<usize>() * 3;
        let output_len = 2 * shape.output.iter().product::<usize>() * 3;
        // Further apart than the steps are wide: no step changes which element is the greatest.
        let (order, dy) = (noise(input_len, 5), noise(output_len, 6));
        let mut ranks: Vec<usize> = (0..input_len).collect();
        ranks.sort_by(|&a, &b| order[a].total_cmp(&order[b]));
        let mut x = vec![0f32; input_len];
        for (rank, &at) in ranks.iter().enumerate() {
            x[at] = 2.0 * rank as f32 / input_len as f32 - 1.0;
        }
        let run = |x: &[f64], average: bool| {
            let x: Vec<f32> = x.iter().map(|&v| v as f32).collect();
            let mut y = vec![0.0; output_len];
            let pool = if average { average_pool } else { max_pool };
            pool(&shape, &x, &mut y, Par::serial()).unwrap();
            y.into_iter().map(f64::from).collect::<Vec<f64>>()
        };
        // The forward pass is in single precision: wider steps, looser bounds.
        let by_steps = |average: bool| -> Vec<f32> {
            const STEP: f64 = 1e-3;
            let mut x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            (0..x.len())
                .map(|i| {
                    let at = x[i];
                    x[i] = at + STEP;
                    let above = run(&x, average);
                    x[i] = at - STEP;
                    let below = run(&x, average);
                    x[i] = at;
                    let slope = above.iter().zip(&below).zip(&dy).map(|((a, b), &g)| (a - b) * f64::from(g));
                    (slope.sum::<f64>() / (2.0 * STEP)) as f32
                })
                .collect()
        };
        let near = |what: &str, got: &[f32], want: &[f32]| {
            for (i, (g, w)) in got.iter().zip(want).enumerate() {
                assert!((g - w).abs() < 2e-3, "{name} {what}: element {i} is {g}, want {w}");
            }
        };
        let mut out = vec![0.0; input_len];
        average_pool_grad(&shape, &dy, &mut out, Par::new(2)).unwrap();
        near("average", &out, &by_steps(true));
        let want = by_steps(false);
        for cpu in Cpu::all() {
            max_pool_grad(cpu, &shape, &x, &dy, &mut out, Par::new(2)).unwrap();
            near(&format!("maximum on {}", cpu.name()), &out, &want);
        }
    }
    // Of equal elements the first gets the gradient.
    let shape = shape([1, 2, 2], [1, 2, 2], [1, 1, 1], [0; 3]);
    let mut out = vec![9.0; 24];
    for cpu in Cpu::all() {
        max_pool_grad(cpu, &shape, &[1.0; 24], &[1.0; 6], &mut out, Par::serial()).unwrap();
        assert_eq!(out[..6], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0], "{}", cpu.name());
    }
}

#[test]
fn batch_norm() {
    const C: usize = 3;
    let (x, dy) = (noise(5 * C, 1), noise(5 * C, 2));
    let (scale, offset) = (noise(C, 3), noise(C, 4));
    let epsilon = 1e-2;
    let forward = |x: &[f64], scale: &[f64], offset: &[f64]| -> Vec<f64> {
        let rows = x.len() / C;
        let mut y = vec![0.0; x.len()];
        for c in 0..C {
            let column: Vec<f64> = x.iter().skip(c).step_by(C).copied().collect();
            let mean = column.iter().sum::<f64>() / rows as f64;
            let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / rows as f64;
            for (r, v) in column.iter().enumerate() {
                y[r * C + c] = (v - mean) / (variance + f64::from(epsilon)).sqrt() * scale[c] + offset[c];
            }
        }
        y
    };
    let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let (x64, s64, o64) = (wide(&x), wide(&scale), wide(&offset));
    let (mut mean, mut variance) = (vec![0.0; C], vec![0.0; C]);
    moments(&x, &mut mean, &mut variance).unwrap();
    let mut y = vec![0.0; x.len()];
    normalize(&x, [&scale, &offset, &mean, &variance], epsilon, &mut y).unwrap();
    let want: Vec<f32> = forward(&x64, &s64, &o64).into_iter().map(|v| v as f32).collect();
    check("forward", &y, &want);
    let (mut dx, mut ds, mut d_offset) = (vec![0.0; x.len()], vec![0.0; C], vec![0.0; C]);
    let outputs = [&mut dx[..], &mut ds[..], &mut d_offset[..]];
    normalize_grad([&x, &dy], [&scale, &mean, &variance], epsilon, true, outputs).unwrap();
    check("input", &dx, &differences(&x, &dy, |x| forward(x, &s64, &o64)));
    check("scale", &ds, &differences(&scale, &dy, |s| forward(&x64, s, &o64)));
    check("offset", &d_offset, &differences(&offset, &dy, |o| forward(&x64, &s64, o)));
}

#[test]
fn optimizers_go_downhill() {
    use super::optimizer::Rule;
    let rules = [
        Rule::GradientDescent { lr: 0.1 },
        Rule::Momentum { lr: 0.02, momentum: 0.8, nesterov: true },
        Rule::KerasMomentum { lr: 0.02, momentum: 0.8, nesterov: false },
        Rule::Adam { alpha: 0.05, beta1: 0.9, beta2: 0.99, epsilon: 1e-7, nesterov: false },
        Rule::AmsGrad { alpha: 0.05, beta1: 0.9, beta2: 0.99, epsilon: 1e-7 },
        Rule::AdaMax { alpha: 0.05, beta1: 0.9, beta2: 0.99, epsilon: 1e-7 },
        Rule::Adagrad { lr: 0.3, epsilon: 1e-7, update: true },
        Rule::Adadelta { lr: 0.5, rho: 0.9, epsilon: 1e-6 },
        Rule::RmsProp { lr: 0.02, rho: 0.9, momentum: 0.5, epsilon: 1e-7 },
        Rule::CenteredRmsProp { lr: 0.01, rho: 0.9, momentum: 0.5, epsilon: 1e-3 },
        Rule::Ftrl { lr: 0.5, l1: 0.0, l2: 0.0, shrinkage: 0.0, power: -0.5 },
        Rule::PowerSign { lr: 0.05, log_base: 1.0, decay: 0.9, beta: 0.9 },
        Rule::AddSign { lr: 0.05, alpha: 1.0, decay: 0.9, beta: 0.9 },
        Rule::ProximalGradientDescent { lr: 0.1, l1: 0.0, l2: 0.0 },
        Rule::ProximalAdagrad { lr: 0.3, l1: 0.0, l2: 0.0 },
    ];
    for rule in rules {
        for cpu in Cpu::all() {
            let target = noise(19, 7);
            let mut variable = vec![0.0; 19];
            let mut slots = [vec![0.1; 19], vec![0.1; 19], vec![0.1; 19]];
            if matches!(rule, Rule::Ftrl { .. } | Rule::RmsProp { .. }) {
                slots[1].fill(0.0);
            }
            let distance = |v: &[f32]| v.iter().zip(&target).map(|(v, t)| (v - t).powi(2)).sum::<f32>();
            let before = distance(&variable);
            for _ in 0..100 {
                let gradient: Vec<f32> = variable.iter().zip(&target).map(|(v, t)| v - t).collect();
                let [a, b, c] = &mut slots;
                rule.step(cpu, &mut variable, [a, b, c], &gradient);
            }
            assert!(distance(&variable) < 0.25 * before, "{rule:?}: {before} -> {}", distance(&variable));
        }
    }
}
