//! Which tile of a grid has which number.

/// A grid of tiles: bands of a tensor (lines of an image, rows of a matrix), each of which is visited several times, for
/// instance once for each group of columns.
///
/// Threads take neighbouring numbers, and the bands are cut into one range for each thread before they are numbered: within
/// its range a thread visits all bands before it comes to the next visit. Kernels that cut their outputs in the same way
/// find what they read in the nearest cache; a tensor cut along rows by one kernel and along columns by the next crosses
/// from core to core, and so do the permissions to write to where it was.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bands {
    count: usize,
    ranges: usize,
    visits: usize,
}

impl Bands {
    /// `count` bands in `ranges` ranges (at least one, at most one for each band), each band visited `visits` times.
    pub(crate) fn new(count: usize, ranges: usize, visits: usize) -> Self {
        Self { count, ranges: ranges.clamp(1, count.max(1)), visits }
    }

    /// Tiles of the grid.
    pub(crate) fn tiles(&self) -> usize {
        self.count * self.visits
    }

    /// Band and visit of a tile below [`Bands::tiles`].
    pub(crate) fn tile(&self, number: usize) -> (usize, usize) {
        let start = |range: usize| range * self.count / self.ranges;
        // The range's first tile is number `start * visits`, so the range is where the tile's share of all bands lies.
        let mut range = number * self.ranges / self.tiles();
        while start(range + 1) * self.visits <= number {
            range += 1;
        }
        let (first, end) = (start(range), start(range + 1));
        let rest = number - first * self.visits;
        (first + rest % (end - first), rest / (end - first))
    }
}

/// Whether threads should share the rows of a product, given tiles of rows, what a row has to read and write, and what the
/// weights have, in elements. Rows are mostly those that the thread wrote; columns of all rows come from other cores' caches,
/// and as kernels before and after go along rows, so do the parts of the output. That is dearer than reading weights from the
/// shared cache, unless they are many. Of few tiles of rows threads would get unequal parts.
pub(crate) fn threads_share_rows(
    rows: usize,
    tiles: usize,
    row_len: usize,
    weights: usize,
    threads: usize,
) -> bool {
    const DEARER: usize = 2;
    const TILES_FOR_A_THREAD: usize = 3;
    tiles >= TILES_FOR_A_THREAD * threads && weights <= rows.saturating_mul(row_len).saturating_mul(DEARER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_shared_unless_weights_are_many_or_rows_are_few() {
        // 14 x 14 pixels of 512 channels, 7 x 7 of 1024, a sentence of 128, a single row.
        for (name, rows, k, n, want) in [
            ("an image", 196, 512, 512, true),
            ("a small image", 49, 1024, 1024, false),
            ("few pixels, few weights", 49, 96, 576, false),
            ("a sentence", 128, 256, 1024, true),
            ("many weights", 196, 512, 1 << 16, false),
            ("a row", 1, 1280, 1000, false),
        ] {
            assert_eq!(threads_share_rows(rows, rows.div_ceil(14), k + n, n * k, 2), want, "{name}");
        }
    }

    #[test]
    fn every_band_gets_every_visit() {
        for (count, ranges, visits) in
            [(1, 1, 1), (7, 2, 3), (8, 3, 1), (3, 9, 2), (16, 16, 5), (5, 1, 4), (100, 7, 3)]
        {
            let bands = Bands::new(count, ranges, visits);
            let mut seen: Vec<_> = (0..bands.tiles()).map(|number| bands.tile(number)).collect();
            seen.sort_unstable();
            let want: Vec<_> =
                (0..count).flat_map(|band| (0..visits).map(move |visit| (band, visit))).collect();
            assert_eq!(seen, want, "{count} bands, {ranges} ranges, {visits} visits");
        }
    }

    #[test]
    fn a_range_is_done_with_a_visit_before_the_next() {
        let bands = Bands::new(5, 2, 2);
        let order: Vec<_> = (0..10).map(|number| bands.tile(number)).collect();
        let (first, second) = order.split_at(4);
        assert_eq!(first, [(0, 0), (1, 0), (0, 1), (1, 1)]);
        assert_eq!(second, [(2, 0), (3, 0), (4, 0), (2, 1), (3, 1), (4, 1)]);
        assert_eq!(Bands::new(0, 2, 3).tiles(), 0);
    }
}
