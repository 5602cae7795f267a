//! The embedded digits. Their layout is described in `assets/README.md`.

const HELD_BACK: &[u8] = include_bytes!("../../assets/held_back.bin");

/// Pixels along each side of a digit.
pub const SIDE: usize = 8;
const PIXELS: usize = SIDE * SIDE;
const FULL_INK: u8 = 16;

/// A digit: its pixels, rows from the top, each 0 (paper) to 16 (full ink), then its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digit([u8; PIXELS + 1]);

impl Digit {
    /// The class, 0 to 9.
    pub fn label(&self) -> usize {
        usize::from(self.0[PIXELS])
    }

    /// What the networks take: the share of ink in each pixel.
    pub fn input(&self) -> [f32; PIXELS] {
        std::array::from_fn(|pixel| f32::from(self.0[pixel]) / f32::from(FULL_INK))
    }

    /// The share of ink at a place given in pixels from the upper left corner of the digit, linear between the
    /// pixels' middles.
    pub fn ink(&self, x: f32, y: f32) -> f32 {
        let ink = self.input();
        let last = (SIDE - 1) as f32;
        let (x, y) = ((x - 0.5).clamp(0.0, last), (y - 0.5).clamp(0.0, last));
        let (left, top) = (x.floor(), y.floor());
        let (across, down) = (x - left, y - top);
        let (column, row) = (left as usize, top as usize);
        let at = |column: usize, row: usize| ink[row.min(SIDE - 1) * SIDE + column.min(SIDE - 1)];
        let upper = at(column, row) * (1.0 - across) + at(column + 1, row) * across;
        let lower = at(column, row + 1) * (1.0 - across) + at(column + 1, row + 1) * across;
        upper * (1.0 - down) + lower * down
    }
}

/// The digits that training never saw; `None` if the embedded file is not what it should be.
pub fn held_back() -> Option<Vec<Digit>> {
    parse(HELD_BACK)
}

fn parse(bytes: &[u8]) -> Option<Vec<Digit>> {
    let (count, records) = bytes.split_first_chunk()?;
    let (records, rest) = records.as_chunks::<{ PIXELS + 1 }>();
    let valid = |record: &[u8; PIXELS + 1]| {
        record[..PIXELS].iter().all(|&ink| ink <= FULL_INK) && record[PIXELS] < 10
    };
    let complete = rest.is_empty() && records.len() == usize::try_from(u32::from_le_bytes(*count)).ok()?;
    (complete && records.iter().all(valid)).then(|| records.iter().copied().map(Digit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_held_back() {
        let digits = held_back().expect("the embedded file");
        assert_eq!(digits.len(), 360);
        for class in 0..10 {
            assert!(digits.iter().filter(|digit| digit.label() == class).count() >= 30, "{class}");
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        let mut bytes = 1u32.to_le_bytes().to_vec();
        bytes.extend([0; PIXELS + 1]);
        assert_eq!(parse(&bytes).map(|digits| digits.len()), Some(1));
        assert_eq!(parse(&bytes[..bytes.len() - 1]), None, "cut");
        let with = |index: usize, value: u8| {
            let mut changed = bytes.clone();
            changed[index] = value;
            parse(&changed)
        };
        assert_eq!(with(0, 2), None, "count");
        assert_eq!(with(4, FULL_INK + 1), None, "ink");
        assert_eq!(with(4 + PIXELS, 10), None, "class");
    }

    #[test]
    fn ink_is_exact_at_middles_and_linear_between() {
        let mut record = [0; PIXELS + 1];
        (record[0], record[1]) = (16, 8);
        let digit = Digit(record);
        assert_eq!([digit.ink(0.5, 0.5), digit.ink(1.0, 0.5), digit.ink(1.5, 1.0)], [1.0, 0.75, 0.25]);
        assert_eq!([digit.ink(0.0, 0.0), digit.ink(8.0, 8.0)], [1.0, 0.0]);
    }
}
