//! Running a chain block by block.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::compute::{self, compute};
use super::plan::{Chain, Code, MEMORY, Operand, Place, Spread, Step};
use super::{MOST_INPUTS, MOST_OUTPUTS};
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
        ShapeError::check("outputs", self.output_lens.len(), outputs.len())?;
        let mut operands = Operands {
            inputs: [core::ptr::null(); MOST_INPUTS],
            outputs: [core::ptr::null_mut(); MOST_OUTPUTS],
        };
        for ((to, input), &len) in operands.inputs.iter_mut().zip(inputs).zip(&self.input_lens) {
            ShapeError::check("elements of an input", len, input.len())?;
            *to = input.as_ptr();
        }
        for ((to, output), &len) in operands.outputs.iter_mut().zip(outputs).zip(&self.output_lens) {
            ShapeError::check("elements of an output", len, output.len())?;
            *to = output.as_mut_ptr();
        }
        let tile = par.even_chunk(self.rows, (TILE / self.row).max(1), self.unit);
        par.for_each_tile(self.rows.div_ceil(tile), |t| {
            let range = t * tile..self.rows.min((t + 1) * tile);
            // The lengths have been checked, and tiles do not overlap.
            cpu.dispatch(Tile { chain: self, operands: &operands, range });
        });
        Ok(())
    }
}

/// Registers: floats that need no content before they are written.
#[repr(align(64))]
struct Memory([MaybeUninit<f32>; MEMORY]);

/// A range of rows that starts with a block. Operands have the planned lengths, and nobody else writes the range's part of
/// the outputs: [`Chain::run`] sees to both.
struct Tile<'a> {
    chain: &'a Chain,
    operands: &'a Operands,
    range: Range<usize>,
}

/// Neighbouring rows, at most as many as a block has.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    rows: usize,
}

impl Kernel for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let chain = self.chain;
        let mut memory = MaybeUninit::<Memory>::uninit();
        // SAFETY: the place of a field, of which nothing is read.
        let registers = unsafe { &raw mut (*memory.as_mut_ptr()).0 }.cast::<f32>();
        let whole = chain.block.min(self.range.len()) * chain.row;
        for fill in &chain.fills {
            if let Spread::Periodic = fill.spread {
                let to = self.at(registers, fill.to, Step::Element, self.range.start);
                // SAFETY: a register has room for a block, and the input, which is not empty as the range is not, has the
                // length that a block is a multiple of.
                unsafe {
                    repeat(self.operands.inputs[fill.input], chain.input_lens[fill.input], to, whole);
                }
            }
        }
        let mut first = self.range.start;
        while first < self.range.end {
            let block = Block { first, rows: chain.block.min(self.range.end - first) };
            self.spread(registers, block);
            for code in &chain.code {
                self.compute(isa, registers, block, code);
            }
            first += block.rows;
        }
    }
}

impl Tile<'_> {
    /// Where the values of an operand for row `first`, with which a block begins, are.
    #[inline(always)]
    fn at(&self, registers: *mut f32, place: Place, step: Step, first: usize) -> *mut f32 {
        let chain = self.chain;
        let before = step.of_rows(chain.row, first);
        // SAFETY: inputs and outputs have a value wherever their step leads, as their lengths are the planned ones; registers
        // lie within the memory.
        unsafe {
            match place {
                Place::Input(i) => self.operands.inputs[i].add(before).cast_mut(),
                Place::Output(o) => self.operands.outputs[o].add(before),
                Place::Elements(register) => registers.add(register * chain.register),
                Place::Numbers(register) => registers.add(chain.numbers + register * chain.number_register),
            }
        }
    }

    /// Spreads inputs over the registers of a block.
    #[inline(always)]
    fn spread(&self, registers: *mut f32, block: Block) {
        for fill in &self.chain.fills {
            let Spread::Walk(walk, step) = &fill.spread else { continue };
            let from = self.operands.inputs[fill.input];
            let to = self.at(registers, fill.to, *step, block.first);
            let start = step.of_rows(self.chain.row, block.first);
            walk.runs(start..start + step.of_rows(self.chain.row, block.rows), |run| {
                // SAFETY: the run lies in the block, for which the register has room, and the walk's operand in the input.
                unsafe {
                    let from = from.add(run.operands[1]);
                    let to = to.add(run.start - start);
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

    /// Computes one function of a block.
    #[inline(always)]
    fn compute<S: Isa>(&self, isa: S, registers: *mut f32, block: Block, code: &Code) {
        let row = self.chain.row;
        // So many stretches of so many elements.
        let (stretches, len) = match code.to.step {
            _ if code.row_by_row => (block.rows, row),
            step => (1, step.of_rows(row, block.rows)),
        };
        let place = |operand: Operand| self.at(registers, operand.place, operand.step, block.first);
        let (a, b, to) = (place(code.args[0]), place(code.args[1]), place(code.to));
        let operand = |of: Operand, at: *mut f32, stretch: usize| compute::Operand {
            // SAFETY: as in `at`.
            at: unsafe { at.add(of.step.of_rows(row, stretch)) },
            one: of.one,
        };
        for stretch in 0..stretches {
            let (a, b) = (operand(code.args[0], a, stretch), operand(code.args[1], b, stretch));
            // SAFETY: what the arguments have for the block has been written, as much of the result is writable, and no
            // argument overlaps it but by being the same register. Where all arguments are single numbers, one result is
            // computed and spread.
            unsafe {
                let to = to.add(code.to.step.of_rows(row, stretch));
                compute(isa, code.function, a, b, to, if code.spread { 1 } else { len });
                if code.spread {
                    splat(isa, *to, to, len);
                }
            }
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
