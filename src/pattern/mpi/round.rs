//! What each rank does in a round.
//!
//! One round is: a scatter of orders, one per rank; a scatter of values with counts; the work; a gather of
//! receipts, one per rank; a gather of answers with counts. Rounds keep every count far below 2^31 and
//! rank 0's memory bounded. The values and answers of near ranks, which share rank 0's memory, do not
//! travel at all; where no rank is far those two collectives are left out. An answer longer than its slot
//! is fetched by further rounds in which the other ranks wait.

use std::env;
use std::time::{Duration, Instant};

use bytemuck::{Pod, Zeroable};
use mpi::datatype::{Partition, PartitionMut};
use mpi::traits::*;

use super::memory::{MESSAGE, Memory};
use super::segment::{Address, Segment};
use super::{Mpi, ROOT, outcome_from_word};
use crate::error::{Error, Result};
use crate::function::{self, Answer, Function};
use crate::input::{Block, Facts, Feed};
use crate::job::{Do, Dtype, Job, Task, Work};
use crate::output::{self, Form, Piece, Sink};
use crate::pattern::{Layout, Stopwatch, note};
use crate::report::{Report, WorkerReport, counted, peak_memory};

/// Inputs of fewer bytes travel as messages: setting up shared memory takes longer than copying them.
const WORTH_SHARING: u64 = 1024 * 1024;

/// Says `always` or `never`, whatever the size of the input: for tests and comparisons. With `never` every
/// rank is treated as if it were on a node of its own.
const SHARED_VARIABLE: &str = "PARPY_MPI_SHARED";

/// What a rank is to do next.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Order {
    kind: u64,
    start: u64,
    end: u64,
    /// Where the block's values stand among those of the round; 0 for a section.
    offset: u64,
    file_len: u64,
    /// 1 when the values are floats.
    float: u64,
    /// With [`STOP`]: how the task has ended.
    outcome: u64,
}

/// Set up shared memory. Orders of this kind, [`NAME`] and [`STOP`] are the same for all ranks.
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

/// What a rank did in a round.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Receipt {
    bytes: u64,
    items: u64,
    input_bytes: u64,
    /// 1 when the answer goes on.
    more: u64,
    /// 0, [`ITEM_FAILED`] or [`RANK_FAILED`].
    failure: u64,
    /// Bytes of message behind the answer in the slot.
    message: u64,
    busy_nanoseconds: u64,
}

const ITEM_FAILED: u64 = 1;
const RANK_FAILED: u64 = 2;

const ORDER_WORDS: usize = size_of::<Order>() / 8;
const RECEIPT_WORDS: usize = size_of::<Receipt>() / 8;

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

/// What rank 0 works with: where blocks come from and where answers go.
struct Ends<'a> {
    feed: Feed,
    sink: Box<dyn Sink + 'a>,
}

/// One rank's part in one run of a task.
pub struct Member<'a> {
    mpi: &'a Mpi,
    task: &'a Task,
    layout: Layout,
    /// Made when the first order comes.
    memory: Option<Memory>,
    /// Which ranks take part and do not share rank 0's memory.
    far: Vec<bool>,
    /// Made when the first block comes: only then is a file known to be there on rank 0.
    function: Option<Box<dyn Function>>,
    /// Blocks and items done, for the log.
    share: (u64, u64),
}

impl<'a> Member<'a> {
    /// This rank's part in a run of `task`.
    pub fn new(mpi: &'a Mpi, task: &'a Task) -> Self {
        let workers = task.workers.unwrap_or(usize::MAX).min(mpi.ranks());
        let layout = Layout::of(task, workers, mpi.one_node);
        let far = (0..mpi.ranks()).map(|rank| rank != 0 && rank < layout.workers).collect();
        Self { mpi, task, layout, memory: None, far, function: None, share: (0, 0) }
    }

    /// Rank 0's part, until all answers have been written. [`Member::stop`] must follow.
    ///
    /// # Errors
    /// The first thing that failed, in block order; all answers before it have been written.
    pub fn lead(&mut self, job: &Job, first: bool) -> Result<Report> {
        let mut watch = Stopwatch::start();
        let (feed, facts) = Feed::open(self.task, &self.layout)?;
        let mut ends = Ends { feed, sink: output::open(self.task, first)? };
        if self.worth_sharing(&ends.feed) {
            self.order_all(SHARE, 0);
            self.set_up_shared();
        }
        let report = self.rounds(&mut ends, facts, &mut watch).and_then(|mut workers| {
            if job.wants_names() {
                self.gather_names(&mut workers);
            }
            watch.finish(Report::new("mpi", workers), &mut *ends.sink)
        });
        if report.is_err() {
            ends.sink.fail();
        }
        report
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
            let mut order = Order::zeroed();
            let words: &mut [u64; ORDER_WORDS] = bytemuck::cast_mut(&mut order);
            self.mpi.world.process_at_rank(ROOT).scatter_into(&mut words[..]);
            match order.kind {
                SHARE => self.set_up_shared(),
                NAME => self.send_name(),
                STOP => {
                    self.say_share();
                    return outcome_from_word(order.outcome);
                }
                _ => self.take_part(&order),
            }
        }
    }

    fn rounds(&mut self, ends: &mut Ends, facts: Facts, watch: &mut Stopwatch) -> Result<Vec<WorkerReport>> {
        let mut workers: Vec<_> = (0..self.layout.workers).map(WorkerReport::here).collect();
        let waiting = vec![Order { kind: WAIT, ..Order::zeroed() }; self.mpi.ranks()];
        loop {
            let room = self.memory().values_mut();
            let Some(blocks) = watch.load(&mut ends.feed, workers.len(), room)? else { return Ok(workers) };
            let mut orders = waiting.clone();
            for (order, block) in orders.iter_mut().zip(&blocks) {
                *order = Order {
                    kind: WORK,
                    start: block.start,
                    end: block.end,
                    offset: if self.is_map() { block.start - blocks[0].start } else { 0 },
                    file_len: facts.file_len,
                    float: u64::from(facts.dtype == Dtype::F64),
                    outcome: 0,
                };
            }
            let receipts = watch.map(|| self.round(&orders));
            for (worker, block) in blocks.iter().enumerate() {
                let (mut receipt, mut new_block) = (receipts[worker], true);
                loop {
                    let busy = Duration::from_nanos(receipt.busy_nanoseconds);
                    let answer = self.unpack(worker, &receipt, &receipts);
                    note(&mut workers[worker], &answer, busy, new_block);
                    let bytes = &self.memory().slot(worker)[..answer.bytes];
                    let piece = Piece { worker, block: *block, items: answer.items, bytes };
                    watch.write(&mut *ends.sink, &piece)?;
                    if let Some(error) = answer.failure {
                        return Err(error);
                    }
                    if !answer.more {
                        break;
                    }
                    let mut orders = waiting.clone();
                    orders[worker].kind = MORE;
                    receipt = watch.map(|| self.round(&orders))[worker];
                    new_block = false;
                }
            }
        }
    }

    /// One round on rank 0.
    fn round(&mut self, orders: &[Order]) -> Vec<Receipt> {
        self.memory().sync();
        self.scatter_orders(orders);
        if self.values_travel() {
            self.scatter_values(orders);
        }
        let receipt = self.work(&orders[0], 0, 0);
        let mut receipts = vec![Receipt::zeroed(); orders.len()];
        let mine: [u64; RECEIPT_WORDS] = bytemuck::cast(receipt);
        let root = self.mpi.world.process_at_rank(ROOT);
        root.gather_into_root(&mine[..], bytemuck::cast_slice_mut::<_, u64>(&mut receipts));
        if self.any_far() {
            self.gather_answers(&receipts);
        }
        self.memory().sync();
        receipts
    }

    /// One round on another rank.
    fn take_part(&mut self, order: &Order) {
        let am_far = self.far[self.mpi.rank()];
        let root = self.mpi.world.process_at_rank(ROOT);
        // A near rank finds its values and its slot in rank 0's memory.
        let (offset, slot) = if am_far { (0, 0) } else { (order.offset as usize, self.mpi.rank()) };
        if self.values_travel() {
            let count = if am_far { (order.end - order.start) as usize } else { 0 };
            root.scatter_varcount_into(&mut self.memory().values_mut()[..count]);
        }
        self.memory().sync();
        let receipt = self.work(order, offset, slot);
        self.memory().sync();
        let mine: [u64; RECEIPT_WORDS] = bytemuck::cast(receipt);
        root.gather_into(&mine[..]);
        if self.any_far() {
            // A near rank's slot is rank 0's from now on, and an idle rank has none.
            let answer = match am_far {
                true => &self.memory().slot(slot)[..(receipt.bytes + receipt.message) as usize],
                false => &NOTHING[..0],
            };
            root.gather_varcount_into(answer);
        }
    }

    /// Does what an order says, with its values at `offset` and its answer to slot number `slot`.
    fn work(&mut self, order: &Order, offset: usize, slot: usize) -> Receipt {
        if order.kind == WAIT {
            return Receipt::zeroed();
        }
        let began = Instant::now();
        let block = Block { start: order.start, end: order.end };
        if order.kind == WORK {
            tracing::trace!("block from {} to {}", block.start, block.end);
        }
        let count = if self.is_map() && order.kind == WORK { block.len() as usize } else { 0 };
        self.memory();
        let Self { memory: Some(memory), function, task, layout, .. } = self else {
            unreachable!("just made")
        };
        let (values, slot) = memory.work(offset, count, slot);
        let room = &mut slot[..layout.room];
        let answer = match ready(function, task, order) {
            Ok(function) if order.kind == MORE => function.more(room),
            Ok(function) => function.apply(&block, values, room),
            Err(error) => Answer { failure: Some(error), ..Answer::default() },
        };
        self.share.0 += u64::from(order.kind == WORK);
        self.share.1 += answer.items;
        let message = answer.failure.as_ref().map_or(String::new(), |error| self.mpi.tell(error));
        let message = &message.as_bytes()[..message.floor_char_boundary(MESSAGE)];
        slot[answer.bytes..][..message.len()].copy_from_slice(message);
        Receipt {
            bytes: answer.bytes as u64,
            items: answer.items,
            input_bytes: answer.input_bytes,
            more: u64::from(answer.more),
            failure: match answer.failure {
                None => 0,
                Some(Error::Item(_)) => ITEM_FAILED,
                Some(_) => RANK_FAILED,
            },
            message: message.len() as u64,
            busy_nanoseconds: began.elapsed().as_nanos() as u64,
        }
    }

    /// A worker's answer as its receipt and its slot tell it.
    fn unpack(&mut self, worker: usize, receipt: &Receipt, all: &[Receipt]) -> Answer {
        let bytes = receipt.bytes as usize;
        let message = &self.memory().slot(worker)[bytes..][..receipt.message as usize];
        let message = String::from_utf8_lossy(message).into_owned();
        let failure = match receipt.failure {
            0 => None,
            ITEM_FAILED => Some(Error::Item(message)),
            _ => {
                let others = all.iter().skip(worker + 1).filter(|r| r.failure == RANK_FAILED).count();
                Some(Error::Failed(match others {
                    0 => message,
                    1 => format!("{message} (1 more rank failed)"),
                    n => format!("{message} ({n} more ranks failed)"),
                }))
            }
        };
        Answer {
            bytes,
            items: receipt.items,
            input_bytes: receipt.input_bytes,
            more: receipt.more != 0,
            failure,
        }
    }

    fn is_map(&self) -> bool {
        matches!(self.task.work, Work::Map { .. })
    }

    /// The memory of this run: this rank's own, unless shared memory was set up before.
    fn memory(&mut self) -> &mut Memory {
        let workers = if self.mpi.is_root() { self.layout.workers } else { 1 };
        self.memory.get_or_insert_with(|| Memory::own(&self.layout, workers))
    }

    /// Does the task gain by shared memory? Decided on rank 0, which alone knows the input's size.
    fn worth_sharing(&self, feed: &Feed) -> bool {
        let only_tallies = matches!(self.task.work, Work::Read { action: Do::Count, .. });
        let large = feed.bytes().is_none_or(|bytes| bytes > WORTH_SHARING);
        self.layout.workers > 1
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
        if !self.mpi.is_root() && self.mpi.rank() < self.layout.workers {
            segment = Segment::open(&address);
        }
        self.memory = segment.map(|segment| Memory::shared(&self.layout, segment));
        let mut near = vec![false; self.mpi.ranks()];
        self.mpi.world.all_gather_into(&self.memory.is_some(), &mut near[..]);
        for (far, near) in self.far.iter_mut().zip(near) {
            *far &= !near;
        }
        if self.mpi.is_root() {
            let far = self.far.iter().filter(|far| **far).count();
            tracing::debug!("{} of {} workers share memory", self.layout.workers - far, self.layout.workers);
        }
    }

    fn any_far(&self) -> bool {
        self.far.contains(&true)
    }

    /// Are values scattered in each round? The same on every rank.
    fn values_travel(&self) -> bool {
        self.is_map() && self.any_far()
    }

    fn scatter_orders(&self, orders: &[Order]) {
        let mut mine = [0u64; ORDER_WORDS];
        let words: &[u64] = bytemuck::cast_slice(orders);
        self.mpi.world.process_at_rank(ROOT).scatter_into_root(words, &mut mine[..]);
    }

    /// The same order for everyone.
    fn order_all(&self, kind: u64, outcome: u64) {
        self.scatter_orders(&vec![Order { kind, outcome, ..Order::zeroed() }; self.mpi.ranks()]);
    }

    /// `MPI_Scatterv` of each far rank's values; the others' stay where they are.
    fn scatter_values(&mut self, orders: &[Order]) {
        let far_only = |number: fn(&Order) -> u64| {
            let numbers = orders.iter().zip(&self.far);
            numbers.map(|(order, far)| if *far { number(order) as i32 } else { 0 }).collect::<Vec<_>>()
        };
        let (counts, starts) = (far_only(|order| order.end - order.start), far_only(|order| order.offset));
        let root = self.mpi.world.process_at_rank(ROOT);
        let values = Partition::new(&*self.memory().values_mut(), counts, starts);
        root.scatter_varcount_into_root(&values, &mut [0u64; 0][..]);
    }

    /// `MPI_Gatherv` of each far rank's answer and message into its slot.
    fn gather_answers(&mut self, receipts: &[Receipt]) {
        let slot = self.memory().slot_bytes();
        let (mut counts, mut starts) = (Vec::new(), Vec::new());
        for (rank, (receipt, far)) in receipts.iter().zip(&self.far).enumerate() {
            counts.push(if *far { (receipt.bytes + receipt.message) as i32 } else { 0 });
            starts.push(if *far { (rank * slot) as i32 } else { 0 });
        }
        let root = self.mpi.world.process_at_rank(ROOT);
        let mut slots = PartitionMut::new(self.memory().slots_mut(), counts, starts);
        root.gather_varcount_into_root(&NOTHING[..0], &mut slots);
    }

    /// Learns every worker's process and host.
    fn gather_names(&self, workers: &mut [WorkerReport]) {
        self.order_all(NAME, 0);
        let mut names = vec![Name::zeroed(); self.mpi.ranks()];
        let mine: [u64; NAME_WORDS] = bytemuck::cast(own_name());
        let root = self.mpi.world.process_at_rank(ROOT);
        root.gather_into_root(&mine[..], bytemuck::cast_slice_mut::<_, u64>(&mut names));
        for (worker, name) in workers.iter_mut().zip(names) {
            worker.pid = name.pid as u32;
            worker.host = String::from_utf8_lossy(&name.host[..name.host_len as usize]).into_owned();
        }
    }

    fn send_name(&self) {
        let mine: [u64; NAME_WORDS] = bytemuck::cast(own_name());
        self.mpi.world.process_at_rank(ROOT).gather_into(&mine[..]);
    }
}

/// The function, made at the first order.
fn ready<'f>(
    function: &'f mut Option<Box<dyn Function>>,
    task: &Task,
    order: &Order,
) -> Result<&'f mut Box<dyn Function>> {
    if let Some(function) = function {
        return Ok(function);
    }
    let dtype = if order.float != 0 { Dtype::F64 } else { Dtype::I64 };
    let facts = Facts { dtype, file_len: order.file_len };
    Ok(function.insert(function::make(&task.work, facts, Form::of(&task.output))?))
}

impl Mpi {
    /// A failure as rank 0 will print it. One item's failure is the same whichever rank met it; that a
    /// rank cannot do its work is news of that rank, unless it is rank 0, which a user sees as parpy.
    fn tell(&self, error: &Error) -> String {
        match error {
            Error::Failed(text) if !self.is_root() => {
                format!("rank {} on host {} {text}", self.rank(), crate::report::host())
            }
            other => other.to_string(),
        }
    }
}

fn own_name() -> Name {
    let (mut name, host) = (Name::zeroed(), crate::report::host());
    let host = &host.as_bytes()[..host.floor_char_boundary(name.host.len())];
    name.host[..host.len()].copy_from_slice(host);
    Name { pid: u64::from(std::process::id()), host_len: host.len() as u64, ..name }
}
