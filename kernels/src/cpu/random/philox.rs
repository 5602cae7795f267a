//! The generator Philox 4x32-10: a counter, encrypted in ten rounds under a key.
//!
//! Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (2011).

/// Factors of a round's two products.
const FACTORS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
/// What a round adds to the key.
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
const ROUNDS: usize = 10;

/// A stream of random blocks of four 32-bit words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Philox {
    counter: u128,
    key: [u32; 2],
}

impl Philox {
    /// The stream with key `seed` whose counter starts with `stream` in its upper half.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { counter: u128::from(stream) << 64, key: [seed as u32, (seed >> 32) as u32] }
    }

    /// The stream with this counter and key, words in rising significance.
    #[must_use]
    pub fn from_state(counter: u128, key: [u32; 2]) -> Self {
        Self { counter, key }
    }

    /// The next four words.
    pub fn block(&mut self) -> [u32; 4] {
        let mut words = [0, 1, 2, 3].map(|i| (self.counter >> (32 * i)) as u32);
        self.counter = self.counter.wrapping_add(1);
        let mut key = self.key;
        for _ in 0..ROUNDS {
            let even = u64::from(FACTORS[0]) * u64::from(words[0]);
            let odd = u64::from(FACTORS[1]) * u64::from(words[2]);
            words = [
                (odd >> 32) as u32 ^ words[1] ^ key[0],
                odd as u32,
                (even >> 32) as u32 ^ words[3] ^ key[1],
                even as u32,
            ];
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        words
    }

    /// Passes over `blocks` blocks.
    pub fn skip(&mut self, blocks: u64) {
        self.counter = self.counter.wrapping_add(u128::from(blocks));
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> [u32; 2] {
        self.key
    }

    /// What the next block is made from.
    #[must_use]
    pub fn counter(&self) -> u128 {
        self.counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the generator's authors.
    #[test]
    fn known_answers() {
        let rows = [
            ("zeros", 0, [0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ("ones", u128::MAX, [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                "digits of pi",
                0x0370_7344_1319_8a2e_85a3_08d3_243f_6a88,
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (name, counter, key, want) in rows {
            assert_eq!(Philox::from_state(counter, key).block(), want, "{name}");
        }
    }

    #[test]
    fn skipping_equals_drawing() {
        let mut drawn = Philox::new(0x1234_5678_9abc_def0, 42);
        let mut skipped = drawn;
        for _ in 0..5 {
            drawn.block();
        }
        skipped.skip(5);
        assert_eq!(drawn.block(), skipped.block());
    }
}
