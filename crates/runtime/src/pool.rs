//! The threads that run an interpreter's kernels.

use ferrolite_plan::Error;

/// A team of threads, entered once per run; with one thread everything runs on the caller.
pub(crate) struct Pool {
    #[cfg(feature = "threads")]
    team: Option<std::sync::Arc<ferrolite_kernels::team::Team>>,
}

#[cfg(feature = "threads")]
impl Pool {
    /// A pool of `threads` threads, the caller included; interpreters with the same count share one.
    pub fn new(threads: usize) -> Result<Self, Error> {
        use ferrolite_kernels::team::Team;
        use std::collections::HashMap;
        use std::sync::{Arc, Mutex, PoisonError, Weak};

        static TEAMS: Mutex<Option<HashMap<usize, Weak<Team>>>> = Mutex::new(None);
        if threads <= 1 {
            return Ok(Self { team: None });
        }
        let mut guard = TEAMS.lock().unwrap_or_else(PoisonError::into_inner);
        let teams = guard.get_or_insert_default();
        if let Some(team) = teams.get(&threads).and_then(Weak::upgrade) {
            return Ok(Self { team: Some(team) });
        }
        let team = Arc::new(Team::new(threads).map_err(|e| {
            Error::new(
                ferrolite_plan::ErrorKind::Runtime,
                format!("{threads} threads could not be started: {e}"),
            )
        })?);
        teams.insert(threads, Arc::downgrade(&team));
        Ok(Self { team: Some(team) })
    }

    /// Runs `work` where kernels find the pool's threads.
    pub fn install<R>(&self, work: impl FnOnce() -> R) -> R {
        match &self.team {
            Some(team) => team.enter(work),
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
