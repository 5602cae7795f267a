//! Transposition of a matrix in blocks.

/// Rows and columns of a block: eight vectors of eight, so that both sides of a block stay in registers or L1.
const BLOCK: usize = 8;
/// Neighbouring blocks that are done one after another: of elements of four bytes they share the source's cache lines.
const BLOCKS_TOGETHER: usize = 2;

/// Writes `to[c][r] = from[r][c]` for elements of `N` bytes.
///
/// Row `r` of the source starts `r * from_stride` bytes in and its columns lie together; row `c` of the
/// destination starts `c * to_stride` bytes in and its elements lie together.
///
/// # Safety
/// All `rows * columns` elements must lie within both sides, which must not overlap.
pub(in crate::cpu) unsafe fn transpose<const N: usize>(
    from: *const u8,
    from_stride: isize,
    to: *mut u8,
    to_stride: isize,
    rows: usize,
    columns: usize,
) {
    for group in (0..columns).step_by(BLOCK * BLOCKS_TOGETHER) {
        for r in (0..rows).step_by(BLOCK) {
            for c in (group..columns.min(group + BLOCK * BLOCKS_TOGETHER)).step_by(BLOCK) {
                let (height, width) = (BLOCK.min(rows - r), BLOCK.min(columns - c));
                // SAFETY: the block lies within the matrix.
                unsafe {
                    let from = from.offset(r as isize * from_stride).add(c * N);
                    let to = to.offset(c as isize * to_stride).add(r * N);
                    if (height, width) == (BLOCK, BLOCK) {
                        whole_block::<N>(from, from_stride, to, to_stride);
                    } else {
                        part_of_block::<N>(from, from_stride, to, to_stride, height, width);
                    }
                }
            }
        }
    }
}

/// Transposes a block of fewer rows or columns, element by element.
///
/// # Safety
/// The block must lie within both sides, which must not overlap.
#[inline(always)]
unsafe fn part_of_block<const N: usize>(
    from: *const u8,
    from_stride: isize,
    to: *mut u8,
    to_stride: isize,
    height: usize,
    width: usize,
) {
    for i in 0..width {
        for j in 0..height {
            // SAFETY: the caller's promise.
            unsafe {
                let element = from.offset(j as isize * from_stride).add(i * N).cast::<[u8; N]>().read();
                to.offset(i as isize * to_stride).add(j * N).cast::<[u8; N]>().write(element);
            }
        }
    }
}

/// Transposes one whole block by way of arrays, which the compiler keeps in vector registers.
///
/// # Safety
/// The block must lie within both sides, which must not overlap.
#[inline(always)]
unsafe fn whole_block<const N: usize>(from: *const u8, from_stride: isize, to: *mut u8, to_stride: isize) {
    let mut block = [[[0u8; N]; BLOCK]; BLOCK];
    for (j, row) in block.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *row = unsafe { from.offset(j as isize * from_stride).cast::<[[u8; N]; BLOCK]>().read() };
    }
    let mut turned = [[[0u8; N]; BLOCK]; BLOCK];
    for (j, row) in block.iter().enumerate() {
        for (column, &element) in turned.iter_mut().zip(row) {
            column[j] = element;
        }
    }
    for (i, column) in turned.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { to.offset(i as isize * to_stride).cast::<[[u8; N]; BLOCK]>().write(*column) }
    }
}
