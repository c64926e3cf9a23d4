//! Messages from one rank to another that nobody waits for: sent in the background, and received when they are there. What
//! stands in them is not known here.
//!
//! Neither side ever blocks: two ranks that send each other something long would wait for each other, and one that waits for
//! the rest of a message would spin. A message that is longer than MPI sends at once ([`SHORT`]) comes bit by bit, whenever
//! both sides look; those of other ranks are received in the meantime.

use std::thread;
use std::time::Duration;

use mpi::Tag;
use mpi::request::{Request, StaticScope};
use mpi::topology::Communicator as _;
use mpi::traits::*;

use crate::mpi::linked::Mpi;

/// Of all messages of tasks. They are told apart by what stands in them: a tag may have 15 bits only.
const TAG: Tag = 1;

/// Words of a message that MPI sends without asking the other side first, with room for its own front: the least of what
/// both MPIs have for shared memory and networks is 4 KiB. Many small messages are to have no more.
pub const SHORT: usize = 448;

/// How long to sleep while a message is on its way to one who is about to take it.
const NAP: Duration = Duration::from_micros(100);

/// A message on its way: MPI reads it, or writes to it.
struct Moving {
    /// The other rank.
    rank: usize,
    /// Until it has arrived.
    request: Option<Request<'static, [u64], StaticScope>>,
    /// The memory that `request` has: made by `Box::into_raw`, and used by nobody else.
    message: *mut [u64],
}

impl Moving {
    fn new(
        rank: usize,
        message: Vec<u64>,
        begin: impl FnOnce(&'static mut [u64]) -> Request<'static, [u64], StaticScope>,
    ) -> Self {
        let message = Box::into_raw(message.into_boxed_slice());
        // SAFETY: just made, by nobody else used, and let go only when the request is done (`take`, `drop`).
        let words: &'static mut [u64] = unsafe { &mut *message };
        Self { rank, request: Some(begin(words)), message }
    }

    /// Has it arrived?
    fn has_arrived(&mut self) -> bool {
        if let Some(request) = self.request.take() {
            self.request = request.test().err();
        }
        self.request.is_none()
    }

    /// The message, which has arrived.
    fn take(mut self) -> Vec<u64> {
        let message = std::mem::replace(&mut self.message, Box::into_raw(Box::default()));
        if let Some(request) = self.request.take() {
            request.wait();
        }
        // SAFETY: made by `Box::into_raw`, and MPI does not look at it any more.
        unsafe { Box::from_raw(message) }.into_vec()
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            request.wait();
        }
        // SAFETY: as in `take`, where another has taken its place.
        drop(unsafe { Box::from_raw(self.message) });
    }
}

/// One rank's messages to others and from them.
pub struct Mail<'m> {
    mpi: &'m Mpi,
    sending: Vec<Moving>,
    /// In the order in which they began to come.
    coming: Vec<Moving>,
}

impl<'m> Mail<'m> {
    /// Without messages.
    pub fn new(mpi: &'m Mpi) -> Self {
        Self { mpi, sending: vec![], coming: vec![] }
    }

    /// Sends a message to rank `to`, in the background.
    pub fn send(&mut self, to: usize, message: Vec<u64>) {
        let process = self.mpi.world.process_at_rank(to as i32);
        let begin = |words: &'static mut [u64]| process.immediate_send_with_tag(StaticScope, &*words, TAG);
        self.sending.push(Moving::new(to, message, begin));
    }

    /// The next message that is there, from whichever rank, and that rank. Lets go of messages that have arrived.
    pub fn receive(&mut self) -> Option<(usize, Vec<u64>)> {
        self.sending.retain_mut(|sending| !sending.has_arrived());
        while let Some(status) = self.mpi.world.any_process().immediate_probe_with_tag(TAG) {
            let process = self.mpi.world.process_at_rank(status.source_rank());
            let message = vec![0u64; status.count(u64::equivalent_datatype()).max(0) as usize];
            let begin = |words| process.immediate_receive_into_with_tag(StaticScope, words, TAG);
            self.coming.push(Moving::new(status.source_rank() as usize, message, begin));
            if self.coming.len() == 1 && self.coming[0].has_arrived() {
                break;
            }
        }
        let mut waits = Vec::new();
        for place in 0..self.coming.len() {
            let rank = self.coming[place].rank;
            // Those of one rank in order.
            if !waits.contains(&rank) {
                if self.coming[place].has_arrived() {
                    return Some((rank, self.coming.remove(place).take()));
                }
                waits.push(rank);
            }
        }
        None
    }

    /// Is something on its way that comes on only when this rank looks?
    pub fn is_busy(&self) -> bool {
        !self.coming.is_empty() || !self.sending.is_empty()
    }

    /// Waits until all messages have arrived where they were sent to.
    pub fn flush(&mut self) {
        loop {
            self.sending.retain_mut(|sending| !sending.has_arrived());
            if self.sending.is_empty() {
                return;
            }
            thread::sleep(NAP);
        }
    }
}
