//! Workers of this machine: threads or forked processes, which meet their manager, this process, in an [`Arena`].
//!
//! Each side sleeps when it has nothing to do and is woken by a byte through a socket; when a worker process dies its
//! end of the socket closes, so the manager learns of it at once. With threads the manager is a worker, too: alone, it is
//! what runs a task serially.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::arena::Arena;
use super::deaths::{how, no_worker, remedy};
use super::naps::{BRIEF, NAP, Naps, spin};
use super::protocol::{Look, ManagerSide, Words, WorkerSide};
use super::slots::SlotTable;
use super::spawn::{Spawn, WorkerHandle};
use super::worker::{Start, Worker};
use super::{Event, Lost, State, Transport, Wait};
use crate::base::error::{Error, Result, plain};
use crate::base::fmt::counted;
use crate::base::signals;
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::input::blocks::BlockSource;
use crate::job::Task;
use crate::job::schedule::ScheduleKind;
use crate::op::Bound;
use crate::sched::result_header::ResultHeader;
use crate::sched::sizing::BlockSizing;

/// How long workers stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// For the whole run.
    Run,
    /// For one block.
    Block,
}

/// Who dies sooner after its start would die again.
const AT_ONCE: Duration = Duration::from_millis(100);

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
    pub arena: &'a Arena,
}

/// The workers of this machine, for one run of a task.
pub struct Local<'a, S: Spawn> {
    context: TaskContext<'a>,
    spawn: S,
    stay: Lifetime,
    /// The manager's ends of the workers, by number; behind the last a place for one that is started for a
    /// single block.
    handles: Vec<Option<WorkerHandle>>,
    /// The processes that there were last in each place.
    processes: Vec<Option<u32>>,
    /// Workers that are there.
    alive: usize,
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
    /// Workers that are worth having.
    staff: usize,
    /// Which blocks are in which slots.
    slots: SlotTable,
    /// Blocks that a worker must be started for.
    queue: VecDeque<u64>,
    /// The block that the worker in each place is to begin with, because the one before it died with it. The
    /// same place: another could have to wait for what this one does by turns.
    redo: Vec<Option<u64>>,
    /// The block that is answered part by part, and how the workers of the parts are known: most often as the one that has
    /// died of it, which is not replaced until then, because nobody does two things at a time.
    in_parts: Option<(u64, usize)>,
    /// Workers that have died, of which nobody knows yet.
    lost: VecDeque<Event>,
    naps: Naps,
}

impl<'a, S: Spawn> Local<'a, S> {
    /// Without workers.
    pub fn new(context: TaskContext<'a>, spawn: S, stay: Lifetime) -> Self {
        let workers = context.layout.workers;
        let slots = context.arena.slots();
        let mut local = Self {
            context,
            spawn,
            stay,
            handles: (0..=workers).map(|_| None).collect(),
            processes: vec![],
            alive: 0,
            started: 0,
            own: None,
            own_from: 0,
            own_is_open: false,
            most: workers,
            staff: workers,
            slots: SlotTable::new(slots),
            queue: VecDeque::new(),
            redo: vec![None; workers],
            in_parts: None,
            lost: VecDeque::new(),
            naps: Naps::default(),
        };
        local.set_turns();
        local
    }

    /// Makes the manager, which `works` as worker 0, one of its workers: for threads, over which it need not watch.
    pub fn works(mut self, worker: Worker<'a>) -> Self {
        self.own = Some(worker);
        self.started = 1;
        self.processes.push(None);
        self
    }

    fn by_turns(&self) -> bool {
        self.context.task.schedule.kind == Some(ScheduleKind::Static)
    }

    fn set_turns(&mut self) {
        if self.by_turns() {
            self.context.arena.set_turns(self.most);
        }
    }

    /// Wakes a worker that sleeps for the block just posted.
    fn wake_for(&mut self, number: u64) {
        if !self.context.arena.any_sleeps() {
            return;
        }
        let workers = match self.by_turns() {
            true => number as usize % self.most..number as usize % self.most + 1,
            false => 0..self.most,
        };
        for worker in workers {
            if self.handles[worker].is_some() && self.context.arena.must_wake_for_block(worker) {
                self.wake(worker);
                return;
            }
        }
    }

    fn wake(&mut self, worker: usize) {
        if let Some(handle) = &mut self.handles[worker] {
            // Full, it rings already; broken, the worker has died, which the next wait will notice.
            let _ = handle.waker.write(&[1]);
        }
    }

    /// Wakes all workers that sleep until there is something to do.
    fn wake_all(&mut self) {
        for worker in 0..self.handles.len() {
            if self.handles[worker].is_some() && self.context.arena.must_wake_for_block(worker) {
                self.wake(worker);
            }
        }
    }

    /// Starts a worker in a place of its own.
    ///
    /// # Errors
    /// The system has no room for it.
    fn start(&mut self, start: Start) -> io::Result<()> {
        let handle = self.spawn.spawn(start, &self.handles)?;
        self.note_process(start.worker, &handle);
        self.handles[start.worker] = Some(handle);
        self.alive += 1;
        Ok(())
    }

    fn note_process(&mut self, worker: usize, handle: &WorkerHandle) {
        if self.processes.len() <= worker {
            self.processes.resize(worker + 1, None);
        }
        if let Some(pid) = handle.process {
            self.processes[worker] = Some(pid.as_raw_nonzero().get() as u32);
            tracing::debug!("worker {worker} is process {pid}");
        }
    }

    /// What the worker in place `worker` begins with.
    fn begin(&self, worker: usize, held: Option<u64>, once: bool) -> Start {
        let held = held.map(|number| (self.slots.slot(number), number));
        Start { worker, number: worker, held, once, from: self.slots.first() }
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
        self.most = if self.stay == Lifetime::Run { self.started } else { alive };
        self.set_turns();
        Ok(())
    }

    /// Is nobody in place `worker`, and may somebody be there?
    fn is_vacant(&self, worker: usize) -> bool {
        let is_reserved = self.in_parts.is_some_and(|(_, known_as)| known_as == worker);
        self.handles[worker].is_none() && !is_reserved
    }

    /// Starts workers for blocks that wait for one of their own.
    fn start_for_queue(&mut self) -> Result<()> {
        if !self.lost.is_empty() {
            return Ok(());
        }
        while self.alive < self.most.min(self.staff)
            && let Some(number) = self.queue.front().copied()
            && let Some(worker) = (0..self.context.layout.workers)
                .find(|worker| self.is_vacant(*worker) && self.context.arena.free_buffer(*worker).is_some())
        {
            match self.start(self.begin(worker, Some(number), true)) {
                Ok(()) => _ = self.queue.pop_front(),
                // What another has died with may be what all others wait for.
                Err(error) if self.redo.contains(&Some(number)) => return Err(no_worker(&error)),
                Err(error) => self.make_do(&error)?,
            }
        }
        Ok(())
    }

    /// Starts new workers in place of those that have died.
    fn replace_dead(&mut self) -> Result<()> {
        // What a place is to begin with is said when its death has been heard of.
        if !self.lost.is_empty() {
            return Ok(());
        }
        for worker in usize::from(self.own.is_some())..self.started {
            if self.is_vacant(worker) {
                let held = self.redo[worker];
                match self.start(self.begin(worker, held, false)) {
                    Ok(()) => self.redo[worker] = None,
                    // Others go on, whom nobody may have woken for what this one was to do, and it is tried again when
                    // there is a next time.
                    Err(_) if held.is_none() && self.alive > 0 && !self.by_turns() => self.wake_all(),
                    Err(error) => return Err(no_worker(&error)),
                }
            }
        }
        Ok(())
    }

    /// A worker's wake-up socket has ended.
    fn has_ended(&mut self, worker: usize) -> Result<()> {
        let Some(mut handle) = self.handles[worker].take() else { return Ok(()) };
        let was_for = handle.held;
        let pid = handle.process.map_or(0, |pid| pid.as_raw_nonzero().get());
        let status = handle.reap();
        let at_once = handle.began.elapsed() < AT_ONCE;
        drop(handle);
        // A signal to all processes of a group is not the worker's death but the end of the run.
        signals::check()?;
        let arena = self.context.arena;
        // What it had: a block that it worked on, the rest of one of which it has given a part, or one that
        // it died too early to take.
        let had = |number: &u64| {
            self.slots.find(*number).is_some_and(|slot| match arena.state(slot) {
                State::With(holder) => holder == worker,
                State::Done(holder) => holder == worker && arena.answer(slot).0.goes_on(),
                State::Waiting => was_for == Some(*number) && arena.is_held(slot),
            })
        };
        let held = match (self.stay, was_for) {
            (Lifetime::Block, Some(number)) => Some(number).filter(had),
            _ => self.slots.numbers().find(had),
        };
        if let Some(number) = held {
            let slot = self.slots.slot(number);
            arena.put(slot, number, self.slots.block(number), 0);
            arena.hold(slot, number);
        }
        arena.bury(worker);
        if worker == self.context.layout.workers {
            if held.is_some() {
                self.lost.push_back(Event::LostAlone(how(status)));
            }
            return Ok(());
        }
        self.alive -= 1;
        if self.stay == Lifetime::Block && held.is_none() {
            return Ok(());
        }
        let how = format!("worker {worker} (pid {pid}) {}", how(status));
        self.lost.push_back(Event::Lost(Lost { worker, number: held, how, at_once }));
        Ok(())
    }

    /// The worker in the last place has answered.
    fn reap_alone(&mut self) {
        if let Some(mut handle) = self.handles[self.context.layout.workers].take() {
            handle.reap();
        }
    }

    /// Does a chunk of a block itself, where the manager is a worker and there is one for it.
    fn works_itself(&mut self) -> bool {
        let Some(own) = self.own.as_mut().filter(|_| !self.own_is_open) else { return false };
        let Look::Found((slot, _)) = self.context.arena.take(OWN, &mut self.own_from) else { return false };
        self.own_is_open = own.chunk(slot, OWN, true);
        true
    }

    /// Sleeps until block `number` is done, a worker has died, a signal has come, there is `input`, or the
    /// time is over.
    fn sleep(&mut self, number: u64, most: Option<Duration>, input: Option<BorrowedFd>) -> Result<Event> {
        let arena = self.context.arena;
        arena.manager_sleeps(number);
        if self.is_done(number) {
            arena.manager_wakes();
            return Ok(Event::Look);
        }
        let there: Vec<usize> = (0..self.handles.len()).filter(|i| self.handles[*i].is_some()).collect();
        let bells = self.handles.iter().flatten();
        let mut descriptors: Vec<PollFd> =
            bells.map(|handle| PollFd::new(&handle.waker, PollFlags::IN)).collect();
        descriptors.extend(input.as_ref().map(|input| PollFd::new(input, PollFlags::IN)));
        let signals = signals::descriptor();
        descriptors.extend(signals.as_ref().map(|signals| PollFd::new(signals, PollFlags::IN)));
        let most = most.map(|most| Timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() });
        let heard = match poll(&mut descriptors, most.as_ref()) {
            Ok(count) => Ok(count),
            Err(Errno::INTR) => Ok(1),
            Err(errno) => Err(Error::Failed(format!("cannot wait for workers: {}", plain(&errno.into())))),
        };
        let rung: Vec<bool> = descriptors.iter().map(|d| !d.revents().is_empty()).collect();
        arena.manager_wakes();
        let is_over = heard? == 0;
        signals::check()?;
        let has_input = input.is_some() && rung[there.len()];
        for (worker, _) in there.into_iter().zip(rung).filter(|(_, rung)| *rung) {
            if self.handles[worker].as_mut().is_some_and(WorkerHandle::has_ended) {
                self.has_ended(worker)?;
            }
        }
        Ok(match self.lost.pop_front() {
            Some(lost) => lost,
            None if has_input => Event::Input,
            None if is_over => Event::Idle,
            None => Event::Look,
        })
    }

    fn is_done(&self, number: u64) -> bool {
        self.slots.find(number).is_some_and(|slot| matches!(self.context.arena.state(slot), State::Done(_)))
    }
}

impl<S: Spawn> Transport for Local<'_, S> {
    fn has_room(&self) -> bool {
        // By turns, a block that waits keeps its place in the queue of the arena.
        self.slots.has_room() && (!self.by_turns() || self.slots.span() < self.context.arena.slots())
    }

    fn waiting(&self) -> u64 {
        match self.stay {
            Lifetime::Run => self.context.arena.unclaimed(),
            Lifetime::Block => self.queue.len() as u64,
        }
    }

    fn load(&mut self, source: &mut BlockSource, most: u64) -> Result<Option<Block>> {
        source.next_block(most, self.context.arena.input(self.slots.next_free()))
    }

    fn submit(&mut self, number: u64, block: Block) -> Result<()> {
        let slot = self.slots.add(number, block);
        let arena = self.context.arena;
        arena.put(slot, number, block, 0);
        match self.stay {
            Lifetime::Block => {
                arena.hold(slot, number);
                self.queue.push_back(number);
                self.start_for_queue()?;
            }
            Lifetime::Run => {
                // The first block is for the manager, where that works itself.
                if self.started < self.most.min(self.staff) && (self.own.is_none() || number > 0) {
                    match self.start(self.begin(self.started, None, false)) {
                        Ok(()) => self.started += 1,
                        Err(error) => self.make_do(&error)?,
                    }
                }
                arena.post(slot, number);
                self.wake_for(number);
            }
        }
        Ok(())
    }

    fn staff(&mut self, workers: usize) {
        self.staff = workers;
    }

    fn look_after(&mut self) -> Result<()> {
        match self.stay {
            Lifetime::Run => self.replace_dead(),
            Lifetime::Block => self.start_for_queue(),
        }
    }

    fn state(&self, number: u64) -> State {
        self.context.arena.state(self.slots.slot(number))
    }

    fn block(&self, number: u64) -> Block {
        self.slots.block(number)
    }

    fn rows(&self, number: u64) -> Option<BatchRef<'_>> {
        self.context.arena.rows(self.slots.slot(number))
    }

    fn chunk(&self, number: u64) -> (&ResultHeader, &[u8]) {
        self.context.arena.answer(self.slots.slot(number))
    }

    fn resume(&mut self, number: u64, worker: usize) {
        let (arena, slot) = (self.context.arena, self.slots.slot(number));
        arena.order_more(slot, number, worker);
        if let Some(own) = self.own.as_mut().filter(|_| worker == OWN) {
            if arena.take_more(slot, OWN) {
                self.own_is_open = own.chunk(slot, OWN, false);
            }
        } else if arena.must_wake(worker) {
            self.wake(worker);
        }
    }

    fn release(&mut self, number: u64) {
        let slot = self.slots.remove(number);
        if let Some(worker) = self.context.arena.free(slot) {
            self.wake(worker);
        }
        if self.in_parts.is_some_and(|(whole, _)| whole == number) {
            self.in_parts = None;
            self.reap_alone();
        }
    }

    fn redo(&mut self, number: u64, worker: usize) {
        self.redo[worker] = Some(number);
        if self.stay == Lifetime::Block {
            self.queue.push_front(number);
        }
    }

    fn alone(&mut self, number: u64, part: Block) -> Result<usize> {
        let TaskContext { arena, layout, .. } = self.context;
        let slot = self.slots.slot(number);
        let worker = layout.workers;
        // The worker of the part before this one has answered, and has left or is about to.
        self.reap_alone();
        if let Some(slept) = arena.free(slot) {
            self.wake(slept);
        }
        arena.put(slot, number, part, part.start - self.slots.block(number).start);
        arena.hold(slot, number);
        let begun = if self.stay == Lifetime::Run { self.started } else { worker };
        let gone = || self.handles[..begun].iter().position(Option::is_none);
        // As another besides those that there may be, where all are at work.
        let known_as = self.in_parts.map_or_else(|| gone().unwrap_or(worker), |(_, known_as)| known_as);
        let start = Start { number: known_as, ..self.begin(worker, Some(number), true) };
        let handle = self.spawn.spawn(start, &self.handles).map_err(|e| no_worker(&e))?;
        if known_as >= self.processes.len() {
            self.note_process(known_as, &handle);
        }
        self.handles[worker] = Some(handle);
        self.in_parts = Some((number, known_as));
        Ok(known_as)
    }

    fn poll(&mut self, wait: Wait) -> Result<Event> {
        if let Some(lost) = self.lost.pop_front() {
            return Ok(lost);
        }
        if self.works_itself() {
            return Ok(Event::Look);
        }
        let Wait { head, input, is_brief, .. } = wait;
        if input.is_none() && spin(|| self.is_done(head)) {
            return Ok(Event::Look);
        }
        // For a block alone, nobody works on the next one.
        let slots = &self.slots;
        let may_nap = self.stay == Lifetime::Run;
        match self.naps.middle(&wait, |number| may_nap && slots.find(number).is_some()) {
            Some(middle) => self.sleep(middle, Some(NAP), None).map(|event| match event {
                Event::Idle => Event::Look,
                event => event,
            }),
            None => self.sleep(head, is_brief.then_some(BRIEF), input),
        }
    }

    fn end(&mut self, failed: bool) -> Vec<Option<u32>> {
        if failed {
            self.context.arena.stop();
            self.handles.iter_mut().flatten().for_each(WorkerHandle::kill);
        } else {
            self.context.arena.close();
        }
        for handle in self.handles.iter().flatten() {
            // Its end wakes the worker, who finds that there is nothing more to do.
            let _ = handle.waker.shutdown(Shutdown::Both);
        }
        for mut handle in self.handles.iter_mut().filter_map(Option::take) {
            handle.reap();
        }
        std::mem::take(&mut self.processes)
    }
}
