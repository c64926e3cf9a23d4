//! Messages from one rank to another that nobody waits for: sent in the background, and received when they are there. What
//! stands in them is not known here.
//!
//! Neither side ever blocks in a send: two ranks that send each other something long would wait for each other.

use std::thread;
use std::time::Duration;

use mpi::Tag;
use mpi::request::{Request, StaticScope};
use mpi::topology::Communicator as _;
use mpi::traits::*;

use crate::mpi::linked::Mpi;

/// Of all messages of tasks. They are told apart by what stands in them: a tag may have 15 bits only.
const TAG: Tag = 1;

/// How long to sleep while a message is on its way to one who is about to take it.
const NAP: Duration = Duration::from_micros(100);

/// A message on its way.
struct Sending {
    /// Until it has arrived.
    request: Option<Request<'static, [u64], StaticScope>>,
    /// The memory that `request` sends: made by `Box::leak`, and used by nobody else.
    message: *mut [u64],
}

impl Sending {
    /// Has it arrived? Then its memory can be let go.
    fn has_arrived(&mut self) -> bool {
        if let Some(request) = self.request.take() {
            self.request = request.test().err();
        }
        self.request.is_none()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            request.wait();
        }
        // SAFETY: leaked when this was made, and MPI does not look at it any more.
        drop(unsafe { Box::from_raw(self.message) });
    }
}

/// One rank's messages to others.
pub struct Mail<'m> {
    mpi: &'m Mpi,
    sending: Vec<Sending>,
}

impl<'m> Mail<'m> {
    /// Without messages.
    pub fn new(mpi: &'m Mpi) -> Self {
        Self { mpi, sending: vec![] }
    }

    /// Sends a message to rank `to`, in the background.
    pub fn send(&mut self, to: usize, message: Vec<u64>) {
        let message = Box::into_raw(message.into_boxed_slice());
        // SAFETY: just made, lives until the request is done (`Sending`), and nobody writes to it.
        let words: &'static [u64] = unsafe { &*message };
        let process = self.mpi.world.process_at_rank(to as i32);
        let request = process.immediate_send_with_tag(StaticScope, words, TAG);
        self.sending.push(Sending { request: Some(request), message });
    }

    /// The next message that is there, from whichever rank, and that rank. Lets go of messages that have arrived.
    pub fn receive(&mut self) -> Option<(usize, Vec<u64>)> {
        self.sending.retain_mut(|sending| !sending.has_arrived());
        let status = self.mpi.world.any_process().immediate_probe_with_tag(TAG)?;
        let rank = status.source_rank();
        let mut message = vec![0u64; status.count(u64::equivalent_datatype()).max(0) as usize];
        self.mpi.world.process_at_rank(rank).receive_into_with_tag(&mut message[..], TAG);
        Some((rank as usize, message))
    }

    /// Waits until all messages have arrived.
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
