//! A rank that does not share rank 0's memory, at work: its main thread passes blocks from rank 0 on to its workers, which
//! are threads, and their answers back. It decides nothing; who gets which block is rank 0's word.
//!
//! Neither the main thread nor a worker ever spins for long: all sleep when there is nothing to do.

use std::time::Duration;

use bytemuck::Zeroable;

use super::mail::{Mail, SHORT};
use super::message::{self, Answer, BYE, DONE, HEARD, LAST, MORE, STOP, WORK};
use super::waker;
use crate::base::error::Error;
use crate::base::signals;
use crate::data::block::Block;
use crate::mpi::linked::{Mpi, ROOT};
use crate::op::BlockResult;
use crate::sched::result_header::{MESSAGE, ResultHeader};
use crate::sched::transport::State;
use crate::sched::transport::arena::Arena;
use crate::sched::transport::protocol::ManagerSide;
use crate::sched::transport::slots::SlotTable;

/// How long the main thread sleeps before it looks for messages again: so long when something has just happened, and twice
/// as long each time when nothing has.
pub const FIRST_NAP: Duration = Duration::from_micros(50);

/// At the most: some hundred looks in that time would be one percent of a core.
pub const LAST_NAP: Duration = Duration::from_millis(1);

/// A block that rank 0 has given to this rank.
struct Open {
    /// By which it is known here.
    number: u64,
    /// By which rank 0 knows it.
    key: u64,
    /// The chunk that is there has been sent, and rank 0 has not asked for another.
    is_sent: bool,
}

/// A rank that passes blocks to its workers and answers back.
pub struct Relay<'a> {
    mpi: &'a Mpi,
    mail: Mail<'a>,
    arena: &'a Arena,
    /// Its workers.
    workers: usize,
    slots: SlotTable,
    /// The number of the next block.
    next: u64,
    /// Blocks whose answers have not been sent to their end.
    open: Vec<Open>,
    answers: Vec<u64>,
    /// Why blocks cannot be worked on here, where there are no workers.
    lacks: Option<String>,
    /// Rank 0 knows of a signal that has come here.
    is_told: bool,
}

impl<'a> Relay<'a> {
    /// For so many workers, which look for blocks in `arena`; `lacks` says why there are none, where there should be some.
    pub fn new(mpi: &'a Mpi, arena: &'a Arena, workers: usize, lacks: Option<String>) -> Self {
        let slots = SlotTable::new(arena.shape().slots);
        let (mail, answers) = (Mail::new(mpi), vec![]);
        Self { mpi, mail, arena, workers, slots, next: 0, open: vec![], answers, lacks, is_told: false }
    }

    /// Passes on blocks and answers until rank 0 says that it is over; then the workers end.
    pub fn run(mut self) {
        let mut nap = FIRST_NAP;
        let failed = loop {
            let mut some = false;
            let mut end = None;
            while end.is_none()
                && let Some((_, orders)) = self.mail.receive()
            {
                some = true;
                end = self.obey(&orders);
            }
            if let Some(failed) = end {
                break failed;
            }
            some |= self.collect();
            self.listen();
            self.send();
            let is_moving = some || self.mail.is_busy();
            nap = if is_moving { FIRST_NAP } else { (nap * 2).min(LAST_NAP) };
            self.sleep(nap);
        };
        // Nothing more comes from here: rank 0 need not wait for a worker that is in the middle of a block.
        waker::close(self.arena, 0..self.workers, failed);
        self.say(BYE, 0);
        self.send();
        self.mail.flush();
    }

    /// Does what rank 0 says. Where that is the end: has the run failed?
    fn obey(&mut self, orders: &[u64]) -> Option<bool> {
        let mut at = 0;
        while let Some((order, rows)) = message::next_order(orders, &mut at) {
            match order.kind {
                WORK => self.begin(order.key, Block { start: order.start, end: order.end }, rows),
                MORE => self.go_on(order.key),
                LAST => return Some(false),
                STOP => return Some(true),
                _ => {}
            }
        }
        None
    }

    fn begin(&mut self, key: u64, block: Block, rows: &[u64]) {
        let can = if self.slots.has_room() { Ok(()) } else { Err("has more blocks than it has room for") };
        if let Err(why) = self.lacks.as_deref().map_or(can, Err) {
            self.refuse(key, why.to_owned());
            return;
        }
        let number = self.next;
        self.next += 1;
        let slot = self.slots.add(number, block);
        let rows: &[u8] = bytemuck::cast_slice(rows);
        let room = self.arena.input(slot);
        let count = rows.len().min(room.len());
        room[..count].copy_from_slice(&rows[..count]);
        self.arena.put(slot, number, block, 0);
        self.arena.post(slot, number);
        waker::wake_for_block(self.arena, 0..self.workers);
        self.open.push(Open { number, key, is_sent: false });
    }

    /// Answers a block that nobody here can work on.
    fn refuse(&mut self, key: u64, why: String) {
        let mut buf = vec![0; MESSAGE];
        let answer = BlockResult::failed(Error::Failed(why));
        let (pid, interval) = (std::process::id(), Default::default());
        let tell = |error: &Error| self.mpi.teller().tell(error);
        let header = ResultHeader::pack(answer, pid, interval, &mut buf, tell);
        let answer = Answer { kind: DONE, key, thread: 0, header };
        message::put_answer(&mut self.answers, &answer, &buf[..header.len()]);
    }

    /// Rank 0 has taken a chunk of an answer that goes on.
    fn go_on(&mut self, key: u64) {
        let Some(open) = self.open.iter_mut().find(|open| open.key == key && open.is_sent) else { return };
        open.is_sent = false;
        let slot = self.slots.slot(open.number);
        if let State::Done(worker) = self.arena.state(slot) {
            self.arena.order_more(slot, open.number, worker);
            if self.arena.must_wake(worker) {
                waker::wake(self.arena, worker);
            }
        }
    }

    /// Takes the answers that are there. Were there any?
    fn collect(&mut self) -> bool {
        let Self { arena, slots, open, answers, mail, .. } = self;
        let mut some = false;
        open.retain_mut(|open| {
            if open.is_sent {
                return true;
            }
            let slot = slots.slot(open.number);
            let State::Done(worker) = arena.state(slot) else { return true };
            some = true;
            let (header, buf) = arena.answer(slot);
            let goes_on = header.goes_on();
            let answer = Answer { kind: DONE, key: open.key, thread: worker as u64, header: *header };
            let bytes = &buf[..header.len()];
            // Several of them in a message, as long as that stays short.
            if !answers.is_empty() && answers.len() + message::words_of_answer(bytes) > SHORT {
                mail.send(ROOT as usize, std::mem::take(answers));
            }
            message::put_answer(answers, &answer, bytes);
            open.is_sent = goes_on;
            if !goes_on {
                slots.remove(open.number);
                if let Some(worker) = arena.free(slot) {
                    waker::wake(arena, worker);
                }
            }
            goes_on
        });
        some
    }

    /// Tells rank 0 of a signal that has come here.
    fn listen(&mut self) {
        if let Err(Error::Interrupted(signal)) = signals::check()
            && !self.is_told
        {
            self.is_told = true;
            self.say(HEARD, signal as u64);
        }
    }

    fn say(&mut self, kind: u64, key: u64) {
        let answer = Answer { kind, key, thread: 0, header: ResultHeader::zeroed() };
        message::put_answer(&mut self.answers, &answer, &[]);
    }

    fn send(&mut self) {
        if !self.answers.is_empty() {
            self.mail.send(ROOT as usize, std::mem::take(&mut self.answers));
        }
    }

    /// Sleeps for so long, or until one of the answers that are to be sent is there; where there are many small ones, until
    /// half of them are.
    fn sleep(&mut self, nap: Duration) {
        let awaited = self.open.iter().filter(|open| !open.is_sent).count();
        let place = if awaited > 2 * self.workers { awaited / 2 } else { 0 };
        let Some(number) = self.open.iter().filter(|open| !open.is_sent).nth(place).map(|open| open.number)
        else {
            std::thread::sleep(nap);
            return;
        };
        let slot = self.slots.slot(number);
        let is_done = || matches!(self.arena.state(slot), State::Done(_));
        waker::sleep_until_done(self.arena, number, is_done, nap);
    }
}
