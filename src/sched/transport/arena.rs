//! The memory through which a manager and its workers pass blocks and answers: slots, each for one block and the rows that
//! travel with it, and buffers for answers, some for each worker. Threads, forked processes and the ranks of a node see
//! the same.
//!
//! Who may touch what is said by the slots' state words ([`protocol`]), and all of this module's `unsafe` rests on that:
//! the manager touches a slot, and the buffer of its answer, only while it is free, held or done, or when the worker that
//! has it is dead; a worker only while it has claimed the slot. What is posted is only read.

use std::any::Any;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::protocol::{MOST_BUFFERS, ManagerSide, State, Words, WorkerSide};
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::sched::result_header::{MESSAGE, ResultHeader};
use crate::sched::sizing::BlockSizing;

/// Shared by all; each number in cache lines of its own, because different processes write to them.
#[repr(C)]
struct Head {
    posted: Apart<AtomicU64>,
    next: Apart<AtomicU64>,
    manager_wants: Apart<AtomicU64>,
    turns: AtomicU32,
    closed: AtomicU32,
    sleepers: Apart<AtomicU32>,
    /// See [`Arena::bell`].
    bell: Apart<AtomicU32>,
    /// See [`Arena::hear`].
    heard: AtomicU32,
}

#[repr(C, align(128))]
struct Apart<T>(T);

/// The front of a slot.
#[repr(C, align(128))]
struct SlotHead {
    state: AtomicU64,
    /// See [`Words::slot_word`].
    queued: AtomicU32,
    number: u64,
    block: Block,
    /// Where the rows of the block begin among those of the slot.
    offset: u64,
    header: ResultHeader,
}

/// What an arena has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub workers: usize,
    /// Workers besides, each of which is started for a single block.
    pub spare: usize,
    pub slots: usize,
    /// Buffers of each worker.
    pub buffers: usize,
    /// Bytes of rows that travel with a block.
    pub input: usize,
    /// The rows of all slots are in one place.
    pub one_input: bool,
    /// Bytes of a buffer for an answer; one more message goes behind it.
    pub buf: usize,
}

/// Slots when blocks are small: so many that a manager that waits for one worker keeps the others busy.
const MANY_SLOTS: usize = 1024;
/// Bytes that are not too many for [`MANY_SLOTS`].
const SMALL: usize = 2 * 1024 * 1024;

impl Shape {
    /// For blocks of `layout` that go to whoever is free, or by turns.
    pub fn one_by_one(layout: &BlockSizing) -> Self {
        let (input, buf) = (layout.input + layout.texts, layout.buf);
        // Pages are the system's only when they are touched: what waits for nobody never gets that far.
        let slots = (SMALL.max(layout.run_ahead) / (input + buf + MESSAGE)).min(MANY_SLOTS);
        let slots = slots.max(2 * layout.workers);
        let buffers = slots.div_ceil(layout.workers).clamp(2, MOST_BUFFERS);
        Self { workers: layout.workers, spare: 1, slots, buffers, input, one_input: false, buf }
    }

    fn slot_bytes(&self) -> usize {
        size_of::<SlotHead>()
    }

    fn input_bytes(&self) -> usize {
        self.input.next_multiple_of(128)
    }

    /// Bytes from one buffer to the next.
    pub fn buffer_bytes(&self) -> usize {
        (self.buf + MESSAGE).next_multiple_of(128)
    }

    /// Places of workers.
    fn places(&self) -> usize {
        self.workers + self.spare
    }

    fn flags_start(&self) -> usize {
        size_of::<Head>()
    }

    /// Of the flag of a worker, those of its buffers, and how many blocks it has taken.
    fn flag_bytes(&self) -> usize {
        ((2 + self.buffers) * size_of::<AtomicU32>()).next_multiple_of(128)
    }

    fn slots_start(&self) -> usize {
        self.flags_start() + self.places() * self.flag_bytes()
    }

    fn inputs_start(&self) -> usize {
        self.slots_start() + self.slots * self.slot_bytes()
    }

    fn buffers_start(&self) -> usize {
        let inputs = if self.one_input { 1 } else { self.slots };
        // At a page, as what is to be copied to the system likes it.
        (self.inputs_start() + inputs * self.input_bytes()).next_multiple_of(4096)
    }

    /// Bytes of it all.
    pub fn bytes(&self) -> usize {
        self.buffers_start() + self.places() * self.buffers * self.buffer_bytes()
    }
}

/// The memory; given back when dropped.
pub struct Arena {
    base: *mut u8,
    shape: Shape,
    /// Keeps the memory, where it is not this arena's own.
    kept: Option<Box<dyn Any + Send + Sync>>,
}

// SAFETY: what is shared is atomic, or belongs to one thread at a time by a slot's state word.
unsafe impl Sync for Arena {}
// SAFETY: as above; the memory is not tied to the thread that mapped it.
unsafe impl Send for Arena {}

impl Arena {
    /// Memory of this process, and where it `is_shared` of those that it forks.
    ///
    /// # Errors
    /// The system gives no such memory.
    pub fn new(shape: Shape, is_shared: bool) -> io::Result<Self> {
        let kind = if is_shared { MapFlags::SHARED } else { MapFlags::PRIVATE };
        // SAFETY: a new mapping at an address that the system chooses; nothing else is touched.
        let base = unsafe {
            mmap_anonymous(ptr::null_mut(), shape.bytes(), ProtFlags::READ | ProtFlags::WRITE, kind)?
        };
        Ok(Self { base: base.cast(), shape, kept: None })
    }

    /// Memory that others see, too: all zeros at first, and kept by `kept`.
    ///
    /// # Safety
    /// `base` is the start of [`Shape::bytes`] that are there for as long as `kept` is, aligned as pages are, and touched by
    /// nothing but arenas of this shape.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    pub unsafe fn over(base: *mut u8, shape: Shape, kept: Box<dyn Any + Send + Sync>) -> Self {
        Self { base, shape, kept: Some(kept) }
    }

    /// What it has room for.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    fn head(&self) -> &Head {
        // SAFETY: in bounds, aligned (mappings begin at pages), and all zeros is a valid head.
        unsafe { &*self.base.cast::<Head>() }
    }

    /// A number of `worker`: its flag, then that of each of its buffers, then how many blocks it has taken.
    fn flag_at(&self, worker: usize, which: usize) -> &AtomicU32 {
        assert!(worker < self.shape.places() && which <= 1 + self.shape.buffers);
        let start = self.shape.flags_start() + worker * self.shape.flag_bytes();
        // SAFETY: in bounds, aligned, and all zeros is valid.
        unsafe { &*self.base.add(start).cast::<AtomicU32>().add(which) }
    }

    fn slot(&self, slot: usize) -> *mut SlotHead {
        assert!(slot < self.shape.slots);
        // SAFETY: in bounds; all sizes are multiples of 128, so every slot is aligned.
        unsafe { self.base.add(self.shape.slots_start()).cast::<SlotHead>().add(slot) }
    }

    fn input_at(&self, slot: usize) -> *mut u8 {
        assert!(slot < self.shape.slots);
        let slot = if self.shape.one_input { 0 } else { slot };
        // SAFETY: in bounds.
        unsafe { self.base.add(self.shape.inputs_start() + slot * self.shape.input_bytes()) }
    }

    fn buffer_at(&self, worker: usize, buffer: usize) -> *mut u8 {
        assert!(worker < self.shape.places() && buffer < self.shape.buffers);
        let number = worker * self.shape.buffers + buffer;
        // SAFETY: in bounds.
        unsafe { self.base.add(self.shape.buffers_start() + number * self.shape.buffer_bytes()) }
    }
}

impl Words for Arena {
    fn slots(&self) -> usize {
        self.shape.slots
    }

    fn state_word(&self, slot: usize) -> &AtomicU64 {
        // SAFETY: `slot` is in bounds; the state is atomic and may be looked at by anybody.
        unsafe { &(*self.slot(slot)).state }
    }

    fn slot_word(&self, number: u64) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { &(*self.slot((number % self.shape.slots as u64) as usize)).queued }
    }

    fn posted(&self) -> &AtomicU64 {
        &self.head().posted.0
    }

    fn next(&self) -> &AtomicU64 {
        &self.head().next.0
    }

    fn manager_wants(&self) -> &AtomicU64 {
        &self.head().manager_wants.0
    }

    fn turns(&self) -> &AtomicU32 {
        &self.head().turns
    }

    fn closed(&self) -> &AtomicU32 {
        &self.head().closed
    }

    fn sleepers(&self) -> &AtomicU32 {
        &self.head().sleepers.0
    }

    fn flag(&self, worker: usize) -> &AtomicU32 {
        self.flag_at(worker, 0)
    }

    fn buffer_word(&self, worker: usize, buffer: usize) -> &AtomicU32 {
        self.flag_at(worker, 1 + buffer)
    }

    fn buffers(&self) -> usize {
        self.shape.buffers
    }
}

/// The manager's side.
impl Arena {
    /// Room for the rows of a block in a slot, which must be free. To be let go before the block is posted.
    #[allow(clippy::mut_from_ref)]
    pub fn input(&self, slot: usize) -> &mut [u8] {
        assert!(self.is_free(slot));
        // SAFETY: in bounds, and by the module's rule the manager's while the slot is free.
        unsafe { std::slice::from_raw_parts_mut(self.input_at(slot), self.shape.input) }
    }

    /// Puts a block into a slot that is free, or was a dead worker's. `offset` is where its rows begin.
    pub fn put(&self, slot: usize, number: u64, block: Block, offset: u64) {
        // SAFETY: by the module's rule the manager's while the slot is free, or taken from a dead worker.
        unsafe {
            (*self.slot(slot)).number = number;
            (*self.slot(slot)).block = block;
            (*self.slot(slot)).offset = offset;
        }
    }

    /// The rows that travel with the block in a slot, if there are any.
    pub fn rows(&self, slot: usize) -> Option<BatchRef<'_>> {
        // SAFETY: in bounds; nobody writes to them while the block is in the slot.
        BatchRef::new(unsafe { std::slice::from_raw_parts(self.input_at(slot), self.shape.input) })
    }

    /// The answer in a slot that is done.
    pub fn answer(&self, slot: usize) -> (&ResultHeader, &[u8]) {
        let State::Done(worker) = self.state(slot) else { panic!("an answer that is not there") };
        let len = self.shape.buf + MESSAGE;
        // SAFETY: in bounds, and by the module's rule the manager's while it is done.
        unsafe {
            let header = &(*self.slot(slot)).header;
            (header, std::slice::from_raw_parts(self.buffer_at(worker, self.buffer(slot)), len))
        }
    }
}

/// What is only for those who sleep on words of the arena.
#[cfg_attr(not(feature = "mpi"), allow(dead_code))]
impl Arena {
    /// The word that the manager sleeps on: another number each time that it is woken.
    pub fn bell(&self) -> &AtomicU32 {
        &self.head().bell.0
    }

    /// How many blocks `worker` has taken, as far as it says so itself.
    pub fn taken(&self, worker: usize) -> &AtomicU32 {
        self.flag_at(worker, 1 + self.shape.buffers)
    }

    /// Tells the manager that a signal has come where one of its workers is.
    pub fn hear(&self, signal: i32) {
        self.head().heard.store(signal as u32, Ordering::Release);
    }

    /// The signal that a worker has [told](Arena::hear) of.
    pub fn heard(&self) -> Option<i32> {
        let signal = self.head().heard.load(Ordering::Acquire) as i32;
        (signal != 0).then_some(signal)
    }
}

/// The manager's side, where workers act in rounds.
#[cfg_attr(not(feature = "mpi"), allow(dead_code))]
impl Arena {
    /// The answer in a slot that is done, to be completed.
    #[allow(clippy::mut_from_ref)]
    pub fn answer_mut(&self, slot: usize) -> (&mut ResultHeader, &mut [u8]) {
        let State::Done(worker) = self.state(slot) else { panic!("an answer that is not there") };
        let len = self.shape.buf + MESSAGE;
        // SAFETY: in bounds, and by the module's rule the manager's while it is done.
        unsafe {
            let header = &mut (*self.slot(slot)).header;
            (header, std::slice::from_raw_parts_mut(self.buffer_at(worker, self.buffer(slot)), len))
        }
    }

    /// All buffers, one behind the other.
    ///
    /// # Safety
    /// No worker is at work, and nobody looks at an answer.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn buffers_mut(&self) -> &mut [u8] {
        let len = self.shape.bytes() - self.shape.buffers_start();
        // SAFETY: in bounds; nobody else touches them, as the caller says.
        unsafe { std::slice::from_raw_parts_mut(self.buffer_at(0, 0), len) }
    }
}

/// A worker's side.
impl Arena {
    /// What to work on, and where the answer goes: `worker` must have claimed the slot, and keep
    /// nothing of this beyond [`Arena::finish`].
    #[allow(clippy::mut_from_ref)]
    pub fn work(&self, slot: usize, worker: usize) -> (Block, Option<BatchRef<'_>>, &mut [u8]) {
        let buffer = self.claimed_buffer(slot, worker).expect("a slot that this worker has claimed");
        let len = self.shape.buf + MESSAGE;
        // SAFETY: in bounds, and by the module's rule this worker's while it has claimed the slot.
        let (block, offset, buf) = unsafe {
            let buf = std::slice::from_raw_parts_mut(self.buffer_at(worker, buffer), len);
            ((*self.slot(slot)).block, (*self.slot(slot)).offset, buf)
        };
        let rows = if self.shape.input > 0 { self.rows(slot) } else { None };
        let rows = rows.map(|rows| {
            let start = (offset as usize).min(rows.len());
            rows.rows(start..rows.len().min(start + block.len() as usize))
        });
        (block, rows, buf)
    }

    /// Hands the answer in a slot to the manager. Returns whether the manager is to be woken.
    pub fn finish(&self, slot: usize, worker: usize, header: ResultHeader) -> bool {
        assert!(self.claimed_buffer(slot, worker).is_some());
        // SAFETY: by the module's rule this worker's until the next line.
        let number = unsafe {
            (*self.slot(slot)).header = header;
            (*self.slot(slot)).number
        };
        self.done(slot, number)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if self.kept.is_none() {
            // SAFETY: the mapping is this arena's own, and nobody can use it any more.
            let _ = unsafe { munmap(self.base.cast(), self.shape.bytes()) };
        }
    }
}
