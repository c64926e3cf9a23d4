//! From the command line to the exit code: the one road through the house.

use std::path::{Path, PathBuf};

use crate::base::atomic_file::{self, is_same, is_same_place};
use crate::base::blocking::{Outlet, STDOUT};
use crate::base::error::{Error, Result, plain};
use crate::base::fmt::counted;
use crate::base::lanes::Lanes;
use crate::base::{escape, program, signals, streams};
use crate::cli::{AsJson, Cli, Command, DoctorArgs, ScaleArgs, ScaleWhat, Shared, ShowArgs};
use crate::cmd::say::{is_alone, print, say, say_at_last, speaks};
use crate::cmd::{doctor, dry_run, functions, python_module, ranges, scale, seed, show};
use crate::data::format::Format;
use crate::exec;
use crate::input::{self, hdf5_library};
use crate::job::output::{Output, ReportTo};
use crate::job::pattern::PatternName;
use crate::job::shard::{Shard, ShardMode};
use crate::job::spec::MapSpec;
use crate::job::{Job, Task};
use crate::mpi::communicator::{Backend, Communicator};
use crate::mpi::launch::allocation::Allocation;
use crate::mpi::launch::foreign::{self, Claim};
use crate::mpi::launch::{Launch, is_of_rank, words};
use crate::node::cpus::Cpus;
use crate::observe::log;
use crate::observe::report::{self, Report};
use crate::observe::trace::{self, Timeline};
use crate::op;
use crate::sched::{self, Attempt, merge, patterns};

/// A member of an MPI run, once this process is one.
type Member = Option<Box<dyn Communicator>>;

/// Does what the command line asks for, and returns the exit code. Says what went wrong, on rank 0 alone.
pub fn run(cli: &Cli, launch: &Launch, backend: &Backend) -> u8 {
    log::start(cli.talk.verbose, cli.talk.quiet, launch);
    if let Some((name, flags)) = cli.command.as_ref().and_then(Command::only_looks)
        && cli.shared != Shared::default()
    {
        let text = format!("parpy {name} looks, and runs nothing: it takes no flag but {flags}");
        return complain(launch, backend, &text);
    }
    match &cli.command {
        Some(Command::Cpus(args)) => return if speaks(launch) { cpus(*args) } else { 0 },
        Some(Command::Functions(args)) => return if speaks(launch) { functions(*args) } else { 0 },
        Some(Command::PythonModule) => return if speaks(launch) { print(python_module::TEXT) } else { 0 },
        Some(Command::Show(args)) => return if speaks(launch) { show(args) } else { 0 },
        Some(Command::Doctor(args)) => return doctor(args, launch, backend),
        Some(Command::Map(_) | Command::Read(_) | Command::Run(_) | Command::Scale(_)) | None => {}
    }
    let asked = cli.shared.pattern.unwrap_or(PatternName::Auto);
    let over_ranks = launch.ranks > 1
        && match &cli.command {
            Some(Command::Scale(args)) => args.from.is_empty(),
            // Joining is no work that could be shared.
            _ => cli.shared.join.is_none() && matches!(asked, PatternName::Auto | PatternName::Mpi),
        };
    let only_looks = matches!(&cli.command, Some(Command::Scale(args)) if !args.from.is_empty());
    if launch.ranks > 1 && !over_ranks {
        let may_differ = words::may_differ(launch);
        if only_looks && may_differ {
            return run(cli, &Launch::alone(), backend);
        }
        if may_differ {
            // Each says so: which of them were given this is not known here.
            say(&format!(
                "parpy: {} processes were started by {} through a script or with several commands, so each may have \
                 been given a job of its own, of which the others would not learn without -p mpi; {}\n",
                launch.ranks,
                launch.by,
                words::how_alone()
            ));
            return 2;
        }
        if launch.rank > 0 {
            return 0;
        }
        if !matches!(cli.command, Some(Command::Scale(_))) && cli.shared.join.is_none() {
            tracing::warn!(
                "{} processes were started, but with -p {} only the first works",
                launch.ranks,
                asked.name()
            );
        }
    }
    if may_run_commands(cli, over_ranks)
        && let Err(error) = exec::begin(is_of_rank)
    {
        // One rank must not leave where the others wait for it; a command that is to be run fails.
        tracing::warn!("{error}");
    }
    signals::survive_file_limit();
    // Before MPI is initialised, which may take as long as a batch system gives notice.
    let watched = match signals::watch() {
        // One rank must not leave where the others wait for it.
        Err(error) if over_ranks => {
            tracing::warn!("{error}");
            Ok(())
        }
        watched => watched,
    };
    let mut member = None;
    let outcome =
        match watched.and_then(|()| join_where(over_ranks, &mut member, launch, backend, cli.job_file())) {
            // Without MPI the ranks cannot wait for each other, so none but the one that speaks may fail.
            Err(_) if launch.rank > 0 => Ok(()),
            outcome => outcome.and_then(|()| {
                let launch = member.as_ref().map_or(launch.clone(), |ranks| launch.in_world(ranks.count()));
                job(cli, &launch, backend, &mut member)
            }),
        };
    op::command::python::end();
    exec::end();
    // Said before MPI is finalised, which is when `member` is dropped: once a rank has left with an exit
    // code, mpirun may end the others.
    let code = outcome.err().map_or(0, |error| {
        if error.message().is_some() && launch.rank == 0 {
            say(&format!("parpy: {error}\n"));
        }
        error.exit_code()
    });
    streams::results_end(code != 0);
    code
}

/// Will commands be run? Of a job file that can be read only once, or that rank 0 alone may see, nobody knows yet.
fn may_run_commands(cli: &Cli, over_ranks: bool) -> bool {
    let is_plain = |path: &Path| matches!(Format::of_name(path), Some(Format::Text) | None) && path.is_file();
    let names_one = |text: &[u8]| {
        ["exec", "pipe", "worker", "python"]
            .iter()
            .any(|name| memchr::memmem::find(text, name.as_bytes()).is_some())
    };
    let has_none = |path: &Path| input::read_small(path).is_ok_and(|text| !names_one(&text));
    let of_map = |map: &MapSpec| !map.exec.is_empty() || map.worker.is_some() || map.python.is_some();
    let of_job_file = |path: &Path| over_ranks || !is_plain(path) || !has_none(path);
    match &cli.command {
        Some(Command::Map(map)) => of_map(map),
        Some(Command::Read(read)) => !read.pipe.is_empty(),
        Some(Command::Scale(ScaleArgs { what: Some(ScaleWhat::Map(map)), .. })) => of_map(map),
        Some(Command::Scale(ScaleArgs { what: Some(ScaleWhat::Read(read)), .. })) => !read.pipe.is_empty(),
        _ => cli.job_file().is_some_and(of_job_file),
    }
}

fn cpus(args: AsJson) -> u8 {
    let cpus = Cpus::detect();
    print(&if args.json { cpus.json() } else { escape::lines(&cpus.table()) })
}

fn functions(args: AsJson) -> u8 {
    print(&if args.json { functions::json() } else { functions::text() })
}

/// All ranks leave with the same exit code, when rank 0 has said all there is to say.
fn doctor(args: &DoctorArgs, launch: &Launch, backend: &Backend) -> u8 {
    let (member, examined) = doctor::examine(args, launch, backend);
    keep_own_exit_code();
    let outcome = match examined {
        Some(examined) if print(&examined.text) == 0 && !examined.has_problem => Ok(()),
        Some(_) => Err(Error::ReportedByRoot(1)),
        None => Ok(()),
    };
    agree(member.as_deref(), outcome).map_or_else(|error| error.exit_code(), |()| 0)
}

fn show(args: &ShowArgs) -> u8 {
    let text = match args.job {
        true => show::job_of(&args.file).map(|job| (escape::whole(&job), Ok(()))),
        false => show::text(&args.file, args.rows),
    };
    let outcome = text.and_then(|(text, outcome)| match print(&text) {
        0 => outcome,
        code => Err(Error::ReportedByRoot(code)),
    });
    outcome.map_or_else(
        |error| {
            if error.message().is_some() {
                say(&format!("parpy: {error}\n"));
            }
            error.exit_code()
        },
        |()| 0,
    )
}

/// Says what is wrong with the command line, once.
pub(super) fn complain(launch: &Launch, backend: &Backend, text: &str) -> u8 {
    if launch.rank == 0 {
        say(&format!("parpy: {}\n", escape::line(text)));
    }
    leave_together(launch, backend, 2)
}

/// Leaves with `code` when rank 0 has said all there is to say: not before, because once a rank has left
/// with an exit code, mpirun may end the others.
pub(super) fn leave_together(launch: &Launch, backend: &Backend, code: u8) -> u8 {
    if launch.ranks == 1 || code == 0 {
        return code;
    }
    let joined = join(launch, backend, None);
    keep_own_exit_code();
    if joined.is_err() && launch.rank > 0 { 0 } else { code }
}

/// From now on this rank ends with its own exit code: once another has left with one, launchers send SIGTERM to
/// those that are still ending.
pub(super) fn keep_own_exit_code() {
    // Where it cannot be, the launcher's word counts.
    let _ = signals::watch();
}

/// Joins the run that the launcher has started. All ranks must have been given the same job.
fn join(launch: &Launch, backend: &Backend, job_file: Option<&Path>) -> Result<Box<dyn Communicator>> {
    let member = (backend.join)(launch)?;
    let (library, srun_type) = (backend.library.name(), foreign::srun_type());
    match foreign::compare(Claim::of(launch, srun_type.as_deref(), &library), member.count()) {
        Some(foreign) => Err(Error::Usage(foreign.to_string())),
        None => match words::complaint(member.count(), member.is_same(words::given(job_file))) {
            Some(different) => Err(Error::Usage(different)),
            None => Ok(member),
        },
    }
}

fn join_where(
    wanted: bool,
    member: &mut Member,
    launch: &Launch,
    backend: &Backend,
    job_file: Option<&Path>,
) -> Result<()> {
    if wanted && member.is_none() {
        *member = Some(join(launch, backend, job_file)?);
    }
    Ok(())
}

/// Runs the tasks of the job one after the other, and reports.
fn job(cli: &Cli, launch: &Launch, backend: &Backend, member: &mut Member) -> Result<()> {
    let mut job = Job::from_cli(cli, |path| match member {
        Some(ranks) => ranks.bcast_text(&mut || read_job_file(path)),
        None => read_job_file(path),
    })?;
    for task in &mut job.tasks {
        task.find_input(|path| {
            let is_there = || path.exists() && !path.is_dir();
            // Where the name ends must be the same everywhere, whoever sees the file.
            match member {
                Some(ranks) => ranks.bcast([u64::from(ranks.is_root() && is_there()), 0, 0, 0])[0] == 1,
                None => is_there(),
            }
        });
    }
    if job.needs_hdf5() && cfg!(feature = "hdf5") && !hdf5_library::is_here() {
        // Said by a job file alone: as one of several ranks this is the right program already.
        return Err(program::HDF5.become_it());
    }
    if let Some(Command::Scale(args)) = &cli.command {
        // A single rank is an MPI run too, where that is what is to be timed.
        let wants_mpi = launch.is_of_launcher() && scale::wants_mpi(cli, args, &job);
        join_where(wants_mpi, member, launch, backend, cli.job_file())?;
        seed::draw(&mut job.tasks, member.as_deref());
        return scale(cli, args, &mut job, launch, member);
    }
    // Neither does a part or the join of an array, each of which is meant to be alone.
    let may_want_ranks = |task: &Task| {
        task.portion == ShardMode::Whole && matches!(task.pattern, PatternName::Auto | PatternName::Mpi)
    };
    if !launch.is_of_launcher()
        && !is_alone(cli)
        && job.tasks.iter().any(may_want_ranks)
        && let Some(advice) = Allocation::of_environment().and_then(|allocation| allocation.left_alone())
    {
        tracing::warn!("{advice}");
    }
    for task in &mut job.tasks {
        if matches!(task.portion, ShardMode::Merged(_)) {
            task.pattern = PatternName::Serial;
            continue;
        }
        if task.pattern == PatternName::Auto {
            task.pattern = match launch.ranks > 1 {
                true => PatternName::Mpi,
                // Of what may not bear threads, and may end its process.
                false if task.work.is_compiled() => PatternName::Pool,
                false => PatternName::Threads,
            };
        }
        check_workers(task, launch)?;
    }
    let has = |patterns: &[PatternName]| job.tasks.iter().any(|task| patterns.contains(&task.pattern));
    let over_ranks = has(&[PatternName::Mpi]);
    if over_ranks && has(&[PatternName::Process, PatternName::Pool]) {
        return Err(Error::Usage(
            "a job with a task for mpi cannot have one for process or pool: MPI does not survive the fork; \
             make it two jobs, or use threads"
                .into(),
        ));
    }
    if over_ranks && is_alone(cli) {
        return Err(Error::Usage(format!(
            "-p mpi is for ranks that work together, and {} ({}=1) for a process that works alone; leave out one of \
             them",
            words::FLAG,
            words::VARIABLE
        )));
    }
    join_where(over_ranks, member, launch, backend, cli.job_file())?;
    let ranks = member.as_deref();
    let is_root = listen(ranks);
    seed::draw(&mut job.tasks, ranks);
    if cli.shared.dry_run {
        return agree(ranks, if is_root { dry_run(&job, launch) } else { Ok(()) });
    }
    // Before the work, not after it.
    let report = match &job.report {
        ReportTo::File(path) => Some(("the report", &**path)),
        ReportTo::Stderr | ReportTo::Nobody => None,
    };
    let beside: Vec<(&str, PathBuf)> = job
        .tasks
        .iter()
        .flat_map(|task| {
            let joblog = task.joblog_file().map(|path| ("the job log", path));
            joblog.into_iter().chain(task.failed_file().map(|path| ("the items that have failed", path)))
        })
        .collect();
    let of_items = beside.iter().map(|(what, path)| (*what, &**path));
    let others =
        report.into_iter().chain(job.trace.as_deref().map(|path| ("the trace", path))).chain(of_items);
    agree(ranks, if is_root { can_write(&job, cli.job_file(), others) } else { Ok(()) })?;
    let mut timelines = Vec::new();
    let (reports, outcome) = tasks(&job, is_root, ranks, &mut timelines);
    // Also of a job that has failed: what was done before was done.
    let told = match &job.trace {
        Some(path) if is_root => tell(&reports, &job.report).and(trace::save(&timelines, path)),
        _ if is_root => tell(&reports, &job.report),
        _ => Ok(()),
    };
    outcome?;
    agree(ranks, told.and_then(|()| passed_over(&reports)))
}

/// Prints what a job would do.
fn dry_run(job: &Job, launch: &Launch) -> Result<()> {
    match print(&escape::lines(&dry_run::text(job, launch)?)) {
        0 => Ok(()),
        code => Err(Error::ReportedByRoot(code)),
    }
}

/// Is this the process that speaks? If so, and there are others, it does not wait for them for ever.
fn listen(ranks: Option<&dyn Communicator>) -> bool {
    let Some(ranks) = ranks else { return true };
    if ranks.is_root()
        && let Err(e) = signals::give_up_waiting(|why| say_at_last(&format!("parpy: {why}\n")))
    {
        tracing::warn!("ranks that do not answer will not be noticed after a signal: {}", plain(&e));
    }
    ranks.is_root()
}

/// Makes rank 0's outcome everybody's, where there are others.
fn agree(ranks: Option<&dyn Communicator>, outcome: Result<()>) -> Result<()> {
    match ranks {
        Some(ranks) => ranks.bcast_result(outcome),
        None => outcome,
    }
}

/// Makes the scaling study that is asked for, and prints it.
fn scale(cli: &Cli, args: &ScaleArgs, job: &mut Job, launch: &Launch, member: &Member) -> Result<()> {
    if job.report != ReportTo::Nobody || job.trace.is_some() {
        return Err(Error::Usage(
            "a study is its own report: --report and --trace are for a single run, parpy map or parpy read"
                .into(),
        ));
    }
    let ranks = member.as_deref();
    let is_root = listen(ranks);
    // Before the work, not after it.
    let can_print = Outlet::stdout().map(drop).map_err(|e| Error::writing(Path::new(STDOUT), &e));
    agree(ranks, if is_root { can_print } else { Ok(()) })?;
    let names = [("the study", &args.study.save), ("the picture", &args.study.plot)];
    let files = names.iter().filter_map(|(what, path)| Some((*what, path.as_deref()?)));
    agree(ranks, if is_root { can_write(job, cli.job_file(), files) } else { Ok(()) })?;
    let (text, outcome) = scale::run(cli, args, job, launch, ranks);
    let printed = match print(&text) {
        0 => Ok(()),
        code => Err(Error::ReportedByRoot(code)),
    };
    agree(ranks, outcome.and(printed))
}

/// Checks that no results replace the job file, by whatever name, that `others`, files of what is said about the
/// job, replace nothing of it, and that all of them can be written.
fn can_write<'a>(
    job: &Job,
    job_file: Option<&Path>,
    others: impl IntoIterator<Item = (&'a str, &'a Path)>,
) -> Result<()> {
    let outputs = || job.tasks.iter().filter_map(Task::output_file);
    // A result may be made again by the job that it holds.
    let plain_job = job_file.filter(|path| !show::holds_job(path));
    if let Some(own) = plain_job
        && let Some(path) = outputs().find(|path| is_same(path, own))
    {
        return Err(Error::Failed(format!(
            "cannot write {}: it is the job file {}, and would be replaced; give the output another name",
            path.display(),
            own.display()
        )));
    }
    let mut taken: Vec<PathBuf> = outputs().map(Path::to_owned).collect();
    taken.extend(job.tasks.iter().flat_map(input::files).chain(job_file).map(Path::to_owned));
    for task in &job.tasks {
        if let (ShardMode::Merged(parts), Some(whole)) = (task.portion, task.output_file()) {
            taken.extend(Shard::all(parts).map(|part| part.file(whole)));
        }
    }
    // Also those of later tasks, which begin when much has been done.
    outputs().try_for_each(atomic_file::check)?;
    for (what, path) in others {
        atomic_file::check(path)?;
        if let Some(other) = taken.iter().find(|other| is_same_place(other, path)) {
            return Err(Error::Failed(format!(
                "cannot write {what} to {}: it is also {}, which would be replaced; give {what} another name",
                path.display(),
                other.display()
            )));
        }
        taken.push(path.to_owned());
    }
    Ok(())
}

/// Have items been passed over?
fn passed_over(reports: &[Report]) -> Result<()> {
    let failed = reports.iter().map(|report| report.failed).sum::<u64>();
    let Some(first) = reports.iter().find_map(|report| report.first_failed.as_deref()) else { return Ok(()) };
    Err(Error::Item(match failed {
        1 => format!("1 item has no answer and was passed over: {first}"),
        n => {
            format!("{} have no answer and were passed over; the first: {first}", counted(n, "item"))
        }
    }))
}

/// Runs the tasks up to the first that fails. The reports, and the timelines of all runs, are on rank 0.
fn tasks(
    job: &Job,
    is_root: bool,
    ranks: Option<&dyn Communicator>,
    timelines: &mut Vec<Timeline>,
) -> (Vec<Report>, Result<()>) {
    let mut reports = Vec::new();
    for (i, task) in job.tasks.iter().enumerate() {
        if is_root && task.is_empty_list() {
            tracing::warn!("there are no values; give some, or --range A..B, or --from FILE");
        }
        if is_root && matches!(task.output, Output::Stdout | Output::People) {
            streams::results_follow();
        }
        let mut runs = Vec::new();
        let whole = |error: Error| if job.tasks.len() == 1 { error } else { error.of_task(i + 1) };
        let task = match ranges::found(task, job, ranks, run_once) {
            Ok(task) => task,
            Err(error) => return (reports, Err(whole(error))),
        };
        for number in 1..=task.repeat {
            let attempt = Attempt::new(number == 1);
            match run_once(&task, job, &attempt, ranks) {
                Ok(mut run) => {
                    let timeline = run.as_mut().and_then(|run| run.timeline.take());
                    timelines.extend(timeline.map(|timeline| timeline.numbered(i + 1, number)));
                    runs.extend(run);
                }
                // Nobody wants the rest of this task's output; other tasks may have another.
                Err(Error::ClosedPipe | Error::ReportedByRoot(0)) => {}
                Err(error) => {
                    let kept = attempt.failed.take();
                    timelines.extend(kept.map(|timeline| timeline.numbered(i + 1, number)));
                    return (reports, Err(whole(error)));
                }
            }
        }
        reports.extend(Report::medians(runs));
    }
    (reports, Ok(()))
}

/// The report is on rank 0.
fn run_once(
    task: &Task,
    job: &Job,
    attempt: &Attempt,
    ranks: Option<&dyn Communicator>,
) -> Result<Option<Report>> {
    match ranks {
        None => here(task, attempt).map(Some),
        Some(ranks) if task.pattern == PatternName::Mpi => sched::over_ranks(ranks, task, job, attempt),
        // A task that its job file wants to be done here, within an MPI run: rank 0 does it, all learn how.
        Some(ranks) => {
            let report = if ranks.is_root() { here(task, attempt).map(Some) } else { Ok(None) };
            let (report, outcome) = match report {
                Ok(report) => (report, Ok(())),
                Err(error) => (None, Err(error)),
            };
            ranks.bcast_result(outcome).map(|()| report)
        }
    }
}

/// The one place where a pattern is chosen.
pub(crate) fn here(task: &Task, attempt: &Attempt) -> Result<Report> {
    if let ShardMode::Merged(parts) = task.portion {
        return merge::run(task, parts, attempt);
    }
    match task.pattern {
        PatternName::Simd => patterns::serial(task, Lanes::best(), attempt),
        PatternName::Threads => patterns::threads(task, attempt),
        PatternName::Process => patterns::process(task, attempt),
        PatternName::Pool => patterns::pool(task, attempt),
        PatternName::Serial | PatternName::Auto | PatternName::Mpi => {
            patterns::serial(task, Lanes::Scalar, attempt)
        }
    }
}

fn read_job_file(path: &Path) -> Result<String> {
    if !matches!(Format::of_name(path), Some(Format::Text) | None) {
        return show::job_of(path);
    }
    let bytes = input::read_small(path).map_err(|error| match error {
        Error::Failed(text) | Error::CannotOpen(text) => Error::Usage(text),
        interrupted => interrupted,
    })?;
    String::from_utf8(bytes)
        .map_err(|_| Error::Usage(format!("{}: a job file is UTF-8 text, and this is not", path.display())))
}

fn check_workers(task: &Task, launch: &Launch) -> Result<()> {
    let wrong = |text: String| Err(Error::Usage(text));
    match (task.pattern, task.workers) {
        (PatternName::Mpi, Some(asked)) if asked > launch.ranks => wrong(format!(
            "--workers {asked}: there {} only {}; start more with mpirun -n {asked} parpy …",
            if launch.ranks == 1 { "is" } else { "are" },
            counted(launch.ranks as u64, "rank")
        )),
        (PatternName::Serial | PatternName::Simd, Some(asked)) if asked > 1 => wrong(format!(
            "--workers {asked}: {} runs on one worker; for more: -p threads, -p pool, or mpirun -n {asked} \
             parpy …",
            task.pattern.name()
        )),
        (PatternName::Threads, Some(_)) if task.threads.is_some() => {
            wrong("--threads and --workers are the same here; give one of them".to_owned())
        }
        (PatternName::Serial | PatternName::Simd | PatternName::Process | PatternName::Pool, _)
            if task.threads.is_some() =>
        {
            wrong(format!("--threads is for mpi and threads; {} has none", task.pattern.name()))
        }
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
