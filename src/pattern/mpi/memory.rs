//! The memory of one round: the values on their way out, and a slot for each worker's answer.
//!
//! On rank 0's node it is one MPI-3 shared window that rank 0 fills and every rank works in, so that
//! nothing is copied; elsewhere, and for small tasks, it is the rank's own and its contents travel as
//! messages. All of this module's `unsafe` rests on one rule, kept by the order of collectives in
//! [`super`]: between rank 0's scatter of a round and its gather, each rank touches its own values and its
//! own slot and nothing else; at all other times only rank 0 touches anything.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{Ordering, fence};

use mpi::ffi;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;

use crate::pattern::Layout;

/// Bytes at the end of a slot for the text of a failure.
pub const MESSAGE: usize = 1024;

/// Values and slots of one round.
pub struct Memory {
    base: *mut u64,
    /// Words for values, in front.
    values: usize,
    /// Words from the front to the first slot: a whole number of cache lines.
    first_slot: usize,
    /// Words of one slot.
    slot: usize,
    slots: usize,
    store: Store,
}

/// What keeps the memory alive.
enum Store {
    /// Only [`Memory::base`] uses it.
    Own {
        _words: Vec<u64>,
    },
    Window {
        window: ffi::MPI_Win,
    },
}

impl Memory {
    /// Memory of this rank alone, for `workers` workers: all of them on rank 0, one elsewhere.
    pub fn own(layout: &Layout, workers: usize) -> Self {
        let (values, first_slot, slot) = sizes(layout, workers);
        let mut words = vec![0; first_slot + slot * workers];
        let base = words.as_mut_ptr();
        Self { base, values, first_slot, slot, slots: workers, store: Store::Own { _words: words } }
    }

    /// Memory shared by the ranks of `node`, of which rank 0 provides it; `None` on all of them where the
    /// MPI or the system gives none. Collective.
    pub fn shared(layout: &Layout, node: &SimpleCommunicator) -> Option<Self> {
        let slots = layout.workers;
        let (values, first_slot, slot) = sizes(layout, slots);
        let bytes = (first_slot + slot * slots) * size_of::<u64>();
        let mine = if node.rank() == 0 { bytes } else { 0 };
        let mut base = ptr::null_mut::<c_void>();
        // SAFETY: plain calls of MPI on a live communicator and valid out-pointers. The error handler is
        // set to return, so that a system without shared memory is an answer and not the end.
        let (allocated, window) = unsafe {
            let mut window = ffi::RSMPI_WIN_NULL;
            ffi::MPI_Comm_set_errhandler(node.as_raw(), ffi::RSMPI_ERRORS_RETURN);
            let code = ffi::MPI_Win_allocate_shared(
                mine as ffi::MPI_Aint,
                1,
                ffi::RSMPI_INFO_NULL,
                node.as_raw(),
                (&raw mut base).cast(),
                &raw mut window,
            );
            (code == 0, window)
        };
        let mut all = false;
        node.all_reduce_into(&allocated, &mut all, mpi::collective::SystemOperation::logical_and());
        if !all {
            return None;
        }
        // SAFETY: as above; the window is live. One epoch of passive access lasts as long as the window,
        // as loads and stores need one (MPI-3.1, 11.5.3).
        unsafe {
            let (mut size, mut unit) = (0, 0);
            ffi::MPI_Win_shared_query(window, 0, &raw mut size, &raw mut unit, (&raw mut base).cast());
            ffi::MPI_Win_lock_all(0, window);
        }
        Some(Self { base: base.cast(), values, first_slot, slot, slots, store: Store::Window { window } })
    }

    /// The values at `offset`, `count` of them.
    pub fn values(&self, offset: usize, count: usize) -> &[u64] {
        assert!(offset + count <= self.values);
        // SAFETY: in bounds; nobody writes to them but rank 0, and not now, by the module's rule.
        unsafe { std::slice::from_raw_parts(self.base.add(offset), count) }
    }

    /// All room for values.
    pub fn values_mut(&mut self) -> &mut [u64] {
        // SAFETY: in bounds, and by the module's rule nobody else touches them now.
        unsafe { std::slice::from_raw_parts_mut(self.base, self.values) }
    }

    /// The values of a block and the slot of its worker, together.
    pub fn work(&mut self, offset: usize, count: usize, slot: usize) -> (&[u64], &mut [u8]) {
        let start = self.slot_start(slot);
        // SAFETY: in bounds; the slots lie behind the values, so the two do not overlap, and by the
        // module's rule nobody else touches this slot now.
        let slot = unsafe { std::slice::from_raw_parts_mut(self.base.add(start), self.slot) };
        (self.values(offset, count), bytemuck::cast_slice_mut(slot))
    }

    /// What a worker has left in its slot.
    pub fn slot(&self, slot: usize) -> &[u8] {
        let start = self.slot_start(slot);
        // SAFETY: in bounds; by the module's rule its worker does not touch it now.
        bytemuck::cast_slice(unsafe { std::slice::from_raw_parts(self.base.add(start), self.slot) })
    }

    /// All slots, one after the other.
    pub fn slots_mut(&mut self) -> &mut [u8] {
        // SAFETY: in bounds; used on rank 0 to receive the slots of ranks that do not share this memory,
        // when those that do have finished.
        let words =
            unsafe { std::slice::from_raw_parts_mut(self.base.add(self.first_slot), self.slot * self.slots) };
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

    /// Makes what other ranks wrote visible here and what was written here visible to them. The message
    /// that says so must follow, or have come before.
    pub fn sync(&self) {
        if let Store::Window { window } = self.store {
            // SAFETY: the window is live.
            unsafe { ffi::MPI_Win_sync(window) };
            fence(Ordering::SeqCst);
        }
    }
}

impl Drop for Memory {
    /// Collective for a window: all ranks that share one leave a task together.
    fn drop(&mut self) {
        if let Store::Window { window } = &mut self.store {
            // SAFETY: the window is live, and not used again.
            unsafe {
                ffi::MPI_Win_unlock_all(*window);
                ffi::MPI_Win_free(window);
            }
        }
    }
}

/// Words for the values of `workers` workers, from the front to the first slot, and of a slot: an answer
/// and a message. Slots are whole cache lines, so that no two ranks write to the same one.
fn sizes(layout: &Layout, workers: usize) -> (usize, usize, usize) {
    let slot = (layout.room + MESSAGE).next_multiple_of(64) / size_of::<u64>();
    let values = layout.values * workers;
    (values, values.next_multiple_of(8), slot)
}
