//! What the tasks of a job, each of which has been checked, cannot do together.

use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::names::absolute;
use crate::job::Task;
use crate::job::output::{Output, ReportTo};
use crate::job::shard::{Shard, ShardMode};

/// The part of its input that every task works on; `None` where they work on others, or on all of it.
pub(super) fn part_of_all(tasks: &[Task]) -> Option<Shard> {
    let ShardMode::Shard(part) = tasks.first()?.portion else { return None };
    tasks.iter().all(|task| task.portion == ShardMode::Shard(part)).then_some(part)
}

/// What each task could do alone and all of them cannot.
pub(super) fn check_together(tasks: &[Task], report: &ReportTo, trace: Option<&Path>) -> Result<()> {
    let report = match report {
        ReportTo::File(path) => Some(&**path),
        ReportTo::Stderr | ReportTo::Nobody => None,
    };
    if let (Some(report), Some(trace)) = (report, trace)
        && absolute(report) == absolute(trace)
    {
        return Err(Error::Usage(format!(
            "--trace {}: the report goes to this file; give the trace another",
            trace.display()
        )));
    }
    if tasks.iter().filter(|task| task.work.is_of_stdin()).count() > 1 {
        return Err(Error::Usage("two tasks want standard input, which can be read only once".into()));
    }
    for (i, task) in tasks.iter().enumerate() {
        for (what, path) in [("report", report), ("trace", trace)] {
            if let (Output::File(output, _), Some(path)) = (&task.output, path)
                && absolute(output) == absolute(path)
            {
                return Err(Error::Usage(format!(
                    "--{what} {}: the results go to this file; give the {what} another",
                    path.display()
                )));
            }
        }
        if let Output::File(path, _) = &task.output
            && !path.starts_with("/dev")
            && tasks[..i].iter().any(|earlier| earlier.output == task.output)
        {
            return Err(Error::Usage(format!(
                "two tasks write to {0}, and the second would replace what the first wrote; give each its own \
                 output in the job file, or send all to standard output: > {0}",
                path.display()
            )));
        }
    }
    Ok(())
}
