//! Spreading tiles of work over threads.

mod bands;
#[cfg(feature = "threads")]
mod shares;

pub(crate) use bands::{Bands, threads_share_rows};

/// How many threads a kernel may use.
///
/// Work is handed out in tiles whose number depends on the problem alone, and a reduction is never split by
/// the number of threads: results are the same bits for any count. With more than one thread the tiles run on
/// the `Team` that the caller has entered.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Par {
    threads: usize,
}

impl Default for Par {
    fn default() -> Self {
        Self::serial()
    }
}

impl Par {
    /// Everything on the caller.
    pub const fn serial() -> Self {
        Self { threads: 1 }
    }

    /// Up to `threads` threads (zero counts as one). Without the feature `threads` this is [`Par::serial`].
    pub const fn new(threads: usize) -> Self {
        if cfg!(feature = "threads") && threads > 1 { Self { threads } } else { Self::serial() }
    }

    /// The threads of the team that the caller has entered, for packing or digesting weights of `bytes` bytes; with few
    /// it is done sooner than another thread is awake.
    #[must_use]
    pub fn for_packing(bytes: usize) -> Self {
        const WORTH_WAKING: usize = 64 << 10;
        #[cfg(feature = "threads")]
        if bytes >= WORTH_WAKING {
            return Self::new(crate::team::entered());
        }
        let _ = (bytes, WORTH_WAKING);
        Self::serial()
    }

    /// The number of threads tiles may run on.
    pub const fn threads(self) -> usize {
        self.threads
    }

    /// The length of chunks that `len` elements are cut into: a multiple of `unit`, about `most` at most, and as many chunks
    /// for each thread. Kernels that cut the same number of elements then give each thread the same ones.
    pub(crate) fn even_chunk(self, len: usize, most: usize, unit: usize) -> usize {
        let mut chunks = len.div_ceil(most.max(1)).max(1);
        if chunks > 1 {
            chunks = chunks.next_multiple_of(self.threads);
        }
        len.div_ceil(chunks).max(1).next_multiple_of(unit)
    }

    /// Calls `run` for every tile of `0..tiles`, in any order and on any thread.
    #[inline]
    pub fn for_each_tile(self, tiles: usize, run: impl Fn(usize) + Sync + Send) {
        self.run_shares(tiles, self.threads, &|_, tile| run(tile));
    }

    /// Calls `run` with a number below `workers` and a tile, for every tile. No two calls with the same number run at
    /// the same time. Compiled once: hundreds of kernels come through here, and a call per tile costs nothing.
    fn run_shares(self, tiles: usize, workers: usize, run: &(dyn Fn(usize, usize) + Sync)) {
        #[cfg(feature = "threads")]
        {
            let workers = workers.min(self.threads).min(tiles);
            if workers > 1 {
                // Tiles are claimed by 32-bit numbers: more than that, which only tensors of gigabytes have, go together.
                let together = tiles.div_ceil(u32::MAX as usize);
                let shares = shares::Shares::new(tiles.div_ceil(together), workers);
                crate::team::run(workers - 1, &|worker| {
                    while let Some(claim) = shares.take(worker) {
                        let first = claim * together;
                        (first..tiles.min(first + together)).for_each(|tile| run(worker, tile));
                    }
                });
                return;
            }
        }
        let _ = workers;
        for tile in 0..tiles {
            run(0, tile);
        }
    }

    /// Calls `run` for every chunk of `chunk_len` elements of `out` (the last may be shorter), with the chunk's
    /// index.
    ///
    /// # Panics
    /// If `chunk_len` is zero.
    pub fn chunks_mut<T: Send>(
        self,
        out: &mut [T],
        chunk_len: usize,
        run: impl Fn(usize, &mut [T]) + Sync + Send,
    ) {
        assert!(chunk_len > 0, "chunks need a length");
        let len = out.len();
        let shared = SharedMut::new(out);
        self.for_each_tile(len.div_ceil(chunk_len), |tile| {
            let start = tile * chunk_len;
            // SAFETY: each tile is run once, and the ranges of two tiles do not overlap.
            run(tile, unsafe { shared.range(start, chunk_len.min(len - start)) });
        });
    }

    /// Calls `run` for every tile with a scratch buffer of `scratch_len` elements that no other running tile
    /// uses. At most `scratch.len() / scratch_len` tiles run at a time, and at least one must fit; see
    /// [`Par::scratch_len`].
    ///
    /// The contents of the scratch buffer are whatever earlier tiles left there.
    ///
    /// # Panics
    /// If `scratch` has no room for one buffer.
    pub fn for_each_tile_with<T: Send>(
        self,
        tiles: usize,
        scratch: &mut [T],
        scratch_len: usize,
        run: impl Fn(usize, &mut [T]) + Sync + Send,
    ) {
        let buffers = scratch.len().checked_div(scratch_len).unwrap_or(self.threads);
        assert!(buffers > 0, "scratch needs room for one buffer of {scratch_len} elements");
        let shared = SharedMut::new(scratch);
        self.run_shares(tiles, buffers, &|worker, tile| {
            // SAFETY: no two calls with the same number run at once, and the ranges of two numbers do not overlap.
            run(tile, unsafe { shared.range(worker * scratch_len, scratch_len) });
        });
    }

    /// Elements of scratch that let [`Par::for_each_tile_with`] use every thread, given those of one tile.
    pub const fn scratch_len(self, of_one_tile: usize) -> usize {
        of_one_tile * self.threads
    }
}

/// A mutable slice whose disjoint parts are handed to several threads.
pub(crate) struct SharedMut<'a, T> {
    start: *mut T,
    len: usize,
    _borrow: core::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: the parts given out are disjoint (see `range`), so sharing it is handing `&mut T` to other threads.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    /// Takes the slice over for `'a`.
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), _borrow: core::marker::PhantomData }
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The same slice, for another that hands out parts of it: the disjointness that [`SharedMut::range`] asks for is that of
    /// both together.
    pub(crate) fn again(&self) -> SharedMut<'_, T> {
        SharedMut { ..*self }
    }

    /// The address of the first element, for kernels that write rows of a strided tile.
    pub(crate) fn as_mut_ptr(&self) -> *mut T {
        self.start
    }

    /// The elements `start..start + len`.
    ///
    /// # Panics
    /// If they are not within the slice.
    ///
    /// # Safety
    /// No two ranges that are alive at the same time may overlap.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    pub(crate) unsafe fn range(&self, start: usize, len: usize) -> &mut [T] {
        self.check(start, len);
        // SAFETY: within the slice, and the caller vouches for disjointness.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// # Panics
    /// If the elements `start..start + len` are not all within the slice.
    #[inline]
    pub(crate) fn check(&self, start: usize, len: usize) {
        assert!(start <= self.len && len <= self.len - start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_tile_runs_once() {
        for threads in [0, 1, 2, 4] {
            for tiles in [0, 1, 2, 3, 100] {
                let counts: Vec<AtomicUsize> = (0..tiles).map(|_| AtomicUsize::new(0)).collect();
                Par::new(threads).for_each_tile(tiles, |tile| {
                    counts[tile].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    counts.iter().all(|c| c.load(Ordering::Relaxed) == 1),
                    "{threads} threads, {tiles} tiles"
                );
            }
        }
    }

    #[test]
    fn chunks_are_even() {
        let rows = [
            ("one thread", 1, 100, 16, 8, 16),
            ("few for each thread", 2, 300, 128, 1, 75),
            ("in units", 2, 300, 128, 16, 80),
            ("no work", 4, 0, 128, 16, 16),
            ("more threads than elements", 8, 3, 1, 1, 1),
            ("units that are longer", 2, 300, 10, 64, 64),
        ];
        for (name, threads, len, most, unit, want) in rows {
            assert_eq!(Par { threads }.even_chunk(len, most, unit), want, "{name}");
        }
    }

    #[test]
    fn chunks_cover_the_slice() {
        for threads in [1, 3] {
            for len in [0, 1, 7, 8, 9, 64] {
                let mut out = vec![0; len];
                Par::new(threads).chunks_mut(&mut out, 4, |index, chunk| chunk.fill(index + 1));
                let want: Vec<usize> = (0..len).map(|i| i / 4 + 1).collect();
                assert_eq!(out, want, "{threads} threads, {len} elements");
            }
        }
    }

    #[test]
    fn scratch_is_not_shared_between_running_tiles() {
        let par = Par::new(4);
        let mut scratch = vec![0u64; par.scratch_len(16)];
        let done = AtomicUsize::new(0);
        par.for_each_tile_with(200, &mut scratch, 16, |tile, buffer| {
            assert_eq!(buffer.len(), 16);
            buffer.fill(tile as u64);
            std::thread::yield_now();
            assert!(buffer.iter().all(|&v| v == tile as u64));
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 200);
    }

    #[test]
    fn one_scratch_buffer_means_one_worker() {
        let mut scratch = [0u8; 10];
        let done = AtomicUsize::new(0);
        Par::new(4).for_each_tile_with(9, &mut scratch, 10, |_, _| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 9);
    }
}
