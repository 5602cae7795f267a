//! The loops of a reduction over any set of axes.

use super::reductions::Reduction;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::Par;

/// Accumulators that are kept side by side.
const LANES: usize = 32;

/// Accumulators that are left when the last elements of a run, fewer than [`LANES`], are taken in.
const LAST_LANES: usize = LANES / 2;

/// Columns that are reduced side by side in registers.
const COLUMNS: usize = 2 * LANES;

/// Columns that are reduced side by side if there are many rows, each of which may lie in another page: then more of a row
/// is read at a time, and the accumulators stay in the first-level cache.
const MANY_COLUMNS: usize = 512;

/// Rows that are many.
const MANY_ROWS: usize = 512;

/// Tiles for each thread.
const TILES_PER_THREAD: usize = 2;

/// Element visits that make one tile of work.
const TILE_VISITS: usize = 16 << 10;

/// A dimension of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dim {
    len: usize,
    stride: usize,
}

/// A reduction's shape with neighbouring axes of a kind merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReducePlan {
    /// Axes that stay, but for the innermost of the source.
    kept: Vec<Dim>,
    /// Axes that are reduced, but for the innermost of the source.
    reduced: Vec<Dim>,
    /// The innermost axis of the source.
    inner: usize,
    /// Whether the innermost axis is reduced.
    inner_reduced: bool,
    source_len: usize,
    result_len: usize,
}

impl ReducePlan {
    /// Plans to reduce the axes of `shape` where `reduced` holds.
    ///
    /// # Panics
    /// If the two differ in length.
    #[must_use]
    pub fn new(shape: &[usize], reduced: &[bool]) -> Self {
        assert_eq!(shape.len(), reduced.len(), "one flag per axis");
        let mut axes: Vec<(usize, bool)> = Vec::new();
        for (&len, &reduced) in shape.iter().zip(reduced) {
            match axes.last_mut() {
                Some(last) if last.1 == reduced => last.0 *= len,
                _ if len == 1 => {}
                _ => axes.push((len, reduced)),
            }
        }
        let product = |of: bool| axes.iter().filter(|a| a.1 == of).map(|a| a.0).product::<usize>();
        let (kept_len, reduced_len) = (product(false), product(true));
        let (inner, inner_reduced) = axes.pop().unwrap_or((1, false));
        let mut plan = Self {
            kept: Vec::new(),
            reduced: Vec::new(),
            inner,
            inner_reduced,
            source_len: kept_len * reduced_len,
            result_len: kept_len,
        };
        let mut stride = inner;
        for &(len, reduced) in axes.iter().rev() {
            let dims = if reduced { &mut plan.reduced } else { &mut plan.kept };
            dims.insert(0, Dim { len, stride });
            stride *= len;
        }
        plan
    }

    /// Elements of the source.
    #[must_use]
    pub fn source_len(&self) -> usize {
        self.source_len
    }

    /// Elements of the result.
    #[must_use]
    pub fn result_len(&self) -> usize {
        self.result_len
    }

    /// Elements that make one of the result.
    #[must_use]
    pub fn count(&self) -> usize {
        let inner = if self.inner_reduced { self.inner } else { 1 };
        self.reduced.iter().map(|d| d.len).product::<usize>() * inner
    }

    /// Where the stretch of the source for result element `index` starts.
    #[inline(always)]
    fn base(&self, index: usize) -> usize {
        let (mut rest, mut base) = (index, 0);
        if !self.inner_reduced {
            base = rest % self.inner;
            rest /= self.inner;
        }
        for d in self.kept.iter().rev() {
            base += rest % d.len * d.stride;
            rest /= d.len;
        }
        base
    }

    /// Calls `f` with the position of every element that goes into result element `index`, in the source's order.
    pub(super) fn for_each_element(&self, index: usize, mut f: impl FnMut(usize)) {
        let base = self.base(index);
        let run = if self.inner_reduced { self.inner } else { 1 };
        self.offsets().for_each(|offset| (0..run).for_each(|i| f(base + offset + i)));
    }

    /// The offsets of all steps of the reduced axes but the innermost.
    #[inline(always)]
    fn offsets(&self) -> Offsets<'_> {
        let (outer, last) = match self.reduced.split_last() {
            Some((&last, outer)) => (outer, last),
            None => (&[][..], Dim { len: 1, stride: 0 }),
        };
        let rows = if last.len == 0 { 0 } else { outer.iter().map(|d| d.len).product() };
        Offsets { outer, last, row: 0, rows, at: last.len, start: 0 }
    }
}

/// Iterates over the offsets of steps of reduced axes. Not a closure that is called with each: that may stay a call
/// without the instruction set.
struct Offsets<'a> {
    outer: &'a [Dim],
    last: Dim,
    /// The next step of the outer axes, and their number.
    row: usize,
    rows: usize,
    /// The next step of the last axis, and the offset of its first one.
    at: usize,
    start: usize,
}

impl Iterator for Offsets<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.at == self.last.len {
            if self.row == self.rows {
                return None;
            }
            let mut rest = self.row;
            (self.row, self.at, self.start) = (self.row + 1, 0, 0);
            for d in self.outer.iter().rev() {
                self.start += rest % d.len * d.stride;
                rest /= d.len;
            }
        }
        self.at += 1;
        Some(self.start + (self.at - 1) * self.last.stride)
    }
}

/// Reduces `src` into `dst`.
///
/// # Panics
/// If an operand's length is not the plan's.
pub fn reduce<R: Reduction>(
    cpu: Cpu,
    par: Par,
    reduction: R,
    plan: &ReducePlan,
    src: &[R::In],
    dst: &mut [R::Out],
) {
    assert_eq!(
        (src.len(), dst.len()),
        (plan.source_len, plan.result_len),
        "operands must have the planned shape"
    );
    let mut chunk = (TILE_VISITS / plan.count().max(1)).max(1);
    if !plan.inner_reduced {
        // Neighbouring columns share cache lines: no more cuts than the threads need.
        let fair = plan.result_len.div_ceil(TILES_PER_THREAD * par.threads());
        let whole = if par.threads() == 1 { plan.result_len } else { fair };
        chunk = chunk.max(whole).next_multiple_of(LANES);
    } else {
        chunk = par.even_chunk(plan.result_len, chunk, 1);
    }
    par.chunks_mut(dst, chunk, |tile, dst| {
        cpu.dispatch(Stretch { reduction, plan, src, dst, first: tile * chunk });
    });
}

/// A stretch of the result.
struct Stretch<'a, R: Reduction> {
    reduction: R,
    plan: &'a ReducePlan,
    src: &'a [R::In],
    dst: &'a mut [R::Out],
    /// Index of the first result element.
    first: usize,
}

impl<R: Reduction> Kernel for Stretch<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, _: S) {
        if self.plan.inner_reduced { self.along() } else { self.across() }
    }
}

impl<R: Reduction> Stretch<'_, R> {
    /// The innermost axis stays: result elements side by side are reduced side by side.
    #[inline(always)]
    fn across(&mut self) {
        let inner = self.plan.inner;
        let most = if self.plan.count() < MANY_ROWS { COLUMNS } else { MANY_COLUMNS };
        let mut done = 0;
        while done < self.dst.len() {
            let index = self.first + done;
            let len = most.min(inner - index % inner).min(self.dst.len() - done);
            // A number of columns known here keeps its accumulators in registers.
            match len {
                8 => self.columns::<8>(index, done, 8),
                16 => self.columns::<16>(index, done, 16),
                LANES => self.columns::<LANES>(index, done, LANES),
                COLUMNS => self.columns::<COLUMNS>(index, done, COLUMNS),
                _ if len < LANES => self.columns::<LANES>(index, done, len),
                _ if len < COLUMNS => self.columns::<COLUMNS>(index, done, len),
                _ => self.columns::<MANY_COLUMNS>(index, done, len),
            }
            done += len;
        }
    }

    /// Reduces `len <= N` neighbouring columns.
    #[inline(always)]
    fn columns<const N: usize>(&mut self, index: usize, done: usize, len: usize) {
        let mut total = [self.reduction.start(); N];
        let base = self.plan.base(index);
        for offset in self.plan.offsets() {
            take(&mut total, &self.src[base + offset..base + offset + len], R::step);
        }
        for (to, &acc) in self.dst[done..done + len].iter_mut().zip(&total) {
            *to = self.reduction.finish(acc);
        }
    }

    /// The innermost axis is reduced: each result element comes from runs of the source.
    #[inline(always)]
    fn along(&mut self) {
        for (i, to) in self.dst.iter_mut().enumerate() {
            let base = self.plan.base(self.first + i);
            let mut total = self.reduction.start();
            for offset in self.plan.offsets() {
                let run = &self.src[base + offset..base + offset + self.plan.inner];
                total = R::merge(total, self.reduction.run(run));
            }
            *to = self.reduction.finish(total);
        }
    }
}

/// Reduces one row to what [`reduce`] makes of it where a row of at least two elements is all that is reduced.
#[inline(always)]
pub(crate) fn reduce_row<R: Reduction>(reduction: R, row: &[R::In]) -> R::Out {
    reduction.finish(R::merge(reduction.start(), reduction.run(row)))
}

/// A reduction of neighbouring elements.
trait Run: Reduction {
    /// Reduces a run in the order in which the reference adds floats with two registers of 16 lanes, which is as good
    /// as any other.
    #[inline(always)]
    fn run(self, run: &[Self::In]) -> Self::Acc {
        let mut lanes = [self.start(); LANES];
        let mut rows = run.chunks_exact(LANES);
        for row in &mut rows {
            take(&mut lanes, row, Self::step);
        }
        let mut rest = rows.remainder();
        if let Some((row, tail)) = rest.split_at_checked(LAST_LANES) {
            take(&mut lanes, row, Self::step);
            rest = tail;
        }
        let mut width = LAST_LANES;
        while width > 0 {
            let (low, high) = lanes.split_at_mut(width);
            take(low, &high[..width], Self::merge);
            if width == LAST_LANES {
                take(low, rest, Self::step);
            }
            width /= 2;
        }
        lanes[0]
    }
}

impl<R: Reduction> Run for R {}

/// Takes elements into as many accumulators.
#[inline(always)]
fn take<A: Copy, T: Copy>(lanes: &mut [A], from: &[T], step: impl Fn(A, T) -> A) {
    for (acc, &x) in lanes.iter_mut().zip(from) {
        *acc = step(*acc, x);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{All, Any, MaxOf, Mean, MinOf, Product, QuantizedSum, Sum};
    use super::*;
    use crate::reference;
    use core::marker::PhantomData;

    const SHAPES: &[(&str, &[usize], &[bool])] = &[
        ("scalar", &[], &[]),
        ("all of a vector", &[9000], &[true]),
        ("none", &[2, 3], &[false, false]),
        ("rows", &[5, 70], &[false, true]),
        ("columns", &[70, 45], &[true, false]),
        ("long columns", &[700, 3], &[true, false]),
        ("columns of several widths", &[5, 245], &[true, false]),
        ("many rows of many columns", &[600, 530], &[true, false]),
        ("image", &[2, 7, 6, 40], &[false, true, true, false]),
        ("outer and inner", &[3, 4, 5], &[true, false, true]),
        ("every other", &[3, 2, 4, 1, 2, 3], &[true, false, true, false, false, true]),
        ("ends stay", &[2, 3, 4, 5, 6], &[false, true, false, true, false]),
        ("empty source", &[0, 3], &[true, false]),
        ("empty result", &[0, 3], &[false, true]),
    ];

    fn check<R>(
        name: &str,
        make: impl Fn(usize) -> R,
        value: impl Fn(usize) -> R::In,
        failures: &mut Vec<String>,
    ) where
        R: Reduction,
        R::Out: Default + core::fmt::Debug,
    {
        for (shape_name, shape, reduced) in SHAPES {
            let plan = ReducePlan::new(shape, reduced);
            let reduction = make(plan.count());
            let src: Vec<R::In> = (0..plan.source_len()).map(&value).collect();
            let want = reference::reduce::reduce(reduction, shape, reduced, &src);
            assert_eq!(plan.result_len(), want.len(), "{shape_name}");
            for cpu in Cpu::all() {
                let mut got = vec![R::Out::default(); want.len()];
                reduce(cpu, Par::new(2), reduction, &plan, &src, &mut got);
                // By their text, so that NaN equals NaN.
                if format!("{got:?}") != format!("{want:?}") {
                    failures
                        .push(format!("{name}, {shape_name}, {}: {got:?} instead of {want:?}", cpu.name()));
                }
            }
        }
    }

    #[test]
    fn equals_the_plain_loops() {
        let mut failures = Vec::new();
        // Small whole numbers add up exactly in any order.
        let float = |i: usize| (i * 37 % 101) as f32 - 50.0;
        let byte = |i: usize| (i * 37 % 251) as u8;
        let int = |i: usize| (i as i32).wrapping_mul(0x9e37_79b9_u32 as i32);
        check("sum f32", |_| Sum::<f32>::default(), float, &mut failures);
        check("sum i32", |_| Sum::<i32>::default(), int, &mut failures);
        check("sum i64", |_| Sum::<i64>::default(), |i| i64::from(int(i)) << 30, &mut failures);
        check("mean f32", Mean::<f32>::of, |i| float(i).abs() + 1.0, &mut failures);
        check("mean i32", Mean::<i32>::of, int, &mut failures);
        check("product i32", |_| Product::<i32>::default(), |i| int(i) | 1, &mut failures);
        check("max f32", |_| MaxOf::<f32>::default(), float, &mut failures);
        check("max i8", |_| MaxOf::<i8>::default(), |i| byte(i) as i8, &mut failures);
        check("min u8", |_| MinOf::<u8>::default(), byte, &mut failures);
        check("min i64", |_| MinOf::<i64>::default(), |i| i64::from(int(i)), &mut failures);
        check("any", |_| Any, |i| u8::from(i % 97 == 5), &mut failures);
        check("all", |_| All, |i| u8::from(i % 97 != 5), &mut failures);
        fn quantized<T>(n: usize) -> QuantizedSum<T> {
            QuantizedSum { scale: 0.5 / n.max(1) as f32, offset: 3.25, element: PhantomData }
        }
        check("quantized mean i8", quantized::<i8>, |i| byte(i) as i8, &mut failures);
        check("quantized mean u8", quantized::<u8>, byte, &mut failures);
        check("quantized mean i16", quantized::<i16>, |i| int(i) as i16, &mut failures);
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn long_sums_keep_some_digits() {
        for (name, shape, reduced, limit) in
            [("along", [1, 1 << 20], [false, true], 2e-4), ("across", [1 << 15, 2], [true, false], 2e-4)]
        {
            let plan = ReducePlan::new(&shape, &reduced);
            let src = vec![0.1f32; plan.source_len()];
            let mut got = vec![0.0; plan.result_len()];
            reduce(Cpu::detect(), Par::serial(), Mean::<f32>::of(plan.count()), &plan, &src, &mut got);
            assert!(got.iter().all(|x| (x - 0.1).abs() < limit), "{name}: {got:?}");
        }
    }

    #[test]
    fn runs_are_added_in_the_order_of_two_registers() {
        // 1e8 swallows a one, so that what is added to what shows.
        type Row = (&'static str, usize, &'static [(usize, f32)], f32);
        let rows: &[Row] = &[
            ("lanes 0 and 32 are one sum", 64, &[(0, 1e8), (32, 1.0)], 1e8),
            ("lanes 0 and 16 meet before 8", 32, &[(0, 1e8), (16, -1e8), (8, 1.0)], 1.0),
            ("a last row of 16 goes to the lower lanes first", 48, &[(0, 1e8), (32, 1.0), (16, -1e8)], 0.0),
            ("the tail comes after the registers are joined", 33, &[(0, 1e8), (16, -1e8), (32, 1.0)], 1.0),
        ];
        for &(name, len, values, want) in rows {
            let mut run = vec![0.0; len];
            for &(at, value) in values {
                run[at] = value;
            }
            assert_eq!(Sum::<f32>::default().run(&run), want, "{name}");
        }
    }
}
