//! Weights of FULLY_CONNECTED that are stored in tiles of 4 rows by 16 columns, for processors of old.
//!
//! The tiles of four rows follow one another along the depth, each row's 16 bytes in turn, with their top bits flipped:
//! read as signed they are the weights less their zero point 128. The operator's second output takes the input in the same
//! order.

use crate::error::OpError;

/// Rows of a tile.
const ROWS: usize = 4;
/// Columns of a tile.
const COLUMNS: usize = 16;
/// Where the sign is.
const TOP: u8 = 0x80;
/// The zero point of inputs and weights, whatever the file says.
pub(super) const ZERO_POINT: i32 = 128;

/// Refuses sizes that do not fill tiles.
pub(super) fn check(rows: usize, units: usize, depth: usize) -> Result<(), OpError> {
    if (rows == 1 || rows == ROWS) && units.is_multiple_of(ROWS) && depth.is_multiple_of(COLUMNS) {
        return Ok(());
    }
    Err(OpError::invalid(format!(
        "shuffled weights of {units} rows and {depth} columns, with {rows} rows of input: they come in tiles of {ROWS} by \
         {COLUMNS} for one or {ROWS} rows of input; convert the model with the default weights format"
    )))
}

/// The weights as unsigned bytes, row after row.
pub(super) fn in_rows(shuffled: &[u8], depth: usize) -> Vec<u8> {
    let mut plain = vec![0; shuffled.len()];
    for (tile, bytes) in shuffled.chunks_exact(ROWS * COLUMNS).enumerate() {
        let tiles = depth / COLUMNS;
        for (row, bytes) in bytes.chunks_exact(COLUMNS).enumerate() {
            let start = (tile / tiles * ROWS + row) * depth + tile % tiles * COLUMNS;
            for (to, &byte) in plain[start..].iter_mut().zip(bytes) {
                *to = byte ^ TOP;
            }
        }
    }
    plain
}

/// Rows of input in the order of the tiles, their top bits flipped.
pub(super) fn shuffle(rows: &[u8], depth: usize, to: &mut [u8]) {
    let count = rows.len() / depth.max(1);
    for (k, to) in to.chunks_exact_mut(COLUMNS).enumerate() {
        let start = k % count * depth + k / count * COLUMNS;
        for (to, &byte) in to.iter_mut().zip(&rows[start..]) {
            *to = byte ^ TOP;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_hold_four_rows() {
        let (units, depth) = (8, 32);
        let plain: Vec<u8> = (0..units * depth).map(|i| (i * 7 % 251) as u8).collect();
        let mut shuffled = vec![0; plain.len()];
        for (tile, rows) in plain.chunks_exact(ROWS * depth).enumerate() {
            shuffle(rows, depth, &mut shuffled[tile * ROWS * depth..][..ROWS * depth]);
        }
        assert_eq!(
            shuffled[16],
            plain[depth] ^ 0x80,
            "the second row follows the first 16 columns of the first"
        );
        assert_eq!(in_rows(&shuffled, depth), plain);
        assert!(check(1, units, depth).is_ok() && check(4, units, depth).is_ok());
        assert!(check(2, units, depth).is_err() && check(1, 6, depth).is_err() && check(1, 8, 30).is_err());
    }
}
