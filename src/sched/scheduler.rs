//! The scheduler: hands out blocks, and takes their answers in order, in bounded memory, whoever the workers are. A state
//! machine that does nothing by itself: blocks come from a source, go out through a [`Transport`], and answers go to
//! [`Results`]; tests drive it through every order of events.
//!
//! What a dead worker held is run again on a new one; a block that keeps killing workers is halved, each half on a
//! worker of its own, until the item that does it is found ([`bisect`](super::bisect)).

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::BorrowedFd;

use crate::base::error::{Error, Result};
use crate::base::fmt::counted;
use crate::base::signals;
use crate::base::time::Interval;
use crate::data::block::Block;
use crate::input::blocks::BlockSource;
use crate::job::Task;
use crate::job::schedule::ScheduleKind;
use crate::op::{BlockResult, Bound};
use crate::output::encode::Encoding;
use crate::output::open_answers::Misfits;
use crate::sched::bisect::Bisection;
use crate::sched::collector::{ChunkInfo, Results};
use crate::sched::pace::Pace;
use crate::sched::result_header::ResultHeader;
use crate::sched::sizing::BlockSizing;
use crate::sched::transport::{Event, Lost, State, Transport, Wait};

/// Workers that may die one after the other as soon as they are started.
const MOST_IDLE_DEATHS: usize = 10;

/// Bytes of answers that are set aside at the most while the one before them is awaited.
const MOST_PARKED: usize = 64 * 1024 * 1024;

/// Bytes that each of them takes besides its own.
const PARKED: usize = 256;

/// The scheduler, for one run of a task.
pub struct Scheduler<'a, T, R> {
    pub(super) task: &'a Task,
    pub(super) bound: &'a Bound,
    layout: &'a BlockSizing,
    pub(super) transport: T,
    pub(super) taker: Taker<'a, R>,
    /// The next block to be handed out.
    next: u64,
    /// The block whose answer is to be taken next.
    pub(super) head: u64,
    /// Whole answers to blocks behind `head` that have been set aside, so that workers need not wait.
    parked: BTreeMap<u64, Parked>,
    parked_bytes: usize,
    /// The blocks behind `head` that have been handed out, and whose answers have been neither taken nor set aside: in
    /// order, but for those that `head` has come before though their numbers are lower.
    rest: VecDeque<u64>,
    /// The block `head` takes its time.
    is_slow: bool,
    /// Blocks that have killed workers, and how many.
    killers: BTreeMap<u64, usize>,
    /// How `head` is looked into, where it has killed too many workers.
    pub(super) bisection: Option<Bisection>,
    pub(super) failures: Failures,
}

/// Items that have failed, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Items that have been worked on, and those of them that have no answer.
    done: u64,
    failed: u64,
    /// A block ends with a failure: nothing behind it is wanted.
    has_end: bool,
    /// Why the first of them that is known has no answer, and where its block, or a part of that, begins.
    first: Option<(u64, String)>,
}

/// An answer that has been set aside.
struct Parked {
    worker: usize,
    block: Block,
    header: ResultHeader,
    /// Its bytes, and those of its message.
    buf: Vec<u8>,
}

impl<'a, T: Transport, R: Results> Scheduler<'a, T, R> {
    /// For `task`, whose answers go to `results`. `pace` says how large blocks are, and how many workers there are.
    pub fn new(
        (task, bound, layout): (&'a Task, &'a Bound, &'a BlockSizing),
        transport: T,
        pace: Pace,
        results: &'a mut R,
    ) -> Self {
        // A command may print something else, or some of it twice, when it is run again.
        let is_packed = matches!(Encoding::of(task, bound), Encoding::Packed { .. });
        let gathers = task.work.says_who() || is_packed && task.work.runs_programs();
        Self {
            task,
            bound,
            layout,
            transport,
            taker: Taker {
                results,
                gathers,
                progress: HeadProgress::default(),
                pieces: vec![],
                idle_deaths: 0,
                pace,
            },
            next: 0,
            head: 0,
            parked: BTreeMap::new(),
            parked_bytes: 0,
            rest: VecDeque::new(),
            is_slow: false,
            killers: BTreeMap::new(),
            bisection: None,
            failures: Failures::default(),
        }
    }

    /// Runs all blocks of `source`. All workers are gone when it returns.
    ///
    /// # Errors
    /// The first thing that fails, in block order; all answers before it have been taken.
    pub fn run(mut self, source: &mut BlockSource) -> Result<()> {
        // A worker may have heard of a signal before the scheduler looked for one.
        let outcome = self.run_blocks(source).map_err(|error| signals::check().err().unwrap_or(error));
        if outcome.is_err() {
            self.keep_records();
        }
        let processes = self.transport.end(outcome.is_err());
        self.taker.results.workers_were(&processes);
        outcome
    }

    /// Runs nothing, because of `error`, which is returned. All workers are gone then.
    ///
    /// # Errors
    /// Always `error`.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    pub fn give_up(mut self, error: Error) -> Result<()> {
        self.transport.end(true);
        Err(error)
    }

    /// Keeps what is said of items that have been worked on, and whose answers will not be taken: their turn has not come.
    fn keep_records(&mut self) {
        let Self { parked, rest, transport, taker, .. } = self;
        let mut keep = |block: &Block, header: &ResultHeader, buf: &[u8]| {
            // Why the run fails is known already.
            let _ = taker.results.take_records(block, header.records_in(buf));
        };
        parked.values().for_each(|answer| keep(&answer.block, &answer.header, &answer.buf));
        for number in rest.iter().filter(|number| matches!(transport.state(**number), State::Done(_))) {
            let (header, buf) = transport.chunk(*number);
            keep(&transport.block(*number), header, buf);
        }
    }

    fn run_blocks(&mut self, source: &mut BlockSource) -> Result<()> {
        // How the input has ended. A fault in it counts when what stands before it has been answered.
        let mut end = None;
        loop {
            self.take_ready()?;
            let awaits = self.head < self.next;
            if let Some(error) = self.halted(source) {
                if !awaits || self.task.halt.is_some_and(|halt| halt.now) {
                    return Err(error);
                }
                // What has been begun is awaited, and nothing more is handed out: also where, with that, fewer of a hundred
                // have failed.
                end = Some(Err(error));
            } else if !awaits && let Some(end) = end {
                return end;
            }
            // After what has been done, which is kept.
            signals::check()?;
            if end.is_none() && self.may_hand_out(source) {
                if let Some(input) = source.waits_for().filter(|_| !self.transport.is_loaded()) {
                    // What is there is not held back while more is awaited.
                    self.taker.results.flush()?;
                    self.transport.look_after()?;
                    if self.head < self.next && self.wait(Some(input))? != Event::Input {
                        continue;
                    }
                }
                match self.load(source) {
                    Ok(Some(block)) => {
                        self.transport.submit(self.next, block)?;
                        if self.next != self.head {
                            self.rest.push_back(self.next);
                        }
                        self.next += 1;
                    }
                    Ok(None) => end = Some(Ok(())),
                    Err(Error::Interrupted(signal)) => return Err(Error::Interrupted(signal)),
                    Err(error) => end = Some(Err(error)),
                }
                continue;
            }
            self.taker.results.flush()?;
            self.transport.look_after()?;
            self.wait(None)?;
        }
    }

    /// Is another block to be handed out now?
    fn may_hand_out(&mut self, source: &BlockSource) -> bool {
        if self.failures.has_end {
            return false;
        }
        self.transport.staff(self.taker.pace.workers(source.left()));
        let ahead = self.taker.pace.ahead();
        self.transport.has_room() && (ahead == u64::MAX || self.transport.waiting() < ahead)
    }

    /// The next block, loaded.
    fn load(&mut self, source: &mut BlockSource) -> Result<Option<Block>> {
        let size = self.taker.pace.block(self.layout, source.left());
        let Self { transport, taker, .. } = self;
        taker.results.load(|| transport.load(source, size))
    }

    /// Waits until something has happened, and sees to a worker that has died.
    fn wait(&mut self, input: Option<BorrowedFd>) -> Result<Event> {
        if self.park() {
            return Ok(Event::Look);
        }
        // An answer that is there before anybody waits for it wakes nobody.
        let is_brief = (self.task.unordered || self.may_park()) && !self.rest.is_empty();
        let event = self.transport.poll(Wait { head: self.head, next: self.next, input, is_brief })?;
        match &event {
            Event::Lost(lost) => self.lost(lost)?,
            Event::LostAlone(how) => self.lost_alone(how),
            // Answers behind `head` keep their workers waiting, or would soon.
            Event::Idle => self.is_slow = true,
            Event::Look | Event::Input => {}
        }
        Ok(event)
    }

    /// Takes all answers that are ready and whose turn it is.
    fn take_ready(&mut self) -> Result<()> {
        while self.head < self.next {
            self.choose_head();
            if let Some(Parked { worker, block, header, buf }) = self.parked.remove(&self.head) {
                self.parked_bytes -= PARKED + buf.len();
                let (_, misfits) = self.taker.take(worker, block, &header, &buf)?;
                self.failures.note_misfits(misfits, block.start);
            } else if self.bisection.is_some() {
                if !self.bisect()? {
                    return Ok(());
                }
                self.transport.release(self.head);
            } else {
                match self.transport.state(self.head) {
                    State::Done(worker) => {
                        if self.take_chunk(worker, worker, self.transport.block(self.head))? {
                            continue;
                        }
                        self.transport.release(self.head);
                    }
                    State::Waiting if self.deaths(self.head) > self.task.retries => {
                        self.begin_bisection();
                        continue;
                    }
                    State::Waiting | State::With(_) => return Ok(()),
                }
            }
            self.taker.progress = HeadProgress::default();
            self.taker.pieces.clear();
            self.killers.remove(&self.head);
            self.head = self.after_head();
            self.is_slow = false;
        }
        Ok(())
    }

    /// The block whose turn it is behind `head`.
    fn after_head(&mut self) -> u64 {
        match (self.rest.front(), self.parked.keys().next()) {
            (Some(number), Some(parked)) if parked < number => *parked,
            (None, Some(parked)) => *parked,
            _ => self.rest.pop_front().unwrap_or(self.next),
        }
    }

    /// Where answers come as they are there: lets another block come before `head`, of which nothing has been taken, if its
    /// answer is there and that of `head` is not.
    fn choose_head(&mut self) {
        let has_begun = self.bisection.is_some() || self.taker.progress.chunks > 0;
        let is_done = |number: u64| matches!(self.transport.state(number), State::Done(_));
        if !self.task.unordered || has_begun || is_done(self.head) {
            return;
        }
        if let Some(at) = self.rest.iter().position(|number| is_done(*number)) {
            self.rest.push_front(self.head);
            self.head = self.rest.remove(at + 1).unwrap_or(self.head);
        }
    }

    /// Why the run is given up because too many items have failed, if they have.
    fn halted(&self, source: &BlockSource) -> Option<Error> {
        let halt = self.task.halt?;
        let Failures { done, failed, first, .. } = &self.failures;
        let sections =
            self.task.fixed_section(self.bound.info.total).filter(|_| self.bound.has_whole_blocks());
        let total = source.total().map(|total| sections.map_or(total, |section| total.div_ceil(section)));
        halt.is_reached(*failed, *done, total).then(|| {
            let first = first.as_ref().map_or(String::new(), |(_, first)| format!("; the first: {first}"));
            let items = if *failed == 1 {
                "1 item has".to_owned()
            } else {
                format!("{} have", counted(*failed, "item"))
            };
            Error::Item(format!("stopped because {items} no answer (--halt {}){first}", halt.text()))
        })
    }

    /// Takes a chunk of the answer to `head`, of which `block` is all or a part, from a worker that is `known_as` some
    /// worker. Are there more?
    pub(super) fn take_chunk(&mut self, worker: usize, known_as: usize, block: Block) -> Result<bool> {
        let (header, buf) = self.transport.chunk(self.head);
        self.taker.pace.note(block.len(), header.event().1.took(), header.goes_on());
        self.failures.note(header, buf, items(self.bound, block), block.start);
        let (more, misfits) = self.taker.take(known_as, block, header, buf)?;
        self.failures.note_misfits(misfits, block.start);
        if more {
            self.transport.resume(self.head, worker);
        }
        Ok(more)
    }

    /// Could answers be set aside?
    fn may_park(&self) -> bool {
        // By turns, a worker's blocks are its own: that others go on gains nothing.
        self.taker.pace.kind != ScheduleKind::Static
            && !self.task.unordered
            && self.parked_bytes < MOST_PARKED
    }

    /// Sets aside whole answers behind `head`, where that takes its time. Were there any?
    fn park(&mut self) -> bool {
        if !self.is_slow {
            return false;
        }
        let mut rest = std::mem::take(&mut self.rest);
        let before = rest.len();
        rest.retain(|number| !self.park_one(*number));
        let some = rest.len() < before;
        self.rest = rest;
        some
    }

    /// Sets aside the answer to a block, if it is whole and there is room for it.
    fn park_one(&mut self, number: u64) -> bool {
        let State::Done(worker) = self.transport.state(number) else { return false };
        let (header, buf) = self.transport.chunk(number);
        if header.goes_on() || !self.may_park() {
            return false;
        }
        if header.has_ended() && !self.failures.has_end {
            tracing::info!("an item has failed, and nothing more is handed out; those before it are awaited");
        }
        let block = self.transport.block(number);
        self.failures.note(header, buf, items(self.bound, block), block.start);
        let (header, buf) = (*header, buf[..header.len()].to_vec());
        self.taker.pace.note(self.transport.block(number).len(), header.event().1.took(), false);
        self.parked_bytes += PARKED + buf.len();
        self.parked.insert(number, Parked { worker, block: self.transport.block(number), header, buf });
        self.transport.release(number);
        true
    }

    /// A worker has died.
    fn lost(&mut self, Lost { worker, number, how, at_once }: &Lost) -> Result<()> {
        let Some(number) = *number else { return self.taker.idle_death(how, *at_once) };
        *self.killers.entry(number).or_default() += 1;
        if number == self.head {
            self.taker.progress.seen = 0;
            self.taker.pieces.clear();
        }
        let what = describe(self.task, &self.transport.block(number));
        if self.deaths(number) <= self.task.retries {
            tracing::warn!("{how} while it had {what}; run again on a new worker");
            self.transport.redo(number, *worker);
        } else {
            tracing::warn!("{how} while it had {what}; looked into part by part");
        }
        Ok(())
    }

    /// How many workers block `number` has killed.
    pub(super) fn deaths(&self, number: u64) -> usize {
        self.killers.get(&number).copied().unwrap_or(0)
    }
}

/// How many items a block has: of a file that commands read, a section is one.
fn items(bound: &Bound, block: Block) -> u64 {
    if bound.has_whole_blocks() { 1 } else { block.len() }
}

impl Failures {
    /// An item has failed that nobody has lived to answer.
    pub(super) fn note_killer(&mut self, item: u64, why: &str) {
        self.done += 1;
        self.failed += 1;
        if self.is_first(item) {
            self.first = Some((item, why.to_owned()));
        }
    }

    /// Is what begins at `start` before all of which it is known that an item has failed?
    fn is_first(&self, start: u64) -> bool {
        self.first.as_ref().is_none_or(|(first, _)| start < *first)
    }

    /// Items of the block that begins at `start` turn out to have no answer.
    fn note_misfits(&mut self, misfits: Misfits, start: u64) {
        self.failed += misfits.count;
        let is_first = self.first.as_ref().is_none_or(|(first, _)| start <= *first);
        if let Some(why) = misfits.first.filter(|_| is_first) {
            self.first = Some((start, why));
        }
    }

    /// A chunk of the answer to a block of `items`, which begins at `start`, has been seen for the first time.
    fn note(&mut self, header: &ResultHeader, buf: &[u8], items: u64, start: u64) {
        self.done += if header.goes_on() { 0 } else { items };
        self.has_end |= header.has_ended();
        if header.failed() > 0 {
            self.failed += header.failed();
            if self.is_first(start) {
                let answer = header.unpack(buf);
                let why = answer.first_failed.or(answer.failure.map(|error| error.to_string()));
                self.first = why.map(|why| (start, why)).or(self.first.take());
            }
        }
    }
}

/// How much of the answer to a block has been seen, and how much of that the sink has had: more, when the
/// worker that began it has died and another goes over the beginning again.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct HeadProgress {
    pub(super) seen: usize,
    pub(super) taken: usize,
    chunks: u64,
}

impl HeadProgress {
    /// `bytes` more have been seen. Returns how many of them the sink has had.
    pub(super) fn see(&mut self, bytes: usize) -> usize {
        let known = self.taken.saturating_sub(self.seen).min(bytes);
        self.seen += bytes;
        self.taken = self.taken.max(self.seen);
        known
    }
}

/// Takes the answers to one block after the other.
pub(super) struct Taker<'a, R> {
    pub(super) results: &'a mut R,
    /// Another worker may not give the same bytes again, and what is written is of whole rows.
    gathers: bool,
    /// Of the answer that is taken.
    pub(super) progress: HeadProgress,
    /// Chunks of it, where they are gathered until all of them are there.
    pub(super) pieces: Vec<u8>,
    /// Workers that died idle since the last answer.
    idle_deaths: usize,
    pace: Pace,
}

impl<R: Results> Taker<'_, R> {
    /// Takes a chunk of the answer of `worker` to `block`. Are there more? Also which items have turned out to have no answer.
    fn take(
        &mut self,
        worker: usize,
        block: Block,
        header: &ResultHeader,
        buf: &[u8],
    ) -> Result<(bool, Misfits)> {
        let (pid, interval) = header.event();
        let mut answer = header.unpack(buf);
        let (more, bytes) = (answer.more, &buf[..answer.bytes]);
        let gathers = self.gathers && (more || !self.pieces.is_empty());
        if gathers {
            self.pieces.extend_from_slice(bytes);
        }
        let progress = &mut self.progress;
        let (bytes, known) = match gathers {
            true if more => (bytes, bytes.len()),
            true => (&self.pieces[..], progress.see(self.pieces.len())),
            false => (bytes, progress.see(bytes.len())),
        };
        if known > 0 && known == bytes.len() {
            // Another worker has already given this chunk, or it comes with the last.
            (answer.items, answer.input_bytes) = (0, 0);
        }
        let of = ChunkInfo { worker: Some(worker), block, pid, interval, new_block: progress.chunks == 0 };
        progress.chunks += 1;
        self.idle_deaths = 0;
        let misfits = self.results.take(of, answer, &bytes[known..])?;
        if gathers && !more {
            self.pieces.clear();
        }
        Ok((more, misfits))
    }

    /// Takes what stands for the answer to an item that nobody has lived to give.
    pub(super) fn take_gap(&mut self, item: Block, gap: &[u8]) -> Result<()> {
        let known = self.progress.see(gap.len());
        let of =
            ChunkInfo { worker: None, block: item, pid: 0, interval: Interval::default(), new_block: false };
        self.results.take(of, BlockResult::default(), &gap[known..]).map(drop)
    }

    /// A worker has died that had nothing to do, and may never have had.
    fn idle_death(&mut self, how: &str, at_once: bool) -> Result<()> {
        self.idle_deaths += usize::from(at_once);
        if self.idle_deaths > MOST_IDLE_DEATHS {
            return Err(Error::Failed(format!(
                "{how} before it had worked on anything, as did others before it"
            )));
        }
        tracing::warn!("{how} while it had nothing to do; replaced by a new worker");
        Ok(())
    }
}

/// A block in words.
pub(super) fn describe(task: &Task, block: &Block) -> String {
    match task.work.text() {
        None if block.len() == 1 => format!("value no. {}", block.start + 1),
        None => format!("values no. {} to {}", block.start + 1, block.end),
        Some(file) => {
            let (name, Block { start, end }) = (file.name(), block);
            format!("the lines that begin in bytes {start} to {end} of {}", name.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;
    use crate::job::Job;
    use crate::op::record::Record;
    use crate::sched::transport::fake::{Choices, Fake, Faults};

    /// Keeps what it takes.
    #[derive(Default)]
    struct Kept {
        text: String,
        items: u64,
        gaps: u64,
        /// Chunks that it takes before the disk is full.
        room: Option<usize>,
    }

    impl Results for Kept {
        fn load<T>(&mut self, step: impl FnOnce() -> T) -> T {
            step()
        }

        fn take(&mut self, _of: ChunkInfo, answer: BlockResult, bytes: &[u8]) -> Result<Misfits> {
            if let Some(room) = &mut self.room {
                *room = room.checked_sub(1).ok_or_else(|| Error::Failed("the disk is full".into()))?;
            }
            self.text.push_str(std::str::from_utf8(bytes).unwrap());
            self.items += answer.items;
            answer.failure.map_or(Ok(Misfits::default()), Err)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }

        fn pass_over(&mut self, failed: u64, _first: Option<String>) {
            self.gaps += failed;
        }

        fn take_record(&mut self, _record: &Record) -> Result<()> {
            Ok(())
        }

        fn take_records(&mut self, _block: &Block, _records: &[u8]) -> Result<()> {
            Ok(())
        }

        fn forget_begun(&mut self) {}

        fn workers_were(&mut self, _processes: &[Option<u32>]) {}
    }

    struct Case {
        items: u64,
        workers: usize,
        slots: usize,
        schedule: &'static str,
        keep_going: bool,
        flags: &'static [&'static str],
        long: fn(u64) -> bool,
        faults: Faults,
        room: Option<usize>,
    }

    const CASE: Case = Case {
        items: 5,
        workers: 2,
        slots: 3,
        schedule: "dynamic,1",
        keep_going: false,
        flags: &[],
        long: |_| false,
        faults: Faults { deaths: 0, killer: None, fails: None, misses: None, stops: false },
        room: None,
    };

    /// Runs a case in every order; `check` is given how each has ended. Returns how many orders there are.
    fn in_every_order(case: &Case, check: impl Fn(&Result<()>, &Kept)) -> usize {
        let range = format!("0..{}", case.items);
        let mut words = vec!["parpy", "map", "--range", &range, "-f", "x", "--schedule", case.schedule, "-q"];
        words.extend(case.keep_going.then_some("-k"));
        words.extend(case.flags);
        let cli = Cli::parse_from(words);
        let task = Job::from_cli(&cli, |_| Ok(String::new())).unwrap().tasks.remove(0);
        let choices = Rc::new(RefCell::new(Choices::default()));
        let mut count = 0;
        loop {
            let (mut source, info) = BlockSource::open(&task).unwrap();
            let bound = Bound::of(&task, info).unwrap();
            let layout = BlockSizing::one_by_one(&task, &bound, case.workers, source.left(), 1);
            let transport = Fake::new(choices.clone(), case.faults, (case.workers, case.slots), case.long);
            let mut kept = Kept { room: case.room, ..Kept::default() };
            let pace = Pace::new(task.schedule.kind.unwrap(), case.workers, None);
            let of = (&task, &bound, &layout);
            let outcome = Scheduler::new(of, transport, pace, &mut kept).run(&mut source);
            check(&outcome, &kept);
            count += 1;
            if !choices.borrow_mut().turn() {
                return count;
            }
        }
    }

    fn numbers(items: impl Iterator<Item = u64>) -> String {
        items.map(|item| format!("{item}\n")).collect()
    }

    #[test]
    fn answers_come_once_and_in_order_however_workers_finish() {
        let mut orders = 0;
        for (workers, slots) in [(1, 1), (1, 3), (2, 2), (2, 3), (3, 4)] {
            for long in [|_| false, |number| number % 2 == 0, |_| true] {
                for schedule in ["dynamic,1", "dynamic,2", "guided"] {
                    let case = Case { workers, slots, schedule, long, ..CASE };
                    orders += in_every_order(&case, |outcome, kept| {
                        assert!(outcome.is_ok());
                        assert_eq!(kept.text, numbers(0..5));
                        assert_eq!(kept.items, 5);
                    });
                }
            }
        }
        assert!(orders > 1000, "{orders}");
    }

    #[test]
    fn without_an_order_answers_come_once_however_workers_finish_and_die() {
        let mut orders = 0;
        let other = std::cell::Cell::new(0);
        for (workers, slots) in [(1, 2), (2, 3), (3, 4)] {
            for long in [|_| false, |number| number % 2 == 0] {
                for (schedule, deaths) in [("dynamic,1", 0), ("dynamic,1", 1), ("dynamic,2", 1)] {
                    let faults = Faults { deaths, ..Faults::default() };
                    let case = Case {
                        items: 4,
                        workers,
                        slots,
                        schedule,
                        long,
                        faults,
                        flags: &["--unordered"],
                        ..CASE
                    };
                    orders += in_every_order(&case, |outcome, kept| {
                        assert!(outcome.is_ok());
                        let mut told: Vec<u64> =
                            kept.text.lines().map(|line| line.parse().unwrap()).collect();
                        other.set(other.get() + usize::from(!told.is_sorted()));
                        told.sort_unstable();
                        assert_eq!((told, kept.items), (vec![0, 1, 2, 3], 4));
                    });
                }
            }
        }
        assert!(orders > 1000 && other.get() > 100, "{orders} {}", other.get());
    }

    #[test]
    fn a_run_is_given_up_when_enough_has_failed() {
        let case = Case { items: 5, schedule: "dynamic,1", ..CASE };
        for fails in 0..4 {
            let faults = Faults { fails: Some(fails), ..Faults::default() };
            for flags in [&["--halt", "soon,fail=1"], &["--halt", "now,fail=1"]] {
                in_every_order(&Case { faults, flags, ..case }, |outcome, kept| {
                    assert!(matches!(outcome, Err(Error::Item(_))), "{outcome:?}");
                    assert!(numbers(0..fails).starts_with(&kept.text));
                    let is_soon = flags[1].starts_with("soon");
                    assert!(!is_soon || kept.text == numbers(0..fails), "{}", kept.text);
                });
            }
        }
    }

    #[test]
    fn what_ends_a_run_may_be_the_last_that_was_awaited() {
        for misses in 0..5 {
            let faults = Faults { misses: Some(misses), ..Faults::default() };
            for (workers, slots) in [(1, 1), (1, 2), (2, 3)] {
                for flags in [&["--halt", "soon,fail=1"], &["--halt", "now,fail=1"]] {
                    let case = Case { workers, slots, faults, flags, keep_going: true, ..CASE };
                    in_every_order(&case, |outcome, kept| {
                        let why = format!("the first: {misses} misses");
                        assert!(matches!(outcome, Err(Error::Item(text)) if text.ends_with(&why)));
                        assert!(numbers(0..5).starts_with(&kept.text));
                        assert!(kept.items > misses || flags[1].starts_with("now"), "{}", kept.text);
                    });
                }
            }
        }
    }

    #[test]
    fn nothing_is_lost_or_doubled_when_workers_die() {
        let mut orders = 0;
        for (workers, slots) in [(1, 2), (2, 2), (2, 3)] {
            for long in [|_| false, |_| true] {
                for (schedule, deaths) in [("dynamic,1", 1), ("dynamic,2", 2)] {
                    let faults = Faults { deaths, ..Faults::default() };
                    let case =
                        Case { items: 4, workers, slots, schedule, long, faults, keep_going: true, ..CASE };
                    orders += in_every_order(&case, |outcome, kept| {
                        // An item that has seen two workers die is given up, and never one that has seen one die.
                        let text: String = kept.text.replace("\n\n", "\n");
                        let told: Vec<u64> =
                            text.lines().filter(|l| !l.is_empty()).map(|l| l.parse().unwrap()).collect();
                        assert!(told.is_sorted() && told.len() as u64 + kept.gaps == 4, "{:?}", kept.text);
                        assert!(outcome.is_ok());
                        assert!(deaths == 2 || kept.gaps == 0);
                    });
                }
            }
        }
        assert!(orders > 1000, "{orders}");
    }

    #[test]
    fn the_item_that_kills_is_found() {
        for schedule in ["dynamic,1", "dynamic,2", "dynamic,4"] {
            for long in [|_| false, |_| true] {
                for killer in 0..4 {
                    let faults = Faults { killer: Some(killer), ..Faults::default() };
                    let case = Case { items: 4, schedule, long, faults, ..CASE };
                    in_every_order(&Case { keep_going: true, ..case }, |outcome, kept| {
                        assert!(outcome.is_ok());
                        let gap = |item| if item == killer { "\n".into() } else { format!("{item}\n") };
                        assert_eq!(kept.text, (0..4).map(gap).collect::<String>());
                        assert_eq!((kept.items, kept.gaps), (3, 1));
                    });
                    in_every_order(&case, |outcome, kept| {
                        assert!(matches!(outcome, Err(Error::Item(_))));
                        assert_eq!(kept.text, numbers(0..killer));
                    });
                }
            }
        }
    }

    #[test]
    fn the_first_failure_in_order_ends_the_run_and_what_stands_before_it_stays() {
        for schedule in ["dynamic,1", "dynamic,2"] {
            for fails in 0..4 {
                let faults = Faults { fails: Some(fails), deaths: 1, ..Faults::default() };
                in_every_order(&Case { items: 4, schedule, faults, ..CASE }, |outcome, kept| {
                    assert!(matches!(outcome, Err(Error::Item(text)) if *text == format!("{fails} fails")));
                    assert_eq!(kept.text, numbers(0..fails));
                });
            }
        }
    }

    #[test]
    fn a_full_disk_and_a_signal_end_the_run_at_any_moment() {
        let all = numbers(0..5);
        for room in 0..5 {
            in_every_order(&Case { room: Some(room), ..CASE }, |outcome, kept| {
                assert!(matches!(outcome, Err(Error::Failed(_))));
                assert_eq!(kept.text, numbers(0..room as u64));
            });
        }
        let faults = Faults { stops: true, ..Faults::default() };
        in_every_order(&Case { items: 3, faults, ..CASE }, |outcome, kept| match outcome {
            Ok(()) => assert_eq!(kept.text, numbers(0..3)),
            Err(error) => {
                assert!(matches!(error, Error::Interrupted(15)));
                assert!(all.starts_with(&kept.text));
            }
        });
    }
}
