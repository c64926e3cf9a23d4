//! Bins whose range the values themselves are to give: a run of its own finds the least and the greatest of them first.

use std::borrow::Cow;
use std::path::Path;

use crate::base::blocking::STDIN;
use crate::base::error::{Error, Result};
use crate::job::output::Output;
use crate::job::{Job, Reductions, Task, Work};
use crate::mpi::communicator::Communicator;
use crate::observe::report::Report;
use crate::op::reduce;
use crate::sched::Attempt;

/// `task`, of which `run` does a run, with the ranges of all its bins; the same on every rank.
///
/// # Errors
/// The values cannot be read twice, have no least and greatest that are finite, or that run has failed.
pub fn found<'a>(
    task: &'a Task,
    job: &Job,
    ranks: Option<&dyn Communicator>,
    run: impl Fn(&Task, &Job, &Attempt, Option<&dyn Communicator>) -> Result<Option<Report>>,
) -> Result<Cow<'a, Task>> {
    let Work::Map { numbers, reduce: Some(reductions), .. } = &task.work else {
        return Ok(Cow::Borrowed(task));
    };
    let wanted = reduce::ends_of_unbounded(&reductions.items);
    if wanted.is_empty() {
        return Ok(Cow::Borrowed(task));
    }
    if numbers.is_stdin() {
        return Err(Error::once_only(Path::new(STDIN)));
    }
    let with = |items: Vec<String>, by: Option<String>| {
        let mut task = task.clone();
        if let Work::Map { reduce, .. } = &mut task.work {
            *reduce = Some(Reductions { items, by, ddof: reductions.ddof });
        }
        task
    };
    // What can be read only once is refused, as where there are repetitions.
    let first = Task {
        output: Output::None,
        repeat: 2,
        traced: false,
        joblog: None,
        failed: None,
        ..with(wanted, None)
    };
    let report = run(&first, job, &Attempt::new(true), ranks)?;
    let items = || -> Result<String> {
        let ends = report.as_ref().map_or(&[][..], |report| &report.reduced);
        Ok(reduce::bounded(&reductions.items, ends)?.join(","))
    };
    let items = match ranks {
        Some(ranks) => ranks.bcast_text(&mut || items())?,
        None => items()?,
    };
    Ok(Cow::Owned(with(reduce::split(&items), reductions.by.clone())))
}
