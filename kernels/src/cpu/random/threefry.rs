//! The generator Threefry 2x32-20: a counter, encrypted in twenty rounds under a key.
//!
//! Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (2011).

/// Makes the third word of a key from the other two.
const PARITY: u32 = 0x1bd1_1bda;
/// Rotations of the rounds, which repeat after eight.
const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
const ROUNDS: usize = 20;

/// The block of two words that a counter stands for under a key.
#[must_use]
pub fn threefry(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    let keys = [key[0], key[1], key[0] ^ key[1] ^ PARITY];
    let mut x = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for round in 0..ROUNDS {
        x[0] = x[0].wrapping_add(x[1]);
        x[1] = x[1].rotate_left(ROTATIONS[round % ROTATIONS.len()]) ^ x[0];
        if round % 4 == 3 {
            // After every fourth round the key is added, turned by one word each time.
            let turn = round / 4 + 1;
            x[0] = x[0].wrapping_add(keys[turn % 3]);
            x[1] = x[1].wrapping_add(keys[(turn + 1) % 3]).wrapping_add(turn as u32);
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the generator's authors.
    #[test]
    fn known_answers() {
        let rows = [
            ("zeros", [0; 2], [0; 2], [0x6b20_0159, 0x99ba_4efe]),
            ("ones", [u32::MAX; 2], [u32::MAX; 2], [0x1cb9_96fc, 0xbb00_2be7]),
            (
                "digits of pi",
                [0x1319_8a2e, 0x0370_7344],
                [0x243f_6a88, 0x85a3_08d3],
                [0xc492_3a9c, 0x483d_f7a0],
            ),
        ];
        for (name, key, counter, want) in rows {
            assert_eq!(threefry(key, counter), want, "{name}");
        }
    }
}
