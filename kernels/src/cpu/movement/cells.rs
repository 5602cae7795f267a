//! Transposition of cells of 32 bits: floats, or bytes that stay together in fours.

use super::transpose::transpose;
use crate::isa::Cpu;
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx512, Isa, Kernel};

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
    #[cfg(target_arch = "x86_64")]
    if let Some(isa) = cpu.avx512() {
        let whole = Blocks { from, from_stride, to, to_stride, rows: rows / LANES, columns: columns / LANES };
        let (down, across) = (whole.rows * LANES, whole.columns * LANES);
        isa.dispatch(whole);
        // SAFETY: what is right of the whole blocks, and then what is below them, lies within the matrix.
        unsafe {
            let (rest, to_rest) = (from.add(across * CELL), to.add(across * to_stride));
            transpose::<CELL>(
                rest,
                from_stride as isize,
                to_rest,
                to_stride as isize,
                rows,
                columns - across,
            );
            let (rest, to_rest) = (from.add(down * from_stride), to.add(down * CELL));
            transpose::<CELL>(rest, from_stride as isize, to_rest, to_stride as isize, rows - down, across);
        }
        return;
    }
    let _ = cpu;
    // SAFETY: the caller's promise.
    unsafe { transpose::<CELL>(from, from_stride as isize, to, to_stride as isize, rows, columns) }
}

/// Rows and columns of a block of AVX-512's vectors.
#[cfg(target_arch = "x86_64")]
const LANES: usize = 16;

/// Whole blocks; rows and columns count blocks. Made by [`transpose_cells`] alone, whose caller vouches for the memory.
#[cfg(target_arch = "x86_64")]
struct Blocks {
    from: *const u8,
    from_stride: usize,
    to: *mut u8,
    to_stride: usize,
    rows: usize,
    columns: usize,
}

#[cfg(target_arch = "x86_64")]
impl Kernel for Blocks {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        for c in 0..self.columns {
            for r in 0..self.rows {
                // SAFETY: the block lies within the matrix, and blocks are only made with the token of AVX-512.
                unsafe {
                    let from = self.from.add(r * LANES * self.from_stride + c * LANES * CELL);
                    let to = self.to.add(c * LANES * self.to_stride + r * LANES * CELL);
                    Avx512::transpose_block(from, self.from_stride, to, self.to_stride);
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
