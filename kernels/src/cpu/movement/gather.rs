//! Copying rows that a list of positions picks.

use crate::par::Par;

/// Bytes of output that make one tile of work.
const TILE_BYTES: usize = 32 << 10;

/// Fills `dst` with rows of `row` bytes: row `i` is row `pick(i)` of `src`.
///
/// # Panics
/// If a picked row is not in `src`, or `row` is zero while `dst` is not empty.
pub fn gather_rows(
    src: &[u8],
    dst: &mut [u8],
    row: usize,
    par: Par,
    pick: impl Fn(usize) -> usize + Sync + Send,
) {
    if dst.is_empty() {
        return;
    }
    let per_tile = par.even_chunk(dst.len() / row, (TILE_BYTES / row).max(1), 1);
    par.chunks_mut(dst, per_tile * row, |tile, chunk| match row {
        1 => gather_fixed::<1>(src, chunk, tile * per_tile, &pick),
        2 => gather_fixed::<2>(src, chunk, tile * per_tile, &pick),
        4 => gather_fixed::<4>(src, chunk, tile * per_tile, &pick),
        8 => gather_fixed::<8>(src, chunk, tile * per_tile, &pick),
        _ => {
            for (i, to) in chunk.chunks_exact_mut(row).enumerate() {
                let start = pick(tile * per_tile + i) * row;
                to.copy_from_slice(&src[start..start + row]);
            }
        }
    });
}

/// Rows of a length known at compile time.
fn gather_fixed<const N: usize>(src: &[u8], dst: &mut [u8], first: usize, pick: &impl Fn(usize) -> usize) {
    let (src, _) = src.as_chunks::<N>();
    let (dst, _) = dst.as_chunks_mut::<N>();
    for (i, to) in dst.iter_mut().enumerate() {
        *to = src[pick(first + i)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_rows() {
        for row in [1, 2, 3, 4, 8, 40] {
            let src: Vec<u8> = (0..row * 5).map(|i| i as u8).collect();
            let picks = [4, 0, 2, 2, 1, 3, 4];
            let want: Vec<u8> = picks.iter().flat_map(|&p| &src[p * row..(p + 1) * row]).copied().collect();
            let mut got = vec![0; row * picks.len()];
            gather_rows(&src, &mut got, row, Par::new(2), |i| picks[i]);
            assert_eq!(got, want, "rows of {row}");
        }
    }
}
