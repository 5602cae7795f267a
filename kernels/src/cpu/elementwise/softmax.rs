//! Softmax and its logarithm over rows, and L2 normalization.
//!
//! A row is the innermost dimension. Rows are independent, so threads share them out and the result does not depend on
//! their number.

use super::lut::{Table16, lookup16};
use super::math::exp_negative;
use super::narrow_rows::{NARROW, NarrowRows, RowFunction};
use super::quantized::Narrow;
use crate::cpu::recurrent::fixed::reciprocal_sqrt;
use crate::fixed_point::Multiplier;
use crate::inout::InOut;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::Par;

/// Elements of the rows that are handed out together.
const TILE: usize = 16 * 1024;

/// Calls `run` for groups of whole rows: their input and output.
pub(super) fn for_each_rows<A: Sync, B: Send>(
    par: Par,
    input: &[A],
    out: &mut [B],
    row: usize,
    run: impl Fn(&[A], &mut [B]) + Send + Sync,
) {
    assert_eq!(input.len(), out.len());
    if row == 0 || out.is_empty() {
        return;
    }
    assert_eq!(out.len() % row, 0);
    let tile = par.even_chunk(out.len(), TILE, row);
    par.chunks_mut(out, tile, |index, out| run(&input[index * tile..][..out.len()], out));
}

/// `e^(β x) / Σ e^(β x)` of each row of `row` elements, relative to the row's maximum.
///
/// # Panics
/// If the length is not a multiple of `row`.
pub fn softmax(cpu: Cpu, par: Par, mut io: InOut<'_, f32>, row: usize, beta: f32) {
    struct Row(*const f32, *mut f32, usize, f32);
    impl Kernel for Row {
        type Output = ();
        #[inline(always)]
        fn run<S: Isa>(self, isa: S) {
            // SAFETY: the row has as many elements on both sides.
            unsafe { softmax_row(isa, self.0, self.1, self.2, self.3) };
        }
    }
    if row <= NARROW && io.len() > row {
        return narrow(cpu, par, &mut io, row, RowFunction::Softmax { beta });
    }
    rows_in_out(par, &mut io, row, |src, dst, rows| {
        each_row(src, dst, rows, row, |src, dst| cpu.dispatch(Row(src, dst, row, beta)));
    });
}

/// [`softmax`] of one row of more than [`NARROW`] elements.
///
/// # Safety
/// `src` and `dst` must be valid for `len` elements, and the same or disjoint.
#[inline(always)]
pub(super) unsafe fn softmax_row<S: Isa>(isa: S, src: *const f32, dst: *mut f32, len: usize, beta: f32) {
    // SAFETY: forwarded.
    unsafe {
        let max = row_max(isa, src, len);
        let sum = exponentials(isa, src, dst, len, max, beta);
        let scale = isa.splat(1.0 / sum);
        for i in (0..len).step_by(S::LANES) {
            let n = S::LANES.min(len - i);
            store(isa, isa.mul(load(isa, dst.add(i), n), scale), dst.add(i), n);
        }
    }
}

/// `x - max - ln Σ e^(x - max)` of each row of `row` elements.
///
/// # Panics
/// If the length is not a multiple of `row`.
pub fn log_softmax(cpu: Cpu, par: Par, mut io: InOut<'_, f32>, row: usize) {
    struct Row(*const f32, *mut f32, usize);
    impl Kernel for Row {
        type Output = ();
        #[inline(always)]
        fn run<S: Isa>(self, isa: S) {
            let Self(src, dst, len) = self;
            // SAFETY: the row has `len` elements on both sides.
            unsafe {
                let max = row_max(isa, src, len);
                let (top, mut sum) = (isa.splat(max), isa.zero());
                for i in (0..len).step_by(S::LANES) {
                    let n = S::LANES.min(len - i);
                    let e = exp_negative(isa, isa.sub(load(isa, src.add(i), n), top));
                    sum = isa.add(sum, keep(isa, e, n));
                }
                let log = isa.splat(isa.reduce_add(sum).ln());
                for i in (0..len).step_by(S::LANES) {
                    let n = S::LANES.min(len - i);
                    let x = load(isa, src.add(i), n);
                    store(isa, isa.sub(isa.sub(x, top), log), dst.add(i), n);
                }
            }
        }
    }
    // A row by itself too: the loop below adds in an order that depends on the number of lanes.
    if row <= NARROW {
        return narrow(cpu, par, &mut io, row, RowFunction::LogSoftmax);
    }
    rows_in_out(par, &mut io, row, |src, dst, rows| {
        each_row(src, dst, rows, row, |src, dst| cpu.dispatch(Row(src, dst, row)));
    });
}

/// Several rows at a time.
fn narrow(cpu: Cpu, par: Par, io: &mut InOut<'_, f32>, row: usize, result: RowFunction) {
    rows_in_out(par, io, row, |src, dst, rows| cpu.dispatch(NarrowRows { src, dst, rows, row, result }));
}

/// `x / √max(Σ x², 1e-6)` of each row of `row` elements.
///
/// # Panics
/// If the length is not a multiple of `row`.
pub fn l2_normalize(cpu: Cpu, par: Par, mut io: InOut<'_, f32>, row: usize) {
    struct Row(*const f32, *mut f32, usize);
    impl Kernel for Row {
        type Output = ();
        #[inline(always)]
        fn run<S: Isa>(self, isa: S) {
            let Self(src, dst, len) = self;
            let mut sum = isa.zero();
            // SAFETY: the row has `len` elements on both sides.
            unsafe {
                for i in (0..len).step_by(S::LANES) {
                    let x = load(isa, src.add(i), S::LANES.min(len - i));
                    sum = isa.fma(x, x, sum);
                }
                let norm = isa.splat(isa.reduce_add(sum).sqrt().max(1e-6));
                for i in (0..len).step_by(S::LANES) {
                    let n = S::LANES.min(len - i);
                    store(isa, isa.div(load(isa, src.add(i), n), norm), dst.add(i), n);
                }
            }
        }
    }
    rows_in_out(par, &mut io, row, |src, dst, rows| {
        each_row(src, dst, rows, row, |src, dst| cpu.dispatch(Row(src, dst, row)));
    });
}

/// Reads `n <= LANES` values, the other lanes are zero.
///
/// # Safety
/// `src` must be valid for reading `n` values.
#[inline(always)]
unsafe fn load<S: Isa>(isa: S, src: *const f32, n: usize) -> S::F {
    // SAFETY: forwarded.
    unsafe { if n == S::LANES { isa.load_ptr(src) } else { isa.load_ptr_part(src, n) } }
}

/// Writes the first `n <= LANES` lanes.
///
/// # Safety
/// `dst` must be valid for writing `n` values.
#[inline(always)]
unsafe fn store<S: Isa>(isa: S, value: S::F, dst: *mut f32, n: usize) {
    // SAFETY: forwarded.
    unsafe { if n == S::LANES { isa.store_ptr(value, dst) } else { isa.store_ptr_part(value, dst, n) } }
}

/// The first `n <= LANES` lanes, the others zero.
#[inline(always)]
fn keep<S: Isa>(isa: S, x: S::F, n: usize) -> S::F {
    if n == S::LANES {
        return x;
    }
    let mut lanes = [0.0; crate::isa::MAX_LANES];
    isa.store_part(x, &mut lanes[..n]);
    isa.load(&lanes)
}

/// The greatest of `len` elements; negative infinity for none.
///
/// # Safety
/// `src` must be valid for reading `len` elements.
#[inline(always)]
unsafe fn row_max<S: Isa>(isa: S, src: *const f32, len: usize) -> f32 {
    let mut top = isa.splat(f32::NEG_INFINITY);
    let mut rest = f32::NEG_INFINITY;
    for i in (0..len).step_by(S::LANES) {
        if len - i >= S::LANES {
            // SAFETY: within the row.
            top = isa.max(top, unsafe { isa.load_ptr(src.add(i)) });
        } else {
            for j in i..len {
                // SAFETY: within the row.
                rest = rest.max(unsafe { *src.add(j) });
            }
        }
    }
    isa.reduce_max(top).max(rest)
}

/// Elements whose exponentials are added side by side, first 32, then 16.
const SIDE_BY_SIDE: usize = 32;

/// Sums of exponentials in the reference's order, which is that of two registers of 16 lanes: blocks of 64 go to 32
/// partial sums, these are folded to 16, blocks of 16 follow, and the rest is added before the last sums are folded.
struct PartialSums<S: Isa>([S::F; SIDE_BY_SIDE / MIN_LANES]);

/// The fewest lanes an instruction set has.
const MIN_LANES: usize = 4;

impl<S: Isa> PartialSums<S> {
    /// Registers that hold 32 partial sums.
    const COUNT: usize = SIDE_BY_SIDE / S::LANES;

    /// Adds a register to partial sum `at`.
    #[inline(always)]
    fn add(&mut self, isa: S, at: usize, x: S::F) {
        let sum = &mut self.0[at];
        *sum = isa.add(*sum, x);
    }

    /// Adds the upper half of the first `width` registers to the lower.
    #[inline(always)]
    fn fold(&mut self, isa: S, width: usize) {
        for i in 0..width / 2 {
            self.0[i] = isa.add(self.0[i], self.0[i + width / 2]);
        }
    }

    /// The sum of 16 partial sums.
    #[inline(always)]
    fn total(mut self, isa: S) -> f32 {
        let mut width = Self::COUNT / 2;
        while width > 1 {
            self.fold(isa, width);
            width /= 2;
        }
        isa.reduce_add(self.0[0])
    }
}

/// Writes `e^(β (x - max))` and gives their sum.
///
/// # Safety
/// `src` and `dst` must be valid for `len` elements, and the same or disjoint.
#[inline(always)]
unsafe fn exponentials<S: Isa>(
    isa: S,
    src: *const f32,
    dst: *mut f32,
    len: usize,
    max: f32,
    beta: f32,
) -> f32 {
    const BLOCK: usize = 2 * SIDE_BY_SIDE;
    let (top, beta) = (isa.splat(max), isa.splat(beta));
    let mut sums = PartialSums::<S>([isa.zero(); SIDE_BY_SIDE / MIN_LANES]);
    let blocks = len - len % BLOCK;
    for i in (0..len).step_by(S::LANES) {
        if i == blocks {
            sums.fold(isa, PartialSums::<S>::COUNT);
        }
        let side_by_side = if i < blocks { SIDE_BY_SIDE } else { SIDE_BY_SIDE / 2 };
        let (at, n) = (i % side_by_side / S::LANES, len - i);
        // SAFETY: within the row; elements are read before their places are written.
        unsafe {
            if n >= S::LANES {
                let x = isa.load_ptr(src.add(i));
                let e = exp_negative(isa, isa.mul(isa.sub(x, top), beta));
                isa.store_ptr(e, dst.add(i));
                sums.add(isa, at, e);
            } else {
                let x = isa.load_ptr_part(src.add(i), n);
                let e = exp_negative(isa, isa.mul(isa.sub(x, top), beta));
                isa.store_ptr_part(e, dst.add(i), n);
                sums.add(isa, at, keep(isa, e, n));
            }
        }
    }
    if len == blocks {
        sums.fold(isa, PartialSums::<S>::COUNT);
    }
    sums.total(isa)
}

/// Calls `run` with the start of each of `rows` neighbouring rows.
fn each_row(src: *const f32, dst: *mut f32, rows: usize, row: usize, run: impl Fn(*const f32, *mut f32)) {
    for r in 0..rows {
        // SAFETY: row `r` lies within the `rows * row` elements that [`rows_in_out`] gives.
        run(unsafe { src.add(r * row) }, unsafe { dst.add(r * row) });
    }
}

/// Calls `run` with the start of neighbouring rows of an operand that may be computed in place, and their number.
fn rows_in_out(
    par: Par,
    io: &mut InOut<'_, f32>,
    row: usize,
    run: impl Fn(*const f32, *mut f32, usize) + Send + Sync,
) {
    /// Addresses that cross threads; each row is touched by one.
    #[derive(Clone, Copy)]
    struct Ends(*const f32, *mut f32);
    // SAFETY: an `InOut` is exclusive access, and the rows handed out are disjoint.
    unsafe impl Sync for Ends {}
    // SAFETY: as above.
    unsafe impl Send for Ends {}
    if row == 0 || io.is_empty() {
        return;
    }
    assert_eq!(io.len() % row, 0);
    let rows = io.len() / row;
    let group = par.even_chunk(rows, (TILE / row).max(1), 1);
    let ends = Ends(io.src(), io.dst());
    par.for_each_tile(rows.div_ceil(group), move |tile| {
        let ends = ends;
        let r = tile * group;
        // SAFETY: row `r` lies within the operand's `rows * row` elements.
        run(unsafe { ends.0.add(r * row) }, unsafe { ends.1.add(r * row) }, group.min(rows - r));
    });
}

/// `e^(-scale d)` for the distances `d` of 8-bit values from the row's greatest.
pub type ExpTable = [f32; 256];

/// The table for inputs of scale `scale` times `β`.
#[must_use]
pub fn exp_table(scale: f32, beta: f32) -> ExpTable {
    let factor = -scale * beta;
    core::array::from_fn(|d| (factor * d as f32).exp())
}

/// Logarithm of the softmax of 8-bit rows: sums in `f32` of table entries, in order.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedLogSoftmax {
    /// Elements of a row.
    pub row: usize,
    /// The input's scale.
    pub input_scale: f32,
    /// The output's scale.
    pub scale: f32,
    /// The output's zero point.
    pub zero_point: i32,
}

impl QuantizedLogSoftmax {
    /// Computes all rows.
    ///
    /// # Panics
    /// If the lengths differ or are not a multiple of the row.
    pub fn run<T: Narrow>(&self, par: Par, table: &ExpTable, input: &[T], out: &mut [T]) {
        for_each_rows(par, input, out, self.row, |input, out| {
            for (input, out) in input.chunks_exact(self.row).zip(out.chunks_exact_mut(self.row)) {
                let top = input.iter().map(|x| x.widen()).max().unwrap_or(0);
                let sum = input.iter().fold(0.0f32, |sum, x| sum + table[(top - x.widen()) as u8 as usize]);
                let factor = self.input_scale / self.scale;
                let offset = (self.input_scale * top as f32 + sum.ln()) / self.scale;
                for (o, x) in out.iter_mut().zip(input) {
                    let steps = factor * x.widen() as f32 - offset;
                    *o = T::saturate(steps.round_ties_even() as i32 + self.zero_point);
                }
            }
        });
    }
}

/// L2 normalization of 8-bit rows in fixed point; the output has the scale 1/128.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedL2 {
    /// Elements of a row.
    pub row: usize,
    /// The input's zero point.
    pub input_zero_point: i32,
    /// The output's zero point.
    pub output_zero_point: i32,
}

impl QuantizedL2 {
    /// Computes all rows.
    ///
    /// # Panics
    /// If the lengths differ or are not a multiple of the row.
    pub fn run<T: Narrow>(&self, par: Par, input: &[T], out: &mut [T]) {
        let centred = |x: &T| x.widen() - self.input_zero_point;
        for_each_rows(par, input, out, self.row, |input, out| {
            for (input, out) in input.chunks_exact(self.row).zip(out.chunks_exact_mut(self.row)) {
                let sum = input.iter().map(centred).fold(0i32, |sum, x| sum.wrapping_add(x * x));
                let norm = reciprocal_sqrt(sum.max(0));
                for (o, x) in out.iter_mut().zip(input) {
                    // Seven bits of the input stand for the output's scale.
                    let scaled = if T::MIN < 0 {
                        Multiplier { fraction: norm.fraction, exponent: norm.exponent + 7 }.apply(centred(x))
                    } else {
                        Multiplier { fraction: norm.fraction, exponent: norm.exponent }
                            .apply(centred(x) * 128)
                    };
                    *o = T::saturate(scaled + self.output_zero_point);
                }
            }
        });
    }
}

/// Softmax of 16-bit rows in fixed point: exponentials and the reciprocal of their sum from interpolated tables.
#[derive(Clone, Debug)]
pub struct SoftmaxI16 {
    /// Elements of a row.
    pub row: usize,
    /// From the input's steps times `β` to steps of 10 / 65535.
    pub factor: Multiplier,
    /// `e^x` for x from -10 (at -32768) to 0, in Q0.15.
    pub exp: Table16,
    /// `1 / (1 + x)` for x from 0 (at -32768) to 1, in Q0.15.
    pub reciprocal: Table16,
}

impl SoftmaxI16 {
    /// Computes all rows.
    ///
    /// # Panics
    /// If the lengths differ or are not a multiple of the row.
    pub fn run(&self, par: Par, input: &[i16], out: &mut [i16]) {
        for_each_rows(par, input, out, self.row, |input, out| {
            for (input, out) in input.chunks_exact(self.row).zip(out.chunks_exact_mut(self.row)) {
                self.one_row(input, out);
            }
        });
    }

    fn one_row(&self, input: &[i16], out: &mut [i16]) {
        let top = input.iter().copied().max().map_or(0, i32::from);
        let mut sum = 0i32;
        for (o, &x) in out.iter_mut().zip(input) {
            let distance = self.factor.apply(i32::from(x) - top).wrapping_add(32767);
            *o = lookup16(&self.exp, distance.clamp(-32768, 32767) as i16);
            sum = sum.wrapping_add(i32::from(*o));
        }
        // The sum as 1.x with 16 bits, then x brought to the table's symmetric range.
        let leading = (sum as u32).leading_zeros().clamp(1, 31);
        let shifted = (((i64::from(sum) << (leading - 1)) + (1 << 13)) >> 14) as i32;
        let x = (shifted - ((1 << 15) + (1 << 16))).clamp(-32768, 32767) as i16;
        let reciprocal = i64::from(lookup16(&self.reciprocal, x));
        let right = 31 - leading;
        let half = if right == 0 { 0 } else { 1i64 << (right - 1) };
        for o in out {
            *o = ((i64::from(*o) * reciprocal + half) >> right).clamp(0, 32767) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, row: usize) -> Vec<f32> {
        (0..count * row).map(|i| ((i * 7919) % 1000) as f32 * 0.02 - 10.0).collect()
    }

    /// Rows of 1 to 70 elements through `run` on every instruction set, apart and in place, against `reference`.
    fn check(
        run: impl Fn(Cpu, Par, InOut<'_, f32>, usize),
        reference: impl Fn(&[f64]) -> Vec<f64>,
        tolerance: f64,
    ) {
        for row in [1, 2, 3, 5, 8, 15, 16, 17, 33, 70] {
            let input = rows(9, row);
            let want: Vec<f64> = input
                .chunks(row)
                .flat_map(|r| reference(&r.iter().map(|&x| f64::from(x)).collect::<Vec<_>>()))
                .collect();
            for cpu in Cpu::all() {
                for par in [Par::serial(), Par::new(3)] {
                    let mut out = vec![0.0; input.len()];
                    run(cpu, par, InOut::apart(&input, &mut out).unwrap(), row);
                    let mut same = input.clone();
                    run(cpu, par, InOut::in_place(&mut same), row);
                    assert_eq!(out, same, "row of {row}, {}", cpu.name());
                    for (&got, &want) in out.iter().zip(&want) {
                        assert!(
                            (f64::from(got) - want).abs() <= tolerance * want.abs().max(0.1),
                            "row of {row}, {}: {got}, want {want}",
                            cpu.name()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn float_rows() {
        let softmax_of = |beta: f64| {
            move |r: &[f64]| -> Vec<f64> {
                let top = r.iter().copied().fold(f64::MIN, f64::max);
                let e: Vec<f64> = r.iter().map(|x| (beta * (x - top)).exp()).collect();
                let sum: f64 = e.iter().sum();
                e.iter().map(|e| e / sum).collect()
            }
        };
        check(|c, p, io, row| softmax(c, p, io, row, 1.0), softmax_of(1.0), 2e-6);
        check(|c, p, io, row| softmax(c, p, io, row, 0.25), softmax_of(0.25), 2e-6);
        check(log_softmax, |r| softmax_of(1.0)(r).iter().map(|p| p.ln()).collect(), 2e-6);
        check(
            l2_normalize,
            |r| {
                let norm = r.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-6);
                r.iter().map(|x| x / norm).collect()
            },
            2e-6,
        );
    }

    #[test]
    fn several_rows_at_a_time_are_the_same_bits_as_one() {
        for row in 1..=NARROW {
            let mut input = rows(37, row);
            input[row / 2] = f32::NEG_INFINITY;
            input[36 * row] = 1e30;
            for cpu in Cpu::all() {
                type Run = fn(Cpu, Par, InOut<'_, f32>, usize);
                let functions: [(&str, Run); 2] =
                    [("softmax", |c, p, io, row| softmax(c, p, io, row, 0.5)), ("logarithm", log_softmax)];
                for (name, run) in functions {
                    let mut together = input.clone();
                    run(cpu, Par::serial(), InOut::in_place(&mut together), row);
                    let mut alone = input.clone();
                    for row_of in alone.chunks_mut(row) {
                        run(cpu, Par::serial(), InOut::in_place(row_of), row);
                    }
                    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&together), bits(&alone), "{name} of {row} on {}", cpu.name());
                }
            }
        }
    }

    #[test]
    fn equal_and_extreme_rows() {
        for cpu in Cpu::all() {
            let mut row = vec![1e30f32; 5];
            softmax(cpu, Par::serial(), InOut::in_place(&mut row), 5, 1.0);
            assert!(row.iter().all(|p| (p - 0.2).abs() < 1e-6), "{}: {row:?}", cpu.name());
            let mut row = vec![0.0, -1e30, f32::NEG_INFINITY];
            softmax(cpu, Par::serial(), InOut::in_place(&mut row), 3, 1.0);
            assert_eq!(row, [1.0, 0.0, 0.0], "{}", cpu.name());
            softmax(cpu, Par::serial(), InOut::in_place(&mut []), 0, 1.0);
        }
    }

    #[test]
    fn quantized_l2_rows_have_length_one() {
        let input: Vec<i8> = (0..40).map(|i| (i * 37 % 251 - 125) as i8).collect();
        let unsigned: Vec<u8> = input.iter().map(|&x| (i32::from(x) + 128) as u8).collect();
        for row in [1, 4, 40] {
            let (mut out, mut out_u8) = (vec![0i8; 40], vec![0u8; 40]);
            let l2 = QuantizedL2 { row, input_zero_point: 3, output_zero_point: 0 };
            l2.run(Par::serial(), &input, &mut out);
            QuantizedL2 { input_zero_point: 131, output_zero_point: 128, ..l2 }.run(
                Par::serial(),
                &unsigned,
                &mut out_u8,
            );
            for (r, (x, y)) in input.chunks(row).zip(out.chunks(row).zip(out_u8.chunks(row))) {
                let norm = r.iter().map(|&v| (f64::from(v) - 3.0).powi(2)).sum::<f64>().sqrt();
                for (&v, (&x, &y)) in r.iter().zip(x.iter().zip(y)) {
                    let want = (128.0 * (f64::from(v) - 3.0) / norm).min(127.0);
                    // Half a step, and a thousandth of the result: what the reciprocal root is good for.
                    assert!((f64::from(x) - want).abs() <= 0.63, "{v}: {x}, want {want}");
                    assert!(
                        (f64::from(y) - 128.0 - want).abs() <= 0.63,
                        "{v} unsigned: {y}, want 128 + {want}"
                    );
                }
            }
        }
    }
}
