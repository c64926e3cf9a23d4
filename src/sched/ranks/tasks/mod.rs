//! Tasks over ranks: blocks go to whichever worker of whichever rank is free, one by one, by messages from one rank to
//! another or through shared memory; nobody waits for a round of all.
//!
//! Rank 0's main thread runs the scheduler over [`Tasks`]; each rank, rank 0 as well, has worker threads besides its main
//! thread. Those on rank 0's node share its arena and take blocks from there themselves, as forked processes do; on other
//! nodes the main thread passes blocks and answers on ([`relay`]). MPI is called by main threads alone. Whoever has
//! nothing to do sleeps.

mod credit;
mod far;
mod mail;
mod message;
mod relay;
mod transport;
mod waker;

use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use far::FarRanks;
use relay::Relay;
use transport::Tasks;
use waker::WordWaker;

use super::command::TASKS;
use super::{RankContext, get_memory, ranks_are_alone};
use crate::base::error::{Error, Result};
use crate::base::{futex, signals};
use crate::input::blocks::BlockSource;
use crate::job::Task;
use crate::job::schedule::ScheduleKind;
use crate::mpi::linked::Teller;
use crate::op::Bound;
use crate::op::record::Recorded;
use crate::sched::collector::Collector;
use crate::sched::pace::Pace;
use crate::sched::scheduler::Scheduler;
use crate::sched::sizing::{BlockSizing, kind_of};
use crate::sched::transport::arena::{Arena, Shape};
use crate::sched::transport::deaths;
use crate::sched::transport::local::TaskContext;
use crate::sched::transport::protocol::{Words, WorkerSide};
use crate::sched::transport::worker::{Start, Worker};

/// Values that are worth handing out: whoever wants tasks may have one that takes its time.
const GRAIN: u64 = 1;

/// Bytes of answers that workers may be ahead, where all of that is reserved beforehand.
const RUN_AHEAD: usize = 8 * 1024 * 1024;

/// How often a rank that shares rank 0's memory looks for signals.
const LOOK: Duration = Duration::from_millis(50);

/// How blocks are handed out as tasks; `None` where they are in rounds, by turns.
pub(super) fn kind(task: &Task, bound: &Bound) -> Option<ScheduleKind> {
    match (task.schedule.kind, kind_of(task, bound)) {
        (Some(ScheduleKind::Static), _) => None,
        (Some(kind), _) => Some(kind),
        // What is said of rows takes room beside each answer, which rounds hold for all workers at once.
        (None, kind) if Recorded::of(task, bound.is_open) != Recorded::None => Some(kind),
        // Nobody knows what an item costs.
        (None, kind) if bound.is_costly() => Some(kind),
        (None, _) => None,
    }
}

/// What all ranks make of the task, before any block: the same on each of them.
struct Plan {
    layout: BlockSizing,
    shape: Shape,
}

/// What a rank is in it.
enum Part {
    /// It shares this memory with rank 0.
    Near(Rc<Arena>),
    Far,
}

impl RankContext<'_> {
    fn plan(&self, left: Option<u64>) -> Plan {
        let workers = self.ranks * self.threads;
        let layout = BlockSizing::one_by_one(self.task, &self.bound, workers, left, GRAIN);
        let run_ahead = layout.run_ahead.min(RUN_AHEAD);
        let shape = Shape { spare: 0, ..Shape::one_by_one(&BlockSizing { run_ahead, ..layout }) };
        Plan { layout, shape }
    }

    /// Rank 0's part in a run of tasks, until all answers have been written.
    ///
    /// # Errors
    /// The first thing that failed, in block order; all answers before it have been written.
    pub(super) fn lead_tasks(
        &mut self,
        kind: ScheduleKind,
        source: &mut BlockSource,
        collector: &mut Collector,
    ) -> Result<()> {
        let left = source.left();
        let Plan { layout, shape } = self.plan(left);
        self.command_all(TASKS, left.unwrap_or(u64::MAX));
        let (shared, near) = self.share_memory(shape, self.ranks > 1 && !ranks_are_alone(), true);
        let arena = shared.unwrap_or_else(|| Rc::new(get_memory(self.mpi, shape)));
        source.limit_texts(BlockSizing::enough_texts(shape.slots));
        let (ranks, threads) = (self.ranks, self.threads);
        let is_near = |rank: usize| rank == 0 || near[rank];
        let far = (0..self.mpi.ranks()).filter(|rank| !is_near(*rank));
        let far = far.map(|rank| (rank, if rank < ranks { threads } else { 0 }));
        let far = FarRanks::new(self.mpi, far, shape.slots);
        let workers = self.workers_near(&near);
        let bound = self.bound.clone();
        let context = TaskContext { task: self.task, bound: &bound, layout: &layout, arena: &arena };
        let (teller, own) = (self.mpi.teller(), self.workers_of(0));
        let (outcome, share) = thread::scope(|scope| {
            let transport = Tasks::new(context, &workers, far);
            let pace = Pace::new(kind, layout.workers, None).with_cost(bound.is_costly());
            let scheduler = Scheduler::new((self.task, &bound, &layout), transport, pace, collector);
            let threads = start(scope, context, (own.clone(), 0), (&workers, teller));
            let outcome = match &threads {
                Ok(_) => scheduler.run(source),
                Err(error) => scheduler.give_up(deaths::no_worker(error)),
            };
            (outcome, count(threads.unwrap_or_default()))
        });
        self.add_share(share);
        outcome
    }

    /// The part of every other rank, until rank 0 says that it is over.
    pub(super) fn take_tasks(&mut self, left: u64) {
        let Plan { layout, shape } = self.plan((left != u64::MAX).then_some(left));
        let (shared, near) = self.share_memory(shape, false, true);
        let rank = self.mpi.rank();
        let part = shared.filter(|_| near[rank]).map_or(Part::Far, Part::Near);
        // One that takes no part waits, too.
        let workers = if rank < self.ranks { self.workers_of(rank) } else { 0..0 };
        let arena = match &part {
            Part::Near(arena) => arena.clone(),
            Part::Far => {
                let count = self.threads;
                let slots = shape.slots.min(count * credit::MOST);
                let buffers = shape.buffers.max(slots.div_ceil(count).min(shape.slots)).min(credit::MOST);
                let shape = Shape { workers: count, slots, buffers, ..shape };
                Rc::new(get_memory(self.mpi, shape))
            }
        };
        let mates = match &part {
            Part::Near(_) => self.workers_near(&near),
            Part::Far => (0..workers.len()).collect(),
        };
        let bound = std::mem::take(&mut self.bound);
        let context = TaskContext { task: self.task, bound: &bound, layout: &layout, arena: &arena };
        let (mpi, teller) = (self.mpi, self.mpi.teller());
        let share = thread::scope(|scope| match part {
            Part::Near(_) => {
                let threads = start(scope, context, (workers, rank), (&mates, teller));
                if let Err(error) = &threads {
                    // The workers of others do the work.
                    tracing::warn!("{}", deaths::no_worker(error));
                }
                attend(&arena);
                count(threads.unwrap_or_default())
            }
            Part::Far => {
                let workers = 0..workers.len();
                let threads = start(scope, context, (workers.clone(), rank), (&mates, teller));
                let lacks = threads.as_ref().err().map(|error| deaths::no_worker(error).to_string());
                Relay::new(mpi, context.arena, workers.len(), lacks).run();
                count(threads.unwrap_or_default())
            }
        });
        self.bound = bound;
        self.add_share(share);
    }

    fn workers_of(&self, rank: usize) -> Range<usize> {
        rank * self.threads..(rank + 1) * self.threads
    }

    /// The workers that share rank 0's memory, where `near` says which ranks do.
    fn workers_near(&self, near: &[bool]) -> Vec<usize> {
        let ranks = (0..self.ranks).filter(|rank| *rank == 0 || near[*rank]);
        ranks.flat_map(|rank| self.workers_of(rank)).collect()
    }

    fn add_share(&mut self, (blocks, items): (u64, u64)) {
        self.share.0 += blocks;
        self.share.1 += items;
    }
}

/// A worker that runs in a thread: in the end, how many blocks and items it has done.
type Running<'scope> = ScopedJoinHandle<'scope, (u64, u64)>;

/// Starts the workers with these places in the arena, of this rank: as many as the system has room for.
///
/// # Errors
/// There is no room for any.
fn start<'scope, 'env: 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    context: TaskContext<'scope>,
    (places, rank): (Range<usize>, usize),
    (mates, teller): (&[usize], Teller),
) -> io::Result<Vec<Running<'scope>>> {
    let mut running = Vec::new();
    let threads = places.len();
    for (thread, place) in places.enumerate() {
        let start = Start { worker: place, number: rank, held: None, once: false, from: 0 };
        let waker = WordWaker::new(mates.to_vec(), teller);
        let worker = Worker::new(context, rank, (thread, threads), waker);
        let builder = thread::Builder::new().name(format!("worker {place}"));
        match builder.spawn_scoped(scope, move || worker.run(start)) {
            Ok(handle) => running.push(handle),
            Err(error) if running.is_empty() => return Err(error),
            Err(error) => {
                tracing::warn!("{}", deaths::no_worker(&error));
                break;
            }
        }
    }
    Ok(running)
}

/// Waits for the end of workers, and adds up what they have done.
fn count(workers: Vec<Running>) -> (u64, u64) {
    let done = workers.into_iter().filter_map(|worker| worker.join().ok());
    done.fold((0, 0), |(blocks, items), done| (blocks + done.0, items + done.1))
}

/// Sleeps until rank 0 says that it is over, and tells it of a signal that comes here.
fn attend(arena: &Arena) {
    while !arena.is_closed() {
        if let Err(Error::Interrupted(signal)) = signals::check() {
            arena.hear(signal);
        }
        futex::wait(arena.closed(), 0, LOOK);
    }
}
