//! Laying out an arena: memory blocks with lifetimes get offsets so that blocks alive at once never overlap.
//!
//! Greedy by size: the largest block first, each into the smallest gap that fits among the blocks already placed that
//! are alive with it (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).

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
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(|&b| (core::cmp::Reverse(blocks[b].size), blocks[b].first, b));
    let mut offsets = vec![0usize; blocks.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(blocks.len());
    let mut total = 0usize;
    for b in order {
        let block = blocks[b];
        if block.size == 0 {
            continue;
        }
        let size = block.size.checked_next_multiple_of(ALIGNMENT)?;
        offsets[b] = best_gap(blocks, &offsets, &placed, block, size)?;
        total = total.max(offsets[b].checked_add(size)?);
        // Kept sorted by offset, so that gaps are met in order.
        let at = placed.partition_point(|&p| offsets[p] <= offsets[b]);
        placed.insert(at, b);
    }
    Some((offsets, total))
}

fn best_gap(
    blocks: &[Block],
    offsets: &[usize],
    placed: &[usize],
    block: Block,
    size: usize,
) -> Option<usize> {
    let mut end = 0usize;
    let mut best: Option<(usize, usize)> = None;
    for &p in placed {
        let other = blocks[p];
        if other.last < block.first || block.last < other.first {
            continue;
        }
        if let Some(gap) = offsets[p].checked_sub(end)
            && gap >= size
            && best.is_none_or(|(smallest, _)| gap < smallest)
        {
            best = Some((gap, end));
        }
        end = end.max(offsets[p].checked_add(other.size.checked_next_multiple_of(ALIGNMENT)?)?);
    }
    Some(best.map_or(end, |(_, offset)| offset))
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
