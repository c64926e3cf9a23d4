//! The checked job: the same thing from flags and from a TOML file.
//!
//! Checking is pure: it looks at what was typed (and at the text of a job file), never at the file system,
//! so that every rank comes to the same job or to the same error. What depends on files is found out when
//! a task is opened, on rank 0.

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::cli::{
    Cli, Command, Counts, MapSpec, PatternName, ProgressWhen, ReadSpec, RunArgs, ScaleArgs, ScaleSpec,
    ScaleWhat, Shared, Word,
};
use crate::error::{Error, Result, nearest};
use crate::escape;
use crate::function::numbers::{NAMES, Named};
use crate::hdf5;
use crate::input::{Range, STDIN, Typed, csv};
use crate::names;
use crate::output::Format;
use crate::output::file::is_descriptor;
use crate::part::{Part, Portion};
use crate::provenance::absolute;
use crate::trace::Timeline;

/// Everything one command asks for.
#[derive(Debug)]
pub struct Job {
    /// What to do, in order; no two write to the same file.
    pub tasks: Vec<Task>,
    /// Where the report goes.
    pub report: ReportTo,
    /// Where the trace goes, where one is wanted.
    pub trace: Option<PathBuf>,
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
    /// The same as the user has asked for it.
    pub asked: PatternName,
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
    /// How the datasets of an HDF5 file are compressed.
    pub compress: Option<Compress>,
    /// That a trace is wanted, and in it what there is of a run that has failed.
    pub traced: Option<Mutex<Option<Timeline>>>,
    /// Whether to say how far it has come.
    pub progress: ProgressWhen,
    /// How it is timed, in a scaling study.
    pub scale: ScaleSpec,
    /// How much of the input's values or bytes.
    pub share: Share,
    /// Whether that is a part that others complete, or all parts are joined.
    pub portion: Portion,
    /// The output as the user names it, where that of this part has a name of its own.
    pub whole_output: Option<PathBuf>,
}

/// A share of an input: from the end of part no. `from` to that of part no. `to` of `whole` equal parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Share {
    pub from: u64,
    pub to: u64,
    pub whole: u64,
}

impl Share {
    /// All of it.
    pub const ALL: Self = Self::first(1, 1);

    /// The first `part` of `whole` equal parts.
    pub const fn first(part: u64, whole: u64) -> Self {
        Self { from: 0, to: part, whole }
    }

    /// Which of `total` items. Shares that follow each other leave nothing out; ends are rounded up, so that
    /// the first share of anything has an item.
    pub fn of(self, total: u64) -> std::ops::Range<u64> {
        // In 128 bits: a 100 GB file times a few thousand parts passes 2^64.
        let end = |part: u64| (u128::from(total) * u128::from(part)).div_ceil(u128::from(self.whole)) as u64;
        end(self.from)..end(self.to)
    }

    /// As a number from 0 to 1.
    pub fn fraction(self) -> f64 {
        (self.to - self.from) as f64 / self.whole as f64
    }
}

/// How the datasets of an HDF5 file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compress {
    /// Deflate of that level: every HDF5 reads it.
    Gzip(u8),
    /// Of h5py.
    Lzf,
    /// For readers with the Blosc plugin.
    Blosc(Blosc),
}

/// What Blosc compresses with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Blosc {
    Zstd,
    Lz4,
    Zlib,
}

impl Compress {
    /// By the names that `--compress` knows.
    const NAMES: [(&'static str, Self); 6] = [
        ("gzip", Self::Gzip(4)),
        ("lzf", Self::Lzf),
        ("blosc", Self::Blosc(Blosc::Zstd)),
        ("blosc:zstd", Self::Blosc(Blosc::Zstd)),
        ("blosc:lz4", Self::Blosc(Blosc::Lz4)),
        ("blosc:zlib", Self::Blosc(Blosc::Zlib)),
    ];

    fn parse(text: &str) -> Result<Self> {
        let level = text.strip_prefix("gzip:").and_then(|level| level.parse().ok());
        if let Some(level) = level.filter(|level| (1..=9).contains(level)) {
            return Ok(Self::Gzip(level));
        }
        let known = Self::NAMES.iter().find(|(name, _)| *name == text);
        known.map(|(_, compress)| *compress).ok_or_else(|| {
            Error::Usage(format!(
                "--compress {text}: there are gzip, gzip:1 to gzip:9, {}",
                Self::NAMES[1..].iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
            ))
        })
    }

    fn name(self) -> String {
        match self {
            Self::Gzip(level) => format!("gzip:{level}"),
            other => {
                // The last of them is the longest.
                let name = Self::NAMES.iter().rev().find(|(_, compress)| *compress == other);
                name.map_or("gzip", |(name, _)| name).to_owned()
            }
        }
    }
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
    /// A file, and where it has several columns or datasets, the name of one.
    File {
        /// The file.
        path: PathBuf,
        /// Column or dataset.
        part: Option<String>,
        /// How its columns are told apart, where it is a table.
        layout: Layout,
    },
    /// Standard input of rank 0, as text.
    Stdin,
}

/// What the user says of a table: a file with rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Its first row is values.
    pub no_header: bool,
    /// What stands between columns, where it is not what the file's name says.
    pub delimiter: Option<u8>,
}

impl Layout {
    /// # Errors
    /// No such delimiter, or none of a table: `path` is a file of another kind.
    fn of(spec: &MapSpec, path: &Path) -> Result<Self> {
        let delimiter = spec.delimiter.as_deref().map(delimiter).transpose()?;
        let layout = Self { no_header: spec.no_header, delimiter };
        if layout != Self::default() && csv::delimiter(path).is_none() {
            return Err(Error::Usage(format!(
                "--no-header and --delimiter are for files with columns, whose names end in .csv or .tsv; {} is none",
                path.display()
            )));
        }
        Ok(layout)
    }

    /// As a job file says it.
    fn delimiter_text(self) -> Option<String> {
        self.delimiter.map(|byte| if byte == b'\t' { "tab".to_owned() } else { char::from(byte).to_string() })
    }
}

/// What `--delimiter` says.
fn delimiter(text: &str) -> Result<u8> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | b'\0') => Ok(*byte),
        _ => Err(Error::Usage(format!(
            "--delimiter '{text}': it is one character, as in ';' or '|', or the word tab"
        ))),
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
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

    /// As typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }

    /// The number of these bits, in the shortest form that [`Dtype::parse`] reads back the same.
    pub fn text(self, bits: u64) -> String {
        match self {
            Self::I64 => (bits as i64).to_string(),
            Self::F64 => ryu::Buffer::new().format(f64::from_bits(bits)).to_owned(),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
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
    /// A file, and how it is written.
    File(PathBuf, Format),
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

impl ReportTo {
    /// That of `part`, where `self` is for the whole.
    fn of_part(self, part: Part) -> Self {
        match self {
            Self::File(path) => Self::File(part.file(&path)),
            other => other,
        }
    }
}

/// The demo's job file, part of the program.
const DEMO: &str = include_str!("../jobs/demo.toml");

/// The demo's sample text, as the demo's job file names it.
pub const SAMPLE_NAME: &str = "sample.txt";

/// A job file as typed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobSpec {
    task: Vec<TaskSpec>,
}

/// One task of a job file as typed: the flags of the command line under their own names.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TaskSpec {
    output: Option<PathBuf>,
    pattern: Option<PatternName>,
    workers: Option<i64>,
    threads: Option<i64>,
    schedule: Option<String>,
    keep_going: Option<bool>,
    retries: Option<i64>,
    repeat: Option<i64>,
    compress: Option<String>,
    part: Option<String>,
    // Last, because TOML has tables last.
    #[serde(skip_serializing)]
    scale: Option<ScaleSpec>,
    map: Option<MapSpec>,
    read: Option<ReadSpec>,
}

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
            // It looks, and runs nothing.
            Some(Command::Cpus(_) | Command::Doctor(_) | Command::Show(_)) => Vec::new(),
            Some(Command::Map(spec)) => vec![Task::checked(Work::map(spec)?, &cli.shared)?],
            Some(Command::Read(spec)) => vec![Task::checked(Work::read(spec)?, &cli.shared)?],
            Some(Command::Run(RunArgs { job, args })) => {
                Self::parse(&job_file(job)?, Some(job), args, &cli.shared)?
            }
            Some(Command::Scale(scale)) => Self::to_scale(scale, &cli.shared, job_file)?,
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
        if tasks.iter().any(|task| matches!(task.work, Work::Map { numbers: Numbers::Stdin, .. })) {
            return Err(Error::once_only(Path::new("standard input")));
        }
        if tasks.iter().any(|task| task.portion != Portion::Whole) {
            return Err(in_parts());
        }
        for task in &mut tasks {
            // Of no pipe, which can be read only once.
            task.repeat = task.repeat.max(2);
        }
        Ok(tasks)
    }

    /// Reads the text of a job file. `path` is `None` for the demo. Flags on the command line come before
    /// what the file says.
    fn parse(text: &str, path: Option<&Path>, args: &[PathBuf], flags: &Shared) -> Result<Vec<Task>> {
        let name = path.unwrap_or(Path::new("demo.toml")).display().to_string();
        let spec: JobSpec = toml::from_str(text).map_err(|e| Error::JobFile(explain(&name, &e)))?;
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
        let says_so =
            |output: &Output| matches!(output, Output::People | Output::File(_, Format::Hdf5 | Format::Json));
        let is_wanted = self.report != ReportTo::Nobody || self.trace.is_some();
        is_wanted || self.tasks.iter().any(|task| says_so(&task.output))
    }

    /// Is an HDF5 file read or written?
    pub fn needs_hdf5(&self) -> bool {
        self.tasks.iter().any(Task::needs_hdf5)
    }
}

/// The part of its input that every task works on; `None` where they work on others, or on all of it.
fn part_of_all(tasks: &[Task]) -> Option<Part> {
    let Portion::Part(part) = tasks.first()?.portion else { return None };
    tasks.iter().all(|task| task.portion == Portion::Part(part)).then_some(part)
}

/// What each task could do alone and all of them cannot.
fn check_together(tasks: &[Task], report: &ReportTo, trace: Option<&Path>) -> Result<()> {
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
    let is_stdin = |task: &&Task| matches!(task.work, Work::Map { numbers: Numbers::Stdin, .. });
    if tasks.iter().filter(is_stdin).count() > 1 {
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

/// A TOML error with the nearest right key where a key is wrong.
fn explain(name: &str, error: &toml::de::Error) -> String {
    // The place on several lines, and then what is wrong there, in which names of keys stand.
    let message = error.message();
    let text = error.to_string();
    let place = text.trim_end().strip_suffix(message.trim_end()).unwrap_or_default();
    let mut text = format!("{}: {place}{}", escape::line(name), escape::line(message.trim_end()));
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
        Ok(self.name(text)?.to_string_lossy().into_owned())
    }

    /// As [`Paths::word`], for a file's name: it need not be UTF-8, and neither need an argument.
    fn name(&self, text: &str) -> Result<PathBuf> {
        let mut parts = text.split('$');
        let mut name = names::of_job_file(parts.next().unwrap_or_default()).into_os_string();
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            match part[..digits].parse() {
                Ok(number) => name.push(self.arg(number)?),
                Err(_) => name.push(format!("${}", &part[..digits])),
            }
            name.push(names::of_job_file(&part[digits..]));
        }
        Ok(name.into())
    }

    /// `$1` is the first argument after the job file's name. A path that begins with one is taken from the
    /// current folder; any other path is taken from the job file's folder.
    fn resolve(&self, path: &Path) -> Result<PathBuf> {
        let text = path.to_str().unwrap_or_default();
        let path = self.name(text)?;
        let is_argument = text.starts_with('$');
        Ok(self.folder.filter(|_| !is_argument).map_or(path.clone(), |folder| folder.join(path)))
    }

    /// As [`Paths::resolve`], for the argument of `from`, which may have a part behind the path.
    fn resolve_from(&self, from: &Path) -> Result<PathBuf> {
        if from == Path::new("-") {
            return Ok(from.to_owned());
        }
        // `$1:column`: what `$1` stands for says whether it has columns.
        match from.to_str().filter(|text| text.starts_with('$')).and_then(|text| text.split_once(':')) {
            Some((path, part)) => {
                let mut path = self.resolve(Path::new(path))?.into_os_string();
                path.push(":");
                path.push(part);
                Ok(path.into())
            }
            None => self.resolve(from),
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
                    *from = paths.resolve_from(from)?;
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
        // Of several tasks, and of a job with another output than its own, not each writes an HDF5 file.
        let is_asked = spec.compress.is_some() && flags.output.is_none();
        let (compress, output) = (flags.compress.clone().or(spec.compress), flags.output.clone().or(output));
        let compress = compress.filter(|_| is_asked || output.as_deref().is_some_and(is_hdf5));
        let shared = Shared {
            pattern: flags.pattern.or(spec.pattern),
            workers: flags.workers.clone().or(spec.workers.map(|n| Counts(vec![n]))),
            threads: flags.threads.or(spec.threads),
            schedule: flags.schedule.clone().or(spec.schedule),
            keep_going: flags.keep_going || spec.keep_going.unwrap_or(false),
            retries: flags.retries.or(spec.retries),
            output,
            repeat: flags.repeat.or(spec.repeat),
            part: flags.part.clone().or(spec.part.filter(|_| flags.join.is_none())),
            join: flags.join,
            compress,
            report: None,
            trace: flags.trace.clone(),
        };
        let mut task = Self::checked(work, &shared)?;
        task.scale = spec.scale.unwrap_or_default();
        if people {
            if matches!(
                task.work,
                Work::Map { numbers: Numbers::Stdin, .. } | Work::Read { action: Do::Count, .. }
            ) {
                return Err(Error::Usage(
                    "output = \"people\" tells of values from a file or typed, and of texts".into(),
                ));
            }
            if task.portion != Portion::Whole {
                return Err(Error::Usage(
                    "output = \"people\" tells of all of an input: --part and --join want an output that can be \
                     joined, as in -o FILE"
                        .into(),
                ));
            }
            task.output = Output::People;
        }
        Ok(task)
    }

    /// Finds the file that is meant by `FILE:PART`, where the names of folders and files have colons too: the first
    /// way to read it in which `is_there` finds it, or else the first. Asked in the same order on every
    /// rank.
    pub fn find_input(&mut self, mut is_there: impl FnMut(&Path) -> bool) {
        let Work::Map { numbers: Numbers::File { path, part, .. }, .. } = &mut self.work else { return };
        let Some(typed) = part else { return };
        let mut from = path.clone().into_os_string();
        from.push(":");
        from.push(typed);
        if let Some(found) = splits(&from).find(|(path, _)| is_there(path)) {
            (*path, *part) = found;
        }
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
        let portion = Portion::of(shared.part.as_deref(), shared.join)?;
        if portion != Portion::Whole && matches!(work, Work::Map { numbers: Numbers::Stdin, .. }) {
            return Err(Error::not_in_parts(Path::new(STDIN)));
        }
        let output = match shared.output.as_deref() {
            None => Output::Stdout,
            // By its other names too: opened anew it would be written from its start.
            Some(path) if ["-", "/dev/stdout", "/dev/fd/1"].iter().any(|name| path == Path::new(name)) => {
                Output::Stdout
            }
            Some(path) if path == Path::new("none") => Output::None,
            Some(path) => Output::File(path.to_owned(), format(path, &work, shared.keep_going)?),
        };
        let (output, whole_output) = match (portion, output) {
            (Portion::Part(part), Output::File(path, format)) => {
                (Output::File(part.file(&path), format), Some(path))
            }
            (Portion::Joined(_), Output::File(path, format)) if !is_descriptor(&path) => {
                (Output::File(path, format), None)
            }
            (Portion::Joined(n), _) => {
                return Err(Error::Usage(format!(
                    "--join {n}: it makes one file of the files of all parts; say which with -o FILE, the same as \
                     for --part"
                )));
            }
            (_, output) => (output, None),
        };
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
        let retries = match shared.retries {
            Some(n) => usize::try_from(n)
                .map_err(|_| Error::Usage(format!("--retries {n}: it is a number from 0")))?,
            None => RETRIES,
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
            asked: shared.pattern.unwrap_or(PatternName::Auto),
            output,
            repeat,
            compress,
            progress: ProgressWhen::Never,
            scale: ScaleSpec::default(),
            share: match portion {
                Portion::Part(part) => part.share(),
                Portion::Whole | Portion::Joined(_) => Share::ALL,
            },
            portion,
            whole_output,
            traced: shared.trace.as_ref().map(|_| Mutex::default()),
            work,
        })
    }

    /// Who does it, for reports: the pattern, or who joins what others have done.
    pub fn by(&self) -> &'static str {
        match self.portion {
            Portion::Joined(_) => "join",
            Portion::Whole | Portion::Part(_) => self.pattern.name(),
        }
    }

    /// The file that the answers go to, where they go to one.
    pub fn output_file(&self) -> Option<&Path> {
        match &self.output {
            Output::File(path, _) => Some(path),
            _ => None,
        }
    }

    /// What it is, in a few words: `map square over 0..10`.
    pub fn title(&self) -> String {
        match &self.work {
            Work::Map { numbers, function, .. } => {
                let from = match numbers {
                    Numbers::Typed(_) => "values as typed".to_owned(),
                    Numbers::Range(range) => range.text().to_owned(),
                    Numbers::File { path, part: None, .. } => names::readable(path),
                    Numbers::File { path, part: Some(part), .. } => {
                        format!("{}:{part}", names::readable(path))
                    }
                    Numbers::Stdin => STDIN.to_owned(),
                };
                format!("map {} over {from}", function.name())
            }
            Work::Read { file, action: Do::Text } => {
                format!("read the lines of {}", names::readable(&file.name()))
            }
            Work::Read { file, action: Do::Count } => {
                format!("count the lines of {}", names::readable(&file.name()))
            }
        }
    }

    /// Is an HDF5 file read or written?
    pub fn needs_hdf5(&self) -> bool {
        matches!(self.output, Output::File(_, Format::Hdf5))
            || matches!(&self.work, Work::Map { numbers: Numbers::File { path, .. }, .. } if is_hdf5(path))
    }

    /// Does the job file `text`, which [`Task::to_toml`] has made, do the same work with the same input? Whoever
    /// does it, and where the answers go.
    pub fn is_work_of(&self, text: &str) -> bool {
        let work = |text: &str| {
            let job: JobSpec = toml::from_str(text).ok()?;
            let TaskSpec { map, read, .. } = job.task.into_iter().next()?;
            toml::to_string(&TaskSpec { map, read, ..TaskSpec::default() }).ok()
        };
        work(text).is_some_and(|theirs| work(&self.to_toml()) == Some(theirs))
    }

    /// This task as a job file that does the same from any folder.
    pub fn to_toml(&self) -> String {
        let path = |path: &Path| names::in_job_file(&absolute(path));
        let number = |n: Option<usize>| n.and_then(|n| i64::try_from(n).ok());
        let (map, read) = match &self.work {
            Work::Map { numbers, function, dtype, who } => {
                let mut spec = MapSpec {
                    function: Some(function.name().to_owned()),
                    dtype: *dtype,
                    who: *who,
                    ..MapSpec::default()
                };
                match numbers {
                    Numbers::Typed(typed) => {
                        spec.dtype = Some(typed.dtype);
                        spec.values = typed.words().map(Word).collect();
                    }
                    Numbers::Range(range) => spec.range = Some(range.text().to_owned()),
                    Numbers::Stdin => spec.from = Some("-".into()),
                    Numbers::File { path: file, part, layout } => {
                        let part = part.as_ref().map_or(String::new(), |part| format!(":{part}"));
                        spec.from = Some((path(file) + &part).into());
                        (spec.no_header, spec.delimiter) = (layout.no_header, layout.delimiter_text());
                    }
                }
                (Some(spec), None)
            }
            Work::Read { file, action } => {
                (None, Some(ReadSpec { file: path(&file.name()).into(), action: Some(*action) }))
            }
        };
        let task = TaskSpec {
            output: match &self.output {
                // Another run makes the part's name of it again.
                Output::File(file, _) => Some(path(self.whole_output.as_ref().unwrap_or(file)).into()),
                Output::None => Some("none".into()),
                Output::People => Some("people".into()),
                Output::Stdout => None,
            },
            pattern: Some(self.asked).filter(|asked| *asked != PatternName::Auto),
            workers: number(self.workers),
            threads: number(self.threads),
            schedule: self.schedule.text(),
            keep_going: self.keep_going.then_some(true),
            retries: number(Some(self.retries)).filter(|n| *n != RETRIES as i64),
            repeat: number(Some(self.repeat)).filter(|n| *n > 1),
            compress: self.compress.map(Compress::name),
            part: match self.portion {
                Portion::Part(part) => Some(part.to_string()),
                Portion::Whole | Portion::Joined(_) => None,
            },
            scale: None,
            map,
            read,
        };
        toml::to_string(&JobSpec { task: vec![task] }).unwrap_or_default()
    }
}

/// How often what a killed worker held is run again.
const RETRIES: usize = 1;

/// Does the name say that it is an HDF5 file?
pub fn is_hdf5(path: &Path) -> bool {
    Format::of_name(path) == Some(Format::Hdf5)
}

/// The format of the file `path`, in which the answers of `work` can be written.
fn format(path: &Path, work: &Work, keep_going: bool) -> Result<Format> {
    let wrong = |why: &str| Err(Error::Usage(format!("-o {}: {why}", path.display())));
    match (Format::of_name(path), work) {
        (Some(Format::Hdf5), _) if !cfg!(feature = "hdf5") => Err(hdf5::missing()),
        (Some(Format::Hdf5 | Format::Npy), Work::Read { action: Do::Text, .. }) => wrong(
            "lines are written as they are, to a file of any other name; .h5 holds their counts: --do count",
        ),
        (Some(Format::Npy), Work::Read { .. }) => wrong("counts go to .txt, .csv, .json, .jsonl or .h5"),
        // Lines are passed on as they are, whatever they are.
        (_, Work::Read { action: Do::Text, .. }) => Ok(Format::Text),
        (Some(Format::Npy), Work::Map { who: true, .. }) => {
            wrong("a .npy file has no columns for --who; .csv, .json and .h5 have")
        }
        (Some(Format::Npy), _) if keep_going => wrong(
            "a .npy file has no way to say that a result is missing, as --keep-going wants it; .csv, .json and .h5 have",
        ),
        (Some(format), _) => Ok(format),
        (None, _) => Err(Error::Usage(Format::complaint(path))),
    }
}

/// The most values of a block: 128 MiB of them.
const LARGEST_BLOCK: u64 = 1 << 24;

/// The most workers that one run may start: more than any node has CPUs, fewer than what makes a node
/// unusable.
pub const MOST_WORKERS: usize = 4096;

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

/// A file and the name of its column or dataset, from `FILE:PART`, in each way in which that can be read, the
/// shortest name of a file first: only behind a name that says that there are several. The last is all of it.
fn splits(from: &OsStr) -> impl Iterator<Item = (PathBuf, Option<String>)> {
    let from = from.as_bytes();
    let has_parts = |path: &&[u8]| {
        let path = Path::new(OsStr::from_bytes(path));
        csv::delimiter(path).is_some() || matches!(Format::of_name(path), Some(Format::Hdf5 | Format::Npy))
    };
    let files = memchr::memchr_iter(b':', from).map(|at| &from[..at]).filter(has_parts);
    files.chain([from]).map(move |file| {
        let part = from.get(file.len() + 1..).filter(|part| !part.is_empty());
        let part = part.map(|part| String::from_utf8_lossy(part).into_owned());
        (OsStr::from_bytes(file).into(), part)
    })
}

impl Schedule {
    /// As typed.
    fn text(&self) -> Option<String> {
        let name = match self.kind? {
            ScheduleKind::Static => "static",
            ScheduleKind::Dynamic => "dynamic",
            ScheduleKind::Guided => "guided",
        };
        Some(self.block.map_or(name.to_owned(), |block| format!("{name},{block}")))
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
            ([], None, Some(from)) => {
                // The first is likely: whether there is such a file is asked later.
                let (path, part) = splits(from.as_os_str()).next().unwrap_or((from.clone(), None));
                if is_hdf5(&path) && !cfg!(feature = "hdf5") {
                    return Err(hdf5::missing());
                }
                Numbers::File { layout: Layout::of(spec, &path)?, path, part }
            }
            _ => return Err(Error::Usage("give VALUES, or --range, or --from, but only one of them".into())),
        };
        if !matches!(numbers, Numbers::File { .. }) && (spec.no_header || spec.delimiter.is_some()) {
            return Err(Error::Usage("--no-header and --delimiter are for --from FILE.csv".into()));
        }
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
