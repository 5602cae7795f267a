//! The checksum CRC-32C (Castagnoli), and the masked form in which files store it.
//!
//! Source: RFC 3720, appendix B.4; LevelDB's `util/crc32c.h` for the mask.

/// The polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// What the mask adds.
const MASK: u32 = 0xa282_ead8;

/// Checksums of every byte followed by 0 to 7 zero bytes.
const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// The checksum of what gave `crc` followed by `bytes`; 0 is the checksum of nothing.
pub fn extend(crc: u32, bytes: &[u8]) -> u32 {
    let mut crc = !crc;
    let mut blocks = bytes.chunks_exact(8);
    for block in &mut blocks {
        let mut next = 0;
        for (i, &byte) in block.iter().enumerate() {
            let byte = if i < 4 { byte ^ (crc >> (8 * i)) as u8 } else { byte };
            next ^= TABLES[7 - i][usize::from(byte)];
        }
        crc = next;
    }
    for &byte in blocks.remainder() {
        crc = crc >> 8 ^ TABLES[0][usize::from(byte ^ crc as u8)];
    }
    !crc
}

/// The form in which checksums are stored beside the data they are of.
pub fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let rising: Vec<u8> = (0..32).collect();
        let rows: [(&str, &[u8], u32); 4] = [
            ("check value", b"123456789", 0xe306_9283),
            ("zeros", &[0; 32], 0x8a91_36aa),
            ("ones", &[0xff; 32], 0x62a8_ab43),
            ("rising", &rising, 0x46dd_794e),
        ];
        for (name, bytes, want) in rows {
            assert_eq!(extend(0, bytes), want, "{name}");
            let (a, b) = bytes.split_at(bytes.len() / 3);
            assert_eq!(extend(extend(0, a), b), want, "{name} in two parts");
        }
    }
}
