//! The memory through which a manager and its workers pass blocks and answers: a ring of slots, each for one
//! block and its answer, that threads and forked processes see at the same address.
//!
//! Every slot has one word of state that says whose it is, and each change of owner is one atomic step on
//! that word. So a worker that is killed at any instant leaves its slot in a state from which the manager can
//! see what it held. All of this module's `unsafe` rests on that word: the manager touches the rest of a slot
//! only while it is [`FREE`], [`HELD`] or [`DONE`], or when the worker that has it is dead; a worker only while
//! it is [`CLAIMED`] by that worker. What is [`POSTED`] is only read.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::sched::BlockSizing;
use crate::sched::result_header::{MESSAGE, ResultHeader};

/// Nobody's: the manager may fill it.
const FREE: u64 = 0;
/// Has a block, and waits for a worker.
const POSTED: u64 = 1;
/// A worker works on it.
const CLAIMED: u64 = 2;
/// Has an answer, or a piece of one, for the manager.
const DONE: u64 = 3;
/// The worker is to go on with its answer.
const MORE: u64 = 4;
/// Has a block that no worker may take by itself.
const HELD: u64 = 5;

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

/// The state word: what, by which worker, of which block.
fn word(kind: u64, worker: usize, number: u64) -> u64 {
    number << 24 | (worker as u64) << 8 | kind
}

/// Shared by all; each number in a cache line of its own, because different processes write to them.
#[repr(C)]
struct Head {
    /// Blocks posted so far.
    posted: Apart<AtomicU64>,
    /// No block before this one is posted and waits.
    next: Apart<AtomicU64>,
    /// The manager sleeps until the block before this number is done; 0 when it is awake.
    manager_wants: Apart<AtomicU64>,
    /// With turns: how many workers take them; 0 when whoever is free takes the next block.
    turns: AtomicU32,
    /// [`LAST`] or [`STOP`].
    closed: AtomicU32,
    /// About how many workers sleep: more than there are when one was killed in its sleep, never fewer.
    sleepers: Apart<AtomicU32>,
}

/// There will be no more blocks.
const LAST: u32 = 1;
/// Nobody wants any more answers.
const STOP: u32 = 2;

#[repr(C, align(128))]
struct Apart<T>(T);

/// The front of a slot.
#[repr(C, align(64))]
struct SlotHead {
    state: AtomicU64,
    block: Block,
    /// Where the rows of the block begin among those of the slot.
    offset: u64,
    header: ResultHeader,
}

/// The ring; unmapped when dropped.
pub struct Ring {
    base: *mut u8,
    bytes: usize,
    workers: usize,
    slots: usize,
    /// Bytes for the rows of a block in a slot, a multiple of 64.
    input: usize,
    buf: usize,
    slot_bytes: usize,
}

// SAFETY: what is shared is atomic, or belongs to one thread at a time by a slot's state word.
unsafe impl Sync for Ring {}
// SAFETY: as above; the memory is not tied to the thread that mapped it.
unsafe impl Send for Ring {}

/// Slots when blocks are small: so many that a manager that waits for one worker keeps the others busy.
const MANY_SLOTS: usize = 1024;
/// Bytes that are not too many for [`MANY_SLOTS`].
const SMALL_RING: usize = 2 * 1024 * 1024;

impl Ring {
    /// Memory for `layout`.
    ///
    /// # Errors
    /// The system gives no such memory.
    pub fn new(layout: &BlockSizing) -> io::Result<Self> {
        let input = (layout.input + layout.texts).next_multiple_of(64);
        let buf = (layout.buf + MESSAGE).next_multiple_of(64);
        let slot_bytes = size_of::<SlotHead>() + input + buf;
        let slots = (SMALL_RING / slot_bytes).min(MANY_SLOTS).max(2 * layout.workers);
        let places = (layout.workers + 1) * size_of::<Apart<AtomicU32>>();
        let bytes = size_of::<Head>() + places + slots * slot_bytes;
        // SAFETY: a new mapping at an address that the system chooses; nothing else is touched.
        let base = unsafe {
            let (access, kind) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
            mmap_anonymous(ptr::null_mut(), bytes, access, kind)?
        };
        let base = base.cast::<u8>();
        Ok(Self { base, bytes, workers: layout.workers, slots, input, buf, slot_bytes })
    }

    /// How many blocks can be in flight.
    pub fn slots(&self) -> u64 {
        self.slots as u64
    }

    fn head(&self) -> &Head {
        // SAFETY: in bounds, aligned (mappings begin at pages), and all zeros is a valid head.
        unsafe { &*self.base.cast::<Head>() }
    }

    /// A worker's flag: 1 while it sleeps until its wake-up socket rings. The place after the last is for a worker
    /// that is started for a single block.
    fn place(&self, worker: usize) -> &AtomicU32 {
        assert!(worker <= self.workers);
        // SAFETY: in bounds: the places lie behind the head, one more than there are workers.
        unsafe { &(*self.base.add(size_of::<Head>()).cast::<Apart<AtomicU32>>().add(worker)).0 }
    }

    fn slot(&self, number: u64) -> *mut SlotHead {
        let first = size_of::<Head>() + (self.workers + 1) * size_of::<Apart<AtomicU32>>();
        let index = (number % self.slots as u64) as usize;
        // SAFETY: in bounds; all sizes are multiples of 64, so every slot is aligned.
        unsafe { self.base.add(first + index * self.slot_bytes).cast() }
    }

    fn state_word(&self, number: u64) -> &AtomicU64 {
        // SAFETY: `slot` is in bounds; the state is atomic and may be looked at by anybody.
        unsafe { &(*self.slot(number)).state }
    }

    fn input_at(&self, number: u64) -> *mut u8 {
        // SAFETY: in bounds: the rows lie behind the slot's head.
        unsafe { self.slot(number).add(1).cast() }
    }

    fn room_at(&self, number: u64) -> *mut u8 {
        // SAFETY: in bounds: the room lies behind the rows.
        unsafe { self.input_at(number).add(self.input) }
    }
}

/// The manager's side.
impl Ring {
    /// Room for the rows of block `number`, whose slot must be free. To be let go before [`Ring::post`].
    #[allow(clippy::mut_from_ref)]
    pub fn input(&self, number: u64) -> &mut [u8] {
        assert!(self.state_word(number).load(Ordering::Relaxed) == FREE);
        // SAFETY: in bounds, and by the module's rule the manager's while the slot is free.
        unsafe { std::slice::from_raw_parts_mut(self.input_at(number), self.input) }
    }

    /// Offers block `number`, whose rows have been put into their place.
    pub fn post(&self, number: u64, block: Block) {
        self.set_block(number, block, 0);
        self.state_word(number).store(word(POSTED, 0, number), Ordering::Release);
        self.head().posted.0.store(number + 1, Ordering::SeqCst);
    }

    /// As [`Ring::post`], but for one worker alone, which is told.
    pub fn hold(&self, number: u64, block: Block, offset: u64) {
        self.set_block(number, block, offset);
        self.state_word(number).store(word(HELD, 0, number), Ordering::SeqCst);
    }

    fn set_block(&self, number: u64, block: Block, offset: u64) {
        // SAFETY: by the module's rule the manager's while the slot is free, or taken from a dead worker.
        unsafe {
            (*self.slot(number)).block = block;
            (*self.slot(number)).offset = offset;
        }
    }

    /// The block that slot `number` has.
    pub fn block(&self, number: u64) -> Block {
        // SAFETY: workers only read it.
        unsafe { (*self.slot(number)).block }
    }

    /// Is block `number` still held for a worker that has not taken it?
    pub fn is_held(&self, number: u64) -> bool {
        self.state_word(number).load(Ordering::SeqCst) == word(HELD, 0, number)
    }

    /// The rows that travel with block `number`, if there are any.
    pub fn rows(&self, number: u64) -> Option<BatchRef<'_>> {
        // SAFETY: in bounds; nobody writes to them while the block is in the slot.
        BatchRef::new(unsafe { std::slice::from_raw_parts(self.input_at(number), self.input) })
    }

    /// Whose is block `number`, which has been posted?
    pub fn state(&self, number: u64) -> State {
        let state = self.state_word(number).load(Ordering::SeqCst);
        let worker = (state >> 8 & 0xffff) as usize;
        match state & 0xff {
            CLAIMED | MORE => State::With(worker),
            DONE => State::Done(worker),
            _ => State::Waiting,
        }
    }

    /// The answer to block `number`, which is done.
    pub fn answer(&self, number: u64) -> (&ResultHeader, &[u8]) {
        assert!(matches!(self.state(number), State::Done(_)));
        // SAFETY: in bounds, and by the module's rule the manager's while it is done.
        unsafe {
            let header = &(*self.slot(number)).header;
            (header, std::slice::from_raw_parts(self.room_at(number), self.buf))
        }
    }

    /// The slot of block `number` can be used again.
    pub fn free(&self, number: u64) {
        self.state_word(number).store(FREE, Ordering::Release);
    }

    /// The worker is to go on with the answer to block `number`.
    pub fn order_more(&self, number: u64, worker: usize) {
        self.state_word(number).store(word(MORE, worker, number), Ordering::SeqCst);
    }

    /// From now on so many workers take turns; 0: whoever is free takes the next block. Before the blocks
    /// that it is meant for are posted.
    pub fn set_turns(&self, turns: usize) {
        self.head().turns.store(turns as u32, Ordering::SeqCst);
    }

    /// There will be no more blocks.
    pub fn close(&self) {
        self.head().closed.store(LAST, Ordering::SeqCst);
    }

    /// Nobody wants any more answers.
    pub fn stop(&self) {
        self.head().closed.store(STOP, Ordering::SeqCst);
    }

    /// Says that the manager goes to sleep until block `number` is done.
    pub fn manager_sleeps(&self, number: u64) {
        self.head().manager_wants.0.store(number + 1, Ordering::SeqCst);
    }

    /// The manager is awake.
    pub fn manager_wakes(&self) {
        self.head().manager_wants.0.store(0, Ordering::Relaxed);
    }

    /// Did the worker sleep? It is taken to be awake from now on: ring its wake-up socket.
    pub fn must_wake(&self, worker: usize) -> bool {
        self.place(worker).load(Ordering::SeqCst) == 1 && self.wakes(worker)
    }

    /// May there be a worker that sleeps?
    pub fn any_sleeps(&self) -> bool {
        self.head().sleepers.0.load(Ordering::SeqCst) > 0
    }
}

/// A worker's side.
impl Ring {
    /// Takes the next block that is for `worker`, if there is one. `from` is the first that it has not
    /// looked at yet, and moves on.
    pub fn take(&self, worker: usize, from: &mut u64) -> Option<u64> {
        let head = self.head();
        loop {
            if self.is_stopped() {
                return None;
            }
            let posted = head.posted.0.load(Ordering::SeqCst);
            // After `posted`: the manager sets it before it posts the blocks that it is meant for.
            let turns = u64::from(head.turns.load(Ordering::SeqCst));
            if turns > 0 {
                while *from < posted {
                    let number = *from;
                    *from += 1;
                    if number % turns == worker as u64 && self.claim(number, worker) {
                        return Some(number);
                    }
                }
                return None;
            }
            let number = head.next.0.load(Ordering::SeqCst);
            if number >= posted {
                return None;
            }
            let claimed = self.claim(number, worker);
            // Whoever comes first moves on, so that a worker killed here keeps nobody waiting.
            let _ = head.next.0.compare_exchange(number, number + 1, Ordering::SeqCst, Ordering::Relaxed);
            if claimed {
                return Some(number);
            }
        }
    }

    fn claim(&self, number: u64, worker: usize) -> bool {
        self.change(number, word(POSTED, 0, number), worker)
    }

    /// Takes a block that is held for this worker.
    pub fn take_held(&self, number: u64, worker: usize) -> bool {
        self.change(number, word(HELD, 0, number), worker)
    }

    /// Goes on with an answer when the manager has ordered so.
    pub fn take_more(&self, number: u64, worker: usize) -> bool {
        self.change(number, word(MORE, worker, number), worker)
    }

    fn change(&self, number: u64, from: u64, worker: usize) -> bool {
        let to = word(CLAIMED, worker, number);
        let state = self.state_word(number);
        state.compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// What to work on, and where the answer goes: `worker` must have claimed block `number`, and keep
    /// nothing of this beyond [`Ring::done`].
    #[allow(clippy::mut_from_ref)]
    pub fn work(&self, number: u64, worker: usize) -> (Block, Option<BatchRef<'_>>, &mut [u8]) {
        assert!(self.state_word(number).load(Ordering::Acquire) == word(CLAIMED, worker, number));
        // SAFETY: in bounds, and by the module's rule this worker's while it has claimed the slot.
        let (block, offset, room) = unsafe {
            let slot = self.slot(number);
            let room = std::slice::from_raw_parts_mut(self.room_at(number), self.buf);
            ((*slot).block, (*slot).offset, room)
        };
        let rows = if self.input > 0 { self.rows(number) } else { None };
        let rows = rows.map(|rows| {
            let start = (offset as usize).min(rows.len());
            rows.rows(start..rows.len().min(start + block.len() as usize))
        });
        (block, rows, room)
    }

    /// Hands the answer to block `number` to the manager. Returns whether the manager is to be woken.
    pub fn done(&self, number: u64, worker: usize, header: ResultHeader) -> bool {
        // SAFETY: by the module's rule this worker's until the next line.
        unsafe { (*self.slot(number)).header = header };
        self.state_word(number).store(word(DONE, worker, number), Ordering::SeqCst);
        let wants = &self.head().manager_wants.0;
        let wanted = wants.load(Ordering::SeqCst);
        wanted != 0 && number + 1 >= wanted && wants.swap(0, Ordering::SeqCst) != 0
    }

    /// There will be no more blocks.
    pub fn is_closed(&self) -> bool {
        self.head().closed.load(Ordering::SeqCst) != 0
    }

    /// Nobody wants any more answers.
    pub fn is_stopped(&self) -> bool {
        self.head().closed.load(Ordering::SeqCst) == STOP
    }

    /// Says that the worker goes to sleep. It must look once more for work before it does.
    pub fn sleeps(&self, worker: usize) {
        // In this order, so that a worker that is killed in between is counted once too often.
        self.head().sleepers.0.fetch_add(1, Ordering::SeqCst);
        self.place(worker).store(1, Ordering::SeqCst);
    }

    /// The worker is awake, or is about to be woken. Was it asleep?
    pub fn wakes(&self, worker: usize) -> bool {
        let slept = self.place(worker).swap(0, Ordering::SeqCst) == 1;
        if slept {
            self.head().sleepers.0.fetch_sub(1, Ordering::SeqCst);
        }
        slept
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is this ring's own, and nobody can use it any more.
        let _ = unsafe { munmap(self.base.cast(), self.bytes) };
    }
}
