//! The tile registers: their configuration, and what is done with them.

use core::arch::asm;
use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use crate::isa::Avx512Amx;

/// Rows of a tile.
pub(super) const TILE: usize = 16;
/// Bytes of a tile's row.
pub(super) const DEPTH: usize = 64;
/// Rows of a pair of tiles, the most that are multiplied at a time.
pub(super) const ROWS: usize = 2 * TILE;

/// Tile shapes: eight tiles of sixteen rows of 64 bytes (palette 1).
#[repr(C, align(64))]
struct Config([u8; 64]);

static CONFIG: Config = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = DEPTH as u8;
        bytes[48 + tile] = TILE as u8;
        tile += 1;
    }
    Config(bytes)
};

/// The tiles in use by this thread, given back when dropped.
pub(super) struct Tiles;

impl Tiles {
    #[inline(always)]
    pub(super) fn configure(_: Avx512Amx) -> Self {
        // SAFETY: the token proves that the process may use tiles; the configuration is valid.
        unsafe {
            asm!("ldtilecfg [{config}]", config = in(reg) &raw const CONFIG, options(nostack, preserves_flags));
        }
        Self
    }
}

impl Drop for Tiles {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the tiles were configured, so the CPU has them.
        unsafe {
            asm!("tilerelease", options(nostack, preserves_flags));
        }
    }
}

/// Sums of `ROWS` rows and a panel of two tiles.
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [i32; ROWS * 2 * TILE]);

impl Sums {
    /// The sums of a row of tile `tile` of rows, from vector `v` of columns on; the next row's are `2 * TILE` behind.
    #[inline(always)]
    pub(super) fn at(tile: usize, row: usize, v: usize) -> usize {
        (tile * TILE + row) * 2 * TILE + v * TILE
    }
}

/// Asks for the weights of a step, `V` tiles, wherever they are.
#[inline(always)]
pub(super) fn ask_for<const V: usize>(weights: *const i8) {
    for line in 0..V * TILE {
        // SAFETY: a hint that is free to name memory that is not there.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(line * DEPTH)) };
    }
}

/// Sets tiles 0 to 3, the sums, to zero.
///
/// # Safety
/// The tiles are configured.
#[inline(always)]
pub(super) unsafe fn clear_tiles() {
    // SAFETY: the caller vouches for the tiles.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            options(nostack, preserves_flags)
        );
    }
}

/// Adds the products of `R` tiles of rows (tiles 4 and 5) with `V` of columns (6 and 7) to tiles 0 to 3.
///
/// # Safety
/// The tiles are configured; the first `R` of `a` are valid for reading `TILE` rows of 64 bytes, `b` for sixteen of `V`
/// times 64.
#[inline(always)]
pub(super) unsafe fn step<const R: usize, const V: usize, const SIGNED: bool>(
    a: [*const u8; 2],
    a_stride: usize,
    b: *const i8,
    b_stride: usize,
) {
    macro_rules! step {
        ($dot:literal) => {
            // SAFETY: the caller vouches for the pointers and the tiles.
            unsafe {
                match (R, V) {
                    (2, 2) => asm!(
                        "tileloadd tmm4, [{a} + {sa}]",
                        "tileloadd tmm6, [{b} + {sb}]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm5, [{a2} + {sa}]",
                        concat!($dot, " tmm2, tmm5, tmm6"),
                        "tileloadd tmm7, [{b} + {sb} + 64]",
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        concat!($dot, " tmm3, tmm5, tmm7"),
                        a = in(reg) a[0], a2 = in(reg) a[1], sa = in(reg) a_stride,
                        b = in(reg) b, sb = in(reg) b_stride,
                        options(nostack, readonly, preserves_flags),
                    ),
                    (2, 1) => asm!(
                        "tileloadd tmm4, [{a} + {sa}]",
                        "tileloadd tmm6, [{b} + {sb}]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm5, [{a2} + {sa}]",
                        concat!($dot, " tmm2, tmm5, tmm6"),
                        a = in(reg) a[0], a2 = in(reg) a[1], sa = in(reg) a_stride,
                        b = in(reg) b, sb = in(reg) b_stride,
                        options(nostack, readonly, preserves_flags),
                    ),
                    (1, 2) => asm!(
                        "tileloadd tmm4, [{a} + {sa}]",
                        "tileloadd tmm6, [{b} + {sb}]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm7, [{b} + {sb} + 64]",
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        a = in(reg) a[0], sa = in(reg) a_stride, b = in(reg) b, sb = in(reg) b_stride,
                        options(nostack, readonly, preserves_flags),
                    ),
                    _ => asm!(
                        "tileloadd tmm4, [{a} + {sa}]",
                        "tileloadd tmm6, [{b} + {sb}]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        a = in(reg) a[0], sa = in(reg) a_stride, b = in(reg) b, sb = in(reg) b_stride,
                        options(nostack, readonly, preserves_flags),
                    ),
                }
            }
        };
    }
    if SIGNED { step!("tdpbssd") } else { step!("tdpbusd") }
}

/// Writes tiles 0 to 3, as far as `R` and `V` use them.
///
/// # Safety
/// The tiles are configured.
#[inline(always)]
pub(super) unsafe fn store_tiles<const R: usize, const V: usize>(sums: &mut Sums) {
    let to = sums.0.as_mut_ptr();
    // SAFETY: `sums` holds two by two tiles of sixteen rows, 128 bytes apart.
    unsafe {
        let below = to.add(TILE * 2 * TILE);
        asm!("tilestored [{to} + {s}], tmm0", to = in(reg) to, s = in(reg) 128usize, options(nostack, preserves_flags));
        if V == 2 {
            asm!("tilestored [{to} + {s} + 64], tmm1", to = in(reg) to, s = in(reg) 128usize, options(nostack, preserves_flags));
        }
        if R == 2 {
            asm!("tilestored [{to} + {s}], tmm2", to = in(reg) below, s = in(reg) 128usize, options(nostack, preserves_flags));
        }
        if R == 2 && V == 2 {
            asm!("tilestored [{to} + {s} + 64], tmm3", to = in(reg) below, s = in(reg) 128usize, options(nostack, preserves_flags));
        }
    }
}
