//! An answer on its way between processes: its bytes, a message behind them, and a result header of plain
//! numbers that says what they are.

use bytemuck::{Pod, Zeroable};

use crate::base::error::{Error, Result};
use crate::base::time::Interval;
use crate::op::BlockResult;

/// Bytes behind the room for an answer, for the text of a failure.
pub const MESSAGE: usize = 1024;

/// What a worker says of one piece of an answer.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct ResultHeader {
    /// Bytes of answer.
    bytes: u64,
    items: u64,
    input_bytes: u64,
    /// 1 when the answer goes on.
    more: u64,
    /// 0, [`ITEM_FAILED`], [`WORKER_FAILED`], [`CANNOT_OPEN`], or [`INTERRUPTED`] and the signal.
    failure: u64,
    /// Items passed over.
    failed: u64,
    /// Bytes of message behind the answer.
    message: u64,
    /// Bytes of records behind that.
    records: u64,
    /// The process that worked on it.
    pid: u64,
    /// When it worked, on its host's clock.
    interval: Interval,
}

const ITEM_FAILED: u64 = 1;
const WORKER_FAILED: u64 = 2;
const CANNOT_OPEN: u64 = 3;
const INTERRUPTED: u64 = 1 << 16;

#[cfg_attr(not(feature = "mpi"), allow(dead_code))]
impl ResultHeader {
    /// What this process has done in `interval`. Puts the message and the records of `answer`, whose bytes stand at the
    /// front of `buf`, behind them. `tell` says how a failure is told to whoever waits for it. `buf` has [`MESSAGE`]
    /// bytes more than answers may use.
    pub fn pack(
        answer: BlockResult,
        pid: u32,
        interval: Interval,
        buf: &mut [u8],
        tell: impl Fn(&Error) -> String,
    ) -> Self {
        let message = answer.failure.as_ref().map(tell).or(answer.first_failed).unwrap_or_default();
        let message = &message.as_bytes()[..message.floor_char_boundary(MESSAGE)];
        buf[answer.bytes..][..message.len()].copy_from_slice(message);
        buf[answer.bytes + message.len()..][..answer.records.len()].copy_from_slice(&answer.records);
        Self {
            bytes: answer.bytes as u64,
            items: answer.items,
            input_bytes: answer.input_bytes,
            more: u64::from(answer.more),
            failure: match answer.failure {
                None => 0,
                Some(Error::Item(_)) => ITEM_FAILED,
                Some(Error::Interrupted(signal)) => INTERRUPTED | signal as u64,
                Some(Error::CannotOpen(_)) => CANNOT_OPEN,
                Some(_) => WORKER_FAILED,
            },
            failed: answer.failed,
            message: message.len() as u64,
            records: answer.records.len() as u64,
            pid: u64::from(pid),
            interval,
        }
    }

    /// Of a worker that has nothing to do: a signal has come there, or nothing.
    pub fn idle(outcome: &Result<()>) -> Self {
        let failure = match outcome {
            Err(Error::Interrupted(signal)) => INTERRUPTED | *signal as u64,
            _ => 0,
        };
        Self { failure, ..Self::zeroed() }
    }

    /// Has a signal come where it was made?
    ///
    /// # Errors
    /// [`Error::Interrupted`] when one has.
    pub fn check(&self) -> Result<()> {
        match self.failure & INTERRUPTED {
            0 => Ok(()),
            _ => Err(Error::Interrupted((self.failure & !INTERRUPTED) as i32)),
        }
    }

    /// The answer, from a room that [`ResultHeader::pack`] has filled.
    pub fn unpack(&self, buf: &[u8]) -> BlockResult {
        let bytes = self.bytes as usize;
        let message = || String::from_utf8_lossy(&buf[bytes..][..self.message as usize]).into_owned();
        let failure = match self.failure {
            0 => None,
            ITEM_FAILED => Some(Error::Item(message())),
            WORKER_FAILED => Some(Error::Failed(message())),
            CANNOT_OPEN => Some(Error::CannotOpen(message())),
            _ => self.check().err(),
        };
        let first_failed = (failure.is_none() && self.message > 0).then(message);
        let records = buf[bytes + self.message as usize..][..self.records as usize].to_vec();
        BlockResult {
            bytes,
            items: self.items,
            input_bytes: self.input_bytes,
            more: self.more != 0,
            failure,
            failed: self.failed,
            first_failed,
            records,
        }
    }

    /// The process that worked on it, and when.
    pub fn event(&self) -> (u32, Interval) {
        (self.pid as u32, self.interval)
    }

    /// The answer, in a room that [`ResultHeader::pack`] has filled.
    pub fn bytes_in<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        &buf[..self.bytes as usize]
    }

    /// What is said of single items, in a room that [`ResultHeader::pack`] has filled.
    pub fn records_in<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        &buf[(self.bytes + self.message) as usize..self.len()]
    }

    /// Nobody needs the bytes of the answer any more: the message takes their place.
    pub fn drop_bytes(&mut self, buf: &mut [u8]) {
        let bytes = self.bytes as usize;
        buf.copy_within(bytes..self.len(), 0);
        self.bytes = 0;
    }

    /// Is there more of the answer?
    pub fn goes_on(&self) -> bool {
        self.more != 0
    }

    /// Bytes of answer, message and records.
    pub fn len(&self) -> usize {
        (self.bytes + self.message + self.records) as usize
    }

    /// Items answered.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Items without an answer: those that were passed over, and the one that ends it.
    pub fn failed(&self) -> u64 {
        self.failed + u64::from(self.has_ended())
    }

    /// Does the answer end with a failure?
    pub fn has_ended(&self) -> bool {
        self.failure != 0
    }

    /// Could the worker itself not do its work?
    pub fn is_of_worker(&self) -> bool {
        matches!(self.failure, WORKER_FAILED | CANNOT_OPEN)
    }

    /// Could the worker not open its file?
    pub fn is_unopened(&self) -> bool {
        self.failure == CANNOT_OPEN
    }

    /// Adds to the message in `buf`, as far as there is room.
    pub fn add_to_message(&mut self, buf: &mut [u8], text: &str) {
        let text = &text.as_bytes()[..text.floor_char_boundary(MESSAGE - self.message as usize)];
        let end = (self.bytes + self.message) as usize;
        buf.copy_within(end..self.len(), end + text.len());
        buf[end..][..text.len()].copy_from_slice(text);
        self.message += text.len() as u64;
    }
}
