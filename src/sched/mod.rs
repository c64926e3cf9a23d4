//! Who runs the blocks: one scheduler over one of several transports, which a pattern chooses ([`patterns`]).
//!
//! Blocks are taken from the block source as they come, each is worked on, and the answers go to the collector in
//! block order. Nothing here looks at what the function does, and no more than a bounded number of blocks is held.

mod bisect;
mod collector;
mod instance;
pub mod map;
pub mod merge;
mod pace;
pub mod patterns;
#[cfg(feature = "mpi")]
pub mod ranks;
mod result_header;
mod scheduler;
pub mod sizing;
mod transport;

use std::cell::RefCell;
use std::sync::OnceLock;

use crate::base::error::{Error, Result};
use crate::base::lanes::Lanes;
use crate::base::time::Timestamp;
use crate::input::blocks::BlockSource;
use crate::job::pattern::PatternName;
use crate::job::shard::ShardMode;
use crate::job::{Job, Task};
use crate::mpi::communicator::Communicator;
use crate::observe::report::Report;
use crate::observe::trace::Timeline;
use crate::op::Bound;
use crate::sched::instance::Instance;

/// One run of a task: which of its repetitions, and what is known of it if it fails.
#[derive(Debug, Default)]
pub struct Attempt {
    /// It is the first, which alone writes to standard output.
    pub is_first: bool,
    /// When who worked on what until it failed, where the task is traced. Not of ranks, which have not said then
    /// where they are.
    pub failed: RefCell<Option<Timeline>>,
}

impl Attempt {
    /// The first run, or a repetition.
    pub fn new(is_first: bool) -> Self {
        Self { is_first, ..Self::default() }
    }
}

/// How the ranks of a run do a task together, as `ranks` has it in programs that are linked with MPI.
pub type OverRanks = fn(&dyn Communicator, &Task, &Job, &Attempt) -> Result<Option<Report>>;

static OVER_RANKS: OnceLock<OverRanks> = OnceLock::new();

/// From now on ranks run tasks so.
#[cfg_attr(not(feature = "mpi"), allow(dead_code))]
fn provide_ranks(run: OverRanks) {
    let _ = OVER_RANKS.set(run);
}

/// Runs `task` once, together with all other ranks; `attempt` says which run of it this is. The report is on rank 0.
///
/// # Errors
/// The first thing that fails, in block order; [`Error::ReportedByRoot`] on the other ranks.
pub fn over_ranks(
    ranks: &dyn Communicator,
    task: &Task,
    job: &Job,
    attempt: &Attempt,
) -> Result<Option<Report>> {
    match OVER_RANKS.get() {
        Some(run) => run(ranks, task, job, attempt),
        None => Err(Error::Failed("cannot run over ranks: this program is not linked with MPI".into())),
    }
}

/// The input of a task, opened.
struct Opened {
    /// When the run began.
    began: Timestamp,
    source: BlockSource,
    bound: Bound,
}

impl Opened {
    /// Opens the input of `task`; errors as [`BlockSource::open`], [`Bound::of`] and [`begin`](crate::op::BoundFunction::begin).
    fn of(task: &Task) -> Result<Self> {
        let began = Timestamp::now();
        let (source, info) = BlockSource::open(task)?;
        let bound = Bound::of(task, info)?;
        let will_fork = matches!(task.pattern, PatternName::Process | PatternName::Pool);
        // Ranks do it together, and who joins parts calls nothing.
        let is_shared = task.pattern == PatternName::Mpi && task.work.is_python();
        let is_needed = !is_shared && !matches!(task.portion, ShardMode::Merged(_));
        if let Some(function) = bound.function.as_ref().filter(|_| is_needed) {
            function.begin(will_fork, || Instance::of(0, (0, 1), Lanes::Scalar).worker(task))?;
        }
        Ok(Self { began, source, bound })
    }
}
