//! The patterns of one machine: who the workers are, how long they live, and how large blocks are begun with. Ranks have
//! theirs in [`ranks`](super::ranks).

use std::io;
use std::thread;
use std::time::Duration;

use crate::base::error::{Error, Result, plain};
use crate::base::lanes::Lanes;
use crate::data::partition;
use crate::job::schedule::{Schedule, ScheduleKind};
use crate::job::{Task, Unit};
use crate::node::cpus;
use crate::observe::report::Report;
use crate::sched::collector::Collector;
use crate::sched::pace::Pace;
use crate::sched::scheduler::Scheduler;
use crate::sched::sizing::{BlockSizing, kind_of};
use crate::sched::transport::arena::{Arena, Shape};
use crate::sched::transport::local::{Lifetime, Local, TaskContext};
use crate::sched::transport::spawn::{ForkSpawner, Nobody, ThreadSpawner};
use crate::sched::transport::worker::Worker;
use crate::sched::{Attempt, Opened};

/// Values that are worth handing to another thread.
const THREAD_GRAIN: u64 = 4096;

/// The same for another process: whoever asks for one wants it, as one function may take its time.
const PROCESS_GRAIN: u64 = 1;

/// What must be left for each thread so that it is worth its start.
const THREAD_START: Duration = Duration::from_micros(250);

/// The same for a process.
const PROCESS_START: Duration = Duration::from_millis(1);

/// Runs `task` once in this thread, one block after the other: with scalar lanes the reference that every other pattern
/// must equal to the byte, with vector lanes the simd pattern. `attempt` says which run of it this is.
///
/// # Errors
/// The first thing that fails, in block order; all answers before it have been written.
pub fn serial(task: &Task, lanes: Lanes, attempt: &Attempt) -> Result<Report> {
    let opened = Opened::of(task)?;
    if opened.bound.is_costly() {
        // Answers are given as they come, and not all at the end.
        let layout = BlockSizing::one_by_one(task, &opened.bound, 1, opened.source.left(), PROCESS_GRAIN);
        return alone(task, &layout, opened, lanes, attempt);
    }
    let mut layout = BlockSizing::in_rounds(task, &opened.bound, 1, false);
    if let Some(left) = opened.source.left().filter(|left| *left > 0) {
        // Of nearly the same size.
        layout.block = left.div_ceil(partition::parts_in_rounds(left, 1, layout.block));
    }
    alone(task, &layout, opened, lanes, attempt)
}

/// Runs a task whose input is open in this thread.
fn alone(
    task: &Task,
    layout: &BlockSizing,
    opened: Opened,
    lanes: Lanes,
    attempt: &Attempt,
) -> Result<Report> {
    tracing::debug!("lanes: {}", lanes.name());
    let Opened { began, mut source, bound } = opened;
    let layout = &BlockSizing { workers: 1, ..*layout };
    let arena = new_arena(Shape { slots: 1, buffers: 1, ..Shape::one_by_one(layout) }, false)?;
    let context = TaskContext { task, bound: &bound, layout, arena: &arena };
    let mut collector = Collector::open(task, &bound, &source, 1, began, attempt)?;
    let outcome = collector.whole(|collector| {
        let worker = Worker::manager(context, lanes)?;
        let transport = Local::new(context, Nobody, Lifetime::Run).works(worker);
        let pace = Pace::new(kind_of(task, &bound), 1, None);
        Scheduler::new((task, &bound, layout), transport, pace, collector).run(&mut source)
    });
    collector.close(outcome)
}

/// Runs `task` once over threads of this process, which is one of them. `attempt` says which run of it this is.
///
/// Own scoped threads, and not a library's pool: blocks are large, so what counts is that they are handed
/// out in order and in bounded memory, which the scheduler does for processes too.
///
/// # Errors
/// As those of [`serial`].
pub fn threads(task: &Task, attempt: &Attempt) -> Result<Report> {
    let opened = Opened::of(task)?;
    let left = opened.source.left();
    let asked = task.workers.or(task.threads);
    let (workers, grain) = match asked {
        // Who says how many workers wants them all to have something to do.
        Some(asked) => (asked, 1),
        // So little is one block, however many workers there could be: finding that out takes longer.
        None if task.schedule == Schedule::default()
            && left.is_some_and(|left| left <= THREAD_GRAIN)
            && !opened.bound.is_costly() =>
        {
            (1, THREAD_GRAIN)
        }
        None => (cpus::usable(), THREAD_GRAIN),
    };
    let layout = BlockSizing::one_by_one(task, &opened.bound, workers, left, grain);
    let kind = kind_of(task, &opened.bound);
    let start = (asked.is_none() && !opened.bound.is_costly()).then_some(THREAD_START);
    let pace = pace(task, kind, workers, start).with_cost(opened.bound.is_costly());
    let varies = matches!(kind, ScheduleKind::Guided | ScheduleKind::Adaptive);
    let block = if varies { layout.smallest } else { layout.block };
    let blocks = left.map(|left| left.div_ceil(block));
    if workers == 1 || blocks.is_some_and(|blocks| blocks <= 1) {
        // A thread that works while this one waits gains nothing.
        return alone(task, &layout, opened, Lanes::best(), attempt);
    }
    let Opened { began, mut source, bound } = opened;
    let arena = new_arena(Shape::one_by_one(&layout), false)?;
    let mut collector = Collector::open(task, &bound, &source, workers, began, attempt)?;
    let context = TaskContext { task, bound: &bound, layout: &layout, arena: &arena };
    let outcome = thread::scope(|scope| {
        let spawn = ThreadSpawner { scope, context };
        collector.whole(|collector| {
            let transport = Local::new(context, spawn, Lifetime::Run);
            // A manager that is in the middle of a long item would hand out nothing.
            let transport = match bound.is_costly() || kind == ScheduleKind::Adaptive {
                true => transport,
                false => transport.works(Worker::manager(context, Lanes::best())?),
            };
            source.limit_texts(BlockSizing::enough_texts(arena.shape().slots));
            Scheduler::new((task, &bound, &layout), transport, pace, collector).run(&mut source)
        })
    });
    collector.close(outcome)
}

/// Runs `task` once over long-lived worker processes that get blocks as they become free. `attempt` says which run of it
/// this is.
///
/// # Errors
/// As those of [`serial`].
pub fn pool(task: &Task, attempt: &Attempt) -> Result<Report> {
    let opened = Opened::of(task)?;
    let workers = task.workers.unwrap_or_else(cpus::usable);
    let layout = BlockSizing::one_by_one(task, &opened.bound, workers, opened.source.left(), PROCESS_GRAIN);
    let kind = kind_of(task, &opened.bound);
    let start = (task.workers.is_none() && !opened.bound.is_costly()).then_some(PROCESS_START);
    let pace = pace(task, kind, workers, start).with_cost(opened.bound.is_costly());
    over_processes(task, &layout, opened, (Lifetime::Run, pace), attempt)
}

/// Runs `task` once with one process for each block: one value, or one section of a file, unless the user asks for larger
/// ones. `attempt` says which run of it this is.
///
/// # Errors
/// As those of [`serial`].
pub fn process(task: &Task, attempt: &Attempt) -> Result<Report> {
    let opened = Opened::of(task)?;
    let workers = task.workers.unwrap_or_else(cpus::usable);
    // With one value in all, blocks of one value.
    let left = match (task.work.unit(), task.schedule.block, task.schedule.kind) {
        (Unit::Values, None, None | Some(ScheduleKind::Dynamic)) => Some(1),
        _ => opened.source.left(),
    };
    let layout = BlockSizing::one_by_one(task, &opened.bound, workers, left, 1);
    let kind = task.schedule.kind.unwrap_or(ScheduleKind::Dynamic);
    let pace = Pace::new(kind, workers, None).with_cost(opened.bound.is_costly());
    over_processes(task, &layout, opened, (Lifetime::Block, pace), attempt)
}

fn over_processes(
    task: &Task,
    layout: &BlockSizing,
    opened: Opened,
    (stay, pace): (Lifetime, Pace),
    attempt: &Attempt,
) -> Result<Report> {
    let Opened { began, mut source, bound } = opened;
    let arena = new_arena(Shape::one_by_one(layout), true)?;
    let context = TaskContext { task, bound: &bound, layout, arena: &arena };
    let transport = Local::new(context, ForkSpawner::new(context)?, stay);
    let mut collector = Collector::open(task, &bound, &source, layout.workers, began, attempt)?;
    source.limit_texts(BlockSizing::enough_texts(arena.shape().slots));
    let outcome = collector.whole(|collector| {
        Scheduler::new((task, &bound, layout), transport, pace, collector).run(&mut source)
    });
    collector.close(outcome)
}

/// How large the blocks of a task are, which `workers` are to do; with `start` they are started as it is worth it.
fn pace(task: &Task, kind: ScheduleKind, workers: usize, start: Option<Duration>) -> Pace {
    Pace::new(kind, workers, start.filter(|_| task.schedule == Schedule::default()))
}

/// Memory for the blocks and results in flight, which processes are to share or not.
///
/// # Errors
/// The system gives no such memory.
fn new_arena(shape: Shape, is_shared: bool) -> Result<Arena> {
    let explain = |e: io::Error| {
        Error::Failed(format!("cannot get memory for blocks and their answers: {}", plain(&e)))
    };
    Arena::new(shape, is_shared).map_err(explain)
}
