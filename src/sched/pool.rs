//! Long-lived worker processes that get blocks as they become free.

use crate::base::error::Result;
use crate::job::Task;
use crate::node::cpus;
use crate::observe::report::Report;
use crate::sched::manager::{self, Lifetime};
use crate::sched::{Attempt, BlockSizing, Opened};

/// Values that are worth handing to another process: whoever asks for one wants it, as one function may
/// take its time.
const GRAIN: u64 = 1;

/// Runs `task` once. `attempt` says which run of it this is.
///
/// # Errors
/// The first thing that fails, in block order; all answers before it have been written.
pub fn run(task: &Task, attempt: &Attempt) -> Result<Report> {
    let opened = Opened::of(task)?;
    let workers = task.workers.unwrap_or_else(cpus::usable);
    let layout = BlockSizing::one_by_one(task, &opened.bound, workers, opened.source.left(), GRAIN);
    manager::over_processes(task, &layout, opened, Lifetime::Run, attempt)
}
