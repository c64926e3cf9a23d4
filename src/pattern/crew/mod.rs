//! A crew: one lead that hands out blocks and takes answers in order, and workers that are threads or
//! forked processes. What patterns differ in is who the workers are ([`hire`]) and how long they stay.
//!
//! Lead and workers meet in the [`ring`]. Each side sleeps when it has nothing to do and is woken by a
//! byte through a socket, the bell; when a worker process dies, its bell ends, so the lead learns of it at
//! once. What a dead worker held is run again on a new one; a block that keeps killing workers is halved,
//! each half on a worker of its own, until the item that does it is found ([`alone`]).

mod alone;
pub mod hire;
pub mod ring;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::hint;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::WaitStatus;
use signal_hook::consts::SIGKILL;
use signal_hook::low_level::signal_name;

use crate::error::{Error, Result, plain};
use crate::input::{Block, Facts, Feed};
use crate::interrupt;
use crate::job::{ScheduleKind, Task};
use crate::pattern::{Desk, Layout, Of, Opened};
use crate::report::{Report, counted};
use hire::{Forks, Hire, Mate};
use ring::{Ring, State};
use worker::{Start, Worker};

/// How long workers stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// For the whole run.
    Run,
    /// For one block.
    Block,
}

/// How long the lead sleeps at the most while it waits for many small answers at once: not so long that
/// anybody would notice, and long enough for thousands of them.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// How often to look for an answer before going to sleep.
const LOOKS: usize = 100;

/// Workers that may die one after the other without having worked on anything.
const IDLE_DEATHS: usize = 10;

/// The number of a lead that works itself.
const OWN: usize = 0;

/// What a crew works on.
#[derive(Clone, Copy)]
pub struct Errand<'a> {
    /// What is to be done.
    pub task: &'a Task,
    /// What is known of the input.
    pub facts: &'a Facts,
    /// How large blocks are.
    pub layout: &'a Layout,
    /// Where blocks and answers are.
    pub ring: &'a Ring,
}

/// The lead of a crew, for one run of a task.
pub struct Lead<'a, H: Hire> {
    errand: Errand<'a>,
    hire: H,
    stay: Stay,
    /// The lead's ends of the workers, by number; behind the last a seat for one that is started for a
    /// single block.
    mates: Vec<Option<Mate>>,
    /// Workers that are there.
    alive: usize,
    /// Seats up to the last that has ever had a worker.
    used: usize,
    /// Seats that have had a worker, or are the lead's own, when workers stay.
    started: usize,
    /// The lead's own share of the work, where it is itself worker 0.
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
    progress: Progress,
    /// Blocks that a worker must be started for.
    waiting: VecDeque<u64>,
    /// The block that the worker in each seat is to begin with, because the one before it died with it. The
    /// same seat: another could have to wait for what this one does by turns.
    redo: Vec<Option<u64>>,
    /// Blocks that have killed workers, and how many.
    killers: BTreeMap<u64, usize>,
    /// Workers that died idle since the last answer.
    idle_deaths: usize,
    /// The lead has slept for a moment in the hope of many answers at once; next time it sleeps for one.
    has_napped: bool,
    /// The number of the worker in the last seat.
    helper: usize,
    /// How that has ended.
    alone: Option<WaitStatus>,
}

/// How much of the answer to a block has been seen, and how much of that the sink has had: more, when the
/// worker that began it has died and another goes over the beginning again.
#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    seen: usize,
    taken: usize,
    pieces: u64,
}

impl Progress {
    /// So many more bytes have been seen. Returns how many of them the sink has had.
    fn see(&mut self, bytes: usize) -> usize {
        let known = self.taken.saturating_sub(self.seen).min(bytes);
        self.seen += bytes;
        self.taken = self.taken.max(self.seen);
        known
    }
}

impl<'a, H: Hire> Lead<'a, H> {
    /// A lead without workers.
    pub fn new(errand: Errand<'a>, hire: H, stay: Stay) -> Self {
        let workers = errand.layout.workers;
        Self {
            errand,
            hire,
            stay,
            mates: (0..=workers).map(|_| None).collect(),
            alive: 0,
            used: 1,
            started: 0,
            own: None,
            own_from: 0,
            own_is_open: false,
            most: workers,
            next: 0,
            head: 0,
            progress: Progress::default(),
            waiting: VecDeque::new(),
            redo: vec![None; workers],
            killers: BTreeMap::new(),
            idle_deaths: 0,
            has_napped: false,
            helper: 0,
            alone: None,
        }
    }

    /// Makes the lead one of its workers: for crews of threads, where it need not watch over the others.
    ///
    /// # Errors
    /// It cannot open the file.
    pub fn works(mut self) -> Result<Self> {
        self.own = Some(Worker::new(self.errand, OWN, None).ready()?);
        self.started = 1;
        Ok(self)
    }

    /// Runs all blocks of `feed`, and hands the answers to `desk`. All workers are gone when it returns.
    ///
    /// # Errors
    /// The first thing that fails, in block order; all answers before it have been taken.
    pub fn run(mut self, feed: &mut Feed, desk: &mut Desk) -> Result<()> {
        if self.by_turns() {
            self.errand.ring.set_turns(self.most);
        }
        // A worker may have heard of a signal before the lead looked for one.
        let outcome = self.lead(feed, desk).map_err(|error| interrupt::check().err().unwrap_or(error));
        match outcome {
            Ok(()) => self.errand.ring.close(),
            Err(_) => {
                self.errand.ring.stop();
                self.mates.iter_mut().flatten().for_each(Mate::kill);
            }
        }
        self.dismiss();
        desk.workers.truncate(self.used);
        outcome
    }

    fn lead(&mut self, feed: &mut Feed, desk: &mut Desk) -> Result<()> {
        // How the input has ended. A fault in it counts when what stands before it has been answered.
        let mut end = None;
        loop {
            interrupt::check()?;
            self.take_ready(desk)?;
            if self.head == self.next
                && let Some(end) = end
            {
                return end;
            }
            if end.is_none() && self.next - self.head < self.errand.ring.slots() {
                if let Some(input) = feed.waits_for() {
                    // What is there is not held back while more is awaited.
                    desk.flush()?;
                    self.look_after_workers(desk)?;
                    if self.works_itself() {
                        continue;
                    }
                    if self.head < self.next && !self.sleep(self.head, None, Some(input))? {
                        continue;
                    }
                }
                match self.next_block(feed, desk) {
                    Ok(Some(block)) => self.hand_out(block, desk)?,
                    Ok(None) => end = Some(Ok(())),
                    Err(Error::Interrupted(signal)) => return Err(Error::Interrupted(signal)),
                    Err(error) => end = Some(Err(error)),
                }
                continue;
            }
            desk.flush()?;
            self.look_after_workers(desk)?;
            self.wait()?;
        }
    }

    /// The next block; its values, where they travel, are put into its slot.
    fn next_block(&self, feed: &mut Feed, desk: &mut Desk) -> Result<Option<Block>> {
        let Errand { task, layout, ring, .. } = self.errand;
        let size = match (task.schedule.kind, feed.left()) {
            // As OpenMP: in proportion to what is left, and to what one worker would get of it.
            (Some(ScheduleKind::Guided), Some(left)) => {
                (left / (2 * layout.workers as u64)).clamp(layout.smallest, layout.block)
            }
            _ => layout.block,
        };
        desk.load(|| feed.next_block(size, ring.values(self.next)))
    }

    /// Hands out a block.
    fn hand_out(&mut self, block: Block, desk: &mut Desk) -> Result<()> {
        let (number, ring) = (self.next, self.errand.ring);
        self.next += 1;
        match self.stay {
            Stay::Block => {
                ring.hold(number, block, 0);
                self.waiting.push_back(number);
                self.start_for_waiting(desk)?;
            }
            Stay::Run => {
                // The first block is for the lead, where that works itself.
                if self.started < self.most && (self.own.is_none() || number > 0) {
                    let worker = self.started;
                    let start = Start { worker, number: worker, held: None, once: false, from: self.head };
                    match self.start(start, desk) {
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
        if !self.errand.ring.any_sleeps() {
            return;
        }
        let workers = match self.by_turns() {
            true => number as usize % self.most..number as usize % self.most + 1,
            false => 0..self.most,
        };
        for worker in workers {
            if self.errand.ring.must_wake(worker) {
                self.ring_bell(worker);
                return;
            }
        }
    }

    fn by_turns(&self) -> bool {
        self.errand.task.schedule.kind == Some(ScheduleKind::Static)
    }

    fn ring_bell(&mut self, worker: usize) {
        if let Some(mate) = &mut self.mates[worker] {
            // Full, it rings already; broken, the worker has died, which the next wait will notice.
            let _ = mate.bell.write(&[1]);
        }
    }

    /// Starts a worker in a seat of the crew.
    ///
    /// # Errors
    /// The system has no room for it.
    fn start(&mut self, start: Start, desk: &mut Desk) -> io::Result<()> {
        let mate = self.hire.hire(start, &self.mates)?;
        self.used = self.used.max(start.worker + 1);
        if let Some(pid) = mate.process {
            desk.workers[start.worker].pid = pid.as_raw_nonzero().get() as u32;
            tracing::debug!("worker {} is process {pid}", start.worker);
        }
        self.mates[start.worker] = Some(mate);
        self.alive += 1;
        Ok(())
    }

    /// The system has no room for another worker: goes on with those that there are.
    ///
    /// # Errors
    /// There is none.
    fn make_do(&mut self, error: &io::Error) -> Result<()> {
        let alive = self.alive + usize::from(self.own.is_some());
        if alive == 0 {
            return Err(no_worker(error));
        }
        tracing::warn!(
            "only {alive} of {} could be started: {}{}",
            counted(self.most as u64, "worker"),
            plain(error),
            remedy(error)
        );
        self.most = if self.stay == Stay::Run { self.started } else { alive };
        if self.by_turns() {
            self.errand.ring.set_turns(self.most);
        }
        Ok(())
    }

    /// Starts workers where there are too few.
    fn look_after_workers(&mut self, desk: &mut Desk) -> Result<()> {
        match self.stay {
            Stay::Run => self.replace_dead(desk),
            Stay::Block => self.start_for_waiting(desk),
        }
    }

    /// Starts workers for blocks that wait for one of their own.
    fn start_for_waiting(&mut self, desk: &mut Desk) -> Result<()> {
        while self.alive < self.most
            && let Some(number) = self.waiting.front().copied()
            && let Some(worker) = self.mates[..self.errand.layout.workers].iter().position(Option::is_none)
        {
            let start = Start { worker, number: worker, held: Some(number), once: true, from: 0 };
            match self.start(start, desk) {
                Ok(()) => _ = self.waiting.pop_front(),
                // What another has died with may be what all others wait for.
                Err(error) if self.deaths(number) > 0 => {
                    return Err(no_worker(&error));
                }
                Err(error) => self.make_do(&error)?,
            }
        }
        Ok(())
    }

    /// Starts new workers in place of those that have died.
    fn replace_dead(&mut self, desk: &mut Desk) -> Result<()> {
        for worker in usize::from(self.own.is_some())..self.started {
            if self.mates[worker].is_none() {
                let held = self.redo[worker];
                let start = Start { worker, number: worker, held, once: false, from: self.head };
                match self.start(start, desk) {
                    Ok(()) => self.redo[worker] = None,
                    // Others go on, and it is tried again when there is a next time.
                    Err(_) if held.is_none() && self.alive > 0 && !self.by_turns() => {}
                    Err(error) => return Err(no_worker(&error)),
                }
            }
        }
        Ok(())
    }

    /// Takes all answers that are ready and whose turn it is.
    fn take_ready(&mut self, desk: &mut Desk) -> Result<()> {
        while self.head < self.next {
            match self.errand.ring.state(self.head) {
                State::Done(worker) => {
                    let block = self.errand.ring.block(self.head);
                    if !self.take_piece(worker, block, desk)? {
                        self.free_head();
                    } else if let Some(own) = &mut self.own
                        && worker == OWN
                        && self.errand.ring.take_more(self.head, OWN)
                    {
                        self.own_is_open = own.piece(self.head, OWN, false);
                    }
                }
                State::Waiting if self.deaths(self.head) > self.errand.task.retries => {
                    self.find_killer(desk)?;
                    self.free_head();
                }
                State::Waiting | State::With(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Takes a piece of the answer to `head`. Are there more?
    fn take_piece(&mut self, worker: usize, block: Block, desk: &mut Desk) -> Result<bool> {
        let ring = self.errand.ring;
        let (receipt, room) = ring.answer(self.head);
        let (pid, span) = receipt.stint();
        let mut answer = receipt.unpack(room);
        let (more, bytes) = (answer.more, &room[..answer.bytes]);
        let progress = &mut self.progress;
        let known = progress.see(bytes.len());
        if known > 0 && known == bytes.len() {
            // Another worker has already given this piece.
            (answer.items, answer.input_bytes) = (0, 0);
        }
        let of = Of {
            worker: Some(if worker == self.errand.layout.workers { self.helper } else { worker }),
            block,
            pid,
            span,
            new_block: progress.pieces == 0,
        };
        progress.pieces += 1;
        self.idle_deaths = 0;
        desk.take(of, answer, &bytes[known..])?;
        if more {
            ring.order_more(self.head, worker);
            if ring.must_wake(worker) {
                self.ring_bell(worker);
            }
        }
        Ok(more)
    }

    fn free_head(&mut self) {
        self.errand.ring.free(self.head);
        self.progress = Progress::default();
        self.killers.remove(&self.head);
        self.head += 1;
        self.has_napped = false;
    }

    /// Does a block itself, where the lead is a worker and there is one for it.
    fn works_itself(&mut self) -> bool {
        let Some(own) = self.own.as_mut().filter(|_| !self.own_is_open) else { return false };
        let Some(block) = self.errand.ring.take(OWN, &mut self.own_from) else { return false };
        self.own_is_open = own.piece(block, OWN, true);
        true
    }

    /// Waits until the answer whose turn it is is ready, or something else has happened.
    fn wait(&mut self) -> Result<()> {
        let (ring, head) = (self.errand.ring, self.head);
        if self.works_itself() {
            return Ok(());
        }
        let is_done = || matches!(ring.state(head), State::Done(_));
        for _ in 0..LOOKS {
            if is_done() {
                return Ok(());
            }
            hint::spin_loop();
        }
        let middle = head + (self.next - head) / 2;
        // One sleep at a time: what has woken the lead may be a worker's death, to be seen to first.
        self.has_napped = !self.has_napped && self.stay == Stay::Run && middle > head;
        let (number, most) = if self.has_napped { (middle, Some(&NAP)) } else { (head, None) };
        self.sleep(number, most, None).map(|_| ())
    }

    /// Sleeps until block `number` is done, a worker has died, a signal has come, there is `input`, or the
    /// time is over. Returns whether there is input.
    fn sleep(&mut self, number: u64, most: Option<&Timespec>, input: Option<BorrowedFd>) -> Result<bool> {
        let ring = self.errand.ring;
        ring.lead_sleeps(number);
        if matches!(ring.state(number), State::Done(_)) {
            ring.lead_wakes();
            return Ok(false);
        }
        let there: Vec<usize> = (0..self.mates.len()).filter(|i| self.mates[*i].is_some()).collect();
        let bells = self.mates.iter().flatten();
        let mut descriptors: Vec<PollFd> = bells.map(|mate| PollFd::new(&mate.bell, PollFlags::IN)).collect();
        descriptors.extend(input.as_ref().map(|input| PollFd::new(input, PollFlags::IN)));
        let signals = interrupt::descriptor();
        descriptors.extend(signals.as_ref().map(|signals| PollFd::new(signals, PollFlags::IN)));
        let heard = match poll(&mut descriptors, most) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(Error::Failed(format!("cannot wait for workers: {}", plain(&errno.into())))),
        };
        let rung: Vec<bool> = descriptors.iter().map(|d| !d.revents().is_empty()).collect();
        ring.lead_wakes();
        heard?;
        interrupt::check()?;
        let has_input = input.is_some() && rung[there.len()];
        for (worker, _) in there.into_iter().zip(rung).filter(|(_, rung)| *rung) {
            if self.mates[worker].as_mut().is_some_and(Mate::has_ended) {
                self.has_ended(worker)?;
            }
        }
        Ok(has_input)
    }

    /// A worker's bell has ended.
    fn has_ended(&mut self, worker: usize) -> Result<()> {
        let Some(mut mate) = self.mates[worker].take() else { return Ok(()) };
        let was_for = mate.held;
        let pid = mate.process.map_or(0, |pid| pid.as_raw_nonzero().get());
        let status = mate.reap();
        drop(mate);
        // A signal to all processes of a group is not the worker's death but the end of the run.
        interrupt::check()?;
        if worker == self.errand.layout.workers {
            self.alone = status;
            return Ok(());
        }
        self.alive -= 1;
        let ring = self.errand.ring;
        // What it had: a block that it worked on, the rest of one of which it has given a part, or one that
        // it died too early to take.
        let had = |number: &u64| match ring.state(*number) {
            State::With(holder) => holder == worker,
            State::Done(holder) => holder == worker && ring.answer(*number).0.goes_on(),
            State::Waiting => was_for == Some(*number) && ring.is_held(*number),
        };
        let held = match (self.stay, was_for) {
            (Stay::Block, Some(number)) => Some(number).filter(|n| *n >= self.head).filter(had),
            _ => (self.head..self.next).find(had),
        };
        if self.stay == Stay::Block && held.is_none() {
            return Ok(());
        }
        let who = format!("worker {worker} (pid {pid}) {}", how(status));
        let Some(number) = held else { return self.idle_death(&who) };
        *self.killers.entry(number).or_default() += 1;
        let block = self.errand.ring.block(number);
        let what = self.errand.describe(&block);
        self.errand.ring.hold(number, block, 0);
        if number == self.head {
            self.progress.seen = 0;
        }
        if self.deaths(number) <= self.errand.task.retries {
            tracing::warn!("{who} while it had {what}; run again on a new worker");
            match self.stay {
                Stay::Block => self.waiting.push_front(number),
                Stay::Run => self.redo[worker] = Some(number),
            }
        } else {
            tracing::warn!("{who} while it had {what}; looked into part by part");
        }
        Ok(())
    }

    /// How many workers block `number` has killed.
    fn deaths(&self, number: u64) -> usize {
        self.killers.get(&number).copied().unwrap_or(0)
    }

    fn idle_death(&mut self, who: &str) -> Result<()> {
        self.idle_deaths += 1;
        if self.idle_deaths > IDLE_DEATHS {
            return Err(Error::Failed(format!(
                "{who} before it had worked on anything, as did others before it"
            )));
        }
        tracing::warn!("{who} while it had nothing to do; replaced by a new worker");
        Ok(())
    }

    /// Sees all workers off.
    fn dismiss(&mut self) {
        for mate in self.mates.iter().flatten() {
            // Its end wakes the worker, who finds that there is nothing more to do.
            let _ = mate.bell.shutdown(Shutdown::Both);
        }
        for mut mate in self.mates.iter_mut().filter_map(Option::take) {
            mate.reap();
        }
    }
}

/// Runs `task` once over worker processes that stay so long, in blocks of `layout`.
///
/// # Errors
/// The first thing that fails, in block order; all answers before it have been written.
pub fn over_processes(
    task: &Task,
    layout: &Layout,
    opened: Opened,
    stay: Stay,
    first: bool,
) -> Result<Report> {
    let Opened { began, mut feed, facts } = opened;
    let ring = new_ring(layout, &feed)?;
    let errand = Errand { task, facts: &facts, layout, ring: &ring };
    let hire = Forks::new(errand)?;
    let mut desk = Desk::open(task, &facts, &feed, layout.workers, began, first)?;
    let outcome = desk.whole(|desk| Lead::new(errand, hire, stay).run(&mut feed, desk));
    desk.close(outcome)
}

/// Memory for a crew's blocks and answers.
///
/// # Errors
/// The system gives no such memory.
pub fn new_ring(layout: &Layout, feed: &Feed) -> Result<Ring> {
    Ring::new(layout, feed.is_stream())
        .map_err(|e| Error::Failed(format!("cannot get memory to share with workers: {}", plain(&e))))
}

fn no_worker(error: &io::Error) -> Error {
    Error::Failed(format!("cannot start a worker: {}{}", plain(error), remedy(error)))
}

/// What to do about a system that has no room for workers.
fn remedy(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => " (ulimit -n)",
        Some(Errno::AGAIN) => " (ulimit -u, or the pids.max of the cgroup)",
        _ => "",
    }
}

/// How a worker has ended, in words.
fn how(status: Option<WaitStatus>) -> String {
    let Some(status) = status else { return "has ended".to_owned() };
    if let Some(signal) = status.terminating_signal() {
        let name = signal_name(signal).unwrap_or("a signal");
        let hint = if signal == SIGKILL { ", perhaps for want of memory" } else { "" };
        return format!("was killed by {name} (signal {signal}{hint})");
    }
    match status.exit_status() {
        Some(code) => format!("has left with exit code {code}"),
        None => "has ended".to_owned(),
    }
}
