//! One process for each block: one value, or one section of a file, unless the user asks for larger ones.

use crate::cpus;
use crate::error::Result;
use crate::job::{ScheduleKind, Task, Work};
use crate::pattern::crew::{self, Stay};
use crate::pattern::{Layout, Opened};
use crate::report::Report;

/// Runs `task` once. `first` as in [`crate::output::open`].
///
/// # Errors
/// The first thing that fails, in block order; all answers before it have been written.
pub fn run(task: &Task, first: bool) -> Result<Report> {
    let opened = Opened::of(task)?;
    let workers = task.workers.unwrap_or_else(cpus::usable);
    // With one value in all, blocks of one value.
    let left = match (&task.work, task.schedule.block, task.schedule.kind) {
        (Work::Map { .. }, None, None | Some(ScheduleKind::Dynamic)) => Some(1),
        _ => opened.feed.left(),
    };
    let layout = Layout::one_by_one(task, workers, left, 1);
    crew::over_processes(task, &layout, opened, Stay::Block, first)
}
