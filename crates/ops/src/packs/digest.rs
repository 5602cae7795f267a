//! Digests of models and of packed weights: XXH3 with 128 bits, by all threads.

use ferrolite_kernels::par::Par;
use ferrolite_model::Bytes;
use twox_hash::XxHash3_128;

/// Bytes that one thread digests at a time.
const CHUNK: usize = 1 << 20;

/// The digest of the digests of the chunks, so that it does not depend on the number of threads.
pub(super) fn digest(bytes: &[u8]) -> u128 {
    of_chunks(bytes, |_| ())
}

/// The digest of a model file, chunks of which are not needed in memory for now once they have been read.
pub(super) fn digest_of_file(file: &Bytes) -> u128 {
    of_chunks(file, |chunk| file.release(chunk))
}

fn of_chunks(bytes: &[u8], done: impl Fn(&[u8]) + Sync + Send) -> u128 {
    let mut digests = vec![[0; 16]; bytes.len().div_ceil(CHUNK)];
    Par::for_packing(bytes.len()).chunks_mut(&mut digests, 1, |index, digest| {
        let rest = &bytes[index * CHUNK..];
        let chunk = &rest[..rest.len().min(CHUNK)];
        digest[0] = XxHash3_128::oneshot(chunk).to_le_bytes();
        done(chunk);
    });
    XxHash3_128::oneshot(bytemuck::cast_slice(&digests))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts() {
        let mut bytes = vec![5u8; 2 * CHUNK + 100];
        let whole = digest(&bytes);
        assert_eq!(whole, digest_of_file(&Bytes::from(bytes.clone())));
        for at in [0, CHUNK - 1, CHUNK, 2 * CHUNK + 99] {
            bytes[at] ^= 1;
            assert_ne!(digest(&bytes), whole, "byte {at}");
            bytes[at] ^= 1;
        }
        assert_ne!(digest(&bytes[..2 * CHUNK]), whole);
        assert_ne!(digest(&[]), digest(&[0]));
    }
}
