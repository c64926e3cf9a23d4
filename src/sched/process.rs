//! One process for each block: one value, or one section of a file, unless the user asks for larger ones.

use crate::base::error::Result;
use crate::job::schedule::ScheduleKind;
use crate::job::{Task, Unit};
use crate::node::cpus;
use crate::observe::report::Report;
use crate::sched::manager::{self, Lifetime};
use crate::sched::{Attempt, BlockSizing, Opened};

/// Runs `task` once. `attempt` says which run of it this is.
///
/// # Errors
/// The first thing that fails, in block order; all answers before it have been written.
pub fn run(task: &Task, attempt: &Attempt) -> Result<Report> {
    let opened = Opened::of(task)?;
    let workers = task.workers.unwrap_or_else(cpus::usable);
    // With one value in all, blocks of one value.
    let left = match (task.work.unit(), task.schedule.block, task.schedule.kind) {
        (Unit::Values, None, None | Some(ScheduleKind::Dynamic)) => Some(1),
        _ => opened.source.left(),
    };
    let layout = BlockSizing::one_by_one(task, &opened.bound, workers, left, 1);
    manager::over_processes(task, &layout, opened, Lifetime::Block, attempt)
}
