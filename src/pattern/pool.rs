//! Long-lived worker processes that get blocks as they become free.

use crate::cpus;
use crate::error::Result;
use crate::job::Task;
use crate::pattern::crew::{self, Stay};
use crate::pattern::{Layout, Opened};
use crate::report::Report;

/// Values that are worth handing to another process: whoever asks for one wants it, as one function may
/// take its time.
const GRAIN: u64 = 1;

/// Runs `task` once. `first` as in [`crate::output::open`].
///
/// # Errors
/// The first thing that fails, in block order; all answers before it have been written.
pub fn run(task: &Task, first: bool) -> Result<Report> {
    let opened = Opened::of(task)?;
    let workers = task.workers.unwrap_or_else(cpus::usable);
    let layout = Layout::one_by_one(task, workers, opened.feed.left(), GRAIN);
    crew::over_processes(task, &layout, opened, Stay::Run, first)
}
