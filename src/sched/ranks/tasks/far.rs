//! Rank 0's view of the ranks that do not share its memory: which blocks each of them has, what is on its way there, and the
//! answers that have come. Who gets a block is decided by [`credit`](super::credit) and the transport.
//!
//! An answer stays in the message that it came with until it has been taken, so nothing is copied, and one that is long
//! comes in chunks, for the next of which its rank is asked when one has been taken.

use std::rc::Rc;
use std::time::Duration;

use bytemuck::Zeroable;

use super::credit::{Cost, Share};
use super::mail::{Mail, SHORT};
use super::message::{self, Answer, BYE, DONE, HEARD, LAST, MORE, Order, STOP, WORK};
use crate::base::signals::Waiting;
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::data::schema::Schema;
use crate::mpi::linked::Mpi;
use crate::sched::result_header::{MESSAGE, ResultHeader};
use crate::sched::transport::State;

/// How long to sleep while others are about to take leave.
const NAP: Duration = Duration::from_micros(200);

/// A rank that does not share rank 0's memory.
struct FarRank {
    rank: usize,
    /// Its workers: none where it takes no part.
    workers: usize,
    /// Blocks given to it so far.
    given: u64,
    /// Blocks that it has not answered.
    open: usize,
    /// Orders that have not been sent.
    orders: Vec<u64>,
}

/// A block that one of these ranks has.
struct Given {
    /// Whose it is: a place among the ranks.
    to: usize,
    /// The worker that has answered; until then the first of its rank.
    worker: usize,
    /// The chunk of its answer that is here.
    chunk: Option<Chunk>,
}

/// A chunk of an answer, in the message that it came with.
struct Chunk {
    header: ResultHeader,
    message: Rc<Vec<u64>>,
    /// The word where its bytes begin.
    at: usize,
}

/// The ranks that do not share rank 0's memory.
pub struct FarRanks<'m> {
    mpi: &'m Mpi,
    mail: Mail<'m>,
    ranks: Vec<FarRank>,
    /// By slot: the blocks that they have.
    blocks: Vec<Option<Given>>,
    cost: Cost,
    /// A signal that has come to one of them.
    pub heard: Option<i32>,
    /// Those that have taken leave.
    gone: usize,
}

impl<'m> FarRanks<'m> {
    /// Of such ranks, each with so many workers, and blocks in so many slots.
    pub fn new(mpi: &'m Mpi, ranks: impl Iterator<Item = (usize, usize)>, slots: usize) -> Self {
        let rank = |(rank, workers)| FarRank { rank, workers, given: 0, open: 0, orders: vec![] };
        let blocks = (0..slots).map(|_| None).collect();
        let ranks = ranks.map(rank).collect();
        Self { mpi, mail: Mail::new(mpi), ranks, blocks, cost: Cost::default(), heard: None, gone: 0 }
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.ranks.is_empty()
    }

    /// Blocks that a worker may have at a time.
    pub fn credit(&self) -> usize {
        self.cost.credit()
    }

    /// What each of them has been given.
    pub fn shares(&self) -> impl Iterator<Item = Share> + '_ {
        let credit = self.credit();
        self.ranks.iter().map(move |rank| Share {
            workers: rank.workers,
            given: rank.given,
            is_full: rank.open >= rank.workers * credit,
        })
    }

    /// Blocks that they have and that none of their workers has begun, as far as can be known.
    pub fn waiting(&self) -> u64 {
        self.ranks.iter().map(|rank| rank.open.saturating_sub(rank.workers) as u64).sum()
    }

    /// Gives the block in a slot, with its rows where they travel, to one of them.
    pub fn give(&mut self, to: usize, slot: usize, block: Block, rows: Option<(BatchRef, &Schema)>) {
        let rows =
            rows.map_or(Vec::new(), |(rows, schema)| pack(&rows.rows(0..block.len() as usize), schema));
        let rank = &mut self.ranks[to];
        rank.given += 1;
        rank.open += 1;
        self.blocks[slot] = Some(Given { to, worker: rank.rank * rank.workers, chunk: None });
        let Block { start, end } = block;
        self.order(to, Order { kind: WORK, key: slot as u64, start, end, words: 0 }, &rows);
    }

    fn order(&mut self, to: usize, order: Order, rows: &[u64]) {
        // Several of them in a message, as long as that stays short.
        if self.ranks[to].orders.len() + message::words_of_order(rows) > SHORT {
            self.send(to);
        }
        message::put_order(&mut self.ranks[to].orders, order, rows);
    }

    fn send(&mut self, to: usize) {
        let rank = &mut self.ranks[to];
        if !rank.orders.is_empty() {
            self.mail.send(rank.rank, std::mem::take(&mut rank.orders));
        }
    }

    /// Is something on its way that comes on only when rank 0 looks?
    pub fn is_busy(&self) -> bool {
        self.mail.is_busy()
    }

    /// Sends all orders that have not been sent.
    pub fn flush(&mut self) {
        (0..self.ranks.len()).for_each(|to| self.send(to));
    }

    /// Takes the messages that are there. Were there any?
    pub fn serve(&mut self) -> bool {
        let mut some = false;
        while let Some((rank, message)) = self.mail.receive() {
            some = true;
            self.read(rank, Rc::new(message));
        }
        some
    }

    fn read(&mut self, rank: usize, message: Rc<Vec<u64>>) {
        let mut at = 0;
        while let Some((Answer { kind, key, thread, header }, start)) =
            message::next_answer(&message, &mut at)
        {
            match kind {
                BYE => self.gone += 1,
                HEARD => self.heard = Some(key as i32),
                DONE => {
                    let Some(given) = self.blocks.get_mut(key as usize).and_then(Option::as_mut) else {
                        continue;
                    };
                    let from = &mut self.ranks[given.to];
                    given.worker =
                        rank * from.workers + (thread as usize).min(from.workers.saturating_sub(1));
                    if !header.goes_on() {
                        from.open = from.open.saturating_sub(1);
                    }
                    self.cost.note(header.event().1.took());
                    let chunk = Chunk { header, message: message.clone(), at: start };
                    given.chunk = Some(if header.is_unopened() { explain(self.mpi, chunk) } else { chunk });
                }
                _ => {}
            }
        }
    }

    /// Whose is the block in a slot, where one of them has it?
    pub fn state(&self, slot: usize) -> Option<State> {
        let given = self.blocks[slot].as_ref()?;
        Some(if given.chunk.is_some() { State::Done(given.worker) } else { State::With(given.worker) })
    }

    /// The chunk of the answer to the block in a slot, where it is here.
    pub fn chunk(&self, slot: usize) -> Option<(&ResultHeader, &[u8])> {
        let Chunk { header, message, at } = self.blocks[slot].as_ref()?.chunk.as_ref()?;
        Some((header, &bytemuck::cast_slice(&message[*at..])[..header.len()]))
    }

    /// The chunk that is here has been taken: asks for the next one. Has one of them the block in that slot?
    pub fn resume(&mut self, slot: usize) -> bool {
        let Some(given) = &mut self.blocks[slot] else { return false };
        given.chunk = None;
        let to = given.to;
        self.order(to, Order { kind: MORE, key: slot as u64, ..Order::zeroed() }, &[]);
        true
    }

    /// The block in a slot is over. Had one of them it?
    pub fn release(&mut self, slot: usize) -> bool {
        self.blocks[slot].take().is_some()
    }

    /// Tells all of them that there are no more blocks, or where it has `failed` that nobody wants more answers, and takes
    /// what they have sent until they have heard of it.
    pub fn end(&mut self, failed: bool) {
        let _waiting = Waiting::begin();
        let kind = if failed { STOP } else { LAST };
        (0..self.ranks.len()).for_each(|to| self.order(to, Order { kind, ..Order::zeroed() }, &[]));
        self.flush();
        while self.gone < self.ranks.len() {
            if !self.serve() {
                std::thread::sleep(NAP);
            }
        }
        self.mail.flush();
    }
}

/// Rows as a batch of their own, in whole words.
fn pack(rows: &BatchRef, schema: &Schema) -> Vec<u64> {
    // A part is no larger than the whole.
    let mut packed = vec![0u64; rows.bytes_of_all().div_ceil(size_of::<u64>())];
    let bytes = rows.pack(schema, bytemuck::cast_slice_mut(&mut packed)).unwrap_or(0);
    packed.truncate(bytes.div_ceil(size_of::<u64>()));
    packed
}

/// Adds to a failure to open a file what rank 0 knows of it, where there are several nodes.
fn explain(mpi: &Mpi, chunk: Chunk) -> Chunk {
    if mpi.one_node {
        return chunk;
    }
    let Chunk { mut header, message, at } = chunk;
    let said: &[u8] = &bytemuck::cast_slice(&message[at..])[..header.len()];
    let mut words = vec![0u64; (said.len() + MESSAGE).div_ceil(size_of::<u64>())];
    let buf: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    buf[..said.len()].copy_from_slice(said);
    header.add_to_message(buf, super::super::NOT_ON_EVERY_NODE);
    Chunk { header, message: Rc::new(words), at: 0 }
}
