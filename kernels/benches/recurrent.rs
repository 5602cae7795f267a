//! Recurrent layers: `cargo bench -p ferrolite-kernels --bench recurrent`.
//!
//! LSTM layers on one thread, of floats and of integers. A step by itself reads each weight for one product: it prints the
//! bytes of weights that it reads in a second beside those of a copy of a large array. Sequences of floats print their
//! operations beside multiply-adds on registers, those of integers beside dot products where the CPU has them, and else
//! bytes as well.

#![expect(missing_docs, reason = "criterion's macro makes public functions")]

mod roof;

use criterion::{Criterion, criterion_group, criterion_main};
use ferrolite_kernels::cpu::recurrent::{
    Activation, Gate, IntGate, IntLstm, IntMatrix, Lstm, LstmSize, LstmState, Matrix, OutputRows, Sequence,
    row_sums,
};
use ferrolite_kernels::fixed_point::Multiplier;
use ferrolite_kernels::isa::Cpu;
use roof::tensor::{Tensor, bench, bytes, wave};
use roof::{Roof, compute_roof, dot_roof, memory_roof};

/// Inputs, cells and steps: layers as keyboards and speech recognition have them, step by step, and a whole sequence.
const SHAPES: [(usize, usize, usize); 3] = [(128, 256, 1), (512, 1024, 1), (128, 256, 64)];

fn size(inputs: usize, cells: usize) -> LstmSize {
    LstmSize { inputs, aux_inputs: 0, cells, outputs: cells }
}

fn sequence(steps: usize) -> Sequence {
    Sequence { batch: 1, steps, time_major: true, reverse: false }
}

/// The roof of a layer and its work: operations, or bytes of weights for each step where there is no roof of computing.
fn work(size: LstmSize, steps: usize, weight_bytes: usize, compute: Option<Roof>) -> (Roof, usize) {
    let weights = 4 * size.cells * (size.inputs + size.outputs);
    match compute {
        Some(roof) => (roof, 2 * steps * weights),
        None => (memory_roof(), steps * weights * weight_bytes),
    }
}

fn floats(c: &mut Criterion) {
    let cpu = Cpu::detect();
    for (inputs, cells, steps) in SHAPES {
        let (size, sequence) = (size(inputs, cells), sequence(steps));
        let parts = [(); 4].map(|()| (wave(cells * inputs), wave(cells * cells)));
        let bias = wave(cells);
        let [input, forget, cell, output] = parts.each_ref().map(|(input, recurrent)| Gate {
            input: Matrix::F32(input),
            aux: None,
            recurrent: Matrix::F32(recurrent),
            peephole: None,
            norm: None,
            bias: &bias,
        });
        let lstm = Lstm {
            size,
            input: Some(input),
            forget,
            cell,
            output,
            projection: None,
            activation: Activation::Tanh,
            cell_clip: 0.0,
            projection_clip: 0.0,
            asymmetric: false,
        };
        let x = wave(steps * inputs);
        let (mut hidden, mut state) = (Tensor::zeros(cells), Tensor::zeros(cells));
        let mut out = Tensor::zeros(steps * cells);
        let mut scratch = Tensor::<u8>::zeros(size.scratch_bytes(&sequence));
        let (roof, work) = work(size, steps, size_of::<f32>(), (steps > 1).then(|| compute_roof(cpu)));
        bench(c, &format!("lstm {inputs}->{cells}, steps {steps}"), work, roof, || {
            let state = LstmState { hidden: &mut hidden[..], cell: &mut state[..] };
            let rows = OutputRows { data: &mut out[..], offset: 0, stride: cells };
            lstm.run(cpu, &sequence, &x, None, state, rows, &mut scratch);
        });
    }
}

fn integers(c: &mut Criterion) {
    let cpu = Cpu::detect();
    let factor = |factor: f64| Multiplier::new(factor).expect("a small factor");
    for (inputs, cells, steps) in SHAPES {
        let (size, sequence) = (size(inputs, cells), sequence(steps));
        let parts = [(); 4].map(|()| {
            [inputs, cells].map(|len| {
                let (weights, mut sums) = (bytes(cells * len), vec![0; cells]);
                row_sums(cpu, &weights, len, &mut sums);
                (weights, sums)
            })
        });
        let bias = vec![0; cells];
        let [input, forget, cell, output] = parts.each_ref().map(|[input, recurrent]| IntGate {
            input: IntMatrix { weights: &input.0, factor: factor(0.1) },
            recurrent: IntMatrix { weights: &recurrent.0, factor: factor(0.1) },
            sums: Some([&input.1, &recurrent.1]),
            peephole: None,
            norm: None,
            bias: &bias,
        });
        let lstm = IntLstm {
            size,
            input: Some(input),
            forget,
            cell,
            output,
            projection: None,
            input_zero_point: 3,
            output_zero_point: -5,
            hidden_zero_point: -5,
            // Of the product of two numbers with 15 fractional bits to 7 of them.
            hidden_factor: factor(f64::powi(2.0, -23)),
            cell_exponent: -11,
            cell_clip: 0,
        };
        let x = bytes(steps * inputs);
        let (mut hidden, mut state) = (Tensor::zeros(cells), Tensor::zeros(cells));
        let mut out = Tensor::zeros(steps * cells);
        let mut scratch = Tensor::<u8>::zeros(size.int_scratch_bytes(&sequence, true));
        let (roof, work) = work(size, steps, size_of::<i8>(), (steps > 1).then(|| dot_roof(cpu)).flatten());
        bench(c, &format!("lstm of bytes {inputs}->{cells}, steps {steps}"), work, roof, || {
            let state = LstmState { hidden: &mut hidden[..], cell: &mut state[..] };
            let rows = OutputRows { data: &mut out[..], offset: 0, stride: cells };
            lstm.run(cpu, &sequence, &x, state, rows, &mut scratch);
        });
    }
}

criterion_group!(benches, floats, integers);
criterion_main!(benches);
