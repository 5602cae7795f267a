//! Every gradient operator against central differences of its forward function.

use super::forward::{Padding, Resize, Window, batch_norm, cross_entropy, mirror_pad, moments};
use super::support::{Attr, f32s, i32s, noise, run};
use ferrolite_flex::TABLE;
use ferrolite_ops::{OpKey, TensorType, TensorValue};

/// A tensor of exact float32 numbers.
type Tensor = (Vec<usize>, Vec<f32>);
type Forward = Box<dyn Fn(&[Vec<f64>]) -> Vec<f64>>;
type Operands = Box<dyn Fn(&Given) -> Vec<TensorValue>>;

/// What an operator's inputs are made of.
struct Given {
    /// The forward function's arguments.
    arguments: Vec<TensorValue>,
    /// Its result.
    y: TensorValue,
    /// The gradient of the result.
    dy: TensorValue,
}

struct Row {
    op: &'static str,
    /// What is special about it.
    name: String,
    attrs: Vec<Attr>,
    arguments: Vec<Tensor>,
    forward: Forward,
    /// Shape of the forward function's result.
    result: Vec<usize>,
    operands: Operands,
    /// How many outputs the operator has.
    outputs: usize,
    /// Which output is the gradient of which argument.
    gradients: Vec<(usize, usize)>,
}

/// Whether an operator's name says that it computes a gradient.
fn is_gradient(name: &str) -> bool {
    let rule = name.contains("Apply");
    let shapes = name == "FlexBroadcastGradientArgs";
    !rule && !shapes && ["Grad", "Backprop", "CrossEntropy"].iter().any(|word| name.contains(word))
}

fn random(shape: &[usize], seed: u32) -> Tensor {
    (shape.to_vec(), noise(shape.iter().product(), seed))
}

fn value((shape, values): &Tensor) -> TensorValue {
    f32s(shape, values)
}

fn sizes(shape: &[usize]) -> TensorValue {
    i32s(&shape.iter().map(|&d| d as i32).collect::<Vec<_>>())
}

/// For a function of one number: the operator takes its argument or its result, and the gradient, in the order that the
/// operator is defined with.
fn activations() -> Vec<Row> {
    /// Operands of the operator.
    #[derive(Clone, Copy)]
    enum Takes {
        GradientAndArgument,
        GradientAndResult,
        ResultAndGradient,
    }
    use Takes::{GradientAndArgument, GradientAndResult, ResultAndGradient};
    const ALPHA: f64 = 1.673_263_242_354_377_3;
    const SCALE: f64 = 1.050_700_987_355_480_5;
    type Function = fn(f64) -> f64;
    let all: &[f32] = &[-9.0, -3.125, -1.25, -0.375, -0.0625, 0.0625, 0.375, 1.5, 2.75, 5.875, 6.25, 8.5];
    let above: &[f32] = &[0.0625, 0.25, 0.75, 1.0, 1.5, 3.25, 9.0, 20.0, 100.0];
    let apart: &[f32] = &[-8.0, -2.5, -0.75, -0.25, 0.25, 0.5, 1.25, 3.0, 16.0];
    let rows: [(&str, Takes, &[f32], Function); 13] = [
        ("ReluGrad", GradientAndArgument, all, |x| x.max(0.0)),
        ("Relu6Grad", GradientAndArgument, all, |x| x.clamp(0.0, 6.0)),
        ("LeakyReluGrad", GradientAndArgument, all, |x| if x > 0.0 { x } else { 0.3125 * x }),
        ("EluGrad", GradientAndResult, all, |x| if x < 0.0 { x.exp_m1() } else { x }),
        ("SeluGrad", GradientAndResult, all, |x| SCALE * if x < 0.0 { ALPHA * x.exp_m1() } else { x }),
        ("SoftplusGrad", GradientAndArgument, all, |x| x.exp().ln_1p()),
        ("SoftsignGrad", GradientAndArgument, all, |x| x / (1.0 + x.abs())),
        ("TanhGrad", ResultAndGradient, all, f64::tanh),
        ("SigmoidGrad", ResultAndGradient, all, |x| 1.0 / (1.0 + (-x).exp())),
        ("SqrtGrad", ResultAndGradient, above, f64::sqrt),
        ("RsqrtGrad", ResultAndGradient, above, |x| 1.0 / x.sqrt()),
        ("ReciprocalGrad", ResultAndGradient, apart, |x| 1.0 / x),
        ("InvGrad", ResultAndGradient, apart, |x| 1.0 / x),
    ];
    let row = |(op, takes, points, function): (&'static str, Takes, &[f32], Function)| Row {
        op,
        name: String::new(),
        attrs: if op == "LeakyReluGrad" { vec![Attr::Float("alpha", 0.3125)] } else { vec![] },
        arguments: vec![(vec![points.len()], points.to_vec())],
        forward: Box::new(move |a| a[0].iter().map(|&x| function(x)).collect()),
        result: vec![points.len()],
        operands: Box::new(move |given| match takes {
            GradientAndArgument => vec![given.dy.clone(), given.arguments[0].clone()],
            GradientAndResult => vec![given.dy.clone(), given.y.clone()],
            ResultAndGradient => vec![given.y.clone(), given.dy.clone()],
        }),
        outputs: 1,
        gradients: vec![(0, 0)],
    };
    rows.map(row).into()
}

/// A window's attributes for `rank` spatial axes.
fn window_attrs(window: &Window, rank: usize, kernel: bool) -> Vec<Attr> {
    let list = |spatial: [usize; 3]| {
        let spatial = spatial[3 - rank..].iter().map(|&s| s as i64);
        [1].into_iter().chain(spatial).chain([1]).collect::<Vec<i64>>()
    };
    let mut attrs = vec![Attr::Ints("strides", list(window.stride))];
    attrs.push(if kernel {
        Attr::Ints("ksize", list(window.kernel))
    } else {
        Attr::Ints("dilations", list(window.dilation))
    });
    attrs.push(Attr::Text(
        "padding",
        match window.padding {
            Padding::Same => "SAME",
            Padding::Valid => "VALID",
            Padding::Explicit(_) => "EXPLICIT",
        },
    ));
    if let Padding::Explicit(pads) = window.padding {
        let spatial = pads[3 - rank..].iter().flat_map(|&(a, b)| [a as i64, b as i64]);
        attrs
            .push(Attr::Ints("explicit_paddings", [0, 0].into_iter().chain(spatial).chain([0, 0]).collect()));
    }
    attrs
}

fn image(height: usize, width: usize, channels: usize, kernel: [usize; 2], padding: Padding) -> Window {
    Window {
        batch: 2,
        input: [1, height, width],
        channels,
        kernel: [1, kernel[0], kernel[1]],
        stride: [1; 3],
        dilation: [1; 3],
        padding,
    }
}

fn volume(kernel: [usize; 3], stride: [usize; 3], padding: Padding) -> Window {
    Window { batch: 2, input: [4, 5, 3], channels: 2, kernel, stride, dilation: [1; 3], padding }
}

/// The rows of the gradients with respect to input and filter.
fn with_filter(
    ops: [&'static str; 2],
    name: &str,
    window: Window,
    rank: usize,
    filter: &[usize],
    outputs: usize,
    forward: impl Fn(&[f64], &[f64]) -> Vec<f64> + Clone + 'static,
) -> Vec<Row> {
    let input = window.input_shape(rank);
    let row = |of: usize| {
        let forward = forward.clone();
        let known = sizes(if of == 0 { &input } else { filter });
        Row {
            op: ops[of],
            name: name.to_owned(),
            attrs: window_attrs(&window, rank, false),
            arguments: vec![random(&input, 1), random(filter, 2)],
            forward: Box::new(move |a| forward(&a[0], &a[1])),
            result: window.output_shape(rank, outputs),
            operands: Box::new(move |given| {
                let mut operands = given.arguments.clone();
                operands[of] = known.clone();
                operands.push(given.dy.clone());
                operands
            }),
            outputs: 1,
            gradients: vec![(0, of)],
        }
    };
    vec![row(0), row(1)]
}

fn convolutions() -> Vec<Row> {
    let explicit = Padding::Explicit([(0, 0), (2, 1), (0, 1)]);
    let strided = |w: Window, stride: usize| Window { stride: [1, stride, stride], ..w };
    let dilated = Window { dilation: [1, 2, 2], ..image(7, 6, 2, [3, 2], Padding::Valid) };
    let rows: &[(&str, Window, usize, usize)] = &[
        ("valid", image(5, 6, 3, [3, 2], Padding::Valid), 4, 1),
        ("same", image(5, 6, 3, [3, 4], Padding::Same), 4, 1),
        ("explicit", image(5, 6, 3, [3, 2], explicit), 4, 1),
        ("strides", strided(image(7, 6, 3, [3, 2], Padding::Same), 2), 4, 1),
        ("strides, rest left out", strided(image(8, 6, 3, [3, 3], Padding::Valid), 3), 5, 1),
        ("dilated", dilated, 4, 1),
        ("dilated, same", Window { padding: Padding::Same, ..dilated }, 17, 1),
        ("pointwise", image(5, 6, 7, [1, 1], Padding::Valid), 9, 1),
        ("groups", image(5, 5, 4, [3, 3], Padding::Same), 6, 2),
    ];
    const FLAT: [&str; 2] = ["Conv2DBackpropInput", "Conv2DBackpropFilter"];
    const DEEP: [&str; 2] = ["Conv3DBackpropInputV2", "Conv3DBackpropFilterV2"];
    const DEPTHWISE: [&str; 2] =
        ["DepthwiseConv2dNativeBackpropInput", "DepthwiseConv2dNativeBackpropFilter"];
    let mut all = Vec::new();
    for &(name, window, outputs, groups) in rows {
        let [_, h, w] = window.kernel;
        let filter = [h, w, window.channels / groups, outputs];
        let forward = move |x: &[f64], f: &[f64]| window.convolution(x, f, outputs, groups);
        all.extend(with_filter(FLAT, name, window, 2, &filter, outputs, forward));
    }
    for (name, window) in [
        ("valid", volume([2, 3, 2], [1; 3], Padding::Valid)),
        ("same, strides", volume([3, 2, 2], [2, 1, 2], Padding::Same)),
    ] {
        let filter = [&window.kernel[..], &[2, 3]].concat();
        let forward = move |x: &[f64], f: &[f64]| window.convolution(x, f, 3, 1);
        all.extend(with_filter(DEEP, name, window, 3, &filter, 3, forward));
    }
    for (name, window, multiplier) in [
        ("valid", image(5, 6, 3, [3, 2], Padding::Valid), 1),
        ("same", image(5, 6, 17, [3, 3], Padding::Same), 1),
        ("explicit", image(5, 6, 3, [3, 2], explicit), 2),
        ("strides", strided(image(7, 6, 5, [3, 3], Padding::Same), 2), 1),
        ("multiplier", image(5, 6, 3, [3, 3], Padding::Same), 3),
        ("dilated", dilated, 2),
    ] {
        let [_, h, w] = window.kernel;
        let filter = [h, w, window.channels, multiplier];
        let forward = move |x: &[f64], f: &[f64]| window.depthwise(x, f, multiplier);
        all.extend(with_filter(DEPTHWISE, name, window, 2, &filter, window.channels * multiplier, forward));
    }
    all
}

fn pools() -> Vec<Row> {
    let strided = |w: Window, stride: usize| Window { stride: [1, stride, stride], ..w };
    let rows = [
        ("apart", 2, strided(image(6, 8, 3, [2, 2], Padding::Valid), 2)),
        ("overlapping", 2, strided(image(7, 6, 5, [3, 3], Padding::Same), 2)),
        ("edges left out", 2, strided(image(7, 8, 2, [3, 2], Padding::Valid), 3)),
        ("every pixel", 2, image(4, 5, 17, [2, 3], Padding::Same)),
        ("volume", 3, volume([2, 2, 3], [2, 1, 1], Padding::Same)),
        ("volume, apart", 3, volume([2, 2, 1], [2, 2, 1], Padding::Valid)),
    ];
    let row = |(name, rank, window): (&str, usize, Window)| {
        let input = window.input_shape(rank);
        let shape = sizes(&input);
        let part = |op, forward, operands| Row {
            op,
            name: name.to_owned(),
            attrs: window_attrs(&window, rank, true),
            arguments: vec![random(&input, 3)],
            forward,
            result: window.output_shape(rank, window.channels),
            operands,
            outputs: 1,
            gradients: vec![(0, 0)],
        };
        let [max, average] = match rank {
            2 => ["MaxPoolGrad", "AvgPoolGrad"],
            _ => ["MaxPool3DGrad", "AvgPool3DGrad"],
        };
        [
            part(
                max,
                Box::new(move |a: &[Vec<f64>]| window.max_pool(&a[0])),
                Box::new(|given: &Given| vec![given.arguments[0].clone(), given.y.clone(), given.dy.clone()]),
            ),
            part(
                average,
                Box::new(move |a: &[Vec<f64>]| window.average_pool(&a[0])),
                Box::new(move |given: &Given| vec![shape.clone(), given.dy.clone()]),
            ),
        ]
    };
    rows.into_iter().flat_map(row).collect()
}

fn normalizations() -> Vec<Row> {
    const EPSILON: f32 = 0.015_625;
    const CHANNELS: usize = 5;
    let doubles = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| f64::from(x)).collect() };
    let floats = |x: &[f64]| -> Vec<f32> { x.iter().map(|&x| x as f32).collect() };
    let row = |training: bool| {
        let x = random(&[2, 3, 2, CHANNELS], 4);
        let given: Option<[Vec<f32>; 2]> = (!training).then(|| {
            let variance = noise(CHANNELS, 6).iter().map(|v| v.abs() + 0.25).collect();
            [noise(CHANNELS, 5), variance]
        });
        let [mean, variance] = given.clone().unwrap_or_else(|| {
            let (mean, variance) = moments(&doubles(&x.1), CHANNELS);
            [floats(&mean), floats(&variance)]
        });
        let moments = given.map(|m| m.map(|v| doubles(&v)));
        Row {
            op: "FusedBatchNormGradV3",
            name: if training { "training" } else { "inference" }.to_owned(),
            attrs: vec![Attr::Float("epsilon", EPSILON), Attr::Bool("is_training", training)],
            result: x.0.clone(),
            arguments: vec![x, random(&[CHANNELS], 7), random(&[CHANNELS], 8)],
            forward: Box::new(move |a| {
                let moments = moments.as_ref().map(|[m, v]| (m.as_slice(), v.as_slice()));
                batch_norm(&a[0], &a[1], &a[2], moments, f64::from(EPSILON))
            }),
            operands: Box::new(move |given| {
                let kept = [&mean, &variance].map(|v| f32s(&[CHANNELS], v));
                let [mean, variance] = kept;
                let (x, scale) = (given.arguments[0].clone(), given.arguments[1].clone());
                vec![given.dy.clone(), x, scale, mean, variance, f32s(&[0], &[])]
            }),
            outputs: 5,
            gradients: vec![(0, 0), (1, 1), (2, 2)],
        }
    };
    let bias = Row {
        op: "BiasAddGrad",
        name: String::new(),
        attrs: vec![],
        arguments: vec![random(&[3, 2, 7], 9), random(&[7], 10)],
        forward: Box::new(|a| a[0].iter().enumerate().map(|(i, x)| x + a[1][i % 7]).collect()),
        result: vec![3, 2, 7],
        operands: Box::new(|given| vec![given.dy.clone()]),
        outputs: 1,
        gradients: vec![(0, 1)],
    };
    vec![row(true), row(false), bias]
}

/// What slices take is written out: places in the tensor.
fn slices() -> Vec<Row> {
    // Name, shape, begin, end, strides, masks (begin, end, ellipsis, new axis, shrink), slice's shape, its places.
    type Slice =
        (&'static str, &'static [usize], [&'static [i32]; 3], [i64; 5], &'static [usize], &'static [usize]);
    let rows: [Slice; 7] = [
        ("middle", &[5], [&[1], &[4], &[1]], [0; 5], &[3], &[1, 2, 3]),
        ("backwards", &[5], [&[-1], &[0], &[-2]], [0; 5], &[2], &[4, 2]),
        ("open ends", &[4], [&[9], &[9], &[1]], [1, 1, 0, 0, 0], &[4], &[0, 1, 2, 3]),
        ("column", &[2, 3], [&[0, 1], &[0, 2], &[1, 1]], [1, 1, 0, 0, 2], &[2], &[1, 4]),
        ("ellipsis", &[2, 3], [&[0, 2], &[0, 3], &[1, 1]], [0, 0, 1, 0, 0], &[2, 1], &[2, 5]),
        ("new axis", &[3], [&[0, 1], &[0, 3], &[1, 1]], [0, 0, 0, 1, 0], &[1, 2], &[1, 2]),
        ("nothing", &[3], [&[2], &[1], &[1]], [0; 5], &[0], &[]),
    ];
    let row = |(name, shape, bounds, masks, slice, places): Slice| Row {
        op: "StridedSliceGrad",
        name: name.to_owned(),
        attrs: ["begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"]
            .iter()
            .zip(masks)
            .map(|(name, mask)| Attr::Int(name, mask))
            .collect(),
        arguments: vec![random(shape, 11)],
        forward: Box::new(move |a| places.iter().map(|&p| a[0][p]).collect()),
        result: slice.to_vec(),
        operands: Box::new(move |given| {
            let bounds = bounds.map(i32s);
            [&[sizes(shape)], &bounds[..], std::slice::from_ref(&given.dy)].concat()
        }),
        outputs: 1,
        gradients: vec![(0, 0)],
    };
    rows.map(row).into()
}

fn paddings() -> Vec<Row> {
    let pads = [(2, 1), (0, 3)];
    let row = |(mode, repeat): (&'static str, bool)| Row {
        op: "MirrorPadGrad",
        name: mode.to_owned(),
        attrs: vec![Attr::Text("mode", mode)],
        arguments: vec![random(&[3, 4], 12)],
        forward: Box::new(move |a| mirror_pad(&a[0], [3, 4], pads, repeat)),
        result: vec![6, 7],
        operands: Box::new(move |given| {
            let flat = pads.map(|(a, b)| [a as i32, b as i32]).concat();
            vec![given.dy.clone(), TensorValue::from_elements([2, 2].into(), &flat).unwrap()]
        }),
        outputs: 1,
        gradients: vec![(0, 0)],
    };
    [("REFLECT", false), ("SYMMETRIC", true)].map(row).into()
}

fn resizings() -> Vec<Row> {
    let mut all = Vec::new();
    for (align_corners, half_pixel_centers) in [(false, false), (true, false), (false, true)] {
        for to in [[5, 7], [2, 3], [3, 1]] {
            let resize = Resize { align_corners, half_pixel_centers, from: [3, 4], to, channels: 2 };
            let part = |op, forward: Forward, operands: Operands| Row {
                op,
                name: format!("to {to:?}, corners {align_corners}, half pixels {half_pixel_centers}"),
                attrs: vec![
                    Attr::Bool("align_corners", align_corners),
                    Attr::Bool("half_pixel_centers", half_pixel_centers),
                ],
                arguments: vec![random(&[2, 3, 4, 2], 13)],
                forward,
                result: vec![2, to[0], to[1], 2],
                operands,
                outputs: 1,
                gradients: vec![(0, 0)],
            };
            all.push(part(
                "ResizeBilinearGrad",
                Box::new(move |a| resize.bilinear(&a[0])),
                Box::new(|given| vec![given.dy.clone(), given.arguments[0].clone()]),
            ));
            all.push(part(
                "ResizeNearestNeighborGrad",
                Box::new(move |a| resize.nearest_neighbor(&a[0])),
                Box::new(|given| vec![given.dy.clone(), i32s(&[3, 4])]),
            ));
        }
    }
    all
}

/// Losses and their gradients come out of one operator; the gradient is that of the sum of all losses.
fn losses() -> Vec<Row> {
    const CLASSES: usize = 4;
    let labels: Vec<f32> = [[8.0, 4.0, 3.0, 1.0], [0.0, 16.0, 0.0, 0.0], [1.0, 2.0, 5.0, 8.0]]
        .concat()
        .iter()
        .map(|l| l / 16.0)
        .collect();
    let classes = [2usize, 0, 1];
    let one_hot: Vec<f32> =
        classes.iter().flat_map(|&c| (0..CLASSES).map(move |i| f32::from(u8::from(i == c)))).collect();
    let row = |op: &'static str, labels: Vec<f32>, second: TensorValue| Row {
        op,
        name: String::new(),
        attrs: vec![],
        arguments: vec![random(&[3, CLASSES], 14)],
        forward: Box::new(move |a| {
            let labels: Vec<f64> = labels.iter().map(|&l| f64::from(l)).collect();
            vec![cross_entropy(&a[0], &labels, CLASSES).iter().sum()]
        }),
        result: vec![],
        operands: Box::new(move |given| vec![given.arguments[0].clone(), second.clone()]),
        outputs: 2,
        gradients: vec![(1, 0)],
    };
    let dense = f32s(&[3, CLASSES], &labels);
    vec![
        row("SoftmaxCrossEntropyWithLogits", labels, dense),
        row("SparseSoftmaxCrossEntropyWithLogits", one_hot, i32s(&classes.map(|c| c as i32))),
    ]
}

fn rows() -> Vec<Row> {
    [activations, convolutions, pools, normalizations, slices, paddings, resizings, losses]
        .iter()
        .flat_map(|group| group())
        .collect()
}

/// The greatest difference between a row's gradients and central differences, relative to the greatest of these or to one.
fn error(row: &Row) -> Result<f64, String> {
    /// Far above the rounding of float64, and its square far below that of float32.
    const STEP: f64 = 1e-4;
    let doubles: Vec<Vec<f64>> =
        row.arguments.iter().map(|(_, v)| v.iter().map(|&x| f64::from(x)).collect()).collect();
    let y: Vec<f32> = (row.forward)(&doubles).iter().map(|&y| y as f32).collect();
    // A scalar is a loss.
    let dy = if row.result.is_empty() { vec![1.0] } else { noise(y.len(), 99) };
    let given = Given {
        arguments: row.arguments.iter().map(value).collect(),
        y: f32s(&row.result, &y),
        dy: f32s(&row.result, &dy),
    };
    let types = vec![TensorType::Float32; row.outputs];
    let outputs =
        run(row.op, &row.attrs, &(row.operands)(&given), &types).map_err(|error| error.to_string())?;
    let total = |arguments: &[Vec<f64>]| -> f64 {
        (row.forward)(arguments).iter().zip(&dy).map(|(y, &dy)| y * f64::from(dy)).sum()
    };
    let mut worst = 0f64;
    for &(output, argument) in &row.gradients {
        let got = outputs[output].elements::<f32>().map_err(|error| error.to_string())?;
        let shape = &row.arguments[argument].0;
        if outputs[output].shape().dims() != shape {
            return Err(format!("the shape is {}, that of the argument {shape:?}", outputs[output].shape()));
        }
        let slope = |i: usize| {
            let at = |step: f64| {
                let mut moved = doubles.clone();
                moved[argument][i] += step;
                total(&moved)
            };
            (at(STEP) - at(-STEP)) / (2.0 * STEP)
        };
        let want: Vec<f64> = (0..got.len()).map(slope).collect();
        let scale = want.iter().fold(1f64, |scale, w| scale.max(w.abs()));
        for (&got, want) in got.iter().zip(want) {
            let error = (f64::from(got) - want).abs() / scale;
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
        }
    }
    Ok(worst)
}

#[test]
fn gradients_are_those_of_finite_differences() {
    const TOLERANCE: f64 = 5e-6;
    let mut failures = Vec::new();
    for row in rows() {
        match error(&row) {
            Ok(error) => {
                println!("{:36} {:44} {error:.1e}", row.op, row.name);
                if error > TOLERANCE {
                    failures.push(format!("{} {}: off by {error:.1e}", row.op, row.name));
                }
            }
            Err(error) => failures.push(format!("{} {}: {error}", row.op, row.name)),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_gradient_operator_has_a_row() {
    let rows = rows();
    let names = TABLE.iter().flat_map(|family| family.iter()).filter_map(|spec| match spec.key {
        OpKey::Custom(name) => Some(name),
        OpKey::Builtin(_) => None,
    });
    let (with, without): (Vec<&str>, Vec<&str>) = names
        .filter(|name| is_gradient(name))
        .partition(|name| rows.iter().any(|row| name.strip_prefix("Flex") == Some(row.op)));
    assert!(without.is_empty(), "gradient operators that nothing is compared with: {without:?}");
    assert!(rows.iter().all(|row| is_gradient(row.op)), "rows of no gradient operator");
    println!("{} gradient operators, {} rows", with.len(), rows.len());
}
