//! Tasks as the scheduler's transport, on rank 0: blocks lie in an arena, from which workers that share it, in this process
//! and in others, take them by themselves; to ranks that do not share it they are sent ([`FarRanks`]).
//!
//! Rank 0's main thread does no blocks: it hands out, takes answers and listens to other ranks, and sleeps in between.

use std::iter;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::credit::{self, Share};
use super::far::FarRanks;
use super::relay::{FIRST_NAP, LAST_NAP};
use super::waker;
use crate::base::error::{Error, Result};
use crate::base::signals;
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::input::blocks::BlockSource;
use crate::sched::result_header::ResultHeader;
use crate::sched::transport::arena::Arena;
use crate::sched::transport::local::TaskContext;
use crate::sched::transport::naps::{BRIEF, NAP, Naps, spin};
use crate::sched::transport::protocol::ManagerSide;
use crate::sched::transport::slots::SlotTable;
use crate::sched::transport::{Event, State, Transport, Wait};

/// How long the main thread sleeps at the most before it looks for signals: there and, where all workers share the arena,
/// everywhere.
const LOOK: Duration = Duration::from_millis(20);

/// As often as so many blocks have been handed out, it looks for messages and signals although there is room for more.
const MANY: usize = 32;

/// How long it does not look for messages again where something else is to be done: to look when there are none takes long
/// where MPI, having nothing to do, lets others have the CPU.
const UNASKED: Duration = Duration::from_micros(200);

/// The ranks as those who do tasks.
pub struct Tasks<'a, 'm> {
    context: TaskContext<'a>,
    slots: SlotTable,
    /// Workers that share the arena.
    near: &'a [usize],
    /// Blocks that these have been given.
    given: u64,
    /// By slot: which of these the block is. By that number the arena knows it, because there blocks that wait must have
    /// numbers without a gap.
    places: Vec<u64>,
    far: FarRanks<'m>,
    naps: Naps,
    /// Blocks handed out since it last looked for signals.
    unlooked: usize,
    /// When it last looked for messages.
    asked: Instant,
}

impl<'a, 'm> Tasks<'a, 'm> {
    /// For these workers that share the arena of `context`, and those of ranks that do not.
    pub fn new(context: TaskContext<'a>, near: &'a [usize], far: FarRanks<'m>) -> Self {
        let count = context.arena.shape().slots;
        Self {
            context,
            slots: SlotTable::new(count),
            near,
            given: 0,
            places: vec![0; count],
            far,
            naps: Naps::default(),
            unlooked: 0,
            asked: Instant::now(),
        }
    }

    fn arena(&self) -> &'a Arena {
        self.context.arena
    }

    /// What those who share the arena have been given.
    fn near_share(&self) -> Share {
        // A block that is there to be taken by them, nobody else can do.
        let most = match self.far.credit() {
            1 => 1,
            2 => self.near.len(),
            credit => self.near.len() * credit,
        };
        let is_full = self.arena().unclaimed() >= most as u64;
        Share { workers: self.near.len(), given: self.given, is_full }
    }

    /// Who gets the next block: 0 those who share the arena, or a far rank, counted from 1. `None` when all have enough.
    fn next_of(&self) -> Option<usize> {
        match self.far.is_empty() {
            true => Some(0),
            false => credit::next_of(iter::once(self.near_share()).chain(self.far.shares())),
        }
    }

    /// Which of the blocks in the arena it is that is to wake this thread, or any behind it, where block `number` is awaited:
    /// that one, or any where it is elsewhere.
    fn place_of(&self, number: u64) -> u64 {
        let slot = self.slots.find(number).filter(|slot| self.far.state(*slot).is_none());
        slot.map_or(0, |slot| self.places[slot])
    }

    fn is_done(&self, number: u64) -> bool {
        self.slots.find(number).is_some_and(|slot| matches!(self.state_of(slot), State::Done(_)))
    }

    fn state_of(&self, slot: usize) -> State {
        self.far.state(slot).unwrap_or_else(|| self.arena().state(slot))
    }

    /// Takes the messages that are there, unless it has done so a moment ago and there `is_other` work to do, and listens to
    /// signals everywhere. Were there messages?
    ///
    /// # Errors
    /// A signal has come, to this rank or to another.
    fn look(&mut self, is_other: bool) -> Result<bool> {
        self.unlooked = 0;
        signals::check()?;
        let mut some = false;
        if !self.far.is_empty() {
            self.far.flush();
            if !is_other || self.asked.elapsed() >= UNASKED {
                some = self.far.serve();
                self.asked = Instant::now();
            }
        }
        match self.arena().heard().or(self.far.heard) {
            Some(signal) => Err(Error::Interrupted(signal)),
            None => Ok(some),
        }
    }

    /// Sleeps until block `number` or one behind it is done, or a message has come, a signal, or `input`, or `most` is over.
    fn sleep(&mut self, number: u64, most: Option<Duration>, input: Option<BorrowedFd>) -> Result<Event> {
        let began = Instant::now();
        let place = self.place_of(number);
        // Nobody wakes this thread for a message, or for input.
        let last = match (self.far.is_empty(), input) {
            (true, None) => LOOK,
            _ => LAST_NAP,
        };
        let mut nap = if last == LOOK { LOOK } else { FIRST_NAP };
        loop {
            let left = most.map(|most| most.saturating_sub(began.elapsed()));
            let is_done = || self.is_done(number);
            if waker::sleep_until_done(self.arena(), place, is_done, left.unwrap_or(nap).min(nap)) {
                self.look(true)?;
                return Ok(Event::Look);
            }
            if self.look(false)? {
                return Ok(Event::Look);
            }
            if input.is_some_and(|input| signals::is_readable_within(input, Duration::ZERO)) {
                return Ok(Event::Input);
            }
            if most.is_some_and(|most| began.elapsed() >= most) {
                return Ok(Event::Idle);
            }
            nap = if self.far.is_busy() { FIRST_NAP } else { (nap * 2).min(last) };
        }
    }
}

impl Transport for Tasks<'_, '_> {
    fn has_room(&self) -> bool {
        self.slots.has_room() && self.next_of().is_some()
    }

    fn waiting(&self) -> u64 {
        self.arena().unclaimed() + self.far.waiting()
    }

    fn load(&mut self, source: &mut BlockSource, most: u64) -> Result<Option<Block>> {
        source.next_block(most, self.arena().input(self.slots.next_free()))
    }

    fn submit(&mut self, number: u64, block: Block) -> Result<()> {
        let to = self.next_of().unwrap_or(0);
        let slot = self.slots.add(number, block);
        let arena = self.arena();
        if to == 0 {
            let place = self.given;
            self.places[slot] = place;
            self.given += 1;
            arena.put(slot, place, block, 0);
            arena.post(slot, place);
            waker::wake_for_block(arena, self.near.iter().copied());
        } else {
            let info = &self.context.bound.info;
            let rows = if info.indexed { None } else { arena.rows(slot).map(|rows| (rows, &info.schema)) };
            self.far.give(to - 1, slot, block, rows);
        }
        self.unlooked += 1;
        if self.unlooked >= MANY {
            self.look(true)?;
        }
        Ok(())
    }

    fn staff(&mut self, _workers: usize) {}

    fn look_after(&mut self) -> Result<()> {
        // Before this thread sleeps, or waits for input.
        self.far.flush();
        Ok(())
    }

    fn state(&self, number: u64) -> State {
        self.state_of(self.slots.slot(number))
    }

    fn block(&self, number: u64) -> Block {
        self.slots.block(number)
    }

    fn rows(&self, number: u64) -> Option<BatchRef<'_>> {
        self.context.arena.rows(self.slots.slot(number))
    }

    fn chunk(&self, number: u64) -> (&ResultHeader, &[u8]) {
        let slot = self.slots.slot(number);
        self.far.chunk(slot).unwrap_or_else(|| self.context.arena.answer(slot))
    }

    fn resume(&mut self, number: u64, worker: usize) {
        let (arena, slot) = (self.arena(), self.slots.slot(number));
        if self.far.resume(slot) {
            self.far.flush();
            return;
        }
        arena.order_more(slot, self.places[slot], worker);
        if arena.must_wake(worker) {
            waker::wake(arena, worker);
        }
    }

    fn release(&mut self, number: u64) {
        let slot = self.slots.remove(number);
        if !self.far.release(slot)
            && let Some(worker) = self.arena().free(slot)
        {
            waker::wake(self.arena(), worker);
        }
    }

    fn redo(&mut self, _number: u64, _worker: usize) {}

    fn alone(&mut self, _number: u64, _part: Block) -> Result<usize> {
        Err(Error::Failed("cannot replace a rank that has died".into()))
    }

    fn poll(&mut self, wait: Wait) -> Result<Event> {
        if self.look(true)? || wait.input.is_none() && spin(|| self.is_done(wait.head)) {
            return Ok(Event::Look);
        }
        let slots = &self.slots;
        match self.naps.middle(&wait, |number| slots.find(number).is_some()) {
            Some(middle) => self.sleep(middle, Some(NAP), None).map(|_| Event::Look),
            None => self.sleep(wait.head, wait.is_brief.then_some(BRIEF), wait.input),
        }
    }

    fn end(&mut self, failed: bool) -> Vec<Option<u32>> {
        waker::close(self.arena(), 0..self.context.layout.workers, failed);
        self.far.end(failed);
        vec![None; self.context.layout.workers]
    }
}
