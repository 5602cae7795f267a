//! The tile of a product that is held in registers.

use super::pack::Weight;
use super::rows::MAX_ROWS;
use crate::aligned::LINE;
use crate::cpu::float::epilogue::Activation;
use crate::isa::{Cpu, Isa, Kernel};

/// How far ahead of the sums weights are asked for, in floats: what a core reads while a line comes from the shared
/// cache. Each model's weights are read once per run and rarely are in a nearer one.
const AHEAD: usize = 1024;

/// Size of the tallest tile of an instruction set.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct TileShape {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// Rows of the tallest tile: as many as leave room for two vectors of weights and one of a repeated value.
pub(super) const fn tall<S: Isa>() -> usize {
    match (S::REGISTERS, S::LANES) {
        (32, 16) => 14,
        (32, _) => 8,
        (_, 8) => 6,
        _ => 4,
    }
}

/// The tile of `cpu`.
pub(crate) fn tile_shape(cpu: Cpu) -> TileShape {
    struct Shape;
    impl Kernel for Shape {
        type Output = TileShape;
        #[inline(always)]
        fn run<S: Isa>(self, _: S) -> TileShape {
            TileShape { rows: tall::<S>(), columns: 2 * S::LANES }
        }
    }
    cpu.dispatch(Shape)
}

/// Everything a tile needs but its height.
pub(super) struct Tile<'a, W> {
    /// Addresses of the pieces of the left rows: `height` per tap, or that of the first row if there is a `step`.
    pub(super) pieces: &'a [*const f32],
    /// Values from a piece of each row to that of the next, if rows lie evenly and are as many as the tallest tile's.
    pub(super) step: Option<usize>,
    /// Distinct rows: the last one is repeated up to the height.
    pub(super) rows: usize,
    /// Pieces of a row.
    pub(super) taps: usize,
    /// Values in a piece.
    pub(super) depth: usize,
    /// Bias and weights of the columns.
    pub(super) panel: &'a [W],
    /// Columns to store.
    pub(super) columns: usize,
    /// The output's first column of this panel, in its first row.
    pub(super) out: *mut f32,
    /// The same place of the residual, or null.
    pub(super) residual: *const f32,
    /// Where each row starts, relative to `out` and `residual`.
    pub(super) starts: &'a [usize; MAX_ROWS],
    /// Applied to the sums.
    pub(super) activation: Activation,
}

/// Computes and stores a tile of `height` rows: one of [`heights`].
///
/// # Safety
/// `tile.pieces` must hold `taps * height` addresses valid for `depth` values, or with a step `taps` addresses valid for
/// as many at `height` places a step apart. `out` and `residual` (unless null) must be valid for `columns` values at
/// each of the first `height` starts.
#[inline(always)]
pub(super) unsafe fn compute<S: Isa, W: Weight>(isa: S, height: usize, tile: &Tile<'_, W>) {
    let one_vector = tile.columns <= S::LANES;
    // SAFETY (each arm): the contract is the same, and the constant is `height`.
    macro_rules! heights {
        ($($rows:literal)* $(stepped $tall:literal)?) => {
            match (height, one_vector, tile.step) {
                $(
                    // SAFETY: forwarded.
                    ($tall, true, Some(step)) => unsafe { several::<S, W, _, $tall, 1>(isa, tile, Stepped(step)) },
                    // SAFETY: forwarded.
                    ($tall, false, Some(step)) => unsafe { several::<S, W, _, $tall, 2>(isa, tile, Stepped(step)) },
                )?
                $(
                    // SAFETY: forwarded.
                    ($rows, true, None) => unsafe { several::<S, W, _, $rows, 1>(isa, tile, Pointed) },
                    // SAFETY: forwarded.
                    ($rows, false, None) => unsafe { several::<S, W, _, $rows, 2>(isa, tile, Pointed) },
                )*
                _ => unreachable!("no tile of {height} rows"),
            }
        };
    }
    match tall::<S>() {
        _ if !W::ALL_HEIGHTS => heights!(1 4),
        14 => heights!(1 4 7 14 stepped 14),
        8 => heights!(1 2 4 8 stepped 8),
        6 => heights!(1 2 3 6 stepped 6),
        _ => heights!(1 2 4 stepped 4),
    }
}

/// The height of the next tile for `rows` rows: the tallest, or what leaves least of a tile empty.
pub(super) fn height_for<S: Isa, W: Weight>(rows: usize) -> usize {
    let heights: &[usize] = match (tall::<S>(), rows) {
        _ if !W::ALL_HEIGHTS => &[1, 4],
        // Two low tiles rather than one that is a third empty.
        (14, 8) => &[4],
        (14, 9..=11) => &[7],
        (14, _) => &[1, 4, 7, 14],
        (8, _) => &[1, 2, 4, 8],
        (6, _) => &[1, 2, 3, 6],
        _ => &[1, 2, 4],
    };
    heights.iter().copied().find(|&height| height >= rows).unwrap_or(heights[heights.len() - 1])
}

/// How a tile finds its rows.
trait Rows: Copy {
    /// Adds the products of the `depth` values of piece `tap` of `M` rows with the weights from `weights` on.
    ///
    /// # Safety
    /// As [`compute`] for `M` rows; `weights` must be valid for `depth * N` vectors.
    unsafe fn add<S: Isa, W: Weight, const M: usize, const N: usize>(
        self,
        isa: S,
        tile: &Tile<'_, W>,
        tap: usize,
        weights: *const W,
        sums: [[S::F; N]; M],
    ) -> [[S::F; N]; M];
}

/// By an address for each row.
#[derive(Copy, Clone)]
struct Pointed;

impl Rows for Pointed {
    #[inline(always)]
    unsafe fn add<S: Isa, W: Weight, const M: usize, const N: usize>(
        self,
        isa: S,
        tile: &Tile<'_, W>,
        tap: usize,
        mut weights: *const W,
        mut sums: [[S::F; N]; M],
    ) -> [[S::F; N]; M] {
        let mut rows = [core::ptr::null::<f32>(); M];
        for (m, row) in rows.iter_mut().enumerate() {
            // SAFETY: `pieces` holds M addresses per tap.
            *row = unsafe { *tile.pieces.get_unchecked(tap * M + m) };
        }
        for k in 0..tile.depth {
            // SAFETY: within the panel.
            let columns = unsafe { columns::<S, W, N>(isa, weights) };
            for m in 0..M {
                // SAFETY: each piece has `depth` values.
                let value = isa.splat(unsafe { *rows[m].add(k) });
                for v in 0..N {
                    sums[m][v] = isa.fma(value, columns[v], sums[m][v]);
                }
            }
            weights = weights.wrapping_add(N * S::LANES);
        }
        sums
    }
}

/// By the address of the first row and a step.
#[derive(Copy, Clone)]
struct Stepped(usize);

/// Rows that share a pointer: what is added to it for each of them is one register times two at most, as addresses can have.
const ROWS_OF_A_POINTER: usize = 3;
const POINTERS: usize = MAX_ROWS.div_ceil(ROWS_OF_A_POINTER);

impl Rows for Stepped {
    #[inline(always)]
    unsafe fn add<S: Isa, W: Weight, const M: usize, const N: usize>(
        self,
        isa: S,
        tile: &Tile<'_, W>,
        tap: usize,
        mut weights: *const W,
        mut sums: [[S::F; N]; M],
    ) -> [[S::F; N]; M] {
        let Self(step) = self;
        // SAFETY: `pieces` holds an address per tap.
        let first = unsafe { *tile.pieces.get_unchecked(tap) };
        let mut pointers = [first; POINTERS];
        for (at, pointer) in pointers.iter_mut().enumerate() {
            *pointer = first.wrapping_add(at * ROWS_OF_A_POINTER * step);
        }
        for _ in 0..tile.depth {
            // SAFETY: within the panel.
            let columns = unsafe { columns::<S, W, N>(isa, weights) };
            for (group, &pointer) in pointers.iter().enumerate() {
                for (r, offset) in [0, step, 2 * step].into_iter().enumerate() {
                    let m = group * ROWS_OF_A_POINTER + r;
                    if m < M {
                        // SAFETY: each piece has `depth` values at M places.
                        let value = isa.splat(unsafe { *pointer.wrapping_add(offset) });
                        for v in 0..N {
                            sums[m][v] = isa.fma(value, columns[v], sums[m][v]);
                        }
                    }
                }
            }
            for pointer in &mut pointers {
                *pointer = pointer.wrapping_add(1);
            }
            weights = weights.wrapping_add(N * S::LANES);
        }
        sums
    }
}

/// The weights of `N` vectors of columns.
///
/// # Safety
/// They must be there.
#[inline(always)]
unsafe fn columns<S: Isa, W: Weight, const N: usize>(isa: S, weights: *const W) -> [S::F; N] {
    let mut columns = [isa.zero(); N];
    for (v, column) in columns.iter_mut().enumerate() {
        // SAFETY: forwarded.
        *column = unsafe { W::load(isa, weights.add(v * S::LANES)) };
        if (v * S::LANES * size_of::<W>()).is_multiple_of(LINE) {
            isa.prefetch(
                weights.cast::<f32>().wrapping_add(AHEAD).cast::<W>().wrapping_add(v * S::LANES).cast(),
            );
        }
    }
    columns
}

/// Each sum is one chain over the depth, also of a single row: the reference adds in this order.
///
/// # Safety
/// As [`compute`], for `M` rows.
#[inline(always)]
unsafe fn several<S: Isa, W: Weight, R: Rows, const M: usize, const N: usize>(
    isa: S,
    tile: &Tile<'_, W>,
    rows: R,
) {
    debug_assert!(tile.panel.len() == (tile.taps * tile.depth + W::BIAS) * N * S::LANES);
    let mut weights = tile.panel.as_ptr();
    let mut bias = [isa.zero(); N];
    for (v, bias) in bias.iter_mut().enumerate() {
        // SAFETY: a panel starts with its bias of N vectors.
        *bias = unsafe { isa.load_ptr(weights.cast::<f32>().add(v * S::LANES)) };
    }
    let mut sums = [bias; M];
    weights = weights.wrapping_add(W::BIAS * N * S::LANES);
    for tap in 0..tile.taps {
        // SAFETY: forwarded; the panel has `taps * depth * N` vectors behind its bias.
        sums = unsafe { rows.add(isa, tile, tap, weights, sums) };
        weights = weights.wrapping_add(tile.depth * N * S::LANES);
    }
    // SAFETY: forwarded.
    unsafe { finish(isa, tile, &mut sums) };
}

/// Adds the residual, applies the activation and stores the tile.
///
/// # Safety
/// As [`compute`], for `M` rows.
#[inline(always)]
unsafe fn finish<S: Isa, W, const M: usize, const N: usize>(
    isa: S,
    tile: &Tile<'_, W>,
    sums: &mut [[S::F; N]; M],
) {
    let whole = tile.columns == N * S::LANES;
    let last = tile.columns - (N - 1) * S::LANES;
    if !tile.residual.is_null() {
        for m in 0..M {
            for v in 0..N {
                let n = if v + 1 == N { last } else { S::LANES };
                // SAFETY: the residual has `columns` values at each start.
                let value = unsafe { isa.load_ptr_part(tile.residual.add(tile.starts[m] + v * S::LANES), n) };
                sums[m][v] = isa.add(sums[m][v], value);
            }
        }
    }
    if tile.activation.follows() {
        let rows = tile.starts[..tile.rows].iter().map(|&start| tile.out.wrapping_add(start));
        // SAFETY: the output has `columns` values at each start, and there are at most M distinct rows.
        return unsafe { tile.activation.follow(isa, sums, rows, tile.columns) };
    }
    tile.activation.apply(isa, sums);
    for m in 0..M {
        for v in 0..N {
            // SAFETY: the output has `columns` values at each start.
            unsafe {
                let to = tile.out.add(tile.starts[m] + v * S::LANES);
                if whole || v + 1 < N {
                    isa.store_ptr(sums[m][v], to);
                } else {
                    isa.store_ptr_part(sums[m][v], to, last);
                }
            }
        }
    }
}
