//! The layout of string tensors: a count, that many plus one offsets (all little-endian `i32`), then the bytes.
//!
//! Offsets count from the start of the buffer; string `i` is the bytes from offset `i` to offset `i + 1`.

use crate::error::OpError;

/// Encodes strings.
///
/// # Errors
/// When the encoded size does not fit in `i32`, which the layout's offsets are.
pub fn encode<S: AsRef<[u8]>>(strings: &[S]) -> Result<Vec<u8>, OpError> {
    let header = 4 * (strings.len() + 2);
    let total = strings.iter().map(|s| s.as_ref().len()).sum::<usize>() + header;
    let too_large =
        |_| OpError::runtime("a string tensor holds at most 2 GiB; split it into several tensors");
    i32::try_from(total).map_err(too_large)?;
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(&i32::try_from(strings.len()).map_err(too_large)?.to_le_bytes());
    let mut offset = header;
    for s in strings {
        out.extend_from_slice(&i32::try_from(offset).map_err(too_large)?.to_le_bytes());
        offset += s.as_ref().len();
    }
    out.extend_from_slice(&i32::try_from(offset).map_err(too_large)?.to_le_bytes());
    for s in strings {
        out.extend_from_slice(s.as_ref());
    }
    Ok(out)
}

/// Bytes of `count` empty strings; `None` beyond what the layout's offsets reach.
#[must_use]
pub fn empty_len(count: usize) -> Option<usize> {
    count.checked_add(2)?.checked_mul(4).filter(|&len| i32::try_from(len).is_ok())
}

/// Makes `bytes`, of [`empty_len`], that many empty strings.
pub(crate) fn write_empty(bytes: &mut [u8]) {
    let len = bytes.len() as i32;
    for (i, word) in bytes.chunks_exact_mut(4).enumerate() {
        word.copy_from_slice(&if i == 0 { len / 4 - 2 } else { len }.to_le_bytes());
    }
}

/// The strings of a string tensor.
///
/// # Errors
/// When counts or offsets leave the buffer.
pub fn decode(bytes: &[u8]) -> Result<Vec<&[u8]>, OpError> {
    let bad = || {
        OpError::invalid("a string tensor's offsets leave its buffer: encode strings with strings::encode")
    };
    let word = |i: usize| -> Result<usize, OpError> {
        let start = i.checked_mul(4).ok_or_else(bad)?;
        let raw = bytes.get(start..start + 4).and_then(|b| b.try_into().ok()).ok_or_else(bad)?;
        usize::try_from(i32::from_le_bytes(raw)).map_err(|_| bad())
    };
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let count = word(0)?;
    if count >= bytes.len() / 4 {
        return Err(bad());
    }
    (0..count)
        .map(|i| {
            let (start, end) = (word(1 + i)?, word(2 + i)?);
            bytes.get(start..end).ok_or_else(bad)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusal() {
        let strings = [b"ab".as_slice(), b"", b"xyz"];
        let bytes = encode(&strings).unwrap();
        assert_eq!(decode(&bytes).unwrap(), strings);
        let mut empty = vec![9; empty_len(2).unwrap()];
        write_empty(&mut empty);
        assert_eq!(empty, encode(&["", ""]).unwrap());
        assert_eq!((empty_len(1 << 29), empty_len(usize::MAX)), (None, None));
        for cut in 0..bytes.len() {
            // Every truncation is either empty or refused, never a panic.
            let _ = decode(&bytes[..cut]);
        }
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode(&[255, 255, 255, 127]).is_err());
    }
}
