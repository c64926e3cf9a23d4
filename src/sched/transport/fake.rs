//! Workers that do what a test chooses, in the order in which it chooses: every order of answers, deaths and stops of a
//! small case can be tried, without a process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Event, Lost, State, Transport, Wait};
use crate::base::error::{Error, Result};
use crate::base::time::Interval;
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::input::blocks::BlockSource;
use crate::op::BlockResult;
use crate::sched::result_header::{MESSAGE, ResultHeader};

/// Choices, one after the other; the next run makes others, until all have been made.
#[derive(Debug, Default)]
pub struct Choices {
    /// What was chosen, of how many.
    made: Vec<(usize, usize)>,
    next: usize,
}

impl Choices {
    /// One of `count`.
    pub fn choose(&mut self, count: usize) -> usize {
        if self.next == self.made.len() {
            self.made.push((0, count));
        }
        let (chosen, of) = self.made[self.next];
        assert_eq!(of, count, "the same choices lead to the same case");
        self.next += 1;
        chosen
    }

    /// Goes on to the next case; false when there is none.
    pub fn turn(&mut self) -> bool {
        self.made.truncate(self.next);
        self.next = 0;
        while let Some((chosen, of)) = self.made.last_mut() {
            *chosen += 1;
            if *chosen < *of {
                return true;
            }
            self.made.pop();
        }
        false
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Workers that die at the most, whatever they work on.
    pub deaths: usize,
    /// This item kills whoever works on it.
    pub killer: Option<u64>,
    /// This item has no answer, which ends the run.
    pub fails: Option<u64>,
    /// This item has none either, and is passed over.
    pub misses: Option<u64>,
    /// A signal may come.
    pub stops: bool,
}

struct Slot {
    block: Block,
    state: State,
    /// It has been taken by a worker, at some time.
    begun: bool,
    header: ResultHeader,
    buf: Vec<u8>,
    /// Chunks given so far.
    given: u64,
}

/// A transport over workers that are only numbers.
pub struct Fake {
    pub choices: Rc<RefCell<Choices>>,
    faults: Faults,
    workers: usize,
    slots: BTreeMap<u64, Slot>,
    room: usize,
    /// Blocks of which answers have two chunks.
    long: fn(u64) -> bool,
    /// Blocks that wait for the worker in each place.
    redo: Vec<Option<u64>>,
    dead: Vec<bool>,
    alone: Option<(u64, Block)>,
    /// How often time may still pass without anything else.
    idles: usize,
}

impl Fake {
    pub fn new(
        choices: Rc<RefCell<Choices>>,
        faults: Faults,
        (workers, room): (usize, usize),
        long: fn(u64) -> bool,
    ) -> Self {
        Self {
            choices,
            faults,
            workers,
            slots: BTreeMap::new(),
            room,
            long,
            redo: vec![None; workers],
            dead: vec![false; workers],
            alone: None,
            idles: 2,
        }
    }

    /// What `worker` has in its hands.
    fn held_by(&self, worker: usize) -> Option<u64> {
        self.slots.iter().find(|(_, slot)| slot.state == State::With(worker)).map(|(number, _)| *number)
    }

    /// A worker of which the manager has a chunk that is not the last can begin nothing else.
    fn is_busy(&self, worker: usize) -> bool {
        let has = |slot: &Slot| match slot.state {
            State::With(holder) => holder == worker,
            State::Done(holder) => holder == worker && slot.header.goes_on(),
            State::Waiting => false,
        };
        self.slots.values().any(has)
    }

    fn take_work(&mut self) {
        for worker in 0..self.workers {
            if self.dead[worker] || self.is_busy(worker) {
                continue;
            }
            if let Some(number) = self.redo[worker].take() {
                self.begin(number, worker);
                continue;
            }
            let waits = |(_, slot): &(&u64, &Slot)| slot.state == State::Waiting && !slot.begun;
            if let Some(number) = self.slots.iter().find(waits).map(|(number, _)| *number) {
                self.begin(number, worker);
            }
        }
    }

    fn begin(&mut self, number: u64, worker: usize) {
        let slot = self.slots.get_mut(&number).unwrap();
        assert_eq!(slot.state, State::Waiting);
        (slot.state, slot.begun, slot.given) = (State::With(worker), true, 0);
    }

    /// `worker` gives the next chunk of block `number`, or of the part that it has of it.
    fn answer(&mut self, number: u64, worker: usize) {
        let part = self.alone.filter(|_| worker == self.workers).map(|(_, part)| part);
        let fails = self.faults.fails;
        let long = (self.long)(number);
        let slot = self.slots.get_mut(&number).unwrap();
        let block = part.unwrap_or(slot.block);
        let end = fails.filter(|item| (block.start..block.end).contains(item)).unwrap_or(block.end);
        let text: String = (block.start..end).map(|item| format!("{item}\n")).collect();
        let half = if long && text.len() > 1 { text.len() / 2 } else { text.len() };
        let is_last = slot.given > 0 || half == text.len();
        let chunk = if slot.given > 0 { &text[half..] } else { &text[..half] };
        let mut buf = vec![0; chunk.len() + MESSAGE];
        buf[..chunk.len()].copy_from_slice(chunk.as_bytes());
        let failure = (is_last && end < block.end).then(|| Error::Item(format!("{end} fails")));
        let items = if is_last { end - block.start } else { 0 };
        let misses = self.faults.misses.filter(|item| is_last && (block.start..end).contains(item));
        let failed = u64::from(misses.is_some());
        let first_failed = misses.map(|item| format!("{item} misses"));
        let bytes = chunk.len();
        let answer = BlockResult {
            bytes,
            items,
            more: !is_last,
            failure,
            failed,
            first_failed,
            ..BlockResult::default()
        };
        slot.header =
            ResultHeader::pack(answer, worker as u32, Interval::default(), &mut buf, Error::to_string);
        (slot.buf, slot.given, slot.state) = (buf, slot.given + 1, State::Done(worker));
    }

    fn kills(&self, number: u64, worker: usize) -> bool {
        let part = self.alone.filter(|_| worker == self.workers).map(|(_, part)| part);
        let block = part.unwrap_or(self.slots[&number].block);
        self.faults.killer.is_some_and(|item| (block.start..block.end).contains(&item))
    }

    fn die(&mut self, number: u64, worker: usize) -> Event {
        let slot = self.slots.get_mut(&number).unwrap();
        slot.state = State::Waiting;
        let how = "was killed".to_owned();
        if worker == self.workers {
            return Event::LostAlone(how);
        }
        self.dead[worker] = true;
        Event::Lost(Lost { worker, number: Some(number), how, at_once: false })
    }
}

impl Transport for Fake {
    fn has_room(&self) -> bool {
        self.slots.len() < self.room
    }

    fn waiting(&self) -> u64 {
        self.slots.values().filter(|slot| !slot.begun).count() as u64
    }

    fn load(&mut self, source: &mut BlockSource, most: u64) -> Result<Option<Block>> {
        source.next_block(most, &mut [])
    }

    fn submit(&mut self, number: u64, block: Block) -> Result<()> {
        assert!(self.has_room());
        let (state, header) = (State::Waiting, ResultHeader::idle(&Ok(())));
        let slot = Slot { block, state, begun: false, header, buf: vec![], given: 0 };
        assert!(self.slots.insert(number, slot).is_none());
        Ok(())
    }

    fn staff(&mut self, _workers: usize) {}

    fn look_after(&mut self) -> Result<()> {
        self.dead.fill(false);
        Ok(())
    }

    fn state(&self, number: u64) -> State {
        self.slots[&number].state
    }

    fn block(&self, number: u64) -> Block {
        self.slots[&number].block
    }

    fn rows(&self, _number: u64) -> Option<BatchRef<'_>> {
        None
    }

    fn chunk(&self, number: u64) -> (&ResultHeader, &[u8]) {
        let slot = &self.slots[&number];
        assert!(matches!(slot.state, State::Done(_)));
        (&slot.header, &slot.buf)
    }

    fn resume(&mut self, number: u64, worker: usize) {
        let slot = self.slots.get_mut(&number).unwrap();
        assert!(slot.state == State::Done(worker) && slot.header.goes_on());
        slot.state = State::With(worker);
    }

    fn release(&mut self, number: u64) {
        let slot = self.slots.remove(&number).unwrap();
        assert!(!matches!(slot.state, State::With(_)), "somebody works on it");
        self.alone = self.alone.filter(|(whole, _)| *whole != number);
    }

    fn redo(&mut self, number: u64, worker: usize) {
        assert!(self.redo[worker].replace(number).is_none());
    }

    fn alone(&mut self, number: u64, part: Block) -> Result<usize> {
        let slot = self.slots.get_mut(&number).unwrap();
        assert!(!matches!(slot.state, State::With(_)));
        (slot.state, slot.given) = (State::With(self.workers), 0);
        self.alone = Some((number, part));
        Ok(0)
    }

    fn poll(&mut self, wait: Wait) -> Result<Event> {
        assert!(wait.head < wait.next, "nothing is awaited");
        self.take_work();
        let at_work: Vec<(u64, usize)> = (0..=self.workers)
            .filter_map(|worker| self.held_by(worker).map(|number| (number, worker)))
            .collect();
        let may_die = usize::from(self.faults.deaths > 0);
        let stops = usize::from(self.faults.stops);
        let idles = usize::from(wait.is_brief && self.idles > 0);
        let choices = at_work.len() * (1 + may_die) + idles + stops;
        assert!(choices > 0, "nobody works, and block {} is awaited for ever", wait.head);
        let chosen = self.choices.borrow_mut().choose(choices);
        if let Some((number, worker)) = at_work.get(chosen).copied() {
            if self.kills(number, worker) {
                return Ok(self.die(number, worker));
            }
            self.answer(number, worker);
            return Ok(Event::Look);
        }
        let chosen = chosen - at_work.len();
        if may_die > 0
            && let Some((number, worker)) = at_work.get(chosen).copied()
        {
            self.faults.deaths -= 1;
            return Ok(self.die(number, worker));
        }
        match chosen - may_die * at_work.len() < idles {
            true => {
                self.idles -= 1;
                Ok(Event::Idle)
            }
            false => Err(Error::Interrupted(15)),
        }
    }

    fn end(&mut self, failed: bool) -> Vec<Option<u32>> {
        assert!(failed || self.slots.is_empty(), "blocks are left");
        vec![None; self.workers]
    }
}
