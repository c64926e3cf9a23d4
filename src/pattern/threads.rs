//! Threads of this process.
//!
//! Own scoped threads, and not a library's pool: blocks are large, so what counts is that they are handed
//! out in order and in bounded memory, which the crew does for processes too.

use std::thread;

use crate::cpus;
use crate::error::Result;
use crate::function::lanes::Lanes;
use crate::job::{Schedule, ScheduleKind, Task};
use crate::pattern::crew::hire::Threads;
use crate::pattern::crew::{Errand, Lead, Stay, new_ring};
use crate::pattern::{Desk, Layout, Opened, serial};
use crate::report::Report;

/// Values that are worth handing to another thread.
const GRAIN: u64 = 4096;

/// Runs `task` once. `first` as in [`crate::output::open`].
///
/// # Errors
/// The first thing that fails, in block order; all answers before it have been written.
pub fn run(task: &Task, first: bool) -> Result<Report> {
    let opened = Opened::of(task)?;
    let left = opened.feed.left();
    let (workers, grain) = match task.workers.or(task.threads) {
        // Who says how many workers wants them all to have something to do.
        Some(asked) => (asked, 1),
        // So little is one block, however many workers there could be: finding that out takes longer.
        None if task.schedule == Schedule::default() && left.is_some_and(|left| left <= GRAIN) => (1, GRAIN),
        None => (cpus::usable(), GRAIN),
    };
    let layout = Layout::one_by_one(task, workers, left, grain);
    let guided = task.schedule.kind == Some(ScheduleKind::Guided);
    let block = if guided { layout.smallest } else { layout.block };
    let blocks = left.map(|left| left.div_ceil(block));
    if workers == 1 || blocks.is_some_and(|blocks| blocks <= 1) {
        // A thread that works while this one waits gains nothing.
        return serial::run_opened(task, &layout, opened, Lanes::best(), first);
    }
    let Opened { began, mut feed, facts } = opened;
    let ring = new_ring(&layout, &feed)?;
    let mut desk = Desk::open(task, &facts, &feed, workers, began, first)?;
    let errand = Errand { task, facts: &facts, layout: &layout, ring: &ring };
    let outcome = thread::scope(|scope| {
        let hire = Threads { scope, errand };
        desk.whole(|desk| Lead::new(errand, hire, Stay::Run).works()?.run(&mut feed, desk))
    });
    desk.close(outcome)
}
