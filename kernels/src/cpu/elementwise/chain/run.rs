//! Running a chain block by block.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::plan::{BLOCK, Chain, Code, Place, REGISTERS, Spread};
use super::{Function, MOST_INPUTS, MOST_OUTPUTS};
use crate::cpu::elementwise::math::{self, Function as _};
use crate::cpu::gradient::activation::{Gradient, SELU_SCALE, SELU_SCALE_ALPHA};
use crate::error::ShapeError;
use crate::isa::{Cpu, Isa, Kernel};
use crate::par::Par;

/// Elements that a thread computes at a time, about.
const TILE: usize = 16 * 1024;

/// The operands of a run.
struct Operands {
    inputs: [*const f32; MOST_INPUTS],
    outputs: [*mut f32; MOST_OUTPUTS],
}

// SAFETY: inputs are only read, and no two tiles write the same elements of an output.
unsafe impl Sync for Operands {}
// SAFETY: as above.
unsafe impl Send for Operands {}

impl Chain {
    /// Computes the wanted results from the inputs.
    ///
    /// # Errors
    /// If there are not as many inputs or outputs as planned, or one does not have the planned length.
    pub fn run(
        &self,
        cpu: Cpu,
        inputs: &[&[f32]],
        outputs: &mut [&mut [f32]],
        par: Par,
    ) -> Result<(), ShapeError> {
        ShapeError::check("inputs", self.input_lens.len(), inputs.len())?;
        ShapeError::check("outputs", self.outputs, outputs.len())?;
        let mut operands = Operands {
            inputs: [core::ptr::null(); MOST_INPUTS],
            outputs: [core::ptr::null_mut(); MOST_OUTPUTS],
        };
        for ((to, input), &len) in operands.inputs.iter_mut().zip(inputs).zip(&self.input_lens) {
            ShapeError::check("elements of an input", len, input.len())?;
            *to = input.as_ptr();
        }
        for (to, output) in operands.outputs.iter_mut().zip(outputs) {
            ShapeError::check("elements of an output", self.len, output.len())?;
            *to = output.as_mut_ptr();
        }
        let tile = par.even_chunk(self.len, TILE, self.block);
        par.for_each_tile(self.len.div_ceil(tile), |t| {
            let range = t * tile..self.len.min((t + 1) * tile);
            // The lengths have been checked, and tiles do not overlap.
            cpu.dispatch(Tile { chain: self, operands: &operands, range });
        });
        Ok(())
    }
}

/// Blocks of floats that need no content before they are written.
#[repr(align(64))]
struct Registers([MaybeUninit<f32>; REGISTERS * BLOCK]);

/// A range of elements that starts with a block. Operands have the planned lengths, and nobody else writes the range's part
/// of the outputs: [`Chain::run`] sees to both.
struct Tile<'a> {
    chain: &'a Chain,
    operands: &'a Operands,
    range: Range<usize>,
}

impl Kernel for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Self { chain, operands, range } = self;
        let mut memory = MaybeUninit::<Registers>::uninit();
        // SAFETY: the place of a field, of which nothing is read.
        let registers = unsafe { &raw mut (*memory.as_mut_ptr()).0 }.cast::<f32>();
        let whole = chain.block.min(range.len());
        for fill in &chain.fills {
            // SAFETY: a register has room for a block; the input is not empty as the range is not, and a periodic one has
            // the length that a block is a multiple of.
            unsafe {
                let (from, to) = (operands.inputs[fill.input], registers.add(fill.register * BLOCK));
                match fill.spread {
                    Spread::Scalar => splat(isa, *from, to, whole),
                    Spread::Periodic => repeat(from, chain.input_lens[fill.input], to, whole),
                    Spread::Walk(_) => {}
                }
            }
        }
        let mut start = range.start;
        while start < range.end {
            let n = chain.block.min(range.end - start);
            for fill in &chain.fills {
                if let Spread::Walk(walk) = &fill.spread {
                    let from = operands.inputs[fill.input];
                    walk.runs(start..start + n, |run| {
                        // SAFETY: the run lies in the block, and the walk's operand in the input.
                        unsafe {
                            let from = from.add(run.operands[1]);
                            let to = registers.add(fill.register * BLOCK + run.start - start);
                            if walk.advances(1) {
                                core::ptr::copy_nonoverlapping(from, to, run.len);
                            } else {
                                core::slice::from_raw_parts_mut(to.cast::<MaybeUninit<f32>>(), run.len)
                                    .fill(MaybeUninit::new(*from));
                            }
                        }
                    });
                }
            }
            for code in &chain.code {
                let place = |place: Place| -> *mut f32 {
                    // SAFETY: inputs that are read in place and outputs are as long as the chain, registers are within the
                    // memory.
                    unsafe {
                        match place {
                            Place::Input(i) => operands.inputs[i].add(start).cast_mut(),
                            Place::Output(o) => operands.outputs[o].add(start),
                            Place::Register(r) => registers.add(r * BLOCK),
                        }
                    }
                };
                // SAFETY: `n` elements of each operand have been written; `n` of the result are writable, and no argument
                // overlaps it but by being the same register.
                unsafe { compute(isa, code, place(code.args[0]), place(code.args[1]), place(code.to), n) };
            }
            start += n;
        }
    }
}

/// # Safety
/// `to` is writable for `n` values.
#[inline(always)]
unsafe fn splat<S: Isa>(isa: S, value: f32, to: *mut f32, n: usize) {
    let value = isa.splat(value);
    let mut i = 0;
    // SAFETY: the caller's promise.
    unsafe {
        while i + S::LANES <= n {
            isa.store_ptr(value, to.add(i));
            i += S::LANES;
        }
        if i < n {
            isa.store_ptr_part(value, to.add(i), n - i);
        }
    }
}

/// # Safety
/// `from` is readable for `period` values, at least 1, `to` writable for `n`; they do not overlap.
#[inline(always)]
unsafe fn repeat(from: *const f32, period: usize, to: *mut f32, n: usize) {
    let first = period.min(n);
    // SAFETY: the caller's promise; each copy doubles what is there and reads only that.
    unsafe {
        core::ptr::copy_nonoverlapping(from, to, first);
        let mut done = first;
        while done < n {
            let more = done.min(n - done);
            core::ptr::copy_nonoverlapping(to, to.add(done), more);
            done += more;
        }
    }
}

/// A function of one number over `n` elements.
macro_rules! each {
    ($isa:ident, $S:ident, $a:ident, $to:ident, $n:ident, |$x:ident| $value:expr) => {{
        let mut i = 0;
        while i + $S::LANES <= $n {
            let $x = $isa.load_ptr($a.add(i));
            $isa.store_ptr($value, $to.add(i));
            i += $S::LANES;
        }
        if i < $n {
            let $x = $isa.load_ptr_part($a.add(i), $n - i);
            $isa.store_ptr_part($value, $to.add(i), $n - i);
        }
    }};
}

/// A function of two numbers over `n` elements.
macro_rules! pairs {
    ($isa:ident, $S:ident, $a:ident, $b:ident, $to:ident, $n:ident, |$x:ident, $y:ident| $value:expr) => {{
        let mut i = 0;
        while i + $S::LANES <= $n {
            let ($x, $y) = ($isa.load_ptr($a.add(i)), $isa.load_ptr($b.add(i)));
            $isa.store_ptr($value, $to.add(i));
            i += $S::LANES;
        }
        if i < $n {
            let ($x, $y) = ($isa.load_ptr_part($a.add(i), $n - i), $isa.load_ptr_part($b.add(i), $n - i));
            $isa.store_ptr_part($value, $to.add(i), $n - i);
        }
    }};
}

/// # Safety
/// `a`, and `b` for a function of two numbers, are readable for `n` values, `to` is writable for as many; an operand that
/// overlaps `to` is `to`.
#[inline(always)]
unsafe fn compute<S: Isa>(isa: S, code: &Code, a: *mut f32, b: *mut f32, to: *mut f32, n: usize) {
    // Unlike `max` and `min` of an instruction set, a choice by comparison says which zero and which NaN comes out.
    // SAFETY: the caller's promise; each element is read before it is written.
    unsafe {
        match code.function {
            Function::Copy => each!(isa, S, a, to, n, |x| x),
            Function::Neg => each!(isa, S, a, to, n, |x| isa.neg(x)),
            Function::Abs => each!(isa, S, a, to, n, |x| isa.abs(x)),
            Function::Square => each!(isa, S, a, to, n, |x| isa.mul(x, x)),
            Function::Sqrt => each!(isa, S, a, to, n, |x| math::Sqrt.eval(isa, x)),
            Function::Rsqrt => each!(isa, S, a, to, n, |x| math::Rsqrt.eval(isa, x)),
            Function::Exp => each!(isa, S, a, to, n, |x| math::Exp.eval(isa, x)),
            Function::Log => each!(isa, S, a, to, n, |x| math::Log.eval(isa, x)),
            Function::Sigmoid => each!(isa, S, a, to, n, |x| math::Sigmoid.eval(isa, x)),
            Function::Tanh => each!(isa, S, a, to, n, |x| math::Tanh.eval(isa, x)),
            Function::HardSwish => each!(isa, S, a, to, n, |x| math::HardSwish.eval(isa, x)),
            Function::Clamp { low, high } => {
                let (low, high) = (isa.splat(low), isa.splat(high));
                each!(isa, S, a, to, n, |x| {
                    let x = isa.select(isa.lt(x, low), low, x);
                    isa.select(isa.lt(high, x), high, x)
                });
            }
            Function::LeakyRelu { alpha } => {
                let (alpha, zero) = (isa.splat(alpha), isa.zero());
                each!(isa, S, a, to, n, |x| isa.select(isa.lt(x, zero), isa.mul(x, alpha), x));
            }
            Function::Add => pairs!(isa, S, a, b, to, n, |x, y| isa.add(x, y)),
            Function::Sub => pairs!(isa, S, a, b, to, n, |x, y| isa.sub(x, y)),
            Function::Mul => pairs!(isa, S, a, b, to, n, |x, y| isa.mul(x, y)),
            Function::Div => pairs!(isa, S, a, b, to, n, |x, y| isa.div(x, y)),
            Function::Maximum => pairs!(isa, S, a, b, to, n, |x, y| isa.select(isa.lt(y, x), x, y)),
            Function::Minimum => pairs!(isa, S, a, b, to, n, |x, y| isa.select(isa.lt(x, y), x, y)),
            Function::SquaredDifference => pairs!(isa, S, a, b, to, n, |x, y| {
                let difference = isa.sub(x, y);
                isa.mul(difference, difference)
            }),
            Function::Pow => {
                for i in 0..n {
                    *to.add(i) = (*a.add(i)).powf(*b.add(i));
                }
            }
            Function::Gradient(gradient) => grade(isa, gradient, a, b, to, n),
        }
    }
}

/// [`Gradient::of`] by vectors, with the same roundings.
///
/// # Safety
/// As for [`compute`].
#[inline(always)]
unsafe fn grade<S: Isa>(isa: S, gradient: Gradient, a: *mut f32, b: *mut f32, to: *mut f32, n: usize) {
    let (zero, one) = (isa.zero(), isa.splat(1.0));
    // SAFETY: the caller's promise.
    unsafe {
        match gradient {
            Gradient::Relu => pairs!(isa, S, a, b, to, n, |k, g| isa.select(isa.lt(zero, k), g, zero)),
            Gradient::Relu6 => {
                let six = isa.splat(6.0);
                pairs!(isa, S, a, b, to, n, |k, g| {
                    let below = isa.select(isa.lt(k, six), g, zero);
                    isa.select(isa.lt(zero, k), below, zero)
                });
            }
            Gradient::LeakyRelu { alpha } => {
                let alpha = isa.splat(alpha);
                pairs!(isa, S, a, b, to, n, |k, g| isa.select(isa.lt(zero, k), g, isa.mul(alpha, g)));
            }
            Gradient::Elu => pairs!(isa, S, a, b, to, n, |k, g| {
                isa.select(isa.lt(k, zero), isa.mul(g, isa.add(k, one)), g)
            }),
            Gradient::Selu => {
                let (scale, shift) = (isa.splat(SELU_SCALE), isa.splat(SELU_SCALE_ALPHA));
                pairs!(isa, S, a, b, to, n, |k, g| {
                    isa.select(isa.lt(k, zero), isa.mul(g, isa.add(k, shift)), isa.mul(g, scale))
                });
            }
            Gradient::Softsign => pairs!(isa, S, a, b, to, n, |k, g| {
                let scale = isa.add(one, isa.abs(k));
                isa.div(g, isa.mul(scale, scale))
            }),
            Gradient::Tanh => pairs!(isa, S, a, b, to, n, |k, g| isa.mul(g, isa.sub(one, isa.mul(k, k)))),
            Gradient::Sigmoid => {
                pairs!(isa, S, a, b, to, n, |k, g| isa.mul(isa.mul(g, k), isa.sub(one, k)))
            }
            Gradient::Sqrt => {
                let half = isa.splat(0.5);
                pairs!(isa, S, a, b, to, n, |k, g| isa.div(isa.mul(g, half), k));
            }
            Gradient::Rsqrt => {
                let half = isa.splat(-0.5);
                pairs!(isa, S, a, b, to, n, |k, g| isa.mul(isa.mul(isa.mul(isa.mul(g, half), k), k), k));
            }
            Gradient::Reciprocal => {
                pairs!(isa, S, a, b, to, n, |k, g| isa.mul(isa.mul(isa.neg(g), k), k))
            }
            Gradient::Softplus => {
                for i in 0..n {
                    *to.add(i) = gradient.of(*a.add(i), *b.add(i));
                }
            }
        }
    }
}
