//! Who runs the blocks. One file per pattern; chosen in one `match`, in [`crate::cmd::run`].
//!
//! A pattern takes blocks from the block source as they come, has each worked on, and hands the answers to its
//! collector in block order. It never looks at what the function does, and holds no more than a bounded
//! number of blocks.

mod instance;
mod manager;
pub mod map;
pub mod merge;
pub mod pool;
pub mod process;
mod result_header;
#[cfg(feature = "mpi")]
pub mod rounds;
pub mod serial;
pub mod threads;

use std::cell::RefCell;
use std::sync::OnceLock;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::time::{Interval, Timestamp};
use crate::data::batch;
use crate::data::block::Block;
use crate::input;
use crate::input::blocks::BlockSource;
use crate::job::schedule::ScheduleKind;
use crate::job::{Job, Task, Unit};
use crate::mpi::communicator::Communicator;
use crate::observe::progress::Progress;
use crate::observe::report::{OverMpi, Report, Seconds, WorkerReport};
use crate::observe::trace::{BlockEvent, Phase, Timeline};
use crate::op::{BlockResult, Bound};
use crate::output::encode::Encoding;
use crate::output::{self, ResultChunk, Sink};

/// One run of a task: which of its repetitions, and what is known of it if it fails.
#[derive(Debug, Default)]
pub struct Attempt {
    /// It is the first, which alone writes to standard output.
    pub is_first: bool,
    /// When who worked on what until it failed, where the task is traced. Not of ranks, which have not said then
    /// where they are.
    pub failed: RefCell<Option<Timeline>>,
}

impl Attempt {
    /// The first run, or a repetition.
    pub fn new(is_first: bool) -> Self {
        Self { is_first, ..Self::default() }
    }
}

/// How the ranks of a run do a task together, as `rounds` has it in programs that are linked with MPI.
pub type OverRanks = fn(&dyn Communicator, &Task, &Job, &Attempt) -> Result<Option<Report>>;

static OVER_RANKS: OnceLock<OverRanks> = OnceLock::new();

/// From now on ranks run tasks so.
#[cfg_attr(not(feature = "mpi"), allow(dead_code))]
fn provide_ranks(run: OverRanks) {
    let _ = OVER_RANKS.set(run);
}

/// Runs `task` once, together with all other ranks; `attempt` says which run of it this is. The report is on rank 0.
///
/// # Errors
/// The first thing that fails, in block order; [`Error::ReportedByRoot`] on the other ranks.
pub fn over_ranks(
    ranks: &dyn Communicator,
    task: &Task,
    job: &Job,
    attempt: &Attempt,
) -> Result<Option<Report>> {
    match OVER_RANKS.get() {
        Some(run) => run(ranks, task, job, attempt),
        None => Err(Error::Failed("cannot run over ranks: this program is not linked with MPI".into())),
    }
}

/// How large the blocks of a task are, and how much memory a worker's answer gets. The same on every rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSizing {
    /// Workers that take part.
    pub workers: usize,
    /// Values, or bytes of a section (before its ends move to starts of lines), of a block at the most.
    pub block: u64,
    /// The same of the smallest block that a guided schedule makes.
    pub smallest: u64,
    /// Rows of a block at the most; 0 for a `read`.
    pub rows: usize,
    /// Bytes of the batch of rows that travels with a block, its texts apart; 0 where none does.
    pub input: usize,
    /// Bytes of texts of the rows that travel at once; 0 where there are none.
    pub texts: usize,
    /// Bytes that a worker's answer has room for. Longer answers come in pieces.
    pub buf: usize,
}

/// Values of a block, unless the user says otherwise: measured as the size where handing out costs
/// nothing any more and a round of two workers still lies in the cache.
const VALUES: u64 = 64 * 1024;
/// Bytes of a section whose text is gathered.
const SECTION: u64 = 1024 * 1024;
/// How much larger blocks are where handing them out costs more: between nodes, where a round costs
/// milliseconds, and for ranks that start threads for each round.
const LARGER: u64 = 16;
/// Bytes of a section of which only a tally is gathered: a round is then limited only by how long the
/// others work on when one rank has failed.
const TALLIED_SECTION: u64 = 256 * 1024 * 1024;
/// The same where blocks go to whoever is free: a worker that is late with its last one keeps the others
/// waiting for no longer than a few milliseconds.
const SMALL_TALLIED_SECTION: u64 = 16 * 1024 * 1024;
/// Sections of fewer bytes are not worth handing out.
const SMALLEST_SECTION: u64 = 64 * 1024;
/// Bytes that all blocks in flight may take on rank 0, unless the user asks for larger blocks.
const ROUND_MEMORY: usize = 64 * 1024 * 1024;
/// The same, whatever the user asks for.
const MOST_ROUND_MEMORY: usize = 256 * 1024 * 1024;
/// Bytes of an answer of states at least.
const STATES: usize = 4096;
/// The same of texts, which may be long.
const PIECES: usize = 64 * 1024;
/// How many blocks a worker gets in all when there are enough items: so many that one that is late does
/// not matter, so few that handing out does not.
const BLOCKS_PER_WORKER: u64 = 4;

/// Bytes that the answer to a row of `task` takes at the most, or where it has texts, in most cases.
fn width(task: &Task, bound: &Bound) -> usize {
    Encoding::of(task, bound).width(&bound.table())
}

/// Rows of a block that the user has asked for, or else `default`, each within what memory allows when `blocks`
/// are in flight.
fn rows_of_block(task: &Task, bound: &Bound, blocks: usize, default: u64) -> usize {
    let row = bound.info.schema.len() * size_of::<u64>() + width(task, bound);
    let fits = |memory: usize| (memory / blocks / row).max(1);
    let limit = |memory: usize, n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(fits(memory)).max(1);
    match task.schedule.block {
        Some(n) => limit(MOST_ROUND_MEMORY, n),
        None => limit(ROUND_MEMORY, default),
    }
}

impl BlockSizing {
    /// Bytes of texts that are enough for a block, where so many are in flight with texts of their own.
    pub fn enough_texts(slots: u64) -> usize {
        (ROUND_MEMORY / slots.max(1) as usize).clamp(64 * 1024, 1024 * 1024)
    }

    /// Of blocks of a map, of `rows` rows at the most.
    fn of_rows(task: &Task, bound: &Bound, workers: usize, rows: usize, smallest: u64) -> Self {
        let schema = &bound.info.schema;
        let (input, texts) = match bound.info.indexed {
            true => (0, 0),
            false => (batch::bytes_for(schema.len(), rows), batch::texts_of(schema)),
        };
        // Not so little that a state, or a long text, would come in hundreds of pieces.
        let has_texts = Encoding::of(task, bound).has_texts(&bound.table());
        let least = if has_texts {
            PIECES
        } else if bound.reduce.is_some() {
            STATES
        } else {
            0
        };
        let buf = (rows * width(task, bound)).max(least);
        Self { workers, block: rows as u64, smallest, rows, input, texts, buf }
    }

    /// Of sections of `block` bytes at the most.
    fn of_sections(workers: usize, block: u64, smallest: u64, buf: usize) -> Self {
        Self { workers, block, smallest, rows: 0, input: 0, texts: 0, buf }
    }

    /// Blocks that are handed out in rounds, one to each of `workers`. They are larger where a round
    /// `costs_more`.
    pub fn in_rounds(task: &Task, bound: &Bound, workers: usize, costs_more: bool) -> Self {
        let larger = if costs_more { LARGER } else { 1 };
        match bound.lines.map(|_| bound.state_of_section()) {
            None => {
                let rows = rows_of_block(task, bound, workers, VALUES * larger);
                Self::of_rows(task, bound, workers, rows, rows as u64)
            }
            Some(None) => {
                let buf = ((SECTION * larger) as usize).min(ROUND_MEMORY / workers).max(4096);
                // A little less than the room, so that the rest of a last line still fits.
                let block = task.schedule.block.unwrap_or((buf - buf / 16) as u64);
                Self::of_sections(workers, block, block, buf)
            }
            Some(Some(state)) => {
                let block = task.schedule.block.unwrap_or(TALLIED_SECTION);
                Self::of_sections(workers, block, block, state)
            }
        }
    }

    /// Blocks that are handed out one by one to whoever is free, or by turns. `left` is how many values or
    /// bytes there are, and `grain` how many values are worth handing out; 1 also makes sections small.
    pub fn one_by_one(task: &Task, bound: &Bound, workers: usize, left: Option<u64>, grain: u64) -> Self {
        let kind = task.schedule.kind.unwrap_or(ScheduleKind::Dynamic);
        let share = match kind {
            ScheduleKind::Static => 1,
            ScheduleKind::Dynamic => BLOCKS_PER_WORKER,
            ScheduleKind::Guided => 2,
        };
        let share = left.map_or(u64::MAX, |left| left.div_ceil(workers as u64 * share).max(1));
        // Who asks for static wants every worker to have its share, be it ever so small.
        let grain = if kind == ScheduleKind::Static { 1 } else { grain };
        let smallest_section = if grain == 1 { 1 } else { SMALLEST_SECTION };
        match bound.lines.map(|_| bound.state_of_section()) {
            None => {
                let rows = match kind {
                    // Here the user's block is the smallest.
                    ScheduleKind::Guided => {
                        let smallest = task.schedule.block.unwrap_or(grain);
                        rows_of_block(task, bound, 2 * workers, share.clamp(1, VALUES).max(smallest))
                    }
                    _ => rows_of_block(task, bound, 2 * workers, share.clamp(grain, VALUES.max(grain))),
                };
                let smallest = task.schedule.block.unwrap_or(grain).min(rows as u64);
                Self::of_rows(task, bound, workers, rows, smallest)
            }
            Some(state) => {
                let largest = match state {
                    None => (SECTION - SECTION / 16).min((ROUND_MEMORY / 2 / workers) as u64),
                    Some(_) => SMALL_TALLIED_SECTION,
                };
                let default = share.clamp(smallest_section.min(largest), largest);
                let (block, smallest) = match (kind, task.schedule.block) {
                    (ScheduleKind::Guided, Some(smallest)) => (default.max(smallest), smallest),
                    (_, Some(block)) => (block, block),
                    (_, None) => (default, smallest_section.min(default)),
                };
                let buf = match state {
                    // A little more than the section, so that the rest of a last line still fits.
                    None => (block.min(largest) as usize / 15 * 16).max(4096),
                    Some(state) => state,
                };
                Self::of_sections(workers, block, smallest, buf)
            }
        }
    }
}

/// Times one run of a task.
struct Stopwatch {
    began: Timestamp,
    load: Duration,
    map: Duration,
    write: Duration,
    /// Who did what when, where a trace is wanted.
    timeline: Option<Timeline>,
}

impl Stopwatch {
    /// Does `step`, a part of `phase`.
    fn time<T>(&mut self, phase: Phase, step: impl FnOnce() -> T) -> T {
        let began = Timestamp::now();
        let result = step();
        let interval = Interval::since(began);
        *match phase {
            Phase::Load => &mut self.load,
            Phase::Write => &mut self.write,
        } += interval.took();
        if let Some(timeline) = &mut self.timeline {
            timeline.note_phase(phase, interval);
        }
        result
    }

    fn seconds(&self) -> Seconds {
        Seconds {
            load: self.load.as_secs_f64(),
            map: self.map.as_secs_f64(),
            write: self.write.as_secs_f64(),
            total: self.began.elapsed().as_secs_f64(),
        }
    }
}

/// Where the answers of one run arrive, in block order: hands them to the sink, times what happens, and
/// keeps each worker's share. Lives on rank 0.
struct Collector<'a> {
    task: &'a Task,
    attempt: &'a Attempt,
    bound: &'a Bound,
    watch: Stopwatch,
    sink: Box<dyn Sink + 'a>,
    workers: Vec<WorkerReport>,
    failed: u64,
    first_failed: Option<String>,
    /// The MPI run that this is, if it is one.
    mpi: Option<OverMpi>,
    /// Where somebody wants to see it.
    progress: Option<Progress>,
}

impl<'a> Collector<'a> {
    /// For a run that `began`, over so many workers, with `source` to work on; `attempt` says which run of it this is.
    fn open(
        task: &'a Task,
        bound: &'a Bound,
        source: &BlockSource,
        workers: usize,
        began: Timestamp,
        attempt: &'a Attempt,
    ) -> Result<Self> {
        let zero = Duration::ZERO;
        let timeline = task.traced.then(|| Timeline::of(task, began));
        Ok(Self {
            task,
            attempt,
            bound,
            watch: Stopwatch { began, load: zero, map: zero, write: zero, timeline },
            sink: output::open(task, bound, attempt.is_first)?,
            workers: (0..workers).map(WorkerReport::here).collect(),
            failed: 0,
            first_failed: None,
            mpi: None,
            progress: Progress::of(task, source.left()),
        })
    }

    /// Times the loading of values.
    fn load<T>(&mut self, step: impl FnOnce() -> T) -> T {
        self.watch.time(Phase::Load, step)
    }

    /// Times the work.
    fn map<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let began = Timestamp::now();
        let result = step();
        self.watch.map += began.elapsed();
        result
    }

    /// Does all of the work, which loads and writes in between: what is left of its time is the map's.
    fn whole<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let (began, before) = (Timestamp::now(), self.watch.load + self.watch.write);
        let result = work(self);
        let apart = self.watch.load + self.watch.write - before;
        self.watch.map += began.elapsed().saturating_sub(apart);
        result
    }

    /// So much of the time that the work took was for writing.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    fn was_writing(&mut self, time: Duration) {
        self.watch.map = self.watch.map.saturating_sub(time);
        self.watch.write += time;
    }

    /// Lets go of what has been taken, before a time in which nothing is.
    fn flush(&mut self) -> Result<()> {
        self.watch.time(Phase::Write, || self.sink.flush())
    }

    /// Takes one piece of an answer, whose bytes are `bytes`; `new_block` when it is the first.
    ///
    /// # Errors
    /// It cannot be written, or the answer ends with a failure.
    fn take(&mut self, of: ChunkInfo, answer: BlockResult, bytes: &[u8]) -> Result<()> {
        let threads = self.mpi.as_ref().map_or(1, |over| over.threads);
        let rank = of.worker.map(|worker| worker / threads);
        self.take_of(rank, of, answer, bytes)
    }

    /// As [`Collector::take`], of what `rank` has answered.
    fn take_of(
        &mut self,
        rank: Option<usize>,
        of: ChunkInfo,
        answer: BlockResult,
        bytes: &[u8],
    ) -> Result<()> {
        if let Some(worker) = of.worker.map(|number| &mut self.workers[number]) {
            worker.blocks += u64::from(of.new_block);
            worker.items += answer.items;
            worker.bytes += answer.input_bytes;
            worker.busy_seconds += of.interval.took().as_secs_f64();
        }
        if let (Some(timeline), Some(worker), None) = (&mut self.watch.timeline, of.worker, &answer.failure) {
            let ChunkInfo { block, pid, interval, new_block, .. } = of;
            let (items, bytes) = (answer.items, answer.input_bytes);
            timeline.note(BlockEvent { worker, block, pid, interval, items, bytes, piece: 1 }, new_block);
        }
        self.pass_over(answer.failed, answer.first_failed);
        if let Some(progress) = &mut self.progress {
            progress.add(match self.task.work.unit() {
                Unit::Values if !of.new_block => 0,
                Unit::Values => of.block.len(),
                Unit::Bytes => answer.input_bytes,
            });
        }
        let chunk = ResultChunk { worker: of.worker, rank, block: of.block, items: answer.items, bytes };
        self.watch.time(Phase::Write, || self.sink.take(&chunk))?;
        answer.failure.map_or(Ok(()), Err)
    }

    /// The answer to the block that is taken is given anew, in other pieces.
    fn forget_begun(&mut self) {
        self.sink.forget_begun();
    }

    /// Notes that so many items have no answer, and why the first has none.
    fn pass_over(&mut self, failed: u64, first: Option<String>) {
        self.failed += failed;
        if self.first_failed.is_none() {
            self.first_failed = first;
        }
    }

    /// Everything has been taken, or the run has failed.
    ///
    /// # Errors
    /// That of `outcome`, or the output cannot be made to last.
    fn close(mut self, outcome: Result<()>) -> Result<Report> {
        if let Some(progress) = self.progress.take() {
            progress.end();
        }
        let finished = outcome.and_then(|()| {
            input::check_same(self.task, &self.bound.info)?;
            let mut report = Report::new(self.task.by(), std::mem::take(&mut self.workers));
            report.mpi = self.mpi.take();
            report.failed = self.failed;
            report.first_failed = self.first_failed.take();
            report.add_up(self.watch.seconds());
            self.watch.time(Phase::Write, || self.sink.finish(&report))?;
            report.reduced = self.sink.reduced();
            report.add_up(self.watch.seconds());
            report.timeline = self.watch.timeline.take().map(|timeline| timeline.close(&report));
            Ok(report)
        });
        if finished.is_err() {
            self.sink.fail();
            self.keep_trace();
        }
        finished
    }
}

impl Collector<'_> {
    /// The run has failed: what has been traced is kept, as [`Attempt::failed`].
    fn keep_trace(&mut self) {
        let Some(timeline) = self.watch.timeline.take() else { return };
        if self.mpi.is_none() && !self.workers.is_empty() {
            let mut report = Report::new(self.task.by(), std::mem::take(&mut self.workers));
            report.add_up(self.watch.seconds());
            *self.attempt.failed.borrow_mut() = Some(timeline.close(&report));
        }
    }
}

/// What a piece of an answer is part of.
struct ChunkInfo {
    /// Whose it is; `None` for what no worker has lived to answer.
    worker: Option<usize>,
    block: Block,
    /// The process that worked on it.
    pid: u32,
    /// When it did, on its host's clock.
    interval: Interval,
    /// It is the first of its block.
    new_block: bool,
}

/// The input of a task, opened.
struct Opened {
    /// When the run began.
    began: Timestamp,
    source: BlockSource,
    bound: Bound,
}

impl Opened {
    /// Opens the input of `task`; errors as [`BlockSource::open`] and [`Bound::of`].
    fn of(task: &Task) -> Result<Self> {
        let began = Timestamp::now();
        let (source, info) = BlockSource::open(task)?;
        Ok(Self { began, source, bound: Bound::of(task, info)? })
    }
}
