//! Laying out an arena: memory blocks with lifetimes get offsets so that blocks alive at once never overlap.
//!
//! Greedy by size: the largest block first, each into the smallest gap that fits among the blocks already placed that
//! are alive with it (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).

use std::collections::BTreeSet;
use std::ops::Range;

/// Alignment of every block in bytes: a cache line, and the widest vector register.
pub const ALIGNMENT: usize = 64;

/// A block of memory and the steps during which it is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Size in bytes.
    pub size: usize,
    /// First step that touches it.
    pub first: usize,
    /// Last step that touches it.
    pub last: usize,
}

/// Offsets of the blocks, in their order, and the size of the arena in bytes; `None` when that overflows.
#[must_use]
pub fn layout(blocks: &[Block]) -> Option<(Vec<usize>, usize)> {
    let mut order: Vec<usize> = (0..blocks.len()).filter(|&b| blocks[b].size > 0).collect();
    order.sort_by_key(|&b| (core::cmp::Reverse(blocks[b].size), blocks[b].first, b));
    let mut offsets = vec![0usize; blocks.len()];
    let mut placed = Placed::new(blocks);
    let mut neighbours: Vec<Range<usize>> = Vec::new();
    let mut total = 0usize;
    for b in order {
        let block = blocks[b];
        let size = block.size.checked_next_multiple_of(ALIGNMENT)?;
        neighbours.clear();
        placed.alive_with(&block, |other| {
            // The end was computed when the block was placed.
            let size = blocks[other].size.next_multiple_of(ALIGNMENT);
            neighbours.push(offsets[other]..offsets[other].saturating_add(size));
        });
        neighbours.sort_unstable_by_key(|range| range.start);
        offsets[b] = best_gap(&neighbours, size);
        total = total.max(offsets[b].checked_add(size)?);
        placed.insert(b, &block);
    }
    Some((offsets, total))
}

/// The start of the smallest gap of `size` bytes between ranges in the order of their starts, or the end of them all.
fn best_gap(ranges: &[Range<usize>], size: usize) -> usize {
    let mut end = 0usize;
    let mut best: Option<(usize, usize)> = None;
    for range in ranges {
        if let Some(gap) = range.start.checked_sub(end)
            && gap >= size
            && best.is_none_or(|(smallest, _)| gap < smallest)
        {
            best = Some((gap, end));
        }
        end = end.max(range.end);
    }
    best.map_or(end, |(_, offset)| offset)
}

/// Blocks found by the time that they are alive, so that looking for those alive with a block does not pass by all others.
struct Placed {
    /// By their first step.
    starting: BTreeSet<(usize, usize)>,
    /// A segment tree over steps (de Berg et al., "Computational Geometry", 10.3): a block is listed at the few nodes whose steps
    /// together are its life; node `i` has the children `2 i` and `2 i + 1`, and the leaves are the last half.
    living: Vec<Vec<usize>>,
}

impl Placed {
    /// None of the blocks.
    fn new(blocks: &[Block]) -> Self {
        let steps = blocks.iter().map(|b| b.last).max().map_or(0, |last| last + 1);
        Self { starting: BTreeSet::new(), living: vec![Vec::new(); 2 * steps] }
    }

    fn insert(&mut self, b: usize, block: &Block) {
        self.starting.insert((block.first, b));
        let leaves = self.living.len() / 2;
        let (mut low, mut high) = (block.first + leaves, block.last + leaves + 1);
        while low < high {
            if low % 2 == 1 {
                self.living[low].push(b);
                low += 1;
            }
            if high % 2 == 1 {
                high -= 1;
                self.living[high].push(b);
            }
            (low, high) = (low / 2, high / 2);
        }
    }

    /// Calls `found` once for each block that is alive at a step of `block`'s life.
    fn alive_with(&self, block: &Block, mut found: impl FnMut(usize)) {
        // At its first step,
        let mut node = block.first + self.living.len() / 2;
        while node > 0 {
            self.living[node].iter().for_each(|&b| found(b));
            node /= 2;
        }
        // or from a later one on.
        self.starting.range((block.first + 1, 0)..(block.last + 1, 0)).for_each(|&(_, b)| found(b));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn overlaps(a: (usize, usize), b: (usize, usize)) -> bool {
        a.0 < b.0 + b.1 && b.0 < a.0 + a.1
    }

    #[test]
    fn chain_reuses_two_blocks() {
        let blocks: Vec<Block> = (0..10).map(|i| Block { size: 1000, first: i, last: i + 1 }).collect();
        let (_, total) = layout(&blocks).unwrap();
        assert_eq!(total, 2 * 1024);
    }

    /// The algorithm without an index: every block is held against all that are placed.
    fn plain(blocks: &[Block]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..blocks.len()).filter(|&b| blocks[b].size > 0).collect();
        order.sort_by_key(|&b| (core::cmp::Reverse(blocks[b].size), blocks[b].first, b));
        let mut offsets = vec![0; blocks.len()];
        for (i, &b) in order.iter().enumerate() {
            let together =
                |&&a: &&usize| blocks[a].first <= blocks[b].last && blocks[b].first <= blocks[a].last;
            let size = |b: usize| blocks[b].size.next_multiple_of(ALIGNMENT);
            let mut ranges: Vec<Range<usize>> =
                order[..i].iter().filter(together).map(|&a| offsets[a]..offsets[a] + size(a)).collect();
            ranges.sort_by_key(|range| range.start);
            offsets[b] = best_gap(&ranges, size(b));
        }
        offsets
    }

    #[test]
    fn overflow_is_refused() {
        let huge = Block { size: usize::MAX - 10, first: 0, last: 0 };
        assert!(layout(&[huge]).is_none());
    }

    proptest! {
        #[test]
        fn blocks_alive_together_are_apart(
            raw in prop::collection::vec((0usize..5000, 0usize..30, 0usize..6), 0..60)
        ) {
            let blocks: Vec<Block> =
                raw.iter().map(|&(size, first, len)| Block { size, first, last: first + len }).collect();
            let (offsets, total) = layout(&blocks).unwrap();
            prop_assert_eq!(&offsets, &plain(&blocks));
            for (i, a) in blocks.iter().enumerate() {
                prop_assert_eq!(offsets[i] % ALIGNMENT, 0);
                prop_assert!(a.size == 0 || offsets[i] + a.size <= total);
                for (j, b) in blocks.iter().enumerate().skip(i + 1) {
                    let together = a.first <= b.last && b.first <= a.last;
                    if together && a.size > 0 && b.size > 0 {
                        prop_assert!(!overlaps((offsets[i], a.size), (offsets[j], b.size)));
                    }
                }
            }
        }
    }
}
