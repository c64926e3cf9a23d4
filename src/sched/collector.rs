//! Where the answers of a run arrive, in block order: handed to the sink, timed, and counted for each worker.

use std::time::Duration;

use crate::base::error::Result;
use crate::base::time::{Interval, Timestamp};
use crate::data::block::Block;
use crate::input;
use crate::input::blocks::BlockSource;
use crate::job::output::Output;
use crate::job::{Task, Unit};
use crate::observe::progress::Progress;
use crate::observe::report::{OverMpi, Report, Seconds, WorkerReport};
use crate::observe::trace::{BlockEvent, Phase, Timeline};
use crate::op::record::Record;
use crate::op::{BlockResult, Bound};
use crate::output::items::ItemFiles;
use crate::output::open_answers::{Misfits, OpenAnswers, Piece};
use crate::output::{self, ResultChunk, Sink};
use crate::sched::Attempt;

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
pub(super) struct Collector<'a> {
    pub(super) task: &'a Task,
    attempt: &'a Attempt,
    bound: &'a Bound,
    watch: Stopwatch,
    pub(super) sink: Box<dyn Sink + 'a>,
    /// Where answers get their type, where nobody has said it.
    open: Option<OpenAnswers<'a>>,
    pub(super) workers: Vec<WorkerReport>,
    failed: u64,
    first_failed: Option<String>,
    /// The MPI run that this is, if it is one.
    pub(super) mpi: Option<OverMpi>,
    /// Where somebody wants to see it.
    progress: Option<Progress>,
    /// What is written of single items.
    items: Option<ItemFiles>,
}

impl<'a> Collector<'a> {
    /// For a run that `began`, over so many workers, with `source` to work on; `attempt` says which run of it this is.
    pub(super) fn open(
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
            open: OpenAnswers::of(task, bound),
            workers: (0..workers).map(WorkerReport::here).collect(),
            failed: 0,
            first_failed: None,
            mpi: None,
            progress: Progress::of(task, source.left()),
            // They are of the run that the answers are of: of the last one in a file, of the first where they are printed.
            items: match attempt.is_first || matches!(task.output, Output::File(..)) {
                true => ItemFiles::create(task, bound)?,
                false => None,
            },
        })
    }

    /// Does all of the work, which loads and writes in between: what is left of its time is the map's.
    pub(super) fn whole<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let (began, before) = (Timestamp::now(), self.watch.load + self.watch.write);
        let result = work(self);
        let apart = self.watch.load + self.watch.write - before;
        self.watch.map += began.elapsed().saturating_sub(apart);
        result
    }

    /// So much of the time that the work took was for writing.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    pub(super) fn was_writing(&mut self, time: Duration) {
        self.watch.map = self.watch.map.saturating_sub(time);
        self.watch.write += time;
    }

    /// As [`Collector::take`], of what `rank` has answered.
    pub(super) fn take_of(
        &mut self,
        rank: Option<usize>,
        of: ChunkInfo,
        mut answer: BlockResult,
        bytes: &[u8],
    ) -> Result<Misfits> {
        let chunk = ResultChunk { worker: of.worker, rank, block: of.block, items: answer.items, bytes };
        let fitted = self.open.as_mut().map(|open| {
            let sink = &mut *self.sink;
            self.watch.time(Phase::Write, || open.fit(&chunk, &mut answer, sink)).unwrap_or_else(|error| {
                // What is said of single items is kept all the same.
                answer.failure = Some(error);
                Default::default()
            })
        });
        if let Some(number) = of.worker {
            // One more than there may be answers parts of what has killed others while all are at work.
            if number == self.workers.len() {
                self.workers.push(WorkerReport::here(number));
            }
            let worker = &mut self.workers[number];
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
        let failed = answer.failed;
        self.pass_over(failed, answer.first_failed);
        if let Some(progress) = &mut self.progress {
            let count = match self.task.work.unit() {
                Unit::Values if !of.new_block => 0,
                Unit::Values => of.block.len(),
                Unit::Bytes => answer.input_bytes,
            };
            progress.add(count, failed);
        }
        if let Some(items) = &mut self.items {
            if of.new_block {
                items.begin(&of.block);
            }
            items.take(&answer.records)?;
        }
        let sink = &mut self.sink;
        let misfits = self.watch.time(Phase::Write, || match fitted {
            None => sink.take(&chunk).map(|()| Misfits::default()),
            Some((pieces, misfits)) => take_all(sink, &pieces).map(|()| misfits),
        })?;
        answer.failure.map_or(Ok(misfits), Err)
    }

    /// Everything has been taken, or the run has failed.
    ///
    /// # Errors
    /// That of `outcome`, or the output cannot be made to last.
    pub(super) fn close(mut self, outcome: Result<()>) -> Result<Report> {
        if let Some(progress) = self.progress.take() {
            progress.end();
        }
        let outcome = match self.items.as_mut().map(ItemFiles::flush) {
            Some(flushed) => outcome.and(flushed),
            None => outcome,
        };
        let finished = outcome.and_then(|()| {
            input::check_same(self.task, &self.bound.info)?;
            self.end_open()?;
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
            // Why the run has failed is known already.
            let _ = self.end_open();
            self.sink.fail();
            self.keep_trace();
        }
        finished
    }
}

/// Hands pieces to a sink.
fn take_all(sink: &mut Box<dyn Sink + '_>, pieces: &[Piece]) -> Result<()> {
    pieces.iter().try_for_each(|piece| sink.take(&piece.chunk()))
}

impl Collector<'_> {
    /// Answers whose type is open are as those that there are say.
    fn end_open(&mut self) -> Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let sink = &mut self.sink;
        self.watch.time(Phase::Write, || {
            let pieces = open.end(&mut **sink)?;
            take_all(sink, &pieces)
        })
    }

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

/// What takes the answers of a run, in block order.
pub(super) trait Results {
    /// Times the loading of values.
    fn load<T>(&mut self, step: impl FnOnce() -> T) -> T;

    /// Takes one chunk of an answer, whose bytes are `bytes`; `new_block` when it is the first. Returns which items have
    /// failed besides those that `answer` says have.
    ///
    /// # Errors
    /// It cannot be written, or the answer ends with a failure.
    fn take(&mut self, of: ChunkInfo, answer: BlockResult, bytes: &[u8]) -> Result<Misfits>;

    /// Lets go of what has been taken, before a time in which nothing is.
    ///
    /// # Errors
    /// It cannot be written.
    fn flush(&mut self) -> Result<()>;

    /// Notes that `failed` items have no answer, and why the first has none.
    fn pass_over(&mut self, failed: u64, first: Option<String>);

    /// Takes what is said of an item that nobody has lived to answer.
    ///
    /// # Errors
    /// It cannot be written.
    fn take_record(&mut self, record: &Record) -> Result<()>;

    /// Takes what is said of the items of a block whose answer nobody takes any more.
    ///
    /// # Errors
    /// It cannot be written.
    fn take_records(&mut self, block: &Block, records: &[u8]) -> Result<()>;

    /// The answer to the block that is taken is given anew, in other chunks.
    fn forget_begun(&mut self);

    /// All workers have ended: those that there were, and the process of each that had one of its own.
    fn workers_were(&mut self, processes: &[Option<u32>]);
}

impl Results for Collector<'_> {
    fn load<T>(&mut self, step: impl FnOnce() -> T) -> T {
        self.watch.time(Phase::Load, step)
    }

    fn take(&mut self, of: ChunkInfo, answer: BlockResult, bytes: &[u8]) -> Result<Misfits> {
        let threads = self.mpi.as_ref().map_or(1, |over| over.threads);
        let rank = of.worker.map(|worker| worker / threads);
        self.take_of(rank, of, answer, bytes)
    }

    fn flush(&mut self) -> Result<()> {
        let items = &mut self.items;
        let sink = &mut self.sink;
        self.watch.time(Phase::Write, || sink.flush().and(items.as_mut().map_or(Ok(()), ItemFiles::flush)))
    }

    fn pass_over(&mut self, failed: u64, first: Option<String>) {
        self.failed += failed;
        if self.first_failed.is_none() {
            self.first_failed = first;
        }
    }

    fn take_record(&mut self, record: &Record) -> Result<()> {
        self.items.as_mut().map_or(Ok(()), |items| items.put(record))
    }

    fn take_records(&mut self, block: &Block, records: &[u8]) -> Result<()> {
        let Some(items) = &mut self.items else { return Ok(()) };
        items.begin(block);
        items.take(records)
    }

    fn forget_begun(&mut self) {
        self.sink.forget_begun();
    }

    fn workers_were(&mut self, processes: &[Option<u32>]) {
        self.workers.truncate(processes.len().max(1));
        for (worker, process) in self.workers.iter_mut().zip(processes) {
            worker.pid = process.unwrap_or(worker.pid);
        }
    }
}

/// What a piece of an answer is part of.
pub(super) struct ChunkInfo {
    /// Whose it is; `None` for what no worker has lived to answer.
    pub(super) worker: Option<usize>,
    pub(super) block: Block,
    /// The process that worked on it.
    pub(super) pid: u32,
    /// When it did, on its host's clock.
    pub(super) interval: Interval,
    /// It is the first of its block.
    pub(super) new_block: bool,
}
