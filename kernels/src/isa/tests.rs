//! Every vector method of every instruction set against the same thing said with scalars.

use super::*;
use crate::fixed_point::high_mul_i16;

/// Numbers with corner cases, `LANES` at a time.
const FLOATS: [f32; 32] = [
    0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.3, -0.3, 1.0, -1.0, 126.5, 127.5, -128.5, 255.5, 1e-3, -1e-3,
    3.7, -3.7, 1e6, -1e6, 123456.5, 8388607.0, -8388607.5, 7.0, 42.42, -17.25, 0.1, 65535.5, -32768.5, 2.0,
    -2.0,
];
const INTS: [i32; 32] = [
    0,
    1,
    -1,
    2,
    127,
    128,
    -128,
    -129,
    255,
    256,
    32767,
    32768,
    -32768,
    -32769,
    65536,
    1 << 30,
    i32::MAX,
    i32::MIN,
    5,
    -7,
    1000,
    -1000,
    46341,
    -46341,
    77,
    3,
    9,
    12345678,
    -12345678,
    200,
    -200,
    31,
];

/// Runs `$body` for each instruction set with `$isa` bound and gathers what it finds wrong.
macro_rules! for_each_isa {
    (|$isa:ident: $S:ident, $wrong:ident| $body:block) => {{
        struct Test;
        impl Kernel for Test {
            type Output = Vec<String>;
            #[inline(always)]
            fn run<$S: Isa>(self, $isa: $S) -> Vec<String> {
                let mut $wrong = Vec::new();
                $body
                $wrong
            }
        }
        let wrong: Vec<(&str, String)> =
            Cpu::all().into_iter().flat_map(|cpu| cpu.dispatch(Test).into_iter().map(move |w| (cpu.name(), w))).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }};
}

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[test]
fn sums_of_vectors() {
    for_each_isa!(|isa: S, wrong| {
        let mut vectors = [isa.zero(); MAX_LANES];
        for (i, vector) in vectors.iter_mut().enumerate() {
            let lanes: [f32; MAX_LANES] =
                core::array::from_fn(|lane| FLOATS[(3 * i + lane) % 32] * (i + 1) as f32 + 0.1);
            *vector = isa.load(&lanes);
        }
        let mut sums = [0.0; MAX_LANES];
        isa.store(isa.reduce_add_each(&vectors), &mut sums);
        for (i, (sum, &vector)) in sums.into_iter().zip(&vectors[..S::LANES]).enumerate() {
            let want = isa.reduce_add(vector);
            if sum.to_bits() != want.to_bits() {
                wrong.push(format!("vector {i}: {want}, got {sum}"));
            }
        }
    });
}

#[test]
fn halves() {
    for_each_isa!(|isa: S, wrong| {
        let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        for block in all.chunks_exact(S::LANES) {
            let mut wide = [0.0; MAX_LANES];
            // SAFETY: a block has a value for each lane.
            isa.store(unsafe { isa.load_halves_ptr(block.as_ptr()) }, &mut wide);
            for (half, wide) in block.iter().zip(wide) {
                let want = half.to_f32();
                if want.to_bits() != wide.to_bits() && !(want.is_nan() && wide.is_nan()) {
                    wrong.push(format!("{:#x}: {want}, got {wide}", half.to_bits()));
                }
            }
        }
    });
}

#[test]
fn float_methods() {
    type Unary<S> = (&'static str, fn(S, <S as Isa>::F) -> <S as Isa>::F, fn(f32) -> f32);
    type Binary<S> =
        (&'static str, fn(S, <S as Isa>::F, <S as Isa>::F) -> <S as Isa>::F, fn(f32, f32) -> f32);
    for_each_isa!(|isa: S, wrong| {
        let unary: [Unary<S>; 6] = [
            ("sqrt", |s, a| s.sqrt(a), f32::sqrt),
            ("round", |s, a| s.round(a), f32::round_ties_even),
            ("floor", |s, a| s.floor(a), f32::floor),
            ("neg", |s, a| s.neg(a), |a| -a),
            ("abs", |s, a| s.abs(a), f32::abs),
            ("bits", |s, a| s.bits_to_f32(s.bits(a)), |a| a),
        ];
        let specials =
            [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, f32::MIN_POSITIVE / 4.0, 0.49999997];
        let inputs: Vec<f32> =
            FLOATS.iter().copied().chain(specials.iter().copied().cycle().take(64 - FLOATS.len())).collect();
        for (name, vector, scalar) in unary {
            for block in inputs.chunks_exact(S::LANES) {
                let mut out = [0.0; MAX_LANES];
                isa.store(vector(isa, isa.load(block)), &mut out);
                for (&x, &got) in block.iter().zip(&out) {
                    if !same(got, scalar(x)) {
                        wrong.push(format!("{name}({x}) = {got}, want {}", scalar(x)));
                    }
                }
            }
        }
        let binary: [Binary<S>; 9] = [
            ("add", |s, a, b| s.add(a, b), |a, b| a + b),
            ("sub", |s, a, b| s.sub(a, b), |a, b| a - b),
            ("mul", |s, a, b| s.mul(a, b), |a, b| a * b),
            ("div", |s, a, b| s.div(a, b), |a, b| a / b),
            ("copysign", |s, a, b| s.copysign(a, b), f32::copysign),
            ("lt", |s, a, b| s.select(s.lt(a, b), a, b), |a, b| if a < b { a } else { b }),
            ("le", |s, a, b| s.select(s.le(a, b), b, a), |a, b| if a <= b { b } else { a }),
            ("eq", |s, a, b| s.select(s.eq(a, b), a, s.splat(9.0)), |a, b| if a == b { a } else { 9.0 }),
            ("clamp", |s, a, b| s.clamp(a, s.neg(s.abs(b)), s.abs(b)), |a, b| a.clamp(-b.abs(), b.abs())),
        ];
        for (name, vector, scalar) in binary {
            for shift in 0..FLOATS.len() {
                let mut other = inputs.clone();
                other.rotate_left(shift);
                if name == "clamp" {
                    other.iter_mut().for_each(|b| *b = if b.is_nan() || *b == 0.0 { 1.0 } else { *b });
                }
                for (a, b) in inputs.chunks_exact(S::LANES).zip(other.chunks_exact(S::LANES)) {
                    let mut out = [0.0; MAX_LANES];
                    isa.store(vector(isa, isa.load(a), isa.load(b)), &mut out);
                    for ((&a, &b), &got) in a.iter().zip(b).zip(&out) {
                        if !same(got, scalar(a, b)) {
                            wrong.push(format!("{name}({a}, {b}) = {got}, want {}", scalar(a, b)));
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn min_and_max_keep_a_nan_in_the_second_operand() {
    for_each_isa!(|isa: S, wrong| {
        let cases = [(1.0, 2.0), (2.0, 1.0), (-1.0, 1.0), (3.0, f32::NAN), (f32::INFINITY, 0.0)];
        for (a, b) in cases {
            let mut out = [0.0; MAX_LANES];
            isa.store(isa.min(isa.splat(a), isa.splat(b)), &mut out);
            if !same(out[0], if a < b { a } else { b }) {
                wrong.push(format!("min({a}, {b}) = {}", out[0]));
            }
            isa.store(isa.max(isa.splat(a), isa.splat(b)), &mut out);
            if !same(out[0], if a > b { a } else { b }) {
                wrong.push(format!("max({a}, {b}) = {}", out[0]));
            }
        }
    });
}

#[test]
fn fma_is_fused_or_product_then_sum() {
    for_each_isa!(|isa: S, wrong| {
        let (a, b, c) = (1.0 + f32::EPSILON, 1.0 - f32::EPSILON, -1.0);
        let mut out = [0.0; MAX_LANES];
        isa.store(isa.fma(isa.splat(a), isa.splat(b), isa.splat(c)), &mut out);
        let want =
            if core::any::type_name::<S>().ends_with("Portable") { a * b + c } else { a.mul_add(b, c) };
        if out[0] != want {
            wrong.push(format!("fma = {:e}, want {want:e}", out[0]));
        }
    });
}

#[test]
fn conversions() {
    for_each_isa!(|isa: S, wrong| {
        for block in FLOATS.chunks_exact(S::LANES) {
            let (mut near, mut cut) = ([0; MAX_LANES], [0; MAX_LANES]);
            isa.store_i32(isa.to_i32_round(isa.load(block)), &mut near);
            isa.store_i32(isa.to_i32_trunc(isa.load(block)), &mut cut);
            for (i, &x) in block.iter().enumerate() {
                if near[i] != x.round_ties_even() as i32 || cut[i] != x as i32 {
                    wrong.push(format!("to_i32({x}) = {}, {}", near[i], cut[i]));
                }
            }
        }
        for block in INTS.chunks_exact(S::LANES) {
            let mut out = [0.0; MAX_LANES];
            isa.store(isa.to_f32(isa.load_i32(block)), &mut out);
            for (&x, &got) in block.iter().zip(&out) {
                if got != x as f32 {
                    wrong.push(format!("to_f32({x}) = {got}"));
                }
            }
        }
    });
}

#[test]
fn integer_methods() {
    type Binary<S> =
        (&'static str, fn(S, <S as Isa>::I, <S as Isa>::I) -> <S as Isa>::I, fn(i32, i32) -> i32);
    for_each_isa!(|isa: S, wrong| {
        let binary: [Binary<S>; 15] = [
            ("add", |s, a, b| s.add_i32(a, b), i32::wrapping_add),
            ("sub", |s, a, b| s.sub_i32(a, b), i32::wrapping_sub),
            ("mul", |s, a, b| s.mul_i32(a, b), i32::wrapping_mul),
            ("min", |s, a, b| s.min_i32(a, b), i32::min),
            ("max", |s, a, b| s.max_i32(a, b), i32::max),
            ("and", |s, a, b| s.and(a, b), |a, b| a & b),
            ("or", |s, a, b| s.or(a, b), |a, b| a | b),
            ("xor", |s, a, b| s.xor(a, b), |a, b| a ^ b),
            ("shl 23", |s, a, _| s.shl::<23>(a), |a, _| a << 23),
            ("shr 5", |s, a, _| s.shr::<5>(a), |a, _| a >> 5),
            ("shr 31", |s, a, _| s.shr::<31>(a), |a, _| a >> 31),
            ("shr_by 13", |s, a, _| s.shr_by(a, 13), |a, _| a >> 13),
            ("shr_by 30", |s, a, _| s.shr_by(a, 30), |a, _| a >> 30),
            (
                "lt",
                |s, a, b| s.select_i32(s.lt_i32(a, b), a, s.splat_i32(6)),
                |a, b| if a < b { a } else { 6 },
            ),
            (
                "eq",
                |s, a, b| s.select_i32(s.eq_i32(a, b), a, s.splat_i32(6)),
                |a, b| if a == b { a } else { 6 },
            ),
        ];
        for (name, vector, scalar) in binary {
            for shift in 0..INTS.len() {
                let mut other = INTS;
                other.rotate_left(shift);
                for (a, b) in INTS.chunks_exact(S::LANES).zip(other.chunks_exact(S::LANES)) {
                    let mut out = [0; MAX_LANES];
                    isa.store_i32(vector(isa, isa.load_i32(a), isa.load_i32(b)), &mut out);
                    for ((&a, &b), &got) in a.iter().zip(b).zip(&out) {
                        if got != scalar(a, b) {
                            wrong.push(format!("{name}({a}, {b}) = {got}, want {}", scalar(a, b)));
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn methods_of_16_bit_lanes() {
    type Binary<S> =
        (&'static str, fn(S, <S as Isa>::I, <S as Isa>::I) -> <S as Isa>::I, fn(i16, i16) -> i16);
    for_each_isa!(|isa: S, wrong| {
        let halves: Vec<i16> =
            INTS.iter().flat_map(|&x| [x as i16, (x >> 16) as i16, (x >> 5) as i16, !x as i16]).collect();
        let binary: [Binary<S>; 8] = [
            ("add", |s, a, b| s.add_i16(a, b), i16::wrapping_add),
            ("sub", |s, a, b| s.sub_i16(a, b), i16::wrapping_sub),
            ("saturating_add", |s, a, b| s.saturating_add_i16(a, b), i16::saturating_add),
            ("high_mul", |s, a, b| s.high_mul_i16(a, b), high_mul_i16),
            ("eq", |s, a, b| s.eq_i16(a, b), |a, b| -i16::from(a == b)),
            ("lt", |s, a, b| s.lt_i16(a, b), |a, b| -i16::from(a < b)),
            ("splat", |s, _, _| s.splat_i16(-77), |_, _| -77),
            ("blend", |s, a, b| s.blend(s.splat_i16(0xf0), a, b), |a, b| a & 0xf0 | b & !0xf0),
        ];
        for (name, vector, scalar) in binary {
            for shift in 0..halves.len() {
                let mut other = halves.clone();
                other.rotate_left(shift);
                for (a, b) in halves.chunks_exact(2 * S::LANES).zip(other.chunks_exact(2 * S::LANES)) {
                    let mut out = [0i16; 2 * MAX_LANES];
                    // SAFETY: two 16-bit numbers for each lane.
                    unsafe {
                        let [a, b] = [a, b].map(|x| isa.load_i32_ptr(x.as_ptr().cast()));
                        isa.store_i32_ptr(vector(isa, a, b), out.as_mut_ptr().cast());
                    }
                    for ((&a, &b), &got) in a.iter().zip(b).zip(&out) {
                        if got != scalar(a, b) && (name, a, b) != ("high_mul", i16::MIN, i16::MIN) {
                            wrong.push(format!("{name}({a}, {b}) = {got}, want {}", scalar(a, b)));
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn narrow_loads_and_stores() {
    for_each_isa!(|isa: S, wrong| {
        for block in INTS.chunks_exact(S::LANES) {
            let value = isa.load_i32(block);
            let (mut as_i8, mut as_u8, mut as_i16) = ([0i8; MAX_LANES], [0u8; MAX_LANES], [0i16; MAX_LANES]);
            isa.store_i8(value, &mut as_i8);
            isa.store_u8(value, &mut as_u8);
            isa.store_i16(value, &mut as_i16);
            let mut back = [[0; MAX_LANES]; 3];
            isa.store_i32(isa.load_i8(&as_i8), &mut back[0]);
            isa.store_i32(isa.load_u8(&as_u8), &mut back[1]);
            isa.store_i32(isa.load_i16(&as_i16), &mut back[2]);
            for (i, &x) in block.iter().enumerate() {
                let want = [x.clamp(-128, 127), x.clamp(0, 255), x.clamp(-32768, 32767)];
                if want != [back[0][i], back[1][i], back[2][i]] {
                    wrong.push(format!("{x}: {want:?}, got {:?}", [back[0][i], back[1][i], back[2][i]]));
                }
            }
            if as_i8[S::LANES..].iter().any(|&v| v != 0) || as_i16[S::LANES..].iter().any(|&v| v != 0) {
                wrong.push("a narrow store wrote beyond its lanes".into());
            }
        }
    });
}

#[test]
fn partial_loads_and_stores() {
    for_each_isa!(|isa: S, wrong| {
        for n in 0..=S::LANES {
            let (mut floats, mut ints, mut bytes) = ([7.0; MAX_LANES], [7; MAX_LANES], [7i8; MAX_LANES]);
            isa.store(isa.load_part(&FLOATS[2..2 + n]), &mut floats);
            isa.store_i32(isa.load_i32_part(&INTS[1..1 + n]), &mut ints);
            isa.store_i32(isa.load_i8_part(&[-3; MAX_LANES][..n]), &mut ints[..]);
            if floats[..n] != FLOATS[2..2 + n] || floats[n..S::LANES].iter().any(|&v| v != 0.0) {
                wrong.push(format!("load_part of {n}: {floats:?}"));
            }
            if ints[..n].iter().any(|&v| v != -3) || ints[n..S::LANES].iter().any(|&v| v != 0) {
                wrong.push(format!("load_i8_part of {n}: {ints:?}"));
            }
            floats.fill(7.0);
            ints.fill(7);
            isa.store_part(isa.splat(1.0), &mut floats[..n]);
            isa.store_i32_part(isa.splat_i32(1), &mut ints[..n]);
            isa.store_i8_part(isa.splat_i32(1), &mut bytes[..n]);
            let stored = floats[..n].iter().all(|&v| v == 1.0)
                && ints[..n].iter().all(|&v| v == 1)
                && bytes[..n].iter().all(|&v| v == 1);
            let kept = floats[n..].iter().all(|&v| v == 7.0)
                && ints[n..].iter().all(|&v| v == 7)
                && bytes[n..].iter().all(|&v| v == 7);
            if !stored || !kept {
                wrong.push(format!("store_part of {n}: {floats:?} {ints:?} {bytes:?}"));
            }
        }
    });
}

#[test]
fn reductions() {
    for_each_isa!(|isa: S, wrong| {
        let lanes: Vec<f32> = (0..S::LANES).map(|i| i as f32 - 2.0).collect();
        let v = isa.load(&lanes);
        let got = (
            isa.reduce_add(v),
            isa.reduce_max(v),
            isa.reduce_min(v),
            isa.reduce_add_i32(isa.to_i32_round(v)),
        );
        let sum: f32 = lanes.iter().sum();
        if got != (sum, lanes[S::LANES - 1], -2.0, sum as i32) {
            wrong.push(format!("{got:?}"));
        }
    });
}

#[test]
fn lookups_and_estimates() {
    for_each_isa!(|isa: S, wrong| {
        let table: [f32; 32] = core::array::from_fn(|i| i as f32 * 1.5 - 7.0);
        for block in INTS.chunks_exact(S::LANES) {
            let mut got = [0.0; MAX_LANES];
            isa.store(isa.lookup32(&table, isa.load_i32(block)), &mut got);
            for (&index, &got) in block.iter().zip(&got) {
                if got != table[(index & 31) as usize] {
                    wrong.push(format!("lookup32({index}) = {got}"));
                }
            }
        }
        for block in FLOATS.chunks_exact(S::LANES) {
            let Some(estimate) = isa.rsqrt_estimate(isa.load(block)) else { continue };
            let mut got = [0.0; MAX_LANES];
            isa.store(estimate, &mut got);
            for (&x, &got) in block.iter().zip(&got) {
                let want = 1.0 / x.sqrt();
                if !same(got, want) && (got / want - 1.0).abs() > 1.0 / 16384.0 {
                    wrong.push(format!("rsqrt_estimate({x}) = {got}, want about {want}"));
                }
            }
        }
    });
}

#[test]
fn detection_is_among_all() {
    assert!(Cpu::all().contains(&Cpu::detect()));
    assert!(Cpu::all().iter().all(|cpu| cpu.lanes() <= MAX_LANES));
}
