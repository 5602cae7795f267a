//! What becomes of a finished sum: the epilogues of the integer kernels.

use super::block::Block;
use crate::isa::{Isa, IsaNarrow, MAX_LANES};
use crate::par::SharedMut;

/// Takes the finished sums of a tile.
pub trait Store: Sync {
    /// What it needs to know of `LANES` columns, in registers.
    type Columns<S: Isa>: Copy;

    /// Products after which a sum of 32 bits could overflow; longer sums are finished in 64 bits.
    fn most_products(&self) -> usize {
        usize::MAX
    }

    /// Reads what is needed for the columns from `col` on.
    fn columns<S: Isa>(&self, isa: S, col: usize) -> Self::Columns<S>;

    /// Takes `len <= LANES` sums of row `row`, columns `col..col + len`, from registers.
    fn store<S: Isa>(
        &self,
        isa: S,
        columns: Self::Columns<S>,
        row: usize,
        col: usize,
        len: usize,
        sums: S::I,
    );

    /// Takes those of `count` rows from `row` on, as `rows` gives them, in order.
    #[inline(always)]
    fn store_rows<S: Isa>(
        &self,
        isa: S,
        columns: Self::Columns<S>,
        (row, count): (usize, usize),
        col: usize,
        len: usize,
        mut rows: impl RowSums<S>,
    ) {
        for r in 0..count {
            self.store(isa, columns, row + r, col, len, rows.next(isa));
        }
    }

    /// Multiplies a block and takes its sums: `block.run(self)`. Written in every epilogue so that the tiles are compiled
    /// where the epilogue is, once, and not wherever rows are multiplied.
    fn multiply(&self, block: Block<'_>);

    /// Takes sums of more than [`Store::most_products`] products, of row `row` from column `col` on; only epilogues
    /// that set that limit are given any.
    fn store_wide(&self, row: usize, col: usize, sums: &[i64]) {
        debug_assert!(false, "{} sums at {row},{col} without a limit", sums.len());
    }
}

/// An epilogue whose rows come from several products, one behind the other.
pub trait RowStore: Store {
    /// The epilogue of the rows behind the first ones.
    type Rest<'s>: Store
    where
        Self: 's;

    /// The epilogue of the rows from `row` on, counted from there.
    ///
    /// # Panics
    /// If rows are pixels of images, see [`PixelMap`].
    fn rows_from(&self, row: usize) -> Self::Rest<'_>;
}

/// The finished sums of one row after another. A trait and not a closure, which may stay a call without the
/// instruction set.
pub trait RowSums<S: Isa> {
    /// Those of the next row. Implementations must be `#[inline(always)]`.
    fn next(&mut self, isa: S) -> S::I;
}

/// How sums become quantized numbers: `clamp(round_half_even(sum * scale[col]) + zero, low, high)`.
#[derive(Clone, Debug)]
pub struct Requantize {
    scales: Vec<f32>,
    zero: i32,
    low: i32,
    high: i32,
}

/// Spare elements behind per-column tables, so that whole vectors can be read at any column.
pub(super) const SPARE: usize = MAX_LANES;

/// A per-column table of `cols` entries, from one entry for all columns or one for each.
///
/// # Panics
/// If there are neither one nor `cols` entries.
pub(super) fn per_column<T: Copy + Default>(entries: &[T], cols: usize) -> Vec<T> {
    let mut table = vec![T::default(); cols + SPARE];
    match entries {
        [all] => table[..cols].fill(*all),
        each => table[..cols].copy_from_slice(each),
    }
    table
}

impl Requantize {
    /// `scales` has one entry or one for each of `cols` columns: the scale of the sums over that of the outputs.
    /// Outputs lie in `low..=high`.
    ///
    /// # Panics
    /// If there are neither one nor `cols` scales.
    pub fn new(scales: &[f32], cols: usize, zero: i32, low: i32, high: i32) -> Self {
        Self { scales: per_column(scales, cols), zero, low, high }
    }

    #[inline(always)]
    fn columns<S: Isa>(&self, isa: S, col: usize) -> RequantizeColumns<S> {
        RequantizeColumns {
            scales: isa.load(&self.scales[col..]),
            low: isa.splat((self.low - self.zero) as f32),
            high: isa.splat((self.high - self.zero) as f32),
            zero: isa.splat_i32(self.zero),
        }
    }
}

/// [`Requantize`] for `LANES` columns.
#[derive(Copy, Clone)]
pub struct RequantizeColumns<S: Isa> {
    scales: S::F,
    low: S::F,
    high: S::F,
    zero: S::I,
}

impl<S: Isa> RequantizeColumns<S> {
    #[inline(always)]
    fn apply(self, isa: S, sums: S::I) -> S::I {
        let scaled = isa.mul(isa.to_f32(sums), self.scales);
        isa.add_i32(isa.to_i32_round(isa.clamp(scaled, self.low, self.high)), self.zero)
    }
}

/// Where the rows of a kernel lie in an image when they are not its pixels in order.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PixelMap {
    /// Height and width of what the rows cover.
    pub count: [usize; 2],
    /// Where the first of them lies.
    pub first: [usize; 2],
    /// Distances between them.
    pub step: [usize; 2],
    /// Height and width of the image.
    pub image: [usize; 2],
}

impl PixelMap {
    /// Inlined: a call between vectors would cost those in registers.
    #[inline(always)]
    fn pixel(&self, row: usize) -> usize {
        let [height, width] = self.count;
        let (x, y, image) = (row % width, row / width % height, row / width / height);
        (image * self.image[0] + self.first[0] + y * self.step[0]) * self.image[1]
            + self.first[1]
            + x * self.step[1]
    }
}

/// The destination of a kernel: rows of `stride` elements, shared by the tiles that fill it.
pub struct Target<'a, T> {
    out: SharedMut<'a, T>,
    first: usize,
    stride: usize,
    map: Option<PixelMap>,
}

impl<'a, T> Target<'a, T> {
    /// Row 0 starts at element `first` of `out`, rows are `stride` apart.
    pub fn new(out: &'a mut [T], first: usize, stride: usize) -> Self {
        Self { out: SharedMut::new(out), first, stride, map: None }
    }

    /// As [`Target::new`], the rows being those pixels of images that `map` tells.
    pub fn mapped(out: &'a mut [T], first: usize, stride: usize, map: PixelMap) -> Self {
        Self { map: Some(map), ..Self::new(out, first, stride) }
    }

    /// The rows from `row` on.
    ///
    /// # Panics
    /// If they are mapped.
    pub(super) fn rows_from(&self, row: usize) -> Target<'_, T> {
        assert!(self.map.is_none(), "rows of a batch lie one behind the other");
        let first = self.first + row * self.stride;
        Target { out: self.out.again(), first, stride: self.stride, map: None }
    }

    /// The elements of a row from column `col` on.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the kernels' promise")]
    #[inline(always)]
    pub(super) fn at(&self, row: usize, col: usize, len: usize) -> &mut [T] {
        let row = match &self.map {
            None => row,
            Some(map) => map.pixel(row),
        };
        // SAFETY: the kernels of this module store each element once, so no two ranges overlap.
        unsafe { self.out.range(self.first + row * self.stride + col, len) }
    }
}

/// Rows of a destination one after another.
pub(super) struct Cursor<T> {
    /// The next row's elements.
    at: *mut T,
    stride: usize,
    len: usize,
}

impl<T> Target<'_, T> {
    /// Elements `col..col + len` of `count` rows from `row` on, if rows are evenly spaced.
    #[inline(always)]
    pub(super) fn cursor(&self, (row, count): (usize, usize), col: usize, len: usize) -> Option<Cursor<T>> {
        if self.map.is_some() || count == 0 {
            return None;
        }
        let first = self.first + row * self.stride + col;
        self.out.check(first, len);
        self.out.check(first + (count - 1) * self.stride, len);
        Some(Cursor { at: self.out.as_mut_ptr().wrapping_add(first), stride: self.stride, len })
    }
}

impl<T> Cursor<T> {
    /// The next row's elements. To be called as often as there are rows.
    #[inline(always)]
    pub(super) fn next(&mut self) -> &mut [T] {
        let at = self.at;
        self.at = at.wrapping_add(self.stride);
        // SAFETY: the first and the last row lie within the target, and kernels store each element once.
        unsafe { core::slice::from_raw_parts_mut(at, self.len) }
    }
}

/// Requantized numbers into a tensor of `T`.
pub struct StoreQuantized<'a, T> {
    /// Scales and bounds.
    pub requantize: &'a Requantize,
    /// Destination.
    pub target: Target<'a, T>,
}

macro_rules! store_quantized {
    ($($T:ty: $store:ident $store_part:ident,)*) => {
        $(impl RowStore for StoreQuantized<'_, $T> {
            type Rest<'s> = StoreQuantized<'s, $T> where Self: 's;

            fn rows_from(&self, row: usize) -> Self::Rest<'_> {
                StoreQuantized { requantize: self.requantize, target: self.target.rows_from(row) }
            }
        }

        impl Store for StoreQuantized<'_, $T> {
            type Columns<S: Isa> = RequantizeColumns<S>;

            fn multiply(&self, block: Block<'_>) {
                block.run(self);
            }

            #[inline(always)]
            fn columns<S: Isa>(&self, isa: S, col: usize) -> RequantizeColumns<S> {
                self.requantize.columns(isa, col)
            }

            #[inline(always)]
            fn store<S: Isa>(
                &self,
                isa: S,
                columns: RequantizeColumns<S>,
                row: usize,
                col: usize,
                len: usize,
                sums: S::I,
            ) {
                let value = columns.apply(isa, sums);
                let to = self.target.at(row, col, len);
                if len == S::LANES {
                    isa.$store(value, to);
                } else {
                    isa.$store_part(value, to);
                }
            }

            #[inline(always)]
            fn store_rows<S: Isa>(
                &self,
                isa: S,
                columns: RequantizeColumns<S>,
                rows: (usize, usize),
                col: usize,
                len: usize,
                mut sums: impl RowSums<S>,
            ) {
                match self.target.cursor(rows, col, len) {
                    // The choice outside of the loop, which is a few instructions long.
                    Some(mut cursor) if len == S::LANES => {
                        for _ in 0..rows.1 {
                            isa.$store(columns.apply(isa, sums.next(isa)), cursor.next());
                        }
                    }
                    Some(mut cursor) => {
                        for _ in 0..rows.1 {
                            isa.$store_part(columns.apply(isa, sums.next(isa)), cursor.next());
                        }
                    }
                    None => {
                        for r in 0..rows.1 {
                            self.store(isa, columns, rows.0 + r, col, len, sums.next(isa));
                        }
                    }
                }
            }
        })*
    };
}

store_quantized! { i8: store_i8 store_i8_part, u8: store_u8 store_u8_part, }

/// Floats from sums whose rows and columns have scales of their own:
/// `clamp(sum * row_scale * scale[col] + bias[col], low, high)`.
pub struct StoreFloat<'a> {
    /// Scale of the activations, by row divided by `rows_per_scale`.
    pub row_scales: &'a [f32],
    /// Rows that share a scale.
    pub rows_per_scale: usize,
    /// Scales and biases of the columns.
    pub columns: &'a FloatColumns,
    /// Destination.
    pub target: Target<'a, f32>,
}

/// How a sum becomes a float. The orders differ by roundings only; each is that of a kernel of the reference.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rescaling {
    /// `fma(sum * row, column, bias)`.
    Fused,
    /// `sum * (row * column) + bias`.
    Product,
    /// `sum * column * row + bias` in groups of four columns, `sum * row * column + bias` in those that are left.
    ColumnFirst,
}

impl Rescaling {
    #[inline(always)]
    fn apply<S: Isa>(self, isa: S, sums: S::F, row: S::F, column: S::F, bias: S::F) -> S::F {
        match self {
            Self::Fused => isa.fma(isa.mul(sums, row), column, bias),
            Self::Product => isa.add(isa.mul(sums, isa.mul(row, column)), bias),
            Self::ColumnFirst => isa.add(isa.mul(isa.mul(sums, column), row), bias),
        }
    }
}

/// Columns that [`Rescaling::ColumnFirst`] takes together.
const GROUP: usize = 4;

/// The per-column tables of [`StoreFloat`].
#[derive(Clone, Debug)]
pub struct FloatColumns {
    scales: Vec<f32>,
    bias: Vec<f32>,
    low: f32,
    high: f32,
    rescaling: Rescaling,
    /// Columns in whole groups.
    grouped: usize,
}

impl FloatColumns {
    /// `scales` has one entry or one for each of `cols` columns, `bias` none or one for each.
    ///
    /// # Panics
    /// On other numbers of entries.
    pub fn new(
        scales: &[f32],
        bias: &[f32],
        cols: usize,
        (low, high): (f32, f32),
        rescaling: Rescaling,
    ) -> Self {
        let bias = if bias.is_empty() { per_column(&[0.0], cols) } else { per_column(bias, cols) };
        let grouped = if rescaling == Rescaling::ColumnFirst { cols - cols % GROUP } else { cols };
        Self { scales: per_column(scales, cols), bias, low, high, rescaling, grouped }
    }
}

impl Store for StoreFloat<'_> {
    /// Scales, biases, bounds.
    type Columns<S: Isa> = [S::F; 4];

    fn multiply(&self, block: Block<'_>) {
        block.run(self);
    }

    #[inline(always)]
    fn columns<S: Isa>(&self, isa: S, col: usize) -> [S::F; 4] {
        let FloatColumns { scales, bias, low, high, .. } = self.columns;
        [isa.load(&scales[col..]), isa.load(&bias[col..]), isa.splat(*low), isa.splat(*high)]
    }

    #[inline(always)]
    fn store<S: Isa>(
        &self,
        isa: S,
        [scales, bias, low, high]: [S::F; 4],
        row: usize,
        col: usize,
        len: usize,
        sums: S::I,
    ) {
        let (sums, row_scale) = (isa.to_f32(sums), isa.splat(self.row_scales[self.scale_of(row)]));
        let value = self.columns.rescaling.apply(isa, sums, row_scale, scales, bias);
        let value = isa.clamp(value, low, high);
        let to = self.target.at(row, col, len);
        if col + len > self.columns.grouped {
            let last = isa.add(isa.mul(isa.mul(sums, row_scale), scales), bias);
            let (mut lanes, mut others) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
            isa.store(value, &mut lanes);
            isa.store(isa.clamp(last, low, high), &mut others);
            let whole = self.columns.grouped.saturating_sub(col);
            to[..whole].copy_from_slice(&lanes[..whole]);
            to[whole..].copy_from_slice(&others[whole..len]);
            return;
        }
        if len == S::LANES {
            isa.store(value, to);
        } else {
            isa.store_part(value, to);
        }
    }

    #[inline(always)]
    fn store_rows<S: Isa>(
        &self,
        isa: S,
        columns: [S::F; 4],
        rows: (usize, usize),
        col: usize,
        len: usize,
        mut sums: impl RowSums<S>,
    ) {
        let (first, last) = (self.scale_of(rows.0), self.scale_of(rows.0 + rows.1.max(1) - 1));
        // Rows have a scale each, or share one.
        let evenly = self.rows_per_scale == 1 || first == last;
        let cursor = self.target.cursor(rows, col, len);
        let Some(cursor) = cursor.filter(|_| evenly && col + len <= self.columns.grouped) else {
            for r in 0..rows.1 {
                self.store(isa, columns, rows.0 + r, col, len, sums.next(isa));
            }
            return;
        };
        let scales = &self.row_scales[first..last + 1];
        let scales = RowScales { scales, next: 0, step: usize::from(self.rows_per_scale == 1) };
        let rows = FloatRows { columns, scales, cursor, count: rows.1, sums };
        // One loop for each, without the choice inside.
        match self.columns.rescaling {
            Rescaling::Fused => rows.run(isa, Rescaling::Fused),
            Rescaling::Product => rows.run(isa, Rescaling::Product),
            Rescaling::ColumnFirst => rows.run(isa, Rescaling::ColumnFirst),
        }
    }
}

/// The scales of rows one after another: one each, or one for all.
struct RowScales<'a> {
    scales: &'a [f32],
    next: usize,
    /// From a row's to the next's.
    step: usize,
}

/// Rows of float results, evenly spaced.
struct FloatRows<'a, S: Isa, R> {
    columns: [S::F; 4],
    scales: RowScales<'a>,
    cursor: Cursor<f32>,
    count: usize,
    sums: R,
}

impl<S: Isa, R: RowSums<S>> FloatRows<'_, S, R> {
    /// Computes and stores them.
    #[inline(always)]
    fn run(mut self, isa: S, rescaling: Rescaling) {
        if self.cursor.len == S::LANES {
            for _ in 0..self.count {
                let value = self.value(isa, rescaling);
                isa.store(value, self.cursor.next());
            }
        } else {
            for _ in 0..self.count {
                let value = self.value(isa, rescaling);
                isa.store_part(value, self.cursor.next());
            }
        }
    }

    /// The next row's.
    #[inline(always)]
    fn value(&mut self, isa: S, rescaling: Rescaling) -> S::F {
        let [scales, bias, low, high] = self.columns;
        let sums = isa.to_f32(self.sums.next(isa));
        let row_scale = isa.splat(self.scales.scales[self.scales.next]);
        self.scales.next += self.scales.step;
        isa.clamp(rescaling.apply(isa, sums, row_scale, scales, bias), low, high)
    }
}

impl StoreFloat<'_> {
    /// The index of a row's scale.
    #[inline(always)]
    fn scale_of(&self, row: usize) -> usize {
        // No division for the first image.
        match self.rows_per_scale {
            1 => row,
            rows if row < rows => 0,
            rows => row / rows,
        }
    }
}
