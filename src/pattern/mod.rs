//! Who runs the blocks. One file per pattern; chosen in one `match`, in [`crate::run`].
//!
//! A pattern pulls rounds of blocks from the feed, has each block worked on, and hands the answers to the
//! sink in block order. It never looks at what the function does, and holds no more than one round.

#[cfg(feature = "mpi")]
pub mod mpi;
#[cfg(not(feature = "mpi"))]
#[path = "mpi_disabled.rs"]
pub mod mpi;
pub mod serial;

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::function::numbers::WIDEST;
use crate::function::{Answer, lines::Tally};
use crate::input::{Block, Feed};
use crate::job::{Do, Task, Work};
use crate::output::{Form, Piece, Sink};
use crate::report::{Report, Seconds, WorkerReport};

/// How large the blocks of a task are, and how much memory a worker's answer gets. The same on every rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Workers that take part.
    pub workers: usize,
    /// Values of a block, at most; 0 for a `read`.
    pub values: usize,
    /// Bytes of a section, at most (before its ends move to starts of lines); 0 for a `map`.
    pub section_bytes: u64,
    /// Bytes that a worker's answer has room for. Longer answers come in pieces.
    pub room: usize,
}

/// Values of a block, unless the user says otherwise: measured as the size where handing out costs
/// nothing any more and a round of two workers still lies in the cache.
const VALUES: usize = 64 * 1024;
/// Bytes of a section whose text is gathered.
const SECTION: usize = 1024 * 1024;
/// How much larger blocks are where they travel between nodes: there a round costs milliseconds.
const BETWEEN_NODES: usize = 16;
/// Bytes of a section of which only a tally is gathered: a round is then limited only by how long the
/// others work on when one rank has failed.
const TALLIED_SECTION: u64 = 256 * 1024 * 1024;
/// Bytes that one round of all workers may take on rank 0, unless the user asks for larger blocks.
const ROUND_MEMORY: usize = 64 * 1024 * 1024;
/// The same, whatever the user asks for.
const MOST_ROUND_MEMORY: usize = 256 * 1024 * 1024;

impl Layout {
    /// The layout of `task` on `workers` workers, all of them on one node or not.
    pub fn of(task: &Task, workers: usize, one_node: bool) -> Self {
        let larger = if one_node { 1 } else { BETWEEN_NODES };
        let asked = task.block.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        match &task.work {
            Work::Map { .. } => {
                let width = match Form::of(&task.output) {
                    Form::Raw => size_of::<u64>(),
                    Form::Text => WIDEST,
                };
                let fits = |memory: usize| (memory / workers / (size_of::<u64>() + width)).max(1);
                let values = match asked {
                    Some(n) => n.min(fits(MOST_ROUND_MEMORY)),
                    None => (VALUES * larger).min(fits(ROUND_MEMORY)),
                };
                Self { workers, values, section_bytes: 0, room: values * width }
            }
            Work::Read { action: Do::Text, .. } => {
                let room = (SECTION * larger).min(ROUND_MEMORY / workers).max(4096);
                // A little less than the room, so that the rest of a last line still fits.
                let section_bytes = task.block.unwrap_or((room - room / 16) as u64);
                Self { workers, values: 0, section_bytes, room }
            }
            Work::Read { action: Do::Count, .. } => {
                let section_bytes = task.block.unwrap_or(TALLIED_SECTION);
                Self { workers, values: 0, section_bytes, room: Tally::SIZE }
            }
        }
    }
}

/// Times one run of a task and keeps each worker's share; lives on rank 0.
struct Stopwatch {
    began: Instant,
    load: Duration,
    map: Duration,
    write: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Self { began: Instant::now(), load: Duration::ZERO, map: Duration::ZERO, write: Duration::ZERO }
    }

    /// Does `step` and adds its time to `total`.
    fn time<T>(total: &mut Duration, step: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = step();
        *total += began.elapsed();
        result
    }

    fn load(&mut self, feed: &mut Feed, workers: usize, room: &mut [u64]) -> Result<Option<Vec<Block>>> {
        Self::time(&mut self.load, || feed.next_round(workers, room))
    }

    fn map<T>(&mut self, step: impl FnOnce() -> T) -> T {
        Self::time(&mut self.map, step)
    }

    fn write(&mut self, sink: &mut dyn Sink, piece: &Piece) -> Result<()> {
        Self::time(&mut self.write, || sink.take(piece))
    }

    fn seconds(&self) -> Seconds {
        Seconds {
            load: self.load.as_secs_f64(),
            map: self.map.as_secs_f64(),
            write: self.write.as_secs_f64(),
            total: self.began.elapsed().as_secs_f64(),
        }
    }

    /// Hands the finished report to the sink, and then adds how long the sink took to make its output last.
    fn finish(&mut self, mut report: Report, sink: &mut dyn Sink) -> Result<Report> {
        report.add_up(self.seconds());
        Self::time(&mut self.write, || sink.finish(&report))?;
        report.add_up(self.seconds());
        Ok(report)
    }
}

/// Adds an answer to its worker's share.
fn note(worker: &mut WorkerReport, answer: &Answer, busy: Duration, new_block: bool) {
    worker.blocks += u64::from(new_block);
    worker.items += answer.items;
    worker.bytes += answer.input_bytes;
    worker.busy_seconds += busy.as_secs_f64();
}
