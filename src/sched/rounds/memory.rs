//! The memory of one round: the rows on their way out, and a slot for each worker's answer.
//!
//! On rank 0's node it is a [`Segment`] that rank 0 provides and every rank maps, so that nothing is
//! copied; elsewhere, and for small tasks, it is the rank's own and its contents travel as messages. All
//! of this module's `unsafe` rests on one rule, kept by the order of collectives in [`super`]:
//! between rank 0's scatter of a round and its gather, each rank reads the rows and touches its own slot
//! and nothing else; at all other times only rank 0 touches anything.

use std::sync::atomic::{Ordering, fence};

use crate::mpi::linked::segment::Segment;
use crate::sched::result_header::MESSAGE;
use crate::sched::sizing::BlockSizing;

/// Rows and slots of one round.
pub struct Memory {
    base: *mut u64,
    /// Words from the front, where the rows are, to the first slot: a whole number of cache lines.
    first_slot: usize,
    /// Words of one slot.
    slot: usize,
    slots: usize,
    /// Keeps what `base` points to.
    _store: Store,
}

/// What keeps the memory alive; only [`Memory::base`] uses it.
enum Store {
    Own { _words: Vec<u64> },
    Shared { _segment: Segment },
}

impl Memory {
    /// Memory of this rank alone, for `workers` workers: all of them on rank 0, one elsewhere.
    pub fn own(layout: &BlockSizing, workers: usize) -> Self {
        let mut words = vec![0; words(layout, workers)];
        Self::at(words.as_mut_ptr(), layout, workers, Store::Own { _words: words })
    }

    /// Memory in a segment that has [`Memory::bytes`].
    pub fn shared(layout: &BlockSizing, segment: Segment) -> Self {
        assert!(segment.bytes() >= Self::bytes(layout));
        Self::at(segment.start(), layout, layout.workers, Store::Shared { _segment: segment })
    }

    /// Bytes of shared memory for all workers.
    pub fn bytes(layout: &BlockSizing) -> usize {
        words(layout, layout.workers) * size_of::<u64>()
    }

    fn at(base: *mut u64, layout: &BlockSizing, slots: usize, store: Store) -> Self {
        Self { base, first_slot: first_slot(layout, slots), slot: slot(layout), slots, _store: store }
    }

    /// The rows of the round, as a batch.
    pub fn input(&self) -> &[u8] {
        // SAFETY: in bounds; nobody writes to them but rank 0, and not now, by the module's rule.
        bytemuck::cast_slice(unsafe { std::slice::from_raw_parts(self.base, self.first_slot) })
    }

    /// As [`Memory::input`], to be written to.
    pub fn input_mut(&mut self) -> &mut [u64] {
        // SAFETY: in bounds, and by the module's rule nobody else touches them now.
        unsafe { std::slice::from_raw_parts_mut(self.base, self.first_slot) }
    }

    /// The rows, and `count` slots from number `first` on, each by itself.
    pub fn work(&mut self, first: usize, count: usize) -> (&[u8], impl Iterator<Item = &mut [u8]>) {
        let start = self.slot_start(first);
        assert!(first + count <= self.slots);
        // SAFETY: in bounds; the slots lie behind the rows, so the two do not overlap, and by the
        // module's rule nobody else touches these slots now.
        let slots = unsafe { std::slice::from_raw_parts_mut(self.base.add(start), self.slot * count) };
        let slots = slots.chunks_exact_mut(self.slot).map(bytemuck::cast_slice_mut);
        (self.input(), slots)
    }

    /// All slots, one after the other.
    pub fn slots(&self) -> &[u8] {
        // SAFETY: in bounds; by the module's rule no worker touches them now.
        bytemuck::cast_slice(unsafe {
            std::slice::from_raw_parts(self.base.add(self.first_slot), self.slot * self.slots)
        })
    }

    /// As [`Memory::slots`], to be written to.
    pub fn slots_mut(&mut self) -> &mut [u8] {
        let len = self.slot * self.slots;
        // SAFETY: in bounds; used on rank 0 to receive the slots of ranks that do not share this memory,
        // when those that do have finished, and on those ranks to put their answers together.
        let words = unsafe { std::slice::from_raw_parts_mut(self.base.add(self.first_slot), len) };
        bytemuck::cast_slice_mut(words)
    }

    /// Bytes from one slot to the next.
    pub fn slot_bytes(&self) -> usize {
        self.slot * size_of::<u64>()
    }

    fn slot_start(&self, slot: usize) -> usize {
        assert!(slot < self.slots);
        self.first_slot + slot * self.slot
    }

    /// Orders this rank's reads and writes of shared memory before and after the message that hands it to
    /// another rank.
    pub fn sync(&self) {
        fence(Ordering::SeqCst);
    }
}

/// Words for the rows and the slots of `workers` workers.
fn words(layout: &BlockSizing, workers: usize) -> usize {
    first_slot(layout, workers) + slot(layout) * workers
}

/// Words in front of the first slot. It and all slots begin at cache lines, so that no two ranks write to
/// the same one. One batch of the rows of all workers takes no more than as many batches, and has no more texts than one.
fn first_slot(layout: &BlockSizing, workers: usize) -> usize {
    (layout.input * workers + layout.texts).next_multiple_of(64) / size_of::<u64>()
}

/// Words of a slot: an answer and a message.
fn slot(layout: &BlockSizing) -> usize {
    (layout.buf + MESSAGE).next_multiple_of(64) / size_of::<u64>()
}
