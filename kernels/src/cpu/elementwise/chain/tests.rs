//! Chains against their functions one by one, bit for bit.

use super::plan::{BLOCK, REGISTERS};
use super::*;
use crate::cpu::elementwise::binary::binary;
use crate::cpu::elementwise::broadcast::Broadcast;
use crate::cpu::elementwise::math;
use crate::cpu::elementwise::unary::{apply, map};
use crate::inout::InOut;
use crate::isa::Cpu;
use crate::par::Par;
use crate::testing::noise;

const ALL: [Function; 33] = [
    Function::Copy,
    Function::Neg,
    Function::Abs,
    Function::Square,
    Function::Sqrt,
    Function::Rsqrt,
    Function::Exp,
    Function::Log,
    Function::Sigmoid,
    Function::Tanh,
    Function::HardSwish,
    Function::Clamp { low: 0.0, high: f32::INFINITY },
    Function::LeakyRelu { alpha: 0.25 },
    Function::Add,
    Function::Sub,
    Function::Mul,
    Function::Div,
    Function::Maximum,
    Function::Minimum,
    Function::SquaredDifference,
    Function::Pow,
    Function::Gradient(Gradient::Relu),
    Function::Gradient(Gradient::Relu6),
    Function::Gradient(Gradient::LeakyRelu { alpha: 0.5 }),
    Function::Gradient(Gradient::Elu),
    Function::Gradient(Gradient::Selu),
    Function::Gradient(Gradient::Softsign),
    Function::Gradient(Gradient::Tanh),
    Function::Gradient(Gradient::Sigmoid),
    Function::Gradient(Gradient::Sqrt),
    Function::Gradient(Gradient::Rsqrt),
    Function::Gradient(Gradient::Reciprocal),
    Function::Gradient(Gradient::Softplus),
];

/// The function by the kernels that run it alone.
pub(super) fn alone(cpu: Cpu, function: Function, a: &[f32], b: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; a.len()];
    let par = Par::serial();
    let plan = Broadcast::new([&[a.len()], &[b.len()]]).unwrap();
    macro_rules! vector {
        ($f:expr) => {
            apply(cpu, par, InOut::apart(a, &mut out).unwrap(), $f)
        };
    }
    macro_rules! two {
        ($f:expr) => {
            binary(cpu, par, &plan, (a, b), &mut out, $f)
        };
    }
    match function {
        Function::Copy => out.copy_from_slice(a),
        Function::Neg => map(cpu, par, a, &mut out, |x: f32| -x),
        Function::Abs => map(cpu, par, a, &mut out, f32::abs),
        Function::Square => map(cpu, par, a, &mut out, |x: f32| x * x),
        Function::Sqrt => vector!(math::Sqrt),
        Function::Rsqrt => vector!(math::Rsqrt),
        Function::Exp => vector!(math::Exp),
        Function::Log => vector!(math::Log),
        Function::Sigmoid => vector!(math::Sigmoid),
        Function::Tanh => vector!(math::Tanh),
        Function::HardSwish => vector!(math::HardSwish),
        Function::Clamp { low, high } => map(cpu, par, a, &mut out, |x: f32| {
            let x = if x < low { low } else { x };
            if x > high { high } else { x }
        }),
        Function::LeakyRelu { alpha } => {
            map(cpu, par, a, &mut out, |x: f32| if x < 0.0 { x * alpha } else { x });
        }
        Function::Add => two!(|x: f32, y: f32| x + y),
        Function::Sub => two!(|x: f32, y: f32| x - y),
        Function::Mul => two!(|x: f32, y: f32| x * y),
        Function::Div => two!(|x: f32, y: f32| x / y),
        Function::Maximum => two!(|x: f32, y: f32| if x > y { x } else { y }),
        Function::Minimum => two!(|x: f32, y: f32| if x < y { x } else { y }),
        Function::SquaredDifference => two!(|x: f32, y: f32| (x - y) * (x - y)),
        Function::Pow => two!(f32::powf),
        Function::Gradient(gradient) => gradient.run(cpu, a, b, &mut out, par),
        Function::OfRow(_) => unreachable!("not a function of elements"),
    }
    out
}

/// Equal bits, any NaN equal to any other.
pub(super) fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()))
}

/// Numbers of both signs with every special one among them.
pub(super) fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40, -1e30, 88.0, 6.0];
    let mut numbers = noise(len, seed);
    for (i, x) in numbers.iter_mut().enumerate() {
        *x *= 4.0;
        if i % 7 == 3 {
            *x = special[(i / 7 + seed as usize) % special.len()];
        }
    }
    numbers
}

#[test]
fn every_function_is_the_same_bits_alone_and_in_a_chain() {
    for len in [1, 15, 16, 33, BLOCK - 1, BLOCK, 3 * BLOCK + 5] {
        let (a, b) = (numbers(len, 1), numbers(len, 2));
        for function in ALL {
            let args = [Arg::Input(0), Arg::Input(1)];
            // The function, a copy of it that stays in between, and that again as an output.
            let copy = |of| Link::of_elements(Function::Copy, [Arg::Link(of); 2]);
            let links = [Link::of_elements(function, args), copy(0), copy(1)];
            let chain = Chain::new(&[len], &[&[len], &[len]], &links, &[0, 2]).unwrap();
            for cpu in Cpu::all() {
                let want = alone(cpu, function, &a, &b);
                let (mut first, mut last) = (vec![0.0; len], vec![0.0; len]);
                chain.run(cpu, &[&a, &b], &mut [&mut first, &mut last], Par::serial()).unwrap();
                assert!(same(&first, &want), "{function:?} of {len} on {}", cpu.name());
                assert!(same(&last, &want), "{function:?} of {len} on {}, kept", cpu.name());
            }
        }
    }
}

#[test]
fn operands_of_all_shapes() {
    let rows: &[(&str, &[usize], &[usize])] = &[
        ("scalar", &[3, 5, 67], &[]),
        ("ones", &[3, 5, 67], &[1, 1]),
        ("row", &[3, 5, 67], &[67]),
        ("short row", &[300, 7], &[1, 7]),
        ("two dimensions", &[30, 5, 67], &[5, 67]),
        ("column", &[3, 5, 67], &[3, 1, 1]),
        ("middle", &[3, 50, 67], &[50, 1]),
        ("long row", &[3, 2000], &[2000]),
        ("of many blocks", &[700, 50], &[50]),
        ("scalars", &[], &[]),
        ("empty", &[0, 3], &[3]),
        ("like itself", &[2, 40], &[2, 40]),
    ];
    let links = [
        Link::of_elements(Function::Sub, [Arg::Input(0), Arg::Input(1)]),
        Link::of_elements(Function::Mul, [Arg::Link(0), Arg::Input(1)]),
    ];
    for (name, shape, other) in rows {
        let len: usize = shape.iter().product();
        let (a, b) = (noise(len, 3), noise(other.iter().product(), 4));
        let walk = Broadcast::new([shape, other]).unwrap();
        let mut want = vec![0.0; len];
        walk.runs(0..len, |run| {
            for i in 0..run.len {
                let y = b[run.operands[1] + if walk.advances(1) { i } else { 0 }];
                want[run.start + i] = (a[run.start + i] - y) * y;
            }
        });
        let chain = Chain::new(shape, &[shape, other], &links, &[1]).expect(name);
        for cpu in Cpu::all() {
            for par in [Par::serial(), Par::new(3)] {
                let mut out = vec![0.0; len];
                chain.run(cpu, &[&a, &b], &mut [&mut out], par).unwrap();
                assert_eq!(out, want, "{name}, {}, {par:?}", cpu.name());
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let add = |a, b| Link::of_elements(Function::Add, [a, b]);
    let (x, y) = (Arg::Input(0), Arg::Input(1));
    assert!(Chain::new(&[4], &[&[4], &[3]], &[add(x, y)], &[0]).is_none(), "no broadcast");
    assert!(
        Chain::new(&[1], &[&[1], &[4]], &[add(x, y)], &[0]).is_none(),
        "an input larger than the results"
    );
    assert!(Chain::new(&[4], &[&[4]], &[add(x, y)], &[0]).is_none(), "no such input");
    assert!(Chain::new(&[4], &[&[4]], &[add(x, Arg::Link(0))], &[0]).is_none(), "itself");
    assert!(Chain::new(&[4], &[&[4]], &[add(x, x)], &[1]).is_none(), "no such result");
    // As many results at a time as there are registers beside that of the next result, and one more.
    for (count, fits) in [(REGISTERS - 1, true), (REGISTERS, false)] {
        let mut links: Vec<Link> = (0..count).map(|_| add(x, x)).collect();
        let mut sum = Arg::Link(0);
        for l in 1..count {
            links.push(add(sum, Arg::Link(l)));
            sum = Arg::Link(links.len() - 1);
        }
        let last = links.len() - 1;
        assert_eq!(Chain::new(&[4], &[&[4]], &links, &[last]).is_some(), fits, "{count} results");
    }
    let chain = Chain::new(&[4], &[&[4]], &[add(x, x)], &[0]).unwrap();
    let mut out = [0.0; 4];
    assert!(
        chain.run(Cpu::detect(), &[&[0.0; 3]], &mut [&mut out], Par::serial()).is_err(),
        "input too short"
    );
    assert!(chain.run(Cpu::detect(), &[&[0.0; 4]], &mut [], Par::serial()).is_err(), "no output");
    assert!(chain.run(Cpu::detect(), &[], &mut [&mut out], Par::serial()).is_err(), "no input");
}
