//! Filling memory with one element.

use crate::par::Par;

/// Bytes that make one tile of work: a multiple of every element size.
const TILE_BYTES: usize = 64 << 10;

/// Repeats `element` over `dst`, whose length is a multiple of the element's.
///
/// # Panics
/// If `element` is empty, or the length of `dst` is no multiple of its length.
pub fn fill(dst: &mut [u8], element: &[u8], par: Par) {
    assert!(dst.len().is_multiple_of(element.len()), "the destination holds whole elements");
    let chunk = TILE_BYTES / element.len() * element.len();
    par.chunks_mut(dst, chunk.max(element.len()), |_, dst| {
        if element.iter().all(|&b| b == element[0]) {
            dst.fill(element[0]);
            return;
        }
        match element.len() {
            2 => fill_fixed::<2>(dst, element),
            4 => fill_fixed::<4>(dst, element),
            8 => fill_fixed::<8>(dst, element),
            _ => dst.chunks_exact_mut(element.len()).for_each(|to| to.copy_from_slice(element)),
        }
    });
}

/// Elements of a length known at compile time.
fn fill_fixed<const N: usize>(dst: &mut [u8], element: &[u8]) {
    if let Some(element) = element.first_chunk::<N>() {
        dst.as_chunks_mut::<N>().0.fill(*element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats() {
        for element in [&[7u8][..], &[1, 2], &[0, 0, 128, 63], &[1, 2, 3, 4, 5, 6, 7, 8], &[3; 16]] {
            for count in [0, 1, 5, 70_000] {
                let mut dst = vec![0; element.len() * count];
                fill(&mut dst, element, Par::new(2));
                assert!(dst.chunks_exact(element.len()).all(|e| e == element), "{element:?} x {count}");
            }
        }
    }
}
