//! The 64-bit fingerprint of FarmHash (`farmhashna`), by which TensorFlow hashes features.
//!
//! The function is defined by Google's FarmHash library, whose fingerprints are fixed for all time; it is not a
//! cryptographic hash.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;

/// The fingerprint of `bytes`.
#[must_use]
pub fn fingerprint64(bytes: &[u8]) -> u64 {
    match bytes.len() {
        0..=16 => up_to_16(bytes),
        17..=32 => up_to_32(bytes),
        33..=64 => up_to_64(bytes),
        _ => longer(bytes),
    }
}

/// Eight bytes from `at` on.
fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Four bytes from `at` on.
fn half_word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u64::from(u32::from_le_bytes(word))
}

fn shift_mix(value: u64) -> u64 {
    value ^ (value >> 47)
}

/// Mixes two words into one.
fn combine(u: u64, v: u64, factor: u64) -> u64 {
    let a = shift_mix((u ^ v).wrapping_mul(factor));
    shift_mix((v ^ a).wrapping_mul(factor)).wrapping_mul(factor)
}

/// The factor of inputs up to 64 bytes.
fn factor(len: usize) -> u64 {
    K2.wrapping_add(len as u64 * 2)
}

fn up_to_16(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    match len {
        0 => K2,
        1..=3 => {
            let [a, b, c] = [bytes[0], bytes[len / 2], bytes[len - 1]].map(u64::from);
            let (y, z) = (a + (b << 8), len as u64 + (c << 2));
            shift_mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K0)).wrapping_mul(K2)
        }
        4..=7 => combine(len as u64 + (half_word(bytes, 0) << 3), half_word(bytes, len - 4), factor(len)),
        _ => {
            let factor = factor(len);
            let (a, b) = (word(bytes, 0).wrapping_add(K2), word(bytes, len - 8));
            let c = b.rotate_right(37).wrapping_mul(factor).wrapping_add(a);
            let d = a.rotate_right(25).wrapping_add(b).wrapping_mul(factor);
            combine(c, d, factor)
        }
    }
}

/// The words that inputs of 17 to 64 bytes begin with: `a`, `b` and the two halves of a first mix.
fn ends(bytes: &[u8], first: u64) -> (u64, u64, u64) {
    let (len, factor) = (bytes.len(), factor(bytes.len()));
    let (a, b) = (word(bytes, 0).wrapping_mul(first), word(bytes, 8));
    let c = word(bytes, len - 8).wrapping_mul(factor);
    let d = word(bytes, len - 16).wrapping_mul(K2);
    let y = a.wrapping_add(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let z = a.wrapping_add(b.wrapping_add(K2).rotate_right(18)).wrapping_add(c);
    (a, y, z)
}

fn up_to_32(bytes: &[u8]) -> u64 {
    let (_, y, z) = ends(bytes, K1);
    combine(y, z, factor(bytes.len()))
}

fn up_to_64(bytes: &[u8]) -> u64 {
    let (len, factor) = (bytes.len(), factor(bytes.len()));
    let (a, y, z) = ends(bytes, K2);
    let z = combine(y, z, factor);
    let (e, f) = (word(bytes, 16).wrapping_mul(factor), word(bytes, 24));
    let g = y.wrapping_add(word(bytes, len - 32)).wrapping_mul(factor);
    let h = z.wrapping_add(word(bytes, len - 24)).wrapping_mul(factor);
    combine(
        e.wrapping_add(f).rotate_right(43).wrapping_add(g.rotate_right(30)).wrapping_add(h),
        e.wrapping_add(f.wrapping_add(a).rotate_right(18)).wrapping_add(g),
        factor,
    )
}

/// Two words of state mixed with 32 bytes of input.
fn weak(bytes: &[u8], a: u64, b: u64) -> [u64; 2] {
    let [w, x, y, z] = [0, 8, 16, 24].map(|at| word(bytes, at));
    let a = a.wrapping_add(w);
    let b = b.wrapping_add(a).wrapping_add(z).rotate_right(21);
    let sum = a.wrapping_add(x).wrapping_add(y);
    [sum.wrapping_add(z), b.wrapping_add(sum.rotate_right(44)).wrapping_add(a)]
}

/// The state of the walk over an input of more than 64 bytes.
struct Walk {
    x: u64,
    y: u64,
    z: u64,
    v: [u64; 2],
    w: [u64; 2],
}

impl Walk {
    /// Takes in 64 bytes. Of the last block the state counts nine times.
    fn block(&mut self, bytes: &[u8], factor: u64, times: u64) {
        let Self { x, y, z, v, w } = self;
        let sum = x.wrapping_add(*y).wrapping_add(v[0]).wrapping_add(word(bytes, 8));
        *x = sum.rotate_right(37).wrapping_mul(factor) ^ w[1].wrapping_mul(times);
        *y = y.wrapping_add(v[1]).wrapping_add(word(bytes, 48)).rotate_right(42).wrapping_mul(factor);
        *y = y.wrapping_add(v[0].wrapping_mul(times)).wrapping_add(word(bytes, 40));
        *z = z.wrapping_add(w[0]).rotate_right(33).wrapping_mul(factor);
        *v = weak(bytes, v[1].wrapping_mul(factor), x.wrapping_add(w[0]));
        *w = weak(&bytes[32..], z.wrapping_add(w[1]), y.wrapping_add(word(bytes, 16)));
        core::mem::swap(x, z);
    }
}

fn longer(bytes: &[u8]) -> u64 {
    const SEED: u64 = 81;
    let y = SEED.wrapping_mul(K1).wrapping_add(113);
    let z = shift_mix(y.wrapping_mul(K2).wrapping_add(113)).wrapping_mul(K2);
    let x = SEED.wrapping_mul(K2).wrapping_add(word(bytes, 0));
    let mut walk = Walk { x, y, z, v: [0; 2], w: [0; 2] };
    let whole = (bytes.len() - 1) / 64 * 64;
    for block in bytes[..whole].chunks_exact(64) {
        walk.block(block, K1, 1);
    }
    let factor = K1.wrapping_add((walk.z & 0xff) << 1);
    let rest = (bytes.len() - 1) as u64 & 63;
    walk.w[0] = walk.w[0].wrapping_add(rest);
    walk.v[0] = walk.v[0].wrapping_add(walk.w[0]);
    walk.w[0] = walk.w[0].wrapping_add(walk.v[0]);
    walk.block(&bytes[bytes.len() - 64..], factor, 9);
    let Walk { x, y, z, v, w } = walk;
    combine(
        combine(v[0], w[0], factor).wrapping_add(shift_mix(y).wrapping_mul(K0)).wrapping_add(z),
        combine(v[1], w[1], factor).wrapping_add(x),
        factor,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_counts_every_byte() {
        let bytes: Vec<u8> = (0..200u32).map(|i| (i * 37 + 11) as u8).collect();
        for len in 1..=bytes.len() {
            let whole = fingerprint64(&bytes[..len]);
            for at in 0..len {
                let mut other = bytes[..len].to_vec();
                other[at] ^= 1;
                assert_ne!(fingerprint64(&other), whole, "byte {at} of {len}");
            }
        }
        assert_eq!(fingerprint64(b""), K2);
    }
}
