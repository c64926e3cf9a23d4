//! From the command line to the exit code: the one road through the house.

use std::fs;
use std::io::Write;
use std::panic;
use std::path::Path;

use crate::cli::{Cli, PatternName};
use crate::error::{Error, Result};
use crate::job::{Job, ReportTo, Task};
use crate::launch::Launch;
use crate::log;
use crate::pattern::{self, mpi::Mpi, serial};
use crate::report::{self, Report};

/// Does what the command line asks for, and returns the exit code. Says what went wrong, on rank 0 alone.
pub fn run(cli: &Cli, launch: &Launch) -> u8 {
    log::start(cli.talk, launch);
    let asked = cli.shared.pattern.unwrap_or(PatternName::Auto);
    let over_ranks = launch.ranks > 1 && asked != PatternName::Serial;
    if launch.ranks > 1 && !over_ranks {
        if launch.rank > 0 {
            return 0;
        }
        tracing::warn!("{} processes were started, but with -p serial only the first works", launch.ranks);
    }
    let mut mpi = None;
    let outcome = match start_where(over_ranks, &mut mpi, launch) {
        // Without MPI the ranks cannot wait for each other, so none but the one that speaks may fail.
        Err(_) if launch.rank > 0 => Ok(()),
        outcome => outcome.and_then(|()| job(cli, launch, &mut mpi)),
    };
    // Said before MPI is finalised, which is when `mpi` is dropped: once a rank has left with an exit code,
    // mpirun may end the others.
    outcome.err().map_or(0, |error| {
        if let Some(message) = error.message().filter(|_| launch.rank == 0) {
            say(&format!("parpy: {message}\n"));
        }
        error.exit_code()
    })
}

/// Prints to standard error, and does not mind when nobody listens.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Leaves with `code` when rank 0 has said all there is to say: not before, because once a rank has left
/// with an exit code, mpirun may end the others.
pub fn leave_together(launch: &Launch, code: u8) -> u8 {
    if launch.ranks > 1 && code > 0 && Mpi::start(launch).is_err() && launch.rank > 0 { 0 } else { code }
}

fn start_where(wanted: bool, mpi: &mut Option<Mpi>, launch: &Launch) -> Result<()> {
    if wanted && mpi.is_none() {
        *mpi = Some(Mpi::start(launch)?);
    }
    Ok(())
}

/// Runs the tasks of the job one after the other, and reports.
fn job(cli: &Cli, launch: &Launch, mpi: &mut Option<Mpi>) -> Result<()> {
    let mut job = Job::from_cli(cli, |path| match &*mpi {
        Some(mpi) => mpi.share(|| read_job_file(path)),
        None => read_job_file(path),
    })?;
    for task in &mut job.tasks {
        if task.pattern == PatternName::Auto {
            task.pattern = if launch.ranks > 1 { PatternName::Mpi } else { PatternName::Serial };
        }
        check_workers(task, launch)?;
    }
    start_where(job.tasks.iter().any(|task| task.pattern == PatternName::Mpi), mpi, launch)?;
    let is_root = mpi.as_ref().is_none_or(Mpi::is_root);
    if let ReportTo::File(path) = &job.report {
        // Before the work, not after it.
        let outcome = if is_root { report::can_save(path) } else { Ok(()) };
        match &*mpi {
            Some(mpi) => mpi.agree(outcome)?,
            None => outcome?,
        }
    }
    let (reports, outcome) = tasks(&job, is_root, mpi.as_ref());
    // Also of a job that has failed: what was done before was done.
    let told = if is_root { tell(&reports, &job.report) } else { Ok(()) };
    outcome?;
    match &*mpi {
        Some(mpi) => mpi.agree(told),
        None => told,
    }
}

/// Runs the tasks up to the first that fails. The reports are on rank 0.
fn tasks(job: &Job, is_root: bool, mpi: Option<&Mpi>) -> (Vec<Report>, Result<()>) {
    let mut reports = Vec::new();
    for (i, task) in job.tasks.iter().enumerate() {
        if is_root && task.is_empty_list() {
            tracing::warn!("there are no values; give some, or --range A..B, or --from FILE");
        }
        let mut runs = Vec::new();
        for number in 1..=task.repeat {
            match run_once(task, job, number == 1, mpi) {
                Ok(run) => runs.extend(run),
                // Nobody wants the rest of this task's output; other tasks may have another.
                Err(Error::ClosedPipe | Error::Told(0)) => {}
                Err(error) if job.tasks.len() > 1 => return (reports, Err(error.of_task(i + 1))),
                Err(error) => return (reports, Err(error)),
            }
        }
        reports.extend(Report::medians(runs));
    }
    (reports, Ok(()))
}

/// The one place where a pattern is chosen. The report is on rank 0.
fn run_once(task: &Task, job: &Job, first: bool, mpi: Option<&Mpi>) -> Result<Option<Report>> {
    match (task.pattern, mpi) {
        (PatternName::Mpi, Some(mpi)) => mpi.run(task, job, first),
        (_, None) => serial::run(task, first).map(Some),
        // A task that its job file wants to be serial, within an MPI run: rank 0 does it, all learn how.
        (_, Some(mpi)) => {
            let report = if mpi.is_root() { serial::run(task, first).map(Some) } else { Ok(None) };
            let (report, outcome) = match report {
                Ok(report) => (report, Ok(())),
                Err(error) => (None, Err(error)),
            };
            mpi.agree(outcome).map(|()| report)
        }
    }
}

fn read_job_file(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|e| Error::Usage(Error::io("open", path, &e).to_string()))?;
    String::from_utf8(bytes)
        .map_err(|_| Error::Usage(format!("{}: a job file is UTF-8 text, and this is not", path.display())))
}

fn check_workers(task: &Task, launch: &Launch) -> Result<()> {
    let Some(asked) = task.workers else { return Ok(()) };
    match task.pattern {
        PatternName::Mpi if asked > launch.ranks => Err(Error::Usage(format!(
            "--workers {asked}: there are only {}; start more with mpirun -n {asked} parpy …",
            report::counted(launch.ranks as u64, "rank")
        ))),
        PatternName::Serial if asked > 1 => Err(Error::Usage(format!(
            "--workers {asked}: serial runs on one worker; for more, start it with mpirun -n {asked} parpy …"
        ))),
        _ => Ok(()),
    }
}

fn tell(reports: &[Report], to: &ReportTo) -> Result<()> {
    match to {
        ReportTo::Nobody => Ok(()),
        ReportTo::Stderr => {
            reports.iter().for_each(|report| say(&report.table()));
            Ok(())
        }
        ReportTo::File(path) => report::save(reports, path),
    }
}

/// A panic on one rank must not leave the others waiting for it.
pub fn stop_all_on_panic(rank: usize) {
    panic::set_hook(Box::new(move |info| {
        let (pid, host) = (std::process::id(), report::host());
        say(&format!(
            "parpy: rank {rank} (pid {pid} on host {host}) has met a fault in parpy itself and stops the run: \
             {info}\n"
        ));
        pattern::mpi::abort();
    }));
}
