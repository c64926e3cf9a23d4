//! Rounds as the scheduler's transport, on rank 0: what has been submitted is done by one round of all ranks as soon as
//! something is waited for, and so is going on with an answer that was longer than its slot.

use std::collections::VecDeque;

use bytemuck::Zeroable;
use mpi::traits::*;

use super::super::command::{Command, MORE, WAIT, WORK};
use super::super::{NOT_ON_EVERY_NODE, RankContext};
use super::NUMBER;
use crate::base::error::{Error, Result};
use crate::base::signals::Waiting;
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::input::blocks::BlockSource;
use crate::mpi::linked::ROOT;
use crate::sched::result_header::ResultHeader;
use crate::sched::transport::protocol::{ManagerSide, WorkerSide};
use crate::sched::transport::{Event, State, Transport, Wait};

/// The ranks, in rounds.
pub struct Rounds<'r, 'a> {
    rank: &'r mut RankContext<'a>,
    /// The blocks of the round that have not been submitted, each with its worker.
    loaded: VecDeque<(usize, Block)>,
    /// The blocks that have been, and have not been released: number, worker, block.
    submitted: Vec<(u64, usize, Block)>,
    /// What each worker is to do in the next round.
    commands: Vec<Command>,
    /// The first value of the round, and the first behind it.
    first: u64,
    end: u64,
    /// A signal that has come to a rank that had nothing to do.
    heard: Result<()>,
}

impl<'r, 'a> Rounds<'r, 'a> {
    pub fn new(rank: &'r mut RankContext<'a>) -> Self {
        let everybody = rank.mpi.ranks() * rank.threads;
        let commands = vec![Command { kind: WAIT, ..Command::zeroed() }; everybody];
        Self { rank, loaded: VecDeque::new(), submitted: vec![], commands, first: 0, end: 0, heard: Ok(()) }
    }

    fn place(&self, number: u64) -> (usize, Block) {
        let found = self.submitted.iter().find(|(known, ..)| *known == number);
        found.map(|(_, worker, block)| (*worker, *block)).expect("a block that has not been released")
    }

    /// Is this worker of a rank that does not share rank 0's memory?
    fn is_far(&self, worker: usize) -> bool {
        self.rank.off_node[worker / self.rank.threads]
    }

    /// One round.
    ///
    /// # Errors
    /// A rank could not write its part of the file.
    fn round(&mut self) -> Result<()> {
        let waiting = Command { kind: WAIT, number: self.end, ..Command::zeroed() };
        let idle = vec![waiting; self.commands.len()];
        let mut commands = std::mem::replace(&mut self.commands, idle);
        let rank = &mut *self.rank;
        let packed = if rank.rows_travel() { rank.pack_rows(&mut commands) } else { Vec::new() };
        rank.scatter_commands(&commands);
        if rank.rows_travel() {
            rank.scatter_rows(&commands, &packed);
        }
        let own = &commands[..rank.threads];
        let mut mine = rank.work(own, 0, 0);
        let written = rank.write_own(own, &mut mine, 0);
        rank.finish(own, &mine, 0);
        let mut headers = vec![ResultHeader::zeroed(); commands.len()];
        let root = rank.mpi.world.process_at_rank(ROOT);
        let words: &mut [u64] = bytemuck::cast_slice_mut(&mut headers);
        let waiting = Waiting::begin();
        root.gather_into_root(bytemuck::cast_slice::<_, u64>(&mine), words);
        if rank.any_off_node() {
            rank.gather_answers(&headers);
        }
        drop(waiting);
        self.hand_over(&commands, &headers);
        written
    }

    /// Answers of ranks that are not on this node have come; and what is to be said of all of them.
    fn hand_over(&mut self, commands: &[Command], headers: &[ResultHeader]) {
        let at_work = || commands.iter().enumerate().filter(|(_, command)| command.kind != WAIT);
        let arena = self.rank.arena();
        for (worker, _) in at_work().filter(|(worker, _)| self.is_far(*worker)) {
            arena.finish(worker, worker, headers[worker]);
        }
        let mut failed = at_work().map(|(worker, _)| worker).filter(|worker| headers[*worker].is_of_worker());
        if let Some(first) = failed.next() {
            let more = failed.count();
            let one_node = self.rank.mpi.one_node;
            let (header, buf) = arena.answer_mut(first);
            header.add_to_message(buf, &also_failed(more));
            if header.is_unopened() && !one_node {
                header.add_to_message(buf, NOT_ON_EVERY_NODE);
            }
        }
        let idle = commands.iter().zip(headers).filter(|(command, _)| command.kind == WAIT);
        let heard = idle.map(|(_, header)| header).try_for_each(ResultHeader::check);
        if heard.is_err() {
            self.heard = heard;
        }
    }
}

impl Transport for Rounds<'_, '_> {
    fn has_room(&self) -> bool {
        self.is_loaded() || self.submitted.is_empty()
    }

    fn is_loaded(&self) -> bool {
        !self.loaded.is_empty()
    }

    fn waiting(&self) -> u64 {
        0
    }

    fn load(&mut self, source: &mut BlockSource, most: u64) -> Result<Option<Block>> {
        if self.loaded.is_empty() {
            std::mem::replace(&mut self.heard, Ok(()))?;
            let workers = self.rank.layout.workers;
            let arena = self.rank.arena();
            let room = arena.input(0);
            let Some(blocks) = source.next_round(workers, most, room)? else { return Ok(None) };
            self.first = blocks.first().map_or(0, |block| block.start);
            self.end = blocks.last().map_or(0, |block| block.end);
            // Those without a row as well: the rows of a rank are those from its first worker's on.
            self.loaded = blocks.into_iter().enumerate().collect();
        }
        Ok(self.loaded.front().map(|(_, block)| *block))
    }

    fn submit(&mut self, number: u64, block: Block) -> Result<()> {
        let Some((worker, _)) = self.loaded.pop_front() else { return Ok(()) };
        let offset = if self.rank.rows_come() { block.start - self.first } else { 0 };
        self.submitted.push((number, worker, block));
        let Block { start, end } = block;
        self.commands[worker] = Command { kind: WORK, start, end, offset, words: 0, number: self.end };
        let is_far = self.is_far(worker);
        let arena = self.rank.arena();
        arena.put(worker, NUMBER, block, offset);
        arena.hold(worker, NUMBER);
        if is_far {
            // Its answer comes as a message, for which its slot is kept here.
            arena.take_held(worker, NUMBER, worker);
        }
        Ok(())
    }

    fn staff(&mut self, _workers: usize) {}

    fn look_after(&mut self) -> Result<()> {
        Ok(())
    }

    fn state(&self, number: u64) -> State {
        self.rank.arena.as_ref().map_or(State::Waiting, |arena| arena.state(self.place(number).0))
    }

    fn block(&self, number: u64) -> Block {
        self.place(number).1
    }

    fn rows(&self, _number: u64) -> Option<BatchRef<'_>> {
        self.rank.arena.as_ref()?.rows(0)
    }

    fn chunk(&self, number: u64) -> (&ResultHeader, &[u8]) {
        let arena = self.rank.arena.as_ref().expect("made when a block was submitted");
        arena.answer(self.place(number).0)
    }

    fn resume(&mut self, _number: u64, worker: usize) {
        self.commands[worker].kind = MORE;
        let is_far = self.is_far(worker);
        let arena = self.rank.arena();
        arena.order_more(worker, NUMBER, worker);
        if is_far {
            arena.take_more(worker, worker);
        }
    }

    fn release(&mut self, number: u64) {
        let (worker, _) = self.place(number);
        self.rank.arena().free(worker);
        self.submitted.retain(|(known, ..)| *known != number);
    }

    fn redo(&mut self, _number: u64, _worker: usize) {}

    fn alone(&mut self, _number: u64, _part: Block) -> Result<usize> {
        Err(Error::Failed("cannot replace a rank that has died".into()))
    }

    fn poll(&mut self, _wait: Wait) -> Result<Event> {
        self.round().map(|()| Event::Look)
    }

    fn end(&mut self, _failed: bool) -> Vec<Option<u32>> {
        vec![None; self.rank.layout.workers]
    }
}

/// How many more workers could not do their work, for a message.
fn also_failed(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => " (1 more rank failed)".to_owned(),
        n => format!(" ({n} more ranks failed)"),
    }
}
