//! Whole models: on the GPU alone, split between it and the CPU, and several at once.

mod support;

use std::sync::Arc;

use ferrolite::{Interpreter, Model};
use ferrolite_gpu::GpuBackend;
use ferrolite_model::BuiltinOperator as B;
use ferrolite_model::options::{AddOptionsT, Options};
use support::{Arg, Net, Numbers, device, difference, interpreter, run};

const DIGITS: &[u8] = include_bytes!("../../cli/assets/digits_f32.tflite");

#[test]
fn a_classifier_runs_as_one_program() {
    let Some(device) = device() else { return };
    let model = Model::from_bytes(DIGITS).unwrap();
    let apart = difference(&model, &device, 0.0, 1.0).unwrap();
    assert!(apart <= 1e-4, "{apart} apart");
    let plan = interpreter(&model, Some(&device)).unwrap().describe();
    assert_eq!(plan.matches("gpu_program_").count(), 1, "{plan}");
    assert!(plan.contains(" 1 steps"), "{plan}");
    println!("{}: {apart:e} apart\n{plan}", device.name());
}

/// Steps on both sides of one that has no shader; an output of the first side, and one of the second.
fn mixed() -> Model {
    let mut net = Net::new(-2.0, 2.0);
    let x = net.arg(&Arg::Input(vec![2, 3]));
    let a = net.op(B::ABS, &[x], Options::None);
    let b = net.op(B::SQUARE, &[a], Options::None);
    let c = net.op(B::ADD, &[a, b], AddOptionsT::default());
    let floor = net.op(B::FLOOR, &[c], Options::None);
    let shape = net.arg(&Arg::Ints(vec![3, 2]));
    let turned = net.op(B::RESHAPE, &[floor, shape], Options::None);
    let d = net.op(B::NEG, &[turned], Options::None);
    let e = net.op(B::EXP, &[d], Options::None);
    let f = net.op(B::ADD, &[e, turned], AddOptionsT::default());
    net.output(f);
    net.output(b);
    net.finish()
}

#[test]
fn steps_without_a_shader_stay_on_the_cpu() {
    let Some(device) = device() else { return };
    let model = mixed();
    let mut cpu = interpreter(&model, None).unwrap();
    let mut gpu = interpreter(&model, Some(&device)).unwrap();
    let plan = gpu.describe();
    assert_eq!(plan.matches("gpu_program_").count(), 2, "{plan}");
    assert!(plan.contains("on the CPU, as gpu: there is no shader for it"), "{plan}");
    for _ in 0..2 {
        let expected = run(&mut cpu, &mut Numbers::new(-3.0, 3.0)).unwrap().concat();
        let got = run(&mut gpu, &mut Numbers::new(-3.0, 3.0)).unwrap().concat();
        assert_eq!(expected.len(), 12);
        for (e, g) in expected.iter().zip(&got) {
            assert!((e - g).abs() <= 1e-4, "{expected:?} {got:?}");
        }
    }
}

#[test]
fn runs_too_short_to_pay_stay_on_the_cpu() {
    let Some(device) = device() else { return };
    let plan = |least: usize| {
        let backend = GpuBackend::on(device.clone()).min_nodes(least);
        Interpreter::builder(&mixed()).backend(Arc::new(backend)).build().unwrap().describe()
    };
    assert_eq!(plan(4).matches("gpu_program_").count(), 1);
    assert!(plan(4).contains("a run of 3 steps is too short"), "{}", plan(4));
    assert_eq!(plan(5).matches("gpu_program_").count(), 0);
}

#[test]
fn interpreters_share_a_device() {
    let Some(device) = device() else { return };
    let model = Model::from_bytes(DIGITS).unwrap();
    let alone = run(&mut interpreter(&model, Some(&device)).unwrap(), &mut Numbers::new(0.0, 1.0)).unwrap();
    // Often enough that some threads collect the results of others.
    let often = || {
        let mut interpreter = interpreter(&model, Some(&device)).unwrap();
        for _ in 0..100 {
            assert_eq!(run(&mut interpreter, &mut Numbers::new(0.0, 1.0)).unwrap(), alone);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(often);
        }
    });
}

#[test]
fn resized_inputs_are_compiled_anew() {
    let Some(device) = device() else { return };
    let mut net = Net::new(-2.0, 2.0);
    let x = net.arg(&Arg::Input(vec![1, 5]));
    let row = net.arg(&Arg::Constant(vec![5]));
    let sum = net.op(B::ADD, &[x, row], AddOptionsT::default());
    let y = net.op(B::TANH, &[sum], Options::None);
    net.output(y);
    let model = net.finish();
    let (mut cpu, mut gpu) =
        (interpreter(&model, None).unwrap(), interpreter(&model, Some(&device)).unwrap());
    for batch in [3, 1] {
        let mut results = Vec::new();
        for interpreter in [&mut cpu, &mut gpu] {
            let mut shape = interpreter.input_shape(0).to_vec();
            shape[0] = batch;
            interpreter.resize_input(0, &shape).unwrap();
            interpreter.allocate().unwrap();
            results.push(run(interpreter, &mut Numbers::new(0.0, 1.0)).unwrap().concat());
        }
        assert_eq!(results[0].len(), results[1].len());
        for (c, g) in results[0].iter().zip(&results[1]) {
            assert!((c - g).abs() <= 1e-4, "batch {batch}: {results:?}");
        }
    }
}
