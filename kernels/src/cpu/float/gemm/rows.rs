//! Where the rows of the left matrix are found.

/// The most rows a tile of any instruction set has.
pub(crate) const MAX_ROWS: usize = 14;

/// Gives the addresses of the left rows of a product, a tile at a time.
///
/// A row is made of `taps` pieces of `depth` consecutive values each: one piece in a matrix, one per kernel
/// position in a convolution.
pub(crate) trait RowSource<T>: Sync {
    /// Pieces of a row.
    fn taps(&self) -> usize;

    /// Values in a piece.
    fn depth(&self) -> usize;

    /// Values of scratch a tile of [`MAX_ROWS`] rows needs, when rows are gathered rather than pointed at.
    fn scratch_len(&self) -> usize {
        0
    }

    /// Writes for the rows `first..first + rows` the address of each piece to `pieces[tap * height + row]`, and
    /// repeats the last row up to `height`. Each address must be valid for reading `depth` values as long as the
    /// source and the scratch buffer are borrowed.
    fn locate(&self, first: usize, rows: usize, height: usize, scratch: &mut [T], pieces: &mut [*const T]);

    /// Where the output rows from `first` on start. Distinct rows have disjoint outputs.
    fn outputs(&self, first: usize, starts: &mut [usize]);

    /// As [`RowSource::locate`] and [`RowSource::outputs`] in one, where it is the same step from each row to the next:
    /// writes the address of each piece of the row `first` to `pieces[tap]`. Each must be valid for reading `depth` values
    /// there and at `rows - 1` further places, [`Even::step`] apart. `None` where rows lie otherwise, which costs
    /// little to find out.
    fn locate_even(
        &self,
        first: usize,
        rows: usize,
        scratch: &mut [T],
        pieces: &mut [*const T],
    ) -> Option<Even> {
        let _ = (first, rows, scratch, pieces);
        None
    }
}

/// Distances of rows that lie evenly.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Even {
    /// Values from each piece of a row to that of the next.
    pub(crate) step: usize,
    /// Where the first row of the output starts.
    pub(crate) out_start: usize,
    /// Values from a row of the output to the next.
    pub(crate) out_step: usize,
}

/// The rows of a matrix in memory.
pub(crate) struct Strided<'a, T> {
    pub(crate) a: &'a [T],
    pub(crate) lda: usize,
    pub(crate) ldc: usize,
    pub(crate) k: usize,
}

impl<T: Sync> RowSource<T> for Strided<'_, T> {
    fn taps(&self) -> usize {
        1
    }
    fn depth(&self) -> usize {
        self.k
    }
    fn locate(&self, first: usize, rows: usize, height: usize, _: &mut [T], pieces: &mut [*const T]) {
        let (pieces, repeated) = pieces[..height].split_at_mut(rows);
        let start = first * self.lda;
        // The last row is within the matrix, so all are.
        let last = self.a[start + (rows - 1) * self.lda..][..self.k].as_ptr();
        let mut from = self.a[start..].as_ptr();
        for piece in pieces {
            *piece = from;
            from = from.wrapping_add(self.lda);
        }
        repeated.fill(last);
    }
    fn outputs(&self, first: usize, starts: &mut [usize]) {
        evenly(first * self.ldc, self.ldc, starts);
    }
    fn locate_even(&self, first: usize, rows: usize, _: &mut [T], pieces: &mut [*const T]) -> Option<Even> {
        let last = (rows - 1) * self.lda;
        pieces[0] = self.a[first * self.lda..][..last + self.k].as_ptr();
        Some(Even { step: self.lda, out_start: first * self.ldc, out_step: self.ldc })
    }
}

/// The starts of rows `step` apart, from `start` on.
pub(crate) fn evenly(start: usize, step: usize, starts: &mut [usize]) {
    let mut next = start;
    for start in starts {
        *start = next;
        next += step;
    }
}

/// The columns of a matrix in memory, taken as rows: the left side is transposed.
pub(crate) struct Transposed<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) lda: usize,
    pub(crate) ldc: usize,
    pub(crate) k: usize,
}

impl RowSource<f32> for Transposed<'_> {
    fn taps(&self) -> usize {
        1
    }
    fn depth(&self) -> usize {
        self.k
    }
    fn scratch_len(&self) -> usize {
        MAX_ROWS * self.k
    }
    fn locate(
        &self,
        first: usize,
        rows: usize,
        height: usize,
        scratch: &mut [f32],
        pieces: &mut [*const f32],
    ) {
        for k in 0..self.k {
            let start = k * self.lda + first;
            for (row, &value) in self.a[start..start + rows].iter().enumerate() {
                scratch[row * self.k + k] = value;
            }
        }
        for (row, piece) in pieces[..height].iter_mut().enumerate() {
            let start = row.min(rows - 1) * self.k;
            *piece = scratch[start..start + self.k].as_ptr();
        }
    }
    fn outputs(&self, first: usize, starts: &mut [usize]) {
        evenly(first * self.ldc, self.ldc, starts);
    }
}
