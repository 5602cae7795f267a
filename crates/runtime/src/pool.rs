//! The threads that run an interpreter's kernels.

use ferrolite_plan::Error;

/// A thread pool, entered once per run; with one thread everything runs on the caller.
pub(crate) struct Pool {
    #[cfg(feature = "threads")]
    inner: Option<std::sync::Arc<rayon::ThreadPool>>,
}

#[cfg(feature = "threads")]
impl Pool {
    /// A pool of `threads` threads; interpreters with the same count share one.
    pub fn new(threads: usize) -> Result<Self, Error> {
        use std::collections::HashMap;
        use std::sync::{Mutex, PoisonError, Weak};

        static POOLS: Mutex<Option<HashMap<usize, Weak<rayon::ThreadPool>>>> = Mutex::new(None);
        if threads <= 1 {
            return Ok(Self { inner: None });
        }
        let mut guard = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        let pools = guard.get_or_insert_default();
        if let Some(pool) = pools.get(&threads).and_then(Weak::upgrade) {
            return Ok(Self { inner: Some(pool) });
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| {
            Error::new(
                ferrolite_plan::ErrorKind::Runtime,
                format!("{threads} threads could not be started: {e}"),
            )
        })?;
        let pool = std::sync::Arc::new(pool);
        pools.insert(threads, std::sync::Arc::downgrade(&pool));
        Ok(Self { inner: Some(pool) })
    }

    /// Runs `work` where kernels find the pool's threads.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.inner {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

#[cfg(not(feature = "threads"))]
impl Pool {
    /// No threads; the count is ignored.
    pub fn new(_: usize) -> Result<Self, Error> {
        Ok(Self {})
    }

    /// Runs `work` on the caller.
    pub fn install<R>(&self, work: impl FnOnce() -> R) -> R {
        work()
    }
}
