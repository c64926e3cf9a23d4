//! From the command line to the exit code: the one road through the house.

use std::env::args_os;
use std::ffi::OsString;
use std::io::Write;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::FromArgMatches;
use clap::error::ErrorKind;

use crate::blocking::{Outlet, Stderr};
use crate::cli::{
    self, Cli, Command, CpusArgs, DoctorArgs, PatternName, ScaleArgs, Shared, ShowArgs, join_report,
    mark_numbers,
};
use crate::cpus::Cpus;
use crate::doctor;
use crate::error::{Error, Result, plain};
use crate::escape;
use crate::function::lanes::Lanes;
use crate::hdf5;
use crate::input;
use crate::interrupt;
use crate::job::{Job, Output, ReportTo, ScheduleKind, Task};
use crate::launch::Launch;
use crate::launch::allocation::Allocation;
use crate::launch::foreign::{self, Claim};
use crate::launch::words;
use crate::log;
use crate::output::file::{self, is_same, is_same_place};
use crate::output::{Format, STDOUT};
use crate::part::{Part, Portion};
use crate::pattern::ranks::{Door, Library, Ranks};
use crate::pattern::{join, pool, process, serial, threads};
use crate::program;
use crate::report::{self, Report};
use crate::scale;
use crate::show;
use crate::streams;
use crate::trace::{self, Timeline};

/// The whole program: parse, run, exit code.
pub fn main(door: &Door) -> ExitCode {
    let words: Vec<OsString> = args_os().collect();
    let launch = launch_for(&words);
    stop_all_on_panic(launch.rank, door.abort);
    let is_rank = launch.ranks > 1;
    // Before anything is said: the other program would say it again. Where there is none, that is said when
    // it is needed.
    if cfg!(feature = "hdf5") && !hdf5::is_here() && program::may_need_hdf5(&words, is_rank) {
        let _ = program::HDF5.become_it();
    }
    if is_rank && matches!(door.library, Library::Elsewhere) {
        let _ = (door.join)(&launch);
    }
    let matches = cli::parser(&words).try_get_matches_from(mark_numbers(join_report(words.clone())));
    let code = match matches.and_then(|matches| Cli::from_arg_matches(&matches)).map(Cli::unmarked) {
        Ok(cli) => run(&cli, &launch, door),
        Err(error) if error.kind() == ErrorKind::DisplayVersion => {
            if speaks(&launch) {
                version(door)
            } else {
                0
            }
        }
        Err(error) => {
            // Where all ranks were given the same words, one of them says what is wrong with them.
            let code = error.exit_code() as u8;
            let is_open = if error.use_stderr() { Ok(()) } else { Outlet::stdout().map(drop) };
            let print = || is_open.and_then(|()| safe(error, &words).print());
            let printed = if speaks(&launch) { print() } else { Ok(()) };
            match code {
                // Help that could not be printed is rank 0's trouble alone: nobody would wait with it.
                0 => u8::from(printed.is_err()),
                code => leave_together(&launch, door, code),
            }
        }
    };
    // What MPI has said at its end.
    streams::results_end(code != 0);
    ExitCode::from(code)
}

/// The same error, of words that can be printed: it shows some of them.
fn safe(error: clap::Error, words: &[OsString]) -> clap::Error {
    // This one shows none, and there would be no fault any more.
    if error.kind() == ErrorKind::InvalidUtf8 {
        return error;
    }
    let safe = words.iter().map(|word| OsString::from(escape::line(&word.to_string_lossy())));
    let safe: Vec<OsString> = safe.collect();
    if safe == words {
        return error;
    }
    match cli::parser(&safe).try_get_matches_from(mark_numbers(join_report(safe))) {
        Err(error) => error,
        Ok(_) => clap::Error::raw(error.kind(), escape::line(&error.to_string()) + "\n"),
    }
}

/// How this process was started, unless these words of its command line say that it is to be a run of its own.
fn launch_for(words: &[OsString]) -> Launch {
    if words::is_alone(words) { Launch::alone() } else { Launch::detect() }
}

/// Is it for this process to say what needs no ranks? For the first of several, and for one that may have been
/// given other words than the first.
fn speaks(launch: &Launch) -> bool {
    launch.rank == 0 || words::may_differ(launch)
}

/// Is this process to be a run of its own, whoever has started it?
fn is_alone(cli: &Cli) -> bool {
    cli.alone || words::variable_says_so()
}

/// Says why this program cannot run at all, once for all ranks.
pub fn refuse(error: &Error) -> ExitCode {
    // Without MPI the ranks cannot wait for each other, so none but the one that speaks may fail.
    if launch_for(&args_os().collect::<Vec<_>>()).rank > 0 {
        return ExitCode::SUCCESS;
    }
    say(&format!("parpy: {error}\n"));
    ExitCode::from(error.exit_code())
}

/// Says which version this is, and of which libraries: those of the program that is linked with them all.
fn version(door: &Door) -> u8 {
    if cfg!(feature = "hdf5") && !hdf5::is_here() {
        let _ = program::HDF5.become_it();
    }
    let hdf5 = match hdf5::library() {
        Ok(library) => library.version(),
        Err(_) if cfg!(feature = "hdf5") => program::HDF5.missing("it is not there"),
        Err(_) => "none (built without the feature hdf5)".to_owned(),
    };
    let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("PARPY_COMMIT"));
    print(&format!("parpy {version} ({commit})\nMPI: {}\nHDF5: {hdf5}\n", door.library.name()))
}

/// A member of an MPI run, once this process is one.
type Member = Option<Box<dyn Ranks>>;

/// Does what the command line asks for, and returns the exit code. Says what went wrong, on rank 0 alone.
pub fn run(cli: &Cli, launch: &Launch, door: &Door) -> u8 {
    log::start(cli.talk, launch);
    if let Some((name, flags)) = cli.command.as_ref().and_then(Command::only_looks)
        && cli.shared != Shared::default()
    {
        let text = format!("parpy {name} looks, and runs nothing: it takes no flag but {flags}");
        return complain(launch, door, &text);
    }
    match &cli.command {
        Some(Command::Cpus(args)) => return if speaks(launch) { cpus(*args) } else { 0 },
        Some(Command::Show(args)) => return if speaks(launch) { show(args) } else { 0 },
        Some(Command::Doctor(args)) => return doctor(args, launch, door),
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
            return run(cli, &Launch::alone(), door);
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
    interrupt::survive_file_limit();
    // Before MPI is initialised, which may take as long as a batch system gives notice.
    let watched = match interrupt::watch() {
        // One rank must not leave where the others wait for it.
        Err(error) if over_ranks => {
            tracing::warn!("{error}");
            Ok(())
        }
        watched => watched,
    };
    let mut member = None;
    let outcome =
        match watched.and_then(|()| join_where(over_ranks, &mut member, launch, door, cli.job_file())) {
            // Without MPI the ranks cannot wait for each other, so none but the one that speaks may fail.
            Err(_) if launch.rank > 0 => Ok(()),
            outcome => outcome.and_then(|()| {
                let launch = member.as_ref().map_or(launch.clone(), |ranks| launch.in_world(ranks.count()));
                job(cli, &launch, door, &mut member)
            }),
        };
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

fn cpus(args: CpusArgs) -> u8 {
    let cpus = Cpus::detect();
    print(&if args.json { cpus.json() } else { escape::lines(&cpus.table()) })
}

/// All ranks leave with the same exit code, when rank 0 has said all there is to say.
fn doctor(args: &DoctorArgs, launch: &Launch, door: &Door) -> u8 {
    let (member, examined) = doctor::examine(args, launch, door);
    keep_own_exit_code();
    let outcome = match examined {
        Some(examined) if print(&examined.text) == 0 && !examined.has_problem => Ok(()),
        Some(_) => Err(Error::Told(1)),
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
        code => Err(Error::Told(code)),
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

/// Prints to standard output; the exit code.
fn print(text: &str) -> u8 {
    // Of some studies and examinations rank 0 alone has something to say.
    if text.is_empty() {
        return 0;
    }
    streams::results_follow();
    match Outlet::stdout().and_then(|mut out| out.write_all(text.as_bytes())) {
        Ok(()) => 0,
        Err(e) => {
            let error = Error::writing(Path::new(STDOUT), &e);
            if error.message().is_some() {
                say(&format!("parpy: {error}\n"));
            }
            error.exit_code()
        }
    }
}

/// Says what is wrong with the command line, once.
fn complain(launch: &Launch, door: &Door, text: &str) -> u8 {
    if launch.rank == 0 {
        say(&format!("parpy: {}\n", escape::line(text)));
    }
    leave_together(launch, door, 2)
}

/// Prints to standard error, and does not mind when nobody listens.
fn say(text: &str) {
    let _ = Stderr.write_all(text.as_bytes());
}

/// The same, before the process ends by force.
fn say_at_last(text: &str) {
    say(text);
    streams::results_end(true);
}

/// Leaves with `code` when rank 0 has said all there is to say: not before, because once a rank has left
/// with an exit code, mpirun may end the others.
fn leave_together(launch: &Launch, door: &Door, code: u8) -> u8 {
    if launch.ranks == 1 || code == 0 {
        return code;
    }
    let joined = join(launch, door, None);
    keep_own_exit_code();
    if joined.is_err() && launch.rank > 0 { 0 } else { code }
}

/// From now on this rank ends with its own exit code: once another has left with one, launchers send SIGTERM to
/// those that are still ending.
fn keep_own_exit_code() {
    // Where it cannot be, the launcher's word counts.
    let _ = interrupt::watch();
}

/// Joins the run that the launcher has started. All ranks must have been given the same job.
fn join(launch: &Launch, door: &Door, job_file: Option<&Path>) -> Result<Box<dyn Ranks>> {
    let member = (door.join)(launch)?;
    let (library, srun_type) = (door.library.name(), foreign::srun_type());
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
    door: &Door,
    job_file: Option<&Path>,
) -> Result<()> {
    if wanted && member.is_none() {
        *member = Some(join(launch, door, job_file)?);
    }
    Ok(())
}

/// Runs the tasks of the job one after the other, and reports.
fn job(cli: &Cli, launch: &Launch, door: &Door, member: &mut Member) -> Result<()> {
    let mut job = Job::from_cli(cli, |path| match member {
        Some(ranks) => ranks.share(&mut || read_job_file(path)),
        None => read_job_file(path),
    })?;
    for task in &mut job.tasks {
        task.find_input(|path| {
            let is_there = || path.exists() && !path.is_dir();
            // Where the name ends must be the same everywhere, whoever sees the file.
            match member {
                Some(ranks) => ranks.word([u64::from(ranks.is_root() && is_there()), 0, 0, 0])[0] == 1,
                None => is_there(),
            }
        });
    }
    if job.needs_hdf5() && cfg!(feature = "hdf5") && !hdf5::is_here() {
        // Said by a job file alone: as one of several ranks this is the right program already.
        return Err(program::HDF5.become_it());
    }
    if let Some(Command::Scale(args)) = &cli.command {
        // A single rank is an MPI run too, where that is what is to be timed.
        let wants_mpi = launch.is_of_launcher() && scale::wants_mpi(cli, args, &job);
        join_where(wants_mpi, member, launch, door, cli.job_file())?;
        return scale(cli, args, &mut job, launch, member);
    }
    // Neither does a part or the join of an array, each of which is meant to be alone.
    let may_want_ranks = |task: &Task| {
        task.portion == Portion::Whole && matches!(task.pattern, PatternName::Auto | PatternName::Mpi)
    };
    if !launch.is_of_launcher()
        && !is_alone(cli)
        && job.tasks.iter().any(may_want_ranks)
        && let Some(advice) = Allocation::of_environment().and_then(|allocation| allocation.left_alone())
    {
        tracing::warn!("{advice}");
    }
    for task in &mut job.tasks {
        if matches!(task.portion, Portion::Joined(_)) {
            task.pattern = PatternName::Serial;
            continue;
        }
        if task.pattern == PatternName::Auto {
            task.pattern = if launch.ranks > 1 { PatternName::Mpi } else { PatternName::Threads };
        }
        check_workers(task, launch)?;
        let by_turns = matches!(task.schedule.kind, None | Some(ScheduleKind::Static));
        if task.pattern == PatternName::Mpi && !by_turns && launch.rank == 0 {
            tracing::warn!("--schedule: ranks get their blocks in rounds, which is static; so it is here");
        }
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
    join_where(over_ranks, member, launch, door, cli.job_file())?;
    let ranks = member.as_deref();
    let is_root = listen(ranks);
    // Before the work, not after it.
    let report = match &job.report {
        ReportTo::File(path) => Some(("the report", &**path)),
        ReportTo::Stderr | ReportTo::Nobody => None,
    };
    let others = report.into_iter().chain(job.trace.as_deref().map(|path| ("the trace", path)));
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

/// Is this the process that speaks? If so, and there are others, it does not wait for them for ever.
fn listen(ranks: Option<&dyn Ranks>) -> bool {
    let Some(ranks) = ranks else { return true };
    if ranks.is_root()
        && let Err(e) = interrupt::give_up_waiting(|why| say_at_last(&format!("parpy: {why}\n")))
    {
        tracing::warn!("ranks that do not answer will not be noticed after a signal: {}", plain(&e));
    }
    ranks.is_root()
}

/// Makes rank 0's outcome everybody's, where there are others.
fn agree(ranks: Option<&dyn Ranks>, outcome: Result<()>) -> Result<()> {
    match ranks {
        Some(ranks) => ranks.agree(outcome),
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
        code => Err(Error::Told(code)),
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
    taken.extend(job.tasks.iter().filter_map(input::file).chain(job_file).map(Path::to_owned));
    for task in &job.tasks {
        if let (Portion::Joined(parts), Some(whole)) = (task.portion, task.output_file()) {
            taken.extend(Part::all(parts).map(|part| part.file(whole)));
        }
    }
    // Also those of later tasks, which begin when much has been done.
    outputs().try_for_each(file::check)?;
    for (what, path) in others {
        file::check(path)?;
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
            format!("{} have no answer and were passed over; the first: {first}", report::counted(n, "item"))
        }
    }))
}

/// Runs the tasks up to the first that fails. The reports, and the timelines of all runs, are on rank 0.
fn tasks(
    job: &Job,
    is_root: bool,
    ranks: Option<&dyn Ranks>,
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
        for number in 1..=task.repeat {
            match run_once(task, job, number == 1, ranks) {
                Ok(mut run) => {
                    let timeline = run.as_mut().and_then(|run| run.timeline.take());
                    timelines.extend(timeline.map(|timeline| timeline.numbered(i + 1, number)));
                    runs.extend(run);
                }
                // Nobody wants the rest of this task's output; other tasks may have another.
                Err(Error::ClosedPipe | Error::Told(0)) => {}
                Err(error) => {
                    let kept = task.traced.as_ref().and_then(|kept| kept.lock().ok()?.take());
                    timelines.extend(kept.map(|timeline| timeline.numbered(i + 1, number)));
                    let is_alone = job.tasks.len() == 1;
                    return (reports, Err(if is_alone { error } else { error.of_task(i + 1) }));
                }
            }
        }
        reports.extend(Report::medians(runs));
    }
    (reports, Ok(()))
}

/// The report is on rank 0.
fn run_once(task: &Task, job: &Job, first: bool, ranks: Option<&dyn Ranks>) -> Result<Option<Report>> {
    match ranks {
        None => here(task, first).map(Some),
        Some(ranks) if task.pattern == PatternName::Mpi => ranks.run(task, job, first),
        // A task that its job file wants to be done here, within an MPI run: rank 0 does it, all learn how.
        Some(ranks) => {
            let report = if ranks.is_root() { here(task, first).map(Some) } else { Ok(None) };
            let (report, outcome) = match report {
                Ok(report) => (report, Ok(())),
                Err(error) => (None, Err(error)),
            };
            ranks.agree(outcome).map(|()| report)
        }
    }
}

/// The one place where a pattern is chosen.
pub(crate) fn here(task: &Task, first: bool) -> Result<Report> {
    if let Portion::Joined(parts) = task.portion {
        return join::run(task, parts, first);
    }
    match task.pattern {
        PatternName::Simd => serial::run(task, Lanes::best(), first),
        PatternName::Threads => threads::run(task, first),
        PatternName::Process => process::run(task, first),
        PatternName::Pool => pool::run(task, first),
        PatternName::Serial | PatternName::Auto | PatternName::Mpi => serial::run(task, Lanes::Scalar, first),
    }
}

fn read_job_file(path: &Path) -> Result<String> {
    if !matches!(Format::of_name(path), Some(Format::Text) | None) {
        return show::job_of(path);
    }
    let bytes = input::read_small(path).map_err(|error| match error {
        Error::Failed(text) => Error::Usage(text),
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
            report::counted(launch.ranks as u64, "rank")
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

/// A panic on one rank must not leave the others waiting for it.
fn stop_all_on_panic(rank: usize, abort: fn() -> !) {
    panic::set_hook(Box::new(move |info| {
        let (pid, host) = (std::process::id(), report::host());
        say_at_last(&format!(
            "parpy: rank {rank} (pid {pid} on host {host}) has met a fault in parpy itself and stops the run: \
             {}\n",
            escape::lines(&info.to_string())
        ));
        abort();
    }));
}
