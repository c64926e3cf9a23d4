//! The checked job: the same thing from flags and from a TOML file.
//!
//! Checking is pure: it looks at what was typed (and at the text of a job file), never at the file system,
//! so that every rank comes to the same job or to the same error. What depends on files is found out when
//! a task is opened, on rank 0.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Deserialize;

use crate::cli::{Cli, Command, MapSpec, PatternName, ReadSpec, RunArgs, Shared};
use crate::error::{Error, Result, nearest};
use crate::function::numbers::{NAMES, Named};
use crate::input::{Range, Typed};

/// Everything one command asks for.
#[derive(Debug)]
pub struct Job {
    /// What to do, in order; no two write to the same file.
    pub tasks: Vec<Task>,
    /// Where the report goes.
    pub report: ReportTo,
}

/// One map or read.
#[derive(Debug)]
pub struct Task {
    /// Input and function.
    pub work: Work,
    /// Where the answers go.
    pub output: Output,
    /// Who runs the blocks; never [`PatternName::Auto`] once the run has begun.
    pub pattern: PatternName,
    /// The most workers that may take part.
    pub workers: Option<usize>,
    /// Threads of each rank, under mpi.
    pub threads: Option<usize>,
    /// How blocks are handed out.
    pub schedule: Schedule,
    /// Items that fail are passed over.
    pub keep_going: bool,
    /// How often what a killed worker held is run again.
    pub retries: usize,
    /// How often to run; more than once for medians.
    pub repeat: usize,
}

/// How blocks are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// By whose word, where the user has set it.
    pub kind: Option<ScheduleKind>,
    /// Values, or bytes of a file, in a block, where the user has set it; with guided, in the smallest.
    pub block: Option<u64>,
}

/// OpenMP's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleKind {
    /// Block i goes to worker i modulo the number of workers.
    Static,
    /// The next block goes to whoever is free.
    Dynamic,
    /// Dynamic, with blocks that become smaller towards the end.
    Guided,
}

/// Input and function of a task.
#[derive(Debug)]
pub enum Work {
    /// A function over values.
    Map {
        /// Where the values come from.
        numbers: Numbers,
        /// What is done with each.
        function: Named,
        /// Their type, where the user has set it.
        dtype: Option<Dtype>,
        /// Answers are printed with their values and processes.
        who: bool,
    },
    /// A function over the lines of a file.
    Read {
        /// The file.
        file: TextFile,
        /// What is done with its lines.
        action: Do,
    },
}

/// Where the values of a map come from.
#[derive(Debug)]
pub enum Numbers {
    /// The command line or the job file.
    Typed(Typed),
    /// `--range`.
    Range(Range),
    /// A text or `.npy` file.
    File(PathBuf),
    /// Standard input of rank 0, as text.
    Stdin,
}

/// A text to read by sections.
#[derive(Debug, Clone)]
pub enum TextFile {
    /// A file.
    Path(PathBuf),
    /// The demo's text, part of the program.
    Sample,
}

impl TextFile {
    /// The file's name for messages.
    pub fn name(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            Self::Sample => PathBuf::from(SAMPLE_NAME),
        }
    }
}

/// Type of values: 64 bits either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Whole numbers, exact in 64 bits
    I64,
    /// Floats (IEEE 754 double)
    F64,
}

impl Dtype {
    /// The bits of the number that `word` spells, `None` when it is not one of this type.
    pub fn parse(self, word: &str) -> Option<u64> {
        match self {
            Self::I64 => word.parse::<i64>().ok().map(|number| number as u64),
            Self::F64 => {
                let number = word.parse::<f64>().ok()?;
                // 1e400 reads as infinite, and is not what it says.
                (number.is_finite() || !word.contains(|c: char| c.is_ascii_digit())).then(|| number.to_bits())
            }
        }
    }

    /// Why `word` is not a number of this type.
    pub fn complaint(self, word: &str) -> String {
        match self {
            Self::I64 if Self::F64.parse(word).is_some() => {
                let why = if is_whole_literal(word) {
                    "does not fit in a 64-bit whole number"
                } else {
                    "is not a whole number"
                };
                format!("'{word}' {why}; for floats: --dtype f64")
            }
            Self::I64 => format!("'{word}' is not a whole number"),
            Self::F64 if word.parse::<f64>().is_ok() => format!("'{word}' does not fit in a 64-bit float"),
            Self::F64 => format!("'{word}' is not a number"),
        }
    }
}

/// Digits alone: a whole number even where 64 bits cannot hold it, so never silently a float.
pub fn is_whole_literal(word: &str) -> bool {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// What to do with the lines of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Do {
    /// The lines as they are
    Text,
    /// How many lines, words and bytes, as wc counts them in the C locale
    Count,
}

/// Where the answers of a task go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Gathered, and dropped.
    None,
    /// A file.
    File(PathBuf),
    /// Told to people on standard output: who did what. For the demo.
    People,
}

/// Where the report goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportTo {
    /// Nobody asked.
    Nobody,
    /// A table on standard error.
    Stderr,
    /// A JSON file.
    File(PathBuf),
}

/// The demo's job file, part of the program.
const DEMO: &str = include_str!("../jobs/demo.toml");

/// The demo's sample text, as the demo's job file names it.
pub const SAMPLE_NAME: &str = "sample.txt";

/// A job file as typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobSpec {
    task: Vec<TaskSpec>,
}

/// One task of a job file as typed: the flags of the command line under their own names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskSpec {
    map: Option<MapSpec>,
    read: Option<ReadSpec>,
    output: Option<PathBuf>,
    pattern: Option<PatternName>,
    workers: Option<i64>,
    threads: Option<i64>,
    schedule: Option<String>,
    keep_going: Option<bool>,
    retries: Option<i64>,
    repeat: Option<i64>,
}

impl Job {
    /// The job that the command line asks for. `job_file` reads a job file, and is called at most once.
    ///
    /// # Errors
    /// [`Error::Usage`] with what is wrong, and whatever `job_file` fails with.
    pub fn from_cli(cli: &Cli, job_file: impl FnOnce(&Path) -> Result<String>) -> Result<Self> {
        let tasks = match &cli.command {
            None => Self::parse(DEMO, None, &[], &cli.shared)?,
            // It looks, and runs nothing.
            Some(Command::Cpus(_)) => Vec::new(),
            Some(Command::Map(spec)) => vec![Task::checked(Work::map(spec)?, &cli.shared)?],
            Some(Command::Read(spec)) => vec![Task::checked(Work::read(spec)?, &cli.shared)?],
            Some(Command::Run(RunArgs { job, args })) => {
                Self::parse(&job_file(job)?, Some(job), args, &cli.shared)?
            }
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
        check_together(&tasks)?;
        Ok(Self { tasks, report })
    }

    /// Reads the text of a job file. `path` is `None` for the demo. Flags on the command line come before
    /// what the file says.
    fn parse(text: &str, path: Option<&Path>, args: &[PathBuf], flags: &Shared) -> Result<Vec<Task>> {
        let name = path.unwrap_or(Path::new("demo.toml")).display().to_string();
        let spec: JobSpec = toml::from_str(text).map_err(|e| Error::Usage(explain(&name, &e)))?;
        let paths = Paths { folder: path.and_then(Path::parent), args, used: Cell::new(0) };
        let mut tasks = Vec::new();
        for (index, task) in spec.task.into_iter().enumerate() {
            let task = Task::from_spec(task, &paths, flags).map_err(|error| match error {
                Error::Usage(text) => Error::Usage(format!("{name}, task {}: {text}", index + 1)),
                other => other,
            })?;
            tasks.push(task);
        }
        if let Some(surplus) = args.get(paths.used.get()) {
            let surplus = surplus.display();
            return Err(Error::Usage(format!("{name} has no use for the argument {surplus}")));
        }
        Ok(tasks)
    }

    /// Does anybody want to know which process on which host each worker was?
    pub fn wants_names(&self) -> bool {
        self.report != ReportTo::Nobody || self.tasks.iter().any(|task| task.output == Output::People)
    }
}

/// What each task could do alone and all of them cannot.
fn check_together(tasks: &[Task]) -> Result<()> {
    let is_stdin = |task: &&Task| matches!(task.work, Work::Map { numbers: Numbers::Stdin, .. });
    if tasks.iter().filter(is_stdin).count() > 1 {
        return Err(Error::Usage("two tasks want standard input, which can be read only once".into()));
    }
    for (i, task) in tasks.iter().enumerate() {
        if let Output::File(path) = &task.output
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

/// A TOML error with the nearest right key where a key is wrong.
fn explain(name: &str, error: &toml::de::Error) -> String {
    let mut text = format!("{name}: {}", error.to_string().trim_end());
    let message = error.message();
    if message == "missing field `task`" {
        text.push_str("\na job file has one [[task]] or more: see parpy run --help");
    } else if message.contains("expected a sequence") {
        text.push_str("\na task begins with [[task]], in double brackets");
    } else if message.starts_with("unknown ") {
        let mut quoted = message.split('`').skip(1).step_by(2);
        if let Some(near) = quoted.next().and_then(|wrong| nearest(wrong, quoted)) {
            text.push_str(&format!("\ndid you mean `{near}`?"));
        }
    }
    text
}

/// How the paths of a job file are meant.
struct Paths<'a> {
    /// The folder of the job file; `None` for the demo.
    folder: Option<&'a Path>,
    args: &'a [PathBuf],
    /// The highest number that the job file has asked for.
    used: Cell<usize>,
}

impl Paths<'_> {
    fn arg(&self, number: usize) -> Result<&PathBuf> {
        self.used.set(self.used.get().max(number));
        number.checked_sub(1).and_then(|i| self.args.get(i)).ok_or_else(|| {
            Error::Usage(format!(
                "it wants ${number}, the argument no. {number} after the job file's name, as in: parpy run \
                 JOB.toml {}",
                "ARG ".repeat(number.clamp(1, 9)).trim_end()
            ))
        })
    }

    /// A word with every `$N` in it replaced.
    fn word(&self, text: &str) -> Result<String> {
        let mut parts = text.split('$');
        let mut word = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            match part[..digits].parse() {
                Ok(number) => word.push_str(&self.arg(number)?.to_string_lossy()),
                Err(_) => word.push('$'),
            }
            word.push_str(&part[digits..]);
        }
        Ok(word)
    }

    /// `$1` is the first argument after the job file's name, taken from the current folder; any other
    /// path is taken from the job file's folder.
    fn resolve(&self, path: &Path) -> Result<PathBuf> {
        let number = path.to_str().and_then(|text| text.strip_prefix('$')?.parse::<usize>().ok());
        match number {
            Some(number) => self.arg(number).cloned(),
            None => Ok(self.folder.map_or_else(|| path.to_owned(), |folder| folder.join(path))),
        }
    }

    /// As [`Paths::resolve`], but for the names that are no paths.
    fn resolve_unless(&self, words: &[&str], path: &mut PathBuf) -> Result<()> {
        if !words.iter().any(|word| path.as_os_str() == *word) {
            *path = self.resolve(path)?;
        }
        Ok(())
    }
}

impl Task {
    fn from_spec(spec: TaskSpec, paths: &Paths, flags: &Shared) -> Result<Self> {
        let work = match (spec.map, spec.read) {
            (Some(mut map), None) => {
                if let Some(from) = &mut map.from {
                    paths.resolve_unless(&["-"], from)?;
                }
                for text in map.range.iter_mut().chain(map.values.iter_mut().map(|word| &mut word.0)) {
                    *text = paths.word(text)?;
                }
                Work::map(&map)?
            }
            (None, Some(read)) if paths.folder.is_none() && read.file == Path::new(SAMPLE_NAME) => {
                Work::Read { file: TextFile::Sample, action: read.action.unwrap_or(Do::Text) }
            }
            (None, Some(mut read)) => {
                if !read.file.as_os_str().is_empty() {
                    read.file = paths.resolve(&read.file)?;
                }
                Work::read(&read)?
            }
            _ => return Err(Error::Usage("say either map = { … } or read = { … }".into())),
        };
        let mut output = spec.output;
        if let Some(path) = &mut output {
            paths.resolve_unless(&["-", "none", "people"], path)?;
        }
        let people = output.as_deref() == Some(Path::new("people")) && flags.output.is_none();
        let shared = Shared {
            pattern: flags.pattern.or(spec.pattern),
            workers: flags.workers.or(spec.workers),
            threads: flags.threads.or(spec.threads),
            schedule: flags.schedule.clone().or(spec.schedule),
            keep_going: flags.keep_going || spec.keep_going.unwrap_or(false),
            retries: flags.retries.or(spec.retries),
            output: flags.output.clone().or(output),
            repeat: flags.repeat.or(spec.repeat),
            report: None,
        };
        let mut task = Self::checked(work, &shared)?;
        if people {
            if matches!(
                task.work,
                Work::Map { numbers: Numbers::Stdin, .. } | Work::Read { action: Do::Count, .. }
            ) {
                return Err(Error::Usage(
                    "output = \"people\" tells of values from a file or typed, and of texts".into(),
                ));
            }
            task.output = Output::People;
        }
        Ok(task)
    }

    /// Was there nothing typed at all? No fault, but hardly meant.
    pub fn is_empty_list(&self) -> bool {
        matches!(&self.work, Work::Map { numbers: Numbers::Typed(values), .. } if values.is_empty())
    }

    fn checked(work: Work, shared: &Shared) -> Result<Self> {
        let at_least_one = |flag: &str, number: Option<i64>| match number {
            Some(n) if n < 1 => Err(Error::Usage(format!("{flag} {n}: there must be at least 1"))),
            Some(n) => Ok(Some(n as usize)),
            None => Ok(None),
        };
        let repeat = at_least_one("--repeat", shared.repeat)?.unwrap_or(1);
        if repeat > 1 && matches!(work, Work::Map { numbers: Numbers::Stdin, .. }) {
            return Err(Error::once_only(Path::new("standard input")));
        }
        let output = match shared.output.as_deref() {
            None => Output::Stdout,
            // By its other names too: opened anew it would be written from its start.
            Some(path) if ["-", "/dev/stdout", "/dev/fd/1"].iter().any(|name| path == Path::new(name)) => {
                Output::Stdout
            }
            Some(path) if path == Path::new("none") => Output::None,
            Some(path) => Output::File(path.to_owned()),
        };
        if let (Work::Map { .. }, Output::File(path)) = (&work, &output) {
            refuse_other_formats(path)?;
        }
        let workers = at_least_one("--workers", shared.workers)?;
        let threads = at_least_one("--threads", shared.threads)?;
        for (flag, number) in [("--workers", workers), ("--threads", threads)] {
            if let Some(n) = number.filter(|n| *n > MOST_WORKERS) {
                return Err(Error::Usage(format!(
                    "{flag} {n}: parpy starts {MOST_WORKERS} at the most; parpy cpus says how many are of use \
                     here"
                )));
            }
        }
        let retries = match shared.retries {
            Some(n) => usize::try_from(n)
                .map_err(|_| Error::Usage(format!("--retries {n}: it is a number from 0")))?,
            None => 1,
        };
        Ok(Self {
            schedule: shared
                .schedule
                .as_deref()
                .map_or(Ok(Schedule::default()), |text| schedule(text, &work))?,
            workers,
            threads,
            keep_going: shared.keep_going,
            retries,
            pattern: shared.pattern.unwrap_or(PatternName::Auto),
            output,
            repeat,
            work,
        })
    }
}

/// Numbers are written as text only; a name that promises another format must not get text.
fn refuse_other_formats(path: &Path) -> Result<()> {
    const OTHERS: [&str; 7] = ["npy", "npz", "h5", "hdf5", "json", "jsonl", "csv"];
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if OTHERS.contains(&extension.to_ascii_lowercase().as_str()) {
        return Err(Error::Usage(format!(
            "-o {}: results are written as text, one per line, and not as .{extension}; name the file .txt",
            path.display()
        )));
    }
    Ok(())
}

/// The most values of a block: 128 MiB of them.
const LARGEST_BLOCK: u64 = 1 << 24;

/// The most workers that one run may start: more than any node has CPUs, fewer than what makes a node
/// unusable.
const MOST_WORKERS: usize = 4096;

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
        _ => {
            return wrong(&match nearest(name, ["static", "dynamic", "guided"]) {
                Some(near) => format!("unknown schedule; did you mean {near}?"),
                None => {
                    "unknown schedule; there are static, dynamic and guided, each also with ,BLOCK".into()
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

impl Work {
    fn map(spec: &MapSpec) -> Result<Self> {
        let name = spec.function.as_deref().unwrap_or("square");
        let Some(function) = Named::from_name(name) else {
            let hint = match nearest(name, NAMES.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("there is: {}", NAMES.join(", ")),
            };
            return Err(Error::Usage(format!("unknown function '{name}'; {hint}")));
        };
        let numbers = match (&spec.values[..], &spec.range, &spec.from) {
            (values, None, None) => {
                let words: Vec<String> = values.iter().map(|word| word.0.clone()).collect();
                Numbers::Typed(Typed::parse(&words, spec.dtype)?)
            }
            ([], Some(range), None) => Numbers::Range(Range::parse(range, spec.dtype)?),
            ([], None, Some(path)) if path == Path::new("-") => Numbers::Stdin,
            ([], None, Some(path)) => Numbers::File(path.clone()),
            _ => return Err(Error::Usage("give VALUES, or --range, or --from, but only one of them".into())),
        };
        Ok(Self::Map { numbers, function, dtype: spec.dtype, who: spec.who })
    }

    fn read(spec: &ReadSpec) -> Result<Self> {
        if spec.file.as_os_str().is_empty() {
            return Err(Error::Usage("read wants a file".into()));
        }
        if spec.file == Path::new("-") {
            return Err(Error::Usage(
                "read -: a pipe cannot be read by sections; save it to a file first".into(),
            ));
        }
        Ok(Self::Read { file: TextFile::Path(spec.file.clone()), action: spec.action.unwrap_or(Do::Text) })
    }
}
