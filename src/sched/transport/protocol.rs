//! The rules by which a manager and its workers pass blocks and answers, in atomic words alone: which state a slot may go
//! to from which, who sleeps, and who wakes whom. It knows neither where the words lie nor what stands in the slots, so
//! that a model checker (`tests/loom`) can try every order in which two or three of them act.
//!
//! Every slot has one word of state that says whose it is, and each change of owner is one atomic step on it. So a worker
//! that is killed at any instant leaves its slot in a state from which the manager can see what it held.
//!
//! An answer goes into a buffer of the worker that gives it, which only that worker takes and only the manager gives back:
//! so no core writes to what another has in its cache, and a buffer that is used again is still warm.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Nobody's: the manager may fill it.
const FREE: u64 = 0;
/// Has a block, and waits for a worker.
const POSTED: u64 = 1;
/// A worker works on it.
const CLAIMED: u64 = 2;
/// Has an answer, or a chunk of one, for the manager.
const DONE: u64 = 3;
/// The worker is to go on with its answer.
const MORE: u64 = 4;
/// Has a block that no worker may take by itself.
const HELD: u64 = 5;

/// Buffers of a worker at the most.
pub const MOST_BUFFERS: usize = 1 << 12;

/// A slot's state as the manager sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for a worker.
    Waiting,
    /// This worker has it.
    With(usize),
    /// This worker has answered.
    Done(usize),
}

/// What a worker that looks for a block has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look<T> {
    /// This.
    Found(T),
    /// There is nothing now.
    Nothing,
    /// There may be something, and none of its buffers is free.
    NoBuffer,
}

/// A worker's flag: it is awake.
const AWAKE: u32 = 0;
/// It sleeps until there is something to do.
const SLEEPS: u32 = 1;
/// It sleeps until one of its buffers is free.
const LACKS_BUFFER: u32 = 2;

/// There will be no more blocks.
const LAST: u32 = 1;
/// Nobody wants any more answers.
const STOP: u32 = 2;

/// Of two that each say something and then look at what the other has said, one at least sees it: whoever goes to sleep
/// is seen, or sees what there is to do.
fn write_before_read() {
    fence(Ordering::SeqCst);
}

/// The state word: what, into which buffer of which worker, of which block. Of its number the last 28 bits, which no two
/// blocks in flight have in common; of workers there may be a million.
fn word(kind: u64, worker: usize, buffer: usize, number: u64) -> u64 {
    number << 36 | (worker as u64) << 16 | (buffer as u64) << 4 | kind
}

fn buffer_of(word: u64) -> usize {
    (word >> 4 & 0xfff) as usize
}

/// Where the words lie. All are 0 at first.
pub trait Words {
    /// How many slots there are.
    fn slots(&self) -> usize;
    /// The state of a slot.
    fn state_word(&self, slot: usize) -> &AtomicU64;
    /// The slot of block `number`, from when that is posted until a worker has claimed it. One word for each slot will do.
    fn slot_word(&self, number: u64) -> &AtomicU32;
    /// Blocks posted so far.
    fn posted(&self) -> &AtomicU64;
    /// No block before this one is posted and waits.
    fn next(&self) -> &AtomicU64;
    /// The manager sleeps until the block before this number is done; 0 when it is awake.
    fn manager_wants(&self) -> &AtomicU64;
    /// With turns: how many workers take them; 0 when whoever is free takes the next block.
    fn turns(&self) -> &AtomicU32;
    /// [`LAST`] or [`STOP`].
    fn closed(&self) -> &AtomicU32;
    /// About how many workers sleep: more than there are when one was killed in its sleep, never fewer.
    fn sleepers(&self) -> &AtomicU32;
    /// The flag of `worker`.
    fn flag(&self, worker: usize) -> &AtomicU32;
    /// 1 while buffer `buffer` of `worker` has an answer, or is about to have one.
    fn buffer_word(&self, worker: usize, buffer: usize) -> &AtomicU32;
    /// Buffers that each worker has.
    fn buffers(&self) -> usize;
}

/// The manager's side.
pub trait ManagerSide: Words {
    /// Is a slot nobody's?
    fn is_free(&self, slot: usize) -> bool {
        self.state_word(slot).load(Ordering::Relaxed) == FREE
    }

    /// Offers block `number`, which has been put into `slot`.
    fn post(&self, slot: usize, number: u64) {
        self.state_word(slot).store(word(POSTED, 0, 0, number), Ordering::Release);
        self.slot_word(number).store(slot as u32, Ordering::Release);
        self.posted().store(number + 1, Ordering::Release);
        write_before_read();
    }

    /// Keeps block `number`, which is in `slot`, for one worker alone, which is told.
    fn hold(&self, slot: usize, number: u64) {
        self.state_word(slot).store(word(HELD, 0, 0, number), Ordering::Release);
    }

    /// Is what a slot has held for a worker that has not taken it?
    fn is_held(&self, slot: usize) -> bool {
        self.state_word(slot).load(Ordering::Acquire) & 0xf == HELD
    }

    /// Whose is a slot that has a block?
    fn state(&self, slot: usize) -> State {
        let state = self.state_word(slot).load(Ordering::Acquire);
        let worker = (state >> 16 & 0xf_ffff) as usize;
        match state & 0xf {
            CLAIMED | MORE => State::With(worker),
            DONE => State::Done(worker),
            _ => State::Waiting,
        }
    }

    /// The buffer that the answer in a slot, which is done, is in.
    fn buffer(&self, slot: usize) -> usize {
        buffer_of(self.state_word(slot).load(Ordering::Acquire))
    }

    /// A slot, which is done or held, can be used again, and so can the buffer of its answer. Returns the
    /// worker that sleeps for a buffer and is to be woken, if it does.
    fn free(&self, slot: usize) -> Option<usize> {
        let (state, buffer) = (self.state(slot), self.buffer(slot));
        self.state_word(slot).store(FREE, Ordering::Release);
        let State::Done(worker) = state else { return None };
        self.buffer_word(worker, buffer).store(0, Ordering::Release);
        write_before_read();
        (self.flag(worker).load(Ordering::Acquire) == LACKS_BUFFER && self.wakes(worker)).then_some(worker)
    }

    /// `worker` has died. Gives back its buffers but those with an answer that the manager has not taken
    /// yet. What it worked on must be held again first.
    fn bury(&self, worker: usize) {
        self.wakes(worker);
        let mut kept = vec![false; self.buffers()];
        for slot in (0..self.slots()).filter(|slot| self.state(*slot) == State::Done(worker)) {
            kept[self.buffer(slot)] = true;
        }
        for (buffer, _) in kept.iter().enumerate().filter(|(_, kept)| !**kept) {
            self.buffer_word(worker, buffer).store(0, Ordering::Release);
        }
    }

    /// The worker is to go on with the answer to block `number` in a slot, into the same buffer.
    fn order_more(&self, slot: usize, number: u64, worker: usize) {
        let state = word(MORE, worker, self.buffer(slot), number);
        self.state_word(slot).store(state, Ordering::Release);
        write_before_read();
    }

    /// From now on so many workers take turns; 0: whoever is free takes the next block. Before the blocks
    /// that it is meant for are posted.
    fn set_turns(&self, turns: usize) {
        self.turns().store(turns as u32, Ordering::Release);
    }

    /// There will be no more blocks.
    fn close(&self) {
        self.closed().store(LAST, Ordering::Release);
    }

    /// Nobody wants any more answers.
    fn stop(&self) {
        self.closed().store(STOP, Ordering::Release);
    }

    /// Says that the manager goes to sleep until block `number` is done.
    fn manager_sleeps(&self, number: u64) {
        self.manager_wants().store(number + 1, Ordering::Release);
        write_before_read();
    }

    /// The manager is awake.
    fn manager_wakes(&self) {
        self.manager_wants().store(0, Ordering::Relaxed);
    }

    /// The first buffer of `worker` that is free: the one that was used last, most often.
    fn free_buffer(&self, worker: usize) -> Option<usize> {
        (0..self.buffers()).find(|buffer| self.buffer_word(worker, *buffer).load(Ordering::Acquire) == 0)
    }

    /// As [`ManagerSide::must_wake`], for a block that has been posted. Who could not take it, because all of its buffers
    /// hold answers, sleeps on until one of them is free.
    fn must_wake_for_block(&self, worker: usize) -> bool {
        let flag = self.flag(worker);
        if flag.load(Ordering::Acquire) != SLEEPS {
            return false;
        }
        if self.free_buffer(worker).is_some() {
            return self.wakes(worker);
        }
        let _ = flag.compare_exchange(SLEEPS, LACKS_BUFFER, Ordering::AcqRel, Ordering::Relaxed);
        false
    }

    /// Did the worker sleep until there is something to do? It is taken to be awake from now on: ring its wake-up socket.
    fn must_wake(&self, worker: usize) -> bool {
        self.flag(worker).load(Ordering::Acquire) == SLEEPS && self.wakes(worker)
    }

    /// Blocks that have been posted and that no worker has claimed, where there are no turns.
    fn unclaimed(&self) -> u64 {
        let next = self.next().load(Ordering::Acquire);
        self.posted().load(Ordering::Relaxed).saturating_sub(next)
    }

    /// May there be a worker that sleeps?
    fn any_sleeps(&self) -> bool {
        self.sleepers().load(Ordering::Acquire) > 0
    }

    /// The worker is awake, or is about to be woken. Was it asleep?
    fn wakes(&self, worker: usize) -> bool {
        let slept = self.flag(worker).swap(AWAKE, Ordering::AcqRel) != AWAKE;
        if slept {
            self.sleepers().fetch_sub(1, Ordering::AcqRel);
        }
        slept
    }
}

/// A worker's side.
pub trait WorkerSide: ManagerSide {
    /// Takes the next block that is for `worker`, if there is one: its slot and its number. `from` is the first that the
    /// worker has not looked at yet, and moves on.
    fn take(&self, worker: usize, from: &mut u64) -> Look<(usize, u64)> {
        loop {
            if self.is_stopped() {
                return Look::Nothing;
            }
            let posted = self.posted().load(Ordering::Acquire);
            // After `posted`: the manager sets it before it posts the blocks that it is meant for.
            let turns = u64::from(self.turns().load(Ordering::Acquire));
            let number = match turns {
                0 => self.next().load(Ordering::Acquire),
                // The first from there on whose turn is this worker's.
                turns => *from + (worker as u64 + turns - *from % turns) % turns,
            };
            if number >= posted {
                return Look::Nothing;
            }
            // A buffer first: what it has claimed must not have to wait for one.
            let Some(buffer) = self.free_buffer(worker) else { return Look::NoBuffer };
            // Of another block, where this one has been claimed and its slot's word is used again: then it is not posted.
            let slot = self.slot_word(number).load(Ordering::Acquire) as usize;
            let claimed = self.claim(slot, word(POSTED, 0, 0, number), (worker, buffer, number));
            match turns {
                // Whoever comes first moves on, so that a worker killed here keeps nobody waiting.
                0 => {
                    let (old, new) = (number, number + 1);
                    let _ = self.next().compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed);
                }
                _ => *from = number + 1,
            }
            if claimed {
                return Look::Found((slot, number));
            }
        }
    }

    /// Takes block `number` in `slot`, which is held for this worker.
    fn take_held(&self, slot: usize, number: u64, worker: usize) -> bool {
        let buffer = self.free_buffer(worker);
        buffer.is_some_and(|buffer| self.claim(slot, word(HELD, 0, 0, number), (worker, buffer, number)))
    }

    /// Goes on with an answer when the manager has ordered so.
    fn take_more(&self, slot: usize, worker: usize) -> bool {
        let state = self.state_word(slot);
        let more = state.load(Ordering::Acquire);
        if more & 0xf != MORE || (more >> 16 & 0xf_ffff) as usize != worker {
            return false;
        }
        let claimed = more & !0xf | CLAIMED;
        state.compare_exchange(more, claimed, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Makes a slot, whose word is `from`, this worker's, with this buffer for the answer to this block.
    fn claim(&self, slot: usize, from: u64, (worker, buffer, number): (usize, usize, u64)) -> bool {
        let to = word(CLAIMED, worker, buffer, number);
        let state = self.state_word(slot);
        let claimed = state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if claimed {
            // Only now, and by nobody else: the buffers are this worker's to take.
            self.buffer_word(worker, buffer).store(1, Ordering::Release);
        }
        claimed
    }

    /// The buffer of `worker` for the answer in a slot that it has claimed.
    fn claimed_buffer(&self, slot: usize, worker: usize) -> Option<usize> {
        let state = self.state_word(slot).load(Ordering::Acquire);
        let is_mine = state & 0xf == CLAIMED && (state >> 16 & 0xf_ffff) as usize == worker;
        is_mine.then(|| buffer_of(state))
    }

    /// Hands the answer to block `number` in a slot that the worker has claimed to the manager. Returns whether the manager
    /// is to be woken.
    fn done(&self, slot: usize, number: u64) -> bool {
        let state = self.state_word(slot);
        // Nobody else changes what is claimed.
        state.store(state.load(Ordering::Relaxed) & !0xf | DONE, Ordering::Release);
        write_before_read();
        let wants = self.manager_wants();
        let wanted = wants.load(Ordering::Acquire);
        wanted != 0 && number + 1 >= wanted && wants.swap(0, Ordering::AcqRel) != 0
    }

    /// There will be no more blocks.
    fn is_closed(&self) -> bool {
        self.closed().load(Ordering::Acquire) != 0
    }

    /// Nobody wants any more answers.
    fn is_stopped(&self) -> bool {
        self.closed().load(Ordering::Acquire) == STOP
    }

    /// Says that the worker goes to sleep, because it `lacks_buffer` or because there is nothing to do. It must look once more
    /// for work before it does.
    fn sleeps(&self, worker: usize, lacks_buffer: bool) {
        // In this order, so that a worker that is killed in between is counted once too often.
        self.sleepers().fetch_add(1, Ordering::AcqRel);
        let why = if lacks_buffer { LACKS_BUFFER } else { SLEEPS };
        self.flag(worker).store(why, Ordering::Release);
        write_before_read();
    }
}

impl<W: Words> ManagerSide for W {}
impl<W: Words> WorkerSide for W {}
