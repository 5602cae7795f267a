//! Threads that work on one kernel after another.
//!
//! A model is a long row of short kernels, so what counts is how fast threads meet and part. A member of the team looks
//! for work for a short while before it sleeps, and nobody waits for a member that has not begun: when other processes
//! keep it from running, the others do its share.

use core::any::Any;
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};

/// Rounds of looking for work without giving the processor away.
const SPINS: usize = 400;
/// Rounds of looking for work that give the processor to whoever wants it, before going to sleep.
const YIELDS: usize = 400;

/// Threads that help the one that calls them.
///
/// [`Team::enter`] makes the kernels that run on the calling thread use the team. Kernels that run outside of any team
/// use one that all such threads share.
pub struct Team {
    shared: Arc<Shared>,
    members: Vec<JoinHandle<()>>,
}

/// What a member is called to: claim tiles until none is left. The argument is its place in the team, from 1 on; the
/// leader's is 0.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

struct Shared {
    /// The number of the present work in the upper half, then how many members may join it, whether they still may,
    /// and how many are at it. See the constants below.
    state: AtomicU64,
    /// The present work. Written while nobody can join, read by those who have joined.
    work: UnsafeCell<Option<&'static Work<'static>>>,
    /// Somebody is leading.
    taken: AtomicBool,
    stop: AtomicBool,
    /// By member: it sleeps, or is about to.
    asleep: Vec<AtomicBool>,
    panicked: AtomicBool,
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Members at work count up from here.
const ONE: u64 = 1;
const AT_WORK: u64 = 0xFFFF;
/// Members may join.
const OPEN: u64 = 1 << 16;
/// Where the number of members that may join starts.
const LIMIT_SHIFT: u32 = 17;
const MOST_MEMBERS: usize = (1 << 15) - 1;
const NUMBER_SHIFT: u32 = 32;

fn limit(state: u64) -> usize {
    (state >> LIMIT_SHIFT) as usize & MOST_MEMBERS
}

fn number(state: u64) -> u64 {
    state >> NUMBER_SHIFT
}

// SAFETY: `work` is written by the leader alone while no member is at work or can join, and read by members that have
// joined; `state` orders the two.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

/// Where the current thread stands.
#[derive(Clone, Copy)]
enum Place {
    /// In no team.
    Outside,
    /// In a team that it may lead.
    Entered(*const Team),
    /// Computing a tile: work inside of work is done alone.
    AtWork,
}

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(Place::Outside) };
}

/// Puts the former place back, also when what runs meanwhile panics.
struct Restore(Place);

impl Restore {
    fn replace(place: Place) -> Self {
        Self(PLACE.replace(place))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        PLACE.set(self.0);
    }
}

impl Team {
    /// A team of `threads` threads, the calling one included.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(threads: usize) -> io::Result<Self> {
        let members = threads.saturating_sub(1).min(MOST_MEMBERS);
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            work: UnsafeCell::new(None),
            taken: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            asleep: (0..members).map(|_| AtomicBool::new(false)).collect(),
            panicked: AtomicBool::new(false),
            payload: Mutex::new(None),
        });
        let mut team = Self { shared, members: Vec::with_capacity(members) };
        for index in 0..members {
            let shared = team.shared.clone();
            let name = format!("ferrolite-{}", index + 1);
            team.members.push(thread::Builder::new().name(name).spawn(move || shared.serve(index))?);
        }
        Ok(team)
    }

    /// Runs `body` on the calling thread, whose kernels use this team meanwhile.
    pub fn enter<R>(&self, body: impl FnOnce() -> R) -> R {
        let _restore = Restore::replace(Place::Entered(self));
        body()
    }

    /// Runs `work` on the caller and on up to `helpers` members, all of which are done with it when this returns.
    fn lead(&self, helpers: usize, work: &Work<'_>) {
        let _restore = Restore::replace(Place::AtWork);
        let helpers = helpers.min(self.members.len());
        if helpers == 0 || self.shared.taken.swap(true, Ordering::Acquire) {
            // Whoever leads now has the members; this work is done without them.
            return work(0);
        }
        let shared = &*self.shared;
        // SAFETY: the work is dropped from sight, and nobody is at it any more, before this function returns or unwinds:
        // `Close` sees to it.
        let lasting = unsafe { core::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        // SAFETY: this thread leads, the last leader left with nobody at work and nobody able to join.
        unsafe { *shared.work.get() = Some(lasting) };
        shared.panicked.store(false, Ordering::Relaxed);
        let next = number(shared.state.load(Ordering::Relaxed)).wrapping_add(1) & u64::from(u32::MAX);
        let open = next << NUMBER_SHIFT | (helpers as u64) << LIMIT_SHIFT | OPEN;
        shared.state.store(open, Ordering::SeqCst);
        let close = Close(shared);
        // Either a member that goes to sleep sees the new state, or it is seen to sleep.
        fence(Ordering::SeqCst);
        for (asleep, member) in shared.asleep.iter().zip(&self.members).take(helpers) {
            if asleep.load(Ordering::SeqCst) && asleep.swap(false, Ordering::SeqCst) {
                member.thread().unpark();
            }
        }
        work(0);
        drop(close);
        if shared.panicked.swap(false, Ordering::Relaxed) {
            let payload = shared.payload.lock().unwrap_or_else(PoisonError::into_inner).take();
            resume_unwind(payload.unwrap_or_else(|| Box::new("a kernel panicked")));
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for member in &self.members {
            Thread::unpark(member.thread());
        }
        for member in self.members.drain(..) {
            // Members catch what panics in them.
            let _ = member.join();
        }
    }
}

/// Ends a work: nobody joins any more, and everybody leaves.
struct Close<'a>(&'a Shared);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut rounds = 0;
        while self.0.state.load(Ordering::Acquire) & AT_WORK != 0 {
            pause(&mut rounds);
        }
        self.0.taken.store(false, Ordering::Release);
    }
}

/// Waits a little; longer and more considerately from call to call.
fn pause(rounds: &mut usize) {
    *rounds += 1;
    if *rounds < SPINS {
        core::hint::spin_loop();
    } else {
        thread::yield_now();
    }
}

impl Shared {
    /// The life of a member.
    fn serve(&self, index: usize) {
        PLACE.set(Place::AtWork);
        let mut seen = 0;
        let mut rounds = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let state = self.state.load(Ordering::Acquire);
            if self.calls(state, index, seen) {
                seen = number(state);
                rounds = 0;
                if self.join(state) {
                    self.help(index + 1);
                }
            } else if rounds < SPINS + YIELDS {
                pause(&mut rounds);
            } else {
                self.sleep(index, seen);
                rounds = 0;
            }
        }
    }

    /// Whether there is work for this member that it has not seen.
    fn calls(&self, state: u64, index: usize, seen: u64) -> bool {
        state & OPEN != 0 && number(state) != seen && index < limit(state)
    }

    /// Counts the member in, unless it is too late.
    fn join(&self, mut state: u64) -> bool {
        let wanted = number(state);
        while number(state) == wanted && state & OPEN != 0 {
            match self.state.compare_exchange_weak(state, state + ONE, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Does the present work as number `place`; the member has been counted in.
    fn help(&self, place: usize) {
        // SAFETY: the leader wrote the work before it opened it, and waits for this member to leave.
        if let Some(work) = unsafe { *self.work.get() }
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(place)))
        {
            *self.payload.lock().unwrap_or_else(PoisonError::into_inner) = Some(payload);
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.state.fetch_sub(ONE, Ordering::Release);
    }

    fn sleep(&self, index: usize, seen: u64) {
        let asleep = &self.asleep[index];
        asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        while asleep.load(Ordering::SeqCst)
            && !self.stop.load(Ordering::SeqCst)
            && !self.calls(self.state.load(Ordering::SeqCst), index, seen)
        {
            thread::park();
        }
        asleep.store(false, Ordering::SeqCst);
    }
}

/// The threads that kernels use outside of any team.
fn common() -> Option<&'static Team> {
    static COMMON: OnceLock<Option<Team>> = OnceLock::new();
    const AT_LEAST: usize = 4;
    COMMON
        .get_or_init(|| {
            let threads = thread::available_parallelism().map_or(AT_LEAST, usize::from);
            Team::new(threads.max(AT_LEAST)).ok()
        })
        .as_ref()
}

/// The threads of the team that the current thread has entered and may lead; 1 outside of any.
pub(crate) fn entered() -> usize {
    match PLACE.get() {
        // SAFETY: `Team::enter` borrows the team for as long as this place holds.
        Place::Entered(team) => unsafe { &*team }.members.len() + 1,
        Place::AtWork | Place::Outside => 1,
    }
}

/// Runs `work` on the current thread and on up to `helpers` others, each with its place in the team: the same thread has
/// the same place from work to work.
pub(crate) fn run(helpers: usize, work: &Work<'_>) {
    match PLACE.get() {
        Place::AtWork => work(0),
        // SAFETY: `Team::enter` borrows the team for as long as this place holds.
        Place::Entered(team) => unsafe { &*team }.lead(helpers, work),
        Place::Outside => match common() {
            Some(team) => team.lead(helpers, work),
            None => work(0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;

    /// Claims tiles as kernels do and counts them.
    fn count(helpers: usize, tiles: usize) -> usize {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        run(helpers, &|_| {
            while next.fetch_add(1, Ordering::Relaxed) < tiles {
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        done.into_inner()
    }

    #[test]
    fn all_work_is_done_when_it_returns() {
        let team = Team::new(4).unwrap();
        team.enter(|| {
            for round in 0..2000 {
                assert_eq!(count(round % 5, 1 + round % 7), 1 + round % 7, "round {round}");
            }
        });
        assert_eq!(count(3, 100), 100, "outside of any team");
    }

    #[test]
    fn members_that_went_to_sleep_are_woken() {
        let team = Team::new(2).unwrap();
        while !team.shared.asleep[0].load(Ordering::SeqCst) {
            thread::yield_now();
        }
        // Only two threads can be at the barrier at once.
        let barrier = std::sync::Barrier::new(2);
        let next = AtomicUsize::new(0);
        team.enter(|| {
            run(1, &|_| {
                if next.fetch_add(1, Ordering::Relaxed) < 2 {
                    barrier.wait();
                }
            });
        });
        assert!(next.into_inner() >= 2);
    }

    #[test]
    fn work_inside_of_work_is_done_alone() {
        let team = Team::new(3).unwrap();
        let inner = AtomicUsize::new(0);
        let next = AtomicUsize::new(0);
        team.enter(|| {
            run(2, &|_| {
                while next.fetch_add(1, Ordering::Relaxed) < 8 {
                    inner.fetch_add(count(2, 5), Ordering::Relaxed);
                }
            });
        });
        assert_eq!(inner.into_inner(), 40);
    }

    #[test]
    fn several_threads_may_lead_at_once() {
        let team = Team::new(3).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| team.enter(|| (0..500).for_each(|_| assert_eq!(count(2, 3), 3))));
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_goes_on() {
        let team = Team::new(3).unwrap();
        team.enter(|| {
            for _ in 0..20 {
                let next = AtomicUsize::new(0);
                let failed = catch_unwind(AssertUnwindSafe(|| {
                    run(2, &|_| {
                        while next.fetch_add(1, Ordering::Relaxed) < 50 {
                            assert!(next.load(Ordering::Relaxed) < 25, "half way");
                        }
                    });
                }));
                assert!(failed.is_err());
                assert_eq!(count(2, 10), 10);
            }
        });
    }
}
