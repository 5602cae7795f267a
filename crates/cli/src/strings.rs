//! String tensors as the file format lays them out: an `i32` count, `count + 1` `i32` offsets
//! from the start of the buffer, then the bytes of all strings; all little-endian.

/// Lays out `strings`; `None` when they take more than an `i32` can count.
pub fn encode(strings: &[&[u8]]) -> Option<Vec<u8>> {
    let mut offset = 4 * (strings.len() + 2);
    let mut buffer = i32::try_from(strings.len()).ok()?.to_le_bytes().to_vec();
    buffer.extend(i32::try_from(offset).ok()?.to_le_bytes());
    for string in strings {
        offset += string.len();
        buffer.extend(i32::try_from(offset).ok()?.to_le_bytes());
    }
    strings.iter().for_each(|string| buffer.extend_from_slice(string));
    Some(buffer)
}

/// The strings of a buffer; `None` when its offsets do not fit it. An empty buffer holds none.
pub fn decode(buffer: &[u8]) -> Option<Vec<Vec<u8>>> {
    if buffer.is_empty() {
        return Some(vec![]);
    }
    let number = |index: usize| {
        let start = index.checked_mul(4)?;
        let bytes = buffer.get(start..start.checked_add(4)?)?;
        usize::try_from(i32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let count = number(0)?;
    (0..count).map(|i| Some(buffer.get(number(i + 1)?..number(i + 2)?)?.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_undoes_encoding() {
        for strings in [vec![], vec![&b""[..]], vec![&b"one"[..], b"", b"\xff\0three"]] {
            let owned: Vec<Vec<u8>> = strings.iter().map(|s| s.to_vec()).collect();
            assert_eq!(decode(&encode(&strings).expect("small")), Some(owned));
        }
    }

    #[test]
    fn offsets_that_do_not_fit_are_refused() {
        let good = encode(&[b"ab", b"c"]).expect("small");
        assert_eq!(decode(&good[..good.len() - 1]), None, "cut");
        let mut descending = good.clone();
        descending[8..12].copy_from_slice(&1i32.to_le_bytes());
        assert_eq!(decode(&descending), None, "descending");
        let mut many = good;
        many[..4].copy_from_slice(&i32::MAX.to_le_bytes());
        assert_eq!(decode(&many), None, "many");
    }
}
