//! Who computes which tile.

use core::sync::atomic::{AtomicU64, Ordering};

/// The most runs that tiles are cut into; workers beyond share runs.
const MOST_RUNS: usize = 16;

/// Tiles that wait to be computed: a run of neighbours for each worker.
///
/// Kernels number their tiles along the tensor, so the thread that computed a part of one operator's output computes
/// the same part of the next one's and finds it in its own cache. A worker that has nothing left takes from the far end of the
/// others' runs, so nobody waits for one that is late.
pub(super) struct Shares {
    runs: [Run; MOST_RUNS],
    count: usize,
}

/// First and end of a run in the halves of one number. A cache line of its own: each is written for every tile.
#[repr(align(64))]
struct Run(AtomicU64);

impl Run {
    /// Takes the first tile of the run, or the last.
    fn take(&self, first: bool) -> Option<usize> {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            let (start, end) = (now >> 32, now & u64::from(u32::MAX));
            if start >= end {
                return None;
            }
            let (tile, rest) = if first { (start, now + (1 << 32)) } else { (end - 1, now - 1) };
            // What tiles write is published by the team when all are done, not by who takes them.
            match self.0.compare_exchange_weak(now, rest, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(tile as usize),
                Err(other) => now = other,
            }
        }
    }
}

impl Shares {
    /// Cuts `0..tiles` for `workers` workers.
    ///
    /// # Panics
    /// On 2^32 tiles, which the caller sees to.
    pub(super) fn new(tiles: usize, workers: usize) -> Self {
        assert!(u32::try_from(tiles).is_ok(), "{tiles} tiles of work");
        let count = workers.clamp(1, MOST_RUNS);
        let shares = Self { runs: [const { Run(AtomicU64::new(0)) }; MOST_RUNS], count };
        for (i, run) in shares.runs[..count].iter().enumerate() {
            let (start, end) =
                (tiles as u64 * i as u64 / count as u64, tiles as u64 * (i as u64 + 1) / count as u64);
            run.0.store(start << 32 | end, Ordering::Relaxed);
        }
        shares
    }

    /// The next tile for a worker, until all are taken.
    pub(super) fn take(&self, worker: usize) -> Option<usize> {
        let own = worker % self.count;
        self.runs[own]
            .take(true)
            .or_else(|| (1..self.count).find_map(|other| self.runs[(own + other) % self.count].take(false)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_is_taken_once() {
        for (tiles, workers) in [(0, 1), (1, 1), (1, 4), (5, 2), (7, 3), (100, 40)] {
            let shares = Shares::new(tiles, workers);
            let mut taken: Vec<usize> = Vec::new();
            let mut turn = 0;
            while let Some(tile) = shares.take(turn * 7 % workers) {
                taken.push(tile);
                turn += 1;
            }
            taken.sort_unstable();
            assert_eq!(taken, (0..tiles).collect::<Vec<_>>(), "{tiles} tiles, {workers} workers");
            assert!((0..workers).all(|worker| shares.take(worker).is_none()));
        }
    }

    #[test]
    fn a_worker_begins_with_its_own_run_and_ends_with_the_far_end_of_others() {
        let shares = Shares::new(6, 2);
        let taken: Vec<_> = [1, 0, 1, 1, 1].map(|worker| shares.take(worker).unwrap()).into();
        assert_eq!(taken, [3, 0, 4, 5, 2]);
    }
}
