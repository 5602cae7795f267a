//! Strided copies: the one loop behind most operators that only move elements.
//!
//! Slicing, transposing, reversing, broadcasting, tiling, concatenating and rearranging blocks all read elements
//! at one set of strides and write them at another. A [`CopyPlan`] holds such a copy in its simplest form; it is
//! built once, when an operator is lowered, and checked then, so that running it needs no checks per element.

use crate::par::{Par, SharedMut};

use super::transpose::transpose;

/// The most dimensions a plan can have after simplification.
pub const MAX_COPY_DIMS: usize = 16;

/// A tile of work for one thread, in bytes: large enough to outweigh handing it out.
const TILE_BYTES: usize = 64 << 10;

/// Columns of a 2-D transposition that make one tile of work.
const TRANSPOSE_COLUMNS: usize = 64;

/// One dimension of a strided copy. Strides may be negative; a source stride of zero repeats the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyDim {
    /// Number of steps.
    pub len: usize,
    /// Elements between two steps in the source.
    pub src: isize,
    /// Elements between two steps in the destination.
    pub dst: isize,
}

/// Where a strided copy starts and how large its two sides are, in elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyEnds {
    /// First element read.
    pub src_start: usize,
    /// Elements of the source.
    pub src_len: usize,
    /// First element written.
    pub dst_start: usize,
    /// Elements of the destination.
    pub dst_len: usize,
}

/// What is done with the innermost dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inner {
    /// Nothing: each step of the outer dimensions copies one unit of bytes.
    Unit,
    /// Steps of units at any strides.
    Steps(CopyDim),
    /// A matrix: `rows` runs along the destination, `columns` along the source.
    Transpose { rows: CopyDim, columns: CopyDim },
}

/// A checked and simplified strided copy. Strides and starts are in bytes from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyPlan {
    outer: Vec<CopyDim>,
    inner: Inner,
    /// Bytes that lie together on both sides.
    unit: usize,
    src_start: usize,
    dst_start: usize,
    src_bytes: usize,
    dst_bytes: usize,
    empty: bool,
}

impl CopyPlan {
    /// Plans a copy of elements of `element` bytes over `dims`.
    ///
    /// `None` if a step would leave either side, if two steps would write the same place, or if more than
    /// [`MAX_COPY_DIMS`] dimensions are left after merging those that lie together.
    #[must_use]
    pub fn new(element: usize, ends: CopyEnds, dims: &[CopyDim]) -> Option<Self> {
        let empty = dims.iter().any(|d| d.len == 0);
        let mut plan = Self {
            outer: Vec::new(),
            inner: Inner::Unit,
            unit: element,
            src_start: ends.src_start.checked_mul(element)?,
            dst_start: ends.dst_start.checked_mul(element)?,
            src_bytes: ends.src_len.checked_mul(element)?,
            dst_bytes: ends.dst_len.checked_mul(element)?,
            empty,
        };
        if empty {
            return Some(plan);
        }
        let mut dims: Vec<CopyDim> = dims.iter().copied().filter(|d| d.len > 1).collect();
        // Writing forwards through the destination is what caches like.
        dims.sort_by_key(|d| core::cmp::Reverse(d.dst.unsigned_abs()));
        if !within(ends.src_start, ends.src_len, dims.iter().map(|d| (d.len, d.src)))
            || !within(ends.dst_start, ends.dst_len, dims.iter().map(|d| (d.len, d.dst)))
            || !writes_once(&dims)
        {
            return None;
        }
        let scale = isize::try_from(element).ok()?;
        for d in &mut dims {
            d.src *= scale;
            d.dst *= scale;
        }
        merge(&mut dims);
        if let Some(last) = dims.last().copied()
            && last.src == scale
            && last.dst == scale
        {
            plan.unit = last.len * element;
            dims.pop();
        }
        if dims.len() > MAX_COPY_DIMS {
            return None;
        }
        plan.inner = split_inner(&mut dims, plan.unit);
        plan.outer = dims;
        Some(plan)
    }

    /// Bytes of the source the plan was made for.
    #[must_use]
    pub fn source_bytes(&self) -> usize {
        self.src_bytes
    }

    /// Whether both sides are the same bytes in the same order, from the start to the end.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        !self.empty
            && self.outer.is_empty()
            && self.inner == Inner::Unit
            && (self.src_start, self.dst_start) == (0, 0)
            && (self.unit, self.unit) == (self.src_bytes, self.dst_bytes)
    }

    /// What the innermost loop does, for names of kernels: `run`, `strided` or `transpose`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.inner {
            Inner::Unit => "run",
            Inner::Steps(_) => "strided",
            Inner::Transpose { .. } => "transpose",
        }
    }

    /// Copies.
    ///
    /// # Panics
    /// If `src` or `dst` has fewer bytes than the plan was made for.
    pub fn run(&self, src: &[u8], dst: &mut [u8], par: Par) {
        assert!(
            src.len() >= self.src_bytes && dst.len() >= self.dst_bytes,
            "operands are smaller than planned"
        );
        if self.empty {
            return;
        }
        let copier = Copier { plan: self, src, dst: SharedMut::new(dst) };
        let rows: usize = self.outer.iter().map(|d| d.len).product();
        let (pieces, row_bytes) = match self.inner {
            Inner::Unit => (self.unit.div_ceil(TILE_BYTES), self.unit.min(TILE_BYTES)),
            Inner::Steps(d) => (1, d.len * self.unit),
            Inner::Transpose { rows, columns } => (
                columns.len.div_ceil(TRANSPOSE_COLUMNS),
                rows.len * columns.len.min(TRANSPOSE_COLUMNS) * self.unit,
            ),
        };
        let items = rows * pieces;
        let per_tile = par.even_chunk(items, (TILE_BYTES / row_bytes.max(1)).max(1), 1);
        par.for_each_tile(items.div_ceil(per_tile), |tile| {
            copier.items(tile * per_tile..items.min((tile + 1) * per_tile), pieces);
        });
    }
}

/// Whether all places reached from `start` lie below `len`.
fn within(start: usize, len: usize, dims: impl Iterator<Item = (usize, isize)>) -> bool {
    let (mut low, mut high) = (start as i128, start as i128);
    for (steps, stride) in dims {
        let reach = (steps as i128 - 1) * stride as i128;
        low += reach.min(0);
        high += reach.max(0);
    }
    low >= 0 && high < len as i128
}

/// Whether no two steps write the same place: each stride passes everything the inner dimensions reach.
fn writes_once(dims: &[CopyDim]) -> bool {
    let mut reach = 0i128;
    for d in dims.iter().rev() {
        let stride = d.dst.unsigned_abs() as i128;
        if stride <= reach {
            return false;
        }
        reach += stride * (d.len as i128 - 1);
    }
    true
}

/// Merges dimensions that follow each other without a gap on both sides.
fn merge(dims: &mut Vec<CopyDim>) {
    dims.dedup_by(|inner, outer| {
        let len = inner.len as isize;
        let together = outer.src == inner.src * len && outer.dst == inner.dst * len;
        if together {
            *outer = CopyDim { len: outer.len * inner.len, ..*inner };
        }
        together
    });
}

/// Takes the dimensions of the innermost loop out of `dims`.
fn split_inner(dims: &mut Vec<CopyDim>, unit: usize) -> Inner {
    let Some(rows) = dims.pop() else { return Inner::Unit };
    let scattered = rows.dst == unit as isize && rows.src.unsigned_abs() > unit;
    if scattered
        && matches!(unit, 1 | 2 | 4 | 8 | 16)
        && let Some(i) = dims.iter().position(|d| d.src == unit as isize)
    {
        return Inner::Transpose { rows, columns: dims.remove(i) };
    }
    if unit >= 64 {
        // A step this long is as good as a run; leaving the dimension outside lets threads share it.
        dims.push(rows);
        return Inner::Unit;
    }
    Inner::Steps(rows)
}

/// A running copy.
struct Copier<'a> {
    plan: &'a CopyPlan,
    src: &'a [u8],
    dst: SharedMut<'a, u8>,
}

impl Copier<'_> {
    /// Does items `range`; an item is one of `pieces` of a step of the outer dimensions.
    fn items(&self, range: core::ops::Range<usize>, pieces: usize) {
        let outer = &self.plan.outer;
        let mut index = [0usize; MAX_COPY_DIMS];
        let mut rest = range.start / pieces;
        let (mut src, mut dst) = (self.plan.src_start as isize, self.plan.dst_start as isize);
        for (i, d) in outer.iter().enumerate().rev() {
            index[i] = rest % d.len;
            rest /= d.len;
            src += index[i] as isize * d.src;
            dst += index[i] as isize * d.dst;
        }
        let mut piece = range.start % pieces;
        for _ in range {
            self.item(src, dst, piece);
            piece += 1;
            if piece < pieces {
                continue;
            }
            piece = 0;
            for (i, d) in outer.iter().enumerate().rev() {
                index[i] += 1;
                src += d.src;
                dst += d.dst;
                if index[i] < d.len {
                    break;
                }
                index[i] = 0;
                src -= d.len as isize * d.src;
                dst -= d.len as isize * d.dst;
            }
        }
    }

    /// Copies piece `piece` of the innermost loop that starts at these offsets.
    fn item(&self, src: isize, dst: isize, piece: usize) {
        let unit = self.plan.unit;
        // SAFETY: the plan was checked against the lengths of both sides and writes no place twice, so the
        // pointers below stay inside and no two items touch the same destination; source and destination are
        // different slices.
        unsafe {
            let from = self.src.as_ptr().offset(src);
            let to = self.dst.as_mut_ptr().offset(dst);
            match self.plan.inner {
                Inner::Unit => {
                    let start = piece * TILE_BYTES;
                    copy_unit(from.add(start), to.add(start), (unit - start).min(TILE_BYTES));
                }
                Inner::Steps(d) => steps(from, to, d, unit),
                Inner::Transpose { rows, columns } => {
                    let start = piece * TRANSPOSE_COLUMNS;
                    let len = (columns.len - start).min(TRANSPOSE_COLUMNS);
                    let from = from.offset(start as isize * columns.src);
                    let to = to.offset(start as isize * columns.dst);
                    match unit {
                        1 => transpose::<1>(from, rows.src, to, columns.dst, rows.len, len),
                        2 => transpose::<2>(from, rows.src, to, columns.dst, rows.len, len),
                        4 => transpose::<4>(from, rows.src, to, columns.dst, rows.len, len),
                        8 => transpose::<8>(from, rows.src, to, columns.dst, rows.len, len),
                        _ => transpose::<16>(from, rows.src, to, columns.dst, rows.len, len),
                    }
                }
            }
        }
    }
}

/// Copies `len` bytes.
///
/// # Safety
/// Both sides must have `len` bytes and not overlap.
unsafe fn copy_unit(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise. Small powers of two become single moves.
    unsafe {
        match len {
            1 => to.write(from.read()),
            2 => to.cast::<[u8; 2]>().write(from.cast::<[u8; 2]>().read()),
            4 => to.cast::<[u8; 4]>().write(from.cast::<[u8; 4]>().read()),
            8 => to.cast::<[u8; 8]>().write(from.cast::<[u8; 8]>().read()),
            16 => to.cast::<[u8; 16]>().write(from.cast::<[u8; 16]>().read()),
            _ => core::ptr::copy_nonoverlapping(from, to, len),
        }
    }
}

/// Copies the steps of one dimension.
///
/// # Safety
/// All steps must lie within both sides, which must not overlap.
unsafe fn steps(from: *const u8, to: *mut u8, d: CopyDim, unit: usize) {
    /// Steps of `N` bytes.
    ///
    /// # Safety
    /// As the outer function's.
    #[inline(always)]
    unsafe fn fixed<const N: usize>(from: *const u8, to: *mut u8, d: CopyDim) {
        if d.src == 0 && d.dst == N as isize {
            // SAFETY: the caller's promise; steps lie together, so they are a slice.
            unsafe { core::slice::from_raw_parts_mut(to.cast::<[u8; N]>(), d.len) }
                .fill(unsafe { from.cast::<[u8; N]>().read() });
            return;
        }
        for i in 0..d.len as isize {
            // SAFETY: the caller's promise.
            unsafe {
                to.offset(i * d.dst).cast::<[u8; N]>().write(from.offset(i * d.src).cast::<[u8; N]>().read())
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        match unit {
            1 => fixed::<1>(from, to, d),
            2 => fixed::<2>(from, to, d),
            4 => fixed::<4>(from, to, d),
            8 => fixed::<8>(from, to, d),
            12 => fixed::<12>(from, to, d),
            16 => fixed::<16>(from, to, d),
            _ => {
                for i in 0..d.len as isize {
                    core::ptr::copy_nonoverlapping(from.offset(i * d.src), to.offset(i * d.dst), unit);
                }
            }
        }
    }
}

/// The strides of a dense tensor, in elements.
#[must_use]
pub fn dense_strides(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1isize; dims.len()];
    for i in (0..dims.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1].saturating_mul(isize::try_from(dims[i + 1]).unwrap_or(isize::MAX));
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::movement::strided_copy;

    struct Row {
        name: &'static str,
        ends: CopyEnds,
        dims: Vec<CopyDim>,
        kind: &'static str,
    }

    fn dim(len: usize, src: isize, dst: isize) -> CopyDim {
        CopyDim { len, src, dst }
    }

    fn ends(src_start: usize, src_len: usize, dst_start: usize, dst_len: usize) -> CopyEnds {
        CopyEnds { src_start, src_len, dst_start, dst_len }
    }

    fn rows() -> Vec<Row> {
        vec![
            Row { name: "one element", ends: ends(0, 1, 0, 1), dims: vec![], kind: "run" },
            Row {
                name: "dense",
                ends: ends(0, 24, 0, 24),
                dims: vec![dim(4, 6, 6), dim(6, 1, 1)],
                kind: "run",
            },
            Row {
                name: "slice",
                ends: ends(7, 40, 0, 6),
                dims: vec![dim(2, 10, 3), dim(3, 1, 1)],
                kind: "strided",
            },
            Row {
                name: "wide slice",
                ends: ends(1, 400, 0, 198),
                dims: vec![dim(2, 200, 99), dim(99, 1, 1)],
                kind: "any",
            },
            Row { name: "every other", ends: ends(1, 20, 0, 10), dims: vec![dim(10, 2, 1)], kind: "strided" },
            Row { name: "reversed", ends: ends(9, 10, 0, 10), dims: vec![dim(10, -1, 1)], kind: "strided" },
            Row { name: "splat", ends: ends(2, 3, 0, 50), dims: vec![dim(50, 0, 1)], kind: "strided" },
            Row {
                name: "matrix",
                ends: ends(0, 70, 0, 70),
                dims: vec![dim(10, 1, 7), dim(7, 10, 1)],
                kind: "transpose",
            },
            Row {
                name: "large matrix",
                ends: ends(0, 131 * 77, 0, 131 * 77),
                dims: vec![dim(131, 1, 77), dim(77, 131, 1)],
                kind: "transpose",
            },
            Row {
                name: "NHWC to NCHW",
                ends: ends(0, 2 * 5 * 6 * 3, 0, 180),
                dims: vec![dim(2, 90, 90), dim(3, 1, 30), dim(30, 3, 1)],
                kind: "transpose",
            },
            Row {
                name: "into the middle",
                ends: ends(0, 6, 5, 24),
                dims: vec![dim(2, 3, 8), dim(3, 1, 2)],
                kind: "any",
            },
            Row {
                name: "nothing",
                ends: ends(0, 0, 0, 4),
                dims: vec![dim(0, 1, 1), dim(3, 1, 1)],
                kind: "any",
            },
        ]
    }

    #[test]
    fn equals_the_plain_loop() {
        let mut failures = Vec::new();
        for row in rows() {
            for element in [1, 2, 3, 4, 8, 16] {
                let src: Vec<u8> = (0..row.ends.src_len * element).map(|i| (i * 7 + 3) as u8).collect();
                let mut want = vec![0xee; row.ends.dst_len * element];
                strided_copy(element, row.ends, &row.dims, &src, &mut want);
                let plan = CopyPlan::new(element, row.ends, &row.dims).expect(row.name);
                for threads in [1, 3] {
                    let mut got = vec![0xee; row.ends.dst_len * element];
                    plan.run(&src, &mut got, Par::new(threads));
                    if got != want {
                        failures.push(format!("{}, {element} bytes, {threads} threads", row.name));
                    }
                }
                if element == 4 && row.kind != "any" && plan.kind() != row.kind {
                    failures.push(format!("{} is done as {}", row.name, plan.kind()));
                }
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn refuses_what_leaves_the_operands_or_writes_twice() {
        let rows: &[(&str, CopyEnds, &[CopyDim])] = &[
            ("reads past the end", ends(1, 4, 0, 4), &[dim(4, 1, 1)]),
            ("reads before the start", ends(2, 4, 0, 4), &[dim(4, -1, 1)]),
            ("writes past the end", ends(0, 4, 1, 4), &[dim(4, 1, 1)]),
            ("writes one place twice", ends(0, 4, 0, 4), &[dim(4, 1, 0)]),
            ("writes overlap", ends(0, 8, 0, 8), &[dim(2, 4, 2), dim(4, 1, 1)]),
            ("overflow", ends(0, 8, 0, 8), &[dim(usize::MAX, isize::MAX, isize::MAX)]),
        ];
        for (name, ends, dims) in rows {
            assert_eq!(CopyPlan::new(4, *ends, dims), None, "{name}");
        }
    }

    #[test]
    fn identity_is_seen() {
        let dims = [dim(4, 6, 6), dim(6, 1, 1)];
        assert!(CopyPlan::new(2, ends(0, 24, 0, 24), &dims).unwrap().is_identity());
        assert!(!CopyPlan::new(2, ends(0, 25, 0, 24), &dims).unwrap().is_identity());
    }
}
