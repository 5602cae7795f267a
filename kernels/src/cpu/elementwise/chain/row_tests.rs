//! Chains of rows against the kernels that run their functions by themselves, bit for bit.

use super::plan::MEMORY;
use super::tests::{alone, numbers, same};
use super::*;
use crate::cpu::elementwise::broadcast::Broadcast;
use crate::cpu::elementwise::softmax::softmax;
use crate::cpu::reduce::{MaxOf, Mean, MinOf, ReducePlan, Sum, reduce};
use crate::inout::InOut;
use crate::isa::Cpu;
use crate::par::Par;
use crate::testing::noise;

const X: Arg = Arg::Input(0);

/// The links of a chain, with what they are read by.
#[derive(Default)]
struct Links(Vec<Link>);

impl Links {
    fn push(&mut self, link: Link) -> Arg {
        self.0.push(link);
        Arg::Link(self.0.len() - 1)
    }

    fn each(&mut self, function: Function, a: Arg, b: Arg) -> Arg {
        self.push(Link::of_elements(function, [a, b]))
    }

    fn row(&mut self, function: Function, a: Arg, b: Arg) -> Arg {
        self.push(Link::of_rows(function, [a, b]))
    }

    fn mean(&mut self, of: Arg) -> Arg {
        self.row(Function::OfRow(OfRow::Mean), of, of)
    }
}

/// `shape` with ones in place of its innermost dimensions of `row` elements.
fn by_row(shape: &[usize], row: usize) -> Vec<usize> {
    let (mut dims, mut left) = (shape.to_vec(), row);
    for dim in dims.iter_mut().rev() {
        if left > 1 {
            left /= *dim;
            *dim = 1;
        }
    }
    dims
}

/// The values of an operand for all elements of `shape`.
fn spread(shape: &[usize], (own, values): (&[usize], &[f32])) -> Vec<f32> {
    let walk = Broadcast::new([shape, own]).unwrap();
    let mut all = Vec::new();
    walk.runs(0..walk.len(), |run| {
        all.extend((0..run.len).map(|i| values[run.operands[1] + if walk.advances(1) { i } else { 0 }]));
    });
    all
}

/// A function of whole rows by the kernel that runs it alone.
fn of_rows_alone(cpu: Cpu, function: OfRow, shape: &[usize], row: usize, x: &[f32]) -> Vec<f32> {
    let kept = by_row(shape, row);
    let reduced: Vec<bool> = shape.iter().zip(&kept).map(|(&d, &kept)| d != kept).collect();
    let (par, plan) = (Par::serial(), ReducePlan::new(shape, &reduced));
    let mut out = vec![0.0; if function.reduces() { plan.result_len() } else { x.len() }];
    match function {
        OfRow::Sum => reduce(cpu, par, Sum::<f32>::default(), &plan, x, &mut out),
        OfRow::Mean => reduce(cpu, par, Mean::<f32>::of(row), &plan, x, &mut out),
        OfRow::Max => reduce(cpu, par, MaxOf::<f32>::default(), &plan, x, &mut out),
        OfRow::Min => reduce(cpu, par, MinOf::<f32>::default(), &plan, x, &mut out),
        OfRow::Softmax { beta } => softmax(cpu, par, InOut::apart(x, &mut out).unwrap(), row, beta),
    }
    out
}

type Operand = (Vec<usize>, Vec<f32>);

/// The results of all links, each computed over whole tensors.
fn separately(cpu: Cpu, shape: &[usize], row: usize, inputs: &[Operand], links: &[Link]) -> Vec<Vec<f32>> {
    let mut results: Vec<Operand> = Vec::new();
    for link in links {
        let operand = |arg: Arg| match arg {
            Arg::Input(i) => &inputs[i],
            Arg::Link(l) => &results[l],
        };
        let own = if link.by_row { by_row(shape, row) } else { shape.to_vec() };
        let result = match (link.function, link.args.map(operand)) {
            (Function::OfRow(function), [x, _]) => of_rows_alone(cpu, function, shape, row, &x.1),
            (function, [a, b]) => {
                let b = if function.is_binary() { b } else { a };
                let [a, b] = [a, b].map(|(dims, values)| spread(&own, (dims, values)));
                alone(cpu, function, &a, &b)
            }
        };
        results.push((own, result));
    }
    results.into_iter().map(|(_, values)| values).collect()
}

/// Runs a chain whose every second result and last one are wanted, and compares these.
fn check(name: &str, shape: &[usize], row: usize, inputs: &[Operand], links: &Links) {
    let links = &links.0;
    let wanted: Vec<usize> = (0..links.len()).filter(|l| l % 2 == 1 || l + 1 == links.len()).collect();
    let shapes: Vec<&[usize]> = inputs.iter().map(|(shape, _)| shape.as_slice()).collect();
    for cpu in Cpu::all() {
        let results = separately(cpu, shape, row, inputs, links);
        for outputs in [wanted.as_slice(), &wanted[wanted.len() - 1..]] {
            let chain = Chain::of_rows(shape, row, &shapes, links, outputs)
                .unwrap_or_else(|| panic!("{name} of {shape:?}"));
            let inputs: Vec<&[f32]> = inputs.iter().map(|(_, values)| values.as_slice()).collect();
            for threads in [1, 2, 4] {
                let mut got: Vec<Vec<f32>> = outputs.iter().map(|&o| vec![0.0; results[o].len()]).collect();
                let mut views: Vec<&mut [f32]> = got.iter_mut().map(Vec::as_mut_slice).collect();
                chain.run(cpu, &inputs, &mut views, Par::new(threads)).unwrap();
                for (got, &o) in got.iter().zip(outputs) {
                    let cpu = cpu.name();
                    assert!(
                        same(got, &results[o]),
                        "{name} of {shape:?}, link {o}, {threads} threads on {cpu}"
                    );
                }
            }
        }
    }
}

/// Layer normalization with each way of centring, scaling and shifting that converters choose.
fn layer_norm(links: &mut Links) {
    let (gamma, beta, epsilon) = (Arg::Input(1), Arg::Input(2), Arg::Input(3));
    let mean = links.mean(X);
    let squares = links.each(Function::SquaredDifference, X, mean);
    let variance = links.mean(squares);
    let shifted = links.row(Function::Add, variance, epsilon);
    let scale = links.row(Function::Rsqrt, shifted, shifted);
    let scale = links.each(Function::Mul, scale, gamma);
    let scaled = links.each(Function::Mul, X, scale);
    let moved = links.each(Function::Mul, mean, scale);
    let shift = links.each(Function::Sub, beta, moved);
    links.each(Function::Add, scaled, shift);
}

fn layer_norm_by_division(links: &mut Links) {
    let (gamma, beta, epsilon) = (Arg::Input(1), Arg::Input(2), Arg::Input(3));
    let mean = links.mean(X);
    let centred = links.each(Function::Sub, X, mean);
    let squares = links.each(Function::Square, centred, centred);
    let variance = links.mean(squares);
    let shifted = links.row(Function::Add, variance, epsilon);
    let deviation = links.row(Function::Sqrt, shifted, shifted);
    let normal = links.each(Function::Div, centred, deviation);
    let scaled = links.each(Function::Mul, normal, gamma);
    links.each(Function::Add, scaled, beta);
}

fn rms_norm(links: &mut Links) {
    let squares = links.each(Function::Mul, X, X);
    let mean = links.mean(squares);
    let shifted = links.row(Function::Add, mean, Arg::Input(3));
    let scale = links.row(Function::Rsqrt, shifted, shifted);
    let normal = links.each(Function::Mul, X, scale);
    links.each(Function::Mul, normal, Arg::Input(1));
}

/// Every function of rows, and numbers of rows that are spread without an element beside them.
fn all_of_rows(links: &mut Links) {
    let doubled = links.each(Function::Add, X, X);
    let sum = links.row(Function::OfRow(OfRow::Sum), doubled, doubled);
    let most = links.row(Function::OfRow(OfRow::Max), X, X);
    let least = links.row(Function::OfRow(OfRow::Min), doubled, doubled);
    let range = links.row(Function::Sub, most, least);
    let all = links.each(Function::Maximum, sum, range);
    let copy = links.each(Function::Copy, most, most);
    let both = links.each(Function::Sub, all, copy);
    let one = links.row(Function::Copy, Arg::Input(3), Arg::Input(3));
    let ones = links.each(Function::Minimum, Arg::Input(3), Arg::Input(3));
    let other = links.each(Function::Pow, ones, one);
    let last = links.each(Function::Gradient(Gradient::Softplus), other, range);
    links.each(Function::Add, last, both);
}

fn attention_weights(links: &mut Links) {
    let scaled = links.each(Function::Mul, X, Arg::Input(3));
    let masked = links.each(Function::Add, scaled, Arg::Input(4));
    let weights = links.each(Function::OfRow(OfRow::Softmax { beta: 0.5 }), masked, masked);
    links.each(Function::Mul, weights, Arg::Input(5));
}

#[test]
fn rows_are_the_same_bits_as_kernels_one_by_one() {
    type Build = fn(&mut Links);
    let chains: [(&str, Build); 5] = [
        ("layer norm", layer_norm),
        ("layer norm by division", layer_norm_by_division),
        ("rms norm", rms_norm),
        ("all functions of rows", all_of_rows),
        ("attention weights", attention_weights),
    ];
    // Shape, elements of a row, and shapes of what is spread: the row, the mask and numbers for rows.
    type Row = (&'static [usize], usize, [&'static [usize]; 4]);
    let rows: &[Row] = &[
        (&[3, 256], 256, [&[256], &[1, 256], &[3, 256], &[3, 1]]),
        (&[2, 9, 37], 37, [&[37], &[1, 1, 37], &[2, 1, 37], &[9, 1]]),
        (&[2, 3, 70, 17], 17, [&[17], &[1], &[2, 1, 1, 17], &[2, 1, 1, 1]]),
        (&[5, 4, 8], 32, [&[4, 8], &[8], &[5, 1, 8], &[5, 1, 1]]),
        (&[1, 1, 200], 200, [&[200], &[200], &[1, 1, 1], &[]]),
        (&[4, 1, 130, 1], 130, [&[130, 1], &[1, 130, 1], &[4, 1, 1, 1], &[1, 1, 1]]),
        (&[3, 1500], 1500, [&[1500], &[1500], &[3, 1], &[3, 1]]),
        (&[90, 512], 512, [&[512], &[512], &[90, 512], &[1, 1]]),
    ];
    for (name, build) in chains {
        for &(shape, row, [gamma, beta, mask, numbers_of_rows]) in rows {
            let mut links = Links::default();
            build(&mut links);
            let operand = |dims: &[usize], seed| {
                (
                    dims.to_vec(),
                    noise(dims.iter().product(), seed).iter().map(|x| x + 1.5).collect::<Vec<_>>(),
                )
            };
            let mut inputs = vec![
                operand(shape, 1),
                operand(gamma, 2),
                operand(beta, 3),
                (Vec::new(), vec![1e-3]),
                operand(mask, 4),
                operand(numbers_of_rows, 5),
            ];
            check(name, shape, row, &inputs, &links);
            inputs[0].1 = numbers(inputs[0].1.len(), 7);
            check(&format!("{name} of special numbers"), shape, row, &inputs, &links);
        }
    }
}

#[test]
fn narrow_rows_are_reduced_and_no_rows_need_nothing() {
    let mut links = Links::default();
    rms_norm(&mut links);
    for (shape, row) in [(&[40, 2][..], 2), (&[9, 3, 5], 15), (&[70, 16], 16)] {
        let inputs = vec![
            (shape.to_vec(), noise(shape.iter().product(), 1)),
            (shape[1..].to_vec(), noise(row, 2)),
            (vec![], vec![0.0]),
            (vec![], vec![1e-6]),
        ];
        check("rms norm", shape, row, &inputs, &links);
    }
    let last = links.0.len() - 1;
    let shapes: [&[usize]; 4] = [&[0, 64], &[64], &[], &[]];
    let chain = Chain::of_rows(&[0, 64], 64, &shapes, &links.0, &[last]).unwrap();
    assert!(chain.is_empty());
    let row = [1.0; 64];
    chain.run(Cpu::detect(), &[&[], &row, &[0.0], &[0.0]], &mut [&mut []], Par::new(2)).unwrap();
}

#[test]
fn what_is_no_chain_of_rows_is_refused() {
    let sum = Function::OfRow(OfRow::Sum);
    let soft = Function::OfRow(OfRow::Softmax { beta: 1.0 });
    let refused = |name: &str, shape: &[usize], row: usize, inputs: &[&[usize]], links: &[Link]| {
        assert!(Chain::of_rows(shape, row, inputs, links, &[links.len() - 1]).is_none(), "{name}");
    };
    let by_row = |function| Link::of_rows(function, [X, X]);
    let each = |function| Link::of_elements(function, [X, X]);
    refused("no such row", &[4, 6], 3, &[&[4, 6]], &[by_row(sum)]);
    refused("a row of nothing", &[4, 0], 0, &[&[4, 0]], &[by_row(sum)]);
    refused("a sum of single elements", &[4, 6], 1, &[&[4, 6]], &[by_row(sum)]);
    refused("a sum for each element", &[4, 6], 6, &[&[4, 6]], &[each(sum)]);
    refused("a sum of what is spread", &[4, 6], 6, &[&[6]], &[by_row(sum)]);
    refused(
        "a sum of a sum",
        &[4, 6],
        6,
        &[&[4, 6]],
        &[by_row(sum), Link::of_rows(sum, [Arg::Link(0), Arg::Link(0)])],
    );
    refused("a number of each row from elements", &[4, 6], 6, &[&[4, 6]], &[by_row(Function::Neg)]);
    refused("a softmax for each row", &[4, 60], 60, &[&[4, 60]], &[by_row(soft)]);
    refused("a softmax of narrow rows", &[4, 16], 16, &[&[4, 16]], &[each(soft)]);
    refused("rows of single elements", &[4], 1, &[&[4]], &[by_row(Function::Neg)]);
    let long = MEMORY + 1;
    let squares = [each(Function::Square), Link::of_rows(sum, [Arg::Link(0), Arg::Link(0)])];
    refused("a row beyond the memory", &[2, long], long, &[&[2, long]], &squares);
    // Without results in between the length does not matter.
    assert!(Chain::of_rows(&[2, long], long, &[&[2, long]], &[by_row(sum)], &[0]).is_some());
}
