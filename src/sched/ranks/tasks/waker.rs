//! How the workers of a rank and whoever hands out their blocks wake each other: by words in the memory that they share,
//! whichever process they are in.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::{futex, signals};
use crate::mpi::linked::Teller;
use crate::sched::transport::arena::Arena;
use crate::sched::transport::protocol::{ManagerSide, Words};
use crate::sched::transport::worker::Waker;

/// How long a worker sleeps before it looks by itself whether anything has changed.
const LONG: Duration = Duration::from_millis(500);

/// After so many blocks a worker looks how many others have taken.
const LEG: u32 = 64;

/// It lets them have the next ones where one has taken so many fewer: of many small blocks, each worker is to have its
/// share, although one that is awake could do them all, and although one has no CPU as long as others do not sleep.
const LEAD: i32 = 256;

/// Who is farther behind is busy with something long, and is not waited for.
const LOST: i32 = 1 << 16;

/// For how long it does so.
const STEP_ASIDE: Duration = Duration::from_micros(50);

/// How a worker of a rank is woken, and wakes.
pub struct WordWaker {
    /// How its failures are told.
    teller: Teller,
    /// The workers with which it shares an arena.
    mates: Vec<usize>,
}

impl WordWaker {
    /// Of one of these workers, whose failures are told by `teller`.
    pub fn new(mates: Vec<usize>, teller: Teller) -> Self {
        Self { teller, mates }
    }
}

impl Waker for WordWaker {
    fn sleep(&mut self, arena: &Arena, worker: usize) -> bool {
        let flag = arena.flag(worker);
        let why = flag.load(Ordering::Acquire);
        // Who has been woken in between is awake.
        if why != 0 {
            futex::wait(flag, why, LONG);
        }
        true
    }

    fn wake_manager(&mut self, arena: &Arena) {
        arena.bell().fetch_add(1, Ordering::Release);
        futex::wake(arena.bell(), 1);
    }

    fn has_answered(&mut self, arena: &Arena, worker: usize) {
        let taken = arena.taken(worker).fetch_add(1, Ordering::Relaxed) + 1;
        if !taken.is_multiple_of(LEG) {
            return;
        }
        // The number goes round, and the difference is right all the same.
        let lead = |mate: usize| taken.wrapping_sub(arena.taken(mate).load(Ordering::Relaxed)) as i32;
        let is_behind = |mate: &usize| (LEAD..LOST).contains(&lead(*mate));
        if let Some(mate) = self.mates.iter().copied().filter(is_behind).max_by_key(|mate| lead(*mate)) {
            if arena.must_wake(mate) {
                wake(arena, mate);
            }
            thread::sleep(STEP_ASIDE);
        }
    }

    fn check(&self) -> Result<()> {
        signals::check()
    }

    fn tell(&self, error: &Error) -> String {
        self.teller.tell(error)
    }
}

/// Sleeps until block `number` is done, of which `is_done` says whether it is by now, or any behind it, or `most` is over.
/// Has there been something?
pub fn sleep_until_done(arena: &Arena, number: u64, is_done: impl Fn() -> bool, most: Duration) -> bool {
    let before = arena.bell().load(Ordering::Acquire);
    arena.manager_sleeps(number);
    if is_done() {
        arena.manager_wakes();
        return true;
    }
    futex::wait(arena.bell(), before, most);
    arena.manager_wakes();
    arena.bell().load(Ordering::Acquire) != before
}

/// Wakes `worker`, which has been found to sleep.
pub fn wake(arena: &Arena, worker: usize) {
    futex::wake(arena.flag(worker), 1);
}

/// Wakes one of the workers that sleeps for a block, if any does.
pub fn wake_for_block(arena: &Arena, mut workers: impl Iterator<Item = usize>) {
    if arena.any_sleeps()
        && let Some(worker) = workers.find(|worker| arena.must_wake_for_block(*worker))
    {
        wake(arena, worker);
    }
}

/// Nobody wants any more answers, or where it has not `failed` there are no more blocks: tells all workers, those who sleep
/// and those who work.
pub fn close(arena: &Arena, places: Range<usize>, failed: bool) {
    if failed {
        arena.stop()
    } else {
        arena.close()
    }
    for worker in places {
        arena.wakes(worker);
        wake(arena, worker);
    }
    futex::wake(arena.closed(), i32::MAX as u32);
}
