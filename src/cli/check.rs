//! What was typed, checked: flags become a [`Job`], and later code never sees a flag.
//!
//! Checking is pure: it looks at what was typed (and at the text of a job file), never at the file system,
//! so that every rank comes to the same job or to the same error. What depends on files is found out when
//! a task is opened, on rank 0.

use std::path::{Path, PathBuf};

use crate::base::atomic_file::is_descriptor;
use crate::base::blocking::STDIN;
use crate::base::error::{Error, Result, did_you_mean, nearest};
use crate::base::fmt::listed;
use crate::cli::commands::{self, limits};
use crate::cli::together::{check_together, part_of_all};
use crate::cli::{Cli, Command, RunArgs, ScaleArgs, ScaleWhat, Shared, sweep};
use crate::data::dtype::Dtype;
use crate::data::format::Format;
use crate::data::fraction::Fraction;
use crate::data::schema::{ANSWERS, ColumnType, Schema};
use crate::input::hdf5_library;
use crate::job::command::{Function, Gpus};
use crate::job::compress::Compress;
use crate::job::halt::Halt;
use crate::job::input::{LinesOf, Numbers, TableLayout, TextFile, split_columns, splits};
use crate::job::output::{Output, ReportTo, is_hdf5};
use crate::job::pattern::{PatternName, ProgressWhen};
use crate::job::schedule::{Schedule, ScheduleKind};
use crate::job::shard::ShardMode;
use crate::job::spec::{MapSpec, ReadSpec, ScaleSpec, ValueArg};
use crate::job::values::{Range, Typed};
use crate::job::{Action, Job, RETRIES, Reductions, Task, Unit, Work};
use crate::node::cpus::MOST_WORKERS;
use crate::op::formula::Formula;
use crate::op::functions;
use crate::op::library::BoundLibrary;
use crate::op::lines::{self, answers_lines};
use crate::op::reduce::{self, Reduce};

/// The demo's job file, part of the program.
const DEMO: &str = include_str!("../../jobs/demo.toml");

impl Job {
    /// The job that the command line asks for. `job_file` reads a job file, and is called at most once.
    ///
    /// # Errors
    /// [`Error::Usage`] with what is wrong, and whatever `job_file` fails with.
    pub fn from_cli(cli: &Cli, job_file: impl FnOnce(&Path) -> Result<String>) -> Result<Self> {
        let mut tasks = match &cli.command {
            None if cli.shared.part.is_some() || cli.shared.join.is_some() => {
                return Err(Error::Usage(
                    "the demo is small, and is not done in parts; --part and --join are for parpy map, read and run"
                        .into(),
                ));
            }
            None => Self::parse(DEMO, None, &[], &cli.shared)?,
            Some(Command::Map(spec)) => vec![Task::checked(Work::map(spec)?, &cli.shared)?],
            Some(Command::Read(spec)) => vec![Task::checked(Work::read(spec)?, &cli.shared)?],
            Some(Command::Run(RunArgs { job, args })) => {
                Self::parse(&job_file(job)?, Some(job), args, &cli.shared)?
            }
            Some(Command::Scale(scale)) => Self::to_scale(scale, &cli.shared, job_file)?,
            // Others only look, and run nothing.
            Some(_) => Vec::new(),
        };
        let report = match &cli.shared.report {
            None => ReportTo::Nobody,
            Some(None) => ReportTo::Stderr,
            Some(Some(path)) if path.extension().is_some_and(|e| e == "json") => ReportTo::File(path.clone()),
            Some(Some(path)) => {
                return Err(Error::Usage(format!(
                    "--report {0}: a report is written to a file that ends in .json; for the table on \
                     standard error put --report last, or after {0}",
                    path.display()
                )));
            }
        };
        let trace = cli.shared.trace.clone();
        if let Some(path) = trace.as_ref().filter(|path| path.extension().is_none_or(|e| e != "json")) {
            return Err(Error::Usage(format!(
                "--trace {}: a trace is written to a file that ends in .json",
                path.display()
            )));
        }
        // As the results: elements of an array must not replace each other's.
        let (report, trace) = match part_of_all(&tasks) {
            Some(part) => (report.of_part(part), trace.map(|path| part.file(&path))),
            None => (report, trace),
        };
        check_together(&tasks, &report, trace.as_deref())?;
        // A study says which points it has measured.
        if !cli.talk.quiet && !matches!(cli.command, Some(Command::Scale(_))) {
            tasks.iter_mut().for_each(|task| task.progress = cli.talk.progress);
        }
        Ok(Self { tasks, report, trace })
    }

    /// The tasks that a study is made of. Patterns and numbers of workers are the study's, and answers are
    /// dropped unless the command line names a file for them.
    fn to_scale(
        scale: &ScaleArgs,
        flags: &Shared,
        job_file: impl FnOnce(&Path) -> Result<String>,
    ) -> Result<Vec<Task>> {
        let in_parts = || {
            Error::Usage(
                "--part, --join: a study times its job with all of the input, or with --quick an estimate; for a \
                 single run: parpy map, read or run"
                    .into(),
            )
        };
        if flags.part.is_some() || flags.join.is_some() {
            return Err(in_parts());
        }
        for (flag, is_given) in [
            ("--dry-run", flags.dry_run),
            ("--joblog", flags.joblog.is_some()),
            ("--failed", flags.failed.is_some()),
        ] {
            if is_given {
                return Err(Error::Usage(format!(
                    "{flag}: it is for a single run, parpy map, read or run; a study runs the same thing again and again"
                )));
            }
        }
        let output = match flags.output.as_deref() {
            None => PathBuf::from("none"),
            Some(path) if path == Path::new("-") => {
                return Err(Error::Usage(
                    "scale runs the same thing again and again: its answers go to a file, -o FILE, or nowhere".into(),
                ));
            }
            Some(path) => path.to_owned(),
        };
        let shared = Shared { workers: None, pattern: None, output: Some(output), ..flags.clone() };
        let once = |work| Ok(vec![Task::checked(work, &shared)?]);
        let mut tasks = match (&scale.what, &scale.job) {
            _ if !scale.from.is_empty() => Vec::new(),
            (Some(ScaleWhat::Map(spec)), None) => once(Work::map(spec)?)?,
            (Some(ScaleWhat::Read(spec)), None) => once(Work::read(spec)?)?,
            (None, Some(job)) => Self::parse(&job_file(job)?, Some(job), &scale.args, &shared)?,
            _ => {
                return Err(Error::Usage(
                    "scale what? as in: parpy scale map --range 0..1000, parpy scale read FILE, or parpy scale \
                     JOB.toml; see parpy scale --help"
                        .into(),
                ));
            }
        };
        if tasks.iter().any(|task| task.work.is_of_stdin()) {
            return Err(Error::once_only(Path::new("standard input")));
        }
        if tasks.iter().any(|task| task.portion != ShardMode::Whole) {
            return Err(in_parts());
        }
        for task in &mut tasks {
            // Those of a job file.
            (task.joblog, task.failed) = (None, None);
            // Of no pipe, which can be read only once.
            task.repeat = task.repeat.max(2);
        }
        Ok(tasks)
    }
}

impl Task {
    pub(super) fn checked(work: Work, shared: &Shared) -> Result<Self> {
        let is_command = work.runs_for_items().is_some();
        if let Work::Map { reduce: Some(reduce), .. } = &work
            && is_command
            && !reduce::ends_of_unbounded(&reduce.items).is_empty()
        {
            return Err(Error::Usage(
                "--reduce hist:N: its range would be found by running all commands once before; give it, as in hist:N:A:B"
                    .into(),
            ));
        }
        // What is failed of columns alone is no item's answer.
        if shared.failed.is_some() && matches!(work, Work::Map { function: None, .. }) {
            return Err(Error::Usage(
                "--failed is of answers: give a function (-f), or a command (--exec)".into(),
            ));
        }
        if shared.joblog.is_some() && !work.runs_programs() {
            return Err(Error::Usage(
                "--joblog is of programs: --exec CMD ARGS, --worker CMD, --python FILE.py:NAME, or --pipe CMD ARGS".into(),
            ));
        }
        if shared.gpus.is_some() && !work.runs_programs() {
            return Err(Error::Usage(
                "--gpus is for programs: --exec CMD ARGS, --worker CMD, --python FILE.py:NAME, or --pipe CMD ARGS".into(),
            ));
        }
        if shared.failed.is_some() && work.unit() == Unit::Bytes && !work.runs_programs() {
            return Err(Error::Usage("--failed is of items: parpy map, or sections: --pipe CMD ARGS".into()));
        }
        shared.failed.as_deref().map_or(Ok(()), commands::check_failed)?;
        let at_least_one = |flag: &str, number: Option<i64>| match number {
            Some(n) if n < 1 => Err(Error::Usage(format!("{flag} {n}: there must be at least 1"))),
            Some(n) => Ok(Some(n as usize)),
            None => Ok(None),
        };
        let repeat = at_least_one("--repeat", shared.repeat)?.unwrap_or(1);
        if repeat > 1 && work.is_of_stdin() {
            return Err(Error::once_only(Path::new("standard input")));
        }
        let portion = ShardMode::of(shared.part.as_deref(), shared.join)?;
        if portion != ShardMode::Whole && matches!(work, Work::Map { reduce: Some(_), .. }) {
            return Err(Error::Usage(
                "--reduce is of all values, and --part and --join of some: give the parts no --reduce, and reduce what \
                 they join to"
                    .into(),
            ));
        }
        if portion != ShardMode::Whole && work.is_of_stdin() {
            return Err(Error::not_in_parts(Path::new(STDIN)));
        }
        let output = match shared.output.as_deref() {
            None => Output::Stdout,
            // By its other names too: opened anew it would be written from its start.
            Some(path) if ["-", "/dev/stdout", "/dev/fd/1"].iter().any(|name| path == Path::new(name)) => {
                Output::Stdout
            }
            Some(path) if path == Path::new("none") => Output::None,
            Some(path) => Output::File(path.to_owned(), format(path, &work)?),
        };
        let (output, whole_output) = match (portion, output) {
            (ShardMode::Shard(part), Output::File(path, format)) => {
                (Output::File(part.file(&path), format), Some(path))
            }
            (ShardMode::Merged(_), Output::File(path, format)) if !is_descriptor(&path) => {
                (Output::File(path, format), None)
            }
            (ShardMode::Merged(n), _) => {
                return Err(Error::Usage(format!(
                    "--join {n}: it makes one file of the files of all parts; say which with -o FILE, the same as \
                     for --part"
                )));
            }
            (_, output) => (output, None),
        };
        // Where what a command prints ends, nobody could tell who joins the parts.
        let is_lines = matches!(output, Output::Stdout | Output::File(_, Format::Text));
        if portion != ShardMode::Whole && is_lines && work.answers_text() {
            return Err(Error::Usage(
                "--part, --join: what a command prints may have many lines, so that parts of a text cannot be told apart; \
                 give -o a name that ends in .csv, .jsonl or .json, or say that it prints numbers: --answers f64"
                    .into(),
            ));
        }
        let compress = shared.compress.as_deref().map(Compress::parse).transpose()?;
        if compress.is_some() && !matches!(output, Output::File(_, Format::Hdf5)) {
            return Err(Error::Usage("--compress is for HDF5 files: -o FILE.h5".into()));
        }
        let workers = match shared.workers.as_ref().map(|counts| &counts.0[..]) {
            Some([one]) => Some(*one),
            Some(_) => {
                return Err(Error::Usage("--workers: only parpy scale takes several numbers".into()));
            }
            None => None,
        };
        let workers = at_least_one("--workers", workers)?;
        let threads = at_least_one("--threads", shared.threads)?;
        for (flag, number) in [("--workers", workers), ("--threads", threads)] {
            if let Some(n) = number.filter(|n| *n > MOST_WORKERS) {
                return Err(Error::Usage(format!(
                    "{flag} {n}: parpy starts {MOST_WORKERS} at the most; parpy cpus says how many are of use \
                     here"
                )));
            }
        }
        let halt = shared.halt.as_deref().map(Halt::parse).transpose()?;
        if shared.unordered {
            check_unordered(&work, &output)?;
        }
        let retries = match shared.retries {
            Some(n) => usize::try_from(n)
                .map_err(|_| Error::Usage(format!("--retries {n}: it is a number from 0")))?,
            None => RETRIES,
        };
        let schedule =
            shared.schedule.as_deref().map_or(Ok(Schedule::default()), |text| schedule(text, &work))?;
        commands::check_sections(schedule, &work)?;
        Ok(Self {
            schedule,
            workers,
            threads,
            keep_going: shared.keep_going || halt.is_some(),
            halt,
            unordered: shared.unordered,
            retries,
            limits: limits(shared, &work)?,
            gpus: shared.gpus.as_deref().map(Gpus::parse).transpose()?,
            // The parts have theirs, and who joins them works on nothing.
            joblog: shared.joblog.clone().filter(|_| !matches!(portion, ShardMode::Merged(_))),
            failed: shared.failed.clone().filter(|_| !matches!(portion, ShardMode::Merged(_))),
            pattern: shared.pattern.unwrap_or(PatternName::Auto),
            asked: shared.pattern.unwrap_or(PatternName::Auto),
            output,
            seed: sweep::seed(shared.seed, &work, portion)?,
            key: 0,
            repeat,
            compress,
            progress: ProgressWhen::Never,
            scale: ScaleSpec::default(),
            share: match portion {
                ShardMode::Shard(part) => part.share(),
                ShardMode::Whole | ShardMode::Merged(_) => Fraction::ALL,
            },
            portion,
            whole_output,
            traced: shared.trace.is_some(),
            work,
        })
    }
}

/// # Errors
/// The answers of `work` are in order there, whatever is asked for.
fn check_unordered(work: &Work, output: &Output) -> Result<()> {
    let why = match (work, output) {
        (Work::Read { .. }, _) => "sections of a file come in order",
        (_, Output::File(_, Format::Hdf5 | Format::Npy)) => {
            "rows of .h5 and .npy files are in the order of the input; .csv and .jsonl may have another"
        }
        _ => return Ok(()),
    };
    Err(Error::Usage(format!("--unordered: {why}")))
}

/// The format of the file `path`, in which the answers of `work` can be written.
fn format(path: &Path, work: &Work) -> Result<Format> {
    let wrong = |why: &str| Err(Error::Usage(format!("-o {}: {why}", path.display())));
    match (Format::of_name(path), work) {
        (Some(Format::Hdf5), _) if !cfg!(feature = "hdf5") => Err(hdf5_library::missing()),
        (Some(Format::Hdf5 | Format::Npy), Work::Read { action: Action::Pipe(_), .. }) => {
            wrong("what commands print is written as it is, to a file of any other name")
        }
        (_, Work::Read { action: Action::Pipe(_), .. }) => Ok(Format::Text),
        (Some(Format::Hdf5 | Format::Npy), Work::Read { action: Action::Named(name), .. })
            if answers_lines(name) =>
        {
            wrong(
                "lines are written as they are, to a file of any other name; .h5 holds their counts: --do count",
            )
        }
        (Some(Format::Npy), Work::Read { .. }) => wrong("counts go to .txt, .csv, .json, .jsonl or .h5"),
        // Lines are passed on as they are, whatever they are.
        (_, Work::Read { action: Action::Named(name), .. }) if answers_lines(name) => Ok(Format::Text),
        (Some(Format::Npy), Work::Map { who: true, .. }) => {
            wrong("a .npy file has no columns for --who; .csv, .json and .h5 have")
        }
        (Some(format), _) => Ok(format),
        (None, _) => Err(Error::Usage(Format::complaint(path))),
    }
}

/// The most values of a block: 128 MiB of them.
const LARGEST_BLOCK: u64 = 1 << 24;

/// What `static[,BLOCK]` and the like say.
fn schedule(text: &str, work: &Work) -> Result<Schedule> {
    let wrong = |why: &str| Err(Error::Usage(format!("--schedule {text}: {why}")));
    let (name, block) = match text.split_once(',') {
        Some((name, block)) => (name, Some(block)),
        None => (text, None),
    };
    let kind = match name {
        "static" => ScheduleKind::Static,
        "dynamic" => ScheduleKind::Dynamic,
        "guided" => ScheduleKind::Guided,
        "adaptive" => ScheduleKind::Adaptive,
        _ => {
            return wrong(&match nearest(name, ["static", "dynamic", "guided", "adaptive"]) {
                Some(near) => format!("unknown schedule; did you mean {near}?"),
                None => {
                    "unknown schedule; there are static, dynamic, guided and adaptive, each also with ,BLOCK"
                        .into()
                }
            });
        }
    };
    let Some(block) = block else { return Ok(Schedule { kind: Some(kind), block: None }) };
    let units = ['K', 'M', 'G'];
    let (digits, factor) = match units.iter().position(|unit| block.to_ascii_uppercase().ends_with(*unit)) {
        Some(i) => (&block[..block.len() - 1], 1024u64.pow(i as u32 + 1)),
        None => (block, 1),
    };
    let size = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).filter(|n| *n > 0);
    match (size, work) {
        (None, _) => wrong(&format!("the block is a whole number from 1, as in {name},1000 or {name},4M")),
        (Some(n), Work::Map { .. }) if n > LARGEST_BLOCK => {
            wrong(&format!("a block holds at most {LARGEST_BLOCK} values"))
        }
        (block, _) => Ok(Schedule { kind: Some(kind), block }),
    }
}

/// What `--reduce` and what belongs to it say.
fn reductions(spec: &MapSpec) -> Result<Option<Reductions>> {
    let Some(text) = &spec.reduce else {
        return match (&spec.by, spec.ddof) {
            (None, None) => Ok(None),
            (Some(_), _) => Err(Error::Usage("--by is for reductions: --reduce sum,mean".into())),
            (None, Some(_)) => Err(Error::Usage("--ddof is for reductions: --reduce var,std".into())),
        };
    };
    let items = reduce::split(text);
    reduce::check(&items)?;
    if spec.who || !spec.columns.is_empty() {
        return Err(Error::Usage(format!(
            "--reduce {text}: there is one row of results, so --who and --columns say nothing"
        )));
    }
    let ddof = spec.ddof.unwrap_or(0);
    let ddof =
        u64::try_from(ddof).map_err(|_| Error::Usage(format!("--ddof {ddof}: it is a number from 0")))?;
    Ok(Some(Reductions { items, by: spec.by.clone(), ddof }))
}

/// Lines of a file, or of standard input.
fn lines_of(path: &Path) -> Numbers {
    match path == Path::new("-") {
        true => Numbers::Lines(LinesOf::Stdin),
        false => Numbers::Lines(LinesOf::File(path.to_owned())),
    }
}

fn only_one_input() -> Error {
    Error::Usage("give VALUES, or --range, or --from, or --lines, or --sweep, but only one of them".into())
}

/// # Errors
/// What is said of a table is said of something else.
fn check_layout(spec: &MapSpec, numbers: &Numbers) -> Result<()> {
    let says_nothing = !spec.no_header && spec.delimiter.is_none() && spec.text.is_empty();
    match says_nothing || matches!(numbers, Numbers::File { .. }) {
        true => Ok(()),
        false => Err(Error::Usage("--no-header, --text and --delimiter are for --from FILE.csv".into())),
    }
}

impl Numbers {
    /// Those of `--from FILE[:COLUMNS]`.
    fn of_file(spec: &MapSpec, from: &Path, by_element: bool) -> Result<Self> {
        // The shortest name of a file is likely: whether there is one is asked later.
        let (path, part) = splits(from.as_os_str()).last().unwrap_or((from.to_owned(), None));
        if is_hdf5(&path) && !cfg!(feature = "hdf5") {
            return Err(hdf5_library::missing());
        }
        Ok(Self::File { layout: TableLayout::of(spec, &path)?, path, part, by_element })
    }
}

/// The columns of results that `--columns` names.
fn columns(spec: &MapSpec) -> Option<Vec<String>> {
    let columns: Vec<String> = spec.columns.iter().flat_map(|names| split_columns(names)).collect();
    Some(columns).filter(|columns| !columns.is_empty())
}

impl Work {
    /// Programs that are run for items, which are texts.
    fn of_programs(spec: &MapSpec, function: Function, reduce: Option<Reductions>) -> Result<Self> {
        let numbers = match (&spec.values[..], &spec.range, &spec.from, &spec.lines, sweep::of_map(spec)?) {
            ([], None, None, None, Some(sweep)) => Numbers::Sweep(sweep),
            ([], None, None, Some(path), None) => lines_of(path),
            (values, None, None, None, None) => {
                Numbers::Words(values.iter().map(|word| word.0.clone()).collect())
            }
            ([], Some(range), None, None, None) => Numbers::Range(Range::parse(range, None)?),
            ([], None, Some(path), None, None) if path == Path::new("-") => Numbers::Lines(LinesOf::Stdin),
            ([], None, Some(from), None, None) => Numbers::of_file(spec, from, false)?,
            _ => return Err(only_one_input()),
        };
        check_layout(spec, &numbers)?;
        let (columns, function) = (columns(spec), Some(function));
        Ok(Self::Map { numbers, function, dtype: None, columns, reduce, who: spec.who })
    }

    pub(super) fn map(spec: &MapSpec) -> Result<Self> {
        let reduce = reductions(spec)?;
        let own = commands::of_map(spec)?;
        if let Some(function) = own.as_ref().filter(|own| own.takes_texts()) {
            return Self::of_programs(spec, function.clone(), reduce);
        }
        let library = own.as_ref().and_then(Function::library);
        let python = own.as_ref().and_then(Function::python);
        // Who only reduces, reduces what is there.
        let function = match (&spec.function, &reduce) {
            (None, Some(_)) => None,
            (function, _) => Some(function.as_deref().unwrap_or("square")),
        };
        let function = function.filter(|_| own.is_none());
        function.map_or(Ok(()), Formula::check)?;
        let numbers = match (&spec.values[..], &spec.range, &spec.from, &spec.lines, sweep::of_map(spec)?) {
            ([], None, None, None, Some(sweep)) => {
                sweep.check(spec.dtype)?;
                Numbers::Sweep(sweep)
            }
            ([], None, None, Some(path), None) => {
                if let Some(dtype) = spec.dtype {
                    let dtype = dtype.name();
                    return Err(Error::Usage(format!(
                        "--dtype {dtype}: it is of numbers, and --lines are texts"
                    )));
                }
                if spec.function.is_none() && reduce.is_none() && own.is_none() {
                    return Err(Error::Usage(
                        "--lines: say what is done with each line, as in -f length; parpy functions lists what there is"
                            .into(),
                    ));
                }
                lines_of(path)
            }
            (values, None, None, None, None) => {
                let words = values.iter().map(ValueArg::text).collect::<Result<Vec<String>>>();
                let typed = words.and_then(|words| Typed::parse(&words, spec.dtype));
                match typed {
                    // They may be texts as well.
                    Err(_) if python.is_some() && spec.dtype.is_none() => {
                        Numbers::Words(values.iter().map(|word| word.0.clone()).collect())
                    }
                    typed => Numbers::Typed(typed?),
                }
            }
            ([], Some(range), None, None, None) => Numbers::Range(Range::parse(range, spec.dtype)?),
            ([], None, Some(path), None, None) if path == Path::new("-") => Numbers::Stdin,
            ([], None, Some(from), None, None) => {
                let by_element =
                    function.is_some_and(|function| functions::by_name(function.trim()).is_some());
                Numbers::of_file(spec, from, by_element)?
            }
            _ => return Err(only_one_input()),
        };
        check_layout(spec, &numbers)?;
        // Of what is in no file it is known which columns there are; one has no name.
        let schema = match &numbers {
            Numbers::File { .. } => None,
            Numbers::Sweep(sweep) => sweep.schema(spec.dtype),
            Numbers::Lines(_) | Numbers::Words(_) => Some(Schema::single("", ColumnType::Bytes)),
            _ => Some(Schema::single("", numbers.dtype().or(spec.dtype).unwrap_or(Dtype::I64))),
        };
        if let Some(schema) = schema {
            let one = |dtype: ColumnType| Schema::single(ANSWERS, dtype).fields;
            let answers = match (library, function) {
                _ if let Some(python) = python => python.fields(),
                (Some(library), _) => one(BoundLibrary::bind(library, &schema)?.dtype()),
                // Whatever the seed will be.
                (None, Some(function)) => one(Formula::bind(function, &schema, 0)?.dtype()),
                (None, None) => Vec::new(),
            };
            if let Some(Reductions { items, by, ddof }) = &reduce {
                // Whatever the ranges of bins will be.
                let any: Vec<(String, f64)> =
                    reduce::ends_of_unbounded(items).into_iter().map(|end| (end, 0.0)).collect();
                let items = &reduce::bounded(items, &any)?;
                Reduce::bind(items, &schema, &answers, by.as_deref(), *ddof)?;
            }
        }
        let columns = columns(spec);
        let formula =
            |text: &str| Function::Formula { text: text.to_owned(), is_random: Formula::is_random(text) };
        let function = own.or_else(|| function.map(formula));
        Ok(Self::Map { numbers, function, dtype: spec.dtype, columns, reduce, who: spec.who })
    }

    pub(super) fn read(spec: &ReadSpec) -> Result<Self> {
        if spec.file.as_os_str().is_empty() {
            return Err(Error::Usage("read wants a file".into()));
        }
        if spec.file == Path::new("-") {
            return Err(Error::Usage(
                "read -: a pipe cannot be read by sections; save it to a file first".into(),
            ));
        }
        let file = TextFile::Path(spec.file.clone());
        match commands::of_read(spec)? {
            Some(pipe) => Ok(Self::Read { file, action: Action::Pipe(pipe) }),
            None => Self::lines_of(file, spec.action.as_deref()),
        }
    }

    /// What is done with the lines of `file`, by its name.
    ///
    /// # Errors
    /// There is no such operation.
    pub(super) fn lines_of(file: TextFile, action: Option<&str>) -> Result<Self> {
        let action = action.unwrap_or(lines::DEFAULT);
        if lines::by_name(action).is_none() {
            let names = || lines::ALL.iter().map(|op| op.name);
            let near = did_you_mean(action, names());
            let there = listed(names());
            return Err(Error::Usage(format!("--do {action}: unknown operation; there are {there}{near}")));
        }
        Ok(Self::Read { file, action: Action::Named(action.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;
    use crate::data::batch;
    use crate::data::schema::Field;
    use crate::input::InputInfo;
    use crate::op::Bound;
    use crate::output::encode::Encoding;
    use crate::sched::sizing::BlockSizing;

    /// Bytes of an answer of states at least.
    const STATES: usize = 4096;
    /// The same of texts.
    const PIECES: usize = 64 * 1024;
    /// Bytes that all blocks in flight may take.
    const MOST: usize = 256 << 20;

    /// A task as typed, bound to an input of so many columns of numbers, and one of texts.
    fn bound(words: &[&str], columns: usize, has_texts: bool, indexed: bool) -> (Task, Bound) {
        let cli = Cli::parse_from(["parpy"].iter().chain(words));
        let task = Job::from_cli(&cli, |_| Ok(String::new())).unwrap().tasks.remove(0);
        let field = |i| Field { name: format!("c{i}"), dtype: ColumnType::F64 };
        let mut schema = Schema { fields: (0..columns).map(field).collect() };
        if has_texts {
            schema.push("name".to_owned(), ColumnType::Bytes);
        }
        let info = InputInfo { schema, total: u64::MAX / 16, indexed, ..InputInfo::default() };
        let bound = Bound::of(&task, info).unwrap();
        (task, bound)
    }

    #[test]
    fn the_smallest_block_is_no_round_of_it() {
        let in_rounds = |schedule: &str| {
            let words = ["map", "--from", "t.csv", "--schedule", schedule, "-f", "c0 + 1"];
            let (task, bound) = bound(&words, 1, false, false);
            BlockSizing::in_rounds(&task, &bound, 3, false).block
        };
        let default = in_rounds("static");
        assert!(default > 5);
        assert_eq!(
            ["static,5", "dynamic,5", "guided,5", "adaptive,5"].map(in_rounds),
            [5, 5, default, default]
        );
        assert_eq!(in_rounds("adaptive,20000"), default.max(20_000));
    }

    proptest! {
        /// Whatever is asked for, what is in flight stays within bounds, and a block holds a row at least.
        #[test]
        fn blocks_in_flight_are_bounded(
            columns in 1usize..200, workers in 1usize..300, block in prop::option::of(1u64..1 << 24),
            kind in prop::sample::select(vec!["static", "dynamic", "guided", "adaptive"]),
            output in prop::sample::select(vec!["none", "a.csv", "a.jsonl", "a.npy", "a.txt", "a.json"]),
            is_reduced: bool, is_stream: bool, has_texts: bool, costs_more: bool, left in prop::option::of(any::<u64>()), grain in 1u64..100_000,
        ) {
            let schedule = block.map_or(kind.to_owned(), |block| format!("{kind},{block}"));
            let mut words = vec!["map", "--from", "t.csv", "-k", "--schedule", &schedule, "-o", output, "-f", "c0 + 1"];
            if has_texts && output == "a.npy" && !is_reduced {
                words.extend(["--columns", "output"]);
            }
            if is_reduced {
                words.extend(["--reduce", "mean,hist:100:0:1", "--by", "c0"]);
            }
            let (task, bound) = bound(&words, columns, has_texts, !is_stream);
            let columns = bound.info.schema.len();
            let width = Encoding::of(&task, &bound).width(&bound.table());
            let row = columns * 8 + width;
            for (sizing, slots) in [
                (BlockSizing::in_rounds(&task, &bound, workers, costs_more), workers),
                (BlockSizing::one_by_one(&task, &bound, workers, left, grain), 2 * workers),
            ] {
                let BlockSizing { block, smallest, rows, input, texts, buf, .. } = sizing;
                prop_assert!(rows >= 1 && block == rows as u64 && (1..=block).contains(&smallest));
                prop_assert!(buf >= rows * width);
                let has_room = if is_stream { batch::rows_for(columns, input) >= rows } else { input == 0 };
                prop_assert!(has_room);
                prop_assert_eq!(texts, if has_texts && is_stream { batch::TEXT } else { 0 });
                prop_assert!(slots * BlockSizing::enough_texts(slots) <= MOST.max(slots << 16));
                // Parts of a batch begin at whole cache lines, and a state has room for a few numbers.
                let own = batch::bytes_for(columns, 0) + columns * 192 + if has_texts { PIECES } else { STATES };
                let most = MOST.max(slots * row) + slots * (rows * columns / 4 + own);
                prop_assert!(slots * (input + buf) <= most, "{} slots of {:?}", slots, sizing);
            }
        }
    }
}
