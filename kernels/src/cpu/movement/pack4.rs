//! Four-bit elements, two per byte with the low half first, spread to one per byte and back.
//!
//! Movement kernels know whole bytes only; around them packed tensors are spread into scratch memory.

/// Spreads `to.len()` elements; the high halves of the result are zero.
///
/// # Panics
/// If `packed` holds fewer elements.
pub fn unpack4(packed: &[u8], to: &mut [u8]) {
    assert!(packed.len() >= to.len().div_ceil(2), "too few packed elements");
    for (pair, &byte) in to.chunks_mut(2).zip(packed) {
        pair[0] = byte & 0xf;
        if let Some(high) = pair.get_mut(1) {
            *high = byte >> 4;
        }
    }
}

/// Packs `from`; the unused half of an odd last byte is zero.
///
/// # Panics
/// If `packed` has room for fewer elements.
pub fn pack4(from: &[u8], packed: &mut [u8]) {
    assert!(packed.len() >= from.len().div_ceil(2), "too little room for the packed elements");
    for (pair, byte) in from.chunks(2).zip(packed) {
        *byte = (pair[0] & 0xf) | pair.get(1).map_or(0, |high| high << 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for len in 0..9usize {
            let elements: Vec<u8> = (0..len).map(|i| (i * 5 % 16) as u8).collect();
            let mut packed = vec![0xff; len.div_ceil(2)];
            pack4(&elements, &mut packed);
            let mut back = vec![0xff; len];
            unpack4(&packed, &mut back);
            assert_eq!(back, elements, "{len} elements");
            assert!(len % 2 == 0 || packed[len / 2] >> 4 == 0, "{len} elements");
        }
    }
}
