//! The LSTM against its reference, for all its parts together.

use super::*;
use crate::isa::Cpu;
use crate::reference::recurrent as plain;

/// Numbers in [-0.5, 0.5).
struct Numbers(u32);

impl Numbers {
    fn take(&mut self, n: usize) -> Vec<f32> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.0 >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..n).map(|_| next()).collect()
    }
}

#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    size: LstmSize,
    sequence: Sequence,
    input_gate: bool,
    peephole: bool,
    norm: bool,
    clip: f32,
}

fn plain_gate(row: &Row, numbers: &mut Numbers, is_cell: bool) -> plain::Gate {
    let LstmSize { inputs, cells, outputs, .. } = row.size;
    plain::Gate {
        input: numbers.take(cells * inputs),
        recurrent: numbers.take(cells * outputs),
        peephole: numbers.take(if row.peephole && !is_cell { cells } else { 0 }),
        norm: numbers.take(if row.norm { cells } else { 0 }),
        bias: numbers.take(cells),
    }
}

fn gate(gate: &plain::Gate) -> Gate<'_> {
    Gate {
        input: Matrix::F32(&gate.input),
        aux: None,
        recurrent: Matrix::F32(&gate.recurrent),
        peephole: (!gate.peephole.is_empty()).then_some(Peephole::F32(&gate.peephole)),
        norm: (!gate.norm.is_empty()).then_some(&gate.norm),
        bias: &gate.bias,
    }
}

/// The largest difference between the layer's outputs and the reference's.
fn difference(row: &Row, cpu: Cpu) -> f64 {
    let LstmSize { inputs, cells, outputs, .. } = row.size;
    let mut numbers = Numbers(7);
    let layer = plain::Lstm {
        input: row.input_gate.then(|| plain_gate(row, &mut numbers, false)),
        forget: plain_gate(row, &mut numbers, false),
        cell: plain_gate(row, &mut numbers, true),
        output: plain_gate(row, &mut numbers, false),
        projection: numbers.take(if cells == outputs { 0 } else { outputs * cells }),
        cell_clip: f64::from(row.clip),
    };
    let sequence = row.sequence;
    let input = numbers.take(sequence.rows() * inputs);
    let mut output = vec![f32::NAN; sequence.rows() * (outputs + 2)];
    let (mut hidden, mut cell) = (vec![0.0; sequence.batch * outputs], vec![0.0; sequence.batch * cells]);
    let lstm = Lstm {
        size: row.size,
        input: layer.input.as_ref().map(gate),
        forget: gate(&layer.forget),
        cell: gate(&layer.cell),
        output: gate(&layer.output),
        projection: (!layer.projection.is_empty())
            .then_some(Projection { weights: Matrix::F32(&layer.projection), bias: None }),
        activation: Activation::Tanh,
        cell_clip: row.clip,
        projection_clip: 0.0,
        asymmetric: false,
    };
    // Scratch memory is aligned to 64 bytes.
    let mut memory = vec![0u128; row.size.scratch_bytes(&sequence) / 16 + 4];
    let memory: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
    let start = memory.as_ptr().align_offset(64);
    let rows = OutputRows { data: &mut output, offset: 1, stride: outputs + 2 };
    let state = LstmState { hidden: &mut hidden, cell: &mut cell };
    lstm.run(cpu, &sequence, &input, None, state, rows, &mut memory[start..]);

    let mut worst = 0f64;
    for b in 0..sequence.batch {
        let (mut h, mut c) = (vec![0.0; outputs], vec![0.0; cells]);
        for t in sequence.walk(0..sequence.steps) {
            let at = sequence.row(t, b);
            let x: Vec<f64> = input[at * inputs..][..inputs].iter().map(|&x| f64::from(x)).collect();
            layer.step(&x, &mut h, &mut c);
            for (want, &got) in h.iter().zip(&output[at * (outputs + 2) + 1..]) {
                // Written so that NaN is the worst of all.
                worst = if (want - f64::from(got)).abs() <= worst {
                    worst
                } else {
                    (want - f64::from(got)).abs()
                };
            }
        }
    }
    worst
}

#[test]
fn lstm_equals_the_reference() {
    let size = LstmSize { inputs: 3, aux_inputs: 0, cells: 5, outputs: 5 };
    let sequence = Sequence { batch: 2, steps: 4, time_major: true, reverse: false };
    let row =
        Row { name: "plain", size, sequence, input_gate: true, peephole: false, norm: false, clip: 0.0 };
    let rows = [
        row,
        Row { name: "coupled gates", input_gate: false, ..row },
        Row { name: "peepholes", peephole: true, ..row },
        Row { name: "normalized", norm: true, ..row },
        Row { name: "clipped", clip: 0.1, ..row },
        Row { name: "projection", size: LstmSize { outputs: 2, ..size }, ..row },
        Row { name: "sequence first", sequence: Sequence { time_major: false, ..sequence }, ..row },
        Row { name: "backward", sequence: Sequence { reverse: true, ..sequence }, ..row },
        Row {
            name: "several blocks backward, everything else too",
            size: LstmSize { inputs: 17, aux_inputs: 0, cells: 20, outputs: 9 },
            sequence: Sequence { batch: 3, steps: 70, time_major: false, reverse: true },
            input_gate: false,
            peephole: true,
            norm: true,
            clip: 0.5,
        },
    ];
    let mut wrong = Vec::new();
    for cpu in Cpu::all() {
        for row in &rows {
            let worst = difference(row, cpu);
            if worst.is_nan() || worst > 2e-5 {
                wrong.push(format!("{} on {}: {worst}", row.name, cpu.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
