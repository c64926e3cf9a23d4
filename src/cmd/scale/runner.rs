//! Runs one point of a study for real, timed by this machine's monotonic clock: here, or over the first
//! ranks of an MPI run.
//!
//! Under MPI rank 0 leads ([`Runner`]) and all others [`follow`]: they sleep until rank 0 has a point for
//! them, and those that it is for become a run of their own with it, over a communicator of the first ranks.
//! The others sleep on, so that they take no time from those that are measured.

use std::time::Instant;

use tracing::subscriber::{NoSubscriber, with_default};

use crate::base::error::{Error, Result};
use crate::base::fmt::counted;
use crate::cmd::run::here;
use crate::cmd::scale::measure::{Bench, Lap, Partly};
use crate::cmd::scale::plan::Spot;
use crate::data::dtype::Dtype;
use crate::data::fraction::Fraction;
use crate::input::blocks::BlockSource;
use crate::job::command::Function;
use crate::job::input::Numbers;
use crate::job::output::Output;
use crate::job::pattern::PatternName;
use crate::job::shard::ShardMode;
use crate::job::values::Range;
use crate::job::{Job, Task, Work};
use crate::mpi::communicator::{Communicator, Words};
use crate::observe::report::Report;
use crate::sched::{self, Attempt};

/// What rank 0 says to the others, with the number of a task and of ranks: the first so many ranks become a
/// run of their own for a point of that task.
const TEAM: u64 = 1;
/// What rank 0 says to that run, with part and whole of a share, and a count: run that share of the task so often.
const TASK: u64 = 2;
/// The same, with a number of items: run next to no input instead, of so many.
const START: u64 = 3;
/// The point, or the study, is done.
const DONE: u64 = 4;

/// Runs points of one task.
pub struct Runner<'a> {
    /// The number of the task.
    pub number: usize,
    /// The task itself.
    pub task: &'a mut Task,
    /// The job that it is from.
    pub job: &'a Job,
    /// The MPI run that this is, if it is one.
    pub ranks: Option<&'a dyn Communicator>,
    /// See [`Bench::tick`].
    pub tick: f64,
}

impl Runner<'_> {
    /// Can a part of its input be taken, and be told from all of it? A file of results is only ever whole.
    pub fn can_be_shared(&mut self) -> bool {
        self.task.share = Fraction::first(1, 2);
        !matches!(self.task.output, Output::File(..)) && BlockSource::open(self.task).is_ok()
    }

    /// Does `work` with a bench for `spot`.
    ///
    /// # Errors
    /// The point cannot be run here, or `work` fails.
    pub fn with<T>(&mut self, spot: Spot, work: impl FnOnce(&mut Trial) -> Result<T>) -> Result<T> {
        let team = match (spot.pattern, self.ranks) {
            (PatternName::Mpi, Some(ranks)) => {
                if spot.workers > ranks.count() {
                    return Err(Error::Failed(format!(
                        "there {} only {}; start more: mpirun -n {} parpy scale …",
                        if ranks.count() == 1 { "is" } else { "are" },
                        counted(ranks.count() as u64, "rank"),
                        spot.workers
                    )));
                }
                ranks.ibcast_sleeping([TEAM, self.number as u64, spot.workers as u64, 0]);
                ranks.split(spot.workers)?
            }
            (PatternName::Process | PatternName::Pool, Some(_)) => {
                return Err(Error::Failed(
                    "worker processes cannot be forked from an MPI rank; without mpirun they can, and the points of \
                     mpi start it themselves"
                        .into(),
                ));
            }
            _ => None,
        };
        self.task.pattern = spot.pattern;
        self.task.workers = Some(spot.workers);
        let mut trial = Trial {
            task: self.task,
            workers: spot.workers,
            job: self.job,
            team: team.as_deref(),
            tick: self.tick,
            what: What::Task(spot.share),
            warned: false,
        };
        let outcome = work(&mut trial);
        if let Some(team) = &team {
            team.bcast([DONE, 0, 0, 0]);
        }
        outcome
    }

    /// Tells the other ranks that there are no more points.
    pub fn dismiss(ranks: Option<&dyn Communicator>) {
        if let Some(ranks) = ranks {
            ranks.ibcast_sleeping([DONE, 0, 0, 0]);
        }
    }
}

/// What a trial runs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    /// So much of the task.
    Task(Fraction),
    /// Next to no input, of which a part of the task's own cannot be taken: so many items.
    Start(u64),
}

impl What {
    /// How rank 0 tells the others to do it `times` times.
    fn words(self, times: usize) -> Words {
        match self {
            Self::Task(Fraction { to, whole, .. }) => [TASK, to, whole, times as u64],
            Self::Start(items) => [START, items, 0, times as u64],
        }
    }

    /// What rank 0 has told, and how many times; `None` when the point is done.
    fn told([what, part, whole, times]: Words) -> Option<(Self, u64)> {
        match what {
            TASK => Some((Self::Task(Fraction::first(part, whole)), times)),
            START => Some((Self::Start(part), times)),
            _ => None,
        }
    }

    /// The task that does it: `task` itself, or another that is put into `start`.
    fn task<'a>(self, task: &'a mut Task, start: &'a mut Option<Task>) -> &'a Task {
        match self {
            Self::Task(share) => {
                task.share = share;
                task
            }
            Self::Start(items) => start.insert(start_up(task, items)),
        }
    }
}

/// One point, ready to be run.
pub struct Trial<'a> {
    task: &'a mut Task,
    workers: usize,
    job: &'a Job,
    team: Option<&'a dyn Communicator>,
    tick: f64,
    /// What is run next.
    what: What,
    /// Warnings are the same each time.
    warned: bool,
}

impl Trial<'_> {
    /// From now on runs next to no input: of the task's own a value, or a byte of a file, for each worker, so
    /// that as many are started. What is left is the start-up.
    ///
    /// # Errors
    /// The input cannot be opened.
    pub fn take_start(&mut self) -> Result<()> {
        let workers = self.workers as u64;
        // A file of results is only ever of all of the input.
        let is_file = matches!(self.task.output, Output::File(..));
        self.what = match if is_file { None } else { self.items()? } {
            Some(0) => What::Task(Fraction::ALL),
            Some(items) => What::Task(Fraction::first(workers.min(items), items)),
            None => What::Start(workers),
        };
        Ok(())
    }

    /// Values, or bytes of the file, where that is known before they are read.
    fn items(&mut self) -> Result<Option<u64>> {
        self.task.share = Fraction::ALL;
        Ok(BlockSource::open(self.task)?.0.left())
    }

    /// Bytes of a share of the input.
    ///
    /// # Errors
    /// It cannot be opened, or its size is not known before it is read.
    pub fn bytes(&mut self, share: Fraction) -> Result<u64> {
        self.task.share = share;
        let (source, _) = BlockSource::open(self.task)?;
        Ok(source.bytes().unwrap_or(0))
    }
}

impl Partly for Trial<'_> {
    fn take(&mut self, share: Fraction) {
        self.what = What::Task(share);
    }
}

impl Bench for Trial<'_> {
    fn run(&mut self, times: usize) -> Result<Lap> {
        if let Some(team) = self.team {
            team.bcast(self.what.words(times));
        }
        let mut start = None;
        let task = self.what.task(self.task, &mut start);
        let (job, team) = (self.job, self.team);
        let runs = || -> Result<Lap> {
            let (mut lap, began) = (Lap::default(), Instant::now());
            for _ in 0..times {
                let report = match team {
                    Some(team) => sched::over_ranks(team, task, job, &Attempt::new(true))?,
                    None => Some(here(task, &Attempt::new(true))?),
                };
                if let Some(report) = report {
                    lap.busy += busy(&report) / times as f64;
                    (lap.items, lap.bytes) = (report.items, report.bytes);
                    lap.workers = report.worker.iter().filter(|worker| worker.blocks > 0).count();
                }
            }
            Ok(Lap { seconds: began.elapsed().as_secs_f64(), ..lap })
        };
        if std::mem::replace(&mut self.warned, true) {
            with_default(NoSubscriber::new(), runs)
        } else {
            runs()
        }
    }

    fn tick(&self) -> f64 {
        self.tick
    }
}

fn busy(report: &Report) -> f64 {
    report.worker.iter().map(|worker| worker.busy_seconds).sum()
}

/// The part of every rank but 0 in a study of these tasks.
///
/// # Errors
/// A communicator cannot be made.
pub fn follow(tasks: &mut [Task], job: &Job, ranks: &dyn Communicator) -> Result<()> {
    loop {
        let [what, number, workers, _] = ranks.ibcast_sleeping(Words::default());
        if what == DONE {
            return Ok(());
        }
        let Some(team) = ranks.split(workers as usize)? else { continue };
        let task = &mut tasks[number as usize];
        task.pattern = PatternName::Mpi;
        task.workers = Some(workers as usize);
        while let Some((what, times)) = What::told(team.bcast(Words::default())) {
            let mut start = None;
            let task = what.task(task, &mut start);
            // As rank 0, which knows of a failure too.
            for _ in 0..times {
                if sched::over_ranks(&*team, task, job, &Attempt::new(true)).is_err() {
                    break;
                }
            }
        }
    }
}

/// So many values in place of the input of `task`, with little to do for each.
fn start_up(task: &Task, items: u64) -> Task {
    let range = Range::parse(&format!("0..{items}"), Some(Dtype::I64)).expect("a range of whole numbers");
    let work = Work::Map {
        numbers: Numbers::Range(range),
        function: Some(Function::Formula { text: "square".to_owned(), is_random: false }),
        dtype: None,
        columns: None,
        reduce: None,
        who: false,
    };
    Task {
        work,
        output: Output::None,
        repeat: 1,
        compress: None,
        share: Fraction::ALL,
        portion: ShardMode::Whole,
        whole_output: None,
        ..task.clone()
    }
}
