//! Every order in which a manager and its workers act on the words of a few slots, tried by loom. What stands in a slot is a
//! cell that loom watches: two that touch it at once are a failure, whatever they see.

#![cfg(all(test, loom))]

#[path = "../../../src/sched/transport/protocol.rs"]
#[allow(dead_code)]
mod protocol;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, AtomicU64};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use protocol::{Look, ManagerSide, State, Words, WorkerSide};

/// A wake-up socket: what rings is heard later, too, and an end is heard for ever.
struct Bell {
    /// It has rung; it has ended.
    state: Mutex<(bool, bool)>,
    rings: Condvar,
}

impl Bell {
    fn new() -> Self {
        Self { state: Mutex::new((false, false)), rings: Condvar::new() }
    }

    fn ring(&self) {
        self.state.lock().unwrap().0 = true;
        self.rings.notify_one();
    }

    fn end(&self) {
        self.state.lock().unwrap().1 = true;
        self.rings.notify_one();
    }

    fn hear(&self) {
        let mut state = self.state.lock().unwrap();
        while *state == (false, false) {
            state = self.rings.wait(state).unwrap();
        }
        state.0 = false;
    }
}

/// An arena of a few words.
struct Arena {
    states: Vec<AtomicU64>,
    slots: Vec<AtomicU32>,
    flags: Vec<AtomicU32>,
    /// Of each worker, one after the other.
    buffers: Vec<AtomicU32>,
    of_each: usize,
    posted: AtomicU64,
    next: AtomicU64,
    wants: AtomicU64,
    turns: AtomicU32,
    closed: AtomicU32,
    sleepers: AtomicU32,
    /// What the slots and the buffers hold.
    blocks: Vec<UnsafeCell<u64>>,
    answers: Vec<UnsafeCell<u64>>,
    /// The wake-up sockets.
    bells: Vec<Bell>,
    own_bell: Bell,
}

fn several<T>(count: usize, make: impl Fn() -> T) -> Vec<T> {
    (0..count).map(|_| make()).collect()
}

impl Arena {
    fn new(slots: usize, workers: usize, buffers: usize) -> Arc<Self> {
        Arc::new(Self {
            states: several(slots, || AtomicU64::new(0)),
            slots: several(slots, || AtomicU32::new(0)),
            flags: several(workers, || AtomicU32::new(0)),
            buffers: several(workers * buffers, || AtomicU32::new(0)),
            of_each: buffers,
            posted: AtomicU64::new(0),
            next: AtomicU64::new(0),
            wants: AtomicU64::new(0),
            turns: AtomicU32::new(0),
            closed: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
            blocks: several(slots, || UnsafeCell::new(0)),
            answers: several(workers * buffers, || UnsafeCell::new(0)),
            bells: several(workers, Bell::new),
            own_bell: Bell::new(),
        })
    }

    /// Offers block `number` in a slot.
    fn offer(&self, slot: usize, number: u64, workers: usize) {
        assert!(self.is_free(slot));
        self.blocks[slot].with_mut(|block| unsafe { *block = number });
        self.post(slot, number);
        if self.any_sleeps()
            && let Some(worker) = (0..workers).find(|worker| self.must_wake_for_block(*worker))
        {
            self.bells[worker].ring();
        }
    }

    /// The answer in a slot that is done; the slot is free afterwards.
    fn take_answer(&self, slot: usize) -> u64 {
        let State::Done(worker) = self.state(slot) else { panic!("not done") };
        let place = worker * self.of_each + self.buffer(slot);
        let answer = self.answers[place].with(|answer| unsafe { *answer });
        if let Some(worker) = self.free(slot) {
            self.bells[worker].ring();
        }
        answer
    }

    /// Waits for a slot as the manager does: it goes to sleep, and somebody must wake it.
    fn await_done(&self, slot: usize, number: u64) {
        while !matches!(self.state(slot), State::Done(_)) {
            self.manager_sleeps(number);
            if matches!(self.state(slot), State::Done(_)) {
                self.manager_wakes();
                return;
            }
            self.own_bell.hear();
            self.manager_wakes();
        }
    }

    /// There are no more blocks, and the manager goes.
    fn end(&self) {
        self.close();
        self.bells.iter().for_each(Bell::end);
    }

    fn answer(&self, slot: usize, worker: usize) {
        let number = self.blocks[slot].with(|block| unsafe { *block });
        let buffer = self.claimed_buffer(slot, worker).unwrap();
        let place = worker * self.of_each + buffer;
        self.answers[place].with_mut(|answer| unsafe { *answer = number * 10 });
        if self.done(slot, number) {
            self.own_bell.ring();
        }
    }

    /// What a worker does: sleeps when there is nothing to do, until the manager is there no more.
    fn work(&self, worker: usize) {
        let mut from = 0;
        let mut lacks_buffer = false;
        loop {
            match self.take(worker, &mut from) {
                Look::Found((slot, _)) => {
                    self.answer(slot, worker);
                    continue;
                }
                Look::Nothing => lacks_buffer = false,
                Look::NoBuffer => lacks_buffer = true,
            }
            self.sleeps(worker, lacks_buffer);
            let is_end = self.is_closed();
            match self.take(worker, &mut from) {
                Look::Found((slot, _)) => {
                    self.wakes(worker);
                    self.answer(slot, worker);
                    continue;
                }
                Look::Nothing if is_end => return,
                Look::Nothing if lacks_buffer => {}
                Look::NoBuffer if !lacks_buffer => {}
                Look::Nothing | Look::NoBuffer => self.bells[worker].hear(),
            }
            self.wakes(worker);
        }
    }
}

impl Words for Arena {
    fn slots(&self) -> usize {
        self.states.len()
    }

    fn state_word(&self, slot: usize) -> &AtomicU64 {
        &self.states[slot]
    }

    fn slot_word(&self, number: u64) -> &AtomicU32 {
        &self.slots[number as usize % self.slots.len()]
    }

    fn posted(&self) -> &AtomicU64 {
        &self.posted
    }

    fn next(&self) -> &AtomicU64 {
        &self.next
    }

    fn manager_wants(&self) -> &AtomicU64 {
        &self.wants
    }

    fn turns(&self) -> &AtomicU32 {
        &self.turns
    }

    fn closed(&self) -> &AtomicU32 {
        &self.closed
    }

    fn sleepers(&self) -> &AtomicU32 {
        &self.sleepers
    }

    fn flag(&self, worker: usize) -> &AtomicU32 {
        &self.flags[worker]
    }

    fn buffer_word(&self, worker: usize, buffer: usize) -> &AtomicU32 {
        &self.buffers[worker * self.of_each + buffer]
    }

    fn buffers(&self) -> usize {
        self.of_each
    }
}

#[test]
fn a_block_goes_to_one_worker_and_its_answer_comes_back() {
    loom::model(|| {
        let arena = Arena::new(1, 2, 1);
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let arena = arena.clone();
                thread::spawn(move || arena.work(worker))
            })
            .collect();
        arena.offer(0, 0, 2);
        arena.await_done(0, 0);
        assert_eq!(arena.take_answer(0), 0);
        arena.end();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

/// A slot and a buffer are used again, and a worker that sleeps for want of a buffer is woken.
#[test]
fn slots_and_buffers_are_used_again() {
    loom::model(|| {
        let arena = Arena::new(2, 1, 1);
        let worker = {
            let arena = arena.clone();
            thread::spawn(move || arena.work(0))
        };
        arena.offer(0, 0, 1);
        arena.offer(1, 1, 1);
        for number in 0..3 {
            let slot = number as usize % 2;
            arena.await_done(slot, number);
            assert_eq!(arena.take_answer(slot), number * 10);
            if number == 0 {
                arena.offer(0, 2, 1);
            }
        }
        arena.end();
        worker.join().unwrap();
    });
}

/// An answer of two chunks goes through the same buffer, and nobody else takes the block in between.
#[test]
fn an_answer_that_goes_on_stays_with_its_worker() {
    loom::model(|| {
        let arena = Arena::new(1, 2, 1);
        arena.blocks[0].with_mut(|block| unsafe { *block = 7 });
        arena.post(0, 0);
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let arena = arena.clone();
                thread::spawn(move || {
                    let Look::Found((slot, _)) = arena.take(worker, &mut 0) else { return false };
                    arena.answer(slot, worker);
                    arena.bells[worker].hear();
                    assert!(arena.take_more(slot, worker));
                    arena.answer(slot, worker);
                    true
                })
            })
            .collect();
        arena.await_done(0, 0);
        let State::Done(worker) = arena.state(0) else { panic!("not done") };
        let buffer = arena.buffer(0);
        arena.order_more(0, 0, worker);
        arena.bells[worker].ring();
        let have: Vec<bool> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        assert_eq!(have.iter().position(|has| *has), Some(worker));
        assert_eq!(have.iter().filter(|has| **has).count(), 1);
        assert_eq!((arena.state(0), arena.buffer(0)), (State::Done(worker), buffer));
        assert_eq!(arena.take_answer(0), 70);
    });
}

/// Blocks by turns: each worker does its own, and no other.
#[test]
fn workers_take_turns() {
    loom::model(|| {
        let arena = Arena::new(2, 2, 1);
        arena.set_turns(2);
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let arena = arena.clone();
                thread::spawn(move || arena.work(worker))
            })
            .collect();
        arena.blocks[0].with_mut(|block| unsafe { *block = 0 });
        arena.post(0, 0);
        arena.blocks[1].with_mut(|block| unsafe { *block = 1 });
        arena.post(1, 1);
        for worker in 0..2 {
            if arena.must_wake_for_block(worker) {
                arena.bells[worker].ring();
            }
        }
        for slot in 0..2 {
            arena.await_done(slot, slot as u64);
            assert_eq!(arena.state(slot), State::Done(slot));
            assert_eq!(arena.take_answer(slot), slot as u64 * 10);
        }
        arena.end();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}
