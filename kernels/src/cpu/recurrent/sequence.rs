//! How a sequence lies in memory and in which order it is walked.

/// The rows of a batch of sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Sequences in the batch.
    pub batch: usize,
    /// Steps of each sequence.
    pub steps: usize,
    /// Whether memory is ordered by step first (`[steps, batch, ...]`) or by sequence first.
    pub time_major: bool,
    /// Whether the last step comes first.
    pub reverse: bool,
}

impl Sequence {
    /// One step of each sequence in a batch.
    #[must_use]
    pub fn single(batch: usize) -> Self {
        Self { batch, steps: 1, time_major: true, reverse: false }
    }

    /// The row of step `step` (in the order of time) of sequence `b`.
    #[must_use]
    pub fn row(&self, step: usize, b: usize) -> usize {
        if self.time_major { step * self.batch + b } else { b * self.steps + step }
    }

    /// Rows from one step to the next.
    #[must_use]
    pub fn step_stride(&self) -> usize {
        if self.time_major { self.batch } else { 1 }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batch * self.steps
    }

    /// The steps in blocks of up to `len`, as ranges of time, in the order in which they are walked.
    pub fn blocks(&self, len: usize) -> impl Iterator<Item = core::ops::Range<usize>> + use<> {
        let (steps, reverse) = (self.steps, self.reverse);
        (0..steps).step_by(len.max(1)).map(move |start| {
            let end = steps.min(start + len.max(1));
            if reverse { steps - end..steps - start } else { start..end }
        })
    }

    /// The steps of a block in the order in which they are walked.
    pub fn walk(&self, block: core::ops::Range<usize>) -> impl Iterator<Item = usize> + use<> {
        let reverse = self.reverse;
        let (start, len) = (block.start, block.len());
        (0..len).map(move |i| if reverse { start + len - 1 - i } else { start + i })
    }
}

/// Where a layer writes its output rows: `width` elements each, `stride` apart, the first at `offset`.
///
/// The two directions of a bidirectional layer may share rows.
#[derive(Debug)]
pub struct OutputRows<'a, T> {
    /// Memory of all rows.
    pub data: &'a mut [T],
    /// First element of row 0.
    pub offset: usize,
    /// Elements from one row to the next.
    pub stride: usize,
}

impl<T: Copy> OutputRows<'_, T> {
    /// Copies `values` to row `row`.
    ///
    /// # Panics
    /// When the row leaves the memory.
    pub fn write(&mut self, row: usize, values: &[T]) {
        self.data[row * self.stride + self.offset..][..values.len()].copy_from_slice(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_walk_every_step_once_in_order() {
        for steps in [0, 1, 4, 7] {
            for reverse in [false, true] {
                let sequence = Sequence { batch: 2, steps, time_major: true, reverse };
                let walked: Vec<usize> = sequence.blocks(3).flat_map(|b| sequence.walk(b)).collect();
                let mut want: Vec<usize> = (0..steps).collect();
                if reverse {
                    want.reverse();
                }
                assert_eq!(walked, want, "{steps} steps, reverse {reverse}");
            }
        }
    }
}
