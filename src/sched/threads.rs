//! Threads of this process.
//!
//! Own scoped threads, and not a library's pool: blocks are large, so what counts is that they are handed
//! out in order and in bounded memory, which the scheduler does for processes too.

use std::thread;

use crate::base::error::Result;
use crate::base::lanes::Lanes;
use crate::job::Task;
use crate::job::schedule::{Schedule, ScheduleKind};
use crate::node::cpus;
use crate::observe::report::Report;
use crate::sched::manager::spawn::ThreadSpawner;
use crate::sched::manager::{Lifetime, Manager, TaskContext, new_ring};
use crate::sched::{Attempt, BlockSizing, Collector, Opened, serial};

/// Values that are worth handing to another thread.
const GRAIN: u64 = 4096;

/// Runs `task` once. `attempt` says which run of it this is.
///
/// # Errors
/// The first thing that fails, in block order; all answers before it have been written.
pub fn run(task: &Task, attempt: &Attempt) -> Result<Report> {
    let opened = Opened::of(task)?;
    let left = opened.source.left();
    let (workers, grain) = match task.workers.or(task.threads) {
        // Who says how many workers wants them all to have something to do.
        Some(asked) => (asked, 1),
        // So little is one block, however many workers there could be: finding that out takes longer.
        None if task.schedule == Schedule::default() && left.is_some_and(|left| left <= GRAIN) => (1, GRAIN),
        None => (cpus::usable(), GRAIN),
    };
    let layout = BlockSizing::one_by_one(task, &opened.bound, workers, left, grain);
    let guided = task.schedule.kind == Some(ScheduleKind::Guided);
    let block = if guided { layout.smallest } else { layout.block };
    let blocks = left.map(|left| left.div_ceil(block));
    if workers == 1 || blocks.is_some_and(|blocks| blocks <= 1) {
        // A thread that works while this one waits gains nothing.
        return serial::run_opened(task, &layout, opened, Lanes::best(), attempt);
    }
    let Opened { began, mut source, bound } = opened;
    let ring = new_ring(&layout)?;
    let mut collector = Collector::open(task, &bound, &source, workers, began, attempt)?;
    let context = TaskContext { task, bound: &bound, layout: &layout, ring: &ring };
    let outcome = thread::scope(|scope| {
        let spawn = ThreadSpawner { scope, context };
        collector.whole(|collector| {
            Manager::new(context, spawn, Lifetime::Run).works()?.run(&mut source, collector)
        })
    });
    collector.close(outcome)
}
