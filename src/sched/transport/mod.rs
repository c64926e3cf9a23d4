//! Who works on blocks, and how blocks get there and answers back: what the scheduler knows of it.
//!
//! A block has a number, which is its place among all blocks, from when it is loaded until it is released. A transport
//! decides nothing but who of those that are free takes a block; order, retries and what is handed out when are the
//! scheduler's.

pub mod arena;
pub mod deaths;
#[cfg(test)]
pub mod fake;
pub mod local;
pub mod naps;
pub mod protocol;
pub mod slots;
pub mod spawn;
pub mod worker;

use std::os::fd::BorrowedFd;

pub use protocol::State;

use crate::base::error::Result;
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::input::blocks::BlockSource;
use crate::sched::result_header::ResultHeader;

/// What the scheduler waits for.
#[derive(Debug, Clone, Copy)]
pub struct Wait<'a> {
    /// The block whose answer is taken next.
    pub head: u64,
    /// The first that has not been handed out.
    pub next: u64,
    /// Where more of the input is to come from, where that is awaited, too.
    pub input: Option<BorrowedFd<'a>>,
    /// It is to return after some milliseconds at the latest, because something could be done then.
    pub is_brief: bool,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Perhaps there is another answer.
    Look,
    /// Time has passed.
    Idle,
    /// There is input.
    Input,
    /// A worker has died.
    Lost(Lost),
    /// The worker of [`Transport::alone`] has died, in this way.
    LostAlone(String),
}

/// A worker that has died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    pub worker: usize,
    /// The block that it had, which nobody has now.
    pub number: Option<u64>,
    /// Who it was, and how it ended: `worker 1 (pid 42) was killed by …`.
    pub how: String,
    /// It died as soon as it had been started.
    pub at_once: bool,
}

/// How blocks get to workers, and answers back.
pub trait Transport {
    /// Is there room for one more block?
    fn has_room(&self) -> bool;

    /// Is the next block there already, so that [`Transport::load`] takes nothing of the source?
    fn is_loaded(&self) -> bool {
        false
    }

    /// Blocks that have been handed out and that no worker has begun.
    fn waiting(&self) -> u64;

    /// Loads the next block of `source`, of `most` rows or bytes at the most. To be submitted next. `None` at the end.
    ///
    /// # Errors
    /// As [`BlockSource::next_block`].
    fn load(&mut self, source: &mut BlockSource, most: u64) -> Result<Option<Block>>;

    /// Hands out the block that has been loaded, as number `number`.
    ///
    /// # Errors
    /// There is no worker for it.
    fn submit(&mut self, number: u64, block: Block) -> Result<()>;

    /// From now on so many workers may be started.
    fn staff(&mut self, workers: usize);

    /// Starts workers where there are too few.
    ///
    /// # Errors
    /// The system has no room for one without which nothing would go on.
    fn look_after(&mut self) -> Result<()>;

    /// Whose is block `number`?
    fn state(&self, number: u64) -> State;

    /// The block that has this number.
    fn block(&self, number: u64) -> Block;

    /// The rows that travel with block `number`, where they do.
    fn rows(&self, number: u64) -> Option<BatchRef<'_>>;

    /// A chunk of the answer to block `number`, which is done.
    fn chunk(&self, number: u64) -> (&ResultHeader, &[u8]);

    /// `worker` is to go on with the answer to block `number`, of which a chunk has been taken.
    fn resume(&mut self, number: u64, worker: usize);

    /// Block `number` is over.
    fn release(&mut self, number: u64);

    /// Block `number`, which a worker has died with, is to be run again by one that is started in the place of `worker`.
    fn redo(&mut self, number: u64, worker: usize);

    /// Starts a worker that does nothing but `part` of block `number`, which nobody has. Returns the number by which
    /// that worker is known.
    ///
    /// # Errors
    /// The system has no room for it.
    fn alone(&mut self, number: u64, part: Block) -> Result<usize>;

    /// Waits until something happens.
    ///
    /// # Errors
    /// A signal has come, or it is not possible to wait.
    fn poll(&mut self, wait: Wait) -> Result<Event>;

    /// Ends all workers, at once where the run has failed, and says what the process of each was, as far as there was one.
    fn end(&mut self, failed: bool) -> Vec<Option<u32>>;
}
