//! Transposition of cells of 32 bits: floats, or bytes that stay together in fours.

use super::transpose::transpose;
use crate::isa::Cpu;
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2Fma, Avx512, Isa, Kernel};

/// Bytes of a cell.
const CELL: usize = 4;

/// As [`transpose`] for cells of four bytes, in blocks of the CPU's vectors. Strides count bytes.
///
/// # Safety
/// All `rows * columns` cells must lie within both sides, which must not overlap.
pub(in crate::cpu) unsafe fn transpose_cells(
    cpu: Cpu,
    from: *const u8,
    from_stride: usize,
    to: *mut u8,
    to_stride: usize,
    rows: usize,
    columns: usize,
) {
    let cells = Cells { from, from_stride, to, to_stride, rows, columns };
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        match (cpu, cpu.avx512()) {
            (_, Some(_)) => return cells.in_blocks::<Avx512>(cpu),
            (Cpu::Avx2(_), _) => return cells.in_blocks::<Avx2Fma>(cpu),
            _ => {}
        }
        let _ = cpu;
        cells.plainly();
    }
}

/// A matrix to transpose.
#[derive(Clone, Copy)]
struct Cells {
    from: *const u8,
    from_stride: usize,
    to: *mut u8,
    to_stride: usize,
    rows: usize,
    columns: usize,
}

impl Cells {
    /// # Safety
    /// As [`transpose_cells`].
    unsafe fn plainly(self) {
        let Self { from, from_stride, to, to_stride, rows, columns } = self;
        // SAFETY: the caller's promise.
        unsafe { transpose::<CELL>(from, from_stride as isize, to, to_stride as isize, rows, columns) }
    }

    /// The matrix of `rows` rows from `row` on and of `columns` columns from `column` on.
    ///
    /// # Safety
    /// There must be as many.
    #[cfg(target_arch = "x86_64")]
    unsafe fn part(self, row: usize, rows: usize, column: usize, columns: usize) -> Self {
        // SAFETY: the caller's promise.
        let (from, to) = unsafe {
            let from = self.from.add(row * self.from_stride + column * CELL);
            (from, self.to.add(column * self.to_stride + row * CELL))
        };
        Self { from, to, rows, columns, ..self }
    }

    /// By whole blocks of `B`; what is right of them, and then what is below them, plainly.
    ///
    /// # Safety
    /// As [`transpose_cells`], and `cpu` must have what `B` stands for.
    #[cfg(target_arch = "x86_64")]
    unsafe fn in_blocks<B: Block>(self, cpu: Cpu) {
        let (down, across) = (self.rows / B::LANES * B::LANES, self.columns / B::LANES * B::LANES);
        // SAFETY: the parts lie within the matrix.
        unsafe {
            cpu.dispatch(Whole(self.part(0, down, 0, across), core::marker::PhantomData::<B>));
            self.part(0, self.rows, across, self.columns - across).plainly();
            self.part(down, self.rows - down, 0, across).plainly();
        }
    }
}

/// An instruction set that transposes blocks of as many rows and columns as its vectors have lanes.
#[cfg(target_arch = "x86_64")]
trait Block: Isa {
    /// # Safety
    /// The CPU must have the instruction set, and the block must lie within both sides, which must not overlap.
    unsafe fn transpose(from: *const u8, from_stride: usize, to: *mut u8, to_stride: usize);
}

#[cfg(target_arch = "x86_64")]
impl Block for Avx512 {
    #[inline(always)]
    unsafe fn transpose(from: *const u8, from_stride: usize, to: *mut u8, to_stride: usize) {
        // SAFETY: the caller's promise.
        unsafe { Self::transpose_block(from, from_stride, to, to_stride) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Block for Avx2Fma {
    #[inline(always)]
    unsafe fn transpose(from: *const u8, from_stride: usize, to: *mut u8, to_stride: usize) {
        // SAFETY: the caller's promise.
        unsafe { Self::transpose_block(from, from_stride, to, to_stride) }
    }
}

/// Whole blocks of `B`. Made by [`Cells::in_blocks`] alone, whose caller vouches for the memory and the CPU.
#[cfg(target_arch = "x86_64")]
struct Whole<B>(Cells, core::marker::PhantomData<B>);

#[cfg(target_arch = "x86_64")]
impl<B: Block> Kernel for Whole<B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let Self(cells, _) = self;
        for column in (0..cells.columns).step_by(B::LANES) {
            for row in (0..cells.rows).step_by(B::LANES) {
                // SAFETY: the block lies within the matrix; the CPU was vouched for.
                unsafe {
                    let block = cells.part(row, B::LANES, column, B::LANES);
                    B::transpose(block.from, cells.from_stride, block.to, cells.to_stride);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for (rows, columns) in
            [(0, 5), (5, 0), (1, 1), (3, 40), (16, 16), (16, 17), (17, 16), (31, 33), (32, 64), (50, 70)]
        {
            // Wider than what is moved on both sides.
            let (from_stride, to_stride) = (columns + 3, rows + 2);
            let from: Vec<u32> = (0..rows * from_stride).map(|i| i as u32 * 0x0101_0107).collect();
            let mut expected = vec![7u32; columns * to_stride];
            for (r, c) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
                expected[c * to_stride + r] = from[r * from_stride + c];
            }
            for cpu in Cpu::all() {
                let mut to = vec![7u32; columns * to_stride];
                // SAFETY: both sides have room for the cells at their strides.
                unsafe {
                    transpose_cells(
                        cpu,
                        from.as_ptr().cast(),
                        from_stride * CELL,
                        to.as_mut_ptr().cast(),
                        to_stride * CELL,
                        rows,
                        columns,
                    );
                }
                assert!(to == expected, "{} {rows}x{columns}", cpu.name());
            }
        }
    }
}
