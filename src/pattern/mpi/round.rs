//! What each rank does in a round.
//!
//! One round is: a scatter of orders, one per rank; a scatter of values with counts; the work; a gather of
//! receipts, one per rank; a gather of answers with counts. Rounds keep every count far below 2^31 and
//! rank 0's memory bounded. The values and answers of near ranks, which share rank 0's memory, do not
//! travel at all; where no rank is far those two collectives are left out. An answer longer than its slot
//! is fetched by further rounds in which the other ranks wait.
//!
//! A rank may have several threads, each of which is a worker with an order, a slot and a receipt of its
//! own; messages hold those of all its workers, one after the other, and MPI is called by one thread alone.

use std::env;

use bytemuck::{Pod, Zeroable};
use mpi::datatype::{Partition, PartitionMut};
use mpi::traits::*;

use super::file::OwnPart;
use super::memory::Memory;
use super::segment::{Address, Segment};
use super::{Mpi, ROOT, Teller, outcome_from_word};
use crate::error::{Error, Result};
use crate::function::Answer;
use crate::hdf5::Plan;
use crate::input::{self, Block, Facts, Feed, Stamp};
use crate::interrupt::{self, Waiting};
use crate::job::{Do, Dtype, Job, Task, Work};
use crate::moment::{Moment, Span};
use crate::pattern::hands::Hands;
use crate::pattern::ranks::Ranks;
use crate::pattern::receipt::Receipt;
use crate::pattern::{Desk, Layout, Of, Opened};
use crate::report::{OverMpi, Report, WorkerReport, counted, node, peak_memory};
use crate::side_by_side;
use crate::trace::offsets;

/// Inputs of fewer bytes travel as messages: setting up shared memory takes longer than copying them.
const WORTH_SHARING: u64 = 1024 * 1024;

/// Says `always` or `never`, whatever the size of the input: for tests and comparisons. With `never` every
/// rank is treated as if it were on a node of its own.
const SHARED_VARIABLE: &str = "PARPY_MPI_SHARED";

/// What a worker is to do next.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Order {
    kind: u64,
    start: u64,
    end: u64,
    /// Where the block's values stand among those of the round; 0 for a section.
    offset: u64,
    /// As [`Facts::total`].
    total: u64,
    /// 1 when the values are floats.
    float: u64,
    /// 1 when every rank finds its values by itself.
    indexed: u64,
    /// With [`STOP`]: how the task has ended. With [`TEAM`]: the threads of a rank. With [`WORK`] and
    /// [`WAIT`]: how many values there are up to the end of the round. With [`CLOSE`]: how many stand.
    number: u64,
    /// As [`Facts::stamp`].
    stamp: Stamp,
    /// The node where that was found.
    node: u64,
}

/// Set up shared memory. Orders of this kind, [`NAME`], [`CLOCKS`], [`TEAM`], [`OPEN`], [`CLOSE`], [`CHECK`]
/// and [`STOP`] are the same for all ranks.
const SHARE: u64 = 1;
/// Start on a block.
const WORK: u64 = 2;
/// Go on with the answer that was longer than the slot.
const MORE: u64 = 3;
/// Take part in the round's collectives with nothing.
const WAIT: u64 = 4;
/// Say who you are.
const NAME: u64 = 5;
/// The task has ended.
const STOP: u64 = 6;
/// From now on each rank has so many threads, and gets as many orders.
const TEAM: u64 = 7;
/// Open the file that all ranks write to.
const OPEN: u64 = 8;
/// Close it.
const CLOSE: u64 = 9;
/// Leave barriers together and say when, so that the clocks of all hosts can be compared.
const CLOCKS: u64 = 10;

/// Say whether the input is still what it was.
const CHECK: u64 = 11;

/// How many barriers the ranks leave: the median of as many comparisons is not that of a rank that was
/// held up once.
const BARRIERS: usize = 9;

const ORDER_WORDS: usize = size_of::<Order>() / 8;

/// What is sent by a rank that has nothing to send. An empty slice that is cut from something, because
/// one that is not may point to address 1, which is what `MPI_IN_PLACE` is in Open MPI.
static NOTHING: [u8; 1] = [0];

/// How a rank says who it is.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Name {
    pid: u64,
    host_len: u64,
    host: [u8; 256],
}

const NAME_WORDS: usize = size_of::<Name>() / 8;

/// One rank's part in one run of a task.
pub struct Member<'a> {
    mpi: &'a Mpi,
    task: &'a Task,
    /// Ranks that take part.
    ranks: usize,
    /// Threads of each.
    threads: usize,
    layout: Layout,
    /// Made when the first order comes.
    memory: Option<Memory>,
    /// Which ranks take part and do not share rank 0's memory.
    far: Vec<bool>,
    /// Values come from rank 0.
    stream: bool,
    /// Each thread's own, which open a file when the first block comes: only then is it known to be there on
    /// rank 0.
    hands: Vec<Hands>,
    /// This rank's end of a file that all ranks write to.
    file: OwnPart,
    /// What is known of the input, as far as this rank sees it itself; `None` before the first block.
    facts: Option<Facts>,
    /// Blocks and items done, for the log.
    share: (u64, u64),
}

impl<'a> Member<'a> {
    /// This rank's part in a run of `task`, with one thread.
    pub fn new(mpi: &'a Mpi, task: &'a Task) -> Self {
        let ranks = task.workers.unwrap_or(usize::MAX).min(mpi.ranks());
        let layout = Layout::in_rounds(task, ranks, !mpi.one_node);
        let far = (0..mpi.ranks()).map(|rank| rank != 0 && rank < ranks).collect();
        Self {
            mpi,
            task,
            ranks,
            threads: 1,
            layout,
            memory: None,
            far,
            stream: true,
            hands: vec![],
            file: OwnPart::default(),
            facts: None,
            share: (0, 0),
        }
    }

    /// From now on each rank has so many threads.
    fn set_threads(&mut self, threads: usize) {
        self.threads = threads;
        self.layout = Layout::in_rounds(self.task, self.ranks * threads, !self.mpi.one_node || threads > 1);
    }

    /// Rank 0's part, until all answers have been written. [`Member::stop`] must follow.
    ///
    /// # Errors
    /// The first thing that failed, in block order; all answers before it have been written.
    pub fn lead(&mut self, job: &Job, first: bool) -> Result<Report> {
        let Opened { began, mut feed, facts } = Opened::of(self.task).map_err(|e| self.mpi.at_home(e))?;
        let threads = self.mpi.threads_for(self.task, feed.left())?;
        if threads > 1 {
            self.order_all(TEAM, threads as u64);
            self.set_threads(threads);
        }
        let mut desk = Desk::open(self.task, &facts, &feed, self.layout.workers, began, first)?;
        desk.mpi = Some(OverMpi { library: super::library(), ranks: self.ranks, threads: self.threads });
        self.stream = !facts.indexed;
        if let Some(path) = desk.sink.shared_file() {
            let plan =
                Plan { path: path.to_owned(), dtype: facts.dtype, first: feed.first(), extent: feed.left() };
            self.order_all(OPEN, 0);
            if let Err(error) = self.file.open(self.mpi, self.task, Some(&plan)) {
                return desk.close(Err(error));
            }
        }
        if self.worth_sharing(&feed) {
            self.order_all(SHARE, 0);
            self.set_up_shared();
        }
        let mut outcome = self.rounds(&mut feed, &facts, &mut desk);
        if self.file.is_open() {
            let count = desk.workers.iter().map(|worker| worker.items).sum();
            self.order_all(CLOSE, count);
            let closed = self.file.close(self.mpi, count);
            desk.sink.parts_closed(closed.is_ok());
            outcome = outcome.and(closed);
        }
        if outcome.is_ok() && !facts.stamp.is_none() {
            self.order_all(CHECK, 0);
            // Rank 0 looks itself when it closes the desk.
            outcome = self.mpi.all_fine(Ok(()));
        }
        if outcome.is_ok() && job.wants_names() {
            self.gather_names(&mut desk.workers);
        }
        let mut report = desk.close(outcome)?;
        // Now that the time of the run is known: comparing clocks takes some, too.
        if let Some(timeline) = &mut report.timeline {
            let clocks = self.gather_clocks();
            let hosts: Vec<&str> = report.worker.iter().step_by(self.threads).map(|w| &*w.host).collect();
            timeline.set_offsets(&offsets(&clocks, &hosts, ranks_are_alone()), self.threads);
        }
        Ok(report)
    }

    /// Tells all ranks that the task has ended, and how.
    pub fn stop(&self, outcome: u64) {
        self.order_all(STOP, outcome);
        self.say_share();
    }

    fn say_share(&self) {
        let (blocks, items) = self.share;
        let memory = peak_memory().map_or(String::new(), |kib| format!(", peak memory {kib} KiB"));
        tracing::debug!("did {}, {}{memory}", counted(blocks, "block"), counted(items, "item"));
    }

    /// The part of every rank but 0.
    ///
    /// # Errors
    /// [`Error::Told`] when the task has failed, here or elsewhere.
    pub fn follow(&mut self) -> Result<()> {
        loop {
            let mut orders = vec![Order::zeroed(); self.threads];
            let words: &mut [u64] = bytemuck::cast_slice_mut(&mut orders);
            self.mpi.world.process_at_rank(ROOT).scatter_into(words);
            let order = orders[0];
            match order.kind {
                SHARE => self.set_up_shared(),
                NAME => self.send_name(),
                CLOCKS => self.send_clock(),
                TEAM => self.set_threads(order.number as usize),
                // Rank 0 hears how these went, and says what follows.
                OPEN => _ = self.file.open(self.mpi, self.task, None),
                CLOSE => _ = self.file.close(self.mpi, order.number),
                CHECK => {
                    let facts = self.facts.take();
                    _ = self.mpi.all_fine(facts.map_or(Ok(()), |facts| input::check_same(self.task, &facts)));
                }
                STOP => {
                    self.say_share();
                    return outcome_from_word(order.number);
                }
                _ => self.take_part(&orders),
            }
        }
    }

    fn rounds(&mut self, feed: &mut Feed, facts: &Facts, desk: &mut Desk) -> Result<()> {
        let indexed = u64::from(facts.indexed);
        let waiting = Order { kind: WAIT, indexed, ..Order::zeroed() };
        let (everybody, node) = (self.mpi.ranks() * self.threads, node());
        let (workers, most, one_node) = (self.layout.workers, self.layout.block, self.mpi.one_node);
        loop {
            let room = self.memory().values_mut();
            let Some(blocks) = desk.load(|| feed.next_round(workers, most, room))? else { return Ok(()) };
            let end = blocks.last().map_or(0, |block| block.end);
            let mut orders = vec![Order { number: end, ..waiting }; everybody];
            for (order, block) in orders.iter_mut().zip(&blocks) {
                *order = Order {
                    kind: WORK,
                    start: block.start,
                    end: block.end,
                    offset: if self.values_come() { block.start - blocks[0].start } else { 0 },
                    total: facts.total,
                    float: u64::from(facts.dtype == Dtype::F64),
                    indexed,
                    number: end,
                    stamp: facts.stamp,
                    node,
                };
            }
            let receipts = desk.map(|| self.round(&orders))?;
            desk.was_writing(self.file.take_time());
            for (worker, block) in blocks.iter().enumerate() {
                let (mut receipt, mut new_block) = (receipts[worker], true);
                loop {
                    let memory = self.memory();
                    let room = &memory.slots()[worker * memory.slot_bytes()..];
                    let (pid, span) = receipt.stint();
                    let mut answer = receipt.unpack(room);
                    let (more, bytes) = (answer.more, &room[..answer.bytes]);
                    if let Some(Error::Failed(text)) = &mut answer.failure {
                        text.push_str(&also_failed(&receipts[worker + 1..]));
                        if !one_node && text.contains(" cannot open ") {
                            text.push_str(
                                "; rank 0 could open it, so it is not on every node: put it where all nodes see it \
                                 (parpy doctor FILE, started as this was, says which do)",
                            );
                        }
                    }
                    let of = Of { worker: Some(worker), block: *block, pid, span, new_block };
                    desk.take(of, answer, bytes)?;
                    if !more {
                        break;
                    }
                    let mut orders = vec![waiting; everybody];
                    orders[worker].kind = MORE;
                    receipt = desk.map(|| self.round(&orders))?[worker];
                    new_block = false;
                }
            }
            // Ranks that had nothing to do may have been asked to stop, too.
            receipts[blocks.len()..].iter().try_for_each(Receipt::check)?;
            desk.flush()?;
        }
    }

    /// One round on rank 0.
    ///
    /// # Errors
    /// A rank could not write its part of the file.
    fn round(&mut self, orders: &[Order]) -> Result<Vec<Receipt>> {
        self.memory().sync();
        self.scatter_orders(orders);
        if self.values_travel() {
            self.scatter_values(orders);
        }
        let mut mine = self.work(&orders[..self.threads], 0, 0);
        let written = self.write_own(&orders[..self.threads], &mut mine, 0);
        let mut receipts = vec![Receipt::zeroed(); orders.len()];
        let root = self.mpi.world.process_at_rank(ROOT);
        let words: &mut [u64] = bytemuck::cast_slice_mut(&mut receipts);
        let _waiting = Waiting::begin();
        root.gather_into_root(bytemuck::cast_slice::<_, u64>(&mine), words);
        if self.any_far() {
            self.gather_answers(&receipts);
        }
        self.memory().sync();
        written.map(|()| receipts)
    }

    /// Writes the answers that are in the slots from number `first_slot` on to the file that all ranks write
    /// to, if there is one: rank 0 then needs nothing of them but the receipts.
    fn write_own(&mut self, orders: &[Order], receipts: &mut [Receipt], first_slot: usize) -> Result<()> {
        if !self.file.is_open() {
            return Ok(());
        }
        let mut outcome = Ok(());
        if orders.iter().all(|order| order.kind == WAIT) {
            for order in orders {
                outcome = outcome.and(self.file.write(self.mpi, order.number, 0, &[]));
            }
            return outcome;
        }
        self.memory();
        let Self { memory: Some(memory), file, mpi, .. } = self else { unreachable!("just made") };
        let (_, slots) = memory.work(first_slot, orders.len());
        for ((order, receipt), slot) in orders.iter().zip(receipts).zip(slots) {
            let written = file.write(mpi, order.number, order.start, receipt.bytes_in(slot));
            receipt.drop_bytes(slot);
            outcome = outcome.and(written);
        }
        outcome
    }

    /// One round on another rank.
    fn take_part(&mut self, orders: &[Order]) {
        self.stream = orders[0].indexed == 0;
        let am_far = self.far[self.mpi.rank()];
        let root = self.mpi.world.process_at_rank(ROOT);
        // A near rank finds its values and its slots in rank 0's memory.
        let (first_value, first_slot) =
            if am_far { (orders[0].offset, 0) } else { (0, self.mpi.rank() * self.threads) };
        if self.values_travel() {
            let count = if am_far { orders.iter().map(Order::values).sum::<u64>() as usize } else { 0 };
            root.scatter_varcount_into(&mut self.memory().values_mut()[..count]);
        }
        self.memory().sync();
        let mut receipts = self.work(orders, first_value, first_slot);
        // Rank 0 has heard of it too, and ends the run.
        let _ = self.write_own(orders, &mut receipts, first_slot);
        self.memory().sync();
        root.gather_into(bytemuck::cast_slice::<_, u64>(&receipts));
        if self.any_far() {
            let slot_bytes = self.memory().slot_bytes();
            for (slot, receipt) in receipts.iter().enumerate() {
                // A near rank's slots are rank 0's from now on, and an idle rank has none.
                let answer = match am_far {
                    true => &self.memory().slots()[slot * slot_bytes..][..receipt.len()],
                    false => &NOTHING[..0],
                };
                root.gather_varcount_into(answer);
            }
        }
    }

    /// Does what the orders say, each that is one to work in a thread of its own, with the first block's values at
    /// `first_value` and answers to the slots from number `first_slot` on.
    fn work(&mut self, orders: &[Order], first_value: u64, first_slot: usize) -> Vec<Receipt> {
        if orders.iter().all(|order| order.kind == WAIT) {
            return vec![Receipt::idle(&interrupt::check()); orders.len()];
        }
        let values_come = self.values_come();
        let rank = self.mpi.rank();
        let facts = match orders.iter().find(|order| order.kind == WORK) {
            Some(order) => *self.facts.get_or_insert_with(|| order.facts(self.task)),
            // More of an answer, by a function that has been made.
            None => self.facts.unwrap_or_else(|| orders[0].facts(self.task)),
        };
        self.hands.resize_with(orders.len(), || Hands::of(rank));
        self.memory();
        let Self { memory: Some(memory), hands, task, layout, mpi, .. } = self else {
            unreachable!("just made")
        };
        let (values, slots) = memory.work(first_slot, orders.len());
        let to_do = orders.iter().zip(hands).zip(slots).filter(|((order, _), _)| order.kind != WAIT);
        let jobs = to_do.map(|((order, hands), slot)| {
            let values = match values_come && order.kind == WORK {
                true => &values[(order.offset - first_value) as usize..][..order.values() as usize],
                false => &[],
            };
            let (task, mpi, room) = (*task, *mpi, layout.room);
            let tell = mpi.teller();
            move || order.carry_out((task, &facts), hands, values, slot, room, tell)
        });
        let mut done = side_by_side::run(jobs.collect::<Vec<_>>().into_iter()).into_iter();
        let idle = Receipt::idle(&interrupt::check());
        let receipt = |order: &Order| if order.kind == WAIT { idle } else { done.next().unwrap_or(idle) };
        let receipts: Vec<Receipt> = orders.iter().map(receipt).collect();
        self.share.0 += orders.iter().filter(|order| order.kind == WORK).count() as u64;
        self.share.1 += receipts.iter().map(Receipt::items).sum::<u64>();
        receipts
    }

    fn is_map(&self) -> bool {
        matches!(self.task.work, Work::Map { .. })
    }

    /// Do values come from rank 0?
    fn values_come(&self) -> bool {
        self.is_map() && self.stream
    }

    /// The memory of this run: this rank's own, unless shared memory was set up before.
    fn memory(&mut self) -> &mut Memory {
        let workers = if self.mpi.is_root() { self.layout.workers } else { self.threads };
        self.memory.get_or_insert_with(|| Memory::own(&self.layout, workers))
    }

    /// Does the task gain by shared memory? Decided on rank 0, which alone knows the input's size.
    fn worth_sharing(&self, feed: &Feed) -> bool {
        let only_tallies = matches!(self.task.work, Work::Read { action: Do::Count, .. });
        let large = feed.bytes().is_none_or(|bytes| bytes > WORTH_SHARING);
        self.ranks > 1
            && match env::var(SHARED_VARIABLE).as_deref() {
                Ok("always") => true,
                Ok("never") => false,
                _ => large && !only_tallies,
            }
    }

    /// Sets up shared memory on rank 0's node, and says on every rank who is far. Collective.
    fn set_up_shared(&mut self) {
        let made = if self.mpi.is_root() { Segment::create(Memory::bytes(&self.layout)).ok() } else { None };
        let (mut segment, mut address) = made.map_or((None, Address::zeroed()), |(s, a)| (Some(s), a));
        let words: &mut [u64] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut address));
        self.mpi.world.process_at_rank(ROOT).broadcast_into(words);
        if !self.mpi.is_root() && self.mpi.rank() < self.ranks {
            segment = Segment::open(&address);
        }
        self.memory = segment.map(|segment| Memory::shared(&self.layout, segment));
        let mut near = vec![false; self.mpi.ranks()];
        let waiting = Waiting::begin();
        self.mpi.world.all_gather_into(&self.memory.is_some(), &mut near[..]);
        drop(waiting);
        for (far, near) in self.far.iter_mut().zip(near) {
            *far &= !near;
        }
        if self.mpi.is_root() {
            let far = self.far.iter().filter(|far| **far).count();
            tracing::debug!("{} of {} ranks share memory", self.ranks - far, self.ranks);
        }
    }

    fn any_far(&self) -> bool {
        self.far.contains(&true)
    }

    /// Are values scattered in each round? The same on every rank.
    fn values_travel(&self) -> bool {
        self.values_come() && self.any_far()
    }

    fn scatter_orders(&self, orders: &[Order]) {
        let _waiting = Waiting::begin();
        let mut mine = vec![0u64; ORDER_WORDS * self.threads];
        let words: &[u64] = bytemuck::cast_slice(orders);
        self.mpi.world.process_at_rank(ROOT).scatter_into_root(words, &mut mine[..]);
    }

    /// The same order for everyone.
    fn order_all(&self, kind: u64, number: u64) {
        let order = Order { kind, number, ..Order::zeroed() };
        self.scatter_orders(&vec![order; self.mpi.ranks() * self.threads]);
    }

    /// `MPI_Scatterv` of each far rank's values; the others' stay where they are.
    fn scatter_values(&mut self, orders: &[Order]) {
        let (mut counts, mut starts) = (Vec::new(), Vec::new());
        for (orders, far) in orders.chunks(self.threads).zip(&self.far) {
            let count = orders.iter().map(Order::values).sum::<u64>();
            counts.push(if *far { count as i32 } else { 0 });
            starts.push(if *far { orders[0].offset as i32 } else { 0 });
        }
        let _waiting = Waiting::begin();
        let root = self.mpi.world.process_at_rank(ROOT);
        let values = Partition::new(&*self.memory().values_mut(), counts, starts);
        root.scatter_varcount_into_root(&values, &mut [0u64; 0][..]);
    }

    /// `MPI_Gatherv` of each far rank's answer and message into its slot, for one thread of every rank
    /// after the other.
    fn gather_answers(&mut self, receipts: &[Receipt]) {
        let (slot, threads) = (self.memory().slot_bytes(), self.threads);
        for thread in 0..threads {
            let (mut counts, mut starts) = (Vec::new(), Vec::new());
            for (rank, far) in self.far.iter().enumerate() {
                let worker = rank * threads + thread;
                counts.push(if *far { receipts[worker].len() as i32 } else { 0 });
                starts.push(if *far { (worker * slot) as i32 } else { 0 });
            }
            let root = self.mpi.world.process_at_rank(ROOT);
            let mut slots = PartitionMut::new(self.memory().slots_mut(), counts, starts);
            root.gather_varcount_into_root(&NOTHING[..0], &mut slots);
        }
    }

    /// Learns every worker's process and host.
    fn gather_names(&self, workers: &mut [WorkerReport]) {
        self.order_all(NAME, 0);
        let _waiting = Waiting::begin();
        let mut names = vec![Name::zeroed(); self.mpi.ranks()];
        let mine: [u64; NAME_WORDS] = bytemuck::cast(own_name());
        let root = self.mpi.world.process_at_rank(ROOT);
        root.gather_into_root(&mine[..], bytemuck::cast_slice_mut::<_, u64>(&mut names));
        let names = names.into_iter().flat_map(|name| std::iter::repeat_n(name, self.threads));
        for (worker, name) in workers.iter_mut().zip(names) {
            worker.pid = name.pid as u32;
            worker.host = String::from_utf8_lossy(&name.host[..name.host_len as usize]).into_owned();
        }
    }

    fn send_name(&self) {
        let mine: [u64; NAME_WORDS] = bytemuck::cast(own_name());
        self.mpi.world.process_at_rank(ROOT).gather_into(&mine[..]);
    }

    /// When each rank has left each of some barriers, on its own clock.
    fn gather_clocks(&self) -> Vec<[Moment; BARRIERS]> {
        self.order_all(CLOCKS, 0);
        let _waiting = Waiting::begin();
        let mine: [u64; BARRIERS] = bytemuck::cast(self.leave_barriers());
        let mut all = vec![[Moment::default(); BARRIERS]; self.mpi.ranks()];
        let root = self.mpi.world.process_at_rank(ROOT);
        root.gather_into_root(&mine[..], bytemuck::cast_slice_mut::<_, u64>(&mut all));
        all
    }

    fn send_clock(&self) {
        let mine: [u64; BARRIERS] = bytemuck::cast(self.leave_barriers());
        self.mpi.world.process_at_rank(ROOT).gather_into(&mine[..]);
    }

    fn leave_barriers(&self) -> [Moment; BARRIERS] {
        std::array::from_fn(|_| {
            self.mpi.world.barrier();
            Moment::now()
        })
    }
}

impl Order {
    /// Values of the block that it is about.
    fn values(&self) -> u64 {
        if self.kind == WORK { self.end - self.start } else { 0 }
    }

    /// Does what it says.
    fn carry_out(
        &self,
        (task, facts): (&Task, &Facts),
        hands: &mut Hands,
        values: &[u64],
        slot: &mut [u8],
        room: usize,
        tell: Teller,
    ) -> Receipt {
        let began = Moment::now();
        let block = Block { start: self.start, end: self.end };
        if self.kind == WORK {
            tracing::trace!("block from {} to {}", block.start, block.end);
        }
        let begun = (self.kind == WORK).then_some((&block, values));
        let answer = match interrupt::check() {
            Ok(()) => hands.answer(task, facts, begun, &mut slot[..room]),
            Err(interrupted) => Answer { failure: Some(interrupted), ..Answer::default() },
        };
        let span = Span::since(began);
        Receipt::pack(answer, hands.pid(), span, slot, |error| tell.tell(error))
    }

    /// What rank 0 knew before the run; of the input of `task`, on another node, what is seen there.
    fn facts(&self, task: &Task) -> Facts {
        let dtype = if self.float != 0 { Dtype::F64 } else { Dtype::I64 };
        let (total, indexed) = (self.total, self.indexed != 0);
        let is_mine = indexed || matches!(task.work, Work::Read { .. });
        let stamp = match is_mine && !self.stamp.is_none() {
            true if self.node == node() => self.stamp,
            // Why it cannot be opened is said when it is.
            true => input::stamp_now(task, dtype).unwrap_or(Stamp::NONE),
            // Rank 0 alone reads it.
            false => Stamp::NONE,
        };
        Facts { dtype, total, indexed, stamp }
    }
}

/// Is every rank treated as if it were on a node of its own?
fn ranks_are_alone() -> bool {
    env::var(SHARED_VARIABLE).is_ok_and(|word| word == "never")
}

/// How many more workers could not do their work, for a message.
fn also_failed(others: &[Receipt]) -> String {
    match others.iter().filter(|receipt| receipt.is_of_worker()).count() {
        0 => String::new(),
        1 => " (1 more rank failed)".to_owned(),
        n => format!(" ({n} more ranks failed)"),
    }
}

fn own_name() -> Name {
    let (mut name, host) = (Name::zeroed(), crate::report::host());
    let host = &host.as_bytes()[..host.floor_char_boundary(name.host.len())];
    name.host[..host.len()].copy_from_slice(host);
    Name { pid: u64::from(std::process::id()), host_len: host.len() as u64, ..name }
}
