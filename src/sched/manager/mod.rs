//! The scheduler of one node: a manager that hands out blocks and collects results in order, and workers that are
//! threads or forked processes. Patterns differ in who the workers are ([`spawn`]) and in how long they live.
//!
//! Manager and workers meet in the [`ring`]. Each side sleeps when it has nothing to do and is woken by a byte through
//! a socket; when a worker process dies its end of the socket closes, so the manager learns of it at once. What a dead
//! worker held is run again on a new one ([`deaths`]); a block that keeps killing workers is halved, each half on a
//! worker of its own, until the item that does it is found ([`bisect`]).

mod bisect;
mod deaths;
pub mod ring;
pub mod spawn;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::hint;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use deaths::no_worker;
use ring::{Ring, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::WaitStatus;
use spawn::{ForkSpawner, Spawn, WorkerHandle};
use worker::{Start, Worker};

use crate::base::error::{Error, Result, plain};
use crate::base::signals;
use crate::data::block::Block;
use crate::input::blocks::BlockSource;
use crate::job::Task;
use crate::job::schedule::ScheduleKind;
use crate::observe::report::Report;
use crate::op::Bound;
use crate::sched::{Attempt, BlockSizing, ChunkInfo, Collector, Opened};

/// How long workers stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// For the whole run.
    Run,
    /// For one block.
    Block,
}

/// How long the manager sleeps at the most while it waits for many small answers at once: not so long that
/// anybody would notice, and long enough for thousands of them.
const POLL_TIMEOUT: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// How often to look for an answer before going to sleep.
const SPIN_LIMIT: usize = 100;

/// The number of a manager that works itself.
const OWN: usize = 0;

/// The context of a task that manager and workers share.
#[derive(Clone, Copy)]
pub struct TaskContext<'a> {
    /// What is to be done.
    pub task: &'a Task,
    /// What is known of the input, and what follows from it.
    pub bound: &'a Bound,
    /// How large blocks are.
    pub layout: &'a BlockSizing,
    /// Where blocks and answers are.
    pub ring: &'a Ring,
}

/// The manager, for one run of a task.
pub struct Manager<'a, H: Spawn> {
    context: TaskContext<'a>,
    spawn: H,
    stay: Lifetime,
    /// The manager's ends of the workers, by number; behind the last a place for one that is started for a
    /// single block.
    handles: Vec<Option<WorkerHandle>>,
    /// Workers that are there.
    alive: usize,
    /// Places up to the last that has ever had a worker.
    used: usize,
    /// Places that have had a worker, or are the manager's own, when workers stay.
    started: usize,
    /// The manager's own share of the work, where it is itself worker 0.
    own: Option<Worker<'a>>,
    /// The first block that it may look at.
    own_from: u64,
    /// It is in the middle of a block whose answer goes on: it can begin no other.
    own_is_open: bool,
    /// Workers that there may be: fewer than asked for when the system has no room for more.
    most: usize,
    /// The next block to be handed out.
    next: u64,
    /// The block whose answer is to be taken next.
    head: u64,
    /// Of the answer to `head`.
    progress: HeadProgress,
    /// Pieces of an answer that says who has given it, until all of them are there: another worker would not give the same
    /// bytes again.
    pieces: Vec<u8>,
    /// Blocks that a worker must be started for.
    waiting: VecDeque<u64>,
    /// The block that the worker in each place is to begin with, because the one before it died with it. The
    /// same place: another could have to wait for what this one does by turns.
    redo: Vec<Option<u64>>,
    /// Blocks that have killed workers, and how many.
    killers: BTreeMap<u64, usize>,
    /// Workers that died idle since the last answer.
    idle_deaths: usize,
    /// The manager has slept for a moment in the hope of many answers at once; next time it sleeps for one.
    has_napped: bool,
    /// The number of the worker in the last place.
    helper: usize,
    /// How that has ended.
    alone: Option<WaitStatus>,
}

/// How much of the answer to a block has been seen, and how much of that the sink has had: more, when the
/// worker that began it has died and another goes over the beginning again.
#[derive(Debug, Default, Clone, Copy)]
struct HeadProgress {
    seen: usize,
    taken: usize,
    chunks: u64,
}

impl HeadProgress {
    /// So many more bytes have been seen. Returns how many of them the sink has had.
    fn see(&mut self, bytes: usize) -> usize {
        let known = self.taken.saturating_sub(self.seen).min(bytes);
        self.seen += bytes;
        self.taken = self.taken.max(self.seen);
        known
    }
}

impl<'a, H: Spawn> Manager<'a, H> {
    /// A manager without workers.
    pub fn new(context: TaskContext<'a>, spawn: H, stay: Lifetime) -> Self {
        let workers = context.layout.workers;
        Self {
            context,
            spawn,
            stay,
            handles: (0..=workers).map(|_| None).collect(),
            alive: 0,
            used: 1,
            started: 0,
            own: None,
            own_from: 0,
            own_is_open: false,
            most: workers,
            next: 0,
            head: 0,
            progress: HeadProgress::default(),
            pieces: Vec::new(),
            waiting: VecDeque::new(),
            redo: vec![None; workers],
            killers: BTreeMap::new(),
            idle_deaths: 0,
            has_napped: false,
            helper: 0,
            alone: None,
        }
    }

    /// Makes the manager one of its workers: for threads, over which it need not watch.
    ///
    /// # Errors
    /// It cannot open the file.
    pub fn works(mut self) -> Result<Self> {
        self.own = Some(Worker::new(self.context, OWN, None).ready()?);
        self.started = 1;
        Ok(self)
    }

    /// Runs all blocks of `source`, and hands the answers to `collector`. All workers are gone when it returns.
    ///
    /// # Errors
    /// The first thing that fails, in block order; all answers before it have been taken.
    pub fn run(mut self, source: &mut BlockSource, collector: &mut Collector) -> Result<()> {
        source.limit_texts(BlockSizing::enough_texts(self.context.ring.slots()));
        if self.by_turns() {
            self.context.ring.set_turns(self.most);
        }
        // A worker may have heard of a signal before the manager looked for one.
        let outcome =
            self.run_blocks(source, collector).map_err(|error| signals::check().err().unwrap_or(error));
        match outcome {
            Ok(()) => self.context.ring.close(),
            Err(_) => {
                self.context.ring.stop();
                self.handles.iter_mut().flatten().for_each(WorkerHandle::kill);
            }
        }
        self.dismiss();
        collector.workers.truncate(self.used);
        outcome
    }

    fn run_blocks(&mut self, source: &mut BlockSource, collector: &mut Collector) -> Result<()> {
        // How the input has ended. A fault in it counts when what stands before it has been answered.
        let mut end = None;
        loop {
            signals::check()?;
            self.take_ready(collector)?;
            if self.head == self.next
                && let Some(end) = end
            {
                return end;
            }
            if end.is_none() && self.next - self.head < self.context.ring.slots() {
                if let Some(input) = source.waits_for() {
                    // What is there is not held back while more is awaited.
                    collector.flush()?;
                    self.look_after_workers(collector)?;
                    if self.works_itself() {
                        continue;
                    }
                    if self.head < self.next && !self.sleep(self.head, None, Some(input))? {
                        continue;
                    }
                }
                match self.next_block(source, collector) {
                    Ok(Some(block)) => self.hand_out(block, collector)?,
                    Ok(None) => end = Some(Ok(())),
                    Err(Error::Interrupted(signal)) => return Err(Error::Interrupted(signal)),
                    Err(error) => end = Some(Err(error)),
                }
                continue;
            }
            collector.flush()?;
            self.look_after_workers(collector)?;
            self.wait()?;
        }
    }

    /// The next block; its values, where they travel, are put into its slot.
    fn next_block(&self, source: &mut BlockSource, collector: &mut Collector) -> Result<Option<Block>> {
        let TaskContext { task, layout, ring, .. } = self.context;
        let size = match (task.schedule.kind, source.left()) {
            // As OpenMP: in proportion to what is left, and to what one worker would get of it.
            (Some(ScheduleKind::Guided), Some(left)) => {
                (left / (2 * layout.workers as u64)).clamp(layout.smallest, layout.block)
            }
            _ => layout.block,
        };
        collector.load(|| source.next_block(size, ring.input(self.next)))
    }

    /// Hands out a block.
    fn hand_out(&mut self, block: Block, collector: &mut Collector) -> Result<()> {
        let (number, ring) = (self.next, self.context.ring);
        self.next += 1;
        match self.stay {
            Lifetime::Block => {
                ring.hold(number, block, 0);
                self.waiting.push_back(number);
                self.start_for_waiting(collector)?;
            }
            Lifetime::Run => {
                // The first block is for the manager, where that works itself.
                if self.started < self.most && (self.own.is_none() || number > 0) {
                    let worker = self.started;
                    let start = Start { worker, number: worker, held: None, once: false, from: self.head };
                    match self.start(start, collector) {
                        Ok(()) => self.started += 1,
                        Err(error) => self.make_do(&error)?,
                    }
                }
                ring.post(number, block);
                self.wake_for(number);
            }
        }
        Ok(())
    }

    /// Wakes a worker that sleeps for the block just posted.
    fn wake_for(&mut self, number: u64) {
        if !self.context.ring.any_sleeps() {
            return;
        }
        let workers = match self.by_turns() {
            true => number as usize % self.most..number as usize % self.most + 1,
            false => 0..self.most,
        };
        for worker in workers {
            if self.context.ring.must_wake(worker) {
                self.wake(worker);
                return;
            }
        }
    }

    fn by_turns(&self) -> bool {
        self.context.task.schedule.kind == Some(ScheduleKind::Static)
    }

    fn wake(&mut self, worker: usize) {
        if let Some(handle) = &mut self.handles[worker] {
            // Full, it rings already; broken, the worker has died, which the next wait will notice.
            let _ = handle.waker.write(&[1]);
        }
    }

    /// Starts a worker in a place of the scheduler.
    ///
    /// # Errors
    /// The system has no room for it.
    fn start(&mut self, start: Start, collector: &mut Collector) -> io::Result<()> {
        let handle = self.spawn.spawn(start, &self.handles)?;
        self.used = self.used.max(start.worker + 1);
        if let Some(pid) = handle.process {
            collector.workers[start.worker].pid = pid.as_raw_nonzero().get() as u32;
            tracing::debug!("worker {} is process {pid}", start.worker);
        }
        self.handles[start.worker] = Some(handle);
        self.alive += 1;
        Ok(())
    }

    /// Takes all answers that are ready and whose turn it is.
    fn take_ready(&mut self, collector: &mut Collector) -> Result<()> {
        while self.head < self.next {
            match self.context.ring.state(self.head) {
                State::Done(worker) => {
                    let block = self.context.ring.block(self.head);
                    if !self.take_chunk(worker, block, collector)? {
                        self.free_head();
                    } else if let Some(own) = &mut self.own
                        && worker == OWN
                        && self.context.ring.take_more(self.head, OWN)
                    {
                        self.own_is_open = own.chunk(self.head, OWN, false);
                    }
                }
                State::Waiting if self.deaths(self.head) > self.context.task.retries => {
                    self.find_killer(collector)?;
                    self.free_head();
                }
                State::Waiting | State::With(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Takes a piece of the answer to `head`. Are there more?
    fn take_chunk(&mut self, worker: usize, block: Block, collector: &mut Collector) -> Result<bool> {
        let ring = self.context.ring;
        let (header, buf) = ring.answer(self.head);
        let (pid, interval) = header.event();
        let mut answer = header.unpack(buf);
        let (more, bytes) = (answer.more, &buf[..answer.bytes]);
        let gathers = self.context.task.work.says_who() && (more || !self.pieces.is_empty());
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
            // Another worker has already given this piece, or it comes with the last.
            (answer.items, answer.input_bytes) = (0, 0);
        }
        let of = ChunkInfo {
            worker: Some(if worker == self.context.layout.workers { self.helper } else { worker }),
            block,
            pid,
            interval,
            new_block: progress.chunks == 0,
        };
        progress.chunks += 1;
        self.idle_deaths = 0;
        collector.take(of, answer, &bytes[known..])?;
        if gathers && !more {
            self.pieces.clear();
        }
        if more {
            ring.order_more(self.head, worker);
            if ring.must_wake(worker) {
                self.wake(worker);
            }
        }
        Ok(more)
    }

    fn free_head(&mut self) {
        self.context.ring.free(self.head);
        self.progress = HeadProgress::default();
        self.killers.remove(&self.head);
        self.head += 1;
        self.has_napped = false;
    }

    /// Does a block itself, where the manager is a worker and there is one for it.
    fn works_itself(&mut self) -> bool {
        let Some(own) = self.own.as_mut().filter(|_| !self.own_is_open) else { return false };
        let Some(block) = self.context.ring.take(OWN, &mut self.own_from) else { return false };
        self.own_is_open = own.chunk(block, OWN, true);
        true
    }

    /// Waits until the answer whose turn it is is ready, or something else has happened.
    fn wait(&mut self) -> Result<()> {
        let (ring, head) = (self.context.ring, self.head);
        if self.works_itself() {
            return Ok(());
        }
        let is_done = || matches!(ring.state(head), State::Done(_));
        for _ in 0..SPIN_LIMIT {
            if is_done() {
                return Ok(());
            }
            hint::spin_loop();
        }
        let middle = head + (self.next - head) / 2;
        // One sleep at a time: what has woken the manager may be a worker's death, to be seen to first.
        self.has_napped = !self.has_napped && self.stay == Lifetime::Run && middle > head;
        let (number, most) = if self.has_napped { (middle, Some(&POLL_TIMEOUT)) } else { (head, None) };
        self.sleep(number, most, None).map(|_| ())
    }

    /// Sleeps until block `number` is done, a worker has died, a signal has come, there is `input`, or the
    /// time is over. Returns whether there is input.
    fn sleep(&mut self, number: u64, most: Option<&Timespec>, input: Option<BorrowedFd>) -> Result<bool> {
        let ring = self.context.ring;
        ring.manager_sleeps(number);
        if matches!(ring.state(number), State::Done(_)) {
            ring.manager_wakes();
            return Ok(false);
        }
        let there: Vec<usize> = (0..self.handles.len()).filter(|i| self.handles[*i].is_some()).collect();
        let bells = self.handles.iter().flatten();
        let mut descriptors: Vec<PollFd> =
            bells.map(|handle| PollFd::new(&handle.waker, PollFlags::IN)).collect();
        descriptors.extend(input.as_ref().map(|input| PollFd::new(input, PollFlags::IN)));
        let signals = signals::descriptor();
        descriptors.extend(signals.as_ref().map(|signals| PollFd::new(signals, PollFlags::IN)));
        let heard = match poll(&mut descriptors, most) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(Error::Failed(format!("cannot wait for workers: {}", plain(&errno.into())))),
        };
        let rung: Vec<bool> = descriptors.iter().map(|d| !d.revents().is_empty()).collect();
        ring.manager_wakes();
        heard?;
        signals::check()?;
        let has_input = input.is_some() && rung[there.len()];
        for (worker, _) in there.into_iter().zip(rung).filter(|(_, rung)| *rung) {
            if self.handles[worker].as_mut().is_some_and(WorkerHandle::has_ended) {
                self.has_ended(worker)?;
            }
        }
        Ok(has_input)
    }
}

/// Runs `task` once over worker processes that stay so long, in blocks of `layout`.
///
/// # Errors
/// The first thing that fails, in block order; all answers before it have been written.
pub fn over_processes(
    task: &Task,
    layout: &BlockSizing,
    opened: Opened,
    stay: Lifetime,
    attempt: &Attempt,
) -> Result<Report> {
    let Opened { began, mut source, bound } = opened;
    let ring = new_ring(layout)?;
    let context = TaskContext { task, bound: &bound, layout, ring: &ring };
    let spawn = ForkSpawner::new(context)?;
    let mut collector = Collector::open(task, &bound, &source, layout.workers, began, attempt)?;
    let outcome = collector.whole(|collector| Manager::new(context, spawn, stay).run(&mut source, collector));
    collector.close(outcome)
}

/// Memory for the blocks and results in flight.
///
/// # Errors
/// The system gives no such memory.
pub fn new_ring(layout: &BlockSizing) -> Result<Ring> {
    Ring::new(layout)
        .map_err(|e| Error::Failed(format!("cannot get memory to share with workers: {}", plain(&e))))
}
