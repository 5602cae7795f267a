//! Softmax of 8-bit rows.

use super::quantized::Narrow;
use super::softmax::{ExpTable, for_each_rows};
use crate::isa::{Cpu, Isa, IsaNarrow, Kernel, MAX_LANES};
use crate::par::Par;

/// How a probability in output steps becomes an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Halves away from zero.
    Nearest,
    /// Add one half and cut; the zero point is not looked at.
    AddHalf,
}

/// Softmax of 8-bit rows: sums in `f32` of table entries, in order.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedSoftmax {
    /// Elements of a row.
    pub row: usize,
    /// The output's scale.
    pub scale: f32,
    /// The output's zero point.
    pub zero_point: i32,
    /// How probabilities are rounded.
    pub rounding: Rounding,
}

/// Rows whose sums are added up side by side.
const TOGETHER: usize = 4;
/// Table entries that are looked up before they are made integers.
const BLOCK: usize = 8 * MAX_LANES;
/// More steps than any integer of an output has.
const MANY_STEPS: f32 = (1 << 20) as f32;

impl QuantizedSoftmax {
    /// Computes all rows.
    ///
    /// # Panics
    /// If the lengths differ or are not a multiple of the row.
    pub fn run<A: Narrow, B: Narrow>(
        &self,
        cpu: Cpu,
        par: Par,
        table: &ExpTable,
        input: &[A],
        out: &mut [B],
    ) {
        for_each_rows(par, input, out, self.row, |input, out| {
            cpu.dispatch(Rows { op: self, table, input, out });
        });
    }
}

/// Some rows.
struct Rows<'a, A, B> {
    op: &'a QuantizedSoftmax,
    table: &'a ExpTable,
    input: &'a [A],
    out: &'a mut [B],
}

impl<A: Narrow, B: Narrow> Kernel for Rows<'_, A, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Self { op, table, input, out } = self;
        let row = op.row;
        for (input, out) in input.chunks(TOGETHER * row).zip(out.chunks_mut(TOGETHER * row)) {
            if input.len() == TOGETHER * row {
                op.rows::<S, A, B, TOGETHER>(isa, table, input, out);
                continue;
            }
            for (input, out) in input.chunks_exact(row).zip(out.chunks_exact_mut(row)) {
                op.rows::<S, A, B, 1>(isa, table, input, out);
            }
        }
    }
}

/// The table's entry for an element of a row whose greatest is `top`.
#[inline(always)]
fn entry<A: Narrow>(table: &ExpTable, top: i32, x: A) -> f32 {
    table[usize::from((top - x.widen()) as u8)]
}

impl QuantizedSoftmax {
    /// `R` rows. Each sum is one chain of additions; several rows' keep it from being waited for.
    #[inline(always)]
    fn rows<S: Isa, A: Narrow, B: Narrow, const R: usize>(
        &self,
        isa: S,
        table: &ExpTable,
        input: &[A],
        out: &mut [B],
    ) {
        let row = self.row;
        let mut rows: [&[A]; R] = [&[]; R];
        let (mut tops, mut sums) = ([0; R], [0f32; R]);
        for (r, (of, top)) in rows.iter_mut().zip(&mut tops).enumerate() {
            *of = &input[r * row..][..row];
            *top = of.iter().fold(A::MIN, |top, x| top.max(x.widen()));
        }
        #[expect(clippy::needless_range_loop, reason = "rows are walked side by side")]
        for i in 0..row {
            for r in 0..R {
                sums[r] += entry(table, tops[r], rows[r][i]);
            }
        }
        for (r, out) in out.chunks_exact_mut(row).enumerate() {
            let factor = 1.0 / (sums[r] * self.scale);
            for (input, out) in rows[r].chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
                let mut entries = [0f32; BLOCK];
                for (e, &x) in entries.iter_mut().zip(input) {
                    *e = entry(table, tops[r], x);
                }
                self.integers(isa, &entries, factor, out);
            }
        }
    }

    /// The outputs for table entries.
    #[inline(always)]
    fn integers<S: Isa, B: Narrow>(&self, isa: S, entries: &[f32; BLOCK], factor: f32, out: &mut [B]) {
        let half = isa.splat(0.5);
        let mut steps = [0; BLOCK];
        for at in (0..out.len()).step_by(S::LANES) {
            let x = isa.mul(isa.load(&entries[at..]), isa.splat(factor));
            let x = isa.min(isa.splat(MANY_STEPS), x);
            let whole = match self.rounding {
                Rounding::Nearest => {
                    let whole = isa.to_i32_trunc(x);
                    let rest = isa.sub(x, isa.to_f32(whole));
                    let up = isa.select_i32(isa.lt(rest, half), isa.splat_i32(0), isa.splat_i32(1));
                    isa.add_i32(isa.add_i32(whole, up), isa.splat_i32(self.zero_point))
                }
                Rounding::AddHalf => isa.to_i32_trunc(isa.add(x, half)),
            };
            isa.store_i32(whole, &mut steps[at..]);
        }
        for (out, &steps) in out.iter_mut().zip(&steps) {
            *out = B::saturate(steps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::softmax::exp_table;
    use super::*;

    /// One row after another, by the definition.
    fn plain(op: &QuantizedSoftmax, table: &ExpTable, input: &[i8]) -> Vec<i8> {
        let row = |input: &[i8]| {
            let top = input.iter().copied().max().unwrap_or(0);
            let entry = |x: i8| table[usize::from((i32::from(top) - i32::from(x)) as u8)];
            let factor = 1.0 / (input.iter().fold(0.0, |sum, &x| sum + entry(x)) * op.scale);
            let steps = |x: i8| match op.rounding {
                Rounding::Nearest => (entry(x) * factor).round() as i32 + op.zero_point,
                Rounding::AddHalf => (entry(x) * factor + 0.5) as i32,
            };
            input.iter().map(|&x| steps(x).clamp(-128, 127) as i8).collect::<Vec<_>>()
        };
        input.chunks_exact(op.row).flat_map(row).collect()
    }

    #[test]
    fn rows_by_vectors_are_those_one_by_one() {
        for (name, row, rows, scale, beta) in [
            ("one element", 1, 9, 1.0 / 256.0, 1.0),
            ("few rows", 10, 3, 1.0 / 256.0, 1.0),
            ("groups and a rest", 37, 11, 1.0 / 256.0, 0.5),
            ("blocks and a rest", 300, 5, 1.0 / 256.0, 2.0),
            ("halves", 4, 64, 1.0 / 128.0, 0.0),
            ("coarse output", 16, 8, 0.5, 1.0),
            ("fine output", 16, 8, 1e-7, 1.0),
        ] {
            let input: Vec<i8> = (0..rows * row).map(|i| (i * i * 31 + i * 7) as u8 as i8).collect();
            let table = exp_table(0.05, beta);
            for rounding in [Rounding::Nearest, Rounding::AddHalf] {
                let op = QuantizedSoftmax { row, scale, zero_point: -128, rounding };
                let want = plain(&op, &table, &input);
                for cpu in Cpu::all() {
                    let mut out = vec![0i8; input.len()];
                    op.run(cpu, Par::new(2), &table, &input, &mut out);
                    assert_eq!(out, want, "{name}, {rounding:?}, {}", cpu.name());
                }
            }
        }
    }

    #[test]
    fn quantized_rows_sum_to_one() {
        let scale = 0.1f32;
        let input: Vec<i8> = (0..40).map(|i| (i * 37 % 251 - 125) as i8).collect();
        let table = exp_table(scale, 1.0);
        for row in [1, 4, 10, 40] {
            let op =
                QuantizedSoftmax { row, scale: 1.0 / 256.0, zero_point: -128, rounding: Rounding::Nearest };
            let mut out = vec![0i8; 40];
            op.run(Cpu::detect(), Par::new(2), &table, &input, &mut out);
            for (x, p) in input.chunks(row).zip(out.chunks(row)) {
                let top = f64::from(*x.iter().max().unwrap());
                let sum: f64 = x.iter().map(|&v| ((f64::from(v) - top) * 0.1).exp()).sum();
                for (&x, &p) in x.iter().zip(p) {
                    let want = (256.0 * ((f64::from(x) - top) * 0.1).exp() / sum - 128.0).min(127.0);
                    assert!((f64::from(p) - want).abs() <= 0.51, "{x}: {p}, want {want}");
                }
            }
        }
    }
}
