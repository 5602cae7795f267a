//! Products of every instruction set against plain loops.

use half::f16;

use super::*;
use crate::cpu::float::epilogue::Activation;
use crate::cpu::float::stored::StoredFloats;
use crate::isa::Cpu;
use crate::reference::float as reference;
use crate::testing::{ACTIVATIONS, difference, finish, noise, thread_difference};

/// m, n, k: nothing, single rows and columns, each tile's edges, and both kinds of last panel.
const SIZES: [[usize; 3]; 16] = [
    [0, 3, 3],
    [3, 0, 3],
    [3, 3, 0],
    [1, 1, 1],
    [1, 17, 9],
    [1, 64, 33],
    [2, 8, 5],
    [3, 9, 4],
    [5, 16, 7],
    [6, 31, 16],
    [7, 32, 3],
    [13, 33, 8],
    [14, 48, 5],
    [15, 15, 15],
    [29, 65, 21],
    [64, 40, 50],
];

#[test]
fn products_match_plain_loops() {
    let mut wrong = Vec::new();
    for cpu in Cpu::all() {
        for (case, [m, n, k]) in SIZES.into_iter().enumerate() {
            let activation = ACTIVATIONS[case % ACTIVATIONS.len()];
            let (a, w, bias) = (noise(m * k, 1), noise(n * k, 2), noise(n, 3));
            let residual = (case % 3 == 0).then(|| noise(m * n, 4));
            let bias = (case % 2 == 1).then_some(&bias[..]);
            let want = reference::gemm([m, n, k], |m, at| a[m * k + at], |at, n| w[n * k + at], bias);
            let want = finish(&want, residual.as_deref(), activation);
            let epilogue = Epilogue { activation, residual: residual.as_deref() };
            let transposed: Vec<f32> = (0..n * k).map(|i| w[i % n * k + i / n]).collect();
            for packed in [
                PackedF32::new(cpu, n, k, &w, bias),
                PackedF32::from_transposed(cpu, n, k, &transposed, bias),
            ] {
                let mut out = vec![f32::NAN; m * n];
                gemm_f32(&a, m, k, &packed.unwrap(), &mut out, n, &epilogue, Par::serial()).unwrap();
                wrong.extend(difference(&out, &want, k).map(|d| format!("{} {m}x{n}x{k}: {d}", cpu.name())));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn weights_of_16_bits_give_the_bits_of_wide_ones() {
    for cpu in Cpu::all() {
        for [m, n, k] in SIZES {
            let (a, bias) = (noise(m * k, 1), noise(n, 3));
            let halves: Vec<f16> = noise(n * k, 2).into_iter().map(f16::from_f32).collect();
            let compute = |weights| {
                let packed = PackedF32::new(cpu, n, k, weights, Some(&bias)).unwrap();
                let mut out = vec![f32::NAN; m * n];
                gemm_f32(&a, m, k, &packed, &mut out, n, &Activation::RELU6.into(), Par::new(2)).unwrap();
                (out, packed.bytes())
            };
            let (wide, wide_bytes) = compute(StoredFloats::Half(&halves));
            let (kept, kept_bytes) = compute(StoredFloats::Kept(&halves));
            let name = format!("{} {m}x{n}x{k}", cpu.name());
            assert!(wide.iter().zip(&kept).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");
            let smaller = cpu.widens_halves() && n > 0 && k > 0;
            assert_eq!(kept_bytes < wide_bytes, smaller, "{name}: {kept_bytes} of {wide_bytes} bytes");
        }
    }
}

#[test]
fn rows_may_be_apart() {
    let ([m, n, k], lda, ldc) = ([9, 21, 10], 1024, 30);
    let (a, w) = (noise(m * lda, 1), noise(n * k, 2));
    let want = reference::gemm([m, n, k], |m, at| a[m * lda + at], |at, n| w[n * k + at], None);
    for cpu in Cpu::all() {
        let packed = PackedF32::new(cpu, n, k, &w, None).unwrap();
        let mut out = vec![7.0; (m - 1) * ldc + n];
        gemm_f32(&a, m, lda, &packed, &mut out, ldc, &Epilogue::default(), Par::serial()).unwrap();
        for (row, line) in out.chunks(ldc).enumerate() {
            assert_eq!(difference(&line[..n], &want[row * n..][..n], k), None, "{}", cpu.name());
            assert!(line[n..].iter().all(|&v| v == 7.0), "{} wrote between rows", cpu.name());
        }
    }
}

#[test]
fn threads_do_not_change_bits() {
    for cpu in Cpu::all() {
        for [m, n, k] in [[1, 300, 500], [50, 100, 70], [200, 33, 40], [3, 700, 90]] {
            let (a, w, bias) = (noise(m * k, 1), noise(n * k, 2), noise(n, 3));
            let packed = PackedF32::new(cpu, n, k, &w, Some(&bias)).unwrap();
            let compute = |par| {
                let mut out = vec![0.0; m * n];
                gemm_f32(&a, m, k, &packed, &mut out, n, &Activation::RELU.into(), par).unwrap();
                out
            };
            assert_eq!(thread_difference(compute), None, "{} {m}x{n}x{k}", cpu.name());
        }
    }
}

#[test]
fn batches_broadcast_and_transpose() {
    let mut wrong = Vec::new();
    for cpu in Cpu::all() {
        for (left_transposed, right_transposed) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            for [m, n, k] in [[1, 20, 6], [15, 33, 9], [4, 5, 0], [0, 2, 2], [30, 8, 64]] {
                let pairs = vec![(0, 0), (1, 0), (0, 1)];
                let (left, right, residual) = (noise(2 * m * k, 1), noise(2 * n * k, 2), noise(3 * m * n, 5));
                let shape = MatMulShape { m, n, k, left_transposed, right_transposed };
                let mut want = Vec::new();
                for &(l, r) in &pairs {
                    let a =
                        |row, at| left[l * m * k + if left_transposed { at * m + row } else { row * k + at }];
                    let b = |at, column| {
                        right[r * n * k + if right_transposed { column * k + at } else { at * n + column }]
                    };
                    want.extend(reference::gemm([m, n, k], a, b, None));
                }
                let want = finish(&want, Some(&residual), Activation::RELU);
                let kernel = BatchMatMul::new(cpu, shape, &pairs);
                let epilogue = Epilogue { activation: Activation::RELU, residual: Some(&residual) };
                let compute = |par| {
                    let mut scratch = vec![f32::NAN; kernel.scratch_bytes(par) / 4];
                    let mut out = vec![f32::NAN; want.len()];
                    kernel.run(&left, &right, &mut out, &mut scratch, &epilogue, par).unwrap();
                    out
                };
                let place = |d| format!("{} {shape:?}: {d}", cpu.name());
                wrong.extend(difference(&compute(Par::serial()), &want, k).map(place));
                wrong.extend(thread_difference(compute).map(place));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Heads of attention as they lie in a tensor whose order of dimensions is another.
#[test]
fn matrices_among_others_are_the_bits_of_those_by_themselves() {
    const HEADS: usize = 3;
    // Lines of all heads side by side, and each head's own.
    let apart = |data: &[f32], lines: usize, len: usize| -> Vec<f32> {
        let at = |i: usize| (i / (lines * len), i / len % lines, i % len);
        (0..data.len()).map(at).map(|(head, line, x)| data[(line * HEADS + head) * len + x]).collect()
    };
    for cpu in Cpu::all() {
        for (left_transposed, right_transposed) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            for [m, n, k] in [[15, 33, 9], [128, 64, 128], [1, 20, 6], [30, 300, 64], [3, 2, 1]] {
                let shape = MatMulShape { m, n, k, left_transposed, right_transposed };
                let (left, right) = (noise(HEADS * m * k, 1), noise(HEADS * n * k, 2));
                let run = |kernel: &BatchMatMul, left: &[f32], right: &[f32], par| {
                    let mut scratch = vec![f32::NAN; kernel.scratch_bytes(par) / 4];
                    let mut out = vec![f32::NAN; HEADS * m * n];
                    let epilogue = Epilogue { activation: Activation::None, residual: None };
                    kernel.run(left, right, &mut out, &mut scratch, &epilogue, par).unwrap();
                    out
                };
                let [[left_lines, left_len], [right_lines, right_len]] = [
                    if left_transposed { [k, m] } else { [m, k] },
                    if right_transposed { [n, k] } else { [k, n] },
                ];
                let pairs: Vec<_> = (0..HEADS).map(|head| (head, head)).collect();
                let own = BatchMatMul::new(cpu, shape, &pairs);
                let lefts = apart(&left, left_lines, left_len);
                let want = run(&own, &lefts, &apart(&right, right_lines, right_len), Par::serial());
                let starts = (0..HEADS).map(|head| [head * left_len, head * right_len, head * n]);
                let steps = [left_len, right_len, n].map(|len| HEADS * len);
                let among = BatchMatMul::among(cpu, shape, steps, starts.collect()).unwrap();
                for threads in [1, 2, 4] {
                    let got = apart(&run(&among, &left, &right, Par::new(threads)), m, n);
                    assert_eq!(got, want, "{} {shape:?}, {threads} threads", cpu.name());
                }
            }
        }
    }
    let shape = MatMulShape { m: 2, n: 4, k: 1, left_transposed: false, right_transposed: false };
    for (name, step, second, fits) in [
        ("one after another", 4, 8, true),
        ("side by side", 8, 4, true),
        ("overlapping columns", 8, 2, false),
        ("into the next row", 8, 5, false),
        ("overlapping rows", 4, 4, false),
        ("rows that overlap", 3, 100, false),
        ("no distance", 0, 100, false),
    ] {
        let starts = vec![[0, 0, 0], [0, 0, second]];
        let product = BatchMatMul::among(Cpu::detect(), shape, [1, 4, step], starts);
        assert_eq!(product.is_ok(), fits, "{name}");
    }
}

#[test]
fn products_read_in_place_are_the_bits_of_packed_ones() {
    let sizes = [
        [1, 1, 1],
        [16, 128, 32],
        [3, 10, 7],
        [14, 47, 20],
        [65, 33, 5],
        [2, 3, 0],
        [0, 4, 4],
        [100, 64, 200],
    ];
    for cpu in Cpu::all() {
        for left_transposed in [false, true] {
            for [m, n, k] in sizes {
                let (left, right) = (noise(m * k, 1), noise(n * k, 2));
                let shape = MatMulShape { m, n, k, left_transposed, right_transposed: false };
                let kernel = BatchMatMul::new(cpu, shape, &[(0, 0)]);
                // A residual has the product packed.
                let zeros = vec![0.0; m * n];
                let compute = |residual, par| {
                    let epilogue = Epilogue { activation: Activation::None, residual };
                    let mut scratch = vec![f32::NAN; kernel.scratch_bytes(par) / 4];
                    let mut out = vec![f32::NAN; m * n];
                    kernel.run(&left, &right, &mut out, &mut scratch, &epilogue, par).unwrap();
                    out
                };
                let case = format!("{} {shape:?}", cpu.name());
                assert_eq!(compute(None, Par::serial()), compute(Some(&zeros), Par::serial()), "{case}");
                assert_eq!(thread_difference(|par| compute(None, par)), None, "{case}");
            }
        }
    }
}

#[test]
fn sizes_that_do_not_fit_are_errors() {
    let packed = PackedF32::new(Cpu::detect(), 4, 3, &[0.0; 12], None).unwrap();
    let run = |a: usize, lda, out: usize, ldc, residual: Option<&[f32]>| {
        let epilogue = Epilogue { activation: Activation::None, residual };
        gemm_f32(&vec![0.0; a], 2, lda, &packed, &mut vec![0.0; out], ldc, &epilogue, Par::serial())
    };
    assert_eq!(run(6, 3, 8, 4, None), Ok(()));
    assert!(run(5, 3, 8, 4, None).is_err(), "short left");
    assert!(run(6, 2, 8, 4, None).is_err(), "overlapping left rows");
    assert!(run(6, 3, 7, 4, None).is_err(), "short output");
    assert!(run(6, 3, 8, 3, None).is_err(), "overlapping output rows");
    assert!(run(6, 3, 8, 4, Some(&[0.0; 7])).is_err(), "short residual");
    assert!(PackedF32::new(Cpu::detect(), 4, 3, &[0.0; 11], None).is_err(), "short weights");
    assert!(PackedF32::new(Cpu::detect(), 4, 3, &[0.0; 12], Some(&[0.0; 3])).is_err(), "short bias");
}

#[test]
fn names_follow_the_grammar() {
    for cpu in Cpu::all() {
        let want = match cpu.name() {
            "portable" | "wasm128" => "f32_gemm_4x8_",
            "avx2" | "avxvnni" => "f32_gemm_6x16_",
            "neon" | "neondot" | "neoni8mm" => "f32_gemm_8x8_",
            _ => "f32_gemm_14x32_",
        };
        assert_eq!(gemm_f32_name(cpu), format!("{want}{}", cpu.name()));
    }
}
